"""The functional interface: right values for any shape and input, an optimiser from elsewhere, and its messages."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from scipy import special

import naive
from designs import KERNEL
from fastlogreg import LogisticRegression, functional
from problems import BINARY, SEVERAL, random_coef, random_problem

each_n_classes = pytest.mark.parametrize("n_classes", [2, 3])


# --- pointwise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sigmoid", "log1pexp"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4), (2, 3, 4), (300_000,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_elementwise(name, shape, dtype):
    eta = (np.random.default_rng(0).normal(size=shape) * 9).astype(dtype)
    expected = {"sigmoid": special.expit, "log1pexp": lambda x: np.logaddexp(0, x)}[name](np.float64(eta))
    ours = getattr(functional, name)(eta)
    assert ours.shape == shape
    assert ours.dtype == (np.float32 if dtype == np.float32 else np.float64)
    np.testing.assert_allclose(ours, expected, rtol=1e-7 if dtype == np.float32 else 1e-14)


def test_elementwise_takes_lists_and_numbers():
    assert functional.sigmoid(0.0) == 0.5
    np.testing.assert_array_equal(functional.log1pexp([0, -1e4, 1e4]), [np.log(2), 0.0, 1e4])


@pytest.mark.parametrize("shape", [(0, 3), (5, 1), (5, 3), (70_000, 4)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows(shape, dtype):
    eta = (np.random.default_rng(0).normal(size=shape) * 9).astype(dtype)
    kept = eta.copy()
    wide = eta.astype(np.float64)
    probability, total = functional.softmax(eta), functional.logsumexp(eta)
    assert probability.dtype == total.dtype == dtype
    assert probability.shape == shape and total.shape == shape[:1]
    rtol = 1e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(probability, special.softmax(wide, axis=1), rtol=rtol)
    np.testing.assert_allclose(total, special.logsumexp(wide, axis=1), rtol=rtol, atol=rtol)
    np.testing.assert_array_equal(eta, kept)


def test_strides_and_order_of_eta():
    eta = np.random.default_rng(0).normal(size=(40, 6))
    for view in (eta[::2], eta[:, ::2], np.asfortranarray(eta), eta[::-1], eta.astype(">f8")):
        np.testing.assert_allclose(functional.softmax(view), special.softmax(view, axis=1), rtol=1e-14)
        np.testing.assert_allclose(functional.sigmoid(view), special.expit(view), rtol=1e-14)


@pytest.mark.parametrize("name", ["sigmoid", "log1pexp", "softmax", "logsumexp"])
def test_threads_change_no_bit(name):
    eta = np.random.default_rng(0).normal(size=(50_000, 5))
    function = getattr(functional, name)
    np.testing.assert_array_equal(function(eta, n_jobs=1), function(eta, n_jobs=2))


@pytest.mark.parametrize("name", ["softmax", "logsumexp"])
@pytest.mark.parametrize("shape", [(5,), (5, 0), (2, 3, 4)])
def test_shape_of_rows(name, shape):
    with pytest.raises(ValueError, match="n_samples, n_classes"):
        getattr(functional, name)(np.zeros(shape))


# --- sums over rows ---------------------------------------------------------------------------------------------


def arguments(problem):
    return {"sample_weight": problem.weight, "offset": problem.offset, "l2": problem.l2}


@pytest.mark.parametrize("storage", KERNEL)
@each_n_classes
def test_equals_twin(n_classes, storage):
    problem = random_problem(80, 4, n_classes, weighted=True, shifted=True, soft=True, l2=0.3)
    X, y, coef, vector = KERNEL[storage](problem.X), problem.y, random_coef(problem), random_coef(problem, seed=1)
    value = naive.objective(problem.X, y, coef, **problem.terms)
    gradient = naive.gradient(problem.X, y, coef, **problem.terms)
    penalised = np.ones(coef.shape)
    penalised[..., -1] = 0.0
    hessian = naive.hessian(problem.X, coef, problem.weight, problem.offset) / problem.weight.sum()
    hessian += problem.l2 * np.diag(penalised.ravel())
    close = {"rtol": 1e-11, "atol": 1e-13}
    np.testing.assert_allclose(functional.loss(X, y, coef, **arguments(problem)), value, **close)
    ours_value, ours_gradient = functional.loss_gradient(X, y, coef, **arguments(problem))
    assert isinstance(ours_value, float)
    np.testing.assert_allclose(ours_value, value, **close)
    np.testing.assert_allclose(ours_gradient, gradient, **close)
    np.testing.assert_allclose(functional.hessian(X, y, coef, **arguments(problem)), hessian, **close)
    product = functional.hessian_product(X, y, coef, vector, **arguments(problem))
    np.testing.assert_allclose(product, (hessian @ vector.ravel()).reshape(coef.shape), **close)


def test_labels_and_weights_of_any_kind():
    problem = random_problem(50, 3)
    coef = random_coef(problem)
    expected = naive.objective(problem.X, problem.y, coef)
    for y in (problem.y.astype(int), problem.y.astype(bool), problem.y.tolist(), problem.y.astype(np.float32)):
        assert functional.loss(problem.X.tolist(), y, coef.tolist()) == pytest.approx(expected, rel=1e-13)
    assert functional.loss(problem.X, problem.y, coef, sample_weight=[2.0] * 50) == pytest.approx(expected, rel=1e-13)
    several = random_problem(50, 3, 3)
    coef = random_coef(several)
    expected = naive.objective(several.X, several.y, coef)
    for y in (several.y.astype(np.int8), several.y.astype(float), several.y.tolist()):
        assert functional.loss(several.X, y, coef) == pytest.approx(expected, rel=1e-13)


def test_coef_in_other_orders_of_memory():
    problem = random_problem(50, 3, 4)
    coef = random_coef(problem)
    expected = functional.loss_gradient(problem.X, problem.y, coef)
    for view in (np.asfortranarray(coef), np.repeat(coef, 2, axis=1)[:, ::2]):
        value, gradient = functional.loss_gradient(problem.X, problem.y, view)
        assert value == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])


@pytest.mark.parametrize("problem", [BINARY, SEVERAL], ids=["binary", "several"])
def test_an_optimiser_from_elsewhere(problem):
    """What the functions are for: the same optimum by scipy's trust region from loss, gradient and product."""
    X, y, shape, l2 = problem.X, problem.y, problem.coef_shape, 1 / len(problem.y)

    def value_gradient(flat):
        value, gradient = functional.loss_gradient(X, y, flat.reshape(shape), l2=l2)
        return value, gradient.ravel()

    def product(flat, vector):
        return functional.hessian_product(X, y, flat.reshape(shape), vector.reshape(shape), l2=l2).ravel()

    found = scipy.optimize.minimize(
        value_gradient, np.zeros(np.prod(shape)), jac=True, hessp=product, method="trust-ncg", options={"gtol": 1e-10}
    )
    model = LogisticRegression().fit(X, y)
    assert found.fun == pytest.approx(model.result_.objective, rel=1e-12)
    np.testing.assert_allclose(np.atleast_2d(found.x.reshape(shape))[:, :-1], model.coef_, atol=1e-7)


