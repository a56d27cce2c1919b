"""Counts and cycles of graphs, in closed form, against plain loops over frames, tiles, rows, columns and words."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from graphs import Shape, chip, counted, graph, rows_in, shapes, tile_keys
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_graph import PlainCounts

from accelsim.engines.crossbar_tiles import Convert
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import service_of
from accelsim.ops.op import WeightedOp
from accelsim.pipeline import operate
from accelsim.schedule import part_of
from accelsim.workload import Workload


@st.composite
def chips(draw: st.DrawFn, layers: list[str]) -> tuple[dict[str, Any], str]:
    """Draw a chip of tiles, or of a digital array alone, and its keys for time; some layers are placed in their way."""
    on_tiles = draw(st.integers(0, 2)) > 0
    clusters = draw(st.sampled_from([1, 2, 4]))
    keys: dict[str, Any] = {
        "components.activations.banks": 4 * draw(st.integers(1, 9)), "components.activations.rows": 1 << 20,
        "components.activations.width_bits": draw(st.sampled_from([16, 64, 200])),
        "components.activations.cycles_per_access": draw(st.integers(1, 3)),
        "components.vector.lanes": draw(st.integers(2, 40)), "components.vector.special_lanes": draw(st.integers(1, 2)),
        "components.vector.cycles_per_special": draw(st.integers(1, 5)),
        "components.vector.number": draw(st.sampled_from(["float16", "float32"])),
        "components.attention.macs": draw(st.integers(1, 50)),
        "components.attention.exponentials": draw(st.integers(1, 3)),
        "components.queue.cycles_per_dispatch": draw(st.integers(1, 3)),
        "components.array.rows": draw(st.integers(1, 40)), "components.array.columns": draw(st.integers(1, 40)),
        "components.weights.banks": draw(st.integers(1, 5)), "components.weights.rows": 1 << 16,
        "components.features.writes_per_cycle": draw(st.integers(1, 20)),
    }  # fmt: skip
    placed: dict[str, str] = {}
    if not on_tiles:
        placed = {name: f"{{batch: {draw(st.integers(1, 4))}}}" for name in layers}
        placing = {f"components.{part}.units": clusters for part in ("vector", "attention")}
    else:
        for name in layers:
            tile = draw(st.integers(0, 3)) > 0
            more = f"copies: {draw(st.integers(1, 3))}" if tile else f"batch: {draw(st.integers(1, 3))}"
            placed[name] = f"{{engine: {'crossbar_tiles' if tile else 'digital'}, {more}}}"
        placing = tile_keys(tiles=400, planes=8, clusters=clusters, shared_by=draw(st.sampled_from([1, 7, 64])))
        keys |= {
            "components.crossbar.cell_bits": draw(st.integers(1, 2)), "components.crossbar.device": "ideal",
            "components.crossbar.cycles_per_read": draw(st.integers(1, 3)),
            "components.dac.mode": draw(st.sampled_from(["amplitude", "amplitude", "bit_serial"])),
            "components.dac.cycles_per_drive": draw(st.integers(1, 3)),
            "components.adc.cycles_per_conversion": draw(st.integers(1, 3)),
            "components.shift_add.units": draw(st.integers(1, 9)),
            "components.shift_add.adds_per_cycle": draw(st.integers(1, 3)),
            "components.accumulator.units": draw(st.integers(1, 9)),
            "components.accumulator.cycles_per_group": draw(st.integers(1, 3)),
            "components.accumulator.width_bits": draw(st.integers(16, 32)),
            "components.bus.width_bits": draw(st.sampled_from([8, 32, 256])),
            "components.bus.lanes": draw(st.integers(1, 2)),
            "components.tile_inputs.writes_per_cycle": draw(st.integers(1, 40)),
        }  # fmt: skip
    said = ", ".join(f"{name}: {placement}" for name, placement in placed.items())
    name = "memristor_conformer" if on_tiles else "conformer_digital28"
    return {**placing, **keys, "placement": f"{{{said}}}"}, name


def network(shape: Shape) -> Workload:
    with tempfile.TemporaryDirectory() as folder:
        return graph(Path(folder), shape)


@settings(max_examples=60)
@given(data=st.data(), shape=shapes(), lengths=st.lists(st.integers(0, 8), max_size=3))
def test_counts_and_cycles_are_those_of_plain_loops(data: st.DataObject, shape: Shape, lengths: list[int]) -> None:
    """Between layers there is no more room than must be, and the longest utterance is as long as the engines hold.

    The power of the cells is drawn: what they take is another test's business, here in which frame it is booked.
    """
    workload, lengths = network(shape), [*lengths, data.draw(st.integers(1, 5))]
    keys, name = data.draw(chips([op.name for op in workload.graph.ops if isinstance(op, WeightedOp)]))
    room = {f"channels.{i}.capacity": 1 for i in range(6 if name == "memristor_conformer" else 2)}
    architecture = chip({**keys, **room, "components.attention.frames": max(lengths)}, name)
    deployment = deploy(workload, architecture)
    schedule = deployment.schedule
    tiles = deployment.engines.get("crossbar_tiles")
    tiled = [op.name for op in tiles.ops] if tiles else []
    generator = np.random.default_rng(1)
    # Of every row: of distances, and of all rows that a layer gives in the frames.
    watts = {
        name: generator.random(2 * max(lengths) - 1 if "linear_pos" in name else sum(lengths) * rows_in(workload, name))
        for name in tiled
    }
    activity = counted(deployment, lengths, watts)
    booked = {
        name: power.tolist() if "linear_pos" in name else [sum(of) for of in power.reshape(-1, rows_in(workload, name))]
        for name, power in watts.items()
    }
    plain = PlainCounts(workload, architecture, lengths, booked)

    members = {(job.name, part_of(member)): (job.name, member) for job in schedule.jobs for member in job.members()}
    assert members.keys() == plain.seen.keys()
    service = service_of(schedule, architecture, activity)
    for where, member in members.items():
        found = {action: values.tolist() for action, values in activity.counts[member].items()}
        assert found == {action: by_frame(by, plain.frames) for action, by in plain.seen[where].items()}, where
        cycles = np.broadcast_to(service[member], (plain.frames,)).tolist()
        assert cycles == by_frame(plain.busy[where], plain.frames), where
    assert {job: macs["dense"] for job, macs in activity.macs.items()} == dict(plain.macs)
    conversions = Counter({job.layer: 0 for job in schedule.jobs if isinstance(job.work, Convert)})
    for job in schedule.jobs:
        if isinstance(job.work, Convert):
            conversions[job.layer] += sum(plain.seen[job.name, "adc"]["convert"].values())
    assert {layer: made for layer, (made, _) in activity.conversions.items()} == dict(conversions)

    # The engine: a job takes as long as the slowest of those at work in it, and every job and token comes to an end.
    timeline = operate(architecture, schedule, activity, plain.frames).timeline
    for job in schedule.jobs:
        each = [by_frame(plain.busy[job.name, part_of(member)], plain.frames) for member in job.members()]
        assert timeline.job_cycles[job.name] == sum(max(cycles) for cycles in zip(*each, strict=True)), job.name


def by_frame(counts: Mapping[int, int], frames: int) -> list[int]:
    return [counts[t] for t in range(frames)]
