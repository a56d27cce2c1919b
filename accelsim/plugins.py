"""Plug-ins: files for an experiment, what is registered by whom, and what of it a run used."""

from __future__ import annotations

from typing import Any

from accelsim.components import KINDS
from accelsim.data import DATASETS
from accelsim.devices import DEVICES
from accelsim.ops.op import OPS
from accelsim.registry import Registry
from accelsim.score.score import SCORES


def registries() -> list[Registry[Any]]:
    """Return all registries that a plug-in may add to."""
    return [OPS, KINDS, DEVICES, SCORES, DATASETS]
