"""The readout behind a network: an accumulator that takes the outputs of the last op, once per frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from accelsim.components.accumulator import Accumulator
from accelsim.engines.engine import Counts, Engine, Grid
from accelsim.kernels.fixed_point import signed_range
from accelsim.ops.op import Op, Signal
from accelsim.placement import of_class
from accelsim.schedule.job import Job, Work

ROLE = "readout"
READOUT = of_class("an accumulator", Accumulator)
"""The role of the part that adds up a network's outputs; an engine may have none."""


@dataclass(frozen=True)
class Readout(Work):
    """The ``outputs`` of a network are added to their sums, as many at a time as there are adders."""

    stage: ClassVar[str] = "readout"
    outputs: int
    groups: int

    def row(self) -> dict[str, object]:
        return {"stage": self.stage}


def check_word(op: Op, bits: int, engine: Engine) -> None:
    """Note that the accumulator behind an op does not hold one output of so many bits."""
    if (has := engine.parts.spec(ROLE).width_bits) < bits:
        message = f"the {has}-bit sums of '{engine.parts.name(ROLE)}' do not hold a {bits}-bit output of '{op.name}'"
        engine.problems.add(message, at=engine.at(ROLE, "width_bits"))


def check_sums(outputs: Signal, engine: Engine) -> None:
    """Raise ValueError where the accumulator does not hold the sums of an utterance's outputs, of either sign."""
    if not len(outputs.values):
        return
    sums = np.add.reduceat(np.abs(outputs.values.astype(np.int64)), outputs.starts[:-1], axis=0)
    longest, largest = int(sums.max(axis=1).argmax()), int(sums.max())
    adders, name = engine.parts.spec(ROLE), engine.parts.name(ROLE)
    if largest > (holds := signed_range(adders.width_bits)[1]):
        raise ValueError(
            f"the outputs of utterance {longest} add up to {largest:,}, the {adders.width_bits}-bit sums of '{name}' "
            f"hold {holds:,}"
        )


def readout_job(op: Op, width: int, name: str, adders: Accumulator, takes: tuple[str, ...]) -> Job:
    """Return the job that ends a frame: the accumulator ``name`` takes the ``width`` outputs of the last op."""
    work = Readout(width, -(-width // adders.units))
    return Job.of(f"{op.name}.readout", op.name, [(ROLE, name)], work, takes=takes, last=True)


def readout_counts(work: Readout, grid: Grid) -> Mapping[str, Counts]:
    """Return the counts of a readout by role: every output is added and written once per frame."""
    counted = {"add": work.outputs, "write": work.outputs, "groups": work.groups}
    return {ROLE: {name: np.full(grid.frames, value, np.int64) for name, value in counted.items()}}
