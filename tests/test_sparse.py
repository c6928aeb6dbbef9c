"""L1, elastic net and bounds: optimality as the naive twin judges it, exact zeros, and what users may ask for."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import naive
from designs import KERNEL, USER, integers, messy_csr
from fastlogreg import LogisticRegression
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.penalty import Penalty, deviations, penalise
from fastlogreg.result import Status
from fastlogreg.solvers import SOLVERS, choose
from fastlogreg.solvers.by_columns import Columns
from problems import BINARY, SEVERAL, SOLVABLE, Problem, drawn, random_problem, with_columns, with_rows

TOL = 1e-9
X, Y = BINARY.X, BINARY.y.astype(int)
X3, Y3 = SEVERAL.X, SEVERAL.y

each_data = pytest.mark.parametrize(("X", "y"), [(X, Y), (X3, Y3)], ids=["binary", "several"])


def solve(problem, penalty, *, start=None, tol=TOL, X=None, **options):
    objective = LogisticObjective(
        as_design(problem.X if X is None else X),
        problem.y,
        n_classes=problem.n_classes,
        fit_intercept=problem.fit_intercept,
        **problem.terms,
    )
    start = np.zeros(problem.coef_shape) if start is None else start
    arguments = {"penalty": penalty, "tol": tol, "max_iter": 200, **options}
    return SOLVERS["prox-newton"].function(objective, start, **arguments)


def assert_optimal(problem, penalty, result, tol=TOL):
    """Every claim of the result, recomputed."""
    assert result.status is Status.CONVERGED
    terms = {"l1": penalty.l1, "low": penalty.low, "high": penalty.high}
    rest = {**problem.terms, "fit_intercept": problem.fit_intercept}
    violation = naive.penalty_violation(problem.X, problem.y, result.coef, **terms, **rest)
    assert violation <= tol + 1e-13
    assert result.violation == pytest.approx(violation, abs=1e-12)
    value = naive.objective(problem.X, problem.y, result.coef, **problem.terms) + naive.penalty(result.coef, **terms)
    assert result.objective == pytest.approx(value, rel=1e-12)


def parameters(model):
    """Coefficients as the naive twin takes them."""
    coef = np.column_stack([model.coef_, model.intercept_]).astype(np.float64)
    return coef[0] if len(model.classes_) == 2 else coef


def violation_of(model, X, y, *, l1, l2=0.0, **terms):
    classes, index = np.unique(y, return_inverse=True)
    target = index.astype(np.float64) if len(classes) == 2 else index
    return naive.penalty_violation(X, target, parameters(model), l1=l1, l2=l2, **terms)


# --- the penalty ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", [np.asarray, np.asfortranarray, scipy.sparse.csr_array])
def test_columns_taken(storage):
    rng = np.random.default_rng(0)
    matrix, index = rng.normal(size=(300, 9)), np.array([0, 3, 8])
    design = as_design(storage(matrix)).take_columns(index)
    assert design.shape == (300, 3)
    taken = design.X if isinstance(design.X, np.ndarray) else naive.dense(design.X)
    np.testing.assert_array_equal(taken, matrix[:, index])


def test_excess_is_zero_exactly_where_the_penalty_balances():
    penalty = Penalty.of(6, 1.0, [-9, -9, -9, -9, 0, 0], [9, 9, 9, 2, 9, 0])
    coef = np.array([1.0, -1.0, 0.0, 2.0, 0.0, 0.0])
    np.testing.assert_array_equal(penalty.excess(coef, np.array([-1.0, 1.0, 0.5, -5.0, 7.0, 3.0])), np.zeros(6))
    np.testing.assert_array_equal(
        penalty.excess(coef, np.array([-3.0, 0.0, -1.5, 0.0, -1.5, 99.0])), [2.0, 1.0, 0.5, 1.0, 0.5, 0.0]
    )


# --- optimality -------------------------------------------------------------------------------------------------


@given(
    n=st.integers(8, 60),
    p=st.integers(1, 20),
    n_classes=st.sampled_from([2, 2, 3]),
    share=st.floats(0.0, 1.2),
    l1_ratio=st.sampled_from([1.0, 0.5, 0.1]),
    bounded=st.booleans(),
    factored=st.booleans(),
    weighted=st.booleans(),
    shifted=st.booleans(),
    fit_intercept=st.booleans(),
    seed=st.integers(0, 999),
)
def test_optimal_by_the_twin(
    n, p, n_classes, share, l1_ratio, bounded, factored, weighted, shifted, fit_intercept, seed
):
    """share = 1 is about the strength at which all coefficients vanish."""
    problem = random_problem(
        n, p, n_classes, weighted=weighted, shifted=shifted, seed=seed, fit_intercept=fit_intercept
    )
    rng = np.random.default_rng(seed)
    factors = rng.choice([0.5, 1.0, 3.0], p) if factored else None
    bounds = (-rng.choice([0.0, 0.1, np.inf], p), rng.choice([0.0, 0.1, np.inf], p)) if bounded else (-np.inf, np.inf)
    bounds = tuple(np.broadcast_to(bound, p) for bound in bounds)
    l2, penalty = penalise(0.002 + 0.2 * share, l1_ratio, factors, bounds, None, 1.0)
    problem = replace(problem, l2=l2)
    assert_optimal(problem, penalty, solve(problem, penalty))


PENALTIES = {"L1": (0.02, 1.0), "elastic net": (0.02, 0.5), "nearly L2": (0.01, 0.05), "weak L1": (1e-4, 1.0)}


@pytest.mark.parametrize("name", SOLVABLE)
@pytest.mark.parametrize("kind", PENALTIES)
def test_solvable_problems(name, kind):
    """In units of the columns, which differ by 1e16 in some."""
    problem = SOLVABLE[name]
    alpha, l1_ratio = PENALTIES[kind]
    sizes = naive.scales(problem.X)[:-1]
    bounds = (np.full(len(sizes), -np.inf), np.full(len(sizes), np.inf))
    l2, penalty = penalise(alpha, l1_ratio, None, bounds, sizes, 1.0)
    problem = replace(problem, l2=l2)
    assert_optimal(problem, penalty, solve(problem, penalty))


@pytest.mark.parametrize("left_out", range(4))
def test_steps_do_not_creep_where_the_value_is_rounded(left_out):
    """The last step gains 10⁻¹⁸, less than what the column far from centred leaves uncertain."""
    whole = SOLVABLE["far from centred"]
    problem = replace(whole, X=whole.X[left_out:], y=whole.y[left_out:], l2=0.0095)
    penalty = Penalty.of(problem.X.shape[1], 0.0005)
    result = solve(problem, penalty)
    assert_optimal(problem, penalty, result)
    assert result.n_iter <= 8


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(("n", "p"), [(100, 700), (600, 400)])
def test_working_sets(n, p, n_classes):
    """More columns than are looked at together."""
    problem = replace(drawn(n, p, n_classes), l2=1e-3)
    penalty = Penalty.of(p, 0.01)
    result = solve(problem, penalty)
    assert_optimal(problem, penalty, result)
    assert 0 < np.count_nonzero(result.coef[..., :-1]) < result.coef[..., :-1].size
    assert result.n_iter < 30


def test_correlated_columns():
    rng = np.random.default_rng(0)
    problem = drawn(300, 150)
    problem = replace(problem, X=problem.X @ (np.eye(150) + 3.0) + 0.01 * rng.normal(size=(300, 150)))
    penalty = Penalty.of(150, 1e-3)
    result = solve(problem, penalty)
    assert_optimal(problem, penalty, result)
    assert result.n_iter < 60


def test_column_twice():
    """Many optima; one is found."""
    problem = with_columns(BINARY, BINARY.X[:, 1])
    penalty = Penalty.of(6, 0.01)
    assert_optimal(problem, penalty, solve(problem, penalty))


@pytest.fixture
def by_columns(monkeypatch):
    """No products of two columns whatever the working set."""
    monkeypatch.setattr(sys.modules["fastlogreg.solvers.prox_newton"]._Model, "_by_columns", lambda *_: True)


BY_COLUMNS = ["penalty", "no intercept", "weights and offset", "columns in units of 1e8 and 1e-8", "zero column"]
BY_COLUMNS += ["constant column, penalty", "fewer rows than columns", "many rows, few positive"]


@pytest.mark.parametrize("name", BY_COLUMNS)
@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array, messy_csr])
def test_by_columns(name, kind, storage, by_columns):
    problem = SOLVABLE[name]
    alpha, l1_ratio = PENALTIES[kind]
    sizes = naive.scales(problem.X)[:-1]
    bounds = (np.where(np.arange(len(sizes)) == 1, 0.0, -np.inf), np.full(len(sizes), np.inf))
    l2, penalty = penalise(alpha, l1_ratio, None, bounds, sizes, 1.0)
    problem = replace(problem, l2=l2)
    result = solve(problem, penalty, X=storage(problem.X))
    terms = {"l1": penalty.l1, "low": penalty.low, "high": penalty.high}
    rest = {**problem.terms, "fit_intercept": problem.fit_intercept}
    assert result.status is Status.CONVERGED
    assert naive.penalty_violation(problem.X, problem.y, result.coef, **terms, **rest) <= 2 * TOL


def test_a_large_sparse_working_set_is_taken_by_columns(monkeypatch):
    """The same optimum either way."""
    rng = np.random.default_rng(0)
    rows = scipy.sparse.csr_array(scipy.sparse.random(3000, 1200, density=0.01, random_state=rng))
    y = (rows @ rng.normal(size=1200) + 0.1 * rng.logistic(size=3000) > 0).astype(int)
    module = sys.modules["fastlogreg.solvers.prox_newton"]
    models, made = [], Columns.__init__
    monkeypatch.setattr(Columns, "__init__", lambda self, *rest: models.append(self) or made(self, *rest))
    found = LogisticRegression(C=10.0, l1_ratio=1.0, tol=1e-9).fit(rows, y)
    assert models
    monkeypatch.setattr(module._Model, "_by_columns", lambda *_: False)
    expected = LogisticRegression(C=10.0, l1_ratio=1.0, tol=1e-9).fit(rows, y)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-4)
    np.testing.assert_array_equal(found.coef_ == 0.0, expected.coef_ == 0.0)


def test_a_weak_penalty_on_sparse_columns():
    """Conjugate gradients take over where sweeps crawl: few models, each of few sweeps."""
    rng = np.random.default_rng(0)
    rows = scipy.sparse.csr_array(scipy.sparse.random(3000, 2000, density=0.01, random_state=rng))
    y = (rows @ rng.normal(size=2000) + 0.1 * rng.logistic(size=3000) > 0).astype(np.float64)
    problem, penalty = Problem(rows.toarray(), y), Penalty.of(2000, 1e-6)
    result = solve(problem, penalty, tol=1e-8, X=rows)
    assert_optimal(problem, penalty, result, tol=1e-8)
    assert result.n_iter <= 15


def test_support_by_brute_force():
    """Of the optima with coefficients zero but for each subset of the columns, the best is found."""
    problem = drawn(60, 6, seed=3)
    penalty = Penalty.of(6, 0.05)
    result = solve(problem, penalty)
    best = np.inf, ()
    for subset in itertools.chain.from_iterable(itertools.combinations(range(6), size) for size in range(7)):
        bounds = np.zeros(6)
        bounds[list(subset)] = np.inf
        within = solve(problem, Penalty.of(6, 0.05, -bounds, bounds))
        if within.objective < best[0] - 1e-12:
            best = within.objective, subset
    assert 0 < len(best[1]) < 6
    np.testing.assert_array_equal(np.flatnonzero(result.coef[:-1]), best[1])
    assert result.objective == pytest.approx(best[0], abs=1e-12)


@pytest.mark.parametrize("storage", KERNEL)
def test_every_storage(storage):
    problem = replace(drawn(80, 200), l2=0.001)
    problem = replace(problem, X=np.round(problem.X * (np.abs(problem.X) > 0.7), 0))
    penalty = Penalty.of(200, 0.01)
    stored = KERNEL[storage](problem.X)
    result = solve(problem, penalty, X=stored)
    assert result.status is Status.CONVERGED
    expected = solve(problem, penalty)
    np.testing.assert_array_equal(result.coef == 0.0, expected.coef == 0.0)
    np.testing.assert_allclose(result.coef, expected.coef, atol=1e-7)
    assert_optimal(problem, penalty, expected)


@pytest.mark.parametrize("storage", USER)
def test_every_input(storage):
    rng = np.random.default_rng(0)
    matrix = integers(rng, (60, 5))
    y = (matrix[:, 0] + rng.normal(size=60) > 0).astype(int)
    expected = LogisticRegression(C=0.5, l1_ratio=0.7, tol=1e-10).fit(matrix, y)
    found = LogisticRegression(C=0.5, l1_ratio=0.7, tol=1e-10).fit(USER[storage](matrix), y)
    tolerance = 1e-3 if storage == "float16" else 1e-7
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=tolerance)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bitwise_equal_for_any_number_of_threads(n_jobs):
    problem = drawn(30_000, 40)
    y = problem.y.astype(int)
    one = LogisticRegression(alpha=0.01, l1_ratio=1.0, n_jobs=1).fit(problem.X, y)
    other = LogisticRegression(alpha=0.01, l1_ratio=1.0, n_jobs=n_jobs).fit(problem.X, y)
    np.testing.assert_array_equal(one.coef_, other.coef_)


def test_a_warm_start_at_the_optimum_costs_one_pass():
    problem, penalty = replace(BINARY, l2=0.01), Penalty.of(5, 0.02)
    result = solve(problem, penalty)
    again = solve(problem, penalty, start=result.coef)
    assert again.n_iter == 0
    np.testing.assert_array_equal(again.coef, result.coef)


def test_a_start_out_of_bounds():
    penalty = Penalty.of(5, 0.01, -0.1, 0.1)
    assert_optimal(BINARY, penalty, solve(BINARY, penalty, start=np.full(6, 5.0)))


def test_a_callback_stops():
    seen = []
    penalty = Penalty.of(5, 0.01)
    result = solve(BINARY, penalty, callback=lambda progress: seen.append(progress.violation) or len(seen) == 2)
    assert result.status is Status.STOPPED
    assert result.n_iter == 1
    np.testing.assert_array_equal(seen, result.history[:, 1])


def test_a_tol_of_zero_ends():
    penalty = Penalty.of(5, 0.01)
    assert solve(BINARY, penalty, tol=0.0).status in (Status.CONVERGED, Status.PRECISION)


MANY = drawn(100_000, 30)


def test_many_rows_start_from_a_sample():
    """Few passes over all rows, and the optimum all the same."""
    penalty = Penalty.of(30, 0.01)
    result = solve(MANY, penalty)
    assert_optimal(MANY, penalty, result)
    assert result.n_passes < 10
    assert result.history[0, 1] < 0.03


def test_a_sample_that_misleads_is_dropped(monkeypatch):
    penalty = Penalty.of(30, 0.01)
    module = sys.modules["fastlogreg.solvers.prox_newton"]
    monkeypatch.setattr(module, "_sample_start", lambda objective, penalty, start, *rest: start + 5.0)
    result = solve(MANY, penalty)
    assert_optimal(MANY, penalty, result)
    assert result.history[0, 0] == pytest.approx(np.log(2))


def rare_column(problem):
    X = problem.X.copy()
    X[:, 3] = np.arange(len(X)) == 7
    return replace(problem, X=X)


#: What some rows may not stand for all rows of.
UNEVEN = {
    "plain": lambda problem: problem,
    "sorted": lambda problem: replace(problem, X=problem.X[np.argsort(problem.y)], y=np.sort(problem.y)),
    "rare column": rare_column,
    "weights": lambda problem: replace(problem, weight=np.where(np.arange(len(problem.y)) % 3, 0.0, 2.0)),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", UNEVEN)
def test_hessians_of_some_rows(name, order, monkeypatch):
    """BFGS corrects them, or one of all rows follows."""
    module = sys.modules["fastlogreg.solvers.prox_newton"]
    monkeypatch.setattr(module, "SINGLE_WORK", 0.0)
    found, some_rows = [], module._some_rows
    monkeypatch.setattr(module, "_some_rows", lambda *arguments: found.append(some_rows(*arguments)) or found[-1])
    problem = UNEVEN[name](drawn(6000, 150, seed=4))
    penalty = Penalty.of(150, 0.002)
    result = solve(problem, penalty, X=np.asarray(problem.X, order=order))
    assert_optimal(problem, penalty, result)
    assert found[0].design.shape[0] < 6000


@pytest.mark.parametrize("correlated", [False, True])
def test_independent_columns_need_few_rows(correlated, monkeypatch):
    """A sample says whether they are; then what it has off the diagonal is mostly noise, and is taken away."""
    module = sys.modules["fastlogreg.solvers.prox_newton"]
    monkeypatch.setattr(module, "SINGLE_WORK", 0.0)
    asked, some_rows = [], module._some_rows

    def noted(objective, chosen, enough, samples):
        asked.append((len(chosen), enough, some_rows(objective, chosen, enough, samples)))
        return asked[-1][-1]

    monkeypatch.setattr(module, "_some_rows", noted)
    problem = drawn(4000, 400, seed=4)
    if correlated:
        shared = np.random.default_rng(0).normal(size=(4000, 1))
        problem = replace(problem, X=problem.X + 2.0 * shared)
    penalty = Penalty.of(400, 0.002)
    result = solve(problem, penalty, tol=1e-7)
    assert_optimal(problem, penalty, result, tol=1e-7)
    assert result.n_iter <= 14
    n_chosen, enough, sample = asked[-1]
    assert n_chosen > 200
    assert enough == (module.ENOUGH_ROWS if correlated else module.FEW_ROWS)
    assert (sample.design.shape[0] < 4 * n_chosen) is not correlated


def test_rare_events_start_at_their_odds():
    """From an intercept of zero it takes half as many iterations again."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 60))
    y = (X[:, :3].sum(axis=1) + rng.logistic(size=3000) > 7.0).astype(np.float64)
    problem, penalty = Problem(X, y), Penalty.of(60, 1e-3)
    result = solve(problem, penalty)
    assert_optimal(problem, penalty, result)
    share = y.mean()
    assert result.history[0, 0] == pytest.approx(-share * np.log(share) - (1 - share) * np.log1p(-share))


