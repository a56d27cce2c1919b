"""Frame classification: the share of frames whose largest output is not the labelled class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.score.error_rate import Accuracy, bootstrap
from accelsim.score.score import LARGEST_WEIGHT, SCORES, DecoderScore


class FrameScore(DecoderScore):
    """Share of frames whose largest output is not the labelled class, see `FrameClasses`.

    ``decoder``: safetensors file with ``bias`` [classes] and ``labels`` [frames] of the default data set.
    """

    kind: Literal["frame_error"]
    output_scale: Annotated[float, Field(gt=1 / LARGEST_WEIGHT, le=LARGEST_WEIGHT)]

    def reads(self) -> None:
        """Return nothing: the labels of the frames are in the decoder's file."""
        return None

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> FrameClasses:
        return FrameClasses.from_tensors(tensors, reference=reference, output_scale=self.output_scale)


SCORES.register("frame_error", FrameScore)


@dataclass(frozen=True)
class FrameClasses:
    """Classes of single frames: argmax_c (output_scale out[t, c] + bias[c]) against a label.

    ``bias``: [classes]; ``labels``: classes of all frames of the labelled utterances, [frames]; ``starts``: where each
    of them begins, [utterances + 1].
    """

    bias: NDArray[np.float32]
    labels: NDArray[np.int64]
    starts: NDArray[np.int64]
    output_scale: float

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], *, reference: bool, output_scale: float) -> FrameClasses:
        """Build the judge from its tensors; ``reference`` takes the float network's bias and a scale of 1.

        Raises ValueError when tensors are missing.
        """
        bias = "reference_bias" if reference else "bias"
        missing = [name for name in (bias, "labels", "starts") if name not in tensors]
        if missing:
            raise ValueError(f"the labels lack the tensors {', '.join(missing)}")
        scale = 1.0 if reference else output_scale
        labels, starts = (tensors[name].astype(np.int64) for name in ("labels", "starts"))
        classes = len(tensors[bias])
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            wrong = labels[(labels < 0) | (labels >= classes)]
            raise ValueError(
                f"'labels' has {wrong.size} frames of classes that '{bias}' with its {classes} classes does not have, "
                f"the first one {wrong[0]}"
            )
        return cls(tensors[bias].astype(np.float32), labels, starts, scale)

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the frame error rate over utterances, outputs [frames, classes] each; ``progress`` gets (done, total).

        What was said (``references``) is not asked: the labels of the frames are. Raises ValueError for utterances that
        are not the labelled ones, or their first few.
        """
        wrong: list[int] = []
        lengths: list[int] = []
        for utterance, first, last in zip(outputs, self.starts, [*self.starts[1:], -1], strict=False):
            if len(utterance) != last - first:
                raise ValueError(f"the labels of utterance {len(wrong)} do not belong to its {len(utterance)} frames")
            heard = (utterance * np.float64(self.output_scale) + self.bias).argmax(axis=1)
            wrong.append(int(np.count_nonzero(heard != self.labels[first:last])))
            lengths.append(len(utterance))
            if progress is not None:
                progress(len(lengths), len(references))
        if len(wrong) < len(references):
            raise ValueError(f"labels of {len(wrong)} utterances, found {len(references)}")
        return bootstrap("frame error rate", "frames", np.array(wrong), np.array(lengths), {})
