"""L1 over all classes of a column together: optimality by the twin, whole columns, paths and cross-validation."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.base import clone

import naive
from designs import KERNEL
from fastlogreg import LogisticRegression, LogisticRegressionCV, logistic_path
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.penalty import Penalty, penalise
from fastlogreg.result import Status
from fastlogreg.solvers import SOLVERS
from problems import SEVERAL, SOLVABLE, drawn, random_problem

TOL = 1e-9
X, Y = SEVERAL.X, SEVERAL.y


def solve(problem, penalty, *, tol=TOL, X=None, max_iter=200):
    objective = LogisticObjective(
        as_design(problem.X if X is None else X),
        problem.y,
        n_classes=problem.n_classes,
        fit_intercept=problem.fit_intercept,
        **problem.terms,
    )
    start = np.zeros(problem.coef_shape)
    return SOLVERS["prox-newton"].function(objective, start, penalty=penalty, tol=tol, max_iter=max_iter)


def assert_optimal(problem, penalty, result, tol=TOL):
    assert result.status is Status.CONVERGED
    rest = {**problem.terms, "fit_intercept": problem.fit_intercept}
    violation = naive.penalty_violation(problem.X, problem.y, result.coef, l1=penalty.l1, grouped=True, **rest)
    assert violation <= tol + 1e-13
    assert result.violation == pytest.approx(violation, abs=1e-12)
    value = naive.objective(problem.X, problem.y, result.coef, **problem.terms)
    assert result.objective == pytest.approx(value + naive.penalty(result.coef, penalty.l1, grouped=True), rel=1e-12)
    used = result.coef[:, :-1] != 0.0
    np.testing.assert_array_equal(used.any(axis=0), used.all(axis=0))


# --- optimality -------------------------------------------------------------------------------------------------


def test_penalty_of_groups():
    penalty = Penalty.of(2, 1.0, grouped=True)
    coef = np.array([[3.0, 0.0, 9.0], [4.0, 0.0, 9.0]])
    assert penalty.value(coef) == 5.0
    np.testing.assert_allclose(penalty.shrink(coef[:, :-1], 2.0), [[2.7, 0.0], [3.6, 0.0]])
    gradient = np.array([[-0.6, 3.0], [-0.8, 4.0]])
    np.testing.assert_allclose(penalty.excess(coef[:, :-1], gradient), [[0.0, 2.4], [0.0, 3.2]], atol=1e-15)
    assert penalty.value(coef[0]) == 3.0  # two classes are one vector


@given(
    n=st.integers(8, 60),
    p=st.integers(1, 12),
    n_classes=st.integers(3, 5),
    share=st.floats(0.0, 1.2),
    l1_ratio=st.sampled_from([1.0, 0.5, 0.1]),
    factored=st.booleans(),
    weighted=st.booleans(),
    shifted=st.booleans(),
    fit_intercept=st.booleans(),
    seed=st.integers(0, 999),
)
# Where the model is all but at its minimum, rounding makes its promise one of getting worse.
@example(
    n=8,
    p=5,
    n_classes=5,
    share=0.5,
    l1_ratio=1.0,
    factored=False,
    weighted=True,
    shifted=False,
    fit_intercept=False,
    seed=288,
)
def test_optimal_by_the_twin(n, p, n_classes, share, l1_ratio, factored, weighted, shifted, fit_intercept, seed):
    problem = random_problem(
        n, p, n_classes, weighted=weighted, shifted=shifted, seed=seed, fit_intercept=fit_intercept
    )
    factors = np.random.default_rng(seed).choice([0.5, 1.0, 3.0], p) if factored else None
    bounds = np.full(p, -np.inf), np.full(p, np.inf)
    l2, penalty = penalise(0.002 + 0.3 * share, l1_ratio, factors, bounds, None, 1.0, grouped=True)
    problem = replace(problem, l2=l2)
    assert_optimal(problem, penalty, solve(problem, penalty))


@pytest.mark.parametrize("name", [name for name in SOLVABLE if SOLVABLE[name].n_classes > 2])
@pytest.mark.parametrize(("alpha", "l1_ratio"), [(0.02, 1.0), (0.02, 0.5), (1e-4, 1.0)])
def test_solvable_problems(name, alpha, l1_ratio):
    problem = SOLVABLE[name]
    sizes = naive.scales(problem.X)[:-1]
    bounds = np.full(len(sizes), -np.inf), np.full(len(sizes), np.inf)
    l2, penalty = penalise(alpha, l1_ratio, None, bounds, sizes, 1.0, grouped=True)
    problem = replace(problem, l2=l2)
    assert_optimal(problem, penalty, solve(problem, penalty))


@pytest.mark.parametrize(("n", "p"), [(100, 500), (600, 300)])
def test_working_sets(n, p):
    problem = replace(drawn(n, p, 3), l2=1e-3)
    penalty = Penalty.of(p, 0.03, grouped=True)
    result = solve(problem, penalty)
    assert_optimal(problem, penalty, result)
    assert 0 < np.count_nonzero(result.coef[0, :-1]) < p
    assert result.n_iter < 30


@pytest.mark.parametrize("storage", KERNEL)
def test_every_storage(storage):
    problem = replace(drawn(80, 150, 3), l2=0.001)
    problem = replace(problem, X=np.round(problem.X * (np.abs(problem.X) > 0.7), 0))
    penalty = Penalty.of(150, 0.02, grouped=True)
    result = solve(problem, penalty, X=KERNEL[storage](problem.X))
    expected = solve(problem, penalty)
    assert result.status is Status.CONVERGED
    np.testing.assert_array_equal(result.coef == 0.0, expected.coef == 0.0)
    np.testing.assert_allclose(result.coef, expected.coef, atol=1e-7)


def test_support_by_brute_force():
    """Of the optima within each subset of the columns, the best is found."""
    problem = drawn(60, 5, 3, seed=3)
    penalty = Penalty.of(5, 0.15, grouped=True)
    result = solve(problem, penalty)
    best = np.inf, ()
    for subset in itertools.chain.from_iterable(itertools.combinations(range(5), size) for size in range(1, 6)):
        within = solve(replace(problem, X=problem.X[:, list(subset)]), Penalty.of(len(subset), 0.15, grouped=True))
        if within.objective < best[0] - 1e-12:
            best = within.objective, subset
    assert 0 < len(best[1]) < 5
    np.testing.assert_array_equal(np.flatnonzero(result.coef[0, :-1]), best[1])


@pytest.mark.parametrize("l1", [0.005, 0.02])
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_duality_gap_bounds_what_is_left(l1, l2):
    problem = replace(SOLVABLE["three classes"], l2=l2)
    penalty = Penalty.of(problem.X.shape[1], l1, grouped=True)
    best = solve(problem, penalty, tol=1e-12)
    for max_iter in 1, 2, 3:
        rough = solve(problem, penalty, tol=1e-12, max_iter=max_iter)
        assert rough.objective - best.objective <= rough.suboptimality + 1e-12
    assert best.suboptimality < 1e-9


def test_tol_of_zero_ends():
    assert solve(SEVERAL, Penalty.of(X.shape[1], 0.01, grouped=True), tol=0.0).converged


# --- for users --------------------------------------------------------------------------------------------------


def test_two_classes_are_no_group():
    plain = LogisticRegression(alpha=0.05, l1_ratio=0.7, bounds=(0, np.inf))
    expected = plain.fit(X, Y > 0).coef_
    np.testing.assert_array_equal(clone(plain).set_params(group_classes=True).fit(X, Y > 0).coef_, expected)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("standardize", [False, True])
def test_estimator(l1_ratio, standardize):
    factors = np.array([0.0, 2.0, 1.0, 0.5, 9.0])[: X.shape[1]]
    options = {"alpha": 0.1, "l1_ratio": l1_ratio, "penalty_factors": factors, "standardize": standardize}
    model = LogisticRegression(**options, group_classes=True).fit(X, Y)
    size = X.std(axis=0) if standardize else 1.0
    coef = np.column_stack([model.coef_, model.intercept_])
    terms = {"l1": 0.1 * l1_ratio * factors * size, "l2": 0.1 * (1 - l1_ratio) * factors * size**2}
    assert naive.penalty_violation(X, Y, coef, grouped=True, **terms) < 2e-8
    assert model.coef_[:, 0].all()
    np.testing.assert_allclose(model.to_sklearn().predict_proba(X), model.predict_proba(X), atol=1e-14)


def test_without_L1_nothing_changes():
    expected = LogisticRegression(C=0.3).fit(X, Y).coef_
    np.testing.assert_array_equal(LogisticRegression(C=0.3, group_classes=True).fit(X, Y).coef_, expected)


@pytest.mark.parametrize("exponent", [-200, 200])
def test_extreme_units(exponent):
    scaled = X * np.append(np.ones(X.shape[1] - 1), 10.0**exponent)
    model = LogisticRegression(alpha=0.02, l1_ratio=1.0, standardize=True, group_classes=True).fit(scaled, Y)
    expected = LogisticRegression(alpha=0.02, l1_ratio=1.0, standardize=True, group_classes=True).fit(X, Y)
    np.testing.assert_allclose(model.predict_proba(scaled), expected.predict_proba(X), atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of the defaults that scikit-learn changes
@pytest.mark.parametrize("estimator", [LogisticRegression, LogisticRegressionCV])
def test_bounds_are_refused(estimator):
    with pytest.raises(ValueError, match="bounds and group_classes=True"):
        estimator(bounds=(0, np.inf), group_classes=True).fit(X, Y)
    with pytest.raises(ValueError, match="bounds and group_classes=True"):
        logistic_path(X, Y, bounds=(0, np.inf), group_classes=True)


def test_path():
    path = logistic_path(X, Y, l1_ratio=1.0, group_classes=True, tol=1e-10)
    n_classes = len(path.classes_)
    assert path.df_[0] == 0
    nearly = [path.alphas_[0] * 0.99]
    assert logistic_path(X, Y, l1_ratio=1.0, group_classes=True, alphas=nearly).df_[0] == 1
    used = path.coefs_.toarray().reshape(len(path.alphas_), n_classes, -1) != 0.0
    np.testing.assert_array_equal(used.any(axis=1), used.all(axis=1))
    middle = len(path.alphas_) // 2
    model = LogisticRegression(alpha=path.alphas_[middle], l1_ratio=1.0, group_classes=True, tol=1e-10).fit(X, Y)
    np.testing.assert_allclose(path.select(path.alphas_[middle]).coef_, model.coef_, atol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_cross_validation():
    options = {"use_legacy_attributes": False, "scoring": "neg_log_loss", "group_classes": True}
    model = LogisticRegressionCV(Cs=4, l1_ratios=(0.5, 1.0), cv=3, **options).fit(X, Y)
    again = LogisticRegression(C=model.C_, l1_ratio=model.l1_ratio_, group_classes=True).fit(X, Y)
    np.testing.assert_allclose(model.coef_, again.coef_, atol=1e-6)
    used = np.asarray(model.coefs_paths_)[..., :-1] != 0.0
    np.testing.assert_array_equal(used.any(axis=-2), used.all(axis=-2))
