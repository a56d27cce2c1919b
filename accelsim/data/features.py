"""Speech features: quantised log-mel energies, computed as a streaming front end would compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

# Key of `LogMel`, least and largest value: inside, every code is a finite number in float32.
_LIMITS = (
    ("bands", 1, 1024),
    ("window_s", 0.001, 1.0),
    ("hop_s", 0.001, 1.0),
    ("low_hz", 0, SAMPLE_RATE_HZ / 2),
    ("high_hz", 0, SAMPLE_RATE_HZ / 2),
    ("pre_emphasis", 0, 1),
    ("floor", 1e-30, 1e6),
    ("mean_prior", 1, 10**6),
    ("mean_memory", 1, 10**6),
    ("initial_mean", -100, 100),
    ("code_gain", 1e-3, 1e4),
    ("code_offset", -1e4, 1e4),
)


KIND_SAID: dict[str, Any] = {"json_schema_extra": {"required": ["kind"]}}
"""Settings of pydantic for features other than log-mel: only those may leave out their kind, so the schema says so."""


def out_of_range(settings: object, limits: Sequence[tuple[str, float, float]]) -> list[str]:
    """Return what is wrong with settings whose values leave their limits: (key, least, largest) each."""
    return [
        f"'{key}': must be from {low:g} to {high:g}, found {value:g}"
        for key, low, high in limits
        if not low <= (value := getattr(settings, key)) <= high
    ]


MOST_AT_ONCE = 1 << 24
"""Samples of the frames whose spectra are taken at once: beyond it memory grows with the features alone."""


def by_blocks(frames: npt.NDArray[Any], function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return a function of the rows of frames [frames, samples], of some at a time, end to end."""
    rows = max(MOST_AT_ONCE // max(frames.shape[1], 1) // 64, 1) * 64  # whole vectors of every width
    if len(frames) <= rows:
        return function(frames)
    return np.concatenate([function(frames[at : at + rows]) for at in range(0, len(frames), rows)])


@dataclass(frozen=True)
class LogMel:
    """Log-mel energies above a causal running mean, as 8-bit codes.

    y[n] = x[n] - pre_emphasis x[n-1], audio x in [-1, 1)
    e[t, b] = ln(floor + sum_k mel[b, k] |FFT(hann * y frame t)[k]|^2)
    m[t] = m[t-1] + (e[t] - m[t-1]) / min(mean_prior + t, mean_memory), m[0] = initial_mean, t = 1, 2, ...
    code[t, b] = clip(round(code_gain (e[t, b] - m[t, b]) + code_offset), 0, 255)

    Source of the mel scale: HTK, mel(f) = 2595 log10(1 + f / 700); triangular filters of unit height.
    """

    kind: Literal["log_mel"] = "log_mel"
    bands: int = 40
    window_s: float = 0.025
    hop_s: float = 0.010
    low_hz: float = 60.0
    high_hz: float = 7600.0
    pre_emphasis: float = 0.97
    floor: float = 1e-4
    mean_prior: int = 50
    """Weight of the initial mean, in frames."""
    mean_memory: int = 600
    """Longest memory of the running mean, in frames."""
    initial_mean: float = -5.5
    """Mean log energy assumed before the first frame, the same in every band."""
    code_gain: float = 20.0
    code_offset: float = 80.0

    def __post_init__(self) -> None:
        problems = out_of_range(self, _LIMITS)
        problems += [
            f"'{key}': must be a whole number of samples of {SAMPLE_RATE_HZ} Hz, found {value:g} s"
            for key in ("window_s", "hop_s")
            if not problems and abs((value := getattr(self, key)) * SAMPLE_RATE_HZ - self._samples(value)) > 1e-6
        ]
        if not problems and not self.low_hz < self.high_hz:
            problems.append(f"'low_hz': must be below 'high_hz', found {self.low_hz:g} and {self.high_hz:g}")
        if not problems and self.mean_memory < self.mean_prior:
            problems.append(
                f"'mean_memory': must be at least 'mean_prior', found {self.mean_memory} and {self.mean_prior}"
            )
        if not problems and (empty := self._empty_filters()):
            problems.append(
                f"'bands': {empty} of {self.bands} filters lie between two bins of the spectrum and would always be "
                "empty; take fewer bands, a wider range or a longer window"
            )
        if problems:
            raise ValueError("; ".join(problems))

    def _empty_filters(self) -> int:
        """Return how many filters reach no bin of the spectrum."""
        filters = mel_filters(self.bands, self._fft_size(), self.low_hz, self.high_hz)
        return int((filters.max(axis=0) == 0).sum())

    @property
    def width(self) -> int:
        """Return the number of features per frame."""
        return self.bands

    @staticmethod
    def _samples(seconds: float) -> int:
        return round(seconds * SAMPLE_RATE_HZ)

    def _fft_size(self) -> int:
        return 1 << (self._samples(self.window_s) - 1).bit_length()

    def log_energies(self, audio: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Natural log of the mel band energies, float32 [frames, bands]; frames = 1 + (samples - window) // hop.

        Audio shorter than one window gives no frame. Raises ValueError unless audio is one-dimensional.
        """
        if audio.ndim != 1:
            raise ValueError(f"audio must be one-dimensional (mono), got shape {audio.shape}")
        from scipy.fft import rfft

        window, hop = self._samples(self.window_s), self._samples(self.hop_s)
        if len(audio) < window:
            return np.zeros((0, self.bands), np.float32)
        fft_size = self._fft_size()
        flat = audio.astype(np.float32)
        flat[1:] -= np.float32(self.pre_emphasis) * audio[:-1]
        shape = np.hanning(window).astype(np.float32)
        filters = mel_filters(self.bands, fft_size, self.low_hz, self.high_hz)

        def energies(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            spectrum = rfft(frames * shape, fft_size, axis=1)
            power = spectrum.real**2 + spectrum.imag**2
            return np.log(power @ filters + np.float32(self.floor))

        return by_blocks(np.lib.stride_tricks.sliding_window_view(flat, window)[::hop], energies)

    def running_mean(self, energies: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The causal mean m[t] of the class equation for log energies [frames, bands], same shape."""
        from scipy.signal import lfilter

        frames = len(energies)
        growing = min(frames, self.mean_memory - self.mean_prior)
        mean = np.empty(energies.shape, np.float64)
        weight = self.mean_prior + np.arange(1, growing + 1)[:, None]
        start = self.mean_prior * self.initial_mean
        mean[:growing] = (start + np.cumsum(energies[:growing], axis=0, dtype=np.float64)) / weight
        if frames > growing:
            rate = 1.0 / self.mean_memory
            last = mean[growing - 1] if growing else np.full(energies.shape[1], self.initial_mean)
            mean[growing:], _ = lfilter(
                [rate], [1.0, rate - 1.0], energies[growing:], axis=0, zi=((1.0 - rate) * last)[None]
            )
        return mean.astype(np.float32)

    def codes(self, audio: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """The 8-bit input codes of the network for mono 16 kHz audio, uint8 [frames, bands]."""
        energies = self.log_energies(audio)
        scaled = self.code_gain * (energies - self.running_mean(energies)) + self.code_offset
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def mel_filters(bands: int, fft_size: int, low_hz: float, high_hz: float) -> npt.NDArray[np.float32]:
    """Triangular mel filters [fft_size // 2 + 1, bands] with unit peaks (HTK mel scale, 16 kHz)."""
    low_mel, high_mel = 2595.0 * np.log10(1.0 + np.array([low_hz, high_hz]) / 700.0)
    edges_hz = 700.0 * (10.0 ** (np.linspace(low_mel, high_mel, bands + 2) / 2595.0) - 1.0)
    bins_hz = np.arange(fft_size // 2 + 1)[:, None] * (SAMPLE_RATE_HZ / fft_size)
    rising = (bins_hz - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])
    filters = np.clip(np.minimum(rising, falling), 0.0, None).astype(np.float32)
    filters.setflags(write=False)
    return filters


def zero_bit_fraction(codes: npt.NDArray[np.uint8]) -> float:
    """Share of zero bits among all bits of the codes: 1 - sum popcount(code) / (8 codes); NaN when empty."""
    return 1.0 - float(np.unpackbits(codes).mean()) if codes.size else float("nan")
