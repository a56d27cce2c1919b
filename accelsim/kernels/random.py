"""Counter-based random draws: the same key gives the same numbers, whatever else was drawn before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return a Philox generator keyed by (seed, key ..): a stream of its own for every key.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *key])))


def random_bits(seed: int, matrix: int, frames: int, inputs: int, bits: int, ones: float) -> NDArray[np.uint8]:
    """Return unsigned words [frames, inputs] whose bits are independent and 1 with probability ``ones``."""
    drawn = stream(seed, matrix).random((frames, inputs, bits), np.float32) < ones
    return (drawn * (1 << np.arange(bits))).sum(axis=2).astype(np.uint8)


def random_spikes(
    seed: int, matrix: int, frames: int, steps: int, inputs: int, each: float, anywhere: float | None
) -> NDArray[np.uint8]:
    """Return spikes [frames, steps, inputs]: each one with probability ``each``.

    ``anywhere`` None: all independent. Else the two steps are correlated such that P(any step spikes) = anywhere:
    P(both) = 2 each - anywhere, P(one alone) = anywhere - each. Inputs and frames stay independent.
    """
    generator = stream(seed, matrix)
    if anywhere is None or steps == 1:
        return (generator.random((frames, steps, inputs), np.float32) < each).astype(np.uint8)
    if steps != 2:
        raise ValueError(f"correlated spikes are defined for 2 time steps, found {steps}")
    draw = generator.random((frames, inputs), np.float32)
    both, alone = 2 * each - anywhere, anywhere - each
    first = draw < both + alone
    second = (draw < both) | ((draw >= both + alone) & (draw < both + 2 * alone))
    return np.stack([first, second], axis=1).astype(np.uint8)
