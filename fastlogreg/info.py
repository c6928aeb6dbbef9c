"""What ``fastlogreg info`` tells: versions, threads, compiled kernels, BLAS and processor as fits find them."""

import importlib.metadata
import os
import platform

import llvmlite.binding
import numba
import scipy.linalg.blas  # loads the BLAS that fits use  # noqa: F401
import threadpoolctl
from rich.table import Table

import fastlogreg
from fastlogreg.kernels import jit
from fastlogreg.threads import CORES, MOST_THREADS, allowed_threads, limits

LIBRARIES = "numba", "llvmlite", "numpy", "scipy", "scikit-learn", "joblib", "tbb"
VECTORS = "fma", "avx2", "avx512f", "avx512dq", "neon", "sve"


def facts():
    """Return what there is to tell, as a dict of dicts that JSON can hold."""
    layer = _layer()  # starts the threads, so that what follows sees them
    return {
        "versions": {"fastlogreg": fastlogreg.__version__, "python": platform.python_version(), **_versions()},
        "threads": {"layer": layer, **_threads()},
        "compiled kernels": _kernels(),
        "BLAS": _blas(),
        "processor": _processor(),
    }


def _versions():
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _layer():
    """Return the name of the threading layer that numba chooses here, or why it has none."""
    try:
        numba.get_num_threads()
        return numba.threading_layer()
    except ValueError as error:
        return f"none, fits are serial: {str(error).splitlines()[0]}"


def _threads():
    """Return how many threads fits use by default, and what decides it."""
    bounds = limits()
    cores = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    why = min(bounds, key=bounds.__getitem__)
    if why == CORES:
        shared = "LOKY_MAX_CPU_COUNT" if "LOKY_MAX_CPU_COUNT" in os.environ else "the control group's share of time"
        why = shared if bounds[CORES] < affinity else "affinity" if affinity < cores else "all cores of the machine"
    found = {"fits use": allowed_threads(), "because of": why, "cores of the machine": cores, "affinity": affinity}
    return found | bounds | {MOST_THREADS: os.environ.get(MOST_THREADS)}


def _kernels():
    folder = jit.cache_folder()
    if folder is None:
        why = "NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else "no folder can be written"
        return {"folder": None, "kept": f"no: {why}"}
    current, others = jit.cache_files(folder)
    return {
        "folder": str(folder),
        "kept": "yes",
        "kernels": sum(path.suffix == ".nbi" for path in current),
        "megabytes": round(sum(path.stat().st_size for path in (*current, *others)) / 1e6, 1),
        "files of other versions": len(others),
    }


def _blas():
    """Return each BLAS in the process: numpy and scipy may have one each."""
    found = {}
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas":
            words = pool["internal_api"], pool["version"], pool.get("architecture"), f"{pool['num_threads']} threads"
            found[pool["filepath"]] = ", ".join(str(word) for word in words if word)
    return found


def _processor():
    features = llvmlite.binding.get_host_cpu_features()
    return {
        "name": llvmlite.binding.get_host_cpu_name(),
        "vectors": ", ".join(name for name in VECTORS if features.get(name)) or "none of " + ", ".join(VECTORS),
    }


def table(facts):
    """Return the facts as a table to print with rich."""
    table = Table(show_header=False, title="fastlogreg info", title_justify="left")
    for _ in range(3):
        table.add_column(overflow="fold")
    for section, lines in facts.items():
        for at, (name, value) in enumerate(lines.items()):
            words = "none" if value is None else str(value)
            table.add_row(section if at == 0 else "", name, words, end_section=at == len(lines) - 1)
    return table
