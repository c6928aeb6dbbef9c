"""What compiled code has to beat: logistic regression as tutorials write it, twice.

1. The naive loop (`naive_*`): Python visits one sample at a time and NumPy only ever sees that sample.
2. The vectorised version (`vectorised_*`): the same arithmetic as whole-array NumPy.

Both do the same gradient descent and keep the same histories, so that a difference in time is one in execution:

    p_i = 1 / (1 + exp(-eta_i)),   eta_i = x_i·w + b
    loss = -mean(y log(p + 1e-15) + (1 - y) log(1 - p + 1e-15))
    gradient = mean((p_i - y_i) (1, x_i)),   (b, w) <- (b, w) - learning_rate * gradient
    quadratic cost = mean((eta - y)²), of the raw score; it is watched, not minimised

`coef` has the intercept last wherever it crosses this module's border: shape (n_features + 1,), for softmax (n_classes,
n_features + 1). These are readable references, also used as twins in the tests; they check nothing, and exp may
overflow for |eta| > 709.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

TINY = 1e-15  # keeps the logarithm finite, as in the tutorials


@dataclass
class DescentResult:
    """coef (intercept last), number of updates or epochs, and one array for each history, an entry an iteration."""

    coef: np.ndarray
    n_iter: int
    history: dict[str, np.ndarray] = field(default_factory=dict)


def zero_one(y):
    """Labels in {0, 1} or {-1, +1} as float64 zeros and ones."""
    return (np.asarray(y) > 0).astype(float)


def _intercept_last(weights):
    return np.append(weights[1:], weights[0])


def _intercept_first(coef):
    return np.append(coef[-1], coef[:-1])


def _start(start, n_features):
    return np.zeros(n_features + 1) if start is None else _intercept_first(np.asarray(start, dtype=float))


# ---------------------------------------------------------------------------------------------- the naive loop


def leading_ones(X):
    """X (n_samples, n_features) stored the loop's way: (n_features + 1, n_samples), first row all ones."""
    return np.vstack([np.ones(len(X)), np.asarray(X).T])


def naive_probability(weights, x):
    """sigmoid(weights·x) of one sample; both (n_features + 1,), the intercept first."""
    return 1.0 / (1.0 + np.exp(-np.dot(weights, x)))


def naive_loss(weights, columns, y):
    """Mean log loss, one sample at a time. columns (n_features + 1, n_samples). n_samples calls of np.dot."""
    total = 0.0
    for i in range(columns.shape[1]):
        p = naive_probability(weights, columns[:, i])
        total -= y[i] * np.log(p + TINY) + (1.0 - y[i]) * np.log(1.0 - p + TINY)
    return total / columns.shape[1]


def naive_quadratic(weights, columns, y):
    """Mean squared difference of the raw score and the label, one sample at a time."""
    total = 0.0
    for i in range(columns.shape[1]):
        total += (np.dot(weights, columns[:, i]) - y[i]) ** 2
    return total / columns.shape[1]


def naive_gradient(weights, columns, y):
    """Gradient of the mean log loss, one sample at a time; (n_features + 1,), the intercept first."""
    total = np.zeros(len(weights))
    for i in range(columns.shape[1]):
        x = columns[:, i]
        total += (naive_probability(weights, x) - y[i]) * x
    return total / columns.shape[1]


def naive_descent(X, y, X_test=None, y_test=None, *, learning_rate=0.1, max_iter=10_000, tol=1e-3, start=None):
    """Gradient descent by the loop above; arguments and result as for `vectorised_descent`.

    Cost of an iteration: five sweeps of Python over the samples (gradient; two costs on train, two on test).
    """
    return _descend(
        (leading_ones(X), None if X_test is None else leading_ones(X_test)),
        (naive_gradient, naive_loss, naive_quadratic),
        (zero_one(y), None if X_test is None else zero_one(y_test)),
        (learning_rate, max_iter, tol),
        _start(start, X.shape[1]),
    )


def naive_predict(coef, X, threshold=0.5):
    """Label of every row, one call a sample; (n_samples,) of 0 and 1."""
    weights, columns = _intercept_first(coef), leading_ones(X)
    labels = np.zeros(columns.shape[1])
    for i in range(columns.shape[1]):
        labels[i] = 1.0 if naive_probability(weights, columns[:, i]) >= threshold else 0.0
    return labels


def naive_grid(coef, X, points=200):
    """Labels on a points × points grid over the two columns of X ± 1, one call a point: (xs, ys, labels[y, x])."""
    xs, ys = grid_axes(X, points)
    weights = _intercept_first(coef)
    labels = np.zeros((points, points))
    for i in range(points):
        for j in range(points):
            labels[i, j] = 1.0 if naive_probability(weights, np.array([1.0, xs[j], ys[i]])) >= 0.5 else 0.0
    return xs, ys, labels


# ---------------------------------------------------------------------------------------- the vectorised version


