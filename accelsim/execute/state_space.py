"""Values and counts of state-space networks, on crossbars or on a digital array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.devices import WHOLE_NUMBERS
from accelsim.errors import InputError
from accelsim.execute.activity import Activity, Execution
from accelsim.kernels.conv import matrix_product
from accelsim.kernels.converters import Dac
from accelsim.kernels.fixed_point import requantise
from accelsim.kernels.ssm import Recurrence, program_kernels, recurrence
from accelsim.schedule.job import Job, Schedule
from accelsim.schema.ssm import PARTS, S4dOp
from accelsim.schema.workload import FEATURES, LinearOp
from accelsim.workload import Batch, Workload

Counts = dict[tuple[str, str], dict[str, NDArray[np.int64]]]

MACS_PER_STATE = 8  # of a complex state: 4 for A, 2 for B, 2 for the real part of C x


def execute_state_space(
    schedule: Schedule,
    workload: Workload,
    architecture: Architecture,
    batch: Batch,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Execution:
    """Run a network of state-space and dense layers over all steps of all utterances.

    ``seed`` draws the cells. On a chip without a crossbar the kernels are whole numbers.
    """
    return _Run(schedule, workload, architecture, batch, seed, progress or (lambda _: None)).execution()


class _Run:
    def __init__(
        self,
        schedule: Schedule,
        workload: Workload,
        architecture: Architecture,
        batch: Batch,
        seed: int,
        progress: Callable[[str], None],
    ) -> None:
        self.jobs = schedule.jobs
        self.workload = workload
        self.spec = workload.spec
        self.batch = batch
        self.seed = seed
        self.progress = progress
        self.frames = len(batch.features)
        kinds = architecture.of_kind
        self.crossbar = next(iter(kinds("crossbar").values()), None)
        self.array = next(iter(kinds("mac_array").values()), None)
        self.device = next((architecture.devices[name] for name in kinds("crossbar")), WHOLE_NUMBERS)
        self.layers = {layer.name: layer for layer in self.spec.layers}
        self.ran: dict[str, Recurrence] = {}
        self.saturations: dict[str, int] = {}
        self.cells = self.write_pulses = 0

    def execution(self) -> Execution:
        """Return the outputs of the last layer and the counts of every job."""
        made: dict[str, NDArray[Any]] = {FEATURES: self.batch.features}
        first_array = 0
        for layer in self.layers.values():
            self.progress(layer.name)
            if isinstance(layer, S4dOp):
                made[layer.name] = self._kernels(layer, made[layer.input], first_array)
                first_array += self.ran[layer.name].watts.shape[1]
            else:
                assert isinstance(layer, LinearOp)
                made[layer.name] = self._dense(layer, made)
        return Execution(made[self.spec.layers[-1].name], {}, self._activity())

    def _kernels(self, layer: S4dOp, source: NDArray[Any], first_array: int) -> NDArray[np.int16]:
        """Return the codes of one layer's outputs, [steps, kernels]."""
        a, b, c = (self.workload.tensors[f"{layer.weights}.{part}"] for part in PARTS)
        cell_bits = max(layer.weight_bits - 1, 1)
        voltage = 1.0 if self.crossbar is None else self.crossbar.read_voltage
        device = self.device
        shape = {} if self.crossbar is None else {"rows": self.crossbar.rows, "columns": self.crossbar.columns}

        def program(wanted: NDArray[np.uint8], arrays: NDArray[np.int64]) -> NDArray[np.float32]:
            written = device.program(wanted, arrays, seed=self.seed, read_voltage=voltage, cell_bits=cell_bits)
            if self.crossbar is not None:
                self.write_pulses += int(written.pulses.sum())
                self.cells += wanted.size
            return written.states

        dac = Dac(layer.code_bits, voltage)
        top = dac.largest_code
        inputs, self.saturations[layer.name] = requantise(source, layer.input_scale, layer.input_offset, -top, top)
        inputs = np.ascontiguousarray(np.broadcast_to(inputs, (self.frames, layer.kernels)))
        try:
            kernels = program_kernels(
                a,
                b,
                c,
                program,
                device.curves(voltage, cell_bits),
                weight_bits=layer.weight_bits,
                first_array=first_array,
                **shape,
            )
            ran = recurrence(
                kernels,
                inputs,
                self.batch.starts,
                dac=dac,
                state_gain=layer.state_gain(),
                output_gain=layer.output_gain,
            )
        except ValueError as error:
            raise InputError.of(f"layer '{layer.name}': {error}") from None
        self.ran[layer.name] = ran
        return ran.outputs

    def _dense(self, layer: LinearOp, made: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
        """Return whole numbers [steps, outputs]: the products, or the residual and the scaled products on top."""
        source = made[layer.input]
        if layer.input_activation == "relu":
            source = np.maximum(source, 0)
        full_scale = 1 << (layer.input_bits - 1)
        inputs, clamped = requantise(source, layer.input_scale, layer.input_offset, -full_scale, full_scale - 1)
        self.saturations[layer.name] = clamped
        products = matrix_product(inputs.astype(np.int8), self.workload.tensor(layer.weights)).astype(np.int64)
        if layer.residual is None:
            return products
        return made[layer.residual] + np.rint(layer.output_scale * products).astype(np.int64)

    def _activity(self) -> Activity:
        counts: Counts = {}
        macs = {}
        for job in self.jobs:
            if job.layer == FEATURES:
                self._count(counts, job, job.component, write=self.spec.inputs.width())
            elif job.work["stage"] == "readout":
                width = self.layers[job.layer].width()
                self._count(counts, job, job.component, add=width, write=width, groups=1)
            elif job.work["stage"] == "multiply":
                macs[job.name] = self._macs(self._count_digital(counts, job))
            else:
                self._count_crossbar(counts, job)
                if job.work["stage"] == "read":
                    macs[job.name] = self._macs(MACS_PER_STATE * int(job.work["kernels"]) * self._states(job))
        clamped = {name: int(ran.saturated.sum()) for name, ran in self.ran.items()}
        if self.crossbar is None:
            for name, count in clamped.items():
                self.saturations[name] += count
            return Activity(counts, macs, self.saturations, {})
        conversions = {name: self.frames * (2 * op.states + 1) * op.kernels for name, op in self._s4d_layers().items()}
        converted = {name: (made, clamped[name]) for name, made in conversions.items()}
        programmed = {"cells": self.cells, "write_pulses": self.write_pulses}
        return Activity(counts, macs, self.saturations, {}, converted, programmed)

    def _s4d_layers(self) -> dict[str, S4dOp]:
        return {name: layer for name, layer in self.layers.items() if isinstance(layer, S4dOp)}

    def _states(self, job: Job) -> int:
        return self._s4d_layers()[job.layer].states

    def _count_crossbar(self, counts: Counts, job: Job) -> None:
        """Count one job of one crossbar of a layer."""
        kernels = int(job.work["kernels"])
        states = 2 * self._states(job) * kernels
        pairs = states + kernels
        stage, members = job.work["stage"], job.members()
        if stage == "drive":
            self._count(counts, job, members[0], read=states, write=kernels)
        elif stage == "read":
            power = np.rint(self.ran[job.layer].watts[:, int(job.work["place"])] * 1e9).astype(np.int64)
            counts[job.name, members[0]] = {"phases": np.ones(self.frames, np.int64), "nanowatt_read": power}
            self._count(counts, job, members[1], phases=1, drive=2 * pairs)
            self._count(counts, job, members[2], phases=1, sample=pairs)
        elif stage == "convert":
            self._count(counts, job, members[0], convert=pairs)
        else:
            self._count(counts, job, members[0], write=states if stage == "latch" else kernels)

    def _count_digital(self, counts: Counts, job: Job) -> int:
        """Count a layer on the digital array; returns its multiplications per step."""
        layer = self.layers[job.layer]
        assert self.array is not None
        if isinstance(layer, S4dOp):
            macs = MACS_PER_STATE * layer.states * layer.kernels
            values = {"mac": macs, "add": 0, "blocks": -(-macs // self.array.multipliers())}
            words, states = 6 * layer.states * layer.kernels, 2 * layer.states * layer.kernels
            self._count(counts, job, job.lockstep[1], read=states, write=states)
        else:
            inputs, outputs = self.spec.inputs_of(layer), layer.width()
            assert isinstance(layer, LinearOp)
            macs = words = inputs * outputs
            added = 0 if layer.residual is None else outputs
            values = {"mac": macs, "add": added, "blocks": self.array.blocks(inputs, outputs)}
        self._count(counts, job, job.component, **values)
        self._count(counts, job, job.lockstep[0], read=words, write=0)
        return macs

    def _count(self, counts: Counts, job: Job, component: str, **values: int) -> None:
        """Note counts that are the same in every step."""
        counts[job.name, component] = {name: np.full(self.frames, value, np.int64) for name, value in values.items()}

    def _macs(self, per_step: int) -> dict[str, int]:
        """Nothing is skipped: every weight is multiplied in every step."""
        dense = self.frames * per_step
        return {"dense": dense, "performed": dense, "skipped": 0}
