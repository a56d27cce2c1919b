"""Chunks on an NPU: the engine against a loop over ticks with contention, a recurrence without; random chips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Streaming, chip, graph, streaming
from graphs import frames as made_up
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from reference_engine import TickLoop

from accelsim import pipeline
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.errors import InputError
from accelsim.schedule import Schedule
from accelsim.simulate import Timeline, simulate
from accelsim.workload import Workload

BACK_TO_BACK = {"pacing.mode": "back_to_back"}
ONE_CLOCK = {"clocks.memory.frequency": "400 MHz", "clocks.cpu.frequency": "400 MHz"}
SMALL = {
    "components.cpu.dispatch_cycles": 7, "components.sequencer.cycles_per_step": 2, "components.array.rows": 4,
    "components.array.columns": 4, "components.dma.setup_cycles": 3, "components.l2.banks": 6,
    "components.l2.weight_banks": 2, "components.l2.width_bits": 64,
}  # fmt: skip

FALLBACK = "{BC1S: [layer_norm], BSC: [conv, depthwise, layer_norm, glu]}"


@st.composite
def keys(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a chip: small units, an L2 that holds much or next to nothing, any way to compile, any policy."""
    return {
        **SMALL,
        "clocks.memory.frequency": draw(st.sampled_from(["400 MHz", "800 MHz"])),
        "clocks.cpu.frequency": draw(st.sampled_from(["400 MHz", "200 MHz"])),
        "components.array.rows": draw(st.integers(1, 8)),
        "components.array.columns": draw(st.integers(1, 8)),
        "components.array.dataflow": draw(st.sampled_from(["weight_stationary", "output_stationary"])),
        "components.l2.banks": draw(st.sampled_from([3, 6])),
        "components.l2.rows": draw(st.sampled_from([256, 4096])),
        "components.dma.width_bits": draw(st.sampled_from([8, 64, 512])),
        "components.lpddr.width_bits": draw(st.sampled_from([4, 32, 256])),
        "compiler.layout": draw(st.sampled_from(["BC1S", "BSC"])),
        "compiler.attention": draw(st.sampled_from(["einsum", "batched"])),
        "compiler.split": draw(st.booleans()),
        "compiler.weights": draw(st.sampled_from(["streamed", "resident"])),
        "compiler.fallback": draw(st.sampled_from(["{}", FALLBACK])),
        "arbitration": draw(st.sampled_from(["{}", "{lpddr: round_robin, l2: fixed_priority}"])),
        **draw(st.sampled_from([BACK_TO_BACK, {"pacing.frame_period": "1 us"}])),
    }


def timed(workload: Workload, settings: dict[str, Any], frames: int) -> tuple[Schedule, dict, Timeline, dict]:
    """Return the schedule, the service times, what the engine makes of them, and all that the loop needs."""
    npu = chip(settings, "edge_npu")
    try:
        deployment = deploy(workload, npu)
    except InputError as error:
        assert settings.get("compiler.weights") == "resident" and "leave no room there" in str(error)
        reject()
    schedule = deployment.schedule
    activity = execute(deployment, made_up(workload, [frames * deployment.frame])).activity
    service = service_of(schedule, npu, activity)
    machine = {
        "links": pipeline.links(npu, schedule), "clocking": pipeline.clocking(npu, schedule),
        "arbitration": pipeline.arbitration(npu, schedule),
    }  # fmt: skip
    timeline = simulate(
        schedule, machine["links"], service, machine["clocking"], frames, arbitration=machine["arbitration"]
    )
    return schedule, service, timeline, machine


@settings(max_examples=25, deadline=None)
@given(streaming(), keys(), st.integers(1, 3))
def test_engine_equals_the_loop(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, settings: dict[str, Any], frames: int
) -> None:
    workload = graph(tmp_path_factory.mktemp("cycles"), shape.layers(), bands=shape.bands)
    schedule, service, timeline, machine = timed(workload, settings, frames)
    clocking = machine["clocking"]
    plain = TickLoop(
        schedule.jobs, machine["links"], service, dict(clocking.period_ps), clocking.frame_period_ps, frames,
        machine["arbitration"], patience=10**6,
    )  # fmt: skip
    assert timeline.finished_ps.tolist() == [tick * plain.tick for tick in plain.finished]
    assert timeline.worked_ps == plain.worked * plain.tick
    assert timeline.started_ps.tolist() == [tick * plain.tick for tick in plain.started]
    for name, states in timeline.cycles.items():
        for state in ("busy", "wait_input", "wait_output"):
            spent = plain.spent[name, state] // plain.scale[name]
            assert states[state] == spent, (name, state)


