"""Speech as its down-sampled samples, 8-bit codes around 128."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.data.digits import resampled
from accelsim.data.features import SAMPLE_RATE_HZ, out_of_range

ZERO_CODE = 128

# Key of `Waveform`, least and largest value: a lower level is less than half a code, one above clips nearly everything.
_LIMITS = (("rate_hz", 10, SAMPLE_RATE_HZ), ("level", 0.5, 1000))


@dataclass(frozen=True)
class Waveform:
    """Samples at a lower rate, brought to one loudness per utterance.

    code[t] = clip(round(level x[t] / rms(x)) + 128, 0, 255), x the audio at ``rate_hz``; silence alone gives 128.
    """

    kind: Literal["waveform"] = "waveform"
    rate_hz: int = 2000
    level: float = 16.0
    """Codes of the root mean square of an utterance."""

    def __post_init__(self) -> None:
        if problems := out_of_range(self, _LIMITS):
            raise ValueError("; ".join(problems))

    @property
    def bands(self) -> int:
        """Return the number of features per frame: 1."""
        return 1

    @property
    def hop_s(self) -> float:
        """Return the time between two frames, which are samples here."""
        return 1.0 / self.rate_hz

    def codes(self, audio: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return uint8 [samples, 1] for mono 16 kHz audio; raises ValueError unless audio is one-dimensional."""
        if audio.ndim != 1:
            raise ValueError(f"audio must be one-dimensional (mono), got shape {audio.shape}")
        samples = resampled(audio.astype(np.float32), SAMPLE_RATE_HZ, self.rate_hz)
        loudness = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
        scaled = samples * (self.level / loudness) if loudness > 0 else samples
        return np.clip(np.rint(scaled) + ZERO_CODE, 0, 255).astype(np.uint8)[:, None]
