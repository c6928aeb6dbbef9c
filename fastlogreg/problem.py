"""What is fitted: validated rows, and the objective of any penalty over them."""

from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from fastlogreg.design import UNSEEN, Moments, as_design
from fastlogreg.labels import encode
from fastlogreg.objective import LogisticObjective, NotFiniteError
from fastlogreg.penalty import Penalty, deviations, no_penalty, penalise
from fastlogreg.units import column_origins, column_units, direction_from_units, from_units, to_units
from fastlogreg.validation import (
    check_bounds,
    check_finite,
    check_offset,
    check_penalty_factors,
    check_weight,
    check_X_y,
    moderate,
)


def bind(estimator, X, y, sample_weight=None, offset=None, C=1.0, sampled=False):
    """Validate what a user gave to ``fit`` and return it as a Problem; one pass over X.

    Parameters
    ----------
    estimator : estimator
        With ``class_weight``, ``fit_intercept``, ``n_jobs``, ``penalty_factors``, ``bounds``, ``standardize`` and
        ``group_classes``; its ``n_features_in_`` and ``feature_names_in_`` are set.
    X, y, sample_weight, offset
        As for ``LogisticRegression.fit``.
    C : float, default=1.0
        Infinite if there will be no penalty.
    sampled : bool, default=False
        Whether the moments of the columns may be those of a sample, an eighth of a pass, and are left to `look` or to a
        solver: solves belong into `settled`.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        As ``LogisticRegression.fit`` does.
    """
    X, y = check_X_y(estimator, X, y)
    classes, target = encode(y, estimator.n_jobs)
    factors = check_penalty_factors(estimator.penalty_factors, X.shape[1], C)
    grouped = estimator.group_classes and len(classes) > 2
    bounds = check_bounds(estimator.bounds, X.shape[1], grouped)
    terms = Terms(factors, bounds, estimator.standardize, grouped)
    weight = check_weight(sample_weight, estimator.class_weight, X, classes, y, target, penalised=C < np.inf)
    total_weight = float(len(y)) if weight is None else float(weight.sum())
    weight = moderate(weight)
    design = as_design(X, estimator.n_jobs)
    offset = check_offset(offset, len(y), len(classes))
    rows = X, y, classes, target, design, weight, offset
    problem = Problem(*rows, estimator.fit_intercept, terms, total_weight)
    if not sampled:
        problem.look(estimator, every=True)
    return problem


