"""What one read of X tells about its columns."""

from numba import prange

from fastlogreg.kernels.blocks import add_block_moments, block_rows, prefetch_next
from fastlogreg.kernels.jit import driver, kernel


@kernel
def moments_rows(X, start, stop, out):
    """Add Σ x of every column to the first half of out, Σ x² to the second; NaN or infinity in X shows there."""
    half = out.size // 2
    size = block_rows(X)
    for first in range(start, stop, size):
        last = min(first + size, stop)
        prefetch_next(X, first, last, 0, 1)
        add_block_moments(X, first, last, out[:half], out[half:])


@driver
def moments(X, bounds, out):
    """Drive moments_rows; out has 2 p columns."""
    for c in prange(bounds.size - 1):
        moments_rows(X, bounds[c], bounds[c + 1], out[c])
