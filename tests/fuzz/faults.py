"""Faults of the operating system: any system call of a command fails, is cut short, or is the last one of its process.

A seccomp filter hands every system call on files to a supervisor, which lets it go on, answers with an error, or sends
a signal first. Nothing is preloaded and no privilege is needed; the calls of SQLite, Arrow and of worker processes are
seen like those of Python. Linux on x86-64 alone.

``Machine`` holds a process in which accelsim is imported; every command runs in a fork of it.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import platform
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fcntl import ioctl
from pathlib import Path
from typing import Any

SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64"
LONGEST = 300.0
"""Seconds after which a command hangs, on a machine that has much else to do."""

_NUMBERS = {
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 6: "lstat", 9: "mmap", 17: "pread", 18: "pwrite",
    19: "readv", 20: "writev", 21: "access", 72: "fcntl", 74: "fsync", 75: "fdatasync", 76: "truncate",
    77: "ftruncate", 78: "getdents", 82: "rename", 83: "mkdir", 84: "rmdir", 85: "creat", 86: "link", 87: "unlink",
    88: "symlink", 89: "readlink", 217: "getdents", 257: "openat", 258: "mkdirat", 262: "fstatat", 263: "unlinkat",
    264: "renameat", 265: "linkat", 269: "faccessat", 280: "utimensat", 285: "fallocate", 316: "renameat2",
    332: "statx", 439: "faccessat2",
}  # fmt: skip
_OF_PATH = {"open", "stat", "lstat", "access", "truncate", "rename", "mkdir", "rmdir", "creat", "link", "unlink"}
_OF_PATH |= {"symlink", "readlink"}
_OF_FOLDER = {"openat", "mkdirat", "fstatat", "unlinkat", "renameat", "linkat", "faccessat", "renameat2", "statx"}
_OF_FOLDER |= {"faccessat2", "utimensat"}
_FD_OF_MMAP = 4
_LOCKS = {5, 6, 7, 36, 37, 38}
"""Commands of fcntl that lock: F_GETLK to F_SETLKW, and those of open files."""

_DISK = ("EIO", "ENOSPC", "EROFS", "EDQUOT")
ERRORS = {
    "read": ("EIO",), "pread": ("EIO",), "readv": ("EIO",), "mmap": ("ENOMEM",), "getdents": ("EIO",),
    "write": _DISK, "pwrite": _DISK, "writev": _DISK, "fallocate": ("ENOSPC",), "ftruncate": ("EIO",),
    "truncate": ("EIO",), "fsync": ("EIO", "ENOSPC"), "fdatasync": ("EIO",), "close": ("EIO",),
    "open": ("EACCES", "EMFILE", "ENOSPC", "EIO"), "openat": ("EACCES", "EMFILE", "ENOSPC", "EIO"),
    "creat": ("ENOSPC",), "stat": ("EACCES", "EIO"), "lstat": ("EACCES",), "fstatat": ("EACCES", "EIO"),
    "statx": ("EACCES", "EIO"), "access": ("EACCES",), "faccessat": ("EACCES",), "faccessat2": ("EACCES",),
    "rename": ("EACCES", "ENOSPC", "EIO"), "renameat": ("EACCES", "EIO"), "renameat2": ("EACCES", "EIO"),
    "mkdir": ("EACCES", "ENOSPC"), "mkdirat": ("EACCES",), "rmdir": ("EIO",), "unlink": ("EACCES", "EIO"),
    "unlinkat": ("EACCES", "EIO"), "link": ("EACCES",), "linkat": ("EACCES",), "symlink": ("EACCES",),
    "readlink": ("EACCES",), "utimensat": ("EACCES",), "fcntl": ("ENOLCK",),
}  # fmt: skip
"""What a call may fail with, on a disk or on one behind a network."""


@dataclass(frozen=True)
class Call:
    """A system call on a file of interest: its name, and the file, as a path relative to the command's folder.

    ``stdout`` and ``stderr`` are files too.
    """

    name: str
    path: str


@dataclass(frozen=True)
class Fault:
    """What happens in the system call ``at``, counted from 0 over those on files of interest.

    ``error``: it fails with this (``EIO``); ``signal``: the process is sent this (``SIGKILL``) and the call goes on;
    ``short``: it writes half of what it was given, and the next one to the file fails with ``error``. ``lasting``: so
    do all later calls of the same kind.
    """

    at: int
    error: str = ""
    signal: str = ""
    short: bool = False
    lasting: bool = False


@dataclass(frozen=True)
class Outcome:
    """``code``: exit code, negative for the signal that ended the process; ``calls``: those on files of interest.

    ``hit``: whether the fault happened at all; ``left``: whether processes were still there when the time was over.
    """

    code: int
    out: str
    err: str
    calls: tuple[Call, ...] = ()
    hit: bool = False
    left: bool = False


@dataclass
class Machine:
    """A process that has imported accelsim and runs commands in forks of itself, with a fault in each.

    ``roots``: folders whose files are of interest, beside the folder in which a command runs. ``warm``: command lines
    that it runs itself first, so that all that they import is there.
    """

    roots: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    warm: Sequence[Sequence[str]] = ()

    def __enter__(self) -> Machine:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps([list(argv) for argv in self.warm])],
            env={**os.environ, **self.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(self, argv: Sequence[str], folder: Path, fault: Fault | None = None, *, closed: str = "") -> Outcome:
        """Run ``accelsim`` in a folder; ``closed``: "stdout" or "stderr" is a pipe that nobody reads."""
        assert self._process.stdin and self._process.stdout
        roots = [str(root.resolve()) for root in (folder, *self.roots)]
        asked = {"argv": list(argv), "folder": str(folder.resolve()), "roots": roots, "closed": closed}
        asked["fault"] = None if fault is None else asdict(fault)
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        return Outcome(**found | {"calls": tuple(Call(*call) for call in found["calls"])})


def faults_of(calls: Sequence[Call], *, signals: Sequence[str] = ("SIGINT", "SIGTERM", "SIGKILL")) -> Iterator[Fault]:
    """Yield the faults of a command whose calls are known.

    Of equal calls in a row, and of equal ones on what is not below ``out``, only the first two and the last.
    """
    places: dict[tuple[Call, int], list[int]] = {}
    row = 0
    for at, call in enumerate(calls):
        row = row if at and calls[at - 1] == call else at
        places.setdefault((call, row if call.path.startswith("out") else -1), []).append(at)
    for at in sorted(at for equal in places.values() for at in {*equal[:2], equal[-1]}):
        call = calls[at]
        if call.path in ("stdout", "stderr"):
            yield from (Fault(at, error=error, lasting=True) for error in ("EPIPE", "ENOSPC", "EIO"))
        else:
            for error in ERRORS[call.name]:
                yield Fault(at, error=error)
                if error in ("ENOSPC", "EROFS", "EMFILE"):
                    yield Fault(at, error=error, lasting=True)
        if call.name == "write":
            yield Fault(at, error="ENOSPC", short=True)
        yield from (Fault(at, signal=name) for name in signals)


# What follows runs in the machine's own process and in its forks.

_SECCOMP, _NEW_LISTENER, _WAIT_KILLABLE = 317, 8, 32
_NOTIFY, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_GO_ON = 1


class _Filter(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32)
    ]  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter))]


def _install() -> int:
    """Filter the calls of this process and of its children; return the descriptor on which they are told."""
    lines = [_Filter(0x20, 0, 0, 0)]
    for number in _NUMBERS:
        lines += [_Filter(0x15, 0, 1, number), _Filter(0x06, 0, 0, _NOTIFY)]
    lines.append(_Filter(0x06, 0, 0, _ALLOW))
    program = _Program(len(lines), (_Filter * len(lines))(*lines))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # no new privileges: what a filter without privileges asks for
    listener = libc.syscall(_SECCOMP, 1, _NEW_LISTENER | _WAIT_KILLABLE, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "no seccomp filter")
    return int(listener)


class _Supervisor:
    def __init__(self, asked: Mapping[str, Any], listener: int, pid: int) -> None:
        self.roots: list[str] = asked["roots"]
        self.folder: str = asked["folder"]
        self.fault = None if asked["fault"] is None else Fault(**asked["fault"])
        self.listener, self.pid = listener, pid
        self.calls: list[Call] = []
        self.hit = False
        self.then: Call | None = None  # fails, after a short write

    def supervise(self) -> bool:
        """Answer calls until all processes are gone; tell whether they were before the time was over."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            for _, event in poll.poll(1000):
                if event & select.POLLIN:
                    self._answer()
                elif event & (select.POLLHUP | select.POLLERR):
                    return True
        return False

    def _answer(self) -> None:
        note = bytearray(80)
        try:
            ioctl(self.listener, _RECEIVE, note)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return  # its process died
            raise
        identity, pid, _, number, _, _, *arguments = struct.unpack("=QIIiIQ6Q", note)
        value, error = 0, 0
        call = self._call(pid, _NUMBERS[number], arguments)
        if call is not None:
            value, error = self._happens(call, pid, arguments)
            self.calls.append(call)
        flags = 0 if value or error else _GO_ON
        try:
            ioctl(self.listener, _SEND, struct.pack("=QqiI", identity, value, -error, flags))
        except OSError as error_:
            if error_.errno != errno.ENOENT:
                raise

    def _happens(self, call: Call, pid: int, arguments: Sequence[int]) -> tuple[int, int]:
        """Return what a call returns and which error it fails with; 0 and 0 if it goes on."""
        fault, at = self.fault, len(self.calls)
        if fault is None:
            return 0, 0
        if self.then == call or (fault.lasting and self.hit and self._alike(call)):
            return 0, getattr(errno, fault.error)
        if at != fault.at:
            return 0, 0
        self.hit = True
        if fault.signal:
            os.kill(self.pid, getattr(signal, fault.signal))
            return 0, 0
        if fault.short:
            self.then = call
            if half := arguments[2] // 2:
                pidfd = os.pidfd_open(self.pid)
                copy = ctypes.CDLL(None).syscall(438, pidfd, arguments[0], 0)  # pidfd_getfd
                os.close(pidfd)
                written = os.write(copy, _memory(pid, arguments[1], half))
                os.close(copy)
                return written, 0
        return 0, getattr(errno, fault.error)

    def _alike(self, call: Call) -> bool:
        """Tell whether a lasting fault is one of this call too; a full disk is not what is printed on."""
        first = self.calls[self.fault.at] if self.fault else call
        if "stdout" in (first.path, call.path) or "stderr" in (first.path, call.path):
            return first.path == call.path
        return bool(self.fault) and self.fault.error in ERRORS[call.name]

    def _call(self, pid: int, name: str, arguments: Sequence[int]) -> Call | None:
        """Return a call if it is on a file of interest."""
        try:
            if name in _OF_PATH:
                path = self._path(pid, -100, arguments[0])
            elif name in _OF_FOLDER:
                path = self._path(pid, ctypes.c_int32(arguments[0] & 0xFFFFFFFF).value, arguments[1])
            else:
                if name == "fcntl" and arguments[1] not in _LOCKS:
                    return None
                descriptor = arguments[_FD_OF_MMAP] if name == "mmap" else arguments[0]
                if descriptor > 1 << 20:
                    return None  # memory without a file
                path = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                if descriptor in (1, 2) and name in ("write", "writev"):
                    # What a command has given up on goes to /dev/null, which takes all.
                    return None if path == os.devnull else Call(name, "stdout" if descriptor == 1 else "stderr")
        except OSError:
            return None  # no such descriptor, or its process died
        if not any(path == root or path.startswith(root + "/") for root in self.roots):
            return None
        return Call(name, os.path.relpath(path.removesuffix(" (deleted)"), self.folder))

    def _path(self, pid: int, folder: int, address: int) -> str:
        text = os.fsdecode(_memory(pid, address, 4096).partition(b"\0")[0]) if address else ""
        if os.path.isabs(text):
            return os.path.normpath(text)
        base = os.readlink(f"/proc/{pid}/cwd" if folder == -100 else f"/proc/{pid}/fd/{folder}")
        return os.path.normpath(os.path.join(base, text))