@settings(max_examples=60, deadline=None)
@given(streaming(), st.integers(1, 400), st.integers(1, 40))
def test_closed_form_without_contention(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, word: int, step: int
) -> None:
    """One chunk whose tensors all stay in L2: the sequencer waits for weights alone, and they for a free half.

    With end_0 the end of the CPU's start and a latency of one cycle, step i begins at b_i = max(e_{i-1}, w_i), where
    w_i = put_i + 1 for a step with weights and put_i = max(l_i, e_p): their load ends at l_i and the half is free when
    the step p with the weights before these has ended. Load i begins when the one before it was put.
    """
    workload = graph(tmp_path_factory.mktemp("closed"), shape.layers(), bands=shape.bands)
    settings = {
        **SMALL, **ONE_CLOCK, **BACK_TO_BACK, "components.l2.rows": 2**20, "components.l2.weight_banks": 2,
        "components.dma.width_bits": word, "components.lpddr.width_bits": word,
        "components.sequencer.cycles_per_step": step,
    }  # fmt: skip
    schedule, service, timeline, machine = timed(workload, settings, 1)

    def cycles(job: Any) -> int:
        return max(int(service[job.name, member][0]) for member in job.members())

    start, *steps, end = [job for job in schedule.jobs if job.work.row()["stage"] != "load"]
    loads = {job.name: cycles(job) for job in schedule.jobs if job.work.row()["stage"] == "load"}
    now = cycles(start) + 1
    loader = now
    freed = 0
    for job in steps:
        if (load := loads.get(f"{job.name}.weights")) is not None:
            put = max(loader + load, freed)
            now = max(now, put + 1)
            loader = put
        now += cycles(job)
        if load is not None:
            freed = now
    now += 1 + cycles(end)
    period = machine["clocking"].period_ps["sequencer"]
    assert timeline.finished_ps[0] == now * period


def test_a_chunk_by_hand(tmp_path: Any) -> None:
    """One product of 4 x 3 by 3 x 5 and one of 4 x 5 by 5 x 2, weights of 30 and 20 bytes; counts from the sizes."""
    layers = [
        "{name: x, op: linear, input: features, outputs: 12, weight_bits: 16}",
        "{name: a, op: attention, input: x, heads: 1, chunk: 4, left: 4}",
        "{name: y, op: linear, input: a, outputs: 2, weight_bits: 16}",
    ]
    workload = graph(tmp_path, layers, bands=3)
    npu = chip({**SMALL, **ONE_CLOCK, **BACK_TO_BACK}, "edge_npu")
    activity = execute(deploy(workload, npu), made_up(workload, [4])).activity

    def of(job: str, member: str, action: str) -> int:
        return int(np.asarray(activity.counts[job, member][action])[0])

    # 4 rows of 3 inputs, 12 outputs: 144 products; q, k and v of 4 values. 8 keys: 4 x 4 x 8 products each way.
    assert of("x", "array", "mac") == 4 * 3 * 12
    assert of("a.scores", "array", "mac") == of("a.context", "array", "mac") == 4 * 4 * 8
    assert of("y", "array", "mac") == 4 * 4 * 2
    assert activity.macs["x"]["dense"] == 144
    # Softmax: 4 x 8 scores, five operations and one exponential each, a reciprocal a row.
    assert of("a.softmax", "vector", "operation") == 5 * 32
    assert of("a.softmax", "vector", "special") == 32 + 4
    # Weights of x: 3 x 12 x 16 bits = 576, 4.5 words of the DMA (128) and 9 of LPDDR (64), one row of it.
    assert of("x.weights", "dma[0]", "word") == 5
    assert of("x.weights", "lpddr", "read") == 9
    assert of("x.weights", "lpddr", "activate") == 1
    # x reads 4 x 3 inputs of 16 bits for each of 3 column tiles of the array, 576 bits = 9 words of L2, and its state
    # is none; it writes 4 x 12 x 16 = 768 bits, 12 words: 21 accesses to 4 banks.
    assert of("x", "l2[2]", "read") == 9
    assert of("x", "l2[2]", "write") == 12
    assert of("x", "l2[2]", "bank_accesses") == 6
    # Two tokens of CPU time: features in (4 x 3 bytes = 96 bits, 3 words), outputs out (4 x 2 x 16 = 128 bits, 4).
    assert of("start", "cpu", "copy") == 3
    assert of("end", "cpu", "copy") == 4
