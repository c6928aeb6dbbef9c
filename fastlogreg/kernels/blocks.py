"""Block primitives: the only code, with lanes.py, turned.py, runs.py and csr.py, that knows how rows are stored.

A block is a range of rows small enough to stay in cache between its linear predictor and its gradient, so that a
pass reads X from memory once. Storages: C-ordered, F-ordered and CSR; float32 entries are widened as they are read.
The implementation is chosen by the type of X, by numba at compile time and by Python where the JIT is off.
"""

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from fastlogreg.kernels import csr, lanes, runs, turned
from fastlogreg.kernels.builtins import larger, reshaped, smaller
from fastlogreg.kernels.csr import CSR
from fastlogreg.kernels.jit import kernel
from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.vectors import ask


def _implementation(X, choices):
    """Pick one of (C, F, CSR) for a numba type or a Python value."""
    c_order, f_order, sparse = choices
    if isinstance(X, types.BaseNamedTuple | CSR):
        return sparse
    c_contiguous = X.layout == "C" if isinstance(X, types.Array) else X.flags.c_contiguous
    return c_order if c_contiguous else f_order


def by_storage(function, choices):
    """Have numba take one of (C, F, CSR) for a function whose first argument is X."""
    overload(function)(lambda X, *rest: _implementation(X, choices))


# --- shape ------------------------------------------------------------------------------------------------------


def _columns_dense(X):
    return X.shape[1]


def _columns_csr(X):
    return X.n_features


_COLUMNS = _columns_dense, _columns_dense, _columns_csr


def n_features(X):
    """Return the number of columns."""
    return _implementation(X, _COLUMNS)(X)


by_storage(n_features, _COLUMNS)

# In C order a block is a fraction of a second-level cache, where half of the next one has room, too (on a Zen 4, with
# 1 MB, four fifths of BLOCK took 0.98 to 1.08 of the time for passes over 20 to 1000 columns, six fifths 0.95 to 1.08,
# but 1.09 to 1.21 over 20; 16 KB a fifth more), or as few rows as are taken at once (twice as many of 10 000 columns
# took half as long again). In F order it is one run a column, and runs must be long for memory to be fast: half of that
# cache (a quarter or all were within noise up to 100 columns), or LONG_RUN bytes a column up to LONG_BLOCK, which the
# third level holds for every core. On a Zen 3, in turns, runs of 512 rows up to 1 MB took 0.89 and 0.81 of the time for
# passes over 300 and 500 columns, of float32 0.79 over 500, with 2 MB the same; on a Zen 4 these bytes took again 0.96,
# 0.97 and 0.94 over 400, 500 and 1000 columns, and 0.93, 0.95, 0.92 and 0.93 over 200, 300, 500 and 1000 of float32
# (4 MB: 0.89 and 0.87 over 1000). In C order, on the Zen 3, blocks of 9 to 20 KB for the first-level cache took 1.03 to
# 1.5.
BLOCK = 20480  # entries
LONG_RUN, LONG_BLOCK = 4096, 2**21


