"""What every component, device, op and engine promises, as suites of tests for pytest; accelsim's own pass the same.

A plug-in's author names what it registers in a test file:

    from accelsim.ops.op import Edge
    from accelsim.testing import ComponentContract, DeviceContract, EngineContract, OpCase, OpContract

    class TestFlashAdc(ComponentContract):
        names = ["flash_adc"]
        costs = ["my_prices.yaml"]

    class TestMyCell(DeviceContract):
        files = ["my_cell.yaml"]

    class TestSquare(OpContract):
        cases = {"square": [OpCase({"input": "x"}, {"x": Edge(6)})]}

    class TestMyEngine(EngineContract):
        cases = {"my_engine": [("my_chip", "my_network")]}
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from accelsim.engines.execute import execute, frame_starts, service_of
from accelsim.engines.wires import TRANSFER
from accelsim.errors import InputError
from accelsim.inputs import Batch
from accelsim.kernels.cells import RESTING
from accelsim.kernels.number import Arithmetic, Number
from accelsim.ops import plain
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, OPS, Datapath, DatapathOp, Edge, Op, ShortForm, Signal, Tensors, VectorOp
from accelsim.pipeline import arbitration, clocking, domains, links, operate
from accelsim.placement import ENGINES, Parts
from accelsim.schedule.job import Job, Schedule, Work, part_of
from accelsim.schema import json_schema, parse, parse_yaml, undeclared
from accelsim.schema.cost import EVERY
from accelsim.schema.placement import PlacementSpec
from accelsim.simulate import Clocking, Link, simulate
from accelsim.workload import Workload, load_workload

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

    def test_declares_what_every_numeric_key_may_change(self, name: str) -> None:
        """Every key that holds a number says which figures may change when it grows, see `accelsim.schema.Effect`."""
        problems = undeclared(KINDS[name].spec)
        assert not problems, f"{name}: " + "; ".join(problems)

    def test_declares_counts(self, name: str) -> None:
        """The service time asks for what is declared, and for no more."""
        kind = KINDS[name]
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
        assert spec.phases() >= 1 and spec.pass_cycles() >= 0
        assert spec.pass_cycles() or not spec.multipliers(), "a multiplication takes time"
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
                below = value - 1 if value >= 0 else 0  # a size below 0 is no smallest one, only the least that is read
                told = _refused(KINDS[name], self.smallest(name) | {key: below})
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
        """A cost table has rows for each action, area, leakage, standby and clock."""
        kind, lacking = KINDS[name], {}
        for cost in self.costs or library.names("arch/cost"):
            table = load_cost(library.find(cost, "arch/cost"))
            priced = {row.action for row in table.energy if row.kind == name}
            missing = [f"action '{action}'" for action in kind.actions if action not in priced]
            missing += [] if any(row.kind == name for row in table.area) else ["area"]
            missing += [] if any(row.kind == name for row in table.leakage) else ["leakage"]
            missing += [] if any(row.kind == name for row in table.standby) else ["standby"]
            for state in ("clocked", "gated"):
                clocks = any(row.kind in (name, EVERY) and row.state == state for row in table.clock)
                missing += [] if clocks else [f"clock, {state}"]
            if not missing:
                return
            lacking[str(cost)] = missing
        raise AssertionError(f"no cost table prices a {name}; without a price are {lacking}")


class DeviceContract:
    """Tests of memristor devices; ``files``: of schema ``accelsim/device@1``, by name or path, which are tested.

    ``read_voltage``: in V; ``cell_bits``: numbers of bits of a cell that the device serves; ``age``: from programming
    to reading, in s, of devices that change with time.
    """

    files: ClassVar[Sequence[str | Path]] = ()
    read_voltage: ClassVar[float] = 0.6
    cell_bits: ClassVar[Sequence[int]] = (1,)
    age: ClassVar[float] = 86_400.0

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

    def settings(self, bits: int) -> dict[str, Any]:
        """Return how cells of so many bits are programmed and read."""
        return {"read_voltage": self.read_voltage, "cell_bits": bits, "age": self.age}

    def program(self, file: str, bits: int, arrays: Sequence[int] = (4, 5, 9), seed: int = 7) -> Any:
        """Return the states and pulses of `levels` of some of the arrays 4, 5 and 9."""
        chosen = [(4, 5, 9).index(array) for array in arrays]
        written = self.device(file).program(
            self.levels(bits)[chosen], np.array(arrays), seed=seed, **self.settings(bits)
        )
        return written.states, written.pulses

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
        states, pulses, reached = self.device(file).program(levels, np.array([4, 5, 9]), seed=7, **self.settings(bits))
        assert np.array_equal(kept, levels), "changed the levels that it was given"
        assert states.shape == levels.shape and states.dtype == np.float32, f"states: {states.dtype} {states.shape}"
        assert np.isfinite(states).all(), "a state is no finite number"
        whole = np.issubdtype(pulses.dtype, np.integer)
        assert whole and pulses.shape == (3,) and (pulses > 0).all(), f"write pulses of the three arrays: {pulses}"
        if reached is not None:
            cells = levels[0].size
            assert reached.shape == (3,) and ((reached >= 0) & (reached <= cells)).all(), (
                f"reached by a read: {reached}"
            )

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

    def test_knows_whether_it_changes_with_time(self, file: str) -> None:
        """A device that changes refuses to be read at no age; any other is the same at every age."""
        device = self.device(file)

        def states(age: float | None) -> NDArray[np.float32]:
            levels = np.ones((1, 2, 2), np.uint8)
            return device.program(levels, np.array([0]), seed=3, read_voltage=self.read_voltage, age=age).states

        if device.ages() is None:
            assert np.array_equal(states(None), states(self.age)), (
                "changes with an age, and 'ages' says that it does not"
            )
            return
        assert device.wrong_age(self.age) is None, f"cannot be read after {self.age:g} s: {device.wrong_age(self.age)}"
        try:
            states(None)
        except ValueError:
            return
        raise AssertionError("was programmed without an age")

    def test_read_noise_is_a_variance(self, file: str) -> None:
        """The variance of a read, where a device has one, is finite and not below 0, within the range and beyond."""
        conductances = self.device(file).lowest_conductance(self.read_voltage) * np.array([0.0, 1e-3, 1.0, 10.0, 1e4])
        variance = self.device(file).read_variance(conductances, age=self.age, read_time=1e-8, temperature=300.0)
        assert variance is None or (variance.shape == (5,) and np.isfinite(variance).all() and (variance >= 0).all())

    def test_refuses_levels_that_cells_do_not_have(self, file: str, bits: int) -> None:
        """A level above the highest is a ValueError."""
        levels = np.full((1, 2, 2), 1 << bits, np.uint8)
        try:
            self.device(file).program(levels, np.array([0]), seed=0, **self.settings(bits))
        except ValueError:
            return
        raise AssertionError(f"cells of {bits} bits took the level {1 << bits}")


@dataclass(frozen=True)
class OpCase:
    """An op to be tested: its ``keys``, less name and op, and the edges by the names of what it reads.

    An op that reads nothing, a table of distances, gets an edge of any name: rows between which distances lie.
    """

    keys: Data
    read: Mapping[str, Edge]


NUMBERS: Sequence[Number] = ("float32", "float16")


class OpContract:
    """Tests of ops; ``cases``: by the name that a workload uses for an op, the forms of it that are tested.

    For a short form, a case reads the edge of the features.
    """

    cases: ClassVar[Mapping[str, Sequence[OpCase]]] = {}

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Run each test for each op, and each of its forms where it asks for one; pytest calls this."""
        if "case" not in metafunc.fixturenames:
            metafunc.parametrize("name", cls.cases)
            return
        pairs = [(name, case) for name, cases in cls.cases.items() for case in cases]
        ids = [f"{name}-{place}" for name, cases in cls.cases.items() for place in range(len(cases))]
        metafunc.parametrize(("name", "case"), pairs, ids=ids)

    def entry(self, name: str, case: OpCase) -> Op | ShortForm:
        """Return an op read from its keys, as from a YAML file."""
        return parse(OPS[name], parse_yaml(json.dumps({"name": "tested", "op": name, **case.keys})))

    def op(self, name: str, case: OpCase) -> Op:
        """Return the op of a case, of a short form the last one."""
        entry = self.entry(name, case)
        if isinstance(entry, ShortForm):
            return [*entry.ops()][-1]
        return entry.settled([case.read[one] for one in entry.reads()], "double_away")

    def edges(self, name: str, case: OpCase) -> list[Edge]:
        """Return the edges that the op of a case reads."""
        entry = self.entry(name, case)
        if isinstance(entry, ShortForm):
            graph = Graph.of([entry], case.read[FEATURES])
            return graph.read(graph.last)
        return [case.read[one] for one in entry.reads()]

    def tensors(self, name: str, case: OpCase, seed: int) -> Tensors:
        """Return the tensors that the op draws."""
        op, random = self.op(name, case), np.random.default_rng(seed)
        return op.generated(self.edges(name, case), 1.0, random, last=bool(seed % 2))

    def signals(self, name: str, case: OpCase, seed: int, lengths: Sequence[int], number: Number) -> list[Signal]:
        """Return random values of what the op reads, utterances of so many of its own rows."""
        op, edges = self.op(name, case), self.edges(name, case) or list(case.read.values())
        random = np.random.default_rng(seed)
        given = op.infer(edges)
        made = []
        for edge in edges:
            rows = [length * given.stride // edge.stride for length in lengths]
            starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
            if edge.distances:
                width, starts = 2 * max(lengths) - 1, np.zeros(1, np.int64)
                values = plain.rounded(random.normal(0, 1, (width, edge.width)), number)
            else:
                values = drawn_values(random, edge, int(starts[-1]), number)
            made.append(Signal(values, starts, edge))
        return made

    def reference(self, op: Op, read: Sequence[Signal], tensors: Tensors, number: Number) -> NDArray[Any]:
        """Return the values of the reference."""
        with np.errstate(all="ignore"):
            return op.reference(read, tensors, number)

    def test_says_what_it_is(self, name: str) -> None:
        """Its class has an equation in its docstring, which names every key."""
        kind = OPS[name]
        docs = [one.__doc__ or "" for one in kind.__mro__ if issubclass(one, Op | ShortForm) and one not in _BASES]
        assert kind.__doc__ and docs[0], "its class has no docstring"
        said = " ".join(docs)
        if issubclass(kind, Op):
            assert "=" in said, "its docstring has no equation"
        keys = kind.model_fields.keys() - {"name", "op", "input", "inputs"}
        unsaid = [key for key in sorted(keys) if not re.search(rf"\b{key}\b", said)]
        assert not unsaid, f"its docstring does not say what these keys are: {unsaid}"
        const = json_schema(kind)["properties"]["op"].get("const")
        assert const == name, f"""its class needs the key op: Literal["{name}"]"""

    def test_refuses_an_unknown_key_and_names_the_nearest(self, name: str) -> None:
        """A misspelt key is refused with the right one."""
        case = self.cases[name][0]
        key, value = next(iter(case.keys.items()))
        try:
            self.entry(name, OpCase({f"{key}x": value}, case.read))
        except InputError as error:
            told = str(error)
            assert f"unknown key '{key}x'" in told and f"did you mean '{key}'?" in told, told
            return
        raise AssertionError(f"the key '{key}x' was accepted")

    def test_tensors_fit(self, name: str, case: OpCase) -> None:
        """What an op draws for itself is all that it needs, and nothing is wrong with it; nothing else is read."""
        for seed in range(4):
            op, edges, tensors = self.op(name, case), self.edges(name, case), self.tensors(name, case, seed)
            shapes = op.shapes(edges)
            names = {op.tensor_name(end): end for end in shapes}
            assert len(names) == len(shapes), "two tensors have one name"
            assert not tensors.keys() - names.keys(), f"drew tensors that it does not read: {tensors.keys()}"
            missing = {end for one, end in names.items() if one not in tensors} - op.optional()
            assert not missing, f"drew no {sorted(missing)}"
            for one, tensor in tensors.items():
                problem = op.shape_problem(names[one], shapes[names[one]], tensor.shape)
                problem = problem or op.tensor_problem(names[one], tensor, tensors)
                assert problem is None, f"'{one}' {problem}"

    def test_gives_what_it_infers(self, name: str, case: OpCase) -> None:
        """Its values are rows of the width that it infers, as many as it says, whatever its input and number format."""
        op, edges = self.op(name, case), self.edges(name, case)
        given = op.infer(edges)
        assert given.width >= 1 and given.width % given.bands == 0, f"{given.bands} bands of {given.width} values"
        for number in NUMBERS:
            read = self.signals(name, case, 1, (3, 5), number)
            values, starts = self.reference(op, read, self.tensors(name, case, 1), number), op.starts(read)
            shape = (given.width,) if given.kind != "spikes" else (edges[0].steps, given.width)
            assert values.shape[1:] == shape, f"gives {values.shape[1:]}, inferred {shape}"
            if op.reads() and not given.distances:
                assert len(values) == starts[-1] and len(starts) == 3, f"{len(values)} rows, starts {starts}"
            if given.kind == "real":
                assert values.dtype == np.float32, f"real values travel as float32, found {values.dtype}"
                assert _same(values, plain.rounded(values, number)), f"values that {number} does not have"

    def test_computes_its_reference(self, name: str, case: OpCase) -> None:
        """An op of a datapath computes what its reference says, bit for bit, in both number formats."""
        op = self.op(name, case)
        if not isinstance(op, DatapathOp):
            return
        for seed, lengths in enumerate([(4,), (1, 6), (3, 2, 5), (2, 9)]):
            for number in NUMBERS:
                read, tensors = self.signals(name, case, seed, lengths, number), self.tensors(name, case, seed)
                how = Arithmetic(number)
                unit = Datapath(tensors, vector=how, array=how, longest=read[0].longest())
                values, starts = op.compute(read if op.reads() else [], unit)
                wanted = self.reference(op, read, tensors, number)
                assert values.shape == wanted.shape, f"computes {values.shape}, its reference gives {wanted.shape}"
                wrong = int(np.count_nonzero((values != wanted) & ~(np.isnan(values) & np.isnan(wanted))))
                assert not wrong, f"{wrong} of {values.size} values are not those of its reference in {number}"
                assert starts.tolist() == op.starts(read).tolist(), "the rows start elsewhere than it says"

    def test_counts_its_work(self, name: str, case: OpCase) -> None:
        """An op of a vector unit says what it does for a row, in whole numbers."""
        op = self.op(name, case)
        if isinstance(op, VectorOp):
            work = op.work(self.edges(name, case), Arithmetic())
            for what in ("operations", "special", "special_per_row"):
                value = getattr(work, what)
                assert isinstance(value, int) and value >= 0, f"{what} is {value}"

    def test_utterances_do_not_meet(self, name: str, case: OpCase) -> None:
        """What an op gives of an utterance does not depend on those before and behind it."""
        op, tensors = self.op(name, case), self.tensors(name, case, 0)
        read = self.signals(name, case, 3, (4, 3, 5), "float32")
        if not op.reads() or op.infer([signal.edge for signal in read]).distances:
            return
        together, starts = self.reference(op, read, tensors, "float32"), op.starts(read)
        for place in range(3):
            alone = self.reference(op, [_utterance(signal, place) for signal in read], tensors, "float32")
            assert _same(alone, together[starts[place] : starts[place + 1]]), f"utterance {place} is another alone"

    def test_window_is_all_that_it_reads(self, name: str, case: OpCase) -> None:
        """A row outside an op's window does not change what it gives; one behind it may, where the op keeps a state."""
        op, tensors = self.op(name, case), self.tensors(name, case, 0)
        read = self.signals(name, case, 5, (12,), "float32")
        edges = [signal.edge for signal in read]
        window, given = op.window(edges), op.infer(edges)
        if not op.reads() or window.whole or given.distances:
            return
        group = given.stride // edges[0].stride
        values = self.reference(op, read, tensors, "float32")
        others = self.signals(name, case, 6, (12,), "float32")
        for t in range(len(values)):
            begin = t // window.chunk * window.chunk
            first, last = group * begin - window.behind, group * (begin + window.chunk) - 1 + window.ahead
            places = np.arange(len(read[0].values))
            outside = places > last if op.state(edges) else (places > last) | (places < first)
            changed = []
            for signal, other in zip(read, others, strict=True):
                mine = outside if len(signal.values) == len(outside) else np.zeros(len(signal.values), bool)
                choice = mine.reshape(-1, *([1] * (signal.values.ndim - 1)))
                changed.append(replace(signal, values=np.where(choice, other.values, signal.values)))
            again = self.reference(op, changed, tensors, "float32")
            assert _same(again[t], values[t]), f"row {t} depends on rows outside {first} .. {last} of its input"

    def test_has_a_float_network(self, name: str, case: OpCase) -> None:
        """The float network gives finite numbers, rows like those of the quantised one."""
        op, edges = self.op(name, case), self.edges(name, case)
        read = self.signals(name, case, 2, (4, 3), "float32")
        drawn, tensors = self.tensors(name, case, 2), {}
        for end, shape in op.float_shapes(edges).items():
            tensor = drawn.get(op.tensor_name(end), np.full(shape, 0.5))
            codes = tensor.dtype == np.int8  # which stand for fractions
            tensors[op.tensor_name(end)] = tensor.astype(np.float32) / np.float32(256 if codes else 1)
            problem = op.shape_problem(end, shape, tensor.shape) or op.float_problem(end, tensors[op.tensor_name(end)])
            assert problem is None, f"'{end}' {problem}"
        exact = Datapath(tensors, longest=read[0].longest())
        values, starts = op.float_values(read if op.reads() else [], exact, None)
        wanted = self.reference(op, read, drawn, "float32")
        assert values.shape == wanted.shape, f"gives {values.shape}, the quantised network {wanted.shape}"
        assert np.isfinite(values).all(), "a value of the float network is no finite number"
        assert starts.tolist() == op.starts(read).tolist()

    def test_short_form_stands_for_ops(self, name: str, case: OpCase) -> None:
        """What a short form stands for is a graph, whose ops are registered and named after it."""
        entry = self.entry(name, case)
        if isinstance(entry, ShortForm):
            graph = Graph.of([entry], case.read[FEATURES])
            assert all(one.op in OPS and one.name.startswith(f"{entry.name}.") for one in graph.ops)


_BASES = (Op, ShortForm)


def drawn_values(random: np.random.Generator, edge: Edge, rows: int, number: Number = "float32") -> NDArray[Any]:
    """Return random values of an edge: normal numbers of deviation 2, codes of all values, or as many 1 as 0."""
    if edge.kind == "spikes":
        return random.integers(0, 2, (rows, edge.steps, edge.width)).astype(np.uint8)
    if edge.kind == "real":
        return plain.rounded(random.normal(0, 2, (rows, edge.width)), number)
    if edge.bits > 8:
        return random.integers(-1000, 1001, (rows, edge.width))
    if (edge.zero_point and not edge.full_range) or edge.unsigned:
        return random.integers(0, 1 << edge.bits, (rows, edge.width)).astype(np.uint8)
    return random.integers(-(1 << (edge.bits - 1)), 1 << (edge.bits - 1), (rows, edge.width)).astype(np.int8)


def _utterance(signal: Signal, place: int) -> Signal:
    """Return one utterance of a signal; vectors of distances as they are."""
    if signal.edge.distances:
        return signal
    first, last = signal.starts[place : place + 2].tolist()
    return Signal(signal.values[first:last], np.array([0, last - first], np.int64), signal.edge)


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether values are equal, NaN being equal to NaN."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


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
    """A network whose ops ran on a chip: what each gave, by name, and the engines' runs, which count on a grid."""

    deployment: Deployment
    batch: Batch
    signals: Mapping[str, Signal]
    runs: Mapping[str, Run]
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
    deployment, edge = deploy(network, chip), network.graph.edges[FEATURES]
    starts = np.cumsum([0, *(length * deployment.frame for length in lengths)]).astype(np.int64)
    codes = np.random.default_rng(0).integers(0, 1 << edge.bits, (starts[-1], edge.width)).astype(np.uint8)
    names = tuple(f"utterance {n}" for n in range(len(lengths)))
    batch = Batch(codes, starts, names, "random features", None, 0.01 * len(codes), 0.01)
    runs = {name: engine.start(batch, 0, lambda _: None) for name, engine in deployment.engines.items()}
    signals = _Kept({FEATURES: batch.signal(edge)})
    for segment in deployment.segments:
        runs[segment.engine].values(segment.ops, signals)
    grid = Grid(frame_starts(deployment, signals[network.graph.last.name].starts), deployment.frame)
    return Ran(deployment, batch, signals, runs, grid)


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
        lacking = sorted(named - kind.roles.keys())
        assert not lacking, f"it has no such roles: {lacking}"
        unknown = sorted(kind.settings - (PlacementSpec.model_fields.keys() - {"engine"}))
        assert not unknown, f"placement has no such keys: {unknown}"

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
            chip, schedule = one.deployment.chip, one.deployment.schedule
            execution = execute(one.deployment, one.batch)
            activity, frames = execution.activity, execution.frames
            outcome = operate(chip, schedule, activity, frames)
            for order in (tuple(reversed(schedule.leaders())), tuple(sorted(schedule.leaders()))):
                again = simulate(
                    schedule, links(chip, schedule), service_of(schedule, chip, activity), clocking(chip, schedule),
                    frames, tokens=activity.tokens, arbitration=arbitration(chip, schedule),
                    domains=domains(chip, schedule), process_order=order,
                )  # fmt: skip
                assert again.finished_ps.tolist() == outcome.timeline.finished_ps.tolist(), "order matters"
                assert again.cycles == outcome.timeline.cycles, "where the cycles go depends on the order"
