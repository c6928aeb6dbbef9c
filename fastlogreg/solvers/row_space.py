"""Fewer rows than columns: the optimum lies in the span of the rows, and is sought there."""

import dataclasses

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotrs, spotrf, spotrs

from fastlogreg.design import COPIED, as_design
from fastlogreg.result import Status
from fastlogreg.solvers.curvature import SINGLE_WORK
from fastlogreg.solvers.inverse import RANK
from fastlogreg.solvers.line_search import search
from fastlogreg.solvers.newton_cg import LAST_RESIDUAL, newton_cg
from fastlogreg.solvers.progress import Progress
from fastlogreg.threads import factoring, one_blas_thread

# So much more than tol is asked in the span, because the scales of its coordinates are others.
MARGIN = 0.1
# Up to so many rows a factor of their products is cheaper than the conjugate gradients that would do without.
FACTOR_ROWS = 800
# Products of float32 show the way until Newton's step is so long, or shorter than NEAR and no longer shrinking; from
# there on X itself is asked, while the steps shrink.
SINGLE_STEP, NEAR = 1e-5, 1e-2
CHORD = 1e-2  # what a step of a float32 factor leaves of the one before, at most
# Products of conjugate gradients, for each row, that the first step may take, for them to beat X Xᵀ and its factors;
# how many times that all steps may; and the part of the largest that smaller curvatures are taken for.
PRODUCTS_A_ROW, SUCH_STEPS, LEAST_CURVATURE = 0.01, 10, 1e-12
# What conjugate gradients may leave of a first step, by which they are judged, and of one that is far from the optimum.
FIRST, LOOSE = 0.1, 0.3
LEAST_SINGLE = 1e-3  # the least residual that products of float32 can be asked for
# The length of a step is known well enough to this part, or after so many trials.
LENGTH_PART, MOST_LENGTHS = 0.05, 8


