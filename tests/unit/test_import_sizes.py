"""Small model files that ask for much: each is refused soon, or costs little."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim import limits
from accelsim.errors import InputError
from accelsim.importers.importer import Names, import_model, write
from accelsim.importers.onnx import proto
from accelsim.importers.onnx.proto import Malformed, read_model

SOON_S = 5.0
"""Of CPU."""


def test_names_that_all_nodes_have_cost_no_more_than_others() -> None:
    """Each number was looked for from 2 on: 100,000 nodes of one name took hours."""
    names, began = Names(), time.process_time()
    made = [names.new("same") for _ in range(100_000)]
    assert time.process_time() - began < SOON_S
    assert made[:3] == ["same", "same#2", "same#3"] and len(set(made)) == 100_000
    assert names.new("same#3") == "same#3#2"


# ONNX


def varint(value: int) -> bytes:
    raw = bytearray()
    value &= 2**64 - 1
    while value > 127:
        raw.append(value & 127 | 128)
        value >>= 7
    return bytes([*raw, value])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx_file(path: Path, graph: bytes) -> Path:
    path.write_bytes(field(8, field(2, 17)) + field(7, graph))
    return path


def spelt(numbers: list[int], dims: bytes | None = None, kind: int = 7, at: int = 7) -> bytes:
    """Return a graph with a constant whose numbers are spelt out."""
    tensor = field(1, varint(len(numbers)) if dims is None else dims) + field(2, kind)
    return field(5, tensor + field(8, b"w") + field(at, b"".join(map(varint, numbers))))


def test_numbers_of_every_length_are_read(tmp_path: Path) -> None:
    numbers = [0, 1, -1, 127, 128, -128, 2**31, -(2**31), 2**62, -(2**63), 2**63 - 1, *(1 << k for k in range(63))]
    path = onnx_file(tmp_path / "x.onnx", spelt(numbers))
    array = read_model(path, largest=10**6).graph.initializers["w"].array
    assert array.dtype == np.int64 and array.tolist() == numbers
    path = onnx_file(tmp_path / "x.onnx", spelt([-1, 65_535, 15_360], kind=10, at=5))  # float16 in int32_data
    assert read_model(path, largest=10**6).graph.initializers["w"].array.view(np.uint16).tolist() == [
        65_535, 65_535, 15_360,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x80", "does not end"), (b"\x01\xff", "does not end"), (b"\x80" * 10 + b"\x01", "more than 10 bytes"),
        (b"\x01" * (10 * 2**16 + 1), "bytes, at most 65,536 numbers are read"),
        (b"\x01" * (2**16 + 1), "a list of 65,537 numbers"),
    ],
)  # fmt: skip
def test_numbers_that_are_none_or_too_many(raw: bytes, message: str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "x.onnx", spelt([], raw))
    with pytest.raises(Malformed, match=message):
        read_model(path, largest=10**8)


def test_millions_of_numbers_are_read_at_once(tmp_path: Path) -> None:
    """One by one in Python they took half a minute."""
    path = onnx_file(tmp_path / "x.onnx", field(5, field(1, 1 << 22) + field(2, 7) + field(8, b"w")
                                               + field(7, b"\xff\x01" * (1 << 22))))  # fmt: skip
    began = time.process_time()
    assert (read_model(path, largest=10**8).graph.initializers["w"].array == 255).all()
    assert time.process_time() - began < SOON_S
    path = onnx_file(tmp_path / "x.onnx", field(5, field(7, b"\x01" * (proto.MOST_SPELT + 1))))
    with pytest.raises(Malformed, match="at most 8,388,608 are read"):
        read_model(path, largest=10**8)


def test_more_fields_than_any_model_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proto, "MOST_FIELDS", 1000)
    path = onnx_file(tmp_path / "x.onnx", field(9, b"") * 1001)
    with pytest.raises(InputError, match=r"not a whole ONNX file: more than 1,000 fields"):
        import_model(path)
    path = onnx_file(tmp_path / "x.onnx", field(12, b"") * 1001)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"more than 1,000 inputs or outputs"):
        import_model(path)


def chain(op: str, count: int, weight: int | None = None, fan: bool = False) -> tuple[list[Any], dict[str, Any], int]:
    models = pytest.importorskip("onnx_models")
    width = weight or 4
    nodes = [models.node("MatMul", "x w", "v0")]
    for place in range(count):
        more = " w" if weight else ""
        nodes.append(models.node(op, f"v{place}{more}", f"v{place + 1}" if place < count - 1 else "y"))
    return nodes, {"w": np.eye(width, dtype=np.float32)}, width


def onnx_model(path: Path, nodes: list[Any], constants: dict[str, Any], width: int) -> Path:
    models = pytest.importorskip("onnx_models")
    path.write_bytes(models.model(nodes, constants, ["time", width]).SerializeToString())
    return path


def test_a_long_chain_is_walked_once(tmp_path: Path) -> None:
    """What could be folded into a node was looked for to the end of the chain, from every node of it."""
    pytest.importorskip("onnx")
    path = onnx_model(tmp_path / "x.onnx", *chain("Relu", 2000))
    began = time.process_time()
    assert len(import_model(path).workload["graph"]) > 1000
    assert time.process_time() - began < SOON_S


def test_one_constant_as_the_weights_of_many_nodes(tmp_path: Path) -> None:
    """A file of 1 MB came to any number of matrices."""
    pytest.importorskip("onnx")
    path = onnx_model(tmp_path / "x.onnx", *chain("MatMul", 300, 512))
    with pytest.raises(
        InputError, match=rf"{path}: more than 60,000,000 values in all tensors .raise it: --limit model"
    ):
        import_model(path)
    with limits.within(model_values=3e6), pytest.raises(InputError, match="more than 3,000,000 values"):
        import_model(path)


def test_constants_that_are_computed_count_too(tmp_path: Path) -> None:
    models = pytest.importorskip("onnx_models")
    nodes = [models.node("Add", f"c{place} c{place}", f"c{place + 1}") for place in range(20)]
    nodes.append(models.node("MatMul", "x w", "y"))
    constants = {"w": np.eye(4, dtype=np.float32), "c0": np.ones(1 << 20, np.float32)}
    path = onnx_model(tmp_path / "x.onnx", nodes, constants, 4)
    with limits.within(model_values=1e7), pytest.raises(InputError, match="more than 10,000,000 values"):
        import_model(path)
    with limits.within(model_values=3e7):
        assert import_model(path).workload["graph"]


def test_more_ops_than_the_limit(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    path = onnx_model(tmp_path / "x.onnx", *chain("Relu", 30))
    with limits.within(ops=20), pytest.raises(InputError, match=rf"{path}: more than 20 ops"):
        import_model(path)


# TFLite: tables and lists lie anywhere, so many places may point at one.


def table(fields: dict[int, bytes], at: int) -> tuple[bytes, dict[int, int]]:
    """Return a flatbuffer's table of 4-byte fields, its list of fields before it, and where each field lies."""
    most = max(fields, default=-1) + 1
    places = {number: 4 + 4 * place for place, number in enumerate(sorted(fields))}
    slots = b"".join(struct.pack("<H", places.get(number, 0)) for number in range(most))
    head = struct.pack("<HH", 4 + 2 * most, 4 + 4 * len(fields)) + slots
    head += bytes(-len(head) % 4)
    raw = head + struct.pack("<i", len(head)) + b"".join(fields[number] for number in sorted(fields))
    return raw, {number: at + len(head) + place for number, place in places.items()}


