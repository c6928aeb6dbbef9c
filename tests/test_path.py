"""Paths: each strength is the single fit's optimum, by its own certificate; the grid; where a path ends."""

import inspect

import numpy as np
import pytest
import scipy.sparse
from sklearn.utils.estimator_checks import check_estimator

import naive
from fastlogreg import ConvergenceWarning, LogisticRegression, LogisticRegressionPath, logistic_path
from fastlogreg.objective import LogisticObjective
from fastlogreg.path import follow, follow_folds
from fastlogreg.problem import bind
from fastlogreg.solvers import SOLVERS
from fastlogreg.solvers.curvature import Memory
from problems import BINARY, SEVERAL, drawn, with_rows

X, Y = BINARY.X, BINARY.y.astype(int)
X3, Y3 = SEVERAL.X, SEVERAL.y

each_data = pytest.mark.parametrize(("X", "y"), [(X, Y), (X3, Y3)], ids=["binary", "several"])
each_ratio = pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])


def coefficients(model, i):
    """Coefficients at strength i as the naive twin takes them."""
    n_rows = model.intercepts_.shape[1]
    coef = np.column_stack([model.coefs_[i * n_rows : (i + 1) * n_rows].toarray(), model.intercepts_[i]])
    return coef[0] if n_rows == 1 else coef


def violation(X, y, coef, alpha, l1_ratio, **terms):
    """KKT violation of the elastic net in centred columns, each divided by its scale."""
    l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
    slopes = naive.gradient(X, y, coef, l2=l2, **terms)
    centre = naive.means(X, terms.get("weight")) * slopes[..., -1:]
    slopes[..., :-1] -= centre
    at_zero = np.maximum(np.abs(slopes[..., :-1]) - l1, 0.0)
    elsewhere = np.abs(slopes[..., :-1] + l1 * np.sign(coef[..., :-1]))
    slopes[..., :-1] = np.where(coef[..., :-1] == 0.0, at_zero, elsewhere)
    return np.max(np.abs(slopes) / naive.scales(X, terms.get("weight")))


def test_scikit_learn_checks():
    results = check_estimator(LogisticRegressionPath(), on_fail=None, on_skip=None)
    assert len(results) > 50
    assert not [entry for entry in results if entry["status"] in ("failed", "xfail")]
    assert {entry["check_name"] for entry in results if entry["status"] == "skipped"} <= {"check_array_api_input"}