def test_some_rows_have_their_share_of_all_columns(monkeypatch):
    """Those of the working set, or it is all rows."""
    module = sys.modules["fastlogreg.solvers.prox_newton"]
    monkeypatch.setattr(module, "SINGLE_WORK", 0.0)
    problem = rare_column(drawn(6000, 20, seed=4))
    objective = LogisticObjective(as_design(problem.X), problem.y)
    assert module._some_rows(objective, np.array([0, 3]), module.ENOUGH_ROWS, {}) is objective
    assert module._some_rows(objective, np.array([0, 1]), module.ENOUGH_ROWS, {}).design.shape[0] < 1000


def test_passes_stay_few():
    """A speed test without a clock: so many passes it took, in units of the whole X."""
    problem = drawn(2000, 60)
    assert solve(problem, Penalty.of(60, 0.01), tol=1e-8).n_passes <= 16
    problem = drawn(200, 1000)
    assert solve(problem, Penalty.of(1000, 0.01), tol=1e-8).n_passes <= 16


@pytest.mark.parametrize("name", ["penalty", "no intercept", "weights and offset", "three classes"])
@pytest.mark.parametrize("l1", [0.0, 0.02])
@pytest.mark.parametrize("l2", [0.0, 0.01])
@pytest.mark.parametrize("bound", [0.1, np.inf])
def test_duality_gap_bounds_what_is_left(name, l1, l2, bound):
    """At rough answers, and zero at the optimum."""
    problem = replace(SOLVABLE[name], l2=l2)
    penalty = Penalty.of(problem.X.shape[1], l1, -bound, bound)
    if penalty.trivial:
        return
    best = solve(problem, penalty, tol=1e-12)
    assert best.suboptimality < 1e-8
    for max_iter in (1, 2, 3):
        rough = solve(problem, penalty, tol=1e-12, max_iter=max_iter)
        left = rough.objective - best.objective
        assert left <= rough.suboptimality + 1e-12


