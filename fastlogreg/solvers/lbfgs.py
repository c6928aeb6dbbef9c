"""L-BFGS in centred and scaled coordinates."""

from collections import deque
from functools import partial

import numpy as np

from fastlogreg.result import Status
from fastlogreg.solvers.pairs import MEMORY, remember, two_loops
from fastlogreg.solvers.progress import LEFT_OVER, Progress
from fastlogreg.solvers.shortest import shortest

ARMIJO = 1e-4
WOLFE = 0.9
APPROXIMATE, NEAR = 0.8, 1e-9
MAX_TRIALS = 40
# Longest first step in scaled coordinates: where all probabilities are 0 or 1 there is no curvature to tell a length.
LONGEST = 2.0**20


def lbfgs(objective, start, *, tol, max_iter, callback=None, after=None, pairs=None, patience=np.inf):
    """Minimise by limited-memory BFGS steps, with a line search for the weak Wolfe conditions.

    Coordinates are centred and scaled (see Coordinates), so that units and origin do not matter; conditioning does.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    tol : float
        Stop when the violation is at most tol.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.
    after : Result, optional
        Of the solver that came to start; its iterations are counted and its history is continued.
    pairs : deque, optional
        What an objective nearby told about the Hessian, in centred and scaled coordinates; extended in place.
    patience : float
        Stop, out of passes, where more than so many passes are left at the rate of the last three. Below that the rate
        tells how good the next iterate will be, and it is the answer, no longer looked at, if LEFT_OVER tol suffices.

    Returns
    -------
    Result

    References
    ----------
    Nocedal and Wright, Numerical Optimization (2006), section 7.2; line search of Lewis and Overton (2013),
    with the approximate Wolfe conditions of Hager and Zhang, SIAM Journal on Optimization 16 (2005) 170-192.
    """
    progress = Progress(objective, tol, max_iter, callback, after)
    coordinates = objective.coordinates
    coef = start
    value, gradient = objective.value_gradient(coef)
    pairs = deque(maxlen=MEMORY) if pairs is None else pairs
    least = np.inf, coef, value, gradient
    while (status := progress.record(value, objective.violation(gradient))) is None:
        if progress.violation < least[0]:
            least = progress.violation, coef, value, gradient
        direction = coordinates.outer(two_loops(coordinates.gradient(gradient), pairs, partial(_scaled, pairs)))
        if pairs and np.isfinite(patience):
            promised = -0.5 * float(np.sum(gradient * direction))
            left = progress.promise(promised)
            if left <= LEFT_OVER * tol * value and progress.violation <= np.sqrt(tol):
                return progress.result(coef + direction, Status.CONVERGED, left, step=direction)
            if progress.passes_left() > patience:
                status = Status.OUT_OF_PASSES
                break
        accepted = _search(objective, coef, value, gradient, direction, 1.0 if pairs else None)
        if accepted is None:
            if not pairs:
                status = Status.PRECISION
                break
            pairs.clear()  # the curvature model may be what is wrong: once more along the gradient
            progress.history.pop()
            continue
        new_coef, new_value, new_gradient = accepted
        remember(pairs, coordinates.inner(new_coef - coef), coordinates.gradient(new_gradient - gradient))
        coef, value, gradient = new_coef, new_value, new_gradient
    if status is Status.PRECISION and progress.violation > least[0]:  # the last ones differed by rounding
        violation, coef, value, gradient = least
        progress.correct(value, violation)
    suboptimality, step = np.nan, None
    if pairs:
        step = coordinates.outer(two_loops(coordinates.gradient(gradient), pairs, partial(_scaled, pairs)))
        suboptimality = -0.5 * float(np.sum(gradient * step))
    coef, dependent = shortest(progress, coef, status)
    return progress.result(coef, status, suboptimality, step=step, dependent=dependent)


def _scaled(pairs, direction):
    """Apply the multiple of the identity that fits the last pair."""
    if not pairs:
        return direction
    _, gradient_change, curvature = pairs[-1]
    return direction * (curvature / float(np.sum(gradient_change**2)))


def _search(objective, coef, value, gradient, direction, step):
    """Return (coef, value, gradient) at a step that satisfies the weak Wolfe conditions, or None."""
    slope, violation = float(np.sum(gradient * direction)), objective.violation(gradient)
    if slope >= 0.0:
        return None
    if step is None:  # one more pass finds the scale of the steps; doubling from a safe guess took fifteen
        curvature = float(np.sum(direction * objective.hessian_product(coef, direction)))
        longest = LONGEST / np.abs(objective.coordinates.inner(direction)).max()
        step = min(-slope / curvature, longest) if curvature > 0.0 else longest
    low, high = 0.0, np.inf
    rounding = 8.0 * np.finfo(float).eps * abs(value)
    for _ in range(MAX_TRIALS):
        trial = coef + step * direction
        new_value, new_gradient = objective.value_gradient(trial)
        new_slope = float(np.sum(new_gradient * direction))
        lower = new_value <= value + ARMIJO * step * slope + rounding
        # Near the optimum gradients have digits where values have none left.
        near = new_value <= value * (1.0 + NEAR) and objective.violation(new_gradient) < violation
        if not lower and not (near and new_slope <= -APPROXIMATE * slope):
            high = step
        elif new_slope < WOLFE * slope:
            low = step
        else:
            return trial, new_value, new_gradient
        step = 2.0 * low if np.isinf(high) else 0.5 * (low + high)
    return None
