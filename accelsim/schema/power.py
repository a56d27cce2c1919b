"""The grammar of an architecture's ``power`` section: which parts stop their clock or are switched off together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from accelsim.schema.parse import Model
from accelsim.schema.quantity import NonNegativeEnergy, PositiveTime


class PowerGate(Model):
    """A switch between a power domain and its supply.

    It opens when no part of the domain has been in a job for ``after``. The first job that then needs one of its parts
    waits ``wake`` before it starts, in whole ticks of the time base that all clocks share and then until the next edge
    of the clock of the component that leads the job. Every wake-up costs ``wake_energy``. ``retention``: the share of
    leakage and standby power that stays while the switch is open, between 0 and 1: that of what keeps its state
    (registers and SRAM on a retention supply; cells that forget nothing need none). No state is lost in the model, so
    a share of 0 assumes that the parts hold none that is needed again, or that ``wake`` and ``wake_energy`` hold what
    bringing it back takes.
    """

    after: PositiveTime
    wake: PositiveTime
    wake_energy: NonNegativeEnergy
    retention: Annotated[float, Field(ge=0, le=1)]


class PowerDomain(Model):
    """Components that are supplied and clocked alike; ``parts``: their names, or patterns such as ``weights_*``.

    ``clock_gate``: the clock of a part stops while it works on nothing. A component in no domain has its clock gated
    and is never switched off.
    """

    parts: Annotated[list[str], Field(min_length=1)]
    clock_gate: bool = True
    power_gate: PowerGate | None = None
