"""The grammar of a workload: a quantised network, its inputs and how it is scored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from accelsim.data.featured import feature_set
from accelsim.data.features import LogMel
from accelsim.data.waveform import Waveform
from accelsim.errors import did_you_mean
from accelsim.schema.graph import AnyGraphOp, GraphOp, Rows, expanded, graph_rows
from accelsim.schema.parse import Model
from accelsim.schema.quantity import PositiveTime
from accelsim.schema.score import AnyScore
from accelsim.schema.ssm import S4dOp

FEATURES = "features"
"""What a layer reads that reads the inputs."""

Bits = Annotated[int, Field(ge=2, le=8)]
Probability = Annotated[float, Field(ge=0, le=1)]


class LifOp(Model):
    """A recurrent layer of leaky integrate-and-fire neurons; its maths stands in `accelsim.kernels.lif`.

    ``weights``, ``recurrent_weights``: names of tensors [inputs, neurons] and [neurons, neurons], which all inputs but
    random ones need. The partial sums
    are shifted left by ``input_shift`` and ``recurrent_shift`` places (negative: right) before the membrane.
    ``beta``: leak per time step, a multiple of 2^-beta_bits.
    """

    op: Literal["lif"]
    name: str
    input: str
    neurons: PositiveInt
    weight_bits: Bits
    weights: str | None = None
    recurrent_weights: str | None = None
    input_shift: int = 0
    recurrent_shift: int = 0
    beta: Annotated[float, Field(ge=0, le=1)]
    beta_bits: Annotated[int, Field(ge=1, le=16)] = 8
    threshold: PositiveInt
    reset: Literal["subtract", "zero"]

    @model_validator(mode="after")
    def _beta_on_grid(self) -> LifOp:
        if not (self.beta * 2**self.beta_bits).is_integer():
            raise ValueError(f"expected beta to be a multiple of 2^-{self.beta_bits}, found {self.beta}")
        return self

    def beta_numerator(self) -> int:
        """Return beta as the integer that the hardware multiplies by: beta * 2^beta_bits."""
        return int(self.beta * 2**self.beta_bits)

    def width(self) -> int:
        """Return the number of outputs."""
        return self.neurons


class SpikeSumOp(Model):
    """A linear readout: out[t] = sum_s sum_j S[t,s,j] W_j over all time steps of a frame."""

    op: Literal["spike_sum"]
    name: str
    input: str
    neurons: PositiveInt
    weight_bits: Bits
    weights: str | None = None

    def width(self) -> int:
        """Return the number of outputs."""
        return self.neurons


class LinearOp(Model):
    """A dense layer: y_j = sum_i x_i w_ij with x = clamp(round(input_scale f(source)) - input_offset).

    ``weights``: name of a tensor [inputs, outputs]; x are signed words of ``input_bits``; f: ``input_activation``.
    With a ``residual``, a layer before it, the output is residual_j + round(output_scale y_j).
    """

    op: Literal["linear"]
    name: str
    input: str
    outputs: PositiveInt
    weight_bits: Bits
    weights: str | None = None
    input_bits: Annotated[int, Field(ge=2, le=8)] = 8
    input_offset: int = 0
    input_scale: Annotated[float, Field(gt=0)] = 1.0
    input_activation: Literal["none", "relu"] = "none"
    residual: str | None = None
    output_scale: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _scaled_for_a_sum(self) -> LinearOp:
        if self.residual is None and self.output_scale != 1.0:
            raise ValueError("output_scale belongs to a residual sum: name the layer that is added, 'residual: ...'")
        return self

    def width(self) -> int:
        """Return the number of outputs."""
        return self.outputs


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


class GeneratedWeights(Model):
    """Weights drawn from a seed, see `accelsim.generated`."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


Op = LifOp | SpikeSumOp | LinearOp | S4dOp


