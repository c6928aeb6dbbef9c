"""Rivals that live outside this environment: R's glmnet, and adelie, which needs an older NumPy.

Data go to them through a file, coefficients come back through one, and each is timed where it runs. A rival that is not
there raises Absent with the reason.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy.sparse


class Absent(Exception):
    """A rival cannot take part; the message says why."""


class OverTime(Absent):
    """A rival took longer than it was given."""


# The data file holds n, p, the number of entries of a sparse X or 0, X by columns (a sparse one as the starts of its
# columns, rows and values of its entries), y, and then what the task is: strengths or folds.
READ = """
suppressMessages(library(glmnet))
arguments <- commandArgs(TRUE)
data <- file(arguments[1], "rb")
n <- readBin(data, "double", 1)
p <- readBin(data, "double", 1)
entries <- readBin(data, "double", 1)
if (entries > 0) {
    starts <- readBin(data, "double", p + 1)
    rows <- readBin(data, "double", entries)
    x <- Matrix::sparseMatrix(rows, p = starts, x = readBin(data, "double", entries), dims = c(n, p), index1 = FALSE)
} else {
    x <- matrix(readBin(data, "double", n * p), n, p)
}
y <- readBin(data, "double", n)
more <- readBin(data, "double", n + 1000)
"""
# Strengths are given, so that no path ends early; "modified.Newton" bounds the Hessian in place of finding it.
# Several classes are written one after the other at every strength.
PATH = (
    READ
    + """
family <- if (max(y) > 1) "multinomial" else "binomial"
time <- system.time(found <- glmnet(x, as.factor(y), family = family, lambda = more, standardize = FALSE, maxit = 1e8,
                                    alpha = as.numeric(arguments[3]), thresh = as.numeric(arguments[4]),
                                    type.logistic = arguments[5]))
beta <- if (is.list(found$beta)) found$beta else list(found$beta)
a0 <- matrix(found$a0, nrow = length(beta))
of_class <- function(k) rbind(as.matrix(beta[[k]]), a0[k, ])
writeBin(as.numeric(do.call(rbind, lapply(seq_along(beta), of_class))), arguments[2])
cat("SECONDS", time[["elapsed"]], "\\n")
"""
)
FOLDS = (
    READ
    + """
time <- system.time(found <- cv.glmnet(x, y, family = "binomial", foldid = more, standardize = FALSE, maxit = 1e8,
                                       alpha = as.numeric(arguments[3]), thresh = as.numeric(arguments[4]),
                                       type.logistic = arguments[5]))
fit <- found$glmnet.fit
writeBin(as.numeric(rbind(as.matrix(fit$beta), fit$a0, fit$lambda)), arguments[2])
cat("SECONDS", time[["elapsed"]], "\\n")
"""
)
ADELIE = """
import sys, time
import adelie, numpy as np, scipy.sparse
data, out, l1_ratio, tol, threads = sys.argv[1:]
data = np.fromfile(data)
n, p, entries = map(int, data[:3])
X, y, alphas = np.split(data[3:], np.cumsum([p + 1 + 2 * entries if entries else n * p, n]))
if entries:
    starts, rows, values = np.split(X, [p + 1, p + 1 + entries])
    X = scipy.sparse.csc_matrix((values, rows.astype(np.int32), starts.astype(np.int32)), shape=(n, p))
    X = adelie.matrix.sparse(X, n_threads=int(threads))
else:
    X = X.reshape(p, n).T
start = time.perf_counter()
found = adelie.grpnet(X=X, glm=adelie.glm.binomial(y=y), lmda_path=alphas, alpha=float(l1_ratio), tol=float(tol),
                      irls_tol=float(tol), n_threads=int(threads), early_exit=False, progress_bar=False)
seconds = time.perf_counter() - start
np.hstack([found.betas.toarray(), np.reshape(found.intercepts, (-1, 1))]).tofile(out)
print("SECONDS", seconds)
"""


def write(folder, X, y, more):
    """Write a problem into a folder, and return the path of the file."""
    path = Path(folder) / "data"
    with path.open("wb") as file:
        if scipy.sparse.issparse(X):
            columns = X.tocsc()
            parts = [*X.shape, X.nnz], columns.indptr, columns.indices, columns.data
        else:
            parts = [*X.shape, 0], X.T
        for values in (*parts, y, more):
            np.ascontiguousarray(values, dtype=np.float64).tofile(file)
    return path


def glmnet(task, path, *arguments, limit=None):
    """Run a task of R's glmnet, PATH or FOLDS, on a file of write; return seconds and what it found, by rows.

    Raises OverTime after limit seconds, the reading of the file among them.
    """
    if shutil.which("Rscript") is None:
        raise Absent("no Rscript")
    script = path.with_name("task.R")
    script.write_text(task)
    return _run(["Rscript", script], path, arguments, limit)


def adelie(path, *arguments, limit=None):
    """Run adelie along a path on a file of write; return seconds and coefficients, intercepts last.

    Raises OverTime after limit seconds.
    """
    script = path.with_name("task.py")
    script.write_text(ADELIE)
    return _run([_python_of_adelie(), script], path, arguments, limit)


def _run(command, path, arguments, limit):
    out = path.with_name("out")
    command = [*command, path, out, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        raise OverTime(f"not within {limit:.0f} s") from None
    if done.returncode:
        raise Absent((done.stderr.strip().splitlines() or ["no message"])[-1])
    seconds = float(done.stdout.rpartition("SECONDS")[2])
    return seconds, np.fromfile(out)


def _python_of_adelie():
    """The interpreter of an environment with adelie, made in the user's cache folder at the first call."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastlogreg-bench" / "adelie"
    python = cache / "bin" / "python"
    ready = cache / "ready"
    if not ready.exists():
        commands = [sys.executable, "-m", "venv", cache], [python, "-m", "pip", "install", "-q", "adelie", "numpy<2"]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Absent((done.stderr.strip().splitlines() or ["no message"])[-1])
        ready.touch()
    return python
