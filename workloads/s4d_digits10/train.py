"""Train s4d_digits10: ten spoken digits by two S4D layers with activation, mixing and residual.

    ACCELSIM_DATA=... python train.py --work W

h0 = E x; twice h <- h + M relu(S4D(h)); the mean of h over four equal parts of the utterance is read out. Weights of
the kernels have 3 bits in one fixed range, those of E and M have 4. Straight-through rounding; the kernels run by
convolution (FFT). A checkpoint per epoch lies in the work folder, so that a run which was stopped goes on where it was.
Writes weights.safetensors, float.safetensors and readout.safetensors beside this file and prints the gains of
workload.yaml.

    python train.py --data my.tsv --out mywords

trains the same network on words of your own, see ../s4d_digits/own.py: the words, the highest band and the longest
length come from the training recordings, the trimming and the seed from the dev speakers. Writes a workload with its
weights into the folder, and speakers.csv: how much each test speaker is misheard, in float and in whole numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

sys.path += [str(Path(__file__).parent.parent / "s4d_digits")]

import own

from accelsim.data import LogMel, Utterance, load
from accelsim.data.clip import at_loudness, trimmed
from accelsim.data.digits import LOUDNESS, WORDS
from accelsim.devices import load_device
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.crossbar import Curves, Program
from accelsim.kernels.ssm import largest_level, program_kernels, recurrence, side
from accelsim.weights import save_weights

HERE = Path(__file__).parent
FEATURES = LogMel(bands=16, low_hz=100.0, high_hz=3800.0, floor=1e-3, mean_prior=20, initial_mean=-4.0)
OFFSET, FULL_SCALE = 80, 64
CHANNELS, STATES, LAYERS, SEGMENTS = 16, 3, 2, 4
TRIM_DB, LONGEST_S = 60, 1.0  # of every utterance, in a run too: keys of the workload's inputs
LONGEST = round(LONGEST_S / FEATURES.hop_s)
CODE_BITS = 8
KERNEL_BITS, MIXING_BITS = 3, 4
SCALE, LARGEST_RADIUS = 0.9, 0.98
READ_VOLTAGE = 0.2  # of arch/imssa10.yaml, whose 64 x 64 cells hold four kernels
CROSSBARS = CHANNELS // (64 // side(STATES))  # of a layer
EPOCHS, BATCH, RATE = 25, 64, 6e-3
HIGHEST_SHARE = 0.475  # of a sample rate, up to where a recording has anything: 3.8 of 8 kHz
OWN_SEEDS = (1.0, 2.0)  # of the quantised half, of words of one's own


@dataclass(frozen=True)
class Recordings:
    """Log-mel codes about 0, [utterances, LONGEST, bands], the averages over each part, classes and speakers."""

    inputs: torch.Tensor
    segments: torch.Tensor
    lengths: np.ndarray
    labels: torch.Tensor
    speakers: np.ndarray

    def part(self, chosen: np.ndarray) -> Recordings:
        return Recordings(
            self.inputs[chosen], self.segments[chosen], self.lengths[chosen], self.labels[chosen],
            self.speakers[chosen],
        )  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What is to be told apart, and how a recording becomes rows of features: that of the digits unless said."""

    words: tuple[str, ...] = WORDS
    features: LogMel = FEATURES
    trim_db: float = TRIM_DB
    longest_s: float = LONGEST_S
    loudness: float | None = None  # the digits come at one loudness


def recordings() -> tuple[Recordings, np.ndarray]:
    """Return all of FSDD and zero to three of AudioMNIST's training speakers, and which are FSDD's test speaker."""
    sets = (("fsdd", "train"), ("audiomnist", "train"), ("fsdd", "test"))
    utterances = [(u, split == "test") for name, split in sets for u in load(name, split)]
    return prepared([u for u, _ in utterances], Task()), np.array([test for _, test in utterances])


