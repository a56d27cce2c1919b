"""Which engine of a chip runs which op of a network: by name, by pattern, by kind of op, or the only one that can."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

from accelsim.architecture import Architecture
from accelsim.components import KINDS, ComponentSpec
from accelsim.components.abstract import Interconnect
from accelsim.errors import LONGEST_LIST, InputError, Problem, did_you_mean, nearest
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, OPS, Edge, Op
from accelsim.registry import Registry
from accelsim.schema import check_schema_tag, load_yaml, parse
from accelsim.schema.placement import EngineSpec, PlacementFile, PlacementSpec
from accelsim.schema.source import Location, Source
from accelsim.workload import Workload

OP_KIND = "op:"
"""What a key of ``placement`` begins with that names a kind of op, such as ``op:conv``."""

_WILD = frozenset("*?[")


@dataclass(frozen=True)
class Role:
    """A part that an engine needs, by what the part must be able to do.

    ``what``: in words, for messages; ``fits``: whether a component can play it; ``several``: whether more than one may,
    the first of them where an op names none; ``stores``: what a memory has to store.
    """

    what: str
    fits: Callable[[ComponentSpec], bool]
    several: bool = False
    stores: str | None = None


def stores(what: str) -> Role:
    """Return the role of a memory that stores something."""
    return Role(f"a memory with 'stores: {what}'", lambda spec: getattr(spec, "stores", None) == what, stores=what)


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
    """Where each op runs, and how it lies there: by op, the name of the engine and the settings.

    ``keys``: the entry of the chip's ``placement`` that the settings of an op come from, where there is one.
    """

    sites: Mapping[str, Site]
    engine_of: Mapping[str, str]
    settings: Mapping[str, PlacementSpec]
    keys: Mapping[str, str]

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
    """Problems of a network on a chip, each once, collected until `stop`; ``source``: of the chip's file."""

    where: str
    source: Source | None = None
    network: Workload | None = None
    found: dict[str, Problem] = field(default_factory=dict)

    @classmethod
    def of(cls, chip: Architecture, network: Workload | None = None) -> Problems:
        """Return no problems yet of a chip, or of a network on it."""
        where = f"'{chip.spec.name}'"
        if network is not None:
            where = f"workload '{network.spec.name}' on {where}"
        return cls("" if network is None and chip.source is not None else where, chip.source, network)

    def add(self, message: str, hint: str | None = None, at: Location | None = None) -> None:
        """Note a problem; ``at``: the key of the chip's file that is to be changed, if it is one.

        Where none is given, it is the component that the message names last, as 'name', or else the op that it names
        first, which has its line in the network's file. What names neither is said of the chip's file.
        """
        text = f"{self.where}: {message}" if self.where else message
        file, line = self._place_of(message, at)
        self.found.setdefault(message, Problem(text, file, line, hint))

    def _place_of(self, message: str, at: Location | None) -> tuple[str | None, int | None]:
        named = [] if at is not None else re.findall(r"(layer |matrix )?'([^']*)'", message)
        if at is None and self.source is not None and isinstance(self.source.data, dict):
            components = self.source.data.get("components", {})
            parts = [name for layer, name in named if not layer and name in components]
            at = ("components", parts[-1]) if parts else None
        if at is None and self.network is not None and self.network.source is not None:
            places = self.network.graph.places
            ops = [places[name] for _, name in named if name in places]
            if ops:
                return self.network.source.where(("graph", ops[0]))
        return (None, None) if self.source is None else self.source.where(at or ())

    def stop(self) -> None:
        """Raise InputError with all problems so far, if there are any."""
        if self.found:
            raise InputError(list(self.found.values()))


def place(network: Workload, chip: Architecture) -> Placement:
    """Find the engine of every op; raises InputError with everything that cannot be placed, or that nothing reads.

    An entry of the chip's ``placement`` names ops exactly, by a pattern such as ``*.ff1``, or by kind, ``op:conv``. The
    engine is that of the exact entry, else of the last pattern that fits, else of the kind's; where none names one
    it is the only engine that runs the op. Other settings are those of the first of these entries that there is.
    """
    problems = Problems.of(chip, network)
    found, missing = sites_of(chip)
    _check_entries(chip, found, missing, problems)
    graph = network.graph
    engine_of: dict[str, str] = {}
    settings: dict[str, PlacementSpec] = {}
    keys: dict[str, str] = {}
    fits: dict[str, list[Op]] = {key: [] for key in chip.spec.placement}
    homeless: dict[_Homeless, list[str]] = {}
    for op in sorted(graph.ops, key=lambda op: not op.reads()):  # what reads nothing goes where it is read
        entries = _entries(op, chip)
        for key in entries:
            fits[key].append(op)
        if entries:
            keys[op.name] = next(iter(entries))
        settings[op.name] = next(iter(entries.values()), PlacementSpec())
        by = next((key for key, entry in entries.items() if entry.engine is not None), None)
        wanted = None if by is None else entries[by].engine
        if not op.reads() and wanted is None:
            reader = engine_of.get(graph.readers[op.name][0])
            if reader is None:
                continue  # who reads it is told to have no engine
            wanted = reader if isinstance(op, found[reader].kind.runs) else None
        site = _site(op, graph, chip, found, missing, wanted, by, homeless)
        if site is not None:
            engine_of[op.name] = site.name
    for why, layers in homeless.items():
        why.note(layers, problems)
    problems.stop()
    for key, ops in fits.items():
        _check_read(key, ops, keys, [found[engine_of[op.name]] for op in ops], network, chip, problems)
    problems.stop()
    return Placement(found, {op.name: engine_of[op.name] for op in graph.ops}, settings, keys)


