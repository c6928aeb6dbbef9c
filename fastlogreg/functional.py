"""The compiled functions for people who bring their own optimiser.

Losses are weighted means over rows, as a function of coef alone: coef (n_features + 1,) for two classes with y in
[0, 1] (soft labels are welcome), coef (n_classes, n_features + 1) with y a class index for more; intercept last.
"""

import numpy as np
from sklearn.utils.validation import check_array

from fastlogreg.design import MAX_CHUNKS, SERIAL_WORK, Moments, as_design, split, workspaces
from fastlogreg.kernels import predict
from fastlogreg.objective import LogisticObjective
from fastlogreg.threads import allowed_threads
from fastlogreg.validation import FLOATS, check_offset, check_weight_values


def sigmoid(eta, *, n_jobs=None):
    """Return 1 / (1 + exp(-eta)), to 1e-15 relative wherever the result is a normal number.

    Parameters
    ----------
    eta : array-like of any shape
        float32 stays float32, all else becomes float64.
    n_jobs : int, optional
        Threads; None for all allowed cores.

    Returns
    -------
    ndarray of the shape of eta
    """
    return _elementwise(predict.sigmoid, eta, n_jobs)


def log1pexp(eta, *, n_jobs=None):
    """Return log(1 + exp(eta)), to 1e-15 relative wherever the result is a normal number.

    Parameters
    ----------
    eta : array-like of any shape
        float32 stays float32, all else becomes float64.
    n_jobs : int, optional
        Threads; None for all allowed cores.

    Returns
    -------
    ndarray of the shape of eta
    """
    return _elementwise(predict.log1pexp, eta, n_jobs)


