"""Blocks of rows stored column after column in cache (*panels*), and the products that run along their rows.

A panel has shape (n_columns, n_rows): feature j of all rows of the block is contiguous, so every loop below is a
vector loop over rows whatever the number of features or classes. Its rows are padded to a multiple of TILE with
zeros, the intercept is a row of ones, and rows past the end of the data are zero.
"""

from fastlogreg.kernels.jit import kernel

TILE = 4


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
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        c0, c1, c2, c3 = coef[j], coef[j + 1], coef[j + 2], coef[j + 3]
        for i in range(m):
            eta[i] += (c0 * x0[i] + c1 * x1[i]) + (c2 * x2[i] + c3 * x3[i])


@kernel
def add_weighted_sums(values, panel, sums):
    """Add panel @ values to sums; values may be shorter than the rows of the panel."""
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
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


@kernel
def add_product(left, right, j, first, out):
    """Add rows j … j + 3 of left @ right.T to out, from column `first` on.

    16 sums live in registers over the whole row loop, each of them a vector: 8 loads for 16 multiply-adds, so the
    loop is bound by arithmetic while the panel stays in the second-level cache. On a 2-core Zen 5 one thread reaches
    80 to 100 GFLOP/s from 12 columns on, where OpenBLAS dsyrk needs 200 columns for half of that.
    """
    m = left.shape[1]
    zero = left.dtype.type(0.0)  # the sums of one panel are kept in its precision, those over panels in out's
    a0, a1, a2, a3 = left[j], left[j + 1], left[j + 2], left[j + 3]
    for k in range(first, right.shape[0], 4):
        b0, b1, b2, b3 = right[k], right[k + 1], right[k + 2], right[k + 3]
        s00 = s01 = s02 = s03 = zero
        s10 = s11 = s12 = s13 = zero
        s20 = s21 = s22 = s23 = zero
        s30 = s31 = s32 = s33 = zero
        for i in range(m):
            x0, x1, x2, x3 = a0[i], a1[i], a2[i], a3[i]
            y0, y1, y2, y3 = b0[i], b1[i], b2[i], b3[i]
            s00 += x0 * y0
            s01 += x0 * y1
            s02 += x0 * y2
            s03 += x0 * y3
            s10 += x1 * y0
            s11 += x1 * y1
            s12 += x1 * y2
            s13 += x1 * y3
            s20 += x2 * y0
            s21 += x2 * y1
            s22 += x2 * y2
            s23 += x2 * y3
            s30 += x3 * y0
            s31 += x3 * y1
            s32 += x3 * y2
            s33 += x3 * y3
        g = out[j]
        g[k] += s00
        g[k + 1] += s01
        g[k + 2] += s02
        g[k + 3] += s03
        g = out[j + 1]
        g[k] += s10
        g[k + 1] += s11
        g[k + 2] += s12
        g[k + 3] += s13
        g = out[j + 2]
        g[k] += s20
        g[k + 1] += s21
        g[k + 2] += s22
        g[k + 3] += s23
        g = out[j + 3]
        g[k] += s30
        g[k + 1] += s31
        g[k + 2] += s32
        g[k + 3] += s33
