"""Gradient descent: many full-batch updates in one call, each with its costs, in one read of the training data.

    w <- w - rate · (gradient(w) + alpha · (w, 0)),   rate = rule.rate · (t + rule.shift) ** -rule.power

The pass at the new w yields its costs and the gradient that the next update needs. Costs are means over rows, weighted:
the loss without penalty, and the quadratic cost Σ_k (eta_k - [y = k])², (eta - y)² for two classes.
Shapes: y (n,), float64 in [0, 1] for two classes, class index int64 for more; weight (n,), or empty; coef (K, q) with
the intercept in column p, K = 1 and q = p + 1 for two classes, padded to whole tiles for more (see panels.py).
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from fastlogreg.kernels.blocks import (
    _implementation,
    add_block_gradient,
    block_eta,
    by_storage,
    n_features,
    pack,
)
from fastlogreg.kernels.builtins import reshaped, smaller
from fastlogreg.kernels.jit import driver, kernel
from fastlogreg.kernels.multinomial import add_gradient, block_size, set_loss_softmax
from fastlogreg.kernels.multinomial import set_slope as set_softmax_slope
from fastlogreg.kernels.panels import set_eta
from fastlogreg.kernels.pointwise import exp_negative, loss_slope_curvature
from fastlogreg.kernels.stochastic import rate_at


class DescentRule(NamedTuple):
    """How to descend, and when to stop."""

    rate: float
    shift: float
    power: float
    alpha: float
    intercept: float  # 1.0, or 0.0 where the intercept stays as it is
    tol: float  # stop when an update is shorter
    gain: float  # stop when the watched cost has not fallen by this much ...
    patience: int  # ... in so many updates
    watched: int  # column of the history


class Descent(NamedTuple):
    """Where a descent is; ``state`` is described by the names below."""

    coef: np.ndarray
    gradient: np.ndarray  # of the mean loss at coef
    previous: np.ndarray  # weights before the last update
    best: np.ndarray  # weights with the lowest watched cost
    state: np.ndarray


# Places in Descent.state; STALE counts updates without a gain, HIGH those in a row above LIMIT.
UPDATES, START, LOWEST, STALE, HIGH, STATUS = range(6)
# Values of STATUS. The gradient at the start is not there yet; then the reasons to stop.
NEW, RUNNING, SETTLED, STALLED, DIVERGED, NOT_FINITE = range(-1, 5)
# Columns of the history.
LOSS, VALIDATION_LOSS, QUADRATIC, VALIDATION_QUADRATIC = range(4)

# A loss of more than twice what it was at the start (or with all weights zero) in so many updates in a row will not
# come down: the rate is too large.
HIGH_FACTOR = 2.0
HIGH_UPDATES = 10

# Rows of a block: the product of so many factors in [1/2, 1] is a normal number.
MOST_ROWS = 512

# --- costs of a block, two classes ------------------------------------------------------------------------------


@kernel
def set_slope(eta, y, slope, out):
    """Set the slopes of at most MOST_ROWS rows; add the sums of losses, quadratic costs and slopes to out.

    Σ log(1 + e) is taken as one logarithm of a product: 0.6 ns a row instead of 1.1 with a logarithm each. The product
    of numbers near one has few digits of small losses; then each gets its own after all.
    """
    product = 1.0
    excess = square = sum_slope = 0.0
    for i in range(eta.size):
        e = exp_negative(-abs(eta[i]))
        q = 1.0 / (1.0 + e)
        first = (e * q if eta[i] < 0.0 else q) - y[i]
        slope[i] = first
        sum_slope += first
        excess += (eta[i] if eta[i] > 0.0 else 0.0) - y[i] * eta[i]
        product *= q
        square += (eta[i] - y[i]) * (eta[i] - y[i])
    if product < 0.5:
        out[0] += excess - np.log(product)
        out[1] += square
        out[-1] += sum_slope
    else:
        set_weighted_slope(eta, y, y[:0], slope, out)


@kernel
def set_weighted_slope(eta, y, weight, slope, out):
    """As set_slope, weighted, and with every loss by itself; weight may be empty."""
    loss = square = sum_slope = 0.0
    for i in range(eta.size):
        w = weight[i] if weight.size else 1.0
        value, first, _ = loss_slope_curvature(eta[i], y[i])
        slope[i] = w * first
        sum_slope += w * first
        loss += w * value
        square += w * ((eta[i] - y[i]) * (eta[i] - y[i]))
    out[0] += loss
    out[1] += square
    out[-1] += sum_slope


@kernel
def _no_fused_pass(X, y, coef, first, last, out):
    return False


@kernel
def _fused_pass_f(X, y, coef, first, last, out):
    if X.shape[1] != 2 or out.size != 5:
        return False
    x0, x1, target = X[first:last, 0], X[first:last, 1], y[first:last]
    c0, c1, intercept = coef[0, 0], coef[0, 1], coef[0, 2]
    product = 1.0
    excess = square = g0 = g1 = g2 = 0.0
    for i in range(target.size):
        eta = (c0 * x0[i] + c1 * x1[i]) + intercept
        e = exp_negative(-abs(eta))
        q = 1.0 / (1.0 + e)
        slope = (e * q if eta < 0.0 else q) - target[i]
        g0 += slope * x0[i]
        g1 += slope * x1[i]
        g2 += slope
        excess += (eta if eta > 0.0 else 0.0) - target[i] * eta
        product *= q
        square += (eta - target[i]) * (eta - target[i])
    if not product < 0.5:
        return False
    out[0] += excess - np.log(product)
    out[1] += square
    out[2] += g0
    out[3] += g1
    out[4] += g2
    return True


_FUSED_PASS = _no_fused_pass, _fused_pass_f, _no_fused_pass


def fused_pass(X, y, coef, first, last, out):
    """Do the work of cost_rows on unweighted rows of two columns without a buffer, or return False.

    Data in the plane are what gradient descent is shown on; 0.8 ns a row instead of 1.2. Like set_slope it leaves
    blocks of small losses to others.
    """
    return _implementation(X, _FUSED_PASS)(X, y, coef, first, last, out)


by_storage(fused_pass, _FUSED_PASS)


def workspace(block_rows, n_classes, coef):
    """Return the shapes of the workspaces of a chunk, as the drivers below take them."""
    if n_classes == 2:
        return ((2, min(MOST_ROWS, block_rows)),)
    padded_classes, q = coef.shape
    size = block_size(q, n_classes)
    return (q, size), (padded_classes, size), (n_classes + 4, size)


@kernel
def cost_rows(X, y, weight, coef, gradient, start, stop, work, out):
    """Add loss and quadratic cost to out[:2] and, where wanted, Σ w·slope·(x, 1) to out[2:]; out[-1] is Σ w·slope."""
    size = work.shape[1]
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        if not weight.size and fused_pass(X, y, coef, first, last, out):
            continue
        eta, slope = work[0, : last - first], work[1, : last - first]
        block_eta(X, first, last, coef[0], eta, True)
        if weight.size:
            set_weighted_slope(eta, y[first:last], weight[first:last], slope, out)
        else:
            set_slope(eta, y[first:last], slope, out)
        if gradient:
            add_block_gradient(X, first, last, slope, out[2:])


@driver
def cost(X, y, weight, coef, out_work, bounds, out):
    """Loss and quadratic cost, summed over rows; out_work (n_chunks, 2, size), out has three columns."""
    for c in prange(bounds.shape[0]):
        cost_rows(X, y, weight, coef, False, bounds[c, 0], bounds[c, 1], out_work[c], out[c])


# --- costs of a block, softmax ----------------------------------------------------------------------------------


@kernel
def softmax_rows(X, y, weight, coef, gradient, start, stop, panel, prob, work, out):
    """As cost_rows; out[2:] is shaped like coef."""
    n_classes, size = work.shape[0] - 4, panel.shape[1]
    eta = work[:n_classes]
    largest, rest, spare, loss = work[-4], work[-3], work[-2], work[-1]
    prob[n_classes:] = 0.0
    for first in range(start, stop, size):
        last = smaller(first + size, stop)
        m = last - first
        pack(X, first, last, panel)
        for k in range(n_classes):
            set_eta(coef[k], panel, eta[k])
        for i in range(m):
            square = 0.0
            for k in range(n_classes):
                error = eta[k, i] - (1.0 if y[first + i] == k else 0.0)
                square += error * error
            out[1] += square * (weight[first + i] if weight.size else 1.0)
        set_loss_softmax(eta, y[first:last], prob, largest, rest, spare, loss)
        for i in range(m):
            out[0] += loss[i] * (weight[first + i] if weight.size else 1.0)
        if gradient:
            set_softmax_slope(y[first:last], weight, first, eta, prob[:n_classes])
            add_gradient(X, first, last, prob, panel, reshaped(out[2:], coef.shape))


@driver
def softmax_cost(X, y, weight, coef, out_panel, out_prob, out_work, bounds, out):
    """As cost, for more classes; out_panel, out_prob and out_work of n_chunks: see `workspace`."""
    for c in prange(bounds.shape[0]):
        panel, prob, work = out_panel[c], out_prob[c], out_work[c]
        softmax_rows(X, y, weight, coef, False, bounds[c, 0], bounds[c, 1], panel, prob, work, out[c])


# --- updates ----------------------------------------------------------------------------------------------------


@kernel
def move(rule, p, run, partial):
    """Update the weights, return the length of the step; make ready for the sums of the pass that follows."""
    coef, gradient, previous, state = run.coef, run.gradient, run.previous, run.state
    for c in range(partial.shape[0]):
        for j in range(partial.shape[1]):
            partial[c, j] = 0.0
    if state[STATUS] == NEW:
        return 0.0
    state[UPDATES] += 1.0
    rate = rate_at(state[UPDATES], rule)
    square = 0.0
    for k in range(coef.shape[0]):
        for j in range(p + 1):
            previous[k, j] = coef[k, j]
            change = rate * (gradient[k, j] + (rule.alpha * coef[k, j] if j < p else 0.0))
            coef[k, j] -= change
            square += change * change
    return np.sqrt(square)


@kernel
def judge(rule, p, length, totals, bounds, partial, run, history, at):
    """Sum the partial results in order, write a line of the history, and set the status."""
    coef, gradient, state = run.coef, run.gradient, run.state
    q = coef.shape[1]
    loss = loss_val = cost_train = cost_val = 0.0
    n_train = 0
    for c in range(partial.shape[0]):
        if bounds[c, 0]:
            n_train += 1
            loss += partial[c, 0]
            cost_train += partial[c, 1]
        else:
            loss_val += partial[c, 0]
            cost_val += partial[c, 1]
    loss, cost_train = loss / totals[0], cost_train / totals[0]
    loss_val, cost_val = loss_val / totals[1], cost_val / totals[1]
    for k in range(coef.shape[0]):
        for j in range(p + 1):
            total = 0.0
            for c in range(n_train):
                total += partial[c, 2 + k * q + j]
            gradient[k, j] = total / totals[0]
        gradient[k, p] *= rule.intercept
    watched = loss if rule.watched == LOSS else loss_val
    new = state[STATUS] == NEW
    if new or watched < state[LOWEST]:
        for k in range(coef.shape[0]):
            for j in range(p + 1):
                run.best[k, j] = coef[k, j]
    if new:
        state[START], state[LOWEST], state[STATUS] = loss, watched, RUNNING
        return
    history[at, LOSS], history[at, VALIDATION_LOSS] = loss, loss_val
    history[at, QUADRATIC], history[at, VALIDATION_QUADRATIC] = cost_train, cost_val
    state[STALE] = state[STALE] + 1.0 if watched > state[LOWEST] - rule.gain else 0.0
    state[LOWEST] = min(state[LOWEST], watched)
    high = loss > HIGH_FACTOR * max(state[START], np.log(max(2.0, float(coef.shape[0]))))
    state[HIGH] = state[HIGH] + 1.0 if high else 0.0
    if not (np.isfinite(loss) and np.isfinite(length)):
        state[STATUS] = NOT_FINITE
    elif length < rule.tol:
        state[STATUS] = SETTLED
    elif state[HIGH] >= min(HIGH_UPDATES, rule.patience):
        state[STATUS] = DIVERGED
    elif state[STALE] >= rule.patience:
        state[STATUS] = STALLED


@driver
def descend(X, y, weight, X_val, y_val, weight_val, totals, rule, bounds, out_work, out_partial, out_run, out_history):
    """Do as many updates as out_history has lines, or fewer where the status says so; two classes.

    bounds (n_chunks, 3) has for every chunk whether it is of the training rows, its first row, and the one after its
    last; the training rows come first. totals (2,) are the sums of the weights of training and validation rows.
    out_work (n_chunks, 2, size), out_partial (n_chunks, 2 + coef.size).
    """
    p = n_features(X)
    coef = out_run.coef
    at = 0
    while at < out_history.shape[0] and out_run.state[STATUS] <= RUNNING:
        new = out_run.state[STATUS] == NEW
        length = move(rule, p, out_run, out_partial)
        for c in prange(bounds.shape[0]):
            train = bounds[c, 0] == 1
            # Both sets have the same types, and one call of one function is compiled in half the time of two.
            rows, target, weights = X, y, weight
            if not train:
                rows, target, weights = X_val, y_val, weight_val
            cost_rows(rows, target, weights, coef, train, bounds[c, 1], bounds[c, 2], out_work[c], out_partial[c])
        judge(rule, p, length, totals, bounds, out_partial, out_run, out_history, at)
        at += 0 if new else 1


@driver
def softmax_descend(
    X, y, weight, X_val, y_val, weight_val, totals, rule, bounds, out_panel, out_prob, out_work, out_partial, out_run,
    out_history,
):  # fmt: skip
    """As descend, for more classes."""
    p = n_features(X)
    coef = out_run.coef
    at = 0
    while at < out_history.shape[0] and out_run.state[STATUS] <= RUNNING:
        new = out_run.state[STATUS] == NEW
        length = move(rule, p, out_run, out_partial)
        for c in prange(bounds.shape[0]):
            train = bounds[c, 0] == 1
            begin, end = bounds[c, 1], bounds[c, 2]
            rows, target, weights = X, y, weight
            if not train:
                rows, target, weights = X_val, y_val, weight_val
            panel, prob, work = out_panel[c], out_prob[c], out_work[c]
            softmax_rows(rows, target, weights, coef, train, begin, end, panel, prob, work, out_partial[c])
        judge(rule, p, length, totals, bounds, out_partial, out_run, out_history, at)
        at += 0 if new else 1
