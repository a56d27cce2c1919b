"""Components wired by channels, checked: everything connected, every price there, before anything runs."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError, model_validator

from accelsim import limits
from accelsim.components import KINDS, ComponentSpec
from accelsim.components.abstract import Converter
from accelsim.components.crossbar import Crossbar
from accelsim.devices import Device, parse_device
from accelsim.devices.wire_tables import ohm_per_cell
from accelsim.errors import InputError, Problem, did_you_mean, nearest
from accelsim.library import find
from accelsim.result import check_writable, written_whole
from accelsim.schema import (
    ClockFrequency,
    Effect,
    FramePeriod,
    Model,
    Overrides,
    PositiveLength,
    PositiveVoltage,
    Registered,
    Source,
    Temperature,
    check_schema_tag,
    file_bytes,
    format_si,
    given,
    keeps_values,
    load_yaml,
    override_texts,
    parse,
    parse_yaml,
)
from accelsim.schema.compiler import Compiler
from accelsim.schema.converters import MeasuredConverters
from accelsim.schema.cost import EVERY, SECTIONS, ClockPrice, CostTable
from accelsim.schema.names import Label, Name
from accelsim.schema.placement import EngineSpec, PlacementSpec
from accelsim.schema.power import PowerDomain, PowerGate
from accelsim.schema.source import Location
from accelsim.schema.written import as_yaml

PICOSECONDS = 10**12


_PERIOD_TOLERANCE = 1e-3

_OTHERS = {"energy": ("standby",), "standby": ("leakage",), "leakage": ("standby",)}
"""Sections of the same kind that may hold a price of a section."""

_POINT_KEYS = ("clocks", "technology", "pacing", "power")
_POINT_HINT = f"only keys of {', '.join(_POINT_KEYS)}"

_FILES_OF_PARTS = {"device": "devices", "errors": "converters"}
"""Keys of components that name a file, where they are text, and the shelf on which it lies."""

POWER_RULES = {"gated": "{}", "ungated": "{all: {parts: ['*'], clock_gate: false}}"}
"""The key ``power`` of a chip whose idle parts all have their clock gated and stay on, and of one without gates."""

AnySpec = Annotated[ComponentSpec, Registered(KINDS, model=attrgetter("spec"))]


class ClockDomain(Model):
    """A clock. Time is an integer number of picoseconds here, so the period is rounded to a whole one."""

    effects = {"frequency": Effect(cycles="either", energy="either")}
    frequency: ClockFrequency

    @model_validator(mode="after")
    def _nearly_whole_period(self) -> ClockDomain:
        if self.frequency > PICOSECONDS:
            raise ValueError("expected a frequency of at most 1 THz")
        if abs(PICOSECONDS / self.frequency / self.period_ps() - 1) > _PERIOD_TOLERANCE:
            raise ValueError("expected a period of nearly a whole number of picoseconds (within 0.1 %)")
        return self

    def period_ps(self) -> int:
        """Return the clock period in picoseconds."""
        return max(round(PICOSECONDS / self.frequency), 1)


class ChannelSpec(Model):
    """A link from one component to another.

    Either bounded (``capacity`` tokens, ``latency`` cycles of the consumer), or ``lockstep``: no storage, both ends
    work on the same job at the same time. Tokens of a bounded channel may go ``over`` a bus or a mesh: the job that
    takes them then occupies it for as long as their words take. On a mesh they go from router ``start`` to router
    ``end``.
    """

    effects = {
        "capacity": Effect(
            counts="either",
            cycles="either",
            energy="either",
            spare="room for tokens that never wait",
            given="what its ends hold",
        ),
        "latency": Effect(
            cycles="more", energy="either", spare="tokens that nobody waits for", given="what a token takes on its way"
        ),
        "start": Effect(counts="either", cycles="either"),
        "end": Effect(counts="either", cycles="either"),
    }
    from_: Annotated[str, Field(alias="from")]
    to: str
    capacity: PositiveInt = 1
    latency: PositiveInt = 1
    lockstep: bool = False
    over: str | None = None
    start: Annotated[int, Field(ge=0)] = 0
    end: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _moves_something(self) -> ChannelSpec:
        tokens = ("over", "capacity", "latency", "start", "end")
        if self.lockstep and (given := [f"'{key}'" for key in tokens if key in self.model_fields_set]):
            raise ValueError(f"a lock-step channel moves no tokens: leave out {' and '.join(given)}")
        if self.over is None and (given := [f"'{key}'" for key in ("start", "end") if key in self.model_fields_set]):
            raise ValueError(f"{' and '.join(given)} name routers of a mesh: say 'over' which one")
        return self

    def name(self) -> str:
        return f"{self.from_}->{self.to}"


class Pacing(Model):
    """``real_time``: a frame arrives every ``frame_period``; ``back_to_back``: as soon as there is room."""

    effects = {"frame_period": Effect(cycles="either", given="the pace of speech")}
    mode: Literal["real_time", "back_to_back"]
    frame_period: FramePeriod | None = None

    @model_validator(mode="after")
    def _period_given(self) -> Pacing:
        if self.mode == "real_time" and self.frame_period is None:
            raise ValueError("real_time pacing needs a frame_period, for example '10 ms'")
        return self


class Technology(Model):
    """Price list and operating point; ``node`` only when it differs from that of the table.

    Outside the window of the table a chip is refused; ``extrapolate`` runs it all the same, with every figure marked.
    """

    effects = {
        "voltage": Effect(energy="more"),
        "temperature": Effect(values="either", counts="either", energy="more"),
        "node": Effect(energy="more", area="more"),
    }
    cost: str
    voltage: PositiveVoltage
    temperature: Temperature
    node: PositiveLength | None = None
    extrapolate: bool = False


class Calibration(Model):
    """A key of this file that was fitted, and to what."""

    key: str
    to: str


class SizeRange(Model):
    """How far a size that no source gives may lie from the one that is assumed, and why."""

    low: Any
    high: Any
    source: str


class ArchitectureSpec(Model):
    """What an architecture file may say."""

    effects = {
        **dict.fromkeys(("name", "description", "workload", "calibrated", "assumptions", "ranges"), Effect()),
        "operating_points": Effect(),
        "clocks": Effect(cycles="either", energy="either"),
        "technology": Effect(energy="either", area="either"),
        "power": Effect(cycles="either", energy="either"),
        "pacing": Effect(cycles="either", energy="either"),
        "channels": Effect(cycles="either", energy="either"),
        "arbitration": Effect(cycles="either", energy="either"),
        "programming_runs": Effect(values="either"),
    }
    """What numeric keys and whole sections may change, as for a component; a section that is not here, everything."""
    name: Label
    description: str = ""
    workload: str
    clocks: Annotated[dict[Name, ClockDomain], Field(min_length=1)]
    technology: Technology
    power: dict[Name, PowerDomain] = {}
    """What is clocked and supplied together; a component in no domain has its clock gated and stays on."""
    pacing: Pacing
    components: Annotated[dict[Name, AnySpec], Field(min_length=1)]
    channels: list[ChannelSpec] = []
    arbitration: dict[str, Literal["oldest_first", "fixed_priority", "round_robin"]] = {}
    engines: dict[Name, EngineSpec] = {}
    """Groups of components that together run ops; left out where every part of an engine is there once."""
    placement: dict[str, PlacementSpec] = {}
    """Layer, a pattern such as ``*.ff1``, or a kind of op such as ``op:conv`` -> where and how it lies on the chip."""
    compiler: Compiler = Compiler()
    """How graphs are compiled for an NPU."""
    programming_runs: PositiveInt = 1
    """How often the memristor cells are programmed anew, to see how far the error rate spreads."""
    operating_points: dict[Name, dict[str, str]] = {}
    """Name -> keys of clocks, technology or pacing that differ there; every run reports time and cost at each."""
    calibrated: list[Calibration] = []
    assumptions: list[str] = []
    ranges: dict[str, SizeRange] = {}
    """Dotted key of an assumed size of a component -> its range, which the intervals of energy and area take up."""


@dataclass(frozen=True)
class Architecture:
    """A checked chip: its grammar, its price list and where they came from."""

    spec: ArchitectureSpec
    cost: CostTable
    sha256: str
    operating_points: Mapping[str, Architecture]
    """The same chip at its other operating points, by name."""
    devices: Mapping[str, Device] = field(default_factory=dict)
    """The memristor device of each component that has one, by the component's name."""
    ends: Mapping[str, tuple[str, ComponentSpec, ComponentSpec]] = field(default_factory=dict)
    """Key of an assumed size -> its component's name, and the component at the low and at the high end."""
    source: Source | None = field(default=None, compare=False, repr=False)
    """The file that says all this, for the lines of what does not fit a network; None where there is none."""
    converters: Mapping[str, MeasuredConverters] = field(default_factory=dict)
    """The measured converters of each component that has some, by the component's name."""
    as_given: Source | None = field(default=None, compare=False, repr=False)
    """The file, or the mapping of Python, before ``settings``."""
    settings: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """What overrides set, as text."""

    def __repr__(self) -> str:
        parts = f"{len(self.spec.components)} components, {format_si(self.clock_hz(), 'Hz')}"
        changed = f", {len(self.settings)} set" if self.settings else ""
        return f"<Architecture {self.spec.name}: {parts}, {self.spec.technology.cost}{changed}>"

    def with_(self, overrides: Overrides) -> Architecture:
        """Return the chip with some keys set to other values, checked as a whole.

        ``overrides``: dotted key -> value, see `load_architecture`; what was set before stays. Raises InputError.

        >>> chip = accelsim.load_architecture("imssa")
        >>> chip.with_({"adc.precision_bits": 6, "clocks.main.frequency": "50 MHz"})
        <Architecture imssa: 8 components, 50 MHz, cmos180, 2 set>
        """
        assert self.as_given is not None  # every chip is loaded
        texts = _whole_keys(override_texts(overrides), self.as_given)
        return _load(self.as_given, {k: v for k, v in self.settings.items() if k not in texts} | texts)

    def to_yaml(self, beside: str | Path | None = None) -> str:
        """Return the chip as the YAML of a file, with everything that was set and without the comments of its own.

        ``beside``: the folder in which the file is to lie: files that the chip names by their place beside its own are
        named by their place from there. By default the folder of its own file.
        """
        assert self.source is not None
        origin = Path(self.source.path).parent
        data = dict(self.source.data)
        # What was fitted or assumed is so no more where another value was set.
        for key, kept in (("calibrated", [c.model_dump() for c in self.spec.calibrated]), ("ranges", self.spec.ranges)):
            if key in data:
                data[key] = kept if key == "calibrated" else {k: v for k, v in data[key].items() if k in kept}
        data = _elsewhere(data, origin, Path(beside) if beside is not None else origin)
        return as_yaml({"schema": "accelsim/arch@1", **data})

    def write(self, path: str | Path) -> Path:
        """Write the chip into a YAML file, whole or not at all, and return its path; see `to_yaml`.

        Raises InputError where it cannot be written, or could not be read there.
        """
        path = Path(path)
        check_writable(path.parent)
        os.makedirs(path.parent, exist_ok=True)
        text = self.to_yaml(path.parent)
        _load(parse_yaml(text, str(path)), {})  # before the file is there
        with written_whole(path) as file:
            file.write(text.encode())
        return path

    def at(self, location: Location) -> AbstractContextManager[None]:
        """Give the place of a key path of the chip's file to the problems that come up within and have none."""
        return nullcontext() if self.source is None else self.source.at(location)

    def components(self) -> Mapping[str, ComponentSpec]:
        """Return the components by name, in the order of the file."""
        return self.spec.components

    def of_kind(self, kind: str) -> dict[str, Any]:
        """Return the components of one kind by name."""
        return {name: spec for name, spec in self.components().items() if spec.kind == kind}

    def parts_of(self, domain: str) -> tuple[str, ...]:
        """Return the components of a power domain, in the order of the file."""
        patterns = self.spec.power[domain].parts
        return tuple(name for name in self.components() if any(fnmatchcase(name, pattern) for pattern in patterns))

    def domains(self) -> dict[str, str]:
        """Return the power domain of each component that is in one."""
        return {part: domain for domain in self.spec.power for part in self.parts_of(domain)}

    def clock_gated(self, component: str) -> bool:
        """Return whether the clock of a component stops while it works on nothing."""
        domain = self.domains().get(component)
        return domain is None or self.spec.power[domain].clock_gate

    def power_gate(self, component: str) -> PowerGate | None:
        """Return the switch between a component and its supply, if there is one."""
        domain = self.domains().get(component)
        return None if domain is None else self.spec.power[domain].power_gate

    def programming_s(self, crossbar: str, pulses: int) -> float:
        """Return how long so many write pulses of a crossbar's cells take, in s, see `Crossbar.programming_s`."""
        pulse = self.devices[crossbar].pulse()
        spec: Crossbar = self.of_kind("crossbar")[crossbar]
        return spec.programming_s(pulses, pulse.time if pulse else None)

    def power_rule(self) -> str:
        """Return in words how its parts are clocked and supplied while they wait."""
        parts = self.components()
        ungated = [name for name in parts if not self.clock_gated(name)]
        switched = {name: domain.power_gate for name, domain in self.spec.power.items() if domain.power_gate}
        if not ungated:
            clock = "clock gating of idle parts"
        elif len(ungated) == len(parts):
            clock = "all parts clocked always"
        else:
            clock = f"clock gating of idle parts but {', '.join(ungated)}"
        if not switched:
            return f"{clock}, no power gating"
        off = [
            f"{', '.join(self.parts_of(name))} off after {format_si(gate.after, 's')}"
            for name, gate in switched.items()
        ]
        return f"{clock}; power gating: {'; '.join(off)}"

    def at_ends(self) -> Iterator[tuple[str, Architecture, Architecture]]:
        """Yield the key of every assumed size, and the chip at both ends of its range, the others as they are."""
        for key, (name, *both) in self.ends.items():
            low, high = (
                dataclasses.replace(
                    self,
                    spec=self.spec.model_copy(update={"components": {**self.spec.components, name: part}}),
                    operating_points={},
                    ends={},
                )
                for part in both
            )
            yield key, low, high

    def period_ps(self, component: str) -> int:
        """Return the clock period of a component in picoseconds."""
        clocks = self.spec.clocks
        clock = self.components()[component].clock
        return (clocks[clock] if clock else next(iter(clocks.values()))).period_ps()

    def clock_hz(self) -> float:
        """Return the frequency of the first clock, with its period rounded to a whole picosecond."""
        return PICOSECONDS / next(iter(self.spec.clocks.values())).period_ps()


