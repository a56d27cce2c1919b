"""Read disturb: cells that a read would switch are counted from their own thresholds, and a read of all is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim.architecture import load_architecture
from accelsim.devices import Synaptogen, Verify, load_device
from accelsim.errors import InputError
from accelsim.kernels.synaptogen import respond
from accelsim.library import find
from accelsim.report.headline import notes

SHORT = {"workload.inputs.utterances": "1"}
CELLS = 4000


def device(**settings: object) -> Synaptogen:
    found = load_device("synaptogen")
    assert isinstance(found, Synaptogen)
    return found.model_copy(update=settings)


def switched(level: int, volts: float) -> int:
    """Return how many of the cells of array 3, written to a level, change in a read, by applying it to them."""
    writes = [2.0] if level == 0 else [2.0, -2.0]
    changed = np.zeros(CELLS, bool)
    for read in (volts, -volts):
        pulses = np.array([*writes, read])[:, None] * np.ones(CELLS)
        states, _ = respond(pulses, array=3, seed=5, parameters=device().parameters)
        changed |= states[-1] != states[-2]
    return int(changed.sum())


@pytest.mark.parametrize("volts", [0.3, 0.6, 0.75])
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("verify", [None, Verify(pulses=1, tolerance=1.0)])
def test_the_count_is_of_cells_that_a_read_switches(level: int, volts: float, verify: Verify | None) -> None:
    """Both ways of programming, with and without a look at the cell, count what pulses of the read voltage change."""
    one = device(verify=verify)
    levels = np.full((1, 1, CELLS), level, np.uint8)
    written = one.program(levels, np.array([3]), seed=5, read_voltage=volts)
    assert written.reached is not None
    assert written.reached.tolist() == [switched(level, volts)]


def test_a_read_of_six_tenths_of_a_volt_sets_a_ninth_of_the_cells() -> None:
    """The figure of the issue: 11 % of the cells in HRS, hardly one in LRS."""
    sets, resets = device().switched_by_read(0.6)
    assert 0.10 < sets < 0.13 and resets < 0.001
    assert device().switched_by_read(0.2) == (0, 0)
    assert load_device("gaussian").switched_by_read(0.6) == (0, 0)


def test_a_run_reports_them() -> None:
    result = accelsim.run("memristor_tile", overrides=SHORT)
    w = result.programming
    assert w.reached_by_read is not None and 0.05 < w.reached_by_read / w.cells < 0.13
    assert [about for about, _ in notes(result)].count("read disturb") == 1
    quiet = accelsim.run("memristor_tile", overrides={**SHORT, "components.crossbar.read_voltage": "0.2 V"})
    assert quiet.programming.reached_by_read == 0 and not [n for n in notes(quiet) if n[0] == "read disturb"]
    other = accelsim.run("imssa28", overrides=SHORT)
    assert other.programming.cells and other.programming.reached_by_read is None
    assert load_architecture("memristor_tile").devices["crossbar"].name == "synaptogen"


def test_a_read_that_switches_every_cell_is_refused(tmp_path: Path) -> None:
    text = find("memristor_tile", "arch").read_text().replace("read_voltage: 0.6 V", "read_voltage: 1.2 V")
    path = tmp_path / "chip.yaml"
    path.write_text(text)
    line = text[: text.index("read_voltage:")].count("\n") + 1
    with pytest.raises(InputError) as error:
        load_architecture(path)
    (problem,) = error.value.problems
    assert problem.message.startswith("a read of 1.2 V resets every low-resistance cell")
    assert (problem.file, problem.line) == (str(path), line)
