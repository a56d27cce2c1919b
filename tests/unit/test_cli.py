"""The command line: exit codes, messages with file and line, JSON on standard output, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file

from accelsim.cli import say
from accelsim.errors import DeadlockError
from accelsim.library import find, find_workload
from accelsim.result import Result
from accelsim.schema import load_yaml

SHORT = ("-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=20")
CHIP = find("rsnn28nm", "arch").read_text()
PRICES = find("cmos28", "arch/cost").read_text()

NETWORK = """\
schema: accelsim/workload@1
name: tiny
weights: weights.safetensors
reference_weights: float.safetensors
inputs:
  source: speech
  dataset: librivox_sample
  split: test
graph:
  - {name: l0, op: lif, input: features, neurons: 4, weight_bits: 4, beta: 0.5, threshold: 64, reset: zero,
     weights: l0.w, recurrent_weights: l0.r}
  - {name: out, op: spike_sum, input: l0, neurons: 3, weight_bits: 4, weights: out.w}
"""


def edited(text: str, old: str, new: str) -> tuple[str, int]:
    """Return a text with its one ``old`` replaced, and the line that it was on."""
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
    return text.replace(old, new), text[: text.index(old)].count("\n") + 1


# What a user gets wrong in a chip: the change, and what the message must say after FILE:LINE.
BAD_CHIPS = {
    "unknown key": (
        "accumulator_bits: 12",
        "acumulator_bits: 12",
        r"unknown key 'acumulator_bits' \(did you mean 'accumulator_bits'\?\)",
    ),
    "wrong unit": (
        "frequency: 100 kHz",
        "frequency: 100 mW",
        r"'frequency': '100 mW' is a power, expected a frequency .*",
    ),
    "no unit": ("voltage: 0.9 V", "voltage: 0.9", r"'voltage': .*0\.9.* unit.*"),
    "negative size": ("rows: 48", "rows: -48", r"'rows': must be greater than 0, found -48"),
    "zero clock": ("frequency: 100 kHz", "frequency: 0 Hz", r"'frequency': must be greater than 0, found '0 Hz'"),
    "NaN": ("length: 0.25 mm", "length: .nan", r"'\.nan' is not a finite number .*"),
    "infinite": (
        "units: 128, membrane_bits: 16",
        "units: .inf, membrane_bits: 16",
        r"'\.inf' is not a finite number .*",
    ),
    "unknown kind": ("kind: lif,", "kind: life,", r"unknown kind 'life' \(did you mean 'lif'\?\)"),
    "missing key": ("{cost: cmos28_rsnn, voltage: 0.9 V,", "{voltage: 0.9 V,", r"missing key 'cost'"),
    "unknown component": ("{from: pe, to: lif,", "{from: pe, to: lfi,", r"no component named 'lfi' .*'lif'.*"),
    "yes for true": ("skip_inputs: true", "skip_inputs: yes", r"'yes' is neither .* \(write true, .*\)"),
    "unknown schema": (
        "accelsim/arch@1",
        "accelsim/archi@1",
        r"this is a file of schema 'accelsim/archi@1', expected 'accelsim/arch@1'",
    ),
    "newer schema": ("accelsim/arch@1", "accelsim/arch@7", r".*newer than this accelsim.*\(update accelsim\)"),
}


@pytest.mark.parametrize("command", ["run", "schedule"])
@pytest.mark.parametrize("mistake", BAD_CHIPS)
def test_a_mistake_in_a_chip(accelsim, tmp_path, mistake, command):
    old, new, message = BAD_CHIPS[mistake]
    text, line = edited(CHIP, old, new)
    (tmp_path / "chip.yaml").write_text(text)
    outcome = accelsim(command, "chip.yaml", *SHORT)
    assert outcome.code == 2
    assert outcome.out == ""
    assert re.search(rf"^(error: )?chip\.yaml:{line}: {message}$", outcome.err, re.MULTILINE), outcome.err


def test_all_mistakes_at_once_in_the_order_of_their_lines(accelsim, tmp_path):
    text, first = edited(CHIP, "frequency: 100 kHz", "frequency: 0 Hz")
    text, second = edited(text, "rows: 48", "rows: none")
    text, third = edited(text, "accumulator_bits: 12", "acumulator_bits: 12")
    (tmp_path / "chip.yaml").write_text(text)
    outcome = accelsim("validate", "chip.yaml")
    assert outcome.code == 2
    head, *rest = outcome.err.splitlines()
    assert head == "3 errors:"
    assert [line.split(": ")[0] for line in rest] == [f"chip.yaml:{line}" for line in (first, second, third)]


def test_a_missing_price_stops_the_run(accelsim, tmp_path):
    entry = next(row for row in PRICES.split("\n  - ") if row.startswith("{kind: zero_skip, action: select"))
    (tmp_path / "prices.yaml").write_text(PRICES.replace(f"\n  - {entry}", "\n"))
    text, _ = edited(CHIP, "cost: cmos28_rsnn", "cost: prices.yaml")
    line = text[: text.index("  zero_skip:")].count("\n") + 1
    (tmp_path / "chip.yaml").write_text(text)
    outcome = accelsim("run", "chip.yaml", *SHORT)
    assert outcome.code == 2
    assert outcome.err == f"error: chip.yaml:{line}: no price for action 'select' of a zero_skip in prices.yaml\n"


@pytest.fixture
def network(tmp_path) -> Path:
    """A small speech network, whole: the tests break it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "workload.yaml").write_text(NETWORK)
    rng = np.random.default_rng(0)
    shapes = {"l0.w": (40, 4), "l0.r": (4, 4), "out.w": (4, 3)}
    integers = {name: rng.integers(-8, 8, shape).astype(np.int8) for name, shape in shapes.items()}
    save_file(integers, folder / "weights.safetensors")
    floats = {name: tensor.astype(np.float32) for name, tensor in integers.items()}
    scalars = {"l0.beta": np.array(0.5, np.float32), "l0.threshold": np.array(1.0, np.float32)}
    save_file(floats | scalars, folder / "float.safetensors")
    return folder


