"""Newton's method with Cholesky solves (iteratively reweighted least squares), damped."""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

from fastlogreg.result import Status
from fastlogreg.solvers.progress import Progress

ARMIJO = 1e-4
MIN_STEP = 2.0**-40
# Eigenvalues of the scaled Hessian below this share of the largest are treated as zero.
RANK = 1e-13
TINY = np.finfo(float).tiny


class _Inverse:
    """H⁻¹ by Cholesky in scaled coordinates, or the pseudo-inverse where H is singular to working precision."""

    def __init__(self, hessian, scales):
        # Unit diagonal: the Cholesky pivots of a matrix so scaled tell singularity apart from bad units.
        root = np.sqrt(np.diag(hessian))
        self.scales = np.where(root > 0.0, root, scales)
        scaled = hessian / self.scales / self.scales[:, None]
        self.null_space = None
        try:
            self.factor = cho_factor(scaled, lower=True, check_finite=False)
            if np.diag(self.factor[0]).min() ** 2 > RANK * len(scaled):
                return
        except LinAlgError:
            pass
        values, vectors = eigh(scaled, check_finite=False)
        kept = values > RANK * len(scaled) * values[-1]
        self.factor = None
        self.values, self.vectors = values[kept], vectors[:, kept]
        self.null_space = vectors[:, ~kept] / self.scales[:, None]

    def solve(self, gradient):
        scaled = gradient / self.scales
        if self.factor is not None:
            solution = cho_solve(self.factor, scaled, check_finite=False)
        else:
            solution = self.vectors @ ((self.vectors.T @ scaled) / self.values)
        return solution / self.scales


def newton(objective, start, *, tol, max_iter, callback=None):
    """Minimise by coef ← coef - step · H⁻¹ g.

    The step is halved until the objective falls by at least ARMIJO times what the gradient promises. Value, gradient
    and Hessian come from one pass. Where H is singular the step is the one of least norm, and without a penalty so
    is the answer: of all optima, the one whose coefficients (intercept not counted) have the least norm.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    tol : float
        Stop when the violation is at most tol.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.

    Returns
    -------
    Result

    References
    ----------
    Nocedal and Wright, Numerical Optimization (2006), sections 3.1 and 3.4.
    """
    progress = Progress(objective, tol, max_iter, callback)
    scales = np.broadcast_to(objective.scales, objective.shape).ravel()
    coef = start
    value, gradient, hessian = objective.value_gradient_hessian(coef)
    inverse = None
    suboptimality = np.nan
    while (status := progress.record(value, objective.violation(gradient))) is None:
        if hessian is None:
            value, gradient, hessian = objective.value_gradient_hessian(coef)
        inverse = _Inverse(_pinned(objective, hessian), scales)
        direction = -inverse.solve(gradient.ravel()).reshape(coef.shape)
        # Near the optimum the violation is squared by each step: where that will end it, no Hessian is needed there.
        evaluate = objective.value_gradient_hessian
        if progress.predicted_violation() <= 0.1 * tol:
            evaluate = objective.value_gradient
        decrement = -float(np.sum(gradient * direction))
        accepted = search(evaluate, coef, value, direction, decrement)
        if accepted is None:
            status = Status.PRECISION
            break
        coef, value, gradient, *rest = accepted
        hessian = rest[0] if rest else None
        suboptimality = 0.5 * decrement * (objective.violation(gradient) / max(progress.violation, TINY)) ** 2
    if hessian is not None:
        inverse = _Inverse(_pinned(objective, hessian), scales)
        suboptimality = 0.5 * float(gradient.ravel() @ inverse.solve(gradient.ravel()))
    if objective.l2 == 0.0 and inverse is not None and inverse.null_space is not None:
        coef = _least_norm(coef, inverse.null_space)
    return progress.result(coef, status, suboptimality)


def search(evaluate, coef, value, direction, decrement):
    """Return (coef, value, gradient[, hessian]) after the first of the steps 1, ½, ¼, … that lowers the value."""
    step = 1.0
    while step > MIN_STEP:
        trial = coef + step * direction
        new_value, *derivatives = evaluate(trial)
        rounding = 8.0 * np.finfo(float).eps * abs(value)
        if new_value <= value - ARMIJO * step * decrement + rounding:
            return trial, new_value, *derivatives
        step *= 0.5
    return None


def _pinned(objective, hessian):
    """Return a Hessian that is regular along shifts of all classes at once that change neither loss nor penalty.

    The gradient and every step are orthogonal to such a shift, so the curvature it is given has no effect.
    """
    if objective.binary:
        return hessian
    n_classes, size = objective.shape
    curvature = np.diag(hessian).reshape(n_classes, size).mean(axis=0) / n_classes
    if objective.l2 > 0.0:
        curvature[:-1] = 0.0
    return hessian + np.tile(np.diag(curvature), (n_classes, n_classes))


def _least_norm(coef, null_space):
    """Move along directions that change no linear predictor to the least norm, intercept not counted."""
    columns = null_space.reshape(*coef.shape, -1)
    slopes = columns[..., :-1, :].reshape(-1, columns.shape[-1])
    move, *_ = np.linalg.lstsq(slopes, -coef[..., :-1].ravel(), rcond=None)
    return coef + columns @ move
