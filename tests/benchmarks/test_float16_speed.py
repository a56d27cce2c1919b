"""Speed of the kernels of a float16 NPU and accuracy of its norms, printed with their limits.

Run with `pytest -m benchmark -s` on an otherwise idle machine; seconds are those of the processor, on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numba
import numpy as np
import pytest

from accelsim.kernels.attention import attention, chunks, whole_utterances
from accelsim.kernels.float_product import depthwise_values, product
from accelsim.kernels.norm import layer_norm
from accelsim.kernels.number import FloatExceptions, values_of

pytestmark = pytest.mark.benchmark


@pytest.fixture(autouse=True)
def one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def seconds(work: Callable[[], object]) -> float:
    work()  # compiles
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def drawn(*shape: int, deviation: float = 1.0) -> np.ndarray:
    return values_of(np.random.default_rng(0).normal(0, deviation, shape), "float16")


@pytest.mark.parametrize(("accumulator", "counting", "least"), [
    ("float32", False, 4), ("float32", True, 4), ("float16", False, 0.5), ("float16", True, 0.4),
])  # fmt: skip
def test_products(accumulator: str, counting: bool, least: float) -> None:
    """At least 4 GMAC/s with float32 sums, a tenth of that with float16 ones."""
    for rows, inputs, outputs in ((1000, 512, 2048), (1000, 2048, 512), (1000, 144, 576)):
        x, w = drawn(rows, inputs), drawn(inputs, outputs, deviation=0.05)
        spent = seconds(
            lambda x=x, w=w: product(
                x, w, w[0], "float16", accumulator=accumulator, exceptions=FloatExceptions() if counting else None
            )
        )
        speed = rows * inputs * outputs / spent / 1e9
        print(f"\n{rows} x {inputs} x {outputs}, {accumulator}, counting {counting}: {speed:.2f} GMAC/s, >= {least}")
        assert speed >= least


def test_depthwise() -> None:
    x, w = drawn(1000, 256), drawn(31, 256)
    for accumulator, least in (("float32", 1.5), ("float16", 0.4)):
        spent = seconds(
            lambda how=accumulator: depthwise_values(x, w, None, np.array([0, 1000]), "float16", accumulator=how)
        )
        print(f"\ndepthwise of 31 taps, {accumulator}: {x.size * 31 / spent / 1e9:.2f} GMAC/s, >= {least}")
        assert x.size * 31 / spent / 1e9 >= least


def test_attention_in_chunks() -> None:
    """Rows that see 48 others cost at most a quarter of those that see 600."""
    qkv, starts = drawn(600, 768), np.array([0, 600])
    whole, cut = (
        seconds(lambda spans=spans: attention(qkv, spans, 4, None, "float16"))
        for spans in (whole_utterances(starts), chunks(starts, 16, 32))
    )
    print(f"\n600 rows of 4 heads: whole {whole * 1e3:.2f} ms, in chunks {cut * 1e3:.2f} ms, <= a quarter")
    assert cut <= whole / 4


def test_accuracy_of_both_norms() -> None:
    """Root mean square error against float64, deviation 1: below 1e-3 for both with float32 sums, at any width."""
    for width in (64, 144, 256, 512, 1024, 4096):
        for deviation, offset in ((1, 0), (1, 10), (1, 100), (30, 0), (300, 0), (12000, 0)):
            x = values_of(np.clip(offset + drawn(100, width) * np.float32(deviation), -65504, 65504), "float16")
            d = x.astype(np.float64) - x.mean(axis=1, keepdims=True, dtype=np.float64)
            wanted = d / np.sqrt((d * d).mean(axis=1, keepdims=True) + 1e-5)
            line, one = f"\nn {width}, deviation {deviation}, offset {offset}:", np.ones(width, np.float32)
            for accumulator in ("float32", "float16"):
                for form in ("plain", "pre_normalised"):
                    exceptions = FloatExceptions()
                    y = layer_norm(
                        x, one, 0 * one, 1e-5, "float16", accumulator=accumulator, form=form, exceptions=exceptions
                    )  # fmt: skip
                    error = np.sqrt(np.mean((y - wanted) ** 2))
                    line += f" {form} {accumulator} {error:.1e} ({exceptions.overflow} overflows)"
                    if accumulator == "float32" and (form == "pre_normalised" or (deviation, offset) == (1, 0)):
                        assert error < 1e-3
            print(line, end="")
