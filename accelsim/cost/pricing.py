"""From a ledger to a bill: joules per component and layer, square millimetres, and how sure they are."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.components import KINDS
from accelsim.cost.lookup import OperatingPoint, PriceList, Range
from accelsim.engines.execute import Activity
from accelsim.errors import InputError, Problem
from accelsim.schedule.job import Schedule, part_of
from accelsim.simulate.ledger import Ledger, PowerTimes

DYNAMIC, CLOCK, STANDBY, LEAKAGE, WAKE = "dynamic", "clock", "standby", "leakage", "wake"
SHARES = (DYNAMIC, CLOCK, STANDBY, LEAKAGE, WAKE)
PROGRAMMING = "programming"
WRITE_PULSE = "write_pulse"
"""Of a crossbar, before the first frame: no component of a run has counted it."""

SAMPLES = 4096
_PERCENTILES = (5, 95)
_SECOND_PS = 10**12


@dataclass(frozen=True)
class Term:
    """One line of the bill: how much of something, at which price."""

    component: str
    share: str
    amount: float
    price: Range

    def joules(self) -> float:
        return self.amount * self.price.value


@dataclass(frozen=True)
class Bill:
    """What a run costs.

    ``energy_j[component][dynamic | clock | standby | leakage | wake]``; ``layer_energy_j[layer]``: dynamic energy of
    its jobs; ``area_m2[component]``. ``terms`` and ``areas`` keep every line, for spreads and for other prices.
    ``programming``: the pulses that wrote the cells of a crossbar before the first frame, no part of any other figure.
    ``idle_w``: what the chip draws while nothing works, once every part that goes to rest is as far there as it goes;
    ``full_w``: what it draws beside its actions while all parts are at work without a pause.
    ``ends``: the bills of the same run where an assumed size is at the low and at the high end of its range, by key.
    """

    energy_j: Mapping[str, Mapping[str, float]]
    layer_energy_j: Mapping[str, float]
    area_m2: Mapping[str, float]
    terms: tuple[Term, ...] = field(repr=False)
    areas: tuple[Term, ...] = field(repr=False)
    programming: tuple[Term, ...] = ()
    idle_w: float = 0.0
    full_w: float = 0.0
    ends: Mapping[str, tuple[Bill, Bill]] = field(default_factory=dict, repr=False)

    def total_j(self, share: str | None = None) -> float:
        """Return the energy in joule, of all shares or of one of them."""
        return sum(term.joules() for term in self.terms if share in (None, term.share))

    def total_area_m2(self) -> float:
        return sum(self.area_m2.values())

    def calibrated_j(self) -> float:
        """Return the part of the energy that rests on fitted prices, in joule."""
        return sum(term.joules() for term in self.terms if term.price.calibrated)

    def draws(self) -> Draws:
        """Return what the run may have cost, over the ranges of prices and of assumed sizes.

        Monte Carlo with 4,096 draws: a price lies as often below its value as above, the less often the further away in
        the logarithm (two triangles that meet at the value), and never past its low and high ends. All prices of one
        source move together, different ones apart, and a source moves alike in every run. So do sizes: what a line
        costs at the ends of a size's range are the ends of a factor on it, which lies between them as a price does; to
        a line that costs nothing comes what it costs at the high end, in the share of a price whose value is zero.
        """
        lines = {"energy": self.terms, "area": self.areas, "programming": self.programming}
        found = {name: [_drawn(t.price, t.price.moves_with()) * t.amount for t in lines[name]] for name in lines}
        for key, (low, high) in self.ends.items():
            for name, at_low, at_high in (("energy", low.terms, high.terms), ("area", low.areas, high.areas)):
                for i, line in enumerate(lines[name]):
                    ends = at_low[i].joules(), at_high[i].joules()
                    if ends == (line.joules(), line.joules()):
                        continue
                    if line.joules() == 0:  # no factor leads away from nothing
                        top = at_high[i]
                        _, above = _sides(key)
                        found[name][i] = found[name][i] + _drawn(top.price, top.price.moves_with()) * top.amount * above
                    else:
                        factor = Range(1.0, ends[0] / line.joules(), ends[1] / line.joules(), key)
                        found[name][i] = found[name][i] * _drawn(factor, key)
        energy: dict[str, dict[str, NDArray[np.float64]]] = {}
        for term, joules in zip(self.terms, found["energy"], strict=True):
            shares = energy.setdefault(term.component, {})
            shares[term.share] = shares.get(term.share, 0.0) + joules
        area: dict[str, NDArray[np.float64]] = {}
        for term, square_metres in zip(self.areas, found["area"], strict=True):
            area[term.component] = area.get(term.component, 0.0) + square_metres
        return Draws(energy, area, sum(found["programming"], np.zeros(SAMPLES)))

    def spread(self, seconds: float) -> dict[str, tuple[float, float]]:
        """Return the 5 % and 95 % points of power (W), area (m2) and power density (W/m2), see `draws`."""
        drawn = self.draws()
        power, area = drawn.total_j() / seconds, drawn.total_area_m2()
        return {
            "power_w": interval(power),
            "area_m2": interval(area),
            "power_density_w_per_m2": interval(power / area),
        }


@dataclass(frozen=True)
class Draws:
    """What a run may have cost: ``energy_j[component][share]``, ``area_m2[component]``, ``programming_j``, [draws]."""

    energy_j: Mapping[str, Mapping[str, NDArray[np.float64]]]
    area_m2: Mapping[str, NDArray[np.float64]]
    programming_j: NDArray[np.float64]

    def total_j(self, *shares: str) -> NDArray[np.float64]:
        """Return the energy in joule, of all shares or of those given."""
        parts = [
            joules for by in self.energy_j.values() for share, joules in by.items() if not shares or share in shares
        ]
        return sum(parts, np.zeros(SAMPLES))

    def total_area_m2(self) -> NDArray[np.float64]:
        return sum(self.area_m2.values(), np.zeros(SAMPLES))


def price_list(architecture: Architecture) -> PriceList:
    """Return the architecture's cost table at its operating point."""
    technology, table = architecture.spec.technology, architecture.cost
    point = OperatingPoint(technology.voltage, technology.temperature, technology.node or table.node)
    return PriceList(table, point, {spec.kind for spec in architecture.components().values()})


