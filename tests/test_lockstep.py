"""Many problems over the same rows at a time: what each sees is what it would see alone."""

import numpy as np
import pytest

import naive
from designs import KERNEL
from fastlogreg import LogisticRegressionCV, lockstep
from fastlogreg.design import as_design
from fastlogreg.estimators.logistic import LogisticRegression
from fastlogreg.kernels import several
from fastlogreg.objective import LogisticObjective
from fastlogreg.path import follow, follow_folds
from fastlogreg.problem import bind
from fastlogreg.result import Status
from fastlogreg.solvers import SOLVERS
from problems import drawn, random_coef, random_problem

DENSE = {name: store for name, store in KERNEL.items() if not name.startswith("CSR")}


def objectives(problem, X, weights, n_jobs=2):
    design = as_design(X, n_jobs)
    return [LogisticObjective(design, problem.y, weight=w, offset=problem.offset, l2=0.1 * i)
            for i, w in enumerate(weights)]  # fmt: skip


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("storage", DENSE)
def test_values_and_gradients_are_those_of_the_twin(storage, shifted):
    problem = random_problem(3001, 4, soft=True, shifted=shifted)
    X = DENSE[storage](problem.X)
    rng = np.random.default_rng(0)
    held_out = (rng.random(3001) < 0.7).astype(float)
    weights = [None, held_out, held_out, rng.uniform(size=3001)]
    coefs = [random_coef(problem, seed) for seed in range(4)]
    found = lockstep.value_gradients(objectives(problem, X, weights), coefs)
    for i, ((value, gradient), weight, coef) in enumerate(zip(found, weights, coefs, strict=True)):
        terms = {"weight": weight, "offset": problem.offset, "l2": 0.1 * i}
        assert value == pytest.approx(naive.objective(problem.X, problem.y, coef, **terms), rel=1e-12)
        np.testing.assert_allclose(gradient, naive.gradient(problem.X, problem.y, coef, **terms), atol=1e-13)


def test_threads_change_no_bit():
    problem = random_problem(5000, 7)
    weights = [np.ones(5000), np.arange(5000) % 2.0]
    coefs = [random_coef(problem, seed) for seed in range(2)]
    one, two = (lockstep.value_gradients(objectives(problem, problem.X, weights, n), coefs) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert a[0] == b[0]
        np.testing.assert_array_equal(a[1], b[1])


def test_kernel_equals_twin():
    rng = np.random.default_rng(0)
    eta, y, weight = 4 * rng.normal(size=(3, 50)), rng.random(50), rng.random((2, 50))
    which = np.array([1, 0, 1])
    slope, loss = np.empty((3, 50)), np.ones(3)
    work = np.empty((2, 64))
    several.loss_slope(eta, y, weight, which, work, np.array([[0, 2], [2, 3]]), slope, loss)
    for k, counts in enumerate(weight[which]):
        np.testing.assert_allclose(slope[k], counts * naive.slope(eta[k], y), rtol=1e-13, atol=1e-15)
        assert loss[k] == pytest.approx(1.0 + counts @ naive.loss(eta[k], y), rel=1e-13)


def folds_of(l1_ratio, solver):
    drawn_problem = drawn(3000, 12)
    problem = bind(LogisticRegression(), drawn_problem.X, drawn_problem.y.astype(int))
    counts = [(np.arange(3000) % 3 != f).astype(float) for f in range(3)]
    alphas = [0.05, 0.02, 0.01, 1e-3]
    options = {"tol": 1e-9, "max_iter": 100}
    guide = follow(problem, alphas, l1_ratio, SOLVERS[solver], kept=True, **options)
    return [problem.fold(c) for c in counts], [alphas] * 3, l1_ratio, SOLVERS[solver], guide, options


@pytest.mark.parametrize(("l1_ratio", "solver"), [(0.0, "newton"), (1.0, "prox-newton"), (0.5, "prox-newton")])
def test_folds_in_lockstep_are_those_one_by_one(l1_ratio, solver):
    folds, alphas, *row, guide, options = folds_of(l1_ratio, solver)
    together = follow_folds(folds, alphas, *row, guide=guide, **options)
    assert all(np.isfinite(point.result.violation) for path in together for point in path)
    for fold, path in zip(folds, together, strict=True):
        alone = follow(fold, alphas[0], *row, guide=guide, **options)
        for a, b in zip(path, alone, strict=True):
            assert a.result.status is Status.CONVERGED and a.result.violation <= 1e-9
            np.testing.assert_allclose(a.result.coef, b.result.coef, atol=1e-6)
            assert a.loss == pytest.approx(b.loss, abs=1e-8)
            np.testing.assert_array_equal(a.result.coef == 0.0, b.result.coef == 0.0)


@pytest.mark.parametrize(("l1_ratio", "solver"), [(0.0, "newton"), (1.0, "prox-newton")])
@pytest.mark.parametrize("limit", ["MOST_ITER", "MOST_HALVINGS", "columns"])
def test_those_that_are_lost_are_solved_alone(l1_ratio, solver, limit, monkeypatch):
    folds, alphas, *row, guide, options = folds_of(l1_ratio, solver)
    expected = follow_folds(folds, alphas, *row, guide=guide, **options)
    if limit == "columns":
        for name in ("hessian", "columns"):
            monkeypatch.setattr(guide[1].memory, name, None)
    else:
        monkeypatch.setattr(lockstep, limit, 1)
    found = follow_folds(folds, alphas, *row, guide=guide, **options)
    for path, others in zip(found, expected, strict=True):
        for a, b in zip(path, others, strict=True):
            assert a.result.violation <= 1e-9
            np.testing.assert_allclose(a.result.coef, b.result.coef, atol=1e-6)


def test_a_wrong_hessian_does_not_change_the_optimum():
    folds, alphas, *row, guide, options = folds_of(0.0, "newton")
    expected = follow_folds(folds, alphas, *row, guide=guide, **options)
    for i, point in enumerate(guide):
        point.memory.hessian = np.diag(10.0 ** (np.arange(13.0) % 4 - i))
    for path, others in zip(follow_folds(folds, alphas, *row, guide=guide, **options), expected, strict=True):
        for a, b in zip(path, others, strict=True):
            assert a.result.violation <= 1e-9
            np.testing.assert_allclose(a.result.coef, b.result.coef, atol=1e-6)


def test_fifty_fits_read_X_a_few_times():
    problem = drawn(3000, 20)
    model = LogisticRegressionCV(Cs=10, l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False)
    model.fit(problem.X, problem.y)
    n_full = sum(result.n_passes for result in model.results_[0])
    assert model.n_passes_ - n_full - 1 - 5 <= 8  # moments of all rows and of five folds
