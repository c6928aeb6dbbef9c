"""Epochs of the learning-rate family: SGD, mini-batches and AdaGrad over rows in shuffled order.

Shapes: y (n,), in [0, 1] float64 for two classes, class index int64 for K > 2; weight (n,), or empty; order (m,) row
indices, int32. Coefficients are (K, p + 1), K = 1 for two classes, intercept last. ``update`` number t = 1, 2, … of
a batch B of b rows is

    rate = rule.rate · (t + rule.shift) ** -rule.power
    g = (1/b) Σ_{i in B} weight_i · slope_i · (x_i, 1)  +  alpha · (w, 0)
    plain:    w <- w - rate · g
    AdaGrad:  G <- G + g²,   w <- w - rate · g / (√G + eps)        (Duchi, Hazan, Singer 2011, element-wise)

One sample an update is sequential by definition, so those updates are one thread's, and at most another one fetches
sparse rows for it; a large batch is a sum over chunks.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from fastlogreg.kernels.builtins import larger, smaller
from fastlogreg.kernels.csr import CSR
from fastlogreg.kernels.jit import driver, inlined, kernel, pointwise
from fastlogreg.kernels.pointwise import (
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    ROUND,
    UNDERFLOW,
    exp_negative,
    log1p_nonnegative,
    power_of_two,
)
from fastlogreg.kernels.rows import (
    add_rows_gradient,
    copy_rows,
    prefetch_entry,
    prefetch_row,
    prefetch_rows,
    rows_ahead,
    rows_eta,
    scatter_adagrad,
    scatter_rows,
)


class Rule(NamedTuple):
    """How weights are updated. ``intercept`` is 1.0, or 0.0 where the intercept stays as it is."""

    rate: float
    shift: float
    power: float
    alpha: float
    eps: float
    intercept: float
    average_from: int  # first update whose iterate is averaged


class Model(NamedTuple):
    """What updates change, see ``settled`` for its meaning.

    The weights are w_t = scale_t · coef_t for the features and coef for the intercept: with a scale of its own an L2
    penalty costs nothing where X is sparse. For the mean of the iterates, Σ_τ scale_τ coef_τ = a_t coef_t + total_t
    with a_t = Σ scale_τ: when coef changes by δ at t, total changes by -a_{t-1} δ, for the entries that change only
    (Xu 2011, section 5.2). Where all weights change anyway, each is simply added to total, and a stays zero.
    """

    coef: np.ndarray  # (K, p + 1)
    total: np.ndarray  # (K, p + 1)
    squares: np.ndarray  # (K, p + 1), G of AdaGrad; (K, 0) for the plain update
    state: np.ndarray  # (4,): updates so far, updates averaged, scale, a


UPDATES, AVERAGED, SCALE, SCALES = 0, 1, 2, 3

# --- order ------------------------------------------------------------------------------------------------------

# Multiply with carry (Marsaglia 2003): x <- a·low(x) + high(x), of period a·2**31 - 1, for a·2**32 - 1 and
# a·2**31 - 1 are prime. a < 2**31 keeps all of it in signed integers, which plain Python shares with the compiler.
MULTIPLIER = 2147483085
LOW = 0xFFFFFFFF


@driver
def shuffle(out_order, out_random, start, stop):
    """Take the steps of a Fisher-Yates shuffle from place stop - 1 down to start; out_random (1,) is the state."""
    random = out_random[0]
    for i in range(stop - 1, start - 1, -1):
        random = MULTIPLIER * (random & LOW) + (random >> 32)
        draw = (random ^ (random >> 32)) & LOW
        j = (draw * (i + 1)) >> 32  # Lemire 2019, without the rejection: its bias is below n / 2**32
        kept = out_order[i]
        out_order[i] = out_order[j]
        out_order[j] = kept
    out_random[0] = random


# --- sigmoid ----------------------------------------------------------------------------------------------------


@pointwise
def prompt_sigmoid(eta):
    """Return 1 / (1 + exp(-eta)), to 1e-15, with the polynomial of exp_negative summed as a tree (Estrin).

    Each row waits for the slope of the row before it, so here it is the latency of exp that counts: Horner's rule
    costs 10 ns a row more.
    """
    x = max(-abs(eta), UNDERFLOW)
    shifted = x * LOG2_E + ROUND
    k = shifted - ROUND
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    r2 = r * r
    high = (2.4801493099528505e-05 + r * 2.7557586246922546e-06) + r2 * (
        2.7630248171174921e-07 + r * 2.5000102107682378e-08
    )
    middle = (0.041666666666530160 + r * 0.0083333333334943985) + r2 * (
        0.0013888888943629520 + r * 0.00019841269506718731
    )
    low = (1.0 + r) + r2 * (0.50000000000000106 + r * 0.16666666666666413)
    e = (low + (r2 * r2) * (middle + (r2 * r2) * high)) * power_of_two(shifted)
    q = 1.0 / (1.0 + e)
    return e * q if eta < 0.0 else q


# --- one update -------------------------------------------------------------------------------------------------


@pointwise
def rate_at(t, rule):
    """Return the rate of update t."""
    x = t + rule.shift
    if rule.power == 0.0:
        return rule.rate
    if rule.power == 1.0:
        return rule.rate / x
    if rule.power == 0.5:
        return rule.rate / np.sqrt(x)
    return rule.rate * exp_negative(-rule.power * log1p_nonnegative(x - 1.0))


@inlined
def set_slopes(order, first, last, y, weight, eta):
    """Turn linear predictors eta (K, …) of the rows order[first:last] into weighted slopes."""
    n_classes = eta.shape[0]
    for at in range(first, last):
        i = order[at]
        k = at - first
        w = weight[i] if weight.size else 1.0
        if n_classes == 1:
            eta[0, k] = w * (prompt_sigmoid(eta[0, k]) - y[i])
        else:
            largest = eta[0, k]
            for c in range(1, n_classes):
                largest = largest if eta[c, k] < largest else eta[c, k]
            sum_exp = 0.0
            for c in range(n_classes):
                e = exp_negative(eta[c, k] - largest)
                eta[c, k] = e
                sum_exp += e
            for c in range(n_classes):
                eta[c, k] = w * (eta[c, k] / sum_exp - (1.0 if y[i] == c else 0.0))


# --- one sample an update, two classes, dense -------------------------------------------------------------------


@driver
def single(X, y, weight, order, rule, out_model, start, stop):
    """Plain updates, one for each of order[start:stop].

    The next row's linear predictor needs weights that wait for this row's slope, and a sum over features after that.
    Here it is summed ahead, from the weights before this update, and corrected by the product of the two rows:
    (f w - c x)·x' = f (w·x') - c (x·x'). Only multiply-add and sigmoid are left in the chain from row to row:
    29 ns a row instead of 40 at p = 20. Gathering rows into a padded buffer took 67 ns.
    """
    n_columns = X.shape[1]
    coef, total = out_model.coef[0, :n_columns], out_model.total[0, :n_columns]
    intercept, intercept_total = out_model.coef[0, n_columns], out_model.total[0, n_columns]
    t, averaged = out_model.state[UPDATES], out_model.state[AVERAGED]
    distance = rows_ahead(X)
    last = stop - 1
    x = X[order[start]]
    eta = intercept
    for j in range(n_columns):
        eta += coef[j] * x[j]
    for at in range(start, stop):
        ahead = order[min(at + distance, last)]
        prefetch_row(X, ahead, ahead)
        prefetch_entry(y, ahead)
        i = order[at]
        following = X[order[min(at + 1, last)]]
        along = 0.0
        product = 0.0
        for j in range(n_columns):
            along += coef[j] * following[j]
            product += np.float64(x[j]) * following[j]
        t += 1.0
        rate = rate_at(t, rule)
        change = rate * (prompt_sigmoid(eta) - y[i])
        if weight.size:
            change *= weight[i]
        shrink = 1.0 - rate * rule.alpha
        eta = (shrink * along + intercept) - change * (product + rule.intercept)
        for j in range(n_columns):
            coef[j] = shrink * coef[j] - change * x[j]
        intercept -= change * rule.intercept
        if t >= rule.average_from:
            for j in range(n_columns):
                total[j] += coef[j]
            intercept_total += intercept
            averaged += 1.0
        x = following
    out_model.coef[0, n_columns], out_model.total[0, n_columns] = intercept, intercept_total
    out_model.state[UPDATES], out_model.state[AVERAGED] = t, averaged


# --- a few sparse rows an update: only features that occur are touched ------------------------------------------

# Outside these bounds the scale is multiplied into the weights: it costs the mean of the iterates as many digits.
SMALLEST_SCALE, LARGEST_SCALE = 1e-3, 1e3


@inlined
def fold(coef, total, scale, scales):
    """Multiply the scale into the weights and settle their totals; O(K p)."""
    for k in range(coef.shape[0]):
        for j in range(coef.shape[1] - 1):
            total[k, j] += scales * coef[k, j]
            coef[k, j] *= scale


@kernel
def plain_updates(X, y, weight, order, batch_size, rule, slope, model, start, stop):
    """Do plain updates on order[start:stop] in batches, O(K · entries of the batch) each; X is CSR."""
    coef, total, state = model.coef, model.total, model.state
    t, averaged, scale, scales = state[UPDATES], state[AVERAGED], state[SCALE], state[SCALES]
    n_classes, width = coef.shape
    distance = larger(batch_size, rows_ahead(X))
    for first in range(start, stop, batch_size):
        last = smaller(first + batch_size, stop)
        prefetch_rows(X, y, order, first, last, stop, distance)
        t += 1.0
        rate = rate_at(t, rule)
        for k in range(n_classes):
            rows_eta(X, order, first, last, coef, k, scale, slope)
        set_slopes(order, first, last, y, weight, slope)
        scale *= 1.0 - rate * rule.alpha
        if not SMALLEST_SCALE < abs(scale) < LARGEST_SCALE:
            fold(coef, total, scale, scales)
            scale, scales = 1.0, 0.0
        step = -rate / (last - first)
        scaled_step = step / scale
        for k in range(n_classes):
            for i in range(last - first):
                coef[k, width - 1] += step * rule.intercept * slope[k, i]
                slope[k, i] *= scaled_step
            scatter_rows(X, order, first, last, slope, k, coef, total, scales)
        if t >= rule.average_from:
            averaged += 1.0
            scales += scale
            for k in range(n_classes):
                total[k, width - 1] += coef[k, width - 1]
    state[UPDATES], state[AVERAGED], state[SCALE], state[SCALES] = t, averaged, scale, scales


@kernel
def chosen_updates(X, y, weight, order, copies, slot, batch_size, rule, slope, model, start, stop):
    """Do plain updates on order[start:stop], or on rows start … stop - 1 of a slot where there is room for copies."""
    rows, target, weights, places = X, y, weight, order
    if copies.n_rows.size:
        rows = CSR(copies.data[slot], copies.indices[slot], copies.indptr[slot], X.n_features)
        target, weights, places = copies.y[slot], copies.weight[slot], copies.order
    plain_updates(rows, target, weights, places, batch_size, rule, slope, model, start, stop)


@driver
def sparse_plain(X, y, weight, order, batch_size, copies, out_copies, out_slope, rule, out_model, start, stop):
    """Do plain updates on order[start:stop]; X is CSR, out_slope (K, batch_size).

    Rows in random order come from memory no faster than they can be asked for, and one thread can only ask for so many
    lines at once. Where there is room for copies, which are passed twice, to be read and to be written, a second thread
    copies the next rows in the order of their visit, while the first one works on those before: 0.7 of the time. There
    must be room for any batch.
    """
    copying = copies.n_rows.size > 0
    at, slot, first, ready = start, 0, 0, 0
    if not copying:
        at, first, ready = stop, start, stop - start
    while at < stop or ready > 0:
        for task in prange(2):
            if task == 0:  # one call of one function, which is compiled once
                chosen_updates(
                    X, y, weight, order, copies, 1 - slot, batch_size, rule, out_slope, out_model, first, first + ready
                )
            elif copying:
                copy_rows(X, y, weight, order, at, stop, batch_size, out_copies, slot)
        ready = 0
        if copying:
            ready = out_copies.n_rows[slot]
            at += ready
            slot = 1 - slot


@driver
def sparse_adagrad(X, y, weight, order, batch_size, out_slope, out_gradient, rule, out_model, start, stop):
    """AdaGrad on order[start:stop] in batches without a penalty, O(K · entries of the batch) each; X is CSR.

    out_slope (K, batch_size); out_gradient, shaped like coef, is zero and is left so.
    """
    coef, total, squares, state = out_model.coef, out_model.total, out_model.squares, out_model.state
    t, averaged, scales = state[UPDATES], state[AVERAGED], state[SCALES]
    n_classes, width = coef.shape
    distance = max(batch_size, rows_ahead(X))
    for first in range(start, stop, batch_size):
        last = min(first + batch_size, stop)
        prefetch_rows(X, y, order, first, last, stop, distance)
        t += 1.0
        rate = rate_at(t, rule)
        for k in range(n_classes):
            rows_eta(X, order, first, last, coef, k, 1.0, out_slope)
        set_slopes(order, first, last, y, weight, out_slope)
        for k in range(n_classes):
            g = 0.0
            for i in range(last - first):
                out_slope[k, i] /= last - first
                g += out_slope[k, i] * rule.intercept
            add_rows_gradient(X, order, first, last, out_slope, k, out_gradient)
            scatter_adagrad(X, order, first, last, out_gradient, k, squares, rate, rule.eps, coef, total, scales)
            squares[k, width - 1] += g * g
            coef[k, width - 1] -= rate * g / (np.sqrt(squares[k, width - 1]) + rule.eps)
        if t >= rule.average_from:
            averaged += 1.0
            scales += 1.0
            for k in range(n_classes):
                total[k, width - 1] += coef[k, width - 1]
    state[UPDATES], state[AVERAGED], state[SCALES] = t, averaged, scales


# --- batches whose gradient is summed first ---------------------------------------------------------------------

# Rows whose linear predictors wait for their slopes together.
GROUP = 16


@inlined
def batch_gradient(X, y, weight, order, first, last, stop, coef, slope, gradient):
    """Set gradient, shaped like coef, to Σ weight · slope · (x, 1) over order[first:last]; `stop` ends the order."""
    n_classes, width = coef.shape
    for k in range(n_classes):
        for j in range(width):
            gradient[k, j] = 0.0
    for begin in range(first, last, GROUP):
        end = min(begin + GROUP, last)
        prefetch_rows(X, y, order, begin, end, stop, GROUP)
        for k in range(n_classes):
            rows_eta(X, order, begin, end, coef, k, 1.0, slope)
        set_slopes(order, begin, end, y, weight, slope)
        for k in range(n_classes):
            add_rows_gradient(X, order, begin, end, slope, k, gradient)
            for i in range(end - begin):
                gradient[k, width - 1] += slope[k, i]


@inlined
def update(partial, b, rule, coef, total, squares, state):
    """Update all weights with the gradient of a batch of b rows, a partial sum a chunk; O(K p)."""
    n_classes, width = coef.shape
    state[UPDATES] += 1.0
    rate = rate_at(state[UPDATES], rule)
    averaging = state[UPDATES] >= rule.average_from
    state[AVERAGED] += 1.0 if averaging else 0.0
    for c in range(1, partial.shape[0]):
        for k in range(n_classes):
            for j in range(width):
                partial[0, k, j] += partial[c, k, j]
    for k in range(n_classes):
        for j in range(width - 1):
            partial[0, k, j] = partial[0, k, j] / b + rule.alpha * coef[k, j]
        partial[0, k, width - 1] *= rule.intercept / b
        if squares.shape[1]:
            for j in range(width):
                g = partial[0, k, j]
                squares[k, j] += g * g
                coef[k, j] -= rate * g / (np.sqrt(squares[k, j]) + rule.eps)
        else:
            for j in range(width):
                coef[k, j] -= rate * partial[0, k, j]
        if averaging:
            for j in range(width):
                total[k, j] += coef[k, j]


@driver
def batches(X, y, weight, order, batch_size, out_slope, out_partial, rule, out_model, start, stop):
    """Do updates of either kind on order[start:stop] in batches, each a sum over chunks; X in any storage.

    out_slope (n_chunks, K, GROUP), out_partial (n_chunks, *coef.shape).
    """
    coef, total, squares, state = out_model.coef, out_model.total, out_model.squares, out_model.state
    n_chunks = out_partial.shape[0]
    for first in range(start, stop, batch_size):
        b = min(batch_size, stop - first)
        for c in prange(n_chunks):
            begin, end = first + b * c // n_chunks, first + b * (c + 1) // n_chunks
            batch_gradient(X, y, weight, order, begin, end, stop, coef, out_slope[c], out_partial[c])
        update(out_partial, b, rule, coef, total, squares, state)
