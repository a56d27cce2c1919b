"""State-space networks through the whole product: the plain integers come out, and the engine is the plain loop."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import reference_ssm
from chips import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_engine import TickLoop
from safetensors.numpy import save_file

from accelsim.architecture import Architecture, load_architecture
from accelsim.components.adc import Adc
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.errors import InputError
from accelsim.kernels.ssm import largest_level
from accelsim.ops.op import Edge, Signal
from accelsim.pipeline import arbitration, clocking, links
from accelsim.simulate import close_books, simulate
from accelsim.workload import Workload, load_workload

IDEAL = {
    "components.crossbar.device": "ideal",
    "components.crossbar.wires": "none",
    "components.crossbar.device_settings": "{}",
}
IN_TILES = ("crossbar", "dac", "sample_hold", "adc", "state_registers", "output_registers")


def tiles(number: int) -> dict[str, str]:
    """Return the changes that give a chip so many crossbars, with all that stands beside each."""
    return {f"components.{part}.tiles": str(number) for part in IN_TILES}


def write_network(folder: Path, *, channels: int, states: int, bits: int, layers: int, seed: int) -> Path:
    """Write an encoder of 4-bit weights, then ``layers`` times h + M relu(S4D(h)), with random weights."""
    generator, q = np.random.default_rng(seed), largest_level(bits)
    tensors = {"encoder": generator.integers(-7, 8, (3, channels)).astype(np.int8)}
    lines = [
        f"  - {{name: encoder, op: linear, gives: codes, input: features, outputs: {channels}, "
        "weight_bits: 4, weights: encoder, input_offset: 128}"
    ]
    before = "encoder"
    for n in range(layers):
        for part in "abc":
            levels = generator.integers(-q, q + 1, (channels, states, 2))
            tensors[f"s{n}.{part}"] = (np.where(levels == 0, 1, levels) if bits == 1 else levels).astype(np.int8)
        tensors[f"m{n}"] = generator.integers(-7, 8, (channels, channels)).astype(np.int8)
        lines.append(
            f"  - {{name: s{n}, op: s4d, input: {before}, kernels: {channels}, states: {states}, weight_bits: {bits}, "
            f"scale: 0.65, weights: s{n}, input_scale: 0.05, output_gain: 0.3}}"
        )
        lines.append(
            f"  - {{name: m{n}, op: linear, gives: codes, input: s{n}, input_activation: relu, "
            f"outputs: {channels}, weight_bits: 4, weights: m{n}, residual: {before}, output_scale: 0.25}}"
        )
        before = f"m{n}"
    save_file(tensors, folder / "weights.safetensors")
    (folder / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: network\nweights: weights.safetensors\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 3}}\ngraph:\n"
        + "\n".join(lines)
        + "\n"
    )
    return folder


def chain(folder: Path, *, kernels: int, states: int, layers: int, seed: int) -> Workload:
    """Return ``layers`` layers of 2-bit kernels that read each other, the first one sample of features.

    A scale of 0.65 makes every state stable: |a| <= 0.65 sqrt(2) < 1.
    """
    generator, tensors, lines, before = np.random.default_rng(seed), {}, [], "features"
    for n in range(layers):
        tensors |= {f"s{n}.{part}": generator.integers(-1, 2, (kernels, states, 2)).astype(np.int8) for part in "abc"}
        lines.append(
            f"  - {{name: s{n}, op: s4d, input: {before}, kernels: {kernels}, states: {states}, weight_bits: 2, "
            f"scale: 0.65, input_offset: {128 if n == 0 else 0}, output_gain: 0.4}}\n"
        )
        before = f"s{n}"
    save_file(tensors, folder / "weights.safetensors")
    (folder / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: chain\nweights: weights.safetensors\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 1}}\ngraph:\n"
        + "".join(lines)
    )
    return load_workload(folder)


def crossbars(number: int, changes: dict[str, str] | None = None) -> Architecture:
    """Return the crossbar of imssa so many times, wide enough for any kernels, the outputs of one led to another."""
    channels = [
        c.model_dump(mode="json", by_alias=True, exclude_unset=True) for c in load_architecture("imssa").spec.channels
    ]
    channels.append({"from": "output_registers", "to": "state_registers", "capacity": 2, "latency": 1})
    return load_architecture(
        "imssa",
        IDEAL | tiles(number) | {
            "channels": json.dumps(channels), "pacing.mode": "back_to_back", "components.sample_hold.units": "32",
            "components.adc.units": "32", "components.dac.units": "64", "components.state_registers.entries": "32",
            "components.output_registers.entries": "10", "components.readout.units": "4",
        } | (changes or {}),
    )  # fmt: skip


def samples(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 1)).astype(np.uint8)


def load(changes: dict[str, str], **network):
    """Return a random network on a chip."""
    with tempfile.TemporaryDirectory() as folder:
        workload = load_workload(write_network(Path(folder), **network))
    return deploy(workload, load_architecture("imssa10", changes))


def by_hand(workload, features, starts) -> list[list[int]]:
    """The last layer in plain Python integers, utterance by utterance; round() takes halves to even."""
    tensors = {name: tensor.tolist() for name, tensor in workload.tensors.items()}
    rows = []
    for first, last in pairwise(starts):
        x = [[int(code) - 128 for code in frame] for frame in features[first:last]]
        h = [
            [sum(v * w for v, w in zip(f, column, strict=True)) for column in zip(*tensors["encoder"], strict=True)]
            for f in x
        ]
        for s4d, mix in zip(workload.graph.ops[1::2], workload.graph.ops[2::2], strict=True):
            gain = s4d.scale / largest_level(s4d.weight_bits)
            outputs = []
            for k in range(s4d.kernels):
                a, b, c = (tensors[f"{s4d.weights}.{part}"][k] for part in "abc")
                codes = [max(-128, min(128, round(f[k] * s4d.input_scale))) for f in h]
                outputs.append(
                    reference_ssm.integers(a, b, c, codes, top=128, state_gain=gain, output_gain=s4d.output_gain)[0]
                )
            y = [[min(max(column[t], 0), 127) for column in outputs] for t in range(len(h))]
            mixed = [
                [sum(v * w for v, w in zip(f, m, strict=True)) for m in zip(*tensors[mix.weights], strict=True)]
                for f in y
            ]
            h = [
                [old + round(mix.output_scale * new) for old, new in zip(f, m, strict=True)]
                for f, m in zip(h, mixed, strict=True)
            ]
        rows += h
    return rows


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 9),
    states=st.integers(1, 6),
    bits=st.integers(1, 5),
    layers=st.integers(1, 2),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    analogue=st.booleans(),
)
def test_ideal_cells_and_the_digital_array_give_the_plain_integers(
    channels, states, bits, layers, lengths, seed, analogue
) -> None:
    sizes = {"components.weights.entries": "2000"}
    if analogue:
        sizes |= IDEAL | {
            "components.state_registers.entries": "64",
            "components.output_registers.entries": "16", "components.dac.units": "64", "components.adc.shared_by": "16",
            "components.sample_hold.units": "32", **tiles(20),
        }  # fmt: skip
        chip = load_architecture("imssa10", sizes)
    else:
        sizes["components.weights.width_bits"] = "8"
        chip = load_architecture(
            "s4d_digital28",
            sizes | {
                "components.state_registers.entries": "500", "components.array.weight_bits": "5",
                "components.input_buffer.entries": "3",
            },
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = write_network(Path(folder), channels=channels, states=states, bits=bits, layers=layers, seed=seed)
        try:
            workload = load_workload(path)
        except InputError as error:
            assert "unstable" in str(error)
            return
    starts = np.concatenate([[0], np.cumsum(lengths)])
    features = np.random.default_rng(seed).integers(0, 256, (starts[-1], 3)).astype(np.uint8)
    batch = batch_of(features, starts)
    execution = execute(deploy(workload, chip), batch)
    assert execution.outputs is not None
    assert execution.outputs.tolist() == by_hand(workload, features, starts.tolist())


def test_enough_networks_are_stable() -> None:
    """The property above says nothing of networks that are refused; most are not."""
    stable = 0
    for seed in range(20):
        try:
            load({}, channels=3, states=2, bits=3, layers=1, seed=seed)
            stable += 1
        except InputError:
            pass
    assert stable >= 10


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 9),
    states=st.integers(1, 3),
    layers=st.integers(1, 2),
    shared_by=st.sampled_from([1, 4, 8, 28]),
    reads=st.integers(1, 3),
    conversions=st.integers(1, 2),
    capacity=st.integers(1, 2),
    latency=st.integers(1, 3),
    rows=st.sampled_from([1, 4]),
)
def test_engine_is_the_plain_loop(
    channels, states, layers, shared_by, reads, conversions, capacity, latency, rows
) -> None:
    frames = 4
    changes = IDEAL | {
        "components.sample_hold.units": "32", "components.crossbar.cycles_per_read": str(reads),
        "components.adc.units": "32", "components.adc.shared_by": str(shared_by),
        "components.adc.cycles_per_conversion": str(conversions), "components.state_registers.entries": "64",
        "components.output_registers.entries": "16", "components.dac.units": "64", "components.array.rows": str(rows),
        "channels.7.capacity": str(capacity), "channels.3.latency": str(latency), "pacing.mode": "back_to_back",
    }  # fmt: skip
    # 2-bit weights of a scale of 0.65 are always stable: |a| <= 0.65 sqrt(2) < 1.
    deployment = load(changes, channels=channels, states=states, bits=2, layers=layers, seed=1)
    chip, schedule = deployment.chip, deployment.schedule
    features = np.random.default_rng(0).integers(0, 256, (frames, 3)).astype(np.uint8)
    execution = execute(deployment, batch_of(features, [0, frames]))
    service, clocks = service_of(schedule, chip, execution.activity), clocking(chip, schedule)
    policies = arbitration(chip, schedule)
    timeline = simulate(schedule, links(chip, schedule), service, clocks, frames, arbitration=policies)
    close_books(schedule, service, timeline, execution.activity)
    loop = TickLoop(schedule.jobs, links(chip, schedule), service, dict(clocks.period_ps), 0, frames, policies)
    assert (timeline.finished_ps // loop.tick).tolist() == loop.finished
    for name in {job.component for job in schedule.jobs}:
        for state in ("busy", "wait_input", "wait_output"):
            assert timeline.cycles[name][state] == loop.spent[name, state], (name, state)


@settings(max_examples=40, deadline=None)
@given(
    kernels=st.integers(1, 23),
    states=st.integers(1, 6),
    layers=st.integers(1, 3),
    shared_by=st.sampled_from([1, 8, 28]),
    reads=st.integers(1, 2),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_kernels_that_read_kernels(kernels, states, layers, shared_by, reads, lengths, seed) -> None:
    """Crossbars alone: the plain integers, the plain loop, and every layer on crossbars of its own."""
    with tempfile.TemporaryDirectory() as folder:
        network = chain(Path(folder), kernels=kernels, states=states, layers=layers, seed=seed)
    each = -(-kernels // (64 // (4 * states + 2)))
    changes = {"components.adc.shared_by": str(shared_by), "components.crossbar.cycles_per_read": str(reads)}
    chip = crossbars(layers * each, changes)
    deployment = deploy(network, chip)
    schedule, starts = deployment.schedule, np.concatenate([[0], np.cumsum(lengths)])
    reads_of = [job for job in schedule.jobs if job.name.endswith(".read")]
    assert [job.component for job in reads_of] == [f"crossbar[{n}]" for n in range(layers * each)]
    assert [job.layer for job in reads_of] == [f"s{n}" for n in range(layers) for _ in range(each)]

    features = samples(starts[-1], seed)
    execution = execute(deployment, batch_of(features, starts))
    assert execution.outputs is not None and execution.exact is None
    u = [[int(row[0]) - 128] * kernels for row in features]
    for n in range(layers):
        a, b, c = (network.tensors[f"s{n}.{part}"].tolist() for part in "abc")
        u = [
            list(row)
            for first, last in pairwise(starts)
            for row in zip(
                *(
                    reference_ssm.integers(
                        a[k], b[k], c[k], [row[k] for row in u[first:last]], top=128, state_gain=0.65, output_gain=0.4
                    )[0]
                    for k in range(kernels)
                ),
                strict=True,
            )
        ]
    assert execution.outputs.tolist() == u

    frames = len(features)
    service, clocks = service_of(schedule, chip, execution.activity), clocking(chip, schedule)
    timeline = simulate(schedule, links(chip, schedule), service, clocks, frames)
    close_books(schedule, service, timeline, execution.activity)
    loop = TickLoop(schedule.jobs, links(chip, schedule), service, dict(clocks.period_ps), 0, frames, {})
    assert (timeline.finished_ps // loop.tick).tolist() == loop.finished
    # Eight multiplications of every complex state of all kernels; the readout adds as many at a time as it has adders.
    macs = sum(one["performed"] for one in execution.activity.macs.values())
    assert macs == 8 * states * kernels * layers * frames
    readout = execution.activity.counts[f"s{layers - 1}.readout", "readout"]
    assert readout["groups"].tolist() == [-(-kernels // 4)] * frames and readout["add"].tolist() == [kernels] * frames


def test_a_frame_ends_without_a_readout_when_one_crossbar_ends_it() -> None:
    def bare(chip: Architecture) -> Architecture:
        parts = {name: spec for name, spec in chip.spec.components.items() if name != "readout"}
        channels = [channel for channel in chip.spec.channels if channel.to != "readout"]
        return replace(chip, spec=chip.spec.model_copy(update={"components": parts, "channels": channels}))

    with tempfile.TemporaryDirectory() as folder:
        one, many = (chain(Path(folder), kernels=k, states=6, layers=2, seed=1) for k in (2, 3))
    deployment = deploy(one, bare(crossbars(2)))
    assert [job.name for job in deployment.schedule.jobs if job.last] == ["s1[1].output"]
    summed = deploy(one, crossbars(2))
    assert [job.name for job in summed.schedule.jobs if job.last] == ["s1.readout"]
    batch = batch_of(samples(5), [0, 5])
    assert (execute(deployment, batch).outputs == execute(summed, batch).outputs).all()
    with pytest.raises(
        InputError, match=r"layer 's1' ends a frame on 2 crossbars of 'state_crossbar': it needs an accum"
    ):
        deploy(many, bare(crossbars(4)))


def test_the_seed_and_the_crossbar_decide_the_cells_and_exact_values_have_none() -> None:
    noisy = {
        "components.crossbar.device": "taox",
        "components.crossbar.device_settings": "{write_noise: 15 uS, stuck_at_low_resistance: 0.02}",
    }
    with tempfile.TemporaryDirectory() as folder:
        network = chain(Path(folder), kernels=3, states=6, layers=2, seed=1)
    batch = batch_of(samples(60), [0, 25, 60])
    deployment = deploy(network, crossbars(4, noisy))
    outputs = [
        execute(deployment, batch, seed=seed, programming_run=run).outputs for seed, run in ((0, 0), (0, 1), (1, 0))
    ]
    assert (outputs[0] != outputs[1]).any() and (outputs[1] == outputs[2]).all()

    engine = deployment.engines["state_crossbar"]
    run = engine.start(batch, 0, lambda _: None)
    features = network.graph.edges["features"]
    signals = {"features": batch.signal(features)}
    run.values(deployment.segments[0].ops, signals)
    assert (signals["s1"].values == outputs[0]).all() and signals.keys() == {"s1"}
    before = replace(run.tallies, programming=dict(run.tallies.programming))
    # 2 layers of 2 crossbars; a write pulse for every cell that holds a weight.
    assert before.programming == {"cells": 4 * 64 * 64, "write_pulses": 2 * 32 * 6 * 3}
    signals = {"features": batch.signal(features)}
    run.exact(deployment.segments[0].ops, signals)
    assert (signals["s1"].values == execute(deploy(network, crossbars(4)), batch).outputs).all()
    assert run.tallies == before

    # The same weights on other crossbars are other cells, and there they make other outputs.
    for part in "abc":
        network.tensors[f"s1.{part}"][:] = network.tensors[f"s0.{part}"]  # type: ignore[index]
    codes = np.random.default_rng(3).integers(-40, 41, (60, 3)).astype(np.int16)
    run, found = engine.start(batch, 0, lambda _: None), {}
    for op in network.graph.ops:
        shifted = codes + op.input_offset
        signals = {op.input: Signal(shifted, batch.starts, network.graph.edges[op.input])}
        run.values([op], signals)
        found[op.name] = signals[op.name].values
    assert (found["s0"] != found["s1"]).any()


def test_real_numbers_become_words_and_clamped_ones_are_counted() -> None:
    with tempfile.TemporaryDirectory() as folder:
        network = chain(Path(folder), kernels=2, states=3, layers=1, seed=1)
    x = np.array([[0.5], [1.5], [-2.5], [130.5], [-200.0], [7.49]], np.float32)
    words = np.array([[0], [2], [-2], [128], [-128], [7]])  # halves to even
    starts, found = np.array([0, 6]), []
    for values, edge in ((x + 128, Edge(1)), (words + 128, Edge(1, kind="codes", bits=16))):
        engine = deploy(network, crossbars(1)).engines["state_crossbar"]
        run, signals = engine.start(batch_of(samples(6), starts), 0, lambda _: None), {}
        signals["features"] = Signal(values, starts, edge)
        run.values(network.graph.ops, signals)
        found.append((signals["s0"].values.tolist(), run.tallies.clamped["s0"]))
    assert found[0][0] == found[1][0] and np.any(found[0][0])
    assert [clamped for _, clamped in found] == [2, 0]


@pytest.mark.parametrize(("shared_by", "reads"), [(8, 1), (1, 1), (29, 5)])
def test_one_step_by_hand(shared_by: int, reads: int) -> None:
    """One kernel of 14 states, steps back to back: what holds a step up is the state of the one before.

    A step: load 1, +1; the registers take the input 1, +1; the read r, +1; min(shared_by, 29) conversions c, +1; the
    output is written 1, +1; the sum 1. Steps follow each other at drive 1 + 1, read r + 1, convert c + 1, latch 1: the
    registers lead both drive and latch, so that the next drive begins as soon as the state is back.
    """
    changes = {
        "components.adc.shared_by": str(shared_by), "components.adc.units": str(-(-29 // shared_by)),
        "components.crossbar.cycles_per_read": str(reads), "pacing.mode": "back_to_back",
    }  # fmt: skip
    chip = load_architecture("imssa", changes)
    deployment = deploy(load_workload("s4d_digits"), chip)
    schedule = deployment.schedule
    batch = batch_of(np.full((6, 1), 130, np.uint8), [0, 6])
    service = service_of(schedule, chip, execute(deployment, batch).activity)
    timeline = simulate(schedule, links(chip, schedule), service, clocking(chip, schedule), 6)
    conversion = min(shared_by, 29)
    finished = timeline.finished_ps // 100_000
    assert finished[0] == (1 + 1) + (1 + 1) + (reads + 1) + (conversion + 1) + (1 + 1) + 1
    assert set(np.diff(finished)) == {(1 + 1) + (reads + 1) + (conversion + 1) + 1}


@pytest.mark.parametrize(
    ("chip", "changes", "message"),
    [
        (
            "imssa",
            {"components.crossbar.rows": "50"},
            r"14 states needs 58 x 58 cells, a crossbar has 50 x 64: at most 12 states fit",
        ),
        ("imssa10", {"components.crossbar.tiles": "5"}, r"the kernels need 8 crossbars of 64 x 64, the chip has 5"),
        ("imssa10", {"components.adc.tiles": "7"}, r"the kernels need 8 crossbars, 'adc' stands in 7 tiles"),
        (
            "imssa",
            {"components.state_registers.entries": "28"},
            r"29 states and inputs of layer 's4d' do not fit the 28",
        ),
        ("imssa", {"components.output_registers.width_bits": "7"}, r"8-bit outputs do not fit .* 'output_registers'"),
        ("imssa", {"components.sample_hold.units": "28"}, r"'sample_hold' samples 28 of 29 pairs of columns of layer"),
        ("imssa", {"components.adc.units": "3"}, r"3 converters shared by 8 serve 24 of the 29 pairs of columns"),
        ("imssa", {"components.dac.units": "30"}, r"'dac' drives 30 of 58 rows of layer 's4d'"),
        ("imssa", {"components.adc.range_bits": "6"}, r"it has codes of 8 bits, 'adc' of 6"),
        ("imssa", {"components.dac.mode": "bit_serial"}, r"fed back as one voltage each: 'dac' must be 'amplitude'"),
        ("imssa10", {"components.weights.entries": "700"}, r"the weights take 768 words of 'weights', which has 700"),
        ("imssa10", {"components.array.weight_bits": "3"}, r"layer 'encoder' has 4-bit weights, 'array' takes 3 bits"),
        ("memristor_tile", {}, r"no state_crossbar: it needs .*registers with 'stores: states'"),
    ],
)
def test_what_does_not_fit_is_named(chip: str, changes: dict[str, str], message: str) -> None:
    workload = load_workload("s4d_digits10" if chip == "imssa10" else "s4d_digits")
    with pytest.raises(InputError, match=message):
        deploy(workload, load_architecture(chip, changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adc.ideal": "true"}, r"'adc' is 'ideal: true': a state that goes back without being rounded"),
        ({"crossbar.cell_bits": "2"}, r"'cell_bits: 2', and a weight of layer 's4d' lies whole in 1-bit cells"),
        ({"crossbar.planes": "2"}, r"'crossbar' has 2 planes: a weight lies in cells of all its bits"),
    ],
)
def test_an_effect_that_is_not_modelled_is_refused(changes: dict[str, str], message: str) -> None:
    chip = load_architecture("imssa", {f"components.{key}": value for key, value in changes.items()})
    with pytest.raises(InputError, match=message):
        deploy(load_workload("s4d_digits"), chip)


def test_a_converter_with_a_transfer_function_of_its_own_is_refused() -> None:
    class Squashing(Adc):
        def transfer(self, changes: dict[str, int]) -> object:
            return object()

    chip = load_architecture("imssa")
    parts = dict(chip.spec.components)
    parts["adc"] = Squashing.model_validate(parts["adc"].model_dump(mode="json"))
    chip = replace(chip, spec=chip.spec.model_copy(update={"components": parts}))
    with pytest.raises(InputError, match=r"'adc' \(adc\) has a transfer function of its own"):
        deploy(load_workload("s4d_digits"), chip)


def test_the_bits_of_a_cell_may_be_told_if_they_are_those_of_a_weight() -> None:
    for name, bits in (("workload", 1), ("1bit", 1), ("5bit", 4)):
        workload = load_workload(f"workloads/s4d_digits/{name}.yaml")
        assert deploy(workload, load_architecture("imssa", {"components.crossbar.cell_bits": str(bits)}))
        with pytest.raises(InputError, match=f"in {bits}-bit cells"):
            deploy(workload, load_architecture("imssa", {"components.crossbar.cell_bits": str(bits + 1)}))


def test_settings_of_the_device_are_those_of_its_file() -> None:
    """No noise and no stuck cells: the plain integers. All cells stuck at high conductance: every weight is nothing."""
    workload = load_workload("s4d_digits/5bit")
    batch = batch_of(np.random.default_rng(0).integers(60, 200, (40, 1)).astype(np.uint8), [0, 40])
    made = {}
    for share in ("0", "0.5", "1"):
        keys = {
            "components.crossbar.device_settings.stuck_at_low_resistance": share, "components.crossbar.wires": "none",
        }  # fmt: skip
        chip = load_architecture("imssa", keys)
        made[share] = execute(deploy(workload, chip), batch).outputs
    ideal = load_architecture(
        "imssa",
        {
            "components.crossbar.device": "ideal",
            "components.crossbar.wires": "none",
            "components.crossbar.device_settings": "{}",
        },
    )
    assert (made["0"] == execute(deploy(workload, ideal), batch).outputs).all()
    assert (made["0.5"] != made["0"]).any() and not made["1"].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{write_nose: 5 uS}", r"write_nose.*did you mean 'write_noise'"),
        ("{write_noise: -5 uS}", r"write_noise"),
        ("{levels: [150 uS, 5 uS]}", r"the conductance range is reversed"),
        ("{levels: []}", r"levels"),
    ],
)
def test_wrong_settings_of_a_device_are_named(settings: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_architecture("imssa", {"components.crossbar.device_settings": settings})


def test_clamped_inputs_are_counted() -> None:
    """Codes of 8 bits less 128 never clamp at +-128; read at twice the scale, 0, 63, 193 and 255 do.

    The digital array counts the states that saturate as well; on a crossbar those are clipped conversions.
    """
    features = np.array([[0], [63], [64], [65], [128], [192], [193], [255]], np.uint8)
    batch = batch_of(features, [0, len(features)])
    doubled = {"graph.s4d.input_scale": "2", "graph.s4d.input_offset": "256"}
    found = {}
    for name, changes in (("imssa", {}), ("imssa", doubled), ("s4d_digital28", doubled)):
        chip, workload = load_architecture(name), load_workload("s4d_digits", changes)
        execution = execute(deploy(workload, chip), batch)
        found[name, bool(changes)] = execution.activity.saturations["s4d"], execution.activity.conversions
    assert found["imssa", False][0] == 0
    assert found["imssa", True][0] == 4
    clipped = found["imssa", True][1]["s4d"][1]
    assert found["s4d_digital28", True][0] == 4 + clipped
