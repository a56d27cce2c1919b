"""Device files: what their laws give is what the formulas of their sources give, and what is wrong in one is named."""

from __future__ import annotations

import numpy as np
import pytest
from property.reference_devices import DAY, PUBLISHED

from accelsim.architecture import load_architecture
from accelsim.devices import Device, Measured, load_device, parse_device
from accelsim.errors import InputError
from accelsim.library import names
from accelsim.schema import parse_yaml

US = 1e-6
CASES = [(name, time) for name, device in PUBLISHED.items() for time in device.times]


def with_levels(name: str) -> tuple[Measured, np.ndarray]:
    """Return a device with eight levels evenly over its range, five of them within, and those in uS."""
    device = load_device(name)
    assert isinstance(device, Measured)
    levels = np.linspace(*device.range, 8)
    return device.model_copy(update={"levels": tuple(levels)}), levels / US


def test_every_measured_file_has_a_reference() -> None:
    assert {name for name in names("arch/devices") if isinstance(load_device(name), Measured)} == set(PUBLISHED)


@pytest.mark.parametrize(("name", "time"), CASES)
def test_the_laws_give_what_the_formulas_of_the_source_give(name: str, time: float) -> None:
    """Eight conductances and three times: mean, spread, drift exponent and its spread, and the noise of a read."""
    (device, g), source = with_levels(name), PUBLISHED[name]
    found = device.moments(3, time)
    shift, spread = source.decay(time)
    exponent, exponent_spread = source.nu(g)
    assert np.allclose(found.mean / US, source.mean(g, time) + shift, rtol=1e-12, atol=1e-12)
    assert np.allclose(found.sigma / US, source.sigma(g, time), rtol=1e-9, atol=1e-12)
    assert found.decay / US == pytest.approx(spread, rel=1e-12)
    assert np.allclose(found.exponent, exponent, rtol=1e-12) and np.allclose(found.spread, exponent_spread, rtol=1e-12)
    ratio = 1.0 if source.t0 is None else time / source.t0
    assert found.log_ratio == pytest.approx(np.log(ratio), abs=1e-12)
    now = g * ratio**-exponent
    expected = source.read(g, now, time)
    variance = device.read_variance(now * US, age=time, read_time=source.t_read, temperature=300.0)
    if expected is None:
        assert variance is None
        return
    assert variance is not None
    # 2e-3: what a cell was before its drift is told from a table of 2,002 conductances.
    assert np.allclose(np.sqrt(variance)[1:] / US, expected[1:], rtol=1e-12 if ratio == 1 else 2e-3)


def test_read_noise_takes_any_conductance() -> None:
    """Behind wires a cell may conduct less than its lowest level, and after noise more than its highest."""
    for name, source in PUBLISHED.items():
        device = load_device(name)
        far = np.array([0.0, 1e-12, 3 * device.range[1], 1e-3])  # type: ignore[attr-defined]
        variance = device.read_variance(far, age=source.times[1], read_time=1e-8, temperature=300.0)
        assert variance is None or (np.isfinite(variance).all() and (variance >= 0).all())


def test_noise_behind_an_access_transistor_is_that_of_the_cell_times_the_slope() -> None:
    """By differences: what is seen, G / (1 + G R), varies by its derivative times what the cell does, 0.2 uS."""
    device = parsed("range: [1 uS, 50 uS]\naccess: 10 kohm\nread: {sigma: [{polynomial: [0.2]}]}")
    g, step, ohm = np.array([1e-6, 20e-6, 50e-6]), 1e-10, 10e3
    slope = ((g + step) / (1 + (g + step) * ohm) - (g - step) / (1 + (g - step) * ohm)) / (2 * step)
    variance = device.read_variance(g / (1 + g * ohm), age=None, read_time=1e-8, temperature=300.0)
    assert variance is not None and np.sqrt(variance) == pytest.approx(0.2e-6 * slope, rel=1e-6)


def test_the_noise_of_a_shorter_read_is_larger() -> None:
    """1/f: ln((t + t_r) / (2 t_r)) at a day and 10 ns against 1 us, by hand: 29.09 against 24.49."""
    device = load_device("pcm_hermes")
    short, long = (
        device.read_variance(np.array([5e-6]), age=DAY, read_time=t, temperature=300.0) for t in (1e-8, 1e-6)
    )
    assert short is not None and long is not None
    assert short[0] / long[0] == pytest.approx(29.0943 / 24.4891, rel=1e-4)


