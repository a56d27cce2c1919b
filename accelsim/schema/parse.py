"""Models of the input files, and plain words for everything that a file gets wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic_core import ErrorDetails, PydanticKnownError, core_schema

from accelsim.errors import InputError, Problem, did_you_mean, nearest, show
from accelsim.schema.effects import Effect
from accelsim.schema.registered import BROKEN_ENTRY
from accelsim.schema.source import Key, Location, Source

T = TypeVar("T")

_STRICT_TYPES = {"int", "float", "bool", "str"}
# Numbers that a file sets no limit to stay well inside those of NumPy, so that sums and products of them do too.
_MOST: dict[str, int | float] = {"int": 2**31 - 1, "float": 1e30}
_TAG = re.compile(r"accelsim/([a-z_]+)@([0-9]{1,6})")


@dataclass(frozen=True)
class _ExactLiteral:
    """Refuses `true` and `1.0` where a literal 1 is asked for, which Python holds equal."""

    expected: tuple[Any, ...]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, bool | int | float) and type(value) not in map(type, self.expected):
            *most, last = map(repr, self.expected)
            expected = f"{', '.join(most)} or {last}" if most else last
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value


def _make_strict(schema: Any) -> None:
    if isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)
    elif isinstance(schema, dict):
        if schema.get("type") in _STRICT_TYPES:
            schema["strict"] = True
            if most := _MOST.get(schema["type"]):
                if not {"gt", "ge"} & schema.keys():
                    schema["ge"] = -most
                if not {"lt", "le"} & schema.keys():
                    schema["le"] = most
        elif schema.get("type") == "literal" and any(isinstance(v, int) for v in schema["expected"]):
            # In place, since the models that hold this schema refer to this very object.
            exact = _ExactLiteral(tuple(schema["expected"]))
            inner = dict(schema)
            schema.clear()
            schema.update(core_schema.no_info_before_validator_function(exact, inner))
            return
        elif isinstance(schema.get("function"), dict) and isinstance(schema["function"].get("function"), _ExactLiteral):
            return
        for key, part in schema.items():
            if key not in ("default", "metadata", "serialization", "expected"):
                _make_strict(part)


class Model(BaseModel):
    """The base of everything read from YAML: frozen, no unknown keys, no silent conversion.

    The default of a quantity is written in SI units: `vdd: Voltage = 0.9`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    effects: ClassVar[Mapping[str, Effect]] = {}
    """What each numeric key of its own may change when it grows, see `Effect`; bases declare theirs."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        schema = handler(source)
        # pydantic's own strict mode would also refuse a YAML list where a tuple is asked
        # for, and a word where an enum is, so only the plain types are made strict.
        _make_strict(handler.resolve_ref_schema(schema))
        return schema


def parse(model_type: type[T], source: Source) -> T:
    """A file's data as a checked model; raises InputError with all its problems, each with its line.

    A top-level `schema:` tag is left to `check_schema_tag` unless the model has such a key.
    """
    adapter: TypeAdapter[T] = TypeAdapter(model_type)
    data = source.data
    if isinstance(data, dict) and "schema" in data and not _has_field(model_type, "schema"):
        data = {key: value for key, value in data.items() if key != "schema"}
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        raise InputError(_problems(error.errors(include_url=False), data, source, adapter)) from None


def messages_of(error: ValidationError) -> list[str]:
    """What is wrong with a model that was made of values, not read from a file, in the same words."""
    return [_words(one, tuple(one["loc"]))[0] for one in error.errors(include_url=False)]


def json_schema(model_type: Any, tag: str | None = None) -> dict[str, Any]:
    """The JSON schema of a model, for editors; `tag` adds the `schema: accelsim/<tag>@1` key."""
    schema = TypeAdapter(model_type).json_schema()
    if tag is not None:
        # Each alternative of a union allows its own keys alone, so each one needs the tag.
        union = schema.get("oneOf") or schema.get("anyOf") or []
        for part in [schema["$defs"][one["$ref"].rsplit("/", 1)[-1]] for one in union] or [schema]:
            part["properties"] = {"schema": {"const": f"accelsim/{tag}@1"}, **part.get("properties", {})}
            part["required"] = ["schema", *part.get("required", [])]
    return schema


def check_schema_tag(source: Source, name: str, newest: int = 1) -> int:
    """The version in a file's tag `schema: accelsim/<name>@<version>`; raises InputError."""
    right = f"accelsim/{name}@{newest}"
    hint = f"write 'schema: {right}'"

    def refuse(message: str, hint: str | None) -> InputError:
        return InputError([source.problem(message, ("schema",), hint)])

    if not isinstance(source.data, dict):
        raise refuse(f"expected a mapping (key: value), found {show(source.data)}", None)
    if "schema" not in source.data:
        raise refuse("missing key 'schema'", hint)
    tag = source.data["schema"]
    match = _TAG.fullmatch(tag) if isinstance(tag, str) else None
    if not match:
        raise refuse(f"unknown schema {show(tag)}", hint)
    version = int(match[2])
    if match[1] != name:
        raise refuse(f"this is a file of schema '{tag}', expected '{right}'", None)
    if version > newest:
        raise refuse(f"schema '{tag}' is newer than this accelsim, which reads '{right}'", "update accelsim")
    if version < 1:
        raise refuse(f"unknown schema '{tag}'", hint)
    return version


