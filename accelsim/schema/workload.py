"""The grammar of what surrounds a network: its inputs, and how it is scored."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from accelsim.data.featured import feature_set
from accelsim.data.features import LogMel
from accelsim.data.mel import MelSpectrogram, Mfcc, Spectrum
from accelsim.data.micro import Micro
from accelsim.data.recordings import BAD, KINDS
from accelsim.data.waveform import Waveform
from accelsim.schema.parse import Model
from accelsim.schema.quantity import FramePeriod

AnyFeatures = LogMel | Waveform | Micro | Spectrum | MelSpectrogram | Mfcc
Probability = Annotated[float, Field(ge=0, le=1)]


class Context(Model):
    """Neighbouring frames that are stacked with each frame; the ends of an utterance repeat its first and last."""

    before: Annotated[int, Field(ge=0, le=100)] = 0
    after: Annotated[int, Field(ge=0, le=100)] = 0


class Heard(Model):
    """What inputs with values share: how much of them is used."""

    utterances: PositiveInt | None = None
    """Use only the first so many utterances; where the workload is scored, only those with a reference count."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Use at most so much of the speech; the last utterance is cut short, so nothing can be scored."""

    @abstractmethod
    def origin(self) -> str:
        """Return where the speech comes from, in words."""


class RecordedInputs(Heard):
    """What inputs of recorded speech share: the data set, and how much of it."""

    dataset: str
    split: str

    def origin(self) -> str:
        return f"{self.dataset}/{self.split}"


class AudioInputs(Heard):
    """What inputs of audio share: it is cut into frames of features; see `accelsim.data`.

    ``loudness``: every utterance is first brought to this root mean square, where audio reaches +-1. ``trim_db``:
    silence at the ends of an utterance is cut off, what lies so many decibels below its loudest 10 ms, see
    `accelsim.data.clip`. ``longest_s``: frames beyond so many seconds are cut off. ``length_s``: every utterance is
    made so long, silence added or its end cut off, before its features are computed. They are to be what the network
    was trained with; a run counts what they cut and add.
    """

    features: Annotated[AnyFeatures, Field(discriminator="kind")] = LogMel()
    context: Context = Context()
    loudness: Annotated[float, Field(ge=1e-4, le=1.0)] | None = None
    trim_db: Annotated[float, Field(ge=10, le=120)] | None = None
    longest_s: Annotated[float, Field(ge=0.01, le=3600)] | None = None
    length_s: Annotated[float, Field(ge=0.01, le=3600)] | None = None

    @model_validator(mode="after")
    def _one_length(self) -> AudioInputs:
        if self.longest_s is not None and self.length_s is not None:
            raise ValueError("'longest_s' and 'length_s': give one of them")
        return self

    @model_validator(mode="before")
    @classmethod
    def _log_mel_unless_said(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(features := data.get("features"), dict) and "kind" not in features:
            return {**data, "features": {"kind": "log_mel", **features}}
        return data

    def width(self) -> int:
        """Return the number of input features."""
        return self.features.width * (self.context.before + 1 + self.context.after)

    def period(self) -> float:
        """Return the seconds from one row of features to the next."""
        return self.features.hop_s


class SpeechInputs(RecordedInputs, AudioInputs):
    """Recorded speech of a data set, see `AudioInputs`."""

    source: Literal["speech"]


Skip = Annotated[
    tuple[Literal["bad", *KINDS], ...],  # type: ignore[valid-type]
    BeforeValidator(
        lambda kinds: [kinds] if isinstance(kinds, str) else kinds,
        json_schema_input_type=Literal["bad", *KINDS] | list[Literal["bad", *KINDS]],  # type: ignore[valid-type]
    ),
]


class OwnInputs(AudioInputs):
    """What recordings of one's own share, see `AudioInputs` and `accelsim.data.recordings`.

    ``split`` and ``speakers``: only those, see `accelsim.data.recordings.chosen`. ``channels: mix`` averages several
    channels, which are refused otherwise. ``skip``: kinds of bad recordings that are left out and counted, a list of
    `accelsim.data.recordings.KINDS`, or ``bad`` for `BAD` there. Without it a run refuses bad recordings, all at once,
    but for those of `USABLE` there, which it counts.
    """

    split: str | None = None
    speakers: Annotated[list[str], Field(min_length=1)] | None = None
    channels: Literal["mono", "mix"] = "mono"
    skip: Skip = ()

    @abstractmethod
    def place(self) -> str | None:
        """Return the manifest or folder, beside the workload or absolute; None where there is none."""

    def skipped(self) -> tuple[str, ...]:
        """Return the kinds of bad recordings that are left out."""
        return BAD if "bad" in self.skip else self.skip

    def origin(self) -> str:
        place = self.place()
        found = "recordings from Python" if place is None else PurePath(place).name if os.path.isabs(place) else place
        parts = [self.split] if self.split else []
        return "/".join([found, *parts])


class RecordingInputs(OwnInputs):
    """Recordings that a manifest lists, see `OwnInputs`; ``manifest``: beside the workload, or absolute."""

    source: Literal["recordings"]
    manifest: str

    def place(self) -> str:
        return self.manifest


class FolderInputs(OwnInputs):
    """Recordings of a folder, see `OwnInputs`; ``path``: beside the workload, or absolute."""

    source: Literal["folder"]
    path: str

    def place(self) -> str:
        return self.path


class ArrayInputs(OwnInputs):
    """Recordings that Python gives: ``accelsim.run(chip, network, inputs=[accelsim.Recording(..), ..])``."""

    source: Literal["array"]

    def place(self) -> None:
        return None


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

    def period(self) -> float:
        """Return the seconds from one row of features to the next."""
        return feature_set(self.dataset, self.split).frame_period_s


class FileInputs(Heard):
    """Features that were computed elsewhere: an .npz or .safetensors file, see `accelsim.data.from_file`.

    ``path``: beside the workload, or absolute. With ``spikes`` the file holds spikes in the place of codes, and spiking
    ops read them as they read those of other layers.
    """

    source: Literal["file"]
    path: str
    frame_period: FramePeriod
    columns: Annotated[int, Field(gt=0, le=65_536, alias="width")]
    spikes: bool = False

    def width(self) -> int:
        """Return the number of input features."""
        return self.columns

    def period(self) -> float:
        """Return the seconds from one row of features to the next."""
        return self.frame_period

    def origin(self) -> str:
        return self.path


class RandomInputs(Model):
    """Independent random bits and spikes at given densities, for cycles and energy alone.

    ``input_ones``: probability that a bit of an input feature is 1. ``spikes``: probability that an input of a
    recurrent layer spikes in a time step. ``readout``: probability that an input of the readout spikes in any time
    step of a frame; with two steps each one alone has probability ``spikes``, so 2 spikes >= readout >= spikes.
    """

    source: Literal["random"]
    frames: Annotated[int, Field(gt=0, le=10_000_000)]
    frame_period: FramePeriod
    features: Annotated[int, Field(gt=0, le=65_536)]
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

    def period(self) -> float:
        """Return the seconds from one row of features to the next."""
        return self.frame_period
