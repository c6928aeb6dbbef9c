"""Every input check and every error message."""

import functools
import warnings
from numbers import Real

import numpy as np
import scipy.sparse
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastlogreg.culprits import (
    NUMBERS,
    as_numbers,
    check_indices,
    name_cell,
    name_label,
    refuse_lazy,
    refuse_mask,
    refuse_times,
)

FLOATS = (np.float64, np.float32)


def all_or_nothing(fit):
    """Wrap a method that fits: whatever ends it early, an error or Ctrl-C, leaves the estimator as it was."""

    @functools.wraps(fit)
    def fit_or_restore(self, *args, **kwargs):
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return fit_or_restore


def check_X(estimator, X, *, reset=False):
    """Return X as float64 or float32, dense in any order or CSR; entries are not looked at, see check_finite."""
    if not reset and _plain(estimator, X) and X.shape[1] == getattr(estimator, "n_features_in_", None):
        return X
    return _validated(estimator, X, reset=reset)


def check_X_y(estimator, X, y, *, order=None, reset=True):
    """Return X as check_X does, and y as labels of one dimension, which `labels.encode` looks at."""
    plain_y = type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in NUMBERS and y.dtype.isnative
    if reset and order is None and plain_y and _plain(estimator, X) and X.shape[0] == len(y):
        estimator.n_features_in_ = X.shape[1]
    else:
        X, y = _validated(estimator, X, y, reset=reset, order=order)
    if scipy.sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()  # or the squares of entries in parts would not be those of their sums
        X.sum_duplicates()
    return X, y


def _plain(estimator, X):
    """Whether X needs no conversion and no message: scikit-learn's checks take 0.3 ms, longer than many a fit."""
    sparse = scipy.sparse.issparse(X) and X.format == "csr"
    plain = (sparse or type(X) is np.ndarray) and X.ndim == 2 and X.dtype in FLOATS and min(X.shape) > 0
    plain = plain and not hasattr(estimator, "feature_names_in_")
    if plain and sparse:
        check_indices(X, getattr(estimator, "n_jobs", None))
    return plain


def _validated(estimator, X, *y, **options):
    refuse_lazy(X)
    refuse_mask(X, "X")
    for labels in y:
        refuse_mask(labels, "y")
    refuse_times(X)
    check_indices(X, getattr(estimator, "n_jobs", None))
    try:
        with np.errstate(over="ignore"):  # of a wider type: infinite in float64, which check_finite names
            return validate_data(
                estimator, X, *y, accept_sparse="csr", dtype=FLOATS, ensure_all_finite=False, **options
            )
    # The last two at labels like pandas.NA: numpy before 1.25 warns that it cannot compare them and returns a bool.
    except (TypeError, ValueError, OverflowError, AttributeError, DeprecationWarning) as error:
        shape: tuple = getattr(X, "shape", ())
        if len(shape) == 2 and shape[0] and not shape[1]:  # of a frame scikit-learn looks for the dtypes of its columns
            name = type(estimator).__name__
            raise ValueError(
                f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required by {name}."
            ) from error
        name_cell(X, error)
        for labels in y:
            name_label(labels)
        raise


def check_finite(estimator, X, squares, *, squared=True, name="X"):
    """Raise a ValueError that names the first NaN or infinite entry of X, or a column whose squares overflow.

    Parameters
    ----------
    estimator : estimator
        Its name and ``feature_names_in_`` appear in the message.
    X : ndarray or CSR matrix or array
    squares : ndarray of shape (n_features,)
        Σ x² of every column, from a pass over X: only where one is not finite are entries looked at.
    squared : bool
        Whether the squares are needed.
    name : str
        How the user calls X.
    """
    names = getattr(estimator, "feature_names_in_", None)
    suspects = np.flatnonzero(~np.isfinite(squares))
    for column in suspects:
        values = X[:, [column]].toarray().ravel() if scipy.sparse.issparse(X) else X[:, column]
        bad = np.flatnonzero(~np.isfinite(values))
        called = f" ({names[column]!r})" if names is not None else ""
        if bad.size:
            value = values[bad[0]]
            kind = "NaN" if np.isnan(value) else f"infinity or a value too large for {X.dtype!r}"
            raise ValueError(
                f"Input {name} contains {kind}.\n{type(estimator).__name__} does not accept missing or infinite "
                f"values: the first is in row {bad[0]}, column {column}{called}. Impute or drop such rows, for example "
                "with sklearn.impute.SimpleImputer in a pipeline."
            )
    if squared and suspects.size:
        raise ValueError(
            f"Column {column}{called} of {name} holds values as large as {np.abs(values).max():.2g}, whose squares "
            "overflow. Divide it by a power of ten."
        )


