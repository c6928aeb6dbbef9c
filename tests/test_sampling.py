"""Newton from a sample of the rows: whatever the sample misses, the answer is the optimum of all rows."""

import numpy as np
import pytest
import scipy.sparse

import naive
from fastlogreg import LogisticRegression
from fastlogreg.design import RUN_ROWS, SAMPLE_RUNS, as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.solvers import hybrid, newton
from fastlogreg.solvers.sampling import enriched

N_ROWS = 8000


@pytest.fixture(autouse=True)
def samples_of_small_data(monkeypatch):
    monkeypatch.setattr("fastlogreg.design.SAMPLE_WORK", 0)


def plain(p, rng):
    X = rng.standard_normal((N_ROWS, p))
    eta = X @ rng.standard_normal(p) / np.sqrt(p)
    return X, (eta + rng.logistic(size=N_ROWS) > 0).astype(np.float64), {}


def sorted_by_class(p, rng):
    X, y, terms = plain(p, rng)
    order = np.argsort(y, kind="stable")
    return X[order], y[order], terms


def rare_events(p, rng):
    X, y, terms = sorted_by_class(p, rng)
    y[:] = 0.0
    y[-8:] = 1.0
    return X, y, terms


def rare_column(p, rng):
    X, y, terms = plain(p, rng)
    X[:, 0] = 0.0
    X[[5, 4001], 0] = 1.0
    return X, y, terms


def far_from_centred(p, rng):
    X, y, terms = plain(p, rng)
    return X * 10.0 ** np.linspace(-2, 2, p) + np.linspace(-300, 300, p), y, terms


def correlated(p, rng):
    X, y, terms = plain(p, rng)
    return X @ (np.eye(p) + 30.0), y, terms


def drifting(p, rng):
    """Rows in the order of time, later ones ever larger."""
    X, y, terms = plain(p, rng)
    return X * np.geomspace(1e-3, 10.0, N_ROWS)[:, None], y, terms


def mostly_without_weight(p, rng):
    X, y, terms = plain(p, rng)
    weight = np.where(rng.random(N_ROWS) < 0.02, rng.random(N_ROWS), 0.0)
    X[weight == 0.0] *= 1e6
    return X, y, {"weight": weight}


def with_offset(p, rng):
    X, y, terms = plain(p, rng)
    return X, y, {"offset": rng.standard_normal(N_ROWS)}


DATA = (
    plain,
    sorted_by_class,
    rare_events,
    rare_column,
    far_from_centred,
    correlated,
    drifting,
    mostly_without_weight,
    with_offset,
)


def assert_optimal(X, y, coef, tol=1e-9, **terms):
    assert naive.suboptimality(X, y, coef, **terms) <= tol * naive.objective(X, y, coef, **terms)
    assert naive.kkt_violation(X, y, coef, **terms) <= 100.0 * tol


@pytest.mark.parametrize("l2", [0.0, 1e-4])
@pytest.mark.parametrize("p", [10, 40], ids=["copied rows", "runs of rows"])
@pytest.mark.parametrize("make", DATA)
def test_reaches_the_optimum_of_all_rows(make, p, l2):
    X, y, terms = make(p, np.random.default_rng(p))
    if l2 == 0.0 and make is rare_events:
        l2 = 1e-6  # eight events and forty columns are separable
    objective = LogisticObjective(as_design(X), y, l2=l2, **terms)
    result = newton(objective, np.zeros(p + 1), tol=1e-9, max_iter=100)
    assert result.converged
    assert result.n_passes % 1.0 != 0.0  # a sample was solved
    assert_optimal(X, y, result.coef, l2=l2, **terms)


@pytest.mark.parametrize("storage", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array, np.float32])
def test_every_storage(storage):
    X, y, _ = plain(40, np.random.default_rng(0))
    stored = storage(X)
    X = naive.dense(stored).astype(np.float64)
    result = newton(LogisticObjective(as_design(stored), y, l2=1e-4), np.zeros(41), tol=1e-9, max_iter=100)
    assert naive.kkt_violation(X, y, result.coef, l2=1e-4) <= 1e-8


