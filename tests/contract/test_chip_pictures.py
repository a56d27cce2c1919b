"""The pictures of a chip: every component of every shipped one is in them, in its place, and legible."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from pages import as_chip, small_run

from accelsim import library
from accelsim.architecture import load_architecture
from accelsim.report import chip as pictures
from accelsim.report.diagram import BOX_HEIGHT, BOX_WIDTH, draw, links_of
from accelsim.report.html import run_page
from accelsim.result import ChannelRecord, Result

CHIPS = library.names("arch")


@pytest.fixture(scope="module")
def made() -> Result:
    return small_run()


@pytest.mark.parametrize("name", CHIPS)
def test_the_diagram_has_every_component_and_channel_and_no_line_crosses_a_box(name: str) -> None:
    spec = load_architecture(name).spec
    names = list(spec.components)
    channels = [ChannelRecord(from_=c.from_, to=c.to, lockstep=c.lockstep, over=c.over) for c in spec.channels]
    links = links_of(names, channels)
    assert {(one, other) for link in links for one, other in _ends(link)} == {(c.from_, c.to) for c in spec.channels}
    for width in pictures.WIDTHS:
        drawing = draw(names, links, width)
        assert set(drawing.boxes) == set(names) and {wire.link for wire in drawing.wires} == set(links)
        assert drawing.width <= width, "it fits the page"
        for (x, y), (u, v) in combinations(drawing.boxes.values(), 2):
            assert abs(x - u) >= BOX_WIDTH or abs(y - v) >= BOX_HEIGHT, "boxes do not overlap"
        for x, y in drawing.boxes.values():
            assert 0 <= x <= drawing.width - BOX_WIDTH and 0 <= y <= drawing.height - BOX_HEIGHT
        for wire in drawing.wires:
            if wire.link.start == wire.link.end:
                continue
            points = _along(wire.path)
            for end, (x, y) in ((wire.link.start, points[0]), (wire.link.end, points[-1])):
                left, top = drawing.boxes[end]
                assert left <= x <= left + BOX_WIDTH and (abs(y - top) < 0.2 or abs(y - top - BOX_HEIGHT) < 0.2)
            for box, (left, top) in drawing.boxes.items():
                inside = [
                    (x, y) for x, y in points
                    if left + 0.2 < x < left + BOX_WIDTH - 0.2 and top + 0.2 < y < top + BOX_HEIGHT - 0.2
                ]  # fmt: skip
                assert not inside, f"{wire.link.about} crosses {box}"


def _ends(link):
    yield link.start, link.end
    if link.both:
        yield link.end, link.start


def _along(path: str) -> list[tuple[float, float]]:
    """Return points along a path of lines and cubic curves."""
    found: list[tuple[float, float]] = []
    for kind, text in re.findall(r"([MLC])([^MLC]*)", path):
        numbers = np.array(re.findall(r"-?[\d.]+", text), float).reshape(-1, 2)
        if kind == "C":
            t = np.linspace(0, 1, 40)[:, None]
            a, b, c, d = (np.array(found[-1]), *numbers)
            curve = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
            found += [tuple(point) for point in curve[1:].tolist()]
        elif kind == "L":
            found += [tuple(point) for point in np.linspace(found[-1], numbers[0], 40)[1:].tolist()]
        else:
            found.append(tuple(numbers[0].tolist()))
    return found


@pytest.mark.parametrize("name", CHIPS)
def test_the_page_names_every_component_of_a_chip_and_every_engine(made: Result, name: str) -> None:
    page = run_page(as_chip(made, name))
    spec = load_architecture(name).spec
    for kind in ("wide", "narrow"):
        (svg,) = re.findall(rf'<svg class="diagram {kind}".*?</svg>', page, re.S)
        assert re.findall(r'class="block" data-name="([^"]+)"', svg) and set(
            re.findall(r'class="block" data-name="([^"]+)"', svg)
        ) == set(spec.components)
        assert svg.count('<g class="wire') == len(links_of(list(spec.components), as_chip(made, name).channels))
    for engine in spec.engines:
        assert f"engine {engine}" in page


def test_a_chip_of_one_component_and_links_that_go_everywhere() -> None:
    alone = draw(["a"], [], 360)
    assert set(alone.boxes) == {"a"} and alone.width == 360
    names = [f"n{i}" for i in range(9)]
    all_of_them = [ChannelRecord(from_=a, to=b) for a in names for b in names]
    links = links_of(names, all_of_them)
    assert len(links) == 9 + 9 * 8 // 2, "there and back are one line with two heads"
    drawing = draw(names, links, 360)
    assert set(drawing.boxes) == set(names) and len(drawing.wires) == len(links)
    assert links_of(["a"], [ChannelRecord(from_="a", to="elsewhere")]) == [], "a record of others may name anything"


def test_names_of_others_are_drawn_whatever_they_are(made: Result) -> None:
    """A record of others may hold names that are ours inside, one name twice, and more than can be drawn."""
    names = ["(0, 1)", "\n0.1", "a", "a", "", "b" * 400]
    components = [c.model_copy(update={"name": n}) for c, n in zip(made.components, names, strict=False)]
    channels = [ChannelRecord(from_=a, to=b) for a in names for b in names]
    odd = made.model_copy(update={"components": components, "channels": channels})
    for drawing in pictures.drawings(odd):
        assert set(drawing.boxes) == set(names)
    assert "<svg" in run_page(odd)
    many = [made.components[0].model_copy(update={"name": f"n{i}"}) for i in range(pictures.MOST_DRAWN + 1)]
    page = run_page(made.model_copy(update={"components": many, "channels": []}))
    assert "61 components and 0 channels are more than a diagram can show" in page


def test_the_floor_plan_is_to_scale_fills_its_frame_and_overlaps_nowhere(made: Result) -> None:
    plots, unseen = pictures.floor_plan(made, pictures.blocks_of(made))
    areas = {c.name: c.area_mm2 for c in made.components}
    assert {plot.block.name for plot in plots} | set(unseen) == set(areas)
    seen = sum(areas[plot.block.name] for plot in plots)
    for plot in plots:
        assert plot.width * plot.height / 1e4 == pytest.approx(areas[plot.block.name] / seen, rel=1e-4)
        assert plot.left >= -1e-6 and plot.left + plot.width <= 100 + 1e-6
        assert plot.top >= -1e-6 and plot.top + plot.height <= 100 + 1e-6
    for a, b in combinations(plots, 2):
        across = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
        down = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
        assert across < 1e-6 or down < 1e-6
    assert sum(plot.width * plot.height for plot in plots) == pytest.approx(1e4)


def test_the_example_of_the_paper_on_squarified_treemaps() -> None:
    """Areas 6, 6, 4, 3, 2, 2, 1 in 6 x 4, figure 3 of Bruls et al.: 6 and 6 at the left, 4 and 3 above the others."""
    found = pictures.squarified([6, 6, 4, 3, 2, 2, 1], 6, 4)
    assert found[0] == pytest.approx((0, 0, 3, 2)) and found[1] == pytest.approx((0, 2, 3, 2))
    assert found[2] == pytest.approx((3, 0, 12 / 7, 7 / 3)) and found[3] == pytest.approx((3 + 12 / 7, 0, 9 / 7, 7 / 3))
    assert found[4] == pytest.approx((3, 7 / 3, 6 / 5, 5 / 3))


def test_the_timeline_is_that_of_the_record(made: Result) -> None:
    shown, frame = pictures.moment(made), made.frame
    assert shown is not None and frame is not None
    for name, spans in shown.rows:
        for state in ("busy", "wait-input", "wait-output"):
            drawn = sum(span.width for span in spans if span.state == state) * frame.latency_ps / 100
            assert drawn == pytest.approx(_spent(frame, name, state)), f"{name} {state}"
    assert {name for name, _ in shown.rows} == {
        member for job in frame.jobs for member, ps in job.busy_ps.items() if ps
    }
    assert shown.ticks[0][1] == "0 s" and all(0 <= place <= 100 for place, _ in shown.ticks)
    assert pictures.moment(made.model_copy(update={"frame": None})) is None


def _spent(frame, name: str, state: str) -> int:
    total = 0
    for job in frame.jobs:
        for place, (member, busy) in enumerate(job.busy_ps.items()):
            if member != name:
                continue
            held = job.end_ps - job.start_ps - busy
            waits = {"wait-input": held + (job.start_ps - job.ready_ps if place == 0 else 0), "busy": busy}
            waits["wait-output"] = job.left_ps - job.end_ps if place == 0 else 0
            total += waits[state]
    return total