def check_coef(estimator, coef):
    """Raise a ValueError that names the first column whose coefficient, of (n_classes, n_features), overflows."""
    finite = np.isfinite(coef)
    if not finite.all():
        column = int(np.argmin(finite.all(axis=0)))
        names = getattr(estimator, "feature_names_in_", None)
        name = f" ({names[column]!r})" if names is not None else ""
        raise ValueError(
            f"The coefficient of column {column}{name} of X is too large for {coef.dtype!r}, as the entries of the "
            "column are tiny. Multiply the column by a power of ten."
        )


def check_weight_values(sample_weight, X):
    """Return sample_weight as float64: one finite value for each row, none negative, not all zero."""
    sample_weight = as_numbers(sample_weight, "sample_weight")
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weight.min() < 0.0:
        row = int(np.argmax(weight < 0.0))
        raise ValueError(
            f"Negative values in data passed to `sample_weight`: row {row} has {weight[row]}. Weights count how "
            "often a row is there; drop the row or give it weight 0."
        )
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all are zero.")
    return _check_total(weight)


def _check_total(weight):
    """Return the weights; raise a ValueError where their sum, or the number of rows over it, overflows."""
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not 1e-290 < total < 1e300:
        raise ValueError(
            f"The sum of sample_weight, with class_weight, is {total:.2g}: too "
            f"{'large' if total > 1.0 else 'small'} to calculate with. Multiply all weights by a power of ten, and "
            "divide C by it."
        )
    return weight


def check_weight(sample_weight, class_weight, X, classes, y, target, penalised=False):
    """Return the weight of every row as float64, or None where all weights are one.

    A class whose rows have no weight has an optimum only where a penalty holds its coefficients; its intercept then
    falls until tol is reached. scikit-learn fits it too, and its BaggingClassifier counts on that.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), a number or None
    class_weight : dict, "balanced" or None
    X : ndarray or CSR
    classes, y, target : ndarray
        Classes, labels, and targets as `labels.encode` returns them.
    penalised : bool, default=False
        Whether there is a penalty.
    """
    if sample_weight is None and class_weight is None:
        return None
    index = target.astype(np.intp, copy=False)
    weight = None if sample_weight is None else check_weight_values(sample_weight, X)
    totals = np.bincount(index, weights=weight, minlength=len(classes))
    if not (penalised or totals.all()):
        empty = classes.tolist()[int(np.argmin(totals))]
        raise ValueError(
            f"All rows of class {empty!r} have zero sample_weight and do not count. Drop them, give at least one of "
            "them a positive weight, or use a penalty."
        )
    if class_weight is None:
        return weight
    if class_weight == "balanced":
        present = totals > 0.0
        factors = np.divide(totals.sum() / present.sum(), totals, out=np.zeros(len(classes)), where=present)
    else:
        try:
            factors = compute_class_weight(class_weight, classes=classes, y=y)
        except (TypeError, ValueError) as error:
            raise ValueError(f"class_weight={class_weight!r} must have a number for each class: {error}") from error
        right = np.isfinite(factors) & (factors >= 0.0)
        if not right.all():
            wrong = int(np.argmin(right))
            raise ValueError(
                f"class_weight must be finite and not negative: that of class {classes.tolist()[wrong]!r} is "
                f"{factors[wrong]}. Give 0 to a class that is not to count."
            )
        if not factors.any():
            raise ValueError("class_weight must contain at least one non-zero number: all are zero.")
    with np.errstate(over="ignore"):
        return _check_total(factors[index] if weight is None else weight * factors[index])


def check_offset(offset, n_samples, n_classes):
    """Return the offset as float64, of shape (n_samples,) or for several classes (n_samples, n_classes), or None."""
    if offset is None:
        return None
    offset = as_numbers(offset, "offset")
    if n_classes == 2 and offset.shape == (n_samples, 1):
        offset = offset[:, 0]
    shape = (n_samples,) if n_classes == 2 else (n_samples, n_classes)
    if offset.shape != shape:
        raise ValueError(f"offset has shape {offset.shape}, expected {shape}: one value for each linear predictor")
    return np.ascontiguousarray(offset)


def moderate(weight):
    """Return the weights times a power of two that makes their mean about one, where it is extreme.

    The mean loss does not change by a bit, and products of weights and squares neither overflow nor vanish.
    """
    exponent = 0 if weight is None else int(np.frexp(weight.mean())[1])
    return weight if abs(exponent) < 100 else np.ldexp(weight, -exponent)


def check_strength(C, total, alpha=None, l1_ratio=0.0):
    """Return alpha = 1 / (C · total), the strength of the penalty; a ValueError where that of its L2 part is huge."""
    strength = alpha if alpha and np.isfinite(C) else 1.0 / float(C) / float(total)
    # Beyond, what rounding leaves of a coefficient of zero counts as a violation.
    if not strength * (1.0 - l1_ratio) < 1e200:
        small = f"C={C} times the sum of the weights, {total:.2g}, is too small"
        cause = small if alpha is None else "alpha is too large"
        raise ValueError(f"{cause}: the penalty is {strength:.2g}. Use a larger C, a smaller alpha or larger weights.")
    return strength


