"""Row primitives: as blocks.py, but for rows named one by one in any order, as the learning-rate family visits them.

The rows are order[first:last]; arrays of classes are passed whole, with the class k. Coefficients may be stored as a
multiple, w = scale · coef (not the intercept, which is last), so that shrinking all of them costs nothing where X is
sparse.
"""

from typing import NamedTuple

import numpy as np

from fastlogreg.kernels.blocks import LINE, _implementation, prefetch
from fastlogreg.kernels.builtins import smaller
from fastlogreg.kernels.csr import plus_product
from fastlogreg.kernels.jit import inlined, kernel, pointwise
from fastlogreg.kernels.parts import overload

# Positions in CSR arrays are unsigned: every signed index carries a test whether it counts from the end. With that and
# without gathers, a shuffled update of 50 entries takes 83 ns instead of 412.
ONE, TWO, THREE, FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)

# --- linear predictor -------------------------------------------------------------------------------------------


def _rows_eta_dense(X, order, first, last, coef, k, scale, eta):
    n_columns = X.shape[1]
    for at in range(first, last):
        i = order[at]
        s = 0.0
        for j in range(n_columns):
            s += X[i, j] * coef[k, j]
        eta[k, at - first] = scale * s + coef[k, n_columns]


def _rows_eta_csr(X, order, first, last, coef, k, scale, eta):
    data, indices, indptr = X.data, X.indices, X.indptr
    for row in range(first, last):
        i = order[row]
        at, stop = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        # Four sums, so that an addition need not wait for the one before it.
        s0 = s1 = s2 = s3 = 0.0
        while at + FOUR <= stop:
            s0 = plus_product(s0, data[at], coef[k, np.uint64(indices[at])])
            s1 = plus_product(s1, data[at + ONE], coef[k, np.uint64(indices[at + ONE])])
            s2 = plus_product(s2, data[at + TWO], coef[k, np.uint64(indices[at + TWO])])
            s3 = plus_product(s3, data[at + THREE], coef[k, np.uint64(indices[at + THREE])])
            at += FOUR
        while at < stop:
            s0 = plus_product(s0, data[at], coef[k, np.uint64(indices[at])])
            at += ONE
        eta[k, row - first] = scale * ((s0 + s1) + (s2 + s3)) + coef[k, X.n_features]


_ROWS_ETA = _rows_eta_dense, _rows_eta_dense, _rows_eta_csr


def rows_eta(X, order, first, last, coef, k, scale, eta):
    """Set eta[k] = scale · X[order[first:last]] @ coef[k, :-1] + coef[k, -1]."""
    _implementation(X, _ROWS_ETA)(X, order, first, last, coef, k, scale, eta)


@overload(rows_eta, inline=True)
def _rows_eta(X, order, first, last, coef, k, scale, eta):
    return _implementation(X, _ROWS_ETA)


# --- sums of rows -----------------------------------------------------------------------------------------------


def _add_rows_dense(X, order, first, last, factor, k, target):
    n_columns = X.shape[1]
    whole = last - (last - first) % 4
    for at in range(first, whole, 4):
        i0, i1, i2, i3 = order[at], order[at + 1], order[at + 2], order[at + 3]
        f = at - first
        s0, s1, s2, s3 = factor[k, f], factor[k, f + 1], factor[k, f + 2], factor[k, f + 3]
        for j in range(n_columns):
            target[k, j] += (s0 * X[i0, j] + s1 * X[i1, j]) + (s2 * X[i2, j] + s3 * X[i3, j])
    for at in range(whole, last):
        i = order[at]
        s = factor[k, at - first]
        for j in range(n_columns):
            target[k, j] += s * X[i, j]


def _add_rows_csr(X, order, first, last, factor, k, target):
    data, indices, indptr = X.data, X.indices, X.indptr
    for row in range(first, last):
        i = order[row]
        s = factor[k, row - first]
        for at in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            target[k, np.uint64(indices[at])] += s * data[at]


_ADD_ROWS = _add_rows_dense, _add_rows_dense, _add_rows_csr


def add_rows_gradient(X, order, first, last, factor, k, target):
    """Add X[order[first:last]].T @ factor[k] to target[k, :-1]; the caller adds the sum of the factors."""
    _implementation(X, _ADD_ROWS)(X, order, first, last, factor, k, target)


@overload(add_rows_gradient, inline=True)
def _add_rows_gradient(X, order, first, last, factor, k, target):
    return _implementation(X, _ADD_ROWS)


# --- prefetch ---------------------------------------------------------------------------------------------------

# Rows in random order come from memory one by one unless they are asked for ahead of time. So many bytes of rows, and
# at least two rows, are kept under way. (To ask for the weights of the next sparse row, too, took 1.05 to 1.1 times as
# long.)
AHEAD = 4096


