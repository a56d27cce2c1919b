"""Speech as its samples, 8-bit codes around 128."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.data.digits import resampled
from accelsim.data.features import KIND_SAID, SAMPLE_RATE_HZ, out_of_range

ZERO_CODE = 128

# Key of `Waveform`, least and largest value: a lower level is less than half a code, one above clips nearly everything.
_LIMITS = (("rate_hz", 10, SAMPLE_RATE_HZ), ("level", 0.5, 1000), ("samples", 1, 65_536))
_SCALES = (1e-6, 1.0)


@dataclass(frozen=True)
class Waveform:
    """Samples at a lower rate, brought to one loudness per utterance, or as they are.

    code[t] = clip(round(level x[t] / rms(x)) + 128, 0, 255), x the audio at ``rate_hz``; silence alone gives 128.
    With ``scale``: clip(round(x[t] / scale) + 128, 0, 255), whatever the loudness; audio reaches +-1, so 1 / 128 clips
    nothing. ``samples``: so many make a frame, and what is left at the end is dropped.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = KIND_SAID
    kind: Literal["waveform"] = "waveform"
    rate_hz: int = 2000
    level: float = 16.0
    """Codes of the root mean square of an utterance."""
    scale: float | None = None
    samples: int = 1

    def __post_init__(self) -> None:
        problems = out_of_range(self, _LIMITS)
        if self.scale is not None:
            problems += out_of_range(self, (("scale", *_SCALES),))
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def width(self) -> int:
        """Return the number of features per frame."""
        return self.samples

    @property
    def hop_s(self) -> float:
        """Return the time between two frames."""
        return self.samples / self.rate_hz

    def codes(self, audio: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return uint8 [frames, samples] for mono 16 kHz audio; raises ValueError unless audio is one-dimensional."""
        if audio.ndim != 1:
            raise ValueError(f"audio must be one-dimensional (mono), got shape {audio.shape}")
        samples = resampled(audio.astype(np.float32), SAMPLE_RATE_HZ, self.rate_hz)
        frames = len(samples) // self.samples
        samples = samples[: frames * self.samples].reshape(frames, self.samples)
        if self.scale is not None:
            return np.clip(np.rint(samples.astype(np.float64) / self.scale) + ZERO_CODE, 0, 255).astype(np.uint8)
        loudness = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
        scaled = samples * (self.level / loudness) if loudness > 0 else samples
        return np.clip(np.rint(scaled) + ZERO_CODE, 0, 255).astype(np.uint8)
