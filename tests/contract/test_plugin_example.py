"""A package of somebody else's parts, tests/plugin_example: installed by pip into a fresh environment, and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

import accelsim

EXAMPLE = Path(__file__).parents[1] / "plugin_example"
PARTS = EXAMPLE / "accelsim_flash"
WORKLOAD = PARTS / "library" / "workloads" / "flash_frames"
ENTRIES = {
    ("accelsim.components", "flash_adc"),
    ("accelsim.components", "activation_unit"),
    ("accelsim.devices", "log_normal"),
    ("accelsim.ops", "hard_swish"),
    ("accelsim.engines", "activation"),
}


def started(*command: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(accelsim.__file__).parents[1])}
    environment.pop("PYTEST_ADDOPTS", None)  # meant for the tests of accelsim, as a least coverage
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment, cwd=folder, timeout=600
    )


@dataclass(frozen=True)
class Environment:
    """A virtual environment that sees what this one has installed, and ``folder``, where commands run."""

    python: Path
    folder: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return started(self.python, *arguments, folder=self.folder)

    def accelsim(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "accelsim", *arguments)

    def pip(self, *arguments: object) -> None:
        done = started(sys.executable, "-m", "pip", "--python", self.python, *arguments, folder=self.folder)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with the example in it."""
    folder = tmp_path_factory.mktemp("fresh")
    assert started(sys.executable, "-m", "venv", "--without-pip", folder / "env").returncode == 0
    environment = Environment(folder / "env" / "bin" / "python", folder)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    environment.pip("install", "--no-deps", "--quiet", folder / "source")
    return environment


def test_it_has_little_more_than_300_lines() -> None:
    """Of code, YAML and TOML, blank lines not counted; a component has five sections of prices."""
    files = [path for path in EXAMPLE.rglob("*") if path.suffix in (".py", ".yaml", ".toml")]
    assert len(files) == 11
    assert sum(bool(line.strip()) for path in files for line in path.read_text().splitlines()) < 310


def test_its_parts_are_listed(fresh: Environment) -> None:
    listed = fresh.accelsim("list", "--plugins")
    assert listed.returncode == 0, listed.stderr
    rows = [line.split() for line in listed.stdout.splitlines() if "accelsim-flash" in line]
    assert {(group, name) for group, name, *_ in rows} == ENTRIES | {("accelsim.library", "flash")}
    assert all(row[2:4] == ["accelsim-flash", "0.1.0"] for row in rows)
    assert "flash_tile" in fresh.accelsim("list").stdout