def _check_entries(
    chip: Architecture, sites: Mapping[str, Site], missing: Mapping[str, str], problems: Problems
) -> None:
    """Stop where ``placement`` names engines that the chip does not have, or kinds of ops that there are not."""
    loaded = OPS.loaded()  # a plug-in's op that no network has asked for is known by its name alone
    kinds = [f"{OP_KIND}{name}" for name in OPS.names() if name not in loaded or issubclass(loaded[name], Op)]
    for key, entry in chip.spec.placement.items():
        if key.startswith(OP_KIND) and key not in kinds:
            hint = did_you_mean(key, kinds)
            problems.add(f"placement names '{key}', there is no such kind of op", hint, ("placement", key))
        if entry.engine is not None and entry.engine not in sites:
            why = f": {missing[entry.engine]}" if entry.engine in missing else ""
            problems.add(
                f"placement of '{key}' names engine '{entry.engine}', which the chip does not have{why}",
                None if why else did_you_mean(entry.engine, sites),
                ("placement", key, "engine"),
            )
    problems.stop()


def _check_read(
    key: str, ops: Sequence[Op], keys: Mapping[str, str], sites: Sequence[Site], network: Workload, chip: Architecture,
    problems: Problems,
) -> None:  # fmt: skip
    """Note an entry of ``placement`` that fits no op, and settings of it that no engine reads.

    ``ops``: those that it fits; ``sites``: the engine of each; ``keys``: the entry that each takes its settings from.
    """
    at: Location = ("placement", key)
    if not ops and not key.startswith(OP_KIND) and _is_meant(key, network, chip):
        hint = did_you_mean(key, [op.name for op in network.graph.ops])
        problems.add(f"placement names '{key}', there is no such layer", hint, at)
    deciding = {site.name: site for op, site in zip(ops, sites, strict=True) if keys[op.name] == key}
    for setting in sorted(chip.spec.placement[key].settings() if ops else ()):
        if not deciding:
            entries = ", ".join(f"'{one}'" for one in dict.fromkeys(keys[op.name] for op in ops))
            message = f"placement of '{key}' sets '{setting}', but the settings of these layers are those of {entries}"
            problems.add(message, None, (*at, setting))
        elif not any(setting in site.kind.settings for site in deciding.values()):
            which = " and ".join(f"engine '{name}'" for name in deciding)
            known = sorted({known for site in deciding.values() for known in site.kind.settings})
            hint = f"it reads {', '.join(known)}" if known else "it reads no settings"
            message = f"placement of '{key}' sets '{setting}', which {which} does not read"
            problems.add(message, hint, (*at, setting))


def _is_meant(key: str, network: Workload, chip: Architecture) -> bool:
    """Return whether an entry of ``placement`` is meant for a network: it has to fit one of its layers.

    What a chip's file says of layers is meant for the network that the file names; other networks run on the chip as
    well. What was set for this run, with --set or --placement, is meant for its network.
    """
    if chip.source is None or network.spec.name == chip.spec.workload:
        return True
    return chip.source.where(("placement", key))[0] != chip.source.path


def _entries(op: Op, chip: Architecture) -> dict[str, PlacementSpec]:
    """Return the entries of a chip's placement that fit an op, the most specific first."""
    placement = chip.spec.placement
    patterns = [key for key in placement if key != op.name and _WILD & set(key) and fnmatchcase(op.name, key)]
    keys = [op.name, *reversed(patterns), f"{OP_KIND}{op.op}"]
    return {key: placement[key] for key in keys if key in placement}


