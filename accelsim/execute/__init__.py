"""What values come out, and what happened on the way: runs the kernels of all jobs over all frames."""

from typing import Any

from accelsim.architecture import Architecture
from accelsim.execute.activity import Activity, Execution, service_of
from accelsim.execute.graph import execute_graph
from accelsim.execute.spiking import execute_spiking
from accelsim.execute.state_space import execute_state_space
from accelsim.execute.tiles import execute_tiles
from accelsim.schedule import Schedule
from accelsim.workload import Batch, Workload

_EXECUTORS = {
    "spiking": execute_spiking,
    "state_space": execute_state_space,
    "dense": execute_tiles,
    "graph": execute_graph,
}


def execute(
    schedule: Schedule, workload: Workload, architecture: Architecture, batch: Batch, **options: Any
) -> Execution:
    """Run the kernels of a schedule over all frames of a batch; options: seed, progress."""
    return _EXECUTORS[workload.spec.family()](schedule, workload, architecture, batch, **options)


__all__ = ["Activity", "Execution", "execute", "service_of"]