def change(file: Path, **tensors: np.ndarray | None) -> None:
    """Rewrite a safetensors file with some tensors replaced (``l0_w`` stands for l0.w), or left out (None)."""
    from safetensors.numpy import load_file

    held = load_file(file)
    for name, tensor in tensors.items():
        held.pop(name.replace("_", "."))
        if tensor is not None:
            held[name.replace("_", ".")] = tensor
    save_file(held, file)


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


INT8 = np.int8
BAD_TENSORS = {
    "truncated": (
        lambda f: cut(f / "weights.safetensors", 200),
        r"tiny/weights\.safetensors: not a whole safetensors .*",
    ),
    "empty": (
        lambda f: cut(f / "weights.safetensors", 0),
        r"tiny/weights\.safetensors: not a whole safetensors file.*",
    ),
    "absent": (
        lambda f: (f / "weights.safetensors").rename(f / "weight.safetensors"),
        r".*no weights at .*weights\.safetensors \(did you mean 'weight\.safetensors'\?\)",
    ),
    "wrong shape": (
        lambda f: change(f / "weights.safetensors", l0_w=np.zeros((4, 40), INT8)),
        r"tiny/workload\.yaml:10: tensor 'l0\.w' has shape \[4, 40\], expected \[40, 4\] in weights\.safetensors "
        r"\(its transpose fits: give array\.T\)",
    ),
    "wrong type": (
        lambda f: change(f / "weights.safetensors", out_w=np.zeros((4, 3), np.float32)),
        r"tiny/workload\.yaml:12: tensor 'out\.w' has type float32, expected int8 in weights\.safetensors",
    ),
    "out of range": (
        lambda f: change(f / "weights.safetensors", l0_r=np.full((4, 4), 8, INT8)),
        r"tiny/workload\.yaml:10: tensor 'l0\.r' has values outside -8 \.\. 7 \(4 bits\) in weights\.safetensors",
    ),
    "tensor missing": (
        lambda f: change(f / "weights.safetensors", out_w=None),
        r"tiny/workload\.yaml:12: no tensor 'out\.w' in weights\.safetensors",
    ),
    "NaN": (
        lambda f: change(f / "float.safetensors", out_w=np.full((4, 3), np.nan, np.float32)),
        r"tiny/workload\.yaml:12: tensor 'out\.w' holds NaN or infinity in float\.safetensors",
    ),
    "no threshold": (
        lambda f: change(f / "float.safetensors", l0_threshold=None),
        r"tiny/workload\.yaml:10: no tensor 'l0\.threshold' in float\.safetensors",
    ),
}


