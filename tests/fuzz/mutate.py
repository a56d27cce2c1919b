"""Damage to a YAML file that knows its structure: to keys, values, units, nesting, lines and bytes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any

import yaml

NUMBERS: tuple[Any, ...] = (
    0, -0.0, 1, -1, 2, 3, 7, 8, 16, 31, 32, 63, 64, 65, 127, 255, 256, 1000, 4096, 65535, 65536, 10**6, 2**31 - 1,
    2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64, 10**12, 10**18, 10**30, 10**99, 0.1, 0.5, 0.999999,
    1.0000001, 1.5, 1e-3, 1e-6, 1e-9, 1e-12, 1e-30, 1e-300, 5e-324, 1e6, 1e9, 1e15, 1e30, 1e300,
    1.7976931348623157e308, "1e400", ".inf", "-.inf", ".nan", "1_000", "0x10", "0o17", "1e3", "1.", "007", "1/2",
)  # fmt: skip
UNITS = (
    "", "V", "mV", "Hz", "kHz", "MHz", "GHz", "THz", "s", "ms", "us", "ns", "ps", "fs", "J", "pJ", "fJ", "W", "mW",
    "uW", "m2", "mm2", "um2", "nm", "um", "F", "fF", "ohm", "kohm", "S", "uS", "A", "uA", "B", "kB", "MB", "bit",
    "K", "degC", "%", "pJ/bit", "fJ/op", "um2/bit", "years", "1/s", "V/s",
)  # fmt: skip
WORDS: tuple[Any, ...] = (
    None, True, False, "", " ", "~", "yes", "off", "none", "all", "auto", "name", "x", "[bold]x", "a.b", "a/b", "../x",
    "/", "/etc/passwd", "\u202e", "\x85", "a\nb", "ü", "名", "0", "-", "*", "&", "${HOME}", "{{x}}", "a" * 300,
    [], {}, [None], {"a": 1}, [[]], [1, 2, 3], "accelsim/arch@1", "accelsim/arch@2", "workload.yaml", ".", "..",
)  # fmt: skip
SNIPPETS = (
    "&a ", "*a", "!!python/object:os.system ", "!!binary ", "---\n", "...\n", "? ", "<<: *a\n", "|\n", ">-\n", "#",
    "\t", "\0", "\ufeff", "\r\n", "\r", "{", "}", "[", "]", ",", ":", ": ", "- ", "'", '"', "%YAML 9.9\n", "\\",
    "@", "`", "\u2028", "\x1b[31m", "!", "&a [*a]", "=", "~", "x: &x [*x, *x]\n", '"\\uD800"', '"\\x00"', "\x7f",
)  # fmt: skip
_NUMBER = re.compile(r"^[-+]?[0-9.][0-9._eE+-]*")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Path_ = tuple[Any, ...]


def damaged(rng: random.Random, text: str, others: Sequence[str] = (), times: int | None = None) -> bytes:
    """Return a YAML text with a few things wrong with it; ``others`` are texts to take parts from."""
    data = deepcopy(_data(text))
    if data is not None and rng.random() < 0.8:
        others_data = [_data(rng.choice(others))] if others and rng.random() < 0.3 else []
        for _ in range(times or rng.choice((1, 1, 1, 2, 3, 5))):
            data = changed(rng, data, others_data)
        try:
            text = yaml.dump(data, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=200)
        except (yaml.YAMLError, RecursionError, ValueError):
            text = repr(data)
        if rng.random() < 0.9:
            return text.encode("utf-8", "surrogatepass")
    for _ in range(times or rng.choice((1, 1, 2, 3))):
        text = rng.choice(TEXT_CHANGES)(rng, text)
    raw = text.encode("utf-8", "surrogatepass")
    return rng.choice(BYTE_CHANGES)(rng, raw) if rng.random() < 0.15 else raw


@lru_cache(maxsize=512)
def _data(text: str) -> Any:
    """Return a text's plain data, not to be changed; None if it is no YAML."""
    try:
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError):
        return None


def nudged(rng: random.Random, text: str, others: Sequence[str] = (), times: int = 1) -> bytes:
    """Return a YAML text that most likely still has its schema: numbers scaled, values of a kind exchanged."""
    data = deepcopy(_data(text))
    other = deepcopy(_data(rng.choice(others))) if others else None
    for _ in range(times):
        data = rng.choice(NUDGES)(rng, data, list(key_paths(data)), [other])
    return yaml.dump(data, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=200).encode()


