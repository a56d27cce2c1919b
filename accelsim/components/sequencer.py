"""Sequencer: it runs the steps of a compiled network in order, one at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class Sequencer(ComponentSpec):
    """Reads a step, sets the units up for it in ``cycles_per_step``, and goes on when they are done."""

    kind: Literal["sequencer"]
    effects = {
        "cycles_per_step": Effect(cycles="more", energy="more", given="what setting the units up takes"),
    }
    cycles_per_step: PositiveInt = 1

    def flip_flops(self) -> int:
        """Return 2,000: an assumption."""
        return 2000


def service_cycles(spec: Sequencer, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = steps * cycles_per_step."""
    return counts["step"] * spec.cycles_per_step


component_kind("sequencer", Sequencer, {"step": "one step read and its units set up"}, service_cycles)
