"""A TFLite file as plain data: tensors, nodes and subgraphs, checked for being what the format allows.

Fields by their numbers in the format's schema (tensorflow/lite/schema/schema.fbs); the names of ops and types come from
the package `tflite`. Constants stay in the file's memory map until they are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.flatbuffer import DamagedError, Table

TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float64",
    13: "resource", 15: "uint32", 16: "uint16", 17: "int4",
}  # fmt: skip
_NUMBERS = {"float32", "int32", "uint8", "int64", "int16", "int8"}
MOST_NODES = 20_000
MOST_READ = 100_000
"""Inputs and outputs of all nodes of a subgraph."""
MOST_SCALES = 4_000_000
"""Scales of all its tensors."""
MOST_OPS = 1000
"""Different ops, and subgraphs."""
MOST_DIMENSIONS = 8
MOST_VALUES = 2**28
"""Values of the largest tensor."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph. ``scales``, ``zero_points``: of its codes, none where it has none, one or one a channel.

    ``data``: its bytes where it is a constant; ``variable``: whether it is kept from one run to the next.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int
    data: NDArray[np.uint8] | None
    variable: bool
    sparse: bool

    def values(self) -> NDArray[Any]:
        """Return the numbers of a constant; raises DamagedError if they are not as many as its shape says."""
        if self.data is None:
            raise DamagedError(f"tensor '{self.name}' is not a constant")
        if self.type not in _NUMBERS:
            raise DamagedError(f"tensor '{self.name}' is {self.type}, whose values are not read")
        dtype = np.dtype(self.type).newbyteorder("<")
        if self.data.size != math.prod(self.shape) * dtype.itemsize:
            raise DamagedError(
                f"tensor '{self.name}' of shape {list(self.shape)} ({self.type}) has {self.data.size:,} bytes"
            )
        return self.data.view(dtype).reshape(self.shape)


