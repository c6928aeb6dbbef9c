"""Prox-Newton on working sets of columns: for L1, elastic net and bounds."""

from typing import Any

import numpy as np

from fastlogreg.design import SAMPLE_PART
from fastlogreg.penalty import Penalty, duality_gap
from fastlogreg.result import Status
from fastlogreg.solvers import quadratic
from fastlogreg.solvers.by_columns import Columns, WorkingSet
from fastlogreg.solvers.curvature import RENEWALS, SINGLE_WORK
from fastlogreg.solvers.line_search import ARMIJO, FLAT, LONGEST, MIN_STEP
from fastlogreg.solvers.progress import Progress
from fastlogreg.solvers.reduced import Reduced
from fastlogreg.solvers.sampling import SAMPLE_RATIO, SAMPLE_TOL, at_odds
from fastlogreg.solvers.shortest import shortest
from fastlogreg.threads import factoring

# Up to so many columns all are in the working set.
ALL_COLUMNS = 128
# A working set grows by at most so many columns, or half of those that are not zero where these are more; where no
# other solve will use it, by as many as are not zero, or to where a Hessian costs GROWTH_PASSES. Where so many do not
# violate their conditions, at least so many others, or a tenth, are taken along, and near to all columns, all.
GROWTH, SPARE, GROWTH_PASSES, NEARLY_ALL = 100, 20, 4.0, 0.7
HESSIAN_COST = 16.0  # a Hessian takes as long as so many gradients per column
# Working sets larger than this are worked on column by column, without the products of any two: of sparse columns, and
# of dense ones unless there are more rows than columns.
SPARSE_GRAM, DENSE_GRAM = 256, 1024
# Columns read, for each that is to be in a working set worked on column by column, which may serve for it.
REUSED = 1.5
# Rows for each column of a working set, of which a Hessian leads to the end in more steps and two thirds of the time;
# fewer where columns of the Hessian before were independent: noise was more than INDEPENDENT of it off the diagonal.
# Without that, one of two rows a column takes as many steps as one of ten; of correlated columns up to twice as many.
ENOUGH_ROWS, FEW_ROWS, INDEPENDENT = 8, 2, 0.5
# So many of the last steps tell how fast a Hessian of some rows is, and none before: a single one told of 39 more where
# five were left.
TELLING = 3
# Added to the diagonal of a Hessian of float32 products, relatively; after so many iterations products are float64.
RIDGE, EXACT_AFTER = 1e-5, 12
# Values that differ relatively by less may do so by rounding, as columns far from zero have it in linear predictors.
ALIKE = 1e-10
UNTOLD = 0.25  # of g² for intercepts, of which a model that knows their curvature promises all


def prox_newton(
    objective, start, *, penalty=None, tol, max_iter, callback=None, memory=None, certified=True, unmoved=1.0
):
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
        L1, grouped or not, and bounds; none by default.
    tol : float
        Stop when the violation (see Penalty.violations) is at most tol.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.
    memory : Memory, optional
        Of a solve nearby: its Hessian and working set are the first ones here, and the last ones here take their place.
        Where it knows the gradient at start, that costs no pass.
    certified : bool, default=True
        Whether the duality gap is wanted: for 500 × 10 000 it takes as long as a fifth of a pass.
    unmoved : float, default=1
        Stop at the start only where the violation is at most this part of tol.

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
    model = _Model(objective, penalty, memory is not None)
    coef = penalty.clip(start)
    known = memory is not None and memory.at is not None and memory.at[0] is start
    if memory is not None and memory.columns is not None:
        model.curvature = Gram.recalled(objective, penalty, memory)
    elif not known:
        coef = _sample_start(objective, penalty, coef, tol, max_iter)
    if known and np.array_equal(coef, start):
        value, gradient = objective.with_l2(*memory.at)
    else:
        value, gradient = objective.value_gradient(coef)
    if coef.any() and not start.any() and value + penalty.value(coef) > np.log(objective.n_classes):  # the loss at zero
        coef = start  # the sample misled
        value, gradient = objective.value_gradient(coef)
    while True:
        violations = penalty.violations(objective, coef, gradient)
        total = value + penalty.value(coef)
        enough = tol if progress.history else unmoved * tol
        if (status := progress.record(total, float(violations.max()), enough)) is not None:
            break
        model.choose(coef, gradient, violations, progress)
        target = model.least(coef, gradient, progress.violation, tol)
        accepted = _search(objective, penalty, coef, total, gradient, target, progress.violation)
        if accepted is None:
            if model.fresh and (model.retried or not model.rounded):
                accepted = _escape(objective, penalty, coef, total, gradient, progress.violation)
                if accepted is None:
                    status = Status.PRECISION
                    break
                coef, value, gradient = accepted
            else:
                progress.history.pop()
            model.curvature, model.retried = None, True
            continue
        new_coef, value, new_gradient = accepted
        model.learn(new_coef - coef, new_gradient - gradient)
        coef, gradient = new_coef, new_gradient
    suboptimality = np.nan
    if penalty.trivial and model.curvature is not None:
        rest = coef - model.least(coef, gradient, progress.violation, progress.violation)
        suboptimality = 0.5 * float(np.sum(gradient * rest))
    if memory is not None:
        memory.at = coef, *objective.with_l2(coef, value, gradient, -1.0)
        if isinstance(model.curvature, Gram):
            model.curvature.leave(memory, objective)
    if penalty.trivial:
        coef, dependent = shortest(progress, coef, status)
        return progress.result(coef, status, suboptimality, dependent=dependent)
    gap = duality_gap(objective, penalty, coef, value, gradient) if certified else np.nan
    return progress.result(coef, status, gap)


