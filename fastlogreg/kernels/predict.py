"""Labels, decision values and probabilities of rows, and functions of arrays: read once, written once."""

from typing import NamedTuple

import numpy as np
from numba import prange

from fastlogreg.kernels import pointwise
from fastlogreg.kernels.binary import set_loss_slope
from fastlogreg.kernels.blocks import block_eta, by_storage, pack, prefetch_next
from fastlogreg.kernels.builtins import reshaped, smaller
from fastlogreg.kernels.csr import CSR
from fastlogreg.kernels.jit import Driver, driver, kernel
from fastlogreg.kernels.multinomial import add_offset, block_size, set_softmax
from fastlogreg.kernels.tiles import TILE_ROWS, set_product

# --- rows, one row of coef --------------------------------------------------------------------------------------
# out (n_chunks, 1) counts the decision values that are not finite: to look for them in what was written takes as long
# as a third of the pass. coef (1, p + 1), offset (n, 1) or (0, 0), out_work (n_chunks, size).

# Rows are read once, so that a block need not stay in cache, and the runs that memory is read in may be longer than
# those of passes, which read a block again. Decision values of 20 columns took 0.85 to 0.93 of the time, probabilities
# 0.90 to 0.96, of 100 columns in F order 0.77 to 0.91, of 20 in float32 0.86 (with blocks 3 and 32 times as long 0.91
# and 0.89). To ask for the next rows while exponentials are made took 1.16, stores that go past the caches 1.15 to 1.6.
LONGER = 8


@kernel
def set_eta(X, offset, coef, first, last, eta):
    """Set eta = X coef + intercept + offset of rows first … last - 1, and return how many are not finite."""
    block_eta(X, first, last, coef[0], eta, False)
    if offset.size:
        for i in range(last - first):
            eta[i] += offset[first + i, 0]
    return count_strange(eta)


@kernel
def count_strange(values):
    """Return how many values are not finite."""
    n_strange = 0
    for i in range(values.size):
        n_strange += 0 if abs(values[i]) < np.inf else 1
    return n_strange


@kernel
def label_rows(X, offset, coef, start, stop, work, out_label):
    """Set rows start … stop - 1 of the labels, and return how many decision values are not finite."""
    n_strange = 0
    for first in range(start, stop, work.size):
        last = smaller(first + work.size, stop)
        eta = work[: last - first]
        n_strange += set_eta(X, offset, coef, first, last, eta)
        for i in range(last - first):
            out_label[first + i, 0] = 1 if eta[i] > 0.0 else 0
    return n_strange


@driver
def label(X, offset, out_label, coef, out_work, bounds, out):
    """Labels out_label (n, 1): 1 where the decision value is positive, else 0."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += label_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c], out_label)


@kernel
def decision_rows(X, offset, coef, start, stop, work, out_eta):
    """As label_rows, of decision values."""
    n_strange = 0
    for first in range(start, stop, work.size):
        last = smaller(first + work.size, stop)
        eta = work[: last - first]
        n_strange += set_eta(X, offset, coef, first, last, eta)
        for i in range(last - first):
            out_eta[first + i, 0] = eta[i]
    return n_strange


@driver
def decision(X, offset, out_eta, coef, out_work, bounds, out):
    """Decision values out_eta (n, 1)."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += decision_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c], out_eta)


@kernel
def probability_rows(X, offset, coef, start, stop, work, out_prob):
    """As label_rows, of the probabilities of both classes."""
    n_strange = 0
    for first in range(start, stop, work.size):
        last = smaller(first + work.size, stop)
        eta = work[: last - first]
        n_strange += set_eta(X, offset, coef, first, last, eta)
        both = reshaped(out_prob[first:last], (2 * (last - first),))  # in pairs, which LLVM stores as vectors
        for i in range(last - first):
            high, low = pointwise.sigmoids(abs(eta[i]))
            both[2 * i] = low if eta[i] > 0.0 else high
            both[2 * i + 1] = high if eta[i] > 0.0 else low
    return n_strange