@dataclass(frozen=True)
class Node:
    """An op of a subgraph; -1 stands for an input that is left out. ``options``: a table, see the schema."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    def option(self, field: int, kind: str, default: Any = 0) -> Any:
        """Return an option, a number of a `struct` format."""
        return default if self.options is None else self.options.scalar(field, kind, default)

    def text(self, field: int) -> str:
        """Return an option that is a text."""
        return "" if self.options is None else self.options.text(field)


class Subgraph:
    """A graph: its nodes in order, which tensors go in and come out, and its tensors as they are asked for."""

    def __init__(self, table: Table, ops: Sequence[str], buffers: Sequence[Table], whole: NDArray[np.uint8]) -> None:
        self._tables = table.tables(0)
        self._buffers, self._whole = buffers, whole
        self._tensors: dict[int, Tensor] = {}
        self._scales = 0
        count = len(self._tables)
        self.nodes: list[Node] = []
        read = 0
        for one in table.tables(3, MOST_NODES):
            self.nodes.append(_node(one, ops, count))
            read += len(self.nodes[-1].inputs) + len(self.nodes[-1].outputs)
            if read > MOST_READ:  # nodes may share one long list, so few bytes can say much
                raise DamagedError(f"its nodes read and give more than {MOST_READ:,} tensors")
        self.inputs, self.outputs = (_indices(table, field, count, 0) for field in (1, 2))

    def __len__(self) -> int:
        return len(self._tables)

    def tensor(self, index: int) -> Tensor:
        """Return a tensor; raises DamagedError for what the format does not allow in it."""
        if index not in self._tensors:
            made = _tensor(self._tables[index], self._buffers, self._whole)
            self._scales += len(made.scales)
            if self._scales > MOST_SCALES:  # tensors may share one long list
                raise DamagedError(f"its tensors have more than {MOST_SCALES:,} scales")
            self._tensors[index] = made
        return self._tensors[index]


class Model:
    """A file: its subgraphs as they are asked for. Raises DamagedError for what the format does not allow."""

    def __init__(self, data: Any) -> None:
        root = Table.root(data, b"TFL3")
        if (version := root.scalar(0, "I")) != 3:
            raise DamagedError(f"version {version} of the format, expected 3")
        self._ops = [_op_name(table) for table in root.tables(1, MOST_OPS)]
        self._buffers = root.tables(4)
        self._subgraphs = root.tables(2, MOST_OPS)
        self._whole = np.frombuffer(data, np.uint8)

    def subgraph(self, index: int) -> Subgraph:
        """Return a subgraph; 0 is the network."""
        if not 0 <= index < len(self._subgraphs):
            raise DamagedError(f"there is no subgraph {index}, it has {len(self._subgraphs)}")
        return Subgraph(self._subgraphs[index], self._ops, self._buffers, self._whole)


@cache
def _op_names() -> dict[int, str]:
    import tflite

    return {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}


def _op_name(table: Table) -> str:
    # The older field has eight bits; the newer one counts from there on.
    code = max(table.scalar(0, "b"), table.scalar(3, "i"))
    name = _op_names().get(code)
    if name is None:
        raise DamagedError(f"no op has the number {code}")
    return f"CUSTOM {table.text(1)}" if name == "CUSTOM" else name


def _tensor(table: Table, buffers: Sequence[Table], whole: NDArray[np.uint8]) -> Tensor:
    name = table.text(3)
    shape = tuple(int(size) for size in table.numbers(0, "<i4"))
    if len(shape) > MOST_DIMENSIONS or any(size < 0 for size in shape) or math.prod(shape) > MOST_VALUES:
        raise DamagedError(f"tensor '{name}' has the shape {list(shape[: MOST_DIMENSIONS + 1])}")
    number = table.scalar(1, "b")
    scales, zero_points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    if (quantised := table.table(4)) is not None:
        scales, zero_points = quantised.numbers(2, "<f4"), quantised.numbers(3, "<i8")
        axis = quantised.scalar(6, "i")
        if len(scales) and len(zero_points) not in (1, len(scales)):
            raise DamagedError(f"tensor '{name}' has {len(scales)} scales and {len(zero_points)} zero points")
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise DamagedError(f"tensor '{name}' has a scale that is not a number above 0")
    index = table.scalar(2, "I")
    if index >= max(len(buffers), 1):
        raise DamagedError(f"tensor '{name}' lies in buffer {index} of {len(buffers)}")
    data = None if index == 0 else _bytes(buffers[index], whole)  # buffer 0 is empty by convention
    kind = TYPES.get(number, f"type {number}")
    sparse = table.table(6) is not None
    return Tensor(name, shape, kind, scales, zero_points, axis, data, bool(table.scalar(5, "b")), sparse)


def _bytes(buffer: Table, whole: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the bytes of a buffer, within the table or behind it in the file; None where it is empty."""
    begin, size = buffer.scalar(1, "Q"), buffer.scalar(2, "Q")
    if begin > 1:  # 1 stands for one that is still to be written
        if begin + size > len(whole):
            raise DamagedError(f"a buffer of {size:,} bytes at byte {begin:,} reaches beyond the end")
        return whole[begin : begin + size] if size else None
    held = buffer.numbers(0, "u1", most=len(whole))
    return held if held.size else None


def _node(table: Table, ops: Sequence[str], tensors: int) -> Node:
    index = table.scalar(0, "I")
    if index >= len(ops):
        raise DamagedError(f"a node has op {index} of {len(ops)}")
    return Node(ops[index], _indices(table, 1, tensors, -1), _indices(table, 2, tensors, 0), table.table(4))


def _indices(table: Table, field: int, tensors: int, least: int) -> tuple[int, ...]:
    found = tuple(int(index) for index in table.numbers(field, "<i4", 10_000))
    for index in found:
        if not least <= index < tensors:
            raise DamagedError(f"tensor {index} of {tensors} is read or given")
    return found
