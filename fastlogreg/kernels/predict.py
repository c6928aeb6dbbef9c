"""Decision values and probabilities of rows, and pointwise functions of arrays: read once, written once."""

import numpy as np
from numba import prange

from fastlogreg.kernels import pointwise
from fastlogreg.kernels.binary import set_loss_slope
from fastlogreg.kernels.blocks import block_eta
from fastlogreg.kernels.builtins import reshaped, smaller
from fastlogreg.kernels.jit import driver, kernel
from fastlogreg.kernels.multinomial import set_softmax

# --- rows -------------------------------------------------------------------------------------------------------
# out (n_chunks, 1) counts the decision values that are not finite: to look for them in what was written takes as long
# as a third of the pass.

# Rows are read once, so that a block need not stay in cache, and the runs that memory is read in may be longer than
# those of passes, which read a block again. For one row of coef, decision values of 20 columns took 0.85 to 0.93 of the
# time, probabilities 0.90 to 0.96, of 100 columns in F order 0.77 to 0.91, of 20 in float32 0.86 (with blocks 3 and 32
# times as long 0.91 and 0.89). To ask for the next rows while exponentials are made took 1.16, stores that go past the
# caches 1.15 to 1.6.
LONGER = 8


def workspace(kernel, block_rows, n_rows, n_classes):
    """Return the shape of out_work of a chunk; classes read a block one after the other, so that it stays in cache."""
    size = block_rows if n_classes > 1 else min(block_rows * LONGER, max(1, n_rows))
    return 2 * n_classes + 4 if kernel is probability and n_classes > 1 else 1, size


@kernel
def set_eta(X, offset, coef, k, first, last, eta):
    """Set eta = X coef[k] + intercept + offset of rows first … last - 1, and return how many are not finite."""
    block_eta(X, first, last, coef[k], eta, False)
    if offset.size:
        for i in range(last - first):
            eta[i] += offset[first + i, k]
    n_strange = 0
    for i in range(last - first):
        n_strange += 0 if abs(eta[i]) < np.inf else 1
    return n_strange


@kernel
def decision_rows(X, offset, coef, start, stop, work, out_eta):
    """Set rows start … stop - 1 of eta, one column a class, and return how many values are not finite."""
    size = work.size
    n_strange = 0
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        eta = work[: last - first]
        for k in range(coef.shape[0]):
            n_strange += set_eta(X, offset, coef, k, first, last, eta)
            for i in range(last - first):
                out_eta[first + i, k] = eta[i]
    return n_strange


@driver
def decision(X, offset, out_eta, coef, out_work, bounds, out):
    """Decision values out_eta (n, K) for coef (K, p + 1); offset (n, K) or (0, 0); out_work as `workspace` says."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += decision_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c, 0], out_eta)


@kernel
def probability_rows(X, offset, coef, start, stop, work, out_prob):
    """Set rows of the probabilities: two columns for one row of coef, else softmax over the classes."""
    n_classes, size = coef.shape[0], work.shape[1]
    n_strange = 0
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        if n_classes == 1:
            eta = work[0, : last - first]
            n_strange += set_eta(X, offset, coef, 0, first, last, eta)
            both = reshaped(out_prob[first:last], (2 * (last - first),))  # in pairs, which LLVM stores as vectors
            for i in range(last - first):
                high, low = pointwise.sigmoids(abs(eta[i]))
                both[2 * i] = low if eta[i] > 0.0 else high
                both[2 * i + 1] = high if eta[i] > 0.0 else low
        else:
            n_strange += decision_rows(X, offset, coef, first, last, work[0], out_prob)
            softmax_rows(out_prob[first:last], work[1:], out_prob[first:last])
    return n_strange


@driver
def probability(X, offset, out_prob, coef, out_work, bounds, out):
    """Probabilities out_prob (n, max(K, 2)) for coef (K, p + 1); offset (n, K) or (0, 0)."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += probability_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c], out_prob)


