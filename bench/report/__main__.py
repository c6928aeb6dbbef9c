"""`python -m bench.report`: run all sections with a progress bar, write report/index.html and report/report.md."""

import argparse
import datetime
import importlib
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

import fastlogreg
from bench import machine
from bench.report.page import Section, to_html, to_markdown

# module, and the seconds it takes on two cores: the share of the progress bar
SECTIONS = {
    "descent": 30,
    "race": 95,
    "optimisers": 10,
    "limits": 25,
    "articles": 3,
    "starts": 35,
    "shapes": 1,
}


@dataclass
class Run:
    """What a section is told: whether to be quick, and where to report progress."""

    quick: bool = False
    report: object = None

    def tell(self, words, fraction):
        """Show what happens now, at this fraction of the section."""
        if self.report:
            self.report(words, fraction)


def make_sections(names, quick, report):
    """Yield the sections in order; one that fails becomes a section that says so."""
    for name in names:
        run = Run(quick, lambda words, fraction, name=name: report(name, words, fraction))
        run.tell("starting", 0.0)
        start = time.perf_counter()
        try:
            section = importlib.import_module(f"bench.report.{name}").section(run)
            section.note(f"This section took {time.perf_counter() - start:.0f} s.")
        except Exception as error:  # the other sections are still worth reading
            traceback.print_exc()
            section = Section(name, f"{name.capitalize()}: failed")
            section.text(f"This section failed with `{type(error).__name__}: {error}`; no figure of it is shown.")
            section.failed = True
        run.tell("done", 1.0)
        yield section


def write(sections, folder, taken, quick):
    """index.html, report.md and its pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    found = machine.facts()
    when = datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z")
    lead = [
        f"fastlogreg {fastlogreg.__version__} on {found['processor']}, {found['cores allowed']} cores, {when}. "
        f"Every figure on this page, but for the table by shapes, was computed in one run of {taken:.0f} s; times are "
        "medians where a call was repeated, and rivals take turns."
    ]
    if quick:
        lead.append("**A quick run on small data, to test the report itself: its figures mean nothing.**")
    title = "fastlogreg: how fast, how exact, and what the articles say"
    (folder / "index.html").write_text(to_html(title, lead, sections), encoding="utf-8")
    (folder / "report.md").write_text(to_markdown(title, lead, sections), encoding="utf-8")
    for section in sections:
        for picture in section.pictures():
            (folder / f"{picture.name}.png").write_bytes(picture.png)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder to write (default: report)")
    parser.add_argument("--quick", action="store_true", help="small data: tests the report, measures nothing")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="only these sections")
    options = parser.parse_args(argv)
    start = time.perf_counter()
    console = Console(stderr=True)
    columns = TextColumn("{task.description:56.56}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=sum(SECTIONS[name] for name in options.only))

        def report(name, words, fraction):
            before = sum(SECTIONS[other] for other in options.only[: options.only.index(name)])
            progress.update(task, description=f"{name}: {words}", completed=before + fraction * SECTIONS[name])

        sections = list(make_sections(options.only, options.quick, report))
    write(sections, options.output, time.perf_counter() - start, options.quick)
    page = (options.output / "index.html").resolve()
    console.print(f"{page} and report.md beside it, {time.perf_counter() - start:.0f} s", soft_wrap=True)
    return int(any(getattr(section, "failed", False) for section in sections))


if __name__ == "__main__":
    sys.exit(main())
