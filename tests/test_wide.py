"""Fewer rows than columns, and more columns than newton is tried on first: the answer is the optimum all the same."""

import importlib

import numpy as np
import pytest
import scipy.sparse

import naive
from fastlogreg import LogisticRegression
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.result import Status
from fastlogreg.solvers import SOLVERS, choose, hybrid, row_space
from fastlogreg.solvers.newton_cg import preconditioner

N_ROWS, N_COLUMNS = 30, 90
L2 = 1e-2


def problem(n_classes=2, n_rows=N_ROWS, n_columns=N_COLUMNS):
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((n_rows, n_columns)) + rng.standard_normal((n_rows, 1))
    y = np.arange(n_rows) % n_classes
    return X, y.astype(np.float64) if n_classes == 2 else y


def solve(solver, X, y, tol=1e-10, start=None, max_iter=100, callback=None, **terms):
    n_classes = int(y.max()) + 1
    objective = LogisticObjective(as_design(X), y, n_classes=n_classes, **{"l2": L2, **terms})
    start = np.zeros(objective.shape) if start is None else start
    return solver(objective, start, tol=tol, max_iter=max_iter, callback=callback)


TERMS = {
    "plain": {},
    "weight": {"weight": np.linspace(0.0, 2.0, N_ROWS)},
    "offset": {"offset": np.linspace(-1.0, 1.0, N_ROWS)},
    "no intercept": {"fit_intercept": False},
}


@pytest.mark.parametrize("solver", [row_space, hybrid])
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_optimum(solver, n_classes, terms):
    X, y = problem(n_classes)
    if n_classes > 2 and "offset" in terms:
        terms = {"offset": np.outer(terms["offset"], np.arange(n_classes))}
    result = solve(solver, X, y, **terms)
    assert result.converged
    assert naive.kkt_violation(X, y, result.coef, l2=L2, **terms) <= 1.1e-10
    assert len(result.history) == result.n_iter + 1


@pytest.mark.parametrize("storage", [np.ascontiguousarray, np.asfortranarray, np.float32, scipy.sparse.csr_array])
def test_storages(storage):
    X, y = problem()
    X = X.astype(np.float32)
    result = solve(row_space, storage(X), y)
    assert naive.kkt_violation(X.astype(np.float64), y, result.coef, l2=L2) <= 1.1e-10


def dependent(X):
    X[3] = X[4]


def one_row_of_zeros(X):
    X[3] = 0.0


def odd_units(X):
    X *= np.geomspace(1e-7, 1e7, X.shape[1])


@pytest.mark.parametrize("change", [dependent, one_row_of_zeros, odd_units])
def test_rows_whose_products_do_not_serve(change):
    X, y = problem()
    change(X)
    result = solve(row_space, X, y, tol=1e-9, max_iter=1000)
    assert result.converged
    assert naive.kkt_violation(X, y, result.coef, l2=L2) <= 1e-8


def test_the_span_of_the_rows_is_cheap():
    X, y = problem(n_rows=40, n_columns=2000)
    assert choose(40, 2000, 2) == "row-space"
    result = solve(row_space, X, y)
    assert result.n_passes < 7.0 < solve(SOLVERS["newton-cg"].function, X, y).n_passes / 4.0


@pytest.mark.parametrize("C", [1.0, 100.0])
def test_steps_are_as_long_as_they_should_be(C):
    """Ten and fifteen of Newton's own length, which on separable data ends far before the optimum."""
    X, y = problem(n_rows=200, n_columns=2000)
    result = solve(row_space, X, y, l2=1.0 / (C * len(X)))
    assert result.converged
    assert result.n_iter <= 7


# --- conjugate gradients in place of the products of the rows ----------------------------------------------------

MODULE = importlib.import_module("fastlogreg.solvers.row_space")  # the package has the function by that name


