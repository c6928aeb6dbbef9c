"""Binary logistic loss over rows: value, gradient, Hessian, Hessian-vector product, each in one read of X.

Shapes: y (n,) in [0, 1]; weight and offset (n,), or empty where there is none; coef (p + 1,), intercept last;
bounds (n_chunks, 2), the first row of every chunk and the one after its last; out (n_chunks, size), partial sums.
"""

import numpy as np
from numba import prange
from numba.core import types

from fastlogreg.kernels import links
from fastlogreg.kernels.blocks import (
    CSR,
    add_block_gradient,
    block_eta,
    copy_scaled,
    n_features,
    pack,
)
from fastlogreg.kernels.builtins import reshaped, smaller
from fastlogreg.kernels.gram import add_block_gram, add_packed_gram
from fastlogreg.kernels.jit import driver, kernel
from fastlogreg.kernels.panels import add_weighted_sums, set_eta
from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.pointwise import log1p_nonnegative, log1p_unit, loss_slope_curvature, loss_terms, rooted_terms

# --- pointwise, over the rows of a block ------------------------------------------------------------------------


@kernel
def set_loss_slope(eta, y, loss, slope):
    """Loss and slope of each row."""
    for i in range(eta.size):
        value, first, _ = loss_slope_curvature(eta[i], y[i])
        loss[i] = value
        slope[i] = first


@kernel
def set_slope(eta, y, e, slope):
    """Slope of each row, and its loss in two parts, log(1 + e) and what takes the place of eta: see total_loss."""
    for i in range(links.set_terms(eta, y, e, eta, slope), eta.size):
        e[i], eta[i], slope[i], _ = loss_terms(eta[i], y[i])


# 2**FACTORS is a number; and the least mean of log(1 + e) whose sum has all its digits from the product: each of its
# factors is rounded to half an EPS.
FACTORS, LEAST_MEAN = 512, 0.125
FEW = 8  # rows: there is nothing to gain


@kernel
def total_loss(e, excess, weight, first):
    """Sum of weight times log(1 + e) + excess over the rows of a block.

    Without weights one logarithm of a product stands for hundreds; a third of the link's time was in them. Where the
    losses are so small that the rounding of 1 + e would show, every row has its own.
    """
    s = 0.0
    if weight.size:
        for i in range(e.size):
            s += weight[first + i] * (log1p_unit(e[i]) + excess[i])
        return s
    for start in range(0, e.size, FACTORS):
        part = e[start : start + FACTORS]
        product = 1.0
        for i in range(part.size):
            product *= 1.0 + part[i]
        sum_of_logs = log1p_nonnegative(product - 1.0)
        if part.size >= FEW and sum_of_logs > LEAST_MEAN * part.size:
            s += sum_of_logs
        else:
            for i in range(part.size):
                s += log1p_unit(part[i])
    return s + total(excess)


@kernel
def set_curvature(eta, y, curvature):
    """Curvature of each row."""
    for i in range(eta.size):
        _, _, second = loss_slope_curvature(eta[i], y[i])
        curvature[i] = second


@kernel
def add_rows(values, first, target):
    """Add rows first, first + 1, … of an array that may be empty."""
    if values.size:
        for i in range(target.size):
            target[i] += values[first + i]


@kernel
def scale_rows(values, first, target):
    """Multiply by rows first, first + 1, … of an array that may be empty."""
    if values.size:
        for i in range(target.size):
            target[i] *= values[first + i]


@kernel
def total(values):
    """Sum of a block."""
    s = 0.0
    for i in range(values.size):
        s += values[i]
    return s


# --- value and gradient -----------------------------------------------------------------------------------------


