"""Conversions of column currents: noise is drawn, codes are rounded and clamped, planes are shifted and added."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.converter_errors import Assigned, misread, misread_smoothly
from accelsim.kernels.converters import OWN_TRANSFER, Adcs, DacTransfer, adc_array, per_adc, transferred
from accelsim.kernels.counter_random import (
    CONVERTER_NOISE_STREAM,
    READ_STREAM,
    normal_pair,
    normals_into,
    philox,
    split_seed,
)
from accelsim.kernels.crossbar import PLANES_PER_TILE, Tiles
from accelsim.kernels.fixed_point import signed_range
from accelsim.kernels.read_noise import NoiseModel

FEWEST_FRAMES = 16
_WIDEST = 512  # bits of a word that no sum of float64 saturates, and whose ends are still such numbers
_MAGIC = 1.5 * 2.0**52  # x + magic - magic rounds to a whole number, halves to even, for |x| < 2^51


@dataclass(frozen=True)
class Product:
    """What a product gives: values float64 [frames, outputs] = sum_i q_ij x_i with x in [-1, 1].

    ``clipped`` int64 [row tiles, planes, column tiles] and ``clipped_per_frame`` int64 [frames]: conversions that did;
    ``saturated_per_frame`` int64 [frames]: additions and registers behind the converters that did, see `Words`.
    """

    values: NDArray[np.float64]
    clipped: NDArray[np.int64]
    clipped_per_frame: NDArray[np.int64]
    saturated_per_frame: NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """The signed words behind the converters of a matrix, whose last place stands for ``step`` weight units.

    ``adder``: bits of the shift-and-add, in which a tile's codes are added one by one, phase after phase, and in a
    phase the planes in ascending order; ``output``: of the register of a tile's sum; ``total``: of the accumulator that
    adds row tiles in ascending order. Each addition saturates, and so does the register.
    """

    step: float
    adder: int
    output: int
    total: int

    def bounds(self, bits: int) -> tuple[float, float]:
        """Return the smallest and largest value of a word of so many bits, in weight units."""
        low, high = signed_range(min(bits, _WIDEST))
        return low * self.step, high * self.step

    def hold(self, adc: Adcs, shape: tuple[int, int, int], cell_bits: int, dac: DacTransfer) -> bool:
        """Return whether every sum fits, whatever the codes: then nothing can saturate.

        A tile's sum reaches sum_phase 2^phase sum_p 2^(p cell_bits) times the largest code of plane p. ``shape``: row
        tiles, planes, column tiles.
        """
        steps, limits = per_adc(adc, shape)
        phases = 1.0 if dac.phases == 1 else (2.0**dac.phases - 1) / dac.largest_code
        weights = phases * 2.0 ** (cell_bits * np.arange(shape[1]))
        of_tile = ((limits / steps) * weights[:, None]).sum(axis=1)
        fits = [of_tile.max() <= self.bounds(bits)[1] for bits in (self.adder, self.output)]
        return all(fits) and bool(of_tile.sum(axis=0).max() <= self.bounds(self.total)[1])


class Conversion:
    """The conversions of one product: settings in front, counts and sums behind."""

    def __init__(
        self,
        tiles: Tiles,
        dac: DacTransfer,
        adc: Adcs,
        noise: NoiseModel,
        seed: int,
        first_frame: int | NDArray[np.int64],
        frames: int,
        words: Words | None,
        errors: Assigned | None = None,
    ) -> None:
        shape = (len(tiles.difference), tiles.planes, tiles.column_tiles)
        self.tiles, self.noisy = tiles, noise != "off"
        counted = first_frame if isinstance(first_frame, np.ndarray) else first_frame + np.arange(frames)
        if counted.shape != (frames,):
            raise ValueError(f"expected the numbers of {frames} frames, found {counted.shape}")
        self.numbers = counted.astype(np.uint64)
        self.steps, self.limits = per_adc(adc, shape)
        self.adcs = adc_array(adc, shape)
        self.scale = 1.0 if dac.phases == 1 else 1.0 / dac.largest_code
        self.key, self.seed_high = split_seed(seed)
        self.values = np.zeros((frames, tiles.outputs))
        self.clipped = np.zeros(shape, np.int64)
        self.per_frame = np.zeros(frames, np.int64)
        self.saturated = np.zeros(frames, np.int64)
        if words is not None and (self.steps <= 0).any():
            raise ValueError("words hold codes: a converter that is ideal, or has a transfer function, gives none")
        if errors is not None and (self.steps <= 0).any():
            raise ValueError("errors are in steps of a code, which an ideal converter, or a transfer function, has not")
        if errors is not None and errors.converter.shape != (*shape[:2], tiles.outputs):
            found, expected = errors.converter.shape, (*shape[:2], tiles.outputs)
            raise ValueError(f"converters of columns {found} do not fit {expected} (row tiles, planes, outputs)")
        self.erring = errors is not None
        self.converter = np.empty((len(self.steps), 0, 0), np.int64) if errors is None else errors.converter
        self.terms = np.empty((len(self.steps), 4, 0, 0)) if errors is None else errors.of_columns()
        self.inl = np.empty((0, 0)) if errors is None else errors.errors.inl
        self.own_noise = 0.0 if errors is None else errors.errors.noise
        self.words = words
        self.bounds = (0.0, 0.0) if words is None else words.bounds(words.adder)
        self.tile = np.zeros((0, tiles.outputs))  # with words, the sums of the present row tile
        # Plain threads, not those of numba: theirs wait busily, and the products' threads do too, so that each
        # change from one to the other would cost more than the work.
        self.threads = numba.get_num_threads()
        self.pool = ThreadPoolExecutor(self.threads)

    def begin_tile(self, frames: int) -> None:
        """Clear the shift-and-add of a row tile for so many frames."""
        if self.words is not None:
            self.tile = np.zeros((frames, self.tiles.outputs))

    def end_tile(self, start: int) -> None:
        """Add the sums of a row tile by way of its output register."""
        if self.words is None:
            return
        part = slice(start, start + len(self.tile))
        kept = np.clip(self.tile, *self.words.bounds(self.words.output))
        wanted = self.values[part] + kept
        np.clip(wanted, *self.words.bounds(self.words.total), out=self.values[part])
        self.saturated[part] += (kept != self.tile).sum(axis=1) + (wanted != self.values[part]).sum(axis=1)

    def convert(
        self,
        k: int,
        phase: int,
        start: int,
        signal: NDArray[np.float64],
        variance: NDArray[np.float32],
        constant: NDArray[np.float64],
        slope_step: float,
    ) -> None:
        tiles = self.tiles
        part = slice(start, start + len(signal))
        weights = 2.0 ** (tiles.cell_bits * np.arange(tiles.planes) + phase) * self.scale
        offset, tile = tiles.sign == "offset", np.uint64(tiles.first_tile + k * tiles.column_tiles)
        values = self.values[part] if self.words is None else self.tile

        def some(frames: slice) -> NDArray[np.int64]:
            found: NDArray[np.int64] = _convert(
                signal[frames], variance[frames], constant[frames].astype(np.float32), np.float32(slope_step),
                self.noisy, offset, self.steps[k], self.limits[k], weights, tiles.tile_columns,
                phase, self.numbers[part][frames], tile,
                self.key, self.seed_high, values[frames], self.per_frame[part][frames],
                self.words is not None, *self.bounds, self.saturated[part][frames],
                self.erring, self.converter[k], self.terms[k], self.inl, self.own_noise,
            )  # fmt: skip
            return found

        share = max(-(-len(signal) // (4 * self.threads)), FEWEST_FRAMES)
        left = [slice(a, min(a + share, len(signal))) for a in range(0, len(signal), share)]
        clipped: list[NDArray[np.int64]] = []

        def work() -> None:
            while left:
                try:
                    frames = left.pop()
                except IndexError:  # another thread took the last one
                    return
                clipped.append(some(frames))

        others = [self.pool.submit(work) for _ in range(min(self.threads, len(left)) - 1)]
        work()
        for other in others:
            other.result()
        self.clipped[k] += sum(clipped)
        for p, m in np.argwhere(self.steps[k] == OWN_TRANSFER):
            self._transfer(k, p, m, part, signal, weights[p])

    def _transfer(self, k: int, p: int, m: int, part: slice, signal: NDArray[np.float64], weight: float) -> None:
        """Convert the columns of one tile and plane by the converter's own function: `_convert` left their currents."""
        tiles = self.tiles
        first = m * tiles.tile_columns
        last = min(first + tiles.tile_columns, tiles.outputs)
        currents = signal[:, p * tiles.outputs + first : p * tiles.outputs + last].copy()
        values, clipped = transferred(self.adcs[k, p, m], currents)
        self.values[part, first:last] += weight * values
        self.clipped[k, p, m] += np.count_nonzero(clipped)
        self.per_frame[part] += clipped.sum(axis=1)

    def product(self) -> Product:
        self.pool.shutdown()
        return Product(self.values, self.clipped, self.per_frame, self.saturated)


