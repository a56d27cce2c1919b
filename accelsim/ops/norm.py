"""Layer normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from accelsim.kernels.conv import Starts
from accelsim.kernels.norm import layer_norm
from accelsim.kernels.number import Arithmetic
from accelsim.ops.op import OPS, Datapath, Edge, Signal, VectorOp, Work

_PLAIN = Work(7, 0, 2)
"""Sum, difference, square, sum; products with 1 / s and the gain, bias; root and quotient."""
_PRE_NORMALISED = Work(16, 1, 2)
"""Beside these a quarter, less the first; product and sum of each mean; difference; quotient by MAD."""


class LayerNormOp(VectorOp):
    """(x - mean) / sqrt(variance + 1e-5) gain + bias over each row, see `accelsim.kernels.norm.layer_norm`."""

    op: Literal["layer_norm"]
    input: str

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {"gain": (read[0].width,), "bias": (read[0].width,)}

    def spread_of(self, read: Sequence[float]) -> float:
        return 1.0

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return _PRE_NORMALISED if unit.norm == "pre_normalised" else _PLAIN

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        gain, bias = (unit.tensors[f"{self.name}.{end}"] for end in ("gain", "bias"))
        vector = unit.vector
        y = layer_norm(
            unit.real(read[0]), gain, bias, number=vector.number, accumulator=vector.accumulator, form=vector.norm,
            exceptions=unit.exceptions_of(self),
        )  # fmt: skip
        return y, read[0].starts


OPS.register("layer_norm", LayerNormOp)
