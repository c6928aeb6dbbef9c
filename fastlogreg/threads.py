"""How many threads to use."""

import contextlib
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numba
import threadpoolctl

# Columns of a matrix that LAPACK factors on one thread. Its threads spin for each other, and where another process has
# a core one of them waits: 512 columns took 10 to 230 ms on two threads of a busy machine, 7 to 15 ms on one.
ONE_THREAD = range(64, 1025)


# The variable that sets the most threads for a process.
MOST_THREADS = "FASTLOGREG_NUM_THREADS"
CORES = "cores allowed"


def check_jobs(n_jobs):
    """Raise a ValueError for a number of threads that means nothing."""
    if n_jobs == 0:
        raise ValueError("n_jobs=0 has no meaning; use None or -1 for all cores, or the number of threads")


def allowed_threads(n_jobs=None):
    """Return the number of threads for ``n_jobs``: None or -1 is all cores the process is allowed.

    Raises
    ------
    ValueError
        If ``n_jobs`` is 0, or FASTLOGREG_NUM_THREADS is no whole number of at least 1.
    """
    check_jobs(n_jobs)
    allowed = min(limits().values())
    if n_jobs is None:
        return allowed
    return max(1, min(n_jobs if n_jobs > 0 else allowed + 1 + n_jobs, allowed))


def limits():
    """Return what limits the number of threads, as a dict from words to numbers; the least of them counts.

    joblib sees affinity, the control group and LOKY_MAX_CPU_COUNT. To its workers it says how many threads each may
    have, so that together they have all cores, by NUMBA_NUM_THREADS.
    """
    affinity = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    found = {
        CORES: _cores(affinity, os.environ.get("LOKY_MAX_CPU_COUNT")),
        "NUMBA_NUM_THREADS": numba.config.NUMBA_NUM_THREADS,
    }
    asked = os.environ.get(MOST_THREADS)
    if asked:
        if not (asked.strip().isdecimal() and int(asked) >= 1):
            raise ValueError(f"{MOST_THREADS} must be a whole number of threads, at least 1, not {asked!r}")
        found[MOST_THREADS] = int(asked)
    return found


@functools.lru_cache(maxsize=1)
def _cores(affinity, at_most):
    """Return joblib's count, which reads the files of the control group: 80 µs, a tenth of a small fit."""
    return joblib.cpu_count()


class _OneBlasThread:
    """A context in which BLAS has one thread; of several Python threads, the last to leave gives the rest back."""

    def __init__(self):
        self.before: list = []
        self.reset()

    def reset(self):
        """Forget who is inside."""
        self.lock = threading.Lock()
        self.inside = 0

    def __enter__(self):
        with self.lock:
            if self.inside == 0:
                # A context of threadpoolctl's own asks every library for all that it knows: ten times as long.
                self.before = [(library, library.num_threads) for library in _blas()]
                for library, _ in self.before:
                    library.set_num_threads(1)
            self.inside += 1

    def __exit__(self, *error):
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for library, number in self.before:
                    library.set_num_threads(number)


one_blas_thread = _OneBlasThread()
os.register_at_fork(after_in_child=one_blas_thread.reset)  # who was inside does not exist there


def factoring(size):
    """Return a context in which LAPACK factors a matrix of so many columns on as many threads as it deserves."""
    return one_blas_thread if size in ONE_THREAD else contextlib.nullcontext()


def in_threads(function, parts, threads):
    """Return [function(part) for part in parts], on so many Python threads, each with BLAS of one thread.

    For functions that spend their time in NumPy, which lets go of the interpreter's lock there (SciPy's BLAS does not).
    """
    with one_blas_thread:
        if threads == 1 or len(parts) == 1:
            return [function(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, parts))


@functools.cache
def _blas():
    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
