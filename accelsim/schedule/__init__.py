"""How an op is cut for an architecture, and in what order: from a workload and a chip to jobs per component."""

from accelsim.architecture import Architecture
from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.schedule.mapping import TileMap
from accelsim.schedule.spiking import schedule_spiking
from accelsim.schedule.tiles import schedule_tiles
from accelsim.workload import Workload


def build_schedule(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a workload into jobs by the rules for its first op; raises InputError when the chip cannot run it."""
    dense = workload.spec.layers[0].op == "linear"
    return (schedule_tiles if dense else schedule_spiking)(workload, architecture)


__all__ = ["Job", "Schedule", "TileMap", "build_schedule", "part_of"]
