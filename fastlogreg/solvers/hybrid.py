"""Solvers without a Hessian until they have cost as much as one, then Newton."""

from collections import deque

from fastlogreg.design import SAMPLE_PART
from fastlogreg.result import Status
from fastlogreg.solvers.lbfgs import lbfgs
from fastlogreg.solvers.newton import newton
from fastlogreg.solvers.newton_cg import newton_cg
from fastlogreg.solvers.pairs import MEMORY
from fastlogreg.solvers.sampling import SAMPLE_RATIO, at_odds, sampling_error, with_odds_of

# Coefficients for which a Hessian takes as long as a Hessian-vector product, where BLAS makes it in float32.
HESSIAN_COST = 48.0
# A sample whose optimum L-BFGS does not find to SAMPLE_TOL of the spread of its gradient in so many steps is not for
# L-BFGS: independent columns take six, a Gram matrix of condition 100 takes twelve.
SAMPLE_STEPS = 9
# Last pairs that L-BFGS learned in the sample and goes on with: earlier ones are of curvatures far away, and with five
# or ten it took up to two of eight passes more.
KEPT = 3
# Passes left at which a Hessian of a sample takes over: it costs four of them at 500 columns, and then five are left.
PATIENCE = 12.0


def hybrid(objective, start, *, tol, max_iter, callback=None):
    """Minimise without a Hessian, and from where that stands by newton once it would have been cheaper from the start.

    Nobody knows beforehand how many gradients or products a matrix of a thousand columns needs: ten or twenty where
    they are independent, thousands where they are not. So it costs at most twice what the better of the two would.

    With plenty of rows L-BFGS finds the optimum of a sample, and goes on with all rows and what it learned: at 160 rows
    a column, independent, as good as the Hessian of an eighth of the rows, which is itself a quarter off. With fewer
    rows, newton_cg.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    tol : float
        As for newton and newton_cg.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.

    Returns
    -------
    Result
    """
    plenty = objective.design.large and objective.design.shape[0] >= SAMPLE_RATIO * objective.n_coef
    if not plenty:
        max_passes = objective.n_passes + objective.n_coef / HESSIAN_COST
        first = newton_cg(objective, start, tol=tol, max_iter=max_iter, callback=callback, max_passes=max_passes)
    elif objective.binary and objective.penalised and not start.any():
        first = _by_sample(objective, start, tol, max_iter, callback)
    else:
        first = None
    if first is None:
        return newton(objective, start, tol=tol, max_iter=max_iter, callback=callback)
    if first.status is not Status.OUT_OF_PASSES:
        return first
    return newton(objective, first.coef, tol=tol, max_iter=max_iter, callback=callback, after=first)


def _by_sample(objective, start, tol, max_iter, callback):
    """Return lbfgs' Result from the optimum of a sample, or None where lbfgs does not find that."""
    n_rows = objective.design.shape[0]
    sample = objective.sample(n_rows // SAMPLE_PART)
    if sample.total_weight == 0.0:
        return None
    n_sampled = sample.design.shape[0]
    pairs: deque = deque(maxlen=MEMORY)
    enough = max(tol, sampling_error(objective, n_sampled))
    found = lbfgs(sample, at_odds(sample, start), tol=enough, max_iter=SAMPLE_STEPS, pairs=pairs)
    objective.n_passes += sample.n_passes * n_sampled / n_rows
    if not found.converged:
        return None
    coef, pairs = with_odds_of(objective, sample, found.coef), deque(list(pairs)[-KEPT:], maxlen=MEMORY)
    return lbfgs(objective, coef, tol=tol, max_iter=max_iter, callback=callback, pairs=pairs, patience=PATIENCE)
