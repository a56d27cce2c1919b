"""DMA: engines that move data between the DRAM and the on-chip memory by descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, Width, component_kind
from accelsim.schema import Effect


class Dma(ComponentSpec):
    """``engines``, each of which moves one word of ``width_bits`` per cycle, after ``setup_cycles`` for its descriptor.

    A job is on one of the engines.
    """

    kind: Literal["dma"]
    effects = {
        "engines": Effect(cycles="less", energy="more", area="more"),
        "width_bits": Effect(counts="less", cycles="less", energy="more", area="more"),
        "setup_cycles": Effect(cycles="more", given="what a descriptor takes"),
    }
    engines: PositiveInt = 1
    width_bits: Width
    setup_cycles: PositiveInt

    def instances(self) -> int:
        return self.engines

    def words(self, bits: int) -> int:
        """Return the words of one transfer: ceil(bits / width_bits)."""
        return -(-bits // self.width_bits)

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return width_bits * words."""
        return self.width_bits * counts.get("word", 0)

    def peak_bits_per_cycle(self) -> float:
        """Return engines * width_bits."""
        return self.engines * self.width_bits

    def flip_flops(self) -> int:
        """Return 1,000 an engine: an assumption."""
        return 1000


def service_cycles(spec: Dma, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = descriptors * setup_cycles + words."""
    return counts["descriptor"] * spec.setup_cycles + counts["word"]


component_kind(
    "dma",
    Dma,
    {"descriptor": "one descriptor fetched and decoded", "word": "one word moved through an engine"},
    service_cycles,
)
