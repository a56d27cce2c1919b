"""What the command line prints: texts, tables, JSON, and bars of progress."""

from __future__ import annotations

import io
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from accelsim.errors import AccelsimError
from accelsim.text import masked_arguments, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from accelsim.explore.estimate import Estimate
    from accelsim.pipeline import Progress


_quiet = False


@contextmanager
def quietly() -> Iterator[None]:
    """Print nothing but warnings, errors and JSON within."""
    global _quiet
    _quiet = True
    try:
        yield
    finally:
        _quiet = False


def is_quiet() -> bool:
    return _quiet


def say(text: str, err: bool = False) -> None:
    """Print lines that may hold names and texts of files."""
    if not _quiet:
        _echo(text, err)


def warn(text: str) -> None:
    """Print what has to be read, a warning or an error, on standard error, however quiet the command is."""
    _echo(text, err=True)


def _echo(text: str, err: bool) -> None:
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


PIPED_WIDTH = 160
"""Columns of a table that goes into a pipe or a file."""


def show(what: RenderableType, style: str | None = None) -> None:
    """Print a table or a text as wide as the terminal.

    What goes into a pipe is plain and the same everywhere: a text on a line of its own, tables 160 columns wide.
    """
    if _quiet:
        return
    if isinstance(what, str) and not sys.stdout.isatty():
        say(what)
        return
    from rich.console import Console
    from rich.segment import Segment

    # Texts come from files and are shown as they are, whatever brackets they hold.
    class Plain(Console):
        """Escapes what a terminal would obey, whatever table or text it stands in."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)

    options: dict[str, Any] = {"soft_wrap": False, "markup": False, "emoji": False}
    if sys.stdout.isatty():
        with printing():
            Plain(**options).print(what, style=style)
        return
    # What is kept, searched or compared is the same on every machine, whatever its variables say of terminals.
    made = io.StringIO()
    console = Plain(width=PIPED_WIDTH, force_terminal=False, color_system=None, file=made, **options)
    console.print(what, style=style)
    with printing():
        typer.echo("\n".join(line.rstrip() for line in made.getvalue().split("\n")), nl=False)


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


def say_estimate(estimates: Sequence[Estimate], as_json: bool = False) -> None:
    """Print what runs would take, each, and all of them together."""
    if as_json:
        say_json(json_text([one.figures() for one in estimates]))
        return
    for one in estimates:
        say("\n".join(one.lines()))
    if len(estimates) > 1:
        from accelsim.explore.estimate import in_words

        say(f"time of all: {in_words(sum(one.seconds for one in estimates))}")


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


class TimeLeft:
    """How long a stage still takes, from how far it has come since it began.

    A stage begins where the total is another one than before, or where less is done. At ``done`` of ``total``, a time t
    after it began at ``first``: left = t (total - done) / (done - first), of which what has passed since is taken off.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._total: int | None = None
        self._first = self._done = 0
        self._began = self._told = now()

    def tell(self, done: int | None, total: int | None) -> bool:
        """Take in how much is done; return whether that begins a stage."""
        begins = total != self._total or (done or 0) < self._done
        self._done, self._told = done or 0, self._now()
        if begins:
            self._total, self._first, self._began = total, self._done, self._told
        return begins

    def seconds(self) -> float | None:
        """Return how many seconds are left; None where nothing is done yet, or where nobody knows how much there is."""
        if self._total is None or self._done <= self._first:
            return None
        left = (self._told - self._began) * (self._total - self._done) / (self._done - self._first)
        return max(left - (self._now() - self._told), 0.0)


def clock(seconds: float) -> str:
    """Return a time as a clock shows it: 0:07, 12:30, 1:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def progress() -> Iterator[Progress]:
    """Draw a bar on standard error for whatever takes longer than a second; nothing when it is not a terminal.

    Beside the bar stand the stage, the time since the command began, and what is left of the stage.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    console = Console(stderr=True)
    if _quiet or not console.is_terminal:

        def silent(stage: str, done: int | None = None, total: int | None = None) -> None:
            pass

        yield silent
        return
    begun, left = time.monotonic(), TimeLeft()

    class Times(ProgressColumn):
        """The clocks, which go on when nothing is told."""

        def render(self, task: Task) -> Text:
            rest = left.seconds()
            return Text(clock(time.monotonic() - begun) + ("" if rest is None else f", {clock(rest)} left"))

    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=20),
        Times(table_column=Column(no_wrap=True, min_width=16)),  # beside a long stage too
        console=console,
        transient=True,
    )

    def tell(stage: str, done: int | None = None, total: int | None = None) -> None:
        if not bar.live.is_started and time.monotonic() - begun > 1.0:
            bar.start()
        if left.tell(done, total):  # a bar that is full stays so: a stage has one of its own
            for task in bar.task_ids:
                bar.remove_task(task)
            bar.add_task("", total=total)
        bar.update(bar.task_ids[0], description=printable(stage), completed=done or 0)

    bar.add_task("", total=None)
    try:
        yield tell
    finally:
        bar.stop()


class Runs:
    """Progress of several runs one after the other: each stage is told with the run that it is of."""

    def __init__(self, tell: Progress) -> None:
        self._tell, self._run = tell, ""

    def begin(self, name: str, done: int, total: int) -> None:
        """Say that the next run begins, of which so many are done."""
        self._run = f"{name}, {done + 1} of {total}: " if total > 1 else f"{name}: "

    def stage(self, stage: str, done: int | None, total: int | None) -> None:
        """Say how far the run is."""
        self._tell(self._run + stage, done, total)
