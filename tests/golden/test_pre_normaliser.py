"""Figures about the pre-normaliser of arXiv 2312.10359 that can be derived by hand, and what the kernel makes of them.

Deviations sum to 0, so the largest is half of all absolute ones at the most: |z| <= n/2, sum z^2 <= n^2/2.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from accelsim.kernels.norm import layer_norm
from accelsim.kernels.number import FloatExceptions

N = 512
LARGEST = 65504


def pre_normalised(x: np.ndarray) -> np.ndarray:
    d = x - x.mean()
    return d / np.abs(d).mean()


def norm(x: np.ndarray, form: str, accumulator: str) -> tuple[np.ndarray, FloatExceptions]:
    exceptions, one = FloatExceptions(), np.ones(x.shape[1], np.float32)
    y = layer_norm(x, one, 0 * one, 1e-5, "float16", accumulator=accumulator, form=form, exceptions=exceptions)
    return y, exceptions


def test_a_number_alone_reaches_half_the_width() -> None:
    """(1, 0 ...): mean 1/n, MAD = 2 (n - 1) / n^2, z_0 = (n - 1)/n / MAD = n/2 = 256; the others -n / (2 (n - 1))."""
    z = pre_normalised(np.eye(1, N)[0])
    assert z[0] == pytest.approx(256)
    assert z[1:] == pytest.approx(-512 / 1022)


def test_the_bound_of_the_squares() -> None:
    """(1, -1, 0 ...): MAD = 2/n, so z is n/2 twice and sum z^2 = n^2/2 = 131,072, which float16 does not hold."""
    x = np.zeros(N)
    x[:2] = 1, -1
    assert (pre_normalised(x) ** 2).sum() == 131_072
    # A number alone: n^2/4 + n^2 / (4 (n - 1)) = 65,536 + 128.25, too much as well.
    assert (pre_normalised(np.eye(1, N)[0]) ** 2).sum() == pytest.approx(65_664.25)
    assert LARGEST < 65_664


@pytest.mark.parametrize("accumulator", ["float32", "float16"])
@pytest.mark.parametrize("size", [2.0**-10, 1.0, 100.0, 65504.0])
def test_what_the_kernel_gives_for_both(accumulator: str, size: float) -> None:
    """(1, -1, 0 ...): variance 2/n, so +-sqrt(n/2) = +-16; a number alone sqrt(n - 1) = 22.605, the others -0.04424.

    With float16 sums a mean may be wrong in its last place, which shows in the small numbers beside a large one.
    """
    x = np.zeros((2, N), np.float32)
    x[0, :2], x[1, 0] = (size, -size), size
    y, exceptions = norm(x, "pre_normalised", accumulator)
    assert (exceptions.overflow, exceptions.infinity, exceptions.nan) == (0, 0, 0)
    beside = 1e-4 if accumulator == "float32" else 0.04
    assert y[0, :3] == pytest.approx([16, -16, 0], rel=2e-3, abs=beside)
    assert y[1, 0] == pytest.approx(math.sqrt(N - 1), rel=2e-3)
    assert y[1, 1:] == pytest.approx(-1 / math.sqrt(N - 1), abs=beside)


def test_the_plain_norm_overflows_where_its_variance_does() -> None:
    """+-256 in turn: the variance 65,536 is infinite in float16, so every output is 0; +-255 has 65,025 and gives +-1.

    Held in float16, the sum of n = 512 squares overflows from 12^2 on, for 512 x 144 = 73,728; 512 x 121 = 61,952.
    """
    sign = np.where(np.arange(N) % 2, -1, 1).astype(np.float32)[None]
    for size, accumulator, overflows in (
        (256, "float32", True), (255, "float32", False), (12, "float16", True), (11, "float16", False),
    ):  # fmt: skip
        y, exceptions = norm(size * sign, "plain", accumulator)
        assert (exceptions.overflow > 0) == overflows
        near = 2e-3 if accumulator == "float32" else 0.03  # 512 equal terms, each rounded as it is added
        np.testing.assert_allclose(y, 0 * sign if overflows else sign, rtol=near)
        y, exceptions = norm(size * sign, "pre_normalised", accumulator)
        assert exceptions.overflow == 0
        np.testing.assert_allclose(y, sign, rtol=near)
