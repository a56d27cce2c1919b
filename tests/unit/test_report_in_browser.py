"""The pages in a real browser: they load from the file system alone, sort, show, select, fit and print.

Debian's chromium or the one of `playwright install`; ACCELSIM_BROWSER names another, and then it must be there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pages import FRONT, GRID, HOSTILE, as_chip, hostile_run, many_layers, small_run, small_sweep

from accelsim.explore import load_paper
from accelsim.explore.store import Store
from accelsim.report.html import run_page
from accelsim.report.sweep_html import sweep_page

NAMED = os.environ.get("ACCELSIM_BROWSER")
if NAMED is None:
    pytest.importorskip("playwright", reason="the pages need playwright: pip install -e '.[test]'")
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = NAMED or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no browser: apt install chromium, or playwright install chromium")
        started = playwright.chromium.launch(executable_path=found)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Return the files of pages: a run, a sweep, both with hostile names, and chips of many components."""
    folder, result = tmp_path_factory.mktemp("pages"), small_run()
    bad = hostile_run(result)
    texts = {"run": run_page(result, load_paper("rsnn28nm")), "hostile_run": run_page(bad, load_paper("rsnn28nm"))}
    for name, of, key in (("sweep", result, "components.crossbar.rows"), ("hostile_sweep", bad, HOSTILE)):
        with Store.open(small_sweep(folder / f"{name}_store", of, key)) as store:
            texts[name] = sweep_page(store)
    texts["many_layers"] = run_page(many_layers(result))
    for name in ("tiles_and_pes", "memristor_conformer_wide", "edge_npu_tiles", "rsnn28nm"):
        texts[name] = run_page(as_chip(result, name))
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@contextmanager
def opened(browser: Browser, path: Path, width: int = 1280, dark: bool = False) -> Iterator[Page]:
    """Open a page, and find at the end that it said nothing on the console and asked for nothing but itself."""
    page = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    yield page
    assert said == []
    page.close()


def column(page: Page, table: str, place: int) -> list[str]:
    return page.locator(f"{table} tbody tr > :nth-child({place})").all_inner_texts()


def shown_rows(page: Page) -> set[int]:
    numbers = page.locator("#points-table tbody tr:not([hidden]) td:nth-child(2)").all_inner_texts()
    return {int(number) for number in numbers}


def middle_of(page: Page, configuration: int) -> tuple[float, float]:
    box = page.locator(f"#pareto-chart circle[data-index='{configuration}']").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["run", "sweep", "hostile_run", "hostile_sweep"])
def test_a_page_loads_in_silence_and_nothing_is_wider_than_the_window(browser, pages, name, width, dark):
    with opened(browser, pages[name], width, dark) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1").is_visible()
        charts = {"run": 1, "sweep": 3}[name.removeprefix("hostile_")]
        assert page.locator("figure svg:not(.diagram)").count() == charts


def test_the_policy_of_a_page_keeps_foreign_scripts_out(browser, pages, tmp_path):
    """Were a name ever to slip through unescaped, the policy would still stop it: here one is put in by hand."""
    text = pages["run"].read_text(encoding="utf-8")
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(text.replace("<main>", "<main><script>document.title = 'caught'</script>"), encoding="utf-8")
    page = browser.new_page()
    page.goto(spoilt.as_uri())
    assert page.title() != "caught"
    assert page.locator("#roofline-chart svg").count() == 1, "the page's own script runs"
    page.close()


def test_a_heading_sorts_by_its_column(browser, pages):
    with opened(browser, pages["run"]) as page:
        table = "#layers table"
        heading = page.locator(f"{table} th", has_text="cycles")
        unsorted = [int(text.replace(",", "")) for text in column(page, table, 2)]
        heading.get_by_role("button").click()
        assert [int(text.replace(",", "")) for text in column(page, table, 2)] == sorted(unsorted, reverse=True)
        assert heading.get_attribute("aria-sort") == "descending"
        page.keyboard.press("Enter")
        assert [int(text.replace(",", "")) for text in column(page, table, 2)] == sorted(unsorted)
        assert heading.get_attribute("aria-sort") == "ascending"
        names = page.locator(f"{table} th", has_text="layer").get_by_role("button")
        names.click()
        assert column(page, table, 1) == sorted(column(page, table, 1))
        assert heading.get_attribute("aria-sort") == "none"


