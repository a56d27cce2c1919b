"""On-chip wires that carry a row from its memory to the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.abstract import Interconnect
from accelsim.components.kind import Counts, component_kind
from accelsim.schema import Effect, PositiveLength


class Bus(Interconnect):
    """``units`` buses, one per cluster, of ``lanes`` lanes with ``width_bits`` wires of ``length`` each.

    A lane moves one word per cycle.
    """

    kind: Literal["bus"]
    effects = {
        "length": Effect(energy="more", area="more", given="the floor plan's"),
        "units": Effect(cycles="less", energy="more", area="more"),
        "lanes": Effect(cycles="less", energy="more", area="more"),
        "width_bits": Effect(counts="less", cycles="less", energy="more", area="more"),
    }
    length: PositiveLength
    units: PositiveInt = 1
    lanes: PositiveInt = 1

    def instances(self) -> int:
        return self.units * self.lanes

    def way(self, name: str, start: int, end: int) -> tuple[str, ...]:
        return (name,)

    def transfers(self, words: Any, links: int) -> dict[str, Any]:
        return {"transfer": words}

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return width_bits * transfers."""
        return self.width_bits * counts.get("transfer", 0)

    def peak_bits_per_cycle(self) -> float:
        """Return units * lanes * width_bits."""
        return self.units * self.lanes * self.width_bits

    def flip_flops(self) -> int:
        """Return 0: a word lands in the registers of who takes it."""
        return 0


def service_cycles(spec: Bus, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = ceil(transfers / lanes); a job is on one of the buses."""
    return -(-counts["transfer"] // spec.lanes)


component_kind("bus", Bus, {"transfer": "one word moved over the whole length"}, service_cycles)
