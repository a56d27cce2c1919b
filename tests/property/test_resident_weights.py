"""Weights that stay in L2 from chunk to chunk: the same values, one load a run, room for all, and what it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import Streaming, chip, graph, streaming
from graphs import frames as made_up
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from accelsim import pipeline
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import Activity, execute, service_of
from accelsim.errors import InputError
from accelsim.pipeline import run_in_full
from accelsim.record import record
from accelsim.simulate import simulate
from accelsim.workload import Workload

RESIDENT = {"compiler.weights": "resident"}
ONE_CLOCK = {"clocks.memory.frequency": "400 MHz", "clocks.cpu.frequency": "400 MHz"}
BACK_TO_BACK = {"pacing.mode": "back_to_back"}


def computed(workload: Workload, keys: dict[str, Any], chunks: int) -> tuple[Deployment, np.ndarray, Activity]:
    deployment = deploy(workload, chip(keys, "edge_npu"))
    execution = execute(deployment, made_up(workload, [chunks * deployment.frame]))
    assert execution.outputs is not None
    return deployment, execution.outputs, execution.activity


def words(activity: Activity, part: str, action: str) -> np.ndarray:
    """Return how often something happened in each chunk, over all jobs."""
    counts = [values for (_, member), values in activity.counts.items() if member == part]
    return np.sum([values[action] for values in counts if action in values], axis=0)


@settings(max_examples=30, deadline=None)
@given(streaming(), st.integers(2, 4), st.integers(60, 600), st.sampled_from(["BC1S", "BSC"]), st.booleans())
def test_loaded_once(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, chunks: int, rows: int, layout: str, split: bool
) -> None:
    """Values and products are those of weights that stream; the first chunk alone loads, each weight once."""
    workload = graph(tmp_path_factory.mktemp("once"), shape.layers(), bands=shape.bands)
    keys = {"components.l2.banks": 7, "components.l2.weight_banks": 4, "components.l2.rows": rows,
            "compiler.layout": layout, "compiler.split": split}  # fmt: skip
    try:
        _, streamed, often = computed(workload, keys, chunks)
        deployment, resident, once = computed(workload, keys | RESIDENT, chunks)
    except InputError:
        reject()
    np.testing.assert_array_equal(resident, streamed)
    assert _by_layer(once) == _by_layer(often)
    plan = deployment.schedule.plan
    assert plan is not None and not plan.spilled and plan.state_in_l2 and plan.peak_bits <= plan.room_bits
    loads = [job for job in deployment.schedule.jobs if job.once]
    assert sum(int(job.work.row()["weight_bits"]) for job in loads) == plan.resident_bits
    assert {job.work.row()["stage"] for job in loads} == {"load"}
    assert plan.resident_bits + plan.lpddr_bits == plan.weight_bits, "only the CPU still reads weights in every chunk"
    for action in ("word", "descriptor"):
        per_chunk = words(once, "dma[0]", action)
        assert per_chunk[0] > 0 and not per_chunk[1:].any()
    # No later chunk moves more over LPDDR than the CPU does to start and to end it, and to do its ops.
    read = words(once, "lpddr", "read")
    assert np.all(read[1:] == read[1]) and read[0] > read[1]


def _by_layer(activity: Activity) -> dict[str, int]:
    """Return the multiplications of each layer: streamed weights may come in blocks, with a job for each."""
    found: dict[str, int] = {}
    for job, macs in activity.macs.items():
        layer = job.partition("#")[0].partition("/")[0]
        found[layer] = found.get(layer, 0) + macs["dense"]
    return found


@settings(max_examples=40, deadline=None)
@given(streaming(), st.integers(1, 120), st.integers(1, 4))
def test_refused_without_room(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, rows: int, tensor_banks: int
) -> None:
    """Whole chunks fit if weights, laid into the halves in order, else among the tensors, leave room for all else."""
    workload = graph(tmp_path_factory.mktemp("room"), shape.layers(), bands=shape.bands)
    roomy = deploy(workload, chip({"components.l2.rows": 2**20, "compiler.split": False}, "edge_npu"))
    assert roomy.schedule.plan is not None
    free = [rows * 128, rows * 128]
    among = 0
    for job in (job for job in roomy.schedule.jobs if job.work.row()["stage"] == "load"):
        bits = int(job.work.row()["weight_bits"])
        where = [place for place, room in enumerate(free) if bits <= room]
        if where:
            free[where[0]] -= bits
        else:
            among += bits
    fits = roomy.schedule.plan.peak_bits + among <= tensor_banks * rows * 128
    keys = {"components.l2.banks": tensor_banks + 2, "components.l2.weight_banks": 2, "components.l2.rows": rows,
            "compiler.split": False, **RESIDENT}  # fmt: skip
    try:
        made = deploy(workload, chip(keys, "edge_npu")).schedule.plan
    except InputError as error:
        assert not fits
        assert any(text in str(error) for text in ("leave no room there", "fits no memory"))
        return
    assert fits and made is not None
    assert made.peak_bits == roomy.schedule.plan.peak_bits + among


TWO = [
    "{name: x, op: linear, input: features, outputs: 12, weight_bits: 16}",
    "{name: y, op: linear, input: x, outputs: 2, weight_bits: 16}",
]


def test_two_matrices_by_hand(tmp_path: Path) -> None:
    """3 x 12 and 12 x 2 float16 weights, 576 and 384 bits, and a half of 640: the second lies in the other half.

    The DMA moves words of 128 bits, LPDDR of 64: 5 + 3 and 9 + 6 words, with a descriptor and a row of LPDDR each, all
    in the first chunk. What the CPU copies through LPDDR it copies for every chunk: 3 features of 8 bits are written by
    way of one word that is read, 2 numbers of 16 bits by one that is written. Streamed, each chunk reads 15 + 1 words.
    """
    workload = graph(tmp_path, TWO, bands=3)
    keys = {"components.l2.rows": 5, "components.l2.banks": 64, "components.l2.weight_banks": 2}
    deployment, _, activity = computed(workload, keys | RESIDENT, 3)
    plan = deployment.schedule.plan
    assert plan is not None and (plan.resident_bits, plan.weight_bits, plan.lpddr_bits) == (960, 960, 0)
    assert words(activity, "dma[0]", "descriptor").tolist() == [2, 0, 0]
    assert words(activity, "dma[0]", "word").tolist() == [5 + 3, 0, 0]
    assert words(activity, "lpddr", "read").tolist() == [9 + 6 + 1, 1, 1]
    assert words(activity, "lpddr", "activate").tolist() == [2 + 2, 2, 2]
    assert words(activity, "l2[0]", "write").tolist() == [5, 0, 0]
    assert words(activity, "l2[1]", "write").tolist() == [3, 0, 0]
    # Each chunk reads its weights out of L2: 576 and 384 bits, 5 and 3 words.
    assert words(activity, "l2[0]", "read").tolist() == [5, 5, 5]
    assert words(activity, "l2[1]", "read").tolist() == [3, 3, 3]
    _, _, streamed = computed(workload, keys, 3)
    assert words(streamed, "lpddr", "read").tolist() == [16, 16, 16]
    # With halves of 384 bits the first matrix finds no room in them: it lies among the tensors.
    deployment, _, activity = computed(workload, keys | RESIDENT | {"components.l2.rows": 3}, 2)
    assert words(activity, "l2[0]", "read").tolist() == [3, 3]
    assert [job.in_role("tensors") for job in deployment.schedule.jobs if job.once] == [["l2[2]"], []]
    plan = deployment.schedule.plan
    assert plan is not None and plan.peak_bits == 576 + (12 * 16 + 2 * 16)
    frames = [row["frames"] for row in deployment.schedule.table()]
    assert frames.count("first") == 2 and frames.count("all") == 4


@settings(max_examples=20, deadline=None)
@given(streaming(), st.integers(1, 40), st.integers(2, 4))
def test_closed_form_of_later_chunks(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, step: int, chunks: int
) -> None:
    """After the first chunk nobody waits for weights: start, every step, end, and a cycle for each of two tokens."""
    workload = graph(tmp_path_factory.mktemp("later"), shape.layers(), bands=shape.bands)
    keys = {**ONE_CLOCK, **BACK_TO_BACK, **RESIDENT, "components.l2.rows": 2**20, "components.cpu.dispatch_cycles": 7,
            "components.sequencer.cycles_per_step": step}  # fmt: skip
    npu = chip(keys, "edge_npu")
    deployment, _, activity = computed(workload, keys, chunks)
    schedule = deployment.schedule
    service, clocks = service_of(schedule, npu, activity), pipeline.clocking(npu, schedule)
    timeline = simulate(schedule, pipeline.links(npu, schedule), service, clocks, chunks)
    expected = 2
    for job in schedule.jobs:
        if not job.once:
            expected += max(int(service[job.name, member][1]) for member in job.members())
    between = np.diff(timeline.finished_ps) // clocks.period_ps["sequencer"]
    assert between.tolist() == [expected] * (chunks - 1)


def test_its_own_line(tmp_path: Path) -> None:
    """The first load is recorded with bytes, time and energy; the run's energy falls by what later chunks save."""
    shape = Streaming()
    path = graph(tmp_path, shape.layers(), bands=shape.bands).folder
    keys = {"workload.inputs.seconds": "0.32", "operating_points": "{}"}
    streamed, resident = (record(run_in_full("edge_npu", path, overrides=keys | more)) for more in ({}, RESIDENT))
    load = resident.first_load
    assert streamed.first_load is None and load is not None and resident.plan is not None
    assert load.bytes == resident.plan.weight_bytes
    chunks = resident.performance.frames
    assert chunks > 1
    saved = streamed.energy.dynamic_j - resident.energy.dynamic_j
    # Nothing else differs: L2 of this chip holds every matrix in one half, so that steps are not cut into blocks.
    assert saved == pytest.approx((chunks - 1) * load.energy_j, rel=1e-9)
    assert 0 < load.time_s < 1e-3
    assert sum(layer.energy_j for layer in resident.layers) == pytest.approx(resident.energy.dynamic_j)


def test_room_is_said(tmp_path: Path) -> None:
    workload = graph(tmp_path, TWO, bands=3)
    keys = {"components.l2.rows": 3, "components.l2.banks": 4, "components.l2.weight_banks": 2}
    with pytest.raises(InputError) as error:
        deploy(workload, chip(keys | RESIDENT, "edge_npu"))
    message = (
        "weights of 0.1 KiB that stay in 'l2' leave no room there for 0.0 KiB of state and the tensors of a chunk: it "
        "has 0.1 for weights and 0.1 for all else, of which weights take 0.1 ('weights: streamed' brings them anew"
    )
    assert message in str(error.value)
    with pytest.raises(InputError, match=r"unknown value 'here' \(one of: streamed, resident\)"):
        chip({"compiler.weights": "here"}, "edge_npu")
