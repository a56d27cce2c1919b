"""A trace as Chrome trace JSON, which ui.perfetto.dev and chrome://tracing open."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from typing import BinaryIO

from accelsim.cost import Power
from accelsim.simulate import Trace
from accelsim.simulate.ledger import STATES
from accelsim.simulate.trace import each_row
from accelsim.text import printable

# Processes are what a viewer groups tracks by. It takes a thread numbered like its process for the main one, so the
# numbers of the components' tracks begin far above.
_COMPONENTS, _CHANNELS, _POWER = 1, 2, 3
_FIRST_TRACK = 100


def write_perfetto(trace: Trace, power: Power, file: BinaryIO) -> None:
    """Write a trace as gzipped Chrome trace JSON (Trace Event Format, object form).

    One track per component, copies in tiles apart, with a span for every job (``JOB FRAME``) and every wait
    (``wait_input JOB FRAME``, ``wait_output JOB FRAME``) and nothing where it is idle; one counter per channel, of
    slots in use; one counter of the chip's power in microwatt, see `accelsim.cost.power_over_time`. Counters have a
    sample at the begin and at the end of the trace.
    ``ts`` and ``dur`` are in microseconds with six decimals, exact to the picosecond; viewers show whole nanoseconds.
    """
    with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed, io.TextIOWrapper(packed, encoding="utf-8") as text:
        about = {"begin_us": _us(trace.begin_ps), "end_us": _us(trace.end_ps), "cut": str(trace.cut).lower()}
        text.write(f'{{"displayTimeUnit":"ns","otherData":{json.dumps(about)},"traceEvents":[\n')
        before = ""
        for event in _events(trace, power):
            text.write(before + event)
            before = ",\n"
        text.write("\n]}\n")


def _events(trace: Trace, power: Power) -> Iterator[str]:
    for process, group in ((_COMPONENTS, "components"), (_CHANNELS, "channels"), (_POWER, "power")):
        yield _metadata("process", process, 0, group)
    for place, name in enumerate(trace.components):
        yield _metadata("thread", _COMPONENTS, _FIRST_TRACK + place, name)

    jobs = [_shown(job)[1:-1] for job in trace.jobs]
    periods = [trace.period_ps[name] for name in trace.components]
    for component, job, frame, state, start, end in each_row(trace.spans()):
        waits = "" if STATES[state] == "busy" else f"{STATES[state]} "
        yield (
            f'{{"ph":"X","pid":{_COMPONENTS},"tid":{_FIRST_TRACK + component},"ts":{_us(start)},'
            f'"dur":{_us(end - start)},"name":"{waits}{jobs[job]} {frame}","cat":"{STATES[state]}",'
            f'"args":{{"job":"{jobs[job]}","frame":{frame},"cycles":{_whole((end - start) / periods[component])}}}}}'
        )

    last = [0] * len(trace.channels)
    channels = [_shown(channel) for channel in trace.channels]
    for time, channel, slots in each_row(trace.depths()):
        yield _counter(_CHANNELS, channels[channel], time, "slots", slots)
        last[channel] = slots
    for channel, slots in enumerate(last):
        yield _counter(_CHANNELS, channels[channel], trace.end_ps, "slots", slots)

    watt = power.watt.tolist()
    for time, level in zip(power.time_ps.tolist(), watt, strict=True):
        yield _counter(_POWER, '"power"', time, "uW", level * 1e6)
    yield _counter(_POWER, '"power"', power.end_ps, "uW", watt[-1] * 1e6)


def _metadata(what: str, process: int, thread: int, name: str) -> str:
    event = f'{{"ph":"M","pid":{process},"tid":{thread},"name":"{what}'
    order = f'{event}_sort_index","args":{{"sort_index":{thread or process}}}}}'
    return f'{event}_name","args":{{"name":{_shown(name)}}}}},\n{order}'


def _counter(process: int, name: str, time: int, unit: str, value: float) -> str:
    return f'{{"ph":"C","pid":{process},"name":{name},"ts":{_us(time)},"args":{{"{unit}":{value!r}}}}}'


def _shown(name: str) -> str:
    return json.dumps(printable(name))


def _us(picoseconds: int) -> str:
    return f"{picoseconds // 1_000_000}.{picoseconds % 1_000_000:06d}"


def _whole(cycles: float) -> str:
    """Write cycles; only a span that the window clips can have a part of one."""
    return f"{cycles:.0f}" if cycles.is_integer() else f"{cycles:.3f}"
