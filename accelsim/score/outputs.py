"""Classes of whole utterances straight from a network's outputs, as a keyword spotter with a softmax at its end has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from accelsim.data import Featured, Utterance
from accelsim.score.error_rate import Accuracy, bootstrap
from accelsim.score.score import SCORES, Score


class OutputClassScore(Score):
    """Share of utterances whose largest output is not their class, see `OutputClasses`.

    ``classes``: the class of each output in order, as the data's labels have it. ``other``: the class that stands for
    every label that none of them is, as the ``unknown`` of keyword spotters.
    """

    vocabulary = "classes"
    closed = True
    kind: Literal["output_class"]
    classes: Annotated[list[str], Field(min_length=2)]
    rows: Literal["mean", "last", "max"] = "mean"
    other: str | None = None

    @model_validator(mode="after")
    def _each_once(self) -> OutputClassScore:
        if twice := next((name for name in self.classes if self.classes.count(name) > 1), None):
            raise ValueError(f"'classes' names '{twice}' twice")
        if self.other is not None and self.other not in self.classes:
            raise ValueError(f"'other': expected one of the classes, found '{self.other}'")
        return self

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> OutputClasses:
        return OutputClasses(tuple(self.classes), self.rows)

    def said(self, utterance: Featured | Utterance) -> tuple[str, ...] | None:
        """Return the one class of the utterance."""
        label = utterance.label or utterance.text
        if label and self.other is not None and label not in self.classes:
            return (self.other,)
        return (label,) if label else utterance.phones

    def reads(self) -> str:
        return "class"

    def knows(self, unit: str) -> bool:
        return unit in self.classes

    def check(self, outputs: int) -> None:
        if len(self.classes) != outputs:
            raise ValueError(f"the score names {len(self.classes)} classes, the network has {outputs}")


SCORES.register("output_class", OutputClassScore)


@dataclass(frozen=True)
class OutputClasses:
    """Classes of utterances: argmax_c of the outputs' mean over the rows, of their last row, or of their maximum.

    Of equal outputs the first one counts.
    """

    classes: tuple[str, ...]
    rows: Literal["mean", "last", "max"]

    def classify(self, outputs: NDArray[Any]) -> str:
        """Return the class of one utterance, [rows, outputs]; raises ValueError where it has no row."""
        if not len(outputs):
            raise ValueError("an utterance is too short for a single row of outputs")
        values = np.asarray(outputs, np.float64)
        of_all = {"mean": values.mean(axis=0), "last": values[-1], "max": values.max(axis=0)}[self.rows]
        return self.classes[int(of_all.argmax())]

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the classification error in percent; ``progress`` is called with (done, total)."""
        wrong = []
        for utterance, said in zip(outputs, references, strict=True):
            wrong.append(int((self.classify(utterance),) != tuple(said)))
            if progress is not None:
                progress(len(wrong), len(references))
        return bootstrap("classification error", "utterances", np.array(wrong), np.ones(len(wrong), np.int64), {})