@compiled(nogil=True)
def _convert(  # type: ignore[no-untyped-def]
    signal, variance, constant, slope_step, noisy, offset, steps, limits, weights, tile_columns,
    phase, numbers, first_tile, key, seed_high, values, per_frame, saturating, low, high, saturated,
    erring, converter, terms, inl, own_noise,
):  # fmt: skip
    """Draw the noise, scale, round, clamp, count, shift and add one block: signal [frames, columns] -> values += ...

    ``saturating``: every addition is kept within low .. high, and ``saturated`` [frames] counts those that were not.
    Where a converter has a transfer function of its own, the noisy current is left in ``signal`` instead. ``erring``:
    a column has the ``terms`` [4, planes, outputs] and row ``converter`` [planes, outputs] of ``inl``, and noise.
    """
    frames, outputs = values.shape
    planes, column_tiles = steps.shape
    groups = -(-tile_columns // 4)
    clipped = np.zeros((planes, column_tiles), np.int64)
    stream, own_stream = np.uint64(READ_STREAM), np.uint64(CONVERTER_NOISE_STREAM)
    draw_0 = np.uint64(phase * (groups + 1))
    z = np.zeros(4 * groups, np.float32)
    z_own = np.zeros(4 * groups, np.float32)
    total = np.empty(tile_columns, np.float64)
    for t in range(frames):
        frame = numbers[t]
        for m in range(column_tiles):
            first = m * tile_columns
            width = min(tile_columns, outputs - first)
            out = values[t, first : first + width]
            total[:width] = 0.0
            if saturating:
                for j in range(width):
                    total[j] = out[j]
            for p in range(planes):
                tile_plane = (first_tile + np.uint64(m)) * np.uint64(PLANES_PER_TILE) + np.uint64(p)
                column = p * outputs + first
                y = signal[t, column : column + width]
                reference = 0.0
                if offset:
                    n = planes * outputs + p * column_tiles + m
                    reference = signal[t, n]
                    if noisy:
                        w0, w1, _, _ = philox(draw_0 + np.uint64(groups), frame, tile_plane, seed_high, key, stream)
                        spread = max(slope_step * variance[t, n] + constant[t], np.float32(0))
                        reference += np.float64(np.sqrt(spread) * normal_pair(w0, w1)[0])
                if noisy:
                    normals_into(z, groups, draw_0, frame, tile_plane, seed_high, key, stream)
                    noise_into(z, variance[t, column : column + width], slope_step, constant[t], width)
                if erring:
                    if own_noise > 0:
                        normals_into(z_own, groups, draw_0, frame, tile_plane, seed_high, key, own_stream)
                    clamped = err_into(
                        total, y, z, reference, noisy, steps[p, m], limits[p, m], weights[p], width,
                        terms[:, p, first : first + width], inl, converter[p, first : first + width], own_noise, z_own,
                    )  # fmt: skip
                else:
                    clamped = convert_into(total, y, z, reference, noisy, steps[p, m], limits[p, m], weights[p], width)
                clipped[p, m] += clamped
                per_frame[t] += clamped
                if saturating:
                    for j in range(width):
                        kept = min(max(total[j], low), high)
                        saturated[t] += kept != total[j]
                        total[j] = kept
            if saturating:
                for j in range(width):
                    out[j] = total[j]
            else:
                for j in range(width):
                    out[j] += total[j]
    return clipped


@numba.njit(inline="always")
def noise_into(z, variance, slope_step, constant, width):  # type: ignore[no-untyped-def]
    """z <- sqrt(variance) z, both float32."""
    for j in range(width):
        z[j] *= np.sqrt(max(slope_step * variance[j] + constant, np.float32(0)))


@numba.njit(inline="always")
def convert_into(total, signal, noise, reference, noisy, step, limit, weight, width):  # type: ignore[no-untyped-def]
    """total += weight ADC(signal - reference + noise); return how many conversions clipped.

    A step of OWN_TRANSFER: signal <- signal - reference + noise, and nothing is added.
    """
    clamped = 0
    if step <= 0.0:
        for j in range(width):
            y = signal[j] - reference
            if noisy:
                y += np.float64(noise[j])
            if step == 0.0:
                total[j] += weight * y
            else:
                signal[j] = y
        return clamped
    beyond = limit + 1.0
    unit = weight / step
    if noisy:
        for j in range(width):
            x = (signal[j] - reference + np.float64(noise[j])) * step
            rounded = (min(max(x, -beyond), beyond) + _MAGIC) - _MAGIC
            code = min(max(rounded, -limit), limit)
            clamped += code != rounded
            total[j] += unit * code
    else:
        for j in range(width):
            x = (signal[j] - reference) * step
            rounded = (min(max(x, -beyond), beyond) + _MAGIC) - _MAGIC
            code = min(max(rounded, -limit), limit)
            clamped += code != rounded
            total[j] += unit * code
    return clamped


@numba.njit(inline="always")
def err_into(  # type: ignore[no-untyped-def]
    total, signal, noise, reference, noisy, step, limit, weight, width, terms, inl, converter, own_noise, z_own
):
    """As `convert_into`, with the errors of each column's converter, see `accelsim.kernels.converter_errors`."""
    clamped = 0
    beyond, unit = limit + 1.0, weight / step
    steps = np.empty(width, np.float64)
    for j in range(width):
        steps[j] = (signal[j] - reference) * step
    if noisy:
        for j in range(width):
            steps[j] = (signal[j] - reference + np.float64(noise[j])) * step
    gain, offset, bow, s_curve = terms[0], terms[1], terms[2], terms[3]
    if inl.shape[1]:
        for j in range(width):
            c = converter[j]
            steps[j] = misread(steps[j], limit, gain[j], offset[j], bow[j], s_curve[j], inl[c])
    else:
        for j in range(width):
            steps[j] = misread_smoothly(steps[j], limit, gain[j], offset[j], bow[j], s_curve[j])
    if own_noise > 0:
        for j in range(width):
            steps[j] += own_noise * np.float64(z_own[j])
    for j in range(width):
        rounded = (min(max(steps[j], -beyond), beyond) + _MAGIC) - _MAGIC
        code = min(max(rounded, -limit), limit)
        clamped += code != rounded
        total[j] += unit * code
    return clamped
