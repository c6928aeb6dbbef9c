"""The cache of compiled kernels, in fresh processes: whatever is wrong with it, fits work."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastlogreg
from processes import SMALL, environment, run, write_script

PACKAGE = Path(fastlogreg.__file__).parent

# --- compile cache ----------------------------------------------------------------------------------------------

# Two kernels that compile fast.
SMALL_CALL = """
from fastlogreg import functional
print(functional.log1pexp(X).tobytes().hex(), functional.logsumexp(X).tobytes().hex(), end="")
"""


# A kernel of each storage, for the processes that compile it at once.
MIXED_CALL = """
from fastlogreg.design import as_design
stored = np.asarray(X, dtype=sys.argv[1], order=sys.argv[2])
print(as_design(stored).column_moments().tobytes().hex(), functional.sigmoid(stored).tobytes().hex(), end="")
"""
MIXED = [(dtype, order) for dtype in ("float64", "float32") for order in "CF"]


@pytest.fixture(scope="module")
def cold_cache(tmp_path_factory):
    """Eight processes, two for each storage, compile at once into one empty cache; returns it and what SMALL_CALL says.
    """
    path = tmp_path_factory.mktemp("cold")
    script = path / "script.py"
    script.write_text(SMALL + SMALL_CALL + 'print(end=" ")' + MIXED_CALL, encoding="utf-8")
    cache = path / "cache"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(script), *storage],
            env=environment(NUMBA_CACHE_DIR=cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for storage in MIXED * 2
    ]
    ended = [(*process.communicate(timeout=600), process.returncode) for process in processes]
    assert {(errors, code) for _, errors, code in ended} == {("", 0)}
    answers = [answer.rsplit(maxsplit=2) for answer, _, _ in ended]
    assert answers[: len(MIXED)] == answers[len(MIXED) :]
    (answer,) = {answer for answer, _, _ in answers}
    return cache, answer


def test_cold_processes_at_once_share_a_cache(cold_cache, tmp_path):
    cache, answer = cold_cache
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert len(files) >= 2 * (2 + len(MIXED) + 2)
    assert run(tmp_path, SMALL_CALL, common=SMALL, NUMBA_CACHE_DIR=cache) == answer
    assert files == {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}  # all found, none made anew


def test_found_code_needs_no_declarations(cold_cache, tmp_path):
    """What numba loads to compile is not loaded for code from the cache, and is there when something is compiled."""
    cache, answer = cold_cache
    load = """
import sys
print(end=" ")
print("numba.np.linalg" in sys.modules, end=" ")
import numba
norm = numba.njit(lambda x: np.linalg.norm(x))
print(norm(X.ravel()) == norm.py_func(X.ravel()), "numba.np.linalg" in sys.modules)
"""
    said = run(tmp_path, SMALL_CALL + load, common=SMALL, NUMBA_CACHE_DIR=cache)
    assert said.split() == [*answer.split(), "False", "True", "True"]


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
    damaged = sorted(copy.rglob("predict.log*" + suffix))  # what SMALL_CALL needs
    assert len(damaged) == 2
    for path in damaged:
        path.write_bytes(b"garbage")
    run(tmp_path, SMALL_CALL, common=SMALL, NUMBA_CACHE_DIR=copy)
    assert all(path.read_bytes() != b"garbage" for path in damaged)


def test_a_folder_that_cannot_be_written_is_passed_over(cold_cache, tmp_path):
    """NUMBA_CACHE_DIR below a regular file, which not even the superuser can write to."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = f"""
