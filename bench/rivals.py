"""The libraries to race against, one adapter each, and a race at equal accuracy of one objective computed here:

    f(coef) = mean loss + ‖w‖² / (2 C n),   intercept (last) not penalised

To add a library: one row of RIVALS, and a fit function of the six arguments that every adapter has.
Class labels are indices 0 … K-1; coef is (p + 1,) for two classes, else (K, p + 1).
"""

import contextlib
import gc
import importlib
import importlib.metadata
import signal
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse
from scipy.special import expit, logsumexp, softmax

from bench import machine

# One colour a library in every plot, from Okabe and Ito's palette for colour-blind readers; a marker a solver.
COLOURS = {
    "fastlogreg": "#D55E00",
    "scikit-learn": "#0072B2",
    "scikit-learn-intelex": "#009E73",
    "glum": "#CC79A7",
    "NumPy": "#E69F00",
    "naive loop": "#555555",
}
DECADES = tuple(10.0**-k for k in range(1, 10))
WIDE_DECADES = tuple(10.0**-k for k in range(-4, 7))  # where tol bounds the gradient of the sum, not of the mean
START_SECONDS = 15.0  # allowed for imports and compilation, on top of the budget


@dataclass(frozen=True)
class Rival:
    """A library's solver: what to import, how to fit, what it handles, how it is drawn.

    `fit_function(X, y, C, tol, max_iter, fit_intercept)` returns a fitted estimator with coef_ and intercept_.
    `interruptible`: Python drives the iterations, so that an alarm can stop a fit; else max_iter is capped instead.
    """

    name: str
    library: str
    module: str
    fit_function: Callable
    marker: str
    multinomial: bool = True
    sparse: bool = True
    unpenalised: bool = True
    interruptible: bool = True
    ladder: tuple[float, ...] = DECADES
    note: str = ""

    @property
    def colour(self):
        return COLOURS[self.library]

    def available(self):
        """(True, version) or (False, why not). Imports the library."""
        try:
            module = importlib.import_module(self.module)
            return True, getattr(module, "__version__", None) or importlib.metadata.version(self.library)
        except Exception as error:  # a broken installation is a line in the report, not the end of it
            return False, f"{type(error).__name__}: {error}"

    def refuses(self, X, y, C):
        """Why this solver does not take the problem, or an empty string."""
        if scipy.sparse.issparse(X) and not self.sparse:
            return "no sparse input"
        if np.isinf(C) and not self.unpenalised:
            return "no unpenalised fit"
        if y.max() > 1 and not self.multinomial:
            return "two classes only"
        return ""

    def fit(self, X, y, C=1.0, tol=1e-6, max_iter=10_000, fit_intercept=True):
        """A fresh fit; coef with the intercept last."""
        fitted = self.fit_function(X, y, C, tol, max_iter, fit_intercept)
        w = np.atleast_2d(fitted.coef_)
        b = np.broadcast_to(np.ravel(fitted.intercept_), len(w))
        coef = np.column_stack([w, b]).astype(np.float64)
        return coef[0] if len(coef) == 1 else coef


def _estimator(module, solver, **fixed):
    """Adapter of every library with scikit-learn's LogisticRegression."""

    def fit(X, y, C, tol, max_iter, fit_intercept):
        cls = importlib.import_module(module).LogisticRegression
        estimator = cls(C=C, tol=tol, max_iter=max_iter, fit_intercept=fit_intercept, solver=solver, **fixed)
        return estimator.fit(X, y)

    return fit


def _liblinear(X, y, C, tol, max_iter, fit_intercept):
    """liblinear's intercept is the weight of a column of s, penalised as b²/(2s²): a large s makes that negligible.

    At n = 569, s = 100 left 6e-6 of the objective and 1000 left 7e-9; at large n, 1000 only slows the solver.
    """
    scaling = 1000.0 if X.shape[0] < 10_000 else 100.0
    fit = _estimator("sklearn.linear_model", "liblinear", intercept_scaling=scaling, random_state=0)
    return fit(X, y, C, tol, max_iter, fit_intercept)