class WorkloadSpec(Model):
    """A quantised network: layers in order, each reading ``features`` or a layer before it; or a ``graph`` of ops.

    ``weights``: safetensors file with the integers; ``reference_weights``: the same network in float;
    ``time_steps``: repetitions of each frame; ``membrane_carry``: membranes live on from frame to frame.
    ``reference_unit``: the float network of dense and state-space layers reads (code - input_offset) / unit.
    A graph reads features as (code - feature_offset) * feature_scale; instead of ``weights`` it may have
    ``generated_weights``, drawn from a seed: they recognise nothing, and serve for cycles, energy and speed.
    """

    name: str
    description: str = ""
    weights: str | None = None
    generated_weights: GeneratedWeights | None = None
    reference_weights: str | None = None
    reference_unit: Annotated[float, Field(gt=0)] = 1.0
    time_steps: PositiveInt = 1
    membrane_carry: bool = True
    input_bits: Annotated[int, Field(ge=1, le=8)] = 8
    feature_offset: Annotated[int, Field(ge=0, le=255)] = 0
    feature_scale: Annotated[float, Field(gt=0)] = 1.0
    inputs: Annotated[SpeechInputs | FeatureInputs | RandomInputs, Field(discriminator="source")]
    layers: Annotated[list[Annotated[Op, Field(discriminator="op")]], Field(min_length=1)] = []
    graph: Annotated[list[Annotated[AnyGraphOp, Field(discriminator="op")]], Field(min_length=1)] = []
    score: AnyScore | None = None

    @model_validator(mode="after")
    def _connected(self) -> WorkloadSpec:
        if bool(self.layers) == bool(self.graph):
            raise ValueError("expected either 'layers' or a 'graph'")
        if self.graph:
            if isinstance(self.inputs, RandomInputs):
                raise ValueError("a graph needs inputs of recorded speech, not random activity")
            self.graph_rows()
            return self
        known = [FEATURES]
        for layer in self.layers:
            if layer.name in known:
                raise ValueError(f"two layers are named '{layer.name}'")
            if layer.input not in known:
                hint = did_you_mean(layer.input, known)
                raise ValueError(f"layer '{layer.name}' reads '{layer.input}', which is not before it; {hint}")
            if isinstance(layer, S4dOp) and self.inputs_of(layer) not in (1, layer.kernels):
                inputs = self.inputs_of(layer)
                raise ValueError(f"layer '{layer.name}' has {layer.kernels} kernels for {inputs} input channels")
            if isinstance(layer, LinearOp) and layer.residual is not None:
                self._check_residual(layer, known)
            known.append(layer.name)
        return self

    @model_validator(mode="after")
    def _weights_given(self) -> WorkloadSpec:
        if isinstance(self.inputs, RandomInputs):
            if self.time_steps > 2:
                raise ValueError(f"random inputs are defined for 1 or 2 time steps, found {self.time_steps}")
            return self
        if self.input_bits != 8:
            raise ValueError(f"features of speech are 8-bit codes, found 'input_bits: {self.input_bits}'")
        if self.family() == "graph":
            if (self.weights is None) == (self.generated_weights is None):
                raise ValueError("expected either 'weights', a safetensors file, or 'generated_weights'")
            if self.generated_weights is not None and self.score is not None:
                raise ValueError("generated weights recognise nothing: leave out 'score'")
            return self
        if self.generated_weights is not None:
            raise ValueError("only graphs have generated weights")
        if self.weights is None:
            raise ValueError("expected 'weights', a safetensors file: only random inputs do without")
        for layer in self.layers:
            if layer.weights is None or (isinstance(layer, LifOp) and layer.recurrent_weights is None):
                raise ValueError(f"layer '{layer.name}' names no weights: only random inputs do without")
        return self

    @model_validator(mode="after")
    def _can_be_scored(self) -> WorkloadSpec:
        if self.score is None:
            return self
        if isinstance(self.inputs, RecordedInputs) and self.inputs.seconds is not None:
            raise ValueError("'seconds' cuts an utterance short, which cannot be scored: leave out 'score'")
        self.score.check(self.outputs())
        return self

    def outputs(self) -> int:
        """Return the number of outputs of the last layer."""
        return self.layers[-1].width() if self.layers else list(self.graph_rows().values())[-1].width

    def graph_rows(self) -> dict[str, Rows]:
        """Return what every op of a graph gives, and its features."""
        return graph_rows(self.graph_ops(), FEATURES, self.inputs.width())

    def graph_ops(self) -> list[GraphOp]:
        """Return the ops of the graph in order, those of short forms one by one."""
        return expanded(self.graph)

    def _check_residual(self, layer: LinearOp, known: list[str]) -> None:
        if layer.residual not in known[1:]:
            hint = did_you_mean(str(layer.residual), known[1:])
            raise ValueError(f"layer '{layer.name}' adds '{layer.residual}', which is not before it; {hint}")
        width = next(before.width() for before in self.layers if before.name == layer.residual)
        if width != layer.outputs:
            raise ValueError(f"layer '{layer.name}' has {layer.outputs} outputs and adds {width} of '{layer.residual}'")

    def family(self) -> Literal["spiking", "state_space", "dense", "graph"]:
        """Return by which rules the network is cut and run."""
        if self.graph:
            return "graph"
        ops = {layer.op for layer in self.layers}
        if "s4d" in ops:
            return "state_space"
        return "dense" if ops == {"linear"} else "spiking"

    def inputs_of(self, layer: Op) -> int:
        """Return how many inputs a layer has."""
        if layer.input == FEATURES:
            return self.inputs.width()
        return next(before.width() for before in self.layers if before.name == layer.input)
