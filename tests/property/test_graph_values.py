"""Values of graphs on memristor tiles: exact where cells and converters are, else those of plain NumPy."""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from graphs import IDEAL, ON_TILES, Shape, chip, frames, graph, shapes, tile_keys
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_graph_tiles import PlainTiles, depthwise

from accelsim.devices import load_device
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import Execution, execute
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.crossbar import program_tiles
from accelsim.kernels.number import Arithmetic
from accelsim.kernels.read_power import depthwise_power, read_power
from accelsim.ops.op import FEATURES, Datapath, WeightedOp, evaluate
from accelsim.workload import Workload

FLOAT32 = {"components.vector.number": "float32", "components.attention.number": "float32"}
LENGTHS = (7, 1, 4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays of a few frames: a second thread would only be waited for."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def network(layers: Sequence[str] | Shape, *, bands: int = 12) -> Workload:
    with tempfile.TemporaryDirectory() as folder:
        return graph(Path(folder), layers, bands=bands)


def run(
    workload: Workload, keys: dict[str, Any], lengths: Sequence[int] = LENGTHS, *, seed: int = 0, of: str = ""
) -> Execution:
    architecture = chip(keys, of or "memristor_conformer")
    return execute(deploy(workload, architecture), frames(workload, lengths), seed=seed)


def values(workload: Workload, sums: Any = None, number: Any = "float16", lengths: Sequence[int] = LENGTHS):
    """Return the outputs of the graph alone, on any sums of products."""
    net = workload.graph
    signals = {FEATURES: frames(workload, lengths).signal(net.edges[FEATURES])}
    evaluate(net.ops, signals, net.edges, Datapath(workload.tensors, Arithmetic(number), multiplier=sums))
    return signals[net.last.name].values


def placement(copies: int, *digital: str) -> dict[str, str]:
    """Return a placement of so many copies, with some layers on the digital array."""
    said = [ON_TILES, f"'*': {{copies: {copies}}}", *(f"'{layer}': {{engine: digital}}" for layer in digital)]
    return {"placement": f"{{{', '.join(said)}}}"}


@settings(max_examples=30)
@given(
    shape=shapes(),
    cell_bits=st.integers(1, 2),
    sign=st.sampled_from(["pair", "pair", "offset"]),
    copies=st.integers(1, 3),
    dac=st.sampled_from([("amplitude", 8), ("amplitude", 10), ("bit_serial", 8), ("bit_serial", 9)]),
    clusters=st.sampled_from([1, 2, 4]),
    number=st.sampled_from(["float16", "float32"]),
)
def test_ideal_parts_are_exact(shape, cell_bits, sign, copies, dac, clusters, number) -> None:
    """To the last bit, whatever the network and however it lies: as integers alone, and as the digital chip has it.

    Columns of a depthwise convolution have no offset column to share, so there they are digital.
    """
    workload = network(shape)
    digital = matrices(workload, "front.conv*", "*depthwise" if sign == "offset" else "")
    keys = {
        **tile_keys(tiles=300, planes=8, clusters=clusters), **IDEAL, **placement(copies, *digital),
        "components.crossbar.cell_bits": cell_bits, "components.crossbar.sign": sign,
        "components.dac.mode": dac[0], "components.dac.bits": dac[1],
        "components.vector.number": number, "components.attention.number": number,
    }  # fmt: skip
    found = run(workload, keys)
    assert found.outputs is not None and found.exact is not None
    np.testing.assert_array_equal(found.outputs, values(workload, number=number))
    np.testing.assert_array_equal(found.exact(), found.outputs)
    numbers = {key: value for key, value in keys.items() if key.endswith(".number")}
    on_array = run(workload, numbers, of="conformer_digital28")
    assert on_array.outputs is not None
    np.testing.assert_array_equal(found.outputs, on_array.outputs)
    assert found.activity.saturations == on_array.activity.saturations


def matrices(workload: Workload, *patterns: str) -> list[str]:
    """Return the layers with weights that the patterns name."""
    names = [op.name for op in workload.graph.ops if isinstance(op, WeightedOp)]
    return [name for pattern in patterns for name in fnmatch.filter(names, pattern)]


@pytest.mark.parametrize(("mode", "precision"), [("amplitude", 7), ("bit_serial", 0)])
@pytest.mark.parametrize("cell_bits", [1, 2])
def test_converters_that_hold_every_sum_are_exact(mode: str, precision: int, cell_bits: int) -> None:
    """Of ideal cells a column's sum is a multiple of 1 / 128, of a phase of single bits a whole number, and at most
    64 rows (2^cell_bits - 1): so 7 bits after the point, or none, and 7 or 9 before it with the sign. A bit less on
    either side is not enough.
    """
    layers = ["{name: y, op: linear, input: features, outputs: 3, weight_bits: 3}"]
    workload = network(layers, bands=64)
    workload.tensors["y.weight"][:] = 3
    workload.tensors["y.input_scale"][()] = workload.spec.feature_scale
    integers = 1 + 6 + (0 if cell_bits == 1 else 2)
    outcomes = {}
    for name, p, r in (
        ("enough", precision, integers),
        ("coarse", precision - 1, integers),
        ("clips", precision, integers - 1),
    ):
        if p < 0:
            continue
        keys = {
            **tile_keys(), **IDEAL, **FLOAT32, "placement": f"{{{ON_TILES}}}",
            "components.crossbar.cell_bits": cell_bits, "components.dac.mode": mode, "components.adc.ideal": False,
            "components.adc.precision_bits": p, "components.adc.range_bits": r,
        }  # fmt: skip
        architecture, batch = chip(keys), frames(workload, [3])
        batch.features[0], batch.features[1] = 255, 80
        batch.features[1, 0] = 81  # sums of 64 * 127 / 128, the largest, and 1 / 128, the smallest
        found = execute(deploy(workload, architecture), batch)
        outcomes[name] = found
        exact = np.clip(batch.features.astype(int) - 80, -127, 127) @ workload.tensors["y.weight"].astype(int)
        scale = np.float32(workload.tensors["y.input_scale"] * workload.tensors["y.weight_scale"])
        wanted = exact.astype(np.float32) * scale + workload.tensors["y.bias"]
        assert np.array_equal(found.outputs, wanted) == (name == "enough"), name
    assert outcomes["enough"].activity.conversions["y"][1] == 0 < outcomes["clips"].activity.conversions["y"][1]


SMALL = Shape(positions="relative", width=12, feed_forward=70, heads=3)
FRONT_AND_END = ON_TILES + ", front.*: {engine: digital}, output: {engine: digital}"
NOISY = {**tile_keys(clusters=1), "placement": f"{{'*.linear1': {{copies: 2}}, {FRONT_AND_END}}}"}


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads() -> None:
    workload = network(SMALL)
    one = run(workload, NOISY, seed=5)
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    many, other = run(workload, NOISY, seed=5), run(workload, NOISY, seed=6)
    np.testing.assert_array_equal(one.outputs, many.outputs)
    assert one.activity.conversions == many.activity.conversions
    for key, counts in one.activity.counts.items():
        assert all(np.array_equal(each, many.activity.counts[key][name]) for name, each in counts.items()), key
    assert (one.outputs != other.outputs).mean() > 0.5


@pytest.mark.parametrize("positions", ["relative", "learnable_no_linear"])
def test_utterances_do_not_see_each_other(positions: Any) -> None:
    """Without read noise an utterance comes out the same beside any others; with it, it has draws of its own."""
    workload = network(replace(SMALL, positions=positions, kernel=5))
    quiet = {**tile_keys(), "components.crossbar.device": "gaussian", "components.crossbar.noise": "none"}
    together = run(workload, quiet, [6, 9, 3]).outputs
    assert together is not None
    first, more = run(workload, quiet, [6]).outputs, run(workload, quiet, [6, 9]).outputs
    np.testing.assert_array_equal(first, together[:6])
    np.testing.assert_array_equal(more, together[:15])
    cut = run(workload, quiet, [6, 8]).outputs
    assert cut is not None and not np.array_equal(cut[6:14], together[6:14]), "its own last frame it does see"


PLAIN = [
    ("synaptogen", "pair", 1, "amplitude", 1),
    ("gaussian", "pair", 2, "bit_serial", 2),
    ("gaussian", "offset", 1, "amplitude", 1),
]


@pytest.mark.parametrize(("device", "sign", "cell_bits", "mode", "copies"), PLAIN)
def test_tiles_are_the_plain_reference(device: str, sign: str, cell_bits: int, mode: str, copies: int) -> None:
    """Every layer of a graph, one cell array after the other, to the last bit; the power of the cells to a nanowatt.

    A pair of depthwise cells is known to 1 / 2 total_scale of a state, for its power alone: 0.1 % of a layer's.
    """
    shape = Shape(width=12, feed_forward=70, heads=2, weight_bits=3, positions="relative", kernel=4, outputs=3)
    workload = network(shape)
    digital = ["*depthwise"] if sign == "offset" else []
    keys = {
        **tile_keys(planes=8, clusters=1), **FLOAT32, **placement(copies, *digital),
        "components.crossbar.device": device,
        "components.crossbar.sign": sign, "components.crossbar.cell_bits": cell_bits, "components.dac.mode": mode,
        "components.crossbar.noise": "none", "components.adc.range_bits": 3,
        # The plain reference has words of any width; those that saturate are in reference_tile.in_words.
        "components.shift_add.width_bits": 32, "components.accumulator.width_bits": 40,
    }  # fmt: skip
    found = run(workload, keys, [4, 1], seed=3)
    plain = PlainTiles(workload, chip(keys), seed=3)
    np.testing.assert_array_equal(found.outputs, values(workload, plain.sums, "float32", [4, 1]))
    assert not np.array_equal(found.outputs, values(workload, None, "float32", [4, 1]))
    phases = 8 if mode == "bit_serial" else 1
    for layer, watts in plain.watts.items():
        reads = [c for (job, part), c in found.activity.counts.items() if part.startswith("crossbar") and
                 job.startswith((f"{layer}.read", f"{layer}/"))]  # fmt: skip
        nanowatts = sum(int(read["read_nanowatt"].sum()) for read in reads)
        tolerance = 1e-3 * watts.sum() * 1e9 if layer.endswith("depthwise") else 1e-6 * watts.sum() * 1e9 + len(watts)
        assert nanowatts == pytest.approx(phases * watts.sum() * 1e9, abs=phases * tolerance), layer
    assert len(plain.watts) == 12 - len(digital)


def test_power_is_booked_in_the_frame_of_its_rows() -> None:
    """Two rows of a layer before a pool are of one frame, and of none where the pool drops them."""
    layers = [
        "{name: a, op: linear, input: features, outputs: 8}",
        "{name: pool, op: max_pool, input: a, size: [2, 1]}",
        "{name: y, op: linear, input: pool, outputs: 3}",
    ]
    workload, lengths = network(layers), [5, 1, 4]
    keys = {**tile_keys(planes=8), **FLOAT32, "placement": f"{{{ON_TILES}}}", "components.crossbar.device": "gaussian",
            "components.crossbar.noise": "none"}  # fmt: skip
    counts = run(workload, keys, lengths).activity.counts
    plain = PlainTiles(workload, chip(keys), seed=0)
    values(workload, plain.sums, "float32", lengths)
    watts = plain.watts["a"]
    wanted = np.array([watts[0:2].sum(), watts[2:4].sum(), watts[6:8].sum(), watts[8:10].sum()]) * 1e9
    np.testing.assert_allclose(counts["a.read.0", "crossbar[a]"]["read_nanowatt"], wanted, rtol=1e-6, atol=1)
    np.testing.assert_allclose(counts["y.read.0", "crossbar[y]"]["read_nanowatt"], plain.watts["y"] * 1e9, rtol=1e-6)


@settings(max_examples=15)
@given(
    taps=st.integers(1, 9),
    channels=st.integers(1, 70),
    bits=st.integers(2, 8),
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    copies=st.integers(1, 3),
)
def test_depthwise_on_ideal_tiles_is_exact(taps, channels, bits, lengths, copies) -> None:
    layers = [f"{{name: y, op: depthwise, input: features, taps: {taps}, weight_bits: {bits}}}"]
    workload = network(layers, bands=channels)
    keys = {**tile_keys(), **IDEAL, **FLOAT32, **placement(copies)}
    codes = np.clip(frames(workload, lengths).features.astype(int) - 80, -127, 127)
    workload.tensors["y.input_scale"][()] = workload.spec.feature_scale
    sums = depthwise(codes, workload.tensors["y.weight"].astype(int), np.cumsum([0, *lengths]))
    scale = np.float32(workload.tensors["y.input_scale"] * workload.tensors["y.weight_scale"])
    wanted = sums.astype(np.float32) * scale + workload.tensors["y.bias"]
    np.testing.assert_array_equal(run(workload, keys, lengths).outputs, wanted)


@settings(max_examples=20)
@given(
    rows=st.integers(1, 20),
    outputs=st.integers(1, 6),
    bits=st.integers(2, 5),
    cell_bits=st.integers(1, 2),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
    device=st.sampled_from(["ideal", "gaussian", "synaptogen"]),
    seed=st.integers(0, 99),
)
def test_power_is_the_plain_sum_over_all_cells(rows, outputs, bits, cell_bits, mode, device, seed) -> None:
    """P = sum V I over every cell of every array, one at a time: of a tile's shared rows, and of depthwise columns.

    States are those that the device gave. A tile keeps the sum of the two states of a depthwise pair in steps of
    1 / total_scale, so its power may be off by half a step of the cells' range for each of them.
    """
    generator = np.random.default_rng(seed)
    top = 2 ** (bits - 1) - 1
    weights, dac = generator.integers(-top, top + 1, (rows, outputs)), DacTransfer(6, mode=mode)
    made = load_device(device)
    curves = made.curves(0.6, cell_bits)
    arrays: dict[int, np.ndarray] = {}

    def program(levels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        states = made.program(levels, numbers, seed=seed, cell_bits=cell_bits).states
        arrays.update(zip(numbers.tolist(), states.astype(float), strict=True))
        return states

    def watts(code: int, r: float) -> float:
        """Return V I of one cell, the mean over the phases of a code."""
        bits = [np.sign(code) * (abs(code) >> phase & 1) for phase in range(6)]
        volts = [step * 0.6 for step in ([code / 32] if mode == "amplitude" else bits)]
        currents = [np.polyval(curves.low, v) * (1 - r) + np.polyval(curves.high, v) * r for v in volts]
        return sum(v * i for v, i in zip(volts, currents, strict=True)) / len(volts)

    options = {"weight_bits": bits, "cell_bits": cell_bits, "tile_rows": rows, "tile_columns": 8}
    tiles = program_tiles(weights, program, curves, **options)
    codes = generator.integers(-32, 33, rows).astype(np.int16)
    by_hand = sum(watts(int(codes[i]), r[i, j]) for r in arrays.values() for i in range(rows) for j in range(8))
    assert read_power(tiles, codes[None], dac)[0] == pytest.approx(by_hand, rel=1e-6)

    windows = generator.integers(-32, 33, (rows, outputs)).astype(np.int16)
    driven = [(int(windows[i, c]), r[i, c]) for r in arrays.values() for i in range(rows) for c in range(outputs)]
    by_hand = sum(watts(code, r) for code, r in driven)
    half_a_step = 0.25 / tiles.total_scale
    off = sum(abs(watts(code, 1.0) - watts(code, 0.0)) for code, _ in driven) * half_a_step
    assert depthwise_power(tiles, windows, dac)[0] == pytest.approx(by_hand, rel=1e-6, abs=off * 1.001)
