"""Labels are encoded as np.unique would, whatever their type; what needs no conversion is not converted."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.utils.multiclass import check_classification_targets

from fastlogreg import LogisticRegression
from fastlogreg.labels import encode

RNG = np.random.default_rng(0)
LABELS = {
    "bool": RNG.random(50) < 0.5,
    "int8, ends of the range": np.array([-128, 127] * 10, dtype=np.int8),
    "int8, three": np.array([-128, 127, 0] * 10, dtype=np.int8),
    "uint8": RNG.integers(250, 256, 60).astype(np.uint8),
    "uint64, beyond int64": np.array([2**64 - 1, 2**64 - 3, 2**64 - 2] * 5, dtype=np.uint64),
    "uint64, far apart": np.array([0, 2**64 - 1, 5] * 5, dtype=np.uint64),
    "int64, far apart": np.array([-(2**63), 2**63 - 1, 5] * 5),
    "int64, two": np.array([-1, 1] * 8),
    "gaps": RNG.choice([3, 70, 1000], 90),
    "one of each but one": np.arange(40) // 2 * 3,
    "float": RNG.choice([-2.0, 0.0, 7.0], 60),
    "float, large": RNG.choice([1e300, 2e300, -1e300], 60),
    "float32, two": RNG.choice([0.0, 1.0], 60).astype(np.float32),
    "negative zero": np.array([-0.0, 0.0, 1.0, 2.0] * 5),
    "float16": RNG.choice([0, 1, 2], 60).astype(np.float16),
    "text": RNG.choice(["a", "bb", "c"], 60),
    "objects": RNG.choice(np.array(["x", "y"], dtype=object), 60),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_encode_equals_unique(labels):
    before = labels.copy()
    classes, target = encode(labels)
    expected, index = np.unique(labels, return_inverse=True)
    np.testing.assert_array_equal(classes, expected)
    assert classes.dtype == labels.dtype
    np.testing.assert_array_equal(target, index)
    assert target.dtype == (np.float64 if len(classes) == 2 else np.int64)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("name", LABELS)
def test_many_labels_are_encoded_as_few(name, monkeypatch):
    """In one read where a sample shows both of two numbers; whatever it does not show is found as before."""
    monkeypatch.setattr("fastlogreg.labels.MANY", 0)
    monkeypatch.setattr("fastlogreg.labels.SHOWN", 5)
    labels = LABELS[name]
    for y in labels, np.concatenate([labels[labels == labels[0]], labels]), labels[::-1]:
        classes, target = encode(y)
        expected, index = np.unique(y, return_inverse=True)
        np.testing.assert_array_equal(classes, expected)
        np.testing.assert_array_equal(target, index)
        assert (classes.dtype, target.dtype) == (y.dtype, np.float64 if len(classes) == 2 else np.int64)


@pytest.mark.parametrize("bad, message", [(np.nan, "Input y contains NaN"), (np.inf, "Input y contains infinity")])
@pytest.mark.parametrize("labels", [[0.0, 1.0, 1.0], [1.0]])
@pytest.mark.parametrize("many", [0, 2**19])
def test_labels_that_are_not_finite(bad, message, labels, many, monkeypatch):
    monkeypatch.setattr("fastlogreg.labels.MANY", many)
    for value in bad, -bad:
        with pytest.raises(ValueError, match=message):
            encode(np.array([*labels, value]))


@pytest.mark.parametrize("labels", [[0.5, 1.5, 2.0] * 4, [0.25, 1.0] * 6], ids=["three", "two"])
def test_continuous_labels(labels):
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode(np.array(labels))


def test_one_class():
    with pytest.raises(ValueError, match="at least 2 classes in the data, but the data contains only one class: 3"):
        encode(np.full(9, 3))


def test_nearly_as_many_classes_as_rows():
    """scikit-learn warns of them, from 1.7 on: so do we, as it does."""
    found = []
    for check in (encode, check_classification_targets):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check(np.arange(30))
        found.append([str(warning.message) for warning in caught])
    assert found[0] == found[1]


@pytest.mark.parametrize("storage", [np.array, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_needs_no_conversion_is_left_alone(storage, dtype, monkeypatch):
    def looked(*args, **options):
        raise AssertionError("looked at")

    X = storage(RNG.integers(-2, 3, (60, 4)).astype(dtype))
    y = np.arange(60) % 2
    expected = LogisticRegression().fit(X, y)
    labels = expected.predict(X)
    monkeypatch.setattr("fastlogreg.validation.validate_data", looked)
    monkeypatch.setattr("scipy.sparse.csr_array.__abs__", looked)
    model = LogisticRegression().fit(X, y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.predict(X), labels)
    with pytest.raises(AssertionError, match="looked at"):
        LogisticRegression().fit(X.astype(np.int64), y)


def test_names_of_an_earlier_fit_are_forgotten():
    pd = pytest.importorskip("pandas")
    X = RNG.standard_normal((30, 2))
    y = np.arange(30) % 2
    model = LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    model.fit(X, y)
    assert not hasattr(model, "feature_names_in_")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X)
