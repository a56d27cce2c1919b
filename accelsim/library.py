"""Where the architectures, cost tables and workloads that come with accelsim lie."""

from __future__ import annotations

import os
from pathlib import Path

from accelsim.errors import InputError, did_you_mean

_PACKAGE = Path(__file__).parent
_SHELVES = {"arch": "architecture", "arch/cost": "cost table", "arch/papers": "paper", "arch/devices": "device"}


def root() -> Path:
    """Return the folder that holds ``arch/`` and ``workloads/``: the wheel's copy, or the source tree."""
    shipped = _PACKAGE / "_library"
    return shipped if shipped.is_dir() else _PACKAGE.parent


def find(name: str | Path, folder: str, suffix: str = ".yaml") -> Path:
    """Return the file that a name or a path stands for.

    A path that exists wins; a bare name that is no file is looked up in ``folder`` (such as ``arch`` or ``arch/cost``)
    of the library. Raises InputError with the nearest name.
    """
    path = Path(name)
    bare = path.name == str(path)
    # Unlike the methods of Path these say no to a name that no file can have.
    if os.path.isfile(path) or (os.path.exists(path) and not bare):
        return path
    shelf = root() / folder
    if bare:
        candidate = shelf / (path.name if path.suffix == suffix else path.name + suffix)
        if os.path.exists(candidate):
            return candidate
    if not bare:
        raise InputError.of(f"no such file: {path}", hint=_names(path.stem, shelf, suffix))
    what = _SHELVES.get(folder, folder)
    raise InputError.of(f"no {what} named '{name}', and no such file", hint=_names(path.stem, shelf, suffix))


def find_workload(name: str | Path) -> Path:
    """Return the workload file that a name, a folder or a path stands for; raises InputError.

    ``s4d_digits`` is its folder's workload.yaml, ``s4d_digits/5bit`` the file 5bit.yaml beside it.
    """
    path, shelf = Path(name), root() / "workloads"
    for candidate in (path, path / "workload.yaml", shelf / path / "workload.yaml", shelf / f"{path}.yaml"):
        if os.path.isfile(candidate):
            return candidate
    if os.path.isdir(path):
        raise InputError.of(f"no workload.yaml in the folder {name}")
    hint = did_you_mean(path.stem, workload_names())
    raise InputError.of(f"no workload named '{name}', and no such file or folder", hint=hint)


def names(folder: str, suffix: str = ".yaml") -> list[str]:
    """Return the names that `find` knows in a folder of the library, sorted."""
    return sorted(path.stem for path in (root() / folder).glob(f"*{suffix}"))


def workload_names() -> list[str]:
    """Return the names that `find_workload` knows, sorted."""
    return sorted(path.parent.name for path in (root() / "workloads").glob("*/workload.yaml"))


def _names(name: str, shelf: Path, suffix: str) -> str | None:
    return did_you_mean(name, [path.stem for path in shelf.glob(f"*{suffix}")])
