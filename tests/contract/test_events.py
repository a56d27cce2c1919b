"""No value that does not fit goes unnoticed: it is counted, or the chip is refused before it runs.

`WIDTHS` says of every key of every kind of component that gives a width or a format what becomes of values that need
more, and the tests see it happen. A new kind, or a new key, that is not listed fails `test_every_width_is_listed`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import batch_of, text
from graphs import Streaming, graph, tile_keys

import accelsim
from accelsim.architecture import load_architecture
from accelsim.components import KINDS
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import Execution, execute, service_of
from accelsim.errors import InputError
from accelsim.schedule.job import part_of
from accelsim.workload import Workload

WIDTH = re.compile(r"(^|_)bits$|^number$|^accumulator$")
"""Keys that say how many bits a word has."""


@dataclass(frozen=True)
class Net:
    """A network, and frames for it: as many bands, all of one code or random ones."""

    chip: str
    layers: Sequence[str]
    keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    bands: int = 12
    code: int | None = 255
    frames: int = 64
    tensors: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Tensors, broadcast from what stands here."""
    steps: int = 1

    def run(self, folder: Path, keys: Mapping[str, Any]) -> tuple[Deployment, Execution]:
        """Deploy it on its chip with some keys changed, and compute it."""
        network = self.network(folder)
        chip = load_architecture(self.chip, {key: text(value) for key, value in {**self.keys, **keys}.items()})
        deployment = deploy(network, chip)
        codes = np.random.default_rng(0).integers(0, 256, (self.frames, self.bands)).astype(np.uint8)
        if self.code is not None:
            codes[:] = self.code
        return deployment, execute(deployment, batch_of(codes, [0, self.frames]))

    def network(self, folder: Path) -> Workload:
        made = graph(folder, self.layers, bands=self.bands)
        tensors = {
            name: np.full_like(tensor, self.tensors[name]) if name in self.tensors else tensor
            for name, tensor in made.tensors.items()
        }
        return dataclasses.replace(made, tensors=tensors)


TILES = Net(
    "memristor_tile",
    ["{name: y, op: linear, input: features, gives: codes, outputs: 20, weight_bits: 4, input_offset: 128}"],
    tensors={"y.weight": 7},
)
THREE_TILES = dataclasses.replace(TILES, layers=[TILES.layers[0].replace("outputs: 20", "outputs: 300")])
CLUSTERS = Net(
    "memristor_conformer",
    ["{name: y, op: linear, input: features, outputs: 20, weight_bits: 4}", "{name: z, op: relu, input: y}"],
    {**tile_keys(digital=()), "components.activations.banks": 2, "components.activations.rows": 65536},
    tensors={"y.weight": 7},
)
CODES = Net(
    "memristor_conformer",
    ["{name: y, op: linear, input: features, outputs: 20, output: {scale: 0.05, zero_point: 3}}"],
    {**tile_keys(digital=()), "components.activations.banks": 2, "components.activations.rows": 65536},
)
NPU_CODES = dataclasses.replace(CODES, chip="edge_npu", keys={})
SPIKES = Net(
    "rsnn28nm",
    [
        "{name: l0, op: lif, input: features, neurons: 20, weight_bits: 4, beta: 0.5, threshold: 3, reset: subtract}",
        "{name: y, op: spike_sum, input: l0, neurons: 20, weight_bits: 4}",
    ],
    tensors={"l0.weight": 7, "l0.recurrent_weight": 7, "y.weight": 7},
)
CURRENTS = Net(
    "tiles_and_pes",
    [
        "{name: x, op: linear, input: features, gives: codes, outputs: 20, weight_bits: 4, input_offset: 128}",
        "{name: l0, op: lif, input: x, neurons: 20, feedforward: false, weight_bits: 4, beta: 0.5, threshold: 3, "
        "reset: zero}",
        "{name: y, op: spike_sum, input: l0, neurons: 20, weight_bits: 4}",
    ],
    tensors={"x.weight": 7},
)
KERNELS = "{name: y, op: s4d, input: features, kernels: 1, states: 3, weight_bits: 2, scale: 0.6, input_offset: 128, "
ARRAY = Net("s4d_digital28", [KERNELS + "output_gain: 90.0}"], bands=1, tensors={"y.b": 1, "y.c": (1, 0)})
STATES = dataclasses.replace(ARRAY, chip="imssa28")
VECTORS = Net(
    "conformer_digital28",
    [
        "{name: x, op: linear, input: features, outputs: 36}",
        "{name: n, op: layer_norm, input: x}",
        "{name: y, op: silu, input: n}",
    ],
    code=None,
)
ATTENDING = dataclasses.replace(
    VECTORS,
    layers=[
        "{name: x, op: linear, input: features, outputs: 36}",
        "{name: n, op: layer_norm, input: x}",
        "{name: y, op: attention, input: n, heads: 2}",
    ],
    frames=20,
)
NPU = Net("edge_npu", Streaming().layers(), bands=8, code=None)
NPU_VECTORS = dataclasses.replace(
    VECTORS, chip="edge_npu", layers=[f"{VECTORS.layers[0][:-1]}, weight_bits: 16}}", *VECTORS.layers[1:]]
)
EDRAM = dataclasses.replace(TILES, chip="isaac_tile")
MESH = {"components.tile_bus": "{kind: mesh, columns: 3, rows: 1, width_bits: %d, length: 0.5 mm}"}


