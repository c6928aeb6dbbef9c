"""Passes over long rows in C order, eight at a time: read from memory once, and again from the first-level cache.

A region of rows is read in eight streams, which the hardware follows, as in lanes.py; but there a block is read again
from the second level, and while it is, the hardware waits. Here linear predictors, slopes and gradient of one row of
each stream come after each other, and what is behind the next rows is asked for meanwhile: of half of the streams with
the linear predictors, of the others with the gradient. In turns on the same data, on a Zen 3 (AVX2, 30 GB/s), passes
over 50, 64, 100, 150, 200, 300, 500 and 1000 columns took 0.95, 1.04, 0.97, 0.82, 0.95, 0.94, 0.95 and 0.94 of the time
of blocks, when these asked for long rows shortly before they were read, and streams for the next rows with the gradient
only. On a Zen 4 (55 GB/s) such streams took up to 1.25 times as long as these, such blocks up to 1.24 times as long as
they do now; streams take 1.00, 0.94, 0.94, 0.97, 1.02, 1.06 and 1.01 of the time of blocks over 50, 64, 100, 150, 200,
500 and 1000 columns with code for AVX2, with AVX-512, whose losses of eight rows are one vector with nothing to share
its wait, 0.96 to 1.05, of float32 0.99 to 1.08.

On the Zen 4, rows of 130 to 240 bytes took 1.0 to 1.2 of the time of blocks. Asked for into the first level, 1.05 to
1.1; the next linear predictors between slopes and gradient, so that they need not wait for each other, 1.0 to 1.4;
slopes of more rows at once, with so many read from the second level, up to 1.05 on the Zen 3; eight neighbours instead
of streams, 1.5 to 2.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastlogreg.kernels.jit import kernel
from fastlogreg.kernels.lanes import ROWS, Rows, whole_groups
from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.vectors import LANES

# Rows of so many bytes are worth it: at least as many as the hardware needs to follow a stream, and at most what leaves
# the first level room for little else.
LEAST, MOST = 384, 8192
# Asked for behind the next row: memory takes longer than a short row does (1 to 4 KB were within 3 percent).
AHEAD = 2048
# Most rows of a stream. Rows that stand a multiple of PAGE apart have the same place in the first level, where there is
# room for eight; so streams have the length of SHORTEST to LONGEST rows that keeps them farthest from that.
SHORTEST, LONGEST = 112, 128
PAGE = 4096


def region_rows(X):
    """Return the number of rows of a region, 0 where X is not for streams; called from Python."""
    row = X.shape[1] * X.itemsize
    if not LEAST <= row <= MOST:
        return 0

    def gaps(length):
        places = [part * length * row % PAGE for part in range(1, ROWS)]
        return sorted(min(place, PAGE - place) for place in places)

    return ROWS * max(range(SHORTEST, LONGEST), key=gaps)


def _asked(rows, starts):
    """Return what asks for a vector of the rows behind the next of some streams."""
    distance = rows.builder.add(rows.row_bytes, rows.row_bytes.type(AHEAD))
    return lambda v: rows.ask(starts, v, distance)


@intrinsic
def _set_eta(typingctx, x, n_columns, apart, coef, eta, zero):
    """Set eta of ROWS rows, apart bytes from each other, and ask for half of those behind.

    x, coef and eta are addresses, zero tells the type of X.
    """

    def codegen(context, builder, signature, args):
        x, n_columns, apart, coef, eta, _ = args
        rows = Rows(context, builder, signature.args[-1], n_columns, n_columns.type(ROWS), ir.IntType(1)(0))
        intercept = rows.splat(rows.load(rows.address(coef, (n_columns, 8)), rows.element))
        sums = [cgutils.alloca_once(builder, rows.vector) for _ in range(ROWS)]
        starts = [rows.address(x, (apart, part)) for part in range(ROWS)]
        done = rows.dots(starts, coef, rows.rest_of(coef), sums, _asked(rows, starts[: ROWS // 2]))
        for first in range(0, ROWS, LANES):
            values = rows.add(rows.totals(done[first : first + LANES]), intercept)
            rows.store(values, rows.address(eta, (eta.type(first), 8)), 8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, zero), codegen


@intrinsic
def _add_gradient(typingctx, x, n_columns, apart, slope, gradient, zero):
    """Add slope times ROWS rows to gradient, and ask for the other half of those behind; as _set_eta."""

    def codegen(context, builder, signature, args):
        x, n_columns, apart, slope, gradient, _ = args
        rows = Rows(context, builder, signature.args[-1], n_columns, n_columns.type(ROWS), ir.IntType(1)(0))
        last = cgutils.alloca_once(builder, rows.vector)
        builder.store(ir.Constant(rows.vector, [0.0] * LANES), last)
        starts = [rows.address(x, (apart, part)) for part in range(ROWS)]
        places = [rows.address(slope, (slope.type(part), 8)) for part in range(ROWS)]
        slopes = [rows.splat(rows.load(place, rows.element)) for place in places]
        rows.add_slopes(starts, slopes, gradient, last, _asked(rows, starts[ROWS // 2 :]))
        rows.add_rest(last, gradient)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, zero), codegen


def stream_rows(X, first, n_rows):
    """Return the length of the streams that most of n_rows rows make: 0 where X is not for them, or without the JIT."""
    return 0


def set_eta(X, first, length, coef, eta):
    """Set eta of row first and of those length, 2 length, … behind it."""


def add_gradient(X, first, length, slope, gradient):
    """Add slope times the rows of set_eta to gradient."""


@overload(stream_rows)
def _stream_rows_compiled(X, first, n_rows):
    size = X.dtype.bitwidth // 8

    def implementation(X, first, n_rows):
        suited = LEAST <= X.shape[1] * size <= MOST
        return whole_groups(X, first, n_rows) // ROWS if suited else 0

    return implementation


def _of_eight(instructions):
    """Return what has numba take an intrinsic for a function of eight rows."""

    def choose(X, first, length, source, target):
        size = X.dtype.bitwidth // 8

        def implementation(X, first, length, source, target):
            row = X.shape[1] * size
            x, zero = np.int64(X.ctypes.data) + first * row, X.dtype.type(0.0)
            source_at, target_at = np.int64(source.ctypes.data), np.int64(target.ctypes.data)
            instructions(x, X.shape[1], length * row, source_at, target_at, zero)

        return implementation

    return choose


overload(set_eta, inline=True)(_of_eight(_set_eta))
overload(add_gradient, inline=True)(_of_eight(_add_gradient))


@kernel
def in_turn(values, first, length, target):
    """Set target to values of the rows of streams, as they are worked on: one of each stream, then the next."""
    for q in range(length):
        for k in range(ROWS):
            target[q * ROWS + k] = values[first + k * length + q]
