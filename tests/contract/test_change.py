"""What others will want to change, and how many files it takes them: each change is made here as they would make it.

A flash ADC with a transfer function, a device and an activation come from outside; no file of accelsim is touched. Two
arrays of one kind, and arrays without a CPU, are chips in YAML alone. Everything that a test writes is its change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from chips import batch_of
from graphs import Streaming, chip, frames, graph, write_graph

import accelsim
from accelsim import plugins
from accelsim.architecture import Architecture, load_architecture
from accelsim.devices import load_device
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import Execution, execute
from accelsim.errors import InputError
from accelsim.kernels.converters import AdcTransfer, DacTransfer, dac_codes
from accelsim.kernels.crossbar import program_tiles
from accelsim.kernels.product import multiply
from accelsim.library import find
from accelsim.pipeline import operate
from accelsim.workload import load_workload

EXAMPLE = Path(__file__).parents[1] / "plugin_example" / "accelsim_flash"
SHORT = {"workload.inputs.seconds": "0.5", "workload.score": "null"}
PLAIN = {
    "components.crossbar.device": "ideal",
    "components.crossbar.wires": "none",
    "components.crossbar.noise": "none",
}


@pytest.fixture(autouse=True)
def forgotten(distribution: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the plug-ins of a test."""
    monkeypatch.setattr(plugins, "_FILES", {})
    yield


def changed(path: Path, name: str, **sections: dict) -> Path:
    """Write a chip of the library with some sections updated."""
    data = yaml.safe_load(find(name, "arch").read_text())
    for key, value in sections.items():
        data[key] = data.get(key, {}) | value
    path.write_text(yaml.safe_dump(data))
    return path


# From outside


def test_a_flash_adc_is_one_file_and_price_rows(tmp_path: Path) -> None:
    """With its transfer function, its cycles and its price: one module, rows of a cost table, a line of the chip."""
    accelsim.load_plugin(EXAMPLE / "flash_adc.py")
    prices = yaml.safe_load((EXAMPLE / "library" / "arch" / "cost" / "flash28.yaml").read_text())
    for section in ("energy", "clock", "standby", "area", "leakage"):
        prices[section] = [row for row in prices[section] if row["kind"] == "flash_adc"]
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(prices))
    thresholds = [float(t) for t in range(-32, 33, 4)]
    flash = {"kind": "flash_adc", "tiles": 3, "units": 48, "shared_by": 8, "ways": 4, "thresholds": thresholds}
    path = changed(
        tmp_path / "chip.yaml", "memristor_tile", components={"adc": flash},
        technology={"cost": "prices.yaml", "voltage": "0.9 V", "temperature": "300 K"},
    )  # fmt: skip
    result, before = (accelsim.run(one, overrides=SHORT | PLAIN) for one in (path, "memristor_tile"))
    assert [record.name for record in result.provenance.plugins] == ["flash_adc"]
    mine, theirs = (next(c for c in one.components if c.name == "adc") for one in (result, before))
    assert mine.busy_cycles * 4 == theirs.busy_cycles  # 2 cycles for 8 columns, not 8
    converted = mine.actions["convert"]
    assert converted == theirs.actions["convert"] > 0
    # 20 fJ a comparator and conversion, and a leakage of 1 nW for each: 17 in each of 4 ways of 48 units in 3 tiles.
    assert mine.energy_j.dynamic == pytest.approx(converted * 17 * 20e-15)

    # Values: the plain product, currents through the thresholds, one converter for each plane of weights.
    network, architecture = load_workload("tile_frames"), load_architecture(path, PLAIN)
    codes = np.random.default_rng(0).integers(0, 256, (6, 360)).astype(np.uint8)
    execution = execute(deploy(network, architecture), batch_of(codes, [0, 6]))
    weights = network.tensors["weight"].astype(np.int64)
    inputs = (np.clip(codes.astype(int) - 80, -128, 127) / 128).astype(np.float64)
    wanted = np.zeros((6, 40))
    for first in range(0, 360, 128):
        part = slice(first, first + 128)
        for plane in range(3):
            bit = np.sign(weights[part]) * ((np.abs(weights[part]) >> plane) & 1)
            current = inputs[:, part] @ bit
            code = (current[..., None] >= np.array(thresholds)).sum(axis=-1)
            edges = [thresholds[0], *thresholds, thresholds[-1]]
            wanted += 2**plane * (np.array(edges)[code] + np.array(edges)[code + 1]) / 2
    assert execution.outputs is not None
    # Cells are rounded to 2^-20: what lies on a threshold may go either way, and nothing does here.
    np.testing.assert_allclose(execution.outputs, wanted * 128, rtol=0, atol=1e-9)