def ones_column(X):
    """X (n_samples, n_features) with a first column of ones."""
    return np.column_stack([np.ones(len(X)), X])


def sigmoid(eta):
    """1 / (1 + exp(-eta)), any shape."""
    return 1.0 / (1.0 + np.exp(-eta))


def vectorised_loss(weights, rows, y):
    """Mean log loss. rows (n_samples, n_features + 1), the intercept's ones first. One product with rows."""
    p = sigmoid(rows @ weights)
    return -np.mean(y * np.log(p + TINY) + (1.0 - y) * np.log(1.0 - p + TINY))


def vectorised_quadratic(weights, rows, y):
    """Mean squared difference of the raw score and the label. One product with rows."""
    return np.mean((rows @ weights - y) ** 2)


def vectorised_gradient(weights, rows, y):
    """rowsᵀ(p - y) / n_samples, the intercept first. Two products with rows."""
    return rows.T @ (sigmoid(rows @ weights) - y) / len(y)


def vectorised_descent(X, y, X_test=None, y_test=None, *, learning_rate=0.1, max_iter=10_000, tol=1e-3, start=None):
    """Full-batch gradient descent in whole-array NumPy, with the histories.

    X (n_samples, n_features), y in {0, 1} or {-1, +1}; X_test and y_test are only watched. start: coef, default zero.
    Stops after max_iter updates, or when the norm of an update is below tol (0: never); the weights returned are then
    those *before* that update, while n_iter and the histories (train_loss, test_loss, train_quadratic, test_quadratic,
    each taken after the update) include it. Cost of an iteration: six products with X and X_test.
    """
    return _descend(
        (ones_column(X), None if X_test is None else ones_column(X_test)),
        (vectorised_gradient, vectorised_loss, vectorised_quadratic),
        (zero_one(y), None if X_test is None else zero_one(y_test)),
        (learning_rate, max_iter, tol),
        _start(start, X.shape[1]),
    )


def _descend(data, functions, labels, rule, weights):
    """The iteration that both versions share; only the three functions and the layout of the data differ."""
    gradient, loss, quadratic = functions
    (train, test), (y, y_test), (learning_rate, max_iter, tol) = data, labels, rule
    history = {"train_loss": [], "train_quadratic": []}
    if test is not None:
        history |= {"test_loss": [], "test_quadratic": []}
    n_iter = 0
    while n_iter < max_iter:
        n_iter += 1
        new = weights - learning_rate * gradient(weights, train, y)
        history["train_loss"].append(loss(new, train, y))
        history["train_quadratic"].append(quadratic(new, train, y))
        if test is not None:
            history["test_loss"].append(loss(new, test, y_test))
            history["test_quadratic"].append(quadratic(new, test, y_test))
        if np.linalg.norm(new - weights) < tol:
            break
        weights = new
    return DescentResult(_intercept_last(weights), n_iter, {name: np.array(h) for name, h in history.items()})


def vectorised_clipped_descent(X, y, *, learning_rate=0.1, epochs=1000):
    """The other common form: bias apart, p clipped to [1e-15, 1 - 1e-15] in the loss, a fixed number of epochs.

    train_loss[e] is the loss *before* update e, so that it begins with log 2. Cost of an epoch: two products with X.
    """
    y = zero_one(y)
    w, b = np.zeros(X.shape[1]), 0.0
    losses = np.empty(epochs)
    for epoch in range(epochs):
        p = sigmoid(X @ w + b)
        clipped = np.clip(p, TINY, 1.0 - TINY)
        losses[epoch] = -np.mean(y * np.log(clipped) + (1.0 - y) * np.log(1.0 - clipped))
        w -= learning_rate * (X.T @ (p - y)) / len(y)
        b -= learning_rate * np.mean(p - y)
    return DescentResult(np.append(w, b), epochs, {"train_loss": losses})


def vectorised_predict(coef, X, threshold=0.5):
    """Label of every row at once; (n_samples,) of 0 and 1."""
    return (sigmoid(X @ coef[:-1] + coef[-1]) >= threshold).astype(float)


def vectorised_grid(coef, X, points=200):
    """As `naive_grid`, all points in one product."""
    xs, ys = grid_axes(X, points)
    grid = np.column_stack([np.tile(xs, points), np.repeat(ys, points)])
    return xs, ys, vectorised_predict(coef, grid).reshape(points, points)


def grid_axes(X, points):
    """The two axes of a decision picture: `points` values from one below to one above each column's data."""
    low, high = X.min(axis=0) - 1.0, X.max(axis=0) + 1.0
    return np.linspace(low[0], high[0], points), np.linspace(low[1], high[1], points)


