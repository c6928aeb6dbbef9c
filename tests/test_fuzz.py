"""Whatever is drawn: a fit whose optimality the twin certifies, or an error that names the culprit.

Nothing else may come out: no error of numba, LLVM, indices, division or LAPACK, no RuntimeWarning, no input changed.
"""

import re
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from designs import memory_map, messy_csr, read_only
from fastlogreg import ConvergenceWarning, LogisticRegression, SeparationWarning, solvers
from fastlogreg.result import Status
from test_inputs import digest

# --- what is drawn ----------------------------------------------------------------------------------------------

#: A column from random numbers, the columns before it, and the class indices.
COLUMNS = {
    "normal": lambda rng, X, y: rng.normal(size=len(y)),
    "integers": lambda rng, X, y: rng.integers(-2, 3, len(y)).astype(float),
    "zero": lambda rng, X, y: np.zeros(len(y)),
    "constant": lambda rng, X, y: np.full(len(y), rng.choice([1.0, -3.0, 1e9, 0.1])),
    "nearly constant": lambda rng, X, y: 1.0 + 1e-9 * rng.normal(size=len(y)),
    "rare": lambda rng, X, y: (np.arange(len(y)) == rng.integers(max(1, len(y)))) * 1.0,
    "far": lambda rng, X, y: 1e6 + rng.normal(size=len(y)),
    "large": lambda rng, X, y: 1e8 * rng.normal(size=len(y)),
    "small": lambda rng, X, y: 1e-8 * rng.normal(size=len(y)),
    "huge": lambda rng, X, y: 10.0 ** rng.choice([30, 36]) * rng.normal(size=len(y)),
    "vast": lambda rng, X, y: 10.0 ** rng.choice([150, 200, 300]) * rng.normal(size=len(y)),
    "tiny": lambda rng, X, y: 10.0 ** rng.choice([-30, -36]) * rng.normal(size=len(y)),
    "minute": lambda rng, X, y: 10.0 ** rng.choice([-150, -200, -300, -310]) * rng.normal(size=len(y)),
    "of all sizes": lambda rng, X, y: rng.normal(size=len(y)) * 10.0 ** rng.uniform(-6, 6, len(y)),
    "label": lambda rng, X, y: y + 0.0,
    "noisy label": lambda rng, X, y: y + rng.normal(size=len(y)),
    "copy": lambda rng, X, y: 2.0 * X[-1] if X else np.ones(len(y)),
    "sum": lambda rng, X, y: sum(X, np.zeros(len(y))),
}
STORAGES = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "read-only": read_only,
    "memory map": memory_map,
    "list": lambda X: X.tolist() if X.size else X,
    "object": lambda X: X.astype(object),
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "pandas": pandas.DataFrame,
    "polars": polars.DataFrame,
    "CSR": scipy.sparse.csr_array,
    "CSR in parts": lambda X: messy_csr(X) if X.size else scipy.sparse.csr_array(X),
    "CSC": scipy.sparse.csc_matrix,
    "COO": scipy.sparse.coo_array,
}
LABELS = {
    "int": np.arange(4),
    "float": np.array([-1.0, 0.0, 2.0, 7.0]),
    "uint8": np.array([0, 7, 8, 255], dtype=np.uint8),
    "wide": np.array([-(10**15), 0, 1, 10**15]),
    "str": np.array(["a", "bb", "c", "d"]),
    "object": np.array(["no", "perhaps", "unknown", "yes"], dtype=object),
}
NUMBERS = [np.inf, 1.0, 1e-3, 1e3, 1e-10, 1e10, 1e-100, 1e100, 1e-300, 1e300, 1e-320, 1e308]


