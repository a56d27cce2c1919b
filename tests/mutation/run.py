"""Break one line at a time and list what no test notices: ``python tests/mutation/run.py [ROOM ...] [--list]``.

Every mutation of `mutations.py` is made in a copy of the tree, the tests named beside it run there until the first
failure, and the line is put back. A mutation that survives without a reason is an error (exit 1). No part of the suite
and of CI: it takes about a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("accelsim", "arch", "workloads", "tests", "reports")
FILES = ("pyproject.toml", "README.md")
LONGEST_S = 600
"""A run of tests that takes longer has noticed: a broken line may make them wait for ever."""


def copied(into: Path) -> Path:
    """Return a copy of the tree without what version control and caches add."""
    tree = into / "tree"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in FILES:
        shutil.copy(ROOT / name, tree / name)
    return tree


def tested(tree: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Run tests in a copy and return whether all passed, and the last line of what they told."""
    places = [tree, tree / "tests", tree / "tests/property", tree / "tests/golden"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(tree.parent / "numba"),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"longer than {LONGEST_S} s"
    told = (done.stdout.strip() or done.stderr.strip()).splitlines()
    if done.returncode not in (0, 1):
        # Tests that cannot be collected have noticed too, but a pytest that found none has not looked.
        return done.returncode == 5, told[-1] if told else ""
    return done.returncode == 0, told[-1] if told else ""


def check(mutations: Sequence[Mutation]) -> list[str]:
    """Return what is wrong with the table: lines that are not there exactly once, tests that are not there."""
    wrong = []
    for each in mutations:
        found = (ROOT / each.file).read_text().count(each.old)
        if found != 1:
            wrong.append(f"{each.file}: found {found} times: {each.old!r}")
        wrong += [f"{each.file}: no tests {test}" for test in each.tests if not (ROOT / test).exists()]
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    rooms = list(dict.fromkeys(each.room for each in MUTATIONS))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rooms", nargs="*", help=f"which to go through, all by default: {', '.join(rooms)}")
    parser.add_argument("--list", action="store_true", help="list the mutations and run nothing")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.rooms) - set(rooms)):
        parser.error(f"no room {', '.join(unknown)}; there are {', '.join(rooms)}")
    chosen = [each for each in MUTATIONS if not given.rooms or each.room in given.rooms]
    if wrong := check(chosen):
        print("\n".join(wrong))
        return 2
    if given.list:
        for each in chosen:
            print(f"{each.room}: {each.file}: {each.old!r} -> {each.new!r}")
        return 0

    began, lived = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = copied(Path(folder))
        for tests in dict.fromkeys(each.tests for each in chosen):
            passed, told = tested(tree, tests)
            if not passed:
                print(f"{' '.join(tests)}: fail as the code is: {told}")
                return 2
        for number, each in enumerate(chosen, 1):
            path, start = tree / each.file, time.monotonic()
            text = path.read_text()
            path.write_text(text.replace(each.old, each.new))
            survived, told = tested(tree, each.tests)
            path.write_text(text)
            state = "SURVIVED" if survived else "killed"
            print(f"{number:3}/{len(chosen)} {state:8} {time.monotonic() - start:5.1f} s  {each.file}: {each.old!r} -> "
                  f"{each.new!r}; {told}", flush=True)  # fmt: skip
            if survived:
                lived.append(each)
    print(f"{len(chosen) - len(lived)} of {len(chosen)} killed in {time.monotonic() - began:.0f} s")
    for each in lived:
        print(f"survived: {each.file}: {each.old!r} -> {each.new!r}: {each.reason or 'NO REASON'}")
    return int(any(not each.reason for each in lived))


if __name__ == "__main__":
    sys.exit(main())
