"""Train s4d_gated: ten spoken digits by two blocks of an S4D layer, layer norm and a gated linear unit.

    ACCELSIM_DATA=... python train.py --work W

x -> S4D -> norm -> linear -> GLU = g; g + GLU(linear(norm(S4D(g)))) -> linear; the mean over four equal parts of the
utterance is read out. Float first, then the kernels on few levels with straight-through rounding; kernels run by
convolution (FFT). ``--choose`` leaves each of FSDD's four development speakers out in turn and never loads the test
speaker. A checkpoint per epoch lies in the work folder, so that a run which was stopped goes on where it was. Writes
the tensors and workload.yaml beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from accelsim.data import LogMel, load
from accelsim.data.clip import trimmed
from accelsim.data.digits import WORDS
from accelsim.devices import load_device
from accelsim.kernels.activation import add, glu, quantise, rescale
from accelsim.kernels.conv import matrix_product
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.fixed_point import requantise
from accelsim.kernels.norm import layer_norm
from accelsim.kernels.ssm import convolve, largest_level, program_kernels, quantised, recurrence
from accelsim.score.classes import UtteranceClasses
from accelsim.weights import save_weights

HERE = Path(__file__).parent
FEATURES = LogMel(bands=16, low_hz=100.0, high_hz=3800.0, floor=1e-3, mean_prior=20, initial_mean=-4.0)
OFFSET, UNIT = 80, 64  # the network reads (code - OFFSET) / UNIT
WIDTH, OUTPUTS, SEGMENTS = 32, 16, 4
TRIM_DB, LONGEST_S = 60, 1.0  # of every utterance, in a run too: keys of the workload's inputs
LONGEST = round(LONGEST_S / FEATURES.hop_s)
STATES = (7, 3)  # of a kernel in each block: two and four kernels share a crossbar of 64 x 64
KERNEL_BITS, SCALE, LARGEST_RADIUS = 4, 0.9, 0.95
CODE_BITS, LINEAR_BITS = 8, 8
EPOCHS, FINE_EPOCHS, BATCH, RATE = 20, 8, 64, 4e-3
SEED = 0
RESPONSE, NOISE = 0.2, 0.2
TOP = 1 << (CODE_BITS - 1)


@dataclass(frozen=True)
class Recordings:
    """Log-mel codes as the network reads them, [utterances, LONGEST, bands], frames, classes and speakers."""

    inputs: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor
    speakers: np.ndarray

    def part(self, chosen: np.ndarray) -> Recordings:
        """Return some of the utterances."""
        return Recordings(self.inputs[chosen], self.lengths[chosen], self.labels[chosen], self.speakers[chosen])

    def end_to_end(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of all utterances end to end, and where each starts."""
        frames = [x[:n] for x, n in zip(self.inputs.numpy(), self.lengths.tolist(), strict=True)]
        codes = np.rint(np.concatenate(frames) * UNIT + OFFSET).astype(np.uint8)
        return codes, np.concatenate([[0], np.cumsum(self.lengths.numpy())])


def recordings(*sets: tuple[str, str]) -> Recordings:
    """Return the utterances of data sets and splits, cut at LONGEST frames; no test utterance is longer."""
    utterances = [u for name, split in sets for u in load(name, split)]
    inputs = np.zeros((len(utterances), LONGEST, FEATURES.bands), np.float32)
    lengths = np.zeros(len(utterances), np.int64)
    for i, utterance in enumerate(tqdm(utterances, desc="features", mininterval=2)):
        codes = FEATURES.codes(trimmed(utterance.audio, TRIM_DB))[:LONGEST]
        n = lengths[i] = len(codes)
        inputs[i, :n] = (codes.astype(np.float32) - OFFSET) / UNIT
    labels = torch.tensor([WORDS.index(u.text) for u in utterances])
    speakers = np.array([u.speaker for u in utterances])
    return Recordings(torch.from_numpy(inputs), torch.from_numpy(lengths), labels, speakers)


