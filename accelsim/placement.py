"""Which engine of a chip runs which op of a network: by name, by pattern, by kind of op, or the only one that can."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

from accelsim.architecture import Architecture
from accelsim.components import ComponentSpec
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.ops.graph import Graph
from accelsim.ops.op import Edge, Op
from accelsim.registry import Registry
from accelsim.schema import check_schema_tag, load_yaml, parse
from accelsim.schema.placement import PlacementFile, PlacementSpec
from accelsim.workload import Workload

OP_KIND = "op:"
"""What a key of ``placement`` begins with that names a kind of op, such as ``op:conv``."""

_WILD = frozenset("*?[")


@dataclass(frozen=True)
class Role:
    """A part that an engine needs, by what the part must be able to do.

    ``what``: in words, for messages; ``fits``: whether a component can play it; ``several``: whether more than one may,
    the first of them where an op names none.
    """

    what: str
    fits: Callable[[ComponentSpec], bool]
    several: bool = False


def stores(what: str) -> Role:
    """Return the role of a memory that stores something."""
    return Role(f"a memory with 'stores: {what}'", lambda spec: getattr(spec, "stores", None) == what)


def of_class(what: str, *classes: type[ComponentSpec], several: bool = False) -> Role:
    """Return the role of a component whose Spec is of one of some classes, or of a class derived from them."""
    return Role(what, lambda spec: isinstance(spec, classes), several)


class EngineKind:
    """What placement asks of a kind of engine, see `accelsim.engines.engine.Engine`."""

    kind: ClassVar[str]
    runs: ClassVar[tuple[type[Op], ...]]
    roles: ClassVar[Mapping[str, Role]]
    needs: ClassVar[Sequence[frozenset[str]]]
    settings: ClassVar[frozenset[str]]
    lockstep: ClassVar[Sequence[tuple[str, str]]]
    flows: ClassVar[Sequence[tuple[str, str]]]
    entries: ClassVar[Sequence[str]]
    exits: ClassVar[Sequence[str]]
    compiles: ClassVar[bool]

    @classmethod
    def refuses(cls, op: Op, read: Sequence[Edge], given: Edge, parts: Parts) -> str | None:
        """Return why the engine's parts cannot run an op, one of the classes in ``runs``; else None."""
        return None


ENGINES: Registry[type[EngineKind]] = Registry("accelsim.engines", "kind of engine", builtin="accelsim.engines")
"""Every kind of engine by the name that YAML uses for it."""


@dataclass(frozen=True)
class Parts:
    """The components of an engine, by the names of its roles; a role that nothing plays is absent."""

    names: Mapping[str, tuple[str, ...]]
    components: Mapping[str, ComponentSpec]

    def __contains__(self, role: str) -> bool:
        return role in self.names

    def name(self, role: str) -> str:
        """Return the component of a role, the first where several play it."""
        return self.names[role][0]

    def spec(self, role: str) -> Any:
        """Return the Spec of a role's component."""
        return self.components[self.name(role)]

    def all(self, role: str) -> dict[str, Any]:
        """Return the Specs of all components of a role by name."""
        return {name: self.components[name] for name in self.names.get(role, ())}

    def has(self, roles: Iterable[str]) -> bool:
        """Return whether all of some roles are played."""
        return all(role in self.names for role in roles)

    def lacks(self, *roles: str) -> list[str]:
        """Return the roles that nothing plays."""
        return [role for role in roles if role not in self.names]


@dataclass(frozen=True)
class Site:
    """An engine of a chip: its name, its kind and its parts."""

    name: str
    kind: type[EngineKind]
    parts: Parts


@dataclass(frozen=True)
class Placement:
    """Where each op runs, and how it lies there: by op, the name of the engine and the settings."""

    sites: Mapping[str, Site]
    engine_of: Mapping[str, str]
    settings: Mapping[str, PlacementSpec]

    def ops_of(self, site: str, graph: Graph) -> tuple[Op, ...]:
        """Return the ops of an engine, in order."""
        return tuple(op for op in graph.ops if self.engine_of[op.name] == site)

    def table(self, graph: Graph) -> list[dict[str, Any]]:
        """Return one printable row an op: its kind, its engine, and what is set."""
        return [
            {
                "layer": op.name,
                "op": op.op,
                "engine": self.engine_of[op.name],
                "gives": f"{graph.edges[op.name].width} {graph.edges[op.name].kind}",
                "settings": ", ".join(f"{k}={v}" for k, v in self.data()[op.name].items() if k != "engine"),
            }
            for op in graph.ops
        ]

    def data(self) -> dict[str, Any]:
        """Return the placement as a file of it holds it: every op with its engine and what is set."""
        return {
            name: {
                "engine": engine,
                **self.settings[name].model_dump(mode="json", include=set(self.settings[name].settings())),
            }
            for name, engine in self.engine_of.items()
        }


