"""Block primitives of rows in compressed sparse form, among which blocks.py and gram.py choose."""

from typing import NamedTuple

import numpy as np

from fastlogreg.kernels.builtins import reshaped
from fastlogreg.kernels.jit import kernel, pointwise

# Positions are unsigned: a signed one carries the wraparound of negative indices.
ONE, TWO = np.uint64(1), np.uint64(2)


class CSR(NamedTuple):
    """Rows in compressed sparse form; ``shape`` is (n_samples, n_features)."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    n_features: int


@pointwise
def plus_product(s, x, c):
    """Return s + x c, without leave to reorder: LLVM would gather coefficients, which takes 1.6 times longer."""
    return s + x * c


@kernel
def set_eta(X, first, last, coef, eta, ahead):
    """See blocks.block_eta; the hardware follows the runs of entries by itself.

    To ask for them 2048 bytes before took 0.8 to 0.95 of the time where coefficients fill the second-level cache, but
    1.05 to 1.4 elsewhere, for short rows as for long ones.
    """
    intercept = coef[X.n_features]
    for i in range(first, last):
        s = intercept
        for k in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
            s = plus_product(s, X.data[k], coef[np.uint64(X.indices[k])])
        eta[i - first] = s


@kernel
def add_gradient(X, first, last, slope, gradient):
    """See blocks.add_block_gradient."""
    for i in range(first, last):
        s = slope[i - first]
        for k in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
            j = np.uint64(X.indices[k])
            gradient[j] = plus_product(gradient[j], s, X.data[k])


@kernel
def copy_scaled(X, first, last, row_scale, target):
    """See blocks.copy_scaled."""
    target[:] = 0.0
    for i in range(first, last):
        scale = row_scale[i - first]
        row = target[np.uint64(i - first)]
        for k in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
            row[np.uint64(X.indices[k])] += scale * X.data[k]
        row[X.n_features] = scale


@kernel
def add_moments(X, first, last, weight, sums, squares):
    """See blocks.add_block_moments."""
    for i in range(first, last):
        w = weight[i] if weight.size else 1.0
        for k in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
            j, a = np.uint64(X.indices[k]), np.float64(X.data[k])
            sums[j] = plus_product(sums[j], w, a)
            squares[j] = plus_product(squares[j], w * a, a)


@kernel
def fill(X, first, last, panel):
    """See blocks.pack: the features of a panel."""
    panel[: X.n_features] = 0.0
    for i in range(first, last):
        row = np.uint64(i - first)
        for k in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
            panel[np.uint64(X.indices[k]), row] += X.data[k]


@kernel
def rises(indices, indptr, first, last):
    """Return whether the columns of rows first … last - 1 rise in each: sorted, none twice."""
    n_falls = 0
    before, stop = np.uint64(indptr[first]), np.uint64(indptr[last])
    for k in range(before + ONE, stop):
        n_falls += 1 if indices[k] <= indices[k - ONE] else 0
    for i in range(first + 1, last):  # from the last entry of one row to the first of another
        start = np.uint64(indptr[i])
        if before < start < stop:
            n_falls -= 1 if indices[start] <= indices[start - ONE] else 0
        before = start
    return n_falls == 0


@kernel
def add_gram(X, first, last, root, gram):
    """See gram.add_block_gram: entry by entry, in any order, in parts or not."""
    # Flat and unsigned, or every store carries the wraparound of two negative indices.
    flat, q, p = reshaped(gram, (gram.size,)), np.uint64(gram.shape[1]), np.uint64(X.n_features)
    if rises(X.indices, X.indptr, first, last):
        add_rising_gram(X, first, last, root, flat, q)
        return
    for i in range(first, last):
        r = root[i - first] * root[i - first]
        flat[p * q + p] += r
        for a in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
            j, scaled = np.uint64(X.indices[a]), r * X.data[a]
            flat[j * q + p] += scaled
            for b in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
                k = np.uint64(X.indices[b])
                if j <= k:  # parts of one entry meet twice
                    flat[j * q + k] += scaled * X.data[b]


@kernel
def add_rising_gram(X, first, last, root, flat, q):
    """Add the products of rows whose columns rise, two entries of a row with all that follow; some 1.3 ns for each.

    One entry at a time took 1.1 to 1.7 times as long: twice the loops, whose ends are mispredicted. A row's entries
    copied to an array first, with the intercept as one more: slower.
    """
    p, total = np.uint64(X.n_features), 0.0
    for i in range(first, last):
        r = root[i - first] * root[i - first]
        total += r
        a, stop = np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])
        while a + ONE < stop:
            j, k = np.uint64(X.indices[a]), np.uint64(X.indices[a + ONE])
            x, z = X.data[a], X.data[a + ONE]
            s, t = r * x, r * z
            row, other = j * q, k * q
            flat[row + p] += s
            flat[other + p] += t
            flat[row + j] = plus_product(flat[row + j], s, x)
            flat[row + k] = plus_product(flat[row + k], s, z)
            flat[other + k] = plus_product(flat[other + k], t, z)
            for b in range(a + TWO, stop):
                m, u = np.uint64(X.indices[b]), X.data[b]
                flat[row + m] = plus_product(flat[row + m], s, u)
                flat[other + m] = plus_product(flat[other + m], t, u)
            a += TWO
        if a < stop:
            j, x = np.uint64(X.indices[a]), X.data[a]
            s = r * x
            flat[j * q + p] += s
            flat[j * q + j] = plus_product(flat[j * q + j], s, x)
    flat[p * q + p] += total


@kernel
def prefetch_next(X, first, last, part, n_parts):
    """See blocks.prefetch_next; here nothing."""
