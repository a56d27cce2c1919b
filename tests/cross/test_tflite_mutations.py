"""Damaged TFLite files end in one message: no traceback, no hang, no memory beyond a gigabyte."""

from __future__ import annotations

import resource
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_mutations import damaged_bytes, damaged_structure, seeds

from accelsim.errors import InputError
from accelsim.importers.importer import import_model, write

SECONDS = 20
"""How long one file may take."""
GIGABYTE_KB = 1_000_000


@pytest.fixture(autouse=True)
def _installed() -> None:
    for needed in ("tflite", "ai_edge_litert"):
        pytest.importorskip(needed)


def mutated(count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """Yield so many damaged files; half of them are still whole files of the format."""
    random = np.random.default_rng(seed)
    whole = seeds()
    ways: tuple[Callable[..., bytes], ...] = (damaged_bytes, damaged_structure)
    done = 0
    while done < count:
        data = whole[random.integers(len(whole))]
        try:
            made = ways[done % 2](random, data)
        except (struct.error, TypeError, ValueError, OverflowError):  # what cannot be written down
            continue
        yield done, made
        done += 1


def too_long(*_: Any) -> None:
    raise TimeoutError("it hangs")


def ends_well(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Import so many damaged files; return how many were taken, and how many were refused."""
    path, ends = folder / "damaged.tflite", {"taken": 0, "refused": 0}
    signal.signal(signal.SIGALRM, too_long)
    for number, data in mutated(count, seed):
        path.write_bytes(data)
        signal.alarm(SECONDS)
        try:
            write(import_model(path), folder / "out")
            ends["taken"] += 1
        except InputError as error:
            assert str(error).strip()
            ends["refused"] += 1
        except BaseException:
            (folder / f"bad-{seed}-{number}.tflite").write_bytes(data)
            raise
        finally:
            signal.alarm(0)
    return ends


def test_damaged_files_end_in_a_message(tmp_path: Path) -> None:
    ends = ends_well(300, 5, tmp_path)
    assert ends["refused"] > 150, ends
    assert ends["taken"] > 10, ends  # some damage is none, or else nothing behind the checks was reached


@pytest.mark.slow
def test_ten_thousand_damaged_files_end_in_a_message(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends = ends_well(10_000, 6, tmp_path)
    assert sum(ends.values()) == 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIGABYTE_KB
