"""What a run of the kernels leaves behind: outputs for scoring, counts for time and energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.components import KINDS
from accelsim.schedule.job import Schedule, Tokens, part_of
from accelsim.workload import Batch


@dataclass(frozen=True)
class Activity:
    """Counts of what happened, per frame.

    ``counts[job, component][name]``: [frames]. ``macs[job][dense | performed | skipped]``: totals over the run;
    performed and skipped are counted apart from each other.
    ``saturations[layer]``: saturated additions, total. ``sparsity[layer]``: share of zeros in the layer's inputs.
    ``conversions[layer]``: analogue-to-digital conversions, and how many of them clipped. ``programming``: cells and
    write pulses before the first frame. ``faults[layer]``: overflows and the like of floating-point numbers, by name.
    ``tokens``: of jobs that take more or fewer than one token in a frame, as a
    layer does that looks ahead.
    """

    counts: Mapping[tuple[str, str], Mapping[str, NDArray[np.int64]]]
    macs: Mapping[str, Mapping[str, int]]
    saturations: Mapping[str, int]
    sparsity: Mapping[str, float]
    conversions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    programming: Mapping[str, int] = field(default_factory=dict)
    tokens: Tokens = field(default_factory=dict)
    faults: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """Values and activity of a whole batch.

    ``outputs``: [frames, classes] of the last layer, or None where random activity has no values.
    ``spikes[layer]``: [frames, steps, neurons]. ``starts``: [utterances + 1], where each utterance starts in the frames
    of the schedule, if those are not the frames of the batch: one stands for ``subsampling`` of them. ``exact``:
    makes the outputs of the same weights computed exactly, where the chip does not. ``output_starts``: where each
    utterance starts in the outputs, if those are not one for each frame of the schedule.
    """

    outputs: NDArray[Any] | None
    spikes: Mapping[str, NDArray[np.uint8]]
    activity: Activity
    starts: NDArray[np.int64] | None = None
    subsampling: int = 1
    exact: Callable[[], NDArray[Any]] | None = None
    output_starts: NDArray[np.int64] | None = None

    def starts_of_outputs(self, batch: Batch) -> NDArray[np.int64]:
        """Return where each utterance starts in the outputs, and how many of those there are."""
        return self.frame_starts(batch) if self.output_starts is None else self.output_starts

    def frame_starts(self, batch: Batch) -> NDArray[np.int64]:
        """Return where each utterance starts in the frames of the schedule, and how many of those there are."""
        return batch.starts if self.starts is None else self.starts

    def frames(self, batch: Batch) -> int:
        """Return how many frames the schedule repeats for."""
        return int(self.frame_starts(batch)[-1])


def service_of(
    schedule: Schedule, architecture: Architecture, activity: Activity
) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Return the busy cycles per frame of every (job, component): the component's closed form of its counts."""
    service = {}
    for job in schedule.jobs:
        for name in job.members():
            spec = architecture.components()[part_of(name)]
            service[job.name, name] = KINDS[spec.kind].service_cycles(spec, activity.counts[job.name, name])
    return service
