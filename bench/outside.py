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


class Absent(Exception):
    """A rival cannot take part; the message says why."""


class OverTime(Absent):
    """A rival took longer than it was given."""


# The data file holds n, p, X by columns, y, and then what the task is: strengths or folds.
READ = """
suppressMessages(library(glmnet))
arguments <- commandArgs(TRUE)
data <- file(arguments[1], "rb")
n <- readBin(data, "double", 1)
p <- readBin(data, "double", 1)
x <- matrix(readBin(data, "double", n * p), n, p)
y <- readBin(data, "double", n)
more <- readBin(data, "double", n + 1000)
"""
# Strengths are given, so that no path ends early; "modified.Newton" bounds the Hessian in place of finding it.
PATH = (
    READ
    + """
time <- system.time(found <- glmnet(x, y, family = "binomial", lambda = more, standardize = FALSE, maxit = 1e8,
                                    alpha = as.numeric(arguments[3]), thresh = as.numeric(arguments[4]),
                                    type.logistic = arguments[5]))
writeBin(as.numeric(rbind(as.matrix(found$beta), found$a0)), arguments[2])
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
import adelie, numpy as np
data, out, l1_ratio, tol, threads = sys.argv[1:]
data = np.fromfile(data)
n, p = map(int, data[:2])
X, y, alphas = data[2 : 2 + n * p].reshape(p, n).T, data[2 + n * p : 2 + n * p + n], data[2 + n * p + n :]
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
        np.array(X.shape, dtype=np.float64).tofile(file)
        for values in (X.T, y, more):
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
