"""Integer networks on every engine: each op to the bit what its definition gives, step by step as well, and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from graphs import IDEAL, chip, frames, graph, tile_keys
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import pipeline
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.kernels.number import Number
from accelsim.ops.op import FEATURES, Datapath, DatapathOp, WeightedOp
from accelsim.ops.streaming import Stream
from accelsim.testing import run_small
from accelsim.workload import Workload

WIDE = {"components.adc.ideal": False, "components.adc.precision_bits": 7, "components.adc.range_bits": 12,
        "components.shift_add.width_bits": 40, "components.accumulator.width_bits": 48}  # fmt: skip
INT8 = {"components.array.number": "int8", "components.array.accumulator": "int32"}
CHIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "npu, float16": ("edge_npu", {"pacing": "{mode: back_to_back}"}),
    "npu, int8": ("edge_npu", {"pacing": "{mode: back_to_back}", "compiler.weights": "resident", **INT8}),
    "digital": ("conformer_digital28", {"pacing": "{mode: back_to_back}"}),
    "tiles": ("memristor_conformer", {**tile_keys(tiles=60, digital=()), **IDEAL}),
    "tiles, wide ADC": (
        "memristor_conformer", {**tile_keys(tiles=60, digital=()), **IDEAL, **WIDE},
    ),
}  # fmt: skip
ROUNDINGS = ("double_away", "double_up", "single", "half_even")
NUMBER: dict[str, Number] = {on: "float16" for on in CHIPS}
CHUNKED = {"npu, float16", "npu, int8"}


@st.composite
def outputs(draw: st.DrawFn) -> str:
    zero = draw(st.sampled_from([-128, -7, 0, 31]))
    low = draw(st.sampled_from(["", f", low: {zero}", f", low: {zero}, high: {min(zero + 90, 127)}"]))
    return f"output: {{scale: {draw(st.sampled_from([0.0234375, 0.0625]))}, zero_point: {zero}{low}}}, " \
           f"rounding: {draw(st.sampled_from(ROUNDINGS))}"  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> list[str]:
    """Draw convolutions over time, each channel for itself or not, of any step, and matrices; codes from end to end."""
    found: list[str] = []

    def add(kind: str, keys: str, name: str, read: str | None = None) -> None:
        before = read or (found[-1].split("name: ")[1].split(",")[0] if found else "features")
        found.append(f"{{name: {name}, op: {kind}, input: {before}, {keys}, {draw(outputs())}}}")

    taps, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    before = max(taps - stride, 0)
    channels = draw(st.integers(1, 5))
    add(
        "conv",
        f"channels: {channels}, kernel: [{taps}, 1], stride: [{stride}, 1], bands: 1, padding: [[{before}, 0], [0, 0]]",
        "c",
    )
    if draw(st.booleans()):
        times, taps, stride = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 2))
        channels *= times
        add(
            "conv",
            f"channels: {channels}, kernel: [{taps}, 1], stride: [{stride}, 1], depthwise: true, "
            f"padding: [[{max(taps - stride, 0)}, 0], [0, 0]]",
            "d",
        )
    if draw(st.booleans()):
        add("depthwise", f"taps: {draw(st.integers(1, 4))}, causal: true", "e")
    if draw(st.booleans()):
        rows = draw(st.integers(1, 4))
        found.append(f"{{name: s, op: stack, input: {found[-1].split('name: ')[1].split(',')[0]}, rows: {rows}, "
                     f"hop: 1, padding: {rows - 1}}}")  # fmt: skip
    add("linear", f"outputs: {draw(st.integers(1, 70))}", "l")
    last = draw(
        st.sampled_from(["", "quantise", "relu", "add", "multiply", "sigmoid", "tanh", "softmax", "dequantise"])
    )
    keys = {"add": "residual: l, ", "multiply": "by: l, "}.get(last, "")
    unit = {"sigmoid": (0.00390625, -128), "softmax": (0.00390625, -128), "tanh": (0.0078125, 0)}.get(last)
    if last == "dequantise":
        found.append("{name: z, op: dequantise, input: l}")
    elif last:
        how = draw(outputs())
        if unit is not None:
            how = f"output: {{scale: {unit[0]}, zero_point: {unit[1]}}}, rounding: {draw(st.sampled_from(ROUNDINGS))}"
        found.append(f"{{name: z, op: {last}, input: l, {keys}{how}}}")
    return found


def network(folder: Path, layers: list[str], seed: int) -> Workload:
    return graph(folder, layers, bands=5, seed=seed)


@pytest.mark.parametrize("on", CHIPS)
@settings(max_examples=12, deadline=None)
@given(layers=networks(), seed=st.integers(0, 2**16))
def test_each_op_is_its_definition(
    tmp_path_factory: pytest.TempPathFactory, on: str, layers: list[str], seed: int
) -> None:
    workload = network(tmp_path_factory.mktemp("net"), layers, seed)
    name, keys = CHIPS[on]
    ran = run_small(workload, chip(keys, name), (7, 2))
    for op in workload.graph.ops:
        read = [ran.signals[one] for one in op.reads()]
        wanted = op.reference(read, workload.tensors, NUMBER[on])
        found = ran.signals[op.name].values
        assert (found.dtype.kind == "i") == (op.op != "dequantise") and found.tolist() == wanted.tolist(), op.name
    kinds = {type(engine).kind for engine in ran.deployment.engines.values()}
    assert kinds == {"npu"} if on in CHUNKED else ("crossbar_tiles" in kinds) == on.startswith("tiles")


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(0, 2**16), st.lists(st.integers(1, 5), min_size=1, max_size=6), st.booleans())
def test_steps_equal_the_whole(
    tmp_path_factory: pytest.TempPathFactory, layers: list[str], seed: int, steps: list[int], several: bool
) -> None:
    """Tensor by tensor, whatever the steps; the state of an op is the end of what it has read, codes as they are."""
    workload = network(tmp_path_factory.mktemp("net"), layers, seed)
    step = workload.graph.given.stride
    steps = [each * step if several else step for each in steps]
    batch = frames(workload, [sum(steps)], seed)
    whole = {FEATURES: batch.signal(workload.graph.edges[FEATURES])}
    unit = Datapath(workload.tensors)
    for op in workload.graph.ops:
        assert isinstance(op, DatapathOp)
        read = [whole[one] for one in op.reads()]
        values, starts = op.compute(read, unit)
        whole[op.name] = type(read[0])(values, starts, workload.graph.edges[op.name])
    stream = Stream(workload.graph, Datapath(workload.tensors))
    ends = np.cumsum([0, *steps])
    pushed = [stream.signals(batch.features[a:b]) for a, b in pairwise(ends)]
    for op in workload.graph.ops:
        found = np.concatenate([signals[op.name].values for signals in pushed])
        assert found.tolist() == whole[op.name].values.tolist(), op.name
        kept = op.window(workload.graph.read(op)).behind
        if kept and isinstance(op, WeightedOp):
            state = stream.state[op.name]
            assert state.tolist()[-kept:] == whole[op.input].values[-kept:].tolist()


def filled(bits: int, width: int) -> int:
    """Fill words of so many bits."""
    return len(range(0, bits, width))


class PlainStep:
    """What the products of a step count on an NPU, from the layers as they are written: ``seen[job, part, action]``."""

    def __init__(self, workload: Workload, npu: Any, layers: list[str], rows: int) -> None:
        self.part, self.seen = npu.components(), Counter[tuple[str, str, str]]()
        width, taken, half = {"features": 5}, [0, 0], 0
        every, stride = 1, {"features": 1}  # frames of a step
        keys = [yaml.safe_load(layer) for layer in layers]
        for one in keys:
            every *= one.get("stride", [1])[0]
            stride[one["name"]] = every
        for one in keys:
            name, before = one["name"], one["input"]
            made, wide = rows * every // stride[name], width[before]
            frames = rows * every // stride[before]
            if one["op"] not in ("conv", "depthwise", "linear"):
                width[name] = wide * one.get("rows", 1)
                continue
            alone = one["op"] == "depthwise" or one.get("depthwise", False)
            taps = one.get("taps", one.get("kernel", [1])[0])
            kept = taps - 1 if one["op"] == "depthwise" else one.get("padding", [[0]])[0][0]
            width[name] = outputs = one.get("channels", one.get("outputs", wide))
            weights = taps * (1 if alone else wide) * outputs
            bank = half
            if npu.spec.compiler.weights == "resident":
                bank = 0
                taken[bank] += weights
            half = 1 - half
            self.note(f"{name}.weights", "dma[0]", descriptor=1, word=filled(8 * weights, 128))
            self.l2(f"{name}.weights", bank, 0, 8 * weights)
            read, weight_words = 8 * (frames + kept) * wide, weights
            operations = 4 * made * outputs
            if alone:
                operations += 2 * made * weights
            else:
                read, weight_words = self.on_array(name, made, taps * wide, outputs)
                read, weight_words = 8 * read, weight_words
            self.note(name, "vector", operation=operations, special=0)
            self.l2(name, 2, read, 8 * made * outputs)
            self.l2(name, bank, 8 * weight_words, 0)

    def note(self, job: str, part: str, **counts: int) -> None:
        for action, count in counts.items():
            self.seen[job, part, action] += count

    def l2(self, job: str, bank: int, read: int, written: int) -> None:
        words = {"read": filled(read, 128), "write": filled(written, 128)}
        banks = 8 if bank == 2 else 4
        self.note(job, f"l2[{bank}]", **words, bank_accesses=len(range(0, sum(words.values()), banks)))

    def on_array(self, job: str, m: int, k: int, n: int) -> tuple[int, int]:
        """Count a weight-stationary array of 16 x 16, tile by tile, and its cycles, register by register."""
        left = right = 0
        spots = [(i, j) for i in range(0, k, 16) for j in range(0, n, 16)]
        for i, j in spots:
            high, wide = min(16, k - i), min(16, n - j)
            self.note(job, "array", mac=m * high * wide)
            left, right = left + m * high, right + high * wide
        # Weights of the first tile come in 16 cycles, every further tile max(m, 16) after the one before; the last one
        # takes its m inputs, 15 cycles down and 15 across.
        cycles = 16 + (len(spots) - 1) * max(m, 16) + m + 15 + 15
        self.note(job, "array", stream=left + right, cycles=cycles)
        return left, right


@settings(max_examples=30, deadline=None)
@given(networks(), st.sampled_from(sorted(CHUNKED)), st.integers(1, 4))
def test_counts_are_those_of_plain_loops(
    tmp_path_factory: pytest.TempPathFactory, layers: list[str], on: str, chunk: int
) -> None:
    """Words, operations, products and cycles of every matrix in a step of several rows; loads come once, or in each."""
    made = network(tmp_path_factory.mktemp("net"), layers, 0)
    workload = replace(made, spec=made.spec.model_copy(update={"chunk": chunk}))
    name, keys = CHIPS[on]
    npu = chip(keys, name)
    deployment = deploy(workload, npu)
    activity = execute(deployment, frames(workload, [2 * deployment.frame])).activity
    plain = PlainStep(workload, npu, layers, chunk)
    found: Counter[tuple[str, str, str]] = Counter()
    jobs = {job for job, _, _ in plain.seen}
    for (job, part), counts in activity.counts.items():
        once = on == "npu, int8" and job.endswith(".weights")
        for action, values in counts.items():
            if job not in jobs or part in ("lpddr", "sequencer") or action in ("load", "accumulate", "drain"):
                continue
            assert values[1] == (0 if once else values[0])
            found[job, part, action] = int(values[0])
    assert found == plain.seen


BY_HAND = [
    "{name: c, op: conv, input: features, channels: 4, kernel: [3, 1], stride: [3, 1], bands: 1, "
    "output: {scale: 0.05, zero_point: -128, low: -128}}",
    "{name: d, op: conv, input: c, channels: 8, kernel: [5, 1], depthwise: true, padding: [[4, 0], [0, 0]], "
    "output: {scale: 0.05, zero_point: 3}}",
    "{name: l, op: linear, input: d, outputs: 2, output: {scale: 0.1, zero_point: 0}}",
]


@pytest.mark.parametrize("on", ["npu, float16", "npu, int8"])
def test_a_step_on_an_npu_by_hand(tmp_path: Path, on: str) -> None:
    """A row of three frames of 5 codes; 15 x 4 on the array, 8 channels of 5 taps on the vector unit, 8 x 2.

    c has no row behind a step's three, since padding by default is half of the taps, 1, and it reads frame -1 .. 1:
    one row. Words of L2 have 128 bits.
    """
    workload = network(tmp_path, BY_HAND, 1)
    name, keys = CHIPS[on]
    deployment = deploy(workload, chip(keys, name))
    activity = execute(deployment, frames(workload, [9])).activity

    def of(job: str, member: str) -> dict[str, int]:
        return {action: int(values[1]) for action, values in activity.counts[job, member].items()}

    plan = deployment.schedule.plan
    assert plan is not None and plan.weight_bits == 8 * (60 + 40 + 16)
    assert plan.state_bits == 8 * (1 * 5 + 4 * 4)
    assert deployment.frame == 3 and activity.counts["c", "array"]["mac"].tolist() == [60, 60, 60]
    # Each code of a sum: bias with the correction, product, shift, zero point. The codes that are read cost nothing.
    assert of("c", "vector") == {"operation": 4 * 4, "special": 0}
    assert of("d", "vector") == {"operation": 2 * 40 + 4 * 8, "special": 0}
    assert of("l", "vector") == {"operation": 4 * 2, "special": 0}
    # c: a window of 15 codes of 8 bits, one word; 4 codes out, one word.
    assert of("c", "l2[2]") == {"read": 1, "write": 1, "bank_accesses": 1}
    # d: 4 codes of this step, 16 of its state: 160 bits, two words; 8 codes out.
    assert of("d", "l2[2]") == {"read": 2, "write": 1, "bank_accesses": 1}
    # Weights: 480, 320 and 128 bits: 4, 3 and 1 words. Resident, all lie in the first half.
    halves = ("l2[0]", "l2[0]", "l2[0]") if on == "npu, int8" else ("l2[0]", "l2[1]", "l2[0]")
    reads = [of(job, half)["read"] for job, half in zip("cdl", halves, strict=True)]
    assert reads == [4, 3, 1]
    loads = [activity.counts[f"{job}.weights", "dma[0]"]["word"].tolist() for job in "cdl"]
    assert loads == ([[4, 0, 0], [3, 0, 0], [1, 0, 0]] if on == "npu, int8" else [[4] * 3, [3] * 3, [1] * 3])
    assert {job: macs["dense"] for job, macs in activity.macs.items()} == {"c": 180, "d": 120, "l": 48}


def test_a_step_on_a_digital_array_by_hand(tmp_path: Path) -> None:
    """All products on the array; 4 operations of the vector unit for each code that is made, none for those read.

    Weights are read from their SRAM in every step: 60, 40 and 16 bytes. They were there before: nothing brings them.
    """
    workload = network(tmp_path, BY_HAND, 1)
    name, keys = CHIPS["digital"]
    on = chip({**keys, "placement": "{'*': {batch: 1}}"}, name)
    width = on.components()["weights"].width_bits  # type: ignore[attr-defined]
    deployment = deploy(workload, on)
    activity = execute(deployment, frames(workload, [9])).activity
    for job, codes, macs in (("c", 4, 60), ("d", 8, 40), ("l", 2, 16)):
        counts = {member.partition("[")[0]: values for (name, member), values in activity.counts.items() if name == job}
        assert counts["array"]["mac"].tolist() == [macs] * 3
        assert counts["vector"]["operation"].tolist() == [4 * codes] * 3
        assert counts["weights"]["read"].tolist() == [filled(8 * macs, width)] * 3
        assert not counts["weights"]["write"].any()


def test_a_step_on_tiles_by_hand(tmp_path: Path) -> None:
    """Tiles multiply codes; zero points, biases and rounding are work of the vector unit: 4 operations for each code.

    d has 8 columns for 4 channels: a step brings one new code for each column, 4 over the bus.
    """
    workload = network(tmp_path, BY_HAND, 1)
    name, keys = CHIPS["tiles"]
    on = chip({**keys, "components.bus.width_bits": 8}, name)
    deployment = deploy(workload, on)
    activity = execute(deployment, frames(workload, [9])).activity

    def of(job: str, part: str) -> dict[str, list[int]]:
        (member,) = [one for name, one in activity.counts if name == job and one.startswith(part)]
        return {action: values.tolist() for action, values in activity.counts[job, member].items()}

    for job, codes in (("c", 4), ("d", 8), ("l", 2)):
        assert of(f"{job}.deliver", "vector")["operation"] == [0, 0, 0]
        assert of(f"{job}.collect", "vector")["operation"] == [4 * codes] * 3
        assert of(f"{job}.collect", "accumulator")["write"] == [codes] * 3
    assert of("d.deliver", "tile_inputs")["write"] == [8] * 3
    assert {job: of(f"{job}.deliver", "bus")["transfer"] for job in "cdl"} == {
        "c": [15] * 3, "d": [4] * 3, "l": [8] * 3
    }  # fmt: skip
    reads = {job: of(f"{job}.read.0", "dac")["drive"] for job in "cdl"}
    assert reads == {"c": [15 * 14] * 3, "d": [40 * 14] * 3, "l": [8 * 14] * 3}
    assert {job: macs["dense"] for job, macs in activity.macs.items()} == {
        "c.collect": 180, "d.collect": 120, "l.collect": 48,
    }  # fmt: skip
    pipeline.operate(on, deployment.schedule, activity, 3)


OVER_BANDS = [
    "{name: c, op: conv, input: features, channels: 3, kernel: [2, 2], stride: [1, 2], padding: [[1, 0], [0, 1]], "
    "output: {scale: 0.05, zero_point: -128, low: -128}}",
    "{name: d, op: conv, input: c, channels: 6, kernel: [3, 3], depthwise: true, padding: [[1, 1], [1, 1]], "
    "output: {scale: 0.05, zero_point: 3}}",
]


def test_depthwise_over_bands_on_tiles(tmp_path: Path) -> None:
    """Each channel in columns of its own, whose nine taps are all written for each of three places on the bands."""
    workload = network(tmp_path, OVER_BANDS, 3)
    name, keys = CHIPS["tiles, wide ADC"]
    ran = run_small(workload, chip({**keys, "components.bus.width_bits": 8}, name), (7, 2))
    for op in workload.graph.ops:
        read = [ran.signals[one] for one in op.reads()]
        assert ran.signals[op.name].values.tolist() == op.reference(read, workload.tensors).tolist(), op.name
    (deliver,) = [job for job in ran.deployment.schedule.jobs if job.name == "d.deliver"]
    counts, _ = ran.runs["crossbar_tiles"].count(deliver, ran.grid)
    assert counts["tile_inputs"]["rows"].tolist() == [3] * 9
    assert counts["tile_inputs"]["write"].tolist() == [3 * 9 * 6] * 9
    assert counts["network"]["transfer"].tolist() == [3 * 9 * 3] * 9
    (read_job,) = [job for job in ran.deployment.schedule.jobs if job.name == "d.read.0"]
    assert ran.runs["crossbar_tiles"].count(read_job, ran.grid)[0]["driver"]["drive"].tolist() == [3 * 9 * 6 * 14] * 9


@pytest.mark.parametrize(
    ("on", "keys", "message"),
    [
        ("npu, float16", {"components.array.accumulator": "float16"}, r"layer 'c' has sums up to [\d,]+, float16 sums"),
        ("tiles", {"components.dac.bits": 7}, "layer 'c' has 8-bit inputs, 'dac' takes 7"),
    ],
)  # fmt: skip
def test_what_does_not_fit(tmp_path: Path, on: str, keys: dict[str, Any], message: str) -> None:
    name, its = CHIPS[on]
    with pytest.raises(InputError, match=message):
        deploy(network(tmp_path, BY_HAND, 1), chip({**its, **keys}, name))


def test_a_weight_that_no_pair_holds(tmp_path: Path) -> None:
    workload = network(tmp_path, BY_HAND, 1)
    workload.tensors["l.weight"][0, 0] = -128  # type: ignore[index]
    name, keys = CHIPS["tiles"]
    with pytest.raises(
        InputError, match=r"layer 'l' has weights down to -128, 7 planes of 'crossbar' hold -127 \.\. 127"
    ):
        deploy(workload, chip(keys, name))
