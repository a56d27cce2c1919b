"""Pooling over neighbouring rows and bands."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.conv import Starts, maximum, pooled_rows
from accelsim.kernels.float_product import average
from accelsim.kernels.number import Number, Values
from accelsim.kernels.requantise import Scaling
from accelsim.ops import plain, plain_integer
from accelsim.ops.conv import Pair
from accelsim.ops.op import OPS, Datapath, Edge, Quantisation, QuantisedVectorOp, Signal, Work


class _PoolOp(QuantisedVectorOp):
    """Every ``size`` rows and bands become one, what is left over at the ends dropped."""

    over_frames: ClassVar[bool] = True
    input: str
    size: Pair
    takes_what: ClassVar[str]
    """What of the bands it takes, for messages."""

    def shape(self, read: Sequence[Edge]) -> Edge:
        if read[0].bands < self.size[1]:
            raise ValueError(f"it takes the {self.takes_what} of {self.size[1]} bands, found {read[0].bands}")
        bands = read[0].bands // self.size[1]
        return Edge(bands * read[0].channels, bands, read[0].stride * self.size[0])

    def starts(self, read: Sequence[Signal]) -> Starts:
        return np.concatenate([[0], np.cumsum(np.diff(read[0].starts) // self.size[0])]).astype(np.int64)

    @abstractmethod
    def pool(self, bands: Values, starts: Starts, unit: Datapath) -> tuple[Values, Starts]:
        """Return the pooled values of [rows, bands, channels], and the starts of the new rows."""

    def values(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x = unit.real(read[0])
        pooled, starts = self.pool(x.reshape(len(x), read[0].edge.bands, -1), read[0].starts, unit)
        self._check_length(pooled)
        return pooled.reshape(len(pooled), -1), starts

    def _check_length(self, pooled: NDArray[Any]) -> None:
        if not len(pooled):
            raise ValueError(f"it takes {self.size[0]} rows for one of its own: no utterance is so long")

    def read_for_each(self) -> int:
        return self.size[0] * self.size[1]

    def check_integers(self, read: Sequence[Edge], output: Quantisation) -> None:
        edge, zero = read[0], read[0].zero_point - (1 << (read[0].bits - 1) if read[0].unsigned else 0)
        has, gives = (
            (edge.bits, float(np.float32(edge.scale)), zero),
            (output.bits, float(np.float32(output.scale)), output.zero_point),
        )
        if has != gives:
            raise ValueError(
                f"codes are pooled as they are, of {has[0]} bits, scale {has[1]:g} and zero point {has[2]}; the output "
                f"has {gives[0]} bits, {gives[1]:g} and {gives[2]}: an op 'quantise' changes them"
            )

    def integer_work(self, read: Sequence[Edge]) -> Work:
        return self.real_work(read)

    def grouped(self, read: Signal) -> NDArray[Any]:
        """Return the codes that each new value pools, [rows', size[0], bands', size[1], channels]."""
        codes, _ = read.codes()
        rows, bands = self.size
        kept = read.edge.bands // bands * bands
        x = codes.reshape(len(codes), read.edge.bands, -1)[:, :kept]
        places, _ = pooled_rows(read.starts, len(x), rows)
        self._check_length(places)
        return x[places].reshape(len(places), rows, kept // bands, bands, x.shape[2])

    def groups(self, x: NDArray[Any], read: Signal) -> NDArray[Any]:
        """Return in plain NumPy what each new value pools, [rows', bands', channels, size[0] size[1]]: rows, bands."""
        (rows, bands), starts = self.size, read.starts.tolist()
        x = x.reshape(len(x), read.edge.bands, -1)
        kept = [x[a : a + (b - a) // rows * rows] for a, b in pairwise(starts)]
        whole = np.concatenate(kept)[:, : x.shape[1] // bands * bands]
        cut = whole.reshape(len(whole) // rows, rows, whole.shape[1] // bands, bands, -1)
        return cut.transpose(0, 2, 4, 1, 3).reshape(len(cut), cut.shape[2], cut.shape[4], rows * bands)


class MaxPoolOp(_PoolOp):
    """y[t, b] = max x[m t + i, n b + k] over i < m, k < n, channel by channel, ``size`` = [m, n].

    What is left over at the ends is dropped. With an ``output``, of the same scale and zero point, it gives the largest
    code.
    """

    op: Literal["max_pool"]
    takes_what = "largest"

    def real_work(self, read: Sequence[Edge]) -> Work:
        return Work(self.size[0] * self.size[1] - 1)

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        largest = self.grouped(read[0]).max(axis=(1, 3))
        return np.clip(largest.reshape(len(largest), -1), *output.limits())

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        pooled = self.groups(plain_integer.centred(read[0]), read[0]).max(axis=-1)
        return plain_integer.clamped(pooled.reshape(len(pooled), -1), output)

    def pool(self, bands: Values, starts: Starts, unit: Datapath) -> tuple[Values, Starts]:
        return maximum(bands, starts, (self.size[0], self.size[1]))

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        pooled = self.groups(plain.real(read[0], number), read[0]).max(axis=-1)
        return np.asarray(pooled.reshape(len(pooled), -1))


class AvgPoolOp(_PoolOp):
    """y[t, b] = sum x[m t + i, n b + k] / (m n) over i < m, k < n, channel by channel, ``size`` = [m, n].

    What is left over at the ends is dropped. The sum is a float32 one, rows ascending and bands within, and the
    quotient is rounded once. With an ``output``, of the same scale and zero point, it is the mean of the codes, halves
    away from 0.
    """

    op: Literal["avg_pool"]
    takes_what = "mean"

    def spread_of(self, read: Sequence[float]) -> float:
        return read[0] / (self.size[0] * self.size[1]) ** 0.5

    def real_work(self, read: Sequence[Edge]) -> Work:
        return Work(self.size[0] * self.size[1] - 1, 1)  # the quotient

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        sums, count = self.grouped(read[0]).sum(axis=(1, 3), dtype=np.int64), self.size[0] * self.size[1]
        means = np.where(sums > 0, (sums + count // 2) // count, -((count // 2 - sums) // count))
        return np.clip(means.reshape(len(means), -1), *output.limits()).astype(output.word())

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        codes = plain_integer.centred(read[0]) + output.zero_point
        sums = plain.total(self.groups(codes, read[0]), axis=-1)
        double, count = 2 * np.abs(sums), self.size[0] * self.size[1]  # |mean| to the nearest, halves up
        means = np.sign(sums) * ((double + count) // (2 * count))
        return plain_integer.clamped(means.reshape(len(means), -1) - output.zero_point, output)

    def pool(self, bands: Values, starts: Starts, unit: Datapath) -> tuple[Values, Starts]:
        size = self.size[0], self.size[1]
        return average(bands, starts, size, unit.vector.number, exceptions=unit.exceptions_of(self))

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            sums = plain.total(self.groups(plain.real(read[0], number), read[0]), axis=-1)
            pooled = plain.rounded(sums / np.float32(self.size[0] * self.size[1]), number)
        return pooled.reshape(len(pooled), -1)


class MeanOp(AvgPoolOp):
    """y[t, b] = sum x[m t + i, n b + k] / (m n) over i < m, k < n, channel by channel, as `AvgPoolOp` of real numbers.

    With an ``output``, of any scale, it makes a code of the sum S of N = m n codes: with M = m' 2^(s - 31) = s_in /
    s_out, m' and s as in `accelsim.kernels.requantise`,

        y = clamp(z + round(floor(2^k m' / N) 2^(s - k - 31) S (q - z_in))), k = floor(log2 N)

    halves away from 0 in both of its roundings, as TensorFlow Lite Micro and LiteRT's general kernel have it. With
    ``centred: false``, as LiteRT has it of a map whose dimensions are kept, y = clamp(z - round(z_in M) + round(M / N S
    q)). With ``rounding: single`` y = clamp(rint(f S q + (z - N z_in f))) in float32, f = M / N, as XNNPACK has it.
    All observed in ai-edge-litert 2.3.0 and tflite-micro 0.dev20261023.
    """

    op: Literal["mean"]  # type: ignore[assignment]
    centred: bool = True

    def check_integers(self, read: Sequence[Edge], output: Quantisation) -> None:
        pass

    def integer_work(self, read: Sequence[Edge]) -> Work:
        return Work(self.size[0] * self.size[1] - 1 + 4)  # N z, product, rounding shift, z

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        sums, count = self.grouped(read[0]).sum(axis=(1, 3), dtype=np.int64), self.size[0] * self.size[1]
        zero, scale = read[0].codes()[1], np.float32(read[0].edge.scale)
        given = np.float32(output.scale)
        sums = sums.reshape(len(sums), -1)
        if self.how() == "single":
            factor = np.float32(float(scale) / float(given) / count)
            offset = np.float32(output.zero_point) - np.float32(count * zero) * factor
            words = np.rint(sums.astype(np.float32) * factor + offset).astype(np.int64) - output.zero_point
        elif self.centred:
            words = Scaling.quotient(float(scale), float(given), count)(sums - count * zero)
        else:
            words = Scaling.of(float(scale) / (count * float(given)), "double_away")(sums)
            shift = zero * float(scale) / float(given)
            words -= int(math.copysign(math.floor(abs(shift) + 0.5), shift))
        return unit.requantised(self, words, Scaling.of(1.0, "double_away"), output)

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        count, zero = self.size[0] * self.size[1], read[0].edge.zero_point
        zero -= 128 if read[0].edge.unsigned else 0
        centred = plain.total(self.groups(plain_integer.centred(read[0]), read[0]), axis=-1)
        centred = centred.reshape(len(centred), -1)
        scale, given = np.float32(read[0].edge.scale), np.float32(output.scale)
        if self.how() == "single":
            narrow = np.float32(float(scale) / float(given) / count)
            begin = np.float32(output.zero_point) - narrow * np.float32(count * zero)
            codes = (begin + (centred + count * zero).astype(np.float32) * narrow).round().astype(np.int64)
            return plain_integer.clamped(codes - output.zero_point, output)
        if not self.centred:
            words = plain_integer.scaled(
                centred + count * zero, float(scale) / (count * float(given)), "double_away"
            )  # fmt: skip
            exact = Fraction(float(scale)) / Fraction(float(given)) * abs(zero)
            shift = int(exact + Fraction(1, 2)) * (1 if zero > 0 else -1)
            return plain_integer.clamped(words - shift, output)
        m, s = plain_integer.factor(float(scale) / float(given))
        more = min(len(bin(count)) - 3, 32, 31 + s)
        high = (centred * 2 ** max(s - more, 0) * (m * 2**more // count) + 2**30) // 2**31
        power = 2 ** max(more - s, 0)
        words = high if power == 1 else np.sign(high) * ((np.abs(high) + power // 2) // power)
        return plain_integer.clamped(words, output)


OPS.register("max_pool", MaxPoolOp)
OPS.register("mean", MeanOp)
OPS.register("avg_pool", AvgPoolOp)
