"""Spectra, mel spectrograms and cepstra by parameters, in the forms of the usual toolkits, as 8-bit codes.

| toolkit | keys |
|---|---|
| TensorFlow (tf.signal) | window: hann, power: 1, triangles: mel, floor_by: add; dct: tensorflow |
| torchaudio (MelSpectrogram, MFCC) | window: hann, center: true, power: 2, triangles: hz; logarithm: db, floor 1e-10 |
| librosa | as torchaudio, with mel_scale: slaney, equal_area: true |
| Kaldi (dither 0) | window: povey, per_frame: true, pre_emphasis: 0.97, amplitude: 32768, triangles: mel; lifter: 22 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.data.features import KIND_SAID, SAMPLE_RATE_HZ, by_blocks, out_of_range

_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("window_s", 0.001, 1.0),
    ("hop_s", 0.001, 1.0),
    ("pre_emphasis", 0, 1),
    ("amplitude", 1e-6, 1e6),
    ("code_scale", 1e-9, 1e9),
    ("code_offset", -1e4, 1e4),
)
_MEL_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("bands", 1, 1024),
    ("low_hz", 0, SAMPLE_RATE_HZ / 2),
    ("high_hz", 0, SAMPLE_RATE_HZ / 2),
    ("floor", 1e-30, 1e6),
)
_KALDI_EXPONENT = 0.85


@dataclass(frozen=True)
class Spectrum:
    """Magnitude or power spectrum of each frame.

    S[t, k] = |sum_n w[n] x[t hop + n] e^(-2 pi i k n / fft_size)|^power, k = 0 .. fft_size / 2
    code = clip(round(value / code_scale + code_offset), 0, 255), halves to even

    x is audio in [-1, 1) times ``amplitude``, after it was divided by its largest sample with ``peak``, less
    ``pre_emphasis`` times the sample before. Frames = 1 + (samples - window) // hop; with ``center`` the audio is
    mirrored at its ends by fft_size / 2 and frame t lies around sample t hop. ``per_frame``: the mean of a frame is
    taken off, and pre-emphasis starts anew in it (Kaldi). ``window``: hann and hamming are periodic, with _symmetric at
    their end as NumPy's; povey is hann_symmetric^0.85 (Kaldi). ``fft_size``: the next power of two unless given.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = KIND_SAID
    kind: Literal["spectrum"] = "spectrum"
    window_s: float = 0.032
    hop_s: float = 0.008
    fft_size: int | None = None
    window: Literal["rectangular", "hann", "hann_symmetric", "hamming", "hamming_symmetric", "povey"] = "rectangular"
    power: Literal[1, 2] = 1
    center: bool = False
    peak: bool = False
    amplitude: float = 1.0
    pre_emphasis: float = 0.0
    per_frame: bool = False
    code_scale: float = 1.0
    code_offset: float = 0.0

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise ValueError("; ".join(problems))

    def _problems(self) -> list[str]:
        problems = out_of_range(self, _LIMITS)
        for key in ("window_s", "hop_s"):
            value = getattr(self, key)
            if not problems and abs(value * SAMPLE_RATE_HZ - round(value * SAMPLE_RATE_HZ)) > 1e-6:
                problems.append(f"'{key}': must be a whole number of samples of {SAMPLE_RATE_HZ} Hz, found {value:g} s")
        if not problems and self.fft_size is not None and not self._window() <= self.fft_size <= 1 << 16:
            problems.append(f"'fft_size': must be from {self._window()}, the window, to 65536, found {self.fft_size}")
        if self.per_frame and self.center:
            problems.append("'per_frame': frames that are mirrored at the ends are not Kaldi's: leave out 'center'")
        return problems

    def _window(self) -> int:
        return round(self.window_s * SAMPLE_RATE_HZ)

    def size(self) -> int:
        """Return the number of points of the transform."""
        return self.fft_size or 1 << (self._window() - 1).bit_length()

    @property
    def width(self) -> int:
        """Return the number of features per frame."""
        return self.size() // 2 + 1

    def spectrum(self, audio: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return S of mono 16 kHz audio, [frames, fft_size / 2 + 1]; raises ValueError unless audio is mono."""
        return self._of_spectra(audio, lambda spectra: spectra)

    def _of_spectra(
        self, audio: NDArray[np.floating], function: Callable[[NDArray[np.float64]], NDArray[Any]]
    ) -> NDArray[Any]:
        """Return a function of S, which gets some of its rows at a time."""
        if audio.ndim != 1:
            raise ValueError(f"audio must be one-dimensional (mono), got shape {audio.shape}")
        from scipy.fft import rfft

        x = audio.astype(np.float64)
        if self.peak and len(x) and x.max() > 0:
            x = x / x.max()
        x = x * self.amplitude
        length, size, hop = self._window(), self.size(), round(self.hop_s * SAMPLE_RATE_HZ)
        window = window_of(self.window, length)
        if not self.per_frame:
            x = np.concatenate([x[:1], x[1:] - self.pre_emphasis * x[:-1]])
        if self.center:
            if len(x) <= size // 2:
                return function(np.zeros((0, size // 2 + 1)))
            x = np.pad(x, size // 2, mode="reflect")
            before = (size - length) // 2
            window, length = np.pad(window, (before, size - length - before)), size
        if len(x) < length:
            return function(np.zeros((0, size // 2 + 1)))

        def given(frames: NDArray[np.float64]) -> NDArray[Any]:
            if self.per_frame:
                frames = frames - frames.mean(axis=1, keepdims=True)
                frames = frames - self.pre_emphasis * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
            magnitude = np.abs(rfft(frames * window, size, axis=1))
            return function(magnitude**2 if self.power == 2 else magnitude)

        return by_blocks(np.lib.stride_tricks.sliding_window_view(x, length)[::hop], given)

    def values(self, audio: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the real features of mono 16 kHz audio, [frames, width]."""
        return self.spectrum(audio)

    def codes(self, audio: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return the input codes of the network for mono 16 kHz audio, uint8 [frames, width]."""
        return self._of_spectra(audio, self._coded)

    def _coded(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        scaled = values / self.code_scale + self.code_offset
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class MelSpectrogram(Spectrum):
    """Energies in mel bands and their logarithm.

    e[t, b] = sum_k filter[b, k] S[t, k]; ln or log10 of e + ``floor``, or of max(e, floor) with floor_by: max;
    db: 10 log10, and with ``top_db`` at least the largest value of the utterance less it.

    Triangles of unit height lie evenly on the mel scale, straight in ``hz`` or in ``mel``; ``equal_area`` divides by
    half their width in Hz (Slaney). Scales: htk, 2595 log10(1 + f / 700); slaney, linear below 1 kHz.
    """

    kind: Literal["mel_spectrogram"] = "mel_spectrogram"  # type: ignore[assignment]
    window_s: float = 0.025
    hop_s: float = 0.010
    window: Literal["rectangular", "hann", "hann_symmetric", "hamming", "hamming_symmetric", "povey"] = "hann"
    power: Literal[1, 2] = 2
    bands: int = 40
    low_hz: float = 20.0
    high_hz: float = 8000.0
    mel_scale: Literal["htk", "slaney"] = "htk"
    triangles: Literal["hz", "mel"] = "hz"
    equal_area: bool = False
    logarithm: Literal["ln", "log10", "db", "none"] = "ln"
    floor: float = 1e-6
    floor_by: Literal["add", "max"] = "add"
    top_db: float | None = None

    def _problems(self) -> list[str]:
        problems = super()._problems() + out_of_range(self, _MEL_LIMITS)
        if not problems and not self.low_hz < self.high_hz:
            problems.append(f"'low_hz': must be below 'high_hz', found {self.low_hz:g} and {self.high_hz:g}")
        if self.top_db is not None and (self.logarithm != "db" or self.top_db <= 0):
            problems.append("'top_db': must be above 0, and goes with 'logarithm: db'")
        return problems

    @property
    def width(self) -> int:
        """Return the number of features per frame."""
        return self.bands

    def log_energies(self, audio: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the logarithm of the band energies, [frames, bands]."""
        filters = mel_triangles(
            self.bands, self.size(), self.low_hz, self.high_hz, self.mel_scale, self.triangles, self.equal_area
        )
        energies = self._of_spectra(audio, lambda spectra: spectra @ filters)
        if self.logarithm == "none":
            return np.asarray(energies)
        energies = energies + self.floor if self.floor_by == "add" else np.maximum(energies, self.floor)
        if self.logarithm == "ln":
            return np.asarray(np.log(energies))
        logs = np.log10(energies) * (10 if self.logarithm == "db" else 1)
        if self.top_db is not None and logs.size:
            logs = np.maximum(logs, logs.max() - self.top_db)
        return np.asarray(logs)

    def values(self, audio: NDArray[np.floating]) -> NDArray[np.float64]:
        return self.log_energies(audio)

    def codes(self, audio: NDArray[np.floating]) -> NDArray[np.uint8]:
        return self._coded(self.values(audio))


@dataclass(frozen=True)
class Mfcc(MelSpectrogram):
    """Mel-frequency cepstral coefficients of the log energies e of `MelSpectrogram`, B bands.

    c[t, k] = a_k sqrt(2 / B) sum_b e[t, b] cos(pi k (b + 1/2) / B), k < coefficients; a_k = 1, but a_0 = sqrt(1/2) with
    dct: ortho; ``lifter`` L: times 1 + L / 2 sin(pi k / L).

    Keyword spotting of MLPerf Tiny hears 49 x 10 of them: window_s 0.03, hop_s 0.02, power 1, peak, 40 bands from 20 to
    4000 Hz, triangles in mel, dct: tensorflow, 10 coefficients, in clips of `length_s` 1 (mlcommons/tiny,
    benchmark/training/keyword_spotting/get_dataset.py and kws_util.py, Apache-2.0).
    """

    kind: Literal["mfcc"] = "mfcc"  # type: ignore[assignment]
    coefficients: int = 13
    dct: Literal["ortho", "tensorflow"] = "ortho"
    lifter: float = 0.0

    def _problems(self) -> list[str]:
        problems = super()._problems() + out_of_range(self, (("coefficients", 1, self.bands), ("lifter", 0, 1000)))
        if self.logarithm == "none":
            problems.append("'logarithm': cepstra are made of logarithms, found 'none'")
        return problems

    @property
    def width(self) -> int:
        """Return the number of features per frame."""
        return self.coefficients

    def values(self, audio: NDArray[np.floating]) -> NDArray[np.float64]:
        k, b = np.arange(self.coefficients), np.arange(self.bands)
        basis = np.sqrt(2 / self.bands) * np.cos(np.pi / self.bands * np.outer(b + 0.5, k))
        if self.dct == "ortho":
            basis[:, 0] *= np.sqrt(0.5)
        if self.lifter:
            basis = basis * (1 + self.lifter / 2 * np.sin(np.pi * k / self.lifter))
        return np.asarray(self.log_energies(audio) @ basis)


def window_of(name: str, length: int) -> NDArray[np.float64]:
    """Return a window of so many samples, see `Spectrum`."""
    if name == "rectangular":
        return np.ones(length)
    n = np.arange(length)
    turns = 2 * np.pi * n / (length if name in ("hann", "hamming") else max(length - 1, 1))
    if name.startswith("hamming"):
        return np.asarray(0.54 - 0.46 * np.cos(turns))
    hann = 0.5 - 0.5 * np.cos(turns)
    return np.asarray(hann**_KALDI_EXPONENT if name == "povey" else hann)


def to_mel(hz: Any, scale: str) -> Any:
    """Return mels of frequencies on the HTK or the Slaney scale."""
    hz = np.asarray(hz, np.float64)
    if scale == "htk":
        return 2595 * np.log10(1 + hz / 700)
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def to_hz(mel: Any, scale: str) -> Any:
    """Return frequencies of mels, the inverse of `to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (np.maximum(mel, 15) - 15)))


@lru_cache(maxsize=8)
def mel_triangles(
    bands: int, fft_size: int, low_hz: float, high_hz: float, scale: str, triangles: str, equal_area: bool
) -> NDArray[np.float64]:
    """Return triangular filters, [fft_size // 2 + 1, bands], see `MelSpectrogram`."""
    mels = np.linspace(to_mel(low_hz, scale), to_mel(high_hz, scale), bands + 2)
    bins_hz = np.arange(fft_size // 2 + 1) * (SAMPLE_RATE_HZ / fft_size)
    edges_hz = to_hz(mels, scale)
    at, edges = (bins_hz, edges_hz) if triangles == "hz" else (to_mel(bins_hz, scale), mels)
    rising = (at[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.clip(np.minimum(rising, falling), 0.0, None)
    if equal_area:
        filters = filters * (2 / (edges_hz[2:] - edges_hz[:-2]))
    filters.setflags(write=False)
    return filters