class Terms(NamedTuple):
    """What a penalty is but for its strength and share of L1."""

    factors: np.ndarray | None  # (n_features,)
    bounds: tuple[np.ndarray, np.ndarray]  # of the coefficients of X
    standardize: bool
    grouped: bool  # over several classes


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
        Of the columns, UNSEEN before `look`; where they are those of a sample, not every entry is known to be finite.
    weight, offset : ndarray or None
        The weights times a factor that makes their mean about one where it is extreme.
    fit_intercept : bool
    terms : Terms
    n_classes : int
    total_weight : float
        Sum of the weights as given.
    """

    def __init__(
        self, X, y, classes, target, design, weight, offset, fit_intercept, terms, total_weight
    ):
        self.X, self.y, self.classes, self.target = X, y, classes, target
        self.design = design
        self.weight, self.offset, self.fit_intercept, self.terms = weight, offset, fit_intercept, terms
        self.n_classes = len(classes)
        self.total_weight = total_weight
        self.moments = UNSEEN
        # Folds share the units of all rows, or a column that is zero but in the rows held out would be rescaled.
        self._sums, self._all_weight = UNSEEN.sums, weight
        self._placed: Any = None
        self._scaled = {}

    def look(self, estimator, every=False):
        """Find the moments of the columns: of all rows, or of a sample where one serves and every is False.

        Raises
        ------
        ValueError
            For an entry of X that is not finite.
        """
        if every:
            self.moments = Moments(self.design.column_moments(self.weight), 1.0 + self.moments.n_passes)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                self.moments = self._objective(self.design, 0.0).moments
        self._sums, self._placed = self.moments.sums, None
        if not self.moments.sampled:
            check_finite(estimator, self.X, self._sums[1], squared=False)

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
            self.look(estimator, every=True)
        return solve()

    def penalised(self, alpha, l1_ratio=0.0):
        """Return the problem with a penalty of strength alpha = 1 / (C Σ w) on the scale of the mean loss.

        Costs nothing, but where columns are of extreme scale or far from zero a copy of X, for all strengths, and a
        pass over it. The cost of the moments is in ``moments``, and not counted again. Where moments are UNSEEN, they
        are the solver's to find, and the penalty is L2.
        """
        factors, bounds, standardize, grouped = self.terms
        if self.moments is UNSEEN:
            l2 = alpha if factors is None else alpha * factors
            return Penalised(self._objective(self.design, l2, UNSEEN), no_penalty(self.design.shape[1]))
        terms = partial(penalise, alpha, l1_ratio, factors, bounds, grouped=grouped)
        outer = terms(None, 1.0)
        units, origins = self._places(0.0 if standardize else outer[0])
        if units is None and origins is None:
            l2, penalty = terms(self._deviations(self.moments), 1.0) if standardize else outer
            return Penalised(self._objective(self.design, l2, self.moments._replace(n_passes=0.0)), penalty)
        n_features = self.design.shape[1]
        units = np.ones(n_features) if units is None else units
        origins = np.zeros(n_features) if origins is None else origins
        key = units.tobytes(), origins.tobytes()
        if key not in self._scaled:
            self._scaled.clear()
            self._scaled[key] = self.design.times(units, origins)
        design = self._scaled[key]
        moments = Moments(design.column_moments(self.weight))
        # Some penalty keeps a column of zeros, as a hidden one is, regular; a huge one makes a violation of rounding.
        shown = np.where(units > 0.0, units, 1.0)
        l2, penalty = terms(self._deviations(moments) if standardize else shown, shown)
        l2 = np.where(units > 0.0, l2, np.minimum(l2, 1.0))
        # One that underflows is a penalty still: there is an optimum, and classes are not said to be separated.
        l2 = np.where(outer[0] > 0.0, np.maximum(l2, np.finfo(float).tiny), l2)
        plain = self.unpenalised()
        return Penalised(self._objective(design, l2, moments), penalty, units, origins, plain, outer)

    def _places(self, l2):
        """Return units and origins of the columns under an L2 penalty, those of the last one where it was as strong."""
        if self._placed is None or not np.array_equal(self._placed[0], l2):
            origins = column_origins(self.design, self._sums, self._all_weight) if self.fit_intercept else None
            self._placed = l2, (column_units(self.design, self._sums[1], l2), origins)
        return self._placed[1]

    def unpenalised(self):
        """Return the objective without a penalty, fit for values and gradients only: columns keep their units."""
        return self._objective(self.design, 0.0, Moments(np.zeros((2, self.design.shape[1])), 0.0))

    def sizes(self):
        """Return what multiplies alpha in the strength of L1 of every column, (n_features,): 0 where none holds it."""
        factors, bounds, standardize, _ = self.terms
        sizes = self._deviations(self.moments) if standardize else None
        return penalise(1.0, 1.0, factors, bounds, sizes, 1.0)[1].l1

    def columns(self, index):
        """Return the objective without a penalty of some columns, which may be none, and their bounds; copies them."""
        low, high = self.terms.bounds
        if len(index):
            objective = self._objective(self.design, 0.0, self.moments._replace(n_passes=0.0)).take_columns(index)
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
        share = fold.weight.sum() / (len(self.y) if self.weight is None else self.weight.sum())
        fold.total_weight = float(self.total_weight * share)
        fold.moments = Moments(self.design.column_moments(fold.weight))
        return fold

    @property
    def lacks_columns(self):
        """Whether a column has entries that are not zero only in the rows that this fold holds out."""
        return bool(((self.moments.sums[1] == 0.0) & (self._sums[1] != 0.0)).any())

    @property
    def lacks_classes(self):
        """Whether the rows of some class have no weight."""
        weights = np.bincount(self.target.astype(np.int64), self.weight, minlength=self.n_classes)
        return bool((weights == 0.0).any())

    def _deviations(self, moments):
        return deviations(moments.sums, len(self.y) if self.weight is None else self.weight.sum())

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

    They differ only where columns of extreme scale, or far from zero, were brought into range.
    """

    def __init__(self, objective, penalty, units=None, origins=None, plain=None, outer=None):
        self.objective, self.penalty = objective, penalty
        self._units, self._origins, self._plain, self._outer = units, origins, plain, outer

    @property
    def rescaled(self):
        """Whether the coefficients of the objective are not those of X."""
        return self._units is not None

    def solver(self, row):
        """Return the function of a row of the solver table, which knows the penalty if it has to."""
        return partial(row.function, penalty=self.penalty) if row.penalty else row.function

    def inner(self, coef):
        """Return the coefficients of the objective for those of X."""
        return coef if self._units is None else to_units(coef, self._units, self._origins)

    def outer(self, coef):
        """Return the coefficients of X for those of the objective."""
        if self._units is None:
            return coef
        l2, penalty = self._outer
        return from_units(coef, self._units, self._origins, self._plain, l2, penalty)

    def centred(self, coef):
        """Return coefficients less what is common to all classes where no penalty fixes it: intercepts, free ones."""
        if coef.ndim == 1:
            return coef
        coef = coef.copy()
        coef[:, -1] -= coef[:, -1].mean()
        l2 = self.objective.l2
        if np.ndim(l2) or l2 == 0.0:
            free = np.append(self.penalty.free & (l2 == 0.0), False)
            with np.errstate(invalid="ignore"):  # check_coef names the column whose coefficients are infinite
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
        vectors = {"coef": self.outer(result.coef)}
        if result.step is not None:
            vectors["step"] = self.outer(result.step)
        if result.recession is not None:
            vectors["recession"] = direction_from_units(result.recession, self._units, self._origins)
        return replace(result, **vectors, n_passes=result.n_passes + self._plain.n_passes)
