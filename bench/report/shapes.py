"""The table of `python -m bench.shapes`, as it was last measured: half an hour is too long for every report."""

import re
from pathlib import Path

from bench.claims import HEADING, tables
from bench.report.page import Section

TABLE = Path(__file__).parent.parent / "shapes.md"


def section(run):
    page = Section("shapes", "Every shape of data against the fastest rival")
    page.text(
        "Default settings of fastlogreg, to a relative suboptimality of 1e-7 and better, against the fastest of "
        "scikit-learn's solvers, scikit-learn-intelex, glum and liblinear, each at the tolerance that gets there first."
        " **Not of this run**: `python -m bench.shapes` wrote these figures, on the machine named below each table."
    )
    if not TABLE.exists():
        page.note("Not measured yet: `python -m bench.shapes` has not been run.")
        return page
    header = _cells(HEADING[0])
    for rows, below in tables(TABLE.read_text(encoding="utf-8")):
        page.table(header, [_cells(row) for row in rows], text_columns=(0, len(header) - 1))
        for line in below:
            page.note(line)
    return page


def _cells(line):
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
