"""A Conformer with CTC outputs in PyTorch, in float or with the integers that the hardware sees.

Blocks as in arXiv 2606.13379: x + FF(x) / 2, x + conv(x), x + MHSA(x), x + FF(x) / 2, LayerNorm; LayerNorm in the
convolution module too, no dropout of whole parts, relative positions as in Transformer-XL. A layer with ``bits`` set
computes on integers, held exactly in float32 (127 x 127 x 576 < 2^24):

    y = s_out Q((s_in s_w) (Q(x / s_in) . Q(w / s_w)) + b, s_out),  Q(x) = clamp(round(x), -127, 127), halves to even

with the weights clamped to +-(2^(bits-1) - 1). Training passes the gradient straight through the rounding, and stops it
where a value is clamped. The scales s_in and s_out are symmetric observers: averages of the largest magnitude of each
batch over 127, frozen when training ends. s_w is chosen once, by least squares, when a layer is quantised.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from shape import FrontConv, Shape
from torch import Tensor, nn

from accelsim.kernels.activation import quantise

ACTIVATION_LIMIT = 127
OBSERVER_MEMORY = 0.98


class _Round(torch.autograd.Function):
    """Q(x): round halves to even and clamp to +-limit; the gradient passes where nothing is clamped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: int) -> Tensor:
        ctx.save_for_backward(x.abs() <= limit + 0.5)
        return x.round().clamp_(-limit, limit)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return upstream * kept, None


def rounded(x: Tensor, limit: int = ACTIVATION_LIMIT) -> Tensor:
    """Return Q(x), see `_Round`."""
    result: Tensor = _Round.apply(x, limit)
    return result


def least_squares_scale(weight: Tensor, limit: int) -> Tensor:
    """Return the step of the least squared rounding error, among shares of the one that clamps nothing."""
    largest = weight.abs().max() / limit
    steps = largest * torch.linspace(0.25, 1.0, 76, device=weight.device)
    errors = [(rounded(weight / step, limit) * step - weight).square().sum() for step in steps]
    return steps[int(torch.stack(errors).argmin())]


class Observer(nn.Module):
    """A symmetric scale that follows the largest magnitude of what passes, while training."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False
        self.register_buffer("scale", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes Q(x / scale)."""
        if self.training and not self.frozen:
            seen = x.detach().abs().max() / ACTIVATION_LIMIT
            memory = OBSERVER_MEMORY if self.scale > 0 else 0.0
            self.scale.mul_(memory).add_(seen, alpha=1 - memory)
        return rounded(x / self.scale)