@dataclass
class Case:
    """Arguments of a fit, and what is wrong with them."""

    options: dict
    X: np.ndarray
    y: np.ndarray
    storage: str
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    flaws: list = field(default_factory=list)
    n_classes: int = 2
    empty_class: bool = False  # whether the rows of a class have no weight


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.one_of(st.integers(8, 60), st.integers(0, 8), st.just(300)))
    n_classes = draw(st.sampled_from([2, 2, 3, 4]))
    index = rng.integers(0, n_classes, n)
    if n:
        index[:n_classes] = np.arange(n_classes)[:n]
    kinds = draw(
        st.lists(st.sampled_from(list(COLUMNS)), min_size=0 if draw(st.integers(0, 20)) == 7 else 1, max_size=6)
    )
    columns: list = []
    for kind in kinds:
        columns.append(COLUMNS[kind](rng, columns, index))
    dtype = draw(st.sampled_from([np.float64, np.float64, np.float32]))
    with np.errstate(over="ignore"):
        X = np.column_stack(columns).astype(dtype) if columns else np.zeros((n, 0), dtype)
    flaws = []
    if X.size and not np.isfinite(X).all():
        X[~np.isfinite(X)] = 0.0
    if X.size and draw(st.integers(0, 19)) == 7:
        X[rng.integers(n), rng.integers(len(kinds))] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        flaws.append("X contains")
    if n == 0:
        flaws.append(r"0 sample|minimum of")
    if not kinds:
        flaws.append(r"0 feature|minimum of")
    if n and draw(st.integers(0, 29)) == 7:
        index[:] = 1
    if n and len(np.unique(index)) < 2:
        flaws.append("only one class")
    y = LABELS[draw(st.sampled_from(list(LABELS)))][index]
    present, index = np.unique(index, return_inverse=True)
    case = Case({}, X, y, draw(st.sampled_from(list(STORAGES))), flaws=flaws, n_classes=len(present))
    add_weight(draw, rng, case, index)
    add_offset(draw, rng, case)
    class_weight = draw(st.sampled_from([None, None, None, "balanced", "dict", "zero"]))
    if class_weight in ("dict", "zero"):
        names = np.unique(y).tolist()
        class_weight = dict(zip(names, 0.5 + np.arange(len(names)) * (class_weight == "dict"), strict=True))
        if names and draw(st.booleans()):
            class_weight[names[0]] = 0.0
    case.options = {
        "C": draw(st.sampled_from(NUMBERS)),
        "fit_intercept": draw(st.booleans()),
        "solver": draw(st.sampled_from(["auto", *solvers.SOLVERS, "newton-cholesky", "saga"])),
        "class_weight": class_weight,
        "n_jobs": draw(st.sampled_from([None, 1, 2, -1])),
        "tol": draw(st.sampled_from([1e-8, 1e-8, 1e-4, 0.0])),
        "max_iter": draw(st.sampled_from([1000, 1000, 1000, 3, 0])),
    }
    if case.empty_class and np.isinf(case.options["C"]):
        case.flaws.append("have zero sample_weight")
    return case


def add_weight(draw, rng, case, index):
    n = len(index)
    kind = draw(
        st.sampled_from(["none"] * 4 + ["uniform", "counts", "wide", "huge", "minute", "negative", "nan", "class"])
    )
    if kind == "none" or n == 0:
        return
    case.weight = {
        "uniform": rng.uniform(0.1, 3.0, n),
        "counts": rng.integers(0, 3, n).astype(float),
        "wide": 10.0 ** rng.uniform(-12, 12, n),
        "huge": np.full(n, 10.0 ** rng.choice([100, 250, 305])),
        "minute": np.full(n, 10.0 ** rng.choice([-100, -250, -305])),
    }.get(kind, np.ones(n))
    if kind in ("negative", "nan"):
        case.weight[rng.integers(n)] = {"negative": -1.0, "nan": np.nan}[kind]
        case.flaws.append("sample_weight")
    if kind == "class":
        case.weight[index == 0] = 0.0
    if not case.weight.any():
        case.flaws.append("Sample weights must contain")
    elif (np.bincount(index, np.abs(case.weight)) == 0.0).any():
        case.empty_class = True
    if np.nansum(case.weight) > 1e299 or np.nansum(case.weight) < 1e-289:
        case.flaws.append("sum of sample_weight")


def add_offset(draw, rng, case):
    kind = draw(st.sampled_from(["none"] * 5 + ["normal", "large", "nan"]))
    n, n_columns = len(case.y), 1 if case.n_classes <= 2 else case.n_classes
    if kind == "none" or n == 0:
        return
    case.offset = rng.normal(size=(n, n_columns)) * (1e4 if kind == "large" else 1.0)
    if n_columns == 1:
        case.offset = case.offset[:, 0]
    if kind == "nan":
        case.offset[rng.integers(n)] = np.nan
        case.flaws.append("offset contains NaN")


# --- what is checked --------------------------------------------------------------------------------------------

#: Errors of what is right in itself and too extreme in combination.
EXTREME = (
    "too small: the penalty is|coefficient of column .* is too large|sum of sample_weight, with class_weight, is|"
    "class_weight must contain at least one non-zero"
)


