"""`accelsim report`: pages and figures of what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import LimitOption, MemoryOption, QuietOption, names_of
from accelsim.cli.say import say


@app.command(
    epilog="Examples:\n\n  accelsim report runs/a\n\n  accelsim report runs/sweep --format html,pdf,svg --out figures"
)
def report(
    folder: Annotated[Path, typer.Argument(help="What --out of run, sweep or search named.", metavar="DIR")],
    formats: Annotated[str, typer.Option("--format", help="Of html, pdf, svg and png, with commas.")] = "html",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write into this folder instead of DIR.")] = None,
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make one HTML page of a run or a sweep that works offline, or figures for papers."""
    from accelsim.explore import paper_beside
    from accelsim.report.folder import write_report

    for path in write_report(folder, list(names_of(formats) or ("html",)), out or folder, paper_beside):
        say(f"wrote {path}", err=True)
