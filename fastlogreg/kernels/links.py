"""Losses, slopes and curvatures of rows, eight at a time: the formulas of pointwise.py, with vectors for numbers.

LLVM makes vector loops of those formulas by itself, but with AVX2 one vector at a time, and it fetches every constant
anew for each; a vector takes 80 cycles from end to end, and the processor finds room for two under way. Here two share
the constants. On a Zen 3, in turns, slopes took 0.75 of the time in cache, passes over 5 and 10 columns 0.93 and 0.92,
over 50 and 100 0.91 to 0.99; in F order 0.93 over 10, 0.95 to 1.01 over 50 and 100. Instruction by instruction in
turns, instead of one vector after the other, was no faster, nor were constants in a table that are read where they are
used; four vectors took half as long again.
"""

import types as python_types

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from fastlogreg.kernels import pointwise
from fastlogreg.kernels.lanes import ROWS
from fastlogreg.kernels.parts import overload
from fastlogreg.kernels.vectors import CONTRACT, LANES, Entries


class _Numbers:
    """A vector, or what a comparison of two gives, with Python's operators, which emit what they stand for."""

    __array_ufunc__ = None  # NumPy's numbers leave operators to this class

    def __init__(self, entries, value):
        self.entries, self.builder, self.value = entries, entries.builder, value

    def emit(self, instruction, *operands, **options):
        """Return what an instruction makes of operands, of which floats stand for vectors of them."""
        values = [o.value if isinstance(o, _Numbers) else self.constant(o) for o in operands]
        return _Numbers(self.entries, instruction(*values, **options))

    def constant(self, number):
        """Return a vector of one number."""
        return ir.Constant(self.entries.vector, [float(number)] * LANES)

    def __add__(self, other):
        return self.emit(self.builder.fadd, self, other, flags=CONTRACT)

    def __radd__(self, other):
        return self.emit(self.builder.fadd, other, self, flags=CONTRACT)

    def __sub__(self, other):
        return self.emit(self.builder.fsub, self, other, flags=CONTRACT)

    def __rsub__(self, other):
        return self.emit(self.builder.fsub, other, self, flags=CONTRACT)

    def __mul__(self, other):
        return self.emit(self.builder.fmul, self, other, flags=CONTRACT)

    def __rmul__(self, other):
        return self.emit(self.builder.fmul, other, self, flags=CONTRACT)

    def __rtruediv__(self, other):
        return self.emit(self.builder.fdiv, other, self, flags=CONTRACT)

    def __neg__(self):
        return self.emit(self.builder.fneg, self)

    def __abs__(self):
        return self.call("fabs")

    def call(self, name):
        """Return what a function of LLVM makes of it."""
        kind = self.entries.vector
        function = ir.FunctionType(kind, [kind])
        function = cgutils.get_or_insert_function(self.builder.module, function, f"llvm.{name}.v{LANES}f64")
        return self.emit(lambda value: self.builder.call(function, [value]), self)

    def __lt__(self, other):
        return self._compared("<", other)

    def __gt__(self, other):
        return self._compared(">", other)

    def __eq__(self, other):
        return self._compared("==", other)

    def _compared(self, sign, other):
        return self.emit(lambda a, b: self.builder.fcmp_ordered(sign, a, b), self, other)


def _select(condition, a, b):
    return condition.emit(condition.builder.select, condition, a, b)


def _power_of_two(shifted):
    builder, kind = shifted.builder, ir.VectorType(ir.IntType(64), LANES)

    def emitted(value):
        biased = builder.add(builder.bitcast(value, kind), ir.Constant(kind, [pointwise.BIAS] * LANES))
        return builder.bitcast(builder.shl(biased, ir.Constant(kind, [pointwise.FRACTION] * LANES)), value.type)

    return shifted.emit(emitted, shifted)


def _root(x):
    return x.call("sqrt")


_OF_VECTORS = {pointwise.select: _select, pointwise.power_of_two: _power_of_two, pointwise.root: _root}


def _of_vectors(function):
    """Return a pointwise function that takes _Numbers: its own code, with such functions for those that it calls."""
    if function in _OF_VECTORS:
        return _OF_VECTORS[function]
    code, names = function.py_func.__code__, dict(function.py_func.__globals__)
    for name in code.co_names:
        if hasattr(names.get(name), "py_func"):
            names[name] = _of_vectors(names[name])
    return python_types.FunctionType(code, names)


def _addresses(context, builder, signature, args):
    """Return those of eta, y and targets, and the number of rows."""
    kinds = [*signature.args[:2], *signature.args[2]]
    arrays = [*args[:2], *cgutils.unpack_tuple(builder, args[2])]
    arrays = [make_array(kind)(context, builder, array) for kind, array in zip(kinds, arrays, strict=True)]
    (n_rows,) = cgutils.unpack_tuple(builder, arrays[0].shape)
    return [builder.ptrtoint(array.data, ir.IntType(64)) for array in arrays], n_rows


@intrinsic
def _set_terms(typingctx, eta, y, targets):
    """See set_terms; targets are a tuple."""

    def codegen(context, builder, signature, args):
        lines, n_rows = _addresses(context, builder, signature, args)
        entries, number = Entries(context, builder, types.float64), n_rows.type
        done = builder.and_(n_rows, number(-ROWS))
        with cgutils.for_range_slice(builder, number(0), done, number(ROWS), number) as (row, _):
            for first in range(0, ROWS, LANES):
                eta, y, *targets = (entries.address(line, (builder.add(row, number(first)), 8)) for line in lines)
                arguments = [_Numbers(entries, entries.entries(line, number(0))) for line in (eta, y)]
                for line, result in zip(targets, _of_vectors(pointwise.rooted_terms)(*arguments), strict=False):
                    entries.store(result.value, line, 8)
        return done

    return types.int64(eta, y, targets), codegen


def set_terms(eta, y, *targets):
    """Set targets to the first of pointwise.rooted_terms of most rows; return of how many: of none without the JIT.

    A target may be eta.
    """
    return 0


@overload(set_terms, inline=True)
def _set_terms_compiled(eta, y, *targets):
    def implementation(eta, y, *targets):
        return _set_terms(eta, y, targets)

    return implementation

