"""Converters with offset, gain error, nonlinearity and noise: to the bit those of the plain model."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import reference_converters
import reference_ssm
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_tile import normals as plain_normals
from scipy import stats

from accelsim.devices import load_device
from accelsim.kernels import counter_random
from accelsim.kernels.conversion import Words
from accelsim.kernels.converter_errors import Assigned, ConverterErrors, converters_of_columns, draw_errors
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.kernels.crossbar import PLANES_PER_TILE, program_tiles
from accelsim.kernels.product import multiply, multiply_depthwise
from accelsim.kernels.read_noise import ReadNoise
from accelsim.kernels.ssm import largest_level, program_kernels, recurrence

IDEAL, SYNAPTOGEN = load_device("ideal"), load_device("synaptogen")


def programmed(weights: np.ndarray, bits: int, device=IDEAL, **options):
    return program_tiles(weights, device.programmer(1), device.curves(0.6), weight_bits=bits, **options)


def made_up(generator: np.random.Generator, converters: int, points: int, noise: float) -> ConverterErrors:
    offset, gain, bow, s_curve = generator.normal(size=(4, converters)) * np.array([[0.8], [0.02], [0.5], [0.5]])
    return ConverterErrors(offset, gain, bow, s_curve, generator.normal(size=(converters, points)), noise)


def own_noise(seed: int, tile: int, plane: int, frame: int, phase: int, tile_columns: int) -> np.ndarray:
    """The normals of a tile's plane in one phase of a frame, straight from the generator."""
    groups = -(-tile_columns // 4)
    out = np.zeros(4 * groups, np.float32)
    low, high = counter_random.split_seed(seed)
    counter_random.normals_into(
        out, groups, np.uint64(phase * (groups + 1)), np.uint64(frame),
        np.uint64(tile * PLANES_PER_TILE + plane), high, low, np.uint64(counter_random.CONVERTER_NOISE_STREAM),
    )  # fmt: skip
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    inputs=st.integers(1, 100),
    outputs=st.integers(1, 90),
    bits=st.integers(2, 5),
    precision=st.integers(0, 4),
    range_bits=st.integers(1, 6),
    units=st.integers(1, 20),
    points=st.sampled_from([0, 2, 5]),
    noise=st.sampled_from([0.0, 0.6]),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
    first_tile=st.integers(0, 3),
)
def test_every_conversion_is_that_of_the_plain_model(
    seed, inputs, outputs, bits, precision, range_bits, units, points, noise, mode, first_tile
) -> None:
    generator, top, frames = np.random.default_rng(seed), 2 ** (bits - 1) - 1, 3
    weights = generator.integers(-top, top + 1, (inputs, outputs))
    codes = generator.integers(-128, 129, (frames, inputs)).astype(np.int16)
    rows, columns, planes = 64, 64, bits - 1
    row_tiles, column_tiles = math.ceil(inputs / rows), math.ceil(outputs / columns)
    shared_by = math.ceil(planes * columns / units)
    errors = made_up(generator, row_tiles * column_tiles * units, points, noise)
    assigned = Assigned(errors, converters_of_columns(
        row_tiles, planes, outputs, tile_columns=columns, units=units, shared_by=shared_by
    ))  # fmt: skip
    dac, adc = DacTransfer(8, mode=mode), AdcTransfer(precision, range_bits)
    found = multiply(
        programmed(weights, bits, tile_rows=rows, tile_columns=columns, first_tile=first_tile), codes,
        dac=dac, adc=adc, noise="off", seed=seed, errors=assigned,
    )  # fmt: skip
    wanted, clipped = np.zeros((frames, outputs)), np.zeros(frames, int)
    at = reference_converters.units(planes, outputs, columns, shared_by)
    serial = mode == "bit_serial"
    for k in range(row_tiles):
        part, used = codes[:, k * rows : (k + 1) * rows].astype(int), weights[k * rows : (k + 1) * rows]
        for phase in range(8 if serial else 1):
            driven = np.sign(part) * (np.abs(part) >> phase & 1) if serial else part
            for p in range(planes):
                current = driven @ (np.sign(used) * (np.abs(used) >> p & 1)) / (1 if serial else 128)
                for t, j in np.ndindex(current.shape):
                    m, unit = at[p, j]
                    c = (k * column_tiles + m) * units + unit
                    tile = first_tile + k * column_tiles + m
                    z = float(own_noise(seed, tile, p, t, phase, columns)[j % columns]) if noise else 0.0
                    code, clip = reference_converters.code(
                        current[t, j] * 2.0**precision, adc.largest_code, gain=errors.gain[c], offset=errors.offset[c],
                        bow=errors.bow[c], s_curve=errors.s_curve[c], inl=errors.inl[c], noise=noise * z,
                    )  # fmt: skip
                    wanted[t, j] += code * 2.0 ** (p - precision + (phase - 7 if serial else 0))
                    clipped[t] += clip
    assert found.values.tobytes() == wanted.tobytes()
    assert np.array_equal(found.clipped_per_frame, clipped) and found.clipped.sum() == clipped.sum()


