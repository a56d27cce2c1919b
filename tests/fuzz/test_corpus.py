"""Every input that once broke something, again."""

from __future__ import annotations

import pytest
from harness import Fuzzer, kept, kinds, load


@pytest.mark.parametrize("folder", kept(), ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_an_input_that_once_failed_ends_well(fuzzer: Fuzzer, folder):
    kind = kinds().get(folder.parent.name)
    if kind is not None:
        fuzzer.warm(kind)
    _, faults = fuzzer.run(load(folder))
    assert not faults, "\n".join(faults)
