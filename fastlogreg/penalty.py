"""What is added to the smooth objective: L1 by column, one class at a time or grouped, and bounds."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastlogreg.coordinates import CONSTANT, inner_products


@dataclass(frozen=True, eq=False)
class Penalty:
    """Σ_j l1_j |coef_j| for low ≤ coef ≤ high, infinite elsewhere; the intercept, last in coef, is not penalised.

    Several classes share strengths and bounds. Grouped, |coef_j| is the 2-norm of the coefficients of column j over the
    classes, so that a column is zero for all of them or for none; there are no bounds then. The L2 part of an elastic
    net is smooth and belongs to LogisticObjective.

    Attributes
    ----------
    l1 : ndarray of shape (n_features,)
        Strength on the scale of the mean loss, not negative.
    low, high : ndarray of shape (n_features,)
        Bounds, low ≤ 0 ≤ high.
    grouped : bool
        Whether the classes of a column are penalised together; without effect on two classes, which are one vector.
    """

    l1: np.ndarray
    low: np.ndarray
    high: np.ndarray
    grouped: bool = False

    @classmethod
    def of(cls, n_features, l1=0.0, low=-np.inf, high=np.inf, grouped=False):
        """Return the penalty for numbers or arrays of shape (n_features,)."""
        l1, low, high = (np.broadcast_to(np.asarray(v, dtype=np.float64), n_features).copy() for v in (l1, low, high))
        return cls(l1, low, high, grouped)

    @property
    def free(self):
        """Which columns have neither L1 nor bounds."""
        return (self.l1 == 0.0) & np.isinf(self.low) & np.isinf(self.high)

    @property
    def trivial(self):
        """Whether it changes nothing."""
        return bool(self.free.all())

    def take_columns(self, index):
        """Return the penalty of some columns."""
        return Penalty(self.l1[index], self.low[index], self.high[index], self.grouped)

    def sizes(self, columns):
        """Return what L1 is the strength of: magnitudes, of shape (..., n_features), or (n_features,) if grouped."""
        together = self.grouped and columns.ndim > 1
        return np.linalg.norm(columns, axis=0) if together else np.abs(columns)

    def value(self, coef):
        """Return Σ l1_j |coef_j|."""
        return float(np.sum(self.l1 * self.sizes(coef[..., :-1])))

    def shrink(self, columns, curvature):
        """Return argmin_v Σ l1_j |v_j| + ½ curvature_j (v_j - columns_j)² within the bounds: soft threshold, then clip.

        Parameters
        ----------
        columns : ndarray of shape (..., n_features)
        curvature : float or ndarray of shape (n_features,)
        """
        sizes = self.sizes(columns)
        left = np.maximum(sizes - self.l1 / curvature, 0.0)
        direction = np.sign(columns) if sizes.shape == columns.shape else columns / np.where(sizes > 0.0, sizes, 1.0)
        return np.clip(direction * left, self.low, self.high)

    def clip(self, coef):
        """Return the coefficients within the bounds."""
        inside = coef.copy()
        np.clip(inside[..., :-1], self.low, self.high, out=inside[..., :-1])
        return inside

    def excess(self, coef, gradient):
        """Return the distance of -gradient from the subdifferential of the penalty, without intercepts.

        It is what one side's derivative falls short of zero where there is room to move to that side. Grouped, it is
        the magnitude of gradient_j + l1_j coef_j / |coef_j|, and of what of gradient_j lies outside of a ball of radius
        l1_j where coef_j is zero.

        Parameters
        ----------
        coef : ndarray of shape (..., n_features)
        gradient : ndarray of the same shape
            Of the smooth part.
        """
        if self.grouped and coef.ndim > 1:
            sizes, steepness = self.sizes(coef), self.sizes(gradient)
            outside = np.maximum(steepness - self.l1, 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                off = gradient + self.l1 * coef / sizes
                at_zero = np.where(outside > 0.0, gradient * (outside / steepness), 0.0)
            return np.abs(np.where(sizes > 0.0, off, at_zero))
        right = gradient + np.where(coef >= 0.0, self.l1, -self.l1)
        left = gradient + np.where(coef > 0.0, self.l1, -self.l1)
        up = np.where(coef < self.high, -right, 0.0)
        down = np.where(coef > self.low, left, 0.0)
        return np.maximum(np.maximum(up, down), 0.0)

    def violations(self, objective, coef, gradient):
        """Return the violation of each coefficient, intercept last, shaped like coef.

        As objective.violation, in centred and scaled coordinates: there L1 and bounds are on the same coefficients,
        and the intercept takes up the centring.
        """
        coordinates = objective.coordinates
        inner = gradient[..., :-1] - coordinates.means * gradient[..., -1:]
        excess = np.concatenate([self.excess(coef[..., :-1], inner), np.abs(gradient[..., -1:])], axis=-1)
        return excess / coordinates.scales


@functools.lru_cache(maxsize=8)
def no_penalty(n_features):
    """Return the Penalty of so many columns that changes nothing; it is shared."""
    return Penalty.of(n_features)


def duality_gap(objective, penalty, coef, value, gradient):
    """Return an upper bound of objective + penalty at coef minus its minimum, by Fenchel duality.

    The dual point is c times the slopes of the rows, with the largest c ≤ 1 for which Σ slope·x is within what L1
    balances; as the conjugate of the loss is convex and at most zero at zero, its sum needs no look at the rows. Exact
    but for coefficients that nothing bounds or penalises, the intercept among them, whose derivatives count to first
    order. Costs no pass.

    Parameters
    ----------
    value, gradient
        As objective.value_gradient returns them.

    References
    ----------
    Ndiaye, Fercoq, Gramfort and Salmon, Gap safe screening rules, JMLR (2017), sections 2 and 4.
    """
    coordinates = objective.coordinates
    columns = coef[..., :-1]
    slope = gradient[..., :-1] - coordinates.means * gradient[..., -1:] - objective.l2 * columns
    centred = coef[..., -1] + inner_products(columns, coordinates.means)
    first_order = np.sum(np.abs(gradient[..., -1]) * (1.0 + np.abs(centred)))
    free = (objective.l2 == 0.0) & penalty.free
    if free.any():
        first_order += np.sum((np.abs(slope) * (np.abs(columns) + 1.0 / coordinates.scales[:-1]))[..., free])
        slope[..., free] = 0.0
    share, conjugate = _dual(objective.l2, penalty, slope)
    quadratic = 0.5 * float(np.sum(objective.l2 * columns * columns))
    loss = value - quadratic
    gap = (1.0 - share) * loss + penalty.value(coef) + quadratic + share * float(np.sum(slope * columns))
    return max(0.0, float(gap + conjugate + first_order))


def _dual(l2, penalty, slope):
    """Return the largest c ≤ 1 for which the penalty balances c · slope, and what its conjugate is there."""
    steepness = penalty.sizes(slope)
    outside = steepness > penalty.l1  # few, near the optimum
    if not outside.any():
        return 1.0, 0.0
    strengths = l2, penalty.l1, penalty.low, penalty.high
    l2, l1, low, high = (np.broadcast_to(values, steepness.shape)[outside] for values in strengths)
    room = np.where(slope[outside] < 0.0, high, -low) if steepness.shape == slope.shape else high
    steepness = steepness[outside]
    held = (l2 == 0.0) & np.isinf(room)
    share = float(np.min(l1[held] / steepness[held], initial=1.0))
    # sup over w of -share·slope·w - l1 |w| - ½ l2 w² within the bounds
    beyond = np.where(held, 0.0, np.maximum(share * steepness - l1, 0.0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        best = np.where(beyond > 0.0, np.minimum(beyond / l2, room), 0.0)
    return share, float(np.sum(best * (beyond - 0.5 * l2 * best)))


def penalise(alpha, l1_ratio, factors, bounds, sizes, units, grouped=False):
    """Return l2, a float or (n_features,), and the Penalty, for the coefficients of X times units.

    alpha Σ_j factors_j [l1_ratio |coef_j size_j| + ½ (1 - l1_ratio) (coef_j size_j)²], coef being those of X times
    units. Where coefficients of X are penalised, size_j is units_j.

    Parameters
    ----------
    alpha : float
        Strength on the scale of the mean loss, 1 / (C Σ w).
    l1_ratio : float
    factors : ndarray of shape (n_features,) or None
        All ones where None.
    bounds : tuple of two ndarrays of shape (n_features,)
        Of the coefficients of X.
    sizes : ndarray of shape (n_features,) or None
        All ones where None.
    units : ndarray of shape (n_features,) or float
    grouped : bool, default=False
        See Penalty.
    """
    low, high = bounds
    weights = 1.0 if factors is None else factors
    scale = 1.0 if sizes is None else sizes
    l2 = alpha * (1.0 - l1_ratio) * weights * scale * scale
    return l2, Penalty.of(len(low), alpha * l1_ratio * weights * scale, low / units, high / units, grouped)


def deviations(moments, total_weight):
    """Return the standard deviation of every column; the root mean square of a constant one, 1 of zeros.

    Parameters
    ----------
    moments : ndarray of shape (2, n_features)
        Σ w x and Σ w x².
    """
    means, squares = moments / total_weight
    variance = squares - means**2
    size: Any = np.sqrt(np.where(variance > CONSTANT * squares, variance, squares))
    size[size == 0.0] = 1.0
    return size
