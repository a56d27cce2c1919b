"""Graphs on a mobile neural processor, chunk by chunk."""

from accelsim.engines.npu.engine import Npu

__all__ = ["Npu"]
