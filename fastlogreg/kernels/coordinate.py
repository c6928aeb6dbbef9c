"""Coordinate descent on a quadratic with L1 and bounds.

    q(v) = slope·(v - v₀) + ½ (v - v₀)ᵀ H (v - v₀) + Σ l1_j |v_j|,   low ≤ v ≤ high

One coordinate after the other is set to where q is least along it, exactly. What a change of it does to all slopes is
one row of H, so that coordinates that stay at zero cost nothing but a look (Friedman, Hastie and Tibshirani, Journal
of Statistical Software 2010, "covariance updates").
"""

from fastlogreg.kernels.jit import driver, kernel

# Places in `out_state`: sweeps done, the largest violation met in the last sweep, and how many of the last sweeps
# left the same coefficients between their bounds and off zero.
SWEEPS, LARGEST, STEADY = range(3)
# So many sweeps that free the same coefficients are followed by a direct solve for them, outside.
SETTLED = 3


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
        steady = steady + 1 if same else 0
        out_state[SWEEPS] = sweep + 1
        out_state[LARGEST] = largest
        out_state[STEADY] = steady
        if largest <= tol or steady == SETTLED:
            break
