"""Converters with errors on a chip: keys, files of measured ones, calibration, and which tile has which."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from accelsim.architecture import load_architecture
from accelsim.components.adc import Adc
from accelsim.cost import quiet_converters
from accelsim.devices import load_device
from accelsim.errors import InputError
from accelsim.explore.reuse import functional
from accelsim.explore.validate import schema_of, validate_file
from accelsim.library import find
from accelsim.pipeline import run_in_full
from accelsim.record import Run, record
from accelsim.schema.converters import MeasuredConverters

CHIP = find("memristor_tile", "arch").read_text()
LINE = CHIP[: CHIP.index("  adc: {")].count("\n") + 1
FEW = {"workload.inputs.utterances": "1", "components.crossbar.noise": "none"}
SHORT = {"workload.inputs.dataset": "librivox_sample", "workload.score": "null", "workload.inputs.seconds": "1"}


def chip_with(folder: Path, keys: str, converters: str | None = None) -> Path:
    """Write the memristor tile with further keys of its converters, and a file of measured ones beside it."""
    path = folder / "chip.yaml"
    path.write_text(CHIP.replace("{kind: adc,", f"{{kind: adc, {keys},"))
    if converters is not None:
        (folder / "measured.yaml").write_text(
            f"schema: accelsim/converters@1\nname: measured\nsource: a test\nconverters: {converters}\n"
        )
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(InputError) as error:
        load_architecture(path)
    return [str(problem) for problem in error.value.problems]


def imssa_with(folder: Path, keys: str, converters: str | None = None) -> Path:
    """Write the chip of one state-space kernel, likewise."""
    path = chip_with(folder, keys, converters)
    path.write_text(find("imssa", "arch").read_text().replace("{kind: adc,", f"{{kind: adc, {keys},"))
    return path


def ran(path: Path, overrides: dict[str, str] | None = None) -> Run:
    return run_in_full(str(path), overrides={**FEW, **(overrides or {})})


def outputs(path: Path, overrides: dict[str, str] | None = None) -> bytes:
    found = ran(path, overrides).execution.outputs
    assert found is not None
    return found.tobytes()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "ideal: true, offset: 0.3, noise: 0.1",
            "'ideal: true' passes currents on as they are, and 'offset' and 'noise' are in steps of a code",
        ),
        ("errors: measured.yaml, inl: 0.2", "'errors' names measured converters: leave out 'inl', which draw others"),
        ("trim_step: 0.5", "'trim_step' is of a calibration: write 'calibrated: offset' or 'offset_and_gain'"),
        ("gain_error: 0.2", "0.15"),
        ("offset: -1", "must be at least 0, found -1"),
        ("calibrated: gain", "unknown value 'gain' (one of: none, offset, offset_and_gain)"),
        ("errors: nowhere", "nowhere"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(keys: str, message: str, tmp_path: Path) -> None:
    (found,) = problems(chip_with(tmp_path, keys, "[{offset: 0.3}]"))
    assert message in found and f"chip.yaml:{LINE}" in found


@pytest.mark.parametrize(
    ("converters", "message"),
    [
        ("[]", "at least 1"),
        ("[{gain: -1}]", "greater than -1"),
        ("[{inl: [0.5]}]", "'inl' must have as many points for every converter, at least 2 or none, found 1"),
        ("[{inl: [0, 1]}, {}]", "at least 2 or none, found 0 and 2"),
        ("[{offsets: 1}]", "offsets"),
        ("[{}, {}]", "'measured.yaml' measures 2 converters: expected 1 for all, 48 for the units of every tile, or "
                     "144 for all of the chip"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_named(converters: str, message: str, tmp_path: Path) -> None:
    (found,) = problems(chip_with(tmp_path, "errors: measured.yaml", converters))
    assert message in found


def test_a_file_is_found_checked_and_part_of_a_chip(tmp_path: Path) -> None:
    path = chip_with(tmp_path, "errors: measured.yaml", "[{offset: 0.3}]")
    first = load_architecture(path)
    assert validate_file(tmp_path / "measured.yaml") == "converters 'measured'"
    assert "converters" in schema_of("converters")["properties"]
    chip_with(tmp_path, "errors: measured.yaml", "[{offset: 0.4}]")
    other = load_architecture(path)
    assert first.sha256 != other.sha256 and functional(first) != functional(other)
    assert "converters" not in functional(load_architecture("memristor_tile"))


def adc(**keys: object) -> Adc:
    needed = {"kind": "adc", "tiles": 3, "units": 2, "shared_by": 8, "precision_bits": 0, "range_bits": 8}
    return Adc.model_validate({**needed, "rate": "100 MHz", **keys})


@pytest.mark.parametrize("keys", [{}, {"noise": 0.5}, {"offset": 0.5}, {"errors": "measured"}])
def test_which_converter_takes_a_column_matters_where_they_differ(keys) -> None:
    """A sweep over ``shared_by`` reuses the values of a chip whose converters are all alike, and of no other."""
    assert ("shared_by" in adc(**keys).changes_no_value()) is not bool(keys.keys() & {"offset", "errors"})
    assert "units" in adc(**keys).changes_no_value() and "noise" not in adc().changes_no_value()


def test_converters_without_errors_are_perfect() -> None:
    assert adc().imperfections(1, np.arange(3), np.arange(3), None) is None
    assert adc(calibrated="offset").imperfections(1, np.arange(3), np.arange(3), None) is None


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [([0.5], [0.5] * 4), ([0.1, 0.2], [0.1, 0.2, 0.1, 0.2]), ([0, 1, 2, 3, 4, 5], [4, 5, 0, 1])],
)
def test_a_file_gives_one_for_all_one_for_each_unit_or_one_for_each_of_the_chip(offsets, expected) -> None:
    """Two tiles, at numbers 12 and 10 of the chip, the third and the first of three with converters."""
    measured = MeasuredConverters(name="m", source="t", converters=[{"offset": x} for x in map(float, offsets)])
    found = adc(noise=0.25).imperfections(1, np.array([12, 10]), np.array([2, 0]), measured)
    assert found is not None and found.offset.tolist() == expected and found.noise == 0.25


def test_calibration_of_a_chip_is_that_of_its_codes() -> None:
    tiles = np.arange(3)
    raw = adc(offset=2, gain_error=0.1, inl=1).imperfections(3, tiles, tiles, None)
    offset = adc(offset=2, gain_error=0.1, inl=1, calibrated="offset").imperfections(3, tiles, tiles, None)
    both = adc(
        offset=2, gain_error=0.1, inl=1, calibrated="offset_and_gain", trim_step=1.0
    ).imperfections(3, tiles, tiles, None)  # fmt: skip
    assert raw is not None and offset is not None and both is not None
    assert np.allclose(offset.offset, raw.offset - 0.25 * np.round(raw.offset / 0.25), rtol=0, atol=1e-12)
    assert np.array_equal(offset.gain, raw.gain) and np.abs(raw.offset).max() > 0.5
    assert np.allclose(both.offset, raw.offset - np.round(raw.offset), rtol=0, atol=1e-12)
    assert np.allclose(both.gain, raw.gain - np.round(raw.gain * 128) / 128, rtol=0, atol=1e-12)
    assert np.array_equal(both.bow, raw.bow) and np.array_equal(both.s_curve, raw.s_curve)


def test_a_run_has_the_errors_of_its_converters(tmp_path: Path) -> None:
    perfect = outputs(find("memristor_tile", "arch"))
    for keys, converters in (
        ("noise: 0.3", None), ("offset: 0.3", None), ("gain_error: 0.02", None), ("inl: 0.3", None),
        ("errors: measured.yaml", "[{offset: 0.3}]"), ("errors: measured.yaml", "[{inl: [0, 1, 0]}]"),
    ):  # fmt: skip
        path = chip_with(tmp_path, keys, converters)
        assert outputs(path) != perfect, keys
    zero = chip_with(tmp_path, "errors: measured.yaml, calibrated: offset", "[{inl: [0, 0]}]")
    assert outputs(zero) == perfect
    # An offset that a trim takes away altogether.
    assert outputs(chip_with(tmp_path, "errors: measured.yaml, calibrated: offset", "[{offset: 1.5}]")) == perfect


def test_clipped_conversions_are_counted_where_an_offset_makes_them(tmp_path: Path) -> None:
    (perfect, many) = (
        sum(clipped for _, clipped in ran(path).execution.activity.conversions.values())
        for path in (find("memristor_tile", "arch"), chip_with(tmp_path, "errors: measured.yaml", "[{offset: 120}]"))
    )
    assert many > perfect


def test_each_tile_and_each_copy_has_converters_of_its_own(tmp_path: Path) -> None:
    """Measured errors of the units of one tile alone change what that tile converts, and what comes behind it."""
    perfect = outputs(find("memristor_tile", "arch"))
    for tile in range(3):
        each = ["{}"] * 144
        each[48 * tile : 48 * (tile + 1)] = ["{offset: 3}"] * 48
        assert outputs(chip_with(tmp_path, "errors: measured.yaml", f"[{', '.join(each)}]")) != perfect


def test_a_state_goes_back_with_the_errors_of_its_converters(tmp_path: Path) -> None:
    perfect, flat = outputs(find("imssa", "arch"), SHORT), "{inl: [0, 0, 0]}"
    for keys, converters in (
        ("noise: 0.5", None), ("offset: 1", None), ("gain_error: 0.02", None), ("inl: 1", None),
        ("errors: measured.yaml", "[{offset: 0.3}]"),
        ("errors: measured.yaml", f"[{flat}, {flat}, {flat}, {{inl: [0, 1, 0]}}]"),  # the last of four: pairs 24 to 28
    ):  # fmt: skip
        path = imssa_with(tmp_path, keys, converters)
        assert outputs(path, SHORT) != perfect, keys
    zero = imssa_with(tmp_path, "errors: measured.yaml, calibrated: offset_and_gain", "[{offset: -2, gain: 0.0625}]")
    assert outputs(zero, SHORT) == perfect, "gain 1 / 16 is 32 steps of 1 / 512"


def test_a_converter_that_is_quieter_than_the_cells_in_front_of_it_is_told(tmp_path: Path) -> None:
    """By hand: 256 cells of I_LL(0.6 V) / 0.6 V in 10 ns, sqrt(4 kB 300 K G 50 MHz), in 1 / 16 of a level's current."""
    curves = load_device("synaptogen").curves(0.6)
    siemens = 256 * sum(c * 0.6**n for n, c in enumerate(reversed(curves.low))) / 0.6
    least = math.sqrt(4 * 1.380649e-23 * 300 * siemens * 50e6) / curves.unit * 16
    assert least == pytest.approx(0.0311, rel=1e-3)
    path, quiet = chip_with(tmp_path, "noise: 0.01"), {"components.crossbar.noise": "none"}
    (told,) = quiet_converters(load_architecture(path, quiet))
    assert told == (
        "'adc' has 0.01 steps of noise; the cells of 'crossbar', read with 'noise: none', alone have 0.0311 in 10 ns"
    )
    assert told in record(ran(path)).provenance.assumptions
    assert not quiet_converters(load_architecture(path))  # the cells have theirs
    estimated = record(ran(chip_with(tmp_path, "offset: 1, calibrated: offset"))).provenance.assumptions
    assert "'adc' is trimmed in steps of 0.25 of a code, as far as it needs: estimated" in estimated
    given = record(ran(chip_with(tmp_path, "offset: 1, calibrated: offset, trim_step: 0.5"))).provenance.assumptions
    assert not any("is trimmed in steps of" in line for line in given)
    for louder in ("noise: 0.04", "noise: 0, offset: 1"):
        assert not quiet_converters(load_architecture(chip_with(tmp_path, louder), quiet))
