"""The benchmarks' own logic: the asv suite stands alone, memory is measured right, the speed table is well formed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import speed
from bench.asv import resident, starts

ROOT = Path(__file__).parent.parent

DISCOVER = """
import json, sys
from asv_runner._aux import update_sys_path
from asv_runner.discovery import disc_benchmarks
update_sys_path(sys.argv[1])
found = [(b.name, b.type) for b in disc_benchmarks(sys.argv[1])]
print(json.dumps([found, "bench" in sys.modules]))
"""


def test_asv_suite_imports_without_the_rest_of_bench(tmp_path):
    command = [sys.executable, "-W", "error", "-c", DISCOVER, str(ROOT / "bench" / "asv")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found, has_bench = json.loads(done.stdout.splitlines()[-1])
    assert not has_bench
    assert {kind for _, kind in found} == {"time", "track", "peakmemory"}
    modules = {name.split(".")[0] for name, _ in found}
    assert modules == {"fits", "kernels", "memory", "passes", "starts"}
    assert any("timeraw_" in name for name, _ in found)


@pytest.mark.parametrize("library", starts.FirstFit.params)
def test_first_fits_are_code(library):
    fit, data = starts.FirstFit().timeraw_first_fit(library)
    compile(data + fit, "first fit", "exec")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_extra_memory_counts_what_a_call_adds():
    kept = np.ones(10_000_000)
    assert resident.extra_memory(lambda: kept.sum()) < 4e6
    extra = resident.extra_memory(lambda: np.ones(10_000_000).sum())
    assert 79e6 < extra < 84e6


def row(met=True):
    return speed.Row("a | b", "≥ 2×", "3×", "1 ms", "3 ms", met, "a note")


def test_markdown_has_one_line_a_row_and_shows_a_miss():
    table = [line for line in speed.markdown([row(), row(met=False)]).splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1
    assert "met" in table[2] and "missed" in table[3]


def test_block_is_replaced_and_only_the_block(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{speed.BEGIN}\nold\n{speed.END}\nafter\n")
    for text in ("new \\1\n", "newer\n"):
        speed.replace_block(page, text)
        assert page.read_text() == f"before\n{speed.BEGIN}\n{text}{speed.END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="lacks the lines"):
        speed.replace_block(page, "new\n")


def test_readme_has_room_for_the_table():
    readme = (ROOT / "README.md").read_text()
    assert readme.index(speed.BEGIN) < readme.index(speed.END)


def test_a_group_that_fails_is_a_missed_row_and_the_others_are_measured(monkeypatch):
    def failing():
        yield row()
        raise RuntimeError("no such thing")

    monkeypatch.setattr(speed, "ROWS", {"bad": failing, "good": lambda: iter([row()])})
    rows = speed.measure(["bad", "good"], lambda text: None)
    assert [r.met for r in rows] == [True, False, True]
    assert "no such thing" in rows[1].what


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2 s"), (0.1234, "123 ms"), (0.00456, "4.56 ms"), (7e-6, "7 µs"), (1e-8, "0.01 µs")]
)
def test_words(seconds, text):
    assert speed.words(seconds) == text


def test_turns_rotate_and_copies_are_not_timed():
    calls = []

    def contestant(name):
        return (lambda: name), calls.append

    times = speed.in_turns({"a": contestant("a"), "b": contestant("b")}, 3)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(t) for name, t in times.items()} == {"a": 3, "b": 3}
