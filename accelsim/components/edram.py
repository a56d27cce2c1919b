"""Embedded DRAM: a large buffer beside the tiles, one wide word per access."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.abstract import Memory
from accelsim.components.kind import Counts, Width, component_kind
from accelsim.schema import Effect


class Edram(Memory):
    """``entries`` words of ``width_bits``; its port moves ``port_bits`` per cycle, several words side by side."""

    kind: Literal["edram"]
    effects = {
        "entries": Effect(energy="more", area="more", spare="room for more words"),
        "port_bits": Effect(cycles="less", energy="more", area="more"),
    }
    entries: PositiveInt
    width_bits: Width
    port_bits: Width

    def capacity(self) -> int:
        return self.entries

    def bits(self) -> int:
        """Return the capacity in bits."""
        return self.entries * self.width_bits

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"bits": self.bits()}

    def flip_flops(self) -> int:
        """Return port_bits and the bits of an address."""
        return self.port_bits + (self.entries - 1).bit_length()


def service_cycles(spec: Edram, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = ceil(words written * width_bits / port_bits); reads leave while the next words come in."""
    return -(-counts["write"] * spec.width_bits // spec.port_bits)


component_kind("edram", Edram, {"read": "one word read", "write": "one word written"}, service_cycles)
