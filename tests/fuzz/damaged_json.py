"""JSON that somebody else wrote: values of other types, figures at the edge, keys that are missing or there twice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Place = tuple[Any, Any]
"""A mapping or a list, and the key or index of one of its values."""

FIGURES = (
    0, -0.0, 1, -1, 0.5, -3.7, 100, 1e9, 1e15, 1e-9, 1e300, -1e300, 1.7e308, -1.7e308, 5e-324, 1e-310, 2**31, 2**53,
    2**62, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, -(10**30), 10**400, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    "", " ", "NaN", "Infinity", "-inf", "1e400", "0", "1.5", "true", "none", "[bold]x[/]", "[/]", "</script><b>",
    "\x00", "\x1b[2J", "\u202egnp", "\ud800", "\udcff", "a\nb", "| x |", "'; DROP TABLE points; --", "ä" * 300,
    "x" * 20_000, "{{ 7 * 7 }}", "$x^$", "$\\frac{", "__class__", "..", "/", "peak", "this run", "µ", "😀", "%s", "{0}",
)  # fmt: skip


def places(data: Any) -> Iterator[Place]:
    """Yield every place of a value within others."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield data, key
        yield from places(value)


def value(rng: random.Random) -> Any:
    """Return a value of any type."""
    return rng.choice(
        (
            lambda: rng.choice(FIGURES),
            lambda: rng.choice(FIGURES),
            lambda: rng.choice(TEXTS),
            lambda: rng.choice((None, True, False)),
            lambda: rng.choice(([], {}, [[]], [{}], {"": {}}, [None], [0.0, 1.0], [1, 2, 3])),
            lambda: [rng.choice(FIGURES) for _ in range(rng.randrange(5))],
            lambda: {rng.choice(TEXTS): rng.choice(FIGURES) for _ in range(rng.randrange(4))},
            lambda: deep(rng.choice((10, 90, 500, 20_000)), rng.random() < 0.5),
        )
    )()


class Raw(str):
    """A text of JSON as it is to be written."""


def deep(depth: int, mapping: bool) -> Raw:
    """Return JSON that is as deep as asked for."""
    return Raw('{"a":' * depth + "1" + "}" * depth if mapping else "[" * depth + "]" * depth)


def _other_figure(rng: random.Random, data: Any) -> None:
    numbers = [place for place in places(data) if _is_number(_at(place))]
    if numbers:
        container, key = rng.choice(numbers)
        container[key] = rng.choice(FIGURES)


def _all_of_a_name(rng: random.Random, data: Any) -> None:
    """Give all figures of one key the same value: every energy is zero, every count is huge."""
    numbers = [place for place in places(data) if _is_number(_at(place)) and isinstance(place[1], str)]
    if numbers:
        name, figure = rng.choice(numbers)[1], rng.choice(FIGURES)
        for container, key in numbers:
            if key == name:
                container[key] = figure


def _all_figures(rng: random.Random, data: Any) -> None:
    figure = rng.choice((0, 0, 1, -1, 1e308, 1.7e308, 5e-324, float("nan"), float("inf"), 2**63 - 1, 10**30))
    for container, key in [place for place in places(data) if _is_number(_at(place))]:
        if rng.random() < 0.9:
            container[key] = figure


def _another_type(rng: random.Random, data: Any) -> None:
    container, key = rng.choice(list(places(data)) or [({}, "a")])
    container[key] = value(rng)


def _dropped(rng: random.Random, data: Any) -> None:
    container, key = rng.choice(list(places(data)) or [({"a": 1}, "a")])
    del container[key]


def _emptied(rng: random.Random, data: Any) -> None:
    inner = [place for place in places(data) if isinstance(_at(place), list | dict)]
    if inner:
        container, key = rng.choice(inner)
        container[key] = type(container[key])()


def _renamed(rng: random.Random, data: Any) -> None:
    named = [place for place in places(data) if isinstance(place[0], dict)]
    if named:
        container, key = rng.choice(named)
        container[rng.choice((*TEXTS, key + "x", key.upper()))] = container.pop(key)


