"""Cells whose current is not linear in one state, and cells with read noise of their own, against plain loops.

The law of the cells here, I = G V + a(G) V^2 + b(G) V^3 with a and b polynomials in log10 G, is that of measured RRAM
(Milo et al., IRPS 2021); the loops below know G and this law alone, not how the kernels split it.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.devices import Gaussian
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.kernels.crossbar import PLANES_PER_TILE, CellNoise, Curves, Terms, chords, program_tiles, states_of
from accelsim.kernels.product import multiply, multiply_depthwise
from accelsim.kernels.read_power import depthwise_power, read_power

LOWEST, HIGHEST, VOLTS = 50e-6, 225e-6, 0.5
SQUARE, CUBE = (3e-5, 1.4e-4), (8e-5, 5e-4)  # of log10 G, highest power first
CELLS = Gaussian(kind="gaussian", name="cells", source="test", levels=("50 uS", "225 uS"), write_noise="12 uS")
KB, ELECTRON = 1.380649e-23, 1.602e-19
IDEAL = AdcTransfer(ideal=True)


def a_and_b(siemens: float) -> tuple[float, float]:
    """The factors of V^2 and V^3; as measured from 20 to 400 uS, and outside what they are there."""
    x = math.log10(min(max(siemens, 20e-6), 400e-6))
    return SQUARE[0] * x + SQUARE[1], CUBE[0] * x + CUBE[1]


def amperes(siemens: float, volts: float) -> float:
    a, b = a_and_b(siemens)
    return siemens * volts + a * volts**2 + b * volts**3


def siemens_of(states: np.ndarray) -> np.ndarray:
    return HIGHEST * (1 - states) + LOWEST * states


def curves(cell_bits: int = 1) -> Curves:
    """Both ends whole: LL = I(V, G_max), HH = I(V, G_min)."""
    low, high = ((*reversed(a_and_b(g)), g, 0.0) for g in (HIGHEST, LOWEST))
    unit = (amperes(HIGHEST, VOLTS) - amperes(LOWEST, VOLTS)) / (2**cell_bits - 1)
    return Curves(low, high, unit)


def terms() -> Terms:
    """What the two curves leave, a and b less their straight lines between the ends."""
    scale = 1e-3
    ends = np.array([a_and_b(HIGHEST), a_and_b(LOWEST)])

    def coefficients(states: np.ndarray) -> np.ndarray:
        x = np.log10(np.clip(siemens_of(states), 20e-6, 400e-6))
        found = [np.polyval(SQUARE, x), np.polyval(CUBE, x)]
        return np.stack([c - ends[0, n] * (1 - states) - ends[1, n] * states for n, c in enumerate(found)]) / scale

    return Terms(((scale, 0.0, 0.0), (scale, 0.0, 0.0, 0.0)), coefficients)


def noise_of(siemens: float) -> float:
    """Variance in S^2: 2 % of the conductance and 0.3 uS besides."""
    return (0.02 * siemens) ** 2 + 0.3e-6**2


def read_variance(states: np.ndarray) -> np.ndarray:
    g = np.asarray(chords(states, curves(), terms(), VOLTS))
    return (0.02 * g) ** 2 + 0.3e-6**2


def drawn(seed: int, inputs: int, outputs: int, frames: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    generator, top = np.random.default_rng(seed), 2 ** (bits - 1) - 1
    weights = generator.integers(-top, top + 1, (inputs, outputs))
    return weights, generator.integers(-128, 129, (frames, inputs)).astype(np.int16)


def programmed(weights, bits, cell_bits=1, noisy=False, **shape):
    return program_tiles(
        weights, CELLS.programmer(1, read_voltage=VOLTS, cell_bits=cell_bits), curves(cell_bits), weight_bits=bits,
        cell_bits=cell_bits, terms=terms(), read_variance=read_variance if noisy else None, **shape,
    )  # fmt: skip


def arrays_of(weights, bits, cell_bits, sign, rows, columns):
    """Conductances of each array as programmed: (tile, plane, s) -> [rows][columns]."""
    column_tiles, top = -(-weights.shape[1] // columns), 2 ** (bits - 1) - 1

    def of(tile: int, plane: int, s: int) -> list[list[float]]:
        k, m = divmod(tile, column_tiles)
        block = np.zeros((rows, columns), int)
        part = weights[k * rows : (k + 1) * rows, m * columns : (m + 1) * columns]
        block[: part.shape[0], : part.shape[1]] = part
        whole = np.maximum(block if s == 0 else -block, 0) if sign == "pair" else block + top
        if sign == "offset" and s == 1:
            whole = np.full((rows, 1), top)
        levels = (whole >> (plane * cell_bits) & (2**cell_bits - 1)).astype(np.uint8)
        number = np.array([2 * (PLANES_PER_TILE * tile + plane) + s])
        states = CELLS.program(levels[None], number, seed=1, read_voltage=VOLTS, cell_bits=cell_bits).states[0]
        return siemens_of(states.astype(float)).tolist()

    kept: dict = {}
    return lambda *key: kept[key] if key in kept else kept.setdefault(key, of(*key))


def volts_of(code: int, phase: int, serial: bool) -> float:
    bit = code / 128 if not serial else math.copysign(abs(code) >> phase & 1, code)
    return bit * VOLTS


def plain(weights, codes, bits, cell_bits, sign, rows, columns, serial):
    """Column results added up over planes and tiles in weight units [frames][outputs], and the power per frame."""
    array = arrays_of(weights, bits, cell_bits, sign, rows, columns)
    inputs, outputs = weights.shape
    planes = math.ceil((bits - 1 if sign == "pair" else bits) / cell_bits)
    unit = (amperes(HIGHEST, VOLTS) - amperes(LOWEST, VOLTS)) / (2**cell_bits - 1)
    values, watts = np.zeros((len(codes), outputs)), np.zeros(len(codes))
    column_tiles, phases = math.ceil(outputs / columns), 8 if serial else 1
    for t, phase, k, m, p in np.ndindex(len(codes), phases, math.ceil(inputs / rows), column_tiles, planes):
        main, other = (array(k * column_tiles + m, p, s) for s in (0, 1))
        for i in range(rows):
            row = k * rows + i
            v = volts_of(int(codes[t, row]) if row < inputs else 0, phase, serial)
            first, last = ([amperes(g, v) for g in cells[i]] for cells in (main, other))
            watts[t] += v * (sum(first) + sum(last)) / phases
            for j in range(min(columns, outputs - m * columns)):
                value = first[j] - last[j if sign == "pair" else 0]
                values[t, m * columns + j] += value / unit * 2 ** (cell_bits * p) * (2**phase / 128 if serial else 1)
    return values, watts


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 12),
    bits=st.integers(2, 4),
    cell_bits=st.sampled_from([1, 2]),
    sign=st.sampled_from(["pair", "offset"]),
    serial=st.booleans(),
)
def test_products_and_power_are_those_of_the_law_cell_by_cell(seed, inputs, outputs, bits, cell_bits, sign, serial):
    weights, codes = drawn(seed, inputs, outputs, 2, bits)
    tiles = programmed(weights, bits, cell_bits, sign=sign, tile_rows=32, tile_columns=8)
    dac = DacTransfer(8, VOLTS, "bit_serial" if serial else "amplitude")
    values, watts = plain(weights, codes, bits, cell_bits, sign, 32, 8, serial)
    found = multiply(tiles, codes, dac=dac, adc=IDEAL, noise="off")
    np.testing.assert_allclose(found.values, values, rtol=0, atol=2e-3)  # 1e-5 units a column, as for two curves
    np.testing.assert_allclose(read_power(tiles, codes, dac), watts, rtol=1e-6)
    tiles_apart = read_power(tiles, codes, dac, per_tile=True)
    np.testing.assert_allclose(tiles_apart.sum(axis=(1, 2)), watts, rtol=1e-6)


def test_the_terms_are_no_small_change() -> None:
    """By hand, 100 uS at 0.5 V beside what two curves through both ends would say: else these tests show nothing."""
    g, r = 100e-6, (HIGHEST - 100e-6) / (HIGHEST - LOWEST)
    wanted = g * 0.5 + (SQUARE[0] * -4 + SQUARE[1]) * 0.25 + (CUBE[0] * -4 + CUBE[1]) * 0.125
    straight = float(curves().current(np.array(r), np.array(0.5)))
    assert (
        amperes(g, 0.5) == pytest.approx(wanted) == pytest.approx(chords(np.array([r]), curves(), terms(), 0.5) * 0.5)
    )
    assert abs(wanted - straight) > 0.01 * wanted


@pytest.mark.parametrize("serial", [False, True])
def test_depthwise_columns(serial) -> None:
    weights, _ = drawn(3, 7, 9, 1, 3)
    codes = np.random.default_rng(4).integers(-128, 129, (7 + 5, 9)).astype(np.int16)
    tiles = programmed(weights, 3, tile_rows=7, tile_columns=16)
    dac = DacTransfer(8, VOLTS, "bit_serial" if serial else "amplitude")
    array = arrays_of(weights, 3, 1, "pair", 7, 16)
    values, watts = np.zeros((6, 9)), np.zeros(6)
    phases = 8 if serial else 1
    for t, phase, p, i, c in np.ndindex(6, phases, 2, 7, 9):
        v = volts_of(int(codes[t + i, c]), phase, serial)
        pair = [amperes(array(0, p, s)[i][c], v) for s in (0, 1)]
        values[t, c] += (pair[0] - pair[1]) / curves().unit * 2**p * (2**phase / 128 if serial else 1)
        watts[t] += v * sum(pair) / phases
    found = multiply_depthwise(tiles, codes, dac=dac, adc=IDEAL, noise="off")
    np.testing.assert_allclose(found.values, values, rtol=0, atol=1e-3)
    # A pair's sum is known to 1 / 2 total_scale of the range: 0.1 % of the power of the columns.
    np.testing.assert_allclose(depthwise_power(tiles, codes, dac), watts, rtol=1e-3)


def column_sigma(array, codes, sign, j, temperature, own, planes=1):
    """Standard deviation of column j of the first tile, its planes added up, in weight units, cell by cell."""
    total = 0.0
    for p, s in np.ndindex(planes, 2):
        for code, row in zip(codes, array(0, p, s), strict=True):
            v = volts_of(int(code), 0, False)
            g = row[j if sign == "pair" or s == 0 else 0]
            current = amperes(g, v)
            chord = current / v if v else g
            cell = 4 * KB * temperature * 1e8 * chord + 2 * ELECTRON * abs(current) * 1e8
            total += 4**p * (cell + own * v * v * noise_of(amperes(g, VOLTS) / VOLTS))
    return math.sqrt(total) / curves().unit


@pytest.mark.parametrize("sign", ["pair", "offset"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("temperature", [300.0, 400.0])
def test_the_noise_of_a_column_is_that_of_its_cells(sign, own, temperature) -> None:
    weights, codes = drawn(8, 32, 3, 1, 2)
    tiles = programmed(weights, 2, noisy=own, sign=sign, tile_rows=32, tile_columns=8)
    frames = 20_000
    how = {"dac": DacTransfer(8, VOLTS), "adc": IDEAL, "seed": 2, "temperature_kelvin": temperature}
    exact = multiply(tiles, codes, noise="off", **how).values[0]
    found = multiply(tiles, np.repeat(codes, frames, axis=0), noise="physical", **how).values
    array = arrays_of(weights, 2, 1, sign, 32, 8)
    for j in range(3):
        sigma = column_sigma(array, codes[0], sign, j, temperature, own, tiles.planes)
        apart = found[:, j] - exact[j]
        assert abs(apart.mean()) < 5 * sigma / math.sqrt(frames)
        assert apart.std() == pytest.approx(sigma, rel=5 / math.sqrt(2 * frames) + 5e-3)


def test_thermal_noise_at_400_kelvin_has_four_thirds_of_the_variance() -> None:
    """Without a voltage all noise is thermal; the draws are the same, so that the values grow by sqrt(4 / 3).

    The grid of the variance is relative to the largest one, with shot noise at full scale: 1 % of the thermal part.
    """
    weights, codes = drawn(9, 40, 9, 20, 3)
    tiles = programmed(weights, 3, tile_rows=32, tile_columns=8)
    cold, hot = (
        multiply(tiles, 0 * codes, adc=IDEAL, dac=DacTransfer(8, VOLTS), temperature_kelvin=kelvin).values
        for kelvin in (300.0, 400.0)
    )
    assert (hot * cold).sum() / (cold**2).sum() == pytest.approx(math.sqrt(4 / 3), rel=5e-3)
    assert np.abs(cold).min() > 0


def test_depthwise_columns_have_the_noise_of_their_cells() -> None:
    weights, _ = drawn(5, 8, 3, 1, 2)
    frames = 20_000
    pattern = np.random.default_rng(1).integers(-128, 129, (8, 3)).astype(np.int16)
    codes = np.tile(pattern, (frames, 1))
    tiles = programmed(weights, 2, noisy=True, tile_rows=8, tile_columns=8)
    how = {"dac": DacTransfer(8, VOLTS), "adc": IDEAL, "step": 8}
    exact = multiply_depthwise(tiles, codes[:8], noise="off", **how).values[0]
    found = multiply_depthwise(tiles, codes, noise="physical", **how).values - exact
    array = arrays_of(weights, 2, 1, "pair", 8, 8)
    for j in range(3):
        sigma = column_sigma(array, pattern[:, j], "pair", j, 300.0, True)
        assert found[:, j].std() == pytest.approx(sigma, rel=5 / math.sqrt(2 * frames) + 5e-3)


def test_noise_of_cells_is_left_out_of_other_models_and_costs_nothing_without() -> None:
    weights, codes = drawn(2, 40, 9, 5, 3)
    plainly, noisy = (programmed(weights, 3, noisy=own, tile_rows=32, tile_columns=8) for own in (False, True))
    assert plainly.noise is None and noisy.noise is not None
    how = {"dac": DacTransfer(8, VOLTS), "adc": IDEAL, "seed": 4}
    for model, same in (("off", True), ("legacy", True), ("physical", False)):
        a, b = (multiply(tiles, codes, noise=model, **how).values for tiles in (plainly, noisy))
        assert (a.tobytes() == b.tobytes()) is same


def test_the_same_bits_for_any_threads_and_blocks() -> None:
    weights, codes = drawn(7, 90, 40, 37, 3)
    tiles = programmed(weights, 3, noisy=True, tile_rows=32, tile_columns=16)
    how = {"dac": DacTransfer(8, VOLTS), "adc": AdcTransfer(5, 4), "seed": 9}
    whole = multiply(tiles, codes, **how)
    blocks = [multiply(tiles, codes, frames_per_block=size, **how) for size in (1, 5, 37)]
    parts = [multiply(tiles, codes[a : a + 10], first_frame=a, **how).values for a in range(0, 37, 10)]
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = multiply(programmed(weights, 3, noisy=True, tile_rows=32, tile_columns=16), codes, **how)
    finally:
        numba.set_num_threads(before)
    assert all(whole.values.tobytes() == other.values.tobytes() for other in (*blocks, one))
    assert np.concatenate(parts).tobytes() == whole.values.tobytes()


@settings(max_examples=30, deadline=None)
@given(states=st.lists(st.floats(-0.3, 1.3), min_size=1, max_size=9), volts=st.sampled_from([0.1, 0.3, 0.5, -0.5]))
def test_states_of_chords_are_the_states(states, volts) -> None:
    r = np.array(states)
    for law in (None, terms()):
        g = chords(r, curves(), law, volts)
        np.testing.assert_allclose(states_of(g, curves(), law, volts), r, rtol=0, atol=1e-10)


def test_wrong_terms_are_named() -> None:
    with pytest.raises(ValueError, match="without voltage must carry no current"):
        Terms(((1.0, 0.5),), lambda r: r[None])
    with pytest.raises(ValueError, match=r"within \+-1"):
        Terms(((1.0, 0.0),), lambda r: 2 + r[None]).of(np.zeros(3))
    with pytest.raises(ValueError, match=r"within \+-1"):
        Terms(((1.0, 0.0),), lambda r: np.nan * r[None]).of(np.zeros(3))
    with pytest.raises(ValueError, match=r"expected coefficients \(1, 3\), found \(3,\)"):
        Terms(((1.0, 0.0),), lambda r: r).of(np.zeros(3))
    steep = Terms(((1e-3, 0.0),), lambda r: np.cos(7 * r)[None])
    with pytest.raises(ValueError, match="outweigh"):
        states_of(np.array([100e-6]), curves(), steep, 0.5)
    for wrong in (-1e-12, math.nan):
        with pytest.raises(ValueError, match="must not be negative"):
            CellNoise.of(np.array([1e-12, wrong]))


@pytest.mark.parametrize("sign", ["pair", "offset"])
def test_noise_of_terms_that_carry_half_of_the_current(sign) -> None:
    """A cube of c(r) = r (1 - r) beside ohmic ends of 225 and 50 uS, in cells of two bits, at full voltage."""
    frames, cube = 20_000, 2e-3
    law = Terms(((cube, 0.0, 0.0, 0.0),), lambda r: np.clip(r * (1 - r), -1, 1)[None])
    ends = Curves((HIGHEST, 0.0), (LOWEST, 0.0), (HIGHEST - LOWEST) * VOLTS / 3)
    weights = np.random.default_rng(3).integers(1, 3, (32, 3))  # levels in the middle of the range alone
    tiles = program_tiles(
        weights, CELLS.programmer(1, read_voltage=VOLTS, cell_bits=2), ends, weight_bits=3, cell_bits=2, sign=sign,
        tile_rows=32, tile_columns=8, terms=law,
    )  # fmt: skip
    codes = np.full((frames, 32), 128, np.int16)
    how = {"dac": DacTransfer(8, VOLTS), "adc": IDEAL, "seed": 2}
    exact = multiply(tiles, codes[:1], noise="off", **how).values[0]
    found = multiply(tiles, codes, noise="physical", **how).values - exact
    array = arrays_of(weights, 3, 2, sign, 32, 8)
    for j in range(3):
        total = 0.0
        for p, s in np.ndindex(tiles.planes, 2):
            for row in array(0, p, s):
                g = row[j if sign == "pair" or s == 0 else 0]
                r = (HIGHEST - g) / (HIGHEST - LOWEST)
                current = g * VOLTS + cube * VOLTS**3 * r * (1 - r)
                total += 16**p * (4 * KB * 300 * 1e8 / VOLTS + 2 * ELECTRON * 1e8) * current
        sigma = math.sqrt(total) / ends.unit
        assert found[:, j].std() == pytest.approx(sigma, rel=5 / math.sqrt(2 * frames) + 5e-3)