def placement_text(placement: Placement, architecture: str, workload: str) -> str:
    """Return a placement as YAML, one op a line, to be edited and read back with ``--placement``."""
    lines = [
        "schema: accelsim/placement@1",
        f"# {workload} on {architecture}; in front of patterns and kinds of ops, a name wins.",
        "placement:",
        *(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in placement.data().items()),
    ]
    return "\n".join(lines) + "\n"


def load_placement(path: str | Path) -> str:
    """Return a placement file as the text of a chip's ``placement``; raises InputError with all of its problems."""
    source = load_yaml(path)
    check_schema_tag(source, "placement")
    entries = parse(PlacementFile, source).placement
    return json.dumps({name: entry.model_dump(mode="json", exclude_unset=True) for name, entry in entries.items()})


@dataclass
class Problems:
    """Problems of a network on a chip, each once, collected until `stop`."""

    where: str
    found: dict[str, Problem] = field(default_factory=dict)

    def add(self, message: str, hint: str | None = None) -> None:
        """Note a problem."""
        self.found.setdefault(message, Problem(f"{self.where}: {message}", hint=hint))

    def stop(self) -> None:
        """Raise InputError with all problems so far, if there are any."""
        if self.found:
            raise InputError(list(self.found.values()))


def place(network: Workload, chip: Architecture) -> Placement:
    """Find the engine of every op; raises InputError with everything that cannot be placed, or that nothing reads.

    An entry of the chip's ``placement`` names ops exactly, by a pattern such as ``*.ff1``, or by their kind, ``op:conv``.
    The engine is that of the exact entry, else of the last pattern that fits, else of the kind's; where none names one
    it is the only engine that runs the op. Other settings are those of the first of these entries that there is.
    """
    problems = Problems(f"workload '{network.spec.name}' on '{chip.spec.name}'")
    found, missing = sites_of(chip)
    graph = network.graph
    engine_of: dict[str, str] = {}
    settings: dict[str, PlacementSpec] = {}
    read: dict[str, set[str]] = {key: set() for key in chip.spec.placement}
    for op in sorted(graph.ops, key=lambda op: not op.reads()):  # what reads nothing goes where it is read
        entries = _entries(op, chip)
        settings[op.name] = next(iter(entries.values()), PlacementSpec())
        wanted = next((entry.engine for entry in entries.values() if entry.engine is not None), None)
        if not op.reads() and wanted is None:
            wanted = engine_of.get(graph.readers[op.name][0])
        site = _site(op, graph, found, missing, wanted, problems)
        for key in entries:
            read[key] |= set() if site is None else site.kind.settings | {"engine"}
        if site is not None:
            engine_of[op.name] = site.name
    for key, by in read.items():
        if not by and not problems.found:
            names = (
                [f"{OP_KIND}{op.op}" for op in graph.ops] if key.startswith(OP_KIND) else [op.name for op in graph.ops]
            )
            problems.add(f"placement names '{key}', there is no such layer", did_you_mean(key, dict.fromkeys(names)))
        for setting in sorted(chip.spec.placement[key].settings() - by if by else ()):
            problems.add(f"placement of '{key}' sets '{setting}', which no engine of these layers reads")
    problems.stop()
    return Placement(found, {op.name: engine_of[op.name] for op in graph.ops}, settings)


def _entries(op: Op, chip: Architecture) -> dict[str, PlacementSpec]:
    """Return the entries of a chip's placement that fit an op, the most specific first."""
    placement = chip.spec.placement
    patterns = [key for key in placement if key != op.name and _WILD & set(key) and fnmatchcase(op.name, key)]
    keys = [op.name, *reversed(patterns), f"{OP_KIND}{op.op}"]
    return {key: placement[key] for key in keys if key in placement}


def _site(
    op: Op, graph: Graph, sites: Mapping[str, Site], missing: Mapping[str, str], wanted: str | None, problems: Problems
) -> Site | None:
    layer, read, given = f"layer '{op.name}' ({op.op})", graph.read(op), graph.edges[op.name]

    def refusal(site: Site) -> str | None:
        if not isinstance(op, site.kind.runs):
            return f"a {site.kind.kind} does not run {op.op}"
        return site.kind.refuses(op, read, given, site.parts)

    if wanted is not None:
        if wanted not in sites:
            problems.add(f"{layer} is placed on '{wanted}', the chip has no such engine", did_you_mean(wanted, sites))
            return None
        if reason := refusal(sites[wanted]):
            problems.add(f"{layer} is placed on '{wanted}', which cannot run it: {reason}")
            return None
        return sites[wanted]
    reasons = {name: refusal(site) for name, site in sites.items()}
    able = [name for name, reason in reasons.items() if reason is None]
    if len(able) == 1:
        return sites[able[0]]
    if able:
        several = " and on ".join(f"'{name}'" for name in able)
        problems.add(f"{layer} could run on {several}", f"say where: 'placement: {{{op.name}: {{engine: {able[0]}}}}}'")
        return None
    why = [f"'{name}': {reason}" for name, reason in reasons.items()]
    why += [f"no {kind}: {reason}" for kind, reason in missing.items() if isinstance(op, ENGINES[kind].runs)]
    problems.add(f"no engine of the chip runs {layer}; " + "; ".join(why or ["it has no engine"]))
    return None


