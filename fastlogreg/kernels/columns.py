"""What one read of X tells about its columns."""

from numba import prange

from fastlogreg.kernels.blocks import add_block_squares, block_rows, prefetch_next
from fastlogreg.kernels.jit import driver, kernel


@kernel
def squares_rows(X, start, stop, out):
    """Add Σ x² to out, a column each; any NaN or infinity in a column shows in its sum."""
    size = block_rows(X)
    for first in range(start, stop, size):
        last = min(first + size, stop)
        prefetch_next(X, first, last, 0, 1)
        add_block_squares(X, first, last, out)


@driver
def squares(X, bounds, out):
    """Drive squares_rows; out has p columns."""
    for c in prange(bounds.size - 1):
        squares_rows(X, bounds[c], bounds[c + 1], out[c])
