"""The micro front end: keys, tables by their rules, and a plain copy of its arithmetic for other settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from accelsim.data.micro import Micro
from accelsim.kernels.micro_front_end import log1p_float
from accelsim.schema.workload import SpeechInputs


def wrap(x: int) -> int:
    return (x + 2**15) % 2**16 - 2**15


def half_up(x: int) -> int:
    return wrap((x + 2**14) >> 15)


def fft(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Fixed-point decimation in time, radix 4 where it divides, else 2; every stage divides by its radix."""
    n = len(points)
    if n == 1:
        return points
    radix = 4 if n % 4 == 0 else 2
    parts = [fft(points[q::radix]) for q in range(radix)]
    m, out = n // radix, [(0, 0)] * n
    for k in range(m):
        terms = []
        for q in range(radix):
            re, im = (half_up(v * (32767 // radix)) for v in parts[q][k])
            if q:
                angle = -2 * math.pi * (k * q * (FULL[0] // n)) / FULL[0]
                c, s = math.floor(0.5 + 32767 * math.cos(angle)), math.floor(0.5 + 32767 * math.sin(angle))
                re, im = half_up(re * c - im * s), half_up(re * s + im * c)
            terms.append((re, im))
        for out_q in range(radix):
            re = im = 0
            for q, (a, b) in enumerate(terms):
                for _ in range(out_q * q % radix if radix == 4 else 2 * (out_q * q % 2)):
                    a, b = b, -a  # a quarter turn back
                re, im = re + a, im + b
            out[k + out_q * m] = wrap(re), wrap(im)
    return out


FULL = [0]


def plain(samples: list[int], front: Micro) -> list[list[int]]:
    """Return the features of whole numbers, one step after the other with Python's own integers."""
    window, hop = round(front.window_s * 16_000), round(front.hop_s * 16_000)
    size = 1
    while size < window:
        size *= 2
    f = np.float32
    angles = [f(f(2 * math.pi / window) * f(i + 0.5)) for i in range(window)]
    hann = [math.floor(f(f(f(0.5) - f(0.5) * f(math.cos(float(a)))) * f(4096)) + f(0.5)) for a in angles]
    mel = lambda hz: f(f(1127) * log1p_float(f(hz) / f(700)))  # noqa: E731
    low, high = mel(front.low_hz), mel(front.high_hz)
    centres = [f(low + f(f(high - low) / f(front.bands + 1)) * f(c + 1)) for c in range(front.bands + 1)]
    per_bin = f(8000 / (size // 2))
    correction = size.bit_length() - 1 - 6
    noise, rows = [0] * front.bands, []

    def gain(x: int) -> int:
        y = f(f(2.0**front.pcan_gain_bits) * f(
            float(f(f(x) / f(2.0 ** (front.smoothing_bits - correction)) + f(front.pcan_offset)))
            ** -float(f(front.pcan_strength))
        ))  # fmt: skip
        return 32767 if y > 32767 else int(y + f(0.5))

    for start in range(0, len(samples) - window + 1, hop):
        cut = [wrap((samples[start + i] * hann[i]) >> 12) for i in range(window)]
        shift = 15 - max(wrap(abs(v)) for v in cut).bit_length()
        padded = [wrap(v << shift) for v in cut] + [0] * (size - window)
        FULL[0] = n = size // 2
        pairs = fft([(padded[2 * i], padded[2 * i + 1]) for i in range(n)])
        energy = [0] * (n + 1)
        for k in range(1, n // 2 + 1):
            a, b = (half_up(v * 16383) for v in pairs[k])
            c, d = half_up(pairs[n - k][0] * 16383), half_up(wrap(-pairs[n - k][1]) * 16383)
            angle = -math.pi * (k / n + 0.5)
            cos, sin = math.floor(0.5 + 32767 * math.cos(angle)), math.floor(0.5 + 32767 * math.sin(angle))
            re, im = half_up((a - c) * cos - (b + -d) * sin), half_up((a - c) * sin + (b - d) * cos)
            energy[k] = ((a + c + re) >> 1) ** 2 + ((b + d + im) >> 1) ** 2
            energy[n - k] = ((a + c - re) >> 1) ** 2 + ((im - (b + d)) >> 1) ** 2
        sums = [0] * (front.bands + 2)
        here = int(1.5 + float(f(f(front.low_hz) / per_bin)))
        for c, centre in enumerate(centres):
            below = low if c == 0 else centres[c - 1]
            while mel(f(here) * per_bin) <= centre:
                weight = f(f(centre - mel(f(here) * per_bin)) / f(centre - below))
                sums[c] += math.floor(float(weight) * 4096 + 0.5) * energy[here]
                sums[c + 1] += math.floor((1 - float(weight)) * 4096 + 0.5) * energy[here]
                here += 1
        row = []
        for c in range(front.bands):
            total = sums[c + 1]
            root = math.isqrt(total)
            root += total - root * root > root and root != (0xFFFF if total < 2**32 else 0xFFFFFFFF)
            signal = root >> shift
            part = int(f([front.even_smoothing, front.odd_smoothing][c % 2]) * f(2**14))
            wide = (signal << front.smoothing_bits) % 2**32
            noise[c] = (wide * part + noise[c] * (2**14 - part)) >> 14
            value = (wide - min(noise[c], wide)) >> front.smoothing_bits
            value = max(value, (signal * int(f(front.least_signal) * f(2**14))) >> 14)
            if front.pcan:
                x = noise[c]
                if x <= 1:
                    g = gain(x)
                else:
                    x0 = 1 << (x.bit_length() - 1)
                    x2 = 2 * x0 - (x0 == 2**31)
                    d1, d2 = gain(x0 + x0 // 2) - gain(x0), gain(x2) - gain(x0)
                    t = ((x << 11) >> x.bit_length()) & 1023
                    t = 0 if x == 2 else t
                    g = gain(x0) + (((((d2 - (4 * d1 - d2)) * t >> 5) + ((4 * d1 - d2) << 5)) * t + 2**14) >> 15)
                snr = ((value * g) >> (front.pcan_gain_bits - correction - 12)) % 2**32
                value = (snr * snr) >> 20 if snr < 8192 else (snr >> 6) - 64
            value = (value << correction) % 2**32 if correction >= 0 else value >> -correction
            if value <= 1:
                row.append(0)
                continue
            whole = value.bit_length() - 1
            frac = ((value - 2**whole) << 16) >> whole
            points = [
                math.floor((math.log2(1 + k / 128) - k / 128) * 65536 + 0.5) for k in (frac >> 9, (frac >> 9) + 1)
            ]
            log2 = (whole << 16) + frac + points[0] + ((points[1] - points[0]) * (frac & 511) >> 16)
            log = (45426 * log2 + 2**15) >> 16
            row.append(min(((log << front.output_shift) + 2**15) >> 16, 65535))
        rows.append(row)
    return rows


SETTINGS = [
    {},
    {"window_s": 0.025, "bands": 32},
    {"window_s": 0.064, "hop_s": 0.02, "bands": 20, "pcan": False, "output_shift": 4},  # 512 points: a stage of 2
    {"window_s": 0.016, "hop_s": 0.008, "bands": 10, "even_smoothing": 0.3, "smoothing_bits": 8, "low_hz": 0.0},
    {"window_s": 0.005, "hop_s": 0.005, "bands": 8, "high_hz": 4000.0, "pcan_strength": 0.5, "least_signal": 0.5},
    {"window_s": 0.003, "hop_s": 0.003, "bands": 4, "smoothing_bits": 14},  # 64 samples: no correction
]


@pytest.mark.parametrize("changed", SETTINGS, ids=str)
@given(seed=st.integers(0, 2**32), decades=st.floats(0, 5.5))
@settings(max_examples=4)
def test_the_kernel_is_the_plain_copy(changed, seed, decades):
    front = Micro(**changed)
    samples = np.random.default_rng(seed).normal(0, 10**decades, round((front.window_s + 3 * front.hop_s) * 16_000))
    samples = np.clip(np.rint(samples), -(2**15), 2**15 - 1).astype(int)
    assert front.whole(samples / 2**15).tolist() == plain(samples.tolist(), front)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bands": 0}, "'bands': must be from 1 to 256, found 0"),
        ({"window_s": 0.0305}, "'window_s': must be a whole number of milliseconds"),
        ({"hop_s": 0.04}, "'hop_s': must be at most 'window_s'"),
        ({"low_hz": 7600.0}, "'low_hz': must be below 'high_hz'"),
        ({"high_hz": 8000.0}, "'high_hz': filters reach bin 256 of a spectrum of 257"),
        ({"window_s": 0.1, "pcan_gain_bits": 16}, "'pcan_gain_bits': 16 are too few for this window"),
        ({"code_scale": 0.0}, "'code_scale': must be from 1e-06"),
    ],
)
def test_wrong_settings_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        Micro(**changed)


def test_a_workload_asks_for_it_by_kind():
    text = {"source": "speech", "dataset": "librivox_sample", "split": "test", "features": {"kind": "micro"}}
    inputs = TypeAdapter(SpeechInputs).validate_python(text)
    assert inputs.features == Micro() and inputs.width() == 40 and inputs.period() == 0.01


def test_audio_shorter_than_a_window_gives_no_frame_and_codes_stay_in_their_range():
    assert Micro().codes(np.zeros(479, np.float32)).shape == (0, 40)
    loud = np.random.default_rng(0).normal(0, 0.3, 16_000).astype(np.float32)
    codes = Micro(code_scale=0.01, pcan=False).codes(loud)
    assert codes.max() == 255


def test_the_logarithm_of_the_c_library_is_within_a_unit_of_the_true_one():
    x = np.concatenate([[0.0], np.arange(257) * 31.25 / 700, 10 ** np.random.default_rng(0).uniform(-6, 6, 500)])
    for value in np.float32(x):
        true = np.log1p(np.float64(value))
        assert abs(float(log1p_float(value)) - true) <= np.spacing(np.float32(true))
