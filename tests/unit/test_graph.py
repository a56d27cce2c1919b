"""Graphs of ops: what their grammar says about mistakes, the ops of a Conformer block, generated weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from safetensors.numpy import save_file

from accelsim import limits
from accelsim.errors import InputError
from accelsim.generated import generated_tensors
from accelsim.kernels.attention import sinusoids
from accelsim.ops.attention import AttentionOp, PositionsOp
from accelsim.ops.conformer import ConformerOp
from accelsim.ops.elementwise import AddOp
from accelsim.ops.graph import Graph, GraphError
from accelsim.ops.lif import LifOp, SpikeSumOp
from accelsim.ops.linear import LinearOp
from accelsim.ops.norm import LayerNormOp
from accelsim.ops.op import (
    FEATURES,
    Datapath,
    DatapathOp,
    Edge,
    Op,
    Signal,
    WeightedOp,
    _mean_square,
    evaluate,
    integer_weights,
)
from accelsim.ops.recurrent import GruOp
from accelsim.workload import AnyOp, load_workload

POSITIONS = ("none", "relative", "relative_no_linear", "learnable", "learnable_no_linear")
SMALL = """schema: accelsim/workload@1
name: small
weights: weights.safetensors
inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 8}}
graph:
  - {op: conv, name: conv, input: features, channels: 2, stride: [2, 2]}
  - {op: relu, name: relu, input: conv}
  - {op: max_pool, name: pool, input: relu, size: [1, 2]}
  - {op: linear, name: front, input: pool, outputs: 12}
  - {op: conformer, name: blocks, input: front, blocks: 1, width: 12, heads: 2, feed_forward: 24, kernel: 5,
     positions: learnable_no_linear, reach: 4, weight_bits: 4}
  - {op: linear, name: output, input: blocks.0.norm, outputs: 5}
