"""Attention engine: products of queries, keys and values, which are made at run time, and the softmax between them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import NUMBER_BITS, ComponentSpec, Counts, Number, component_kind
from accelsim.schema import Effect


class AttentionEngine(ComponentSpec):
    """``units`` engines of ``macs`` multiply-accumulators and ``exponentials`` units of the softmax.

    Factors and results are of ``number``, sums float32, see `accelsim.kernels.attention`. An engine goes through one
    head of one query at a time, and holds its scores: one for each of at most ``frames`` frames of an utterance.
    """

    kind: Literal["attention_engine"]
    effects = {
        "units": Effect(counts="either", cycles="less", energy="more", area="more"),
        "macs": Effect(cycles="less", energy="more", area="more"),
        "exponentials": Effect(cycles="less", energy="more", area="more"),
        "frames": Effect(counts="either", cycles="either", energy="more", area="more", spare="shorter utterances"),
    }
    units: PositiveInt = 1
    macs: PositiveInt
    exponentials: PositiveInt
    frames: PositiveInt
    number: Number

    def instances(self) -> int:
        return self.units

    def multipliers(self) -> int:
        return self.units * self.macs

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"number_bits": NUMBER_BITS[self.number]}

    def flip_flops(self) -> int:
        """Return those of its multiply-adders: two factors and a float32 sum each.

        An exponential unit counts as ten of them in float32 and as five in float16: an assumption.
        """
        steps = 10 if self.number == "float32" else 5
        return (self.macs + steps * self.exponentials) * (2 * NUMBER_BITS[self.number] + NUMBER_BITS["float32"])


def service_cycles(spec: AttentionEngine, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = ceil(macs / macs of an engine) + ceil(exponentials / exponential units), one after the other."""
    return -(-counts["mac"] // spec.macs) - (-counts["exponential"] // spec.exponentials)


component_kind(
    "attention_engine",
    AttentionEngine,
    {
        "mac": "one product added to a sum",
        "exponential": "one score scaled, compared, raised and divided, with its way through the score memory",
    },
    service_cycles,
)
