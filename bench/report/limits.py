"""A pass over X against this machine's best read of it, and the Hessian against its BLAS."""

import numpy as np
import scipy.linalg.blas

from bench import machine
from bench.report.drawing import canvas, count, in_turns, legend_below, median, picture
from bench.report.page import Section
from bench.rivals import COLOURS
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective

WIDTHS = (5, 10, 20, 50, 100, 200, 500)
KINDS = (("float64", "C"), ("float64", "F"), ("float32", "C"), ("float32", "F"))
MARKERS = {"C": "o", "F": "s"}


def section(run):
    page = Section("limits", "Limits of the machine: bandwidth of a pass, arithmetic of a Hessian")
    megabytes, rounds = (2, 3) if run.quick else (160, 9)
    widths = (5, 50) if run.quick else WIDTHS
    _bandwidth(run, page, megabytes, rounds, widths)
    _hessian(run, page, megabytes, 3 if run.quick else 5, (10, 50) if run.quick else (10, 20, 50, 100, 200, 500, 1000))
    return page


def _matrix(buffer, p, order):
    """(X, y): the buffer as n × p in either order, and labels drawn by a fair coin."""
    n = len(buffer) // p
    X = buffer[: n * p].reshape(n, p) if order == "C" else buffer[: n * p].reshape(p, n).T
    return X, np.random.default_rng(p).integers(0, 2, n).astype(np.float64)


def _buffer(megabytes, dtype):
    """Standard normal numbers, a million of them over and over: X need not be new, only large."""
    size = megabytes * 1_000_000 // np.dtype(dtype).itemsize
    return np.resize(np.random.default_rng(0).standard_normal(1_000_003, dtype=dtype), size)


def _bandwidth(run, page, megabytes, rounds, widths):
    figure, ax = canvas(height=4.4)
    cells, fractions = {p: [] for p in widths}, {}
    for k, (dtype, order) in enumerate(KINDS):
        buffer = _buffer(megabytes, dtype)
        line = []
        for p in widths:
            run.tell(f"bandwidth, {dtype}, {order} order, {p} columns", 0.55 * k / len(KINDS))
            X, y = _matrix(buffer, p, order)
            objective = LogisticObjective(as_design(X), y)
            coef = np.random.default_rng(p).standard_normal(p + 1) * 2 / np.sqrt(p)
            read = machine.reader(X)
            objective.value_gradient(coef)
            taken = in_turns({"pass": lambda o=objective, c=coef: o.value_gradient(c), "read": read}, rounds)
            pass_rate, read_rate = (X.nbytes / median(taken[name]) / 1e9 for name in ("pass", "read"))
            # a round's two times are neighbours, so that slow minutes of the machine cancel
            fraction = median([r / q for q, r in zip(taken["pass"], taken["read"], strict=True)])
            fractions[dtype, order, p] = fraction
            line.append(100 * fraction)
            cells[p].append(f"{pass_rate:.0f} of {read_rate:.0f}: {100 * fraction:.0f} %")
        ax.semilogx(
            widths, line, marker=MARKERS[order], color=COLOURS["fastlogreg"] if dtype == "float64" else "#8C3D00",
            linestyle="-" if order == "C" else "--", label=f"{dtype}, {order} order",
        )  # fmt: skip
    ax.axhline(100, color="black", linewidth=1, label="best all-core read of the same array")
    ax.set_xticks(widths, [str(p) for p in widths])
    ax.minorticks_off()
    ax.set(xlabel="columns of X", ylabel="bandwidth of the pass, % of the read", ylim=(0, max(115, ax.get_ylim()[1])))
    legend_below(figure)
    wide = [f for (_, _, p), f in fractions.items() if p >= 50]
    low, high = 100 * min(wide), 100 * max(wide)
    page.text(
        "One call of loss and gradient has to read X once; no code can be faster than the memory delivers X. So the "
        "pass takes turns with a compiled loop that only sums the bytes of the same array with all cores."
    )
    caption = f"Arrays of {megabytes} MB, {rounds} rounds; the fraction is the median ratio of neighbouring times."
    title = f"One pass of loss and gradient runs at {low:.0f} to {high:.0f} % of pure reading from 50 columns on"
    page.add(picture(figure, "bandwidth", title, caption))
    page.table(
        ["columns", *(f"{dtype}, {order} order" for dtype, order in KINDS)],
        [[str(p), *cells[p]] for p in widths],
        caption="GB/s of the fused pass, of the pure read, and the fraction (medians).",
    )
    page.text(
        "With few columns each row costs an exponential and a logarithm for only a few bytes, so that arithmetic is "
        "the limit; float32 has half the bytes a row and meets that limit earlier. A fraction above 100 % is noise of "
        "the machine, or an array partly in cache."
    )
    f64 = [100 * f for (dtype, _, p), f in fractions.items() if p >= 50 and dtype == "float64"]
    page.findings.append(
        (
            f"{min(f64):.0f}–{max(f64):.0f} %",
            "of the machine's best read: one pass of loss and gradient, float64, 50 columns and more",
        )
    )