def test_the_whole_network_is_accepted(accelsim, network):
    outcome = accelsim("validate", "tiny/workload.yaml")
    assert (outcome.code, outcome.out, outcome.err) == (0, "tiny/workload.yaml: workload 'tiny'\n", "")


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize("damage", BAD_TENSORS)
def test_damaged_tensors(accelsim, network, damage, command):
    break_it, message = BAD_TENSORS[damage]
    break_it(network)
    outcome = (
        accelsim("run", "rsnn28nm", "-w", "tiny") if command == "run" else accelsim("validate", "tiny/workload.yaml")
    )
    assert outcome.code == 2
    assert re.fullmatch(rf"error: {message}\n", outcome.err), outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # a workload that does not fit
        (
            ("-s", "workload.graph.fc.neurons=19200"),
            r"\S*rsnn28nm\.yaml:\d+: workload '\w+' on 'rsnn28nm': the readout_weights need 9600 rows of 512 bits "
            r"in each bank, 'weights_fc' has 2 x 960",
        ),
        (("-s", "workload.graph.fc.weight_bits=8"), r".*layer 'fc' has 8-bit weights, the PEs of 'pe' take 4"),
        (("-s", "components.pe.sets=3"), r"[\s\S]*2 parallel time steps need a multiple of 2 PE sets[\s\S]*"),
        (
            ("-s", "workload.time_steps=3"),
            r".*/workload\.yaml:\d+: random inputs are defined for 1 or 2 time steps, found 3",
        ),
        # bad --set
        (("-s", "components.pe.sets"), r"'--set components\.pe\.sets' is not KEY=VALUE \(for example .*\)"),
        (("-s", "=4"), r"'--set =4' is not KEY=VALUE .*"),
        (
            ("-s", "components.pe.stes=4"),
            r"--set components\.pe\.stes: unknown key 'stes' \(did you mean 'sets'\?\)",
        ),
        (
            ("-s", "components.pee.sets=4"),
            r"--set components\.pee\.sets: no 'components\.pee\.sets' in .*did you mean.*",
        ),
        (
            ("-s", "components.pe.sets=three"),
            r"--set components\.pe\.sets: 'sets': expected a whole number, found 'three'",
        ),
        (
            ("-s", "workload.inputs.frames=0"),
            r"--set workload\.inputs\.frames: 'frames': must be greater than 0, found 0",
        ),
        # names
        (
            ("-w", "rsnn_paper_activty"),
            r"no workload named 'rsnn_paper_activty', and no such .* \(did you mean 'rsnn_paper_activity'\?\)",
        ),
        (("-w", "nowhere/net.yaml"), r"no workload named 'nowhere/net\.yaml', and no such file or folder.*"),
    ],
)
def test_bad_arguments_of_run(accelsim, arguments, message):
    outcome = accelsim("run", "rsnn28nm", *SHORT[: 0 if "-w" in arguments else 2], *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert re.fullmatch(rf"(error: |\d errors:\n){message}\n", outcome.err), outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("run", "rsnn28mn"),
            r"error: no architecture named 'rsnn28mn', and no such file \(did you mean 'rsnn28nm'\?\)",
        ),
        (("run", "gone/chip.yaml"), r"error: no such file: gone/chip\.yaml.*"),
        (("run", "."), r"error: \. is a directory, expected a file"),
        (("validate", "gone.yaml"), r"error: gone\.yaml: no such file"),
        (("validate", "gone.json"), r"error: gone\.json: cannot be read: No such file.*"),
        (("schema", "ach"), r"error: no schema named 'ach' \(did you mean 'arch'\?\)"),
        (("compare", "rsnn28mn"), r"error: no paper named 'rsnn28mn', and no such file \(did you mean 'rsnn28nm'\?\)"),
        (("data", "get", "timt_sample"), r"error: unknown data set 'timt_sample' .*timit_sample.*"),
        (("run", "rsnn28nm", "--seed", "-1"), r"(?s).*Invalid value for '--seed'.*"),
        (("run", "rsnn28nm", "--seed", 2**63), r"(?s).*Invalid value for '--seed'.*"),
        (("run",), r"(?s).*Missing argument 'ARCH'.*"),
        (("rnu",), r"(?s).*No such command 'rnu'.*"),
        (("run", "rsnn28nm", "--jsn"), r"(?s).*No such option.*--jsn.*"),
        # As a path an empty text would be the current folder.
        (("data", "check", ""), r"error: found an empty text after 'check' \(is a variable of the shell not set\?\)"),
        (("run", "rsnn28nm", "--out", ""), r"error: found an empty text after '--out' .*"),
        (("run", "rsnn28nm", "--out="), r"error: found an empty text after '--out' .*"),
        (("",), r"error: found an empty text after 'accelsim' .*"),
    ],
)
def test_bad_command_lines(accelsim, arguments, message):
    outcome = accelsim(*arguments)
    assert outcome.code == 2
    assert re.fullmatch(rf"{message}\n", outcome.err), outcome.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: x\n", r"file\.yaml:1: missing key 'schema' \(write for example 'schema: accelsim/arch@1'\)"),
        ("schema: accelsim/chip@1\n", r"file\.yaml:1: unknown schema 'accelsim/chip@1' .*"),
        ("schema: 3\n", r"file\.yaml:1: unknown schema .*"),
        ("", r"file\.yaml:1: the file is empty"),
        ("a: b: c\n", r"file\.yaml:1: not valid YAML: .*"),
        ("schema: accelsim/arch@1\nname: a\nname: b\n", r"file\.yaml:3: duplicate key 'name' \(first on line 2\)"),
    ],
)
def test_validate_refuses_what_it_does_not_know(accelsim, tmp_path, content, message):
    (tmp_path / "file.yaml").write_text(content)
    outcome = accelsim("validate", "file.yaml")
    assert outcome.code == 2
    assert re.fullmatch(rf"error: {message}\n", outcome.err), outcome.err


