"""The design matrix: rows in blocks. The only module that asks what X is.

A kernel is a function of a row range that returns a partial sum, so ``run`` is all that threads, chunks of a larger
source and partitions of a cluster have to provide.
"""

import functools
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse

from fastlogreg.kernels import blocks, columns
from fastlogreg.kernels.csr import CSR
from fastlogreg.threads import allowed_threads, check_jobs, in_threads

# At most so many partial sums, fewer where each is large: the shape of X alone decides, never the number of threads,
# so that results are bitwise equal for any number of threads.
MAX_CHUNKS = 16
PARTIAL_DOUBLES = 2**18
PARTIAL_WORK = 16  # least multiply-adds for each number of a partial sum, which has to be cleared, cached and added up
# Below this many multiply-adds a parallel region costs more than it saves (about 10 microseconds).
SERIAL_WORK = 2**17
ROW_WORK = 8  # multiply-adds that the link function, and what else a row costs, take as long as
SPARSE_ENTRY = 6  # dense entries that take as long in a pass as one that is stored with its column
# One driver call runs at most this many multiply-adds (some 50 ms on one core), so that Ctrl-C is seen in time.
SEGMENT_WORK = 2**31
# Rows in which a few columns are looked at together: neighbours share cache lines, and the copy stays small.
LOOK_ROWS = 4096
LOOK_COLUMNS = 1024  # of wide data
COPIED = 2**24  # entries of X of which there may be a copy in float32
MAX_SLICES = 4  # of the columns of wide data, with a product of all rows each

# With so many entries a pass is dear enough to look at one row in SAMPLE_PART first.
SAMPLE_WORK = 2e6
SAMPLE_PART = 8
# A sample of the rows is read in so many runs (a power of two, as chunks are), where they are at least so long.
SAMPLE_RUNS = 64
RUN_ROWS = 256
# Rows for each column of which there may be a copy: as large as four Hessians, and runs of them would be short.
COPIED_ROWS = 4

# So many labels or indices are looked at by kernels; NumPy's passes over fewer take less than kernels to compile.
MANY = 2**19

EMPTY = np.empty(0)
NO_OFFSET = np.empty((0, 0))


def split(n_rows, n_parts):
    """Return (n_parts, 2): the first row of every part and the one after its last."""
    edges = np.arange(n_parts + 1) * n_rows // n_parts
    parts = np.empty((n_parts, 2), dtype=np.int64)
    parts[:, 0], parts[:, 1] = edges[:-1], edges[1:]
    return parts


class Moments(NamedTuple):
    """Σ w x and Σ w x² of the columns: what scales and centres are made of."""

    sums: np.ndarray  # (2, n_features), not finite where an entry is not
    n_passes: float = 1.0  # what they cost
    sampled: bool = False  # whether they are those of a sample, in proportion


# Of columns that nobody looked at yet.
UNSEEN = Moments(np.empty((2, 0)), 0.0)


class Design(Protocol):
    """Rows of X, in blocks; knows nothing of y."""

    shape: tuple[int, int]
    dtype: np.dtype

    def rows(self, values):
        """Return a row-aligned array (y, weight, offset, eta, …) as it lives beside the rows of X."""

    def run(self, kernel, rows=(), shared=(), size=None, work=1.0, scratch=(), between=None):
        """Run a driver over rows and return the sum of its partial results, in row order."""


