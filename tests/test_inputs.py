"""Every input that `fit` and `predict` meet: all storages agree and stay as they were, bad ones are named.

The cases are those of numerics and inputs that break other libraries: each is either fitted as the plain array would
be, or refused by an error that names the row, the column or the parameter.
"""

import datetime
import hashlib

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
from sklearn.exceptions import DataConversionWarning

from designs import KERNEL, USER, integers
from fastlogreg import LogisticRegression, SeparationWarning, SGDLogisticRegression
from fastlogreg.design import MANY
from fastlogreg.validation import check_X_y
from problems import BINARY, SEVERAL

X, Y = BINARY.X, BINARY.y.astype(int)
X3, Y3 = SEVERAL.X, SEVERAL.y
NAMES = ["age", "height", "weight", "income", "debt"]


def few_steps():
    return SGDLogisticRegression(max_iter=3, tol=0, random_state=0)


each_estimator = pytest.mark.parametrize("make", [LogisticRegression, few_steps], ids=["optimum", "steps"])

# --- every storage, nothing changed -----------------------------------------------------------------------------


def digest(value):
    """Hash of all memory that belongs to a value, and the flags of its arrays."""
    flags: list = []
    if scipy.sparse.issparse(value):
        flags = [value.has_sorted_indices, value.has_canonical_format] if value.format in ("csr", "csc") else []
        names = ("data", "indices", "indptr", "row", "col", "offsets", "rows")
        parts = [getattr(value, name) for name in names if hasattr(value, name)] or [value.toarray()]
        if value.format == "lil":
            parts = [np.array([repr(row) for row in part.tolist()]) for part in parts]
    elif isinstance(value, pandas.DataFrame | pandas.Series):
        parts = [value.to_numpy(dtype=object).astype(str), np.asarray(value.index)]
        flags = [str(value.dtypes), list(getattr(value, "columns", []))]
    elif isinstance(value, polars.DataFrame | polars.Series):
        parts = [np.frombuffer(repr(value.to_dict(as_series=False)).encode(), dtype=np.uint8)]
    elif isinstance(value, np.ma.MaskedArray):
        parts = [value.data, np.ma.getmaskarray(value)]
    else:
        parts = [np.asarray(value)]
        flags = [type(value)]
    flags += [(part.flags.writeable, part.flags.c_contiguous, part.dtype, part.strides) for part in parts]
    return flags, [hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest() for part in parts]


@pytest.mark.parametrize("storage", [*KERNEL, *USER])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_storages_agree_and_stay_as_they_were(n_classes, storage):
    rng = np.random.default_rng(0)
    dense = integers(rng, (150, 3))
    y = rng.integers(0, n_classes, 150)
    weight, offset = rng.uniform(0, 2, 150), rng.normal(size=150 if n_classes == 2 else (150, n_classes))
    expected = LogisticRegression().fit(dense, y, weight, offset)
    stored = {**KERNEL, **USER}[storage](dense)
    given = [stored, y, weight, offset]
    before = [digest(value) for value in given]
    model = LogisticRegression().fit(*given)
    narrow = "float32" in storage
    assert model.coef_.dtype == (np.float32 if narrow else np.float64)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6 if narrow else 1e-9, atol=1e-7 if narrow else 0)
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        ours, theirs = getattr(model, method)(stored, offset=offset), getattr(expected, method)(dense, offset=offset)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5 if narrow else 1e-9, atol=1e-6 if narrow else 1e-12)
    assert (model.predict(stored) == expected.predict(dense)).all()
    assert before == [digest(value) for value in given]


@pytest.mark.parametrize("storage", [*KERNEL, *USER])
def test_storages_agree_for_gradient_steps(storage):
    rng = np.random.default_rng(0)
    dense = integers(rng, (60, 3))
    y = rng.integers(0, 2, 60)
    expected = few_steps().fit(dense, y)
    stored = {**KERNEL, **USER}[storage](dense)
    before = digest(stored)
    model = few_steps().fit(stored, y, X_val=stored, y_val=y).partial_fit(stored, y)
    again = few_steps().fit(dense, y).partial_fit(dense, y)
    narrow = {"rtol": 1e-5, "atol": 1e-6} if "float32" in storage else {"rtol": 1e-9}
    np.testing.assert_allclose(model.coef_, again.coef_, **narrow)
    model.fit(stored, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, **narrow)
    for method in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        np.testing.assert_allclose(getattr(model, method)(stored), getattr(expected, method)(dense), **narrow)
    assert before == digest(stored)


