"""Machine code on disk: taken again while no source has changed, made again as soon as any has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import accelsim
from accelsim.kernels.compile import _CodeFiles

KERNEL = """
import json
import numpy as np
from accelsim.kernels import activation
one, two = np.ones((1, 1), np.float32), np.full((1, 1), 2, np.float32)
value, stats = float(activation.add(one, two)[0, 0]), activation._add.stats
"""
PLUGIN = """
import json, sys
import numpy as np
from mykernel import weigh
values = np.array([2.0], sys.argv[1] if len(sys.argv) > 1 else "float32")
value, stats = float(weigh(values)), weigh.stats
"""
BY_PATH = """
import importlib.util, sys
found = importlib.util.spec_from_file_location("by_path", sys.path[2] + "/mykernel.py")
sys.modules["mykernel"] = sys.modules["by_path"] = importlib.util.module_from_spec(found)
found.loader.exec_module(sys.modules["by_path"])
"""
REPORT = """
hits, misses = sum(stats.cache_hits.values()), sum(stats.cache_misses.values())
print(json.dumps([value, hits, misses, stats.cache_path]))
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of the package, beside it a plug-in that calls helpers of the package and of a file of its own."""
    shutil.copytree(
        Path(accelsim.__file__).parent, tmp_path / "accelsim", ignore=shutil.ignore_patterns("__pycache__", "_library")
    )
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "mykernel.py").write_text(
        "from accelsim.kernels.compile import compiled\n"
        "from accelsim.kernels.number import plus\n"
        "from myhelper import doubled\n\n\n"
        "@compiled()\n"
        "def weigh(values):\n"
        "    return plus(doubled(values[0]), values[0], False, None)\n"
    )
    (plugin / "myhelper.py").write_text("import numba\n\n\n@numba.njit\ndef doubled(x):\n    return 2 * x\n")
    (tmp_path / "home").mkdir()
    return tmp_path


def start(tree, code, *arguments, **variables):
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    return subprocess.Popen(
        [sys.executable, "-c", code + REPORT, *arguments],
        env={
            **kept,
            "HOME": str(tree / "home"),
            "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'plugin'}",
            "PYTHONDONTWRITEBYTECODE": "1",  # an edit within the second would be hidden by a .pyc
            **variables,
        },
        cwd=tree,
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(process):
    """Return value, cache hits, cache misses and the cache's folder as the process printed them."""
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(out)


def run(tree, code, *arguments, **variables):
    return outcome(start(tree, code, *arguments, **variables))


def change(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def make_plus_minus(tree):
    number = tree / "accelsim" / "kernels" / "number.py"
    change(number, "return in_number(a + b, half)", "return in_number(a - b, half)")


def test_a_changed_helper_of_another_file_gives_new_bits(tree):
    caller = tree / "accelsim" / "kernels" / "activation.py"
    before = caller.stat()
    assert run(tree, KERNEL)[:3] == [3.0, 0, 1]
    assert run(tree, KERNEL)[:3] == [3.0, 1, 0], "an unchanged tree compiles nothing again"
    change(
        tree / "accelsim" / "kernels" / "number.py", "return in_number(a + b, half)", "return in_number(a - b, half)"
    )
    assert run(tree, KERNEL)[:3] == [-1.0, 0, 1]
    assert run(tree, KERNEL)[:3] == [-1.0, 1, 0]
    after = caller.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


@pytest.mark.parametrize("where", ["beside the source", "in the user's cache", "where the user says", "nowhere"])
def test_a_plugins_kernel_wherever_its_code_is_kept(tree, where):
    variables = {}
    folder = tree / "plugin" / "__pycache__"
    if where != "beside the source":
        folder.touch()  # a file in place of the folder: nothing can be written there, whoever runs this test
        folder = tree / "home"
    if where == "where the user says":
        folder = tree / "cache"
        variables["NUMBA_CACHE_DIR"] = str(folder)
    if where == "nowhere":
        (tree / "home").rmdir()
        (tree / "home").touch()
    kept = where != "nowhere"

    value, hits, misses, path = run(tree, PLUGIN, **variables)
    assert (value, hits, misses) == (6.0, 0, 1)
    assert (path is not None and Path(path).is_relative_to(folder)) == kept
    assert run(tree, PLUGIN, **variables)[:3] == [6.0, int(kept), int(not kept)]


def test_a_plugins_kernel_and_its_helpers(tree):
    assert run(tree, PLUGIN)[:3] == [6.0, 0, 1]
    change(tree / "plugin" / "myhelper.py", "2 * x", "3 * x")
    assert run(tree, PLUGIN)[:3] == [8.0, 0, 1]
    change(
        tree / "accelsim" / "kernels" / "number.py", "return in_number(a + b, half)", "return in_number(a - b, half)"
    )
    assert run(tree, PLUGIN)[:3] == [4.0, 0, 1]


def test_a_plugins_file_under_another_name(tree):
    """As a module that is installed, then by its path, as --plugin loads it: code knows its module by name."""
    assert run(tree, PLUGIN)[:3] == [6.0, 0, 1]
    assert run(tree, BY_PATH + PLUGIN)[:3] == [6.0, 0, 1]
    assert run(tree, BY_PATH + PLUGIN)[:3] == [6.0, 1, 0]


def test_processes_that_start_together(tree):
    kinds = ["float32", "float64", "float32"]
    assert [outcome(p)[0] for p in [start(tree, PLUGIN, kind) for kind in kinds]] == [6.0] * 3
    for kind in ("float32", "float64"):
        assert run(tree, PLUGIN, kind)[:3] == [6.0, 1, 0]


def test_no_file_mixes_two_sources_or_signatures(tmp_path):
    old, new = (_CodeFiles(tmp_path, "kernel", stamp) for stamp in ("old", "new"))
    one, other = (("float32",), "cpu", "bytecode"), (("float64",), "cpu", "bytecode")
    old.save(one, "old code")
    assert (old.load(one), new.load(one), old.load(other)) == ("old code", None, None)
    new.save(one, "new code")
    new.save(other, "code of the other")
    assert (old.load(one), new.load(one), new.load(other)) == (None, "new code", "code of the other")
    assert new.load((("float32",), "cpu", "other bytecode")) is None
    assert len(list(tmp_path.iterdir())) == 2, "what is stale is replaced"
    new.flush()
    assert new.load(one) is None and not list(tmp_path.iterdir())


def test_damaged_code_is_compiled_anew(tmp_path):
    files, key = _CodeFiles(tmp_path, "kernel", "stamp"), (("float32",), "cpu", "bytecode")
    files.save(key, "code")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    assert files.load(key) == "code"
    for damaged in (b"", whole[:20], whole[:-1], whole + b"x", bytes([whole[0] ^ 1]) + whole[1:], whole[:-3] + b"abc"):
        file.write_bytes(damaged)
        assert files.load(key) is None
    file.unlink()
    file.mkdir()
    assert files.load(key) is None, "not a file"


def test_code_that_cannot_be_written_is_told_to_nobody(tree):
    """The folder is taken away between the choice of it and the first compilation."""
    taken = KERNEL.replace("\none, two", "\nactivation._add._cache._impl.locator._cache_path = '/proc/no'\none, two")
    assert run(tree, taken)[:3] == [3.0, 0, 1]