class ArrayDesign:
    """Rows in memory: a C- or F-ordered array of float32 or float64, or CSR. Never copied, never changed.

    Parameters
    ----------
    X : ndarray or CSR
    shape : tuple
        Rows that count, and columns.
    n_jobs : int or None
        Threads to use; None for all cores that the process is allowed.
    runs : ndarray of shape (SAMPLE_RUNS, 2), optional
        First row and the one after the last of the runs of rows that count; all rows by default.
    """

    def __init__(self, X, shape, n_jobs, runs=None):
        self.X = X
        self.shape = shape
        self.n_jobs = n_jobs
        self.runs = runs
        self.dtype = X.data.dtype if isinstance(X, CSR) else X.dtype
        entries, n_rows = (X.data.size, X.indptr.size - 1) if isinstance(X, CSR) else (X.size, X.shape[0])
        self.entries_per_row = max(1.0, entries / max(1, n_rows))
        self._products = {}
        self.looked_at_rows = False  # whether a solve did without their products: the next ones have them in common

    @functools.cached_property
    def threads(self):
        """Most threads to use; a small fit, which uses one, does not ask the system how many there are."""
        return allowed_threads(self.n_jobs)

    @functools.cached_property
    def block_rows(self):
        """Number of rows of a block: see blocks.py."""
        return blocks.block_rows(self.X)

    @property
    def density(self):
        """Share of the entries that are stored."""
        return self.entries_per_row / max(1, self.shape[1])

    @property
    def row_work(self):
        """Dense multiply-adds that take as long as those of a row in a pass."""
        return self.entries_per_row * (SPARSE_ENTRY if self.sparse else 1)

    @property
    def large(self):
        """Whether a pass is dear: worth a sample, or one pass less at the end."""
        return self.row_work * self.shape[0] >= SAMPLE_WORK

    def rows(self, values):
        """Return row-aligned values as they are: all rows are in one place."""
        return values

    def run(self, kernel, rows=(), shared=(), size=None, work=1.0, scratch=(), between=None):
        """Run a driver over rows.

        Parameters
        ----------
        kernel : Driver
            Called as ``kernel(X, *rows, *shared, *scratch, bounds[, out])``.
        rows, shared : tuple
            Row-aligned arguments, and those that every row sees whole.
        size : int, optional
            Length of the partial sums; none for a kernel that writes rows.
        work : float
            Multiply-adds per entry of X.
        scratch : tuple of shapes, or of (shape, dtype)
            Workspaces of one chunk; those without a dtype are of float64.
        between : (int, int), optional
            First row and the one after the last; all rows by default.

        Returns
        -------
        ndarray of shape (size,) or None
        """
        n_rows = self.shape[0] if between is None else between[1] - between[0]
        row_work = self.row_work * work + ROW_WORK
        n_chunks = MAX_CHUNKS
        if size:
            most = min(PARTIAL_DOUBLES, n_rows * self.entries_per_row * work / PARTIAL_WORK) // size
            n_chunks = int(max(4, min(MAX_CHUNKS, most)))
        in_runs = self.runs is not None and between is None
        if not in_runs:
            n_chunks = max(1, min(n_chunks, n_rows, n_rows * row_work // SERIAL_WORK))
        # A power of two: of five chunks one of two threads has three.
        n_chunks = 2 ** int(np.log2(n_chunks))
        if in_runs:
            bounds = self.runs
        else:
            n_segments = int(np.ceil(n_rows * row_work / SEGMENT_WORK)) or 1
            bounds = split(n_rows, n_segments * n_chunks) + (between[0] if between else 0)
        threads = self.threads if n_chunks > 1 else 1
        out = () if size is None else (np.zeros((n_chunks, size)),)
        scratch = workspaces(n_chunks, scratch)
        for first in range(0, len(bounds), n_chunks):
            kernel(self.X, *rows, *shared, *scratch, bounds[first : first + n_chunks], *out, threads=threads)
        return out[0].sum(axis=0) if out else None

    def predict(self, prediction, offset, out, coef):
        """Write what coef predicts for the rows, a Prediction of predict.py; return how many values are not finite."""
        room = prediction.workspace(self.X, self.shape[0], self.block_rows, len(coef))
        kernel = prediction.driver(len(coef))
        return int(self.run(kernel, (offset, out), (coef,), size=1, work=len(coef), scratch=room)[0])

    def sample(self, n_rows):
        """Return a design of about n_rows rows spread evenly over X, and their indices; None where they are runs.

        Few rows are copied, one drawn from each of n_rows equal ranges, so that rows sorted by class or time are all
        represented; the draw within a range avoids resonance with periodic data. Many rows are SAMPLE_RUNS runs, drawn
        likewise and read where they are: a random row costs a miss of every cache, and copies cost memory. The same
        rows every time.
        """
        n_total, n_columns = self.shape
        random = np.random.default_rng(0)
        small = n_rows <= COPIED_ROWS * n_columns or n_rows * n_columns <= 2 * n_total
        if n_rows < SAMPLE_RUNS * RUN_ROWS and small:
            edges = np.arange(n_rows + 1) * n_total // n_rows
            index = self._places(random.integers(edges[:-1], edges[1:]))
            return self.rows_at(index), index
        length = -(-n_rows // SAMPLE_RUNS)
        edges = np.arange(SAMPLE_RUNS + 1) * n_total // SAMPLE_RUNS
        starts = self._places(random.integers(edges[:-1], edges[1:] - length + 1))
        runs = np.stack([starts, starts + length], axis=1)
        return ArrayDesign(self.X, (length * SAMPLE_RUNS, n_columns), self.threads, runs), None

    def rows_at(self, index):
        """Return a design of a copy of some rows."""
        X = _matrix(self.X) if isinstance(self.X, CSR) else self.X
        return as_design(X[index], self.threads)

    def _places(self, rows):
        """Return where the rows that count stand in X: in runs, if not all count, of one length."""
        if self.runs is None:
            return rows
        length = self.shape[0] // len(self.runs)
        return self.runs[rows // length, 0] + rows % length

    def column_moments(self, weight=None):
        """Return Σ w x and Σ w x² of every column, (2, n_features), not finite where an entry is not; one pass."""
        rows = (EMPTY if weight is None else weight,)
        room = ((2, blocks.moments_width(self.X)),)
        return self.run(columns.moments, rows, size=2 * self.shape[1], scratch=room).reshape(2, -1)

    def row_products(self, precision=np.float64):
        """Return X Xᵀ and the passes that it cost; X is dense. A pass, O(n² p) arithmetic, but kept for the next time.

        A thread takes one slice of the columns after another, with BLAS of one thread: for 500 × 5000 in two thirds of
        the time of BLAS' own threads, which share a small product badly; our tiles, which want long columns, took half
        as long again as BLAS. A slice has a sum of its own, so that there is none for fewer columns than rows.
        """
        if precision in self._products:
            return self._products[precision], 0.0
        n_rows, n_columns = self.shape
        most = min(MAX_SLICES, n_columns // n_rows, float(n_rows) ** 2 * n_columns / SERIAL_WORK)
        n_slices = 2 ** int(np.log2(max(1.0, most)))

        def products(part):
            total = room = None
            with np.errstate(over="ignore", invalid="ignore"):  # entries that are not finite are found in the sums
                for _, block in self._columns(part[0], part[1], precision):
                    if total is None:
                        total = block @ block.T
                    else:
                        room = np.matmul(block, block.T, out=room)
                        total += room
            return total

        self._products[precision] = sum(in_threads(products, split(n_columns, n_slices), self.threads))
        return self._products[precision], 1.0

    def single(self):
        """Return a design of the same rows in float32, of a copy if they are not; X is dense."""
        return ArrayDesign(self.X.astype(np.float32, copy=False), self.shape, self.n_jobs, self.runs)

    def row_squares(self):
        """Return the sum of the squares of each row, in float64 from the precision of X; X is dense. One pass."""
        return np.einsum("ij,ij->i", self.X, self.X).astype(np.float64)

    def columns_times(self, coef, precision=np.float64):
        """Return X coef in float64, computed in a precision; coef of shape (n_features,) or (n_features, …), X dense.

        One pass. Python's threads made it, and rows_times, half as slow again for 500 × 5000.
        """
        coef = coef.astype(precision, copy=False)
        parts = self._columns(0, self.shape[1], precision)
        return sum(block @ coef[part] for part, block in parts).astype(np.float64, copy=False)

    def rows_times(self, multipliers, precision=np.float64, most_rows=None):
        """Return Xᵀ multipliers, of shape (n_samples,) or (n_samples, …), as columns_times does. One pass.

        Sums over no more than most_rows rows are in that precision, where it is given, and added in float64.
        """
        multipliers = multipliers.astype(precision, copy=False)
        n_rows = self.shape[0]
        runs = split(n_rows, 1 if most_rows is None else -(-n_rows // most_rows))

        def product(block):
            return sum((block[a:b].T @ multipliers[a:b]).astype(np.float64, copy=False) for a, b in runs)

        return np.concatenate([product(block) for _, block in self._columns(0, self.shape[1], precision)])

    def _columns(self, first, last, precision=np.float64):
        """Yield slices of columns first … last - 1, and these columns, in float64 or another precision."""
        n_slices = 1 if self.dtype == precision else -(-(last - first) // LOOK_COLUMNS)
        for a, b in split(last - first, n_slices) + first:
            yield slice(a, b), self.X[:, a:b].astype(precision, copy=False)

    def largest(self, columns):
        """Return the largest magnitude in each of some columns."""
        if isinstance(self.X, CSR) and len(columns):  # SciPy looks at all entries for no column, too
            return np.asarray(abs(_matrix(self.X)[:, columns]).max(axis=0).todense()).ravel()
        largest = np.zeros(len(columns))
        for first in range(0, self.shape[0] if len(columns) else 0, LOOK_ROWS):
            values = np.abs(self.X[first : first + LOOK_ROWS, columns])
            np.maximum(largest, values.max(axis=0), out=largest)
        return largest

    def varies(self, index):
        """Return for each of some columns whether its entries differ; sparse ones are not looked at."""
        found = np.zeros(len(index), dtype=bool)
        for first in range(0, self.shape[0] if len(index) and not self.sparse else 0, LOOK_ROWS):
            found |= (self.X[first : first + LOOK_ROWS, index] != self.X[0, index]).any(axis=0)
        return found

    @property
    def sparse(self):
        """Whether rows are stored in sparse form."""
        return isinstance(self.X, CSR)

    def block(self, first, last):
        """Return rows first … last - 1 of dense X in float64: as they are, or a copy."""
        return self.X[first:last].astype(np.float64, copy=False)

    def take(self, index):
        """Return a copy of some rows: float64, dense or CSR."""
        X = _matrix(self.X) if self.sparse else self.X
        return X[index].astype(np.float64)

    def take_columns(self, index):
        """Return a design of some columns: a copy, of the same rows."""
        if self.sparse:
            taken = as_design(_matrix(self.X)[:, index], self.threads)
        elif not self.X.flags.c_contiguous or len(self.X) * len(index) < SERIAL_WORK:
            taken = as_design(self.X[:, index], self.threads)
        else:
            copy = np.empty((len(self.X), len(index)), dtype=self.dtype)  # NumPy takes up to four times as long
            self.run(columns.take, (copy,), (index,))
            taken = as_design(copy, self.threads)
        taken.shape, taken.runs = (self.shape[0], len(index)), self.runs
        return taken

    def columns(self, index):
        """Return a copy of some columns, as the CSR of their transpose; reads all X where it is sparse."""
        if self.sparse:
            taken = self._turned(index)
        else:
            taken = scipy.sparse.csc_array(self.X[:, index])
        return CSR(_read_only(taken.data), _read_only(taken.indices), _read_only(taken.indptr), self.shape[0])

    def _turned(self, index):
        """Return some columns of CSR as CSC: for a fifth of the entries in a quarter of SciPy's time for all of them.

        Every thread counts, and then writes, the entries of its rows, which stay in order.
        """
        kind, n_rows = self.X.indptr.dtype, self.X.indptr.size - 1
        place = np.full(self.shape[1], columns.NOWHERE)
        place[index] = np.arange(len(index))
        threads = self.threads if self.X.data.size > SERIAL_WORK else 1
        bounds = split(n_rows, threads)
        counts = np.empty((threads, len(index)), dtype=kind)
        (work,) = workspaces(threads, (((columns.PIECE,), np.uint64),))
        columns.count(self.X, place, work, bounds, counts, threads=threads)
        ends = np.cumsum(counts.T, dtype=kind).reshape(len(index), threads)
        indptr = np.append(kind.type(0), ends[:, -1])
        data, rows = np.empty(indptr[-1], dtype=self.dtype), np.empty(indptr[-1], dtype=kind)
        starts = np.ascontiguousarray((ends - counts.T).T)
        columns.turn(self.X, place, work, bounds, starts, data, rows, threads=threads)
        taken = scipy.sparse.csc_array((data, rows, indptr), shape=(n_rows, len(index)))
        taken.sum_duplicates()
        return taken

    def times(self, units, origins=None):
        """Return a design of X with column j, less origins[j] where X is dense, multiplied by units[j]: a copy."""
        units = units.astype(self.dtype)
        if isinstance(self.X, CSR):
            return as_design(_matrix(self.X._replace(data=self.X.data * units[self.X.indices])), self.threads)
        if origins is None:
            return as_design(self.X * units, self.threads)
        X = self.X - origins.astype(self.dtype)
        X *= units
        return as_design(X, self.threads)


def workspaces(n_chunks, scratch):
    """Return uninitialised arrays for some chunks: see ArrayDesign.run."""
    kinds = (kind if isinstance(kind[0], tuple) else (kind, np.float64) for kind in scratch)
    return tuple(np.empty((n_chunks, *shape), dtype) for shape, dtype in kinds)


def look_at_indices(X, n_jobs=None):
    """Return the least (or 0) and the largest index of CSR, whose indptr is valid, and whether every row rises.

    One threaded read; SciPy's own look at the order takes as long as a pass over X.
    """
    found = np.empty((MAX_CHUNKS, 3), dtype=np.int64)
    indices, indptr = _read_only(X.indices), _read_only(X.indptr)
    columns.look(indices, indptr, split(X.shape[0], MAX_CHUNKS), found, threads=allowed_threads(n_jobs))
    return found[:, 0].min(), found[:, 1].max(), bool(found[:, 2].all())


def _read_only(array):
    """Return a read-only view; inside a tuple numba does not take a writable array for a read-only one.

    A copy where entries do not stand side by side, as may be in a sparse matrix made of slices.
    """
    view = np.require(array, requirements=["C", "A"]).view()
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
    check_jobs(n_jobs)
    if scipy.sparse.issparse(X):
        rows = CSR(_read_only(X.data), _read_only(X.indices), _read_only(X.indptr), X.shape[1])
        return ArrayDesign(rows, X.shape, n_jobs)
    if not (X.flags.c_contiguous or X.flags.f_contiguous) or not X.flags.aligned:
        X = np.ascontiguousarray(X)
    return ArrayDesign(X, X.shape, n_jobs)