def test_levels_are_even_in_what_is_seen_through_the_access_transistor() -> None:
    """By hand: 8 and 24 kohm behind 5 kohm are 13 and 29 kohm; noise of 7 % is 7 % times (8 / 13)."""
    device = load_device("mram_stt")
    curves = device.curves(0.5)
    assert np.polyval(curves.low, 0.5) == pytest.approx(0.5 / 13e3) and np.polyval(curves.high, 0.5) == pytest.approx(
        0.5 / 29e3
    )
    many = load_device("fefet")
    assert isinstance(many, Measured)
    seen = many.seen(many.targets(3))
    assert np.allclose(np.diff(seen), seen[1] - seen[0]) and many.targets(3)[-1] == pytest.approx(1.788e-6)


def test_a_binary_device_has_no_level_map_for_more() -> None:
    device = load_device("mram_stt")
    with pytest.raises(
        ValueError, match="device 'mram_stt' has no level map for cells of 2 bits: its file gives 2 lev"
    ):
        device.curves(0.2, 2)
    key = "components.crossbar."
    chip = {key + "device": "mram_stt", key + "cell_bits": "2", key + "read_voltage": "0.2 V"}
    with pytest.raises(InputError, match=r"no level map for cells of 2 bits"):
        load_architecture("memristor_tile", chip)


def test_a_device_that_changes_needs_an_age_and_one_that_does_not_takes_any() -> None:
    key = "components.crossbar."
    with pytest.raises(InputError, match=r"memristor_tile\.yaml:\d+: device 'pcm_hermes' changes with time and 'age'"):
        load_architecture("memristor_tile", {key + "device": "pcm_hermes"})
    with pytest.raises(InputError, match=r"'pcm_hermes' is known from 200 s on, 'age' is 3 s"):
        load_architecture("memristor_tile", {key + "device": "pcm_hermes", key + "age": "3 s"})
    with pytest.raises(InputError, match=r"was measured up to 5 days, 'age' is 30 days; the setting 'beyond: hold'"):
        load_architecture("memristor_tile", {key + "device": "sonos", key + "age": "1 month"})
    load_architecture(
        "memristor_tile",
        {key + "device": "sonos", key + "age": "1 month", key + "device_settings": "{beyond: hold}"},
    )
    aged = load_architecture("memristor_tile", {key + "age": "1 year"})
    assert aged.components()["crossbar"].age == 365 * DAY  # type: ignore[attr-defined]


def test_beyond_the_last_time_the_last_figures_hold_and_are_told() -> None:
    device = load_device("rram_neurram").model_copy(update={"beyond": "hold"})
    assert isinstance(device, Measured)
    last, later = device.moments(2, 2 * DAY), device.moments(2, 30 * DAY)
    assert np.array_equal(last.sigma, later.sigma)
    assert device.assumptions(2 * DAY) == []
    (unpriced,) = load_device("pcm_hermes").assumptions(DAY)
    assert unpriced == "device 'pcm_hermes' states no write pulse: one for each cell, as the crossbar's are priced"
    assert device.assumptions(30 * DAY) == [
        "device 'rram_neurram' after 30 days: as measured after 2 days, 'beyond: hold'"
    ]


def test_a_read_above_what_was_measured_is_refused() -> None:
    with pytest.raises(InputError, match=r"a read of 0.6 V may disturb device 'rram_milo', which was read up to 0.5 V"):
        load_architecture("memristor_tile", {"components.crossbar.device": "rram_milo"})


def test_another_device_leaves_the_settings_of_the_first_behind() -> None:
    key = "components.crossbar."
    chip = load_architecture("imssa", {key + "device": "pcm_hermes", key + "age": "1 h"})
    assert chip.devices["crossbar"].name == "pcm_hermes"
    assert (
        load_architecture("imssa", {key + "device": "taox"}).devices["crossbar"]
        == load_architecture("imssa").devices["crossbar"]
    )
    settings = {key + "device": "pcm_hermes", key + "age": "1 h", key + "device_settings.range": "[1 uS, 5 uS]"}
    assert load_architecture("imssa", settings).devices["crossbar"].range == (1e-6, 5e-6)  # type: ignore[attr-defined]