"""


def small_tensors() -> dict[str, np.ndarray]:
    return generated_tensors(small_graph(positions="learnable_no_linear"), 1)


def small_graph(blocks: int = 1, width: int = 12, positions: str = "none") -> Graph:
    """Return the graph of the workload above."""
    text: list[dict[str, Any]] = [
        {"op": "conv", "name": "conv", "input": "features", "channels": 2, "stride": [2, 2]},
        {"op": "relu", "name": "relu", "input": "conv"},
        {"op": "max_pool", "name": "pool", "input": "relu", "size": [1, 2]},
        {"op": "linear", "name": "front", "input": "pool", "outputs": width},
        {
            "op": "conformer", "name": "blocks", "input": "front", "blocks": blocks, "width": width, "heads": 2,
            "feed_forward": 2 * width, "kernel": 5, "positions": positions, "reach": 4, "weight_bits": 4,
        },
        {"op": "linear", "name": "output", "input": f"blocks.{blocks - 1}.norm", "outputs": 5},
    ]  # fmt: skip
    return Graph.of(TypeAdapter(list[AnyOp]).validate_python(text), Edge(8, 8))


def values(graph: Graph, tensors: dict[str, np.ndarray], x: np.ndarray, starts: list[int]) -> Signal:
    """Return what a graph gives, computed exactly, from features [rows, width] in real numbers."""
    signals = {FEATURES: Signal(x, np.array(starts), graph.edges[FEATURES])}
    evaluate(graph.ops, signals, graph.edges, Datapath(tensors, reach=graph.reach))
    return signals[graph.last.name]


def write(folder: Path, text: str = SMALL, tensors: dict[str, np.ndarray] | None = None) -> Path:
    path = folder / "workload.yaml"
    path.write_text(text)
    save_file({k: np.asarray(v) for k, v in (small_tensors() if tensors is None else tensors).items()},
              folder / "weights.safetensors")  # fmt: skip
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(InputError) as error:
        load_workload(path)
    return [str(problem).removeprefix(f"{path.parent}/") for problem in error.value.problems]


def test_reads_what_was_written(tmp_path: Path) -> None:
    workload = load_workload(write(tmp_path))
    assert workload.graph.given.width == 5
    assert workload.graph.ops == small_graph(positions="learnable_no_linear").ops
    edges = workload.graph.edges
    assert edges["features"] == Edge(8, 8, 1, "codes", bits=8, unsigned=True)
    assert edges["conv"] == Edge(8, 4, 2) and edges["pool"] == Edge(4, 2, 2) and edges["output"] == Edge(5, 1, 2)
    tensors = small_tensors()
    del tensors["conv.bias"], tensors["conv.output_scale"]
    load_workload(write(tmp_path, tensors=tensors))  # these may be missing


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        (
            {"front.weight": None, "front.weights": np.zeros((4, 12), np.int8)},
            [r"no tensor 'front\.weight' in weights\.safetensors \(did you mean 'front\.weights'\?\)"],
        ),
        ({"output.input_scale": None}, [r"no tensor 'output\.input_scale' in .*"]),
        (
            {"front.weight": np.zeros((12, 4), np.int8)},
            [r"tensor 'front\.weight' has shape \[12, 4\], expected \[4, 12\] in .*"],
        ),
        ({"front.bias": np.zeros((12, 1))}, [r"tensor 'front\.bias' has shape \[12, 1\], expected \[12\] in .*"]),
        ({"front.input_scale": np.ones(1)}, [r"tensor 'front\.input_scale' has shape \[1\], expected \[\] in .*"]),
        (
            {"conv.weight": np.zeros((3, 3, 1, 2), np.int16)},
            [r"tensor 'conv\.weight' has type int16, expected int8 in .*"],
        ),
        (
            {"conv.weight": np.full((3, 3, 1, 2), -128, np.int8)},
            [r"tensor 'conv\.weight' has values outside -127 \.\. 127 \(8 bits\) in .*"],
        ),
        (
            {"blocks.0.conv.depthwise.weight": np.full((5, 12), 8, np.int8)},
            [r"tensor 'blocks\.0\.conv\.depthwise\.weight' has values outside -7 \.\. 7 \(4 bits\) in .*"],
        ),
        ({"front.bias": np.full(12, np.nan)}, [r"tensor 'front\.bias' holds NaN or infinity in .*"]),
        ({"front.input_scale": np.float32(np.inf)}, [r"tensor 'front\.input_scale' holds NaN or infinity in .*"]),
        ({"front.weight_scale": np.float32(0)}, [r"tensor 'front\.weight_scale' must be greater than 0, found 0 .*"]),
        ({"conv.output_scale": np.float32(-1)}, [r"tensor 'conv\.output_scale' must be greater than 0, found -1 .*"]),
        (
            {"blocks.0.attention.positions.table": np.zeros((9, 12), np.int8)},
            [r"tensor '.*\.positions\.table' has type int8: int8 codes, and they alone, need '.*\.table_scale' in .*"],
        ),
        (
            {"blocks.0.attention.positions.table_scale": np.float32(1)},
            [r"tensor '.*\.positions\.table' has type float32: int8 codes, and they alone, need .*"],
        ),
        (
            {"blocks.0.attention.heads.u": np.zeros(12), "output.weight": None},
            [r"tensor '.*\.heads\.u' has shape \[12\], expected \[2, 6\] in .*", r"no tensor 'output\.weight' .*"],
        ),
    ],
)  # fmt: skip
def test_wrong_tensors(tmp_path: Path, changed: dict[str, Any], messages: list[str]) -> None:
    tensors = {name: value for name, value in (small_tensors() | changed).items() if value is not None}
    found = problems(write(tmp_path, tensors=tensors))
    assert len(found) == len(messages), found
    lines = SMALL.splitlines()
    for message, wanted in zip(found, messages, strict=True):
        assert (match := re.fullmatch(rf"workload\.yaml:(\d+): {wanted}", message)), message
        # The line is that of the op whose tensor it is.
        name = re.search(r"tensor '(\w+)\.", message)
        assert name is not None and f"name: {name[1]}," in lines[int(match[1]) - 1], message


def test_an_empty_file_of_weights(tmp_path: Path) -> None:
    assert "workload.yaml:6: no tensor 'conv.weight' in weights.safetensors" in problems(write(tmp_path, tensors={}))


RANDOM = """inputs: {source: random, frames: 2, frame_period: 10 ms, features: 8, input_ones: 0.1, spikes: 0.1,
  readout: 0.1}"""
OWN = "{op: positions, name: p, width: 12}\n  - "
LINEAR = "{op: linear, name: output,"
CTC = "score: {kind: ctc_classes, names: ['', a, b, c, d]}\n"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        # What an op reads, and what it is called.
        ("input: pool", "input: pol", 9, r"layer 'front' reads 'pol', which is not before it; did you mean 'pool'\?"),
        ("input: features", "input: relu", 6, r"layer 'conv' reads 'relu', which is not before it; one of: features"),
        ("name: relu", "name: conv", 7, r"two layers are named 'conv'"),
        ("name: relu", "name: features", 7, r"two layers are named 'features'"),
        ("name: relu, input: conv", "name: relu, input: features", 6, r"layer 'conv' is read by none"),
        ("input: blocks.0.norm", "input: front", 10, r"layer 'blocks\.0\.norm' is read by none"),
        ("{op: relu", "{op: rely", 7, r"unknown op 'rely' \(did you mean 'relu'\?\)"),
        ("outputs: 12}", "outputs: 12, weight_bit: 4}", 9,
         r"unknown key 'weight_bit' \(did you mean 'weight_bits'\?\)"),
        ("outputs: 12}", "outputs: 12, weight_bits: 9}", 9,
         r"'weight_bits': must be 1 to 8, or 16 for float16, found 9"),
        ("outputs: 12}", "outputs: 12, weight_bits: 0}", 9,
         r"'weight_bits': must be 1 to 8, or 16 for float16, found 0"),
        ("outputs: 12}", "outputs: 12, weight_bits: 1}", 9,
         r"tensor 'front\.weight' has values other than -1 and 1 \(1 bit\) in weights\.safetensors"),
        ("stride: [2, 2]", "stride: [2]", 6, r"'stride': expected at least 2 items, found 1"),
        # Widths and rates that do not fit.
        ("channels: 2,", "channels: 2, bands: 3,", 6, r"layer 'conv': 8 inputs are not channels of 3 bands"),
        ("channels: 2,", "channels: 2, kernel: [3, 2],", 6,
         r"tensor 'conv\.weight' has shape \[3, 3, 1, 2\], expected \[3, 2, 1, 2\] in weights\.safetensors"),
        ("size: [1, 2]", "size: [1, 5]", 8, r"layer 'pool': it takes the largest of 5 bands, found 4"),
        ("outputs: 12}", "outputs: 16}", 10,
         r"layer 'blocks\.0\.ff1\.add': it adds rows of 12 to rows of 16, or of another rate"),
        (LINEAR, "{op: add, name: sum, input: blocks.0.norm, residual: features}\n  - " + LINEAR, 12,
         r"layer 'sum': it adds rows of 12 to rows of 8, or of another rate"),
        (LINEAR, "{op: linear, name: wide, input: features, outputs: 12}\n  - "
         "{op: add, name: sum, input: blocks.0.norm, residual: wide}\n  - " + LINEAR, 13,
         r"layer 'sum': it adds rows of 12 to rows of 12, or of another rate"),
        (LINEAR, "{op: add, name: sum, input: front, residual: blocks.0.norm, factor: 0}\n  - " + LINEAR, 12,
         r"'factor': must be greater than 0, found 0"),
        (LINEAR, "{op: linear, name: odd, input: front, outputs: 3}\n  - {op: glu, name: glu, input: odd}\n  - "
         + LINEAR, 13, r"layer 'glu': a gated linear unit needs an even number of inputs, found 3"),
        # Attention and positions.
        ("heads: 2", "heads: 5", 10, r"layer 'blocks\.0\.attention\.heads': 36 inputs are not q, k and v of 5 heads"),
        (LINEAR, "{op: linear, name: qkv, input: front, outputs: 13}\n  - "
         "{op: attention, name: heads, input: qkv, heads: 1}\n  - " + LINEAR, 13,
         r"layer 'heads': 13 inputs are not q, k and v of 1 heads"),
        (LINEAR, OWN + "{op: attention, name: heads, input: front, heads: 1, positions: p}\n  - " + LINEAR, 13,
         r"layer 'heads': position vectors of 12 do not fit a width of 4"),
        (LINEAR, "{op: attention, name: heads, input: front, heads: 1, positions: pool}\n  - " + LINEAR, 12,
         r"layer 'heads' needs vectors of distances, and 'pool' gives rows of frames"),
        (LINEAR, OWN + "{op: attention, name: heads, input: p, heads: 1}\n  - " + LINEAR, 13,
         r"layer 'heads' attends over frames, and 'p' gives vectors of distances"),
        (LINEAR, OWN + "{op: depthwise, name: mixed, input: p, taps: 3}\n  - " + LINEAR, 13,
         r"layer 'mixed' \(depthwise\) works over frames, and 'p' gives vectors of distances"),
        (LINEAR, OWN + "{op: add, name: sum, input: p, residual: front}\n  - " + LINEAR, 13,
         r"layer 'sum' mixes rows of frames with vectors of distances"),
        (LINEAR, "{op: positions, name: p, width: 13}\n  - " + LINEAR, 12,
         r"layer 'p': sinusoids need an even width, found 13"),
        ("positions: learnable_no_linear", "positions: learnt", 11, r"'positions': unknown value 'learnt' .*"),
        ("reach: 4", "order: [ff1, conv, ff1]", 10, r".*a block has each module once, found order ff1, conv, ff1"),
        ("reach: 4", "order: []", 11, r"'order': expected at least 1 items, found 0"),
        ("reach: 4", "order: [conv, gru]", 11,
         r"'order\[1\]': unknown value 'gru' \(one of: ff1, ff2, conv, attention\)"),
        # The workload around the graph.
        ("graph:", "layers:\n  - {op: linear, name: l, input: features, outputs: 2, weight_bits: 8}\ngraph:", 5,
         r"unknown key 'layers'.*"),
        ("weights: weights.safetensors\n", "", 1,
         r"expected either 'weights', a safetensors file, or 'generated_weights'"),
        ("name: small", "name: small\ngenerated_weights: {seed: 1}", 1,
         r"expected either 'weights', a safetensors file, or 'generated_weights'"),
        ("weights: weights.safetensors\n", "generated_weights: {seed: 1}\n" + CTC, 1,
         r"generated weights recognise nothing: leave out 'score'"),
        ("weights: weights.safetensors\n", "generated_weights: {seed: -1}\n", 3,
         r"'seed': must be at least 0, found -1"),
        ("graph:", CTC.replace(", d", "") + "graph:", 5, r"the score names 4 classes, the network has 5"),
        ("graph:", "input_bits: 4\ngraph:", 1, r"features of speech are 8-bit codes, found 'input_bits: 4'"),
    ],
)  # fmt: skip
def test_wrong_graphs(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert SMALL.count(old) == 1
    found = problems(write(tmp_path, SMALL.replace(old, new)))
    assert len(found) == 1 and re.fullmatch(rf"workload\.yaml:{line}: {message}", found[0]), found


def test_outputs_that_depend_on_no_input(tmp_path: Path) -> None:
    lines = SMALL.splitlines(keepends=True)[:5]
    lines += ["  - {op: positions, name: p, width: 4}\n", "  - {op: linear, name: output, input: p, outputs: 5}\n"]
    message = "workload.yaml:7: layer 'output' gives the outputs, and they do not depend on 'features'"
    assert problems(write(tmp_path, "".join(lines))) == [message]


def test_random_activity_drives_spiking_ops_alone(tmp_path: Path) -> None:
    """Said once for each item of the file, at its line."""
    items = {"conv": "conv", "relu": "relu", "pool": "max_pool", "front": "linear", "blocks": "conformer"}
    items["output"] = "linear"
    head, graph = SMALL[: SMALL.index("inputs:")], SMALL[SMALL.index("graph:") :]
    found = problems(write(tmp_path, head + RANDOM + "\n" + graph))
    lines = [7, 8, 9, 10, 11, 13]
    assert found == [
        f"workload.yaml:{line}: random activity drives spiking ops alone, found '{name}' ({op})"
        for line, (name, op) in zip(lines, items.items(), strict=True)
    ]


def test_no_graph(tmp_path: Path) -> None:
    head = "".join(SMALL.splitlines(keepends=True)[:4])
    assert problems(write(tmp_path, head)) == ["workload.yaml:1: missing key 'graph'"]
    assert problems(write(tmp_path, head + "graph: []\n")) == [
        "workload.yaml:5: 'graph': expected at least 1 items, found 0"
    ]


FEED_FORWARD = ["norm", "linear1", "silu", "linear2", "add"]
CONVOLUTION = ["norm", "pointwise1", "glu", "depthwise", "depthwise_norm", "silu", "pointwise2", "add"]
ATTENTION = {
    "none": ["norm", "qkv", "heads", "out", "add"],
    "relative": ["norm", "qkv", "positions", "linear_pos", "heads", "out", "add"],
    "relative_no_linear": ["norm", "qkv", "positions", "heads", "out", "add"],
    "learnable": ["norm", "qkv", "positions", "linear_pos", "heads", "out", "add"],
    "learnable_no_linear": ["norm", "qkv", "positions", "heads", "out", "add"],
}


def conformer(**changed: Any) -> list[Op]:
    given: dict[str, Any] = {
        "op": "conformer", "name": "b", "input": "features", "blocks": 1, "width": 8, "heads": 2, "feed_forward": 16,
        "kernel": 3, "weight_bits": 5,
    }  # fmt: skip
    return [*ConformerOp(**given | changed).ops()]


@pytest.mark.parametrize("positions", POSITIONS)
def test_the_ops_of_a_block(positions: str) -> None:
    ops = conformer(positions=positions, reach=3)
    parts = {"ff1": FEED_FORWARD, "conv": CONVOLUTION, "attention": ATTENTION[positions], "ff2": FEED_FORWARD}
    assert [op.name for op in ops] == [f"b.0.{m}.{op}" for m, names in parts.items() for op in names] + ["b.0.norm"]
    assert {op.weight_bits for op in ops if isinstance(op, WeightedOp)} == {5}
    adds = [op for op in ops if isinstance(op, AddOp)]
    assert [op.factor for op in adds] == [0.5, 1, 1, 0.5]
    assert [op.residual for op in adds] == ["features", "b.0.ff1.add", "b.0.conv.add", "b.0.attention.add"]
    heads = next(op for op in ops if isinstance(op, AttentionOp))
    last = "positions" if positions.endswith("no_linear") else "linear_pos"
    assert heads.positions == (None if positions == "none" else f"b.0.attention.{last}")
    reach = [op.reach for op in ops if isinstance(op, PositionsOp)]
    assert reach == ([] if positions == "none" else [3 if positions.startswith("learnable") else None])
    assert Graph.of(ops, Edge(8)).given == Edge(8)


def test_order_and_blocks() -> None:
    ops = conformer(blocks=2, order=["conv", "ff2"])
    parts = {"conv": CONVOLUTION, "ff2": FEED_FORWARD}
    block = [f"{m}.{op}" for m, names in parts.items() for op in names] + ["norm"]
    assert [op.name for op in ops] == [f"b.{i}.{name}" for i in (0, 1) for name in block]
    assert next(op for op in ops if op.name == "b.1.conv.norm").reads() == ("b.0.norm",)


@pytest.mark.parametrize("positions", POSITIONS)
def test_generated_tensors(positions: str) -> None:
    graph = small_graph(2, 64, positions)
    tensors = generated_tensors(graph, 7)
    shapes = {op.tensor_name(end): shape for op in graph.ops for end, shape in op.shapes(graph.read(op)).items()}
    assert {name: value.shape for name, value in tensors.items()} == {
        name: shape
        for name, shape in shapes.items()
        if name != "output.output_scale" and not name.endswith(".table_scale")  # the table is in float
    }
    assert list(graph.tensor_problems(tensors)) == []
    for op in graph.ops:
        if isinstance(op, WeightedOp):
            weight, largest = tensors[f"{op.name}.weight"], 2 ** (op.weight_bits - 1) - 1
            assert weight.dtype == np.int8 and largest / 2 < np.abs(weight.astype(int)).max() <= largest
    again, other = generated_tensors(graph, 7), generated_tensors(graph, 8)
    for name, tensor in tensors.items():
        assert tensor.tobytes() == again[name].tobytes() and tensor.dtype == again[name].dtype
    drawn = [name for name in tensors if tensors[name].ndim]
    assert all(tensors[name].tobytes() != other[name].tobytes() for name in drawn)


def test_an_op_keeps_its_draws_when_those_behind_it_change() -> None:
    graph = small_graph()
    some = Graph.of(graph.ops[:5], graph.edges["features"])
    few, all_of_them = generated_tensors(some, 1), generated_tensors(graph, 1)
    assert few.keys() == {name for name in all_of_them if name.split(".")[0] in ("conv", "front")} | {
        name for name in all_of_them if name.startswith("blocks.0.ff1.norm")
    }
    for name in few:
        np.testing.assert_array_equal(few[name], all_of_them[name])


def test_smallest_generated_weights() -> None:
    """Two bits and one weight, which is often 0: still a scale; one bit is never 0."""
    for bits, found in ((2, {-1, 0, 1}), (1, {-1, 1})):
        op = LinearOp(op="linear", name="one", input="features", outputs=1, weight_bits=bits)
        drawn = [generated_tensors(Graph.of([op], Edge(1)), seed) for seed in range(20)]
        assert {int(tensors["one.weight"][0, 0]) for tensors in drawn} == found
        assert all(np.isfinite(tensors["one.weight_scale"]) for tensors in drawn)


@pytest.mark.parametrize("positions", POSITIONS)
def test_values_of_generated_weights_fill_the_codes(positions: str) -> None:
    """Every matrix gives values of deviation near 1, and few of the codes are clamped."""
    graph = small_graph(2, 64, positions)
    tensors = generated_tensors(graph, 7)
    x = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    logits = values(graph, tensors, x, [0, 120, 300])
    assert logits.values.shape == (150, 5) and list(logits.starts) == [0, 60, 150]

    unit = Datapath(tensors, reach=graph.reach)
    signals = {FEATURES: Signal(x, np.array([0, 120, 300]), graph.edges[FEATURES])}
    evaluate(graph.ops, signals, graph.edges, unit)
    codes = {}
    for op in graph.ops:
        if isinstance(op, WeightedOp):
            # Attention averages over frames, so its outputs are smaller, the more so the less alike the frames are.
            low, given = 0.3 if op.name.endswith("attention.out") else 0.75, signals[op.name].values
            assert low < given.std() < 1.3, (op.name, given.std())
            written = 0 if op is graph.last else given.size
            codes[op.name] = unit.clamped[op.name] / (signals[op.input].values.size + written)
    np.testing.assert_array_equal(signals["output"].values, logits.values)
    assert max(codes.values()) < 0.02 and np.mean(list(codes.values())) < 0.003, codes


def test_generated_workload(tmp_path: Path) -> None:
    text = SMALL.replace("weights: weights.safetensors", "generated_weights: {seed: 1}")
    workload = load_workload(write(tmp_path, text, {}))
    for name, tensor in small_tensors().items():
        np.testing.assert_array_equal(workload.tensors[name], tensor)
    other = load_workload(tmp_path, {"generated_weights.seed": "2"})
    assert not np.array_equal(other.tensors["front.weight"], workload.tensors["front.weight"])
    assert other.sha256 != workload.sha256


def test_weights_that_are_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An op that does not say how: what an op has by itself are real numbers, which neurons do not take."""
    for op in (LifOp, SpikeSumOp):
        monkeypatch.setattr(op, "generated", Op.generated)
    text = SMALL.replace("weights: weights.safetensors", "generated_weights: {seed: 1}")
    lif = "  - {op: lif, name: lif, input: features, neurons: 5, beta: 0.5, threshold: 8, reset: zero}\n"
    ops = "graph:\n" + lif + "  - {op: spike_sum, name: sum, input: lif, neurons: 5}\n"
    assert problems(write(tmp_path, text[: text.index("graph:")] + ops)) == [
        "workload.yaml:6: no weights are drawn for 'lif' (lif) (give them in a file, 'weights')",
        "workload.yaml:7: no weights are drawn for 'sum' (spike_sum) (give them in a file, 'weights')",
    ]