def _glum(X, y, C, tol, max_iter, fit_intercept):
    """glum minimises half the mean deviance, which is the mean loss, + alpha/2 ‖w‖²: alpha = 1 / (C n)."""
    import glum

    if scipy.sparse.issparse(X):
        X = X.tocsc()  # the format its documentation asks for; timed, because the data arrive as CSR
    alpha = 1.0 / (C * X.shape[0])
    estimator = glum.GeneralizedLinearRegressor(
        family="binomial", alpha=alpha, gradient_tol=tol, max_iter=max_iter, fit_intercept=fit_intercept
    )
    return estimator.fit(X, y.astype(X.dtype))


_sklearn, _ours = "sklearn.linear_model", "fastlogreg"
RIVALS = (
    Rival("fastlogreg auto", "fastlogreg", _ours, _estimator(_ours, "auto"), "o"),
    Rival("fastlogreg newton", "fastlogreg", _ours, _estimator(_ours, "newton"), "s"),
    Rival("fastlogreg lbfgs", "fastlogreg", _ours, _estimator(_ours, "lbfgs"), "^"),
    Rival("fastlogreg newton-cg", "fastlogreg", _ours, _estimator(_ours, "newton-cg"), "D"),
    Rival("scikit-learn lbfgs", "scikit-learn", _sklearn, _estimator(_sklearn, "lbfgs"), "^"),
    Rival("scikit-learn newton-cholesky", "scikit-learn", _sklearn, _estimator(_sklearn, "newton-cholesky"), "s"),
    Rival("scikit-learn newton-cg", "scikit-learn", _sklearn, _estimator(_sklearn, "newton-cg"), "D"),
    Rival(
        "scikit-learn liblinear",
        "scikit-learn",
        _sklearn,
        _liblinear,
        "v",
        multinomial=False,
        unpenalised=False,
        interruptible=False,
        note="penalises its intercept; a large intercept_scaling leaves 1e-4 to 1e-6 of that penalty",
    ),
    Rival(
        "scikit-learn sag",
        "scikit-learn",
        _sklearn,
        _estimator(_sklearn, "sag", random_state=0),
        "P",
        interruptible=False,
        note="meant for columns of one scale",
    ),
    Rival(
        "scikit-learn-intelex lbfgs",
        "scikit-learn-intelex",
        "sklearnex.linear_model",
        _estimator("sklearnex.linear_model", "lbfgs"),
        "^",
        sparse=False,
        unpenalised=False,
        ladder=WIDE_DECADES,
        note="sparse and unpenalised fits are scikit-learn's own code there",
    ),
    Rival("glum irls", "glum", "glum", _glum, "X", multinomial=False),
)


# ---------------------------------------------------------------------------------------------------- the objective


