"""Every solver of the table on every problem: the optimum as the naive twin judges it, and how the way there ends."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import naive
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.result import Status
from fastlogreg.solvers import SOLVERS, choose
from fastlogreg.threads import factoring
from problems import BINARY, COLLINEAR, SEPARABLE, SEVERAL, SOLVABLE, Problem, drawn, random_coef, with_rows

TOL = 1e-9


def solve(problem, name, *, start=None, tol=TOL, max_iter=1000, callback=None, n_jobs=None):
    objective = LogisticObjective(
        as_design(problem.X, n_jobs),
        problem.y,
        n_classes=problem.n_classes,
        fit_intercept=problem.fit_intercept,
        **problem.terms,
    )
    start = np.zeros(problem.coef_shape) if start is None else start
    return SOLVERS[name].function(objective, start, tol=tol, max_iter=max_iter, callback=callback)


def twin_terms(problem):
    return {**problem.terms, "fit_intercept": problem.fit_intercept}


def assert_optimal(problem, result, tol=TOL):
    """Every claim of the result, recomputed."""
    assert result.status is Status.CONVERGED
    violation = naive.kkt_violation(problem.X, problem.y, result.coef, **twin_terms(problem))
    assert violation <= tol + 1e-13
    assert result.violation == pytest.approx(violation, abs=1e-13)
    value = naive.objective(problem.X, problem.y, result.coef, **problem.terms)
    assert result.objective == pytest.approx(value, rel=1e-12)
    if not problem.fit_intercept:
        assert (result.coef[..., -1] == 0.0).all()


def linear_predictors(problem, coef):
    """Without what all classes share, which changes no probability."""
    eta = naive.decision(problem.X, coef, problem.offset)
    return eta if problem.n_classes == 2 else eta - eta.mean(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def optima():
    """The twin's optimum of each problem, found once."""
    found = {}

    def optimum(name, problem):
        if name not in found:
            found[name] = naive.optimum(problem.X, problem.y, problem.coef_shape, **twin_terms(problem))
        return found[name]

    return optimum


each_solver = pytest.mark.parametrize("solver", SOLVERS)


@each_solver
@pytest.mark.parametrize("name", SOLVABLE)
def test_reaches_the_optimum(name, solver, optima):
    problem = SOLVABLE[name]
    result = solve(problem, solver)
    assert_optimal(problem, result)
    best = optima(name, problem)
    expected = naive.objective(problem.X, problem.y, best, **problem.terms)
    assert result.objective == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(linear_predictors(problem, result.coef), linear_predictors(problem, best), atol=1e-5)
    if problem.l2 > 0.0 and problem.n_classes == 2:
        np.testing.assert_allclose(result.coef, best, atol=1e-5)


