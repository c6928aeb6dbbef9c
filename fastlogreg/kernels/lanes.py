"""Linear predictors and gradients of rows in C order, in vectors that begin anew with every row.

LLVM finishes every row entry by entry where its vectors, and as many of them as it takes at once, do not fit the number
of columns, and sums up every row's vector on its own. Here the last vector of a row goes on into the next rows, whose
entries do not count, and ROWS rows are summed up together, in half the steps. Passes over 5, 10, 20, 50, 100 and 500
columns took 0.79, 0.87, 0.97, 0.88, 0.94 and 1.00 of the time, in turns on two threads of a Zen 5; with code for AVX2
0.86, 0.80, 0.90, 1.02, 0.97 and 1.01, not in turns. Masked loads were slower than LLVM's loops for 5 and 20 columns.

Memory would rest while a block is read again in cache for the gradient, so half of the next block is asked for
meanwhile, and the other half while linear predictors are made. On a Zen 4, in turns, two threads that asked for halves
took 0.81, 0.75, 0.77, 0.71, 0.67 and 0.81 of the time at those numbers of columns; all of it with the gradient, up to a
quarter more than that; more of it while losses and slopes are made, 0.98 to 1.01.

Where a block is read only once, long rows are asked for shortly before they are read. When passes did so, too, those
over 17, 20, 24, 30, 40 and 47 columns took 1.22, 1.24, 1.22, 1.19, 1.16 and 1.18 of the time on a Zen 4 (AVX-512) whose
memory gave 50 to 60 GB/s, 1.04 to 1.11 where it gave 35, and over 2000, 4000 and 10 000 columns 1.14, 1.10 and 1.06.

Long rows are read in eight streams, as the processor follows each of them better than neighbours of four. On a Zen 3
(AVX2), in turns on the same data, passes over 20, 50, 100, 200 and 500 columns took 1.00, 0.83, 0.62, 0.79 and 0.89 of
the time, predictions 0.87, 0.86, 0.54, 0.71 and 0.87; of float32, predictions of 50, 100 and 500 took 0.87, 0.83 and
0.73, passes over 130, 160, 200, 300 and 500 columns 0.75, 0.67, 0.78, 0.86 and 0.94, but those over 50 and 100 took
1.06 to 1.2 and over 700 to 4000 1.08 to 1.16, and are left as they were. Short rows in eight streams took 1.05 to 1.2.
To ask once a line instead of once a vector is no faster, as it takes a branch or more code.

Without blocks, one row of each of eight streams at a time, read for its linear predictor and again from the first level
for the gradient, passes over 50 to 1000 columns took 0.97 to 1.17 of the time on the Zen 4, 0.96 to 1.09 with code for
AVX2. (Where blocks asked for long rows shortly before they were read, on the Zen 3, 0.82 to 1.04.)
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastlogreg.kernels.builtins import larger, smaller
from fastlogreg.kernels.jit import kernel
from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.vectors import LANES, Entries, ask

# Worked on at once: two neighbours of each quarter of the rows, or a row of each eighth where they are long.
ROWS = 8
# Rows of more bytes are long; where a block is read once, they are asked for so many bytes before they are read.
SHORT_ROW, NEAR = 128, 512
# Passes over float32 gain by eight streams where rows have more than so many bytes, and at most so many.
FLOAT32_ROWS = 512, 2048


class _Rows(Entries):
    """Emits what is done with ROWS rows at once; after its whole vectors one ends with entries of the next rows."""

    def __init__(self, context, builder, element, n_columns, n_rows, ahead):
        super().__init__(context, builder, element)
        self.eighth = builder.udiv(n_rows, n_rows.type(ROWS))
        self.row_bytes = builder.mul(n_columns, n_columns.type(self.source_size))
        self.apart = builder.icmp_unsigned(">", self.row_bytes, n_rows.type(SHORT_ROW))
        if self.source_size < self.size:
            least, most = (n_rows.type(size) for size in FLOAT32_ROWS)
            more = builder.icmp_unsigned(">", self.row_bytes, least)
            within = builder.and_(more, builder.icmp_unsigned("<=", self.row_bytes, most))
            self.apart = builder.select(ahead, within, self.apart)
        self.block_bytes = builder.mul(n_rows, self.row_bytes)
        self.whole = builder.udiv(n_columns, n_columns.type(LANES))
        self.n_rest = builder.urem(n_columns, n_columns.type(LANES))
        self.has_rest = builder.icmp_unsigned("!=", self.n_rest, self.n_rest.type(0))

    def places(self):
        """Loop over groups of rows: give their numbers, and whether they are far apart.

        Two loops, each compiled for what it knows: where one loop chose, passes over short rows took up to 1.1 times as
        long.
        """
        builder, number = self.builder, self.eighth.type
        quarter = builder.mul(self.eighth, number(2))
        with builder.if_else(self.apart) as (then, otherwise):
            with then, cgutils.for_range(builder, self.eighth) as loop:
                yield [self.address(loop.index, (self.eighth, part)) for part in range(ROWS)], True
            with otherwise, cgutils.for_range_slice(builder, number(0), quarter, number(2), number) as (k, _):
                starts = [self.address(k, (quarter, part)) for part in range(ROWS // 2)]
                yield [builder.add(start, number(t)) for start in starts for t in range(2)], False

    def ask(self, rows, v, distance):
        """Ask for what is so many bytes behind vector v of rows."""
        for row in rows:
            ask(self.builder, self.builder.add(distance, self.at(row, v)))

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

    def dots(self, starts, coef, last_coef, sums, asked):
        """Return inner products of rows with coef as vectors to sum up, made at sums; asked(v) goes before vector v."""
        builder = self.builder
        for total in sums:
            builder.store(ir.Constant(self.vector, [0.0] * LANES), total)
        with cgutils.for_range(builder, self.whole) as loop:
            asked(loop.index)
            some = self.load(self.address(coef, (loop.index, 8 * LANES)), self.vector)
            self.add_to(sums, self.products(starts, loop.index, [some] * ROWS))
        with builder.if_then(self.has_rest):
            asked(self.whole)
            self.add_to(sums, self.products(starts, self.whole, [last_coef] * ROWS))
        return [builder.load(total) for total in sums]

    def add_to(self, sums, vectors):
        """Add vectors to what is at sums."""
        for total, vector in zip(sums, vectors, strict=True):
            self.builder.store(self.add(self.builder.load(total), vector), total)

    def add_slopes(self, starts, slopes, gradient, last, asked):
        """Add slopes times rows to gradient, of the columns after whole vectors to last; asked as in dots."""
        builder = self.builder
        with cgutils.for_range(builder, self.whole) as loop:
            asked(loop.index)
            at = self.address(gradient, (loop.index, 8 * LANES))
            change = self.add(*self.products(starts, loop.index, slopes))
            self.store(self.add(self.load(at, self.vector), change), at, 8)
        with builder.if_then(self.has_rest):
            asked(self.whole)
            self.add_to([last], [self.add(*self.products(starts, self.whole, slopes))])

    def add_rest(self, last, gradient):
        """Add the vector of the columns after whole vectors to theirs."""
        for lane, at in self.rest(gradient):
            entry = self.builder.extract_element(self.builder.load(last), ir.IntType(32)(lane))
            self.store(self.builder.fadd(self.load(at, self.element), entry), at, 8)

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
        rows = _Rows(context, builder, signature.args[-1], n_columns, n_rows, ahead)
        intercept = rows.splat(rows.load(rows.address(coef, (n_columns, 8)), rows.element))
        last_coef = rows.rest_of(coef)
        sums = [cgutils.alloca_once(builder, rows.vector) for _ in range(ROWS)]
        for places, apart in rows.places():
            starts = [rows.address(x, (place, rows.row_bytes)) for place in places]

            def asked(v, starts=starts, apart=apart):
                with builder.if_then(ahead):
                    rows.ask(starts[: ROWS // 2], v, rows.block_bytes)
                if apart:
                    with builder.if_then(builder.not_(ahead)):
                        rows.ask(starts, v, n_rows.type(NEAR))

            done = rows.dots(starts, coef, last_coef, sums, asked)
            for first in range(0, ROWS, LANES):
                values = rows.add(rows.totals(done[first : first + LANES]), intercept)
                together = 1 if apart else 2
                for lane in range(0, LANES, together):
                    some = rows.shuffled(values, values, range(lane, lane + together))
                    rows.store(some, rows.address(eta, (places[first + lane], 8)), 8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.boolean, zero), codegen


@intrinsic
def _add_gradient(typingctx, x, n_columns, n_rows, slope, gradient, zero):
    """Add slope times rows to gradient; as _set_eta."""

    def codegen(context, builder, signature, args):
        x, n_columns, n_rows, slope, gradient, _ = args
        rows = _Rows(context, builder, signature.args[-1], n_columns, n_rows, ir.IntType(1)(1))
        # The last columns, of which there is no whole vector to load and store, are added up in a register.
        last = cgutils.alloca_once_value(builder, ir.Constant(rows.vector, [0.0] * LANES))
        for places, _ in rows.places():
            starts = [rows.address(x, (place, rows.row_bytes)) for place in places]
            slopes = [rows.splat(rows.load(rows.address(slope, (place, 8)), rows.element)) for place in places]

            def asked(v, starts=starts):
                rows.ask(starts[ROWS // 2 :], v, rows.block_bytes)

            rows.add_slopes(starts, slopes, gradient, last, asked)
        rows.add_rest(last, gradient)
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
