"""The learning-rate kernels equal their naive twin, over storages, classes, weights, schedules, averages, segments."""


import math

import numpy as np
import pytest
from scipy import special

import naive_stochastic as twin
from designs import KERNEL
from fastlogreg.design import EMPTY, as_design, split, workspaces
from fastlogreg.kernels import descent, stochastic
from fastlogreg.kernels.descent import Descent, DescentRule
from fastlogreg.kernels.pointwise import LN_2
from fastlogreg.kernels.rows import room_for_copies
from fastlogreg.kernels.stochastic import Rule
from fastlogreg.stochastic import NEVER, Trainer, padded
from parts import alone
from problems import random_problem

SPARSE = [name for name in KERNEL if name.startswith("CSR")]
DENSE = ["C float64", "F float64", "C float32", "read-only"]
FEW = ["C float64", SPARSE[0]]
MIXED = ["C float64", "F float64", "C float32", SPARSE[0]]


def cases(storages):
    """Two classes, with and without weights, in every storage; three classes in one of each kind."""
    two = [(storage, 2, weighted) for storage in storages for weighted in (False, True)]
    return two + [(storage, 3, True) for storage in storages if storage in FEW]


CONSTANT = Rule(0.3, 0.0, 0.0, 0.0, 1e-8, 1.0, NEVER)
PENALISED = CONSTANT._replace(alpha=0.4, power=0.5)
FALLING = Rule(2.0, 3.5, 0.7, 0.1, 1e-8, 1.0, 5)
HARMONIC = Rule(2.0, 3.5, 1.0, 0.1, 1e-8, 0.0, 1)
RULES = {"constant": CONSTANT, "penalised": PENALISED, "falling, average": FALLING, "1/t, no intercept": HARMONIC}


def coef_shape(n_classes, p=5):
    return 1 if n_classes == 2 else n_classes, p + 1


def batches_room(n_chunks, shape):
    """What batches wants besides."""
    return workspaces(n_chunks, ((shape[0], stochastic.GROUP), shape))


def setting(n=23, p=5, n_classes=2, weighted=False, seed=0):
    """A problem, weights to start from, and an order in which two rows never come and one comes twice."""
    problem = random_problem(n, p, n_classes, weighted=weighted, seed=seed)
    rng = np.random.default_rng(seed)
    start = rng.normal(size=coef_shape(n_classes, p))
    order = rng.permutation(n)
    order[0] = order[1] = order[2]
    return problem, start, order.astype(np.int32)


def run(kernel, X, problem, start, order, rule, *arguments, adagrad=False, threads=1, cut=0):
    """Weights, as the estimator sees them, and G after updates in two calls."""
    trainer = Trainer(start, adagrad, 1)
    weight = EMPTY if problem.weight is None else problem.weight
    for begin, end in ((0, cut), (cut, len(order))):
        if end > begin:
            kernel(X, problem.y, weight, order, *arguments, rule, trainer.model, begin, end, threads=threads)
    return trainer.weights(), trainer.model.squares


def room_and_slope(X, problem, batch_size, n_classes, n_rows, n_entries):
    """What sparse_plain wants besides."""
    weight = EMPTY if problem.weight is None else problem.weight
    return *room_for_copies(X, problem.y, weight, n_rows, n_entries), np.empty((coef_shape(n_classes)[0], batch_size))


def check(kernel, storage, rule, n_classes, weighted, batch_size, *arguments, adagrad=False, room=None):
    problem, start, order = setting(n_classes=n_classes, weighted=weighted)
    X = as_design(KERNEL[storage](problem.X)).X
    threads = 1
    if room is not None:
        *sizes, threads = room
        arguments += room_and_slope(X, problem, batch_size, n_classes, *sizes)
    iterates, squares = twin.updates(
        problem.X, problem.y, start, order, batch_size, rule, weight=problem.weight, adagrad=adagrad
    )
    expected = iterates[rule.average_from - 1 :].mean(axis=0) if len(iterates) >= rule.average_from else iterates[-1]
    weights, found = run(
        kernel,
        X,
        problem,
        start,
        order,
        rule,
        *arguments,
        adagrad=adagrad,
        threads=threads,
        cut=8 // batch_size * batch_size,
    )
    np.testing.assert_allclose(weights, expected, rtol=1e-11, atol=1e-13)
    if adagrad:
        np.testing.assert_allclose(found, squares, rtol=1e-11, atol=1e-13)


