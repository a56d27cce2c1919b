"""HDF5 files of others, read by a process of its own, which may fail without harm."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.errors import InputError

LONGEST_S = 60.0
"""Seconds that reading a file may take on a busy machine; the process has a limit of its own on CPU time."""
_LONGEST_LINE = 64_000_000

Tree = dict[str, Any]


class Hdf5Reader:
    """Reads HDF5 files as trees of groups: a dict of a group, an array or text (or a list of it) of a data set.

    The library runs in another process, of limited memory and for at most ``longest_s`` a file: damaged files make it
    loop and crash.
    """

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self.longest_s = longest_s
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, path: Path, largest: int) -> Tree:
        """Return what is in a file, ``largest`` bytes at most; raises InputError with what is wrong with it."""
        child = self._started()
        assert child.stdin is not None and child.stdout is not None
        timer = threading.Timer(self.longest_s, child.kill)
        timer.start()
        try:
            child.stdin.write(json.dumps([str(path.absolute()), largest]).encode() + b"\n")
            child.stdin.flush()
            line = child.stdout.readline(_LONGEST_LINE)
            answer = json.loads(line) if line.endswith(b"\n") else {}
            size = answer.get("bytes", 0)
            blob = child.stdout.read(size) if 0 <= size <= largest else b""
        except (OSError, ValueError):
            answer, size, blob = {}, 0, b""
        finally:
            timer.cancel()
        if "error" in answer:
            raise InputError.of(f"not a whole HDF5 file: {answer['error']}", file=path)
        if "tree" not in answer or len(blob) != size:
            self.close()
            raise InputError.of("not a whole HDF5 file: the HDF5 library did not come to an end with it", file=path)
        return _tree(answer["tree"], blob)

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            with suppress(BrokenPipeError), self._child:  # closes its streams too
                self._child.kill()
            self._child = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None:
            script = Path(__file__).with_name("hdf5_child.py")
            one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PATH": "::"}
            self._child = subprocess.Popen(
                [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=one_thread,
            )  # fmt: skip
        return self._child


def _tree(node: Tree, blob: bytes) -> Any:
    kind = node.get("")
    if kind == "text":
        return node["values"]
    if kind == "array":
        raw = np.frombuffer(blob[node["at"] : node["end"]], np.dtype(node["dtype"]))
        return raw.reshape(node["shape"])
    return {name: _tree(child, blob) for name, child in node.items()}


READER = Hdf5Reader()
atexit.register(READER.close)
