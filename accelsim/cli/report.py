"""`accelsim report`: pages and figures of what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import LimitOption, MemoryOption, QuietOption, names_of
from accelsim.cli.say import say


@app.command(
    epilog="Examples:\n\n  accelsim report runs/a --open\n\n"
    "  accelsim report runs/sweep --format html,pdf,svg --out figures"
)
def report(
    folder: Annotated[Path, typer.Argument(help="What --out of run, sweep or search named.", metavar="DIR")],
    formats: Annotated[str, typer.Option("--format", help="Of html, pdf, svg and png, with commas.")] = "html",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write into this folder instead of DIR.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make one HTML page of a run or a sweep that works offline, or figures for papers."""
    from accelsim.explore import paper_beside
    from accelsim.report.folder import write_report

    paths = write_report(folder, list(names_of(formats) or ("html",)), out or folder, paper_beside)
    for path in paths:
        say(f"wrote {path}", err=True)
    if open_:
        _open(next((path for path in paths if path.suffix == ".html"), paths[0]))


def _open(path: Path) -> None:
    """Show a file in the browser; where there is none the path that was said is all that a person gets."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        say(f"no browser to open {path} with: set BROWSER to one", err=True)
