"""Newton's method with Cholesky solves (iteratively reweighted least squares), damped."""

from dataclasses import replace

import numpy as np

from fastlogreg.design import SAMPLE_PART
from fastlogreg.result import Status
from fastlogreg.solvers.curvature import UNSURE, Curvature, Memory, cheap, scattered
from fastlogreg.solvers.inverse import Inverse, changes_nothing, dependent, least_norm, plus_l2, still_optimal
from fastlogreg.solvers.lbfgs import lbfgs
from fastlogreg.solvers.line_search import escape, search
from fastlogreg.solvers.progress import LEFT_OVER, Progress
from fastlogreg.solvers.sampling import SAMPLE_RATIO, at_odds, enriched, sampling_error, with_odds_of

# SAMPLE_RATIO for rows that are short and sparse: a sample, which is a copy there, has to be nearer to the optimum.
CHEAP_RATIO = 1000
# A sample begins with a sample of its own where that has forty rows per coefficient: with fifteen, rare levels were
# separated there, and Newton took ten Hessians to come back.
SAMPLE_OF_SAMPLE = 320
# Gradients of all rows that a Hessian at the sample's optimum saves: at 100 columns two or three, and it costs one; at
# 500 one or none, and it costs three.
LAST_HESSIAN = 2.0
FEW_MISSED = 0.1  # of the columns, that a sample hardly holds
# Violation above which L-BFGS goes on where no Newton step helps: offsets of 10⁴ leave hardly any curvature, and what
# there is misleads.
STUCK = 1e-5
# Where a pass is dear, tol bounds the relative suboptimality that the Hessian tells, too: so much of it where that is
# the Hessian of the iterate, and UNSURE where it is older, or a sample's.
SURE = 0.25
# Elsewhere so many iterations more are made where it is above LEFT · tol² for each coefficient still: with one event
# in 10⁵ rows all gradients are small, and a violation of 10⁻⁸ is three digits of the intercept.
MORE, LEFT = 3, 10.0


def newton(objective, start, *, tol, max_iter, callback=None, after=None, memory=None):
    """Minimise by coef ← coef - step · H⁻¹ g.

    The step is halved until the objective falls by at least ARMIJO times what the gradient promises. Value, gradient
    and Hessian come from one pass. Where the Hessian is dear, that of an earlier iterate is used as long as it serves,
    corrected by L-BFGS. Where H is singular the step is the one of least norm, and without a penalty so is the answer:
    of all optima, the one whose coefficients (intercept not counted) have the least norm.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    tol : float
        Stop when the violation is at most tol and, by the Hessian, the objective within LEFT n_coef tol² of
        its least, relatively.
        Where a pass is dear, stop within SURE · tol (UNSURE · tol by an older Hessian) of the least, whatever the
        violation. The step that tells it is taken all the same, but no longer looked at: value and violation are those
        of the iterate before.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.
    after : Result, optional
        Of the solver that came to start; its iterations are counted and its history is continued.
    memory : Memory, optional
        Of a solve nearby: its Hessian stands for the first one here, and the last one here takes its place.

    Returns
    -------
    Result

    References
    ----------
    Nocedal and Wright, Numerical Optimization (2006), sections 3.1, 3.4 and 7.2.
    """
    result, curvature = _minimise(objective, start, tol, max_iter, callback, after, memory)
    if result.status is Status.PRECISION and result.violation > max(tol, STUCK):
        further = lbfgs(objective, result.coef, tol=tol, max_iter=max_iter, callback=callback, after=result)
        return replace(further, step=None)  # no Newton step, as others take it to be
    null_space = curvature.inverse.null_space
    if objective.penalised or null_space is None:
        return result
    if not changes_nothing(objective, null_space):  # some probabilities are all but 0 or 1, and with them curvatures 0
        return replace(result, step=None)
    coef = least_norm(result.coef, null_space)
    found = still_optimal(objective, coef, result.status, result.objective, max(tol, result.violation))
    if found is None:
        return replace(result, step=None, n_passes=objective.n_passes)
    value, violation = found
    history = np.vstack([result.history[:-1], [value, violation, objective.n_passes]])
    at = {"coef": coef, "objective": value, "violation": violation, "history": history}
    return replace(result, **at, dependent=dependent(objective, null_space), n_passes=objective.n_passes)


