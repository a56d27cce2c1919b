"""The same run gives the same bits on every processor, with any number of threads, cold or warm.

Every shipped chip runs a short input in processes that differ in what must not matter: the kernels that OpenBLAS picks
for a processor, threads, seeds of Python's hashes, machine code from the disk or made anew, the folder. All of
``result.json`` is compared, less the versions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from accelsim.architecture import load_architecture
from accelsim.data.dataset import data_folder
from accelsim.library import names
from accelsim.workload import load_workload

_CODE = """
import json, sys
from accelsim.pipeline import run_in_full
from accelsim.record import record
for chip, overrides in json.load(sys.stdin):
    result = record(run_in_full(chip, overrides=overrides, seed=1), "")
    print(json.dumps(result.model_dump(mode="json", by_alias=True, exclude={"versions"})), flush=True)
"""
_CORE = """
import ctypes, numpy
for line in open("/proc/self/maps"):
    if "openblas" in line:
        library = ctypes.CDLL(line.split()[-1])
        for name in ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename"):
            if hasattr(library, name):
                function = getattr(library, name)
                function.restype = ctypes.c_char_p
                print(function().decode())
                raise SystemExit
"""
_FLAGS = {"Prescott": "pni", "Nehalem": "sse4_2", "Sandybridge": "avx", "Haswell": "avx2", "SkylakeX": "avx512f"}
"""Processors that OpenBLAS has kernels for, and what one must know to run them, in the words of /proc/cpuinfo."""

VARIANTS: dict[str, dict[str, str]] = {
    **{f"as {name}": {"OPENBLAS_CORETYPE": name} for name in _FLAGS},
    "two threads": {"NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
    "other hashes": {"PYTHONHASHSEED": "4711"},
    "cold": {"NUMBA_CACHE_DIR": "cold"},
    "any processor": {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": "generic"},
}
_QUICK = ("rsnn28nm", "s4d_digital28", "tiles_and_pes", "wake_word_digital28", "neurram_core")
_ALWAYS = (("as Nehalem", "two threads"), ("as Haswell", "other hashes"))
"""Variants, several at once, that quick chips are always tried in."""


@cache
def short(chip: str) -> tuple[str, Mapping[str, str]]:
    """Return a chip and what makes its run short: a second of speech that ships, and one block of a Conformer."""
    loaded = load_architecture(chip)
    network = load_workload(loaded.spec.workload)
    inputs = network.spec.inputs
    overrides: dict[str, str] = {"workload.score": "null"} if network.spec.score is not None else {}
    if inputs.source == "speech":
        overrides |= {"workload.inputs.dataset": "librivox_sample", "workload.inputs.seconds": "1"}
    else:
        overrides["workload.inputs.utterances"] = "1"
    if any(op.name.startswith("blocks.") for op in network.graph.ops):
        overrides |= {"workload.graph.blocks.blocks": "1", "workload.graph.output.input": "blocks.0.norm"}
    if loaded.spec.programming_runs > 1:
        overrides["programming_runs"] = "1"
    return chip, overrides


def _run(chips: Sequence[str], variant: Mapping[str, str], folder: Path) -> list[dict[str, Any]]:
    """Return what the runs of some chips record, all in one process that begins in a folder of its own."""
    folder.mkdir(parents=True)
    set_ = {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    # Arrays behind wires are solved anew, not read from what another variant has kept.
    set_ |= {"ACCELSIM_CACHE": str(folder / "cache"), "ACCELSIM_DATA": str(data_folder())} | dict(variant)
    root = str(Path(__file__).resolve().parents[2])
    if "NUMBA_CACHE_DIR" in variant:
        set_["NUMBA_CACHE_DIR"] = str(folder / variant["NUMBA_CACHE_DIR"])
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        input=json.dumps([short(chip) for chip in chips]),
        env={**os.environ, "PYTHONPATH": root, **set_},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _differ(chips: Sequence[str], ours: Sequence[Any], theirs: Sequence[Any]) -> dict[str, list[str]]:
    """Return the chips whose records differ, with the keys that do."""
    pairs = zip(chips, ours, theirs, strict=True)
    return {chip: [key for key in one if one[key] != other[key]] for chip, one, other in pairs if one != other}


def _runs_here(variant: str) -> bool:
    core = VARIANTS[variant].get("OPENBLAS_CORETYPE")
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return core is None
    return core is None or _FLAGS[core] in flags


def _there(chips: Sequence[str]) -> list[str]:
    """Return the chips whose inputs are on this machine."""
    features = [chip for chip in chips if "workload.inputs.utterances" in short(chip)[1]]
    return [chip for chip in chips if chip not in features or (data_folder() / "an4_mfcc13.npz").exists()]


def test_openblas_takes_other_kernels_for_each_processor():
    """Else the variants would be one."""
    cores = [name.removeprefix("as ") for name in VARIANTS if name.startswith("as ") and _runs_here(name)]
    told = [
        subprocess.run(
            [sys.executable, "-c", _CORE], env={**os.environ, "OPENBLAS_CORETYPE": core}, capture_output=True, text=True
        ).stdout
        for core in cores
    ]
    if "" in told:
        pytest.skip("this NumPy has no OpenBLAS that says its processor")
    assert len(set(told)) == len(cores)


def test_quick_chips_in_several_variants_at_once(tmp_path):
    expected = _run(_QUICK, {}, tmp_path / "plain")
    for number, variants in enumerate(_ALWAYS):
        merged = {key: value for name in variants if _runs_here(name) for key, value in VARIANTS[name].items()}
        found = _run(_QUICK, merged, tmp_path / str(number))
        assert not _differ(_QUICK, expected, found), variants


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_all_chips_in_all_variants(variant, tmp_path, plain):
    if not _runs_here(variant):
        pytest.skip(f"this processor cannot run {variant}")
    chips = _there(names("arch"))
    found = _run(chips, VARIANTS[variant], tmp_path / "other")
    assert not _differ(chips, plain, found)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> list[dict[str, Any]]:
    return _run(_there(names("arch")), {}, tmp_path_factory.mktemp("plain") / "run")
