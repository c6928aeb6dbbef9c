"""Models stored and read back, and turned into scikit-learn's and ONNX models, predict the same."""

import io
import pickle
import subprocess
import sys
from functools import partial

import cloudpickle
import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import scipy.sparse
import skl2onnx
import sklearn.linear_model
import skops.io
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastlogreg import LogisticRegression, SGDLogisticRegression
from problems import BINARY, SEVERAL

# What skops has to be told to trust, as README.md says.
TRUSTED = {
    LogisticRegression: ["fastlogreg.estimators.logistic.LogisticRegression", "fastlogreg.result.Result"],
    SGDLogisticRegression: [
        "fastlogreg.estimators.stochastic.SGDLogisticRegression",
        "fastlogreg.kernels.stochastic.Model",
        "fastlogreg.stochastic.Outcome",
        "fastlogreg.stochastic.Trainer",
    ],
}
ESTIMATORS = {
    "optimum": partial(LogisticRegression, C=2.5, solver="newton-cg"),
    "no penalty": partial(LogisticRegression, C=np.inf, fit_intercept=False),
    "sgd": partial(SGDLogisticRegression, max_iter=5, tol=0.0, random_state=3),
    "adagrad": partial(SGDLogisticRegression, "adagrad", max_iter=5, tol=0.0, random_state=3),
}
CLOSE = {"rtol": 1e-13, "atol": 1e-15}  # scikit-learn's probability of the first of two classes is 1 - p
X, Y = {}, {}
for kind, problem in (("binary", BINARY), ("several", SEVERAL)):
    X[kind] = pd.DataFrame(problem.X, columns=[f"x{j}" for j in range(problem.X.shape[1])])
    Y[kind] = np.array(["a", "b", "c"])[problem.y.astype(int)]


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return ESTIMATORS[request.param]()


@pytest.fixture(params=X)
def kind(request):
    return request.param


def by_skops(model):
    trusted = TRUSTED[type(model)]
    data = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(trusted)
    return skops.io.loads(data, trusted=trusted)


def by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


ROUND_TRIPS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "pickle, protocol 2": lambda model: pickle.loads(pickle.dumps(model, protocol=2)),
    "joblib": by_joblib,
    "cloudpickle": lambda model: pickle.loads(cloudpickle.dumps(model)),
    "skops": by_skops,
}


def same(a, b):
    """Whether two values of attributes are equal, arrays bit by bit."""
    if isinstance(a, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dict__") and not isinstance(a, type) and not hasattr(a, "name"):  # an enum is itself
        return type(a) is type(b) and same(vars(a), vars(b))
    return a is b or a == b or (a != a and b != b)


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_round_trip(way, estimator, kind):
    model = estimator.fit(X[kind], Y[kind])
    back = ROUND_TRIPS[way](model)
    assert back is not model and back.coef_ is not model.coef_
    assert same(vars(model), vars(back)), "an attribute differs"
    assert back.get_params() == model.get_params()
    assert back.result_.status is model.result_.status
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(back, method)(X[kind]), getattr(model, method)(X[kind]))
    again = back.fit(X[kind], Y[kind])  # and it is a whole estimator
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_equality_of_attributes_can_fail():
    model = LogisticRegression().fit(X["several"], Y["several"])
    other = pickle.loads(pickle.dumps(model))
    other.result_.history[-1, 0] += 1e-16 * 4
    assert not same(vars(model), vars(other))
    assert not same(vars(model), {**vars(model), "C": 2.0})


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_not_fitted(way, estimator):
    back = ROUND_TRIPS[way](estimator)
    assert back.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        back.predict(X["binary"])


@pytest.mark.parametrize("way", ROUND_TRIPS)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "mini-batch"])
def test_partial_fit_goes_on(way, optimizer, kind):
    """State of updates and of the random order come along."""
    whole = SGDLogisticRegression(optimizer, random_state=0, average=True)
    for _ in range(2):
        whole.partial_fit(X[kind], Y[kind], classes=np.unique(Y[kind]))
    back = ROUND_TRIPS[way](whole)
    for part in (whole, back):
        part.partial_fit(X[kind], Y[kind])
    np.testing.assert_array_equal(back.coef_, whole.coef_)
    assert back.t_ == whole.t_


def test_memory_mapped_file(tmp_path, kind):
    """Several processes can share the coefficients of a file: they are read-only then."""
    model = LogisticRegression().fit(X[kind], Y[kind])
    joblib.dump(model, tmp_path / "model.joblib")
    back = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert isinstance(back.coef_, np.memmap) and not back.coef_.flags.writeable
    np.testing.assert_array_equal(back.predict_proba(X[kind]), model.predict_proba(X[kind]))


# --- scikit-learn's class ---------------------------------------------------------------------------------------


