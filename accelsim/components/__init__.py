"""The pieces of hardware: one file a kind, each with its Spec, its actions and its service time.

A kind registers itself by calling `component_kind`. `KINDS` imports the files of this folder when a kind is first asked
for, and a plug-in's file when that kind is, so a new component is one new file, here or in another package.
"""

from accelsim.components.kind import KINDS, ComponentSpec, Counts, Kind, component_kind
from accelsim.schema import Effect

__all__ = ["KINDS", "ComponentSpec", "Counts", "Effect", "Kind", "component_kind"]
