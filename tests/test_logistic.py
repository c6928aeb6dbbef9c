"""LogisticRegression as its users meet it: scikit-learn's conventions and optimum, warnings and errors of use."""

import inspect
import pickle
import warnings
from importlib.util import find_spec

import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import naive
from fastlogreg import ConvergenceWarning, LogisticRegression, SeparationWarning, SGDLogisticRegression, solvers
from fastlogreg.result import Status
from problems import BINARY, SEVERAL, drawn

SOLVERS = ["auto", *solvers.SOLVERS]
X, Y = BINARY.X, BINARY.y.astype(int)
X3, Y3 = SEVERAL.X, SEVERAL.y

each_solver = pytest.mark.parametrize("solver", SOLVERS)
each_data = pytest.mark.parametrize(("X", "y"), [(X, Y), (X3, Y3)], ids=["binary", "several"])


def parameters(model):
    """Coefficients as the naive twin takes them."""
    coef = np.column_stack([model.coef_, model.intercept_]).astype(np.float64)
    return coef[0] if len(model.classes_) == 2 else coef


def mean_objective(model, X, y, C, **terms):
    total = naive.weights(np.asarray(X), terms.get("weight")).sum()
    classes, index = np.unique(y, return_inverse=True)
    y = index.astype(np.float64) if len(classes) == 2 else index
    return naive.objective(X, y, parameters(model), l2=1 / (C * total), **terms)


# --- suites that others wrote -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [*SOLVERS, "newton-cholesky", "saga"])
def test_scikit_learn_checks(solver):
    """None fails, and none is skipped but by scikit-learn's own choice of what is installed."""
    model = LogisticRegression() if solver == "auto" else LogisticRegression(solver=solver, tol=1e-12)
    results = check_estimator(model, on_fail=None, on_skip=None)
    assert len(results) > 50
    failed = {entry["check_name"]: entry["exception"] for entry in results if entry["status"] in ("failed", "xfail")}
    assert not failed
    skipped = {entry["check_name"] for entry in results if entry["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}


# --- the same optimum as scikit-learn ---------------------------------------------------------------------------


def sklearn_fit(X, y, C, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of not reaching a tol that is below rounding
        reference = SklearnLogisticRegression(C=C, tol=1e-13, max_iter=5000, **options)
        return reference.fit(X, y)


def test_defaults_are_those_of_scikit_learn():
    """Those of 1.9, in the same order, but for those that decide how near to the optimum a fit comes."""
    theirs = {"penalty": "deprecated", "C": 1.0, "l1_ratio": 0.0, "dual": False, "tol": 1e-4, "fit_intercept": True}
    theirs |= {"intercept_scaling": 1, "class_weight": None, "random_state": None, "solver": "lbfgs", "max_iter": 100}
    theirs |= {"verbose": 0, "warm_start": False, "n_jobs": None}
    own = {"alpha": None, "penalty_factors": None, "bounds": None, "standardize": False, "group_classes": False}
    ours = {name: parameter.default for name, parameter in inspect.signature(LogisticRegression).parameters.items()}
    assert list(ours) == [*theirs, *own]
    assert {name: ours[name] for name in own} == own
    assert {name for name in theirs if ours[name] != theirs[name]} == {"solver", "tol", "max_iter"}


@each_data
@pytest.mark.parametrize("solver", ["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"])
def test_names_of_solvers_of_scikit_learn(X, y, solver):
    if solver == "liblinear":
        y = y > 0
    model = LogisticRegression(solver=solver, random_state=0, intercept_scaling=5.0, tol=1e-10).fit(X, y)
    expected = sklearn_fit(X, y, 1.0, solver="newton-cholesky")
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-6)  # the intercept is free
    begin = {"liblinear": "Liblinear failed", "sag": "The max_iter was", "saga": "The max_iter was"}.get(solver, solver)
    if solver == "newton-cholesky":
        begin = "Newton solver did not converge after 1 iterations"
    with pytest.warns(ConvergenceWarning, match=f"^{begin}.*Increase the number of iterations"):
        model.set_params(max_iter=1).fit(X, y)


@each_solver
@pytest.mark.parametrize("C", [1e-3, 1.0, 100.0])
@each_data
def test_optimum_of_scikit_learn(X, y, C, solver):
    theirs = sklearn_fit(X, y, C, solver="newton-cholesky")
    ours = LogisticRegression(C=C, solver=solver, tol=1e-10).fit(X, y)
    expected = mean_objective(theirs, X, y, C)
    assert mean_objective(ours, X, y, C) == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    # scikit-learn's intercepts of several classes are free up to what all of them share
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)


@each_solver
@each_data
def test_optimum_of_scikit_learn_without_penalty_or_intercept(X, y, solver):
    for C, fit_intercept in [(np.inf, True), (np.inf, False), (0.5, False)]:
        theirs = sklearn_fit(X, y, C, fit_intercept=fit_intercept, solver="lbfgs")
        ours = LogisticRegression(C=C, fit_intercept=fit_intercept, solver=solver, tol=1e-10).fit(X, y)
        expected = mean_objective(theirs, X, y, C)
        assert mean_objective(ours, X, y, C) == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)


