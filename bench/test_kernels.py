"""Kernels by shape: the naive loop, vectorised NumPy, the compiled kernel, scikit-learn. `make bench` runs these."""

import numpy as np
import pytest
import scipy.sparse
from scipy.special import expit
from sklearn._loss import HalfBinomialLoss
from sklearn.linear_model._linear_loss import LinearModelLoss

from bench import baselines, data
from fastlogreg.design import as_design
from fastlogreg.kernels.predict import loss_slope
from fastlogreg.objective import LogisticObjective

SKLEARN = LinearModelLoss(base_loss=HalfBinomialLoss(), fit_intercept=True)


def _times(benchmark, group, name, call, rounds=9):
    benchmark.group, benchmark.name = group, name
    return benchmark.pedantic(call, rounds=rounds, warmup_rounds=1)


def _cases(table):
    return [pytest.param(shape, name, id=f"{name}-{shape}") for shape, names in table for name in names]


def _problem(n, p, kind="C"):
    X, y = data.sparse_text(n, p, density=30 / p) if kind == "CSR" else data.iid(n, p, order=kind)
    return X, y.astype(np.float64), np.linspace(-0.3, 0.3, p + 1)


def _scipy_loss_gradient(X, y, coef):
    """As the dense NumPy version, without a dense column of ones."""
    eta = X @ coef[:-1] + coef[-1]
    slope = expit(eta) - y
    return np.mean(np.logaddexp(0.0, eta) - y * eta), np.append(X.T @ slope, slope.sum()) / len(y)


def _loss_gradient(library, X, y, coef):
    """A call that returns the mean loss and its gradient."""
    first = np.append(coef[-1], coef[:-1])
    if library == "numba":
        objective = LogisticObjective(as_design(X), y)
        return lambda: objective.value_gradient(coef)
    if library == "scikit-learn":
        return lambda: SKLEARN.loss_gradient(coef, X, y)
    if scipy.sparse.issparse(X):
        return lambda: _scipy_loss_gradient(X, y, coef)
    if library == "vectorised":
        rows = baselines.ones_column(X)
        loss, gradient = baselines.vectorised_loss, baselines.vectorised_gradient
    else:
        rows = baselines.leading_ones(X)
        loss, gradient = baselines.naive_loss, baselines.naive_gradient

    def call():
        value, ordered = loss(first, rows, y), gradient(first, rows, y)
        return value, np.append(ordered[1:], ordered[0])

    return call


COMPILED = ("vectorised", "numba", "scikit-learn")
SHAPES = [
    ((1000, 2, "C"), ("loop", *COMPILED)),
    ((20_000, 20, "C"), ("loop", *COMPILED)),
    ((2_000_000, 5, "C"), COMPILED),
    ((1_000_000, 10, "F"), COMPILED),
    ((200_000, 100, "C"), COMPILED),
    ((200_000, 100, "F"), COMPILED),
    ((100_000, 20_000, "CSR"), COMPILED),
]


@pytest.mark.parametrize(("shape", "library"), _cases(SHAPES))
def test_loss_gradient(benchmark, shape, library):
    n, p, kind = shape
    X, y, coef = _problem(n, p, kind)
    rounds = 3 if library == "loop" else 9
    call = _loss_gradient(library, X, y, coef)
    value, gradient = _times(benchmark, f"loss + gradient, {n} x {p} {kind}", library, call, rounds)
    expected, expected_gradient = SKLEARN.loss_gradient(coef, X, y)
    assert np.isclose(value, expected, rtol=1e-9)
    assert np.allclose(gradient, expected_gradient, atol=1e-9)


HESSIAN_SHAPES = [((1000, 10), ("loop", *COMPILED)), ((200_000, 10), COMPILED), ((40_000, 100), COMPILED)]


@pytest.mark.parametrize(("shape", "library"), _cases(HESSIAN_SHAPES))
def test_hessian(benchmark, shape, library):
    """The naive loop and NumPy find the Hessian alone, the others loss or gradient too."""
    n, p = shape
    X, y, coef = _problem(n, p)
    rows, first = baselines.ones_column(X), np.append(coef[-1], coef[:-1])

    def loop():
        hessian = np.zeros((p + 1, p + 1))
        for x in rows:
            probability = baselines.naive_probability(first, x)
            hessian += probability * (1.0 - probability) * np.outer(x, x)
        return hessian / n

    def vectorised():
        probability = baselines.sigmoid(rows @ first)
        return (rows * (probability * (1.0 - probability))[:, None]).T @ rows / n

    objective = LogisticObjective(as_design(X), y)
    calls = {
        "loop": loop,
        "vectorised": vectorised,
        "numba": lambda: objective.value_gradient_hessian(coef)[2],
        "scikit-learn": lambda: SKLEARN.gradient_hessian(coef, X, y)[1],
    }
    hessian = _times(benchmark, f"Hessian, {n} x {p}", library, calls[library], 3 if library == "loop" else 9)
    assert np.isclose(np.trace(hessian), np.trace(vectorised()), rtol=1e-9)


LINK_SHAPES = [(10_000, ("loop", "vectorised", "numba")), (1_000_000, ("vectorised", "numba"))]


@pytest.mark.parametrize(("n", "library"), _cases(LINK_SHAPES))
def test_loss_slope(benchmark, n, library):
    """All on one thread; the vectorised version is scipy's expit and NumPy's logaddexp, results in place."""
    eta = 2.0 * np.random.default_rng(0).standard_normal(n)
    y, loss, slope, bounds = (eta > 0.5).astype(np.float64), np.ones(n), np.ones(n), np.array([[0, n]])

    def loop():
        for i in range(n):
            p = baselines.naive_probability(1.0, eta[i])
            loss[i] = -(y[i] * np.log(p + baselines.TINY) + (1.0 - y[i]) * np.log(1.0 - p + baselines.TINY))
            slope[i] = p - y[i]

    def vectorised():
        np.subtract(np.logaddexp(0.0, eta, out=loss), y * eta, out=loss)
        np.subtract(expit(eta, out=slope), y, out=slope)

    calls = {"loop": loop, "vectorised": vectorised, "numba": lambda: loss_slope(eta, y, bounds, loss, slope)}
    _times(benchmark, f"loss + slope, {n} values, one thread", library, calls[library], 15)
    assert np.allclose(slope, expit(eta) - y, atol=1e-12)
