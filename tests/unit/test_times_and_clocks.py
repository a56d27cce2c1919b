"""Times against clocks: what lasts so long takes the cycles that it lasts, whatever the clock; no time is free."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.architecture import load_architecture
from accelsim.components import KINDS
from accelsim.components.kind import cycles_of
from accelsim.errors import InputError
from accelsim.kernels.read_noise import noise_constants
from accelsim.pipeline import run_in_full

SHORT = {"workload.inputs.utterances": "1"}


def cycles(overrides: dict[str, str], part: str, counts: dict[str, int]) -> int:
    """Return the service cycles of a part of the tile for some counts."""
    spec = load_architecture("memristor_tile", overrides).components()[part]
    return int(KINDS[spec.kind].service_cycles(spec, {name: np.array([n]) for name, n in counts.items()})[0])


@pytest.mark.parametrize(
    ("seconds", "frequency", "expected"),
    [
        (25e-9, 100e6, 3),  # 2.5 periods of 10 ns
        (10e-9, 100e6, 1),
        (100e-9, 10e6, 1),
        (1e-9, 100e6, 1),
        (1 / 1.28e9, 1.28e9, 1),  # a period of 781.25 ps, which the simulator rounds to 781
        (1 / 575e3, 100e6, 174),  # 1.739 us
        (1 / 570e3, 100e6, 176),  # 1.754 us
        (0.7, 3e8, 210_000_000),
    ],
)
def test_a_time_takes_whole_cycles(seconds: float, frequency: float, expected: int) -> None:
    assert cycles_of("read_time", seconds, frequency) == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, 7),
        ({"components.crossbar.read_time": "25 ns"}, 3 * 7),
        ({"components.crossbar.read_time": "25 ns", "components.crossbar.cycles_per_read": "5"}, 5 * 7),
        ({"components.crossbar.read_time": "1 ns"}, 7),
        ({"clocks.main.frequency": "1 GHz"}, 10 * 7),
        ({"components.crossbar.read_time": "1 s"}, 100_000_000 * 7),
    ],
)
def test_a_read_takes_its_time(overrides: dict[str, str], expected: int) -> None:
    assert cycles(overrides, "crossbar", {"phases": 7}) == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, 8),  # the eight columns of a converter
        ({"components.adc.rate": "33 MHz"}, 4 * 8),  # 30.3 ns
        ({"components.adc.rate": "1 Hz"}, 100_000_000 * 8),
        ({"components.adc.rate": "1 GHz"}, 8),
        ({"clocks.main.frequency": "1 GHz"}, 10 * 8),
        ({"components.adc.cycles_per_conversion": "6"}, 6 * 8),
    ],
)
def test_a_conversion_takes_its_time(overrides: dict[str, str], expected: int) -> None:
    assert cycles(overrides, "adc", {"convert": 384, "busiest": 8, "rows": 1}) == expected


def test_no_clock_makes_a_read_or_a_conversion_faster() -> None:
    """Ten times the clock: the reads of 10 ns and the conversions of 100 MHz still pace the tile, 80 ns a frame."""
    slow = run_in_full("memristor_tile", overrides=SHORT)
    fast = run_in_full("memristor_tile", overrides={**SHORT, "clocks.main.frequency": "1 GHz"})
    assert slow.execution.frames * 80_000 <= fast.outcome.timeline.duration_ps < slow.outcome.timeline.duration_ps


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("clocks.main.frequency", "1 nHz", "'frequency': must be at least 1 Hz"),
        ("clocks.main.frequency", "100 THz", "expected a frequency of at most 1 THz"),
        ("clocks.main.frequency", "100 mHz", "'frequency': must be at least 1 Hz"),
        ("components.crossbar.read_time", "1e9 s", "'read_time': 1 Gs at 100 MHz are 1e+17 cycles"),
        ("components.crossbar.read_time", "1e300 s", "'read_time': must be at most 1 Ts"),
        ("components.adc.rate", "1 nHz", "'rate': 1 Gs at 100 MHz are 1e+17 cycles"),
    ],
)
def test_a_time_that_cannot_be_counted_is_refused(key: str, value: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_architecture("memristor_tile", {key: value})
    (problem,) = error.value.problems
    assert message in problem.message and problem.file is not None


def test_more_bits_than_a_converter_can_have_are_refused() -> None:
    with pytest.raises(InputError, match="'precision_bits' and 'range_bits' must be at most 24 together, found 16"):
        load_architecture("memristor_tile", {"components.adc.precision_bits": "16", "components.adc.range_bits": "16"})


def test_a_run_longer_than_picoseconds_can_count_is_refused() -> None:
    keys = {"pacing.mode": "real_time", "pacing.frame_period": "10 ms", "components.crossbar.read_time": "10000 s"}
    with pytest.raises(InputError, match="can be counted in picoseconds"):
        run_in_full("memristor_tile", overrides={**SHORT, **keys})


GATE = "{all: {parts: ['*'], power_gate: {after: 1 us, wake: 10000000 s, wake_energy: 0 J, retention: 0}}}"


@pytest.mark.parametrize(
    "keys",
    [
        {"channels.0.latency": "2147483647", "clocks.main.frequency": "1 Hz", "technology.extrapolate": "true"},
        {"power": GATE},
    ],
)
def test_waits_longer_than_picoseconds_can_count_are_refused(keys: dict[str, str]) -> None:
    """What the jobs themselves take is short: the engine sees it when time has come so far."""
    with pytest.raises(InputError, match=r"rsnn28nm\.yaml:\d+: the run would last .* s, more than"):
        run_in_full("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "4", **keys})


def test_cycles_of_the_shipped_chips_stay() -> None:
    """Every read and every conversion of the library takes the cycles that its file says: its numbers agree."""
    for name in ("memristor_tile", "isaac_tile", "imssa", "imssa28", "imssa10", "memristor_conformer", "neurram_core"):
        chip = load_architecture(name)
        for spec in chip.of_kind("crossbar").values():
            assert spec.cycles_per_read == 1, name
        for spec in chip.of_kind("adc").values():
            assert spec.cycles_per_conversion == (174 if name == "neurram_core" else 1), name


def test_a_shorter_read_has_more_noise_by_hand() -> None:
    """4 kB T / t and 2 e / t: at 300 K 1.6568e-12 and 3.204e-11 for the 10 ns of the experiments, twice for 5 ns."""
    assert noise_constants("physical") == pytest.approx((1.656779e-12, 3.204e-11), rel=1e-6)
    assert noise_constants("physical", 300.0, 5e-9) == pytest.approx((3.313558e-12, 6.408e-11), rel=1e-6)
    assert noise_constants("legacy", 300.0, 5e-9) == noise_constants("legacy")
    outputs = [
        run_in_full("memristor_tile", overrides={**SHORT, "components.crossbar.read_time": time}).execution.outputs
        for time in ("10 ns", "2 ns")
    ]
    assert outputs[0] is not None and outputs[1] is not None and (outputs[0] != outputs[1]).any()
