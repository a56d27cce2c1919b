"""Vector unit, attention engine, task queue and buses of clusters: closed forms against loops over cycles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.components import KINDS, ComponentSpec
from accelsim.components.attention_engine import AttentionEngine
from accelsim.components.bus import Bus
from accelsim.components.task_queue import TaskQueue
from accelsim.components.vector_unit import VectorUnit
from accelsim.errors import InputError
from accelsim.schema import parse, parse_yaml

work, sizes = st.integers(0, 60), st.integers(1, 9)


def cycles_of(spec: ComponentSpec, **counts: int) -> int:
    return int(KINDS[spec.kind].service_cycles(spec, {name: np.array([n]) for name, n in counts.items()})[0])


def vector(lanes: int, special_lanes: int, cycles_per_special: int = 1, **more: object) -> VectorUnit:
    keys = {"lanes": lanes, "special_lanes": special_lanes, "cycles_per_special": cycles_per_special}
    return VectorUnit.model_validate({"kind": "vector_unit", "number": "float32", **keys, **more})


def attention(macs: int, exponentials: int, **more: object) -> AttentionEngine:
    keys = {"macs": macs, "exponentials": exponentials, "frames": 500, "number": "float16"}
    return AttentionEngine.model_validate({"kind": "attention_engine", **keys, **more})


def loop(*parts: tuple[int, int, int]) -> int:
    """Return the cycles of parts, one after the other: so much work, of which some is done in so many cycles."""
    cycles = 0
    for left, at_once, each in parts:
        while left > 0:
            left -= at_once
            cycles += each
    return cycles


@given(work, work, sizes, sizes, st.integers(1, 4))
def test_vector_unit(operations: int, specials: int, lanes: int, special: int, each: int) -> None:
    special = min(special, lanes)
    found = cycles_of(vector(lanes, special, each), operation=operations, special=specials)
    assert found == loop((operations, lanes, 1), (specials, special, each))


@given(work, work, sizes, sizes)
def test_attention_engine(macs: int, exponentials: int, at_once: int, units: int) -> None:
    found = cycles_of(attention(at_once, units), mac=macs, exponential=exponentials)
    assert found == loop((macs, at_once, 1), (exponentials, units, 1))


@pytest.mark.parametrize(("n", "cycles"), [(0, 0), (1, 1), (15, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_a_full_cycle_and_one_more(n: int, cycles: int) -> None:
    assert cycles_of(vector(16, 16), operation=n, special=0) == cycles
    assert cycles_of(vector(16, 16, 3), operation=0, special=n) == 3 * cycles
    assert cycles_of(attention(16, 1), mac=n, exponential=0) == cycles
    assert cycles_of(attention(1, 16), mac=0, exponential=n) == cycles
    assert cycles_of(TaskQueue(kind="task_queue", entries=4, cycles_per_dispatch=2), dispatch=n) == 2 * n


def test_sizes_by_hand() -> None:
    unit = vector(64, 8, 4, units=3, number="float16")
    assert (unit.instances(), unit.multipliers(), unit.dimensions()["number_bits"]) == (3, 0, 16)
    assert unit.dimensions()["specials_per_cycle"] == 2
    engine = attention(128, 8, units=3)
    assert (engine.instances(), engine.multipliers(), engine.dimensions()["number_bits"]) == (3, 384, 16)
    assert TaskQueue(kind="task_queue", entries=40).instances() == 40


def test_special_lanes_are_among_the_lanes() -> None:
    with pytest.raises(InputError, match=r"at most as many special_lanes as lanes \(4\), found 5"):
        parse(VectorUnit, parse_yaml("{kind: vector_unit, lanes: 4, special_lanes: 5, number: float32}"))


def test_every_cluster_has_its_bus() -> None:
    """Three buses of two lanes of 64 wires: 384 bits a cycle at the most, of which a job uses two words."""
    bus = Bus.model_validate({"kind": "bus", "width_bits": 64, "length": "1 mm", "units": 3, "lanes": 2})
    assert (bus.instances(), bus.peak_bits_per_cycle()) == (6, 384)
    assert [cycles_of(bus, transfer=n) for n in (0, 1, 2, 3)] == [0, 1, 1, 2]