def _distance_dense(X):
    return max(2, min(16, AHEAD // (X.shape[1] * X.itemsize + 1)))


def _distance_csr(X):
    n_bytes = (X.data.itemsize + X.indices.itemsize) * X.data.size // max(1, X.indptr.size - 1)
    return max(2, min(16, AHEAD // (n_bytes + 1)))


_DISTANCE = _distance_dense, _distance_dense, _distance_csr


def rows_ahead(X):
    """Return how many rows ahead to prefetch."""
    return _implementation(X, _DISTANCE)(X)


@overload(rows_ahead, inline=True)
def _rows_ahead(X):
    return _implementation(X, _DISTANCE)


@pointwise
def _prefetch_lines(address, n_bytes):
    # From the start of the first line, else the last one is missed where rows and lines are not aligned.
    first = address // LINE * LINE
    prefetch(first, address + n_bytes - first)


@inlined
def prefetch_entry(values, i):
    """Ask for one entry of an array."""
    prefetch(values.ctypes.data + np.int64(i) * values.itemsize, 1)


def _prefetch_row_c(X, near, far):
    row_bytes = X.shape[1] * X.itemsize
    _prefetch_lines(X.ctypes.data + np.int64(near) * row_bytes, row_bytes)


def _prefetch_row_f(X, near, far):
    pass  # a line for every entry: one would fetch eight times what is used


def _prefetch_row_csr(X, near, far):
    # Where a row begins must itself be fetched first.
    prefetch(X.indptr.ctypes.data + np.int64(far) * X.indptr.itemsize, 1)
    first, last = np.int64(X.indptr[near]), np.int64(X.indptr[near + 1])
    _prefetch_lines(X.data.ctypes.data + first * X.data.itemsize, (last - first) * X.data.itemsize)
    _prefetch_lines(X.indices.ctypes.data + first * X.indices.itemsize, (last - first) * X.indices.itemsize)


_PREFETCH_ROW = _prefetch_row_c, _prefetch_row_f, _prefetch_row_csr


def prefetch_row(X, near, far):
    """Ask for row `near`, soon to be read, and for what finds row `far`; nothing without the JIT."""


@overload(prefetch_row, inline=True)
def _prefetch_row(X, near, far):
    return _implementation(X, _PREFETCH_ROW)


@inlined
def prefetch_rows(X, y, order, first, last, stop, distance):
    """Ask for the rows that come `distance` places after some."""
    for at in range(first, last):
        near = order[smaller(at + distance, stop - 1)]
        prefetch_row(X, near, order[smaller(at + 2 * distance, stop - 1)])
        prefetch_entry(y, near)


# --- copies of sparse rows in the order of their visit ----------------------------------------------------------


class Copies(NamedTuple):
    """Room in two slots, one to read from while rows are copied to the other."""

    data: np.ndarray  # (2, most entries)
    indices: np.ndarray  # (2, most entries)
    indptr: np.ndarray  # (2, most rows + 1)
    y: np.ndarray  # (2, most rows)
    weight: np.ndarray  # (2, most rows), or (2, 0) where there are no weights
    order: np.ndarray  # 0, 1, … most rows - 1
    n_rows: np.ndarray  # (2,), how many rows are in a slot; none where there is no room


def room_for_copies(X, y, weight, n_rows, n_entries):
    """Return room for so many rows with so many entries, or none, to read and to write; called from Python."""
    room = Copies(
        np.empty((2, n_entries), X.data.dtype),
        np.empty((2, n_entries), X.indices.dtype),
        np.empty((2, n_rows + 1), X.indptr.dtype),
        np.empty((2, n_rows), y.dtype),
        np.empty((2, n_rows if weight.size else 0), weight.dtype),
        np.arange(n_rows, dtype=np.int32),
        np.zeros(2 if n_rows else 0, dtype=np.int64),
    )
    to_read = Copies(*(array.view() for array in room))
    for array in to_read:
        array.flags.writeable = False
    return to_read, room


@kernel
def copy_rows(X, y, weight, order, first, stop, batch_size, copies, slot):
    """Copy the rows order[first], … to a slot: as many whole batches as there is room for, or up to order[stop - 1]."""
    data, indices, indptr = copies.data[slot], copies.indices[slot], copies.indptr[slot]
    most, distance = copies.order.size, rows_ahead(X)
    used, n_rows, whole = 0, 0, 0
    indptr[0] = 0
    for at in range(first, smaller(stop, first + most)):
        prefetch_rows(X, y, order, at, at + 1, stop, distance)
        i = order[at]
        begin, n_entries = np.uint64(X.indptr[i]), X.indptr[i + 1] - X.indptr[i]
        if used + n_entries > data.size:
            break
        for k in range(np.uint64(n_entries)):
            data[np.uint64(used) + k] = X.data[begin + k]
        for k in range(np.uint64(n_entries)):
            indices[np.uint64(used) + k] = X.indices[begin + k]
        used += n_entries
        copies.y[slot, n_rows] = y[i]
        if weight.size:
            copies.weight[slot, n_rows] = weight[i]
        n_rows += 1
        indptr[n_rows] = used
        if n_rows % batch_size == 0 or at + 1 == stop:
            whole = n_rows
    copies.n_rows[slot] = whole


# --- updates of the features that occur, X in CSR ---------------------------------------------------------------

# Where iterates are averaged, ``total`` takes -scales · change for every change of a weight, see stochastic.Model.


@inlined
def scatter_rows(X, order, first, last, factor, k, coef, total, scales):
    """Add X[order[first:last]].T @ factor[k] to coef[k, :-1]."""
    data, indices, indptr = X.data, X.indices, X.indptr
    for row in range(first, last):
        i = order[row]
        s = factor[k, row - first]
        if scales == 0.0:
            for at in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
                coef[k, np.uint64(indices[at])] += s * data[at]
        else:
            for at in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
                j = np.uint64(indices[at])
                change = s * data[at]
                coef[k, j] += change
                total[k, j] -= scales * change


@inlined
def scatter_adagrad(X, order, first, last, gradient, k, squares, rate, eps, coef, total, scales):
    """Update the features that occur in some rows, G += g², w -= rate · g / (√G + eps), and zero their gradient."""
    indices, indptr = X.indices, X.indptr
    for row in range(first, last):
        i = order[row]
        for at in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            j = np.uint64(indices[at])
            g = gradient[k, j]
            if g != 0.0:  # a feature of several rows is updated at the first
                gradient[k, j] = 0.0
                squares[k, j] += g * g
                change = -rate * g / (np.sqrt(squares[k, j]) + eps)
                coef[k, j] += change
                total[k, j] -= scales * change