def whole_key(key: str, components: Container[str]) -> str:
    """Return a dotted key of a chip with what is left out: ``adc.units`` is short for ``components.adc.units``."""
    first = key.partition(".")[0]
    return f"components.{key}" if first not in ArchitectureSpec.model_fields and first in components else key


def _whole_keys(settings: Mapping[str, str], source: Source) -> dict[str, str]:
    """Return settings of a chip with whole keys; raises InputError for one that is given twice."""
    parts = source.data.get("components") if isinstance(source.data, dict) else None
    found: dict[str, str] = {}
    problems = []
    for key, value in settings.items():
        whole = whole_key(key, parts) if isinstance(parts, dict) else key
        if whole in found:
            problems.append(Problem(f"'{whole}' is set twice", f"--set {key}", None))
        found[whole] = value
    if problems:
        raise InputError(problems)
    return found


AnyArchitecture = str | Path | Mapping[str, Any] | Architecture
"""A chip by name or path, the keys of its file as a mapping, or one that is loaded."""


def load_architecture(architecture: AnyArchitecture, overrides: Overrides | None = None) -> Architecture:
    """Read and check an architecture, together with its cost table.

    ``architecture``: a name of the library, a path, a mapping with the keys of such a file (its files are looked for in
    the working directory, and in the library), or a chip that is loaded. ``overrides``: dotted key -> value: text as in
    YAML, a number, True, False, None, or lists and mappings of those; ``adc.units`` is short for
    ``components.adc.units``. Raises InputError with every problem at once.

    >>> accelsim.load_architecture("rsnn28nm", {"clocks.main.frequency": "1 MHz"})
    <Architecture rsnn28nm: 12 components, 1 MHz, cmos28_rsnn, 1 set>
    """
    if isinstance(architecture, Architecture):
        return architecture.with_(overrides) if overrides else architecture
    if isinstance(architecture, Mapping):
        return _load(given({"schema": "accelsim/arch@1", **architecture}, "architecture"), override_texts(overrides))
    source = load_yaml(find(architecture, "arch"))
    return _load(source, override_texts(overrides))


