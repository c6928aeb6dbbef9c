"""Sparse models against their rivals: `python -m bench.sparse` prints the table and writes bench/sparse.md.

Each row is one workload: single fits with an L1 or elastic-net penalty on the mean loss,

    f(coef) = mean loss + alpha [l1_ratio ‖w‖₁ + ½ (1 - l1_ratio) ‖w‖²],   intercept (last) not penalised,

fastlogreg with its default tol against each rival's fastest tolerance that comes within a relative 1e-7 of the best
objective known, which is computed here. Fits take turns, on fresh copies, warmed; medians count. A rival that is not
installed, refuses, fails or runs over the budget is a named line. `--only NAME` (a prefix) measures less and writes
nothing.
"""

import argparse
import gc
import importlib
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse
from rich.console import Console

from bench import data, rivals
from bench.speed import Row, markdown, shown, words
from fastlogreg import LogisticRegression

HERE = Path(__file__).parent
TARGET = 1e-7


# ---------------------------------------------------------------------------------------------------- adapters


def _coef(estimator):
    w = np.atleast_2d(estimator.coef_)
    coef = np.column_stack([w, np.broadcast_to(np.ravel(estimator.intercept_), len(w))]).astype(np.float64)
    return coef[0] if len(coef) == 1 else coef


def _ours(X, y, alpha, l1_ratio, tol):
    return LogisticRegression(alpha=alpha, l1_ratio=l1_ratio, tol=tol).fit(X, y)


def _by_columns(X):
    """The layout that libraries of coordinate descent ask for; timed, because the data arrive by rows."""
    return scipy.sparse.csc_matrix(X) if scipy.sparse.issparse(X) else np.asfortranarray(X)


def _skglm(X, y, alpha, l1_ratio, tol):
    import skglm.solvers
    from skglm.datafits import Logistic
    from skglm.penalties import L1, L1_plus_L2

    penalty = L1(alpha) if l1_ratio == 1.0 else L1_plus_L2(alpha, l1_ratio)
    solver = skglm.solvers.ProxNewton(tol=tol, fit_intercept=True, max_iter=200)
    return skglm.GeneralizedLinearEstimator(Logistic(), penalty, solver).fit(_by_columns(X), 2.0 * y - 1.0)


def _celer(X, y, alpha, l1_ratio, tol):
    """celer has no intercept for logistic regression: a column of ones would be penalised, so it is left out."""
    raise ValueError("no intercept in its logistic regression")


def _glum(X, y, alpha, l1_ratio, tol):
    import glum

    X = X.tocsc() if scipy.sparse.issparse(X) else X
    model = glum.GeneralizedLinearRegressor(
        family="binomial", alpha=alpha, l1_ratio=l1_ratio, gradient_tol=tol, max_iter=1000
    )
    return model.fit(X, y.astype(X.dtype))


def _liblinear(X, y, alpha, l1_ratio, tol):
    from sklearn.linear_model import LogisticRegression as Sklearn

    scaling = 1000.0 if X.shape[0] < 10_000 else 100.0  # as in rivals.py: it penalises its intercept
    options = {"solver": "liblinear", "intercept_scaling": scaling, "random_state": 0, "max_iter": 10_000}
    return Sklearn(C=1.0 / (alpha * X.shape[0]), l1_ratio=l1_ratio, tol=tol, **options).fit(X, y)


def _saga(X, y, alpha, l1_ratio, tol):
    from sklearn.linear_model import LogisticRegression as Sklearn

    options = {"solver": "saga", "random_state": 0, "max_iter": 10_000}
    return Sklearn(C=1.0 / (alpha * X.shape[0]), l1_ratio=l1_ratio, tol=tol, **options).fit(X, y)


@dataclass(frozen=True)
class Rival:
    """A library's solver: its name, what to import, and how to fit (X, y, alpha, l1_ratio, tol)."""

    name: str
    module: str
    fit: Callable
    multinomial: bool = False
    ladder: tuple[float, ...] = tuple(10.0**-k for k in range(2, 9))


RIVALS = (
    Rival("skglm ProxNewton", "skglm", _skglm),
    Rival("celer", "celer", _celer),
    Rival("glum", "glum", _glum),
    Rival("scikit-learn liblinear", "sklearn", _liblinear),
    Rival("scikit-learn saga", "sklearn", _saga, multinomial=True),
)
OURS = Rival("fastlogreg", "fastlogreg", _ours, True, (1e-8,))


# --------------------------------------------------------------------------------------------------- workloads


@dataclass(frozen=True)
class Workload:
    """Data by seed, the penalty, and the ratio to reach."""

    name: str
    make: Callable
    alpha: float
    l1_ratio: float
    bar: float
    budget: float = 30.0  # seconds for the ladder of a rival


