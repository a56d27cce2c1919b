"""What is said about an architecture file that is wrong: file, line, all problems at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accelsim.architecture import load_architecture
from accelsim.errors import InputError
from accelsim.library import find

CHIP = find("rsnn28nm", "arch").read_text()


def problems(folder: Path, *changes: tuple[str, str], overrides: dict[str, str] | None = None) -> list[str]:
    """Return what is said about the chip's file with pieces of it replaced."""
    text = CHIP
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "chip.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_architecture(path, overrides)
    return [str(problem).removeprefix(str(folder)) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("to: lif, capacity", "to: lift, capacity", "no component named 'lift' (did you mean 'lif'?)"),
        ("from: membranes,", "from: membrane,", "no component named 'membrane' (did you mean 'membranes'?)"),
        ("frequency: 100 kHz", "frequency: 0 Hz", "'frequency': must be greater than 0, found '0 Hz'"),
        ("frequency: 100 kHz", "frequency: 100 kW", "'100 kW' is a power, expected a frequency such as '100 kHz'"),
        ("frequency: 100 kHz", "frequency: 100", "100 has no unit"),
        ("rows: 48,", "rows: -48,", "'rows': must be greater than 0, found -48"),
        ("rows: 48,", "rows: 48.5,", "'rows': expected a whole number, found 48.5"),
        ("rows: 48,", "row: 48,", "unknown key 'row' (did you mean 'rows'?)"),
        ("switch_cycles: 1", "switch_cycles: -1", "'switch_cycles': must be at least 0, found -1"),
        ("accumulator_bits: 12", "accumulator_bits: 1", "'accumulator_bits': must be at least 2, found 1"),
        ("length: 0.25 mm", "length: 0.25 mm2", "'0.25 mm2' is an area, expected a length"),
        ("length: 0.25 mm", "length: 0 mm", "'length': must be greater than 0"),
        ("kind: lif,", "kind: life,", "unknown kind 'life' (did you mean 'lif'?)"),
        ("kind: lif,", "", "missing key 'kind'"),
        ("voltage: 0.9 V", "voltage: 0.9 mA", "'0.9 mA' is a current, expected a voltage"),
        ("temperature: 300 K", "temperature: -300 degC", "must be at least 0 K, absolute zero"),
        ("time_steps: parallel", "time_steps: paralel", "unknown value 'paralel' (did you mean 'parallel'?)"),
        ("skip_inputs: true", "skip_inputs: yes", "'yes' is neither a boolean nor clearly text"),
        ("capacity: 1, latency: 1", "capacity: 1, latency: 0", "'latency': must be greater than 0"),
        ("mode: real_time, frame_period: 10 ms", "mode: real_time", "real_time pacing needs a frame_period"),
        ("cost: cmos28_rsnn", "cost: cmos82_rsnn", "did you mean 'cmos28_rsnn'?"),
        ("schema: accelsim/arch@1", "schema: accelsim/arch@2", "is newer than this accelsim"),
        ("schema: accelsim/arch@1", "schema: accelsim/cost@1", "this is a file of schema 'accelsim/cost@1'"),
    ],
)
def test_one_thing_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    found = problems(tmp_path, (old, new))
    assert len(found) == 1, found
    assert message in found[0]
    if "cmos82" not in new:
        line = CHIP[: CHIP.index(old)].count("\n") + 1
        # The whole mapping, where a key is missing from it.
        assert found[0].startswith(f"/chip.yaml:{line}: "), (line, found[0])


def test_two_channels_between_the_same_two(tmp_path: Path) -> None:
    line = "  - {from: membranes, to: lif, lockstep: true}\n"
    found = problems(tmp_path, (line, line + line))
    assert len(found) == 1
    assert re.fullmatch(r"/chip.yaml:\d+: two channels membranes->lif", found[0])


def test_a_component_that_is_connected_to_nothing(tmp_path: Path) -> None:
    part = "  controller: {"
    spare = "  spare: {kind: register_file, stores: nothing, entries: 1, width_bits: 1}\n"
    found = problems(tmp_path, (part, spare + part))
    assert len(found) == 1
    assert found[0].endswith("component 'spare' is connected to nothing")