def _minimise(objective, start, tol, max_iter, callback=None, after=None, memory=None, rough=False):
    """Return the Result of `newton` and the Curvature it ended with; rough: the violation alone decides."""
    progress = Progress(objective, tol, max_iter, callback, after)
    curvature = Curvature(objective, memory)
    coef, left = start, np.inf  # left: what the last step leaves to gain, where it is that which ends the fit
    if not curvature.recall():
        coef, curvature.inverse = _sample_start(objective, start, tol, max_iter, after is not None, rough)
    if rough and coef is start:
        coef = at_odds(objective, start)
    while True:
        value, gradient, *rest = (objective.value_gradient if curvature.inverse else curvature.with_hessian)(coef)
        if coef is start or value <= np.log(objective.n_classes):  # the loss at zero
            break
        coef, curvature.inverse = start, None  # the sample misled
    if rest:
        curvature.update(coef, *rest)
    converged = 0  # iterates with a violation of at most tol
    while True:
        status = progress.record(value, objective.violation(gradient))
        converged += status is Status.CONVERGED
        if status not in (None, Status.CONVERGED) or (converged and rough) or max_iter == 0:
            break
        direction = -curvature.solve(gradient.ravel()).reshape(coef.shape)
        decrement = -float(np.sum(gradient * direction))
        if objective.design.large:
            # Where the linear predictors are huge and wrong there is no curvature, and no promise either.
            regular = progress.violation <= np.sqrt(tol)
            promise = progress.promise(0.5 * decrement)
            enough = 0.5 * decrement <= tol * value * (SURE if curvature.fresh else UNSURE)
            if regular and (enough or promise <= LEFT_OVER * tol * value):
                status, coef = Status.CONVERGED, coef + direction
                left = np.inf if enough else promise
                break
        elif converged and 0.5 * decrement <= LEFT * objective.n_coef * tol * tol * value:
            status = Status.CONVERGED
            break
        if converged > MORE:  # with separated classes no decrement is small beside the objective
            status = Status.CONVERGED
            break
        renew = curvature.worth_renewing(progress, decrement, rough)
        evaluate = curvature.with_hessian if renew else objective.value_gradient
        accepted = search(evaluate, coef, value, direction, decrement, objective.noise(coef))
        if accepted is None:
            if status is Status.CONVERGED:
                break
            if not curvature.fresh:
                curvature.update(coef, curvature.with_hessian(coef)[2])
                progress.history.pop()
                continue
            accepted = escape(curvature.with_hessian, objective, coef, value, gradient)
            if accepted is None:
                status = Status.PRECISION
                break
        new_coef, value, new_gradient, *rest = accepted
        if rest:
            curvature.update(new_coef, *rest)
        else:
            curvature.learn((new_coef - coef).ravel(), (new_gradient - gradient).ravel())
        coef, gradient = new_coef, new_gradient
    curvature.leave()
    step = -curvature.solve(gradient.ravel()).reshape(coef.shape)
    suboptimality = min(-0.5 * float(np.sum(gradient * step)), left)
    return progress.result(coef, status, suboptimality, step=step), curvature


def _sample_start(objective, start, tol, max_iter, near, rough):
    """Return the optimum of a sample of the rows and its inverse Hessian where there are plenty, else start and None.

    The optimum of a sample lies within about sqrt(p / n_sampled) of the full one, relatively; its Hessian likewise.
    Near the optimum of all rows, the Hessian of the sample there is all that is asked.
    """
    n_rows = objective.design.shape[0]
    ratio = CHEAP_RATIO if scattered(objective) else SAMPLE_RATIO
    least = (SAMPLE_OF_SAMPLE if rough else ratio) * objective.n_coef
    if n_rows < least or not objective.design.large or (start.any() and not near):
        return start, None
    sample = enriched(objective) or objective.sample(n_rows // SAMPLE_PART)
    if sample.total_weight == 0.0:
        return start, None
    n_sampled = sample.design.shape[0]
    memory = Memory()
    if near:
        curvature, coef = Curvature(sample, memory), start
        curvature.update(start, curvature.with_hessian(start)[2])
    else:
        enough = max(tol, sampling_error(objective, n_sampled))
        result, curvature = _minimise(sample, start, enough, max_iter, memory=memory, rough=True)
        worth_it = not cheap(objective) and curvature.cost < LAST_HESSIAN * SAMPLE_PART
        if result.converged and not curvature.fresh and worth_it:
            curvature.update(result.coef, curvature.with_hessian(result.coef)[2])
        coef = with_odds_of(objective, sample, result.coef) if result.converged else start
    inverse = _inverse_for_all(objective, sample, curvature) if near or result.converged else None
    objective.n_passes += sample.n_passes * n_sampled / n_rows
    return coef, inverse


def _inverse_for_all(objective, sample, curvature):
    """Return the inverse Hessian of a sample where it can stand for that of all rows, else None.

    A column that is rare and hardly in the sample is nearly orthogonal to all others in any Hessian: its share of the
    squares tells its place on the diagonal.
    """
    if cheap(objective):
        return None
    missed = objective.missed(sample)
    if not missed.any():
        return curvature.inverse if curvature.inverse.factor is not None else None
    if not objective.binary or missed.mean() > FEW_MISSED or curvature.memory.hessian is None:
        return None
    hessian, squares = curvature.memory.hessian, objective.coordinates.mean_squares
    curvatures = np.diag(hessian)[:-1][~missed] / squares[~missed]
    missed = np.flatnonzero(missed)
    hessian[missed] = hessian[:, missed] = 0.0
    hessian[missed, missed] = np.median(curvatures) * squares[missed]
    hessian = plus_l2(hessian, objective.l2, objective.n_coef)
    inverse = Inverse(hessian, curvature.scales, curvature.precision)
    return inverse if inverse.factor is not None else None