# --- as users meet it -------------------------------------------------------------------------------------------


@each_data
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("C", [0.02, 1.0])
def test_objective_of_scikit_learn(X, y, C, l1_ratio):
    model = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(X, y)
    alpha = 1.0 / (C * len(X))
    assert violation_of(model, X, y, l1=alpha * l1_ratio, l2=alpha * (1 - l1_ratio)) < 2e-8
    assert (C == 1.0) or (model.coef_ == 0.0).any()


@pytest.mark.parametrize("solver", ["auto", "prox-newton", "saga", "liblinear", "sag"])
def test_names_of_solvers(solver):
    options = {"l1_ratio": 1.0} if solver != "sag" else {"bounds": (-1.0, 1.0)}
    # The tol of sag and saga bounds another quantity, which leaves a tenth of it as the violation.
    expected = LogisticRegression(C=0.1, tol=1e-9 if solver in ("sag", "saga") else 1e-8, **options).fit(X, Y)
    np.testing.assert_array_equal(LogisticRegression(C=0.1, solver=solver, **options).fit(X, Y).coef_, expected.coef_)
    assert choose(100, 5, 2, penalty=True) == "prox-newton"


@each_data
def test_alpha_is_another_spelling_of_C(X, y):
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    for l1_ratio in (0.0, 0.5, 1.0):
        by_alpha = LogisticRegression(alpha=0.02, l1_ratio=l1_ratio).fit(X, y, sample_weight=weight)
        by_C = LogisticRegression(C=1 / (0.02 * weight.sum()), l1_ratio=l1_ratio).fit(X, y, sample_weight=weight)
        np.testing.assert_allclose(by_alpha.coef_, by_C.coef_, rtol=1e-8, atol=1e-12)
    unpenalised = LogisticRegression(alpha=0.0).fit(X, y)
    np.testing.assert_array_equal(unpenalised.coef_, LogisticRegression(C=np.inf).fit(X, y).coef_)


