"""Self-attention, and the vectors of distances that it reads for relative positions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.kernels.activation import dequantise
from accelsim.kernels.attention import RelativePositions, Spans, attention, chunks, sinusoids, whole_utterances
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Number, Values, values_of
from accelsim.ops import plain
from accelsim.ops.op import (
    LARGEST_INTEGER_BITS,
    OPS,
    Datapath,
    DatapathOp,
    Edge,
    RowWindow,
    Signal,
    Tensors,
    finite_problem,
    normal,
)


class PositionsOp(DatapathOp):
    """Vectors p of ``width`` values for distances d = L - 1 .. -(L - 1) between frames: sinusoids, or a learned table.

    p[d, 2 i] = sin(d w_i), p[d, 2 i + 1] = cos(d w_i), w_i = 10000^(-2 i / width).
    ``reach``: the farthest distance of the table, [2 reach + 1, width]: ``<name>.table`` in float, or as int8 codes of
    ``<name>.table_scale``. It does not depend on the input, and is made once for the longest utterance.
    """

    op: Literal["positions"]
    width: PositiveInt
    reach: PositiveInt | None = None
    spread: ClassVar[float] = 0.71

    def reads(self) -> tuple[str, ...]:
        return ()

    def spread_of(self, read: Sequence[float]) -> float:
        return self.spread if self.reach is None else 1.0

    def infer(self, read: Sequence[Edge]) -> Edge:
        if self.reach is None and self.width % 2:
            raise ValueError(f"sinusoids need an even width, found {self.width}")
        return Edge(self.width, distances=True)

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {} if self.reach is None else {"table": (2 * self.reach + 1, self.width), "table_scale": ()}

    def optional(self) -> frozenset[str]:
        return frozenset({"table_scale"})

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        """Return a table of numbers of deviation 1, not of codes."""
        return {f"{self.name}.table": normal(random, self.shapes(read)["table"], 1.0)} if self.reach else {}

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        if end == "table" and (tensor.dtype == np.int8) != (f"{self.name}.table_scale" in tensors):
            return f"has type {tensor.dtype}: int8 codes, and they alone, need '{self.name}.table_scale'"
        if end == "table_scale" and np.isfinite(tensor).all() and not tensor > 0:
            return f"must be greater than 0, found {float(tensor):g}"
        return finite_problem(tensor)

    def value_bits(self, given: Edge, tensors: Tensors, number_bits: int) -> int:
        return LARGEST_INTEGER_BITS  # tables hold codes

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        """Return the vectors of the distances of the longest utterance, beyond a table's reach its last."""
        rows, number = min(unit.longest, unit.reach), unit.vector.number
        nowhere = np.zeros(1, np.int64)
        if self.reach is None:
            return values_of(sinusoids(rows, self.width), number), nowhere
        table = unit.tensors[f"{self.name}.table"]
        if f"{self.name}.table_scale" in unit.tensors:
            table = dequantise(table, float(unit.tensors[f"{self.name}.table_scale"]), number)
        distance = np.clip(np.arange(rows - 1, -rows, -1), -self.reach, self.reach)
        return values_of(table[distance + self.reach], number), nowhere

    def starts(self, read: Sequence[Signal]) -> Starts:
        return np.zeros(1, np.int64)

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return the vectors of all distances between the rows of ``read``, the longest utterance's."""
        rows = read[0].longest()
        distance = np.arange(rows - 1, -rows, -1)
        if self.reach is None:
            angle = distance[:, None] * 10000.0 ** (-np.arange(0, self.width, 2) / self.width)
            pairs = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
            return plain.rounded(pairs.reshape(len(distance), self.width), number)
        table = tensors[f"{self.name}.table"][np.clip(distance, -self.reach, self.reach) + self.reach]
        if (scale := tensors.get(f"{self.name}.table_scale")) is not None:
            table = table.astype(np.float32) * np.float32(scale)
        return plain.rounded(table, number)


