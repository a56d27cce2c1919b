"""What every component, device and engine promises, as suites of tests for pytest; accelsim's own pass the same ones.

A plug-in's author names what it registers in a test file:

    from accelsim.testing import ComponentContract, DeviceContract, EngineContract

    class TestFlashAdc(ComponentContract):
        names = ["flash_adc"]
        costs = ["my_prices.yaml"]

    class TestMyCell(DeviceContract):
        files = ["my_cell.yaml"]

    class TestMyEngine(EngineContract):
        cases = {"my_engine": [("my_chip", "my_network")]}
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from accelsim import library
from accelsim.architecture import Architecture, load_architecture, load_cost
from accelsim.components import KINDS, ComponentSpec, Kind
from accelsim.devices import DEVICES, Device, load_device
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.engine import Engine, Grid, Run
from accelsim.engines.execute import Execution, execute, service_of
from accelsim.engines.wires import TRANSFER
from accelsim.errors import InputError
from accelsim.kernels.cells import RESTING
from accelsim.kernels.number import Number
from accelsim.ops.op import FEATURES, Op, Signal
from accelsim.pipeline import arbitration, clocking, links, operate
from accelsim.placement import ENGINES, Parts
from accelsim.schedule.job import Job, Schedule, Work, part_of
from accelsim.schema import json_schema, parse, parse_yaml
from accelsim.schema.placement import PlacementSpec
from accelsim.simulate import Clocking, Link, simulate
from accelsim.workload import Batch, Workload, load_workload

Data = Mapping[str, Any]


def smallest(kind: Kind, keys: Data) -> dict[str, Any]:
    """Return the required keys of a kind with the smallest values that its JSON schema allows, and ``keys``."""
    schema = json_schema(kind.spec)
    data: dict[str, Any] = {"kind": kind.name}
    for key in schema["required"]:
        rule = schema["properties"][key]
        if "examples" in rule:
            data[key] = rule["examples"][0]
        elif "enum" in rule:
            data[key] = rule["enum"][0]
        elif rule.get("type") in ("integer", "number"):
            data[key] = rule.get("minimum", rule.get("exclusiveMinimum", 0) + 1)
        elif rule.get("type") == "string" and "const" not in rule:
            data[key] = "something"
    return {**data, **keys}


def read(kind: Kind, data: Data) -> ComponentSpec:
    """Return a component read from its keys, as from a YAML file."""
    return parse(kind.spec, parse_yaml("\n".join(f"{key}: {value}" for key, value in data.items())))


class MadeUpCounts(dict[str, NDArray[np.int64]]):
    """Counts that a service time may ask for by any name; each is made up on first use, and always the same."""

    def __init__(self, seed: int, frames: int) -> None:
        super().__init__()
        self.seed, self.frames = seed, frames

    def __missing__(self, name: str) -> NDArray[np.int64]:
        generator = np.random.default_rng([self.seed, *name.encode()])
        self[name] = generator.integers(0, 50, self.frames)
        return self[name]


class ComponentContract:
    """Tests of kinds of components; ``names``: those that are tested, as YAML names them.

    ``keys``: by kind, keys that a smallest component needs besides the required numbers and words. ``costs``: cost
    tables, by name or path, of which one must price each kind; by default all of the libraries.
    """

    names: ClassVar[Sequence[str]] = ()
    keys: ClassVar[Mapping[str, Data]] = {}
    costs: ClassVar[Sequence[str | Path]] = ()

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Run each test for each name; pytest calls this."""
        metafunc.parametrize("name", cls.names)

    def smallest(self, name: str) -> dict[str, Any]:
        """Return the keys of the smallest component of a kind."""
        return smallest(KINDS[name], self.keys.get(name, {}))

    def spec(self, name: str) -> ComponentSpec:
        """Return the smallest component of a kind."""
        return read(KINDS[name], self.smallest(name))

    def cycles(self, name: str, counts: Mapping[str, NDArray[np.int64]], frames: int) -> NDArray[np.int64]:
        """Return the service cycles of the smallest component, [frames]."""
        return np.broadcast_to(KINDS[name].service_cycles(self.spec(name), counts), (frames,))

    def counts(self, name: str, seed: int, frames: int) -> dict[str, NDArray[np.int64]]:
        """Return made-up counts that the kind's service time asks for, and all others that it declares."""
        kind, counts = KINDS[name], MadeUpCounts(seed, frames)
        self.cycles(name, counts, frames)
        for count in (*kind.actions, *kind.counts):
            counts[count]  # made up by asking for it
        return dict(counts)

    def test_says_what_it_is(self, name: str) -> None:
        """The Spec and the service time have docstrings, every action and count a meaning, and the names agree."""
        kind = KINDS[name]
        assert kind.name == name, f"'{name}' is registered with the name '{kind.name}'"
        assert inspect.getdoc(kind.spec) not in (None, inspect.getdoc(ComponentSpec)), "its Spec has no docstring"
        assert kind.service_cycles.__doc__, "its service time has no docstring"
        assert all(kind.actions.values()), "an action does not say what it means"
        assert all(kind.counts.values()), "a count does not say what it means"
        const = json_schema(kind.spec)["properties"]["kind"].get("const")
        assert const == name, f"""its Spec needs the key kind: Literal["{name}"]"""

    def test_declares_keys_and_counts(self, name: str) -> None:
        """Keys that move time and price alone are keys; the service time asks for what is declared, and for no more."""
        kind = KINDS[name]
        unknown = kind.spec.timing_and_cost - kind.spec.model_fields.keys()
        assert not unknown, f"timing_and_cost names what is no key: {sorted(unknown)}"
        asked = MadeUpCounts(0, 3)
        self.cycles(name, asked, 3)
        undeclared = asked.keys() - {*kind.actions, *kind.counts}
        assert not undeclared, f"its service time asks for counts that it does not declare: {sorted(undeclared)}"
        self.cycles(name, self.counts(name, 0, 3), 3)

    def test_reads_its_smallest_form(self, name: str) -> None:
        """The smallest component can be read, and its figures are possible ones."""
        spec = self.spec(name)
        assert spec.instances() >= 1, "a component has at least one instance"
        assert spec.multipliers() >= 0
        assert spec.peak_bits_per_cycle() >= 0
        assert all(value >= 0 for value in spec.dimensions().values()), f"a dimension below 0: {spec.dimensions()}"

    def test_refuses_an_unknown_key_and_names_the_nearest(self, name: str) -> None:
        """A misspelt key is refused with the right one."""
        kind, data = KINDS[name], self.smallest(name)
        known = next(key for key in json_schema(kind.spec)["properties"] if key not in ("kind", "clock"))
        value = data.pop(known, 1)
        told = _refused(kind, data | {f"{known}x": value})
        assert f"unknown key '{known}x'" in told and f"did you mean '{known}'?" in told, told

    def test_refuses_sizes_below_the_smallest(self, name: str) -> None:
        """Every whole number has a smallest value."""
        rules = json_schema(KINDS[name].spec)["properties"]
        for key, value in self.smallest(name).items():
            if rules[key].get("type") == "integer":
                told = _refused(KINDS[name], self.smallest(name) | {key: value - 1})
                assert f"'{key}': must be" in told, told

    def test_service_time_is_a_pure_function_of_each_frame(self, name: str) -> None:
        """Whole cycles, the same when asked twice, of a frame's own counts alone, which stay as they were."""
        frames = 20
        counts = self.counts(name, 1, frames)
        kept = {count: values.copy() for count, values in counts.items()}
        cycles = self.cycles(name, counts, frames)
        assert np.issubdtype(cycles.dtype, np.integer), f"cycles are whole numbers, found {cycles.dtype}"
        assert (cycles >= 0).all(), "a service time below 0"
        assert np.array_equal(cycles, self.cycles(name, counts, frames)), "asked twice, answered differently"
        assert all(np.array_equal(kept[count], values) for count, values in counts.items()), "changed its counts"
        for t in range(frames):
            alone = {count: values[t : t + 1] for count, values in counts.items()}
            assert self.cycles(name, alone, 1)[0] == cycles[t], "a frame's time depends on other frames"

    def test_more_work_never_takes_less_time(self, name: str) -> None:
        """The service time does not fall when one count grows."""
        frames = 50
        counts = self.counts(name, 3, frames)
        cycles = self.cycles(name, counts, frames)
        for count in counts:
            for more in (1, 7):
                grown = self.cycles(name, {**counts, count: counts[count] + more}, frames)
                assert (grown >= cycles).all(), f"{more} more of '{count}' take less time"

    def test_no_work_takes_no_time(self, name: str) -> None:
        """A frame without work costs no cycle."""
        nothing = {count: np.zeros(3, np.int64) for count in self.counts(name, 1, 3)}
        assert self.cycles(name, nothing, 3).tolist() == [0, 0, 0], "no work takes time"

    def test_ready_at_n_and_not_at_n_minus_1(self, name: str) -> None:
        """A job of N cycles that starts at 0 starts its consumer at N + latency, and not a cycle earlier."""
        frames, counts = 12, MadeUpCounts(2, 12)
        for n in self.cycles(name, counts, frames).tolist():
            for latency in (1, 3):
                jobs = (
                    Job("work", "l", "producer", gives=("producer->consumer",), paced=True),
                    Job("use", "l", "consumer", takes=("producer->consumer",), last=True),
                )
                timeline = simulate(
                    Schedule(jobs),
                    [Link("producer", "consumer", 1, latency)],
                    {("work", "producer"): np.array([n]), ("use", "consumer"): np.array([1])},
                    Clocking({"producer": 1000, "consumer": 1000}),
                    1,
                )
                assert timeline.started_ps.tolist() == [(n + latency) * 1000]
                assert timeline.cycles["producer"]["busy"] == n

    def test_has_prices(self, name: str) -> None:
        """A cost table has a row for each action, the area and the leakage."""
        kind, lacking = KINDS[name], {}
        for cost in self.costs or library.names("arch/cost"):
            table = load_cost(library.find(cost, "arch/cost"))
            priced = {row.action for row in table.energy if row.kind == name}
            missing = [f"action '{action}'" for action in kind.actions if action not in priced]
            missing += [] if any(row.kind == name for row in table.area) else ["area"]
            missing += [] if any(row.kind == name for row in table.leakage) else ["leakage"]
            if not missing:
                return
            lacking[str(cost)] = missing
        raise AssertionError(f"no cost table prices a {name}; without a price are {lacking}")