def row_space(objective, start, *, tol, max_iter, callback=None):
    """Minimise over coef = Xᵀ multipliers, one a row: the same problem with n unknowns in place of p.

    The linear predictor is K multipliers, K = X Xᵀ, and the penalty ½ l2 multipliersᵀ K multipliers. Only K, O(n² p),
    and the way back see X. What rounding in K has lost (columns 10⁸ times smaller than others) newton_cg brings back,
    from there on in the coordinates of X.

    For two classes the unknowns are the multipliers (see _multipliers), and K is not made where conjugate gradients on
    X Xᵀ are quick: 22 in place of 43 ms for 500 × 5000, 30 in place of 115 for 800 × 3000. Where they are not, up to
    FACTOR_ROWS rows have their K factored. Else the unknowns are the coordinates of the rows of Q, where X = L Q, L is
    the Cholesky factor of K, and newton_cg finds them.

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
        # Threads that wait for the next call of BLAS take the cores from the others': X Xᵀ has two, the rest one.
        again = n_rows <= FACTOR_ROWS and objective.design.looked_at_rows  # strengths and folds share X Xᵀ
        if objective.binary and PRODUCTS_A_ROW * n_rows >= 1.0 and not again:
            with one_blas_thread:
                first = _multipliers(objective, start, _Conjugate(objective), **options)
        if first is None and objective.binary and n_rows <= FACTOR_ROWS:
            system = _Products(objective)
            with one_blas_thread:
                first = _multipliers(objective, start, system, **options)
        elif first is None:
            first = _coordinates(objective, start, **options | {"tol": MARGIN * tol})
    if first is None:
        return newton_cg(objective, start, **options)
    return newton_cg(objective, first.coef, after=first, **options)


def _multipliers(objective, start, system, *, tol, max_iter, callback):
    """Return the Result of Newton's method on the multipliers, whose violation is the length of the step in F's norm.

    With slopes s and curvatures D of the rows, gradient Xᵀ (s + l2 multipliers) and the step c of the intercept,

        (D K + l2 I) step = -(s + l2 multipliers) - D 1 c,   1ᵀ (multipliers + step) = 0.

    Wide data are separable, and Newton's step from zero is a fraction of the way (0.3 for 500 × 5000): along a step the
    objective costs n, so that its length is sought, too, and the steps are halved from ten to five.

    None where the system gives up.
    """
    design, l2, n_rows = objective.design, objective.l2, objective.design.shape[0]
    progress = Progress(objective, tol, max_iter, callback)
    # A point is the multipliers, the intercept, and K multipliers, what the former add to the predictors.
    multipliers, level = slice(n_rows), slice(n_rows + 1, None)

    def by_products(point):
        loss, slopes, curvatures = objective.row_terms(point[level] + point[n_rows])
        return loss + 0.5 * l2 * float(point[multipliers] @ point[level]), slopes, curvatures

    def by_columns(point):
        objective.n_passes += 2.0
        point[level] = design.columns_times(design.rows_times(point[multipliers]))
        return by_products(point)

    evaluate = by_products
    point = np.zeros(2 * n_rows + 1)
    point[n_rows] = start[-1]
    value, slopes, curvatures = evaluate(point)
    if start[:-1].any():
        objective.n_passes += 1.0
        told = design.columns_times(start[:-1])
        _, steep, bent = objective.row_terms(told + start[-1])
        direction = system.step(point[multipliers], steep, bent, FIRST, told)
        if direction is None:
            return None
        near = point + direction
        there, steep, bent = evaluate(near)
        if there < value:
            point, value, slopes, curvatures = near, there, steep, bent
    last, moved, left = np.inf, FIRST, np.inf
    while True:
        forcing = max(min(LOOSE, moved), LAST_RESIDUAL * tol / left, LEAST_SINGLE * system.single)
        # Steps from X itself are too short to change the curvatures: not worth another factor.
        keeps = evaluate is by_columns and not system.approximate
        direction = system.step(point[multipliers], slopes, None if keeps else curvatures, forcing)
        if direction is None:
            return None
        inner = slopes + l2 * point[multipliers]
        decrement = -float(inner @ direction[level] + slopes.sum() * direction[n_rows])
        size = float(np.sqrt(max(decrement, 0.0)))
        shrinks = size <= system.slow * last
        if system.single and evaluate is by_products and (size <= SINGLE_STEP or (size < NEAR and not shrinks)):
            evaluate, last = by_columns, np.inf
            value, slopes, curvatures = evaluate(point)
            continue
        if system.single and evaluate is by_columns and size > tol and not shrinks:
            evaluate, last = by_products, np.inf
            system = type(system)(objective, exact=True)
            continue
        if (status := progress.record(value, size)) is not None:
            break
        moved = float(np.abs(direction[level] + direction[n_rows]).max())  # the curvatures change by that part, at most
        left = size * max(forcing, CHORD if keeps else moved)
        if left <= tol and (evaluate is by_columns or not system.single):  # it need not be looked at where that leads
            point, status = point + direction, Status.CONVERGED
            break
        if evaluate is by_products:
            length = _length(objective, point, direction)
            direction, decrement = length * direction, length * decrement
        accepted = search(evaluate, point, value, direction, decrement)
        if accepted is None:
            if system.approximate:
                return None
            status = Status.PRECISION
            break
        last = size
        point, value, slopes, curvatures = accepted
        if system.single and evaluate is by_products and left <= SINGLE_STEP:
            evaluate, last = by_columns, np.inf
            value, slopes, curvatures = evaluate(point)
    objective.n_passes += 1.0
    return progress.result(np.append(design.rows_times(point[multipliers]), point[n_rows]), status)


def _length(objective, point, direction):
    """Return how often a direction is to be taken, 1 or more: by Newton's method on the objective along it."""
    l2, n_rows = objective.l2, len(point) // 2
    along = direction[n_rows + 1 :]
    tilt = along + direction[n_rows]
    bend = l2 * float(direction[:n_rows] @ along)
    length = 1.0
    for _ in range(MOST_LENGTHS):
        there = point + length * direction
        _, slopes, curvatures = objective.row_terms(there[n_rows + 1 :] + there[n_rows])
        slope = slopes @ tilt + l2 * there[:n_rows] @ along
        curvature = curvatures @ tilt**2 + bend
        change = -slope / curvature if curvature > 0.0 else 0.0
        length = max(1.0, length + change)
        if abs(change) <= LENGTH_PART * length:
            break
    return length


