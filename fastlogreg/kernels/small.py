"""Newton's method on few rows in one call: what Python takes for a step is longer than all arithmetic of it.

Sums over rows are those of binary.py and multinomial.py; between two of them `advance` does what is left of a step,
dense and small, in plain loops. Whatever is unusual is left to solvers/newton.py: the iteration stops and tells where.

``rules``: Σ w; whether there is an intercept; tol; what newton.py calls LEFT · n_coef · tol², MORE, ARMIJO, and its
least pivot; of units.py, the least and the largest Σ w x², the part of it that a penalty hides, squared, and how many
deviations from zero a mean may be; the part of Σ w x² below which a variance is zero.

``points`` (4, n_coef), n_coef = K (p + 1), K = 1 for two classes: coef, where the first is where it starts; step, -H⁻¹
gradient at coef; gradient; where to look next. ``vectors`` (4, n_coef): strength of L2 by coefficient, zero for the
intercept; means and scales of the columns; workspace. ``padded`` (K, q): where to look next, with zeros around it.
``history``: value and violation of every iterate. ``state``: how it ended; iterates; evaluations;
½ gradientᵀ H⁻¹ gradient, value, and iterates with a violation of at most tol.

Vectors are flat and the words plain: to compile this takes longer than most fits, and two indices, a quotient or a
power of integers count double.
"""

import numpy as np

from fastlogreg.kernels import binary, multinomial
from fastlogreg.kernels.builtins import larger, smaller
from fastlogreg.kernels.jit import driver, kernel

# How it ended: at the optimum; at an iterate for `newton` to go on from; before the first, by what a column holds.
CONVERGED, UNFINISHED, ODD = 0, 1, 2
EPS = 2.0**-52


@kernel
def look_at_columns(sums, q, n_classes, rules, vectors, moments):
    """Set moments, means and scales (see objective.Coordinates); return whether a column is odd (see units.py).

    Σ w x and Σ w x² are part of the Hessian at zero, where all rows have the same curvature.
    """
    total_weight, centre = rules[0], rules[1] != 0.0
    l2, means, scales = vectors[0], vectors[1], vectors[2]
    share = 0.25 if n_classes == 1 else (1.0 - 1.0 / n_classes) / n_classes
    p = moments.shape[1]
    at = sums.size - n_classes * q * n_classes * q
    for j in range(p):
        total = sums[at + p] / share
        square = sums[at + j] / share
        at += q
        moments[0, j] = total
        moments[1, j] = square
        if not rules[7] < square < rules[8] or square < rules[9] * l2[j]:
            return True
        square /= total_weight
        mean = total / total_weight if centre else 0.0
        variance = square - mean * mean
        far = mean / rules[10]
        if mean * mean > rules[7] and variance < far * far:
            return True
        means[j] = mean
        scales[j] = np.exp2(np.rint(0.5 * np.log2(variance if variance > rules[11] * square else square)))
    return False


@kernel
def set_derivatives(sums, q, n_classes, coef, rules, l2, gradient, hessian):
    """Set gradient and the lower half of the Hessian from padded sums over the rows; return the value.

    For several classes slopes are made to sum to zero over them, and shifts of all at once that change nothing are
    given a curvature: see objective.LogisticObjective and newton.pinned.
    """
    total_weight, size = rules[0], coef.size // n_classes
    value = sums[0] / total_weight
    first = sums.size - n_classes * q * n_classes * q
    for k in range(n_classes):
        for j in range(size):
            row = hessian[k * size + j]
            gradient[k * size + j] = sums[1 + k * q + j] / total_weight
            for other in range(k + 1):
                block = first + (other * n_classes + k) * q * q
                for i in range(j + 1 if other == k else size):
                    low, high = smaller(i, j), larger(i, j)
                    row[other * size + i] = sums[block + low * q + high] / total_weight
    if n_classes > 1:
        pin(n_classes, l2, gradient, hessian)
    for i in range(coef.size):
        value += 0.5 * l2[i] * coef[i] * coef[i]
        gradient[i] += l2[i] * coef[i]
        hessian[i, i] += l2[i]
    if rules[1] == 0.0:
        for at in range(size - 1, coef.size, size):
            gradient[at] = 0.0
            for i in range(coef.size):
                hessian[larger(i, at), smaller(i, at)] = 1.0 if i == at else 0.0
    return value


@kernel
def pin(n_classes, l2, gradient, hessian):
    """Make slopes sum to zero over the classes, and give shifts of all at once that change nothing a curvature."""
    size = gradient.size // n_classes
    for j in range(size):
        mean = curvature = 0.0
        for at in range(j, gradient.size, size):
            mean += gradient[at]
            curvature += hessian[at, at]
        for at in range(j, gradient.size, size):
            gradient[at] -= mean / n_classes
            for other in range(j, at + 1, size):
                hessian[at, other] += curvature / n_classes / n_classes if l2[j] == 0.0 else 0.0


