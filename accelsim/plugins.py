"""Plug-ins: files for an experiment, what is registered by whom, and what of it a run used."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim import library
from accelsim.architecture import Architecture
from accelsim.components import KINDS
from accelsim.data import DATASETS
from accelsim.devices import DEVICES
from accelsim.errors import InputError
from accelsim.ops.op import OPS
from accelsim.placement import ENGINES, place
from accelsim.registry import Origin, Registry, origin_of_point
from accelsim.result import PluginRecord
from accelsim.schema.workload import RecordedInputs
from accelsim.score.score import SCORES
from accelsim.workload import Workload

_FILES: dict[str, str] = {}  # path -> name of the module
_LOADING = threading.RLock()


def registries() -> list[Registry[Any]]:
    """Return all registries that a plug-in may add to."""
    from accelsim.importers.importer import IMPORTERS  # a run imports no model, and need not wait for this

    return [OPS, ENGINES, KINDS, DEVICES, SCORES, DATASETS, IMPORTERS]


def load_plugin(path: str | Path) -> None:
    """Run a Python file that registers entries, once in a process; sweeps run it in their workers too.

    Raises InputError, with the line of the file, when it fails or registers a name that is taken.
    """
    file = Path(path).resolve()
    with _LOADING:
        if str(file) in _FILES:
            return
        if not os.path.isfile(file) or file.suffix != ".py":
            raise InputError.of(f"no such plug-in: {path}", hint="--plugin takes a Python file, FILE.py")
        name = f"accelsim_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None, "a path that ends in .py has a loader"
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            for registry in registries():
                registry.forget_failed()
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            raise InputError.of(f"cannot load plug-in: {reason}", file=path, line=_line_of(error, file)) from None
        _FILES[str(file)] = name


def loaded_files() -> tuple[str, ...]:
    """Return the paths of the files that `load_plugin` has run, in order."""
    return tuple(_FILES)


@dataclass(frozen=True)
class Listed:
    """An entry of a registry or a library: where it comes from, and why it cannot be had, if so."""

    group: str
    name: str
    origin: Origin
    error: str | None


def listing() -> list[Listed]:
    """Return all entries of all registries, and the plug-ins' libraries; imports every plug-in."""
    found = []
    for registry in registries():
        for name in registry.names():
            error = None
            try:
                registry[name]
            except InputError as problem:
                error = str(problem)
            found += [Listed(registry.group, name, origin, error) for origin in registry.declared(name)]
    for point in library.plugin_points():
        error = None
        try:
            library.folder_of(point)
        except InputError as problem:
            error = str(problem)
        found.append(Listed(library.GROUP, point.name, origin_of_point(point), error))
    return found


def used(network: Workload, chip: Architecture) -> list[PluginRecord]:
    """Return the entries of plug-ins, none of accelsim's own, that a network on a chip consists of."""
    placement = place(network, chip)
    engines = [placement.sites[site].kind.kind for site in placement.engine_of.values()]
    ops = [item.op for item in (*network.spec.graph, *network.graph.ops)]
    score, inputs = network.spec.score, network.spec.inputs
    asked: list[tuple[Registry[Any], list[str]]] = [
        (OPS, ops),
        (ENGINES, engines),
        (KINDS, [spec.kind for spec in chip.components().values()]),
        (DEVICES, [device.kind for device in chip.devices.values()]),
        (SCORES, [] if score is None else [score.kind]),
        (DATASETS, [inputs.dataset] if isinstance(inputs, RecordedInputs) else []),
    ]
    found = []
    for registry, names in asked:
        for name in dict.fromkeys(names):
            origin = registry.origin(name)
            if not origin.builtin:
                module = origin.module if origin.distribution or origin.file is None else Path(origin.file).name
                found.append(
                    PluginRecord(
                        group=registry.group,
                        name=name,
                        distribution=origin.distribution,
                        version=origin.version,
                        module=module,
                        sha256=origin.sha256,
                    )
                )
    return found


def _line_of(error: BaseException, file: Path) -> int | None:
    """Return the line of a file where an error arose while it ran."""
    if isinstance(error, SyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return lines[-1] if lines else None
