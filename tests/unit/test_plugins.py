"""Plug-ins: files and distributions that add to accelsim, in runs, sweeps, listings and records."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.test_cluster import Cluster

import accelsim
from accelsim import plugins
from accelsim.components import KINDS
from accelsim.errors import InputError
from accelsim.explore.store import Store
from accelsim.explore.validate import schema_of
from accelsim.library import find
from accelsim.plugins import listing, load_plugin, loaded_files
from accelsim.result import PluginRecord

MEMORY = '''
"""A memory that takes twice as long as an SRAM."""
from typing import Literal

from accelsim.components import component_kind
from accelsim.components.sram import ACTIONS, COUNTS, Banks, service_cycles


class SlowSram(Banks):
    kind: Literal["slow_sram"]
    stores: str


component_kind("slow_sram", SlowSram, ACTIONS, lambda spec, counts: 2 * service_cycles(spec, counts), COUNTS)
'''

NOISE = '''
"""A data set of noise, and a score that finds half of everything wrong."""
from typing import Literal

import numpy as np

from accelsim.data import DATASETS, DataSet, Utterance
from accelsim.score import Accuracy
from accelsim.score.score import SCORES, Score


def read(split):
    audio = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    return [Utterance(f"{split}/{n}", f"speaker {n}", audio, None, "one") for n in range(2)]


DATASETS.register("noise", DataSet(("test",), read))


class Coin:
    def score(self, outputs, references, progress=None):
        said = [word for one in references for word in one]
        assert len(list(outputs)) == len(references)
        return Accuracy("coin error", 50.0, 50.0, 50.0, len(said), "words", "%", {})


class CoinScore(Score):
    kind: Literal["coin"]

    def judge(self, tensors, *, reference):
        return Coin()

    def said(self, utterance):
        return (utterance.text,)


SCORES.register("coin", CoinScore)
'''
PRICES = """
schema: accelsim/cost@1
name: slow
base: cmos28
node: 28 nm
voltage: 0.9 V
temperature: 300 K
energy:
  - {kind: slow_sram, action: read, value: 10 pJ, low: 7 pJ, high: 18 pJ, tag: estimated, source: "made up for a test"}
  - {kind: slow_sram, action: write, value: 10 pJ, low: 7 pJ, high: 18 pJ, tag: estimated, source: "made up for a test"}
area: [{kind: slow_sram, value: 1 mm2, low: 0.5 mm2, high: 2 mm2, tag: estimated, source: "made up for a test"}]
standby: [{kind: slow_sram, included_in: leakage, tag: estimated, source: "made up for a test"}]
leakage: [{kind: slow_sram, value: 1 uW, low: 0.5 uW, high: 2 uW, tag: estimated, source: "made up for a test"}]
"""
NOISY = {
    "workload.inputs.dataset": "noise",
    "workload.inputs.split": "test",
    "workload.score": "{kind: coin}",
    "workload.reference_weights": "null",
}
GROUP = "accelsim.components"


@pytest.fixture(autouse=True)
def no_traces(distribution: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test has loaded."""
    monkeypatch.setattr(plugins, "_FILES", {})
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("accelsim_plugin_"):
            del sys.modules[name]


