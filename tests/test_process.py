"""Process safety: threads, forks, interrupts and memory in fresh processes, under every threading layer.

Each script ends by itself with exit code 0, and its coefficients are bitwise those of a serial fit.
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from fastlogreg.threads import allowed_threads
from processes import COMMON, SMALL, environment, run, write_script

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


# Every cell is a script; it runs under every layer.
CELLS = {
    "four threads": """
import threading
answers = []
def work():
    for _ in range(3):
        answers.append(fit())
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(answers) == 12
check(*answers)
""",
    "thread pool beside the main thread": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    first = [pool.submit(fit) for _ in range(4)]
    check(fit())
    check(*[future.result() for future in first])
    for _ in range(3):
        again = [pool.submit(fit) for _ in range(4)]
        check(fit(), fit(n_jobs=1))
        check(*[future.result() for future in again])
""",
    "joblib threads": """
import joblib
check(fit())
check(*joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(fit)() for _ in range(4)))
check(fit())
""",
    "loky": """
import joblib
check(fit())
check(*joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(fit)() for _ in range(3)))
""",
    "joblib processes": """
import joblib
check(fit())
check(*joblib.Parallel(n_jobs=2, backend="multiprocessing")(joblib.delayed(fit)() for _ in range(3)))
""",
    "fork after a fit": """
import multiprocessing
check(fit())
check_layer()
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    check(*pool.map(fit, [None, None, 2, 1]))
    check(fit())
check(fit())
""",
    "fork before any parallel fit": """
import multiprocessing
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    check(*pool.map(fit, [None, 2]))
check(fit())
""",
    "spawn": """
import multiprocessing
check(fit())
with multiprocessing.get_context("spawn").Pool(2) as pool:
    check(*pool.map(fit, [None, 2]))
""",
    "search": """
from sklearn.model_selection import GridSearchCV
check(fit())
grid = {"C": [0.1, 1.0]}
searches = [GridSearchCV(LogisticRegression(), grid, cv=2, n_jobs=n_jobs).fit(X, y) for n_jobs in (None, 2)]
assert np.array_equal(*[search.cv_results_["mean_test_score"] for search in searches])
assert np.array_equal(*[search.best_estimator_.coef_ for search in searches])
""",
    "beside another program": """
import threading, time
from concurrent.futures import ThreadPoolExecutor
@numba.njit(parallel=True, nogil=True)
def roots(values):
    total = 0.0
    for i in numba.prange(values.size):
        total += np.sqrt(values[i])
    return total
values = np.arange(2_000_000.0)
expected = roots(values)  # the other program starts the threads
check(fit())
ended = False
def other():
    times = 0
    while not ended:
        assert abs(roots(values) / expected - 1.0) < 1e-9
        times += 1
    return times
with ThreadPoolExecutor(1) as pool:
    beside = pool.submit(other)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        check(fit())
    ended = True
    assert beside.result() > 1
""",
}


@pytest.mark.parametrize("cell", CELLS)
def test_same_answer_and_a_clean_end(cell, layer, tmp_path):
    quiet = COMMON + """
import warnings
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
"""
    run(tmp_path, f"{CELLS[cell]}\ncheck(fit())\ncheck_layer()", common=quiet, **layer)


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


def test_workers_of_joblib_share_the_cores(tmp_path):
    code = """
import joblib
from fastlogreg.threads import allowed_threads
cores = joblib.cpu_count()
for n_jobs in {1, 2, cores}:
    counts = joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(allowed_threads)() for _ in range(2 * n_jobs))
    assert set(counts) == {max(1, cores // n_jobs)}, (n_jobs, counts)
"""
    run(tmp_path, code, NUMBA_NUM_THREADS=None, OMP_NUM_THREADS=None, FASTLOGREG_NUM_THREADS=None)


def test_threads_that_fit_at_once_share_the_cores(tmp_path):
    """Each region takes its share of the threads; where that is one, the serial twin runs."""
    code = """
from fastlogreg.kernels import jit
with jit._parallel_region(4) as first:
    assert first and numba.get_num_threads() == 4
    with jit._parallel_region(4) as second:
        assert second and numba.get_num_threads() == 2
        with jit._parallel_region(4) as third:
            assert not third and numba.get_num_threads() == 2
        assert numba.get_num_threads() == 2
    assert numba.get_num_threads() == 4
assert not jit._regions
"""
    run(tmp_path, code, NUMBA_NUM_THREADS=4)


