"""Coordinate descent: each move against a grid, each sweep against the twin's derivatives."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import naive
from designs import messy_csr
from fastlogreg import design
from fastlogreg.design import as_design
from fastlogreg.kernels import coordinate
from fastlogreg.kernels.coordinate import LARGEST, TOTAL, column_terms, descend, descend_columns, descend_groups
from fastlogreg.objective import LogisticObjective
from fastlogreg.penalty import Penalty
from parts import alone
from problems import random_problem, with_rows

least, least_group, group_size = map(alone, (coordinate.least, coordinate.least_group, coordinate.group_size))


@given(
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.floats(0.1, 3),
    st.floats(0, 2),
    st.floats(-2, 0),
    st.floats(0, 2),
)
def test_least_along_a_coordinate(value, slope, curvature, l1, low, high):
    """No point of a grid is better, and the twin's twin of it, `shrink`, agrees."""
    found = least(value, slope, curvature, l1, low, high)
    grid = np.append(np.linspace(low, high, 101), 0.0)

    def function(v):
        return slope * (v - value) + 0.5 * curvature * (v - value) ** 2 + l1 * np.abs(v)

    assert low <= found <= high
    assert function(found) <= function(grid).min() + 1e-12
    shrunk = Penalty.of(1, l1, low, high).shrink(np.array([value - slope / curvature]), curvature)
    assert found == pytest.approx(shrunk[0], abs=1e-12)


def test_a_flat_coordinate_stays_or_vanishes():
    assert least(2.0, 0.1, 0.0, 0.5, -1.0, 3.0) == 0.0
    assert least(2.0, 0.0, 0.0, 0.0, -1.0, 3.0) == 2.0


