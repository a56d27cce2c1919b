"""SI-SDR of a denoiser: how much of what comes out is the clean speech."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from accelsim.data import Featured, Utterance
from accelsim.score.error_rate import Accuracy, mean_of
from accelsim.score.score import SCORES, DecoderScore

_SILENT = 1e-12


class DenoiserScore(DecoderScore):
    """SI-SDR of a network that gives a mask of the spectrum, see `ScaleInvariantRatio`.

    ``decoder``: safetensors file with ``noisy`` and ``clean``, float32 samples of all utterances end to end, and
    ``starts`` [utterances + 1]. ``block`` and ``hop``: samples of the frames of which the features are spectra.
    """

    kind: Literal["si_sdr"]
    block: Annotated[int, Field(ge=2, le=65_536)]
    hop: PositiveInt

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> ScaleInvariantRatio:
        return ScaleInvariantRatio.from_tensors(tensors, block=self.block, hop=self.hop)

    def said(self, utterance: Featured | Utterance) -> tuple[str, ...]:
        """Return nothing to be read: the clean speech stands in the decoder's file."""
        return ("clean",)

    def reads(self) -> None:
        return None  # the clean speech is in the decoder's file

    def check(self, outputs: int) -> None:
        if self.block % self.hop:
            raise ValueError(f"'hop' {self.hop} does not divide 'block' {self.block}")
        if outputs != self.block // 2 + 1:
            raise ValueError(f"a block of {self.block} has {self.block // 2 + 1} bins, the network {outputs} outputs")


SCORES.register("si_sdr", DenoiserScore)


@dataclass(frozen=True)
class ScaleInvariantRatio:
    """Scale-invariant signal-to-distortion ratio of masked speech, in dB: the larger the better.

    With X[t] the spectrum of block t of the noisy samples (block, hop, no window) and the network's mask M[t]:
    y = sum over blocks of irfft(M[t] |X[t]| e^(i angle X[t])), each block added at its place and divided by block / hop
    SI-SDR = 10 log10(|a s|^2 / |a s - y|^2), a = <y, s> / |s|^2, s the clean samples
    over the samples that all block / hop blocks cover.

    Sources: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019; mask, phase and overlap
    of DTLN, Westhausen and Meyer, Interspeech 2020 (block 512, hop 128).
    """

    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]
    starts: NDArray[np.int64]
    block: int
    hop: int

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], *, block: int, hop: int) -> ScaleInvariantRatio:
        """Build the judge from its tensors; raises ValueError where they are missing or do not belong together."""
        missing = [name for name in ("noisy", "clean", "starts") if name not in tensors]
        if missing:
            raise ValueError(f"the speech lacks the tensors {', '.join(missing)}")
        noisy, clean = (tensors[name].astype(np.float32) for name in ("noisy", "clean"))
        starts = tensors["starts"].astype(np.int64)
        if noisy.ndim != 1 or noisy.shape != clean.shape:
            raise ValueError(f"'noisy' {list(noisy.shape)} and 'clean' {list(clean.shape)} are not of the same samples")
        rising = starts.ndim == 1 and len(starts) > 1 and starts[0] >= 0 and (np.diff(starts) > 0).all()
        if not rising or starts[-1] > len(noisy):
            raise ValueError(f"'starts' must rise from 0 to {len(noisy)}, the number of samples")
        if not (np.isfinite(noisy).all() and np.isfinite(clean).all()):
            raise ValueError("'noisy' or 'clean' holds NaN or infinity")
        return cls(noisy, clean, starts, block, hop)

    def enhanced(self, noisy: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float64]:
        """Return the masked speech y, float64 [samples], of a mask [blocks, block / 2 + 1]."""
        from scipy.fft import irfft, rfft

        blocks = np.lib.stride_tricks.sliding_window_view(noisy.astype(np.float64), self.block)[:: self.hop]
        if len(blocks) != len(mask):
            raise ValueError(f"the speech has {len(blocks)} blocks, the network gave {len(mask)} masks")
        parts = irfft(rfft(blocks, axis=1) * mask, self.block, axis=1) * (self.hop / self.block)
        out = np.zeros(len(noisy))
        for at, part in enumerate(parts):
            out[at * self.hop : at * self.hop + self.block] += part
        return out

    def ratio_db(self, heard: NDArray[Any], clean: NDArray[Any]) -> float:
        """Return the SI-SDR of samples, over those that all blocks cover."""
        first = self.block - self.hop
        blocks = 1 + (len(clean) - self.block) // self.hop
        y, s = (np.asarray(x, np.float64)[first : blocks * self.hop] for x in (heard, clean))
        if not len(s) or float(s @ s) <= _SILENT:
            raise ValueError("an utterance is silent, or shorter than its blocks overlap")
        target = (y @ s) / (s @ s) * s
        distortion = float((target - y) @ (target - y))
        return float(10 * np.log10(max(float(target @ target), _SILENT) / max(distortion, _SILENT)))

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the mean SI-SDR over utterances in dB, and how much larger it is than that of the noisy speech.

        Intervals are bootstraps over utterances. Raises ValueError for utterances that are not those of the tensors, or
        their first few.
        """
        after, before = [], []
        for mask, first, last in zip(outputs, self.starts, self.starts[1:], strict=False):
            noisy, clean = self.noisy[first:last], self.clean[first:last]
            after.append(self.ratio_db(self.enhanced(noisy, np.asarray(mask, np.float64)), clean))
            before.append(self.ratio_db(noisy, clean))
            if progress is not None:
                progress(len(after), len(references))
        if len(after) < len(references):
            raise ValueError(f"clean speech of {len(after)} utterances, found {len(references)}")
        gained = np.array(after) - np.array(before)
        beside = mean_of("SI-SDR gained", gained, "utterances", "dB")
        return mean_of("SI-SDR", np.array(after), "utterances", "dB", (beside,))