def _block_rows_c(X):
    return max(lanes.ROWS, min(1024, BLOCK // (X.shape[1] + 1) // 8 * 8))


def _block_rows_f(X):
    n_columns = X.shape[1] + 1
    longer = min(LONG_RUN, LONG_BLOCK // n_columns) // X.itemsize // 8 * 8
    return max(128, min(2048, 65536 // n_columns // 8 * 8), longer)


_BLOCK_ROWS = _block_rows_c, _block_rows_f, lambda X: 256


def block_rows(X):
    """Return the number of rows of a block; called from Python, which makes room for one."""
    return _implementation(X, _BLOCK_ROWS)(X)



# --- prefetch ---------------------------------------------------------------------------------------------------

# While a Hessian is worked on in cache, the hardware prefetcher sleeps, so the next block is asked for meanwhile, as it
# is by the passes of lanes.py and runs.py.
LINE = 64  # bytes


@intrinsic
def _prefetch_line(typingctx, address):
    """See vectors.ask."""

    def codegen(context, builder, signature, args):
        ask(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def prefetch(address, n_bytes):
    """Fetch a range of memory into cache ahead of its use; nothing without the JIT."""


@overload(prefetch)
def _prefetch(address, n_bytes):
    def implementation(address, n_bytes):
        for at in range(address, address + n_bytes, LINE):
            _prefetch_line(at)

    return implementation


# --- linear predictor -------------------------------------------------------------------------------------------


@kernel
def _eta_c(X, first, last, coef, eta, ahead):
    done = lanes.set_eta(X, first, last - first, coef, eta, ahead)
    for i in range(first + done, last):
        x = X[i]
        s = 0.0
        for j in range(X.shape[1]):
            s += x[j] * coef[j]
        eta[i - first] = s + coef[X.shape[1]]


@kernel
def _eta_f(X, first, last, coef, eta, ahead):
    done = runs.set_eta(X, first, last - first, coef, eta, ahead)
    rest = eta[done:]
    rest[:] = coef[X.shape[1]]
    for j in range(X.shape[1] if rest.size else 0):
        x, c = X[first + done : last, j], coef[j]
        for i in range(rest.size):
            rest[i] += c * x[i]


_ETA = _eta_c, _eta_f, csr.set_eta


def block_eta(X, first, last, coef, eta, ahead):
    """Set eta = X[first:last] @ coef[:-1] + coef[-1]; ahead: whether the block is read again."""
    _implementation(X, _ETA)(X, first, last, coef, eta, ahead)


by_storage(block_eta, _ETA)


# --- gradient ---------------------------------------------------------------------------------------------------


@kernel
def _gradient_c(X, first, last, slope, gradient):
    done = lanes.add_gradient(X, first, last - first, slope, gradient)
    for i in range(first + done, last):
        x = X[i]
        s = slope[i - first]
        for j in range(X.shape[1]):
            gradient[j] += s * x[j]


@kernel
def _gradient_f(X, first, last, slope, gradient):
    done = runs.add_gradient(X, first, last - first, slope, gradient)
    rest = slope[done:]
    for j in range(X.shape[1] if rest.size else 0):
        x = X[first + done : last, j]
        g = 0.0
        for i in range(rest.size):
            g += rest[i] * x[i]
        gradient[j] += g


_GRADIENT = _gradient_c, _gradient_f, csr.add_gradient


def add_block_gradient(X, first, last, slope, gradient):
    """Add X[first:last].T @ slope to gradient[:-1]; the caller adds the sum of the slopes."""
    _implementation(X, _GRADIENT)(X, first, last, slope, gradient)


by_storage(add_block_gradient, _GRADIENT)


# --- scaled copy ------------------------------------------------------------------------------------------------


@kernel
def _copy_c(X, first, last, row_scale, target):
    n_columns = X.shape[1]
    for i in range(last - first):
        source, row, scale = X[first + i], target[i], row_scale[i]
        for j in range(n_columns):
            row[j] = scale * source[j]
        row[n_columns] = scale


@kernel
def _copy_f(X, first, last, row_scale, target):
    n_columns = X.shape[1]
    for j in range(n_columns):
        source = X[first:last, j]
        for i in range(last - first):
            target[i, j] = row_scale[i] * source[i]
    for i in range(last - first):
        target[i, n_columns] = row_scale[i]


_COPY = _copy_c, _copy_f, csr.copy_scaled


def copy_scaled(X, first, last, row_scale, target):
    """Set target (m, p + 1) to row_scale times rows (x, 1) of X[first:last]."""
    _implementation(X, _COPY)(X, first, last, row_scale, target)


by_storage(copy_scaled, _COPY)


# --- moments ----------------------------------------------------------------------------------------------------


# Several short rows in C order are one long row: five columns summed entry by entry took twice as long as 60 in a row.
LONG_ROW = 64


def _width_c(X):
    return X.shape[1] * max(1, LONG_ROW // max(1, X.shape[1]))


_WIDTH = _width_c, n_features, n_features


def moments_width(X):
    """Return the length of the sums that add_block_moments takes, a multiple of the columns; called from Python."""
    return _implementation(X, _WIDTH)(X)


@kernel
def _moments_c(X, first, last, weight, sums, squares):
    n_columns = X.shape[1]
    if weight.size:
        for i in range(first, last):
            x, w = X[i], weight[i]
            for j in range(n_columns):
                a = np.float64(x[j])
                sums[j] += w * a
                squares[j] += w * a * a
        return
    group = larger(1, sums.size // larger(1, n_columns))
    n_long = (last - first) // group
    long = reshaped(X[first : first + n_long * group], (n_long, sums.size))
    whole = n_long - n_long % 4
    for i in range(0, whole, 4):
        x0, x1 = long[i], long[i + 1]
        x2, x3 = long[i + 2], long[i + 3]
        for j in range(sums.size):
            a, b = np.float64(x0[j]), np.float64(x1[j])
            c, d = np.float64(x2[j]), np.float64(x3[j])
            sums[j] += (a + b) + (c + d)
            squares[j] += (a * a + b * b) + (c * c + d * d)
    for i in range(first + whole * group, last):
        x = X[i]
        for j in range(n_columns):
            a = np.float64(x[j])
            sums[j] += a
            squares[j] += a * a


@kernel
def _moments_f(X, first, last, weight, sums, squares):
    for j in range(X.shape[1]):
        x = X[first:last, j]
        s = t = 0.0
        if weight.size:
            w = weight[first:last]
            for i in range(x.size):
                a = np.float64(x[i])
                s += w[i] * a
                t += w[i] * a * a
        else:
            for i in range(x.size):
                a = np.float64(x[i])
                s += a
                t += a * a
        sums[j] += s
        squares[j] += t


_MOMENTS = _moments_c, _moments_f, csr.add_moments


def add_block_moments(X, first, last, weight, sums, squares):
    """Add Σ w x and Σ w x² of X[first:last]; entry k of the sums is of column k % p, and the caller folds them."""
    _implementation(X, _MOMENTS)(X, first, last, weight, sums, squares)


by_storage(add_block_moments, _MOMENTS)


# --- panels -----------------------------------------------------------------------------------------------------


@kernel
def _fill_c(X, first, last, panel):
    for i in range(first + turned.turn(X, first, last - first, panel), last):
        for j in range(X.shape[1]):
            panel[j, i - first] = X[i, j]


@kernel
def _fill_f(X, first, last, panel):
    for j in range(X.shape[1]):
        source, target = X[first:last, j], panel[j]
        for i in range(last - first):
            target[i] = source[i]


_FILL = _fill_c, _fill_f, csr.fill


def _fill(X, first, last, panel):
    _implementation(X, _FILL)(X, first, last, panel)


by_storage(_fill, _FILL)


@kernel
def pack(X, first, last, panel):
    """Fill a panel (see panels.py) with rows first … last - 1, a row of ones for the intercept, and zeros."""
    p = n_features(X)
    _fill(X, first, last, panel)
    panel[p] = 1.0
    panel[p + 1 :] = 0.0
    if last - first < panel.shape[1]:
        panel[:, last - first :] = 0.0


@kernel
def _prefetch_c(X, first, last, part, n_parts):
    row_bytes = X.shape[1] * X.itemsize
    n_bytes = (smaller(X.shape[0], last + last - first) - last) * row_bytes
    begin, end = n_bytes * part // n_parts, n_bytes * (part + 1) // n_parts
    prefetch(X.ctypes.data + last * row_bytes + begin, end - begin)


@kernel
def _prefetch_f(X, first, last, part, n_parts):
    n_rows, n_columns = X.shape
    n_bytes = (smaller(n_rows, last + last - first) - last) * X.itemsize
    for j in range(n_columns * part // n_parts, n_columns * (part + 1) // n_parts):
        prefetch(X.ctypes.data + (j * n_rows + last) * X.itemsize, n_bytes)


_PREFETCH = _prefetch_c, _prefetch_f, csr.prefetch_next


def prefetch_next(X, first, last, part, n_parts):
    """Ask for one part of the block of rows that follows first … last - 1; nothing without the JIT."""


by_storage(prefetch_next, _PREFETCH)