def _load(source: Source, settings: Mapping[str, str]) -> Architecture:
    check_schema_tag(source, "arch")
    settings = _whole_keys(settings, source)
    architecture = _checked(source, settings)
    points = {point[0]: _checked(source, settings, point) for point in architecture.spec.operating_points.items()}
    return dataclasses.replace(architecture, operating_points=points)


def _checked(
    source: Source, overrides: Mapping[str, str], point: tuple[str, Mapping[str, str]] | None = None
) -> Architecture:
    """Return the chip that a file describes with some overrides; ``point``: one of its own, and what differs there."""
    name, differs = point or ("", {})
    path, as_given, as_written = Path(source.path), source, source.data
    for key, value in (*_settings_of_others(as_written, overrides), *overrides.items()):
        source = source.override(key, value)
    for key, value in differs.items():
        source = source.override(key, value, said=("operating_points", name, key))
    spec = parse(ArchitectureSpec, source)
    fitted = [c for c in spec.calibrated if _value(as_written, c.key) == _value(source.data, c.key)]
    spec = spec.model_copy(update={"calibrated": fitted})  # another value than the file's was fitted to nothing
    spec, clock_problems = _clocked(spec, source)
    spec, wire_files, wire_problems = _wired(path, spec, source)
    with source.at(("technology", "cost")):
        cost_path = _beside(path, spec.technology.cost, "cost")
        cost = load_cost(cost_path)
    devices, device_files, device_problems = _devices(path, spec, source)
    converters, converter_files, converter_problems = _converters(path, spec, source)
    assumed = {key: of for key, of in spec.ranges.items() if _value(as_written, key) == _value(source.data, key)}
    spec = spec.model_copy(update={"ranges": assumed})  # one that was set is no assumption of the file's
    ends, range_problems = _ends(spec, source)
    problems = [
        *_wiring_problems(spec, source),
        *_price_problems(spec, cost, source, cost_path),
        *_point_problems(spec, source),
        *_power_problems(spec, source),
        *_programming_problems(spec, source),
        *clock_problems,
        *wire_problems,
        *device_problems,
        *converter_problems,
        *range_problems,
    ]
    if problems:
        raise InputError(problems)
    files = (*cost_files(cost_path), *device_files, *converter_files, *wire_files)
    digest = hashlib.sha256(b"".join([as_given.content, *map(file_bytes, files)]))
    digest.update(repr(sorted({**overrides, **differs}.items())).encode())
    return Architecture(spec, cost, digest.hexdigest(), {}, devices, ends, source, converters, as_given, overrides)


