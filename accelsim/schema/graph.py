"""The grammar of feed-forward graphs, such as a Conformer's: what each op computes, and what is wrong with a graph.

Values travel between ops as rows of a frame, [frames, width], in the number format of the chip's vector unit. Ops with
weights take symmetric 8-bit codes and sum integers; s_in, s_w and s_out are scales of the weights file:

    y = s_out Q(((s_in s_w) sum q_w Q(x / s_in) + b) / s_out),  Q(x) = clamp(round(x), -127, 127), halves to even

Their tensors are named after the op: ``<name>.weight`` (int8), ``.weight_scale``, ``.input_scale``, and where there is
one ``.bias`` and ``.output_scale``; without an output scale y = (s_in s_w) sum + b.

With ``weight_bits: 16`` an op has float16 weights and no scales: y = sum w x + b, see `accelsim.kernels.float_product`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Len
from numpy.typing import NDArray
from pydantic import AfterValidator, PositiveInt, model_validator

from accelsim.errors import did_you_mean
from accelsim.schema.parse import Model

FLOAT_BITS = 16
LARGEST_INTEGER_BITS = 8


def _weight_bits(bits: int) -> int:
    if not (2 <= bits <= LARGEST_INTEGER_BITS or bits == FLOAT_BITS):
        raise ValueError(f"must be 2 to {LARGEST_INTEGER_BITS}, or {FLOAT_BITS} for float16, found {bits}")
    return bits


WeightBits = Annotated[int, AfterValidator(_weight_bits)]
Pair = Annotated[list[PositiveInt], Len(2, 2)]
"""Over time, over bands."""
Positions = Literal["none", "relative", "relative_no_linear", "learnable", "learnable_no_linear"]
ANY_LENGTH = 2**31
"""Frames of the longest utterance where nothing limits it."""
Module = Literal["ff1", "ff2", "conv", "attention"]


@dataclass(frozen=True)
class Rows:
    """What an op gives: ``width`` values a row, in ``bands`` bands where bands matter, a row every ``stride`` frames.

    ``stride`` counts frames of the input: 4 where a network makes one row of four.
    """

    width: int
    bands: int
    stride: int


class GraphOp(Model):
    """An op of a graph: it reads the ops named in `reads` and gives rows."""

    name: str
    weighted: ClassVar[bool] = False
    """Whether the op has weights."""

    def reads(self) -> tuple[str, ...]:
        """Return the names of what it reads."""
        return (self.input,)  # type: ignore[attr-defined]

    def rows(self, read: Sequence[Rows]) -> Rows:
        """Return what it gives, from what it reads; raises ValueError with what does not fit."""
        return read[0]

    def shapes(self, read: Sequence[Rows]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of its tensors by the end of their names; those of scales are ()."""
        return {}

    def optional(self) -> frozenset[str]:
        """Return the tensors that may be missing."""
        return frozenset({"bias", "output_scale"}) if self.weighted else frozenset()


