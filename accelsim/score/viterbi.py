"""Viterbi decoding of acoustic states into phones: a loop over left-biphone models with a phone bigram."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.score.error_rate import Accuracy, folded, phoneme_error_rate
from accelsim.score.score import LARGEST_WEIGHT, SCORES, DecoderScore

SILENCE = 0


class ViterbiScore(DecoderScore):
    """Phoneme error rate of a Viterbi decode over acoustic states, see `ViterbiPhonemes`.

    ``decoder``: safetensors file with its tensors; ``phones``: names in the order of the tensors, silence first.
    """

    vocabulary = "phones"
    kind: Literal["viterbi_phonemes"]
    phones: Annotated[list[str], Field(min_length=2)]
    output_delay: Annotated[int, Field(ge=0, le=1000)] = 0
    acoustic_scale: Annotated[float, Field(gt=1 / LARGEST_WEIGHT, le=LARGEST_WEIGHT)]
    lm_weight: Annotated[float, Field(ge=0, le=LARGEST_WEIGHT)]
    insertion_penalty: Annotated[float, Field(ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT)] = 0.0

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> ViterbiPhonemes:
        return ViterbiPhonemes.from_tensors(
            tensors, self.phones, reference=reference, output_delay=self.output_delay,
            acoustic_scale=self.acoustic_scale, lm_weight=self.lm_weight, insertion_penalty=self.insertion_penalty,
        )  # fmt: skip

    def knows(self, unit: str) -> bool:
        return folded(unit) in map(folded, self.phones)


SCORES.register("viterbi_phonemes", ViterbiScore)


@dataclass(frozen=True)
class ViterbiPhonemes:
    """The most likely phone sequence of the network's outputs, and its phoneme error rate.

    A phone with left neighbour l is three states in a row; state k of phone p shares the acoustic state
    ``tied[l, p, k]``. A frame's score of acoustic state c is
    a[c] = acoustic_scale (log softmax(output_scale out + bias)[c] - log_prior[c]), with a scale for each state;
    a state is kept at the cost log stay[p, k] or left at log(1 - stay[p, k]); from phone p to q the bigram adds
    lm_weight bigram[p, q] + insertion_penalty. Phone 0 is silence, and is dropped from the result.

    ``tied``: [phones, phones, 3]; ``output_scale``, ``bias``, ``log_prior``: [acoustic states]; ``stay``: [phones, 3];
    ``bigram``: log P(q | p), [phones, phones]; ``phones``: their names. ``output_delay``: the network answers so many
    frames late.
    """

    phones: tuple[str, ...]
    tied: NDArray[np.int16]
    log_prior: NDArray[np.float32]
    output_scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    stay: NDArray[np.float32]
    bigram: NDArray[np.float32]
    output_delay: int
    acoustic_scale: float
    lm_weight: float
    insertion_penalty: float

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, NDArray[Any]], phones: Sequence[str], *, reference: bool, **options: Any
    ) -> ViterbiPhonemes:
        """Build the decoder from its tensors; ``reference`` takes the float network's bias and scales of 1.

        Raises ValueError when tensors are missing or their shapes do not belong together.
        """
        prefix = "reference_" if reference else ""
        names = ("tied", "stay", "bigram", f"{prefix}bias", "log_prior", "output_scale")
        missing = [name for name in names if name not in tensors]
        if missing:
            raise ValueError(f"the decoder lacks the tensors {', '.join(missing)}")
        tied, stay, bigram, bias, log_prior, output_scale = (tensors[name] for name in names)
        n = len(phones)
        shapes = [tied.shape == (n, n, 3), stay.shape == (n, 3), bigram.shape == (n, n)]
        if (
            not all(shapes)
            or not bias.shape == log_prior.shape == output_scale.shape
            or tied.min() < 0
            or tied.max() >= len(bias)
        ):
            raise ValueError(f"the decoder's tensors do not fit {n} phones and {len(bias)} acoustic states")
        return cls(
            phones=tuple(phones),
            tied=tied,
            log_prior=log_prior.astype(np.float32),
            output_scale=np.ones_like(bias) if reference else output_scale.astype(np.float32),
            bias=bias.astype(np.float32),
            stay=stay.astype(np.float32),
            bigram=bigram.astype(np.float32),
            **options,
        )

    def decode(self, outputs: NDArray[Any]) -> tuple[str, ...]:
        """Return the phones of one utterance, [frames, acoustic states] -> names without silence."""
        heard = outputs[self.output_delay :]
        if not len(heard):
            return ()
        logits = heard.astype(np.float32) * self.output_scale + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        acoustic = np.float32(self.acoustic_scale) * (logits - self.log_prior)
        between = self.lm_weight * self.bigram + np.float32(self.insertion_penalty)
        path = best_phones(acoustic, self.tied, np.log(self.stay), np.log1p(-self.stay), between.astype(np.float32))
        return tuple(self.phones[p] for p in path if p != SILENCE)

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the phoneme error rate over utterances; ``progress`` is called with (done, total)."""
        hypotheses = []
        for utterance in outputs:
            hypotheses.append(self.decode(utterance))
            if progress is not None:
                progress(len(hypotheses), len(references))
        return phoneme_error_rate(hypotheses, references)


