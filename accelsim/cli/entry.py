"""From a command line to an exit code."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys

from accelsim.cli.app import app
from accelsim.cli.say import warn
from accelsim.errors import AccelsimError, InputError


def main() -> None:
    """Run the command line; every error a user can meet ends in one message and an exit code."""
    # Modules and schemas are many objects that stay: to look through them again and again took a twentieth of a run.
    gc.set_threshold(50_000, 20, 50)
    came: list[int] = []

    def stop(number: int, _: object) -> None:
        came.append(number)
        # A terminated run unwinds like an interrupted one, so that its temporary file goes too.
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    # What is closed has no stream, and the next file that is opened would take its place.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not of UTF-8 lacks letters
    code = _end(came)
    if (error := _not_printed()) is not None:
        if code == 0:
            _tell(f"error: cannot write to standard output: {error.strerror}")
            code = 1
        _leave_streams()
    sys.exit(code)


def _end(came: list[int]) -> int:
    """Run the command line, say what went wrong, and return the exit code; ``came``: the signals that came by then."""
    try:
        try:
            app()
        except BaseException as error:
            # C code that calls Python makes another error of a signal's, or none at all.
            if came:
                raise SystemExit(128 + came[0]) from None
            # Typer says nothing of a closed pipe, and makes an exit code of its own of it.
            if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
                raise error.__context__ from None
            raise
    except InputError as error:
        _tell(f"error: {error}" if len(error.problems) == 1 else f"{len(error.problems)} errors:\n{error}")
        return error.exit_code
    except AccelsimError as error:
        _tell(f"error: {error}")
        return error.exit_code
    except MemoryError as error:
        _tell(f"error: not enough memory: {error} (take fewer --set workload.inputs.utterances, or smaller sizes)")
        return 1
    except BrokenPipeError:
        return 141
    except OSError as error:
        # The machine failed us where nobody looks for it: a disk with bad blocks, no more open files.
        _tell(f"error: {'' if error.filename is None else f'{error.filename}: '}{error.strerror or error}")
        return 1
    except SystemExit as error:
        if error.code == 130:
            _tell("interrupted; nothing half-written is left behind")
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0


def _tell(text: str) -> None:
    """Say how the command ended on standard error, if anybody can still hear it."""
    try:
        warn(text)
    except (OSError, AccelsimError):
        _leave_streams()


def _not_printed() -> OSError | None:
    """Return why what was printed last does not come out, None if it does."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def _leave_streams() -> None:
    """Let what is still to be printed go nowhere: nothing takes it, and Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
