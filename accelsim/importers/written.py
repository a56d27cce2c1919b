"""How an imported network is written down: YAML that a person can go on with, and tables of Markdown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accelsim.text import in_markdown

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"}
"""What YAML does not take for text, in any case."""


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML: a key a line, and an item of a list of mappings a line."""
    lines = []
    for key, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            lines += ["", f"{key}:", *(f"  - {_flow(item)}" for item in value)]
        else:
            lines.append(f"{_flow(key)}: {_flow(value)}")
    return "\n".join(lines or ["{}"]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(in_markdown, line)) + " |" for line in lines]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return _number(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    """Return a text in double quotes, where JSON writes in two escapes what YAML writes in one."""
    whole = json.dumps(text.encode(errors="replace").decode(), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in whole)


def _number(value: float) -> str:
    """Return a float in full; YAML 1.1 takes 1e-05 for text, and 1.0e-05 for a number."""
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"