@driver
def probability(X, offset, out_prob, coef, out_work, bounds, out):
    """Probabilities out_prob (n, 2)."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += probability_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c], out_prob)


@kernel
def log_probability_rows(X, offset, coef, start, stop, work, out_prob):
    """As label_rows, of the logarithms of the probabilities of both classes."""
    n_strange = 0
    for first in range(start, stop, work.size):
        last = smaller(first + work.size, stop)
        eta = work[: last - first]
        n_strange += set_eta(X, offset, coef, first, last, eta)
        both = reshaped(out_prob[first:last], (2 * (last - first),))
        for i in range(last - first):
            size = abs(eta[i])
            likely = -pointwise.log1pexp(-size)
            other = likely - size
            both[2 * i] = other if eta[i] > 0.0 else likely
            both[2 * i + 1] = likely if eta[i] > 0.0 else other
    return n_strange


@driver
def log_probability(X, offset, out_prob, coef, out_work, bounds, out):
    """Log probabilities out_prob (n, 2)."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += log_probability_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_work[c], out_prob)


# --- rows, several rows of coef ---------------------------------------------------------------------------------
# As above, for coef (K, p + 1) and offset (n, K) or (0, 0); decision values of a block are (K, size), one class after
# another. From PANEL_CLASSES on those of dense rows are made by tiles from a panel of the rows, out_panel (n_chunks,
# p + 1, size), as multinomial.py does; else, or where out_panel is (n_chunks, 0, 0), class by class from X in cache.

# On a Zen 4, in turns, decision values by tiles took 1.4, 0.93 and 0.81 of the time for 3, 6 and 10 classes of 20
# columns, 1.6, 1.3, 1.02 and 0.85 for 4, 6, 10 and 16 of 100 (0.86 for 10 in F order), 0.55 for 100 of 50.
PANEL_CLASSES = 8


@kernel
def _set_etas_by_class(X, offset, coef, first, last, panel, eta):
    m = last - first
    for k in range(eta.shape[0]):
        block_eta(X, first, last, coef[k], eta[k, :m], False)
    add_offset(offset, first, m, eta)
    eta[:, m:] = 0.0  # which are neither read nor NaN


@kernel
def _set_etas_dense(X, offset, coef, first, last, panel, eta):
    if panel.size == 0:
        _set_etas_by_class(X, offset, coef, first, last, panel, eta)
        return
    pack(X, first, last, panel)
    n_parts = (eta.shape[0] + TILE_ROWS - 1) // TILE_ROWS
    for part in range(n_parts):
        k = part * TILE_ROWS
        prefetch_next(X, first, last, part, n_parts)
        set_product(coef[k : k + TILE_ROWS], panel, eta[k : k + TILE_ROWS])
    add_offset(offset, first, last - first, eta)


def _set_etas(X, offset, coef, first, last, panel, eta):
    """Set eta of rows first … last - 1."""
    choose = _set_etas_by_class if isinstance(X, CSR) else _set_etas_dense
    choose(X, offset, coef, first, last, panel, eta)


by_storage(_set_etas, (_set_etas_dense, _set_etas_dense, _set_etas_by_class))


@kernel
def set_class_etas(X, offset, coef, first, last, panel, eta):
    """Set eta of rows first … last - 1, and return how many values are not finite."""
    _set_etas(X, offset, coef, first, last, panel, eta)
    n_strange = 0
    for k in range(eta.shape[0]):
        n_strange += count_strange(eta[k, : last - first])
    return n_strange


@kernel
def write_rows(columns, first, last, out):
    """Write columns (K, size) to rows first … last - 1, eight at a time: every line of both is used up in cache."""
    whole = last - (last - first) % 8
    for i in range(first, whole, 8):
        rows = out[i : i + 8]
        for k in range(columns.shape[0]):
            source = columns[k, i - first : i - first + 8]
            for r in range(8):
                rows[r, k] = source[r]
    for i in range(whole, last):
        for k in range(columns.shape[0]):
            out[i, k] = columns[k, i - first]


@kernel
def class_label_rows(X, offset, coef, start, stop, panel, work, out_label):
    """Set rows start … stop - 1 to the class of the largest decision value, the first of several."""
    eta, largest, place = work[:-2], work[-2], work[-1]
    n_strange = 0
    for first in range(start, stop, work.shape[1]):
        last = smaller(first + work.shape[1], stop)
        n_strange += set_class_etas(X, offset, coef, first, last, panel, eta)
        for i in range(work.shape[1]):
            largest[i] = eta[0, i]
            place[i] = 0.0
        for k in range(1, eta.shape[0]):
            values, this = eta[k], float(k)
            for i in range(work.shape[1]):
                value, most, best = values[i], largest[i], place[i]
                place[i] = this if value > most else best
                largest[i] = value if value > most else most
        for i in range(last - first):
            out_label[first + i, 0] = np.int64(place[i])
    return n_strange


