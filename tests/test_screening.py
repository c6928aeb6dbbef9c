"""Screened paths: certified on all columns whatever was left out, and cheaper than looking at all of them."""

import numpy as np
import pytest
import scipy.sparse

import naive
from fastlogreg import logistic_path, screening
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
    """The rule is told that every derivative is small, so that it leaves out all that is not in use yet."""
    options = {"l1_ratio": 1.0, "n_alphas": 10, "alpha_min_ratio": 0.05}
    expected = logistic_path(PROBLEM.X, PROBLEM.y, **options)
    slopes = screening._slopes
    monkeypatch.setattr(screening, "_slopes", lambda *arguments: 0.01 * slopes(*arguments))
    found = logistic_path(PROBLEM.X, PROBLEM.y, **options)
    assert worst_violation(found, PROBLEM, 1.0) <= 1e-8 * (1 + 1e-6)
    np.testing.assert_allclose(found.coefs_.toarray(), expected.coefs_.toarray(), atol=1e-6)


def test_most_passes_read_few_columns():
    problem = drawn(200, 2000, seed=1)
    path = logistic_path(problem.X, problem.y, l1_ratio=1.0)
    assert path.n_passes_ <= 2.2 * len(path.alphas_) < path.n_iter_.sum()


def test_known_gradients_cost_no_pass():
    path = logistic_path(PROBLEM.X, PROBLEM.y, l1_ratio=1.0, n_alphas=3, alphas=[10.0, 9.0, 8.0])
    assert path.df_.max() == 0
    assert path.n_passes_ <= 2.0 + 3.0


@pytest.mark.parametrize("rounding", [None, 1e-5], ids=["", "coarse"])
def test_columns_outside_are_looked_at_in_float32(rounding, monkeypatch):
    """And those whose derivative is within rounding of the penalty once more, which a coarser one makes many."""
    if rounding is not None:
        monkeypatch.setattr(screening, "ROUNDING", rounding)
    looks = []
    whole = LogisticObjective.value_gradient

    def counted(self, *arguments, **options):
        looks.append(self.design.shape[1] == PROBLEM.X.shape[1])
        return whole(self, *arguments, **options)

    monkeypatch.setattr(LogisticObjective, "value_gradient", counted)
    path = logistic_path(PROBLEM.X, PROBLEM.y, l1_ratio=1.0, n_alphas=25, alpha_min_ratio=0.2)
    assert sum(looks) <= 5
    assert worst_violation(path, PROBLEM, 1.0) <= 1e-8 * (1 + 1e-6)
