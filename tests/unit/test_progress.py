"""What long work tells of itself: kernels that are compiled, how much of which stage is done."""

from __future__ import annotations

import re
import time
from typing import Any

import numba
import pytest
from numba import njit
from sweeps import sweep

import accelsim
from accelsim.cli.say import Runs, TimeLeft, clock, progress
from accelsim.kernels.compile import watched
from accelsim.pipeline import _compilation_told

Told = list[tuple[str, int | None, int | None]]


def fresh_kernel() -> Any:
    """Return a function that no process has compiled before, with a helper of its own."""

    @njit
    def _helper(x: float) -> float:
        return x + 1

    @njit
    def _kernel(x: float) -> float:
        return 2 * _helper(x)

    return _kernel


def test_kernels_are_told_while_they_are_compiled_and_then_what_goes_on_again() -> None:
    told: Told = []
    kernel = fresh_kernel()
    with _compilation_told(lambda *stage: told.append(stage)) as tell:
        tell("values of fc", 3, 4)
        assert kernel(1.0) == 4.0
        assert kernel(2.0) == 6.0
    assert told[0] == ("values of fc", 3, 4)
    wanted = [f"compiling kernels (once per machine): kernel, {done} functions done" for done in (0, 0, 1)]
    assert [stage for stage, *_ in told[1:-1]] == wanted
    assert told[-1] == ("values of fc", 3, 4), "said once more, and nothing for what is compiled already"


def test_what_is_compiled_is_counted_and_timed() -> None:
    kernel = fresh_kernel()
    with watched() as compiling:
        kernel(1.0)
        first = compiling.functions, compiling.seconds
        kernel(2.0)
    kernel(1)  # of other arguments, when nobody looks any more
    assert first == (2, compiling.seconds) and compiling.seconds > 0
    assert compiling.functions == (0 if numba.config.DISABLE_JIT else 2)


def test_how_much_of_the_values_is_done() -> None:
    told: Told = []
    keys = {"workload.inputs.utterances": 1, "programming_runs": 2}
    accelsim.run("memristor_tile", overrides=keys, progress=lambda *stage: told.append(stage))
    stages = dict.fromkeys((stage, done / total) for stage, done, total in told if total)
    assert [one for one in stages if one[0].startswith("values")] == [
        ("values of phones, programming run 1 of 2", 0.0), ("values of phones, programming run 2 of 2", 0.5)
    ]  # fmt: skip
    assert 0.98 < max(share for stage, share in stages if stage == "cycles") <= 1


def test_the_share_of_a_layer_is_that_of_its_work() -> None:
    told: Told = []
    accelsim.run("rsnn28nm", progress=lambda *stage: told.append(stage))
    values = {stage: done / total for stage, done, total in told if total and stage.startswith("values")}
    # Per frame: two time steps of (inputs + recurrent inputs) x neurons, and a value of each neuron.
    l0, l1, fc = 2 * (40 + 128) * 128 + 128, 2 * (128 + 128) * 128 + 128, 2 * 128 * 1920 + 1920
    total = l0 + l1 + fc
    wanted = {"values of l0": 0, "values of l1": l0 / total, "values of fc": (l0 + l1) / total}
    assert values == pytest.approx(wanted)


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_follows_from_how_far_the_stage_has_come() -> None:
    at = Clock()
    left = TimeLeft(at)
    left.tell(None, None)
    assert left.seconds() is None, "nobody knows how much there is"
    assert left.tell(0, 10) and left.seconds() is None
    at.now = 20.0
    assert not left.tell(4, 10)
    assert left.seconds() == 30.0, "4 took 20 s, 6 are left"
    at.now = 32.0
    assert left.seconds() == 18.0, "the clock goes on while nothing is told"
    at.now = 99.0
    assert left.seconds() == 0.0
    assert left.tell(2, 10), "less is done than before: another stage of as many"
    assert left.seconds() is None
    at.now = 101.0
    left.tell(3, 10)
    assert left.seconds() == 14.0, "one took 2 s since that stage began, at the second"


def test_clocks() -> None:
    assert [clock(seconds) for seconds in (0.4, 59.6, 750, 3900)] == ["0:00", "1:00", "12:30", "1:05:00"]


def test_stages_are_told_with_their_run() -> None:
    told: Told = []
    runs = Runs(lambda *stage: told.append(stage))
    runs.begin("edge_npu", 1, 3)
    runs.stage("cycles", 5, 9)
    runs.begin("paper", 0, 1)
    runs.stage("cycles", 1, 9)
    assert told == [("edge_npu, 2 of 3: cycles", 5, 9), ("paper: cycles", 1, 9)]


def test_a_sweep_tells_the_stage_of_its_point(tmp_path: Any) -> None:
    told: Told = []
    axes = {"workload.inputs.frames": ["2"], "pe.switch_cycles": ["0", "1"]}
    sweep(
        "rsnn28nm", axes, tmp_path / "out", workload="rsnn_paper_activity", progress=lambda *one: told.append(one)
    ).close()
    assert told[1] == ("0 of 2 points", 0, 2)
    assert ("1 of 2 points: cycles", 1, 2) in told, "its own share is not that of the sweep"
    assert told[-1] == ("2 of 2 points", 2, 2)


def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int) -> str:
    """Return what a bar draws on a terminal of so many columns within a second and a half."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    with progress() as tell:
        tell("features of speech", 5, 5)
        time.sleep(1.1)
        tell("values of a layer whose name is far too long for any terminal of eighty columns", 1, 4)
        time.sleep(0.3)
        tell("values of another one", 2, 4)
        time.sleep(0.3)
    return capsys.readouterr().err


@pytest.mark.parametrize("columns", [80, 100])
def test_a_terminal_shows_the_stage_and_what_is_left(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = re.split(r"[\r\n]|\x1b\[2K", re.sub(r"\x1b\[[0-9;?]*[mlhA]", "", drawn(monkeypatch, capsys, columns)))
    assert all(len(line) <= columns for line in lines)
    shown = [line.rstrip() for line in lines if line.strip()]
    assert any(re.search(r"0:0[12]$", line) for line in shown), "nothing is known of the time left at first"
    assert re.search(r"values of another one\s.* 0:0[1-3], 0:0[01] left$", shown[-1]), shown[-1]


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell("values", 1, 2)
        time.sleep(1.1)
        tell("values", 2, 2)
    assert capsys.readouterr() == ("", "")