def test_an_unknown_clock_and_an_unknown_shared_component(tmp_path: Path) -> None:
    clock = ("units: 128, membrane_bits: 16", "units: 128, membrane_bits: 16, clock: mian")
    arbitration = ("calibrated:", "arbitration: {pee: round_robin}\ncalibrated:")
    found = problems(tmp_path, clock, arbitration)
    assert any("no clock named 'mian' (did you mean 'main'?)" in problem for problem in found)
    assert any("no component named 'pee' (did you mean 'pe'?)" in problem for problem in found)


def test_everything_wrong_with_the_values_is_said_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        ("rows: 48,", "rows: -48,"),
        ("frequency: 100 kHz", "frequency: 100 kW"),
        ("time_steps: parallel", "time_steps: paralel"),
        ("membrane_bits: 16", "membrane_bit: 16"),
    )
    assert len(found) == 4
    lines = [int(re.match(r"/chip.yaml:(\d+):", problem)[1]) for problem in found]
    assert lines == sorted(lines)


def test_everything_wrong_with_the_wiring_is_said_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        ("to: lif, capacity", "to: lift, capacity"),
        ("from: controller, to: pe", "from: controler, to: pe"),
    )
    assert len(found) == 2, "the controller is misspelt, which is not said again as connected to nothing"


def test_a_wrong_override_is_named_as_it_was_given(tmp_path: Path) -> None:
    assert problems(tmp_path, overrides={"components.pe.sets": "-2"}) == [
        "--set components.pe.sets: 'sets': must be greater than 0, found -2"
    ]
    found = problems(tmp_path, overrides={"components.pes.sets": "2"})
    assert found[0].startswith("--set components.pes.sets: no 'components.pes.sets' in ")
    assert found[0].endswith("(did you mean 'components.pe.sets'?)")


def test_a_name_that_the_library_has_not() -> None:
    with pytest.raises(InputError, match=r"named 'rsnn82nm'.* \(did you mean 'rsnn28nm'\?\)"):
        load_architecture("rsnn82nm")


def test_overrides_change_the_hash_and_nothing_else_does() -> None:
    plain = load_architecture("rsnn28nm")
    assert load_architecture("rsnn28nm").sha256 == plain.sha256
    assert load_architecture("rsnn28nm", {"components.pe.sets": "4"}).sha256 != plain.sha256


def test_operating_points_change_time_and_price_alone() -> None:
    chip = load_architecture("rsnn28nm")
    for point in chip.operating_points.values():
        assert point.spec.components == chip.spec.components
        assert point.spec.channels == chip.spec.channels


def test_an_operating_point_cannot_change_a_component(tmp_path: Path) -> None:
    points = "operating_points:\n  other: {components.pe.sets: '4'}\n"
    text = re.sub(r"operating_points:\n(?:  .*\n)+", points, CHIP) if "operating_points:" in CHIP else CHIP + points
    (tmp_path / "chip.yaml").write_text(text)
    with pytest.raises(InputError, match=r"an operating point cannot change 'components.pe.sets'"):
        load_architecture(tmp_path / "chip.yaml")


@pytest.mark.parametrize(("frequency", "period_ps"), [("500 MHz", 2000), ("300 MHz", 3333), ("75 MHz", 13333)])
def test_a_clock_period_is_rounded_to_a_whole_picosecond(frequency: str, period_ps: int) -> None:
    chip = load_architecture("rsnn28nm", {"clocks.main.frequency": frequency})
    assert chip.period_ps("pe") == period_ps
    assert chip.clock_hz() == pytest.approx(1e12 / period_ps)


def test_a_clock_too_fast_for_picoseconds_is_refused() -> None:
    with pytest.raises(InputError, match=r"nearly a whole number of picoseconds"):
        load_architecture("rsnn28nm", {"clocks.main.frequency": "700 GHz"})
