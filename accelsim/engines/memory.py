"""How much memory a run takes, estimated from shapes before it begins: values, cells, counts and the timeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim import limits
from accelsim.engines.deploy import Deployment
from accelsim.errors import InputError
from accelsim.inputs import Batch
from accelsim.ops.op import FEATURES, Edge
from accelsim.schema.workload import RandomInputs

# Bytes, measured. Machine code with the libraries that it needs; it takes half as much where it is read from the disk.
# A component in a job and frame: its counts, its cycles and its ticks; a job in a frame: its durations and tokens, as
# Python's numbers; a frame: when it came and went. Of what an op reads and gives half is there twice while it works.
_CODE = 80_000_000
_COPIES = 0.5
_SERVED, _OF_JOB, _OF_FRAME = 32, 40, 200


@dataclass(frozen=True)
class Memory:
    """What a run takes in bytes: ``held`` before it begins, ``fixed`` for its code and its cells, and ``per_frame``.

    ``frames``: how many frames of the input there are.
    """

    held: int
    fixed: int
    per_frame: float
    frames: int

    def added(self) -> int:
        """Return what the run takes on top of what the process holds already."""
        return self.fixed + round(self.per_frame * self.frames)

    def total(self) -> int:
        """Return what the process holds at its peak."""
        return self.held + self.added()

    def text(self) -> str:
        """Return it in words: ``about 0.8 GB``."""
        return f"about {limits.rounded(self.total())}"

    def frames_within(self, most: int) -> int:
        """Return how many frames there may be for so many bytes, 0 where there is no room for one."""
        return max(int((most - self.held - self.fixed) / self.per_frame), 0)


def memory_of(deployment: Deployment, frames: int) -> Memory:
    """Return what a run of a deployment over so many frames of the input takes."""
    jobs = deployment.schedule.jobs
    cycles = sum(len(job.members()) for job in jobs) * _SERVED + len(jobs) * _OF_JOB + _OF_FRAME
    cells = max((engine.cell_bytes() for engine in deployment.engines.values()), default=0)
    return Memory(limits.held_memory(), _CODE + cells, _of_values(deployment) + cycles / deployment.frame, frames)


def check_memory(deployment: Deployment, batch: Batch) -> Memory:
    """Return what a run over a batch takes; raises InputError where that is more than `Limits.memory_bytes`."""
    memory, most = memory_of(deployment, len(batch.features)), limits.current().memory_bytes()
    if most is None or memory.total() <= most:
        return memory
    network, chip = deployment.network.spec.name, deployment.chip.spec.name
    run = f"a run of '{network}' on '{chip}' over {memory.frames:,} frames"
    message = f"{run} needs {memory.text()}, more than {limits.memory_words(most)}"
    hints = []
    if frames := memory.frames_within(most):
        what, number = "frames", frames
        if not isinstance(deployment.network.spec.inputs, RandomInputs):
            what, number = "utterances", int(np.searchsorted(batch.starts, frames, "right")) - 1
        if number:
            hints.append(f"take fewer: --set workload.inputs.{what}={number}")
    hints.append(f"or allow it: --memory {limits.rounded(1.05 * memory.total()).replace(' ', '')}")
    raise InputError.of(message, hint=", ".join(hints).removeprefix("or "))


def _of_values(deployment: Deployment) -> float:
    """Return the bytes of all values that live at a time, of a frame of the input, where they are most.

    While an op works there are copies of part of what it reads and gives. Random activity is drawn as bits.
    """
    graph, placement = deployment.network.graph, deployment.placement
    if isinstance(deployment.network.spec.inputs, RandomInputs):
        return sum(edge.width / edge.stride for edge in graph.edges.values())
    sizes = {name: _bytes_of(edge) / edge.stride for name, edge in graph.edges.items()}
    live, most = {FEATURES: sizes[FEATURES]}, 0.0
    for op in graph.ops:
        live[op.name] = sizes[op.name]
        copies = _COPIES * sum(sizes[name] for name in (*op.reads(), op.name))
        engine = deployment.engines[placement.engine_of[op.name]]
        most = max(most, sum(live.values()) + copies + engine.scratch_bytes(op))
        for name in op.reads():
            if graph.last_reader[name] == op.name:
                live.pop(name, None)
    return most


def _bytes_of(edge: Edge) -> float:
    """Return the bytes of a row of an edge: float32, or the smallest integers that hold its codes."""
    if edge.kind == "spikes":
        return edge.width * edge.steps
    return edge.width * (4 if edge.kind == "real" else 1 if edge.bits <= 8 else 2 if edge.bits <= 16 else 8)