@each_solver
@pytest.mark.parametrize("name", COLLINEAR)
def test_shortest_of_many_optima(name, solver, optima):
    problem = COLLINEAR[name]
    result = solve(problem, solver)
    assert_optimal(problem, result)
    best = naive.shortest(problem.X, optima(name, problem), problem.fit_intercept)
    np.testing.assert_allclose(linear_predictors(problem, result.coef), linear_predictors(problem, best), atol=1e-5)
    slopes = result.coef[..., :-1]
    if problem.n_classes > 2:
        slopes = slopes - slopes.mean(axis=0)  # the estimator does this
    np.testing.assert_allclose(slopes, best[..., :-1], atol=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_one_optimum_costs_no_search_for_the_shortest(solver):
    """A few rows tell that no column depends on others; no more than a tenth of a pass."""
    problem = drawn(4000, 3)
    with_doubt = solve(problem, solver)
    penalised = solve(replace(problem, l2=1e-300), solver)
    np.testing.assert_array_equal(with_doubt.coef, penalised.coef)
    assert 0.0 < with_doubt.n_passes - penalised.n_passes < 0.1


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_no_optimum_is_left_for_a_dependence_that_is_none(solver, monkeypatch):
    """As rounding may feign where a column is far from centred."""
    expected = solve(BINARY, solver)
    monkeypatch.setattr(LogisticObjective, "gram", lambda objective: np.zeros(2 * objective.shape))
    np.testing.assert_array_equal(solve(BINARY, solver).coef, expected.coef)


@each_solver
@pytest.mark.parametrize("name", SEPARABLE)
def test_separable_classes_end_finite(name, solver):
    problem = SEPARABLE[name]
    result = solve(problem, solver, tol=1e-8)
    assert np.isfinite(result.coef).all() and np.isfinite(result.objective)
    assert result.status in (Status.CONVERGED, Status.PRECISION)
    assert result.n_iter <= 200
    if name != "separable but for a point":
        margin = linear_predictors(problem, result.coef)
        if problem.n_classes == 2:
            assert ((margin > 0) == (problem.y == 1)).all()
        else:
            assert (margin.argmax(axis=1) == problem.y).all()


# --- the way there ----------------------------------------------------------------------------------------------

FEW = ["penalty", "no intercept", "weights and offset", "columns in units of 1e8 and 1e-8", "three classes"]


@each_solver
@pytest.mark.parametrize("name", FEW)
def test_start_at_the_optimum_ends_at_once(name, solver):
    problem = SOLVABLE[name]
    optimum = solve(problem, solver, tol=1e-10).coef
    kept = optimum.copy()
    again = solve(problem, solver, start=optimum)
    assert again.status is Status.CONVERGED
    assert (again.n_iter, again.n_passes) == (0, 2.0)  # one pass finds the scales
    np.testing.assert_array_equal(again.coef, kept)
    np.testing.assert_array_equal(optimum, kept)


@each_solver
@pytest.mark.parametrize("problem", [replace(BINARY, l2=0.1), replace(SEVERAL, l2=0.1)], ids=["binary", "several"])
def test_start_anywhere(problem, solver):
    start = 3.0 * random_coef(problem)
    kept = start.copy()
    result = solve(problem, solver, start=start)
    assert_optimal(problem, result)
    np.testing.assert_array_equal(start, kept)


@each_solver
@pytest.mark.parametrize("name", [*FEW, "many rows"])
def test_history(name, solver):
    result = solve(SOLVABLE[name], solver)
    value, violation, passes = result.history.T
    assert len(value) == result.n_iter + 1
    assert (np.diff(value) <= 1e-14 * np.abs(value[:-1])).all()
    assert (np.diff(passes) > 0).all()
    assert (value[-1], violation[-1], passes[-1]) == (result.objective, result.violation, result.n_passes)
    assert (violation[:-1] > TOL).all() and violation[-1] <= TOL


@each_solver
def test_max_iter(solver):
    problem = SOLVABLE["no penalty"]
    result = solve(problem, solver, max_iter=2)
    assert (result.status, result.n_iter, len(result.history)) == (Status.MAX_ITER, 2, 3)
    assert not result.converged
    value = naive.objective(problem.X, problem.y, result.coef, **problem.terms)
    assert result.objective == pytest.approx(value, rel=1e-12)
    nothing = solve(problem, solver, max_iter=0)
    assert (nothing.status, nothing.n_iter) == (Status.MAX_ITER, 0)


@each_solver
def test_callback_stops(solver):
    seen = []

    def callback(progress):
        seen.append((progress.n_iter, progress.value, progress.violation))
        return progress.n_iter == 2

    result = solve(SOLVABLE["no penalty"], solver, callback=callback)
    assert (result.status, result.n_iter) == (Status.STOPPED, 2)
    assert [n_iter for n_iter, *_ in seen] == [0, 1, 2]
    assert seen[-1][1:] == (result.objective, result.violation)
    assert not result.converged


@each_solver
def test_error_in_the_callback_reaches_the_caller(solver):
    def callback(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(BINARY, solver, callback=callback)


@each_solver
@pytest.mark.parametrize("name", ["penalty", "no penalty", "columns in units of 1e8 and 1e-8", "three classes"])
def test_zero_tolerance_ends_at_the_limit_of_arithmetic(name, solver):
    """Not by using up max_iter: there is a last step that still lowers the objective."""
    result = solve(SOLVABLE[name], solver, tol=0.0, max_iter=500)
    assert result.status in (Status.PRECISION, Status.CONVERGED)
    assert result.violation < 1e-8


@each_solver
def test_zero_tolerance_leaves_directions_without_curvature_alone(solver):
    """What is left of the gradient is rounding, and so is the curvature of a constant column beside an intercept."""
    X = np.column_stack([np.full(10, 0.1), [-1.0, 0.0, 2.0, 1.0, 0.0, -1.0, 2.0, 2.0, 1.0, 2.0]])
    problem = Problem(X, np.array([0, 1, 2, 2, 2, 0, 0, 0, 2, 0]), n_classes=3)
    assert np.abs(solve(problem, solver, tol=0.0).coef).max() < 10.0


@each_solver
def test_threads_change_nothing(solver):
    problem = replace(drawn(20_000, 8), l2=1e-3)
    one, two = solve(problem, solver, n_jobs=1), solve(problem, solver, n_jobs=2)
    np.testing.assert_array_equal(one.coef, two.coef)
    np.testing.assert_array_equal(one.history, two.history)


@each_solver
@pytest.mark.parametrize("name", ["penalty", "no penalty", "three classes", "many rows"])
def test_estimate_of_suboptimality(name, solver, optima):
    """Within a factor of ten where the iterate is near, whatever its distance."""
    problem = SOLVABLE[name]
    best = optima(name, problem)
    lowest = naive.objective(problem.X, problem.y, best, **problem.terms)
    result = solve(problem, solver, tol=1e-4)
    truth = naive.objective(problem.X, problem.y, result.coef, **problem.terms) - lowest
    assert result.suboptimality >= 0.1 * truth - 1e-15
    assert result.suboptimality <= 10 * truth + 1e-9


# --- cost -------------------------------------------------------------------------------------------------------

# Passes over X of newton at tol = 1e-9, the one for the scales included. No clock, no noise: they may fall, not rise,
# but for one that rounding may cost on another machine.
BUDGETS = {
    "penalty": 7,
    "strong penalty": 4,
    "no penalty": 10,
    "no intercept": 8,
    "weights and offset": 8,
    "columns in units of 1e8 and 1e-8": 10,
    "far from centred": 10,
    "zero column": 8,
    "constant column, penalty": 8,
    "fewer rows than columns": 10,
    "one column": 4,
    "many rows": 7,
    "many rows, sorted by label": 7,
    "many rows, few positive": 14,
    "rounded Hessians": 11,
    "three classes": 7,
    "three classes, no penalty": 9,
    "three classes, no intercept": 8,
    "three classes, weights and offset": 7,
    "three classes, odd units": 9,
    "three classes, many rows": 7,
    "eight classes": 8,
    "three classes, one of a single row": 10,
}


@pytest.mark.parametrize("name", SOLVABLE)
def test_passes_of_newton(name):
    assert solve(SOLVABLE[name], "newton").n_passes <= BUDGETS[name] + 1


@pytest.mark.parametrize("name", ["no penalty", "three classes"])
def test_units_cost_no_iterations(name):
    problem = SOLVABLE[name]
    factors = 2.0 ** np.array([30, -30, 5, 0, 1])[: problem.X.shape[1]]
    scaled = replace(problem, X=problem.X * factors, l2=0.0)
    for solver in SOLVERS:
        plain, other = solve(replace(problem, l2=0.0), solver), solve(scaled, solver)
        assert other.n_iter == plain.n_iter
        np.testing.assert_allclose(other.coef[..., :-1] * factors, plain.coef[..., :-1], rtol=1e-9)


# --- properties of the optimum ----------------------------------------------------------------------------------


@each_solver
def test_scaled_column_divides_its_coefficient(solver):
    factors = np.array([3.0, 1e-3, 7e5, 1.0, 0.1])
    plain, other = (solve(replace(BINARY, X=X), solver, tol=1e-11) for X in (BINARY.X, BINARY.X * factors))
    np.testing.assert_allclose(other.coef[:-1] * factors, plain.coef[:-1], rtol=1e-7)
    np.testing.assert_allclose(other.coef[-1], plain.coef[-1], rtol=1e-7)


@each_solver
def test_flipped_labels_negate(solver):
    problem = replace(with_rows(BINARY), l2=0.01)
    flipped = replace(problem, y=1 - problem.y, offset=-problem.offset)
    np.testing.assert_allclose(solve(flipped, solver).coef, -solve(problem, solver).coef, atol=1e-8)


@each_solver
@pytest.mark.parametrize("problem", [BINARY, SEVERAL], ids=["binary", "several"])
def test_weights_count_rows(problem, solver):
    counts = np.random.default_rng(0).integers(0, 4, len(problem.X))
    problem = replace(problem, l2=0.01)
    weighted = solve(replace(problem, weight=counts.astype(np.float64)), solver)
    repeated = solve(problem.rows(np.repeat(np.arange(len(counts)), counts)), solver)
    np.testing.assert_allclose(weighted.coef, repeated.coef, atol=1e-7)


@each_solver
@pytest.mark.parametrize("problem", [BINARY, SEVERAL], ids=["binary", "several"])
def test_intercept_is_an_unpenalised_column_of_ones(problem, solver):
    column = replace(problem, X=np.column_stack([problem.X, np.ones(len(problem.X))]), fit_intercept=False)
    plain, other = solve(problem, solver), solve(column, solver)
    np.testing.assert_allclose(linear_predictors(column, other.coef), linear_predictors(problem, plain.coef), atol=1e-6)


@each_solver
def test_offset_is_a_coefficient_known(solver):
    whole = solve(BINARY, solver, tol=1e-11).coef
    rest = replace(BINARY, X=BINARY.X[:, 1:], offset=BINARY.X[:, 0] * whole[0])
    np.testing.assert_allclose(solve(rest, solver).coef, whole[1:], atol=1e-7)


# --- the table --------------------------------------------------------------------------------------------------


def test_auto_is_in_the_table():
    for n_samples in (10, 1000, 1_000_000):
        for n_features in (0, 1, 100, 10_000, 1_000_000):
            for n_classes in (2, 3, 100):
                assert choose(n_samples, n_features, n_classes) in SOLVERS


def test_auto_forms_no_huge_hessian():
    for n_classes in (2, 3, 100):
        assert choose(1000, 100_000, n_classes) != "newton"


def test_every_row_states_its_cost():
    assert all(row.cost for row in SOLVERS.values())


def test_threads_of_blas_are_given_back():
    """Threads that enter and leave in any order: the second to enter finds one thread, and must not restore that."""
    before = [pool["num_threads"] for pool in threadpool_info()]
    first, second = factoring(100), factoring(100)
    first.__enter__()
    second.__enter__()
    assert all(pool["num_threads"] == 1 for pool in threadpool_info() if pool["user_api"] == "blas")
    first.__exit__()
    second.__exit__()
    assert [pool["num_threads"] for pool in threadpool_info()] == before
