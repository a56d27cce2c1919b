"""Names that files give to things: which characters each kind of name may have.

A `Name` becomes part of dotted keys, of file names and of a trace's identifiers; brackets mark copies of a component in
tiles, ``->`` channels, and `` of `` what a channel carries. An `OpName` comes from the tools of
others, and stands in tensors' names and as text in a trace. A `Label` is shown alone. All other text is free, and
escaped where it is shown, see `accelsim.text`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from accelsim.errors import show

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_OP_NAME = re.compile(r"[!-~]{1,250}")
LONGEST_LABEL = 200


def as_name(text: str) -> str:
    """Return a `Name`; raises ValueError for what is none."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"a name is of 1 to 64 letters, digits, '_', '-', '.', the last two not first, {_found(text)}")
    return text


def _op_name(text: str) -> str:
    if not _OP_NAME.fullmatch(text):
        raise ValueError(f"the name of an op has 1 to 250 characters of ASCII and no blanks, {_found(text)}")
    return text


def _label(text: str) -> str:
    if not (text.isprintable() and text == text.strip() and 1 <= len(text) <= LONGEST_LABEL):
        limits = f"1 to {LONGEST_LABEL} characters on one line that can be shown, no blank first or last"
        raise ValueError(f"a name here has {limits}, {_found(text)}")
    return text


def _found(text: str) -> str:
    return f"found {show(text)}" + (f" ({len(text)} characters)" if len(text) > 64 else "")


Name = Annotated[str, AfterValidator(as_name)]
"""Of a component, clock, power domain, engine, operating point, run or paper."""
OpName = Annotated[str, AfterValidator(_op_name)]
"""Of an op, and of what it gives."""
Label = Annotated[str, AfterValidator(_label)]
"""Of a chip, a network, a table or a figure."""