def check_penalty(penalty, C, l1_ratio, alpha):
    """Return C and l1_ratio as scikit-learn's deprecated ``penalty`` and ``l1_ratio=None`` change them, and warn.

    Without a penalty l1_ratio is 0. An alpha of 0 is C=np.inf; any other leaves C as it is.
    """
    if alpha is not None and C != 1.0:
        raise ValueError(
            f"C={C!r} and alpha={alpha!r} are two names of one strength, alpha = 1 / (C Σ w). Give one of them."
        )
    if alpha == 0.0:
        C = np.inf
    if penalty == "deprecated":
        if l1_ratio is None:
            _warn("'l1_ratio=None' was deprecated in scikit-learn 1.8: use l1_ratio=0.", FutureWarning)
        return C, 0.0 if l1_ratio is None or np.isinf(C) else l1_ratio
    _warn(
        "'penalty' was deprecated in scikit-learn 1.8: leave it out, and use l1_ratio=0 for 'l2', l1_ratio=1 for 'l1', "
        "l1_ratio between 0 and 1 for 'elasticnet', C=np.inf for None.",
        FutureWarning,
    )
    if penalty == "elasticnet":
        if l1_ratio is None:
            raise ValueError("l1_ratio must be specified when penalty is elasticnet.")
        return C, 0.0 if np.isinf(C) else l1_ratio
    if l1_ratio is not None and 0.0 < l1_ratio < 1.0:
        _warn(f"l1_ratio parameter is only used when penalty is 'elasticnet'. Got (penalty={penalty})")
    if penalty is None:
        if C != 1.0 or alpha is not None:
            _warn("Setting penalty=None will ignore the C and l1_ratio parameters")
        return np.inf, 0.0
    share = {"l1": 1.0, "l2": 0.0}[penalty]
    if l1_ratio != share:
        _warn(f"Inconsistent values: penalty={penalty} with l1_ratio={l1_ratio}; the penalty counts.")
    return C, 0.0 if np.isinf(C) else share


def check_penalty_factors(factors, n_features, C):
    """Return the factors of the penalty as float64 of shape (n_features,), or None where all are one."""
    if factors is None:
        return None
    factors = np.asarray(factors, dtype=np.float64)
    if factors.shape != (n_features,):
        raise ValueError(
            f"penalty_factors has shape {factors.shape}, expected ({n_features},): one for each column of X"
        )
    right = np.isfinite(factors) & (factors >= 0.0)
    if not right.all():
        column = int(np.argmin(right))
        raise ValueError(
            f"penalty_factors must be finite and not negative: that of column {column} is {factors[column]}. Give 0 to "
            "a column that is not to be penalised."
        )
    if not factors.any() and not np.isinf(C):
        raise ValueError(
            "penalty_factors are all zero, so that nothing is penalised whatever C or alpha. Use C=np.inf for a fit "
            "without a penalty."
        )
    return factors


def check_bounds(bounds, n_features, grouped=False):
    """Return the lower and upper bounds as float64, both of shape (n_features,); infinite where there are none.

    grouped: whether several classes are penalised together.
    """
    if bounds is None:
        return np.full(n_features, -np.inf), np.full(n_features, np.inf)
    if grouped:
        raise ValueError(
            "bounds and group_classes=True do not go together with more than two classes: there is no solver for both. "
            "Leave one of them out."
        )
    try:
        low, high = (np.asarray(bound, dtype=np.float64) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"bounds must be a pair (low, high), each a number or one number for each column of X, got {bounds!r}"
        ) from error
    for name, bound in (("low", low), ("high", high)):
        if bound.shape not in ((), (n_features,)):
            raise ValueError(f"bounds: {name} has shape {bound.shape}, expected a number or shape ({n_features},)")
    low, high = np.broadcast_to(low, n_features), np.broadcast_to(high, n_features)
    right = (low <= 0.0) & (high >= 0.0)
    if not right.all():
        column = int(np.argmin(right))
        pair = f"[{low[column]}, {high[column]}]"
        if not low[column] <= high[column]:
            raise ValueError(f"bounds of column {column} cross or are NaN: {pair}. Give low <= 0 <= high.")
        raise ValueError(
            f"bounds of column {column} exclude 0: {pair}. A penalty shrinks towards 0, so give low <= 0 <= high, or "
            "move the known part of the effect to the offset."
        )
    return low, high


