"""The cache of solved arrays: the same bits with and without it, its bounds, and what can go wrong with its files."""

from __future__ import annotations

import os
import re
import warnings

import numpy as np
import pytest

from accelsim.engines import effective_cache
from accelsim.engines.effective_cache import cache_limit, cached_effective
from accelsim.errors import InputError
from accelsim.kernels.wires import Wires, effective

WIRES = Wires(0.5, 1.0, 10, 20)
BYTES = 8 * (9 * 7 + 9 * 10 // 2)  # of 9 x 7 cells: all conductances, and the lower triangle of the drivers
FILE = BYTES + 32 + 128  # with the digest and the header of NumPy


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELSIM_CACHE", str(tmp_path))
    monkeypatch.delenv("ACCELSIM_CACHE_GB", raising=False)
    monkeypatch.setattr(effective_cache, "FEWEST_CELLS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield tmp_path / "effective"


def cells(seed: int, arrays: int = 1) -> np.ndarray:
    return 10 ** np.random.default_rng(seed).uniform(-6, -4, (arrays, 9, 7))


def forbid(monkeypatch) -> None:
    """Nothing may be solved from here on."""

    def solved(*_):
        raise AssertionError("solved again")

    monkeypatch.setattr(effective_cache, "effective", solved)


def same(one, other) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_same_bits_with_and_without(folder, monkeypatch) -> None:
    plain = effective(cells(1, 3), WIRES)
    same(cached_effective(cells(1, 3), WIRES), plain)
    forbid(monkeypatch)
    same(cached_effective(cells(1, 3), WIRES), plain)
    again = cached_effective(cells(1, 3), Wires(0.5, 1, 10.0, 20.0))
    again.conductances[:] = again.drivers[:] = 0  # may be written to, and no one else sees it
    same(cached_effective(cells(1, 3), WIRES), plain)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "wires", [Wires(0.5, 1.0, 10, 21), Wires(0.5, 1.0, 10, 20, both_ends=True), Wires(1.0, 0.5, 10, 20)]
)
def test_other_wires_are_other_files(folder, wires: Wires) -> None:
    cached_effective(cells(1), WIRES)
    same(cached_effective(cells(1), wires), effective(cells(1), wires))
    assert len(list(folder.iterdir())) == 2


def test_other_cells_and_another_solver_are_other_files(folder, monkeypatch) -> None:
    cached_effective(cells(1), WIRES)
    other = cells(1)
    other[0, 8, 6] = np.nextafter(other[0, 8, 6], 1)
    cached_effective(other, WIRES)
    cached_effective(cells(1).reshape(1, 7, 9), WIRES)
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(effective_cache, "_source", lambda: b"another")
    cached_effective(cells(1), WIRES)
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("damage", ["short", "bits", "empty", "text", "pickle", "claim", "long"])
def test_damaged_files_are_solved_and_written_anew(folder, monkeypatch, damage: str) -> None:
    plain = cached_effective(cells(1), WIRES)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    assert len(content) == FILE
    content[-1] ^= 1
    broken = {"short": content[:-9], "bits": content, "empty": b"", "text": b"no array"}
    claim = re.sub(rb"\(\d+,\), }( *)", lambda m: b"(%d,), }" % 10**13 + b" " * (len(m[1]) - 3), content[:128])
    broken |= {"claim": claim + content[200:], "long": content[:128] + content}
    if damage == "pickle":
        np.save(path, np.array([{}], object), allow_pickle=True)
    else:
        path.write_bytes(broken[damage])
    same(cached_effective(cells(1), WIRES), plain)
    forbid(monkeypatch)
    same(cached_effective(cells(1), WIRES), plain)


def test_what_was_not_used_for_longest_goes_first(folder, monkeypatch) -> None:
    monkeypatch.setenv("ACCELSIM_CACHE_GB", str(3.5 * FILE / 1e9))
    for seed in range(3):
        cached_effective(cells(seed), WIRES)
        for age, path in enumerate(sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)):
            os.utime(path, ns=(age, age))  # clocks of file systems are coarse
    cached_effective(cells(0), WIRES)  # used
    cached_effective(cells(3), WIRES)
    assert len(list(folder.iterdir())) == 3
    forbid(monkeypatch)
    for seed in (0, 2, 3):
        cached_effective(cells(seed), WIRES)
    with pytest.raises(AssertionError, match="solved again"):
        cached_effective(cells(1), WIRES)


def test_arrays_too_large_for_the_cache(folder, monkeypatch) -> None:
    monkeypatch.setenv("ACCELSIM_CACHE_GB", "5e-7")
    with pytest.warns(UserWarning, match=r"1 arrays of 9 x 7 cells take 8.6e-07 GB, more than the cache of 5e-07 GB"):
        same(cached_effective(cells(1), WIRES), effective(cells(1), WIRES))
    assert not folder.exists()


def test_a_folder_that_cannot_be_written(folder) -> None:
    folder.write_text("a file")
    with pytest.warns(UserWarning, match="the cache of solved arrays cannot be written: .*effective"):
        same(cached_effective(cells(1), WIRES), effective(cells(1), WIRES))


def test_no_part_of_a_file_is_left(folder, monkeypatch) -> None:
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        same(cached_effective(cells(1), WIRES), effective(cells(1), WIRES))
    assert list(folder.iterdir()) == []


def test_no_cache(folder, monkeypatch) -> None:
    monkeypatch.setenv("ACCELSIM_CACHE_GB", "0")
    same(cached_effective(cells(1), WIRES), effective(cells(1), WIRES))
    assert not folder.exists()


def test_few_cells_are_not_kept(folder, monkeypatch) -> None:
    monkeypatch.setattr(effective_cache, "FEWEST_CELLS", 64)
    cached_effective(cells(1), WIRES)
    assert not folder.exists()
    cached_effective(cells(1, 2), WIRES)
    assert len(list(folder.iterdir())) == 1


def test_size_of_the_cache(monkeypatch) -> None:
    assert cache_limit() == 2e9
    monkeypatch.setenv("ACCELSIM_CACHE_GB", "0.5")
    assert cache_limit() == 5e8
    for text in ("much", "-1", "nan"):
        monkeypatch.setenv("ACCELSIM_CACHE_GB", text)
        with pytest.raises(InputError, match=rf"ACCELSIM_CACHE_GB must be a number of gigabytes, .* found '{text}'"):
            cache_limit()