# --- order ------------------------------------------------------------------------------------------------------


def test_shuffle_is_the_twins_and_may_be_cut():
    whole, cut = np.arange(1000, dtype=np.int32), np.arange(1000, dtype=np.int32)
    state, other = np.array([2**61 + 12345]), np.array([2**61 + 12345])
    expected, random = twin.shuffled(whole, int(state[0]))
    stochastic.shuffle(whole, state, 1, 1000)
    for start, stop in ((700, 1000), (699, 700), (1, 699)):
        stochastic.shuffle(cut, other, start, stop)
    assert np.array_equal(whole, expected) and np.array_equal(cut, expected)
    assert state[0] == other[0] == random
    assert np.array_equal(np.sort(whole), np.arange(1000))


def test_every_place_is_equally_likely():
    state, counts = np.array([987654321]), np.zeros((6, 6))
    for _ in range(6000):
        order = np.arange(6, dtype=np.int32)
        stochastic.shuffle(order, state, 1, 6)
        counts[np.arange(6), order] += 1
    # 25 degrees of freedom: the statistic exceeds 60 by chance once in ten thousand
    assert np.sum((counts - 1000) ** 2 / 1000) < 60


# --- pointwise --------------------------------------------------------------------------------------------------


def test_prompt_sigmoid():
    eta = np.concatenate([np.linspace(-708, 708, 2001), np.linspace(-3, 3, 501), [-1e4, 1e4, -0.0, np.inf, -np.inf]])
    prompt_sigmoid = alone(stochastic.prompt_sigmoid)
    found = np.array([prompt_sigmoid(value) for value in eta])
    assert math.isnan(prompt_sigmoid(np.nan))
    np.testing.assert_allclose(found, special.expit(eta), rtol=1e-15, atol=1e-307)


@pytest.mark.parametrize("power", [0.0, 0.25, 0.5, 1.0, 1.5])
def test_rates(power):
    rule, rate_at = CONSTANT._replace(rate=0.7, shift=2.0, power=power), alone(stochastic.rate_at)
    for t in (1.0, 2.0, 100.0, 1e9):
        assert rate_at(t, rule) == pytest.approx(0.7 * (t + 2.0) ** -power, rel=1e-14)


# --- updates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("storage", DENSE)
def test_single_rows(storage, rule, weighted):
    check(stochastic.single, storage, rule, 2, weighted, 1)


# Rows and entries that there is room for, and threads.
ROOM = {"direct": (0, 0, 1), "few rows": (4, 400, 1), "few entries": (40, 41, 2)}


@pytest.mark.parametrize("room", ROOM.values(), ids=ROOM)
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("storage, n_classes, weighted", cases(SPARSE))
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_sparse_rows(storage, rule, n_classes, weighted, batch_size, room):
    check(stochastic.sparse_plain, storage, rule, n_classes, weighted, batch_size, batch_size, room=room)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("storage, n_classes, weighted", cases(FEW[1:]))
@pytest.mark.parametrize("rule", ["constant", "falling, average", "1/t, no intercept"])
def test_sparse_adagrad(storage, rule, n_classes, weighted, batch_size):
    rule = RULES[rule]._replace(alpha=0.0)
    shape = coef_shape(n_classes)
    gradient = np.zeros(shape)
    more = batch_size, np.empty((shape[0], batch_size)), gradient
    check(stochastic.sparse_adagrad, storage, rule, n_classes, weighted, batch_size, *more, adagrad=True)
    assert not gradient.any()


@pytest.mark.parametrize("adagrad", [False, True])
@pytest.mark.parametrize("batch_size, n_chunks", [(1, 1), (5, 1), (23, 3)])
@pytest.mark.parametrize("storage, n_classes, weighted", cases(MIXED))
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_batches(storage, rule, n_classes, weighted, batch_size, n_chunks, adagrad):
    more = batch_size, *batches_room(n_chunks, coef_shape(n_classes))
    check(stochastic.batches, storage, rule, n_classes, weighted, batch_size, *more, adagrad=adagrad)


