"""Recurrence costs time, by hand: a step begins when the state of the step before is there, on every engine."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of
from graphs import chip, frames, tile_keys
from recurrent import LSTM, H, alone, lone_chip, network

from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.kernels.recurrent import Gates, sigmoid_table
from accelsim.pipeline import operate

MHZ_100, MHZ_400 = 10_000, 2_500
"""Picoseconds of a cycle."""


def finished(arch, deployment, batch) -> np.ndarray:
    run = execute(deployment, batch)
    return operate(arch, deployment.schedule, run.activity, run.frames).timeline.finished_ps


def test_a_step_waits_for_the_last_ones_gates(tmp_path: Path) -> None:
    """3 inputs, 2 units, 8 columns, an array of 2 x 4: blocks (2 + 1) x 2 = 6 cycles for a product with both.

    Work on sums: 8 of inputs x 3 = 24; for each unit four gates of a word and a sum, 4 x (3 + 1), five activations of
    3, f c and i g of 3 each, their sum and limit 2, o tanh c 3: 42, both 84. 24 + 84 = 108 on 4 lanes: 27 cycles. Ten
    places in the table on 2 special lanes: 5. State 2 x (8 + 16) bits, written in 1. So a step takes 6 + 32 = 38
    cycles; were the gates to overlap the next product, it would take 32.
    """
    found = alone(network(tmp_path, LSTM, units=2, inputs=3, seed=1))
    arch = lone_chip(tmp_path)
    deployment = deploy(found, arch)
    batch = frames(found, [5])
    run = execute(deployment, batch)
    service = service_of(deployment.schedule, arch, run.activity)
    assert service["r.multiply", "array"].tolist() == [6] * 5
    assert service["r.gates", "vector"].tolist() == [32] * 5
    assert run.activity.counts["r.multiply", "states"]["read"].tolist() == [6] * 5
    assert np.diff(finished(arch, deployment, batch)).tolist() == [38 * MHZ_100] * 4


def test_a_task_queue_waits_as_well(tmp_path: Path) -> None:
    """32 x 32 multipliers, 12 inputs, 20 units, 80 columns: blocks 3 + 3 = 6. Sums 80 x 3 + 20 x 42 = 1080 on 32 lanes:
    34; 100 places in the table on 8 special lanes: 13. Weights 960 and 1,600 bytes of a memory of 512 bits: 15
    and 25 words on 20 banks, 2 cycles. A step takes the longest of a product's parts, and then the gates' 47.
    """
    found = alone(network(tmp_path, LSTM, units=20, inputs=12, seed=1))
    arch = chip({"components.vector.number": "float32", "pacing.mode": "back_to_back"}, "conformer_digital28")
    deployment = deploy(found, arch)
    batch = frames(found, [6])
    service = service_of(deployment.schedule, arch, execute(deployment, batch).activity)
    product = max(int(service["r.multiply", name][0]) for name in deployment.schedule.jobs[1].members())
    assert int(service["r.multiply", "array"][0]) == 6
    assert int(service["r.multiply", "weights"][0]) == 2
    assert int(service["r.gates", "vector[0]"][0]) == 47
    assert np.diff(finished(arch, deployment, batch)).tolist() == [(product + 47) * MHZ_100] * 5


def test_a_chunk_on_the_npu_is_step_by_step(tmp_path: Path) -> None:
    """4 rows, 12 inputs, 20 units, 80 columns, 16 x 16 elements, weights that stay.

    Inputs: m = 4, k = 12, n = 80: 5 tiles, 4 x 16 + 4 + 2 x 16 + 14 = 114 cycles. State, each step: m = 1, k = 20, n =
    80: 10 tiles, 9 x 16 + 1 + 46 = 191; four steps pay its filling and draining four times, 764. All rows at once, as a
    dense layer may: m = 4, 9 x 16 + 4 + 46 = 194. Each of these, and of the gates, is a step of the sequencer.
    """
    found = alone(network(tmp_path, LSTM, units=20, inputs=12, seed=1, chunk=4))
    keys = {"compiler.weights": "resident", "pacing.mode": "back_to_back", "components.array.number": "int8",
            "components.array.accumulator": "int32"}  # fmt: skip
    arch = chip(keys, "edge_npu")
    deployment = deploy(found, arch)
    batch = frames(found, [12])
    service = service_of(deployment.schedule, arch, execute(deployment, batch).activity)
    assert service["r.inputs", "array"].tolist() == [114] * 3
    assert [service[f"r.state.{t}", "array"].tolist() for t in range(4)] == [[191] * 3] * 4
    steps = [job for job in deployment.schedule.jobs if job.component == "sequencer"]
    assert [job.name for job in steps] == [
        "r.inputs", *(f"r.{part}.{t}" for t in range(4) for part in ("state", "gates"))
    ]  # fmt: skip
    of_chunk = sum(max(int(service[job.name, name][1]) for name in job.members()) for job in steps)
    assert np.diff(finished(arch, deployment, batch)).min() >= of_chunk * MHZ_400


def test_tiles_wait_for_the_state_in_their_registers(tmp_path: Path) -> None:
    """All that a step does comes one after the other but for the phases of reads and conversions, which overlap."""
    found = alone(network(tmp_path, LSTM, units=20, inputs=12, seed=1))
    keys = {**tile_keys(digital=[]), "components.vector.number": "float32", "pacing.mode": "back_to_back"}
    keys["placement"] = "{r: {engine: crossbar_tiles}}"
    arch = chip(keys)
    deployment = deploy(found, arch)
    batch = frames(found, [6])
    service = service_of(deployment.schedule, arch, execute(deployment, batch).activity)

    def cycles(name: str) -> int:
        job = next(job for job in deployment.schedule.jobs if job.name == name)
        return max(int(service[name, member][1]) for member in job.members())

    least = sum(cycles(f"r.{part}") for part in ("deliver", "collect", "gates", "state"))
    converted = max(
        sum(cycles(job.name) for job in deployment.schedule.jobs if job.name.startswith(f"r.{end}.convert"))
        for end in ("weight", "recurrent_weight")
    )
    assert np.diff(finished(arch, deployment, batch)).min() >= (least + converted) * MHZ_100


def test_columns_that_did_not_change_cost_nothing(tmp_path: Path) -> None:
    """Three inputs that stay, two units whose weights are 0, so that h stays 0: after the first row nothing changes.

    6 columns: (2 + 0) x 2 blocks = 4 cycles and 3 x 6 products in row 0, none in the others; 5 x 6 are there each time.
    In row 4 one input changes by 2 codes, more than a threshold of 1.5 codes, and another by 1.
    """
    found = alone(network(tmp_path, f"op: delta_gru, {H}, threshold: 0.046875", units=2, inputs=3, seed=1))
    tensors = {name: np.zeros_like(tensor) if tensor.dtype != np.float32 else tensor
               for name, tensor in found.tensors.items()}  # fmt: skip
    found = dataclasses.replace(found, tensors=tensors)
    features = np.full((6, 3), 100, np.uint8)
    features[4:] += np.array([2, 1, 0], np.uint8)
    arch = lone_chip(tmp_path)
    deployment = deploy(found, arch)
    batch = batch_of(features, [0, 6])
    run = execute(deployment, batch)
    assert run.activity.macs["r.multiply"] == {"dense": 180, "performed": 24, "skipped": 156}
    service = service_of(deployment.schedule, arch, run.activity)
    assert service["r.multiply", "array"].tolist() == [4, 0, 0, 0, 2, 0]
    assert run.activity.counts["r.multiply", "weights"]["read"].tolist() == [18, 0, 0, 0, 6, 0]
    # To find what has changed takes 2 operations on 5 values, 3 cycles on 4 lanes, in every row.
    assert service["r.multiply", "vector"].tolist() == [3] * 6
    gates = int(service["r.gates", "vector"][0])
    took = np.diff(finished(arch, deployment, batch)) // MHZ_100
    assert took.tolist() == [gates + cycles for cycles in (3, 3, 3, 3, 3)]


def test_the_table_of_chords_is_that_of_tensorflow_lite_micro() -> None:
    """SHA-256 of the 256 little-endian words of ``sigmoid_table_uint16`` of tflite-micro 0.dev20261023182759."""
    words = sigmoid_table().astype("<u2")
    assert words[[0, 1, 29, 66, 255]].tolist() == [32768, 33451, 50464, 61599, 65535]
    assert (
        hashlib.sha256(words.tobytes()).hexdigest()
        == "c79a34d2c8c6e794fbb0207601538fe0169e968cd6d9d5ca65fff859dcd55183"
    )


@pytest.mark.parametrize("form", ["interpolated", "fixed_point"])
def test_activations_of_all_words(form: str) -> None:
    """Within 2^-11 of s(x) and tanh x, whatever the scale of the cell, and odd around 0 but for the last two bits."""
    x = np.arange(-(1 << 15), 1 << 15)
    for places in (-3, -1, 0, 1):
        gates = Gates.of(form, places)
        assert np.abs(gates.sigmoid / 2**15 - 1 / (1 + np.exp(-x / 4096))).max() < 2**-11
        assert np.abs(gates.tanh / 2**15 - np.tanh(x / 4096)).max() < 2**-11
        assert np.abs(gates.tanh_of_cell / 2**15 - np.tanh(x * 2.0 ** (places - 12))).max() < 2**-11
        for words in (gates.tanh, gates.tanh_of_cell):
            assert np.abs(words[1:].astype(int) + words[1:][::-1]).max() <= 3
