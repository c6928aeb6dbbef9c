"""Fits and predictions by shape: the naive loop, vectorised NumPy, fastlogreg, scikit-learn; for `make bench`."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.linear_model import SGDClassifier

from bench import baselines, data, rivals
from fastlogreg import LogisticRegression, SGDLogisticRegression
from fastlogreg.solvers import SOLVERS


def _times(benchmark, group, name, call, prepare, rounds):
    """Time call(*prepare()), prepare outside the clock; one round that does not count first."""
    benchmark.group, benchmark.name = group, name
    return benchmark.pedantic(call, setup=lambda: (prepare(), {}), rounds=rounds, warmup_rounds=1)


DESCENT = {"learning_rate": 0.1, "max_iter": 20, "tol": 0.0}


@pytest.mark.parametrize(
    ("n", "library"),
    [(1000, "loop"), *((n, library) for n in (1000, 100_000) for library in ("vectorised", "numba"))],
)
def test_descent(benchmark, n, library):
    """Article 1's gradient descent with its four histories, twenty iterations of it."""
    problem = data.article1(n)

    def fit(X, y, X_test, y_test):
        model = SGDLogisticRegression(optimizer="gd", alpha=0.0, quadratic_cost=True, **DESCENT)
        model.fit(X, y, X_val=X_test, y_val=y_test)
        return np.append(model.coef_, model.intercept_)

    calls = {
        "loop": lambda *problem: baselines.naive_descent(*problem, **DESCENT).coef,
        "vectorised": lambda *problem: baselines.vectorised_descent(*problem, **DESCENT).coef,
        "numba": fit,
    }
    rounds = 3 if library == "loop" else 15
    group = f"gradient descent with histories, {n} x 2, 20 iterations"
    coef = _times(benchmark, group, library, calls[library], lambda: tuple(a.copy() for a in problem), rounds)
    assert np.allclose(coef, baselines.vectorised_descent(*problem, **DESCENT).coef, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "library"),
    [
        *(((2000, 20, "dense"), library) for library in ("loop", "vectorised", "numba", "scikit-learn")),
        *(((200_000, 20, "dense"), library) for library in ("numba", "scikit-learn")),
        *(((50_000, 20_000, "CSR"), library) for library in ("numba", "scikit-learn")),
    ],
)
def test_sgd_epoch(benchmark, shape, library):
    """One sample an update, reshuffled; the vectorised version has nothing to vectorise but one row."""
    n, p, kind = shape
    X, y = data.iid(n, p) if kind == "dense" else data.sparse_text(n, p, density=30 / p)
    rate = {"learning_rate": 0.01, "alpha": 1e-6}
    ours = SGDLogisticRegression(optimizer="sgd", max_iter=1, tol=0.0, random_state=0, schedule="constant", **rate)
    theirs = SGDClassifier(
        loss="log_loss", learning_rate="constant", eta0=0.01, alpha=1e-6, max_iter=1, tol=None, random_state=0
    )
    order = [np.random.default_rng(0).permutation(n)]
    calls = {
        "loop": lambda X, y: baselines.naive_epochs(X, y, order, **rate),
        "vectorised": lambda X, y: baselines.stochastic_epochs(X, y, order, **rate),
        "numba": ours.fit,
        "scikit-learn": theirs.fit,
    }
    rounds = 3 if library in ("loop", "vectorised") else 7
    _times(benchmark, f"SGD epoch, {n} x {p} {kind}", library, calls[library], lambda: (X.copy(), y.copy()), rounds)


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
    "20000 x 50, condition 1e2": lambda: data.correlated(20_000, 50, 1e2),
    "10000 x 20, 5 classes": lambda: data.multinomial(10_000, 20, 5),
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
