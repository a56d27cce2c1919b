"""Where the architectures, cost tables and workloads lie that come with accelsim and with plug-ins.

A plug-in's library is a package of YAML files with the folders ``arch/`` and ``workloads/``; an entry point names it:

    [project.entry-points."accelsim.library"]
    my_chips = "my_package.library"

The package is only looked for, never imported.
"""

from __future__ import annotations

import importlib.util
import os
from importlib import metadata
from pathlib import Path

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.registry import declaration, entry_points, is_own

GROUP = "accelsim.library"

_PACKAGE = Path(__file__).parent
_SHELVES = {
    "arch": "architecture",
    "arch/cost": "cost table",
    "arch/papers": "paper",
    "arch/devices": "device",
    "arch/converters": "file of converters",
    "arch/wires": "table of wires",
}


def root() -> Path:
    """Return the folder of accelsim's own ``arch/`` and ``workloads/``: the wheel's copy, or the source tree."""
    shipped = _PACKAGE / "_library"
    return shipped if os.path.isdir(shipped) else _PACKAGE.parent


def plugin_points() -> list[metadata.EntryPoint]:
    """Return the entry points of the plug-ins' libraries."""
    return [point for point in entry_points(GROUP) if not is_own(point)]


def folder_of(point: metadata.EntryPoint) -> Path:
    """Return the folder of a plug-in's library; raises InputError where there is none."""
    top, *inner = point.module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, *inner)
        if any(os.path.isdir(folder / shelf) for shelf in ("arch", "workloads")):
            return folder
    reason = "no such package" if spec is None else "the package has no folder arch or workloads"
    raise InputError.of(f"cannot read library '{point.name}' from {declaration(point)}: {reason}")


def folders() -> list[Path]:
    """Return the folders of all libraries, accelsim's own first, without those that are not there."""
    return _libraries()[0]


def _libraries() -> tuple[list[Path], list[Problem]]:
    """Return the folders of all libraries, and why others have none."""
    found, problems = [root()], []
    for point in plugin_points():
        try:
            found.append(folder_of(point))
        except InputError as error:
            problems += error.problems
    return list(dict.fromkeys(found)), problems


def find(name: str | Path, folder: str, suffix: str = ".yaml") -> Path:
    """Return the file that a name or a path stands for.

    A path that exists wins; a bare name that is no file is looked up in ``folder`` (such as ``arch`` or ``arch/cost``)
    of the libraries. Raises InputError with the nearest name, and where two libraries have one of that name.
    """
    path = Path(name)
    bare = path.name == str(path)
    # Unlike the methods of Path these say no to a name that no file can have.
    if not str(name):
        raise InputError.of(f"no name of {_article(_SHELVES.get(folder, folder))}, found an empty text")
    if os.path.isdir(path) and not bare:
        raise InputError.of(f"{path} is a directory, expected a file")
    if os.path.isfile(path) or (os.path.exists(path) and not bare):
        return path
    if not bare:
        raise InputError.of(f"no such file: {path}", hint=did_you_mean(path.stem, names(folder, suffix)))
    what, file = _SHELVES.get(folder, folder), path.name if path.suffix == suffix else path.name + suffix
    if found := _only(what, str(name), [place / folder / file for place in folders()]):
        return found
    raise _unknown(f"no {what} named '{name}', and no such file", did_you_mean(path.stem, names(folder, suffix)))


def find_workload(name: str | Path) -> Path:
    """Return the workload file that a name, a folder or a path stands for; raises InputError as `find` does.

    ``s4d_digits`` is its folder's workload.yaml, ``s4d_digits/5bit`` the file 5bit.yaml beside it.
    """
    path = Path(name)
    for candidate in (path, path / "workload.yaml"):
        if os.path.isfile(candidate):
            return candidate
    shelves = [place / "workloads" for place in folders()]
    pairs = [(shelf / path / "workload.yaml", shelf / f"{path}.yaml") for shelf in shelves]
    if found := _only("workload", str(name), [folder if os.path.isfile(folder) else file for folder, file in pairs]):
        return found
    if os.path.isdir(path):
        raise InputError.of(f"no workload.yaml in the folder {name}")
    hint = did_you_mean(path.stem, workload_names())
    raise _unknown(f"no workload named '{name}', and no such file or folder", hint)


def names(folder: str, suffix: str = ".yaml") -> list[str]:
    """Return the names that `find` knows in a folder of the libraries, sorted."""
    return sorted({path.stem for place in folders() for path in (place / folder).glob(f"*{suffix}")})


def workload_names() -> list[str]:
    """Return the names that `find_workload` knows, sorted."""
    return sorted({path.parent.name for place in folders() for path in place.glob("workloads/*/workload.yaml")})


def _only(what: str, name: str, candidates: list[Path]) -> Path | None:
    """Return the candidate that exists; raises InputError where two do."""
    found = [path for path in dict.fromkeys(candidates) if os.path.isfile(path)]
    if len(found) > 1:
        files = " and ".join(map(str, found))
        raise InputError.of(f"two libraries have {_article(what)} named '{name}': {files}", hint="give the path of one")
    return found[0] if found else None


def _article(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _unknown(message: str, hint: str | None) -> InputError:
    """The error of a name that no library has; one that cannot be read might have had it."""
    return InputError([Problem(message, hint=hint), *_libraries()[1]])
