"""The block diagram of a chip: its components in layers, the channels between them, as SVG that needs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

from accelsim.result import ChannelRecord

BOX_WIDTH, BOX_HEIGHT = 136.0, 58.0
_GAP, _LANE, _ROW_GAP, _MARGIN = 22.0, 12.0, 46.0, 14.0
"""Between two boxes, for a line that passes between boxes, between rows, and around it all."""
_SWEEPS = 24

_Place = str | tuple[int, int]
"""What stands in a row: a component by its name, or the lane of a link by its number and the row."""


@dataclass(frozen=True)
class Link:
    """What joins two components: tokens or lock-step work from ``start`` to ``end``, and back if ``both``."""

    start: str
    end: str
    lockstep: bool
    both: bool
    about: str


@dataclass(frozen=True)
class Wire:
    """A link as it is drawn: an SVG path from its start to its end."""

    link: Link
    path: str


@dataclass(frozen=True)
class Drawing:
    """Where all is drawn, in pixels: the upper left corner of each component's box, and the wires."""

    width: float
    height: float
    boxes: Mapping[str, tuple[float, float]]
    wires: Sequence[Wire]


def links_of(components: Sequence[str], channels: Sequence[ChannelRecord]) -> list[Link]:
    """Return what joins components, one link for each pair of them and each kind."""
    known = set(components)
    found: dict[tuple[str, str, bool], list[str]] = {}
    for channel in channels:
        if {channel.from_, channel.to} <= known:
            about = f"{channel.from_} → {channel.to}, "
            if channel.lockstep:
                about += "in lock-step"
            else:
                about += f"at most {channel.most_tokens:,} tokens held" + (
                    f", over {channel.over}" if channel.over else ""
                )
            found.setdefault((channel.from_, channel.to, channel.lockstep), []).append(about)
    links: list[Link] = []
    for (start, end, lockstep), told in found.items():
        back = found.get((end, start, lockstep), []) if start != end else []
        if not any((one.start, one.end, one.lockstep) == (end, start, lockstep) for one in links if start != end):
            links.append(Link(start, end, lockstep, bool(back), "\n".join([*told, *back])))
    return links


