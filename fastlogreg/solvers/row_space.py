"""Fewer rows than columns: the optimum lies in the span of the rows, and is sought there."""

import dataclasses

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotrs, spotrf, spotrs

from fastlogreg.design import as_design
from fastlogreg.result import Status
from fastlogreg.solvers.curvature import SINGLE_WORK
from fastlogreg.solvers.inverse import RANK
from fastlogreg.solvers.line_search import search
from fastlogreg.solvers.newton_cg import newton_cg
from fastlogreg.solvers.progress import Progress
from fastlogreg.threads import factoring, one_blas_thread

# So much more than tol is asked in the span, because the scales of its coordinates are others.
MARGIN = 0.1
# Up to so many rows a factor of their products is cheaper than the conjugate gradients that would do without.
FACTOR_ROWS = 800
# Products of float32 show the way until Newton's step is so long, or shorter than NEAR and no longer shrinking; from
# there on X itself is asked. Steps that then leave more than SLOW of the one before are of too few digits.
SINGLE_STEP, NEAR, SLOW = 1e-5, 1e-2, 0.3
CHORD = 1e-2  # what a step of a float32 factor leaves of the one before, at most
# The length of a step is known well enough to this part, or after so many trials.
LENGTH_PART, MOST_LENGTHS = 0.05, 8


def row_space(objective, start, *, tol, max_iter, callback=None):
    """Minimise over coef = Xᵀ multipliers, one a row: the same problem with n unknowns in place of p.

    The linear predictor is K multipliers, K = X Xᵀ, and the penalty ½ l2 multipliersᵀ K multipliers. Only K, O(n² p),
    and the way back see X. What rounding in K has lost (columns 10⁸ times smaller than others) newton_cg brings back,
    from there on in the coordinates of X.

    For two classes and up to FACTOR_ROWS rows the unknowns are the multipliers (see _multipliers), else the coordinates
    of the rows of Q, where X = L Q, L is the Cholesky factor of K, and newton_cg finds them.

    Where this does not serve (sparse X, no penalty, penalties that differ, no fewer rows than columns) all is
    newton_cg's.

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
    Hastie and Tibshirani, Biostatistics 5 (2004) 329-340, section 3; Rasmussen and Williams, Gaussian Processes for
    Machine Learning (2006), algorithm 3.1, for Newton's method on the multipliers.
    """
    options = {"tol": tol, "max_iter": max_iter, "callback": callback}
    n_rows, n_columns = objective.design.shape
    first = None
    if n_rows < n_columns and not objective.design.sparse and np.ndim(objective.l2) == 0 and objective.penalised:
        if objective.binary and n_rows <= FACTOR_ROWS:
            # Threads that wait for the next call of BLAS take the cores from the others': X Xᵀ has two, the rest one.
            system = _System(objective)
            with one_blas_thread:
                first = _multipliers(objective, start, system, **options)
        else:
            first = _coordinates(objective, start, **options | {"tol": MARGIN * tol})
    if first is None:
        return newton_cg(objective, start, **options)
    return newton_cg(objective, first.coef, after=first, **options)


def _multipliers(objective, start, system, *, tol, max_iter, callback):
    """Return the Result of Newton's method on the multipliers, whose violation is the length of the step in F's norm.

    With slopes s and curvatures D of the rows, gradient Xᵀ (s + l2 multipliers) and the step c of the intercept,

        (D K + l2 I) step = -(s + l2 multipliers) - D 1 c,   1ᵀ (multipliers + step) = 0,

    where (D K + l2 I)⁻¹ = (I - √D (l2 I + √D K √D)⁻¹ √D K) / l2. Where K and the factor are in float32, the last steps
    are from predictors by X itself, two passes each: chords that leave a thousandth of what there was, or less.

    Wide data are separable, and Newton's step from zero is a fraction of the way (0.3 for 500 × 5000): along a step the
    objective costs n, so that its length is sought, too, and the steps are halved from ten to five.
    """
    design, l2, n_rows = objective.design, objective.l2, objective.design.shape[0]
    single = system.precision is np.float32
    progress = Progress(objective, tol, max_iter, callback)

    def terms(point, level):
        loss, slopes, curvatures = objective.row_terms(level + point[-1])
        return loss + 0.5 * l2 * float(point[:-1] @ level), slopes, curvatures

    def by_products(point):
        objective.n_passes += n_rows / design.shape[1]
        return terms(point, system.times(point[:-1]))

    def by_columns(point):
        objective.n_passes += 2.0
        return terms(point, design.columns_times(design.rows_times(point[:-1])))

    evaluate = by_products
    point = np.zeros(n_rows + 1)
    point[-1] = start[-1]
    value, *derivatives = evaluate(point)
    if start[:-1].any():
        objective.n_passes += 1.0
        told = design.columns_times(start[:-1])
        _, slopes, curvatures = objective.row_terms(told + start[-1])
        system.factor(curvatures)
        near = point + system.step(point, slopes, told)[0]
        there, *others = evaluate(near)
        if there < value:
            point, value, derivatives = near, there, others
    last = np.inf
    while True:
        if evaluate is by_products:  # steps from X itself are too short to change the curvatures
            system.factor(derivatives[1])
        direction, decrement = system.step(point, derivatives[0])
        size = float(np.sqrt(max(decrement, 0.0)))
        shrinks = size <= SLOW * last
        if single and evaluate is by_products and (size <= SINGLE_STEP or (size < NEAR and not shrinks)):
            evaluate, last = by_columns, np.inf
            value, *derivatives = evaluate(point)
            continue
        if single and evaluate is by_columns and size > tol and not shrinks:
            single, evaluate, last = False, by_products, np.inf
            system = _System(objective, exact=True)
            value, *derivatives = evaluate(point)
            continue
        if (status := progress.record(value, size)) is not None:
            break
        if evaluate is by_columns and CHORD * size <= tol:  # where that leads need not be looked at here
            point, status = point + direction, Status.CONVERGED
            break
        if evaluate is by_products:
            length = _length(terms, point, system, direction)
            direction, decrement = length * direction, length * decrement
        accepted = search(evaluate, point, value, direction, decrement)
        if accepted is None:
            status = Status.PRECISION
            break
        last = size
        point, value, *derivatives = accepted
    objective.n_passes += 1.0
    return progress.result(np.append(design.rows_times(point[:-1]), point[-1]), status)


