"""Whether rows are separated, without error or in part: a direction along which the likelihood rises for ever.

A direction d is one of recession if eta_i(d) of the own class is at least that of every other class in every row i,
and more in some. Without a penalty there is then no finite optimum (Albert and Anderson, Biometrika 1984); otherwise
there is one. Either is proved here, the first by d itself, the second by Newton's step or by linear programming.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from fastlogreg.design import LOOK_ROWS
from fastlogreg.solvers.inverse import Inverse, changes_nothing, pinned
from fastlogreg.solvers.newton_cg import accurate_step

# A Newton step that moves no linear predictor by as much proves that there is an optimum: 1 is enough, see `overlap`.
SMALL_STEP = 0.1
# {sparse X: coefficients up to which one more Hessian is cheap}, and the residual of conjugate gradients beyond.
MAX_HESSIAN = {False: 512, True: 256}
PRECISE = 1e-6
# Coefficients whose rows are all on their right side by at least so much separate without error.
CLEAR = 1e-3
# Rows and columns of the programme are scaled to 1: what counts as zero there, and what as more.
ZERO, POSITIVE = 1e-8, 1e-5
# Part of the rows' progress that the shortest direction has to make, and entries of a step that count as zero.
SHARE = 1e-2
FADED = 1e-4
CENTRED = 1e-6  # an intercept that is less beside what centring moves counts as zero
HIGHS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
MAX_ROUNDS = 100
# Entries of a programme above which it is not solved: HiGHS would take minutes.
MAX_ENTRIES = 5e6


def step_bound(objective, step):
    """Return a bound of |eta_i(step)| over all rows that costs no pass: |x_ij - mean_j| <= sqrt(Σ w / w_i) · spread_j.

    Parameters
    ----------
    objective : LogisticObjective
    step : ndarray of objective.shape
    """
    rows = objective.total_weight / objective.least_weight
    inner = np.abs(objective.coordinates.inner(step))
    return float((np.sqrt(rows) * inner[..., :-1].sum(axis=-1) + inner[..., -1]).max())


def overlap(objective, step):
    """Whether a Newton step, H step = -gradient, proves that there is a finite optimum; one pass.

    Let r_ik be the probabilities of the wrong classes k of the rows i, times weights. The gradient is Σ r_ik x_ik with
    x_ik the derivative of eta_ik - eta_i,own. To first order the step changes r_ik by the factor 1 + c_ik, where
    |c_ik| is at most the spread of eta_i(step) over the classes, and makes the gradient zero. So with |c_ik| < 1 zero
    is a positive combination of all x_ik, and no d can have d·x_ik <= 0 everywhere and < 0 somewhere.
    """
    return bool(np.abs(objective.counted(objective.predictors(step))).max() < SMALL_STEP)


def newton_step(objective, coef):
    """Return Newton's step at coef, or None where the Hessian is singular; one or two passes, O(n p²).

    With many coefficients by conjugate gradients instead, some dozens of passes.
    """
    if objective.n_coef > MAX_HESSIAN[objective.design.sparse]:
        return accurate_step(objective, coef, PRECISE)
    _, gradient, hessian = objective.value_gradient_hessian(coef)
    scales = np.broadcast_to(objective.coordinates.scales, objective.shape).ravel()
    inverse = Inverse(pinned(objective, hessian), scales, np.float64)
    if inverse.null_space is not None and not changes_nothing(objective, inverse.null_space):
        return None
    return -inverse.solve(gradient.ravel()).reshape(coef.shape)


class _Rows(NamedTuple):
    """Rows that count, in centred and scaled coordinates (CSR: scaled only), and a column of ones for the intercept."""

    design: Any
    numbers: np.ndarray
    labels: np.ndarray
    means: np.ndarray
    spread: np.ndarray
    intercept: bool
    sparse: bool

    def take(self, rows):
        """Return some of the rows, scaled."""
        X = self.design.take(self.numbers[rows])
        if self.sparse:
            X.data /= self.spread[X.indices]
            return scipy.sparse.hstack([X, np.ones((X.shape[0], 1))], format="csr") if self.intercept else X
        X = (X - self.means) / self.spread
        return np.column_stack([X, np.ones(len(X))]) if self.intercept else X

    def outer(self, direction):
        """Return a direction (n_classes, n_scaled) in the coordinates of coef."""
        outer = np.zeros((len(direction), len(self.spread) + 1))
        outer[:, :-1] = direction[:, : len(self.spread)] / self.spread
        if self.intercept:
            outer[:, -1] = direction[:, -1] - outer[:, :-1] @ self.means
        return outer


def direction_of_recession(objective, target, weight, coef, step=None):
    """Return a direction of recession, or None if there is none.

    The coefficients themselves are one if they classify every row rightly. So is, often, the part of the last Newton
    step that is not nearly zero: it goes on where the likelihood rises for ever. Otherwise directions are sought that
    maximise Σ (eta_i,own(d) - eta_ik(d)) over all i, k (rows scaled), in a box, subject to the conditions of a few
    rows; rows that the answer offends are added until there are none (Konis, 2007, and cutting planes). An answer of
    zero for a few rows is one for all. Costs a pass in the first case, two more in the second, and two and a small
    programme for each round in the last.

    Parameters
    ----------
    objective : LogisticObjective
    target : ndarray of shape (n_samples,)
        0 or 1, for more classes the class index.
    weight : ndarray of shape (n_samples,) or None
        Rows of weight zero do not count.
    coef : ndarray of objective.shape
        Where a solver ended; the nearer the optimum, the fewer rounds.
    step : ndarray of objective.shape, optional
        Newton's step there.

    Returns
    -------
    ndarray of objective.shape or None
        For two classes d is that of the second. Also None where the programme would be too large (MAX_ENTRIES).
    """
    index = np.arange(len(target)) if weight is None else np.flatnonzero(weight)
    labels = target[index].astype(np.intp)
    margins = _margins(objective, index, labels, coef)
    # Not by what is left of large terms that balance: along columns that depend on each other solvers may go anywhere.
    if margins.min() > max(CLEAR, POSITIVE * float(np.abs(objective.coordinates.inner(coef)).max())):
        return coef
    rows = _rows_of(objective, index, labels)
    sizes, gain = _sizes_and_gain(rows, objective.n_classes)
    if step is not None and (large := _large_part(objective, step)).any():
        # In units of each row: one whose entries are 10¹¹ times smaller than another's may keep the optimum finite.
        along = _margins(objective, index, labels, large) / sizes[:, None]
        if along.min() >= -ZERO * along[np.isfinite(along)].max():
            return _tidied(objective, index, labels, large)
    n_unknown = (objective.n_classes - 1) * gain.shape[1]
    margins /= sizes[:, None]
    n_new = 4 * n_unknown + 100
    chosen = _lowest(margins, n_new)
    for _ in range(MAX_ROUNDS):
        matrix = _conditions(rows, chosen, sizes, objective.n_classes)
        if matrix.nnz > MAX_ENTRIES:
            return None
        direction = _solve(matrix, gain)
        margins, slack = _checked(objective, rows, sizes, direction)
        if margins[np.isfinite(margins)].max() <= POSITIVE:
            return None
        if margins.min() >= -slack:
            risen = np.flatnonzero(np.isfinite(margins) & (margins > POSITIVE))
            risen = np.random.default_rng(0).permutation(risen)[:n_new]
            goal = np.append(np.zeros(len(chosen)), SHARE * np.minimum(margins.ravel()[risen], 1.0))
            matrix = scipy.sparse.vstack([matrix, _conditions(rows, risen, sizes, objective.n_classes)], format="csr")
            shorter = _shortest(matrix, goal, direction)
            margins, slack = _checked(objective, rows, sizes, shorter)
            right = margins.min() >= -slack and margins[np.isfinite(margins)].max() > POSITIVE
            return _tidied(objective, index, labels, _shaped(objective, rows.outer(shorter if right else direction)))
        offended = _lowest(margins, n_new)
        new = np.setdiff1d(offended[margins.ravel()[offended] < -slack], chosen)
        if not new.size:
            return None  # the programme was not solved as precisely as it is checked
        chosen = np.concatenate([chosen, new])
    return None


def separated_pairs(objective, target, weight, direction):
    """Return the pairs (a, b) of classes, a < b, of which a row moves away from the other along a direction; one pass.

    Parameters
    ----------
    objective, target, weight
        As for `direction_of_recession`, which found the direction, of objective.shape.
    """
    index = np.arange(len(target)) if weight is None else np.flatnonzero(weight)
    labels = target[index].astype(np.intp)
    margins = _margins(objective, index, labels, direction)
    margins[np.isinf(margins)] = 0.0
    moves = margins > POSITIVE * margins.max()
    moved = np.array([moves[labels == k].any(axis=0) for k in range(objective.n_classes)])
    return np.argwhere(np.triu(moved | moved.T)).tolist()


def _rows_of(objective, index, labels):
    sparse = objective.design.sparse
    if sparse:
        means, spread = np.zeros(objective.design.shape[1]), np.sqrt(objective.coordinates.mean_squares)
    else:
        means, spread = objective.coordinates.means, objective.coordinates.spread
    spread = np.where(spread > 0.0, spread, 1.0)
    return _Rows(objective.design, index, labels, means, spread, objective.fit_intercept, sparse)


def _margins(objective, index, labels, coef):
    """Return eta of the own class minus that of each class, (n_rows, n_classes), infinite for the own; one pass."""
    eta = objective.predictors(coef)[index]
    if eta.shape[1] == 1:
        eta = np.column_stack([np.zeros(len(eta)), eta])
    every = np.arange(len(eta))
    margins = eta[every, labels][:, None] - eta
    margins[every, labels] = np.inf
    return margins


def _sizes_and_gain(rows, n_classes):
    """Return the largest entry of each row, and Σ x_i / size_i (K e_own - 1), (n_classes, n_scaled)."""
    sizes, gain = np.empty(len(rows.numbers)), 0.0
    for first in range(0, len(rows.numbers), LOOK_ROWS):
        part = np.arange(first, min(first + LOOK_ROWS, len(rows.numbers)))
        X = rows.take(part)
        size = np.abs(X).max(axis=1)
        size = size.toarray().ravel() if rows.sparse else size
        sizes[part] = np.where(size > 0.0, size, 1.0)
        signs = n_classes * (rows.labels[part, None] == np.arange(n_classes)) - 1.0
        gain = gain + (X.T @ (signs / sizes[part, None])).T
    return sizes, gain


def _conditions(rows, chosen, sizes, n_classes):
    """Return the matrix whose products with a direction are margins of chosen pairs (row, class), scaled.

    The first class is the one whose direction is zero.
    """
    i, k = np.divmod(chosen, n_classes)
    X = scipy.sparse.csr_array(rows.take(i))
    signs = [((rows.labels[i] == c) * 1.0 - (k == c)) / sizes[i] for c in range(1, n_classes)]
    blocks = [(X.data * np.repeat(sign, np.diff(X.indptr)), X.indices, X.indptr) for sign in signs]
    return scipy.sparse.hstack([scipy.sparse.csr_array(block, shape=X.shape) for block in blocks], format="csr")


def _lowest(margins, n):
    """Return the flat indices of the n lowest finite margins."""
    flat = margins.ravel()
    lowest = np.argpartition(flat, n)[:n] if n < flat.size else np.arange(flat.size)
    return lowest[np.isfinite(flat[lowest])]


def _solve(matrix, gain):
    """Return the direction (n_classes, n_scaled) of greatest gain in the box [-1, 1]."""
    from scipy.optimize import linprog  # slow to import, and rarely needed

    c = -gain[1:].ravel() / max(np.abs(gain[1:]).max(), np.finfo(float).tiny)
    for method in ("highs", "highs-ipm"):
        found = linprog(
            c, A_ub=-matrix, b_ub=np.zeros(matrix.shape[0]), bounds=(-1.0, 1.0), method=method, options=HIGHS
        )
        if found.x is not None:
            break
    answer = np.zeros(c.size) if found.x is None else found.x
    return np.vstack([np.zeros(gain.shape[1]), answer.reshape(len(gain) - 1, -1)])


def _shortest(matrix, goal, direction):
    """Return the direction of least sum of magnitudes that reaches the goal: no column takes part that need not.

    What reaches a SHARE of the goal may do without the detours that a box invites where columns depend on each other.
    """
    from scipy.optimize import linprog

    size = direction[1:].size
    both = scipy.sparse.hstack([-matrix, matrix], format="csr")
    found = linprog(np.ones(2 * size), A_ub=both, b_ub=-goal, bounds=(0.0, 1.0), method="highs", options=HIGHS)
    if found.x is None:
        return direction
    shortest = (found.x[:size] - found.x[size:]) / SHARE
    return np.vstack([np.zeros_like(direction[:1]), shortest.reshape(direction[1:].shape)])


def _large_part(objective, step):
    """Return a step without its entries that are all but zero in scaled coordinates, in units of its largest."""
    inner = objective.coordinates.inner(step)
    inner[np.abs(inner) < FADED * np.abs(inner).max()] = 0.0
    largest = np.abs(inner).max()
    if largest == 0.0:
        return inner
    outer = objective.coordinates.outer(inner / largest)
    # What centring leaves of an intercept of zero would make rows of zeros seem to move.
    rest = np.abs(outer[..., -1]) < CENTRED * (np.abs(outer[..., :-1]) @ np.abs(objective.coordinates.means))
    outer[..., -1] = np.where(rest, 0.0, outer[..., -1])
    return outer


def _tidied(objective, index, labels, direction):
    """Return a direction without its intercepts where the row that it is worst for fares better so; two passes.

    What rounding leaves of an intercept of zero moves all rows whose entries are zero, half of them the wrong way.
    """
    plain = direction.copy()
    plain[..., -1] = 0.0
    before, after = (_margins(objective, index, labels, one) for one in (direction, plain))
    least, most = before.min(), before[np.isfinite(before)].max()
    better = least < after.min() and least < 0.0 and after[np.isfinite(after)].max() > 0.5 * most
    return plain if better else direction


def _checked(objective, rows, sizes, direction):
    """Return the scaled margins of all rows along a direction, and what rounding may have taken from them."""
    outer = rows.outer(direction)
    margins = _margins(objective, rows.numbers, rows.labels, _shaped(objective, outer)) / sizes[:, None]
    rounding = 16.0 * np.finfo(float).eps * np.abs(outer[:, :-1] * rows.means).sum(axis=1).max()
    return margins, ZERO + rounding


def _shaped(objective, direction):
    return direction[1] - direction[0] if objective.binary else direction