@each_solver
@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_optimum_on_real_data_as_it_is(load, solver):
    """Columns of very different size, not centred."""
    X, y = load(return_X_y=True)
    theirs = sklearn_fit(X, y, 1.0, solver="newton-cholesky")
    ours = LogisticRegression(solver=solver, max_iter=20_000).fit(X, y)
    assert mean_objective(ours, X, y, 1.0) == pytest.approx(mean_objective(theirs, X, y, 1.0), rel=1e-10)
    assert (ours.predict(X) == theirs.predict(X)).all()


@each_solver
def test_weights_as_in_scikit_learn(solver):
    weight = np.random.default_rng(0).uniform(0, 2, len(Y3))
    totals = np.bincount(Y3, weights=weight)  # scikit-learn 1.6 balances the numbers of rows instead
    balanced = dict(enumerate(totals.sum() / (3 * totals)))
    theirs = SklearnLogisticRegression(solver="newton-cholesky", tol=1e-13, class_weight=balanced)
    theirs.fit(X3, Y3, sample_weight=weight)
    ours = LogisticRegression(solver=solver, class_weight="balanced", tol=1e-11).fit(X3, Y3, sample_weight=weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-7)


# --- what a fit leaves ------------------------------------------------------------------------------------------


@each_solver
@each_data
def test_attributes(X, y, solver):
    model = LogisticRegression(solver=solver)
    assert model.fit(X, y) is model
    n_classes, p = len(np.unique(y)), X.shape[1]
    rows = 1 if n_classes == 2 else n_classes
    assert model.coef_.shape == (rows, p) and model.intercept_.shape == (rows,)
    assert model.coef_.flags.c_contiguous and model.coef_.dtype == model.intercept_.dtype == np.float64
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert model.n_features_in_ == p and not hasattr(model, "feature_names_in_")
    assert model.n_iter_.shape == (1,) and model.n_iter_.dtype == np.int32
    result = model.result_
    assert (result.status, result.converged, result.n_iter) == (Status.CONVERGED, True, model.n_iter_[0])
    assert result.objective == pytest.approx(mean_objective(model, X, y, 1.0), rel=1e-12)
    assert result.violation <= 1e-8
    target = y.astype(np.float64) if n_classes == 2 else y
    assert naive.kkt_violation(X, target, parameters(model), l2=1 / len(y)) <= 1.01e-8
    assert result.history.shape == (result.n_iter + 1, 3)
    assert result.n_passes >= result.n_iter


@each_solver
def test_balance(solver):
    """Without a penalty on the intercept, predicted counts equal the observed ones."""
    weight = np.random.default_rng(0).uniform(0, 2, len(Y3))
    model = LogisticRegression(solver=solver, tol=1e-10).fit(X3, Y3, sample_weight=weight)
    np.testing.assert_allclose(weight @ model.predict_proba(X3), np.bincount(Y3, weight), rtol=1e-7)


