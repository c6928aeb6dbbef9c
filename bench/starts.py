"""Fresh processes: import and first fit, with and without kernels on disk."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.claims import Row, count, words

ROOT = Path(__file__).parents[1]

# NumPy's import counts, for both; so do the few milliseconds of making the data.
START = """
import time
start = time.perf_counter()
import numpy as np
rng = np.random.default_rng(0)
X = rng.standard_normal(({n}, {p}))
y = (X[:, 0] + rng.standard_normal({n}) > 0).astype(int)
{change}
from {module} import LogisticRegression
LogisticRegression().fit(X, y)
print(time.perf_counter() - start)
"""
# Rows, columns, and what becomes of X, with what is said of it.
FIRST_FITS = (
    (1000, 10, "", ""),
    (200_000, 20, "", ""),
    (20_000, 20, ", float32", "X = X.astype(np.float32)"),
    (20_000, 20, ", CSR", "import scipy.sparse\nX = scipy.sparse.csr_array(np.where(X > 1.0, X, 0.0))"),
)


def warm_start(bar=1.5, n=1000, p=10, repeats=11):
    """Import and first fit in a fresh process, kernels on disk, against scikit-learn's own."""
    modules = {"ours": "fastlogreg", "theirs": "sklearn.linear_model"}
    times = {name: [] for name in modules}
    for repeat in range(repeats + 1):  # the first fills the caches of the disk and of the kernels
        for name in list(modules)[:: 1 if repeat % 2 else -1]:
            times[name].append(float(child(START.format(n=n, p=p, change="", module=modules[name]))))
    ours, theirs = (statistics.median(t[1:]) for t in times.values())
    what = f"import and first fit, {count(n)} × {p}, fresh process, warm cache, vs scikit-learn's own"
    ratio = ours / theirs
    yield Row(what, f"≤ {bar:g}×", f"{ratio:.2f}×", words(ours), words(theirs), ratio <= bar)


def cold_start(bar=12.0, cases=FIRST_FITS[:2]):
    """Import and first fit in a fresh process with an empty kernel cache."""
    for n, p, kind, change in cases:
        times = []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as cache:
                code = START.format(n=n, p=p, change=change, module="fastlogreg")
                times.append(float(child(code, NUMBA_CACHE_DIR=cache)))
        seconds = statistics.median(times)
        what = f"import and first fit, {count(n)} × {p}{kind}, fresh process, empty cache"
        yield Row(what, f"≤ {bar:g} s", words(seconds), words(seconds), "", seconds <= bar)


def child(code, **environment):
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout
