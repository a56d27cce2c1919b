"""The bill of every chip of the library, added up once more from the rows of its YAML files.

Nothing is priced by accelsim here. The tables are read as plain YAML; each row is brought to the size, node, voltage
and temperature of the part by the arithmetic of this file; instances and derived sizes follow from the keys of the
chip's file. What happened is made up: every action its own count, every part its own times. Two bills are written out
in numbers below.
"""

from __future__ import annotations

import itertools
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import accelsim
from accelsim.architecture import load_architecture
from accelsim.components import KINDS
from accelsim.cost.models import MODELS
from accelsim.cost.pricing import price
from accelsim.engines.execute import Activity
from accelsim.schedule.job import Schedule
from accelsim.simulate import Ledger, PowerTimes

ARCH = Path(__file__).parents[2] / "arch"
CHIPS = sorted(path.stem for path in ARCH.glob("*.yaml"))

SI = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


def si(text: Any) -> float:
    """Return '10.4 pJ', '3.14 um2' or '128 MiB' (in bits) in SI units, a plain number as it is."""
    if not isinstance(text, str):
        return float(text)
    number, _, unit = text.partition(" ")
    if not unit:
        return float(number)
    if (binary := re.fullmatch("([KMG])iB", unit)) is not None:
        return float(number) * 8 * 1024 ** (1 + "KMG".index(binary[1]))
    if unit == "C":
        return float(number) + 273.15
    square = unit.endswith("m2")
    name = unit.removesuffix("2")
    prefix = "" if name in ("m", "K", "V", "J", "W", "s", "Hz", "S", "Ohm") else name[0]
    return float(number) * SI[prefix] ** (2 if square else 1)


# --- how a number moves: Sarangi & Baas' table, announced bit cells, the exponents of leakage ------------------------

NODES = [7, 10, 14, 22, 28, 32, 40, 45, 65, 90, 130]
ENERGY = [0.11, 0.15, 0.19, 0.30, 0.37, 0.44, 0.55, 0.63, 1.0, 1.51, 2.52]
AREA = [0.011, 0.03, 0.08, 0.22, 0.35, 0.49, 0.75, 1.0, 2.04, 3.94, 8.3]
CELLS = {7: 0.027, 10: 0.042, 16: 0.070, 20: 0.081, 28: 0.127, 40: 0.242, 45: 0.296, 65: 0.499, 90: 0.999, 130: 2.43,
         180: 4.65}  # fmt: skip


def between(x: float, xs: list[float], ys: list[float]) -> float:
    """Interpolate a power law between neighbours, and go on with the last one beyond the ends."""
    place = next((i for i, at in enumerate(xs[1:-1], 1) if x < at), len(xs) - 1)
    (x0, y0), (x1, y1) = (xs[place - 1], ys[place - 1]), (xs[place], ys[place])
    return y0 * (x / x0) ** (math.log(y1 / y0) / math.log(x1 / x0))


def by_node(nm: float, column: list[float], power: int) -> float:
    """Of the table, which ends at 130 nm; from there in proportion (energy) or with the square (area)."""
    return column[-1] * (nm / 130) ** power if nm > 130 else between(nm, NODES, column)


def of_node(section: str, row: dict[str, Any], here: float, there: float) -> float:
    if here == there:
        return 1.0
    if section == "area":
        if row.get("scaling") == "bit_cell":
            cells = [list(CELLS), list(CELLS.values())]
            return between(here, *cells) / between(there, *cells)
        return by_node(here, AREA, 2) / by_node(there, AREA, 2)
    if section == "leakage":
        return between(here, [7, 28, 180], [0.25, 1.0, 1.0]) / between(there, [7, 28, 180], [0.25, 1.0, 1.0])
    return by_node(here, ENERGY, 1) / by_node(there, ENERGY, 1)


# --- tables -------------------------------------------------------------------------------------------------------


