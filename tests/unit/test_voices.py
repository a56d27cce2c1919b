"""The script that makes wake words: what it writes is what a workload's inputs read."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from accelsim import library
from accelsim.data.recordings import read_recordings

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng (apt install espeak-ng)")


def make(folder, *options):
    script = library.root() / "workloads" / "wake_word" / "voices.py"
    command = [sys.executable, script, "Okay Nabu", "--positives", "2", "--others", "1", "--out", folder, *options]
    subprocess.run(command, check=True, capture_output=True)
    return read_recordings(folder)


def test_the_same_seed_says_the_same_with_silence_around_it(tmp_path):
    made, again, other = (make(tmp_path / n, "--seed", s) for n, s in (("a", "1"), ("b", "1"), ("c", "2")))
    assert [one.text for one in made[:2]] == ["okay nabu"] * 2 and made[2].text not in (None, "okay nabu")
    assert all(np.array_equal(one.audio, two.audio) for one, two in zip(made, again, strict=True))
    assert not all(len(one.audio) == len(two.audio) for one, two in zip(made, other, strict=True))
    for one in made:
        assert not one.audio[:8000].any() and not one.audio[-8000:].any() and 0.09 < np.abs(one.audio).max() <= 0.5
