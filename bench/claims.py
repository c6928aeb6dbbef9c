"""Claims and what was found: measured in turns, rows of a table, and the tables of a Markdown file."""

import gc
import re
import time
from dataclasses import dataclass

from rich.table import Table

from bench import machine


@dataclass
class Row:
    """A claim and what was found; `ours` and `theirs` are words with their units."""

    what: str
    bar: str
    figure: str
    ours: str
    theirs: str
    met: bool
    note: str = ""


def ratio_row(what, bar, ours, theirs, note="", ok=True):
    """A row that asks for `theirs` to take at least `bar` times as long as `ours` (seconds, medians)."""
    ratio = theirs / ours
    return Row(what, f"≥ {bar:g}×", f"{ratio:.3g}×" if ratio < 100 else f"{ratio:.0f}×", words(ours), words(theirs),
               ok and ratio >= bar, note)  # fmt: skip


def short(n):
    """8000000 as 8·10⁶."""
    zeros = len(str(n)) - len(str(n).rstrip("0"))
    return f"{str(n)[:-zeros]}·10{str(zeros).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}" if zeros else str(n)


def count(n):
    """1000000 as 1 000 000, with spaces that do not break."""
    return f"{n:,}".replace(",", "\N{NO-BREAK SPACE}")


def words(seconds):
    """Seconds with three digits and a unit."""
    unit, size = next((u for u in (("s", 1.0), ("ms", 1e-3)) if seconds >= u[1]), ("µs", 1e-6))
    value = seconds / size
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def in_turns(contestants, repeats):
    """{name: seconds of every repeat}; contestants: {name: (prepare, call)}, call(prepare()) is timed.

    Each repeat begins with the next contestant, so that nobody always runs on what another one left in the cache.
    """
    times = {name: [] for name in contestants}
    order = list(contestants)
    for repeat in range(repeats):
        turn = repeat % len(order)
        for name in order[turn:] + order[:turn]:
            prepare, call = contestants[name]
            arguments = prepare()
            gc.collect()
            machine.settle()
            start = time.perf_counter()
            call(arguments)
            times[name].append(time.perf_counter() - start)
            del arguments
    return times


def measure(groups, tell):
    """Rows of {name: function that yields some}, in order; a group that fails becomes a row that says so."""
    rows = []
    for name, group in groups.items():
        tell(name)
        try:
            for row in group():
                rows.append(row)
                tell(f"{name}: {row.what}, {row.figure}")
        except Exception as error:  # the other rows still count
            rows.append(Row(f"{name}: {type(error).__name__}: {error}", "", "failed", "", "", False))
    return rows


HEADING = ["| what | bar | measured | fastlogreg | other | |", "|---|---|---|---|---|---|"]


def markdown(rows, module="bench.speed"):
    """The table and what it was measured on and by, as Markdown."""
    lines = list(HEADING)
    for row in rows:
        what = f"{row.what} ({row.note})" if row.note else row.what
        cells = what, row.bar, row.figure, row.ours, row.theirs, "met" if row.met else "**missed**"
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    facts = "; ".join(f"{name}: {value}" for name, value in machine.facts().items())
    lines += ["", f"Medians of one run of `python -m {module}`, in turns, on fresh copies of the data.", facts + "."]
    return "\n".join(lines) + "\n"


def tables(text):
    """Yield (rows, what is said below them) of every table of `markdown`, each a list of lines."""
    for part in text.split("\n".join(HEADING))[1:]:
        lines = [line for line in part.splitlines() if line]
        n_rows = sum(line.startswith("|") for line in lines)
        yield lines[:n_rows], lines[n_rows:]


def updated(path, rows, module):
    """The tables of the file at path, one for each machine, with rows in the places of their predecessors.

    A row stands in one of them: that of the machine and the versions that measured it last.
    """
    ((lines, below),) = tables(markdown(rows, module).replace("Medians of one run of", "Medians of runs of"))
    new = {row.what.replace("|", r"\|"): line for row, line in zip(rows, lines, strict=True)}
    names, found = list(new), []
    for old, below_old in tables(path.read_text()) if path.exists() else ():
        # What follows is of the process: which threads numba took depends on what was imported before it.
        here = len({said[-1].partition("; numba threads")[0] for said in (below, below_old)}) == 1
        kept = []
        for line in old:
            what = next((name for name in names if line.startswith((f"| {name} (", f"| {name} |"))), None)
            if what is None or here:
                kept.append(line if what is None else new.pop(what))
        found.append((kept + list(new.values()), below) if here else (kept, below_old))
        new = {} if here else new
    if new:
        found.insert(0, (list(new.values()), below))
    return "\n".join("\n".join([*HEADING, *lines, "", *said]) + "\n" for lines, said in found if lines)


def replace_block(path, text, begin, end):
    """Put text between the markers of a Markdown file; ValueError where it does not have both."""
    old = path.read_text()
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not block.search(old):
        raise ValueError(f"{path} lacks the lines {begin} and {end}")
    path.write_text(block.sub(lambda _: f"{begin}\n{text}{end}", old, count=1))


def shown(rows):
    """The table for a terminal."""
    table = Table(show_lines=False)
    for heading, justify in (("what", "left"), ("bar", "right"), ("measured", "right"), ("fastlogreg", "right"),
                             ("other", "right"), ("", "left")):  # fmt: skip
        table.add_column(heading, justify=justify, no_wrap=heading != "what")
    for row in rows:
        verdict = "[green]met[/]" if row.met else "[bold red]missed[/]"
        what = f"{row.what} [dim]({row.note})[/]" if row.note else row.what
        table.add_row(what, row.bar, row.figure, row.ours, row.theirs, verdict)
    return table
