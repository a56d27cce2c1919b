"""Text of others made fit to be shown: one rule for the terminal, for pages, for traces and for records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

# Of 'scheme://user:password@host'; a password may hold anything but blanks, an '@' as well.
# A path made of a URL has one slash left of two.
_PASSWORD_OF_URL = re.compile(r"(:/{1,3}[^/@:\s]*):\S*@")
_PASSWORD_OF_WHOLE_URL = re.compile(r"(:/{1,3}[^/@:]*):.*@", re.DOTALL)
# Of a query, or of one that is itself quoted for a URL, as odbc_connect is.
_PASSWORD_OF_QUERY = re.compile(
    r"(?i)((?:password|passwd|passphrase|pwd|token|secret|api_?key|access_?key)(?:=|%3d))(?!\*\*\*)(?:(?!%3b|%26)[^&;\s'\"])+"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?(?: ?[A-Za-z/%^0-9\u00b0\u00b5\u03bc\u03a9]*)?")
_BLANKS = re.compile(r"\s+")


def masked(text: str) -> str:
    """Return a text without the passwords of the URLs in it: ``postgresql://u:***@host``, ``?password=***``."""
    if ":/" in text:
        text = _PASSWORD_OF_URL.sub(r"\1:***@", text)
    return _PASSWORD_OF_QUERY.sub(r"\1***", text) if "=" in text or "%3" in text else text


def masked_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line without passwords; one that is a URL may have blanks in its password."""
    return [masked(_PASSWORD_OF_WHOLE_URL.sub(r"\1:***@", one)) for one in arguments]


def printable(text: str) -> str:
    """Return a text as one line that no terminal obeys and no reader is misled by, without passwords.

    Blanks other than spaces become one space, with all around them. Control characters, marks of direction, characters
    without width and halves of surrogate pairs are written as escapes (``\\x1b``, ``\\u202e``).
    """
    text = masked(text)
    if text.isprintable():  # has no blanks but spaces
        return text
    return _escaped(_BLANKS.sub(lambda run: " " if run[0].strip(" ") else run[0], text))


def printable_lines(text: str) -> str:
    """Return a text of our own layout, its line feeds and runs of spaces kept, with all else as in `printable`."""
    return "\n".join(map(_escaped, masked(text).split("\n")))


def in_markdown(text: str) -> str:
    """Return a text on one line, with nothing in it that Markdown would take for its own."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", printable(text))


def in_code(text: str) -> str:
    """Return a text as a code span of Markdown, where nothing can be escaped."""
    return "`" + printable(text).replace("`", "'") + "`"


def csv_row(row: Iterable[Any]) -> list[Any]:
    """Return a row of a CSV table, its texts as `cell` has them."""
    return [cell(one) if isinstance(one, str) else one for one in row]


def cell(text: str) -> str:
    """Return a text as a cell of a CSV table; `from_cell` reads it back.

    What a spreadsheet would compute, as it begins like a formula and is no number, gets an apostrophe in front, which
    spreadsheets read as 'text follows'.
    """
    formula = text.lstrip("'").startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return printable_lines(f"'{text}" if formula else text)


def from_cell(text: str) -> str:
    """Return the text that `cell` made a cell of."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def _escaped(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
