"""Columns far from zero: what is subtracted for a fit, and when nothing is."""

import warnings

import numpy as np
import pytest
import scipy.sparse

from fastlogreg import LogisticRegression
from fastlogreg.design import ArrayDesign, as_design
from fastlogreg.solvers import SOLVERS
from fastlogreg.units import column_origins
from problems import BINARY, SEVERAL

# Multiples of 1/8 stay exact when 1e6 is added, in float32 up to 2²⁰.
NEAR = np.round(8 * BINARY.X) / 8
FAR = NEAR + np.array([1e6, 0.0, -(2.0**20), 0.0, 3e7])


def origins(X, weight=None):
    design = as_design(X)
    moments = design.column_moments(weight)
    return column_origins(design, moments, weight)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_only_far_columns_are_moved(dtype):
    X = np.column_stack([FAR, np.full(200, 1e6), np.zeros(200), NEAR[:, 0] + 1e3]).astype(dtype)
    found = origins(X)
    assert np.flatnonzero(found).tolist() == [0, 2, 4]
    np.testing.assert_allclose(found[[0, 2, 4]], X[:, [0, 2, 4]].mean(axis=0, dtype=float), rtol=1e-6)
    assert (found.astype(dtype) == found).all()


def test_nothing_is_moved_where_nothing_is_far(monkeypatch):
    monkeypatch.setattr(ArrayDesign, "times", None)  # a copy would fail
    for X in (NEAR, NEAR + 1e4, np.column_stack([NEAR, np.full(200, 1e9)])):
        assert origins(X) is None
        LogisticRegression().fit(X, BINARY.y)
    LogisticRegression(fit_intercept=False).fit(FAR, BINARY.y)
    LogisticRegression(max_iter=50).fit(scipy.sparse.csr_array(FAR[:, :1]), BINARY.y)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("problem", [BINARY, SEVERAL], ids=["two classes", "three"])
def test_the_origin_does_not_matter(problem, C, solver, order):
    """Exactly the same columns, but for their origin: the same fit, iteration by iteration."""
    near = np.round(8 * problem.X) / 8
    shift = np.arange(1, near.shape[1] + 1) * 1e6
    given = np.array(near + shift, order=order)
    before = given.copy()
    options = {"C": C, "solver": solver, "tol": 1e-10}
    ours, theirs = (LogisticRegression(**options).fit(X, problem.y) for X in (given, near))
    np.testing.assert_array_equal(given, before)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_ - theirs.coef_ @ shift, rtol=1e-6)
    # eta = x c + intercept cancels six digits
    np.testing.assert_allclose(ours.predict_proba(given), theirs.predict_proba(near), atol=1e-7)
    assert ours.result_.violation < 1e-10
    assert abs(ours.n_iter_[0] - theirs.n_iter_[0]) <= (2 if solver == "newton" else 6)


def test_weights_offsets_and_units_go_with_it():
    rng = np.random.default_rng(0)
    weight, offset = rng.uniform(0.1, 2, 200), rng.normal(size=200)
    scale = np.array([1.0, 1e160, 1.0, 1e-160, 1.0])
    terms = {"sample_weight": weight, "offset": offset}
    ours = LogisticRegression(C=np.inf, tol=1e-11).fit(FAR * scale, BINARY.y, **terms)
    theirs = LogisticRegression(C=np.inf, tol=1e-11).fit(NEAR, BINARY.y, **terms)
    np.testing.assert_allclose(ours.coef_ * scale, theirs.coef_, rtol=1e-7)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_ - theirs.coef_ @ (FAR - NEAR)[0], rtol=1e-7)


def test_warm_start_at_the_optimum_stays():
    model = LogisticRegression(C=np.inf, tol=1e-9, warm_start=True).fit(FAR, BINARY.y)
    coef = model.coef_.copy()
    model.set_params(tol=1e-7).fit(FAR, BINARY.y)
    assert model.n_iter_[0] == 0
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-12)


def test_collinear_far_columns_have_the_shortest_optimum():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression(C=np.inf).fit(np.column_stack([FAR, FAR[:, 0]]), BINARY.y)
    single = LogisticRegression(C=np.inf).fit(FAR, BINARY.y)
    np.testing.assert_allclose(model.coef_[0, [0, 5]], single.coef_[0, 0] / 2, rtol=1e-6)
