"""SGDLogisticRegression: every optimizer against the twin, its rules for stopping, streams, and what it says."""

import pickle
import warnings

import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import naive_stochastic as twin
from designs import KERNEL, USER, integers
from fastlogreg import ConvergenceWarning, DivergenceWarning, LogisticRegression, SGDLogisticRegression
from fastlogreg import stochastic as layer
from fastlogreg.design import as_design
from fastlogreg.kernels import stochastic as kernels
from fastlogreg.kernels.stochastic import Rule
from fastlogreg.stochastic import NEVER, Stop
from problems import random_problem

OPTIMIZERS = layer.OPTIMIZERS
STOCHASTIC = OPTIMIZERS[1:]
PLAIN = {"learning_rate": 0.2, "alpha": 0.0, "tol": 0.0}


def weights(model):
    """(n_outputs, n_features + 1), intercept last."""
    return np.column_stack([model.coef_, model.intercept_])


def orders(n, seed, n_epochs):
    """The orders of a run with this seed, as the estimator draws them."""
    random = np.array([np.random.RandomState(seed).randint(1, 2**62, dtype=np.int64)])
    order = np.arange(n, dtype=np.int32)
    for _ in range(n_epochs):
        kernels.shuffle(order, random, 1, n)
        yield order.copy()


def scaled_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


# --- the same updates as the twin -------------------------------------------------------------------------------

SCHEDULES = {
    "constant": ({"learning_rate": 0.2, "alpha": 0.05}, (0.2, 0.0, 0.0)),
    "inverse-scaling": ({"learning_rate": 0.5, "alpha": 0.05, "power_t": 0.4}, (0.5, 0.0, 0.4)),
    "optimal": ({"alpha": 0.5}, (2.0, 0.5**-0.75 - 1.0, 1.0)),
}


