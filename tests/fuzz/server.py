"""The warm parent of the fuzzer: a process with accelsim in memory that forks a child for each command line.

It is a process of its own, so that neither threads nor open files of the tests are forked. Of numba's threading layers
only ``workqueue`` starts its threads again in a child; OpenMP's would hang or abort there. One request is one line of
JSON on standard input, its answer one on standard output:

- ``{"warm": argv, "folder": F}`` runs a command in the parent itself, which loads what all children then have;
- ``{"argv": argv, "base": B, "may_write": [..], "env": {..}}`` runs it in a child, with B/work as current folder and
  what it prints in B/out and B/err.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

CPU_SECONDS = 10
"""A command that takes longer hangs: a small chip runs in one."""
WALL_SECONDS = 100
"""The same for one that waits; machines that test are shared, so it is longer."""
HARNESS_FAILED = 70
OF_A_PROCESS = 200_000_000
"""Bytes that a process of its own has before its work, in the place of what the parent has, kernels of all kinds."""
ADDRESS_SPACE = 6 << 30
"""Bytes that a child may ask for, far over the bound on memory, to keep the machine alive."""
TEMPORARY = re.compile(r"\.(?P<stem>[^.]*)-[0-9a-f]{32}")
"""A file that is being written whole, beside the one that it will become: `accelsim.result.written_whole`."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    # audit event -> which of its arguments are paths that it changes, and the descriptors of the folders they are in
    "os.mkdir": ((0, 2),), "os.remove": ((0, 1),), "os.rmdir": ((0, 1),), "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),), "os.symlink": ((1, 2),), "os.truncate": ((0, None),), "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),), "os.utime": ((0, 3),), "os.setxattr": ((0, None),), "sqlite3.connect": ((0, None),),
}  # fmt: skip
LOCAL = ("127.0.0.1", "localhost", "::1")


def serve() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    from accelsim import cli

    for line in requests:
        request = json.loads(line)
        if "warm" in request:
            answer: Any = warm(cli, request["warm"], request["folder"])
        else:
            answer = fork(cli, request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def warm(cli: Any, argv: list[str], folder: str) -> dict[str, Any]:
    os.chdir(folder)
    code = command(cli, argv, last=False)
    gc.collect()
    gc.freeze()  # a child's collections then copy no page of the parent's
    return {"code": code}


def fork(cli: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run one command line in a child and return how it ended, what it took and what it changed."""
    base = request["base"]
    begun, shared = time.monotonic(), own_memory()
    child = os.fork()
    if not child:
        try:
            in_child(cli, request)
        finally:
            os._exit(HARNESS_FAILED)
    with suppress(OSError):
        os.setpgid(child, child)  # here too: whichever process comes first
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))  # a thread would not survive a fork
    signal.alarm(WALL_SECONDS)
    _, status, used = os.wait4(child, 0)
    signal.alarm(0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # processes that it left behind
    wall = time.monotonic() - begun
    with open(os.path.join(base, "changes"), encoding="utf-8", errors="surrogateescape") as file:
        changes = file.read().splitlines()
    return {
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "cpu": used.ru_utime + used.ru_stime,
        "wall": wall,
        "peak": max(used.ru_maxrss * 1024 - shared, 0) + OF_A_PROCESS,
        "changes": changes,
    }


def own_memory() -> int:
    """Return the bytes of this process that a child is born with: those of no file."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def in_child(cli: Any, request: dict[str, Any]) -> None:
    base = request["base"]
    os.setpgid(0, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    tempfile.tempdir = None
    work = os.path.join(base, "work")
    changes = os.open(os.path.join(base, "changes"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(os.path.join(base, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    os.chdir(work)
    os.environ.update(request["env"])
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS + 2, CPU_SECONDS + 4))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(auditor(base, work, request["may_write"], changes))
    os._exit(command(cli, request["argv"], last=True))


def command(cli: Any, argv: list[str], last: bool) -> int:
    """Run a command line as a script is run and return its exit code; after the last one the process ends."""
    sys.argv = ["accelsim", *argv]
    code: Any = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    endings = (threading._shutdown, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush)
    for ending in endings if last else endings[2:]:
        try:
            ending()
        except BaseException as error:
            with suppress(ValueError):  # standard error is closed where a pipe broke
                traceback.print_exception(error)
            code = code or 120
    return (code or 0) & 0xFF


def auditor(base: str, work: str, may_write: list[str], log: int) -> Any:
    """Return a hook that notes every path outside `may_write` that the process changes, and lets no network through."""
    allowed = [os.path.realpath(os.path.join(work, name)) for name in may_write]
    allowed += [os.path.join(base, name) for name in ("tmp", "cache", "home", "data")]

    def is_allowed(path: str) -> bool:
        real = os.path.realpath(path)
        if real.startswith("/dev/") or "__pycache__" in real:
            return True
        if any(real == place or real.startswith(place + "/") for place in allowed):
            return True
        folder, name = os.path.split(real)
        half_written = TEMPORARY.fullmatch(name)
        return half_written is not None and any(
            os.path.split(place)[0] == folder and os.path.basename(place).partition(".")[0] == half_written["stem"]
            for place in allowed
        )

    def changed(event: str, path: Any, folder: int | None = None) -> None:
        if isinstance(path, int) or path is None:
            return  # a descriptor, which was opened before
        name = os.fsdecode(path)
        if event == "os.mkdir" and os.path.isdir(name):
            return  # it is there, and nothing is made
        if event == "sqlite3.connect":
            name, _, options = name.removeprefix("file:").partition("?")
            if name == ":memory:" or "mode=ro" in options:
                return
        elif folder is not None and folder >= 0:
            name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
        if "\0" not in name and not is_allowed(name):
            os.write(log, f"{event} {name!r}\n".encode())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in mode for letter in "wax+") if mode is not None else (flags or 0) & WRITING
            if writes:
                changed("open", path)
                if isinstance(path, str) and path.endswith((".nbc", ".nbi")):
                    os.write(log, b"compiled\n")
        elif event in CHANGES:
            for path, folder in CHANGES[event]:
                changed(event, arguments[path], None if folder is None else arguments[folder])
        elif event in ("socket.connect", "socket.getaddrinfo"):
            host = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
            host = host[0] if isinstance(host, tuple) else host
            if isinstance(host, str) and not host.startswith("/") and host not in LOCAL:
                raise OSError(101, "the fuzzer lets nothing through to the network")

    return hook


if __name__ == "__main__":
    serve()
