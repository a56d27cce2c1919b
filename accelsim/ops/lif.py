"""Spiking ops: leaky integrate-and-fire neurons, and the readout of their spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.kernels.conv import Starts
from accelsim.kernels.fixed_point import shift_array, signed_range
from accelsim.kernels.lif import lif_float
from accelsim.kernels.number import Number
from accelsim.ops.op import FEATURES, OPS, Datapath, Edge, Kind, Op, Signal, Tensors, integer_problem

SpikeWeightBits = Annotated[int, Ge(1), Le(8)]


class LifOp(Op):
    """A layer of leaky integrate-and-fire neurons; its maths stands in `accelsim.kernels.lif`.

    I[t,s] = shift(W^T x[t,s], input_shift) + shift(R^T S[t-1,s], recurrent_shift), x the bits of features (the same in
    every time step) or spikes. Without ``feedforward`` weights the layer reads currents, sums of an op that gives codes:
    the first term is shift(round(x), input_shift). Without ``recurrent`` weights there is no second term.
    Tensors: ``<name>.weight`` [inputs, neurons] or the one that ``weights`` names, ``<name>.recurrent_weight``
    [neurons, neurons] or the one of ``recurrent_weights``; a float network has ``<name>.beta`` and ``.threshold`` too.
    ``beta``: leak per time step, a multiple of 2^-beta_bits. With ``membrane_carry`` membranes live on from row to row.
    """

    op: Literal["lif"]
    over_frames: ClassVar[bool] = True
    spiking: ClassVar[bool] = True
    input: str
    neurons: PositiveInt
    feedforward: bool = True
    recurrent: bool = True
    weight_bits: SpikeWeightBits = 8
    weights: str | None = None
    recurrent_weights: str | None = None
    input_shift: int = 0
    recurrent_shift: int = 0
    beta: Annotated[float, Ge(0), Le(1)]
    beta_bits: Annotated[int, Ge(1), Le(16)] = 8
    threshold: PositiveInt
    reset: Literal["subtract", "zero"]
    membrane_carry: bool = True
    takes: ClassVar[frozenset[Kind]] = frozenset({"codes", "spikes"})

    @model_validator(mode="after")
    def _consistent(self) -> LifOp:
        if not (self.beta * 2**self.beta_bits).is_integer():
            raise ValueError(f"expected beta to be a multiple of 2^-{self.beta_bits}, found {self.beta}")
        return self

    def beta_numerator(self) -> int:
        """Return beta as the integer that the hardware multiplies by: beta * 2^beta_bits."""
        return int(self.beta * 2**self.beta_bits)

    def infer(self, read: Sequence[Edge]) -> Edge:
        source = read[0]
        if not self.feedforward and (source.kind, source.width) != ("codes", self.neurons):
            raise ValueError(
                f"without feedforward weights it reads {self.neurons} currents, '{self.input}' gives {source.width} "
                f"values ({source.kind})"
            )
        if self.feedforward and source.kind == "codes" and self.input != FEATURES:
            raise ValueError(
                f"its weights take features or spikes, '{self.input}' gives sums: write 'feedforward: false'"
            )
        return Edge(self.neurons, 1, source.stride, "spikes", bits=1, steps=source.steps)

    def matrices(self, read: Sequence[Edge]) -> dict[str, tuple[int, int]]:
        """Return inputs and outputs of the matrices that it has, by the ends of their tensors' names."""
        found = {}
        if self.feedforward:
            found["weight"] = (read[0].width, self.neurons)
        if self.recurrent:
            found["recurrent_weight"] = (self.neurons, self.neurons)
        return found

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {**self.matrices(read)}

    def tensor_name(self, end: str) -> str:
        given = {"weight": self.weights, "recurrent_weight": self.recurrent_weights}.get(end)
        return given or f"{self.name}.{end}"

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        return integer_problem(tensor, *signed_range(self.weight_bits), self.weight_bits)

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        return {"membrane": (self.neurons,), "spikes": (read[0].steps, self.neurons)}

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return the spikes, uint8 [rows, steps, neurons], in words so wide that nothing saturates.

        U[t,s] = floor(beta U[t,s-1]) + I[t,s]; S[t,s] = (U[t,s] >= threshold); then U is set to 0, or reduced by the
        threshold. U[t,-1] is the last step of row t - 1 with ``membrane_carry``, else 0; U and S begin at 0.
        """
        source = read[0]
        current = source.values.astype(np.int64) if self.feedforward else np.rint(source.values).astype(np.int64)
        if self.feedforward:
            current = current @ tensors[self.tensor_name("weight")].astype(np.int64)
        current = shift_array(current, self.input_shift)
        if source.edge.kind != "spikes":
            current = np.repeat(current[:, None], source.edge.steps, axis=1)
        spikes = np.zeros((len(current), source.edge.steps, self.neurons), np.uint8)
        for first, last in pairwise(source.starts):
            membrane = np.zeros(self.neurons, np.int64)
            for t in range(first, last):
                if not self.membrane_carry:
                    membrane = np.zeros_like(membrane)
                for s in range(source.edge.steps):
                    membrane = (self.beta_numerator() * membrane >> self.beta_bits) + current[t, s]
                    if self.recurrent and t > first:
                        weights = tensors[self.tensor_name("recurrent_weight")].astype(np.int64)
                        membrane = membrane + shift_array(spikes[t - 1, s] @ weights, self.recurrent_shift)
                    spikes[t, s] = fired = membrane >= self.threshold
                    membrane = np.where(fired, membrane - self.threshold if self.reset == "subtract" else 0, membrane)
        return spikes

    def float_shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {**self.shapes(read), "beta": (1,), "threshold": (1,)}

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        tensors = exact.tensors
        source = read[0]
        x = source.values.astype(np.float32)
        if self.input == FEATURES:
            x = x / np.float32(2**source.edge.bits)
        current = x @ tensors[self.tensor_name("weight")].astype(np.float32) if self.feedforward else x
        if source.edge.kind != "spikes":
            current = np.repeat(current[:, None], source.edge.steps, axis=1)
        recurrent = np.zeros((self.neurons, self.neurons), np.float32)
        if self.recurrent:
            recurrent = tensors[self.tensor_name("recurrent_weight")].astype(np.float32)
        beta, threshold = (float(tensors[f"{self.name}.{end}"][0]) for end in ("beta", "threshold"))
        spikes = lif_float(
            current, recurrent, source.starts, beta, threshold, self.reset == "subtract", self.membrane_carry
        )
        return spikes, source.starts


class SpikeSumOp(Op):
    """A linear readout: out[t] = sum_s sum_j S[t,s,j] W_j over all time steps of a row."""

    op: Literal["spike_sum"]
    over_frames: ClassVar[bool] = True
    spiking: ClassVar[bool] = True
    input: str
    neurons: PositiveInt
    weight_bits: SpikeWeightBits = 8
    weights: str | None = None
    takes: ClassVar[frozenset[Kind]] = frozenset({"spikes"})

    def infer(self, read: Sequence[Edge]) -> Edge:
        return Edge(self.neurons, 1, read[0].stride, "codes", bits=32)

    def matrices(self, read: Sequence[Edge]) -> dict[str, tuple[int, int]]:
        """Return inputs and outputs of its matrix, by the end of its tensor's name."""
        return {"weight": (read[0].width, self.neurons)}

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {**self.matrices(read)}

    def tensor_name(self, end: str) -> str:
        return self.weights or f"{self.name}.{end}"

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        return integer_problem(tensor, *signed_range(self.weight_bits), self.weight_bits)

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return the sums, int64 [rows, neurons], in words so wide that nothing saturates."""
        weights = tensors[self.tensor_name("weight")].astype(np.int64)
        return np.asarray(read[0].values.sum(axis=1, dtype=np.int64) @ weights)

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        tensors = exact.tensors
        spikes, starts = read[0].values, read[0].starts
        weights = tensors[self.tensor_name("weight")].astype(np.float32)
        rows = [spikes[a:b].sum(axis=1, dtype=np.float32) @ weights for a, b in pairwise(starts)]
        return np.concatenate(rows), starts


OPS.register("lif", LifOp)
OPS.register("spike_sum", SpikeSumOp)