def changed(rng: random.Random, data: Any, others: Sequence[Any] = ()) -> Any:
    """Return plain data with one thing changed; what is given may change too."""
    paths = list(key_paths(data))
    if not paths:
        return rng.choice(WORDS)
    return rng.choice(DATA_CHANGES)(rng, data, paths, others)


def number_like(rng: random.Random, value: Any) -> Any:
    """Return an edge number, with the unit of the value that it replaces."""
    number = rng.choice(NUMBERS)
    if isinstance(value, str) and (found := _NUMBER.match(value)):
        rest = value[found.end() :]
        if rng.random() < 0.25:
            return f"{value[: found.end()]} {rng.choice(UNITS)}"
        return f"{number}{rest}"
    if isinstance(value, str) and rng.random() < 0.3:
        return f"{number} {rng.choice(UNITS)}"
    return number


def key_paths(data: Any, path: Path_ = ()) -> Any:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from key_paths(value, (*path, key))


def _at(data: Any, path: Path_) -> Any:
    for key in path:
        data = data[key]
    return data


def _put(data: Any, path: Path_, value: Any) -> Any:
    _at(data, path[:-1])[path[-1]] = value
    return data


def _leaves(data: Any, paths: Sequence[Path_]) -> list[Path_]:
    return [path for path in paths if not isinstance(_at(data, path), dict | list)] or list(paths)