@dataclass(frozen=True)
class Refused:
    """The chip does not take the network: with which keys, and what it says."""

    net: Net
    keys: Mapping[str, Any]
    message: str

    def check(self, folder: Path) -> None:
        with pytest.raises(InputError, match=self.message):
            self.net.run(folder, self.keys)


@dataclass(frozen=True)
class Counted:
    """Narrower words saturate more often, and each time is counted; ``faults``: as exceptions of numbers, not words."""

    net: Net
    narrow: Mapping[str, Any]
    wide: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    where: str = "saturations"
    tensors: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def check(self, folder: Path) -> None:
        net = dataclasses.replace(self.net, tensors={**self.net.tensors, **self.tensors})
        narrow, wide = (events(net.run(folder, keys)[1])[self.where] for keys in (self.narrow, self.wide))
        assert narrow > wide, (narrow, wide)


@dataclass(frozen=True)
class Slower:
    """The values are the same, and take more words of the component."""

    net: Net
    part: str
    narrow: Mapping[str, Any]
    wide: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def check(self, folder: Path) -> None:
        (narrow, slow), (wide, fast) = (self.net.run(folder, keys) for keys in (self.narrow, self.wide))
        np.testing.assert_array_equal(slow.outputs, fast.outputs)
        assert busy(narrow, slow, self.part) > busy(wide, fast, self.part)


@dataclass(frozen=True)
class Other:
    """The key says something else; why."""

    reason: str

    def check(self, folder: Path) -> None:
        assert len(self.reason) > 20


def events(execution: Execution) -> dict[str, int]:
    """Return everything that was counted of a run, added up over its layers."""
    activity = execution.activity
    found = {
        "saturations": sum(activity.saturations.values()),
        "clipped": sum(clipped for _, clipped in activity.conversions.values()),
    }
    for kind in ("overflow", "underflow", "infinity", "nan"):
        found[kind] = sum(faults.get(kind, 0) for faults in activity.exceptions.values())
    return found


def busy(deployment: Deployment, execution: Execution, part: str) -> int:
    """Return the busy cycles of a component and its copies."""
    service = service_of(deployment.schedule, deployment.chip, execution.activity)
    return sum(int(np.sum(cycles)) for (_, member), cycles in service.items() if part_of(member) == part)


def bits(part: str, width: int, key: str = "width_bits") -> dict[str, int]:
    return {f"components.{part}.{key}": width}


