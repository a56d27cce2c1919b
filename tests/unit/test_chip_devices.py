"""The device files that a chip names: found beside it, checked when it is loaded, part of its identity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import accelsim
from accelsim.architecture import Architecture, load_architecture
from accelsim.components import KINDS, ComponentSpec
from accelsim.devices import Gaussian, Ideal, Synaptogen, load_device
from accelsim.errors import InputError
from accelsim.explore.reuse import functional
from accelsim.explore.validate import validate_file
from accelsim.kernels.cells import RESTING
from accelsim.library import find

CHIP = find("memristor_tile", "arch").read_text()
DEVICE = find("gaussian", "arch/devices").read_text()
NOISE = "components.crossbar.device_settings.write_noise"
LINE = CHIP[: CHIP.index("device: ")].count("\n") + 1


def write(folder: Path, device: str, settings: str = "") -> Path:
    """Write a chip whose crossbar names a device, and return its path."""
    assert "device: synaptogen" in CHIP
    path = folder / "chip.yaml"
    path.write_text(CHIP.replace("device: synaptogen", f"device: {device}{settings}"))
    return path


def problems(path: Path, overrides: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InputError) as error:
        load_architecture(path, overrides)
    return [str(problem) for problem in error.value.problems]


def own(path: Path, name: str = "mine") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(DEVICE.replace("name: gaussian", f"name: {name}"))
    return path


PLACES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "a file beside the chip": ("mine.yaml", lambda folder: folder / "mine.yaml"),
    "a name in devices/ beside the chip": ("mine", lambda folder: folder / "devices" / "mine.yaml"),
    "a path from the chip": ("../other/mine.yaml", lambda folder: folder / ".." / "other" / "mine.yaml"),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_device_is_found_from_its_chip(case: str, tmp_path: Path) -> None:
    name, place = PLACES[case]
    folder = tmp_path / "chip"
    folder.mkdir()
    own(place(folder))
    chip = load_architecture(write(folder, name))
    assert {key: device.name for key, device in chip.devices.items()} == {"crossbar": "mine"}
    assert isinstance(chip.devices["crossbar"], Gaussian)


def test_a_whole_path_will_do_and_the_library_comes_last(tmp_path: Path) -> None:
    elsewhere = own(tmp_path / "elsewhere" / "mine.yaml")
    path = write(tmp_path, "gaussian")
    assert load_architecture(path, {"components.crossbar.device": str(elsewhere)}).devices["crossbar"].name == "mine"
    assert load_architecture(path).devices["crossbar"].name == "gaussian"
    own(tmp_path / "devices" / "gaussian.yaml", "nearer")
    assert load_architecture(path).devices["crossbar"].name == "nearer"


def test_the_run_programs_the_device_of_the_chip(tmp_path: Path) -> None:
    """One pulse writes a Gaussian cell, and a whole sequence a measured one: the pulses tell which device it was."""
    short = {"workload.inputs.utterances": "1"}
    path = write(tmp_path, "mine.yaml")
    pulses = []
    for device in (DEVICE, find("synaptogen", "arch/devices").read_text()):
        (tmp_path / "mine.yaml").write_text(device)
        result = accelsim.run(path, overrides=short)
        pulses.append(result.programming.write_pulses / result.programming.cells)
    assert pulses[0] <= 1 < pulses[1]


def test_the_content_of_a_device_file_is_part_of_the_chip(tmp_path: Path) -> None:
    path, device = write(tmp_path, "mine.yaml"), own(tmp_path / "mine.yaml")
    before = load_architecture(path)
    assert load_architecture(path).sha256 == before.sha256
    device.write_text(device.read_text().replace("write_noise: 2.835 uS", "write_noise: 2.836 uS"))
    after = load_architecture(path)
    assert after.sha256 != before.sha256
    assert functional(after) != functional(before), "a sweep must not take the values of the other device"


def test_a_chip_without_cells_has_no_device() -> None:
    assert load_architecture("rsnn28nm").devices == {}


def test_settings_change_the_device_of_the_chip(tmp_path: Path) -> None:
    path = write(tmp_path, "gaussian", ", device_settings: {write_noise: 1 uS, drift: {exponent: 0.1}}, age: 1 h")
    chip = load_architecture(path)
    device = chip.devices["crossbar"]
    assert isinstance(device, Gaussian) and device.drift is not None
    assert (device.write_noise, device.drift.exponent, chip.components()["crossbar"].age) == (1e-6, 0.1, 3600.0)
    device = load_architecture(path, {NOISE: "2 uS"}).devices["crossbar"]
    assert isinstance(device, Gaussian) and device.write_noise == 2e-6


@pytest.mark.parametrize(
    ("device", "settings", "message"),
    [
        ("synaptogn", "", "no device named 'synaptogn', and no such file (did you mean 'synaptogen'?)"),
        ("other/none.yaml", "", "no such file: other/none.yaml"),
        ("gaussian", ", device_settings: {write_nois: 1 uS}", "unknown key 'write_nois' (did you mean 'write_noise'?)"),
        ("gaussian", ", device_settings: {write_noise: 1 V}", "'1 V' is a voltage, expected a conductance"),
        ("gaussian", ", device_settings: {a.b: 1}", "no 'a.b' in "),
        ("synaptogen", ", device_settings: {kind: ideal}", "unknown key 'low_curve'"),
    ],
)
def test_what_the_chip_says_of_its_device_is_checked_when_it_is_loaded(
    tmp_path: Path, device: str, settings: str, message: str
) -> None:
    path = write(tmp_path, device, settings)
    found = [line for line in problems(path) if message in line]
    assert len(found) == 1
    if "low_curve" not in message:
        assert found[0].startswith(f"{path}:{LINE}: ")
    with pytest.raises(InputError) as error:
        validate_file(path)
    assert found[0] in [str(problem) for problem in error.value.problems]


def test_a_setting_given_on_the_command_line_is_named_as_it_was_given() -> None:
    key = "components.crossbar.device_settings.write_nois"
    (found,) = problems(find("imssa", "arch"), {key: "1 uS"})
    assert found.startswith(f"--set {key}: unknown key 'write_nois' (did you mean")


def test_a_broken_device_file_is_told_with_its_own_lines_beside_the_mistakes_of_the_chip(tmp_path: Path) -> None:
    own(tmp_path / "mine.yaml").write_text(DEVICE.replace("levels: [5 uS, 50 uS]", "levels: [50 uS, 5 uS]\nlevel: 1"))
    path = write(tmp_path, "mine.yaml")
    path.write_text(path.read_text().replace("kind: adc,", "kind: adc, clock: mian,", 1))
    line = DEVICE[: DEVICE.index("levels")].count("\n") + 2
    found = problems(path)
    assert any("no clock named 'mian'" in problem for problem in found)
    assert any(p.startswith(f"{tmp_path / 'mine.yaml'}:{line}: unknown key 'level'") for p in found), found


def test_any_kind_with_a_key_device_has_one() -> None:
    class Cells(ComponentSpec):
        kind: Literal["dac"]
        device: str

    assert Cells(kind="dac", device="taox").device_name() == "taox"
    assert {name for name, kind in KINDS.items() if "device" in kind.spec.model_fields} == {"crossbar"}
    chips: list[Architecture] = [load_architecture(name) for name in ("imssa", "memristor_tile")]
    kinds = [type(device) for chip in chips for device in chip.devices.values()]
    assert kinds == [Gaussian, Synaptogen]
    ideal = load_architecture(
        "memristor_tile", {"components.crossbar.device": "ideal", "components.crossbar.wires": "none"}
    )
    assert isinstance(ideal.devices["crossbar"], Ideal)


def test_cells_at_rest_take_no_pulse() -> None:
    """Of four cells two are written, one of them to the lowest level."""
    levels = np.array([[[0, 1], [RESTING, RESTING]]], np.uint8)
    device = load_device("taox")
    written = device.write(levels, np.zeros(1, np.int64), seed=0, read_voltage=0.2, cell_bits=1)
    assert written.pulses.tolist() == [2]


def test_a_device_that_states_its_pulse_is_written_by_that_pulse() -> None:
    """NeuRRAM on IMSSA, by hand: 8.52 pulses of 1 us a written cell, 1.75 V over 20 uS: 61.25 pJ each."""
    short = {"workload.inputs.utterances": "1", "components.crossbar.device": "rram_neurram"}
    written = accelsim.run("imssa", overrides=short | {"components.crossbar.age": "1 day"}).programming
    table = accelsim.run("imssa", overrides=short | {"components.crossbar.device": "pcm_joshi"}).programming
    assert written.write_pulses == round(8.52 * table.write_pulses)  # one pulse each where the file states none
    assert written.energy_j == pytest.approx(written.write_pulses * 61.25e-12)
    together = load_architecture("imssa").components()["crossbar"].cells_written_at_once
    assert written.time_s == pytest.approx(-(-written.write_pulses // together) * 1e-6)
    assert written.energy_interval_j == pytest.approx((written.energy_j, written.energy_j))


def test_a_shipped_chip_runs_with_published_devices() -> None:
    """What a cell conducts is what a read draws: hermes' cells a tenth of taox' (10.35 against 150 uS), or less."""
    drawn = {}
    for device, age in (("taox", "1 s"), ("pcm_hermes", "1 h"), ("pcm_hermes", "1 month")):
        key = "components.crossbar."
        settings = {"workload.inputs.utterances": "1", key + "device": device, key + "age": age}
        result = accelsim.run("imssa", overrides=settings)
        assert result.programming.cells == 64 * 64
        drawn[device, age] = next(c for c in result.components if c.name == "crossbar").energy_j.dynamic
    taox, hour, month = drawn.values()
    assert 0 < month < hour < 0.1 * taox
