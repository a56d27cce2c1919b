"""Values of the crossbar kernel: exact where everything is ideal, else those of the plain per-cell reference."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property import reference_tile
from scipy import stats

from accelsim.devices import Device, load_device
from accelsim.kernels.conversion import Words
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.kernels.crossbar import PLANES_PER_TILE, digits, planes_of, program_tiles
from accelsim.kernels.product import multiply, multiply_depthwise
from accelsim.kernels.read_power import read_power

IDEAL, GAUSSIAN, SYNAPTOGEN = (load_device(name) for name in ("ideal", "gaussian", "synaptogen"))


def setting(seed: int, inputs: int, outputs: int, frames: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    top = 2 ** (bits - 1) - 1
    weights = generator.integers(-top, top + 1, (inputs, outputs))
    return weights, generator.integers(-128, 129, (frames, inputs)).astype(np.int16)


def programmed(device: Device, weights: np.ndarray, bits: int, seed: int = 1, cell_bits: int = 1, **options):
    return program_tiles(
        weights, device.programmer(seed, cell_bits=cell_bits), device.curves(0.6, cell_bits),
        weight_bits=bits, cell_bits=cell_bits, **options,
    )  # fmt: skip


def array_states(
    device: Device, weights: np.ndarray, bits: int, cell_bits: int, sign: str, rows: int, columns: int, seed: int
):
    """What the reference needs: the states of every array, programmed one array at a time."""
    column_tiles, top = -(-weights.shape[1] // columns), 2 ** (bits - 1) - 1

    def states(tile: int, plane: int, s: int) -> np.ndarray:
        k, m = divmod(tile, column_tiles)
        block = np.zeros((rows, columns), int)
        part = weights[k * rows : (k + 1) * rows, m * columns : (m + 1) * columns]
        block[: part.shape[0], : part.shape[1]] = part
        if sign == "pair":
            magnitude = np.maximum(block if s == 0 else -block, 0)
        else:
            magnitude = block + top if s == 0 else np.full((rows, 1), top)
        levels = ((magnitude >> (plane * cell_bits)) & (2**cell_bits - 1)).astype(np.uint8)
        number = 2 * (PLANES_PER_TILE * tile + plane) + s
        return device.program(levels[None], np.array([number]), seed=seed, cell_bits=cell_bits).states[0].astype(float)

    cache: dict = {}
    return lambda *key: cache.setdefault(key, states(*key)) if key not in cache else cache[key]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    inputs=st.integers(1, 200),
    outputs=st.integers(1, 150),
    bits=st.integers(2, 8),
    cell_bits=st.sampled_from([1, 2, 3]),
    sign=st.sampled_from(["pair", "offset"]),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
    rows=st.sampled_from([64, 100, 128]),
    columns=st.sampled_from([64, 128, 512]),
    ideal=st.booleans(),
)
def test_ideal_cells_and_converters_multiply_integers_exactly(
    seed, inputs, outputs, bits, cell_bits, sign, mode, rows, columns, ideal
) -> None:
    weights, codes = setting(seed, inputs, outputs, 5, bits)
    tiles = programmed(IDEAL, weights, bits, cell_bits=cell_bits, sign=sign, tile_rows=rows, tile_columns=columns)
    adc = AdcTransfer(ideal=True) if ideal else AdcTransfer(7, 16)
    found = multiply(tiles, codes, dac=DacTransfer(8, mode=mode), adc=adc, noise="off")
    assert np.array_equal(found.values * 128, codes.astype(int) @ weights)
    assert found.clipped.sum() == 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 5),
    bits=st.integers(2, 6),
    cell_bits=st.sampled_from([1, 2]),
    serial=st.booleans(),
    rows=st.sampled_from([16, 64]),
    dac_bits=st.integers(2, 5),
    precision=st.integers(0, 3),
    widths=st.tuples(*[st.integers(3, 14)] * 3),
)
def test_words_behind_the_converters_saturate_as_in_a_plain_loop(
    seed, inputs, outputs, bits, cell_bits, serial, rows, dac_bits, precision, widths
) -> None:
    weights, _ = setting(seed, inputs, outputs, 3, bits)
    top = 2 ** (dac_bits - 1)
    codes = np.random.default_rng(seed).integers(-top, top + 1, (3, inputs)).astype(np.int16)
    tiles = programmed(IDEAL, weights, bits, cell_bits=cell_bits, tile_rows=rows, tile_columns=64)
    dac, adc = DacTransfer(dac_bits, mode="bit_serial" if serial else "amplitude"), AdcTransfer(precision, 4)
    words = Words(2.0**-precision / (top if serial else 1), *widths)
    found = multiply(tiles, codes, dac=dac, adc=adc, noise="off", words=words, frames_per_block=2)
    wanted, clamped = reference_tile.in_words(
        weights, codes, weight_bits=bits, cell_bits=cell_bits, rows=rows, dac_bits=dac_bits, serial=serial,
        precision_bits=precision, range_bits=4, adder=widths[0], output=widths[1], total=widths[2],
    )  # fmt: skip
    np.testing.assert_array_equal(found.values, wanted)
    assert found.saturated_per_frame.sum() == clamped
    if words.hold(adc, (len(tiles.difference), tiles.planes, 1), cell_bits, dac):
        assert clamped == 0
        np.testing.assert_array_equal(multiply(tiles, codes, dac=dac, adc=adc, noise="off").values, wanted)


def test_words_that_hold_every_sum_are_told_apart_from_those_that_do_not() -> None:
    """Three planes of codes up to 128: 7 x 128 = 896 in a tile, 1792 in two; bit by bit 896 x 255 = 228,480."""
    adc, dac = AdcTransfer(4, 4), DacTransfer(8)
    for adder, output, total, hold in [
        (11, 11, 12, True), (10, 11, 12, False), (11, 10, 12, False), (11, 11, 11, False)
    ]:  # fmt: skip
        assert Words(2.0**-4, adder, output, total).hold(adc, (2, 3, 1), 1, dac) == hold
    serial = DacTransfer(8, mode="bit_serial")
    for adder, hold in [(18, False), (19, True)]:
        assert Words(2.0**-4 / 128, adder, 24, 24).hold(adc, (2, 3, 1), 1, serial) == hold
    with pytest.raises(ValueError, match="words hold codes"):
        tiles = programmed(IDEAL, np.ones((4, 2), int), 4)
        multiply(tiles, np.zeros((1, 4), np.int16), adc=AdcTransfer(ideal=True), words=Words(1.0, 8, 8, 8))


@pytest.mark.parametrize("device", [GAUSSIAN, SYNAPTOGEN], ids=["gaussian", "synaptogen"])
@pytest.mark.parametrize(
    ("bits", "cell_bits", "sign", "mode"),
    [
        (3, 1, "pair", "amplitude"),
        (4, 2, "pair", "amplitude"),
        (3, 1, "offset", "bit_serial"),
        (4, 1, "offset", "amplitude"),
    ],
)
def test_without_noise_the_values_are_those_of_the_cells(device, bits, cell_bits, sign, mode) -> None:
    weights, codes = setting(5, 70, 9, 3, bits)
    codes = (codes // 2).astype(np.int16)
    shape = {"tile_rows": 64, "tile_columns": 64}
    tiles = programmed(device, weights, bits, cell_bits=cell_bits, sign=sign, **shape)
    states = array_states(device, weights, bits, cell_bits, sign, 64, 64, 1)
    dac = DacTransfer(8, mode=mode)
    for adc in (AdcTransfer(ideal=True), AdcTransfer(4, 4), AdcTransfer(2, 2)):
        found = multiply(tiles, codes, dac=dac, adc=adc, noise="off")
        wanted, clipped = reference_tile.product(
            weights, codes, states, device.curves(0.6, cell_bits),
            weight_bits=bits, cell_bits=cell_bits, sign=sign, rows=64, columns=64, dac=dac, adc=adc,
        )  # fmt: skip
        # The grids move a column by 1e-5 weight units; a value that close to the middle of two codes may go either way.
        step = 0.0 if adc.ideal else 2.0**-adc.precision_bits
        apart = np.abs(found.values - wanted)
        assert (apart < 2e-3).mean() > 0.95 and apart.max() < 2e-3 + 2 ** (bits + 1) * step
        assert abs(int(found.clipped.sum()) - clipped) <= 1
        assert found.clipped.sum() == found.clipped_per_frame.sum()


@pytest.mark.parametrize("noise", ["physical", "legacy"])
@pytest.mark.parametrize("sign", ["pair", "offset"])
def test_noise_has_the_distribution_of_noise_per_cell(noise, sign) -> None:
    """Kolmogorov-Smirnov and moments at 5 standard errors; one conversion, so that the noise is seen alone."""
    weights, codes = setting(6, 64, 3, 1, 2)
    shape = {"tile_rows": 64, "tile_columns": 64}
    tiles = programmed(SYNAPTOGEN, weights, 2, sign=sign, **shape)
    frames, few = 20_000, 300
    many = np.repeat(codes, frames, axis=0)
    ideal = AdcTransfer(ideal=True)
    found = multiply(tiles, many, adc=ideal, noise=noise, seed=3).values
    exact = multiply(tiles, codes, adc=ideal, noise="off").values[0]
    curves = SYNAPTOGEN.curves(0.6)
    states = array_states(SYNAPTOGEN, weights, 2, 1, sign, 64, 64, 1)
    wanted, _ = reference_tile.product(
        weights, np.repeat(codes, few, axis=0), states, curves, weight_bits=2, sign=sign, rows=64, columns=64,
        dac=DacTransfer(), adc=ideal, noise=noise, generator=np.random.default_rng(0),
    )  # fmt: skip
    for j in range(3):
        assert stats.ks_2samp(found[:, j], wanted[:, j]).pvalue > 1e-4
    volts = codes[0] / 128 * 0.6
    planes = (0,) if sign == "pair" else (0, 1)
    for j in range(3):
        sigma2 = 0.0
        for p in planes:
            other = states(0, p, 1)[:, j if sign == "pair" else 0]
            for r in (states(0, p, 0)[:, j], other):
                sigma2 += 4**p * sum(reference_tile.variance(curves, r[i], volts[i], noise) for i in range(64))
        sigma = np.sqrt(sigma2) / curves.unit
        assert found[:, j].mean() == pytest.approx(exact[j], abs=5 * sigma / np.sqrt(frames))
        assert found[:, j].std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * frames) + 5e-3)
        assert stats.kstest((found[:, j] - exact[j]) / found[:, j].std(), "norm").pvalue > 1e-4
    if sign == "offset":  # the offset column's noise is in all columns of its tile, the pairs' noise is not
        assert np.corrcoef(found.T)[0, 1] > 0.2
    else:
        assert np.abs(np.corrcoef(found.T)[np.triu_indices(3, 1)]).max() < 5 / np.sqrt(frames)


def test_the_same_bits_for_any_threads_batches_and_blocks() -> None:
    weights, codes = setting(7, 150, 140, 37, 4)
    tiles = programmed(SYNAPTOGEN, weights, 4, tile_rows=64, tile_columns=64)
    whole = multiply(tiles, codes, noise="legacy", seed=9)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        again = programmed(SYNAPTOGEN, weights, 4, tile_rows=64, tile_columns=64)
        one = multiply(again, codes, noise="legacy", seed=9)
    finally:
        numba.set_num_threads(before)
    assert tiles.difference.tobytes() == again.difference.tobytes()
    assert one.values.tobytes() == whole.values.tobytes() and np.array_equal(one.clipped, whole.clipped)
    for block in (1, 3, 16):
        assert (
            multiply(tiles, codes, noise="legacy", seed=9, frames_per_block=block).values.tobytes()
            == whole.values.tobytes()
        )
    parts = [
        multiply(tiles, codes[a:b], noise="legacy", seed=9, first_frame=a).values
        for a, b in ((0, 1), (1, 20), (20, 37))
    ]
    assert np.concatenate(parts).tobytes() == whole.values.tobytes()
    assert multiply(tiles, codes, noise="legacy", seed=10).values.tobytes() != whole.values.tobytes()


def test_a_tile_is_the_same_alone_and_among_others() -> None:
    weights, codes = setting(8, 128, 128, 11, 3)
    shape = {"tile_rows": 64, "tile_columns": 64}
    whole = multiply(programmed(SYNAPTOGEN, weights, 3, **shape), codes, noise="legacy", seed=2).values
    for m in (1, 0):  # in the other order
        total = np.zeros((11, 64))
        for k in (1, 0):
            part = weights[k * 64 : (k + 1) * 64, m * 64 : (m + 1) * 64]
            tiles = programmed(SYNAPTOGEN, part, 3, first_tile=2 * k + m, **shape)
            total += multiply(
                tiles, np.ascontiguousarray(codes[:, k * 64 : (k + 1) * 64]), noise="legacy", seed=2
            ).values
        assert np.array_equal(total, whole[:, m * 64 : (m + 1) * 64])


def test_settings_per_adc_and_the_count_of_clips() -> None:
    weights, codes = setting(9, 128, 128, 20, 3)
    tiles = programmed(IDEAL, weights, 3, tile_rows=64, tile_columns=64)
    settings = np.full((2, 2, 2), AdcTransfer(7, 16), object)
    settings[1, 0, 1] = AdcTransfer(4, 1)
    found = multiply(tiles, codes, adc=settings, noise="off")
    exact = codes.astype(int) @ weights / 128
    assert np.array_equal(found.values[:, :64], exact[:, :64])
    plane = np.where(weights[64:, 64:] % 2, np.sign(weights[64:, 64:]), 0)
    column = codes[:, 64:].astype(int) @ plane / 128
    kept = np.clip(np.rint(column * 16), -16, 16) / 16
    assert np.array_equal(found.values[:, 64:], exact[:, 64:] - column + kept)
    clipped = np.abs(np.rint(column * 16)) > 16
    assert found.clipped[1, 0, 1] == clipped.sum() == found.clipped.sum()
    assert np.array_equal(found.clipped_per_frame, clipped.sum(axis=1))


@pytest.mark.parametrize("mode", ["amplitude", "bit_serial"])
def test_depthwise_columns_have_inputs_of_their_own(mode) -> None:
    weights, _ = setting(10, 31, 70, 1, 4)
    codes = np.random.default_rng(3).integers(-128, 129, (31 + 9, 70)).astype(np.int16)
    dac = DacTransfer(8, mode=mode)
    for device, exact in ((IDEAL, True), (SYNAPTOGEN, False)):
        tiles = programmed(device, weights, 4, tile_rows=31, tile_columns=64)
        found = multiply_depthwise(tiles, codes, dac=dac, adc=AdcTransfer(ideal=True), noise="off").values
        windows = np.lib.stride_tricks.sliding_window_view(codes.astype(int), 31, axis=0)
        wanted = np.einsum("tci,ic->tc", windows, weights) / 128
        if exact:
            assert np.array_equal(found, wanted)
        for c in (0, 69):  # a column is what a dense matrix of one column gives
            dense = multiply(
                tiles,
                np.ascontiguousarray(windows[:, c]).astype(np.int16),
                dac=dac,
                adc=AdcTransfer(ideal=True),
                noise="off",
            )
            assert np.allclose(found[:, c], dense.values[:, c], atol=1e-9)
    noisy = multiply_depthwise(tiles, codes, noise="legacy", seed=4).values
    parts = [multiply_depthwise(tiles, codes[a : a + 35], noise="legacy", seed=4, first_frame=a).values for a in (0, 5)]
    assert np.array_equal(np.concatenate(parts), noisy)


def test_the_noise_of_depthwise_columns_is_that_of_dense_ones() -> None:
    weights, _ = setting(11, 31, 4, 1, 2)
    tiles = programmed(SYNAPTOGEN, weights, 2, tile_rows=31, tile_columns=64)
    frames = 20_000
    codes = np.full((frames + 30, 4), 100, np.int16)
    ideal = AdcTransfer(ideal=True)
    columns = multiply_depthwise(tiles, codes, adc=ideal, noise="legacy", seed=1).values
    dense = multiply(tiles, np.full((frames, 31), 100, np.int16), adc=ideal, noise="legacy", seed=2).values
    assert columns.std(axis=0) == pytest.approx(dense.std(axis=0), rel=5 / np.sqrt(frames) + 5e-3)
    assert columns.mean(axis=0) == pytest.approx(dense.mean(axis=0), abs=8 * dense.std() / np.sqrt(frames))


@pytest.mark.parametrize("mode", ["amplitude", "bit_serial"])
def test_read_power_is_the_sum_over_the_cells(mode) -> None:
    weights, codes = setting(12, 70, 5, 2, 3)
    tiles = programmed(SYNAPTOGEN, weights, 3, tile_rows=64, tile_columns=64)
    states = array_states(SYNAPTOGEN, weights, 3, 1, "pair", 64, 64, 1)
    dac, curves = DacTransfer(8, mode=mode), SYNAPTOGEN.curves(0.6)
    found = read_power(tiles, codes, dac)
    per_tile = read_power(tiles, codes, dac, per_tile=True)
    assert per_tile.shape == (2, 2, 1) and np.allclose(per_tile.sum(axis=(1, 2)), found)
    for t in range(2):
        total = 0.0
        for phase in range(dac.phases):
            for i in range(70):
                code = int(codes[t, i])
                share = code / 128 if mode == "amplitude" else np.sign(code) * ((abs(code) >> phase) & 1)
                volts = np.array(share * 0.6)
                for p in (0, 1):
                    for s in (0, 1):
                        total += float((volts * curves.current(states(i // 64, p, s)[i % 64], volts)).sum())
        assert found[t] == pytest.approx(total / dac.phases, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.zeros((2, 7), np.int16)}, r"expected codes \[frames, 8\], found shape \(2, 7\)"),
        ({"codes": np.full((2, 8), 129, np.int16)}, "a DAC of 8 bits has codes from -128 to 128, found 129"),
        ({"noise": "thermal"}, "unknown noise model 'thermal'"),
        ({"seed": -1}, "a seed must be a whole number"),
    ],
)
def test_wrong_calls_are_named(change, message) -> None:
    weights, codes = setting(1, 8, 8, 2, 3)
    arguments = {"codes": codes, "noise": "off", "seed": 0} | change
    tiles = programmed(IDEAL, weights, 3, tile_rows=64)
    with pytest.raises(ValueError, match=message):
        multiply(tiles, arguments["codes"], noise=arguments["noise"], seed=arguments["seed"])


@dataclass
class TableAdc:
    """A flash ADC: the n-th value where a current reaches n thresholds; clipped at both ends if there is a `limit`."""

    thresholds: np.ndarray
    values: np.ndarray
    clips: np.ndarray

    def transfer(self, currents):
        at = np.searchsorted(self.thresholds, currents, side="right")
        return self.values[at], self.clips[at]


def as_a_table(precision: int, range_bits: int) -> TableAdc:
    """The table of a converter with steps of 2^-precision, clipped at +-2^(range_bits - 1), halves to even.

    Between the codes c and c + 1 lies (c + 1/2) steps: a current that is exactly that belongs to the even one.
    """
    top = 2 ** (precision + range_bits - 1)
    lower = np.arange(-top - 1, top + 1)
    middle = (lower + 0.5) / 2**precision
    thresholds = np.where(lower % 2 == 0, np.nextafter(middle, np.inf), middle)
    codes = np.arange(-top - 1, top + 2)
    return TableAdc(thresholds, np.clip(codes, -top, top) / 2**precision, np.abs(codes) > top)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    outputs=st.integers(1, 150),
    frames=st.integers(0, 40),
    precision=st.integers(0, 4),
    range_bits=st.integers(1, 5),
    cell_bits=st.sampled_from([1, 2]),
    sign=st.sampled_from(["pair", "offset"]),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
    noise=st.sampled_from(["off", "legacy"]),
    device=st.sampled_from([IDEAL, GAUSSIAN]),
)
def test_a_table_is_the_converter_whose_table_it_is(
    seed, outputs, frames, precision, range_bits, cell_bits, sign, mode, noise, device
) -> None:
    """Everywhere, and in some places among converters of the built-in kind; to the bit, with all counts."""
    weights, codes = setting(seed, 100, outputs, frames, 3)
    tiles = programmed(device, weights, 3, cell_bits=cell_bits, sign=sign, tile_rows=64, tile_columns=64)
    built_in, table = AdcTransfer(precision, range_bits), as_a_table(precision, range_bits)
    shape = (2, tiles.planes, tiles.column_tiles)
    generator = np.random.default_rng(seed)
    some, other = np.empty(shape, object), np.empty(shape, object)
    for place in np.ndindex(shape):
        other[place] = built_in if generator.random() < 0.7 else AdcTransfer(ideal=True)
        some[place] = table if other[place] is built_in and generator.random() < 0.5 else other[place]
    how = {"dac": DacTransfer(8, mode=mode), "noise": noise, "seed": seed}
    for found, wanted in ((table, built_in), (some, other)):
        a, b = (multiply(tiles, codes, adc=adc, **how) for adc in (found, wanted))
        if wanted is built_in:
            assert a.values.tobytes() == b.values.tobytes()
        else:  # ideal converters add what is no multiple of a step, and the order of the additions differs
            np.testing.assert_allclose(a.values, b.values, rtol=0, atol=1e-9)
        assert np.array_equal(a.clipped, b.clipped) and np.array_equal(a.clipped_per_frame, b.clipped_per_frame)


@pytest.mark.parametrize("noise", ["off", "legacy"])
def test_depthwise_columns_take_a_table_too(noise) -> None:
    weights, _ = setting(10, 31, 70, 1, 4)
    codes = np.random.default_rng(3).integers(-128, 129, (31 + 300, 70)).astype(np.int16)
    tiles = programmed(GAUSSIAN, weights, 4, tile_rows=31, tile_columns=64)
    a, b = (multiply_depthwise(tiles, codes, adc=adc, noise=noise) for adc in (as_a_table(3, 2), AdcTransfer(3, 2)))
    assert a.values.tobytes() == b.values.tobytes()
    assert np.array_equal(a.clipped, b.clipped) and np.array_equal(a.clipped_per_frame, b.clipped_per_frame)
    assert a.clipped.sum() > 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), bits=st.integers(1, 4), block=st.sampled_from([None, 1, 7]))
def test_a_flash_adc_with_thresholds_of_its_own(seed, bits, block) -> None:
    """Ideal cells: every tile and plane has a whole partial sum / 128, which the thresholds cut into four values."""
    generator = np.random.default_rng(seed)
    top = max(2 ** (bits - 1) - 1, 1)
    weights = generator.choice(np.array([q for q in range(-top, top + 1) if q or bits > 1]), (100, 70))
    codes = generator.integers(-128, 129, (20, 100)).astype(np.int16)
    adc = TableAdc(np.array([-2.0, 0.25, 3.5]), np.array([-4.0, -0.5, 1.5, 7.0]), np.array([True, False, False, True]))
    found = multiply(
        programmed(IDEAL, weights, bits, tile_rows=64, tile_columns=64), codes,
        adc=adc, noise="off", frames_per_block=block,
    )  # fmt: skip
    wanted, clipped = np.zeros((20, 70)), np.zeros(20, int)
    for rows in (slice(0, 64), slice(64, 100)):
        for p in range(max(bits - 1, 1)):
            plane = np.sign(weights[rows]) * (np.abs(weights[rows]) >> p & 1)
            current = codes[:, rows].astype(int) @ plane / 128
            for t, j in np.ndindex(current.shape):
                x = current[t, j]
                wanted[t, j] += 2**p * (-4 if x < -2 else -0.5 if x < 0.25 else 1.5 if x < 3.5 else 7)
                clipped[t] += x < -2 or x >= 3.5
    assert np.array_equal(found.values, wanted)
    assert np.array_equal(found.clipped_per_frame, clipped) and found.clipped.sum() == clipped.sum()


def test_a_transfer_function_keeps_the_shape() -> None:
    class Wrong:
        def transfer(self, currents):
            return currents[:, :1], currents > 0

    tiles = programmed(IDEAL, np.ones((8, 8), int), 2, tile_rows=64)
    with pytest.raises(ValueError, match=r"transfer function of Wrong made values \(2, 1\) and clipped \(2, 8\) bool"):
        multiply(tiles, np.zeros((2, 8), np.int16), adc=Wrong(), noise="off")


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    inputs=st.integers(1, 150),
    outputs=st.integers(1, 90),
    cell_bits=st.sampled_from([1, 2, 3]),
    sign=st.sampled_from(["pair", "offset"]),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
)
def test_weights_of_one_bit_multiply_exactly(seed, inputs, outputs, cell_bits, sign, mode) -> None:
    """-1 and 1, with tiles that are padded with zeros; a pair needs one plane, an offset 2 bits."""
    generator = np.random.default_rng(seed)
    weights = generator.choice(np.array([-1, 1]), (inputs, outputs))
    codes = generator.integers(-128, 129, (5, inputs)).astype(np.int16)
    planes = 1 if sign == "pair" or cell_bits > 1 else 2
    assert planes_of(1, cell_bits, sign) == planes
    tiles = programmed(IDEAL, weights, 1, cell_bits=cell_bits, sign=sign, tile_rows=64, tile_columns=64)
    assert tiles.planes == planes and tiles.difference.shape[2] == planes * (
        outputs + (tiles.column_tiles if sign == "offset" else 0)
    )
    found = multiply(tiles, codes, dac=DacTransfer(8, mode=mode), adc=AdcTransfer(7, 16), noise="off")
    assert np.array_equal(found.values * 128, codes.astype(int) @ weights)
    levels = digits(weights, 1, cell_bits, sign).astype(int)
    place = 2 ** (cell_bits * np.arange(planes))
    assert np.array_equal(np.tensordot(place, levels[:, 0] - levels[:, 1], 1), weights)


@pytest.mark.parametrize("sign", ["pair", "offset"])
@pytest.mark.parametrize("wrong", [0, 2, -2])
def test_weights_of_one_bit_are_minus_one_or_one(wrong, sign) -> None:
    with pytest.raises(ValueError, match="1-bit weights must be -1 or 1"):
        programmed(IDEAL, np.array([[1, -1], [1, wrong]]), 1, sign=sign)
    with pytest.raises(ValueError, match="1-bit weights must be -1 or 1"):
        digits(np.array([wrong]), 1, 1, sign)
    with pytest.raises(ValueError, match="from 1 to 64 bits, found 0"):
        programmed(IDEAL, np.array([[1]]), 0, sign=sign)


def test_weights_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"3-bit weights must lie within \+-3"):
        programmed(IDEAL, np.array([[4]]), 3)
