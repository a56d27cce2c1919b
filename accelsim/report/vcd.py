"""A trace as a value change dump, which GTKWave and Surfer open."""

from __future__ import annotations

import io
from heapq import merge
from operator import itemgetter
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from vcd import VCDWriter

from accelsim.simulate import Trace
from accelsim.simulate.ledger import STATES
from accelsim.simulate.trace import each_row

_IDLE = STATES.index("idle")
_NONE = -1


def write_vcd(trace: Trace, file: BinaryIO) -> None:
    """Write a trace as a value change dump (IEEE 1364-2005, clause 18) in picoseconds.

    Per component, copies in tiles apart: ``state`` (busy, wait_input, wait_output or idle) and ``job`` as text, an
    extension of the format that both viewers read, and ``frame`` as an integer; while the component is idle ``job`` is
    empty and ``frame`` z. Per channel its slots in use, an integer. ``adc[3]`` is written ``adc(3)``: viewers take
    brackets for a range of bits.
    """
    text = io.TextIOWrapper(file, encoding="ascii", errors="replace", write_through=True)
    comment = "cut after too many events" if trace.cut else ""
    with VCDWriter(text, "1 ps", date="", comment=comment, version="accelsim", init_timestamp=trace.begin_ps) as dump:
        components = [
            (
                dump.register_var(("components", _plain(name)), "state", "string", init="idle"),
                dump.register_var(("components", _plain(name)), "job", "string", init=""),
                dump.register_var(("components", _plain(name)), "frame", "integer", init="z"),
            )
            for name in trace.components
        ]
        channels = [dump.register_var("channels", _plain(name), "integer", init=0) for name in trace.channels]
        for time, *row in merge(each_row(_states(trace)), each_row(trace.depths()), key=itemgetter(0)):
            if len(row) == 2:
                dump.change(channels[row[0]], time, row[1])
                continue
            component, job, frame, state = row
            shown = components[component]
            dump.change(shown[0], time, STATES[state])
            dump.change(shown[1], time, "" if job == _NONE else trace.jobs[job])
            dump.change(shown[2], time, "z" if frame == _NONE else frame)
        dump.close(trace.end_ps)
    text.detach()


def _states(trace: Trace) -> NDArray[np.int64]:
    """Return every change of a component's state in order of time: [changes, 5] of ps, component, job, frame, state."""
    component, job, frame, state, start, end = trace.spans().T
    # A component falls idle at the end of a span unless its next one follows at once.
    falls_idle = np.ones(len(start), bool)
    falls_idle[:-1] = (component[1:] != component[:-1]) | (start[1:] != end[:-1])
    idle = [end, component, *(np.full(len(end), value) for value in (_NONE, _NONE, _IDLE))]
    changes = np.concatenate(
        [np.stack([start, component, job, frame, state], 1), np.stack(idle, 1)[falls_idle & (end < trace.end_ps)]]
    )
    return changes[np.argsort(changes[:, 0], kind="stable")]


def _plain(name: str) -> str:
    return name.replace("[", "(").replace("]", ")")