def test_booleans():
    mask = X > 0.0
    frames = [pandas.DataFrame(mask), pandas.DataFrame(mask).astype("boolean"), polars.DataFrame(mask)]
    expected = LogisticRegression().fit(mask.astype(float), Y).coef_
    for stored in (mask, scipy.sparse.csr_array(mask), *frames):
        np.testing.assert_allclose(LogisticRegression().fit(stored, Y).coef_, expected, rtol=1e-9)


def test_columns_of_several_types():
    """Integers, booleans and floats of a frame become float64, whatever its library."""
    columns = {"age": [1, 2, 3, 4, 5, 6] * 10, "member": [True, False, False] * 20, "debt": [0.5, -1.0, 2.0, 3.5] * 15}
    y = np.arange(60) % 7 > 3
    plain = np.array([np.asarray(column, dtype=float) for column in columns.values()]).T
    expected = LogisticRegression().fit(plain, y).coef_
    for frame in (pandas.DataFrame(columns), pandas.DataFrame(columns).convert_dtypes(), polars.DataFrame(columns)):
        model = LogisticRegression().fit(frame, y)
        np.testing.assert_allclose(model.coef_, expected, rtol=1e-9)
        np.testing.assert_array_equal(model.feature_names_in_, list(columns))


WITHOUT_COPY = {
    **{name: KERNEL[name] for name in KERNEL if not name.startswith("CSR")},
    "frame of one block": pandas.DataFrame,
    "frame of one block, F": lambda X: pandas.DataFrame(np.asfortranarray(X)),
    "polars frame of one block": lambda X: polars.DataFrame(np.asfortranarray(X)),
    "masked array": np.ma.MaskedArray,
}


@pytest.mark.parametrize("storage", WITHOUT_COPY)
def test_no_copy(storage):
    stored = WITHOUT_COPY[storage](X)
    checked, _ = check_X_y(LogisticRegression(), stored, Y)
    assert np.shares_memory(checked, stored.to_numpy() if hasattr(stored, "to_numpy") else stored)


@pytest.mark.parametrize("storage", ["CSR float64 int32", "CSR float32 int64"])
def test_no_copy_of_sparse(storage):
    stored = KERNEL[storage](X)
    checked, _ = check_X_y(LogisticRegression(), stored, Y)
    for name in ("data", "indices", "indptr"):
        assert np.shares_memory(getattr(checked, name), getattr(stored, name))


# --- tiny and degenerate ----------------------------------------------------------------------------------------


def test_one_feature_one_row_a_class():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    assert model.coef_[0, 0] == pytest.approx(-2 * model.intercept_[0])
    np.testing.assert_array_equal(model.predict([[0.0], [1.0]]), [0, 1])


@each_estimator
@pytest.mark.parametrize("store", [np.asarray, scipy.sparse.csr_array, pandas.DataFrame, polars.DataFrame])
def test_one_row(make, store):
    """Nothing to learn from, but enough to predict."""
    with pytest.raises(ValueError, match="at least 2 classes.*only one class: 1"):
        make().fit(store(X[:1]), [1])
    model = make().fit(store(X), Y)
    np.testing.assert_allclose(model.predict_proba(store(X[:1])), model.predict_proba(store(X))[:1], rtol=1e-12)


@each_estimator
def test_no_rows_to_predict(make):
    model = make().fit(X, Y)
    for method in (model.predict, model.predict_proba, model.predict_log_proba, model.decision_function):
        with pytest.raises(ValueError, match="0 sample"):
            method(X[:0])
        with pytest.raises(ValueError, match="Expected 2D array"):
            method(X[0])


