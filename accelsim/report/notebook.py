"""What a notebook shows of a run or a sweep: the head of its page, and figures as pictures."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from accelsim.explore.front import front_of
from accelsim.explore.store import Store
from accelsim.report.headline import Headline, columns, headlines, warnings
from accelsim.report.html import CARDS, facts, fill
from accelsim.report.plots import drawn_in
from accelsim.result import Result
from accelsim.schema import format_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = 12


def result_html(result: Result) -> str:
    """Return the head of a run's page: what it was, warnings, the figures that matter, all others folded away."""
    rows = headlines(result)
    return fill(
        "notebook.html",
        title=f"{result.workload.name} on {result.arch.name}",
        facts=facts(result),
        warnings=warnings(result),
        cards=_cards(rows),
        head=["figure", *(f"{name}, {clock}" for name, clock in columns(result)), ""],
        rows=[[row.name, *row.values, row.note] for row in rows],
        folded="all figures",
    )


def _cards(rows: Sequence[Headline]) -> list[tuple[str, str, str]]:
    return [(row.name, row.values[0], row.note) for i, row in enumerate(rows) if i == 0 or row.name in CARDS]


def sweep_html(store: Store) -> str:
    """Return what a sweep or search found: how many points, and its best configurations."""
    meta, found = store.meta(), front_of(store)
    best = found.front()
    failed = [f"{len(found.failed)} failed, for example: {found.failed[0].errors[0]}"] if found.failed else []
    limits = [told] if (told := found.unmet()) else []
    names = [metric.short for metric in found.objectives]
    rows = [
        [*(c.keys.get(key, "") for key in meta["swept"])]
        + [format_figure(c.mean[metric.name], metric.unit) for metric in found.objectives]
        for c in best[:_ROWS]
    ]
    if len(best) > _ROWS:
        rows.append([f"... and {len(best) - _ROWS} more", *[""] * (len(meta["swept"]) + len(names) - 1)])
    return fill(
        "notebook.html",
        title=f"{meta['kind']} of {meta['workload']['name']} on {meta['architecture']['name']}",
        facts=[f"{len(found.done)} of {len(found.done) + len(found.failed)} configurations done"],
        warnings=[*failed, *limits],
        cards=[],
        head=[*(key.removeprefix("components.") for key in meta["swept"]), *names],
        rows=rows,
        folded=f"Pareto front of {', '.join(names)}: {len(best)}",
    )


def table_html(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], facts: Sequence[str] = ()) -> str:
    """Return a table with a title."""
    return fill("notebook.html", title=title, facts=facts, warnings=[], cards=[], head=head, rows=list(rows), folded="")


def shown_figure(figure: Figure) -> Figure:
    """Return a figure that a notebook shows as a picture, whether or not pyplot is there."""
    # IPython asks an object for this method; matplotlib gives it to figures of pyplot alone.
    setattr(figure, "_repr_png_", partial(_png, figure))  # noqa: B010
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with drawn_in():
        figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue()
