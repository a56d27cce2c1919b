"""CPU: a small core that starts the accelerator and does what the accelerator cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class Cpu(ComponentSpec):
    """An in-order core with ``operations_per_cycle`` SIMD lanes of float16.

    ``dispatch_cycles``: what it takes to start an inference or an op that falls back on it (interrupt, driver). Tensors
    are copied between layouts at ``copy_bits_per_cycle``.
    """

    kind: Literal["cpu"]
    effects = {
        "dispatch_cycles": Effect(cycles="more", energy="more", given="interrupt and driver"),
        "copy_bits_per_cycle": Effect(counts="less", cycles="less", given="loads and stores of the core"),
        "operations_per_cycle": Effect(cycles="less", energy="less", given="vector instructions of the core"),
    }
    dispatch_cycles: PositiveInt
    copy_bits_per_cycle: PositiveInt
    operations_per_cycle: PositiveInt

    def copies(self, bits: int) -> int:
        """Return the words of one tensor's copy: ceil(bits / copy_bits_per_cycle)."""
        return -(-bits // self.copy_bits_per_cycle)

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return copy_bits_per_cycle * copies."""
        return self.copy_bits_per_cycle * counts.get("copy", 0)

    def peak_bits_per_cycle(self) -> float:
        """Return copy_bits_per_cycle."""
        return self.copy_bits_per_cycle

    def flip_flops(self) -> int:
        """Return 25,000, of a small in-order core: an assumption."""
        return 25_000


def service_cycles(spec: Cpu, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = dispatches * dispatch_cycles + copies + ceil(operations / operations_per_cycle)."""
    operations = -(-counts["operation"] // spec.operations_per_cycle)
    return counts["dispatch"] * spec.dispatch_cycles + counts["copy"] + operations


component_kind(
    "cpu",
    Cpu,
    {
        "dispatch": "one inference or fallback op started, all of its dispatch_cycles",
        "copy": "one word of copy_bits_per_cycle read, moved and written",
        "operation": "one floating-point operation of one lane, with its share of the instruction",
    },
    service_cycles,
)
