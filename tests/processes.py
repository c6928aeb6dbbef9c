"""Scripts in fresh processes: how they are started, and what they share."""

import os
import subprocess
import sys

# Data whose passes are worth several threads, and the serial answer.
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

# Data of a fit whose kernels compile fast.
SMALL = """
import sys
import numpy as np
from fastlogreg import LogisticRegression
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = (X[:, 0] + rng.logistic(size=300) > 0).astype(int)
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


def write_script(path, code, common=COMMON):
    """Write a script as a file, so that children can import it."""
    script = path / "script.py"
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    script.write_text(f"{common}\nif __name__ == '__main__':\n{body}", encoding="utf-8")
    return script


def run(path, code, *, common=COMMON, timeout=300, before=(), **changes):
    """Run a script, behind the command `before` if there is one, and return what it wrote."""
    done = subprocess.run(
        [*before, sys.executable, str(write_script(path, code, common))],
        cwd=path,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout
