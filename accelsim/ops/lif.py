"""Spiking ops: leaky integrate-and-fire neurons, and the readout of their spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.kernels.conv import Starts
from accelsim.kernels.delays import delayed
from accelsim.kernels.fixed_point import signed_range
from accelsim.kernels.lif import lif_euler, lif_float
from accelsim.kernels.number import Number
from accelsim.ops import plain
from accelsim.ops.op import (
    FEATURES,
    OPS,
    Datapath,
    Edge,
    Kind,
    Op,
    Signal,
    Tensors,
    finite_problem,
    integer_problem,
    integer_weights,
)

SpikeWeightBits = Annotated[int, Ge(1), Le(8)]
Leak = Annotated[float, Ge(0), Le(1)]
OfEach = Literal["per_neuron"]
LeakBits = Annotated[int, Ge(1), Le(16)]
Shift = Annotated[int, Ge(-31), Le(31)]


def _check_leak(name: str, leak: float | str | None, bits: int) -> None:
    """Raise ValueError for a leak that is no multiple of 2^-bits."""
    if isinstance(leak, float) and not (leak * 2**bits).is_integer():
        raise ValueError(f"expected {name} to be a multiple of 2^-{bits}, found {leak}")


_LEAKS = frozenset({"beta", "threshold", "synapse_beta"})
_EULER = frozenset({"membrane_step", "synapse_step", "input_gain", "resistance", "rest"})
_WORDS = frozenset({"bias", "recurrent_bias", "rest"})


def _products(matrices: Mapping[str, tuple[int, int]], read: Sequence[Edge]) -> int:
    """Return the products of matrices in all time steps of a row."""
    return sum(inputs * outputs for inputs, outputs in matrices.values()) * read[0].steps


class LifOp(Op):
    """A layer of leaky integrate-and-fire neurons; its maths stands in `accelsim.kernels.lif`.

    In each time step s of row t, in this order:

        I = shift(W^T x[t,s] + b, input_shift) + shift(R^T S[t-1,s] + c, recurrent_shift)
        i = floor(synapse_beta i) + I, or without ``synapse_beta`` i = I
        U = u + floor(beta (U - u)) + i;  S[t,s] = (U >= threshold);  then U is reset: set to 0, or reduced by the
        threshold

    x: the bits of features (the same in every time step) or spikes. Without ``feedforward`` weights the layer reads
    currents, sums of an op that gives codes: round(x) stands for W^T x. Without ``recurrent`` weights there is no
    second term, and none in the first row of an utterance. With ``strict``, S = (U > threshold). ``current: old``: U
    takes the i of the time step before. A neuron that fired in one of the last ``refractory`` time steps keeps U and
    does not fire. With ``delays``, the longest one in time steps, a spike of input i comes d_i, or d_ij, time steps
    later, also over rows. Tensors: ``<name>.weight`` [inputs, neurons] or the one that ``weights`` names,
    ``<name>.recurrent_weight`` [neurons, neurons] or the one of ``recurrent_weights``, both of ``weight_bits``;
    ``.delays`` d [inputs] or [inputs, neurons]; and, int32 [neurons], which may be missing: ``.bias`` b,
    ``.recurrent_bias`` c, ``.rest`` u, the potential at rest.
    ``beta`` and ``synapse_beta``: leaks per time step, multiples of 2^-``beta_bits`` and 2^-``synapse_beta_bits``.
    Where one of these or ``threshold`` says ``per_neuron``, a tensor of its name holds the numerators of the leaks, or
    the thresholds, int32 [neurons]. With ``membrane_carry`` U, i and the refractory time live on from row to row; else
    they begin anew in each. U begins at u, i at 0, and no spike comes from before an utterance.
    A float network has ``<name>.beta``, ``.threshold`` and ``.synapse_beta`` too, [1] or [neurons]. With ``euler`` it
    is that of a neuron's differential equations by Euler's method, see `accelsim.kernels.lif.lif_euler`: then it has
    ``.membrane_step`` and ``.synapse_step``, dt / tau, in the place of the leaks, ``.input_gain`` and ``.resistance``,
    which may be missing; with ``beta: 1`` its membranes do not leak.
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
    input_shift: Shift = 0
    recurrent_shift: Shift = 0
    delays: PositiveInt | None = None
    synapse_beta: Leak | OfEach | None = None
    synapse_beta_bits: LeakBits = 8
    current: Literal["new", "old"] = "new"
    beta: Leak | OfEach
    beta_bits: LeakBits = 8
    threshold: PositiveInt | OfEach
    strict: bool = False
    reset: Literal["subtract", "zero"]
    euler: bool = False
    refractory: Annotated[int, Ge(0)] = 0
    membrane_carry: bool = True
    takes: ClassVar[frozenset[Kind]] = frozenset({"codes", "spikes"})
    constants: ClassVar[frozenset[str]] = _LEAKS | {"rest", "delays"}
    """The ends of tensors that hold neither weights nor biases."""

    @model_validator(mode="after")
    def _consistent(self) -> LifOp:
        _check_leak("beta", self.beta, self.beta_bits)
        _check_leak("synapse_beta", self.synapse_beta, self.synapse_beta_bits)
        if self.delays is not None and not self.feedforward:
            raise ValueError("delays are those of spikes on their way to feedforward weights")
        if self.current == "old" and self.synapse_beta is None:
            raise ValueError("'current: old' is about a synaptic current: give 'synapse_beta'")
        return self

    def of_each_neuron(self) -> frozenset[str]:
        """Return which of the leaks and the threshold each neuron has for itself."""
        return frozenset(end for end in _LEAKS if getattr(self, end) == "per_neuron")

    def number(self, end: str, tensors: Tensors) -> int | NDArray[np.int64]:
        """Return what the hardware has for a leak or the threshold: one integer, or those of the neurons.

        Of a leak its numerator, beta 2^beta_bits, 0 without.
        """
        value = getattr(self, end)
        if value == "per_neuron":
            return tensors[self.tensor_name(end)].astype(np.int64)
        return int(value if end == "threshold" else (value or 0) * 2 ** getattr(self, f"{end}_bits"))

    def infer(self, read: Sequence[Edge]) -> Edge:
        source = read[0]
        if self.delays is not None and source.kind != "spikes":
            raise ValueError("delays are those of spikes on their way to feedforward weights")
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

    def products(self, read: Sequence[Edge], given: Edge) -> int:
        return _products(self.matrices(read), read)

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        delays = {} if self.delays is None else {"delays": (read[0].width, self.neurons)}
        ends = ["bias", *(["recurrent_bias"] if self.recurrent else []), "rest", *sorted(self.of_each_neuron())]
        return {**self.matrices(read), **dict.fromkeys(ends, (self.neurons,)), **delays}

    def optional(self) -> frozenset[str]:
        return frozenset({*_WORDS, "input_gain", "resistance"})

    def shape_problem(self, end: str, shape: tuple[int, ...], found: tuple[int, ...]) -> str | None:
        if end == "delays" and found not in (shape, shape[:1]):
            return f"has shape {list(found)}, expected {list(shape)} or {list(shape[:1])}"
        common = end in _LEAKS and end not in self.of_each_neuron()
        if end == "delays" or (common and math.prod(found) == 1):  # one number, written as [] or as [1]
            return None
        problem = super().shape_problem(end, shape, found)
        return f"{problem} or [1]" if problem and common and shape != (1,) else problem

    def tensor_name(self, end: str) -> str:
        given = {"weight": self.weights, "recurrent_weight": self.recurrent_weights}.get(end)
        return given or f"{self.name}.{end}"

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        """Return integer weights, a bias of a tenth of the threshold, and every delay equally often.

        Leaks of each neuron lie from a half to 1, thresholds of each from half of 2^weight_bits on.
        """
        tensors = {
            self.tensor_name(end): integer_weights(random, shape, self.weight_bits)
            for end, shape in self.matrices(read).items()
        }
        for end in sorted(self.of_each_neuron()):
            top = 2**self.weight_bits if end == "threshold" else 2 ** getattr(self, f"{end}_bits")
            tensors[f"{self.name}.{end}"] = random.integers((top + 1) // 2, top + 1, self.neurons).astype(np.int32)
        threshold = 2**self.weight_bits if isinstance(self.threshold, str) else self.threshold
        bias = random.standard_normal(self.neurons, np.float32) * np.float32(threshold / 10)
        tensors[f"{self.name}.bias"] = np.rint(bias).astype(np.int32)
        if self.delays is not None:
            drawn = random.integers(0, self.delays + 1, self.shapes(read)["delays"])
            tensors[f"{self.name}.delays"] = drawn.astype(np.int32)
        return tensors

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        if end in _WORDS or end in _LEAKS:
            if tensor.dtype not in (np.int8, np.int16, np.int32):
                return f"has type {tensor.dtype}, expected int32"
            return self._numerator_problem(end, tensor) if end in _LEAKS else None
        if end == "delays":
            if not np.issubdtype(tensor.dtype, np.integer):
                return f"has type {tensor.dtype}, expected whole time steps"
            return self._delays_problem(tensor)
        return integer_problem(tensor, *signed_range(self.weight_bits), self.weight_bits)

    def _numerator_problem(self, end: str, tensor: NDArray[Any]) -> str | None:
        low, high = (1, 2**31 - 1) if end == "threshold" else (0, 2 ** getattr(self, f"{end}_bits"))
        if not low <= tensor.min() <= tensor.max() <= high:
            return f"has values from {tensor.min()} to {tensor.max()}, expected {low} .. {high}"
        return None

    def _delays_problem(self, tensor: NDArray[Any]) -> str | None:
        if tensor.size and not 0 <= tensor.min() <= tensor.max() <= (self.delays or 0):
            return f"has delays outside 0 .. {self.delays}, the longest that the layer has ('delays')"
        return None if (tensor == np.rint(tensor)).all() else "has delays that are no whole time steps"

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        """Return membranes and the spikes of the row before; synaptic currents, waiting times and delayed inputs."""
        carried: dict[str, tuple[int, ...]] = {"membrane": (self.neurons,)} if self.membrane_carry else {}
        if self.membrane_carry and self.synapse_beta is not None:
            carried["synapse"] = (self.neurons,)
        if self.membrane_carry and self.refractory:
            carried["refractory"] = (self.neurons,)
        if self.recurrent:
            carried["spikes"] = (read[0].steps, self.neurons)
        if self.delays is not None:
            carried["delayed"] = (self.delays, read[0].width)
        return carried

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return the spikes, uint8 [rows, steps, neurons], in words so wide that nothing saturates."""
        source, steps = read[0], read[0].edge.steps
        x = source.values.astype(np.int64) if self.feedforward else np.rint(source.values).astype(np.int64)
        if source.edge.kind != "spikes":
            x = np.repeat(x[:, None], steps, axis=1)
        none = np.zeros(self.neurons, np.int64)
        bias, later, rest = (
            tensors.get(f"{self.name}.{end}", none).astype(np.int64) for end in ("bias", "recurrent_bias", "rest")
        )
        beta, threshold, leak = (self.number(end, tensors) for end in ("beta", "threshold", "synapse_beta"))
        spikes = np.zeros((len(x), steps, self.neurons), np.uint8)
        for first, last in pairwise(source.starts):
            line = x[first:last].reshape(-1, x.shape[2])  # time step after time step
            membrane, synapse, wait = rest, none, none
            for n in range(len(line)):
                t, s = first + n // steps, n % steps
                if s == 0 and not self.membrane_carry:
                    membrane, synapse, wait = rest, none, none
                current = plain.shifted(self._plain_current(line, n, tensors) + bias, self.input_shift)
                if self.recurrent and t > first:
                    weights = tensors[self.tensor_name("recurrent_weight")].astype(np.int64)
                    current = current + plain.shifted(spikes[t - 1, s] @ weights + later, self.recurrent_shift)
                before = synapse
                if self.synapse_beta is not None:
                    current = leak * synapse // 2**self.synapse_beta_bits + current
                synapse = current
                resting = wait > 0
                new = rest + beta * (membrane - rest) // 2**self.beta_bits
                new = new + (before if self.current == "old" else synapse)
                fired = ((new > threshold) if self.strict else (new >= threshold)) & ~resting
                new = np.where(fired, new - threshold if self.reset == "subtract" else 0, new)
                membrane = np.where(resting, membrane, new)
                wait = np.where(fired, self.refractory, np.maximum(wait - 1, 0))
                spikes[t, s] = fired
        return spikes

    def _plain_current(self, line: NDArray[np.int64], n: int, tensors: Tensors) -> NDArray[np.int64]:
        """Return W^T x of a time step, every synapse looking back by its delay."""
        if not self.feedforward:
            return line[n]
        weights = tensors[self.tensor_name("weight")].astype(np.int64)
        if self.delays is None:
            return line[n] @ weights
        delays = tensors[f"{self.name}.delays"].astype(np.int64)
        delays = np.broadcast_to(delays[:, None] if delays.ndim == 1 else delays, weights.shape)
        past = n - delays
        seen = np.where(past >= 0, line[np.maximum(past, 0), np.arange(len(weights))[:, None]], 0)
        return (seen * weights).sum(axis=0)

    def float_shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        synapse = self.synapse_beta is not None
        if self.euler:
            ends = ["threshold", "membrane_step", *(["synapse_step"] if synapse else []), "input_gain", "resistance"]
        else:
            ends = ["beta", "threshold", *(["synapse_beta"] if synapse else [])]
        shapes = {end: shape for end, shape in self.shapes(read).items() if end not in _LEAKS}
        return {**shapes, **dict.fromkeys(ends, (self.neurons,))}

    def float_problem(self, end: str, tensor: NDArray[Any]) -> str | None:
        return finite_problem(tensor) or (self._delays_problem(tensor) if end == "delays" else None)

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        tensors = exact.tensors
        source = read[0]
        x = source.values.astype(np.float32)
        if self.input == FEATURES and source.edge.kind != "spikes":
            x = x / np.float32(2**source.edge.bits)
        current = self._float_current(x, source, tensors) if self.feedforward else x
        if source.edge.kind != "spikes":
            current = np.repeat(current[:, None], source.edge.steps, axis=1)
        recurrent = None
        if self.recurrent:
            recurrent = tensors[self.tensor_name("recurrent_weight")].astype(np.float32)
        given: dict[str, Any] = {
            end: np.broadcast_to(tensors[f"{self.name}.{end}"].astype(np.float32).reshape(-1), (self.neurons,))
            for end in (*_LEAKS, *_EULER, "recurrent_bias") if f"{self.name}.{end}" in tensors
        }  # fmt: skip
        bias = tensors.get(f"{self.name}.bias")
        if self.euler:
            spikes = lif_euler(
                current if bias is None else current + bias.astype(np.float32), recurrent, source.starts,
                reset_subtract=self.reset == "subtract", old_current=self.current == "old", strict=self.strict,
                membrane_carry=self.membrane_carry, refractory=self.refractory, leaky=self.beta != 1, **given,
            )  # fmt: skip
            return spikes, source.starts
        spikes = lif_float(
            current, recurrent, source.starts, given["beta"], given["threshold"], self.reset == "subtract",
            self.membrane_carry, bias=bias, recurrent_bias=given.get("recurrent_bias"), refractory=self.refractory,
            alpha=given.get("synapse_beta"), old_current=self.current == "old", rest=given.get("rest"),
            strict=self.strict,
        )  # fmt: skip
        return spikes, source.starts

    def _float_current(self, x: NDArray[np.float32], source: Signal, tensors: Tensors) -> NDArray[np.float32]:
        """Return W^T x of every time step; with delays, delay after delay in ascending order."""
        weights = tensors[self.tensor_name("weight")].astype(np.float32)
        if self.delays is None:
            return x @ weights
        delays = np.rint(tensors[f"{self.name}.delays"]).astype(np.int64)
        delays = np.broadcast_to(delays[:, None] if delays.ndim == 1 else delays, weights.shape)
        current = np.zeros((*x.shape[:2], self.neurons), np.float32)
        for delay in np.unique(delays).tolist():
            late = delayed(source.values, source.starts, delay).astype(np.float32)
            current += late @ np.where(delays == delay, weights, np.float32(0))
        return current


class SpikeSumOp(Op):
    """A linear readout: y[t] = sum_s sum_j S[t,s,j] W_j over all time steps of a row.

    With ``beta`` below 1 it leaks, y = floor(beta y) + sum_j S[t,s,j] W_j in each time step, and y[t] is that of the
    last one. ``beta``: a multiple of 2^-``beta_bits``. With ``carry`` y goes on from row to row, and begins at 0 in an
    utterance; else it begins at 0 in each row. ``neurons``: how many outputs. Tensors: ``<name>.weight`` [inputs,
    neurons] of ``weight_bits``, or the one that ``weights`` names; where it leaks a float network has ``<name>.beta``.
    """

    op: Literal["spike_sum"]
    over_frames: ClassVar[bool] = True
    spiking: ClassVar[bool] = True
    input: str
    neurons: PositiveInt
    weight_bits: SpikeWeightBits = 8
    weights: str | None = None
    beta: Leak = 1.0
    beta_bits: LeakBits = 8
    carry: bool = False
    takes: ClassVar[frozenset[Kind]] = frozenset({"spikes"})

    @model_validator(mode="after")
    def _consistent(self) -> SpikeSumOp:
        _check_leak("beta", self.beta, self.beta_bits)
        return self

    def beta_numerator(self) -> int:
        """Return beta as the integer that the hardware multiplies by: beta * 2^beta_bits."""
        return int(self.beta * 2**self.beta_bits)

    def infer(self, read: Sequence[Edge]) -> Edge:
        return Edge(self.neurons, 1, read[0].stride, "codes", bits=32)

    def matrices(self, read: Sequence[Edge]) -> dict[str, tuple[int, int]]:
        """Return inputs and outputs of its matrix, by the end of its tensor's name."""
        return {"weight": (read[0].width, self.neurons)}

    def products(self, read: Sequence[Edge], given: Edge) -> int:
        return _products(self.matrices(read), read)

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {**self.matrices(read)}

    def shape_problem(self, end: str, shape: tuple[int, ...], found: tuple[int, ...]) -> str | None:
        one = end in _LEAKS and math.prod(found) == 1
        return None if one else super().shape_problem(end, shape, found)

    def tensor_name(self, end: str) -> str:
        return self.weights if end == "weight" and self.weights else f"{self.name}.{end}"

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        return {self.tensor_name("weight"): integer_weights(random, self.shapes(read)["weight"], self.weight_bits)}

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        return integer_problem(tensor, *signed_range(self.weight_bits), self.weight_bits)

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        return {"sum": (self.neurons,)} if self.carry else {}

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return the sums, int64 [rows, neurons], in words so wide that nothing saturates."""
        weights = tensors[self.tensor_name("weight")].astype(np.int64)
        out = np.zeros((len(read[0].values), self.neurons), np.int64)
        for first, last in pairwise(read[0].starts):
            y = np.zeros(self.neurons, np.int64)
            for t in range(first, last):
                y = y if self.carry else np.zeros_like(y)
                for spikes in read[0].values[t]:
                    y = self.beta_numerator() * y // 2**self.beta_bits + spikes.astype(np.int64) @ weights
                out[t] = y
        return out

    def float_shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return self.shapes(read) if self.beta == 1 else {**self.shapes(read), "beta": (1,)}

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        tensors = exact.tensors
        spikes, starts = read[0].values, read[0].starts
        weights = tensors[self.tensor_name("weight")].astype(np.float32)
        if self.beta == 1 and not self.carry:
            rows = [spikes[a:b].sum(axis=1, dtype=np.float32) @ weights for a, b in pairwise(starts)]
            return np.concatenate(rows), starts
        beta = np.float32(1 if self.beta == 1 else tensors[f"{self.name}.beta"].item())
        out = np.zeros((len(spikes), self.neurons), np.float32)
        for first, last in pairwise(starts):
            sums = spikes[first:last].astype(np.float32) @ weights  # [rows, steps, neurons]
            y = np.zeros(self.neurons, np.float32)
            for t, row in enumerate(sums, first):
                y = y if self.carry else np.zeros_like(y)
                for step in row:
                    y = beta * y + step
                out[t] = y
        return out, starts


OPS.register("lif", LifOp)
OPS.register("spike_sum", SpikeSumOp)