@each_estimator
@pytest.mark.parametrize("p", [1, 2])
def test_columns_of_zeros_only(make, p):
    """Dense, and sparse without a single entry: the intercept is all there is."""
    for stored in (np.zeros((60, p)), scipy.sparse.csr_array((60, p))):
        model = make().fit(stored, Y[:60])
        assert (model.coef_ == 0.0).all() and np.isfinite(model.intercept_).all()
    if make is LogisticRegression:
        np.testing.assert_allclose(model.predict_proba(stored)[:, 1], Y[:60].mean(), rtol=1e-7)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X, np.zeros(200), r"at least 2 classes.*one class: 0\.0"),
        (X, ["a"] * 200, "one class: 'a'"),
        (X, Y[:-1], r"inconsistent numbers of samples: \[200, 199\]"),
        (X[:1], Y[:1], "one class"),
        (X[:0], Y[:0], "0 sample"),
        (X[:, :0], Y, "0 feature"),
        (scipy.sparse.csr_array((200, 0)), Y, "0 feature"),
        (pandas.DataFrame(index=range(200)), Y, "0 feature"),
        (scipy.sparse.csr_array((0, 5)), Y[:0], "0 sample"),
        (X[:, 0], Y, "Expected 2D array"),
        (pandas.Series(X[:, 0]), Y, "Expected (a 2-dimensional container|2D array)"),
        (polars.Series(X[:, 0]), Y, "Expected 2D array"),
        (X[:, :, None], Y, "array with dim 3"),
        (3.0, Y, "Expected 2D array, got scalar"),
        (None, Y, "Expected 2D array, got scalar"),
        ("text", Y, "'text'"),
        (X, X[:, 0], "continuous"),
        (X, np.column_stack([Y, Y]), "1d array"),
        (X, Y[:, None, None], r"y should be a 1d array, got an array of shape \(200, 1, 1\)"),
        (X, 1, "y should be a 1d array"),
        (X, None, "requires y"),
        (X + 0j, Y, "Complex data"),
        (scipy.sparse.csr_array(X + 0j), Y, "Complex data"),
        (X, Y + 0j, "Complex data not supported: y holds .* in row 0"),
    ],
)
@each_estimator
def test_data_that_are_none(make, X, y, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X, y)


# --- labels -----------------------------------------------------------------------------------------------------

LABELS = {
    "strings": np.array(["ham", "spam"]),
    "objects": np.array(["ham", "spam"], dtype=object),
    "booleans": np.array([False, True]),
    "minus one and one": np.array([-1, 1]),
    "whole floats": np.array([1.0, 7.0]),
    "wide apart": np.array([-(10**12), 3]),
    "unsigned": np.array([3, 200], dtype=np.uint8),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_type(kind):
    labels = LABELS[kind]
    expected = LogisticRegression().fit(X, Y)
    model = LogisticRegression().fit(X, labels[Y])
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.classes_, labels)
    assert model.classes_.dtype == labels.dtype
    np.testing.assert_array_equal(model.predict(X), labels[expected.predict(X)])
    assert model.score(X, labels[Y]) == expected.score(X, Y)


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        pandas.Series,
        lambda y: pandas.Series(y, dtype="Int64"),
        lambda y: pandas.Series(y == 1, dtype="boolean"),
        lambda y: pandas.Series(np.array(["no", "yes"])[y], dtype="string"),
        lambda y: pandas.Series(np.array(["no", "yes"])[y], dtype="category"),
        polars.Series,
        lambda y: polars.Series(np.array(["no", "yes"])[y]),
        lambda y: polars.Series(np.array(["no", "yes"])[y], dtype=polars.Categorical),
    ],
    ids=[
        "list",
        "tuple",
        "series",
        "nullable integer",
        "nullable boolean",
        "string",
        "category",
        "polars integer",
        "polars string",
        "polars category",
    ],
)
@each_estimator
def test_containers_of_labels(make, convert):
    y = convert(Y)
    model = make().fit(X, y)
    np.testing.assert_array_equal(model.coef_, make().fit(X, Y).coef_)
    np.testing.assert_array_equal(np.searchsorted(model.classes_, model.predict(X)), model.decision_function(X) > 0)


