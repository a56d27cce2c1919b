"""The README's blocks do what they say: Python runs, commands run and print the figures shown, files are valid."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass

import pytest
import yaml

from accelsim import library

README = library.root() / "README.md"
if not README.exists():
    pytest.skip("the README comes with a source checkout", allow_module_level=True)

# Commands that are not run here: how each begins, and why.
NOT_RUN = {
    "pip install": "installs; .ci/run runs both commands word for word",
    "python workloads/wake_word/": "needs pymicro-wakeword and espeak-ng; tests/cross/test_wake_word.py runs both",
    "accelsim run wake_word_digital28 -w nabu": "the reader's workload; see tests/cross/test_wake_word.py",
    "accelsim sweep memristor_tile -s adc": "12 configurations; tests/unit/test_sweep.py runs such sweeps",
    "accelsim search": "200 trials",
    "accelsim report runs/": "needs the runs of the reader; tests/unit/test_report.py makes such pages",
    "accelsim validate mychip.yaml": "the reader's file; tests/unit/test_architecture.py has such mistakes",
    "accelsim validate mynet/": "see test_the_network_of_the_readme_runs",
    "accelsim run rsnn28nm -w mynet": "see test_the_network_of_the_readme_runs",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: language, the number of its first line, text without the indent of its fence."""

    language: str
    line: int
    text: str


def blocks(*languages: str) -> list[Block]:
    """Return the README's fenced blocks of these languages, in order."""
    found, lines = [], README.read_text(encoding="utf-8").splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("```"):
            continue
        if start is None:
            start = number
            continue
        fence = lines[start]
        indent = len(fence) - len(fence.lstrip())
        text = "\n".join(inner[indent:] for inner in lines[start + 1 : number])
        found.append(Block(fence.strip().removeprefix("```"), start + 2, text))
        start = None
    assert start is None, f"the block of line {start} never ends"
    return [block for block in found if block.language in languages]


@dataclass(frozen=True)
class Command:
    """A command line, the number of its line and the lines that the README shows of its output."""

    text: str
    line: int
    shown: tuple[str, ...]


def commands() -> list[Command]:
    """Return the commands of sh blocks, one a line, and those after ``$`` in blocks with their output."""
    found = []
    for block in blocks("sh"):
        joined = block.text.replace("\\\n", " ")
        found += [Command(line, block.line, ()) for line in joined.splitlines() if line.strip()]
    for block in blocks("", "console"):
        first, *rest = block.text.splitlines()
        if first.startswith("$ "):
            found.append(Command(first.removeprefix("$ "), block.line, tuple(rest)))
    return found


def ident(item: Block | Command) -> str:
    return f"line {item.line}: {item.text.splitlines()[0][:40]}"


def python(folder, *arguments):
    """Run Python in a folder with this checkout's package."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def accelsim(folder, *arguments):
    return python(folder, "-m", "accelsim", *arguments)


def reason_not_to_run(command: Command) -> str | None:
    return next((why for begin, why in NOT_RUN.items() if command.text.startswith(begin)), None)


@pytest.mark.parametrize("command", [c for c in commands() if reason_not_to_run(c) is None], ids=ident)
def test_commands_run_and_print_what_is_shown(command, tmp_path):
    for name in ("arch", "workloads"):
        (tmp_path / name).symlink_to(library.root() / name)
    program, *arguments = shlex.split(command.text)
    assert program == "accelsim", f"README.md:{command.line}: add '{program}' to NOT_RUN, with a reason"
    done = accelsim(tmp_path, *arguments)
    assert done.returncode == 0, f"README.md:{command.line}: {done.stderr}"
    printed = {tuple(line.split()): line for line in done.stdout.splitlines()}
    missing = [line for line in command.shown if line.strip() not in ("", "...") and tuple(line.split()) not in printed]
    assert not missing, f"README.md:{command.line}: not printed:\n" + "\n".join(missing) + "\nbut\n" + done.stdout


@pytest.mark.parametrize("block", blocks("python"), ids=ident)
def test_python_blocks_run(block, tmp_path):
    folders = re.findall(r'"([\w-]+)/[\w.-]+"', block.text)  # where it writes
    for folder in folders:
        (tmp_path / folder).mkdir(exist_ok=True)
    done = python(tmp_path, "-c", block.text)
    assert done.returncode == 0, f"README.md:{block.line}: {done.stderr}"


@pytest.mark.parametrize("block", blocks("yaml"), ids=ident)
def test_yaml_blocks_can_be_read(block, tmp_path):
    assert yaml.safe_load(block.text), f"README.md:{block.line}: says nothing"
    whole = block.text.startswith("schema: ") and "# and so on" not in block.text
    if whole and "weights:" not in block.text:  # with weights: test_the_network_of_the_readme_runs
        (tmp_path / "block.yaml").write_text(block.text)
        done = accelsim(tmp_path, "validate", "block.yaml")
        assert done.returncode == 0, f"README.md:{block.line}: {done.stdout}{done.stderr}"


def test_the_network_of_the_readme_runs(tmp_path):
    """Its workload file and the Python block that makes its weights, as the two commands below them take them."""
    (workload,) = [b.text for b in blocks("yaml") if b.text.startswith("schema: accelsim/workload@1\nname: mynet\n")]
    (weights,) = [b.text for b in blocks("python") if '"mynet/weights.safetensors"' in b.text]
    (tmp_path / "mynet").mkdir()
    (tmp_path / "mynet" / "workload.yaml").write_text(workload)
    assert python(tmp_path, "-c", weights).returncode == 0
    told = [c.text for c in commands() if "mynet" in c.text]
    assert told, "the README no longer says how to run it"
    for text in told:
        done = python(tmp_path, "-m", *shlex.split(text))
        assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"


def test_the_converter_of_the_readme_serves_on_a_chip(tmp_path):
    """Its file, its prices and a chip that names it; the chip before takes four times as long for its conversions."""
    (code,) = [b.text for b in blocks("python") if 'component_kind("flash_adc"' in b.text]
    (prices,) = [b.text for b in blocks("yaml") if "kind: flash_adc, action: convert" in b.text]
    (tmp_path / "flash_adc.py").write_text(code)
    table = {"schema": "accelsim/cost@1", "name": "mine", "base": "cmos28", "node": "28 nm", "voltage": "0.9 V"}
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(table | {"temperature": "300 K"} | yaml.safe_load(prices)))
    chip = yaml.safe_load(library.find("memristor_tile", "arch").read_text())
    flash = {"kind": "flash_adc", "tiles": 3, "units": 48, "shared_by": 8, "ways": 4, "thresholds": [-8, -2, 2, 8]}
    chip["components"]["adc"] = flash
    chip["technology"]["cost"] = "prices.yaml"
    (tmp_path / "mychip.yaml").write_text(yaml.safe_dump(chip))
    short = ("-s", "workload.inputs.seconds=0.2", "-s", "workload.score=null", "--json")
    mine = accelsim(tmp_path, "run", "mychip.yaml", "--plugin", "flash_adc.py", *short)
    assert mine.returncode == 0, mine.stderr
    before = accelsim(tmp_path, "run", "memristor_tile", *short)
    cycles = [
        next(c["busy_cycles"] for c in json.loads(done.stdout)["components"] if c["name"] == "adc")
        for done in (mine, before)
    ]
    assert 4 * cycles[0] == cycles[1] > 0


def test_no_reason_is_out_of_date():
    texts = [command.text for command in commands()]
    assert not [begin for begin in NOT_RUN if not any(text.startswith(begin) for text in texts)]
