"""Finding the parts of a chip that a schedule needs, and saying everything that is missing at once."""

from __future__ import annotations

from accelsim.architecture import Architecture
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.schedule.job import part_of
from accelsim.workload import Workload


class Parts:
    """Looks up components and channels by what they are for; problems are collected until `stop_on_problems`.

    ``purpose`` completes the messages: "a spiking network needs ...".
    """

    def __init__(self, workload: Workload, architecture: Architecture, purpose: str) -> None:
        self.architecture = architecture
        self.purpose = purpose
        self.where = f"workload '{workload.spec.name}' on '{architecture.spec.name}'"
        self.problems: dict[str, Problem] = {}

    def only(self, *kinds: str) -> str:
        """Return the name of the one component of a kind, or of one of several kinds."""
        names = [name for kind in kinds for name in self.architecture.of_kind(kind)]
        if len(names) != 1:
            self.problem(f"{self.purpose} exactly one component of kind {' or '.join(kinds)}, found {len(names)}")
        return names[0] if names else ""

    def storing(self, what: str) -> str:
        """Return the name of the memory that stores something."""
        kinds = ("sram", "edram", "register_file")
        memories = {name: spec for kind in kinds for name, spec in self.architecture.of_kind(kind).items()}
        stores = {spec.stores: name for name, spec in memories.items()}
        if what not in stores:
            self.problem(f"{self.purpose} a memory with 'stores: {what}'", did_you_mean(what, stores))
        return stores.get(what, "")

    def channel(self, producer: str, consumer: str) -> str:
        """Return the name of the bounded channel between two components, or their copies in tiles."""
        ends = part_of(producer), part_of(consumer)
        if not any((c.from_, c.to, c.lockstep) == (*ends, False) for c in self.architecture.spec.channels):
            self.problem(f"{self.purpose} a bounded channel from '{ends[0]}' to '{ends[1]}'")
        return f"{producer}->{consumer}"

    def problem(self, message: str, hint: str | None = None) -> None:
        """Note a problem; the same one counts once."""
        self.problems.setdefault(message, Problem(f"{self.where}: {message}", hint=hint))

    def stop_on_problems(self) -> None:
        """Raise InputError with all problems found so far, if there are any."""
        if self.problems:
            raise InputError(list(self.problems.values()))
