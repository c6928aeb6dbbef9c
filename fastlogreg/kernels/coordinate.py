"""Coordinate descent on a quadratic with L1 and bounds.

    q(v) = slope·(v - v₀) + ½ (v - v₀)ᵀ H (v - v₀) + Σ l1_j |v_j|,   low ≤ v ≤ high

One coordinate after the other is set to where q is least along it, exactly. What a change of it does to all slopes is
one row of H, so that coordinates that stay at zero cost nothing but a look (Friedman, Hastie and Tibshirani, Journal
of Statistical Software 2010, "covariance updates").
"""

import numpy as np

from fastlogreg.kernels.jit import driver, kernel

# Places in `out_state`: sweeps done, the largest violation met in the last sweep, and how many of the last sweeps
# left the same coefficients between their bounds and off zero.
SWEEPS, LARGEST, STEADY = range(3)
# So many sweeps that free the same coefficients are followed by a direct solve for them, outside.
SETTLED = 3
# Sweeps that leave more than this part of the violation are slow.
SLOW = 0.5


@kernel
def least(value, slope, curvature, l1, low, high):
    """Return where slope·(v - value) + ½ curvature (v - value)² + l1 |v| is least between the bounds."""
    if not curvature > 0.0:
        return 0.0 if l1 > 0.0 and abs(slope) <= l1 else value
    free = value - slope / curvature
    cut = l1 / curvature
    shrunk = free - cut if free > cut else (free + cut if free < -cut else 0.0)
    return low if shrunk < low else (high if shrunk > high else shrunk)


@driver
def descend(hessian, l1, low, high, scales, tol, max_sweeps, out_value, out_slope, out_state):
    """Sweep until no coordinate's violation exceeds tol, the free coefficients settle, or max_sweeps are done.

    hessian (m, m), symmetric, in C order; the rest (m,). The violation of a coordinate is that before its move,
    curvature · |move| / scale.
    """
    m = out_value.shape[0]
    steady = 0
    last = 0.0
    for sweep in range(max_sweeps):
        largest = 0.0
        same = True
        for j in range(m):
            before = out_value[j]
            after = least(before, out_slope[j], hessian[j, j], l1[j], low[j], high[j])
            move = after - before
            if move != 0.0:
                row = hessian[j]
                for k in range(m):
                    out_slope[k] += move * row[k]
                out_value[j] = after
                size = abs(move) * hessian[j, j] / scales[j]
                largest = size if size > largest else largest
                was_free = before != 0.0 and low[j] < before and before < high[j]
                is_free = after != 0.0 and low[j] < after and after < high[j]
                same = same and was_free == is_free
        steady = steady + 1 if same and largest > SLOW * last else 0
        last = largest
        out_state[SWEEPS] = sweep + 1
        out_state[LARGEST] = largest
        out_state[STEADY] = steady
        if largest <= tol or steady == SETTLED:
            break


# --- on groups of coordinates -----------------------------------------------------------------------------------

# Newton steps for the size of a group: each doubles the digits.
SIZE_STEPS = 50


@kernel
def group_size(terms, curvatures, l1):
    """Return the root t of Σ_i terms_i² / (t curvatures_i + l1)² = 1, where |terms| > l1 > 0.

    It is |v| where ½ Σ curvatures_i v_i² - terms·v + l1 |v| is least. Written as 1 / √(…) = 1 the left side is concave
    and nearly straight in t, so that Newton's steps from zero approach the root from below (Moré and Sorensen 1983).
    """
    t = 0.0
    for _ in range(SIZE_STEPS):
        total = falling = 0.0
        for i in range(terms.size):
            share = terms[i] / (t * curvatures[i] + l1)
            total += share * share
            falling += share * share * curvatures[i] / (t * curvatures[i] + l1)
        step = total * (total**0.5 - 1.0) / falling if falling > 0.0 else 0.0
        t += step
        if not step > 1e-15 * t:
            break
    return t


@kernel
def least_group(value, slope, curvatures, vectors, l1, terms, out):
    """Set out to where slope·(v - value) + ½ (v - value)ᵀ B (v - value) + l1 |v| is least, |v| the 2-norm.

    B = vectors diag(curvatures) vectorsᵀ; directions without curvature are left as they are. terms is workspace.
    Return the 2-norm of B (out - value).
    """
    m = value.size
    norm = 0.0
    for i in range(m):
        here = along = 0.0
        for k in range(m):
            here += vectors[k, i] * value[k]
            along += vectors[k, i] * slope[k]
        terms[i] = curvatures[i] * here - along
        norm += terms[i] * terms[i]
        out[i] = 0.0
    norm = norm**0.5
    if l1 > 0.0 and norm <= l1:
        t = 0.0
    else:
        t = group_size(terms, curvatures, l1) if l1 > 0.0 else 1.0
    change = 0.0
    for i in range(m):
        here = 0.0
        for k in range(m):
            here += vectors[k, i] * value[k]
        bent = t * curvatures[i] + l1
        there = t * terms[i] / bent if bent > 0.0 else here
        change += (curvatures[i] * (there - here)) ** 2
        if t > 0.0:
            for k in range(m):
                out[k] += vectors[k, i] * there
    return change**0.5