class DeviceContract:
    """Tests of memristor devices; ``files``: of schema ``accelsim/device@1``, by name or path, which are tested.

    ``read_voltage``: in V; ``cell_bits``: numbers of bits of a cell that the device serves.
    """

    files: ClassVar[Sequence[str | Path]] = ()
    read_voltage: ClassVar[float] = 0.6
    cell_bits: ClassVar[Sequence[int]] = (1,)

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Run each test for each file, and each number of bits where it asks for it; pytest calls this."""
        metafunc.parametrize("file", [str(file) for file in cls.files])
        if "bits" in metafunc.fixturenames:
            metafunc.parametrize("bits", cls.cell_bits)

    def device(self, file: str) -> Device:
        """Return the device of a file."""
        return load_device(file)

    def levels(self, bits: int) -> NDArray[np.uint8]:
        """Return levels to program, each equally often, and some resting cells: [3 arrays, 40 rows, 8 columns]."""
        drawn = np.arange(3 * 40 * 8) % (1 << bits)
        levels = np.random.default_rng(0).permutation(drawn).reshape(3, 40, 8).astype(np.uint8)
        levels[:, -1] = RESTING
        return levels

    def program(self, file: str, bits: int, arrays: Sequence[int] = (4, 5, 9), seed: int = 7) -> Any:
        """Return the states and pulses of `levels` of some of the arrays 4, 5 and 9."""
        chosen = [(4, 5, 9).index(array) for array in arrays]
        return self.device(file).program(
            self.levels(bits)[chosen], np.array(arrays), seed=seed, read_voltage=self.read_voltage, cell_bits=bits
        )

    def test_says_what_it_is(self, file: str) -> None:
        """The device is of a kind that is registered, which says what it is, and its numbers have a source."""
        device = self.device(file)
        kind = DEVICES[device.kind]
        assert type(device) is kind, f"'{device.kind}' is registered for {kind.__name__}"
        assert inspect.getdoc(kind) not in (None, inspect.getdoc(Device)), "its class has no docstring"
        assert device.name and device.source, "a device has a name and a source"
        const = json_schema(kind)["properties"]["kind"].get("const")
        assert const == device.kind, f"""its class needs the key kind: Literal["{device.kind}"]"""

    def test_the_low_resistance_carries_more_current(self, file: str, bits: int) -> None:
        """LL carries more than HH at the read voltage, nothing flows at 0 V, and a weight unit is a current."""
        curves = self.device(file).curves(self.read_voltage, bits)
        low, high, none = (
            float(curves.current(np.array(state), np.array(volts)))
            for state, volts in ((0.0, self.read_voltage), (1.0, self.read_voltage), (0.5, 0.0))
        )
        assert low > max(high, 0), f"in low resistance flow {low:g} A, in high resistance {high:g} A"
        assert none == 0, f"{none:g} A flow without a voltage"
        assert curves.unit > 0

    def test_programs_every_cell(self, file: str, bits: int) -> None:
        """States are finite numbers, one a cell; pulses are counted for each array; the levels stay as they were."""
        levels = self.levels(bits)
        kept = levels.copy()
        states, pulses = self.device(file).program(
            levels, np.array([4, 5, 9]), seed=7, read_voltage=self.read_voltage, cell_bits=bits
        )
        assert np.array_equal(kept, levels), "changed the levels that it was given"
        assert states.shape == levels.shape and states.dtype == np.float32, f"states: {states.dtype} {states.shape}"
        assert np.isfinite(states).all(), "a state is no finite number"
        whole = np.issubdtype(pulses.dtype, np.integer)
        assert whole and pulses.shape == (3,) and (pulses > 0).all(), f"write pulses of the three arrays: {pulses}"

    def test_the_seed_decides_every_draw(self, file: str, bits: int) -> None:
        """The same seed programs the same cells, whichever arrays are programmed together."""
        states, pulses = self.program(file, bits)
        again, pulses_again = self.program(file, bits)
        assert np.array_equal(states, again) and np.array_equal(pulses, pulses_again), "asked twice, answered otherwise"
        for place, array in enumerate((4, 5, 9)):
            alone, its_pulses = self.program(file, bits, [array])
            assert np.array_equal(alone[0], states[place]), f"array {array} alone is programmed otherwise"
            assert its_pulses[0] == pulses[place]

    def test_a_higher_level_carries_more_current(self, file: str, bits: int) -> None:
        """The mean current at the read voltage rises from level to level."""
        levels, (states, _) = self.levels(bits), self.program(file, bits)
        current = self.device(file).curves(self.read_voltage, bits).current(states, np.array(self.read_voltage))
        means = [float(current[levels == level].mean()) for level in range(1 << bits)]
        assert all(np.diff(means) > 0), f"mean currents of the levels: {means} A"

    def test_refuses_levels_that_cells_do_not_have(self, file: str, bits: int) -> None:
        """A level above the highest is a ValueError."""
        levels = np.full((1, 2, 2), 1 << bits, np.uint8)
        try:
            self.device(file).program(levels, np.array([0]), seed=0, read_voltage=self.read_voltage, cell_bits=bits)
        except ValueError:
            return
        raise AssertionError(f"cells of {bits} bits took the level {1 << bits}")


def _refused(kind: Kind, data: Data) -> str:
    """Return what is said of keys that must be refused."""
    try:
        read(kind, data)
    except InputError as error:
        return str(error)
    raise AssertionError(f"these keys were accepted: {dict(data)}")


class _Kept(dict[str, Signal]):
    """Signals, of which none is dropped when its last reader has read it."""

    def pop(self, name: str, *default: Any) -> Any:
        return self.get(name, *default)


@dataclass(frozen=True)
class Ran:
    """A network that ran on a chip: what each op gave, what each engine's run counted, and the books of the whole."""

    deployment: Deployment
    signals: Mapping[str, Signal]
    runs: Mapping[str, Run]
    execution: Execution
    grid: Grid

    def jobs(self, kind: str) -> Iterator[tuple[Engine, Job]]:
        """Return the jobs of the engines of a kind; none of those that only take the features in."""
        placement = self.deployment.placement
        for job in self.deployment.schedule.jobs:
            engine = self.deployment.engines.get(placement.engine_of.get(job.layer, ""))
            if engine is not None and engine.kind == kind:
                yield engine, job