def test_labels_of_several_classes_are_sorted():
    names = np.array(["c", "a", "b"])
    model, plain = LogisticRegression().fit(X3, names[Y3]), LogisticRegression().fit(X3, Y3)
    np.testing.assert_array_equal(model.classes_, ["a", "b", "c"])
    np.testing.assert_allclose(model.coef_, plain.coef_[[1, 2, 0]], atol=1e-9)
    np.testing.assert_array_equal(model.predict(X3), names[plain.predict(X3)])


def test_column_of_labels_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model = LogisticRegression().fit(X, Y[:, None])
    np.testing.assert_array_equal(model.coef_, LogisticRegression().fit(X, Y).coef_)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(np.arange(200) == 3, np.nan, Y), "Input y contains NaN.* row 3"),
        (np.where(np.arange(200) == 3, np.inf, Y), "Input y contains infinity.* row 3"),
        (pandas.Series(np.where(np.arange(200) == 3, np.nan, Y)), "Input y contains NaN.* row 3"),
        (pandas.Series(Y, dtype="Int64").where(np.arange(200) != 3), "Input y contains NaN.* row 3"),
        (pandas.Series(Y > 0, dtype="boolean").where(np.arange(200) != 3), "Input y contains NaN.* row 3"),
        (pandas.Series(Y.astype(str), dtype="string").where(np.arange(200) != 3), "Input y contains NaN.* row 3"),
        (pandas.Series(Y.astype(str), dtype="category").where(np.arange(200) != 3), "Input y contains NaN.* row 3"),
        (polars.Series([None if i == 3 else int(Y[i]) for i in range(200)]), "Input y contains NaN.* row 3"),
        (polars.Series([None if i == 3 else str(Y[i]) for i in range(200)]), "Input y contains NaN.* row 3"),
        (np.where(np.arange(200) == 3, None, Y.astype(str)), "Input y contains NaN.* row 3"),
        (np.where(np.arange(200) == 3, None, Y), "Input y contains NaN.* row 3"),
        (Y.astype(object), r"Unknown label type.*of type int: convert them.*y\.astype\(int\)"),
        (np.where(Y == 1, "yes", Y.astype(object)), "Unknown label type.*of type int, str"),
        (np.array([10**30, 1], dtype=object)[Y], "Unknown label type.*of type int"),
    ],
    ids=str,
)
@each_estimator
def test_labels_that_are_none_are_named(make, y, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X, y)
    if make is few_steps:
        if "NaN" in message:
            with pytest.raises(ValueError, match=f"{message}|labels that are not among the classes"):
                make().partial_fit(X, y, classes=[0, 1])
        with pytest.raises(ValueError, match="labels that are not among the classes"):
            make().fit(X, np.array(["no", "yes"])[Y], X_val=X, y_val=y)


def test_classes_of_several_types():
    with pytest.raises(ValueError, match="must be labels of one type"):
        few_steps().partial_fit(X, Y, classes=[None, 1])


# --- weights and offsets that are none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.where(np.arange(200) == 7, -1.0, 1.0), "`sample_weight`: row 7 has -1.0"),
        (np.where(np.arange(200) == 7, np.nan, 1.0), "sample_weight contains NaN, first in row 7"),
        (np.where(np.arange(200) == 7, np.inf, 1.0), "sample_weight contains infinity, first in row 7"),
        (pandas.Series(1.0, range(200)).where(np.arange(200) != 7), "sample_weight contains NaN, first in row 7"),
        (polars.Series([None if i == 7 else 1 for i in range(200)]), "sample_weight contains NaN, first in row 7"),
        (np.where(np.arange(200) == 7, None, 1.0), "sample_weight contains NaN, first in row 7"),
        (np.zeros(200), "at least one non-zero"),
        (np.ones(199), r"sample_weight.shape == \(199,\), expected \(200,\)"),
        (np.ones((200, 2)), "1D array"),
        (pandas.DataFrame({"w": np.ones(200)}), "1D array"),
        (-1.0, "Negative"),
        ("balanced", "sample_weight must be numbers"),
        (["1"] * 199 + ["a"], "sample_weight must be numbers"),
        (np.ones(200) + 0j, "sample_weight must be numbers, got complex128"),
        (np.full(200, 1e308), "sum of sample_weight.* too large"),
        (np.full(200, 1e-310), "sum of sample_weight.* too small"),
    ],
)
@each_estimator
def test_weights_that_are_none(make, weight, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X, Y, sample_weight=weight)