def independent(n_rows=N_ROWS, n_columns=600, scales=1.0):
    X = np.random.default_rng(7).standard_normal((n_rows, n_columns)) * np.broadcast_to(scales, n_rows)[:, None]
    return X, np.arange(n_rows) % 2.0


def solve_wide(X, y, monkeypatch, copied=2**24, **terms):
    """Return the design, too, with as many products for 30 rows as there would be for 500."""
    monkeypatch.setattr(MODULE, "PRODUCTS_A_ROW", 0.2)
    monkeypatch.setattr(MODULE, "COPIED", copied)
    design = as_design(X)
    objective = LogisticObjective(design, y, n_classes=2, **{"l2": L2, **terms})
    return row_space(objective, np.zeros(objective.shape), tol=1e-10, max_iter=100), design


@pytest.mark.parametrize("copied", [0, 2**24], ids=["float64", "float32"])
@pytest.mark.parametrize("storage", [np.ascontiguousarray, np.asfortranarray, np.float32])
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_conjugate_gradients(terms, storage, copied, monkeypatch):
    X, y = independent()
    X = X.astype(np.float32).astype(np.float64)
    result, design = solve_wide(storage(X), y, monkeypatch, copied, **terms)
    assert result.converged
    assert not design._products
    assert naive.kkt_violation(X, y, result.coef, l2=L2, **terms) <= 1.1e-10
    assert len(result.history) == result.n_iter + 1


@pytest.mark.parametrize("l2", [1e-6, 1e-2, 1e4])
def test_conjugate_gradients_for_any_strength(l2, monkeypatch):
    X, y = independent()
    result, design = solve_wide(X, y, monkeypatch, l2=l2)
    assert not design._products
    assert naive.kkt_violation(X, y, result.coef, l2=l2) <= 1.1e-10


def test_rows_that_are_too_much_alike_have_their_products_made(monkeypatch):
    X, y = independent()
    X += 3.0 * np.random.default_rng(1).standard_normal(N_ROWS)[:, None] * X[:1]
    result, design = solve_wide(X, y, monkeypatch)
    assert design._products
    assert naive.kkt_violation(X, y, result.coef, l2=L2) <= 1.1e-10


@pytest.mark.parametrize("l2", [1e-5, 1e-2])
def test_rows_of_all_sizes(l2, monkeypatch):
    """The large ones are saturated long before the small ones are seen."""
    X, y = independent(scales=np.geomspace(1e-2, 1e2, N_ROWS))
    result, _ = solve_wide(X, y, monkeypatch, l2=l2)
    assert result.converged
    assert naive.kkt_violation(X, y, result.coef, l2=l2) <= 1.1e-10 * 1e2


def test_strengths_after_the_first_share_the_products(monkeypatch):
    X, y = independent()
    _, design = solve_wide(X, y, monkeypatch)
    objective = LogisticObjective(design, y, n_classes=2, l2=0.1 * L2)
    result = row_space(objective, np.zeros(objective.shape), tol=1e-10, max_iter=100)
    assert design._products
    assert naive.kkt_violation(X, y, result.coef, l2=0.1 * L2) <= 1.1e-10


def test_conjugate_gradients_begin_where_they_are_told(monkeypatch):
    X, y = independent()
    first, design = solve_wide(X, y, monkeypatch)
    objective = LogisticObjective(as_design(X), y, n_classes=2, l2=L2)
    again = row_space(objective, first.coef, tol=1e-10, max_iter=100)
    assert again.n_iter <= 2
    assert naive.kkt_violation(X, y, again.coef, l2=L2) <= 1.1e-10