@each_data
def test_no_penalty_whatever_l1_ratio(X, y):
    expected = LogisticRegression(C=np.inf).fit(X, y)
    np.testing.assert_array_equal(LogisticRegression(C=np.inf, l1_ratio=1.0).fit(X, y).coef_, expected.coef_)


@each_data
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_penalty_factors(X, y, l1_ratio):
    factors = np.array([0.0, 2.0, 1.0, 0.5, 30.0])[: X.shape[1]]
    model = LogisticRegression(alpha=0.1, l1_ratio=l1_ratio, penalty_factors=factors).fit(X, y)
    assert violation_of(model, X, y, l1=0.1 * l1_ratio * factors, l2=0.1 * (1 - l1_ratio) * factors) < 2e-8
    if l1_ratio == 1.0:
        assert model.coef_[:, 0].any()
    plain = LogisticRegression(alpha=0.1, l1_ratio=l1_ratio)
    ones = LogisticRegression(alpha=0.1, l1_ratio=l1_ratio, penalty_factors=np.ones(X.shape[1]))
    np.testing.assert_allclose(ones.fit(X, y).coef_, plain.fit(X, y).coef_, atol=1e-7)


@each_data
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1.0, 1e200])
def test_standardize(X, y, l1_ratio, scale):
    """The same as on columns of unit variance, reported on the original scale."""
    units = np.array([1.0, 100.0, scale, 1e-3, 3.0])[: X.shape[1]]
    unit_variance = X / X.std(axis=0)
    expected = LogisticRegression(alpha=0.02, l1_ratio=l1_ratio, tol=1e-11).fit(unit_variance, y)
    model = LogisticRegression(alpha=0.02, l1_ratio=l1_ratio, standardize=True, tol=1e-11).fit(X * units, y)
    np.testing.assert_allclose(model.coef_ * X.std(axis=0) * units, expected.coef_, atol=1e-8)
    stored = scipy.sparse.csr_array(X * units)
    by_rows = LogisticRegression(alpha=0.02, l1_ratio=l1_ratio, standardize=True, tol=1e-11).fit(stored, y)
    np.testing.assert_allclose(by_rows.coef_, model.coef_, rtol=1e-7, atol=1e-300)


