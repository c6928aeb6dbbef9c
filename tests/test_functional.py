"""The functional API: shapes, agreement with SciPy, use with somebody else's optimiser, errors that name the place."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from fastlogreg import LogisticRegression, functional
from tests import naive


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, (X[:, 0] + rng.normal(size=200) > 0).astype(float), rng.integers(0, 3, 200), rng.random(200)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, int])
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (0,)])
def test_pointwise_functions_keep_shape_and_precision(shape, dtype):
    eta = (10 * np.random.default_rng(1).normal(size=shape)).astype(dtype)
    expected = np.float32 if dtype is np.float32 else np.float64
    for ours, theirs in ((functional.sigmoid, scipy.special.expit), (functional.log1pexp, scipy.special.softplus)):
        result = ours(eta)
        assert result.shape == shape
        assert result.dtype == expected
        np.testing.assert_allclose(result, theirs(eta.astype(float)), rtol=1e-6 if expected == np.float32 else 1e-14)


def test_row_functions_agree_with_scipy():
    eta = 30 * np.random.default_rng(2).normal(size=(50, 5))
    np.testing.assert_allclose(functional.softmax(eta), scipy.special.softmax(eta, axis=1), rtol=1e-13)
    np.testing.assert_allclose(functional.logsumexp(eta), scipy.special.logsumexp(eta, axis=1), rtol=1e-14)


@pytest.mark.parametrize("multinomial", [False, True])
def test_derivatives_are_those_of_the_twin(data, multinomial):
    X, y, classes, weight = data
    rng = np.random.default_rng(3)
    y, coef = (classes, rng.normal(size=(3, 5))) if multinomial else (y, rng.normal(size=5))
    given = {"sample_weight": weight, "l2": 0.1}
    twin = {"weight": weight, "l2": 0.1}
    value, gradient = functional.loss_gradient(X, y, coef, **given)
    assert value == pytest.approx(naive.objective(X, y, coef, **twin), rel=1e-13)
    assert functional.loss(X, y, coef, **given) == value
    step = 1e-6 * rng.normal(size=coef.shape)
    ahead, behind = (functional.loss_gradient(X, y, coef + sign * step, **given) for sign in (1, -1))
    np.testing.assert_allclose(ahead[0] - behind[0], 2 * np.sum(gradient * step), rtol=1e-6)
    hessian = functional.hessian(X, y, coef, **given)
    assert hessian.shape == (coef.size, coef.size)
    np.testing.assert_allclose((ahead[1] - behind[1]).ravel(), 2 * hessian @ step.ravel(), atol=1e-12)
    product = functional.hessian_product(X, y, coef, step, **given)
    np.testing.assert_allclose(product.ravel(), hessian @ step.ravel(), rtol=1e-9, atol=1e-18)


def test_soft_labels_lie_between_the_hard_ones(data):
    X, _, _, soft = data
    coef = np.array([1.0, -1.0, 0.5, 0.0, 0.2])
    zeros, ones = (functional.loss(X, np.full(200, label), coef) for label in (0.0, 1.0))
    half = functional.loss(X, np.full(200, 0.5), coef)
    assert half == pytest.approx(0.5 * (zeros + ones), rel=1e-14)
    eta = naive.decision(X, coef)
    assert functional.loss(X, soft, coef) == pytest.approx(np.mean(np.logaddexp(0, eta) - soft * eta))


def test_a_foreign_optimiser_finds_the_estimators_answer(data):
    X, y, _, _ = data
    found = scipy.optimize.minimize(
        lambda coef: functional.loss_gradient(X, y, coef, l2=1 / 200), np.zeros(5), jac=True, options={"gtol": 1e-9}
    )
    model = LogisticRegression().fit(X, y)
    np.testing.assert_allclose(found.x, np.append(model.coef_, model.intercept_), atol=1e-7)


def test_errors_name_the_place(data):
    X, y, classes, weight = data
    coef = np.zeros(5)
    with pytest.raises(ValueError, match=r"row 3 has .*2"):
        functional.loss(X, np.where(np.arange(200) == 3, 2.0, y), coef)
    with pytest.raises(ValueError, match=r"coef has shape \(4,\), expected \(5,\)"):
        functional.loss(X, y, coef[:4])
    with pytest.raises(ValueError, match="two classes take coef"):
        functional.loss(X, y, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="class index 0 … 2: row 0"):
        functional.loss(X, np.full(200, 7), np.zeros((3, 5)))
    with pytest.raises(ValueError, match="vector has shape"):
        functional.hessian_product(X, y, coef, np.zeros(4))
    with pytest.raises(ValueError, match="row 5"):
        functional.loss(X, y, coef, sample_weight=np.where(np.arange(200) == 5, -1.0, weight))
    with pytest.raises(ValueError, match="y has shape"):
        functional.loss(X, classes[:-1], np.zeros((3, 5)))
    with pytest.raises(ValueError, match="at least one class"):
        functional.softmax(np.zeros(3))
    with pytest.raises(ValueError, match="l2 must be"):
        functional.loss(X, y, coef, l2=-1.0)