def _renamed_value(rng: random.Random, data: Any) -> None:
    texts = [place for place in places(data) if isinstance(_at(place), str)]
    if texts:
        container, key = rng.choice(texts)
        container[key] = rng.choice(TEXTS)


def _swapped(rng: random.Random, data: Any) -> None:
    every = list(places(data))
    if len(every) > 1:
        (a, i), (b, j) = rng.sample(every, 2)
        a[i], b[j] = json.loads(json.dumps(b[j])), json.loads(json.dumps(a[i]))


def _repeated(rng: random.Random, data: Any) -> None:
    lists = [place for place in places(data) if isinstance(_at(place), list) and _at(place)]
    if lists:
        container, key = rng.choice(lists)
        container[key] = container[key] * rng.choice((2, 50, 2000))


def _added(rng: random.Random, data: Any) -> None:
    mappings = [_at(place) for place in places(data) if isinstance(_at(place), dict)]
    mappings += [data] if isinstance(data, dict) else []
    if mappings:
        rng.choice(mappings)[rng.choice(TEXTS)] = value(rng)


_CHANGES: tuple[Callable[[random.Random, Any], None], ...] = (
    _other_figure, _other_figure, _other_figure, _other_figure, _all_of_a_name, _all_of_a_name, _all_figures,
    _another_type, _dropped, _emptied, _renamed, _renamed_value, _swapped, _repeated, _added,
)  # fmt: skip


def damaged(rng: random.Random, data: Any, most: int = 4) -> Any:
    """Return plain data with one to ``most`` changes; parts of it may be `Raw`."""
    data = json.loads(json.dumps(data))
    for _ in range(rng.choice((1, 1, 1, 2, most))):
        rng.choice(_CHANGES)(rng, data)
    return data


def text_of(data: Any) -> str:
    """Return data as JSON; what is `Raw` as it is, figures that are not finite as Python writes them."""
    if isinstance(data, Raw):
        return str(data)
    if isinstance(data, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{text_of(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list | tuple):
        return "[" + ",".join(map(text_of, data)) + "]"
    if isinstance(data, int) and not isinstance(data, bool) and abs(data) > 10**300:
        return ("-" if data < 0 else "") + "9" * 400
    return json.dumps(data)


def spoilt(rng: random.Random, content: bytes) -> bytes:
    """Return bytes that are cut, flipped, doubled, of another encoding, or not of the kind at all."""
    place = rng.randrange(len(content) + 1)
    return rng.choice(
        (
            lambda: content[:place],
            lambda: content[place:],
            lambda: content + content,
            lambda: content[:place] + bytes(rng.randrange(256) for _ in range(4)) + content[place + 4 :],
            lambda: content[:place] + b"\x00" * rng.choice((1, 100)) + content[place + 1 :],
            lambda: content[:place] + b"\xff" + content[place:],
            lambda: content[:place] + content[rng.randrange(len(content) + 1) :],
            lambda: b"\xef\xbb\xbf" + content,
            lambda: content.decode("latin-1").encode("utf-16"),
            lambda: b"",
            lambda: bytes(rng.randrange(256) for _ in range(200)),
            lambda: rng.choice((b"null", b"[]", b"{}", b"0", b'""', b"NaN", b"1" * 5000, b"[" * 100_000)),
        )
    )()


def spoilt_text(rng: random.Random, data: Any) -> bytes:
    """Return data as the bytes of JSON; now and then with a key twice, or spoilt as bytes."""
    text = text_of(data)
    if rng.random() < 0.05 and ":" in text:
        first = text.find('"')
        text = text[:first] + text[first : text.find(",", first) + 1] * 2 + text[first:]
    content = text.encode("utf-8", "surrogatepass")
    return spoilt(rng, content) if rng.random() < 0.1 else content


def _at(place: Place) -> Any:
    container, key = place
    return container[key]


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)
