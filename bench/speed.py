"""The speed claims, measured: `python -m bench.speed` prints the table and writes it to bench/speed.md and README.md.

Every row compares in turns, within this one process (or in fresh processes in turns), on fresh copies of the data made
outside the timed region, and counts medians; kernels are compiled before, unless the row says otherwise. `--only NAME`
measures some rows and writes nothing.
"""

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from scipy.special import expit
from sklearn._loss import HalfBinomialLoss
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.linear_model import SGDClassifier
from sklearn.linear_model._linear_loss import LinearModelLoss

from bench import baselines, data, machine, rivals
from bench.claims import Row, count, in_turns, markdown, measure, ratio_row, replace_block, short, shown
from bench.starts import child, cold_start, warm_start
from fastlogreg import LogisticRegression, SGDLogisticRegression
from fastlogreg.design import as_design
from fastlogreg.kernels.predict import loss_slope
from fastlogreg.objective import LogisticObjective

HERE = Path(__file__).parent
BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"


# ------------------------------------------------------------------------------------- gradient descent of the articles

DESCENT = {"learning_rate": 0.1, "max_iter": 10_000, "tol": 1e-3}


def descent():
    """Article 1's run, with its four histories: compiled and public against the naive loop."""
    yield _descent_row(1000, bar=1000, repeats=3)
    yield _descent_row(100_000, bar=3000, repeats=3, loop_iterations=3)


def _descent_row(n, bar, repeats, loop_iterations=None):
    X, y, X_test, y_test = data.article1(n)

    def copies():
        return X.copy(), y.copy(), X_test.copy(), y_test.copy()

    def fit(arguments, **changes):
        X, y, X_test, y_test = arguments
        return _descent_estimator(**(DESCENT | changes)).fit(X, y, X_val=X_test, y_val=y_test)

    def loop(arguments, **changes):
        return baselines.naive_descent(*arguments, **(DESCENT | changes))

    ours = fit(copies())
    few = {} if loop_iterations is None else {"max_iter": loop_iterations, "tol": 0.0}
    theirs = loop(copies(), **few)
    _same_descent(fit(copies(), **few), theirs)
    n_iter = int(ours.n_iter_)
    times = in_turns({"ours": (copies, fit), "loop": (copies, lambda arguments: loop(arguments, **few))}, repeats)
    # of a run of some milliseconds three repeats say little
    times["ours"] += in_turns({"ours": (copies, fit)}, 10)["ours"]
    seconds = statistics.median(times["loop"])
    note = f"{n_iter} iterations"
    if loop_iterations is not None:
        seconds *= n_iter / loop_iterations
        note += f"; the loop's time is extrapolated from {loop_iterations} of them"
    what = f"gradient descent with four histories, n = {count(n)}, vs the naive loop"
    return ratio_row(what, bar, statistics.median(times["ours"]), seconds, note)


def _descent_estimator(**parameters):
    return SGDLogisticRegression(optimizer="gd", alpha=0.0, quadratic_cost=True, **parameters)


def _same_descent(ours, theirs):
    coef = np.append(ours.coef_.ravel(), ours.intercept_)
    if int(ours.n_iter_) != theirs.n_iter or not np.allclose(coef, theirs.coef, rtol=0, atol=1e-9):
        raise AssertionError(f"another trajectory: {ours.n_iter_} against {theirs.n_iter} iterations")


# ------------------------------------------------------------------------------------------------------------- kernels


def link():
    """Loss and slope of a vector on one thread against scipy and NumPy, with their results in place."""
    n = 1_000_000
    rng = np.random.default_rng(0)
    eta = 2.0 * rng.standard_normal(n)
    y = (eta + rng.logistic(size=n) > 0.0).astype(np.float64)
    bounds = np.array([[0, n]])

    def arrays():
        return eta.copy(), y.copy(), np.ones(n), np.ones(n)  # not zeros: their pages do not exist yet

    def ours(arguments):
        eta, y, loss, slope = arguments
        loss_slope(eta, y, bounds, loss, slope)

    def theirs(arguments):
        eta, y, loss, slope = arguments
        np.logaddexp(0.0, eta, out=loss)
        np.subtract(loss, y * eta, out=loss)
        expit(eta, out=slope)
        np.subtract(slope, y, out=slope)

    results = arrays(), arrays()
    ours(results[0])
    theirs(results[1])
    difference = max(np.max(np.abs(a - b)) for a, b in zip(*results, strict=True))
    _require(difference < 1e-14, f"results differ by {difference:.1e}")
    times = in_turns({"ours": (arrays, ours), "theirs": (arrays, theirs)}, 31)
    medians = {name: statistics.median(t) for name, t in times.items()}
    yield ratio_row("loss and slope of 10⁶ η, one thread, vs scipy expit + numpy logaddexp", 6, *medians.values())


