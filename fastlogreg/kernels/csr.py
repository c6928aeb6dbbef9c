"""Block primitives of rows in compressed sparse form, among which blocks.py and gram.py choose."""

from typing import NamedTuple

import numpy as np

from fastlogreg.kernels.jit import kernel, pointwise

# Positions are unsigned: a signed one carries the wraparound of negative indices.
ONE = np.uint64(1)


class CSR(NamedTuple):
    """Rows in compressed sparse form; ``shape`` is (n_samples, n_features)."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    n_features: int


@kernel
def block_rows(X):
    """Return the number of rows of a block."""
    return 256


@pointwise
def plus_product(s, x, c):
    """Return s + x c, without leave to reorder: LLVM would gather coefficients, which takes 1.6 times longer."""
    return s + x * c


@kernel
def set_eta(X, first, last, coef, eta, ahead):
    """See blocks.block_eta; the hardware follows the runs of entries by itself."""
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
def add_gram(X, first, last, root, gram):
    """See gram.add_block_gram: entry by entry, some 1.2 ns for each pair of entries of a row."""
    # Flat and unsigned, or every store carries the wraparound of two negative indices: 12 ms instead of 2.2 for 5e4
    # rows of seven entries. A row's entries copied to an array first, with the intercept as one more: slower.
    flat, q, p = gram.reshape(-1), np.uint64(gram.shape[1]), np.uint64(X.n_features)
    for i in range(first, last):
        r = root[i - first] * root[i - first]
        start, stop = np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])
        rising = True
        for a in range(start + ONE, stop):
            rising &= X.indices[a - ONE] < X.indices[a]
        flat[p * q + p] += r
        for a in range(start, stop):
            j = np.uint64(X.indices[a])
            scaled = r * X.data[a]
            row = j * q
            flat[row + p] += scaled
            for b in range(a, stop if rising else a + ONE):
                at = row + np.uint64(X.indices[b])
                flat[at] = plus_product(flat[at], scaled, X.data[b])
            for b in range(stop if rising else a + ONE, stop):
                k = np.uint64(X.indices[b])
                twice = 2.0 if j == k else 1.0  # one entry in two parts, each multiplied with the other
                at = min(j, k) * q + max(j, k)
                flat[at] = plus_product(flat[at], twice * scaled, X.data[b])


@kernel
def prefetch_next(X, first, last, part, n_parts):
    """See blocks.prefetch_next; here nothing."""
