"""A quadratic model of the objective of two classes, worked on column by column: products of columns are not formed."""

import numpy as np
import scipy.sparse

from fastlogreg.kernels import coordinate
from fastlogreg.solvers.quadratic import MAX_ROUNDS, MAX_SWEEPS, part_way
from fastlogreg.threads import one_blas_thread

# Entries read in one call, for Ctrl-C to be seen in time.
SWEEP_ENTRIES = 10**8
# Most steps of conjugate gradients in a round, each as dear as a sweep.
CONJUGATE_STEPS = 200


class WorkingSet:
    """A model of the objective in some of the columns."""

    columns: np.ndarray

    def covers(self, needed):
        """Whether the columns needed, a mask, are all in it."""
        return np.count_nonzero(needed[self.columns]) == np.count_nonzero(needed)


class Columns(WorkingSet):
    """Curvatures of the rows at an iterate and the columns of a working set.

    Parameters
    ----------
    objective : LogisticObjective
    penalty : Penalty
    chosen : ndarray of int
        The working set.
    coef : ndarray of objective.shape
        The iterate.
    before : Columns, optional
        The model of an earlier iterate, since which only coefficients of its columns have changed: saves a pass, and
        another where they are the same columns.
    """

    precision = np.float64
    forcing = 0.1  # how exactly the model is solved, as a part of the violation at hand: a sweep reads all columns

    def __init__(self, objective, penalty, chosen, coef, before=None):
        self.columns, self.coef = chosen, coef
        self.predictors = objective.predictors(coef)[:, 0] if before is None else before.moved(coef)
        self.row_weight = objective.row_terms(self.predictors)[2]
        self.penalty = penalty.take_columns(chosen)
        self.scales = objective.coordinates.scales[:-1][chosen]
        self.l2 = np.broadcast_to(objective.l2, objective.design.shape[1])[chosen]
        self.centre = float(objective.fit_intercept)
        self.X = before.X if before is not None and chosen is before.columns else objective.design.columns(chosen)
        self.total = float(self.row_weight.sum()) or 1.0

    def serves(self, needed, progress):
        """Whether a new one would be no better: never, as it is cheaper than a gradient."""
        return False

    def learn(self, change, gradient_change):
        """Nothing: it is replaced after every step."""

    def moved(self, coef):
        """Return the linear predictors for other coefficients of these columns."""
        change = coef - self.coef
        return self.predictors + (change[self.columns] @ self._matrix() + change[-1])

    def _matrix(self):
        """Return the transposed columns for products with vectors."""
        X = self.X
        return scipy.sparse.csr_array((X.data, X.indices, X.indptr), shape=(len(self.columns), X.n_features))

    def least(self, coef, gradient, tol):
        """Return the coefficients at which model plus penalty is least, to a largest violation of about tol."""
        n_chosen = len(self.columns)
        mean, curvature = np.empty(n_chosen), np.empty(n_chosen)
        coordinate.column_terms(self.X, self.row_weight, self.total, self.centre, mean, curvature)
        curvature += self.l2
        before = coef[self.columns]
        after, rows, state = before.copy(), np.zeros(len(self.row_weight)), np.zeros(4)
        slope = gradient[self.columns] - mean * gradient[-1]
        model = self.X, self.row_weight, self.total, mean, curvature, self.l2, slope, before
        limits = self.penalty.l1, self.penalty.low, self.penalty.high, self.scales
        sweeps = int(np.clip(SWEEP_ENTRIES // (self.X.data.size + 1), 1, MAX_SWEEPS))
        while state[coordinate.SWEEPS] < MAX_ROUNDS * MAX_SWEEPS:
            coordinate.descend_columns(*model, *limits, float(tol), sweeps, after, rows, state)
            if state[coordinate.LARGEST] <= tol:
                break
            if state[coordinate.STEADY] == coordinate.SETTLED:
                with one_blas_thread:  # the others would wait for more beside the next sweeps and passes
                    self._solve_free(mean, curvature, slope, before, tol, after, rows, state)
        target = coef.copy()
        target[self.columns] = after
        target[-1] -= self.centre * (gradient[-1] + state[coordinate.TOTAL]) / self.total
        return target

    def _solve_free(self, mean, curvature, slope, start, tol, value, rows, state):
        """Move the coordinates that are free to where the model is least for their signs, or as far as signs hold.

        By conjugate gradients, whose steps grow with the root of the condition where those of sweeps grow with it: 5e4
        columns of text, 25 000 of them not zero, took 38 models of 100 to 1000 sweeps each.
        """
        low, high = self.penalty.low, self.penalty.high
        free = np.flatnonzero((value != 0.0) & (low < value) & (value < high) & (curvature > 0.0))
        if not free.size:
            return
        matrix, strength, centre = self._matrix()[free], self.penalty.l1[free], mean[free]
        transposed, scales, l2 = matrix.T, self.scales[free], self.l2[free]

        def product(step):
            """Return the change of the slopes, and the rows that it comes of."""
            change = self.row_weight * (transposed @ step)
            return matrix @ change + l2 * step - centre * (self.total * (centre @ step)), change

        here = value[free]
        slopes = matrix @ rows - centre * state[coordinate.TOTAL] + slope[free] + l2 * (here - start[free])
        rest = -(slopes + strength * np.sign(here))
        move, inverse = np.zeros(len(free)), 1.0 / curvature[free]
        scaled = inverse * rest
        direction, size = scaled, rest @ scaled
        for _ in range(CONJUGATE_STEPS):
            if np.max(np.abs(rest) / scales) <= 0.1 * tol:
                break
            bent, _ = product(direction)
            along = direction @ bent
            if not along > 0.0:
                break
            move = move + (size / along) * direction
            rest = rest - (size / along) * bent
            scaled = inverse * rest
            size, before = rest @ scaled, size
            direction = scaled + (size / before) * direction
        value[free], change = part_way(here, move, slopes, strength, low[free], high[free], product)
        rows += change
        state[coordinate.TOTAL] += self.total * (centre @ (value[free] - here))