def best_phones(
    acoustic: NDArray[np.float32],
    tied: NDArray[np.int16],
    stay: NDArray[np.float32],
    leave: NDArray[np.float32],
    between: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Return the phones of the best path through the phone loop.

    delta[t, l, p, 0] = a[t, tied[l, p, 0]] + max(delta[t-1, l, p, 0] + stay[p, 0], enter[t, l, p]),
    enter[t, l, p] = between[l, p] + leave[l, 2] + max_m delta[t-1, m, l, 2],
    delta[t, l, p, k] = a[t, tied[l, p, k]]
                        + max(delta[t-1, l, p, k] + stay[p, k], delta[t-1, l, p, k-1] + leave[p, k-1]).
    The path starts in the first state of any phone with silence on its left, and ends anywhere; ties keep the state.

    acoustic: [frames, acoustic states]; tied: [phones, phones, 3]; stay, leave: [phones, 3]; between: [phones, phones].
    """
    return _best_phones(acoustic, tied.astype(np.int64), stay, leave, between)


@numba.njit(cache=True)
def _best_phones(acoustic, tied, stay, leave, between):  # type: ignore[no-untyped-def]
    frames, phones = len(acoustic), len(tied)
    low = np.float32(-1e30)
    old = np.full((phones, phones, 3), low, np.float32)
    new = np.empty_like(old)
    moved = np.zeros((frames, phones, phones, 3), np.bool_)
    entered_from = np.zeros((frames, phones), np.int16)
    for p in range(phones):
        old[SILENCE, p, 0] = between[SILENCE, p] + acoustic[0, tied[SILENCE, p, 0]]
    for t in range(1, frames):
        frame = acoustic[t]
        for left in range(phones):
            best, source = old[0, left, 2], 0
            for m in range(1, phones):
                if old[m, left, 2] > best:
                    best, source = old[m, left, 2], m
            entered_from[t, left] = source
            best += leave[left, 2]
            for p in range(phones):
                for k in range(3):
                    kept = old[left, p, k] + stay[p, k]
                    come = best + between[left, p] if k == 0 else old[left, p, k - 1] + leave[p, k - 1]
                    if come > kept:
                        moved[t, left, p, k] = True
                        kept = come
                    new[left, p, k] = kept + frame[tied[left, p, k]]
        old, new = new, old
    flat = np.argmax(old)
    left, p, k = flat // (3 * phones), flat // 3 % phones, flat % 3
    path = np.empty(frames, np.int64)
    length = 0
    for t in range(frames - 1, 0, -1):
        if moved[t, left, p, k]:
            if k > 0:
                k -= 1
            else:
                path[length] = p
                length += 1
                p, left, k = left, entered_from[t, left], 2
    path[length] = p
    return path[: length + 1][::-1].copy()
