"""The objective equals its twin through the real design: storages, threads, segments, panels, penalty, intercept."""

import numpy as np
import pytest
import scipy.sparse

import naive
from designs import KERNEL
from fastlogreg import design as design_module
from fastlogreg import hessian_sums
from fastlogreg.coordinates import Coordinates
from fastlogreg.design import Moments, as_design
from fastlogreg.kernels.csr import CSR
from fastlogreg.objective import LogisticObjective
from fastlogreg.units import column_units
from problems import random_coef, random_problem


def make_objective(problem, X=None, n_jobs=None):
    design = as_design(problem.X if X is None else X, n_jobs)
    fit_intercept = problem.fit_intercept
    return LogisticObjective(
        design, problem.y, n_classes=problem.n_classes, fit_intercept=fit_intercept, **problem.terms
    )


def assert_equals_twin(problem, objective):
    coef, vector = random_coef(problem), random_coef(problem, seed=1)
    if not problem.fit_intercept:
        coef[..., -1] = vector[..., -1] = 0.0
    expected_value = naive.objective(problem.X, problem.y, coef, **problem.terms)
    expected_gradient = naive.gradient(
        problem.X, problem.y, coef, **problem.terms, fit_intercept=problem.fit_intercept
    )
    total = naive.weights(problem.X, problem.weight).sum()
    expected_hessian = naive.hessian(problem.X, coef, problem.weight, problem.offset) / total
    penalised = np.ones(problem.coef_shape)
    penalised[..., -1] = 0.0
    expected_hessian += problem.l2 * np.diag(penalised.ravel())
    if not problem.fit_intercept:  # the intercept stays where it is: no slope, no coupling, a regular diagonal
        fixed = penalised.ravel() == 0.0
        expected_hessian[fixed] = expected_hessian[:, fixed] = 0.0
        expected_hessian[fixed, fixed] = 1.0
    expected_product = (expected_hessian @ vector.ravel()).reshape(coef.shape)
    value, gradient = objective.value_gradient(coef)
    close = {"rtol": 1e-11, "atol": 1e-13}
    np.testing.assert_allclose(value, expected_value, **close)
    np.testing.assert_allclose(gradient, expected_gradient, **close)
    value, gradient, hessian = objective.value_gradient_hessian(coef)
    np.testing.assert_allclose(value, expected_value, **close)
    np.testing.assert_allclose(gradient, expected_gradient, **close)
    np.testing.assert_allclose(hessian, expected_hessian, **close)
    np.testing.assert_array_equal(hessian, hessian.T)
    np.testing.assert_allclose(objective.hessian_product(coef, vector), expected_product, **close)
    violation = naive.kkt_violation(problem.X, problem.y, coef, **problem.terms, fit_intercept=problem.fit_intercept)
    assert objective.violation(gradient) == pytest.approx(violation, rel=1e-11)


@pytest.mark.parametrize("storage", [name for name in KERNEL if "duplicates" not in name])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_twin(n_classes, storage):
    for extras in ({}, {"weighted": True, "l2": 0.2}, {"shifted": True, "l2": 3.0, "fit_intercept": False}):
        problem = random_problem(90, 4, n_classes, **extras)
        assert_equals_twin(problem, make_objective(problem, KERNEL[storage](problem.X)))


