"""Compiling of functions that are parts of a driver and nothing else.

numba optimises a function, and makes machine code of it, whenever it is compiled, and again within each function that
calls it, at every level. A part is left as it is written down, in LLVM's words; the driver links all of its parts,
and LLVM optimises the whole once.
"""

import contextlib
import functools
from typing import Any

import numba.extending
from llvmlite.binding import Linkage
from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

# Passes for closures, literals, with, raise, expressions of whole arrays, and what numba inlines (LLVM inlines all that
# is small): parts have none of these.
UNUSED = {
    "DumpParforDiagnostics",
    "FindLiterallyCalls",
    "InlineClosureLikes",
    "InlineInlinables",
    "InlineOverloads",
    "LiteralPropagationSubPipelinePass",
    "LiteralUnroll",
    "MakeFunctionToJitFunction",
    "NopythonRewrites",
    "RewriteDynamicRaises",
    "WithLifting",
}

DEFAULTS = Flags().values()


class _Flags(Flags):
    """numba's flags, compared thousands of times while a driver is compiled, at a fortieth of the cost."""

    __slots__ = ()

    def values(self):
        """Return the values of all flags, by name."""
        return DEFAULTS | self._values

    __eq__ = Flags.__eq__

    def __hash__(self):
        return HASH


HASH = hash(Flags())  # that of all: numba's own is of the names


class PartLibrary(JITCodeLibrary):
    """The code of a part: linked, but not optimised, and without machine code."""

    _shared_module: Any

    def finalize(self):
        """Link what this code calls."""
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True

    def _get_module_for_linking(self):
        self._ensure_finalized()
        if self._shared_module is None:  # as numba does it, but not to a copy: nothing else is done with this module
            for function in self._final_module.functions:
                if not function.is_declaration and function.linkage == Linkage.external:
                    function.linkage = "linkonce_odr"
            self._shared_module = self._final_module
        return self._shared_module


class _Context(CPUContext):
    """numba's target, for drivers and parts."""

    def get_function(self, fn, sig, _firstcall=True):
        """Find code for a function. No array has a conversion, which numba looks for, everywhere, at each use of it."""
        if fn == "__array__":
            raise NotImplementedError  # numba's word for it: it goes on without a conversion
        return super().get_function(fn, sig, _firstcall)

    def get_executable(self, library, fndesc, env):
        """Return what Python calls, of a part something that says what numba knows it by, without code."""
        if not isinstance(library, PartLibrary):
            return super().get_executable(library, fndesc, env)
        library._ensure_finalized()
        return _dynfunc.make_function(fndesc.lookup_module(), fndesc.qualname, "part of a driver", 0, env, (library,))


class PartCompiler(Compiler):
    """numba's compiler, into a PartLibrary."""

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        flags.nrt = False  # parts allocate nothing, and need not count references to what they are given
        library = PartLibrary(targetctx.codegen(), "part")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, args, return_type, _Flags(flags), locals)
        self.state.targetctx.__class__ = _Context

    def define_pipelines(self):
        """Return numba's passes but those that parts have no use for, an eighth of the time."""
        managers = super().define_pipelines()
        for manager in managers:
            manager.passes = [entry for entry in manager.passes if entry[0].__name__ not in UNUSED]
        return managers


def overload(function, inline=False):
    """Mark what chooses a part by the types of its arguments: see numba.extending.overload; inline as jit.inlined."""

    def mark(choose):
        def chosen(*args):
            part = choose(*args)
            return getattr(part, "py_func", part)  # of a kernel its code, which is compiled as part of its caller

        options = {"pipeline_class": PartCompiler, "forceinline": inline}
        return numba.extending.overload(function, jit_options=options, strict=False)(chosen)

    return mark


class _Parts:
    """numba's code generator, which makes parts."""

    def __init__(self, codegen):
        self.codegen = codegen

    def __getattr__(self, name):
        return getattr(self.codegen, name)

    def create_library(self, name, **options):
        """Return a new library."""
        return PartLibrary(self.codegen, name, **options)


@contextlib.contextmanager
def declarations_when_needed():
    """Let numba look into its cache without loading all it can compile first, which took most of a warm start."""
    context = cpu_target.target_context
    with global_compiler_lock:  # so that nobody else compiles without them
        context.refresh = functools.partial(rtsys.initialize, context)
        try:
            yield
        finally:
            vars(context).pop("refresh", None)


@functools.cache
def _load_declarations(context):
    """Load them at once: by itself numba begins anew at every third."""
    context.refresh = lambda: None  # what is nested in this one
    try:
        type(context).refresh(context)
    finally:
        vars(context).pop("refresh", None)


class DriverCompiler(Compiler):
    """numba's compiler; all that is compiled along with the driver, as the body of a parallel loop, is a part."""

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        vars(targetctx).pop("refresh", None)
        _load_declarations(targetctx)
        library = targetctx.codegen().create_library("driver")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, args, return_type, _Flags(flags), locals)
        context = self.state.targetctx
        context.__class__ = _Context
        context._internal_codegen = _Parts(context._internal_codegen)
