"""Hessians without intercepts: equal to what is left of whole ones, corrected by the same BFGS."""

import numpy as np
import pytest

import naive
from fastlogreg.solvers.reduced import Reduced


def drawn(n_classes, n_columns, seed=0, mean=0.0):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(60, n_classes, n_columns + 1)) + mean
    rows[..., -1] = random.random((60, n_classes))
    rows = rows.reshape(60, -1)
    return rows.T @ rows / 60, random


def steps(hessian, random, n_classes, n_steps):
    """Steps, and changes of a gradient along them that are not quite those of the Hessian."""
    for _ in range(n_steps):
        change = random.normal(size=len(hessian))
        noise = random.normal(size=hessian.shape) * 0.01
        other = hessian + noise @ noise.T
        yield change.reshape(n_classes, -1), (other @ change).reshape(n_classes, -1)


@pytest.mark.parametrize("n_classes", [1, 3])
def test_bfgs_without_intercepts_is_that_of_the_whole(n_classes):
    hessian, random = drawn(n_classes, 5)
    reduced, whole = Reduced(hessian, n_classes), hessian
    for change, gradient_change in steps(hessian, random, n_classes, 4):
        reduced.learn(change, gradient_change)
        whole = naive.bfgs(whole, change.ravel(), gradient_change.ravel())
        inner, lift, corner = naive.without_intercepts(whole, n_classes)
        np.testing.assert_allclose(reduced.inner, inner, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(reduced.lift, lift, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(reduced.corner, corner, rtol=1e-8, atol=1e-10)
        slopes = random.normal(size=n_classes)
        np.testing.assert_allclose(reduced.intercept_move(slopes), np.linalg.solve(corner, slopes), rtol=1e-8)


def test_columns_and_strengths():
    hessian, random = drawn(3, 5)
    reduced = Reduced(hessian, 3)
    kept = np.array([True, False, True, True, False])
    places = np.append(kept, True)[None].repeat(3, axis=0).ravel()
    inner, lift, corner = naive.without_intercepts(hessian[np.ix_(places, places)], 3)
    taken = reduced.take(kept)
    np.testing.assert_allclose(taken.inner, inner, rtol=1e-10)
    np.testing.assert_allclose(taken.lift, lift, rtol=1e-10)
    taken.add_l2(np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(taken.inner - inner, np.diag(np.tile([0.1, 0.2, 0.3], 3)), atol=1e-12)
    copied = reduced.copy()
    for change, gradient_change in steps(hessian, random, 3, 2):
        copied.learn(change, gradient_change)
    np.testing.assert_allclose(reduced.inner, naive.without_intercepts(hessian, 3)[0], rtol=1e-10)


@pytest.mark.parametrize("mean", [1e3, 1e6])
def test_means_far_from_zero_take_no_digits_of_corrections(mean):
    """The curvature of columns that vary by one stays what it is, where that of plain columns is mean²."""
    hessian, random = drawn(1, 4)
    shift = np.eye(5)
    shift[:4, 4] = mean
    exact, far = Reduced(hessian, 1), Reduced(shift @ hessian @ shift.T, 1)
    start = np.abs(far.inner - exact.inner).max()
    for change, gradient_change in steps(hessian, random, 1, 20):
        exact.learn(change, gradient_change)
        there = np.linalg.solve(shift.T, change[0])
        far.learn(there[None], (shift @ gradient_change[0])[None])
    assert np.abs(far.inner - exact.inner).max() <= 3.0 * start + 1e-9


def test_columns_without_curvature_keep_none_of_the_wrong_sign():
    hessian, _ = drawn(1, 3)
    hessian[0] = hessian[3] * 7.0
    hessian[:, 0] = hessian[0]
    hessian[0, 0] = hessian[3, 3] * 49.0
    assert (np.diag(Reduced(hessian, 1).inner) > 0.0).all()


def test_steps_that_tell_nothing_change_nothing():
    hessian, _ = drawn(1, 3)
    reduced = Reduced(hessian, 1)
    before = reduced.inner.copy()
    reduced.learn(np.ones((1, 4)), -np.ones((1, 4)))
    np.testing.assert_array_equal(reduced.inner, before)


@pytest.mark.parametrize("n_classes", [1, 3])
def test_noise_of_a_sample(n_classes):
    """All but all of what independent columns have off the diagonal, little of what others have; L2 does not count."""
    rng = np.random.default_rng(0)
    n_rows, n_columns = 600, 40
    rows = rng.normal(size=(n_rows, n_classes, n_columns + 1)) * np.linspace(1.0, 9.0, n_columns + 1)
    rows[..., -1] = 1.0
    shared = rows + 2.0 * rng.normal(size=(n_rows, n_classes, 1)) * np.linspace(1.0, 9.0, n_columns + 1)
    shared[..., -1] = 1.0
    noises = []
    for values in rows, shared:
        values = values.reshape(n_rows, -1)
        reduced = Reduced(values.T @ values / n_rows + 1e-9 * np.eye(values.shape[1]), n_classes)
        noises.append(reduced.noise(0.0, n_rows))
        reduced.add_l2(np.full(n_columns, 3.0))
        assert reduced.noise(np.full(n_columns, 3.0), n_rows) == pytest.approx(noises[-1])
    assert noises[0] > 0.9 and noises[1] < 0.1
    before = reduced.inner.copy()
    reduced.shrink(0.25)
    np.testing.assert_allclose(np.diag(reduced.inner), np.diag(before))
    upper = np.triu_indices(len(before), 1)
    np.testing.assert_allclose(reduced.inner[upper], 0.75 * before[upper])


def test_noise_of_no_or_one_column():
    for n_columns in 0, 1:
        assert Reduced(np.eye(n_columns + 1), 1).noise(0.0, 10) == 1.0
