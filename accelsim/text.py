"""Text of others made fit to be shown: one rule for the terminal, for pages, for traces and for records."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Of 'scheme://user:password@host'; a password may hold anything but blanks, an '@' as well.
_PASSWORD_OF_URL = re.compile(r"(?<=://)([^/@:\s]*):\S*@")
_PASSWORD_OF_WHOLE_URL = re.compile(r"(?<=://)([^/@:]*):.*@", re.DOTALL)
# Of a query, or of one that is itself quoted for a URL, as odbc_connect is.
_PASSWORD_OF_QUERY = re.compile(
    r"(?i)((?:password|passwd|passphrase|pwd|token|secret|api_?key|access_?key)(?:=|%3d))(?!\*\*\*)(?:(?!%3b|%26)[^&;\s'\"])+"
)
_BLANKS = re.compile(r"\s+")


def masked(text: str) -> str:
    """Return a text without the passwords of the URLs in it: ``postgresql://u:***@host``, ``?password=***``."""
    return _PASSWORD_OF_QUERY.sub(r"\1***", _PASSWORD_OF_URL.sub(r"\1:***@", text))


def masked_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line without passwords; one that is a URL may have blanks in its password."""
    return [masked(_PASSWORD_OF_WHOLE_URL.sub(r"\1:***@", one)) for one in arguments]


def printable(text: str) -> str:
    """Return a text as one line that no terminal obeys and no reader is misled by, without passwords.

    Blanks other than spaces become one space, with all around them. Control characters, marks of direction, characters
    without width and halves of surrogate pairs are written as escapes (``\\x1b``, ``\\u202e``).
    """
    return _escaped(_BLANKS.sub(lambda run: " " if run[0].strip(" ") else run[0], masked(text)))


def printable_lines(text: str) -> str:
    """Return a text of our own layout, its line feeds and runs of spaces kept, with all else as in `printable`."""
    return "\n".join(map(_escaped, masked(text).split("\n")))


def _escaped(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
