"""Linear predictors and gradients of rows in F order, where a block is a run of every column.

Runs are a page or two long, and the hardware, which follows them, begins anew with each. So they are asked for before:
the second half of a block's columns while its linear predictors are made, and with its gradient the first half of the
next block's. On a Zen 4, in turns, two threads took 0.90, 0.86, 0.79 and 0.91 of the time for passes over 10, 50, 100
and 500 columns, 0.72 for 100 of float32. Asking in loops that LLVM is to find vectors in keeps it from that: 1.3 to 2.8
times as long. Blocks of half the size: 1.06 at 100 columns, 1.16 in float32.

Eight columns at once, then four, then one, took 0.9 to 1.02 of the time of four and one for passes over 50 to 500
columns on a Zen 3, 0.98 to 1.06 for predictions; with the gradient only 0.94 to 1.1. There, to ask for the next columns
instead of the second half took 0.92 to 1.05, to ask also between linear predictors and gradients 0.9 to 1.09, to ask
for nothing 1.02 and 1.21 at 100 and 500 columns. Written in C: the gradient of a block in one loop with the linear
predictors of the next 1.0 to 1.5, 16 or 32 rows at a time for the first-level cache 1.3 to 2.3, to ask for the first
lines of the next columns only 0.95 to 1.2, though it lets short runs be read at full speed where they are read once.

A Zen 4 drops a third of what is asked for in loops that wait for the second level, as these do (what loads fetched for
certain was read again twice as fast, but they held up the loop for longer). Asked for twice passes took 0.96 to 1.01;
the half of the next block that is asked for with the linear predictors instead of this one's 0.96 to 1.02; five eighths
with the gradient and three with the linear predictors 0.94 to 1.06, six 0.97 to 1.01, seven 1.02 to 1.05; sixteen
columns at once 0.93 to 1.01 over 300 to 1000 columns, but 1.02 to 1.05 over 50 and 100; runs of 8 KB up to 4 MB 0.93 to
1.04; passes that go to and fro, for what the third level kept, 0.93 to 1.04 of the time of a bare read.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.vectors import LANES, Entries, ask

STEPS = 8, 4, 1  # so many columns are worked on at once, then of those left


class _Runs(Entries):
    """Emits what is done with several runs at once."""

    def __init__(self, context, builder, element, x, n_columns, column_rows, n_rows):
        super().__init__(context, builder, element)
        self.x, self.n_columns = x, n_columns
        self.column_bytes = builder.mul(column_rows, x.type(self.source_size))
        self.block_bytes = builder.mul(n_rows, x.type(self.source_size))
        self.n_vectors = builder.udiv(n_rows, x.type(LANES))
        self.half = builder.lshr(n_columns, x.type(1))

    def groups(self):
        """Emit a loop over columns for each of STEPS; yield the numbers of those that it works on at once."""
        builder, kind = self.builder, self.n_columns.type
        ends = [builder.and_(self.n_columns, kind(-step)) for step in STEPS]
        for begin, end, step in zip((kind(0), *ends), ends, STEPS, strict=False):
            with cgutils.for_range_slice(builder, begin, end, kind(step), kind) as (j, _):
                yield [builder.add(j, kind(t)) for t in range(step)]

    def run(self, j):
        """Return the address of the run of a column."""
        return self.address(self.x, (j, self.column_bytes))

    def ask_for(self, runs, v):
        """Ask for vector v of some runs."""
        for run in runs:
            ask(self.builder, self.at(run, v))

    def halved(self, columns):
        """Return the columns whose turn it is where only half of them are asked for."""
        first = self.builder.lshr(columns[0], columns[0].type(1))
        return [self.builder.add(first, first.type(t)) for t in range(max(1, len(columns) // 2))]


@intrinsic
def _set_eta(typingctx, x, n_columns, column_rows, n_rows, coef, eta, ahead, zero):
    """Set eta of n_rows rows, a multiple of LANES; x, coef and eta are addresses, zero tells the type of X.

    ahead is whether to ask for the second half of the columns meanwhile.
    """

    def codegen(context, builder, signature, args):
        x, n_columns, column_rows, n_rows, coef, eta, ahead, _ = args
        runs = _Runs(context, builder, signature.args[-1], x, n_columns, column_rows, n_rows)
        intercept = runs.splat(runs.load(runs.address(coef, (n_columns, 8)), runs.element))
        with cgutils.for_range(builder, runs.n_vectors) as loop:
            runs.store(intercept, runs.address(eta, (loop.index, 8 * LANES)), 8)
        for columns in runs.groups():
            starts = [runs.run(j) for j in columns]
            asked = [runs.run(builder.add(runs.half, j)) for j in runs.halved(columns)]
            factors = [runs.splat(runs.load(runs.address(coef, (j, 8)), runs.element)) for j in columns]
            with cgutils.for_range(builder, runs.n_vectors) as loop:
                with builder.if_then(ahead):
                    runs.ask_for(asked, loop.index)
                change = runs.add(*runs.products(starts, loop.index, factors))
                at = runs.address(eta, (loop.index, 8 * LANES))
                runs.store(runs.add(runs.load(at, runs.vector), change), at, 8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, types.boolean, zero), codegen


@intrinsic
def _add_gradient(typingctx, x, n_columns, column_rows, n_rows, slope, gradient, zero):
    """Add slope times rows to gradient, and ask for half of the columns of the next block; as _set_eta."""

    def codegen(context, builder, signature, args):
        x, n_columns, column_rows, n_rows, slope, gradient, _ = args
        runs = _Runs(context, builder, signature.args[-1], x, n_columns, column_rows, n_rows)
        nothing = ir.Constant(runs.vector, [0.0] * LANES)
        sums = [cgutils.alloca_once(builder, runs.vector) for _ in range(max(STEPS))]
        for columns in runs.groups():
            starts = [runs.run(j) for j in columns]
            asked = [builder.add(runs.block_bytes, runs.run(j)) for j in runs.halved(columns)]
            totals = sums[: len(columns)]
            for total in totals:
                builder.store(nothing, total)
            with cgutils.for_range(builder, runs.n_vectors) as loop:
                runs.ask_for(asked, loop.index)
                some = runs.load(runs.address(slope, (loop.index, 8 * LANES)), runs.vector)
                products = runs.products(starts, loop.index, [some] * len(starts))
                for total, product in zip(totals, products, strict=True):
                    builder.store(runs.add(builder.load(total), product), total)
            for j, total in zip(columns, totals, strict=True):
                at = runs.address(gradient, (j, 8))
                entry = builder.fadd(runs.load(at, runs.element), runs.reduced(builder.load(total)))
                runs.store(entry, at, 8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, zero), codegen


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
        rows, p = X.shape
        x, done = np.int64(X.ctypes.data) + first * size, n_rows // LANES * LANES
        _set_eta(x, p, rows, done, np.int64(coef.ctypes.data), np.int64(eta.ctypes.data), ahead, X.dtype.type(0.0))
        return done

    return implementation


@overload(add_gradient)
def _add_gradient_compiled(X, first, n_rows, slope, gradient):
    size = X.dtype.bitwidth // 8

    def implementation(X, first, n_rows, slope, gradient):
        rows, p = X.shape
        x, done = np.int64(X.ctypes.data) + first * size, n_rows // LANES * LANES
        _add_gradient(x, p, rows, done, np.int64(slope.ctypes.data), np.int64(gradient.ctypes.data), X.dtype.type(0.0))
        return done

    return implementation
