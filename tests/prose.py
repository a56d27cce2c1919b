"""The pages that people read, README.md and docs/: their blocks of code, and the comments that say how to try those.

An HTML comment before a block, which no reader sees, says what is special about it:

    <!-- not run: REASON -->         it is not tried here
    <!-- slow: REASON -->            only with -m slow
    <!-- needs: NAME, NAME -->       only where these commands or modules are there
    <!-- exit: 2 -->                 its last command ends with this code
    <!-- part of: memristor_tile --> keys of a file: put into this chip they make a valid one
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markdown_it import MarkdownIt

from accelsim.library import root

MARK = re.compile(r"<!-- *(not run|slow|needs|exit|part of): *(.+?) *-->")
NAMED = re.compile(r"# ([\w./-]+\.(?:yaml|py|toml|tsv|json))\s*$")
"""The first line of a block that is a file: its name, as a comment."""


@dataclass(frozen=True)
class Block:
    """A fenced block: the number of its first line, its language, its text, and its marks by their names."""

    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    def file(self) -> str | None:
        """Return the name of the file that the block is, if it is one."""
        found = NAMED.match(self.text.partition("\n")[0])
        return found[1] if found else None


def pages() -> list[str]:
    """Return the README and all pages of docs/ that people wrote, as paths from the top of the checkout."""
    written = [
        path
        for path in sorted((root() / "docs").rglob("*.md"))
        if path.parent.name not in ("reference", "reports") or path.name == "index.md"
    ]
    return ["README.md", *(str(path.relative_to(root())) for path in written)]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page in order, those in lists too, without directives of Sphinx."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    for token in MarkdownIt().parse(text):
        if token.type == "html_block":
            marks |= dict(MARK.findall(token.content))
        elif token.type == "fence":
            assert token.map is not None
            if not token.info.startswith("{"):
                found.append(Block(token.map[0] + 2, token.info.strip(), token.content.rstrip("\n"), marks))
            marks = {}
        elif token.type in ("inline", "code_block"):
            assert not marks, f"a mark must stand right before a block: {marks}"
    return found


def words_of(page: str) -> str:
    """Return the text of a page."""
    return (root() / page).read_text(encoding="utf-8")


def shown(text: str) -> list[tuple[str, ...]]:
    """Return the lines of a block of output as words; without empty ones, and those that say that some are left out."""
    lines = [tuple(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and line != ("...",)]


def not_printed(expected: str, printed: str) -> list[str]:
    """Return the lines of a block of output that a command did not print, in their order; spaces do not count."""
    rest = iter([tuple(line.split()) for line in printed.splitlines()])
    return [" ".join(line) for line in shown(expected) if line not in rest]
