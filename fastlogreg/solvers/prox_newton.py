"""Prox-Newton on working sets of columns: for L1, elastic net and bounds."""

from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from fastlogreg.kernels import coordinate
from fastlogreg.penalty import Penalty
from fastlogreg.result import Status
from fastlogreg.solvers.newton import ARMIJO, MIN_STEP, RANK, plus_l2
from fastlogreg.solvers.progress import Progress
from fastlogreg.solvers.shortest import shortest
from fastlogreg.threads import factoring

# Up to so many columns all are in the working set.
ALL_COLUMNS = 128
# A working set grows by at least so many columns, and by at least this part of those that are not zero.
GROWTH, GROWTH_PART = 100, 0.5
# How exactly a quadratic model is solved: this part of the violation at hand.
FORCING = 1e-3
MAX_SWEEPS, MAX_ROUNDS = 100, 100
# A Hessian takes as long as so many gradients per column; how many are expected where one is not enough.
HESSIAN_COST = 16.0
RENEWALS = 1.5
ROUNDING = 1e-16  # the least violation to hope for


def prox_newton(objective, start, *, penalty=None, tol, max_iter, callback=None, memory=None):
    """Minimise objective + penalty by steps to the minimum of a quadratic model of the objective plus the penalty.

    The model is of the columns of a working set: those whose coefficients are not zero and those that violate the
    optimality conditions most. Every iteration looks at all columns, so that the violation is that of the whole
    problem. The model is minimised by coordinate descent on the Hessian of the working set, with a direct solve
    whenever the coefficients that are free, off zero and between their bounds, have settled. The step is halved until
    objective plus penalty falls by at least ARMIJO times what the model promises. While the working set stays within
    the one that its Hessian was found for, BFGS corrects that Hessian until it is slower than a new one would be.

    Costs a pass an iteration, and for a new Hessian a copy of the columns of the working set, one pass over it and
    O(n |W|²) arithmetic.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    penalty : Penalty, optional
        L1 and bounds; none by default.
    tol : float
        Stop when the violation (see Penalty.violations) is at most tol.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.
    memory : Memory, optional
        Of a solve nearby: its Hessian and working set are the first ones here, and the last ones here take their place.

    Returns
    -------
    Result

    References
    ----------
    Lee, Sun and Saunders, Proximal Newton-type methods, SIAM Journal on Optimization (2014); Friedman, Hastie and
    Tibshirani, Journal of Statistical Software (2010), section 3; Johnson and Guestrin, Blitz (2015), for the growth
    of working sets.
    """
    progress = Progress(objective, tol, max_iter, callback)
    if penalty is None:
        penalty = Penalty.of(objective.design.shape[1])
    model = _Model(objective, penalty)
    if memory is not None and memory.columns is not None:
        model.recall(memory)
    coef = penalty.clip(start)
    value, gradient = objective.value_gradient(coef)
    while True:
        violations = penalty.violations(objective, coef, gradient)
        total = value + penalty.value(coef)
        if (status := progress.record(total, float(violations.max()))) is not None:
            break
        model.choose(coef, violations, progress, None if memory is None else penalty.nearness(objective, gradient))
        target = model.least(coef, gradient, max(FORCING * progress.violation, 0.1 * tol))
        accepted = _search(objective, penalty, coef, total, gradient, target)
        if accepted is None:
            if model.fresh:
                status = Status.PRECISION
                break
            model.columns = None
            progress.history.pop()
            continue
        new_coef, value, new_gradient = accepted
        model.learn(new_coef - coef, new_gradient - gradient)
        coef, gradient = new_coef, new_gradient
    if memory is not None and model.columns is not None:
        model.remember(memory)
    if penalty.trivial:
        coef = shortest(progress, coef, status)
    return progress.result(coef, status)