HOLD_NO_CODE = "the {0}-bit words of '{1}' do not hold a code of 8 bits"
LARGE, SMALL = {"n.gain": 6e4}, {"n.gain": 1e-6}
FLOAT16 = {"components.vector.number": "float16"}
FLOAT32 = {"components.vector.number": "float32", "components.vector.accumulator": "float32"}

WIDTHS: Mapping[tuple[str, str], Sequence[Refused | Counted | Slower | Other]] = {
    ("accumulator", "width_bits"): [
        Refused(TILES, bits("accumulator", 2), HOLD_NO_CODE.format(2, "accumulator")),
        Counted(TILES, bits("accumulator", 8), bits("accumulator", 24)),
        Counted(CLUSTERS, bits("accumulator", 8), bits("accumulator", 24)),
        Counted(SPIKES, bits("fc_accumulator", 4), bits("fc_accumulator", 16)),
        Refused(ARRAY, bits("readout", 2), "the 2-bit sums of 'readout' do not hold a 8-bit output of 'y'"),
        Refused(ARRAY, bits("readout", 9), "add up to .*, the 9-bit sums of 'readout' hold 255"),
        Refused(STATES, bits("readout", 2), "the 2-bit sums of 'readout' do not hold a 8-bit output of 'y'"),
        Refused(STATES, bits("readout", 9), "add up to .*, the 9-bit sums of 'readout' hold 255"),
    ],
    ("adc", "precision_bits"): [Other("a coarser step rounds, it clips nothing: the range says what clips")],
    ("adc", "range_bits"): [
        Counted(TILES, bits("adc", 1, "range_bits"), bits("adc", 8, "range_bits"), "clipped"),
        Refused(STATES, bits("adc", 7, "range_bits"), "it has codes of 8 bits, 'adc' of 7"),
    ],
    ("attention_engine", "number"): [
        Counted(
            ATTENDING, {"components.attention.number": "float16", "components.vector.number": "float32"},
            {"components.attention.number": "float32", "components.vector.number": "float32"}, "overflow", LARGE,
        ),
    ],
    ("bus", "width_bits"): [
        Slower(TILES, "tile_bus", bits("tile_bus", 8), bits("tile_bus", 256)),
        Slower(CLUSTERS, "bus", bits("bus", 8), bits("bus", 256)),
        Slower(SPIKES, "weight_bus", bits("weight_bus", 64), bits("weight_bus", 512)),
        Slower(CURRENTS, "tile_bus", bits("tile_bus", 8), bits("tile_bus", 256)),
    ],
    ("cpu", "copy_bits_per_cycle"): [Other("its name ends otherwise, and a copy takes more cycles: ('cpu', ..) below")],
    ("crossbar", "cell_bits"): [
        Refused(TILES, bits("crossbar", 1, "planes"), "layer 'y' has 4-bit weights, 3 planes; 'crossbar' has 1"),
    ],
    ("dac", "bits"): [
        Refused(TILES, bits("dac", 4, "bits"), "layer 'y' has 8-bit inputs, 'dac' takes 4"),
        Refused(CODES, bits("dac", 7, "bits"), "layer 'y' has 8-bit inputs, 'dac' takes 7"),
        Refused(STATES, bits("dac", 7, "bits"), "it has codes of 8 bits, 'dac' of 7"),
    ],
    ("dma", "width_bits"): [Slower(NPU, "dma", bits("dma", 8), bits("dma", 128))],
    ("dram", "width_bits"): [Slower(NPU, "lpddr", bits("lpddr", 8), bits("lpddr", 64))],
    ("edram", "width_bits"): [
        Refused(EDRAM, bits("edram", 7), "8-bit features do not fit the words of 'edram'"),
    ],
    ("edram", "port_bits"): [Slower(EDRAM, "edram", bits("edram", 8, "port_bits"), bits("edram", 256, "port_bits"))],
    ("l2", "width_bits"): [Slower(NPU, "l2", bits("l2", 64), bits("l2", 128))],
    ("lif", "membrane_bits"): [
        Refused(SPIKES, bits("lif", 24, "membrane_bits"), "'membranes' has words of 16 bits for the 24-bit membranes"),
        Refused(SPIKES, bits("lif", 65, "membrane_bits"), "must be at most 32, found 65"),
        Counted(SPIKES, bits("lif", 4, "membrane_bits"), bits("lif", 16, "membrane_bits")),
    ],
    ("mac_array", "accumulator_bits"): [
        Refused(ARRAY, bits("array", 9, "accumulator_bits"), "sums up to .*, the 9-bit sums of 'array' hold 255"),
        Refused(VECTORS, bits("array", 2, "accumulator_bits"), "sums up to .*, the 2-bit sums of 'array' hold 1"),
    ],
    ("mac_array", "input_bits"): [Refused(ARRAY, bits("array", 7, "input_bits"), "has 8-bit inputs, 'array' takes 7")],
    ("mac_array", "weight_bits"): [
        Refused(ARRAY, bits("array", 1, "weight_bits"), "has 2-bit weights, 'array' takes 1"),
    ],
    ("mesh", "width_bits"): [
        Slower(
            THREE_TILES, "tile_bus", {key: value % 8 for key, value in MESH.items()},
            {key: value % 64 for key, value in MESH.items()},
        ),
    ],
    ("pe_array", "accumulator_bits"): [
        Refused(SPIKES, bits("pe", 2, "accumulator_bits"), "the 2-bit accumulators of 'pe' hold no 4-bit weight"),
        Refused(SPIKES, bits("pe", 65, "accumulator_bits"), "must be at most 32, found 65"),
        Counted(SPIKES, bits("pe", 5, "accumulator_bits"), bits("pe", 14, "accumulator_bits")),
    ],
    ("pe_array", "weight_bits"): [
        Refused(SPIKES, bits("pe", 3, "weight_bits"), "has 4-bit weights, the PEs of 'pe' take 3"),
    ],
    ("register_file", "width_bits"): [
        Refused(TILES, bits("input_buffer", 7), "8-bit features do not fit the words of 'input_buffer'"),
        Refused(TILES, bits("tile_inputs", 7), HOLD_NO_CODE.format(7, "tile_inputs")),
        Refused(CLUSTERS, bits("tile_inputs", 7), HOLD_NO_CODE.format(7, "tile_inputs")),
        Refused(TILES, bits("tile_outputs", 7), HOLD_NO_CODE.format(7, "tile_outputs")),
        Counted(TILES, bits("tile_outputs", 8), bits("tile_outputs", 16)),
        Refused(SPIKES, bits("membranes", 15), "'membranes' has words of 15 bits for the 16-bit membranes"),
        Counted(CURRENTS, bits("currents", 4), bits("currents", 24)),
        Refused(
            ARRAY, {**bits("weights", 1), "components.weights.entries": 20},
            "the weights take 36 words of 'weights', which has 20",
        ),
        Refused(ARRAY, bits("state_registers", 7), "8-bit states do not fit the words of 'state_registers'"),
        Refused(STATES, bits("state_registers", 7), "8-bit states do not fit the words of 'state_registers'"),
        Refused(STATES, bits("output_registers", 7), "8-bit outputs do not fit the words of 'output_registers'"),
    ],
    ("router", "flit_bits"): [Other("no engine sends anything over a router: it draws its power all the time")],
    ("shift_add", "width_bits"): [
        Refused(TILES, bits("shift_add", 2), HOLD_NO_CODE.format(2, "shift_add")),
        Counted(TILES, bits("shift_add", 8), bits("shift_add", 16)),
        Counted(CLUSTERS, bits("shift_add", 8), bits("shift_add", 16)),
        Counted(EDRAM, bits("shift_add", 8), bits("shift_add", 32)),
    ],
    ("sram", "width_bits"): [
        Slower(SPIKES, "weights_fc", bits("weights_fc", 64), bits("weights_fc", 512)),
        Slower(VECTORS, "activations", bits("activations", 64), bits("activations", 256)),
        Slower(VECTORS, "weights", bits("weights", 64), bits("weights", 512)),
        Slower(CLUSTERS, "activations", bits("activations", 64), bits("activations", 256)),
    ],
    ("systolic_array", "number"): [
        Refused(NPU, {"components.array.number": "int8", "components.array.accumulator": "int32"}, "multiplies int8"),
        Counted(NPU_VECTORS, {}, FLOAT32, "overflow", {"x.weight": 6e4}),
    ],
    ("systolic_array", "accumulator"): [
        Refused(NPU_CODES, {"components.array.accumulator": "float16"}, "sums up to .*, float16 sums of 'array' hold"),
        Counted(
            NPU_VECTORS, {**FLOAT32, "components.array.accumulator": "float16"}, FLOAT32, "overflow", {"x.weight": 6e4}
        ),
    ],
    ("vector_unit", "number"): [
        *(
            Counted(net, FLOAT16, {"components.vector.number": "float32"}, where, {"n.gain": gain})
            for net in (VECTORS, NPU_VECTORS)
            for where, gain in (("overflow", 6e4), ("infinity", 6e4), ("nan", 6e4), ("underflow", 1e-6))
        ),
        Counted(
            CLUSTERS, FLOAT16, {"components.vector.number": "float32"}, "overflow",
            {"y.weight_scale": 1e4, "y.output_scale": 1e4},
        ),
    ],
    ("vector_unit", "accumulator"): [
        Counted(
            NPU_VECTORS, {"components.vector.accumulator": "float16", "components.vector.norm": "plain"},
            {"components.vector.accumulator": "float32", "components.vector.norm": "plain"},
            "overflow", {"x.bias": 3e4, "x.weight": 0},
        ),
    ],
}  # fmt: skip