def test_one_converter_by_hand() -> None:
    """8 bits, offset 0.3, gain 1 %, nonlinearity 0, 0.8, 0, -0.8, 0 at -128, -64, 0, 64, 128.

    64: 64 + 0.64 + 0.3 - 0.8 = 64.14; -64: -64 - 0.64 + 0.3 + 0.8 = -63.54; 100: 100 + 1 + 0.3 - 0.8 (28 / 64) =
    100.95; 127: 127 + 1.27 + 0.3 - 0.0125 = 128.5575, clipped; -127: -127 - 1.27 + 0.3 + 0.0125 = -127.9575; 0.25: 0.25
    + 0.0025 + 0.3 - 0.003125 = 0.549375; -0.75: -0.75 - 0.0075 + 0.3 + 0.009375 = -0.448125.
    """
    inputs = np.array([64, -64, 100, 127, -127, 0.25, -0.75])
    codes = np.zeros((len(inputs), 128), np.int16)
    for frame, x in zip(codes, inputs, strict=True):
        whole = int(abs(x))
        frame[:whole], frame[whole] = 128 * np.sign(x), (abs(x) - whole) * 128 * np.sign(x)
    one = [np.array([value]) for value in (0.3, 0.01, 0.0, 0.0)]
    errors = ConverterErrors(*one, np.array([[0, 0.8, 0, -0.8, 0]]))
    found = multiply(
        programmed(np.ones((128, 1), int), 2), codes, adc=AdcTransfer(0, 8), noise="off",
        errors=Assigned(errors, np.zeros((1, 1, 1), np.int64)),
    )  # fmt: skip
    assert found.values[:, 0].tolist() == [64, -64, 101, 128, -128, 1, 0]
    assert found.clipped_per_frame.tolist() == [0, 0, 0, 1, 0, 0, 0]
    # The two curves at half the range: bow 0.5 (1 - 0.25) = 0.375; s_curve -0.4 * 2.598076 * 0.375 = -0.389711.
    for bow, s_curve, x, code in (
        (0.5, 0.0, 63.75, 64),
        (0.5, 0.0, -64, -64),
        (0.0, -0.4, 63.875, 63),
        (0, -0.4, 64, 64),
    ):
        assert reference_converters.code(x, 128, bow=bow, s_curve=s_curve)[0] == code


def test_calibration_by_hand() -> None:
    """Offset 0.3 in steps of 0.25 leaves 0.05; gain 1 % in steps of 0.25 / 128 = 0.195 % leaves 1 % - 5 * 0.195 %."""
    errors = ConverterErrors(*(np.array([value]) for value in (0.3, 0.01, 0.2, 0.1)), np.array([[0.0, 1.0]]), 0.7)
    offset = errors.calibrated(trim_step=0.25, gain_too=False, largest_code=128)
    both = errors.calibrated(trim_step=0.25, gain_too=True, largest_code=128)
    assert offset.offset[0] == pytest.approx(0.05) and offset.gain[0] == 0.01
    assert both.gain[0] == pytest.approx(0.000234375) and both.noise == 0.7
    assert both.bow[0] == 0.2 and both.s_curve[0] == 0.1 and both.inl.tolist() == [[0.0, 1.0]]
    many = made_up(np.random.default_rng(1), 1000, 0, 0.0).calibrated(trim_step=0.1, gain_too=True, largest_code=32)
    assert np.abs(many.offset).max() <= 0.05 + 1e-12 and np.abs(many.gain * 32).max() <= 0.05 + 1e-12


