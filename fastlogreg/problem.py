"""What is fitted: validated rows, and the objective of any penalty over them."""

from copy import copy
from dataclasses import replace

import numpy as np

from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.units import column_units, from_units, to_units
from fastlogreg.validation import check_finite, check_offset, check_weight, check_X_y, encode


def bind(estimator, X, y, sample_weight=None, offset=None):
    """Validate what a user gave to ``fit`` and return it as a Problem; one pass over X.

    Parameters
    ----------
    estimator : estimator
        With ``class_weight``, ``fit_intercept`` and ``n_jobs``; its ``n_features_in_`` and ``feature_names_in_`` are
        set.
    X, y, sample_weight, offset
        As for ``LogisticRegression.fit``.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        As ``LogisticRegression.fit`` does.
    """
    X, y = check_X_y(estimator, X, y)
    classes, target = encode(y)
    weight = check_weight(sample_weight, estimator.class_weight, X, classes, y, target)
    design = as_design(X, estimator.n_jobs)
    moments = design.column_moments(weight)
    check_finite(estimator, X, moments[1], squared=False)
    offset = check_offset(offset, len(y), len(classes))
    return Problem(X, y, classes, target, design, moments, weight, offset, estimator.fit_intercept)


class Problem:
    """Rows, target and weights of a fit, from which ``penalised`` makes objectives.

    Attributes
    ----------
    X : ndarray or CSR of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        Labels.
    classes : ndarray of shape (n_classes,)
    target : ndarray of shape (n_samples,)
        0.0 or 1.0, for more classes the class index, of every row.
    design : Design
        Of X.
    moments : ndarray of shape (2, n_features)
        Σ w x and Σ w x² of the columns.
    weight, offset : ndarray or None
    fit_intercept : bool
    n_classes : int
    total_weight : float
    """

    def __init__(self, X, y, classes, target, design, moments, weight, offset, fit_intercept):
        self.X, self.y, self.classes, self.target = X, y, classes, target
        self.design, self.moments = design, moments
        self.weight, self.offset, self.fit_intercept = weight, offset, fit_intercept
        self.n_classes = len(classes)
        self.total_weight = float(len(y)) if weight is None else float(weight.sum())
        # Folds share the units of all rows, or a column that is zero but in the rows held out would be rescaled.
        self._squares = moments[1]
        self._scaled = {}

    @property
    def density(self):
        """Share of the entries of X that are stored."""
        return self.design.entries_per_row / self.design.shape[1]

    def penalised(self, alpha, l1_ratio=0.0):
        """Return the problem with a penalty of strength alpha = 1 / (C Σ w) on the scale of the mean loss.

        Costs nothing, but where columns are of extreme scale a copy of X, for all strengths, and a pass over it.
        """
        l2 = alpha * (1.0 - l1_ratio)
        units = column_units(self.design, self._squares, l2)
        if units is None:
            return Penalised(self._objective(self.design, l2, self.moments), l2=l2)
        key = units.tobytes()
        if key not in self._scaled:
            self._scaled.clear()
            self._scaled[key] = self.design.times(units)
        factors = np.where(units > 0.0, units, 1.0)  # some penalty keeps a column of zeros regular
        objective = self._objective(self._scaled[key], l2 * factors * factors)
        return Penalised(objective, units, self.unpenalised(), l2)

    def unpenalised(self):
        """Return the objective without a penalty, fit for values and gradients only: columns keep their units."""
        return self._objective(self.design, 0.0, np.zeros_like(self.moments))

    def fold(self, counts):
        """Return the problem in which each row counts so many times as it does here; one pass over X, no copy of it.

        Parameters
        ----------
        counts : ndarray of shape (n_samples,)
            Zero for the rows that are held out.
        """
        fold = copy(self)
        fold.weight = counts.astype(np.float64) if self.weight is None else self.weight * counts
        fold.total_weight = float(fold.weight.sum())
        fold.moments = self.design.column_moments(fold.weight)
        return fold

    def _objective(self, design, l2, moments=None):
        return LogisticObjective(
            design,
            self.target,
            weight=self.weight,
            offset=self.offset,
            l2=l2,
            n_classes=self.n_classes,
            fit_intercept=self.fit_intercept,
            moments=moments,
        )


class Penalised:
    """An objective, and the way between its coefficients (inner) and those of X as given (outer).

    They differ only where columns of extreme scale were brought into range.
    """

    def __init__(self, objective, units=None, plain=None, l2=0.0):
        self.objective = objective
        self._units, self._plain, self._l2 = units, plain, l2

    def inner(self, coef):
        """Return the coefficients of the objective for those of X."""
        return coef if self._units is None else to_units(coef, self._units)

    def outer(self, coef):
        """Return the coefficients of X for those of the objective."""
        return coef if self._units is None else from_units(coef, self._units, self._plain, self._l2)

    def centred(self, coef):
        """Return coefficients of X less what is common to all classes where no penalty fixes it.

        That is intercepts, and without a penalty all.
        """
        if coef.ndim == 1:
            return coef
        coef = coef.copy()
        free = slice(None) if self._l2 == 0.0 else slice(-1, None)
        coef[:, free] -= coef[:, free].mean(axis=0)
        return coef

    def loss(self, result):
        """Return the mean loss where a solver ended: its objective less the penalty."""
        return result.objective - 0.5 * float(np.sum(self.objective.l2 * result.coef[..., :-1] ** 2))

    def outer_result(self, result):
        """Return a solver's result with the coefficients of X."""
        if self._units is None:
            return result
        coef = self.outer(result.coef)
        return replace(result, coef=coef, n_passes=result.n_passes + self._plain.n_passes)
