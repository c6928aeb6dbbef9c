"""What is fitted: validated rows, and the objective of any penalty over them."""

from dataclasses import replace

import numpy as np

from fastlogreg.design import Moments, as_design
from fastlogreg.objective import LogisticObjective, NotFiniteError
from fastlogreg.units import column_origins, column_units, from_units, to_units
from fastlogreg.validation import check_finite, check_offset, check_weight, check_X_y, encode, moderate


def bind(estimator, X, y, sample_weight=None, offset=None):
    """Validate what a user gave to ``fit`` and return it as a Problem; one pass over X, or a sample of it.

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
    total_weight = float(len(y)) if weight is None else float(weight.sum())
    design = as_design(X, estimator.n_jobs)
    offset = check_offset(offset, len(y), len(classes))
    problem = Problem(X, y, classes, target, design, moderate(weight), offset, estimator.fit_intercept, total_weight)
    if not problem.moments.sampled:
        check_finite(estimator, X, problem.moments.sums[1], squared=False)
    return problem


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
    moments : Moments
        Of the columns; where they are those of a sample, not every entry is known to be finite.
    weight, offset : ndarray or None
        The weights times a factor that makes their mean about one where it is extreme.
    fit_intercept : bool
    n_classes : int
    total_weight : float
        Sum of the weights as given.
    """

    def __init__(self, X, y, classes, target, design, weight, offset, fit_intercept, total_weight):
        self.X, self.y, self.classes, self.target = X, y, classes, target
        self.design = design
        self.weight, self.offset, self.fit_intercept = weight, offset, fit_intercept
        self.n_classes = len(classes)
        with np.errstate(over="ignore", invalid="ignore"):  # who binds looks for what is not finite
            self.moments = self._objective(design, 0.0).moments
        self.total_weight = total_weight

    def settled(self, estimator, solve):
        """Return solve(), once more after a pass for all moments where it found what no sample had shown.

        Raises
        ------
        ValueError
            For an entry of X that is not finite.
        """
        try:
            return solve()
        except NotFiniteError:
            every = self.design.column_moments(self.weight)
        check_finite(estimator, self.X, every[1], squared=False)
        self.moments = Moments(every, 1.0 + self.moments.n_passes)
        return solve()

    def penalised(self, l2):
        """Return the problem with an L2 penalty of a strength on the scale of the mean loss, 1 / (C Σ w).

        Costs nothing, but where columns are of extreme scale or far from zero a copy of X and a pass over it.
        """
        units = column_units(self.design, self.moments.sums[1], l2)
        origins = column_origins(self.design, self.moments.sums, self.weight) if self.fit_intercept else None
        if units is None and origins is None:
            return Penalised(self._objective(self.design, l2, self.moments))
        n_features = self.design.shape[1]
        units = np.ones(n_features) if units is None else units
        origins = np.zeros(n_features) if origins is None else origins
        plain = self._objective(self.design, 0.0, Moments(np.zeros_like(self.moments.sums), 0.0))
        # Some penalty keeps a column of zeros regular; a huge one would make a violation of rounding.
        penalties = np.where(units > 0.0, l2 * units * units, min(l2, 1.0))
        design = self.design.times(units, origins)
        moments = Moments(design.column_moments(self.weight))
        objective = self._objective(design, penalties, moments)
        return Penalised(objective, units, origins, plain, l2)

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

    They differ only where columns of extreme scale, or far from zero, were brought into range.
    """

    def __init__(self, objective, units=None, origins=None, plain=None, l2=0.0):
        self.objective = objective
        self._units, self._origins, self._plain, self._l2 = units, origins, plain, l2

    def inner(self, coef):
        """Return the coefficients of the objective for those of X."""
        return coef if self._units is None else to_units(coef, self._units, self._origins)

    def outer(self, coef):
        """Return the coefficients of X for those of the objective."""
        if self._units is None:
            return coef
        return from_units(coef, self._units, self._origins, self._plain, self._l2)

    def outer_result(self, result):
        """Return a solver's result with the coefficients of X."""
        if self._units is None:
            return result
        vectors = {key: vector for key in ("step", "recession") if (vector := getattr(result, key)) is not None}
        vectors = {key: self.outer(vector) for key, vector in {**vectors, "coef": result.coef}.items()}
        return replace(result, **vectors, n_passes=result.n_passes + self._plain.n_passes)