class WeightedOp(GraphOp):
    """What ops with weights share; the equations stand above."""

    weighted = True
    input: str
    weight_bits: WeightBits = 8

    def matrix(self, read: Sequence[Rows]) -> tuple[int, int]:
        """Return inputs and outputs of the matrix, or of one position of a convolution."""
        raise NotImplementedError

    def each_channel(self) -> bool:
        """Return whether every channel is multiplied for itself, so that no two outputs share an input."""
        return False

    def in_float(self) -> bool:
        """Return whether the weights are float16 numbers, not integers."""
        return self.weight_bits == FLOAT_BITS

    def _tensors(self, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        if self.in_float():
            return {"weight": weight, "bias": weight[-1:]}
        scales: dict[str, tuple[int, ...]] = dict.fromkeys(("weight_scale", "input_scale", "output_scale"), ())
        return {"weight": weight, **scales, "bias": weight[-1:]}


class QLinearOp(WeightedOp):
    """A dense layer on codes: weight [inputs, outputs]."""

    op: Literal["qlinear"]
    outputs: PositiveInt

    def rows(self, read: Sequence[Rows]) -> Rows:
        return Rows(self.outputs, 1, read[0].stride)

    def shapes(self, read: Sequence[Rows]) -> dict[str, tuple[int, ...]]:
        return self._tensors(self.matrix(read))

    def matrix(self, read: Sequence[Rows]) -> tuple[int, int]:
        return read[0].width, self.outputs


class QDepthwiseOp(WeightedOp):
    """A convolution over time of every channel for itself: weight [taps, channels], zeros beyond the ends.

    Half of the taps look ahead; with ``causal`` none does: y[t] = sum_i x[t + i - (taps - 1)] w[i].
    """

    op: Literal["qdepthwise"]
    taps: PositiveInt
    causal: bool = False

    def each_channel(self) -> bool:
        return True

    def behind(self) -> int:
        """Return how many rows before its own a row reads."""
        return self.taps - 1 if self.causal else self.taps // 2

    def shapes(self, read: Sequence[Rows]) -> dict[str, tuple[int, ...]]:
        return self._tensors(self.matrix(read))

    def matrix(self, read: Sequence[Rows]) -> tuple[int, int]:
        return self.taps, read[0].width


class QConvOp(WeightedOp):
    """A convolution over time and bands: weight [time taps, band taps, in, out], zeros beyond the ends.

    ``bands`` of the input, whose rows are [bands, channels]; it may be given where the op reads features.
    ``depthwise``: every channel for itself, as many as it reads, weight [time taps, band taps, 1, channels].
    """

    op: Literal["qconv"]
    channels: PositiveInt
    kernel: Pair = [3, 3]
    stride: Pair = [1, 1]
    bands: PositiveInt | None = None
    depthwise: bool = False

    def rows(self, read: Sequence[Rows]) -> Rows:
        if self.depthwise and (read_channels := read[0].width // self._bands(read)) != self.channels:
            raise ValueError(f"depthwise, it has {self.channels} channels and reads {read_channels}")
        if not all(taps % 2 for taps in self.kernel):
            raise ValueError(f"a kernel has an odd number of taps, found {self.kernel}")
        bands = -(-self._bands(read) // self.stride[1])
        return Rows(bands * self.channels, bands, read[0].stride * self.stride[0])

    def shapes(self, read: Sequence[Rows]) -> dict[str, tuple[int, ...]]:
        return self._tensors((*self.kernel, self._inputs(read), self.channels))

    def matrix(self, read: Sequence[Rows]) -> tuple[int, int]:
        return self.kernel[0] * self.kernel[1] * self._inputs(read), self.channels

    def each_channel(self) -> bool:
        return self.depthwise

    def _inputs(self, read: Sequence[Rows]) -> int:
        """Return how many channels one output reads."""
        return 1 if self.depthwise else read[0].width // self._bands(read)

    def _bands(self, read: Sequence[Rows]) -> int:
        bands = self.bands or read[0].bands
        if read[0].width % bands:
            raise ValueError(f"{read[0].width} inputs are not channels of {bands} bands")
        return bands


class MaxPoolOp(GraphOp):
    """The largest of every ``size`` rows and bands, what is left over at the ends dropped."""

    op: Literal["max_pool"]
    input: str
    size: Pair

    def rows(self, read: Sequence[Rows]) -> Rows:
        if read[0].bands < self.size[1]:
            raise ValueError(f"it takes the largest of {self.size[1]} bands, found {read[0].bands}")
        channels, bands = read[0].width // read[0].bands, read[0].bands // self.size[1]
        return Rows(bands * channels, bands, read[0].stride * self.size[0])


class LayerNormOp(GraphOp):
    """(x - mean) / sqrt(variance + 1e-5) gain + bias over each row."""

    op: Literal["layer_norm"]
    input: str

    def shapes(self, read: Sequence[Rows]) -> dict[str, tuple[int, ...]]:
        return {"gain": (read[0].width,), "bias": (read[0].width,)}


class ReluOp(GraphOp):
    """max(x, 0)."""

    op: Literal["relu"]
    input: str


class SiluOp(GraphOp):
    """x / (1 + e^-x)."""

    op: Literal["silu"]
    input: str


class GluOp(GraphOp):
    """a / (1 + e^-b), a and b side by side."""

    op: Literal["glu"]
    input: str

    def rows(self, read: Sequence[Rows]) -> Rows:
        if read[0].width % 2:
            raise ValueError(f"a gated linear unit needs an even number of inputs, found {read[0].width}")
        return Rows(read[0].width // 2, 1, read[0].stride)


class AddOp(GraphOp):
    """residual + factor x."""

    op: Literal["add"]
    input: str
    residual: str
    factor: Annotated[float, Gt(0)] = 1.0

    def reads(self) -> tuple[str, ...]:
        return self.residual, self.input

    def rows(self, read: Sequence[Rows]) -> Rows:
        if (read[0].width, read[0].stride) != (read[1].width, read[1].stride):
            raise ValueError(f"it adds rows of {read[1].width} to rows of {read[0].width}, or of another rate")
        return read[0]


class PositionsOp(GraphOp):
    """Vectors of the distances L - 1 .. -(L - 1) between frames: sinusoids, or a learned table.

    ``reach``: the farthest distance of the table, [2 reach + 1, width]: ``<name>.table`` in float, or as int8 codes of
    ``<name>.table_scale``. It does not depend on the input, and is made once for the longest utterance.
    """

    op: Literal["positions"]
    width: PositiveInt
    reach: PositiveInt | None = None

    def reads(self) -> tuple[str, ...]:
        return ()

    def rows(self, read: Sequence[Rows]) -> Rows:
        if self.reach is None and self.width % 2:
            raise ValueError(f"sinusoids need an even width, found {self.width}")
        return Rows(self.width, 1, 1)

    def shapes(self, read: Sequence[Rows]) -> dict[str, tuple[int, ...]]:
        return {} if self.reach is None else {"table": (2 * self.reach + 1, self.width), "table_scale": ()}

    def optional(self) -> frozenset[str]:
        return frozenset({"table_scale"})


class AttentionOp(GraphOp):
    """Self-attention of ``heads`` heads over all frames of an utterance, see `accelsim.kernels.attention`.

    The input is q, k and v side by side. ``positions``: what gives the vectors of relative positions; then there are
    tensors ``<name>.u`` and ``<name>.v`` [heads, width / heads]. With a ``chunk``, a frame sees the frames of its own
    chunk of so many and ``left`` before that: the cache that a network which streams carries from chunk to chunk, and
    into which a whole chunk is written at a time.
    """

    op: Literal["attention"]
    input: str
    heads: PositiveInt
    positions: str | None = None
    chunk: PositiveInt | None = None
    left: Annotated[int, Ge(0)] = 0

    @model_validator(mode="after")
    def _chunk_fits_cache(self) -> AttentionOp:
        check_chunk(self.chunk, self.left)
        return self

    def reads(self) -> tuple[str, ...]:
        return (self.input,) if self.positions is None else (self.input, self.positions)

    def rows(self, read: Sequence[Rows]) -> Rows:
        width, rest = divmod(read[0].width, 3)
        if rest or width % self.heads:
            raise ValueError(f"{read[0].width} inputs are not q, k and v of {self.heads} heads")
        if len(read) > 1 and read[1].width != width:
            raise ValueError(f"position vectors of {read[1].width} do not fit a width of {width}")
        return Rows(width, 1, read[0].stride)

    def shapes(self, read: Sequence[Rows]) -> dict[str, tuple[int, ...]]:
        size = self.heads, read[0].width // 3 // self.heads
        return {} if self.positions is None else {"u": size, "v": size}


def check_chunk(chunk: int | None, left: int) -> None:
    """Raise ValueError for a chunk that is longer than the cache it is written into, or a cache without chunks."""
    if chunk is None and left:
        raise ValueError(f"'left: {left}' is the cache between chunks: say how long they are, 'chunk: ...'")
    if chunk is not None and left < chunk:
        raise ValueError(f"a chunk of {chunk} frames is longer than the attention cache, 'left: {left}'")


class ConformerOp(Model):
    """``blocks`` Conformer blocks, a short way to write their ops; block i is named ``<name>.<i>``.

    A block adds its modules in the ``order`` given and ends in a LayerNorm: ``ff1``, ``ff2`` x + FF(x) / 2 with
    ``feed_forward`` hidden values and SiLU; ``conv`` pointwise1, GLU, depthwise of ``kernel`` taps, LayerNorm, SiLU,
    pointwise2; ``attention`` of ``heads`` heads. ``positions`` as in arXiv 2606.13379. The matrices have
    ``weight_bits``. ``width`` must be that of the input. With a ``chunk`` the blocks stream: attention sees a chunk and
    ``left`` frames before it, see `AttentionOp`, and the convolution is causal.
    """

    op: Literal["conformer"]
    name: str
    input: str
    blocks: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    feed_forward: PositiveInt
    kernel: PositiveInt = 31
    positions: Positions = "none"
    reach: PositiveInt = 256
    order: Annotated[list[Module], Len(1)] = ["ff1", "conv", "attention", "ff2"]
    weight_bits: WeightBits = 8
    chunk: PositiveInt | None = None
    left: Annotated[int, Ge(0)] = 0

    @model_validator(mode="after")
    def _chunk_fits_cache(self) -> ConformerOp:
        check_chunk(self.chunk, self.left)
        return self

    @model_validator(mode="after")
    def _each_module_once(self) -> ConformerOp:
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"a block has each module once, found order {', '.join(self.order)}")
        return self

    def ops(self) -> list[GraphOp]:
        """Return the ops of all blocks, in order."""
        made: list[GraphOp] = []
        x = self.input
        for block in range(self.blocks):
            name = f"{self.name}.{block}"
            for module in self.order:
                inside = {"conv": self._convolution, "attention": self._attention}.get(module, self._feed_forward)
                made += inside(f"{name}.{module}", x)
                factor = 0.5 if module in ("ff1", "ff2") else 1.0
                made.append(
                    AddOp(op="add", name=f"{name}.{module}.add", input=made[-1].name, residual=x, factor=factor)
                )
                x = made[-1].name
            made.append(LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x))
            x = made[-1].name
        return made

    def _linear(self, name: str, x: str, outputs: int) -> QLinearOp:
        return QLinearOp(op="qlinear", name=name, input=x, outputs=outputs, weight_bits=self.weight_bits)

    def _feed_forward(self, name: str, x: str) -> list[GraphOp]:
        return [
            LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x),
            self._linear(f"{name}.linear1", f"{name}.norm", self.feed_forward),
            SiluOp(op="silu", name=f"{name}.silu", input=f"{name}.linear1"),
            self._linear(f"{name}.linear2", f"{name}.silu", self.width),
        ]

    def _convolution(self, name: str, x: str) -> list[GraphOp]:
        return [
            LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x),
            self._linear(f"{name}.pointwise1", f"{name}.norm", 2 * self.width),
            GluOp(op="glu", name=f"{name}.glu", input=f"{name}.pointwise1"),
            QDepthwiseOp(
                op="qdepthwise", name=f"{name}.depthwise", input=f"{name}.glu", taps=self.kernel,
                weight_bits=self.weight_bits, causal=self.chunk is not None,
            ),
            LayerNormOp(op="layer_norm", name=f"{name}.depthwise_norm", input=f"{name}.depthwise"),
            SiluOp(op="silu", name=f"{name}.silu", input=f"{name}.depthwise_norm"),
            self._linear(f"{name}.pointwise2", f"{name}.silu", self.width),
        ]  # fmt: skip

    def _attention(self, name: str, x: str) -> list[GraphOp]:
        made: list[GraphOp] = [
            LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x),
            self._linear(f"{name}.qkv", f"{name}.norm", 3 * self.width),
        ]
        p = None
        if self.positions != "none":
            reach = self.reach if self.positions.startswith("learnable") else None
            p = f"{name}.positions"
            made.append(PositionsOp(op="positions", name=p, width=self.width, reach=reach))
            if not self.positions.endswith("no_linear"):
                made.append(self._linear(f"{name}.linear_pos", p, self.width))
                p = made[-1].name
        made.append(
            AttentionOp(
                op="attention", name=f"{name}.heads", input=f"{name}.qkv", heads=self.heads, positions=p,
                chunk=self.chunk, left=self.left,
            )
        )  # fmt: skip
        made.append(self._linear(f"{name}.out", f"{name}.heads", self.width))
        return made