def check_prices(architecture: Architecture) -> None:
    """Look every price of an architecture up before it runs; raises InputError with all that are not to be had."""
    problems: dict[str, Problem] = {}
    for (name, _), lookup in _lookups(architecture, lambda name, action: True):
        try:
            with architecture.at(("components", name)):
                lookup()
        except InputError as error:
            for problem in error.problems:
                problems.setdefault(problem.message, problem)  # said of the first of a kind alone
    if problems:
        raise InputError(list(problems.values()))


def prices_of(architecture: Architecture, did: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Range]:
    """Return every price that the bill of a run rests on, by component and what it is of.

    ``did``: the actions that each component did; the pulses that program cells are among them wherever there are cells
    whose device does not state its own. Raises InputError when a price is missing.
    """
    devices = architecture.devices

    def paid(name: str, action: str) -> bool:
        if action == WRITE_PULSE and name in devices:
            return devices[name].pulse() is None
        return action in did.get(name, ())

    return {what: lookup() for what, lookup in _lookups(architecture, paid)}


def _lookups(
    architecture: Architecture, wanted: Callable[[str, str], bool]
) -> Iterator[tuple[tuple[str, str], Callable[[], Range]]]:
    """Yield (component, what) of every price of a chip and how it is looked up, of actions those that are wanted."""
    prices = price_list(architecture)
    for name, spec in architecture.components().items():
        dimensions = spec.dimensions()
        for action in KINDS[spec.kind].actions:
            if wanted(name, action):
                yield (name, action), partial(prices.energy, spec.kind, action, dimensions)
        yield (name, "area"), partial(prices.area, spec.kind, dimensions)
        yield (name, "leakage"), partial(prices.leakage, spec.kind, dimensions)
        for state in ("working", "clocked", "gated"):
            yield (name, f"clock, {state}"), partial(prices.clock, spec.kind, state)
        for standby in spec.standby_names():
            yield (name, f"standby, {standby}"), partial(prices.standby, spec.kind, dimensions, standby)