def test_three_classes():
    X, y, _ = plain(10, np.random.default_rng(0))
    y = (y + (X[:, 1] > 1.0)).astype(np.int64)
    objective = LogisticObjective(as_design(X), y, l2=1e-4, n_classes=3)
    result = newton(objective, np.zeros((3, 11)), tol=1e-9, max_iter=100)
    assert_optimal(X, y, result.coef, l2=1e-4)


@pytest.mark.parametrize("by_panels", [False, True], ids=["", "BLAS panels"])
@pytest.mark.parametrize("weighted", [False, True])
def test_runs_are_read_where_they_are(weighted, by_panels, monkeypatch):
    """The objective of runs of rows is that of their copy, and nothing of X is copied."""
    if by_panels:
        monkeypatch.setattr("fastlogreg.hessian_sums.OWN", 10)
    rng = np.random.default_rng(1)
    X, y, _ = plain(40, rng)
    terms = {"weight": rng.random(N_ROWS), "offset": rng.standard_normal(N_ROWS)} if weighted else {}
    objective = LogisticObjective(as_design(X), y, l2=0.1, **terms)
    sample = objective.sample(N_ROWS // 8)
    assert sample.design.X is objective.design.X
    rows = np.concatenate([np.arange(first, last) for first, last in sample.design.runs])
    assert len(rows) == len(set(rows)) == sample.design.shape[0]
    assert np.histogram(rows, bins=SAMPLE_RUNS, range=(0, N_ROWS))[0].all()
    coef = rng.standard_normal(41) * 0.1
    terms = {name: values[rows] for name, values in terms.items()}
    copied = LogisticObjective(as_design(X[rows]), y[rows], l2=0.1, **terms)
    for one, other in zip(sample.value_gradient_hessian(coef), copied.value_gradient_hessian(coef), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(sample.value_gradient(coef)[1], copied.value_gradient(coef)[1], rtol=1e-12, atol=1e-14)


def test_many_rows_are_runs_and_few_are_copied():
    X = np.zeros((SAMPLE_RUNS * RUN_ROWS * 8, 1))
    design = as_design(X)
    assert design.sample(SAMPLE_RUNS * RUN_ROWS)[1] is None
    assert len(design.sample(100)[1]) == 100


def test_no_tolerance_ends_at_rounding():
    X, y, _ = plain(40, np.random.default_rng(2))
    result = newton(LogisticObjective(as_design(X), y, l2=1e-4), np.zeros(41), tol=0.0, max_iter=200)
    assert result.converged
    assert naive.kkt_violation(X, y, result.coef, l2=1e-4) <= 1e-13


def test_a_sample_of_a_sample_lies_in_it():
    design = as_design(np.zeros((SAMPLE_RUNS * RUN_ROWS * 64, 1)))
    outer, _ = design.sample(SAMPLE_RUNS * RUN_ROWS * 8)
    inner, _ = outer.sample(SAMPLE_RUNS * RUN_ROWS)
    assert ((outer.runs[:, 0] <= inner.runs[:, 0]) & (inner.runs[:, 1] <= outer.runs[:, 1])).all()
    _, index = outer.sample(100)
    assert len(index) == 100
    assert all(((outer.runs[:, 0] <= i) & (i < outer.runs[:, 1])).any() for i in index)


@pytest.mark.parametrize("make", DATA)
def test_moments_of_a_sample_stand_for_all_rows_or_are_not_taken(make):
    X, y, terms = make(40, np.random.default_rng(4))
    moments = LogisticObjective(as_design(X), y, **terms).moments
    assert moments.sampled == (make not in (rare_column, mostly_without_weight))
    weight = terms.get("weight", np.ones(N_ROWS))
    exact = np.array([weight @ X, weight @ X**2]) / weight.sum()
    mean, square = moments.sums / weight.sum()
    np.testing.assert_array_less(np.abs(np.log((square - mean**2) / (exact[1] - exact[0] ** 2))), np.log(4.0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("storage", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs"])
def test_an_entry_that_no_sample_showed_is_not_finite(solver, storage, value):
    X, y, _ = plain(40, np.random.default_rng(5))
    assert LogisticObjective(as_design(X), y).moments.sampled
    X[77, 3] = value
    with pytest.raises(ValueError, match="row 77, column 3"):
        LogisticRegression(solver=solver).fit(storage(X), y)


@pytest.mark.parametrize("value", [1e5, 1e20, 1e100, 1e200])
def test_an_entry_that_no_sample_showed_is_huge(value):
    X, y, _ = plain(40, np.random.default_rng(5))
    X[77, 3] = value
    model = LogisticRegression().fit(X, y)
    assert model.result_.converged
    alone = naive.optimum(np.delete(X, 3, axis=1), y, (40,), l2=1 / N_ROWS)
    if value >= 1e20:  # such a column says something of its one row only, and is in the way of nothing else
        rest = np.delete(model.coef_[0], 3)
        assert np.abs(rest - alone[:-1]).max() < 1e-2


# Sweeps over all rows of fits with default tol, those for samples and scales included: they may fall, not rise.
BUDGETS = {"plain": 6.0, "correlated": 8.0, "far_from_centred": 6.0, "sorted_by_class": 6.0}


@pytest.mark.parametrize("name", BUDGETS)
def test_passes_with_plenty_of_rows(name):
    rng = np.random.default_rng(3)
    X, y, _ = next(make for make in DATA if make.__name__ == name)(40, rng)
    X, y = np.tile(X, (6, 1)), np.tile(y, 6)
    X += 0.1 * rng.standard_normal(X.shape) * X.std(axis=0)
    model = LogisticRegression().fit(X, y)
    assert model.result_.n_passes <= BUDGETS[name]
    assert model.result_.suboptimality <= 1e-9


@pytest.mark.parametrize("seed", [0, 1])
def test_passes_with_fewer_rows_and_independent_columns(seed):
    """L-BFGS goes on from a sample with what it learned there: no Hessian at all."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((160 * 60, 60))
    y = (2.0 * X @ rng.standard_normal(60) / np.sqrt(60) + rng.logistic(size=len(X)) > 0).astype(np.float64)
    objective = LogisticObjective(as_design(X), y, l2=1 / len(X))
    result = hybrid(objective, np.zeros(61), tol=1e-8, max_iter=100)
    assert result.converged
    assert result.n_passes <= 17.0
    # It ends where the objective is within tol of its least: the violation is nearer to the root of that.
    terms = {"l2": 1 / len(X)}
    assert naive.suboptimality(X, y, result.coef, **terms) <= 1e-8 * naive.objective(X, y, result.coef, **terms)
    assert naive.kkt_violation(X, y, result.coef, **terms) <= 1e-5


def test_all_rare_events_are_in_their_sample():
    rng = np.random.default_rng(6)
    n_rows, p = 200_000, 10
    X = rng.standard_normal((n_rows, p))
    y = (X.sum(axis=1) - 12.0 + rng.logistic(size=n_rows) > 0).astype(np.float64)
    weight = rng.uniform(0.5, 1.5, n_rows)
    objective = LogisticObjective(as_design(X), y, weight=weight, l2=1e-6)
    sample = enriched(objective)
    assert sample.design.shape[0] < n_rows / 4
    np.testing.assert_allclose(sample.total_weight, objective.total_weight)
    np.testing.assert_allclose(sample.positive_share, objective.positive_share)
    result = newton(objective, np.zeros(p + 1), tol=1e-9, max_iter=100)
    assert_optimal(X, y, result.coef, weight=weight, l2=1e-6)
    balanced = LogisticObjective(as_design(X), (X[:, 0] > 0).astype(np.float64))
    assert enriched(balanced) is None
