"""Sample-and-hold: keeps the column currents of a read while the next one begins."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class SampleHold(ComponentSpec):
    """``units`` capacitors in each of ``tiles`` tiles, one per column and plane."""

    kind: Literal["sample_hold"]
    effects = {
        "tiles": Effect(energy="more", area="more", spare="tiles that no matrix lies on"),
        "units": Effect(energy="more", area="more", spare="more capacitors than columns"),
    }
    tiles: PositiveInt
    units: PositiveInt

    def instances(self) -> int:
        return self.tiles * self.units

    def flip_flops(self) -> int:
        """Return 0: capacitors and switches."""
        return 0


def service_cycles(spec: SampleHold, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = phases: all columns are sampled together at the end of a read."""
    return counts["phases"]


component_kind(
    "sample_hold", SampleHold, {"sample": "one column sampled"}, service_cycles, {"phases": "reads that are sampled"}
)