def test_classes_are_centred():
    model = LogisticRegression(C=np.inf).fit(X3, Y3)
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(LogisticRegression().fit(X3, Y3).intercept_.sum(), 0.0, atol=1e-12)


@each_solver
@each_data
def test_precision_of_the_answer_is_that_of_x(X, y, solver):
    X = X.astype(np.float32)
    model = LogisticRegression(solver=solver).fit(X, y)
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    for method in (model.decision_function, model.predict_proba, model.predict_log_proba):
        assert method(X).dtype == np.float32
        assert method(X.astype(np.float64)).dtype == np.float64
    wide = LogisticRegression(solver=solver).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(model.coef_, wide.coef_, rtol=2e-7, atol=1e-7)
    assert model.result_.violation <= 1e-8  # arithmetic is float64 all the same


# --- weights and offset -----------------------------------------------------------------------------------------


@each_data
def test_rows_of_weight_zero_do_not_exist(X, y):
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(np.float64)
    weighted = LogisticRegression(tol=1e-11).fit(X, y, sample_weight=weight)
    index = np.repeat(np.arange(len(y)), weight.astype(int))
    repeated = LogisticRegression(tol=1e-11).fit(X[index], y[index])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, atol=1e-8)


@each_data
def test_class_weight_is_a_factor_of_the_weights(X, y):
    weight = np.random.default_rng(1).uniform(0, 2, len(y))
    factors = {0: 0.5, 1: 3.0, 2: 1.5}
    factors = {k: factors[k] for k in np.unique(y)}
    ours = LogisticRegression(class_weight=factors).fit(X, y, sample_weight=weight)
    plain = LogisticRegression().fit(X, y, sample_weight=weight * np.vectorize(factors.get)(y))
    np.testing.assert_allclose(ours.coef_, plain.coef_, atol=1e-12)
    totals = np.bincount(y, weight)
    balanced = LogisticRegression(class_weight="balanced").fit(X, y, sample_weight=weight)
    plain = LogisticRegression().fit(X, y, sample_weight=weight * (totals.sum() / (len(totals) * totals))[y])
    np.testing.assert_allclose(balanced.coef_, plain.coef_, atol=1e-12)


def test_class_weight_of_named_classes():
    y = np.array(["no", "yes"])[Y]
    ours = LogisticRegression(class_weight={"yes": 4.0, "no": 1.0}).fit(X, y)
    plain = LogisticRegression().fit(X, y, sample_weight=np.where(Y == 1, 4.0, 1.0))
    np.testing.assert_allclose(ours.coef_, plain.coef_, atol=1e-12)


@each_solver
@each_data
def test_class_of_weight_zero_is_never_predicted(X, y, solver):
    class_weight = dict.fromkeys(np.unique(y), 1.0) | {1: 0.0}
    model = LogisticRegression(class_weight=class_weight, solver=solver).fit(X, y)
    assert (model.predict(X) != 1).all() and np.isfinite(model.predict_log_proba(X)).all()
    if len(class_weight) == 3:  # a fit of the other two, each with half of the difference
        rest = y != 1
        other = LogisticRegression(C=2.0).fit(X[rest], y[rest])
        np.testing.assert_allclose(model.coef_[2] - model.coef_[0], other.coef_[0], atol=1e-4)


