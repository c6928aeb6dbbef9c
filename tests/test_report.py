"""The report's pieces: pages from data, numbers in words, a failed section, one section from end to end."""

import html.parser
import math
import re

import numpy as np
import pytest

from bench import claims, rivals
from bench.report import __main__ as report
from bench.report import drawing, limits, race, shapes
from bench.report.page import Picture, Section, Table, Text, to_html, to_markdown

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def sections():
    first = Section("one", "First, with <angles> & more")
    first.text("Words with `code < 1` and **weight**.")
    first.note("A note.")
    first.table(["name", "a | b"], [["x", "1"], ["y", "**2**"]], caption="What it holds.", strong_rows=(1,))
    first.add(Picture("plot", "It rises", PNG, "From left to right."))
    first.findings.append(("12×", "faster than before"))
    return [first, Section("two", "Second")]


class Balance(html.parser.HTMLParser):
    """Every element that is opened is closed, in order."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_balanced_escaped_and_needs_no_other_file(sections):
    page = to_html("Title", ["Lead."], sections)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "First, with &lt;angles&gt; &amp; more" in page
    assert "<code>code &lt; 1</code>" in page
    assert "<strong>weight</strong>" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert {"#one", "#two"} <= set(sources)
    assert "http" not in page


def test_markdown_has_the_same_and_its_links_lead_somewhere(sections):
    page = to_markdown("Title", ["Lead."], sections)
    assert "- **12×** faster than before" in page
    assert "![It rises](plot.png)" in page
    assert "| name | a \\| b |\n| :-- | --: |\n| x | 1 |\n| **y** | " in page
    assert "[Second](#2-second)" in page
    assert "## 2. Second" in page
    assert "[First, with <angles> & more](#1-first-with-angles--more)" in page


def test_unknown_block_is_an_error():
    with pytest.raises(TypeError, match="nothing to render"):
        to_html("t", [], [Section("s", "s", blocks=["text"])])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2.3456, "2.35 s"),
        (0.0123, "12.3 ms"),
        (1e-3, "1.00 ms"),
        (4.5e-5, "45.0 µs"),
        (3e-9, "3.00 ns"),
        (240.0, "4 min"),
        (20000.0, "5.56 h"),
        (math.nan, "–"),
    ],
)
def test_times_have_units(value, words):
    assert drawing.seconds(value) == words


@pytest.mark.parametrize(
    ("ratio", "words"), [(0.5, "0.50×"), (3.44, "3.4×"), (35.2, "35×"), (123.4, "123×"), (4136.0, "4 100×")]
)
def test_ratios_have_two_digits_or_three(ratio, words):
    assert drawing.times(ratio).replace("\N{NO-BREAK SPACE}", " ") == words


def test_calls_take_turns():
    order = []
    taken = drawing.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == list("abbaab")
    assert [len(values) for values in taken.values()] == [3, 3]


def test_a_section_that_fails_is_named_and_the_others_remain(monkeypatch, tmp_path, capsys):
    def fail(run):
        raise ValueError("no such thing")

    def succeed(run):
        run.tell("half", 0.5)
        figure, ax = drawing.canvas()
        ax.plot([1, 2])
        page = Section("articles", "Articles")
        page.add(drawing.picture(figure, "line", "A line"))
        return page

    from bench.report import articles

    monkeypatch.setattr(race, "section", fail)
    monkeypatch.setattr(articles, "section", succeed)
    code = report.main(["--quick", "--only", "race", "articles", "--output", str(tmp_path / "out")])
    assert code == 1
    assert "ValueError: no such thing" in capsys.readouterr().err
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "This section failed with `ValueError: no such thing`" in page
    assert "![A line](line.png)" in page
    assert "A quick run on small data" in page
    assert (tmp_path / "out" / "line.png").read_bytes().startswith(PNG)
    assert "data:image/png;base64," in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_limits_from_end_to_end(monkeypatch):
    monkeypatch.setattr(limits, "KINDS", (("float64", "C"),))
    heard = []
    page = limits.section(report.Run(quick=True, report=lambda words, fraction: heard.append(fraction)))
    assert [picture.name for picture in page.pictures()] == ["bandwidth", "hessian"]
    tables = [block for block in page.blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [2, 2]
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)
    assert heard == sorted(heard)
    assert 0.0 <= heard[0] <= heard[-1] <= 1.0


def finished(times):
    """A race of two solvers, of which the second may not have reached the target, and one that is absent."""
    entries = []
    for rival, seconds in zip((rivals.RIVALS[1], rivals.RIVALS[5]), times, strict=True):
        rungs = [rivals.Rung(1e-1, [0.01], [1.0], 0.1), rivals.Rung(1e-3, [0.02], [0.9], 1e-9)]
        entry = rivals.Entry(rival, "reached", "", "1.0", rungs, seconds)
        if math.isnan(seconds):
            entry.status, entry.detail = "over budget", "stopped after 1.0 s"
        entries.append(entry)
    entries.append(rivals.Entry(rivals.RIVALS[-1], "out", "absent, ImportError: no module"))
    return rivals.Race(0.5, race.TARGET, 1.0, entries)


@pytest.mark.parametrize("times", [(0.02, 0.06), (0.06, 0.02), (0.02, math.nan), (math.nan, math.nan)])
def test_race_section_names_winners_latecomers_and_absentees(monkeypatch, times):
    monkeypatch.setattr(race.rivals, "race", lambda *args, **kwargs: finished(times))
    monkeypatch.setattr(race, "_compile", lambda *args: None)
    X = np.zeros((2, 1))
    monkeypatch.setattr(race, "problems", lambda quick: [race.Problem("p", "Made up", lambda: (X, X), 1.0, 1, 1.0)])
    page = race.section(report.Run(quick=True))
    (table,) = (block for block in page.blocks if isinstance(block, Table))
    assert [row[-1] for row in table.rows][-1] == "absent"
    assert sum("over 1 s" in row[-1] for row in table.rows) == sum(map(math.isnan, times))
    words = " ".join(block.words for block in page.blocks if isinstance(block, Text))
    assert "absent, ImportError: no module" in words
    title = page.pictures()[0].title
    if not any(map(math.isnan, times)):
        winner = rivals.RIVALS[1] if times[0] < times[1] else rivals.RIVALS[5]
        assert f"{winner.name} first in 20.0 ms" in title
        assert "3.0×" in title
    elif math.isnan(times[0]):
        assert "no solver reaches the target" in title
    else:
        assert "only fastlogreg" in title


def test_a_late_race_shrinks_budgets_but_not_below_a_third():
    problem = race.Problem("p", "Made up", None, 3.0, 3, 0.5)
    assert race._hurried(problem, 1.2) == problem
    assert (race._hurried(problem, 0.8).budget, race._hurried(problem, 0.8).repeats) == (2.4, 2)
    assert (race._hurried(problem, -1.0).budget, race._hurried(problem, -1.0).repeats) == (1.0, 1)


def test_table_of_shapes_is_the_last_that_was_measured(tmp_path, monkeypatch):
    met = claims.Row("2e6 × 10", "≥ 5×", "6×", "1 s", "6 s", True, "lbfgs")
    rows = [met, claims.Row("a | b", "", "", "", "", False)]
    monkeypatch.setattr(shapes, "TABLE", tmp_path / "shapes.md")
    shapes.TABLE.write_text(claims.markdown(rows, "bench.shapes"), encoding="utf-8")
    page = shapes.section(report.Run())
    (table,) = (block for block in page.blocks if isinstance(block, Table))
    assert [row[0] for row in table.rows] == ["2e6 × 10 (lbfgs)", "a | b"]
    assert [row[-1] for row in table.rows] == ["met", "**missed**"]
    assert any("bench.shapes" in block.words for block in page.blocks if isinstance(block, Text) and block.note)