@kernel
def log_probability_rows(X, offset, coef, start, stop, work, out_prob):
    """Set rows of the log probabilities: two columns for one row of coef, else eta - logsumexp(eta)."""
    n_classes, size = coef.shape[0], work.shape[1]
    n_strange = 0
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        n_strange += decision_rows(X, offset, coef, first, last, work[0], out_prob)
        for i in range(first, last):
            if n_classes == 1:
                eta = out_prob[i, 0]
                out_prob[i, 0] = -pointwise.log1pexp(eta)
                out_prob[i, 1] = -pointwise.log1pexp(-eta)
            else:
                row = out_prob[i]
                log_total, largest = log_sum(row)
                for k in range(n_classes):
                    row[k] = pointwise.log_share(row[k], largest, log_total)
    return n_strange


@driver
def log_probability(X, offset, out_prob, coef, out_work, bounds, out):
    """Log probabilities out_prob (n, max(K, 2)) for coef (K, p + 1); offset (n, K) or (0, 0)."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += log_probability_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c], out_prob)


# --- arrays -----------------------------------------------------------------------------------------------------


@kernel
def log_sum(row):
    """Return log(Σ exp(row - largest)) and the largest; their sum is logsumexp."""
    largest = row[0]
    for k in range(1, row.size):
        largest = largest if row[k] < largest else row[k]
    rest = 0.0
    ties = -1
    for k in range(row.size):
        tie = row[k] == largest
        rest += 0.0 if tie else pointwise.exp_difference(row[k], largest)
        ties += 1 if tie else 0
    return pointwise.log1p_nonnegative(rest + ties), largest


@kernel
def softmax_rows(eta, work, out_prob):
    """Softmax along the rows of eta (m, K); work has 2 K + 3 rows of at least m, used to their full length."""
    m, n_classes = eta.shape
    columns, prob = work[:n_classes], work[n_classes : 2 * n_classes]
    columns[:, m:] = 0.0
    for i in range(m):
        for k in range(n_classes):
            columns[k, i] = eta[i, k]
    set_softmax(columns, prob, work[-3], work[-2], work[-1])
    for i in range(m):
        for k in range(n_classes):
            out_prob[i, k] = prob[k, i]


def softmax_workspace(n_classes):
    """Return the shape of a chunk of softmax's out_work."""
    return 2 * n_classes + 3, 64


@driver
def softmax(eta, out_work, bounds, out_prob):
    """Softmax along the rows of eta (n, K); out_work (n_chunks, *softmax_workspace(K))."""
    size = out_work.shape[2]
    for c in prange(bounds.shape[0]):
        for first in range(bounds[c, 0], bounds[c, 1], size):
            last = smaller(first + size, bounds[c, 1])
            softmax_rows(eta[first:last], out_work[c], out_prob[first:last])


@driver
def logsumexp(eta, bounds, out):
    """Log of the sum of exponentials along the rows of eta (n, K), into out (n,)."""
    for c in prange(bounds.shape[0]):
        for i in range(bounds[c, 0], bounds[c, 1]):
            log_total, largest = log_sum(eta[i])
            out[i] = largest + log_total


@driver
def sigmoid(eta, bounds, out):
    """Sigmoid of every entry of eta (n,)."""
    for c in prange(bounds.shape[0]):
        for i in range(bounds[c, 0], bounds[c, 1]):
            out[i] = pointwise.sigmoid(eta[i])


@driver
def log1pexp(eta, bounds, out):
    """Log(1 + exp(eta)) of every entry of eta (n,)."""
    for c in prange(bounds.shape[0]):
        for i in range(bounds[c, 0], bounds[c, 1]):
            out[i] = pointwise.log1pexp(eta[i])


@driver
def loss_slope_curvature(eta, y, bounds, out_loss, out_slope, out_curvature):
    """Loss and its two derivatives of every row, for y in [0, 1]."""
    for c in prange(bounds.shape[0]):
        for i in range(bounds[c, 0], bounds[c, 1]):
            value, first, second = pointwise.loss_slope_curvature(eta[i], y[i])
            out_loss[i] = value
            out_slope[i] = first
            out_curvature[i] = second


@driver
def loss_slope(eta, y, bounds, out_loss, out_slope):
    """Loss and its first derivative of every row, for y in [0, 1]."""
    for c in prange(bounds.shape[0]):
        rows = slice(bounds[c, 0], bounds[c, 1])
        set_loss_slope(eta[rows], y[rows], out_loss[rows], out_slope[rows])
