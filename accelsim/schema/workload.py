"""The grammar of what surrounds a network: its inputs, and how it is scored."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from accelsim.data.featured import feature_set
from accelsim.data.features import LogMel
from accelsim.data.waveform import Waveform
from accelsim.schema.parse import Model
from accelsim.schema.quantity import PositiveTime

Probability = Annotated[float, Field(ge=0, le=1)]


class Context(Model):
    """Neighbouring frames that are stacked with each frame; the ends of an utterance repeat its first and last."""

    before: Annotated[int, Field(ge=0)] = 0
    after: Annotated[int, Field(ge=0)] = 0


class RecordedInputs(Model):
    """What inputs of recorded speech share: the data set, and how much of it."""

    dataset: str
    split: str
    utterances: PositiveInt | None = None
    """Use only the first so many utterances; where the workload is scored, only those with a reference count."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Use at most so much of the speech; the last utterance is cut short, so nothing can be scored."""


class SpeechInputs(RecordedInputs):
    """Recorded speech, cut into frames of features; see `accelsim.data`."""

    source: Literal["speech"]
    features: Annotated[LogMel | Waveform, Field(discriminator="kind")] = LogMel()
    context: Context = Context()

    @model_validator(mode="before")
    @classmethod
    def _log_mel_unless_said(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(features := data.get("features"), dict) and "kind" not in features:
            return {**data, "features": {"kind": "log_mel", **features}}
        return data

    def width(self) -> int:
        """Return the number of input features."""
        return self.features.bands * (self.context.before + 1 + self.context.after)


class FeatureInputs(RecordedInputs):
    """Speech whose data set holds features instead of audio, as codes around 128; see `accelsim.data.featured`."""

    source: Literal["features"]

    @model_validator(mode="after")
    def _known(self) -> FeatureInputs:
        feature_set(self.dataset, self.split)
        return self

    def width(self) -> int:
        """Return the number of input features."""
        return feature_set(self.dataset, self.split).width


class RandomInputs(Model):
    """Independent random bits and spikes at given densities, for cycles and energy alone.

    ``input_ones``: probability that a bit of an input feature is 1. ``spikes``: probability that an input of a
    recurrent layer spikes in a time step. ``readout``: probability that an input of the readout spikes in any time
    step of a frame; with two steps each one alone has probability ``spikes``, so 2 spikes >= readout >= spikes.
    """

    source: Literal["random"]
    frames: PositiveInt
    frame_period: PositiveTime
    features: PositiveInt
    input_ones: Probability
    spikes: Probability
    readout: Probability

    @model_validator(mode="after")
    def _possible(self) -> RandomInputs:
        if not self.spikes <= self.readout <= 2 * self.spikes:
            raise ValueError("expected spikes <= readout <= 2 * spikes")
        return self

    def width(self) -> int:
        """Return the number of input features."""
        return self.features


class ViterbiScore(Model):
    """Phoneme error rate of a Viterbi decode over acoustic states, see `accelsim.score.viterbi`.

    ``decoder``: safetensors file with its tensors; ``phones``: names in the order of the tensors, silence first.
    """

    kind: Literal["viterbi_phonemes"]
    decoder: str
    phones: Annotated[list[str], Field(min_length=2)]
    output_delay: Annotated[int, Field(ge=0)] = 0
    acoustic_scale: Annotated[float, Field(gt=0)]
    lm_weight: Annotated[float, Field(ge=0)]
    insertion_penalty: float = 0.0


class FrameScore(Model):
    """Share of frames whose largest output is not the labelled class, see `accelsim.score.frames`.

    ``decoder``: safetensors file with ``bias`` [classes] and ``labels`` [frames] of the default data set.
    """

    kind: Literal["frame_error"]
    decoder: str
    output_scale: Annotated[float, Field(gt=0)]


class ClassScore(Model):
    """Share of utterances that are taken for another class, see `accelsim.score.classes`.

    An output is averaged over ``segments`` equal parts of an utterance, its magnitude with ``pool: magnitude``, and a
    linear readout takes the largest. ``decoder``: safetensors file with ``<readout>.weight`` [segments * outputs,
    classes] and ``<readout>.bias``, and with those of the float network under ``reference``.
    """

    kind: Literal["utterance_class"]
    decoder: str
    readout: str
    classes: Annotated[list[str], Field(min_length=2)]
    segments: PositiveInt = 1
    pool: Literal["mean", "magnitude"] = "mean"


class CtcWordScore(Model):
    """Word error rate of the best path through a lexicon, with a bigram, see `accelsim.score.ctc`.

    ``decoder``: safetensors file with ``lexicon``, ``word_of`` and ``bigram``; ``words``: in the order of ``word_of``.
    """

    kind: Literal["ctc_words"]
    decoder: str
    words: Annotated[list[str], Field(min_length=1)]
    lm_weight: Annotated[float, Field(ge=0)]
    insertion_penalty: float = 0.0


class CtcClassScore(Model):
    """Error rate of phones, or of words spelled in characters, without a lexicon, see `accelsim.score.ctc`.

    ``names``: of the network's outputs, that of the blank first, which is not read; outputs may share a name.
    ``beam``: prefixes that live on, 0 takes the best path. ``unit``: ``phone`` compares with the phones of the data
    set, ``character`` with its words.
    """

    kind: Literal["ctc_classes"]
    names: Annotated[list[str], Field(min_length=2)]
    beam: Annotated[int, Field(ge=0)] = 0
    unit: Literal["phone", "character"] = "phone"
    decoder: ClassVar[None] = None
    """It needs no tensors."""


Score = ViterbiScore | FrameScore | ClassScore | CtcWordScore | CtcClassScore


class GeneratedWeights(Model):
    """Weights drawn from a seed, see `accelsim.generated`."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
