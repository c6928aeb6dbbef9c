"""Products of small matrices in cache, by tiles of sums that stay in registers.

LLVM vectorises a loop over rows, but keeps no tile of several rows *and* vectors in registers by itself, and of a 4 × 4
tile of dot products half is spilled where there are 16 registers (AVX2). So the innermost loops are written in its
instructions: TILE_ROWS × 2 vectors of sums, 8 loads for 12 multiply-adds. One thread of a Zen 3 did 32 to 41 GFLOP/s
for 12 × 52 and 96 × 204 coefficients where loops over rows reached 13 to 22, in float32 50 to 72 against 24 to 39.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastlogreg.kernels.builtins import larger, smaller
from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.vectors import VECTOR, Emitter

TILE_ROWS = 6
# Panels have a multiple of so many rows: two vectors of float32, the longest.
PANEL_MULTIPLE = 32


# --- tiles ------------------------------------------------------------------------------------------------------


def _tile(emit):
    """Make an intrinsic of a tile with n_rows rows, 1 to TILE_ROWS: code for every number of them."""

    def tile(typingctx, n_rows, n, left, left_stride, right, right_stride, out, out_stride, zero):
        def codegen(context, builder, signature, args):
            n_rows, *places, _ = args
            emitter = Emitter(context, builder, signature.args[-1])
            for rows in range(1, TILE_ROWS + 1):
                with builder.if_then(builder.icmp_signed("==", n_rows, n_rows.type(rows))):
                    emit(emitter, rows, *places)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8, zero), codegen

    return intrinsic(tile)


@_tile
def _outer_tile(emitter, rows, n, left, left_stride, right, right_stride, out, out_stride):
    """Set out (rows, 2 vectors) to left (rows, n) times right (n, 2 vectors)."""
    builder, one = emitter.builder, ir.IntType(64)(1)
    sums = emitter.sums(rows)
    with cgutils.for_range(builder, n) as loop:
        line = emitter.address(right, (loop.index, right_stride))
        vectors = [emitter.load(emitter.address(line, (one, v * VECTOR)), emitter.vector) for v in range(2)]
        for r in range(rows):
            at = emitter.address(left, (left_stride, r), (loop.index, emitter.size))
            emitter.add_products(sums[r], emitter.splat(emitter.load(at, emitter.element)), vectors)
    for r in range(rows):
        for v in range(2):
            at = emitter.address(out, (out_stride, r), (one, v * VECTOR))
            emitter.store(builder.load(sums[r][v]), at, emitter.size)


@_tile
def _dot_tile(emitter, rows, n, left, left_stride, right, right_stride, out, out_stride):
    """Add left (rows, n vectors) times the transpose of right (2, n vectors) to out (rows, 2) of float64."""
    builder, one = emitter.builder, ir.IntType(64)(1)
    sums = emitter.sums(rows)
    with cgutils.for_range(builder, n) as loop:
        step = (loop.index, VECTOR)
        vectors = [emitter.load(emitter.address(right, (right_stride, v), step), emitter.vector) for v in range(2)]
        for r in range(rows):
            vector = emitter.load(emitter.address(left, (left_stride, r), step), emitter.vector)
            emitter.add_products(sums[r], vector, vectors)
    for r in range(rows):
        for v in range(2):
            at = emitter.address(out, (out_stride, r), (one, v * 8))
            before = emitter.load(at, ir.DoubleType())
            emitter.store(builder.fadd(before, emitter.reduced(builder.load(sums[r][v]))), at, 8)


# --- products ---------------------------------------------------------------------------------------------------


def set_product(left, panel, out):
    """Set out (K, m) = left (K, q) @ panel (q, m), all of one precision; m is a multiple of PANEL_MULTIPLE."""
    out[:] = left @ panel


@overload(set_product)
def _set_product(left, panel, out):
    size = panel.dtype.bitwidth // 8
    step = 2 * VECTOR // size

    def implementation(left, panel, out):
        q, m = panel.shape
        zero = panel.dtype.type(0.0)
        a, b, c = np.int64(left.ctypes.data), np.int64(panel.ctypes.data), np.int64(out.ctypes.data)
        for k in range(0, left.shape[0], TILE_ROWS):
            n_rows = smaller(TILE_ROWS, left.shape[0] - k)
            for i in range(0, m, step):
                to = c + (k * m + i) * size
                _outer_tile(n_rows, q, a + k * q * size, q * size, b + i * size, m * size, to, m * size, zero)

    return implementation


def add_products(left, panel, begin, out):
    """Add left (K, m) @ panel (q, m).T to out (K, q) of float64; q is even, m a multiple of PANEL_MULTIPLE.

    Row k of out is wanted from column begin + k on, and what is before may be left out: with begin = 0 and K = q the
    upper half of a square, with begin = -K everything.
    """
    out += left @ panel.T


@overload(add_products)
def _add_products(left, panel, begin, out):
    size = panel.dtype.bitwidth // 8

    def implementation(left, panel, begin, out):
        q, m = panel.shape
        zero = panel.dtype.type(0.0)
        n = m * size // VECTOR
        a, b, c = np.int64(left.ctypes.data), np.int64(panel.ctypes.data), np.int64(out.ctypes.data)
        for k in range(0, left.shape[0], TILE_ROWS):
            n_rows = smaller(TILE_ROWS, left.shape[0] - k)
            for j in range(larger(0, begin + k), q, 2):
                to = c + (k * q + j) * 8
                _dot_tile(n_rows, n, a + k * m * size, m * size, b + j * m * size, m * size, to, q * 8, zero)

    return implementation
