"""The integer front end of TensorFlow Lite Micro: samples in, 16-bit features out, equal to the bit.

A window of samples, a fixed-point spectrum, triangular filters on the mel scale, their square roots; then noise
reduction, per-channel amplitude normalisation (PCAN, Wang et al. 2017) and a logarithm. All of it is integers; the
tables that it needs are computed here, in float32 where the C code computes in float, by their rules.

Source: tensorflow/tflite-micro, tensorflow/lite/experimental/microfrontend/lib (Apache-2.0) and the fixed-point
KISS FFT that it calls (BSD-3-Clause), read for facts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled

WINDOW_BITS = 12
FILTER_BITS = 12
NOISE_BITS = 14
SNR_BITS = 12
PCAN_BITS = 6
LOG_BITS = 16
LOG_SEGMENTS = 128

# log2(1 + x) - x at x = k / 128, in 2^-16, rounded; a zero behind its end.
LOG_TABLE = np.array(
    [*(math.floor((math.log2(1 + k / LOG_SEGMENTS) - k / LOG_SEGMENTS) * 2**LOG_BITS + 0.5) for k in range(129)), 0]
).astype(np.int64)
LN_2 = math.floor(math.log(2) * 2**LOG_BITS + 0.5)

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Tables:
    """What the front end looks up, int64 arrays all.

    window: [samples]; twiddles: cosine and sine of each step of the complex transform, [points, 2]; last_twiddles:
    those that make it one of real samples, [points / 2, 2]; order: where each point comes from, [points]; radices: of
    the stages, outermost first. first, last: bins that filters reach; channel: the rising filter of each of these bins;
    weights, unweights: what a bin adds to this filter's sum and to the next one's, [last - first]. gains: of PCAN,
    [126], or nothing without it.
    """

    window: Integers
    twiddles: Integers
    last_twiddles: Integers
    order: Integers
    radices: Integers
    first: int
    channel: Integers
    weights: Integers
    unweights: Integers
    gains: Integers


@dataclass(frozen=True)
class Scales:
    """Fixed-point settings: smoothing (even and odd channels) and the least remaining signal in 2^-14, shifts."""

    channels: int
    hop: int
    smoothing_bits: int
    even_smoothing: int
    odd_smoothing: int
    least_signal: int
    snr_shift: int
    correction_bits: int
    output_shift: int


def window_table(samples: int) -> Integers:
    """Return a Hann window in 2^-12: floor(2^12 (1/2 - cos(2 pi (i + 1/2) / samples) / 2) + 1/2), int64 [samples].

    All in float32, as today's builds of the front end have it; with a cosine in float64 a coefficient of 480 differs.
    """
    f32 = np.float32
    step = f32(2 * math.pi / samples)
    angles = (f32(step * f32(i + 0.5)) for i in range(samples))
    values = (f32(0.5) - f32(0.5) * f32(math.cos(float(angle))) for angle in angles)
    return np.array([math.floor(f32(value * f32(2**WINDOW_BITS)) + f32(0.5)) for value in values])


def transform_tables(size: int) -> tuple[Integers, Integers, Integers, Integers]:
    """Return twiddles, last twiddles, order and radices of a transform of ``size`` real samples, see `Tables`."""
    points = size // 2
    radices = []
    rest = points
    while rest > 1:
        radix = 4 if rest % 4 == 0 else 2
        radices.append(radix)
        rest //= radix
    order = np.arange(points)

    def placed(places: Integers, level: int) -> Integers:
        if level == len(radices):
            return places
        return np.concatenate([placed(places[q :: radices[level]], level + 1) for q in range(radices[level])])

    def turns(phases: list[float]) -> Integers:
        return np.array([[math.floor(0.5 + 32767 * f(phase)) for f in (math.cos, math.sin)] for phase in phases])

    return (
        turns([-2 * math.pi * i / points for i in range(points)]),
        turns([-math.pi * ((i + 1) / points + 0.5) for i in range(points // 2)]),
        placed(order, 0),
        np.array(radices),
    )


# (log1p(f) - f + f^2 / 2) as a polynomial of (f / (2 + f))^2, and ln 2 in two parts.
_LOG1P = (0.66666668653, 0.40000000596, 0.28571429849, 0.22222198546, 0.18183572590, 0.15313838422, 0.14798198640)
_LN_2_HIGH, _LN_2_LOW = 6.9313812256e-01, 9.0580006145e-06


def log1p_float(x: Any) -> np.float32:
    """Return ln(1 + x) of 0 <= x < 2^24 as the C library's log1pf computes it, in float32, up to 1 unit off.

    The integers of the filters depend on its last bit. Source: fdlibm (Sun Microsystems 1993, s_log1pf.c), which
    newlib and glibc before 2.41 use; 1 + x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
    """
    f32 = np.float32
    one, x32 = f32(1), f32(x)
    f, k, c = x32, 0, f32(0)
    if x32 >= f32(0.41421356):
        u = f32(one + x32)
        mantissa, exponent = math.frexp(float(u))
        k = exponent - 1
        c = f32(f32(one - f32(u - x32) if k > 0 else x32 - f32(u - one)) / u)
        u = f32(2 * mantissa)
        if u >= f32(1.41421354):
            u, k = f32(mantissa), k + 1
        f = f32(u - one)
    half_square = f32(f32(f32(0.5) * f) * f)
    s = f32(f / f32(f32(2) + f))
    z = f32(s * s)
    r = f32(0)
    for coefficient in reversed(_LOG1P):
        r = f32(z * f32(f32(coefficient) + r))
    corrected = f32(s * f32(half_square + r))
    if k == 0:
        return f32(f - f32(half_square - corrected))
    low = f32(f32(f32(k) * f32(_LN_2_LOW)) + c)
    return f32(f32(f32(k) * f32(_LN_2_HIGH)) - f32(f32(half_square - f32(corrected + low)) - f))


def _mel(hz: Any) -> Any:
    """Return mel(f) = 1127 ln(1 + f / 700) in float32."""
    return np.float32(np.float32(1127) * log1p_float(np.float32(hz) / np.float32(700)))


def filter_tables(
    channels: int, low_hz: float, high_hz: float, rate_hz: int, bins: int
) -> tuple[int, Integers, Integers, Integers]:
    """Return first bin, channel, weights and unweights of triangular filters, see `Tables`.

    Centres lie evenly on the mel scale in float32; a bin below centre c adds its weight to filter c and the rest to
    filter c + 1. Filter 0 only falls, and is thrown away. Raises ValueError where filters reach beyond the spectrum.
    """
    f32 = np.float32
    low, high = _mel(low_hz), _mel(high_hz)
    spacing = f32(f32(high - low) / f32(channels + 1))
    centres = [f32(low + f32(spacing * f32(c + 1))) for c in range(channels + 1)]
    hz_per_bin = f32(0.5 * rate_hz / float(f32(f32(bins) - f32(1))))
    first = here = int(1.5 + float(f32(f32(low_hz) / hz_per_bin)))
    channel, weights, unweights = [], [], []
    for c, centre in enumerate(centres):
        below = low if c == 0 else centres[c - 1]
        while (mel := _mel(f32(here) * hz_per_bin)) <= centre:
            weight = f32(f32(centre - mel) / f32(centre - below))
            channel.append(c)
            weights.append(math.floor(float(weight * f32(2**FILTER_BITS)) + 0.5))
            unweights.append(math.floor((1.0 - float(weight)) * 2**FILTER_BITS + 0.5))
            here += 1
    if here >= bins:
        raise ValueError(f"filters reach bin {here - 1} of a spectrum of {bins}, whose last one is not used")
    return first, np.array(channel, np.int64), np.array(weights, np.int64), np.array(unweights, np.int64)


def gain_table(strength: float, offset: float, gain_bits: int, input_bits: int) -> Integers:
    """Return the gains of PCAN, 2^gain_bits (x / 2^input_bits + offset)^-strength, as pieces of parabolas, int64 [126].

    Entries 0 and 1 are those of x = 0 and 1; each octave [2^(n-1), 2^n), n = 2 .. 32, has its value at the start and
    two coefficients, fitted in its middle and at its end.
    """
    f32 = np.float32

    def gain(x: int) -> int:
        base = f32(f32(f32(x) / f32(2**input_bits)) + f32(offset))
        power = f32(float(base) ** -float(f32(strength)))
        value = f32(f32(2**gain_bits) * power)
        return 32767 if value > 32767 else int(f32(value + f32(0.5)))

    table = np.zeros(126, np.int64)
    table[:2] = gain(0), gain(1)
    for n in range(2, 33):
        start = 1 << (n - 1)
        middle, end = start + (start >> 1), 2 * start - (n == 32)
        first, second = gain(middle) - gain(start), gain(end) - gain(start)
        a1 = 4 * first - second
        table[4 * n - 6 : 4 * n - 3] = gain(start), a1, second - a1
    return table


@compiled(inline="always")
def _int16(x: Any) -> Any:
    return ((x + 32768) & 65535) - 32768


@compiled(inline="always")
def _scaled(x: Any, factor: Any) -> Any:
    """Return x factor / 2^15, halves up, as a 16-bit word."""
    return _int16((x * factor + 16384) >> 15)


@compiled()
def _length(x: Any) -> Any:
    """Return how many bits an unsigned number has."""
    bits = 0
    while x:
        x >>= 1
        bits += 1
    return bits


@compiled()
def _root(x: Any) -> Any:
    """Return the square root of an unsigned number, rounded, but never to 2^16 below 2^32 nor to 2^32."""
    largest = 0xFFFF if x < 1 << 32 else 0xFFFFFFFF
    rest, root, bit = np.uint64(x), np.uint64(0), np.uint64(1) << np.uint64(62)
    while bit > rest:
        bit >>= np.uint64(2)
    while bit:
        if rest >= root + bit:
            rest -= root + bit
            root = (root >> np.uint64(1)) + bit
        else:
            root >>= np.uint64(1)
        bit >>= np.uint64(2)
    return np.int64(root) + 1 if rest > root and root != largest else np.int64(root)


@compiled()
def _transform(points: Any, radices: Any, twiddles: Any) -> None:
    """Transform complex 16-bit numbers [points, 2], which stand in the order of the tables, in place."""
    stride, size = len(points), 1
    for stage in range(len(radices) - 1, -1, -1):
        radix = radices[stage]
        stride //= radix
        part = 32767 // radix
        for group in range(0, len(points), size * radix):
            for k in range(size):
                re, im = np.empty(4, np.int64), np.empty(4, np.int64)
                for q in range(radix):
                    x, y = points[group + k + q * size]
                    x, y = _scaled(x, part), _scaled(y, part)
                    if q:
                        c, s = twiddles[k * q * stride]
                        x, y = _int16((x * c - y * s + 16384) >> 15), _int16((x * s + y * c + 16384) >> 15)
                    re[q], im[q] = x, y
                if radix == 2:
                    out = ((re[0] + re[1], im[0] + im[1]), (re[0] - re[1], im[0] - im[1]))
                    for q in range(2):
                        points[group + k + q * size, 0] = _int16(out[q][0])
                        points[group + k + q * size, 1] = _int16(out[q][1])
                else:
                    even = re[0] + re[2], im[0] + im[2]
                    odd = re[1] + re[3], im[1] + im[3]
                    even_off = re[0] - re[2], im[0] - im[2]
                    odd_off = re[1] - re[3], im[1] - im[3]
                    four = (
                        (even[0] + odd[0], even[1] + odd[1]),
                        (even_off[0] + odd_off[1], even_off[1] - odd_off[0]),
                        (even[0] - odd[0], even[1] - odd[1]),
                        (even_off[0] - odd_off[1], even_off[1] + odd_off[0]),
                    )
                    for q in range(4):
                        points[group + k + q * size, 0] = _int16(four[q][0])
                        points[group + k + q * size, 1] = _int16(four[q][1])
        size *= radix


@compiled()
def _energies(points: Any, last_twiddles: Any, energies: Any) -> None:
    """Split the transform of pairs into that of real samples, and write |X[k]|^2 as 32-bit words; X[0] is left out."""
    count = len(points)
    for k in range(1, count // 2 + 1):
        a, b = _scaled(points[k, 0], 16383), _scaled(points[k, 1], 16383)
        c, d = _scaled(points[count - k, 0], 16383), _scaled(_int16(-points[count - k, 1]), 16383)
        sum_re, sum_im = _int16(a + c), _int16(b + d)
        off_re, off_im = _int16(a - c), _int16(b - d)
        cos, sin = last_twiddles[k - 1]
        re = _int16((off_re * cos - off_im * sin + 16384) >> 15)
        im = _int16((off_re * sin + off_im * cos + 16384) >> 15)
        for place, x, y in ((k, sum_re + re, sum_im + im), (count - k, sum_re - re, im - sum_im)):
            x, y = x >> 1, y >> 1
            energies[place] = x * x + y * y


@compiled()
def _gain(x: Any, gains: Any) -> Any:
    """Return the gain of PCAN for a noise estimate: parabola of its octave."""
    if x <= 2:
        return gains[x]
    octave = _length(x)
    at = 4 * octave - 6
    part = ((x << (11 - octave)) if octave < 11 else (x >> (octave - 11))) & 0x3FF
    value = ((gains[at + 2] * part) >> 5) + (gains[at + 1] << 5)
    return _int16(((value * part + (1 << 14)) >> 15) + gains[at])


@compiled()
def _logarithm(x: Any, shift: Any, table: Any) -> Any:
    """Return 2^shift ln x of a whole number above 1, rounded twice."""
    whole = _length(x) - 1
    part = x - (1 << whole)
    part = part << (LOG_BITS - whole) if whole < LOG_BITS else part >> (whole - LOG_BITS)
    segment = part >> 9  # 2^16 / 128
    rest = part - (segment << 9)
    log2 = (whole << LOG_BITS) + part + table[segment] + (((table[segment + 1] - table[segment]) * rest) >> LOG_BITS)
    log = (LN_2 * log2 + (1 << 15)) >> LOG_BITS
    return ((log << shift) + (1 << 15)) >> LOG_BITS


@compiled()
def _front_end(
    samples: Any, window: Any, twiddles: Any, last_twiddles: Any, order: Any, radices: Any, first: int, channel: Any,
    weights: Any, unweights: Any, gains: Any, table: Any, channels: int, hop: int, smoothing_bits: int,
    even_smoothing: int, odd_smoothing: int, least_signal: int, snr_shift: int, correction_bits: int,
    output_shift: int,
) -> Any:  # fmt: skip
    frames = 1 + (len(samples) - len(window)) // hop if len(samples) >= len(window) else 0
    out = np.zeros((frames, channels), np.uint16)
    noise = np.zeros(channels, np.int64)
    padded = np.zeros(2 * len(order), np.int64)
    points = np.zeros((len(order), 2), np.int64)
    energies = np.zeros(len(order) + 1, np.int64)
    for frame in range(frames):
        largest = 0
        for i in range(len(window)):
            value = _int16((samples[frame * hop + i] * window[i]) >> WINDOW_BITS)
            padded[i] = value
            largest = max(largest, _int16(-value) if value < 0 else value)
        shift = 15 - _length(largest)
        for k in range(len(order)):
            points[k, 0] = _int16(padded[2 * order[k]] << shift)
            points[k, 1] = _int16(padded[2 * order[k] + 1] << shift)
        _transform(points, radices, twiddles)
        _energies(points, last_twiddles, energies)
        sums = np.zeros(channels + 2, np.uint64)
        for k in range(len(channel)):
            energy = np.uint64(energies[first + k])
            sums[channel[k]] += np.uint64(weights[k]) * energy
            sums[channel[k] + 1] += np.uint64(unweights[k]) * energy
        for c in range(channels):
            signal = _root(sums[c + 1]) >> shift
            smoothing = even_smoothing if c % 2 == 0 else odd_smoothing
            wide = (signal << smoothing_bits) & 0xFFFFFFFF
            noise[c] = ((wide * smoothing + noise[c] * ((1 << NOISE_BITS) - smoothing)) >> NOISE_BITS) & 0xFFFFFFFF
            clean = (wide - min(noise[c], wide)) >> smoothing_bits
            value = max(clean, (signal * least_signal) >> NOISE_BITS)
            if len(gains):
                snr = ((value * _gain(noise[c], gains)) >> snr_shift) & 0xFFFFFFFF
                if snr < 2 << SNR_BITS:
                    value = (snr * snr) >> (2 + 2 * SNR_BITS - PCAN_BITS)
                else:
                    value = (snr >> (SNR_BITS - PCAN_BITS)) - (1 << PCAN_BITS)
            value = (value << correction_bits) & 0xFFFFFFFF if correction_bits >= 0 else value >> -correction_bits
            out[frame, c] = min(_logarithm(value, output_shift, table), 0xFFFF) if value > 1 else 0
    return out


def front_end(samples: NDArray[np.int16], tables: Tables, scales: Scales) -> NDArray[np.uint16]:
    """Return the features of 16-bit samples, uint16 [frames, channels]; frames = 1 + (samples - window) // hop.

    With window w, shift s = 15 - bits of the largest |x w|, transform X of (x w) 2^s, filter sums S of |X|^2:
    y = sqrt(S) / 2^s; noise n = n + a (y - n); y' = max(y - n, least y); with PCAN g(z) of z = y' gain(n), where
    g(z) = z^2 / 4 below 2 and z - 1 above; feature = 2^output_shift ln(g). Everything is cut to whole numbers of the
    widths of `Scales` on the way.
    """
    return np.asarray(
        _front_end(
            samples.astype(np.int64), tables.window, tables.twiddles, tables.last_twiddles, tables.order,
            tables.radices, tables.first, tables.channel, tables.weights, tables.unweights, tables.gains, LOG_TABLE,
            scales.channels, scales.hop, scales.smoothing_bits, scales.even_smoothing, scales.odd_smoothing,
            scales.least_signal, scales.snr_shift, scales.correction_bits, scales.output_shift,
        )
    )  # fmt: skip
