"""Conformer layers of torchaudio and SpeechBrain, from their state dicts as safetensors.

torchaudio 2.11, torchaudio.models.conformer: x + FF(x) / 2, attention, convolution (or that first), x + FF(x) / 2,
LayerNorm; a batch norm behind the depthwise convolution, folded into its weights. SpeechBrain 1.1.2,
speechbrain.lobes.models.transformer.Conformer: the same with a LayerNorm there. Layers are told apart by the names of
their parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.importers.importer import IMPORTERS, LARGEST_FILE, Imported, Importer, Options, Refusals
from accelsim.importers.state_dict import Network, State, StateDictOptions, features, heads_problem, not_read

BATCH_NORM_EPSILON = 1e-5
_TORCHAUDIO, _SPEECHBRAIN = "ffn1.sequential.0.weight", "ffn_module1.0.weight"
_STATISTICS = ("weight", "bias", "running_mean", "running_var")


class ConformerOptions(StateDictOptions):
    """What a state dict does not say: how many ``heads`` attention has, and how the layer goes.

    ``convolution_first``: torchaudio's option, convolution before attention. ``causal``: SpeechBrain's option, whose
    depthwise convolution reads no later frame.
    """

    heads: Annotated[int, Ge(1)]
    convolution_first: bool = False
    causal: bool = False


class ConformerImporter(Importer):
    """Reads the layers of a Conformer, one after the other."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    what: ClassVar[str] = "state dicts of Conformer layers"
    options: ClassVar[type[Options]] = ConformerOptions

    def read(self, path: Path, options: ConformerOptions, largest: int = LARGEST_FILE) -> Imported:
        state, refusals = State(path, options.prefix), Refusals(path)
        layers = [
            (name.removesuffix(end), kind)
            for name in state.under(options.prefix)
            for end, kind in ((_TORCHAUDIO, "torchaudio"), (_SPEECHBRAIN, "speechbrain"))
            if name.endswith(end)
        ]
        if not layers:
            raise InputError.of(
                f"no Conformer layers: expected parameters like 'conformer_layers.0.{_TORCHAUDIO}' (torchaudio) or "
                f"'layers.0.{_SPEECHBRAIN}' (SpeechBrain)", file=path,
            )  # fmt: skip
        try:
            width = state.rows(layers[0][0] + (_TORCHAUDIO if layers[0][1] == "torchaudio" else _SPEECHBRAIN))
            if problem := heads_problem(width, options.heads):
                raise ValueError(problem)
            network = Network(features(width, options))
        except ValueError as error:
            raise InputError.of(str(error), file=path) from None
        x = network.real_features()
        for prefix, kind in layers:
            layer = _Layer(state, network, prefix, width, options, refusals)
            x = layer.torchaudio(x) if kind == "torchaudio" else layer.speechbrain(x)
        remarks = not_read(state, refusals, [prefix for prefix, _ in layers])
        refusals.stop()
        remarks.append("Attention and the depthwise convolution see whole utterances, one by one: a padded batch of "
                       "PyTorch's gives other values.")  # fmt: skip
        kinds = ", ".join(sorted({kind for _, kind in layers}))
        return network.imported(
            options.named(path), f"{len(layers)} Conformer layers of {width} ({kinds}).", options, remarks
        )