@kernel
def value_gradient_rows(X, y, weight, offset, coef, start, stop, work, out):
    """Add Σ w·loss to out[0] and Σ w·slope·(x, 1) to out[1:]."""
    size = work.shape[1]
    gradient = out[1:]
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        m = last - first
        eta, e, slope = work[0, :m], work[1, :m], work[2, :m]
        block_eta(X, first, last, coef, eta, True)
        add_rows(offset, first, eta)
        set_slope(eta, y[first:last], e, slope)
        scale_rows(weight, first, slope)
        out[0] += total_loss(e, eta, weight, first)
        add_block_gradient(X, first, last, slope, gradient)
        gradient[-1] += total(slope)


@driver
def value_gradient(X, y, weight, offset, coef, out_work, bounds, out):
    """Drive value_gradient_rows; out_work (n_chunks, 3, size), out has p + 2 columns."""
    for c in prange(bounds.shape[0]):
        value_gradient_rows(X, y, weight, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c], out[c])


# --- value, gradient and Hessian --------------------------------------------------------------------------------


@kernel
def _set_terms(eta, y, weight, offset, first, e, slope, root):
    """Loss (see total_loss) and weighted slope of the rows of a block, and the root of their weighted curvature."""
    add_rows(offset, first, eta)
    for i in range(links.set_terms(eta, y, e, eta, slope, root), eta.size):
        e[i], eta[i], slope[i], root[i] = rooted_terms(eta[i], y[i])
    if weight.size:
        for i in range(eta.size):
            w = weight[first + i]
            slope[i] *= w
            root[i] *= np.sqrt(w)


def _add_from_rows(X, y, weight, offset, coef, first, last, panel, work, gradient, hessian):
    m = last - first
    eta, e = work[0, :m], work[1, :m]
    slope, root = work[2, :m], work[3]
    block_eta(X, first, last, coef, eta, True)
    _set_terms(eta, y[first:last], weight, offset, first, e, slope, root[:m])
    add_block_gradient(X, first, last, slope, gradient)
    gradient[n_features(X)] += total(slope)
    add_block_gram(X, first, last, root, panel, hessian)
    return total_loss(e, eta, weight, first)


def _add_from_panel(X, y, weight, offset, coef, first, last, panel, work, gradient, hessian):
    m = last - first
    eta, e = work[0, :m], work[1, :m]
    slope, root = work[2, :m], work[3]
    pack(X, first, last, panel)
    set_eta(coef, panel, work[0])
    _set_terms(eta, y[first:last], weight, offset, first, e, slope, root[:m])
    add_weighted_sums(slope, panel, gradient)
    add_packed_gram(X, first, last, root, panel, hessian)
    return total_loss(e, eta, weight, first)


def _add_terms(X, y, weight, offset, coef, first, last, panel, work, gradient, hessian):
    """Add what a block gives to gradient and hessian; return its loss.

    A panel that holds the rows exactly is read instead of them: its loops run along rows whatever the number of
    columns, where ten columns in C order take twice as long. One in float32 is for the Hessian alone.
    """
    sparse = isinstance(X, CSR)
    narrower = not sparse and panel.dtype == np.float32 and X.dtype != np.float32
    chosen = _add_from_rows if sparse or narrower else _add_from_panel
    return chosen(X, y, weight, offset, coef, first, last, panel, work, gradient, hessian)


@overload(_add_terms)
def _compiled_add_terms(X, y, weight, offset, coef, first, last, panel, work, gradient, hessian):
    sparse = not isinstance(X, types.Array)
    narrower = not sparse and panel.dtype == types.float32 and X.dtype != types.float32
    return _add_from_rows if sparse or narrower else _add_from_panel


@kernel
def value_gradient_hessian_rows(X, y, weight, offset, coef, start, stop, panel, work, out):
    """As value_gradient_rows, and the Hessian to the last q * q columns of out; q = panel.shape[0] is padded.

    coef is padded with zeros to q, and so is the gradient. Only tiles on and above the diagonal of the Hessian are
    summed. The precision of the panel is that of the products; linear predictors and gradient are float64 whatever it
    is.
    """
    q, size = panel.shape
    gradient = out[1 : 1 + q]
    hessian = reshaped(out[1 + q :], (q, q))
    for i in range(size):
        work[3, i] = 0.0  # the last block may not fill it
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        out[0] += _add_terms(X, y, weight, offset, coef, first, last, panel, work, gradient, hessian)


