"""Reads HDF5 files in a process of its own; run as a script, so that it imports nothing of accelsim.

The HDF5 library loops, crashes or fills the memory on damaged files. This process may use so much memory and no more,
and the one that waits for it ends it after a while. For each line of its input, ``[path, largest]`` in JSON, it answers
with a line of JSON and the bytes of the arrays behind it. Plain numbers and text alone go over, nothing that could run.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, BinaryIO

MEMORY = 1 << 30
"""Bytes of address space that the process may have beyond what it has when it starts."""
SECONDS = 8
"""CPU time that a file may take."""
DEEPEST = 12
MOST_ITEMS = 50_000


def serve(lines: BinaryIO, out: BinaryIO) -> None:
    """Answer requests until there are no more."""
    limit()
    for line in lines:
        path, largest = json.loads(line)
        limit_time()
        try:
            tree, blob = read(path, largest)
            answer: dict[str, Any] = {"tree": tree, "bytes": len(blob)}
        except Exception as error:  # whatever HDF5 makes of a damaged file
            answer, blob = {"error": reason(error)}, b""
        out.write(json.dumps(answer).encode() + b"\n" + blob)
        out.flush()


def limit() -> None:
    """Limit the memory of this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    import h5py  # noqa: F401  what libraries reserve for themselves comes first

    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY // 2, now + MEMORY // 2))


def limit_time() -> None:
    """Let the system end this process when the next file takes too long, where it can."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    soon = int(time.process_time()) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soon if most == resource.RLIM_INFINITY else min(soon, most), most))


def reason(error: Exception) -> str:
    """Return what a library says of a file, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


class Reader:
    """Collects the groups of a file as a tree of JSON, and the bytes of its arrays."""

    def __init__(self, largest: int) -> None:
        self.left, self.items, self.blob = largest, 0, bytearray()

    def group(self, group: Any, depth: int = 0) -> dict[str, Any]:
        import h5py

        if depth > DEEPEST:
            raise ValueError(f"groups within groups, more than {DEEPEST}")
        found = {}
        for name in group:
            self.items += 1
            if self.items > MOST_ITEMS:
                raise ValueError(f"more than {MOST_ITEMS:,} items")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"'{name}' is a link to elsewhere")
            item = group[name]
            if isinstance(item, h5py.Group):
                found[name] = self.group(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                found[name] = self.dataset(name, item)
            else:
                raise ValueError(f"'{name}' is neither a group nor an array")
        return found

    def dataset(self, name: str, item: Any) -> dict[str, Any]:
        import h5py
        import numpy as np

        text = h5py.check_string_dtype(item.dtype) is not None
        if item.shape is None or not (text or item.dtype.kind in "biuf"):
            raise ValueError(f"'{name}' holds {item.dtype}, neither numbers nor text")
        if item.is_virtual or item.external:
            raise ValueError(f"'{name}' lies in another file")
        each = max(item.dtype.itemsize, 1)
        sizes = [np.prod(shape, dtype=float) * each for shape in (item.shape, item.chunks or ())]
        if max(sizes) > self.left:
            raise ValueError(f"'{name}' has {max(sizes):,.0f} bytes, more than are read")
        self.left -= int(sizes[0])
        values = item[()]
        if text:
            texts = np.vectorize(_text, otypes=[object])(values).tolist() if np.ndim(values) else _text(values)
            return {"": "text", "values": texts}
        array = np.asarray(values)
        start = len(self.blob)
        self.blob += array.astype(array.dtype.newbyteorder("<")).tobytes()
        kind = array.dtype.newbyteorder("<").str
        return {"": "array", "dtype": kind, "shape": list(array.shape), "at": start, "end": len(self.blob)}


def _text(value: Any) -> str:
    text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    if len(text) > 10_000:
        raise ValueError(f"a text of {len(text):,} characters")
    return text


def read(path: str, largest: int) -> tuple[dict[str, Any], bytes]:
    """Return the tree of a file's groups and the bytes of its arrays."""
    import h5py

    reader = Reader(largest)
    with h5py.File(path, "r") as file:
        tree = reader.group(file)
    return tree, bytes(reader.blob)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
