"""The counter-based generator: published vectors, moments, independence, the same bits on any number of threads."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from scipy import stats

from accelsim.kernels import counter_random

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([ONES] * 4, [ONES] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_answers(counter: list[int], key: list[int], words: str) -> None:
    drawn = counter_random.philox_words(np.array([counter], np.uint64), np.array(key, np.uint64))
    assert " ".join(f"{int(word):08x}" for word in drawn[0]) == words


def test_normals_are_the_exact_transform_of_their_words() -> None:
    count = 4096
    z = counter_random.normals(7, counter_random.READ_STREAM, 5, count)
    groups = count // 4
    counters = np.zeros((groups, 4), np.uint64)
    counters[:, 0] = np.arange(groups)
    counters[:, 2] = 5
    words = counter_random.philox_words(counters, np.array([7, counter_random.READ_STREAM], np.uint64))
    for g in range(0, groups, 7):
        for pair in (0, 1):
            first, second = int(words[g, 2 * pair]), int(words[g, 2 * pair + 1])
            u = ((first >> 1) + 0.5) / 2**31
            place = second & (2**30 - 1)
            angle = math.pi / 4 * (1 + ((place if place < 2**29 else place - 2**30) + 0.5) / 2**29)
            radius = math.sqrt(-2 * math.log(u))
            expected = (1 - 2 * (second >> 30 & 1)) * math.cos(angle), (1 - 2 * (second >> 31)) * math.sin(angle)
            assert z[2 * pair * groups + g] == pytest.approx(radius * expected[0], abs=2e-6)
            assert z[(2 * pair + 1) * groups + g] == pytest.approx(radius * expected[1], abs=2e-6)


def test_normals_are_standard_and_independent() -> None:
    # 2^20 draws: bounds are 4.5 standard errors (a false alarm in 150,000 runs each).
    count = 1 << 20
    z = counter_random.normals(11, counter_random.READ_STREAM, 0, count).astype(np.float64)
    for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0), (6, 15.0)):
        error = math.sqrt((stats.norm.moment(2 * power) - expected**2) / count)
        assert (z**power).mean() == pytest.approx(expected, abs=4.5 * error)
    assert stats.kstest(z[: 1 << 18], "norm").pvalue > 1e-5
    quarters = z.reshape(-1, 4, 1024).transpose(1, 0, 2).reshape(4, -1)  # the four words of every counter
    for values in (quarters, quarters**2, np.abs(quarters)):
        correlation = np.corrcoef(values)[np.triu_indices(4, 1)]
        assert np.abs(correlation).max() < 4.5 / math.sqrt(quarters.shape[1])
    neighbours = np.corrcoef(z[:-1], z[1:])[0, 1]
    assert abs(neighbours) < 4.5 / math.sqrt(count)


def test_the_same_bits_on_any_number_of_threads() -> None:
    before = numba.get_num_threads()
    many = counter_random.normals(3, 1, 2, 20_000)
    try:
        numba.set_num_threads(1)
        one = counter_random.normals(3, 1, 2, 20_000)
    finally:
        numba.set_num_threads(before)
    assert many.tobytes() == one.tobytes()
    assert many[:100].tobytes() == counter_random.normals(3, 1, 2, 100)[:100].tobytes()


def test_another_seed_stream_or_array_is_another_draw() -> None:
    drawn = [counter_random.normals(*key, 64) for key in ((1, 1, 1), (2, 1, 1), (1 << 32, 1, 1), (1, 2, 1), (1, 1, 2))]
    assert len({values.tobytes() for values in drawn}) == 5


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"a seed must be a whole number from 0 to 2\^64 - 1, found"):
        counter_random.split_seed(seed)