@dataclass(frozen=True)
class _Homeless:
    """Why ops of one kind have no engine, said once for all of them.

    ``before``, ``after``: the message around the names of the layers; ``suits``: an engine that could run them, to be
    named in ``placement``.
    """

    kind: str
    before: str
    after: str
    hint: str | None = None
    suits: str | None = None
    at: Location | None = None

    def note(self, layers: Sequence[str], problems: Problems) -> None:
        """Note the problem of some layers."""
        shown = ", ".join(f"'{name}'" for name in layers[:LONGEST_LIST])
        more = f" and {len(layers) - LONGEST_LIST} more" if len(layers) > LONGEST_LIST else ""
        which = f"layer{'s' if len(layers) > 1 else ''} {shown}{more} ({self.kind})"
        hint = self.hint
        if self.suits is not None:
            key = layers[0] if len(layers) == 1 else f"'{OP_KIND}{self.kind}'"
            hint = f"say where: placement: {{{key}: {{engine: {self.suits}}}}}"
        problems.add(f"{self.before}{which}{self.after}", hint, self.at)


def _site(
    op: Op, graph: Graph, chip: Architecture, sites: Mapping[str, Site], missing: Mapping[str, str],
    wanted: str | None, by: str | None, homeless: dict[_Homeless, list[str]],
) -> Site | None:  # fmt: skip
    """Return the engine of an op, the one that is ``wanted`` if any is; ``by``: the entry of the file that wants it.

    Where it has none, it is put in ``homeless``.
    """
    read, given = graph.read(op), graph.edges[op.name]

    def refusal(site: Site) -> str | None:
        if not isinstance(op, site.kind.runs):
            return f"a {site.kind.kind} does not run {op.op}"
        return site.kind.refuses(op, read, given, site.parts)

    reasons = {name: refusal(site) for name, site in sites.items()}
    able = [name for name, reason in reasons.items() if reason is None]
    quoted = [f"'{name}'" for name in able]
    if wanted is not None:
        if wanted in able:
            return sites[wanted]
        at = None if by is None else ("placement", by, "engine")
        hint = f"{' and '.join(quoted)} can" if able else None
        why = _Homeless(op.op, f"'{wanted}' cannot run ", f", placed there: {reasons[wanted]}", hint, at=at)
    elif len(able) == 1:
        return sites[able[0]]
    elif able:
        why = _Homeless(op.op, "", f" could run on {' and on '.join(quoted)}", suits=able[0], at=("placement",))
    else:
        refusals = [f"'{name}': {reason}" for name, reason in reasons.items()]
        wanting = ((kind, reason) for kind, reason in missing.items() if isinstance(op, ENGINES[kind].runs))
        refusals += [f"no {kind}: {reason}" for kind, reason in wanting]
        hint = _misspelt_memory(chip)
        why = _Homeless(op.op, "no engine of the chip runs ", "; " + "; ".join(refusals or ["it has no engine"]), hint)
    homeless.setdefault(why, []).append(op.name)
    return None


def _misspelt_memory(chip: Architecture) -> str | None:
    """Return a hint at the first memory whose ``stores`` no kind of engine knows, but one knows a word like it."""
    known = {role.stores for kind in ENGINES.loaded().values() for role in kind.roles.values() if role.stores}
    known.add(FEATURES)
    for name, spec in chip.components().items():
        what = getattr(spec, "stores", None)
        if what is not None and what not in known and (near := nearest(what, sorted(known))):
            return f"'{name}' stores '{what}': did you mean '{near}'?"
    return None


def sites_of(chip: Architecture) -> tuple[dict[str, Site], dict[str, str]]:
    """Return the engines of a chip by name, and of the kinds that it has not, why it has not.

    They are those of ``engines``, or where that is left out one of every kind whose parts are there once each. Raises
    InputError for engines whose parts are not there, or could be several.
    """
    problems = Problems.of(chip)
    found: dict[str, Site] = {}
    missing: dict[str, str] = {}
    if not chip.spec.engines:
        for name, kind in sorted(ENGINES.items()):  # whatever was imported first
            names, wrong = _parts_of(kind, chip, EngineSpec(kind=name))
            if wrong:
                missing[name] = "; ".join(message for message, _, _ in wrong)
            else:
                found[name] = Site(name, kind, Parts(names, chip.components()))
        return found, missing
    for name, spec in chip.spec.engines.items():
        at: Location = ("engines", name)
        if spec.kind not in ENGINES:
            hint = did_you_mean(spec.kind, ENGINES)
            problems.add(f"engine '{name}' has an unknown kind '{spec.kind}'", hint, (*at, "kind"))
            continue
        kind = ENGINES[spec.kind]
        for role in spec.parts:
            if role not in kind.roles:
                hint = did_you_mean(role, kind.roles)
                problems.add(f"engine '{name}' ({spec.kind}) has no role '{role}'", hint, (*at, "parts", role))
        names, wrong = _parts_of(kind, chip, spec)
        for message, hint, where in wrong:
            problems.add(f"engine '{name}' ({spec.kind}): {message}", hint, (*at, *where))
        found[name] = Site(name, kind, Parts(names, chip.components()))
    problems.stop()
    return found, missing


