"""Every batch kernel equals its naive twin, over storages, shapes, weights, offsets, partitions and thread counts."""

from dataclasses import replace
from typing import NamedTuple

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings

import naive
from designs import KERNEL, csr
from fastlogreg import hessian_sums
from fastlogreg.design import ArrayDesign, Moments, as_design, look_at_indices, workspaces
from fastlogreg.kernels import blocks, builtins, labels, predict, tiles
from fastlogreg.kernels.jit import driver
from fastlogreg.objective import LogisticObjective
from problems import random_coef, random_problem

COMPILED = not numba.config.DISABLE_JIT
# Fewer rows than a block, whole blocks, several and a rest; features below, at and above the width of a tile; rows that
# are short and long to lanes.py, in float32, too.
SHAPES = [(1, 1), (7, 3), (40, 0), (25, 150), (41, 17), (256, 5), (300, 4), (1040, 2)]


# --- partitions -------------------------------------------------------------------------------------------------


def whole(first, last):
    return [np.array([first, last])]


def uneven(first, last):
    """Chunks of one row, none, and two unequal halves."""
    cuts = np.array([first, first + 1, first + 1, (2 * first + last) // 3 + 1, last])
    return [np.minimum(cuts, last)]


def segments(first, last):
    """Two calls that add to the same partial sums."""
    middle = (first + last) // 2
    return [np.array([first, (first + middle) // 2, middle]), np.array([middle, middle, last])]


class Partition(ArrayDesign):
    """The rows of X in the chunks of a test's choice, on a number of threads of its choice."""

    def __init__(self, X, split=whole, threads=1):
        design = as_design(X)
        super().__init__(design.X, design.shape, threads)
        self.split = split

    def run(self, kernel, rows=(), shared=(), size=None, work=1.0, scratch=(), between=None):
        calls = self.split(*(between or (0, self.shape[0])))
        n_chunks = len(calls[0]) - 1  # calls hold the edges between chunks
        out = () if size is None else (np.zeros((n_chunks, size)),)
        room = workspaces(n_chunks, scratch)
        for array in room:
            array.fill(np.nan)
        for edges in calls:
            bounds = np.stack([edges[:-1], edges[1:]], axis=1)
            kernel(self.X, *rows, *shared, *room, bounds, *out, threads=self.threads)
        return out[0].sum(axis=0) if out else None


# --- kernels and twins ------------------------------------------------------------------------------------------


def make_objective(problem, design):
    moments = Moments(np.ones((2, problem.X.shape[1])), 0.0)  # spares the pass that finds them
    return LogisticObjective(design, problem.y, n_classes=problem.n_classes, moments=moments, **problem.terms)


def value_gradient(problem, design):
    value, gradient = make_objective(problem, design).value_gradient(random_coef(problem))
    return np.append(value, gradient)


def expected_value_gradient(problem):
    coef = random_coef(problem)
    value = naive.objective(problem.X, problem.y, coef, **problem.terms)
    return np.append(value, naive.gradient(problem.X, problem.y, coef, **problem.terms))


def value_gradient_hessian(problem, design):
    value, gradient, hessian = make_objective(problem, design).value_gradient_hessian(random_coef(problem))
    return np.concatenate([[value], gradient.ravel(), hessian.ravel()])


def expected_value_gradient_hessian(problem):
    hessian = naive.hessian(problem.X, random_coef(problem), problem.weight, problem.offset)
    total = naive.weights(problem.X, problem.weight).sum()
    return np.append(expected_value_gradient(problem), hessian / total)


def panel_hessian(problem, design):
    """As value_gradient_hessian, with the Hessian from panels of 64 rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hessian_sums, "OWN", 0)
        patch.setattr(hessian_sums, "PANEL_ROWS", 64)
        return value_gradient_hessian(problem, design)


def hessian_product(problem, design):
    return make_objective(problem, design).hessian_product(random_coef(problem), random_coef(problem, seed=1))


def expected_hessian_product(problem):
    total = naive.weights(problem.X, problem.weight).sum()
    coef, vector = random_coef(problem), random_coef(problem, seed=1)
    return naive.hessian_product(problem.X, coef, vector, problem.weight, problem.offset) / total


def kept_hessian_product(problem, design):
    """As hessian_product, with the probabilities that the gradient kept."""
    objective, coef = make_objective(problem, design), random_coef(problem)
    objective.value_gradient(coef, keep=np.float64)
    return objective.hessian_product(coef, random_coef(problem, seed=1))


def written_rows(prediction):
    def run(problem, design):
        n_etas = 1 if problem.n_classes == 2 else problem.n_classes
        n_columns = {predict.LABEL: 1, predict.DECISION: n_etas}.get(prediction, problem.n_classes)
        out = np.full((len(problem.X), n_columns), -9, prediction.dtype)
        offset = np.empty((0, 0)) if problem.offset is None else problem.offset.reshape(-1, n_etas)
        assert design.predict(prediction, offset, out, random_coef(problem).reshape(n_etas, -1)) == 0
        return out

    return run


def expected_rows(function):
    def run(problem):
        return function(naive.decision(problem.X, random_coef(problem), problem.offset))

    return run


def moments(problem, design):
    return design.column_moments(problem.weight)


class Twins(NamedTuple):
    run: object
    expected: object
    n_classes: int


TWINS = {
    "value_gradient": Twins(value_gradient, expected_value_gradient, 2),
    "value_gradient_hessian": Twins(value_gradient_hessian, expected_value_gradient_hessian, 2),
    "scaled_panel": Twins(panel_hessian, expected_value_gradient_hessian, 2),
    "hessian_product": Twins(hessian_product, expected_hessian_product, 2),
    "label": Twins(written_rows(predict.LABEL), expected_rows(lambda eta: eta[:, None] > 0.0), 2),
    "decision": Twins(written_rows(predict.DECISION), expected_rows(lambda eta: eta[:, None]), 2),
    "probability": Twins(written_rows(predict.PROBABILITY), expected_rows(naive.probability), 2),
    "log_probability": Twins(written_rows(predict.LOG_PROBABILITY), expected_rows(naive.log_probability), 2),
    "moments": Twins(moments, lambda problem: naive.moments(problem.X, problem.weight), 2),
    "value_gradient, 3 classes": Twins(value_gradient, expected_value_gradient, 3),
    "value_gradient, 5 classes": Twins(value_gradient, expected_value_gradient, 5),
    "value_gradient_hessian, 3 classes": Twins(value_gradient_hessian, expected_value_gradient_hessian, 3),
    "hessian_product, 3 classes": Twins(hessian_product, expected_hessian_product, 3),
    "hessian_product, 4 classes": Twins(hessian_product, expected_hessian_product, 4),
    "hessian_product, 7 classes": Twins(kept_hessian_product, expected_hessian_product, 7),
    "label, 3 classes": Twins(written_rows(predict.LABEL), expected_rows(lambda eta: eta.argmax(axis=1)[:, None]), 3),
    "label, 8 classes": Twins(written_rows(predict.LABEL), expected_rows(lambda eta: eta.argmax(axis=1)[:, None]), 8),
    "decision, 8 classes": Twins(written_rows(predict.DECISION), expected_rows(lambda eta: eta), 8),
    "probability, 9 classes": Twins(written_rows(predict.PROBABILITY), expected_rows(naive.probability), 9),
    "log_probability, 8 classes": Twins(written_rows(predict.LOG_PROBABILITY), expected_rows(naive.log_probability), 8),
    "decision, 3 classes": Twins(written_rows(predict.DECISION), expected_rows(lambda eta: eta), 3),
    "probability, 3 classes": Twins(written_rows(predict.PROBABILITY), expected_rows(naive.probability), 3),
    "log_probability, 3 classes": Twins(written_rows(predict.LOG_PROBABILITY), expected_rows(naive.log_probability), 3),
}


def assert_equal_up_to_rounding(ours, expected):
    assert ours.size == expected.size
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(ours.ravel(), expected.ravel(), rtol=1e-11, atol=1e-13 * scale)


def combinations():
    """Shapes with all of weights, offsets and partitions; without the JIT each appears, but not with each other."""
    options = [(w, o, split) for w in (False, True) for o in (False, True) for split in (whole, uneven, segments)]
    for at, shape in enumerate(SHAPES):
        for option in options if COMPILED else [options[(5 * at + k) % len(options)] for k in range(2)]:
            yield *shape, *option


@pytest.mark.parametrize("storage", KERNEL)
@pytest.mark.parametrize("name", TWINS)
def test_kernel_equals_twin(name, storage):
    twins = TWINS[name]
    for n, p, weighted, shifted, split in combinations():
        problem = random_problem(n, p, twins.n_classes, weighted=weighted, shifted=shifted, soft=shifted)
        X = KERNEL[storage](problem.X)
        expected = twins.expected(problem)
        if name == "moments" and "duplicates" in storage:
            expected[1] /= 2  # (x/2)² + (x/2)²: it is only a scale
        assert_equal_up_to_rounding(twins.run(problem, Partition(X, split)), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_columns", [17, 48, 97, 130, 257, 2047])
def test_long_rows(n_columns, dtype):
    """Whole blocks, with what is left of rows and columns, at the ends of chunks and of X."""
    n = 4 * blocks.block_rows(np.empty((1, n_columns))) if COMPILED else 40
    for n_rows in (n, n + 1, n + 7, n + 12):
        problem = random_problem(n_rows, n_columns, weighted=True, shifted=True)
        expected = expected_value_gradient(problem)
        X = np.ascontiguousarray(problem.X, dtype=dtype)
        for split in (whole, uneven):
            assert_equal_up_to_rounding(value_gradient(problem, Partition(X, split)), expected)


@pytest.mark.parametrize("storage", [name for name in KERNEL if "CSR" in name])
@pytest.mark.parametrize("name", [name for name in TWINS if name != "moments"])
def test_sparse_rows(name, storage):
    """Few entries a row, some rows without any: kernels that work on the stored entries alone."""
    twins = TWINS[name]
    for n, p in [(40, 30), (600, 24)] if COMPILED else [(40, 30)]:
        problem = random_problem(n, p, twins.n_classes, weighted=True, shifted=True)
        kept = np.random.default_rng(n).random((n, p)) < 0.06
        problem = replace(problem, X=np.where(kept, problem.X, 0.0))
        X = KERNEL[storage](problem.X)
        assert X.nnz < 0.3 * n * p
        assert_equal_up_to_rounding(twins.run(problem, Partition(X, uneven)), twins.expected(problem))


@pytest.mark.skipif(not COMPILED, reason="there are no threads without the JIT")
@pytest.mark.parametrize(
    ("name", "storage"),
    [(name, "C float64") for name in TWINS]
    + [("value_gradient", "F float64"), ("value_gradient_hessian", "CSR float64 int32")],
)
def test_threads_change_no_bit(name, storage):
    twins = TWINS[name]
    for n, p in SHAPES:
        problem = random_problem(n, p, twins.n_classes, weighted=True, shifted=True)
        X = KERNEL[storage](problem.X)
        serial, parallel = (twins.run(problem, Partition(X, uneven, threads)) for threads in (1, 2))
        np.testing.assert_array_equal(parallel, serial)


@pytest.mark.parametrize("storage", ["C float64", "CSR float64 int32"])
def test_hessian_of_float32_products(storage):
    """Products in float32 change the Hessian by its rounding, value and gradient only by the order of sums."""
    for n, p in SHAPES:
        problem = random_problem(n, p, weighted=True, shifted=True)
        objective = make_objective(problem, Partition(KERNEL[storage](problem.X), uneven))
        coef = random_coef(problem)
        value, gradient, hessian = objective.value_gradient_hessian(coef, np.float32)
        exact_value, exact_gradient, exact_hessian = objective.value_gradient_hessian(coef)
        assert value == pytest.approx(exact_value, rel=1e-14)
        np.testing.assert_allclose(gradient, exact_gradient, rtol=0, atol=1e-14 * np.abs(exact_gradient).max())
        np.testing.assert_allclose(hessian, exact_hessian, rtol=0, atol=1e-5 * np.abs(exact_hessian).max())


@pytest.mark.parametrize("storage", ["C float32", "CSR float64 int32"])
@pytest.mark.parametrize("n_classes", [3, 13])
def test_hessian_product_in_float32(n_classes, storage):
    """It differs by rounding only, and gradients that keep probabilities not at all."""
    for n, p in SHAPES:
        problem = random_problem(n, p, n_classes, weighted=True, shifted=True)
        objective = make_objective(problem, Partition(KERNEL[storage](problem.X), uneven))
        coef, vector = random_coef(problem), random_coef(problem, seed=1)
        exact, gradient = objective.hessian_product(coef, vector), objective.value_gradient(coef)[1]
        np.testing.assert_array_equal(objective.value_gradient(coef, keep=np.float32)[1], gradient)
        product = objective.hessian_product(coef, vector, precision=np.float32)
        np.testing.assert_allclose(product, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_hessian_product_where_one_class_has_nearly_all():
    """The differences come from the other probabilities, of 10⁻³⁰ here; the mean over all would drown them."""
    X, vector = np.ones((1, 1)), np.array([[1.0, 2.0], [5.0, 0.0], [-3.0, 1.0]])
    rare = np.exp([-69.0, -70.0])
    coef = np.array([[0.0, 0.0], [-69.0, 0.0], [0.0, -70.0]])
    moments = Moments(np.ones((2, 1)), 0.0)
    objective = LogisticObjective(as_design(X), np.zeros(1, dtype=np.int64), n_classes=3, moments=moments)
    expected = np.append(-rare @ [2.0, -5.0], rare * [2.0, -5.0])  # d is 3, 5, -2
    for precision in (np.float64, np.float32):
        product = objective.hessian_product(coef, vector, precision=precision)
        np.testing.assert_allclose(product[1:], np.stack([expected[1:]] * 2, axis=1), rtol=1e-5, atol=1e-40)


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_builtins(dtype, writable):
    """Of integers either way round, and of what a slice of an array holds, seen in another shape."""

    @driver
    def call(flat, square, out_numbers, out_lines):
        out_numbers[0] = builtins.smaller(flat.size, square.shape[0]) - builtins.smaller(-2, 5)
        out_numbers[1] = builtins.larger(flat.size, square.shape[0]) - builtins.larger(5, -2)
        view = builtins.reshaped(flat[1:], (2, 1, 3))
        for i in range(2):
            for j in range(3):
                out_lines[i, j] = view[i, 0, j]
        line = builtins.reshaped(square[1:], (8,))
        for j in range(8):
            out_lines[2, j] = line[j]
        builtins.reshaped(out_lines, (24,))[23] = -1.0

    flat, square = np.arange(7, dtype=dtype), np.arange(12, dtype=dtype).reshape(3, 4)
    flat.flags.writeable = square.flags.writeable = writable
    numbers, lines = np.empty(2, dtype=np.int64), np.zeros((3, 8))
    call(flat, square, numbers, lines)
    np.testing.assert_array_equal(numbers, [3 + 2, 7 - 5])
    np.testing.assert_array_equal(lines[:2, :3], flat[1:].reshape(2, 3))
    np.testing.assert_array_equal(lines[2, :7], square.ravel()[4:11])
    assert lines[2, 7] == -1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles(dtype):
    """Every height of a tile, and whole ones before it."""

    @driver
    def products(left, panel, out_eta, out_sums, out_square):
        tiles.set_product(left, panel, out_eta)
        tiles.add_products(out_eta, panel, -left.shape[0], out_sums)
        tiles.add_products(panel, panel, 0, out_square)

    rng = np.random.default_rng(0)
    for n_rows in range(1, 14):
        left, panel = rng.standard_normal((n_rows, 8)).astype(dtype), rng.standard_normal((8, 96)).astype(dtype)
        eta, sums, square = np.full((n_rows, 96), np.nan, dtype), np.ones((n_rows, 8)), np.ones((8, 8))
        products(left, panel, eta, sums, square)
        close = {"rtol": 0, "atol": 1e2 * np.finfo(dtype).eps * 8 * 96}
        np.testing.assert_allclose(eta, left @ panel, **close)
        np.testing.assert_allclose(sums, 1.0 + eta @ panel.T, **close)
        np.testing.assert_allclose(np.triu(square), np.triu(1.0 + panel @ panel.T), **close)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [8, 24, 83])
def test_every_width_of_a_row(n, dtype):
    """Vectors of a row may go on into the next ones, but not past the end of X, nor may what is there count."""
    for p in range(1, 19):
        problem = random_problem(n, p)
        memory = np.full(n * p + 32, np.nan, dtype=dtype)
        memory[: n * p] = problem.X.ravel()
        X = memory[: n * p].reshape(n, p)
        assert_equal_up_to_rounding(value_gradient(problem, Partition(X)), expected_value_gradient(problem))


def test_no_kernel_reads_what_it_did_not_write():
    """Memory from np.empty may hold NaN; a sparse X of a million columns must not be filled either."""
    X = csr(np.zeros((3, 5)))
    problem = random_problem(3, 5)
    value, gradient = make_objective(problem, Partition(X)).value_gradient(np.zeros(6))
    np.testing.assert_allclose(value, np.log(2), rtol=1e-15)
    np.testing.assert_array_equal(gradient[:-1], 0.0)


# --- derivatives ------------------------------------------------------------------------------------------------


def central_difference(function, at, step=1e-6):
    """Derivative of a function that returns an array, its last axis running over the entries of `at`."""
    columns = []
    for index in np.ndindex(at.shape):
        shift = np.zeros_like(at)
        shift[index] = step
        columns.append((function(at + shift) - function(at - shift)) / (2 * step))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_derivatives_are_differences(n_classes):
    problem = random_problem(30, 3, n_classes, weighted=True, shifted=True, soft=True, l2=0.3)
    coef, vector = random_coef(problem), random_coef(problem, seed=1)
    objective = make_objective(problem, Partition(problem.X))
    value, gradient, hessian = objective.value_gradient_hessian(coef)
    slopes = central_difference(lambda at: np.array(objective.value_gradient(at)[0]), coef)
    np.testing.assert_allclose(gradient.ravel(), slopes, atol=1e-9)
    bends = central_difference(lambda at: objective.value_gradient(at)[1].ravel(), coef)
    np.testing.assert_allclose(hessian, bends, atol=1e-8)
    product = objective.hessian_product(coef, vector)
    np.testing.assert_allclose(product.ravel(), hessian @ vector.ravel(), rtol=1e-12, atol=1e-14)
    # and the twin, which all else is compared with
    slopes = central_difference(lambda at: np.array(naive.objective(problem.X, problem.y, at, **problem.terms)), coef)
    np.testing.assert_allclose(naive.gradient(problem.X, problem.y, coef, **problem.terms).ravel(), slopes, atol=1e-9)


# --- properties -------------------------------------------------------------------------------------------------

storages = st.sampled_from(["C float64", "F float64", "CSR float64 int32"])
classes = st.sampled_from([2, 3])
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=40 if COMPILED else 6)


def sums(problem, storage="C float64", split=whole, coef=None):
    """Value and gradient, not divided by the weights."""
    objective = make_objective(problem, Partition(KERNEL[storage](problem.X), split))
    value, gradient = objective.value_gradient(random_coef(problem) if coef is None else coef)
    return np.append(value, gradient) * objective.total_weight


@examples
@given(storages, classes, seeds, st.lists(st.integers(0, 60), max_size=5), st.integers(0, 60))
def test_any_partition_gives_the_same_sums(storage, n_classes, seed, cuts, segment):
    problem = random_problem(60, 3, n_classes, weighted=True, seed=seed)
    cuts = np.sort(np.array([0, *cuts, 60]))
    calls = [np.minimum(cuts, segment), np.maximum(cuts, segment)]
    split = sums(problem, storage, lambda first, last: calls)
    np.testing.assert_allclose(split, sums(problem, storage), rtol=1e-12, atol=1e-12)


@examples
@given(storages, classes, seeds, st.lists(st.integers(0, 3), min_size=1, max_size=20).filter(any))
def test_weights_count_rows(storage, n_classes, seed, counts):
    """Weight 0 is a row removed, weight 2 a row repeated."""
    counts = np.array(counts)
    problem = random_problem(len(counts), 3, n_classes, weighted=False, shifted=True, seed=seed)
    weighted = replace(problem, weight=counts.astype(np.float64))
    repeated = problem.rows(np.repeat(np.arange(len(counts)), counts))
    np.testing.assert_allclose(sums(weighted, storage), sums(repeated, storage), rtol=1e-12, atol=1e-12)


@examples
@given(storages, classes, seeds)
def test_order_of_rows_and_columns(storage, n_classes, seed):
    problem = random_problem(25, 5, n_classes, weighted=True, shifted=True, seed=seed)
    coef, rng = random_coef(problem), np.random.default_rng(seed)
    rows, columns = rng.permutation(25), rng.permutation(5)
    expected = sums(problem, storage)
    np.testing.assert_allclose(sums(problem.rows(rows), storage), expected, rtol=1e-12, atol=1e-12)
    order = np.append(columns, 5)
    moved = replace(problem, X=problem.X[:, columns])
    value, gradient = np.split(sums(moved, storage, coef=np.ascontiguousarray(coef[..., order])), [1])
    np.testing.assert_allclose(value, expected[:1], rtol=1e-12)
    original = expected[1:].reshape(coef.shape)[..., order]
    np.testing.assert_allclose(gradient.reshape(coef.shape), original, rtol=1e-12, atol=1e-12)


@examples
@given(storages, seeds)
def test_flipped_labels_negate(storage, seed):
    problem = random_problem(25, 4, weighted=True, shifted=True, soft=True, seed=seed)
    flipped = replace(problem, y=1 - problem.y, offset=-problem.offset)
    value, gradient = np.split(sums(problem, storage), [1])
    other, negated = np.split(sums(flipped, storage, coef=-random_coef(problem)), [1])
    np.testing.assert_allclose(other, value, rtol=1e-12)
    np.testing.assert_allclose(negated, -gradient, rtol=1e-12, atol=1e-12)


@examples
@given(storages, seeds)
def test_two_classes_are_a_softmax_of_two(storage, seed):
    """A class whose coefficients are zero makes softmax the sigmoid: the same sums from the multinomial kernels."""
    binary = random_problem(25, 4, weighted=True, seed=seed)
    several = replace(binary, y=binary.y.astype(np.int64), n_classes=3)
    coef = np.zeros((3, 5))
    coef[1] = random_coef(binary)
    coef[2, -1] = -1e4  # a class that never occurs
    both = sums(several, storage, coef=coef)
    one = sums(binary, storage)
    np.testing.assert_allclose(both[0], one[0], rtol=1e-12)
    slopes = both[1:].reshape(3, 5)
    np.testing.assert_allclose(slopes, [-one[1:], one[1:], np.zeros(5)], rtol=1e-12, atol=1e-12)


@examples
@given(storages, classes, seeds)
def test_intercept_is_a_column_of_ones(storage, n_classes, seed):
    problem = random_problem(25, 4, n_classes, weighted=True, seed=seed)
    with_column = replace(problem, X=np.column_stack([problem.X, np.ones(25)]))
    coef = random_coef(problem)
    moved = np.insert(coef, 5, 0.0, axis=-1)  # the intercept becomes the last column's coefficient
    value, gradient = np.split(sums(with_column, storage, coef=moved), [1])
    np.testing.assert_allclose(value, sums(problem, storage)[:1], rtol=1e-12)
    gradient = gradient.reshape(moved.shape)
    np.testing.assert_allclose(gradient[..., -2], gradient[..., -1], rtol=1e-12, atol=1e-12)


# --- sparse rows whose columns rise, and others ------------------------------------------------------------------

FEW = [[3], [0, 39], [], [5, 6, 7], [1, 2, 8, 20], [], [0, 4, 9, 30, 38], [2]]  # columns of the entries of a row
ROWS = {
    "rising": FEW,
    "one falls": [*FEW, [7, 5], *FEW],
    "one is in two parts": [*FEW, [5, 5, 6], *FEW],
    "one is in parts apart": [*FEW, [5, 9, 5], *FEW],
    "empty at both ends": [[], [], *FEW, [], []],
    "all empty": [[]] * 4,
    "a block falls, the next rises": [*[[9, 2]] * 256, *FEW],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_sparse_hessian_of_columns_in_any_order(rows):
    rng = np.random.default_rng(0)
    indices = np.array([column for row in rows for column in row], dtype=np.int32)
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    X = scipy.sparse.csr_array((rng.standard_normal(len(indices)), indices, indptr), shape=(len(rows), 40))
    coef = rng.standard_normal(41)
    found = LogisticObjective(as_design(X), np.arange(len(rows)) % 2.0).value_gradient_hessian(coef)[2]
    np.testing.assert_allclose(found, naive.hessian(X, coef) / len(rows), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_indices_are_looked_at(rows):
    indices = np.array([column for row in rows for column in row], dtype=np.int32)
    indptr = np.cumsum([0, *map(len, rows)])
    X = scipy.sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(len(rows), 40))
    rising = X.has_canonical_format
    assert look_at_indices(X) == (0, max(indices, default=-1), rising)
    if len(indices):
        X.indices[len(indices) // 2] = -7
        assert look_at_indices(X)[0] == -7


# --- labels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_labels_are_marked(dtype, threads):
    y = np.array([-3, 7, 7, -3, 5, 7, -3] * 9, dtype=dtype)
    y.flags.writeable = False
    target, found = np.full(len(y), np.nan), np.zeros(3, dtype=np.int64)
    bounds = np.array([[0, 20], [20, 20], [20, len(y)]])
    labels.mark_high(y, y[0].item(), y[1].item(), bounds, target, found, threads=threads)
    np.testing.assert_array_equal(target, y == 7)
    assert found.sum() == np.count_nonzero(y != 5)
