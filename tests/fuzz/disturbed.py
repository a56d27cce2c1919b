"""Commands of every kind that write something, and what must hold of each when the operating system fails it."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from faults import Fault, Machine, Outcome

ROOT = Path(__file__).resolve().parents[2]
CODES = {0, 1, 2, 130, 141, 143}
_TEMPORARY = re.compile(r"^\.|\.part$")
_OF_SQLITE = ("-wal", "-shm", "-journal")
CHIP = str(ROOT / "arch" / "rsnn28nm.yaml")
QUICK = (CHIP, "-w", str(ROOT / "workloads" / "rsnn_paper_activity"), "-s", "workload.inputs.frames=20")


@dataclass(frozen=True)
class Command:
    """A command line of accelsim, which may be done once more after a failure.

    ``before``: command lines that make what it needs. ``writes``: the folder that it writes to.
    """

    name: str
    argv: Sequence[str]
    before: Sequence[Sequence[str]] = ()
    writes: str = "out"


def _sweep(*more: str) -> tuple[str, ...]:
    axes = ("-s", "clocks.main.frequency=400 MHz,500 MHz", "-s", "technology.voltage=0.8 V,0.9 V")
    return ("sweep", *QUICK, *axes, "--out", "out", *more)


_TABLES = ("--export", "csv", "--table", "out/table.csv")
_TRACES = ("--trace", "perfetto", "--trace", "vcd", "--trace-window", "0:1")
COMMANDS = [
    Command("run", ("run", *QUICK, "--json", "--out", "out", *_TRACES)),
    Command("table", ("run", *QUICK)),
    Command("validate", ("validate", CHIP)),
    Command("schedule", ("schedule", *QUICK, "--placement", "out/placement.yaml")),
    Command("sweep", _sweep(*_TABLES, "--resume")),
    Command("parquet", _sweep("--resume", "--export", "parquet"), before=[_sweep()]),
    Command("jobs", _sweep("--jobs", "2", "--resume")),
    Command("compare", ("compare", *QUICK[:1], *QUICK, "--out", "out/page.md", "--table", "out/table.csv")),
    Command("report", ("report", "was", "--format", "html,svg,pdf,png", "--out", "out"),
            before=[("run", *QUICK, "--out", "was")]),
    Command("report_sweep", ("report", "was", "--format", "html,svg", "--out", "out"),
            before=[("sweep", *QUICK, "-s", "technology.voltage=0.8 V,0.9 V", "--out", "was")]),
]  # fmt: skip


WARM = [("validate", CHIP), ("run", *QUICK), ("run", *QUICK, "--json", "--out", "was")]


def contents(folder: Path) -> dict[str, object]:
    """Return what lies in a folder, by path: bytes of a file, rows of a store; SQLite's own helpers are left out."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name.endswith(_OF_SQLITE):
            continue
        if path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as store:
                tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                found[name] = {
                    table: store.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables
                }
        else:
            found[name] = path.read_bytes()
    return found


@dataclass(frozen=True)
class Undisturbed:
    """A command in an empty folder: what came out, and the system calls that it made."""

    command: Command
    outcome: Outcome
    wrote: Mapping[str, object]
    prepared: Path


def undisturbed(machine: Machine, command: Command, folder: Path) -> Undisturbed:
    """Prepare a command's folder, keep a copy of it, and run the command."""
    prepared, work = folder / "prepared", folder / "work"
    prepared.mkdir(parents=True)
    for argv in command.before:
        done = machine.run(argv, prepared)
        assert done.code == 0, done.err
    shutil.copytree(prepared, work)
    outcome = machine.run(command.argv, work)
    assert outcome.code == 0, outcome.err
    return Undisturbed(command, outcome, contents(work / command.writes), prepared)


def wrong(machine: Machine, what: Undisturbed, fault: Fault, work: Path) -> list[str]:
    """Run a command with a fault in it, and once more without; return what is wrong of it, nothing if all holds."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(what.prepared, work)
    command, call = what.command, what.outcome.calls[fault.at]
    outcome = machine.run(command.argv, work, fault)
    found = []
    if not outcome.hit:
        found.append("the fault did not happen")
    if outcome.left:
        found.append("processes were left, or it hung")
    if "Traceback" in outcome.out + outcome.err or "Exception ignored" in outcome.err:
        found.append(f"a traceback: {outcome.err.splitlines()[-1:]}")
    allowed = {"SIGINT": {130}, "SIGTERM": {143}, "SIGKILL": {-9}, "": {0, 1, 2}}[fault.signal]
    if fault.error == "EPIPE":
        allowed = {141}
    if outcome.code not in allowed:
        found.append(f"exit code {outcome.code}")
    if outcome.code in (1, 2) and call.path != "stderr" and not outcome.err.strip():
        found.append("no message")
    if outcome.code in (1, 2) and "None" in outcome.err:
        found.append(f"a message without a reason: {outcome.err.splitlines()[-1]}")
    if outcome.code in (1, 2) and call.path not in ("stdout", "stderr") and _stem(call.path) not in outcome.err:
        found.append(f"a message without the file: {outcome.err.splitlines()[-1:]}")
    there = contents(work / command.writes)
    told = " failed" in outcome.out  # a point of a sweep, which is run again
    if outcome.code == 0 and there != what.wrote and not told:
        found.append(f"exit code 0, but the files differ: {_differ(there, what.wrote)}")
    if fault.signal != "SIGKILL" and (left := [name for name in there if _TEMPORARY.search(Path(name).name)]):
        found.append(f"left behind: {left}")
    half = [
        name
        for name, content in there.items()
        if isinstance(content, bytes) and _named(name) and content != what.wrote.get(name)
    ]
    if half:
        found.append(f"half-written: {half}")
    if outcome.code != 0 and {k: v for k, v in there.items() if _named(k)} == contents(what.prepared / command.writes):
        return found  # nothing is there that could disturb it
    again = machine.run(command.argv, work)
    if again.code != 0:
        found.append(f"done once more: exit code {again.code}: {again.err.strip()[-200:]}")
    else:
        after = {name: content for name, content in contents(work / command.writes).items() if _named(name)}
        if after != what.wrote:
            found.append(f"done once more, the files differ: {_differ(after, what.wrote)}")
        if again.out != what.outcome.out:
            found.append("done once more, it prints something else")
    return found


def _stem(path: str) -> str:
    """Return what a message about a file names at least; of one with a temporary name what both begin with."""
    name = Path(path).name
    return name[1:].partition("-")[0] if name.startswith(".") else name.partition(".")[0]


def _named(name: str) -> bool:
    return not _TEMPORARY.search(Path(name).name)


def _differ(ours: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
