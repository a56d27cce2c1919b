"""Break one line at a time and list what no test notices: ``python tests/mutation/run.py [ROOM ...] [--list]``.

Every mutation of `mutations.py` is made in a copy of the tree, the tests named beside it run there until the first
failure, and the line is put back. A mutation that survives without a reason is an error (exit 1). No part of the suite
and of CI: the whole takes hours on one core. So it may go in pieces: ``--resume FILE`` writes what was found to a file
and leaves out what stands there of the same mutation, source and tests; ``--share 2/3`` takes the second third.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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


def fingerprint(mutation: Mutation) -> str:
    """Return a digest of a mutation, of the file that it breaks and of its tests, which its outcome follows from."""
    files = [mutation.file, *(path for test in mutation.tests for path in _files_of(test))]
    digest = hashlib.sha256(f"{mutation.old}\0{mutation.new}\0{mutation.tests}".encode())
    for file in files:
        digest.update((ROOT / file).read_bytes())
    return digest.hexdigest()[:16]


def _files_of(test: str) -> list[Path]:
    path = ROOT / test
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def known(path: Path | None) -> dict[str, str]:
    """Return what a file of earlier runs says, by fingerprint: ``survived`` or ``killed``."""
    if path is None or not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {row["fingerprint"]: row["state"] for row in rows}


def share_of(mutations: Sequence[Mutation], share: str) -> list[Mutation]:
    """Return one of several equal parts, ``2/3`` for the second third; raises ValueError for what is none."""
    place, _, parts = share.partition("/")
    if not 1 <= int(place) <= int(parts):
        raise ValueError(f"no share {share}")
    return list(mutations[int(place) - 1 :: int(parts)])


def main(arguments: Sequence[str] | None = None) -> int:
    rooms = list(dict.fromkeys(each.room for each in MUTATIONS))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rooms", nargs="*", help=f"which to go through, all by default: {', '.join(rooms)}")
    parser.add_argument("--list", action="store_true", help="list the mutations and run nothing")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="what earlier runs found, and this one finds")
    parser.add_argument("--share", default="1/1", metavar="K/N", help="take the k-th of n equal parts")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.rooms) - set(rooms)):
        parser.error(f"no room {', '.join(unknown)}; there are {', '.join(rooms)}")
    try:
        chosen = share_of([each for each in MUTATIONS if not given.rooms or each.room in given.rooms], given.share)
    except ValueError:
        parser.error(f"--share: expected for example 2/3, found {given.share}")
    if wrong := check(chosen):
        print("\n".join(wrong))
        return 2
    if given.list:
        for each in chosen:
            print(f"{each.room}: {each.file}: {each.old!r} -> {each.new!r}")
        return 0

    began, found = time.monotonic(), known(given.resume)
    waiting = [each for each in chosen if fingerprint(each) not in found]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = copied(Path(folder))
        for tests in dict.fromkeys(each.tests for each in waiting):
            passed, told = tested(tree, tests)
            if not passed:
                print(f"{' '.join(tests)}: fail as the code is: {told}")
                return 2
        for number, each in enumerate(waiting, 1):
            path, start = tree / each.file, time.monotonic()
            text = path.read_text()
            path.write_text(text.replace(each.old, each.new))
            survived, told = tested(tree, each.tests)
            path.write_text(text)
            state = found[fingerprint(each)] = "survived" if survived else "killed"
            took = f"{number:3}/{len(waiting)} {state:8} {time.monotonic() - start:5.1f} s"
            print(f"{took}  {each.file}: {each.old!r} -> {each.new!r}; {told}", flush=True)
            if given.resume is not None:
                with given.resume.open("a", encoding="utf-8") as log:
                    log.write(json.dumps({"fingerprint": fingerprint(each), "state": state, "file": each.file}) + "\n")
    lived = [each for each in chosen if found[fingerprint(each)] == "survived"]
    print(f"{len(chosen) - len(lived)} of {len(chosen)} killed, {len(waiting)} of them tried now, "
          f"in {time.monotonic() - began:.0f} s")  # fmt: skip
    for each in lived:
        print(f"survived: {each.file}: {each.old!r} -> {each.new!r}: {each.reason or 'NO REASON'}")
    return int(any(not each.reason for each in lived))


if __name__ == "__main__":
    sys.exit(main())