@pytest.mark.parametrize("make", [lambda: LogisticRegression(C=np.inf), few_steps], ids=["no penalty", "steps"])
def test_a_class_without_weight_is_named_where_nothing_holds_it(make):
    with pytest.raises(ValueError, match="All rows of class 1 have zero sample_weight"):
        make().fit(X, Y, sample_weight=np.where(Y == 1, 0.0, 1.0))


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: -1.0}, "class 0 is -1.0"),
        ({0: np.nan}, "class 0 is nan"),
        ({0: 0.0, 1: 0.0}, "at least one non-zero"),
        ({7: 1.0}, "not in class_weight"),
        ({0: "a", 1: 1.0}, "class_weight=.*must have a number for each class"),
        ({0: [1.0], 1: 1.0}, "class_weight=.*must have a number for each class"),
        ({0: 1e308, 1: 1e308}, "with class_weight.* too large"),
    ],
)
@each_estimator
def test_class_weights_that_are_none(make, class_weight, message):
    with pytest.raises(ValueError, match=message):
        make().set_params(class_weight=class_weight).fit(X, Y)


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (np.zeros(199), r"offset has shape \(199,\), expected \(200,\)"),
        (np.zeros((200, 2)), r"offset has shape \(200, 2\), expected \(200,\)"),
        (0.0, r"offset has shape \(\), expected \(200,\)"),
        ("exposure", "offset must be numbers"),
        (np.zeros(200) + 1j, "offset must be numbers, got complex128"),
        (np.where(np.arange(200) == 9, np.inf, 0.0), "offset contains infinity, first in row 9"),
    ],
)
def test_offsets_that_are_none(offset, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(X, Y, offset=offset)
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(X, Y).predict(X, offset=offset)


@pytest.mark.parametrize("threshold", ["half", [0.5], 1.5, np.nan])
def test_thresholds_that_are_none(threshold):
    with pytest.raises(ValueError, match="threshold must be a probability"):
        LogisticRegression().fit(X, Y).predict(X, threshold=threshold)


def test_a_penalty_that_overflows():
    with pytest.raises(ValueError, match="C=1e-320 times the sum of the weights, 2e.02, is too small"):
        LogisticRegression(C=1e-320).fit(X, Y)
    with pytest.raises(ValueError, match="is too small: the penalty is"):
        LogisticRegression(C=1e-100).fit(X, Y, sample_weight=np.full(200, 1e-280))


@each_estimator
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_of_other_types(make, n_classes):
    data, y = (X, Y) if n_classes == 2 else (X3, Y3)
    weight = np.arange(len(y)) % 3
    expected = make().fit(data, y, sample_weight=weight.astype(np.float64))
    for given in (
        weight,
        weight.tolist(),
        weight.astype(np.float32),
        pandas.Series(weight),
        pandas.Series(weight, dtype="Int64"),
        polars.Series(weight),
        weight.astype(object),
    ):
        np.testing.assert_allclose(make().fit(data, y, sample_weight=given).coef_, expected.coef_, rtol=1e-12)
    present = make().fit(data, y, sample_weight=weight > 0)
    np.testing.assert_allclose(present.coef_, make().fit(data, y, sample_weight=(weight > 0) * 1.0).coef_, rtol=1e-12)


# --- what is no number ------------------------------------------------------------------------------------------

FRAMES = {"pandas": lambda X: pandas.DataFrame(X, columns=NAMES), "polars": lambda X: polars.DataFrame(X, schema=NAMES)}
STORAGES = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "CSR": scipy.sparse.csr_array,
    "COO": scipy.sparse.coo_array,
    "float32": lambda X: X.astype(np.float32),
    **FRAMES,
}


