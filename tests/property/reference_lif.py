"""Leaky integrate-and-fire neurons with every option, one neuron at a time; delays and a leaky readout likewise.

Integers are Python's, so that nothing overflows; floats are numpy float32 scalars. Leaks round towards minus infinity.
"""

from __future__ import annotations

from itertools import pairwise
from math import floor

import numpy as np
from reference_rsnn import Word, bank_of, rows_of_spikes, shifted

F = np.float32


class Neuron:
    """Synapse, membrane and refractory time of one neuron; ``words``: bits of synapse and membrane, None in float."""

    def __init__(self, alpha, beta, threshold, subtract, refractory, words, strict=False, old=False, level=0):
        self.strict, self.old, self.level = strict, old, level
        self.alpha, self.beta, self.threshold, self.subtract = alpha, beta, threshold, subtract
        self.refractory, self.words, self.clamped = refractory, words, 0
        self.rest()

    def rest(self):
        self.synapse, self.membrane = (0, self.level) if self.words else (F(0), F(self.level))
        self.quiet_steps = 0

    def into(self, word, kept, leak, new):
        if self.words is None:
            return new if leak is None else F(F(leak * kept) + new)
        value = new if leak is None else (floor(leak * kept)) + new
        if self.words[word] is None:
            return value
        register = Word(self.words[word])
        register.put(value)
        self.clamped += register.clamped
        return register.value

    def step(self, current):
        """Return whether the neuron fires."""
        before = self.synapse
        self.synapse = self.into(0, before, self.alpha, current)
        flow = before if self.old else self.synapse
        if self.quiet_steps > 0:
            self.quiet_steps -= 1
            return False
        if self.words:
            self.membrane = self.into(1, self.membrane - self.level, self.beta, self.level + flow)
        else:
            self.membrane = F(F(F(self.beta * F(self.membrane - F(self.level))) + F(self.level)) + flow)
        if self.membrane <= self.threshold if self.strict else self.membrane < self.threshold:
            return False
        self.membrane = self.membrane - self.threshold if self.subtract else 0 * self.membrane
        self.quiet_steps = self.refractory
        return True


def layer(
    current, recurrent, bias, starts, carry, neuron, input_shift=0, recurrent_shift=0, banks=1, bits=32, later=None
):
    """Run neurons made by ``neuron(j)``; return spikes, membranes, and per frame the clamped sums and words.

    ``later``: a bias beside the recurrent sum, so not in the first frame of an utterance.
    """
    frames, steps, width = current.shape
    spikes, membranes = np.zeros(current.shape, int), np.zeros(current.shape, object)
    in_sum, in_words = [0] * frames, [0] * frames
    for first, last in pairwise(starts):
        cells = [neuron(j) for j in range(width)]
        for t in range(first, last):
            for cell in cells:
                cell.clamped = 0
                if not carry:
                    cell.rest()
            for s in range(steps):
                before = spikes[t - 1, s].tolist() if t > first else [0] * width
                fed = None
                if recurrent is not None and cells[0].words:
                    fed, clamped = rows_of_spikes([before], recurrent.tolist(), banks, bits, shared=False)
                    in_sum[t] += clamped
                for j, cell in enumerate(cells):
                    if cell.words:
                        drive = shifted(int(current[t, s, j]) + int(bias[j]), input_shift)
                        again = (fed[j] if fed else 0) + (int(later[j]) if later is not None and t > first else 0)
                        drive += shifted(again, recurrent_shift)
                    else:
                        drive = F(current[t, s, j] + bias[j])
                        for i in range(width if recurrent is not None else 0):
                            drive = F(drive + recurrent[i, j]) if before[i] else drive
                        drive = F(drive + later[j]) if later is not None and t > first else drive
                    spikes[t, s, j] = cell.step(drive)
                    membranes[t, s, j] = cell.membrane
            in_words[t] = sum(cell.clamped for cell in cells)
    return spikes, membranes, in_sum, in_words


def delayed_sum(spikes, weights, delays, starts, banks, bits):
    """P[t, s, j], every synapse looking back by itself; and the clamped additions per frame."""
    frames, steps, inputs = spikes.shape
    sums, clamped = np.zeros((frames, steps, weights.shape[1]), int), [0] * frames
    for first, last in pairwise(starts):
        line = [spikes[t, s] for t in range(first, last) for s in range(steps)]
        for n in range(len(line)):
            for j in range(weights.shape[1]):
                words = [Word(bits) for _ in range(banks)]
                for i in range(inputs):
                    past = n - int(delays[i, j])
                    if past >= 0:
                        words[bank_of(i, inputs, banks)].add(int(line[past][i]) * int(weights[i, j]))
                sums[first + n // steps, n % steps, j] = sum(word.value for word in words)
                clamped[first + n // steps] += sum(word.clamped for word in words)
    return sums, clamped


def leaky_sum(spikes, weights, starts, alpha, carry, banks, bits):
    """Return y at the last step of each frame and the clamped additions per frame.

    The first banks of y together are, after the leak, alpha times what they were, rounded down.
    """
    frames, steps, inputs = spikes.shape
    out, clamped = np.zeros((frames, weights.shape[1]), int), [0] * frames
    for first, last in pairwise(starts):
        for j in range(weights.shape[1]):
            y = [0] * banks
            for t in range(first, last):
                y = y if carry else [0] * banks
                for s in range(steps):
                    together = [floor(alpha * sum(y[: k + 1])) for k in range(banks)]
                    words = [Word(bits, b - a) for a, b in pairwise([0, *together])]
                    for i in range(inputs):
                        if spikes[t, s, i]:
                            words[bank_of(i, inputs, banks)].add(int(spikes[t, s, i]) * int(weights[i, j]))
                    y = [word.value for word in words]
                    clamped[t] += sum(word.clamped for word in words)
                out[t, j] = sum(y)
    return out, clamped
