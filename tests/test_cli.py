"""The command `fastlogreg`: what it prints, what it says of bad input, and its exit codes."""

import io
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numba
import numpy as np
import pytest

import fastlogreg
from bench import baselines
from fastlogreg import cli, threads

TOY = "0.5,0\n2.5,1\n1,0\n3,1\n"
OVERLAPPING = "1,0\n2,1\n3,0\n4,1\n5,1\n"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command on text as standard input: (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(text, *arguments):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = cli.main(["demo", *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


def table(out):
    """The numbers of the printed table."""
    rows = [
        line.strip("│|").split("│" if "│" in line else "|") for line in out.splitlines() if re.match(r"[│|] +\d", line)
    ]
    return [[float(cell) if cell.strip() != "none" else None for cell in row] for row in rows]


def test_toy_data_give_the_article_s_weights(run):
    code, out, err = run(TOY)
    rows = table(out)
    assert (code, err) == (cli.OK, "")
    assert [row[0] for row in rows] == list(range(0, 1001, 100))
    np.testing.assert_allclose(rows[-1][2:4], [-5.16015367, 3.18428912], rtol=1e-5)
    assert "Boundary: x = -w0 / w1 = 1.6205; label 1 is predicted above it." in out
    assert "The classes are separable: any boundary between 1 and 2.5 is as good" in out


def test_every_row_is_the_plain_iteration(run):
    _, out, _ = run(OVERLAPPING, "--iterations", "25", "--every", "10", "--learning-rate", "0.2")
    X, y = np.arange(1.0, 6.0)[:, None], np.array([0, 1, 0, 1, 1])
    rows = table(out)
    assert [row[0] for row in rows] == [0, 10, 20, 25]
    for stop, loss, w0, w1, boundary in rows[1:]:
        other = baselines.vectorised_descent(X, y, learning_rate=0.2, max_iter=int(stop), tol=0.0)
        np.testing.assert_allclose([w1, w0], other.coef, rtol=2e-5)
        np.testing.assert_allclose(loss, other.history["train_loss"][-1], rtol=2e-5)
        np.testing.assert_allclose(boundary, -w0 / w1, rtol=1e-4)
    assert "separable" not in out


def test_a_bouncing_run_is_shown_as_it_is(run):
    """With a rate near the limit the loss rises between rows, though the run as a whole comes down."""
    _, out, _ = run("1,0\n2,1\n3,0\n4,1\n40,1\n", "--iterations", "12", "--every", "1", "--learning-rate", "0.05")
    X, y = np.array([[1.0], [2.0], [3.0], [4.0], [40.0]]), np.array([0, 1, 0, 1, 1])
    for stop, loss, w0, w1, _ in table(out)[1:]:
        other = baselines.vectorised_descent(X, y, learning_rate=0.05, max_iter=int(stop), tol=0.0)
        np.testing.assert_allclose([w1, w0], other.coef, rtol=2e-5)
        np.testing.assert_allclose(loss, other.history["train_loss"][-1], rtol=2e-5)


def test_file_and_standard_input_give_the_same(run, tmp_path):
    path = tmp_path / "lines.csv"
    path.write_bytes(b"\xef\xbb\xbf" + OVERLAPPING.replace("\n", "\r\n").encode())
    assert run("", str(path)) == run(OVERLAPPING) == run(OVERLAPPING, "-")


def test_labels_minus_one_comments_and_blank_lines(run):
    text = "# header\n\n 0.5 , -1  # a comment\n2.5,+1\n1,-1.0\n   \n3,1\n"
    assert run(text) == run(TOY)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("abc,1", "the feature value 'abc' is not a number"),
        ("1,yes", "the label 'yes' is not a number"),
        ("1,2", "the label '2' is neither 0 nor 1"),
        ("1,nan", "the label 'nan' is neither 0 nor 1"),
        ("3", "expected feature_value,label, found 1 field"),
        ("1,2,3", "expected feature_value,label, found 3 fields"),
        (",1", "the feature value '' is not a number"),
        ("inf,1", "the feature value 'inf' is not finite"),
        ("1e300,1", "the feature value '1e300' is beyond"),
        ("\x00,1", "is not a number"),
    ],
)
def test_a_malformed_line_is_named_and_nothing_else_is_lost(run, line, complaint):
    lines = TOY.splitlines()
    code, out, err = run("\n".join([*lines[:2], line, *lines[2:]]))
    assert code == cli.LINES_LEFT_OUT
    assert err.splitlines()[0].startswith(f"line 3: {line!r}: ")
    assert complaint in err
    assert err.splitlines()[-1] == "1 line left out, 4 used"
    assert out == run(TOY)[1]


def test_bytes_that_are_no_text_are_a_malformed_line(run, tmp_path):
    path = tmp_path / "lines.csv"
    path.write_bytes(TOY.encode() + b"\xff\xfe,1\n")
    code, _, err = run("", str(path))
    assert code == cli.LINES_LEFT_OUT
    assert err.startswith("line 5: ")


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "abc\n"])
def test_nothing_to_fit(run, text):
    code, out, err = run(text)
    assert (code, out) == (cli.NOT_FITTED, "")
    assert "no line 'feature_value,label' to fit" in err


