"""Data of the suite, made once a process: (X, y) with y of class indices, labels drawn from the model itself."""

import functools

import numpy as np
import scipy.sparse

STORAGES = {
    "C": ("C", np.float64),
    "F": ("F", np.float64),
    "C float32": ("C", np.float32),
}


@functools.cache
def dense(n, p, storage="C", n_classes=2):
    """Independent standard normal columns; eta of a standard deviation of about 2."""
    order, dtype = STORAGES[storage]
    rng = np.random.Generator(np.random.SFC64(p))
    X = np.asarray(rng.standard_normal((n, p), dtype=dtype), order=order)
    return X, _labels(X, rng, n_classes)


@functools.cache
def correlated(n, p, condition=1e4):
    """Columns mixed so that the Gram matrix has about this condition number."""
    rng = np.random.default_rng(p)
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    X = rng.standard_normal((n, p)) * np.geomspace(1.0, condition**-0.5, p) @ rotation
    return X, _labels(X, rng, 2)


@functools.cache
def sparse(n, p, per_row):
    """CSR with `per_row` positive entries a row, low columns more frequent; int32 indices."""
    rng = np.random.default_rng(p)
    columns = (p * rng.random((n, per_row)) ** 2).astype(np.int32)
    columns.sort(axis=1)
    indptr = np.arange(0, n * per_row + 1, per_row, dtype=np.int32)
    X = scipy.sparse.csr_array((rng.random(n * per_row), columns.ravel(), indptr), shape=(n, p))
    X.sum_duplicates()
    return X, _labels(X, rng, 2)


def _labels(X, rng, n_classes):
    coef = rng.standard_normal((X.shape[1], n_classes)).astype(X.dtype)
    eta = X @ coef
    eta = 2.0 * (eta - eta.mean(axis=0)) / eta.std(axis=0)
    return np.argmax(eta / np.sqrt(n_classes) + rng.gumbel(size=eta.shape), axis=1)


FITS = {
    "1000 x 10": functools.partial(dense, 1000, 10),
    "200000 x 20": functools.partial(dense, 200_000, 20),
    "20000 x 100, condition 1e4": functools.partial(correlated, 20_000, 100),
    "20000 x 20, 5 classes": functools.partial(dense, 20_000, 20, "C", 5),
    "20000 x 5000, sparse": functools.partial(sparse, 20_000, 5000, 30),
}


def fresh(problem):
    """A copy of a fit's data, so that no fit profits from what another one left behind."""
    X, y = FITS[problem]()
    return X.copy() if scipy.sparse.issparse(X) else X.copy(order="K"), y.copy()


def fits(solver, problem):
    """Whether a solver is meant for a problem: a Hessian of 5000 columns takes longer than the rest of the suite."""
    return not (solver == "newton" and problem == "20000 x 5000, sparse")