@cache
def table(name: str) -> dict[str, Any]:
    data = yaml.safe_load((ARCH / "cost" / f"{name}.yaml").read_text())
    origin = {
        "nm": si(data["node"]) * 1e9, "volt": si(data["voltage"]), "kelvin": si(data["temperature"]),
        "laws": data.get("laws", {}), "own_die": False, "leak": data.get("leakage_scaling"),
    }  # fmt: skip
    found: dict[str, Any] = {"origin": origin}
    for section in ("energy", "clock", "standby", "area", "leakage"):
        found[section] = [(row, origin) for row in data.get(section) or []]
    bases = data.get("base", [])
    for base in [bases] if isinstance(bases, str) else bases:
        how = {"table": base} if isinstance(base, str) else base
        below = table(how["table"])
        origin["leak"] = origin["leak"] or below["origin"]["leak"]
        priced = {row["kind"] for row, _ in found["area"]}
        for section in ("energy", "clock", "standby", "area", "leakage"):
            has = {key(row) for row, _ in found[section]}
            for row, from_there in below[section]:
                other = dict(from_there)
                if how.get("own_die"):
                    other |= {"own_die": True, "nm": below["origin"]["nm"], "volt": below["origin"]["volt"]}
                    row = {"node": f"{from_there['nm']:g} nm", "voltage": f"{from_there['volt']:g} V", **row}
                    if row["kind"] in priced:
                        continue
                    if row["kind"] == "*":  # on a die of its own the rule for every kind is that of its kinds alone
                        others = {r["kind"] for r, _ in below["area"]} - priced
                        here = {(r["kind"], r.get("state")) for r, _ in below[section]}
                        for kind in sorted(k for k in others if (k, row["state"]) not in here):
                            found[section].append(({**row, "kind": kind}, other))
                        continue
                else:
                    other |= {"leak": data.get("leakage_scaling") or other["leak"]}
                other |= {"laws": {**other["laws"], **data.get("laws", {})}}
                if key(row) not in has:
                    found[section].append((row, other))
        origin["laws"] = {**below["origin"]["laws"], **origin["laws"]}
    return found


def key(row: dict[str, Any]) -> tuple[str, str]:
    return row["kind"], row.get("action") or row.get("state") or ""


class Chip:
    """A chip as its YAML file has it."""

    def __init__(self, name: str) -> None:
        data = yaml.safe_load((ARCH / f"{name}.yaml").read_text())
        technology = data["technology"]
        self.table = table(technology["cost"])
        self.point = {
            "nm": si(technology["node"]) * 1e9 if "node" in technology else self.table["origin"]["nm"],
            "volt": si(technology["voltage"]), "kelvin": si(technology["temperature"]),
        }  # fmt: skip
        self.parts, self.clocks = data["components"], data["clocks"]

    def period_s(self, part: str) -> float:
        clock = self.clocks[self.parts[part].get("clock", next(iter(self.clocks)))]
        return round(1e12 / si(clock["frequency"])) * 1e-12

    def price(self, section: str, part: str, what: str = "") -> float:
        """Return the price of one instance: of an action, of a state of its clock or of its standby, of its area."""
        kind = self.parts[part]["kind"]
        rows = [(row, origin) for row, origin in self.table[section] if key(row) == (kind, what)]
        if section == "clock":
            if not rows:
                rows = [(row, origin) for row, origin in self.table[section] if key(row) == ("*", what)]
            if not rows and what == "working":
                return self.price(section, part, "clocked")
            if rows[0][0].get("included_in"):
                return self.price(section, part, "gated")
        assert rows, (section, part, what)
        groups: dict[tuple[str, ...], list[Any]] = {}
        for row, origin in rows:
            groups.setdefault(tuple(sorted(row.get("at", {}))), []).append((row, origin))
        return sum(self.part_of_price(section, group, self.sizes(part)) for group in groups.values())

    def part_of_price(self, section: str, rows: list[Any], sizes: dict[str, float]) -> float:
        first, origin = rows[0]
        if first.get("included_in"):
            return 0.0
        if first.get("model"):
            return MODELS[first["model"]](sizes, (origin if origin["own_die"] else self.point)["nm"] * 1e-9)
        laws = origin["laws"].get(first["kind"], {})
        values = []
        for row, _ in rows:
            value = si(row["value"]) * self.moved(section, row, origin)
            for size, at in row.get("at", {}).items():
                if laws.get(size) == "proportional":
                    value *= sizes[size] / si(at)
            values.append(value)
        along = [size for size in first.get("at", {}) if laws.get(size) == "interpolate"]
        if not along or len(rows) == 1:
            return values[0]
        order = sorted(range(len(rows)), key=lambda i: si(rows[i][0]["at"][along[0]]))
        at = [si(rows[i][0]["at"][along[0]]) for i in order]
        return between(sizes[along[0]], at, [values[i] for i in order])

    def moved(self, section: str, row: dict[str, Any], origin: dict[str, Any]) -> float:
        """Return the factor from where a row holds to where its part is."""
        if row.get("scales") is False:
            return 1.0
        point = origin if origin["own_die"] else self.point
        nm = si(row["node"]) * 1e9 if "node" in row else origin["nm"]
        volt = si(row["voltage"]) if "voltage" in row else origin["volt"]
        factor = of_node(section, row, point["nm"], nm)
        if section == "area":
            return factor / row.get("utilization", 1.0)
        if section != "leakage":
            return factor * (point["volt"] / volt) ** 2
        law, up = origin["leak"], point["volt"] - volt
        kelvin = self.point["kelvin"] - origin["kelvin"]
        lowering = 10 ** (law["dibl"] * up / (law["swing_mv_per_decade"] / 1000))
        return factor * point["volt"] / volt * lowering * 2 ** (kelvin / law["doubling_kelvin"])

    def sizes(self, part: str) -> dict[str, float]:
        """Return the keys of a part in SI units, those that it leaves out, and what follows from them."""
        keys = self.parts[part]
        default: dict[str, Any] = {
            "banks": 1, "lanes": 1, "units": 1, "tiles": 1, "cycles_per_special": 1, "accumulator_rows": 256,
            "cell_bits": 1, "specials": 1,
        }  # fmt: skip
        spec = load_architecture_part(self, part)
        s: dict[str, Any] = {**default, **{k: v for k, v in spec.items() if v is not None}, **keys}
        numbers = {k: si(v) for k, v in s.items() if is_number(v)}
        kind = keys["kind"]
        if kind in ("sram", "l2"):
            numbers["macro_bits"] = numbers["rows"] * numbers["width_bits"]
        if kind == "crossbar":
            numbers["cells"] = numbers["rows"] * (numbers["columns"] + (s.get("sign") == "offset"))
        if kind == "dac":
            numbers["drive_bits"] = 1.0 if s["mode"] == "bit_serial" else numbers["bits"]
        if kind == "adc":
            numbers["bits"] = numbers["precision_bits"] + numbers["range_bits"]
        if kind == "edram":
            numbers["bits"] = numbers["entries"] * numbers["width_bits"]
        if kind == "dram":
            numbers["gibibytes"] = numbers["capacity"] / 8 / 1024**3
        if kind in ("vector_unit", "attention_engine"):
            numbers["number_bits"] = {"float16": 16.0, "float32": 32.0}[s["number"]]
        if kind == "vector_unit":
            numbers["specials_per_cycle"] = numbers["special_lanes"] / numbers["cycles_per_special"]
        if kind == "router":
            numbers["port_bits"] = numbers["ports"] * numbers["flit_bits"]
            numbers["share"] = 1 / numbers["shared_by"]
        if kind == "systolic_array":
            operand, total = {"int8": 8, "float16": 16}[s["number"]], {"int32": 32, "float32": 32, "float16": 16}
            bits = total[s["accumulator"]]
            numbers |= {
                "number_bits": operand, "sum_bits": bits, "mac_bits": operand + bits,
                "accumulator_bits": numbers["accumulator_rows"] * bits / numbers["rows"],
                "second_bits": operand,  # double buffered: a second weight
            }  # fmt: skip
        return numbers

    def instances(self, part: str) -> int:
        keys = {"tiles": 1, "units": 1, "banks": 1, "lanes": 1, "planes": 1, **self.parts[part]}
        kind = keys["kind"]
        arrays = 2 if keys.get("sign", "pair") == "pair" else 1
        return {
            "register_file": lambda: keys["tiles"] * keys["entries"],
            "accumulator": lambda: keys["tiles"] * keys["units"], "adc": lambda: keys["tiles"] * keys["units"],
            "dac": lambda: keys["tiles"] * keys["units"], "shift_add": lambda: keys["tiles"] * keys["units"],
            "sample_hold": lambda: keys["tiles"] * keys["units"], "bus": lambda: keys["units"] * keys["lanes"],
            "crossbar": lambda: keys["tiles"] * keys["planes"] * arrays, "sram": lambda: keys["banks"],
            "l2": lambda: keys["banks"], "pe_array": lambda: keys["sets"] * keys["pes"],
            "mac_array": lambda: keys["rows"] * keys["columns"], "mesh": lambda: keys["rows"] * keys["columns"],
            "systolic_array": lambda: keys["rows"] * keys["columns"], "dma": lambda: keys["engines"],
            "task_queue": lambda: keys["entries"], "lif": lambda: keys["units"], "zero_skip": lambda: keys["units"],
            "vector_unit": lambda: keys["units"], "attention_engine": lambda: keys["units"],
            "sigmoid": lambda: keys["units"], "max_pool": lambda: keys["units"],
        }.get(kind, lambda: 1)()  # fmt: skip


