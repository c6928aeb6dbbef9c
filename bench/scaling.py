"""What `bench.shapes` shows beside races: data that fill memory, predictions, growth, threads, peak memory, starts."""

import statistics
import tempfile
from pathlib import Path

import numba
import numpy as np

from bench import data, machine
from bench.claims import Row, count, in_turns, ratio_row, short, words
from bench.starts import FIRST_FITS, child, cold_start, warm_start
from fastlogreg import LogisticRegression
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective

LARGEST_RATIO, THREADS_SHARE = 2.1, 0.9
PREDICT_BAR, LABEL_BAR = 5.0, 1.5
FITTED = 20_000  # rows, for the models that predict
COLD_SECONDS, WARM_RATIO = 6.0, 1.2


def memory_mapped(n, p, seed):
    """(X, y) with X a read-only memory map of a file that is deleted when X is gone (Linux), its pages in memory."""
    with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
        X = np.memmap(file, dtype=np.float32, mode="w+", shape=(n, p))
        X[:], y = data.iid(n, p, seed, dtype=np.float32)
        X.flush()
        X = np.memmap(file.name, dtype=np.float32, mode="r", shape=(n, p))
    return X, y


def predictions(n=5_000_000, p=20, repeats=5):
    """Probabilities, and labels of two and of ten classes, against scikit-learn's and scikit-learn-intelex's."""
    X, y = data.iid(n, p)
    yield _predictions_row("predict_proba", PREDICT_BAR, X, y, repeats)
    yield _predictions_row("predict", LABEL_BAR, X, y, repeats)
    X, y = data.multinomial(n // 5, p, 10, 0)
    yield _predictions_row("predict", LABEL_BAR, X, y, repeats, ", ten classes")


def _predictions_row(method, bar, X, y, repeats, classes=""):
    ours = LogisticRegression().fit(X[:FITTED], y[:FITTED])
    models = {"ours": ours, "scikit-learn": ours.to_sklearn()}
    try:
        from sklearnex.linear_model import LogisticRegression as Intelex
    except ImportError:
        absent = "scikit-learn-intelex is absent"
    else:
        absent = ""
        models["scikit-learn-intelex"] = Intelex().fit(X[:FITTED], y[:FITTED])
    contestants = {name: (lambda: X, getattr(model, method)) for name, model in models.items()}
    in_turns(contestants, 1)
    times = {name: statistics.median(taken) for name, taken in in_turns(contestants, repeats).items()}
    mine = times.pop("ours")
    best = min(times, key=times.get)
    what = f"{method}{classes}, {count(len(X))} × {X.shape[1]}"
    return ratio_row(what, bar, mine, times[best], absent or f"vs {best}")


def growth(p=100, smallest=100_000, largest=1_600_000, repeats=5):
    """The worst factor by which twice the rows take longer, fits with default settings."""
    X, y = data.iid(largest, p)
    sizes = [smallest]
    while sizes[-1] < largest:
        sizes.append(2 * sizes[-1])
    fits = {n: (lambda n=n: (X[:n], y[:n]), lambda rows: LogisticRegression().fit(*rows)) for n in sizes}
    in_turns(fits, 1)
    times = {n: statistics.median(taken) for n, taken in in_turns(fits, repeats).items()}
    ratios = [times[2 * n] / times[n] for n in sizes[:-1]]
    note = ", ".join(f"{words(times[n])} for {count(n)}" for n in sizes)
    what = f"twice the rows, up to {count(largest)} × {p}: time against time before"
    yield Row(what, f"≤ {LARGEST_RATIO:g}", f"{max(ratios):.3g}", "", "", max(ratios) <= LARGEST_RATIO, note)


def threads(n=800_000, p=50, repeats=15):
    """All cores against one, of a pass larger than the cache, as part of what the machine's own read gains by them."""
    X, y = data.iid(n, p)
    cores = machine.cores_allowed()
    coef = np.linspace(-0.1, 0.1, p + 1)
    objectives = {k: LogisticObjective(as_design(X, k), y.astype(np.float64)) for k in (1, cores)}
    read = machine.reader(X)
    contestants = {}
    for k, objective in objectives.items():
        contestants[f"pass {k}"] = (lambda: None, lambda _, objective=objective: objective.value_gradient(coef))
        contestants[f"read {k}"] = (lambda k=k: numba.set_num_threads(k), lambda _: read())
    before = numba.get_num_threads()
    try:
        in_turns(contestants, 1)
        times = {name: statistics.median(taken) for name, taken in in_turns(contestants, repeats).items()}
    finally:
        numba.set_num_threads(before)
    gains = {what: times[f"{what} 1"] / times[f"{what} {cores}"] for what in ("pass", "read")}
    share = gains["pass"] / gains["read"]
    note = f"pass {gains['pass']:.2f}×, read {gains['read']:.2f}×"
    what = f"{cores} cores vs 1, fused pass, {short(n)} × {p}, as part of the gain of a bare read"
    passes = words(times[f"pass {cores}"]), words(times[f"pass {1}"])
    yield Row(what, f"≥ {THREADS_SHARE:g}", f"{share:.2f}", *passes, share >= THREADS_SHARE, note)


PEAK = """
from bench.asv.resident import extra_memory
from bench.scaling import PEAKS
from fastlogreg import LogisticRegression
make = PEAKS[{name!r}]
X, y = make()
LogisticRegression().fit(X[::4].copy("K"), y[::4])
LogisticRegression().fit(X, y)
print(*X.shape, y.max() + 1, extra_memory(lambda: LogisticRegression().fit(X, y)))
"""

# Data of which a fit's peak is measured in a process of its own.
PEAKS = {
    "1e6 × 100": lambda: data.iid(1_000_000, 100),
    "1e6 × 100, F order": lambda: data.iid(1_000_000, 100, order="F"),
    "2e6 × 10": lambda: data.iid(2_000_000, 10),
    "2e6 × 10, float32": lambda: data.iid(2_000_000, 10, dtype=np.float32),
    "8e4 × 500": lambda: data.iid(80_000, 500),
    "2e4 × 2000, correlated": lambda: data.correlated(20_000, 2000, 1e4),
    "500 × 5000": lambda: data.wide(500, 5000),
    "2e5 × 50, ten classes": lambda: data.multinomial(200_000, 50, 10),
    "2e4 × 200, 100 classes": lambda: data.multinomial(20_000, 200, 100),
}


def memory():
    """Peak resident memory of a fit above what was resident before, kernels loaded, each in a process of its own."""
    for name in PEAKS:
        n, p, n_classes, peak = map(int, child(PEAK.format(name=name)).split())
        bar = 40 * n + 8 * 4 * p * p + (8 * n * n_classes if n_classes > 2 else 0)
        note = f"{peak / n:.1f} bytes a row in all"
        what = f"peak memory of a fit above X and y, {name}"
        yield Row(what, f"≤ {bar / 1e6:.1f} MB", f"{peak / 1e6:.1f} MB", "", "", peak <= bar, note)


def starts():
    """Import and first fit in a fresh process: every kind of X with an empty cache, and a small one with a warm one."""
    yield from cold_start(COLD_SECONDS, FIRST_FITS)
    yield from warm_start(WARM_RATIO)


ROWS = {"predict": predictions, "growth": growth, "threads": threads, "memory": memory, "starts": starts}
