"""What ``fastlogreg warmup`` does: small fits of every kind, so that each kernel the estimators reach is compiled.

Fits, and not a list of signatures, because a list would miss what a change of the code adds. Each is as large as it
must be to reach its kernels: the limits that it is meant to pass are imported from where they decide.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
import warnings
from typing import Any, NamedTuple

import numba
import numpy as np
import scipy.sparse
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fastlogreg import functional, hessian_sums, stochastic
from fastlogreg.design import MANY, look_at_indices
from fastlogreg.estimators.logistic import LogisticRegression
from fastlogreg.estimators.stochastic import SGDLogisticRegression
from fastlogreg.kernels import jit
from fastlogreg.labels import encode
from fastlogreg.solvers import SOLVERS
from fastlogreg.solvers.curvature import CHEAP_HESSIAN, SINGLE_WORK
from fastlogreg.solvers.prox_newton import SPARSE_GRAM
from fastlogreg.threads import allowed_threads

FLOATS = np.float64, np.float32


class CacheError(Exception):
    """Compiled kernels cannot be kept; the message says why and what to do."""


class Done(NamedTuple):
    """What became of a task: kernels compiled, found in the cache, and compiled but not saved, for what reason."""

    compiled: int
    found: int
    unsaved: int
    reason: str
    seconds: float


# --- what is to be compiled -------------------------------------------------------------------------------------


def _csr(dtype, index):
    def store(X):
        X = scipy.sparse.csr_array(X.astype(dtype))
        X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
        return X

    return store


def _dense(dtype, order):
    return lambda X: np.asarray(X, dtype=dtype, order=order)


STORAGES = {
    **{f"dense {order} {np.dtype(dtype)}": _dense(dtype, order) for order in "CF" for dtype in FLOATS},
    **{f"CSR {np.dtype(d)} {np.dtype(i)}": _csr(d, i) for d in FLOATS for i in (np.int32, np.int64)},
}


def _rows(n_rows, n_columns, n_classes=2):
    """Return X with an entry in five that is not zero, and labels that X does not separate."""
    X = np.random.default_rng(0).normal(size=(min(n_rows, 1000), n_columns))
    X[np.arange(X.size).reshape(X.shape) % 5 > 0] = 0.0
    return np.resize(X, (n_rows, n_columns)), np.arange(n_rows) // 3 % n_classes


def _predict(model, X):
    model.predict(X)
    model.decision_function(X)
    model.predict_proba(X)
    model.predict_log_proba(X)


def _two_classes(store):
    X, y = _rows(60, 3)
    for solver in SOLVERS:
        model = LogisticRegression(solver=solver, max_iter=3).fit(store(X), y)
    _predict(model, store(X))
    # Products in float32, with too few rows for the start in a sample that could do without, and full ones, as short
    # sparse rows take others; and panels for BLAS.
    n_columns = 4 * CHEAP_HESSIAN
    X, y = _rows(int(SINGLE_WORK / n_columns**2) + 1, n_columns)
    LogisticRegression(solver="newton", max_iter=3).fit(store(X + 1.0), y)
    X, y = _rows(8, hessian_sums.OWN)
    LogisticRegression(solver="newton", max_iter=1).fit(store(X), y)
    if scipy.sparse.issparse(store(X)):
        look_at_indices(store(X))
    X, y = _rows(600, 2 * SPARSE_GRAM)  # sparse columns without the products of any two
    LogisticRegression(C=1e3, l1_ratio=1.0, max_iter=2).fit(store(X), y)


def _more_classes(store):
    X, y = _rows(60, 3, 3)
    for solver in SOLVERS:
        model = LogisticRegression(solver=solver, max_iter=3).fit(store(X), y)
    LogisticRegression(C=1e3, l1_ratio=1.0, group_classes=True, max_iter=3).fit(store(X), y)
    _predict(model, store(X))


def _learning_rate(store):
    for n_classes in (2, 3):
        X, y = _rows(60, 3, n_classes)
        for optimizer in stochastic.OPTIMIZERS:
            SGDLogisticRegression(optimizer=optimizer, max_iter=1).fit(store(X), y)
        # Few entries among many columns.
        X, y = _rows(30, 400, n_classes)
        X[:, 10:] = 0.0
        for optimizer in ("sgd", "adagrad"):
            SGDLogisticRegression(optimizer=optimizer, alpha=0.0, max_iter=1).fit(store(X), y)
        # Dense rows that gradient descent does not copy to F order.
        X = store(np.zeros((4, 2)))
        if isinstance(X, np.ndarray) and X.flags.c_contiguous:
            X, y = _rows(stochastic.SMALL_BYTES // X[0].nbytes + 1, 2, n_classes)
            SGDLogisticRegression(optimizer="gd", learning_rate=0.1, max_iter=1).fit(store(X), y)


def _labels(dtype):
    encode((np.arange(MANY) % 2).astype(dtype))


def _functions(dtype):
    eta = np.ones((4, 3), dtype=dtype)
    for function in (functional.sigmoid, functional.log1pexp, functional.logsumexp, functional.softmax):
        function(eta)


KINDS = {"two classes": _two_classes, "more classes": _more_classes, "learning rate": _learning_rate}
TASKS = {f"{kind}, {name}": (KINDS[kind], store) for name, store in STORAGES.items() for kind in KINDS}
TASKS.update({f"many labels, {np.dtype(dtype)}": (_labels, dtype) for dtype in (np.float64, np.int64)})
TASKS.update({f"functions, {np.dtype(dtype)}": (_functions, dtype) for dtype in FLOATS})


# --- how --------------------------------------------------------------------------------------------------------


def chosen(words):
    """Return the names of the tasks that have all of some words."""
    wanted = {part for word in words for part in word.lower().split()}
    names = [name for name in TASKS if wanted <= set(name.lower().replace(",", "").split())]
    if not names:
        raise CacheError(f"--only {' '.join(words)!r} leaves nothing of {'; '.join(TASKS)}")
    return names


def work(name):
    """Do a task: both twins of every kernel that it calls."""
    kind, storage = TASKS[name]
    before, started = dict(vars(jit.COMPILING)), time.perf_counter()
    jit.Driver.both_twins = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fits of few iterations do not converge
            kind(storage)
    finally:
        jit.Driver.both_twins = False
    after = jit.COMPILING
    compiled, found, unsaved = (getattr(after, key) - before[key] for key in ("compiled", "loaded", "unsaved"))
    return Done(compiled, found, unsaved, str(after.failure or ""), time.perf_counter() - started)


def _start_worker():
    """Leave Ctrl-C to the process that started this one, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent: Any = multiprocessing.parent_process()

    def end_with_parent():
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=end_with_parent, daemon=True).start()