def softmax(eta):
    """exp(eta_k) / Σ_j exp(eta_j) along the last axis, shifted by the largest term."""
    shifted = np.exp(eta - eta.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def softmax_descent(X, y, X_test=None, y_test=None, *, learning_rate=0.1, max_iter=1000, tol=0.0, start=None):
    """Multinomial twin of `vectorised_descent`: y holds class indices, coef is (n_classes, n_features + 1).

    loss = -mean(log p[i, y_i]), gradient = (p - onehot(y))ᵀ X / n_samples.
    """
    sets = [(np.column_stack([X, np.ones(len(X))]), np.asarray(y))]
    if X_test is not None:
        sets.append((np.column_stack([X_test, np.ones(len(X_test))]), np.asarray(y_test)))
    rows, onehot = sets[0][0], np.eye(int(np.max(y)) + 1)[y]
    coef = np.zeros((onehot.shape[1], rows.shape[1])) if start is None else np.array(start, dtype=float)
    losses = [[] for _ in sets]
    n_iter = 0
    while n_iter < max_iter:
        n_iter += 1
        new = coef - learning_rate * (softmax(rows @ coef.T) - onehot).T @ rows / len(rows)
        for kept, (A, labels) in zip(losses, sets, strict=True):
            kept.append(-np.mean(np.log(softmax(A @ new.T)[np.arange(len(A)), labels] + TINY)))
        if np.linalg.norm(new - coef) < tol:
            break
        coef = new
    history = {name: np.array(kept) for name, kept in zip(("train_loss", "test_loss"), losses, strict=False)}
    return DescentResult(coef, n_iter, history)


# ------------------------------------------------------------------- several updates an epoch: SGD, mini-batch, AdaGrad


def stochastic_epochs(
    X, y, orders: Iterable, *, batch_size=1, rule="sgd", learning_rate=0.1, alpha=0.0, eps=1e-8, start=None, n_classes=2
):
    """Epochs of SGD (batch_size 1), mini-batch SGD or AdaGrad over samples taken in the given orders.

    orders: one array of row indices an epoch, so that an implementation with its own random numbers can be compared.
    g = mean over the batch of the loss gradient, plus alpha * w (never on the intercept);
    rule "sgd": coef -= learning_rate * g;  "adagrad": G += g², coef -= learning_rate * g / (√G + eps), G from zero.
    Binary for n_classes = 2, softmax with coef (n_classes, n_features + 1) above. train_loss is the mean loss without
    penalty, after each epoch. Cost of an epoch: n_samples / batch_size rounds of NumPy calls.
    """
    rows = np.column_stack([X, np.ones(len(X))])
    if n_classes == 2:
        target, link, losses = zero_one(y), sigmoid, _binary_losses
        shape = (rows.shape[1],)
    else:
        target, link, losses = np.eye(n_classes)[y], softmax, _softmax_losses
        shape = (n_classes, rows.shape[1])

    def gradient(coef, batch):
        errors = link(rows[batch] @ coef.T) - target[batch]
        return errors.T @ rows[batch] / len(batch)

    def loss(coef):
        return np.mean(losses(link(rows @ coef.T), target))

    coef = np.zeros(shape) if start is None else np.array(start, dtype=float)
    return _epochs(gradient, loss, coef, orders, batch_size, rule, learning_rate, alpha, eps)


def naive_epochs(
    X, y, orders: Iterable, *, batch_size=1, rule="sgd", learning_rate=0.1, alpha=0.0, eps=1e-8, start=None
):
    """As `stochastic_epochs` with two classes, but Python visits the samples of a batch one by one."""
    columns = np.vstack([np.asarray(X).T, np.ones(len(X))])
    y = zero_one(y)

    def gradient(coef, batch):
        return naive_gradient(coef, columns[:, batch], y[batch])

    def loss(coef):
        return naive_loss(coef, columns, y)

    coef = np.zeros(len(columns)) if start is None else np.array(start, dtype=float)
    return _epochs(gradient, loss, coef, orders, batch_size, rule, learning_rate, alpha, eps)


def _binary_losses(p, y):
    return -(y * np.log(p + TINY) + (1.0 - y) * np.log(1.0 - p + TINY))


def _softmax_losses(p, onehot):
    return -np.log(np.sum(p * onehot, axis=1) + TINY)


def _epochs(gradient: Callable, loss: Callable, coef, orders, batch_size, rule, learning_rate, alpha, eps):
    penalised = np.ones(coef.shape)
    penalised[..., -1] = 0.0
    squares = np.zeros(coef.shape)
    history = []
    for order in orders:
        for first in range(0, len(order), batch_size):
            g = gradient(coef, order[first : first + batch_size]) + alpha * penalised * coef
            if rule == "adagrad":
                squares += g * g
                coef = coef - learning_rate * g / (np.sqrt(squares) + eps)
            else:
                coef = coef - learning_rate * g
        history.append(loss(coef))
    return DescentResult(coef, len(history), {"train_loss": np.array(history)})


# ---------------------------------------------------------------------------------------------- linear regression


def least_squares_crossing(x, y):
    """Where the least-squares line through 0/1 labels crosses one half: why labels are not fitted with a line."""
    slope, intercept = np.polyfit(x, y, 1)
    return (0.5 - intercept) / slope