def _drop(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    path = rng.choice(paths)
    del _at(data, path[:-1])[path[-1]]
    return data


def _rename(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    path = rng.choice(paths)
    around = _at(data, path[:-1])
    if not isinstance(around, dict):
        return data
    names = [key for one in paths for key in one if isinstance(key, str)]
    name = str(path[-1])
    other = rng.choice(
        [name[:-1], name + "s", name.upper(), name.replace("_", "-"), rng.choice(names), rng.choice(WORDS)]
    )
    key = other if isinstance(other, str | bool | None) else str(other)
    items = [(key if old == path[-1] else old, value) for old, value in around.items()]
    around.clear()
    around.update(items)
    return data


def _word(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    word = deepcopy(rng.choice(WORDS))
    return _put(data, rng.choice(paths), word) if paths else word  # of what was emptied nothing else is left


def _number(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    leaves = _leaves(data, paths)
    numeric = [p for p in leaves if isinstance(_at(data, p), int | float) or _NUMBER.match(str(_at(data, p)))] or leaves
    path = rng.choice(numeric)
    return _put(data, path, number_like(rng, _at(data, path)))


def _swap(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    one, other = rng.choice(paths), rng.choice(paths)
    if one[: len(other)] == other or other[: len(one)] == one:
        return data
    first, second = _at(data, one), _at(data, other)
    return _put(_put(data, one, second), other, first)


def _copy(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    return _put(data, rng.choice(paths), deepcopy(_at(data, rng.choice(paths))))


def _same_leaf(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    """A value becomes another of the same type: a name that exists, but elsewhere."""
    leaves = _leaves(data, paths)
    path = rng.choice(leaves)
    alike = [one for one in leaves if type(_at(data, one)) is type(_at(data, path))]
    return _put(data, path, _at(data, rng.choice(alike)))


def _deepen(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    path = rng.choice(paths)
    value = _at(data, path)
    for _ in range(rng.choice((1, 1, 2, 5, 60, 120))):
        value = [value] if rng.random() < 0.5 else {"x": value}
    return _put(data, path, value)


def _grow(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    lists = [path for path in paths if isinstance(_at(data, path), list) and _at(data, path)]
    if not lists:
        return _word(rng, data, paths, others)
    items = _at(data, rng.choice(lists))
    action = rng.randrange(4)
    if action == 0:
        items.extend([deepcopy(rng.choice(items)) for _ in range(rng.choice((1, 2, 50)))])
    elif action == 1:
        rng.shuffle(items)
    elif action == 2:
        items.clear()
    else:
        items.insert(rng.randrange(len(items) + 1), deepcopy(rng.choice(WORDS)))
    return data


def _add(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    mappings = [data, *(_at(data, path) for path in paths)]
    mappings = [one for one in mappings if isinstance(one, dict)]
    if mappings:
        names = [key for path in paths for key in path if isinstance(key, str)] or ["x"]
        rng.choice(mappings)[rng.choice([*names, "x", ""])] = deepcopy(_at(data, rng.choice(paths)))
    return data


def _graft(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    """A part of another file takes the place of one with the same key, or comes beside it."""
    if not others or not isinstance(others[0], dict):
        return _same_leaf(rng, data, paths, others)
    there = list(key_paths(others[0]))
    if not there:
        return data
    keys = {path[-1] for path in paths}
    alike = [path for path in there if path[-1] in keys] or there
    source = rng.choice(alike)
    targets = [path for path in paths if path[-1] == source[-1]] or list(paths)
    return _put(data, rng.choice(targets), deepcopy(_at(others[0], source)))


def _scaled(rng: random.Random, data: Any, paths: Sequence[Path_], others: Sequence[Any]) -> Any:
    """A number grows or shrinks, a little or beyond all measure, and keeps its type and unit."""
    numeric = [p for p in paths if isinstance(_at(data, p), int | float | str) and _NUMBER.match(str(_at(data, p)))]
    if not numeric:
        return data
    path = rng.choice(numeric)
    value = _at(data, path)
    found = _NUMBER.match(str(value))
    mild, wild = (0.25, 0.5, 0.9, 1.1, 2, 3, 4, 10), (0, -1, 1e3, 1e-3, 1e6, 1e-6, 1e9, 1e-9, 1e12, 1e-12, 1e30, 1e-30)
    factor = rng.choice(mild if rng.random() < 0.6 else wild)
    try:
        number = float(found[0]) * factor if found else 0.0
    except ValueError:
        return data
    if isinstance(value, str):
        return _put(data, path, f"{number!r}{value[found.end() :] if found else ''}")
    return _put(data, path, int(number) if isinstance(value, int) and abs(number) < 1e300 else number)


NUDGES: tuple[Callable[..., Any], ...] = (_scaled, _scaled, _scaled, _number, _same_leaf, _drop, _graft, _grow, _swap)

DATA_CHANGES: tuple[Callable[..., Any], ...] = (
    _drop, _drop, _rename, _word, _word, _number, _number, _number, _number, _swap, _copy, _same_leaf, _same_leaf,
    _deepen, _grow, _grow, _add, _graft, _graft,
)  # fmt: skip


def _line_lost(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[rng.randrange(len(lines) + 1) : rng.randrange(len(lines) + 1)]
    return "".join(lines)


def _line_twice(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return "".join(lines)


def _indented(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    index = rng.randrange(len(lines))
    lines[index] = rng.choice((" ", "  ", "\t", "- ")) + lines[index]
    return "".join(lines)


def _snippet(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(SNIPPETS) + text[at:]


def _snippet_at_value(rng: random.Random, text: str) -> str:
    places = [found.end() for found in re.finditer(r": |- |\[|, ", text)] or [0]
    at = rng.choice(places)
    return text[:at] + rng.choice(SNIPPETS) + text[at:]


def _number_in_text(rng: random.Random, text: str) -> str:
    places = list(re.finditer(r"(?<=[ \[{,])[-+]?[0-9][0-9.eE_]*", text))
    if not places:
        return text
    found = rng.choice(places)
    return f"{text[: found.start()]}{rng.choice(NUMBERS)}{text[found.end() :]}"


def _cut(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _letters(rng: random.Random, text: str) -> str:
    letters = list(text)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if letters:
            letters[rng.randrange(len(letters))] = rng.choice("aZ09 :-[]{},.'\"\n#&*!|>%@\\_\t")
    return "".join(letters)


TEXT_CHANGES = (
    _line_lost, _line_twice, _indented, _snippet, _snippet_at_value, _number_in_text, _number_in_text, _cut, _letters,
)  # fmt: skip


def _flipped(rng: random.Random, raw: bytes) -> bytes:
    changed_ = bytearray(raw)
    for _ in range(rng.choice((1, 1, 4, 32))):
        if changed_:
            changed_[rng.randrange(len(changed_))] = rng.randrange(256)
    return bytes(changed_)


def _other_encoding(rng: random.Random, raw: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-32", "latin-1", "utf-8-sig")), "replace")


def _other_ends(rng: random.Random, raw: bytes) -> bytes:
    return raw.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\0")))


BYTE_CHANGES = (_flipped, _flipped, _other_encoding, _other_ends)
