"""What every memristor device promises, whatever it is: asked of each file of the library."""

from __future__ import annotations

from accelsim.library import names
from accelsim.testing import DeviceContract


class TestDevices(DeviceContract):
    files = names("arch/devices")


class TestDevicesOfSeveralLevels(DeviceContract):
    files = ("ideal", "gaussian", "synaptogen")
    cell_bits = (2, 3)
