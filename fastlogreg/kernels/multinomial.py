"""Multinomial logistic loss over rows, blockwise: panel, product with all classes, softmax, product back.

Shapes: y (n,) class index, int64; weight (n,), or empty; offset (n, n_classes), or (0, 0); coef (K, q), intercept in
column p, rows and columns padded with zeros to whole tiles; bounds (n_chunks, 2), out (n_chunks, size) as in
binary.py. Inside a block eta and prob are (K, n_rows), one class after another, so that every loop is a vector loop
over rows whatever K is.
"""

import numpy as np
from numba import prange

from fastlogreg.kernels.binary import scale_rows, total
from fastlogreg.kernels.blocks import pack, prefetch_next
from fastlogreg.kernels.jit import driver, kernel
from fastlogreg.kernels.panels import add_product, scale_panel, set_eta
from fastlogreg.kernels.pointwise import exp_difference, log1p_nonnegative

# --- softmax over the classes of a block ------------------------------------------------------------------------


@kernel
def set_softmax(eta, prob, largest, rest, spare):
    """Set prob, overwrite eta by 1 - prob; set largest = max_k eta and rest = Σ exp(eta - largest) - 1.

    `rest` leaves out one largest term and 1 - prob is summed from the other classes, so that neither loses digits
    when one class takes nearly everything.
    """
    n_classes, m = eta.shape
    largest[:] = eta[0]
    for k in range(1, n_classes):
        values = eta[k]
        for i in range(m):
            largest[i] = largest[i] if values[i] < largest[i] else values[i]
    rest[:] = 0.0
    spare[:] = -1.0  # counts the ties for the largest
    for k in range(n_classes):
        values, terms = eta[k], prob[k]
        for i in range(m):
            terms[i] = exp_difference(values[i], largest[i])
        for i in range(m):
            tie = values[i] == largest[i]
            rest[i] += 0.0 if tie else terms[i]  # NaN, unequal to itself, goes into the sum and so into every class
            spare[i] += 1.0 if tie else 0.0
    for i in range(m):
        rest[i] += spare[i]
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
        loss[i] = log1p_nonnegative(rest[i]) + (largest[i] - loss[i])


@kernel
def set_slope(y, weight, first, rest, slope):
    """Turn probabilities into the slopes w (prob_k - [k = y]); `rest` is 1 - prob; padding gets zero."""
    m = y.size
    for i in range(m):
        slope[y[i], i] = -rest[y[i], i]
    for k in range(slope.shape[0]):
        scale_rows(weight, first, slope[k, :m])
        slope[k, m:] = 0.0


