"""Values and counts of graphs on an NPU: float16 or 8-bit codes, chunk by chunk.

Values are computed over whole utterances, every frame seeing what it sees in its chunk: the same bits as chunk by chunk
with the state carried along (`accelsim.execute.streaming`), since no operation of a frame depends on later chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.errors import InputError
from accelsim.execute.activity import Execution
from accelsim.execute.graph_values import EXACT, GraphValues
from accelsim.execute.inputs import feature_values, vector_arithmetic
from accelsim.execute.npu_counts import npu_activity
from accelsim.kernels.number import Arithmetic, Number
from accelsim.schedule.job import Schedule
from accelsim.schema.workload import FEATURES
from accelsim.workload import Batch, Workload


def execute_npu(
    schedule: Schedule,
    workload: Workload,
    architecture: Architecture,
    batch: Batch,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Execution:
    """Run a graph over all chunks of a batch; nothing is drawn, so ``seed`` changes nothing.

    Raises InputError for values that no code holds, or an utterance too short for a pool.
    """
    values = npu_values(workload, architecture, progress=progress)
    vector = next(iter(architecture.of_kind("vector_unit").values()))
    try:
        outputs = values.run(FEATURES, feature_values(workload, batch, vector.number), batch.starts)
    except ValueError as error:
        raise InputError.of(str(error)) from None
    output_starts = values.starts[workload.spec.graph_ops()[-1].name]
    assert schedule.plan is not None
    chunks = -(-np.diff(output_starts) // schedule.plan.chunk)
    starts = np.concatenate([[0], np.cumsum(chunks)]).astype(np.int64)
    activity = npu_activity(schedule, workload, architecture, int(starts[-1]), values.clamped, values.faults)

    def exact() -> NDArray[Any]:
        plain = GraphValues(values.ops, values.rows, values.tensors)
        return plain.run(FEATURES, feature_values(workload, batch, EXACT.number), batch.starts)

    return Execution(
        outputs, {}, activity, starts=starts, subsampling=schedule.inputs_per_frame, exact=exact,
        output_starts=output_starts,
    )  # fmt: skip


def npu_values(
    workload: Workload, architecture: Architecture, *, progress: Callable[[str], None] | None = None
) -> GraphValues:
    """Return what computes a graph as the units of an NPU do, and counts what goes wrong with their numbers."""
    spec = workload.spec
    unit = next(iter(architecture.of_kind("vector_unit").values()))
    array = next(iter(architecture.of_kind("systolic_array").values()))
    vector = vector_arithmetic(unit)
    takes_float = array.number == "float16"
    accumulator: Number = array.accumulator if takes_float else unit.accumulator
    products = Arithmetic(unit.number, accumulator, unit.norm, unit.softmax)
    return GraphValues(
        spec.graph_ops(), spec.graph_rows(), workload.tensors, vector=vector, attention=products, array=products,
        count_faults=True, progress=progress,
    )  # fmt: skip
