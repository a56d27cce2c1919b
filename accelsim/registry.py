"""Registries: what accelsim can be extended by, looked up on first need; built-ins and plug-ins register alike.

A file that defines an entry registers it at module level. Which file that is stands in an entry point of its
distribution, so nothing is imported before it is asked for:

    [project.entry-points."accelsim.components"]
    flash_adc = "my_package.flash_adc"

The entry point's name is the name that the module registers. Its value is a module, or a package, of which every module
is imported. accelsim's own entry point is called ``builtin``: all files of that package are imported at once, so a new
built-in is one new file.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
import sys
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

from accelsim.errors import InputError, Problem, did_you_mean

T = TypeVar("T")

OWN_DISTRIBUTION = "accelsim-speech"
BUILTIN = "builtin"
"""Name of accelsim's own entry point of each group."""


class UnknownNameError(InputError, KeyError):
    """No such name in a registry: bad input, and a mapping's missing key."""


@dataclass(frozen=True)
class Origin:
    """Where an entry comes from: its distribution (None for a single file), and the module that registers it."""

    distribution: str | None
    version: str | None
    module: str
    file: str | None

    @property
    def builtin(self) -> bool:
        """Whether the entry is part of accelsim itself."""
        return self.distribution == OWN_DISTRIBUTION

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the module's source file; None where the module has no file to read."""
        if self.file is None or not os.path.isfile(self.file):
            return None
        return hashlib.sha256(Path(self.file).read_bytes()).hexdigest()

    def __str__(self) -> str:
        if self.distribution is None:
            return self.module if self.file is None else self.file
        return f"{self.distribution} {self.version} ({self.module})"


@dataclass(frozen=True)
class _Registered(Generic[T]):
    entry: T
    module: str
    file: str | None


class Registry(Mapping[str, T]):
    """The entries of one group of entry points by name, imported when they are asked for.

    ``what`` names an entry in messages ("kind of component"); ``builtin`` is the package of accelsim's own entries, for
    an installation whose metadata lack the entry point (a source tree on the path, an editable install of before).

    ``registry[name]``, `origin` and `register` raise InputError: for a name that nobody registers (then also a
    KeyError), for one that two register, and for a plug-in that fails to import. That one hurts nobody else.
    """

    def __init__(self, group: str, what: str, builtin: str | None = None) -> None:
        self.group = group
        self.what = what
        self._builtin = builtin
        self._registered: dict[str, _Registered[T]] = {}
        self._found: dict[str, _Registered[T]] = {}
        self._errors: dict[str, InputError] = {}
        self._points: tuple[list[str], list[metadata.EntryPoint]] | None = None
        self._builtins_loaded = False

    # A registry is one place, not a value: what it holds grows.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it; for the module level of the file that defines it."""
        module, file = _defining_module()
        if not self._is_builtin(module):
            self._load_builtins()
        new = _Registered(entry, module, file)
        if name in self._registered:
            raise self._twice(name, self._origin_of(self._registered[name]), self._origin_of(new))
        self._registered[name] = new
        return entry

    def __getitem__(self, name: str) -> T:
        if name not in self._found:  # found once, an entry is asked for very often
            self._found[name] = self._find(name)
        return self._found[name].entry

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def items(self) -> ItemsView[str, T]:
        """Return all entries with their names, without the plug-ins that cannot be loaded: nobody asked for them."""
        return self._loadable().items()

    def values(self) -> ValuesView[T]:
        """Return all entries, without the plug-ins that cannot be loaded."""
        return self._loadable().values()

    def loaded(self) -> dict[str, T]:
        """Return accelsim's own entries, and those of the plug-ins that have been imported so far."""
        self._load_builtins()
        return {name: self[name] for name, one in self._registered.items() if name not in self._errors}

    def names(self) -> list[str]:
        """Return all names, accelsim's own first; imports no plug-in."""
        self._load_builtins()
        return list(dict.fromkeys([*self._registered, *(point.name for point in self._plugin_points())]))

    def origin(self, name: str) -> Origin:
        """Return where an entry comes from."""
        return self._origin_of(self._find(name))

    def declared(self, name: str) -> list[Origin]:
        """Return who registers or declares a name, without importing a plug-in: two of them are an error when asked."""
        found = [self._origin_of(self._registered[name])] if name in self._registered else []
        for point in self._plugin_points():
            origin = origin_of_point(point)
            if point.name == name and origin.distribution not in [one.distribution for one in found]:
                found.append(origin)
        return found

    def forget_failed(self) -> None:
        """Drop what modules registered before they failed: Python forgets them, and half of a file is none."""
        self._registered = {name: one for name, one in self._registered.items() if one.module in sys.modules}

    def _loadable(self) -> dict[str, T]:
        found = {}
        for name in self.names():
            try:
                found[name] = self[name]
            except InputError:
                continue
        return found

    def _find(self, name: str) -> _Registered[T]:
        self._load_builtins()
        if name in self._errors:
            raise self._errors[name]
        points = [point for point in self._plugin_points() if point.name == name]
        if name not in self._registered:
            if not points:
                raise UnknownNameError(
                    [Problem(f"unknown {self.what} '{name}'", hint=did_you_mean(name, self.names()))]
                )
            self._load_plugin(points[0])
        for point in points:
            found, origin = self._origin_of(self._registered[name]), origin_of_point(point)
            if origin.distribution != found.distribution:
                self._errors[name] = self._twice(name, found, origin)
                raise self._errors[name]
        return self._registered[name]

    def _load_plugin(self, point: metadata.EntryPoint) -> None:
        before = set(self._registered)
        try:
            _import(point.module)
            if point.name in self._registered:
                return
            new = [name for name in self._registered if name not in before]
            reason = f"it registers {', '.join(map(repr, new)) or 'nothing'}, not '{point.name}'"
        except InputError as error:
            reason = str(error)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
        self.forget_failed()
        message = f"cannot load {self.what} '{point.name}' from {declaration(point)}: {reason}"
        self._errors[point.name] = InputError.of(message)
        raise self._errors[point.name]

    def _load_builtins(self) -> None:
        if self._builtins_loaded:
            return
        for package in self._declared()[0]:
            _import(package)
        self._builtins_loaded = True

    def _is_builtin(self, module: str) -> bool:
        return any(f"{module}.".startswith(f"{package}.") for package in self._declared()[0])

    def _plugin_points(self) -> list[metadata.EntryPoint]:
        return self._declared()[1]

    def _declared(self) -> tuple[list[str], list[metadata.EntryPoint]]:
        """Return accelsim's own packages and the entry points of plug-ins, which are looked up once."""
        if self._points is None:
            points = entry_points(self.group)
            own = [point.module for point in points if is_own(point)]
            fallback = [] if self._builtin is None else [self._builtin]
            self._points = own or fallback, [point for point in points if not is_own(point)]
        return self._points

    def _origin_of(self, registered: _Registered[T]) -> Origin:
        module = registered.module
        if self._is_builtin(module):
            return Origin(OWN_DISTRIBUTION, _own_version(), module, registered.file)
        for point in self._plugin_points():
            if f"{module}.".startswith(f"{point.module}."):
                origin = origin_of_point(point)
                return Origin(origin.distribution, origin.version, module, registered.file)
        return Origin(None, None, module, registered.file)

    def _twice(self, name: str, first: Origin, second: Origin) -> InputError:
        return InputError.of(f"two plug-ins register the {self.what} '{name}': {first} and {second}")


