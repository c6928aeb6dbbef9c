"""Sparse models against their rivals: `python -m bench.sparse` prints the table and writes bench/sparse.md.

Each row is one workload: single fits with an L1 or elastic-net penalty on the mean loss,

    f(coef) = mean loss + alpha [l1_ratio ‖w‖₁ + ½ (1 - l1_ratio) ‖w‖²],   intercept (last) not penalised,

each library with its fastest tolerance that comes within a relative 1e-7 of the best objective known, which is computed
here; the default of fastlogreg is 1e-8. Fits take turns, on fresh copies, warmed; medians count. A rival that is not
installed, refuses, fails or runs over the budget is a named line, and so is one that takes several times what another
needed: it is not the best of them. glmnet and adelie run, and are timed, in processes of their own. `--only NAME` (a
prefix) measures less and writes those rows of the file alone.
"""

import argparse
import gc
import importlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse
from rich.console import Console

from bench import data, machine, outside, rivals
from bench.claims import Row, markdown, shown, updated, words
from fastlogreg import LogisticRegression

HERE = Path(__file__).parent
TARGET = 1e-7


# ---------------------------------------------------------------------------------------------------- adapters


def _coef(estimator):
    w = np.atleast_2d(estimator.coef_)
    coef = np.column_stack([w, np.broadcast_to(np.ravel(estimator.intercept_), len(w))]).astype(np.float64)
    return coef[0] if len(coef) == 1 else coef


def _ours(X, y, alpha, l1_ratio, tol, max_iter):
    return LogisticRegression(alpha=alpha, l1_ratio=l1_ratio, tol=tol).fit(X, y)


def _by_columns(X):
    """The layout that libraries of coordinate descent ask for; timed, because the data arrive by rows."""
    return scipy.sparse.csc_matrix(X) if scipy.sparse.issparse(X) else np.asfortranarray(X)


def _skglm(solver, **options):
    def fit(X, y, alpha, l1_ratio, tol, max_iter):
        import skglm.solvers
        from skglm.datafits import Logistic
        from skglm.penalties import L1, L1_plus_L2

        penalty = L1(alpha) if l1_ratio == 1.0 else L1_plus_L2(alpha, l1_ratio)
        chosen = getattr(skglm.solvers, solver)(tol=tol, fit_intercept=True, max_iter=max_iter, **options)
        return skglm.GeneralizedLinearEstimator(Logistic(), penalty, chosen).fit(_by_columns(X), 2.0 * y - 1.0)

    return fit


def _glum(X, y, alpha, l1_ratio, tol, max_iter):
    import glum

    X = X.tocsc() if scipy.sparse.issparse(X) else X
    model = glum.GeneralizedLinearRegressor(
        family="binomial", alpha=alpha, l1_ratio=l1_ratio, gradient_tol=tol, max_iter=max_iter
    )
    return model.fit(X, y.astype(X.dtype))


def _sklearn(solver):
    def fit(X, y, alpha, l1_ratio, tol, max_iter):
        from sklearn.linear_model import LogisticRegression as Sklearn

        options = {"random_state": 0, "max_iter": max_iter}
        if solver == "liblinear":
            options["intercept_scaling"] = 1000.0 if X.shape[0] < 10_000 else 100.0  # as in rivals.py
        return Sklearn(C=1.0 / (alpha * X.shape[0]), l1_ratio=l1_ratio, tol=tol, solver=solver, **options).fit(X, y)

    return fit


@dataclass(frozen=True)
class _Found:
    """What a rival found in a process of its own, and the seconds it took there."""

    coef_: np.ndarray
    intercept_: np.ndarray
    seconds: float


def _found(run, steps, X, y, alpha):
    """Run on a file, along `steps` strengths of which the last is alpha."""
    with tempfile.TemporaryDirectory() as folder:
        file = outside.write(folder, X, y, alpha * np.geomspace(10.0 if steps > 1 else 1.0, 1.0, steps))
        seconds, coefs = run(file)
    coef = coefs.reshape(steps, -1, X.shape[1] + 1)[-1]
    return _Found(coef[:, :-1], coef[:, -1], seconds)