@driver
def class_label(X, offset, out_label, coef, out_panel, out_work, bounds, out):
    """Labels out_label (n, 1): the class of the largest decision value; out_work (n_chunks, K + 2, size)."""
    for c in prange(bounds.shape[0]):
        out[c, 0] += class_label_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], out_panel[c], out_work[c], out_label)


@kernel
def class_decision_rows(X, offset, coef, start, stop, panel, work, out_eta):
    """As class_label_rows, of decision values."""
    n_strange = 0
    for first in range(start, stop, work.shape[1]):
        last = smaller(first + work.shape[1], stop)
        n_strange += set_class_etas(X, offset, coef, first, last, panel, work)
        write_rows(work, first, last, out_eta)
    return n_strange


@driver
def class_decision(X, offset, out_eta, coef, out_panel, out_work, bounds, out):
    """Decision values out_eta (n, K); out_work (n_chunks, K, size)."""
    for c in prange(bounds.shape[0]):
        panel, work = out_panel[c], out_work[c]
        out[c, 0] += class_decision_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], panel, work, out_eta)


@kernel
def class_probability_rows(X, offset, coef, start, stop, panel, work, out_prob):
    """As class_label_rows, of probabilities."""
    n_classes = coef.shape[0]
    eta, prob = work[:n_classes], work[n_classes : 2 * n_classes]
    n_strange = 0
    for first in range(start, stop, work.shape[1]):
        last = smaller(first + work.shape[1], stop)
        n_strange += set_class_etas(X, offset, coef, first, last, panel, eta)
        set_softmax(eta, prob, work[-3], work[-2], work[-1])
        write_rows(prob, first, last, out_prob)
    return n_strange


@driver
def class_probability(X, offset, out_prob, coef, out_panel, out_work, bounds, out):
    """Probabilities out_prob (n, K); out_work (n_chunks, 2 K + 3, size)."""
    for c in prange(bounds.shape[0]):
        panel, work = out_panel[c], out_work[c]
        out[c, 0] += class_probability_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], panel, work, out_prob)


@kernel
def class_log_probability_rows(X, offset, coef, start, stop, panel, work, out_prob):
    """As class_label_rows, of the logarithms of probabilities, eta - logsumexp(eta)."""
    n_strange = class_decision_rows(X, offset, coef, start, stop, panel, work, out_prob)
    for i in range(start, stop):
        row = out_prob[i]
        log_total, largest = log_sum(row)
        for k in range(row.size):
            row[k] = pointwise.log_share(row[k], largest, log_total)
    return n_strange


@driver
def class_log_probability(X, offset, out_prob, coef, out_panel, out_work, bounds, out):
    """Log probabilities out_prob (n, K); out_work (n_chunks, K, size)."""
    for c in prange(bounds.shape[0]):
        panel, work = out_panel[c], out_work[c]
        out[c, 0] += class_log_probability_rows(X, offset, coef, bounds[c, 0], bounds[c, 1], panel, work, out_prob)


class Prediction(NamedTuple):
    """What may be predicted of rows: by a driver for one row of coef, or for several."""

    one: Driver
    several: Driver
    dtype: type = np.float64
    lines: tuple[int, int] = 1, 0  # of work: so many a class, and so many more

    def driver(self, n_classes):
        """Return the one for so many rows of coef."""
        return self.one if n_classes == 1 else self.several

    def workspace(self, X, n_rows, block_rows, n_classes):
        """Return the shapes of what the driver works in for a chunk."""
        if n_classes == 1:
            return ((min(block_rows * LONGER, max(1, n_rows)),),)
        n_lines = self.lines[0] * n_classes + self.lines[1]
        if isinstance(X, CSR) or n_classes < PANEL_CLASSES:
            return (0, 0), (n_lines, block_rows)
        n_columns = X.shape[1] + 1
        size = block_size(n_columns, 1 + n_lines // 3)
        return (n_columns, size), (n_lines, size)


LABEL = Prediction(label, class_label, np.intp, (1, 2))
DECISION = Prediction(decision, class_decision)
PROBABILITY = Prediction(probability, class_probability, lines=(2, 3))
LOG_PROBABILITY = Prediction(log_probability, class_log_probability)


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
    write_rows(prob, 0, m, out_prob)


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