def draw(components: Sequence[str], links: Sequence[Link], width: float) -> Drawing:
    """Return the drawing of components and their links, of the given width or, where lines need more, wider.

    Layered from above to below (Sugiyama, Tagawa and Toda 1981): what feeds a component lies above it but for the links
    that close a cycle; a row has no more boxes than fit; a link over several rows has a lane of its own in each of
    them, so that no line ever crosses a box.
    """
    most = max(int((width - 2 * _MARGIN + _GAP) // (BOX_WIDTH + _GAP)), 1)
    down = _without_cycles(components, [link for link in links if link.start != link.end])
    while True:
        layout = _Layout(components, down, most)
        needed = max(layout.needed(row) for row in layout.rows) + 2 * _MARGIN if layout.rows else width
        if needed <= width or most == 1:
            break
        most -= 1
    return layout.drawing(max(width, needed), links)


def _without_cycles(components: Sequence[str], links: Sequence[Link]) -> list[tuple[str, str, Link]]:
    """Return every link as (upper, lower, link); those that close a cycle as one walks along the links are turned."""
    after: dict[str, list[Link]] = {name: [] for name in components}
    fed = {link.end for link in links}
    for link in links:
        after[link.start].append(link)
    done: set[str] = set()
    turned: list[tuple[str, str, Link]] = []

    def visit(first: str) -> None:
        on_path, stack = {first}, [(first, iter(after[first]))]
        done.add(first)
        while stack:
            name, rest = stack[-1]
            for link in rest:
                if link.end in on_path:
                    turned.append((link.end, link.start, link))
                    continue
                turned.append((link.start, link.end, link))
                if link.end not in done:
                    done.add(link.end)
                    on_path.add(link.end)
                    stack.append((link.end, iter(after[link.end])))
                    break
            else:
                on_path.discard(name)
                stack.pop()

    for name in (*(n for n in components if n not in fed), *components):
        if name not in done:
            visit(name)
    return turned


@dataclass
class _Layout:
    """Rows of boxes and lanes; a lane is the place of a link in a row that it passes."""

    components: Sequence[str]
    down: Sequence[tuple[str, str, Link]]
    most: int
    rows: list[list[_Place]] = field(default_factory=list)
    chains: list[tuple[Link, list[_Place], bool]] = field(default_factory=list)
    """Every link with what it passes from above to below, and whether it runs upwards."""

    def __post_init__(self) -> None:
        rank = self._ranks()
        self.rows = [[] for _ in range(max(rank.values(), default=-1) + 1)]
        for name in self.components:
            self.rows[rank[name]].append(name)
        for number, (upper, lower, link) in enumerate(self.down):
            lanes: list[_Place] = [(number, row) for row in range(rank[upper] + 1, rank[lower])]
            for row, lane in enumerate(lanes, rank[upper] + 1):
                self.rows[row].append(lane)
            self.chains.append((link, [upper, *lanes, lower], upper != link.start))
        self.above: dict[_Place, list[_Place]] = {name: [] for row in self.rows for name in row}
        self.below: dict[_Place, list[_Place]] = {name: [] for row in self.rows for name in row}
        for _, chain, _ in self.chains:
            for one, other in pairwise(chain):
                self.below[one].append(other)
                self.above[other].append(one)
        self._order()

    def _ranks(self) -> dict[str, int]:
        """Return the row of each component: below all that feed it, no more than ``most`` in one, sources lowered."""
        feeds: dict[str, dict[str, None]] = {name: {} for name in self.components}  # in the order of the file
        for upper, lower, _ in self.down:
            feeds[upper][lower] = None
        # From below, so that a source stands right above what it feeds.
        row: dict[str, int] = {}
        filled: dict[int, int] = {}
        for name in TopologicalSorter(feeds).static_order():
            place = max((row[other] + 1 for other in feeds[name]), default=0)
            while filled.get(place, 0) >= self.most:
                place += 1
            row[name] = place
            filled[place] = filled.get(place, 0) + 1
        lowest = max(row.values(), default=0)
        return {name: lowest - place for name, place in row.items()}

    def _order(self) -> None:
        """Order every row by the middle of its neighbours, down and up, and keep what crosses least."""
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for sweep in range(_SWEEPS):
            downwards = sweep % 2 == 0
            neighbours, before = (self.above, -1) if downwards else (self.below, 1)
            for rank in range(1, len(self.rows)) if downwards else range(len(self.rows) - 2, -1, -1):
                at = {name: place for place, name in enumerate(self.rows[rank + before])}
                own = {name: place for place, name in enumerate(self.rows[rank])}
                self.rows[rank].sort(key=partial(_middle, neighbours, at, own))
            if (crossings := self._crossings()) < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _crossings(self) -> int:
        total = 0
        for upper, lower in pairwise(self.rows):
            at = {name: place for place, name in enumerate(lower)}
            ends = [at[other] for name in upper for other in sorted(self.below[name], key=at.__getitem__)]
            total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
        return total

    def size(self, name: _Place) -> float:
        return BOX_WIDTH if isinstance(name, str) else _LANE

    def needed(self, row: Sequence[_Place]) -> float:
        """Return the least width of a row."""
        return sum(map(self.size, row)) + sum(self._between(a, b) for a, b in pairwise(row))

    def _between(self, one: _Place, other: _Place) -> float:
        return _GAP / 2 * (isinstance(one, str) + isinstance(other, str))

    def _places(self, width: float) -> dict[_Place, float]:
        """Return the middle of every box and lane: as near to its neighbours' as its row allows, by least squares."""
        at: dict[_Place, float] = {}
        for row in self.rows:
            left = (width - self.needed(row)) / 2
            for name, before in zip(row, [None, *row], strict=False):
                left += 0.0 if before is None else self._between(before, name)
                at[name] = left + self.size(name) / 2
                left += self.size(name)
        for sweep in range(_SWEEPS):
            order = self.rows if sweep % 2 == 0 else self.rows[::-1]
            for row in order:
                if not row:
                    continue
                wanted, offsets, reach = [], [], 0.0
                for place, name in enumerate(row):
                    near = [at[other] for other in (*self.above[name], *self.below[name])]
                    if place:
                        reach += self._between(row[place - 1], name) + (self.size(row[place - 1]) + self.size(name)) / 2
                    offsets.append(reach)
                    wanted.append((sum(near) / len(near) if near else at[name]) - reach)
                fitted = isotonic_regression(np.array(wanted)).x
                low = _MARGIN + self.size(row[0]) / 2
                high = width - _MARGIN - self.size(row[-1]) / 2 - offsets[-1]
                for name, place_, offset in zip(row, np.clip(fitted, low, max(low, high)), offsets, strict=True):
                    at[name] = float(place_ + offset)
        return at

    def drawing(self, width: float, links: Sequence[Link]) -> Drawing:
        at = self._places(width)
        top = {name: _MARGIN + rank * (BOX_HEIGHT + _ROW_GAP) for rank, row in enumerate(self.rows) for name in row}
        ports = self._ports(at)
        wires = []
        for number, (link, chain, upwards) in enumerate(self.chains):
            points: list[tuple[float, float]] = []
            for place, name in enumerate(chain):
                if place:
                    points.append((ports.get((number, name, "above"), at[name]), top[name]))
                if place < len(chain) - 1:
                    points.append((ports.get((number, name, "below"), at[name]), top[name] + BOX_HEIGHT))
            wires.append(Wire(link, _smooth(points[::-1] if upwards else points)))
        for link in links:
            if link.start == link.end:
                x, y = at[link.start] + BOX_WIDTH / 2, top[link.start]
                wires.append(Wire(link, f"M{x:.1f},{y + 18:.1f}c18,-14 18,36 0,22"))
        boxes = {name: (at[name] - BOX_WIDTH / 2, top[name]) for name in self.components}
        height = 2 * _MARGIN + len(self.rows) * (BOX_HEIGHT + _ROW_GAP) - _ROW_GAP
        return Drawing(width, height, boxes, wires)

    def _ports(self, at: Mapping[_Place, float]) -> dict[tuple[int, _Place, str], float]:
        """Return where each link meets the upper or the lower edge of a box, spread along it in order."""
        ends: dict[tuple[_Place, str], list[tuple[float, int]]] = {}
        for number, (_, chain, _) in enumerate(self.chains):
            ends.setdefault((chain[0], "below"), []).append((at[chain[1]], number))
            ends.setdefault((chain[-1], "above"), []).append((at[chain[-2]], number))
        found = {}
        for (name, side), others in ends.items():
            for place, (_, number) in enumerate(sorted(others), 1):
                found[number, name, side] = at[name] + BOX_WIDTH * (place / (len(others) + 1) - 0.5)
        return found


def _middle(
    neighbours: Mapping[_Place, Sequence[_Place]], at: Mapping[_Place, int], own: Mapping[_Place, int], name: _Place
) -> float:
    """Return the middle of the shares of their row at which something's neighbours lie, its own where it has none."""
    places = [(at[other] + 0.5) / len(at) for other in neighbours[name]]
    return sum(places) / len(places) if places else (own[name] + 0.5) / len(own)


def _smooth(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through points: curves that leave and arrive upright between rows, straight lines along boxes."""
    path = "M{:.1f},{:.1f}".format(*points[0])
    for place, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        if place % 2:
            path += f"L{x1:.1f},{y1:.1f}"
        else:
            bend = (y1 - y0) / 2
            path += f"C{x0:.1f},{y0 + bend:.1f} {x1:.1f},{y1 - bend:.1f} {x1:.1f},{y1:.1f}"
    return path
