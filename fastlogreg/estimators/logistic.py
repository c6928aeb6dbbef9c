"""LogisticRegression: the optimum of the penalised likelihood."""

import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Hidden, Interval, StrOptions

from fastlogreg import solvers
from fastlogreg.design import UNSEEN
from fastlogreg.diagnostics import check_convergence, check_separation
from fastlogreg.estimators.base import LinearClassifier, SparseCoef
from fastlogreg.estimators.callbacks import hooked, registered
from fastlogreg.problem import bind
from fastlogreg.result import ConvergenceWarning, Status
from fastlogreg.validation import all_or_nothing, check_coef, check_penalty, check_solver, check_strength
from fastlogreg.verbose import reporter

# scikit-learn's names of solvers that are not ours: what stands in for each, and how its warning of too few iterations
# begins, because programs filter warnings by that. "lbfgs" and "newton-cg" are names of ours too.
ALIASES = {
    "liblinear": ("auto", "Liblinear failed to converge, increase the number of iterations"),
    "newton-cholesky": ("newton", "Newton solver did not converge after {n_iter} iterations"),
    "sag": ("auto", "The max_iter was reached which means the coef_ did not converge"),
    "saga": ("auto", "The max_iter was reached which means the coef_ did not converge"),
}
# Under these names tol bounds, in scikit-learn, the relative change of the coefficients in a pass, which leaves a
# violation of about a tenth of it: 1e-3 where tol is 1e-2, 1e-5 to 2e-4 where it is 1e-3.
CHANGE = {"sag": 0.1, "saga": 0.1}


