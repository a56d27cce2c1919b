"""Whatever the operating system does to a command, it ends in a message or does its work, and leaves nothing half.

A few faults of a few commands always; ``-m fuzz --count N --seed S`` takes up to N, shared among all commands.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from disturbed import COMMANDS, QUICK, ROOT, WARM, Command, contents, undisturbed, wrong
from faults import SUPPORTED, Call, Fault, Machine, faults_of

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="seccomp filters are read for Linux on x86-64 alone")

FEW = {"validate": 4, "schedule": 12, "run": 12, "sweep": 6}
"""How many faults of which commands are tried always."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Iterator[Machine]:
    cache = tmp_path_factory.mktemp("cache")
    # Forks cannot go on with the threads of GNU OpenMP.
    env = {"NUMBA_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue", "ACCELSIM_CACHE": str(cache)}
    with Machine([ROOT / "arch", ROOT / "workloads", cache], env, WARM) as one:
        yield one


def _various(faults: Sequence[Fault], calls: Sequence[Call], count: int, seed: int) -> list[Fault]:
    """Return some faults, drawn with a seed, of as many kinds of calls and errors as there are."""
    rng = random.Random(seed)
    kinds: dict[tuple[object, ...], list[Fault]] = {}
    for fault in faults:
        kind = (calls[fault.at].name, fault.error, fault.signal, fault.short, fault.lasting)
        kinds.setdefault(kind, []).append(fault)
    rows = [rng.sample(row, len(row)) for row in kinds.values()]
    rng.shuffle(rows)
    mixed = [row[place] for place in range(max(map(len, rows))) for row in rows if place < len(row)]
    return mixed[:count]


def _try(machine: Machine, command: Command, count: int, seed: int, folder: Path) -> None:
    what = undisturbed(machine, command, folder)
    calls = what.outcome.calls
    told = []
    for fault in _various(list(faults_of(calls)), calls, count, seed):
        if found := wrong(machine, what, fault, folder / "disturbed"):
            told.append(f"{calls[fault.at]} {fault}: " + "; ".join(found))
    assert not told, f"{len(told)} faults\n" + "\n".join(told)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.name in FEW], ids=lambda one: one.name)
def test_a_few_faults(machine, command, tmp_path):
    _try(machine, command, FEW[command.name], 0, tmp_path)


@pytest.mark.fuzz
@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_many_faults(machine, command, tmp_path, pytestconfig):
    count, seed = pytestconfig.getoption("--count"), pytestconfig.getoption("--seed")
    _try(machine, command, count // len(COMMANDS), seed, tmp_path)


def test_calls_of_other_languages_are_seen(machine, tmp_path):
    """Those of SQLite, not only those of Python; and what is disturbed is the command, not the test."""
    sweep = ("sweep", *QUICK, "-s", "technology.voltage=0.8 V", "--out", "out")
    done = machine.run(sweep, tmp_path)
    assert done.code == 0, done.err
    assert {"pwrite", "fdatasync", "fcntl"} <= {call.name for call in done.calls}
    at = next(index for index, call in enumerate(done.calls) if call.name == "pwrite")
    shutil.rmtree(tmp_path / "out")
    full = machine.run(sweep, tmp_path, Fault(at, error="ENOSPC", lasting=True))
    assert full.hit and full.code in (1, 2) and "results.sqlite" in full.err


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("argv", [("--help",), ("validate", QUICK[0]), ("run", *QUICK), ("run", "nothing")], ids=str)
def test_nobody_reads_what_is_printed(machine, stream, argv, tmp_path):
    done = machine.run(argv, tmp_path, closed=stream)
    printed = any(call.path == stream for call in done.calls)
    assert done.code == (2 if "nothing" in argv else 141 if printed else 0)
    assert "Traceback" not in done.out + done.err and "Exception ignored" not in done.err


@pytest.mark.parametrize("to", [">/dev/full", ">&-", "2>/dev/full", "2>&-"])
def test_standard_streams_that_are_full_or_closed(to, tmp_path):
    command = f'"{sys.executable}" -m accelsim validate "{QUICK[0]}" {to}'
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if to == ">/dev/full":
        assert (done.returncode, done.stderr) == (
            1, "error: cannot write to standard output: No space left on device\n"
        )  # fmt: skip
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_two_writers_at_once(tmp_path):
    """Two runs into one folder leave a whole record; of two sweeps both go on, or one says that the other has begun."""
    accelsim = [sys.executable, "-m", "accelsim"]
    voltages = ("-s", "technology.voltage=0.8 V,0.9 V")
    for argv in (("run", *QUICK, "--json"), ("sweep", *QUICK, *voltages, "--resume")):
        alone, both = tmp_path / argv[0] / "alone", tmp_path / argv[0] / "both"
        for folder, count in ((alone, 1), (both, 2)):
            folder.mkdir(parents=True)
            pipe = subprocess.PIPE
            writers = [
                subprocess.Popen([*accelsim, *argv, "--out", "out"], cwd=folder, stdout=pipe, stderr=pipe)
                for _ in range(count)
            ]
            told = [writer.communicate()[1].decode() for writer in writers]
            codes = [writer.returncode for writer in writers]
            assert min(codes) == 0, told
            assert all("holds results already" in text for text, code in zip(told, codes, strict=True) if code)
        assert contents(both / "out") == contents(alone / "out")
