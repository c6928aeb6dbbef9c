"""The Hessian of some iterate, corrected by L-BFGS, and whether another one is worth its cost."""

from collections import deque
from typing import Any

import numpy as np

from fastlogreg.kernels.gram import SCATTER
from fastlogreg.solvers.inverse import Inverse, pinned, plus_l2
from fastlogreg.solvers.pairs import MEMORY, remember, two_loops

# Multiply-adds of a Hessian above which its products are float32: half the time, the same iterations (Kelley, SIAM
# Review 2022), because the gradient is float64. Where a float32 pivot is too small to trust, float64 takes over.
SINGLE_WORK = 1e8
# Up to so many coefficients the Hessian rides along with the gradient nearly for free, and one kernel less is
# compiled in a cold process.
CHEAP_HESSIAN = 32
# Above so many multiply-adds a Hessian of even so few takes a few gradients: at 10⁶ × 30 four, at 2·10⁶ × 10 two, and
# a fit there takes 0.6 of the time without. Below, too, but milliseconds, which is not worth a second of compiling.
CHEAP_WORK = 1e8
# {two classes: coefficients for which a Hessian takes as long as a gradient}, and how many Hessians are expected where
# one is not enough.
HESSIAN_COST = {True: 16.0, False: 4.0}
RENEWALS = 1.5
# Gradients up to whose time a Hessian is found at every iterate. Rows in CSR with m entries take some 1.2 m² + 120 ns
# of one thread for it, misses of the cache, sums of parts and the factor among them, or as long as a dense panel where
# that is less, and 3 m + 8 ns for a gradient. With 0.6 m², the products alone, one-hot data of 7 to 19 entries a row
# had four Hessians where two, corrected by L-BFGS, lead to the end in as many steps and 0.7 of the time.
CHEAP = 3.0
ROUGHLY = 5.0  # gradients to a rough answer from a Hessian far away
# A solve of large data ends where an older Hessian, or a sample's, says that the rest is this part of tol, relatively:
# a rare column may count too much in it.
UNSURE = 0.02


def scattered(objective):
    """Whether the Hessian is summed entry by entry of sparse rows."""
    entries = objective.design.entries_per_row
    return objective.binary and objective.design.sparse and SCATTER * entries**2 < objective.n_coef**2


def hessian_cost(objective):
    """Return the number of gradients that take as long as a Hessian."""
    if not objective.binary or not objective.design.sparse:
        return objective.n_coef / HESSIAN_COST[objective.binary]
    return sparse_hessian_cost(objective.design.entries_per_row, objective.n_coef)


def sparse_hessian_cost(entries, n_coef):
    """Return the number of gradients that take as long as a Hessian, for two classes and so many entries a row."""
    return (1.2 * min(entries**2, n_coef**2 / SCATTER) + 120.0) / (3.0 * entries + 8.0)


def cheap(objective):
    """Whether the Hessian rides along with the gradient nearly for free."""
    return objective.n_coef <= CHEAP_HESSIAN and objective.design.shape[0] * objective.n_coef**2 <= CHEAP_WORK


class Memory:
    """The Hessian of the mean loss that a solve ended with, for another one of nearly the same objective to begin with.

    Attributes
    ----------
    hessian : ndarray, Reduced or None
        Without the penalty, which may differ; of the coefficients of all columns, or Reduced of some.
    shared : bool
        Whether other solves will begin with it, too, so that it must not be changed.
    pairs : list of (change, gradient change)
        What L-BFGS learned since, without the penalty.
    columns : ndarray or None
        Which, for solvers with working sets.
    at : tuple (coef, loss, gradient) or None
        What is known of a place, without the penalty: a solve that begins there need not look. Then, where it ended.
    """

    def __init__(self):
        self.hessian: Any = None
        self.shared = False
        self.pairs: list = []
        self.columns: Any = None
        self.at: Any = None


