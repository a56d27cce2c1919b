"""What every kind of component tells the rest of the house about itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.registry import Registry
from accelsim.schema import Effect, Model, format_si, keeps_values

Counts = Mapping[str, NDArray[np.int64]]
"""What happened in one job on one component: name of the count -> value per frame."""

Number = Literal["float32", "float16"]
"""Format of a digital unit's numbers, see `accelsim.kernels.number`."""

NUMBER_BITS = {"float32": 32, "float16": 16}


WIDEST = 1 << 20
Width = Annotated[int, Field(ge=1, le=WIDEST)]
"""Bits of a word or of a path: a million wires side by side are wider than a chip, and a word of them is still a number
that can be computed with."""


class StandbyState(NamedTuple):
    """How a part waits: a state entered after ``after_s`` without a job, left in ``wake_s`` by the next, in seconds."""

    name: str
    after_s: float
    wake_s: float


class ComponentSpec(Model):
    """What the YAML may say about a component; every kind adds its own keys.

    ``effects``: for every key that holds a number, which figures may change when it grows, and why a change may cost
    nothing (`accelsim.schema.Effect`); those of its bases hold as well. A sweep reuses the values over keys that
    declare neither values nor counts. No key is without an effect, and nothing becomes smaller for nothing:
    ``accelsim.testing.ComponentContract`` asks for the declarations, and every key of every chip is tried against them.
    """

    kind: str
    clock: str | None = None
    """Clock domain; the architecture's first clock when it is not given."""
    effects = {"clock": Effect(cycles="either", energy="either")}

    def clocked(self, frequency: float) -> Self:
        """Return the component as its clock of so many Hz makes it: with the cycles that its times take.

        A key that says how long something lasts, in s, or how often it can be done, in Hz, is a promise of a circuit,
        and a clock does not make a circuit faster: cycles = max(cycles as given, `cycles_of` the time). What a checked
        architecture has is clocked. A kind whose times are all cycles, as here, stays as it is. Raises ValueError for
        a time of too many cycles.
        """
        return self

    def instances(self) -> int:
        """Return how many copies of the priced unit the component holds (banks, PEs, neurons ..)."""
        return 1

    def flip_flops(self) -> int:
        """Return how many flip-flops one instance has, those that the clock reaches; 0 for what has none."""
        return 0

    def standby_states(self) -> tuple[StandbyState, ...]:
        """Return the states in which it waits, the one at work first; none for most kinds, which have but one.

        Each has a standby price of its own. A component with states goes through them by itself while it idles.
        """
        return ()

    def standby_names(self) -> tuple[str | None, ...]:
        """Return the names of its standby prices: of its states, or None for the only one."""
        return tuple(state.name for state in self.standby_states()) or (None,)

    def multipliers(self) -> int:
        """Return how many multiplications it can do in a pass, which takes `pass_cycles`, for peak figures."""
        return 0

    def pass_cycles(self) -> int:
        """Return the cycles of a pass, of a part that multiplies, or of what serves one; 0 where it sets no pace."""
        return 1 if self.multipliers() else 0

    def phases(self) -> int:
        """Return how many passes of the part that it drives a vector of inputs takes."""
        return 1

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return how many bits passed through it, from its counts; 0 for what moves no data."""
        return 0

    def peak_bits_per_cycle(self) -> float:
        """Return the most bits that can pass through it in a cycle; 0 for what moves no data."""
        return 0

    def device_name(self) -> str | None:
        """Return the name or path of the device of its cells, its key ``device``; None for a kind without that key.

        A kind with it may also have the key ``device_settings``: keys of the device's file that differ.
        """
        return getattr(self, "device", None)

    def changes_no_value(self) -> frozenset[str]:
        """Return the keys that change no value and no count, as the other keys of the component stand.

        A sweep over them reuses both. A kind whose effects say that a key may change values need not list it here where
        it does not.
        """
        return keeps_values(type(self))

    def dimensions(self) -> dict[str, float]:
        """Return the numbers by which a price may scale: the Spec's own numeric keys, in SI units."""
        values = self.model_dump()
        return {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


@dataclass(frozen=True)
class Kind:
    """One kind of component: its grammar, what can be counted on it, and its closed-form service time.

    ``actions`` are the events that cost energy; every one needs a price. ``counts`` are further counts, which take time
    alone; an engine may give a component no others. ``service_cycles(spec, counts)`` gives the busy cycles of a job per
    frame from what was counted, and knows neither the engine nor joules; the clock it knows through the Spec alone,
    see `ComponentSpec.clocked`.
    """

    name: str
    spec: type[ComponentSpec]
    actions: Mapping[str, str]
    service_cycles: Callable[[Any, Counts], NDArray[np.int64]]
    counts: Mapping[str, str] = field(default_factory=dict)


MOST_CYCLES = 1 << 40
_ROUNDING = 1e-9


def cycles_of(key: str, seconds: float, frequency: float) -> int:
    """Return how many cycles of a clock a time takes: ceil(t f), at least 1; t in s, f in Hz.

    A product within 1e-9 of a whole number is that number: 100 ns at 10 MHz are one cycle, whatever their floats are.
    Raises ValueError that names the key for more than 2^40 cycles (three hours at 100 MHz).
    """
    cycles = seconds * frequency
    if not cycles <= MOST_CYCLES:
        at = f"{format_si(seconds, 's')} at {format_si(frequency, 'Hz')}"
        raise ValueError(f"'{key}': {at} are {cycles:.3g} cycles, expected at most {MOST_CYCLES:.3g}")
    return max(math.ceil(cycles * (1 - _ROUNDING)), 1)


TILE_COUNTS = {
    "busiest": "how often the busiest of a job's tiles did what is counted over all of them",
    "rows": "vectors that a job goes through, one after the other",
}
"""Counts of what stands in tiles, see `of_busiest` and `rows_of`."""


def of_busiest(counts: Counts, action: str) -> NDArray[np.int64]:
    """Return how often the busiest of a job's tiles did an action: ``busiest`` where it is counted, else ``action``.

    A job on several tiles counts its actions over all of them, for the price, but takes the cycles of one: they work
    at the same time. On a single tile the two are the same, and ``busiest`` need not be given. Where a job goes through
    several vectors, one after the other, ``busiest`` is that of one of them, see `rows_of`.
    """
    return counts["busiest"] if "busiest" in counts else counts[action]


def rows_of(counts: Counts) -> NDArray[np.int64] | int:
    """Return how many vectors a job goes through, one after the other: ``rows`` where they are counted, else 1."""
    return counts.get("rows", 1)


KINDS: Registry[Kind] = Registry("accelsim.components", "kind of component", builtin="accelsim.components")


def component_kind(
    name: str,
    spec: type[ComponentSpec],
    actions: Mapping[str, str],
    service_cycles: Callable[[Any, Counts], NDArray[np.int64]],
    counts: Mapping[str, str] | None = None,
) -> Kind:
    """Register a kind of component under the name that YAML uses for it."""
    return KINDS.register(name, Kind(name, spec, dict(actions), service_cycles, dict(counts or {})))
