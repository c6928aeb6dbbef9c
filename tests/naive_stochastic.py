"""The learning-rate family in plain NumPy, an update at a time: the twin of kernels/stochastic.py and descent.py.

Coefficients are (K, p + 1), K = 1 for two classes, intercept last; see the kernels' docstrings for the formulas.
"""

import numpy as np

import naive

MULTIPLIER = 2147483085


def shuffled(order, random):
    """A Fisher-Yates shuffle with draws from Marsaglia's multiply with carry: (new order, new state)."""
    order = list(order)
    for i in range(len(order) - 1, 0, -1):
        random = MULTIPLIER * (random % 2**32) + random // 2**32
        j = (random % 2**32 ^ random // 2**32) * (i + 1) // 2**32
        order[i], order[j] = order[j], order[i]
    return np.array(order), random


def rate(t, rule):
    return rule.rate * (t + rule.shift) ** -rule.power


def mean_gradient(X, y, coef, weight=None):
    """(1/b) Σ weight · slope · (x, 1) of all rows of X, shaped like coef."""
    one = coef[0] if len(coef) == 1 else coef
    return naive.value_gradient(X, y, one, weight)[1].reshape(coef.shape) / len(y)


def penalised(gradient, coef, rule):
    """The gradient with the penalty's; zero for an intercept that stays where it is."""
    gradient = gradient.copy()
    gradient[:, :-1] += rule.alpha * coef[:, :-1]
    gradient[:, -1] *= rule.intercept
    return gradient


def updates(X, y, coef, order, batch_size, rule, *, weight=None, adagrad=False):
    """All weights that the updates pass through, (n_updates, K, p + 1), and AdaGrad's G."""
    X = naive.dense(X)
    squares, iterates = np.zeros_like(coef), []
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        gradient = mean_gradient(X[rows], y[rows], coef, None if weight is None else weight[rows])
        gradient = penalised(gradient, coef, rule)
        step = rate(len(iterates) + 1, rule)
        if adagrad:
            squares = squares + gradient**2
            coef = coef - step * gradient / (np.sqrt(squares) + rule.eps)
        else:
            coef = coef - step * gradient
        iterates.append(coef)
    return np.array(iterates), squares


def costs(X, y, coef, weight=None):
    """Weighted mean loss and quadratic cost."""
    X = naive.dense(X)
    one = coef[0] if len(coef) == 1 else coef
    eta = naive.decision(X, one)
    errors = (eta - y) ** 2 if eta.ndim == 1 else np.sum((eta - np.eye(len(coef))[y]) ** 2, axis=1)
    return np.average(naive.loss(eta, y), weights=weight), np.average(errors, weights=weight)


def descend(X, y, coef, n_iter, rule, *, weight=None, validation=None):
    """Weights after every update of gradient descent, and the history: train, validation loss, both quadratic costs."""
    X = naive.dense(X)
    iterates, lines = [], []
    scale = 1.0 if weight is None else len(y) / np.sum(weight)
    for t in range(1, n_iter + 1):
        coef = coef - rate(t, rule) * penalised(scale * mean_gradient(X, y, coef, weight), coef, rule)
        train, held_out = costs(X, y, coef, weight), (0.0, 0.0) if validation is None else costs(*validation, coef)
        iterates.append(coef)
        lines.append([train[0], held_out[0], train[1], held_out[1]])
    return np.array(iterates), np.array(lines)
