"""Measured devices: cell by cell against a plain cell with the same words, and 200,000 cells against the sources.

The slow tests draw each published device anew by the formulas of its source (`reference_devices`), and hold means and
spreads together at 5 standard errors of the difference.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property import reference_tile
from property.reference_devices import DAY, PUBLISHED

from accelsim.devices import Measured, load_device, parse_device
from accelsim.kernels.cells import RESTING
from accelsim.kernels.counter_random import CELL_STREAM, DECAY_STREAM, DRIFT_STREAM, STUCK_STREAM, philox_words
from accelsim.schema import parse_yaml

US = 1e-6
CELLS = 200_000


# Cell by cell


def words(seed: int, stream: int, array: int, cell: int) -> list[int]:
    return [
        int(w) for w in philox_words(np.array([[0, cell, array, 0]], np.uint64), np.array([seed, stream], np.uint64))[0]
    ]


def polynomial(coefficients: list[float], x: float) -> float:
    return sum(c * x**k for k, c in enumerate(reversed(coefficients)))


share = st.floats(0, 0.4)
number = st.floats(0, 2).map(lambda v: round(v, 3))


@st.composite
def devices(draw) -> dict:
    """The numbers of a device: two times of programming or drift, decay, stuck cells, an access resistance."""
    low = draw(st.floats(0, 20).map(lambda v: round(v, 2)))
    return {
        "low": low,
        "high": round(low + draw(st.floats(5, 100)), 2),
        "sigmas": draw(st.lists(st.tuples(number, number), min_size=1, max_size=3)),
        "drift": draw(st.none() | st.tuples(number, number, st.floats(0, 0.1), st.floats(0, 0.1))),
        "decay": draw(st.none() | st.tuples(number, number, number)),
        "stuck": draw(st.tuples(share, share)),
        "limited": draw(st.booleans()),
        "access": draw(st.sampled_from([0.0, 1e3, 2e4])),
        "age": draw(st.floats(1000, 1e7)),
        "bits": draw(st.integers(1, 3)),
    }


def text(d: dict) -> str:
    lines = [
        f"range: [{d['low']} uS, {d['high']} uS]", "beyond: hold",
        f"access: {d['access']} ohm" if d["access"] else "",
        f"limits: [{d['low']} uS, {d['high']} uS]" if d["limited"] else "",
        f"stuck: {{at_low_resistance: {d['stuck'][0]!r}, at_high_resistance: {d['stuck'][1]!r}}}",
    ]  # fmt: skip
    sigmas = d["sigmas"][:1] if d["drift"] else d["sigmas"]
    rows = [f"{{after: {10**n} s, sigma: [{{polynomial: [{a / 100}, {b}]}}]}}" for n, (a, b) in enumerate(sigmas)]
    lines.append(f"programming: [{', '.join(rows)}]")
    if d["drift"]:
        at, above, mean, spread = d["drift"]
        lines.append(
            "drift: {reference_time: 20 s, per: conductance, "
            f"exponent: [{{below: {d['low'] + 2}, polynomial: [{mean!r}]}}, "
            f"{{of: ln x, polynomial: [{-at / 100}, {above / 10}], clamp: [0.01, 0.2]}}], "
            f"spread: [{{polynomial: [{spread!r}]}}]}}"
        )
    if d["decay"]:
        a, b, c = d["decay"]
        lines.append(f"decay: {{after: 1 s, mean: [{-a / 100}, 0], spread: [{b / 100}, {c / 10}]}}")
    return "\n".join(lines)


def plain_cell(d: dict, level: int, seed: int, array: int, cell: int) -> float:
    """Return the state of one cell, from the law and the words of its draws alone."""
    low, high, access, age = d["low"], d["high"], d["access"] / 1e6, d["age"]

    def seen(g: float) -> float:
        return g / (1 + g * access)

    def state(g: float) -> float:
        return (seen(high) - seen(g)) / (seen(high) - seen(low))

    u = (words(seed, STUCK_STREAM, array, cell)[0] + 0.5) / 2**32
    if u < d["stuck"][0]:
        return state(high)
    if u < sum(d["stuck"]) or level == RESTING:
        return state(low)
    part = seen(low) + level / (2 ** d["bits"] - 1) * (seen(high) - seen(low))
    target = part / (1 - part * access)
    sigmas = [polynomial([a / 100, b], target) for a, b in (d["sigmas"][:1] if d["drift"] else d["sigmas"])]
    place = min(math.log10(age), len(sigmas) - 1.0)  # after 1, 10, 100 s
    k = min(int(place), max(len(sigmas) - 2, 0))
    sigma = sigmas[k] if len(sigmas) == 1 else sigmas[k] + (place - k) * (sigmas[k + 1] - sigmas[k])
    g = target + sigma * reference_tile.normals(words(seed, CELL_STREAM, array, cell))[0]
    if d["decay"]:
        a, b, c = d["decay"]
        spread = b / 100 * math.log(age) + c / 10
        g += -a / 100 * math.log(age) + spread * reference_tile.normals(words(seed, DECAY_STREAM, array, cell))[0]
    g = min(max(g, low), high) if d["limited"] else max(g, 0.0)
    if d["drift"]:
        at, above, mean, spread = d["drift"]
        if target >= low + 2:
            mean = min(max(-at / 100 * math.log(target) + above / 10, 0.01), 0.2)
        nu = abs(mean + spread * reference_tile.normals(words(seed, DRIFT_STREAM, array, cell))[0])
        g *= (age / 20) ** -nu
    return state(g)


@given(devices(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_cell_is_what_the_plain_cell_is(d: dict, seed: int) -> None:
    source = f"schema: accelsim/device@1\nkind: measured\nname: d\nsource: test\n{text(d)}"
    device = parse_device(parse_yaml(source, "device.yaml"))
    levels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4) % (1 << d["bits"])
    levels[0, 1, 1] = RESTING
    found = device.program(levels, np.array([9]), seed=seed, cell_bits=d["bits"], age=d["age"]).states
    for cell in range(12):
        expected = plain_cell(d, int(levels.flat[cell]), seed, 9, cell)
        assert found.flat[cell] == pytest.approx(expected, rel=2e-6, abs=2e-6)


def test_a_cell_is_a_function_of_seed_array_and_place() -> None:
    levels = np.random.default_rng(3).integers(0, 4, (3, 16, 16)).astype(np.uint8)
    for name in ("pcm_hermes", "rram_cmo_hfox"):
        device = load_device(name)
        together = device.program(levels, np.array([4, 7, 1]), seed=3, cell_bits=2, age=DAY).states
        alone = device.program(levels[1:2], np.array([7]), seed=3, cell_bits=2, age=DAY).states
        assert together[1].tobytes() == alone[0].tobytes()
        other = device.program(levels, np.array([4, 7, 1]), seed=4, cell_bits=2, age=DAY).states
        assert together.tobytes() != other.tobytes()


def test_a_cell_read_at_two_ages_is_the_same_cell() -> None:
    """NeuRRAM: what a cell is off by grows with the spread of its level, and keeps its sign."""
    device = load_device("rram_neurram")
    assert isinstance(device, Measured)
    levels = np.full((1, 40, 40), 2, np.uint8)
    target = device.targets(2)[2] / US
    off = []
    for age in (1.0, DAY):
        states = device.program(levels, np.array([0]), seed=1, cell_bits=2, age=age).states.astype(float)
        off.append(40 * (1 - states.ravel()) - target)
    ratio = PUBLISHED["rram_neurram"].sigma(np.array(target), DAY) / PUBLISHED["rram_neurram"].sigma(
        np.array(target), 1.0
    )
    inside = np.abs(off[0]) < 2  # far from 0, where both are cut off
    assert np.allclose(off[1][inside], ratio * off[0][inside], rtol=1e-4, atol=1e-4)


# 200,000 cells


def cells(name: str, conductances: np.ndarray, age: float) -> np.ndarray:
    """Program 200,000 cells of each of five conductances; return what they conduct in uS, [5, cells]."""
    device = load_device(name)
    assert isinstance(device, Measured)
    levels = np.concatenate([conductances, conductances[-1:] + np.arange(1, 4) * 1e-3 * conductances[-1]]) * US
    device = device.model_copy(update={"levels": tuple(levels), "range": (levels[0], levels[-1])})
    wanted = np.repeat(np.arange(5, dtype=np.uint8), CELLS).reshape(5, 200, 1000)
    states = device.program(wanted, np.arange(5), seed=20, cell_bits=3, age=age).states.astype(np.float64)
    high, low = (float(device.seen(np.array(end))) for end in (levels[-1], levels[0]))
    return (high - (high - low) * states).reshape(5, CELLS) / US


def standard_errors(sample: np.ndarray) -> tuple[float, float]:
    """Standard errors of a mean, and of a standard deviation by the fourth moment."""
    n, sd = len(sample), sample.std()
    fourth = ((sample - sample.mean()) ** 4).mean()
    return sd / np.sqrt(n), np.sqrt(max(fourth - sd**4, 0) / n) / (2 * sd) if sd else 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_200_000_cells_are_spread_as_the_source_says(name: str) -> None:
    """Mean and spread at five conductances and three times: within 5 standard errors of a million draws' own."""
    device, source = load_device(name), PUBLISHED[name]
    assert isinstance(device, Measured)
    low, high = (end / US for end in device.range)
    conductances = np.linspace(low + 0.02 * (high - low), 0.99 * high, 5)
    generator = np.random.default_rng(7)
    for age in source.times:
        found = cells(name, conductances, age)
        for g, sample in zip(conductances, found, strict=True):
            drawn = source.sample(float(g), age, generator, 1_000_000)
            ours, theirs = standard_errors(sample), standard_errors(drawn)
            # 1e-6: states are float32, over a span of up to the range
            for what, error in ((np.mean, 0), (np.std, 1)):
                bound = 5 * math.hypot(ours[error], theirs[error]) + 1e-6 * high
                assert abs(what(sample) - what(drawn)) <= bound, (age, g, what, what(sample), what(drawn), bound)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, source in PUBLISHED.items() if source.t0 is not None])