def test_write_pulses_and_their_energy_are_the_files() -> None:
    """NeuRRAM, by hand: 8.52 pulses a cell; 1.75 V over 20 uS for 1 us are 61.25 pJ each."""
    device = load_device("rram_neurram")
    written = device.program(np.ones((1, 10, 10), np.uint8), np.array([0]), seed=1, age=1.0)
    assert written.pulses.tolist() == [852]
    pulse = device.pulse()
    assert pulse is not None and pulse.volts * pulse.current * pulse.time == pytest.approx(61.25e-12)


def test_the_current_of_a_nonlinear_cell_is_the_sources() -> None:
    """CrossSim's equation for Milo's cells, at five conductances and five voltages."""
    device = load_device("rram_milo")
    volts = np.array([-0.5, -0.2, 0.1, 0.3, 0.5])
    curves, terms = device.curves(0.5, 2), device.current_terms(0.5)
    assert terms is not None
    for g in (50e-6, 62.5e-6, 93.9e-6, 110e-6, 225e-6):
        x = np.log10(g)
        c2 = 0.0001388 * x**3 + 0.001541 * x**2 + 0.005711 * x + 0.007063
        c3 = 8.8710e-05 * x**2 + 6.7919e-04 * x + 1.2968e-03
        r = np.array((225e-6 - g) / (225e-6 - 50e-6))
        for v in volts:
            found = curves.current(r, v) + terms.current(r, v)
            assert found == pytest.approx(g * v + c2 * v**2 + c3 * v**3, rel=1e-9)
    # The coefficients stay within +-1, however far noise takes a cell.
    assert np.abs(terms.of(np.linspace(-5, 5, 10_001))).max() <= 1


def parsed(text: str) -> Device:
    return parse_device(parse_yaml(f"schema: accelsim/device@1\nkind: measured\nname: d\nsource: t\n{text}", "d.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("range: [5 uS, 1 uS]", "conductance range is reversed"),
        (
            "range: [1 uS, 5 uS]\nprogramming: [{after: 1 s, sigma: [{polynomial: [-1, 2]}]}]",
            "'programming.0.sigma' is negative in the range: -3 at 5 uS",
        ),
        (
            "range: [1 uS, 5 uS]\nprogramming: [{after: 1 h, sigma: [{polynomial: [1]}]}, "
            "{after: 1 s, sigma: [{polynomial: [1]}]}]",
            "times of 'programming' must ascend",
        ),
        (
            "range: [1 uS, 5 uS]\nprogramming: [{after: 0 s, sigma: [{polynomial: [1]}]}, "
            "{after: 1 s, sigma: [{polynomial: [1]}]}]",
            "write 'between: time'",
        ),
        ("range: [1 uS, 5 uS]\nread: {sigma: [{polynomial: [1], power: [1, 2]}]}", "exactly one of 'polynomial'"),
        ("range: [1 uS, 5 uS]\nread: {one_over_f: true}", "exactly one of 'sigma' and 'share'"),
        ("range: [1 uS, 5 uS]\nread: {per: relative, share: [{polynomial: [1]}]}", "'full_scale', which is missing"),
        ("range: [1 uS, 5 uS]\nfull_scale: 4 uS", "the device was measured up to 4 uS"),
        ("range: [1 uS, 5 uS]\nlevels: [1 uS, 6 uS]", "levels must lie within the range"),
        (
            "range: [1 uS, 5 uS]\nread: {share: [{polynomial: [1]}, {polynomial: [2]}]}",
            "'read.share': every piece but the last needs 'below'",
        ),
        (
            "range: [1 uS, 5 uS]\nstuck: {at_low_resistance: 0.6, at_high_resistance: 0.6}",
            "shares of stuck cells are greater than 1 together",
        ),
        ("range: [1 uS, 5 uS]\ndecay: {after: 1 s, mean: [0], spread: [-1, 3]}", "'decay.spread' is negative at"),
        (
            "range: [1 uS, 5 uS]\naccess: 1 kohm\ncurrent: {square: [1], cubic: [1], fitted: [1 uS, 5 uS]}",
            "'current' goes with neither 'read' nor 'access'",
        ),
        ("range: [1 uS, 5 uS]\nlimits: [5 uS, 1 uS]", "limits of a conductance are reversed"),
        ("range: [1 uS, 5 uS]\ndrift: {reference_time: 1 s, time: 1 h}", "unknown key 'time'"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parsed(text)
    assert message in str(error.value) and "d.yaml:" in str(error.value)
