"""Process safety: threads and forks in fresh processes, under every threading layer.

Each script ends by itself with exit code 0, and its coefficients are bitwise those of a serial fit.
"""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from fastlogreg.threads import allowed_threads
from processes import COMMON, SMALL, run

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


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="no times of single threads here")
def test_threads_of_blas_leave_the_cores_to_the_passes(tmp_path):
    """An inner product of 10 000 numbers wakes them, and they spin for milliseconds after it."""
    code = """
import os, time
import scipy.linalg.blas, scipy.sparse
square = rng.normal(size=(600, 600))
square @ square, scipy.linalg.blas.dgemm(1.0, square, square)
threads = [thread for thread in os.listdir("/proc/self/task") if int(thread) != os.getpid()]
def spent():
    return sum(int(open(f"/proc/self/task/{thread}/schedstat").read().split()[0]) for thread in threads)
text = scipy.sparse.random(20_000, 30_000, density=1e-3, format="csr", random_state=rng)
rare = rng.random(300_000) < 1e-3
tall = rng.normal(size=(300_000, 10)) + rare[:, None]
fits = {
    "sparse": lambda: LogisticRegression().fit(text, np.arange(20_000) % 2),
    "sparse, L1": lambda: LogisticRegression(C=10.0, l1_ratio=1.0).fit(text, np.arange(20_000) % 2),
    "weights": lambda: LogisticRegression().fit(tall, rare, np.linspace(0.5, 2.0, 300_000)),
    "classes": lambda: LogisticRegression(max_iter=3).fit(tall[:40_000].repeat(10, axis=1), np.arange(40_000) % 12),
}
for name, fit in fits.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit()
        time.sleep(0.3)
        before = spent()
        fit()
    assert spent() - before < 2e6, (name, spent() - before)
"""
    run(tmp_path, "import warnings\n" + code, common=SMALL)


def test_threads_are_put_back(tmp_path):
    """Those of numba and of BLAS, after a fit, after bad input, and after an error or Ctrl-C within."""
    code = """
import threadpoolctl
from fastlogreg.kernels import binary
inverse = sys.modules["fastlogreg.solvers.inverse"]
def threads():
    return numba.get_num_threads(), [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
numba.set_num_threads(3)
before = threads()
wide = rng.normal(size=(60_000, 70))  # LAPACK factors it on one thread
model = LogisticRegression().fit(wide, y)
assert threads() == before
assert before[0] == 3
factor, compiled = inverse.dpotrf, dict(binary.value_gradient_hessian.compiled)
def failing(*args, **kwargs):
    assert threads() != before or max(before[1]) == 1
    raise error
for error in (MemoryError(), KeyboardInterrupt(), ZeroDivisionError()):
    inverse.dpotrf = failing
    try:
        model.fit(wide, y)
    except type(error):
        assert threads() == before
    else:
        raise AssertionError
    inverse.dpotrf = factor
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
