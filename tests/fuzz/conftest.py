"""One warm process for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import Fuzzer


@pytest.fixture(scope="session")
def fuzzer() -> Iterator[Fuzzer]:
    """Yield the warm process that runs cases."""
    with Fuzzer() as one:
        yield one
