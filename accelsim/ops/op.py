"""What an op is: its keys, what it reads and gives, its tensors, and its meaning apart from any hardware.

An op stands in one file of this package, or in a plug-in, and registers itself in `OPS`. Engines know the abstract
classes of this file alone: whoever multiplies matrices runs every `WeightedOp`, whoever has a vector unit every
`VectorOp`. So a new op of one of these classes runs everywhere without an edit elsewhere.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import AfterValidator, model_validator

from accelsim.kernels.activation import LARGEST_CODE, dequantise, quantise, rescale
from accelsim.kernels.conv import Starts
from accelsim.kernels.fixed_point import requantise, signed_range
from accelsim.kernels.number import Arithmetic, FloatExceptions, Number, Values, values_of
from accelsim.kernels.requantise import LANES, Rounding, Scaling, quantised
from accelsim.ops import plain, plain_integer
from accelsim.registry import Registry
from accelsim.schema.names import OpName
from accelsim.schema.parse import Model

FEATURES = "features"
"""What an op reads that reads the inputs."""

FLOAT_BITS = 16
LARGEST_INTEGER_BITS = 8
SUM_BITS = 32
_AT_ONCE = 1 << 20
"""How many values are worked on together where all would take memory for nothing."""
DEVIATIONS = 4.0
"""How many deviations the largest code of generated tensors stands for."""
ANY_LENGTH = 2**31
"""Rows of the longest utterance where nothing limits it."""

EXACT = Arithmetic()
"""Everything in float32."""

Kind = Literal["codes", "spikes", "real"]
Tensors = Mapping[str, NDArray[Any]]


def _weight_bits(bits: int) -> int:
    if not (1 <= bits <= LARGEST_INTEGER_BITS or bits == FLOAT_BITS):
        raise ValueError(f"must be 1 to {LARGEST_INTEGER_BITS}, or {FLOAT_BITS} for float16, found {bits}")
    return bits


WeightBits = Annotated[int, AfterValidator(_weight_bits)]


@dataclass(frozen=True)
class Edge:
    """What travels from one op to the next: rows of ``width`` values, one row for every ``stride`` frames of the input.

    ``kind``: ``real`` numbers in the format of the unit that made them; ``codes``, integers of ``bits`` that stand for
    scale (code - zero_point); ``spikes``, 0 or 1 in each of ``steps`` time steps of a row. Other edges pass the number
    of steps on to the spiking ops behind them. ``bands``: into how many bands a row is divided, channels side by side
    within a band. ``distances``: the rows stand for distances between frames, not for frames. ``unsigned``: codes are
    0 .. 2^bits - 1, as features are. ``full_range``: codes made by an op with an ``output``, which keep all their
    values when they are read as real numbers; other codes of 8 bits are symmetric ones then, see `Datapath.real`.
    """

    width: int
    bands: int = 1
    stride: int = 1
    kind: Kind = "real"
    bits: int = 0
    scale: float = 1.0
    zero_point: int = 0
    steps: int = 1
    distances: bool = False
    unsigned: bool = False
    full_range: bool = False

    @property
    def channels(self) -> int:
        """Return the values of one band."""
        return self.width // self.bands


@dataclass(frozen=True)
class Signal:
    """The values of an edge over a whole batch: [rows, width], or [rows, steps, width] of spikes.

    ``starts``: offsets of the utterances in the rows, [utterances + 1].
    """

    values: NDArray[Any]
    starts: Starts
    edge: Edge

    def longest(self) -> int:
        """Return the rows of the longest utterance."""
        return int(np.diff(self.starts).max(initial=0))

    def codes(self) -> tuple[NDArray[Any], int]:
        """Return signed codes q and their zero point z: of unsigned ones of n bits, both less 2^(n - 1)."""
        if not self.edge.unsigned:
            return self.values, self.edge.zero_point
        middle, kind = 1 << (self.edge.bits - 1), np.int8 if self.edge.bits <= LARGEST_INTEGER_BITS else np.int16
        return (self.values.astype(np.int32) - middle).astype(kind), self.edge.zero_point - middle

    def reals(self) -> Values:
        """Return the real numbers that all values stand for, in float32: s (q - z) of codes, none clamped."""
        if self.edge.kind == "real":
            return np.asarray(self.values, np.float32)
        centred = self.values.astype(np.int32) - self.edge.zero_point
        return centred.astype(np.float32) * np.float32(self.edge.scale)


def outputs_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return the outputs of a network, [rows, width]: the values of its last op, of spikes the counts of each row."""
    return values.sum(axis=1, dtype=np.int32) if values.ndim == 3 else values


@dataclass(frozen=True)
class RowWindow:
    """Which rows of its input an op reads for row t: t - behind .. t + ahead.

    With ``whole`` it reads all rows of an utterance. With a ``chunk`` of B rows, rows t .. t + B - 1 are worked on
    together when the first of them is, t a multiple of B.
    """

    behind: int = 0
    ahead: int = 0
    whole: bool = False
    chunk: int = 1


