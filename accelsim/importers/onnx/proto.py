"""ONNX files, read from their bytes: no more of the protobuf format than a model needs, every length checked.

A file is mapped, not read: tensors are views of it, or of the files of external data beside it. Field numbers are those
of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), the wire format that of protobuf
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = memoryview | bytes

MOST_NODES = 100_000
MOST_DIMS = 8
DEEPEST = 4
"""How deep graphs may lie within graphs (branches of If)."""
MOST_PORTS = 1_000
"""Inputs and outputs of a graph."""
MOST_FIELDS = 3_000_000
"""Fields of all messages together: a few seconds."""
MOST_SPELT = 1 << 23
"""Numbers of a constant that are spelt out one by one, not as raw data."""
MOST_LISTED = 1 << 16
"""Numbers of an attribute."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE = range(1, 12)
UINT32, UINT64, BFLOAT16, UINT4, INT4 = 12, 13, 16, 21, 22
DTYPES: dict[int, str] = {
    FLOAT: "<f4", UINT8: "|u1", INT8: "|i1", UINT16: "<u2", INT16: "<i2", INT32: "<i4", INT64: "<i8", BOOL: "|b1",
    FLOAT16: "<f2", DOUBLE: "<f8", UINT32: "<u4", UINT64: "<u8",
}  # fmt: skip
"""NumPy types by the numbers of TensorProto.DataType."""


class Malformed(ValueError):
    """A file that is not what its format says."""


@dataclass
class Tensor:
    """A constant: its numbers, [] for a scalar, and whether they are 4-bit ones."""

    name: str
    array: NDArray[Any]
    four_bits: bool = False


@dataclass
class Attribute:
    """An attribute of a node; ``value`` is a number, bytes, a `Tensor`, a `Graph`, or a list of such."""

    name: str
    value: Any


@dataclass
class Node:
    """An operation: what it reads ('' where an optional input is left out), what it gives, and its attributes."""

    name: str
    op: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass
class ValueInfo:
    """A value's name, type (0: not known) and shape: sizes, names of sizes, or None; no shape where none is said."""

    name: str
    type: int = 0
    shape: list[int | str | None] | None = None


@dataclass
class Graph:
    """Nodes in order, constants, inputs and outputs."""

    name: str = ""
    nodes: list[Node] = field(default_factory=list)
    initializers: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[ValueInfo] = field(default_factory=list)
    outputs: list[ValueInfo] = field(default_factory=list)


@dataclass
class OnnxModel:
    """A model: its graph and the versions of the operator sets that it uses, by domain ('' is ONNX's own)."""

    graph: Graph
    opsets: dict[str, int]
    producer: str = ""
    functions: list[str] = field(default_factory=list)


def read_model(path: Path, *, largest: int) -> OnnxModel:
    """Read a model; raises `Malformed`. ``largest``: bytes that the file, or one of its external data, may have."""
    return _Reader(path.parent, largest).model(_mapped(path, largest))


def _mapped(path: Path, largest: int) -> memoryview:
    """Return a file as bytes that are read when they are looked at."""
    size = path.stat().st_size
    if size > largest:
        raise Malformed(f"{path.name} has {size:,} bytes, at most {largest:,} are read; raise --max-size")
    if not size:
        raise Malformed(f"{path.name} is empty")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise Malformed(f"a number at byte {at} does not end")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and value of every field of a message: an integer, or bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if not number:
            raise Malformed("a field has the number 0")
        if kind == VARINT:
            value, at = _varint(data, at, end)
            yield number, kind, value
            continue
        if kind == LENGTH:
            size, at = _varint(data, at, end)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise Malformed(f"field {number} has wire type {kind}, which ONNX does not use")
        if size > end - at:
            raise Malformed(f"field {number} has {size:,} bytes and only {end - at:,} follow")
        yield number, kind, data[at : at + size]
        at += size


def _text(value: Any, kind: int) -> str:
    if kind != LENGTH:
        raise Malformed("expected a text, found a number")
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def _message(value: Any, kind: int) -> memoryview:
    if kind != LENGTH:
        raise Malformed("expected a message, found a number")
    assert isinstance(value, memoryview)
    return value


def _integer(value: Any, kind: int) -> int:
    if kind != VARINT:
        raise Malformed("expected a whole number, found bytes")
    return _signed(value)