def _glmnet(steps):
    def fit(X, y, alpha, l1_ratio, tol, max_iter):
        return _found(lambda file: outside.glmnet(outside.PATH, file, l1_ratio, tol, "Newton"), steps, X, y, alpha)

    return fit


def _adelie(X, y, alpha, l1_ratio, tol, max_iter):
    return _found(lambda file: outside.adelie(file, l1_ratio, tol, 2), 1, X, y, alpha)


@dataclass(frozen=True)
class Rival:
    """A library's solver: its name, what to import, and how to fit (X, y, alpha, l1_ratio, tol, max_iter).

    `interruptible`: an alarm can stop a fit; else its iterations are capped by what one of them took. `refuses` says
    why it takes no part. `columns` are the most that it can take. `startup` are the most seconds that it may take
    beside the fit, in a process of its own.
    """

    name: str
    module: str
    fit: Callable | None
    multinomial: bool = False
    several: str = ""  # why it does not take several classes
    elastic_net: bool = True
    interruptible: bool = True
    columns: int = 10**9
    ladder: tuple[float, ...] = tuple(10.0**-k for k in range(2, 10))
    refuses: str = ""
    startup: float = 0.0

    def refusal(self, workload, X, y):
        """Why it does not take the problem, or an empty string."""
        if X.shape[1] > self.columns:
            return "its Hessian of all columns does not fit"
        if y.max() > 1 and not self.multinomial:
            return self.several or "two classes only"
        return self.refuses if workload.l1_ratio == 1.0 or self.elastic_net else "no elastic net"


THRESHES = tuple(10.0**-k for k in range(5, 14))
RIVALS = (
    Rival("glum", "glum", _glum, columns=20_000),
    Rival("skglm ProxNewton", "skglm", _skglm("ProxNewton")),
    Rival("skglm AndersonCD", "skglm", _skglm("AndersonCD")),
    Rival("celer", "celer", None, refuses="no intercept in its LogisticRegression (0.7.4)"),
    Rival("scikit-learn liblinear", "sklearn", _sklearn("liblinear"), elastic_net=False, interruptible=False),
    Rival("scikit-learn saga", "sklearn", _sklearn("saga"), multinomial=True, interruptible=False),
    Rival("glmnet", "bench.outside", _glmnet(1), multinomial=True, ladder=THRESHES, startup=60.0),
    Rival("glmnet, five strengths", "bench.outside", _glmnet(5), multinomial=True, ladder=THRESHES, startup=60.0),
    Rival("adelie", "bench.outside", _adelie, several="classes in groups only", ladder=THRESHES, startup=60.0),
)
OURS = Rival("fastlogreg", "fastlogreg", _ours, True, ladder=tuple(10.0**-k for k in range(3, 10)))
HOPELESS = 3.0  # times the fastest rival that reached the target: not the best of them
MAX_ITER = 10_000


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
    detail: str = ""  # why it is out, or not yet there
    once: float = 0.0  # seconds of a fit of one iteration, where only that can be capped

    def fit(self, workload, X, y, tol, max_iter=MAX_ITER, limit=None):
        """Fit once on fresh copies, and return the seconds."""
        X, y = X.copy(), y.copy()
        gc.collect()
        machine.settle()
        alarm = limit + self.rival.startup if limit is not None and self.rival.interruptible else None
        with warnings.catch_warnings(), rivals.alarm(alarm):
            warnings.simplefilter("ignore")  # a loose tolerance is a rung of the ladder
            start = time.perf_counter()
            model = self.rival.fit(X, y, workload.alpha, workload.l1_ratio, tol, max_iter)
            seconds = getattr(model, "seconds", time.perf_counter() - start)
        self.times.setdefault(tol, []).append(seconds)
        self.objectives[tol] = objective(X, y, _coef(model), workload.alpha, workload.l1_ratio)
        return seconds

    def line_up(self, workload, X, y):
        """Warm it up; why it takes no part, or that it is not there yet, is the detail."""
        self.detail = self.rival.refusal(workload, X, y)
        if self.detail:
            return False
        try:
            importlib.import_module(self.rival.module)
            few = min(1000, len(y))
            self.fit(workload, X[:few], y[:few], self.rival.ladder[0], 5)
            if not self.rival.interruptible:
                self.once = self.fit(workload, X, y, self.rival.ladder[-1], 1)
        except Exception as error:
            self.detail = _words(error)
            return False
        self.times.clear(), self.objectives.clear()
        return True

    def climb(self, workload, X, y, tol, best, fastest):
        """Fit with one more tolerance; return whether to go on with the next.

        A fit that takes HOPELESS times the `fastest` fit of a rival that reached the target ends the ladder, as does
        the end of the budget; a failure is a line.
        """
        limit = min(workload.budget - sum(times[0] for times in self.times.values()), HOPELESS * fastest)
        cap = MAX_ITER if self.once == 0.0 else int(np.clip(limit / self.once, 2, MAX_ITER))
        self.detail = f"not within {limit:.2g} s"
        try:
            seconds = self.fit(workload, X, y, tol, cap, limit)
        except (Exception, rivals.OverTime) as error:
            if not _is_over_time(error):
                self.detail = _words(error)
            return False
        if self.objectives[tol] - best <= TARGET * abs(best):
            self.detail = ""
            return False
        if seconds < limit:
            self.detail = "closest " + format(min(self.objectives.values()) / best - 1.0, ".0e")
        return seconds < limit

    def reached(self, best):
        """The tolerance that reaches the target, or None."""
        return next((t for t, value in self.objectives.items() if value - best <= TARGET * abs(best)), None)


