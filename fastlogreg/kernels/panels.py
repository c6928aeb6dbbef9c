"""Blocks of rows stored column after column in cache (*panels*), and the products that run along their rows.

A panel has shape (n_columns, n_rows): feature j of all rows of the block is contiguous, so every loop below is a
vector loop over rows whatever the number of features or classes. Its rows are padded to a multiple of TILE with
zeros, the intercept is a row of ones, and rows past the end of the data are zero.
"""

from fastlogreg.kernels.jit import kernel

TILE = 4

# Names are bound two by two: from four on it is by a tuple, which takes numba as long as the loop that follows.


@kernel
def set_eta(coef, panel, eta):
    """Set eta = coef @ panel for one vector of coefficients, padded like the panel.

    One class at a time: with four classes in one loop LLVM would have to prove four stores and eight loads apart,
    gives up on the run-time checks, and the loop stays scalar.
    """
    n_columns, m = panel.shape
    for i in range(m):
        eta[i] = 0.0
    for j in range(0, n_columns, 4):
        x0, x1 = panel[j], panel[j + 1]
        x2, x3 = panel[j + 2], panel[j + 3]
        c0, c1 = coef[j], coef[j + 1]
        c2, c3 = coef[j + 2], coef[j + 3]
        for i in range(m):
            eta[i] += (c0 * x0[i] + c1 * x1[i]) + (c2 * x2[i] + c3 * x3[i])


@kernel
def add_weighted_sums(values, panel, sums):
    """Add panel @ values to sums; values may be shorter than the rows of the panel."""
    for j in range(0, panel.shape[0], 4):
        x0, x1 = panel[j], panel[j + 1]
        x2, x3 = panel[j + 2], panel[j + 3]
        s0 = s1 = s2 = s3 = 0.0
        for i in range(values.size):
            v = values[i]
            s0 += v * x0[i]
            s1 += v * x1[i]
            s2 += v * x2[i]
            s3 += v * x3[i]
        sums[j] += s0
        sums[j + 1] += s1
        sums[j + 2] += s2
        sums[j + 3] += s3


@kernel
def scale_panel(row_scale, panel):
    """Multiply every row of the panel by row_scale."""
    for j in range(panel.shape[0]):
        target = panel[j]
        for i in range(target.size):
            target[i] *= row_scale[i]
