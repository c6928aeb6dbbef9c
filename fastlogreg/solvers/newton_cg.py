"""Truncated Newton: each step solved by conjugate gradients on Hessian-vector products."""

import numpy as np

from fastlogreg.objective import OWN_HESSIAN, SPARSE
from fastlogreg.result import Status
from fastlogreg.solvers.newton import UNSURE, Inverse, escape, search
from fastlogreg.solvers.progress import Progress
from fastlogreg.solvers.shortest import shortest

MAX_PRODUCTS = 200
# Where enough is reached is decided after so many products, when the last added at most this part of what they told.
FIRST_PRODUCTS, LAST_PART = 3, 0.2
# The residual asked of the last inner solve, as a part of what tol asks of the gradient.
LAST_RESIDUAL = 0.3
FAINT = 1e-10  # penalties that are not felt beside the curvature of the loss


def newton_cg(objective, start, *, tol, max_iter, callback=None, after=None, max_passes=np.inf):
    """Minimise by coef ← coef + step · direction, with H direction ≈ -g from preconditioned conjugate gradients.

    The residual asked of the inner solve shrinks with the violation, so that convergence is superlinear. The
    preconditioner is the scale and centre of the columns (see Coordinates), and no p × p array is formed; for more than
    two classes, where X is dense, it is the Gram matrix of the rows times the curvature of each class.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    tol : float
        Stop when the violation is at most tol, or, where a pass is dear, when the first conjugate gradients tell that
        the objective is within UNSURE · tol of its least, relatively. The step they make is taken all the same, but no
        longer looked at: value and violation are those of the iterate before.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.
    after : Result, optional
        Of the solver that came to start; its iterations are counted and its history is continued.
    max_passes : float
        Stop, out of passes, when the objective has counted so many.

    Returns
    -------
    Result

    References
    ----------
    Nocedal and Wright, Numerical Optimization (2006), section 7.1.
    """
    progress = Progress(objective, tol, max_iter, callback, after)
    coef = start
    value, gradient = objective.value_gradient(coef)
    precondition = None
    suboptimality, step = np.nan, None
    while (status := progress.record(value, objective.violation(gradient))) is None:
        if objective.n_passes >= max_passes:
            status = Status.OUT_OF_PASSES
            break
        precondition = precondition or preconditioner(objective)
        forcing = max(min(0.5, np.sqrt(progress.violation)), min(0.5, LAST_RESIDUAL * tol / progress.violation))
        enough = UNSURE * tol * value if objective.design.large and progress.violation <= np.sqrt(tol) else 0.0
        most = int(min(MAX_PRODUCTS, max(1.0, max_passes - objective.n_passes)))
        direction, finished = conjugate_gradients(objective, coef, gradient, forcing, precondition, enough, most)
        decrement = -float(np.sum(gradient * direction))
        if finished:
            status, coef, suboptimality, step = Status.CONVERGED, coef + direction, 0.5 * decrement, direction
            break
        accepted = search(objective.value_gradient, coef, value, direction, decrement)
        if accepted is None:
            accepted = escape(objective.value_gradient, objective, coef, value, gradient)
        if accepted is None:
            status = Status.PRECISION
            break
        coef, value, gradient = accepted
        shrinkage = objective.violation(gradient) / max(progress.violation, np.finfo(float).tiny)
        suboptimality, step = 0.5 * decrement * shrinkage**2, shrinkage * direction
    coef, dependent = shortest(progress, coef, status)
    return progress.result(coef, status, suboptimality, step=step, dependent=dependent)


def preconditioner(objective):
    """Return a function of a gradient that applies a rough inverse of the Hessian."""
    coordinates, (n_rows, n_columns) = objective.coordinates, objective.design.shape
    if objective.binary or objective.design.density < SPARSE or not n_columns < min(OWN_HESSIAN, n_rows):
        return lambda gradient: coordinates.outer(coordinates.gradient(gradient))
    gram = 4.0 * objective.gram()
    shares = objective.class_shares()
    # A power of two is near enough, and few of them have to be factored.
    curvatures = np.exp2(np.round(np.log2(np.maximum(shares * (1.0 - shares), 1e-6))))
    penalty = np.append(np.broadcast_to(objective.l2, n_columns), 0.0)
    inverses = {c: Inverse(c * gram + np.diag(penalty), coordinates.scales, np.float64) for c in set(curvatures)}

    def precondition(gradient):
        # A shift of all classes at once has no curvature but the penalty's.
        shift = gradient.mean(axis=0)
        solved = np.stack([inverses[c].solve(part) for c, part in zip(curvatures, gradient - shift, strict=True)])
        shift = np.divide(shift, penalty, out=np.zeros_like(shift), where=penalty > FAINT * np.diag(gram))
        return solved - solved.mean(axis=0) + shift

    return precondition


def conjugate_gradients(objective, coef, gradient, forcing, precondition, enough=0.0, max_products=MAX_PRODUCTS):
    """Return an approximate solution of H direction = -gradient, and whether it promises at most `enough`.

    The residual is at most forcing times the gradient, in the norm of the preconditioner.
    """
    residual = -gradient
    preconditioned = precondition(residual)
    direction = np.zeros_like(residual)
    conjugate = preconditioned
    squared = float(np.sum(residual * preconditioned))
    first, target, promised = squared, forcing**2 * squared, 0.0
    hessian_times = objective.hessian_products(coef)
    for n_products in range(1, max_products + 1):
        product = hessian_times(conjugate)
        curvature = float(np.sum(conjugate * product))
        if curvature <= 0.0:  # flat to working precision
            break
        length = squared / curvature
        direction += length * conjugate
        residual -= length * product
        more = 0.5 * length * squared  # how much lower the quadratic model is
        promised += more
        if n_products >= FIRST_PRODUCTS and promised <= enough and more <= LAST_PART * promised:
            return direction, True
        preconditioned = precondition(residual)
        before, squared = squared, float(np.sum(residual * preconditioned))
        if squared <= (max(target, LAST_RESIDUAL * first * enough / promised) if promised > enough else target):
            break
        conjugate = preconditioned + (squared / before) * conjugate
    return (direction if direction.any() else precondition(-gradient)), False
