"""The readout behind a network: an accumulator that takes the outputs of the last op, once per frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from accelsim.components.accumulator import Accumulator
from accelsim.engines.engine import Counts, Grid
from accelsim.ops.op import Op
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


def readout_job(op: Op, width: int, name: str, adders: Accumulator, takes: tuple[str, ...]) -> Job:
    """Return the job that ends a frame: the accumulator ``name`` takes the ``width`` outputs of the last op."""
    work = Readout(width, -(-width // adders.units))
    return Job.of(f"{op.name}.readout", op.name, [(ROLE, name)], work, takes=takes, last=True)


def readout_counts(work: Readout, grid: Grid) -> Mapping[str, Counts]:
    """Return the counts of a readout by role: every output is added and written once per frame."""
    counted = {"add": work.outputs, "write": work.outputs, "groups": work.groups}
    return {ROLE: {name: np.full(grid.frames, value, np.int64) for name, value in counted.items()}}