def fused():
    """Loss and gradient in one call against scikit-learn's LinearModelLoss, the faster of its one and two threads."""
    for p in (5, 10, 100):
        for order in "CF":
            yield _fused_row(40_000_000 // p, p, order, machine.cores_allowed())


def _fused_row(n, p, order, cores):
    X, y = data.iid(n, p, order=order)
    y = y.astype(np.float64)
    coef = np.linspace(-0.3, 0.3, p + 1)
    model = LinearModelLoss(base_loss=HalfBinomialLoss(), fit_intercept=True)

    def copied():
        return X.copy("K")

    def objective():
        return LogisticObjective(as_design(copied()), y)

    def ours(objective):
        return objective.value_gradient(coef)

    def theirs(threads):
        return lambda X: model.loss_gradient(coef, X, y, n_threads=threads)

    (value, gradient), (other, other_gradient) = ours(objective()), theirs(1)(X)
    agree = np.isclose(value, other, rtol=1e-11) and np.allclose(gradient, other_gradient, atol=1e-11)
    _require(agree, "loss or gradient differ")
    times = in_turns(
        {"ours": (objective, ours), "one": (copied, theirs(1)), "all": (copied, theirs(cores))},
        9,
    )
    one, all_cores = statistics.median(times["one"]), statistics.median(times["all"])
    what = f"loss and gradient, {short(n)} × {p}, {order} order, vs LinearModelLoss"
    note = f"n_threads={1 if one <= all_cores else cores}, the faster"
    return ratio_row(what, 4, statistics.median(times["ours"]), min(one, all_cores), note)


def bandwidth():
    """A fused pass as a fraction of the fastest read of the same array with all cores, round by round."""
    for p in (50, 100, 500):
        for order in "CF":
            yield _bandwidth_row(40_000_000 // p, p, order)


def _bandwidth_row(n, p, order):
    X, y = data.iid(n, p, order=order)
    objective = LogisticObjective(as_design(X), y.astype(np.float64))
    coef = np.linspace(-0.1, 0.1, p + 1)
    read = machine.reader(X)
    objective.value_gradient(coef)
    reads, passes = [], []
    for _ in range(15):
        reads.append(min(_seconds(read) for _ in range(3)))
        passes.append(_seconds(lambda: objective.value_gradient(coef)))
    fraction = statistics.median(r / t for r, t in zip(reads, passes, strict=True))
    what = f"fused pass, {short(n)} × {p}, {order} order, of the best all-core read"
    rates = [f"{X.nbytes / 1e9 / statistics.median(t):.1f} GB/s" for t in (passes, reads)]
    return Row(what, "≥ 75 %", f"{100 * fraction:.0f} %", *rates, fraction >= 0.75)


# ---------------------------------------------------------------------------------------------------------------- fits


def newton(n=400_000, p=100, target=1e-8):
    """Newton's method at equal accuracy: each library with the loosest tol of the ladder that reaches it."""
    X, y = data.iid(n, p)
    classes = {"ours": (LogisticRegression, "newton"), "theirs": (SklearnLogisticRegression, "newton-cholesky")}

    def fit(name, tol, X):
        cls, solver = classes[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cls(solver=solver, tol=tol, max_iter=100).fit(X, y)

    def coef(model):
        return np.append(model.coef_.ravel(), model.intercept_)

    best, _ = rivals.polish(X, y, coef(fit("ours", 1e-10, X)))
    tols, reached = {}, {}
    for name in classes:
        for tol in rivals.DECADES:
            tols[name] = tol
            reached[name] = (rivals.objective(X, y, coef(fit(name, tol, X))) - best) / best
            if reached[name] <= target:
                break
    times = in_turns({name: (X.copy, lambda X, name=name: fit(name, tols[name], X)) for name in classes}, 7)
    note = "; ".join(f"{who} tol {tols[k]:g}, {max(reached[k], 0.0):.0e} above" for k, who in
                     (("ours", "fastlogreg"), ("theirs", "scikit-learn")))  # fmt: skip
    medians = [statistics.median(times[name]) for name in classes]
    ok = all(value <= target for value in reached.values())
    what = f"newton fit, {count(n)} × {p}, vs newton-cholesky"
    yield ratio_row(what, 6, *medians, f"relative to the optimum: {note}", ok)


def sgd():
    """An epoch of one sample an update in shuffled order: same rule, rate and penalty, each with its own shuffles."""
    X, y = data.iid(1_100_000, 20)
    yield _sgd_row(f"{count(1_000_000)} × 20", X, y, n=1_000_000, rate=0.05)
    X, y = data.sparse_text(220_000, 50_000, density=1e-3)
    # Without an intercept, which SGDClassifier moves at a hundredth of the rate where X is sparse.
    shape = f"CSR {count(200_000)} × {count(50_000)}, 50 entries a row"
    yield _sgd_row(shape, X, y, n=200_000, rate=1.0, fit_intercept=False)


def _sgd_row(shape, X, y, n, rate, epochs=5, repeats=5, **parameters):
    """fastlogreg's epoch includes the training loss for the history."""
    parameters |= {"alpha": 1e-6, "power_t": 0.25, "max_iter": epochs}
    makers = {
        "ours": lambda seed: SGDLogisticRegression(
            optimizer="sgd", schedule="inverse-scaling", learning_rate=rate, tol=0.0, random_state=seed, **parameters
        ),
        "theirs": lambda seed: SGDClassifier(
            loss="log_loss", learning_rate="invscaling", eta0=rate, tol=None, random_state=seed, **parameters
        ),
    }
    models = {name: [] for name in makers}

    def fit(name):
        return lambda X: models[name].append(makers[name](len(models[name])).fit(X, y[:n]))

    train, test = X[:n], X[n:]
    contestants = {name: (train.copy, fit(name)) for name in makers}
    in_turns(contestants, 1)
    times = in_turns(contestants, repeats)
    ours, theirs = (statistics.median(times[name]) / epochs for name in makers)
    losses = [
        statistics.median(rivals.objective(test, y[n:], np.append(m.coef_, m.intercept_), np.inf) for m in fitted)
        for fitted in models.values()
    ]
    what = f"SGD epoch, {shape}, batch 1, reshuffled, vs SGDClassifier"
    # medians over seeds: the fourth digit is the luck of the shuffles
    no_worse = losses[0] <= losses[1] * (1 + 1e-3)
    return ratio_row(what, 2, ours, theirs, "held-out loss {:.4f} and {:.4f}".format(*losses), no_worse)


# ----------------------------------------------------------------------------------------------------- fresh processes

PEAK = """
from bench import data
from bench.asv.resident import extra_memory
from fastlogreg import LogisticRegression
small = data.iid(100_000, {p}, order="{order}")
LogisticRegression().fit(*small)
del small
X, y = data.iid({n}, {p}, order="{order}")
print(extra_memory(lambda: LogisticRegression().fit(X, y)))
"""


def memory(n=1_000_000, p=100):
    """Peak resident memory of a fit above what was resident before, in a fresh process with its kernels loaded."""
    bar = 40 * n + 4 * p * p * 8
    for order in "CF":
        peaks = [float(child(PEAK.format(n=n, p=p, order=order))) for _ in range(3)]
        peak = statistics.median(peaks)
        what = f"peak memory of a fit, {count(n)} × {p}, {order} order, above X and y"
        note = f"{peak / n:.1f} bytes a row in all"
        yield Row(what, f"≤ {bar / 1e6:.1f} MB", f"{peak / 1e6:.1f} MB", "", "", peak <= bar, note)


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _require(condition, message):
    if not condition:
        raise AssertionError(message)


# --------------------------------------------------------------------------------------------------------------- table

ROWS: dict[str, Callable] = {
    "descent": descent,
    "link": link,
    "fused": fused,
    "bandwidth": bandwidth,
    "newton": newton,
    "sgd": sgd,
    "memory": memory,
    "warm-start": warm_start,
    "cold-start": cold_start,
}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", choices=ROWS, help="measure this group of rows; writes no file")
    arguments = parser.parse_args()
    if os.getloadavg()[0] > 0.5:
        print(f"Other work runs on this machine (load {os.getloadavg()[0]:.1f}): figures will be off.", file=sys.stderr)
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        chosen = {name: ROWS[name] for name in arguments.only or ROWS}
        rows = measure(chosen, lambda text: progress.update(task, description=text))
    Console().print(shown(rows))
    if not arguments.only:
        text = markdown(rows)
        (HERE / "speed.md").write_text(text)
        replace_block(HERE.parent / "README.md", text, BEGIN, END)


if __name__ == "__main__":
    main()