@driver
def value_gradient_hessian(X, y, weight, offset, coef, out_panel, out_work, bounds, out):
    """Drive value_gradient_hessian_rows; out_panel (n_chunks, q, size), out_work (n_chunks, 4, size)."""
    for c in prange(bounds.shape[0]):
        value_gradient_hessian_rows(
            X, y, weight, offset, coef, bounds[c, 0], bounds[c, 1], out_panel[c], out_work[c], out[c]
        )


# --- Hessian-vector product -------------------------------------------------------------------------------------


@kernel
def hessian_product_rows(X, y, weight, offset, out_curvature, coef, vector, start, stop, work, out):
    """Add Σ w·curvature·((x, 1)·vector)·(x, 1) to out; set rows of out_curvature to w·curvature."""
    size = work.shape[1]
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        m = last - first
        eta, along, slope = work[0, :m], work[1, :m], work[2, :m]
        block_eta(X, first, last, coef, eta, True)
        block_eta(X, first, last, vector, along, False)
        add_rows(offset, first, eta)
        set_curvature(eta, y[first:last], slope)
        scale_rows(weight, first, slope)
        for i in range(m):
            out_curvature[first + i] = slope[i]
        scale_rows(along, 0, slope)
        add_block_gradient(X, first, last, slope, out)
        out[-1] += total(slope)


@driver
def hessian_product(X, y, weight, offset, out_curvature, coef, vector, out_work, bounds, out):
    """Drive hessian_product_rows; out_curvature (n,), out_work (n_chunks, 3, size), out has p + 1 columns."""
    for c in prange(bounds.shape[0]):
        hessian_product_rows(
            X, y, weight, offset, out_curvature, coef, vector, bounds[c, 0], bounds[c, 1], out_work[c], out[c]
        )


@kernel
def curvature_product_rows(X, curvature, vector, start, stop, work, out):
    """Add Σ curvature·((x, 1)·vector)·(x, 1) to out: hessian_product_rows where curvatures, with weights, are known."""
    size = work.size
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        slope = work[: last - first]
        block_eta(X, first, last, vector, slope, True)
        scale_rows(curvature, first, slope)
        add_block_gradient(X, first, last, slope, out)
        out[-1] += total(slope)


@driver
def curvature_product(X, curvature, vector, out_work, bounds, out):
    """Drive curvature_product_rows; curvature (n,), out_work (n_chunks, size), out has p + 1 columns."""
    for c in prange(bounds.shape[0]):
        curvature_product_rows(X, curvature, vector, bounds[c, 0], bounds[c, 1], out_work[c], out[c])


# --- panels for BLAS --------------------------------------------------------------------------------------------


@kernel
def scaled_panel_rows(X, y, weight, offset, coef, out_panel, origin, start, stop, work, out):
    """As value_gradient_rows, and row i of sqrt(w·curvature)·(x, 1) to row i - origin of out_panel."""
    size = work.shape[1]
    value_gradient_rows(X, y, weight, offset, coef, start, stop, work, out)
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        m = last - first
        eta, curvature = work[0, :m], work[1, :m]
        block_eta(X, first, last, coef, eta, False)
        add_rows(offset, first, eta)
        set_curvature(eta, y[first:last], curvature)
        scale_rows(weight, first, curvature)
        for i in range(m):
            curvature[i] = np.sqrt(curvature[i])
        copy_scaled(X, first, last, curvature, out_panel[first - origin : last - origin])


@driver
def scaled_panel(X, y, weight, offset, coef, out_panel, origin, out_work, bounds, out):
    """Drive scaled_panel_rows; out_work (n_chunks, 3, size), out has p + 2 columns."""
    for c in prange(bounds.shape[0]):
        scaled_panel_rows(
            X, y, weight, offset, coef, out_panel, origin, bounds[c, 0], bounds[c, 1], out_work[c], out[c]
        )