AnyGraphOp = (
    QLinearOp | QDepthwiseOp | QConvOp | MaxPoolOp | LayerNormOp | ReluOp | SiluOp | GluOp | AddOp | PositionsOp
    | AttentionOp | ConformerOp
)  # fmt: skip


def expanded(layers: Iterable[AnyGraphOp]) -> list[GraphOp]:
    """Return the ops with every short form replaced by its ops."""
    return [op for layer in layers for op in (layer.ops() if isinstance(layer, ConformerOp) else [layer])]


def positional(ops: Iterable[GraphOp]) -> frozenset[str]:
    """Return the names of the ops that depend on distances alone: positions, and what reads nothing else."""
    found: set[str] = set()
    for op in ops:
        if isinstance(op, PositionsOp) or all(read in found for read in op.reads()):
            found.add(op.name)
    return frozenset(found)


def reach_of(ops: Iterable[GraphOp]) -> int:
    """Return within how many frames all lie that a frame's attention sees: left + chunk, or any number."""
    attending = [op for op in ops if isinstance(op, AttentionOp)]
    if not attending or any(op.chunk is None for op in attending):
        return ANY_LENGTH
    return max(op.left + (op.chunk or 0) for op in attending)


def graph_rows(ops: Sequence[GraphOp], features: str, width: int) -> dict[str, Rows]:
    """Return what every op gives, and ``features`` of a ``width``; raises ValueError for what does not fit."""
    given = {features: Rows(width, width, 1)}
    distances = positional(ops)
    for op in ops:
        if op.name in given:
            raise ValueError(f"two layers are named '{op.name}'")
        for read in op.reads():
            if read not in given:
                raise ValueError(
                    f"layer '{op.name}' reads '{read}', which is not before it; {did_you_mean(read, given)}"
                )
        _check_distances(op, [read in distances for read in op.reads()])
        try:
            given[op.name] = op.rows([given[read] for read in op.reads()])
        except ValueError as error:
            raise ValueError(f"layer '{op.name}': {error}") from None
    read_by_some = {read for op in ops for read in op.reads()}
    for op in ops[:-1]:
        if op.name not in read_by_some:
            raise ValueError(f"layer '{op.name}' is read by none")
    if ops[-1].name in distances:
        raise ValueError(f"layer '{ops[-1].name}' gives the outputs, and they do not depend on '{features}'")
    return given


