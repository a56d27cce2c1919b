"""Tiles whose rows are open where their bit is 0: values, noise and power against the network solved node by node."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property import reference_wires

from accelsim import run
from accelsim.devices import load_device
from accelsim.engines import crossbar_tiles
from accelsim.kernels import arrays
from accelsim.kernels.array_read import gated_residue, solve_read
from accelsim.kernels.arrays import ArrayModel
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.kernels.counter_random import split_seed
from accelsim.kernels.crossbar import PLANES_PER_TILE, Tiles, planes_of, program_tiles
from accelsim.kernels.gated_rows import gated_read
from accelsim.kernels.product import multiply
from accelsim.kernels.read_power import read_power
from accelsim.kernels.ssm import program_kernels
from accelsim.kernels.wires import Wires
from accelsim.report.headline import _wires_note

VOLTS = 0.4
LEAN = load_device("gaussian").model_copy(update={"write_noise": 2e-6})
BENT = load_device("synaptogen")
DAC = DacTransfer(4, VOLTS, "bit_serial")
IDEAL_ADC = AdcTransfer(ideal=True)


class Arrays:
    """Programs cells, and keeps the conductances of every array at the read voltage and its negative."""

    def __init__(self, device, cell_bits: int) -> None:
        self.program = device.programmer(3, read_voltage=VOLTS, cell_bits=cell_bits)
        self.curves = device.curves(VOLTS, cell_bits)
        self.cells: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, levels, arrays):
        states = self.program(levels, arrays)
        for number, state in zip(arrays.tolist(), states.astype(float), strict=True):
            forward, backward = (
                sum(c * (sign * VOLTS) ** n for n, c in enumerate(reversed(self.curves.low))) * (1 - state)
                + sum(c * (sign * VOLTS) ** n for n, c in enumerate(reversed(self.curves.high))) * state
                for sign in (1, -1)
            )
            self.cells[number] = forward / VOLTS, -backward / VOLTS
        return states


def place_of(order: str, rows: int) -> list[int]:
    """Which input lies on each row."""
    if order == "as_given":
        return list(range(rows))
    even, odd = list(range(0, rows, 2)), list(range(1, rows, 2))
    return even + odd[::-1]


wires = st.fixed_dictionaries(
    {
        "column": st.sampled_from([0.0, 1.0, 30.0]),
        "amplifier": st.sampled_from([20.0, 300.0]),
        "both_ends": st.booleans(),
    }
)


def program(weights, spy, sign, cell_bits, rows, columns, **model) -> Tiles:
    return program_tiles(
        weights, spy, spy.curves, weight_bits=4, cell_bits=cell_bits, sign=sign, tile_rows=rows, tile_columns=columns,
        first_tile=5, model=ArrayModel(spy.curves, VOLTS, gated=True, **model),
    )  # fmt: skip


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**20), sign=st.sampled_from(["pair", "offset"]), ohm=wires,
    order=st.sampled_from(["as_given", "alternating"]), rows=st.integers(2, 7), columns=st.integers(1, 4),
    bent=st.booleans(),
)  # fmt: skip
def test_products_and_power_are_those_of_the_network(seed, sign, order, ohm, rows, columns, bent) -> None:
    generator = np.random.default_rng(seed)
    inputs, outputs = int(generator.integers(1, 2 * rows + 1)), int(generator.integers(1, 2 * columns + 1))
    cell_bits = 1 if bent else 2
    weights = generator.integers(-7, 8, (inputs, outputs))
    codes = generator.integers(-8, 9, (2, inputs)).astype(np.int16)
    codes[0] = np.abs(codes[0])
    spy = Arrays(BENT if bent else LEAN, cell_bits)
    tiles = program(weights, spy, sign, cell_bits, rows, columns, wires=Wires(0.0, **ohm), row_order=order)
    found = multiply(tiles, codes, dac=DAC, adc=IDEAL_ADC, noise="off").values
    watts = read_power(tiles, codes, DAC, per_tile=True)
    planes, across = planes_of(4, cell_bits, sign), -(-outputs // columns)
    values, power = np.zeros((2, across * columns)), np.zeros_like(watts)
    for k in range(-(-inputs // rows)):
        used = min(rows, inputs - k * rows)
        for m in range(across):
            tile = 5 + k * across + m
            for p in range(planes):
                numbers = [2 * (PLANES_PER_TILE * tile + p) + s for s in (0, 1)]
                cells = [spy.cells[n] for n in numbers]
                if sign == "offset":
                    cells = [tuple(np.hstack(both) for both in zip(*cells, strict=True))]
                for s, (forward, backward) in enumerate(cells):
                    for t in range(2):
                        own = np.zeros(rows, int)
                        own[:used] = codes[t, k * rows : k * rows + used]
                        for phase in range(4):
                            bits = (np.sign(own) * (abs(own) >> phase & 1))[place_of(order, rows)]
                            seen = np.where(bits[:, None] > 0, forward, backward)
                            read = reference_wires.read(seen, bits * VOLTS, row=0.0, open_rows="gated", **ohm)
                            power[t, k, m] += bits * VOLTS @ read.rows / 4
                            ours = read.columns[:columns]
                            if sign == "offset":
                                ours = ours - read.columns[columns]
                            scale = 2 ** (cell_bits * p + phase) / 8 / spy.curves.unit
                            values[t, m * columns : (m + 1) * columns] += (-1) ** s * scale * ours
    assert watts == pytest.approx(power, rel=1e-8, abs=1e-15)
    assert found == pytest.approx(values[:, :outputs], rel=1e-8, abs=1e-8 * max(1.0, np.abs(values).max()))


@pytest.mark.parametrize("sign", ["pair", "offset"])
def test_noise_and_gains_of_columns(sign) -> None:
    """Of 20,000 reads of one input: the mean, and the variance within 5 standard deviations (1 % each) and 2 %.

    Cell by cell, a current into the column's node behind it is sensed by its share; the cells' own noise is a tenth of
    their conductance. Full scale is the bit of one phase, and rows without it give no noise.
    """
    generator = np.random.default_rng(8)
    weights, ohm = generator.integers(-3, 4, (5, 2)), {"column": 30.0, "amplifier": 8000.0}
    spy = Arrays(LEAN, 2)

    def own(states):
        cells = np.polyval(spy.curves.low, VOLTS) * (1 - states) + np.polyval(spy.curves.high, VOLTS) * states
        return (0.1 * cells / VOLTS) ** 2

    tiles = program_tiles(
        weights, spy, spy.curves, weight_bits=3, cell_bits=2, sign=sign, tile_rows=5, tile_columns=2, read_variance=own,
        model=ArrayModel(spy.curves, VOLTS, wires=Wires(0.0, **ohm), measured_gain=True, gated=True),
    )  # fmt: skip
    codes = np.tile(np.array([8, 0, 8, 8, -8], np.int16), (20_000, 1))
    how = {"dac": DAC, "adc": IDEAL_ADC, "temperature_kelvin": 350.0}
    found = multiply(tiles, codes, noise="physical", **how).values
    thermal, shot = 4 * 1.380649e-23 * 350 * 1e8, 2 * 1.602e-19 * 1e8
    bits = np.array([1, 0, 1, 1, -1])
    mean, variance = np.zeros(2), np.zeros(2)
    for plane in range(planes_of(3, 2, sign)):
        for s in (0, 1):  # the second array, or the offset's column beside the first, is subtracted from both columns
            cells = spy.cells[2 * plane + s][0]
            one, scale = cells.shape[1] == 1, 4**plane / spy.curves.unit
            read = reference_wires.read(cells, bits * VOLTS, row=0.0, open_rows="gated", **ohm)
            patterns = arrays._patterns(np.array([2 * plane + s * (sign == "pair")]), 5, *split_seed(0))[0]
            ours = np.array(
                [reference_wires.read(cells, p, row=0.0, open_rows="gated", **ohm).columns for p in patterns]
            )
            gains = (ours * (patterns @ cells)).sum(axis=0) / (ours**2).sum(axis=0)
            assert (gains > 1.1).all()
            mean += (-1) ** s * gains * read.columns * scale
            for i, j in np.ndindex(*cells.shape):
                if bits[i] == 0:
                    continue
                share = reference_wires.read(
                    cells[:, j : j + 1], bits * VOLTS, row=0.0, open_rows="gated", injected={(i, 0): 1.0}, **ohm
                ).sensed[0]
                g, v = cells[i, j], read.cell_volts[i, j]
                square = thermal * g + shot * g * abs(v) + (0.1 * g * v) ** 2
                variance[slice(None) if one else j] += (gains[j] * share * scale) ** 2 * square
    assert np.abs(found.mean(axis=0) - mean).max() < 5 * np.sqrt(variance.max() / len(codes))
    assert found.var(axis=0) == pytest.approx(variance, rel=0.07)
    legacy = multiply(tiles, codes, noise="legacy", **how).values.var(axis=0)
    assert (np.abs(legacy / variance - 1) > 0.2).all()  # the noise of the cells' own is a physical one


def test_any_batch_and_any_threads_give_the_same_bits() -> None:
    generator = np.random.default_rng(2)
    weights, codes = generator.integers(-7, 8, (20, 9)), generator.integers(-8, 9, (40, 20)).astype(np.int16)
    tiles = program(weights, Arrays(LEAN, 2), "pair", 2, 12, 4, wires=Wires(0.0, 1.0), measured_gain=True)
    whole = multiply(tiles, codes, dac=DAC)
    few = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        parts = [multiply(tiles, codes[a : a + 7], dac=DAC, first_frame=a, frames_per_block=3) for a in range(0, 40, 7)]
    finally:
        numba.set_num_threads(few)
    assert whole.values.tobytes() == np.concatenate([part.values for part in parts]).tobytes()


def test_how_far_reads_of_cells_that_are_not_ohmic_are_off() -> None:
    """The exact read by chords that settle, each at the voltage that its cell has in the network."""
    generator = np.random.default_rng(4)
    device = load_device("synaptogen")
    curves = device.curves(0.6)
    states, bits = generator.uniform(0, 1, (8, 3)), np.array([1, 0, 1, 1, 0, 1, 1, 1])
    ohm = {"column": 20.0, "amplifier": 200.0}
    model = ArrayModel(curves, 0.6, wires=Wires(0.0, **ohm), gated=True)
    volts = np.full(states.shape, 0.6)
    for _ in range(60):
        low, high = (sum(c * volts**n for n, c in enumerate(reversed(law))) for law in (curves.low, curves.high))
        read = reference_wires.read(
            (low * (1 - states) + high * states) / volts, bits * 0.6, row=0.0, open_rows="gated", **ohm
        )
        volts = np.where(bits[:, None] > 0, read.cell_volts, volts)
    exact = solve_read(states, curves, Wires(0.0, **ohm), (bits * 0.6)[None], gated=True).columns[0]
    assert exact == pytest.approx(read.columns, rel=1e-9)
    fast = gated_read(model.gated_cells(states)[None], bits[None], Wires(0.0, **ohm), 0.6).currents[:, 0]
    off = (fast[0] - read.columns) / curves.unit
    found = gated_residue(states, fast, curves, Wires(0.0, **ohm), (bits * 0.6)[None])
    assert found.largest == pytest.approx(np.abs(off).max(), rel=1e-6) and found.largest > 1e-3
    assert found.rms == pytest.approx(np.sqrt((off**2).mean()), rel=1e-6)
    numbers = np.array([3])
    model.seen(states[None].astype(np.float32), states[None].astype(np.float32), numbers)
    assert model.drops.residue is not None and 0 < model.drops.residue.rms < 1
    full = reference_wires.read(model.gated_cells(states.astype(np.float32)), np.full(8, 0.6), row=0.0, **ohm)
    lost = 1 - full.columns / (0.6 * model.gated_cells(states.astype(np.float32)).sum(axis=0))
    assert model.drops.largest == pytest.approx(lost.max(), rel=1e-9)


def test_what_open_rows_cannot_be() -> None:
    curves, ohm = LEAN.curves(VOLTS, 2), Wires(0.0, 1.0)
    with pytest.raises(ValueError, match="there are none"):
        ArrayModel(curves, VOLTS, gated=True)
    tiles = program(np.ones((3, 2), int), Arrays(LEAN, 2), "pair", 2, 3, 2, wires=ohm)
    for dac in (DacTransfer(4, VOLTS), DacTransfer(4, 0.5, "bit_serial")):
        for take in (multiply, read_power):
            with pytest.raises(ValueError, match=r"bits of a bit-serial DAC of 0.4 V"):
                take(tiles, np.ones((2, 3), np.int16), dac=dac)
    model, spy = ArrayModel(curves, VOLTS, wires=ohm, gated=True), Arrays(LEAN, 2)
    with pytest.raises(ValueError, match="share no rows"):
        program_tiles(np.ones((3, 2), int), spy, curves, weight_bits=4, cell_bits=2, model=model, depthwise=True)
    with pytest.raises(ValueError, match="none is open"):
        one = np.ones((1, 1, 2), int)
        program_kernels(one, one, one, spy, curves, weight_bits=3, rows=14, columns=13, model=model)


def test_a_run_reads_open_rows(monkeypatch) -> None:
    """Wires of 0 ohm and amplifiers of 300: a column is one node at v = R I, so that I = V sum b g / (1 + R sum |b| g).

    The crossbar's energy is what its drivers give, sum V b I of all cells, for the time of every read.
    """
    seen = []

    def spy(tiles, codes, **how):
        seen.append((tiles, codes, multiply(tiles, codes, **how)))
        return seen[-1][2]

    monkeypatch.setattr(crossbar_tiles, "multiply", spy)
    overrides = {
        "workload.inputs.seconds": "0.5", "workload.score": "null", "components.crossbar.noise": "none",
        "components.dac.mode": "bit_serial", "components.adc.ideal": "true", "components.crossbar.device": "ideal",
        "components.crossbar.wires": "{row: 0 ohm, column: 0 ohm, amplifier: 300 ohm, undriven: open}",
        "components.crossbar.column_gain": "none",
    }  # fmt: skip
    result = run("memristor_tile", overrides=overrides)
    ((tiles, codes, product),) = seen
    volts, ohm = 0.6, 300.0
    values, joules = np.zeros(product.values.shape), 0.0
    lowest, highest = tiles.gated.cells.min(), tiles.gated.cells.max()
    assert highest / lowest > 2
    for k in range(3):
        own = np.zeros((len(codes), 128))
        own[:, : codes.shape[1] - 128 * k] = codes[:, 128 * k : 128 * (k + 1)]
        for phase in range(8):
            bits = np.sign(own) * (np.abs(own).astype(int) >> phase & 1)
            for n, cells in enumerate(tiles.gated.cells[k, 0]):
                current = volts * (bits @ cells) / (1 + ohm * (np.abs(bits) @ cells))
                joules += 1e-8 * (volts**2 * (np.abs(bits) @ cells) - ohm * current * volts * (bits @ cells)).sum()
                values += (-1) ** (n % 2) * 2 ** (n // 2 + phase) / 128 * current[:, :40] / tiles.curves.unit
    assert product.values == pytest.approx(values, rel=1e-9, abs=1e-9)
    (crossbar,) = (part for part in result.components if part.name == "crossbar")
    assert crossbar.energy_j.dynamic == pytest.approx(joules, rel=1e-5)
    assert "rows without a bit open" in _wires_note(result.arrays[0])
    assert result.arrays[0].undriven == "open" and result.arrays[0].largest_drop > 0.2
