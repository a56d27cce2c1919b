"""The sequencer: it starts each block and decides how the time steps are run."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class Controller(ComponentSpec):
    """Finite-state machine of the chip.

    ``time_steps``: ``parallel`` gives each time step PE sets of its own, so that a row is fetched once for all;
    ``sequential`` runs one time step after the other on all sets.
    """

    kind: Literal["controller"]
    effects = {
        "cycles_per_dispatch": Effect(cycles="more", given="what its state machine takes for a block"),
    }
    time_steps: Literal["parallel", "sequential"] = "parallel"
    cycles_per_dispatch: PositiveInt = 1

    def flip_flops(self) -> int:
        """Return 256: half of its 3,000 gates, six to a flip-flop: an assumption."""
        return 256


def service_cycles(spec: Controller, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = dispatches * cycles_per_dispatch; it works one block ahead of the datapath."""
    return counts["dispatch"] * spec.cycles_per_dispatch


component_kind("controller", Controller, {"dispatch": "one block started"}, service_cycles)