class Curvature:
    """The inverse Hessian at some iterate, corrected by what the gradients of later iterates tell about it (L-BFGS).

    A Hessian costs as much as n_coef / HESSIAN_COST gradients, and changes little near the optimum: an old one and
    three or four gradients reach as far as a new one.
    """

    def __init__(self, objective, memory=None):
        self.objective = objective
        self.memory = memory
        self.scales = np.broadcast_to(objective.coordinates.scales, objective.shape).ravel()
        self.precision: type[np.floating] = np.float64
        dear = objective.design.shape[0] * objective.n_coef**2 > SINGLE_WORK and not scattered(objective)
        if objective.binary and dear:
            self.precision = np.float32
        self.cost = hessian_cost(objective)
        self.cheap = cheap(objective)
        self.pairs: deque = deque(maxlen=MEMORY)
        self.inverse: Any = None
        self.fresh = False  # whether the Hessian is that of the current iterate

    def with_hessian(self, coef):
        """Return value, gradient and Hessian at coef."""
        return self.objective.value_gradient_hessian(coef, self.precision)

    def update(self, coef, hessian):
        """Take the Hessian at the current iterate, in float64 where float32 cannot be solved with."""
        if self.precision == np.float32:
            inverse = self._inverse(hessian) if np.isfinite(hessian).all() else None
            if inverse is None or not inverse.trusted:
                self.precision = np.float64
                hessian = self.with_hessian(coef)[2]
        if self.precision == np.float64:
            self.objective.check_finite(hessian)
            inverse = self._inverse(hessian)
        self.inverse, self.fresh = inverse, True
        self.pairs.clear()
        if self.memory is not None:
            self.memory.hessian = plus_l2(hessian, -self.objective.l2, self.objective.shape[-1])

    def recall(self):
        """Take the Hessian of the memory, if there is one fit for it; return whether."""
        if self.memory is None or self.memory.hessian is None:
            return False
        hessian = plus_l2(self.memory.hessian, self.objective.l2, self.objective.shape[-1])
        inverse = self._inverse(hessian)
        if inverse.factor is None:
            return False
        self.inverse = inverse
        for change, gradient_change in self.memory.pairs:
            remember(self.pairs, change, gradient_change + self._penalty_gradient(change))
        return True

    def leave(self):
        """Put into the memory what was learned since its Hessian was found."""
        if self.memory is not None and self.memory.hessian is not None:
            self.memory.pairs = [(step, change - self._penalty_gradient(step)) for step, change, _ in self.pairs]

    def _penalty_gradient(self, change):
        scaled = change.reshape(self.objective.shape).copy()
        scaled[..., :-1] *= self.objective.l2
        scaled[..., -1] = 0.0
        return scaled.ravel()

    def _inverse(self, hessian):
        return Inverse(pinned(self.objective, hessian), self.scales, self.precision)

    def learn(self, change, gradient_change):
        """Take a step and the change of the gradient along it, where the Hessian is older."""
        remember(self.pairs, change, gradient_change)
        self.fresh = False

    def solve(self, gradient):
        """Return the inverse Hessian estimate times the gradient."""
        solution = -two_loops(gradient, self.pairs, self.inverse.solve)
        if not self.objective.fit_intercept:  # where a pseudo-inverse leaves rounding
            solution.reshape(self.objective.shape)[..., -1] = 0.0
        return solution

    def worth_renewing(self, progress, decrement, rough):
        """Whether the next iterate deserves a Hessian: where gradients alone would take longer to the end."""
        if self.cheap:
            return True
        predicted = progress.predicted_violation() if self.fresh else np.inf
        left = 0.5 * decrement * (predicted / progress.violation) ** 2
        if predicted <= 0.5 * progress.tol:
            return False
        if self.objective.design.large and left <= UNSURE * progress.tol * progress.value:
            return False
        if progress.n_iter == 0:
            # A Hessian from far away; that of a sample at its optimum is near, and a rough answer is not far.
            return self.fresh and not (rough and self.cost > ROUGHLY)
        if self.cost <= CHEAP:
            return True
        return bool(progress.iterations_left() > RENEWALS * (1.0 + self.cost))
