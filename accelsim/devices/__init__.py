"""Memristor cells: what a YAML file may say about them, how they are programmed, and what current they carry.

Whatever the device, a programmed cell is one number, its state r, and its current is linear in it:
I(V) = LL(V) (1 - r) + HH(V) r, see `accelsim.kernels.crossbar.Curves`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from accelsim.devices.device import DEVICES, Device, Drift, Programmed, Pulse, program_mixed
from accelsim.devices.gaussian import Gaussian
from accelsim.devices.ideal import Ideal
from accelsim.devices.measured import Measured
from accelsim.devices.synaptogen import Synaptogen, Verify
from accelsim.library import find
from accelsim.schema import Registered, Source, check_schema_tag, load_yaml, parse

__all__ = [
    "DEVICES",
    "WHOLE_NUMBERS",
    "AnyDevice",
    "Device",
    "Drift",
    "Gaussian",
    "Ideal",
    "Measured",
    "Programmed",
    "Pulse",
    "Synaptogen",
    "Verify",
    "load_device",
    "parse_device",
    "program_mixed",
]

AnyDevice = Annotated[Device, Registered(DEVICES)]


WHOLE_NUMBERS = Ideal(kind="ideal", name="whole numbers", source="exact", lowest="5 uS", highest="50 uS")
"""Stands for the cells of a chip that computes with integers: the same equations, without an error."""


def load_device(name: str | Path) -> Device:
    """Return the device that a name (`synaptogen`) or a path stands for; raises InputError with all its problems."""
    return parse_device(load_yaml(find(name, "arch/devices")))


def parse_device(source: Source) -> Device:
    """Return the device of a file of schema ``accelsim/device@1``; raises InputError with all its problems."""
    check_schema_tag(source, "device")
    return parse(AnyDevice, source)  # type: ignore[type-abstract]
