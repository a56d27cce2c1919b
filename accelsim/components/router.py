"""A tile's router: its way to the other tiles of a chip."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, Width, component_kind
from accelsim.schema import Effect


class Router(ComponentSpec):
    """A router with ``ports`` ports of ``flit_bits``, which ``shared_by`` tiles have in common; one flit per cycle."""

    kind: Literal["router"]
    effects = {
        "ports": Effect(energy="more", area="more"),
        "flit_bits": Effect(energy="more", area="more"),
        "shared_by": Effect(energy="less", area="less"),
    }
    ports: PositiveInt
    flit_bits: Width
    shared_by: PositiveInt = 1

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"port_bits": self.ports * self.flit_bits, "share": 1 / self.shared_by}

    def flip_flops(self) -> int:
        """Return ports * flit_bits: a flit for each port."""
        return self.ports * self.flit_bits


def service_cycles(spec: Router, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = flits."""
    return counts["flit"]


component_kind("router", Router, {"flit": "one flit passed on"}, service_cycles)
