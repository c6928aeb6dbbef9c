"""What a user gets from the package: names, a silent import, the contents of the wheel."""

import ast
import email
import importlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import hatchling.build
import pytest

import fastlogreg

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = [name for name in fastlogreg.__all__ if name != "__version__"]


def run_python(code, cwd):
    """A fresh interpreter in which every warning is an error; returns what it wrote."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_import_is_silent(tmp_path):
    assert run_python("import fastlogreg", tmp_path) == ""


def test_import_loads_no_heavy_module_and_starts_no_thread(tmp_path):
    facts = json.loads(
        run_python(
            "import sys; before = set(sys.modules)\n"
            "import fastlogreg\n"
            "import json, os, threading\n"
            "tasks = '/proc/self/task'\n"
            "print(json.dumps({\n"
            "    'ours': sorted(m for m in sys.modules if m.startswith('fastlogreg')),\n"
            "    'all': sorted(sys.modules.keys() - before),\n"
            "    'python threads': threading.active_count(),\n"
            "    'system threads': len(os.listdir(tasks)) if os.path.isdir(tasks) else 1,\n"
            "}))",
            tmp_path,
        )
    )
    assert facts["ours"] == ["fastlogreg"]
    heavy = {"llvmlite", "matplotlib", "numba", "numpy", "pandas", "rich", "scipy", "sklearn"}
    assert heavy.isdisjoint(facts["all"])
    assert facts["python threads"] == facts["system threads"] == 1


def test_dir_lists_the_public_names_before_their_first_use(tmp_path):
    listed = json.loads(
        run_python("import fastlogreg, json; print(json.dumps(dir(fastlogreg)))", tmp_path)
    )
    assert listed == sorted(fastlogreg.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_its_home_s_own(name):
    value = getattr(fastlogreg, name)
    home = importlib.import_module(fastlogreg._HOME[name])
    assert value is (home if home.__name__ == f"fastlogreg.{name}" else getattr(home, name))


def test_star_import_brings_exactly_the_public_names():
    namespace = {}
    exec("from fastlogreg import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(fastlogreg.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'fastlogreg' has no attribute 'LogitRegression'"):
        fastlogreg.LogitRegression  # noqa: B018 - the access is the test


def test_type_checkers_see_the_same_names():
    """The names stand twice in __init__.py, once lazily and once for type checkers."""
    tree = ast.parse(Path(fastlogreg.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {}
    for node in block.body:
        (alias,) = node.names
        assert alias.asname == alias.name  # the form that exports a name
        own_module = node.module == "fastlogreg"
        seen[alias.name] = f"fastlogreg.{alias.name}" if own_module else node.module
    assert seen == fastlogreg._HOME


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel as a build front end makes it, by the backend's own hook."""
    target = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return target / hatchling.build.build_wheel(str(target))


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return email.message_from_string(archive.read(name).decode())


def test_wheel_is_pure_python(wheel):
    assert wheel.name == f"fastlogreg-{fastlogreg.__version__}-py3-none-any.whl"


def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
        licences = [n for n in archive.namelist() if n.endswith("/licenses/LICENSE")]
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fastlogreg").rglob("*.py")}
    assert names == sources | {"fastlogreg/py.typed"}
    assert len(licences) == 1


def test_wheel_metadata(wheel, metadata):
    assert metadata["Version"] == fastlogreg.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        assert "fastlogreg = fastlogreg.cli:main" in archive.read(name).decode()


def test_requirements_are_lower_bounds_and_the_oldest_constraints_pin_them(metadata):
    plain = [r for r in metadata.get_all("Requires-Dist") if ";" not in r]
    bounds = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", r).groups() for r in plain)
    assert bounds.keys() == {"numba", "numpy", "rich", "scikit-learn", "scipy"}
    pins = (ROOT / "constraints" / "oldest.txt").read_text(encoding="utf-8")
    for name, version in bounds.items():
        lowest = min(re.findall(rf"^{name} == ([\d.]+)", pins, flags=re.MULTILINE), key=release)
        assert release(lowest) == release(version), name


def release(version):
    """Version numbers as tuples, without the trailing zeros that make no difference."""
    numbers = [int(part) for part in version.split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
