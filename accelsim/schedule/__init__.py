"""How an op is cut for an architecture, and in what order: from a workload and a chip to jobs per component."""

from accelsim.architecture import Architecture
from accelsim.schedule.graph import schedule_graph
from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.schedule.mapping import TileMap
from accelsim.schedule.spiking import schedule_spiking
from accelsim.schedule.state_space import schedule_state_space
from accelsim.schedule.tiles import schedule_tiles
from accelsim.workload import Workload

_SCHEDULERS = {
    "spiking": schedule_spiking,
    "state_space": schedule_state_space,
    "dense": schedule_tiles,
    "graph": schedule_graph,
}


def build_schedule(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a workload into jobs by the rules of its family; raises InputError when the chip cannot run it."""
    return _SCHEDULERS[workload.spec.family()](workload, architecture)


__all__ = ["Job", "Schedule", "TileMap", "build_schedule", "part_of"]