def prepared(utterances: Sequence[Utterance], task: Task) -> Recordings:
    """Return utterances as the network hears them: trimmed, cut, as codes."""
    longest = round(task.longest_s / task.features.hop_s)
    inputs = np.zeros((len(utterances), longest, task.features.bands), np.float32)
    segments = np.zeros((len(utterances), SEGMENTS, longest), np.float32)
    lengths = np.zeros(len(utterances), np.int64)
    for i, utterance in enumerate(tqdm(utterances, desc="features", mininterval=2)):
        audio = utterance.audio if task.loudness is None else at_loudness(utterance.audio, task.loudness)
        codes = task.features.codes(trimmed(audio, task.trim_db))[:longest].astype(np.float32) - OFFSET
        n = lengths[i] = len(codes)
        inputs[i, :n] = np.clip(codes, -128, 127) / FULL_SCALE
        place = np.arange(n) * SEGMENTS // n
        for k in range(SEGMENTS):
            segments[i, k, :n] = (place == k) / max((place == k).sum(), 1)
    labels = torch.tensor([task.words.index(own.word_of(u)) for u in utterances])
    speakers = np.array([u.speaker for u in utterances])
    return Recordings(torch.from_numpy(inputs), torch.from_numpy(segments), lengths, labels, speakers)


def through(weight: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Return the rounded value with the gradient of the weight."""
    return weight + (rounded - weight).detach()


class Mixing(nn.Module):
    """A dense layer whose weights lie on 2^bits - 1 levels once ``bits`` is not 0; the range follows the weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bits = 0

    def step(self) -> torch.Tensor:
        return self.weight.detach().abs().quantile(0.995) / largest_level(self.bits)

    def levels(self) -> torch.Tensor:
        q = largest_level(self.bits)
        return torch.round(self.weight.detach() / self.step()).clamp(-q, q)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (through(self.weight, self.levels() * self.step()) if self.bits else self.weight)


class Kernels(nn.Module):
    """One S4D kernel per channel, y[t] = sum_k Re(C A^(k-1) B) u[t-k]; the weights share the range SCALE."""

    def __init__(self) -> None:
        super().__init__()
        angle = torch.rand(CHANNELS, STATES) * torch.tensor([0.3, 1.0, 2.5])
        radius = 0.6 + 0.3 * torch.rand(CHANNELS, STATES)
        self.a = nn.Parameter(torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1))
        self.b = nn.Parameter(SCALE * (2 * torch.rand(CHANNELS, STATES, 2) - 1))
        self.c = nn.Parameter(SCALE * (2 * torch.rand(CHANNELS, STATES, 2) - 1))
        self.bits = 0

    def levels(self) -> list[torch.Tensor]:
        """Return A, B and C in whole level steps; A is held inside the largest radius."""
        q = largest_level(self.bits)
        found = [torch.round((w.detach() / SCALE).clamp(-1, 1) * q) for w in (self.a, self.b, self.c)]
        for _ in range(q):
            over = found[0].norm(dim=-1, keepdim=True) * SCALE / q >= LARGEST_RADIUS
            larger = found[0].abs() >= found[0].abs().amax(-1, keepdim=True)
            found[0] = found[0] - torch.sign(found[0]) * (over & larger)
        return found

    def weights(self) -> list[torch.Tensor]:
        if not self.bits:
            return [self.a * (LARGEST_RADIUS / self.a.detach().norm(dim=-1, keepdim=True)).clamp(max=1), self.b, self.c]
        step = SCALE / largest_level(self.bits)
        given = (self.a, self.b, self.c)
        return [through(w.clamp(-SCALE, SCALE), n * step) for w, n in zip(given, self.levels(), strict=True)]

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        a, b, c = (torch.view_as_complex(w.contiguous()) for w in self.weights())
        frames = u.shape[1]
        powers = torch.exp(torch.log(a + 1e-6)[..., None] * torch.arange(frames - 1))
        response = nn.functional.pad(((b * c)[..., None] * powers).real.sum(1), (1, 0))  # [channels, frames]
        points = 2 * frames
        spectrum = torch.fft.rfft(u, points, dim=1) * torch.fft.rfft(response, points).T
        return torch.fft.irfft(spectrum, points, dim=1)[:, :frames]