from fastlogreg.kernels import jit
assert {str(blocked)!r} not in str(jit.cache_folder())
{SMALL_CALL}
assert jit.COMPILING.unsaved == 0
"""
    home = tmp_path / "home"
    assert run(tmp_path, code, common=SMALL, NUMBA_CACHE_DIR=blocked / "below", HOME=home) == cold_cache[1]


# Compiled in vain, but not twice.
FULL_CALL = SMALL_CALL + """
from fastlogreg.kernels import jit
assert jit.COMPILING.unsaved == jit.COMPILING.compiled == 2, vars(jit.COMPILING)
"""


def test_a_full_disk(cold_cache, tmp_path):
    """As no file can grow beyond a limit: the index is written, the code is not."""
    full = SMALL + "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
    cache = tmp_path / "cache"
    assert run(tmp_path, FULL_CALL, common=full, NUMBA_CACHE_DIR=cache) == cold_cache[1]
    assert not list(cache.rglob("*.nbc"))
    assert run(tmp_path, SMALL_CALL, common=SMALL, NUMBA_CACHE_DIR=cache) == cold_cache[1]
    assert list(cache.rglob("*.nbc"))  # there is room again


def can_mount():
    return os.name == "posix" and shutil.which("unshare") and not subprocess.call(
        ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=16k", "none", "/mnt"], stderr=subprocess.DEVNULL
    )


@pytest.mark.skipif(not can_mount(), reason="only the superuser mounts file systems")
def test_a_disk_that_is_really_full(cold_cache, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    mount = f'mount -t tmpfs -o size=16k none {cache} && exec "$@"'
    before = ["unshare", "-m", "sh", "-c", mount, "sh"]
    assert run(tmp_path, FULL_CALL, common=SMALL, before=before, NUMBA_CACHE_DIR=cache) == cold_cache[1]


def test_kernels_that_check_bounds_are_kept_apart(cold_cache, tmp_path):
    """Else NUMBA_BOUNDSCHECK=1 would find kernels that do not check, and leave slow ones to others."""
    cache, answer = cold_cache
    files = {path.name for path in cache.rglob("*.nbc")}
    code = SMALL_CALL + """
from fastlogreg.kernels import jit, predict
assert jit.COMPILING.compiled == 2
try:
    predict.log1pexp(np.zeros(3), np.array([[0, 4]]), np.empty(4))
except IndexError:
    print(" beyond", end="")
"""
    assert run(tmp_path, code, common=SMALL, NUMBA_CACHE_DIR=cache, NUMBA_BOUNDSCHECK=1) == f"{answer} beyond"
    more = {path for path in cache.rglob("*.nbc") if path.name not in files}
    assert len(more) == 2
    for path in more:
        path.unlink()


@pytest.mark.long
def test_no_kernel_reads_or_writes_beyond_its_arrays(tmp_path):
    """The tests of the kernels, with every index checked."""
    tests = sorted(str(path) for path in Path(__file__).parent.glob("test_kernels*.py"))
    changes = environment(NUMBA_BOUNDSCHECK=1, NUMBA_CACHE_DIR=tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=Path(__file__).parent.parent,
        env=changes,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert list((tmp_path / "cache").rglob("*.nbc"))


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




# --- words while kernels compile --------------------------------------------------------------------------------

# A kernel takes too long at once.
LONG = """
from fastlogreg.kernels import jit
jit.PATIENCE, jit.LOOK_UP = 0.02, 0.005
from fastlogreg import functional
functional.log1pexp(X), functional.sigmoid(X), functional.softmax(X)
"""
WORDS = "fastlogreg: compiling kernels for this kind of data, some seconds ("


def on_terminal(path, code, **changes):
    """Run a script whose standard error is a terminal; return what it wrote there."""
    leader, follower = os.openpty()
    try:
        subprocess.run(
            [sys.executable, str(write_script(path, code, SMALL))],
            env=environment(**changes),
            stderr=follower,
            check=True,
            timeout=300,
        )
        os.close(follower)
        written = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(leader, 4096):
                written += piece
    finally:
        os.close(leader)
    return written.decode()


@pytest.mark.skipif(os.name == "nt", reason="no terminals of this kind on Windows")
def test_a_long_compile_is_announced_once_and_only_on_a_terminal(tmp_path):
    changes = {"NUMBA_CACHE_DIR": tmp_path / "cache", "FASTLOGREG_QUIET": None}
    announced = on_terminal(tmp_path, LONG, **changes)
    assert announced.startswith(WORDS + "once per machine; `fastlogreg warmup` does it ahead of time)")
    assert announced.count("\n") == 1
    assert on_terminal(tmp_path, LONG, **changes) == ""  # found in the cache
    changes["NUMBA_CACHE_DIR"] = tmp_path / "other"
    assert on_terminal(tmp_path, LONG, **changes | {"FASTLOGREG_QUIET": "1"}) == ""


def test_a_long_compile_is_announced_to_who_asks_for_words(tmp_path):
    """And not where standard error is a file, unless the estimator is verbose."""
    code = """
