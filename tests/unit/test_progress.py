"""What long work tells of itself: kernels that are compiled, how much of which stage is done."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numba
import numpy as np
from chips import write_random_network
from numba import njit

import accelsim
from accelsim.kernels.compile import watched
from accelsim.pipeline import _compilation_told

Told = list[tuple[str, int | None, int | None]]


def fresh_kernel() -> Any:
    """Return a function that no process has compiled before, with a helper of its own."""

    @njit
    def _helper(x: float) -> float:
        return x + 1

    @njit
    def _kernel(x: float) -> float:
        return 2 * _helper(x)

    return _kernel


def test_kernels_are_told_while_they_are_compiled_and_then_what_goes_on_again() -> None:
    told: Told = []
    kernel = fresh_kernel()
    with _compilation_told(lambda *stage: told.append(stage)) as tell:
        tell("values of fc", 3, 4)
        assert kernel(1.0) == 4.0
        assert kernel(2.0) == 6.0
    assert told[0] == ("values of fc", 3, 4)
    wanted = [f"compiling kernels (once per machine): kernel, {done} functions done" for done in (0, 0, 1)]
    assert [stage for stage, *_ in told[1:-1]] == wanted
    assert told[-1] == ("values of fc", 3, 4), "said once more, and nothing for what is compiled already"


def test_what_is_compiled_is_counted_and_timed() -> None:
    kernel = fresh_kernel()
    with watched() as compiling:
        kernel(1.0)
        first = compiling.functions, compiling.seconds
        kernel(2.0)
    kernel(1)  # of other arguments, when nobody looks any more
    assert first == (2, compiling.seconds) and 0 < compiling.seconds
    assert compiling.functions == (0 if numba.config.DISABLE_JIT else 2)