def test_one_class_only(run):
    code, _, err = run("1,1\n2,1\n")
    assert code == cli.NOT_FITTED
    assert "all 2 labels are 1" in err


def test_one_value_only_has_no_boundary(run):
    code, out, _ = run("2,1\n2,0\n2,1\n")
    assert code == cli.OK
    assert "No boundary: the feature has one value only, 2" in out


def test_a_feature_that_says_nothing_has_no_boundary(run):
    code, out, _ = run("-1,0\n-1,1\n1,0\n1,1\n")
    assert code == cli.OK
    assert "No boundary: w1 = 0" in out
    assert "boundary" not in out.splitlines()[-1]


def test_classes_that_touch_are_separable(run):
    _, out, _ = run("1,0\n2,0\n2,1\n3,1\n")
    assert "The classes are separable: the boundary 2 is as good" in out


def test_divergence_is_explained(run):
    code, out, err = run("".join(f"{x},{int(x <= 3500)}\n" for x in range(1000, 6001, 500)))
    assert code == cli.DIVERGED
    assert "the iterations diverged at learning rate 0.1" in err
    assert "The values reach 6000" in err
    rate = re.search(r"--learning-rate (\S+)", err)[1]
    assert "Boundary" not in out
    again = "".join(f"{x},{int(x <= 3500)}\n" for x in range(1000, 6001, 500))
    assert run(again, "--learning-rate", rate)[0] == cli.OK


def test_plot_has_data_curve_and_boundary(run):
    out = run(OVERLAPPING)[1].splitlines()
    assert out[-1].strip() == "● label 0, ■ label 1, · p(y = 1), ┊ boundary"
    top = next(line for line in out if line.startswith(" 1.0"))
    bottom = next(line for line in out if line.startswith(" 0.0"))
    assert (top.count("■"), bottom.count("●")) == (3, 2)
    columns = {line.index("┊") for line in out[out.index(top) :] if "┊" in line and "label" not in line}
    assert len(columns) == 1


def test_plot_in_plain_letters():
    x, y = np.array([0.0, 1.0]), np.array([0, 1])
    drawn = cli._text_plot(x, y, -1.0, 2.0, plain=True)
    assert drawn.isascii()
    assert "o label 0, # label 1, * p(y = 1), | boundary" in drawn


def test_png(run, tmp_path):
    path = tmp_path / "plot.png"
    code, out, _ = run(OVERLAPPING, "--png", str(path))
    assert code == cli.OK
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"Plot: {path}" in out
    assert "label 0," not in out


def test_png_into_no_folder_is_refused_before_anything_is_read(run, tmp_path):
    code, out, err = run(OVERLAPPING, "--png", str(tmp_path / "no" / "plot.png"))
    assert (code, out) == (cli.NOT_FITTED, "")
    assert "there is no folder" in err


def test_png_onto_a_folder(run, tmp_path):
    code, _, err = run(OVERLAPPING, "--png", str(tmp_path))
    assert code == cli.NOT_FITTED
    assert f"cannot write {tmp_path}: Is a directory" in err


def test_png_without_matplotlib_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run(OVERLAPPING, "--png", "plot.png")
    assert code == cli.NOT_FITTED
    assert "pip install 'fastlogreg[plots]'" in err