class _Model:
    """The Hessian of a working set of columns, at some iterate and corrected by BFGS since.

    Attributes
    ----------
    columns : ndarray or None
        The working set that the Hessian is of; None where there is no Hessian.
    fresh : bool
        Whether the Hessian is that of the current iterate.
    """

    def __init__(self, objective, penalty):
        self.objective, self.penalty = objective, penalty
        self.n_columns = objective.design.shape[1]
        self.columns: Any = None
        self.hessian: Any = None
        self.fresh = False

    def recall(self, memory):
        """Begin with the Hessian of another solve."""
        self.columns = memory.columns
        self.hessian = plus_l2(memory.hessian, self._l2(), len(self.columns) + 1)
        self.penalised = self.penalty.take_columns(self.columns)

    def remember(self, memory):
        """Leave the Hessian, without the penalty, to another solve."""
        memory.columns, memory.hessian = self.columns, plus_l2(self.hessian, -self._l2(), len(self.columns) + 1)

    def _l2(self):
        l2 = self.objective.l2
        return l2 if np.ndim(l2) == 0 else l2[self.columns]

    def choose(self, coef, violations, progress, nearness=None):
        """Settle on the working set, and find its Hessian where the one at hand does not serve.

        Where other solves are to follow, the set is filled up with the columns nearest to being wanted.
        """
        n_columns = self.n_columns
        columns = np.atleast_2d(coef)[:, :-1]
        violations = np.atleast_2d(violations)[:, :-1].max(axis=0)
        inside = (columns != 0.0).any(axis=0)
        if self.columns is not None and not self._slow(progress):
            held = np.zeros(n_columns, dtype=bool)
            held[self.columns] = True
            if held[inside | (violations > 0.0)].all():
                return
        if n_columns <= ALL_COLUMNS:
            chosen = np.arange(n_columns)
        else:
            inside |= self.penalty.l1 == 0.0
            n_more = int(max(GROWTH, GROWTH_PART * inside.sum()))
            score = np.where(inside, np.inf, violations if nearness is None else nearness)
            chosen = np.flatnonzero(score > 0.0)
            n_chosen = int(inside.sum()) + n_more
            if len(chosen) > n_chosen:
                chosen = np.sort(np.argpartition(-score, n_chosen)[:n_chosen])
        self._renew(coef, chosen)

    def _slow(self, progress):
        """Whether the Hessian at hand takes longer to the end than a new one would."""
        if progress.n_iter < 1:
            return False
        before, now = progress.history[-2][1], progress.history[-1][1]
        if now >= before:
            return True
        gradients = np.log(max(progress.tol, ROUNDING) / now) / np.log(now / before)
        cost = len(self.columns) ** 2 / self.n_columns / HESSIAN_COST
        return bool(gradients > RENEWALS * (1.0 + cost))

    def _renew(self, coef, chosen):
        restricted = self.objective.take_columns(chosen)
        before = restricted.n_passes
        self.columns = chosen
        self.hessian = restricted.value_gradient_hessian(self._taken(coef))[2]
        if restricted is not self.objective:
            self.objective.n_passes += (restricted.n_passes - before) * len(chosen) / self.n_columns
        self.penalised = self.penalty.take_columns(chosen)
        self.fresh = True

    def _taken(self, values):
        """Return what belongs to the working set and the intercept."""
        if len(self.columns) == self.n_columns:
            return values
        return values[..., np.append(self.columns, self.n_columns)]

    def learn(self, change, gradient_change):
        """Take a step and the change of the gradient along it: BFGS (Nocedal and Wright 2006, section 6.1)."""
        change, gradient_change = self._taken(change).ravel(), self._taken(gradient_change).ravel()
        self.fresh = False
        curvature = float(change @ gradient_change)
        product = self.hessian @ change
        expected = float(change @ product)
        if min(curvature, expected) <= np.finfo(float).tiny:
            return
        scaled = gradient_change / np.sqrt(curvature)
        product /= np.sqrt(expected)
        self.hessian += np.outer(scaled, scaled)
        self.hessian -= np.outer(product, product)

    def least(self, coef, gradient, tol):
        """Return the coefficients at which model plus penalty is least, to a largest violation of tol."""
        here, slope = np.atleast_2d(self._taken(coef)), np.atleast_2d(self._taken(gradient))
        n_classes, n_chosen = here.shape[0], here.shape[1] - 1
        hessian = self.hessian.reshape(n_classes, n_chosen + 1, n_classes, n_chosen + 1)
        # Intercepts are free, so they are eliminated: what is left is the model of weightedly centred columns.
        corner = np.linalg.pinv(hessian[:, -1, :, -1], hermitian=True)
        border = hessian[:, :-1, :, -1].reshape(-1, n_classes)
        lift = corner @ border.T
        size = n_classes * n_chosen
        plain = hessian[:, :-1, :, :-1].reshape(size, size)
        reduced = plain - border @ lift
        _floor(reduced, np.diag(plain))
        inner = slope[:, :-1].ravel() - slope[:, -1] @ lift
        l1, low, high, scales = (
            np.tile(values, n_classes)
            for values in (
                self.penalised.l1,
                self.penalised.low,
                self.penalised.high,
                self.objective.coordinates.scales[:-1][self.columns],
            )
        )
        before = here[:, :-1].ravel()
        after = _minimise(reduced, inner, before, l1, low, high, scales, tol)
        target = np.atleast_2d(coef).copy()
        target[:, self.columns] = after.reshape(n_classes, n_chosen)
        target[:, -1] -= corner @ slope[:, -1] + lift @ (after - before)
        return target.reshape(coef.shape)


