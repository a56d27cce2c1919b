"""Speech features: quantised log-mel energies, computed as a streaming front end would compute them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000


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
        if self.bands < 1 or not 0 <= self.low_hz < self.high_hz <= SAMPLE_RATE_HZ / 2:
            raise ValueError(
                f"LogMel needs bands >= 1 and 0 <= low_hz < high_hz <= {SAMPLE_RATE_HZ // 2}, "
                f"got bands={self.bands}, low_hz={self.low_hz}, high_hz={self.high_hz}"
            )
        if self.window_s <= 0 or self.hop_s <= 0 or self.floor <= 0 or self.mean_prior < 1:
            raise ValueError("LogMel needs window_s, hop_s and floor above 0 and mean_prior of at least 1")
        if self.mean_memory < self.mean_prior:
            raise ValueError("LogMel needs mean_memory >= mean_prior")
        empty = np.flatnonzero(~mel_filters(self.bands, self.fft_size(), self.low_hz, self.high_hz).any(axis=0))
        if len(empty):
            raise ValueError(
                f"{len(empty)} of {self.bands} bands hold no bin of an FFT over {self.fft_size()} points and would be "
                f"constant, the first of them band {empty[0]}: take fewer bands, a wider range or a longer window"
            )

    def fft_size(self) -> int:
        """Return the points of the FFT: the window's samples, filled up to a power of two."""
        return 1 << (round(self.window_s * SAMPLE_RATE_HZ) - 1).bit_length()

    def log_energies(self, audio: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Natural log of the mel band energies, float32 [frames, bands]; frames = 1 + (samples - window) // hop.

        Audio shorter than one window gives no frame. Raises ValueError unless audio is one-dimensional.
        """
        if audio.ndim != 1:
            raise ValueError(f"audio must be one-dimensional (mono), got shape {audio.shape}")
        from scipy.fft import rfft

        window, hop = round(self.window_s * SAMPLE_RATE_HZ), round(self.hop_s * SAMPLE_RATE_HZ)
        if len(audio) < window:
            return np.zeros((0, self.bands), np.float32)
        fft_size = self.fft_size()
        flat = audio.astype(np.float32)
        flat[1:] -= np.float32(self.pre_emphasis) * audio[:-1]
        frames = np.lib.stride_tricks.sliding_window_view(flat, window)[::hop]
        spectrum = rfft(frames * np.hanning(window).astype(np.float32), fft_size, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        return np.log(power @ mel_filters(self.bands, fft_size, self.low_hz, self.high_hz) + np.float32(self.floor))

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
