"""Work that may not take long or much memory, done in a child process that is measured, and ended when it hangs."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Mapping

SECONDS, BYTES = 10, 10**9


def in_a_child(works: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Return what each work says, done in a process that has ten seconds for each and one gigabyte more than this."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(read)
        for name, work in works.items():
            os.write(write, f"{name}\0".encode())
            signal.alarm(SECONDS)
            try:
                said = work()
            except BaseException as error:
                said = f"FAULT {type(error).__name__}: {error}"
            os.write(write, f"{said}\0".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        *said, _ = pipe.read().decode().split("\0")
    _, status, usage = os.wait4(child, 0)
    assert status == 0, f"ended by {signal.Signals(os.WTERMSIG(status)).name} in {said[-1]}"
    assert usage.ru_maxrss * 1024 < before + BYTES, f"{usage.ru_maxrss} kB in one of {said}"
    found = dict(zip(said[::2], said[1::2], strict=True))
    faults = {name: text for name, text in found.items() if text.startswith("FAULT")}
    assert not faults, faults
    return found
