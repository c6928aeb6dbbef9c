"""What fitted linear classifiers share: prediction in one read of X, and the way to scikit-learn's class."""

import copy
import functools
import operator
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils._param_validation import validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from fastlogreg.design import NO_OFFSET, as_design
from fastlogreg.kernels import predict
from fastlogreg.validation import check_finite, check_offset, check_X

# Our names of solvers that are not scikit-learn's, and what is nearest to them there.
SKLEARN_SOLVERS = {"auto": "lbfgs", "newton": "newton-cholesky"}
# Parameters that both have with different meanings: a violation, and threads.
NOT_SHARED = {"tol", "n_jobs", "solver"}


class SparseCoef:
    """``coef_`` as a sparse matrix, as scikit-learn's classifiers with L1 penalties have it."""

    coef_: Any

    def sparsify(self):
        """Make ``coef_`` a sparse matrix (CSR), which saves memory where most coefficients are zero; return self."""
        check_is_fitted(self)
        self.coef_ = scipy.sparse.csr_matrix(self.coef_)
        return self

    def densify(self):
        """Make ``coef_`` an array again after ``sparsify``; return self."""
        check_is_fitted(self)
        self.coef_ = scipy.sparse.csr_matrix(self.coef_).toarray()
        return self


@functools.lru_cache(maxsize=64)
def _getter(estimator):
    return operator.attrgetter(*estimator._parameter_constraints)


def _check_anew(estimator, types, values):
    given = dict(zip(estimator._parameter_constraints, values, strict=True))
    validate_parameter_constraints(estimator._parameter_constraints, given, caller_name=estimator.__name__)


# A tenth of a small fit. The key has the types, because 1, 1.0 and True are equal.
_check_parameters = functools.lru_cache(maxsize=64)(_check_anew)


class LinearClassifier(ClassifierMixin, BaseEstimator):
    """Prediction from ``coef_``, ``intercept_``, ``classes_``, as logistic regression defines it."""

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: sparse X is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _validate_params(self):
        """Check the parameters; scikit-learn's own would look up the signature of the class at every fit."""
        estimator: Any = type(self)
        values = _getter(estimator)(self)
        types = tuple(map(type, values))
        try:
            hash(values)
        except TypeError:  # arrays and dictionaries
            _check_anew(estimator, types, values)
        else:
            _check_parameters(estimator, types, values)

    def decision_function(self, X, offset=None):
        """Return the linear predictors eta = X coef + intercept + offset; one pass over X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
            Added to eta; zero by default.

        Returns
        -------
        ndarray of shape (n_samples,) for two classes, where positive means ``classes_[1]``, else (n_samples, n_classes)
        """
        eta = self._rows(predict.DECISION, X, offset, 1 if len(self._check_classes()) == 2 else len(self.classes_))
        return eta.ravel() if eta.shape[1] == 1 else eta

    def predict_proba(self, X, offset=None):
        """Return the probability of every class, in the order of ``classes_``; one pass over X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._rows(predict.PROBABILITY, X, offset, len(self._check_classes()))

    def predict_log_proba(self, X, offset=None):
        """Return the logarithm of the probabilities, finite wherever the true value is; one pass over X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._rows(predict.LOG_PROBABILITY, X, offset, len(self._check_classes()))

    def predict(self, X, offset=None, threshold=None):
        """Return the most probable class of every row; one pass over X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), optional
        threshold : float, optional
            For two classes: predict ``classes_[1]`` where its probability is at least this. By default, as in
            scikit-learn, where it exceeds ½ (eta > 0).

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        classes = self._check_classes()
        if threshold is not None:
            if len(classes) != 2:
                raise ValueError(f"threshold is for two classes, this model has {len(classes)}; leave it None")
            if not isinstance(threshold, Real) or not 0.0 <= float(threshold) <= 1.0:
                raise ValueError(f"threshold must be a probability in [0, 1], got {threshold!r}")
            return classes[(self.predict_proba(X, offset)[:, 1] >= threshold).astype(np.intp)]
        index = self._rows(predict.LABEL, X, offset, 1).ravel()
        if classes.dtype == index.dtype and np.array_equal(classes, range(len(classes))):
            return index
        return classes.take(index)

    def to_sklearn(self):
        """Return a fitted ``sklearn.linear_model.LogisticRegression`` that predicts the same, for tools that know it.

        It holds copies of ``classes_``, ``coef_`` (sparse if it is), ``intercept_``, ``n_features_in_``,
        ``feature_names_in_`` and ``n_iter_``, and no reference to fastlogreg: it can be exported (ONNX, PMML),
        explained or unpickled without this library.

        Returns
        -------
        sklearn.linear_model.LogisticRegression
            With the parameters that both classes share where they differ from our defaults, and scikit-learn's name of
            the solver or the nearest relative. ``tol``, which means something else there, stays at its default, as does
            what one of the classes lacks (``C`` of a model with ``alpha``).

        Raises
        ------
        NotFittedError

        Notes
        -----
        An offset is no part of the coefficients, and scikit-learn's class has none: it predicts as this one does where
        no offset is given. Costs no pass over data.
        """
        from sklearn.linear_model import LogisticRegression  # slow to import

        self._check_classes()
        model = LogisticRegression()
        defaults = type(self)().get_params()
        shared = {
            name: copy.deepcopy(value)
            for name, value in self.get_params(deep=False).items()
            if name not in NOT_SHARED and hasattr(model, name) and value != defaults[name]
        }
        model.set_params(**shared)
        if hasattr(self, "solver"):
            model.solver = SKLEARN_SOLVERS.get(self.solver, self.solver)
        for name in "classes_", "coef_", "intercept_", "n_features_in_", "feature_names_in_":
            if hasattr(self, name):
                setattr(model, name, copy.deepcopy(getattr(self, name)))
        model.n_iter_ = np.array(self.n_iter_, dtype=np.int32, ndmin=1)
        return model

    def _check_classes(self):
        check_is_fitted(self)
        return self.classes_

    def _coef(self):
        """Return coef_, which may be sparse, and intercept_ as one array, (1 or n_classes, n_features + 1)."""
        coef = self.coef_.toarray() if scipy.sparse.issparse(self.coef_) else self.coef_
        return np.column_stack([coef, self.intercept_]).astype(np.float64, order="C")

    def _rows(self, prediction, X, offset, n_columns):
        """Return n_columns values a row, a Prediction of predict.py."""
        X = check_X(self, X)
        design = as_design(X, getattr(self, "n_jobs", None))
        coef = self._coef()
        offset = check_offset(offset, X.shape[0], len(self.classes_))
        offset = NO_OFFSET if offset is None else offset.reshape(X.shape[0], -1)
        out = np.empty((X.shape[0], n_columns), prediction.dtype)
        if design.predict(prediction, offset, out, coef):
            check_finite(self, X, design.column_moments()[1], squared=False)
        return out if prediction is predict.LABEL else out.astype(self._predicted_dtype(X), copy=False)

    def _predicted_dtype(self, X):
        return np.result_type(X.dtype, self.coef_.dtype)
