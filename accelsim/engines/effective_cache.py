"""Arrays behind their wires, kept on disk: the next run that programs the same cells reads what this one solved.

A file is named by the SHA-256 of the cells, the wires and the solver's source, and holds the SHA-256 of its content:
what a run reads has the bits that it would compute, and a damaged file is solved and written anew.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import warnings
from contextlib import suppress
from dataclasses import astuple
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.data.dataset import cache_folder
from accelsim.errors import InputError
from accelsim.kernels import wires as solver
from accelsim.kernels.wires import Effective, Wires, effective

SIZE_VARIABLE = "ACCELSIM_CACHE_GB"
DEFAULT_GB = 2.0
FEWEST_CELLS = 1 << 15
"""Fewer are solved sooner than a file is found."""

_HEADER = 128
"""Bytes that NumPy writes before the numbers of such a file."""
_DIGEST = hashlib.sha256().digest_size


def cached_effective(conductances: NDArray[np.float64], wires: Wires) -> Effective:
    """Return what `accelsim.kernels.wires.effective` returns, to the last bit, from the cache where it is there.

    The cache is the folder ``effective`` in $ACCELSIM_CACHE or the platform's cache folder. It takes up to
    $ACCELSIM_CACHE_GB, 2 GB if that is not set and none at 0; what was not used for the longest time goes first. Arrays
    that do not fit, or a folder that cannot be written, are told as a warning. Raises `InputError` for a size that is
    no number.
    """
    limit = cache_limit()
    cells = np.ascontiguousarray(conductances, np.float64)
    if limit == 0 or cells.size < FEWEST_CELLS:
        return effective(cells, wires)
    folder = cache_folder() / "effective"
    path = folder / f"{_key(cells, wires)}.npy"
    found = _read(path, cells.shape)
    if found is None:
        found = effective(cells, wires)
        _write(path, found, limit)
    return found


def cache_limit() -> float:
    """Return how many bytes the cache may take; raises `InputError` where the variable holds no such number."""
    text = os.environ.get(SIZE_VARIABLE, "")
    try:
        size = float(text or DEFAULT_GB) * 1e9
    except ValueError:
        size = -1.0
    if not size >= 0:
        message = f"{SIZE_VARIABLE} must be a number of gigabytes, at least 0, found '{text}'"
        raise InputError.of(message, hint="0 for no cache") from None
    return size


@cache
def _source() -> bytes:
    return Path(solver.__file__).read_bytes()


def _key(cells: NDArray[np.float64], wires: Wires) -> str:
    found = hashlib.sha256(_source())
    # A float's repr is exact; 1 and 1.0 ohm are one resistance.
    found.update(repr((cells.shape, [float(value) for value in astuple(wires)])).encode())
    found.update(cells.data)
    return found.hexdigest()


def _read(path: Path, shape: tuple[int, ...]) -> Effective | None:
    """Return what a file holds, None where there is none or where it is damaged."""
    arrays, rows, columns = shape
    lower = np.tril_indices(rows)
    split = arrays * rows * columns
    size = _DIGEST + 8 * (split + arrays * len(lower[0]))
    try:
        status = path.stat()
        # What is longer than a header and the numbers is none of ours: it is not read, whatever it claims to hold.
        if not stat.S_ISREG(status.st_mode) or not size <= status.st_size <= size + _HEADER:
            return None
        content = np.fromfile(path, np.uint8, size, offset=status.st_size - size)
        if content.size != size:
            return None
        if hashlib.sha256(content[_DIGEST:].data).digest() != content[:_DIGEST].tobytes():
            return None
        os.utime(path)  # used now
    except OSError:
        return None
    values = content[_DIGEST:].view(np.float64)
    drivers = np.empty((arrays, rows, rows))
    drivers[:, lower[0], lower[1]] = drivers[:, lower[1], lower[0]] = values[split:].reshape(arrays, -1)
    return Effective(values[:split].reshape(shape).copy(), drivers)


def _write(path: Path, found: Effective, limit: float) -> None:
    """Write a file as a whole or not at all, and make room for it first."""
    lower = np.tril_indices(found.drivers.shape[1])
    values = np.concatenate([found.conductances.ravel(), found.drivers[:, lower[0], lower[1]].ravel()])
    content = values.view(np.uint8)
    digest = np.frombuffer(hashlib.sha256(content.data).digest(), np.uint8)
    if content.nbytes > limit:
        arrays, rows, columns = found.conductances.shape
        warnings.warn(
            f"{arrays} arrays of {rows} x {columns} cells take {content.nbytes / 1e9:.2g} GB, more than the cache of "
            f"{limit / 1e9:.2g} GB: they are solved in every run (set {SIZE_VARIABLE} to keep them)",
            stacklevel=2,
        )
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent, limit - content.nbytes)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, np.concatenate([digest, content]), allow_pickle=False)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        warnings.warn(f"the cache of solved arrays cannot be written: {error}", stacklevel=2)


def _make_room(folder: Path, limit: float) -> None:
    """Delete files until those that are left take no more than ``limit`` bytes, the longest unused first."""
    files = []
    for path in folder.iterdir():
        with suppress(OSError):  # another run may delete it first
            status = path.stat()
            files.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            break
        with suppress(OSError):
            path.unlink()
        total -= size