@pytest.mark.parametrize("solver", ["auto", *solvers.SOLVERS, "saga", "liblinear"])
@each_data
def test_class_of_rows_without_weight_is_kept_as_in_scikit_learn(X, y, solver):
    """Its intercept falls until tol is reached; without an intercept there is an optimum like any other."""
    if solver == "liblinear" and len(np.unique(y)) > 2:
        pytest.skip("liblinear knows two classes only")
    weight = np.where(y == 1, 0.0, 2.0)
    model = LogisticRegression(C=0.1, solver=solver).fit(X, y, sample_weight=weight)
    assert model.classes_.tolist() == np.unique(y).tolist() and model.result_.converged
    assert model.predict_proba(X)[:, 1].max() < 1e-5 and np.abs(model.intercept_).max() < 100
    theirs = SklearnLogisticRegression(C=0.1, tol=1e-6, max_iter=1000).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    model = LogisticRegression(C=0.1, fit_intercept=False, tol=1e-12, solver=solver).fit(X, y, sample_weight=weight)
    theirs = SklearnLogisticRegression(C=0.1, fit_intercept=False, solver="newton-cholesky", tol=1e-12)
    np.testing.assert_allclose(model.coef_, theirs.fit(X, y, sample_weight=weight).coef_, atol=1e-8)


def test_class_of_rows_without_weight_and_balanced_weights():
    """The other classes are balanced."""
    weight = np.where(Y3 == 1, 0.0, 2.0)
    balanced = LogisticRegression(class_weight="balanced").fit(X3, Y3, sample_weight=weight)
    n = np.bincount(Y3)
    factor = {0: 0.5 * (n[0] + n[2]) / n[0], 1: 7.0, 2: 0.5 * (n[0] + n[2]) / n[2]}
    given = LogisticRegression(class_weight=factor).fit(X3, Y3, sample_weight=weight)
    np.testing.assert_allclose(balanced.coef_, given.coef_, rtol=1e-6)


def test_many_rows_of_one_class_only():
    """No decrement is small beside an objective that falls to zero: the violation ends the fit."""
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(300_000, 8)), np.arange(300_000) % 2
    model = LogisticRegression().fit(Z, y, sample_weight=y.astype(float))
    assert model.result_.status is Status.CONVERGED and model.result_.n_passes < 30
    assert model.predict(Z[:9]).tolist() == [1] * 9


def test_bagging_of_few_rows():
    """Bootstrap samples are weights, and may lack a class."""
    model = BaggingClassifier(LogisticRegression(), random_state=0, max_samples=5).fit(X3, Y3)
    assert all(member.classes_.tolist() == [0, 1, 2] for member in model.estimators_)
    np.testing.assert_allclose(model.predict_proba(X3).sum(axis=1), 1.0)
    BaggingClassifier(LogisticRegression(), random_state=1).fit([[1.0], [3.0]], [1, 0])


def test_weight_of_all_rows_is_strength_against_the_penalty():
    weighted = LogisticRegression(C=0.1).fit(X, Y, sample_weight=5.0)
    np.testing.assert_allclose(weighted.coef_, LogisticRegression(C=0.5).fit(X, Y).coef_, rtol=1e-9)


@each_data
def test_offset(X, y):
    """What a model predicts without a column, as offset, gives the coefficients of the rest."""
    whole = LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    offset = X[:, :1] @ whole.coef_[:, :1].T
    rest = LogisticRegression(C=np.inf, tol=1e-11).fit(X[:, 1:], y, offset=offset)  # a column vector or a matrix
    np.testing.assert_allclose(rest.coef_, whole.coef_[:, 1:], atol=1e-8)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        ours, theirs = getattr(rest, method)(X[:, 1:], offset=offset), getattr(whole, method)(X)
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
    np.testing.assert_array_equal(rest.predict(X[:, 1:], offset=offset), whole.predict(X))


# --- prediction -------------------------------------------------------------------------------------------------