@pytest.mark.parametrize("alpha", [1.9, 2.6, 2.0, 7.0])
def test_scale_of_sparse_weights(alpha):
    """Weights that a strong penalty shrinks, enlarges, or turns round, with the scale folded in on the way."""
    problem, start, order = setting()
    order = np.tile(order, 3)
    rule = CONSTANT._replace(rate=0.5, alpha=alpha, average_from=4)
    X = as_design(KERNEL[SPARSE[0]](problem.X)).X
    more = room_and_slope(X, problem, 1, 2, 16, 80)
    weights, _ = run(stochastic.sparse_plain, X, problem, start, order, rule, 1, *more, threads=2, cut=40)
    iterates, _ = twin.updates(problem.X, problem.y, start, order, 1, rule)
    np.testing.assert_allclose(weights, iterates[3:].mean(axis=0), rtol=1e-10, atol=1e-12)


def test_batches_do_not_depend_on_threads():
    problem, start, order = setting(n=400, n_classes=3)
    X = as_design(problem.X).X
    more = 150, *batches_room(4, start.shape)
    one, two, three = (
        run(stochastic.batches, X, problem, start, order, FALLING, *more, threads=threads)[0] for threads in (1, 2, 3)
    )
    assert np.array_equal(one, two) and np.array_equal(one, three)


def test_not_a_number_stays():
    problem, start, order = setting()
    X = problem.X.copy()
    X[order[5], 1] = np.nan
    weights, _ = run(stochastic.single, X, problem, start, order, CONSTANT)
    assert np.isnan(weights).all()


# --- gradient descent -------------------------------------------------------------------------------------------

STEADY = DescentRule(0.4, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, NEVER, 0)
DESCENTS = {
    "constant": STEADY,
    "penalised": STEADY._replace(alpha=0.3, power=0.5),
    "no intercept": STEADY._replace(intercept=0.0, shift=4.0, power=1.0),
}


