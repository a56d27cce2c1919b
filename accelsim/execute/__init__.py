"""What values come out, and what happened on the way: runs the kernels of all jobs over all frames."""

from accelsim.execute.activity import Activity, Execution, service_of
from accelsim.execute.spiking import execute_spiking as execute

__all__ = ["Activity", "Execution", "execute", "service_of"]