import contextlib, io
from fastlogreg import functional, stochastic, verbose
from fastlogreg.kernels import jit
jit.PATIENCE, jit.LOOK_UP = 0.02, 0.005
for module, function in ((verbose, functional.log1pexp), (stochastic, functional.sigmoid)):
    for asked, dtype in ((0, np.float32), (1, np.float64)):
        jit.COMPILING.told = False
        with contextlib.redirect_stderr(io.StringIO()) as errors, module.reporter(asked, "newton", 1):
            function(X.astype(dtype))
        print(errors.getvalue().count("compiling kernels"), end="")
assert jit.COMPILING.compiled == 4 and not jit.VERBOSE.get()
"""
    assert run(tmp_path, code, common=SMALL, NUMBA_CACHE_DIR=tmp_path / "cache", FASTLOGREG_QUIET=None) == "0101"


# --- warmup -----------------------------------------------------------------------------------------------------


def warmup(*arguments, cwd=None, **changes):
    return subprocess.run(
        [sys.executable, "-m", "fastlogreg.cli", "warmup", *arguments],
        cwd=cwd,
        env=environment(COLUMNS=200, **changes),
        capture_output=True,
        text=True,
        timeout=3600,
    )


# Every kind of public call, on much data and on little; not a copy of what warmup does.
FUNCTIONS = """
from fastlogreg import functional
for dtype in (np.float32, np.float64):
    for eta in (np.ones((2, 3), dtype), np.ones((300_000, 3), dtype)):
        for function in (functional.sigmoid, functional.log1pexp, functional.logsumexp, functional.softmax):
            function(eta), function(eta, n_jobs=1)
"""
EVERYTHING = FUNCTIONS + """
import warnings
import scipy.sparse
from fastlogreg import SGDLogisticRegression
warnings.simplefilter("ignore")
rng = np.random.default_rng(1)

def sparse(X, index):
    X = scipy.sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X

STORAGES = [np.ascontiguousarray, np.asfortranarray, lambda X: sparse(X, np.int32), lambda X: sparse(X, np.int64)]
for dtype in (np.float32, np.float64):
    for store in STORAGES:
        for shape in ((50, 4), (3000, 40), (120_000, 36), (20, 1100)):
            full = (rng.normal(size=shape) * (rng.random(shape) < 0.3)).astype(dtype)
            X = store(full)
            weight = rng.random(len(full))
            for n_classes in (2, 4) if full.size < 200_000 else (2,):
                y = np.arange(len(full)) % n_classes
                offset = np.zeros((len(full), n_classes)[: 1 + (n_classes > 2)])
                models = [LogisticRegression(solver=solver, max_iter=3) for solver in ("auto", "newton-cg", "lbfgs")]
                models += [LogisticRegression(solver="newton", max_iter=2)] * (full.shape[1] < 1000 or n_classes == 2)
                for model in models:
                    model.fit(X, y).fit(X, y, weight, offset)
                    LogisticRegression(solver=model.solver, C=np.inf, n_jobs=1, max_iter=2).fit(X, y)
                    model.predict(X), model.predict_proba(X, offset), model.predict_log_proba(X)
                for optimizer in ("gd", "mini-batch", "sgd", "adagrad"):
                    for options in ({}, {"early_stopping": True}, {"alpha": 0.0, "batch_size": 7}):
                        if optimizer in ("gd", "sgd") and "batch_size" in options:
                            continue
                        model = SGDLogisticRegression(optimizer=optimizer, max_iter=1, learning_rate=0.01, **options)
                        model.fit(X, y, weight).predict_proba(X)
                        if optimizer != "gd":
                            model.partial_fit(X, y)
    SGDLogisticRegression("gd", max_iter=1).fit(np.zeros((2_500_000, 4), dtype), np.arange(2_500_000) % 2)
