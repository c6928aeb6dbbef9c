"""Interrupts, failing compilers and memory, in fresh processes: an exception at most, never the end of the process."""

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from processes import COMMON, SMALL, environment, run, write_script

# What a process waits while another has the core is not ours: the median of so many counts.
INTERRUPTS = 5


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
progress.PATIENCE, progress.ROUNDED = 10**9, 0.0  # or the fit would end at the limit of arithmetic
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
    resume.wait(60)  # a script that fails must end, too
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
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
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
def half_fit():  # needs a copy of 46 MB
    return LogisticRegression(solver="lbfgs", tol=1e-3).fit(half, y).coef_
fits = fit, wide_fit, half_fit
for one in fits:  # compiles: where LLVM finds no room, it ends the process
    one()
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