def assert_all_refuse(make, good, bad, message, error=ValueError):
    """`bad` is refused with this message by a fit, and by all predictions of a model fitted to `good`."""
    with pytest.raises(error, match=message):
        make().fit(bad, Y)
    model = make().fit(good, Y)
    kept = dict(vars(model))
    with pytest.raises(error, match=message):
        model.fit(bad, Y)
    assert vars(model) == kept
    for method in (model.predict, model.predict_proba, model.predict_log_proba, model.decision_function):
        with pytest.raises(error, match=message):
            method(bad)
    if hasattr(model, "partial_fit"):
        with pytest.raises(error, match=message):
            model.partial_fit(bad, Y)
        with pytest.raises(error, match=message):
            make().fit(good, Y, X_val=bad, y_val=Y)


@pytest.mark.parametrize(
    ("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")], ids=["nan", "inf", "-inf"]
)
@pytest.mark.parametrize("storage", STORAGES)
@each_estimator
def test_what_is_not_finite_is_named(make, storage, value, kind):
    bad = X.copy()
    bad[17, 3] = value
    name = r" \('income'\)" if storage in FRAMES else ""
    assert_all_refuse(
        make, STORAGES[storage](X), STORAGES[storage](bad), rf"contains {kind}.*\n.*row 17, column 3{name}"
    )


MISSING = {
    "polars null": lambda frame: polars.DataFrame(frame).with_columns(
        polars.when(polars.int_range(200) == 17).then(None).otherwise(polars.col("income")).alias("income")
    ),
    "polars null of integers": lambda frame: polars.DataFrame(
        {name: [None if (i, name) == (17, "income") else i % 7 for i in range(200)] for name in NAMES}
    ),
    "nullable float": lambda frame: with_missing(frame.astype("Float64"), pandas.NA),
    "nullable integer": lambda frame: with_missing(frame.round().astype("Int64"), pandas.NA),
    "nullable boolean": lambda frame: with_missing((frame > 0).astype("boolean"), pandas.NA),
    "None among objects": lambda frame: with_missing(frame.astype(object), None),
    "NA among objects": lambda frame: with_missing(frame.astype(object), pandas.NA),
}


def with_missing(frame, value):
    frame.iloc[17, 3] = value
    return frame


@pytest.mark.parametrize("kind", MISSING)
@each_estimator
def test_missing_values_of_frames_are_named(make, kind):
    frame = FRAMES["pandas"](X)
    assert_all_refuse(make, frame, MISSING[kind](frame.copy()), r"(?s)contains NaN.*row 17, column 3 \('income'\)")


def table(value, row=4, column=2):
    """Objects, one of which is no number."""
    cells = X.astype(object)
    cells[row, column] = value
    return cells


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("red", ValueError, "'red'"),
        (b"red", ValueError, "'red'"),
        ([1.0, 2.0], ValueError, "sequence"),
        ({"red": 1}, TypeError, "not 'dict'"),
        (datetime.date(2020, 2, 3), TypeError, "not 'datetime.date'"),
        (1j, TypeError, "not 'complex'"),
        (10**400, ValueError, "int too large"),
    ],
    ids=["text", "bytes", "list", "dict", "date", "complex", "integer of 400 digits"],
)
@each_estimator
def test_what_is_no_number_is_named(make, value, error, message):
    assert_all_refuse(make, X, table(value), f"{message}.* in row 4, column 2 of X", error)
    frame = pandas.DataFrame(table(value), columns=NAMES)
    assert_all_refuse(make, FRAMES["pandas"](X), frame, rf"{message}.* row 4, column 2 \('weight'\) of X", error)


def test_what_is_no_number_is_found_far_down():
    """Rows are looked at by parts."""
    cells = np.zeros((10_000, 2), dtype=object)
    cells[9_999, 1] = "x"
    with pytest.raises(ValueError, match="'x' in row 9999, column 1 of X"):
        LogisticRegression().fit(cells, np.arange(10_000) % 2)


