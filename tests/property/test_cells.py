"""Cells: the kernels against one cell in plain Python, drift, noise, stuck cells."""

from __future__ import annotations

import numpy as np
import pytest
from property import reference_tile
from scipy import stats

from accelsim.devices import Device, Drift, Gaussian, Synaptogen, Verify, load_device, parse_device
from accelsim.errors import InputError
from accelsim.kernels.counter_random import CELL_STREAM, philox_words
from accelsim.kernels.synaptogen import respond
from accelsim.schema import parse_yaml

IDEAL, GAUSSIAN, SYNAPTOGEN = (load_device(name) for name in ("ideal", "gaussian", "synaptogen"))
assert isinstance(SYNAPTOGEN, Synaptogen) and isinstance(GAUSSIAN, Gaussian)


def words_of(seed: int, array: int, cell: int):
    key = np.array([seed, CELL_STREAM], np.uint64)
    return lambda block: [int(w) for w in philox_words(np.array([[block, cell, array, 0]], np.uint64), key)[0]]


def changed(device: Device, **keys) -> Device:
    return device.model_copy(update=keys)


def test_pulses_do_what_the_plain_cell_does() -> None:
    cells, pulses = 40, 90
    volts = np.random.default_rng(1).uniform(-2, 2, (pulses, cells))
    volts[::7] = 0.89
    states, features = respond(volts, array=5, seed=17, parameters=SYNAPTOGEN.parameters)
    cycles = 0
    for c in range(cells):
        cell = reference_tile.Cell(SYNAPTOGEN.parameters, words_of(17, 5, c))
        for p in range(pulses + 1):
            if p:
                cell.pulse(volts[p - 1, c])
            assert states[p, c] == pytest.approx(cell.r, abs=2e-5)
            assert features[p, c] == pytest.approx([10 ** cell.features[0], *cell.features[1:]], rel=2e-5)
        cycles += cell.cycle
    assert cycles > cells * 12  # the memory of ten cycles was full