@pytest.mark.parametrize("average", [False, True, 30])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("optimizer, batch_size", [("sgd", 1), ("mini-batch", 8), ("adagrad", 1), ("adagrad", 5)])
def test_epochs_are_the_twins(optimizer, batch_size, n_classes, schedule, average):
    parameters, formula = SCHEDULES[schedule]
    problem = random_problem(30, 4, n_classes, weighted=True)
    model = SGDLogisticRegression(
        optimizer,
        batch_size=batch_size,
        schedule=schedule,
        average=average,
        max_iter=3,
        tol=0.0,
        random_state=7,
        quadratic_cost=True,
        **parameters,
    )
    model.fit(problem.X, problem.y, sample_weight=problem.weight)
    order = np.concatenate(list(orders(30, 7, 3)))
    weight = problem.weight / problem.weight.mean()
    rule = Rule(*formula, parameters["alpha"], 1e-8, 1.0, NEVER)
    start = np.zeros((1 if n_classes == 2 else 3, 5))
    # epochs end with a smaller batch
    iterates, coef, squares = [], start, np.zeros_like(start)
    for epoch in np.split(order, 3):
        for first in range(0, 30, batch_size):
            rows = epoch[first : first + batch_size]
            gradient = twin.mean_gradient(problem.X[rows], problem.y[rows], coef, weight[rows])
            gradient = twin.penalised(gradient, coef, rule)
            squares = squares + gradient**2
            divisor = np.sqrt(squares) + 1e-8 if optimizer == "adagrad" else 1.0
            coef = coef - twin.rate(len(iterates) + 1, rule) * gradient / divisor
            iterates.append(coef)
    first_averaged = int(average) - 1 if average else len(iterates) - 1
    averaged = iterates[first_averaged:] if len(iterates) > first_averaged else iterates[-1:]
    expected = np.mean(averaged, axis=0)
    np.testing.assert_allclose(weights(model), expected, rtol=1e-10, atol=1e-12)
    assert model.t_ == len(iterates) and model.n_iter_ == 3
    assert model.learning_rate_ == pytest.approx(twin.rate(1, rule))
    loss, quadratic = twin.costs(problem.X, problem.y, expected, problem.weight)
    assert model.history_["train_loss"][-1] == pytest.approx(loss, rel=1e-12)
    assert model.history_["train_quadratic"][-1] == pytest.approx(quadratic, rel=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("storage", KERNEL)
def test_storages(storage, optimizer):
    """A dense row and a sparse one, float32 and float64: the same numbers give the same weights."""
    problem = random_problem(60, 4)
    model = SGDLogisticRegression(optimizer, max_iter=3, random_state=0, **(PLAIN | {"alpha": 0.01}))
    X = KERNEL[storage](problem.X)
    expected = weights(model.fit(problem.X, problem.y))
    found = weights(clone(model).fit(X, problem.y))
    np.testing.assert_allclose(found, expected, rtol=1e-6 if found.dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("storage", USER)
def test_what_users_pass(storage):
    rng = np.random.default_rng(0)
    X = integers(rng, (50, 3))
    y = rng.integers(0, 2, 50)
    model = SGDLogisticRegression("gd", max_iter=5, **PLAIN)
    expected = weights(model.fit(X, y))
    given = USER[storage](X)
    found = clone(model).fit(given, y)
    np.testing.assert_allclose(weights(found), expected, rtol=1e-5)
    np.testing.assert_array_equal(found.predict(given), model.predict(X))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_intercept(optimizer):
    problem = random_problem(60, 4, 3)
    model = SGDLogisticRegression(optimizer, fit_intercept=False, init="random", max_iter=5, random_state=0, **PLAIN)
    assert not model.fit(problem.X, problem.y).intercept_.any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_order_of_the_data_where_not_shuffled(optimizer):
    problem = random_problem(30, 4)
    model = SGDLogisticRegression(optimizer, shuffle=False, max_iter=2, **PLAIN)
    model.fit(problem.X, problem.y)
    batch = {"gd": 30, "mini-batch": 32}.get(optimizer, 1)
    iterates, _ = twin.updates(
        problem.X,
        problem.y,
        np.zeros((1, 5)),
        np.tile(np.arange(30), 2),
        min(batch, 30),
        Rule(0.2, 0.0, 0.0, 0.0, 1e-8, 1.0, NEVER),
        adagrad=optimizer == "adagrad",
    )
    np.testing.assert_allclose(weights(model), iterates[-1], rtol=1e-10)


def test_random_start():
    problem = random_problem(30, 4)
    one, same, other = (
        SGDLogisticRegression("gd", init="random", random_state=seed, max_iter=1, **(PLAIN | {"learning_rate": 1e-9}))
        for seed in (1, 1, 2)
    )
    first = weights(one.fit(problem.X, problem.y))
    assert np.array_equal(weights(same.fit(problem.X, problem.y)), first)
    assert not np.array_equal(weights(other.fit(problem.X, problem.y)), first)
    assert 0 < np.abs(first).max() < 0.1


# --- bits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("optimizer, batch_size", [("gd", None), ("mini-batch", 2000), ("sgd", None), ("adagrad", 7)])
def test_seed_decides_every_bit_and_threads_none(optimizer, batch_size, n_classes, sparse):
    problem = random_problem(80_000, 6, n_classes)
    X = scipy.sparse.csr_array(problem.X) if sparse else problem.X
    rows = layer.Rows(as_design(X), problem.y, None, n_classes)
    assert rows.n_rows * rows.row_work > layer.SHORT_WORK  # enough for several threads
    models = [
        SGDLogisticRegression(optimizer, batch_size=batch_size, max_iter=2, random_state=3, n_jobs=n_jobs, **PLAIN)
        for n_jobs in (1, 2, None)
    ]
    first, *others = (model.fit(X, problem.y) for model in models)
    for other in others:
        assert np.array_equal(weights(first), weights(other))
        assert np.array_equal(first.history_["train_loss"], other.history_["train_loss"])


@pytest.mark.parametrize("slow", [False, True])
def test_slow_updates_of_gradient_descent_go_on_with_all_threads(slow, monkeypatch):
    problem = random_problem(30_000, 6)
    taken, kernel = [], layer.descent.descend
    monkeypatch.setattr(layer, "SHORT_SECONDS", 0.0 if slow else np.inf)
    monkeypatch.setattr(
        layer.descent, "descend", lambda *args, threads: taken.append(threads) or kernel(*args, threads=threads)
    )
    one, two = (
        SGDLogisticRegression("gd", max_iter=400, n_jobs=n_jobs, **PLAIN).fit(problem.X, problem.y) for n_jobs in (1, 2)
    )
    assert taken == [1] * 4 + [1, 1, *[1 + slow] * 2]  # of one update, of 159, 159 and 81
    assert np.array_equal(weights(one), weights(two))


@pytest.mark.parametrize("longest", [5, 200])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_copies_in_the_order_of_the_visit_change_no_bit(batch_size, n_classes, longest, monkeypatch):
    """Of large sparse data; rows too long for a copy are read where they are."""
    rng = np.random.default_rng(0)
    X = scipy.sparse.random(2000, 200, density=0.025, random_state=rng, format="lil")
    X[3, :longest] = 1.0
    X, y, weight = X.tocsr(), rng.integers(n_classes, size=2000), rng.random(2000)
    monkeypatch.setattr(layer, "CACHED_BYTES", 0)
    monkeypatch.setattr(layer, "COPIED_BYTES", 1000)
    taken = []
    kernel = kernels.sparse_plain
    monkeypatch.setattr(
        kernels, "sparse_plain", lambda *args, threads: taken.append(threads) or kernel(*args, threads=threads)
    )
    one, two = (
        SGDLogisticRegression(
            "mini-batch", batch_size=batch_size, max_iter=2, random_state=3, n_jobs=n_jobs, average=True, **PLAIN
        ).fit(X, y, sample_weight=weight)
        for n_jobs in (1, 2)
    )
    assert taken == [1, 1] + [2 if longest == 5 else 1] * 2
    assert np.array_equal(weights(one), weights(two))


def test_rows_without_weight_do_not_exist():
    problem = random_problem(50, 4)
    weight = (np.arange(50) % 3 > 0).astype(float)
    kept = weight > 0
    for optimizer in OPTIMIZERS:
        model = SGDLogisticRegression(optimizer, max_iter=3, random_state=0, shuffle=False, **PLAIN)
        with_zeros = weights(model.fit(problem.X, problem.y, sample_weight=weight))
        removed = weights(clone(model).fit(problem.X[kept], problem.y[kept]))
        np.testing.assert_allclose(with_zeros, removed, rtol=1e-10)


# --- when to stop -----------------------------------------------------------------------------------------------


def test_tol_keeps_the_weights_before_the_last_step():
    problem = random_problem(60, 4)
    for optimizer, parameters in (("gd", {}), ("sgd", {"schedule": "inverse-scaling", "power_t": 1.0})):
        model = SGDLogisticRegression(
            optimizer, learning_rate=0.5, tol=1e-2, random_state=0, early_stopping=False, **parameters
        )
        model.fit(problem.X, problem.y)
        assert model.result_.status is Stop.SETTLED and 2 < model.n_iter_ < 1000
        runs = [
            weights(clone(model).set_params(tol=0.0, max_iter=model.n_iter_ - back).fit(problem.X, problem.y))
            for back in (0, 1, 2)
        ]
        np.testing.assert_array_equal(weights(model), runs[1])
        assert np.linalg.norm(runs[0] - runs[1]) < 1e-2 <= np.linalg.norm(runs[1] - runs[2])
        assert len(model.history_["train_loss"]) == model.n_iter_


def test_zero_tol_never_stops():
    problem = random_problem(30, 2)
    for optimizer in OPTIMIZERS:
        model = SGDLogisticRegression(optimizer, max_iter=200, learning_rate=1e-9, tol=0.0)
        assert model.fit(problem.X, problem.y).n_iter_ == 200
        assert model.result_.status is Stop.MAX_ITER


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_early_stopping_on_validation_loss(optimizer):
    """Labels of training and validation rows that contradict each other: the loss there rises from the first epoch."""
    problem = random_problem(60, 4)
    model = SGDLogisticRegression(optimizer, early_stopping=True, n_iter_no_change=3, random_state=0, **PLAIN)
    model.fit(problem.X, problem.y, X_val=problem.X, y_val=1 - problem.y)
    assert model.result_.status is Stop.STALLED and model.n_iter_ == 3
    assert not weights(model).any()  # the start was best
    assert np.all(model.history_["val_loss"] > np.log(2.0))


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_early_stopping_by_default(optimizer):
    X, y = scaled_cancer()
    model = SGDLogisticRegression(optimizer, random_state=0, tol=1e-3).fit(X, y)
    losses = model.history_["train_loss"]
    assert model.result_.status is Stop.STALLED and model.n_iter_ < 100
    lowest = losses.min()
    assert np.all(losses[-5:] > np.minimum.accumulate(losses)[-6:-1] - 1e-3)
    eta = model.decision_function(X)
    assert np.mean(np.logaddexp(0, eta) - y * eta) == pytest.approx(lowest, rel=1e-10)  # the best weights


def test_max_iter_is_said():
    problem = random_problem(60, 4)
    with pytest.warns(ConvergenceWarning, match="max_iter=2 epochs.*LogisticRegression"):
        SGDLogisticRegression("gd", max_iter=2).fit(problem.X, problem.y)


# --- a rate too large -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["gd", "mini-batch", "sgd"])
def test_divergence_names_the_feature_and_a_rate_that_works(optimizer):
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"age": rng.normal(size=80), "income": rng.normal(3500, 1500, 80)})
    y = rng.integers(0, 2, 80)
    model = SGDLogisticRegression(optimizer, learning_rate=0.1, alpha=0.0, max_iter=50, random_state=0)
    with pytest.warns(DivergenceWarning, match="scale feature 'income'") as caught:
        model.fit(X, y)
    assert model.result_.status.diverged and model.n_iter_ <= 10
    assert np.isfinite(weights(model)).all() and np.isfinite(model.predict_proba(X)).all()
    rate = float(str(caught[0].message).split("learning_rate <= ")[1].split(". ")[0].rstrip("."))
    model.set_params(learning_rate=rate, tol=0.0).fit(X, y)
    assert not model.result_.status.diverged and model.history_["train_loss"][-1] < 1.2 * np.log(2.0)


