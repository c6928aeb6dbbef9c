"""How pictures of the report look, how numbers are written, and how calls are timed in turns."""

import io
import math
import statistics
import textwrap
import time

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench import machine
from bench.report.page import Picture

matplotlib.rcParams.update(
    {
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#59636E",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E7EB",
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 1.8,
        "lines.markersize": 6,
        "savefig.dpi": 160,
        "figure.constrained_layout.h_pad": 0.06,
        "figure.constrained_layout.w_pad": 0.06,
    }
)


def canvas(rows=1, columns=1, width=7.6, height=4.0, **kwargs):
    """A figure and its axes, without pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **kwargs)


def picture(figure, name, title, caption=""):
    """Finish a figure: title (it says the finding) and PNG."""
    wide = int(figure.get_figwidth() * 10.5)
    figure.suptitle(textwrap.fill(title, wide), x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Picture(name, title, buffer.getvalue(), caption)


def legend_below(figure, handles=None, labels=None, columns=3):
    """A legend under all axes, where it hides no data."""
    if handles is None:
        pairs = dict(
            (label, handle) for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
        )
        handles, labels = list(pairs.values()), list(pairs)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def seconds_axis(axis):
    """Label a logarithmic axis of seconds 1 ms, 10 ms, …, 1 s, …, 1 000 s."""
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{count(value)} s" if value >= 0.9995 else seconds(value, digits=1))
    )


def counts_axis(axis):
    """Label an axis of counts 1 000, 10 000, …, 1 million."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


# --------------------------------------------------------------------------------------------------------- numbers


def seconds(value, digits=3):
    """A time with its unit, e.g. 2.31 ms; for a NaN a dash."""
    if not math.isfinite(value):
        return "–"
    if value >= 120:
        return f"{value / 60:.{max(2, digits)}g} min" if value < 5970 else f"{value / 3600:.{max(2, digits)}g} h"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size * 0.9995:
            return f"{_digits(value / size, digits)} {unit}"
    return f"{_digits(value / 1e-9, digits)} ns"


def count(value):
    """A whole number with thin groups of thousands; millions in words."""
    if value >= 1e6:
        return f"{value / 1e6:g}\N{NO-BREAK SPACE}million"
    return f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")


def difference(value):
    """How far two numbers are apart, one digit; 0 for no distance."""
    return f"{abs(value):.0e}" if value else "0"


def times(ratio):
    """A ratio, e.g. 3.4×, 120×, 4 100×; for a NaN a dash."""
    if not math.isfinite(ratio):
        return "–"
    if ratio >= 1000:
        ratio = float(f"{ratio:.2g}")
    return f"{count(ratio)}×" if ratio >= 100 else f"{_digits(ratio, 2)}×"


def _digits(value, digits):
    """So many significant digits, never in exponential notation."""
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{decimals}f}"


# ---------------------------------------------------------------------------------------------------------- timing


def timed(call):
    """(seconds, result) of one call."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def in_turns(calls, repeats):
    """{name: [seconds, …]} of calls made alternately, the order rotated each round, so that drift hits all alike.

    Each begins when the threads of the one before rest: see machine.settle.
    """
    names = list(calls)
    taken = {name: [] for name in names}
    for repeat in range(repeats):
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            machine.settle()
            taken[name].append(timed(calls[name])[0])
    return taken


def median(values):
    return statistics.median(values)
