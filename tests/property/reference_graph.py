"""What a graph's jobs do, in plain loops: over frames, rows, tiles, cells' rows, columns, and words in banks.

``PlainCounts.seen[job, component][action][frame]`` are the counts, ``busy[job, component][frame]`` the cycles, written
from the equations of the ops and the docstrings of the components alone; components are named without their number.
A frame is a row of the outputs; a layer that makes several rows for one of the outputs makes them all in its frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from accelsim.architecture import Architecture
from accelsim.schema.placement import PlacementSpec
from accelsim.workload import Workload

WEIGHTED = ("linear", "conv", "depthwise")
PIECE = 8
"""Bits of a code."""


def placed(chip: Architecture, op: Any) -> tuple[str | None, Any]:
    """Return the engine that a layer is said to run on, and its settings, from the entries of the chip's placement.

    An entry is the layer's own, a pattern's, the last before the others, or its kind's, in this order of importance.
    """
    said = chip.spec.placement
    fitting = [key for key in said if key != op.name and any(c in key for c in "*?[") and fnmatchcase(op.name, key)]
    entries = [said[key] for key in (op.name, *fitting[::-1], "op:" + op.op) if key in said]
    engine = None
    for entry in entries:
        engine = engine or entry.engine
    return engine, entries[0] if entries else PlacementSpec()


class PlainCounts:
    def __init__(
        self, workload: Workload, chip: Architecture, lengths: list[int], watts: dict[str, list[float]]
    ) -> None:
        """``lengths``: frames of the utterances; ``watts``: of the cells of a layer, per frame, or per distance."""
        self.workload, self.chip, self.lengths, self.watts = workload, chip, lengths, watts
        self.ops = {op.name: op for op in workload.graph.ops}
        self.rows = workload.graph.edges
        self.last = list(self.ops)[-1]
        self.seen: dict[Any, Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
        self.busy: dict[Any, Any] = defaultdict(lambda: defaultdict(int))
        self.macs: dict[str, int] = defaultdict(int)
        self.part = chip.components()
        self.distances: set[str] = set()
        for op in self.ops.values():
            if op.op == "positions" or all(read in self.distances for read in op.reads()):
                self.distances.add(op.name)
        t = 0
        for length in lengths:
            for place in range(length):
                self.frame(t, place, length)
                t += 1
        self.frames = t

    def frame(self, t: int, place: int, length: int) -> None:
        per_output = self.rows[self.last].stride
        words = sum(1 for _ in range(per_output) for _ in range(self.workload.spec.inputs.width()))
        self.note("load", "features", t, words_of_registers(words, self.part["features"]), write=words)
        for op in self.ops.values():
            if op.op == "positions":
                continue
            if op.op == "attention":
                self.attention(op, t, length)
            elif op.op not in WEIGHTED:
                self.vector(op, t, self.rows_made(op, t, place, length))
            elif self.digital(op):
                self.array(op, t, self.rows_made(op, t, place, length))
            else:
                self.tiles(op, t, self.rows_made(op, t, place, length))

    def rows_made(self, op: Any, t: int, place: int, length: int) -> int:
        """Of distances all are made in the first frame, those of the longest utterance; of a batch in its first."""
        if op.name in self.distances:
            return len(range(-(max(self.lengths) - 1), max(self.lengths))) if t == 0 else 0
        batch = placed(self.chip, op)[1].batch if op.op in WEIGHTED and self.digital(op) else 1
        frames = [place + i for i in range(batch) if place % batch == 0 and place + i < length]
        return len(frames) * (self.rows[self.last].stride // self.rows[op.name].stride)

    def digital(self, op: Any) -> bool:
        return placed(self.chip, op)[0] == "digital" or "crossbar" not in self.part

    def note(self, job: str, component: str, t: int, cycles: int, **counts: int) -> None:
        for name, count in counts.items():
            self.seen[job, component][name][t] += count
        self.busy[job, component][t] += cycles

    # What a vector unit does

    def on_vector(self, job: str, t: int, operations: int, specials: int) -> None:
        unit = self.part["vector"]
        cycles = len(range(0, operations, unit.lanes))
        cycles += len(range(0, specials, unit.special_lanes)) * unit.cycles_per_special
        self.note(job, "vector", t, cycles, operation=operations, special=specials)

    def vector(self, op: Any, t: int, rows: int) -> None:
        operations = specials = 0
        for _ in range(rows):
            for what in arithmetic(op, self.rows[op.name].width):
                operations += what == "operation"
                specials += what == "special"
        self.dispatch(op.name, t, rows > 0)
        self.on_vector(op.name, t, operations, specials)
        self.memory(op.name, t, self.words_read(op, rows), rows * self.words(op.name))

    def dispatch(self, job: str, t: int, started: bool) -> None:
        self.note(job, "queue", t, started * self.part["queue"].cycles_per_dispatch, dispatch=int(started))

    # Activation memory

    def words(self, name: str, share: int = 1) -> int:
        """Words of a row, or of a third of it: of codes where it was rounded to some, else of the unit's numbers."""
        width = self.rows[name].width // share
        op = self.ops[name]
        codes = op.op == "positions" or f"{name}.output_scale" in self.workload.tensors
        bits = PIECE if codes else {"float16": 16, "float32": 32}[self.part["vector"].number]
        return len(range(0, width * bits, self.part["activations"].width_bits))

    def words_read(self, op: Any, rows: int) -> int:
        """A row reads as many of what is before it as there are for one of its own; features are in registers."""
        words = 0
        for name in op.reads():
            if name == "features":
                continue
            each = 1 if name in self.distances else self.rows[op.name].stride // self.rows[name].stride
            words += sum(self.words(name) for _ in range(rows) for _ in range(each))
        return words

    def memory(self, job: str, t: int, read: int, written: int) -> None:
        """Words are dealt out to the banks of the cluster, one after the other."""
        spec = self.part["activations"]
        banks = [0] * (spec.banks // self.part["vector"].units)
        for word in range(read + written):
            banks[word % len(banks)] += 1
        self.note(job, "activations", t, max(banks) * spec.cycles_per_access, read=read, write=written,
                  bank_accesses=max(banks))  # fmt: skip

    # Layers outside tiles

    def attention(self, op: Any, t: int, length: int) -> None:
        """One query: q k for every key and head, with positions (q + v) p too, a softmax, and the sum of values."""
        size, macs, exponentials = self.rows[op.name].width // op.heads, 0, 0
        read = self.words(op.input, 3)
        for _ in range(length):
            read += 2 * self.words(op.input, 3)  # a key and a value
            if op.positions is not None:
                read += self.words(op.positions)
            for _ in range(op.heads):
                exponentials += 1
                for _ in range(size):
                    macs += 2 if op.positions is None else 3
        engine = self.part["attention"]
        cycles = len(range(0, macs, engine.macs)) + len(range(0, exponentials, engine.exponentials))
        self.dispatch(op.name, t, True)
        self.note(op.name, "attention", t, cycles, mac=macs, exponential=exponentials)
        self.memory(op.name, t, read, self.words(op.name))
        self.macs[op.name] += macs

    def array(self, op: Any, t: int, rows: int) -> None:
        array, weight = self.part["array"], self.workload.tensors[f"{op.name}.weight"]
        macs = blocks = 0
        for _ in range(rows):
            if op.op == "depthwise":
                for _ in range(weight.shape[1]):  # one column at a time: no two have an input in common
                    macs += len(weight)
                    blocks += len(range(0, len(weight), array.rows))
                continue
            *inputs, outputs = weight.shape
            used = 1
            for n in inputs:
                used *= n
            for _ in range(self.rows[op.name].bands if op.op == "conv" else 1):
                for first in range(0, used, array.rows):
                    for column in range(0, outputs, array.columns):
                        macs += min(array.rows, used - first) * min(array.columns, outputs - column)
                        blocks += 1
        self.dispatch(op.name, t, rows > 0)
        self.note(op.name, "array", t, blocks, mac=macs, add=0, blocks=blocks)
        self.macs[op.name] += macs
        held = self.part["weights"]
        words = len(range(0, weight.size * op.weight_bits, held.width_bits)) if rows else 0
        banks = [0] * held.banks
        for word in range(words):
            banks[word % len(banks)] += 1
        cycles = max(banks) * held.cycles_per_access
        self.note(op.name, "weights", t, cycles, read=words, write=0, bank_accesses=max(banks))
        operations = self.rows_read(op, rows) * self.rows[op.input].width * len(QUANTISED) + rows * self.rounding(op)
        self.on_vector(op.name, t, operations, 0)
        self.memory(op.name, t, self.words_read(op, rows), rows * self.words(op.name))

    def rows_read(self, op: Any, rows: int) -> int:
        each = 1 if op.input in self.distances else self.rows[op.name].stride // self.rows[op.input].stride
        return rows * each

    def rounding(self, op: Any) -> int:
        """A sum becomes a value, and where it is rounded to a code that code a value again."""
        steps = ["times s_in s_w", "plus bias"]
        if f"{op.name}.output_scale" in self.workload.tensors:
            steps += [*QUANTISED, "times s_out"]
        return len(steps) * self.rows[op.name].width

    # Layers on tiles

    def tiles(self, op: Any, t: int, rows: int) -> None:
        crossbar, dac, adc, adders = (self.part[name] for name in ("crossbar", "dac", "adc", "accumulator"))
        hold, shift_add, registers, bus = (self.part[n] for n in ("sample_hold", "shift_add", "tile_inputs", "bus"))
        assert hold.kind == "sample_hold"
        *window, outputs = self.workload.tensors[f"{op.name}.weight"].shape
        inputs = 1  # of the unrolled matrix: a convolution has one vector for every place of its window
        for n in window:
            inputs *= n
        vectors = rows * (self.rows[op.name].bands if op.op == "conv" else 1)
        alone = op.op == "depthwise"  # a column for every channel, which has inputs of its own
        bits = op.weight_bits - 1 if crossbar.sign == "pair" else op.weight_bits
        planes = len(range(0, bits, crossbar.cell_bits))
        arrays = planes * (2 if crossbar.sign == "pair" else 1)
        tiles = [
            (min(crossbar.rows, inputs - i) if not alone else inputs, min(crossbar.columns, outputs - j))
            for i in (range(0, inputs, crossbar.rows) if not alone else [0])
            for j in range(0, outputs, crossbar.columns)
        ]  # rows and columns in use
        across = len(range(0, outputs, crossbar.columns))

        written, busiest, cycles, transfers, width = 0, 0, 0, 0, outputs if alone else inputs
        for _ in range(vectors):
            per_tile = [columns if alone else used for used, columns in tiles]  # the new row's codes
            written, busiest = written + sum(per_tile), max(per_tile)
            cycles += words_of_registers(busiest, registers)
            transfers += len(range(0, width * PIECE, bus.width_bits))
        job = f"{op.name}.deliver"
        self.note(job, "tile_inputs", t, cycles, write=written, busiest=busiest, rows=vectors)
        self.note(job, "bus", t, len(range(0, transfers, bus.lanes)), transfer=transfers)
        self.on_vector(job, t, self.rows_read(op, rows) * self.rows[op.input].width * len(QUANTISED), 0)
        self.memory(job, t, self.words_read(op, rows), 0)

        copies, phases = placed(self.chip, op)[1].copies, dac.bits if dac.mode == "bit_serial" else 1
        for copy in range(copies):
            at = op.name if copies == 1 else f"{op.name}/{copy}"
            mine = vectors if t % copies == copy else 0
            nanowatts = 0
            if mine:
                watts = self.watts[op.name]
                nanowatts = sum(round(w * 1e9) for w in watts) if op.name in self.distances else round(watts[t] * 1e9)
            for phase in range(phases):
                driven = samples = conversions = adc_cycles = add_cycles = most = 0
                for _ in range(mine):
                    loads, additions = [], []
                    for used, columns in tiles:
                        driven += used * arrays * (columns if alone else 1)
                        samples += columns * planes
                        conversions += columns * planes
                        loads.append(min(columns * planes, adc.shared_by))  # of the converter that has the most
                        shared = shift_add.units * shift_add.adds_per_cycle
                        additions.append(len(range(0, columns * planes, shared)))
                        most = max(most, columns * planes)
                    adc_cycles += max(loads) * adc.cycles_per_conversion
                    add_cycles += max(additions)
                job = f"{at}.read.{phase}"
                self.note(job, "crossbar", t, mine * crossbar.cycles_per_read, phases=mine, read_nanowatt=nanowatts)
                self.note(job, "dac", t, mine * dac.cycles_per_drive, phases=mine, drive=driven)
                self.note(job, "sample_hold", t, mine, phases=mine, sample=samples)
                job = f"{at}.convert.{phase}"
                self.note(job, "adc", t, adc_cycles, convert=conversions, rows=mine, busiest=most)
                self.note(job, "shift_add", t, add_cycles, add=conversions, rows=mine, busiest=most)

        added = groups = transfers = 0
        for _ in range(vectors):
            below = (len(tiles) // across - 1) * outputs
            added += below
            shared = [0] * (adders.units * across)  # all adders of the tiles beside each other
            for place in range(max(below, outputs)):
                shared[place % len(shared)] += 1
            groups += max(shared)
            transfers += len(range(0, outputs * adders.width_bits, bus.width_bits))
        job = f"{op.name}.collect"
        cycles = groups * adders.cycles_per_group
        self.note(job, "accumulator", t, cycles, add=added, write=vectors * outputs, groups=groups)
        self.note(job, "bus", t, len(range(0, transfers, bus.lanes)), transfer=transfers)
        self.on_vector(job, t, rows * self.rounding(op), 0)
        self.memory(job, t, 0, rows * self.words(op.name))
        self.macs[job] += vectors * inputs * outputs


QUANTISED = ("times 1 / scale", "rounded and clamped")


def arithmetic(op: Any, width: int) -> Iterator[str]:
    """Yield what is done for one row: of its equation, each addition, product, comparison; exponential, quotient, root.

    Products with a constant of the network's shape, such as 1 / width of a mean, are of a row and not counted.
    """
    if op.op == "layer_norm":
        for _ in range(width):
            yield "operation"  # sum of x
        for _ in range(width):
            yield from ("operation", "operation", "operation")  # x - mean, its square, sum of those
        yield from ("special", "special")  # s = root of the variance, 1 / s
        for _ in range(width):
            yield from ("operation", "operation", "operation")  # times 1 / s, times gain, plus bias
    for _ in range(width):
        if op.op in ("silu", "glu"):
            yield from ("special", "operation", "special")  # e^-x, 1 + it, quotient
        elif op.op == "relu":
            yield "operation"  # the larger of x and 0
        elif op.op == "add":
            yield from ("operation", "operation")  # factor x, sum
        elif op.op == "max_pool":
            yield from ["operation"] * (op.size[0] * op.size[1] - 1)  # the larger of two


def words_of_registers(words: int, registers: Any) -> int:
    """Return the cycles that it takes to write words into a register file."""
    return len(range(0, words, registers.writes_per_cycle))
