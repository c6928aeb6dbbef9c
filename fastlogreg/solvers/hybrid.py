"""Truncated Newton until it has cost as much as a Hessian, then Newton."""

from fastlogreg.result import Status
from fastlogreg.solvers.newton import newton
from fastlogreg.solvers.newton_cg import newton_cg

# Coefficients for which a Hessian takes as long as a Hessian-vector product, where BLAS makes it in float32.
HESSIAN_COST = 48.0


def hybrid(objective, start, *, tol, max_iter, callback=None):
    """Minimise by newton_cg, and from where it stands by newton once that would have been cheaper from the start.

    Nobody knows beforehand how many conjugate gradients a matrix of a thousand columns needs: twenty where they are
    independent, thousands where they are not. So it costs at most twice what the better of the two would.

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
    max_passes = objective.n_passes + objective.n_coef / HESSIAN_COST
    first = newton_cg(objective, start, tol=tol, max_iter=max_iter, callback=callback, max_passes=max_passes)
    if first.status is not Status.OUT_OF_PASSES:
        return first
    return newton(objective, first.coef, tol=tol, max_iter=max_iter, callback=callback, after=first)
