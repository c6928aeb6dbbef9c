"""Fits of sparse X with an L2 penalty at default settings: few passes, and the optimum whatever the storage."""

import numpy as np
import pytest
import scipy.sparse

import naive
from bench import data
from fastlogreg import LogisticRegression
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.solvers import choose

N_ROWS = 6000
DATA = {
    "one-hot, 123": lambda: data.one_hot(N_ROWS, (10, 20, 30, 63)),
    "one-hot, 300": lambda: data.one_hot(N_ROWS, (20, 60, 80, 140)),
    "text": lambda: data.sparse_text(4000, 2000, 0.02),
}
# Sweeps over all rows, that for the scales included: they may fall, not rise.
BUDGETS = {"one-hot, 123": 6.0, "one-hot, 300": 6.0, "text": 18.0}


@pytest.mark.parametrize("name", DATA)
def test_few_passes_to_the_optimum(name, monkeypatch):
    monkeypatch.setattr("fastlogreg.design.SAMPLE_WORK", 0)  # as if there were many more rows
    X, y = DATA[name]()
    model = LogisticRegression().fit(X, y)
    assert model.result_.converged
    assert model.result_.n_passes <= BUDGETS[name]
    coef = np.append(model.coef_[0], model.intercept_)
    terms = {"l2": 1 / len(y)}
    value, gradient, _ = LogisticObjective(as_design(X), y.astype(np.float64), **terms).value_gradient_hessian(coef)
    assert np.abs(gradient).max() < 1e-6
    assert value == pytest.approx(naive.objective(X.toarray(), y, coef, **terms), rel=1e-13)
    exact = LogisticRegression(tol=1e-12).fit(X, y).result_.objective
    assert value - exact <= 1e-9 * exact


@pytest.mark.parametrize("name", ["one-hot, 123", "one-hot, 300"])
def test_hessians_that_lbfgs_corrects_lead_to_the_end(name, monkeypatch):
    """One at each of the four iterates takes half as long again."""
    monkeypatch.setattr("fastlogreg.design.SAMPLE_WORK", 0)
    found = []
    whole = LogisticObjective.value_gradient_hessian
    monkeypatch.setattr(
        LogisticObjective, "value_gradient_hessian", lambda *arguments: found.append(0) or whole(*arguments)
    )
    X, y = DATA[name]()
    result = LogisticRegression().fit(X, y).result_
    assert result.n_iter <= 5
    assert len(found) <= 3


@pytest.mark.parametrize("name", ["one-hot, 123", "text"])
def test_every_sparse_storage_has_the_same_optimum(name):
    X, y = DATA[name]()
    expected = LogisticRegression(tol=1e-10).fit(X, y).coef_
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    backwards = X.copy()
    for first, last in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        backwards.indices[first:last] = X.indices[first:last][::-1]
        backwards.data[first:last] = X.data[first:last][::-1]
    backwards.has_sorted_indices = backwards.has_canonical_format = False
    for stored in wide, backwards, scipy.sparse.csc_array(X), scipy.sparse.coo_array(X):
        coef = LogisticRegression(tol=1e-10).fit(stored, y).coef_
        np.testing.assert_allclose(coef, expected, atol=1e-7)


def test_products_after_the_first_know_the_curvatures():
    X, y = DATA["one-hot, 123"]()
    objective = LogisticObjective(as_design(X), y.astype(np.float64), l2=0.1, weight=np.arange(N_ROWS) % 3 + 0.0)
    rng = np.random.default_rng(0)
    coef, first, second = rng.standard_normal((3, X.shape[1] + 1))
    times = objective.hessian_products(coef)
    np.testing.assert_array_equal(times(first), objective.hessian_product(coef, first))
    before = objective.n_passes
    np.testing.assert_allclose(times(second), objective.hessian_product(coef, second), rtol=1e-12, atol=1e-15)
    assert objective.n_passes == before + 2.0


def test_choice_for_sparse_rows():
    """A Hessian where few entries a row make it, and rows enough to outweigh its factor."""
    assert choose(50_000, 123, 2, density=7 / 123) == "newton"
    assert choose(50_000, 300, 2, density=7 / 300) == "newton"
    assert choose(2_000, 900, 2, density=7 / 900) == "newton-cg"
    assert choose(200_000, 900, 2, density=80 / 900) == "newton-cg"
    assert choose(200_000, 100_000, 2, density=8e-4) == "newton-cg"