def _informed(n, p, n_true, seed=0, rho=0.0):
    """Columns of which each is correlated by rho with the one before; n_true of them matter."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    for j in range(1, p) if rho else ():
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1.0 - rho * rho) * X[:, j]
    coef = np.zeros(p)
    coef[rng.choice(p, n_true, replace=False)] = rng.standard_normal(n_true) * (2.0 / np.sqrt(n_true))
    return X, (rng.logistic(size=n) < X @ coef).astype(np.int64)


WORKLOADS = (
    Workload("1e5 × 100, 30 true features, L1", lambda: _informed(100_000, 100, 30), 1e-3, 1.0, 4),
    Workload("2e4 × 1000, elastic net 0.5", lambda: _informed(20_000, 1000, 100), 1e-3, 0.5, 4, 60.0),
    Workload("1000 × 5000, correlated, L1", lambda: _informed(1000, 5000, 50, rho=0.9), 5e-3, 1.0, 1.5),
    Workload("sparse text, 5e4 × 5e4, L1", lambda: data.sparse_text(50_000, 50_000), 1 / 50_000, 1.0, 3),
    Workload("1e4 × 10, L1", lambda: _informed(10_000, 10, 5), 1e-2, 1.0, 1),
    Workload("2e4 × 100, five classes, elastic net 0.5", lambda: data.multinomial(20_000, 100, 5), 2e-3, 0.5, 3),
)


def objective(X, y, coef, alpha, l1_ratio):
    """f above, by code that shares nothing with any of the libraries."""
    w = coef[..., :-1]
    penalty = alpha * (l1_ratio * np.abs(w).sum() + 0.5 * (1.0 - l1_ratio) * np.sum(w * w))
    return rivals.objective(X, y, coef, np.inf) + penalty


@dataclass
class Entry:
    """A rival's fits of a workload: seconds and objective of each tolerance, or why there are none."""

    rival: Rival
    times: dict = field(default_factory=dict)
    objectives: dict = field(default_factory=dict)
    detail: str = ""

    def fit(self, workload, X, y, tol):
        """Fit once on fresh copies, and return the seconds."""
        X, y = X.copy(), y.copy()
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a loose tolerance is a rung of the ladder
            start = time.perf_counter()
            model = self.rival.fit(X, y, workload.alpha, workload.l1_ratio, tol)
            seconds = time.perf_counter() - start
        self.times.setdefault(tol, []).append(seconds)
        self.objectives[tol] = objective(X, y, _coef(model), workload.alpha, workload.l1_ratio)
        return seconds

    def climb(self, workload, X, y, best):
        """Tighten the tolerance until the target is reached or the budget spent; a rival's failure is a line."""
        left = workload.budget
        try:
            importlib.import_module(self.rival.module)
            if y.max() > 1 and not self.rival.multinomial:
                raise ValueError("two classes only")
            self.fit(workload, X[:200], y[:200], self.rival.ladder[0])  # imports and compiles
            self.times.clear(), self.objectives.clear()
            for tol in self.rival.ladder:
                left -= self.fit(workload, X, y, tol)
                if self.objectives[tol] - best <= TARGET * abs(best):
                    return
                if left <= 0.0:
                    self.detail = "over budget"
                    return
            self.detail = "not reached"
        except Exception as error:
            self.detail = f"{type(error).__name__}: {error}".splitlines()[0]

    def reached(self, best):
        """The tolerance that reaches the target, or None."""
        return next((t for t, value in self.objectives.items() if value - best <= TARGET * abs(best)), None)


def contest(workload, repeats, tell):
    """The row of a workload."""
    X, y = workload.make()
    exact = Entry(OURS)
    exact.fit(workload, X, y, 1e-11)
    best = exact.objectives[1e-11]
    entries = [Entry(rival) for rival in (OURS, *RIVALS)]
    for entry in entries:
        tell(f"{workload.name}: {entry.rival.name}")
        entry.climb(workload, X, y, best)
    best = min(best, *(value for entry in entries for value in entry.objectives.values()))
    racing = [(entry, entry.reached(best)) for entry in entries if entry.reached(best) is not None]
    for turn in range(repeats - 1):
        for entry, tol in racing[turn % len(racing) :] + racing[: turn % len(racing)]:
            entry.fit(workload, X, y, tol)
    seconds = {entry.rival.name: statistics.median(entry.times[tol]) for entry, tol in racing}
    note = "; ".join(f"{entry.rival.name}: {entry.detail}" for entry in entries if entry.detail)
    ours = seconds.pop(OURS.name, np.nan)
    name, theirs = min(seconds.items(), key=lambda item: item[1], default=("nobody", np.nan))
    ratio = theirs / ours
    note = "; ".join(filter(None, [name, note]))
    met = ratio >= workload.bar
    return Row(workload.name, f"≥ {workload.bar:g}×", f"{ratio:.3g}×", words(ours), words(theirs), met, note)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.sparse", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", help="measure the workloads whose names begin so; writes no file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    console, rows = Console(stderr=True), []
    for workload in WORKLOADS:
        if arguments.only and not any(map(workload.name.startswith, arguments.only)):
            continue
        row = contest(workload, arguments.repeats, console.print)
        rows.append(row)
        print(f"{row.what}: {row.figure} ({row.bar}), {row.ours} against {row.theirs}; {row.note}", flush=True)
    Console().print(shown(rows))
    if not arguments.only:
        (HERE / "sparse.md").write_text(markdown(rows, "bench.sparse"))


if __name__ == "__main__":
    main()
