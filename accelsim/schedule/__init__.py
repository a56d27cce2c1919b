"""How an op is cut for an architecture, and in what order: from a workload and a chip to jobs per component."""

from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.schedule.spiking import schedule_spiking as build_schedule

__all__ = ["Job", "Schedule", "build_schedule", "part_of"]
