"""Machine code of kernels on disk, which is stale as soon as any source that it may hold has changed.

A kernel holds the code of the helpers that it calls, those of other files too. Numba's own cache (``cache=True``) looks
at the file of the kernel alone: with a warm cache a changed helper would give the old bits.

**Time to compile.** It is most of a first run. Large kernels copy arrays in loops: with the assignment of a slice, or
with ``np.concatenate``, the texts of its errors are compiled, a second each. A literal 0 has a type to itself, so that
a helper that takes it is compiled once more; ``np.int64(0)`` has not.
"""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher
from numba.core.event import Event, Listener, install_listener

_KERNELS = Path(__file__).parent
_SEAL = hashlib.sha256().digest_size


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function as ``numba.njit(**options)`` does, and keep its machine code on disk.

    The code is taken again while the versions of numba and NumPy, the name of the function's module, and every Python
    file in this folder and in the folder of the function are the same. A plug-in's kernels may call helpers of both
    folders. Where code is kept is numba's choice: beside the source, else in the user's cache, or in
    ``NUMBA_CACHE_DIR``; if it can write to none of them, the function is compiled in every process.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(**options)(function)
        if isinstance(kernel, Dispatcher):  # not with NUMBA_DISABLE_JIT
            try:
                kernel._cache = _Cache(function)  # type: ignore[attr-defined]
            except RuntimeError:  # no folder to write to
                return kernel
        return kernel

    return decorate


class Compiling(Listener):
    """What is compiled while `watched` looks on: how many ``functions`` are done, and the ``seconds`` that they took.

    A kernel is compiled with the functions that it calls, NumPy's too; each of them is counted.
    """

    def __init__(self, tell: Callable[[str | None, int], None]) -> None:
        self.functions, self.seconds = 0, 0.0
        self._tell = tell
        self._depth, self._kernel, self._begun = 0, "", 0.0

    def on_start(self, event: Event) -> None:
        if not self._depth:
            self._kernel, self._begun = event.data["dispatcher"].py_func.__name__.lstrip("_"), time.perf_counter()
        self._depth += 1
        self._tell(self._kernel, self.functions)

    def on_end(self, event: Event) -> None:
        self._depth -= 1
        self.functions += 1
        if not self._depth:
            self.seconds += time.perf_counter() - self._begun
        self._tell(self._kernel if self._depth else None, self.functions)


@contextmanager
def watched(tell: Callable[[str | None, int], None] = lambda kernel, functions: None) -> Iterator[Compiling]:
    """Give what is compiled within; ``tell``: called with the kernel at work, None when none is, and with how many
    functions are done. Kernels that are taken from the disk are not among them.
    """
    with install_listener("numba:compile", Compiling(tell)) as compiling:
        yield compiling


@cache
def _digest(folder: Path) -> str:
    """Return SHA-256 over names and contents of all Python files in a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.name} {len(content)} ".encode() + content)
    return found.hexdigest()


class _Cache(FunctionCache):
    """Numba's cache of a function, but with files that know all sources."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        own = self._impl.locator.get_source_stamp()  # a cell of a notebook lies in no folder
        folder = Path(function.__code__.co_filename).parent
        # Machine code looks its module up by name, and a plug-in's file may be installed or loaded by its path.
        module = function.__module__
        stamp = (numba.__version__, np.__version__, own, module, _digest(_KERNELS), _digest(folder))
        self._cache_file = _CodeFiles(self._cache_path, self._impl.filename_base, stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            return  # a full or read-only disk: the next process compiles once more


class _CodeFiles(IndexDataCacheFile):
    """One file per signature, which holds the key and the machine code, and a digest of them and of their sources.

    Numba has an index beside the code, written one after the other. Two processes with other sources or signatures
    could leave the index of one with the code of the other. A single file is replaced whole. What cannot be read, or is
    damaged, is compiled anew; what cannot be written is compiled in every process.
    """

    def save(self, key: Any, code: Any) -> None:
        content = self._dump((key, code))
        with self._open_for_write(self._data_path(self._name(key))) as file:
            file.write(self._seal(content) + content)

    def load(self, key: Any) -> Any:
        try:
            found = Path(self._data_path(self._name(key))).read_bytes()
        except OSError:
            return None
        seal, content = found[:_SEAL], found[_SEAL:]
        if seal != self._seal(content):
            return None
        kept, code = pickle.loads(content)
        return code if kept == key else None

    def _seal(self, content: bytes) -> bytes:
        return hashlib.sha256(repr(self._source_stamp).encode() + content).digest()

    def flush(self) -> None:
        for path in Path(self._cache_path).glob(self._data_name_pattern.replace("{number:d}", "*")):
            path.unlink(missing_ok=True)

    def _name(self, key: Any) -> str:
        signature, processor, _ = key  # the rest is the function's bytecode: its newest code takes the file
        return self._data_name(int(hashlib.sha256(repr((signature, processor)).encode()).hexdigest()[:16], 16))