def test_standardize_adds_up_entries_of_one_place():
    matrix = integers(np.random.default_rng(0), (60, 4))
    y = np.arange(60) % 2
    expected = LogisticRegression(alpha=0.01, l1_ratio=1.0, standardize=True).fit(matrix, y)
    messy = messy_csr(matrix)
    found = LogisticRegression(alpha=0.01, l1_ratio=1.0, standardize=True).fit(messy, y)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-8)
    assert not messy.has_canonical_format


def test_sizes_of_columns():
    matrix = np.column_stack([np.arange(4.0), np.full(4, 3.0), np.zeros(4)])
    moments = np.stack([matrix.sum(axis=0), (matrix**2).sum(axis=0)])
    np.testing.assert_allclose(deviations(moments, 4.0), [np.std(np.arange(4.0)), 3.0, 1.0])


@each_data
@pytest.mark.parametrize("options", [{"C": np.inf}, {"C": 0.5}, {"C": 0.5, "l1_ratio": 1.0}])
def test_bounds_are_active_where_the_multipliers_say(X, y, options):
    model = LogisticRegression(bounds=(-0.2, np.full(X.shape[1], 0.3)), **options).fit(X, y)
    alpha, l1_ratio = 1.0 / (options["C"] * len(X)), options.get("l1_ratio", 0.0)
    assert violation_of(model, X, y, l1=alpha * l1_ratio, l2=alpha * (1 - l1_ratio), low=-0.2, high=0.3) < 2e-8
    assert model.coef_.min() >= -0.2
    assert model.coef_.max() <= 0.3
    assert np.isin(model.coef_, [-0.2, 0.3]).any()
    best = model.result_.objective
    for column in range(X.shape[1]):  # without a bound something changes only if it is active
        low, high = np.full(X.shape[1], -0.2), np.full(X.shape[1], 0.3)
        low[column], high[column] = -np.inf, np.inf
        better = best - LogisticRegression(bounds=(low, high), **options).fit(X, y).result_.objective
        assert (better > 1e-6) == np.isin(model.coef_[:, column], [-0.2, 0.3]).any(), better


