"""Every shape of data against every rival: `python -m bench.shapes` prints the table and writes bench/shapes.md.

Each row is one workload: fits with default settings of fastlogreg, on the shape that the row names, against the solvers
of scikit-learn, scikit-learn-intelex, glum and liblinear, to the relative suboptimality 1e-7 of an objective computed
outside all of them (see rivals.py for the race); then what scaling.py measures. Rivals that are hopeless on the first
seed do not race on the others. The table goes to README.md, too. `--only NAME` (a prefix) and `--seeds N` measure less:
rows of the table are replaced, and say where they are of one seed.
"""

import argparse
import dataclasses
import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_iris

from bench import data, machine, rivals, scaling
from bench.claims import Row, in_turns, markdown, measure, replace_block, shown, updated, words
from fastlogreg.kernels.predict import loss_slope

HERE = Path(__file__).parent
PATH = HERE / "shapes.md"
BEGIN, END = "<!-- shapes:begin -->", "<!-- shapes:end -->"
OURS = "fastlogreg auto"
DEFAULT = (1e-8,)  # its tol where none is given
HOPELESS = 3.0  # times the fastest rival: not the best of them
SHORT = 5_000_000  # entries of X with which a fit is so short that three runs tell little


@dataclasses.dataclass(frozen=True)
class Workload:
    """Data by seed, the strength of the penalty, and the ratios to reach."""

    name: str
    make: Callable
    bar: float
    units: float = np.inf  # most "units": stream time of X, or link time of its rows
    C: float = 1.0
    budget: float = 20.0  # seconds for the ladder of a rival


def _dense_one_hot(n, seed):
    X, y = data.one_hot(n, levels=(6, 20, 60, 118), seed=seed)
    return X.toarray(), y


def _sorted(n, p, seed):
    """Rows sorted by class, one in a thousand positive."""
    X, _ = data.iid(n, p, seed)
    rng = np.random.default_rng([seed, 2])
    score = X[:, :5].sum(axis=1) + rng.logistic(size=n)
    y = (score > np.quantile(score, 0.999)).astype(np.int64)
    order = np.argsort(y, kind="stable")
    return X[order], y[order]


def _iris(seed):
    X, y = load_iris(return_X_y=True)
    return X + 1e-3 * np.random.default_rng(seed).standard_normal(X.shape), y


def _correlated_classes(n, p, K, seed, condition=1e4):
    X, _ = data.correlated(n, p, condition, seed)
    rng = np.random.default_rng([seed, 2])
    W = rng.standard_normal((p, K))
    eta = X @ W
    return X, data._labels(2.0 * eta / eta.std(), rng)


WORKLOADS = (
    Workload("2e6 × 10", lambda s: data.iid(2_000_000, 10, s), 5, 12),
    Workload("2e6 × 10, float32", lambda s: data.iid(2_000_000, 10, s, dtype=np.float32), 5, 12),
    Workload("2e6 × 10, F order", lambda s: data.iid(2_000_000, 10, s, order="F"), 5, 12),
    Workload("4e5 × 100", lambda s: data.iid(400_000, 100, s), 4, 10),
    Workload("4e5 × 100, Gram condition 1e6", lambda s: data.correlated(400_000, 100, 1e6, s), 12, 12),
    Workload("5e5 × 50, raw units, unpenalised", lambda s: data.raw_units(500_000, 50, s), 8, C=np.inf),
    Workload("1e7 × 50, float32", lambda s: data.iid(10_000_000, 50, s, dtype=np.float32), 5, budget=60),
    Workload("1e7 × 50, float32, memory map", lambda s: scaling.memory_mapped(10_000_000, 50, s), 3, budget=60),
    Workload("2e5 × 200, one-hot with rare levels, dense", lambda s: _dense_one_hot(200_000, s), 6),
    Workload("8e4 × 500", lambda s: data.iid(80_000, 500, s), 3),
    Workload("2e4 × 2000, correlated", lambda s: data.correlated(20_000, 2000, 1e4, s), 6, budget=150),
    Workload("500 × 5000", lambda s: data.wide(500, 5000, s), 3),
    Workload("1000 × 20", lambda s: data.iid(1000, 20, s), 4),
    Workload("150 × 4, three classes", _iris, 4),
    Workload("1e6 × 30, sorted by class, 0.1 % positive", lambda s: _sorted(1_000_000, 30, s), 4),
    Workload("2e5 × 50, ten classes, correlated", lambda s: _correlated_classes(200_000, 50, 10, s), 8, budget=60),
    Workload("2e4 × 200, 100 classes", lambda s: data.multinomial(20_000, 200, 100, s), 5, budget=60),
    Workload("sparse text, 2e5 × 1e5, 80 entries a row", lambda s: data.sparse_text(200_000, 100_000, 8e-4, s), 4),
    Workload("sparse one-hot, 5e4 × 123", lambda s: data.one_hot(50_000, (10, 20, 30, 63), seed=s), 4),
    Workload("sparse one-hot, 5e4 × 300", lambda s: data.one_hot(50_000, (20, 60, 80, 140), seed=s), 4),
)


