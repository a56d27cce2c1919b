"""The 28 nm chip as a plain loop over cycles: no closed forms, one row, one bit, one word after the other.

Every component works on a job as a small machine (a generator that yields once per busy cycle). A leader's job runs
until the slowest machine is through. Channels hold tokens: one can be seen ``latency`` cycles after it was put, and
its slot is free again when the job that took it ends. One clock; cycles are counted from 0.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Machine = Iterator[None]


@dataclass
class Chip:
    """The numbers of the chip that decide about time; the same names as in its YAML file."""

    sets: int
    pes: int
    switch_cycles: int
    accesses_per_row: dict[str, int]
    banks: dict[str, int]
    cycles_per_access: dict[str, int]
    lanes: int
    bus_words_per_row: int
    cycles_per_dispatch: int
    units: int
    cycles_per_update: int
    cycles_per_group: int
    adders: int
    selectors: int
    features_per_cycle: int
    membranes_per_cycle: int
    spikes_per_cycle: int
    skip_inputs: bool
    skip_spikes: bool
    merge: bool
    parallel: bool
    input_bits: int = 8


@dataclass
class Matrix:
    """One weight matrix: who reads it, and what drives it in every frame (features, or spikes [step][input])."""

    name: str
    memory: str
    neurons: int
    drive: list[Any]
    readout: bool = False


@dataclass
class Block:
    """What the PE sets do between two switches: per cycle and set, how many of its PEs add (0: it sits out)."""

    slots: list[list[int]]
    rows: list[int]
    inputs: int
    skips: bool


# --- walking: which row (or bit) every set works on, cycle by cycle -------------------------------------------------


def walk_rows(active: list[int], banks: int, skip: bool) -> Iterator[list[int | None]]:
    """Every set steps through its own bank to the next row it needs; None once it has reached the end."""
    per_bank = len(active) // banks + (1 if len(active) % banks else 0)
    cursor = [k * per_bank for k in range(banks)]
    end = [min((k + 1) * per_bank, len(active)) for k in range(banks)]
    while True:
        rows: list[int | None] = []
        for k in range(banks):
            while skip and cursor[k] < end[k] and not active[cursor[k]]:
                cursor[k] += 1
            rows.append(cursor[k] if cursor[k] < end[k] else None)
            cursor[k] += 1
        if all(row is None for row in rows):
            return
        yield rows


def walk_bits(value: int, sets: int, group_bits: int, skip: bool) -> Iterator[list[int | None]]:
    """Every set steps through its own bits of a feature to the next one that is set."""
    cursor = [0] * sets
    while True:
        bits: list[int | None] = []
        for g in range(sets):
            while skip and cursor[g] < group_bits and not value >> (g * group_bits + cursor[g]) & 1:
                cursor[g] += 1
            bits.append(g * group_bits + cursor[g] if cursor[g] < group_bits else None)
            cursor[g] += 1
        if all(bit is None for bit in bits):
            return
        yield bits


def blocks_of(chip: Chip, matrix: Matrix, frame: int, steps: int) -> list[Block]:
    """What the PE sets do for one matrix in one frame: a block per group of neurons (and time step, if apart)."""
    drive = matrix.drive[frame]
    blocks = []
    for first in range(0, matrix.neurons, chip.pes):
        neurons = min(chip.pes, matrix.neurons - first)
        if matrix.name.endswith(".input"):
            slots, rows = [], []
            for i, value in enumerate(drive):
                if value or not chip.skip_inputs:
                    rows.append(i)
                for bits in walk_bits(value, chip.sets, chip.input_bits // chip.sets, chip.skip_inputs):
                    slots.append([neurons if bit is not None and value >> bit & 1 else 0 for bit in bits])
            blocks.append(Block(slots, rows, len(drive), chip.skip_inputs))
        elif steps == 1 or not chip.parallel:
            # One time step after the other, all sets on each; the readout keeps its accumulators: one block in all.
            per_step = [_rows_block(chip, [step], chip.sets, chip.skip_spikes, neurons) for step in drive]
            if matrix.readout:
                slots = [slot for block in per_step for slot in block.slots]
                rows = [row for block in per_step for row in block.rows]
                blocks.append(Block(slots, rows, len(drive[0]), chip.skip_spikes))
            else:
                blocks += per_step
        elif matrix.readout and chip.merge:
            merged = [sum(step[i] for step in drive) for i in range(len(drive[0]))]
            blocks.append(_rows_block(chip, [merged], chip.sets, chip.skip_spikes, neurons))
        else:
            # Every time step has sets of its own and all see the same row at the same time.
            skip = chip.skip_spikes if matrix.readout else False
            blocks.append(_rows_block(chip, drive, chip.sets // steps, skip, neurons))
    return blocks


def _rows_block(chip: Chip, drive: list[list[int]], banks: int, skip: bool, neurons: int) -> Block:
    wanted = [sum(step[i] for step in drive) for i in range(len(drive[0]))]
    slots, read = [], []
    for rows in walk_rows(wanted, banks, skip):
        read += [row for row in rows if row is not None]
        slots.append([neurons if row is not None and step[row] else 0 for step in drive for row in rows])
    return Block(slots, read, len(wanted), skip)


# --- what every component does with the blocks of a job ---------------------------------------------------------------


def pe_sets(chip: Chip, blocks: list[Block], seen: Counter) -> Machine:
    for block in blocks:
        for slot in block.slots:
            for adding in slot:
                seen["pe", "accumulate"] += adding
                seen["pe", "idle"] += chip.pes - adding
            yield
        for _ in range(chip.switch_cycles):
            yield


def zero_skip(chip: Chip, blocks: list[Block], seen: Counter) -> Machine:
    for block in blocks:
        for _ in block.slots:
            if block.skips:
                seen["zero_skip", "select"] += chip.selectors
            yield


def memory(chip: Chip, name: str, seen: Counter, reads: list[tuple[list[int], int]]) -> Machine:
    """Every bank gives its rows one after the other; the next (rows, inputs) begins when all banks are through."""
    for rows, inputs in reads:
        per_bank = inputs // chip.banks[name] + (1 if inputs % chip.banks[name] else 0)
        queues: list[deque[int]] = [deque() for _ in range(chip.banks[name])]
        for row in rows:
            for _ in range(chip.accesses_per_row[name]):
                queues[row // per_bank].append(chip.cycles_per_access[name])
                seen[name, "read"] += 1
        while any(queues):
            for queue in queues:
                if queue:
                    queue[0] -= 1
                    if queue[0] == 0:
                        queue.popleft()
            yield


def weight_bus(chip: Chip, blocks: list[Block], seen: Counter) -> Machine:
    words = deque(row for block in blocks for row in block.rows for _ in range(chip.bus_words_per_row))
    while words:
        for _ in range(chip.lanes):
            if words:
                words.popleft()
                seen["weight_bus", "transfer"] += 1
        yield


def controller(chip: Chip, blocks: list[Block], seen: Counter) -> Machine:
    for _ in blocks:
        seen["controller", "dispatch"] += 1
        for _ in range(chip.cycles_per_dispatch):
            yield


def lif_units(chip: Chip, neurons: int, steps: int, seen: Counter) -> Machine:
    for _ in range(steps):
        left = neurons
        while left > 0:
            seen["lif", "update"] += min(left, chip.units)
            left -= chip.units
            for _ in range(chip.cycles_per_update):
                yield


def register_file(name: str, words: int, per_cycle: int, seen: Counter, reads: bool = False) -> Machine:
    while words > 0:
        written = min(words, per_cycle)
        seen[name, "write"] += written
        if reads:
            seen[name, "read"] += written
        words -= per_cycle
        yield


def readout(chip: Chip, neurons: int) -> Machine:
    """Add the sums of one group of neurons after the other: of all but the last, one addition went on beside PEs."""
    groups = []
    while neurons > 0:
        left, additions = min(neurons, chip.pes), 0
        neurons -= left
        while left > 0:
            left -= chip.adders
            additions += 1
        groups.append(additions)
    for additions in [*(n - 1 for n in groups[:-1]), groups[-1]]:
        for _ in range(additions * chip.cycles_per_group):
            yield


# --- leaders, jobs and channels ---------------------------------------------------------------------------------------


@dataclass
class Link:
    """A bounded channel: when each token under way can be seen, and how many slots are in use."""

    capacity: int
    latency: int
    seen_at: deque[int] = field(default_factory=deque)
    used: int = 0


@dataclass
class Task:
    """One job of the frame's schedule: which link it takes from, which it gives to, who works on it."""

    name: str
    takes: str | None = None
    gives: str | None = None
    neurons: int = 0
    matrix: Matrix | None = None


