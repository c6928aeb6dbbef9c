"""Columns in any unit: scaled by up to 1e±300, far from centred, or hidden by the penalty."""

import numpy as np
import pandas
import pytest
import scipy.sparse

import naive
from fastlogreg import LogisticRegression, solvers
from problems import BINARY, SEVERAL

SOLVERS = ["auto", *solvers.SOLVERS]
X, Y = BINARY.X, BINARY.y.astype(int)
X3, Y3 = SEVERAL.X, SEVERAL.y

each_solver = pytest.mark.parametrize("solver", SOLVERS)
each_data = pytest.mark.parametrize(("X", "y"), [(X, Y), (X3, Y3)], ids=["binary", "several"])


def parameters(model):
    """Coefficients as the naive twin takes them."""
    coef = np.column_stack([model.coef_, model.intercept_]).astype(np.float64)
    return coef[0] if len(model.classes_) == 2 else coef


@each_solver
@pytest.mark.parametrize("exponent", [-140, -100, -8, 8, 100, 140])
def test_units_do_not_matter(exponent, solver):
    factors = np.array([10.0**exponent, 1.0, 1.0, 1.0, 10.0 ** (-exponent / 2)])
    plain, scaled = (LogisticRegression(C=np.inf, solver=solver).fit(Z, Y) for Z in (X, X * factors))
    np.testing.assert_allclose(scaled.coef_ * factors, plain.coef_, rtol=1e-6)
    np.testing.assert_allclose(scaled.intercept_, plain.intercept_, rtol=1e-6)


EXTREME = [-300, -200, -150, 150, 200, 300]  # where squares leave the range of float64
STORAGES = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": scipy.sparse.csr_array}


@each_solver
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("exponent", EXTREME)
def test_extreme_units(exponent, storage, solver):
    factors = np.array([10.0**exponent, 1.0, 10.0 ** (-exponent / 2), 1.0, 1.0])
    extreme = STORAGES[storage](X * factors)
    kept = extreme.copy()
    plain = LogisticRegression(C=np.inf, solver=solver).fit(X, Y)
    model = LogisticRegression(C=np.inf, solver=solver).fit(extreme, Y)
    assert model.result_.converged
    np.testing.assert_allclose(model.coef_ * factors, plain.coef_, rtol=1e-6)
    np.testing.assert_allclose(model.intercept_, plain.intercept_, rtol=1e-6)
    np.testing.assert_allclose(model.result_.coef, parameters(model), rtol=1e-15)
    np.testing.assert_allclose(model.decision_function(extreme), plain.decision_function(X), rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(extreme), plain.predict_proba(X), rtol=1e-5)
    np.testing.assert_array_equal(model.predict(extreme), plain.predict(X))
    assert abs(extreme - kept).max() == 0.0


@each_solver
@pytest.mark.parametrize("exponent", [-100, -14, *EXTREME])
@each_data
def test_penalty_in_extreme_units(X, y, exponent, solver):
    """It is the one of the column as given: the conditions of the optimum hold in every coefficient."""
    factors = np.append(10.0**exponent, np.ones(X.shape[1] - 1))
    model = LogisticRegression(solver=solver, tol=1e-10).fit(X * factors, y)
    assert model.result_.converged
    classes, index = np.unique(y, return_inverse=True)
    target = index.astype(np.float64) if len(classes) == 2 else index
    terms = {"l2": 1.0 / len(y)}
    assert naive.kkt_violation(X * factors, target, parameters(model), **terms) <= 1.01e-10
    assert model.result_.objective == pytest.approx(naive.objective(X * factors, target, parameters(model), **terms))
    if exponent < 0:  # the penalty leaves the column no effect
        without = LogisticRegression(solver=solver, tol=1e-10).fit(X[:, 1:], y)
        np.testing.assert_allclose(model.coef_[:, 1:], without.coef_, rtol=1e-6)
        np.testing.assert_allclose(model.predict_proba(X * factors), without.predict_proba(X[:, 1:]), rtol=1e-6)