def unit(X):
    """Seconds of the fastest read of X by all cores, or of the loss and slope of its rows, whichever is longer."""
    n = X.shape[0]
    values = X if isinstance(X, np.ndarray) else X.data
    read = machine.reader(values)
    eta, y, loss, slope = np.linspace(-2, 2, n), np.zeros(n), np.ones(n), np.ones(n)
    times = in_turns(
        {
            "read": (lambda: None, lambda _: read()),
            "link": (lambda: None, lambda _: loss_slope(eta, y, np.array([[0, n]]), loss, slope)),
        },
        7,
    )
    return max(statistics.median(times["read"]), statistics.median(times["link"]) / machine.cores_allowed())


def contest(workload, seeds, names, tell):
    """Yield the row of a workload: the smallest of the ratios over the seeds is what counts."""
    runs = []
    for seed in range(seeds):
        X, y = workload.make(seed)
        raced = rivals.race(
            X,
            y,
            C=workload.C,
            rivals=[
                dataclasses.replace(rival, ladder=DEFAULT) if rival.name == OURS else rival
                for rival in rivals.RIVALS
                if rival.name in names
            ],
            budget_seconds=workload.budget,
            repeats=9 if X.size < SHORT else 3,  # the size of a sparse array is the number of its entries
            hopeless=HOPELESS,
            progress=lambda text, seed=seed: tell(f"{workload.name}, seed {seed}: {text}"),
        )
        entries = {entry.rival.name: entry for entry in raced.entries}
        ours = entries.pop(OURS)
        others = [entry for entry in entries.values() if entry.status == "reached"]
        if not others:
            raise RuntimeError(f"no rival reached the target within {workload.budget:g} s a ladder")
        best = min(others, key=lambda entry: entry.seconds)
        names = {OURS} | {entry.rival.name for entry in others if entry.seconds < HOPELESS * best.seconds}
        runs.append((best.seconds / ours.seconds, ours, best, ours.seconds / unit(X)))
        missing = [f"{e.rival.name}: {e.status}" for e in raced.entries if e.status == "out" and "absent" in e.detail]
        del X, y
    ratio, ours, best, units = min(runs, key=lambda run: -np.inf if np.isnan(run[0]) else run[0])
    note = f"{best.rival.name}; {units:.3g} units; ours {ours.rungs[0].suboptimality:.0e} above the optimum"
    note += "; ratios " + ", ".join(f"{run[0]:.3g}" for run in runs) if seeds > 1 else "; one seed"
    note = "; ".join([note, *missing])
    met = ratio >= workload.bar and max(run[3] for run in runs) <= workload.units
    bar = f"≥ {workload.bar:g}×" + (f", ≤ {workload.units:g} units" if np.isfinite(workload.units) else "")
    yield Row(workload.name, bar, f"{ratio:.3g}×", words(ours.seconds), words(best.seconds), met, note)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.shapes", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", help="measure the workloads whose names begin so")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ours", action="append", default=[OURS], help="further solvers of fastlogreg to race")
    arguments = parser.parse_args()
    names = {rival.name for rival in rivals.RIVALS if rival.library != "fastlogreg"} - {"scikit-learn sag"}
    names |= set(arguments.ours)
    start = time.perf_counter()
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")

        def tell(text):
            progress.update(task, description=text)

        groups: dict[str, Callable] = {
            workload.name: functools.partial(contest, workload, arguments.seeds, names, tell) for workload in WORKLOADS
        }
        groups |= scaling.ROWS
        chosen = [name for name in groups if not arguments.only or name.startswith(tuple(arguments.only))]
        if not chosen:
            parser.error(f"no name begins with {' or '.join(arguments.only)}; there are: {'; '.join(groups)}")
        rows = []
        for name in chosen:
            for row in measure({name: groups[name]}, tell):
                rows.append(row)
                print(f"{row.what}: {row.figure} ({row.bar}), {row.ours} against {row.theirs}; {row.note}", flush=True)
                write(updated(PATH, rows, "bench.shapes"))  # an hour of measuring is not to be lost
    Console().print(shown(rows))
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if not arguments.only:
        write(markdown(rows, "bench.shapes"))


def write(text):
    """Put the table to its file and to the README."""
    PATH.write_text(text)
    replace_block(HERE.parent / "README.md", text, BEGIN, END)


if __name__ == "__main__":
    main()