def price(architecture: Architecture, schedule: Schedule, activity: Activity, ledger: Ledger) -> Bill:
    """Price a run: E = sum_a N_a E_a(V) + sum_s FF cycles_s E_s(V) + P_standby(V) t + P_leak(V, T) t + wakes E_wake.

    Dynamic energy from the ledger's counts; that of the clock, of standby and of leakage from its times, see
    `accelsim.simulate.PowerTimes`. How the parts wait is the architecture's ``power``. The area beside it. The energy
    of programming stands apart. The same is done at both ends of the range of every assumed size. Raises InputError
    when a price is missing.
    """
    prices = price_list(architecture)
    terms: list[Term] = []
    areas: list[Term] = []
    idle = full = 0.0
    each_action: dict[tuple[str, str], Range] = {}
    for name, spec in architecture.components().items():
        dimensions, instances = spec.dimensions(), spec.instances()
        for action, count in ledger.counts.get(name, {}).items():
            if action in KINDS[spec.kind].actions:
                each_action[name, action] = prices.energy(spec.kind, action, dimensions)
                terms.append(Term(name, DYNAMIC, count, each_action[name, action]))
        waiting, idle_w = _waiting(architecture, prices, name, ledger.power[name])
        terms += waiting
        idle += idle_w
        second = PowerTimes(all=instances * _SECOND_PS, active=instances * _SECOND_PS, clocked=0, gated=0)
        full += sum(term.joules() for term in _waiting(architecture, prices, name, second)[0])
        areas.append(Term(name, "area", instances, prices.area(spec.kind, dimensions)))

    terms += _wakes(architecture, ledger)
    energy = {name: dict.fromkeys(SHARES, 0.0) for name in architecture.components()}
    for term in terms:
        energy[term.component][term.share] += term.joules()
    layers: dict[str, float] = {}
    for job in schedule.jobs:
        for member in job.members():
            for action, per_frame in activity.counts[job.name, member].items():
                if (part_of(member), action) in each_action:
                    joules = int(per_frame.sum()) * each_action[part_of(member), action].value
                    layers[job.layer] = layers.get(job.layer, 0.0) + joules
    programming = tuple(
        Term(name, PROGRAMMING, pulses, _write_price(architecture, prices, name))
        for name, pulses in activity.written.items()
    )
    areas_m2 = {t.component: t.joules() for t in areas}
    ends = {
        key: (price(low, schedule, activity, ledger), price(high, schedule, activity, ledger))
        for key, low, high in architecture.at_ends()
    }
    return Bill(energy, layers, areas_m2, tuple(terms), tuple(areas), programming, idle, full, ends)


def _write_price(architecture: Architecture, prices: PriceList, name: str) -> Range:
    """Return what a write pulse of a crossbar's cells costs, in J: V I t where the device's file states them."""
    if (pulse := architecture.devices[name].pulse()) is None:
        spec = architecture.components()[name]
        return prices.energy(spec.kind, WRITE_PULSE, spec.dimensions())
    joules = pulse.volts * pulse.current * pulse.time
    return Range(joules, joules, joules, f"device {architecture.devices[name].name}")


