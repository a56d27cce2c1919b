"""What every kind of component promises, whatever it is: asked of each one that is registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from accelsim.components import KINDS, ComponentSpec, Kind
from accelsim.errors import InputError
from accelsim.schedule.job import Job, Schedule
from accelsim.schema import json_schema, parse, parse_yaml
from accelsim.simulate import Clocking, Link, simulate


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def smallest(kind: Kind) -> dict[str, Any]:
    """Return the required keys of a kind with the smallest values that its JSON schema allows."""
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
    return data


def read(kind: Kind, data: Mapping[str, Any]) -> ComponentSpec:
    """Read a component's keys as from a YAML file."""
    return parse(kind.spec, parse_yaml("\n".join(f"{key}: {value}" for key, value in data.items())))


class Counted(dict):
    """Counts that a service time may ask for by any name; each is made up on first use, and always the same."""

    def __init__(self, seed: int, frames: int) -> None:
        super().__init__()
        self.seed, self.frames = seed, frames

    def __missing__(self, name: str) -> np.ndarray:
        generator = np.random.default_rng([self.seed, *name.encode()])
        self[name] = generator.integers(0, 50, self.frames)
        return self[name]


def service(kind: Kind, spec: ComponentSpec, counts: Mapping[str, np.ndarray], frames: int) -> np.ndarray:
    return np.broadcast_to(kind.service_cycles(spec, counts), (frames,))


def test_says_what_it_is(kind: Kind) -> None:
    assert kind.spec.__doc__ and kind.service_cycles.__doc__
    assert all(kind.actions.values()), "every action says what it means"
    schema = json_schema(kind.spec)
    assert schema["properties"]["kind"]["const"] == kind.name


def test_reads_its_smallest_form(kind: Kind) -> None:
    spec = read(kind, smallest(kind))
    assert spec.instances() >= 1
    assert spec.multipliers() >= 0
    assert all(value >= 0 for value in spec.dimensions().values())


def test_refuses_an_unknown_key_and_names_the_nearest(kind: Kind) -> None:
    known = next(key for key in json_schema(kind.spec)["properties"] if key not in ("kind", "clock"))
    data = smallest(kind)
    value = data.pop(known, 1)
    with pytest.raises(InputError) as error:
        read(kind, data | {f"{known}x": value})
    assert f"unknown key '{known}x'" in str(error.value)
    assert f"did you mean '{known}'?" in str(error.value)


def test_refuses_sizes_below_the_smallest(kind: Kind) -> None:
    rules = json_schema(kind.spec)["properties"]
    for key, value in smallest(kind).items():
        if rules[key].get("type") == "integer":
            with pytest.raises(InputError, match=f"'{key}': must be"):
                read(kind, smallest(kind) | {key: value - 1})


def test_service_time_is_a_pure_function_of_each_frame(kind: Kind) -> None:
    frames, spec = 20, read(kind, smallest(kind))
    counts = Counted(1, frames)
    cycles = service(kind, spec, counts, frames)
    assert np.issubdtype(cycles.dtype, np.integer)
    assert (cycles >= 0).all()
    kept = {name: values.copy() for name, values in counts.items()}
    assert np.array_equal(cycles, service(kind, spec, counts, frames)), "asked twice, answered differently"
    assert all(np.array_equal(kept[name], values) for name, values in counts.items()), "changed what it was given"
    for t in range(frames):
        alone = {name: values[t : t + 1] for name, values in counts.items()}
        assert service(kind, spec, alone, 1)[0] == cycles[t]


def test_no_work_takes_no_time(kind: Kind) -> None:
    counts = Counted(1, 3)
    service(kind, read(kind, smallest(kind)), counts, 3)
    nothing = {name: np.zeros(3, np.int64) for name in counts}
    assert service(kind, read(kind, smallest(kind)), nothing, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("latency", [1, 3])
def test_ready_at_n_and_not_at_n_minus_1(kind: Kind, latency: int) -> None:
    # A job of N cycles that starts at 0 is seen by its consumer, and so starts it, at N + latency: not a cycle earlier.
    frames, spec = 12, read(kind, smallest(kind))
    cycles = service(kind, spec, Counted(2, frames), frames)
    for n in cycles.tolist():
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