class _Conjugate:
    """Newton's step on the multipliers by conjugate gradients on X Xᵀ + l2 D⁻¹; two passes each, and two at first.

    Rows of many columns are nearly orthogonal: divided by their squares, X Xᵀ has a condition of
    ((√p + √n) / (√p - √n))² for independent columns, whatever D, and each product leaves a third of the error for
    500 × 5000. The condition where D is largest, at the first step, is the worst there will be, so that the first step
    tells whether rows are too much alike for that: `step` gives up.

    Attributes
    ----------
    single : bool
        Whether products are those of a copy of X in float32, where that serves and is no burden: in a third of the
        time. The last steps are as those of `_Products`.
    slow : float
        Steps in float32 that leave more than that of the one before are of too few digits.
    approximate : bool
        Whether steps that lead nowhere may be those of another system's all the same.
    """

    slow, approximate = 0.9, True

    def __init__(self, objective, exact=False):
        self.objective = objective
        n_rows, n_columns = objective.design.shape
        self.single = not exact and objective.single_serves and n_rows * n_columns <= COPIED
        self.rows = objective.design.single() if self.single else objective.design
        self.squares = self.rows.row_squares()
        objective.n_passes += 2.0 if self.single else 1.0
        objective.check_finite(self.squares)
        objective.design.looked_at_rows = True
        self.curvatures = np.empty(0)
        self.n_products, self.most = 0, PRODUCTS_A_ROW * n_rows * (SUCH_STEPS if exact else 1)

    def step(self, multipliers, slopes, curvatures, forcing, told=0.0):
        """Return Newton's step but for a part of it, forcing, or None where it takes too many products.

        With curvatures None the last are meant; told is what multipliers do not tell of X coef. The step solves
        (K + l2 D⁻¹) step + 1 c = residual and has a sum of zero: c is what makes that of each direction zero.
        """
        objective = self.objective
        if curvatures is not None:
            self.curvatures = np.maximum(curvatures, LEAST_CURVATURE * curvatures.max())
        curvatures = self.curvatures
        if not curvatures.any():
            return None
        ridges = objective.l2 / curvatures
        scales = 1.0 / (self.squares + ridges)
        total = scales.sum()
        # Rows that are nearly saturated have large residuals that are next to none of F's: what counts is, roughly, how
        # much lower F could be.
        weights = curvatures * self.squares / scales

        def precondition(residual):
            shift = float(scales @ residual) / total if objective.fit_intercept else 0.0
            return scales * (residual - shift), shift

        step, level = np.zeros((2, len(slopes)))
        residual = told - (slopes + objective.l2 * multipliers) / curvatures
        rough, shift = precondition(residual)
        enough = forcing**2 * float(weights @ rough**2)
        if np.ndim(told):  # the multipliers of an optimum are minus the slopes, but for the l2 that it is one for
            guess = slopes - scales * (slopes.sum() / total) if objective.fit_intercept else slopes
            product = self._product(guess)
            scale = float(product @ told) / float(product @ product) if product.any() else 0.0
            step, level = scale * guess, scale * product
            residual -= level + ridges * step
            rough, shift = precondition(residual)
        direction, left = rough, float(residual @ rough)
        while not float(weights @ rough**2) <= enough:  # nor while it is no number
            if self.n_products >= self.most:
                return None
            self.n_products += 1
            product = self._product(direction)
            changed = product + ridges * direction
            length = left / float(direction @ changed)
            step += length * direction
            level += length * product
            residual -= length * changed
            rough, shift = precondition(residual)
            before, left = left, float(residual @ rough)
            direction = rough + (left / before) * direction
        self.most = SUCH_STEPS * PRODUCTS_A_ROW * len(self.squares)
        return np.concatenate([step, [shift], level])

    def _product(self, multipliers):
        """Return K multipliers."""
        self.objective.n_passes += 2.0
        precision = np.float32 if self.single else np.float64
        return self.rows.columns_times(self.rows.rows_times(multipliers, precision), precision)


class _Products:
    """Newton's step on the multipliers from a factor; at most a pass.

    (D K + l2 I)⁻¹ = (I - √D (l2 I + √D K √D)⁻¹ √D K) / l2. Where K and the factor are in float32, the last steps are
    from predictors by X itself, two passes each: chords that leave a thousandth of what there was, or less.

    Attributes
    ----------
    single : bool
        Whether what follows is in float32: where it serves and pays.
    products : ndarray of shape (n_samples, n_samples)
        X Xᵀ.
    curvatures, roots, cholesky : ndarray
        D, √(D / l2) and the factor, of the last D that `step` was given.
    slow, approximate
        As for `_Conjugate`.
    """

    slow, approximate = 0.3, False

    def __init__(self, objective, exact=False):
        self.objective = objective
        n_rows, n_columns = objective.design.shape
        self.single = not exact and objective.single_serves and n_columns * float(n_rows) ** 2 > SINGLE_WORK
        self.precision = np.float32 if self.single else np.float64
        self.products = objective.row_products(self.precision)
        self.potrf, self.potrs = (spotrf, spotrs) if self.single else (dpotrf, dpotrs)

    def step(self, multipliers, slopes, curvatures, forcing, told=0.0):
        """Return Newton's step; curvatures None for the last factor, told is what multipliers do not tell of X coef."""
        if curvatures is not None:
            self._factor(curvatures)
        l2, roots, curvatures = self.objective.l2, self.roots, self.curvatures
        right = np.stack([curvatures * told - slopes - l2 * multipliers, -curvatures], axis=1)
        lifted = self.potrs(self.cholesky, roots[:, None] * self._times(right), lower=1)[0]
        along, lift = (right / l2 - roots[:, None] * lifted / l2).T
        shift, total = 0.0, lift.sum()
        if self.objective.fit_intercept and total != 0.0:  # else every row is saturated, and newton_cg finds it
            shift = -(multipliers.sum() + along.sum()) / total
        step = along + shift * lift
        return np.concatenate([step, [shift], self._times(step)])

    def _times(self, values):
        """Return the products times values, in float64."""
        return (self.products @ values.astype(self.precision)).astype(np.float64)

    def _factor(self, curvatures):
        """Factor I + √D K √D / l2, for the steps from here on."""
        self.curvatures = curvatures
        self.roots = roots = np.sqrt(curvatures / self.objective.l2).astype(self.precision)
        matrix = roots[:, None] * self.products
        matrix *= roots
        np.einsum("ii->i", matrix)[:] += 1.0
        self.cholesky, _ = self.potrf(matrix.T, lower=1, clean=0, overwrite_a=1)


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
