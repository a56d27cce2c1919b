"""What a run takes is estimated before it begins, said where it is much, and refused where it is more than it may."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from accelsim import cli, limits
from accelsim.architecture import load_architecture
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.memory import check_memory, memory_of
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.limits import Limits
from accelsim.workload import load_workload

ACTIVITY = "rsnn_paper_activity"


def deployed(chip: str, workload: str | None = None, **keys: str) -> Deployment:
    architecture = load_architecture(chip)
    return deploy(load_workload(workload or architecture.spec.workload, keys), architecture)


def test_what_is_too_much_is_refused_with_what_to_change() -> None:
    deployment = deployed("rsnn28nm", ACTIVITY, **{"inputs.frames": "1000000"})
    batch = load_batch(deployment.network)
    memory = memory_of(deployment, 1_000_000)
    with limits.within(memory=memory.total() // 2), pytest.raises(InputError) as refused:
        check_memory(deployment, batch)
    said = str(refused.value)
    wanted = r"a run of 'rsnn_paper_activity' on 'rsnn28nm' over 1,000,000 frames needs about [0-9.]+ GB, more than "
    assert re.match(
        wanted + r"the [0-9.]+ [GM]B that --memory allows \(take fewer: --set workload.inputs.frames=", said
    )
    fewer = int(re.search(r"frames=([0-9]+)", said)[1])  # type: ignore[index]
    enough = limits.read_memory(re.search(r"--memory ([0-9.]+GB)", said)[1])  # type: ignore[index]
    assert memory_of(deployment, fewer).total() <= memory.total() // 2 < memory_of(deployment, fewer + 100).total()
    with limits.within(memory=enough):
        check_memory(deployment, batch)


def test_utterances_are_counted_where_there_are_any() -> None:
    deployment = deployed("rsnn28nm", **{"inputs.utterances": "3"})
    batch = load_batch(deployment.network)
    for utterances in (1, 2):
        most = memory_of(deployment, int(batch.starts[utterances]) + 5).total()
        wanted = f"inputs.utterances={utterances}, or allow it"
        with limits.within(memory=most), pytest.raises(InputError, match=wanted):
            check_memory(deployment, batch)
    nothing = memory_of(deployment, 0).total() // 2
    with limits.within(memory=nothing), pytest.raises(InputError, match=r"that --memory allows \(allow it: --memory"):
        check_memory(deployment, batch)


def test_a_chip_and_a_network_take_more_the_larger_they_are() -> None:
    tiles, wide = deployed("memristor_tile"), deployed("isaac_tile")
    assert 0 < tiles.engines["crossbar_tiles"].cell_bytes() < wide.engines["crossbar_tiles"].cell_bytes()
    assert memory_of(wide, 1000).per_frame > memory_of(tiles, 1000).per_frame


def test_it_is_said_only_where_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ["run", "rsnn28nm", "-w", ACTIVITY, "-s", "workload.inputs.frames=8"]
    quiet = CliRunner().invoke(cli.app, few)
    assert quiet.exit_code == 0 and "needs" not in quiet.stderr
    monkeypatch.setattr(cli.run, "_MUCH_MEMORY", 0)
    told = CliRunner().invoke(cli.app, few)
    assert re.search(r"^needs about [0-9.]+ [MG]B$", told.stderr, re.MULTILINE)
    assert told.stdout == quiet.stdout
    refused = CliRunner().invoke(cli.app, [*few, "--memory", "20MB"])
    assert isinstance(refused.exception, InputError) and refused.exception.exit_code == 2
    assert limits.current() == Limits()


def test_it_is_part_of_the_schedule() -> None:
    shown = CliRunner().invoke(cli.app, ["schedule", "rsnn28nm", "-w", ACTIVITY]).stdout
    assert re.search(r"memory of a run: about [0-9.]+ [MG]B, and [0-9.]+ MB for every 1,000 frames of the input", shown)


# Not ru_maxrss, which begins with the peak of the process that started this one.
PROGRAM = """
from accelsim.pipeline import run_in_full
said = []
keys = {"workload.inputs.frames": 40_000}
run_in_full("rsnn28nm", "rsnn_paper_activity", overrides=keys, on_memory=lambda memory: said.append(memory.total()))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(said[0] / (1024 * int(peak.split()[1])))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from /proc")
def test_it_is_near_what_a_run_then_takes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert 0.7 < float(done.stdout) < 1.5
