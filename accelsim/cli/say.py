"""What the command line prints: texts, tables, JSON, and bars of progress."""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from accelsim.errors import AccelsimError
from accelsim.text import masked_arguments, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from accelsim.pipeline import Progress


def say(text: str, err: bool = False) -> None:
    """Print lines that may hold names and texts of files."""
    with printing("standard error" if err else "standard output"):
        typer.echo(printable_lines(text), err=err)


@contextmanager
def printing(where: str = "standard output") -> Iterator[None]:
    """Say where it could not be printed; raises `AccelsimError`, for a pipe that nobody reads `BrokenPipeError`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AccelsimError(f"cannot write to {where}: {error.strerror}") from None


def show(what: RenderableType, style: str | None = None) -> None:
    from rich.console import Console
    from rich.segment import Segment

    # Texts come from files and are shown as they are, whatever brackets they hold.
    class Plain(Console):
        """Escapes what a terminal would obey, whatever table or text it stands in."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)

    console = Plain(width=None if sys.stdout.isatty() else 160, soft_wrap=False, markup=False, emoji=False)
    with printing():
        console.print(what, style=style)


def json_text(data: Any) -> str:
    """Return plain data as JSON, in which a figure that is not finite is a text, as in a record."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [plain(part) for part in value]
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        return value

    return json.dumps(plain(data), indent=2, allow_nan=False)


def say_json(text: str) -> None:
    """Print JSON, in whose strings a terminal finds nothing to obey either."""
    shown = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    with printing():
        typer.echo(shown, nl=not text.endswith("\n"))


def command_line() -> str:
    """Return the command line as it is recorded, without passwords."""
    return printable(shlex.join(["accelsim", *masked_arguments(sys.argv[1:])]))


class DownloadBar:
    """Draws a download on standard error, in the way in which pooch reports it."""

    def __init__(self) -> None:
        self.total = 0
        self.drawn: tuple[RichProgress, TaskID] | None = None

    def update(self, amount: int) -> None:
        if self.drawn is None:
            from rich.console import Console
            from rich.progress import Progress

            progress = Progress(console=Console(stderr=True), transient=True)
            progress.start()
            self.drawn = progress, progress.add_task("download", total=self.total)
        progress, task = self.drawn
        progress.update(task, advance=amount)

    def reset(self) -> None:
        if self.drawn is not None:
            self.drawn[0].reset(self.drawn[1])

    def close(self) -> None:
        if self.drawn is not None:
            self.drawn[0].stop()


@contextmanager
def progress() -> Iterator[Progress]:
    """Draw a bar on standard error for whatever takes longer than a second; nothing when it is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:

        def silent(stage: str, done: int | None = None, total: int | None = None) -> None:
            pass

        yield silent
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("", total=None)
    begun = time.monotonic()

    def tell(stage: str, done: int | None = None, total: int | None = None) -> None:
        if not bar.live.is_started and time.monotonic() - begun > 1.0:
            bar.start()
        bar.update(task, description=printable(stage), completed=done or 0, total=total)

    try:
        yield tell
    finally:
        bar.stop()
