"""The design matrix: rows in blocks. The only module that asks what X is.

A kernel is a function of a row range that returns a partial sum, so ``run`` is all that threads, chunks of a larger
source and partitions of a cluster have to provide.
"""

from typing import Protocol

import numpy as np
import scipy.sparse

from fastlogreg.kernels import columns
from fastlogreg.kernels.blocks import CSR
from fastlogreg.threads import allowed_threads

# At most so many partial sums, fewer where each is large: the shape of X alone decides, never the number of threads,
# so that results are bitwise equal for any number of threads.
MAX_CHUNKS = 16
PARTIAL_DOUBLES = 2**18
# Below this many multiply-adds a parallel region costs more than it saves (about 10 microseconds).
SERIAL_WORK = 2**17
# One driver call runs at most this many multiply-adds (some 50 ms on one core), so that Ctrl-C is seen in time.
SEGMENT_WORK = 2**31
# Rows in which a few columns are looked at together: neighbours share cache lines, and the copy stays small.
LOOK_ROWS = 4096

EMPTY = np.empty(0)
NO_OFFSET = np.empty((0, 0))


class Design(Protocol):
    """Rows of X, in blocks; knows nothing of y."""

    shape: tuple[int, int]
    dtype: np.dtype

    def rows(self, values):
        """Return a row-aligned array (y, weight, offset, eta, …) as it lives beside the rows of X."""

    def run(self, kernel, rows=(), shared=(), size=None, work=1.0, scratch=None, between=None):
        """Run a driver over rows and return the sum of its partial results, in row order."""


class ArrayDesign:
    """Rows in memory: a C- or F-ordered array of float32 or float64, or CSR. Never copied, never changed.

    Parameters
    ----------
    X : ndarray or CSR
    threads : int
        Most threads to use.
    """

    def __init__(self, X, shape, threads):
        self.X = X
        self.shape = shape
        self.threads = threads
        self.dtype = X.data.dtype if isinstance(X, CSR) else X.dtype
        entries = X.data.size if isinstance(X, CSR) else X.size
        self.entries_per_row = max(1.0, entries / max(1, shape[0]))

    def rows(self, values):
        """Return row-aligned values as they are: all rows are in one place."""
        return values

    def run(self, kernel, rows=(), shared=(), size=None, work=1.0, scratch=None, between=None):
        """Run a driver over rows.

        Parameters
        ----------
        kernel : Driver
            Called as ``kernel(X, *rows, *shared[, scratch], bounds[, out])``.
        rows, shared : tuple
            Row-aligned arguments, and those that every row sees whole.
        size : int, optional
            Length of the partial sums; none for a kernel that writes rows.
        work : float
            Multiply-adds per entry of X.
        scratch : (tuple, dtype), optional
            Shape and dtype of the workspace of one chunk.
        between : (int, int), optional
            First row and the one after the last; all rows by default.

        Returns
        -------
        ndarray of shape (size,) or None
        """
        first, last = between or (0, self.shape[0])
        n_rows = last - first
        row_work = self.entries_per_row * work
        n_chunks = MAX_CHUNKS if not size else max(4, min(MAX_CHUNKS, PARTIAL_DOUBLES // size))
        n_chunks = int(max(1, min(n_chunks, n_rows, n_rows * row_work // SERIAL_WORK)))
        n_segments = int(np.ceil(n_rows * row_work / SEGMENT_WORK)) or 1
        threads = self.threads if n_chunks > 1 else 1
        bounds = first + np.arange(n_segments * n_chunks + 1) * n_rows // (n_segments * n_chunks)
        out = () if size is None else (np.zeros((n_chunks, size)),)
        if scratch is not None:
            shared = (*shared, np.empty((n_chunks, *scratch[0]), dtype=scratch[1]))
        for segment in range(n_segments):
            here = bounds[segment * n_chunks : (segment + 1) * n_chunks + 1]
            kernel(self.X, *rows, *shared, here, *out, threads=threads)
        return out[0].sum(axis=0) if out else None

    def sample(self, n_rows):
        """Return a design of n_rows rows spread evenly over X, and their indices.

        One row is drawn from each of n_rows equal ranges, so that rows sorted by class or time are all represented;
        the draw within a range avoids resonance with periodic data. The same rows every time.
        """
        edges = np.arange(n_rows + 1) * self.shape[0] // n_rows
        index = np.random.default_rng(0).integers(edges[:-1], edges[1:])
        if isinstance(self.X, CSR):
            return as_design(_matrix(self.X)[index], self.threads), index
        return as_design(self.X[index], self.threads), index

    def column_moments(self):
        """Return Σ x and Σ x² of every column, (2, n_features), not finite where an entry is not; one pass."""
        return self.run(columns.moments, size=2 * self.shape[1]).reshape(2, -1)

    def largest(self, columns):
        """Return the largest magnitude in each of some columns."""
        if isinstance(self.X, CSR):
            return np.asarray(abs(_matrix(self.X)[:, columns]).max(axis=0).todense()).ravel()
        largest = np.zeros(len(columns))
        for first in range(0, self.shape[0] if len(columns) else 0, LOOK_ROWS):
            values = np.abs(self.X[first : first + LOOK_ROWS, columns])
            np.maximum(largest, values.max(axis=0), out=largest)
        return largest

    def times(self, units):
        """Return a design of X with column j multiplied by units[j]: a copy."""
        units = units.astype(self.dtype)
        if isinstance(self.X, CSR):
            return as_design(_matrix(self.X._replace(data=self.X.data * units[self.X.indices])), self.threads)
        return as_design(self.X * units, self.threads)


def _read_only(array):
    """Return a read-only view; inside a tuple numba does not take a writable array for a read-only one."""
    view = array.view()
    view.flags.writeable = False
    return view


def _matrix(X):
    return scipy.sparse.csr_array((X.data, X.indices, X.indptr), shape=(X.indptr.size - 1, X.n_features))


def as_design(X, n_jobs=None):
    """Return the design of a validated X: ndarray or CSR, float32 or float64.

    Parameters
    ----------
    X : ndarray or sparse matrix or array in CSR format, of shape (n_samples, n_features)
    n_jobs : int, optional
        Threads to use; None for all cores that the process is allowed.
    """
    threads = allowed_threads(n_jobs)
    if scipy.sparse.issparse(X):
        rows = CSR(_read_only(X.data), _read_only(X.indices), _read_only(X.indptr), X.shape[1])
        return ArrayDesign(rows, X.shape, threads)
    if not (X.flags.c_contiguous or X.flags.f_contiguous) or not X.flags.aligned:
        X = np.ascontiguousarray(X)
    return ArrayDesign(X, X.shape, threads)