"""
COMPILES_NOTHING = """
from fastlogreg.kernels import jit
assert jit.COMPILING.compiled == 0 < jit.COMPILING.loaded, vars(jit.COMPILING)
"""


def test_warmup_compiles_and_removes_what_is_old(tmp_path):
    cache = tmp_path / "cache"
    done = warmup("--only", "functions", "--processes", "2", NUMBA_CACHE_DIR=cache)
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = {path.parent for path in cache.rglob("*.nbi")}
    n_kernels = len(list(folder.glob("*.nbi")))
    assert n_kernels == len(list(folder.glob("*.nbc"))) >= 16
    assert f"{n_kernels} kernels, " in done.stdout
    assert f"are in {folder}\n" in done.stdout
    assert "0 files of other versions removed" in done.stdout
    run(tmp_path, FUNCTIONS + COMPILES_NOTHING, common=SMALL, NUMBA_CACHE_DIR=cache)
    old = folder / "binary.value_gradient_0123456789abcdef_0123456789abcdef-93.py311.nbi"
    old.write_bytes(b"")
    done = warmup("--only", "functions float64", NUMBA_CACHE_DIR=cache)
    assert "functions, float64: 0 compiled, 8 found" in done.stdout
    assert "1 files of other versions removed" in done.stdout
    assert not old.exists()
    assert len(list(folder.glob("*.nbi"))) == n_kernels


@pytest.mark.long
def test_after_warmup_nothing_is_compiled(tmp_path):
    cache = tmp_path / "cache"
    done = warmup(NUMBA_CACHE_DIR=cache)
    assert (done.returncode, done.stderr) == (0, "")
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    run(tmp_path, EVERYTHING + COMPILES_NOTHING, common=SMALL, NUMBA_CACHE_DIR=cache, timeout=3600)
    assert files == {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}


def test_warmup_where_nothing_can_be_kept(tmp_path):
    """In a copy whose cache folders are files; a file system that is full is met later, when a kernel is saved."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    shutil.copytree(PACKAGE, tmp_path / "fastlogreg", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in {path.parent for path in (tmp_path / "fastlogreg").rglob("*.py")}:
        (folder / "__pycache__").write_text("")
    nowhere = {name: blocked / "below" for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "TMPDIR")}
    done = warmup(cwd=tmp_path, PYTHONPATH=tmp_path, **nowhere)
    assert done.returncode == 2 and "kernels" not in done.stdout
    assert done.stderr.startswith("fastlogreg: there is no folder to keep compiled kernels in")
    assert "Set NUMBA_CACHE_DIR to a folder that can.\n" in done.stderr


def test_warmup_onto_a_full_disk(tmp_path):
    """A limit of the size of files stands for the disk."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from fastlogreg import cli
print(cli.main(["warmup", "--only", "functions float64"]))
"""
    script = write_script(tmp_path, code, "")
    changes = environment(NUMBA_CACHE_DIR=tmp_path / "cache")
    done = subprocess.run([sys.executable, str(script)], env=changes, capture_output=True, text=True, timeout=600)
    assert done.stdout.splitlines()[-1] == "2"
    assert "fastlogreg: 8 kernels could not be written to" in done.stderr
    assert "File too large" in done.stderr
    assert "Make room, or set NUMBA_CACHE_DIR to another folder.\n" in done.stderr
