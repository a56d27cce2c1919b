"""NPUs that hold only some ops of a network, and networks without attention."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from graphs import Streaming, chip, frames, graph, write_graph

from accelsim.architecture import Architecture, load_architecture
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import execute
from accelsim.engines.npu.planner import lpddr_bits, plan, sizes
from accelsim.library import find
from accelsim.ops.activation import ReluOp
from accelsim.ops.graph import Graph
from accelsim.ops.op import Edge
from accelsim.pipeline import operate, run_in_full
from accelsim.record import record
from accelsim.schedule import Job

SHAPE = Streaming(chunk=4, left=6)
PARTS = ("cpu", "sequencer", "array", "vector", "l2", "dma", "lpddr")
BETWEEN = ("cpu", "sequencer")
"""What passes on tensors, and takes them."""


def two_npus(folder: Path, second: str, l2: dict[str, int] | None = None, **compiler: Any) -> Architecture:
    """Return a chip of two NPUs, ``a`` and ``b``; layers that fit the pattern ``second`` are on b, all others on a."""
    data = yaml.safe_load(find("edge_npu", "arch").read_text())
    data["components"]["l2"] |= l2 or {}
    data["components"] |= {f"{name}_b": spec for name, spec in list(data["components"].items())}
    data["channels"] += [
        channel | {"from": f"{channel['from']}_b", "to": f"{channel['to']}_b"} for channel in list(data["channels"])
    ]
    data["channels"] += [
        {"from": f"{one}{x}", "to": f"{other}{y}", "capacity": 1, "latency": 1}
        for one in BETWEEN for other in BETWEEN for x, y in (("", "_b"), ("_b", ""))
    ]  # fmt: skip
    roles = {name: "dram" if name == "lpddr" else name for name in PARTS}
    data["engines"] = {
        "a": {"kind": "npu", "parts": {role: name for name, role in roles.items()}},
        "b": {"kind": "npu", "parts": {role: f"{name}_b" for name, role in roles.items()}},
    }
    data["placement"] = {"*": {"engine": "a"}, second: {"engine": "b"}}
    data["compiler"] |= compiler
    path = folder / "two.yaml"
    path.write_text(yaml.safe_dump(data))
    return load_architecture(path)


def job(deployment: Deployment, name: str) -> Job:
    return next(job for job in deployment.schedule.jobs if job.name == name)


@pytest.mark.parametrize("second", ["*.ff1.*", "*.conv.*", "*.add", "*.attention.heads", "front", "output", "c*"])
@pytest.mark.parametrize("layout", ["BC1S", "BSC"])
def test_a_network_on_two_npus(tmp_path: Path, second: str, layout: str) -> None:
    """The same values as on one, the same multiplications; every chunk ends, and the books close."""
    workload = graph(tmp_path, SHAPE.layers(), bands=SHAPE.bands)
    batch = frames(workload, [50, 16])
    alone = execute(deploy(workload, chip({"compiler.layout": layout}, "edge_npu")), batch)
    npus = two_npus(tmp_path, second, layout=layout)
    deployment = deploy(workload, npus)
    both = execute(deployment, batch)
    np.testing.assert_array_equal(both.outputs, alone.outputs)
    assert both.starts.tolist() == alone.starts.tolist() == [0, 4, 5]
    assert both.activity.macs == alone.activity.macs
    assert both.activity.exceptions == alone.activity.exceptions
    assert len(deployment.segments) > 1 and {segment.engine for segment in deployment.segments} == {"a", "b"}
    operate(npus, deployment.schedule, both.activity, both.frames)


def test_what_goes_between_engines(tmp_path: Path) -> None:
    """A feed-forward module elsewhere: its norm is the first to take the tensor, which both then write and read."""
    workload = graph(tmp_path, SHAPE.layers(), bands=SHAPE.bands)
    deployment = deploy(workload, two_npus(tmp_path, "*.ff1.*"))
    rows_bits = 4 * SHAPE.width * 16
    sends, takes = job(deployment, "front"), job(deployment, "blocks.0.ff1.norm")
    # The tensor goes to b, and so does the token; a keeps it for the residual sum, which b makes as well.
    assert sends.gives == ("sequencer->sequencer_b",) * 2 and sends.work.row()["sent_bits"] == rows_bits
    assert takes.takes == ("cpu_b->sequencer_b", "sequencer->sequencer_b")
    assert takes.work.row()["received_bits"] == rows_bits
    again = job(deployment, "blocks.0.ff1.add")
    assert "received_bits" not in again.work.row() and "sequencer->sequencer_b" in again.takes
    assert again.gives == ("sequencer_b->sequencer",) * 2 and not again.last
    counts = execute(deployment, frames(workload, [16])).activity.counts
    width = 128
    read, written = (counts["blocks.0.ff1.norm", "l2_b[2]"][action][0] for action in ("read", "write"))
    assert (read, written) == (rows_bits // width, 2 * rows_bits // width)
    # a starts the chunk with its features, b without; a alone ends it.
    starts = [each for each in deployment.schedule.jobs if each.paced]
    assert [(each.name, each.component, each.work.row()["in_bits"]) for each in starts] == [
        ("a.start", "cpu", 16 * 8 * SHAPE.bands), ("b.start", "cpu_b", 0),
    ]  # fmt: skip
    assert [each.name for each in deployment.schedule.jobs if each.last] == ["end"]
    assert deployment.engines["a"].plan().chunk == deployment.engines["b"].plan().chunk == 4  # type: ignore[union-attr]


@pytest.mark.parametrize("second", ["*.ff1.*", "*.linear2", "*.glu", "*.attention.*"])
@pytest.mark.parametrize("rows", [40, 56, 70, 84])
def test_parts_of_a_network_in_little_room(tmp_path: Path, second: str, rows: int) -> None:
    """In 12 bytes a row: each NPU moves over its LPDDR what its plan says, and what it gives others is made whole."""
    workload = graph(tmp_path, SHAPE.layers(), bands=SHAPE.bands)
    npus = two_npus(tmp_path, second, {"banks": 67, "weight_banks": 64, "width_bits": 32, "rows": rows})
    deployment = deploy(workload, npus)
    seen = False
    for name, engine in deployment.engines.items():
        made, ours = engine.plan(), {op.name for op in engine.ops}
        assert made is not None
        jobs = [each for each in deployment.schedule.jobs if each.layer in ours]
        work = [each.work.row() for each in jobs]
        moved = sum(row.get("spill_in", 0) + row.get("spill_out", 0) for row in work)
        assert moved + sum(row["weight_bits"] for row in work if row["stage"] == "load") == made.lpddr_bits, name
        for op in engine.ops:  # a tensor of which a piece alone exists at a time cannot go to another engine
            if any(reader not in ours for reader in workload.graph.readers[op.name]):
                inside = [group.split(" .. ") for group in made.pieces]
                order = [each.name for each in engine.ops]
                for first, *last in inside:
                    end = order.index(last[0] if last else first)
                    assert not order.index(first) <= order.index(op.name) < end, (op.name, first, last)
        seen = seen or bool(made.pieces or made.spilled or not made.state_in_l2)
    assert seen, "the sizes reach the case"
    both = execute(deployment, frames(workload, [32]))
    operate(npus, deployment.schedule, both.activity, both.frames)


def test_chains_end_where_others_work() -> None:
    """Of a, b, c, d, e in a row, c is of another engine, 4 rows a chunk, 16 values of 16 bits: 1024 bits each."""
    names = ["features", "a", "b", "c", "d", "e"]
    ops = [ReluOp(op="relu", name=name, input=before) for before, name in pairwise(names)]
    network = Graph.of(ops, Edge(16, kind="codes", bits=8))
    ours = [op for op in ops if op.name != "c"]
    chunk = sizes(network, ours, 4, {"features": 8, **dict.fromkeys(names[1:], 16)})
    assert chunk.tensors == {"features": 512, **dict.fromkeys(names[1:], 1024)}
    # c is there when b, the second op, is done; d is the third.
    assert (chunk.arrivals, chunk.ends, chunk.readers["c"]) == ({"c": 1}, {"b"}, [2])
    whole = plan(chunk, 2048, split=True)
    assert [(group.first, group.last) for group in whole.groups] == [(0, 1), (2, 3)] and whole.peak_bits == 2048
    # What finds no room goes out and comes in, c as well: a, c and d twice, b and e, which nobody here reads, once.
    nothing = plan(chunk, 1, split=False)
    assert nothing.spilled == {*names} and lpddr_bits(chunk, nothing) == 512 + (3 * 2 + 2) * 1024


CONVOLUTIONS = [
    "{name: c, op: conv, input: features, channels: 3, stride: [2, 1], weight_bits: 16}",
    "{name: r, op: relu, input: c}",
    "{name: d, op: depthwise, input: r, taps: 4, causal: true, weight_bits: 16}",
    "{name: y, op: linear, input: d, outputs: 5, weight_bits: 16}",
]


def test_a_network_without_attention(tmp_path: Path) -> None:
    """One row a chunk unless the workload says another; the same values, and weights come for every chunk."""
    path = write_graph(tmp_path, CONVOLUTIONS, bands=6, seconds=0.3)
    found = {}
    for rows in (None, 1, 5):
        keys = {} if rows is None else {"workload.chunk": str(rows)}
        run = run_in_full("edge_npu", path, overrides=keys)
        result = record(run)
        assert result.plan is not None and result.plan.frames == (rows or 1)
        assert result.performance.frames == -(-15 // (rows or 1))
        found[rows] = run, result
    outputs = [run.execution.outputs for run, _ in found.values()]
    assert len(outputs[0]) == 15
    for other in outputs[1:]:
        np.testing.assert_array_equal(outputs[0], other)
    assert found[None][1].performance == found[1][1].performance
    # 3 x 3 x 3, 4 x 18 and 18 x 5 float16; state: a row of 6 codes, three of 18 numbers.
    plan = found[5][1].plan
    assert plan is not None
    assert (plan.weight_bytes, plan.state_bytes) == (2 * (27 + 72 + 90), 6 + 2 * 3 * 18)
    assert found[5][1].performance.cycles_per_frame < 5 * found[1][1].performance.cycles_per_frame
