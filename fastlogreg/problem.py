"""What is fitted: validated rows, and the objective of any penalty over them."""

from copy import copy
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse

from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.penalty import Penalty, deviations, penalise
from fastlogreg.units import column_units, from_units, to_units
from fastlogreg.validation import (
    check_bounds,
    check_finite,
    check_offset,
    check_penalty_factors,
    check_weight,
    check_X_y,
    encode,
)


def bind(estimator, X, y, sample_weight=None, offset=None, C=1.0):
    """Validate what a user gave to ``fit`` and return it as a Problem; one pass over X.

    Parameters
    ----------
    estimator : estimator
        With ``class_weight``, ``fit_intercept``, ``n_jobs``, ``penalty_factors``, ``bounds`` and ``standardize``; its
        ``n_features_in_`` and ``feature_names_in_`` are set.
    X, y, sample_weight, offset
        As for ``LogisticRegression.fit``.
    C : float, default=1.0
        Infinite if there will be no penalty.

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
    factors = check_penalty_factors(estimator.penalty_factors, X.shape[1], C)
    terms = Terms(factors, check_bounds(estimator.bounds, X.shape[1]), estimator.standardize)
    weight = check_weight(sample_weight, estimator.class_weight, X, classes, y, target)
    if estimator.standardize and scipy.sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()  # the squares of parts are not those of their sum
    design = as_design(X, estimator.n_jobs)
    moments = design.column_moments(weight)
    check_finite(estimator, X, moments[1], squared=False)
    offset = check_offset(offset, len(y), len(classes))
    return Problem(X, y, classes, target, design, moments, weight, offset, estimator.fit_intercept, terms)


class Terms(NamedTuple):
    """What a penalty is but for its strength and share of L1."""

    factors: np.ndarray | None  # (n_features,)
    bounds: tuple[np.ndarray, np.ndarray]  # of the coefficients of X
    standardize: bool


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
    terms : Terms
    n_classes : int
    total_weight : float
    """

    def __init__(self, X, y, classes, target, design, moments, weight, offset, fit_intercept, terms):
        self.X, self.y, self.classes, self.target = X, y, classes, target
        self.design, self.moments = design, moments
        self.weight, self.offset, self.fit_intercept, self.terms = weight, offset, fit_intercept, terms
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
        factors, bounds, standardize = self.terms
        terms = partial(penalise, alpha, l1_ratio, factors, bounds)
        outer = terms(None, 1.0)
        units = column_units(self.design, self._squares, 0.0 if standardize else outer[0])
        if units is None:
            l2, penalty = terms(deviations(self.moments, self.total_weight), 1.0) if standardize else outer
            return Penalised(self._objective(self.design, l2, self.moments), penalty)
        key = units.tobytes()
        if key not in self._scaled:
            self._scaled.clear()
            self._scaled[key] = self.design.times(units)
        design = self._scaled[key]
        moments = design.column_moments(self.weight)
        # Some penalty keeps a column of zeros, as a hidden one is, regular.
        shown = np.where(units > 0.0, units, 1.0)
        l2, penalty = terms(deviations(moments, self.total_weight) if standardize else shown, shown)
        return Penalised(self._objective(design, l2, moments), penalty, units, self.unpenalised(), outer)

    def unpenalised(self):
        """Return the objective without a penalty, fit for values and gradients only: columns keep their units."""
        return self._objective(self.design, 0.0, np.zeros_like(self.moments))

    def sizes(self):
        """Return what multiplies alpha in the strength of L1 of every column, (n_features,): 0 where none holds it."""
        factors, bounds, standardize = self.terms
        sizes = deviations(self.moments, self.total_weight) if standardize else None
        return penalise(1.0, 1.0, factors, bounds, sizes, 1.0)[1].l1

    def columns(self, index):
        """Return the objective without a penalty of some columns, which may be none, and their bounds; copies them."""
        low, high = self.terms.bounds
        if len(index):
            objective = self._objective(self.design, 0.0, self.moments).take_columns(index)
            return objective, Penalty.of(len(index), 0.0, low[index], high[index])
        nothing = as_design(scipy.sparse.csr_array((len(self.y), 1)))  # a column without entries
        return self._objective(nothing, 1.0), Penalty.of(1)

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
    """An objective and its penalty, and the way between their coefficients (inner) and those of X as given (outer).

    They differ only where columns of extreme scale were brought into range.
    """

    def __init__(self, objective, penalty, units=None, plain=None, outer=None):
        self.objective, self.penalty = objective, penalty
        self._units, self._plain, self._outer = units, plain, outer

    def solver(self, row):
        """Return the function of a row of the solver table, which knows the penalty if it has to."""
        return partial(row.function, penalty=self.penalty) if row.penalty else row.function

    def inner(self, coef):
        """Return the coefficients of the objective for those of X."""
        return coef if self._units is None else to_units(coef, self._units)

    def outer(self, coef):
        """Return the coefficients of X for those of the objective."""
        return coef if self._units is None else from_units(coef, self._units, self._plain, *self._outer)

    def centred(self, coef):
        """Return coefficients less what is common to all classes where no penalty fixes it: intercepts, free ones."""
        if coef.ndim == 1:
            return coef
        coef = coef.copy()
        free = np.append(self.penalty.free & (self.objective.l2 == 0.0), True)
        coef[:, free] -= coef[:, free].mean(axis=0)
        return coef

    def loss(self, result):
        """Return the mean loss where a solver ended: its objective less the penalties."""
        l2 = 0.5 * float(np.sum(self.objective.l2 * result.coef[..., :-1] ** 2))
        return result.objective - l2 - self.penalty.value(result.coef)

    def outer_result(self, result):
        """Return a solver's result with the coefficients of X."""
        if self._units is None:
            return result
        coef = self.outer(result.coef)
        return replace(result, coef=coef, n_passes=result.n_passes + self._plain.n_passes)
