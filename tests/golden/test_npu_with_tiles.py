"""The streaming Conformer on an NPU with its feed-forward matrices on memristor tiles: `edge_npu_tiles`.

Placement, one chunk by hand, values to the bit on ideal cells, joules that add up, chunks back to back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from accelsim import pipeline
from accelsim.architecture import Architecture, load_architecture
from accelsim.cost.pricing import price_list
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import Activity, Execution, execute, service_of
from accelsim.errors import InputError
from accelsim.inputs import Batch, load_batch
from accelsim.kernels.activation import quantise
from accelsim.library import find
from accelsim.ops.op import FEATURES, Datapath, Signal, evaluate
from accelsim.simulate.trace import Trace
from accelsim.workload import Workload, load_workload

IDEAL = {
    "components.crossbar.device": "ideal",
    "components.crossbar.wires": "none",
    "components.crossbar.noise": "none",
    "components.adc.ideal": "true",
}
SAMPLE = {"inputs.dataset": "librivox_sample", "inputs.utterances": "2"}
ROWS = 16
"""Rows of a chunk."""
FF1 = "blocks.0.ff1.linear1"
"""Of 144 inputs and 576 outputs: two rows and five columns of tiles, seven planes, a pair of arrays for each."""


@cache
def network(name: str = "separable_8") -> tuple[Workload, Batch]:
    workload = load_workload(f"conformer_stream/{name}", SAMPLE)
    return workload, load_batch(workload)


@cache
def chip(**keys: str) -> Architecture:
    return load_architecture(
        "edge_npu_tiles", {**IDEAL, **{key.replace("__", "."): value for key, value in keys.items()}}
    )


@cache
def mixed(name: str = "separable_8") -> tuple[Deployment, Execution]:
    """Return the network on ideal tiles, and what came of it."""
    workload, batch = network(name)
    deployment = deploy(workload, chip())
    return deployment, execute(deployment, batch)


def counted(part: str, job: str) -> dict[str, list[int]]:
    """Return the counts of a component in a job, each as a list of the values that it has in a chunk."""
    activity: Activity = mixed()[1].activity
    return {what: sorted(set(values.tolist())) for what, values in activity.counts[job, part].items()}


def test_feed_forward_matrices_lie_on_tiles_and_all_else_on_the_npu() -> None:
    deployment, _ = mixed()
    on_tiles = [name for name, engine in deployment.placement.engine_of.items() if engine == "tiles"]
    assert on_tiles == [f"blocks.{i}.{module}.linear{j}" for i in range(4) for module in ("ff1", "ff2") for j in (1, 2)]
    assert len(deployment.segments) == 2 * len(on_tiles) + 1
    # Ten tiles a matrix. A chunk is that of attention, 16 rows of the output, 64 frames of 10 ms, on both engines.
    assert deployment.engines["tiles"].tables()[0][-1]["tiles"] == 160
    assert deployment.frame == deployment.schedule.inputs_per_frame == 64
    # The NPU brings the weights of its own matrices alone.
    weights = sum(np.size(deployment.network.tensors[f"{name}.weight"]) for name in on_tiles)
    alone = deploy(network()[0], load_architecture("edge_npu"))
    plans = [each.schedule.plan for each in (alone, deployment)]
    assert weights == 16 * 144 * 576
    assert plans[0] is not None and plans[1] is not None
    assert plans[0].weight_bits - plans[1].weight_bits == 8 * weights


@pytest.mark.parametrize("name", ["separable_8", "vanilla_8"])
def test_on_ideal_tiles_values_are_those_of_the_npu_alone(name: str) -> None:
    workload, batch = network(name)
    alone = execute(deploy(workload, load_architecture("edge_npu")), batch)
    _, both = mixed(name)
    assert both.outputs is not None and alone.outputs is not None
    np.testing.assert_array_equal(both.outputs, alone.outputs)
    assert np.ptp(both.outputs) > 10 and len(both.outputs) == 252
    assert both.starts.tolist() == alone.starts.tolist() == [0, 12, 17]
    assert both.activity.conversions[FF1][1] == 0, "an ideal converter clips nothing"


def test_a_chunk_of_a_matrix_by_hand() -> None:
    """Every chunk of 16 rows the same, the last ones of both utterances too, which are filled up."""
    tiles, pairs = 2 * 5, 2 * 7
    # Inputs: float16 over a link of 64 wires, into the memory of the tiles, and as codes into their registers.
    assert counted("link", f"{FF1}.deliver") == {"transfer": [ROWS * 144 * 16 // 64]}
    words = ROWS * 144 * 16 // 256
    assert counted("activations[0]", f"{FF1}.deliver") == {
        "read": [words], "write": [words], "bank_accesses": [2 * words // 4],
    }  # fmt: skip
    assert counted("tile_vector[0]", f"{FF1}.deliver") == {"operation": [2 * ROWS * 144], "special": [0]}
    assert counted("bus[0]", f"{FF1}.deliver") == {"transfer": [ROWS * 5]}  # 1,152 bits of a row over 256 wires
    assert counted(f"tile_inputs[{FF1}]", f"{FF1}.deliver") == {
        "write": [ROWS * 144 * 5], "rows": [ROWS], "busiest": [128],
    }  # fmt: skip
    # 16 reads: 128 and 16 rows of five tiles, in 14 arrays each; 576 columns of two rows of tiles and seven planes.
    assert counted(f"dac[{FF1}]", f"{FF1}.read.0") == {"drive": [ROWS * (128 + 16) * 5 * pairs], "phases": [ROWS]}
    conversions = ROWS * 576 * 2 * 7
    assert counted(f"sample_hold[{FF1}]", f"{FF1}.read.0") == {"sample": [conversions], "phases": [ROWS]}
    assert counted(f"adc[{FF1}]", f"{FF1}.convert.0") == {
        "convert": [conversions], "rows": [ROWS], "busiest": [128 * 7],
    }  # fmt: skip
    # Sums of two rows of tiles are added, 24 bits each go over the bus, become codes of 8 bits, and go back as such.
    assert counted(f"accumulator[{FF1}]", f"{FF1}.collect") == {
        "add": [ROWS * 576], "write": [ROWS * 576], "groups": [ROWS * 29],  # 4 adders in 5 columns of tiles
    }  # fmt: skip
    assert counted("bus[0]", f"{FF1}.collect") == {"transfer": [ROWS * 576 * 24 // 256]}
    assert counted("tile_vector[0]", f"{FF1}.collect") == {"operation": [5 * ROWS * 576], "special": [0]}
    assert counted("activations[0]", f"{FF1}.collect") == {
        "read": [0], "write": [ROWS * 576 * 8 // 256], "bank_accesses": [ROWS * 576 * 8 // 256 // 4],
    }  # fmt: skip
    assert counted("link", "blocks.0.ff1.silu") == {"transfer": [ROWS * 576 * 8 // 64]}
    # The NPU reads what it sends from its L2, and writes what it gets there, in words of 128 bits.
    sent, got = ROWS * 144 * 16 // 128, ROWS * 576 * 8 // 128
    assert counted("l2[2]", "blocks.0.ff1.norm")["read"] == [sent // 2 + sent]  # after the 8-bit codes that it reads
    assert counted("l2[2]", "blocks.0.ff1.silu")["write"] == [got + ROWS * 576 * 16 // 128]
    # The other matrix, 576 x 144: five rows and two columns of tiles, which convert 144 columns.
    other = FF1.replace("linear1", "linear2")
    assert counted("link", f"{other}.deliver") == {"transfer": [ROWS * 576 * 16 // 64]}
    assert counted(f"adc[{other}]", f"{other}.convert.0")["convert"] == [ROWS * 144 * 5 * 7]
    assert counted("link", "blocks.0.ff1.add") == {"transfer": [ROWS * 144 * 8 // 64]}
    # Every chunk counts as a whole one, as on the NPU: 17 of them have 272 rows, of which 252 are in the utterances.
    activity = mixed()[1].activity
    assert activity.macs[f"{FF1}.collect"]["performed"] == 17 * ROWS * 144 * 576
    assert activity.conversions[FF1] == (17 * conversions, 0)
    assert tiles * pairs == mixed()[0].engines["tiles"].tables()[0][0]["arrays"]


def test_cycles_of_a_chunk_by_hand() -> None:
    """In cycles of 10 ns; from the first job of a matrix to its last, a token takes one of them between two jobs."""
    deployment, execution = mixed()
    service = service_of(deployment.schedule, chip(), execution.activity)
    expected = {
        f"{FF1}.deliver": ("link", 576),  # the slowest of all at work, and on it the words of the inputs
        f"{FF1}.read.0": (f"crossbar[{FF1}]", 16),
        f"{FF1}.convert.0": (f"adc[{FF1}]", 16 * 64),  # 64 columns a converter
        f"{FF1}.collect": ("tile_vector[0]", 5 * 16 * 576 // 32),  # scaled, biased, rounded, scaled again
    }
    for job in deployment.schedule.jobs:
        if job.name in expected:
            slowest, cycles = expected[job.name]
            of_each = {member: int(service[job.name, member].max()) for member in job.members()}
            assert max(of_each.values()) == of_each[slowest] == cycles
    trace = traced(deployment, execution, chip())
    begin, end = trace(f"{FF1}.deliver")[0], trace(f"{FF1}.collect")[1]
    assert end - begin == (sum(cycles for _, cycles in expected.values()) + 3) * 10_000
    # The vector unit of the NPU waits for the sums to come over the link: 1,152 words, at a quarter of its clock.
    begin, end = trace("blocks.0.ff1.silu")
    assert end - begin == max(1152 * 10_000, (ROWS * 576 // 32 + 2 * ROWS * 576 // 8) * 2_500)


def traced(
    deployment: Deployment, execution: Execution, architecture: Architecture
) -> Callable[[str], tuple[int, int]]:
    """Return when a job of the first chunk begins and ends, in ps."""
    schedule = deployment.schedule
    clocks = pipeline.clocking(architecture, schedule)
    recorder = Trace(schedule, clocks, 0, 10**12)
    pipeline.simulate(
        schedule,
        pipeline.links(architecture, schedule),
        service_of(schedule, architecture, execution.activity),
        clocks,
        execution.frames,
        tokens=execution.activity.tokens,
        trace=recorder,
    )
    runs = recorder.runs()

    def of(name: str) -> tuple[int, int]:
        place = list(recorder.jobs).index(name)
        (found,) = runs[(runs[:, 0] == place) & (runs[:, 1] == 0)]
        return int(found[2]), int(found[3])

    return of


def codes_read() -> NDArray[np.int8]:
    """Return the codes that the first matrix on tiles multiplies, one row per row of the outputs."""
    workload, batch = network()
    graph = workload.graph
    signals: dict[str, Signal] = {FEATURES: batch.signal(graph.edges[FEATURES])}
    before = graph.ops[: graph.ops.index(graph.by_name[FF1])]
    unit = mixed()[0].engines["npu"].start(batch, 0, lambda _: None).unit  # type: ignore[attr-defined]
    assert isinstance(unit, Datapath)
    evaluate(before, signals, graph.edges, unit)  # type: ignore[arg-type]
    return quantise(signals["blocks.0.ff1.norm"].values, float(workload.tensors[f"{FF1}.input_scale"]))[0]


def test_read_power_of_a_chunk_is_that_of_its_rows() -> None:
    """P = sum over 16 rows and 144 inputs of V^2 G: of pairs of cells, 5 and 5 or 50 and 5 uS; V = 0.6 V code / 128.

    All 640 columns of five tiles draw current; rows that only fill up the last chunk of an utterance hold zeros.
    """
    weights = network()[0].tensors[f"{FF1}.weight"].astype(int)
    ones = sum((np.abs(weights) >> plane & 1).sum(axis=1) for plane in range(7))
    siemens = 640 * 7 * 10e-6 + ones * 45e-6
    watts = ((codes_read() / 128 * 0.6) ** 2 @ siemens).tolist()
    utterances = [watts[:177], watts[177:]]  # 708 and 297 frames, one in four
    expected = [sum(each[at : at + ROWS]) for each in utterances for at in range(0, len(each), ROWS)]
    found = mixed()[1].activity.counts[f"{FF1}.read.0", f"crossbar[{FF1}]"]["read_nanowatt"]
    assert found.tolist() == pytest.approx([one * 1e9 for one in expected], rel=1e-6)


def test_energies_add_up_and_the_link_costs_its_words() -> None:
    deployment, execution = mixed()
    operation = pipeline.operate(chip(), deployment.schedule, execution.activity, execution.frames)
    bill, ledger = operation.bill, operation.ledger
    parts = [sum(shares.values()) for shares in bill.energy_j.values()]
    assert sum(parts) == pytest.approx(bill.total_j())
    assert sum(bill.layer_energy_j.values()) == pytest.approx(bill.total_j("dynamic"))
    # 64 blocks of words a chunk: in and out of 16 matrices, 144 or 576 values in float16 and in codes.
    words = 17 * 8 * ROWS * (144 + 576) * (16 + 8) // 64
    assert ledger.counts["link"]["transfer"] == words
    # 0.08 pJ for a bit and a millimetre of wires on the 28 nm die, though the chip is at 7 nm and 0.75 V.
    assert bill.energy_j["link"]["dynamic"] == pytest.approx(words * 64 * 6 * 0.08e-12)
    spec = chip().components()["adc"]
    per_conversion = price_list(chip()).energy("adc", "convert", spec.dimensions()).value
    conversions = 17 * ROWS * 7 * 8 * (576 * 2 + 144 * 5)
    assert bill.energy_j["adc"]["dynamic"] == pytest.approx(conversions * per_conversion)


def test_its_float_network_stands_beside_it() -> None:
    """The workload of the chip is `separable_8` with the weights of `separable_16` as the network in float."""
    ours, floats = load_workload("conformer_stream/separable_8_tiles"), load_workload("conformer_stream")
    assert chip().spec.workload == ours.spec.name
    assert ours.reference is not None and ours.reference.keys() == floats.tensors.keys()
    assert all(np.array_equal(ours.reference[name], floats.tensors[name]) for name in floats.tensors)
    assert all(np.array_equal(ours.tensors[name], tensor) for name, tensor in network()[0].tensors.items())


@pytest.mark.parametrize("arbitration", ["oldest_first", "fixed_priority", "round_robin"])
def test_chunks_back_to_back_come_to_an_end(arbitration: str) -> None:
    deployment, execution = mixed()
    keys = {"pacing__mode": "back_to_back", "arbitration": f"{{sequencer: {arbitration}, link: {arbitration}}}"}
    architecture = chip(**keys)
    timeline = pipeline.operate(architecture, deployment.schedule, execution.activity, execution.frames).timeline
    room = {
        f"{one.producer}->{one.consumer}": one.capacity for one in pipeline.links(architecture, deployment.schedule)
    }
    assert timeline.channel_peak.keys() == room.keys()
    assert all(0 < timeline.channel_peak[name] <= room[name] for name in room)
    assert (np.diff(timeline.finished_ps) > 0).all() and len(timeline.finished_ps) == 17


def without_channel(folder: Path, start: str, end: str) -> Architecture:
    data: dict[str, Any] = yaml.safe_load(find("edge_npu_tiles", "arch").read_text())
    kept = [channel for channel in data["channels"] if (channel["from"], channel["to"]) != (start, end)]
    assert len(kept) == len(data["channels"]) - 1
    path = folder / "chip.yaml"
    path.write_text(yaml.safe_dump(data | {"channels": kept}))
    return load_architecture(path)


@pytest.mark.parametrize("ends", [("sequencer", "tile_inputs"), ("accumulator", "sequencer")])
def test_a_channel_between_the_engines_that_is_missing(tmp_path: Path, ends: tuple[str, str]) -> None:
    with pytest.raises(InputError) as error:
        deploy(network()[0], without_channel(tmp_path, *ends))
    (problem,) = error.value.problems
    assert f"it needs a bounded channel from '{ends[0]}' to '{ends[1]}'" in str(problem)
    assert "conformer_stream/separable_8" in str(problem) and "edge_npu_tiles" in str(problem)
