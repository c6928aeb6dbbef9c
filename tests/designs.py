"""Every storage of one matrix.

``KERNEL`` holds what a design hands to kernels as it is, ``USER`` whatever else ``fit`` accepts. Each entry makes,
from a dense float64 array, another storage of the same numbers; those of KERNEL need entries that float32 can hold
and those of USER small integers (see ``rounded`` and ``integers``), for then nothing is lost in any of them.
"""

import tempfile
import warnings

import numpy as np
import pandas
import polars
import scipy.sparse


def rounded(X):
    """Round to float32, so that every storage of X holds exactly the same numbers."""
    return np.asarray(X, dtype=np.float32).astype(np.float64)


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_map(X, order="C"):
    if not X.size:  # an empty file cannot be mapped
        return read_only(np.asarray(X, order=order))
    with tempfile.TemporaryFile() as file:  # the map outlives the handle
        mapped = np.memmap(file, dtype=X.dtype, mode="w+", shape=X.shape, order=order)
    mapped[:] = X
    mapped.flags.writeable = False
    return mapped


def with_indices(X, index):
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


def csr(X, dtype=np.float64, index=np.int32):
    return with_indices(scipy.sparse.csr_array(X.astype(dtype)), index)


def messy_coo(X):
    """COO from the last entry to the first, entries split in two, zeros stored, indices of 64 bits."""
    rows, columns = (np.tile(index.ravel()[::-1].astype(np.int64), 2) for index in np.indices(X.shape))
    return scipy.sparse.coo_array((np.tile(X.ravel()[::-1] / 2, 2), (rows, columns)), shape=X.shape)


def messy_csr(X):
    """CSR with the entries of a row in falling order, entries split in two, and the first zero of a row stored."""
    stored = (X != 0.0) | (np.cumsum(X == 0.0, axis=1) == 1)
    rows, columns = np.nonzero(stored)
    order = np.lexsort((-columns, rows))
    halves, index = X[rows, columns][order] / 2, columns[order].astype(np.int32)
    indptr = 2 * np.append(0, np.cumsum(stored.sum(axis=1))).astype(np.int32)
    return scipy.sparse.csr_array((np.repeat(halves, 2), np.repeat(index, 2), indptr), shape=X.shape)


def strided_csr(X):
    """CSR of every second entry of arrays twice as long."""
    X = scipy.sparse.csr_array(X)
    data, indices, indptr = (np.repeat(part, 2)[::2] for part in (X.data, X.indices, X.indptr))
    return scipy.sparse.csr_array((data, indices, indptr), shape=X.shape)


def dia(X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.sparse.SparseEfficiencyWarning)
        return scipy.sparse.dia_array(X)


KERNEL = {
    "C float64": np.ascontiguousarray,
    "F float64": np.asfortranarray,
    "C float32": lambda X: np.ascontiguousarray(X, dtype=np.float32),
    "F float32": lambda X: np.asfortranarray(X, dtype=np.float32),
    "CSR float64 int32": csr,
    "CSR float32 int64": lambda X: csr(X, dtype=np.float32, index=np.int64),
    "CSR unsorted, duplicates, zeros": messy_csr,
    "read-only": read_only,
    "memory map C": memory_map,
    "memory map F": lambda X: memory_map(X, order="F"),
}

USER = {
    "list": lambda X: X.tolist(),
    "int64": lambda X: X.astype(np.int64),
    "int8": lambda X: X.astype(np.int8),
    "float16": lambda X: X.astype(np.float16),
    "big-endian": lambda X: X.astype(">f8"),
    "big-endian of 4 bytes, F": lambda X: np.asfortranarray(X.astype(">f4")),
    "big-endian memory map": lambda X: memory_map(X.astype(">f8")),
    "longdouble": lambda X: X.astype(np.longdouble),
    "object": lambda X: X.astype(object),
    "strided rows": lambda X: np.repeat(X, 2, axis=0)[::2],
    "strided columns": lambda X: np.repeat(X, 3, axis=1)[:, ::3],
    "negative strides": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "unaligned": lambda X: unaligned(X),
    "masked array, nothing masked": lambda X: np.ma.MaskedArray(X),
    "data frame": lambda X: pandas.DataFrame(X),
    "data frame of columns": lambda X: pandas.DataFrame({f"x{j}": X[:, j] for j in range(X.shape[1])}),
    "sparse data frame": lambda X: pandas.DataFrame(X).astype(pandas.SparseDtype(float, 0.0)),
    "polars": lambda X: polars.DataFrame(X),
    "polars int8": lambda X: polars.DataFrame(X.astype(np.int8)),
    "nullable data frame": lambda X: pandas.DataFrame(X).convert_dtypes(),
    "CSR matrix": scipy.sparse.csr_matrix,
    "CSC": scipy.sparse.csc_array,
    "CSC matrix": scipy.sparse.csc_matrix,
    "CSC int64 indices": lambda X: with_indices(scipy.sparse.csc_array(X), np.int64),
    "COO": scipy.sparse.coo_array,
    "COO int64 indices, duplicates": lambda X: messy_coo(X),
    "BSR": scipy.sparse.bsr_array,
    "DIA": lambda X: dia(X),
    "DOK": scipy.sparse.dok_array,
    "LIL": scipy.sparse.lil_array,
    "CSR of slices": strided_csr,
    "CSR int64 indices": lambda X: csr(X, index=np.int64),
    "CSR int64 values": lambda X: scipy.sparse.csr_array(X.astype(np.int64)),
}


def unaligned(X):
    raw = np.empty(X.nbytes + 1, dtype=np.uint8)[1:].view()
    result = np.ndarray(X.shape, dtype=np.float64, buffer=raw.data)
    result[:] = X
    return result


def integers(rng, shape):
    """Small integers as float64, which all of USER can hold."""
    return rng.integers(-3, 4, size=shape).astype(np.float64)
