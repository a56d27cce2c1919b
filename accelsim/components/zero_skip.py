"""Zero-skip units: they find the inputs that are not zero and hand out row addresses."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class ZeroSkip(ComponentSpec):
    """``units`` selectors over ``width`` inputs each.

    ``skip_inputs``: Type A, zero bits of the input features. ``skip_spikes``: Type B, inputs without a spike.
    ``merge_spikes``: Type C, the readout adds the spikes of all time steps at once. Without skipping every row is
    broadcast (Type D), which the recurrent layers always use when two time steps run side by side.
    """

    kind: Literal["zero_skip"]
    effects = {
        "width": Effect(energy="more", area="more", spare="more selectors than inputs"),
        "units": Effect(counts="either", cycles="less", energy="more", area="more", spare="more selectors than inputs"),
    }
    width: PositiveInt
    units: PositiveInt = 1
    skip_inputs: bool = True
    skip_spikes: bool = True
    merge_spikes: bool = True

    def instances(self) -> int:
        return self.units

    def flip_flops(self) -> int:
        """Return width: the inputs that are still to be handed out."""
        return self.width


def service_cycles(spec: ZeroSkip, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = steps: every unit selects one row (or one bit of a row) per cycle."""
    return counts["steps"]


component_kind(
    "zero_skip",
    ZeroSkip,
    {"select": "one unit finds the next input that is not zero"},
    service_cycles,
    {"steps": "rows that are selected, one after the other"},
)