def test_nodes_that_share_one_long_list(tmp_path: Path) -> None:
    """20,000 nodes that each read the same 10,000 tensors are a file of 120 kB, and were 200 million numbers."""
    pytest.importorskip("tflite")
    raw = bytearray(struct.pack("<I4s", 0, b"TFL3"))

    def add(fields: dict[int, bytes]) -> tuple[int, dict[int, int]]:
        begin = len(raw)
        made, places = table(fields, begin)
        raw.extend(made)
        table_at = begin + len(made) - 4 - 4 * len(fields)
        return table_at, places

    def point(place: int, target: int) -> None:
        struct.pack_into("<I", raw, place, target - place)

    def vector(items: bytes, count: int) -> int:
        raw.extend(struct.pack("<I", count) + items)
        return len(raw) - len(items) - 4

    def tables(count: int) -> int:
        return vector(bytes(4 * count), count)

    def fill(begin: int, target: int) -> None:
        for place in range(struct.unpack_from("<I", raw, begin)[0]):
            point(begin + 4 + 4 * place, target)

    none = bytes(4)
    root, of_root = add({0: struct.pack("<I", 3), 1: none, 2: none, 4: none})
    struct.pack_into("<I", raw, 0, root)
    codes, graphs, buffers = tables(1), tables(1), tables(1)
    for number, target in ((1, codes), (2, graphs), (4, buffers)):
        point(of_root[number], target)
    fill(codes, add({3: struct.pack("<i", 0)})[0])
    fill(buffers, add({})[0])
    graph, of_graph = add({0: none, 3: none})
    fill(graphs, graph)
    tensors, nodes = tables(1), tables(20_000)
    point(of_graph[0], tensors)
    point(of_graph[3], nodes)
    fill(tensors, add({})[0])
    node, of_node = add({1: none})
    fill(nodes, node)
    point(of_node[1], vector(bytes(4 * 10_000), 10_000))
    path = tmp_path / "x.tflite"
    path.write_bytes(raw)
    assert len(raw) < 130_000
    began = time.process_time()
    with pytest.raises(InputError, match="its nodes read and give more than 100,000 tensors"):
        import_model(path)
    assert time.process_time() - began < SOON_S


def test_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    """Its name goes into the workload, printable."""
    pytest.importorskip("tflite")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff\x1b[31m.tflite"))
    path.write_bytes((Path(__file__).parents[1] / "fuzz" / "seeds" / "small.tflite").read_bytes())
    made = write(import_model(path), tmp_path / "out")
    assert made.spec.name == "a\\udcff\\x1b[31m"
    assert (tmp_path / "out" / "import.md").read_text().startswith(r"# a\\udcff\\x1b")
