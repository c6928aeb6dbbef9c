"""What one read of X tells about its columns."""

import numpy as np
from numba import prange

from fastlogreg.kernels.blocks import add_block_moments, n_features
from fastlogreg.kernels.builtins import larger, smaller
from fastlogreg.kernels.csr import rises
from fastlogreg.kernels.jit import driver, kernel

BLOCK = 256  # rows looked at twice, from cache


@kernel
def moments_rows(X, weight, start, stop, work, out):
    """Add Σ w x of every column to the first half of out, Σ w x² to the second; NaN or infinity in X shows there.

    weight (n,), or empty where all are one.
    """
    p = n_features(X)
    for k in range(work.shape[1]):
        work[0, k] = work[1, k] = 0.0
    add_block_moments(X, start, stop, weight, work[0], work[1])
    for k in range(work.shape[1]):  # adding slices would compile numba's message for slices that differ, for a second
        out[k % p] += work[0, k]
        out[p + k % p] += work[1, k]


@driver
def moments(X, weight, out_work, bounds, out):
    """Drive moments_rows; out_work (n_chunks, 2, moments_width), out has 2 p columns."""
    for c in prange(bounds.shape[0]):
        moments_rows(X, weight, bounds[c, 0], bounds[c, 1], out_work[c], out[c])


@driver
def take(X, out_taken, index, bounds):
    """Set out_taken to the columns of a dense X in index, row by row."""
    for c in prange(bounds.shape[0]):
        for i in range(bounds[c, 0], bounds[c, 1]):
            for k in range(index.size):
                out_taken[i, k] = X[i, np.uint64(index[k])]


@kernel
def look_rows(indices, indptr, start, stop, out):
    """Set out to the least index of CSR rows, or 0, the largest, or -1, and whether the columns of every row rise."""
    low, high, rising = np.int64(0), np.int64(-1), True
    for first in range(start, stop, BLOCK):
        last = smaller(first + BLOCK, stop)
        for k in range(np.uint64(indptr[first]), np.uint64(indptr[last])):
            j = np.int64(indices[k])
            low, high = smaller(low, j), larger(high, j)
        rising &= rises(indices, indptr, first, last)
    out[0], out[1], out[2] = low, high, 1 if rising else 0


@driver
def look(indices, indptr, bounds, out):
    """Drive look_rows; out (n_chunks, 3)."""
    for c in prange(bounds.shape[0]):
        look_rows(indices, indptr, bounds[c, 0], bounds[c, 1], out[c])


# Entries looked at together; those to be taken are found without a branch, which would be mispredicted.
PIECE = 512
ONE, NOWHERE = np.uint64(1), np.uint32(2**32 - 1)


@kernel
def wanted(X, place, first, last, found):
    """Set found to which of the entries first … last - 1 of CSR are in columns with a place; return how many."""
    n = np.uint64(0)
    for k in range(np.uint64(first), np.uint64(last)):
        found[n] = k
        n += ONE if place[np.uint64(X.indices[k])] != NOWHERE else np.uint64(0)
    return n


@driver
def count(X, place, out_work, bounds, out_counts):
    """Set row c of out_counts to the entries of each column taken from CSR rows bounds[c].

    place (n_features,), of uint32, says where among the columns taken a column of X is, or NOWHERE; out_work
    (n_chunks, PIECE), of uint64.
    """
    for c in prange(bounds.shape[0]):
        counts, found = out_counts[c], out_work[c]
        for j in range(counts.size):
            counts[j] = 0
        stop = X.indptr[bounds[c, 1]]
        for first in range(X.indptr[bounds[c, 0]], stop, PIECE):
            for t in range(wanted(X, place, first, smaller(first + PIECE, stop), found)):
                counts[place[np.uint64(X.indices[found[t]])]] += 1


@driver
def turn(X, place, out_work, bounds, out_next, out_data, out_rows):
    """Write the entries of the columns taken, those of column j in rows bounds[c] from out_next[c, j] on, as CSC."""
    for c in prange(bounds.shape[0]):
        here, found = out_next[c], out_work[c]
        for i in range(bounds[c, 0], bounds[c, 1]):
            stop = X.indptr[i + 1]
            for first in range(X.indptr[i], stop, PIECE):
                for t in range(wanted(X, place, first, smaller(first + PIECE, stop), found)):
                    k = found[t]
                    j = place[np.uint64(X.indices[k])]
                    at = np.uint64(here[j])
                    here[j] += 1
                    out_data[at] = X.data[k]
                    out_rows[at] = i
