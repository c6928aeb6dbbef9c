"""The Hessian's sums over rows: how they are panelled, and how they become a symmetric matrix."""

import functools

import numpy as np
from scipy.linalg.blas import dsyrk, ssyrk

from fastlogreg.kernels import binary
from fastlogreg.kernels.panels import TILE
from fastlogreg.kernels.tiles import PANEL_MULTIPLE

# Bytes of a panel, the block of rows whose products are summed in registers: a tenth of a second-level cache, so that
# the rows of X it came from and those fetched ahead fit beside it. In float32 more rows have to pay for adding up the
# sums of a tile: twice the bytes took 0.85 of the time at 150 to 500 columns.
PANEL_BYTES = {np.float64: 2**17, np.float32: 2**18}
# Largest number of coefficients for which each chunk sums a Hessian of its own in one read of X. Above it, panels of
# rows are scaled by a kernel and added by BLAS to one shared Hessian: not for speed (see bench/), but because the
# chunks' partial sums, four at least, would take more memory than the data deserve. (From 300 columns on and below 40
# rows a column whole fits are 0 to 14 % faster by panels, above 5 % slower: not worth a second rule.)
OWN = 1024
PANEL_ROWS = 2048  # of those for BLAS


def padded_size(size):
    """Return the number of coefficients of whole tiles."""
    return -(-size // TILE) * TILE


def panel_rows(design, n_columns, precision):
    """Return the rows of a panel: no more than a run fills, as what it does not fill is multiplied all the same."""
    # 32 rows off a multiple of 64: at a stride of a power of two the columns of a panel share cache sets.
    rows = min(288, max(1, PANEL_BYTES[precision] // (np.dtype(precision).itemsize * 64 * n_columns)) * 64 + 32)
    if design.runs is None:
        return rows
    length = design.shape[0] // len(design.runs)
    panels = -(-length // rows)
    return min(rows, -(-length // (panels * PANEL_MULTIPLE)) * PANEL_MULTIPLE)


def by_panels(design, row_values, coef, precision):
    """Return sums of loss, gradient and Hessian of two classes, the last by BLAS on panels of scaled rows; one pass.

    OpenBLAS has no kernel for tall and narrow panels, but from a few hundred columns on it is nearly as fast as
    the register tiles, and one shared accumulator takes the memory of one Hessian.
    """
    q = coef.size
    runs = [(0, design.shape[0])] if design.runs is None else design.runs.tolist()
    rows = min(PANEL_ROWS, sum(stop - start for start, stop in runs))
    panel = np.empty((rows, q), dtype=precision)
    hessian = np.zeros((q, q), order="F")
    sums = np.zeros(1 + q)
    filled = 0  # rows of the panel
    for start, stop in runs:  # many short ones: a product each would take longer to add up than to find
        at = start
        while at < stop:
            end = min(at + rows - filled, stop)
            shared = coef, panel, at - filled
            room = ((3, design.block_rows),)
            sums += design.run(binary.scaled_panel, row_values, shared, size=1 + q, scratch=room, between=(at, end))
            at, filled = end, filled + end - at
            if filled == rows:
                hessian, filled = _add_square(panel, hessian), 0
    hessian = _add_square(panel[:filled], hessian)
    return sums[0], sums[1:], hessian[None, None]


def _add_square(panel, total):
    """Return total + panelᵀ panel on and above the diagonal, in place if it may be."""
    if panel.dtype == np.float64:
        return dsyrk(1.0, panel.T, beta=1.0, c=total, overwrite_c=1)
    total += ssyrk(1.0, panel.T)
    return total


def symmetric(sums, size):
    """Return the full matrix (n_blocks, size, n_blocks, size) from blocks and tiles on and above the diagonal."""
    n_blocks = sums.shape[0]
    full = np.empty((n_blocks, size, n_blocks, size))
    for k in range(n_blocks):
        for other in range(k, n_blocks):
            block = sums[k, other, :size, :size]
            full[k, :, other] = full[other, :, k] = np.where(_on_or_above(size), block, block.T)
    return full


@functools.lru_cache(maxsize=1)
def _on_or_above(size):
    """Return where a square matrix is on or above its diagonal."""
    return np.tri(size, dtype=bool).T