def is_number(value: Any) -> bool:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return False
    try:
        si(value)
    except (KeyError, ValueError, IndexError):
        return False
    return True


def load_architecture_part(chip: Chip, part: str) -> dict[str, Any]:
    """Return the defaults that a part's file leaves to its kind."""
    fields = KINDS[chip.parts[part]["kind"]].spec.model_fields
    return {name: field.default for name, field in fields.items() if not field.is_required()}


def made_up(chip: Any) -> Ledger:
    """Every action of every part has a count of its own, every part times of its own in ps."""
    count = itertools.count(1009, 7)
    counts = {
        name: {action: next(count) for action in KINDS[spec.kind].actions} for name, spec in chip.components().items()
    }
    times = {}
    for place, name in enumerate(chip.components(), 1):
        active, clocked, gated = 10**9 * place, 3 * 10**9 + place, 7 * 10**9 * place
        times[name] = PowerTimes(active + clocked + gated, active, clocked, gated)
    return Ledger({}, {}, counts, times)


@pytest.mark.parametrize("name", CHIPS)
def test_the_bill_of_every_chip(name: str) -> None:
    chip, plain = load_architecture(name), Chip(name)
    ledger = made_up(chip)
    bill = price(chip, Schedule(()), Activity({}, {}, {}, {}), ledger)
    assert set(plain.parts) == set(bill.energy_j) == set(bill.area_m2)
    for part, spec in chip.components().items():
        counts, times = ledger.counts[part], ledger.power[part]
        dynamic = sum(count * plain.price("energy", part, action) for action, count in counts.items())
        assert bill.energy_j[part]["dynamic"] == pytest.approx(dynamic, rel=1e-9), part
        flip_flops, period_ps = spec.flip_flops(), plain.period_s(part) * 1e12
        clock = sum(
            cycles / period_ps * flip_flops * plain.price("clock", part, state)
            for state, cycles in (("working", times.active), ("clocked", times.clocked), ("gated", times.gated))
        )
        assert bill.energy_j[part]["clock"] == pytest.approx(clock, rel=1e-9), part
        state = "active" if spec.kind == "dram" else ""
        standby = times.all * 1e-12 * plain.price("standby", part, state)
        assert bill.energy_j[part]["standby"] == pytest.approx(standby, rel=1e-9), part
        leakage = times.all * 1e-12 * plain.price("leakage", part)
        assert bill.energy_j[part]["leakage"] == pytest.approx(leakage, rel=1e-9), part
        area = plain.instances(part) * plain.price("area", part)
        assert bill.area_m2[part] == pytest.approx(area, rel=1e-9), part
    total = sum(sum(shares.values()) for shares in bill.energy_j.values())
    assert bill.total_j() == pytest.approx(total)
    assert bill.total_area_m2() == pytest.approx(sum(bill.area_m2.values()))
    assert np.isfinite(total) and total > 0


