"""A recurrent spiking network in plain Python: integers, lists and loops, one addition after the other.

Nothing is borrowed from accelsim. Every partial sum stands in an accumulator of its own and is clamped after each
addition, in the order in which the chip adds: inputs ascending, and within a feature its bits ascending.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Word:
    """A signed register of so many bits that clamps, and remembers how often it did."""

    bits: int
    value: int = 0
    clamped: int = 0

    def put(self, value: int) -> None:
        largest = 2 ** (self.bits - 1) - 1
        smallest = -(2 ** (self.bits - 1))
        self.value = value
        if value > largest:
            self.value = largest
        if value < smallest:
            self.value = smallest
        if self.value != value:
            self.clamped += 1

    def add(self, value: int) -> None:
        self.put(self.value + value)


def shifted(value: int, places: int) -> int:
    """Shift left, or right towards minus infinity when places is negative."""
    if places >= 0:
        return value * 2**places
    return value // 2**-places


def bank_of(row: int, rows: int, banks: int) -> int:
    """Rows fill the banks in order; all banks but the last ones are full."""
    per_bank = rows // banks
    if rows % banks:
        per_bank += 1
    return row // per_bank


def bit_serial(
    x: list[int], weights: list[list[int]], input_bits: int, sets: int, accumulator_bits: int
) -> tuple[list[int], int]:
    """One frame of features times weights: every PE set shift-adds its own group of bits."""
    group_bits = input_bits // sets
    sums, clamped = [], 0
    for j in range(len(weights[0])):
        total = 0
        for g in range(sets):
            accumulator = Word(accumulator_bits)
            for i in range(len(x)):
                for b in range(group_bits):
                    bit = (x[i] // 2 ** (g * group_bits + b)) % 2
                    if bit == 1:
                        accumulator.add(weights[i][j] * 2**b)
            total += accumulator.value * 2 ** (g * group_bits)
            clamped += accumulator.clamped
        sums.append(total)
    return sums, clamped


def rows_of_spikes(
    spikes: list[list[int]], weights: list[list[int]], banks: int, accumulator_bits: int, shared: bool
) -> tuple[list[int], int]:
    """One frame of spikes [step][input] times weights, an accumulator per bank.

    ``shared``: the accumulators live on from one time step to the next; else every step begins at zero.
    A merged spike counts 2 and its weight is shifted by one.
    """
    sums, clamped = [], 0
    for j in range(len(weights[0])):
        total = 0
        accumulators = [Word(accumulator_bits) for _ in range(banks)]
        for step in spikes:
            if not shared:
                accumulators = [Word(accumulator_bits) for _ in range(banks)]
            for i in range(len(step)):
                if step[i] != 0:
                    accumulators[bank_of(i, len(step), banks)].add(step[i] * weights[i][j])
            if not shared:
                total += sum(a.value for a in accumulators)
                clamped += sum(a.clamped for a in accumulators)
        if shared:
            total = sum(a.value for a in accumulators)
            clamped += sum(a.clamped for a in accumulators)
        sums.append(total)
    return sums, clamped


@dataclass
class Neurons:
    """A layer's constants and what it is doing now."""

    recurrent: list[list[int]]
    recurrent_shift: int
    beta_numerator: int
    beta_bits: int
    threshold: int
    reset: str
    carry: bool
    membrane_bits: int
    accumulator_bits: int
    banks: int
    potentials: list[int] = field(default_factory=list)
    before: list[list[int]] = field(default_factory=list)
    accumulators_clamped: int = 0
    membranes_clamped: int = 0

    def begin_utterance(self, steps: int) -> None:
        self.potentials = [0] * len(self.recurrent)
        self.before = [[0] * len(self.recurrent) for _ in range(steps)]

    def frame(self, current: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
        """Take one frame's currents [step][neuron]; return spikes and membranes after reset, both like it."""
        if not self.carry:
            self.potentials = [0] * len(self.recurrent)
        spikes, membranes = [], []
        for s in range(len(current)):
            sums, clamped = rows_of_spikes(
                [self.before[s]], self.recurrent, self.banks, self.accumulator_bits, shared=False
            )
            self.accumulators_clamped += clamped
            fired = []
            for j in range(len(sums)):
                leaked = self.beta_numerator * self.potentials[j] // 2**self.beta_bits
                membrane = Word(self.membrane_bits)
                membrane.put(leaked + current[s][j] + shifted(sums[j], self.recurrent_shift))
                self.membranes_clamped += membrane.clamped
                fires = membrane.value >= self.threshold
                fired.append(1 if fires else 0)
                if fires and self.reset == "subtract":
                    membrane.value -= self.threshold
                if fires and self.reset == "zero":
                    membrane.value = 0
                self.potentials[j] = membrane.value
            spikes.append(fired)
            membranes.append(list(self.potentials))
        self.before = spikes
        return spikes, membranes


@dataclass
class Layer:
    """A spiking layer: its input matrix and its neurons; ``of_features``: it reads features, not spikes."""

    name: str
    weights: list[list[int]]
    input_shift: int
    of_features: bool
    neurons: Neurons


@dataclass
class Network:
    """Layers in a row and a readout, on a chip with ``sets`` PE sets."""

    steps: int
    input_bits: int
    sets: int
    accumulator_bits: int
    output_bits: int
    parallel: bool
    merge: bool
    layers: list[Layer]
    readout: list[list[int]]

    def banks_of_a_layer(self) -> int:
        """PE sets that share the rows of one time step of a recurrent layer."""
        if self.steps > 1 and self.parallel:
            return self.sets // self.steps
        return self.sets

    def run(self, features: list[list[int]], starts: list[int]) -> dict:
        """Return spikes[layer][frame][step][neuron], membranes (same), outputs[frame][class], saturations[layer]."""
        spikes: dict[str, list] = {layer.name: [] for layer in self.layers}
        membranes: dict[str, list] = {layer.name: [] for layer in self.layers}
        saturations = {layer.name: 0 for layer in self.layers} | {"out": 0}
        outputs = []
        for u in range(len(starts) - 1):
            for layer in self.layers:
                layer.neurons.begin_utterance(self.steps)
            for t in range(starts[u], starts[u + 1]):
                made: list = features[t]
                for layer in self.layers:
                    current = self._current(layer, made, saturations)
                    made, after_reset = layer.neurons.frame(current)
                    spikes[layer.name].append(made)
                    membranes[layer.name].append(after_reset)
                outputs.append(self._read_out(made, saturations))
        for layer in self.layers:
            saturations[layer.name] += layer.neurons.accumulators_clamped + layer.neurons.membranes_clamped
        return {"spikes": spikes, "membranes": membranes, "outputs": outputs, "saturations": saturations}

    def _current(self, layer: Layer, source: list, saturations: dict[str, int]) -> list[list[int]]:
        if layer.of_features:
            sums, clamped = bit_serial(source, layer.weights, self.input_bits, self.sets, self.accumulator_bits)
            saturations[layer.name] += clamped
            return [[shifted(value, layer.input_shift) for value in sums] for _ in range(self.steps)]
        current = []
        for s in range(self.steps):
            banks = self.banks_of_a_layer()
            sums, clamped = rows_of_spikes([source[s]], layer.weights, banks, self.accumulator_bits, shared=False)
            saturations[layer.name] += clamped
            current.append([shifted(value, layer.input_shift) for value in sums])
        return current

    def _read_out(self, spikes: list[list[int]], saturations: dict[str, int]) -> list[int]:
        if self.steps == 1 or not self.parallel:
            # One time step after the other on all sets; the accumulators are not cleared between them.
            sums, clamped = rows_of_spikes(spikes, self.readout, self.sets, self.accumulator_bits, shared=True)
        elif self.merge:
            merged = [sum(step[i] for step in spikes) for i in range(len(spikes[0]))]
            sums, clamped = rows_of_spikes([merged], self.readout, self.sets, self.accumulator_bits, shared=False)
        else:
            banks = self.sets // self.steps
            sums, clamped = rows_of_spikes(spikes, self.readout, banks, self.accumulator_bits, shared=False)
        saturations["out"] += clamped
        output = []
        for value in sums:
            register = Word(self.output_bits)
            register.put(value)
            saturations["out"] += register.clamped
            output.append(register.value)
        return output
