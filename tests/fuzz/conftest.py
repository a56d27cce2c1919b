"""Warm processes for all tests of a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from harness import Fuzzer


@pytest.fixture(scope="session")
def fuzzer() -> Iterator[Fuzzer]:
    """Yield the warm process that runs cases."""
    with Fuzzer() as one:
        yield one


@pytest.fixture(scope="session")
def fuzzers(fuzzer: Fuzzer) -> Iterator[list[Fuzzer]]:
    """Yield the process and a second one where there is a core for it."""
    with ExitStack() as stack:
        yield [fuzzer, *(stack.enter_context(Fuzzer()) for _ in range(min(2, len(os.sched_getaffinity(0))) - 1))]