def _check_distances(op: GraphOp, reads: list[bool]) -> None:
    """See that an op does not take rows of distances for rows of frames; ``reads``: which of its inputs have those."""
    if isinstance(op, AttentionOp):
        if reads[0]:
            raise ValueError(f"layer '{op.name}' attends over frames, and '{op.input}' gives vectors of distances")
        if not all(reads[1:]):
            raise ValueError(f"layer '{op.name}' needs vectors of distances, and '{op.positions}' gives rows of frames")
    elif isinstance(op, QDepthwiseOp | QConvOp | MaxPoolOp) and any(reads):
        raise ValueError(f"layer '{op.name}' ({op.op}) works over frames, and '{op.input}' gives vectors of distances")
    elif len(set(reads)) > 1:
        raise ValueError(f"layer '{op.name}' mixes rows of frames with vectors of distances")


def tensor_shapes(ops: Sequence[GraphOp], rows: Mapping[str, Rows]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a graph by its name, those that may be missing included."""
    return {
        f"{op.name}.{end}": shape for op in ops for end, shape in op.shapes([rows[read] for read in op.reads()]).items()
    }


def graph_problems(
    ops: Sequence[GraphOp], rows: Mapping[str, Rows], tensors: Mapping[str, NDArray[Any]]
) -> Iterator[str]:
    """Yield everything that is wrong with the tensors of a graph: missing, of a wrong shape or type, out of range."""
    for op in ops:
        for end, shape in op.shapes([rows[read] for read in op.reads()]).items():
            name = f"{op.name}.{end}"
            if name not in tensors:
                if end not in op.optional():
                    hint = did_you_mean(name, tensors)
                    yield f"no tensor '{name}'" + (f" ({hint})" if hint else "")
                continue
            tensor = tensors[name]
            if tensor.shape != shape:
                yield f"tensor '{name}' has shape {list(tensor.shape)}, expected {list(shape)}"
            elif end == "weight" and op.in_float():  # type: ignore[attr-defined]
                if tensor.dtype != np.float16:
                    yield f"tensor '{name}' has type {tensor.dtype}, expected float16"
                elif not np.isfinite(tensor).all():
                    yield f"tensor '{name}' holds NaN or infinity"
            elif end == "weight":
                largest = (1 << (op.weight_bits - 1)) - 1  # type: ignore[attr-defined]
                if tensor.dtype != np.int8:
                    yield f"tensor '{name}' has type {tensor.dtype}, expected int8"
                elif np.abs(tensor.astype(np.int16)).max(initial=0) > largest:
                    yield f"tensor '{name}' has values outside -{largest} .. {largest} ({op.weight_bits} bits)"  # type: ignore[attr-defined]
            elif end == "table" and (tensor.dtype == np.int8) != (f"{name}_scale" in tensors):
                yield f"tensor '{name}' has type {tensor.dtype}: int8 codes, and they alone, need '{name}_scale'"
            elif not np.isfinite(tensor.astype(np.float32)).all():
                yield f"tensor '{name}' holds NaN or infinity"
            elif end.endswith("_scale") and not tensor > 0:
                yield f"tensor '{name}' must be greater than 0, found {float(tensor):g}"
