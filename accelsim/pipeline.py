"""One run, from files to a Result: load, schedule, execute, simulate, price, score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture, load_architecture
from accelsim.cost import price
from accelsim.execute import Activity, execute, service_of
from accelsim.execute.reference import float_outputs
from accelsim.record import Operation, Run, record
from accelsim.result import Result
from accelsim.schedule import Schedule, build_schedule, part_of
from accelsim.score import Accuracy
from accelsim.simulate import Clocking, Link, close_books, simulate
from accelsim.workload import Batch, Workload, load_batch, load_workload

Progress = Callable[[str, int | None, int | None], None]
"""Called with the name of the stage, and how much of how much of it is done where that is known."""

WORKLOAD_PREFIX = "workload."


def run(
    architecture: str | Path,
    workload: str | Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    command: str = "",
    progress: Progress | None = None,
) -> Result:
    """Simulate one workload on one architecture and return the record.

    ``architecture``, ``workload``: names of the library or paths; the workload defaults to the one that the
    architecture names. ``overrides``: dotted key -> value text, for any key of the architecture, or of the workload
    with the prefix ``workload.``; for example ``{"clocks.main.frequency": "500 MHz"}``.
    Raises InputError for anything wrong with the files, DeadlockError when the chip stops before its work is done.
    """
    return record(run_in_full(architecture, workload, overrides=overrides, seed=seed, progress=progress), command)


def run_in_full(
    architecture: str | Path,
    workload: str | Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Run:
    """Do what `run` does, and return every intermediate product."""
    tell: Progress = progress or (lambda stage, done, total: None)
    for_chip, for_network = split_overrides(overrides or {})

    tell("load", None, None)
    chip = load_architecture(architecture, for_chip)
    network = load_workload(workload or chip.spec.workload, for_network)
    schedule = build_schedule(network, chip)
    batch = load_batch(network, lambda name, done, total: tell(f"features of {name}", done, total))
    execution = execute(
        schedule, network, chip, batch, seed=seed, progress=lambda layer: tell(f"values of {layer}", None, None)
    )
    operation = operate(chip, schedule, execution.activity, len(batch.features), tell)
    points = {
        name: operate(other, schedule, execution.activity, len(batch.features), tell)
        for name, other in chip.operating_points.items()
    }
    accuracy, reference = _score(network, batch, execution.outputs, tell)
    return Run(network, batch, schedule, execution, operation, points, accuracy, reference, seed)


def operate(
    chip: Architecture, schedule: Schedule, activity: Activity, frames: int, tell: Progress = lambda *_: None
) -> Operation:
    """Simulate and price what happened at one operating point; the values stay the same."""
    service = service_of(schedule, chip, activity)
    timeline = simulate(
        schedule,
        links(chip, schedule),
        service,
        clocking(chip, schedule),
        frames,
        arbitration=arbitration(chip, schedule),
        progress=lambda done: tell("cycles", done, frames),
    )
    ledger = close_books(schedule, service, timeline, activity)
    bill = price(chip, schedule, activity, ledger, timeline.duration_ps * 1e-12)
    return Operation(chip, timeline, ledger, bill)


def split_overrides(overrides: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the overrides of the architecture and those of the workload, without their prefix."""
    chip = {k: v for k, v in overrides.items() if not k.startswith(WORKLOAD_PREFIX)}
    network = {k.removeprefix(WORKLOAD_PREFIX): v for k, v in overrides.items() if k.startswith(WORKLOAD_PREFIX)}
    return chip, network


def links(chip: Architecture, schedule: Schedule) -> list[Link]:
    """Return the bounded channels that a schedule uses, one for each copy of a component in a tile."""
    specs = {channel.name(): channel for channel in chip.spec.channels}
    used = dict.fromkeys(name for job in schedule.jobs for name in (*job.takes, *job.gives))
    found = []
    for name in used:
        producer, _, consumer = name.partition("->")
        spec = specs[f"{part_of(producer)}->{part_of(consumer)}"]
        found.append(Link(producer, consumer, spec.capacity, spec.latency))
    return found


def arbitration(chip: Architecture, schedule: Schedule) -> dict[str, str]:
    """Return the policy of every shared component that has one, and of its copies."""
    policies = chip.spec.arbitration
    members = dict.fromkeys(name for job in schedule.jobs for name in job.members())
    return {name: policies[part_of(name)] for name in members if part_of(name) in policies}


def clocking(chip: Architecture, schedule: Schedule) -> Clocking:
    """Return the clock periods of all components, and of their copies in tiles, and the pace of the frames."""
    pacing = chip.spec.pacing
    period = round(pacing.frame_period * 1e12) if pacing.mode == "real_time" and pacing.frame_period else 0
    members = dict.fromkeys(name for job in schedule.jobs for name in job.members())
    idle = [name for name in chip.components() if name not in {part_of(member) for member in members}]
    return Clocking({name: chip.period_ps(part_of(name)) for name in (*members, *idle)}, period)


def _score(
    network: Workload, batch: Batch, outputs: NDArray[Any] | None, tell: Progress
) -> tuple[Accuracy | None, Accuracy | None]:
    """Return how well the hardware's outputs and those of the float network recognise the batch."""
    if network.decoder is None or outputs is None or batch.references is None:
        return None, None

    def progress(done: int, total: int) -> None:
        tell("score", done, total)

    hardware = network.scorer().score(np.split(outputs, batch.starts[1:-1]), batch.references, progress)
    if network.reference is None:
        return hardware, None
    judge = network.scorer(reference=True)
    return hardware, judge.score(float_outputs(network, batch), batch.references, progress)
