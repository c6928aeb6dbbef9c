"""The logistic functions of one number against 40-digit arithmetic, and the proof that their loops are vector loops.

Accuracy is measured where it counts, in the kernels: with one row a chunk and no features a batch kernel's partial
sums are the loss, slope and curvature of each row, at an eta that the offset gives exactly.
"""

import re

import mpmath
import numba
import numpy as np
import pytest
from mpmath import mpf

from fastlogreg.design import as_design, split, workspaces
from fastlogreg.kernels import binary, links, multinomial, pointwise, predict
from fastlogreg.kernels.jit import Driver, kernel
from parts import alone

COMPILED = not numba.config.DISABLE_JIT
MANY = 600 if COMPILED else 60
FEW = 300 if COMPILED else 8  # rows, where each of them costs a whole block
SMALLEST_NORMAL = np.finfo(np.float64).tiny
NO_OFFSET, NONE = np.empty((0, 0)), np.empty(0)
LN_2 = 0.6931471805599453

mpmath.mp.dps = 40


def etas(n, seed=0):
    """Linear predictors of every size from 1e-300 to 1e4, of both signs, and the places where branches change."""
    rng = np.random.default_rng(seed)
    sizes = np.concatenate([
        10.0 ** rng.uniform(-300, 4, n // 4),
        10.0 ** rng.uniform(-20, 4, n // 4),
        rng.uniform(0, 40, n // 4),
        rng.uniform(690, 760, n // 4),
        LN_2 * (np.arange(5) + 0.5),  # where the reduced argument of exp changes
        [0.0, 5e-324, 1e-300, 36.04, 37.43, 708.3964185322641, 708.3964185322642, 745.2, 1e4],
    ])
    return np.concatenate([sizes, -sizes])


def class_etas(n, n_classes, seed=0):
    """Rows of linear predictors: of all sizes, near each other, tied, and one class far ahead."""
    rng = np.random.default_rng(seed)
    shape = (n // 4, n_classes)
    mixed = rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(-20, 4, shape)
    usual = rng.normal(size=shape) * 10.0 ** rng.uniform(-2, 2, (shape[0], 1))
    close = rng.normal(size=(shape[0], 1)) * 10.0 + rng.normal(size=shape) * 1e-8
    far = rng.normal(size=shape)
    far[np.arange(shape[0]), rng.integers(0, n_classes, shape[0])] += rng.uniform(30, 800, shape[0])
    special = np.zeros((4, n_classes))
    special[1] = -1e4
    special[2, ::2] = 1e-300
    special[3] = np.arange(n_classes) * 300.0
    return np.concatenate([mixed, usual, close, far, special])


def assert_accurate(got, expected, tolerance=1e-15, smallest=SMALLEST_NORMAL):
    """Relative error, wherever the result is a normal number; below that, absolute."""
    for index, (ours, exact) in enumerate(zip(np.ravel(got), expected, strict=True)):
        error = abs(mpf(float(ours)) - exact)
        assert error <= tolerance * max(abs(exact), smallest / tolerance), (index, ours, float(exact))


def exact_sigmoid(eta):
    return 1 / (1 + mpmath.exp(-mpf(float(eta))))


def exact_log1pexp(eta):
    return mpmath.log1p(mpmath.exp(mpf(float(eta))))


def exact_softmax(row):
    """Probabilities and their complements, none of them by subtraction."""
    row = [mpf(float(value)) for value in row]
    terms = [mpmath.exp(value - max(row)) for value in row]
    total = mpmath.fsum(terms)
    rest = [mpmath.fsum(terms[:k] + terms[k + 1 :]) for k in range(len(row))]
    return [term / total for term in terms], [other / total for other in rest]


def exact_logsumexp(row):
    row = [mpf(float(value)) for value in row]
    terms = sorted(mpmath.exp(value - max(row)) for value in row)
    return max(row), mpmath.log1p(mpmath.fsum(terms[:-1]))


def one_chunk(n):
    return split(n, 1)


def softmax_room(eta):
    return np.empty((1, *predict.softmax_workspace(eta.shape[1])))


def one_row_each(n):
    return split(n, n)


def binary_rows(eta, y, dtype=np.float64):
    """Loss, slope and curvature of every row out of the fused kernels."""
    n = len(eta)
    X = np.empty((n, 0), dtype=dtype)
    value_slope = np.zeros((n, 2))
    (work,) = workspaces(n, ((3, 1),))
    binary.value_gradient(X, y, NONE, eta, np.zeros(1), work, one_row_each(n), value_slope)
    second = np.zeros((n, 1))
    curvature = np.empty(n)
    binary.hessian_product(X, y, NONE, eta, curvature, np.zeros(1), np.ones(1), work, one_row_each(n), second)
    np.testing.assert_array_equal(second[:, 0], curvature)
    return value_slope[:, 0], value_slope[:, 1], second[:, 0]


def class_rows(eta, y):
    """Loss, slopes (n, K) and curvatures (n, K, K), the upper half, of every row out of the fused kernels."""
    n, n_classes = eta.shape
    X = np.empty((n, 0))
    coef = np.zeros((n_classes, 4))
    out = np.zeros((n, 1 + coef.size + (n_classes * 4) ** 2))
    room = workspaces(n, multinomial.hessian_workspace(coef.shape))
    multinomial.value_gradient_hessian(X, y, NONE, eta, coef, *room, one_row_each(n), out)
    slopes = out[:, 1 : 1 + coef.size].reshape(n, *coef.shape)[..., 0]
    curvatures = out[:, 1 + coef.size :].reshape(n, n_classes, n_classes, 4, 4)[..., 0, 0]
    return out[:, 0], slopes, curvatures


# --- two classes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "exact"), [("sigmoid", exact_sigmoid), ("log1pexp", exact_log1pexp)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_functions_of_eta(name, exact, dtype):
    eta = etas(MANY).astype(dtype)
    out = np.empty_like(eta)
    getattr(predict, name)(eta, one_chunk(eta.size), out)
    if dtype == np.float64:
        assert_accurate(out, map(exact, eta))
    else:  # half an ulp is all that rounding to the narrower format may add
        assert_accurate(out, map(exact, eta), 2.0**-24 * 1.0001, np.finfo(np.float32).tiny)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_binary_loss_and_derivatives_of_hard_labels(label):
    eta = etas(MANY, seed=1)
    value, first, second = binary_rows(eta, np.full(eta.size, label))
    sign = 1 - 2 * label  # of eta in the loss
    assert_accurate(value, [exact_log1pexp(sign * x) for x in eta])
    assert_accurate(first, [mpf(sign) * exact_sigmoid(sign * x) for x in eta])
    assert_accurate(second, [exact_sigmoid(x) * exact_sigmoid(-x) for x in eta])


@pytest.mark.parametrize("label", [1e-300, 1e-8, 0.25, 0.5, 1 - 2.0**-53])
def test_binary_loss_and_derivatives_of_soft_labels(label):
    """The slope is a difference: its error is that of the larger of its two terms (or one of them underflows)."""
    eta = etas(MANY // 4, seed=2)
    value, first, second = binary_rows(eta, np.full(eta.size, label))
    y = mpf(label)
    assert_accurate(value, [y * exact_log1pexp(-x) + (1 - y) * exact_log1pexp(x) for x in eta])
    assert_accurate(second, [exact_sigmoid(x) * exact_sigmoid(-x) for x in eta])
    for ours, x in zip(first, eta, strict=True):
        positive, negative = (1 - y) * exact_sigmoid(x), y * exact_sigmoid(-x)
        allowed = 2 * np.spacing(float(max(positive, negative))) + SMALLEST_NORMAL
        assert abs(mpf(float(ours)) - (positive - negative)) <= allowed, (x, ours)


@kernel
def _set_terms(eta, y, e, excess, slope, root):
    return links.set_terms(eta, y, e, excess, slope, root)


def terms_by_vectors(eta, y):
    """e, excess, slope and root of the curvature of as many rows as links.py takes."""
    found = np.full((4, eta.size), np.nan)
    done = alone(_set_terms)(eta, y, *found)
    assert done == eta.size // links.ROWS * links.ROWS > 0
    return found[:, :done]


@pytest.mark.skipif(not COMPILED, reason="there are no vectors without the JIT")
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_rows_by_vectors(label):
    eta = etas(MANY, seed=5)
    e, excess, slope, root = terms_by_vectors(eta, np.full(eta.size, label))
    eta = eta[: e.size]
    assert_accurate(e, [mpmath.exp(-abs(mpf(float(x)))) for x in eta])
    np.testing.assert_array_equal(excess, np.maximum(eta if label == 0.0 else -eta, 0.0))
    assert_accurate(slope, [exact_sigmoid(x) if label == 0.0 else -exact_sigmoid(-x) for x in eta])
    assert_accurate(root, [mpmath.sqrt(exact_sigmoid(x) * exact_sigmoid(-x)) for x in eta], smallest=1e-153)


@pytest.mark.skipif(not COMPILED, reason="there are no vectors without the JIT")
def test_vectors_agree_with_numbers():
    """But for the last digit, which depends on which products are rounded before they are added."""
    eta = np.repeat(np.concatenate([etas(MANY, seed=6), [np.inf, -np.inf, np.nan, 0.0, -0.0]]), 3)
    y = np.tile([0.0, 0.3, 1.0], eta.size // 3)
    numbers = alone(pointwise.rooted_terms)
    expected = np.array([numbers(*row) for row in zip(eta, y, strict=True)]).T
    # The slope is a difference of two terms, of which none is more than one.
    for ours, theirs, least in zip(terms_by_vectors(eta, y), expected, (0.0, 0.0, 1.0, 0.0), strict=True):
        allowed = 4e-16 * least + SMALLEST_NORMAL
        np.testing.assert_allclose(ours, theirs[: ours.size], rtol=4e-16, atol=allowed)


def test_driver_and_kernels_agree_bitwise():
    """The functional interface and the fits run the same lines."""
    eta = etas(MANY, seed=3)
    y = np.random.default_rng(3).choice([0.0, 0.3, 1.0], eta.size)
    value, first, second = np.empty((3, eta.size))
    predict.loss_slope_curvature(eta, y, one_chunk(eta.size), value, first, second)
    for ours, fused in zip((value, first, second), binary_rows(eta, y), strict=True):
        np.testing.assert_array_equal(ours, fused)


def test_storage_does_not_touch_eta():
    eta = etas(40, seed=4)
    y = (np.arange(eta.size) % 2).astype(np.float64)
    for wide, narrow in zip(binary_rows(eta, y), binary_rows(eta, y, np.float32), strict=True):
        np.testing.assert_array_equal(wide, narrow)


# --- several classes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_softmax(n_classes):
    eta = class_etas(MANY, n_classes)
    out = np.empty_like(eta)
    predict.softmax(eta, softmax_room(eta), one_chunk(len(eta)), out)
    for row, ours in zip(eta, out, strict=True):
        assert_accurate(ours, exact_softmax(row)[0])


@pytest.mark.parametrize("n_classes", [1, 2, 3, 6])
def test_logsumexp(n_classes):
    """Within 2 ulp of the larger of its terms: the largest eta and the logarithm of the scaled sum."""
    eta = class_etas(MANY, n_classes, seed=1)
    out = np.empty(len(eta))
    predict.logsumexp(eta, one_chunk(len(eta)), out)
    for row, ours in zip(eta, out, strict=True):
        largest, rest = exact_logsumexp(row)
        allowed = 2 * np.spacing(float(max(abs(largest), rest)))
        assert abs(mpf(float(ours)) - (largest + rest)) <= allowed, (row, ours)


def test_several_classes_in_float32():
    eta = class_etas(MANY, 3, seed=2).astype(np.float32)
    probability, total = np.empty_like(eta), np.empty(len(eta), dtype=np.float32)
    predict.softmax(eta, softmax_room(eta), one_chunk(len(eta)), probability)
    predict.logsumexp(eta, one_chunk(len(eta)), total)
    for row, ours, ours_total in zip(eta, probability, total, strict=True):
        assert_accurate(ours, exact_softmax(row)[0], 2.0**-24 * 1.0001, np.finfo(np.float32).tiny)
        largest, rest = exact_logsumexp(row)
        allowed = np.spacing(np.float32(max(abs(largest), rest)))
        assert abs(mpf(float(ours_total)) - (largest + rest)) <= float(allowed)


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_multinomial_loss_and_derivatives(n_classes):
    eta = class_etas(FEW, n_classes, seed=3)
    y = np.random.default_rng(3).integers(0, n_classes, len(eta))
    value, slopes, curvatures = class_rows(eta, y)
    for row, label, ours, first, second in zip(eta, y, value, slopes, curvatures, strict=True):
        largest, rest = exact_logsumexp(row)
        p, other = exact_softmax(row)
        assert_accurate([ours], [rest + (largest - mpf(float(row[label])))])
        assert_accurate(first, [-other[k] if k == label else p[k] for k in range(n_classes)])
        for k in range(n_classes):
            exact = [p[k] * other[k], *(-p[k] * p[i] for i in range(k + 1, n_classes))]
            assert_accurate(second[k, k:], exact)


def predicted_rows(prediction, eta):
    """What a prediction kernel writes where eta is given as the offset; one column of eta means two classes."""
    n, n_etas = eta.shape
    out = np.empty((n, max(2, n_etas)))
    design = as_design(np.empty((n, 0)))
    assert design.predict(prediction, eta, out, np.zeros((n_etas, 1))) == np.sum(~np.isfinite(eta))
    return out


def test_predictions_of_two_classes():
    eta = etas(MANY // 2, seed=5)
    probability = predicted_rows(predict.PROBABILITY, eta[:, None])
    logarithm = predicted_rows(predict.LOG_PROBABILITY, eta[:, None])
    for k, sign in enumerate([-1, 1]):
        assert_accurate(probability[:, k], [exact_sigmoid(sign * x) for x in eta])
        assert_accurate(logarithm[:, k], [-exact_log1pexp(-sign * x) for x in eta])


@pytest.mark.parametrize("n_classes", [3, 6])
def test_predictions_of_several_classes(n_classes):
    eta = class_etas(FEW, n_classes, seed=5)
    probability, logarithm = (predicted_rows(wanted, eta) for wanted in (predict.PROBABILITY, predict.LOG_PROBABILITY))
    for row, chance, ours in zip(eta, probability, logarithm, strict=True):
        p, other = exact_softmax(row)
        assert_accurate(chance, p)
        exact = [mpmath.log(a) if a < 0.5 else mpmath.log1p(-b) for a, b in zip(p, other, strict=True)]
        assert_accurate(ours, exact)


# --- not numbers and infinities ---------------------------------------------------------------------------------


def test_nan_stays_nan():
    for dtype in (np.float64, np.float32):
        eta, out = np.array([1.0, np.nan], dtype=dtype), np.empty(2, dtype=dtype)
        for function in (predict.sigmoid, predict.log1pexp):
            function(eta, one_chunk(2), out)
            np.testing.assert_array_equal(np.isnan(out), [False, True])
    for label in (0.0, 0.4, 1.0):
        for column in binary_rows(np.array([1.0, np.nan]), np.full(2, label)):
            np.testing.assert_array_equal(np.isnan(column), [False, True])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_nan_in_one_class_is_nan_in_all(position):
    eta = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    eta[1, position] = np.nan
    probability, total = np.empty_like(eta), np.empty(2)
    predict.softmax(eta, softmax_room(eta), one_chunk(2), probability)
    predict.logsumexp(eta, one_chunk(2), total)
    assert np.isfinite(probability[0]).all() and np.isfinite(total[0])
    assert np.isnan(probability[1]).all() and np.isnan(total[1])
    for label in range(3):
        value, slopes, _ = class_rows(eta, np.array([label, label]))
        assert np.isfinite(value[0]) and np.isfinite(slopes[0]).all()
        assert np.isnan(value[1]) and np.isnan(slopes[1]).all()


def test_infinite_eta():
    eta, out = np.array([np.inf, -np.inf]), np.empty(2)
    predict.sigmoid(eta, one_chunk(2), out)
    np.testing.assert_array_equal(out, [1.0, 0.0])
    predict.log1pexp(eta, one_chunk(2), out)
    np.testing.assert_array_equal(out, [np.inf, 0.0])
    with np.errstate(invalid="ignore"):  # without the JIT numpy remarks on 0 * inf, which is not used
        value, first, second = binary_rows(np.repeat(eta, 2), np.array([1.0, 0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(value, [0.0, np.inf, np.inf, 0.0])
    np.testing.assert_array_equal(first, [0.0, 1.0, -1.0, 0.0])
    np.testing.assert_array_equal(second, 0.0)


def test_minus_infinity_is_a_class_that_cannot_be():
    eta = np.array([[-np.inf, 0.5, 1.5]])
    probability, total = np.empty_like(eta), np.empty(1)
    with np.errstate(invalid="ignore"):  # without the JIT numpy remarks on -inf - -inf
        predict.softmax(eta, softmax_room(eta), one_chunk(1), probability)
        predict.logsumexp(eta, one_chunk(1), total)
    assert probability[0, 0] == 0.0
    np.testing.assert_allclose(probability[0, 1:], [1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-15)
    np.testing.assert_allclose(total, np.logaddexp(0.5, 1.5), rtol=1e-15)


@pytest.mark.parametrize("smallest", [0.0, 3.0, 30.0, 600.0])
def test_sum_of_many_losses_has_the_digits_of_each(smallest):
    eta = -np.random.default_rng(0).uniform(smallest, smallest + 4.0, FEW + 700)
    value = np.zeros((1, 2))
    y = np.zeros(eta.size)
    (work,) = workspaces(1, ((3, 1024),))
    binary.value_gradient(np.empty((eta.size, 0)), y, NONE, eta, np.zeros(1), work, one_chunk(eta.size), value)
    assert_accurate(value[0, 0], [mpmath.fsum(map(exact_log1pexp, eta))], tolerance=4e-15)
    ours = alone(binary.total_loss)(np.exp(eta), y, NONE, 0)  # blocks of more rows than one product has factors
    assert_accurate(ours, [mpmath.fsum(map(exact_log1pexp, eta))], tolerance=4e-15)


# --- vector loops -----------------------------------------------------------------------------------------------

LIBM = r"(?:exp|exp2|expm1|log|log1p|log2|pow|tanh)f?\b"
LIBM_IN_IR = re.compile(r"call[^\n]*@(?:llvm\.)?" + LIBM)
LIBM_IN_ASSEMBLY = re.compile(r"\b(?:call\w*|jmp\w*|bl|movabs\w*|adrp)\b[^\n]*\b" + LIBM)
# Only exp shifts an exponent into place, and only log1p and the reciprocal divide.
VECTOR_SHIFT = re.compile(r"shl[^\n]*<\d+ x i64>")
VECTOR_DIVISION = re.compile(r"fdiv[^\n]*<\d+ x double>")

float_row = numba.types.Array(numba.float64, 1, "C")
float_rows = numba.types.Array(numba.float64, 2, "C")


@pytest.mark.skipif(not COMPILED, reason="there is no machine code without the JIT")
@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (binary.set_loss_slope, (float_row,) * 4),
        (binary.set_slope, (float_row,) * 4),
        (binary.set_curvature, (float_row,) * 3),
        (multinomial.set_softmax, (float_rows, float_rows, float_row, float_row, float_row)),
    ],
    ids=["loss and slope", "slope", "curvature", "softmax"],
)
def test_hot_loop_is_a_vector_loop(function, signature):
    compiled = alone(function)
    compiled.compile(signature)
    (ir,), (assembly,) = compiled.inspect_llvm().values(), compiled.inspect_asm().values()
    assert VECTOR_SHIFT.search(ir) and VECTOR_DIVISION.search(ir)
    assert not LIBM_IN_IR.search(ir)
    assert not LIBM_IN_ASSEMBLY.search(assembly)


@pytest.mark.skipif(not COMPILED, reason="there is no machine code without the JIT")
def test_the_search_for_libm_calls_finds_one():
    @numba.njit
    def scalar(x):
        for i in range(x.size):
            x[i] = np.log1p(np.exp(x[i]))

    scalar.compile((float_row,))
    (ir,), (assembly,) = scalar.inspect_llvm().values(), scalar.inspect_asm().values()
    assert LIBM_IN_IR.search(ir) and LIBM_IN_ASSEMBLY.search(assembly)


def test_kernels_are_entered_through_drivers_only():
    """What the tests call is what the package calls: entry points with a cache of their own."""
    for entry in (binary.value_gradient, multinomial.value_gradient, predict.sigmoid):
        assert isinstance(entry, Driver)
    assert not isinstance(pointwise.sigmoid, Driver)