@each_data
@each_ratio
def test_every_strength_is_an_optimum_and_the_single_fit(X, y, l1_ratio):
    path = logistic_path(X, y, l1_ratio=l1_ratio, n_alphas=12)
    target = y.astype(np.float64) if len(path.classes_) == 2 else y
    assert (np.diff(path.alphas_) < 0).all()
    for i, alpha in enumerate(path.alphas_):
        coef = coefficients(path, i)
        assert violation(X, target, coef, alpha, l1_ratio) <= 1e-8 * (1 + 1e-6)
    for i in (1, len(path.alphas_) // 2, len(path.alphas_) - 1):
        single = LogisticRegression(C=path.Cs_[i], l1_ratio=l1_ratio, tol=1e-10).fit(X, y)
        path.select(path.alphas_[i])
        np.testing.assert_allclose(path.coef_, single.coef_, atol=1e-5)
        np.testing.assert_allclose(path.intercept_, single.intercept_, atol=1e-5)
        np.testing.assert_allclose(path.predict_proba(X), single.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_follows_the_same_path(solver):
    found = logistic_path(X, Y, n_alphas=6, solver=solver, tol=1e-10)
    expected = logistic_path(X, Y, n_alphas=6, tol=1e-10)
    np.testing.assert_allclose(found.coefs_.toarray(), expected.coefs_.toarray(), atol=1e-7)


@each_data
def test_weights_and_offset(X, y):
    problem = with_rows(BINARY if len(np.unique(y)) == 2 else SEVERAL)
    path = logistic_path(X, y, sample_weight=problem.weight, offset=problem.offset, l1_ratio=0.7, n_alphas=8)
    target = y.astype(np.float64) if len(path.classes_) == 2 else y
    for i, alpha in enumerate(path.alphas_):
        terms = {"weight": problem.weight, "offset": problem.offset}
        assert violation(X, target, coefficients(path, i), alpha, 0.7, **terms) <= 1e-8 * (1 + 1e-6)
    null = np.zeros(problem.coef_shape)
    null[..., -1] = path.intercepts_[0] if len(path.classes_) > 2 else path.intercepts_[0, 0]
    value = 2 * naive.value_gradient(X, target, null, problem.weight, problem.offset)[0]
    assert path.null_deviance_ == pytest.approx(value, rel=1e-12)


def test_sparse_X_follows_the_same_path():
    rng = np.random.default_rng(0)
    thin = X * (rng.random(X.shape) < 0.5)
    storages = thin, scipy.sparse.csr_array(thin)
    dense, sparse = (logistic_path(storage, Y, l1_ratio=1.0, n_alphas=20) for storage in storages)
    np.testing.assert_allclose(sparse.alphas_, dense.alphas_, rtol=1e-12)
    np.testing.assert_allclose(sparse.coefs_.toarray(), dense.coefs_.toarray(), atol=1e-6)


# --- the grid ---------------------------------------------------------------------------------------------------


@each_data
@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_first_strength_is_the_least_that_makes_all_coefficients_zero(X, y, l1_ratio):
    path = logistic_path(X, y, l1_ratio=l1_ratio)
    assert path.df_[0] == 0 and path.deviance_ratio_[0] == pytest.approx(0.0, abs=1e-12)
    little_less = logistic_path(X, y, l1_ratio=l1_ratio, alphas=[path.alphas_[0] * (1 - 1e-4)])
    assert little_less.df_[0] == 1
    shares = np.bincount(y) / len(y)
    slopes = X.T @ (np.eye(len(shares))[y] - shares) / len(y)
    slopes = slopes[:, 1] if len(shares) == 2 else slopes
    assert path.alphas_[0] == pytest.approx(np.abs(slopes).max() / l1_ratio, rel=1e-11)


@pytest.mark.parametrize(("n", "p", "span"), [(100, 5, 1e-4), (20, 40, 1e-2)])
def test_grid_spans_what_that_of_glmnet_does(n, p, span):
    problem = drawn(n, p)
    path = LogisticRegressionPath(l1_ratio=1.0)
    path.set_params(alphas=None).fit(problem.X, problem.y)
    steps = np.diff(np.log(path.alphas_))
    np.testing.assert_allclose(steps, np.log(span) / 99, rtol=1e-9)
    ridge = logistic_path(problem.X, problem.y, n_alphas=5)
    assert ridge.alphas_[0] == pytest.approx(path.alphas_[0] * 1000)
    assert ridge.alphas_[4] / ridge.alphas_[0] == pytest.approx(span)


def test_columns_without_a_penalty_are_in_the_null_model():
    factors = np.array([0.0, 1.0, 2.0, 1.0, 1.0])
    path = logistic_path(X, Y, l1_ratio=1.0, penalty_factors=factors)
    assert path.df_[0] == 1 and path.coefs_[[0]].toarray()[0, 0] != 0.0
    assert path.deviance_ratio_[0] == pytest.approx(0.0, abs=1e-9)
    assert logistic_path(X, Y, l1_ratio=1.0, penalty_factors=factors, alphas=[path.alphas_[0] * 0.999]).df_[0] == 2


def test_bounds_and_standardize_are_those_of_the_single_fit():
    scaled = X * [1.0, 10.0, 0.1, 1.0, 5.0]
    options = {"l1_ratio": 0.5, "bounds": (0.0, np.inf), "standardize": True}
    path = logistic_path(scaled, Y, n_alphas=10, **options)
    assert path.df_[0] == 0 and (path.coefs_.toarray() >= 0.0).all()
    single = LogisticRegression(C=path.Cs_[5], **options).fit(scaled, Y)
    np.testing.assert_allclose(path.coefs_[[5]].toarray(), single.coef_, atol=1e-6)


# --- where it ends ----------------------------------------------------------------------------------------------


def test_path_ends_where_all_is_explained():
    separable = (X[:, 0] > 0.1).astype(int)
    path = logistic_path(X, separable, l1_ratio=1.0, alpha_min_ratio=1e-8)
    assert 5 <= len(path.alphas_) < 100
    assert path.deviance_ratio_[-1] > 0.999 >= path.deviance_ratio_[-2]


def test_path_ends_where_more_explains_no_more():
    path = logistic_path(X, Y, l1_ratio=1.0, alpha_min_ratio=1e-9)
    gains = np.diff(path.deviance_ratio_) / path.deviance_ratio_[1:]
    assert len(path.alphas_) < 100 and gains[-1] < 1e-5
    assert (gains[3:-1] >= 1e-5).all()
    assert len(logistic_path(X, Y, l1_ratio=1.0, alphas=path.alphas_[0] * np.geomspace(1, 1e-9, 100)).alphas_) == 100


@each_data
def test_deviance_ratio_counts_the_loss(X, y):
    path = logistic_path(X, y, l1_ratio=0.5, n_alphas=6)
    target = y.astype(np.float64) if len(path.classes_) == 2 else y
    for i, ratio in enumerate(path.deviance_ratio_):
        deviance = 2 * naive.value_gradient(X, target, coefficients(path, i))[0]
        assert ratio == pytest.approx(1 - deviance / path.null_deviance_, abs=1e-12)
    assert (np.diff(path.deviance_ratio_) > 0).all()


# --- choosing a strength ----------------------------------------------------------------------------------------


def test_select_interpolates():
    path = logistic_path(X, Y, alphas=[0.1, 1.0, 0.01])
    assert path.alphas_.tolist() == [1.0, 0.1, 0.01] and path.alpha_ == 0.01
    strong, middle = (path.select(alpha).coef_ for alpha in (1.0, 0.1))
    np.testing.assert_allclose(path.select(0.55).coef_, 0.5 * (strong + middle))
    assert path.alpha_ == 0.55
    with pytest.raises(ValueError, match="alpha=2.0 is outside of the path, which goes from 1 to 0.01"):
        path.select(2.0)


def test_a_strength_of_zero_is_no_penalty():
    path = logistic_path(X, Y, alphas=[0.1, 0.0])
    assert np.isinf(path.Cs_[1])
    np.testing.assert_allclose(path.coef_, LogisticRegression(C=np.inf).fit(X, Y).coef_, atol=1e-6)


# --- cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_path_finds_few_hessians_and_takes_few_passes(l1_ratio, monkeypatch):
    hessians = []
    evaluate = LogisticObjective.value_gradient_hessian
    monkeypatch.setattr(
        LogisticObjective, "value_gradient_hessian", lambda *arguments: hessians.append(1) or evaluate(*arguments)
    )
    problem = drawn(3000, 60)
    path = logistic_path(problem.X, problem.y, l1_ratio=l1_ratio, n_alphas=20)
    assert len(path.alphas_) == 20
    assert len(hessians) <= 13  # a fit alone needs one or more
    assert path.n_passes_ <= 6.5 * 20


def test_a_loose_tol_still_moves():
    path = logistic_path(X, Y, alphas=[0.1, 0.09, 0.08], tol=0.1)
    assert path.violations_.max() <= 1e-5


def test_memories_are_kept_only_where_they_are_small(monkeypatch):
    monkeypatch.setattr("fastlogreg.path.HESSIANS_BYTES", 100)
    problem = bind(LogisticRegressionPath(), X, Y)
    options = {"tol": 1e-8, "max_iter": 100, "kept": True}
    points = follow(problem, [0.1, 0.01, 0.001], 0.0, SOLVERS["newton"], **options)
    assert [point.memory.hessian is None for point in points] == [True, True, False]
    monkeypatch.undo()
    points = follow(problem, [0.1, 0.01, 0.001], 0.0, SOLVERS["newton"], **options)
    assert not any(point.memory.hessian is None for point in points)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_memories_that_are_kept_are_not_changed_by_others(l1_ratio):
    """Hessians without a penalty at the optimum, whatever strengths and folds went on from them."""
    problem = bind(LogisticRegressionPath(), X, Y)
    options = {"tol": 1e-8, "max_iter": 100, "kept": True}
    points = follow(problem, [0.1, 0.05], l1_ratio, SOLVERS["prox-newton"], **options)
    before = [point.memory.hessian.inner.copy() for point in points]
    assert points[0].memory.hessian is not points[1].memory.hessian
    follow(problem, [0.08, 0.03], l1_ratio, SOLVERS["prox-newton"], guide=points, **options)
    fold, options = problem.fold(np.arange(len(Y)) % 3 > 0), {"tol": 1e-8, "max_iter": 100}
    follow_folds([fold], [[0.1, 0.05]], l1_ratio, SOLVERS["prox-newton"], guide=points, **options)
    for point, inner in zip(points, before, strict=True):
        np.testing.assert_array_equal(point.memory.hessian.inner, inner)


def test_a_wrong_memory_does_not_change_the_optimum():
    problem = bind(LogisticRegressionPath(), X, Y)
    penalised = problem.penalised(0.01)
    memory = Memory()
    memory.hessian = np.diag([1e6, 1e-6, 1.0, 1e3, 1e-3, 1.0])
    memory.pairs = [(np.ones(6), np.arange(1.0, 7.0))]
    result = SOLVERS["newton"].function(penalised.objective, np.zeros(6), tol=1e-9, max_iter=200, memory=memory)
    assert naive.kkt_violation(X, Y, result.coef, l2=0.01) <= 1e-9 * (1 + 1e-6)


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alphas": [1.0, -0.1]}, r"alphas must not be negative or NaN: alphas\[1\] is -0.1"),
        ({"alphas": []}, "at least one number"),
        ({"alphas": [[1.0]]}, "at least one number"),
        ({"l1_ratio": 1.5}, "l1_ratio"),
        ({"n_alphas": 0}, "n_alphas"),
        ({"alpha_min_ratio": 1.0}, "alpha_min_ratio"),
        ({"solver": "lbfgs", "l1_ratio": 0.5}, "supports only 'l2'"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        logistic_path(X, Y, **parameters)


def test_columns_that_have_nothing_to_do_with_y():
    with pytest.raises(ValueError, match="No column of X is related to y"):
        logistic_path(np.zeros((6, 2)), [0, 1, 0, 1, 0, 1])


def test_too_few_iterations_warn_once():
    with pytest.warns(ConvergenceWarning, match=r"of 4 fits failed to converge.*max_iter") as caught:
        logistic_path(X, Y, alphas=[0.1, 0.01, 0.001, 0.0001], max_iter=1)
    assert len(caught) == 1


def test_progress_bar_goes_to_standard_error(capsys):
    logistic_path(X, Y, n_alphas=3, verbose=1)
    captured = capsys.readouterr()
    assert "3/3" in captured.err and not captured.out


def test_function_takes_what_the_class_does():
    assert "parameters" in inspect.signature(logistic_path).parameters
    with pytest.raises(TypeError, match="nonsense"):
        logistic_path(X, Y, nonsense=1)


def test_columns_that_no_penalty_holds_take_few_steps_for_several_classes():
    """A shift of all their coefficients changes nothing, so that the model is singular along it."""
    random = np.random.default_rng(105)
    X = random.normal(size=(70, 300))
    y = np.argmax(X[:, :3] + random.gumbel(size=(70, 3)), axis=1)
    X += 30.0 * random.normal(size=300)
    factors = np.where(np.arange(300) == 0, 0.0, random.choice([0.2, 1.0, 3.0], 300))
    options = {"penalty_factors": factors, "n_alphas": 8, "alpha_min_ratio": 0.2, "tol": 1e-7}
    path = logistic_path(X, y, l1_ratio=0.5, fit_intercept=False, **options)
    assert path.n_iter_.max() <= 10
    for i, alpha in enumerate(path.alphas_):
        coef = np.column_stack([path.coefs_[3 * i : 3 * i + 3].toarray(), path.intercepts_[i]])
        terms = {"l1": 0.5 * alpha * factors, "l2": 0.5 * alpha * factors, "fit_intercept": False}
        assert naive.penalty_violation(X, y, coef, **terms) <= 1e-7 * (1 + 1e-6)
