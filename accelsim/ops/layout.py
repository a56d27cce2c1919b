"""Ops that move values and compute none: parts of rows, and rows side by side.

What is moved stays what it is: codes stay codes, real numbers real numbers in the format of their unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Len
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.kernels.conv import Starts, sources, starts_of
from accelsim.kernels.number import Arithmetic, Number
from accelsim.ops import plain
from accelsim.ops.op import OPS, Datapath, Edge, RowWindow, Signal, Tensors, VectorOp, Work


class ConcatOp(VectorOp):
    """y = (x_1, x_2, ..): the rows of all ``inputs`` side by side, in this order.

    Where all inputs have the same number of bands, their channels are joined within each band, (x_1[b], x_2[b], ..);
    else y is one band. Codes of one kind, with the same bits, scale and zero point, stay codes; others become real
    numbers.
    """

    op: Literal["concat"]
    inputs: Annotated[list[str], Len(2)]

    def reads(self) -> tuple[str, ...]:
        return tuple(self.inputs)

    def infer(self, read: Sequence[Edge]) -> Edge:
        if len({edge.stride for edge in read}) > 1:
            raise ValueError(f"it joins rows of different rates: of {', '.join(str(e.stride) for e in read)} frames")
        bands = read[0].bands if len({edge.bands for edge in read}) == 1 else 1
        width = sum(edge.width for edge in read)
        if _one_kind(read):
            return replace(read[0], width=width, bands=bands)
        return Edge(width, bands, read[0].stride, distances=read[0].distances)

    def spread_of(self, read: Sequence[float]) -> float:
        return math.sqrt(sum(one**2 for one in read) / len(read))

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(0)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        if len({len(signal.values) for signal in read}) > 1:
            raise ValueError(f"it joins utterances of different lengths: {[len(s.values) for s in read]} rows in all")
        edges = [signal.edge for signal in read]
        rows = [s.values for s in read] if _one_kind(edges) else [unit.real(signal) for signal in read]
        bands = self.infer(edges).bands
        parts = [x.reshape(len(x), bands, -1) for x in rows]
        return np.concatenate(parts, axis=2).reshape(len(rows[0]), -1), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        edges = [signal.edge for signal in read]
        codes = all(edge.kind == "codes" and edge.scale == edges[0].scale for edge in edges)
        codes &= all((edge.bits, edge.zero_point) == (edges[0].bits, edges[0].zero_point) for edge in edges)
        codes &= len({(edge.unsigned, edge.full_range) for edge in edges}) == 1
        rows = [signal.values if codes else plain.real(signal, number) for signal in read]
        if len({edge.bands for edge in edges}) > 1:
            return np.hstack(rows)
        within = [np.split(x, edge.bands, axis=1) for x, edge in zip(rows, edges, strict=True)]
        return np.hstack([part for band in zip(*within, strict=True) for part in band])


class SliceOp(VectorOp):
    """y = x[begin], .., x[end - 1] of each row, or with ``of: channels`` of the channels of each band.

    ``begin`` counts from 0; without an ``end`` all from there on. A part of the width is one band.
    """

    op: Literal["slice"]
    input: str
    begin: Annotated[int, Ge(0)] = 0
    end: PositiveInt | None = None
    of: Literal["width", "channels"] = "width"

    @model_validator(mode="after")
    def _holds_something(self) -> SliceOp:
        if self.end is not None and self.end <= self.begin:
            raise ValueError(f"a slice ends behind its begin, found begin {self.begin} and end {self.end}")
        return self

    def infer(self, read: Sequence[Edge]) -> Edge:
        edge = read[0]
        there = edge.width if self.of == "width" else edge.channels
        end = there if self.end is None else self.end
        if end > there or self.begin >= end:
            what = "values" if self.of == "width" else "channels in a band"
            raise ValueError(f"it takes from {self.begin} up to {end}, '{self.input}' has {there} {what}")
        bands = 1 if self.of == "width" else edge.bands
        return replace(edge, width=(end - self.begin) * bands, bands=bands)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(0)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x, bands = read[0].values, 1 if self.of == "width" else read[0].edge.bands
        taken = x.reshape(len(x), bands, -1)[:, :, self.begin : self.end]
        return taken.reshape(len(x), -1), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        bands = [read[0].values] if self.of == "width" else np.split(read[0].values, read[0].edge.bands, axis=1)
        return np.hstack([band[:, self.begin : self.end] for band in bands])


class StackOp(VectorOp):
    """y[t] = (x[h t - p], .., x[h t - p + N - 1]): N ``rows`` side by side as one, p = ``padding`` and ``hop`` h.

    With hop N it flattens clips of N rows; with hop 1 and padding N - 1 it is the end of a ring buffer, oldest row
    first. What lies before the first row stands for 0; rows that are not reached at the end are dropped. The bands of
    all rows stand side by side.
    """

    op: Literal["stack"]
    over_frames: ClassVar[bool] = True
    input: str
    rows: PositiveInt
    hop: PositiveInt = 1
    padding: Annotated[int, Ge(0)] = 0

    def infer(self, read: Sequence[Edge]) -> Edge:
        edge = read[0]
        return replace(
            edge, width=self.rows * edge.width, bands=self.rows * edge.bands, stride=self.hop * edge.stride
        )  # fmt: skip

    def window(self, read: Sequence[Edge]) -> RowWindow:
        return RowWindow(self.padding, max(self.rows - self.padding - self.hop, 0))

    def starts(self, read: Sequence[Signal]) -> Starts:
        return starts_of(read[0].starts, self.rows, self.hop, 1, (self.padding, 0))

    def spread_of(self, read: Sequence[float]) -> float:
        return read[0]

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(0)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x, starts = read[0].values, self.starts(read)
        if not starts[-1]:
            rows = self.rows - self.padding
            raise ValueError(f"it takes {rows} rows for one of its own: no utterance is so long")
        edge = read[0].edge
        zero = edge.zero_point if edge.kind == "codes" else 0
        padded = np.concatenate([x, np.full_like(x[:1], zero, shape=(1, x.shape[1]))])
        offsets = np.arange(self.rows) - self.padding
        places = sources(read[0].starts, starts, self.hop, offsets, outside=len(x))
        return padded[places].reshape(len(places), -1), starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        x, edge = read[0].values, read[0].edge
        before = np.full((self.padding, x.shape[1]), edge.zero_point if edge.kind == "codes" else 0, x.dtype)
        made = [np.empty((0, self.rows * x.shape[1]), x.dtype)]
        for first, last in pairwise(read[0].starts.tolist()):
            rows = np.concatenate([before, x[first:last]])
            for t in range(0, len(rows) - self.rows + 1, self.hop):
                made.append(rows[t : t + self.rows].reshape(1, -1))
        return np.concatenate(made)


def _one_kind(edges: Sequence[Edge]) -> bool:
    """Return whether all values mean the same, so that they can stay as they are."""
    if any(edge.kind == "real" for edge in edges):
        return all(edge.kind == "real" for edge in edges)
    kinds = {(edge.bits, edge.scale, edge.zero_point, edge.unsigned, edge.full_range) for edge in edges}
    return len(kinds) == 1


OPS.register("concat", ConcatOp)
OPS.register("slice", SliceOp)
OPS.register("stack", StackOp)
