"""Fits of small hard problems against their optima to 50 digits (tests/reference/make.py)."""

import json

import numpy as np
import pytest
from mpmath import mp, mpf

from bench import accuracy
from fastlogreg.result import Status

REFERENCES = accuracy.references()
# An answer may have so many digits less than rounding each term once would leave, for what sums and solves add.
SLACK = 1.0
# Condition up to which solvers without a Hessian reach all of them, and what they must reach beyond. README.md has
# "lbfgs" for well-conditioned data; "newton" and "auto" have no limit.
CONDITIONS = {"newton-cg": 1e11, "lbfgs": 1e4}
BEYOND = 4.0
# It ends where the objective does not fall any more, whose rounding depends on how wide the processor's vectors are.
LBFGS_DIGITS = 12.0


@pytest.fixture(params=REFERENCES)
def reference(request):
    return REFERENCES[request.param]


@pytest.mark.parametrize("solver", ["auto", "newton", "newton-cg", "lbfgs"])
def test_digits_at_the_tightest_tolerance(solver, reference):
    floor = reference.attainable - SLACK
    if reference.condition > CONDITIONS.get(solver, np.inf):
        floor = min(floor, BEYOND)
    if solver == "lbfgs":
        floor = min(floor, LBFGS_DIGITS)
    model = accuracy.fitted(reference, solver=solver, tol=0.0)
    assert model.result_.status in (Status.PRECISION, Status.CONVERGED)
    assert accuracy.digits(model, reference) >= floor


def test_there_are_hard_problems():
    assert len(REFERENCES) >= 20
    assert sum(reference.condition > 1e4 for reference in REFERENCES.values()) >= 8
    attainable = [reference.attainable - SLACK for reference in REFERENCES.values()]
    assert sum(digits >= 9 for digits in attainable) >= 40 and min(attainable) > 4.5


@pytest.mark.parametrize("name", REFERENCES)
def test_the_optima_are_optimal(name):
    """The gradient of the objective, written out again, vanishes at the coefficients as rounded to 50 digits."""
    path = accuracy.ROOT / "tests" / "reference" / "problems.json"
    entry = json.loads(path.read_text(encoding="utf-8"))[name]
    n, intercept = len(entry["y"]), entry.get("fit_intercept", True)
    with mp.workdps(100):
        coef = [[mpf(c) for c in row] for row in entry["coef"]]
        zero = [[mpf(0)] * len(coef[0])] if len(coef) == 1 else []  # class 0 of two
        offset = [o if isinstance(o, list) else [o] for o in entry.get("offset", [[0] * len(coef)] * n)]
        counts = [mpf(w) for w in entry.get("weight", [1] * n)]
        factors = entry.get("class_weight", {})
        if factors == "balanced":
            classes = sorted(set(entry["y"]))
            of_class = {k: sum(w for w, y in zip(counts, entry["y"], strict=True) if y == k) for k in classes}
            factors = {str(k): sum(counts) / (len(classes) * of_class[k]) for k in classes}
        strength = 1 / mpf(entry["C"]) if entry["C"] else mpf(0)
        gradient = [[strength * c for c in row[:-1]] + [mpf(0)] for row in coef]
        terms = [[abs(g) for g in row] for row in gradient]
        for x, y, weight, shifts in zip(entry["X"], entry["y"], counts, offset, strict=True):
            row = [mpf(value) for value in x] + [mpf(1)]
            weight *= mpf(factors.get(str(y), 1))
            etas = [sum(a * b for a, b in zip(c, row, strict=True)) + o for c, o in zip(coef, shifts, strict=True)]
            chances = [mp.exp(eta - max(*etas, 0)) for eta in [mpf(0)] * len(zero) + etas]
            chances = [chance / sum(chances) for chance in chances][len(zero) :]
            for k, chance in enumerate(chances):
                slope = weight * (chance - (y == k + len(zero)))
                for j, value in enumerate(row):
                    if intercept or j < len(x):
                        gradient[k][j] += slope * value
                        terms[k][j] += abs(slope * value)
        for row, sizes in zip(gradient, terms, strict=True):
            for j, (value, size) in enumerate(zip(row, sizes, strict=True)):
                if intercept or j < len(row) - 1:
                    assert abs(value) <= mpf(10) ** -32 * size
    assert intercept or all(float(row[-1]) == 0.0 for row in coef)
    if len(coef) > 2:  # of all shifts, the one of class sums of zero
        assert np.abs(np.sum(np.array(entry["coef"], dtype=float), axis=0)).max() < 1e-9


def test_digits_can_fail():
    reference = REFERENCES["easy"]
    model = accuracy.fitted(reference, tol=0.0)
    model.coef_[0, 1] *= 1 + 1e-6
    assert accuracy.digits(model, reference) == pytest.approx(6.0, abs=0.01)
    model.coef_[0, 1] = np.nan
    assert accuracy.digits(model, reference) == -np.inf


def test_table():
    """It names every contestant, and README.md has a place for it."""
    names = ["easy", "offset"]
    text = accuracy.markdown({name: accuracy.measured(REFERENCES[name]) for name in names}, REFERENCES)
    for contestant in accuracy.CONTESTANTS:
        assert contestant in text
    readme = (accuracy.ROOT / "README.md").read_text()
    assert readme.index(accuracy.BEGIN) < readme.index(accuracy.END)
