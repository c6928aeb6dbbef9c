"""Block primitives of rows in compressed sparse form, among which blocks.py and gram.py choose."""

from typing import NamedTuple

import numpy as np

from fastlogreg.kernels.jit import kernel, pointwise


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
        # Unsigned positions: a signed one carries the wraparound of negative indices.
        for k in range(np.uint64(X.indptr[i]), np.uint64(X.indptr[i + 1])):
            s = plus_product(s, X.data[k], coef[np.uint64(X.indices[k])])
        eta[i - first] = s


@kernel
def add_gradient(X, first, last, slope, gradient, ahead):
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
        for k in range(X.indptr[i], X.indptr[i + 1]):
            target[i - first, X.indices[k]] += scale * X.data[k]
        target[i - first, X.n_features] = scale


@kernel
def add_moments(X, first, last, weight, sums, squares):
    """See blocks.add_block_moments."""
    for i in range(first, last):
        w = weight[i] if weight.size else 1.0
        for k in range(X.indptr[i], X.indptr[i + 1]):
            a = np.float64(X.data[k])
            sums[X.indices[k]] += w * a
            squares[X.indices[k]] += w * a * a


@kernel
def fill(X, first, last, panel):
    """See blocks.pack: the features of a panel."""
    panel[: X.n_features] = 0.0
    for i in range(first, last):
        for k in range(X.indptr[i], X.indptr[i + 1]):
            panel[X.indices[k], i - first] += X.data[k]


@kernel
def add_gram(X, first, last, root, gram):
    """See gram.add_block_gram: entry by entry."""
    p = X.n_features
    for i in range(first, last):
        r = root[i - first] * root[i - first]
        gram[p, p] += r
        for a in range(X.indptr[i], X.indptr[i + 1]):
            j = X.indices[a]
            scaled = r * X.data[a]
            gram[j, p] += scaled
            gram[j, j] += scaled * X.data[a]
            for b in range(a + 1, X.indptr[i + 1]):
                k = X.indices[b]
                product = scaled * X.data[b]
                if j < k:
                    gram[j, k] += product
                elif j > k:
                    gram[k, j] += product
                else:  # one entry in two parts, each multiplied with the other
                    gram[j, j] += 2.0 * product


@kernel
def prefetch_next(X, first, last, part, n_parts):
    """See blocks.prefetch_next; here nothing."""
