"""Speed of the memristor tile: the product against its bare matrix products and a plain NumPy tile; programming.

Run with `pytest -m benchmark -s` on an otherwise idle machine; every figure is printed with its limit.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numba
import numpy as np
import pytest
from property import reference_tile

from accelsim.devices import load_device
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.kernels.crossbar import program_tiles
from accelsim.kernels.product import multiply

pytestmark = pytest.mark.benchmark

SIZE, FRAMES, BITS, TILE = 512, 1000, 4, 128
DEVICE = load_device("synaptogen")


def fastest(work: Callable[[], object], repeats: int = 15) -> float:
    """Seconds of the fastest of several runs after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.fixture(scope="module")
def layer():
    generator = np.random.default_rng(0)
    weights = np.rint(np.clip(generator.standard_normal((SIZE, SIZE)) * 2, -7, 7)).astype(int)
    codes = generator.integers(-128, 129, (FRAMES, SIZE)).astype(np.int16)
    return weights, codes, program_tiles(weights, DEVICE.programmer(1), DEVICE.curves(0.6), weight_bits=BITS)


def test_the_product_against_its_bare_matrix_products(layer) -> None:
    """512 x 512, 4-bit weights, 1,000 frames, physical noise: at most 3 times the bare float32 products."""
    _, codes, tiles = layer
    generator = np.random.default_rng(1)
    width, row_tiles = (BITS - 1) * SIZE, SIZE // TILE
    left = [generator.random((FRAMES, TILE), np.float32) for _ in range(2 * row_tiles)]
    right = [generator.random((TILE, width), np.float32) for _ in range(2 * row_tiles)]
    out = np.empty((FRAMES, width), np.float32)

    def bare() -> None:
        for a, b in zip(left, right, strict=True):
            np.matmul(a, b, out=out)

    products = fastest(bare)
    noisy = fastest(lambda: multiply(tiles, codes, seed=1))
    quiet = fastest(lambda: multiply(tiles, codes, noise="off"))
    print(
        f"\n512 x 512, 4-bit, 1,000 frames, {numba.get_num_threads()} threads: bare products {products * 1e3:.1f} ms, "
        f"physical noise {noisy * 1e3:.1f} ms = {noisy / products:.2f} x (at most 3), "
        f"no noise {quiet * 1e3:.1f} ms = {quiet / products:.2f} x"
    )
    assert noisy / products <= 3


def test_the_product_against_noise_per_cell_in_numpy(layer) -> None:
    """The whole noisy product is at least 300 times faster than a vectorised NumPy tile with noise per cell."""
    _, codes, tiles = layer
    seconds = fastest(lambda: multiply(tiles, codes, seed=1)) / FRAMES
    generator = np.random.default_rng(1)
    r = generator.uniform(0.1, 0.9, (2, TILE, TILE))
    frames = 20
    one = fastest(
        lambda: reference_tile.vectorised_product(
            codes[:, :TILE], r[0], r[1], DEVICE.curves(0.6), DacTransfer(), AdcTransfer(), "physical", generator, frames
        ),
        3,
    )
    count = (SIZE // TILE) ** 2 * (BITS - 1)
    plain = one / frames * count
    print(
        f"\nper frame: kernel {seconds * 1e6:.1f} us, NumPy with noise per cell {plain * 1e6:.0f} us "
        f"({count} times one plane and tile): {plain / seconds:.0f} x (at least 300)"
    )
    assert plain / seconds >= 300


def test_programming_a_hundred_million_cells() -> None:
    """Programming 100 M fresh cells takes less than 20 s on two cores; memory stays that of the states."""
    cells, chunk = 100_000_000, 64
    levels = np.random.default_rng(0).integers(0, 2, (chunk, 128, 128)).astype(np.uint8)
    DEVICE.program(levels[:1], np.arange(1), seed=1)
    start, used, done = time.perf_counter(), time.process_time(), 0
    while done < cells:
        DEVICE.program(levels, done // 16_384 + np.arange(chunk), seed=1)
        done += levels.size
    share = cells / done
    wall, processor = (time.perf_counter() - start) * share, (time.process_time() - used) * share
    print(
        f"\n100 M cells on {numba.get_num_threads()} threads: {wall:.1f} s; {processor / 2:.1f} s of processor time "
        "on each of two cores (at most 20; other work on the machine does not count)"
    )
    assert processor / 2 < 20


def test_memory_grows_with_tiles_and_with_frames_but_not_with_their_product(layer) -> None:
    weights, codes, tiles = layer
    wide = program_tiles(np.tile(weights, (1, 2)), DEVICE.programmer(1), DEVICE.curves(0.6), weight_bits=BITS)

    def peak(programmed, frames: int) -> float:
        used = np.tile(codes, (frames // FRAMES, 1))
        tracemalloc.start()
        multiply(programmed, used, seed=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return (found - 8 * frames * programmed.outputs) / 1e6

    figures = {
        (name, frames): peak(t, frames) for name, t in (("512", tiles), ("1024", wide)) for frames in (4000, 16000)
    }
    print("\nMB beside the result:", {key: round(value, 1) for key, value in figures.items()})
    assert figures["1024", 16000] < 1.1 * (figures["512", 16000] + figures["1024", 4000])
