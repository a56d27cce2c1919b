"""One page of HTML for a run or a sweep: it works from the file system, without a network."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from accelsim.report import chip
from accelsim.report.blocks import legible
from accelsim.report.diagram import BOX_HEIGHT, BOX_WIDTH
from accelsim.report.headline import LARGEST, columns, headlines, longest, notes, portion, ratio, share, warnings
from accelsim.report.roofline import roofline
from accelsim.result import ComponentRecord, LayerRecord, Result
from accelsim.schema import format_si
from accelsim.schema.paper import Paper
from accelsim.text import printable

Part = tuple[str, float, str]
"""One part of a bar: its class, its share of the longest bar, what it is in words."""
Bar = tuple[str, str, list[Part]]
"""A bar: its name, its text, its parts."""

CARDS = ("cycles per frame", "power", "energy per frame", "area")
_ROLES = {
    "input": "we were given it",
    "calibrated": "a number of ours was fitted to it, so agreement is no evidence",
    "predicted": "nothing was fitted to it",
    "bookkeeping": "the parts are the paper's own and only our sum of them is checked",
}
_STATES = (("busy", "busy"), ("wait-input", "waits for input"), ("wait-output", "waits to put out"), ("idle", "idle"))


def run_page(result: Result, paper: Paper | None = None) -> str:
    """Return the page of one run, with the paper's figures beside ours."""
    components = [_component(c, result) for c in result.components]
    components.sort(key=lambda c: -c["energy_j"])
    spots = roofline(result)
    drawn = [spot for spot in spots if spot.drawable]
    converters = [(layer.name, layer.adc) for layer in result.layers if layer.adc and layer.adc.conversions]
    rows = headlines(result, paper)
    blocks, seen = chip.blocks_of(result), chip.moment(result)
    plots, unseen = chip.floor_plan(result, blocks)
    sections = {
        "summary": "Summary",
        "chip": "Chip",
        "frame": "One frame" if seen is not None else "",
        "cost": "Energy and area",
        "layers": "Layers",
        "utilisation": "Utilisation",
        "roofline": "Roofline" if spots else "",
        "converters": "Converters" if converters else "",
        "provenance": "Provenance",
    }
    return render(
        "run.html",
        sections,
        {
            "page": "run",
            "roofline": [
                {
                    "layer": s.layer,
                    "path": s.path,
                    "intensity": s.intensity,
                    "rate": s.rate,
                    "peak": s.peak,
                    "bytes_per_s": s.bytes_per_s,
                }
                for s in drawn
            ],
        },
        run=result,
        paper=paper,
        role_meanings={role: _ROLES[role] for role in dict.fromkeys(role for row in rows for role in row.roles)},
        facts=facts(result),
        columns=columns(result),
        headlines=rows,
        notes=notes(result),
        warnings=warnings(result),
        cards=[row for index, row in enumerate(rows) if index == 0 or row.name in CARDS],
        blocks=blocks,
        scales=chip.scales(result),
        engines=result.engines[: chip.ENGINES],
        drawings=chip.drawings(result),
        widths=chip.WIDTHS,
        box_width=BOX_WIDTH,
        box_height=BOX_HEIGHT,
        plots=plots,
        unseen=unseen,
        moment=seen,
        components=components,
        energy_total=format_si(result.energy.total_j, "J"),
        area_total=f"{result.area_mm2:.3f} mm2",
        energy_bars=_energy_bars(components),
        area_bars=_area_bars(components),
        layers=_layers(legible(result.layers)),
        all_layers=_layers(result.layers),
        state_bars=[_state_bar(c) for c in result.components],
        roofline=spots,
        peak=spots[0].peak if spots else 0.0,
        converters=converters,
        clip_bars=[_clip_bar(name, adc.clipped, adc.conversions) for name, adc in converters],
    )


def facts(result: Result) -> list[str]:
    """Return what was run, in a few words each."""
    p = result.performance
    spoken = f"{p.frames:,} frames of {p.utterances:,} utterances, {format_si(p.audio_seconds, 's')} of audio"
    data = [result.accuracy.dataset] if result.accuracy else []
    return [spoken, *data, f"clock {format_si(p.clock_hz, 'Hz')}", f"seed {result.seed}"]