@pytest.mark.parametrize("wear", [0, 2])
def test_programming_is_a_sequence_of_pulses(wear: int) -> None:
    device = changed(SYNAPTOGEN, wear_cycles=wear)
    levels = np.random.default_rng(2).integers(0, 4, (2, 4, 8)).astype(np.uint8)
    found = device.program(levels, np.array([3, 9]), seed=5, cell_bits=2)
    partial = [device.partial_reset_voltage(share, 0.6) for share in (1 / 3, 2 / 3)]
    pulses = 0
    for n, array in enumerate((3, 9)):
        for c in range(32):
            draw = words_of(5, array, c)
            cell = reference_tile.Cell(device.parameters, draw)
            level = int(levels[n].flat[c])
            train = [4 * ((draw((1 << 31) + p // 4)[p % 4] + 0.5) / 2**32) - 2 for p in range(15 * wear)]
            train += [2.0] + [-2.0] * (level > 0) + ([partial[level - 1]] if level in (1, 2) else [])
            pulses += len(train)
            for volts in train:
                cell.pulse(volts)
            assert found.states[n].flat[c] == pytest.approx(cell.r, abs=2e-5)
    assert found.pulses.sum() == pulses


def test_a_cell_is_a_function_of_seed_array_and_place() -> None:
    levels = np.random.default_rng(3).integers(0, 2, (3, 16, 16)).astype(np.uint8)
    for device in (SYNAPTOGEN, changed(GAUSSIAN, drift=Drift(exponent=0.02, spread=0.01))):
        together = device.program(levels, np.array([4, 7, 1]), seed=3, age=1e4).states
        alone = device.program(levels[1:2], np.array([7]), seed=3, age=1e4).states
        turned = device.program(levels[::-1].copy(), np.array([1, 7, 4]), seed=3, age=1e4).states
        assert together[1].tobytes() == alone[0].tobytes()
        assert together.tobytes() == turned[::-1].tobytes()
        assert together.tobytes() != device.program(levels, np.array([4, 7, 1]), seed=4, age=1e4).states.tobytes()


def test_fresh_outer_levels_take_a_short_way_to_the_same_bits() -> None:
    levels = np.random.default_rng(3).integers(0, 2, (2, 128, 128)).astype(np.uint8)
    whole = changed(SYNAPTOGEN, verify=Verify(pulses=1, tolerance=1.0))  # never another pulse, but pulse by pulse
    short, long = (device.program(levels, np.array([4, 7]), seed=3) for device in (SYNAPTOGEN, whole))
    assert short.states.tobytes() == long.states.tobytes() and np.array_equal(short.pulses, long.pulses)


def test_program_and_verify_narrows_the_levels() -> None:
    levels = np.random.default_rng(4).integers(0, 4, (1, 64, 64)).astype(np.uint8)
    spread = {}
    for name, device in (
        ("open", SYNAPTOGEN),
        ("verified", changed(SYNAPTOGEN, verify=Verify(pulses=40, tolerance=0.05))),
    ):
        curves = device.curves(0.6, 2)
        found = device.program(levels, np.array([1]), seed=1, cell_bits=2)
        low, high = device.typical_currents(0.6)
        off = (curves.current(found.states, np.array(0.6)) - low) / (high - low) - levels / 3
        spread[name] = np.abs(off)
        if name == "verified":
            assert found.pulses[0] > 64 * 64 * 2
            assert (np.abs(off) <= 0.0501).mean() > 0.97
    assert spread["verified"].std() < 0.6 * spread["open"].std()


def test_gaussian_cells_have_their_levels_noise_and_stuck_shares() -> None:
    """Shares and moments at 4.5 standard errors."""
    device = changed(
        GAUSSIAN, levels=(5e-6, 20e-6, 35e-6, 50e-6), write_noise=1e-6,
        stuck_at_low_resistance=0.02, stuck_at_high_resistance=0.05,
    )  # fmt: skip
    count = 1 << 16
    for level in range(4):
        levels = np.full((1, 256, 256), level, np.uint8)
        r = device.program(levels, np.array([level]), seed=2, cell_bits=2).states.reshape(-1).astype(float)
        g = 50e-6 - r * 45e-6
        stuck_low, stuck_high = np.abs(r) < 1e-7, np.abs(r - 1) < 1e-7
        for share, found in ((0.02, stuck_low), (0.05, stuck_high)):
            assert found.mean() == pytest.approx(share, abs=4.5 * np.sqrt(share * (1 - share) / count))
        healthy = g[~stuck_low & ~stuck_high]
        assert healthy.mean() == pytest.approx(device.levels[level], abs=4.5e-6 / np.sqrt(len(healthy)))
        assert healthy.std() == pytest.approx(1e-6, rel=4.5 / np.sqrt(2 * len(healthy)))
        assert stats.kstest((healthy - device.levels[level]) / 1e-6, "norm").pvalue > 1e-4


def test_drift_is_a_power_law_of_the_time() -> None:
    levels = np.ones((1, 128, 128), np.uint8)
    plain = changed(IDEAL, drift=Drift(exponent=0.05))
    g = 50e-6 - plain.program(levels, np.array([0]), seed=1, age=1000.0).states * 45e-6
    assert np.allclose(g, 50e-6 * 1000**-0.05, rtol=1e-6)
    spread = changed(IDEAL, drift=Drift(exponent=0.05, spread=0.01))
    g = 50e-6 - spread.program(levels, np.array([0]), seed=1, age=1000.0).states.astype(float) * 45e-6
    nu = -np.log(g / 50e-6) / np.log(1000)
    assert nu.mean() == pytest.approx(0.05, abs=4.5 * 0.01 / 128) and nu.std() == pytest.approx(0.01, rel=4.5 / 181)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "kind: ideal\nlowest: 50 uS\nhighest: 5 uS",
            r"conductance range is reversed: the lowest, 50 uS, is not below",
        ),
        ("kind: gaussian\nlevels: [50 uS, 5 uS]\nwrite_noise: 1 uS", "conductance range is reversed"),
        ("kind: gaussian\nlevels: [5 uS]\nwrite_noise: 1 uS", "'levels': expected at least 2 items, found 1"),
        (
            "kind: gaussian\nlevels: [5 uS, 50 uS]\nwrite_noise: 1 uS\nstuck_at_low_resistance: 0.7\n"
            "stuck_at_high_resistance: 0.7",
            "shares of stuck cells are greater than 1 together",
        ),
        ("kind: gaussian\nlevels: [5 uS, 50 uS]\nwrite_noise: -1 uS", "must be at least 0, found '-1 uS'"),
        ("kind: idela\nlowest: 5 uS\nhighest: 50 uS", "unknown kind 'idela' .did you mean 'ideal'"),
        ("kind: ideal\nlowest: 5 uS\nhighest: 50 uS\ndrift: {time: 1 h, exponent: 0.1}", "unknown key 'time'"),
    ],
)
def test_a_wrong_device_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_device(parse_yaml(f"schema: accelsim/device@1\nname: d\nsource: test\n{text}", "device.yaml"))


def test_levels_that_a_device_does_not_have_are_named() -> None:
    three = changed(GAUSSIAN, levels=(5e-6, 20e-6, 50e-6))
    with pytest.raises(ValueError, match="device 'gaussian' has 3 levels, cells of 2 bits need 4"):
        three.curves(0.6, 2)
    with pytest.raises(ValueError, match="cells of 1 bits have levels up to 1, found 2"):
        IDEAL.program(np.full((1, 2, 2), 2, np.uint8), np.array([0]), seed=1)


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(InputError, match=r"no device named 'synaptogn'.*did you mean 'synaptogen'"):
        load_device("synaptogn")