def test_to_sklearn(estimator, kind):
    model = estimator.fit(X[kind], Y[kind])
    theirs = model.to_sklearn()
    assert type(theirs) is sklearn.linear_model.LogisticRegression
    for name in ("classes_", "coef_", "intercept_", "feature_names_in_"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(model, name))
        assert getattr(theirs, name) is not getattr(model, name)
    assert theirs.n_features_in_ == model.n_features_in_
    assert theirs.n_iter_.dtype == np.int32 and theirs.n_iter_.tolist() == np.atleast_1d(model.n_iter_).tolist()
    assert theirs.fit_intercept == model.fit_intercept
    np.testing.assert_allclose(theirs.predict_proba(X[kind]), model.predict_proba(X[kind]), **CLOSE)
    np.testing.assert_array_equal(theirs.predict(X[kind]), model.predict(X[kind]))
    assert repr(theirs)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ({}, {"solver": "lbfgs"}),
        ({"C": 3.0, "solver": "newton", "tol": 1e-12}, {"C": 3.0, "solver": "newton-cholesky"}),
        ({"C": np.inf, "fit_intercept": False}, {"C": np.inf, "fit_intercept": False, "solver": "lbfgs"}),
        ({"solver": "saga", "max_iter": 77, "random_state": 1}, {"solver": "saga", "max_iter": 77, "random_state": 1}),
        ({"class_weight": {"a": 2, "b": 1}, "warm_start": True, "n_jobs": 1},
         {"class_weight": {"a": 2, "b": 1}, "warm_start": True, "solver": "lbfgs"}),
        ({"solver": "liblinear", "intercept_scaling": 100.0}, {"solver": "liblinear", "intercept_scaling": 100.0}),
    ],
)  # fmt: skip
def test_parameters_of_to_sklearn(ours, theirs):
    """They are scikit-learn's defaults but for these, and a clone can be fitted to the same optimum."""
    model = LogisticRegression(**ours).fit(X["binary"], Y["binary"]).to_sklearn()
    assert model.get_params() == sklearn.linear_model.LogisticRegression(**theirs).get_params()
    if model.solver != "saga":  # from the start, 77 iterations are not enough for it
        again = clone(model).set_params(tol=1e-10).fit(X["binary"], Y["binary"])
        np.testing.assert_allclose(again.coef_, model.coef_, rtol=1e-2)


def test_to_sklearn_of_sparse_coefficients(kind):
    model = LogisticRegression().fit(X[kind], Y[kind])
    expected = model.predict_proba(X[kind])
    theirs = model.sparsify().to_sklearn()
    assert scipy.sparse.issparse(theirs.coef_)
    np.testing.assert_allclose(theirs.predict_proba(X[kind]), expected, **CLOSE)
    model.densify()
    assert scipy.sparse.issparse(theirs.coef_)  # on its own


def test_to_sklearn_needs_a_fit(estimator):
    with pytest.raises(NotFittedError):
        estimator.to_sklearn()


def test_converted_model_needs_no_fastlogreg(tmp_path, kind):
    model = LogisticRegression().fit(X[kind].to_numpy(), Y[kind])
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model.to_sklearn()))
    program = (
        "import pickle, sys; sys.modules['fastlogreg'] = None; import numpy as np\n"
        "model = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(repr(model.predict_proba(np.zeros((1, model.n_features_in_))).tolist()))"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path / "model.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = model.predict_proba(np.zeros((1, model.n_features_in_)))
    np.testing.assert_allclose(np.array(eval(done.stdout)), expected, rtol=1e-13)


# --- ONNX -------------------------------------------------------------------------------------------------------


def in_onnx(model, rows):
    """Labels and probabilities of a model converted to ONNX, which computes in float32."""
    rows = np.asarray(rows, dtype=np.float32)
    converted = skl2onnx.to_onnx(model, rows[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: rows})


def test_onnx(estimator, kind):
    rows = X[kind].to_numpy(dtype=np.float32)
    model = estimator.fit(rows.astype(np.float64), Y[kind])
    labels, probabilities = in_onnx(model.to_sklearn(), rows)
    expected = model.predict_proba(rows.astype(np.float64))
    np.testing.assert_allclose(probabilities, expected, atol=2e-6)
    sure = np.sort(expected, axis=1)[:, -2:] @ [-1, 1] > 1e-5
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(labels[sure], model.predict(rows.astype(np.float64))[sure])


def test_onnx_of_a_pipeline(kind):
    """The last step of a fitted pipeline is replaced by its conversion."""
    rows = X[kind].to_numpy()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, Y[kind])
    converted = make_pipeline(pipeline[0], pipeline[-1].to_sklearn())
    np.testing.assert_allclose(converted.predict_proba(rows), pipeline.predict_proba(rows), **CLOSE)
    np.testing.assert_allclose(in_onnx(converted, rows)[1], pipeline.predict_proba(rows), atol=5e-6)


def test_pipelines_and_clones_are_stored(kind):
    pipeline = make_pipeline(StandardScaler(), clone(LogisticRegression(C=0.5))).fit(X[kind], Y[kind])
    back = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(back.predict_proba(X[kind]), pipeline.predict_proba(X[kind]))
    assert clone(back).get_params(deep=False).keys() == pipeline.get_params(deep=False).keys()
    assert not hasattr(clone(back)[-1], "coef_") and clone(back)[-1].C == 0.5
