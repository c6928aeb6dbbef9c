"""How kernels are compiled, cached and started: with parts.py all that knows numba's flags and threads.

Three layers share one name: a *block primitive* and a *row-range kernel* are marked ``@kernel`` (plain serial
functions, compiled only as callees), a *driver* is marked ``@driver``: one ``prange`` over chunks of rows. Only
drivers are called from Python, so only they are entry points with a signature and a cache file of their own; each
is built twice from the same code, parallel and serial. None of them makes an array, which takes numba up to a
quarter of a second to compile: what they work in is a parameter, as what they write to is.
"""

import concurrent.futures
import contextlib
import contextvars
import functools
import gc
import hashlib
import inspect
import multiprocessing
import os
import sys
import threading
import time
import types as python_types
import warnings
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba.core import types
from numba.np.numpy_support import from_dtype

from fastlogreg.kernels.parts import DriverCompiler, PartCompiler, declarations_when_needed

# Sums may be reordered and contracted; NaN and infinity must survive, so neither nnan nor ninf.
FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}
# With `reassoc` LLVM deletes (x + magic) - magic, the rounding step of exp; pointwise maths allows contraction only.
EXACT = {"contract"}


def kernel(function):
    """Mark a serial function that drivers call; it is compiled as part of them, and a call from Python is a crash."""
    return numba.njit(fastmath=FAST, error_model="numpy", nogil=True, pipeline_class=PartCompiler)(function)


def inlined(function):
    """Mark a kernel that is called for every row: LLVM makes it part of its callers, as passing arrays costs more."""
    options = {"error_model": "numpy", "nogil": True, "forceinline": True, "pipeline_class": PartCompiler}
    return numba.njit(fastmath=FAST, **options)(function)


def pointwise(function):
    """Mark a scalar function: contraction only, inlined by LLVM so that the calling loop vectorises."""
    options = {"error_model": "numpy", "nogil": True, "forceinline": True, "pipeline_class": PartCompiler}
    return numba.njit(fastmath=EXACT, **options)(function)


def _numba_type(name, value):
    """Numba type of an argument; arrays are read-only unless their parameter's name starts with ``out``."""
    if isinstance(value, np.ndarray):
        layout = "C" if value.flags.c_contiguous else "F"
        return types.Array(from_dtype(value.dtype), value.ndim, layout, readonly=not name.startswith("out"))
    if isinstance(value, tuple):
        return types.NamedTuple([_numba_type(name, field) for field in value], type(value))
    return types.float64 if isinstance(value, float) else types.int64


def _key(value):
    if isinstance(value, np.ndarray):
        return value.dtype.char, value.ndim, value.flags.c_contiguous
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    return type(value)


# --- drivers ----------------------------------------------------------------------------------------------------

# Settings of numba that change the machine code; its cache does not tell them apart. BOUNDSCHECK above all: kernels
# that check must neither be left out nor be found by the next process.
SETTINGS = "BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "CPU_NAME", "CPU_FEATURES"


