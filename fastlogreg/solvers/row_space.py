"""Fewer rows than columns: the optimum lies in the span of the rows, and is sought there."""

import dataclasses

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf

from fastlogreg.design import Moments, as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.solvers.newton import RANK
from fastlogreg.solvers.newton_cg import newton_cg
from fastlogreg.threads import factoring

# So much more than tol is asked in the span, because the scales of its coordinates are others.
MARGIN = 0.1


def row_space(objective, start, *, tol, max_iter, callback=None):
    """Minimise over coef = Qᵀ inner, where X = L Q, L is the Cholesky factor of X Xᵀ and Q Qᵀ = I.

    The linear predictor is L inner and the penalty ½ l2 ‖inner‖²: the same problem with n columns in place of p, which
    costs n² a pass. Only X Xᵀ, O(n² p), and the way back, coef = Xᵀ L⁻ᵀ inner, see X. What rounding in X Xᵀ has lost
    (columns 10⁸ times smaller than others) newton_cg brings back, from there on in the coordinates of X.

    Where this does not serve (sparse X, no penalty, penalties that differ, no fewer rows than columns, rows that depend
    on each other) all is newton_cg's.

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

    References
    ----------
    Hastie and Tibshirani, Biostatistics 5 (2004) 329-340, section 3.
    """
    factor = _factor(objective)
    if factor is None:
        return newton_cg(objective, start, tol=tol, max_iter=max_iter, callback=callback)
    design = objective.design
    n_rows, n_columns = design.shape
    inner = objective.over(as_design(factor, design.threads))
    begin = np.zeros(inner.shape)
    if start.any():
        eta = design.columns_times(start[..., :-1].T)
        begin[..., :-1] = solve_triangular(factor, eta, lower=True, check_finite=False).T
        begin[..., -1] = start[..., -1]
        objective.n_passes += 1.0
    # Products are so cheap here that newton's factors, one for each of its Hessians, take twice as long.
    first = newton_cg(inner, begin, tol=MARGIN * tol, max_iter=max_iter, callback=callback)
    multipliers = solve_triangular(factor, first.coef[..., :-1].T, lower=True, trans="T", check_finite=False)
    coef = np.empty(objective.shape)
    coef[..., :-1] = design.rows_times(multipliers).T
    coef[..., -1] = first.coef[..., -1]
    history = first.history * (1.0, 1.0, n_rows / n_columns) + (0.0, 0.0, objective.n_passes)
    objective.n_passes = history[-1, 2] + 1.0
    first = dataclasses.replace(first, history=history)
    return newton_cg(objective, coef, tol=tol, max_iter=max_iter, callback=callback, after=first)


def _factor(objective):
    """Return L where X Xᵀ = L Lᵀ, or None where there is none or it would not serve; one pass."""
    n_rows, n_columns = objective.design.shape
    swapped = objective.design.transposed()
    if n_rows >= n_columns or swapped is None or np.ndim(objective.l2) or not objective.penalised:
        return None
    products = _row_products(swapped)
    objective.n_passes += 1.0
    objective.check_finite(products)
    largest = np.diag(products).max()
    with factoring(n_rows):
        factor, failed = dpotrf(products, lower=1, clean=1, overwrite_a=1)
    independent = not failed and np.diag(factor).min() ** 2 > RANK * np.finfo(float).eps * n_rows * largest
    return factor if independent else None


def _row_products(swapped):
    """Return X Xᵀ: where rows and columns change places, the Hessian of two classes at zero is ¼ of its mean."""
    n_columns, n_rows = swapped.shape
    unscaled = Moments(np.zeros((2, n_rows)), 0.0)
    objective = LogisticObjective(swapped, np.zeros(n_columns), fit_intercept=False, moments=unscaled)
    hessian = objective.value_gradient_hessian(np.zeros(n_rows + 1))[2]
    return np.asfortranarray(hessian[:n_rows, :n_rows]) * (4.0 * n_columns)