@pytest.mark.parametrize("command", [("run", "rsnn28nm", *SHORT), ("compare", "rsnn28nm")])
@pytest.mark.parametrize("folder", ["file", "file/deeper", "a" * 300])
def test_an_output_folder_that_cannot_be_written_is_refused_before_the_run(accelsim, tmp_path, command, folder):
    (tmp_path / "file").write_text("")
    begun = time.monotonic()
    outcome = accelsim(*command, "--out", folder)
    assert outcome.code == 2
    assert re.fullmatch(rf"error: cannot write to the output folder {folder}: .*\n", outcome.err)
    assert time.monotonic() - begun < 5
    assert os.listdir(tmp_path) == ["file"]


def test_errors_of_the_run_itself_end_with_1(accelsim, monkeypatch):
    def stuck(*_, **__):
        raise DeadlockError("pe waits for lif, lif waits for pe")

    monkeypatch.setattr("accelsim.pipeline.run_in_full", stuck)
    outcome = accelsim("run", "rsnn28nm", *SHORT)
    assert (outcome.code, outcome.err) == (1, "error: pe waits for lif, lif waits for pe\n")


def test_json_is_all_that_standard_output_gets(accelsim, tmp_path):
    outcome = accelsim("run", "rsnn28nm", *SHORT, "--seed", 3, "--json", "--out", "runs/a")
    assert outcome.code == 0
    assert outcome.err == f"wrote {Path('runs/a/result.json')}\n"
    data = json.loads(outcome.out)
    assert data["seed"] == 3
    assert data["command"] == (
        "accelsim run rsnn28nm -w rsnn_paper_activity -s workload.inputs.frames=20 --seed 3 --json --out runs/a"
    )
    assert (tmp_path / "runs/a/result.json").read_text() == outcome.out
    schema = json.loads(accelsim("schema", "result").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "power_w": "much"}, schema)
    assert accelsim("validate", "runs/a/result.json").out == "runs/a/result.json: a result of rsnn28nm\n"


@pytest.mark.parametrize(
    ("kind", "file", "broken"),
    [
        ("arch", find("rsnn28nm", "arch"), {"clock": {}}),
        ("cost", find("cmos28", "arch/cost"), {"energy": 3}),
        ("paper", find("rsnn28nm", "arch/papers"), {"figures": [{}]}),
        ("workload", find_workload("rsnn_paper_activity"), {"graph": []}),
        ("workload", find_workload("conformer_an4/relative_3"), {"set": {}}),
        ("device", find("synaptogen", "arch/devices"), {"levels": ["5 uS", "50 uS"]}),
        ("device", find("gaussian", "arch/devices"), {"write_nois": "5 uS"}),
        ("sweep", find("imssa_noise", "arch/sweeps"), {"vary": 3}),
    ],
)
def test_what_ships_follows_the_json_schemas(accelsim, kind, file, broken):
    schema = json.loads(accelsim("schema", kind).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    data = load_yaml(file).data
    jsonschema.validate(data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, **broken}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: value for key, value in data.items() if key != "schema"}, schema)