@kernel
def block_size(n_columns, n_classes):
    """Rows of a block whose panel and class arrays stay in the second-level cache."""
    return max(32, min(256, 65536 // (n_columns + 3 * n_classes) // 8 * 8))


@kernel
def set_etas(coef, panel, offset, first, m, eta):
    """Set eta (K, size) of a block of m rows."""
    for k in range(eta.shape[0]):
        values = eta[k]
        set_eta(coef[k], panel, values)
        if offset.size:
            for i in range(m):
                values[i] += offset[first + i, k]


# --- value and gradient -----------------------------------------------------------------------------------------


@kernel
def value_gradient_rows(X, y, weight, offset, coef, n_classes, start, stop, panel, prob, work, out):
    """Add Σ w·loss to out[0] and Σ w·slope_k·(x, 1) to the rest of out, shaped like coef."""
    q, size = panel.shape
    gradient = out[1:].reshape(coef.shape)
    eta = work[:n_classes]
    largest, rest, spare, loss = work[-4], work[-3], work[-2], work[-1]
    for first in range(start, stop, size):
        last = min(first + size, stop)
        m = last - first
        pack(X, first, last, panel)
        set_etas(coef, panel, offset, first, m, eta)
        set_loss_softmax(eta, y[first:last], prob, largest, rest, spare, loss)
        set_slope(y[first:last], weight, first, eta, prob[:n_classes])
        scale_rows(weight, first, loss[:m])
        out[0] += total(loss[:m])
        for k in range(0, coef.shape[0], 4):
            prefetch_next(X, first, last, k // 4, coef.shape[0] // 4)
            add_product(prob, panel, k, 0, gradient)


@driver
def value_gradient(X, y, weight, offset, coef, n_classes, bounds, out):
    """Drive value_gradient_rows; out has 1 + coef.size columns."""
    padded_classes, q = coef.shape
    n_chunks = bounds.shape[0]
    size = block_size(q, n_classes)
    panel = np.empty((n_chunks, q, size))
    prob = np.zeros((n_chunks, padded_classes, size))
    work = np.empty((n_chunks, n_classes + 4, size))
    for c in prange(n_chunks):
        value_gradient_rows(
            X, y, weight, offset, coef, n_classes, bounds[c, 0], bounds[c, 1], panel[c], prob[c], work[c], out[c]
        )


# --- value, gradient and Hessian --------------------------------------------------------------------------------


@kernel
def value_gradient_hessian_rows(X, y, weight, offset, coef, n_classes, start, stop, panel, prob, work, out):
    """As value_gradient_rows, then the blocks k <= l of the Hessian (K, K, q, q), tiles on and above the diagonal."""
    q, size = panel.shape[1:]
    gradient = out[1 : 1 + coef.size].reshape(coef.shape)
    hessian = out[1 + coef.size :].reshape(n_classes, n_classes, q, q)
    rows, scaled = panel[0], panel[1]
    slope, chance = prob[0], prob[1]
    eta = work[:n_classes]
    largest, rest, spare, loss = work[-4], work[-3], work[-2], work[-1]
    for first in range(start, stop, size):
        last = min(first + size, stop)
        m = last - first
        pack(X, first, last, rows)
        set_etas(coef, rows, offset, first, m, eta)
        set_loss_softmax(eta, y[first:last], chance, largest, rest, spare, loss)
        slope[:] = chance
        set_slope(y[first:last], weight, first, eta, slope[:n_classes])
        scale_rows(weight, first, loss[:m])
        out[0] += total(loss[:m])
        for k in range(0, coef.shape[0], 4):
            add_product(slope, rows, k, 0, gradient)
        for k in range(n_classes):
            prefetch_next(X, first, last, k, n_classes)
            for other in range(k, n_classes):
                curvature = largest  # w prob_k (1 - prob_k) on the diagonal, - w prob_k prob_l off it
                for i in range(size):
                    curvature[i] = chance[k, i] * (eta[k, i] if k == other else -chance[other, i])
                scale_rows(weight, first, curvature[:m])
                scaled[:] = rows
                scale_panel(curvature, scaled)
                for j in range(0, q, 4):
                    add_product(scaled, rows, j, j, hessian[k, other])


@driver
def value_gradient_hessian(X, y, weight, offset, coef, n_classes, bounds, out):
    """Drive value_gradient_hessian_rows; out has 1 + coef.size + (n_classes * q)**2 columns."""
    padded_classes, q = coef.shape
    n_chunks = bounds.shape[0]
    size = block_size(2 * q, n_classes)
    panel = np.empty((n_chunks, 2, q, size))
    prob = np.zeros((n_chunks, 2, padded_classes, size))
    work = np.empty((n_chunks, n_classes + 4, size))
    for c in prange(n_chunks):
        value_gradient_hessian_rows(
            X, y, weight, offset, coef, n_classes, bounds[c, 0], bounds[c, 1], panel[c], prob[c], work[c], out[c]
        )


# --- Hessian-vector product -------------------------------------------------------------------------------------


@kernel
def hessian_product_rows(X, weight, offset, coef, vector, n_classes, start, stop, panel, along, work, out):
    """Add Σ w·prob_k·(d_k - Σ_l prob_l d_l)·(x, 1) with d = (x, 1)·vector to out, shaped like coef."""
    q, size = panel.shape
    product = out.reshape(coef.shape)
    eta, prob = work[:n_classes], work[n_classes : 2 * n_classes]
    largest, rest, spare = work[-3], work[-2], work[-1]
    for first in range(start, stop, size):
        last = min(first + size, stop)
        m = last - first
        pack(X, first, last, panel)
        set_etas(coef, panel, offset, first, m, eta)
        set_softmax(eta, prob, largest, rest, spare)
        mean = largest
        mean[:] = 0.0
        for k in range(n_classes):
            direction, chance = along[k], prob[k]
            set_eta(vector[k], panel, direction)
            for i in range(size):
                mean[i] += chance[i] * direction[i]
        for k in range(n_classes):
            direction, chance = along[k], prob[k]
            for i in range(size):
                direction[i] = (direction[i] - mean[i]) * chance[i]
            scale_rows(weight, first, direction[:m])
        for k in range(0, coef.shape[0], 4):
            prefetch_next(X, first, last, k // 4, coef.shape[0] // 4)
            add_product(along, panel, k, 0, product)


@driver
def hessian_product(X, weight, offset, coef, vector, n_classes, bounds, out):
    """Drive hessian_product_rows; out has coef.size columns."""
    padded_classes, q = coef.shape
    n_chunks = bounds.shape[0]
    size = block_size(q, n_classes)
    panel = np.empty((n_chunks, q, size))
    along = np.zeros((n_chunks, padded_classes, size))
    work = np.empty((n_chunks, 2 * n_classes + 3, size))
    for c in prange(n_chunks):
        hessian_product_rows(
            X, weight, offset, coef, vector, n_classes, bounds[c, 0], bounds[c, 1], panel[c], along[c], work[c], out[c]
        )