def descended(X, problem, start, n_iter, rule, validation=None, *, chunks=1, threads=1, cut=None):
    """The state and the history of a descent, done in calls of `cut` updates."""
    coef = padded(start).copy()
    out_run = Descent(coef, np.zeros_like(coef), coef.copy(), coef.copy(), np.zeros(6))
    out_run.state[descent.STATUS] = descent.NEW
    weight = EMPTY if problem.weight is None else problem.weight
    held_out = (X, problem.y, weight) if validation is None else (as_design(validation[0]).X, validation[1], EMPTY)
    edges = np.arange(chunks + 1) * len(problem.y) // chunks
    bounds = [[1, first, last] for first, last in zip(edges, edges[1:], strict=False)]
    totals = np.array([len(problem.y) if problem.weight is None else problem.weight.sum(), 1.0])
    if validation is not None:
        totals[1] = m = len(validation[1])
        bounds += [[0, 0, m // 2], [0, m // 2, m]]
    kernel = descent.descend if problem.n_classes == 2 else descent.softmax_descend
    room = descent.workspace(64, problem.n_classes, coef)
    room = workspaces(len(bounds), (*room, (2 + coef.size,)))
    lines, done = [], 0
    while done < n_iter and out_run.state[descent.STATUS] <= descent.RUNNING:
        history = np.full((min(cut or n_iter, n_iter - done), 4), np.nan)
        arguments = (X, problem.y, weight, *held_out, totals, rule, np.array(bounds), *room, out_run, history)
        kernel(*arguments, threads=threads)
        lines.append(history[: int(out_run.state[descent.UPDATES]) - done])
        done += len(lines[-1])
    shape = start.shape
    parts = [part[: shape[0], : shape[1]] for part in out_run[:-1]]
    return Descent(*parts, out_run.state), np.concatenate(lines)


@pytest.mark.parametrize("storage, n_classes, weighted", [*cases(MIXED), ("C float64", 3, False)])
@pytest.mark.parametrize("rule", DESCENTS.values(), ids=DESCENTS)
def test_descent(storage, rule, n_classes, weighted):
    problem, start, _ = setting(n=41, n_classes=n_classes, weighted=weighted)
    other = random_problem(12, 5, n_classes, seed=9)
    make = KERNEL[storage]
    iterates, lines = twin.descend(
        problem.X, problem.y, start, 7, rule, weight=problem.weight, validation=(other.X, other.y)
    )
    run, history = descended(
        as_design(make(problem.X)).X, problem, start, 7, rule, (make(other.X), other.y), chunks=3, cut=3
    )
    np.testing.assert_allclose(run.coef, iterates[-1], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(run.previous, iterates[-2], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(history, lines, rtol=1e-11, atol=1e-13)
    assert run.state[descent.STATUS] == descent.RUNNING


@pytest.mark.parametrize("margin", [1.0, 1e3])
@pytest.mark.parametrize("storage", ["C float64", "F float64", "F float32"])
def test_descent_in_the_plane(storage, margin):
    """Two columns in F order have a pass of their own, unless nearly every row is far on its side."""
    problem = random_problem(41, 2)
    X = KERNEL[storage](problem.X * np.where(problem.y == (problem.X[:, 0] > 0), margin, 1.0)[:, None])
    start = np.array([[0.1, 0.0, 0.0]])
    iterates, lines = twin.descend(X, problem.y, start, 4, STEADY, validation=(X, problem.y))
    run, history = descended(as_design(X).X, problem, start, 4, STEADY, (X, problem.y), chunks=2)
    np.testing.assert_allclose(run.coef, iterates[-1], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(history, lines, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_descent_does_not_depend_on_threads(n_classes):
    problem, start, _ = setting(n=300, n_classes=n_classes)
    X = as_design(problem.X).X
    whole, first = descended(X, problem, start, 5, STEADY, chunks=4)
    for threads in (2, 3):
        run, history = descended(X, problem, start, 5, STEADY, chunks=4, threads=threads)
        assert np.array_equal(run.coef, whole.coef) and np.array_equal(history, first)


def test_descent_settles():
    problem, start, _ = setting(n=41)
    rule = STEADY._replace(alpha=0.5, tol=1e-3)
    iterates, lines = twin.descend(problem.X, problem.y, start, 200, rule)
    lengths = np.linalg.norm(np.diff(iterates, axis=0, prepend=start[None]), axis=(1, 2))
    stop = int(np.argmax(lengths < 1e-3))
    run, history = descended(as_design(problem.X).X, problem, start, 200, rule)
    assert run.state[descent.STATUS] == descent.SETTLED
    assert len(history) == run.state[descent.UPDATES] == stop + 1
    np.testing.assert_allclose(run.previous, iterates[stop - 1], rtol=1e-10)


def test_descent_stalls_and_keeps_the_best():
    """Validation labels are the training ones turned round: the best weights are those at the start."""
    problem, start, _ = setting(n=41)
    rule = STEADY._replace(patience=4, watched=descent.VALIDATION_LOSS)
    validation = (problem.X, 1.0 - problem.y)
    run, history = descended(as_design(problem.X).X, problem, 0.0 * start, 99, rule, validation)
    assert run.state[descent.STATUS] == descent.STALLED and len(history) == 4
    assert not run.best.any() and run.state[descent.LOWEST] == pytest.approx(LN_2)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")  # as plain Python calls them
def test_descent_notices_a_rate_too_large():
    problem, start, _ = setting(n=41)
    run, history = descended(as_design(problem.X).X, problem, 0.0 * start, 999, STEADY._replace(rate=1e4))
    assert run.state[descent.STATUS] == descent.DIVERGED and len(history) < 30
    run, history = descended(as_design(problem.X).X, problem, start, 999, STEADY._replace(rate=1e3, alpha=1.0))
    assert run.state[descent.STATUS] == descent.DIVERGED
    run, history = descended(as_design(1e160 * problem.X).X, problem, start, 999, STEADY._replace(rate=1e200))
    assert run.state[descent.STATUS] == descent.NOT_FINITE


@pytest.mark.parametrize("margin", [0.0, 0.5, 5.0, 40.0])
def test_small_losses_keep_their_digits(margin):
    """The loss is a product's logarithm where it is large and a sum of logarithms where it is small."""
    n = 700
    X, y = np.where(np.arange(n) % 2, margin, -margin)[:, None], (np.arange(n) % 2).astype(float)
    out = np.zeros((1, 3))
    work = np.empty((1, 2, descent.MOST_ROWS))
    descent.cost(as_design(X).X, y, EMPTY, np.array([[1.0, 0.0]]), work, split(n, 1), out)
    assert out[0, 0] == pytest.approx(n * np.log1p(np.exp(-margin)), rel=1e-13)
    assert out[0, 1] == pytest.approx(n / 2 * ((margin - 1) ** 2 + margin**2))
