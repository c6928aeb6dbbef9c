"""A grid search in processes against one in threads: ``python -m bench.processes [SECONDS]``.

GridSearchCV(n_jobs=2) gives each worker its share of the cores, so two fits on one thread each run beside each other;
n_jobs=1 fits one after another on all cores. Neither should lose. The bar: at most 1.15 times the time of n_jobs=1, for
a search of at least 20 seconds, workers' start included, kernels in the cache.
"""

import sys
import time

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GridSearchCV

from bench import machine
from fastlogreg import LogisticRegression

BAR = 1.15
FOLDS = 5
TRIAL = 10 * FOLDS  # fits that tell how many it takes: so many that the refit at the end counts for little


def problem(n_rows=200_000, n_columns=50):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)) @ (np.eye(n_columns) + 0.5 * rng.normal(size=(n_columns, n_columns)))
    return X, (0.2 * X[:, 0] + rng.logistic(size=n_rows) > 0).astype(int)


def search(X, y, n_fits, n_jobs):
    """Seconds of a search in so many fits; workers are started anew."""
    get_reusable_executor().shutdown()
    grid = {"C": np.geomspace(1e-4, 1e4, max(1, n_fits // FOLDS))}
    started = time.perf_counter()
    found = GridSearchCV(LogisticRegression(), grid, cv=FOLDS, n_jobs=n_jobs).fit(X, y)
    return time.perf_counter() - started, found.best_score_


def main(seconds=20.0):
    """Print both times and their ratio; return whether the bar is met."""
    X, y = problem()
    search(X, y, FOLDS, 2)  # every kernel that either needs is in the cache
    search(X, y, FOLDS, 1)
    n_fits = FOLDS * int(np.ceil(1.2 * seconds * TRIAL / FOLDS / search(X, y, TRIAL, 1)[0]))
    times = {1: [], 2: []}
    for _ in range(3):
        scores = []
        for n_jobs, taken in times.items():
            elapsed, score = search(X, y, n_fits, n_jobs)
            taken.append(elapsed)
            scores.append(score)
        assert scores[0] == scores[1], scores
    one, two = (float(np.median(taken)) for taken in times.values())
    print(f"{n_fits} fits of {X.shape[0]} x {X.shape[1]} on {joblib.cpu_count()} cores, medians of 3, in turns")
    print(f"n_jobs=1: {one:.1f} s, n_jobs=2: {two:.1f} s, ratio {two / one:.2f}, bar {BAR}")
    for name, value in machine.facts().items():
        print(f"{name}: {value}")
    return two / one <= BAR


if __name__ == "__main__":
    sys.exit(0 if main(*map(float, sys.argv[1:])) else 1)
