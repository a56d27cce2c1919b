"""Classification of whole utterances: the share that is taken for another class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from accelsim.data import Featured, Utterance
from accelsim.score.error_rate import Accuracy, bootstrap
from accelsim.score.score import SCORES, DecoderScore


class ClassScore(DecoderScore):
    """Share of utterances that are taken for another class, see `UtteranceClasses`.

    An output is averaged over ``segments`` equal parts of an utterance, its magnitude with ``pool: magnitude``, and a
    linear readout takes the largest. ``decoder``: safetensors file with ``<readout>.weight`` [segments * outputs,
    classes] and ``<readout>.bias``, and with those of the float network under ``reference``.
    """

    vocabulary = "classes"
    closed = True
    whole = True
    kind: Literal["utterance_class"]
    readout: str
    classes: Annotated[list[str], Field(min_length=2)]
    segments: PositiveInt = 1
    pool: Literal["mean", "magnitude"] = "mean"

    @model_validator(mode="after")
    def _each_once(self) -> ClassScore:
        if twice := next((name for name in self.classes if self.classes.count(name) > 1), None):
            raise ValueError(f"'classes' names '{twice}' twice")
        return self

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> UtteranceClasses:
        return UtteranceClasses.from_tensors(
            tensors, self.classes, readout=self.readout, reference=reference, segments=self.segments, pool=self.pool
        )

    def said(self, utterance: Featured | Utterance) -> tuple[str, ...] | None:
        """Return the one class of the utterance."""
        label = utterance.label or utterance.text
        return (label,) if label else utterance.phones

    def reads(self) -> str:
        return "class"

    def knows(self, unit: str) -> bool:
        return unit in self.classes


SCORES.register("utterance_class", ClassScore)


@dataclass(frozen=True)
class UtteranceClasses:
    """Classes of utterances: argmax_c (bias[c] + sum_kj p[k, j] weight[k, j, c]), p[k] the mean of part k.

    Frame t of T lies in part floor(t segments / T). ``magnitude`` averages |out| instead of out. ``weight``:
    [segments * outputs, classes], part by part; ``bias``: [classes]; ``classes``: their names.
    """

    classes: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    segments: int
    pool: Literal["mean", "magnitude"]

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, NDArray[Any]],
        classes: Sequence[str],
        *,
        readout: str,
        reference: bool,
        segments: int,
        pool: Literal["mean", "magnitude"],
    ) -> UtteranceClasses:
        """Build the judge from its tensors; ``reference`` takes the float network's readout.

        Raises ValueError when tensors are missing or their shapes do not belong together.
        """
        prefix = "reference" if reference else readout
        names = (f"{prefix}.weight", f"{prefix}.bias")
        missing = [name for name in names if name not in tensors]
        if missing:
            raise ValueError(f"the readout lacks the tensors {', '.join(missing)}")
        weight, bias = (tensors[name].astype(np.float32) for name in names)
        if (
            weight.ndim != 2
            or bias.shape != (len(classes),)
            or weight.shape[1] != len(classes)
            or len(weight) % segments
        ):
            raise ValueError(f"the readout's tensors do not fit {len(classes)} classes and {segments} segments")
        return cls(tuple(classes), weight, bias, segments, pool)

    def classify(self, outputs: NDArray[Any]) -> str:
        """Return the class of one utterance, [frames, outputs]; without frames every part is 0."""
        values = np.abs(outputs.astype(np.float64)) if self.pool == "magnitude" else outputs.astype(np.float64)
        part = np.arange(len(values)) * self.segments // max(len(values), 1)
        sums = np.zeros((self.segments, values.shape[1]))
        np.add.at(sums, part, values)
        means = sums / np.maximum(np.bincount(part, minlength=self.segments), 1)[:, None]
        return self.classes[int((means.ravel() @ self.weight + self.bias).argmax())]

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the classification error in percent, 100 less the accuracy; ``progress`` is called with (done, total).

        ``references``: the one word that was said, per utterance.
        """
        wrong = []
        for utterance, said in zip(outputs, references, strict=True):
            wrong.append(int((self.classify(utterance),) != tuple(said)))
            if progress is not None:
                progress(len(wrong), len(references))
        return bootstrap("classification error", "utterances", np.array(wrong), np.ones(len(wrong), np.int64), {})