def run_small(network: Workload, chip: Architecture, lengths: Sequence[int] = (3, 5)) -> Ran:
    """Run a network on a chip over utterances of so many frames, whose features are drawn at random."""
    deployment = deploy(network, chip)
    edge = network.graph.edges[FEATURES]
    frames = max(deployment.frame, 1)
    starts = np.cumsum([0, *(length * frames for length in lengths)]).astype(np.int64)
    codes = np.random.default_rng(0).integers(0, 1 << edge.bits, (starts[-1], edge.width)).astype(np.uint8)
    names = tuple(f"utterance {n}" for n in range(len(lengths)))
    batch = Batch(codes, starts, names, "random features", None, 0.01 * len(codes), 0.01)
    execution = execute(deployment, batch)
    runs = {name: engine.start(batch, 0, lambda _: None) for name, engine in deployment.engines.items()}
    signals = _Kept({FEATURES: batch.signal(edge)})
    for segment in deployment.segments:
        runs[segment.engine].values(segment.ops, signals)
    return Ran(deployment, signals, runs, execution, Grid(execution.starts, deployment.frame))


class EngineContract:
    """Tests of kinds of engines; ``cases``: by kind, pairs of a chip and a small network that has ops for the engine.

    Both are names of the libraries or paths; `networks` may give more. ``digital``: the kinds of engines whose values
    are to the bit those that the ops define, by default all. ``number``: by kind, the format of their real numbers.
    """

    cases: ClassVar[Mapping[str, Sequence[tuple[str | Path, str | Path]]]] = {}
    digital: ClassVar[Sequence[str] | None] = None
    number: ClassVar[Mapping[str, Number]] = {}

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Run each test for each kind of engine; pytest calls this."""
        metafunc.parametrize("name", sorted(cls.cases))

    def networks(self, name: str) -> Iterable[tuple[Workload, Architecture]]:
        """Return networks and the chips that they are to run on, with an engine of a kind."""
        return [(load_workload(network), load_architecture(chip)) for chip, network in self.cases[name]]

    def ran(self, name: str) -> list[Ran]:
        """Return what `networks` give when they run; they run once for all tests."""
        kept: dict[str, list[Ran]] = type(self).__dict__.get("_ran") or {}
        if name not in kept:
            kept[name] = [run_small(network, chip) for network, chip in self.networks(name)]
            type(self)._ran = kept  # type: ignore[attr-defined]
        assert any(True for one in kept[name] for _ in one.jobs(name)), f"no network has a job on an engine '{name}'"
        return kept[name]

    def test_says_what_it_is(self, name: str) -> None:
        """The engine is of a kind that is registered, has a docstring, and says in words what each part must be."""
        kind = ENGINES[name]
        assert kind.kind == name, f"'{name}' is registered with the kind '{kind.kind}'"
        assert issubclass(kind, Engine), "it does not derive from accelsim.engines.engine.Engine"
        assert inspect.getdoc(kind) not in (None, inspect.getdoc(Engine)), "its class has no docstring"
        assert kind.runs and all(issubclass(op, Op) for op in kind.runs), "it runs no classes of ops"
        assert kind.roles and all(role.what for role in kind.roles.values()), "a role does not say what plays it"

    def test_names_roles_that_it_has(self, name: str) -> None:
        """Needs, lock-step pairs, flows, entries, exits and what jobs call a part name roles; settings are keys."""
        kind = ENGINES[name]
        assert issubclass(kind, Engine)
        assert kind.needs, "it says no set of parts that it needs"
        assert kind.entries and kind.exits, "it says no role that takes, or gives, what travels between ops"
        pairs = {role for pair in (*kind.lockstep, *kind.flows) for role in pair}
        called = {role for roles in kind.job_roles.values() for role in roles}
        named = {*(role for need in kind.needs for role in need), *pairs, *kind.entries, *kind.exits, *called}
        assert not (unknown := named - kind.roles.keys()), f"it has no such roles: {sorted(unknown)}"
        keys = PlacementSpec.model_fields.keys() - {"engine"}
        assert not (unknown := kind.settings - keys), f"placement has no such keys: {sorted(unknown)}"

    def test_refuses_with_a_reason(self, name: str) -> None:
        """Whichever parts it has, of those that it needs, it takes an op or says in words why not."""
        kind = ENGINES[name]
        for one in self.ran(name):
            graph, sites = one.deployment.network.graph, one.deployment.placement.sites
            for site in (site for site in sites.values() if site.kind is kind):
                whole = [need for need in kind.needs if site.parts.has(need)]
                for roles in (*whole, frozenset(site.parts.names)):
                    names = {role: site.parts.names[role] for role in roles}
                    parts = Parts(names, site.parts.components)
                    for op in (op for op in graph.ops if isinstance(op, kind.runs)):
                        reason = kind.refuses(op, graph.read(op), graph.edges[op.name], parts)
                        assert reason is None or (isinstance(reason, str) and reason), f"{op.op}: {reason!r}"

    def test_jobs_name_their_parts(self, name: str) -> None:
        """A job's parts play the roles that it names, tokens go over channels of the chip, and its work has a type."""
        for one in self.ran(name):
            chip = one.deployment.chip
            bounded = {channel.name() for channel in chip.spec.channels if not channel.lockstep}
            for engine, job in one.jobs(name):
                assert len(job.roles) == len(job.members()), f"{job.name}: {job.roles} for {job.members()}"
                assert type(job.work) is not Work, f"{job.name} does not say what it does"
                for role, member in zip(job.roles, job.members(), strict=True):
                    if role == TRANSFER:
                        continue
                    roles = engine.job_roles.get(role, (role,))
                    plays = [part for each in roles for part in engine.parts.names.get(each, ())]
                    assert part_of(member) in plays, f"{job.name}: '{member}' plays no {' or '.join(roles)}"
                for channel in (*job.takes, *job.gives):
                    ends = "->".join(part_of(end) for end in channel.split("->"))
                    assert ends in bounded, f"{job.name}: the chip has no channel {channel}"

    def test_counts_what_its_parts_declare(self, name: str) -> None:
        """Whole numbers, none below zero, of what its kind declares, for every part of a job and for no other."""
        for one in self.ran(name):
            components = one.deployment.chip.components()
            for engine, job in one.jobs(name):
                counted, macs = one.runs[engine.name].count(job, one.grid)
                roles = set(job.roles) - {TRANSFER}
                assert counted.keys() == roles, f"{job.name} has the roles {sorted(roles)}, counts {sorted(counted)}"
                for role, counts in counted.items():
                    for member in job.in_role(role):
                        kind = KINDS[components[part_of(member)].kind]
                        unknown = counts.keys() - kind.actions.keys() - kind.counts.keys()
                        assert not unknown, f"{job.name}: a {kind.name} counts no {sorted(unknown)}"
                    for count, value in counts.items():
                        values = np.asarray(value)
                        assert np.issubdtype(values.dtype, np.integer), f"{job.name}: {count} is {values.dtype}"
                        assert values.shape in ((), (one.grid.frames,)), f"{job.name}: {count} has shape {values.shape}"
                        assert (values >= 0).all(), f"{job.name}: {count} is below 0"
                assert macs is None or macs.performed + macs.skipped == macs.dense, f"{job.name}: {macs}"

    def test_values_are_what_the_ops_define(self, name: str) -> None:
        """Every op gives what its `reference` gives of what it reads; not so on parts that are analogue."""
        if self.digital is not None and name not in self.digital:
            return
        for one in self.ran(name):
            placement, network = one.deployment.placement, one.deployment.network
            for op in network.graph.ops:
                engine = one.deployment.engines[placement.engine_of[op.name]]
                if engine.kind != name or not op.reads():
                    continue
                read = [one.signals[source] for source in op.reads()]
                wanted = op.reference(read, network.tensors, self.number.get(name, "float32"))
                found = one.signals[op.name].values
                assert np.array_equal(np.asarray(found, np.float64), np.asarray(wanted, np.float64), equal_nan=True), (
                    f"layer '{op.name}' ({op.op}) of '{network.spec.name}' differs from its definition"
                )
                assert np.array_equal(one.signals[op.name].starts, op.starts(read)), f"layer '{op.name}': its rows"

    def test_the_books_close_in_any_order(self, name: str) -> None:
        """All jobs end, every component's cycles add up, and the order of the processes does not matter."""
        for one in self.ran(name):
            chip, schedule, activity = one.deployment.chip, one.deployment.schedule, one.execution.activity
            outcome = operate(chip, schedule, activity, one.execution.frames)
            for order in (tuple(reversed(schedule.leaders())), tuple(sorted(schedule.leaders()))):
                again = simulate(
                    schedule, links(chip, schedule), service_of(schedule, chip, activity), clocking(chip, schedule),
                    one.execution.frames, tokens=activity.tokens, arbitration=arbitration(chip, schedule),
                    process_order=order,
                )  # fmt: skip
                assert again.finished_ps.tolist() == outcome.timeline.finished_ps.tolist(), "order matters"
                assert again.cycles == outcome.timeline.cycles, "where the cycles go depends on the order"
