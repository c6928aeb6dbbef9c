"""Fits and predictions by shape: the naive loop, vectorised NumPy, fastlogreg, scikit-learn; for `make bench`."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from bench import baselines, data, rivals
from fastlogreg import LogisticRegression
from fastlogreg.solvers import SOLVERS


def _times(benchmark, group, name, call, prepare, rounds):
    """Time call(*prepare()), prepare outside the clock; one round that does not count first."""
    benchmark.group, benchmark.name = group, name
    return benchmark.pedantic(call, setup=lambda: (prepare(), {}), rounds=rounds, warmup_rounds=1)


OPTIMUM = {
    **{f"fastlogreg {name}": (LogisticRegression, {"solver": name, "tol": 1e-8}) for name in SOLVERS},
    **{
        f"scikit-learn {name}": (SklearnLogisticRegression, {"solver": name, "tol": 1e-6, "max_iter": 1000})
        for name in ("newton-cholesky", "newton-cg", "lbfgs")
    },
}
PROBLEMS = {
    "1000 x 10": lambda: data.iid(1000, 10),
    "200000 x 20": lambda: data.iid(200_000, 20),
    "20000 x 50, condition 1e3": lambda: data.correlated(20_000, 50, 1e3),
    "20000 x 20, 5 classes": lambda: data.multinomial(20_000, 20, 5),
}


@pytest.mark.parametrize("name", OPTIMUM)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_optimum(benchmark, problem, name):
    X, y = PROBLEMS[problem]()
    cls, parameters = OPTIMUM[name]
    model = _times(
        benchmark, f"fit, {problem}", name, lambda X, y: cls(**parameters).fit(X, y), lambda: (X.copy(), y.copy()), 3
    )
    coef = np.column_stack([model.coef_, model.intercept_])
    coef = coef[0] if len(coef) == 1 else coef
    value = rivals.objective(X, y, coef)
    benchmark.extra_info["suboptimality"] = value / rivals.polish(X, y, coef)[0] - 1.0
    assert benchmark.extra_info["suboptimality"] < 1e-5


@pytest.mark.parametrize("library", ["loop", "vectorised", "numba", "scikit-learn"])
@pytest.mark.parametrize("n", [1000, 20_000])
def test_predict(benchmark, n, library):
    X, y = data.iid(n, 10)
    model = (SklearnLogisticRegression if library == "scikit-learn" else LogisticRegression)().fit(X, y)
    coef = np.append(model.coef_, model.intercept_)
    calls = {
        "loop": lambda X: baselines.naive_predict(coef, X),
        "vectorised": lambda X: baselines.vectorised_predict(coef, X),
        "numba": model.predict,
        "scikit-learn": model.predict,
    }
    rounds = 3 if library == "loop" else 15
    labels = _times(benchmark, f"predict, {n} x 10", library, calls[library], lambda: (X,), rounds)
    assert np.array_equal(labels, baselines.vectorised_predict(coef, X))