@pytest.mark.parametrize(
    "column",
    [
        polars.Series(["a", "b"] * 100),
        polars.Series(["a", "b"] * 100, dtype=polars.Categorical),
        pytest.param(
            polars.Series([[1.0], [2.0]] * 100),
            marks=pytest.mark.skipif(
                np.lib.NumpyVersion(np.__version__) < "1.25.0", reason="a list of one number was a number to numpy"
            ),
        ),
        polars.Series([b"a"] * 200),
    ],
    ids=lambda column: str(column.dtype),
)
def test_columns_of_polars_that_are_no_numbers(column):
    frame = FRAMES["polars"](X).with_columns(column.alias("income"))
    assert_all_refuse(LogisticRegression, FRAMES["polars"](X), frame, r"row 0, column 3 \('income'\) of X")


DAYS = pandas.date_range("2020-01-01", periods=200)


@pytest.mark.parametrize(
    "frame",
    [
        FRAMES["pandas"](X).assign(income=DAYS),
        FRAMES["pandas"](X).assign(income=DAYS.tz_localize("UTC")),
        FRAMES["pandas"](X).assign(income=DAYS - DAYS[0]),
        FRAMES["polars"](X).with_columns(polars.Series(DAYS.to_numpy()).alias("income")),
        FRAMES["polars"](X).with_columns(polars.lit(datetime.date(2020, 1, 1)).alias("income")),
        FRAMES["polars"](X).with_columns(polars.lit(datetime.time(12)).alias("income")),
        FRAMES["polars"](X).with_columns(polars.lit(datetime.timedelta(1)).alias("income")),
    ],
    ids=["dates", "zone", "durations", "polars datetime", "polars date", "polars time", "polars duration"],
)
@each_estimator
def test_times_are_no_numbers(make, frame):
    """Their conversion would be silent, in days or nanoseconds."""
    assert_all_refuse(make, FRAMES["pandas"](X), frame, r"Column 3 \('income'\) of X holds dates, times or durations")


@pytest.mark.parametrize("dtype", ["M8[D]", "m8[s]"])
def test_arrays_of_times_are_no_numbers(dtype):
    times = np.arange(1000).reshape(200, 5).astype(dtype)
    assert_all_refuse(LogisticRegression, X, times, "X holds dates, times or durations")


def test_a_frame_that_is_not_read_yet():
    with pytest.raises(TypeError, match=r"X is a LazyFrame.*X\.collect\(\)"):
        LogisticRegression().fit(FRAMES["polars"](X).lazy(), Y)


def test_rows_of_unequal_length():
    rows = X.tolist()
    rows[9] = rows[9][:3]
    with pytest.raises(ValueError, match="Row 9 of X has 3 values, row 0 has 5"):
        LogisticRegression().fit(rows, Y)


def test_entries_beyond_float64():
    beyond = X.astype(np.longdouble)
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        beyond = np.full_like(beyond, np.inf)
    else:
        beyond[17, 3] = np.longdouble("1e4000")
    with pytest.raises(ValueError, match="infinity or a value too large"):
        LogisticRegression().fit(beyond, Y)


@each_estimator
def test_masks_are_not_ignored(make):
    assert_all_refuse(
        make, X, np.ma.MaskedArray(X, mask=X == X[3, 1]), "X contains masked values, the first in row 3, column 1"
    )
    third = np.arange(200) == 3
    with pytest.raises(ValueError, match="Input y contains masked values, the first in row 3"):
        make().fit(X, np.ma.MaskedArray(Y, mask=third))
    with pytest.raises(ValueError, match="Input sample_weight contains masked values, the first in row 3"):
        make().fit(X, Y, sample_weight=np.ma.MaskedArray(np.ones(200), mask=third))
    with pytest.raises(ValueError, match="Input offset contains masked values, the first in row 3"):
        make().fit(X, Y).predict(X, offset=np.ma.MaskedArray(np.ones(200), mask=third))
    plain, unmasked = make().fit(X, Y), make().fit(np.ma.MaskedArray(X, mask=False), np.ma.MaskedArray(Y))
    np.testing.assert_array_equal(plain.coef_, unmasked.coef_)