@dataclass
class Leader:
    """A component that runs its jobs in order, frame after frame."""

    name: str
    tasks: list[Task]
    index: int = 0
    frame: int = 0
    state: str = "wait_input"
    machines: dict[str, Machine] = field(default_factory=dict)
    working: dict[str, bool] = field(default_factory=dict)


class Loop:
    """The whole chip. ``run`` returns finishing times, totals and where every component's cycles went."""

    def __init__(
        self, chip: Chip, leaders: dict[str, list[Task]], links: dict[str, Link], frames: int, steps: int,
        features: int, frame_cycles: int,
    ) -> None:  # fmt: skip
        self.chip, self.links, self.frames, self.steps = chip, links, frames, steps
        self.features, self.frame_cycles = features, frame_cycles
        self.leaders = [Leader(name, tasks) for name, tasks in leaders.items()]
        self.now = 0
        self.cycles: Counter = Counter()
        self.seen: Counter = Counter()
        self.finished = [0] * frames
        self.started: list[int | None] = [None] * frames
        self.arrived = [0] * frames

    def run(self) -> None:
        while any(leader.state != "done" for leader in self.leaders):
            while any([self._settle(leader) for leader in self.leaders]):
                pass
            for leader in self.leaders:
                self._spend_a_cycle(leader)
            self.now += 1
            assert self.now < 1_000_000, "the plain loop does not end"
        self.total = max(max(self.finished), self.frames * self.frame_cycles)

    def _settle(self, leader: Leader) -> bool:
        """Do what takes no time: end a job, put its token, begin the next. Tell whether anything changed."""
        task = leader.tasks[leader.index] if leader.state != "done" else None
        if leader.state == "running" and not any(leader.working.values()):
            if task.takes:
                self.links[task.takes].used -= 1
            leader.state = "wait_output"
            return True
        if leader.state == "wait_output":
            link = self.links[task.gives] if task.gives else None
            if link is not None:
                if link.used == link.capacity:
                    return False
                link.used += 1
                link.seen_at.append(self.now + link.latency)
            self._next(leader, task)
            return True
        if leader.state == "wait_input":
            if task.name == "load" and self.now < leader.frame * self.frame_cycles:
                return False
            if task.takes:
                tokens = self.links[task.takes].seen_at
                if not tokens or tokens[0] > self.now:
                    return False
                tokens.popleft()
            self._begin(leader, task)
            return True
        return False

    def _begin(self, leader: Leader, task: Task) -> None:
        frame = leader.frame
        if task.name == "load":
            self.arrived[frame] = frame * self.frame_cycles if self.frame_cycles else self.now
        elif self.started[frame] is None:
            self.started[frame] = self.now
        leader.state = "running"
        leader.machines = self._machines(leader, task)
        leader.working = {name: _has_work(machine) for name, machine in leader.machines.items()}

    def _machines(self, leader: Leader, task: Task) -> dict[str, Machine]:
        chip, seen, frame = self.chip, self.seen, leader.frame
        if task.matrix is not None:
            matrix = task.matrix
            blocks = blocks_of(chip, matrix, frame, self.steps)
            reads = []
            for block in blocks:
                # A readout of time steps one after the other reads each step's rows before the next step's.
                if matrix.readout and (self.steps > 1 and not chip.parallel):
                    for step in matrix.drive[frame]:
                        reads.append(([i for i, s in enumerate(step) if s or not chip.skip_spikes], block.inputs))
                else:
                    reads.append((block.rows, block.inputs))
            machines = {
                "pe": pe_sets(chip, blocks, seen),
                "zero_skip": zero_skip(chip, blocks, seen),
                matrix.memory: memory(chip, matrix.memory, seen, reads),
                "weight_bus": weight_bus(chip, blocks, seen),
                "controller": controller(chip, blocks, seen),
            }
        elif leader.name == "input_buffer":
            machines = {"input_buffer": register_file("input_buffer", self.features, chip.features_per_cycle, seen)}
        elif leader.name == "lif":
            words = task.neurons * self.steps
            machines = {
                "lif": lif_units(chip, task.neurons, self.steps, seen),
                "membranes": register_file("membranes", words, chip.membranes_per_cycle, seen, reads=True),
                "spike_registers": register_file("spike_registers", words, chip.spikes_per_cycle, seen),
            }
        else:
            machines = {"fc_accumulator": readout(chip, task.neurons)}
        return {name: _Ahead(machine) for name, machine in machines.items()}

    def _next(self, leader: Leader, task: Task) -> None:
        if leader.name == "fc_accumulator":
            self.finished[leader.frame] = self.now
        leader.state = "wait_input"
        leader.index += 1
        if leader.index == len(leader.tasks):
            leader.index, leader.frame = 0, leader.frame + 1
            if leader.frame == self.frames:
                leader.state = "done"

    def _spend_a_cycle(self, leader: Leader) -> None:
        if leader.state == "running":
            for name, machine in leader.machines.items():
                if leader.working[name]:
                    self.cycles[name, "busy"] += 1
                    next(machine)
                    leader.working[name] = _has_work(machine)
                else:
                    self.cycles[name, "wait_input"] += 1
        elif leader.state == "wait_output":
            self.cycles[leader.name, "wait_output"] += 1
        elif leader.state == "wait_input" and self.now >= leader.frame * self.frame_cycles:
            # Before its frame has arrived there is nothing to wait for: the component is idle.
            self.cycles[leader.name, "wait_input"] += 1


class _Ahead:
    """A machine whose next cycle is known beforehand, so that the cycle in which it ends is known too."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.more = next(machine, "end") != "end"

    def __next__(self) -> None:
        self.more = next(self.machine, "end") != "end"


def _has_work(machine: _Ahead) -> bool:
    return machine.more