def test_descent_minimises_the_quadratic():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(8, 6))
    hessian, slope, l1 = root.T @ root, rng.normal(size=6), np.full(6, 0.3)
    low, high = np.full(6, -0.2), np.full(6, np.inf)
    value, slopes, state = np.zeros(6), slope.copy(), np.zeros(3)
    for _ in range(300):
        descend(hessian, l1, low, high, np.ones(6), 1e-13, 100, value, slopes, state)
    np.testing.assert_allclose(slopes, slope + hessian @ value, atol=1e-12)
    assert Penalty.of(6, 0.3, -0.2).excess(value, slopes).max() < 1e-12


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("storage", [np.asarray, np.asfortranarray, scipy.sparse.csr_array, messy_csr])
def test_terms_of_columns(storage, fit_intercept):
    """Their weighted means and curvatures, and the row weights themselves, against the twin's Hessian."""
    problem = with_rows(random_problem(40, 7))
    matrix = np.round(problem.X)
    coef = np.linspace(-1, 1, 8)
    objective = LogisticObjective(as_design(storage(matrix)), problem.y, weight=problem.weight, offset=problem.offset)
    row_weight = objective.row_terms(objective.predictors(coef)[:, 0])[2]
    total = problem.weight.sum()
    expected = problem.weight * naive.curvature(naive.decision(matrix, coef, problem.offset)) / total
    np.testing.assert_allclose(row_weight, expected, rtol=1e-13)
    index = np.array([1, 4, 6])
    mean, curvature = np.empty(3), np.empty(3)
    taken = objective.design.columns(index)
    column_terms(taken, row_weight, float(row_weight.sum()), float(fit_intercept), mean, curvature)
    hessian = naive.hessian(matrix, coef, problem.weight, problem.offset) / total
    means = hessian[index, -1] / hessian[-1, -1] * fit_intercept
    np.testing.assert_allclose(mean, means, atol=1e-13)
    np.testing.assert_allclose(curvature, np.diag(hessian)[index] - means**2 * hessian[-1, -1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("storage", [np.asarray, np.asfortranarray, scipy.sparse.csr_array, messy_csr])
def test_columns_taken(storage, threads, dtype, monkeypatch):
    """Rows are in order, each once, whatever the threads; none of some columns, all of them, and of empty ones."""
    monkeypatch.setattr(design, "SERIAL_WORK", 0)
    matrix = np.round(random_problem(40, 7).X).astype(dtype)
    matrix[:, 2], matrix[5:8] = 0.0, 0.0
    rows = as_design(storage(matrix), threads)
    for index in np.array([1, 2, 4, 6]), np.arange(7), np.array([2]), np.arange(0):
        taken = rows.columns(index)
        by_column = scipy.sparse.csc_array((taken.data, taken.indices, taken.indptr), shape=(40, len(index)))
        assert taken.data.dtype == dtype and taken.n_features == 40 and by_column.has_canonical_format
        np.testing.assert_array_equal(by_column.toarray(), matrix[:, index])


@pytest.mark.parametrize("centre", [True, False])
def test_descent_on_columns(centre):
    """The minimum that `descend` finds on the products of the columns."""
    rng = np.random.default_rng(0)
    matrix, row_weight = np.round(rng.normal(size=(30, 6))), rng.uniform(0.1, 1.0, 30)
    total, start = row_weight.sum(), rng.normal(size=6)
    mean, curvature = np.empty(6), np.empty(6)
    columns = as_design(matrix).columns(np.arange(6))
    column_terms(columns, row_weight, total, float(centre), mean, curvature)
    inner, l2, slope = matrix - mean, np.full(6, 0.1), rng.normal(size=6) * 9.0
    low, high, l1, ones = np.full(6, -0.2), np.full(6, np.inf), np.full(6, 3.0), np.ones(6)
    value, rows, state = start.copy(), np.zeros(30), np.zeros(4)
    arguments = columns, row_weight, total, mean, curvature + l2, l2, slope, start, l1, low, high, ones
    for _ in range(100):
        descend_columns(*arguments, 1e-12, 100, value, rows, state)
    assert state[LARGEST] <= 1e-12
    np.testing.assert_allclose(rows, row_weight * (matrix @ (value - start)), atol=1e-11)
    assert state[TOTAL] == pytest.approx(total * (mean @ (value - start)), abs=1e-11)
    hessian = inner.T @ (row_weight[:, None] * inner) + np.diag(l2)
    expected, state = np.clip(start, low, high), np.zeros(3)
    slopes = slope + hessian @ (expected - start)
    for _ in range(100):
        descend(hessian, l1, low, high, ones, 1e-13, 100, expected, slopes, state)
    np.testing.assert_allclose(value, expected, atol=1e-10)


# --- one group --------------------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.floats(0.01, 3), st.booleans(), st.integers(0, 999))
def test_least_group(n_classes, l1, flat, seed):
    """The derivative is balanced, and it is the only place where it is."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n_classes + 2, n_classes)) * 10.0 ** rng.uniform(-2, 2, n_classes)
    if flat:  # as for softmax: no curvature, and no slope, along shifts of all classes
        root -= root.mean(axis=1, keepdims=True)
    block = root.T @ root
    value, slope = rng.normal(size=n_classes) * rng.integers(0, 2), root.T @ rng.normal(size=n_classes + 2)
    if flat:
        value -= value.mean()
    curvatures, vectors = np.linalg.eigh(block)
    out, terms = np.empty(n_classes), np.empty(n_classes)
    size = least_group(value, slope, np.maximum(curvatures, 0.0), vectors, l1, terms, out)
    derivative = slope + block @ (out - value)
    precision = 1e-9 * (np.abs(slope).max() + np.abs(block).max() * (1.0 + np.abs(out).max()))
    assert size == pytest.approx(np.linalg.norm(block @ (out - value)), abs=precision)
    if out.any():
        np.testing.assert_allclose(derivative + l1 * out / np.linalg.norm(out), 0.0, atol=precision)
    else:
        assert np.linalg.norm(derivative) <= l1 + precision


def test_least_group_without_penalty():
    curvatures, vectors = np.array([0.0, 2.0]), np.eye(2)
    out, terms = np.empty(2), np.empty(2)
    least_group(np.array([3.0, 1.0]), np.array([0.0, 1.0]), curvatures, vectors, 0.0, terms, out)
    np.testing.assert_allclose(out, [3.0, 0.5])


def test_size_of_a_group():
    terms, curvatures = np.array([3.0, 4.0]), np.array([2.0, 2.0])
    assert group_size(terms, curvatures, 1.0) == pytest.approx(2.0)  # |(2t + 1)⁻¹ (3, 4)| = 1
    t = group_size(np.array([3.0, 4.0, 0.1]), np.array([1e-8, 5.0, 1e3]), 3.5)
    shares = np.array([3.0, 4.0, 0.1]) / (t * np.array([1e-8, 5.0, 1e3]) + 3.5)
    assert shares @ shares == pytest.approx(1.0)


def test_groups_of_one_are_coordinates():
    """The same sweeps as by coordinates."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(8, 6))
    hessian, slope, l1 = root.T @ root, rng.normal(size=6), np.full(6, 0.3)
    one, other = (np.zeros(6), slope.copy(), np.zeros(3)), (np.zeros(6), slope.copy(), np.zeros(3))
    descend(hessian, l1, np.full(6, -np.inf), np.full(6, np.inf), np.ones(6), 1e-10, 7, *one)
    curvatures, vectors = np.diag(hessian)[:, None].copy(), np.ones((6, 1, 1))
    descend_groups(hessian, curvatures, vectors, l1, np.ones(6), 1e-10, 7, np.empty((2, 1)), *other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