class LogisticRegression(SparseCoef, LinearClassifier):
    """Logistic regression, binary and multinomial, with an L2, L1 or elastic-net penalty, bounds, or none of them.

    Minimises, over coefficients w and intercepts b, the objective of scikit-learn's class of the same name:
    Σ s_i L(eta_i, y_i) + [½ (1 - l1_ratio) ‖w‖² + l1_ratio ‖w‖₁] / C, with eta = X w + b + offset and s the sample
    weights; L is log(1 + exp(eta)) - y eta for two classes, logsumexp(eta) - eta_y for more. The intercept is not
    penalised. Coefficients that L1 leaves out are exactly zero.

    The parameters are those of scikit-learn 1.9 with the meaning they have there, except that the defaults of
    ``solver``, ``tol`` and ``max_iter`` find the optimum, and that ``n_jobs`` has an effect; ``alpha``,
    ``penalty_factors``, ``bounds``, ``standardize`` and ``group_classes`` are our own.

    Parameters
    ----------
    penalty : {"l2", "l1", "elasticnet", None}, optional
        Deprecated, as in scikit-learn: ``C`` and ``l1_ratio`` say it all. Warns when given.
    C : float, default=1.0
        Inverse strength of the penalty; ``np.inf`` for none.
    l1_ratio : float, default=0.0
        Share of L1 in the penalty, from 0 (pure L2) to 1 (pure L1). Without a penalty (``C=np.inf``) it has no effect.
        None, deprecated, is 0.
    dual : bool, default=False
        Accepted for ``solver="liblinear"``; the optimum does not depend on it.
    tol : float, default=1e-8
        The solver stops when the violation is at most tol: the largest derivative of the weighted mean objective by
        a coefficient of the centred columns, each divided by the scale of its column (the power of two nearest its
        standard deviation). With L1 or bounds the derivative is the distance of the smooth part's from what the
        penalty can balance. With more than two million entries in X the smooth solvers of "auto" stop where the Hessian
        tells that the objective is within tol of its least, relatively (a quarter of it, or less), or the rate of the
        last steps that this one will leave a tenth of that; they then take the last step without another pass to look
        at where it led, so that ``result_`` describes the iterate before.
    fit_intercept : bool, default=True
    intercept_scaling : float, default=1
        Accepted, without effect: no solver penalises the intercept.
    class_weight : dict or "balanced", optional
        Factor of the weight of each class; "balanced" is n / (K n_k). Rows of a class of weight 0 do not count.
    random_state : int, RandomState instance or None, default=None
        Accepted, without effect: no solver draws random numbers.
    solver : {"auto", "newton", "newton-cg", "hybrid", "row-space", "lbfgs", "prox-newton"}, default="auto"
        "newton": damped Newton with Cholesky solves, a handful of passes over X, O(n p²) work in each. "newton-cg":
        truncated Newton, for many features or classes. "hybrid": lbfgs or the second, until newton would be cheaper.
        "row-space": for dense X with far fewer rows than columns. "lbfgs": no Hessian at all. "prox-newton": for L1 and
        bounds, Newton steps on the columns that matter, solved by coordinate descent. "auto" chooses by penalty and
        shape.
        scikit-learn's other names are accepted, and under each of its names what it refuses there is refused:
        "newton-cholesky" is "newton"; "liblinear", "sag" and "saga" are "auto", the latter two with a tenth of tol, as
        theirs leaves a violation of about that.
    max_iter : int, default=1000
        Most iterations of the solver.
    verbose : int, default=0
        Print progress.
    warm_start : bool, default=False
        Start from the coefficients of the previous fit.
    n_jobs : int, optional
        Threads; None for all cores that the process is allowed.
    alpha : float, optional
        Strength on the scale of the weighted mean loss, glmnet's lambda: another spelling of C = 1 / (alpha Σ s_i), in
        place of it; 0 for no penalty.
    penalty_factors : array-like of shape (n_features,), optional
        Factor of the penalty of each column, 0 for one that is not penalised; not rescaled. Not all zero unless there
        is no penalty anyway.
    bounds : tuple (low, high), optional
        Bounds of the coefficients, low <= 0 <= high, each a number or of shape (n_features,); ``(0, np.inf)`` for
        coefficients that are not negative. For several classes they hold for each.
    standardize : bool, default=False
        Whether to penalise the coefficients that columns of unit variance would have. X is not rewritten, coefficients
        and bounds are those of X; a constant column counts by its root mean square.
    group_classes : bool, default=False
        Whether a column comes in for all of more than two classes or for none: ‖w‖₁ is then Σ_j (Σ_k w_kj²)^½, glmnet's
        type.multinomial="grouped". Not together with ``bounds``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        In the dtype of X, float64 under the name "liblinear". For more than two classes without a penalty they sum
        to zero over the classes.
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
    X is not copied when it is a C- or F-ordered array of float64 or float32, or CSR with sorted indices. Arithmetic is
    float64. The exception is a column with entries beyond about 1e±135, or so small that a penalty leaves it no effect,
    or with a mean of more than 100 000 standard deviations (dense X, and an intercept): the fit then works on a copy
    with such columns in other units or less their means. Coefficients, penalty and violation are those of X as given.
    """

    _parameter_constraints = {
        "penalty": [StrOptions({"l1", "l2", "elasticnet"}), None, Hidden(StrOptions({"deprecated"}))],
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "dual": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "intercept_scaling": [Interval(Real, 0, None, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "random_state": ["random_state"],
        "solver": [StrOptions({"auto", *solvers.SOLVERS, *ALIASES})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "n_jobs": [None, Integral],
        "alpha": [Interval(Real, 0, None, closed="left"), None],
        "penalty_factors": ["array-like", None],
        "bounds": [tuple, list, None],
        "standardize": ["boolean"],
        "group_classes": ["boolean"],
    }

    def __init__(
        self,
        penalty="deprecated",
        *,
        C=1.0,
        l1_ratio=0.0,
        dual=False,
        tol=1e-8,
        fit_intercept=True,
        intercept_scaling=1,
        class_weight=None,
        random_state=None,
        solver="auto",
        max_iter=1000,
        verbose=0,
        warm_start=False,
        n_jobs=None,
        alpha=None,
        penalty_factors=None,
        bounds=None,
        standardize=False,
        group_classes=False,
    ):
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.alpha = alpha
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
    def fit(self, X, y, sample_weight=None, offset=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of any type, at least two different ones.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows. A class whose rows all have weight zero is kept, with probabilities near
            zero: a penalty holds its coefficients, and its intercept falls until the violation is at most tol.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            Known part of the linear predictor.

        Returns
        -------
        self

        Warns
        -----
        SeparationWarning
            If without a penalty the classes are separated, in all rows or in some: no finite optimum exists.
        ConvergenceWarning
            If the solver stopped before it reached tol, unless tol asked for more than arithmetic can give.

        Raises
        ------
        ValueError
            If the data are empty, not finite or of wrong shape, weights are negative or, without a penalty, zero for a
            whole class, there is but one class, or a column is so small that its coefficient overflows.
        """
        self._validate_params()
        C, l1_ratio = check_penalty(self.penalty, self.C, self.l1_ratio, self.alpha)
        problem = bind(self, X, y, sample_weight, offset, C, sampled=True)
        classes = problem.classes
        check_solver(self.solver, C, l1_ratio, self.dual, len(classes), self.bounds is not None)
        alpha = check_strength(C, problem.total_weight, self.alpha, l1_ratio)
        tol = violation_tol(self.solver, self.tol)
        # As in scikit-learn, whose liblinear knows no other.
        dtype = np.float64 if self.solver == "liblinear" else problem.X.dtype
        if not self._is_small(problem, l1_ratio):
            problem.look(self)

        def optimum():
            penalised = problem.penalised(alpha, l1_ratio)
            penalised.objective.n_passes += problem.moments.n_passes
            name = solver_name(self.solver, problem, not penalised.penalty.trivial)
            if registered(self) and name == "row-space":  # its iterates are not coefficients of X
                name = "newton-cg"
            solver = penalised.solver(solvers.SMALL if problem.moments is UNSEEN else solvers.SOLVERS[name])
            if registered(self):
                metadata = None if sample_weight is None else {"sample_weight": sample_weight}
                data = {"X": problem.X, "y": problem.y, "metadata": metadata}
                shown = partial(_outer_public, penalised, dtype=dtype)
                solver = hooked(solver, self, data, classes, shown)
            with reporter(self.verbose, name, self.max_iter) as callback:
                start = penalised.inner(self._start(penalised.objective, classes))
                with np.errstate(over="ignore", invalid="ignore"):  # of steps that are tried and not taken
                    result = solver(penalised.objective, start, tol=tol, max_iter=self.max_iter, callback=callback)
            return penalised, name, result

        penalised, name, result = problem.settled(self, optimum)
        objective = penalised.objective
        if not objective.penalised and penalised.penalty.trivial:
            rows = problem.target, problem.weight, classes
            result = check_separation(self, result, objective, *rows, name)
        result = penalised.outer_result(result)
        _, begin = ALIASES.get(self.solver, (None, f"{name} failed to converge after {{n_iter}} iteration(s)"))
        begin = begin.format(n_iter=result.n_iter)
        check_convergence(result, name, begin, tol, self.max_iter, objective.n_coef)
        coef, intercept = _public(penalised, result.coef, dtype)
        check_coef(self, coef)
        self.classes_ = classes
        self.coef_, self.intercept_ = coef, intercept
        self.n_iter_ = np.array([result.n_iter], dtype=np.int32)
        self.result_ = result
        return self

    def set_callbacks(self, *callbacks):
        """Register callbacks, as scikit-learn tries them out from 1.9 on, for every iteration; return self."""
        from sklearn.callback import CallbackSupportMixin  # slow to import

        return CallbackSupportMixin.set_callbacks(self, *callbacks)

    def _is_small(self, problem, l1_ratio):
        """Whether the fit is for the solver that looks at the columns, too, and takes nothing but an L2 penalty."""
        ordinary = l1_ratio == 0.0 and self.bounds is None and not self.standardize and problem.offset is None
        quiet = self.max_iter > 0 and not self.verbose and not registered(self)
        n_samples, n_features = problem.X.shape
        small = solvers.is_small(n_samples, n_features, problem.n_classes)
        return small and ordinary and quiet and solver_name(self.solver, problem, False) == "newton"

    def _start(self, objective, classes):
        """Return zeros, or the last fit's coefficients where ``warm_start`` asks for them and they have the shape."""
        start = np.zeros(objective.shape)
        if self.warm_start and hasattr(self, "coef_"):
            previous = self._coef()
            if not np.array_equal(self.classes_, classes) or previous.size != start.size:
                raise ValueError(
                    f"warm_start=True, but the previous fit had coefficients of shape {self.coef_.shape} for classes "
                    f"{self.classes_} and this one needs {objective.shape} for classes {classes}; use warm_start=False."
                )
            if not np.isfinite(previous).all():
                raise ValueError(
                    "Floating-point under-/overflow: coef_ or intercept_, from which warm_start=True begins, hold NaN "
                    "or infinity; use warm_start=False."
                )
            start = previous.reshape(objective.shape)
            if not self.fit_intercept:
                start[..., -1] = 0.0
        return start


def solver_name(solver, problem, penalty):
    """Return the name of the solver of ours that stands behind a public one; penalty: whether there is L1 or bounds."""
    name, _ = ALIASES.get(solver, (solver, None))
    if name == "auto":
        n_samples, n_features = problem.X.shape
        name = solvers.choose(n_samples, n_features, problem.n_classes, problem.design.density, penalty)
    return name


def violation_tol(solver, tol):
    """Return the violation at which to stop for a public solver's tol."""
    return tol * CHANGE.get(solver, 1.0)


def warn_unfinished(results, tol, stacklevel):
    """Warn once if some of several fits used up their iterations."""
    unfinished = [result for result in results if result.status is Status.MAX_ITER]
    if unfinished:
        warnings.warn(
            f"{len(unfinished)} of {len(results)} fits failed to converge: {Status.MAX_ITER.value}. The largest "
            f"violation is {max(result.violation for result in unfinished):.2g}, tol is {tol:.2g}. Increase the number "
            "of iterations (max_iter) or loosen tol.",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def _outer_public(penalised, coef, dtype):
    return _public(penalised, penalised.outer(coef), dtype)


def _public(penalised, coef, dtype):
    """Return coef_ and intercept_ as users see them."""
    coef = penalised.centred(coef)
    coef = coef[None] if coef.ndim == 1 else coef
    if dtype != coef.dtype:
        with np.errstate(over="ignore", invalid="ignore"):  # check_coef names the column
            coef = coef.astype(dtype)
    return coef[:, :-1].copy(), coef[:, -1].copy()
