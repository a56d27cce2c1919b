"""The pieces of hardware: one file a kind, each with its Spec, its actions and its service time.

A kind registers itself by calling `component_kind`; importing this package imports every file beside this one,
so a new component is one new file.
"""

from __future__ import annotations

import importlib
import pkgutil

from accelsim.components.kind import KINDS, ComponentSpec, Counts, Kind, component_kind

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["KINDS", "ComponentSpec", "Counts", "Kind", "component_kind"]