def test_limits_of_threads(tmp_path):
    """FASTLOGREG_NUM_THREADS bounds every fit; n_jobs chooses within it."""
    code = """
from fastlogreg.threads import allowed_threads
from fastlogreg.kernels import jit
assert [allowed_threads(n_jobs) for n_jobs in (None, -1, 1, 2, 64)] == [LIMIT, LIMIT, 1, min(2, LIMIT), LIMIT]
used = []
set_threads = numba.set_num_threads
numba.set_num_threads = lambda n: (used.append(n), set_threads(n))
check(fit())
assert max(used, default=1) == LIMIT, used
"""
    for limit in (1, 2):
        changes = {"FASTLOGREG_NUM_THREADS": limit, "NUMBA_NUM_THREADS": 2, "LOKY_MAX_CPU_COUNT": 2}
        run(tmp_path, code.replace("LIMIT", str(limit)), **changes)


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_limit_that_is_no_number_is_named(value, monkeypatch):
    monkeypatch.setenv("FASTLOGREG_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"FASTLOGREG_NUM_THREADS must be a whole number.*{value}"):
        allowed_threads()


def test_the_share_of_a_control_group_is_seen(tmp_path):
    """Half a second of CPU time each second is one thread, however many cores there are."""
    code = """
import builtins, io, os
open_file, exists = builtins.open, os.path.exists
builtins.open = lambda path, *a, **k: io.StringIO("50000 100000") if path == GROUP else open_file(path, *a, **k)
os.path.exists = lambda path: path == GROUP or exists(path)
from fastlogreg.threads import allowed_threads
os.sched_getaffinity, os.cpu_count = lambda pid: set(range(8)), lambda: 8
assert allowed_threads() == 1, allowed_threads()
"""
    group = 'GROUP = "/sys/fs/cgroup/cpu.max"\n'
    run(tmp_path, code, common=group, NUMBA_NUM_THREADS=8, LOKY_MAX_CPU_COUNT=None, FASTLOGREG_NUM_THREADS=None)


def test_threads_are_put_back(tmp_path):
    """Those of numba and of BLAS, after a fit, after bad input, and after an error or Ctrl-C within."""
    code = """
import threadpoolctl
from fastlogreg.kernels import binary
newton = sys.modules["fastlogreg.solvers.newton"]
def threads():
    return numba.get_num_threads(), [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
numba.set_num_threads(3)
before = threads()
wide = rng.normal(size=(60_000, 70))  # LAPACK factors it on one thread
model = LogisticRegression().fit(wide, y)
assert threads() == before
assert before[0] == 3
factor, compiled = newton.dpotrf, dict(binary.value_gradient_hessian.compiled)
def failing(*args, **kwargs):
    assert threads() != before or max(before[1]) == 1
    raise error
for error in (MemoryError(), KeyboardInterrupt(), ZeroDivisionError()):
    newton.dpotrf = failing
    try:
        model.fit(wide, y)
    except type(error):
        assert threads() == before
    else:
        raise AssertionError
    newton.dpotrf = factor
    for key in compiled:
        binary.value_gradient_hessian.compiled[key] = failing
    try:
        model.fit(wide, y)
    except type(error):
        assert threads() == before
    else:
        raise AssertionError
    binary.value_gradient_hessian.compiled.update(compiled)
wide[7, 3] = np.nan
try:
    model.fit(wide, y)
except ValueError:
    assert threads() == before
else:
    raise AssertionError
check(fit())
"""
    run(tmp_path, code, NUMBA_NUM_THREADS=4, LOKY_MAX_CPU_COUNT=4)


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
for _ in range({INTERRUPTS}):
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
    waited = []
    try:
        for _ in range(INTERRUPTS):
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            assert process.stdout.readline() == "interrupted\n"
            waited.append(time.monotonic() - started)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert statistics.median(waited) < 0.5, waited


# What a process waits while another has the core is not ours: the median of so many counts.
INTERRUPTS = 5

# Compiling, and LLVM's callbacks, go on for as long as it takes the test to look.
SLOW_COMPILE = """
import signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from fastlogreg import functional
from fastlogreg.kernels import jit
compiling = jit.Driver._compile
begun, resume = threading.Event(), threading.Event()
def slowly(*args, **kwargs):
    begun.set()
    resume.wait()
    return compiling(*args, **kwargs)
jit.Driver._compile = slowly
def interrupt():
    begun.wait()
    signal.raise_signal(signal.SIGINT)  # for the main thread
threading.Thread(target=interrupt, daemon=True).start()
"""


def test_interrupt_while_compiling(tmp_path):
    """Ctrl-C is obeyed at once; the kernel is finished meanwhile, and found by the next call."""
    code = """
try:
    functional.log1pexp(X)
except KeyboardInterrupt:
    print("interrupted", end="")
assert len(jit._jobs) == 1 and jit.COMPILING.compiled + jit.COMPILING.loaded == 0
threading.Timer(0.2, resume.set).start()
assert np.isfinite(functional.log1pexp(X)).all()
assert not jit._jobs and jit.COMPILING.compiled + jit.COMPILING.loaded == 1
"""
    assert run(tmp_path, code, common=SMALL + SLOW_COMPILE) == "interrupted"


def test_the_end_of_an_interrupted_process_waits_for_the_compiler(tmp_path):
    """LLVM must not be at work when the process ends; its end is that of any interrupted script."""
    code = """
threading.Timer(1.0, resume.set).start()
functional.log1pexp(X)
"""
    script = write_script(tmp_path, code, SMALL + SLOW_COMPILE)
    done = subprocess.run([sys.executable, str(script)], env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode in (-signal.SIGINT, 1), done  # 1 if compiling has called exec, a quirk of Python
    assert done.stderr.endswith("\nKeyboardInterrupt\n")


def test_a_compile_that_fails_is_tried_again(tmp_path):
    """In every thread that waits for it, and not only once."""
    code = """
import threading
from fastlogreg import functional
from fastlogreg.kernels import jit
compiling = jit.Driver._compile
def failing(*args, **kwargs):
    raise MemoryError
jit.Driver._compile = failing
failures = []
def call():
    try:
        functional.softmax(X)
    except MemoryError:
        failures.append(1)
threads = [threading.Thread(target=call) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
call()
assert len(failures) == 4
jit.Driver._compile = compiling
assert np.isfinite(functional.softmax(X)).all()
"""
    run(tmp_path, code, common=SMALL)


def test_without_threads_to_start_kernels_are_compiled_where_they_are_called(tmp_path):
    code = """
import threading
from fastlogreg import functional
def start(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
assert np.isfinite(functional.softmax(X)).all()
"""
    run(tmp_path, code, common=SMALL)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc on this platform")
@pytest.mark.parametrize("times", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_memory_stays_flat_over_many_fits(times, tmp_path):
    code = f"""
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
fit_many({times})
print(resident() - before, end="")
"""
    assert int(run(tmp_path, code, common=SMALL, timeout=3600)) < 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not enforce RLIMIT_AS")
def test_no_memory_is_an_error_and_not_the_end(tmp_path):
    """From no room at all to enough: each fit raises MemoryError or gives the right answer, and the next one works."""
    code = """
import resource
def virtual():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
wide, half = rng.normal(size=(1100, 1100)), np.tile(X, (1, 12)).astype(np.float16)
few = (wide[:, 0] > 0).astype(int)
def wide_fit():
    return LogisticRegression(solver="newton", tol=1e-4).fit(wide, few).coef_
def half_fit():  # needs a copy of 46 MB, of which there was none before
    return LogisticRegression(solver="lbfgs", tol=1e-3).fit(half, y).coef_
fits = fit, wide_fit, half_fit
fit(), wide_fit()
LogisticRegression(solver="lbfgs").fit(half[:500], y[:500])  # its kernels
answers, outcomes = [], []
for megabytes in (0, 4, 16, 1024):
    resource.setrlimit(resource.RLIMIT_AS, (virtual() + megabytes * 2**20, resource.RLIM_INFINITY))
    for one in fits:
        try:
            answers.append((one, one()))
        except MemoryError:
            outcomes.append(False)
        else:
            outcomes.append(True)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert not all(outcomes[:3]) and all(outcomes[-3:]), outcomes
for one, answer in answers:
    assert np.array_equal(one(), answer)
"""
    run(tmp_path, code, OPENBLAS_NUM_THREADS=1)  # whose threads would spin for each other on a busy machine