def test_overflow_is_not_returned():
    problem = random_problem(30, 2)
    X = 1e150 * problem.X
    for optimizer in ("gd", "sgd"):
        model = SGDLogisticRegression(optimizer, learning_rate=1e200, alpha=1.0, max_iter=30)
        with pytest.warns(DivergenceWarning):
            model.fit(X, problem.y)
        assert np.isfinite(weights(model)).all()


def test_best_weights_of_a_run_that_went_wrong():
    """The penalty makes weights swing ever wider: -1.5, 2.25, … times the last."""
    problem = random_problem(60, 3)
    model = SGDLogisticRegression("gd", learning_rate=0.5, alpha=5.0, max_iter=100, init="random", random_state=0)
    with pytest.warns(DivergenceWarning):
        model.fit(problem.X, problem.y)
    assert np.abs(weights(model)).max() < 1.0


def test_automatic_rate_of_badly_scaled_data_is_said():
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="feature 23 has root mean square .*StandardScaler"):
        SGDLogisticRegression("gd", max_iter=20, tol=0.0).fit(X, y)


# --- good enough for newcomers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("load, accuracy", [(load_breast_cancer, 0.98), (load_digits, 0.97), (load_iris, 0.95)])
def test_defaults_on_standardised_data(load, accuracy, optimizer):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if optimizer == "gd" else "error", ConvergenceWarning)
        model = SGDLogisticRegression(optimizer, random_state=0).fit(X, y)
    assert model.score(X, y) >= accuracy