def test_rsnn28nm_in_numbers() -> None:
    """Twenty frames at 100 kHz; prices from arch/cost/cmos28.yaml and cmos28_rsnn.yaml at 0.9 V and 28 nm.

    Registers are priced for 12 bits at 0.88 V: a write is 0.0466 x (0.9 / 0.88)^2 = 0.0487423 pJ, a read 0.00814 x
    1.0459711 = 0.0085142 pJ, an addition of the accumulator 0.0198 x 1.0459711 = 0.0207102 pJ.
    """
    result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "20"})
    parts = {part.name: part for part in result.components}
    pj = {
        "input_buffer": {"write": 0.0487423 * 8 / 12, "read": 0.0085142 * 8 / 12},
        "zero_skip": {"select": 1.5 * 64 / 128},  # selectors 64 wide
        "weights_input": {"read": 10.4},
        "weights_recurrent": {"read": 11.7},
        "weights_fc": {"read": 20.0},
        "weight_bus": {"transfer": 0.08 * 512 * 0.25},  # 10.24 pJ
        "pe": {"accumulate": 0.07, "idle": 0.010},
        "lif": {"update": 0.12},
        "membranes": {"write": 0.0487423 * 16 / 12, "read": 0.0085142 * 16 / 12},
        "spike_registers": {"write": 0.0487423 / 12, "read": 0.0085142 / 12},
        "fc_accumulator": {"add": 0.0207102 * 16 / 12, "write": 0.0487423 * 16 / 12},
        "controller": {"dispatch": 0.5},
    }
    # Flip-flops; those of registers, accumulators, PEs and the controller are in their actions while they work.
    registers = {
        "input_buffer": 48 * 8, "zero_skip": 2 * 64, "weights_input": 512 + 6, "weights_recurrent": 2 * (512 + 8),
        "weights_fc": 2 * (512 + 10), "weight_bus": 0, "pe": 256 * 12, "lif": 128 * 16, "membranes": 256 * 16,
        "spike_registers": 512, "fc_accumulator": 128 * 16, "controller": 256,
    }  # fmt: skip
    in_actions = {"input_buffer", "pe", "membranes", "spike_registers", "fc_accumulator", "controller"}
    um2 = {
        "input_buffer": 48 * 24.76 * 8 / 12 / 0.75, "zero_skip": 2 * 495 * 64 / 128 / 0.75, "weights_input": 12288,
        "weights_recurrent": 2 * 25854, "weights_fc": 2 * 82575, "weight_bus": 2 * 512 * 0.25 * 3.14,
        "pe": 256 * 90.75 / 0.75, "lif": 128 * 143 / 0.75, "membranes": 256 * 24.76 * 16 / 12 / 0.75,
        "spike_registers": 512 * 24.76 / 12 / 0.75, "fc_accumulator": 128 * 52.6 * 16 / 12 / 0.75,
        "controller": 1650 / 0.75,
    }  # fmt: skip
    total = 0.0
    for name, part in parts.items():
        dynamic = sum(part.actions[action] * pj[name][action] * 1e-12 for action in part.actions if action in pj[name])
        assert part.energy_j.dynamic == pytest.approx(dynamic, rel=1e-5), name
        waits = part.wait_input_cycles + part.wait_output_cycles + part.idle_cycles
        working = 0.036e-15 if name in in_actions else 1.2e-15
        clock = registers[name] * (part.busy_cycles * working + waits * 0.036e-15)
        assert part.energy_j.clock == pytest.approx(clock, rel=1e-5), name
        assert part.area_mm2 == pytest.approx(um2[name] * 1e-6), name
        total += dynamic + clock
    # 48 + 2 x 192 + 2 x 960 rows of 64 bytes are 147 KiB, at the fitted 0.4543 uW; the rest of the chip is in that.
    leakage = 147 * 0.4543e-6 * result.performance.seconds
    assert result.energy.leakage_j == pytest.approx(leakage)
    assert result.energy.total_j == pytest.approx(total + leakage)
    assert result.power_w == pytest.approx((total + leakage) / 0.2, rel=0.02)  # twenty frames of 10 ms
    assert result.area_mm2 == pytest.approx(sum(um2.values()) * 1e-6)