class Network(nn.Module):
    def __init__(self, words: int = len(WORDS)) -> None:
        super().__init__()
        self.encoder = Mixing(FEATURES.bands, CHANNELS)
        self.kernels = nn.ModuleList(Kernels() for _ in range(LAYERS))
        self.mixing = nn.ModuleList(Mixing(CHANNELS, CHANNELS) for _ in range(LAYERS))
        self.readout = nn.Linear(SEGMENTS * CHANNELS, words)

    def quantise(self) -> None:
        self.encoder.bits = MIXING_BITS
        for kernels, mixing in zip(self.kernels, self.mixing, strict=True):
            kernels.bits, mixing.bits = KERNEL_BITS, MIXING_BITS

    def forward(self, x: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        h = self.encoder(x)
        for kernels, mixing in zip(self.kernels, self.mixing, strict=True):
            h = h + mixing(torch.relu(kernels(h)))
        pooled = torch.einsum("utc,ukt->ukc", h, segments).flatten(1)
        return self.readout(nn.functional.dropout(pooled, 0.2, self.training))


def varied(inputs: torch.Tensor) -> torch.Tensor:
    """Other rooms and microphones, roughly: a smooth random response over the bands, and noise."""
    place = torch.linspace(0, np.pi, inputs.shape[2])
    response = sum(torch.randn(len(inputs), 1, 1) * torch.cos(n * place) for n in range(4))
    heard = (inputs != 0).any(dim=2, keepdim=True)
    return (inputs + 0.2 * response + 0.2 * torch.randn_like(inputs)) * heard


def accuracy(model: Network, data: Recordings) -> float:
    model.eval()
    with torch.no_grad():
        return float((model(data.inputs, data.segments).argmax(1) == data.labels).float().mean())


def loss(model: Network, data: Recordings) -> float:
    """Return the cross-entropy."""
    model.eval()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(data.inputs, data.segments), data.labels))


def float_errors(model: Network, data: Recordings) -> list[bool]:
    """Return which utterances the float network gets wrong."""
    model.eval()
    with torch.no_grad():
        return [bool(one) for one in model(data.inputs, data.segments).argmax(1) != data.labels]


