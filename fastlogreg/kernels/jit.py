"""How kernels are compiled, cached and started: the only module that knows numba's flags and threads.

Three layers share one name: a *block primitive* and a *row-range kernel* are marked ``@kernel`` (plain serial
functions, compiled only as callees), a *driver* is marked ``@driver``: one ``prange`` over chunks of rows. Only
drivers are called from Python, so only they are entry points with a signature and a cache file of their own; each
is built twice from the same code, parallel and serial.
"""

import contextlib
import hashlib
import inspect
import multiprocessing
import os
import signal
import threading
import types as python_types
import warnings
from pathlib import Path

import numba
import numpy as np
from numba.core import types
from numba.np.numpy_support import from_dtype

# Sums may be reordered and contracted; NaN and infinity must survive, so neither nnan nor ninf.
FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}
# With `reassoc` LLVM deletes (x + magic) - magic, the rounding step of exp; pointwise maths allows contraction only.
EXACT = {"contract"}

_LOCK = threading.Lock()


def kernel(function):
    """Mark a serial function that drivers call; it is compiled as part of them."""
    return numba.njit(fastmath=FAST, error_model="numpy", nogil=True)(function)


def pointwise(function):
    """Mark a scalar function: contraction only, inlined by LLVM so that the calling loop vectorises."""
    return numba.njit(fastmath=EXACT, error_model="numpy", nogil=True, forceinline=True)(function)


def _source_digest():
    """Digest of every kernel source: a cached object is valid for exactly these files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


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


@contextlib.contextmanager
def _interrupts_held():
    """Hold back Ctrl-C in the main thread, the only one that sees it, until the end of the block.

    LLVM calls back into Python, where an exception could only be reported and forgotten: the interrupt would be lost,
    and what LLVM asked for would be missing.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *caught: held.append(caught))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:
            handler(*held[0])


class Driver:
    """An entry point from Python, compiled on its first use for the types it is called with.

    Every signature is explicit, has a dispatcher and a cache file of its own (numba's index of several signatures
    can be cross-wired by concurrent writers), and carries a digest of all kernel sources in its name (numba itself
    does not see edits in other files). Whatever goes wrong with the cache, the kernel is compiled without it.
    """

    digest = None

    def __init__(self, function):
        self.function = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.parameters = tuple(inspect.signature(function).parameters)
        self.compiled = {}

    def __call__(self, *args, threads=1):
        """Run on at most ``threads`` threads, or serially where a parallel region would be unsafe."""
        if numba.config.DISABLE_JIT:
            return self.function(*args)
        if threads > 1:
            with _parallel_region(threads) as safe:
                if safe:
                    return self._dispatcher(args, parallel=True)(*args)
        return self._dispatcher(args, parallel=False)(*args)

    def _dispatcher(self, args, *, parallel):
        key = (parallel, *map(_key, args))
        try:
            return self.compiled[key]
        except KeyError:
            pass
        with _LOCK, _interrupts_held():  # two threads that meet a new signature compile it once
            if key not in self.compiled:
                self.compiled[key] = self._compile(args, parallel)
        return self.compiled[key]

    def _compile(self, args, parallel):
        signature = types.void(*map(_numba_type, self.parameters, args))
        if Driver.digest is None:
            Driver.digest = _source_digest()
        name = hashlib.sha256(f"{signature} {parallel} {Driver.digest}".encode()).hexdigest()[:24]
        source = self.function
        function = python_types.FunctionType(source.__code__, source.__globals__, source.__name__)
        function.__qualname__ = f"{source.__name__}_{name}"
        options = {"parallel": parallel, "nogil": True, "error_model": "numpy", "fastmath": FAST}
        with warnings.catch_warnings():
            # A filter that turns warnings into errors must not turn numba's advice on caching into a failed fit.
            warnings.simplefilter("ignore")
            for damaged in (False, True):
                try:
                    dispatcher = numba.njit(**options, cache=True)(function)
                    if damaged:  # forget what the first attempt could not read
                        dispatcher._cache.flush()
                    dispatcher.compile(signature.args)
                    break
                except Exception:  # any cache failure: no folder to write to, disk full, truncated or foreign files
                    continue
            else:
                dispatcher = numba.njit(**options)(function)
                dispatcher.compile(signature.args)
        dispatcher.disable_compile()
        return dispatcher


def driver(function):
    """Mark an entry point: ``prange`` over chunks that calls one row-range kernel."""
    return Driver(function)


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
_busy = threading.Lock()


def _fresh_locks():
    """Replace the locks, which a thread that does not exist in a forked child may have held."""
    global _LOCK, _busy
    _LOCK, _busy = threading.Lock(), threading.Lock()


os.register_at_fork(after_in_child=_fresh_locks)


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
    Python threads are in regions at once. TBB survives both.
    """
    global _threads_pid
    if _threads_pid is None:
        if _started() and os.getpid() != _imported_pid:
            _threads_pid = UNKNOWN
        else:
            with _LOCK:
                _threads_pid = os.getpid() if _start_threads() else UNKNOWN
    if os.getpid() != _threads_pid and not (_started() and numba.threading_layer() == "tbb"):
        yield False
        return
    before = numba.get_num_threads()
    layer = numba.threading_layer()
    exclusive = layer == "workqueue"
    if exclusive and (threading.current_thread() is not threading.main_thread() or not _busy.acquire(blocking=False)):
        yield False
        return
    try:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        yield True
    finally:
        numba.set_num_threads(before)
        if exclusive:
            _busy.release()
