"""What long work shows in a notebook: a bar that is drawn in place, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from accelsim.pipeline import Progress
from accelsim.text import printable

_SECONDS_BEFORE = 0.5  # what is done by then needs no bar
_SECONDS_BETWEEN = 0.1
_SECONDS_TO_TELL = 10  # of the time left before that nobody wants to know


def in_notebook() -> bool:
    """Tell whether what is returned is shown in a notebook: IPython runs as a kernel."""
    ipython = sys.modules.get("IPython")  # a notebook has it long since
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


@contextmanager
def shown(progress: Progress | bool | None) -> Iterator[Progress]:
    """Give what to tell progress to: a function of the caller's, in a notebook a bar, nothing elsewhere."""
    if callable(progress):
        yield progress
    elif progress is False or not in_notebook():
        yield lambda stage, done, total: None
    else:
        bar = _Bar()
        try:
            yield bar
        finally:
            bar.close()


class _Bar:
    """Draws the stage, how much of it is done, and the time that it took and will take."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._begun = self._stage_begun = time.monotonic()
        self._drawn = 0.0
        self._stage: tuple[str, int | None] = ("", None)
        self._first = 0

    def __call__(self, stage: str, done: int | None, total: int | None) -> None:
        from IPython.display import HTML, display

        now = time.monotonic()
        kind = (" ".join(word for word in stage.split() if not word.isdigit()), total)
        if kind != self._stage:
            self._stage, self._stage_begun, self._first = kind, now, done or 0
        if now - self._begun < _SECONDS_BEFORE or now - self._drawn < _SECONDS_BETWEEN:
            return
        self._drawn = now
        html = HTML(bar_html(stage, done, total, now - self._begun, self._left(now, done, total)))
        if self._handle is None:
            self._handle = display(html, display_id=True)
        else:
            self._handle.update(html)

    def _left(self, now: float, done: int | None, total: int | None) -> float | None:
        """Return the seconds left of a stage, as it went so far."""
        if not done or not total or done <= self._first:
            return None
        return (now - self._stage_begun) / (done - self._first) * (total - done)

    def close(self) -> None:
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(""))


def bar_html(stage: str, done: int | None, total: int | None, seconds: float, left: float | None) -> str:
    """Return a bar as HTML; without ``total`` it says only that something goes on."""
    value = f' value="{done or 0}" max="{total}"' if total else ""
    told = f"{seconds:.0f} s"
    if left is not None and left >= _SECONDS_TO_TELL:
        told += f", {_minutes(left)} left"
    return f"<div><progress{value}></progress> {escape(printable(stage))} ({told})</div>"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
