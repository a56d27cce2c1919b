"""Classification of whole utterances: the outputs averaged over equal parts of an utterance, and a linear readout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.score.error_rate import Accuracy, bootstrap

Pool = Literal["mean", "magnitude"]


@dataclass(frozen=True)
class UtteranceClasses:
    """class = argmax_c (sum_s,j p[s, j] weight[s, j, c] + bias[c]), p[s, j] the mean of output j over part s.

    Part s of ``segments`` holds the frames t with floor(t segments / frames) = s; an empty part is 0. ``magnitude``
    averages |output|. weight: [segments * outputs, classes], parts outermost; bias: [classes].
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    classes: tuple[str, ...]
    segments: int
    pool: Pool

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, NDArray[Any]],
        classes: Sequence[str],
        *,
        reference: bool,
        readout: str,
        segments: int,
        pool: Pool,
    ) -> UtteranceClasses:
        """Build the judge from ``<readout>.weight`` and ``.bias``; ``reference`` takes those of the float network.

        Raises ValueError when tensors are missing or do not fit the classes.
        """
        name = "reference" if reference else readout
        missing = [tensor for tensor in (f"{name}.weight", f"{name}.bias") if tensor not in tensors]
        if missing:
            raise ValueError(f"the readout lacks the tensors {', '.join(missing)}")
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        if weight.ndim != 2 or len(weight) % segments or weight.shape[1:] != (len(classes),) or bias.shape != (
            len(classes),
        ):  # fmt: skip
            raise ValueError(
                f"expected a readout of {segments} parts onto {len(classes)} classes, found weights "
                f"{weight.shape} and a bias {bias.shape}"
            )
        return cls(weight.astype(np.float32), bias.astype(np.float32), tuple(classes), segments, pool)

    def classify(self, outputs: NDArray[Any]) -> str:
        """Return the class of one utterance, outputs [frames, width]."""
        values = np.abs(outputs.astype(np.float64)) if self.pool == "magnitude" else outputs.astype(np.float64)
        part = np.arange(len(values)) * self.segments // max(len(values), 1)
        summed = np.zeros((self.segments, values.shape[1]))
        np.add.at(summed, part, values)
        frames = np.bincount(part, minlength=self.segments)
        pooled = summed / np.maximum(frames, 1)[:, None]
        return self.classes[int((pooled.ravel() @ self.weight + self.bias).argmax())]

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the utterance error rate in percent, 100 wrong / utterances; ``progress`` gets (done, total).

        references: one word per utterance. Raises ValueError for one that is no class.
        """
        wrong = []
        for utterance, (word,) in zip(outputs, references, strict=True):
            if word not in self.classes:
                raise ValueError(f"'{word}' is none of the classes {', '.join(self.classes)}")
            wrong.append(int(self.classify(utterance) != word))
            if progress is not None:
                progress(len(wrong), len(references))
        return bootstrap("utterance error rate", "utterances", np.array(wrong), np.ones(len(wrong), np.int64), {})
