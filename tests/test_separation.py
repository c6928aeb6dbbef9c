"""Data without a finite optimum: that it is found, always and only there, what is said of it, and how the fit ends."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import linprog

from fastlogreg import LogisticRegression, SeparationWarning, solvers
from fastlogreg.result import Status

each_solver = pytest.mark.parametrize("solver", solvers.SOLVERS)


# --- an oracle --------------------------------------------------------------------------------------------------


def conditions(X, y, weight=None, fit_intercept=True):
    """Rows of the cone of directions of recession: x_i (d_{y_i} - d_k) >= 0 for the classes k; class 0 has d = 0."""
    if weight is not None:
        X, y = X[weight > 0], y[weight > 0]
    X = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    n_classes, p = y.max() + 1, X.shape[1]
    rows = []
    for x, own in zip(X, y, strict=True):
        for k in set(range(n_classes)) - {own}:
            row = np.zeros((n_classes, p))
            row[own] += x
            row[k] -= x
            rows.append(row[1:].ravel())
    return np.array(rows)


def separated(A):
    """Whether A d >= 0, A d != 0 has a solution: max Σ t, 0 <= t <= 1, t <= A d (Konis, 2007)."""
    m, n = A.shape
    found = linprog(
        np.append(np.zeros(n), -np.ones(m)),
        A_ub=np.hstack([-A, np.eye(m)]),
        b_ub=np.zeros(m),
        bounds=[(None, None)] * n + [(0, 1)] * m,
        method="highs",
    )
    assert found.status == 0
    assert min(-found.fun, 1 - min(1, -found.fun)) < 1e-6  # it is zero or at least one: no doubt
    return -found.fun > 0.5


def in_support(A, columns):
    """Whether one of the columns of A is other than zero in some d with A d >= 0, Σ A d = 1."""
    for column in columns:
        for sign in (-1.0, 1.0):
            objective = np.zeros(A.shape[1])
            objective[column] = sign
            total = A.sum(axis=0)
            found = linprog(
                objective, -A, np.zeros(len(A)), total[None], [1.0], bounds=[(-1e3, 1e3)] * A.shape[1], method="highs"
            )
            if found.status == 0 and found.fun < -1e-7:
                return True
    return False


def small_problem(seed):
    """A random problem of up to 40 rows; quasi-complete separation is common among them."""
    rng = np.random.default_rng([7, seed])
    n, p = int(rng.integers(4, 41)), int(rng.integers(1, 6))
    n_classes = 2 if seed % 5 < 3 else int(rng.integers(3, 5))
    kind = rng.integers(6)
    if kind == 0:
        X = rng.normal(size=(n, p))
    elif kind == 1:
        X = rng.integers(-1, 2, size=(n, p)).astype(float)
    elif kind == 2:  # dummies
        X = (rng.random((n, p)) < rng.choice([0.1, 0.3])).astype(float)
    elif kind == 3:  # a category and a number
        X = np.column_stack([np.eye(p)[rng.integers(0, p, n)], rng.normal(size=n)])
    elif kind == 4:  # columns that depend on each other
        X = rng.integers(0, 3, size=(n, p)).astype(float)
        X = np.column_stack([X, X.sum(axis=1), X[:, 0], np.ones(n)])
    else:  # a few rows, many times
        X = rng.normal(size=(4, p))[rng.integers(0, 4, n)]
    eta = rng.choice([0.3, 1.0, 3.0]) * X @ rng.normal(size=(X.shape[1], n_classes))
    y = (eta + rng.gumbel(size=(n, n_classes)) * rng.choice([0.0, 0.2, 1.0, 3.0])).argmax(axis=1)
    y[: n_classes] = np.arange(n_classes)  # all are there
    scale = rng.choice([1.0, 1.0, 1e6, 1e-6], size=X.shape[1])
    X = X * scale
    weight = None
    if rng.random() < 0.4:
        weight = rng.choice([0.0, 0.5, 1.0, 20.0], size=n)
        weight[:n_classes] = 1.0
    fit_intercept = bool(rng.random() < 0.7)
    offset = rng.normal(size=n if n_classes == 2 else (n, n_classes)) if rng.random() < 0.3 else None
    options = {"fit_intercept": fit_intercept, "solver": list(solvers.SOLVERS)[seed % 3]}
    if rng.random() < 0.25:
        options["tol"] = 1e-4
    return X, y, weight, offset, options, scale


def fit(X, y, weight=None, offset=None, **options):
    """Fit without a penalty; return the model and the messages of SeparationWarning. Other warnings are errors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", SeparationWarning)
        model = LogisticRegression(C=np.inf, **options).fit(X, y, sample_weight=weight, offset=offset)
    return model, [str(warning.message) for warning in caught]


def assert_recession(model, A, n_features, fit_intercept, scale):
    """The direction is a proof."""
    direction = np.atleast_2d(model.result_.recession)
    if len(direction) > 1:
        direction = direction - direction[0]
        direction = direction[1:]
    assert fit_intercept or not direction[:, -1].any()
    direction[:, :-1] *= scale
    direction = direction[:, : n_features + fit_intercept].ravel()
    margins = A @ direction / np.abs(A).max(axis=1).clip(1e-300) / np.abs(direction).max()
    assert margins.min() > -1e-7 and margins.max() > 1e-6
    return direction


def assert_agrees(seed):
    X, y, weight, offset, options, scale = small_problem(seed)
    fit_intercept = options["fit_intercept"]
    A = conditions(X / scale, y, weight, fit_intercept)
    expected = separated(A)
    storage = [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array][seed // 3 % 3]
    model, messages = fit(storage(X), y, weight, offset, **options)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    assert (model.result_.status is Status.SEPARATED) == (len(messages) == 1) == expected, (seed, expected)
    assert (model.result_.recession is not None) == expected
    if expected:
        assert_recession(model, A, X.shape[1], fit_intercept, scale)
        named = [int(j) for j in messages[0].partition("column(s) ")[2].partition(".")[0].split(",") if j]
        size = X.shape[1] + fit_intercept
        for j in named:
            assert in_support(A, range(j, A.shape[1], size)), (seed, j)
    return expected


def test_agrees_with_the_oracle():
    found = [assert_agrees(seed) for seed in range(400)]
    assert 100 < sum(found) < 300
