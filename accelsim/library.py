"""Where the architectures, cost tables and workloads that come with accelsim lie."""

from __future__ import annotations

from pathlib import Path

from accelsim.errors import InputError, did_you_mean

_PACKAGE = Path(__file__).parent


def root() -> Path:
    """Return the folder that holds ``arch/`` and ``workloads/``: the wheel's copy, or the source tree."""
    shipped = _PACKAGE / "_library"
    return shipped if shipped.is_dir() else _PACKAGE.parent


def find(name: str | Path, folder: str, suffix: str = ".yaml") -> Path:
    """Return the file that a name or a path stands for.

    A path that exists wins; a bare name is looked up in ``folder`` (such as ``arch`` or ``arch/cost``) of the
    library. Raises InputError with the nearest name.
    """
    path = Path(name)
    if path.exists():
        return path
    shelf = root() / folder
    if path.name == str(path):
        candidate = shelf / (path.name if path.suffix == suffix else path.name + suffix)
        if candidate.exists():
            return candidate
    if path.name != str(path):
        raise InputError.of(f"no such file: {path}", hint=_names(path.stem, shelf, suffix))
    raise InputError.of(f"no {folder} named '{name}'", hint=_names(path.stem, shelf, suffix))


def find_workload(name: str | Path) -> Path:
    """Return the ``workload.yaml`` that a name, a folder or a path stands for; raises InputError."""
    path = Path(name)
    if path.is_dir():
        path = path / "workload.yaml"
    if path.is_file():
        return path
    shelf = root() / "workloads"
    candidate = shelf / str(name) / "workload.yaml"
    if candidate.is_file():
        return candidate
    raise InputError.of(f"no workload named '{name}'", hint=did_you_mean(path.stem, workload_names()))


def names(folder: str, suffix: str = ".yaml") -> list[str]:
    """Return the names that `find` knows in a folder of the library, sorted."""
    return sorted(path.stem for path in (root() / folder).glob(f"*{suffix}"))


def workload_names() -> list[str]:
    """Return the names that `find_workload` knows, sorted."""
    return sorted(path.parent.name for path in (root() / "workloads").glob("*/workload.yaml"))


def _names(name: str, shelf: Path, suffix: str) -> str | None:
    return did_you_mean(name, [path.stem for path in shelf.glob(f"*{suffix}")])
