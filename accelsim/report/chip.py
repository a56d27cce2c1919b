"""The pictures of a chip: block diagram, floor plan, and one frame in time, as plain data for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.report.diagram import Drawing, draw, links_of
from accelsim.report.headline import drawable, longest, portion, share
from accelsim.result import ComponentRecord, FrameRecord, Result
from accelsim.schema import format_si

WIDTHS = (560.0, 360.0)
"""Of the diagram in a wide and in a narrow window, in pixels."""
_PLAN_WIDTHS = (460.0, 330.0)
"""At least that wide is the floor plan in a wide and in a narrow window."""
_PLAN_SHAPE = 4 / 3
_LONGEST_NAME = 18
_STRONGEST = 0.6
"""How opaque the colour of the largest share is: names stay legible on it."""
MOST_DRAWN = 60
"""Components of a block diagram, and a quarter of its channels: it takes a second then, and nobody reads more."""
ENGINES = 6
"""Engines that have a colour of their own."""


@dataclass(frozen=True)
class Colour:
    """One thing that components are coloured by: its text in a box, and how opaque the colour there is."""

    by: str
    text: str
    opacity: float


@dataclass(frozen=True)
class Block:
    """A component as it is drawn; ``about``: what is shown when one points at it; ``engines``: places in the legend."""

    name: str
    short: str
    kind: str
    about: str
    colours: tuple[Colour, ...]
    engines: tuple[int, ...]


@dataclass(frozen=True)
class Plot:
    """A rectangle of the floor plan, in per cent of its width and height."""

    block: Block
    left: float
    top: float
    width: float
    height: float

    @property
    def named(self) -> str:
        """Return where its name fits in: "always", "wide" in wide windows alone, or "" nowhere."""
        across, down = 7.5 * len(self.block.short) + 12, 38.0
        for width, where in ((_PLAN_WIDTHS[1], "always"), (_PLAN_WIDTHS[0], "wide")):
            if self.width / 100 * width > across and self.height / 100 * width / _PLAN_SHAPE > down:
                return where
        return ""


@dataclass(frozen=True)
class Span:
    """A stretch of a row of the timeline, in per cent of its width."""

    state: str
    left: float
    width: float
    about: str


@dataclass(frozen=True)
class Moment:
    """The timeline of one frame: rows of (component, spans), and ticks of (place in per cent, text)."""

    frame: int
    latency: str
    jobs: int
    left_out: int
    rows: Sequence[tuple[str, Sequence[Span]]]
    ticks: Sequence[tuple[float, str]]


def blocks_of(result: Result) -> dict[str, Block]:
    """Return the components by name."""
    energy = longest(c.energy_j.total() for c in result.components)
    area = longest(c.area_mm2 for c in result.components)
    engines = {
        c.name: tuple(place for place, engine in enumerate(result.engines[:ENGINES]) if c.name in _parts(engine.parts))
        for c in result.components
    }
    return {c.name: _block(c, result, energy, area, engines[c.name]) for c in result.components}


def _parts(roles: dict[str, list[str]]) -> set[str]:
    return {name for names in roles.values() for name in names}


def _block(c: ComponentRecord, result: Result, most_energy: float, most_area: float, engines: tuple[int, ...]) -> Block:
    joules = c.energy_j.total()
    states = (c.busy_cycles, c.wait_input_cycles, c.wait_output_cycles, c.idle_cycles)
    of_energy, of_area, busy = (
        share(joules, result.energy.total_j), share(c.area_mm2, result.area_mm2), share(c.busy_cycles, sum(states)),
    )  # fmt: skip
    of_each = ("busy", "waits for input", "waits to put out", "idle")
    about = [
        f"{c.name} ({c.kind})" + (f", {c.instances:,} of them" if c.instances > 1 else ""),
        f"energy {format_si(joules, 'J')}, {of_energy}",
        f"area {c.area_mm2:.4g} mm2, {of_area}",
        ", ".join(f"{state} {share(cycles, sum(states))}" for state, cycles in zip(of_each, states, strict=True)),
    ]
    if engines:
        about.append(f"engine {', '.join(result.engines[place].name for place in engines)}")
    return Block(
        c.name,
        c.name if len(c.name) <= _LONGEST_NAME else f"{c.name[: _LONGEST_NAME - 2]}..",
        c.kind,
        "\n".join(about),
        (
            Colour("energy", of_energy, _STRONGEST * portion(joules, most_energy)),
            Colour("area", of_area, _STRONGEST * portion(c.area_mm2, most_area)),
            Colour("utilisation", busy, _STRONGEST * portion(c.busy_cycles, sum(states))),
        ),
        engines,
    )  # fmt: skip


def scales(result: Result) -> dict[str, str]:
    """Return what the strongest colour stands for, by what components are coloured by."""
    energy = max((c.energy_j.total() for c in result.components if drawable(c.energy_j.total())), default=0.0)
    area = max((c.area_mm2 for c in result.components if drawable(c.area_mm2)), default=0.0)
    of_energy, of_area = share(energy, result.energy.total_j), share(area, result.area_mm2)
    return {"energy": of_energy, "area": of_area, "utilisation": "100% busy"}


def drawings(result: Result) -> list[Drawing]:
    """Return the block diagram at each of `WIDTHS`; none of more components or channels than anybody could read."""
    names = list(dict.fromkeys(component.name for component in result.components))
    if len(names) > MOST_DRAWN or len(result.channels) > 4 * MOST_DRAWN:
        return []
    links = links_of(names, result.channels)
    return [draw(names, links, width) for width in WIDTHS]


def floor_plan(result: Result, blocks: dict[str, Block]) -> tuple[list[Plot], list[str]]:
    """Return the rectangles of the components whose area can be drawn, and the names of the others.

    Areas are to scale; where a rectangle lies says nothing. Squarified treemap (Bruls, Huizing and van Wijk 2000).
    """
    drawn = sorted((c for c in result.components if drawable(c.area_mm2)), key=lambda c: -c.area_mm2)
    total = sum(c.area_mm2 for c in drawn)
    areas = [c.area_mm2 / total for c in drawn]
    # Less than a hair's breadth is no rectangle that anybody sees.
    seen = [(c, area) for c, area in zip(drawn, areas, strict=True) if area > 1e-5]
    places = squarified([area for _, area in seen], _PLAN_SHAPE, 1.0)
    plots = [
        Plot(blocks[c.name], 100 * x / _PLAN_SHAPE, 100 * y, 100 * w / _PLAN_SHAPE, 100 * h)
        for (c, _), (x, y, w, h) in zip(seen, places, strict=True)
    ]
    there = {plot.block.name for plot in plots}
    return plots, [c.name for c in result.components if c.name not in there]


def squarified(areas: Sequence[float], width: float, height: float) -> list[tuple[float, float, float, float]]:
    """Return (left, top, width, height) of rectangles in one of ``width`` x ``height``, nearly square.

    ``areas``: positive, falling; they are scaled so that together they fill it.
    """
    scale = width * height / sum(areas) if areas else 1.0
    left = [area * scale for area in areas]
    found: list[tuple[float, float, float, float]] = []
    x = y = 0.0
    while left:
        side = min(width, height)
        count = 1
        while count < len(left) and _worst(left[: count + 1], side) <= _worst(left[:count], side):
            count += 1
        row, left = left[:count], left[count:]
        depth = sum(row) / side if side else 0.0
        along = 0.0
        for area in row:
            length = area / depth if depth else 0.0
            found.append((x, y + along, depth, length) if width >= height else (x + along, y, length, depth))
            along += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
    return found


def _worst(row: Sequence[float], side: float) -> float:
    """Return the aspect ratio of the longest rectangle of a row along a side."""
    total = sum(row)
    return max(side**2 * max(row) / total**2, total**2 / (side**2 * min(row)))


def moment(result: Result) -> Moment | None:
    """Return the timeline of the frame that was watched; copies of a component share its row."""
    frame = result.frame
    if frame is None or not frame.jobs or not frame.latency_ps:
        return None
    rows: dict[str, list[Span]] = {}
    for c in result.components:
        rows[c.name] = []
    whole = frame.latency_ps

    def put(member: str, state: str, start: int, end: int, about: str) -> None:
        row = rows.get(member.partition("[")[0])
        end = min(end, whole)
        if row is not None and end > start:
            row.append(Span(state, 100 * start / whole, 100 * (end - start) / whole, about))

    for job in frame.jobs:
        for place, (member, busy) in enumerate(job.busy_ps.items()):
            said = f"{job.name}, layer {job.layer}, on {member}"
            at = f"from {_time(job.start_ps)}"
            over = job.start_ps + busy
            put(member, "busy", job.start_ps, over, f"{said}: busy {_time(busy)} {at}")
            put(
                member, "wait-input", over, job.end_ps, f"{said}: waits {_time(job.end_ps - over)} for a slower partner"
            )
            if place:
                continue
            put(
                member, "wait-input", job.ready_ps, job.start_ps,
                f"{said}: waits {_time(job.start_ps - job.ready_ps)} for its input",
            )  # fmt: skip
            put(
                member, "wait-output", job.end_ps, job.left_ps,
                f"{said}: waits {_time(job.left_ps - job.end_ps)} to put out",
            )  # fmt: skip
    shown = [(name, sorted(spans, key=_beneath)) for name, spans in rows.items() if spans]
    return Moment(frame.frame, _time(whole), len(frame.jobs), frame.left_out, shown, _ticks(frame))


def _beneath(span: Span) -> tuple[bool, float]:
    """Sort waits before work, so that what works in one copy is seen while another waits."""
    return span.state == "busy", -span.width


def _time(ps: int) -> str:
    return format_si(ps * 1e-12, "s")


def _ticks(frame: FrameRecord) -> list[tuple[float, str]]:
    """Return ticks at round times, about four."""
    rough = frame.latency_ps / 4
    power = 10 ** (len(str(max(int(rough), 1))) - 1)
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    return [(100 * at / frame.latency_ps, _time(at)) for at in range(0, frame.latency_ps + 1, step)]
