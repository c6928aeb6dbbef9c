"""What this machine is, and what it can do at best: the two numbers that a pass over X and a Hessian are judged by."""

import importlib.metadata
import os
import platform
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
import scipy.linalg.blas
import threadpoolctl
from numba import get_num_threads, njit, prange, threading_layer

LIBRARIES = ("fastlogreg", "numpy", "scipy", "numba", "llvmlite", "scikit-learn", "scikit-learn-intelex", "glum")


def facts():
    """What a reader needs to judge a figure, as an ordered dict of strings."""
    found = {
        "processor": cpu_name(),
        "cores allowed": str(cores_allowed()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
    }
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    try:
        found["numba threads"] = f"{get_num_threads()}, layer {threading_layer()}"
    except ValueError:
        found["numba threads"] = f"{get_num_threads()}, layer not started"
    for pool in sorted(threadpoolctl.threadpool_info(), key=lambda pool: _owner(pool["filepath"])):
        if pool["user_api"] == "blas":
            words = pool["internal_api"], pool["version"], pool.get("architecture"), f"{pool['num_threads']} threads"
            found[f"BLAS {_owner(pool['filepath'])}"] = ", ".join(str(word) for word in words if word)
    return found


def cpu_name():
    """The processor's own name where the system tells it, with its vector width."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    width = next((name for name in ("avx512f", "avx2", "avx", "sse2") if name in flags), "")
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({width})" if width else name


def cores_allowed():
    """Cores that this process may use: affinity, and the control group's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or "max": no quota
        return cores


def settle(patience=1.0):
    """Wait until the other threads of this process rest: before a call that is timed.

    Those of OpenBLAS spin for 0.1 s after their work, and what is timed meanwhile shares the cores with them: on two
    cores, passes over 400 000 × 100 took 17 to 25 ms after scikit-learn's loss and gradient, 11.5 when these threads
    slept. Nothing to wait for where the system does not tell the states of threads.
    """
    deadline = time.perf_counter() + patience
    while _others_run() and time.perf_counter() < deadline:
        time.sleep(0.002)


def _others_run():
    """Whether a thread of this process beside the caller is running, or waits for a core."""
    this = str(threading.get_native_id())
    for task in Path("/proc/self/task").glob("[0-9]*"):
        try:
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended
            continue
        if state == "R" and task.name != this:
            return True
    return False


def _owner(path):
    """numpy and scipy each bring their own copy of OpenBLAS: name whose it is."""
    parts = Path(path).parts
    return next((part.removesuffix(".libs") for part in parts if part.endswith(".libs")), Path(path).name)


@njit(nogil=True)
def _sum_words(words):
    # Measured on two cores of an EPYC (Zen 5): four streams 79 GB/s, one stream 79, eight scalar float accumulators 60.
    quarter = len(words) // 4
    a, b, c, d = words[:quarter], words[quarter : 2 * quarter], words[2 * quarter : 3 * quarter], words[3 * quarter :]
    s, t, u, v = 0, 0, 0, 0
    for i in range(quarter):
        s += a[i]
        t += b[i]
        u += c[i]
        v += d[i]
    return s + t + u + v


@njit(parallel=True)
def _sum_chunks(words, sums):
    size = len(words) // len(sums)
    for chunk in prange(len(sums)):
        sums[chunk] = _sum_words(words[chunk * size : (chunk + 1) * size])


def reader(array):
    """A function of nothing that reads the whole array once with all cores, compiled and started.

    For a contiguous array of any type and order. Its bytes are summed as 64-bit integers, an associative addition, so
    that the compiler may use many vector accumulators unasked, and no value is slow to add.
    """
    words = array.reshape(-1, order="A").view(np.uint8)
    words = words[: words.size // 8 * 8].view(np.int64)
    sums = np.zeros(4 * get_num_threads(), dtype=np.int64)
    _sum_chunks(words, sums)
    return lambda: _sum_chunks(words, sums)


def read_bandwidth(array, repeats=9):
    """(median, best) GB/s at which all cores read this array: the ceiling for any single pass over it.

    On shared hardware it drifts (from 50 to 80 GB/s within minutes): to judge a pass, time it in turns with `reader`.
    """
    times = _times(reader(array), repeats)
    return array.nbytes / statistics.median(times) / 1e9, array.nbytes / min(times) / 1e9


def blas_gflops(rows=4096, columns=1024, dtype=np.float64, repeats=7):
    """{"syrk": (median, best), "gemm": (median, best)} in GFLOP/s: XᵀX of a C-ordered (rows, columns) X, scipy's BLAS.

    syrk counts rows · columns · (columns + 1) operations, what a Hessian needs; gemm counts 2 · rows · columns².
    """
    X = np.random.default_rng(0).standard_normal((rows, columns)).astype(dtype)
    syrk = scipy.linalg.blas.get_blas_funcs("syrk", (X,))
    gemm = scipy.linalg.blas.get_blas_funcs("gemm", (X,))
    result = np.zeros((columns, columns), dtype=dtype, order="F")
    calls = {
        "syrk": (lambda: syrk(1.0, X.T, c=result, overwrite_c=1), rows * columns * (columns + 1)),
        "gemm": (lambda: gemm(1.0, X.T, X.T, trans_b=1, c=result, overwrite_c=1), 2 * rows * columns**2),
    }
    figures = {}
    for name, (call, operations) in calls.items():
        call()
        times = _times(call, repeats)
        figures[name] = operations / statistics.median(times) / 1e9, operations / min(times) / 1e9
    return figures


def _times(call, repeats):
    """Seconds of each repeat; a repeat is as many calls as fill a few milliseconds."""
    start = time.perf_counter()
    call()
    calls = max(1, int(5e-3 / max(time.perf_counter() - start, 1e-7)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls)
    return times


def main():
    for dtype in (np.float64, np.float32):
        median, best = read_bandwidth(np.ones(400_000_000 // np.dtype(dtype).itemsize, dtype=dtype))
        print(f"{'read ' + np.dtype(dtype).name:28s} median {median:.1f}, best {best:.1f} GB/s")
        for name, (median, best) in blas_gflops(dtype=dtype).items():
            print(f"{name + ' ' + np.dtype(dtype).name:28s} median {median:.0f}, best {best:.0f} GFLOP/s")
    for name, value in facts().items():
        print(f"{name:28s} {value}")


if __name__ == "__main__":
    sys.exit(main())
