"""How a layer is placed changes where and when it is computed; with ideal parts never what comes out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of, tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tiles_cycles import run_timing, write_layer

from accelsim.architecture import load_architecture
from accelsim.devices import load_device
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import Execution, execute
from accelsim.errors import InputError
from accelsim.kernels.converters import AdcTransfer, DacTransfer, dac_codes
from accelsim.kernels.crossbar import program_tiles
from accelsim.kernels.product import multiply
from accelsim.workload import load_workload

FRAMES = 7


def run_values(
    inputs: int, outputs: int, bits: int, changes: dict[str, str], seed: int = 0, network: dict[str, str] | None = None
):
    """Return features, weights and what the chip makes of them."""
    chip = load_architecture("memristor_tile", {**tiles(40), "components.crossbar.wires": "none", **changes})
    with tempfile.TemporaryDirectory() as folder:
        workload = load_workload(write_layer(Path(folder), inputs, outputs, bits), network)
    features = np.random.default_rng(seed).integers(0, 256, (FRAMES, inputs)).astype(np.uint8)
    batch = batch_of(features, [0, FRAMES])
    execution: Execution = execute(deploy(workload, chip), batch, seed=seed)
    return features.astype(int) - 128, workload.tensors["w"], execution


@settings(max_examples=30, deadline=None)
@given(
    inputs=st.integers(1, 150),
    outputs=st.integers(1, 100),
    bits=st.integers(2, 8),
    cell_bits=st.integers(1, 4),
    sign=st.sampled_from(["pair", "offset"]),
    copies=st.integers(1, 4),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
)
def test_ideal_parts_multiply_exactly(inputs, outputs, bits, cell_bits, sign, copies, mode) -> None:
    x, weights, execution = run_values(
        inputs, outputs, bits,
        {
            "components.crossbar.device": "ideal", "components.crossbar.wires": "none",
            "components.crossbar.noise": "none", "components.adc.ideal": "true",
            "components.crossbar.rows": "64", "components.crossbar.columns": "64", "components.crossbar.planes": "8",
            "components.crossbar.cell_bits": str(cell_bits), "components.crossbar.sign": sign,
            "components.sample_hold.units": "512", "components.adc.units": "64", "components.dac.mode": mode,
            "placement": f"{{y: {{copies: {copies}}}}}",
        },
    )  # fmt: skip
    assert execution.outputs is not None
    np.testing.assert_array_equal(execution.outputs, x @ weights.astype(int))


def test_clamped_inputs_are_counted() -> None:
    """The inputs are codes less 128, words of 8 bits: none clamps; read in 4 bits, those beyond -8 .. 7 do."""
    changes = {"components.crossbar.device": "ideal", "components.crossbar.wires": "none"}
    x, _, execution = run_values(20, 5, 4, changes)
    assert execution.activity.saturations["y"] == 0
    _, _, narrow = run_values(20, 5, 4, changes, network={"graph.y.input_bits": "4"})
    assert narrow.activity.saturations["y"] == np.count_nonzero((x < -8) | (x > 7)) > 0


def test_every_copy_is_programmed_anew() -> None:
    """Copy c has the tiles from c * tiles on, and works on the frames c, c + 2, c + 4 ..."""
    x, weights, execution = run_values(100, 20, 4, {"placement": "{y: {copies: 2}}"}, seed=5)
    device, codes = load_device("synaptogen"), dac_codes(x / 128, DacTransfer())
    for copy in range(2):
        tiles = program_tiles(
            weights, device.programmer(5), device.curves(0.6), weight_bits=4, first_tile=copy
        )  # fmt: skip
        product = multiply(tiles, codes[copy::2], adc=AdcTransfer(4, 4), seed=5)
        np.testing.assert_array_equal(execution.outputs[copy::2], product.values * 128)
    assert execution.activity.programming["cells"] == 2 * 3 * 2 * 128 * 128


def test_converters_differ_from_place_to_place() -> None:
    """Of 2 row tiles, 3 planes and 1 column tile: all 1/7, the upper plane 2/6, and one converter 6/2."""
    settings = (
        "[{precision_bits: 1, range_bits: 7}, {plane: 2, precision_bits: 2, range_bits: 6},"
        " {row_tile: 1, plane: 0, column_tile: 0, precision_bits: 6, range_bits: 2}]"
    )
    x, weights, execution = run_values(200, 20, 4, {"placement": f"{{'*': {{converters: {settings}}}}}"}, seed=3)
    adc = np.array(
        [
            [[AdcTransfer(1, 7)], [AdcTransfer(1, 7)], [AdcTransfer(2, 6)]],
            [[AdcTransfer(6, 2)], [AdcTransfer(1, 7)], [AdcTransfer(2, 6)]],
        ],
        object,
    )
    device = load_device("synaptogen")
    tiles = program_tiles(weights, device.programmer(3), device.curves(0.6), weight_bits=4)
    product = multiply(tiles, dac_codes(x / 128, DacTransfer()), adc=adc, seed=3)
    np.testing.assert_array_equal(execution.outputs, product.values * 128)
    assert execution.activity.conversions["y"] == (2 * 3 * 20 * FRAMES, int(product.clipped.sum()))


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_copies_divide_the_interval_between_frames(copies: int) -> None:
    """One tile, a slow read: the copies' reads overlap, so that frames end 41 / copies apart on average.

    By hand: a read takes 40 cycles, and the next vector, whose place at the rows is free when the read ends, is seen a
    cycle later. Load, deliver and sum take 1, 2 and 1 cycles and the conversions 8, all hidden behind the reads. 30
    frames are a whole number of turns.
    """
    changes = {"components.crossbar.cycles_per_read": "40", "placement": f"{{y: {{copies: {copies}}}}}"}
    _, _, _, timeline = run_timing(64, 10, changes, frames=60)
    ends = timeline.finished_ps // 10_000
    assert ends[59] - ends[29] == 30 * (40 + 1) / copies


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ("{z: {copies: 2}}", r"placement names 'z', there is no such layer \(one of: y\)"),
        ("{y: {copies: 0}}", r"copies.: must be greater than 0, found 0"),
        ("{y: {copies: 50}}", r"matrix 'y' is larger than the chip: it needs 50 tiles of 40"),
        ("{y: {converters: [{plane: 1}]}}", r"expected precision_bits, range_bits or both"),
        ("{y: {converters: [{plane: 7, range_bits: 4}]}}", r"layer 'y' has 3 converters along plane, found plane 7"),
        ("{y: {converters: [{range_bits: 8}]}}", r"layer 'y' asks for 12 bits of 'adc', which has 8"),
        ("{y: {converters: [{range_bits: 0}]}}", r"range_bits.: must be at least 1, found 0"),
    ],
)
def test_bad_placements_are_named(placement: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_values(10, 10, 4, {"placement": placement})
