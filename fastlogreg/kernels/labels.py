"""Labels of two classes as targets."""

from numba import prange

from fastlogreg.kernels.jit import driver, kernel


@kernel
def mark_rows(y, low, high, target):
    """Set target to 1.0 where y is high, else to 0.0, and return how many are low or high."""
    found = 0
    for i in range(y.size):
        target[i] = 1.0 if y[i] == high else 0.0
        found += 1 if y[i] == low or y[i] == high else 0
    return found


@driver
def mark_high(y, low, high, bounds, out_target, out_found):
    """Drive mark_rows over bounds (n_chunks, 2); out_found (n_chunks,)."""
    for c in prange(bounds.shape[0]):
        start, stop = bounds[c, 0], bounds[c, 1]
        out_found[c] = mark_rows(y[start:stop], low, high, out_target[start:stop])
