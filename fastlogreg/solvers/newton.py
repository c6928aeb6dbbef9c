"""Newton's method with Cholesky solves (iteratively reweighted least squares), damped."""

from functools import partial

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.lapack import dpotrf, dpotrs  # their wrappers in scipy.linalg take as long as a small factor

from fastlogreg.result import Status
from fastlogreg.solvers.progress import Progress

ARMIJO = 1e-4
MIN_STEP = 2.0**-40
# Pivots or eigenvalues of the scaled Hessian below this many roundings per column are treated as zero.
RANK = 100.0
# Multiply-adds of a Hessian above which its products are float32: half the time, the same iterations (Kelley, SIAM
# Review 2022), because the gradient is float64. Where a float32 pivot is too small to trust, float64 takes over.
SINGLE_WORK = 1e8
# Where there are this many rows per coefficient and more, the start is the optimum of a sample of the rows: it lies
# within the statistical error of a sample, about sqrt(p / n_sample), of the full one, and saves two or three passes.
SAMPLE_RATIO = 400
# Up to so many coefficients the Hessian rides along with the gradient nearly for free, and one kernel less is
# compiled in a cold process.
CHEAP_HESSIAN = 32
SAMPLE_TOL = 1e-4
TINY = np.finfo(float).tiny


class _Inverse:
    """H⁻¹ by Cholesky in scaled coordinates, or the pseudo-inverse where H is singular to working precision."""

    def __init__(self, hessian, scales, precision):
        # Unit diagonal: the Cholesky pivots of a matrix so scaled tell singularity apart from bad units.
        root = np.sqrt(np.diag(hessian))
        self.scales = np.where(root > 0.0, root, scales)
        scaled = hessian / self.scales / self.scales[:, None]
        self.null_space = None
        cut = RANK * np.finfo(precision).eps * len(scaled)
        self.factor, failed = dpotrf(scaled, lower=1)
        if not failed and np.diag(self.factor).min() ** 2 > cut:
            return
        self.factor = None
        if precision != np.float64:
            return
        values, vectors = eigh(scaled, check_finite=False)
        kept = values > cut * values[-1]
        self.values, self.vectors = values[kept], vectors[:, kept]
        self.null_space = vectors[:, ~kept] / self.scales[:, None]

    @property
    def trusted(self):
        """Whether the precision of the Hessian was enough to solve with it."""
        return self.factor is not None or self.null_space is not None

    def solve(self, gradient):
        scaled = gradient / self.scales
        if self.factor is not None:
            solution, _ = dpotrs(self.factor, scaled, lower=1)
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
    scales = np.broadcast_to(objective.coordinates.scales, objective.shape).ravel()
    n_rows = objective.design.shape[0]
    precision: type[np.floating] = np.float64
    if objective.binary and n_rows * objective.n_coef**2 > SINGLE_WORK:
        precision = np.float32
    coef = _sample_start(objective, start, tol, max_iter)
    value, gradient, hessian = objective.value_gradient_hessian(coef, precision)
    if coef is not start and not value <= np.log(objective.n_classes):  # the loss at zero: the sample misled
        coef = start
        value, gradient, hessian = objective.value_gradient_hessian(coef, precision)
    inverse = None
    suboptimality = np.nan
    while (status := progress.record(value, objective.violation(gradient))) is None:
        if hessian is None:
            value, gradient, hessian = objective.value_gradient_hessian(coef, precision)
        inverse = _Inverse(_pinned(objective, hessian), scales, precision)
        if not inverse.trusted:
            precision = np.float64
            hessian = objective.value_gradient_hessian(coef, precision)[2]
            inverse = _Inverse(_pinned(objective, hessian), scales, precision)
        direction = -inverse.solve(gradient.ravel()).reshape(coef.shape)
        # Near the optimum the violation is squared by each step: where that will end it, no Hessian is needed there.
        if objective.n_coef > CHEAP_HESSIAN and progress.predicted_violation() <= 0.5 * tol:
            evaluate = objective.value_gradient
        else:
            evaluate = partial(objective.value_gradient_hessian, precision=precision)
        decrement = -float(np.sum(gradient * direction))
        accepted = search(evaluate, coef, value, direction, decrement)
        if accepted is None:
            status = Status.PRECISION
            break
        coef, value, gradient, *rest = accepted
        hessian = rest[0] if rest else None
        suboptimality = 0.5 * decrement * (objective.violation(gradient) / max(progress.violation, TINY)) ** 2
    if hessian is not None:
        inverse = _Inverse(_pinned(objective, hessian), scales, precision)
        if inverse.trusted:
            suboptimality = 0.5 * float(gradient.ravel() @ inverse.solve(gradient.ravel()))
    if objective.l2 == 0.0 and inverse is not None and inverse.null_space is not None:
        coef = _least_norm(coef, inverse.null_space)
    return progress.result(coef, status, suboptimality)


def _sample_start(objective, start, tol, max_iter):
    """Return the optimum of a sample of the rows where there are plenty, else start."""
    n_rows, n_columns = objective.design.shape
    if n_rows < SAMPLE_RATIO * objective.n_coef or objective.has_offset or start.any():
        return start
    n_sampled = int(min(n_rows // 8, 2 * n_rows // n_columns))  # no more memory than two doubles a row of X
    sample = objective.sample(n_sampled)
    sampled = newton(sample, start, tol=max(tol, SAMPLE_TOL), max_iter=max_iter)
    objective.n_passes += sample.n_passes * n_sampled / n_rows
    return sampled.coef if sampled.converged else start


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