def _settings_of_others(as_written: Any, overrides: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the overrides that take a file's ``device_settings`` away where another device takes its place.

    They are keys of the device that the file names; another one comes as its own file has it, and with what is set
    beside it.
    """
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        name, _, what = rest.partition(".")
        if section == "components" and what == "device" and value != _value(as_written, key):
            settings = f"components.{name}.device_settings"
            if _value(as_written, settings):
                yield settings, "{}"


def _clocked(spec: ArchitectureSpec, source: Source) -> tuple[ArchitectureSpec, list[Problem]]:
    """Return the chip with the cycles that the times of its components take at their clocks, and what is wrong."""
    components, problems = dict(spec.components), []
    first = next(iter(spec.clocks.values()))
    for name, component in components.items():
        frequency = spec.clocks.get(component.clock or "", first).frequency  # a clock that is not there is told apart
        try:
            components[name] = component.clocked(frequency)
        except ValueError as error:
            problems.append(source.problem(str(error), ("components", name)))
    return spec.model_copy(update={"components": components}), problems


def _wired(path: Path, spec: ArchitectureSpec, source: Source) -> tuple[ArchitectureSpec, list[Path], list[Problem]]:
    """Return the chip with the resistances of wires at its node and temperature, the tables read, and what is wrong."""
    components, files, problems = dict(spec.components), dict[Path, None](), []
    for name, component in components.items():
        if not isinstance(component, Crossbar):
            continue
        technology, found = spec.technology, {}
        for key, geometry in component.geometries().items():
            where = ("components", name, "wires", key)
            try:
                with source.at(("technology", "cost")):
                    node = technology.node or load_cost(_beside(path, technology.cost, "cost")).node
                found[key], file = ohm_per_cell(geometry, node, technology.temperature, path.parent)
                files[file] = None
            except ValueError as error:
                problems.append(source.problem(str(error), where))
            except InputError as error:
                problems += error.problems
        components[name] = component.wired(found)
    return spec.model_copy(update={"components": components}), list(files), problems


def _value(data: Any, key: str) -> Any:
    """Return what a file's data hold at a dotted key, None where that is not written."""
    for part in key.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _devices(path: Path, spec: ArchitectureSpec, source: Source) -> tuple[dict[str, Device], list[Path], list[Problem]]:
    """Return the device of each component that has one, the files that they were read from, and what is wrong."""
    devices, files, problems = {}, [], []
    for name, component in spec.components.items():
        device = component.device_name()
        if device is None:
            continue
        where = ("components", name)
        try:
            file = _beside(path, device, "devices")
        except InputError as error:
            problems += [source.problem(p.message, (*where, "device"), p.hint) for p in error.problems]
            continue
        try:
            read = load_yaml(file)
            if "device_settings" in component.model_fields_set:
                read = source.based_on(read, (*where, "device_settings"))
            devices[name] = parse_device(read)
            files.append(file)
            problems += _unreadable(name, component, devices[name], source)
        except InputError as error:
            problems += error.problems
    return devices, files, problems


def _converters(
    path: Path, spec: ArchitectureSpec, source: Source
) -> tuple[dict[str, MeasuredConverters], list[Path], list[Problem]]:
    """Return the measured converters of each component that names some, the files, and what is wrong."""
    found, files, problems = {}, [], []
    for name, component in spec.components.items():
        if not isinstance(component, Converter) or (measured := component.measured_name()) is None:
            continue
        where = ("components", name, "errors")
        try:
            file = _beside(path, measured, "converters")
        except InputError as error:
            problems += [source.problem(p.message, where, p.hint) for p in error.problems]
            continue
        try:
            found[name] = load_converters(file)
            files.append(file)
        except InputError as error:
            problems += error.problems
            continue
        there, chip = len(found[name].converters), component.instances()
        if there not in (1, component.units, chip):
            message = (
                f"'{measured}' measures {there} converters: expected 1 for all, {component.units} for the units of "
                f"every tile, or {chip} for all of the chip"
            )
            problems.append(source.problem(message, where))
    return found, files, problems


def load_converters(path: Path) -> MeasuredConverters:
    """Read and check a file of measured converters; raises InputError with all its problems."""
    source = load_yaml(path)
    check_schema_tag(source, "converters")
    return parse(MeasuredConverters, source)


def _unreadable(name: str, component: ComponentSpec, device: Device, source: Source) -> list[Problem]:
    """Return what forbids to read a device as a component does: its voltage, its bits, its age.

    A read that switches every cell is none; one that switches some is counted by the run.
    """
    if not isinstance(component, Crossbar):
        return []
    where, volts, problems = ("components", name), component.read_voltage, []
    shares, largest = device.switched_by_read(volts), device.largest_read_voltage()
    if max(shares) >= 1:
        what = "sets every cell in its high-resistance state" if shares[0] >= 1 else "resets every low-resistance cell"
        message = f"a read of {volts:g} V {what}, of device '{device.name}'"
        problems.append(source.problem(message, (*where, "read_voltage"), "a lower read_voltage"))
    elif volts > largest:
        message = f"a read of {volts:g} V may disturb device '{device.name}', which was read up to {largest:g} V"
        problems.append(source.problem(message, (*where, "read_voltage"), "a lower read_voltage"))
    if not problems:  # of a voltage that no cell is read with there are no currents
        try:
            device.curves(volts, component.cell_bits)
        except ValueError as error:
            problems.append(source.problem(str(error), (*where, "cell_bits")))
    if reason := device.wrong_age(component.age):
        at = (*where, "age") if component.age is not None else where
        problems.append(source.problem(reason, at, "write for example 'age: 1 day'"))
    return problems


def load_cost(path: Path) -> CostTable:
    """Read and check a cost table, on top of its bases; raises InputError."""
    return _load_cost(tuple((file, file_bytes(file)) for file in cost_files(path)))


def cost_files(path: Path) -> list[Path]:
    """Return a cost table's file and those of all its bases; raises InputError where they go round or are not there."""
    return list(dict.fromkeys(_cost_files(path, ())))


def _cost_files(path: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield a table's file and those of its bases; ``above``: the tables that stand on it."""
    yield path
    named = _bases_of(path, file_bytes(path)) if os.path.isfile(path) else ()
    for place, name in named:
        problem = partial(load_yaml(path).problem, location=place)
        try:
            file = _beside(path, name, "cost")
        except InputError as error:
            raise InputError([problem(each.message, hint=each.hint) for each in error.problems]) from None
        if file in (*above, path):
            way = " -> ".join(each.stem for each in (*above, path, file))
            raise InputError([problem(f"the bases of the cost table go round: {way}")])
        if [other for _, other in named].count(name) > 1:
            raise InputError([problem(f"the base '{name}' is named twice")])
        yield from _cost_files(file, (*above, path))


@functools.lru_cache(maxsize=16)
def _bases_of(path: Path, content: bytes) -> tuple[tuple[Location, str], ...]:
    """Return the names of a table's bases and where they stand, read anew when its content has changed."""
    data = load_yaml(path).data
    bases = data.get("base") if isinstance(data, dict) else None
    found: list[tuple[Location, Any]] = [(("base",), bases)]
    if isinstance(bases, list):
        found = [
            (("base", place, "table"), one.get("table")) if isinstance(one, dict) else (("base", place), one)
            for place, one in enumerate(bases)
        ]
    return tuple((place, name) for place, name in found if isinstance(name, str))  # the grammar refuses all else


@functools.lru_cache(maxsize=16)  # the points of a sweep share few tables, and checking one is most of loading a chip
def _load_cost(files: tuple[tuple[Path, bytes], ...]) -> CostTable:
    """Read a table and its bases anew when the content of one has changed."""
    path = files[0][0]
    source = load_yaml(path)
    check_schema_tag(source, "cost")
    table = parse(CostTable, source)
    own = {section: len(getattr(table, section)) for section in SECTIONS}
    if table.base:
        table = table.on([load_cost(_beside(path, base.table, "cost")) for base in table.base])
    problems = []
    for section in SECTIONS:
        for index, row in enumerate(getattr(table, section)[: own[section]]):
            where = (section, index, "kind")
            if isinstance(row, ClockPrice) and row.kind == EVERY:
                continue
            if row.kind not in KINDS:
                problems.append(source.problem(f"unknown kind '{row.kind}'", where, did_you_mean(row.kind, KINDS)))
                continue
            try:
                actions = KINDS[row.kind].actions
            except InputError as error:
                problems.append(source.problem(str(error), where))
                continue
            if section == "energy" and row.action not in actions:
                message = f"a {row.kind} has no action '{row.action}'"
                problems.append(source.problem(message, (section, index, "action"), did_you_mean(row.action, actions)))
            covered_by = row.included_in
            if covered_by is not None and section != "clock":
                priced = _covering(table, section, row.kind)
                if covered_by not in priced:
                    what = f"action '{covered_by}' of a {row.kind}" if section == "energy" else f"kind '{covered_by}'"
                    message = f"no {section} row with a value for {what}"
                    where = (section, index, "included_in")
                    problems.append(source.problem(message, where, did_you_mean(covered_by, priced)))
    if problems:
        raise InputError(problems)
    return table


def _covering(table: CostTable, section: str, kind: str) -> set[str]:
    """Return what a row of a section may be included in: other kinds, for an energy actions, or the kind's own rows."""
    own = {other for other in _OTHERS.get(section, ()) if _has_value(getattr(table, other), kind)}
    if section == "energy":
        return {row.action for row in table.energy if row.kind == kind and row.included_in is None} | own
    return {row.kind for row in getattr(table, section) if row.included_in is None} | own


def _has_value(rows: Sequence[Any], kind: str) -> bool:
    return any(row.kind == kind and row.included_in is None for row in rows)


def _beside(path: Path, name: str, shelf: str) -> Path:
    """Return the file of a shelf (``cost``, ``devices`` ..) that an architecture or cost table at ``path`` names.

    It is a file beside it, in the folder ``shelf`` beside it, any other path, or a name of the library.
    """
    for candidate in (path.parent / name, path.parent / shelf / f"{name}.yaml"):
        if os.path.isfile(candidate):  # says no to a name that no file can have
            return candidate
    return find(name, f"arch/{shelf}")


def _elsewhere(data: Mapping[str, Any], origin: Path, folder: Path) -> dict[str, Any]:
    """Return the keys of a chip's file with the files that lie beside it named as seen from another folder."""

    def seen(name: Any, shelf: str) -> Any:
        if not isinstance(name, str):
            return name
        file = _beside(origin / "_", name, shelf)
        try:
            if os.path.samefile(_beside(folder / "_", name, shelf), file):
                return name
        except InputError:
            pass
        return os.path.relpath(file, folder)

    def moved(keys: Mapping[str, Any], of: Mapping[str, str]) -> dict[str, Any]:
        return {key: seen(value, of[key]) if key in of else value for key, value in keys.items()}

    technology = moved(data["technology"], {"cost": "cost"})
    components = {name: moved(part, _FILES_OF_PARTS) for name, part in data["components"].items()}
    points = {name: moved(of, {"technology.cost": "cost"}) for name, of in data.get("operating_points", {}).items()}
    new = {"technology": technology, "components": components, "operating_points": points}
    return {key: new.get(key, value) for key, value in data.items()}


def _ends(
    spec: ArchitectureSpec, source: Source
) -> tuple[dict[str, tuple[str, ComponentSpec, ComponentSpec]], list[Problem]]:
    """Return the components at the ends of every assumed size, and what is wrong with the ranges."""
    ends, problems = {}, []
    for key, of in spec.ranges.items():
        where = ("ranges", key)
        first, _, rest = key.partition(".")
        name, _, size = rest.partition(".")
        part = spec.components.get(name) if first == "components" else None
        if part is None:
            hint = did_you_mean(name, spec.components) if first == "components" else "for example components.bus.length"
            problems.append(source.problem(f"no size of a component: '{key}'", where, hint))
            continue
        numbers = part.dimensions()
        if size not in numbers or size not in keeps_values(type(part)):
            sizes = [one for one in numbers if one in keeps_values(type(part))]
            message = f"'{size}' of a {part.kind} is no size that changes energy or area alone"
            problems.append(source.problem(message, where, did_you_mean(size, sizes)))
            continue
        try:
            both = [
                type(part).model_validate({**source.data["components"][name], size: end}) for end in (of.low, of.high)
            ]
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            problems.append(source.problem(message, where))
            continue
        low, high = (one.dimensions()[size] for one in both)
        if not low <= numbers[size] <= high:
            problems.append(source.problem(f"expected low <= {size} <= high", where))
        ends[key] = (name, both[0], both[1])
    return ends, problems


def _wiring_problems(spec: ArchitectureSpec, source: Source) -> list[Problem]:
    names = list(spec.components)
    problems = []
    seen: set[str] = set()
    wired = {end for channel in spec.channels for end in (channel.from_, channel.to, channel.over)}
    for index, channel in enumerate(spec.channels):
        for key, end in (("from", channel.from_), ("to", channel.to), ("over", channel.over)):
            if end is not None and end not in spec.components:
                hint = did_you_mean(end, names)
                problems.append(source.problem(f"no component named '{end}'", ("channels", index, key), hint))
                wired.add(nearest(end, names) or "")  # a misspelt name is one mistake, not two
        if channel.name() in seen:
            problems.append(source.problem(f"two channels {channel.name()}", ("channels", index)))
        seen.add(channel.name())
    for name, component in spec.components.items():
        where = ("components", name)
        if name not in wired and KINDS[component.kind].actions:
            problems.append(source.problem(f"component '{name}' is connected to nothing", where))
        if component.clock is not None and component.clock not in spec.clocks:
            hint = did_you_mean(component.clock, spec.clocks)
            problems.append(source.problem(f"no clock named '{component.clock}'", (*where, "clock"), hint))
    for name in spec.arbitration:
        if name not in spec.components:
            hint = did_you_mean(name, names)
            problems.append(source.problem(f"no component named '{name}'", ("arbitration", name), hint))
    return problems


def _point_problems(spec: ArchitectureSpec, source: Source) -> list[Problem]:
    """An operating point may move time and price alone, because every one shares the values of the run."""
    if len(spec.operating_points) > limits.current().operating_points:
        message, hint = limits.over("operating_points", len(spec.operating_points))
        return [source.problem(message, ("operating_points",), hint)]
    return [
        source.problem(f"an operating point cannot change '{key}'", ("operating_points", point, key), _POINT_HINT)
        for point, settings in spec.operating_points.items()
        for key in settings
        if key.split(".")[0] not in _POINT_KEYS
    ]


def _power_problems(spec: ArchitectureSpec, source: Source) -> list[Problem]:
    """Every part of a domain is a component, in no other domain, and does not go to rest by itself."""
    problems: list[Problem] = []
    names = list(spec.components)
    found_in: dict[str, str] = {}
    for domain, power in spec.power.items():
        for index, pattern in enumerate(power.parts):
            where = ("power", domain, "parts", index)
            parts = [name for name in names if fnmatchcase(name, pattern)]
            if not parts:
                problems.append(source.problem(f"no component '{pattern}'", where, did_you_mean(pattern, names)))
            for name in parts:
                other = found_in.setdefault(name, domain)
                if other != domain:
                    problems.append(source.problem(f"'{name}' is in the domain '{other}' as well", where))
                if power.power_gate is not None and spec.components[name].standby_states():
                    message = f"'{name}' goes to rest by itself and cannot be power-gated"
                    problems.append(source.problem(message, where))
    return problems


def _programming_problems(spec: ArchitectureSpec, source: Source) -> list[Problem]:
    if spec.programming_runs == 1 or any(component.kind == "crossbar" for component in spec.components.values()):
        return []
    return [source.problem("a chip without a crossbar has no cells to program again", ("programming_runs",))]


def _price_problems(spec: ArchitectureSpec, cost: CostTable, source: Source, cost_path: Path) -> list[Problem]:
    """A price that is missing stops the run before it starts; it is never taken as zero."""
    problems = []
    energy = {(row.kind, row.action) for row in cost.energy}
    area = {row.kind for row in cost.area}
    leakage = {row.kind for row in cost.leakage}
    standby = {(row.kind, row.state) for row in cost.standby}
    clocks = {(row.kind, row.state) for row in cost.clock}
    for name, component in spec.components.items():
        missing = [f"action '{a}'" for a in KINDS[component.kind].actions if (component.kind, a) not in energy]
        missing += ["area"] if component.kind not in area else []
        missing += ["leakage"] if component.kind not in leakage else []
        for state in component.standby_names():
            if (component.kind, state) not in standby:
                missing.append(f"standby in the state '{state}'" if state else "standby")
        for state in ("clocked", "gated"):
            if not {(component.kind, state), (EVERY, state)} & clocks:
                missing.append(f"the clock, {state},")
        for what in missing:
            message = f"no price for {what} of a {component.kind} in {cost_path.name}"
            problems.append(source.problem(message, ("components", name)))
    return problems