@each_data
def test_predictions_equal_the_twin(X, y):
    model = LogisticRegression().fit(X, y)
    eta = naive.decision(X, parameters(model))
    np.testing.assert_allclose(model.decision_function(X), eta, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(model.predict_proba(X), naive.probability(eta), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), naive.log_probability(eta), rtol=1e-11, atol=1e-14)
    labels = (eta > 0).astype(int) if eta.ndim == 1 else eta.argmax(axis=1)
    np.testing.assert_array_equal(model.predict(X), model.classes_[labels])
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-15)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("storage", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
def test_predictions_of_several_blocks_a_thread(storage, n_classes):
    X = np.random.default_rng(0).standard_normal((60_001, 2))
    y = np.arange(len(X)) % n_classes
    model = LogisticRegression(n_jobs=1).fit(X, y)
    many = storage(X)
    eta = naive.decision(X, parameters(model))
    np.testing.assert_allclose(model.decision_function(many), eta, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(model.predict_proba(many), naive.probability(eta), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(many), naive.log_probability(eta), rtol=1e-11, atol=1e-14)


def test_threshold():
    model = LogisticRegression().fit(X, np.array(["no", "yes"])[Y])
    chance = model.predict_proba(X)[:, 1]
    for threshold in (0.0, 0.3, 0.5, 0.9, 1.0, chance[3]):
        np.testing.assert_array_equal(model.predict(X, threshold=threshold) == "yes", chance >= threshold)
    for threshold in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="probability in"):
            model.predict(X, threshold=threshold)
    with pytest.raises(ValueError, match="two classes"):
        LogisticRegression().fit(X3, Y3).predict(X3, threshold=0.5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@each_data
def test_margins_of_ten_thousand(X, y, dtype):
    """Probabilities saturate, their logarithms do not."""
    model = LogisticRegression().fit(X.astype(dtype), y)
    eta = np.array([-1e4, -800.0, -100.0, 0.0, 100.0, 800.0, 1e4])
    direction = model.coef_[0]
    rows = (eta[:, None] * direction / np.abs(model.coef_ @ direction).max()).astype(dtype)
    assert np.abs(model.decision_function(rows)).max() == pytest.approx(1e4, rel=1e-3)
    chance, logarithm = model.predict_proba(rows), model.predict_log_proba(rows)
    assert np.isfinite(chance).all() and np.isfinite(logarithm).all()
    assert ((chance >= 0) & (chance <= 1)).all() and (logarithm <= 0).all()
    exact = naive.log_probability(naive.decision(rows, parameters(model)))
    np.testing.assert_allclose(logarithm, exact, rtol=1e-10 if dtype == np.float64 else 1e-5, atol=np.finfo(dtype).tiny)


@each_data
def test_fit_with_margins_of_ten_thousand(X, y):
    far = X * 1e4
    model = LogisticRegression(C=np.inf).fit(far, y)
    np.testing.assert_allclose(model.coef_ * 1e4, LogisticRegression(C=np.inf).fit(X, y).coef_, rtol=1e-6)
    offset = np.where(np.arange(len(y)) % 2, 1e4, -1e4)
    offset = offset if len(np.unique(y)) == 2 else np.column_stack([offset, -offset, offset])
    model = LogisticRegression(solver="lbfgs").fit(X, y, offset=offset)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.result_.objective)


@each_solver
def test_weights_over_many_decades(solver):
    """Where the rows that weigh anything are fitted perfectly, the others make a Hessian that points anywhere."""
    for seed in range(20):
        weight = 10.0 ** np.random.default_rng(seed).uniform(-12, 12, 28)
        penalty = 1e-10 * weight.sum()
        model = LogisticRegression(C=1.0 / penalty, solver=solver, tol=1e-10).fit(X[:28], Y[:28], weight)
        assert model.result_.converged
        terms = {"weight": weight, "l2": penalty / weight.sum()}
        flat = np.sqrt(64.0 * np.finfo(float).eps * model.result_.objective)
        assert naive.kkt_violation(X[:28], Y[:28].astype(np.float64), parameters(model), **terms) <= max(1e-9, flat)


def test_prediction_before_the_fit():
    with pytest.raises(NotFittedError):
        LogisticRegression().predict(X)


# --- scikit-learn's machinery -----------------------------------------------------------------------------------


def test_clone_and_parameters():
    model = LogisticRegression(C=3.0, solver="lbfgs", class_weight={0: 1.0, 1: 2.0}, tol=1e-5)
    copy = clone(model.fit(X, Y))
    assert copy.get_params() == model.get_params() and not hasattr(copy, "coef_")
    assert copy.set_params(C=5.0).C == 5.0
    assert "C=3.0" in repr(model) and "lbfgs" in repr(model)


def test_pickle():
    model = LogisticRegression().fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.result_.status is model.result_.status


def test_pipeline_and_grid_search():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.01, 1.0, 100.0]}, cv=3, scoring="neg_log_loss")
    search.fit(X, Y)
    theirs = GridSearchCV(
        make_pipeline(StandardScaler(), SklearnLogisticRegression(tol=1e-10, solver="newton-cholesky")),
        {"logisticregression__C": [0.01, 1.0, 100.0]},
        cv=3,
        scoring="neg_log_loss",
    ).fit(X, Y)
    assert search.best_params_ == theirs.best_params_
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=1e-7)
    scores = cross_val_score(pipeline, X3, Y3, cv=3, params={"logisticregression__sample_weight": np.ones(len(Y3))})
    assert scores.shape == (3,)


