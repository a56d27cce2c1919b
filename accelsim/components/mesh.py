"""A mesh of routers between tiles: the words of a transfer go along its row first, then along its column."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.abstract import Interconnect
from accelsim.components.kind import Counts, component_kind
from accelsim.schema import Effect, PositiveLength


class Mesh(Interconnect):
    """``columns`` x ``rows`` routers, one for each tile, row by row; neighbours are joined by a link each way.

    A transfer holds every link of its way (XY routing, circuit switched) from the first word to the last. Links are
    ``width_bits`` wide and ``length`` long and carry one word per cycle; a router takes ``cycles_per_hop``.
    """

    kind: Literal["mesh"]
    effects = {
        "columns": Effect(counts="either", cycles="either", energy="more", area="more"),
        "rows": Effect(counts="either", cycles="either", energy="more", area="more"),
        "length": Effect(energy="more", area="more", given="the floor plan's"),
        "cycles_per_hop": Effect(cycles="more", given="what a router takes at this clock"),
        "width_bits": Effect(counts="less", cycles="less", energy="more", area="more"),
    }
    columns: PositiveInt
    rows: PositiveInt
    length: PositiveLength
    cycles_per_hop: Annotated[int, Ge(0)] = 1

    def instances(self) -> int:
        return self.columns * self.rows

    def places(self) -> int:
        return self.instances()

    def way(self, name: str, start: int, end: int) -> tuple[str, ...]:
        return tuple(f"{name}[{a}>{b}]" for a, b in self.route(start, end))

    def transfers(self, words: Any, links: int) -> dict[str, Any]:
        return {"transfer": words, "route": words, "hops": links}

    def route(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the links from router ``start`` to router ``end`` as pairs of neighbours: along the row, then down."""
        way = [start]
        while way[-1] % self.columns != end % self.columns:
            way.append(way[-1] + (1 if way[-1] % self.columns < end % self.columns else -1))
        while way[-1] != end:
            way.append(way[-1] + (self.columns if way[-1] < end else -self.columns))
        return list(pairwise(way))

    def flip_flops(self) -> int:
        """Return 5 width_bits: a word for each of four links and of the tile."""
        return 5 * self.width_bits


def service_cycles(spec: Mesh, counts: Counts) -> NDArray[np.int64]:
    """Return the cycles that a transfer holds a link: words + hops of the whole way * cycles_per_hop."""
    return counts["transfer"] + counts["hops"] * spec.cycles_per_hop


component_kind(
    "mesh",
    Mesh,
    {"transfer": "one word moved over one link", "route": "one word passed on by a router"},
    service_cycles,
    {"hops": "links of the whole way"},
)
