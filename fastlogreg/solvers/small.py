"""Newton's method for few rows and coefficients, all of it in one kernel."""

import numpy as np

from fastlogreg.coordinates import CONSTANT
from fastlogreg.design import NO_OFFSET, Moments
from fastlogreg.hessian_sums import padded_size
from fastlogreg.kernels import small
from fastlogreg.kernels.tiles import PANEL_MULTIPLE
from fastlogreg.objective import NotFiniteError
from fastlogreg.result import Result, Status
from fastlogreg.solvers.inverse import RANK
from fastlogreg.solvers.line_search import ARMIJO
from fastlogreg.solvers.newton import LEFT, MORE, newton
from fastlogreg.units import FAR, HIDDEN, LARGEST, SMALLEST

# Multiply-adds of a Hessian, and coefficients, up to which the steps of `newton` take Python longer than the rows take
# one core.
WORK, COEFFICIENTS = 2**19, 64
# Iterates that are left to the kernel; nearly all fits need fewer than ten.
MOST = 31
# Rows of a block.
ROWS = 256
LIMITS = SMALLEST, LARGEST, HIDDEN**2, FAR, CONSTANT


def is_small(n_rows, n_columns, n_classes):
    """Whether a fit of so many rows, columns and classes is for `small_newton`."""
    blocks = 1 if n_classes == 2 else n_classes
    n_coef = blocks * (n_columns + 1)
    return n_coef <= COEFFICIENTS and n_rows * n_coef * n_coef <= 2 * WORK


def small_newton(objective, start, *, tol, max_iter, callback=None):
    """Do what `newton` does in one call of a kernel that finds the moments of the columns, too.

    Where anything is unusual `newton` goes on from the iterate that was reached: a singular Hessian, a step that must
    be halved, iterates beyond MOST or max_iter.

    Parameters
    ----------
    objective : LogisticObjective
        Without an offset. Its moments, UNSEEN, are filled in.
    start, tol, max_iter, callback
        As for `newton`. The callback sees what `newton` does only.

    Returns
    -------
    Result

    Raises
    ------
    NotFiniteError
        Where an entry is not finite, or a column of such a scale or origin that units.py has to look at it.
    """
    size = start.shape[-1]
    n_classes, q, n_rows = start.size // size, padded_size(size), objective.design.shape[0]
    n_coef, several = start.size, n_classes > 1
    rows = min(ROWS, -(-n_rows // PANEL_MULTIPLE) * PANEL_MULTIPLE)
    around = np.zeros((n_classes, q))
    panel, work = np.empty((1 + several, q, rows)), np.empty((n_classes + 4, rows))
    sums = np.zeros(1 + around.size + (n_classes * q) ** 2)
    points, vectors = np.empty((4, n_coef)), np.zeros((4, n_coef))
    points[0] = start.ravel()
    vectors[0].reshape(n_classes, size)[:, :-1] = objective.l2
    vectors[2] = 1.0
    moments, state = np.empty((2, size - 1)), np.zeros(6)
    seen = np.empty((min(MOST, max_iter + 1), 2))
    left, rank = LEFT * n_coef * tol * tol, RANK * n_coef * small.EPS
    rules = np.array([objective.total_weight, objective.fit_intercept, tol, left, MORE, ARMIJO, rank, *LIMITS])
    rest = sums, np.empty((n_coef, n_coef)), points, vectors, moments, seen, state
    if several:
        prob = np.empty((2, n_classes, rows))
        objective.call(small.newton_classes, NO_OFFSET, rules, around, panel, prob, work, *rest)
    else:
        objective.call(small.newton, rules, around, panel, work, *rest)
    ending, n_iterates, n_evaluations = map(int, state[:3].tolist())
    objective.n_passes += n_evaluations
    if ending == small.ODD:
        raise NotFiniteError("an entry that is not finite, or columns of extreme scale or origin")
    objective.moments = Moments(moments, 0.0)
    history = np.empty((n_iterates, 3))
    history[:, :2] = seen[:n_iterates]
    history[:, 2] = np.arange(n_evaluations - n_iterates, n_evaluations) + 1.0
    value, violation = seen[n_iterates - 1].tolist()
    coef, step = points[0].reshape(start.shape), points[1].reshape(start.shape)
    converged = ending == small.CONVERGED
    result = Result(
        coef=coef,
        status=Status.CONVERGED if converged else Status.MAX_ITER,
        objective=value,
        violation=violation,
        suboptimality=max(0.0, float(state[3])),
        n_iter=n_iterates - 1,
        n_passes=objective.n_passes,
        history=history,
        step=step,
    )
    if converged:
        return result
    return newton(objective, coef, tol=tol, max_iter=max_iter, callback=callback, after=result)
