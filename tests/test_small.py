"""Newton's method in one kernel: the same iterates as step by step, and whatever is unusual handed on."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import designs
import naive
from fastlogreg import LogisticRegression, solvers
from fastlogreg.design import UNSEEN, as_design
from fastlogreg.objective import LogisticObjective, NotFiniteError
from fastlogreg.result import Status
from fastlogreg.solvers.curvature import CHEAP_HESSIAN
from fastlogreg.solvers.newton import newton
from fastlogreg.solvers.small import is_small, small_newton
from problems import BINARY, COLLINEAR, SEPARABLE, SEVERAL, SOLVABLE, drawn, random_coef, random_problem, with_rows

TOL = 1e-8
PROBLEMS = {
    name: replace(problem, offset=None)
    for name, problem in (SOLVABLE | COLLINEAR | SEPARABLE).items()
    if is_small(*problem.X.shape, problem.n_classes)
}
#: With columns that are left to those who look at them first: constant ones.
ODD = {name for name in PROBLEMS if "zero column" in name or "constant column" in name}
#: Those that the kernel solves without help, being regular.
ORDINARY = [name for name in SOLVABLE if name in PROBLEMS and name not in ODD]


def objective_of(problem, X=None, **more):
    design = as_design(problem.X if X is None else X)
    terms = {"weight": problem.weight, "l2": problem.l2, "fit_intercept": problem.fit_intercept}
    return LogisticObjective(design, problem.y, n_classes=problem.n_classes, **terms, **more)


def solve(problem, X=None, start=None, max_iter=1000, tol=TOL):
    start = np.zeros(problem.coef_shape) if start is None else start
    return small_newton(objective_of(problem, X, moments=UNSEEN), start, tol=tol, max_iter=max_iter)


def stepwise(problem, X=None, start=None, max_iter=1000, tol=TOL):
    start = np.zeros(problem.coef_shape) if start is None else start
    return newton(objective_of(problem, X), start, tol=tol, max_iter=max_iter)


def assert_same(result, expected, rtol=1e-9):
    assert result.status is expected.status
    if result.coef.size > CHEAP_HESSIAN:  # there `newton` uses old Hessians, too
        np.testing.assert_allclose(result.coef, expected.coef, atol=1e-6)
        return
    assert result.n_iter == expected.n_iter
    np.testing.assert_allclose(result.coef, expected.coef, rtol=rtol, atol=rtol * np.abs(expected.coef).max())
    np.testing.assert_allclose(result.history[:, 0], expected.history[:, 0], rtol=1e-9)
    np.testing.assert_allclose(result.history[:, 1], expected.history[:, 1], rtol=1e-4, atol=1e-10)


@pytest.mark.parametrize("name", ORDINARY)
def test_iterates_are_those_of_newton(name):
    problem = PROBLEMS[name]
    result, expected = solve(problem), stepwise(problem)
    assert_same(result, expected)
    assert result.n_passes == result.n_iter + 1  # no other for the moments
    np.testing.assert_allclose(result.step, expected.step, atol=1e-5 * np.abs(expected.coef).max())
    assert result.suboptimality == pytest.approx(expected.suboptimality, rel=1e-3, abs=1e-15)


@pytest.mark.parametrize("name", ORDINARY)
def test_the_twin_finds_the_same_optimum(name):
    problem = PROBLEMS[name]
    result = solve(problem)
    terms = {**problem.terms, "fit_intercept": problem.fit_intercept}
    assert result.status is Status.CONVERGED
    assert naive.kkt_violation(problem.X, problem.y, result.coef, **terms) <= TOL + 1e-13
    value = naive.objective(problem.X, problem.y, result.coef, **problem.terms)
    assert result.objective == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in ORDINARY and name not in ODD])
def test_what_is_singular_goes_on_as_newton(name):
    problem = PROBLEMS[name]
    result, expected = solve(problem), stepwise(problem)
    assert result.status is expected.status
    if result.status is Status.CONVERGED and name in COLLINEAR:
        np.testing.assert_allclose(result.coef, expected.coef, rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(result.dependent, expected.dependent)
    assert len(result.history) == result.n_iter + 1
    assert (np.diff(result.history[:, 2]) > 0.0).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("storage", designs.KERNEL)
def test_every_storage(storage, n_classes, weighted):
    problem = random_problem(301, 7, n_classes, weighted=weighted, l2=0.01)
    result = solve(problem, designs.KERNEL[storage](problem.X))
    assert_same(result, stepwise(problem))


@pytest.mark.parametrize("n", [7, 8, 9, 255, 256, 257, 264, 265, 1000])
def test_every_number_of_rows(n):
    for n_classes in (2, 3):
        problem = random_problem(n, 3, n_classes, l2=0.1)
        assert_same(solve(problem), stepwise(problem))


@pytest.mark.parametrize("problem", [replace(BINARY, l2=0.02), replace(SEVERAL, l2=0.02)], ids=["binary", "several"])
def test_moments_are_those_of_the_columns(problem):
    for weighted in (False, True):
        problem = replace(problem, weight=with_rows(problem).weight if weighted else None)
        objective = objective_of(problem, moments=UNSEEN)
        small_newton(objective, np.zeros(problem.coef_shape), tol=TOL, max_iter=100)
        np.testing.assert_allclose(objective.moments.sums, naive.moments(problem.X, problem.weight), rtol=1e-13)


@pytest.mark.parametrize("problem", [replace(BINARY, l2=0.02), replace(SEVERAL, l2=0.02)], ids=["binary", "several"])
def test_warm_start(problem):
    start = 0.3 * random_coef(problem)
    kept = start.copy()
    result = solve(problem, start=start)
    assert_same(result, stepwise(problem, start=start))
    np.testing.assert_array_equal(start, kept)
    assert solve(problem, start=result.coef).n_iter == 0


@pytest.mark.parametrize("max_iter", [1, 2, 3, 50])
@pytest.mark.parametrize("problem", [replace(BINARY, l2=1e-4), replace(SEVERAL, l2=1e-4)], ids=["binary", "several"])
def test_iterations_used_up(problem, max_iter):
    result, expected = solve(problem, max_iter=max_iter), stepwise(problem, max_iter=max_iter)
    assert_same(result, expected)


def test_tolerance_of_zero_ends_at_rounding():
    problem = replace(BINARY, l2=0.02)
    result = solve(problem, tol=0.0)
    assert result.status is Status.PRECISION
    assert result.violation < 1e-15


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200, 1e-200, 0.0])
def test_odd_columns_are_not_for_the_kernel(value):
    X = BINARY.X.copy()
    X[:, 2] = X[:, 2] * value if value and np.isfinite(value) else value
    with pytest.raises(NotFiniteError), np.errstate(over="ignore", invalid="ignore"):
        solve(replace(BINARY, X=X, l2=0.01))
    X[:, 2] = 1e7 + BINARY.X[:, 2]
    with pytest.raises(NotFiniteError):
        solve(replace(BINARY, X=X, l2=0.01))
    solve(replace(BINARY, X=X, l2=0.01, fit_intercept=False))


@pytest.fixture
def general(monkeypatch):
    """Make fits take the general way while it is called."""

    def fit(model, *data):
        with monkeypatch.context() as patch:
            patch.setattr(solvers, "is_small", lambda *shape: False)
            return model.fit(*data)

    return fit


CHANGES = [
    {},
    {"C": np.inf},
    {"C": 1e-3},
    {"fit_intercept": False},
    {"class_weight": "balanced"},
    {"penalty_factors": [0.0, 1.0, 2.0, 0.5]},
    {"standardize": True},
    {"alpha": 0.1},
    {"solver": "newton-cholesky"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_fits_are_the_same_either_way(n_classes, changes, general):
    problem = drawn(200, 4, n_classes)
    small = LogisticRegression(**changes).fit(problem.X, problem.y)
    large = general(LogisticRegression(**changes), problem.X, problem.y)
    np.testing.assert_allclose(small.coef_, large.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(small.intercept_, large.intercept_, rtol=1e-9, atol=1e-12)
    assert small.n_iter_ == large.n_iter_
    assert small.result_.status is large.result_.status


COUNT = """
import numpy as np, scipy.sparse
from fastlogreg import LogisticRegression
from fastlogreg.kernels.jit import COMPILING
X = np.random.default_rng(0).normal(size=(1000, 10))
LogisticRegression().fit({X}, (X[:, 0] > X[:, 1] ** 2).astype(int))
print(COMPILING.compiled + COMPILING.loaded)
"""


@pytest.mark.parametrize("X", ["X", "np.asfortranarray(X)", "X.astype('f')", "scipy.sparse.csr_array(X)"])
def test_a_small_fit_needs_one_kernel(X):
    done = subprocess.run([sys.executable, "-c", COUNT.format(X=X)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
