"""Linear predictors and gradients of rows in C order, in vectors that begin anew with every row.

LLVM finishes every row entry by entry where its vectors, and as many of them as it takes at once, do not fit the number
of columns, and sums up every row's vector on its own. Here the last vector of a row goes on into the next rows, whose
entries do not count, and ROWS rows are summed up together, in half the steps. Passes over 5, 10, 20, 50, 100 and 500
columns took 0.79, 0.87, 0.97, 0.88, 0.94 and 1.00 of the time, in turns on two threads of a Zen 5; with code for AVX2
0.86, 0.80, 0.90, 1.02, 0.97 and 1.01, not in turns. Masked loads were slower than LLVM's loops for 5 and 20 columns.

The next block is asked for meanwhile, or memory would rest while a block is read again in cache for the gradient: one
half of its rows while linear predictors are made, the other with the gradient. On a Zen 4, in turns, two threads took
0.81, 0.75, 0.77, 0.71, 0.67 and 0.81 of the time at those numbers of columns, and half of it for 100 in float32; all of
it with the gradient, up to a quarter more than that. Predictions, which read a block once, do without: to ask took 1.18
of the time at 20 columns, and 0.94 at 100.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastlogreg.kernels.builtins import larger, smaller
from fastlogreg.kernels.jit import kernel
from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.vectors import LANES, Entries, ask

# Worked on at once: neighbours of each quarter of the rows, as the hardware prefetcher follows four streams in pages of
# their own twice as fast as neighbouring rows (25 against 12 GB/s, one thread of a Zen 3, p = 100); one, two, four and
# eight streams are alike on a Zen 5.
ROWS, STREAMS = 8, 4
NEIGHBOURS = ROWS // STREAMS


class _Rows(Entries):
    """Emits what is done with ROWS rows at once; after its whole vectors one ends with entries of the next rows."""

    def __init__(self, context, builder, element, n_columns, n_rows):
        super().__init__(context, builder, element)
        self.quarter = builder.udiv(n_rows, n_rows.type(STREAMS))
        self.row_bytes = builder.mul(n_columns, n_columns.type(self.source_size))
        self.block_bytes = builder.mul(n_rows, self.row_bytes)
        self.whole = builder.udiv(n_columns, n_columns.type(LANES))
        self.n_rest = builder.urem(n_columns, n_columns.type(LANES))
        self.has_rest = builder.icmp_unsigned("!=", self.n_rest, self.n_rest.type(0))

    def groups(self):
        """Loop over the first of NEIGHBOURS rows, counted in a quarter."""
        return cgutils.for_range_slice(
            self.builder, self.quarter.type(0), self.quarter, self.quarter.type(NEIGHBOURS), self.quarter.type
        )

    def places(self, k):
        """Return the numbers of the rows worked on with row k of a quarter."""
        builder = self.builder
        starts = [builder.add(builder.mul(self.quarter, k.type(s)), k) for s in range(STREAMS)]
        return [builder.add(start, k.type(t)) for start in starts for t in range(NEIGHBOURS)]

    def ask_ahead(self, rows, v):
        """Ask for vector v of rows of the block that follows this one."""
        for row in rows:
            ask(self.builder, self.builder.add(self.block_bytes, self.at(row, v)))

    def rest(self, values):
        """Go through the lanes of the vector after the whole ones that columns have, and the addresses of values."""
        for lane in range(LANES - 1):
            with self.builder.if_then(self.builder.icmp_unsigned("<", self.n_rest.type(lane), self.n_rest)):
                yield lane, self.address(values, (self.whole, 8 * LANES), (ir.IntType(64)(1), 8 * lane))

    def rest_of(self, values):
        """Return the vector after the whole ones of as many float64 as there are columns, with zeros at its end."""
        builder = self.builder
        vector = cgutils.alloca_once_value(builder, ir.Constant(self.vector, [0.0] * LANES))
        for lane, at in self.rest(values):
            entry = self.load(at, self.element)
            builder.store(builder.insert_element(builder.load(vector), entry, ir.IntType(32)(lane)), vector)
        return builder.load(vector)

    def totals(self, vectors):
        """Return the sums of the elements of LANES vectors, as one: every step adds halves of two."""
        width = 1
        while len(vectors) > 1:
            # Runs of `width` lanes belong to one vector; those of even places are added to those of odd ones.
            even = [lane for lane in range(LANES) if lane // width % 2 == 0]
            low, high = [], []
            for begin in range(0, len(even), width):
                run = even[begin : begin + width]
                low += run + [LANES + lane for lane in run]
                high += [lane + width for lane in run] + [LANES + lane + width for lane in run]
            vectors = [
                self.add(*(self.shuffled(one, other, lanes) for lanes in (low, high)))
                for one, other in zip(vectors[::2], vectors[1::2], strict=True)
            ]
            width *= 2
        return vectors[0]


@intrinsic
def _set_eta(typingctx, x, n_columns, n_rows, coef, eta, ahead, zero):
    """Set eta of n_rows rows, a multiple of ROWS; x, coef and eta are addresses, zero tells the type of X.

    ahead is whether to ask for half of the next block meanwhile.
    """

    def codegen(context, builder, signature, args):
        x, n_columns, n_rows, coef, eta, ahead, _ = args
        rows = _Rows(context, builder, signature.args[-1], n_columns, n_rows)
        intercept = rows.splat(rows.load(rows.address(coef, (n_columns, 8)), rows.element))
        last_coef = rows.rest_of(coef)
        sums = [cgutils.alloca_once(builder, rows.vector) for _ in range(ROWS)]
        with rows.groups() as (k, _):
            places = rows.places(k)
            starts = [rows.address(x, (place, rows.row_bytes)) for place in places]
            for total in sums:
                builder.store(ir.Constant(rows.vector, [0.0] * LANES), total)
            with builder.if_then(rows.has_rest):
                with builder.if_then(ahead):
                    rows.ask_ahead(starts[: ROWS // 2], rows.whole)
                for total, product in zip(sums, rows.products(starts, rows.whole, [last_coef] * ROWS), strict=True):
                    builder.store(product, total)
            with cgutils.for_range(builder, rows.whole) as loop:
                with builder.if_then(ahead):
                    rows.ask_ahead(starts[: ROWS // 2], loop.index)
                some = rows.load(rows.address(coef, (loop.index, 8 * LANES)), rows.vector)
                for total, product in zip(sums, rows.products(starts, loop.index, [some] * ROWS), strict=True):
                    builder.store(rows.add(builder.load(total), product), total)
            done = [builder.load(total) for total in sums]
            for first in range(0, ROWS, LANES):
                values = rows.add(rows.totals(done[first : first + LANES]), intercept)
                for lane in range(0, LANES, NEIGHBOURS):
                    some = rows.shuffled(values, values, range(lane, lane + NEIGHBOURS))
                    rows.store(some, rows.address(eta, (places[first + lane], 8)), 8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.boolean, zero), codegen


@intrinsic
def _add_gradient(typingctx, x, n_columns, n_rows, slope, gradient, zero):
    """Add slope times rows to gradient; as _set_eta."""

    def codegen(context, builder, signature, args):
        x, n_columns, n_rows, slope, gradient, _ = args
        rows = _Rows(context, builder, signature.args[-1], n_columns, n_rows)
        # The last columns, of which there is no whole vector to load and store, are added up in a register.
        last = cgutils.alloca_once_value(builder, ir.Constant(rows.vector, [0.0] * LANES))
        with rows.groups() as (k, _):
            places = rows.places(k)
            starts = [rows.address(x, (place, rows.row_bytes)) for place in places]
            slopes = [rows.splat(rows.load(rows.address(slope, (place, 8)), rows.element)) for place in places]
            with builder.if_then(rows.has_rest):
                rows.ask_ahead(starts[ROWS // 2 :], rows.whole)
                change = rows.add(*rows.products(starts, rows.whole, slopes))
                builder.store(rows.add(builder.load(last), change), last)
            with cgutils.for_range(builder, rows.whole) as loop:
                rows.ask_ahead(starts[ROWS // 2 :], loop.index)
                at = rows.address(gradient, (loop.index, 8 * LANES))
                change = rows.add(*rows.products(starts, loop.index, slopes))
                rows.store(rows.add(rows.load(at, rows.vector), change), at, 8)
        for lane, at in rows.rest(gradient):
            entry = builder.extract_element(builder.load(last), ir.IntType(32)(lane))
            rows.store(builder.fadd(rows.load(at, rows.element), entry), at, 8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, zero), codegen


@kernel
def _whole_groups(X, first, n_rows):
    """Return how many rows ROWS can take at once without a vector that ends behind X."""
    p = X.shape[1]
    if p % LANES:
        n_rows = smaller(n_rows, X.shape[0] - first - (LANES - p % LANES + p - 1) // p)
    return larger(0, n_rows) // ROWS * ROWS


def set_eta(X, first, n_rows, coef, eta, ahead):
    """Set eta = X coef[:-1] + coef[-1] of most of n_rows rows, and return of how many: of none without the JIT."""
    return 0


def add_gradient(X, first, n_rows, slope, gradient):
    """Add rows times slope to gradient, of most of n_rows rows, and return of how many: of none without the JIT."""
    return 0


@overload(set_eta)
def _set_eta_compiled(X, first, n_rows, coef, eta, ahead):
    size = X.dtype.bitwidth // 8

    def implementation(X, first, n_rows, coef, eta, ahead):
        p, done = X.shape[1], _whole_groups(X, first, n_rows)
        x = np.int64(X.ctypes.data) + first * p * size
        _set_eta(x, p, done, np.int64(coef.ctypes.data), np.int64(eta.ctypes.data), ahead, X.dtype.type(0.0))
        return done

    return implementation


@overload(add_gradient)
def _add_gradient_compiled(X, first, n_rows, slope, gradient):
    size = X.dtype.bitwidth // 8

    def implementation(X, first, n_rows, slope, gradient):
        p, done = X.shape[1], _whole_groups(X, first, n_rows)
        x = np.int64(X.ctypes.data) + first * p * size
        _add_gradient(x, p, done, np.int64(slope.ctypes.data), np.int64(gradient.ctypes.data), X.dtype.type(0.0))
        return done

    return implementation