def _component(c: ComponentRecord, result: Result) -> dict[str, Any]:
    energy = c.energy_j
    joules = energy.total()
    states = (c.busy_cycles, c.wait_input_cycles, c.wait_output_cycles, c.idle_cycles)
    return {
        "name": c.name,
        "kind": c.kind,
        "energy_j": joules,
        "energy_share": share(joules, result.energy.total_j),
        "dynamic_j": energy.dynamic,
        "clock_j": energy.clock,
        "standby_j": energy.standby,
        "leakage_j": energy.leakage,
        "wake_j": energy.wake,
        "area_mm2": c.area_mm2,
        "area_share": share(c.area_mm2, result.area_mm2),
        "cycles": sum(states),
        "states": [(cycles, share(cycles, sum(states))) for cycles in states],
    }


def _energy_bars(components: list[dict[str, Any]]) -> list[Bar]:
    most = longest(c["energy_j"] for c in components)
    return [
        (
            c["name"],
            f"{format_si(c['energy_j'], 'J')} ({c['energy_share']})",
            [
                (kind, portion(c[f"{kind}_j"], most), f"{kind} {format_si(c[f'{kind}_j'], 'J')}")
                for kind in ("dynamic", "clock", "standby", "leakage", "wake")
            ],
        )
        for c in components
    ]


def _area_bars(components: list[dict[str, Any]]) -> list[Bar]:
    most = longest(c["area_mm2"] for c in components)
    ordered = sorted(components, key=lambda c: -c["area_mm2"])
    return [
        (
            c["name"],
            f"{c['area_mm2']:.4f} mm2 ({c['area_share']})",
            [("area", portion(c["area_mm2"], most), f"{c['area_mm2']:.6g} mm2")],
        )
        for c in ordered
    ]


def _layers(layers: list[LayerRecord]) -> list[dict[str, Any]]:
    total = sum(layer.energy_j for layer in layers)
    most = longest(layer.energy_j for layer in layers)
    return [
        layer.model_dump()
        | {
            "dense_share": layer.macs_performed / layer.macs_dense if layer.macs_dense else "",
            "dense_text": share(layer.macs_performed, layer.macs_dense),
            "sparsity": "" if layer.sparsity is None else layer.sparsity,
            "sparsity_text": "-" if layer.sparsity is None else f"{layer.sparsity:.1%}",
            "energy_text": share(layer.energy_j, total),
            "energy_bar": portion(layer.energy_j, most),
        }
        for layer in layers
    ]


def _state_bar(c: ComponentRecord) -> Bar:
    states = (c.busy_cycles, c.wait_input_cycles, c.wait_output_cycles, c.idle_cycles)
    whole = sum(states)
    parts = [
        (kind, portion(cycles, whole), f"{name} {share(cycles, whole)}: {cycles:,} cycles")
        for (kind, name), cycles in zip(_STATES, states, strict=True)
    ]
    return c.name, f"{share(c.busy_cycles, whole)} busy", parts


def _clip_bar(name: str, clipped: int, conversions: int) -> Bar:
    parts = [
        ("clipped", portion(clipped, conversions), f"{clipped:,} clipped"),
        ("rest", 1 - portion(clipped, conversions), f"{conversions - clipped:,} in range"),
    ]
    return name, f"{clipped / conversions:.2%}", parts


def render(template: str, sections: dict[str, str], data: dict[str, Any], **values: Any) -> str:
    """Fill a template of a page. Only its own script may run: the policy in its head names the script's hash."""
    loader = PackageLoader("accelsim.report")
    environment = _environment(loader)
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        version=importlib.metadata.version("accelsim-speech"),
        sections=[(key, name) for key, name in sections.items() if name],
        data=_in_json(data),
        **values,
    )


def fill(template: str, **values: Any) -> str:
    """Fill a template that is no page of its own."""
    return _environment(PackageLoader("accelsim.report")).get_template(template).render(**values)


def _environment(loader: PackageLoader) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["typeset"] = typeset
    environment.filters["si"] = format_si
    environment.globals["ratio"] = ratio
    return environment


def _shown(value: Any) -> Any:
    """Return a value as it is put into the page: texts of others are of one line, without passwords."""
    if type(value) is str:  # Markup is our own
        return printable(value)
    return value


def _in_json(value: Any) -> Any:
    """Return data as the page's script reads it: JSON has no NaN, and what no axis can show is left to the tables."""
    if isinstance(value, dict):
        return {_shown(key): _in_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(part) for part in value]
    return None if isinstance(value, float) and not abs(value) < LARGEST else _shown(value)


def typeset(text: object) -> str:
    """Return a text with micro and squared millimetres as print has them: '71.2 uW' becomes '71.2 µW'."""
    plain = re.sub(r"(?<=\d )u(?=(J|W|s|m|A|V)\b)", "µ", str(text))
    return re.sub(r"\bmm2\b", "mm²", plain)
