"""Process safety: threads, forks, caches and interrupts in fresh processes, under every threading layer.

Each script ends by itself with exit code 0, and its coefficients are bitwise those of a serial fit.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

import fastlogreg

PACKAGE = Path(fastlogreg.__file__).parent

# What the scripts share: data whose passes are worth several threads, and the serial answer.
COMMON = """
import ctypes, os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits SIGINT ignored
from importlib import metadata

if os.environ.get("NUMBA_THREADING_LAYER") == "tbb":  # pip's library is not on the loader's path
    for file in metadata.files("tbb"):
        if file.name.startswith("libtbb.so."):
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)

import numba
import numpy as np
from fastlogreg import LogisticRegression

rng = np.random.default_rng(0)
X = rng.normal(size=(60_000, 8))
y = (X[:, 0] + rng.logistic(size=60_000) > 0).astype(int)

def fit(n_jobs=None):
    model = LogisticRegression(n_jobs=n_jobs).fit(X, y)
    return np.concatenate([model.coef_.ravel(), model.predict_proba(X)[:5, 1]])

def check(*answers):
    assert answers
    for answer in answers:
        assert np.array_equal(answer, SERIAL), (answer, SERIAL)

def check_layer():
    expected = os.environ.get("NUMBA_THREADING_LAYER")
    assert expected in (None, numba.threading_layer()), numba.threading_layer()

SERIAL = fit(n_jobs=1)
"""


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_THREADING")}
    kept.update(PYTHONFAULTHANDLER="1", PYTHONDONTWRITEBYTECODE="1")
    for name, value in changes.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = str(value)
    return kept


def run(path, code, *, common=COMMON, timeout=300, **changes):
    """Run a script, as a file so that children can import it; returns what it wrote."""
    script = path / "script.py"
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    script.write_text(f"{common}\nif __name__ == '__main__':\n{body}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=path,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


# --- threads and forks ------------------------------------------------------------------------------------------


def tbb_is_installed():
    try:
        return any(file.name.startswith("libtbb.so.") for file in metadata.files("tbb") or ())
    except metadata.PackageNotFoundError:
        return False


def importable(module):
    """Whether numba was built with a layer: tried in a process of its own, so that this one starts no threads."""
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


@pytest.fixture(scope="module", params=["workqueue", "omp", "tbb"])
def layer(request):
    if request.param == "tbb" and not tbb_is_installed():
        pytest.skip("the package tbb is not installed")
    if request.param == "omp" and not importable("numba.np.ufunc.omppool"):
        pytest.skip("this numba has no OpenMP layer")
    return {"NUMBA_THREADING_LAYER": request.param, "NUMBA_NUM_THREADS": "2"}


def test_python_threads(layer, tmp_path):
    """Four threads and the main one fit at once, from the first call on."""
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    first = [pool.submit(fit) for _ in range(4)]
    check(fit())
    check(*[future.result() for future in first])
    for _ in range(5):
        again = [pool.submit(fit) for _ in range(4)]
        check(fit(), fit(n_jobs=1))
        check(*[future.result() for future in again])
check_layer()
"""
    run(tmp_path, code, **layer)


def test_fork_after_a_fit(layer, tmp_path):
    code = """
import multiprocessing, warnings
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
check(fit())
check_layer()
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    check(*pool.map(fit, [None, None, 2, 1]))
    check(fit())
check(fit())
"""
    run(tmp_path, code, **layer)


def test_fork_before_any_parallel_fit(layer, tmp_path):
    code = """
import multiprocessing
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    check(*pool.map(fit, [None, 2]))
check(fit())
check_layer()
"""
    run(tmp_path, code, **layer)


def test_spawn(layer, tmp_path):
    code = """
import multiprocessing
check(fit())
check_layer()
with multiprocessing.get_context("spawn").Pool(2) as pool:
    check(*pool.map(fit, [None, 2]))
"""
    run(tmp_path, code, **layer)


def test_joblib(layer, tmp_path):
    code = """
import joblib, warnings
from sklearn.model_selection import GridSearchCV
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
check(fit())
check_layer()
for backend in ("loky", "threading", "multiprocessing"):
    check(*joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(fit)() for _ in range(3)))
grid = {"C": [0.1, 1.0]}
searches = [GridSearchCV(LogisticRegression(), grid, cv=2, n_jobs=n_jobs).fit(X, y) for n_jobs in (None, 2)]
scores = [search.cv_results_["mean_test_score"] for search in searches]
assert np.array_equal(*scores)
"""
    run(tmp_path, code, **layer)


def test_layer_that_cannot_be_loaded(tmp_path):
    # "tbb" without making pip's library known to the loader: numba raises, the fit is serial.
    common = COMMON.replace('== "tbb":', '== "none":')
    run(tmp_path, "check(fit())", common=common, NUMBA_THREADING_LAYER="tbb")