def test_passes_without_products():
    X, y = problem(n_rows=400, n_columns=4000)
    X = X - X.mean(axis=1, keepdims=True)
    result = solve(row_space, X, y, tol=1e-8, l2=1 / 400)
    assert result.converged
    assert result.n_passes <= 60.0


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_row_products(order, precision):
    X = np.asarray(np.random.default_rng(0).standard_normal((40, 5000)), order=order)
    one, two = (as_design(X, n_jobs).row_products(precision)[0] for n_jobs in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, one.T)
    np.testing.assert_allclose(one, X @ X.T, atol=5000 * np.finfo(precision).eps)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_products_of_rows_are_found_once(n_classes):
    """Strengths and folds have them in common; the second solve is none the worse for what the first did with them."""
    X, y = problem(n_classes)
    design = as_design(X)
    objectives = [
        LogisticObjective(design, y, n_classes=n_classes, l2=l2, weight=weight)
        for l2, weight in [(L2, None), (0.1 * L2, np.linspace(0.0, 2.0, N_ROWS))]
    ]
    one, other = (row_space(o, np.zeros(o.shape), tol=1e-10, max_iter=100) for o in objectives)
    assert one.converged
    assert other.converged
    alone = solve(row_space, X, y, l2=0.1 * L2, weight=np.linspace(0.0, 2.0, N_ROWS))
    np.testing.assert_array_equal(other.coef, alone.coef)
    assert other.n_passes == pytest.approx(alone.n_passes - 1.0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_begins_where_it_is_told(n_classes):
    X, y = problem(n_classes)
    first = solve(row_space, X, y)
    again = solve(row_space, X, y, start=first.coef)
    assert again.n_iter <= 1
    np.testing.assert_allclose(again.coef, first.coef, atol=1e-8)


@pytest.mark.parametrize("solver", [row_space, hybrid])
def test_stops_when_told(solver):
    X, y = problem()
    assert solve(solver, X, y, max_iter=2).status is Status.MAX_ITER
    assert solve(solver, X, y, max_iter=2).n_iter == 2
    result = solve(solver, X, y, callback=lambda progress: progress.n_iter == 2)
    assert (result.status, result.n_iter) == (Status.STOPPED, 2)


def test_estimator():
    X, y = problem(n_rows=60, n_columns=200)
    model = LogisticRegression().fit(X, y)
    coef = np.append(model.coef_, model.intercept_)
    assert naive.kkt_violation(X, y, coef, l2=1 / 60) <= 1e-8


def test_rows_that_are_all_saturated():
    """None has any curvature for an equation to be solved with, and not for a step of the intercept either."""
    X, offset = np.random.default_rng(0).normal(size=(2, 9)), np.array([1144.0, 20493.0])
    model = LogisticRegression(solver="row-space").fit(X, [0, 1], offset=offset)
    assert model.result_.violation <= 1e-8


# --- hybrid -----------------------------------------------------------------------------------------------------


def ill_conditioned():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 60)) @ (np.eye(60) + rng.standard_normal((60, 1)) * np.geomspace(1e2, 1e-2, 60))
    return X, (X[:, 0] + rng.logistic(size=400) > 0).astype(np.float64)


@pytest.mark.parametrize("by_panels", [False, True], ids=["", "BLAS panels"])
@pytest.mark.parametrize("single", [False, True], ids=["", "float32"])
def test_hybrid_ends_with_newton(by_panels, single, monkeypatch):
    if by_panels:
        monkeypatch.setattr("fastlogreg.hessian_sums.OWN", 10)
    if single:
        monkeypatch.setattr("fastlogreg.solvers.curvature.SINGLE_WORK", 0.0)
        monkeypatch.setattr("fastlogreg.solvers.curvature.CHEAP_HESSIAN", 8)
    X, y = ill_conditioned()
    with_products = solve(SOLVERS["newton-cg"].function, X, y, l2=1e-6)
    result = solve(hybrid, X, y, l2=1e-6)
    assert result.n_passes < with_products.n_passes
    assert naive.kkt_violation(X, y, result.coef, l2=1e-6) <= 1.1e-10
    assert len(result.history) == result.n_iter + 1
    assert (np.diff(result.history[:, 2]) > 0.0).all()


