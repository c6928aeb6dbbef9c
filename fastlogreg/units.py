"""Columns whose numbers are in the way of their values.

In units so far from 1 that their squares leave the range of doubles, or that a penalty hides them; or so far from zero
that rounding takes the digits in which their entries differ.
"""

import numpy as np

# Where Σ x² leaves this range, the other way round 1 / Σ x² and its products with other columns may underflow.
SMALLEST, LARGEST = 2.0**-900, 2.0**900
# A column whose curvature is at most this part of the penalty's, squared, changes nothing but its own coefficient.
HIDDEN = 2.0**-30
# A column is far from zero where its mean is so many standard deviations: as it is, five digits of its linear
# predictors are lost, and ten of the Hessian. At 10⁶ it looks like the intercept, and newton took it for that.
FAR = 1e5


def column_origins(design, moments, weight):
    """Return what to subtract from the columns of a dense X before a fit, or None where none is far from zero.

    Parameters
    ----------
    design : Design
    moments : ndarray of shape (2, n_features)
        Σ w x and Σ w x² of the columns.
    weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    ndarray of shape (n_features,) or None
        The means of such columns in the dtype of X, zero for the others. Entries and mean are so close that their
        difference is exact (Sterbenz' lemma). Costs nothing but for such columns, of which constant ones stay.
    """
    means, squares = moments / (design.shape[0] if weight is None else weight.sum())
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.flatnonzero((squares < LARGEST) & (means**2 > SMALLEST) & (squares - means**2 < (means / FAR) ** 2))
    far = far[design.varies(far)]
    if not far.size:
        return None
    origins = np.zeros(len(means))
    origins[far] = means[far].astype(design.dtype)
    return origins


def column_units(design, squares, l2):
    """Return powers of two to multiply the columns of X by before a fit, or None where all are fine as they are.

    Parameters
    ----------
    design : Design
    squares : ndarray of shape (n_features,)
        Σ x² of every column, infinite where it overflows.
    l2 : float or ndarray of shape (n_features,)
        Strength of the L2 penalty.

    Returns
    -------
    ndarray of shape (n_features,) or None
        Zero for a column hidden by the penalty: the fit is better off without it. Costs nothing but for columns whose
        Σ x² is zero or out of range.
    """
    sizes = np.sqrt(squares)
    odd = np.flatnonzero(~((squares > SMALLEST) & (squares < LARGEST)))
    if design.dtype == np.float32:  # whose squares are ordinary float64
        odd = odd[:0]
    sizes[odd] = design.largest(odd)
    exponents = np.maximum(np.frexp(sizes[odd])[1], -1000)  # or the smallest of all would need 2¹⁰⁷⁴
    units = np.ones(len(squares))
    units[odd] = np.where(sizes[odd] > 0.0, np.ldexp(1.0, -exponents), 1.0)
    units[(sizes > 0.0) & (sizes < HIDDEN * np.sqrt(l2))] = 0.0
    return None if (units == 1.0).all() else units


def to_units(coef, units, origins):
    """Return the coefficients of (X - origins) times units for those of X."""
    inner = coef.copy()
    inner[..., -1] += coef[..., :-1] @ origins
    np.divide(coef[..., :-1], units, out=inner[..., :-1], where=units > 0.0)
    inner[..., :-1][..., units == 0.0] = 0.0
    return inner


def from_units(coef, units, origins, objective, l2, penalty):
    """Return the coefficients of X for those of (X - origins) times units; infinite where they overflow.

    The coefficient of a hidden column is -gradient / l2, shrunk by L1 and bounds, as its share of the linear predictors
    is below rounding.

    Parameters
    ----------
    coef : ndarray of shape (n_features + 1,) or (n_classes, n_features + 1)
    units, origins : ndarray of shape (n_features,)
    objective : LogisticObjective
        Of X itself, without a penalty; costs a pass if there are hidden columns.
    l2 : float or ndarray of shape (n_features,)
    penalty : Penalty
        Of the coefficients of X.
    """
    hidden = units == 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        outer = coef.copy()
        outer[..., :-1] *= units
        outer[..., -1] -= outer[..., :-1] @ origins
        if hidden.any():
            gradient = objective.value_gradient(outer)[1][..., :-1]
            curvature = np.broadcast_to(l2, units.shape)[hidden]
            least = penalty.take_columns(hidden).shrink(-gradient[..., hidden] / curvature, curvature)
            outer[..., :-1][..., hidden] = least
    return outer


def direction_from_units(direction, units, origins):
    """Return a direction in the coefficients of X for one in those of (X - origins) times units: finite, of any length.

    Parameters
    ----------
    direction : ndarray of shape (n_features + 1,) or (n_classes, n_features + 1)
    units, origins : ndarray of shape (n_features,)
    """
    _, exponents = np.frexp(units[np.atleast_2d(direction)[:, :-1].any(axis=0)])
    outer = direction * 2.0 ** -max(0, int(exponents.max(initial=0)) - 800)
    outer[..., :-1] *= units
    outer[..., -1] -= outer[..., :-1] @ origins
    return outer
