"""Features of the integer front end of TensorFlow Lite Micro, as microcontrollers compute them for wake words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.data.features import KIND_SAID, SAMPLE_RATE_HZ, out_of_range
from accelsim.data.waveform import ZERO_CODE
from accelsim.kernels.micro_front_end import (
    FILTER_BITS,
    NOISE_BITS,
    SNR_BITS,
    Scales,
    Tables,
    filter_tables,
    front_end,
    gain_table,
    transform_tables,
    window_table,
)

FEATURE_UNIT = 0.0390625
"""What a whole number of the front end stands for in microWakeWord: 10 / 256, exact in float32."""

_LIMITS = (
    ("bands", 1, 256),
    ("window_s", 0.001, 0.125),
    ("hop_s", 0.001, 0.125),
    ("low_hz", 0, SAMPLE_RATE_HZ / 2),
    ("high_hz", 0, SAMPLE_RATE_HZ / 2),
    ("smoothing_bits", 0, 16),
    ("even_smoothing", 0, 1),
    ("odd_smoothing", 0, 1),
    ("least_signal", 0, 1),
    ("pcan_strength", 0, 4),
    ("pcan_offset", 1e-3, 1e6),
    ("pcan_gain_bits", 16, 30),
    ("output_shift", 0, 10),
    ("code_scale", 1e-6, 1e4),
    ("code_offset", 0, 255),
)


@dataclass(frozen=True)
class Micro:
    """The micro front end's features v as 8-bit codes, equal to TensorFlow Lite Micro's to the bit.

    code = clip(round(FEATURE_UNIT v / code_scale + code_offset), 0, 255), halves to even. ``code_scale`` and
    ``code_offset`` are those of the network's input, with 128 added to its zero point where that is int8. Defaults:
    those of microWakeWord. See `accelsim.kernels.micro_front_end.front_end`. Samples are round(2^15 x) of the audio x.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = KIND_SAID
    kind: Literal["micro"] = "micro"
    bands: int = 40
    window_s: float = 0.030
    hop_s: float = 0.010
    low_hz: float = 125.0
    high_hz: float = 7500.0
    smoothing_bits: int = 10
    even_smoothing: float = 0.025
    odd_smoothing: float = 0.06
    least_signal: float = 0.05
    """Share of the signal that noise reduction leaves at least."""
    pcan: bool = True
    pcan_strength: float = 0.95
    pcan_offset: float = 80.0
    pcan_gain_bits: int = 21
    output_shift: int = 6
    code_scale: float = 0.10196078568696976
    """26 / 255 in float32."""
    code_offset: int = 0

    def __post_init__(self) -> None:
        problems = out_of_range(self, _LIMITS)
        problems += [
            f"'{key}': must be a whole number of milliseconds, found {value:g} s"
            for key in ("window_s", "hop_s")
            if not problems and abs((value := getattr(self, key)) * 1000 - round(value * 1000)) > 1e-6
        ]
        if not problems and self.hop_s > self.window_s:
            problems.append(f"'hop_s': must be at most 'window_s', found {self.hop_s:g} and {self.window_s:g}")
        if not problems and not self.low_hz < self.high_hz:
            problems.append(f"'low_hz': must be below 'high_hz', found {self.low_hz:g} and {self.high_hz:g}")
        if not problems:
            if self.pcan and not 0 <= self._scales().snr_shift < 32:
                problems.append(f"'pcan_gain_bits': {self.pcan_gain_bits} are too few for this window")
            try:
                _tables(self)
            except ValueError as error:
                problems.append(f"'high_hz': {error}")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def width(self) -> int:
        """Return the number of features per frame."""
        return self.bands

    def _samples(self, seconds: float) -> int:
        return round(seconds * SAMPLE_RATE_HZ)

    def _size(self) -> int:
        return 1 << (self._samples(self.window_s) - 1).bit_length()

    def _scales(self) -> Scales:
        correction = self._size().bit_length() - 1 - FILTER_BITS // 2

        def share(value: float) -> int:
            return int(np.float32(value) * np.float32(1 << NOISE_BITS))

        return Scales(
            channels=self.bands,
            hop=self._samples(self.hop_s),
            smoothing_bits=self.smoothing_bits,
            even_smoothing=share(self.even_smoothing),
            odd_smoothing=share(self.odd_smoothing),
            least_signal=share(self.least_signal),
            snr_shift=self.pcan_gain_bits - correction - SNR_BITS,
            correction_bits=correction,
            output_shift=self.output_shift,
        )

    def whole(self, audio: NDArray[np.floating]) -> NDArray[np.uint16]:
        """Return the front end's own numbers for mono 16 kHz audio, uint16 [frames, bands]; raises ValueError."""
        if audio.ndim != 1:
            raise ValueError(f"audio must be one-dimensional (mono), got shape {audio.shape}")
        samples = np.clip(np.rint(audio.astype(np.float64) * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
        return front_end(samples, _tables(self), self._scales())

    def codes(self, audio: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return the input codes of the network for mono 16 kHz audio, uint8 [frames, bands]."""
        features = self.whole(audio) * FEATURE_UNIT
        # int8 codes first, as the networks have them: so the sum that is rounded is the same number.
        codes = np.rint(features / self.code_scale + (self.code_offset - ZERO_CODE)) + ZERO_CODE
        return np.clip(codes, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _tables(settings: Micro) -> Tables:
    size = settings._size()
    twiddles, last_twiddles, order, radices = transform_tables(size)
    first, channel, weights, unweights = filter_tables(
        settings.bands, settings.low_hz, settings.high_hz, SAMPLE_RATE_HZ, size // 2 + 1
    )
    correction = settings._scales().correction_bits
    gains = gain_table(
        settings.pcan_strength, settings.pcan_offset, settings.pcan_gain_bits, settings.smoothing_bits - correction
    )
    return Tables(
        window=window_table(settings._samples(settings.window_s)),
        twiddles=twiddles,
        last_twiddles=last_twiddles,
        order=order,
        radices=radices,
        first=first,
        channel=channel,
        weights=weights,
        unweights=unweights,
        gains=gains if settings.pcan else gains[:0],
    )
