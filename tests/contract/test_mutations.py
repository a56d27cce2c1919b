"""The mutation script's table: every line that it breaks is there exactly once, and so are the tests named for it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "mutation"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_table_fits_the_source() -> None:
    mutations = load("mutations").MUTATIONS
    assert load("run").check(mutations) == []
    assert len(mutations) >= 60
    assert len({(each.file, each.old, each.new) for each in mutations}) == len(mutations)
    assert all(each.old != each.new and each.tests for each in mutations)


def test_the_script_lists_and_refuses() -> None:
    script = [sys.executable, str(FOLDER / "run.py")]
    listed = subprocess.run([*script, "record", "--list"], capture_output=True, text=True, check=True).stdout
    assert all(line.startswith("record: ") for line in listed.splitlines())
    refused = subprocess.run([*script, "cellar"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "no room cellar; there are record, " in refused.stderr
    assert subprocess.run([*script, "--share", "4/3"], capture_output=True, check=False).returncode == 2


def test_shares_are_the_whole_and_what_is_known_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutations, run = load("mutations").MUTATIONS, load("run")
    parts = [run.share_of(mutations, f"{k}/3") for k in (1, 2, 3)]
    assert sorted(str(each) for part in parts for each in part) == sorted(map(str, mutations))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    log = tmp_path / "found.jsonl"
    log.write_text("".join(f'{{"fingerprint": "{run.fingerprint(each)}", "state": "killed"}}\n' for each in parts[1]))
    assert run.main(["--share", "2/3", "--resume", str(log)]) == 0
    assert f"{len(parts[1])} of {len(parts[1])} killed, 0 of them tried now" in capsys.readouterr().out
