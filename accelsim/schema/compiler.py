"""The grammar of how a graph is compiled for an NPU: layout, splits, attention, and what falls back to the CPU."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from accelsim.schema.parse import Model

Layout = Literal["BC1S", "BSC"]
OpName = str
"""The name of any kind of op; whether there is one is checked where the network meets the chip."""


class Compiler(Model):
    """What a compiler makes of a graph: the three principles of arXiv 2312.10359, each a switch.

    ``layout``: tensors as (batch, channels, 1, frames) or as (batch, frames, channels). ``fallback``: by layout, the
    ops that the NPU does not take in it; they run on the CPU, with copies there and back. ``cpu``: the ops for which it
    has a kernel, all if nothing is said. ``split``: whether a group of ops may go through a chunk piece by piece, so
    that what lies between them stays in L2. ``attention``: a product per head (einsum), or batched products, whose
    operands have to be transposed first. ``weights``: whether they come from LPDDR anew in every chunk, or once, in the
    first chunk of a run, and stay in L2 beside all tensors and all state; a network for which L2 has no such room is
    refused.
    """

    layout: Layout = "BC1S"
    split: bool = True
    attention: Literal["einsum", "batched"] = "einsum"
    weights: Literal["streamed", "resident"] = "streamed"
    fallback: dict[Layout, list[OpName]] = {}
    cpu: list[OpName] | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Compiler:
        for layout, ops in self.fallback.items():
            if twice := next((op for op in ops if ops.count(op) > 1), None):
                raise ValueError(f"fallback of {layout} names '{twice}' twice")
        return self

    def falls_back(self, op: str) -> bool:
        """Return whether an op runs on the CPU."""
        return op in self.fallback.get(self.layout, [])

    def on_cpu(self, op: str) -> bool:
        """Return whether the CPU has a kernel for an op."""
        return self.cpu is None or op in self.cpu
