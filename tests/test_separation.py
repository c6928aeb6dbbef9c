"""Data without a finite optimum: that it is found, always and only there, what is said of it, and how the fit ends."""

import warnings

import numpy as np
import pandas
import pytest
import scipy.sparse
from scipy.optimize import linprog

from fastlogreg import ConvergenceWarning, LogisticRegression, SeparationWarning, solvers
from fastlogreg.result import Status

each_solver = pytest.mark.parametrize("solver", solvers.SOLVERS)


# --- an oracle --------------------------------------------------------------------------------------------------


def conditions(X, y, weight=None, fit_intercept=True):
    """Rows of the cone of directions of recession: x_i (d_{y_i} - d_k) >= 0 for the classes k; class 0 has d = 0."""
    if weight is not None:
        X, y = X[weight > 0], y[weight > 0]
    X = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    n_classes, p = y.max() + 1, X.shape[1]
    rows = []
    for x, own in zip(X, y, strict=True):
        for k in set(range(n_classes)) - {own}:
            row = np.zeros((n_classes, p))
            row[own] += x
            row[k] -= x
            rows.append(row[1:].ravel())
    return np.array(rows)


def separated(A):
    """Whether A d >= 0, A d != 0 has a solution: max Σ t, 0 <= t <= 1, t <= A d (Konis, 2007)."""
    m, n = A.shape
    found = linprog(
        np.append(np.zeros(n), -np.ones(m)),
        A_ub=np.hstack([-A, np.eye(m)]),
        b_ub=np.zeros(m),
        bounds=[(None, None)] * n + [(0, 1)] * m,
        method="highs",
    )
    assert found.status == 0
    assert min(-found.fun, 1 - min(1, -found.fun)) < 1e-6  # it is zero or at least one: no doubt
    return -found.fun > 0.5


def in_support(A, columns):
    """Whether one of the columns of A is other than zero in some d with A d >= 0, Σ A d = 1."""
    for column in columns:
        for sign in (-1.0, 1.0):
            objective = np.zeros(A.shape[1])
            objective[column] = sign
            total = A.sum(axis=0)
            found = linprog(
                objective, -A, np.zeros(len(A)), total[None], [1.0], bounds=[(-1e3, 1e3)] * A.shape[1], method="highs"
            )
            if found.status == 0 and found.fun < -1e-7:
                return True
    return False


def small_problem(seed):
    """A random problem of up to 40 rows; quasi-complete separation is common among them."""
    rng = np.random.default_rng([7, seed])
    n, p = int(rng.integers(4, 41)), int(rng.integers(1, 6))
    n_classes = 2 if seed % 5 < 3 else int(rng.integers(3, 5))
    kind = rng.integers(6)
    if kind == 0:
        X = rng.normal(size=(n, p))
    elif kind == 1:
        X = rng.integers(-1, 2, size=(n, p)).astype(float)
    elif kind == 2:  # dummies
        X = (rng.random((n, p)) < rng.choice([0.1, 0.3])).astype(float)
    elif kind == 3:  # a category and a number
        X = np.column_stack([np.eye(p)[rng.integers(0, p, n)], rng.normal(size=n)])
    elif kind == 4:  # columns that depend on each other
        X = rng.integers(0, 3, size=(n, p)).astype(float)
        X = np.column_stack([X, X.sum(axis=1), X[:, 0], np.ones(n)])
    else:  # a few rows, many times
        X = rng.normal(size=(4, p))[rng.integers(0, 4, n)]
    eta = rng.choice([0.3, 1.0, 3.0]) * X @ rng.normal(size=(X.shape[1], n_classes))
    y = (eta + rng.gumbel(size=(n, n_classes)) * rng.choice([0.0, 0.2, 1.0, 3.0])).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)  # all are there
    scale = rng.choice([1.0, 1.0, 1e6, 1e-6], size=X.shape[1])
    X = X * scale
    weight = None
    if rng.random() < 0.4:
        weight = rng.choice([0.0, 0.5, 1.0, 20.0], size=n)
        weight[:n_classes] = 1.0
    fit_intercept = bool(rng.random() < 0.7)
    offset = rng.normal(size=n if n_classes == 2 else (n, n_classes)) if rng.random() < 0.3 else None
    options = {"fit_intercept": fit_intercept, "solver": list(solvers.SOLVERS)[seed % 3]}
    if rng.random() < 0.25:
        options["tol"] = 1e-4
    return X, y, weight, offset, options, scale


