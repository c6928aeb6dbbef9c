"""What one read of X tells about its columns."""

import numpy as np
from numba import prange

from fastlogreg.kernels.blocks import add_block_moments, block_rows, moments_width, n_features
from fastlogreg.kernels.jit import driver, kernel


@kernel
def moments_rows(X, weight, start, stop, work, out):
    """Add Σ w x of every column to the first half of out, Σ w x² to the second; NaN or infinity in X shows there.

    weight (n,), or empty where all are one.
    """
    p = n_features(X)
    size = block_rows(X)
    for k in range(work.shape[1]):
        work[0, k] = work[1, k] = 0.0
    for first in range(start, stop, size):
        add_block_moments(X, first, min(first + size, stop), weight, work[0], work[1])
    for k in range(work.shape[1]):  # adding slices would compile numba's message for slices that differ, for a second
        out[k % p] += work[0, k]
        out[p + k % p] += work[1, k]


@driver
def moments(X, weight, bounds, out):
    """Drive moments_rows; out has 2 p columns."""
    work = np.empty((bounds.shape[0], 2, moments_width(X)))  # np.zeros would be a parallel loop of its own to compile
    for c in prange(bounds.shape[0]):
        moments_rows(X, weight, bounds[c, 0], bounds[c, 1], work[c], out[c])


@driver
def take(X, out_taken, index, bounds):
    """Set out_taken to the columns of a dense X in index, row by row."""
    for c in prange(bounds.shape[0]):
        for i in range(bounds[c, 0], bounds[c, 1]):
            for k in range(index.size):
                out_taken[i, k] = X[i, index[k]]