def test_draws_are_those_of_the_generator_and_have_their_spread() -> None:
    tiles, units = np.arange(5, 205), 48
    found = draw_errors(9, tiles, units, offset=0.5, gain=0.01, inl=0.2, noise=0.1)
    drawn = [found.offset / 0.5, found.gain / 0.01, found.bow / 0.2, found.s_curve / 0.2]
    for tile, unit in ((0, 0), (3, 17), (199, 47)):
        counter = np.array([[0, unit, tiles[tile], 0]], np.uint64)
        words = counter_random.philox_words(counter, np.array([9, counter_random.CONVERTER_STREAM], np.uint64))[0]
        expected = plain_normals([int(word) for word in words])
        assert [kind[tile * units + unit] for kind in drawn] == pytest.approx(expected, abs=2e-6)
    for one in drawn:
        assert stats.kstest(one, "norm").pvalue > 1e-4  # 9,600 draws
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 4.5 / math.sqrt(len(tiles) * units)
    other_order = draw_errors(9, tiles[::-1], units, offset=0.5, gain=0.01, inl=0.2, noise=0.1)
    assert np.array_equal(other_order.offset.reshape(-1, units)[::-1], found.offset.reshape(-1, units))
    assert not np.array_equal(draw_errors(8, tiles, units, offset=0.5, gain=0.01, inl=0.2, noise=0).gain, found.gain)


def test_every_stream_of_the_generator_is_its_own() -> None:
    streams = [value for name, value in vars(counter_random).items() if name.endswith("_STREAM")]
    assert len(streams) == len(set(streams)) >= 5


def test_the_same_bits_for_any_threads_batches_and_tile_order() -> None:
    generator = np.random.default_rng(3)
    weights, codes = generator.integers(-7, 8, (128, 128)), generator.integers(-128, 129, (70, 128)).astype(np.int16)
    shape = {"tile_rows": 64, "tile_columns": 64, "device": SYNAPTOGEN}
    units, options = 24, {"noise": "legacy", "seed": 4, "adc": AdcTransfer(3, 4)}
    spreads = {"offset": 0.4, "gain": 0.02, "inl": 0.3, "noise": 0.5}
    columns = {"tile_columns": 64, "units": units, "shared_by": 8}
    assigned = Assigned(draw_errors(4, np.arange(4), units, **spreads), converters_of_columns(2, 3, 128, **columns))
    tiles = programmed(weights, 4, **shape)
    whole = multiply(tiles, codes, errors=assigned, **options).values
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert (
            multiply(tiles, codes, errors=assigned, frames_per_block=9, **options).values.tobytes() == whole.tobytes()
        )
    finally:
        numba.set_num_threads(before)
    parts = [
        multiply(tiles, codes[part], errors=assigned, first_frame=part.start, **options).values
        for part in (slice(0, 33), slice(33, 70))
    ]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    for m in (1, 0):
        total = np.zeros((70, 64))
        for k in (1, 0):
            number = 2 * k + m
            alone = Assigned(
                draw_errors(4, np.array([number]), units, **spreads), converters_of_columns(1, 3, 64, **columns)
            )
            part = programmed(weights[k * 64 : (k + 1) * 64, m * 64 : (m + 1) * 64], 4, first_tile=number, **shape)
            total += multiply(
                part, np.ascontiguousarray(codes[:, k * 64 : (k + 1) * 64]), errors=alone, **options
            ).values
        assert np.array_equal(total, whole[:, m * 64 : (m + 1) * 64])