def parts_of(lengths: torch.Tensor) -> torch.Tensor:
    """Return the averages over each of four equal parts, [utterances, SEGMENTS, LONGEST]."""
    time, n = torch.arange(LONGEST)[None], lengths[:, None]
    place = torch.where(time < n, time * SEGMENTS // n, SEGMENTS)
    inside = (place[:, None] == torch.arange(SEGMENTS)[None, :, None]).float()
    return inside / inside.sum(dim=2, keepdim=True).clamp(min=1)


def through(value: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Return the rounded value with the gradient of the value."""
    return value + (rounded - value).detach()


def in_codes(value: torch.Tensor, per_unit: float) -> torch.Tensor:
    """Return the value as a converter's codes hold it, ``per_unit`` codes a unit, clamped outside their range."""
    held = value.clamp(-TOP / per_unit, TOP / per_unit)
    return through(held, torch.round(held * per_unit) / per_unit)


class Kernels(nn.Module):
    """One S4D kernel per channel, y[t] = gain sum_k Re(C A^(k-1) B) u[t-k].

    ``bits`` 0 is float. Otherwise the weights lie on levels of the range SCALE, ``per_unit`` codes of the converters
    stand for one unit of u and x, and ``per_output`` for one of y.
    """

    def __init__(self, channels: int, states: int) -> None:
        super().__init__()
        angle = torch.rand(channels, states) * torch.linspace(0.2, 2.5, states)
        radius = 0.5 + 0.4 * torch.rand(channels, states)
        self.a = nn.Parameter(torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1))
        self.b = nn.Parameter(torch.tensor([1.0, 0.0]).expand(channels, states, 2) * (1 - radius[..., None]))
        self.c = nn.Parameter(torch.randn(channels, states, 2))
        self.bits = 0
        self.per_unit = self.per_output = self.gain = 1.0

    def levels(self) -> list[torch.Tensor]:
        """Return A, B and C in whole level steps; A is held inside the largest radius."""
        q = largest_level(self.bits)
        found = [torch.from_numpy(quantised(w.detach().numpy(), SCALE, self.bits)) for w in (self.a, self.b, self.c)]
        for _ in range(q):
            over = found[0].float().norm(dim=-1, keepdim=True) * SCALE / q >= LARGEST_RADIUS
            larger = found[0].abs() >= found[0].abs().amax(-1, keepdim=True)
            found[0] = found[0] - torch.sign(found[0]) * (over & larger)
        return found

    def weights(self) -> list[torch.Tensor]:
        """Return A, B and C as the network uses them."""
        if not self.bits:
            return [self.a * (LARGEST_RADIUS / self.a.detach().norm(dim=-1, keepdim=True)).clamp(max=1), self.b, self.c]
        step = SCALE / largest_level(self.bits)
        given = (self.a, self.b.detach(), self.c)
        return [through(w.clamp(-SCALE, SCALE), n * step) for w, n in zip(given, self.levels(), strict=True)]

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        a, b, c = (torch.view_as_complex(w.contiguous()) for w in self.weights())
        powers = torch.exp(torch.log(a + 1e-6)[..., None] * torch.arange(LONGEST - 1))
        response = nn.functional.pad(((b * c)[..., None] * powers).real.sum(1), (1, 0))  # [channels, LONGEST]
        points = 2 * LONGEST
        held = in_codes(u, self.per_unit) if self.bits else u
        spectrum = torch.fft.rfft(held, points, dim=1) * torch.fft.rfft(response, points).T
        y = torch.fft.irfft(spectrum, points, dim=1)[:, :LONGEST]
        return self.gain * (in_codes(y, self.per_output) if self.bits else y)

    def settle(self, u: np.ndarray, starts: np.ndarray, bits: int) -> None:
        """Put a float kernel onto levels: B, real, fills a state's converter, and C takes on what B gives up.

        u: the layer's inputs, [frames, channels]. One in a thousand of states and outputs may be clamped.
        """
        a, b, c = (torch.view_as_complex(w.detach().contiguous()).numpy() for w in self.weights())
        step = SCALE / largest_level(bits)
        one = np.ones_like(a)
        largest = np.zeros(a.shape)
        for n in range(a.shape[1]):
            for read in (one, -1j * one):  # Re x, Im x
                parts = (np.stack([w[:, [n]].real, w[:, [n]].imag], -1) for w in (a, one, read))
                x = convolve(*parts, u, starts)
                largest[:, n] = np.maximum(largest[:, n], np.quantile(np.abs(x), 0.999, axis=0))
        room = 7 / 8 * TOP / self.per_unit
        filling = np.clip(np.floor(room / largest / step), 1, largest_level(bits)) * step
        moved = c * b / filling
        self.gain = float(np.quantile(np.abs(np.stack([moved.real, moved.imag])), 0.99) / SCALE)
        with torch.no_grad():
            self.a.copy_(torch.view_as_real(torch.from_numpy(a)))
            self.b.copy_(torch.from_numpy(np.stack([filling, np.zeros_like(filling)], -1)))
            self.c.copy_(torch.view_as_real(torch.from_numpy(moved / self.gain)))
        self.bits = bits
        self.range_outputs(u, starts)

    def range_outputs(self, u: np.ndarray, starts: np.ndarray) -> None:
        """Choose ``per_output`` so that one in a thousand outputs may be clamped."""
        y = convolve(*(w.detach().numpy() for w in self.weights()), u, starts)
        self.per_output = 7 / 8 * TOP / float(np.quantile(np.abs(y), 0.999))


class Network(nn.Module):
    """Two blocks of kernels, norm and gated unit, a sum, and a linear readout; then classes from its averages."""

    def __init__(self) -> None:
        super().__init__()
        widths = (FEATURES.bands, WIDTH)
        self.kernels = nn.ModuleList(Kernels(width, states) for width, states in zip(widths, STATES, strict=True))
        self.norm = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.linear = nn.ModuleList(nn.Linear(width, 2 * WIDTH) for width in widths)
        self.out = nn.Linear(WIDTH, OUTPUTS)
        self.readout = nn.Linear(SEGMENTS * OUTPUTS, len(WORDS))

    def block(self, k: int, x: torch.Tensor) -> torch.Tensor:
        gated = nn.functional.glu(self.linear[k](self.norm[k](self.kernels[k](x))), dim=-1)
        return nn.functional.dropout(gated, 0.1, self.training)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        g = self.block(0, x)
        y = self.out(g + self.block(1, g))
        pooled = torch.einsum("utc,ukt->ukc", y, parts_of(lengths)).flatten(1)
        return self.readout(nn.functional.dropout(pooled, 0.2, self.training))


def varied(inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Other rooms and microphones, roughly: a smooth random response over the bands, noise, and a gap in time."""
    place = torch.linspace(0, np.pi, inputs.shape[2])
    response = sum(torch.randn(len(inputs), 1, 1) * torch.cos(n * place) for n in range(4))
    time = torch.arange(LONGEST)[None]
    begin = (torch.rand(len(inputs)) * lengths).long()[:, None]
    kept = (time < begin) | (time >= begin + torch.randint(0, 6, (len(inputs), 1)))
    heard = (time < lengths[:, None]) & kept
    changed = inputs + RESPONSE * response + NOISE * torch.randn_like(inputs)
    return changed.clamp(-OFFSET / UNIT, (255 - OFFSET) / UNIT) * heard[..., None]


def accuracy(model: Network, data: Recordings) -> float:
    """Return the share of recordings that the network gets right, by convolution."""
    model.eval()
    with torch.no_grad():
        return float((model(data.inputs, data.lengths).argmax(1) == data.labels).float().mean())


def train(model: Network, data: Recordings, rate: float, epochs: int, seed: int, path: Path | None) -> None:
    """Minimise the cross-entropy with Adam and a linear schedule, from the last checkpoint if there is one."""
    optimiser, first = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2), 0
    if path and path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["epochs"]
    name = path.stem if path else "train"
    for epoch in tqdm(range(first, epochs), desc=name, initial=first, total=epochs, mininterval=2):
        torch.manual_seed(1000 * seed + epoch)
        model.train()
        optimiser.param_groups[0]["lr"] = rate * (1 - epoch / epochs)
        for batch in torch.randperm(len(data.labels)).split(BATCH):
            inputs, lengths = data.inputs[batch], data.lengths[batch]
            logits = model(varied(inputs, lengths), lengths)
            loss = nn.functional.cross_entropy(logits, data.labels[batch], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
        if path:
            saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epochs": epoch + 1}
            torch.save(saved, path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)


def graph_of(kernels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ops of workload.yaml; ``kernels``: the numbers of each S4D layer."""
    ops: list[dict[str, Any]] = []
    for k, (source, numbers) in enumerate(zip(("features", "g0"), kernels, strict=True)):
        ops += [
            {"op": "s4d", "name": f"s{k}", "input": source, **numbers},
            {"op": "layer_norm", "name": f"n{k}", "input": f"s{k}"},
            {"op": "linear", "name": f"l{k}", "input": f"n{k}", "outputs": 2 * WIDTH, "weight_bits": LINEAR_BITS},
            {"op": "glu", "name": f"g{k}", "input": f"l{k}"},
        ]
    ops.append({"op": "add", "name": "sum", "input": "g1", "residual": "g0"})
    ops.append({"op": "linear", "name": "out", "input": "sum", "outputs": OUTPUTS, "weight_bits": LINEAR_BITS})
    return ops


def float_values(
    ops: list[dict[str, Any]], tensors: dict[str, np.ndarray], codes: np.ndarray, starts: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the values of every op of the float network, [frames, width], without rounding."""
    made = {"features": (codes.astype(np.float64) - OFFSET) / UNIT}
    for op in ops:
        name, x = op["name"], made[op["input"]]
        if op["op"] == "s4d":
            y = convolve(*(tensors[f"{name}.{part}"] for part in "abc"), x, starts)
        elif op["op"] == "layer_norm":
            centred = x - x.mean(axis=1, keepdims=True)
            y = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
            y = y * tensors[f"{name}.gain"] + tensors[f"{name}.bias"]
        elif op["op"] == "linear":
            y = x @ tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
        elif op["op"] == "glu":
            half = x.shape[1] // 2
            y = x[:, :half] / (1 + np.exp(-x[:, half:]))
        else:
            y = made[op["residual"]] + x
        made[name] = y
        yield name, y


def integer_values(
    ops: list[dict[str, Any]], tensors: dict[str, np.ndarray], codes: np.ndarray, starts: np.ndarray
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield the name, the values and the share of clamped codes of every op: ideal cells, a float32 vector unit."""
    made: dict[str, np.ndarray] = {"features": codes}
    device = load_device("ideal")
    for op in ops:
        name, x, clamped = op["name"], made[op["input"]], 0.0
        if op["op"] == "s4d":
            bits, cell_bits = op["weight_bits"], op["weight_bits"] - 1
            u, over = requantise(x, op["input_scale"], op["input_offset"], -TOP, TOP)
            kernels = program_kernels(
                *(tensors[f"{name}.{part}"] for part in "abc"),
                device.programmer(0, read_voltage=0.2, cell_bits=cell_bits), device.curves(0.2, cell_bits),
                weight_bits=bits,
            )  # fmt: skip
            ran = recurrence(
                kernels, u, starts, dac=DacTransfer(CODE_BITS, 0.2), state_gain=op["scale"] / largest_level(bits),
                output_gain=op["output_gain"],
            )  # fmt: skip
            y = ran.outputs.astype(np.float32) * np.float32(op["output_scale"])
            clamped = (over + int(ran.saturated.sum())) / (u.size * (2 * op["states"] + 2))
        elif op["op"] == "layer_norm":
            y = layer_norm(x, tensors[f"{name}.gain"], tensors[f"{name}.bias"])
        elif op["op"] == "linear":
            q, over = quantise(x, float(tensors[f"{name}.input_scale"]))
            scale = float(tensors[f"{name}.input_scale"] * tensors[f"{name}.weight_scale"])
            y = rescale(matrix_product(q, tensors[f"{name}.weight"]), scale, tensors[f"{name}.bias"])
            clamped = over / q.size
        elif op["op"] == "glu":
            y = glu(x)
        else:
            y = add(made[op["residual"]], x)
        made[name] = y
        yield name, y, clamped


def float_tensors(model: Network) -> dict[str, np.ndarray]:
    """Return the tensors of the float network by the names of its ops."""
    made: dict[str, torch.Tensor] = {}
    for k, kernels in enumerate(model.kernels):
        made |= {f"s{k}.{part}": weight for part, weight in zip("abc", kernels.weights(), strict=True)}
        made |= {f"n{k}.gain": model.norm[k].weight, f"n{k}.bias": model.norm[k].bias}
    for name, linear in (("l0", model.linear[0]), ("l1", model.linear[1]), ("out", model.out)):
        made |= {f"{name}.weight": linear.weight.T, f"{name}.bias": linear.bias}
    return {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in made.items()}


def readout_of(model: Network) -> dict[str, np.ndarray]:
    """Return the weight [SEGMENTS * OUTPUTS, classes] and the bias of the classes."""
    readout = model.readout
    return {"weight": np.ascontiguousarray(readout.weight.detach().numpy().T), "bias": readout.bias.detach().numpy()}


def settle(model: Network, data: Recordings, bits: int) -> None:
    """Put the kernels of a float network onto levels, ranged by what they read of the recordings."""
    codes, starts = data.end_to_end()
    ops = graph_of([{}, {}])
    made = dict(float_values(ops, float_tensors(model), codes, starts))
    made["features"] = (codes.astype(np.float64) - OFFSET) / UNIT
    for kernels, source in zip(model.kernels, ("features", "g0"), strict=True):
        if source == "features":
            kernels.per_unit = float(UNIT)  # the codes as they are
        else:
            kernels.per_unit = TOP / float(np.quantile(np.abs(made[source]), 0.9995))
        kernels.settle(made[source], starts, bits)


def deploy(model: Network, data: Recordings) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the ops and the tensors of the network in whole numbers, ranged by the recordings."""
    numbers, tensors = [], float_tensors(model)
    for k, kernels in enumerate(model.kernels):
        step = SCALE / largest_level(kernels.bits)
        output_gain = round(kernels.per_output * step / kernels.per_unit, 6)
        numbers.append(
            {
                "kernels": kernels.a.shape[0], "states": STATES[k], "weight_bits": kernels.bits, "weights": f"s{k}",
                "scale": SCALE, "code_bits": CODE_BITS,
                "input_scale": 1.0 if k == 0 else round(kernels.per_unit, 6), "input_offset": OFFSET if k == 0 else 0,
                "output_gain": output_gain,
                "output_scale": round(kernels.gain * step / kernels.per_unit / output_gain, 8),
            }
        )  # fmt: skip
        tensors |= {f"s{k}.{part}": level.numpy() for part, level in zip("abc", kernels.levels(), strict=True)}
    ops = graph_of(numbers)
    codes, starts = data.end_to_end()
    linear = {op["name"]: op["input"] for op in ops if op["op"] == "linear"}
    for name, source in linear.items():
        weight = tensors[f"{name}.weight"]
        top = (1 << (LINEAR_BITS - 1)) - 1
        scale = np.float32(np.abs(weight).max() / top)
        tensors[f"{name}.weight"] = np.clip(np.rint(weight / scale), -top, top).astype(np.int8)
        tensors[f"{name}.weight_scale"] = np.array(scale)
        # Ranged by what the layers in front give in whole numbers.
        until = next(i for i, op in enumerate(ops) if op["name"] == name)
        made = {op_name: y for op_name, y, _ in integer_values(ops[:until], tensors, codes, starts)}
        tensors[f"{name}.input_scale"] = np.array(np.quantile(np.abs(made[source]), 0.9999) / 127, np.float32)
    return ops, tensors


def error(outputs: np.ndarray, starts: np.ndarray, readout: dict[str, np.ndarray], data: Recordings) -> float:
    """Return how many recordings the outputs of the network get wrong, in %, by the score of the workload."""
    judge = UtteranceClasses(WORDS, readout["weight"], readout["bias"], SEGMENTS, "mean")
    said = [judge.classify(outputs[first:last]) for first, last in pairwise(starts)]
    return 100 * float(np.mean([word != WORDS[label] for word, label in zip(said, data.labels, strict=True)]))


WORKLOAD = """\
# Written by train.py.
schema: accelsim/workload@1
name: s4d_gated
description: >
  Ten spoken digits from log-mel frames: two blocks of an S4D layer ({bits}-bit weights in one range), layer norm and a
  gated linear unit, their sum, a linear readout of {outputs} values, the mean of those over four equal parts of an
  utterance, and classes from it.
weights: weights.safetensors
reference_weights: reference.safetensors
reference_unit: {unit}
inputs:
  source: speech
  dataset: fsdd
  split: test
  trim_db: {trim_db}
  longest_s: {longest_s}
  features: {{bands: 16, low_hz: 100.0, high_hz: 3800.0, floor: 1e-3, mean_prior: 20, initial_mean: -4.0}}

graph:
{graph}
score: {{kind: utterance_class, decoder: decoder.safetensors, readout: readout,
        classes: [{classes}], segments: {segments}}}
"""


def write(model: Network, reference: Network, ops: list[dict[str, Any]], tensors: dict[str, np.ndarray]) -> None:
    """Write the tensors of both networks and the workload beside this file."""
    readouts = {"readout": readout_of(model), "reference": readout_of(reference)}
    decoder = {f"{name}.{part}": tensor for name, parts in readouts.items() for part, tensor in parts.items()}
    for name, found in (("weights", tensors), ("reference", float_tensors(reference)), ("decoder", decoder)):
        save_weights(HERE / f"{name}.safetensors", found)
    lines = []
    for op in ops:
        entries = [f"{key}: {value}" for key, value in op.items()]
        text = "  - {" + ", ".join(entries) + "}"
        if len(text) > 120:
            text = "  - {" + ", ".join(entries[:7]) + ",\n     " + ", ".join(entries[7:]) + "}"
        lines.append(text)
    text = WORKLOAD.format(
        bits=KERNEL_BITS, outputs=OUTPUTS, unit=UNIT, graph="\n".join(lines), classes=", ".join(WORDS),
        segments=SEGMENTS, trim_db=TRIM_DB, longest_s=LONGEST_S,
    )  # fmt: skip
    (HERE / "workload.yaml").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Trained:
    """The float network, the one on levels, and that one in whole numbers: its ops and tensors."""

    reference: Network
    model: Network
    ops: list[dict[str, Any]]
    tensors: dict[str, np.ndarray]

    def errors(self, data: Recordings) -> tuple[float, float]:
        """Return the error of the float network and of the whole numbers in %; says how many codes were clamped."""
        codes, starts = data.end_to_end()
        exact = dict(float_values(self.ops, float_tensors(self.reference), codes, starts))
        rounded, most = {}, 0.0
        for name, y, clamped in integer_values(self.ops, self.tensors, codes, starts):
            rounded[name], most = y, max(most, clamped)
        tqdm.write(f"at most {100 * most:.2f} % of the codes of an op are clamped")
        last = self.ops[-1]["name"]
        return (
            error(exact[last], starts, readout_of(self.reference), data),
            error(rounded[last], starts, readout_of(self.model), data),
        )


def trained(data: Recordings, name: str, work: Path) -> Trained:
    """Train both networks on recordings, or go on where a run was stopped."""
    torch.manual_seed(SEED)
    reference, model = Network(), Network()
    train(reference, data, RATE, EPOCHS, SEED, work / f"{name}_float.pt")
    model.load_state_dict(reference.state_dict())
    settle(model, data, KERNEL_BITS)
    train(model, data, RATE / 4, FINE_EPOCHS, SEED + 1, work / f"{name}_levels.pt")
    return Trained(reference, model, *deploy(model, data))


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--choose", action="store_true", help="leave each development speaker out in turn, no test")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = recordings(("fsdd", "train"), ("audiomnist", "train"))
    if arguments.choose:
        for speaker in sorted({name for name in data.speakers if not name.isdigit()}):  # FSDD's speakers have names
            apart = data.speakers == speaker
            errors = trained(data.part(~apart), speaker, arguments.work).errors(data.part(apart))
            print(f"{speaker}: {errors[0]:.2f} % in float, {errors[1]:.2f} % in whole numbers", flush=True)
        return
    network = trained(data, "all", arguments.work)
    write(network.model, network.reference, network.ops, network.tensors)
    for split, chosen in (("training", data), ("test", recordings(("fsdd", "test")))):
        errors = network.errors(chosen)
        print(f"{split}: {errors[0]:.2f} % in float, {errors[1]:.2f} % in whole numbers", flush=True)


if __name__ == "__main__":
    main()