def test_a_device_is_one_file_and_its_numbers(tmp_path: Path) -> None:
    """A module and a file of its numbers; cells of it hold other weights, the same ones from the same seed."""
    accelsim.load_plugin(EXAMPLE / "log_normal.py")
    device = EXAMPLE / "library" / "arch" / "devices" / "log_normal.yaml"
    network = load_workload("tile_frames")
    architecture = load_architecture(
        "memristor_tile",
        {
            "components.crossbar.device": str(device),
            "components.crossbar.wires": "none",
            "components.crossbar.noise": "none",
            "components.adc.ideal": "true",
        },
    )
    codes = np.random.default_rng(0).integers(0, 256, (6, 360)).astype(np.uint8)
    execution = execute(deploy(network, architecture), batch_of(codes, [0, 6]), seed=4)
    cells = load_device(device)
    tiles = program_tiles(network.tensors["weight"], cells.programmer(4), cells.curves(0.6), weight_bits=4)
    inputs = np.clip(codes.astype(int) - 80, -128, 127) / 128
    product = multiply(tiles, dac_codes(inputs, DacTransfer()), adc=AdcTransfer(4, 4, True), noise="off", seed=4)
    assert execution.outputs is not None
    np.testing.assert_array_equal(execution.outputs, product.values * 128)
    exact = (inputs * 128).astype(int) @ network.tensors["weight"].astype(int)
    error = np.abs(execution.outputs - exact).max()
    assert 0 < error < 0.2 * np.abs(exact).max()


GELU = '''
"""GELU by the hyperbolic tangent, as many networks have it: y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
from typing import Literal

import numpy as np

from accelsim.kernels.activation import multiply, tanh
from accelsim.kernels.number import values_of
from accelsim.ops import plain
from accelsim.ops.op import OPS, VectorOp, Work

C, CUBE, HALF, ONE = (np.float32(value) for value in (0.7978846, 0.044715, 0.5, 1))


class GeluTanhOp(VectorOp):
    """y = R(R(x / 2) R(1 + R(tanh(R(c R(x + R(0.044715 R(x R(x x))))))))."""

    op: Literal["gelu_tanh"]
    input: str

    def work(self, read, unit):
        return Work(8, 2)

    def compute(self, read, unit):
        number, x = unit.vector.number, unit.real(read[0])
        cube = multiply(x, multiply(x, x, number), number)
        inner = values_of(C * values_of(x + values_of(CUBE * cube, number), number), number)
        gate = values_of(ONE + tanh(inner, number), number)
        return multiply(values_of(HALF * x, number), gate, number), read[0].starts

    def reference(self, read, tensors, number="float32"):
        def r(value):
            return plain.rounded(value, number)

        x = plain.real(read[0], number)
        inner = r(C * r(x + r(CUBE * r(x * r(x * x)))))
        return r(r(HALF * x) * r(ONE + r(plain.tanh(inner))))


OPS.register("gelu_tanh", GeluTanhOp)
'''
LAYERS = (
    "{name: up, op: linear, input: features, outputs: 16, weight_bits: 8}",
    "{name: gelu, op: gelu_tanh, input: up}",
    "{name: down, op: linear, input: gelu, outputs: 5, weight_bits: 8}",
)


@pytest.mark.parametrize("name", ["conformer_digital28", "edge_npu"])
def test_an_activation_is_one_file(name: str, tmp_path: Path) -> None:
    """GELU on a digital array and on an NPU: they run every op of a vector unit, and count what it says it takes."""
    (tmp_path / "gelu.py").write_text(GELU)
    accelsim.load_plugin(tmp_path / "gelu.py")
    workload = graph(tmp_path / "net", list(LAYERS))
    architecture = chip({}, name)
    execution = run(workload, architecture, [9, 4])
    assert execution.outputs is not None
    number = architecture.components()["vector"].number  # type: ignore[attr-defined]
    tensors, edges = workload.tensors, workload.graph.edges
    signals = {"features": frames(workload, [9, 4]).signal(edges["features"])}
    for op in workload.graph.ops:
        read = [signals[read] for read in op.reads()]
        signals[op.name] = type(read[0])(op.reference(read, tensors, number), read[0].starts, edges[op.name])
    np.testing.assert_array_equal(execution.outputs, signals["down"].values)
    vector = {key: counts for key, counts in execution.activity.counts.items() if key[0] == "gelu"}
    (counted,) = (counts for (_, part), counts in vector.items() if part.startswith("vector"))
    assert int(counted["operation"].sum()) == 8 * 16 * 13 and int(counted["special"].sum()) == 2 * 16 * 13


