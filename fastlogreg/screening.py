"""Strengths of a path solved on the columns that may matter there, and certified on all."""

from typing import Any, NamedTuple

import numpy as np

from fastlogreg.design import COPIED, Moments
from fastlogreg.looks import Looks
from fastlogreg.objective import LogisticObjective
from fastlogreg.penalty import Penalty, duality_gap
from fastlogreg.result import Result, Status
from fastlogreg.solvers.curvature import Memory
from fastlogreg.solvers.prox_newton import ALL_COLUMNS, prox_newton
from fastlogreg.threads import one_blas_thread

# Columns are chosen for so many strengths to come: a new choice is a copy of them. (3 to 8 took equally long.)
AHEAD = 5
# A derivative may be off by this part of the strength from where the last two point to.
NEAR = 0.05
# Coefficients that are as expected are good enough only at this part of tol: errors of one strength would be those of
# the next, and at tol 1e-5 objectives of 500 × 10 000 were up to 1e-6 too large where they are now 1e-7.
UNMOVED = 0.3
# Larger parts of the columns are not worth a copy.
MOST = 0.5
# A step of the logarithm of the strength is at most so many times the last one, for coefficients to be expected.
MOST_AHEAD = 2.0
# Most rows for columns that stay at zero to be looked at in float32.
ROUGH_ROWS = 4096
# So often columns that were left out may turn out to matter, at one strength.
MAX_ROUNDS = 20