CASES = [
    pytest.param(case, id=f"{kind}.{key}.{place}")
    for (kind, key), cases in WIDTHS.items()
    for place, case in enumerate(cases)
]


def test_every_width_is_listed() -> None:
    found = {
        (name, key)
        for name, kind in KINDS.loaded().items()
        if kind.spec.__module__.startswith("accelsim.components")
        for key in kind.spec.model_fields
        if WIDTH.search(key)
    }
    assert found == WIDTHS.keys() - {("cpu", "copy_bits_per_cycle")}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_noticed(case: Refused | Counted | Slower | Other, tmp_path: Path) -> None:
    case.check(tmp_path)


IN_REAL_TIME = {"pacing": "{mode: real_time, frame_period: 10 ms}", "operating_points": "{}"}
LATE = {
    "tiles": (TILES, IN_REAL_TIME, "clocks.main.frequency"),
    "clusters": (CLUSTERS, IN_REAL_TIME, "clocks.main.frequency"),
    "spikes": (SPIKES, {"operating_points": "{}"}, "clocks.main.frequency"),
    "array": (ARRAY, IN_REAL_TIME, "clocks.main.frequency"),
    "states": (STATES, IN_REAL_TIME, "clocks.main.frequency"),
    "vectors": (VECTORS, {**IN_REAL_TIME, "placement": "{'*': {batch: 1}}"}, "clocks.main.frequency"),
    "npu": (NPU_VECTORS, IN_REAL_TIME, "clocks.npu.frequency"),
}


@pytest.mark.parametrize("name", LATE)
def test_late_frames_are_counted_on_every_engine(name: str, tmp_path: Path) -> None:
    """At the chip's own clock none is late; at a clock so slow that a frame takes longer than its period, all are."""
    net, keys, clock = LATE[name]
    net.network(tmp_path)
    path = str(tmp_path / "workload.yaml")
    shared = {key: text(value) for key, value in {**net.keys, **keys}.items()}
    late = accelsim.run(net.chip, path, overrides={**shared, clock: "100 Hz"}).performance
    assert late.deadline_misses == late.frames > 0
    assert accelsim.run(net.chip, path, overrides=shared).performance.deadline_misses == 0