def _parts_of(
    kind: type[EngineKind], chip: Architecture, spec: EngineSpec
) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, str | None, Location]]]:
    """Return the components of every role that is played, and what is wrong: message, hint, key within the engine's."""
    components = chip.components()
    names: dict[str, tuple[str, ...]] = {}
    unclear: dict[str, str] = {}
    wrong: list[tuple[str, str | None, Location]] = []
    for role, part in kind.roles.items():
        at: Location = ("parts", role)
        fitting = tuple(name for name, component in components.items() if part.fits(component))
        for name in spec.named(role):
            if name not in components:
                wrong.append((f"{role} '{name}' is no component of the chip", did_you_mean(name, components), at))
            elif not part.fits(components[name]):
                hint = f"such as {', '.join(fitting)}" if fitting else None
                wrong.append((f"{role} '{name}' is a {components[name].kind}, it needs {part.what}", hint, at))
        able = spec.named(role) if role in spec.parts else fitting
        if able and (len(able) == 1 or part.several):
            names[role] = able
        elif able:
            unclear[role] = f"{part.what} for '{role}', and there are {', '.join(able)}: name one under 'engines'"
    lacks = [[role for role in sorted(need) if role not in names] for need in kind.needs]
    if lacks and all(lacks):
        fewest = min(lacks, key=len)
        absent = ", ".join(kind.roles[role].what for role in fewest if role not in unclear)
        wrong += [(f"it needs {absent}", None, ())] if absent else []
        wrong += [(f"it needs {unclear[role]}", None, ()) for role in fewest if role in unclear]
    return names, wrong


def check_channels(chip: Architecture) -> None:
    """Raise InputError for channels of a chip that no engine could ever use.

    A lock-step channel joins two parts that work on one job, in either direction; tokens go from an engine's exits to
    any engine's entries, and between the parts that an engine says. A component that no kind of engine has a role for
    is there for its area alone: tokens may go there and on, but it works with nothing in lock-step.
    """
    sites, _ = sites_of(chip)
    together: set[frozenset[str]] = set()
    flows: set[tuple[str, str]] = set()
    sources = [name for name, spec in chip.components().items() if stores(FEATURES).fits(spec)]
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
    problems, components = Problems.of(chip), chip.components()
    playing = {name for site in sites.values() for names in site.parts.names.values() for name in names} | set(sources)
    for index, channel in enumerate(chip.spec.channels):
        a, b = channel.from_, channel.to
        if channel.over is not None and not isinstance(components[channel.over], Interconnect):
            networks = [name for name, spec in components.items() if isinstance(spec, Interconnect)]
            message = f"channel {channel.name()} goes over '{channel.over}', which is no bus or mesh"
            problems.add(message, did_you_mean(channel.over, networks), ("channels", index, "over"))
        elif channel.over is not None and components[channel.over].places() is None:  # type: ignore[attr-defined]
            for key in ("start", "end"):
                if getattr(channel, key):
                    message = f"'{channel.over}' joins no numbered places, found {key} {getattr(channel, key)}"
                    problems.add(message, f"leave out '{key}'", ("channels", index, key))
        if idle := [name for name in (a, b) if name not in playing]:
            useless = [name for name in idle if not _has_role(components[name])]
            if useless and (channel.lockstep or not KINDS[components[useless[0]].kind].actions):
                message = f"'{useless[0]}' takes no part in the work of any engine: no engine uses the channel"
                problems.add(message, None, ("channels", index))
            continue
        locked, flowing = frozenset((a, b)) in together, (a, b) in flows
        if locked if channel.lockstep else flowing:
            continue
        hint = None
        if locked or flowing:
            hint = "tokens go there: leave out 'lockstep'" if flowing else "they work in lock-step: 'lockstep: true'"
        elif (b, a) in flows:
            hint = f"tokens go the other way, from '{b}' to '{a}'"
        message = f"no engine sends tokens from '{a}' to '{b}'"
        if channel.lockstep:
            message = f"'{a}' and '{b}' never work in lock-step: no engine uses the channel"
        problems.add(message, hint, ("channels", index))
    problems.stop()


def check_chip(chip: Architecture) -> None:
    """Raise InputError for what is wrong with a chip's engines, channels and placement whatever the network."""
    found, missing = sites_of(chip)
    _check_entries(chip, found, missing, Problems.of(chip))
    check_channels(chip)


def _has_role(spec: ComponentSpec) -> bool:
    """Return whether a kind of engine, of accelsim or of a plug-in that is loaded, has a role for a component."""
    return any(role.fits(spec) for kind in ENGINES.loaded().values() for role in kind.roles.values())


def _played(sites: Iterable[Site], roles: str) -> list[str]:
    """Return the components that play some roles of engines: ``entries`` or ``exits``."""
    return [name for site in sites for role in getattr(site.kind, roles) for name in site.parts.names.get(role, ())]
