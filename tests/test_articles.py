"""The tutorials' numbers through the public API: what the five articles print, or print when their programs are run."""

import numpy as np
import pytest
import sklearn.linear_model
from sklearn.metrics import accuracy_score

from bench import data
from fastlogreg import LogisticRegression, SGDLogisticRegression, functional


def descent(**parameters):
    return SGDLogisticRegression(optimizer="gd", learning_rate=0.1, alpha=0.0, **parameters)


# --- article 1: the naive loop's gradient descent ---------------------------------------------------------------


@pytest.fixture(scope="module")
def article1():
    X, y, X_test, y_test = data.article1()
    model = descent(max_iter=10_000, tol=1e-3, quadratic_cost=True)
    return model.fit(X, y, X_val=X_test, y_val=y_test), X, y, X_test, y_test


def test_article1_weights(article1):
    model = article1[0]
    assert model.n_iter_ == 601
    assert model.intercept_ == pytest.approx(-0.06813914, abs=1e-7)
    np.testing.assert_allclose(model.coef_, [[-1.45278642, 2.41044473]], rtol=0, atol=1e-7)


def test_article1_costs(article1):
    history = article1[0].history_
    first_last = {
        "train_loss": (0.59971110, 0.07409466),
        "val_loss": (0.59866205, 0.06207248),
        "train_quadratic": (None, 34.4501),
        "val_quadratic": (None, 34.9597),
    }
    assert set(history) == set(first_last)
    for name, (first, last) in first_last.items():
        assert len(history[name]) == 601
        assert first is None or history[name][0] == pytest.approx(first, abs=5e-9)
        assert history[name][-1] == pytest.approx(last, abs=5e-9 if "loss" in name else 5e-5)


def test_article1_accuracy(article1):
    model, X, y, X_test, y_test = article1
    assert (model.score(X, y), model.score(X_test, y_test)) == (0.9675, 0.985)


def test_article1_other_labels(article1):
    """The article allows labels -1 and 1 too."""
    model, X, y, _, _ = article1
    other = descent(max_iter=10_000, tol=1e-3).fit(X, 2 * y - 1)
    assert np.array_equal(other.coef_, model.coef_) and list(other.classes_) == [-1, 1]


@pytest.mark.parametrize(
    "seed, n_iter, train, test", [(0, 1870, 0.9575, 0.935), (1, 290, 1.0, 1.0), (42, 309, 1.0, 1.0)]
)
def test_article1_other_seeds(seed, n_iter, train, test):
    X, y, X_test, y_test = data.article1(seed=seed)
    model = descent(max_iter=10_000, tol=1e-3).fit(X, y)
    assert model.n_iter_ == n_iter
    assert (model.score(X, y), model.score(X_test, y_test)) == (train, test)


# --- article 2: one step by hand --------------------------------------------------------------------------------

HOURS, PASSED = np.arange(1.0, 6.0)[:, None], np.array([0, 0, 0, 1, 1])


def test_article2_two_samples():
    """Errors (-0.1, 0.2) give a bias gradient of 0.05; a column of zeros leaves only the bias."""
    eta = np.log([0.9 / 0.1, 0.2 / 0.8])
    _, gradient = functional.loss_gradient(np.zeros((2, 1)), np.array([1, 0]), np.zeros(2), offset=eta)
    assert gradient[-1] == pytest.approx(0.05, abs=1e-15)


def test_article2_step():
    coef = np.array([2.197, -6.593])
    eta = HOURS[:, 0] * coef[0] + coef[1]
    np.testing.assert_allclose(functional.sigmoid(eta), [0.01218, 0.09984, 0.49950, 0.89980, 0.98778], atol=5e-6)
    each = functional.log1pexp(eta) - PASSED * eta
    np.testing.assert_allclose(each, [0.01225, 0.10518, 0.69215, 0.10558, 0.01230], atol=5e-6)
    loss, gradient = functional.loss_gradient(HOURS, PASSED, coef)
    assert loss == pytest.approx(0.185493, abs=5e-7)
    np.testing.assert_allclose(gradient, [0.249686, 0.099818], atol=5e-7)
    assert 5 * gradient[0] == pytest.approx(1.248432, abs=5e-7)
    np.testing.assert_allclose(coef - 0.1 * gradient, [2.172031, -6.602982], atol=5e-7)