def test_feature_names():
    frame = pandas.DataFrame(X, columns=list("abcde"))
    model = LogisticRegression().fit(frame, Y)
    np.testing.assert_array_equal(model.feature_names_in_, list("abcde"))
    np.testing.assert_array_equal(model.predict(frame), LogisticRegression().fit(X, Y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("edcba")])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_sparsify():
    model = LogisticRegression()
    for method in (model.sparsify, model.densify):
        with pytest.raises(NotFittedError):
            method()
    model.fit(X3, Y3)
    dense, expected = model.coef_.copy(), model.predict_proba(X3)
    assert model.sparsify() is model and scipy.sparse.issparse(model.coef_)
    np.testing.assert_array_equal(model.predict_proba(X3), expected)
    assert model.set_params(warm_start=True).fit(X3, Y3).n_iter_ <= 1
    assert model.sparsify().densify().densify() is model
    np.testing.assert_allclose(model.coef_, dense, atol=1e-8)


# --- warm start, threads, verbosity -----------------------------------------------------------------------------


@each_solver
@each_data
def test_warm_start(X, y, solver):
    model = LogisticRegression(warm_start=True, solver=solver).fit(X, y)
    before = model.coef_.copy()
    model.fit(X, y)
    assert model.n_iter_[0] <= 1 and model.result_.n_passes <= 3
    np.testing.assert_allclose(model.coef_, before, atol=1e-8)
    model.set_params(C=1.1).fit(X, y)
    cold = LogisticRegression(C=1.1, solver=solver).fit(X, y)
    np.testing.assert_allclose(model.coef_, cold.coef_, atol=1e-6)
    assert model.n_iter_[0] <= cold.n_iter_[0]


def test_warm_start_without_intercept():
    model = LogisticRegression(warm_start=True).fit(X, Y)
    model.set_params(fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(model.coef_, LogisticRegression(fit_intercept=False).fit(X, Y).coef_, atol=1e-7)
    assert model.intercept_ == 0.0


def test_warm_start_of_another_problem():
    model = LogisticRegression(warm_start=True).fit(X, Y)
    for other, y in [(X, np.arange(len(Y)) % 3), (X[:, :2], Y), (X, Y + 5)]:
        with pytest.raises(ValueError, match="warm_start"):
            model.fit(other, y)


def test_warm_start_from_nan():
    model = LogisticRegression(warm_start=True).fit(X, Y)
    model.coef_[0, 0] = np.nan
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        model.fit(X, Y)


@each_solver
@pytest.mark.parametrize("n_classes", [2, 3])
def test_threads_change_no_bit(n_classes, solver):
    problem = drawn(20_000, 6, n_classes)
    one, *others = (
        LogisticRegression(n_jobs=n_jobs, solver=solver).fit(problem.X, problem.y) for n_jobs in (1, 2, None, -1)
    )
    for other in others:
        np.testing.assert_array_equal(one.coef_, other.coef_)
        np.testing.assert_array_equal(one.predict_proba(problem.X), other.predict_proba(problem.X))


def test_verbose(capsys):
    LogisticRegression().fit(X, Y)
    assert capsys.readouterr() == ("", "")
    model = LogisticRegression(verbose=1).fit(X, Y)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line]
    assert len(lines) == model.n_iter_[0]
    assert all("newton: iteration" in line and "violation" in line for line in lines)


