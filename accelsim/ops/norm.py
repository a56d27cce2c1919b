"""Layer normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.conv import Starts
from accelsim.kernels.norm import layer_norm
from accelsim.kernels.number import Arithmetic, Number
from accelsim.ops import plain
from accelsim.ops.op import OPS, Datapath, Edge, Signal, Tensors, VectorOp, Work

_PLAIN = Work(7, 0, 2)
"""Sum, difference, square, sum; products with 1 / s and the gain, bias; root and quotient."""
_PRE_NORMALISED = Work(16, 1, 2)
"""Beside these a quarter, less the first; product and sum of each mean; difference; quotient by MAD."""


class LayerNormOp(VectorOp):
    """y = (x - mean) / sqrt(variance + 1e-5) gain + bias over each row, see `accelsim.kernels.norm.layer_norm`."""

    op: Literal["layer_norm"]
    input: str

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {"gain": (read[0].width,), "bias": (read[0].width,)}

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        drawn = super().generated(read, spread, random, last=last)
        return {**drawn, f"{self.name}.gain": drawn[f"{self.name}.gain"] + np.float32(1)}

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

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(R(R(d s) gain) + bias), d = R(x - mean), s = R(1 / R(sqrt R(variance + 1e-5))).

        mean = R(sum x / n), variance = R(sum d^2 / n), sums in float32.
        """

        def r(values: NDArray[Any]) -> plain.Values:
            return plain.rounded(values, number)

        x = plain.real(read[0], number)
        n = np.float32(x.shape[1])
        gain, bias = (r(tensors[f"{self.name}.{end}"]) for end in ("gain", "bias"))
        with np.errstate(all="ignore"):
            d = r(x - r(plain.total(x, axis=1) / n)[:, None])
            variance = r(plain.total(d * d, axis=1) / n)
            s = r(np.float32(1) / r(np.sqrt(r(variance + np.float32(1e-5)))))
            return r(r(r(d * s[:, None]) * gain) + bias)


OPS.register("layer_norm", LayerNormOp)
