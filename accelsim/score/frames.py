"""Frame classification: the share of frames whose largest output is not the labelled class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.score.error_rate import Accuracy, bootstrap


@dataclass(frozen=True)
class FrameClasses:
    """Classes of single frames: argmax_c (output_scale out[t, c] + bias[c]) against a label.

    ``bias``: [classes]; ``labels``: classes of all frames of the batch, [frames].
    """

    bias: NDArray[np.float32]
    labels: NDArray[np.int64]
    output_scale: float

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], *, reference: bool, output_scale: float) -> FrameClasses:
        """Build the judge from its tensors; ``reference`` takes the float network's bias and a scale of 1.

        Raises ValueError when tensors are missing.
        """
        bias = "reference_bias" if reference else "bias"
        missing = [name for name in (bias, "labels") if name not in tensors]
        if missing:
            raise ValueError(f"the labels lack the tensors {', '.join(missing)}")
        scale = 1.0 if reference else output_scale
        return cls(tensors[bias].astype(np.float32), tensors["labels"].astype(np.int64), scale)

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the frame error rate over utterances, outputs [frames, classes] each; ``progress`` gets (done, total).

        What was said (``references``) is not asked: the labels of the frames are. Raises ValueError when they do not
        cover the frames.
        """
        wrong, lengths, first = [], [], 0
        for utterance in outputs:
            labels = self.labels[first : first + len(utterance)]
            first += len(utterance)
            if len(labels) < len(utterance):
                raise ValueError(f"{len(self.labels)} labels do not cover the frames")
            heard = (utterance * np.float64(self.output_scale) + self.bias).argmax(axis=1)
            wrong.append(int(np.count_nonzero(heard != labels)))
            lengths.append(len(utterance))
            if progress is not None:
                progress(len(lengths), len(references))
        if first != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels for {first} frames")
        return bootstrap("frame error rate", "frames", np.array(wrong), np.array(lengths), {})