class Recorder:
    """A callback of scikit-learn that notes the ends of tasks and may ask to stop after an iteration."""

    def __init__(self, last=None):
        self.last, self.began, self.ended, self.closed = last, [], [], False

    def setup(self, estimator, context):
        self.estimator = estimator

    def on_fit_task_begin(self, estimator, context):
        self.began.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.ended.append((context.task_name, fitted_estimator, metadata))
        return context.task_name == "iteration" and context.task_id + 1 == self.last

    def teardown(self, estimator, context):
        self.closed = True


@each_solver
@each_data
def test_callbacks(X, y, solver):
    model = LogisticRegression(solver=solver)
    if find_spec("sklearn.callback") is None:
        with pytest.raises(ImportError, match="callback"):
            model.set_callbacks()
        return
    recorder = Recorder()
    weight = np.ones(len(y))
    assert model.set_callbacks(recorder) is model
    model.fit(X, y, sample_weight=weight)
    assert recorder.estimator is model and recorder.closed and not hasattr(model, "_callback_fit_ctx")
    n_iter = model.n_iter_[0]
    assert recorder.began == ["fit"] + ["iteration"] * (n_iter + 1)
    *iterations, (_, empty, _), (name, last, metadata) = recorder.ended
    assert len(iterations) == n_iter and empty is None and name == "fit" and metadata["sample_weight"] is weight
    np.testing.assert_array_equal(last.coef_, model.coef_)
    np.testing.assert_array_equal(last.predict_proba(X), model.predict_proba(X))
    for done, (_, estimator, _) in enumerate(iterations, 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            short = LogisticRegression(solver=solver, max_iter=done).fit(X, y, sample_weight=weight)
        close = {"rtol": 1e-7, "atol": 1e-12}  # a small fit without callbacks is another kernel
        np.testing.assert_allclose(estimator.coef_, short.coef_, **close)
        np.testing.assert_allclose(estimator.intercept_, short.intercept_, **close)
    model.set_callbacks(Recorder(last=2)).fit(X, y)
    assert model.n_iter_ == 2 and model.result_.status is Status.STOPPED
    model.set_callbacks().fit(X, y)
    assert model.n_iter_ == n_iter


# --- warnings and errors ----------------------------------------------------------------------------------------


@each_solver
@each_data
def test_too_few_iterations_warn(X, y, solver):
    begins = "^(prox-newton|newton|newton-cg|hybrid|row-space) failed to converge after 1 iter|^lbfgs failed to"
    message = f"({begins}).*violation is .*tol is.*max_iter"
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        model = LogisticRegression(max_iter=1, solver=solver).fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert issubclass(caught[0].category, SklearnConvergenceWarning)
    assert model.result_.status is Status.MAX_ITER and model.n_iter_[0] == 1
    assert np.isfinite(model.coef_).all()


@each_solver
def test_separable_classes_warn(solver):
    frame = pandas.DataFrame(X, columns=list("abcde"))
    y = (X[:, 2] > 0.1).astype(int)
    with pytest.warns(SeparationWarning, match=r"'c'.*finite C") as caught:
        model = LogisticRegression(C=np.inf, solver=solver).fit(frame, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert np.isfinite(model.coef_).all() and model.score(frame, y) == 1.0
    assert not model.result_.converged
    assert LogisticRegression(solver=solver).fit(frame, y).result_.converged  # a penalty is enough, and silent


def test_separable_several_classes_warn():
    with pytest.warns(SeparationWarning):
        model = LogisticRegression(C=np.inf).fit(X3, np.digitize(X3[:, 0], [-0.5, 0.5]))
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"C": 0.0},
        {"C": -1.0},
        {"C": np.nan},
        {"C": "1"},
        {"tol": -1.0},
        {"max_iter": -1},
        {"max_iter": 1.5},
        {"solver": "sgd"},
        {"class_weight": "equal"},
        {"fit_intercept": "yes"},
        {"l1_ratio": 2.0},
        {"n_jobs": 1.5},
        {"penalty": "l0"},
        {"dual": "no"},
        {"intercept_scaling": 0.0},
        {"random_state": "seed"},
    ],
    ids=str,
)
def test_parameters_that_are_none(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"'{name}' parameter of LogisticRegression"):
        LogisticRegression(**wrong).fit(X, Y)