def test_positions_before_everything_else() -> None:
    """They stand for the longest utterance, also where no op came before; beyond its reach a table's last vector."""
    ops: list[DatapathOp] = [
        PositionsOp(op="positions", name="p", width=2, reach=1),
        PositionsOp(op="positions", name="s", width=2),
        AddOp(op="add", name="sum", input="p", residual="s"),
        AttentionOp(op="attention", name="heads", input="features", heads=1, positions="sum"),
        LayerNormOp(op="layer_norm", name="norm", input="heads"),
    ]
    table = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    one = np.ones((1, 2), np.float32)
    tensors = {"p.table": table, "heads.u": one, "heads.v": one, "norm.gain": one[0], "norm.bias": one[0]}
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    graph = Graph.of(ops, Edge(6))
    assert values(graph, tensors, x, [0, 2, 5]).values.shape == (5, 2)
    found, _ = ops[0].compute([], Datapath(tensors, longest=3))
    np.testing.assert_array_equal(found, table[[2, 2, 1, 0, 0]])
    codes: dict[str, np.ndarray] = {"p.table": table.astype(np.int8), "p.table_scale": np.array(0.5, np.float32)}
    np.testing.assert_array_equal(ops[0].compute([], Datapath(codes, longest=3))[0], found / 2)
    np.testing.assert_array_equal(ops[1].compute([], Datapath(tensors, longest=3))[0], sinusoids(3, 2))


