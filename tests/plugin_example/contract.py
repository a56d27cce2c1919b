"""The parts pass accelsim's own suites: python -m pytest contract.py, with the package installed."""

from accelsim.testing import ComponentContract, DeviceContract, EngineContract


class TestComponents(ComponentContract):
    names = ("flash_adc", "activation_unit")
    keys = {"flash_adc": {"thresholds": "[-1, 0.5, 1]"}}
    costs = ("flash28",)


class TestDevice(DeviceContract):
    files = ("log_normal",)
    cell_bits = (1, 2)


class TestEngine(EngineContract):
    cases = {"activation": [("flash_tile", "flash_frames")]}
