"""Flip-flop storage: input buffer, membrane and spike registers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.abstract import Memory
from accelsim.components.kind import TILE_COUNTS, Counts, Width, component_kind, of_busiest, rows_of
from accelsim.schema import Effect


class RegisterFile(Memory):
    """``entries`` words of ``width_bits`` in each of ``tiles`` tiles, ``writes_per_cycle`` loaded at a time."""

    kind: Literal["register_file"]
    effects = {
        "entries": Effect(energy="more", area="more", spare="room for more words"),
        "tiles": Effect(energy="more", area="more", spare="tiles that no matrix lies on"),
        "writes_per_cycle": Effect(
            cycles="less", spare="more than come in a cycle", given="the wires of whoever writes"
        ),
    }
    entries: PositiveInt
    tiles: PositiveInt = 1
    width_bits: Width
    writes_per_cycle: PositiveInt = 1

    def instances(self) -> int:
        return self.tiles * self.entries

    def capacity(self) -> int:
        return self.entries

    def bits(self) -> int:
        """Return the capacity in bits."""
        return self.tiles * self.entries * self.width_bits

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return width_bits * writes: reads are wires, and take no time."""
        return self.width_bits * counts.get("write", 0)

    def peak_bits_per_cycle(self) -> float:
        """Return tiles * writes_per_cycle * width_bits."""
        return self.tiles * self.writes_per_cycle * self.width_bits

    def flip_flops(self) -> int:
        """Return width_bits: an instance is a word."""
        return self.width_bits


def service_cycles(spec: RegisterFile, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = rows * ceil(writes of the busiest tile / writes_per_cycle); reads are combinational."""
    return rows_of(counts) * -(-of_busiest(counts, "write") // spec.writes_per_cycle)


component_kind(
    "register_file",
    RegisterFile,
    {"read": "one word read", "write": "one word written"},
    service_cycles,
    TILE_COUNTS,
)
