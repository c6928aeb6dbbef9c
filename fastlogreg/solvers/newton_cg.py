"""Truncated Newton: each step solved by conjugate gradients on Hessian-vector products."""

import numpy as np

from fastlogreg.result import Status
from fastlogreg.solvers.newton import search
from fastlogreg.solvers.progress import Progress
from fastlogreg.solvers.shortest import shortest

MAX_PRODUCTS = 200


def newton_cg(objective, start, *, tol, max_iter, callback=None):
    """Minimise by coef ← coef + step · direction, with H direction ≈ -g from conjugate gradients.

    The residual asked of the inner solve shrinks with the violation, so that convergence is superlinear. No p × p
    array is formed. Coordinates are centred and scaled (see Coordinates).

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
    Nocedal and Wright, Numerical Optimization (2006), section 7.1.
    """
    progress = Progress(objective, tol, max_iter, callback)
    coef = start
    value, gradient = objective.value_gradient(coef)
    suboptimality, step = np.nan, None
    while (status := progress.record(value, objective.violation(gradient))) is None:
        direction = conjugate_gradients(objective, coef, gradient, min(0.5, np.sqrt(progress.violation)))
        decrement = -float(np.sum(gradient * direction))
        accepted = search(objective.value_gradient, coef, value, direction, decrement)
        if accepted is None:
            status = Status.PRECISION
            break
        coef, value, gradient = accepted
        shrinkage = objective.violation(gradient) / max(progress.violation, np.finfo(float).tiny)
        suboptimality, step = 0.5 * decrement * shrinkage**2, shrinkage * direction
    coef, dependent = shortest(progress, coef, status)
    return progress.result(coef, status, suboptimality, step=step, dependent=dependent)


def conjugate_gradients(objective, coef, gradient, forcing):
    """Return an approximate solution of H direction = -gradient with residual at most forcing · ‖gradient‖."""
    coordinates = objective.coordinates
    residual = -coordinates.gradient(gradient)
    direction = np.zeros_like(residual)
    conjugate = residual.copy()
    squared = float(np.sum(residual**2))
    target = forcing**2 * squared
    for _ in range(MAX_PRODUCTS):
        product = coordinates.gradient(objective.hessian_product(coef, coordinates.outer(conjugate)))
        curvature = float(np.sum(conjugate * product))
        if curvature <= 0.0:  # flat to working precision
            break
        length = squared / curvature
        direction += length * conjugate
        residual -= length * product
        before, squared = squared, float(np.sum(residual**2))
        if squared <= target:
            break
        conjugate = residual + (squared / before) * conjugate
    return coordinates.outer(direction if direction.any() else residual)
