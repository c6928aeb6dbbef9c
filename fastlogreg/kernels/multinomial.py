"""Multinomial logistic loss over rows, blockwise: panel, product with all classes, softmax, product back.

Shapes: y (n,) class index, int64; weight (n,), or empty; offset (n, n_classes), or (0, 0); coef (K, q), intercept in
column p, columns padded with zeros to whole tiles; chances (K, n), the probabilities that products with the Hessian
need, or (0, 0) where none are kept; bounds (n_chunks, 2), out (n_chunks, size) as in binary.py. Inside a block eta and
prob are (K, n_rows), one class after another, so that every loop is a vector loop over rows whatever K is.
"""

import numpy as np
from numba import prange

from fastlogreg.kernels.binary import scale_rows, total
from fastlogreg.kernels.blocks import pack, prefetch_next
from fastlogreg.kernels.builtins import reshaped, smaller
from fastlogreg.kernels.jit import driver, kernel
from fastlogreg.kernels.pointwise import all_but_one, exp_difference, softmax_loss
from fastlogreg.kernels.tiles import PANEL_MULTIPLE, TILE_ROWS, add_products, set_product

# Kept probabilities below this count as zero: float32 has no normal number for much less.
LEAST_CHANCE = 1e-37
# Bytes of the panel and class arrays of a block, so that they stay in the second-level cache, and of a row of them at
# most. Twice the rows in float32 pay for adding up the sums of a tile: fits of 10 and 100 classes take 0.98 and 0.94.
BLOCK_BYTES, ROW_BYTES = 2**19, 2**11

# --- softmax over the classes of a block ------------------------------------------------------------------------


@kernel
def set_softmax(eta, prob, largest, rest, spare):
    """Set prob, overwrite eta by 1 - prob; set largest = max_k eta and rest = Σ exp(eta - largest) - 1.

    `rest` leaves out one largest term and 1 - prob is summed from the other classes, so that neither loses digits
    when one class takes nearly everything.
    """
    n_classes, m = eta.shape
    for i in range(m):  # not largest[:] = eta[0]: the message of its error takes three seconds to compile
        largest[i] = eta[0, i]
    for k in range(1, n_classes):
        values = eta[k]
        for i in range(m):
            largest[i] = largest[i] if values[i] < largest[i] else values[i]
    rest[:] = 0.0
    spare[:] = 0.0  # counts the ties for the largest
    for k in range(n_classes):
        values, terms = eta[k], prob[k]
        for i in range(m):
            terms[i] = exp_difference(values[i], largest[i])
        for i in range(m):
            tie = values[i] == largest[i]
            rest[i] += 0.0 if tie else terms[i]  # NaN, unequal to itself, goes into the sum and so into every class
            spare[i] += 1.0 if tie else 0.0
    for i in range(m):
        rest[i] = all_but_one(rest[i], spare[i])
        spare[i] = 1.0 / (1.0 + rest[i])
    for k in range(n_classes):
        others, terms = eta[k], prob[k]
        for i in range(m):
            outside = rest[i] if others[i] == largest[i] else (1.0 - terms[i]) + rest[i]
            others[i] = outside * spare[i]
        for i in range(m):
            terms[i] *= spare[i]


@kernel
def set_loss_softmax(eta, y, prob, largest, rest, spare, loss):
    """Set loss = logsumexp(eta) - eta_y, prob, and 1 - prob in place of eta; rows past y.size are padding."""
    for i in range(loss.size):
        loss[i] = eta[y[i] if i < y.size else 0, i]
    set_softmax(eta, prob, largest, rest, spare)
    for i in range(loss.size):
        loss[i] = softmax_loss(rest[i], largest[i], loss[i])


@kernel
def set_slope(y, weight, first, rest, slope):
    """Turn probabilities into the slopes w (prob_k - [k = y]); `rest` is 1 - prob; padding gets zero."""
    m = y.size
    for i in range(m):
        slope[y[i], i] = -rest[y[i], i]
    for k in range(slope.shape[0]):
        scale_rows(weight, first, slope[k, :m])
        slope[k, m:] = 0.0