def test_depthwise_columns_have_converters_too() -> None:
    generator = np.random.default_rng(6)
    taps, channels, frames, units, shared_by = 9, 70, 20, 16, 12
    weights = generator.integers(-7, 8, (taps, channels))
    codes = generator.integers(-128, 129, (taps - 1 + frames, channels)).astype(np.int16)
    tiles = programmed(weights, 4, tile_rows=taps, tile_columns=64)
    errors = made_up(generator, 2 * units, 3, 0.4)
    columns = converters_of_columns(1, 3, channels, tile_columns=64, units=units, shared_by=shared_by)
    found = multiply_depthwise(
        tiles, codes, adc=AdcTransfer(3, 3), noise="off", seed=5, errors=Assigned(errors, columns)
    )
    at = reference_converters.units(3, channels, 64, shared_by)
    wanted, clipped = np.zeros((frames, channels)), 0
    for p in range(3):
        digit = np.sign(weights) * (np.abs(weights) >> p & 1)
        for t, j in np.ndindex(wanted.shape):
            m, unit = at[p, j]
            c, z = m * units + unit, float(own_noise(5, m, p, t, 0, 64)[j % 64])
            code, clip = reference_converters.code(
                float(codes[t : t + taps, j].astype(int) @ digit[:, j]) / 128 * 8, 32, gain=errors.gain[c],
                offset=errors.offset[c], bow=errors.bow[c], s_curve=errors.s_curve[c], inl=errors.inl[c], noise=0.4 * z,
            )  # fmt: skip
            wanted[t, j] += code * 2.0 ** (p - 3)
            clipped += clip
    assert found.values.tobytes() == wanted.tobytes() and found.clipped.sum() == clipped > 0


@pytest.mark.parametrize("noise", ["off", "physical"])
def test_errors_of_nothing_change_nothing(noise) -> None:
    """With cell noise and in words that saturate, too."""
    generator = np.random.default_rng(7)
    weights, codes = generator.integers(-3, 4, (100, 70)), generator.integers(-128, 129, (30, 100)).astype(np.int16)
    tiles = programmed(weights, 3, SYNAPTOGEN, tile_rows=64, tile_columns=64)
    zero = np.zeros(4 * 16)
    none = Assigned(
        ConverterErrors(zero, zero, zero, zero, np.zeros((64, 2))),
        converters_of_columns(2, 2, 70, tile_columns=64, units=16, shared_by=8),
    )
    for words in (None, Words(2.0**-4, 9, 9, 10)):
        a, b = (multiply(tiles, codes, noise=noise, words=words, errors=errors) for errors in (none, None))
        assert a.values.tobytes() == b.values.tobytes()
        assert np.array_equal(a.clipped, b.clipped) and np.array_equal(a.saturated_per_frame, b.saturated_per_frame)


def test_errors_need_codes_and_a_converter_for_every_column() -> None:
    tiles = programmed(np.ones((8, 8), int), 2, tile_rows=64)
    one = Assigned(draw_errors(1, np.arange(1), 1, offset=1, gain=0, inl=0, noise=0), np.zeros((1, 1, 8), np.int64))
    codes = np.zeros((2, 8), np.int16)
    with pytest.raises(ValueError, match="errors are in steps of a code, which an ideal converter"):
        multiply(tiles, codes, adc=AdcTransfer(ideal=True), noise="off", errors=one)
    wrong = Assigned(one.errors, np.zeros((1, 2, 8), np.int64))
    with pytest.raises(ValueError, match=r"converters of columns \(1, 2, 8\) do not fit \(1, 1, 8\)"):
        multiply(tiles, codes, noise="off", errors=wrong)