def _defining_module() -> tuple[str, str | None]:
    """Return the name and the file of the module whose body is being executed: the nearest one up the stack."""
    frame = sys._getframe(2)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals["__name__"], frame.f_globals.get("__file__")


def _import(name: str) -> None:
    """Import a module; of a package each of its modules as well."""
    module = importlib.import_module(name)
    for part in pkgutil.iter_modules(getattr(module, "__path__", ())):
        importlib.import_module(f"{name}.{part.name}")


def entry_points(group: str) -> list[metadata.EntryPoint]:
    """Return the entry points of a group of all installed distributions, by name; imports nothing."""
    return sorted(_entry_points(tuple(sys.path)).select(group=group), key=lambda point: point.name)


@cache  # reading the metadata of every distribution takes long, so all groups are read at once
def _entry_points(path: tuple[str, ...]) -> Any:  # SelectableGroups in Python 3.11, EntryPoints since
    return metadata.entry_points()


def is_own(point: metadata.EntryPoint) -> bool:
    """Return whether an entry point is accelsim's own one of its group."""
    return point.name == BUILTIN and point.dist is not None and _name_of(point.dist) == OWN_DISTRIBUTION


@cache  # a name is read from a file each time
def _name_of(distribution: metadata.Distribution) -> str:
    return distribution.name


def _own_version() -> str:
    from accelsim import __version__

    return __version__


def declaration(point: metadata.EntryPoint) -> str:
    """Return who declares an entry point, and how, for messages."""
    origin = origin_of_point(point)
    return f"{origin.distribution} {origin.version}, entry point {point.name} = {point.value} of {point.group}"


def origin_of_point(point: metadata.EntryPoint) -> Origin:
    """Return where an entry point leads, as far as its distribution says."""
    distribution = point.dist
    name, version = (None, None) if distribution is None else (distribution.name, distribution.version)
    return Origin(name, version, point.module, None)