def logsumexp(eta, *, n_jobs=None):
    """Return log Σ_k exp(eta_k) of every row, to 2 ulp of the largest term.

    Parameters
    ----------
    eta : array-like of shape (n_samples, n_classes)
    n_jobs : int, optional
        Threads; None for all allowed cores.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    eta = _floats(eta, 2)
    out = np.empty(eta.shape[0], dtype=eta.dtype)
    bounds, threads = _chunks(eta, n_jobs)
    predict.logsumexp(eta, bounds, out, threads=threads)
    return out


def softmax(eta, *, n_jobs=None):
    """Return exp(eta_k) / Σ_l exp(eta_l) of every row, to 1e-15 relative wherever the result is a normal number.

    Parameters
    ----------
    eta : array-like of shape (n_samples, n_classes)
    n_jobs : int, optional
        Threads; None for all allowed cores.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
    """
    eta = _floats(eta, 2)
    out = np.empty(eta.shape, dtype=eta.dtype)
    bounds, threads = _chunks(eta, n_jobs)
    room = workspaces(len(bounds), (predict.softmax_workspace(eta.shape[1]),))
    predict.softmax(eta, *room, bounds, out, threads=threads)
    return out


def loss(X, y, coef, *, sample_weight=None, offset=None, l2=0.0, n_jobs=None):
    """Return F(coef) = Σ w_i L(eta_i, y_i) / Σ w_i + ½ l2 Σ coef_j², eta = X coef + intercept + offset; one pass.

    L = log(1 + exp(eta)) - y eta for two classes, logsumexp(eta) - eta_y for more; intercepts are not penalised.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        In [0, 1] where coef has one dimension, class index where it has two.
    coef : array-like of shape (n_features + 1,) or (n_classes, n_features + 1)
        Intercept last.
    sample_weight : array-like of shape (n_samples,), optional
    offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
    l2 : float, default=0.0
        On the scale of the mean loss: 1 / (C Σ w) for scikit-learn's C.
    n_jobs : int, optional
        Threads; None for all allowed cores.

    Returns
    -------
    float
    """
    return loss_gradient(X, y, coef, sample_weight=sample_weight, offset=offset, l2=l2, n_jobs=n_jobs)[0]


def loss_gradient(X, y, coef, *, sample_weight=None, offset=None, l2=0.0, n_jobs=None):
    """Return F(coef) and its gradient Σ w_i slope_i (x_i, 1) / Σ w_i + l2 (coef, 0); one pass over X.

    Parameters
    ----------
    X, y, coef, sample_weight, offset, l2, n_jobs
        As for `loss`.

    Returns
    -------
    float, ndarray of the shape of coef
    """
    objective, coef = _objective(X, y, coef, sample_weight, offset, l2, n_jobs)
    return objective.value_gradient(coef)


def hessian(X, y, coef, *, sample_weight=None, offset=None, l2=0.0, n_jobs=None):
    """Return the Hessian of F at coef; one pass over X, O(n p²) work, for K classes O(n K² p²).

    Parameters
    ----------
    X, y, coef, sample_weight, offset, l2, n_jobs
        As for `loss`.

    Returns
    -------
    ndarray of shape (coef.size, coef.size)
        Of the coefficients in the order of ``coef.ravel()``.
    """
    objective, coef = _objective(X, y, coef, sample_weight, offset, l2, n_jobs)
    return objective.value_gradient_hessian(coef)[2]


def hessian_product(X, y, coef, vector, *, sample_weight=None, offset=None, l2=0.0, n_jobs=None):
    """Return the Hessian of F at coef times a vector, without forming the Hessian; one pass over X.

    Parameters
    ----------
    X, y, coef, sample_weight, offset, l2, n_jobs
        As for `loss`.
    vector : array-like of the shape of coef

    Returns
    -------
    ndarray of the shape of coef
    """
    objective, coef = _objective(X, y, coef, sample_weight, offset, l2, n_jobs)
    return objective.hessian_product(coef, _coef(vector, "vector", coef.shape))


def _floats(eta, ndim=None):
    eta = np.asarray(eta)
    eta = np.ascontiguousarray(eta, dtype=eta.dtype if eta.dtype in FLOATS else np.float64)
    if ndim is not None and (eta.ndim != ndim or eta.shape[1] == 0):
        raise ValueError(f"eta must have shape (n_samples, n_classes) with at least one class, got {eta.shape}")
    return eta


def _chunks(values, n_jobs):
    """Return the rows of every chunk, and the threads they are worth."""
    rows = values.shape[0]
    n_chunks = max(1, min(MAX_CHUNKS, 8 * values.size // SERIAL_WORK, rows))
    return split(rows, n_chunks), allowed_threads(n_jobs) if n_chunks > 1 else 1


def _elementwise(kernel, eta, n_jobs):
    shape = np.shape(eta)
    eta = _floats(eta).ravel()
    out = np.empty_like(eta)
    bounds, threads = _chunks(eta, n_jobs)
    kernel(eta, bounds, out, threads=threads)
    return out.reshape(shape)


def _coef(coef, name, shape=None):
    coef = np.ascontiguousarray(coef, dtype=np.float64)
    if shape is not None and coef.shape != shape:
        raise ValueError(f"{name} has shape {coef.shape}, expected {shape}")
    if not np.isfinite(coef).all():
        raise ValueError(f"{name} contains NaN or infinity")
    return coef


def _objective(X, y, coef, sample_weight, offset, l2, n_jobs):
    X = check_array(X, accept_sparse="csr", dtype=FLOATS, ensure_all_finite=False)
    coef = np.asarray(coef)
    n_samples, n_features = X.shape
    n_classes = 2 if coef.ndim == 1 else len(coef)
    expected = (n_features + 1,) if coef.ndim == 1 else (n_classes, n_features + 1)
    coef = _coef(coef, "coef", expected)
    if coef.ndim == 2 and n_classes < 3:
        raise ValueError(f"coef has {n_classes} rows; two classes take coef of shape (n_features + 1,)")
    y = _targets(y, n_samples, None if coef.ndim == 1 else n_classes)
    if not (l2 >= 0.0 and np.isfinite(l2)):
        raise ValueError(f"l2 must be finite and not negative, got {l2!r}")
    weight = None if sample_weight is None else check_weight_values(sample_weight, X)
    objective = LogisticObjective(
        as_design(X, n_jobs),
        y,
        weight=weight,
        offset=check_offset(offset, n_samples, n_classes),
        l2=float(l2),
        n_classes=n_classes,
        moments=Moments(np.zeros((2, n_features)), 0.0),  # they are for solvers only
    )
    return objective, coef


def _targets(y, n_samples, n_classes):
    """Return y as float64 in [0, 1], or as class index where there are n_classes."""
    y = np.asarray(y)
    if y.shape != (n_samples,):
        raise ValueError(f"y has shape {y.shape}, expected ({n_samples},): one value for each row of X")
    bad = ~((y >= 0) & (y <= (1 if n_classes is None else n_classes - 1)))
    if n_classes is not None and not bad.any():
        bad = y != np.floor(y)
    if bad.any():
        row = int(np.argmax(bad))
        kind = "in [0, 1]" if n_classes is None else f"a class index 0 … {n_classes - 1}"
        raise ValueError(f"y must be {kind}: row {row} has {y[row]!r}")
    return np.ascontiguousarray(y, dtype=np.float64 if n_classes is None else np.int64)
