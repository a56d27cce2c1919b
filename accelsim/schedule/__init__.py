"""How an op is cut for an architecture, and in what order: from a workload and a chip to jobs per component."""

from accelsim.architecture import Architecture
from accelsim.schedule.graph import schedule_graph
from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.schedule.mapping import TileMap
from accelsim.schedule.npu import is_npu, schedule_npu
from accelsim.schedule.spiking import schedule_spiking
from accelsim.schedule.state_space import schedule_state_space
from accelsim.schedule.tiles import schedule_tiles
from accelsim.workload import Workload

_SCHEDULERS = {
    "spiking": schedule_spiking,
    "state_space": schedule_state_space,
    "dense": schedule_tiles,
    "graph": schedule_graph,
    "npu": schedule_npu,
}


def rules_of(workload: Workload, architecture: Architecture) -> str:
    """Return by which rules a network is cut and run: those of its family, and graphs by those of the chip."""
    family = workload.spec.family()
    return "npu" if family == "graph" and is_npu(architecture) else family


def build_schedule(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a workload into jobs by the rules for it; raises InputError when the chip cannot run it."""
    return _SCHEDULERS[rules_of(workload, architecture)](workload, architecture)


__all__ = ["Job", "Schedule", "TileMap", "build_schedule", "part_of", "rules_of"]