def test_energies_sort_by_size_not_by_spelling(browser, pages):
    with opened(browser, pages["run"]) as page:
        page.locator("#cost th", has_text="leakage").get_by_role("button").click()
        column = 1 + next(i for i, title in enumerate(page.locator("#cost th").all_inner_texts()) if "leakage" in title)
        cells = page.locator(f"#cost tbody td:nth-child({column})")
        values = cells.evaluate_all("cells => cells.map(c => +c.dataset.value)")
        assert values == sorted(values, reverse=True) and len(set(values)) > 2


def test_the_roofline_shows_every_layer_on_the_chosen_path(browser, pages):
    with opened(browser, pages["run"]) as page:
        chart = page.locator("#roofline-chart")
        assert chart.locator("circle").count() == 3, "three layers use the weight bus"
        page.select_option("#path", "weights_fc")
        assert chart.locator("circle").count() == 1
        chart.locator("circle").hover()
        assert re.search(r"^fc\n.* MOPS, [\d.]+% of the roof", page.locator(".tip").inner_text())


@pytest.mark.parametrize("width", [1280, 400])
def test_the_names_in_the_diagram_and_floor_plan_stay_within_their_boxes_and_apart(browser, pages, width):
    """Every shipped chip with long names of its own; measured as the browser draws them."""
    outside = """() => [...document.querySelectorAll('.diagram .block')].filter(g => g.getBoundingClientRect().width)
      .flatMap(g => { const box = g.querySelector('.ground').getBoundingClientRect();
        const texts = [...g.querySelectorAll('text')].map(t => t.getBoundingClientRect()).filter(t => t.width);
        const over = texts.some((t, i) => texts.some((u, j) => i < j && t.top < u.bottom - 3 && u.top < t.bottom - 3));
        return over || texts.some(t => t.left < box.left || t.right > box.right || t.bottom > box.bottom + 1)
          ? [g.dataset.name] : []; })
      .concat([...document.querySelectorAll('.plan > div')].filter(d => d.scrollWidth > d.clientWidth + 1 ||
        d.scrollHeight > d.clientHeight + 1).map(d => 'plan ' + d.dataset.name))"""
    for name in ("run", "tiles_and_pes", "memristor_conformer_wide", "edge_npu_tiles", "rsnn28nm"):
        with opened(browser, pages[name], width) as page:
            assert page.evaluate(outside) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            shown = page.locator(".diagram:visible .block").count()
            assert shown == int(page.evaluate("document.querySelectorAll('.diagram.wide .block').length")) > 5


def test_components_are_coloured_by_what_is_chosen(browser, pages):
    with opened(browser, pages["run"]) as page:
        page.locator("#chip").scroll_into_view_if_needed()
        assert page.locator(".diagram.wide .share.of-energy:visible").count() == 12
        assert (
            page.locator(".diagram.wide .figure:visible").all_inner_texts()
            == page.locator(".diagram.wide .figure.of-energy").all_inner_texts()
        )
        page.get_by_label("utilisation", exact=True).check()
        assert page.locator(".diagram.wide .share.of-energy:visible").count() == 0
        assert page.locator(".diagram.wide .share.of-utilisation:visible").count() == 12
        assert page.locator(".plan .of-energy:visible").count() == 0