def _memory(pid: int, address: int, size: int) -> bytes:
    """Return up to ``size`` bytes of a process; fewer where its memory ends at a page."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        found = b""
        while len(found) < size:
            end = min((address // 4096 + 1) * 4096 - address, size - len(found)) if size <= 4096 else size - len(found)
            try:
                part = os.pread(memory, end, address)
            except OSError:
                return found
            found += part
            address += len(part)
            if not part or (size == 4096 and b"\0" in part):
                return found
        return found
    finally:
        os.close(memory)


def _child(asked: Mapping[str, Any], ours: socket.socket, streams: tuple[int, int]) -> None:
    os.setsid()
    os.chdir(asked["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for target, source in zip((1, 2), streams, strict=True):
        os.dup2(source, target)
    # Made anew, as for every process: what they remember of the streams before is another kind of file.
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listener = _install()
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", listener))])
    os.close(listener)
    ours.close()
    sys.argv = ["accelsim", *asked["argv"]]
    from accelsim.cli import main

    main()


def _run(asked: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        streams = {"stdout": out.fileno(), "stderr": err.fileno()}
        if asked["closed"]:
            nobody, streams[asked["closed"]] = os.pipe()
            os.close(nobody)
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _exit_as_python(lambda: _child(asked, theirs, (streams["stdout"], streams["stderr"])))
        theirs.close()
        if asked["closed"]:
            os.close(streams[asked["closed"]])
        _, passed, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
        (listener,) = struct.unpack("i", passed[0][2])
        supervisor = _Supervisor(asked, listener, pid)
        ended = supervisor.supervise()
        if not ended:
            os.killpg(pid, signal.SIGKILL)
        os.close(listener)
        ours.close()
        _, status = os.waitpid(pid, 0)
        texts = [_text(file) for file in (out, err)]
    calls = [(call.name, call.path) for call in supervisor.calls]
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "out": texts[0], "err": texts[1], "calls": calls, "hit": supervisor.hit, "left": not ended}


def _exit_as_python(body: Any) -> None:
    """Call something and end the process as the interpreter does, streams flushed and all."""
    code = 1
    try:
        body()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    os._exit(code)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="replace"))


def _serve() -> None:
    """Answer requests, one a line; the command lines of this process's own are run first, for what they import."""
    import accelsim.cli

    answers = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    requests = os.fdopen(os.dup(0), "r")
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for argv in json.loads(sys.argv[1]):
            sys.argv = ["accelsim", *argv]
            with suppress(SystemExit):
                accelsim.cli.main()
        os.chdir("/")
    gc.collect()
    gc.freeze()
    for line in requests:
        print(json.dumps(_run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