def fit(X, y, weight=None, offset=None, **options):
    """Fit without a penalty; return the model and the messages of SeparationWarning. Other warnings are errors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", SeparationWarning)
        if "max_iter" in options:
            warnings.filterwarnings("ignore", ".*max_iter", ConvergenceWarning)
        model = LogisticRegression(C=np.inf, **options).fit(X, y, sample_weight=weight, offset=offset)
    return model, [str(warning.message) for warning in caught]


def assert_recession(model, A, n_features, fit_intercept, scale):
    """The direction is a proof."""
    direction = np.atleast_2d(model.result_.recession)
    if len(direction) > 1:
        direction = direction - direction[0]
        direction = direction[1:]
    assert fit_intercept or not direction[:, -1].any()
    direction[:, :-1] *= scale
    direction = direction[:, : n_features + fit_intercept].ravel()
    margins = A @ direction / np.abs(A).max(axis=1).clip(1e-300) / np.abs(direction).max()
    assert margins.min() > -1e-7 and margins.max() > 1e-6
    return direction


def assert_agrees(seed):
    X, y, weight, offset, options, scale = small_problem(seed)
    fit_intercept = options["fit_intercept"]
    A = conditions(X / scale, y, weight, fit_intercept)
    expected = separated(A)
    storage = [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array][seed // 3 % 3]
    model, messages = fit(storage(X), y, weight, offset, **options)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    assert (model.result_.status is Status.SEPARATED) == (len(messages) == 1) == expected, (seed, expected)
    assert (model.result_.recession is not None) == expected
    if expected:
        assert_recession(model, A, X.shape[1], fit_intercept, scale)
        named = [int(j) for j in messages[0].partition("column(s) ")[2].partition(".")[0].split(",") if j]
        size = X.shape[1] + fit_intercept
        for j in named:
            assert in_support(A, range(j, A.shape[1], size)), (seed, j)
    return expected


def test_agrees_with_the_oracle():
    found = [assert_agrees(seed) for seed in range(400)]
    assert 150 < sum(found) < 300


@pytest.mark.long
def test_agrees_with_the_oracle_long():
    found = [assert_agrees(seed) for seed in range(400, 5400)]
    assert 2000 < sum(found) < 4000


# --- one by one -------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 6))
Y = (X @ RNG.normal(size=6) + RNG.logistic(size=500) > 0).astype(int)
Y3 = np.digitize(X[:, 0] + RNG.logistic(size=500), [-0.5, 0.5])


def dummy(y, n_rows=4, value=1):
    """A column that is one in a few rows of a class only."""
    column = np.zeros(len(y))
    column[np.flatnonzero(y == value)[:n_rows]] = 1.0
    return column


STORAGE = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": scipy.sparse.csr_array}


@each_solver
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("y", [Y, Y3], ids=["two classes", "three classes"])
def test_dummy_is_named(y, storage, solver):
    Z = np.column_stack([X, dummy(y)])
    model, messages = fit(STORAGE[storage](Z), y, solver=solver)
    assert len(messages) == 1 and "in some of the rows, chiefly by column(s) 6. " in messages[0]
    assert model.result_.status is Status.SEPARATED and not model.result_.converged
    assert np.isfinite(model.coef_).all() and np.abs(model.coef_).max() < 100
    assert model.result_.n_iter <= 100


def test_classes_are_named():
    Z = np.column_stack([X, dummy(Y)])
    assert "The classes 0 and 1 are separated in some of the rows, " in fit(Z, Y)[1][0]
    words = np.where(X[:, 0] > 0, "yes", "no")
    assert "The classes 'no' and 'yes' are separated without error, " in fit(Z, words)[1][0]
    every = np.digitize(X[:, 0], [-0.5, 0.5])
    assert "The classes 0, 1 and 2 are separated without error, " in fit(Z, every)[1][0]


def test_only_the_classes_told_apart_are_named():
    labels = np.array(["a", "b", "c"])[np.where(X[:, 0] > 0.5, 2, Y)]  # a and b overlap
    assert "The classes 'a' and 'c'; 'b' and 'c' are separated in some of the rows, " in fit(X, labels)[1][0]
    many = np.where(X[:, 0] > 0.5, 12, np.arange(500) % 12)
    assert "The classes 0 and 12; 1 and 12; " in (message := fit(X, many)[1][0])
    assert "; 9 and 12; and 2 more pairs are separated" in message


def test_two_dummies_are_both_named():
    frame = pandas.DataFrame(X, columns=list("abcdef")).assign(few=dummy(Y, 3), none=dummy(Y, 20, value=0))
    _, (message,) = fit(frame, Y)
    assert "column(s) 'few', 'none'. " in message


def test_no_more_than_the_dummy_is_named_where_columns_depend_on_each_other():
    levels = np.eye(4)[np.arange(500) % 4]
    Z = np.column_stack([X, X[:, 0], levels, dummy(Y)])
    model, (message,) = fit(Z, Y)
    assert "column(s) 11. " in message
    assert set(model.result_.dependent) == {0, 6, 7, 8, 9, 10}


@each_solver
def test_loose_tolerance_hides_nothing(solver):
    for tol, max_iter in ((1e-2, 1000), (1e-4, 1000), (1e-8, 3)):
        _, messages = fit(np.column_stack([X, dummy(Y, 1)]), Y, solver=solver, tol=tol, max_iter=max_iter)
        assert len(messages) == 1 and "column(s) 6. " in messages[0]
        assert fit(X, Y, solver=solver, tol=tol)[1] == []


@each_solver
@pytest.mark.parametrize("y", [Y[:40], Y3[:40]], ids=["two classes", "three classes"])
def test_no_rounding_moves_the_rows_that_a_dummy_leaves_alone(y, solver):
    """An intercept of 10⁻¹⁶ in the proof would make half of them a little worse for ever."""
    rng = np.random.default_rng(0)
    for weight in (None, *10.0 ** rng.uniform(-12, 12, (10, 40))):
        model, _ = fit(dummy(y, 1)[:, None], y, weight, solver=solver)
        recession = np.atleast_2d(model.result_.recession)
        assert (recession[:, -1] == recession[0, -1]).all() and recession[:, 0].any()


def test_rows_without_weight_do_not_exist():
    Z = np.column_stack([X, dummy(Y)])
    Z, y = np.vstack([Z, Z[:50]]), np.append(Y, 1 - Y[:50])  # the last rows contradict the dummy
    weight = np.append(np.ones(500), np.zeros(50))
    assert fit(Z, y)[1] == []
    assert "column(s) 6. " in fit(Z, y, weight)[1][0]
    weight = np.append(np.ones(500), np.full(50, 1e-6))
    assert fit(Z, y, weight)[1] == []


def test_class_without_weight_separates_by_the_intercept():
    model, (message,) = fit(X, Y3, class_weight={0: 1.0, 1: 1.0, 2: 0.0})
    assert "by the intercept" in message
    assert np.isfinite(model.intercept_).all()


def test_offset_plays_no_part():
    offset = 3.0 * RNG.normal(size=500)
    assert fit(X, Y, offset=offset)[1] == []
    assert "column(s) 6. " in fit(np.column_stack([X, dummy(Y)]), Y, offset=offset)[1][0]


def test_far_from_centred_column_is_named():
    Z = X.copy()
    Z[:, 2] = 1e5 + dummy(Y)
    assert "column(s) 2. " in fit(Z, Y)[1][0]


def test_column_in_the_smallest_units_is_named():
    """By a direction whose entries are finite, though a step of one is one of 10³¹⁰ in that column."""
    Z = np.column_stack([X, 1e-310 * dummy(Y)])
    model, (message,) = fit(Z, Y, max_iter=0)
    assert "column(s) 6. " in message
    assert np.isfinite(model.result_.recession).all() and model.result_.recession[6] != 0.0


def test_a_row_of_small_entries_keeps_the_optimum_finite():
    """10¹¹ times smaller than those of another row, they look like rounding next to them."""
    assert fit(np.array([[-1e6], [-4e-5], [-3e-6]]), np.array([0, 1, 1]), fit_intercept=False)[1] == []


def test_direction_is_no_detour_of_columns_that_depend_on_each_other():
    """Without a penalty and at tol=0 a solver may end at 10¹³ in columns whose terms balance in all rows that count."""
    Z = np.array([[-1, 1], [-2, 1], [-2, 2], [1, -2], [-1, 1], [0, -2], [0, -2], [-1, 2.0]])
    y = np.array([0, 1, 0, 0, 0, 0, 0, 1])
    stored = scipy.sparse.csr_array(Z)
    model, _ = fit(stored, y, solver="newton-cg", tol=0.0, class_weight={0: 0.0, 1: 0.5})
    recession = model.result_.recession
    assert (Z[y == 1] @ recession[:-1] + recession[-1] > 0.01 * np.abs(recession).max()).all()


def test_penalty_is_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression(C=1e6).fit(np.column_stack([X, dummy(Y)]), Y)
    assert model.result_.converged and model.result_.recession is None


def test_optimum_is_proved_at_no_cost():
    """After newton: no pass more than the solver itself took."""
    model, messages = fit(X, Y)
    assert messages == [] and model.result_.n_passes == model.result_.history[-1, 2]


@each_solver
@pytest.mark.parametrize("shape", [(60, 50), (40, 200), (190, 100)])
def test_few_rows(shape, solver):
    rng = np.random.default_rng(1)
    Z, y = rng.normal(size=shape), rng.integers(0, 2, shape[0])
    model, messages = fit(Z, y, solver=solver)
    assert np.isfinite(model.coef_).all()
    assert len(messages) == separated(conditions(Z, y))


@each_solver
def test_sparse_categories(solver):
    rng = np.random.default_rng(2)
    codes = rng.zipf(1.5, size=(1500, 3)) % 50
    Z = scipy.sparse.hstack([scipy.sparse.csr_array(np.eye(50)[c]) for c in codes.T], format="csr")
    model, messages = fit(Z, rng.integers(0, 2, 1500), solver=solver)
    assert len(messages) == 1 and np.isfinite(model.coef_).all()
    direction = model.result_.recession
    margins = Z @ direction[:-1] + direction[-1]
    margins = np.where(model.predict(Z) == 1, margins, -margins)
    assert margins.max() > 0.0


# --- other advice -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", solvers.SOLVERS)
def test_dependent_columns_are_listed_in_silence(solver):
    Z = np.column_stack([X, X[:, 1] + X[:, 4], np.full(500, 3.0), np.zeros(500)])
    model, messages = fit(Z, Y, solver=solver)
    assert messages == [] and model.result_.converged
    np.testing.assert_array_equal(model.result_.dependent, [1, 4, 6, 7, 8])
    assert fit(X, Y, solver=solver)[0].result_.dependent.size == 0


@each_solver
def test_warning_says_how_far_and_one_fix(solver):
    with pytest.warns(ConvergenceWarning, match=r"violation is .*, tol is .*objective about .* too high. [^.]*\.$"):
        LogisticRegression(solver=solver, max_iter=2).fit(X, Y)


def test_slow_solver_is_referred_to_newton():
    Z = X @ np.vander(np.linspace(1, 2, 6)) + 1e-3 * X
    with pytest.warns(ConvergenceWarning, match="Use solver='newton'"):
        LogisticRegression(C=np.inf, solver="lbfgs", max_iter=100, tol=1e-12).fit(Z, Y)


@each_solver
def test_tolerance_below_rounding_is_no_news(solver):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression(solver=solver, tol=0.0).fit(X, Y)
    assert model.result_.converged and model.result_.violation < 1e-7