def _hessian(run, page, megabytes, rounds, widths):
    buffer = _buffer(megabytes, "float64")
    run.tell("Hessian, best of BLAS", 0.56)
    best = machine.blas_gflops(*((512, 128) if run.quick else (4096, 1024)), repeats=5)["syrk"][0]
    figure, ax = canvas(height=4.4)
    rows, ours_line, blas_line = [], [], []
    for k, p in enumerate(widths):
        run.tell(f"Hessian, {p} columns", 0.6 + 0.4 * k / len(widths))
        n = max(500, min(len(buffer) // p, int(2.5e9 / p**2)))
        X, y = _matrix(buffer[: n * p], p, "C")
        objective = LogisticObjective(as_design(X), y)
        coef = np.zeros(p + 1)
        objective.value_gradient_hessian(coef)
        result = np.zeros((p, p), order="F")

        def syrk(X=X, result=result):
            return scipy.linalg.blas.dsyrk(1.0, X.T, c=result, overwrite_c=1)

        syrk()
        taken = in_turns({"ours": lambda o=objective, c=coef: o.value_gradient_hessian(c), "blas": syrk}, rounds)
        ours = n * (p + 1) * (p + 2) / median(taken["ours"]) / 1e9
        blas = n * p * (p + 1) / median(taken["blas"]) / 1e9
        ours_line.append(ours)
        blas_line.append(blas)
        rows.append(
            [str(p), count(n), f"{ours:.0f}", f"{blas:.0f}", f"{100 * ours / blas:.0f} %", f"{100 * ours / best:.0f} %"]
        )
    ax.semilogx(widths, ours_line, marker="o", color=COLOURS["fastlogreg"], label="loss + gradient + Hessian, one call")
    ax.semilogx(widths, blas_line, marker="s", color=COLOURS["NumPy"], label="BLAS dsyrk alone, the same X")
    ax.axhline(best, color="black", linewidth=1, linestyle=":", label="BLAS dsyrk at its best shape")
    ax.set_xticks(widths, [str(p) for p in widths])
    ax.minorticks_off()
    ax.set(xlabel="columns of X", ylabel="GFLOP/s", ylim=(0, 1.1 * max(*ours_line, *blas_line, best)))
    legend_below(figure, columns=2)
    ahead = [p for p, a, b in zip(widths, ours_line, blas_line, strict=True) if a >= b]
    where = f"faster than a bare syrk at {len(ahead)} of {len(widths)} widths" if ahead else "always below a bare syrk"
    title = f"The Hessian reaches {max(ours_line):.0f} GFLOP/s; it is {where}"
    caption = (
        "Counted: n q (q + 1) operations, q the columns and the intercept for fastlogreg, the columns alone for BLAS; "
        "the exponentials and the weighting of rows are not counted. float64, C order."
    )
    page.add(picture(figure, "hessian", title, caption))
    page.table(
        ["columns", "rows", "fastlogreg, GFLOP/s", "dsyrk, same X", "fastlogreg / dsyrk", "fastlogreg / best dsyrk"],
        rows,
        caption="Hessian assembly against the BLAS that scipy brings.",
    )
    page.text(
        "The comparison is hard on fastlogreg: its call computes every row's probability, loss and gradient too, and "
        "weights the rows, while dsyrk multiplies X by itself and does nothing else."
    )
    middle = min(range(len(widths)), key=lambda i: abs(widths[i] - 100))
    page.findings.append(
        (
            f"{100 * ours_line[middle] / best:.0f} %",
            f"of BLAS dsyrk at its best: loss, gradient and Hessian in one call, {widths[middle]} columns",
        )
    )