class Op(Model):
    """One op of a network. Subclasses say what it reads and gives, and compute it."""

    name: OpName
    op: str
    takes: ClassVar[frozenset[Kind]] = frozenset({"real", "codes"})
    """The kinds of edges that it can read."""
    over_frames: ClassVar[bool] = False
    """Whether it joins neighbouring rows, or carries a state from row to row, so that rows must stand for frames."""
    spiking: ClassVar[bool] = False
    """Whether random activity can drive it, see `accelsim.schema.workload.RandomInputs`."""
    constants: ClassVar[frozenset[str]] = frozenset()
    """The ends of its tensors that are neither weights nor biases; those of scales end in ``_scale``."""
    spread: ClassVar[float] = 1.0
    """Root mean square of what it makes of normal numbers of deviation 1, for generated weights."""

    def reads(self) -> tuple[str, ...]:
        """Return the names of what it reads."""
        return (self.input,)  # type: ignore[attr-defined]

    def settled(self, read: Sequence[Edge], rounding: Rounding) -> Self:
        """Return the op as it stands in a graph, from what it reads there and how the network rounds."""
        return self

    def infer(self, read: Sequence[Edge]) -> Edge:
        """Return what it gives, from what it reads; raises ValueError with what does not fit."""
        return real(read[0])

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of its tensors by the ends of their names; those of scales are ()."""
        return {}

    def products(self, read: Sequence[Edge], given: Edge) -> int:
        """Return the multiply-accumulates of a row that it gives with its tensors, as if no input were zero."""
        return 0

    def optional(self) -> frozenset[str]:
        """Return the ends of the tensors that may be missing."""
        return frozenset()

    def spread_of(self, read: Sequence[float]) -> float:
        """Return the deviation of what it gives, from those of what it reads."""
        return (read[0] if read else 1.0) * self.spread

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        """Return tensors drawn at random, by their full names: normal numbers of deviation 0.1, unless an op says else.

        ``spread``: the deviation of what it reads first; ``last``: whether it gives the outputs.
        """
        return {self.tensor_name(end): normal(random, shape, 0.1) for end, shape in self.shapes(read).items()}

    def shape_problem(self, end: str, shape: tuple[int, ...], found: tuple[int, ...]) -> str | None:
        """Return what is wrong with the shape that was found of a tensor, ``shape`` being that of `shapes`."""
        return None if shape == found else f"has shape {list(found)}, expected {list(shape)}"

    def tensor_name(self, end: str) -> str:
        """Return the full name of a tensor."""
        return f"{self.name}.{end}"

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        """Return what is wrong with a tensor's type or values, or None; its shape is right."""
        return finite_problem(tensor)

    def float_shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors that its float network has."""
        return self.shapes(read)

    def float_problem(self, end: str, tensor: NDArray[Any]) -> str | None:
        """Return what is wrong with a tensor of the float network, or None."""
        return finite_problem(tensor)

    def distances_problem(self, read: Sequence[Edge]) -> str | None:
        """Return why it cannot take rows of distances for rows of frames as it would, or None."""
        if len({edge.distances for edge in read}) > 1:
            return "mixes rows of frames with vectors of distances"
        if self.over_frames and any(edge.distances for edge in read):
            return f"({self.op}) works over frames, and '{self.reads()[0]}' gives vectors of distances"
        return None

    def window(self, read: Sequence[Edge]) -> RowWindow:
        """Return which rows of what it reads first a row needs: its state from step to step."""
        return RowWindow()

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        """Return what it carries from one row to the next beside rows of its input: name -> shape."""
        return {}

    def value_bits(self, given: Edge, tensors: Tensors, number_bits: int) -> int:
        """Return the bits of one of its values in memory; ``number_bits``: of the numbers of the unit that makes it."""
        return {"real": number_bits, "codes": given.bits, "spikes": 1}[given.kind]

    def starts(self, read: Sequence[Signal]) -> Starts:
        """Return where each utterance starts in the rows that it gives, [utterances + 1]."""
        return read[0].starts

    @abstractmethod
    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return its values in plain NumPy: the definition that every digital engine meets bit for bit.

        ``number``: of the unit's values; its sums are float32 ones, its norms plain, its softmax shifted. An op that
        reads nothing is given the rows between which its distances lie. Calls nothing of `accelsim.kernels`.
        """

    @abstractmethod
    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        """Return its values in the float network, whose tensors ``exact`` has, and the starts of its rows.

        ``unit``: what features are divided by, see `accelsim.workload.WorkloadSpec`.
        """


