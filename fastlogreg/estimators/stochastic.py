"""SGDLogisticRegression: logistic regression learnt by gradient steps."""

import warnings
from numbers import Integral, Real

import numpy as np
import scipy.sparse
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import column_or_1d

from fastlogreg import rates, stochastic
from fastlogreg.culprits import refuse_mask
from fastlogreg.design import as_design
from fastlogreg.estimators.base import LinearClassifier
from fastlogreg.labels import encode
from fastlogreg.result import ConvergenceWarning, DivergenceWarning
from fastlogreg.stochastic import NEVER, Rows, Settings, Stop, Trainer
from fastlogreg.validation import (
    all_or_nothing,
    check_finite,
    check_weight,
    check_weight_values,
    check_X,
    check_X_y,
)

# Rows an update where batch_size is None; None is all of them.
BATCH_SIZES = {"gd": None, "mini-batch": 32, "sgd": 1, "adagrad": 1}
# An automatic learning rate that must suit a column with a root mean square above this is too small for the intercept
# and for columns of common scale.
BAD_SCALE = 50.0


class SGDLogisticRegression(LinearClassifier):
    """Logistic regression by gradient steps: gradient descent, mini-batches, SGD, AdaGrad; softmax for K > 2.

    Minimises F(w, b) = Σ s_i L(eta_i, y_i) / Σ s_i + (alpha / 2) ‖w‖², with eta = X w + b and s the sample weights; L
    is log(1 + exp(eta)) - y eta for two classes, logsumexp(eta) - eta_y for more. The intercept is not penalised.
    Update t = 1, 2, … uses a batch B of rows, with slope_i = ∂L/∂eta_i = p_i - y_i and weights s of mean one:

        g = (1/|B|) Σ_{i in B} s_i slope_i · (x_i, 1)  +  alpha · (w, 0)
        "gd", "mini-batch", "sgd":   (w, b) <- (w, b) - rate_t · g
        "adagrad":                   G <- G + g²,   (w, b) <- (w, b) - rate_t · g / (√G + 1e-8), element-wise

    It is meant for learning about these methods, for streams (`partial_fit`) and for very large data. To get the
    optimum of moderate data, `LogisticRegression` is faster and has nothing to tune.

    Parameters
    ----------
    optimizer : {"sgd", "mini-batch", "adagrad", "gd"}, default="sgd"
        "gd": all rows in one update (an epoch). "mini-batch": batches of rows in random order. "sgd": one row an
        update. "adagrad": a rate of its own for every coefficient, which shrinks as its gradients add up; good for
        rare features.
    batch_size : int, optional
        Rows an update: 32 by default for "mini-batch", 1 for "adagrad". "sgd" (1) and "gd" (all) have no choice. The
        last batch of an epoch may be smaller.
    learning_rate : float or "auto", default="auto"
        The rate of the schedule. "auto" takes it from the data, so that features need not be scaled for it to be
        safe: 1 / L for "gd", where L = ¼ λ_max(Σ x̃ x̃ᵀ / n) + alpha, x̃ = (x, 1), is the largest curvature (½ instead
        of ¼ for more than two classes); with the mean ‖x̃‖² in place of λ_max for "sgd", and a mean of both for
        "mini-batch"; (mean ‖x̃‖²) ** -½ for "adagrad". Scaled features still learn much faster.
    schedule : {"auto", "constant", "inverse-scaling", "optimal"}, default="auto"
        "constant": rate_t = learning_rate. "inverse-scaling": rate_t = learning_rate / t ** power_t. "optimal":
        rate_t = 1 / (alpha (t0 + t - 1)) with t0 = alpha ** -¾, as in scikit-learn's SGDClassifier; needs alpha > 0
        and ignores learning_rate. "auto": "constant", but rate_t = learning_rate / √(1 + (t - 1) / 100) for "sgd" and
        "mini-batch" where learning_rate is "auto" too.
    power_t : float, default=0.5
        Exponent of "inverse-scaling".
    alpha : float, default=1e-4
        Strength of the L2 penalty; 0 for none.
    max_iter : int, default=1000
        Most epochs.
    tol : float, default=1e-4
        Stop when the norm of one epoch's change of (intercept, coef) is below tol; ``coef_`` then holds the weights
        before that change and ``n_iter_`` counts it. 0 for never.
    early_stopping : bool or "auto", default="auto"
        Stop when the watched loss, on the validation data where given, else on the training data, has not fallen by
        more than tol below its lowest value in n_iter_no_change epochs in a row; ``coef_`` then holds the weights with
        the lowest. "auto": where tol > 0, except for "gd".
    n_iter_no_change : int, default=5
        Patience of early stopping.
    init : {"zero", "random"}, default="zero"
        Where to start: zero, or normal random numbers of standard deviation 0.01.
    shuffle : bool, default=True
        Visit rows in a new random order in each epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the order and of init. The same seed gives the same bits, for any number of threads.
    average : bool or int, default=False
        ``coef_`` is the mean of the iterates after every update (Polyak and Juditsky), from the first update on, or
        from update number `average` on. Not for "gd".
    fit_intercept : bool, default=True
    class_weight : dict or "balanced", optional
        Factor of the weight of each class; "balanced" is n / (K n_k).
    warm_start : bool, default=False
        Start from the coefficients of the previous fit.
    quadratic_cost : bool, default=False
        Record the quadratic cost of the raw score as well: the mean of Σ_k (eta_k - [y = k])², (eta - y)² for two
        classes. It is watched, not minimised.
    n_jobs : int, optional
        Threads; None for all cores that the process is allowed. Full passes and large batches use several, single rows
        and small batches of large sparse data two, the second to fetch rows. No bit depends on it.
    verbose : int, default=0
        Print progress.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        In the dtype of X. Always finite.
    intercept_ : ndarray of shape (1,) or (n_classes,)
    n_iter_ : int
        Epochs of the last fit; of partial_fit, the calls so far.
    t_ : int
        Updates so far.
    learning_rate_ : float
        Rate of the first update.
    history_ : dict of str to ndarray of shape (n_iter_,)
        After every epoch: "train_loss", and where they apply "val_loss", "train_quadratic" and "val_quadratic". Means
        over rows, the training ones weighted, without the penalty. Left alone by partial_fit.
    result_ : Outcome
        Of the last fit: status, with a message, passes over the data, history.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X has string column names.

    Warns
    -----
    DivergenceWarning
        If the training loss stays above twice its starting value: the learning rate is too large. The message names
        the feature and a rate that works; ``coef_`` holds the best weights met.
    ConvergenceWarning
        If tol > 0 and max_iter epochs pass before any rule says stop; if an automatic learning rate had to suit a
        feature of root mean square above 50, so that little can be learnt.

    Notes
    -----
    Cost: an epoch of "gd" is one pass over X, histories included. Of the others it is two, one for the updates and one
    for the training loss. One row an update is sequential by definition and runs on one core. In CSR an update costs
    O(entries of its rows), penalty and averaging included; only AdaGrad with alpha > 0 costs O(n_features).

    Storage: float64 and float32, dense or CSR. The updates of single rows and batches read dense X row by row, so X in
    F order is copied to C order; "gd" reads any order and copies X to F order where that takes at most 32 MB.

    References
    ----------
    .. [1] H. Robbins, S. Monro (1951). A stochastic approximation method. Ann. Math. Stat. 22.
    .. [2] B. T. Polyak, A. B. Juditsky (1992). Acceleration of stochastic approximation by averaging. SIAM J. Control
       Optim. 30.
    .. [3] J. Duchi, E. Hazan, Y. Singer (2011). Adaptive subgradient methods. JMLR 12.
    .. [4] L. Bottou (2012). Stochastic gradient descent tricks. In: Neural networks: tricks of the trade.
    .. [5] W. Xu (2011). Towards optimal one pass large scale learning with averaged SGD. arXiv:1107.2490.

    Examples
    --------
    Article-style gradient descent, with the costs on held-out data::

        model = SGDLogisticRegression(optimizer="gd", learning_rate=0.1, alpha=0.0, tol=1e-3, max_iter=10_000)
        model.fit(X_train, y_train, X_val=X_test, y_val=y_test)
        model.history_["val_loss"]
    """

    _parameter_constraints = {
        "optimizer": [StrOptions(set(stochastic.OPTIMIZERS))],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "schedule": [StrOptions({"auto", *rates.SCHEDULES})],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"zero", "random"})],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "average": ["boolean", Interval(Integral, 1, None, closed="left")],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        "quadratic_cost": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        optimizer="sgd",
        *,
        batch_size=None,
        learning_rate="auto",
        schedule="auto",
        power_t=0.5,
        alpha=1e-4,
        max_iter=1000,
        tol=1e-4,
        early_stopping="auto",
        n_iter_no_change=5,
        init="zero",
        shuffle=True,
        random_state=None,
        average=False,
        fit_intercept=True,
        class_weight=None,
        warm_start=False,
        quadratic_cost=False,
        n_jobs=None,
        verbose=0,
    ):
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.power_t = power_t
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.init = init
        self.shuffle = shuffle
        self.random_state = random_state
        self.average = average
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.quadratic_cost = quadratic_cost
        self.n_jobs = n_jobs
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of any type, at least two different ones.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows, rescaled to mean one.
        X_val, y_val : array-like of shape (n_val, n_features) and (n_val,), optional
            Held-out data: their costs are recorded, and watched by early stopping.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data are empty, not finite or of wrong shape, weights are negative, or there is but one class.
        """
        self._validate_params()
        self._check_words()
        X, y = check_X_y(self, X, y)
        X = stochastic.suited(X, self.optimizer)
        design = as_design(X, self.n_jobs)
        squares = design.column_moments()[1]
        check_finite(self, X, squares)
        classes, target = encode(y, self.n_jobs)
        weight = check_weight(sample_weight, self.class_weight, X, classes, y, target)
        if weight is not None:
            weight = weight * (np.count_nonzero(weight) / weight.sum())
        rows = Rows(design, target, weight, len(classes))
        validation = self._held_out(X, classes, X_val, y_val)
        settings = self._settings(rows, squares)
        random = check_random_state(self.random_state)
        start = self._start(rows, classes, random)
        trainer = Trainer(start, self.optimizer == "adagrad", _seed(random))
        with stochastic.reporter(self.verbose, self.optimizer, self.max_iter) as report:
            if self.optimizer == "gd":
                outcome = stochastic.descend(rows, validation, settings, start, report)
                trainer.resume_from(outcome.coef)
                trainer.updates = outcome.n_iter
            else:
                outcome = stochastic.epochs(rows, validation, settings, trainer, report)
        self._warn(outcome, rows, settings, squares)
        self.classes_ = classes
        self._keep(outcome.coef, X.dtype)
        self.n_iter_ = outcome.n_iter
        self.t_ = trainer.updates
        self.learning_rate_ = outcome.learning_rate
        self.history_ = outcome.history
        self.result_ = outcome
        self._trainer = trainer
        return self

    @all_or_nothing
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Do one epoch over a part of the data, going on from the weights, updates and random order so far.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), optional
            All classes there will be; needed in the first call.
        sample_weight : array-like of shape (n_samples,), optional
            Used as they are, as no call knows the mean of all.

        Returns
        -------
        self

        Notes
        -----
        An "auto" learning rate is taken from the rows of the first call. One pass over X.
        """
        self._validate_params()
        self._check_words()
        first = not hasattr(self, "_trainer")
        X, y = check_X_y(self, X, y, reset=first)
        X = stochastic.suited(X, "partial")
        design = as_design(X, self.n_jobs)
        squares = design.column_moments()[1]
        check_finite(self, X, squares)
        classes = self._known_classes(classes)
        target = _encode_known(y, classes)
        rows = Rows(design, target, self._partial_weight(sample_weight, X, y, classes, target), len(classes))
        random = check_random_state(self.random_state)
        if first:
            settings = self._settings(rows, squares)
            trainer = Trainer(self._start(rows, classes, random), self.optimizer == "adagrad", _seed(random))
            learning_rate, n_iter = settings.first_rate, 0
        else:
            settings = self._settings(rows, squares, self.learning_rate_)
            trainer, learning_rate, n_iter = self._trainer.copy(), self.learning_rate_, self.n_iter_
        order = stochastic.visited(rows)
        if len(order):
            trainer.epoch(rows, settings, order)
        weights = trainer.weights()
        if not np.isfinite(weights).all():
            raise ValueError(
                f"partial_fit would make weights that are not finite, at learning_rate={settings.first_rate:.3g}; the "
                "model is left as it was. Scale the features or use a smaller learning rate."
            )
        self.classes_ = classes
        self._keep(weights, X.dtype)
        self.n_iter_ = n_iter + 1
        self.t_ = trainer.updates
        self.learning_rate_ = learning_rate
        self._trainer = trainer
        return self

    def _predicted_dtype(self, X):
        # These models can be very sure, and a probability rounded to 1 in float32 contradicts its own logarithm.
        return np.float64

    # --- from scikit-learn's words to ours ----------------------------------------------------------------------

    def _check_words(self):
        """Raise where parameters contradict each other."""
        if self.optimizer in ("gd", "sgd") and self.batch_size not in (None, BATCH_SIZES[self.optimizer]):
            rows = "all rows" if self.optimizer == "gd" else "one row"
            raise ValueError(
                f"optimizer={self.optimizer!r} takes {rows} an update, batch_size={self.batch_size!r} does not fit; "
                "use optimizer='mini-batch' or leave batch_size None."
            )
        if self.schedule == "optimal" and self.alpha == 0.0:
            raise ValueError("schedule='optimal' is 1 / (alpha (t0 + t - 1)) and needs alpha > 0; use 'constant'.")
        if self.average and self.optimizer == "gd":
            raise ValueError("average is for updates that scatter; optimizer='gd' has none. Use average=False.")

    def _settings(self, rows, squares, rate=None):
        """Return the settings of a run; `rate` is the automatic rate where it is known already."""
        automatic = self.learning_rate == "auto"
        batch_size = self.batch_size or BATCH_SIZES[self.optimizer] or rows.n_rows
        name = self.schedule
        if name == "auto" and not (automatic and self.optimizer in ("sgd", "mini-batch")):
            name = "constant"
        if not automatic:
            rate = self.learning_rate
        elif rate is None and name != "optimal":
            rate = rates.automatic_rate(self.optimizer, rows, squares, self.alpha, batch_size)
        rate, shift, power = rates.schedule(name, rate, self.alpha, self.power_t)
        watching = self.early_stopping
        if watching == "auto":
            watching = self.tol > 0.0 and self.optimizer != "gd"
        return Settings(
            optimizer=self.optimizer,
            batch_size=batch_size,
            rate=rate,
            shift=shift,
            power=power,
            alpha=float(self.alpha),
            max_iter=self.max_iter,
            tol=float(self.tol),
            patience=self.n_iter_no_change if watching else None,
            average_from=int(self.average) if self.average else NEVER,
            fit_intercept=self.fit_intercept,
            shuffle=self.shuffle,
            quadratic=self.quadratic_cost,
        )

    def _start(self, rows, classes, random):
        """Return the weights to start from, (n_outputs, n_features + 1)."""
        shape = (rows.n_outputs, rows.n_features + 1)
        start = np.zeros(shape)
        if self.warm_start and hasattr(self, "coef_"):
            if not np.array_equal(self.classes_, classes) or self.coef_.shape != (shape[0], shape[1] - 1):
                raise ValueError(
                    f"warm_start=True, but the previous fit had coefficients of shape {self.coef_.shape} for classes "
                    f"{self.classes_}, and this one has {shape[1] - 1} features and classes {classes}; use "
                    "warm_start=False."
                )
            start[:] = np.column_stack([self.coef_, self.intercept_])
        elif self.init == "random":
            start[:] = 0.01 * random.standard_normal(shape)
        if not self.fit_intercept:
            start[:, -1] = 0.0
        return start

    def _held_out(self, X, classes, X_val, y_val):
        """Return the validation rows, stored as X is, or None."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together: give both or none")
        if X_val is None:
            return None
        try:
            X_val = check_X(self, X_val)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_val: {error}") from error
        refuse_mask(y_val, "y_val")
        y_val = column_or_1d(y_val)
        if len(y_val) != X_val.shape[0]:
            raise ValueError(f"X_val has {X_val.shape[0]} rows and y_val {len(y_val)} labels")
        if scipy.sparse.issparse(X):
            X_val = scipy.sparse.csr_array(X_val, dtype=X.dtype)
        else:
            X_val = X_val.toarray() if scipy.sparse.issparse(X_val) else X_val
            X_val = np.asarray(X_val, dtype=X.dtype, order="C" if X.flags.c_contiguous else "F")
        design = as_design(X_val, self.n_jobs)
        check_finite(self, X_val, design.column_moments()[1], name="X_val")
        return Rows(design, _encode_known(y_val, classes), None, len(classes))

    def _known_classes(self, classes):
        """Return the classes of partial_fit: given in the first call, the same in every other."""
        if hasattr(self, "_trainer"):
            if classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
                raise ValueError(f"classes={classes!r} is not the same as in the first call: {self.classes_!r}")
            return self.classes_
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        try:
            classes = np.unique(classes)
        except TypeError as error:
            raise ValueError(f"classes={classes!r} must be labels of one type: {error}") from error
        if len(classes) < 2:
            raise ValueError(f"There must be at least 2 classes, classes has only one class: {classes[0]!r}")
        return classes

    def _partial_weight(self, sample_weight, X, y, classes, target):
        """Return the weight of every row, or None where all are one."""
        weight = None if sample_weight is None else check_weight_values(sample_weight, X)
        if self.class_weight is None:
            return weight
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not possible in partial_fit, which does not see all labels: give a dict, "
                "for example from sklearn.utils.class_weight.compute_class_weight('balanced', ...)."
            )
        missing = np.setdiff1d(classes, y)
        known = {label: factor for label, factor in self.class_weight.items() if label not in missing}
        factors = np.ones(len(classes))
        present = np.isin(classes, y)
        factors[present] = compute_class_weight(known, classes=classes[present], y=y)
        factors = factors[target.astype(np.intp)]
        return factors if weight is None else weight * factors

    def _keep(self, weights, dtype):
        """Set coef_ and intercept_."""
        weights = weights.astype(dtype)
        self.coef_ = np.ascontiguousarray(weights[:, :-1])
        self.intercept_ = weights[:, -1].copy()

    def _warn(self, outcome, rows, settings, squares):
        """Warn once where the run did not end well."""
        if outcome.status.diverged:
            names = getattr(self, "feature_names_in_", None)
            warnings.warn(
                rates.divergence(outcome, rows, settings, squares, names), DivergenceWarning, stacklevel=4
            )
        elif self.learning_rate == "auto" and squares.max(initial=0.0) > BAD_SCALE**2 * rows.n_rows:
            j = int(np.argmax(squares))
            feature = repr(str(self.feature_names_in_[j])) if hasattr(self, "feature_names_in_") else str(j)
            warnings.warn(
                f"{self.optimizer} has hardly learnt: feature {feature} has root mean square "
                f"{np.sqrt(squares[j] / rows.n_rows):.3g}, which allows only a learning rate of "
                f"{outcome.learning_rate:.2g}. Scale the features (sklearn.preprocessing.StandardScaler), or use "
                "LogisticRegression, to which scales do not matter.",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif outcome.status is Stop.MAX_ITER and self.tol > 0.0:
            losses = outcome.history["train_loss"]
            fall = f"from {losses[-2]:.6g} to {losses[-1]:.6g}" if len(losses) > 1 else f"to {losses[-1]:.6g}"
            warnings.warn(
                f"{self.optimizer} stopped after max_iter={outcome.n_iter} epochs, the last of which took the training "
                f"loss {fall}; tol is {self.tol:.2g}. Raise max_iter or tol, scale the features, or set tol=0 where a "
                "fixed number of epochs is meant; LogisticRegression finds the optimum without a learning rate.",
                ConvergenceWarning,
                stacklevel=4,
            )


def _seed(random):
    """Return a state for the generator of the order."""
    return int(random.randint(1, 2**62, dtype=np.int64))


def _encode_known(y, classes):
    """Return the targets of labels that must all be among the classes, as `encode` does."""
    try:
        index = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    except TypeError as error:
        raise ValueError(f"y contains labels that are not among the classes {classes!r}: {error}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # numpy < 1.25: text and numbers differ as a whole
        unknown = np.broadcast_to(classes[index] != y, len(y))
    if unknown.any():
        raise ValueError(f"y contains labels that are not among the classes {classes!r}: {np.unique(y[unknown])[:5]!r}")
    return index.astype(np.float64 if len(classes) == 2 else np.int64)