@pytest.mark.parametrize(("n_classes", "storage"), [(2, "C float64"), (2, "CSR float64 int32"), (4, "C float64")])
def test_threads_change_no_bit(n_classes, storage):
    problem = random_problem(30_000, 7, n_classes, weighted=True, shifted=True)
    coef, vector = random_coef(problem), random_coef(problem, seed=1)
    X = KERNEL[storage](problem.X)
    serial, parallel = (make_objective(problem, X, n_jobs) for n_jobs in (1, 2))
    assert parallel.design.threads == 2 or design_module.allowed_threads() == 1
    for method, arguments in [
        ("value_gradient", (coef,)),
        ("value_gradient_hessian", (coef,)),
        ("hessian_product", (coef, vector)),
    ]:
        one, two = getattr(serial, method)(*arguments), getattr(parallel, method)(*arguments)
        for ours, theirs in zip(one, two, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(serial.coordinates.scales, parallel.coordinates.scales)
    np.testing.assert_array_equal(serial.coordinates.means, parallel.coordinates.means)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_parallel_equals_twin(n_classes):
    problem = random_problem(20_001, 6, n_classes, weighted=True, l2=0.1)
    assert_equals_twin(problem, make_objective(problem))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_segments_add_up(n_classes, monkeypatch):
    """Long passes are cut into driver calls of bounded length, so that an interrupt is seen."""
    problem = random_problem(5_003, 6, n_classes, weighted=True, shifted=True, l2=0.1)
    calls = []
    monkeypatch.setattr(design_module, "SEGMENT_WORK", 10_000)
    objective = make_objective(problem)
    run = objective.design.run

    def counted(kernel, *arguments, **options):
        def call(*inner, **threads):
            calls.append(kernel)
            return kernel(*inner, **threads)

        return run(call, *arguments, **options)

    monkeypatch.setattr(objective.design, "run", counted)
    assert_equals_twin(problem, objective)
    assert len(calls) > 20


@pytest.mark.parametrize("storage", ["C float64", "F float64", "CSR float64 int32"])
def test_panels_of_many_features(storage, monkeypatch):
    monkeypatch.setattr(hessian_sums, "OWN", 256)
    problem = random_problem(700, 260, weighted=True, shifted=True, l2=0.1)
    assert_equals_twin(problem, make_objective(problem, KERNEL[storage](problem.X)))


def test_panels_of_many_rows(monkeypatch):
    monkeypatch.setattr(hessian_sums, "OWN", 3)
    monkeypatch.setattr(hessian_sums, "PANEL_ROWS", 100)
    for n in (99, 100, 1001):
        problem = random_problem(n, 5, weighted=True)
        assert_equals_twin(problem, make_objective(problem))


def test_many_classes():
    problem = random_problem(120, 3, n_classes=11, weighted=True, l2=0.5)
    assert_equals_twin(problem, make_objective(problem))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_answers_depend_on_arguments_only(n_classes):
    problem = random_problem(500, 4, n_classes)
    objective = make_objective(problem)
    coef, other = random_coef(problem), random_coef(problem, seed=1)
    fresh = make_objective(problem).hessian_product(coef, other)
    objective.value_gradient_hessian(other)
    objective.value_gradient(other)
    objective.hessian_product(other, coef)
    np.testing.assert_array_equal(objective.hessian_product(coef, other), fresh)
    kept, before = coef.copy(), objective.value_gradient(coef)
    objective.value_gradient_hessian(coef)
    np.testing.assert_array_equal(objective.value_gradient(coef)[1], before[1])
    np.testing.assert_array_equal(coef, kept)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_passes_are_counted(n_classes):
    problem = random_problem(50, 3, n_classes)
    objective = make_objective(problem)
    assert objective.n_passes == 1.0  # the moments
    coef = random_coef(problem)
    for method, arguments in [("value_gradient", 1), ("value_gradient_hessian", 1), ("hessian_product", 2)]:
        before = objective.n_passes
        getattr(objective, method)(*[coef] * arguments)
        assert objective.n_passes == before + 1.0
    known = Moments(np.ones((2, 3)), 0.0)
    given = LogisticObjective(as_design(problem.X), problem.y, n_classes=n_classes, moments=known)
    assert given.n_passes == 0.0


# --- scales -----------------------------------------------------------------------------------------------------


def test_scales_are_powers_of_two():
    X = np.column_stack([np.zeros(50), np.full(50, 3.0), np.arange(50) * 1e8, np.arange(50) * 1e-8])
    problem = random_problem(50, 4)
    scales = LogisticObjective(as_design(X), problem.y).coordinates.scales
    np.testing.assert_array_equal(scales, naive.scales(X))
    mantissa, _ = np.frexp(scales)
    np.testing.assert_array_equal(mantissa, 0.5)
    assert scales[0] == scales[-1] == 1.0


def test_scale_is_the_nearest_power_in_the_logarithm():
    moments = np.array([[0.0, 0.0, 0.0], 4 * np.array([1.4, 1.42, 0.0]) ** 2])
    np.testing.assert_array_equal(Coordinates(moments, 4, 0.0, True).scales, [1.0, 2.0, 1.0, 1.0])


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_inner_coordinates(centre, shape):
    """There and back, and the derivative along a direction is the same in both."""
    X = random_problem(50, 3).X * [1.0, 1e8, 1e-8] + [1e3, 0.0, 0.0]
    coordinates = Coordinates(np.stack([X.sum(axis=0), (X**2).sum(axis=0)]), 50, 0.0, centre)
    direction, gradient = np.random.default_rng(0).normal(size=(2, *shape))
    np.testing.assert_allclose(coordinates.outer(coordinates.inner(direction)), direction, rtol=1e-12, atol=1e-9)
    along = np.sum(gradient * coordinates.outer(direction))
    assert np.sum(coordinates.gradient(gradient) * direction) == pytest.approx(along, rel=1e-9)
    if centre:  # the columns of the inner coordinates have mean 0 and spread 1
        columns = naive.with_ones(X) @ coordinates.outer(np.eye(4)).T
        np.testing.assert_allclose(columns.mean(axis=0), [0, 0, 0, 1], atol=1e-9)
        np.testing.assert_allclose(columns.std(axis=0), [1, 1, 1, 0], atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_gram(n_classes, fit_intercept):
    problem = random_problem(60, 4, n_classes, weighted=True, shifted=True, l2=0.3, fit_intercept=fit_intercept)
    objective = make_objective(problem)
    before = objective.n_passes
    rows = naive.with_ones(problem.X)
    expected = (rows.T * problem.weight) @ rows / (4 * problem.weight.sum())
    if not fit_intercept:
        expected[-1] = expected[:, -1] = 0.0
        expected[-1, -1] = 1.0
    np.testing.assert_allclose(objective.gram(), expected, rtol=1e-12, atol=1e-15)
    assert objective.n_passes == before + 1


# --- designs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", KERNEL)
def test_nothing_is_copied(storage):
    X = KERNEL[storage](random_problem(20, 3).X)
    held = as_design(X).X
    pairs = [(held, X)]
    if isinstance(held, CSR):
        pairs = [(held.data, X.data), (held.indices, X.indices), (held.indptr, X.indptr)]
    for ours, theirs in pairs:
        assert ours.dtype == theirs.dtype and np.shares_memory(ours, theirs)


@pytest.mark.parametrize("X", [np.zeros((9, 6))[::2], np.zeros((9, 6))[:, ::2], np.zeros((9, 6))[::-1]])
def test_other_strides_are_copied_once(X):
    held = as_design(X).X
    assert held.flags.c_contiguous and not np.shares_memory(held, X)


@pytest.mark.parametrize("storage", ["C float64", "F float32", "CSR float64 int32", "CSR float32 int64"])
def test_sample_is_rows_of_x_spread_evenly(storage):
    X = KERNEL[storage](random_problem(1000, 3).X)
    sample, index = as_design(X).sample(90)
    assert sample.shape == (90, 3) and sample.dtype == X.dtype
    held = naive.dense(sample.X)
    np.testing.assert_array_equal(held, naive.dense(X)[index])
    assert (np.diff(index) > 0).all() and index[0] < 12 and index[-1] >= 988
    again = as_design(X).sample(90)[1]
    np.testing.assert_array_equal(index, again)


@pytest.mark.parametrize("storage", KERNEL)
def test_columns_in_other_units(storage):
    X = KERNEL[storage](random_problem(5000, 4).X * [1.0, 0.0, -3.0, 1.0])
    design, units = as_design(X), np.array([1.0, 2.0, 0.0, 0.25])
    np.testing.assert_array_equal(design.largest(np.array([2, 1])), np.abs(naive.dense(X))[:, [2, 1]].max(axis=0))
    assert design.largest(np.array([], dtype=int)).shape == (0,)
    before, other = naive.dense(X).copy(), design.times(units)
    assert other.dtype == design.dtype and other.shape == design.shape
    np.testing.assert_array_equal(naive.dense(other.X), before * units)
    np.testing.assert_array_equal(naive.dense(X), before)


@pytest.mark.parametrize("storage", KERNEL)
def test_no_column_of_ordinary_data_is_rescaled(storage):
    """Nor one of zeros, which looks like one whose squares underflow."""
    X = KERNEL[storage](random_problem(50, 4).X * [1.0, 0.0, 1e8, 1e-8])
    design = as_design(X)
    for l2 in (0.0, 1e-3):
        assert column_units(design, design.column_moments()[1], l2) is None


def test_sample_of_the_objective():
    problem = random_problem(400, 3, weighted=True, shifted=True, l2=0.2)
    objective = make_objective(problem)
    sample, (_, index) = objective.sample(50), objective.design.sample(50)
    coef = random_coef(problem)
    value, gradient = sample.value_gradient(coef)
    rows = problem.rows(index)
    np.testing.assert_allclose(value, naive.objective(rows.X, rows.y, coef, **rows.terms), rtol=1e-12)
    np.testing.assert_allclose(gradient, naive.gradient(rows.X, rows.y, coef, **rows.terms), rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(sample.coordinates.scales, objective.coordinates.scales)


def test_empty_sparse_rows_and_columns():
    problem = random_problem(40, 6, weighted=True)
    X = problem.X.copy()
    X[::2] = 0.0
    X[:, 3] = 0.0
    sparse = scipy.sparse.csr_array(X)
    assert sparse.nnz < 120
    coef = random_coef(problem)
    value, gradient, hessian = make_objective(problem, sparse).value_gradient_hessian(coef)
    np.testing.assert_allclose(value, naive.objective(X, problem.y, coef, **problem.terms), rtol=1e-12)
    np.testing.assert_allclose(gradient, naive.gradient(X, problem.y, coef, **problem.terms), rtol=1e-11, atol=1e-14)
    assert (hessian[3] == 0.0).all()
