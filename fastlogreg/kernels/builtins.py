"""Small things that numba would compile as functions of their own, a tenth to half a second each; here instructions.

They are for int64, and for arrays whose entries stand side by side in C order.
"""

from numba.core import types
from numba.core.imputils import impl_ret_borrowed
from numba.core.typing import signature
from numba.extending import lower_builtin, type_callable
from numba.np.arrayobj import make_array, populate_array


def smaller(a, b):
    """Return the smaller of two integers."""
    return min(a, b)


def larger(a, b):
    """Return the larger of two integers."""
    return max(a, b)


def reshaped(array, shape):
    """Return the entries of a C-ordered array as another, of as many in all: a view."""
    return array.reshape(shape)


def _integer(context):
    return lambda a, b: signature(types.int64, types.int64, types.int64)


type_callable(smaller)(_integer)
type_callable(larger)(_integer)


@lower_builtin(smaller, types.int64, types.int64)
def _smaller(context, builder, signature, args):
    return builder.select(builder.icmp_signed("<", *args), *args)


@lower_builtin(larger, types.int64, types.int64)
def _larger(context, builder, signature, args):
    return builder.select(builder.icmp_signed(">", *args), *args)


@type_callable(reshaped)
def _array(context):
    def typed(array, shape):
        n = len(shape)
        return signature(array.copy(ndim=n, layout="C"), array, types.UniTuple(types.int64, n))

    return typed


@lower_builtin(reshaped, types.Array, types.UniTuple)
def _reshaped(context, builder, signature, args):
    array = make_array(signature.args[0])(context, builder, args[0])
    view = make_array(signature.return_type)(context, builder)
    shape = [builder.extract_value(args[1], k) for k in range(signature.return_type.ndim)]
    strides = [array.itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(view, array.data, shape, strides, array.itemsize, array.meminfo, array.parent)
    return impl_ret_borrowed(context, builder, signature.return_type, view._getvalue())
