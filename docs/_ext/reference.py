"""Reference pages made from the code: what is registered, what files may say, what costs how much.

Sphinx calls `setup`, which writes every page of `pages` into docs/reference/ before it reads the folder, and those of
reports/ into docs/reports/. Nothing of
these pages is written by hand: a component, op, engine, device, score or key that is new stands there at once.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import BaseModel

import accelsim
from accelsim import cli, library
from accelsim.components import KINDS
from accelsim.components.kind import ComponentSpec
from accelsim.data import DATASETS, DataSet
from accelsim.devices import DEVICES
from accelsim.engines.engine import Engine
from accelsim.explore.metrics import METRICS
from accelsim.explore.validate import SCHEMAS
from accelsim.importers.importer import IMPORTERS
from accelsim.ops.op import OPS
from accelsim.placement import ENGINES
from accelsim.result import Result
from accelsim.schema import effects_of, json_schema
from accelsim.schema.cost import SECTIONS
from accelsim.score.score import SCORES

Json = Mapping[str, Any]

_LARGEST = 2**31 - 1
_GREATEST = 1e30
"""Limits that stand in every schema, because a file may set none: they say nothing to a reader."""


def text(words: str | None) -> str:
    """Return a docstring as Markdown: `name` and ``name`` are code, everything else stands as it is."""
    if not words:
        return ""
    found: list[str] = []
    for part in re.split(r"(``.+?``|`.+?`)", inspect.cleandoc(words), flags=re.DOTALL):
        if part.startswith("`"):
            found.append(f"`{' '.join(part.strip('`').split())}`")
        else:
            found.append(re.sub(r"([\\*_<>\[\]|#])", r"\\\1", part))
    lines = "".join(found).splitlines()
    return "\n".join(_line(line) for line in lines)


def _line(line: str) -> str:
    """Return a line that begins no list, heading or block of Markdown by accident."""
    if line.startswith("    "):
        return f"> {line.strip()}"
    return re.sub(r"^(\s*)([-+]|\d+\.)(\s)", r"\1\\\2\3", line)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown."""
    rows = [list(row) for row in rows]
    head = list(head)
    if not rows:
        return ""
    cells = [[cell.replace("\n", " ").replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def code(value: Any) -> str:
    """Return a value as YAML writes it, as code."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def wanted(node: Json, defs: Json, linked: Mapping[str, str]) -> str:
    """Return in words what a value may be, from its JSON schema; ``linked``: definition -> where it is described."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        if name in linked:
            return f"[{_title(name)}]({linked[name]})"
        return wanted(defs[name], defs, linked)
    if "const" in node:
        return code(node["const"])
    if "enum" in node:
        return ", ".join(code(value) for value in node["enum"])
    for union in ("anyOf", "oneOf"):
        if union in node:
            parts = [wanted(part, defs, linked) for part in node[union] if part.get("type") != "null"]
            return " or ".join(dict.fromkeys(parts))
    kind = node.get("type")
    if kind == "array":
        if items := node.get("prefixItems"):
            return "[" + ", ".join(wanted(item, defs, linked) for item in items) + "]"
        return f"list of {wanted(node['items'], defs, linked)}" if "items" in node else "list"
    if kind == "object":
        inner = node.get("additionalProperties")
        return f"name: {wanted(inner, defs, linked)}" if isinstance(inner, Mapping) and inner else "mapping"
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _bounds(node)
    if kind == "string":
        if node.get("description") and node.get("examples"):
            first = node["description"].rstrip(".")
            return f"{first[0].lower()}{first[1:]}, such as `{node['examples'][0]}`"
        return "text"
    return {"boolean": "true or false", "null": "nothing"}.get(str(kind), "any value")


def _bounds(node: Json) -> str:
    found = []
    for key, words in (
        ("minimum", "at least"),
        ("exclusiveMinimum", "greater than"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "less than"),
    ):
        limit = node.get(key)
        if limit is not None and abs(limit) not in (_LARGEST, _GREATEST):
            found.append(f"{words} {limit:,}" if isinstance(limit, int) else f"{words} {limit:g}")
    return f" {' and '.join(found)}" if found else ""


def keys_table(
    schema: Json, defs: Json, linked: Mapping[str, str], model: type[BaseModel] | None = None, skip: Iterable[str] = ()
) -> str:
    """Return a table of a mapping's keys: what each may be, its default, and what it may change when it grows."""
    required = set(schema.get("required", ()))
    effects = effects_of(model) if model is not None else {}
    rows = []
    for key, node in schema.get("properties", {}).items():
        if key in skip:
            continue
        default = (
            "required" if key in required else "" if node.get("default") in (None, [], {}) else code(node["default"])
        )
        row = [f"`{key}`", wanted(node, defs, linked), default]
        if effects:
            row.append(_effect(effects.get(key)))
        rows.append(row)
    head = ["key", "value", "default"]
    return table([*head, "when it grows"] if effects else head, rows)


def _effect(effect: Any) -> str:
    if effect is None:
        return ""
    words = [f"{figure} {direction}" for figure, direction in effect.named().items()]
    return ", ".join(words).replace("either", "change")


def _title(name: str) -> str:
    return name.replace("-Input", "").replace("_", " ")


def _bases(model: type, root: type) -> Iterator[type]:
    """Yield the classes between a model and ``root`` that say something, the nearest first."""
    for base in model.__mro__[1:]:
        if base is root or not issubclass(base, root):
            continue
        if base.__dict__.get("__doc__"):
            yield base


def _anchor(name: str) -> str:
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def _section(level: int, title: str, *parts: str) -> str:
    return "\n\n".join([f"{'#' * level} {title}", *(part for part in parts if part)]) + "\n"


def _source(thing: Any) -> str:
    file = inspect.getsourcefile(thing)
    return "" if file is None else f"In `{Path(file).relative_to(Path(library.__file__).parent.parent)}`."


@cache
def _yaml_files(folder: str) -> dict[str, Any]:
    return {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((library.root() / folder).glob("*.yaml"))
    }


def _inner(schema: Json) -> tuple[list[str], dict[str, str]]:
    """Return the names of a schema's inner mappings, and where each is described on its page."""
    names = [name for name, node in schema.get("$defs", {}).items() if node.get("properties")]
    return names, {name: f"#{_anchor(_title(name))}" for name in names}


def _inner_sections(
    schema: Json, names: Iterable[str], linked: Mapping[str, str], level: int, skip: Iterable[str] = ()
) -> list[str]:
    defs = schema.get("$defs", {})
    return [
        _section(level, _title(name), text(defs[name].get("description")), keys_table(defs[name], defs, linked))
        for name in names
        if name not in skip
    ]


def components() -> str:
    """Return the page of all kinds of components."""
    used: dict[str, list[str]] = {}
    for chip, data in _yaml_files("arch").items():
        for component in data["components"].values():
            if chip not in used.setdefault(component["kind"], []):
                used[component["kind"]].append(chip)
    parts = [
        "A chip's `components:` are parts of these kinds, each under a name of your own. The column *when it grows* "
        "says what a larger number may change; what becomes better is paid for by something else. Every *action* is "
        "counted in a run and needs a price in the [cost table](cost_tables.md).",
        table(
            ["kind", "what it is", "shipped chips"],
            (
                [f"[`{name}`](#{_anchor(name)})", text(_module_line(kind.spec)), str(len(used.get(name, [])))]
                for name, kind in sorted(KINDS.items())
            ),
        ),
    ]
    page = _section(1, "Components", *parts)
    shared: dict[type, None] = {}
    for name, kind in sorted(KINDS.items()):
        schema = json_schema(kind.spec)
        defs = schema.get("$defs", {})
        bases = list(_bases(kind.spec, ComponentSpec))
        shared |= dict.fromkeys(bases)
        names, linked = _inner(schema)
        actions = [[f"`{action}`", text(words)] for action, words in kind.actions.items()]
        counts = [[f"`{count}`", text(words)] for count, words in kind.counts.items()]
        page += "\n" + _section(
            2,
            f"`{name}`",
            text(_module_line(kind.spec)),
            text(kind.spec.__doc__),
            _also(bases),
            keys_table(schema, defs, linked, kind.spec, skip=("kind", "clock")),
            "**Service time.** " + text(inspect.getdoc(kind.service_cycles)),
            table(["action", "one of them"], actions),
            table(["count", "what it is"], counts),
            f"Chips with it: {', '.join(used[name])}." if name in used else "",
            _source(kind.spec),
        )
        page += "\n" + "\n".join(_inner_sections(schema, names, linked, 3))
    every = [_section(3, base.__name__, text(base.__doc__)) for base in shared]
    page += (
        "\n"
        + _section(
            2,
            "What several kinds have in common",
            text(ComponentSpec.__doc__),
            "Every component may have `clock:`, a name of the chip's `clocks:`; left out, it has the first.",
        )
        + "\n"
        + "\n".join(every)
    )
    return page


def _also(bases: Iterable[type]) -> str:
    found = [f"[{base.__name__}](#{_anchor(base.__name__)})" for base in bases]
    return f"It is also a {', '.join(found)}." if found else ""


def _module_line(thing: type) -> str:
    module = inspect.getmodule(thing)
    words = inspect.getdoc(module) or ""
    return words.split("\n\n")[0]


def ops() -> str:
    """Return the page of all ops."""
    from accelsim.ops.op import Op

    page = _section(
        1,
        "Ops",
        "A network is a list of ops, `graph:` in workload.yaml. Each reads `features` or ops before it, by name.",
        table(
            ["op", "what it computes", "engines"],
            (
                [
                    f"[`{name}`](#{_anchor(name)})",
                    text(_first(op.__doc__)),
                    ", ".join(f"`{e}`" for e in _engines_of(op)),
                ]
                for name, op in sorted(OPS.items())
            ),
        ),
    )
    shared: dict[type, None] = {}
    for name, op in sorted(OPS.items()):
        schema = json_schema(op)
        bases = list(_bases(op, Op))
        shared |= dict.fromkeys(bases)
        names, linked = _inner(schema)
        linked = {inner: f"#{_anchor(_title(inner))}" for inner in names}
        page += "\n" + _section(
            2,
            f"`{name}`",
            text(op.__doc__),
            _also(bases),
            keys_table(schema, schema.get("$defs", {}), linked, skip=("op",)),
            f"Engines: {', '.join(f'`{engine}`' for engine in _engines_of(op))}."
            if _engines_of(op)
            else "It is written out as other ops before it is placed.",
            _source(op),
        )
    page += "\n" + _section(2, "What several ops have in common", text(Op.__doc__))
    page += "\n" + "\n".join(_section(3, base.__name__, text(base.__doc__)) for base in shared)
    inner: dict[str, str] = {}
    for op in OPS.values():
        schema = json_schema(op)
        names, linked = _inner(schema)
        for inner_name, words in zip(names, _inner_sections(schema, names, linked, 3), strict=True):
            inner.setdefault(inner_name, words)
    return page + "\n" + "\n".join(inner.values())


def _engines_of(op: type) -> list[str]:
    return [name for name, engine in sorted(ENGINES.items()) if issubclass(op, engine.runs)]


def _first(words: str | None) -> str:
    """Return the first sentence of a docstring."""
    whole = " ".join(inspect.cleandoc(words or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s(?=[A-Z`])", whole)[0]


def engines() -> str:
    """Return the page of all engines."""
    page = _section(
        1,
        "Engines",
        "An engine runs the ops that are placed on it, with parts of the chip in some *roles*. A chip has the engines "
        "that its components make up; `engines:` names them where that is not clear, `placement:` says what runs "
        "where.",
    )
    for name, engine in sorted(ENGINES.items()):
        assert issubclass(engine, Engine)
        runs = [f"`{op}`" for op, spec in sorted(OPS.items()) if issubclass(spec, engine.runs)]
        settings = ", ".join(f"`{key}`" for key in sorted(engine.settings))
        needs = " or ".join("(" + ", ".join(f"`{role}`" for role in sorted(group)) + ")" for group in engine.needs)
        page += "\n" + _section(
            2,
            f"`{name}`",
            text(engine.__doc__),
            text(inspect.getdoc(inspect.getmodule(engine))),
            f"**Runs** {', '.join(runs)}, and ops of plug-ins that derive from "
            + ", ".join(f"`{spec.__name__}`" for spec in engine.runs)
            + ".",
            f"**Needs** {needs}.",
            f"**Reads of `placement:`** {settings}." if settings else "",
            table(
                ["role", "played by"],
                (
                    [f"`{role}`", text(part.what) + (", one or several" if part.several else "")]
                    for role, part in engine.roles.items()
                ),
            ),
            _source(engine),
        )
    return page


def devices() -> str:
    """Return the page of the kinds of memristor devices, and of those that ship."""
    shipped = _yaml_files("arch/devices")
    page = _section(
        1,
        "Devices",
        "The cells of a crossbar. `device:` of a crossbar names one that ships, or a file of yours beside the chip.",
        table(
            ["device", "kind", "what it is", "source"],
            (
                [
                    f"`{name}`",
                    f"[`{data['kind']}`](#{_anchor(data['kind'])})",
                    text(_first(data.get("description"))),
                    text(" ".join(data["source"].split())),
                ]
                for name, data in shipped.items()
            ),
        ),
    )
    return _with_kinds(page, DEVICES)


def _with_kinds(page: str, kinds: Mapping[str, Any]) -> str:
    """Return a page with a section for each registered kind: what it is, its keys, and where it comes from."""
    for name, kind in sorted(kinds.items()):
        schema = json_schema(kind)
        names, linked = _inner(schema)
        page += "\n" + _section(
            2,
            f"`{name}`",
            text(kind.__doc__),
            keys_table(schema, schema.get("$defs", {}), linked, skip=("kind",)),
            _source(kind),
        )
        page += "\n" + "\n".join(_inner_sections(schema, names, linked, 3, skip=_seen(page, names)))
    return page


def _seen(page: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if f"\n### {_title(name)}\n" in page]


def cost_tables() -> str:
    """Return the page of the price lists: every row with its source."""
    tables = _yaml_files("arch/cost")
    page = _section(
        1,
        "Cost tables",
        "Every price that a run uses is a row of a cost table, with its 5 to 95 % range, how it came about and where "
        "it comes from. `technology: {cost: NAME}` of a chip names a table; one of yours stands on another (`base:`).",
        "Tags: `stated`, printed by its authors; `read`, read in a source; `run`, given by a named tool; `derived`, by "
        "arithmetic on others; `estimated`, an assumption of ours; `calibrated`, fitted to a published figure. "
        "[How energy comes about](../explain/energy.md) follows one price to the report.",
        table(
            ["table", "node", "stands on", "rows"],
            (
                [
                    f"[{name}](#{_anchor(name)})",
                    str(data.get("node", "")),
                    text(_based(data)),
                    str(sum(len(data.get(section, [])) for section in SECTIONS)),
                ]
                for name, data in tables.items()
            ),
        ),
    )
    for name, data in tables.items():
        page += "\n" + _section(2, name, text(data.get("description")))
        for section in SECTIONS:
            rows = [_price(row) for row in data.get(section, [])]
            if rows:
                page += "\n" + f"**{section}**\n\n" + table(["part", "at", "value", "5 to 95 %", "tag", "source"], rows)
    return page


def _based(data: Json) -> str:
    bases = data.get("base", [])
    bases = bases if isinstance(bases, list) else [bases]
    return ", ".join(f"`{base if isinstance(base, str) else base['table']}`" for base in bases)


def _price(row: Json) -> list[str]:
    part = " ".join(f"`{row[key]}`" for key in ("kind", "action", "state") if key in row)
    at = ", ".join(f"{key} {value}" for key, value in row.get("at", {}).items())
    value = row.get("value") or (
        f"model `{row['model']}`" if "model" in row else f"in `{row['included_in']}`" if "included_in" in row else ""
    )
    span = f"{row['low']} to {row['high']}" if "low" in row else ""
    if "spread" in row:
        span = " to ".join(f"{factor:g}" for factor in row["spread"]) + " times"
    note = f" {row['note']}" if row.get("note") else ""
    return [
        part,
        text(at),
        str(value),
        span,
        str(row.get("tag", "")),
        text(" ".join(f"{row.get('source', '')}{note}".split())),
    ]


def schema_page(name: str) -> str:
    """Return the page of one kind of file."""
    schema = json_schema(SCHEMAS[name], name)
    defs = schema.get("$defs", {})
    names, linked = _inner(schema)
    elsewhere = _elsewhere()
    described = {inner: elsewhere.get(inner, place) for inner, place in linked.items()}
    here = [inner for inner in names if inner not in elsewhere]
    top = [
        inner["$ref"].rsplit("/", 1)[-1]
        for inner in schema.get("oneOf") or schema.get("anyOf") or []
        if "$ref" in inner
    ]
    parts = (
        [text(schema.get("description")), keys_table(schema, defs, described)]
        if schema.get("properties")
        else ["One of: " + ", ".join(f"[{_title(inner)}]({described[inner]})" for inner in top) + "."]
    )
    page = _section(
        1,
        f"`accelsim/{name}@1`",
        f"The first line of such a file is `schema: accelsim/{name}@1`. `accelsim validate FILE` checks one, and "
        f"`accelsim schema {name}` prints its JSON schema for editors."
        if name in _NAMED
        else "",
        *parts,
    )
    sections = [
        _section(2, _title(inner), text(defs[inner].get("description")), keys_table(defs[inner], defs, described))
        for inner in here
    ]
    return page + "\n" + "\n".join(sections)


_NAMED = frozenset(SCHEMAS)


@cache
def _elsewhere() -> dict[str, str]:
    """Return the models that have a place on a page of their own: definition -> link."""
    found = {}
    for registry, page in ((KINDS, "components.md"), (OPS, "ops.md"), (DEVICES, "devices.md"), (SCORES, "scores.md")):
        for name, entry in registry.items():
            model = getattr(entry, "spec", entry)
            found[model.__name__] = f"{page}#{_anchor(name)}"
    return found


def result_page() -> str:
    """Return the page of the record of a run."""
    schema = Result.model_json_schema()
    defs = schema.get("$defs", {})
    names, linked = _inner(schema)
    return (
        _section(
            1,
            "`result.json`",
            "What `accelsim run --out DIR` leaves behind, and what `accelsim.run` returns.",
            text(schema.get("description")),
            keys_table(schema, defs, linked),
        )
        + "\n"
        + "\n".join(_inner_sections(schema, names, linked, 2))
    )


def scores() -> str:
    """Return the page of the ways to score a network."""
    page = _section(1, "Scores", "`score:` of a workload says how its outputs are compared with what was said.")
    return _with_kinds(page, SCORES)


def data_sets() -> str:
    """Return the page of data sets and importers."""
    rows = []
    for name, known in sorted(DATASETS.items()):
        if known.download is not None:
            where, licence = f"<{known.download.url}>", known.download.licence
        elif isinstance(known, DataSet) and known.parts:
            where, licence = "made of " + ", ".join(f"`{part}`" for part in known.parts), ""
        else:
            where, licence = "ships with accelsim", ""
        rows.append([f"`{name}`", ", ".join(f"`{split}`" for split in known.splits), where, text(licence)])
    return _section(
        1,
        "Data sets",
        "`inputs: {source: speech, dataset: NAME, split: SPLIT}` of a workload names one of these. "
        "`accelsim data list` prints them, `accelsim data get NAME` downloads one with its checksum, and "
        "`ACCELSIM_DATA` names the folder that holds them.",
        table(["data set", "splits", "where from", "licence"], rows),
    )


def metrics() -> str:
    """Return the page of the figures that sweeps and searches know by name."""
    rows = [
        [f"`{name}`", f"`{one.short}`", one.unit, "more" if one.higher_is_better else "less"]
        for name, one in METRICS.items()
    ]
    return _section(
        1,
        "Objectives and figures",
        "What `--objectives` and `--constraint` of a sweep or a search may name, in its long or its short form.",
        table(["name", "short", "unit", "better is"], rows),
    )


def shipped() -> str:
    """Return the page of the chips and networks that ship."""
    chips = [
        [
            f"`{name}`",
            f"`{data['workload']}`",
            f"`{data['technology']['cost']}`",
            text(" ".join(_first(data.get("description", "")).split())),
        ]
        for name, data in _yaml_files("arch").items()
    ]
    networks = []
    for name in library.workload_names():
        data = yaml.safe_load((library.root() / "workloads" / name / "workload.yaml").read_text(encoding="utf-8"))
        networks.append(
            [f"`{name}`", str(len(data.get("graph", []))), text(" ".join(_first(data.get("description", "")).split()))]
        )
    papers = [
        [f"`{name}`", f"`{data['architecture']}`", text(data["title"]), text(data["reference"])]
        for name, data in _yaml_files("arch/papers").items()
    ]
    return (
        _section(
            1,
            "Chips, networks and papers that ship",
            "`accelsim run CHIP` runs a chip with its own network, `-w NETWORK` with another one.",
        )
        + "\n"
        + _section(2, "Chips", table(["chip", "its network", "cost table", "what it is"], chips))
        + "\n"
        + _section(2, "Networks", table(["network", "ops as written", "what it is"], networks))
        + "\n"
        + _section(2, "Papers", table(["name", "chip", "title", "reference"], papers))
    )


def importers() -> str:
    """Return the page of the formats that are imported."""
    page = _section(1, "Importers", "`accelsim import MODEL --out DIR` makes a workload of a trained network.")
    for name, importer in sorted(IMPORTERS.items()):
        page += "\n" + _section(
            2, f"`{name}`", text(inspect.getdoc(importer)), text(inspect.getdoc(inspect.getmodule(importer)))
        )
    return page


def commands() -> str:
    """Return the page of the command line."""
    root = typer.main.get_command(cli.app)
    page = _section(
        1,
        "Command line",
        text(root.help),
        text(root.epilog),
        "`accelsim COMMAND --help` prints the same in a terminal.",
    )
    for path, command in _commands(root, ()):
        usage = " ".join(["accelsim", *path, *command.collect_usage_pieces(typer.Context(command))])
        arguments = [
            [f"`{one.metavar or one.name}`", text(getattr(one, "help", ""))]
            for one in command.params
            if one.param_type_name == "argument"
        ]
        options = [
            [", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts)), text(getattr(one, "help", ""))]
            for one in command.params
            if one.param_type_name == "option" and not getattr(one, "hidden", False)
        ]
        page += "\n" + _section(
            2,
            f"accelsim {' '.join(path)}",
            text(command.help),
            f"```text\n{usage}\n```",
            table(["argument", "what it is"], arguments),
            table(["option", "what it does"], options),
            _examples(command.epilog),
        )
    return page


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all commands that do something, with the words that name each."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def _examples(epilog: str | None) -> str:
    lines = [line.strip() for line in (epilog or "").splitlines() if line.strip()]
    if not lines or not lines[0].startswith("Example"):
        return text(epilog)
    return "\n".join(["```text", *lines[1:], "```"])


def python() -> str:
    """Return the page of the public names of `import accelsim`."""
    page = _section(
        1, "Python", "`import accelsim` gives these names; all else may change from one version to the next."
    )
    for name in accelsim.__all__:
        thing = getattr(accelsim, name)
        if isinstance(thing, str) or inspect.ismodule(thing):
            continue
        directive = (
            f".. autoclass:: accelsim.{name}\n   :members:\n   :exclude-members: model_config"
            if inspect.isclass(thing)
            else f".. autofunction:: accelsim.{name}"
        )
        page += f"\n## {name}\n\n```{{eval-rst}}\n{directive}\n```\n"
    return page


SCHEMA_PAGES = tuple(SCHEMAS)


def pages() -> dict[str, str]:
    """Return the pages by their names in docs/reference/."""
    found = {
        "components.md": components(),
        "ops.md": ops(),
        "engines.md": engines(),
        "devices.md": devices(),
        "cost_tables.md": cost_tables(),
        "scores.md": scores(),
        "data_sets.md": data_sets(),
        "importers.md": importers(),
        "metrics.md": metrics(),
        "shipped.md": shipped(),
        "cli.md": commands(),
        "python.md": python(),
        "file_result.md": result_page(),
    }
    return found | {f"file_{name}.md": schema_page(name) for name in SCHEMA_PAGES}


def reports() -> dict[str, str]:
    """Return the pages of reports/ for docs/reports/; what they link to beside one another is no page of the site."""
    found = {}
    for file in sorted((library.root() / "reports").glob("*.md")):
        words = file.read_text(encoding="utf-8")
        found[file.name] = re.sub(r"\[([^\]]+)\]\((?!https?://|\w+\.md)[^)]*\)", r"\1", words)
    return found


def notebooks(folder: Path) -> dict[str, str]:
    """Return the notebooks of a folder as pages for docs/reference/, without what their cells gave."""
    found = {}
    for file in sorted(folder.glob("*.ipynb")):
        parts = [f"In the checkout: `docs/notebooks/{file.name}`, which runs in CI."]
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts[0], parts[1] = parts[1], parts[0]  # the title comes first
        found[f"notebook_{file.stem}.md"] = "\n\n".join(parts) + "\n"
    return found


def write(folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages; one that says what it said before is left alone, so that Sphinx need not read it again."""
    folder.mkdir(exist_ok=True)
    for name, words in pages.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != words:
            file.write_text(words, encoding="utf-8")


def write_all(docs: Path) -> None:
    """Write all pages that are made, below docs/."""
    write(docs / "reference", pages() | notebooks(docs / "notebooks"))
    write(docs / "reports", reports())


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx to have the pages written before it looks for them."""
    app.connect("config-inited", lambda app, config: write_all(Path(app.srcdir)))
    return {"version": "1", "parallel_read_safe": True}
