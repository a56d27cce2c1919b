"""When does each thing happen: the discrete-event engine. The only place that imports simpy."""

from accelsim.simulate.domain import Domain, Sleep
from accelsim.simulate.engine import Clocking, Link, Timeline, simulate, watch
from accelsim.simulate.invariants import close_books
from accelsim.simulate.ledger import Ledger, PowerTimes
from accelsim.simulate.one_frame import OneFrame
from accelsim.simulate.supply import Supply
from accelsim.simulate.trace import Trace, Window

__all__ = [
    "Clocking",
    "Domain",
    "Ledger",
    "Link",
    "OneFrame",
    "PowerTimes",
    "Sleep",
    "Supply",
    "Timeline",
    "Trace",
    "Window",
    "close_books",
    "simulate",
    "watch",
]