@pytest.mark.parametrize(("name", "words"), [("missing.csv", "No such file"), ("", "Is a directory")])
def test_unreadable_file(run, tmp_path, name, words):
    code, _, err = run("", str(tmp_path / name))
    assert code == cli.NOT_FITTED
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["demo", "--learning-rate", "0"], "must be a positive number, not '0'"),
        (["demo", "--learning-rate", "fast"], "must be a positive number, not 'fast'"),
        (["demo", "--iterations", "0"], "must be a whole number, at least 1, not '0'"),
        (["demo", "--every", "1.5"], "must be a whole number, at least 1, not '1.5'"),
    ],
)
def test_bad_options(arguments, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == cli.NOT_FITTED
    assert words in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"fastlogreg {fastlogreg.__version__}\n"


def test_interruption_is_one_line(run, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_read", interrupt)
    assert run(TOY) == (cli.INTERRUPTED, "", "fastlogreg: interrupted\n")


def test_a_reader_that_leaves_early_is_no_error():
    command = [sys.executable, "-m", "fastlogreg.cli", "demo", "--every", "1"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    process.stdin.write(TOY)
    process.stdin.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=120), err) == (cli.OK, "")


# --- info and warmup --------------------------------------------------------------------------------------------


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command: (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        code = cli.main(list(arguments))
        return code, *capsys.readouterr()

    return call


def test_info_for_machines(call, monkeypatch):
    monkeypatch.setenv("FASTLOGREG_NUM_THREADS", "1")
    code, out, err = call("info", "--json")
    found = json.loads(out)
    assert (code, err) == (cli.OK, "")
    assert found["versions"]["fastlogreg"] == fastlogreg.__version__
    assert {name: found["versions"][name] for name in ("numpy", "numba", "scikit-learn")} == {
        name: metadata.version(name) for name in ("numpy", "numba", "scikit-learn")
    }
    threads = found["threads"]
    assert threads["layer"] in ("omp", "tbb", "workqueue")
    assert (threads["fits use"], threads["because of"]) == (1, "FASTLOGREG_NUM_THREADS")
    assert threads["affinity"] == len(os.sched_getaffinity(0))
    kernels = found["compiled kernels"]
    assert Path(kernels["folder"]).is_dir()
    assert len(list(Path(kernels["folder"]).glob("*.nbi"))) >= kernels["kernels"]
    assert any("openblas" in words for words in found["BLAS"].values())
    assert set(found["processor"]) == {"name", "vectors"}


def test_info_for_people(call, monkeypatch):
    monkeypatch.delenv("FASTLOGREG_NUM_THREADS", raising=False)
    code, out, err = call("info")
    assert (code, err) == (cli.OK, "")
    for words in ("versions", "layer", "fits use", "because of", "folder", "kept", "BLAS", "processor", "vectors"):
        assert words in out
    assert metadata.version("llvmlite") in out


@pytest.mark.parametrize(
    ("cores", "affinity", "counted", "most", "why"),
    [
        (8, 8, 8, None, "all cores of the machine"),
        (8, 4, 4, None, "affinity"),
        (8, 8, 2, None, "the control group's share of time"),
        (8, 8, 2, "2", "LOKY_MAX_CPU_COUNT"),
    ],
)
def test_info_says_what_limits_the_threads(call, monkeypatch, cores, affinity, counted, most, why):
    monkeypatch.delenv("FASTLOGREG_NUM_THREADS", raising=False)
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    if most:
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", most)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)))
    monkeypatch.setattr(threads, "_cores", lambda affinity, at_most: counted)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)
    found = json.loads(call("info", "--json")[1])["threads"]
    assert (found["fits use"], found["because of"]) == (counted, why)


def test_info_names_a_limit_that_is_no_number(call, monkeypatch):
    monkeypatch.setenv("FASTLOGREG_NUM_THREADS", "many")
    code, out, err = call("info")
    assert (code, out) == (cli.NOT_FITTED, "")
    assert err.startswith("fastlogreg: FASTLOGREG_NUM_THREADS must be a whole number")


def test_info_without_a_folder_or_a_compiler(call, monkeypatch):
    monkeypatch.setattr("fastlogreg.kernels.jit.cache_folder", lambda: None)
    assert json.loads(call("info", "--json")[1])["compiled kernels"]["kept"] == "no: no folder can be written"
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert json.loads(call("info", "--json")[1])["compiled kernels"]["kept"] == "no: NUMBA_DISABLE_JIT is set"


@pytest.mark.parametrize("words", [["tensor"], ["dense", "int64"], ["loat64"]])
def test_warmup_of_nothing_names_what_there_is(call, words):
    code, _, err = call("warmup", *[part for word in words for part in ("--only", word)])
    assert code == cli.NOT_FITTED
    assert f"--only {' '.join(words)!r} leaves nothing of two classes, dense C float64; " in err


def test_warmup_without_a_compiler(call, monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    code, _, err = call("warmup")
    assert code == cli.NOT_FITTED
    assert "NUMBA_DISABLE_JIT is set" in err
