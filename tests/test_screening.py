"""Screened paths: certified on all columns whatever was left out, and cheaper than looking at all of them."""

import numpy as np
import pytest
import scipy.sparse

import naive
from fastlogreg import logistic_path, looks, screening
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from problems import drawn

PROBLEM = drawn(120, 300, seed=3)
SEVERAL = drawn(150, 200, 3, seed=3)


def worst_violation(path, problem, l1_ratio):
    """The largest violation of any strength and column, by the twin."""
    n_rows = path.intercepts_.shape[1]
    found = []
    for i, alpha in enumerate(path.alphas_):
        coef = np.column_stack([path.coefs_[i * n_rows : (i + 1) * n_rows].toarray(), path.intercepts_[i]])
        coef = coef[0] if n_rows == 1 else coef
        terms = {"l1": alpha * l1_ratio, "l2": alpha * (1 - l1_ratio)}
        found.append(naive.penalty_violation(problem.X, problem.y, coef, **terms))
    return max(found)


def objectives(path, problem):
    """Mean loss plus L1 of two classes at every strength, by the twin."""
    coefs = np.column_stack([path.coefs_.toarray(), path.intercepts_])
    losses = [naive.objective(problem.X, problem.y, coef) for coef in coefs]
    return np.array(losses) + path.alphas_ * np.abs(coefs[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("problem", [PROBLEM, SEVERAL], ids=["binary", "several"])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_all_columns_meet_their_conditions(problem, l1_ratio):
    path = logistic_path(problem.X, problem.y, l1_ratio=l1_ratio, n_alphas=25)
    assert worst_violation(path, problem, l1_ratio) <= 1e-8 * (1 + 1e-6)
    assert path.violations_.max() <= 1e-8


def test_sparse_columns():
    thin = PROBLEM.X * (np.random.default_rng(0).random(PROBLEM.X.shape) < 0.3)
    options = {"l1_ratio": 1.0, "n_alphas": 15, "alpha_min_ratio": 0.1}
    dense, sparse = (logistic_path(X, PROBLEM.y, **options) for X in (thin, scipy.sparse.csr_array(thin)))
    np.testing.assert_allclose(sparse.coefs_.toarray(), dense.coefs_.toarray(), atol=1e-6)


def test_columns_that_were_left_out_wrongly_are_taken_in(monkeypatch):
    """The rule says that no column can leave zero, so that all are left out that are not in use yet."""
    options = {"l1_ratio": 1.0, "n_alphas": 10, "alpha_min_ratio": 0.05}
    expected = logistic_path(PROBLEM.X, PROBLEM.y, **options)
    monkeypatch.setattr(screening, "_reached", lambda penalty, *_: np.zeros(len(penalty.l1), dtype=bool))
    found = logistic_path(PROBLEM.X, PROBLEM.y, **options)
    assert worst_violation(found, PROBLEM, 1.0) <= 1e-8 * (1 + 1e-6)
    np.testing.assert_allclose(found.coefs_.toarray(), expected.coefs_.toarray(), atol=1e-6)


def test_most_passes_read_few_columns():
    problem = drawn(200, 2000, seed=1)
    path = logistic_path(problem.X, problem.y, l1_ratio=1.0)
    assert path.n_passes_ <= 0.8 * len(path.alphas_) < path.n_iter_.sum()


def test_where_derivatives_point_to_few_columns_are_chosen(monkeypatch):
    """By the strong rule alone they would be many more."""
    problem, chosen = drawn(120, 2000, seed=3), {}
    for name, farthest in (("expected", screening.MOST_AHEAD), ("strong", 0.0)):
        largest = []
        monkeypatch.setattr(screening, "MOST_AHEAD", farthest)
        solve = screening.Screen._solve

        def counted(self, *arguments, largest=largest, solve=solve):
            largest.append(len(self._columns))
            return solve(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(screening.Screen, "_solve", counted)
            path = logistic_path(problem.X, problem.y, l1_ratio=1.0, n_alphas=50, alpha_min_ratio=0.2)
        assert worst_violation(path, problem, 1.0) <= 1e-8 * (1 + 1e-6)
        chosen[name] = max(largest)
    assert chosen["expected"] <= 0.6 * chosen["strong"]


@pytest.mark.parametrize("weighted", [False, True])
def test_derivatives_that_are_not_doubtful_are_within_the_strength(weighted, monkeypatch):
    """Along residuals that change slowly, few of which take a look at all columns."""
    random = np.random.default_rng(0)
    X, y = PROBLEM.X + 3.0, PROBLEM.y.astype(float)
    weight = random.choice([0.0, 0.5, 2.0], len(y)) if weighted else None
    objective = LogisticObjective(as_design(X), y, weight=weight)
    seen, exactly = looks.Looks(objective), []
    l1 = np.full(X.shape[1], 0.3)
    held = np.arange(X.shape[1]) < 5
    direction = random.normal(size=X.shape[1] + 1) * 0.01
    for step in range(30):
        slopes = objective.row_terms(objective.predictors((1.0 + 0.03 * step) * direction)[:, 0])[1]
        before = objective.n_passes
        derivatives, doubtful = seen.at(objective, slopes, l1, held)
        exactly.append(objective.n_passes > before)
        exact = np.abs(X.T @ slopes - objective.coordinates.means * slopes.sum())
        assert (exact[~doubtful & ~held] <= l1[~doubtful & ~held]).all()
        assert np.abs(np.abs(derivatives) - exact).max() <= 0.3
    assert exactly[0] and 1 <= sum(exactly) <= 6


def test_expected_coefficients_do_not_pile_up_errors():
    """At a loose tol whose strengths often end where they begin."""
    options = {"l1_ratio": 1.0, "n_alphas": 400, "alpha_min_ratio": 0.05}
    loose, tight = (logistic_path(PROBLEM.X, PROBLEM.y, tol=tol, **options) for tol in (1e-5, 1e-9))
    unmoved = loose.n_iter_ == 0
    assert unmoved[1:].any()
    assert loose.violations_[unmoved].max() <= screening.UNMOVED * 1e-5
    assert (objectives(loose, PROBLEM) / objectives(tight, PROBLEM) - 1.0).max() <= 1e-6


def test_known_gradients_cost_no_pass():
    path = logistic_path(PROBLEM.X, PROBLEM.y, l1_ratio=1.0, n_alphas=3, alphas=[10.0, 9.0, 8.0])
    assert path.df_.max() == 0
    assert path.n_passes_ <= 2.0 + 3.0


@pytest.mark.parametrize("rounding", [None, 1e-5], ids=["", "coarse"])
def test_columns_outside_are_looked_at_in_float32(rounding, monkeypatch):
    """And those whose derivative is within rounding of the penalty once more, which a coarser one makes many."""
    if rounding is not None:
        monkeypatch.setattr(looks, "ROUNDING", rounding)
    whole_looks = []
    whole = LogisticObjective.value_gradient

    def counted(self, *arguments, **options):
        whole_looks.append(self.design.shape[1] == PROBLEM.X.shape[1])
        return whole(self, *arguments, **options)

    monkeypatch.setattr(LogisticObjective, "value_gradient", counted)
    path = logistic_path(PROBLEM.X, PROBLEM.y, l1_ratio=1.0, n_alphas=25, alpha_min_ratio=0.2)
    assert sum(whole_looks) <= 5
    assert worst_violation(path, PROBLEM, 1.0) <= 1e-8 * (1 + 1e-6)