def test_positive_coefficients():
    model = LogisticRegression(bounds=(0, np.inf)).fit(X, Y)
    assert (model.coef_ >= 0.0).all()
    assert (model.coef_ == 0.0).any()
    wide = LogisticRegression(bounds=(-1e9, 1e9)).fit(X, Y)
    np.testing.assert_allclose(wide.coef_, LogisticRegression().fit(X, Y).coef_, atol=1e-7)


@each_data
def test_weights_count_rows(X, y):
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    options = {"C": 0.3, "l1_ratio": 0.8, "tol": 1e-11}
    weighted = LogisticRegression(**options).fit(X, y, sample_weight=weight)
    repeated = LogisticRegression(**options).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)


def test_rescaled_columns_with_factors():
    units = np.array([1e8, 1e-8, 1e200, 1e-200, 1.0])
    expected = LogisticRegression(alpha=0.05, l1_ratio=1.0, tol=1e-11).fit(X, Y)
    found = LogisticRegression(alpha=0.05, l1_ratio=1.0, penalty_factors=units, tol=1e-11).fit(X * units, Y)
    np.testing.assert_allclose(found.coef_ * units, expected.coef_, atol=1e-8)


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
@pytest.mark.parametrize("exponent", [-300, -140, 140, 300])
def test_extreme_units(exponent, l1_ratio):
    """Penalised in the user's units: a tiny column is left out, a huge one is not penalised to speak of."""
    units = np.array([10.0**exponent, 1.0, 1.0, 1.0, 1.0])
    model = LogisticRegression(alpha=0.05, l1_ratio=l1_ratio).fit(X * units, Y)
    assert model.result_.converged
    if exponent < 0:
        assert model.coef_[0, 0] == 0.0
        expected = LogisticRegression(alpha=0.05, l1_ratio=l1_ratio).fit(X[:, 1:], Y).coef_
        np.testing.assert_allclose(model.coef_[:, 1:], expected, atol=1e-7)
    else:
        factors = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
        expected = LogisticRegression(alpha=0.05, l1_ratio=l1_ratio, penalty_factors=factors).fit(X, Y)
        np.testing.assert_allclose(model.coef_ * units, expected.coef_, atol=1e-7)


