"""Codes of activations: what QuantizeLinear makes of real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from accelsim.ops.op import Edge

INTEGERS = {2: ("|u1", 8), 3: ("|i1", 8), 4: ("<u2", 16), 5: ("<i2", 16), 6: ("<i4", 32)}
"""Types of quantised tensors by the numbers of TensorProto.DataType, and their bits."""


@dataclass(frozen=True)
class Codes:
    """What a QuantizeLinear makes: codes of this scale and zero point, as here: signed; clamped to low .. high.

    ``shift``: what an integer is more in the file than here, 128 of uint8.
    """

    scale: float
    zero_point: int
    bits: int
    low: int
    high: int
    shift: int

    @classmethod
    def all(cls, scale: float, zero_point: int, bits: int, shift: int) -> Codes:
        """Return codes of so many bits, none of them clamped."""
        return cls(scale, zero_point, bits, -(1 << (bits - 1)), (1 << (bits - 1)) - 1, shift)

    @property
    def unclamped(self) -> bool:
        """Whether every code of these bits is one of them."""
        return self.low == -(1 << (self.bits - 1)) and self.high == (1 << (self.bits - 1)) - 1

    def keys(self) -> dict[str, Any]:
        """Return the ``output`` of an op."""
        least, most = -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        # Where the least code stands for 0, what lies below is cut off by a ReLU that the zero point takes in.
        low = {} if self.low == least != self.zero_point else {"low": self.low}
        high = {} if self.high == most else {"high": self.high}
        return {"scale": self.scale, "zero_point": self.zero_point, "bits": self.bits, **low, **high}

    def same(self, edge: Edge) -> bool:
        """Return whether an edge has such codes already."""
        return (edge.kind, edge.bits, np.float32(edge.scale), signed_zero(edge)) == (
            "codes", self.bits, np.float32(self.scale), self.zero_point
        )  # fmt: skip

    def clamped(self, low: float, high: float) -> Codes:
        """Return codes whose range is that of clamped real numbers: Q(low) .. Q(high)."""

        def code(value: float) -> int:
            place = np.rint(np.float32(value) / np.float32(self.scale)) + self.zero_point
            return int(np.clip(place, self.low, self.high))

        bottom = self.low if low == -math.inf else code(low)
        top = self.high if high == math.inf else code(high)
        return replace(self, low=bottom, high=max(top, bottom))


def signed_zero(edge: Edge) -> int:
    """Return the zero point of an edge's codes as an integer op takes them."""
    return edge.zero_point - 128 if edge.unsigned and edge.bits == 8 else edge.zero_point


def float32(value: Any) -> float:
    """Return a number as float32 has it, in full."""
    return float(np.float32(value))