def test_any_number_of_threads_gives_the_same_bits(tmp_path):
    code = """
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
answers = []
for threads in (1, 2, 3, 4):
    design = as_design(X)
    design.threads = threads
    objective = LogisticObjective(design, y.astype(float))
    answers.append(objective.value_gradient(np.full(9, 0.1))[1])
    assert numba.get_num_threads() == 4  # each call puts back what it sets
for answer in answers[1:]:
    assert np.array_equal(answer, answers[0])
"""
    run(tmp_path, code, NUMBA_NUM_THREADS=4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_fork_while_another_thread_compiles(tmp_path):
    """A child inherits locks held by threads that it does not have; it must not wait for them."""
    code = """
import threading, time
from fastlogreg.kernels import jit
held = threading.Event()
def hold():
    with jit._LOCK:
        held.set()
        time.sleep(60)
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    narrow = LogisticRegression().fit(X[:100].astype(np.float32), y[:100])  # a signature not met yet
    os._exit(0 if np.isfinite(narrow.coef_).all() and np.array_equal(fit(), SERIAL) else 1)
limit = time.monotonic() + 50
while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < limit:
    time.sleep(0.05)
assert done[0] == child and os.waitstatus_to_exitcode(done[1]) == 0, done
os._exit(0)
"""
    run(tmp_path, code, common=COMMON + "import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n")


# --- compile cache ----------------------------------------------------------------------------------------------

SMALL = """
import sys
import numpy as np
from fastlogreg import LogisticRegression
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = (X[:, 0] + rng.logistic(size=300) > 0).astype(int)
"""
# Two kernels that compile fast.
SMALL_CALL = """
from fastlogreg import functional
print(functional.log1pexp(X).tobytes().hex(), functional.logsumexp(X).tobytes().hex(), end="")
"""


@pytest.fixture(scope="module")
def cold_cache(tmp_path_factory):
    """Four processes compile at once into one empty cache; returns it and their common answer."""
    path = tmp_path_factory.mktemp("cold")
    script = path / "script.py"
    script.write_text(SMALL + SMALL_CALL, encoding="utf-8")
    cache = path / "cache"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(script)],
            env=environment(NUMBA_CACHE_DIR=cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    ended = [(*process.communicate(timeout=300), process.returncode) for process in processes]
    assert {(errors, code) for _, errors, code in ended} == {("", 0)}
    (answer,) = {answer for answer, _, _ in ended}
    return cache, answer


def test_cold_processes_at_once_share_a_cache(cold_cache, tmp_path):
    cache, answer = cold_cache
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert len(files) >= 4
    assert run(tmp_path, SMALL_CALL, common=SMALL, NUMBA_CACHE_DIR=cache) == answer
    assert files == {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}  # all found, none made anew


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"], ids=["index", "code"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage"])
def test_damaged_cache(damage, suffix, cold_cache, tmp_path):
    cache, answer = cold_cache
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    damaged = sorted(copy.rglob("*" + suffix))
    assert damaged
    for path in damaged:
        content = path.read_bytes()
        changed = {"empty": b"", "truncated": content[: len(content) // 2], "garbage": b"\x80garbage" * 50}
        path.write_bytes(changed[damage])
    assert run(tmp_path, SMALL_CALL, common=SMALL, NUMBA_CACHE_DIR=copy) == answer


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"], ids=["index", "code"])
def test_damaged_cache_is_mended(suffix, cold_cache, tmp_path):
    cache, _ = cold_cache
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    damaged = sorted(copy.rglob("*" + suffix))
    for path in damaged:
        path.write_bytes(b"garbage")
    run(tmp_path, SMALL_CALL, common=SMALL, NUMBA_CACHE_DIR=copy)
    assert all(path.read_bytes() != b"garbage" for path in damaged)


def test_nowhere_to_write_a_cache(cold_cache, tmp_path):
    """No permission bit stops the superuser, but nobody makes a directory below a regular file."""
    _, answer = cold_cache
    blocked = tmp_path / "file"
    blocked.write_text("")
    shutil.copytree(PACKAGE, tmp_path / "fastlogreg", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in {path.parent for path in (tmp_path / "fastlogreg").rglob("*.py")}:
        (folder / "__pycache__").write_text("")
    code = f"import fastlogreg; assert {str(tmp_path)!r} in fastlogreg.__file__\n{SMALL_CALL}"
    nowhere = {name: blocked / "below" for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "TMPDIR")}
    assert run(tmp_path, code, common=SMALL, PYTHONPATH=tmp_path, **nowhere) == answer
    assert not list(tmp_path.rglob("*.nb?"))


def test_an_edit_of_a_kernel_is_seen(tmp_path):
    """numba looks at the file of the entry point only; an edit elsewhere must not load stale code."""
    shutil.copytree(PACKAGE, tmp_path / "fastlogreg", ignore=shutil.ignore_patterns("__pycache__"))
    changes = {"NUMBA_CACHE_DIR": tmp_path / "cache", "PYTHONPATH": tmp_path}
    code = """
from fastlogreg.kernels import predict
out = np.empty(1)
predict.log1pexp(np.zeros(1), np.array([[0, 1]]), out)
print(out[0], end="")
"""
    assert float(run(tmp_path, code, common=SMALL, **changes)) == pytest.approx(0.6931, abs=1e-4)
    source = tmp_path / "fastlogreg" / "kernels" / "pointwise.py"
    text = source.read_text(encoding="utf-8")
    assert text.count("return eta + value if eta > 0.0 else value") == 1
    source.write_text(text.replace("return eta + value if eta > 0.0 else value", "return 7.0"), encoding="utf-8")
    assert float(run(tmp_path, code, common=SMALL, **changes)) == 7.0


# --- interrupts and memory --------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to a process on Windows")
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs"])
def test_interrupt(solver, tmp_path):
    """KeyboardInterrupt soon, the model as it was, and the next fit works."""
    script = tmp_path / "script.py"
    script.write_text(
        COMMON.replace("(60_000, 8)", "(200_000, 40)").replace("size=60_000", "size=200_000")
        + f"""
import warnings
from fastlogreg.solvers import progress
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    LogisticRegression(solver={solver!r}, max_iter=2).fit(X, y)  # compiles what the long fit needs
progress.PATIENCE = 10**9  # or the fit would end at the limit of arithmetic
model = LogisticRegression().fit(X[:60_000], y[:60_000])
before = {{name: value for name, value in vars(model).items()}}
model.set_params(solver={solver!r}, tol=0.0, max_iter=10**9)
print("ready", flush=True)
try:
    model.fit(X, y)
except KeyboardInterrupt:
    print("interrupted", flush=True)
else:
    sys.exit("the fit ended")
model.set_params(solver="auto", tol=1e-8, max_iter=1000)
assert all(vars(model)[name] is value for name, value in before.items() if name.endswith("_"))
assert vars(model).keys() == before.keys()
assert np.array_equal(model.fit(X, y).coef_.ravel(), SERIAL[:40])
""",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        answer = process.stdout.readline()
        waited = time.monotonic() - started
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (answer, process.returncode) == ("interrupted\n", 0), errors
    assert waited < 2.0  # half a second is what is meant, on a machine that has time


def test_interrupt_while_compiling(tmp_path):
    """Python can only report an exception from a callback that C calls, and forget it: the interrupt is held back."""
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from llvmlite.binding import ExecutionEngine
interrupts = []
find = ExecutionEngine._find_module_ptr  # which LLVM's callbacks use
def interrupted_find(*args):
    if not interrupts:
        interrupts.append(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    return find(*args)
ExecutionEngine._find_module_ptr = interrupted_find
from fastlogreg import functional
try:
    functional.log1pexp(X)
except KeyboardInterrupt:
    print("interrupted", end="")
assert interrupts
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert np.isfinite(functional.log1pexp(X)).all()
"""
    assert run(tmp_path, code, common=SMALL, NUMBA_CACHE_DIR=tmp_path / "cache") == "interrupted"


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "signal.SIG_DFL", "lambda *caught: interrupts.append(caught)"])
def test_compiling_leaves_handlers_of_interrupts_as_they_are(handler, tmp_path):
    """In the main thread and in others, and a handler of the user's own is called."""
    code = f"""
import signal, threading
interrupts = []
handler = {handler}
signal.signal(signal.SIGINT, handler)
from fastlogreg import functional
from fastlogreg.kernels import jit
compiling = jit.Driver._compile
def interrupted(*args):
    if callable(handler):
        signal.raise_signal(signal.SIGINT)
        assert not interrupts
    return compiling(*args)
jit.Driver._compile = interrupted
functional.log1pexp(X)
assert signal.getsignal(signal.SIGINT) is handler
assert len(interrupts) == callable(handler)
jit.Driver._compile = compiling
thread = threading.Thread(target=functional.sigmoid, args=(X,))
thread.start()
thread.join()
assert signal.getsignal(signal.SIGINT) is handler
def failing(*args):
    raise MemoryError
jit.Driver._compile = failing
try:
    functional.softmax(X)
except MemoryError:
    print("failed", end="")
assert signal.getsignal(signal.SIGINT) is handler
"""
    assert run(tmp_path, code, common=SMALL) == "failed"


def test_memory_stays_flat_over_many_fits(tmp_path):
    code = """
import gc, resource
def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
def fit_many(times):
    for _ in range(times):
        LogisticRegression().fit(X, y).predict_proba(X)
        LogisticRegression(solver="lbfgs").fit(X, y)
fit_many(300)
before = resident()
fit_many(1000)
print(resident() - before, end="")
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc on this platform")
    assert int(run(tmp_path, code, common=SMALL)) < 2**20
