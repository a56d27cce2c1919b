"""Tables of Markdown, in which an import says what became of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from accelsim.text import in_markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(in_markdown, line)) + " |" for line in lines]
