"""Digits of the coefficients: `python -m bench.accuracy` prints them and writes the table in README.md.

The problems of tests/reference/problems.json come with their optima to 50 digits. The log relative error of an answer
c is -log10 of the largest |c_j - c*_j| / |c*_j| over all coefficients and intercepts: the digits that are right in
the worst of them. No problem has a coefficient of zero.
"""

import argparse
import json
import math
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from bench.claims import replace_block
from fastlogreg import LogisticRegression

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"
MOST = 16.0  # an answer that is right to the last bit has no more digits


class Reference(NamedTuple):
    """A problem, its optimum, and how well that can be known; see tests/reference/make.py."""

    X: object  # ndarray or CSR
    y: np.ndarray
    options: dict  # of the estimator: C, fit_intercept, class_weight
    rows: dict  # of fit: sample_weight, offset
    coef: list  # strings of 50 digits, intercept last
    attainable: float  # digits that double precision leaves
    condition: float


def references():
    """{name: Reference} as read from the file."""
    path = ROOT / "tests" / "reference" / "problems.json"
    return {name: _reference(entry) for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def _reference(entry):
    X = np.array(entry["X"])
    storage = entry.get("storage")
    if storage == "float32":
        X = X.astype(np.float32)
    elif storage == "csr":
        X = scipy.sparse.csr_array(X)
    options = {"C": np.inf if entry["C"] is None else entry["C"], "fit_intercept": entry.get("fit_intercept", True)}
    if "class_weight" in entry:
        given = entry["class_weight"]
        options["class_weight"] = given if given == "balanced" else {int(k): w for k, w in given.items()}
    names = {"weight": "sample_weight", "offset": "offset"}
    rows = {name: np.array(entry[key], dtype=float) for key, name in names.items() if key in entry}
    numbers = entry["coef"], entry["attainable"], entry["condition"]
    return Reference(X, np.array(entry["y"]), options, rows, *numbers)


def digits(model, reference):
    """Log relative error of a fitted model, at most MOST; minus infinity where it is not finite.

    From float32 data, coef_ is float32 as well: then the solver's own coefficients are looked at.
    """
    found = np.column_stack([model.coef_, model.intercept_])
    if found.dtype == np.float32 and hasattr(model, "result_"):
        found = np.atleast_2d(model.result_.coef)
    exact = np.array(reference.coef, dtype=float)
    kept = exact != 0.0  # all but the intercept of a model without one
    if not np.isfinite(found).all():
        return -math.inf
    # the doubles nearest the optima are within 1e-16 of them
    error = np.max(np.abs(found - exact)[kept] / np.abs(exact[kept]))
    return min(MOST, -math.log10(error)) if error > 0.0 else MOST


def fitted(reference, **options):
    """Our model of a problem."""
    return LogisticRegression(**reference.options, **options).fit(reference.X, reference.y, **reference.rows)


def fitted_by_sklearn(reference, solver, tol, max_iter):
    """scikit-learn's model; None for an offset, which it does not know."""
    if "offset" in reference.rows:
        return None
    model = SklearnLogisticRegression(**reference.options, solver=solver, tol=tol, max_iter=max_iter)
    return model.fit(reference.X, reference.y, **reference.rows)


# name: how it is fitted. scikit-learn's solvers at the least tolerance they take, and as many iterations as they like.
CONTESTANTS = {
    "fastlogreg, defaults": fitted,
    "fastlogreg newton, tol=0": partial(fitted, solver="newton", tol=0.0),
    "fastlogreg newton-cg, tol=0": partial(fitted, solver="newton-cg", tol=0.0),
    "fastlogreg lbfgs, tol=0": partial(fitted, solver="lbfgs", tol=0.0),
    "scikit-learn, defaults": partial(fitted_by_sklearn, solver="lbfgs", tol=1e-4, max_iter=100),
    "scikit-learn newton-cholesky": partial(fitted_by_sklearn, solver="newton-cholesky", tol=1e-15, max_iter=1000),
    "scikit-learn newton-cg": partial(fitted_by_sklearn, solver="newton-cg", tol=1e-15, max_iter=1000),
    "scikit-learn lbfgs": partial(fitted_by_sklearn, solver="lbfgs", tol=1e-15, max_iter=100_000),
}


def measured(reference):
    """{contestant: digits}, NaN where it cannot be given the problem; an error counts as no digit."""
    found = {}
    for name, fit in CONTESTANTS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about iterations and singular matrices: digits tell
            try:
                model = fit(reference)
            except (ValueError, FloatingPointError, np.linalg.LinAlgError):
                found[name] = -math.inf
            else:
                found[name] = math.nan if model is None else digits(model, reference)
    return found


def markdown(rows, problems):
    """The table as Markdown: of every contestant, the problems solved to some number of digits, and the worst."""
    lines = ["| | 9 digits, or all but one of those there are | the same, 6 digits | median | fewest |"]
    lines.append("|---|---|---|---|---|")
    for name in CONTESTANTS:
        known = {problem: found[name] for problem, found in rows.items() if not math.isnan(found[name])}
        full = sum(value >= min(9.0, problems[problem].attainable - 1.0) for problem, value in known.items())
        some = sum(value >= min(6.0, problems[problem].attainable - 1.0) for problem, value in known.items())
        worst = min(known, key=lambda problem: max(-99.0, known[problem]))
        middle = np.median(list(known.values()))
        fewest = f"{max(0.0, known[worst]):.1f} ({worst})"
        lines.append(f"| {name} | {full} of {len(known)} | {some} of {len(known)} | {middle:.1f} | {fewest} |")
    return "\n".join(lines) + "\n"


def shown(rows, problems):
    """The table of all problems for a terminal."""
    table = Table("problem", "condition", "attainable", *CONTESTANTS)
    for name, found in rows.items():
        figures = ("" if math.isnan(value) else f"{max(0.0, value):.1f}" for value in found.values())
        table.add_row(name, f"{problems[name].condition:.0e}", f"{problems[name].attainable:.1f}", *figures)
    return table


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__.split("\n\n")[0])
    parser.parse_args()
    problems = references()
    rows = {name: measured(reference) for name, reference in problems.items()}
    Console(width=200).print(shown(rows, problems))
    text = markdown(rows, problems)
    print(text)
    replace_block(ROOT / "README.md", text, BEGIN, END)


if __name__ == "__main__":
    main()