@each_data
def test_extreme_units_warm_start(X, y):
    factors = np.append([1e200, 1e-200], np.ones(X.shape[1] - 2))
    for C in (1.0, np.inf):
        model = LogisticRegression(C=C, warm_start=True).fit(X * factors, y)
        before = model.coef_
        assert model.fit(X * factors, y).n_iter_ == 0
        np.testing.assert_allclose(model.coef_, before, rtol=1e-14)


def test_all_columns_so_small_that_the_penalty_hides_them():
    model = LogisticRegression().fit(X * 1e-200, Y)
    np.testing.assert_allclose(model.intercept_, np.log(Y.mean() / (1 - Y.mean())), rtol=1e-6)
    expected = X.T @ (Y - Y.mean())  # the gradient at zero, whatever the scale
    np.testing.assert_allclose(model.coef_[0] / 1e-200, expected, rtol=1e-6, atol=1e-6)


@each_solver
def test_penalty_that_underflows_in_the_units_of_a_fit(solver):
    """It is there all the same: an optimum exists, and nobody is told that the classes are separated."""
    model = LogisticRegression(C=1e100, solver=solver).fit(X * 1e200, X[:, 0] > 0.1)
    assert model.result_.converged and model.result_.recession is None


@each_data
@pytest.mark.parametrize(("dtype", "factor"), [(np.float64, 1e-315), (np.float32, 1e-42)])
def test_coefficient_too_large_for_its_type(X, y, dtype, factor):
    factors = np.append([1.0, 1.0, 1.0, factor], np.ones(X.shape[1] - 4))
    tiny = pandas.DataFrame((X * factors).astype(dtype), columns=list("abcdefgh")[: X.shape[1]])
    with pytest.raises(ValueError, match=r"coefficient of column 3 \('d'\) of X is too large for .*Multiply"):
        LogisticRegression(C=np.inf).fit(tiny, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_extreme_units_hide_no_bad_entry(bad):
    extreme = X * [1e200, 1.0, 1.0, 1.0, 1e-200]
    extreme[7, 3] = bad
    with pytest.raises(ValueError, match="row 7, column 3"):
        LogisticRegression().fit(extreme, Y)


@each_solver
def test_far_from_centred(solver):
    """A column around a million whose differences matter, as a year or an identifier does."""
    moved = X + [1e6, 0.0, 2000.0, 0.0, -1e5]
    plain, far = (LogisticRegression(C=np.inf, solver=solver, max_iter=5000).fit(Z, Y) for Z in (X, moved))
    np.testing.assert_allclose(far.coef_, plain.coef_, rtol=1e-4)


@each_solver
def test_rows_of_no_weight_do_not_exist(solver):
    """Not even for the scales of the columns, though their entries be huge."""
    weight = np.ones(len(X))
    weight[[3, 17]] = 0.0
    wild = X.copy()
    wild[[3, 17]] = 1e9, -1e9, 1e12, 0.0, 3.0
    kept = weight > 0.0
    plain = LogisticRegression(solver=solver).fit(X[kept], Y[kept])
    weighted = LogisticRegression(solver=solver).fit(wild, Y, sample_weight=weight)
    np.testing.assert_allclose(weighted.coef_, plain.coef_, atol=1e-6)


@each_solver
def test_few_rows_far_from_centred(solver):
    """A column of a million plus or minus one: the loss reaches its optimum, not one in units of a million."""
    Z, y = X[:40] + [1e6, 0.0, 0.0, 0.0, 0.0], Y[:40]
    plain, far = (LogisticRegression(C=np.inf, solver=solver).fit(part, y) for part in (X[:40], Z))
    assert far.result_.objective == pytest.approx(plain.result_.objective, rel=1e-8)


def test_what_is_nearly_a_dependence_is_none():
    """Without an intercept two columns of a million all but are one; with coefficients of 1e3 the difference counts."""
    rng = np.random.default_rng(0)
    far = np.column_stack([1e6 + rng.normal(size=(300, 2)), np.full(300, 0.1)])
    y, offset = rng.integers(0, 2, 300), 1e4 * rng.normal(size=300)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-4).fit(far, y, offset=offset)
    terms = {"offset": offset, "fit_intercept": False}
    assert naive.kkt_violation(far, y.astype(np.float64), parameters(model), **terms) <= 1.01e-4
