"""LLVM's instructions for vectors, as tiles.py, lanes.py and runs.py write them down themselves."""

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import cgutils, types


def _vector_bytes():
    features = numba.config.CPU_FEATURES
    if features is None:
        wide = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
    else:
        wide = "+avx512f" in features
    return 64 if wide else 32


VECTOR = _vector_bytes()  # in bytes
LANES = VECTOR // 8
CONTRACT = ("contract",)


def ask(builder, address):
    """Ask for the cache line at an address, into the second level; harmless whatever the address is.

    Into the first level, passes took 1.1 to 1.3 times as long on a Zen 4, in float64 longer than without, and Hessians
    1.1 to 1.2 times.
    """
    pointer = builder.inttoptr(address, ir.PointerType(ir.IntType(8)))
    i32 = ir.IntType(32)
    prefetch = builder.module.declare_intrinsic(
        "llvm.prefetch", [pointer.type], ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32])
    )
    builder.call(prefetch, [pointer, i32(0), i32(2), i32(1)])


class Emitter:
    """Emits loads, stores and multiply-adds of vectors of one element type at addresses that are int64."""

    def __init__(self, context, builder, element):
        self.builder = builder
        self.element = context.get_value_type(element)
        self.size = element.bitwidth // 8
        self.n_elements = VECTOR // self.size
        self.vector = ir.VectorType(self.element, self.n_elements)

    def address(self, base, *terms):
        """Return base plus products of pairs."""
        for factor, other in terms:
            other = ir.Constant(ir.IntType(64), other) if isinstance(other, int) else other
            base = self.builder.add(base, self.builder.mul(factor, other))
        return base

    def load(self, address, kind):
        """Return what is at an address."""
        loaded = self.builder.load(self.builder.inttoptr(address, ir.PointerType(kind)), typ=kind)
        loaded.align = self.size
        return loaded

    def store(self, value, address, align):
        """Put a value to an address."""
        stored = self.builder.store(value, self.builder.inttoptr(address, ir.PointerType(value.type)))
        stored.align = align

    def splat(self, scalar):
        """Return a vector of one number."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(nothing, scalar, ir.IntType(32)(0))
        return self.shuffled(one, nothing, [0] * self.n_elements)

    def shuffled(self, one, other, lanes):
        """Return the elements of two vectors, the other's after the one's, that are in these lanes."""
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(one, other, lanes)

    def sums(self, n_rows):
        """Return n_rows × 2 vectors of zeros; LLVM keeps them in registers."""
        zero = ir.Constant(self.vector, [0.0] * self.n_elements)
        return [[cgutils.alloca_once_value(self.builder, zero) for _ in range(2)] for _ in range(n_rows)]

    def add_products(self, sums, left, right):
        """Add left times each of two vectors."""
        for target, other in zip(sums, right, strict=True):
            product = self.builder.fmul(left, other, flags=("contract",))
            self.builder.store(self.builder.fadd(self.builder.load(target), product, flags=("contract",)), target)

    def reduced(self, vector):
        """Return the sum of the elements, in float64."""
        name = f"llvm.vector.reduce.fadd.v{self.n_elements}f{8 * self.size}"
        function = ir.FunctionType(self.element, [self.element, self.vector])
        reduce = cgutils.get_or_insert_function(self.builder.module, function, name)
        total = self.builder.call(reduce, [ir.Constant(self.element, 0.0), vector], fastmath=("reassoc",))
        return total if self.size == 8 else self.builder.fpext(total, ir.DoubleType())


class Entries(Emitter):
    """Emits what is done with entries of X, widened to vectors of float64, LANES at a time."""

    def __init__(self, context, builder, element):
        super().__init__(context, builder, types.float64)
        self.source = context.get_value_type(element)
        self.source_size = element.bitwidth // 8

    def at(self, line, v):
        """Return the address of vector v of a line of entries."""
        return self.address(line, (v, LANES * self.source_size))

    def entries(self, line, v):
        """Return vector v of a line, widened."""
        loaded = self.load(self.at(line, v), ir.VectorType(self.source, LANES))
        loaded.align = self.source_size
        return self.builder.fpext(loaded, self.vector) if self.source_size < self.size else loaded

    def products(self, lines, v, factors):
        """Return vector v of some lines times a vector for each."""
        pairs = zip(lines, factors, strict=True)
        return [self.builder.fmul(self.entries(line, v), factor, flags=CONTRACT) for line, factor in pairs]

    def add(self, *terms):
        """Return the sum of vectors, in pairs."""
        while len(terms) > 1:
            pairs = zip(terms[::2], terms[1::2], strict=False)
            last = terms[len(terms) // 2 * 2 :]  # one without a partner, or none
            terms = (*(self.builder.fadd(one, other, flags=CONTRACT) for one, other in pairs), *last)
        return terms[0]