def test_no_threads_have_no_meaning():
    for model in (LogisticRegression(n_jobs=0), SGDLogisticRegression(n_jobs=0)):
        with pytest.raises(ValueError, match="n_jobs=0 has no meaning; use None or -1"):
            model.fit(X, Y)
    with pytest.raises(ValueError, match="n_jobs=0 has no meaning"):
        LogisticRegression().fit(X, Y).set_params(n_jobs=0).predict(X)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"solver": "lbfgs", "l1_ratio": 1.0}, "Solver lbfgs supports only 'l2'"),
        ({"solver": "saga", "dual": True}, "Solver saga supports only dual=False"),
        ({"solver": "auto", "dual": True}, "Solver auto supports only dual=False"),
        ({"solver": "liblinear", "l1_ratio": 0.5}, "Only 'saga' solver supports elasticnet"),
        ({"solver": "liblinear", "C": np.inf}, "not supported for the liblinear solver"),
        ({"solver": "liblinear"}, "Only binary classification.*'liblinear' solver does not support multiclass"),
    ],
    ids=str,
)
def test_what_scikit_learn_refuses_under_its_names(wrong, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**wrong).fit(X3, Y3)


@pytest.mark.parametrize(
    ("given", "equal", "messages"),
    [
        ({"penalty": "l2"}, {}, ["'penalty' was deprecated"]),
        ({"penalty": "elasticnet"}, {}, ["'penalty' was deprecated"]),
        ({"penalty": None}, {"C": np.inf}, ["'penalty' was deprecated"]),
        ({"penalty": None, "C": 3.0}, {"C": np.inf}, ["'penalty' was deprecated", "will ignore the C"]),
        (
            {"penalty": "l2", "l1_ratio": 0.5},
            {},
            ["'penalty' was deprecated", "l1_ratio parameter is only used", "Inconsistent values"],
        ),
        ({"l1_ratio": None}, {}, ["'l1_ratio=None' was deprecated"]),
        ({"C": np.inf, "l1_ratio": 0.5}, {"C": np.inf}, []),
    ],
    ids=str,
)
def test_deprecated_words_for_penalties(given, equal, messages):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = LogisticRegression(**given).fit(X, Y)
    for entry, message in zip(caught, messages, strict=True):
        assert message in str(entry.message) and entry.filename == __file__
    np.testing.assert_array_equal(model.coef_, LogisticRegression(**equal).fit(X, Y).coef_)


@pytest.mark.filterwarnings("ignore:'penalty' was deprecated")
def test_elasticnet_needs_its_ratio():
    with pytest.raises(ValueError, match="l1_ratio must be specified"):
        LogisticRegression("elasticnet", l1_ratio=None).fit(X, Y)


def test_another_number_of_columns():
    model = LogisticRegression().fit(X, Y)
    with pytest.raises(ValueError, match="X has 3 features, but LogisticRegression is expecting 5"):
        model.predict(X[:, :3])


def test_interrupted_fit_leaves_the_model_as_it_was(monkeypatch):
    model = LogisticRegression().fit(X, Y)
    before = dict(vars(model))

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(solvers.SOLVERS, "newton", solvers.Solver(interrupted, ""))
        patch.setattr(solvers, "SMALL", solvers.Solver(interrupted, ""))
        with pytest.raises(KeyboardInterrupt):
            model.fit(X3, Y3)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    model.predict(X)