def _integers(value: Any, kind: int, most: int) -> NDArray[np.int64]:
    """Return a repeated integer, packed or one."""
    if kind == VARINT:
        return np.array([_signed(value)], np.int64)
    if kind != LENGTH:
        raise Malformed("expected whole numbers")
    if len(value) > most * 10:
        raise Malformed(f"a list of {len(value):,} bytes, at most {most:,} numbers are read")
    raw = np.frombuffer(value, np.uint8)
    last = np.flatnonzero(raw < 128)
    if len(raw) and (not len(last) or last[-1] != len(raw) - 1):
        raise Malformed("the last number of a list does not end")
    if len(last) > most:
        raise Malformed(f"a list of {len(last):,} numbers, at most {most:,} are read")
    first = np.concatenate([[0], last[:-1] + 1]).astype(np.int64) if len(last) else last
    lengths = last - first + 1
    if lengths.max(initial=0) > 10:
        raise Malformed("a number of more than 10 bytes")
    found = np.zeros(len(last), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        there = lengths > place
        found[there] |= (raw[first[there] + place] & 127).astype(np.uint64) << np.uint64(7 * place)
    return found.view(np.int64)


def _fixed(value: Any, kind: int, letter: str) -> NDArray[Any]:
    """Return a repeated float or double, packed or one."""
    size = 4 if letter == "f" else 8
    if kind == VARINT or len(value) % size:
        raise Malformed("expected floating-point numbers")
    return np.frombuffer(value, f"<{letter}{size}")


def _more(listed: list[Any], numbers: NDArray[Any]) -> None:
    """Add numbers to a list of an attribute or of sizes, which stays short."""
    if len(listed) + len(numbers) > MOST_LISTED:
        raise Malformed(f"a list of more than {MOST_LISTED:,} numbers")
    listed += numbers.tolist()


class _Reader:
    def __init__(self, folder: Path, largest: int) -> None:
        self.folder, self.largest = folder, largest
        self.external: dict[str, memoryview] = {}
        self.nodes = 0
        self.left = MOST_FIELDS

    def fields(self, data: memoryview) -> Iterator[tuple[int, int, Any]]:
        """Yield the fields of a message as `_fields`, so many in all."""
        for field_ in _fields(data):
            self.left -= 1
            if self.left < 0:
                raise Malformed(f"more than {MOST_FIELDS:,} fields")
            yield field_

    def model(self, data: memoryview) -> OnnxModel:
        found = OnnxModel(Graph(), {})
        graphs = 0
        for number, kind, value in self.fields(data):
            if number == 7:
                graphs += 1
                found.graph = self.graph(_message(value, kind), 0)
            elif number == 8:
                domain, version = "", 0
                for n, k, v in self.fields(_message(value, kind)):
                    if n == 1:
                        domain = _text(v, k)
                    elif n == 2:
                        version = _integer(v, k)
                found.opsets["" if domain == "ai.onnx" else domain] = version
            elif number == 2:
                found.producer = _text(value, kind)
            elif number == 25:
                names = [_text(v, k) for n, k, v in self.fields(_message(value, kind)) if n == 1]
                found.functions += names[:1]
        if graphs != 1:
            raise Malformed(f"expected one graph, found {graphs}: not an ONNX model")
        return found

    def graph(self, data: memoryview, depth: int) -> Graph:
        if depth > DEEPEST:
            raise Malformed(f"graphs lie more than {DEEPEST} deep within graphs")
        graph = Graph()
        for number, kind, value in self.fields(data):
            if number == 1:
                self.nodes += 1
                if self.nodes > MOST_NODES:
                    raise Malformed(f"more than {MOST_NODES:,} nodes")
                graph.nodes.append(self.node(_message(value, kind), depth))
            elif number == 2:
                graph.name = _text(value, kind)
            elif number == 5:
                tensor = self.tensor(_message(value, kind))
                graph.initializers[tensor.name] = tensor
            elif number == 11:
                graph.inputs.append(self.value_info(_message(value, kind)))
            elif number == 12:
                graph.outputs.append(self.value_info(_message(value, kind)))
            elif number == 15:
                raise Malformed("sparse constants are not read")
            if len(graph.inputs) > MOST_PORTS or len(graph.outputs) > MOST_PORTS:
                raise Malformed(f"more than {MOST_PORTS:,} inputs or outputs")
        return graph

    def node(self, data: memoryview, depth: int) -> Node:
        node = Node("", "", "", [], [], {})
        for number, kind, value in self.fields(data):
            if number == 1:
                node.inputs.append(_text(value, kind))
            elif number == 2:
                node.outputs.append(_text(value, kind))
            elif number == 3:
                node.name = _text(value, kind)
            elif number == 4:
                node.op = _text(value, kind)
            elif number == 5:
                attribute = self.attribute(_message(value, kind), depth)
                node.attributes[attribute.name] = attribute.value
            elif number == 7:
                node.domain = _text(value, kind)
        node.name = node.name or next(filter(None, node.outputs), "")
        node.domain = "" if node.domain == "ai.onnx" else node.domain
        return node

    def attribute(self, data: memoryview, depth: int) -> Attribute:
        name, kind_of, found = "", 0, {}
        lists: dict[int, list[Any]] = {7: [], 8: [], 9: [], 10: [], 11: []}
        for number, kind, value in self.fields(data):
            if number == 1:
                name = _text(value, kind)
            elif number == 20:
                kind_of = _integer(value, kind)
            elif number == 2:
                if kind != FIXED32:
                    raise Malformed("expected a floating-point number")
                found[1] = struct.unpack("<f", value)[0]
            elif number == 3:
                found[2] = _integer(value, kind)
            elif number == 4:
                found[3] = bytes(_message(value, kind))
            elif number == 5:
                found[4] = self.tensor(_message(value, kind))
            elif number == 6:
                found[5] = self.graph(_message(value, kind), depth + 1)
            elif number == 7:
                _more(lists[7], _fixed(value, kind, "f"))
            elif number == 8:
                _more(lists[8], _integers(value, kind, MOST_LISTED))
            elif number == 9:
                lists[9].append(bytes(_message(value, kind)))
            elif number == 10:
                lists[10].append(self.tensor(_message(value, kind)))
            elif number == 11:
                lists[11].append(self.graph(_message(value, kind), depth + 1))
            elif number == 21:
                raise Malformed(f"attribute '{name}' refers to one of a function")
        if kind_of in range(6, 11):
            return Attribute(name, lists[kind_of + 1])
        if kind_of in range(1, 6):
            # Fields that are left out stand for 0 or an empty text.
            default: dict[int, Any] = {1: 0.0, 2: 0, 3: b""}
            if kind_of not in found and kind_of not in default:
                raise Malformed(f"attribute '{name}' has no value")
            return Attribute(name, found.get(kind_of, default.get(kind_of)))
        raise Malformed(f"attribute '{name}' is of kind {kind_of}, which is not read")

    def value_info(self, data: memoryview) -> ValueInfo:
        info = ValueInfo("")
        for number, kind, value in self.fields(data):
            if number == 1:
                info.name = _text(value, kind)
            elif number == 2:
                for n, k, v in self.fields(_message(value, kind)):
                    if n == 1:
                        self._tensor_type(_message(v, k), info)
        return info

    def _tensor_type(self, data: memoryview, info: ValueInfo) -> None:
        for number, kind, value in self.fields(data):
            if number == 1:
                info.type = _integer(value, kind)
            elif number == 2:
                info.shape = []
                for n, k, v in self.fields(_message(value, kind)):
                    if n != 1:
                        continue
                    size: int | str | None = None
                    for n2, k2, v2 in self.fields(_message(v, k)):
                        if n2 == 1:
                            size = _integer(v2, k2)
                        elif n2 == 2:
                            size = _text(v2, k2)
                    info.shape.append(size)
                    if len(info.shape) > MOST_DIMS:
                        raise Malformed(f"'{info.name}' has more than {MOST_DIMS} dimensions")

    def tensor(self, data: memoryview) -> Tensor:
        name, kind_of, raw, outside = "", 0, None, False
        dims: list[int] = []
        numbers: list[NDArray[Any]] = []
        spelt: list[NDArray[np.int64]] = []
        entries: dict[str, str] = {}
        for number, kind, value in self.fields(data):
            if number == 1:
                _more(dims, _integers(value, kind, MOST_LISTED))
            elif number == 2:
                kind_of = _integer(value, kind)
            elif number == 3:
                raise Malformed(f"constant '{name}' is cut into segments, which are not read")
            elif number == 4:
                numbers.append(_fixed(value, kind, "f"))
            elif number == 10:
                numbers.append(_fixed(value, kind, "d"))
            elif number in (5, 7, 11):
                spelt.append(_integers(value, kind, MOST_SPELT))
            elif number == 8:
                name = _text(value, kind)
            elif number == 9:
                raw = _message(value, kind)
            elif number == 13:
                pair = {n: _text(v, k) for n, k, v in self.fields(_message(value, kind)) if n in (1, 2)}
                entries[pair.get(1, "")] = pair.get(2, "")
            elif number == 14:
                outside = _integer(value, kind) == 1
        if len(dims) > MOST_DIMS or any(size < 0 or size >= 1 << 31 for size in dims):
            raise Malformed(f"constant '{name}' has the shape {dims[:9]}")
        count = math.prod(dims)
        whole = np.concatenate([np.zeros(0, np.int64), *spelt])
        if kind_of in (UINT4, INT4):
            return self._four_bits(name, kind_of, dims, self._outside(name, entries) if outside else raw, whole)
        if kind_of == STRING:
            return Tensor(name, np.array("", "U1"))  # nothing that computes reads texts
        if kind_of not in DTYPES:
            raise Malformed(f"constant '{name}' has type {kind_of} of TensorProto.DataType, which is not read")
        dtype = np.dtype(DTYPES[kind_of])
        if outside:
            raw = self._outside(name, entries)
        if raw is not None:
            if len(raw) != count * dtype.itemsize:
                raise Malformed(f"constant '{name}' of shape {dims} has {len(raw):,} bytes of {dtype}")
            return Tensor(name, np.frombuffer(raw, dtype).reshape(dims))
        if kind_of in (FLOAT, DOUBLE):
            array = np.concatenate(numbers).astype(dtype) if numbers else np.zeros(0, dtype)
        elif kind_of == FLOAT16:
            array = whole.astype(np.uint16).view(dtype)
        else:
            array = whole.view(np.uint64).astype(dtype) if dtype.kind == "u" else whole.astype(dtype)
        if array.size != count:
            raise Malformed(f"constant '{name}' of shape {dims} has {array.size:,} numbers")
        return Tensor(name, array.reshape(dims))

    @staticmethod
    def _four_bits(
        name: str, kind_of: int, dims: list[int], raw: Bytes | None, spelt: NDArray[np.int64]
    ) -> Tensor:  # fmt: skip
        """Return 4-bit numbers as int8, of which two lie in a byte, the first in its low half."""
        packed = spelt.astype(np.uint8) if raw is None else np.frombuffer(raw, np.uint8)
        count = math.prod(dims)
        if packed.size != (count + 1) // 2:
            raise Malformed(f"constant '{name}' of shape {dims} has {packed.size:,} bytes of 4-bit numbers")
        halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[:count].astype(np.int8)
        if kind_of == INT4:
            halves = np.where(halves > 7, halves - 16, halves).astype(np.int8)
        else:
            return Tensor(name, halves.astype(np.uint8).reshape(dims), four_bits=True)
        return Tensor(name, halves.reshape(dims), four_bits=True)

    def _outside(self, name: str, entries: dict[str, str]) -> memoryview:
        """Return the bytes of external data; its path may not leave the folder of the model."""
        location = entries.get("location", "")
        if not location or "\0" in location:
            raise Malformed(f"external data of '{name}' has no location")
        path = (self.folder / location).resolve()
        if not path.is_relative_to(self.folder.resolve()) or Path(location).is_absolute():
            raise Malformed(f"external data of '{name}' lies at '{location}', outside the folder of the model")
        if location not in self.external:
            if not os.path.isfile(path):
                raise Malformed(f"external data of '{name}': no file '{location}' beside the model")
            self.external[location] = _mapped(path, self.largest)
        data = self.external[location]
        try:
            offset = int(entries.get("offset") or 0)
            length = int(entries["length"]) if entries.get("length") else len(data) - offset
        except ValueError:
            raise Malformed(f"external data of '{name}': offset and length are not whole numbers") from None
        if not (0 <= offset <= len(data) and 0 <= length <= len(data) - offset):
            raise Malformed(
                f"external data of '{name}': {length:,} bytes at {offset:,} of {len(data):,} in '{location}'"
            )
        return data[offset : offset + length]
