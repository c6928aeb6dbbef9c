"""Scores of the rows that a fold holds out, by any scorer; the rows are copied only for scorers that ask for them."""

import inspect

import numpy as np
from sklearn.metrics import accuracy_score, log_loss, make_scorer
from sklearn.metrics._scorer import _BaseScorer

from fastlogreg.design import NO_OFFSET, as_design
from fastlogreg.estimators.logistic import LogisticRegression
from fastlogreg.functional import log1pexp, logsumexp, sigmoid, softmax
from fastlogreg.kernels import predict

# Rows are gathered this many bytes at a time.
BLOCK_BYTES = 2**22


def linear_predictors(X, rows, coef, n_jobs):
    """Return eta of some rows for several models, (n_rows, n_models); one read of the rows, at most a block copied.

    Parameters
    ----------
    X : ndarray or CSR matrix or array
    rows : ndarray of int
    coef : ndarray of shape (n_models, n_features + 1)
    """
    eta = np.empty((len(rows), len(coef)))
    size = max(1, BLOCK_BYTES // (X.dtype.itemsize * X.shape[1]))
    for first in range(0, len(rows), size):
        block = as_design(X[rows[first : first + size]], n_jobs)
        block.predict(predict.DECISION, NO_OFFSET, eta[first : first + size], coef)
    return eta


class HeldOut(LogisticRegression):
    """The rows that a fold holds out, and one fitted model after another: what a scorer scores.

    To scorers of scikit-learn, which only hand them on, the rows are this object itself.

    Parameters
    ----------
    problem : Problem
    rows : ndarray of int
    n_jobs : int or None
    """

    def __init__(self, problem, rows, n_jobs):
        super().__init__(n_jobs=n_jobs)
        self.problem, self.rows = problem, rows
        self.classes_ = problem.classes
        self.n_features_in_ = problem.X.shape[1]
        self.y = problem.y[rows]
        self._X = None

    def predictors(self, coefs):
        """Return eta for each of some models, (n_models, n_rows) or (n_models, n_rows, n_classes)."""
        coef = np.reshape(coefs, (-1, coefs[0].shape[-1]))
        eta = linear_predictors(self.problem.X, self.rows, coef, self.n_jobs)
        if coefs[0].ndim == 1:
            return np.ascontiguousarray(eta.T)
        return np.ascontiguousarray(np.moveaxis(eta.reshape(len(eta), len(coefs), -1), 1, 0))

    def take(self, coef, eta):
        """Predict by this model from now on."""
        rows = np.atleast_2d(coef)
        self.coef_, self.intercept_, self._eta = rows[:, :-1], rows[:, -1], eta

    @property
    def X(self):
        """The rows themselves, copied when first asked for."""
        if self._X is None:
            self._X = self.problem.X[self.rows]
        return self._X

    def decision_function(self, X, offset=None):
        """Return the linear predictors, those of the rows held out without another look at them."""
        return self._eta if X is self or X is self._X else super().decision_function(X, offset)

    def predict(self, X, offset=None, threshold=None):
        """Return the most probable class of every row."""
        if threshold is not None or not (X is self or X is self._X):
            return super().predict(X, offset, threshold)
        return self.classes_[self._eta.argmax(axis=1) if self._eta.ndim == 2 else (self._eta > 0.0).astype(np.intp)]

    def predict_proba(self, X, offset=None):
        """Return the probability of every class."""
        if not (X is self or X is self._X):
            return super().predict_proba(X, offset)
        return probabilities(self._eta)

    def predict_log_proba(self, X, offset=None):
        """Return the logarithms of the probabilities."""
        if not (X is self or X is self._X):
            return super().predict_log_proba(X, offset)
        if self._eta.ndim == 2:
            return self._eta - logsumexp(self._eta)[:, None]
        return -np.column_stack([log1pexp(self._eta), log1pexp(-self._eta)])


def probabilities(eta):
    """Return the probability of every class, (n, n_classes), from linear predictors."""
    return softmax(eta) if eta.ndim == 2 else np.column_stack([sigmoid(-eta), sigmoid(eta)])


def scores(scorer, held_out, coefs, params):
    """Return the score of each of some models on the rows held out.

    Accuracy and log loss, which scikit-learn computes with several sorts and copies, are computed here, to the same
    number; of any other scorer of scikit-learn the predictions are, and a function of the user's gets the rows.

    Parameters
    ----------
    scorer : callable
        ``scorer(estimator, X, y, **params)``.
    held_out : HeldOut
    coefs : list of ndarray
        Coefficients of the models.
    params : dict
        Of the scorer, aligned with the rows held out where they are arrays.
    """
    simple = isinstance(scorer, _BaseScorer) and not scorer._kwargs and not set(params) - {"sample_weight"}
    own = {accuracy_score: _accuracy, log_loss: _neg_log_loss}.get(scorer._score_func) if simple else None
    if own is None:
        scorer = with_labels(scorer, held_out.classes_)
        X = held_out if isinstance(scorer, _BaseScorer) else held_out.X
    found = []
    for coef, eta in zip(coefs, held_out.predictors(coefs), strict=True):
        if own is not None:
            found.append(own(eta, held_out.problem.target[held_out.rows], **params))
        else:
            held_out.take(coef, eta)
            found.append(scorer(held_out, X, held_out.y, **params))
    return np.array(found, dtype=np.float64)


def with_labels(scorer, classes):
    """Return the scorer so that it knows of all classes, where it can be told: the rows held out may lack some."""
    if not isinstance(scorer, _BaseScorer):
        return scorer
    parameters = inspect.signature(scorer._score_func).parameters
    if "labels" not in parameters:
        return scorer
    known = {"labels": classes}
    if len(classes) == 2 and "pos_label" in parameters:
        known["pos_label"] = classes[-1]
    return make_scorer(
        scorer._score_func,
        greater_is_better=scorer._sign == 1,
        response_method=scorer._response_method,
        **(known | scorer._kwargs),
    )


def _accuracy(eta, target, sample_weight=None):
    predicted = eta > 0.0 if eta.ndim == 1 else eta.argmax(axis=1)
    return np.average(predicted == target, weights=sample_weight)


def _neg_log_loss(eta, target, sample_weight=None):
    if eta.ndim == 1:
        probability = sigmoid(np.where(target == 1.0, eta, -eta))
    else:
        probability = softmax(eta)[np.arange(len(eta)), target]
    eps = np.finfo(np.float64).eps
    return np.average(np.log(np.clip(probability, eps, 1.0 - eps)), weights=sample_weight)
