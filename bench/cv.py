"""Cross-validation against scikit-learn and R's cv.glmnet: `python -m bench.cv` prints the table.

It writes bench/cv.md, unless `--only NAME` measures some rows. Folds and score are the same for all. Everyone counts
with the fastest of some settings whose worst fit, over all folds and strengths (of cv.glmnet, which keeps no fits of
folds, over all strengths), is within TARGET of the optimum, relatively. cv.glmnet runs in R, on data passed through a
file, and is timed there; where R or its package glmnet is absent the row says so.
"""

import argparse
import statistics
import tempfile
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.linear_model import LogisticRegressionCV as SklearnLogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from bench import data, outside, paths, rivals
from bench.claims import count, in_turns, markdown, ratio_row, shown
from fastlogreg import LogisticRegressionCV, logistic_path

HERE = Path(__file__).parent

TARGET = 1e-7
COMMON = {"scoring": "neg_log_loss", "use_legacy_attributes": False}
OUR_TOLS = (1e-5, 1e-6, 1e-7, 1e-8)
GLMNET_TYPES, GLMNET_THRESHES = paths.GLMNET_TYPES, paths.THRESHES
BUDGET = 120.0  # seconds for a run of cv.glmnet
SKLEARN_SOLVERS, SKLEARN_TOLS = ("newton-cholesky", "lbfgs"), (1e-3, 1e-4, 1e-5, 1e-6)


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
    models, reached = {}, {}
    for solver in SKLEARN_SOLVERS:
        for setting in [(solver, tol) for tol in SKLEARN_TOLS]:
            run = X.copy, lambda X, setting=setting: models.update({setting: fit(*setting, X)})
            seconds = in_turns({"": run}, 1)[""][0]
            if gap(models[setting]) <= TARGET:
                reached[setting] = seconds
            if setting in reached or seconds > min(reached.values(), default=np.inf):
                break
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
    what = f"LogisticRegressionCV, 10 strengths × 5 folds, L2, {count(n)} × {p}, vs scikit-learn"
    yield ratio_row(what, 8, *medians, note, ok=gap(ours) <= TARGET)


def lasso(n=20_000, p=200, repeats=3):
    """A path of up to a hundred strengths and five folds, L1: cv.glmnet, which ends its path early likewise."""
    what = f"LogisticRegressionCV, path of 100 × 5 folds, L1, {count(n)} × {p}, vs cv.glmnet"
    X, y = data.iid(n, p)
    fold = np.empty(n)
    for i, (_, test) in enumerate(StratifiedKFold(5).split(X, y)):
        fold[test] = i + 1
    folds = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(1, 6)]
    models = {}

    def fit(tol):
        def run(X):
            model = LogisticRegressionCV(Cs="auto", l1_ratios=(1,), cv=folds, tol=tol, **COMMON)
            models[tol] = model.fit(X, y)

        return X.copy, run

    def gap(model):
        """The worst fit's distance from the optimum, over all folds and strengths, relatively."""
        worst = 0.0
        both = min(len(model.Cs_), len(best.Cs_))  # from strong to weak; where a path ends early hangs on a rounding
        for (train, _), found, leasts in zip(folds, model.coefs_paths_[:, 0], best.coefs_paths_[:, 0], strict=True):
            alphas = 1.0 / (best.Cs_[:both] * len(train))
            found, leasts = (paths.losses(X[train], y[train], c[:both, 0], alphas) for c in (found, leasts))
            worst = max(worst, float(np.max(found / leasts - 1.0)))
        return worst

    in_turns({"": fit(1e-10)}, 1)
    best = models[1e-10]
    tol = next(t for t in OUR_TOLS if in_turns({"": fit(t)}, 1) and gap(models[t]) <= TARGET)
    ours, theirs, notes, setting, n_values = [], [], [], None, 0
    with tempfile.TemporaryDirectory() as folder:
        file = outside.write(folder, X, y, fold)
        try:
            for kind in GLMNET_TYPES:
                for thresh in GLMNET_THRESHES:
                    try:
                        seconds, found = outside.glmnet(outside.FOLDS, file, 1, thresh, kind, limit=BUDGET)
                    except outside.OverTime:
                        break
                    coefs, alphas = np.split(found.reshape(-1, p + 2), [p + 1], axis=1)
                    alphas = alphas[:, 0]
                    exact = logistic_path(X, y, l1_ratio=1.0, alphas=alphas, tol=1e-10)
                    least = paths.losses(X, y, np.hstack([exact.coefs_.toarray(), exact.intercepts_]), alphas)
                    above = float(np.max(paths.losses(X, y, coefs, alphas) / least - 1.0))
                    if above <= TARGET and (not theirs or seconds < theirs[0]):
                        theirs, setting, n_values = [seconds], (kind, thresh), len(alphas)
                        notes = [
                            f"cv.glmnet {kind}, thresh {thresh:g}, {n_values} strengths, {max(above, 0):.0e} above"
                        ]
                    if above <= TARGET or (theirs and seconds > theirs[0]):
                        break
            for turn in range(repeats):
                ours += in_turns({"ours": fit(tol)}, 1)["ours"]
                if setting is not None and turn:
                    theirs.append(outside.glmnet(outside.FOLDS, file, 1, setting[1], setting[0])[0])
            notes = notes or ["cv.glmnet never within 1e-7"]
        except outside.Absent as reason:
            notes.append(f"cv.glmnet absent: {reason}")
            ours = in_turns({"ours": fit(tol)}, repeats)["ours"]
    notes.append(f"ours tol {tol:g}, {len(best.Cs_)} strengths, worst fit {gap(models[tol]):.0e} above")
    medians = statistics.median(ours), statistics.median(theirs) if theirs else np.nan
    yield ratio_row(what, 4, *medians, "; ".join(notes), ok=gap(models[tol]) <= TARGET)


ROWS = {"ridge": ridge, "lasso": lasso}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.cv", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", choices=ROWS, help="measure this row; writes no file")
    only = parser.parse_args().only
    rows = [row for name in only or ROWS for row in ROWS[name]()]
    Console().print(shown(rows))
    if not only:
        (HERE / "cv.md").write_text(markdown(rows).replace("bench.speed", "bench.cv"))


if __name__ == "__main__":
    main()