def sites_of(chip: Architecture) -> tuple[dict[str, Site], dict[str, str]]:
    """Return the engines of a chip by name, and of the kinds that it has not, why it has not.

    They are those of ``engines``, or where that is left out one of every kind whose parts are there once each. Raises
    InputError for engines whose parts are not there, or could be several.
    """
    problems = Problems(f"'{chip.spec.name}'")
    found: dict[str, Site] = {}
    missing: dict[str, str] = {}
    if not chip.spec.engines:
        for name, kind in ENGINES.items():
            names, wrong = _parts_of(kind, chip, {})
            if wrong:
                missing[name] = "; ".join(wrong)
            else:
                found[name] = Site(name, kind, Parts(names, chip.components()))
        return found, missing
    for name, spec in chip.spec.engines.items():
        if spec.kind not in ENGINES:
            problems.add(f"engine '{name}' has an unknown kind '{spec.kind}'", did_you_mean(spec.kind, ENGINES))
            continue
        kind = ENGINES[spec.kind]
        for role in spec.parts:
            if role not in kind.roles:
                problems.add(f"engine '{name}' ({spec.kind}) has no role '{role}'", did_you_mean(role, kind.roles))
        names, wrong = _parts_of(kind, chip, {role: spec.named(role) for role in kind.roles if role in spec.parts})
        for message in wrong:
            problems.add(f"engine '{name}' ({spec.kind}): {message}")
        found[name] = Site(name, kind, Parts(names, chip.components()))
    problems.stop()
    return found, missing


def _parts_of(
    kind: type[EngineKind], chip: Architecture, named: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the components of every role that is played, and what is wrong with them.

    ``named``: by role, the components that the file names.
    """
    components = chip.components()
    names: dict[str, tuple[str, ...]] = {}
    unclear: dict[str, str] = {}
    wrong: list[str] = []
    for role, part in kind.roles.items():
        for name in named.get(role, ()):
            if name not in components:
                hint = did_you_mean(name, components)
                wrong.append(f"{role} '{name}' is no component of the chip" + (f" ({hint})" if hint else ""))
            elif not part.fits(components[name]):
                wrong.append(f"{role} '{name}' is a {components[name].kind}, it needs {part.what}")
        able = named.get(role, tuple(name for name, spec in components.items() if part.fits(spec)))
        if able and (len(able) == 1 or part.several):
            names[role] = able
        elif able:
            unclear[role] = f"{part.what} for '{role}', and there are {', '.join(able)}: name one under 'engines'"
    lacks = [[role for role in sorted(need) if role not in names] for need in kind.needs]
    if lacks and all(lacks):
        fewest = min(lacks, key=len)
        wrong += [f"it needs {unclear.get(role) or kind.roles[role].what}" for role in fewest]
    return names, wrong


def check_channels(chip: Architecture) -> None:
    """Raise InputError for channels of a chip that no engine could ever use.

    A lock-step channel joins two parts that work on one job, in either direction; tokens go from an engine's exits to
    any engine's entries, and between the parts that an engine says. What plays no role in an engine is there for its area
    alone, and may be joined to anything.
    """
    sites, _ = sites_of(chip)
    together: set[frozenset[str]] = set()
    flows: set[tuple[str, str]] = set()
    sources = [name for name, spec in chip.components().items() if stores("features").fits(spec)]
    exits = [*sources, *_played(sites.values(), "exits")]
    flows |= {(a, b) for a in exits for b in _played(sites.values(), "entries")}
    for site in sites.values():
        for pairs, add in (
            (site.kind.lockstep, lambda a, b: together.add(frozenset((a, b)))),
            (site.kind.flows, lambda a, b: flows.add((a, b))),
        ):
            for first, second in pairs:
                for a in site.parts.names.get(first, ()):
                    for b in site.parts.names.get(second, ()):
                        add(a, b)
    problems = Problems(f"'{chip.spec.name}'")
    playing = {name for site in sites.values() for names in site.parts.names.values() for name in names} | set(sources)
    for channel in chip.spec.channels:
        if not {channel.from_, channel.to} <= playing:
            continue
        if channel.lockstep and frozenset((channel.from_, channel.to)) not in together:
            problems.add(f"'{channel.from_}' and '{channel.to}' never work in lock-step: no engine uses the channel")
        elif not channel.lockstep and (channel.from_, channel.to) not in flows:
            problems.add(f"no engine sends tokens from '{channel.from_}' to '{channel.to}'")
    problems.stop()


def _played(sites: Iterable[Site], roles: str) -> list[str]:
    """Return the components that play some roles of engines: ``entries`` or ``exits``."""
    return [name for site in sites for role in getattr(site.kind, roles) for name in site.parts.names.get(role, ())]