def _sample_start(objective, penalty, start, tol, max_iter):
    """Return the optimum of a sample of the rows where there are plenty, as newton does, else start at the odds."""
    design, at_start = objective.design, at_odds(objective, start)
    n_rows = design.shape[0]
    few = n_rows < SAMPLE_RATIO * objective.n_coef or not design.large
    if few or start.any() or design.sparse or design.runs is not None:
        return at_start
    sample = objective.sample(n_rows // SAMPLE_PART)
    if sample.total_weight == 0.0:
        return at_start
    share = sample.design.shape[0] / n_rows
    rough = max(tol, SAMPLE_TOL / np.sqrt(sample.design.shape[0]))
    result = prox_newton(sample, start, penalty=penalty, tol=rough, max_iter=max_iter)
    objective.n_passes += sample.n_passes * share
    return result.coef if result.converged else at_start


class _Model:
    """A quadratic model of the objective in the columns of a working set.

    Attributes
    ----------
    curvature : Gram, Columns or None
        Its Hessian in either form; None where there is none that serves.
    fresh : bool
        Whether the Hessian is that of the current iterate.
    """

    def __init__(self, objective, penalty, shared):
        self.shared = shared  # whether other solves are to use the Hessian
        self.objective, self.penalty = objective, penalty
        self.n_columns = objective.design.shape[1]
        self.curvature: Any = None
        self.fresh = False
        self.retried = False  # whether a Hessian has failed
        self.samples: dict = {}  # of the rows, by how many there are of each that is in it

    def choose(self, coef, gradient, violations, progress):
        """Settle on the working set, and find its Hessian where the one at hand does not serve.

        Some columns that come near to a violation are taken along, so that the next iterations need no new Hessian.
        """
        columns = np.atleast_2d(coef)[:, :-1]
        violations = np.atleast_2d(violations)[:, :-1].max(axis=0)
        inside = (columns != 0.0).any(axis=0) | (self.penalty.l1 == 0.0)
        needed = inside | (violations > 0.0)
        before = self.curvature
        if before is not None and before.serves(needed, progress):
            return
        covered = before is not None and before.covers(needed)
        independent = isinstance(before, Gram) and before.independent
        if self.n_columns <= ALL_COLUMNS:
            chosen = np.arange(self.n_columns)
        else:
            coordinates = self.objective.coordinates
            inner = np.atleast_2d(gradient[..., :-1] - coordinates.means * gradient[..., -1:])
            steepness = np.atleast_2d(self.penalty.sizes(inner)).max(axis=0)
            margin = (steepness - self.penalty.l1) / coordinates.scales[:-1]
            score = np.where(inside, np.inf, np.where(violations > 0.0, violations, np.minimum(margin, 0.0)))
            n_inside, n_needed = int(inside.sum()), int((score > 0.0).sum())
            n_chosen = n_inside + max(GROWTH, n_inside // 2)
            if not self.shared:
                n_wanted = n_needed + max(SPARE, n_inside // 10)
                hessian = HESSIAN_COST * (SAMPLE_PART if independent else 1.0)
                affordable = int(np.sqrt(GROWTH_PASSES * hessian * self.n_columns) / len(columns))
                free = self.objective.design.sparse and self._by_columns(n_wanted)  # no products of two columns
                n_chosen = n_wanted if free else min(n_wanted, n_inside + max(GROWTH, n_inside, affordable))
            chosen = np.arange(self.n_columns)
            if n_chosen < (self.n_columns if self.objective.design.sparse else NEARLY_ALL * self.n_columns):
                chosen = np.sort(np.argpartition(-score, n_chosen)[:n_chosen])
        if self._by_columns(len(chosen)):
            before = before if isinstance(before, Columns) else None
            if before and covered and len(before.columns) <= REUSED * len(chosen):
                chosen = before.columns
            self.curvature = Columns(self.objective, self.penalty, chosen, coef, before)
        else:
            exact = self.retried or progress.n_iter >= EXACT_AFTER
            slow = isinstance(before, Gram) and covered
            rows = self.objective
            if not (exact or slow or self.shared):
                rows = _some_rows(rows, chosen, FEW_ROWS if independent else ENOUGH_ROWS, self.samples)
            self.curvature = Gram(self.objective, self.penalty, chosen, coef, exact, rows)
        self.fresh = True

    @property
    def rounded(self):
        """Whether the Hessian is of float32 products."""
        return self.curvature.precision is np.float32

    def _by_columns(self, n_chosen):
        """Whether the columns themselves are faster to work on than products of any two of them."""
        design = self.objective.design
        if not self.objective.binary:
            return False
        return n_chosen > (SPARSE_GRAM if design.sparse else max(DENSE_GRAM, design.shape[0]))

    def least(self, coef, gradient, violation, tol):
        """Return the coefficients at which model plus penalty is least, as exactly as a violation at hand deserves."""
        return self.curvature.least(coef, gradient, max(self.curvature.forcing * violation, 0.1 * tol))

    def learn(self, change, gradient_change):
        """Take a step and the change of the gradient along it."""
        self.fresh = False
        self.curvature.learn(change, gradient_change)


class Gram(WorkingSet):
    """The Hessian of the columns of a working set, at some iterate and corrected by BFGS since."""

    forcing = 1e-3  # how exactly the model is solved, as a part of the violation at hand
    independent = False  # whether a sample of the rows said that the columns are, nearly
    telling = 1  # of the last steps say how fast it is
    steps = 0  # that were taken with it

    def __init__(self, objective, penalty, chosen, coef, exact, rows):
        self.columns, (self.n_rows, self.n_columns) = chosen, objective.design.shape
        restricted = rows.take_columns(chosen)
        before = restricted.n_passes
        self.precision = np.float64 if exact or not _dear(objective, chosen) else np.float32
        hessian = restricted.value_gradient_hessian(self._taken(coef), self.precision)[2]
        if self.precision == np.float32:
            # Rounding must not make it indefinite; that much of the diagonal changes the way, not the optimum.
            diagonal = np.einsum("ii->i", hessian)
            diagonal[:-1] *= 1.0 + RIDGE
        self.hessian = Reduced(hessian, coef.size // coef.shape[-1])
        if rows is not objective:
            n_sampled = rows.design.shape[0]
            noise = self.hessian.noise(self._l2(objective), n_sampled)
            self.independent, self.telling = noise > INDEPENDENT, TELLING
            if self.independent and n_sampled < ENOUGH_ROWS * len(chosen):
                self.hessian.shrink(noise)
        if restricted is not objective:
            share = rows.design.shape[0] / self.n_rows * len(chosen) / self.n_columns
            objective.n_passes += (restricted.n_passes - before) * share
        self.penalty = penalty.take_columns(chosen)
        self.scales = objective.coordinates.scales[:-1][chosen]

    @classmethod
    def recalled(cls, objective, penalty, memory):
        """Return what another solve left, under the penalty here."""
        gram = cls.__new__(cls)
        gram.columns, (gram.n_rows, gram.n_columns) = memory.columns, objective.design.shape
        gram.precision = np.float64
        gram.hessian = memory.hessian.copy() if memory.shared else memory.hessian
        gram.hessian.add_l2(gram._l2(objective))
        if not memory.shared:  # what it is to others is no longer what it says
            memory.columns = memory.hessian = None
        gram.penalty = penalty.take_columns(gram.columns)
        gram.scales = objective.coordinates.scales[:-1][gram.columns]
        return gram

    def leave(self, memory, objective):
        """Leave the Hessian, without the penalty, to another solve."""
        memory.columns, memory.hessian, memory.shared = self.columns, self.hessian, False
        memory.hessian.add_l2(-self._l2(objective))

    def _l2(self, objective):
        return objective.l2 if np.ndim(objective.l2) == 0 else objective.l2[self.columns]

    def _taken(self, values):
        """Return what belongs to the working set and the intercept."""
        if len(self.columns) == self.n_columns:
            return values
        return values[..., np.append(self.columns, self.n_columns)]

    def serves(self, needed, progress):
        """Whether it is of all columns needed, and a new one would not be faster to the end."""
        if not self.covers(needed):
            return False
        if progress.n_iter < 1 or self.steps < self.telling:
            return True
        # Of a Hessian and of solving a model, in gradients; with few rows for the columns the model takes the longest.
        cost = len(self.columns) ** 2 / self.n_columns / HESSIAN_COST
        model = cost * len(self.columns) / self.n_rows
        return bool(progress.iterations_left(self.telling) <= RENEWALS * (1.0 + cost / (1.0 + model)))

    def learn(self, change, gradient_change):
        """Correct the Hessian by BFGS."""
        self.steps += 1
        self.hessian.learn(np.atleast_2d(self._taken(change)), np.atleast_2d(self._taken(gradient_change)))

    def least(self, coef, gradient, tol):
        """Return the coefficients at which model plus penalty is least, to a largest violation of tol."""
        here, slope = np.atleast_2d(self._taken(coef)), np.atleast_2d(self._taken(gradient))
        columns, lift = here[:, :-1], self.hessian.lift
        inner = slope[:, :-1] - (slope[:, -1] @ lift).reshape(columns.shape)
        with factoring(columns.size):
            after = quadratic.minimise(self.hessian.inner, inner, columns, self.penalty, self.scales, tol)
        target = np.atleast_2d(coef).copy()
        target[:, self.columns] = after
        target[:, -1] -= self.hessian.intercept_move(slope[:, -1]) + lift @ (after - columns).ravel()
        return target.reshape(coef.shape)


def _dear(objective, chosen):
    """Whether the Hessian of so many columns is worth float32, or fewer rows."""
    return objective.binary and objective.design.shape[0] * float(len(chosen)) ** 2 > SINGLE_WORK


def _some_rows(objective, chosen, enough, samples):
    """Return the objective of one row in 8, 4 or 2 where that leaves enough of them a column, else of all rows.

    BFGS corrects such a Hessian; a slow one is followed by one of all rows. Samples are kept for the next one.
    """
    n_rows = objective.design.shape[0]
    part = SAMPLE_PART
    while part > 1 and n_rows < enough * len(chosen) * part:
        part //= 2
    if part == 1 or objective.design.sparse or objective.design.runs is not None or not _dear(objective, chosen):
        return objective
    if part not in samples:
        samples[part] = objective.sample(n_rows // part)
    sample = samples[part]
    poor = sample.total_weight == 0.0 or objective.missed(sample)[chosen].any()
    return objective if poor else sample


def _search(objective, penalty, coef, total, gradient, target, violation):
    """Return (coef, value, gradient) after the first of the steps 1, ½, ¼, … that lowers objective + penalty.

    A whole step may leave it as it is, but for ALIKE, where it halves the violation: shorter ones would only creep.
    None where there is no such step, or where the target promises less than intercepts alone would gain, g² / (2 h) and
    more, h being ½ at most: where no row has curvature, a model does not move them.
    """
    direction = target - coef
    before = penalty.value(coef)
    rounding = 8.0 * np.finfo(float).eps * abs(total)
    step = 1.0
    while step > MIN_STEP:
        # A sum of rounded parts would miss the bounds by a rounding.
        trial = target if step == 1.0 else penalty.clip(coef + step * direction)
        change = penalty.value(trial) - before
        promised = step * float(np.sum(gradient * direction)) + change
        if step == 1.0 and rounding - promised < UNTOLD * float(np.sum(gradient[..., -1] ** 2)):
            return None
        value, new_gradient = objective.value_gradient(trial)
        if value + before + change <= total + ARMIJO * min(promised, 0.0) + rounding:
            return trial, value, new_gradient
        if step == 1.0 and value + before + change <= total + ALIKE * abs(total):
            if penalty.violations(objective, trial, new_gradient).max() <= 0.5 * violation:
                return trial, value, new_gradient
        step *= 0.5
    return None


def _escape(objective, penalty, coef, total, gradient, violation):
    """Return what `_search` finds along a huge proximal gradient step in centred and scaled coordinates.

    For where the model is of no use and yet the violation is no rounding, see `escape` of newton.
    """
    if violation**2 <= FLAT * np.finfo(float).eps * total:
        return None
    means, curvature = objective.coordinates.means, objective.coordinates.spread**2 / LONGEST
    columns, slopes = coef[..., :-1], gradient[..., :-1] - means * gradient[..., -1:]
    target = coef.copy()
    target[..., :-1] = penalty.shrink(columns - slopes / curvature, curvature)
    target[..., -1] -= LONGEST * gradient[..., -1] + (target[..., :-1] - columns) @ means
    return _search(objective, penalty, coef, total, gradient, target, violation)