def test_run_prints_what_a_person_asks_for(accelsim):
    outcome = accelsim("run", "rsnn28nm", *SHORT)
    assert outcome.code == 0 and outcome.err == ""
    for words in ("cycles a frame", "mm2", "TOPS/W", "weights_fc", "--full shows", "8 assumed"):
        assert words in outcome.out
    full = accelsim("run", "rsnn28nm", *SHORT, "--full")
    assert full.code == 0 and full.err == ""
    for words in ("cycles per frame", "MMAC/s", "mm2", "TOPS/W", "calibrated", "weights_fc", "assumed"):
        assert words in full.out


def test_set_reaches_the_chip_and_the_network(accelsim):
    fast = ("-s", "clocks.main.frequency=500 MHz", "-s", "pacing.mode=back_to_back")
    base = Result.from_json(accelsim("run", "rsnn28nm", *SHORT, *fast, "--json").out)
    wide = Result.from_json(accelsim("run", "rsnn28nm", *SHORT, *fast, "-s", "workload.time_steps=1", "--json").out)
    assert base.performance.clock_hz == 500e6
    assert base.performance.real_time_factor < 1e-3
    assert wide.performance.cycles < base.performance.cycles


def test_the_same_seed_gives_the_same_record(accelsim):
    one, two, other = (
        json.loads(accelsim("run", "rsnn28nm", *SHORT, "--seed", seed, "--json").out) for seed in (1, 1, 2)
    )
    assert one == two
    assert one["performance"]["macs_performed"] != other["performance"]["macs_performed"]


def test_schedule_lists_the_jobs(accelsim):
    outcome = accelsim("schedule", "rsnn28nm", *SHORT)
    assert outcome.code == 0
    for job in ("load", "l0.input", "l0.recurrent", "l1.feedforward", "fc.sum", "fc.output"):
        assert job in outcome.out


def test_list_version_and_help(accelsim):
    listed = accelsim("list").out
    assert "architectures: " in listed and "rsnn28nm" in listed and "rsnn_paper_activity" in listed
    assert re.fullmatch(r"accelsim \d+\.\d+\.\d+\n", accelsim("--version").out)
    for command in ((), ("run",), ("compare",), ("validate",), ("schema",), ("schedule",), ("list",), ("data", "get")):
        outcome = accelsim(*command, "--help")
        assert outcome.code == 0 and "Usage: " in outcome.out


