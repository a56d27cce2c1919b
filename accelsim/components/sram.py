"""Single-port SRAM: banks of equal macros, one row per access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.abstract import Memory
from accelsim.components.kind import ComponentSpec, Counts, Width, component_kind
from accelsim.schema import Effect

COUNTS = {"bank_accesses": "accesses of the busiest bank"}
ACTIONS = {"read": "one row of one bank read", "write": "one row of one bank written"}


class Banks(ComponentSpec):
    """``banks`` macros of ``rows`` x ``width_bits``, one row of a bank per access."""

    effects = {
        "rows": Effect(energy="more", area="more", spare="room for more words"),
        "width_bits": Effect(counts="less", cycles="less", energy="more", area="more", spare="room for more words"),
        "banks": Effect(counts="less", cycles="less", energy="more", area="more", spare="room for more words"),
        "cycles_per_access": Effect(cycles="more", given="what an access takes at this clock"),
    }
    rows: PositiveInt
    width_bits: Width
    banks: PositiveInt = 1
    cycles_per_access: PositiveInt = 1

    def instances(self) -> int:
        return self.banks

    def bits(self) -> int:
        """Return the capacity of all banks in bits."""
        return self.banks * self.rows * self.width_bits

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return width_bits * (reads + writes)."""
        return self.width_bits * (counts.get("read", 0) + counts.get("write", 0))

    def peak_bits_per_cycle(self) -> float:
        """Return banks * width_bits / cycles_per_access."""
        return self.banks * self.width_bits / self.cycles_per_access

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"macro_bits": self.rows * self.width_bits}

    def flip_flops(self) -> int:
        """Return width_bits and the bits of a row's address."""
        return self.width_bits + (self.rows - 1).bit_length()


class Sram(Banks, Memory):
    """Banks of equal macros; ``stores`` names what a schedule keeps in them."""

    kind: Literal["sram"]

    def capacity(self) -> int:
        return self.banks * self.rows

    def words_of(self, values: int, bits: int) -> int:
        """Return the rows that values of so many bits take, packed: ceil(values * bits / width_bits)."""
        return -(-values * bits // self.width_bits)

    def accesses(self, read: Any, write: Any, share: int = 1) -> dict[str, Any]:
        """Return reads and writes, spread evenly over the banks of a share."""
        return {"read": read, "write": write, "bank_accesses": -(-(read + write) // (self.banks // share))}


def service_cycles(spec: Banks, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = cycles_per_access * accesses of the busiest bank (``bank_accesses``)."""
    return counts["bank_accesses"] * spec.cycles_per_access


component_kind("sram", Sram, ACTIONS, service_cycles, COUNTS)