@each_data
@pytest.mark.parametrize("C", [1e-300, 1e-8, 1e8, 1e300])
def test_extreme_strengths(X, y, C):
    model = LogisticRegression(C=C, l1_ratio=1.0).fit(X, y)
    assert model.result_.converged
    if C < 1:
        assert not model.coef_.any()
        share = np.bincount(y) / len(y)
        centred = np.log(share) - np.log(share).mean() if len(share) > 2 else np.log(share[1:] / share[0])
        np.testing.assert_allclose(model.intercept_, centred, atol=1e-7)
    else:
        free = LogisticRegression(C=np.inf).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), free.predict_proba(X), atol=1e-5)


def test_separable_classes_have_an_optimum_with_L1():
    model = LogisticRegression(C=100.0, l1_ratio=1.0).fit(X, X[:, 0] > 0.1)
    assert model.result_.status is Status.CONVERGED
    assert model.score(X, X[:, 0] > 0.1) == 1.0


@each_data
def test_offset(X, y):
    rng = np.random.default_rng(0)
    offset = rng.normal(size=len(y) if len(np.unique(y)) == 2 else (len(y), 3))
    model = LogisticRegression(alpha=0.03, l1_ratio=1.0).fit(X, y, offset=offset)
    assert violation_of(model, X, y, l1=0.03, offset=offset) < 2e-8


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_offsets_of_ten_thousand(ratio):
    """At the start all probabilities are 0 or 1, rightly or not: a quadratic model has next to no curvature."""
    offset = 1e4 * np.random.default_rng(0).normal(size=len(Y))
    model = LogisticRegression(alpha=0.03, l1_ratio=ratio).fit(X, Y, offset=offset)
    assert model.result_.status is Status.CONVERGED and model.n_iter_ > 0
    terms = {"l1": 0.03 * ratio, "l2": 0.03 * (1.0 - ratio), "offset": offset}
    assert naive.penalty_violation(X, Y.astype(np.float64), model.result_.coef, **terms) < 2e-8


