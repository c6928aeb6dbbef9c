"""Many problems of two classes over the same dense rows, a step of each at a time.

Folds of a cross-validation, under several strengths, differ in weights and penalty alone. Their linear predictors are
one matrix product, and so are their gradients: X is read from memory once for all of them.
"""

from typing import Any

import numpy as np

from fastlogreg.design import MAX_CHUNKS, split
from fastlogreg.kernels import several
from fastlogreg.penalty import duality_gap
from fastlogreg.result import Status
from fastlogreg.solvers.curvature import UNSURE, Curvature
from fastlogreg.solvers.line_search import ARMIJO
from fastlogreg.solvers.progress import Progress
from fastlogreg.solvers.prox_newton import Gram
from fastlogreg.threads import in_threads

# Linear predictors of a block of rows, of all models: they, their slopes and the rows stay in cache.
BLOCK_ENTRIES = 2**15
# So many problems go together: a product of matrices gains little from more of them, and each keeps a Hessian.
AT_ONCE = 50
# More iterations than that, or more halvings of a step, are left to a solver of its own.
MOST_ITER, MOST_HALVINGS = 15, 5


def value_gradients(objectives, coefs):
    """Return (value, gradient) of objectives of the same dense rows, one for each of coefs; one pass over X for all.

    Rows are split as the shape of X tells, a thread takes one part after another, with BLAS of one thread, and partial
    sums are added in order: results do not depend on the number of threads.
    """
    first = objectives[0]
    design, (y, _, offset) = first.design, first.row_values
    weights = {id(o.row_values[1]): o.row_values[1] for o in objectives}
    places = {key: i for i, key in enumerate(weights)}
    which = np.array([places[id(o.row_values[1])] for o in objectives])
    weight = [values if values.size else np.ones(len(y)) for values in weights.values()]
    coefs = np.array(coefs)
    m = len(coefs)
    size = max(64, BLOCK_ENTRIES // m)
    models = np.array([[0, m]])

    def part(bounds):
        loss, gradient = np.zeros(m), np.zeros(coefs.shape)
        slope, work = np.empty((m, size)), np.empty((1, size))
        for a in range(bounds[0], bounds[1], size):
            b = min(a + size, bounds[1])
            block = design.block(a, b)
            eta = coefs[:, :-1] @ block.T
            eta += coefs[:, -1:]
            if offset.size:
                eta += offset[a:b]
            slopes = slope if b - a == size else np.empty((m, b - a))
            rows = y[a:b], np.array([w[a:b] for w in weight])
            several.loss_slope(eta, *rows, which, work, models, slopes, loss)
            gradient[:, :-1] += slopes @ block
            gradient[:, -1] += slopes.sum(axis=1)
        return loss, gradient

    parts = split(len(y), min(MAX_CHUNKS, max(1, len(y) // size)))
    sums = in_threads(part, parts, design.threads)
    loss, gradient = sum(s[0] for s in sums), sum(s[1] for s in sums)
    return [o.from_sums(c, v, g) for o, c, v, g in zip(objectives, coefs, loss, gradient, strict=True)]


def suits(problem, solver):
    """Whether problems of such rows, for a row of the solver table, can go together."""
    return problem.n_classes == 2 and not problem.design.sparse and solver.remembers


class Runner:
    """One of the problems, on its way from start to optimum.

    Parameters
    ----------
    objective : LogisticObjective
    penalty : Penalty or None
        None for a smooth problem.
    start : ndarray
    memory : Memory
        With the Hessian of a problem nearby.
    tol : float
    max_iter : int

    Attributes
    ----------
    trial : ndarray
        Where it wants to look next.
    coef : ndarray
        Where it is.
    lost : bool
        Whether it needs a solver of its own.
    """

    def __init__(self, objective, penalty, start, memory, tol, max_iter):
        self.objective, self.penalty, self.tol = objective, penalty, tol
        self.progress = Progress(objective, tol, max_iter, None)
        self.trial = start if penalty is None else penalty.clip(start)
        self.coef: Any = None
        self.gradient: Any = None
        self.value = self.total = np.inf
        self.status: Any = None
        self.curvature: Any = None
        if penalty is None:
            self.curvature = Curvature(objective, memory)
            self.lost = not self.curvature.recall()
        elif memory.columns is not None:
            self.curvature = Gram.recalled(objective, penalty, memory)
            self.lost = False
        else:
            self.lost = True
        self.suboptimality = np.nan
        self._step = 1.0
        self._slope = self._penalised = 0.0
        self._direction: Any = None
        self._target: Any = None
        self._violations: Any = None

    def take(self, value, gradient, share):
        """Take what was found at trial, at the cost of that share of a pass; return whether to go on."""
        self.objective.n_passes += share
        total = value + (0.0 if self.penalty is None else self.penalty.value(self.trial))
        if self.coef is not None:
            rounding = 8.0 * np.finfo(float).eps * abs(self.total)
            promised = self._step * self._slope + (total - value - self._penalised)
            if not total <= self.total + ARMIJO * min(promised, 0.0) + rounding:
                self._step *= 0.5
                self.lost = self._step < 0.5**MOST_HALVINGS
                self.trial = self._along()
                return not self.lost
            self.curvature.learn((self.trial - self.coef), (gradient - self.gradient))
        self.coef, self.value, self.gradient, self.total = self.trial, value, gradient, total
        violation = self._violation(gradient)
        self.status = self.progress.record(total, violation)
        if self.status is not None:
            return False
        if self.progress.n_iter >= MOST_ITER:
            self.lost = True
            return False
        return self._choose()

    def _violation(self, gradient):
        if self.penalty is None:
            return self.objective.violation(gradient)
        self._violations = self.penalty.violations(self.objective, self.coef, gradient)
        return float(self._violations.max())

    def _choose(self):
        """Choose where to look next; return whether there is such a place."""
        if self.penalty is None:
            self._direction = -self.curvature.solve(self.gradient)
            self._slope = float(self.gradient @ self._direction)
            regular = self.progress.violation <= np.sqrt(self.tol)
            if self.objective.design.large and regular and -0.5 * self._slope <= UNSURE * self.tol * self.value:
                self.status, self.suboptimality = Status.CONVERGED, -0.5 * self._slope
                self.coef = self.coef + self._direction  # as newton: not looked at any more
                return False
        else:
            if not self.curvature.covers((self.coef[:-1] != 0.0) | (self._violations[:-1] > 0.0)):
                self.lost = True
                return False
            self._target = self.curvature.least(
                self.coef, self.gradient, max(Gram.forcing * self.progress.violation, 0.1 * self.tol)
            )
            self._direction = self._target - self.coef
            self._slope = float(self.gradient @ self._direction)
        self._penalised = 0.0 if self.penalty is None else self.penalty.value(self.coef)
        self._step = 1.0
        self.trial = self._along()
        return True

    def _along(self):
        if self.penalty is None:
            return self.coef + self._step * self._direction
        return self._target if self._step == 1.0 else self.penalty.clip(self.coef + self._step * self._direction)

    def result(self):
        """Return the Result."""
        gap = self.suboptimality
        if self.penalty is not None:
            gap = duality_gap(self.objective, self.penalty, self.coef, self.value, self.gradient)
        return self.progress.result(self.coef, self.status, gap)


def run(runners):
    """Take all to their ends; those that are lost are where they got to."""
    while runners:
        found = value_gradients([r.objective for r in runners], [r.trial for r in runners])
        share = 1.0 / len(runners)
        runners = [r for r, (value, gradient) in zip(runners, found, strict=True) if r.take(value, gradient, share)]
