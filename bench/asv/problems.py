"""Data of the suite, made once a process: (X, y) with y of class indices, labels drawn from the model itself."""

import functools
import tempfile

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
def correlated(n, p, condition=1e4, n_classes=2):
    """Columns mixed so that the Gram matrix has about this condition number."""
    rng = np.random.default_rng(p)
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    X = rng.standard_normal((n, p)) * np.geomspace(1.0, condition**-0.5, p) @ rotation
    return X, _labels(X, rng, n_classes)


@functools.cache
def raw_units(n, p):
    """Columns over four decades, some spreads from zero."""
    rng = np.random.default_rng(p)
    X = (rng.standard_normal((n, p)) + rng.uniform(-5.0, 5.0, p)) * np.geomspace(1e-2, 1e2, p)
    return X, _labels(X, rng, 2)


@functools.cache
def rare(n, p):
    """Rows sorted by class, one in a thousand positive."""
    rng = np.random.default_rng(p)
    X = rng.standard_normal((n, p))
    score = X[:, :5].sum(axis=1) + rng.logistic(size=n)
    order = np.argsort(score)
    return X[order], (np.arange(n) >= n - n // 1000).astype(np.int64)


@functools.cache
def mapped(n, p):
    """A read-only memory map of float32 whose file is gone when it is (Linux)."""
    X, y = dense(n, p, "C float32")
    with tempfile.NamedTemporaryFile() as file:
        np.memmap(file, dtype=X.dtype, mode="w+", shape=X.shape)[:] = X
        return np.memmap(file.name, dtype=X.dtype, mode="r", shape=X.shape), y


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


@functools.cache
def one_hot(n, levels, dense=False):
    """One column a level of each variable, high levels rare; CSR or dense."""
    rng = np.random.default_rng(sum(levels))
    first = np.cumsum((0, *levels[:-1]))
    columns = np.stack([a + (k * rng.random(n) ** 3).astype(np.int32) for a, k in zip(first, levels, strict=True)], 1)
    indptr = np.arange(0, columns.size + 1, len(levels), dtype=np.int32)
    X = scipy.sparse.csr_array((np.ones(columns.size), columns.ravel(), indptr), shape=(n, sum(levels)))
    return X.toarray() if dense else X, _labels(X, rng, 2)


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

# The workloads of `python -m bench.shapes`, a tenth as large or less.
SHAPES = {
    "200000 x 10": functools.partial(dense, 200_000, 10),
    "200000 x 10, float32": functools.partial(dense, 200_000, 10, "C float32"),
    "200000 x 10, F order": functools.partial(dense, 200_000, 10, "F"),
    "40000 x 100": functools.partial(dense, 40_000, 100),
    "40000 x 100, condition 1e6": functools.partial(correlated, 40_000, 100, 1e6),
    "50000 x 50, raw units, unpenalised": functools.partial(raw_units, 50_000, 50),
    "500000 x 50, float32": functools.partial(dense, 500_000, 50, "C float32"),
    "500000 x 50, float32, memory map": functools.partial(mapped, 500_000, 50),
    "20000 x 204, one-hot with rare levels, dense": functools.partial(one_hot, 20_000, (6, 20, 60, 118), True),
    "16000 x 500": functools.partial(dense, 16_000, 500),
    "6000 x 600, condition 1e4": functools.partial(correlated, 6000, 600),
    "200 x 2000": functools.partial(dense, 200, 2000),
    "1000 x 20": functools.partial(dense, 1000, 20),
    "150 x 4, 3 classes": functools.partial(dense, 150, 4, "C", 3),
    "100000 x 30, sorted by class, 0.1 % positive": functools.partial(rare, 100_000, 30),
    "20000 x 50, 10 classes, condition 1e4": functools.partial(correlated, 20_000, 50, 1e4, 10),
    "4000 x 100, 50 classes": functools.partial(dense, 4000, 100, "C", 50),
    "20000 x 10000, sparse": functools.partial(sparse, 20_000, 10_000, 80),
    "10000 x 123, one-hot": functools.partial(one_hot, 10_000, (10, 20, 30, 63)),
    "10000 x 300, one-hot": functools.partial(one_hot, 10_000, (20, 60, 80, 140)),
}


def fresh(problem):
    """A copy of a fit's data, so that no fit profits from what another one left behind; a memory map is itself."""
    X, y = (FITS | SHAPES)[problem]()
    if isinstance(X, np.memmap):
        return X, y.copy()
    return X.copy() if scipy.sparse.issparse(X) else X.copy(order="K"), y.copy()


def fits(solver, problem):
    """Whether a solver is meant for a problem: a Hessian of 5000 columns takes longer than the rest of the suite."""
    return not (solver == "newton" and problem == "20000 x 5000, sparse")