@driver
def descend_groups(
    hessian, curvatures, vectors, l1, scales, tol, max_sweeps, out_work, out_value, out_slope, out_state
):
    """As descend, for groups of coordinates: Σ l1_j |v_j| with the 2-norm, without bounds.

    Group j of K holds coordinates j K … j K + K - 1; curvatures (m, K) and vectors (m, K, K) are the eigenvalues and
    eigenvectors of its block of the hessian (m K, m K). out_work (2, K) is workspace.
    """
    m, K = curvatures.shape
    steady = 0
    for sweep in range(max_sweeps):
        largest = 0.0
        same = True
        for j in range(m):
            before = out_value[j * K : j * K + K]
            terms, after = out_work[0], out_work[1]
            size = least_group(before, out_slope[j * K : j * K + K], curvatures[j], vectors[j], l1[j], terms, after)
            was_free = is_free = False
            for k in range(K):
                was_free = was_free or before[k] != 0.0
                is_free = is_free or after[k] != 0.0
            if not was_free and not is_free:
                continue
            for k in range(K):
                move = after[k] - before[k]
                row = hessian[j * K + k]
                for other in range(m * K):
                    out_slope[other] += move * row[other]
                before[k] = after[k]
            largest = max(largest, size / scales[j])
            same = same and was_free == is_free
        steady = steady + 1 if same else 0
        out_state[SWEEPS] = sweep + 1
        out_state[LARGEST] = largest
        out_state[STEADY] = steady
        if largest <= tol or steady == SETTLED:
            break


# --- on columns -------------------------------------------------------------------------------------------------

# Place in `out_state` of descend_columns: Σ row_weight · (linear predictor of the move so far).
TOTAL = 3
# So many sweeps over coefficients that are not zero follow one over all.
INNER_SWEEPS = 10
# Sweeps that leave more than this part of the violation are slow.
SLOW = 0.5


@kernel
def column_terms_rows(columns, row_weight, j, total_weight):
    """Return the weighted mean of column j and its weighted sum of squares around it."""
    s = q = 0.0
    for at in range(np.uint64(columns.indptr[j]), np.uint64(columns.indptr[j + 1])):
        x = columns.data[at]
        weighted = row_weight[np.uint64(columns.indices[at])] * x
        s += weighted
        q += weighted * x
    return s / total_weight, q - s * s / total_weight


@driver
def column_terms(columns, row_weight, total_weight, centre, out_mean, out_curvature):
    """Set the weighted mean (zero unless centre) and the curvature of every column; columns in CSC."""
    for j in range(out_mean.size):
        mean, around = column_terms_rows(columns, row_weight, j, total_weight)
        out_mean[j] = mean * centre
        out_curvature[j] = around + (1.0 - centre) * mean * mean * total_weight


@kernel
def move_along_column(columns, row_weight, j, move, out_rows):
    """Add row_weight · column j · move to the rows."""
    for at in range(np.uint64(columns.indptr[j]), np.uint64(columns.indptr[j + 1])):
        i = np.uint64(columns.indices[at])
        out_rows[i] += row_weight[i] * (columns.data[at] * move)


@kernel
def slope_along_column(columns, j, rows):
    """Return column j · rows."""
    s = 0.0
    for at in range(np.uint64(columns.indptr[j]), np.uint64(columns.indptr[j + 1])):
        s += columns.data[at] * rows[np.uint64(columns.indices[at])]
    return s


@driver
def descend_columns(
    columns,
    row_weight,
    total_weight,
    mean,
    curvature,
    l2,
    slope,
    start,
    l1,
    low,
    high,
    scales,
    tol,
    max_sweeps,
    out_value,
    out_rows,
    out_state,
):
    """As descend, where H = Xᵀ diag(row_weight) X + diag(l2) for columns less their weighted mean, never formed.

    columns are X in CSC. out_rows holds row_weight · (X move) of the move from start to out_value, so that the slope
    along a column costs its entries, and so does a change ("naive updates" of Friedman et al.). After a sweep over all
    coordinates come sweeps over those that are not zero, or not held there by L1, until they are ten times as exact
    as the sweep found them, or SETTLED slow ones in turn freed the same coordinates.
    """
    m = out_value.shape[0]
    inner = steady = 0
    last = 0.0
    target = tol
    for _ in range(max_sweeps):
        largest = 0.0
        same = True
        for j in range(m):
            before = out_value[j]
            if inner > 0 and before == 0.0 and l1[j] > 0.0:
                continue
            along = slope_along_column(columns, j, out_rows) - mean[j] * out_state[TOTAL]
            here = slope[j] + along + l2[j] * (before - start[j])
            after = least(before, here, curvature[j], l1[j], low[j], high[j])
            move = after - before
            if move != 0.0:
                # What is kept is of plain columns; Σ row_weight · x is mean · total_weight.
                move_along_column(columns, row_weight, j, move, out_rows)
                out_state[TOTAL] += move * mean[j] * total_weight
                out_value[j] = after
                size = abs(move) * curvature[j] / scales[j]
                largest = size if size > largest else largest
                was_free = before != 0.0 and low[j] < before and before < high[j]
                is_free = after != 0.0 and low[j] < after and after < high[j]
                same = same and was_free == is_free
        steady = steady + 1 if same and largest > SLOW * last else 0
        last = largest
        out_state[SWEEPS] += 1.0
        out_state[STEADY] = steady
        if inner == 0:
            out_state[LARGEST] = largest
            if largest <= tol:
                break
            target = max(0.1 * largest, tol)
            inner = INNER_SWEEPS
        else:
            inner = 0 if largest <= target else inner - 1
        if steady == SETTLED:
            break
