"""Readout accumulation: adds the partial sums of the PE sets and holds the result of a group."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class Accumulator(ComponentSpec):
    """``units`` saturating adders of ``width_bits`` behind the PE sets, each with its output register.

    On chips with tiles the ``units`` stand in each of ``tiles`` tiles.
    """

    kind: Literal["accumulator"]
    effects = {
        "tiles": Effect(energy="more", area="more", spare="tiles that no matrix lies on"),
        "units": Effect(counts="less", cycles="less", energy="more", area="more", spare="more adders than results"),
        "width_bits": Effect(
            values="either", counts="either", cycles="either", energy="more", area="more", spare="wider words than sums"
        ),
        "cycles_per_group": Effect(cycles="more", given="what an adder with its register takes at this clock"),
    }
    tiles: PositiveInt = 1
    units: PositiveInt
    width_bits: Annotated[int, Ge(2), Le(62)]
    cycles_per_group: PositiveInt = 1

    def instances(self) -> int:
        return self.tiles * self.units

    def flip_flops(self) -> int:
        """Return width_bits, of the output register."""
        return self.width_bits


def service_cycles(spec: Accumulator, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = groups * cycles_per_group."""
    return counts["groups"] * spec.cycles_per_group


component_kind(
    "accumulator",
    Accumulator,
    {"add": "one addition of two partial sums", "write": "one result put into its output register"},
    service_cycles,
    {"groups": "groups of results that are added one after the other"},
)
