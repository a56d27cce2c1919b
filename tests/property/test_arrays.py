"""Arrays behind their wires: tiles, depthwise columns and S4D kernels against the network solved node by node."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property.reference_array import Array

from accelsim.devices import load_device
from accelsim.kernels import arrays
from accelsim.kernels.arrays import ArrayModel, column_gains, order_of_rows
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.kernels.counter_random import split_seed
from accelsim.kernels.crossbar import PLANES_PER_TILE, planes_of, program_tiles
from accelsim.kernels.product import multiply, multiply_depthwise
from accelsim.kernels.read_power import depthwise_power, read_power
from accelsim.kernels.ssm import program_kernels, recurrence
from accelsim.kernels.wires import Wires

VOLTS = 0.6
IDEAL = load_device("ideal")
GAUSSIAN = load_device("gaussian").model_copy(update={"write_noise": 2e-6})
IDEAL_ADC = AdcTransfer(ideal=True)


class Spy:
    """Programs cells, and keeps the conductances and the levels of every array by its number."""

    def __init__(self, device, cell_bits: int, volts: float = VOLTS) -> None:
        self.program = device.programmer(3, read_voltage=volts, cell_bits=cell_bits)
        self.curves, self.volts = device.curves(volts, cell_bits), volts
        self.cells: dict[int, np.ndarray] = {}
        self.levels: dict[int, np.ndarray] = {}

    def __call__(self, levels, arrays):
        states = self.program(levels, arrays)
        for number, level, state in zip(arrays.tolist(), levels, states, strict=True):
            assert number not in self.cells
            self.levels[number] = level
            self.cells[number] = self.curves.current(state.astype(float), np.array(self.volts)) / self.volts
        return states


orders = st.sampled_from(["as_given", "alternating", "sorted"])
resistances = st.fixed_dictionaries(
    {
        "row": st.sampled_from([0.05, 1.0, 20.0]),
        "column": st.sampled_from([0.05, 1.0, 20.0]),
        "driver": st.sampled_from([0.0, 30.0]),
        "amplifier": st.sampled_from([0.0, 50.0]),
        "both_ends": st.booleans(),
    }
)


def lying(order: str, levels, used: int, both_ends: bool) -> list[int]:
    """Which input lies on each row, found by putting one after the other where it belongs."""
    rows = len(levels[0])
    if order == "as_given":
        return list(range(rows))
    if order == "alternating":
        place: list[int | None] = [None] * rows
        for i in range(rows):
            free = [row for row in range(rows) if place[row] is None]
            place[free[0] if i % 2 == 0 else free[-1]] = i
        return place
    weight = {i: sum(int(level[i].sum()) for level in levels) if i < used else -1 for i in range(rows)}
    nearest_first = sorted(range(rows), key=lambda i: (weight[i], i), reverse=True)
    place = [None] * rows
    for n, i in enumerate(nearest_first):
        row = rows - 1 - n
        if both_ends:
            row = rows - 1 - n // 2 if n % 2 == 0 else n // 2
        place[row] = i
    return place


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**20), sign=st.sampled_from(["pair", "offset"]), order=orders, ohm=resistances,
    rows=st.integers(2, 7), columns=st.integers(1, 5), mode=st.sampled_from(["amplitude", "bit_serial"]),
)  # fmt: skip
def test_products_and_power_of_tiles_are_those_of_the_network(seed, sign, order, ohm, rows, columns, mode) -> None:
    generator = np.random.default_rng(seed)
    inputs, outputs, bits = int(generator.integers(1, 2 * rows + 1)), int(generator.integers(1, 2 * columns + 1)), 4
    weights = generator.integers(-7, 8, (inputs, outputs))
    dac = DacTransfer(4, VOLTS, mode)
    codes = generator.integers(-8, 9, (3, inputs)).astype(np.int16)
    codes[0] = 8  # the drivers give most
    spy = Spy(GAUSSIAN, 2)
    model = ArrayModel(spy.curves, VOLTS, wires=Wires(**ohm), row_order=order)
    tiles = program_tiles(
        weights, spy, spy.curves, weight_bits=bits, cell_bits=2, sign=sign, tile_rows=rows, tile_columns=columns,
        first_tile=5, model=model,
    )  # fmt: skip
    found = multiply(tiles, codes, dac=dac, adc=IDEAL_ADC, noise="off").values
    watts = read_power(tiles, codes, dac, per_tile=True)
    planes, tiles_across = planes_of(bits, 2, sign), -(-outputs // columns)
    values, power = np.zeros((3, tiles_across * columns)), np.zeros_like(watts)
    for k in range(-(-inputs // rows)):
        used = min(rows, inputs - k * rows)
        for m in range(tiles_across):
            number = 5 + k * tiles_across + m
            numbers = [[2 * (PLANES_PER_TILE * number + p) + s for s in (0, 1)] for p in range(planes)]
            if sign == "pair":
                arrays = [[spy.cells[n] for n in pair] for pair in numbers]
            else:
                arrays = [[np.hstack([spy.cells[main], spy.cells[offset]])] for main, offset in numbers]
            # What the columns hold, in the order of the inputs: a number of the weight, less what it was written from.
            block = np.zeros((rows, columns), int)
            part = weights[k * rows : (k + 1) * rows, m * columns : (m + 1) * columns]
            block[: part.shape[0], : part.shape[1]] = part
            written = [np.maximum(block, 0), np.maximum(-block, 0)]
            if sign == "offset":
                written = [np.hstack([block + 7, np.full((rows, 1), 7)])]
            digits = [(one >> (2 * p)) & 3 for one in written for p in range(planes)]
            place = lying(order, digits, used, ohm["both_ends"])
            for p, both in enumerate(arrays):
                for s, cells in enumerate(both):
                    network = Array(cells, **ohm)
                    for t in range(3):
                        own = np.zeros(rows, int)
                        own[:used] = codes[t, k * rows : k * rows + used]
                        phases = (
                            [own / 8] if mode == "amplitude" else [np.sign(own) * (abs(own) >> b & 1) for b in range(4)]
                        )
                        for phase, x in enumerate(phases):
                            solved = network.solve(x[place] * VOLTS)
                            volts = x[place] * VOLTS
                            assert volts @ solved.drivers == pytest.approx(solved.burnt, rel=1e-9)
                            power[t, k, m] += volts @ solved.drivers / len(phases)
                            scale = 4**p * (1 if mode == "amplitude" else 2**phase / 8) / spy.curves.unit
                            ours = solved.columns[:columns]
                            if sign == "offset":
                                ours = ours - solved.columns[columns]
                            values[t, m * columns : (m + 1) * columns] += (-1) ** s * scale * ours
    assert watts == pytest.approx(power, rel=1e-8, abs=1e-15)
    assert np.abs(found - values[:, :outputs]).max() < 2e-4 * max(1.0, np.abs(values).max())


@settings(max_examples=15)
@given(seed=st.integers(0, 2**20), ohm=resistances, taps=st.integers(1, 6), channels=st.integers(1, 5))
def test_depthwise_columns_hang_on_ladders_of_their_own(seed, ohm, taps, channels) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(-7, 8, (taps, channels))
    codes = generator.integers(-8, 9, (taps + 2, channels)).astype(np.int16)
    spy, dac = Spy(GAUSSIAN, 3), DacTransfer(4, VOLTS)
    tiles = program_tiles(
        weights, spy, spy.curves, weight_bits=4, cell_bits=3, tile_rows=taps, tile_columns=3,
        model=ArrayModel(spy.curves, VOLTS, wires=Wires(**ohm)), depthwise=True,
    )  # fmt: skip
    found = multiply_depthwise(tiles, codes, dac=dac, adc=IDEAL_ADC, noise="off").values
    watts = depthwise_power(tiles, codes, dac)
    values, power = np.zeros((3, channels)), np.zeros(3)
    for c in range(channels):
        for s in (0, 1):
            column = spy.cells[2 * PLANES_PER_TILE * (c // 3) + s][:, c % 3 : c % 3 + 1]
            network = Array(column, **ohm)
            for t in range(3):
                volts = codes[t : t + taps, c] / 8 * VOLTS
                solved = network.solve(volts)
                values[t, c] += (-1) ** s * solved.columns[0] / spy.curves.unit
                power[t] += volts @ solved.drivers
    assert watts == pytest.approx(power, rel=1e-8, abs=1e-15)
    assert np.abs(found - values).max() < 2e-4 * max(1.0, np.abs(values).max())


@settings(max_examples=8)
@given(seed=st.integers(0, 2**20), ohm=resistances, order=orders)
def test_kernels_feed_back_what_the_network_gives(seed, ohm, order) -> None:
    """One crossbar of two kernels of one state, step by step; rows and columns beyond them hold cells at rest."""
    generator = np.random.default_rng(seed)
    a, b, c = generator.integers(-3, 4, (3, 2, 1, 2))
    codes = generator.integers(-8, 9, (6, 2)).astype(np.int16)
    spy, dac = Spy(GAUSSIAN, 2, 0.2), DacTransfer(4, 0.2)
    model = ArrayModel(spy.curves, 0.2, wires=Wires(**ohm), row_order=order)
    space = program_kernels(a, b, c, spy, spy.curves, weight_bits=3, rows=14, columns=13, model=model)
    found = recurrence(space, codes, np.array([0, 6]), dac=dac, state_gain=0.3, output_gain=0.4)
    network = Array(spy.cells[0], **ohm)
    levels = np.where(spy.levels[0] == 255, 0, spy.levels[0])
    plain = Spy(GAUSSIAN, 2, 0.2)
    program_kernels(a, b, c, plain, spy.curves, weight_bits=3, rows=14, columns=13)
    given_levels = np.where(plain.levels[0] == 255, 0, plain.levels[0])
    place = lying(order, [given_levels], 12, ohm["both_ends"])
    assert np.array_equal(levels, given_levels[place])
    state = [0] * 6
    for t in range(6):
        state[2], state[5] = codes[t].tolist()
        volts = np.zeros(14)
        for i, code in enumerate(state):
            volts[2 * i + (code < 0)] = abs(code) / 8 * 0.2
        solved = network.solve(volts[place])
        assert found.watts[t, 0] == pytest.approx(volts[place] @ solved.drivers, rel=1e-8, abs=1e-15)
        z = [(solved.columns[2 * j] - solved.columns[2 * j + 1]) / spy.curves.unit * 8 for j in range(6)]
        for j, gain in enumerate((0.3, 0.3, 0.4, 0.3, 0.3, 0.4)):
            exact = max(min(gain * z[j], 8), -8)
            code = found.outputs[t, j // 3] if j % 3 == 2 else None
            if code is None:
                if abs(exact - round(exact)) > 0.499:  # too near to a step to tell
                    return
                state[j] = max(min(round(gain * z[j]), 8), -8)
            else:
                assert abs(code - exact) < 0.501


def test_the_order_of_rows_by_hand() -> None:
    levels = np.array([[[1, 0], [3, 3], [0, 0], [2, 0], [0, 0]]], np.uint8)
    assert order_of_rows("as_given", levels, 5).tolist() == [[0, 1, 2, 3, 4]]
    assert order_of_rows("alternating", levels, 5).tolist() == [[0, 2, 4, 3, 1]]
    assert order_of_rows("sorted", levels, 5).tolist() == [[2, 4, 0, 3, 1]]
    assert order_of_rows("sorted", levels, 2).tolist() == [[2, 3, 4, 0, 1]]  # three rows have no input
    assert order_of_rows("sorted", levels, 5, both_ends=True).tolist() == [[3, 4, 2, 0, 1]]


@pytest.mark.parametrize(
    ("side", "lowest", "highest", "ohm"),
    [(64, 5e-6, 150e-6, 0.1), (64, 5e-6, 150e-6, 1.0), (128, 13.5e-6, 218e-6, 0.35), (128, 5e-6, 50e-6, 2.5)],
)
def test_gains_leave_less_than_a_step_of_a_cell(side, lowest, highest, ohm) -> None:
    """Half the cells are set, and half the rows driven, by draws other than those of the measurement.

    The rms error is below 0.7 steps of a cell, a fifth of what it was, and within 5 % of the least that any gain of a
    column leaves on these patterns.
    """
    device = IDEAL.model_copy(update={"lowest": lowest, "highest": highest})
    curves, generator = device.curves(VOLTS), np.random.default_rng(side)
    levels, arrays = generator.integers(0, 2, (1, side, side)).astype(np.uint8), np.array([7])
    states = device.program(levels, arrays, seed=0, read_voltage=VOLTS).states
    driven = generator.integers(0, 2, (64, side)).astype(float)
    ideal = driven @ (lowest + (highest - lowest) * levels[0])
    model = ArrayModel(curves, VOLTS, wires=Wires(ohm, ohm), measured_gain=True, seed=11)
    found = model.seen(states, states, arrays)

    def error(currents) -> float:
        return float(np.sqrt(np.mean((currents - ideal) ** 2)) / (highest - lowest))

    without = driven @ model.conductances(found.states)[0]
    with_gains = driven @ model.conductances(model.with_gains(found.states, found.gains))[0]
    best = without * ((without * ideal).sum(axis=0) / (without**2).sum(axis=0))
    assert error(with_gains) < 0.7
    assert error(with_gains) < 0.2 * error(without)
    assert error(with_gains) < 1.05 * error(best)


def test_gains_are_a_function_of_seed_and_array_number() -> None:
    generator = np.random.default_rng(1)
    cells = generator.uniform(1e-6, 1e-5, (3, 130, 4))
    wanted = cells * generator.uniform(1, 2, (3, 1, 4))
    noisy = cells * generator.uniform(0.9, 1.1, cells.shape)
    numbers = np.array([4, 9, 2])
    together = column_gains(noisy, wanted, numbers, 5)
    assert column_gains(noisy[1:2], wanted[1:2], numbers[1:2], 5).tobytes() == together[1:2].tobytes()
    assert np.abs(column_gains(noisy, wanted, numbers, 6) - together).max() > 0
    assert column_gains(cells, wanted, numbers, 5) == pytest.approx((wanted / cells)[:, 0], rel=1e-12)
    assert column_gains(cells * 0, wanted, numbers, 5).tolist() == np.ones((3, 4)).tolist()
    # Floats off any grid, added one after the other: to the last bit, whatever a BLAS would do.
    drawn = arrays._patterns(numbers, 130, *split_seed(5))
    for n, j in np.ndindex(3, 4):
        both = squares = 0.0
        for pattern in drawn[n]:
            ours = theirs = 0.0
            for i in np.flatnonzero(pattern):
                ours, theirs = ours + float(noisy[n, i, j]), theirs + float(wanted[n, i, j])
            both, squares = both + ours * theirs, squares + ours * ours
        assert together[n, j] == both / squares


@pytest.mark.parametrize("name", ["taox", "pcm_hermes"])
def test_cells_that_noise_leaves_at_0_siemens_lie_behind_wires(name):
    """Their states are rounded to float32, so that some come out a little below 0 S; what is well below is refused."""
    device = load_device(name)
    if name == "taox":
        device = device.model_copy(update={"write_noise": 20e-6})
    levels = np.random.default_rng(0).integers(0, 4, (2, 16, 16)).astype(np.uint8)
    program = device.programmer(0, read_voltage=0.2, cell_bits=2, age=3600.0)
    model = ArrayModel(device.curves(0.2, 2), 0.2, wires=Wires(1e-3, 1e-3))
    numbers = np.arange(2)
    states = program(levels, numbers)
    cells = model.conductances(states)
    assert cells.min() <= 0
    found = model.seen(states, states, numbers).states
    np.testing.assert_allclose(model.conductances(found), cells, rtol=1e-4, atol=1e-10)
    with pytest.raises(ValueError, match="at least 0 S"):
        model.seen(states + np.float32(0.1), states, numbers)
