"""Tensors of a network in files: written as a workload reads them, read one by one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import InputError, Problem
from accelsim.result import written_whole

_KINDS = "iuf"


def save_weights(path: str | Path, tensors: Mapping[str, ArrayLike], metadata: Mapping[str, str] | None = None) -> Path:
    """Write tensors into a safetensors file, whole or not at all, and return its path; see `accelsim.save_weights`."""
    raw = as_safetensors(contiguous(tensors, path), path, metadata)
    with written_whole(Path(path)) as file:
        file.write(raw)
    return Path(path)


def contiguous(tensors: Mapping[str, ArrayLike], place: str | Path) -> dict[str, NDArray[Any]]:
    """Return tensors as arrays that lie in memory as they read, in the byte order of the machine.

    ``place``: stands for the file in messages. Raises InputError with everything that is no tensor of a network.
    """
    found: dict[str, NDArray[Any]] = {}
    problems = []
    for name, tensor in tensors.items():
        array = np.asarray(tensor)
        if not isinstance(name, str) or not name:
            problems.append(Problem(f"expected the name of a tensor, found {name!r}", place))
        elif array.dtype.kind not in _KINDS or array.dtype.itemsize > 8:
            problems.append(Problem(f"tensor '{name}': expected whole numbers or floats, found {array.dtype}", place))
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            problems.append(Problem(f"tensor '{name}' holds NaN or infinity", place))
        else:
            # Not ascontiguousarray, which makes a list of a single number.
            found[name] = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)
    if problems:
        raise InputError(problems)
    return found


def as_safetensors(
    tensors: Mapping[str, NDArray[Any]], place: str | Path, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return contiguous tensors as the bytes of a safetensors file, read back and compared; raises InputError."""
    from safetensors.numpy import load, save

    raw = save(dict(tensors), dict(metadata) if metadata else None)
    again = load(raw)
    wrong = [name for name, array in tensors.items() if not _same(array, again.get(name))]
    if wrong or again.keys() != tensors.keys():
        raise InputError(
            Problem(f"tensor '{name}' does not read back as it was given", place) for name in wrong or [""]
        )
    return raw


def open_weights(path: str | Path) -> Any:
    """Return an open safetensors file, whose tensors are read one by one: ``keys``, ``get_slice`` and ``get_tensor``.

    Raises InputError for a file that is damaged or none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError.of(f"not a whole safetensors file: {error}", file=path) from None


def _same(array: NDArray[Any], other: NDArray[Any] | None) -> bool:
    return other is not None and other.dtype == array.dtype and np.array_equal(array, other)
