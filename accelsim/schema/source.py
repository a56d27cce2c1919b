"""YAML files read without surprises, each value with the line it was written on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from accelsim import limits
from accelsim.errors import InputError, Problem, did_you_mean, nearest
from accelsim.limits import Limits

MAX_DIGITS = 100

Key = str | int
Location = tuple[Key, ...]
Overrides = Mapping[str, Any]
"""Dotted key -> value: text as in YAML, a number, True, False, None, a path, or lists and mappings of those."""

_LONGEST_PATH = 1000  # parts between dots, far more than levels: names hold dots
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_INT = re.compile(rf"[-+]?{_DIGITS}")
_BASED_INT = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_FLOAT = re.compile(rf"[-+]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0_?[0-9]")
_NOT_FINITE = re.compile(r"[-+]?\.?(?:inf|nan|infinity)", re.IGNORECASE)
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_FALSE_FRIENDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_LIBYAML: Any = getattr(yaml, "CSafeLoader", None)  # PyYAML may be built without it
# Where libyaml reads some texts in another way than PyYAML's own loader: characters, complex keys, tags, the marks
# of documents and directives, a comment right behind the mark of a block of text.
_READ_APART = re.compile(
    "[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\U00010000-\U0010ffff]"
    r"|(?<!\w)[?!]|\?(?!\w)|^(?:---|\.\.\.|%)|[|>][-+0-9]*#",
    re.MULTILINE,
)


class Place(NamedTuple):
    """Where a value stands, and where its parts stand; nothing of it is to be changed."""

    line: int | None
    parts: dict[Key, Place] = {}
    file: str | None = None  # set only where a value came from elsewhere: --set


@dataclass(frozen=True)
class Source:
    """A file's plain data, and the line of each value in it; the data is not to be changed.

    ``content``: the bytes that it was read from, whatever was changed since.
    """

    path: str
    data: Any
    _place: Place
    content: bytes = field(default=b"", compare=False, repr=False)

    def where(self, location: Location = ()) -> tuple[str, int | None]:
        """The file and 1-based line of a key path, or of its nearest parent that exists."""
        place, file = self._place, self.path
        for key in location:
            if key not in place.parts:
                break
            place = place.parts[key]
            file = place.file or file
        return file, place.line

    def line(self, location: Location = ()) -> int | None:
        """The 1-based line of a key path, or of its nearest parent that exists."""
        return self.where(location)[1]

    def problem(self, message: str, location: Location = (), hint: str | None = None) -> Problem:
        """A Problem that points at a key path of this file."""
        file, line = self.where(location)
        return Problem(message, file, line, hint)

    @contextmanager
    def at(self, location: Location = ()) -> Iterator[None]:
        """Give the place of a key path to the problems of an InputError that comes up within and have none."""
        try:
            yield
        except InputError as error:
            raise error.at(*self.where(location)) from None

    def problems_of(self, looks: Iterable[tuple[Location, Callable[[], object]]]) -> list[Problem]:
        """What InputErrors of several calls tell, what has no place at the key path beside the call."""
        problems: list[Problem] = []
        for location, look in looks:
            try:
                with self.at(location):
                    look()
            except InputError as error:
                problems += error.problems
        return problems

    def override(self, path: str, value_text: str, prefix: str = "", said: Location | None = None) -> Source:
        """This source with the value at a dotted path replaced, as `--set path=value` does.

        List items go by index, or by their `name`: `graph.l0.threshold`. `prefix` is what the user wrote before
        the path, for messages. `said`: the key path of this file that says so, where it is not the command line.
        Raises InputError.
        """
        file, line = (f"--set {prefix}{path}", None) if said is None else self.where(said)
        shown = file if line is None else f"{file}:{line}"
        value, place = _read(value_text, shown, limits.current(), one_value=True)
        return self._with(self._locate(path, file, line), value, _on_one_line(place, file, line))

    def with_value(self, location: Location, value: Any, file: str) -> Source:
        """This source with the plain data at a location replaced by others, of which messages say that ``file``."""
        return self._with(location, value, Place(None, {}, file))

    def based_on(self, base: Source, location: Location) -> Source:
        """Another source with the values that this one gives by dotted paths in the mapping at ``location``.

        They keep their lines in this file. Raises InputError for a path that the base does not have.
        """
        settings, place = self.data, self._place
        for key in location:
            settings, place = settings[key], place.parts[key]
        found = base
        for path, value in settings.items():
            file, line = self.where((*location, path))
            where = found._locate(path, file, line)
            found = found._with(where, value, Place(line, place.parts[path].parts, file))
        return found

    def _with(self, where: Location, value: Any, place: Place) -> Source:
        """This source with the value at a location replaced."""

        def replace(data: Any, around: Place, location: Location) -> tuple[Any, Place]:
            if not location:
                return value, place
            key, rest = location[0], location[1:]
            old = data[key] if not isinstance(data, dict) or key in data else None
            new, new_place = replace(old, around.parts.get(key, around), rest)
            copy: Any = dict(data) if isinstance(data, dict) else list(data)
            copy[key] = new
            return copy, Place(around.line, {**around.parts, key: new_place}, around.file)

        data, new_place = replace(self.data, self._place, where)
        return Source(self.path, data, new_place, self.content)

    def _locate(self, path: str, file: str, line: int | None) -> Location:
        """The location that a dotted path names; its last key may be new."""
        data: Any = self.data
        location: Location = ()
        parts = path.split(".")
        if len(parts) > _LONGEST_PATH:
            raise InputError.of(f"no key with {len(parts):,} parts in {self.path}", file=file)
        while parts:
            if isinstance(data, dict):
                # A key may itself hold dots, so the longest that exists wins.
                taken = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in data), 0)
                if not taken and len(parts) == 1 and parts[0]:
                    return (*location, parts[0])
                key: Key | None = ".".join(parts[:taken]) if taken else None
            elif isinstance(data, list):
                # So may the name of an item.
                ends = range(len(parts), 0, -1)
                taken = next((n for n in ends if _item(data, ".".join(parts[:n])) is not None), 1)
                key = _item(data, ".".join(parts[:taken]))
            else:
                taken, key = 1, None
            if key is None:
                raise InputError.of(f"no '{path}' in {self.path}", file=file, line=line, hint=self._nearest_path(path))
            data = data[key]
            location = (*location, key)
            parts = parts[taken:]
        return location

    def _nearest_path(self, path: str) -> str | None:
        paths = list(islice(_dotted(self.data), 10_000))
        if close := nearest(path, paths):
            return f"did you mean '{close}'?"
        leaf = path.rsplit(".", 1)[-1]
        same_leaf = [p for p in paths if p.rsplit(".", 1)[-1] == leaf]
        if same_leaf:
            return f"did you mean '{same_leaf[0]}'?"
        return did_you_mean(path, self.data) if isinstance(self.data, dict) else None


def file_bytes(path: str | PathLike[str]) -> bytes:
    """Return what is in a YAML file; raises InputError where it cannot be read, or is over the limit."""
    name = fspath(path)
    try:
        with open(name, "rb") as stream:
            raw = stream.read(limits.current().yaml_bytes + 1)
    except FileNotFoundError:
        raise InputError.of("no such file", file=name, hint=_nearest_file(Path(name))) from None
    except IsADirectoryError:
        raise InputError.of("is a directory, expected a YAML file", file=name) from None
    except OSError as error:
        raise InputError.of(f"cannot read: {error.strerror or error}", file=name) from None
    except ValueError:
        raise InputError.of("not the name of a file", file=repr(name)) from None
    if len(raw) > limits.current().yaml_bytes:
        message, hint = limits.over("yaml_bytes")
        raise InputError.of(message, file=name, hint=hint)
    return raw


def load_yaml(path: str | PathLike[str]) -> Source:
    """A YAML file as plain data; raises InputError for whatever is wrong with the file."""
    name, raw = fspath(path), file_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError.of("not UTF-8 text", file=name, line=line) from None
    data, place = _read(text, name, limits.current())
    if data is None:
        raise InputError.of("the file is empty", file=name, line=1)
    return Source(name, data, place, raw)


def parse_yaml(text: str, name: str = "<text>") -> Source:
    """YAML text as plain data; `name` stands for the file in messages. Raises InputError."""
    data, place = _read(text, name, limits.current())
    if data is None:
        raise InputError.of("the file is empty", file=name)
    return Source(name, data, place, text.encode())


@lru_cache(maxsize=64)  # a sweep reads the same few files for every point; the data is not to be changed
def _read(text: str, file: str, most: Limits, one_value: bool = False) -> tuple[Any, Place]:
    """The data and places of a text; `one_value` leaves lines out of the problems. `most`: the current limits."""
    # libyaml is many times as fast. A text with problems is read again by the loader in Python, so that messages are
    # the same everywhere.
    reader = _Reader(text, yaml.SafeLoader if _LIBYAML is None or _READ_APART.search(text) else _LIBYAML)
    reader.read()
    if reader.problems:
        reader = _Reader(text, yaml.SafeLoader)
        reader.read()
    if reader.problems:
        raise InputError(Problem(p.message, file, None if one_value else p.line, p.hint) for p in reader.problems)
    return reader.data, reader.place


class _Stop(Exception):
    """The text cannot be read any further; the problem is already noted."""


class _Reader:
    """Builds plain data from YAML events, noting every problem on the way.

    The events come from PyYAML; what a plain word means is decided here, since PyYAML
    follows YAML 1.1, where `1e-9` is a string and `no` is false. Keys stay as written.
    """

    def __init__(self, text: str, loader: Any) -> None:
        self.data: Any = None
        self.place = Place(1)
        self.problems: list[Problem] = []
        self._text = text
        self._new_loader = loader
        self._nodes = 0
        self._most = limits.current()
        self._anchors: dict[str, tuple[Any, Place, int]] = {}

    def read(self) -> None:
        try:
            self._loader = self._new_loader(self._text)
            self._document()
        except _Stop:
            pass
        except yaml.reader.ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            self._note(f"a character that YAML does not allow: {_character(error.character)}", line)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = " ".join(filter(None, [error.context, error.problem]))
            hint = "indent with spaces, not tabs" if "'\\t'" in message else None
            self._note(f"not valid YAML: {message}", mark.line + 1 if mark else None, hint)
        except (ValueError, OverflowError) as error:
            # PyYAML lets these out for an escape such as "\UFFFFFFFF" or a %YAML 9999...
            self._note(f"not valid YAML: {error}", self._loader.line + 1)

    def _document(self) -> None:
        self._next()  # the start of the stream
        if isinstance(self._loader.peek_event(), yaml.StreamEndEvent):
            return
        self._next()  # the start of the document
        self.data, self.place = self._value(self._next(), 0)
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._note("a second document starts here, expected one per file", event.start_mark.line + 1)

    def _next(self) -> Any:
        return self._loader.get_event()

    def _note(self, message: str, line: int | None, hint: str | None = None) -> None:
        self.problems.append(Problem(message, None, line, hint))

    def _stop(self, message: str, line: int | None, hint: str | None = None) -> _Stop:
        self._note(message, line, hint)
        return _Stop()

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > self._most.yaml_values:
            message, hint = limits.over("yaml_values")
            raise self._stop(message, line, hint)

    def _value(self, event: Any, depth: int) -> tuple[Any, Place]:
        line = event.start_mark.line + 1
        if depth > self._most.yaml_depth:
            message, hint = limits.over("yaml_depth")
            raise self._stop(message, line, hint)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._stop(f"alias '*{event.anchor}' stands before its anchor is complete", line)
            value, place, nodes = self._anchors[event.anchor]
            self._count(nodes, line)
            return value, Place(line, place.parts)
        before = self._nodes
        self._count(1, line)
        if event.tag is not None and not (event.tag == "!" and isinstance(event, yaml.ScalarEvent)):
            self._note(f"the tag '{event.tag}' is not supported", line, "leave it out; quotes make text")
        value, place = self._untagged(event, line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, place, self._nodes - before)
        return value, place

    def _untagged(self, event: Any, line: int, depth: int) -> tuple[Any, Place]:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, line), Place(line)
        parts: dict[Key, Place] = {}
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                value, place = self._value(event, depth + 1)
                parts[len(items)] = Place(event.start_mark.line + 1, place.parts)
                items.append(value)
            return items, Place(line, parts)
        mapping: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key_line = event.start_mark.line + 1
            key = self._key(event, key_line, depth)
            value, place = self._value(self._next(), depth + 1)
            if key is None:
                continue
            if key in mapping:
                self._note(f"duplicate key '{key}'", key_line, f"first on line {parts[key].line}")
                continue
            mapping[key] = value
            parts[key] = Place(key_line, place.parts)
        return mapping, Place(line, parts)

    def _key(self, event: Any, line: int, depth: int) -> str | None:
        """A key, always text as it was written; None where it is refused."""
        if not isinstance(event, yaml.ScalarEvent):
            self._value(event, depth + 1)
            self._note("a key must be a word, not a list, a mapping or an alias", line)
            return None
        self._count(1, line)
        key: str = event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = (key, Place(line), 1)
        if event.tag is not None:
            self._note(f"the tag '{event.tag}' is not supported on a key", line)
        elif not key:
            self._note("a key is missing before ':'", line)
        elif key == "<<" and not event.style:
            self._note("the merge key '<<' is not supported", line, "write the keys out")
        else:
            return self._text_value(key, line)
        return None

    def _scalar(self, event: Any, line: int) -> Any:
        text: str = event.value
        if event.style or event.tag is not None:  # the style of a plain scalar is None or, of libyaml, ""
            return self._text_value(text, line)
        if text in _WORDS:
            return _WORDS[text]
        if text.lower() in _FALSE_FRIENDS:
            right = _FALSE_FRIENDS[text.lower()]
            hint = f"write {right}, or quote it: '{text}'"
            self._note(f"'{text}' is neither a boolean nor clearly text", line, hint)
        elif _NOT_FINITE.fullmatch(text):
            self._note(f"'{text}' is not a finite number", line, "quote it if it is text")
        elif _BASED_INT.fullmatch(text) or _FLOAT.fullmatch(text):
            return self._number(text, line)
        return self._text_value(text, line)

    def _number(self, text: str, line: int) -> int | float | None:
        if len(text) > MAX_DIGITS:
            self._note(f"a number of more than {MAX_DIGITS} characters", line)
        elif _BASED_INT.fullmatch(text):
            try:
                return int(text, 0)
            except ValueError:
                self._note(f"'{text}' is not a number: stray underscore", line)
        elif _LEADING_ZERO.match(text):
            plain = re.sub("^([-+]?)[0_]+(?=[0-9])", r"\1", text)
            hint = f"write {plain}, or quote it: '{text}'"
            self._note(f"'{text}' starts with 0, which some read as octal", line, hint)
        elif _INT.fullmatch(text):
            return int(text)
        else:
            value = float(text)
            if abs(value) != float("inf"):
                return value
            self._note(f"{text} is too large for a number", line)
        return None

    def _text_value(self, text: str, line: int) -> str:
        # A lone half of a surrogate pair can be written as an escape, but never printed.
        if any("\ud800" <= c <= "\udfff" for c in text):
            self._note("half of a surrogate pair is not a character", line)
            return "?"
        return text


def _item(items: list[Any], word: str) -> int | None:
    """The index of a list item, by its `name` or by its index."""
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == word:
            return index
    if re.fullmatch("[0-9]{1,9}", word) and int(word) < len(items):
        return int(word)
    return None


def _dotted(data: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted path into the data, as `--set` takes it."""
    pairs: list[tuple[str, Any]] = []
    if isinstance(data, dict):
        pairs = list(data.items())
    elif isinstance(data, list):
        for index, item in enumerate(data):
            name = item.get("name") if isinstance(item, dict) else None
            pairs.append((name if isinstance(name, str) else str(index), item))
    for key, value in pairs:
        yield prefix + key
        yield from _dotted(value, f"{prefix}{key}.")


def _on_one_line(place: Place, file: str, line: int | None) -> Place:
    return Place(line, {key: _on_one_line(part, file, line) for key, part in place.parts.items()}, file)


def _nearest_file(path: Path) -> str | None:
    try:
        siblings = sorted(p.name for p in path.parent.iterdir())
    except OSError:
        return None
    close = nearest(path.name, siblings)
    return f"did you mean '{path.parent / close}'?" if close else None


def _character(code: Any) -> str:
    return f"U+{ord(code) if isinstance(code, str) else code:04X}"
