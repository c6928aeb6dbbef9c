"""Losses and slopes of several models of two classes on the same rows, whose linear predictors a matrix product made.

Shapes: eta, out_slope (m, r), a model a row; y (r,); weight (f, r), of which which (m,) is each model's row.
"""

from numba import prange

from fastlogreg.kernels.binary import scale_rows, set_loss_slope, total
from fastlogreg.kernels.jit import driver, kernel


@kernel
def loss_slope_of(eta, y, weight, work, out_slope):
    """Set the weighted slopes of one model, and return the sum of its weighted losses."""
    set_loss_slope(eta, y, work, out_slope)
    scale_rows(weight, 0, work)
    scale_rows(weight, 0, out_slope)
    return total(work)


@driver
def loss_slope(eta, y, weight, which, out_work, bounds, out_slope, out_loss):
    """Set the slopes of every model, add the sums of its losses to out_loss (m,); out_work (n_chunks, at least r)."""
    for c in prange(bounds.shape[0]):
        for k in range(bounds[c, 0], bounds[c, 1]):
            out_loss[k] += loss_slope_of(eta[k], y, weight[which[k]], out_work[c, : y.size], out_slope[k])