class Screen:
    """Minimises one strength after another on columns that the gradients of the last ones suggest.

    A column stays at zero unless its derivative is expected to reach its strength, from where those of the last two
    strengths point to: for 500 × 10 000 they miss by 2 % three strengths ahead. At first, and after larger steps, the
    sequential strong rule says so of all but those of at least 2 l1 - (l1 before), three times as many. Either may
    fail, so that the derivatives of all columns are told where a solve ended, once a strength, and columns that were
    left out wrongly are taken in. The passes in between read the chosen columns alone, of which a copy is kept for as
    long as it serves. They begin where the last two strengths point to, if that is lower than where the last one
    ended: for 500 × 10 000 an iteration in four less. (A third strength points no better, for paths have kinks.)

    References
    ----------
    Tibshirani et al., Strong rules for discarding predictors in lasso-type problems, JRSS B (2012), section 7.
    """

    def __init__(self):
        self._columns: Any = None
        self._design: Any = None
        self._source: Any = None
        self._there: Any = None  # derivatives where the strength before the last ended, and by how much it fell then
        self._looks: Any = None
        self._estimated: Any = None  # columns whose derivatives are estimates
        self._coordinates: Any = None  # of all columns, whatever the strength, and the moments that they were made of
        self._last: Any = None  # the coefficients before the last, and the logarithm of the step to these

    def minimise(self, objective, penalty, before, ahead, *, tol, max_iter, memory):
        """Minimise objective + penalty from where ``memory.at`` knows the gradient, and leave there where it ended.

        Parameters
        ----------
        objective : LogisticObjective
        penalty : Penalty
        before, ahead : float
            What the strength before, and the one AHEAD from here, are times this one; before is None where the first
            coefficients would leave zero if there is no strength before.
        tol, max_iter, memory
            As for prox_newton.

        Returns
        -------
        Result
            With violation and gap of all columns.
        """
        n_columns = objective.design.shape[1]
        if self._source is not objective.design or n_columns <= ALL_COLUMNS:
            self._columns, self._source, self._looks = None, objective.design, None
        if self._coordinates is None or self._coordinates[1] is not objective.moments.sums:
            self._coordinates = objective.coordinates, objective.moments.sums
        else:
            objective.coordinates = self._coordinates[0].take(slice(None), objective.l2)
        coef = memory.at[0]
        gradient = objective.with_l2(*memory.at)[1]
        here = gradient[..., :-1] - objective.coordinates.means * gradient[..., -1:]
        used = (np.atleast_2d(coef)[:, :-1] != 0.0).any(axis=0) | (penalty.l1 == 0.0)
        if before is None:
            before = float(np.max(_largest(penalty, here) / np.where(used, np.inf, penalty.l1), initial=1.0))
        there, self._there = self._there, (here, before)
        needed = used | _reached(penalty, here, there, before, 1.0)
        expected = self._expected(coef, penalty, before)
        n_iter = 0
        history: Any = []
        for _ in range(MAX_ROUNDS):
            if not self._serves(needed):
                wanted = needed | _reached(penalty, here, there, before, ahead)
                wanted = wanted if wanted.sum() <= MOST * n_columns else needed
                if n_columns <= ALL_COLUMNS or wanted.sum() > MOST * n_columns:
                    break
                self._columns = np.flatnonzero(wanted)
                self._design = objective.design.take_columns(self._columns)
            result, chosen = self._solve(objective, penalty, expected, tol, max_iter - n_iter, memory)
            expected = None
            n_iter += result.n_iter
            coef = np.zeros(objective.shape)
            coef[..., self._index] = result.coef
            self._estimated = None
            with one_blas_thread:  # others would spin beside the next passes
                look = self._rough_look(objective, penalty, coef, chosen)
            value, gradient, certain = look or (*objective.value_gradient(coef), False)
            memory.at = coef, *objective.with_l2(coef, value, gradient, -1.0)
            # Where the others are certain to stay at zero, all that is to be told is about the chosen columns.
            of = chosen if certain else _Solved(objective, penalty, coef, value, gradient)
            violations = of.penalty.violations(of.objective, of.coef, of.gradient)
            total, violation = of.value + of.penalty.value(of.coef), float(violations.max())
            history.append((total, violation, objective.n_passes))
            left_out: Any = np.zeros(n_columns, dtype=bool)
            if not certain:
                left_out |= np.atleast_2d(violations > tol)[:, :-1].any(axis=0)
                left_out[self._columns] = False
            if violation <= tol or not left_out.any():
                status = Status.CONVERGED if violation <= tol else result.status
                if status is Status.CONVERGED and violation > tol:  # the same sums in another order
                    break
                gap = duality_gap(*of)
                history = np.array(history)
                return Result(coef, status, total, violation, gap, n_iter, objective.n_passes, history)
            if n_iter >= max_iter:
                break
            needed = self._held() | left_out
        return prox_newton(
            objective, memory.at[0], penalty=penalty, tol=tol, max_iter=max(0, max_iter - n_iter), memory=memory
        )

    def _rough_look(self, objective, penalty, coef, chosen):
        """Return value, gradient, and whether all but the chosen columns are certain to stay at zero.

        Derivatives of the latter are estimates; where one might hide a violation, it is found exactly. None where
        estimates do not serve.
        """
        design = objective.design
        n_rows, n_columns = design.shape
        serves = objective.binary and not design.sparse and design.dtype != np.float32 and n_rows <= ROUGH_ROWS
        serves = serves and objective.single_serves and not objective.moments.sampled
        if not serves or n_rows * n_columns > COPIED:
            return None
        self._looks = self._looks or Looks(objective)
        slopes = chosen.objective.row_terms(chosen.objective.predictors(chosen.coef)[:, 0])[1]
        held, value, at_mean = self._held(), chosen.value, chosen.gradient[-1]
        objective.n_passes += len(self._columns) / n_columns
        derivatives, doubtful = self._looks.at(objective, slopes, penalty.l1, held)
        gradient = np.append(derivatives + objective.coordinates.means * at_mean, at_mean)
        gradient[self._index] = chosen.gradient
        columns = np.flatnonzero(doubtful)
        if len(columns) > MOST * n_columns:
            return None
        if len(columns):
            gradient[columns] = design.take_columns(columns).rows_times(slopes)
            exact = np.abs(gradient[columns] - objective.coordinates.means[columns] * at_mean)
            doubtful[columns] = exact > penalty.l1[columns]
            objective.n_passes += len(columns) / n_columns
        self._estimated = ~held
        self._estimated[columns] = False
        return value, gradient, not doubtful.any()

    @property
    def _index(self):
        return np.append(self._columns, -1)

    def _held(self):
        held = np.zeros(self._source.shape[1], dtype=bool)
        held[self._columns] = True
        return held

    def _serves(self, needed):
        return self._columns is not None and not (needed & ~self._held()).any()

    def _expected(self, coef, penalty, before):
        """Return the coefficients that go on as before, for as many logarithms of the strength, or None at first."""
        step = np.log(before)
        last, self._last = self._last, (coef, step)
        if last is None or last[0].shape != coef.shape or not 0.0 < step <= MOST_AHEAD * last[1]:
            return None
        further = np.where(coef == 0.0, 0.0, coef + step / last[1] * (coef - last[0]))
        crosses = further * coef < 0.0
        crosses[..., -1] = False
        return penalty.clip(np.where(crosses, 0.0, further))

    def _solve(self, objective, penalty, expected, tol, max_iter, memory):
        """Minimise over the chosen columns, with the Hessian of those that stay.

        From the coefficients that are known, or expected if these are lower. Return its Result, and what it solved.
        """
        columns = self._columns
        sums = Moments(objective.moments.sums[:, columns], 0.0, objective.moments.sampled)
        l2 = objective.l2 if np.ndim(objective.l2) == 0 else objective.l2[columns]
        restricted = objective.over(self._design, l2, sums)
        restricted.total_weight = objective.total_weight
        restricted.coordinates = objective.coordinates.take(columns, l2)
        coef, loss, gradient = memory.at
        inner = Memory()
        inner.at = coef[..., self._index], loss, gradient[..., self._index]
        if self._estimated is not None and self._estimated[columns].any():
            start = inner.at[0]
            inner.at = start, *restricted.with_l2(start, *restricted.value_gradient(start), -1.0)
        penalty = penalty.take_columns(columns)
        if expected is not None:
            start = expected[..., self._index]
            value, gradient = restricted.value_gradient(start)
            if value + penalty.value(start) < restricted.with_l2(*inner.at)[0] + penalty.value(inner.at[0]):
                inner.at = start, *restricted.with_l2(start, value, gradient, -1.0)
        if memory.columns is not None:
            kept = self._held()[memory.columns]
            inner.columns, inner.hessian = np.searchsorted(columns, memory.columns[kept]), memory.hessian
            inner.shared = memory.shared and bool(kept.all())
            if not kept.all():
                inner.hessian = memory.hessian.take(kept)
        options = {"tol": tol, "max_iter": max_iter, "memory": inner, "certified": False, "unmoved": UNMOVED}
        result = prox_newton(restricted, inner.at[0], penalty=penalty, **options)
        objective.n_passes += restricted.n_passes * len(columns) / objective.design.shape[1]
        memory.columns = None if inner.columns is None else columns[inner.columns]
        memory.hessian, memory.shared = inner.hessian, inner.shared
        return result, _Solved(restricted, penalty, inner.at[0], *restricted.with_l2(*inner.at))


class _Solved(NamedTuple):
    """Objective and penalty, and where a solve of them ended."""

    objective: LogisticObjective
    penalty: Penalty
    coef: np.ndarray
    value: float
    gradient: np.ndarray


def _largest(penalty, derivatives):
    """Return what of every column is compared with its strength, the largest over the classes."""
    return np.atleast_2d(penalty.sizes(derivatives)).max(axis=0)


def _reached(penalty, here, there, before, ahead):
    """Return which columns may have left zero at ``ahead`` times this strength, from derivatives at the last two.

    Parameters
    ----------
    here : ndarray
        Derivatives where the last strength ended.
    there : (ndarray, float) or None
        Those of the strength before, and what this was times the last; None where there is none.
    before, ahead : float
        What the last strength was times this one, and a later one is.
    """
    if there is None or there[0].shape != here.shape or not 1.0 < before <= there[1] ** MOST_AHEAD:
        return _largest(penalty, here) >= (2.0 * ahead - before) * penalty.l1
    further = (before - ahead) / (before * (there[1] - 1.0))
    return _largest(penalty, here + further * (here - there[0])) >= (1.0 - NEAR) * ahead * penalty.l1
