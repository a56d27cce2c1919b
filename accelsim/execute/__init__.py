"""What values come out, and what happened on the way: runs the kernels of all jobs over all frames."""

from typing import Any

from accelsim.architecture import Architecture
from accelsim.execute.activity import Activity, Execution, service_of
from accelsim.execute.graph import execute_graph
from accelsim.execute.npu import execute_npu
from accelsim.execute.spiking import execute_spiking
from accelsim.execute.state_space import execute_state_space
from accelsim.execute.tiles import execute_tiles
from accelsim.schedule import Schedule, rules_of
from accelsim.workload import Batch, Workload

_EXECUTORS = {
    "spiking": execute_spiking,
    "state_space": execute_state_space,
    "dense": execute_tiles,
    "graph": execute_graph,
    "npu": execute_npu,
}


def execute(
    schedule: Schedule,
    workload: Workload,
    architecture: Architecture,
    batch: Batch,
    *,
    seed: int = 0,
    programming_run: int = 0,
    **options: Any,
) -> Execution:
    """Run the kernels of a schedule over all frames of a batch; options: progress.

    A further ``programming_run`` of memristor cells is a run of a seed of its own, seed + programming_run. How worn the
    cells are is a setting of the device, ``wear_cycles``, and the same in every run.
    """
    executor = _EXECUTORS[rules_of(workload, architecture)]
    return executor(schedule, workload, architecture, batch, seed=seed + programming_run, **options)


__all__ = ["Activity", "Execution", "execute", "service_of"]