def test_the_timeline_stays_in_its_frame_on_any_screen(browser, pages):
    for width in (1280, 400):
        with opened(browser, pages["run"], width) as page:
            whole = page.locator("#frame").bounding_box()
            assert whole is not None
            for box in page.locator(".moment i, .moment .ticks span").all():
                place = box.bounding_box()
                assert place is not None and place["width"] >= 0.9
                assert whole["x"] - 1 <= place["x"] and place["x"] + place["width"] <= whole["x"] + whole["width"] + 1


def test_pointing_at_a_configuration_shows_it(browser, pages):
    with opened(browser, pages["sweep"]) as page:
        page.locator("#pareto-chart svg").scroll_into_view_if_needed()
        page.mouse.move(*middle_of(page, 2))
        said = page.locator(".tip").inner_text()
        for text in (
            "configuration 2, on the Pareto front",
            "crossbar.rows = 128",
            "energy per frame 2 nJ",
            "error 20 %",
        ):
            assert text in said
        assert page.locator("#points-table tr.active td:nth-child(2)").inner_text() == "2"
        page.mouse.move(*middle_of(page, 0))
        assert page.locator(".tip").inner_text().startswith("configuration 0\n")
        page.mouse.move(5, 5)
        assert not page.locator(".tip").is_visible()


def test_the_keyboard_walks_along_the_front(browser, pages):
    with opened(browser, pages["sweep"]) as page:
        page.locator("#pareto-chart svg").focus()
        seen = []
        for _ in range(4):
            page.keyboard.press("ArrowRight")
            seen.append(int(page.locator("#points-table tr.active td:nth-child(2)").inner_text()))
        assert seen == [*FRONT, FRONT[-1]], "by rising energy, and it stays at the end"


def test_a_drag_selects_in_all_views(browser, pages):
    with opened(browser, pages["sweep"]) as page:
        page.locator("#pareto-chart svg").scroll_into_view_if_needed()
        assert shown_rows(page) == set(range(len(GRID)))
        (x1, y1), (x3, y3) = middle_of(page, 2), middle_of(page, 3)
        page.mouse.move(x1 - 12, max(y1, y3) + 12)
        page.mouse.down()
        page.mouse.move(x3 + 12, min(y1, y3) - 12, steps=4)
        page.mouse.up()
        inside = {i for i, (energy, error) in enumerate(GRID.values()) if 1.5 < energy < 3.5 and 19 < error < 26}
        assert shown_rows(page) == inside == {2, 3}
        assert page.locator("#count").inner_text() == "2 of 6 configurations"
        assert page.locator("#pareto-chart .point.out").count() == 4
        assert page.locator("#parallel-chart .line.out").count() == 4
        page.locator("#clear").click()
        assert shown_rows(page) == set(range(len(GRID)))
        page.get_by_label("front only").check()
        assert shown_rows(page) == set(FRONT)


def test_a_figure_along_one_key_with_a_line_for_each_value_of_another(browser, pages):
    with opened(browser, pages["sweep"]) as page:
        chart = page.locator("#along-chart")
        chart.scroll_into_view_if_needed()
        assert chart.locator(".dot").count() == len(GRID) and chart.locator("path.curve").count() == 2
        assert page.locator("#along-legend li").all_inner_texts() == [
            "adc.precision_bits = 4",
            "adc.precision_bits = 6",
        ]
        labels = chart.locator("text").all_text_contents()
        assert {"64", "128", "256", "crossbar.rows"} <= set(labels) and any("nJ" in text for text in labels)
        chart.locator(".dot").first.hover()
        assert page.locator(".tip").inner_text() == "crossbar.rows = 64\nadc.precision_bits = 4\nenergy per frame 9 nJ"
        heights = [box["y"] for dot in chart.locator(".dot.curve-0").all() if (box := dot.bounding_box())]
        assert heights[1] > heights[2] > heights[0], "of 4 bits 64 rows take 9 nJ, 128 take 2 and 256 take 4"
        page.select_option("#along-x", "adc.precision_bits")
        page.select_option("#along-lines", "")
        assert chart.locator(".dot").count() == 2
        chart.locator(".dot").first.hover()
        assert (
            page.locator(".tip").inner_text().endswith("energy per frame 5 nJ (2 nJ to 9 nJ)\nmean of 3 configurations")
        )
        page.get_by_label("crossbar.rows =").select_option("256")
        assert page.locator("#along-chart .dot").count() == 2
        chart.locator(".dot").first.hover()
        assert "energy per frame 4 nJ" in page.locator(".tip").inner_text()