def test_near_the_optimum():
    problem = random_problem(2000, 5, seed=1)
    X, alpha = problem.X, 1e-2
    y = (problem.X @ np.arange(5) + np.random.default_rng(0).logistic(size=2000) > 0).astype(float)
    best = LogisticRegression(C=1 / (alpha * len(y))).fit(X, y)
    for optimizer, tolerance in {"gd": 1e-4, "mini-batch": 0.15, "sgd": 0.15, "adagrad": 0.15}.items():
        model = SGDLogisticRegression(optimizer, alpha=alpha, tol=1e-6, random_state=0, average=optimizer != "gd")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        np.testing.assert_allclose(weights(model), weights(best), atol=tolerance)


def test_as_good_as_scikit_learns_sgd():
    """The same constant rate and penalty: the held-out loss after five epochs is no worse, but for noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 10))
    y = (X @ rng.normal(size=10) + rng.logistic(size=6000) > 0).astype(int)
    train, test = slice(4000), slice(4000, None)

    def loss(model):
        eta = model.decision_function(X[test])
        return np.mean(np.logaddexp(0, eta) - y[test] * eta)

    for storage in (np.asarray, scipy.sparse.csr_array):
        ours, theirs = (
            np.mean([loss(make(seed).fit(storage(X[train]), y[train])) for seed in range(5)])
            for make in (
                lambda seed: SGDLogisticRegression(
                    "sgd", learning_rate=0.01, alpha=1e-4, max_iter=5, tol=0.0, random_state=seed
                ),
                lambda seed: SGDClassifier(
                    loss="log_loss",
                    learning_rate="constant",
                    eta0=0.01,
                    alpha=1e-4,
                    max_iter=5,
                    tol=None,
                    random_state=seed,
                ),
            )
        )
        assert ours <= 1.005 * theirs


# --- streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_partial_fit_over_parts_is_one_epoch(optimizer, n_classes, sparse):
    problem = random_problem(60, 4, n_classes, weighted=True)
    X = scipy.sparse.csr_array(problem.X) if sparse else problem.X
    weight = problem.weight / problem.weight.mean()
    parameters = PLAIN | {"alpha": 0.03, "schedule": "inverse-scaling", "shuffle": False, "average": 20}
    batch = {"batch_size": 5} if optimizer != "sgd" else {}
    whole = SGDLogisticRegression(optimizer, max_iter=1, **parameters, **batch)
    whole.fit(X, problem.y, sample_weight=weight)
    stream = clone(whole)
    for first in range(0, 60, 20):
        part = slice(first, first + 20)
        stream.partial_fit(X[part], problem.y[part], classes=range(n_classes), sample_weight=weight[part])
    np.testing.assert_allclose(weights(stream), weights(whole), rtol=1e-11)
    assert stream.t_ == whole.t_ and stream.n_iter_ == 3


def test_partial_fit_of_gradient_descent_is_one_step():
    problem = random_problem(40, 4)
    stream = SGDLogisticRegression("gd", **PLAIN)
    for _ in range(5):
        stream.partial_fit(problem.X, problem.y, classes=[0, 1])
    whole = SGDLogisticRegression("gd", max_iter=5, **PLAIN).fit(problem.X, problem.y)
    np.testing.assert_allclose(weights(stream), weights(whole), rtol=1e-11)


def test_partial_fit_learns_a_stream():
    rng = np.random.default_rng(0)
    coef = rng.normal(size=5)
    model = SGDLogisticRegression(random_state=0)
    for _ in range(50):
        X = rng.normal(size=(200, 5))
        y = np.where(X @ coef + rng.logistic(size=200) > 0, "yes", "no")
        model.partial_fit(X, y, classes=["no", "yes"])
    assert model.t_ == 10_000 and not hasattr(model, "history_")
    np.testing.assert_allclose(model.coef_[0], coef, atol=0.15)


def test_partial_fit_goes_on_after_fit():
    problem = random_problem(40, 4)
    model = SGDLogisticRegression("adagrad", max_iter=3, random_state=0, **PLAIN).fit(problem.X, problem.y)
    twin_model = pickle.loads(pickle.dumps(model))
    before = weights(model)
    model.partial_fit(problem.X, problem.y)
    assert 0 < np.linalg.norm(weights(model) - before) < 0.5 and model.t_ == 160
    assert np.array_equal(weights(twin_model.partial_fit(problem.X, problem.y)), weights(model))


def test_partial_fit_refuses():
    problem = random_problem(40, 4)
    X, y = problem.X, problem.y
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SGDLogisticRegression().partial_fit(X, y)
    with pytest.raises(ValueError, match="not among the classes"):
        SGDLogisticRegression().partial_fit(X, y, classes=[1, 2])
    model = SGDLogisticRegression(class_weight="balanced")
    with pytest.raises(ValueError, match="'balanced' is not possible in partial_fit"):
        model.partial_fit(X, y, classes=[0, 1])
    model.set_params(class_weight={0: 2.0}).partial_fit(X[:1], y[:1], classes=[0, 1])
    with pytest.raises(ValueError, match="not the same as in the first call"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    before = weights(model)
    model.set_params(learning_rate=1e300)
    with pytest.raises(ValueError, match="model is left as it was"):
        model.partial_fit(1e100 * X, y)
    assert np.array_equal(weights(model), before)


# --- arguments --------------------------------------------------------------------------------------------------


def test_warm_start():
    problem = random_problem(60, 4)
    model = SGDLogisticRegression("gd", max_iter=4, warm_start=True, **PLAIN)
    for _ in range(2):
        model.fit(problem.X, problem.y)
    once = SGDLogisticRegression("gd", max_iter=8, **PLAIN).fit(problem.X, problem.y)
    np.testing.assert_allclose(weights(model), weights(once), rtol=1e-12)
    with pytest.raises(ValueError, match="warm_start=True, but the previous fit"):
        model.fit(problem.X[:, :3], problem.y)


def test_class_weight():
    problem = random_problem(60, 4)
    y = (np.arange(60) < 15).astype(int)
    balanced, by_hand = (
        SGDLogisticRegression("gd", max_iter=20, class_weight=given, **PLAIN).fit(problem.X, y)
        for given in ("balanced", {0: 60 / 90, 1: 60 / 30})
    )
    np.testing.assert_allclose(weights(balanced), weights(by_hand), rtol=1e-12)
    weighted = SGDLogisticRegression("gd", max_iter=20, **PLAIN).fit(problem.X, y, np.where(y, 6.0, 2.0))
    np.testing.assert_allclose(weights(weighted), weights(by_hand), rtol=1e-12)


def test_labels_and_threshold():
    X, y = scaled_cancer()
    names = np.array(["malignant", "benign"])[y]
    model = SGDLogisticRegression("gd", max_iter=50, **PLAIN).fit(X, names, X_val=X[:9], y_val=names[:9])
    assert list(model.classes_) == ["benign", "malignant"]
    sure = model.predict(X, threshold=0.9) == "malignant"
    assert 0 < sure.sum() < (model.predict(X) == "malignant").sum()
    assert np.array_equal(sure, model.predict_proba(X)[:, 1] >= 0.9)


def test_histories_of_validation_data():
    problem, other = random_problem(60, 4, 3), random_problem(20, 4, 3, seed=5)
    for optimizer in OPTIMIZERS:
        model = SGDLogisticRegression(optimizer, max_iter=3, quadratic_cost=True, **PLAIN)
        for make in (np.asarray, np.asfortranarray, scipy.sparse.csr_array):
            model.fit(make(problem.X), problem.y, X_val=other.X, y_val=other.y)
            loss, quadratic = twin.costs(other.X, other.y, weights(model))
            assert model.history_["val_loss"][-1] == pytest.approx(loss)
            assert model.history_["val_quadratic"][-1] == pytest.approx(quadratic)
            assert {len(values) for values in model.history_.values()} == {3}
    model.set_params(quadratic_cost=False).fit(problem.X, problem.y)
    assert set(model.history_) == {"train_loss"}


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"optimizer": "sgd", "batch_size": 8}, "batch_size=8 does not fit"),
        ({"optimizer": "gd", "batch_size": 8}, "batch_size=8 does not fit"),
        ({"schedule": "optimal", "alpha": 0.0}, "needs alpha > 0"),
        ({"optimizer": "gd", "average": True}, "average"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"optimizer": "newton"}, "optimizer"),
        ({"tol": -1.0}, "tol"),
    ],
)
def test_parameters_that_make_no_sense(parameters, message):
    problem = random_problem(10, 2)
    with pytest.raises(ValueError, match=message):
        SGDLogisticRegression(**parameters).fit(problem.X, problem.y)


def test_validation_data_that_make_no_sense():
    problem = random_problem(10, 2)
    X, y = problem.X, problem.y
    model = SGDLogisticRegression()
    with pytest.raises(ValueError, match="belong together"):
        model.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="10 rows and y_val 9"):
        model.fit(X, y, X_val=X, y_val=y[:9])
    with pytest.raises(ValueError, match="not among the classes"):
        model.fit(X, y, X_val=X, y_val=y + 1)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, y, X_val=X * np.nan, y_val=y)
    with pytest.raises(ValueError, match=r"Column 1 of X holds values as large as .*e\+200, .* Divide it"):
        model.fit(X * [1.0, 1e200], y)
    with pytest.raises(NotFittedError):
        SGDLogisticRegression().predict(X)


def test_progress_is_printed(capsys):
    problem = random_problem(20, 2)
    SGDLogisticRegression("sgd", max_iter=2, verbose=1, **PLAIN).fit(problem.X, problem.y)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 2 and "sgd: epoch 2 of at most 2" in printed


def test_interrupted_fit_leaves_the_model_alone(monkeypatch):
    problem = random_problem(20, 2)
    model = SGDLogisticRegression("sgd", max_iter=2, **PLAIN).fit(problem.X, problem.y)
    before = dict(vars(model))

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(kernels, "single", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(problem.X, problem.y)
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(problem.X, problem.y)
    assert vars(model) == before
    model.fit(problem.X, problem.y)


# --- scikit-learn's own checks ----------------------------------------------------------------------------------

NOT_FOR_ORDERS = "a row of weight two is one update of twice the length, not two updates at different places"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.filterwarnings("ignore::fastlogreg.ConvergenceWarning", "ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_checks(optimizer):
    expected = {}
    if optimizer != "gd":
        expected = {
            "check_sample_weight_equivalence_on_dense_data": NOT_FOR_ORDERS,
            "check_sample_weight_equivalence_on_sparse_data": NOT_FOR_ORDERS,
        }
    check_estimator(SGDLogisticRegression(optimizer), expected_failed_checks=expected)