def _has_field(model_type: Any, key: str) -> bool:
    fields = getattr(model_type, "model_fields", {})
    return key in fields or any(field.alias == key for field in fields.values())


def _problems(errors: list[ErrorDetails], data: Any, source: Source, adapter: TypeAdapter[Any]) -> list[Problem]:
    try:
        schema = adapter.json_schema()
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        schema = {}  # costs no more than the hints on unknown keys
    found: dict[Location, list[tuple[ErrorDetails, str, str | None]]] = {}
    mended: set[Location] = set()
    for error in errors:
        location = _location(error, data)
        message, hint = _words(error, location)
        if error["type"] == "extra_forbidden":
            parent = _at(data, location[:-1])
            allowed = list(_allowed(schema, data, location[:-1]))
            unset = [key for key in allowed if key not in parent]
            close = nearest(str(location[-1]), unset)
            hint = did_you_mean(str(location[-1]), unset if close else allowed)
            if close:
                mended.add((*location[:-1], close))
        found.setdefault(location, []).append((error, message, hint))
    problems = []
    for location, entries in found.items():
        # A misspelt key is one mistake, so it is not reported a second time as a missing one.
        entries = [e for e in entries if e[0]["type"] != "missing" or location not in mended]
        for message, hint in _merged(entries):
            problems.append(source.problem(message, location, hint))
    return problems


def _merged(entries: list[tuple[ErrorDetails, str, str | None]]) -> Iterator[tuple[str, str | None]]:
    """The messages about one value, with those of a union's members made one."""
    pattern = re.compile(r"('.*?': )?expected (.*?)(, found .*)?", re.DOTALL)
    texts = dict.fromkeys((message, hint) for _, message, hint in entries)
    matches = [pattern.fullmatch(message) for message, _ in texts]
    if len(texts) > 1 and all(matches):
        wanted = " or ".join(match[2] for match in matches if match)
        label, found = next((m[1] or "", m[3] or "") for m in matches if m)
        yield f"{label}expected {wanted}{found}", None
    else:
        yield from texts


def _location(error: ErrorDetails, data: Any) -> Location:
    """The key path of an error, without the names of union members that pydantic mixes in."""
    missing = error["type"] == "missing"
    # A member's name may also be a key, so the value that pydantic saw decides. The fullest
    # path comes first; a model nested in itself has far too many to try them all.
    paths = list(islice(_paths(error["loc"], data, missing), 1000))
    seen = (path for path in paths if _at(data, path[:-1] if missing else path) is error["input"])
    location = next(seen, paths[0])
    if error["type"] in ("union_tag_invalid", "union_tag_not_found", BROKEN_ENTRY):
        location = (*location, error["ctx"]["discriminator"].strip("'"))
    return location


def _paths(loc: tuple[Key, ...], data: Any, missing: bool) -> Iterator[Location]:
    if not loc:
        if not missing:
            yield ()
        return
    key, rest = loc[0], loc[1:]
    if missing and not rest:
        yield (key,)
        return
    if (isinstance(data, dict) and key in data) or (isinstance(data, list) and key in range(len(data))):
        for path in _paths(rest, _at(data, (key,)), missing):
            yield (key, *path)
    yield from _paths(rest, data, missing)


def _at(data: Any, location: Location) -> Any:
    for key in location:
        data = data[key]
    return data