def run(workload: object, architecture: Architecture, lengths: list[int]) -> Execution:
    """Execute a network, and see that it ends and its books close."""
    deployment = deploy(workload, architecture)  # type: ignore[arg-type]
    execution = execute(deployment, frames(workload, lengths))  # type: ignore[arg-type]
    operate(architecture, deployment.schedule, execution.activity, execution.frames)
    return execution


# In YAML alone


def without_cpu(path: Path, **keys: dict) -> Path:
    """Write `edge_npu` with a memory for the features of a chunk in place of its CPU."""
    data = yaml.safe_load(find("edge_npu", "arch").read_text())
    del data["components"]["cpu"], data["clocks"]["cpu"]
    data["components"]["inputs"] = {"kind": "register_file", "stores": "features", "entries": 4096, "width_bits": 8}
    data["components"] |= keys.get("components", {})
    data["channels"] = [channel for channel in data["channels"] if "cpu" not in (channel["from"], channel["to"])]
    data["channels"] += [{"from": "inputs", "to": "sequencer", "capacity": 1, "latency": 1}]
    data["compiler"] |= keys.get("compiler", {})
    row = {"kind": "register_file", "tag": "estimated", "source": "made up for a test"}
    energy, area, leakage = (
        row | {"value": f"1 {unit}", "low": f"1 {unit}", "high": f"1 {unit}"} for unit in ("pJ", "um2", "nW")
    )
    prices = {
        "schema": "accelsim/cost@1", "name": "npu7_and_registers", "base": "npu7", "node": "7 nm", "voltage": "0.75 V",
        "temperature": "310 K", "energy": [energy | {"action": action} for action in ("read", "write")],
        "area": [area], "leakage": [leakage], "standby": [row | {"included_in": "leakage"}],
    }  # fmt: skip
    path.with_name("prices.yaml").write_text(yaml.safe_dump(prices))
    data["technology"]["cost"] = "prices.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


SHAPE = Streaming(chunk=4, left=6)


def test_a_systolic_array_needs_no_cpu(tmp_path: Path) -> None:
    """A chunk starts when its features are in their memory; the same values, fewer cycles, no copy of a CPU."""
    path = write_graph(tmp_path / "net", SHAPE.layers(), bands=SHAPE.bands, seconds=0.5)
    alone = accelsim.run(without_cpu(tmp_path / "chip.yaml"), path)
    hosted = accelsim.run("edge_npu", path)
    assert not any(component.kind == "cpu" for component in alone.components)
    assert alone.performance.latency_cycles.max < hosted.performance.latency_cycles.max
    workload = graph(tmp_path / "same", SHAPE.layers(), bands=SHAPE.bands)
    jobs = {job.name: job for job in deploy(workload, load_architecture(tmp_path / "chip.yaml")).schedule.jobs}
    assert [name for name, job in jobs.items() if job.paced] == ["load"]
    assert [name for name, job in jobs.items() if job.last] == ["output"]
    # A chunk of 16 frames of 8 bands comes into L2 with the first step, as 8-bit codes.
    assert jobs["c0"].takes == ("dma[0]->sequencer", "inputs->sequencer")
    assert [job.name for job in jobs.values() if getattr(job.work, "received_bits", None)] == ["c0"]
    assert jobs["c0"].work.received_bits == 16 * 8 * 8  # type: ignore[attr-defined]
    outputs = [run(workload, load_architecture(one), [50, 16]).outputs for one in (tmp_path / "chip.yaml", "edge_npu")]
    np.testing.assert_array_equal(*outputs)


def test_without_a_cpu_nothing_falls_back(tmp_path: Path) -> None:
    workload = graph(tmp_path / "net", SHAPE.layers(), bands=SHAPE.bands)
    architecture = load_architecture(without_cpu(tmp_path / "chip.yaml", compiler={"layout": "BSC"}))
    with pytest.raises(InputError, match=r"layer 'c0' \(conv\): the NPU does not take it in layout BSC, and it has no"):
        deploy(workload, architecture)