def check_ratios(penalty, l1_ratios):
    """Return l1_ratios as scikit-learn's deprecated ``penalty`` and ``l1_ratios=None`` change them, and warn.

    Parameters
    ----------
    penalty : {"deprecated", "l1", "l2", "elasticnet"}
    l1_ratios : array-like, None or "warn"
    """
    if isinstance(l1_ratios, str):
        _warn("The default value for l1_ratios will change from None to (0.0,) in version 1.10 of scikit-learn, and "
              "here with it. Give l1_ratios=(0,).", FutureWarning)  # fmt: skip
        l1_ratios = None
    elif l1_ratios is None and penalty == "deprecated":
        _warn("'l1_ratios=None' was deprecated in scikit-learn 1.8: use l1_ratios=(0,).", FutureWarning)
    if penalty != "deprecated":
        _warn(
            "'penalty' was deprecated in scikit-learn 1.8: leave it out, and use l1_ratios=(0,) for 'l2', "
            "l1_ratios=(1,) for 'l1', and others for 'elasticnet'.",
            FutureWarning,
        )
        if penalty != "elasticnet":
            if l1_ratios is not None:
                _warn(f"l1_ratios parameter is only used when penalty is 'elasticnet'. Got (penalty={penalty})")
            return [1.0 if penalty == "l1" else 0.0]
    elif l1_ratios is None:
        return [0.0]
    ratios = [] if l1_ratios is None else list(l1_ratios)
    if not ratios or not all(isinstance(ratio, Real) and 0.0 <= float(ratio) <= 1.0 for ratio in ratios):
        raise ValueError(f"l1_ratios must be an array-like of numbers between 0 and 1; got (l1_ratios={l1_ratios!r})")
    return [float(ratio) for ratio in ratios]


def check_fold(index, train, test, weight, score_weight, y):
    """Return how often each row counts in a fold, (n_samples,), and the rows it holds out, as indices.

    Parameters
    ----------
    index : int
        Number of the fold, for messages.
    train, test : array-like of int or bool
    weight : ndarray of shape (n_samples,) or None
    score_weight : array-like or None
        Weights of the rows held out, for the scorer.
    y : ndarray of shape (n_samples,)
    """
    train, test = (np.flatnonzero(rows) if rows.dtype == bool else rows for rows in map(np.asarray, (train, test)))
    for rows, what in ((train, "training"), (test, "test")):
        if not len(rows):
            raise ValueError(f"Fold {index} of cv has no {what} rows.")
    counts = np.bincount(np.arange(len(y))[train], minlength=len(y))
    if weight is not None and not (weight * counts).any():
        raise ValueError(f"All training rows of fold {index} of cv have zero weight and do not count.")
    if score_weight is not None and not np.any(score_weight):
        raise ValueError(f"All test rows of fold {index} of cv have zero sample_weight: there is no score.")
    return counts, test


def check_strengths(name, values):
    """Return strengths of a penalty, or their inverses, as float64: at least one, none negative or NaN."""
    strengths = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if strengths.ndim != 1 or strengths.size == 0:
        raise ValueError(f"{name} must be a sequence of at least one number, got an array of shape {strengths.shape}")
    if not (strengths >= 0.0).all():
        wrong = int(np.argmin(strengths >= 0.0))
        raise ValueError(f"{name} must not be negative or NaN: {name}[{wrong}] is {strengths[wrong]}")
    return strengths


def _warn(message, category=UserWarning):
    warnings.warn(message, category, stacklevel=5)  # the line that called fit, past all_or_nothing


def check_solver(solver, C, l1_ratio, dual, n_classes, bounded):
    """Raise a ValueError for what a solver does not handle, and for what scikit-learn refuses under its names."""
    if solver in ("newton", "lbfgs", "newton-cg", "newton-cholesky", "sag") and l1_ratio > 0.0:
        raise ValueError(
            f"Solver {solver} supports only 'l2' or None penalties, got l1_ratio={l1_ratio!r}. Use solver='auto'."
        )
    if solver in ("newton", "lbfgs", "newton-cg", "newton-cholesky") and bounded:
        raise ValueError(f"Solver {solver} does not support bounds. Use solver='auto'.")
    if dual and solver != "liblinear":
        raise ValueError(f"Solver {solver} supports only dual=False, got dual={dual}.")
    if solver == "liblinear":
        if 0.0 < l1_ratio < 1.0:
            raise ValueError(f"Only 'saga' solver supports elasticnet penalty, got solver={solver}.")
        if np.isinf(C):
            raise ValueError(
                "C=np.inf as well as penalty=None is not supported for the liblinear solver. Use solver='auto'."
            )
        if n_classes > 2:
            raise ValueError(
                "Only binary classification is supported. The 'liblinear' solver does not support multiclass "
                f"classification, and the data have {n_classes} classes. Use solver='auto', or wrap the estimator in a "
                "OneVsRestClassifier."
            )