class Driver:
    """An entry point from Python, compiled on its first use for the types it is called with.

    Every signature is explicit, has a dispatcher and a cache file of its own (numba's index of several signatures
    can be cross-wired by concurrent writers), and carries a digest of all kernel sources in its name (numba itself
    does not see edits in other files). Whatever goes wrong with the cache, the kernel is compiled without it.
    """

    both_twins = False  # `fastlogreg warmup` compiles the parallel and the serial one at every call

    def __init__(self, function):
        self.function = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.parameters = tuple(inspect.signature(function).parameters)
        self.twins = (False, True) if "prange" in function.__code__.co_names else (False,)
        self.compiled = {}

    def __call__(self, *args, threads=1):
        """Run on at most ``threads`` threads, or serially where a parallel region would be unsafe."""
        if numba.config.DISABLE_JIT:
            return self.function(*args)
        if Driver.both_twins:
            for parallel in self.twins:
                self._dispatcher(args, parallel=parallel)
        if threads > 1:
            with _parallel_region(threads) as safe:
                if safe:
                    return self._dispatcher(args, parallel=True)(*args)
        return self._dispatcher(args, parallel=False)(*args)

    def _dispatcher(self, args, *, parallel):
        key = (parallel, *map(_key, args))
        found = self.compiled.get(key)
        return found or _in_thread((self, key), lambda: self._compile_once(key, args))

    def _compile_once(self, key, args):
        with _LOCK:
            if key not in self.compiled:
                with _no_collection():
                    self.compiled[key] = self._compile(args, parallel=key[0])
        return self.compiled[key]

    def _compile(self, args, parallel):
        COMPILING.dispatcher = None
        started = time.perf_counter()
        signature = types.void(*map(_numba_type, self.parameters, args))
        name = hashlib.sha256(f"{signature} {parallel} {_target()}".encode()).hexdigest()[:16]
        source = self.function
        function = python_types.FunctionType(source.__code__, source.__globals__, source.__name__)
        function.__qualname__ = f"{source.__name__}_{_source_digest()}_{name}"
        options = {"parallel": parallel, "nogil": True, "error_model": "numpy", "fastmath": FAST}
        options |= {"no_cfunc_wrapper": True, "pipeline_class": DriverCompiler}
        with warnings.catch_warnings():
            # A filter that turns warnings into errors must not turn numba's advice on caching into a failed fit.
            warnings.simplefilter("ignore")
            for damaged in (False, True):
                try:
                    dispatcher = COMPILING.dispatcher = numba.njit(**options, cache=True)(function)
                    if damaged:  # forget what the first attempt could not read
                        dispatcher._cache.flush()
                    with declarations_when_needed():
                        dispatcher.compile(signature.args)
                    break
                except Exception as error:  # no folder to write to, disk full, truncated or foreign files
                    COMPILING.failure = error
                    if COMPILING.dispatcher is not None and COMPILING.dispatcher.overloads:
                        COMPILING.unsaved += 1
                        break
            else:
                dispatcher = COMPILING.dispatcher = numba.njit(**options)(function)
                dispatcher.compile(signature.args)
                COMPILING.unsaved += 1
        dispatcher.disable_compile()
        COMPILING.finish(time.perf_counter() - started)
        return dispatcher


def driver(function):
    """Mark an entry point: ``prange`` over chunks that calls one row-range kernel."""
    return Driver(function)


@functools.cache
def _source_digest():
    """Return a digest of every kernel source: a cached object is valid for exactly these files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _target():
    """Describe what machine code depends on beside its source; a home may be shared by different processors."""
    cpu = llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()
    return *cpu, *(getattr(numba.config, name, None) for name in SETTINGS)


# --- compiling --------------------------------------------------------------------------------------------------


class _Compiling:
    """What this process has compiled, and what it is compiling; one kernel at a time."""

    def __init__(self):
        self.loaded = self.compiled = self.unsaved = 0
        self.seconds = 0.0  # spent on kernels that were not in the cache
        self.failure: Exception | None = None  # of the cache
        self.dispatcher: Any = None
        self.told = False

    @property
    def missing(self):
        """Whether the kernel in hand was not in the cache."""
        dispatcher = self.dispatcher
        return dispatcher is not None and any(dispatcher.stats.cache_misses.values())

    def finish(self, seconds):
        if self.missing:
            self.compiled += 1
            self.seconds += seconds
        else:
            self.loaded += 1
        self.dispatcher = None


COMPILING = _Compiling()
# Whether the user asked the estimator at work to be verbose.
VERBOSE: contextvars.ContextVar[bool] = contextvars.ContextVar("VERBOSE", default=False)
# Seconds of compiling that go without a word.
PATIENCE = 1.0
# A waiting thread looks up so often: on Windows Ctrl-C must wait for that.
LOOK_UP = 0.1

_LOCK = threading.Lock()  # held while a kernel is compiled


@contextlib.contextmanager
def _no_collection():
    """Spare the search for garbage in what numba builds and keeps: a tenth of the time of compiling."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


_jobs: dict[Any, concurrent.futures.Future] = {}


def _in_thread(job, work):
    """Return work(), done by a thread of its own; whoever asks for the same job meanwhile waits for that one.

    LLVM calls back into Python, where an exception could only be reported and forgotten, so that Ctrl-C must not meet
    the main thread there. Here it meets a thread that waits: it is obeyed at once, and what was being compiled will be
    there for the next call.
    """
    future: concurrent.futures.Future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        finally:
            _jobs.pop(job, None)

    thread = threading.Thread(target=run, name="fastlogreg compiles")
    try:
        running = _jobs.setdefault(job, future)
        if running is future:
            try:
                if _memory_is_limited():
                    run()
                else:
                    thread.start()
            except RuntimeError:  # no more threads: the limit of the system, or the interpreter is ending
                run()
    except BaseException:
        if thread.ident is None:  # or others would wait for a thread that may never have started
            _jobs.pop(job, None)
        raise
    started = time.perf_counter()
    while not running.done():
        concurrent.futures.wait([running], timeout=LOOK_UP)
        if COMPILING.missing and COMPILING.seconds + time.perf_counter() - started > PATIENCE:
            _tell()
    if thread.ident is not None:
        thread.join()  # it has nothing left to do, and _parallel_region counts threads
    return running.result()