def train(
    model: Network,
    data: Recordings,
    rate: float,
    seed: int,
    name: str,
    work: Path | None,
    *,
    epochs: int = EPOCHS,
    before_epoch: Callable[[int], None] = lambda epoch: None,
    largest_gradient: float | None = None,
) -> None:
    """Minimise the cross-entropy with Adam and a linear schedule, from the last checkpoint if there is one.

    ``before_epoch`` is called with the number of each epoch; ``largest_gradient``: norm at which gradients are cut.
    """
    optimiser, first = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2), 0
    path = work / f"{name}.pt" if work else None
    if path and path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["epochs"]
    for epoch in tqdm(range(first, epochs), desc=name, initial=first, total=epochs, mininterval=2):
        torch.manual_seed(1000 * seed + epoch)
        model.train()
        before_epoch(epoch)
        optimiser.param_groups[0]["lr"] = rate * (1 - epoch / epochs)
        for batch in torch.randperm(len(data.labels)).split(BATCH):
            logits = model(varied(data.inputs[batch]), data.segments[batch])
            loss = nn.functional.cross_entropy(logits, data.labels[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            if largest_gradient is not None:
                nn.utils.clip_grad_norm_(model.parameters(), largest_gradient)
            optimiser.step()
        if path:
            saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epochs": epoch + 1}
            torch.save(saved, path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)


def rounded(values: np.ndarray, scale: float) -> np.ndarray:
    """Return clamp(round(scale x)) within the converters' codes, int16."""
    top = 2 ** (CODE_BITS - 1)
    return np.clip(np.rint(values * scale), -top, top).astype(np.int16)


@dataclass(frozen=True)
class Cells:
    """How the cells of a chip are programmed, and what current they carry; `accelsim.kernels.ssm` asks for both."""

    program: Program
    curves: Curves


def ideal_cells() -> Cells:
    """Return cells without an error."""
    device = load_device("ideal")
    program = device.programmer(0, read_voltage=READ_VOLTAGE, cell_bits=KERNEL_BITS - 1)
    return Cells(program, device.curves(READ_VOLTAGE, KERNEL_BITS - 1))


@dataclass(frozen=True)
class Layer:
    """One layer in whole numbers: levels of the kernels and of the mixing, and the gains between them.

    u = round(input_scale h), y codes with ``output_gain``, h <- h + round(residual_scale M relu(y)).
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    mixing: np.ndarray
    input_scale: float
    output_gain: float
    residual_scale: float

    def forward(self, h: np.ndarray, starts: np.ndarray, cells: Cells, first_array: int = 0) -> np.ndarray:
        """Return h after the layer; its first crossbar is array ``first_array``."""
        kernels = program_kernels(
            self.a, self.b, self.c, cells.program, cells.curves, weight_bits=KERNEL_BITS, first_array=first_array,
        )  # fmt: skip
        y = recurrence(
            kernels, rounded(h, self.input_scale), starts, dac=DacTransfer(CODE_BITS, READ_VOLTAGE),
            state_gain=SCALE / largest_level(KERNEL_BITS), output_gain=self.output_gain,
        ).outputs  # fmt: skip
        return h + np.rint(self.residual_scale * (np.maximum(y, 0).astype(np.int64) @ self.mixing))


@dataclass(frozen=True)
class Integers:
    """The network in whole numbers; h is in level steps of the encoder."""

    encoder: np.ndarray
    layers: tuple[Layer, ...]
    readout: np.ndarray
    bias: np.ndarray

    def forward(self, codes: np.ndarray, starts: np.ndarray, cells: Cells) -> np.ndarray:
        """Return h of the last layer, [frames, CHANNELS], from log-mel codes less OFFSET."""
        h = codes.astype(np.int64) @ self.encoder.astype(np.int64)
        for n, layer in enumerate(self.layers):
            h = layer.forward(h, starts, cells, n * CROSSBARS)
        return h


def end_to_end(data: Recordings) -> tuple[np.ndarray, np.ndarray]:
    """Return log-mel codes less OFFSET of all utterances end to end, and where each starts."""
    frames = [x[:n] for x, n in zip(data.inputs.numpy(), data.lengths, strict=True)]
    return np.rint(np.concatenate(frames) * FULL_SCALE), np.concatenate([[0], np.cumsum(data.lengths)])


def integers(model: Network, data: Recordings) -> Integers:
    """Round a trained network; gains leave all states and outputs but one in a thousand within the converters."""
    top = 7 / 8 * 2 ** (CODE_BITS - 1)
    codes, starts = end_to_end(data)
    longest = data.inputs.shape[1]
    encoder = model.encoder.levels().numpy().astype(np.int8)
    unit = float(model.encoder.step()) / FULL_SCALE  # of h
    h, layers = codes @ encoder.astype(float), []
    with torch.no_grad():
        for kernels, mixing in zip(model.kernels, model.mixing, strict=True):
            u = torch.from_numpy((h * unit).astype(np.float32))
            padded = nn.utils.rnn.pad_sequence(list(u.split(list(np.diff(starts)))), batch_first=True)
            padded = nn.functional.pad(padded, (0, 0, 0, longest - padded.shape[1]))
            a, b, _ = (torch.view_as_complex(w.contiguous()) for w in kernels.weights())
            powers = torch.exp(torch.log(a + 1e-6)[..., None] * torch.arange(longest))
            spectrum = torch.fft.fft(padded, 2 * longest, dim=1)
            largest = 0.0
            for n in range(STATES):
                response = torch.fft.fft(b[:, n, None] * powers[:, n], 2 * longest).T
                state = torch.fft.ifft(spectrum * response, dim=1)[:, :longest]
                parts = torch.view_as_real(state).abs().amax(-1).numpy()
                largest = max(largest, float(np.quantile(parts, 0.999)))
            per_unit = top / max(largest, float(u.abs().max()))  # codes of u and x in one real unit
            y = kernels(padded).numpy()
            a, b, c = (level.numpy().astype(np.int8) for level in kernels.levels())
            output_gain = top / (float(np.quantile(np.abs(y), 0.999)) * per_unit / SCALE * largest_level(KERNEL_BITS))
            per_y = output_gain * per_unit / SCALE * largest_level(KERNEL_BITS)
            mixed = mixing.levels().numpy().astype(np.int8)
            gains = per_unit * unit, output_gain, float(mixing.step()) / per_y / unit
            layers.append(Layer(a, b, c, mixed, *(round(gain, 6) for gain in gains)))
            h = layers[-1].forward(h, starts, ideal_cells())
    readout = model.readout.weight.detach().numpy().T * np.float32(unit)
    return Integers(encoder, tuple(layers), readout, model.readout.bias.detach().numpy())


def integer_accuracy(network: Integers, data: Recordings, cells: Cells) -> float:
    """Return the share of utterances that the network gets right on such cells."""
    return (len(data.labels) - sum(integer_errors(network, data, cells))) / len(data.labels)


def integer_errors(network: Integers, data: Recordings, cells: Cells) -> list[bool]:
    """Return which utterances the network gets wrong on such cells."""
    codes, starts = end_to_end(data)
    h = network.forward(codes, starts, cells)
    wrong = []
    for i, (first, n) in enumerate(zip(starts, data.lengths, strict=False)):
        pooled = data.segments[i, :, :n].numpy() @ h[first : first + n]
        wrong.append(bool((pooled.ravel() @ network.readout + network.bias).argmax() != data.labels[i]))
    return wrong


def tensors(network: Integers) -> dict[str, np.ndarray]:
    """Return the tensors of a network by the names of its workload file."""
    found = {"encoder": network.encoder}
    for n, layer in enumerate(network.layers, 1):
        found |= {f"s4d{n}.a": layer.a, f"s4d{n}.b": layer.b, f"s4d{n}.c": layer.c, f"mix{n}": layer.mixing}
    return found


def write(network: Integers, reference: Network, folder: Path = HERE) -> None:
    """Write the tensors of both networks into a folder."""
    floats = {"encoder": reference.encoder.weight.detach().numpy()}
    for n, (kernels, mixing) in enumerate(zip(reference.kernels, reference.mixing, strict=True), 1):
        weights = [weight.detach().numpy() for weight in kernels.weights()]
        floats |= {f"s4d{n}.{part}": weight for part, weight in zip("abc", weights, strict=True)}
        floats[f"mix{n}"] = mixing.weight.detach().numpy()
    readout = {
        "readout.weight": network.readout, "readout.bias": network.bias,
        "reference.weight": reference.readout.weight.detach().numpy().T,
        "reference.bias": reference.readout.bias.detach().numpy(),
    }  # fmt: skip
    for name, found in (("weights", tensors(network)), ("float", floats), ("readout", readout)):
        save_weights(folder / f"{name}.safetensors", found)


WORKLOAD = """\
# Written by train.py of s4d_digits10.
schema: accelsim/workload@1
name: {name}
description: >
  {count} spoken words from log-mel frames: an encoder, two S4D layers of 16 kernels with 3 complex states each (3-bit
  weights in one range), ReLU, mixing and residual, the mean of the last layer over four equal parts of an utterance and
  a linear readout.
weights: weights.safetensors
reference_weights: float.safetensors
reference_unit: {full_scale}
inputs:
  source: recordings
  manifest: {manifest}
  split: test
  skip: [clipped, silent]
  loudness: {loudness:g}
  trim_db: {trim_db:g}
  longest_s: {longest_s:g}
  features: {{bands: {bands}, low_hz: {low_hz}, high_hz: {high_hz}, floor: {floor}, mean_prior: {mean_prior},
             initial_mean: {initial_mean}}}
graph:
  - {{name: encoder, op: linear, gives: codes, input: features, outputs: 16, weight_bits: 4, weights: encoder,
     input_offset: {offset}}}
{layers}
score: {{kind: utterance_class, decoder: readout.safetensors, readout: readout, classes: {words}, segments: {segments}}}
"""
LAYER = """\
  - {{name: s4d{n}, op: s4d, input: {before}, kernels: 16, states: 3, weight_bits: 3, scale: {scale}, weights: s4d{n},
     input_scale: {layer.input_scale}, output_gain: {layer.output_gain}}}
  - {{name: mix{n}, op: linear, gives: codes, input: s4d{n}, input_activation: relu, outputs: 16, weight_bits: 4,
     weights: mix{n}, residual: {before}, output_scale: {layer.residual_scale}}}"""


def write_workload(network: Integers, task: Task, manifest: Path, folder: Path) -> None:
    """Write workload.yaml, whose inputs are the test speakers of a manifest."""
    before = ("encoder", *(f"mix{n}" for n in range(1, LAYERS)))
    layers = [
        LAYER.format(n=n, before=of, layer=layer, scale=SCALE)
        for n, (of, layer) in enumerate(zip(before, network.layers, strict=True), 1)
    ]
    f = task.features
    text = WORKLOAD.format(
        name=folder.resolve().name, count=len(task.words), full_scale=FULL_SCALE, manifest=json.dumps(str(manifest)),
        trim_db=task.trim_db,
        loudness=task.loudness, longest_s=task.longest_s, bands=f.bands, low_hz=f.low_hz, high_hz=f.high_hz,
        floor=f.floor, mean_prior=f.mean_prior, initial_mean=f.initial_mean, offset=OFFSET, layers="\n".join(layers),
        words=json.dumps(task.words), segments=SEGMENTS,
    )  # fmt: skip
    (folder / "workload.yaml").write_text(text, encoding="utf-8")


def own_words(manifest: Path, out: Path, epochs: int) -> None:
    """Train on a manifest's training speakers, choose by its dev speakers, and measure on its test speakers."""
    spoken = own.read(manifest)
    features = replace(FEATURES, high_hz=min(FEATURES.high_hz, HIGHEST_SHARE * spoken.rate_hz))
    floats: dict[float, tuple[Network, Task]] = {}

    def of_trim(trim_db: float) -> tuple[float, float]:
        task = Task(spoken.words, features, trim_db, spoken.longest_s(trim_db), LOUDNESS)
        torch.manual_seed(0)
        model = Network(len(spoken.words))
        train(model, prepared(spoken.train, task), RATE, 0, f"float, {trim_db:g} dB", None, epochs=epochs)
        floats[trim_db] = model, task
        dev = prepared(spoken.dev, task)
        return 1 - accuracy(model, dev), loss(model, dev)

    reference, task = floats[own.best(own.TRIMS_DB, of_trim, "trim_db")]
    own.say_clips(spoken, task.trim_db, task.longest_s)
    training, dev, test = (prepared(part, task) for part in (spoken.train, spoken.dev, spoken.test))
    networks: dict[float, Integers] = {}

    def of_seed(seed: float) -> tuple[float, float]:
        model = Network(len(spoken.words))
        model.load_state_dict(reference.state_dict())
        model.quantise()
        train(model, training, RATE / 3, int(seed), f"quantised, seed {seed:g}", None, epochs=epochs)
        networks[seed] = integers(model, training)
        return 1 - integer_accuracy(networks[seed], dev, ideal_cells()), loss(model, dev)

    network = networks[own.best(OWN_SEEDS, of_seed, "seed")]
    out.mkdir(parents=True, exist_ok=True)
    write(network, reference, out)
    write_workload(network, task, spoken.manifest, out)
    wrong = {"float": float_errors(reference, test), "integer": integer_errors(network, test, ideal_cells())}
    own.say_speakers(out / "speakers.csv", spoken.test, wrong)


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each half, on words of your own")
    arguments = own.arguments(parser)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    if arguments.data is not None:
        own_words(arguments.data, arguments.out, arguments.epochs)
        return
    data, test = recordings()
    training, held_out = data.part(~test), data.part(test)
    reference, model = Network(), Network()
    train(reference, training, RATE, 0, "float", arguments.work)
    print(f"float: {100 * accuracy(reference, training):.2f} % train, {100 * accuracy(reference, held_out):.2f} % test")
    model.load_state_dict(reference.state_dict())
    model.quantise()
    train(model, training, RATE / 3, 1, "quantised", arguments.work)
    print(f"quantised: {100 * accuracy(model, training):.2f} % train, {100 * accuracy(model, held_out):.2f} % test")
    network = integers(model, training)
    print(f"in whole numbers: {100 * integer_accuracy(network, held_out, ideal_cells()):.2f} % test")
    for n, layer in enumerate(network.layers, 1):
        gains = layer.input_scale, layer.output_gain, layer.residual_scale
        print(f"layer {n}: input_scale {gains[0]}, output_gain {gains[1]}, residual_scale {gains[2]}")
    write(network, reference)


if __name__ == "__main__":
    main()
