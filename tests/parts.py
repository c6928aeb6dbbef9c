"""Kernels called, or looked at, one by one; in the package they are parts of drivers and have no machine code."""

import numba


def alone(part):
    """Compile a kernel by itself, with its own options."""
    if not hasattr(part, "py_func"):  # without the JIT
        return part
    options = {name: value for name, value in part.targetoptions.items() if name != "nopython"}
    return numba.njit(**options)(part.py_func)
