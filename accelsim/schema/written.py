"""Plain data written as YAML that a person can go on with, and that our reader and others read as the same data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_WIDTH = 110
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]*(?: [A-Za-z0-9_./@-]*[A-Za-z0-9_])*")
_QUANTITY = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)? [A-Za-z][A-Za-z0-9/^]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"}
"""What YAML does not take for text, in any case."""


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML: a key a line, and of a list of mappings an item a line.

    What is inside stands on the line of its key where that has room.
    """
    lines: list[str] = []
    for key, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            lines += ["", f"{flow(key)}:", *(f"  - {flow(item)}" for item in value)]
        else:
            lines += _block(key, value, "")
    return "\n".join(lines or ["{}"]) + "\n"


def flow(value: Any) -> str:
    """Return plain data as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _is_plain(value):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return _number(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _block(key: str, value: Any, indent: str) -> Iterator[str]:
    line = f"{indent}{flow(key)}: {flow(value)}"
    if not isinstance(value, Mapping | list) or not value or len(line) <= _WIDTH:
        yield line
        return
    yield f"{indent}{flow(key)}:"
    if isinstance(value, Mapping):
        for inner, part in value.items():
            yield from _block(inner, part, indent + "  ")
    else:
        yield from (f"{indent}  - {flow(item)}" for item in value)


def _is_plain(text: str) -> bool:
    return bool((_WORD.fullmatch(text) and text.lower() not in _WORDS) or _QUANTITY.fullmatch(text))


def _quoted(text: str) -> str:
    """Return a text in double quotes, where JSON writes in two escapes what YAML writes in one."""
    whole = json.dumps(text.encode(errors="replace").decode(), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in whole)


def _number(value: float) -> str:
    """Return a float in full; YAML 1.1 takes 1e-05 for text, and 1.0e-05 for a number."""
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"