def _row_blocks(X, elements=1 << 18):
    step = max(256, elements // X.shape[1])
    return (slice(first, min(first + step, X.shape[0])) for first in range(0, X.shape[0], step))


def _eta(block, coef):
    """Linear predictor in float64 whatever the data's type; (rows,) or (rows, K)."""
    block = block.astype(np.float64, copy=False)
    return block @ coef[..., :-1].T + coef[..., -1]


def objective(X, y, coef, C=1.0):
    """f(coef) above in float64, X dense or CSR of any dtype, by row blocks; C = inf leaves the mean loss."""
    total = 0.0
    for rows in _row_blocks(X):
        eta = _eta(X[rows], coef)
        if coef.ndim == 1:
            total += np.sum(np.logaddexp(0.0, eta) - y[rows] * eta)
        else:
            total += np.sum(logsumexp(eta, axis=1) - eta[np.arange(len(eta)), y[rows]])
    return total / X.shape[0] + np.sum(coef[..., :-1] ** 2) / (2.0 * C * X.shape[0])


def _derivatives(X, y, coef, C, fit_intercept, hessian):
    """Gradient (K, p + 1) and, if asked, Hessian (K(p+1), K(p+1)) of f; K = 1 stands for two classes. By row blocks."""
    n, K, q = X.shape[0], *coef.shape
    gradient, H = np.zeros((K, q)), np.zeros((K, q, K, q)) if hessian else None
    for rows in _row_blocks(X):
        eta = _eta(X[rows], coef)
        p = expit(eta) if K == 1 else softmax(eta, axis=1)
        slope = p - (y[rows, None] if K == 1 else y[rows, None] == np.arange(K))
        if not hessian:
            gradient[:, :-1] += slope.T @ X[rows]
            gradient[:, -1] += fit_intercept * slope.sum(axis=0)
            continue
        block, ones = X[rows].astype(np.float64), np.full((len(p), 1), float(fit_intercept))
        sparse = scipy.sparse.issparse(X)
        A = scipy.sparse.hstack([block, ones], format="csr") if sparse else np.hstack([block, ones])
        gradient += slope.T @ A
        for k in range(K):
            for m in range(k + 1):
                r = (p[:, k] * ((k == m) - p[:, m]))[:, None]
                H[k, :, m] += (A.T @ A.multiply(r)).toarray() if sparse else A.T @ (r * A)
    gradient /= n
    gradient[:, :-1] += coef[:, :-1] / (C * n)
    if not hessian:
        return gradient, None
    for k in range(K):
        H[k, range(q - 1), k, range(q - 1)] += 1.0 / C
        for m in range(k):
            H[m, :, k] = H[k, :, m].T
    return gradient, H.reshape(K * q, K * q) / n


def polish(X, y, coef, C=1.0, fit_intercept=True, max_size=2500):
    """The optimum from `coef`, by code that shares nothing with any rival: (f, coef).

    Damped Newton on the float64 data up to `max_size` coefficients, scipy's L-BFGS-B above.
    """
    shape = coef.shape
    coef = np.atleast_2d(np.array(coef, dtype=np.float64))

    def f(value):
        return objective(X, y, value.reshape(shape), C)

    if coef.size > max_size:

        def gradient(value):
            return _derivatives(X, y, value.reshape(coef.shape), C, fit_intercept, hessian=False)[0].ravel()

        options = {"maxiter": 1000, "maxfun": 1500, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 20}
        best = scipy.optimize.minimize(f, coef.ravel(), jac=gradient, method="L-BFGS-B", options=options)
        return float(best.fun), best.x.reshape(shape)

    value = f(coef)
    for _ in range(50):
        gradient, H = _derivatives(X, y, coef, C, fit_intercept, hessian=True)
        # unit diagonal, so that units do not matter; a trace of ridge, because softmax has a flat direction
        scale = 1.0 / np.sqrt(np.where(H.diagonal() > 0, H.diagonal(), 1.0))
        H = H * scale * scale[:, None] + 1e-11 * np.eye(len(H))
        direction = -(scale * scipy.linalg.solve(H, scale * gradient.ravel(), assume_a="sym")).reshape(coef.shape)
        decrease = -np.vdot(gradient, direction)
        if decrease < 1e-13 * abs(value):  # twice what is left; the search below would be among rounding errors
            break
        step = 1.0
        while step > 1e-6 and not f(coef + step * direction) <= value - 1e-4 * step * decrease:
            step /= 2
        new = f(coef + step * direction)
        if new >= value:
            break
        coef, value = coef + step * direction, new
    return value, coef.reshape(shape)


# --------------------------------------------------------------------------------------------------------- the race


@dataclass
class Rung:
    """One tolerance of one rival: every time taken, and the accuracy reached."""

    tol: float
    times: list[float] = field(default_factory=list)
    objectives: list[float] = field(default_factory=list)
    suboptimality: float = np.nan  # (f - best) / |best|, median; set when the best is known

    @property
    def seconds(self):
        return statistics.median(self.times)


@dataclass
class Entry:
    """A rival in a race; status: reached, not reached, over budget, out (absent, refuses, failed). detail says why."""

    rival: Rival
    status: str = "running"
    detail: str = ""
    version: str = ""
    rungs: list[Rung] = field(default_factory=list)
    seconds: float = np.nan  # fastest median of a rung that reaches the target
    max_iter: int = 0
    iteration_seconds: float = np.nan  # at most, from a fit of two

    def left(self, budget):
        """Seconds of the budget that the first run of each rung has not used."""
        return budget - sum(rung.times[0] for rung in self.rungs)

    def may_climb(self, level, budget):
        """Whether to start the next rung; if it does not fit the budget, say so in status and detail."""
        if self.status != "running" or level >= len(self.rival.ladder):
            return False
        expected = self.rungs[-1].seconds if self.rungs else 0.0
        if len(self.rungs) > 1 and not self.rival.interruptible:
            expected *= max(1.0, expected / self.rungs[-2].seconds)
        if expected > self.left(budget):
            self.status, self.detail = "over budget", f"cut off before tol {self.rival.ladder[level]:.0e}"
        return self.status == "running"


@dataclass
class Race:
    best: float
    target: float
    budget_seconds: float
    entries: list[Entry]

    def rows(self):
        """One tuple an entry, fastest first: name, version, seconds (NaN if not reached), status with detail."""
        ordered = sorted(self.entries, key=lambda e: (np.isnan(e.seconds), e.status == "out", e.seconds))
        return [(e.rival.name, e.version, e.seconds, ": ".join(filter(None, (e.status, e.detail)))) for e in ordered]


def race(
    X,
    y,
    C=1.0,
    rivals=RIVALS,
    target=1e-7,
    budget_seconds=20.0,
    repeats=3,
    fit_intercept=True,
    max_iter=10_000,
    progress=None,
    hopeless=np.inf,
):
    """Time to relative suboptimality `target` for each rival, all in this process, taking turns.

    Every rival first fits two iterations (imports, compilation; not timed), then climbs its ladder of tolerances until
    it is 100 times below the target or `budget_seconds` of its fits are spent: a rung is not started if one as slow as
    the last would not fit, and a running one is stopped by an alarm. (Where the library cannot be interrupted, its
    iterations are capped and the next rung is expected to be as much slower than the last as that was than the one
    before.) Those who reach the target repeat their rungs, `repeats` runs in all, in rotated order; medians count.
    Where only the fastest counts, fits that take `hopeless` times what another library needed to reach the target are
    stopped, ladders end well within the target, and only rungs that reach it are repeated. `progress(text)` is told
    what runs.
    """
    y = np.asarray(y).astype(np.int64)
    # The optimum is known before the race, so that a ladder can end: from ours, by code that shares nothing with it.
    best, best_coef = polish(X, y, RIVALS[0].fit(X, y, C, 1e-11, max_iter, fit_intercept), C, fit_intercept)
    only_fastest = np.isfinite(hopeless)
    first_best, far_enough = best, 0.5 if only_fastest else 0.01  # of the target
    fastest = np.inf  # fit of another library than ours that reached the target
    entries = [_line_up(rival, X, y, C, fit_intercept, budget_seconds, max_iter) for rival in rivals]
    racing = [entry for entry in entries if entry.status == "running"]
    for sweep in range(repeats):
        if sweep == 1:
            racing = [e for e in racing if any(_reaches(rung, best, target) for rung in e.rungs)]
        for level in range(max((len(entry.rival.ladder) for entry in racing), default=0)):
            turn = (sweep + level) % len(racing)
            for entry in racing[turn:] + racing[:turn]:
                if not (entry.may_climb(level, budget_seconds) if sweep == 0 else level < len(entry.rungs)):
                    continue
                if sweep > 0 and only_fastest and not _reaches(entry.rungs[level], best, target):
                    continue
                if progress:
                    progress(f"{entry.rival.name}, tol {entry.rival.ladder[level]:.0e}, run {sweep + 1} of {repeats}")
                limit = entry.left(budget_seconds) if sweep == 0 else 2 * budget_seconds
                limit = min(limit, hopeless * fastest)
                if not entry.rival.interruptible:
                    entry.max_iter = int(min(entry.max_iter, max(2, 2 * limit / entry.iteration_seconds)))
                coef = _run(entry, level, X, y, C, fit_intercept, limit)
                if coef is None:
                    continue
                value = entry.rungs[level].objectives[-1]
                if value < best:
                    best, best_coef = value, coef
                if value - best <= target * abs(best) and entry.rival.library != "fastlogreg":
                    fastest = min(fastest, entry.rungs[level].seconds)
                if sweep == 0 and value - best <= far_enough * target * abs(best):
                    entry.status = "climbed"
    if first_best - best > 0.01 * target * abs(best):
        best = min(best, polish(X, y, best_coef, C, fit_intercept)[0])
    for entry in entries:
        _judge(entry, best, target)
    return Race(float(best), target, budget_seconds, entries)


def _reaches(rung, best, target):
    """Whether the first run of a rung came within the target."""
    return rung.objectives[0] - best <= target * abs(best)


def _line_up(rival, X, y, C, fit_intercept, budget, max_iter):
    """The rival's entry: availability, fitness for the problem, and a warm-up that also prices an iteration."""
    present, version = rival.available()
    if not present:
        return Entry(rival, "out", f"absent, {version}")
    entry = Entry(rival, version=version, max_iter=max_iter)
    reason = rival.refuses(X, y, C)
    if reason:
        entry.status, entry.detail = "out", reason
        return entry
    try:
        seconds, _ = _timed_fit(rival, X, y, C, rival.ladder[0], 2, fit_intercept, budget + START_SECONDS)
    except OverTime:
        entry.status, entry.detail = "over budget", "two iterations exceed it"
    except Exception as error:  # a rival that fails is a line in the report
        entry.status, entry.detail = "out", _words(error)
    else:
        entry.iteration_seconds = seconds
    return entry


def _run(entry, level, X, y, C, fit_intercept, limit):
    """Fit one rung and record time and objective; the coefficients, or None where it did not finish."""
    rival, tol = entry.rival, entry.rival.ladder[level]
    try:
        seconds, coef = _timed_fit(rival, X, y, C, tol, entry.max_iter, fit_intercept, limit)
    except OverTime:
        entry.status, entry.detail = "over budget", f"stopped after {limit:.1f} s in tol {tol:.0e}"
        return None
    except Exception as error:
        entry.status, entry.detail = "stopped", f"at tol {tol:.0e}, {_words(error)}"
        return None
    if level == len(entry.rungs):
        entry.rungs.append(Rung(tol))
    entry.rungs[level].times.append(seconds)
    entry.rungs[level].objectives.append(objective(X, y, coef, C))
    return coef


def _judge(entry, best, target):
    """Suboptimality of every rung, the time that counts, and the final status."""
    for rung in entry.rungs:
        rung.suboptimality = max(0.0, statistics.median(rung.objectives) - best) / abs(best)
    enough = [rung.seconds for rung in entry.rungs if rung.suboptimality <= target]
    if enough:
        entry.seconds, entry.status, entry.detail = min(enough), "reached", ""
    elif entry.status not in ("over budget", "out"):
        closest = min((rung.suboptimality for rung in entry.rungs), default=np.nan)
        entry.status, entry.detail = "not reached", entry.detail or f"closest {closest:.1e}"


def _words(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


class OverTime(BaseException):
    """Not an Exception, so that no library's own error handling swallows it."""


@contextlib.contextmanager
def alarm(seconds):
    """Raise OverTime in the main thread after so many seconds; with None, elsewhere, or without timers, do nothing."""
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(signum, frame):
        raise OverTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _timed_fit(rival, X, y, C, tol, max_iter, fit_intercept, limit):
    """(seconds, coef) of one fit on fresh copies of the data, made outside the timed region; a memory map is itself."""
    if not isinstance(X, np.memmap):
        X = X.copy() if scipy.sparse.issparse(X) else X.copy(order="K")
    y = y.copy()
    gc.collect()
    machine.settle()
    with warnings.catch_warnings(), alarm(limit if rival.interruptible else None):
        warnings.simplefilter("ignore")  # not having converged is what a loose rung is for
        start = time.perf_counter()
        coef = rival.fit(X, y, C, tol, max_iter, fit_intercept)
        return time.perf_counter() - start, coef