def test_article2_step_of_the_estimator():
    """The same step by the estimator, from a model that has the article's weights."""
    model = descent(max_iter=1, tol=0.0, warm_start=True).fit(HOURS, PASSED)
    model.coef_, model.intercept_ = np.array([[2.197]]), np.array([-6.593])
    model.fit(HOURS, PASSED)
    np.testing.assert_allclose([model.coef_[0, 0], model.intercept_[0]], [2.172031, -6.602982], atol=5e-7)


def test_article2_fit():
    """Not the article's weights, which are nobody's optimum, but those that scikit-learn finds at C = 1.

    By default it stops at (1.047044, -3.748177), boundary 3.579772; at tol=1e-12 it agrees with us to eight digits.
    """
    model = LogisticRegression(C=1.0, tol=1e-12).fit(HOURS, PASSED)
    w, b = model.coef_[0, 0], model.intercept_[0]
    np.testing.assert_allclose([w, b, -b / w], [1.047044, -3.748177, 3.579772], atol=2e-4)
    rival = sklearn.linear_model.LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(HOURS, PASSED)
    np.testing.assert_allclose([w, b], [rival.coef_[0, 0], rival.intercept_[0]], rtol=1e-8)


# --- article 3: income ------------------------------------------------------------------------------------------

INCOME = np.arange(1000.0, 6001.0, 500.0)
BOUGHT = np.where(INCOME <= 3500, "yes", "no")
FAR = np.array([15_000.0, 20_000.0, 25_000.0])


def boundary(model):
    return -model.intercept_[0] / model.coef_[0, 0]


@pytest.mark.parametrize("far", [False, True])
def test_article3_boundary_on_raw_income(far):
    income = np.append(INCOME, FAR) if far else INCOME
    bought = np.append(BOUGHT, ["no"] * 3) if far else BOUGHT
    model = LogisticRegression().fit(income[:, None], bought)
    assert 3500 < boundary(model) < 4000
    assert accuracy_score(bought, model.predict(income[:, None])) == 1.0


def test_article3_plain_descent_diverges_and_says_so():
    with pytest.warns(UserWarning, match="diverged at learning_rate=0.1: .* Feature 0 .* learning_rate <="):
        descent(max_iter=1000, tol=1e-3).fit(INCOME[:, None], BOUGHT)


def test_article3_descent_on_scaled_income():
    scaled = (INCOME[:, None] - INCOME.mean()) / INCOME.std()
    model = descent(max_iter=1000, tol=0.0).fit(scaled, BOUGHT)
    assert 3500 < boundary(model) * INCOME.std() + INCOME.mean() < 4000


# --- article 4: toy data ----------------------------------------------------------------------------------------


def test_article4():
    x, y = np.array([[0.5], [2.5], [1.0], [3.0]]), np.array([0, 1, 0, 1])
    model = descent(max_iter=1000, tol=0.0).fit(x, y)
    np.testing.assert_allclose([model.intercept_[0], model.coef_[0, 0]], [-5.16015367, 3.18428912], atol=5e-9)
    np.testing.assert_allclose(model.predict_proba(x)[:, 1], [0.02744, 0.94271, 0.12176, 0.98778], atol=5e-6)


# --- article 5: from scratch ------------------------------------------------------------------------------------


def test_article5():
    X, y, X_test, y_test = data.article5()
    model = descent(max_iter=1000, tol=0.0).fit(X, y)
    # the article prints the cost before an update, the history has it after
    cost = np.append(np.log(2.0), model.history_["train_loss"])
    table = [0.6931, 0.2846, 0.2557, 0.2463, 0.2420, 0.2396, 0.2381, 0.2371, 0.2363, 0.2357]
    np.testing.assert_allclose(cost[:1000:100], table, atol=5e-5)
    np.testing.assert_allclose(model.coef_, [[-0.25318706, 3.22944195]], atol=5e-9)
    assert model.intercept_[0] == pytest.approx(0.63111413, abs=5e-9)
    assert model.score(X_test, y_test) == 0.90
    assert accuracy_score(y_test, model.predict(X_test, threshold=0.5)) == 0.90