def test_200_000_drift_exponents_are_spread_as_the_source_says(name: str) -> None:
    """Of each cell from what it is at t0 and a day later: mean and spread at five conductances, 5 standard errors."""
    source = PUBLISHED[name]
    device = load_device(name)
    conductances = np.linspace(0.2, 0.99, 5) * device.range[1] / US  # type: ignore[attr-defined]
    first, later = (cells(name, conductances, age) for age in (source.t0, DAY))
    generator = np.random.default_rng(8)
    for n, g in enumerate(conductances):
        alive = first[n] > 0.05 * g  # a cell at 0 has no exponent
        nu = -np.log(later[n][alive] / first[n][alive]) / np.log(DAY / source.t0)
        mean, sd = source.nu(np.array(g))
        drawn = np.abs(mean + sd * generator.standard_normal(1_000_000))
        ours, theirs = standard_errors(nu), standard_errors(drawn)
        for what, error in ((np.mean, 0), (np.std, 1)):
            assert abs(what(nu) - what(drawn)) <= 5 * math.hypot(ours[error], theirs[error]) + 2e-6, (g, what)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_read_noise_of_200_000_cells_is_the_sources(name: str) -> None:
    """Drawn reads of cells as they are: their spread about the cell, against the source's, five conductances, times.

    5 standard errors, and where cells drift 8 % of the spread on top: the source takes what a cell was before its
    drift, which is told here by the mean exponent.
    """
    device, source = load_device(name), PUBLISHED[name]
    assert isinstance(device, Measured)
    low, high = (end / US for end in device.range)
    conductances = np.linspace(low + 0.1 * (high - low), 0.99 * high, 5)
    for age in source.times:
        before, now = cells(name, conductances, source.t0 or age), cells(name, conductances, age)
        expected = source.read(before, now, age)
        variance = device.read_variance(now * US, age=age, read_time=source.t_read, temperature=300.0)
        if expected is None:
            assert variance is None
            continue
        assert variance is not None
        drawn = np.random.default_rng(9).standard_normal(now.shape) * np.sqrt(variance) / US
        for n in range(5):
            rms = np.sqrt((expected[n] ** 2).mean())
            bound = 5 * standard_errors(drawn[n])[1] + (0.08 * rms if source.t0 and age > source.t0 else 0)
            assert abs(drawn[n].std() - rms) <= bound, (age, conductances[n], drawn[n].std(), rms, bound)
