"""Chips with two engines: memristor tiles before spike-driven PEs, and state crossbars beside a vector unit.

Placement, counts and cycles of a frame are counted by hand beside the assertions. The values of ideal devices are
computed once more in plain NumPy, from equations, with nothing of accelsim but speech and weights.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import reference_vector
from chips import batch_of
from numpy.typing import NDArray
from safetensors.numpy import load_file

from accelsim import library
from accelsim.architecture import load_architecture
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import Execution, execute
from accelsim.inputs import Batch, load_batch
from accelsim.pipeline import operate, run_in_full
from accelsim.record import Outcome, Run, record
from accelsim.workload import load_workload

NO_DATA = pytest.mark.skipif("ACCELSIM_DATA" not in os.environ, reason="ACCELSIM_DATA is not set")

IDEAL_TILES = {
    "components.crossbar.device": "ideal",
    "components.crossbar.wires": "none",
    "components.crossbar.noise": "none",
    "components.adc.ideal": "true",
}
WIDE = {
    "components.pe.accumulator_bits": "24",
    "components.lif.membrane_bits": "24",
    "components.membranes.width_bits": "24",
}
"""PEs and LIF units whose words never saturate."""
NETWORK = {"s4d_gated": {"inputs.dataset": "librivox_sample", "score": "null"}}
"""s4d_gated on the speech that ships, whose digits nobody said."""


def deployed(chip: str, workload: str, keys: Mapping[str, str] | None = None) -> Deployment:
    """Deploy a network on a chip whose wires have no resistance: they are no part of the equations here."""
    wires = {"components.crossbar.wires": "none"} if "crossbar" in load_architecture(chip).components() else {}
    keys = {**wires, **(keys or {})}
    return deploy(load_workload(workload, NETWORK.get(workload)), load_architecture(chip, keys))


def ran(deployment: Deployment, batch: Batch) -> tuple[Execution, Outcome]:
    execution = execute(deployment, batch)
    return execution, operate(deployment.chip, deployment.schedule, execution.activity, execution.frames)


def placed(deployment: Deployment) -> dict[str, str]:
    return {name: entry["engine"] for name, entry in deployment.placement.data().items()}


def a_few_frames(workload: str, frames: int = 5) -> Batch:
    """Return frames from within the first utterance that ships."""
    batch = load_batch(load_workload(workload, NETWORK.get(workload)))
    return batch_of(batch.features[60 : 60 + frames], [0, frames])


def first_utterances(batch: Batch, utterances: int) -> Batch:
    end = batch.starts[utterances]
    return dataclasses.replace(batch, features=batch.features[:end], starts=batch.starts[: utterances + 1])


def check_the_books(run: Run) -> None:
    """All energy is that of the parts, every one of them in one share, and dynamic energy that of the layers."""
    result = record(run)
    energy = result.energy
    parts = [c.energy_j.total() for c in result.components]
    assert sum(parts) == pytest.approx(energy.total_j, rel=1e-9)
    assert sum(layer.energy_j for layer in result.layers) == pytest.approx(energy.dynamic_j, rel=1e-9)
    assert energy.total_j == pytest.approx(result.power_w * result.performance.seconds, rel=1e-9)


# --- Memristor tiles and spike-driven PEs -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiles_and_pes() -> Run:
    return run_in_full("tiles_and_pes")


def test_the_input_matrix_is_on_tiles_and_the_rest_on_pes() -> None:
    deployment = deployed("tiles_and_pes", "rsnn_on_tiles")
    assert placed(deployment) == {"l0_in": "tiles", "l0": "pes", "l1": "pes", "fc": "pes"}
    sites = deployment.placement.sites
    assert (sites["tiles"].parts.name("accumulator"), sites["tiles"].parts.name("network")) == (
        "tile_accumulator",
        "tile_bus",
    )
    assert (sites["pes"].parts.name("readout"), sites["pes"].parts.name("bus")) == ("fc_accumulator", "weight_bus")


def test_counts_of_a_frame_on_tiles_and_pes() -> None:
    frames = 5
    batch = a_few_frames("rsnn_on_tiles", frames)
    _, outcome = ran(deployed("tiles_and_pes", "rsnn_on_tiles"), batch)
    counts = {name: {k: v / frames for k, v in of.items()} for name, of in outcome.ledger.counts.items()}
    # 40 features of 8 bits go into one tile; 128 columns in 3 planes, each a pair of arrays, come out of it.
    assert counts["tile_inputs"]["write"] == 40
    assert counts["dac"]["drive"] == 40 * 3 * 2
    assert counts["adc"]["convert"] == counts["shift_add"]["add"] == counts["sample_hold"]["sample"] == 128 * 3
    assert counts["tile_outputs"]["write"] == 128
    assert (counts["tile_accumulator"]["write"], counts["tile_accumulator"]["add"]) == (128, 0)  # one tile
    # Over the bus of 256 bits: 40 x 8 bits in, 128 x 16 bits of the tile, 128 currents of 32 bits.
    assert counts["tile_bus"]["transfer"] == 2 + 8 + 16
    assert counts["currents"]["write"] == 128
    # 128 neurons in 2 layers, 2 time steps; three matrices of 128 rows that all time steps share.
    assert counts["lif"]["update"] == counts["spike_registers"]["write"] == 128 * 2 * 2
    assert counts["weights_recurrent"]["read"] == 3 * 128
    assert counts["controller"]["dispatch"] == 3 + 15  # and 15 groups of 128 classes
    # Energy of the bus: 0.08 pJ a bit and mm.
    energy = outcome.bill.energy_j["tile_bus"]["dynamic"]
    assert energy == pytest.approx(frames * 26 * 256 * 0.08e-12, rel=1e-9)


def test_cycles_of_a_frame_on_tiles_and_pes() -> None:
    frames = 5
    deployment = deployed("tiles_and_pes", "rsnn_on_tiles")
    execution, outcome = ran(deployment, a_few_frames("rsnn_on_tiles", frames))
    # At 100 MHz, the latency of a channel being one cycle: deliver 2 (bus), read 1, convert 8 columns, send 8 words,
    # sum 8 groups of 16 adders, currents 16 words; each with a cycle on its channel.
    busy = {name: cycles["busy"] / frames for name, cycles in outcome.ledger.cycles.items()}
    assert busy["tile_bus"] == 2 + 8 + 16
    assert busy["currents"] == 1 and outcome.timeline.job_cycles["l0.currents"] == frames * 16  # as long as the bus
    assert busy["adc"] == busy["shift_add"] == busy["tile_accumulator"] == 8
    currents_ready = 1 + (2 + 1 + 8 + 8 + 8 + 16 + 6) / 1000  # in cycles of 100 kHz; the features take the first
    # A cycle on the channel to the LIF units, and on to the next edge. Recurrent sums were made while waiting.
    neurons = int(np.ceil(currents_ready + 1))
    assert neurons == 3
    # l0 2 cycles; l1's matrices 128 rows and a switch each; l1 2 cycles; a cycle on each channel between.
    readout = neurons + 2 + 1 + 129 + 129 + 1 + 2 + 1
    # 15 groups: one row a cycle in each of two banks, of the neurons that fired in either time step, and a switch.
    fired = execution.spikes["l1"].any(axis=1).reshape(frames, 2, 64).sum(axis=2).max(axis=1)
    finished = readout + 15 * (fired + 1) + 1 + 1
    latency = (outcome.timeline.finished_ps - outcome.timeline.arrived_ps) // 10_000_000
    assert latency[1:].tolist() == finished[1:].tolist()
    # The first frame waits for its recurrent matrix, which begins when it arrives: 129 cycles and one on the channel.
    assert latency[0] == finished[0] + 129 + 1 - neurons
    # The recurrent matrix of a later frame runs ahead of it.
    assert (outcome.timeline.started_ps < outcome.timeline.arrived_ps)[1:].all()


def test_score_of_tiles_and_pes(tiles_and_pes: Run) -> None:
    """Measured with seed 0: 43.43 %, the network in float 43.03 %; to say nothing would be 100 % wrong."""
    assert tiles_and_pes.accuracy is not None and tiles_and_pes.reference is not None
    assert tiles_and_pes.accuracy.value == pytest.approx(43.43, abs=3)
    assert tiles_and_pes.reference.value == pytest.approx(43.03, abs=0.5)
    check_the_books(tiles_and_pes)


def test_frames_of_tiles_and_pes_keep_up(tiles_and_pes: Run) -> None:
    performance = record(tiles_and_pes).performance
    assert (performance.deadline_misses, performance.frames_in_flight) == (0, 1)
    # What runs ahead of a frame is work beside its latency, and of the time between frames no more than that counts.
    assert performance.latency_cycles.p50 < performance.cycles_per_frame < 700
    assert performance.duty_cycle == pytest.approx(performance.cycles_per_frame / 1000, rel=0.01)


def test_ideal_tiles_give_what_pes_alone_give() -> None:
    """On the whole sample no accumulator saturates in the input matrix of rsnn28nm; 462 words do in l1, on both."""
    mixed, plain = deployed("tiles_and_pes", "rsnn_on_tiles", IDEAL_TILES), deployed("rsnn28nm", "rsnn_phoneme")
    batch = load_batch(plain.network)
    found, wanted = execute(mixed, batch), execute(plain, batch)
    assert wanted.activity.saturations == {"l0": 0, "l1": 462, "fc": 0}
    assert found.activity.saturations == {"l0_in": 0, **wanted.activity.saturations}
    np.testing.assert_array_equal(found.outputs, wanted.outputs)
    for layer in ("l0", "l1"):
        np.testing.assert_array_equal(found.spikes[layer], wanted.spikes[layer])
    assert wanted.spikes["l1"].mean() > 0.2


def spiking(features: NDArray[Any], starts: NDArray[Any], largest: int = 2**31) -> tuple[NDArray[Any], int]:
    """Return the outputs of rsnn_phoneme in words that never saturate but the currents, and how many of those did.

    U = floor(beta U) + I + shift(R^T S of the frame before); S = (U >= 512), and U falls by 512 where S is 1.
    """
    w = {
        name: t.astype(np.int64)
        for name, t in load_file(library.root() / "workloads/rsnn_phoneme/weights.safetensors").items()
    }
    sums = features.astype(np.int64) @ w["l0.weight_in"]
    current = np.clip(sums, -largest, largest - 1)
    outputs = np.zeros((len(features), 1920), np.int64)
    for first, last in pairwise(starts):
        u, s = np.zeros((2, 128), np.int64), np.zeros((2, 2, 128), np.int64)  # [layer, ...]
        for t in range(first, last):
            before, s = s, np.zeros_like(s)
            for step in range(2):
                u[0] = (74 * u[0] >> 8) + current[t] + (before[0, step] @ w["l0.weight_rec"] << 6)
                s[0, step] = u[0] >= 512
                u[0] -= 512 * s[0, step]
                into = s[0, step] @ w["l1.weight_in"] << 5
                u[1] = (225 * u[1] >> 8) + into + (before[1, step] @ w["l1.weight_rec"] << 6)
                s[1, step] = u[1] >= 512
                u[1] -= 512 * s[1, step]
            outputs[t] = s[1].sum(axis=0) @ w["fc.weight"]
    return outputs, int((current != sums).sum())


@pytest.mark.parametrize("bits", [24, 14])
def test_values_of_tiles_and_pes_by_equation(bits: int) -> None:
    """Registers of 24 bits hold every current; those of 14 bits do not, and saturate."""
    deployment = deployed(
        "tiles_and_pes", "rsnn_on_tiles", {**IDEAL_TILES, **WIDE, "components.currents.width_bits": str(bits)}
    )
    batch = first_utterances(load_batch(deployment.network), 2)
    found = execute(deployment, batch)
    outputs, clamped = spiking(batch.features, batch.starts, 1 << (bits - 1))
    np.testing.assert_array_equal(found.outputs, outputs)
    assert found.activity.saturations == {"l0_in": 0, "l0": clamped, "l1": 0, "fc": 0}
    assert (clamped > 0) == (bits == 14)


# --- State crossbars and a vector unit --------------------------------------------------------------------------------

ON_VECTOR = ("n0", "l0", "g0", "n1", "l1", "g1", "sum", "out")


def test_kernels_are_in_crossbars_and_the_rest_on_the_vector_unit() -> None:
    deployment = deployed("state_and_vector", "s4d_gated")
    engines = {"s0": "state_crossbar", "s1": "state_crossbar", **dict.fromkeys(ON_VECTOR, "digital")}
    assert placed(deployment) == engines


def test_counts_of_a_frame_on_state_crossbars_and_a_vector_unit() -> None:
    frames = 5
    _, outcome = ran(deployed("state_and_vector", "s4d_gated"), a_few_frames("s4d_gated", frames))
    counts = {name: {k: v / frames for k, v in of.items()} for name, of in outcome.ledger.counts.items()}
    # A kernel of n complex states has 2 n + 1 pairs of rows and of columns: 16 of 15, 32 of 7.
    pairs = 16 * 15 + 32 * 7
    assert counts["adc"]["convert"] == counts["sample_hold"]["sample"] == pairs
    assert counts["dac"]["drive"] == 2 * pairs
    assert counts["state_registers"]["read"] == 16 * 14 + 32 * 6
    assert counts["state_registers"]["write"] == pairs  # states come back, and inputs
    assert counts["output_registers"]["write"] == 16 + 32
    # Over the bus of 256 bits: 2 codes of each of 8 crossbars; 32 float16 numbers to each of 8; 4 codes of each of 8.
    assert counts["bus"]["transfer"] == 8 * 1 + 8 * 2 + 8 * 1
    assert outcome.bill.energy_j["bus"]["dynamic"] == pytest.approx(frames * 32 * 256 * 0.08e-12, rel=1e-9)
    assert counts["queue"]["dispatch"] == len(ON_VECTOR)
    assert counts["array"]["mac"] == 16 * 64 + 32 * 64 + 32 * 16
    assert counts["weights"]["read"] == 3584 * 8 / 512
    # Norms: a root and a quotient; gates: an exponential and a quotient a value.
    assert counts["vector"]["special"] == 2 + 2 * 32 + 2 + 2 * 32
    # 7 a value of a norm, 1 of a gate, 2 of a sum; 2 for each input and output of a dense layer.
    assert counts["vector"]["operation"] == 7 * (16 + 32) + 32 + 32 + 2 * 32 + 2 * (16 + 64 + 32 + 64 + 32 + 16)
    # Words of 256 bits: n0, l0, g0, n1, l1, g1, sum and out write 16 bits a value, and the codes of the two layers in
    # crossbars, 16 and 32 of 8 bits, are written before n0 and n1 read them.
    assert counts["activations"]["write"] == 1 + 4 + 2 + 2 + 4 + 2 + 2 + 1 + (1 + 1)
    # n0 reads codes, l0 n0, g0 l0, n1 codes, l1 n1, g1 l1, the sum g1 and g0, and out the sum.
    assert counts["activations"]["read"] == 1 + 1 + 4 + 1 + 2 + 4 + (2 + 2) + 2


def test_cycles_of_a_frame_on_state_crossbars_and_a_vector_unit() -> None:
    frames = 5
    _, outcome = ran(deployed("state_and_vector", "s4d_gated"), a_few_frames("s4d_gated", frames))
    # At 100 MHz, a cycle on each channel: load 1, drive 1, read 1, convert 8 columns, output 1. In us:
    s0 = (1 + 1 + 1 + 1 + 1 + 1 + 8 + 1 + 1) / 100
    # At 1 MHz: a cycle on the channel, then the next edge. 8 lanes, 2 of them for quotients; 64 multipliers.
    n0 = np.ceil(s0 + 1) + 7 * 16 / 8 + 1
    l0 = n0 + 1 + (2 * 16 + 2 * 64) / 8  # longer than 16 blocks of 8 x 8 weights, which 16 words hold
    g0 = l0 + 1 + 32 / 8 + 64 / 2
    # The eight crossbars of s1 take their inputs off the bus one after the other, two words each.
    s1 = g0 + (1 + 8 * 2 + 1 + 1 + 1 + 8 + 1 + 1) / 100
    n1 = np.ceil(s1 + 1) + 7 * 32 / 8 + 1
    l1 = n1 + 1 + 32  # 32 blocks and words; 24 cycles of the vector unit
    g1 = l1 + 1 + 32 / 8 + 64 / 2
    out = g1 + 1 + 2 * 32 / 8 + 1 + (2 * 32 + 2 * 16) / 8
    latency = outcome.timeline.finished_ps - outcome.timeline.arrived_ps
    assert latency.tolist() == [round(out * 10**6)] * frames
    assert out == 198


def kernels(op: Any, tensors: Mapping[str, NDArray[Any]], values: NDArray[Any], starts: NDArray[Any]) -> NDArray[Any]:
    """y[t] = Q(g Re sum c x[t]); x[t + 1] = Q(0.9 / 7 (a x[t] + b u[t])), parts rounded to -128 .. 128 each."""

    def q(z: NDArray[Any]) -> NDArray[Any]:
        return np.clip(np.rint(z), -128, 128)

    a, b, c = (t[..., 0] + 1j * t[..., 1] for t in (tensors[f"{op.name}.{end}"].astype(float) for end in "abc"))
    u = q(np.rint(values * op.input_scale) - op.input_offset)
    outputs = np.zeros((len(u), op.kernels))
    for first, last in pairwise(starts):
        x = np.zeros(a.shape, complex)
        for t in range(first, last):
            outputs[t] = q(op.output_gain * (c * x).real.sum(axis=1))
            z = a * x + b * u[t][:, None]
            x = q(0.9 / 7 * z.real) + 1j * q(0.9 / 7 * z.imag)
    return outputs


@pytest.mark.parametrize("number", ["float16", "float32"])
def test_values_of_state_crossbars_and_a_vector_unit_by_equation(number: str) -> None:
    deployment = deployed("state_and_vector", "s4d_gated", {"components.vector.number": number})
    batch = load_batch(deployment.network)
    batch = batch_of(batch.features[40:120], [0, 50, 80])
    tensors = deployment.network.tensors
    op: Mapping[str, Any] = deployment.network.graph.by_name
    F, R = np.float32, reference_vector.rounder(number)

    def norm(name: str, codes: NDArray[Any], scale: float) -> NDArray[Any]:
        gain, bias = tensors[f"{name}.gain"], tensors[f"{name}.bias"]
        rows = [[R(F(np.clip(code, -127, 127)) * F(scale)) for code in row] for row in codes]
        return np.array([reference_vector.layer_norm(row, gain, bias, 1e-5, number) for row in rows], F)

    def dense(name: str, x: NDArray[Any]) -> NDArray[Any]:
        scale = tensors[f"{name}.input_scale"]
        codes = np.clip(np.rint(x.astype(F) / F(scale)), -127, 127).astype(np.int64)
        sums = (codes @ tensors[f"{name}.weight"].astype(np.int64)).astype(F)
        y = sums * F(scale * tensors[f"{name}.weight_scale"]) + tensors[f"{name}.bias"]
        return np.vectorize(R, otypes=[F])(y)

    def gate(x: NDArray[Any]) -> NDArray[Any]:
        halves = x.reshape(len(x), 2, -1)
        return np.vectorize(lambda a, b: reference_vector.sigmoid_quotient(a, b, number), otypes=[F])(
            halves[:, 0], halves[:, 1]
        )

    s0 = kernels(op["s0"], tensors, batch.features.astype(float), batch.starts)
    g0 = gate(dense("l0", norm("n0", s0, op["s0"].output_scale)))
    s1 = kernels(op["s1"], tensors, g0, batch.starts)
    g1 = gate(dense("l1", norm("n1", s1, op["s1"].output_scale)))
    total = np.vectorize(lambda a, b: R(F(a) + F(b)), otypes=[F])(g0, g1)
    outputs = dense("out", total)
    assert np.abs(s0).max() > 50 and np.abs(s1).max() > 30 and g1.std() > 0.1
    np.testing.assert_array_equal(execute(deployment, batch).outputs, outputs)


@NO_DATA
def test_score_of_state_crossbars_and_a_vector_unit() -> None:
    """On all 500 utterances of the test speaker both have 17.0 %, as workloads/s4d_gated says; chance is 90."""
    run = run_in_full("state_and_vector", overrides={"workload.inputs.utterances": "100"})
    assert run.accuracy is not None and run.reference is not None
    assert run.accuracy.value < 40 and run.reference.value < 40
    assert run.accuracy.value == pytest.approx(run.reference.value, abs=5)
    check_the_books(run)
    performance = record(run).performance
    assert performance.deadline_misses == 0 and performance.latency_cycles.max == 19_800
