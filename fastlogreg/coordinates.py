"""Centred and scaled coordinates of the columns."""

import copy
import functools

import numpy as np

# Variance, as a part of the mean square, below which a column counts as constant: rounding leaves no digit of less.
CONSTANT = 1e-14


def inner_products(left, right):
    """Return Σ_i left[…, i] right[i] without BLAS, whose threads would wait for more on cores that a pass needs.

    From 10 000 numbers on they take part; on two cores passes then took 1.5 to 2 times longer for milliseconds.
    """
    return np.einsum("...i,i->...", left, right, dtype=np.float64)


class Coordinates:
    """Centred and scaled coordinates: they define the violation, and solvers without a Hessian work in them.

    Parameters
    ----------
    moments : ndarray of shape (2, n_features)
        Σ w x and Σ w x² of the columns.
    total_weight : float
    l2 : float or ndarray of shape (n_features,)
        Strength of the penalty: curvature that does not come from the rows.
    centre : bool
        Whether there is an intercept to take up the centring.

    Attributes
    ----------
    mean_squares : ndarray of shape (n_features,)
    means : ndarray of shape (n_features,)
        Zero where there is no intercept.
    scales : ndarray of shape (n_features + 1,)
        The power of two nearest the standard deviation of each column (its root mean square where there is no
        intercept, or where it is constant), 1 where a column is zero and for the intercept.

    Notes
    -----
    Without centring, a column far from zero is nearly parallel to the intercept: L-BFGS and conjugate gradients crawl,
    and a violation in units of its root mean square ended a fit on 10⁶ ± 1 with four digits of the loss. With
    x' = (x - mean) / spread, where spread² is variance + 4 l2, the same linear predictor is x'·inner + inner_intercept:
    coef = inner / spread, intercept = inner_intercept - Σ mean·coef. X itself is never rewritten.
    """

    def __init__(self, moments, total_weight, l2, centre):
        means, squares = moments / (total_weight or 1.0)
        self.mean_squares = squares
        self.means = means if centre else np.zeros_like(means)
        variance = np.maximum(squares - self.means**2, 0.0)
        # A constant column has no spread to scale by; its direction is the intercept's.
        variance = np.where(variance > CONSTANT * squares, variance, squares)
        variance[variance == 0.0] = 1.0
        self.scales = np.append(np.exp2(np.round(0.5 * np.log2(variance))), 1.0)
        self._variance, self._l2 = variance, l2

    @functools.cached_property
    def spread(self):
        """√(variance + 4 l2), for the curvature of the loss is ¼ where nothing is known yet."""
        return np.sqrt(self._variance + 4.0 * self._l2)

    def take(self, index, l2):
        """Return the coordinates of some columns under an L2 penalty of their own."""
        taken = copy.copy(self)
        taken.__dict__.pop("spread", None)
        taken.mean_squares, taken.means = self.mean_squares[index], self.means[index]
        taken._variance = self._variance[index]
        taken.scales, taken._l2 = np.append(self.scales[:-1][index], 1.0), l2
        return taken

    def gradient(self, gradient):
        """Return the gradient in the inner coordinates."""
        inner = gradient.copy()
        inner[..., :-1] -= self.means * gradient[..., -1:]
        inner[..., :-1] /= self.spread
        return inner

    def outer(self, inner):
        """Return the direction in coef for one in the inner coordinates."""
        direction = inner.copy()
        direction[..., :-1] /= self.spread
        direction[..., -1] -= inner_products(direction[..., :-1], self.means)
        return direction

    def inner(self, direction):
        """Return the direction in the inner coordinates for one in coef."""
        inner = direction.copy()
        inner[..., -1] += inner_products(direction[..., :-1], self.means)
        inner[..., :-1] *= self.spread
        return inner
