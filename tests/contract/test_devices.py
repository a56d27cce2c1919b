"""What every memristor device promises, whatever it is: asked of each file of the library."""

from __future__ import annotations

from accelsim.devices import load_device
from accelsim.library import names
from accelsim.testing import DeviceContract


class TestDevices(DeviceContract):
    files = names("arch/devices")


class TestDevicesOfSeveralLevels(DeviceContract):
    files = ("ideal", "gaussian", "synaptogen")
    cell_bits = (2, 3)


MEASURED = tuple(name for name in names("arch/devices") if load_device(name).kind == "measured")


class TestMeasuredDevicesOfSeveralLevels(DeviceContract):
    files = tuple(name for name in MEASURED if name != "mram_stt")
    """But those whose file gives levels for one bit alone."""
    cell_bits = (2, 3)
