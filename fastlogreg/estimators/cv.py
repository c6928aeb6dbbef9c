"""LogisticRegressionCV: strength and share of L1 chosen by cross-validation."""

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, metadata_routing
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metadata_routing import _raise_for_params as raise_for_params
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_method_params as check_method_params

from fastlogreg import solvers
from fastlogreg.estimators import scoring as held_out_scoring
from fastlogreg.estimators.base import LinearClassifier, SparseCoef
from fastlogreg.estimators.logistic import LogisticRegression, solver_name, violation_tol, warn_unfinished
from fastlogreg.path import alpha_grid, follow, follow_folds, null_model
from fastlogreg.problem import bind
from fastlogreg.validation import all_or_nothing, check_fold, check_ratios, check_solver, check_strengths
from fastlogreg.verbose import fits_bar

N_ALPHAS = 100


class LogisticRegressionCV(SparseCoef, LinearClassifier):
    """Logistic regression, binary and multinomial, whose C and l1_ratio cross-validation chooses.

    The objective is that of ``LogisticRegression``. Every pair of C and l1_ratio is fitted to all rows and to those of
    every fold, from the largest penalty to the smallest, each solve beginning where its neighbours ended. Rows that a
    fold holds out have weight 0 there: X is not copied.

    The parameters are those of scikit-learn 1.9, with its defaults and its deprecations, except that the defaults of
    ``solver``, ``tol`` and ``max_iter`` find the optimum and that ``n_jobs`` is the number of threads; those
    from ``selection`` on are our own, and so is ``Cs="auto"``.

    Parameters
    ----------
    Cs : int, array-like of shape (n_cs,) or "auto", default=10
        Inverse strengths, or how many of them equally spaced by their logarithms from 1e-4 to 1e4. "auto": 100 that the
        data suggest, C = 1 / (alpha Σ w) for the alphas of ``LogisticRegressionPath``; one grid for all ``l1_ratios``,
        from where the smallest of them begins to where the largest ends. With a single l1_ratio it ends early where
        the path does.
    l1_ratios : array-like of shape (n_l1_ratios,), optional
        Shares of L1 in the penalty. None, deprecated, is (0,).
    fit_intercept : bool, default=True
    cv : int, cross-validation generator or iterable, optional
        Folds; by default five, stratified.
    dual : bool, default=False
        Accepted for ``solver="liblinear"``, without effect.
    penalty : {"l1", "l2", "elasticnet"}, optional
        Deprecated, as in scikit-learn: ``Cs`` and ``l1_ratios`` say it all. Warns when given.
    scoring : str or callable, optional
        Any scorer of scikit-learn, or ``scorer(estimator, X, y)``; larger is better. None is accuracy.
    solver : {"auto", "newton", "lbfgs", "newton-cg", "prox-newton"}, default="auto"
        As for ``LogisticRegression``, scikit-learn's other names too.
    tol : float, default=1e-8
        As for ``LogisticRegression``, for every fit; more than 1e-5 counts as that, or fits that begin near their ends
        would stay there.
    max_iter : int, default=1000
    class_weight : dict or "balanced", optional
        "balanced" by the frequencies in all rows.
    n_jobs : int, optional
        Threads; None for all cores that the process is allowed.
    verbose : int, default=0
        Show a progress bar.
    refit : bool, default=True
        If True the answer is the fit to all rows at the C and l1_ratio with the best mean score. If False coefficients,
        C and l1_ratio are means of those that are best in each fold.
    intercept_scaling : float, default=1
        Accepted, without effect: no solver penalises the intercept.
    random_state : int, RandomState instance or None, default=None
        Accepted, without effect: no solver draws random numbers.
    use_legacy_attributes : bool, default=True
        Shapes of attributes as in scikit-learn until 1.9. If not given, True with a warning.
    selection : {"best", "1se"}, default="best"
        "1se": the smallest C whose mean score is no more than one standard error below the best (Breiman, Friedman,
        Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3), at the l1_ratio of the best.
    keep_predictions : bool, default=False
        Keep what each fold predicts for the rows it holds out, ``out_of_fold_``.
    penalty_factors, bounds, standardize, group_classes
        As for ``LogisticRegression``; deviations are those in the fold.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    Cs_ : ndarray of shape (n_cs,)
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        [None] where ``l1_ratios`` is None.
    C_, l1_ratio_ : float, or with legacy attributes ndarray of shape (1,) or (n_classes,)
        What was chosen.
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        With legacy attributes a dict of classes, of two the second only, to (n_folds, n_cs, n_l1_ratios), the same for
        each; without the last axis where ``l1_ratios`` is None.
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_cs, 1 or n_classes, n_features + 1)
        Intercepts last, left out if there are none. With legacy attributes a dict of classes to
        (n_folds, n_cs, n_l1_ratios, n_features + 1), likewise.
    n_iter_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        With legacy attributes (1, n_folds, n_cs, n_l1_ratios), likewise.
    mean_scores_, score_errors_ : ndarray of shape (n_l1_ratios, n_cs)
        Means over folds and their standard errors.
    best_index_, one_se_index_ : tuple (index of l1_ratio, index of C)
        Of the best mean score, and of the choice of "1se".
    out_of_fold_ : ndarray of shape (n_samples, n_classes)
        Where ``keep_predictions``: probabilities of each row at the choice, from the folds that hold it out (their
        mean where they are several), NaN where there is none.
    results_ : list of list of Result
        Of the fits to all rows, by l1_ratio and C.
    n_passes_ : float
        Sweeps over X, the cost of all fits.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Notes
    -----
    A class that a fold has only among the rows it holds out gets an intercept so low there that its probability is
    below tol; scorers are told of all classes where they take ``labels``.
    """

    __metadata_request__score = {"sample_weight": metadata_routing.UNUSED}

    _parameter_constraints = {
        name: constraint
        for name, constraint in LogisticRegression._parameter_constraints.items()
        if name not in ("C", "alpha", "l1_ratio", "warm_start")
    } | {
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like", StrOptions({"auto"})],
        "l1_ratios": ["array-like", None, Hidden(StrOptions({"warn"}))],
        "cv": ["cv_object"],
        "penalty": [StrOptions({"l1", "l2", "elasticnet"}), Hidden(StrOptions({"deprecated"}))],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None, Hidden(StrOptions({"warn"}))],
        "refit": ["boolean"],
        "use_legacy_attributes": ["boolean", Hidden(StrOptions({"warn"}))],
        "selection": [StrOptions({"best", "1se"})],
        "keep_predictions": ["boolean"],
    }

    def __init__(
        self,
        *,
        Cs=10,
        l1_ratios="warn",
        fit_intercept=True,
        cv=None,
        dual=False,
        penalty="deprecated",
        scoring="warn",
        solver="auto",
        tol=1e-8,
        max_iter=1000,
        class_weight=None,
        n_jobs=None,
        verbose=0,
        refit=True,
        intercept_scaling=1.0,
        random_state=None,
        use_legacy_attributes="warn",
        selection="best",
        keep_predictions=False,
        penalty_factors=None,
        bounds=None,
        standardize=False,
        group_classes=False,
    ):
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.dual = dual
        self.penalty = penalty
        self.scoring = scoring
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.refit = refit
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.use_legacy_attributes = use_legacy_attributes
        self.selection = selection
        self.keep_predictions = keep_predictions
        self.penalty_factors = penalty_factors
        self.bounds = bounds
        self.standardize = standardize
        self.group_classes = group_classes

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: under the name "liblinear" only two classes are accepted."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.solver != "liblinear"
        return tags

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, **params):
        """Fit every C and l1_ratio to every fold, score them, and take the best.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of any type, at least two different ones.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows, for fits and, unless metadata routing says otherwise, for scores.
        **params : dict
            For the splitter and the scorer, if metadata routing is enabled.

        Returns
        -------
        self

        Warns
        -----
        ConvergenceWarning
            If the solver stopped before it reached tol.
        FutureWarning
            As scikit-learn, where a default will change there.

        Raises
        ------
        ValueError
            As ``LogisticRegression.fit`` does; if a C is not positive or an l1_ratio not in [0, 1], if a fold is empty
            or its weights are all zero, or if ``selection="1se"`` meets ``refit=False`` or a single fold.
        """
        self._validate_params()
        raise_for_params(params, self, "fit")
        ratios = check_ratios(self.penalty, self.l1_ratios)
        legacy = self._check_future()
        problem = bind(self, X, y, sample_weight)
        Cs = None if isinstance(self.Cs, str) else self._grid()
        for ratio in ratios:
            C = np.inf if Cs is not None and np.isinf(Cs).any() else 1.0
            check_solver(self.solver, C, ratio, self.dual, problem.n_classes, self.bounds is not None)
        routed = self._routed(sample_weight, params)
        folds = self._folds(problem, sample_weight, routed)
        options = {"tol": violation_tol(self.solver, self.tol), "max_iter": self.max_iter}
        names = [solver_name(self.solver, problem, ratio > 0.0 or self.bounds is not None) for ratio in ratios]
        rows = [(ratio, solvers.SOLVERS[name]) for ratio, name in zip(ratios, names, strict=True)]
        null = None
        if Cs is None:
            null = null_model(problem)
            Cs = 1.0 / (alpha_grid(problem, null, ratios, N_ALPHAS) * problem.total_weight)
        order = np.argsort(Cs, kind="stable")
        back = np.argsort(order)

        with fits_bar(self.verbose, (1 + len(folds)) * len(ratios) * len(Cs), "fits") as done:
            options["done"] = done
            alphas = 1.0 / (Cs[order] * problem.total_weight)
            early = null is not None and len(ratios) == 1
            full = [follow(problem, alphas, *row, null=null, early=early, kept=True, **options) for row in rows]
            Cs, order, back = Cs[: len(full[0])], order[: len(full[0])], back[: len(full[0])]
            parts = [problem.fold(counts) for counts, _, _ in folds]
            strengths = [1.0 / (Cs[order] * part.total_weight) for part in parts]
            guided = zip(rows, full, strict=True)
            points = [follow_folds(parts, strengths, *row, guide=guide, **options) for row, guide in guided]
        paths = [[[of_ratio[f][i].result for i in back] for of_ratio in points] for f in range(len(folds))]
        found = []
        for path, (_, test, score_params) in zip(paths, folds, strict=True):
            held_out = held_out_scoring.HeldOut(problem, test, self.n_jobs)
            coefs = [result.coef for of_ratio in path for result in of_ratio]
            found.append(held_out_scoring.scores(self._get_scorer(), held_out, coefs, score_params))
        self.results_ = [[of_ratio[i].result for i in back] for of_ratio in full]
        every = [result for path in (self.results_, *paths) for of_ratio in path for result in of_ratio]
        warn_unfinished(every, options["tol"], stacklevel=4)
        self.n_passes_ = 1.0 + len(folds) + (null is not None) + sum(result.n_passes for result in every)
        self.classes_ = problem.classes
        self.Cs_ = Cs
        self.l1_ratios_ = np.asarray([None] if self._no_ratios else ratios)
        scores = np.reshape(found, (len(folds), len(ratios), len(Cs)))
        coef = np.array([[[np.atleast_2d(result.coef) for result in row] for row in path] for path in paths])
        n_iter = np.array([[[result.n_iter for result in row] for row in path] for path in paths], dtype=np.int32)
        self._choose(scores, coef, np.asarray(ratios))
        if self.keep_predictions:
            self.out_of_fold_ = self._out_of_fold(problem, folds, coef)
        self._show(scores, coef if self.fit_intercept else coef[..., :-1], n_iter, legacy)
        return self

    def score(self, X, y, sample_weight=None, **score_params):
        """Return the score of the predictions for X by the scorer that chose C.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
        **score_params : dict
            For the scorer, if metadata routing is enabled.

        Returns
        -------
        float
        """
        raise_for_params(score_params, self, "score")
        if sample_weight is not None:
            score_params["sample_weight"] = sample_weight
        if routing_enabled():
            score_params = process_routing(self, "score", **score_params).scorer.score
        return self._get_scorer()(self, X, y, **score_params)

    def get_metadata_routing(self):
        """Return what metadata goes where: to the splitter and the scorer."""
        scorer = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
            .add(scorer=self._get_scorer(), method_mapping=scorer)
        )

    # --- what fit is made of ------------------------------------------------------------------------------------

    def _get_scorer(self):
        return get_scorer("accuracy" if self.scoring in (None, "warn") else self.scoring)

    C_: Any  # a float, but an array among legacy attributes
    l1_ratio_: Any

    @property
    def _no_ratios(self):
        return self.l1_ratios is None or isinstance(self.l1_ratios, str)

    def _check_future(self):
        """Warn of defaults that scikit-learn will change; return whether attributes are to have legacy shapes."""
        if isinstance(self.scoring, str) and self.scoring == "warn":
            warnings.warn(
                "The default value of the parameter 'scoring' will change from None, i.e. accuracy, to 'neg_log_loss' "
                "in version 1.11 of scikit-learn, and here with it. Give scoring='neg_log_loss' or 'accuracy'.",
                FutureWarning,
                stacklevel=4,
            )
        if self.use_legacy_attributes == "warn":
            warnings.warn(
                "The default value of use_legacy_attributes will change from True to False in version 1.10 of "
                "scikit-learn, and here with it. Give use_legacy_attributes=False for attributes without redundancy.",
                FutureWarning,
                stacklevel=4,
            )
        if self.selection == "1se" and not self.refit:
            raise ValueError(
                "selection='1se' is a choice by the mean score of all folds, and refit=False one in each fold. Use "
                "refit=True."
            )
        return bool(self.use_legacy_attributes)

    def _grid(self):
        if isinstance(self.Cs, Integral):
            return np.logspace(-4, 4, int(self.Cs))
        Cs = check_strengths("Cs", self.Cs)
        if not Cs.all():
            raise ValueError(f"Cs must be positive: Cs[{int(np.argmin(Cs))}] is 0. The nearer to 0, the stronger.")
        return Cs

    def _routed(self, sample_weight, params):
        if routing_enabled():
            return process_routing(self, "fit", sample_weight=sample_weight, **params)
        score = params if sample_weight is None else params | {"sample_weight": sample_weight}
        return Bunch(splitter=Bunch(split={}), scorer=Bunch(score=score))

    def _folds(self, problem, sample_weight, routed):
        """Return for each fold how often each row counts, the rows held out, and the parameters of the scorer."""
        folds = []
        splitter = check_cv(self.cv, problem.y, classifier=True)
        for i, (train, test) in enumerate(splitter.split(problem.X, problem.y, **routed.splitter.split)):
            score_params = check_method_params(X=problem.X, params=routed.scorer.score, indices=test)
            counts, test = check_fold(i, train, test, problem.weight, score_params.get("sample_weight"), problem.y)
            folds.append((counts, test, score_params))
        if self.selection == "1se" and len(folds) < 2:
            raise ValueError("selection='1se' needs two folds or more, for the standard error of their scores.")
        return folds

    def _choose(self, scores, coefs, ratios):
        """Set what the scores, (n_folds, n_l1_ratios, n_cs), decide."""
        n_folds, _, n_cs = scores.shape
        comparable = np.where(np.isnan(scores), -np.inf, scores)
        self.mean_scores_ = scores.mean(axis=0)
        with np.errstate(invalid="ignore"):
            spread = scores.std(axis=0, ddof=1) if n_folds > 1 else np.full(scores.shape[1:], np.nan)
        self.score_errors_ = spread / np.sqrt(n_folds)
        # As scikit-learn: of equals the first C, and of its ratios the first.
        means = comparable.mean(axis=0)
        c, r = divmod(int(np.argmax(means.T)), len(means))
        self.best_index_ = r, c
        near = np.flatnonzero(means[r] >= means[r, c] - np.nan_to_num(self.score_errors_[r, c]))
        self.one_se_index_ = r, int(near[np.argmin(self.Cs_[near])])
        if self.refit:
            r, c = chosen = self.one_se_index_ if self.selection == "1se" else self.best_index_
            self._chosen = [chosen] * n_folds
            C, ratio = self.Cs_[c], ratios[r]
            coef = np.atleast_2d(self.results_[r][c].coef)
        else:
            best = comparable.swapaxes(1, 2).reshape(n_folds, -1).argmax(axis=1)
            self._chosen = [(int(b % len(ratios)), int(b // len(ratios))) for b in best]
            C = np.mean([self.Cs_[c] for _, c in self._chosen])
            ratio = np.mean([ratios[r] for r, _ in self._chosen])
            coef = np.mean([coefs[f, r, c] for f, (r, c) in enumerate(self._chosen)], axis=0)
        self.C_, self.l1_ratio_ = float(C), float(ratio)
        self.coef_, self.intercept_ = np.ascontiguousarray(coef[:, :-1]), coef[:, -1].copy()

    def _out_of_fold(self, problem, folds, coefs):
        sums, times = np.zeros((len(problem.y), problem.n_classes)), np.zeros(len(problem.y))
        for f, (_, test, _) in enumerate(folds):
            eta = held_out_scoring.linear_predictors(problem.X, test, coefs[f][self._chosen[f]], self.n_jobs)
            np.add.at(sums, test, held_out_scoring.probabilities(eta if problem.n_classes > 2 else eta[:, 0]))
            np.add.at(times, test, 1.0)
        with np.errstate(invalid="ignore"):
            return sums / times[:, None]

    def _show(self, scores, coefs, n_iter, legacy):
        """Set attributes in the shapes that scikit-learn gives them."""
        if not legacy:
            self.scores_, self.coefs_paths_, self.n_iter_ = scores, coefs, n_iter
            return
        scores, n_iter = scores.swapaxes(1, 2), n_iter.swapaxes(1, 2)[None]
        by_class = np.moveaxis(coefs.swapaxes(1, 2), 3, 0)
        if self._no_ratios:
            scores, n_iter, by_class = scores[..., 0], n_iter[..., 0], by_class[..., 0, :]
        labels = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        self.scores_ = {label: scores.copy() for label in labels}
        self.coefs_paths_ = dict(zip(labels, by_class, strict=True))
        self.n_iter_ = n_iter
        self.C_, self.l1_ratio_ = np.full(len(labels), self.C_), np.full(len(labels), self.l1_ratio_)
