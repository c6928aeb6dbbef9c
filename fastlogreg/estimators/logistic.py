"""LogisticRegression: the optimum of the penalised likelihood."""

import warnings
from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastlogreg import solvers
from fastlogreg.design import as_design
from fastlogreg.diagnostics import check_separation
from fastlogreg.estimators.base import LinearClassifier
from fastlogreg.objective import LogisticObjective
from fastlogreg.result import ConvergenceWarning, Status
from fastlogreg.units import column_units, from_units, to_units
from fastlogreg.validation import (
    all_or_nothing,
    check_coef,
    check_finite,
    check_offset,
    check_weight,
    check_X_y,
    encode,
)
from fastlogreg.verbose import reporter


class LogisticRegression(LinearClassifier):
    """Logistic regression, binary and multinomial, with an L2 penalty or none.

    Minimises, over coefficients w and intercepts b, the objective of scikit-learn's class of the same name:
    Σ s_i L(eta_i, y_i) + ‖w‖² / (2 C), with eta = X w + b + offset and s the sample weights; L is
    log(1 + exp(eta)) - y eta for two classes, logsumexp(eta) - eta_y for more. The intercept is not penalised.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty; ``np.inf`` for none.
    l1_ratio : float, default=0.0
        Share of L1 in the penalty. Only 0, a pure L2 penalty, is available.
    fit_intercept : bool, default=True
    tol : float, default=1e-8
        The solver stops when the violation is at most tol: the largest derivative of the weighted mean objective by
        a coefficient of the centred columns, each divided by the scale of its column (the power of two nearest its
        standard deviation).
    max_iter : int, default=1000
        Most iterations of the solver.
    solver : {"auto", "newton", "lbfgs", "newton-cg"}, default="auto"
        "newton": damped Newton with Cholesky solves, a handful of passes over X, O(n p²) work in each. "newton-cg":
        truncated Newton, for many features or classes. "lbfgs": no Hessian at all. "auto" chooses by shape.
    class_weight : dict or "balanced", optional
        Factor of the weight of each class; "balanced" is n / (K n_k).
    warm_start : bool, default=False
        Start from the coefficients of the previous fit.
    n_jobs : int, optional
        Threads; None for all cores that the process is allowed.
    verbose : int, default=0
        Print progress.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        In the dtype of X. For more than two classes without a penalty they sum to zero over the classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Sums to zero over more than two classes.
    n_iter_ : ndarray of shape (1,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X has string column names.
    result_ : Result
        Status, violation, estimated suboptimality, objective (weighted mean loss plus penalty), passes over X and
        their history.

    Notes
    -----
    X is not copied when it is a C- or F-ordered array of float64 or float32, or CSR. Arithmetic is float64. The
    exception is a column with entries beyond about 1e±135, or so small that a penalty leaves it no effect: the fit then
    works on a copy with such columns in other units. Coefficients, penalty and violation are those of X as given.
    """

    _parameter_constraints = {
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "solver": [StrOptions({"auto", *solvers.SOLVERS})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        C=1.0,
        *,
        l1_ratio=0.0,
        fit_intercept=True,
        tol=1e-8,
        max_iter=1000,
        solver="auto",
        class_weight=None,
        warm_start=False,
        n_jobs=None,
        verbose=0,
    ):
        self.C = C
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, offset=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of any type, at least two different ones.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            Known part of the linear predictor.

        Returns
        -------
        self

        Warns
        -----
        SeparationWarning
            If without a penalty the classes are separated without error: no finite optimum exists.
        ConvergenceWarning
            If the solver stopped before it reached tol.

        Raises
        ------
        ValueError
            If the data are empty, not finite or of wrong shape, weights are negative, there is but one class, or a
            column is so small that its coefficient overflows.
        """
        self._validate_params()
        if self.l1_ratio != 0.0:
            raise ValueError(
                f"l1_ratio={self.l1_ratio!r}: L1 penalties are not available yet, only l1_ratio=0 (L2) is; use "
                "sklearn.linear_model.LogisticRegression(solver='saga') for sparse coefficients."
            )
        X, y = check_X_y(self, X, y)
        classes, target = encode(y)
        n_classes = len(classes)
        n_samples, n_features = X.shape
        weight = check_weight(sample_weight, self.class_weight, X, classes, y, target)
        design = as_design(X, self.n_jobs)
        moments = design.column_moments(weight)
        check_finite(self, X, moments[1], squared=False)
        offset = check_offset(offset, n_samples, n_classes)
        total = n_samples if weight is None else weight.sum()
        l2 = 1.0 / (self.C * total)
        objective_of = partial(
            LogisticObjective,
            y=target,
            weight=weight,
            offset=offset,
            n_classes=n_classes,
            fit_intercept=self.fit_intercept,
        )
        units = column_units(design, moments[1], l2)
        if units is None:
            objective = objective_of(design, l2=l2, moments=moments)
            objective.n_passes += 1.0  # the moments
        else:
            plain, design = objective_of(design, moments=np.zeros_like(moments)), design.times(units)
            factors = np.where(units > 0.0, units, 1.0)  # some penalty keeps a column of zeros regular
            objective = objective_of(design, l2=l2 * factors * factors)
            objective.n_passes += 1.0
        name = self.solver
        if name == "auto":
            name = solvers.choose(n_samples, n_features, n_classes, design.entries_per_row / n_features)
        with reporter(self.verbose, name, self.max_iter) as callback:
            start = self._start(objective, classes)
            if units is not None:
                start = to_units(start, units)
            result = solvers.SOLVERS[name].function(
                objective, start, tol=self.tol, max_iter=self.max_iter, callback=callback
            )
        if np.isinf(self.C) and offset is None:
            result = check_separation(self, result, design, target, objective.coordinates.scales[:-1])
        if units is not None:
            coef = from_units(result.coef, units, plain, l2)
            result = replace(result, coef=coef, n_passes=result.n_passes + plain.n_passes)
        if result.status in (Status.MAX_ITER, Status.STOPPED):
            self._warn(result, name)
        coef = _centred(result.coef, self.C) if n_classes > 2 else result.coef
        with np.errstate(over="ignore"):
            coef = np.atleast_2d(coef).astype(X.dtype)
        check_coef(self, coef[:, :-1])
        self.classes_ = classes
        self.coef_ = np.ascontiguousarray(coef[:, :-1])
        self.intercept_ = coef[:, -1].copy()
        self.n_iter_ = np.array([result.n_iter], dtype=np.int32)
        self.result_ = result
        return self

    def _start(self, objective, classes):
        """Return zeros, or the last fit's coefficients where ``warm_start`` asks for them and they have the shape."""
        start = np.zeros(objective.shape)
        if self.warm_start and hasattr(self, "coef_"):
            previous = np.column_stack([self.coef_, self.intercept_]).astype(np.float64)
            if not np.array_equal(self.classes_, classes) or previous.size != start.size:
                raise ValueError(
                    f"warm_start=True, but the previous fit had coefficients of shape {self.coef_.shape} for classes "
                    f"{self.classes_} and this one needs {objective.shape} for classes {classes}; use warm_start=False."
                )
            start = previous.reshape(objective.shape)
            if not self.fit_intercept:
                start[..., -1] = 0.0
        return start

    def _warn(self, result, name):
        fix = "raise max_iter" if name == "newton" else "raise max_iter, loosen tol, or use solver='newton'"
        warnings.warn(
            f"{name} stopped after {result.n_iter} iterations: {result.status.value}. The violation is "
            f"{result.violation:.2g}, tol is {self.tol:.2g}; to go on, {fix}.",
            ConvergenceWarning,
            stacklevel=4,
        )


def _centred(coef, C):
    """Subtract what is common to all classes where no penalty fixes it: intercepts, and without penalty all."""
    coef = coef.copy()
    free = slice(None) if np.isinf(C) else slice(-1, None)
    coef[:, free] -= coef[:, free].mean(axis=0)
    return coef
