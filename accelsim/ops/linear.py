"""Dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.kernels.conv import Starts, matrix_product
from accelsim.kernels.float_product import product
from accelsim.kernels.number import Values
from accelsim.ops.op import OPS, Datapath, Edge, Signal, WeightedOp


class LinearOp(WeightedOp):
    """A dense layer, y_j = sum_i x_i w_ij (+ b_j), see `WeightedOp` for its numbers: weight [inputs, outputs].

    Where it gives codes, f is applied to what it reads, ``input_activation``, and with a ``residual``, an op that gives
    codes too, the output is residual_j + round(output_scale y_j).
    """

    op: Literal["linear"]
    outputs: PositiveInt
    input_activation: Literal["none", "relu"] = "none"
    residual: str | None = None
    output_scale: Annotated[float, Gt(0)] = 1.0

    @model_validator(mode="after")
    def _scaled_for_a_sum(self) -> LinearOp:
        if self.residual is None and self.output_scale != 1.0:
            raise ValueError("output_scale belongs to a residual sum: name the op that is added, 'residual: ...'")
        if self.gives == "real" and (self.residual is not None or self.input_activation != "none"):
            raise ValueError(
                "residual and input_activation are for 'gives: codes'; on real numbers write ops of their own"
            )
        return self

    def reads(self) -> tuple[str, ...]:
        return (self.input,) if self.residual is None else (self.input, self.residual)

    def infer(self, read: Sequence[Edge]) -> Edge:
        self.check_output(read)
        if len(read) > 1 and (read[1].kind, read[1].width, read[1].stride) != ("codes", self.outputs, read[0].stride):
            raise ValueError(
                f"it adds {self.outputs} sums to {read[1].width} values ({read[1].kind}) of '{self.residual}'"
            )
        return self.given(Edge(self.outputs, 1, read[0].stride, distances=read[0].distances))

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return self.tensors_of(self.matrix(read))

    def matrix(self, read: Sequence[Edge]) -> tuple[int, int]:
        return read[0].width, self.outputs

    def source(self, read: Sequence[Signal]) -> NDArray[Any]:
        x = read[0].values
        return np.maximum(x, 0) if self.input_activation == "relu" else x

    def finish(self, sums: NDArray[Any], read: Sequence[Signal]) -> NDArray[Any]:
        if len(read) == 1:
            return sums
        return np.asarray(read[1].values + np.rint(self.output_scale * sums).astype(np.int64))

    def operands(self, x: NDArray[Any], weight: NDArray[Any], starts: Starts) -> NDArray[Any]:
        return x[:, None, :, None]

    def multiply(
        self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts, beyond: int = 0
    ) -> tuple[NDArray[Any], Starts]:
        return matrix_product(codes, weight), starts

    def multiply_float(
        self, x: Values, weight: NDArray[Any], bias: NDArray[Any] | None, starts: Starts, unit: Datapath
    ) -> tuple[Values, Starts]:
        exceptions = unit.exceptions_of(self)
        y = product(x, weight, bias, unit.vector.number, accumulator=unit.array.accumulator, exceptions=exceptions)
        return y, starts

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        if self.gives == "real":
            return super().float_values(read, exact, unit)
        x = self.float_input(read, unit)
        y = x @ exact.tensors[self.tensor_name("weight")].astype(x.dtype)
        if (bias := exact.tensors.get(self.tensor_name("bias"))) is not None:
            y = y + bias.astype(x.dtype)
        return (y if len(read) == 1 else read[1].values + y), read[0].starts


OPS.register("linear", LinearOp)