def test_its_chip_runs(fresh: Environment) -> None:
    """By its name; the record says whose parts were used, cycles and joules are those of the flash converters."""
    ran = fresh.accelsim("run", "flash_tile", "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    plugins = result["provenance"]["plugins"]
    assert {(one["group"], one["name"]) for one in plugins} == ENTRIES
    assert {(one["distribution"], one["version"]) for one in plugins} == {("accelsim-flash", "0.1.0")}
    assert all(len(one["sha256"]) == 64 for one in plugins)
    flash = next(one for one in result["components"] if one["name"] == "flash")
    # Of both layers 8 columns share a converter, which takes 4 of them in a cycle: 2 cycles each.
    assert flash["busy_cycles"] == 100 * (2 + 2)
    # 3 planes of 32 and of 20 columns; 16 comparators, 20 fJ each.
    assert flash["actions"]["convert"] == 100 * 3 * (32 + 20)
    assert flash["energy_j"]["dynamic"] == pytest.approx(flash["actions"]["convert"] * 16 * 20e-15)
    lanes = next(one for one in result["components"] if one["name"] == "activation")
    assert lanes["busy_cycles"] == 100 * 32 * 5 // 8 and lanes["actions"] == {"operation": 100 * 32 * 5}


VALUES = """
import numpy as np
from accelsim.devices import load_device
from accelsim.pipeline import run_in_full

run = run_in_full("flash_tile", seed=5)
device, tensors = load_device("log_normal"), run.workload.tensors
thresholds = np.array(run.outcome.architecture.components()["flash"].thresholds)
edges = np.array([thresholds[0], *thresholds, thresholds[-1]])

def layer(words, name, tile):
    weights, total = tensors[f"{name}.weight"].astype(int), 0.0
    for plane in range(3):
        states = []
        for sign in (1, -1):
            levels = np.zeros((1, 64, 64), np.uint8)
            levels[0, : len(weights), : weights.shape[1]] = (sign * weights > 0) & (np.abs(weights) >> plane & 1)
            array = np.array([2 * (64 * tile + plane) + (sign < 0)])
            states.append(device.program(levels, array, seed=5).states[0].astype(float))
        cells = (states[1] - states[0])[: len(weights), : weights.shape[1]]
        code = (((words / 128) @ cells)[..., None] >= thresholds).sum(axis=-1)
        total = total + 2**plane * (edges[code] + edges[code + 1]) / 2
    return total * 128 + tensors[f"{name}.bias"]

hidden = layer(np.clip(run.batch.features.astype(int) - 80, -128, 127), "hidden", 0)
x = hidden.astype(np.float32)
gate = np.clip(x + np.float32(3), np.float32(0), np.float32(6)) * np.float32(1 / 6)
swish = x * gate
outputs = layer(np.clip(np.rint(swish * 0.25), -128, 127), "phones", 1)
found = run.execution.outputs
assert found.shape == outputs.shape == (100, 20) and len(np.unique(found)) > 20
np.testing.assert_allclose(found, outputs, rtol=0, atol=1e-6)
"""


def test_its_values_are_those_of_a_plain_recomputation(fresh: Environment) -> None:
    """Cells programmed one array at a time, currents as matrix products, thresholds by comparison, in NumPy."""
    done = fresh.run("-c", VALUES)
    assert done.returncode == 0, done.stderr


def test_its_parts_pass_the_suites(fresh: Environment) -> None:
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", fresh.folder)
    done = fresh.run("-m", "pytest", *options, fresh.folder / "source" / "contract.py")
    assert done.returncode == 0, done.stdout


def test_without_the_package_the_chip_is_an_error(fresh: Environment) -> None:
    """The last of the tests that need it: it goes."""
    chip = fresh.folder / "source" / "accelsim_flash" / "library" / "arch" / "flash_tile.yaml"
    fresh.pip("uninstall", "--yes", "accelsim-flash")
    try:
        by_name, by_path = fresh.accelsim("run", "flash_tile"), fresh.accelsim("run", chip)
    finally:
        fresh.pip("install", "--no-deps", "--quiet", fresh.folder / "source")
    assert (by_name.returncode, by_path.returncode) == (2, 2)
    assert "no architecture named 'flash_tile'" in by_name.stderr
    for kind in ("flash_adc", "activation_unit"):
        assert f"unknown kind '{kind}'" in by_path.stderr
    assert "Traceback" not in by_name.stderr + by_path.stderr


# One file of it, without the package


def here(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return started(sys.executable, "-m", "accelsim", *arguments, folder=folder)


def test_its_op_alone_runs_on_other_chips(tmp_path: Path) -> None:
    arguments = ("run", "conformer_digital28", "-w", WORKLOAD, "-s", "pacing.frame_period=10 ms")
    without = here(*arguments, folder=tmp_path)
    assert without.returncode == 2 and "unknown op 'hard_swish'" in without.stderr
    ran = here(*arguments, "--plugin", PARTS / "hard_swish.py", "--json", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (plugin,) = json.loads(ran.stdout)["provenance"]["plugins"]
    assert (plugin["name"], plugin["distribution"], plugin["module"]) == ("hard_swish", None, "hard_swish.py")


def test_its_op_alone_in_the_workers_of_a_sweep(tmp_path: Path) -> None:
    pace = ("-s", "pacing.frame_period=10 ms")
    arguments = ("conformer_digital28", "-w", WORKLOAD, *pace, "-s", "vector.lanes=32,64", "-j", 2, "-o", "swept")
    swept = here("sweep", *arguments, "--plugin", PARTS / "hard_swish.py", "--export", "csv", folder=tmp_path)
    assert swept.returncode == 0, swept.stderr
    assert "2 of 2 configurations done" in swept.stdout