def _waiting(architecture: Architecture, prices: PriceList, name: str, times: PowerTimes) -> tuple[list[Term], float]:
    """Return what a component draws beside its actions, and its power in W while the whole chip is at rest.

    Clock: flip-flops x cycles, at the prices of cycles at work, clocked and gated; none while it is off. Standby and
    leakage: while it is supplied, and the retained share of them while its domain is off; standby of a component with
    states at the price of the state.
    """
    spec, period_ps = architecture.components()[name], architecture.period_ps(name)
    dimensions, instances, registers = spec.dimensions(), spec.instances(), spec.flip_flops()
    gate = architecture.power_gate(name)
    awake, *asleep = spec.standby_names()
    off_ps = 0 if asleep else sum(times.off.values())
    retained = gate.retention if gate is not None else 0.0
    supplied_s = (times.all - off_ps + retained * off_ps) * 1e-12
    cycles = {"working": times.active, "clocked": times.clocked, "gated": times.gated + times.waking}
    clock = {state: prices.clock(spec.kind, state) for state in cycles}
    terms = [Term(name, CLOCK, registers * ps / period_ps, clock[state]) for state, ps in cycles.items()]
    standby = {state: prices.standby(spec.kind, dimensions, state) for state in (awake, *asleep)}
    asleep_s = {state: times.off.get(state or "", 0) * 1e-12 for state in asleep}
    terms.append(Term(name, STANDBY, supplied_s - sum(asleep_s.values()), standby[awake]))
    terms += [Term(name, STANDBY, seconds, standby[state]) for state, seconds in asleep_s.items()]
    leakage = prices.leakage(spec.kind, dimensions)
    terms.append(Term(name, LEAKAGE, supplied_s, leakage))

    still_w = instances * (standby[asleep[-1] if asleep else awake].value + leakage.value)
    if gate is not None:
        return terms, retained * still_w
    ticking = clock["gated" if architecture.clock_gated(name) else "clocked"].value
    return terms, still_w + instances * registers * ticking / (period_ps * 1e-12)


def _wakes(architecture: Architecture, ledger: Ledger) -> list[Term]:
    """Return the energy of switching power domains on again, in equal parts for each of their components."""
    terms = []
    for domain, power in architecture.spec.power.items():
        if power.power_gate is not None and (wakes := ledger.wakes.get(domain, 0)):
            joules, parts = power.power_gate.wake_energy, architecture.parts_of(domain)
            each = Range(joules, joules, joules, f"wake-up of {domain}")
            terms += [Term(part, WAKE, wakes / len(parts), each) for part in parts]
    return terms


def job_energy_j(
    architecture: Architecture, schedule: Schedule, activity: Activity, frames: int
) -> dict[str, NDArray[np.float64]]:
    """Return the dynamic energy of every job in every frame, [frames] in joule.

    E_job = sum over its components c and their actions a of N_c,a E_c,a(V), at the prices of `price`.
    """
    prices, components = price_list(architecture), architecture.components()
    energy = {job.name: np.zeros(frames) for job in schedule.jobs}
    for job in schedule.jobs:
        for member in job.members():
            spec = components[part_of(member)]
            for action, per_frame in activity.counts[job.name, member].items():
                if action in KINDS[spec.kind].actions:
                    energy[job.name] += per_frame * prices.energy(spec.kind, action, spec.dimensions()).value
    return energy


@functools.lru_cache(maxsize=256)
def _sides(source: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far towards its low and its high end a source lies in each draw, 0 .. 1: the same in every run.

    b = 1 - sqrt(2 q) and a = 1 - sqrt(2 - 2 q), neither below 0, with q drawn evenly from 0 .. 1.
    """
    key = int.from_bytes(hashlib.sha256(source.encode()).digest()[:16], "little")
    quantile = np.random.Generator(np.random.Philox(key=key)).random(SAMPLES)
    return 1 - np.sqrt(np.minimum(2 * quantile, 1)), 1 - np.sqrt(np.minimum(2 - 2 * quantile, 1))


def _drawn(price: Range, source: str) -> NDArray[np.float64]:
    """Return v (low / v)^b (high / v)^a, v the value, with b and a of `_sides`.

    A low end of zero has no logarithm: there the lower half is v (1 - b), and of a value of zero the upper one high a.
    """
    if price.low == price.value == price.high:
        return np.full(SAMPLES, price.value)
    below, above = _sides(source)
    if price.value == 0:
        return price.high * above
    up = math.log(price.high / price.value)
    if price.low == 0:
        return price.value * (1 - below) * np.exp(up * above)
    return price.value * np.exp(math.log(price.low / price.value) * below + up * above)


def interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 5 % and 95 % points of draws."""
    low, high = np.percentile(samples, _PERCENTILES)
    return float(low), float(high)
