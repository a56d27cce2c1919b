"""The command line as a person meets it: what it writes to begin with, how it is told what to set, what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import accelsim as public
from accelsim.architecture import load_architecture
from accelsim.cli.options import spread
from accelsim.errors import InputError
from accelsim.explore import compare_chips
from accelsim.explore.comparison import settings_of_each

SHORT = ("-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=20")


def test_the_commands(accelsim, tmp_path: Path) -> None:
    outcome = accelsim("new", "chip", "mine", "--from", "rsnn28nm")
    assert outcome.code == 0 and outcome.out.startswith("wrote mine.yaml: ")
    assert accelsim("new", "network", "net", "--from", "rsnn_paper_activity").code == 0
    assert accelsim("validate", "mine.yaml", "net/workload.yaml").code == 0
    ran = accelsim("run", "mine.yaml", "-w", "net", "-s", "workload.inputs.frames=20")
    assert ran.code == 0 and "net on mine" in ran.out
    again = accelsim("new", "chip", "mine", "--from", "rsnn28nm")
    assert again.code == 2 and again.err == "error: mine.yaml is there already (another name, or --out)\n"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("run x -s a=1 b=2 -o out", "run x -s a=1 -s b=2 -o out"),
        ("run -s a=1 b=2 x -w y", "run -s a=1 -s b=2 x -w y"),
        ("run x --set a=1 b=2 --json c=3", "run x --set a=1 --set b=2 --json c=3"),
        ("run x --set=a=1 b=2", "run x --set=a=1 --set b=2"),
        ("run x -sa=1 b=2", "run x -sa=1 -s b=2"),
        ("run x -s a=1 b=2 --limit points=1 ops=2", "run x -s a=1 -s b=2 --limit points=1 --limit ops=2"),
        ("run x -s a=1 -- b=2", "run x -s a=1 -- b=2"),
        ("run a=1 b=2", "run a=1 b=2"),
        ("run x --seed 3 b=2", "run x --seed 3 b=2"),
    ],
)
def test_several_settings_after_one_option(given: str, meant: str) -> None:
    assert spread(given.split()) == meant.split()


def test_settings_of_a_run_short_and_several(accelsim) -> None:
    """A short key is the whole one, to the hash of the record; nothing depends on how it was written."""
    whole = ("-s", "components.pe.switch_cycles=2", "-s", "components.lif.membrane_bits=12")
    asked = accelsim("run", "rsnn28nm", *SHORT, *whole, "--json")
    short = accelsim("run", *SHORT, "pe.switch_cycles=2", "lif.membrane_bits=12", "rsnn28nm", "--json")
    assert asked.code == short.code == 0
    records = [json.loads(outcome.out) for outcome in (asked, short)]
    for record in records:
        del record["command"]
    assert records[0] == records[1]


def test_a_short_key_in_python() -> None:
    chip = load_architecture("imssa", {"adc.range_bits": 6})
    assert chip.sha256 == load_architecture("imssa", {"components.adc.range_bits": 6}).sha256
    assert chip.components()["adc"].range_bits == 6
    clocked = load_architecture("imssa", {"clocks.main.frequency": "5 MHz", "technology.voltage": "1.7 V"})
    assert clocked.spec.technology.voltage == 1.7, "keys of the file itself stay what they are"
    with pytest.raises(InputError, match=r"--set adc.range_bits: 'components.adc.range_bits' is set twice"):
        public.run("imssa", overrides={"components.adc.range_bits": 6, "adc.range_bits": 6})
    with pytest.raises(InputError, match=r"--set components.adc.rang_bits: .*did you mean 'range_bits'"):
        public.run("imssa", overrides={"adc.rang_bits": 6})
    given = {"crossbar.noise": "none", "pe.sets": "2"}
    assert settings_of_each(["rsnn28nm", "imssa"], given) == [{"pe.sets": "2"}, {"crossbar.noise": "none"}]
    with pytest.raises(InputError, match=r"no 'pee.sets'"):
        compare_chips(["rsnn28nm", "imssa"], overrides={"pee.sets": "2"})


def test_quiet_prints_warnings_errors_and_json_alone(accelsim, tmp_path: Path) -> None:
    quiet = accelsim("run", "rsnn28nm", *SHORT, "--quiet", "--out", "runs")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert (tmp_path / "runs" / "result.json").is_file()
    late = accelsim("run", "rsnn28nm", *SHORT, "clocks.main.frequency=1 kHz", "-q")
    assert late.code == 0 and late.out == "" and late.err.startswith("warning: ") and "late" in late.err
    assert json.loads(accelsim("run", "rsnn28nm", *SHORT, "-q", "--json").out)["arch"]["name"] == "rsnn28nm"
    wrong = accelsim("run", "rsnn28mn", "-q")
    assert wrong.code == 2 and wrong.out == "" and wrong.err.startswith("error: ")
    assert accelsim("run", "rsnn28nm", *SHORT).out, "quiet for one command alone"
    swept = accelsim("sweep", "rsnn28nm", *SHORT, "lif.membrane_bits=12,16", "-o", "swept", "-q")
    assert (swept.code, swept.out, swept.err) == (0, "", "")
    slow = accelsim("sweep", "rsnn28nm", *SHORT, "clocks.main.frequency=1 kHz,2 kHz", "-o", "slow", "-q")
    assert slow.code == 0 and slow.out == "" and slow.err.startswith("warning: ") and "late" in slow.err
    assert accelsim("report", "runs", "-q").err == ""