def _memory_is_limited():
    """Whether the address space is: the C library ends the process where a new thread finds no room for its data."""
    try:
        import resource
    except ImportError:  # not a Unix
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _tell():
    """Tell once why it takes so long: to people, not to log files, and never as a warning, which may be an error."""
    if COMPILING.told or os.environ.get("FASTLOGREG_QUIET", "0") not in ("", "0"):
        return
    if not (VERBOSE.get() or sys.stderr.isatty() or "ipykernel" in sys.modules):
        return
    COMPILING.told = True
    advice = "once per machine; `fastlogreg warmup` does it ahead of time"
    if COMPILING.unsaved:
        advice = "in every process, as they cannot be saved: see `fastlogreg info`"
    print(f"fastlogreg: compiling kernels for this kind of data, some seconds ({advice})", file=sys.stderr, flush=True)


def cache_folder():
    """Return the folder of the compiled kernels, a Path, or None where none can be written or nothing is compiled."""
    if numba.config.DISABLE_JIT:
        return None
    try:
        return Path(numba.njit(cache=True)(_cached_here).stats.cache_path)
    except RuntimeError:
        return None


def _cached_here():
    pass


def cache_files(folder):
    """Return the files of compiled kernels in a folder: those of the sources as they are, and all others."""
    current: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.glob("*.nb[ic]*")):
        (current if f"_{_source_digest()}_" in path.name else others).append(path)
    return current, others


# --- threads ----------------------------------------------------------------------------------------------------


def _started():
    try:
        numba.threading_layer()
    except ValueError:
        return False
    return True


# Process in which numba's threads were started; None before that, UNKNOWN where they may be a parent's or there are
# none. Other code may have started them: before this module was imported, when a child that finds them running counts
# as forked, or since.
UNKNOWN = -1
_imported_pid = os.getpid()
_threads_pid = (UNKNOWN if multiprocessing.parent_process() else _imported_pid) if _started() else None
_starting = threading.Lock()
_regions: set[object] = set()  # a mark for each Python thread in a parallel region


def _forget_threads():
    """Replace the locks and clear what is under way: threads that do not exist in a forked child may hold them."""
    global _LOCK, _starting
    _LOCK, _starting = threading.Lock(), threading.Lock()
    _jobs.clear()
    _regions.clear()


os.register_at_fork(after_in_child=_forget_threads)


# GNU OpenMP lets an idle thread spin for milliseconds before it sleeps. Where another process wants the core, the
# thread that has work then waits for the one that has none: a fit of 33 ms took 184 ms. About 30 µs of spinning keep
# the start of the next region short.
SPIN = {"GOMP_SPINCOUNT": "1000"}


def _start_threads():
    """Start numba's threading layer; OpenMP reads the environment once, which is restored.

    Returns
    -------
    bool
        False where the layer that the environment asks for cannot be loaded.
    """
    added = {} if "OMP_WAIT_POLICY" in os.environ else {k: v for k, v in SPIN.items() if k not in os.environ}
    os.environ.update(added)
    try:
        numba.get_num_threads()
    except ValueError:
        return False
    finally:
        for name in added:
            os.environ.pop(name, None)
    return True


@contextlib.contextmanager
def _parallel_region(threads):
    """Yield whether a parallel kernel may run here and now; threads are set and restored inside.

    GNU OpenMP kills a forked child that enters a region, and the ``workqueue`` layer aborts the process when two
    Python threads are in regions at once, be they ours or those of other code: there the process must have only one
    Python thread. TBB survives both. Python threads that fit at once share the cores: twice as many threads as cores
    wait for each other.
    """
    global _threads_pid
    if _threads_pid is None:
        if _started() and os.getpid() != _imported_pid:
            _threads_pid = UNKNOWN
        else:
            with _starting:
                _threads_pid = os.getpid() if _start_threads() else UNKNOWN
    if os.getpid() != _threads_pid and not (_started() and numba.threading_layer() == "tbb"):
        yield False
        return
    if numba.threading_layer() == "workqueue" and len(sys._current_frames()) > 1:
        yield False
        return
    before = numba.get_num_threads()
    mark = object()
    try:
        _regions.add(mark)
        share = min(threads, numba.config.NUMBA_NUM_THREADS) // len(_regions)
        if share > 1:
            numba.set_num_threads(share)
        yield share > 1
    finally:
        _regions.discard(mark)
        numba.set_num_threads(before)