def _length(terms, point, system, direction):
    """Return how often a direction is to be taken, 1 or more: by Newton's method on the objective along it."""
    level, along = system.times(point[:-1]), system.times(direction[:-1])
    length = 1.0
    for _ in range(MOST_LENGTHS):
        there = point + length * direction
        _, slopes, curvatures = terms(there, level + length * along)
        tilt = along + direction[-1]
        slope = slopes @ tilt + system.objective.l2 * there[:-1] @ along
        curvature = curvatures @ tilt**2 + system.objective.l2 * direction[:-1] @ along
        change = -slope / curvature if curvature > 0.0 else 0.0
        length = max(1.0, length + change)
        if abs(change) <= LENGTH_PART * length:
            break
    return length


class _System:
    """The equations of Newton's step on the multipliers; at most a pass.

    Attributes
    ----------
    precision : type
        Of what follows: float32 where it serves and pays.
    products : ndarray of shape (n_samples, n_samples)
        X Xᵀ.
    curvatures, roots, cholesky : ndarray
        D, √(D / l2) and the factor, since the last call of `factor`.
    """

    def __init__(self, objective, exact=False):
        self.objective = objective
        n_rows, n_columns = objective.design.shape
        single = not exact and objective.single_serves and n_columns * float(n_rows) ** 2 > SINGLE_WORK
        self.precision = np.float32 if single else np.float64
        self.products = objective.row_products(self.precision)
        self.potrf, self.potrs = (spotrf, spotrs) if single else (dpotrf, dpotrs)

    def times(self, values):
        """Return the products times values, in float64."""
        return (self.products @ values.astype(self.precision)).astype(np.float64)

    def factor(self, curvatures):
        """Factor I + √D K √D / l2, for the steps from here on."""
        self.curvatures = curvatures
        self.roots = roots = np.sqrt(curvatures / self.objective.l2).astype(self.precision)
        matrix = roots[:, None] * self.products
        matrix *= roots
        np.einsum("ii->i", matrix)[:] += 1.0
        self.cholesky, _ = self.potrf(matrix.T, lower=1, clean=0, overwrite_a=1)

    def step(self, point, slopes, told=0.0):
        """Return Newton's step and minus the slope of F along it; told is what multipliers do not tell of X coef."""
        l2, roots, curvatures = self.objective.l2, self.roots, self.curvatures
        inner = slopes + l2 * point[:-1]
        right = np.stack([curvatures * told - inner, -curvatures], axis=1)
        lifted = self.potrs(self.cholesky, roots[:, None] * self.times(right), lower=1)[0]
        along, lift = (right / l2 - roots[:, None] * lifted / l2).T
        shift, total = 0.0, lift.sum()
        if self.objective.fit_intercept and total != 0.0:  # else every row is saturated, and newton_cg finds it
            shift = -(point[:-1].sum() + along.sum()) / total
        direction = np.append(along + shift * lift, shift)
        slope = float(inner @ self.times(direction[:-1]) + slopes.sum() * shift)
        return direction, -slope


def _coordinates(objective, start, *, tol, max_iter, callback):
    """Return the Result of newton_cg on the coordinates, from which the penalty is ½ l2 ‖·‖²; None where K has no L."""
    design = objective.design
    n_rows, n_columns = design.shape
    factor = _factor(objective)
    if factor is None:
        return None
    inner = objective.over(as_design(factor, design.threads))
    begin = np.zeros(inner.shape)
    if start.any():
        eta = design.columns_times(start[..., :-1].T)
        begin[..., :-1] = solve_triangular(factor, eta, lower=True, check_finite=False).T
        begin[..., -1] = start[..., -1]
        objective.n_passes += 1.0
    # Products are so cheap here that newton's factors, one for each of its Hessians, take twice as long.
    first = newton_cg(inner, begin, tol=tol, max_iter=max_iter, callback=callback)
    multipliers = solve_triangular(factor, first.coef[..., :-1].T, lower=True, trans="T", check_finite=False)
    coef = np.empty(objective.shape)
    coef[..., :-1] = design.rows_times(multipliers).T
    coef[..., -1] = first.coef[..., -1]
    history = first.history * (1.0, 1.0, n_rows / n_columns) + (0.0, 0.0, objective.n_passes)
    objective.n_passes = history[-1, 2] + 1.0
    return dataclasses.replace(first, coef=coef, history=history)


def _factor(objective):
    """Return L where X Xᵀ = L Lᵀ, or None where rows depend on each other; at most one pass."""
    n_rows = objective.design.shape[0]
    products = objective.row_products()
    largest = np.diag(products).max()
    with factoring(n_rows):
        factor, failed = dpotrf(products.T, lower=1, clean=1)  # symmetric, and in LAPACK's order
    independent = not failed and np.diag(factor).min() ** 2 > RANK * np.finfo(float).eps * n_rows * largest
    return factor if independent else None
