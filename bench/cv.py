"""Cross-validation against scikit-learn and R's cv.glmnet: `python -m bench.cv` prints the table.

Folds and score are the same for all. Everyone counts with the fastest of some settings whose worst fit, over all folds
and strengths, is within TARGET of the optimum, relatively. cv.glmnet runs in R, on data passed through a file, and is
timed there; where R or its package glmnet is absent the row says so. `--only NAME` measures some rows.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.linear_model import LogisticRegressionCV as SklearnLogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from bench import data, rivals
from bench.speed import Row, count, in_turns, ratio_row, shown
from fastlogreg import LogisticRegressionCV

TARGET = 1e-7
COMMON = {"scoring": "neg_log_loss", "use_legacy_attributes": False}
OUR_TOLS = (1e-5, 1e-6, 1e-7, 1e-8)
SETTINGS = [(solver, tol) for solver in ("newton-cholesky", "lbfgs") for tol in (1e-3, 1e-4, 1e-5, 1e-6)]

GLMNET = """
suppressMessages(library(glmnet))
file <- file("{path}", "rb")
x <- matrix(readBin(file, "double", {n} * {p}), {n}, {p})
y <- readBin(file, "double", {n})
fold <- readBin(file, "double", {n})
time <- system.time(found <- cv.glmnet(x, y, family = "binomial", foldid = fold, standardize = FALSE))
cat(time[["elapsed"]], length(found$lambda), found$lambda.min, "\\n")
"""


def ridge(n=200_000, p=50, repeats=3):
    """Ten strengths and five folds, L2: scikit-learn."""
    X, y = data.iid(n, p)
    folds = list(StratifiedKFold(5).split(X, y))
    parameters = COMMON | {"Cs": 10, "l1_ratios": (0,), "cv": folds}
    best = LogisticRegressionCV(**parameters, tol=1e-11).fit(X, y)

    def fit(solver, tol, X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SklearnLogisticRegressionCV(**parameters, solver=solver, tol=tol, max_iter=1000).fit(X, y)

    def gap(model):
        """The worst fit's distance from the optimum, relatively."""
        pairs = zip(model.coefs_paths_[:, 0], best.coefs_paths_[:, 0], folds, strict=True)
        return max(
            rivals.objective(X[train], y[train], coef[0], C) / rivals.objective(X[train], y[train], least[0], C) - 1.0
            for found, leasts, (train, _) in pairs
            for coef, least, C in zip(found, leasts, model.Cs_, strict=True)
        )

    tol = next(t for t in OUR_TOLS if gap(LogisticRegressionCV(**parameters, tol=t).fit(X, y)) <= TARGET)
    ours = LogisticRegressionCV(**parameters, tol=tol).fit(X, y)
    reached = {}
    for setting in SETTINGS:
        seconds = in_turns({"": (X.copy, lambda X, setting=setting: models.update({setting: fit(*setting, X)}))}, 1)[""]
        if gap(models[setting]) <= TARGET:
            reached[setting] = seconds[0]
    fastest = min(reached, key=reached.get)
    times = in_turns(
        {
            "ours": (X.copy, lambda X: LogisticRegressionCV(**parameters, tol=tol).fit(X, y)),
            "theirs": (X.copy, lambda X: fit(*fastest, X)),
        },
        repeats,
    )
    above = [max(gap(model), 0.0) for model in (ours, models[fastest])]
    note = f"tol {tol:g} vs {fastest[0]}, tol {fastest[1]:g}; worst fit {above[0]:.0e} and {above[1]:.0e} above"
    medians = [statistics.median(times[name]) for name in ("ours", "theirs")]
    what = f"10 strengths × 5 folds, L2, {count(n)} × {p}, vs scikit-learn"
    yield ratio_row(what, 8, *medians, note, ok=gap(ours) <= TARGET)


models: dict = {}


def lasso(n=20_000, p=200, repeats=3):
    """A path of up to a hundred strengths and five folds, L1: cv.glmnet, which ends its path early likewise."""
    what = f"path of 100 × 5 folds, L1, {count(n)} × {p}, vs cv.glmnet"
    X, y = data.iid(n, p)
    fold = np.empty(n)
    for i, (_, test) in enumerate(StratifiedKFold(5).split(X, y)):
        fold[test] = i + 1
    folds = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(1, 6)]

    def fit(X):
        model = LogisticRegressionCV(Cs="auto", l1_ratios=(1,), cv=folds, **COMMON)
        models["lasso"] = model.fit(X, y)

    fit(X)
    if shutil.which("Rscript") is None:
        seconds = statistics.median(in_turns({"ours": (X.copy, fit)}, repeats)["ours"])
        yield Row(what, "≥ 4×", "absent: Rscript", f"{seconds:.3g} s", "", False)
        return
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(X.T.tobytes() + y.astype(float).tobytes() + fold.tobytes())
        for _ in range(repeats):
            ours += in_turns({"ours": (X.copy, fit)}, 1)["ours"]
            done = subprocess.run(
                ["Rscript", "-e", GLMNET.format(path=path, n=n, p=p)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no message"])[0]
                yield Row(what, "≥ 4×", f"absent: {reason}", f"{statistics.median(ours):.3g} s", "", False)
                return
            elapsed, n_values, _ = done.stdout.split()
            theirs.append(float(elapsed))
    note = f"{len(models['lasso'].Cs_)} and {n_values} strengths"
    yield ratio_row(what, 4, statistics.median(ours), statistics.median(theirs), note)


ROWS = {"ridge": ridge, "lasso": lasso}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.cv", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", choices=ROWS, help="measure this row")
    names = parser.parse_args().only or ROWS
    Console().print(shown([row for name in names for row in ROWS[name]()]))


if __name__ == "__main__":
    main()