def state_space(seed: int, kernels: int, states: int, bits: int, device=IDEAL):
    generator, q = np.random.default_rng(seed), largest_level(bits)
    weights = [generator.integers(-q, q + 1, (kernels, states, 2)).astype(np.int8) for _ in range(3)]
    weights = [np.where(w == 0, 1, w).astype(np.int8) if bits == 1 else w for w in weights]
    cell_bits = max(bits - 1, 1)
    program = device.programmer(1, read_voltage=0.2, cell_bits=cell_bits)
    return weights, program_kernels(*weights, program, device.curves(0.2, cell_bits), weight_bits=bits)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    kernels=st.integers(1, 5),
    states=st.integers(1, 6),
    bits=st.integers(1, 7),
    converter=st.integers(3, 12),
    scale=st.floats(0.1, 1.3),
    output_gain=st.floats(0.01, 1.0),
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=3),
    units=st.integers(1, 9),
    points=st.sampled_from([0, 3]),
    noise=st.sampled_from([0.0, 0.7]),
    first=st.sampled_from([(0, 0), (3, 17)]),
)
def test_states_go_back_as_their_converters_make_them(
    seed, kernels, states, bits, converter, scale, output_gain, lengths, units, points, noise, first
) -> None:
    """Ideal cells: to the bit the plain recurrence, its codes made by the plain converters."""
    weights, space = state_space(seed, kernels, states, bits)
    top, gain = 2 ** (converter - 1), scale / largest_level(bits)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = np.random.default_rng(seed + 1).integers(-top, top + 1, (starts[-1], kernels)).astype(np.int16)
    width = 2 * states + 1
    crossbars, pairs = math.ceil(kernels / space.per_crossbar), space.per_crossbar * width
    shared_by = math.ceil(pairs / units)
    errors = made_up(np.random.default_rng(seed + 2), crossbars * units, points, noise)
    columns = converters_of_columns(crossbars, 1, pairs, tile_columns=pairs, units=units, shared_by=shared_by)
    first_tile, first_step = first
    found = recurrence(
        space, codes, starts, dac=DacTransfer(converter, 0.2), state_gain=gain, output_gain=output_gain,
        errors=Assigned(errors, columns), seed=seed, first_tile=first_tile, first_step=first_step,
    )  # fmt: skip
    saturated = np.zeros(len(codes), np.int64)
    for k in range(kernels):
        crossbar, place = divmod(k, space.per_crossbar)
        a, b, c = (w[k].tolist() for w in weights)
        for u in range(len(lengths)):
            begin, end = starts[u], starts[u + 1]

            def convert(x: float, step: int, pair: int) -> tuple[int, int]:
                column = place * width + pair  # noqa: B023
                n = crossbar * units + column // shared_by  # noqa: B023
                z = 0.0
                if noise:
                    at = first_step + int(begin) + step  # noqa: B023
                    z = float(own_noise(seed, first_tile + crossbar, 0, at, 0, pairs)[column])  # noqa: B023
                return reference_converters.code(
                    x, top, gain=errors.gain[n], offset=errors.offset[n], bow=errors.bow[n], s_curve=errors.s_curve[n],
                    inl=errors.inl[n], noise=noise * z,
                )  # fmt: skip

            y, x, clamped = reference_ssm.with_converters(
                a, b, c, codes[begin:end, k].tolist(), top=top, state_gain=gain, output_gain=output_gain,
                convert=convert,
            )  # fmt: skip
            assert found.outputs[begin:end, k].tolist() == y
            assert found.states[u, k].tolist() == [list(pair) for pair in x]
            saturated[begin:end] += np.array(clamped, np.int64)
    assert found.saturated.sum(axis=1).tolist() == saturated.tolist()


def test_states_have_the_same_bits_for_any_threads_batches_and_crossbars() -> None:
    _, space = state_space(6, 7, 4, 4, SYNAPTOGEN)
    assert space.per_crossbar == 3 and space.weights.shape[1] == 3
    starts, seed = np.array([0, 100, 137, 300]), 5
    codes = np.random.default_rng(3).integers(-30, 31, (300, 7)).astype(np.int16)
    spreads = {"offset": 1.0, "gain": 0.02, "inl": 0.5, "noise": 0.5}
    columns = converters_of_columns(3, 1, 27, tile_columns=27, units=4, shared_by=8)
    assigned = Assigned(draw_errors(seed, np.arange(2, 5), 4, **spreads), columns)
    options = {"dac": DacTransfer(8, 0.2), "state_gain": 0.9 / 7, "output_gain": 0.1, "seed": seed, "first_tile": 2}
    options["noise"] = ReadNoise("legacy")  # that of the cells beside the converters' own
    whole = recurrence(space, codes, starts, errors=assigned, **options)
    assert not np.array_equal(whole.outputs, recurrence(space, codes, starts, **options).outputs)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = recurrence(space, codes, starts, errors=assigned, **options)
    finally:
        numba.set_num_threads(before)
    assert alone.outputs.tobytes() == whole.outputs.tobytes() and alone.watts.tobytes() == whole.watts.tobytes()
    part = recurrence(space, codes[100:137], np.array([0, 37]), errors=assigned, first_step=100, **options)
    assert np.array_equal(part.outputs, whole.outputs[100:137])
    assert np.array_equal(part.saturated, whole.saturated[100:137])
    with pytest.raises(ValueError, match=r"converters of columns \(1, 1, 27\) do not fit \(3, 1, 27\)"):
        recurrence(space, codes, starts, errors=Assigned(assigned.errors, columns[:1]), **options)