def block_size(n_columns, n_classes, itemsize=8):
    """Return the rows of a block; called from Python, which makes room for one."""
    row_bytes = min(ROW_BYTES, BLOCK_BYTES // (n_columns + 3 * n_classes))
    return max(1, row_bytes // itemsize // PANEL_MULTIPLE) * PANEL_MULTIPLE


# Shapes of what the drivers below take for a chunk: out_panel, out_prob, out_work, …


def workspace(shape):
    """Return those of value_gradient, for coef of a shape."""
    n_classes, q = shape
    size = block_size(q, n_classes)
    return (q, size), (n_classes, size), (n_classes + 4, size)


def hessian_workspace(shape):
    """Return those of value_gradient_hessian."""
    n_classes, q = shape
    size = block_size(2 * q, n_classes)
    return (2, q, size), (2, n_classes, size), (n_classes + 4, size)


def product_workspace(shape, precision, known):
    """Return those of hessian_product, the last three empty where the probabilities are known."""
    n_classes, q = shape
    size = block_size(q, n_classes, np.dtype(precision).itemsize)
    fresh = 0 if known else block_size(q, n_classes)
    own = (((n, size), precision) for n in (q, n_classes, 2))
    return *own, (q, fresh), (n_classes, fresh), (n_classes + 3, fresh)


@kernel
def set_etas(coef, panel, offset, first, m, eta):
    """Set eta (K, size) of a block of m rows."""
    set_product(coef, panel, eta)
    add_offset(offset, first, m, eta)


@kernel
def add_offset(offset, first, m, eta):
    """Add the offset of m rows, if there is one, to eta (K, size)."""
    if offset.size:
        for k in range(eta.shape[0]):
            values = eta[k]
            for i in range(m):
                values[i] += offset[first + i, k]


@kernel
def keep(prob, first, last, chances):
    """Keep the probabilities of rows first … last - 1."""
    for k in range(chances.shape[0]):
        source, target = prob[k], chances[k, first:last]
        for i in range(target.size):
            target[i] = source[i] if source[i] > LEAST_CHANCE else 0.0


@kernel
def add_gradient(X, first, last, slope, panel, gradient):
    """Add slope @ panel.T to gradient (K, q), and ask for the rows that follow meanwhile."""
    n_classes = slope.shape[0]
    n_parts = (n_classes + TILE_ROWS - 1) // TILE_ROWS
    for part in range(n_parts):
        k = part * TILE_ROWS
        prefetch_next(X, first, last, part, n_parts)
        add_products(slope[k : k + TILE_ROWS], panel, -TILE_ROWS, gradient[k : k + TILE_ROWS])


# --- value and gradient -----------------------------------------------------------------------------------------


@kernel
def value_gradient_rows(X, y, weight, offset, chances, coef, start, stop, panel, prob, work, out):
    """Add Σ w·loss to out[0] and Σ w·slope_k·(x, 1) to the rest of out, shaped like coef."""
    size = panel.shape[1]
    gradient = reshaped(out[1:], coef.shape)
    eta = work[:-4]
    largest, rest, spare, loss = work[-4], work[-3], work[-2], work[-1]
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        m = last - first
        pack(X, first, last, panel)
        set_etas(coef, panel, offset, first, m, eta)
        set_loss_softmax(eta, y[first:last], prob, largest, rest, spare, loss)
        keep(prob, first, last, chances)
        set_slope(y[first:last], weight, first, eta, prob)
        scale_rows(weight, first, loss[:m])
        out[0] += total(loss[:m])
        add_gradient(X, first, last, prob, panel, gradient)


@driver
def value_gradient(X, y, weight, offset, out_chances, coef, out_panel, out_prob, out_work, bounds, out):
    """Drive value_gradient_rows; out_panel, out_prob, out_work of n_chunks, out has 1 + coef.size columns."""
    for c in prange(bounds.shape[0]):
        panel, prob, work = out_panel[c], out_prob[c], out_work[c]
        value_gradient_rows(
            X, y, weight, offset, out_chances, coef, bounds[c, 0], bounds[c, 1], panel, prob, work, out[c]
        )


# --- value, gradient and Hessian --------------------------------------------------------------------------------


@kernel
def value_gradient_hessian_rows(X, y, weight, offset, coef, start, stop, panel, prob, work, out):
    """As value_gradient_rows, then the blocks k <= l of the Hessian (K, K, q, q), tiles on and above the diagonal."""
    n_classes, q = coef.shape
    size = panel.shape[2]
    gradient = reshaped(out[1 : 1 + coef.size], coef.shape)
    hessian = reshaped(out[1 + coef.size :], (n_classes, n_classes, q, q))
    rows, scaled = panel[0], panel[1]
    slope, chance = prob[0], prob[1]
    eta = work[:-4]
    largest, rest, spare, loss = work[-4], work[-3], work[-2], work[-1]
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        m = last - first
        pack(X, first, last, rows)
        set_etas(coef, rows, offset, first, m, eta)
        set_loss_softmax(eta, y[first:last], chance, largest, rest, spare, loss)
        for k in range(n_classes):
            for i in range(size):
                slope[k, i] = chance[k, i]
        set_slope(y[first:last], weight, first, eta, slope)
        scale_rows(weight, first, loss[:m])
        out[0] += total(loss[:m])
        add_gradient(X, first, last, slope, rows, gradient)
        for k in range(n_classes):
            for other in range(k, n_classes):
                curvature = largest  # w prob_k (1 - prob_k) on the diagonal, - w prob_k prob_l off it
                for i in range(size):
                    curvature[i] = chance[k, i] * (eta[k, i] if k == other else -chance[other, i])
                scale_rows(weight, first, curvature[:m])
                for j in range(q):
                    source, target = rows[j], scaled[j]
                    for i in range(size):
                        target[i] = curvature[i] * source[i]
                add_products(scaled, rows, 0, hessian[k, other])


@driver
def value_gradient_hessian(X, y, weight, offset, coef, out_panel, out_prob, out_work, bounds, out):
    """Drive value_gradient_hessian_rows; out has 1 + coef.size + (n_classes * q)**2 columns."""
    for c in prange(bounds.shape[0]):
        panel, prob, work = out_panel[c], out_prob[c], out_work[c]
        value_gradient_hessian_rows(
            X, y, weight, offset, coef, bounds[c, 0], bounds[c, 1], panel, prob, work, out[c]
        )


# --- Hessian-vector product -------------------------------------------------------------------------------------


@kernel
def set_chances_rows(X, offset, coef, start, stop, panel, prob, work, chances):
    """Set the probabilities of a range of rows."""
    size = panel.shape[1]
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        pack(X, first, last, panel)
        set_etas(coef, panel, offset, first, last - first, work[:-3])
        set_softmax(work[:-3], prob, work[-3], work[-2], work[-1])
        keep(prob, first, last, chances)


@kernel
def set_product_slope(chances, weight, first, m, base, mean, along):
    """Turn d into w·prob_k·(d_k - Σ_l prob_l d_l), for the m rows from `first` on.

    d is taken from that of the class with more than half of the probability first: where that has nearly all, the mean
    would be d_k itself but for rounding, and it is from the others' probabilities that the differences come.
    """
    base[:] = 0.0
    mean[:] = 0.0
    for k in range(along.shape[0]):
        direction, chance = along[k], chances[k, first : first + m]
        for i in range(m):
            base[i] = direction[i] if chance[i] > 0.5 else base[i]
    for k in range(along.shape[0]):
        direction, chance = along[k], chances[k, first : first + m]
        for i in range(m):
            direction[i] -= base[i]
            mean[i] += chance[i] * direction[i]
    for k in range(along.shape[0]):
        direction, chance = along[k], chances[k, first : first + m]
        for i in range(m):
            direction[i] = (direction[i] - mean[i]) * chance[i]
        scale_rows(weight, first, direction[:m])


@kernel
def hessian_product_rows(X, weight, chances, vector, start, stop, panel, along, work, out):
    """Add Σ w·prob_k·(d_k - Σ_l prob_l d_l)·(x, 1) with d = (x, 1)·vector to out, shaped like vector."""
    size = panel.shape[1]
    product = reshaped(out, vector.shape)
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        pack(X, first, last, panel)
        set_product(vector, panel, along)
        set_product_slope(chances, weight, first, last - first, work[0], work[1], along)
        add_gradient(X, first, last, along, panel, product)


@driver
def hessian_product(
    X, weight, offset, out_chances, coef, vector, out_panel, out_along, out_work, out_wide, out_prob, out_eta, bounds,
    out,
):  # fmt: skip
    """Drive hessian_product_rows, in the precision of `vector`; out has vector.size columns.

    The probabilities at coef are found and kept first, where out_wide, out_prob and out_eta have room for them.
    """
    size = out_panel.shape[2]
    for c in prange(bounds.shape[0]):
        for first in range(bounds[c, 0], bounds[c, 1], size):
            last = smaller(first + size, bounds[c, 1])
            if out_wide.size:
                set_chances_rows(X, offset, coef, first, last, out_wide[c], out_prob[c], out_eta[c], out_chances)
            hessian_product_rows(
                X, weight, out_chances, vector, first, last, out_panel[c], out_along[c], out_work[c], out[c]
            )