def test_masks_of_validation_data_are_not_ignored():
    with pytest.raises(ValueError, match="y_val contains masked values, the first in row 3"):
        few_steps().fit(X, Y, X_val=X, y_val=np.ma.MaskedArray(Y, mask=np.arange(200) == 3))


# --- sparse matrices that are none ------------------------------------------------------------------------------


def broken(format, name, position, value):
    """A sparse X with one index that points elsewhere; scipy itself does not look at them again."""
    stored = scipy.sparse.csr_array(X).asformat(format)
    index = getattr(stored, name).copy()
    index[position] = value
    setattr(stored, name, index)
    return stored


@pytest.mark.parametrize(
    ("format", "name", "position", "value", "message"),
    [
        ("csr", "indices", 6, 5, r"CSR matrix: indices\[6\] is 5, outside of 0 to 4"),
        ("csr", "indices", 6, -1, r"CSR matrix: indices\[6\] is -1"),
        ("csc", "indices", 6, 200, r"CSC matrix: indices\[6\] is 200, outside of 0 to 199"),
        ("csr", "indptr", 3, 10**6, "CSR matrix: indptr must have 201 values that rise"),
        ("csr", "indptr", 0, 5, "CSR matrix: indptr must have 201 values that rise"),
        ("csr", "indptr", 200, 10**6, "CSR matrix: indptr must have 201 values that rise"),
        ("csc", "indptr", 2, -3, "CSC matrix: indptr must have 6 values that rise"),
        ("coo", "row", 4, 200, r"COO matrix: row\[4\] is 200, outside of 0 to 199"),
        ("coo", "col", 4, -1, r"COO matrix: col\[4\] is -1, outside of 0 to 4"),
    ],
)
@pytest.mark.parametrize("many", [0, MANY])
@each_estimator
def test_indices_outside_of_the_matrix(make, many, format, name, position, value, message, monkeypatch):
    monkeypatch.setattr("fastlogreg.culprits.MANY", many)
    assert_all_refuse(make, X, broken(format, name, position, value), message)


def test_spare_room_behind_the_entries_is_not_read():
    stored = scipy.sparse.csr_array(X)
    room = scipy.sparse.csr_array(X)
    room.data, room.indices = np.append(room.data, [np.nan] * 3), np.append(room.indices, [999] * 3).astype(np.int32)
    np.testing.assert_array_equal(LogisticRegression().fit(room, Y).coef_, LogisticRegression().fit(stored, Y).coef_)


@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs"])
def test_offsets_that_saturate_all_probabilities(solver):
    """The Hessian at the start is next to nothing and its direction worthless; the optimum is reached all the same."""
    offset = 1e4 * np.random.default_rng(0).normal(size=(300, 3))
    model = LogisticRegression(solver=solver).fit(X3, Y3, offset=offset)
    assert model.result_.violation <= 1e-8
    best = LogisticRegression(solver="lbfgs").fit(X3, Y3, offset=offset)
    assert model.result_.objective == pytest.approx(best.result_.objective, rel=1e-10)


def test_separated_classes_to_the_last_bit():
    """Where the Hessian vanishes altogether, no direction is free."""
    with pytest.warns(SeparationWarning):
        model = LogisticRegression(C=np.inf, tol=0.0, fit_intercept=False).fit(X[:, :1], (X[:, 0] > 0.0).astype(int))
    assert model.coef_[0, 0] > 100.0 and model.score(X[:, :1], X[:, 0] > 0.0) == 1.0


def test_weights_of_any_size_are_the_same_weights():
    """But for the strength of the penalty, and to the last bit, though their products with squares overflow."""
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 200)
    plain = LogisticRegression(C=np.inf).fit(X * 1e30, Y, sample_weight=weight)
    for factor in (2.0**900, 2.0**-900):
        scaled = LogisticRegression(C=np.inf).fit(X * 1e30, Y, sample_weight=weight * factor)
        np.testing.assert_allclose(scaled.coef_, plain.coef_, rtol=1e-12)