class _Layer:
    """One layer on its way into a network; a module that cannot be taken is noted, and passed over."""

    def __init__(
        self, state: State, network: Network, prefix: str, width: int, options: ConformerOptions, refusals: Refusals
    ) -> None:  # fmt: skip
        self.state, self.network, self.prefix, self.width = state, network, prefix, width
        self.options, self.refusals = options, refusals

    def torchaudio(self, x: str) -> str:
        """Add a layer of torchaudio, and return what gives it."""
        if any("self_attn.in_proj_weight" not in one and "self_attn.q_proj" in one for one in self._names()):
            self.refusals.add(f"{self.prefix}self_attn", "MultiheadAttention", "keys of another width")
        x = self._module("ffn1", "feed-forward", x, lambda y: self._feed_forward(y, "ffn1.sequential.", 1, 4))
        modules = ["attention", "convolution"]
        for module in modules[::-1] if self.options.convolution_first else modules:
            if module == "attention":
                x = self._module("self_attn", "MultiheadAttention", x, lambda y: self._attention(
                    y, "self_attn_layer_norm.", "self_attn."))  # fmt: skip
            else:
                x = self._module("conv_module", "convolution", x, self._torchaudio_convolution)
        x = self._module("ffn2", "feed-forward", x, lambda y: self._feed_forward(y, "ffn2.sequential.", 1, 4))
        return self._last_norm("final_layer_norm.", x)

    def speechbrain(self, x: str) -> str:
        """Add a layer of SpeechBrain, and return what gives it."""
        x = self._module("ffn_module1", "feed-forward", x, lambda y: self._speechbrain_feed_forward(y, "ffn_module1."))
        x = self._module("mha_layer", "MultiheadAttention", x, lambda y: self._attention(
            y, "norm1.norm.", "mha_layer.att."))  # fmt: skip
        x = self._module("convolution_module", "convolution", x, self._speechbrain_convolution)
        x = self._module("ffn_module2", "feed-forward", x, lambda y: self._speechbrain_feed_forward(y, "ffn_module2."))
        return self._last_norm("norm2.norm.", x)

    def _names(self) -> list[str]:
        return list(self.state.under(self.prefix))

    def _get(self, name: str, *shape: int | None) -> NDArray[np.float32]:
        return self.state.get(self.prefix + name, shape)

    def _maybe(self, name: str, *shape: int | None) -> NDArray[np.float32] | None:
        return self.state.maybe(self.prefix + name, shape)

    def _module(self, name: str, module: str, x: str, inside: Any) -> str:
        """Add a module and the residual around it: x + factor f(x)."""
        before = len(self.network.ops)
        try:
            y, remark = inside(x)
            keys: dict[str, Any] = {"input": y, "residual": x}
            if module == "feed-forward":
                keys["factor"] = 0.5
            made = self.network.add(f"{self.prefix}{name}.add", "add", keys)
        except ValueError as error:
            self.refusals.add(self.prefix + name, module, str(error))
            return x
        ours = [op["name"] for op in self.network.ops[before:]]
        remark = "; ".join(filter(None, (remark, "weights rounded to float16")))
        self.network.note(self.prefix + name, module, ours, remark)
        return made

    def _last_norm(self, name: str, x: str) -> str:
        try:
            made = self._norm(name, x)
        except ValueError as error:
            self.refusals.add(self.prefix + name.rstrip("."), "LayerNorm", str(error))
            return x
        self.network.note(self.prefix + name.rstrip("."), "LayerNorm", [made], exact=True)
        return made

    def _norm(self, name: str, x: str, width: int | None = None) -> str:
        width = width or self.width
        tensors = {"gain": self._get(f"{name}weight", width), "bias": self._get(f"{name}bias", width)}
        return self.network.add(f"{self.prefix}{name.rstrip('.')}", "layer_norm", {"input": x}, tensors)

    def _linear(self, name: str, x: str, inputs: int, outputs: int | None = None) -> str:
        weight = self._get(f"{name}weight", outputs, inputs)
        return self.network.linear(
            f"{self.prefix}{name.rstrip('.')}", x, weight, self._maybe(f"{name}bias", len(weight))
        )

    def _pointwise(self, name: str, x: str, inputs: int, outputs: int) -> str:
        weight = self._get(f"{name}weight", outputs, inputs, 1)[:, :, 0]
        return self.network.linear(f"{self.prefix}{name.rstrip('.')}", x, weight, self._maybe(f"{name}bias", outputs))

    def _plain(self, name: str, op: str, x: str) -> str:
        return self.network.add(f"{self.prefix}{name}", op, {"input": x})

    def _feed_forward(self, x: str, name: str, first: int, second: int) -> tuple[str, str]:
        x = self._norm(f"{name}0.", x)
        x = self._linear(f"{name}{first}.", x, self.width)
        x = self._plain(f"{name}silu", "silu", x)
        hidden = self.state.rows(f"{self.prefix}{name}{first}.weight")
        return self._linear(f"{name}{second}.", x, hidden, self.width), ""

    def _speechbrain_feed_forward(self, x: str, name: str) -> tuple[str, str]:
        x = self._norm(f"{name}0.", x)
        x = self._linear(f"{name}1.ffn.0.", x, self.width)
        x = self._plain(f"{name}silu", "silu", x)
        hidden = self.state.rows(f"{self.prefix}{name}1.ffn.0.weight")
        return self._linear(f"{name}1.ffn.3.", x, hidden, self.width), "Swish taken for granted"

    def _attention(self, x: str, norm: str, name: str) -> tuple[str, str]:
        if f"{self.prefix}{name}in_proj_weight" not in self.state:
            there = sorted({one.removeprefix(self.prefix) for one in self._names() if "mha" in one or "attn" in one})
            raise ValueError(
                f"no '{name}in_proj_weight': attention with relative or rotary positions, hypermixing, or keys of "
                f"another width is not taken (regularMHA is); found {', '.join(there[:3]) or 'nothing'}"
            )
        x = self._norm(norm, x)
        d = self.width
        weight = self._get(f"{name}in_proj_weight", 3 * d, d)
        x = self.network.linear(f"{self.prefix}{name}in_proj", x, weight, self._maybe(f"{name}in_proj_bias", 3 * d))
        heads = self.network.add(f"{self.prefix}{name}heads", "attention", {"input": x, "heads": self.options.heads})
        return self._linear(f"{name}out_proj.", heads, d, d), ""

    def _depthwise(
        self, name: str, x: str, channels: int, gain: NDArray[np.float64] | None, shift: NDArray[np.float64] | None
    ) -> str:
        weight = self._get(f"{name}weight", channels, 1, None)[:, 0].T.astype(np.float64)
        bias = self._maybe(f"{name}bias", channels)
        taps = len(weight)
        if taps % 2 == 0 and not self.options.causal:
            raise ValueError(f"a depthwise kernel of {taps} taps; odd ones keep the number of frames")
        wide = None if bias is None else bias.astype(np.float64)
        if gain is not None and shift is not None:
            weight = weight * gain
            wide = shift if wide is None else wide * gain + shift
        tensors = {"weight": weight.astype(np.float32)}
        if wide is not None:
            tensors["bias"] = wide.astype(np.float32)
        keys: dict[str, Any] = {"input": x, "taps": taps, "weight_bits": 16}
        if self.options.causal:
            keys["causal"] = True
        return self.network.add(f"{self.prefix}{name.rstrip('.')}", "depthwise", keys, tensors)

    def _torchaudio_convolution(self, x: str) -> tuple[str, str]:
        name, d = "conv_module.sequential.", self.width
        if self.options.causal:
            raise ValueError("'causal' is an option of SpeechBrain's layers")
        channels = self.state.rows(f"{self.prefix}{name}2.weight") if f"{self.prefix}{name}2.weight" in (
            self.state) else d  # fmt: skip
        if f"{self.prefix}{name}3.running_mean" not in self.state:
            raise ValueError(
                f"'{name}3' has no running statistics: a group norm normalises over time too, so each value depends "
                "on the whole utterance; batch norm is taken"
            )
        statistics = [self._get(f"{name}3.{end}", channels).astype(np.float64) for end in _STATISTICS]
        weight, bias, mean, variance = statistics
        if (variance < 0).any():
            raise ValueError(f"'{name}3.running_var' is negative")
        gain = weight / np.sqrt(variance + BATCH_NORM_EPSILON)
        x = self._norm("conv_module.layer_norm.", x)
        x = self._pointwise(f"{name}0.", x, d, 2 * channels)
        x = self._plain(f"{name}glu", "glu", x)
        x = self._depthwise(f"{name}2.", x, channels, gain, bias - mean * gain)
        x = self._plain(f"{name}silu", "silu", x)
        return self._pointwise(f"{name}5.", x, channels, d), "batch norm in the depthwise weights"

    def _speechbrain_convolution(self, x: str) -> tuple[str, str]:
        name, d = "convolution_module.", self.width
        x = self._norm(f"{name}layer_norm.", x)
        x = self._pointwise(f"{name}bottleneck.0.", x, d, 2 * d)
        x = self._plain(f"{name}glu", "glu", x)
        x = self._depthwise(f"{name}conv.", x, d, None, None)
        x = self._norm(f"{name}after_conv.0.", x)
        x = self._plain(f"{name}silu", "silu", x)
        return self._linear(f"{name}after_conv.2.", x, d, d), "Swish taken for granted"


IMPORTERS.register("conformer", ConformerImporter)
