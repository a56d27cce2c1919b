"""Every function whose machine code is kept on disk is made again when any code that it holds has changed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import accelsim.kernels
from accelsim.kernels.compile import _Cache

# Whatever else of the package calls numba; test_nothing_else_uses_numba finds what is missing.
OUTSIDE = ("accelsim.score.ctc", "accelsim.score.viterbi")


def kernel_modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(accelsim.kernels.__path__, "accelsim.kernels.")]


def compiled_here(name: str) -> Iterator[Dispatcher]:
    """Yield the functions of a module that are compiled, without those that it imports."""
    for value in vars(importlib.import_module(name)).values():
        if isinstance(value, Dispatcher) and value.py_func.__module__ == name:
            yield value


def is_kept(function: Dispatcher) -> bool:
    return not isinstance(function._cache, NullCache)


@pytest.mark.parametrize("name", kernel_modules())
def test_kernels_on_disk_know_all_sources(name):
    for function in compiled_here(name):
        assert not is_kept(function) or isinstance(function._cache, _Cache), (
            f"{function.py_func.__qualname__}: @compiled() of accelsim.kernels.compile in place of cache=True"
        )


def test_kernels_are_kept():
    assert sum(is_kept(f) for name in kernel_modules() for f in compiled_here(name)) >= 27


@pytest.mark.parametrize("name", OUTSIDE)
def test_numbas_own_cache_serves_where_all_code_is_of_one_file(name):
    for function in filter(is_kept, compiled_here(name)):
        called = inspect.getclosurevars(function.py_func).globals.values()
        strange = [f.py_func.__qualname__ for f in called if isinstance(f, Dispatcher) and f.py_func.__module__ != name]
        assert not strange, f"{function.py_func.__qualname__} holds code of other files: {strange}"


def test_nothing_else_uses_numba():
    root = Path(accelsim.__file__).parent
    users = {".".join(p.relative_to(root.parent).with_suffix("").parts) for p in root.rglob("*.py") if is_user(p)}
    assert users <= {*kernel_modules(), *OUTSIDE}


def is_user(path: Path) -> bool:
    return re.search(r"^(import|from) numba\b", path.read_text(encoding="utf-8"), re.MULTILINE) is not None
