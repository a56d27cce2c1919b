"""What every way to score a network has in common: its keys in a workload, and the judge that they make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from accelsim.data import Featured, Utterance
from accelsim.registry import Registry
from accelsim.schema import Model, Registered
from accelsim.score.error_rate import Accuracy

LARGEST_WEIGHT = 1e6
"""Weights of scores stay far inside float32, in which decoders add them up."""


class Judge(Protocol):
    """Compares the outputs of a network with what was said."""

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return how well the utterances are recognised.

        outputs: [frames, outputs] of each utterance; references: what was said in each, see `Score.said`; ``progress``
        is called with (done, total). Raises ValueError where the outputs do not fit.
        """


@runtime_checkable
class PacedJudge(Judge, Protocol):
    """A judge that has to know how long a row of outputs lasts."""

    def paced(self, row_s: float) -> Judge:
        """Return the judge of outputs that come every ``row_s`` seconds."""


class Score(Model):
    """A way to score; a kind adds its keys and makes its judge."""

    vocabulary: ClassVar[str] = ""
    """The key that lists what can be recognised, where there is one."""
    closed: ClassVar[bool] = False
    """Whether any other unit in the data is a mistake of a file, rather than one more thing to get wrong."""
    whole: ClassVar[bool] = False
    """Whether outputs are averaged over whole utterances, so that silence around a word makes another one of it."""
    kind: str

    def decoder_file(self) -> str | None:
        """Return the name of the safetensors file with the judge's tensors; None for a judge without tensors."""
        return None

    @abstractmethod
    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> Judge:
        """Return the judge of the hardware's outputs, or of the float ``reference`` network's.

        tensors: those of `decoder_file`, none without one. Raises ValueError where they are missing or do not fit.
        """

    def said(self, utterance: Featured | Utterance) -> tuple[str, ...] | None:
        """Return what was said in the units of this score: phones, unless a kind says otherwise; None if unknown."""
        return utterance.phones

    def reads(self) -> str | None:
        """Return the column of a manifest that `said` takes; None where the references are in the decoder's file."""
        return "phones"

    def knows(self, unit: str) -> bool:
        """Tell whether the network can be heard to say a unit of `said`; one that it cannot is always an error."""
        return True

    def check(self, outputs: int) -> None:
        """Raise ValueError where the score does not fit a network of so many outputs."""


class DecoderScore(Score):
    """A way to score whose judge has tensors; ``decoder``: the safetensors file that holds them."""

    decoder: str

    def decoder_file(self) -> str:
        return self.decoder


SCORES: Registry[type[Score]] = Registry("accelsim.scores", "kind of score", builtin="accelsim.score")

AnyScore = Annotated[Score, Registered(SCORES)]