def compile_all(names, processes, report):
    """Do tasks in processes of their own; remove the files of other sources; return folder, files and removed files.

    Parameters
    ----------
    names : list of str
        Keys of TASKS.
    processes : int
    report : callable
        Called as ``report(name, done)`` when a task is done.

    Returns
    -------
    (Path, list of Path, list of Path)

    Raises
    ------
    CacheError
        If there is no folder to write to, or a kernel could not be written there.
    """
    if numba.config.DISABLE_JIT:
        raise CacheError("NUMBA_DISABLE_JIT is set, so there is nothing to compile; unset it")
    folder = jit.cache_folder()
    if folder is None:
        raise CacheError(
            "there is no folder to keep compiled kernels in: NUMBA_CACHE_DIR, the folder of the installation and the "
            "user's cache folder cannot be written. Set NUMBA_CACHE_DIR to a folder that can"
        )
    lost, reason = 0, ""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context, _start_worker) as pool:
        try:
            futures = {pool.submit(work, name): name for name in names}
            for future in concurrent.futures.as_completed(futures):
                done = future.result()
                lost, reason = lost + done.unsaved, done.reason or reason
                report(futures[future], done)
        except concurrent.futures.process.BrokenProcessPool:
            raise CacheError("a process that compiled was killed: give it more memory, or use --processes 1") from None
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    if lost:
        raise CacheError(
            f"{lost} kernels could not be written to {folder} ({reason}). Make room, or set NUMBA_CACHE_DIR to another "
            "folder"
        )
    current, others = jit.cache_files(folder)
    for path in others:
        path.unlink(missing_ok=True)
    return folder, current, others


def run(words, processes, console):
    """Compile all kernels, or those of the tasks that have some words in their names, and tell it on a rich console.

    Raises
    ------
    CacheError
        As `compile_all`, or if the words leave no task.
    """
    names, started = chosen(words), time.perf_counter()
    columns = TextColumn("compiling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(names))

        def report(name, done):
            words = f"{name}: {done.compiled} compiled, {done.found} found, {done.seconds:.0f} s"
            progress.console.print(words, soft_wrap=True)
            progress.advance(bar)

        folder, files, removed = compile_all(names, processes or allowed_threads(), report)
    n_kernels = sum(path.suffix == ".nbi" for path in files)
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    console.print(
        f"{n_kernels} kernels, {megabytes:.1f} MB, are in {folder}\n{time.perf_counter() - started:.0f} s; "
        f"{len(removed)} files of other versions removed",
        soft_wrap=True,
        markup=False,
    )