def test_values_that_are_not_numbers_name_the_layer() -> None:
    graph = small_graph()
    with pytest.raises(ValueError, match=r"layer 'conv': a value to be quantised is not a number"):
        values(graph, generated_tensors(graph, 1), np.full((4, 8), np.nan, np.float32), [0, 4])


def test_what_is_too_large_is_refused_at_its_op() -> None:
    features = Edge(8, 8, 1, "codes", unsigned=True)
    given: dict[str, Any] = {"op": "conformer", "name": "b", "input": "features", "heads": 2, "feed_forward": 16}
    blocks = ConformerOp(**given, blocks=10**9, width=8)
    with pytest.raises(GraphError, match="more than 10,000 ops") as refused:
        Graph.of([blocks], features)
    assert (refused.value.place, refused.value.hint) == (0, "raise it: --limit ops=1e5")
    ops = len(Graph.of([ConformerOp(**given, blocks=1, width=8)], features).ops)
    with limits.within(ops=ops):
        assert len(Graph.of([ConformerOp(**given, blocks=1, width=8)], features).ops) == ops
    with limits.within(ops=ops - 1), pytest.raises(GraphError, match=f"more than {ops - 1} ops"):
        Graph.of([ConformerOp(**given, blocks=1, width=8)], features)
    with pytest.raises(GraphError, match=r"^layer 'b': its LinearOp 'outputs': must be at most 2147483647, found 3"):
        Graph.of([ConformerOp(**given, blocks=1, width=1_500_000_000, order=["conv"])], features)
    wide = LinearOp(op="linear", name="y", input="features", outputs=200_000_000)
    with pytest.raises(GraphError, match="more than 100,000,000 values in a tensor: a row of layer 'y'"):
        Graph.of([wide], features)
    with limits.within(state_values=5), pytest.raises(GraphError, match="5 values of state: layer 'y' has 6"):
        Graph.of([GruOp(op="gru", name="y", input="features", units=6, weight_bits=16)], features)
    graph = Graph.of([LinearOp(op="linear", name="y", input="features", outputs=20_000_000)], features)
    with pytest.raises(GraphError, match=r"100,000,000 values in a tensor: 'y.weight' is 8 x 20,000,000") as refused:
        graph.check_sizes()
    assert refused.value.hint == "raise it: --limit tensor_values=1.6e8"
    with limits.within(tensor_values=1e9, network_values=1.5e8), pytest.raises(GraphError, match="in all tensors"):
        graph.check_sizes()
    with limits.within(tensor_values=1e9, memory=limits.held_memory() + 1e9):
        graph.check_sizes()
    little = limits.held_memory() + 1e8
    with (
        limits.within(tensor_values=1e9, memory=little),
        pytest.raises(GraphError, match="values takes about") as refused,
    ):
        graph.check_sizes()
    assert refused.value.hint is not None and refused.value.hint.startswith("allow it: --memory ")


def test_integer_weights_are_drawn_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    for at_once in (1 << 20, 7):
        monkeypatch.setattr("accelsim.ops.op._AT_ONCE", at_once)
        for bits in (1, 5, 8):
            random = np.random.Generator(np.random.Philox(key=[3, bits]))
            drawn[at_once, bits] = integer_weights(random, (5, 9), bits), random.random()
            assert _mean_square(drawn[at_once, bits][0]) == np.square(drawn[at_once, bits][0].astype(float)).mean()
    for bits in (1, 5, 8):
        (whole, after), (parts, also) = drawn[1 << 20, bits], drawn[7, bits]
        assert (whole == parts).all() and after == also and whole.any()
