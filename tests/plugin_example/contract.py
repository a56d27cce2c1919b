"""The parts pass accelsim's own suites: python -m pytest contract.py, with the package installed."""

from accelsim.ops.op import Edge
from accelsim.testing import ComponentContract, DeviceContract, EngineContract, OpCase, OpContract


class TestComponents(ComponentContract):
    names = ("flash_adc", "activation_unit")
    keys = {"flash_adc": {"thresholds": "[-1, 0.5, 1]"}}
    costs = ("flash28",)


class TestDevice(DeviceContract):
    files = ("log_normal",)
    cell_bits = (1, 2)


class TestEngine(EngineContract):
    cases = {"activation": [("flash_tile", "flash_frames")]}


class TestOp(OpContract):
    cases = {"hard_swish": [OpCase({"input": "x"}, {"x": edge}) for edge in (Edge(6), Edge(6, kind="codes", bits=32))]}
