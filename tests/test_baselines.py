"""The baselines reproduce the numbers that the tutorials' systems give, and the loop equals the vectorised version."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs, make_classification
from sklearn.model_selection import train_test_split

from bench import baselines


def blobs(seed):
    X, y = make_blobs(n_samples=1000, n_features=2, centers=2, cluster_std=1, random_state=seed)
    return X[:800], y[:800], X[800:], y[800:]


def accuracy(coef, X, y):
    return np.mean(baselines.vectorised_predict(coef, X) == y)


def central_difference(f, coef, step=1e-6):
    gradient = np.empty_like(coef)
    for j in np.ndindex(coef.shape):
        shift = np.zeros_like(coef)
        shift[j] = step
        gradient[j] = (f(coef + shift) - f(coef - shift)) / (2 * step)
    return gradient


def test_blobs_trajectory():
    X, y, X_test, y_test = blobs(1001)
    run = baselines.vectorised_descent(X, y, X_test, y_test)
    assert run.n_iter == 601
    assert all(len(values) == 601 for values in run.history.values())
    np.testing.assert_allclose(run.coef, [-1.45278642, 2.41044473, -0.06813914], atol=1e-8)
    first = {name: values[0] for name, values in run.history.items()}
    last = {name: values[-1] for name, values in run.history.items()}
    assert first["train_loss"] == pytest.approx(0.59971110, abs=1e-8)
    assert first["test_loss"] == pytest.approx(0.59866205, abs=1e-8)
    assert last["train_loss"] == pytest.approx(0.07409466, abs=1e-8)
    assert last["test_loss"] == pytest.approx(0.06207248, abs=1e-8)
    assert last["train_quadratic"] == pytest.approx(34.4501, abs=1e-4)
    assert last["test_quadratic"] == pytest.approx(34.9597, abs=1e-4)


@pytest.mark.parametrize(
    ("seed", "n_iter", "train", "test"),
    [(1001, 601, 0.9675, 0.985), (0, 1870, 0.9575, 0.935), (1, 290, 1.0, 1.0), (42, 309, 1.0, 1.0)],
)
def test_blobs_seeds(seed, n_iter, train, test):
    X, y, X_test, y_test = blobs(seed)
    run = baselines.vectorised_descent(X, y)
    assert (run.n_iter, accuracy(run.coef, X, y), accuracy(run.coef, X_test, y_test)) == (n_iter, train, test)


def test_labels_plus_minus_one_are_the_same():
    X, y, X_test, y_test = blobs(1)
    run = baselines.vectorised_descent(X, y, X_test, y_test, max_iter=20)
    other = baselines.vectorised_descent(X, 2 * y - 1, X_test, 2 * y_test - 1, max_iter=20)
    np.testing.assert_array_equal(run.coef, other.coef)
    np.testing.assert_array_equal(run.history["test_quadratic"], other.history["test_quadratic"])


@pytest.mark.parametrize("start", [None, [0.3, -0.2, 0.1]])
def test_loop_equals_vectorised(start):
    X, y, X_test, y_test = blobs(1001)
    arguments = (X, y, X_test, y_test)
    loop = baselines.naive_descent(*arguments, max_iter=25, start=start)
    vectorised = baselines.vectorised_descent(*arguments, max_iter=25, start=start)
    assert loop.n_iter == vectorised.n_iter == 25
    np.testing.assert_allclose(loop.coef, vectorised.coef, rtol=1e-12)
    assert loop.history.keys() == vectorised.history.keys()
    for name, values in loop.history.items():
        np.testing.assert_allclose(values, vectorised.history[name], rtol=1e-12, err_msg=name)


def test_loop_stops_where_vectorised_stops():
    """The weights kept are those before the update that stopped the run; the histories include that update."""
    X, y, X_test, y_test = blobs(1001)
    kwargs = {"tol": 0.05}
    loop = baselines.naive_descent(X, y, X_test, y_test, **kwargs)
    vectorised = baselines.vectorised_descent(X, y, X_test, y_test, **kwargs)
    before = baselines.vectorised_descent(X, y, max_iter=loop.n_iter - 1, tol=0)
    assert 1 < loop.n_iter == vectorised.n_iter == len(loop.history["test_loss"])
    np.testing.assert_allclose(loop.coef, vectorised.coef, rtol=1e-12)
    np.testing.assert_array_equal(vectorised.coef, before.coef)


def test_loop_predictions_and_grid():
    X, y, X_test, _ = blobs(1001)
    coef = baselines.vectorised_descent(X, y, max_iter=50).coef
    for threshold in (0.5, 0.9):
        labels = baselines.naive_predict(coef, X_test, threshold)
        np.testing.assert_array_equal(labels, baselines.vectorised_predict(coef, X_test, threshold))
    loop, vectorised = baselines.naive_grid(coef, X, points=30), baselines.vectorised_grid(coef, X, points=30)
    for ours, theirs in zip(loop, vectorised, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert vectorised[0][0] == X[:, 0].min() - 1
    assert set(np.unique(vectorised[2])) == {0.0, 1.0}


def test_worked_bias_gradient():
    errors = np.array([0.9, 0.2]) - np.array([1.0, 0.0])
    np.testing.assert_allclose(errors, [-0.1, 0.2], atol=1e-15)
    # scores that give these probabilities, so that the bias gradient goes through the function itself
    scores = np.log([0.9 / 0.1, 0.2 / 0.8])
    gradient = baselines.vectorised_gradient(np.array([0.0, 1.0]), baselines.ones_column(scores[:, None]), [1.0, 0.0])
    assert gradient[0] == pytest.approx(0.05, abs=1e-15)


@pytest.mark.parametrize("version", ["naive", "vectorised"])
def test_worked_step(version):
    x, y = np.arange(1.0, 6.0)[:, None], np.array([0.0, 0, 0, 1, 1])
    weights = np.array([-6.593, 2.197])
    rows = baselines.ones_column(x)
    p = baselines.sigmoid(rows @ weights)
    np.testing.assert_allclose(p, [0.01218, 0.09984, 0.49950, 0.89980, 0.98778], atol=5e-6)
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    np.testing.assert_allclose(losses, [0.01225, 0.10518, 0.69215, 0.10558, 0.01230], atol=5e-6)
    data = baselines.leading_ones(x) if version == "naive" else rows
    assert getattr(baselines, f"{version}_loss")(weights, data, y) == pytest.approx(0.185493, abs=1e-6)
    gradient = getattr(baselines, f"{version}_gradient")(weights, data, y)
    np.testing.assert_allclose(gradient, [0.099818, 0.249686], atol=1e-6)
    descent = getattr(baselines, f"{version}_descent")
    run = descent(x, y, learning_rate=0.1, max_iter=1, tol=0, start=[2.197, -6.593])
    np.testing.assert_allclose(run.coef, [2.172031, -6.602982], atol=1e-6)


def test_toy_data():
    x, y = np.array([[0.5], [2.5], [1.0], [3.0]]), np.array([0, 1, 0, 1])
    run = baselines.vectorised_descent(x, y, learning_rate=0.1, max_iter=1000, tol=0)
    np.testing.assert_allclose(run.coef, [3.18428912, -5.16015367], atol=1e-8)
    p = baselines.sigmoid(x @ run.coef[:-1] + run.coef[-1])
    np.testing.assert_allclose(p, [0.02744, 0.94271, 0.12176, 0.98778], atol=5e-6)


def test_clipped_descent_cost_table():
    X, y = make_classification(
        n_samples=1000, n_features=2, n_redundant=0, n_informative=2, n_clusters_per_class=1, random_state=42
    )
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    run = baselines.vectorised_clipped_descent(X, y)
    table = [0.6931, 0.2846, 0.2557, 0.2463, 0.2420, 0.2396, 0.2381, 0.2371, 0.2363, 0.2357]
    np.testing.assert_array_equal(np.round(run.history["train_loss"][::100], 4), table)
    np.testing.assert_allclose(run.coef, [-0.25318706, 3.22944195, 0.63111413], atol=1e-8)
    assert accuracy(run.coef, X_test, y_test) == 0.90


def test_least_squares_crossing_moves_with_far_points():
    income = np.arange(1000.0, 6001.0, 500.0)
    bought = (income <= 3500).astype(float)
    assert baselines.least_squares_crossing(income, bought) == pytest.approx(3666.67, abs=5e-3)
    far = np.append(income, [15000.0, 20000.0, 25000.0])
    assert baselines.least_squares_crossing(far, np.append(bought, np.zeros(3))) == pytest.approx(5246.58, abs=5e-3)


def test_gradients_are_the_loss_derivatives():
    rng = np.random.default_rng(3)
    X, y, weights = rng.normal(size=(40, 4)), rng.integers(0, 2, 40).astype(float), rng.normal(size=5)
    columns, rows = baselines.leading_ones(X), baselines.ones_column(X)
    expected = central_difference(lambda w: baselines.vectorised_loss(w, rows, y), weights)
    np.testing.assert_allclose(baselines.vectorised_gradient(weights, rows, y), expected, atol=1e-8)
    np.testing.assert_allclose(baselines.naive_gradient(weights, columns, y), expected, atol=1e-8)
    assert baselines.naive_quadratic(weights, columns, y) == pytest.approx(
        baselines.vectorised_quadratic(weights, rows, y), rel=1e-12
    )


def softmax_loss(coef, X, labels, alpha=0.0):
    eta = X @ coef[:, :-1].T + coef[:, -1]
    normaliser = np.log(np.exp(eta).sum(axis=1))
    return np.mean(normaliser - eta[np.arange(len(eta)), labels]) + alpha / 2 * np.sum(coef[:, :-1] ** 2)


def test_softmax_descent_follows_the_gradient():
    rng = np.random.default_rng(4)
    X, labels, start = rng.normal(size=(60, 3)), rng.integers(0, 3, 60), rng.normal(size=(3, 4))
    labels[:3] = [0, 1, 2]
    run = baselines.softmax_descent(X, labels, X, labels, learning_rate=0.5, max_iter=1, start=start)
    expected = start - 0.5 * central_difference(lambda coef: softmax_loss(coef, X, labels), start)
    np.testing.assert_allclose(run.coef, expected, atol=1e-8)
    assert run.history["train_loss"][0] == pytest.approx(softmax_loss(run.coef, X, labels), abs=1e-12)
    np.testing.assert_array_equal(run.history["train_loss"], run.history["test_loss"])


def test_two_class_softmax_is_the_binary_model():
    X, y, _, _ = blobs(1001)
    binary = baselines.vectorised_descent(X, y, learning_rate=0.1, max_iter=30, tol=0)
    # two coefficient rows move in opposite directions, so half the rate in each gives the same difference
    both = baselines.softmax_descent(X, y, learning_rate=0.05, max_iter=30)
    np.testing.assert_allclose(both.coef[1] - both.coef[0], binary.coef, rtol=1e-10)


@pytest.mark.parametrize("rule", ["sgd", "adagrad"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_epochs_loop_equals_vectorised(rule, batch_size):
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(50, 3)), rng.integers(0, 2, 50)
    orders = [rng.permutation(50) for _ in range(4)]
    kwargs = {"batch_size": batch_size, "rule": rule, "learning_rate": 0.2, "alpha": 0.01}
    loop = baselines.naive_epochs(X, y, orders, **kwargs, start=[0.1, 0.2, 0.3, 0.4])
    vectorised = baselines.stochastic_epochs(X, y, orders, **kwargs, start=[0.1, 0.2, 0.3, 0.4])
    assert loop.n_iter == vectorised.n_iter == 4
    np.testing.assert_allclose(loop.coef, vectorised.coef, rtol=1e-11)
    np.testing.assert_allclose(loop.history["train_loss"], vectorised.history["train_loss"], rtol=1e-11)


def test_one_full_batch_epoch_is_gradient_descent():
    X, y, _, _ = blobs(0)
    orders = [np.arange(len(X))] * 5
    epochs = baselines.stochastic_epochs(X, y, orders, batch_size=len(X))
    descent = baselines.vectorised_descent(X, y, max_iter=5, tol=0)
    np.testing.assert_allclose(epochs.coef, descent.coef, rtol=1e-12)
    np.testing.assert_allclose(epochs.history["train_loss"], descent.history["train_loss"], rtol=1e-12)


@pytest.mark.parametrize("rule", ["sgd", "adagrad"])
def test_first_softmax_update(rule):
    """One update of all rows against the penalised loss's numerical gradient; the intercept is not penalised."""
    rng = np.random.default_rng(6)
    X, labels, start = rng.normal(size=(30, 2)), rng.integers(0, 3, 30), rng.normal(size=(3, 3))
    g = central_difference(lambda coef: softmax_loss(coef, X, labels, alpha=0.3), start)
    run = baselines.stochastic_epochs(
        X, labels, [np.arange(30)], batch_size=30, rule=rule, alpha=0.3, start=start, n_classes=3
    )
    update = g if rule == "sgd" else g / (np.abs(g) + 1e-8)
    np.testing.assert_allclose(run.coef, start - 0.1 * update, atol=1e-7)
