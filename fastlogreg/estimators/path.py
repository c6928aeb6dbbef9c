"""LogisticRegressionPath: the optima under one strength of the penalty after another."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from fastlogreg import solvers
from fastlogreg.estimators.base import LinearClassifier, SparseCoef
from fastlogreg.estimators.logistic import LogisticRegression, solver_name, violation_tol, warn_unfinished
from fastlogreg.path import alpha_grid, deviance_ratio, follow, null_model
from fastlogreg.problem import bind
from fastlogreg.validation import all_or_nothing, check_solver, check_strengths
from fastlogreg.verbose import fits_bar


class LogisticRegressionPath(SparseCoef, LinearClassifier):
    """Logistic regression, binary and multinomial, along a path of strengths of the penalty.

    Minimises, for each of a sequence of falling strengths alpha, the weighted mean loss plus
    alpha · ((1 - l1_ratio) ½ ‖w‖² + l1_ratio ‖w‖₁), as R's glmnet does (its lambda is alpha, its alpha is l1_ratio).
    It is the objective of ``LogisticRegression`` with C = 1 / (alpha Σ s_i), s being the sample weights.

    Predictions are those of the end of the path, the least penalty, until ``select`` chooses another strength.

    Parameters
    ----------
    l1_ratio : float, default=0.0
        Share of L1 in the penalty.
    alphas : array-like of shape (n_alphas,), optional
        Strengths, in any order. By default ``n_alphas`` of them, equally spaced by their logarithms, from the least
        that makes all coefficients zero, max_j |Σ s_i x_ij (p_i - y_i)| / (l1_ratio Σ s_i), to ``alpha_min_ratio``
        times that; p is the probability by the null model, of the intercept and the columns that are not penalised.
        For an l1_ratio below 0.001 it begins where that of 0.001 does. Such a path ends early, as glmnet's, after five
        strengths or more: where 0.999 of the deviance is explained, or a strength explains but 1e-5 more, relatively.
    n_alphas : int, default=100
    alpha_min_ratio : float, optional
        1e-4 where there are more rows than columns, else 1e-2.
    fit_intercept : bool, default=True
    class_weight : dict or "balanced", optional
    solver : {"auto", "newton", "lbfgs", "newton-cg", "prox-newton"}, default="auto"
        As for ``LogisticRegression``.
    tol : float, default=1e-8
        As for ``LogisticRegression``, at every strength; more than 1e-5 counts as that, or fits that begin near their
        ends would stay there.
    max_iter : int, default=1000
        Most iterations at each strength.
    verbose : int, default=0
        Show a progress bar.
    n_jobs : int, optional
        Threads; None for all cores that the process is allowed.
    penalty_factors, bounds, standardize, group_classes
        As for ``LogisticRegression``. glmnet's default is ``standardize=True``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    alphas_, Cs_ : ndarray of shape (n_alphas,)
        Strengths from the largest to the smallest, fewer than asked for where the path ended early; 1 / (alpha Σ s).
    coefs_ : CSR array of shape (n_alphas, n_features), or for more than two classes (n_alphas · n_classes, n_features)
        Row i · n_classes + k is that of class k at strength i.
    intercepts_ : ndarray of shape (n_alphas, 1) or (n_alphas, n_classes)
    df_ : ndarray of shape (n_alphas,)
        Number of columns with a coefficient that is not zero.
    deviance_ratio_ : ndarray of shape (n_alphas,)
        Share of the deviance that is explained, 1 - deviance / null_deviance_.
    null_deviance_ : float
        Twice the weighted log likelihood, negated, of the null model.
    violations_ : ndarray of shape (n_alphas,)
        Distances from optimality, see ``LogisticRegression``.
    n_iter_ : ndarray of shape (n_alphas,)
    n_passes_ : float
        Sweeps over X, the cost of all.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    alpha_ : float
        The strength that predictions are of.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    References
    ----------
    Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models via coordinate descent,
    Journal of Statistical Software (2010), section 3.
    """

    _parameter_constraints = {
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "alphas": ["array-like", None],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "alpha_min_ratio": [Interval(Real, 0, 1, closed="neither"), None],
        **{
            name: LogisticRegression._parameter_constraints[name]
            for name in (
                "fit_intercept",
                "class_weight",
                "solver",
                "tol",
                "max_iter",
                "verbose",
                "n_jobs",
                "penalty_factors",
                "bounds",
                "standardize",
                "group_classes",
            )
        },
    }

    def __init__(
        self,
        *,
        l1_ratio=0.0,
        alphas=None,
        n_alphas=100,
        alpha_min_ratio=None,
        fit_intercept=True,
        class_weight=None,
        solver="auto",
        tol=1e-8,
        max_iter=1000,
        verbose=0,
        n_jobs=None,
        penalty_factors=None,
        bounds=None,
        standardize=False,
        group_classes=False,
    ):
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.alpha_min_ratio = alpha_min_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.penalty_factors = penalty_factors
        self.bounds = bounds
        self.standardize = standardize
        self.group_classes = group_classes

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, offset=None):
        """Fit the model at every strength.

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
        ConvergenceWarning
            If the solver stopped before it reached tol.

        Raises
        ------
        ValueError
            As ``LogisticRegression.fit`` does; if strengths are negative or not numbers, or if no column has anything
            to do with y, so that there is no largest strength.
        """
        self._validate_params()
        given = None if self.alphas is None else np.sort(check_strengths("alphas", self.alphas))[::-1]
        problem = bind(self, X, y, sample_weight, offset)
        C = np.inf if given is not None and given[-1] == 0.0 else 1.0
        check_solver(self.solver, C, self.l1_ratio, False, problem.n_classes, self.bounds is not None)
        null = null_model(problem)
        if given is None:
            alphas = alpha_grid(problem, null, [self.l1_ratio], self.n_alphas, self.alpha_min_ratio)
        else:
            alphas = given
        name = solver_name(self.solver, problem, self.l1_ratio > 0.0 or self.bounds is not None)
        options = {"tol": violation_tol(self.solver, self.tol), "max_iter": self.max_iter}
        options.update(null=null, early=given is None)
        with fits_bar(self.verbose, len(alphas), "path") as done:
            points = follow(problem, alphas, self.l1_ratio, solvers.SOLVERS[name], done=done, **options)
        warn_unfinished([point.result for point in points], options["tol"], stacklevel=4)
        coefs = np.stack([np.atleast_2d(point.result.coef) for point in points])
        self.classes_ = problem.classes
        self.alphas_ = np.array([point.alpha for point in points])
        with np.errstate(divide="ignore"):
            self.Cs_ = 1.0 / (self.alphas_ * problem.total_weight)
        self.coefs_ = scipy.sparse.csr_array(coefs[..., :-1].reshape(-1, coefs.shape[-1] - 1))
        self.intercepts_ = coefs[..., -1].copy()
        self.df_ = (coefs[..., :-1] != 0.0).any(axis=1).sum(axis=1)
        self.deviance_ratio_ = deviance_ratio(points, null)
        self.null_deviance_ = 2.0 * problem.total_weight * null.loss
        self.violations_ = np.array([point.result.violation for point in points])
        self.n_iter_ = np.array([point.result.n_iter for point in points], dtype=np.int32)
        self.n_passes_ = 2.0 + sum(point.result.n_passes for point in points)  # the moments and the null model
        return self.select(self.alphas_[-1])

    def select(self, alpha):
        """Predict by the model of a strength from now on; return self.

        Parameters
        ----------
        alpha : float
            Between two strengths of the path coefficients are interpolated linearly, as glmnet's ``predict`` does.

        Raises
        ------
        ValueError
            If alpha is outside of the path.
        """
        check_is_fitted(self)
        if not self.alphas_[-1] <= alpha <= self.alphas_[0]:
            raise ValueError(
                f"alpha={alpha!r} is outside of the path, which goes from {self.alphas_[0]:.6g} to "
                f"{self.alphas_[-1]:.6g}. Choose one between, or fit with alphas that include it."
            )
        right = int(np.searchsorted(-self.alphas_, -alpha))
        left = right if self.alphas_[right] == alpha else right - 1
        share = 0.0 if left == right else (self.alphas_[left] - alpha) / (self.alphas_[left] - self.alphas_[right])
        n_rows = self.intercepts_.shape[1]
        for_each = [(left, 1.0 - share), (right, share)]
        self.coef_ = sum(part * self.coefs_[i * n_rows : (i + 1) * n_rows].toarray() for i, part in for_each)
        self.intercept_ = sum(part * self.intercepts_[i] for i, part in for_each)
        self.alpha_ = float(alpha)
        return self


def logistic_path(X, y, *, sample_weight=None, offset=None, **parameters):
    """Return a fitted LogisticRegressionPath: the optima under one strength of the penalty after another.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    sample_weight : array-like of shape (n_samples,), optional
    offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
    **parameters
        Those of ``LogisticRegressionPath``: ``l1_ratio``, ``alphas``, ``n_alphas``, …

    Returns
    -------
    LogisticRegressionPath
        With ``alphas_``, ``coefs_``, ``intercepts_``, ``df_``, ``deviance_ratio_``.
    """
    return LogisticRegressionPath(**parameters).fit(X, y, sample_weight, offset)