def _allowed(schema: dict[str, Any], data: Any, location: Location) -> dict[str, None]:
    """The keys that the JSON schema allows in the mapping at a location."""
    definitions = schema.get("$defs", {})

    def expand(node: Any, value: Any) -> Iterator[dict[str, Any]]:
        if not isinstance(node, dict):
            return
        if "$ref" in node:
            yield from expand(definitions.get(node["$ref"].rsplit("/", 1)[-1]), value)
            return
        tags = node.get("discriminator", {})
        if isinstance(value, dict) and value.get(tags.get("propertyName")) in tags.get("mapping", {}):
            yield from expand({"$ref": tags["mapping"][value[tags["propertyName"]]]}, value)
            return
        yield node
        for union in ("anyOf", "oneOf", "allOf"):
            for part in node.get(union, []):
                yield from expand(part, value)

    def step(node: dict[str, Any], key: Key) -> Any:
        if isinstance(key, str):
            return node.get("properties", {}).get(key, node.get("additionalProperties"))
        fixed: list[Any] = node.get("prefixItems", [])
        return fixed[key] if key < len(fixed) else node.get("items")

    nodes = list(expand(schema, data))
    for key in location:
        data = data[key]
        nodes = [part for node in nodes for part in expand(step(node, key), data)]
    return dict.fromkeys(key for node in nodes for key in node.get("properties", {}))


_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping (key: value)",
    "mapping": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "model_attributes": "a mapping (key: value)",
    "dataclass": "a mapping (key: value)",
    "path": "the path of a file",
    "none_required": "nothing",
}
_LIMITS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_SIZES: dict[str, Callable[[dict[str, Any]], str]] = {
    "too_short": lambda c: f"expected at least {c['min_length']} items, found {c['actual_length']}",
    "too_long": lambda c: f"expected at most {c['max_length']} items, found {c['actual_length']}",
    "string_too_short": lambda c: f"must have at least {c['min_length']} characters",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "string_pattern_mismatch": lambda c: f"must match the pattern {c['pattern']}",
}


def _words(error: ErrorDetails, location: Location) -> tuple[str, str | None]:
    """A pydantic error in plain words, and a hint."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    label = _label(location)
    name = f"'{location[-1]}'" if location else ""
    found = f"found {show(value)}"
    hint: str | None = None
    if kind == "missing":
        return f"missing key {name}", None
    if kind == "extra_forbidden":
        return f"unknown key {name}", None
    if kind == "union_tag_not_found":
        if isinstance(value, dict):
            return f"missing key {name}", None
        return f"expected a mapping with {name}, {found}", None
    if kind == "union_tag_invalid":
        choices = re.findall(r"'([^']*)'", context["expected_tags"])
        tag = value[location[-1]] if isinstance(value, dict) else context["tag"]
        return f"unknown {location[-1]} {show(tag)}", did_you_mean(str(tag), choices)
    if kind == BROKEN_ENTRY:
        return context["message"], None
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", context["expected"])
        if isinstance(value, str) and choices:
            return f"{label}unknown value {show(value)}", did_you_mean(value, choices)
        return f"{label}expected {context['expected']}, {found}", None
    if kind in ("value_error", "assertion_error"):
        return f"{label}{context['error']}", None
    if kind == "quantity":
        return f"{label}{error['msg']}", context.get("hint")
    if kind in _LIMITS:
        phrase, limit = _LIMITS[kind]
        return f"{label}must be {phrase} {_limit(context[limit])}, {found}", None
    if kind in _SIZES:
        return f"{label}{_SIZES[kind](context)}", None
    if kind == "finite_number":
        return f"{label}expected a finite number, {found}", None
    base = "int" if kind == "int_from_float" else kind.removesuffix("_type").removesuffix("_parsing")
    if base in _EXPECTED:
        if base == "string" and isinstance(value, int | float):
            hint = "quote it to make it text"
        if base == "int" and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            hint = f"write {int(value)}"
        return f"{label}expected {_EXPECTED[base]}, {found}", hint
    return f"{label}{error['msg']}", None


def _label(location: Location) -> str:
    """The last key of a location with the indices after it, as a prefix for a message."""
    tail = ""
    for key in reversed(location):
        if isinstance(key, str):
            return f"'{key}{tail}': "
        tail = f"[{key}]{tail}"
    return f"'{tail}': " if tail else ""


def _limit(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
