"""Who is to blame: the row, column, label or index that an error about bad input names."""

import numpy as np
import scipy.sparse
from sklearn.utils._missing import is_pandas_na

from fastlogreg.design import MANY, look_at_indices

NUMBERS = "biuf"  # kinds of dtype


def refuse_lazy(X):
    """Raise a TypeError for a frame that has yet to be read, as a LazyFrame of polars."""
    if hasattr(X, "collect") and not hasattr(X, "__array__"):
        raise TypeError(f"X is a {type(X).__name__}, which holds no data yet: call X.collect() first.")


def refuse_mask(values, name):
    """Raise a ValueError that names the first masked entry; conversion to an array would ignore the mask."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        first = np.argwhere(np.ma.getmaskarray(values))[0]
        where = ", ".join(f"{axis} {index}" for axis, index in zip(("row", "column"), first, strict=False))
        raise ValueError(
            f"Input {name} contains masked values, the first in {where}. Fill them, or drop such rows or columns."
        )


def refuse_times(X):
    """Raise a ValueError for dates and durations, which conversion to an array makes numbers in some hidden unit."""
    dtypes = getattr(X, "dtypes", None) if hasattr(X, "columns") else [getattr(X, "dtype", None)]
    for column, dtype in enumerate([] if callable(dtypes) or dtypes is None else dtypes):
        if getattr(dtype, "kind", "") in ("m", "M") or (hasattr(dtype, "is_temporal") and dtype.is_temporal()):
            where = f"Column {column} ({X.columns[column]!r}) of X" if hasattr(X, "columns") else "X"
            raise ValueError(
                f"{where} holds dates, times or durations ({dtype}). Make them numbers, for example the days since "
                "one of them."
            )


def check_indices(X, n_jobs=None):
    """Raise a ValueError for a sparse X whose indices point outside of it: reading it would end the process."""
    if not scipy.sparse.issparse(X) or X.ndim != 2:
        return
    if X.format == "coo":
        limits = [("row", X.row, X.shape[0]), ("col", X.col, X.shape[1])]
    elif X.format in ("csr", "csc"):
        pointers, size = X.indptr, X.shape[0 if X.format == "csr" else 1]
        ends = pointers[0] == 0 and pointers[-1] <= min(len(X.indices), len(X.data))
        if not ends or len(pointers) != size + 1 or (pointers[1:] < pointers[:-1]).any():
            raise ValueError(
                f"X is no valid {X.format.upper()} matrix: indptr must have {size + 1} values that rise from 0 to the "
                "number of entries at most."
            )
        if X.format == "csr" and pointers[-1] >= MANY:
            low, high, rising = look_at_indices(X, n_jobs)
            if 0 <= low and high < X.shape[1]:
                if rising:
                    X.has_canonical_format = True  # or SciPy would look again
                return
        limits = [("indices", X.indices[: pointers[-1]], X.shape[1 if X.format == "csr" else 0])]
    else:
        return
    for name, index, size in limits:
        if len(index) and not 0 <= index.min() <= index.max() < size:
            wrong = int(np.argmax((index < 0) | (index >= size)))
            raise ValueError(
                f"X is no valid {X.format.upper()} matrix: {name}[{wrong}] is {index[wrong]}, outside of 0 to "
                f"{size - 1}."
            )


def name_cell(X, error):
    """Raise the error again with the first entry of X that is not a number, if there is one."""
    sliced = hasattr(X, "__len__") and hasattr(X, "__getitem__") and not isinstance(X, str | bytes | dict)
    if scipy.sparse.issparse(X) or not sliced:
        return
    for first in range(0, len(X), 4096):  # an array of all as objects may not fit into memory
        rows = X[first : first + 4096]
        if isinstance(rows, np.ndarray) and rows.dtype.kind in NUMBERS:
            return
        try:
            cells = np.asarray(rows, dtype=object)
        except ValueError:  # ragged in depth
            return
        if cells.ndim == 1 and isinstance(cells[0], list | tuple):
            lengths = [len(row) if isinstance(row, list | tuple) else 1 for row in cells]
            row = next((row for row, length in enumerate(lengths) if length != lengths[0]), None)
            if row is not None:
                raise ValueError(
                    f"{error} Row {first + row} of X has {lengths[row]} values, row {first} has {lengths[0]}."
                ) from error
        if cells.ndim != 2:
            return
        for row, column in np.ndindex(cells.shape):
            value = cells[row, column]
            if value is None or _is_number(value):  # None becomes NaN
                continue
            name = f" ({X.columns[column]!r})" if hasattr(X, "columns") else ""
            where = f"in row {first + row}, column {column}{name} of X"
            if is_pandas_na(value):
                raise ValueError(f"Input X contains NaN, {value!r} {where}. Impute or drop such rows.") from error
            raise (TypeError if isinstance(error, TypeError) else ValueError)(
                f"{str(error).rstrip('.')} {where}. Encode or drop columns of text and of other things that are not "
                "numbers."
            ) from error


def _is_number(value):
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def name_label(y):
    """Raise a ValueError that names the first label that is missing or infinite, or the type that cannot be one."""
    if y is None or scipy.sparse.issparse(y):
        return
    try:
        labels = np.asarray(y, dtype=object)
    except ValueError:
        return
    if labels.ndim > 2:
        raise ValueError(f"y should be a 1d array, got an array of shape {labels.shape} instead.")
    for row, label in enumerate(labels.ravel() if labels.ndim < 2 or labels.shape[1] == 1 else ()):
        if label is None or is_pandas_na(label) or label != label:
            raise ValueError(f"Input y contains NaN: the first missing label is in row {row}. Drop such rows.")
        if isinstance(label, complex):
            raise ValueError(f"Complex data not supported: y holds {label!r} in row {row}.")
        if isinstance(label, float | np.floating) and np.isinf(label):
            dtype = np.asarray(y).dtype
            raise ValueError(
                f"Input y contains infinity or a value too large for {dtype!r}: the first is in row {row}."
            )


def as_numbers(values, name):
    """Return finite values as float64; raise a ValueError that names the first that is masked or no finite number."""
    refuse_mask(values, name)
    given = np.asarray(values)
    if given.dtype.kind not in NUMBERS + "O":
        raise ValueError(f"{name} must be numbers, got {given.dtype}")
    try:
        with np.errstate(over="ignore"):
            numbers = given.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be numbers: {error}") from error
    if not np.isfinite(numbers).all():
        first = tuple(np.argwhere(~np.isfinite(numbers))[0])
        kind = "NaN" if np.isnan(numbers[first]) else "infinity"
        where = f", first in row {first[0]}" if first else ""
        raise ValueError(f"Input {name} contains {kind}{where}.")
    return numbers[()]  # a number alone is one for all rows