class AttentionOp(DatapathOp):
    """Self-attention of ``heads`` heads over all frames of an utterance, see `accelsim.kernels.attention`.

    y_i = sum_j softmax_j(q_i k_j / sqrt(width / heads)) v_j, head by head, q, k and v side by side in the input.
    ``positions``: what gives the vectors of relative positions; then there are tensors ``<name>.u`` and ``<name>.v``
    [heads, width / heads]. With a ``chunk``, a frame sees the frames of its own chunk of so many and ``left`` before
    that: the cache that a network which streams carries from chunk to chunk, and into which a whole chunk is written at
    a time.
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

    def infer(self, read: Sequence[Edge]) -> Edge:
        width, rest = divmod(read[0].width, 3)
        if rest or width % self.heads:
            raise ValueError(f"{read[0].width} inputs are not q, k and v of {self.heads} heads")
        if len(read) > 1 and read[1].width != width:
            raise ValueError(f"position vectors of {read[1].width} do not fit a width of {width}")
        return Edge(width, 1, read[0].stride)

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        size = self.heads, read[0].width // 3 // self.heads
        return {} if self.positions is None else {"u": size, "v": size}

    def distances_problem(self, read: Sequence[Edge]) -> str | None:
        if read[0].distances:
            return f"attends over frames, and '{self.input}' gives vectors of distances"
        if not all(edge.distances for edge in read[1:]):
            return f"needs vectors of distances, and '{self.positions}' gives rows of frames"
        return None

    def window(self, read: Sequence[Edge]) -> RowWindow:
        return RowWindow(whole=True) if self.chunk is None else RowWindow(behind=self.left, chunk=self.chunk)

    def keys_seen(self) -> int:
        """Return how many rows a row sees when the cache is full: left + chunk."""
        return self.left + (self.chunk or 0)

    def spans(self, starts: Starts) -> Spans:
        """Return the first row, and the one past the last, that each row sees: [rows, 2]."""
        return whole_utterances(starts) if self.chunk is None else chunks(starts, self.chunk, self.left)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        starts = read[0].starts
        return self.attend([unit.real(signal) for signal in read], self.spans(starts), unit), starts

    def advance(self, read: Sequence[Signal], state: Any, unit: Datapath) -> tuple[NDArray[Any], Any]:
        """Return the values of the next chunks, each of which sees its own rows and ``left`` before them."""
        assert self.chunk is not None
        new, edge = read[0].values, read[0].edge
        before = new[:0] if state is None else state
        rows = np.concatenate([before, new])
        begin = len(before) + np.arange(len(new)) // self.chunk * self.chunk
        spans = np.zeros((len(rows), 2), np.int64)
        spans[len(before) :, 0] = np.maximum(begin - self.left, 0)
        spans[len(before) :, 1] = np.minimum(begin + self.chunk, len(rows))
        longer = Signal(rows, np.array([0, len(rows)], np.int64), edge)
        values = self.attend([unit.real(signal) for signal in (longer, *read[1:])], spans, unit)
        return values[len(before) :], rows[-self.left :]

    def attend(self, read: Sequence[Values], spans: Spans, unit: Datapath) -> Values:
        """Return the values of attention, from what it reads and the rows that each row sees, [rows, 2]."""
        relative = None
        if self.positions is not None:
            relative = RelativePositions(read[1], unit.tensors[f"{self.name}.u"], unit.tensors[f"{self.name}.v"])
        how = unit.attention or unit.vector
        return attention(
            read[0], spans, self.heads, relative, how.number, accumulator=how.accumulator, softmax_form=how.softmax,
            exceptions=unit.exceptions_of(self),
        )  # fmt: skip

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(sum_j a_ij v_j), a_i = softmax_j(R(c R(q_i k_j))), c = R(1 / sqrt(width / heads)).

        softmax: e_j = R(exp R(x_j - max x)), a_j = R(e_j R(1 / R(sum e_j))). With positions the score is
        R(c R(R(R(q_i + u) k_j) + R(R(q_i + v) p_(i - j)))). Sums ascend, in float32.
        """

        def r(values: NDArray[Any]) -> plain.Values:
            return plain.rounded(values, number)

        qkv, starts = plain.real(read[0], number), read[0].starts.tolist()
        q, k, v = (part.reshape(len(qkv), self.heads, -1) for part in np.split(qkv, 3, axis=1))
        size = q.shape[2]
        factor = r(np.float32(1) / np.sqrt(np.float32(size)))
        context = np.zeros_like(q)
        for first, last in pairwise(starts):
            for i in range(first, last):
                begin, end = first, last
                if self.chunk is not None:
                    chunk = first + (i - first) // self.chunk * self.chunk
                    begin, end = max(chunk - self.left, first), min(chunk + self.chunk, last)
                keys, values = k[begin:end], v[begin:end]  # [keys, heads, size]
                with np.errstate(all="ignore"):
                    if self.positions is None:
                        score = r(plain.total(q[i] * keys, axis=2))
                    else:
                        u, w = (r(tensors[f"{self.name}.{end}"]) for end in ("u", "v"))
                        vectors = r(read[1].values)
                        places = vectors[len(vectors) // 2 - (i - np.arange(begin, end))].reshape(keys.shape)
                        content = r(plain.total(r(q[i] + u) * keys, axis=2))
                        score = r(content + r(plain.total(r(q[i] + w) * places, axis=2)))
                    score = r(factor * score)
                    power = r(plain.exponential(r(score - score.max(axis=0))))
                    share = r(power * r(np.float32(1) / r(plain.total(power, axis=0))))
                    context[i] = r(plain.total(share[:, :, None] * values, axis=0))
        return context.reshape(len(qkv), -1)


def check_chunk(chunk: int | None, left: int) -> None:
    """Raise ValueError for a chunk that is longer than the cache it is written into, or a cache without chunks."""
    if chunk is None and left:
        raise ValueError(f"'left: {left}' is the cache between chunks: say how long they are, 'chunk: ...'")
    if chunk is not None and left < chunk:
        raise ValueError(f"a chunk of {chunk} frames is longer than the attention cache, 'left: {left}'")


OPS.register("positions", PositionsOp)
OPS.register("attention", AttentionOp)
