"""Paths of a hundred L1 strengths against R's glmnet and adelie: `python -m bench.paths` prints the table.

It writes bench/paths.md, unless `--only NAME` (a prefix) measures less. All solve at the same strengths, those that the
data suggest to us, of

    f(coef) = mean loss + alpha ‖w‖₁,   intercept (last) not penalised,

and everyone counts with the fastest of some tolerances whose objectives, found here at CHECKED strengths along the
path, are within a relative 1e-7 of the least that is known; a rival that never is counts with the nearest, and the row
says how near. Rivals run in processes of their own, on data passed through a file, and time themselves.
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from bench import data, machine, outside
from bench.claims import Row, markdown, shown, words
from fastlogreg import logistic_path

HERE = Path(__file__).parent
TARGET = 1e-7
CHECKED = 12
HOPELESS = 3.0  # times the fastest setting that reached the target
# Seconds for a run of a rival, the reading of the file among them, and so many times what ours takes.
BUDGET, PATIENCE = 10.0, 5.0


@dataclass(frozen=True)
class Workload:
    """Data, and the ratio to reach."""

    name: str
    make: Callable
    bar: float


WORKLOADS = (
    Workload("path of 100, 2e4 × 500, correlated", lambda: data.correlated(20_000, 500, 1e4), 2),
    Workload("path of 100, 500 × 10 000", lambda: data.wide(500, 10_000), 1.3),
)
GLMNET_TYPES = ("Newton", "modified.Newton")


def half_decades(first, last):
    """Return tolerances from loose to tight, 10^first … 10^last, two for every power of ten."""
    return tuple(float(f"{10.0 ** (-0.5 * k):.0e}") for k in range(-2 * first, -2 * last + 1))


OUR_TOLS, ADELIE_TOLS, THRESHES = half_decades(-5, -8), half_decades(-6, -10), half_decades(-7, -13)


@dataclass
class Entry:
    """A contestant: run(setting) returns seconds and coefficients; what each setting took, and how far it was off."""

    name: str
    run: Callable
    settings: tuple
    times: dict = field(default_factory=dict)  # setting: seconds of every run
    values: dict = field(default_factory=dict)  # setting: objectives at the strengths that are checked
    detail: str = ""

    def climb(self, value, least, limit, tell):
        """Try settings from loose to tight until one is within the target, or took longer than the limit."""
        for setting in self.settings:
            try:
                seconds, coefs = self.run(setting)
            except outside.Absent as reason:
                too_slow = isinstance(reason, outside.OverTime)
                self.detail = f"{f'tol {setting:g}' if too_slow or self.values else 'absent'}: {reason}"
                tell(f"{self.name}, tol {setting:g}: {reason}")
                return
            self.times[setting] = [seconds]
            self.values[setting] = value(coefs)
            tell(f"{self.name}, tol {setting:g}: {words(seconds)}, {self.above(setting, least):.0e} above")
            if self.above(setting, least) <= TARGET or seconds > limit:
                return

    def above(self, setting, least):
        """How far the worst of the objectives is above the least that are known, relatively."""
        return float(np.max(self.values[setting] / least - 1.0))

    def nearest(self, least):
        """The setting that came nearest: a ladder ends with the first that is near enough."""
        return min(self.values, key=lambda setting: self.above(setting, least))


def losses(X, y, coefs, alphas):
    """f at some strengths, by code that shares nothing with any of the libraries."""
    eta = X @ coefs[:, :-1].T + coefs[:, -1]
    loss = np.mean(np.logaddexp(0.0, np.where(y[:, None] > 0, -eta, eta)), axis=0)
    return loss + alphas * np.abs(coefs[:, :-1]).sum(axis=1)


def _ours(X, y, alphas):
    def run(tol):
        rows, labels = X.copy(), y.copy()
        gc.collect()
        machine.settle()
        start = time.perf_counter()
        path = logistic_path(rows, labels, l1_ratio=1.0, alphas=alphas, tol=tol)
        seconds = time.perf_counter() - start
        return seconds, np.hstack([path.coefs_.toarray(), path.intercepts_])

    return run


def contest(workload, repeats, tell):
    """The row of a workload."""
    X, y = workload.make()
    p = X.shape[1]
    path = logistic_path(X, y, l1_ratio=1.0)  # compiles, too
    alphas, support = path.alphas_, int(path.df_.max())
    checked = np.unique(np.linspace(0, len(alphas) - 1, CHECKED).astype(int))

    def value(coefs):
        return losses(X, y, coefs.reshape(-1, p + 1)[checked], alphas[checked])

    def tell_of(text):
        tell(f"{workload.name}: {text}")

    with tempfile.TemporaryDirectory() as folder:
        file = outside.write(folder, X, y, alphas)
        least, limit = value(_ours(X, y, alphas)(1e-11)[1]), np.inf
        mine = Entry("fastlogreg", _ours(X, y, alphas), OUR_TOLS)
        mine.climb(value, least, limit, tell_of)
        budget = BUDGET + PATIENCE * mine.times[mine.nearest(least)][0]
        entries = [
            mine,
            *(
                Entry(
                    f"adelie, {threads} threads",
                    lambda tol, threads=threads: outside.adelie(file, 1, tol, threads, limit=budget),
                    ADELIE_TOLS,
                )
                for threads in (2, 1)
            ),
            *(
                Entry(
                    f"glmnet {kind}",
                    lambda thresh, kind=kind: outside.glmnet(outside.PATH, file, 1, thresh, kind, limit=budget),
                    THRESHES,
                )
                for kind in GLMNET_TYPES
            ),
        ]
        for entry in entries[1:]:
            entry.climb(value, least, limit, tell_of)
            good = [times[0] for s, times in entry.times.items() if entry.above(s, least) <= TARGET]
            limit = min([limit, *(HOPELESS * seconds for seconds in good)])
        there = [entry for entry in entries if entry.values]
        least = np.min([least, *(values for entry in there for values in entry.values.values())], axis=0)
        chosen = [(entry, entry.nearest(least)) for entry in there]
        racing = [
            (e, s)
            for e, s in chosen
            if e is entries[0] or (e.times[s][0] <= limit and e.above(s, least) <= TARGET)
        ]
        for turn in range(repeats - 1):
            for entry, setting in racing[turn % len(racing) :] + racing[: turn % len(racing)]:
                entry.times[setting].append(entry.run(setting)[0])
    notes, seconds = [f"{len(alphas)} strengths, up to {support} columns"], {}
    for entry, setting in chosen:
        median, above = statistics.median(entry.times[setting]), entry.above(setting, least)
        if entry is entries[0] or above <= TARGET:
            seconds[entry.name] = median
        notes.append(f"{entry.name} {words(median)}, tol {setting:g}, {max(above, 0.0):.0e} above")
    notes += [f"{entry.name} {entry.detail}" for entry in entries if entry.detail]
    ours_above = entries[0].above(chosen[0][1], least)
    ours = seconds.pop("fastlogreg")
    bar = f"≥ {workload.bar:g}×"
    if not seconds:  # whoever ran was further off, or out of time
        met = ours_above <= TARGET and len(there) > 1
        return Row(workload.name, bar, "no rival got there", words(ours), "—", met, "; ".join(notes))
    theirs = min(seconds.values())
    met = ours_above <= TARGET and theirs / ours >= workload.bar
    return Row(workload.name, bar, f"{theirs / ours:.3g}×", words(ours), words(theirs), met, "; ".join(notes))


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.paths", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", help="measure the workloads whose names begin so; writes no file")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    console = Console(stderr=True)
    chosen = [w for w in WORKLOADS if not arguments.only or any(map(w.name.startswith, arguments.only))]
    rows = [contest(workload, arguments.repeats, console.print) for workload in chosen]
    Console().print(shown(rows))
    if not arguments.only:
        (HERE / "paths.md").write_text(markdown(rows).replace("bench.speed", "bench.paths"))


if __name__ == "__main__":
    main()