def test_memristor_tile_in_numbers() -> None:
    """Frames back to back at 100 MHz; prices from arch/cost/cmos28.yaml at 0.9 V and 28 nm.

    A sample is ISAAC's 1 fJ at 32 nm: x 0.37 / 0.44 = 0.000840909 pJ. A shift and addition of 16 bits is 0.106 pJ at
    0.88 V: x 1.0459711 = 0.1108729 pJ. A converter of 8 bits at 100 MS/s, 1.333 pJ in the survey's regression, draws
    four fifths of it in a conversion and a fifth of 133.3 uW all the time. Power of the cells is counted in nanowatts,
    of which one for 10 ns is 1e-17 J.
    """
    result = accelsim.run("memristor_tile", overrides={"workload.inputs.utterances": "1"})
    parts = {part.name: part for part in result.components}
    pj = {
        "input_buffer": {"write": 0.0487423 * 8 / 12, "read": 0.0085142 * 8 / 12},
        "tile_inputs": {"write": 0.0487423 * 8 / 12, "read": 0.0085142 * 8 / 12},
        "dac": {"drive": 0.063},
        "crossbar": {"read_nanowatt": 1e-5},
        "sample_hold": {"sample": 0.000840909},
        "adc": {"convert": 0.8 * 1.3333},
        "shift_add": {"add": 0.1108729},
        "tile_outputs": {"write": 0.0487423 * 16 / 12, "read": 0.0085142 * 16 / 12},
        "tile_bus": {"transfer": 0.08 * 256},
        "accumulator": {"add": 0.0207102 * 24 / 12, "write": 0.0487423 * 24 / 12},
    }
    for name, part in parts.items():
        dynamic = sum(part.actions[action] * pj[name][action] * 1e-12 for action in part.actions if action in pj[name])
        assert dynamic > 0
        assert part.energy_j.dynamic == pytest.approx(dynamic, rel=1e-3 if name == "adc" else 1e-5), name
    seconds = result.performance.seconds
    assert parts["adc"].energy_j.standby == pytest.approx(144 * 0.2 * 133.33e-6 * seconds, rel=1e-3)  # 3 x 48
    assert parts["sample_hold"].energy_j.standby == pytest.approx(3 * 384 * 0.00195e-6 * 0.37 / 0.44 * seconds)
    # Three tiles, three planes, two signs: 18 arrays of 16,384 cells; 2,304 drivers and 1,152 sample-and-holds.
    assert parts["crossbar"].area_mm2 == pytest.approx(18 * 16384 * 0.038e-6)
    assert parts["dac"].area_mm2 == pytest.approx(2304 * 3.14e-6)
    assert parts["sample_hold"].area_mm2 == pytest.approx(1152 * 0.039e-6 * 0.35 / 0.49)
    assert parts["shift_add"].area_mm2 == pytest.approx(144 * 68e-6 / 0.75)
    assert parts["dac"].energy_j.leakage == pytest.approx(2304 * 0.000207e-6 * seconds)
    voltage = 0.9 / 0.88 * 10 ** (LSTP["dibl"] * 0.02 / (LSTP["swing_mv_per_decade"] / 1000))
    assert parts["shift_add"].energy_j.leakage == pytest.approx(144 * 0.0065e-6 * voltage * seconds)
    assert result.energy.total_j == pytest.approx(
        sum(sum(part.energy_j.model_dump().values()) for part in result.components)
    )


LSTP = table("cmos28")["origin"]["leak"]