@pytest.mark.parametrize("seed", range(3))
def test_offsets_of_ten_thousand_and_no_columns_that_help(seed):
    """The intercept finds its way alone, where rows that count have no curvature for a model to move it by."""
    rng = np.random.default_rng(seed)
    y, weight, offset = rng.integers(0, 2, 30), 10.0 ** rng.uniform(-12, 12, 30), 1e4 * rng.normal(size=30)
    model = LogisticRegression(solver="prox-newton").fit(np.zeros((30, 2)), y, weight, offset)
    assert model.result_.status is Status.CONVERGED


def test_warm_start():
    model = LogisticRegression(alpha=0.02, l1_ratio=1.0, warm_start=True).fit(X, Y)
    assert model.fit(X, Y).n_iter_ == 0
    assert model.set_params(alpha=0.021).fit(X, Y).n_iter_ < 5
    assert model.set_params(bounds=(-0.01, 0.01)).fit(X, Y).result_.converged


def test_weights_and_offset_of_rows():
    problem = with_rows(BINARY, l2=0.01)
    penalty = Penalty.of(5, 0.02)
    assert_optimal(problem, penalty, solve(problem, penalty))


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "'alpha' parameter"),
        ({"C": 2.0, "alpha": 0.1}, "two names of one strength"),
        ({"l1_ratio": 1.5}, "'l1_ratio' parameter"),
        ({"penalty_factors": [1.0, 2.0]}, r"penalty_factors has shape \(2,\), expected \(5,\)"),
        ({"penalty_factors": [1.0, 2.0, -1.0, 1.0, 1.0]}, "column 2 is -1.0"),
        ({"penalty_factors": [1.0, 2.0, 1.0, np.nan, 1.0]}, "column 3 is nan"),
        ({"penalty_factors": np.zeros(5)}, "all zero.*C=np.inf"),
        ({"bounds": (1.0, -1.0)}, "column 0 cross"),
        ({"bounds": ([-1, -1, 0.5, -1, -1], 1.0)}, r"column 2 exclude 0: \[0.5, 1.0\]"),
        ({"bounds": (-2.0, -1.0)}, "exclude 0"),
        ({"bounds": (np.nan, 1.0)}, "column 0 cross or are NaN"),
        ({"bounds": ([-1.0, -1.0], 1.0)}, r"low has shape \(2,\), expected a number or shape \(5,\)"),
        ({"bounds": (1.0,)}, "must be a pair"),
        ({"bounds": ("a", "b")}, "must be a pair"),
        ({"solver": "newton", "l1_ratio": 1.0}, "Solver newton supports only 'l2' or None"),
        ({"solver": "lbfgs", "bounds": (-1.0, 1.0)}, "Solver lbfgs does not support bounds"),
        ({"solver": "liblinear", "l1_ratio": 0.5}, "Only 'saga' solver supports elasticnet"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**options).fit(X, Y)


def test_factors_of_zero_where_nothing_is_penalised_anyway():
    model = LogisticRegression(C=np.inf, penalty_factors=np.zeros(5)).fit(X, Y)
    np.testing.assert_allclose(model.coef_, LogisticRegression(C=np.inf).fit(X, Y).coef_, atol=1e-7)
