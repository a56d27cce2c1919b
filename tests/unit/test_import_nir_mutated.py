"""Mutated NIR files: each is imported or refused with a reason; no traceback, no hang, not much memory."""

from __future__ import annotations

import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_mutations import models, mutated

from accelsim.errors import InputError
from accelsim.importers import nir as nir_importer
from accelsim.importers.hdf5 import Hdf5Reader
from accelsim.importers.importer import import_model, write

OPTIONS = {"dt": "0.5 ms", "reset": "subtract", "order": "new", "utterances": 1, "rows": 4}


def swallow(folder: Path, first: int, last: int) -> Counter[str]:
    """Import mutated files and return how often which reason was given."""
    reasons: Counter[str] = Counter()
    files, path = models(), folder / "mutated.nir"
    for seed in range(first, last):
        random = np.random.default_rng(seed)
        path.write_bytes(mutated(files[seed % len(files)], random))
        began = time.perf_counter()
        try:
            made = import_model(path, OPTIONS)
            if seed % 20 == 0:
                write(made, folder / "made")
            reasons["taken"] += 1
        except InputError as error:
            reasons[str(error).removeprefix(f"{path}: ")[:40]] += 1
            assert "\n" not in str(error.problems[0])
        assert time.perf_counter() - began < 30, f"seed {seed} took long"
    return reasons


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A reader that gives a file up early: a hang of the HDF5 library costs the test little."""
    made = Hdf5Reader(longest_s=3)
    monkeypatch.setattr(nir_importer, "READER", made)
    yield made
    made.close()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_whole_files_are_taken(tmp_path, reader) -> None:
    for number, raw in enumerate(models()):
        (tmp_path / "whole.nir").write_bytes(raw)
        write(import_model(tmp_path / "whole.nir", OPTIONS), tmp_path / str(number))


def test_mutated_files(tmp_path, reader) -> None:
    before = peak_bytes()
    reasons = swallow(tmp_path, 0, 100)
    for seed in (2792, 3575, 6204):  # constants of another number than there are neurons: once a traceback
        swallow(tmp_path, seed, seed + 1)
    assert reasons["taken"] > 8 and len(reasons) > 8, "the mutations reach little"
    assert peak_bytes() - before < 500e6


@pytest.mark.slow
def test_many_mutated_files(tmp_path, reader) -> None:
    before = peak_bytes()
    reasons = swallow(tmp_path, 0, 10_000)
    print(reasons.most_common(60))
    assert reasons["taken"] > 500
    assert peak_bytes() - before < 1e9


def test_what_makes_the_library_hang_is_given_up(tmp_path) -> None:
    """A process that does not answer is ended, and the next file is read by a new one."""
    reader = Hdf5Reader(longest_s=3)
    (tmp_path / "whole.nir").write_bytes(models()[0])
    assert "node" in reader.read(tmp_path / "whole.nir", 10**6)
    child = reader._child
    assert child is not None
    child.kill()
    child.wait()
    assert "node" in reader.read(tmp_path / "whole.nir", 10**6)
    with pytest.raises(InputError, match="bytes, more than are read"):
        reader.read(tmp_path / "whole.nir", 50)
    reader.close()


@pytest.mark.parametrize("raw", [b"", b"no file", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_files_that_are_no_hdf5(tmp_path, reader, raw) -> None:
    (tmp_path / "x.nir").write_bytes(raw)
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        import_model(tmp_path / "x.nir", OPTIONS)