class DatapathOp(Op):
    """An op that the units of a digital engine compute, row by row: it keeps no state but rows of its input."""

    @abstractmethod
    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        """Return its values and the starts of its rows; raises ValueError for values that the op cannot take."""

    def advance(self, read: Sequence[Signal], state: Any, unit: Datapath) -> tuple[NDArray[Any], Any]:
        """Return its values of the next rows of one utterance, and its state behind them.

        ``read``: these rows alone; ``state``: None before the first ones. It is the end of what the op has read first,
        as many rows as its `window` looks back at, in whole strides. Rows that come one push after the other give the
        values that `compute` gives for all of them, bit for bit.
        """
        edges = [signal.edge for signal in read]
        first, stride = read[0], self.infer(edges).stride // edges[0].stride
        kept = -(-self.window(edges).behind // stride) * stride
        if not kept:
            return self.compute(read, unit)[0], None
        before = first.values[:0] if state is None else state
        rows = np.concatenate([before, first.values])
        longer = Signal(rows, np.array([0, len(rows)], np.int64), first.edge)
        values, _ = self.compute([longer, *read[1:]], unit)
        return values[len(before) // stride :], rows[-kept:]

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        return self.compute(read, exact)


class Quantisation(Model):
    """What codes an op gives: q = clamp(zero_point + round(x / scale), low, high), which stands for scale (q - z).

    q is a signed word of ``bits``. ``low`` and ``high`` are the op's own limits, as a fused ReLU or ReLU6 has them;
    left out, the word's ends -2^(bits - 1) and 2^(bits - 1) - 1. What lies beyond a limit that is given is cut off as
    the network means it. What lies beyond the end of a word where no limit is given is a saturation, and is counted.
    The ``scale`` is a float32 number.
    """

    scale: Annotated[float, Gt(0)]
    zero_point: int = 0
    bits: Literal[8, 16] = 8
    low: int | None = None
    high: int | None = None

    @model_validator(mode="after")
    def _within_the_word(self) -> Quantisation:
        least, most = signed_range(self.bits)
        for name in ("zero_point", "low", "high"):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name} is a code of {self.bits} bits, {least} .. {most}, found {value}")
        low, high = self.limits()
        if low > high:
            raise ValueError(f"low lies above high, found low {low} and high {high}")
        if not 0 < np.float32(self.scale) < np.inf:
            raise ValueError(f"the scale is a float32 number greater than 0, found {self.scale:g}")
        return self

    def limits(self) -> tuple[int, int]:
        """Return the least and the largest code that it gives."""
        least, most = signed_range(self.bits)
        return least if self.low is None else self.low, most if self.high is None else self.high

    def counted(self) -> tuple[bool, bool]:
        """Return whether a word below, or above, the limits is a saturation."""
        return self.low is None, self.high is None

    def word(self) -> type[Any]:
        """Return the type of its codes."""
        return np.int8 if self.bits <= LARGEST_INTEGER_BITS else np.int16

    def edge(self, shape: Edge) -> Edge:
        """Return an edge of the shape of ``shape`` with such codes."""
        return replace(
            shape, kind="codes", bits=self.bits, scale=float(np.float32(self.scale)), zero_point=self.zero_point,
            unsigned=False, full_range=True,
        )  # fmt: skip

    def activation(self, values: Values) -> Values:
        """Return real numbers within the limits that are given: what the float network has in their place."""
        low, high = (
            end if code is None else (code - self.zero_point) * np.float32(self.scale)
            for code, end in ((self.low, -np.inf), (self.high, np.inf))
        )
        return np.clip(values, np.float32(low), np.float32(high))


class QuantisedOp(DatapathOp):
    """An op that computes integers where it has an ``output``, see `Quantisation`: codes in, codes out.

    ``rounding``: how it makes them, see `accelsim.kernels.requantise`; the network's unless it is given.
    """

    output: Quantisation | None = None
    rounding: Rounding | None = None

    def settled(self, read: Sequence[Edge], rounding: Rounding) -> Self:
        if self.output is None or self.rounding is not None:
            return self
        return self.model_copy(update={"rounding": rounding})

    def how(self) -> Rounding:
        """Return how it rounds."""
        return self.rounding or "double_away"

    def check_codes(self, read: Sequence[Edge], *, bits: tuple[int, ...] = (8, 16)) -> None:
        """Raise ValueError unless all that it reads are codes of so many bits."""
        for name, edge in zip(self.reads(), read, strict=True):
            if edge.kind != "codes" or edge.bits not in bits:
                found = f"codes of {edge.bits} bits" if edge.kind == "codes" else f"{edge.kind} numbers"
                widths = " or ".join(map(str, bits))
                raise ValueError(
                    f"with an 'output' it reads codes of {widths} bits, and '{name}' gives {found}: an op 'quantise' "
                    "makes codes of real numbers"
                )


class ShortForm(Model):
    """A short way to write several ops: it is replaced by them before anything else looks at a graph."""

    name: OpName
    op: str

    @abstractmethod
    def ops(self) -> Iterable[Op]:
        """Return the ops that it stands for, in order; many are best made one by one, when asked for."""


class VectorOp(DatapathOp):
    """An op of a vector unit: nothing but work on single values, or on rows."""

    @abstractmethod
    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        """Return what the lanes of a vector unit do for a row that it gives."""


class QuantisedVectorOp(QuantisedOp, VectorOp):
    """An op of a vector unit on real numbers that has integers too, where it has an ``output``.

    With ``rounding: half_even`` it computes float32 numbers from the codes and quantises them, whatever the unit's own
    format, as a graph of QuantizeLinear and DequantizeLinear does; else what `integers` says.
    """

    @abstractmethod
    def shape(self, read: Sequence[Edge]) -> Edge:
        """Return the edge of real numbers that it gives; raises ValueError with what does not fit."""

    @abstractmethod
    def values(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        """Return its real values and the starts of its rows."""

    @abstractmethod
    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        """Return its real values in plain NumPy."""

    @abstractmethod
    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        """Return its codes, in the roundings of a multiplier and a shift."""

    @abstractmethod
    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        """Return its codes in plain NumPy."""

    @abstractmethod
    def real_work(self, read: Sequence[Edge]) -> Work:
        """Return what the lanes do for a row of real numbers."""

    @abstractmethod
    def integer_work(self, read: Sequence[Edge]) -> Work:
        """Return what the lanes do for a row of codes."""

    def read_for_each(self) -> int:
        """Return how many values it reads for each one that it gives."""
        return len(self.reads())

    def check_integers(self, read: Sequence[Edge], output: Quantisation) -> None:
        """Raise ValueError for codes, or an output, that its integers do not have."""

    def infer(self, read: Sequence[Edge]) -> Edge:
        edge = self.shape(read)
        if self.output is None:
            return edge
        self.check_codes(read)
        if self.how() != "half_even":
            self.check_integers(read, self.output)
        return self.output.edge(edge)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        if self.output is None:
            return self.real_work(read)
        if self.how() != "half_even":
            return self.integer_work(read)
        work = self.real_work(read)  # q - z and a product of what it reads; product, rounding, z of what it gives
        return replace(work, operations=work.operations + 2 * self.read_for_each() + 3)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        if self.output is None:
            return self.values(read, unit)
        if self.how() != "half_even":
            return self.integers(read, self.output, unit), self.starts(read)
        values, starts = self.values([_in_reals(signal) for signal in read], Datapath({}))
        return unit.quantised(self, values, self.output), starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        if self.output is None:
            return self.plain_values(read, number)
        if self.how() != "half_even":
            return self.plain_integers(read, self.output)
        reals = [Signal(plain_integer.real(x), x.starts, replace(x.edge, kind="real")) for x in read]
        return plain_integer.quantised(self.plain_values(reals, "float32"), self.output, "half_even")

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        if self.output is None:
            return self.compute(read, exact)
        values, starts = self.values([_in_reals(signal) for signal in read], exact)
        return self.output.activation(values), starts


def _in_reals(signal: Signal) -> Signal:
    """Return a signal of codes as one of the real numbers that they stand for."""
    return Signal(signal.reals(), signal.starts, replace(signal.edge, kind="real"))


@dataclass(frozen=True)
class Work:
    """What a vector unit does for a row: ``operations`` and ``special`` functions on each of its values, or once.

    Special functions are exponentials, quotients and roots.
    """

    operations: int
    special: int = 0
    special_per_row: int = 0


class WeightedOp(QuantisedOp):
    """An op that multiplies codes, or float16 numbers, by a matrix of weights.

    ``gives: real``: the op takes symmetric 8-bit codes and gives real numbers; s_in, s_w, s_out are scales of the
    weights file, Q(x) = clamp(round(x), -127, 127), halves to even, S the sum over the op's inputs:

        y = s_out Q(((s_in s_w) S q_w Q(x / s_in) + b) / s_out), and without an output scale y = (s_in s_w) S + b

    ``gives: codes``: the op takes signed words of ``input_bits``, u = clamp(round(input_scale x) - input_offset), and
    gives the sums as they are, y = S q_w u + b with an integer bias. Tensors: ``<name>.weight`` (int8), or the tensor
    that ``weights`` names, ``.bias``, and for real numbers ``.weight_scale``, ``.input_scale``, ``.output_scale``.

    With ``weight_bits: 16`` the op has float16 weights and no scales: y = S w x + b, see
    `accelsim.kernels.float_product`. Weights of one bit are -1 or 1.

    With an ``output`` it computes the integers of a quantised network: with codes q and zero point z of what it reads,
    and int8 weights, a = S (q - z) q_w + b, y = clamp(z_out + round(M a)). The array multiplies q, and beyond the ends
    lies z, so that - z S q_w is added with the bias. M = double(float32(s_in s_w)) / double(s_out) for one scale, M =
    double(s_in) double(s_w) / double(s_out) for one of each output. Tensors: ``.weight``, ``.weight_scale`` float32
    [] or [outputs], and ``.bias`` int32 of scale s_in s_w.
    """

    input: str
    weight_bits: WeightBits = 8
    weights: str | None = None
    gives: Literal["real", "codes"] = "real"
    input_bits: Annotated[int, Ge(2), Le(8)] = 8
    input_scale: Annotated[float, Gt(0)] = 1.0
    input_offset: int = 0

    @abstractmethod
    def matrix(self, read: Sequence[Edge]) -> tuple[int, int]:
        """Return inputs and outputs of the matrix, or of one position of a convolution."""

    @model_validator(mode="after")
    def _one_kind_of_numbers(self) -> Self:
        if self.output is None:
            return self
        if self.gives == "codes" or self.in_float():
            raise ValueError("an 'output' is for integer weights and 'gives: real'")
        if (self.input_bits, self.input_scale, self.input_offset) != (LARGEST_INTEGER_BITS, 1.0, 0):
            raise ValueError("with an 'output' codes are read as they are: leave out input_bits, _scale and _offset")
        return self

    @abstractmethod
    def multiply(
        self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts, beyond: int = 0
    ) -> tuple[NDArray[Any], Starts]:
        """Return the exact sums of products of codes [rows, width], and the starts of the new rows.

        ``beyond``: the code that lies beyond the ends of an utterance, and beyond the outer bands.
        """

    @abstractmethod
    def multiply_float(
        self, x: Values, weight: NDArray[Any], bias: NDArray[Any] | None, starts: Starts, unit: Datapath
    ) -> tuple[Values, Starts]:
        """Return sums of float16 products and their bias, in the formats of a datapath."""

    @abstractmethod
    def operands(self, x: NDArray[Any], weight: NDArray[Any], starts: Starts) -> NDArray[Any]:
        """Return in plain NumPy what every sum multiplies, in the order of its weights: [rows', positions, inputs, 1].

        Where every channel is multiplied for itself: [rows', positions, inputs, channels]. x: [rows, width].
        """

    def positions(self, given: Edge) -> int:
        """Return on how many positions of a row the matrix is used."""
        return 1

    def products(self, read: Sequence[Edge], given: Edge) -> int:
        inputs, outputs = self.matrix(read)
        return inputs * outputs * self.positions(given)

    def each_channel(self) -> bool:
        """Return whether every channel is multiplied for itself, so that no two outputs share an input."""
        return False

    def in_float(self) -> bool:
        """Return whether the weights are float16 numbers, not integers."""
        return self.weight_bits == FLOAT_BITS

    def tensor_name(self, end: str) -> str:
        return self.weights if end == "weight" and self.weights is not None else f"{self.name}.{end}"

    def optional(self) -> frozenset[str]:
        return frozenset({"bias", "output_scale"})

    def spread_of(self, read: Sequence[float]) -> float:
        return 1.0

    def check_output(self, read: Sequence[Edge]) -> None:
        """Raise ValueError unless it reads codes that an array multiplies, where it has an ``output``."""
        if self.output is not None:
            self.check_codes(read, bits=(LARGEST_INTEGER_BITS,))

    def given(self, edge: Edge) -> Edge:
        """Return an edge of the shape of ``edge`` with what the op gives in it: real numbers, or sums."""
        if self.output is not None:
            return self.output.edge(Edge(edge.width, edge.bands, edge.stride, distances=edge.distances))
        kind: dict[str, Any] = {"kind": "codes", "bits": SUM_BITS} if self.gives == "codes" else {"kind": "real"}
        return Edge(edge.width, edge.bands, edge.stride, distances=edge.distances, **kind)

    def tensors_of(self, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all tensors, from that of the weight."""
        if self.in_float() or self.gives == "codes":
            return {"weight": weight, "bias": weight[-1:]}
        if self.output is not None:
            return {"weight": weight, "weight_scale": weight[-1:], "bias": weight[-1:]}
        scales: dict[str, tuple[int, ...]] = dict.fromkeys(("weight_scale", "input_scale", "output_scale"), ())
        return {"weight": weight, **scales, "bias": weight[-1:]}

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        """Return weights that give values of deviation 1, a bias, and scales that reach four deviations.

        Integer weights are rounded normal numbers with a third of the largest weight as their deviation.
        """
        shapes = self.shapes(read)
        tensors: dict[str, NDArray[Any]] = {}
        weight, shape = self.tensor_name("weight"), shapes["weight"]
        if self.output is not None:
            return self._generated_integers(read[0], shape, random)
        fan_in = math.sqrt(math.prod(shape[:-1]))
        if self.in_float():
            tensors[weight] = normal(random, shape, 1 / (spread * fan_in)).astype(np.float16)
        else:
            tensors[weight] = integer_weights(random, shape, self.weight_bits)
            deviation = math.sqrt(_mean_square(tensors[weight][:4096])) or 1.0
            if self.gives == "real":
                gain = 1 / (spread * deviation * fan_in)
                tensors[f"{self.name}.weight_scale"] = np.array(gain, np.float32)
                tensors[f"{self.name}.input_scale"] = np.array(DEVIATIONS * spread / LARGEST_CODE, np.float32)
                if not last:
                    tensors[f"{self.name}.output_scale"] = np.array(DEVIATIONS / LARGEST_CODE, np.float32)
        bias = normal(random, shapes["bias"], 0.1)
        whole = self.gives == "codes"
        tensors[f"{self.name}.bias"] = np.rint(bias * 100).astype(np.int32) if whole else bias
        return tensors

    def _generated_integers(
        self, read: Edge, shape: tuple[int, ...], random: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Return tensors that make of codes of a third of the range such codes again, each output by its own scale."""
        assert self.output is not None
        weight = integer_weights(random, shape, self.weight_bits)
        reach = math.sqrt(math.prod(shape[:-1]) * _mean_square(weight))
        gain = random.uniform(0.5, 1.5, shape[-1:]) * 2.0 ** (self.output.bits - read.bits) / reach
        return {
            self.tensor_name("weight"): weight,
            self.tensor_name("weight_scale"): (gain * self.output.scale / read.scale).astype(np.float32),
            self.tensor_name("bias"): np.rint(normal(random, shape[-1:], 10 * reach)).astype(np.int32),
        }

    def shape_problem(self, end: str, shape: tuple[int, ...], found: tuple[int, ...]) -> str | None:
        if end != "weight_scale" or not shape:
            return super().shape_problem(end, shape, found)
        return None if found in (shape, ()) else f"has shape {list(found)}, expected {list(shape)} or []"

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        if end == "bias" and self.output is not None:
            return None if tensor.dtype == np.int32 else f"has type {tensor.dtype}, expected int32"
        if end == "weight" and self.in_float():
            if tensor.dtype != np.float16:
                return f"has type {tensor.dtype}, expected float16"
            return finite_problem(tensor)
        if end == "weight":
            low, high = (
                signed_range(self.weight_bits)
                if self.gives == "codes" or self.output is not None
                else (-largest_weight(self.weight_bits), largest_weight(self.weight_bits))
            )
            found = integer_problem(tensor, low, high, self.weight_bits)
            return found if found or self.output is None else self._overflow(tensor, tensors)
        if end == "bias" and self.gives == "codes":
            return None if tensor.dtype in (np.int8, np.int16, np.int32) else f"has type {tensor.dtype}, expected int32"
        if end.endswith("_scale") and np.isfinite(tensor).all() and not (tensor > 0).all():
            return f"must be greater than 0, found {float(tensor.min()):g}"
        return finite_problem(tensor)

    def _overflow(self, weight: NDArray[np.int8], tensors: Tensors) -> str | None:
        """Return what is wrong with sums that 32 bits do not hold, whatever the codes."""
        sums = 255 * magnitudes(weight)
        bias = tensors.get(self.tensor_name("bias"))
        if bias is not None and bias.shape == sums.shape and bias.dtype.kind == "i":
            sums = sums + np.abs(bias.astype(np.int64))
        most = int(sums.max(initial=0))
        return None if most < 2**31 else f"makes sums of up to {most:,}, which 32 bits do not hold"

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        if self.output is not None:
            return self._integers(read[0], self.output, unit)
        if self.in_float():
            return self._float16(read[0], unit)
        return (self._sums if self.gives == "codes" else self._scaled)(read, unit)

    def source(self, read: Sequence[Signal]) -> NDArray[Any]:
        """Return the codes or sums that are requantised to words of ``input_bits``."""
        return read[0].values

    def finish(self, sums: NDArray[Any], read: Sequence[Signal]) -> NDArray[Any]:
        """Return what the op gives, from its sums."""
        return sums

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        weight, bias = tensors[self.tensor_name("weight")], tensors.get(f"{self.name}.bias")
        if self.in_float():
            sums = self._plain_sums(plain.real(read[0], number), plain.rounded(weight, number), read[0].starts)
            if bias is not None:
                sums = sums + plain.rounded(bias, number)
            return self._flat(plain.rounded(sums, number))
        wide = weight.astype(np.int64)
        if self.output is not None:
            sums = self._plain_sums(plain_integer.centred(read[0]), wide, read[0].starts)
            sums = sums if bias is None else sums + bias.astype(np.int64)
            of_weights = tensors[self.tensor_name("weight_scale")]
            return self._flat(
                plain_integer.requantised(
                    sums, read[0].edge.scale, of_weights, self.output, self.how(), self.each_channel()
                )
            )  # fmt: skip
        if self.gives == "codes":
            top = 1 << (self.input_bits - 1)
            words = np.clip(np.rint(self.source(read) * self.input_scale) - self.input_offset, -top, top - 1)
            sums = self._plain_sums(words.astype(np.int64), wide, read[0].starts)
            return self.finish(self._flat(sums if bias is None else sums + bias.astype(np.int64)), read)
        input_scale = tensors[f"{self.name}.input_scale"]

        def code(x: NDArray[Any], scale: NDArray[Any]) -> NDArray[Any]:
            return np.clip(np.rint(x / np.float32(scale)), -127, 127)

        codes = code(plain.real(read[0], number), input_scale).astype(np.int64)
        scale = np.float32(input_scale * tensors[f"{self.name}.weight_scale"])
        y = self._plain_sums(codes, wide, read[0].starts).astype(np.float32) * scale
        y = y if bias is None else y + bias.astype(np.float32)
        if (output_scale := tensors.get(f"{self.name}.output_scale")) is not None:
            y = code(y, output_scale) * np.float32(output_scale)
        return self._flat(plain.rounded(y, number))

    def _plain_sums(self, x: NDArray[Any], weight: NDArray[Any], starts: Starts) -> NDArray[Any]:
        """Return the sums of products [rows', positions, outputs], inputs ascending, in the type of the weights."""
        matrix = weight.reshape(-1, weight.shape[-1])
        seen = self.operands(x, weight, starts)
        sums = np.zeros((*seen.shape[:2], matrix.shape[1]), matrix.dtype)
        for i, row in enumerate(matrix):
            sums = sums + seen[:, :, i] * row
        return sums

    @staticmethod
    def _flat(values: NDArray[Any]) -> NDArray[Any]:
        """Return [rows, positions, outputs] as rows."""
        return values.reshape(len(values), -1)

    def _integers(self, x: Signal, output: Quantisation, unit: Datapath) -> tuple[NDArray[Any], Starts]:
        codes, zero = x.codes()
        weight, bias = unit.tensors[self.tensor_name("weight")], unit.tensors.get(self.tensor_name("bias"))
        sums, starts = unit.multiply(self, codes, x.starts, zero)
        offsets = -zero * weight.reshape(-1, weight.shape[-1]).sum(axis=0, dtype=np.int64)
        offsets = offsets if bias is None else offsets + bias.astype(np.int64)
        of_weights = unit.tensors[self.tensor_name("weight_scale")]
        outputs = sums.shape[-1]
        alike = outputs // LANES * LANES if self.how() == "double_up" and self.each_channel() else outputs
        scaling = Scaling.product(x.edge.scale, of_weights, output.scale, self.how(), alike)
        return self._flat(unit.requantised(self, sums, scaling, output, offsets)), starts

    def _sums(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        full_scale = 1 << (self.input_bits - 1)
        codes, clamped = requantise(self.source(read), self.input_scale, self.input_offset, -full_scale, full_scale - 1)
        unit.saturated(self, clamped)
        sums, starts = unit.multiply(self, codes.astype(np.int8), read[0].starts)
        if (bias := unit.tensors.get(self.tensor_name("bias"))) is not None:
            sums = sums + bias.astype(np.int64)
        return self.finish(self._flat(sums), read), starts

    def _scaled(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        name, tensors = self.name, unit.tensors
        input_scale = float(tensors[f"{name}.input_scale"])
        codes, clamped = quantise(unit.real(read[0]), input_scale)
        unit.saturated(self, clamped)
        sums, starts = unit.multiply(self, codes, read[0].starts)
        scale = float(tensors[f"{name}.input_scale"] * tensors[f"{name}.weight_scale"])
        y = self._flat(rescale(sums, scale, tensors.get(f"{name}.bias")))
        if f"{name}.output_scale" not in tensors:
            return unit.rounded(self, y), starts
        output_scale = float(tensors[f"{name}.output_scale"])
        out, beyond = quantise(y, output_scale)
        unit.saturated(self, beyond)
        return dequantise(out, output_scale, unit.vector.number, exceptions=unit.exceptions_of(self)), starts

    def _float16(self, x: Signal, unit: Datapath) -> tuple[NDArray[Any], Starts]:
        weight = unit.tensors[self.tensor_name("weight")].astype(np.float32)
        bias = unit.tensors.get(f"{self.name}.bias")
        y, starts = self.multiply_float(unit.real(x), weight, bias, x.starts, unit)
        return y.reshape(len(y), -1), starts

    def value_bits(self, given: Edge, tensors: Tensors, number_bits: int) -> int:
        if f"{self.name}.output_scale" in tensors:
            return LARGEST_INTEGER_BITS
        return super().value_bits(given, tensors, number_bits)

    def float_shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {end: shape for end, shape in self.shapes(read).items() if not end.endswith("_scale")}

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        weight = exact.tensors[self.tensor_name("weight")].astype(np.float32)
        if self.output is not None:
            bias = exact.tensors.get(f"{self.name}.bias")
            y, starts = self.multiply_float(read[0].reals(), weight, bias, read[0].starts, exact)
            return self.output.activation(y.reshape(len(y), -1)), starts
        x = exact.real(read[0]) if self.gives == "real" else self.float_input(read, unit).astype(np.float32)
        y, starts = self.multiply_float(x, weight, exact.tensors.get(f"{self.name}.bias"), read[0].starts, exact)
        return y.reshape(len(y), -1), starts

    def float_input(self, read: Sequence[Signal], unit: float | None) -> NDArray[Any]:
        """Return what the float network multiplies where the integers are requantised words.

        Features enter as (x - input_offset) / unit, or without a unit as the words do, but not rounded; what another
        op gives enters as it is.
        """
        return float_words(self, self.source(read), unit)


Multiply = Callable[[WeightedOp, NDArray[np.int8], Starts, int], tuple[NDArray[Any], Starts]]
"""Multiplies the codes of all rows by an op's weights: codes [rows, width] -> sums [rows', outputs] and new starts.

The number at the end is the code that lies beyond the ends of an utterance.
"""


@dataclass
class Datapath:
    """The units that compute values: their number formats, what multiplies integers, and what they counted.

    ``vector``, ``attention``, ``array``: how the vector unit computes, the attention (as the vector unit unless it is
    given), and what multiplies float16 weights. ``multiplier``: how integers are multiplied, exactly unless it is
    given. ``longest``: rows of the longest utterance, for vectors of distances; ``reach``: no more distances than
    these. Afterwards ``clamped[op]`` holds codes that were clamped, and with ``count_exceptions`` ``exceptions[op]``
    what went wrong with an op's numbers.
    """

    tensors: Tensors
    vector: Arithmetic = EXACT
    attention: Arithmetic | None = None
    array: Arithmetic = EXACT
    multiplier: Multiply | None = None
    count_exceptions: bool = False
    reach: int = ANY_LENGTH
    longest: int = 0
    clamped: dict[str, int] = field(default_factory=dict)
    exceptions: dict[str, FloatExceptions] = field(default_factory=dict)
    taken: dict[str, tuple[NDArray[np.int64], Starts]] = field(default_factory=dict)
    """Of layers that multiply what has changed alone: how many inputs and states of each row did, [rows, 2]; starts."""
    at: Op | None = None
    """The op that is being computed: what is clamped on the way into it is counted there."""

    def saturated(self, op: Op, words: int) -> None:
        """Count words of an op that were clamped."""
        self.clamped[op.name] = self.clamped.get(op.name, 0) + words

    def rounded(self, op: Op, values: NDArray[Any]) -> Values:
        """Return what an op gives in the vector unit's format; counts what that did to finite numbers."""
        return values_of(values, self.vector.number, exceptions=self.exceptions_of(op))

    def multiply(
        self, op: WeightedOp, codes: NDArray[np.int8], starts: Starts, beyond: int = 0
    ) -> tuple[NDArray[Any], Starts]:
        """Return the sums of an op, exact ones unless a multiplier is given; ``beyond``: see `WeightedOp.multiply`."""
        if self.multiplier is not None:
            return self.multiplier(op, codes, starts, beyond)
        return op.multiply(codes, self.tensors[op.tensor_name("weight")], starts, beyond)

    def requantised(
        self, op: Op, sums: NDArray[Any], scaling: Scaling, output: Quantisation, offsets: NDArray[np.int64] | int = 0
    ) -> NDArray[Any]:
        """Return the codes of sums [.., outputs], to which the offsets are added first; counts saturated words."""
        codes, clamped = scaling.codes(
            sums, offsets, output.zero_point, output.limits(), output.counted(), output.word()
        )  # fmt: skip
        self.saturated(op, clamped)
        return codes

    def quantised(self, op: QuantisedOp, values: NDArray[Any], output: Quantisation) -> NDArray[Any]:
        """Return the codes of real numbers, see `accelsim.kernels.requantise.quantised`; counts saturated words."""
        codes, clamped = quantised(
            values, output.scale, output.zero_point, output.limits(), output.counted(), output.word(), op.how()
        )
        self.saturated(op, clamped)
        return codes

    def exceptions_of(self, op: Op) -> FloatExceptions | None:
        """Return where the exceptions of an op are counted; None where nobody asks."""
        return self.exceptions.setdefault(op.name, FloatExceptions()) if self.count_exceptions else None

    def real(self, signal: Signal) -> Values:
        """Return a signal as real numbers in the vector unit's format: R(scale (code - zero_point)) of codes.

        Codes of 8 bits less their zero point are clamped to -127 .. 127, as a symmetric code is; how many were is
        counted for the op that `evaluate` is at. Codes of the full range are not clamped.
        """
        edge, number = signal.edge, self.vector.number
        found = None if self.at is None else self.exceptions_of(self.at)
        if edge.kind == "real":
            return np.asarray(signal.values, np.float32)
        if edge.bits <= LARGEST_INTEGER_BITS and not edge.full_range:
            centred = signal.values.astype(np.int16) - edge.zero_point
            codes = np.clip(centred, -LARGEST_CODE, LARGEST_CODE)
            if self.at is not None:
                self.saturated(self.at, int(np.count_nonzero(codes != centred)))
            return dequantise(codes.astype(np.int8), edge.scale, number, exceptions=found)
        if edge.full_range:
            return values_of(signal.reals(), number, exceptions=found)
        wide = (signal.values - edge.zero_point).astype(np.float32) * np.float32(edge.scale)
        return values_of(wide, number, exceptions=found)


def evaluate(
    ops: Sequence[DatapathOp],
    signals: dict[str, Signal],
    edges: Mapping[str, Edge],
    unit: Datapath,
    *,
    last_reader: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Compute ops in order and put what they give into ``signals``; raises ValueError that names the op.

    ``last_reader``: by tensor, the op after which nobody needs it any more: it is dropped then.
    """
    for op in ops:
        if progress is not None:
            progress(op.name)
        if not op.reads():
            unit.longest = longest_computed(signals)
        read = [signals[name] for name in op.reads()]
        unit.exceptions_of(op)  # of every op, also of one that can have none
        unit.at = op
        try:
            values, starts = op.compute(read, unit)
        except ValueError as error:
            raise ValueError(f"layer '{op.name}': {error}") from None
        finally:
            unit.at = None
        signals[op.name] = Signal(values, starts, edges[op.name])
        for name in op.reads():
            if last_reader is not None and last_reader[name] == op.name:
                signals.pop(name, None)


def longest_computed(signals: dict[str, Signal]) -> int:
    """Return the rows of the longest utterance where frames were computed last: distances stand between these."""
    return next(signal for signal in reversed(signals.values()) if not signal.edge.distances).longest()


def float_words(op: Any, x: NDArray[Any], unit: float | None) -> NDArray[Any]:
    """Return the words of a float network; ``op`` has ``input``, ``input_scale``, ``input_offset`` and word bits.

    Of features (x - input_offset) / unit in float64, or without a unit x input_scale - input_offset, clamped to the
    words of ``input_bits`` in float32; of other ops x.
    """
    if op.input != FEATURES:
        return x
    if unit is not None:
        return np.asarray((x.astype(np.float64) - op.input_offset) / unit)
    full_scale = 1 << (op.input_bits - 1)
    return np.clip(x.astype(np.float32) * op.input_scale - op.input_offset, -full_scale, full_scale - 1)


def real(edge: Edge) -> Edge:
    """Return an edge of real numbers of the same shape."""
    return Edge(edge.width, edge.bands, edge.stride, distances=edge.distances)


def largest_weight(bits: int) -> int:
    """Return the largest symmetric weight of so many bits, 2^(bits - 1) - 1; one bit stands for -1 and 1."""
    return max((1 << (bits - 1)) - 1, 1)


def normal(random: np.random.Generator, shape: tuple[int, ...], deviation: float) -> NDArray[np.float32]:
    """Return normal numbers."""
    return random.standard_normal(shape, np.float32) * np.float32(deviation)


def integer_weights(random: np.random.Generator, shape: tuple[int, ...], bits: int) -> NDArray[np.int8]:
    """Return rounded normal numbers whose deviation is a third of the largest weight; of one bit their signs."""
    largest, weights = largest_weight(bits), np.empty(math.prod(shape), np.int8)
    for first in range(0, weights.size, _AT_ONCE):  # the draws of all at once, without their copies in float32
        part = weights[first : first + _AT_ONCE]
        drawn = normal(random, part.shape, max(largest / 3, 1))
        part[:] = np.where(drawn < 0, -1, 1) if bits == 1 else np.clip(np.rint(drawn), -largest, largest)
    return weights.reshape(shape)


def magnitudes(weight: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return sum |w| over all that goes into each output: [.., outputs] -> [outputs], without a copy in wide words."""
    rows = weight.reshape(-1, weight.shape[-1])
    sums = np.zeros(rows.shape[1], np.int64)
    step = max(_AT_ONCE // max(rows.shape[1], 1), 1)
    for first in range(0, len(rows), step):
        sums += np.abs(rows[first : first + step].astype(np.int16)).sum(axis=0, dtype=np.int64)
    return sums


def _mean_square(weights: NDArray[np.int8]) -> float:
    """Return the mean of the squares of integers: their sum is exact."""
    flat = weights.reshape(-1)
    squares = sum(
        int(np.square(flat[first : first + _AT_ONCE], dtype=np.int64).sum()) for first in range(0, flat.size, _AT_ONCE)
    )
    return squares / flat.size


def integer_problem(tensor: NDArray[Any], low: int, high: int, bits: int) -> str | None:
    """Return what is wrong with integer weights: their type, or values outside low .. high."""
    if tensor.dtype != np.int8:
        return f"has type {tensor.dtype}, expected int8"
    if bits == 1:
        return None if (np.abs(tensor) == 1).all() else "has values other than -1 and 1 (1 bit)"
    if tensor.size and (tensor.min() < low or tensor.max() > high):
        return f"has values outside {low} .. {high} ({bits} bits)"
    return None


def finite_problem(tensor: NDArray[Any]) -> str | None:
    """Return what is wrong with numbers that must be finite."""
    return None if np.isfinite(tensor.astype(np.float32, copy=False)).all() else "holds NaN or infinity"


OPS: Registry[type[Op] | type[ShortForm]] = Registry("accelsim.ops", "op", builtin="accelsim.ops")
"""Every op by the name that a workload uses for it."""