def _floor(reduced, plain):
    """Give columns that are constant, but for rounding, no curvature of the wrong sign."""
    diagonal = np.einsum("ii->i", reduced)
    np.maximum(diagonal, RANK * np.finfo(float).eps * plain, out=diagonal)


def _minimise(hessian, slope, start, l1, low, high, scales, tol):
    """Return the minimum of the quadratic with L1 and bounds, of largest violation tol unless rounds run out."""
    value, slope = start.copy(), slope.copy()
    state = np.zeros(3)
    hessian = np.ascontiguousarray(hessian)
    for _ in range(MAX_ROUNDS):
        coordinate.descend(hessian, l1, low, high, scales, float(tol), MAX_SWEEPS, value, slope, state)
        if state[coordinate.LARGEST] <= tol:
            break
        free = np.flatnonzero((value != 0.0) & (low < value) & (value < high))
        _solve_free(hessian, free, l1, low, high, value, slope)
    return value


def _solve_free(hessian, free, l1, low, high, value, slope):
    """Move the free coordinates to where the quadratic is least for their signs, or as far as signs and bounds hold."""
    if not free.size:
        return
    block = hessian[np.ix_(free, free)]
    root = np.sqrt(np.diag(block))
    here, strength = value[free], l1[free]
    with factoring(len(free)):
        factor, failed = dpotrf(block / root / root[:, None], lower=1)
    if failed or np.diag(factor).min() ** 2 <= RANK * np.finfo(float).eps * len(free):
        return
    move = -dpotrs(factor, (slope[free] + strength * np.sign(here)) / root, lower=1)[0] / root
    # The first coordinate to meet zero, where L1 has its kink, or a bound.
    low, high = low[free], high[free]
    floor = np.where((strength > 0.0) & (here > 0.0), np.maximum(low, 0.0), low)
    ceiling = np.where((strength > 0.0) & (here < 0.0), np.minimum(high, 0.0), high)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(move > 0.0, (ceiling - here) / move, np.where(move < 0.0, (floor - here) / move, np.inf))
    first = int(np.argmin(room))
    part = min(1.0, room[first])
    move *= part
    after = here + move
    if part < 1.0:
        after[first] = ceiling[first] if move[first] > 0.0 else floor[first]
    after = np.clip(after, floor, ceiling)
    slope += (after - here) @ hessian[free]
    value[free] = after


def _search(objective, penalty, coef, total, gradient, target):
    """Return (coef, value, gradient) after the first of the steps 1, ½, ¼, … that lowers objective + penalty."""
    direction = target - coef
    before = penalty.value(coef)
    rounding = 8.0 * np.finfo(float).eps * abs(total)
    step = 1.0
    while step > MIN_STEP:
        # A sum of rounded parts would miss the bounds by a rounding.
        trial = target if step == 1.0 else penalty.clip(coef + step * direction)
        change = penalty.value(trial) - before
        promised = step * float(np.sum(gradient * direction)) + change
        value, new_gradient = objective.value_gradient(trial)
        if value + before + change <= total + ARMIJO * min(promised, 0.0) + rounding:
            return trial, value, new_gradient
        step *= 0.5
    return None