def check(case):
    given = [STORAGES[case.storage](case.X), case.y, case.weight, case.offset]
    before = [None if value is None else digest(value) for value in given]
    model = LogisticRegression(**case.options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(*given)
        except (ValueError, TypeError) as error:
            message = str(error)
            assert any(re.search(pattern, message) for pattern in [*case.flaws, EXTREME]), message
            assert not hasattr(model, "coef_")
        else:
            assert not case.flaws
            check_fit(case, model, given[0], [entry.category for entry in caught])
    assert before == [None if value is None else digest(value) for value in given]
    for entry in caught:
        few_rows = "number of unique classes is greater than 50%" in str(entry.message)
        assert issubclass(entry.category, ConvergenceWarning) or few_rows, entry


def check_recession(X, target, counted, direction):
    """No row gets worse along the direction, but for rounding, and some get better."""
    eta = naive.decision(X, direction)
    if eta.ndim == 1:
        eta = np.column_stack([np.zeros(len(eta)), eta])
    own = eta[np.arange(len(eta)), target.astype(int)]
    margins = (own[:, None] - eta)[counted]
    coef = np.atleast_2d(direction)
    sizes = _sizes(X, coef)[counted, None]
    # Far from zero, as 10⁶ ± 1, columns and intercept balance terms much larger than what the rows gain.
    means = X[counted].mean(axis=0)
    moves = _sizes(X - means, np.column_stack([coef[:, :-1], coef @ np.append(means, 1.0)]))[counted, None]
    assert (margins >= -1e-7 * sizes).all() and (margins > 1e-6 * moves).any()


def _sizes(X, coef):
    """Sums of the absolute terms of the linear predictors of each row, over the classes."""
    return naive.with_ones(np.abs(X)) @ np.abs(coef).sum(axis=0)


def check_fit(case, model, stored, categories):
    result, X = model.result_, case.X.astype(np.float64)
    classes, index = np.unique(case.y, return_inverse=True)
    target = index.astype(np.float64) if len(classes) == 2 else index
    weight = effective_weight(case, classes, index)
    l2 = 1.0 / case.options["C"] / weight.sum()
    weight /= weight.mean()
    terms = {"weight": weight, "offset": case.offset, "l2": l2, "fit_intercept": case.options["fit_intercept"]}
    assert np.isfinite(model.coef_).all() and np.isfinite(result.objective)
    chance, logarithm = model.predict_proba(stored), model.predict_log_proba(stored)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0, rtol=1e-6)
    assert (logarithm <= 0.0).all() and np.isfinite(logarithm).all()
    if result.status is Status.MAX_ITER:
        assert categories == [ConvergenceWarning]
        return
    if result.status is Status.SEPARATED:
        assert categories == [SeparationWarning] and l2 == 0.0
        check_recession(X, target, weight > 0.0, result.recession)
        return
    assert result.converged
    violation, rounding = certificate(X, target, result.coef, **terms)
    # PRECISION: the decrease that is left, about violation² / 2, is below the rounding of the objective.
    flat = np.sqrt(64.0 * np.finfo(float).eps * result.objective)
    tol = case.options["tol"] if result.status is Status.CONVERGED else flat
    assert not categories, (result.status, violation, rounding)
    assert violation <= tol + rounding, (result.status, violation, rounding)


def effective_weight(case, classes, index):
    weight = np.ones(len(index)) if case.weight is None else case.weight.copy()
    factors = case.options["class_weight"]
    if factors == "balanced":
        totals = np.bincount(index, weight)
        factors = totals.sum() / (np.count_nonzero(totals) * np.where(totals > 0.0, totals, 1.0))
        return weight * factors[index]
    return weight if factors is None else weight * np.array([factors[name] for name in classes.tolist()])[index]


def certificate(X, target, coef, *, weight, offset, l2, fit_intercept):
    """The violation, and how much of it the rounding of linear predictors and of sums can account for."""
    violation = naive.kkt_violation(X, target, coef, weight=weight, offset=offset, l2=l2, fit_intercept=fit_intercept)
    eps = np.finfo(float).eps
    size = np.abs(coef[..., :-1])
    eta_size = np.abs(X) @ size.T + np.abs(coef[..., -1])
    if offset is not None:
        eta_size = eta_size + np.abs(offset)
    eta_size = eta_size if eta_size.ndim == 1 else eta_size.max(axis=1)
    slopes = np.minimum(1.0, eps * (4.0 + eta_size))  # the error of a slope
    share = weight / weight.sum()
    errors = (share * slopes) @ np.abs(X)
    errors += np.abs(naive.means(X, weight)) * (share @ slopes)
    errors += l2 * (eps * (size if size.ndim == 1 else size.max(axis=0)) + np.finfo(float).smallest_subnormal)
    scales = naive.scales(X, weight, fit_intercept)
    if fit_intercept and l2 > 0.0:  # columns that the penalty hides are not centred
        hidden = scales[:-1] < 1e-7 * np.sqrt(l2)
        free = naive.gradient(X, target, coef, weight=weight, offset=offset)[..., -1]
        errors += hidden * np.abs(naive.means(X, weight)) * np.abs(free).max()
    return violation, 64.0 * max((errors / scales[:-1]).max(initial=0.0), share @ slopes)


@settings(max_examples=200)
@given(cases())
def test_optimum_or_culprit(case):
    check(case)


@pytest.mark.long
@settings(max_examples=2000)
@given(cases())
def test_optimum_or_culprit_long(case):
    check(case)
