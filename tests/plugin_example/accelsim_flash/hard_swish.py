"""Hard swish, the activation of MobileNetV3 (arXiv 1905.02244): no exponential, no quotient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.number import Arithmetic, is_half, plus, times
from accelsim.ops.op import OPS, Datapath, Edge, Signal, VectorOp, Work

THREE, SIX, SIXTH = np.float32(3), np.float32(6), np.float32(1 / 6)


class HardSwishOp(VectorOp):
    """y = x min(max(x + 3, 0), 6) / 6, as R(x R(min(max(R(x + 3), 0), 6) / 6)); R rounds to the unit's numbers."""

    op: Literal["hard_swish"]
    input: str
    spread: ClassVar[float] = 0.6

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(5)  # x + 3, max, min, / 6, x ..

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Any]:
        x = unit.real(read[0])
        return hard_swish(np.ascontiguousarray(x), is_half(unit.vector.number)), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Any, number: Any = "float32") -> NDArray[Any]:
        kind = np.float16 if number == "float16" else np.float32
        x = Datapath({}, Arithmetic(number)).real(read[0])
        gate = np.clip((x + THREE).astype(kind), 0, 6).astype(np.float32) * SIXTH
        return (x * gate.astype(kind).astype(np.float32)).astype(kind).astype(np.float32)


@compiled()
def hard_swish(values, half):
    """Return the hard swish of values [rows, width]."""
    out = np.empty_like(values)
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            x = values[t, j]
            gate = times(min(max(plus(x, THREE, half, None), np.float32(0)), SIX), SIXTH, half, None)
            out[t, j] = times(x, gate, half, None)
    return out


OPS.register("hard_swish", HardSwishOp)