@pytest.fixture
def chip(tmp_path: Path) -> Path:
    """A chip whose readout weights lie in a slow_sram, with its prices beside it."""
    (tmp_path / "slow.yaml").write_text(PRICES)
    text = find("rsnn28nm", "arch").read_text().replace("cost: cmos28_rsnn", "cost: slow.yaml")
    text = text.replace("weights_fc: {kind: sram", "weights_fc: {kind: slow_sram")
    (tmp_path / "chip.yaml").write_text(text)
    return tmp_path / "chip.yaml"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def accelsim_cli(*arguments: str | Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line, with another folder on Python's path."""
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *filter(None, [environment.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "accelsim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def settings() -> list[str]:
    return [text for key, value in NOISY.items() for text in ("-s", f"{key}={value}")]


def test_files_bring_a_memory_a_data_set_and_a_score_into_one_run(chip: Path, tmp_path: Path) -> None:
    for name, text in (("memory.py", MEMORY), ("noise.py", NOISE)):
        accelsim.load_plugin(written(tmp_path / name, text))
    result = accelsim.run(chip, overrides=NOISY)
    plain = accelsim.run("rsnn28nm", overrides=NOISY)
    busy = [
        next(c.busy_cycles for c in one.components if c.name == "weights_fc")
        for one in (result, plain)
    ]  # fmt: skip
    assert busy[0] > busy[1] > 0
    assert result.accuracy is not None
    assert (result.accuracy.metric, result.accuracy.value, result.accuracy.n) == ("coin error", 50.0, 2)
    files = {record.name: (record.group, record.distribution, record.module, record.sha256)
             for record in result.provenance.plugins}  # fmt: skip
    assert files == {
        "slow_sram": ("accelsim.components", None, "memory.py", digest(MEMORY)),
        "coin": ("accelsim.scores", None, "noise.py", digest(NOISE)),
        "noise": ("accelsim.datasets", None, "noise.py", digest(NOISE)),
    }
    assert {record.name for record in plain.provenance.plugins} == {"coin", "noise"}


def test_a_run_of_built_ins_used_no_plug_in(distribution: Callable[..., None]) -> None:
    distribution("unused", GROUP, {"slow_sram": "slow_memory"}, {"slow_memory.py": MEMORY})
    result = accelsim.run("rsnn28nm", overrides={"workload.inputs.seconds": "0.2", "workload.score": "null"})
    assert result.provenance.plugins == []
    assert "slow_memory" not in sys.modules


def test_a_distribution_stands_in_the_record_with_its_version(
    chip: Path, tmp_path: Path, distribution: Callable[..., None]
) -> None:
    distribution("slow-memories", GROUP, {"slow_sram": "slow_memory"}, {"slow_memory.py": MEMORY}, "0.3")
    result = accelsim.run(chip, overrides={"workload.inputs.seconds": "0.2", "workload.score": "null"})
    assert result.provenance.plugins == [
        PluginRecord(group=GROUP, name="slow_sram", distribution="slow-memories", version="0.3",
                     module="slow_memory", sha256=digest(MEMORY))
    ]  # fmt: skip


def test_a_file_is_run_once(tmp_path: Path) -> None:
    file = written(tmp_path / "memory.py", MEMORY)
    load_plugin(file)
    load_plugin(str(file))
    assert loaded_files() == (str(file),)
    assert KINDS.origin("slow_sram").file == str(file)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("import no_such_module", 1, "ModuleNotFoundError: No module named 'no_such_module'"),
        (MEMORY + "\n1 / 0\n", 16, "ZeroDivisionError: division by zero"),
        ("x = (\n", 1, "SyntaxError: '(' was never closed"),
        (MEMORY.replace("slow_sram", "adc"), 14, "two plug-ins register the kind of component 'adc': accelsim-speech "),
    ],
)
def test_a_file_that_fails_names_its_line_and_leaves_nothing(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    file = written(tmp_path / "broken.py", text)
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            load_plugin(file)
        assert str(caught.value).startswith(f"{file}:{line}: cannot load plug-in: {message}")
    assert "slow_sram" not in KINDS
    assert loaded_files() == ()
    assert KINDS.origin("adc").builtin


def test_two_files_that_register_one_name_are_both_named(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name, MEMORY) for name in ("first.py", "second.py"))
    load_plugin(first)
    with pytest.raises(InputError, match=f"'slow_sram': {re.escape(str(first))} and {re.escape(str(second))}"):
        load_plugin(second)


def test_a_broken_plug_in_is_told_at_the_line_that_asks_for_it(chip: Path, distribution: Callable[..., None]) -> None:
    distribution("slow-memories", GROUP, {"slow_sram": "slow_memory"}, {"slow_memory.py": "import no_such_module"})
    text = chip.read_text().replace("kind: lif,", "kind: liff,")
    chip.write_text(text)
    memory, neurons = (n for n, line in enumerate(text.splitlines(), 1) if "slow_sram" in line or "liff" in line)
    with pytest.raises(InputError) as caught:
        accelsim.load_architecture(chip)
    assert str(caught.value).splitlines() == [
        f"{chip}:{memory}: cannot load kind of component 'slow_sram' from slow-memories 1.2, entry point slow_sram = "
        f"slow_memory of {GROUP}: ModuleNotFoundError: No module named 'no_such_module'",
        f"{chip}:{neurons}: unknown kind 'liff' (did you mean 'lif'?)",
    ]
    assert accelsim.load_architecture("rsnn28nm")


def test_json_schemas_know_what_plug_ins_add(distribution: Callable[..., None]) -> None:
    def kinds(schema: dict) -> set[str]:
        return set(schema["properties"]["components"]["additionalProperties"]["discriminator"]["mapping"])

    before = kinds(schema_of("arch"))
    assert {"adc", "sram", "crossbar"} <= before
    distribution("slow-memories", GROUP, {"slow_sram": "slow_memory", "broken": "no_such_file"},
                 {"slow_memory.py": MEMORY})  # fmt: skip
    KINDS._points = None
    assert kinds(schema_of("arch")) == before | {"slow_sram"}


def test_the_listing_says_what_comes_from_where(tmp_path: Path, distribution: Callable[..., None]) -> None:
    distribution("slow-memories", GROUP, {"slow_sram": "slow_memory"}, {"slow_memory.py": MEMORY}, "0.3")
    distribution("bad-memories", GROUP, {"bad_sram": "no_such_file"}, {})
    distribution("no-chips", "accelsim.library", {"chips": "no_such_package"}, {})
    load_plugin(written(tmp_path / "noise.py", NOISE))
    found = {(entry.group, entry.name): entry for entry in listing()}
    memory, bad = found[GROUP, "slow_sram"], found[GROUP, "bad_sram"]
    assert (memory.origin.distribution, memory.origin.version, memory.origin.module, memory.error) == (
        "slow-memories", "0.3", "slow_memory", None
    )  # fmt: skip
    assert bad.origin.distribution == "bad-memories" and "cannot load kind of component 'bad_sram'" in str(bad.error)
    assert "no such package" in str(found["accelsim.library", "chips"].error)
    assert found["accelsim.datasets", "noise"].origin.file == str(tmp_path / "noise.py")
    own = {group for (group, _), entry in found.items() if entry.origin.builtin}
    groups = ("ops", "engines", "components", "devices", "scores", "datasets", "importers")
    assert own == {f"accelsim.{group}" for group in groups}


def test_the_command_line_takes_plug_ins(chip: Path, tmp_path: Path) -> None:
    files = [written(tmp_path / "memory.py", MEMORY), written(tmp_path / "noise.py", NOISE)]
    given = [text for file in files for text in ("--plugin", str(file))]
    ran = accelsim_cli("run", chip, *settings(), *given, "--json")
    assert ran.returncode == 0, ran.stderr
    assert {one["name"] for one in json.loads(ran.stdout)["provenance"]["plugins"]} == {"slow_sram", "coin", "noise"}
    without = accelsim_cli("run", chip)
    assert without.returncode == 2
    assert "unknown kind 'slow_sram'" in without.stderr and "Traceback" not in without.stderr
    checked = accelsim_cli("validate", chip, "--plugin", files[0])
    assert checked.returncode == 0, checked.stderr
    broken = accelsim_cli("validate", chip, "--plugin", written(tmp_path / "broken.py", "\n1 / 0\n"))
    assert broken.returncode == 2
    assert broken.stderr == f"error: {tmp_path}/broken.py:2: cannot load plug-in: ZeroDivisionError: division by zero\n"
    missing = accelsim_cli("validate", chip, "--plugin", tmp_path / "nothing.py")
    assert missing.returncode == 2 and "no such plug-in" in missing.stderr


def test_the_command_line_lists_plug_ins(tmp_path: Path) -> None:
    listed = accelsim_cli("list", "--plugins", "--plugin", written(tmp_path / "memory.py", MEMORY))
    assert listed.returncode == 0, listed.stderr
    assert re.search(r"accelsim\.components +adc +accelsim-speech +0\.1\.0 +accelsim\.components\.adc", listed.stdout)
    assert re.search(r"accelsim\.components +slow_sram +\S*memory\.py", listed.stdout)


AXES = ["weights_fc.cycles_per_access=1,3", "workload.inputs.frames=4", "operating_points={}"]
NETWORK = "rsnn_paper_activity"


def names_of(folder: Path) -> list[list[str]]:
    """Return the plug-ins that each point of a store used."""
    with Store.open(folder) as store:
        results = [store.result(point) for point in sorted(store.done())]
        assert store.meta()["plugins"] == {"memory.py": digest(MEMORY)}
    return [[record.name for record in result.provenance.plugins] for result in results if result is not None]


def test_sweeps_and_searches_run_plug_ins_in_their_processes(chip: Path, tmp_path: Path) -> None:
    memory = written(tmp_path / "memory.py", MEMORY)
    axes = [text for axis in AXES for text in ("-s", axis)]
    swept = accelsim_cli("sweep", chip, "-w", NETWORK, *axes, "-j", 2, "--plugin", memory, "-o", tmp_path / "swept")
    assert swept.returncode == 0, swept.stderr
    assert names_of(tmp_path / "swept") == [["slow_sram"], ["slow_sram"]]
    with Store.open(tmp_path / "swept") as store:
        result = store.result(0)
        assert result is not None and f"--plugin {memory}" in result.command, "the command that runs a point alone"
    options = ("--trials", 2, "--objectives", "energy", "--plugin", memory, "-o", tmp_path / "sought")
    sought = accelsim_cli("search", chip, "-w", NETWORK, *axes, *options)
    assert sought.returncode == 0, sought.stderr
    assert names_of(tmp_path / "sought") == [["slow_sram"], ["slow_sram"]]


def test_a_sweep_is_not_resumed_with_another_plug_in(chip: Path, tmp_path: Path) -> None:
    memory = written(tmp_path / "memory.py", MEMORY)
    axes = [text for axis in AXES for text in ("-s", axis)]
    command = ("sweep", chip, "-w", NETWORK, *axes, "--plugin", memory, "-o", tmp_path / "swept", "--resume")
    assert accelsim_cli(*command).returncode == 0
    memory.write_text(MEMORY.replace("2 *", "3 *"))
    again = accelsim_cli(*command)
    assert again.returncode == 2 and "holds another sweep: plugins was" in again.stderr


def test_the_workers_of_a_cluster_run_plug_ins(chip: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    memory, running = written(tmp_path / "memory.py", MEMORY), Cluster(tmp_path, 1)
    load_plugin(memory)
    try:
        accelsim.sweep(chip, AXES, tmp_path / "far", workload=NETWORK, scheduler=running.address)
    finally:
        running.stop()
    assert names_of(tmp_path / "far") == [["slow_sram"], ["slow_sram"]]
