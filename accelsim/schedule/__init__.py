"""Jobs, and what all engines share to cut ops into them: windows of frames, and how matrices lie on tiles."""

from accelsim.schedule.job import Job, Schedule, Work, part_of

__all__ = ["Job", "Schedule", "Work", "part_of"]