CODES = (
    "{name: a, op: linear, gives: codes, input: features, outputs: 8, weight_bits: 8, input_offset: 80}",
    "{name: b, op: linear, gives: codes, input: a, outputs: 6, weight_bits: 8, input_scale: 0.01}",
    "{name: c, op: linear, gives: codes, input: b, outputs: 4, weight_bits: 8, input_scale: 0.01}",
)


def arrays(path: Path, number: int, placement: dict[str, dict]) -> Architecture:
    """Write and load a chip of so many arrays of multipliers, each with its weights, joined by channels."""
    names = [f"array{n}" for n in range(number)]
    components: dict[str, dict] = {
        "features": {"kind": "register_file", "stores": "features", "entries": 64, "width_bits": 8,
                     "writes_per_cycle": 12},
    }  # fmt: skip
    for n, name in enumerate(names):
        components[name] = {"kind": "mac_array", "rows": 4, "columns": 4, "input_bits": 8, "weight_bits": 8,
                            "accumulator_bits": 32}  # fmt: skip
        components[f"weights{n}"] = {"kind": "register_file", "stores": "weights", "entries": 512, "width_bits": 8}
    channels = [{"from": f"weights{n}", "to": name, "lockstep": True} for n, name in enumerate(names)]
    channels += [{"from": "features", "to": name} for name in names]
    channels += [{"from": a, "to": b} for a in names for b in names if a != b]
    data = {
        "schema": "accelsim/arch@1", "name": "arrays", "workload": "none",
        "clocks": {"main": {"frequency": "100 MHz"}},
        "technology": {"cost": "cmos28", "voltage": "0.9 V", "temperature": "300 K"},
        "pacing": {"mode": "back_to_back"}, "components": components, "channels": channels,
    }  # fmt: skip
    if number > 1:
        data["engines"] = {name: {"kind": "digital", "parts": {"array": name, "weights": f"weights{n}"}}
                           for n, name in enumerate(names)}  # fmt: skip
        data["placement"] = placement
    path.write_text(yaml.safe_dump(data))
    return load_architecture(path)


def test_an_array_of_multipliers_needs_no_cpu_and_two_stand_on_one_chip(tmp_path: Path) -> None:
    """An array and its weights are a chip; two of them work on different frames, and give what one gives."""
    workload = graph(tmp_path / "net", list(CODES))
    one = arrays(tmp_path / "one.yaml", 1, {})
    two = arrays(tmp_path / "two.yaml", 2, {"a": {"engine": "array0"}, "[bc]": {"engine": "array1"}})
    finished, outputs = [], []
    for architecture in (one, two):
        deployment = deploy(workload, architecture)
        execution = execute(deployment, frames(workload, [9]))
        outcome = operate(architecture, deployment.schedule, execution.activity, execution.frames)
        finished.append(outcome.timeline.finished_ps[-1])
        outputs.append(execution.outputs)
        busy = {name: states["busy"] for name, states in outcome.ledger.cycles.items()}
    np.testing.assert_array_equal(*outputs)
    assert finished[1] < finished[0]
    # By hand, in blocks of 4 x 4: a has 3 x 2 for its 12 x 8 weights, b 2 x 2 for 8 x 6, c 2 for 6 x 4; 9 frames.
    assert (busy["array0"], busy["array1"]) == (9 * 6, 9 * (4 + 2))


def test_of_two_arrays_one_must_be_named(tmp_path: Path) -> None:
    workload = graph(tmp_path / "net", list(CODES))
    with pytest.raises(InputError, match=r"layers 'b', 'c' \(linear\) could run on 'array0' and on 'array1'"):
        deploy(workload, arrays(tmp_path / "two.yaml", 2, {"a": {"engine": "array0"}}))


def test_one_array_takes_no_layer_that_needs_later_frames_of_another(tmp_path: Path) -> None:
    """It does a frame's layers in turn; two arrays can, the second one then works some frames behind the first."""
    layers = [
        "{name: a, op: conv, gives: codes, input: features, channels: 1, weight_bits: 8, input_offset: 80}",
        "{name: b, op: conv, gives: codes, input: a, channels: 1, weight_bits: 8, input_scale: 0.01}",
    ]
    workload = graph(tmp_path / "net", layers)
    with pytest.raises(InputError, match=r"layer 'b' needs later frames of layers before it, and 'array0' does"):
        deploy(workload, arrays(tmp_path / "one.yaml", 1, {}))
    two = arrays(tmp_path / "two.yaml", 2, {"a": {"engine": "array0"}, "b": {"engine": "array1"}})
    deployment = deploy(workload, two)
    assert [window.ahead for window in deployment.schedule.windows.values()] == [1, 1]