def test_two_keys_make_a_heat_map(browser, pages):
    with opened(browser, pages["sweep"]) as page:
        page.select_option("#along-kind", "heat")
        page.select_option("#along-figure", "error")
        chart = page.locator("#along-chart")
        assert chart.locator("rect.cell").count() == len(GRID)
        told = chart.locator(".inside").all_text_contents()
        assert sorted(told) == sorted(f"{error:g} %" for _, error in GRID.values())
        opacities = chart.locator("rect.cell").evaluate_all("cells => cells.map(c => +c.style.fillOpacity)")
        assert min(opacities) == pytest.approx(0.05) and max(opacities) == pytest.approx(0.65)


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["many_layers", "sweep"])
def test_no_text_of_a_chart_lies_on_another(browser, pages, name, width):
    """A roofline of a hundred layers in twelve blocks; curves and heat maps of a sweep."""
    over = """(figure) => {
      const texts = [...document.querySelectorAll(figure + ' text')].filter(t => !t.getAttribute('transform'))
        .map(t => [t.textContent, t.getBoundingClientRect()]);
      return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([, q]) => p.left < q.right - 1 &&
        q.left < p.right - 1 && p.top + 3 < q.bottom && q.top + 3 < p.bottom).map(([b]) => a + ' on ' + b)); }"""
    with opened(browser, pages[name], width) as page:
        if name == "many_layers":
            assert page.locator("#roofline-chart circle").count() == 13
            assert page.evaluate(over, "#roofline-chart") == []
            assert page.locator("#roofline-chart text.name").count() > 4, "some names have room"
            assert page.locator("#layers table").first.locator("tbody tr").count() == 13
        else:
            assert page.evaluate(over, "#along-chart") == []
            page.select_option("#along-kind", "heat")
            assert page.evaluate(over, "#along-chart") == []


def test_a_drag_along_a_parallel_axis_selects_its_range(browser, pages):
    with opened(browser, pages["sweep"]) as page:
        axis = page.locator("#parallel-chart .handle").first
        axis.scroll_into_view_if_needed()
        box = axis.bounding_box()
        assert box is not None
        x, top, bottom = box["x"] + box["width"] / 2, box["y"], box["y"] + box["height"]
        page.mouse.move(x, top + 2)
        page.mouse.down()
        page.mouse.move(x, top + (bottom - top) / 4, steps=4)
        page.mouse.up()
        rows = [rows for rows, _ in GRID]
        assert shown_rows(page) == {i for i, value in enumerate(rows) if value == "256"}, "the upper end of the axis"


def test_other_figures_can_be_chosen(browser, pages):
    with opened(browser, pages["sweep"]) as page:
        page.select_option("#x-axis", "error")
        page.select_option("#y-axis", "energy per frame")
        names = page.locator("#pareto-chart text.name").all_text_contents()
        assert names == ["error, % ↓ better", "energy per frame ↓ better"]
        (x5, y5), (x1, y1) = middle_of(page, 5), middle_of(page, 1)
        assert x5 < x1 and y5 < y1, "10 % at 8 nJ lies left of and above 30 % at 1 nJ"


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_a_page_prints(browser, pages, name):
    with opened(browser, pages[name]) as page:
        printed = page.pdf(format="A4", print_background=True)
        assert printed.startswith(b"%PDF-")
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2
        page.emulate_media(media="print")
        assert not page.locator("nav").is_visible()