def _is_over_time(error):
    """Whether the alarm rang: numba wraps what interrupts it, several times over."""
    return isinstance(error, rivals.OverTime) or (error.__cause__ is not None and _is_over_time(error.__cause__))


def _words(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def contest(workload, repeats, tell):
    """The row of a workload."""
    X, y = workload.make()
    exact = Entry(OURS)
    exact.fit(workload, X, y, 1e-11)
    best, fastest = exact.objectives[1e-11], np.inf
    entries = [Entry(rival) for rival in (OURS, *RIVALS)]
    climbing = [entry for entry in entries if entry.line_up(workload, X, y)]
    for level in range(max(len(entry.rival.ladder) for entry in entries)):
        for entry in climbing.copy():
            tol = entry.rival.ladder[level]
            tell(f"{workload.name}: {entry.rival.name}, tol {tol:.0e}")
            if not entry.climb(workload, X, y, tol, best, fastest) or tol == entry.rival.ladder[-1]:
                climbing.remove(entry)
            if not entry.detail and entry.rival is not OURS:
                fastest = min(fastest, entry.times[tol][0])
    best = min(best, *(value for entry in entries for value in entry.objectives.values()))
    racing = [(entry, tol) for entry in entries if (tol := entry.reached(best)) is not None]
    racing = [(entry, tol) for entry, tol in racing if entry.times[tol][0] <= HOPELESS * fastest or entry.rival is OURS]
    for turn in range(repeats - 1):
        for entry, tol in racing[turn % len(racing) :] + racing[: turn % len(racing)]:
            entry.fit(workload, X, y, tol)
    seconds = {entry.rival.name: statistics.median(entry.times[tol]) for entry, tol in racing}
    ours = seconds.pop(OURS.name, np.nan)
    others = [f"fastlogreg tol {tol:.0e}" for entry, tol in racing if entry.rival is OURS]
    others += [f"{name} {words(theirs)}" for name, theirs in sorted(seconds.items(), key=lambda item: item[1])]
    others += [f"{entry.rival.name}: {entry.detail}" for entry in entries if entry.detail]
    theirs = min(seconds.values(), default=np.nan)
    ratio = theirs / ours
    met = ratio >= workload.bar
    note = "; ".join(others)
    return Row(workload.name, f"≥ {workload.bar:g}×", f"{ratio:.3g}×", words(ours), words(theirs), met, note)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.sparse", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", help="measure the workloads whose names begin so")
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
    path = HERE / "sparse.md"
    path.write_text(updated(path, rows, "bench.sparse") if arguments.only else markdown(rows, "bench.sparse"))


if __name__ == "__main__":
    main()
