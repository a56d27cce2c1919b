"""Damaged and hostile ONNX files: an error that says so, no traceback, little memory, soon."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models
import onnx_mutations
from onnx_models import model, node

from accelsim.errors import InputError
from accelsim.importers.importer import import_model, write

onnx = models.onnx
LONGEST_S = 20
MOST_BYTES = 1_000_000_000


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Stop what takes longer."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def taken(seeds: range, folder: Path) -> int:
    """Import mutated files and return how many were taken; anything but an InputError goes up."""
    kinds, good = onnx_mutations.seeds(), 0
    path = folder / "model.onnx"
    for seed in seeds:
        path.write_bytes(onnx_mutations.mutated(seed, kinds))
        settings = {"time_axis": "none" if seed % len(kinds) == 3 else 2}
        try:
            with limited(LONGEST_S):
                write(import_model(path, settings), folder / "net")
            good += 1
        except InputError as error:
            assert all(problem.message for problem in error.problems)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    return good


def test_seeds_are_taken(tmp_path: Path) -> None:
    """What is mutated is taken as it is, so that a refusal is of the mutation."""
    for place, made in enumerate(onnx_mutations.seeds()):
        models.imported(made, tmp_path, time_axis="none" if place == 3 else 2)


def test_mutated_files(tmp_path: Path) -> None:
    """A few hundred mutated files: some are still networks, most are not, none makes anything else happen."""
    assert 10 < taken(range(300), tmp_path) < 290


@pytest.mark.slow
def test_many_mutated_files(tmp_path: Path) -> None:
    """10,000 mutated files, in a process that may not have a GB more than it starts with."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from test_import_onnx_damaged import MOST_BYTES, taken\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + MOST_BYTES\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        f"print(taken(range(10_000), Path({str(tmp_path)!r})))\n"
    )
    path = [str(Path(__file__).parent), *sys.path]
    run = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 300


def _large(folder: Path, *, outside: bool) -> Path:
    """Return a file of more than 50 MB of weights, in itself or beside it."""
    wide = np.random.default_rng(0).standard_normal((3600, 3600)).astype(np.float32)
    made = model([node("MatMul", "x w", "y")], {"w": wide}, ["time", 3600])
    path = folder / "large.onnx"
    if outside:
        onnx.save(made, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    else:
        onnx.save(made, path)
    return path


@pytest.mark.parametrize("outside", [False, True], ids=["inside", "external data"])
def test_large_file_is_mapped(tmp_path: Path, outside: bool) -> None:
    """Weights of a large file are read from it where they are used: twice its size at most is held at once."""
    path = _large(tmp_path, outside=outside)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from accelsim.importers.importer import import_model, IMPORTERS\n"
        "IMPORTERS['onnx']; import accelsim.ops, accelsim.workload; from accelsim.ops.op import OPS; list(OPS)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"made = import_model(Path({str(path)!r}))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, made.tensors['y.weight'].shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    kilobytes = int(done.stdout.split()[0])
    file = 3600 * 3600 * 4 / 1024
    # Mapped pages of the file count, and the float16 weights, half of it; no copy of the float32 ones.
    assert kilobytes < 2 * file, f"{kilobytes} kB for a file of {file:.0f} kB"


def test_too_large_is_refused(tmp_path: Path) -> None:
    """A limit holds for a file, and for external data, before anything is read."""
    path = _large(tmp_path, outside=True)
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"weights\.bin has 51,840,000 bytes, at most 1,000,000 are read"):
        import_model(path, largest=1_000_000)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "sub/../../weights.bin", "nowhere.bin"])
def test_external_data_stays_beside_the_model(tmp_path: Path, location: str) -> None:
    """External data outside the folder of the model is not read, through a link neither."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    for place in (location, "link.bin"):
        made = model([node("MatMul", "x w", "y")], {"w": np.zeros((4, 4), np.float32)}, ["time", 4])
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in (("location", place), ("offset", "0"), ("length", "64")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        (folder / "model.onnx").write_bytes(made.SerializeToString())
        with pytest.raises(InputError, match=r"outside the folder of the model|no file 'nowhere.bin'"):
            import_model(folder / "model.onnx")
