"""Task queue: a scoreboard that starts each layer when its operands are there, as a processor does its instructions."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class TaskQueue(ComponentSpec):
    """``entries`` slots, each of which holds the task of one layer and starts it when its operands are there.

    A slot leads its jobs, and lasts as long as the slowest component at work in them.
    """

    kind: Literal["task_queue"]
    effects = {
        "entries": Effect(energy="more", area="more", spare="slots without a layer"),
        "cycles_per_dispatch": Effect(cycles="more", given="what its scoreboard takes for a task"),
    }
    entries: PositiveInt
    cycles_per_dispatch: PositiveInt = 1

    def instances(self) -> int:
        return self.entries

    def flip_flops(self) -> int:
        """Return 64 an entry: two counters of 32 bits, which hold its task."""
        return 64


def service_cycles(spec: TaskQueue, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = dispatches * cycles_per_dispatch."""
    return counts["dispatch"] * spec.cycles_per_dispatch


component_kind("task_queue", TaskQueue, {"dispatch": "one task started"}, service_cycles)