class Quantised(nn.Module):
    """What all layers with weights share: the weights, and integers once ``bits`` is set."""

    def __init__(self, weight: Tensor, outputs: int | None, observe_output: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if outputs else None
        self.bits: int | None = None
        self.register_buffer("weight_scale", torch.zeros(()))
        self.before = Observer()
        self.after = Observer() if observe_output else None

    def quantise(self, bits: int) -> None:
        """From now on compute with weights of so many bits."""
        self.bits = bits
        self.weight_scale.copy_(least_squares_scale(self.weight.detach(), self.limit))

    @property
    def limit(self) -> int:
        assert self.bits is not None
        return (1 << (self.bits - 1)) - 1

    def weight_codes(self) -> Tensor:
        """Return the integer weights."""
        return rounded(self.weight / self.weight_scale, self.limit)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if self.bits is None:
            y = self.product(x, self.weight)
            return y if self.bias is None else y + self.bias
        y = self.product(self.before(x), self.weight_codes()) * (self.before.scale * self.weight_scale)
        if self.bias is not None:
            y = y + self.bias
        return y if self.after is None else self.after(y) * self.after.scale


class Linear(Quantised):
    """y = x W + b, weight [inputs, outputs]."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True, observe_output: bool = True) -> None:
        weight = torch.empty(inputs, outputs).uniform_(-1, 1) * math.sqrt(3 / inputs) * 0.8
        super().__init__(weight, outputs if bias else None, observe_output)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight


class Depthwise(Quantised):
    """y[t, c] = sum_i x[t + i - taps // 2, c] w[i, c] + b[c], weight [taps, channels], zeros beyond the ends.

    ``causal``: x[t + i - (taps - 1), c], so that no frame behind t counts.
    """

    def __init__(self, taps: int, channels: int, causal: bool = False) -> None:
        super().__init__(torch.empty(taps, channels).uniform_(-1, 1) / math.sqrt(taps), channels)
        self.causal = causal

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        taps, frames = len(weight), x.shape[1]
        before = taps - 1 if self.causal else taps // 2
        padded = F.pad(x, (0, 0, before, taps - 1 - before))
        # A sum of shifted frames: the libraries' own depthwise convolutions are many times slower on a GPU.
        return sum_of(padded[:, i : i + frames] * tap for i, tap in enumerate(weight))


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    """Return the sum of tensors, added in order."""
    return functools.reduce(torch.add, terms)


class Conv(Quantised):
    """Two-dimensional convolution over [batch, time, bands, channels], weight [time taps, band taps, in, out].

    ``depthwise``: every channel for itself, weight [time taps, band taps, 1, channels].
    """

    def __init__(self, inputs: int, spec: FrontConv) -> None:
        each = 1 if spec.depthwise else inputs
        fan_in = each * spec.kernel[0] * spec.kernel[1]
        weight = torch.empty(*spec.kernel, each, spec.channels).uniform_(-1, 1) * math.sqrt(6 / fan_in)
        super().__init__(weight, spec.channels)
        self.stride, self.depthwise = spec.stride, spec.depthwise

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.depthwise:
            return self._each_channel(x, weight)
        padding = (weight.shape[0] // 2, weight.shape[1] // 2)
        y = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(3, 2, 0, 1), stride=self.stride, padding=padding)
        return y.permute(0, 2, 3, 1)

    def _each_channel(self, x: Tensor, weight: Tensor) -> Tensor:
        taps, band_taps = weight.shape[:2]
        padded = F.pad(x, (0, 0, band_taps // 2, band_taps // 2, taps // 2, taps // 2))
        ends = x.shape[1], x.shape[2]
        return sum_of(
            padded[:, i : i + ends[0] : self.stride[0], k : k + ends[1] : self.stride[1]] * weight[i, k, 0]
            for i in range(taps)
            for k in range(band_taps)
        )


class Front(nn.Module):
    """Convolutions with ReLU and maxima, then a linear layer: [batch, time, bands, planes] -> [batch, time', width]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.specs = shape.front
        channels, bands = shape.planes, shape.bands
        convs = []
        for spec in shape.front:
            convs.append(Conv(channels, spec))
            channels, bands = spec.channels, -(-bands // spec.stride[1]) // spec.pool[1]
        self.convs = nn.ModuleList(convs)
        self.linear = Linear(bands * channels, shape.width)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        for conv, spec in zip(self.convs, self.specs, strict=True):
            x = conv(x) if spec.depthwise else torch.relu(conv(x))
            if spec.pool != (1, 1):
                x = F.max_pool2d(x.permute(0, 3, 1, 2), spec.pool).permute(0, 2, 3, 1)
            lengths = ((lengths + spec.stride[0] - 1) // spec.stride[0]) // spec.pool[0]
            x = x * present(x.shape[1], lengths)[:, :, None, None]
        return self.linear(x.flatten(2)), lengths


def present(frames: int, lengths: Tensor) -> Tensor:
    """Return 1 where an utterance still has frames: [batch, frames]."""
    return (torch.arange(frames, device=lengths.device) < lengths[:, None]).float()


def seen(frames: int, chunk: int | None, left: int, device: torch.device) -> Tensor:
    """Return 1 where frame i sees frame j: in its own chunk or ``left`` frames before that, or anywhere: [i, j]."""
    frame = torch.arange(frames, device=device)
    if chunk is None:
        return torch.ones(frames, frames, device=device)
    first = (frame // chunk * chunk)[:, None]
    return ((frame >= first - left) & (frame < first + chunk)).float()


class FeedForward(nn.Module):
    """LayerNorm, linear1, SiLU, linear2."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.linear1 = Linear(shape.width, shape.feed_forward)
        self.linear2 = Linear(shape.feed_forward, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.linear2(F.silu(self.linear1(self.norm(x)))))


class ConvolutionModule(nn.Module):
    """LayerNorm, pointwise1, GLU, depthwise, LayerNorm, SiLU, pointwise2."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.pointwise1 = Linear(shape.width, 2 * shape.width)
        self.depthwise = Depthwise(shape.kernel, shape.width, causal=shape.chunk is not None)
        self.depthwise_norm = nn.LayerNorm(shape.width)
        self.pointwise2 = Linear(shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = F.glu(self.pointwise1(self.norm(x)), dim=-1) * mask[:, :, None]
        return self.dropout(self.pointwise2(F.silu(self.depthwise_norm(self.depthwise(x)))))


class Attention(nn.Module):
    """LayerNorm, qkv, attention over all frames, or those that `seen` tells, with relative positions, out.

    score[i, j] = ((q_i + u) . k_j + (q_i + v) . p_{i-j}) / sqrt(d / heads); without positions q_i . k_j alone.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.position, self.reach = shape.heads, shape.position, shape.reach
        self.chunk, self.left = shape.chunk, shape.left
        width = shape.width
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.dropout = nn.Dropout(shape.dropout)
        if self.position != "none":
            self.u = nn.Parameter(torch.zeros(shape.heads, width // shape.heads))
            self.v = nn.Parameter(torch.zeros(shape.heads, width // shape.heads))
        if self.position in ("relative", "learnable"):
            self.linear_pos = Linear(width, width, bias=False)
        if self.position.startswith("learnable"):
            self.table = nn.Parameter(torch.randn(2 * shape.reach + 1, width) * 0.1)

    def positions(self, frames: int) -> Tensor:
        """Return p for the distances frames - 1 .. -(frames - 1): [2 frames - 1, heads, width / heads]."""
        if self.position.startswith("learnable"):
            distance = torch.arange(frames - 1, -frames, -1, device=self.table.device).clamp(-self.reach, self.reach)
            p = self.table[distance + self.reach]
        else:
            p = sinusoids(frames, self.qkv.weight.shape[0], self.qkv.weight.device)
        if not self.position.endswith("no_linear"):
            p = self.linear_pos(p)
        return p.view(len(p), self.heads, -1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, frames, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, frames, 3, self.heads, -1).unbind(2)
        if self.position == "none":
            scores = torch.einsum("bihd,bjhd->bhij", q, k)
        else:
            scores = torch.einsum("bihd,bjhd->bhij", q + self.u, k)
            scores = scores + shifted(torch.einsum("bihd,rhd->bhir", q + self.v, self.positions(frames)))
        scores = scores / math.sqrt(width // self.heads)
        visible = mask[:, None, None] * seen(frames, self.chunk, self.left, x.device)
        weights = (scores + (visible - 1) * 1e9).softmax(dim=-1)
        context = torch.einsum("bhij,bjhd->bihd", self.dropout(weights), v)
        return self.dropout(self.out(context.reshape(batch, frames, width)))


def sinusoids(frames: int, width: int, device: torch.device) -> Tensor:
    """Return sin and cos of the distances frames - 1 .. -(frames - 1), interleaved: [2 frames - 1, width].

    r[d, 2 i] = sin(d w_i), r[d, 2 i + 1] = cos(d w_i), w_i = 10000^(-2 i / width) (Transformer-XL).
    """
    distance = torch.arange(frames - 1, -frames, -1, dtype=torch.float64, device=device)
    rate = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
    angle = distance[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()


def shifted(scores: Tensor) -> Tensor:
    """Return s[.., i, j] = scores[.., i, frames - 1 - (i - j)]: [.., frames, 2 frames - 1] -> [.., frames, frames]."""
    *leading, frames, reach = scores.shape
    padded = F.pad(scores, (1, 0)).view(*leading, reach + 1, frames)
    return padded[..., 1:, :].reshape(*leading, frames, reach)[..., :frames]


class Block(nn.Module):
    """x + FF / 2, x + conv, x + MHSA, x + FF / 2, LayerNorm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.ff1 = FeedForward(shape)
        self.conv = ConvolutionModule(shape)
        self.attention = Attention(shape)
        self.ff2 = FeedForward(shape)
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + 0.5 * self.ff1(x)
        x = x + self.conv(x, mask)
        x = x + self.attention(x, mask)
        x = x + 0.5 * self.ff2(x)
        return self.norm(x)


class Conformer(nn.Module):
    """Front end, blocks and a linear output layer: [batch, time, bands, planes] -> logits [batch, time', classes]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.front = Front(shape)
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.output = Linear(shape.width, shape.classes, observe_output=False)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.front(x, lengths)
        x = self.dropout(x)
        mask = present(x.shape[1], lengths)
        for block in self.blocks:
            x = block(x, mask)
        return self.output(x), lengths

    def in_chunks(self, frames: int) -> None:
        """Let a network that streams go on with chunks of so many frames."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.chunk = frames

    def quantise(self, bits: int, input_scale: float) -> None:
        """Give the matrices that crossbars hold weights of so many bits; front end and output layer get 8.

        ``input_scale``: what a code of the features is worth; the first layer takes the codes as they come.
        """
        for name, layer in self.named_modules():
            if isinstance(layer, Quantised):
                layer.quantise(bits if name.startswith("blocks.") else 8)
        first = self.front.convs[0].before
        first.scale.fill_(input_scale)
        first.frozen = True

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what a network weighs: int8 weights and float32 for all else, or in float float16 weights and biases.

        A layer with weights has ``.weight``, ``.weight_scale``, ``.input_scale``, and where there is one ``.bias`` and
        ``.output_scale``; a LayerNorm ``.gain`` and ``.bias``; attention ``.heads.u``, ``.heads.v`` and a learnable
        ``.positions.table``, where ``linear_pos`` reads it as int8 codes of its inputs with ``.positions.table_scale``.
        """
        out: dict[str, np.ndarray] = {}
        for name, module in self.named_modules():
            found: dict[str, Tensor | None] = {}
            if isinstance(module, Quantised) and module.bits is None:
                halves = {"weight": module.weight, "bias": module.bias}
                out |= {
                    f"{name}.{key}": t.detach().numpy().astype(np.float16) for key, t in halves.items() if t is not None
                }
            elif isinstance(module, Quantised):
                out[f"{name}.weight"] = module.weight_codes().detach().numpy().astype(np.int8)
                found = {"weight_scale": module.weight_scale, "input_scale": module.before.scale, "bias": module.bias}
                found["output_scale"] = None if module.after is None else module.after.scale
            elif isinstance(module, nn.LayerNorm):
                found = {"gain": module.weight, "bias": module.bias}
            elif isinstance(module, Attention):
                found = {f"heads.{key}": getattr(module, key, None) for key in ("u", "v")}
                found["positions.table"] = getattr(module, "table", None)
                if module.position == "learnable":
                    # linear_pos rounds it to 8 bits in any case: those codes say it all.
                    del found["positions.table"]
                    scale = found["positions.table_scale"] = module.linear_pos.before.scale
                    out[f"{name}.positions.table"], _ = quantise(module.table.detach().numpy(), float(scale))
            out |= {f"{name}.{key}": value.detach().numpy() for key, value in found.items() if value is not None}
        return out