@kernel
def violation_of(gradient, n_classes, means, scales):
    """Return the max-norm of the gradient in centred and scaled coordinates."""
    largest = 0.0
    size = gradient.size // n_classes
    for first in range(0, gradient.size, size):
        slope = gradient[first + size - 1]
        for j in range(size):
            inner = gradient[first + j] - means[j] * slope if j < size - 1 else slope
            excess = abs(inner / scales[j])
            largest = largest if excess < largest else excess  # NaN stays
    return largest


@kernel
def set_step(hessian, gradient, rank, roots, step):
    """Set step = -H⁻¹ gradient by Cholesky of H with unit diagonal, in its lower half; return whether it served.

    It does not where a pivot is at most rank, as in newton.Inverse.
    """
    n = step.size
    for i in range(n):
        roots[i] = np.sqrt(hessian[i, i])
        if not roots[i] > 0.0:
            return False
    for i in range(n):
        row = hessian[i]
        solved = -gradient[i] / roots[i]
        for j in range(i + 1):
            other = hessian[j]
            s = row[j] / (roots[i] * roots[j])
            for k in range(j):
                s -= row[k] * other[k]
            if j < i:
                row[j] = s / other[j]
                solved -= row[j] * step[j]
            elif s > rank:
                row[j] = np.sqrt(s)
            else:
                return False
        step[i] = solved / row[i]
    for i in range(n - 1, -1, -1):
        s = step[i]
        for k in range(i + 1, n):
            s -= hessian[k, i] * step[k] * roots[k]
        step[i] = s / hessian[i, i] / roots[i]
    return True


@kernel
def advance(sums, rules, padded, hessian, points, vectors, moments, history, state):
    """Take the sums where it was last looked; return whether to look at `padded` next. The first look is at zero."""
    n_classes, q = padded.shape
    coef, step = points[0], points[1]
    gradient, trial = points[2], points[3]
    state[2] += 1.0
    started = False
    if state[2] == 1.0:
        state[0] = ODD
        if look_at_columns(sums, q, n_classes, rules, vectors, moments):
            return False
        for i in range(coef.size):
            trial[i] = coef[i]
            started |= trial[i] != 0.0
    if not started:
        state[0] = UNFINISHED
        value = set_derivatives(sums, q, n_classes, trial, rules, vectors[0], gradient, hessian)
        rounding = 8.0 * EPS * abs(state[4])
        if state[1] > 0.0 and not value <= state[4] - rules[5] * 2.0 * state[3] + rounding:
            return False
        violation = violation_of(gradient, n_classes, vectors[1], vectors[2])
        line = history[np.int64(state[1])]
        line[0], line[1] = value, violation
        state[1] += 1.0
        state[4] = value
        state[5] += 1.0 if violation <= rules[2] else 0.0
        served = set_step(hessian, gradient, rules[6], vectors[3], step)
        decrement = 0.0
        for i in range(coef.size):
            coef[i] = trial[i]
            decrement -= gradient[i] * step[i]
            trial[i] += step[i]
        if not served:
            return False
        state[3] = 0.5 * decrement
        if state[5] > 0.0 and (state[3] <= rules[3] * value or state[5] > rules[4]):
            state[0] = CONVERGED
            return False
        if state[1] == history.shape[0]:
            return False
    size = coef.size // n_classes
    for k in range(n_classes):
        for j in range(size):
            padded[k, j] = trial[k * size + j]
    for i in range(sums.size):
        sums[i] = 0.0
    return True


@driver
def newton(
    X, y, weight, rules, out_padded, out_panel, out_work, out_sums, out_hessian, out_points, out_vectors, out_moments,
    out_history, out_state,
):  # fmt: skip
    """Minimise the objective of two classes; out_panel (1, q, size), out_work (4, size), out_sums zero."""
    while True:
        binary.value_gradient_hessian_rows(
            X, y, weight, y[:0], out_padded[0], 0, y.size, out_panel[0], out_work, out_sums
        )
        if not advance(
            out_sums, rules, out_padded, out_hessian, out_points, out_vectors, out_moments, out_history, out_state
        ):
            break


@driver
def newton_classes(
    X, y, weight, offset, rules, out_padded, out_panel, out_prob, out_work, out_sums, out_hessian, out_points,
    out_vectors, out_moments, out_history, out_state,
):  # fmt: skip
    """Minimise the objective of more classes; out_panel and out_prob (2, …, size), out_work (K + 4, size)."""
    while True:
        multinomial.value_gradient_hessian_rows(
            X, y, weight, offset, out_padded, 0, y.size, out_panel, out_prob, out_work, out_sums
        )
        if not advance(
            out_sums, rules, out_padded, out_hessian, out_points, out_vectors, out_moments, out_history, out_state
        ):
            break
