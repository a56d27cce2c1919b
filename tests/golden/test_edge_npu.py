"""What arXiv 2312.10359 lets one derive, from counted work: the share of subsampling, whole and divided."""

from __future__ import annotations

import pytest
from graphs import chip

from accelsim.engines.deploy import deploy
from accelsim.workload import load_workload


def macs(name: str) -> dict[str, int]:
    """Return the multiplications of a chunk by layer, as the steps of the NPU's schedule have them."""
    workload = load_workload(name)
    schedule = deploy(workload, chip({}, "edge_npu")).schedule
    found: dict[str, int] = {}
    for job in schedule.jobs:
        if "m" in job.work.row():
            m, k, n, times = (int(job.work.row()[key]) for key in ("m", "k", "n", "times"))
            found[job.layer] = found.get(job.layer, 0) + m * k * n * times
    return found


def subsampling(work: dict[str, int]) -> int:
    return sum(count for layer, count in work.items() if layer.startswith("front.convs"))


def test_share_of_subsampling() -> None:
    """32.8 % of the undivided network's work, 4.0 % of it when the second convolution is divided; C = 384, d = 384.

    For an output frame, 80 bands: the first convolution makes 2 rows of 40 bands, 9 C each: 276,480. The second one, 20
    bands, 9 C^2 each: 26,542,080; divided, 9 C + C^2 each: 3,018,240. A block has 23 d^2 + 15 d products with weights
    (twice 8 d^2, 3 d^2, 4 d^2, the convolution over 15 frames) and 255 d of attention (80 keys twice, 95 distances);
    the linear layer has 20 C d, the outputs 79 d. With 15 blocks 82,225,536 in all.
    """
    c = d = 384
    first, second, divided = 2 * 40 * 9 * c, 20 * 9 * c * c, 20 * (9 * c + c * c)
    rest = 20 * c * d + 15 * (23 * d * d + 15 * d + 255 * d) + 79 * d
    assert (first, second, divided, first + second + rest) == (276_480, 26_542_080, 3_018_240, 82_225_536)
    vanilla, separable = macs("conformer_stream_384"), macs("conformer_stream_384/separable")
    chunk = 16
    assert sum(vanilla.values()) == chunk * (first + second + rest)
    assert sum(separable.values()) == chunk * (first + divided + rest)
    assert subsampling(vanilla) / sum(vanilla.values()) == pytest.approx(0.328, abs=0.003)
    assert subsampling(separable) / sum(vanilla.values()) == pytest.approx(0.040, abs=0.0005)
