"""Warnings that nobody may miss come first, and --strict makes an exit code of them, in every command that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ACTIVITY = ("-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=8")
SLOW = ("-s", "clocks.main.frequency=1 kHz")
QUICK = ("-s", "clocks.main.frequency=200 kHz")
OUTSIDE = ("-s", "technology.extrapolate=true", "-s", "technology.voltage=0.45 V", "-s", "operating_points={}")


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        (SLOW, "warning 8 of 8 frames were late"),
        ((*QUICK, *OUTSIDE), "warning extrapolated, no figure of time, energy or area is more than a guess: "),
    ],
    ids=["late", "extrapolated"],
)
def test_a_run_with_a_warning_fails_when_that_is_asked_for(accelsim, keys, warning) -> None:
    run = ("run", "rsnn28nm", *ACTIVITY, *keys)
    as_ever = accelsim(*run)
    assert as_ever.code == 0 and as_ever.out.startswith(warning), "on the first line"
    strict = accelsim(*run, "--strict", "--out", "out")
    assert (strict.code, strict.out) == (1, as_ever.out), "all is told and written, whatever it is worth"
    assert Path("out/result.json").is_file()
    as_json = accelsim(*run, "--strict", "--json")
    assert as_json.code == 1 and json.loads(as_json.out)
    assert as_json.err.startswith(warning.replace("warning ", "warning: "))


def test_a_run_without_a_warning_does_not(accelsim) -> None:
    outcome = accelsim("run", "rsnn28nm", *ACTIVITY, *QUICK, "--strict")
    assert outcome.code == 0 and "warning" not in outcome.out + outcome.err


def test_chips_side_by_side(accelsim) -> None:
    chips = ("compare", "rsnn28nm", "rsnn28nm", *ACTIVITY)
    assert accelsim(*chips, *QUICK, "--strict").code == 0
    late = accelsim(*chips, *SLOW, "--strict")
    assert late.code == 1 and late.out.startswith("warning rsnn28nm: 8 of 8 frames were late")
    told = accelsim(*chips, *SLOW, "--json")
    assert told.code == 0 and told.err.startswith("warning rsnn28nm: 8 of 8") and json.loads(told.out)
    paper = accelsim("compare", "rsnn28nm", "--strict")
    assert paper.code == 2 and "--strict is for two or more architectures" in paper.err


def test_a_sweep(accelsim) -> None:
    axes = ("sweep", "rsnn28nm", *ACTIVITY, "-s", "components.pe.switch_cycles=0,1")
    assert accelsim(*axes, *QUICK, "--strict", "-o", "quick").code == 0
    assert accelsim(*axes, *SLOW, "-o", "late").code == 0
    late = accelsim(*axes, *SLOW, "--strict", "--resume", "-o", "late")
    assert late.code == 1
    wanted = r"warning 1 of 1 configurations on the front are late: frames miss their deadline"
    assert late.out.startswith(wanted)


def test_a_sweep_some_of_whose_points_fail(accelsim) -> None:
    axes = ("sweep", "rsnn28nm", *ACTIVITY, *QUICK, "-s", "components.weights_fc.rows=1,4096", "-o", "out")
    assert accelsim(*axes).code == 0
    strict = accelsim(*axes, "--resume", "--strict")
    assert strict.code == 1 and strict.out.startswith("warning 1 of 2 configurations failed")


def test_a_search_whose_constraints_none_keeps_fails_whatever_is_asked_for(accelsim) -> None:
    pytest.importorskip("optuna")
    axes = ("search", "rsnn28nm", *ACTIVITY, *QUICK, "-s", "components.pe.switch_cycles=0:3", "--trials", "2")
    outcome = accelsim(*axes, "--constraint", "power<=1 pW", "-o", "out")
    assert outcome.code == 1
    assert outcome.out.startswith("warning no configuration keeps 'power<=1 pW' (nearest: ")
    assert "error: no configuration keeps 'power<=1 pW'" in outcome.err