def test_data(accelsim, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    listed = accelsim("data", "list")
    assert listed.code == 0 and "mini_librispeech: https://www.openslr.org/resources/31/" in listed.out
    shipped = accelsim("data", "get", "librivox_sample")
    assert shipped.code == 0 and Path(shipped.out.partition(": ")[2].strip()).is_dir()
    unsafe = accelsim("data", "get", "timit_sample")
    assert unsafe.code == 2 and "no checksum is published for timit_sample" in unsafe.err


PAPER = """\
schema: accelsim/paper@1
name: mine
title: A paper
reference: Someone, Some Journal, arXiv 0000.00000
architecture: rsnn28nm
runs:
  base: {workload: rsnn_paper_activity, set: {workload.inputs.frames: "20"}}
figures:
  - {name: complexity, value: VALUE, unit: MMAC/s, tag: stated, role: predicted, tolerance: 0.1,
     run: base, path: performance.mmac_per_audio_second}
  - {name: memory, value: 150528, unit: B, tag: stated, role: input, run: base, path: memory_bytes.sram, note: macros}
"""


@pytest.mark.parametrize(("value", "holds"), [("13.86", True), ("20", False)])
def test_compare_says_when_a_judged_figure_leaves_its_tolerance(accelsim, tmp_path, value, holds):
    (tmp_path / "paper.yaml").write_text(PAPER.replace("VALUE", value))
    table = accelsim("compare", "paper.yaml")
    assert table.code == 0, "a known miss is no failure: --against fails where a verdict changes"
    assert "complexity" in table.out and "memory: macros" in table.out
    as_json = accelsim("compare", "paper.yaml", "--json", "--out", "runs")
    data = json.loads(as_json.out)
    assert data["holds"] is holds
    assert [figure["holds"] for figure in data["figures"]] == [holds, None]
    assert [figure["verdict"] for figure in data["figures"]] == ["holds" if holds else "misses", None]
    assert data["figures"][1]["ratio"] == 1.0
    assert (tmp_path / "runs" / "base" / "result.json").is_file()


def test_a_bar_on_the_terminal_leaves_the_json_alone(accelsim, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    later = iter(range(10**6))
    monkeypatch.setattr(say.time, "monotonic", lambda: next(later) * 10.0)
    outcome = accelsim("run", "rsnn28nm", *SHORT, "--json")
    assert json.loads(outcome.out)["arch"]["name"] == "rsnn28nm"
    assert "\x1b[" in outcome.err


# --- real processes ---------------------------------------------------------------------------------------------------

# Long enough to be killed at work, and once more with the write held open before the rename.
LONG = ("run", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=20000", "--out", "runs")
HELD = """
import os, sys, time
from accelsim.cli import main
def hold(handle):
    print("writing", flush=True)
    for _ in range(6000):  # many short sleeps: a signal just before one long one would only be seen at its end
        time.sleep(0.01)
os.fsync = hold
main()
"""


def start(folder: Path, *program: str) -> subprocess.Popen:
    # A shell's background job ignores SIGINT, and so would what it starts: here it stops, as at a terminal.
    return subprocess.Popen(
        [sys.executable, *program], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def in_the_folder(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "runs")) if (folder / "runs").exists() else []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("old", [None, "the record before"])
def test_killed_while_it_writes(tmp_path, name, old):
    if old is not None:
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "result.json").write_text(old)
    short = [word.replace("20000", "20") for word in LONG]
    process = start(tmp_path, "-c", HELD, *short)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}[name]
    if name == "SIGINT":
        assert err == "interrupted; nothing half-written is left behind\n"
    left = in_the_folder(tmp_path)
    if old is not None:
        left.remove("result.json")
        assert (tmp_path / "runs" / "result.json").read_text() == old
    if name != "SIGKILL":
        assert left == []
    assert all(re.fullmatch(r"\.result-[0-9a-f]+", entry) for entry in left), "litter must not look like a record"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_killed_at_any_moment(tmp_path, name):
    codes = []
    for delay in (0.4, 0.8, 1.3, 2.0):
        process = start(tmp_path, "-m", "accelsim", *LONG)
        time.sleep(delay)
        process.send_signal(getattr(signal, name))
        process.communicate(timeout=60)
        codes.append(process.returncode)
        for entry in in_the_folder(tmp_path):
            if entry == "result.json":
                Result.from_json((tmp_path / "runs" / entry).read_text())
            else:
                assert name == "SIGKILL" and re.fullmatch(r"\.result-[0-9a-f]+", entry)
    assert set(codes) - {0}, "no process was killed before its end"


def test_exit_codes_of_the_installed_command(tmp_path):
    def code(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "-m", "accelsim", *arguments], cwd=tmp_path, capture_output=True
        ).returncode

    assert code("list") == 0
    assert code("schema", "ach") == 2
    assert code("run", "nothing") == 2


def test_a_report_of_what_a_run_left_behind(accelsim, tmp_path):
    assert accelsim("run", "rsnn28nm", "-w", "rsnn_paper_activity", "--out", "a").code == 0
    told = accelsim("report", "a")
    assert (told.code, told.out, told.err) == (0, "", "wrote a/report.html\n")
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert "rsnn_paper_activity" in page and "71.2 µW (100 kHz)" in page, "the paper's figures stand beside ours"
    assert accelsim("run", "rsnn28nm", *SHORT, "--out", "b").code == 0
    assert accelsim("report", "b").code == 0
    other = (tmp_path / "b" / "report.html").read_text(encoding="utf-8")
    assert "71.2 µW" not in other and "our figure is" not in other, "fewer frames: not the paper's run"
    wrong = accelsim("report", "a", "--format", "html,pfd")
    assert wrong.code == 2 and "no format 'pfd' (did you mean 'pdf'?)" in wrong.err
    assert accelsim("report", "nowhere").code == 2


def test_a_closed_pipe_is_not_an_error_to_shout_about(tmp_path):
    process = start(tmp_path, "-m", "accelsim", "schema", "arch")
    process.stdout.close()
    err = process.stderr.read()
    process.wait(timeout=30)
    assert "Traceback" not in err


def test_a_report_is_opened_in_the_browser_that_a_person_has(accelsim, tmp_path, monkeypatch):
    assert accelsim("run", "rsnn28nm", *SHORT, "--out", "a").code == 0
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # it looks for browsers once a process
    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    told = accelsim("report", "a", "--open")
    assert (told.code, told.err) == (0, "wrote a/report.html\n")
    assert (tmp_path / "opened").read_text(encoding="utf-8").strip() == (tmp_path / "a" / "report.html").as_uri()

    monkeypatch.setattr(webbrowser, "_tryorder", [])
    told = accelsim("report", "a", "--open")
    assert told.code == 0 and "no browser to open a/report.html with" in told.err
