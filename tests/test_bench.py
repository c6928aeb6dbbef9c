"""The benchmarks' own logic: the asv suite stands alone, memory is measured right, the speed table is well formed."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bench import claims, machine, rivals, scaling, shapes, speed
from bench.asv import problems, resident, starts

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
    assert modules == {"fits", "kernels", "memory", "passes", "shapes", "starts"}
    assert any("timeraw_" in name for name, _ in found)


def test_asv_has_a_fit_for_every_workload_of_the_table():
    assert len(problems.SHAPES) == len(shapes.WORKLOADS)


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


def row(met=True, what="a | b", figure="3×"):
    return claims.Row(what, "≥ 2×", figure, "1 ms", "3 ms", met, "a note")


def test_markdown_has_one_line_a_row_and_shows_a_miss():
    table = [line for line in claims.markdown([row(), row(met=False)]).splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1
    assert "met" in table[2] and "missed" in table[3]


def test_block_is_replaced_and_only_the_block(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<begin>\nold\n<end>\nafter\n")
    for text in ("new \\1\n", "newer\n"):
        claims.replace_block(page, text, "<begin>", "<end>")
        assert page.read_text() == f"before\n<begin>\n{text}<end>\nafter\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="lacks the lines"):
        claims.replace_block(page, "new\n", "<begin>", "<end>")


def test_rows_measured_again_take_the_place_of_their_predecessors_whatever_the_machine(tmp_path):
    table, first = tmp_path / "table.md", [row(what=what) for what in ("a", "a | b", "b")]
    table.write_text(claims.updated(table, first, "bench.shapes"))
    assert "Medians of runs of `python -m bench.shapes`" in table.read_text()
    again = claims.updated(table, [row(what="c"), row(what="a", figure="9×")], "bench.shapes").splitlines()
    assert [line.split(" (")[0].split(" |")[0] for line in again[2:6]] == ["| a", r"| a \| b", "| b", "| c"]
    assert "9×" in again[2] and "9×" not in again[3]
    assert again[:2] == table.read_text().splitlines()[:2] and again[6:] == table.read_text().splitlines()[5:]
    table.write_text(table.read_text().replace("processor: ", "processor: another "))
    here, other = claims.tables(claims.updated(table, [row(what="c"), row(what="b")], "bench.shapes"))
    assert [line[:3] for line in here[0]] == ["| c", "| b"] and len(other[0]) == 2
    assert "another" in other[1][-1] and "another" not in here[1][-1]


@pytest.mark.parametrize("module", [speed, shapes])
def test_readme_has_room_for_the_table(module):
    readme = (ROOT / "README.md").read_text()
    assert readme.index(module.BEGIN) < readme.index(module.END)


def test_a_group_that_fails_is_a_missed_row_and_the_others_are_measured():
    def failing():
        yield row()
        raise RuntimeError("no such thing")

    rows = claims.measure({"bad": failing, "good": lambda: iter([row()])}, lambda text: None)
    assert [r.met for r in rows] == [True, False, True]
    assert "no such thing" in rows[1].what


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2 s"), (0.1234, "123 ms"), (0.00456, "4.56 ms"), (7e-6, "7 µs"), (1e-8, "0.01 µs")]
)
def test_words(seconds, text):
    assert claims.words(seconds) == text


def test_turns_rotate_and_copies_are_not_timed():
    calls = []

    def contestant(name):
        return (lambda: name), calls.append

    times = claims.in_turns({"a": contestant("a"), "b": contestant("b")}, 3)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(t) for name, t in times.items()} == {"a": 3, "b": 3}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_timed_waits_for_threads_at_work():
    values = np.random.default_rng(0).random(8_000_000)
    started = threading.Event()

    def work():
        started.set()
        values.sort(kind="stable")  # without the interpreter's lock

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    time.sleep(0.05)
    machine.settle(patience=0.0)
    assert thread.is_alive()
    machine.settle(patience=60.0)
    assert np.all(values[1:] >= values[:-1])
    thread.join()


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (scaling.predictions(n=1000, repeats=1), 3),
        (scaling.growth(p=3, smallest=100, largest=400, repeats=1), 1),
        (scaling.threads(n=1000, p=3, repeats=1), 1),
    ],
    ids=["predictions", "growth", "threads"],
)
def test_rows_of_scaling_are_measured(rows, count):
    rows = list(rows)
    assert len(rows) == count and all(row.figure and row.bar for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, deletes an open file")
def test_memory_maps_are_read_only_and_equal_to_arrays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = scaling.memory_mapped(50, 3, seed=0)
    assert isinstance(X, np.memmap) and not X.flags.writeable and not list(tmp_path.iterdir())
    again, labels = shapes.data.iid(50, 3, 0, dtype=np.float32)
    assert np.array_equal(X, again) and np.array_equal(y, labels)


def test_a_race_stops_the_hopeless_and_counts_the_fastest_that_is_right():
    class Slow:
        """Answers one seed's way only after a while."""

        def __init__(self, seconds, coef):
            self.seconds, self.coef = seconds, coef

        def __call__(self, X, y, C, tol, max_iter, fit_intercept):
            time.sleep(self.seconds if max_iter > 2 else 0.0)
            self.coef_, self.intercept_ = self.coef[None, :-1], self.coef[-1:]
            return self

    X, y = shapes.data.iid(300, 3)
    optimum = rivals.RIVALS[0].fit(X, y, tol=1e-12)
    made = {
        name: rivals.Rival(name, "scikit-learn", "sklearn", Slow(*rest), "o", ladder=(1.0,))
        for name, rest in {"right": (0.05, optimum), "wrong": (0.0, 0.5 * optimum), "late": (5.0, optimum)}.items()
    }
    raced = rivals.race(X, y, rivals=list(made.values()), repeats=1, hopeless=3.0)
    status = {entry.rival.name: entry.status for entry in raced.entries}
    assert status == {"right": "reached", "wrong": "not reached", "late": "over budget"}
