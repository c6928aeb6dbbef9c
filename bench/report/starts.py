"""Import and first fit in fresh processes, with an empty and with a filled cache of compiled kernels."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import machine
from bench.report.drawing import canvas, legend_below, picture, seconds, times
from bench.report.page import Section
from bench.rivals import COLOURS

ROOT = Path(__file__).resolve().parents[2]
# The clock starts before numpy is imported and stands still while the data are made.
CHILD = """
import json, sys, time
start = time.perf_counter()
from {module} import LogisticRegression
imported = time.perf_counter() - start
import numpy as np
rng = np.random.default_rng(0)
X = rng.standard_normal(({n}, {p}))
y = (X[:, 0] + rng.logistic(size={n}) > 0).astype(int)
start = time.perf_counter()
LogisticRegression().fit(X, y)
json.dump([imported, time.perf_counter() - start], sys.stdout)
"""


def first_fit(module, n, p, cache):
    """(seconds of the import, seconds of the first fit) in a fresh process whose kernel cache is that folder."""
    command = [sys.executable, "-c", CHILD.format(module=module, n=n, p=p)]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"a fresh process with {module} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def section(run):
    page = Section("starts", "Cold and warm start; versions, cores, threads")
    sizes = ((1000, 10),) if run.quick else ((1000, 10), (200_000, 20))
    repeats = 1 if run.quick else 3
    bars = []
    for k, (n, p) in enumerate(sizes):
        shape = f"{n:,} × {p}".replace(",", "\N{NO-BREAK SPACE}")
        with tempfile.TemporaryDirectory() as cache:
            run.tell(f"empty cache, {shape}", k / len(sizes))
            bars.append((f"fastlogreg, empty cache, {shape}", "fastlogreg", first_fit("fastlogreg", n, p, cache), 1))
            taken = {"fastlogreg": [], "sklearn.linear_model": []}
            for repeat in range(repeats):
                run.tell(f"warm cache, {shape}", (k + 0.4 + 0.6 * repeat / repeats) / len(sizes))
                for module in taken:
                    taken[module].append(first_fit(module, n, p, cache))
        for module, library, words in (
            ("fastlogreg", "fastlogreg", "fastlogreg, filled cache"),
            ("sklearn.linear_model", "scikit-learn", "scikit-learn"),
        ):
            middle = sorted(taken[module], key=sum)[repeats // 2]
            bars.append((f"{words}, {shape}", library, middle, repeats))
    page.text(
        "A fresh process imports the library and fits once. The first time ever, kernels are compiled; afterwards they "
        "are loaded from a cache on disk. scikit-learn's own import and first fit stand beside it."
    )
    page.add(_picture(bars))
    page.table(
        ["process", "import", "first fit", "together", "processes"],
        [[name, seconds(a), seconds(b), seconds(a + b), str(runs)] for name, _, (a, b), runs in bars],
        caption="The middle process by total time, where there were several.",
    )
    warm = {
        library: sum(pair)
        for name, library, pair, _ in bars
        if "empty" not in name and "1\N{NO-BREAK SPACE}000 ×" in name
    }
    ratio = warm["fastlogreg"] / warm["scikit-learn"]
    page.text(
        f"With a filled cache, import and first fit on 1 000 × 10 take {times(ratio)} of scikit-learn's time: numba "
        "and scikit-learn are both imported. Only the first use of a kernel after installing or upgrading compiles."
    )
    cold = [sum(pair) for name, _, pair, _ in bars if "empty" in name]
    if cold:
        page.findings.append((seconds(cold[0], 2), "import and first fit on 1 000 × 10 with nothing compiled yet"))
    page.findings.append(
        (times(ratio), "of scikit-learn's time: import and first fit in a fresh process, kernels cached")
    )
    page.table(["fact", "value"], [[name, value] for name, value in machine.facts().items()], text_columns=(1,))
    return page


def _picture(bars):
    figure, ax = canvas(height=1.6 + 0.45 * len(bars))
    for i, (_, library, (imported, fitted), _) in enumerate(reversed(bars)):
        ax.barh(i, imported, color=COLOURS[library], alpha=0.45, height=0.62)
        ax.barh(i, fitted, left=imported, color=COLOURS[library], height=0.62)
        ax.text(imported + fitted, i, "  " + seconds(imported + fitted), va="center", fontsize=9)
    ax.set_yticks(range(len(bars)), [name for name, *_ in reversed(bars)])
    ax.bar(0, 0, color="#555555", alpha=0.45, label="import")
    ax.bar(0, 0, color="#555555", label="first fit")
    ax.set(xlabel="seconds", xlim=(0, 1.15 * max(sum(pair) for _, _, pair, _ in bars)))
    ax.grid(axis="y", visible=False)
    legend_below(figure)
    cold = [sum(pair) for name, _, pair, _ in bars if "empty" in name]
    warm = max(sum(pair) for name, library, pair, _ in bars if "empty" not in name and library == "fastlogreg")
    if cold:
        title = f"Nothing compiled yet: {seconds(max(cold), 2)} at most; afterwards {seconds(warm, 2)}"
    else:
        title = f"Import and first fit with cached kernels: {seconds(warm, 2)} at most"
    return picture(figure, "starts", title)
