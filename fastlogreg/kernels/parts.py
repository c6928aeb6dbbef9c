"""Compiling of functions that are parts of a driver and nothing else.

numba optimises a function, and makes machine code of it, whenever it is compiled, and again within each function that
calls it, at every level. A part is left as it is written down, in LLVM's words; the driver links all of its parts,
and LLVM optimises the whole once.
"""

import numba.extending
from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class PartLibrary(JITCodeLibrary):
    """The code of a part: linked, but not optimised, and without machine code."""

    def finalize(self):
        """Link what this code calls."""
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True


def _no_entry(library, fndesc, env):
    """Stand in for numba's get_executable: what numba knows the part by, without code for a call from Python."""
    library._ensure_finalized()
    return _dynfunc.make_function(fndesc.lookup_module(), fndesc.qualname, "part of a driver", 0, env, (library,))


class PartCompiler(Compiler):
    """numba's compiler, into a PartLibrary."""

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        library = PartLibrary(targetctx.codegen(), "part")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)
        self.state.targetctx.get_executable = _no_entry


def overload(function, inline="never"):
    """Mark what chooses a part by the types of its arguments: see numba.extending.overload."""
    return numba.extending.overload(function, jit_options={"pipeline_class": PartCompiler}, inline=inline)


class _Parts:
    """numba's code generator, which makes parts."""

    def __init__(self, codegen):
        self.codegen = codegen

    def __getattr__(self, name):
        return getattr(self.codegen, name)

    def create_library(self, name, **options):
        """Return a new library."""
        return PartLibrary(self.codegen, name, **options)


class DriverCompiler(Compiler):
    """numba's compiler; all that is compiled along with the driver, as the body of a parallel loop, is a part."""

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        library = targetctx.codegen().create_library("driver")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)
        context = self.state.targetctx
        get_executable = context.get_executable

        def executable(library, fndesc, env):
            return (_no_entry if isinstance(library, PartLibrary) else get_executable)(library, fndesc, env)

        context.get_executable = executable
        context._internal_codegen = _Parts(context._internal_codegen)