def test_threads_change_no_bit_of_sums():
    problem = random_problem(30_000, 5, weighted=True)
    coef = random_coef(problem)
    one, two = (functional.loss_gradient(problem.X, problem.y, coef, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])


# --- messages ---------------------------------------------------------------------------------------------------

X, Y, COEF = BINARY.X, BINARY.y, np.zeros(6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": Y[:-1]}, r"y has shape \(199,\), expected \(200,\)"),
        ({"y": np.where(np.arange(200) == 4, 1.5, Y)}, r"in \[0, 1\]: row 4 has .*1\.5"),
        ({"y": np.where(np.arange(200) == 4, np.nan, Y)}, r"in \[0, 1\]: row 4 has .*nan"),
        ({"coef": np.zeros(5)}, r"coef has shape \(5,\), expected \(6,\)"),
        ({"coef": np.full(6, np.nan)}, "coef contains NaN or infinity"),
        ({"coef": np.zeros((2, 6))}, "two classes take coef of shape"),
        ({"coef": np.zeros((3, 5))}, r"expected \(3, 6\)"),
        ({"coef": np.zeros((3, 6)), "y": Y + 2}, "class index 0 … 2: row"),
        ({"coef": np.zeros((3, 6)), "y": Y / 2}, "class index 0 … 2: row"),
        ({"sample_weight": -np.ones(200)}, "row 0 has -1.0"),
        ({"sample_weight": np.zeros(200)}, "non-zero"),
        ({"offset": np.zeros(3)}, r"offset has shape \(3,\)"),
        ({"l2": -1.0}, "l2 must be finite and not negative"),
        ({"l2": np.inf}, "l2 must be finite and not negative"),
        ({"X": X[:, 0]}, "Expected 2D array"),
    ],
)
def test_messages(changed, message):
    given = {"X": X, "y": Y, "coef": COEF, **changed}
    for function in (functional.loss, functional.loss_gradient, functional.hessian):
        with pytest.raises(ValueError, match=message):
            function(**given)


def test_shape_of_the_vector():
    with pytest.raises(ValueError, match=r"vector has shape \(3,\), expected \(6,\)"):
        functional.hessian_product(X, Y, COEF, np.zeros(3))


def test_what_is_not_finite_shows():
    """The loss of rows that are not finite is not finite: an optimiser of one's own sees it."""
    bad = X.copy()
    bad[3, 2] = np.nan
    value, gradient = functional.loss_gradient(bad, Y, np.ones(6))
    assert np.isnan(value) and np.isnan(gradient).any()
    sparse = scipy.sparse.csr_array(bad)
    assert np.isnan(functional.loss(sparse, Y, np.ones(6)))
