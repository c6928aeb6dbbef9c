"""Of all optima the shortest, for solvers without a Hessian."""

import numpy as np

from fastlogreg.result import Status
from fastlogreg.solvers.inverse import Inverse, dependent, least_norm, still_optimal

# Columns up to which one Gram matrix costs no more than the solve did, and is small beside X.
MAX_COLUMNS = 1024
# So many rows per column nearly always tell that no column depends on others, at next to no cost.
ROWS_PER_COLUMN = 4
# A mean loss below this means that the classes are all but separated: there is no finite optimum to choose from.
NO_OPTIMUM = 1e-4
NONE = np.empty(0, dtype=np.intp)


def shortest(progress, coef, status):
    """Return, of all optima of an objective without penalty, the one whose slopes have the least norm.

    In scaled coordinates steps from zero end in the optimum that is shortest there, not in the user's units. Only
    where columns depend on each other is there more than one.

    Parameters
    ----------
    progress : Progress
        Its last entry becomes that of the answer.
    coef : ndarray
        An optimum.
    status : Status

    Returns
    -------
    coef : ndarray
        As it was where it is the start, no optimum, the only one, or has more than MAX_COLUMNS columns. Costs a pass
        over a few rows, and O(n p²) and one more pass where they leave a doubt.
    dependent : ndarray of int
        The columns that depend on each other.
    """
    objective = progress.objective
    n_rows, n_columns = objective.design.shape
    ended = status in (Status.CONVERGED, Status.PRECISION) and progress.n_iter > 0
    if objective.penalised or not ended or n_columns > MAX_COLUMNS or progress.value < NO_OPTIMUM:
        return coef, NONE
    n_sampled = ROWS_PER_COLUMN * (n_columns + 1)
    if n_rows > 2 * n_sampled:
        sample = objective.sample(n_sampled)
        objective.n_passes += n_sampled / n_rows
        if sample.total_weight > 0.0 and _null_space(sample) is None:
            return coef, NONE
    null_space = _null_space(objective)
    if null_space is None:
        return coef, NONE
    moved = np.reshape([least_norm(row, null_space) for row in np.atleast_2d(coef)], coef.shape)
    found = still_optimal(objective, moved, status, progress.value, progress.tol)
    if found is None:
        return coef, NONE
    progress.correct(*found)
    return moved, dependent(objective, np.tile(null_space, (len(np.atleast_2d(coef)), 1)))


def _null_space(objective):
    """Return directions that change no linear predictor, as columns, or None."""
    return Inverse(objective.gram(), objective.coordinates.scales, np.float64).null_space
