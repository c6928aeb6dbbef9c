"""Labels as targets: the classes there are, and which of them each row has."""

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from fastlogreg.culprits import NUMBERS, name_label
from fastlogreg.design import MANY, MAX_CHUNKS, split
from fastlogreg.kernels import labels
from fastlogreg.threads import allowed_threads

# Labels that are whole numbers are counted where they span at most so many values, or four times as many as there are.
SPAN = 2**16
SHOWN = 1024  # about so many rows are asked for two classes before all are


def encode(y, n_jobs=None):
    """Return the sorted classes, at least two, and the target of every row.

    The target is 0.0 or 1.0 for two classes, the class index as int64 for more. Numbers are found by reductions and
    counted; np.unique would sort them, which for a million rows takes longer than their fit.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    n_jobs : int, optional
        Threads to use; None for all cores that the process is allowed.

    Raises
    ------
    ValueError
        If y is not finite, continuous or of one class only.
    """
    numbers = y.dtype.kind in NUMBERS
    if not numbers:
        try:
            check_classification_targets(y)
        except (TypeError, ValueError) as error:
            name_label(y)
            if y.dtype != object:
                raise
            kinds = sorted({type(label).__name__ for label in y})
            raise type(error)(
                f"{error} y is an array of objects, of type {', '.join(kinds)}: convert them to one, for example with "
                "y.astype(int) or y.astype(str)."
            ) from error
    classes, target = _encode_two(y, n_jobs) or (_encode_numbers(y) if numbers else None) or _encode_any(y)
    if numbers and (2 * len(classes) > len(y) or (classes != np.rint(classes)).any()):
        check_classification_targets(y)  # for its message
    if len(classes) < 2:
        raise ValueError(
            f"This solver needs samples of at least 2 classes in the data, but the data contains only one class: "
            f"{classes.tolist()[0]!r}"
        )
    return classes, target


def _encode_two(y, n_jobs):
    """Return classes and target of two numbers that some of many rows show, in one threaded read, else None.

    NumPy, which looks for the extremes first, takes twice as long: for two million rows of ten columns, a tenth of the
    fit.
    """
    if len(y) < MANY or y.dtype not in (np.int64, np.float64) or not (y.flags.c_contiguous and y.flags.aligned):
        return None
    some = np.append(y[:: -(-len(y) // SHOWN)], y[-1])
    low, high = some.min().item(), some.max().item()
    if not -np.inf < low < high < np.inf:
        return None
    target, bounds = np.empty(len(y)), split(len(y), MAX_CHUNKS)
    found = np.zeros(MAX_CHUNKS, dtype=np.int64)
    labels.mark_high(y, low, high, bounds, target, found, threads=allowed_threads(n_jobs))
    return (np.array([low, high], dtype=y.dtype), target) if found.sum() == len(y) else None


def _encode_any(y):
    """Compare labels with the classes; sorting them with their positions takes four times the memory."""
    classes = np.unique(y)
    if len(classes) == 2:
        return classes, (y == classes[1]).astype(np.float64)
    return classes, np.searchsorted(classes, y).astype(np.int64, copy=False)


def _encode_numbers(y):
    """Return classes and target of two values or of whole numbers close together, else None."""
    low, high = y.min(), y.max()
    if y.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
        name_label(y)
    if y.dtype.kind in "iu" and int(high) == int(low) + 1:  # nothing lies between
        return np.array([low, high], dtype=y.dtype), np.equal(y, high, out=np.empty(len(y)))
    is_high = y == high
    if np.count_nonzero(is_high) + np.count_nonzero(y == low) == len(y):
        return np.array([low, high], dtype=y.dtype), is_high.astype(np.float64)
    whole = y.dtype.kind != "f" or not np.mod(y, 1).any()
    if not whole or int(high) - int(low) > max(SPAN, 4 * len(y)):
        return None
    unsigned = y.dtype.kind == "u"  # may lie beyond int64
    index = (y - low).astype(np.int64) if unsigned else y.astype(np.int64) - int(low)
    present = np.bincount(index) > 0
    if present.all() and not unsigned:
        return np.arange(int(low), int(high) + 1).astype(y.dtype), index
    found = np.flatnonzero(present)
    classes = found.astype(y.dtype) + low if unsigned else (found + int(low)).astype(y.dtype)
    return classes, (np.cumsum(present) - 1)[index]
