"""Values and counts of a recurrent spiking network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.execute.activity import Activity, Execution
from accelsim.kernels.accumulate import bit_serial, spike_rows
from accelsim.kernels.fixed_point import shift_array, signed_range
from accelsim.kernels.lif import lif
from accelsim.kernels.random import random_bits, random_spikes
from accelsim.kernels.zero_skip import bank_steps, bit_steps, merge
from accelsim.schedule.job import Job, Schedule
from accelsim.schema.workload import FEATURES, LifOp, RandomInputs, SpikeSumOp
from accelsim.workload import Batch, Workload

# The readout's wide sums are made for so many frames at a time and kept in the width of the output register.
_FRAMES_PER_READOUT = 8192

Drives = dict[str, NDArray[np.uint8]]
"""What drives each matrix: features [frames, inputs] or spikes [frames, steps, inputs], by job name."""


def execute_spiking(
    schedule: Schedule,
    workload: Workload,
    architecture: Architecture,
    batch: Batch,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Execution:
    """Run a spiking network over all frames of all utterances at once.

    Random inputs have no values: their bits and spikes are drawn, and only the counts follow.
    """
    run = _Run(schedule, workload, architecture, batch, progress or (lambda _: None))
    if isinstance(workload.spec.inputs, RandomInputs):
        return Execution(None, {}, run.count(run.draw(workload.spec.inputs, seed)))
    drives, outputs, spikes = run.values()
    return Execution(outputs, spikes, run.count(drives))


class _Run:
    def __init__(
        self,
        schedule: Schedule,
        workload: Workload,
        architecture: Architecture,
        batch: Batch,
        progress: Callable[[str], None],
    ) -> None:
        self.jobs = {job.name: job for job in schedule.jobs}
        self.workload = workload
        self.spec = workload.spec
        self.architecture = architecture
        self.batch = batch
        self.progress = progress
        self.frames = len(batch.features)
        self.pe = next(iter(architecture.of_kind("pe_array").values()))
        self.lif = next(iter(architecture.of_kind("lif").values()))
        self.readout = next(iter(architecture.of_kind("accumulator").values()))
        self.layers = {layer.name: layer for layer in self.spec.layers if isinstance(layer, LifOp | SpikeSumOp)}
        self.saturations = dict.fromkeys(self.layers, 0)

    def values(self) -> tuple[Drives, NDArray[np.integer], dict[str, NDArray[np.uint8]]]:
        """Return what drives each matrix, the outputs of the last layer, and the spikes of every other one."""
        drives: Drives = {}
        made: dict[str, NDArray[Any]] = {FEATURES: self.batch.features}
        for layer in self.layers.values():
            self.progress(layer.name)
            source = made[layer.input]
            if isinstance(layer, SpikeSumOp):
                drives[f"{layer.name}.sum"] = source
                made[layer.name] = self._sum(layer, source)
                continue
            current, name = self._current(layer, source)
            drives[name] = source
            spikes = self._neurons(layer, current)
            drives[f"{layer.name}.recurrent"] = self._one_frame_later(spikes)
            made[layer.name] = spikes
        outputs = made.pop(self.spec.layers[-1].name)
        made.pop(FEATURES)
        return drives, outputs, made

    def draw(self, inputs: RandomInputs, seed: int) -> Drives:
        """Return random drives at the given densities, each matrix with a stream of its own."""
        steps = self.spec.time_steps
        drives: Drives = {}
        for index, job in enumerate(job for job in self.jobs.values() if "walk" in job.work):
            width = self._layer_inputs(job)
            if job.work["walk"] == "bits":
                bits = self.spec.input_bits
                drives[job.name] = random_bits(seed, index, self.frames, width, bits, inputs.input_ones)
            else:
                readout = inputs.readout if job.work["matrix"] == "sum" else None
                each = inputs.spikes if steps > 1 or readout is None else readout
                drives[job.name] = random_spikes(seed, index, self.frames, steps, width, each, readout)
        return drives

    def count(self, drives: Drives) -> Activity:
        """Return the counts of every job on every component that it occupies."""
        counts: dict[tuple[str, str], dict[str, NDArray[np.int64]]] = {}
        macs: dict[str, dict[str, int]] = {}
        zeros: dict[str, tuple[int, int]] = {}
        for job in self.jobs.values():
            if "walk" in job.work:
                self._count_matrix(job, drives[job.name], counts, macs, zeros)
            else:
                self._count_other(job, counts)
        sparsity = {layer: zero / total for layer, (zero, total) in zeros.items()}
        return Activity(counts, macs, dict(self.saturations), sparsity)

    def _current(self, layer: LifOp, source: NDArray[np.uint8]) -> tuple[NDArray[np.int32], str]:
        """Return the feed-forward current of every time step [frames, steps, neurons], and its job's name."""
        weights, steps = self.workload.tensor(layer.weights), self.spec.time_steps
        if layer.input == FEATURES:
            sums, clamped = bit_serial(source, weights, self.spec.input_bits, self.pe.sets, self.pe.accumulator_bits)
            shape = (self.frames, steps, layer.neurons)
            current = np.broadcast_to(shift_array(sums, layer.input_shift)[:, None], shape)
            name = f"{layer.name}.input"
        else:
            name = f"{layer.name}.feedforward"
            flat = source.reshape(self.frames * steps, 1, source.shape[2])
            banks = int(self.jobs[name].work["banks"])
            sums, clamped = spike_rows(flat, weights, banks, self.pe.accumulator_bits, shared=False)
            current = shift_array(sums, layer.input_shift).reshape(self.frames, steps, layer.neurons)
        self.saturations[layer.name] += int(clamped.sum())
        return current, name

    def _neurons(self, layer: LifOp, current: NDArray[np.int32]) -> NDArray[np.uint8]:
        spikes, _, in_sum, in_membrane = lif(
            current,
            self.workload.tensor(layer.recurrent_weights),
            self.batch.starts,
            recurrent_shift=layer.recurrent_shift,
            beta_numerator=layer.beta_numerator(),
            beta_bits=layer.beta_bits,
            threshold=layer.threshold,
            reset_subtract=layer.reset == "subtract",
            membrane_carry=self.spec.membrane_carry,
            membrane_bits=self.lif.membrane_bits,
            accumulator_bits=self.pe.accumulator_bits,
            banks=int(self.jobs[f"{layer.name}.recurrent"].work["banks"]),
        )
        self.saturations[layer.name] += int(in_sum.sum() + in_membrane.sum())
        return spikes

    def _sum(self, layer: SpikeSumOp, spikes: NDArray[np.uint8]) -> NDArray[np.integer]:
        job = self.jobs[f"{layer.name}.sum"]
        weights, bits = self.workload.tensor(layer.weights), self.readout.width_bits
        low, high = signed_range(bits)
        out = np.empty((self.frames, layer.neurons), np.int16 if bits <= 16 else np.int32)
        merged = job.work["walk"] == "merged"
        for start in range(0, self.frames, _FRAMES_PER_READOUT):
            part = spikes[start : start + _FRAMES_PER_READOUT]
            sums, clamped = spike_rows(
                merge(part)[:, None] if merged else part,
                weights,
                int(job.work["banks"]),
                self.pe.accumulator_bits,
                shared=job.work["walk"] == "each",
            )
            kept = np.clip(sums, low, high)
            self.saturations[layer.name] += int(clamped.sum()) + int(np.count_nonzero(kept != sums))
            out[start : start + len(part)] = kept
        return out

    def _one_frame_later(self, spikes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the spikes of the frame before; none at the start of an utterance."""
        before = np.zeros_like(spikes)
        before[1:] = spikes[:-1]
        before[self.batch.starts[:-1]] = 0
        return before

    def _layer_inputs(self, job: Job) -> int:
        layer = self.layers[job.layer]
        return layer.neurons if job.work["matrix"] == "recurrent" else self.spec.inputs_of(layer)

    def _count_matrix(
        self,
        job: Job,
        drive: NDArray[np.uint8],
        counts: dict[tuple[str, str], dict[str, NDArray[np.int64]]],
        macs: dict[str, dict[str, int]],
        zeros: dict[str, tuple[int, int]],
    ) -> None:
        """Count one matrix: steps of the datapath, rows read, weights added and slots left idle, per frame."""
        layer = self.layers[job.layer]
        walk, skip = job.work["walk"], bool(job.work["skip"])
        groups, banks = int(job.work["groups"]), int(job.work["banks"])
        selector, memory_name, bus, controller = job.lockstep
        memory = self.architecture.of_kind("sram")[memory_name]
        passes = 1
        if walk == "bits":
            bits = self.spec.input_bits
            steps, rows, ones = bit_steps(drive, banks, bits // banks, skip)
            busiest = rows if memory.banks == 1 else bank_steps(drive, memory.banks, skip)[0]
            dense, saved = drive.size * bits, 0
            zero = dense - int(ones.sum())
        else:
            dense = drive.size
            ones = drive.sum(axis=(1, 2), dtype=np.int64)
            zero, saved = int(np.count_nonzero(drive == 0)), 0
            if walk == "each":
                per_step = [drive[:, s] for s in range(drive.shape[1])]
                passes = len(per_step) if isinstance(layer, LifOp) else 1
            else:
                per_step = [merge(drive)]
            walked = [bank_steps(active, banks, skip) for active in per_step]
            steps, rows = (np.sum([w[i] for w in walked], axis=0) for i in (0, 1))
            busiest = np.sum([bank_steps(active, memory.banks, skip)[0] for active in per_step], axis=0)
            if walk == "merged":
                several = np.maximum(per_step[0].astype(np.int64) - 1, 0).sum(axis=1)
                ones, saved = ones - several, int(several.sum())
        steps, rows, busiest = steps * groups, rows * groups, busiest * groups
        added = ones * layer.neurons
        macs[job.name] = {
            "dense": dense * layer.neurons,
            "performed": int(added.sum()),
            "skipped": (zero + saved) * layer.neurons,
        }
        before = zeros.get(layer.name, (0, 0))
        zeros[layer.name] = (before[0] + zero, before[1] + dense)

        accesses = int(job.work["accesses_per_row"])
        blocks = np.full(self.frames, groups * passes, np.int64)
        selectors = self.architecture.components()[selector].instances()
        counts[job.name, job.component] = {
            "steps": steps,
            "blocks": blocks,
            "accumulate": added,
            "idle": steps * self.pe.sets * self.pe.pes - added,
        }
        counts[job.name, selector] = {"steps": steps, "select": steps * selectors if skip else steps * 0}
        counts[job.name, memory_name] = {"read": rows * accesses, "bank_accesses": busiest * accesses}
        counts[job.name, bus] = {"transfer": rows * accesses}
        counts[job.name, controller] = {"dispatch": blocks}

    def _count_other(self, job: Job, counts: dict[tuple[str, str], dict[str, NDArray[np.int64]]]) -> None:
        """Count the jobs beside the matrices: loading a frame, updating neurons, giving the result out."""

        def every_frame(value: int) -> NDArray[np.int64]:
            return np.full(self.frames, value, np.int64)

        if job.layer == FEATURES:
            counts[job.name, job.component] = {"write": every_frame(self.spec.inputs.width())}
            return
        layer = self.layers[job.layer]
        if isinstance(layer, SpikeSumOp):
            partial_sums = self.pe.sets
            counts[job.name, job.component] = {
                "groups": every_frame(1),
                "add": every_frame(layer.neurons * (partial_sums - 1)),
                "write": every_frame(layer.neurons),
            }
            return
        updates = every_frame(layer.neurons * self.spec.time_steps)
        counts[job.name, job.component] = {
            "update": updates,
            "neurons": every_frame(layer.neurons),
            "time_steps": every_frame(self.spec.time_steps),
        }
        membranes, spikes = job.lockstep
        counts[job.name, membranes] = {"read": updates, "write": updates}
        counts[job.name, spikes] = {"write": updates}
