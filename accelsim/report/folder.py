"""What `accelsim report` makes of a folder that a run, a sweep or a search left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.explore.store import FILE, Store
from accelsim.report.html import run_page
from accelsim.report.plots import FORMATS, run_figures, sweep_figures, write_figures
from accelsim.report.sweep_html import sweep_page
from accelsim.result import Result, check_writable, written_whole
from accelsim.schema.paper import Paper

RESULT, PAGE = "result.json", "report.html"
ALL_FORMATS = ("html", *FORMATS)


def write_report(
    folder: Path, formats: Sequence[str], out: Path, paper_of: Callable[[Result], Paper | None]
) -> list[Path]:
    """Write the report of a folder into another, ``report.html`` and figures, and return the paths; see `written`."""
    if _kind(folder) == RESULT:
        return written(Result.read(folder / RESULT), formats, out, paper_of)
    with Store.open(folder) as store:
        return written(store, formats, out, paper_of)


def written(
    what: Result | Store, formats: Sequence[str], out: Path, paper_of: Callable[[Result], Paper | None]
) -> list[Path]:
    """Write the report of a run, a sweep or a search into a folder and return the paths.

    formats: of `ALL_FORMATS`. ``paper_of``: the published figures that stand beside a run, None where none do.
    Raises InputError.
    """
    unknown = [
        Problem(f"no format '{kind}'", hint=did_you_mean(kind, ALL_FORMATS))
        for kind in formats
        if kind not in ALL_FORMATS
    ]
    if unknown:
        raise InputError(unknown)
    check_writable(out)
    figures = [kind for kind in formats if kind != "html"]
    if isinstance(what, Result):
        page = run_page(what, paper_of(what)) if "html" in formats else None
        drawn = run_figures(what) if figures else {}
    else:
        page = sweep_page(what) if "html" in formats else None
        drawn = sweep_figures(what) if figures else {}
    paths = []
    if page is not None:
        paths.append(out / PAGE)
        with written_whole(paths[0]) as file:
            file.write(page.encode())
    return paths + write_figures(drawn, figures, out)


def _kind(folder: Path) -> str:
    """Return the name of the file that a folder holds, a result or a store; raises InputError."""
    found = [name for name in (RESULT, FILE) if os.path.isfile(folder / name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError.of(f"{folder} holds both {RESULT} and {FILE}", hint="move one of them to a folder of its own")
    if not os.path.isdir(folder):
        raise InputError.of(f"no folder {folder}", hint="the one that --out of run, sweep or search named")
    below = sorted(path.parent for name in (RESULT, FILE) for path in folder.glob(f"*/{name}"))
    hint = f"try {below[0]}" if below else "the one that --out of run, sweep or search named"
    raise InputError.of(f"{folder} holds neither {RESULT} nor {FILE}", hint=hint)