# --- the preconditioner of newton-cg ----------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 1e-4])
def test_classes_are_preconditioned_by_the_gram_matrix(l2):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 20)) @ (np.eye(20) + 10.0) + 5.0
    eta = (X - X.mean(axis=0)) @ rng.standard_normal((20, 5)) / 100.0
    y = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)
    result = solve(SOLVERS["newton-cg"].function, X, y, l2=l2)
    assert naive.kkt_violation(X, y, result.coef, l2=l2) <= 1.1e-10
    assert result.n_passes < 80.0


def classes_problem(n_rows, n_columns, n_classes, drift=0.0):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n_rows, n_columns)) + drift * np.arange(n_rows)[:, None] / n_rows
    eta = (X - drift / 2) @ rng.standard_normal((n_columns, n_classes)) * 2.0 / np.sqrt(n_columns)
    return X, (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)


#: The changes to a problem of classes under which products in float32 and samples must still lead to the optimum.
CLASSES = {
    "plain": lambda X, y: (X, y, {}),
    "sorted": lambda X, y: (X[np.argsort(y, kind="stable")], np.sort(y), {}),
    "rare": lambda X, y: (X, np.where((y == 2) & (np.cumsum(y == 2) > 3), 0, y), {}),
    "collinear": lambda X, y: (np.column_stack([X, X[:, 0] - 2.0 * X[:, 1]]), y, {}),
    "units": lambda X, y: (X * 10.0 ** np.linspace(-4, 4, X.shape[1]), y, {}),
    "far from centred": lambda X, y: (X + 1e5, y, {}),
    "weights": lambda X, y: (X, y, {"weight": np.arange(len(y)) % 3.0}),
    "offset": lambda X, y: (X, y, {"offset": np.sin(np.arange(3.0 * len(y))).reshape(-1, 3)}),
    "no intercept": lambda X, y: (X, y, {"fit_intercept": False}),
    "float32": lambda X, y: (X.astype(np.float32), y, {}),
    "drift": lambda X, y: (X[np.argsort(X[:, 0])], y[np.argsort(X[:, 0])], {}),
}


@pytest.mark.parametrize("l2", [0.0, 1e-4])
@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_large_data(name, l2, monkeypatch):
    """As where a pass is dear: from a sample, with products in float32."""
    monkeypatch.setattr("fastlogreg.design.SAMPLE_WORK", 0)
    X, y, terms = CLASSES[name](*classes_problem(4000, 8, 3))
    if name != "units":
        terms["l2"] = l2
    result = solve(SOLVERS["newton-cg"].function, X, y, tol=1e-8, **{"l2": 0.0, **terms})
    assert result.converged
    coef = naive.optimum(X, y, result.coef.shape, **terms)
    terms.pop("fit_intercept", None)
    least = naive.objective(X, y, coef, **terms)
    assert naive.objective(X, y, result.coef, **terms) <= least + 1e-8 * abs(least)


def test_passes_for_classes():
    X, y = classes_problem(20_000, 30, 5)  # 155 coefficients: a sample, then two or three steps
    result = solve(SOLVERS["newton-cg"].function, np.tile(X, (4, 1)), np.tile(y, 4), tol=1e-8, l2=1e-6)
    assert result.n_passes <= 20.0
    X, y = classes_problem(4000, 40, 100)  # as many columns as rows of a class; 58 before classes had their means
    result = solve(SOLVERS["newton-cg"].function, X, y, tol=1e-8, l2=2.5e-4)
    assert result.n_passes <= 60.0


def test_the_preconditioner_leaves_shifts_of_all_classes_to_the_penalty():
    X, y = problem(3, n_rows=200, n_columns=5)
    precondition = preconditioner(LogisticObjective(as_design(X), y, n_classes=3, l2=0.5))
    gradient = np.random.default_rng(0).standard_normal((3, 6))
    solved = precondition(gradient)
    np.testing.assert_allclose(solved.mean(axis=0)[:-1], gradient.mean(axis=0)[:-1] / 0.5)
    assert abs(solved.mean(axis=0)[-1]) < 1e-12
    assert np.sum(solved * gradient) > 0.0
