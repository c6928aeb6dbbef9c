"""Newton's method on few rows in one call: what Python takes for a step is longer than all arithmetic of it.

Sums over rows are those of binary.py and multinomial.py; between two of them `advance` does what is left of a step,
dense and small, in plain loops. Whatever is unusual is left to solvers/newton.py: the iteration stops and tells where.

``rules``: Σ w; whether there is an intercept; tol; what newton.py calls LEFT · n_coef · tol², MORE, ARMIJO, and its
least pivot; of units.py, the least and the largest Σ w x², the part of it that a penalty hides, squared, and how many
deviations from zero a mean may be; the part of Σ w x² below which a variance is zero.

``points`` (4, K, p + 1), K = 1 for two classes: coef, where the first is where it starts; step, -H⁻¹ gradient at coef;
gradient; where to look next. ``vectors`` (4, n_coef): strength of L2 by coefficient, zero for the intercept; means and
scales of the columns; workspace. ``padded``: where to look next, with zeros around it. ``history``: value and violation
of every iterate. ``state``: how it ended; iterates; evaluations; ½ gradientᵀ H⁻¹ gradient, value, and iterates with a
violation of at most tol.
"""

import numpy as np

from fastlogreg.kernels import binary, multinomial
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
    first = sums.size - (n_classes * q) ** 2
    for j in range(p):
        moments[0, j] = sums[first + j * q + p] / share
        moments[1, j] = sums[first + j * q + j] / share
    for j in range(p):
        square = moments[1, j]
        if not rules[7] < square < rules[8] or square < rules[9] * l2[j]:
            return True
        square /= total_weight
        mean = moments[0, j] / total_weight if centre else 0.0
        variance = square - mean * mean
        if mean * mean > rules[7] and variance < (mean / rules[10]) ** 2:
            return True
        means[j] = mean
        scales[j] = np.exp2(np.rint(0.5 * np.log2(variance if variance > rules[11] * square else square)))
    return False


@kernel
def set_derivatives(sums, q, coef, rules, l2, gradient, hessian):
    """Set gradient and the lower half of the Hessian from padded sums over the rows; return the value.

    For several classes slopes are made to sum to zero over them, and shifts of all at once that change nothing are
    given a curvature: see objective.LogisticObjective and newton.pinned.
    """
    n_classes, size = coef.shape
    total_weight = rules[0]
    value = sums[0] / total_weight
    first = sums.size - (n_classes * q) ** 2
    for k in range(n_classes):
        for j in range(size):
            gradient[k, j] = sums[1 + k * q + j] / total_weight
            for other in range(k + 1):
                block = first + (other * n_classes + k) * q * q
                for i in range(j + 1 if other == k else size):
                    low, high = min(i, j), max(i, j)
                    hessian[k * size + j, other * size + i] = sums[block + low * q + high] / total_weight
    if n_classes > 1:
        for j in range(size):
            mean = curvature = 0.0
            for k in range(n_classes):
                mean += gradient[k, j]
                curvature += hessian[k * size + j, k * size + j]
            for k in range(n_classes):
                gradient[k, j] -= mean / n_classes
                for other in range(k + 1):
                    hessian[k * size + j, other * size + j] += curvature / n_classes**2 if l2[j] == 0.0 else 0.0
    for k in range(n_classes):
        for j in range(size):
            at = k * size + j
            value += 0.5 * l2[j] * coef[k, j] * coef[k, j]
            gradient[k, j] += l2[j] * coef[k, j]
            hessian[at, at] += l2[j]
        if rules[1] == 0.0:
            at = k * size + size - 1
            gradient[k, size - 1] = 0.0
            for i in range(hessian.shape[0]):
                hessian[max(i, at), min(i, at)] = 1.0 if i == at else 0.0
    return value


@kernel
def violation_of(gradient, means, scales):
    """Return the max-norm of the gradient in centred and scaled coordinates."""
    largest = 0.0
    n_classes, size = gradient.shape
    for k in range(n_classes):
        slope = gradient[k, size - 1]
        for j in range(size):
            inner = gradient[k, j] - means[j] * slope if j < size - 1 else slope
            excess = abs(inner / scales[j])
            largest = largest if excess < largest else excess  # NaN stays
    return largest


@kernel
def set_step(hessian, gradient, rank, roots, step):
    """Set step = -H⁻¹ gradient by Cholesky of H with unit diagonal, in its lower half; return whether it served.

    It does not where a pivot is at most rank, as in newton.Inverse.
    """
    n, size = hessian.shape[0], step.shape[1]
    for i in range(n):
        roots[i] = np.sqrt(hessian[i, i])
        if not roots[i] > 0.0:
            return False
    for i in range(n):
        row = hessian[i]
        solved = -gradient[i // size, i % size] / roots[i]
        for j in range(i + 1):
            other = hessian[j]
            s = row[j] / (roots[i] * roots[j])
            for k in range(j):
                s -= row[k] * other[k]
            if j < i:
                row[j] = s / other[j]
                solved -= row[j] * step[j // size, j % size]
            elif s > rank:
                row[j] = np.sqrt(s)
            else:
                return False
        step[i // size, i % size] = solved / row[i]
    for i in range(n - 1, -1, -1):
        s = step[i // size, i % size]
        for k in range(i + 1, n):
            s -= hessian[k, i] * step[k // size, k % size] * roots[k]
        step[i // size, i % size] = s / hessian[i, i] / roots[i]
    return True


@kernel
def advance(sums, rules, padded, hessian, points, vectors, moments, history, state):
    """Take the sums where it was last looked; return whether to look at `padded` next. The first look is at zero."""
    q = padded.shape[1]
    coef, step, gradient, trial = points[0], points[1], points[2], points[3]
    n_classes, size = coef.shape
    state[2] += 1.0
    started = False
    if state[2] == 1.0:
        state[0] = ODD
        if look_at_columns(sums, q, n_classes, rules, vectors, moments):
            return False
        for k in range(n_classes):
            for j in range(size):
                trial[k, j] = coef[k, j]
                started |= trial[k, j] != 0.0
    if not started:
        state[0] = UNFINISHED
        value = set_derivatives(sums, q, trial, rules, vectors[0], gradient, hessian)
        rounding = 8.0 * EPS * abs(state[4])
        if state[1] > 0.0 and not value <= state[4] - rules[5] * 2.0 * state[3] + rounding:
            return False
        violation = violation_of(gradient, vectors[1], vectors[2])
        for k in range(n_classes):
            for j in range(size):
                coef[k, j] = trial[k, j]
        at = int(state[1])
        history[at, 0], history[at, 1] = value, violation
        state[1], state[4] = at + 1.0, value
        state[5] += 1.0 if violation <= rules[2] else 0.0
        if not set_step(hessian, gradient, rules[6], vectors[3], step):
            return False
        decrement = 0.0
        for k in range(n_classes):
            for j in range(size):
                decrement -= gradient[k, j] * step[k, j]
        state[3] = 0.5 * decrement
        if state[5] > 0.0 and (state[3] <= rules[3] * value or state[5] > rules[4]):
            state[0] = CONVERGED
            return False
        if at + 1 == history.shape[0]:
            return False
        for k in range(n_classes):
            for j in range(size):
                trial[k, j] = coef[k, j] + step[k, j]
    for k in range(n_classes):
        for j in range(size):
            padded[k, j] = trial[k, j]
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
