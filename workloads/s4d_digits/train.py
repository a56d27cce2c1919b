"""Train s4d_digits: "zero" against "one" from 2 kHz samples by one S4D kernel, whose weights share a range.

    ACCELSIM_DATA=... python train.py --work W

Quantisation-aware training with straight-through rounding, by convolution (FFT), at 1 to 5 bits and in float, with a
fixed range and, to compare, with ranges that follow the weights. Of several seeds the one with the lowest training loss
is kept. Every finished network lies in the work folder, so that a run which was stopped goes on where it was. Writes
weights.safetensors, float.safetensors, readout.safetensors and one workload file per network beside this file.

    ACCELSIM_DATA=... python train.py --work W --bits

trains and writes the networks of `BITS` alone: bits of A, B and C each for itself, from 2 to 5, in the range of 2 bits
and some in the wide one. Their readouts lie in readout_bits8.safetensors; readout_bits7 to 4 have the same ones for
converters of so many bits: an output of 8 - n fewer bits is 2^-n of it, so that its weight is 2^n times as large. Last
it writes bits_seeds.csv: what every seed of some, also those that were not kept, comes to without and with write noise.

    ACCELSIM_DATA=... python train.py --work W --folds

trains without each fourth of the speakers in turn, at each trimming, and writes folds.csv: what is then wrong of every
speaker, as recorded and with 0.3 s of quiet noise at both ends.

    python train.py --data my.tsv --out mywords

trains the 2-bit network and its float twin on words of your own, see own.py: the words and the longest length come from
the training recordings, the trimming and the seed from the dev speakers; the rate is 2 kHz, as above. Writes a workload
with its weights into the folder, and speakers.csv: how much each test speaker is misheard, in float and with 2 bits.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import own
import torch
from safetensors.numpy import load_file
from torch import nn
from tqdm import tqdm

from accelsim.data import Utterance, Waveform, load
from accelsim.data.clip import powers, trimmed
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.waveform import ZERO_CODE
from accelsim.devices import load_device
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.ssm import Bits, convolve, largest_level, program_kernels, recurrence
from accelsim.weights import save_weights

HERE = Path(__file__).parent
RATE_HZ, STATES, SEGMENTS = 2000, 14, 4
TRIM_DB, LONGEST_S = 60, 1.0  # of every utterance, in a run too: keys of the workload's inputs
LONGEST = round(LONGEST_S * RATE_HZ)
FINE_LEVEL = 32.0  # RMS in codes that training reads; the shipped networks take their own
CODE_BITS = 8
FINE_BITS = 7  # levels for ranges that follow the weights: the cells take conductances in between
RESPONSE = 200  # steps of an impulse response: 0.98^200 = 0.02
LARGEST_RADIUS = 0.98
STEPS, BATCH, RATE = 400, 128, 0.01
SEEDS = 4
WORDS = ("zero", "one")
FOLDS, NOISE_AROUND_S, NOISE_DB = 4, 0.3, 50.0  # of the test on every speaker

PartBits = tuple[int, int, int]
"""Bits of A, B and C."""

# Bits and range of every network. 0.95 is just inside the unit circle; with one or two bits it would leave no stable
# state off the axes, so there the range is 0.6, whose diagonal is at 0.85. None: each part follows its weights.
NETWORKS: dict[str, tuple[int, float | None]] = {
    "1bit": (1, 0.6), "2bit": (2, 0.6), "3bit": (3, 0.95), "4bit": (4, 0.95), "5bit": (5, 0.95),
    "5bit_narrow": (5, 0.6), "2bit_free": (2, None), "3bit_free": (3, None), "5bit_free": (5, None),
}  # fmt: skip

WIDE, NARROW = 0.95, 0.6
BITS: tuple[PartBits, ...] = (
    (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5),
    (3, 2, 2), (4, 2, 2), (5, 2, 2), (4, 3, 3), (5, 3, 3), (3, 3, 2), (3, 2, 3), (4, 4, 2), (4, 2, 4), (5, 5, 2),
    (5, 2, 5), (2, 3, 3), (2, 5, 5), (2, 5, 2), (2, 2, 5),
)  # fmt: skip
IN_WIDE_RANGE: tuple[PartBits, ...] = ((3, 3, 3), (4, 4, 4), (5, 5, 5), (3, 2, 2), (4, 2, 2), (5, 2, 2))
"""Of them those that are trained in the wide range too. With A of two bits it has stable states on the axes only."""
WITH_ALL_SEEDS: tuple[PartBits, ...] = ((2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5), (4, 2, 2))
"""Of them those that the table of seeds has, in the narrow range."""
FEWEST_CODE_BITS = 4
NOISE_S, READ_VOLTAGE, PROGRAMMINGS = 10e-6, 0.2, 4  # of the table of seeds


@dataclass(frozen=True)
class Recordings:
    """Utterances as samples of RMS 1, zero-padded [utterances, longest], their lengths, classes and speakers.

    ``spectrum``: of the samples, over `points_for` their longest; ``words``: how many classes there are.
    """

    samples: torch.Tensor
    spectrum: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor
    speakers: np.ndarray
    segments: torch.Tensor
    words: int

    def part(self, chosen: np.ndarray) -> Recordings:
        pick = torch.from_numpy(np.flatnonzero(chosen))
        return Recordings(
            self.samples[pick], self.spectrum[pick], self.lengths[pick], self.labels[pick], self.speakers[chosen],
            self.segments[pick], self.words,
        )  # fmt: skip


def points_for(longest: int) -> int:
    """Return the points of a Fourier transform: longest + RESPONSE and more, so that no convolution wraps around."""
    return -(-(longest + RESPONSE) // 256) * 256


def recordings(splits: tuple[str, ...] = ("train", "test")) -> tuple[Recordings, np.ndarray]:
    """Return all utterances and which of them belong to the test speakers."""
    utterances = [(u, split == "test") for split in splits for u in load("zero_one", split)]
    table = prepared([u for u, _ in utterances], WORDS, TRIM_DB, LONGEST_S)
    return table, np.array([test for _, test in utterances])


def prepared(utterances: Sequence[Utterance], words: Sequence[str], trim_db: float, longest_s: float) -> Recordings:
    """Return utterances as the network hears them: trimmed, cut, at one loudness."""
    longest = round(longest_s * RATE_HZ)
    waveform = Waveform(rate_hz=RATE_HZ, level=FINE_LEVEL)
    codes = [
        (waveform.codes(trimmed(u.audio, trim_db))[:longest, 0] - float(ZERO_CODE)) / FINE_LEVEL for u in utterances
    ]
    lengths = np.array([len(c) for c in codes])
    samples = np.zeros((len(codes), longest), np.float32)
    for row, code in zip(samples, codes, strict=True):
        row[: len(code)] = code
    labels = np.array([words.index(own.word_of(u)) for u in utterances])
    # [utterances, segments, longest]: 1 / n at the n samples of each equal part
    place = np.arange(longest)[None] * SEGMENTS // lengths[:, None]
    inside = np.arange(longest)[None] < lengths[:, None]
    part = np.stack([(place == k) & inside for k in range(SEGMENTS)], axis=1).astype(np.float32)
    part /= part.sum(axis=2, keepdims=True)
    return Recordings(
        torch.from_numpy(samples), torch.fft.rfft(torch.from_numpy(samples), points_for(longest)),
        torch.from_numpy(lengths), torch.from_numpy(labels), np.array([u.speaker for u in utterances]),
        torch.from_numpy(part), len(words),
    )  # fmt: skip


class Kernel(nn.Module):
    """One S4D kernel, |y| averaged over equal parts of the utterance, and a linear readout.

    ``bits``: of A, B and C, or of all three; 0 is float. ``scale``: the fixed range of all weights, or None for ranges
    that follow each part of A, B, C.
    """

    def __init__(self, bits: int | PartBits, scale: float | None, words: int = len(WORDS)) -> None:
        super().__init__()
        self.bits = (bits,) * 3 if isinstance(bits, int) else bits
        self.scale = scale
        start = scale or 0.9
        angle = 2 * np.pi * torch.linspace(100, RATE_HZ * 0.48, STATES) / RATE_HZ
        reach = min(0.85, 1.2 * start)
        a = reach * torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
        self.a = nn.Parameter(a)
        self.b = nn.Parameter(start * (2 * torch.rand(STATES, 2) - 1))
        self.c = nn.Parameter(start * (2 * torch.rand(STATES, 2) - 1))
        self.gain = nn.Parameter(torch.zeros(()))
        self.readout = nn.Linear(SEGMENTS, words)

    def ranges(self) -> list[torch.Tensor]:
        """Return the range of A, B and C: [2] for (re, im), or [1] for both."""
        if self.scale is not None:
            return [torch.full((1,), self.scale)] * 3
        return [self.a.detach().abs().amax(0), self.b.detach().abs().amax(0), self.c.detach().abs().amax(0)]

    def levels(self) -> list[torch.Tensor]:
        """Return A, B and C in whole level steps of their ranges; A is held inside the largest radius."""
        found = []
        for bits, weight, reach in zip(self.bits, (self.a, self.b, self.c), self.ranges(), strict=True):
            share = (weight.detach() / reach).clamp(-1, 1)
            found.append(torch.where(share < 0, -1.0, 1.0) if bits == 1 else torch.round(share * largest_level(bits)))
        q = largest_level(self.bits[0])
        step = self.ranges()[0] / q
        for _ in range(q if self.bits[0] > 1 else 0):
            over = (found[0] * step).norm(dim=1) >= LARGEST_RADIUS
            if not over.any():
                break
            larger = (found[0] * step).abs().argmax(dim=1)
            rows = torch.nonzero(over)[:, 0]
            found[0][rows, larger[rows]] -= torch.sign(found[0][rows, larger[rows]])
        return found

    def weights(self) -> list[torch.Tensor]:
        """Return A, B and C as the network uses them, with straight-through gradients."""
        if not any(self.bits):
            radius = self.a.detach().norm(dim=1, keepdim=True)
            return [self.a * (LARGEST_RADIUS / radius).clamp(max=1.0), self.b, self.c]
        used = []
        parts = zip(self.bits, (self.a, self.b, self.c), self.levels(), self.ranges(), strict=True)
        for bits, weight, level, reach in parts:
            inside = weight.clamp(-reach, reach) if self.scale is not None else weight
            used.append(inside + (level * reach / largest_level(bits) - inside).detach())
        return used

    def features(self, data: Recordings) -> torch.Tensor:
        """Return the mean of |y| over each part, [utterances, SEGMENTS]."""
        a, b, c = (torch.view_as_complex(w.contiguous()) for w in self.weights())
        powers = torch.exp(torch.log(a + 1e-6)[:, None] * torch.arange(RESPONSE - 1))
        response = nn.functional.pad(((b * c)[:, None] * powers).real.sum(0), (1, 0))
        longest = data.samples.shape[1]
        points = points_for(longest)
        y = torch.fft.irfft(data.spectrum * torch.fft.rfft(response, points), points)[:, :longest].abs()
        return torch.einsum("ut,ukt->uk", y, data.segments)

    def forward(self, data: Recordings) -> torch.Tensor:
        return self.readout(self.features(data) * torch.exp(self.gain))


def accuracy(model: Kernel, data: Recordings) -> float:
    with torch.no_grad():
        return float((model(data).argmax(1) == data.labels).float().mean())


def train(bits: int | PartBits, scale: float | None, data: Recordings, seed: int) -> tuple[Kernel, float]:
    """Minimise the cross-entropy with Adam; returns the network and its loss on all training data."""
    torch.manual_seed(seed)
    model = Kernel(bits, scale, data.words)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, 2 * (1 - step / STEPS))
        batch = data.part(np.isin(np.arange(len(data.labels)), torch.randperm(len(data.labels))[:BATCH].numpy()))
        loss = nn.functional.cross_entropy(model(batch), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return model, float(nn.functional.cross_entropy(model(data), data.labels))


def best_of(seeds: int, bits: int | PartBits, scale: float | None, data: Recordings, name: str) -> Kernel:
    """Return the network of the lowest training loss; a loss that is not a number never wins."""
    found = [train(bits, scale, data, seed) for seed in tqdm(range(seeds), desc=name, mininterval=2)]
    return min(found, key=lambda one: one[1] if np.isfinite(one[1]) else np.inf)[0]


@dataclass(frozen=True)
class Deployed:
    """A network in whole numbers: levels [1, STATES, 2] in one range, and what surrounds the crossbar.

    ``level``: RMS of the input in codes; ``output_gain``: in front of the converter of y; ``readout`` [SEGMENTS,
    classes] and ``bias``: on the mean of |y| in codes.
    """

    bits: PartBits
    scale: float
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    level: float
    output_gain: float
    readout: np.ndarray
    bias: np.ndarray


def deploy(model: Kernel, data: Recordings, bits: int | None = None) -> Deployed:
    """Put a network onto one range: ranges that follow the weights are rounded a second time, onto the larger one.

    ``bits``: of the levels of that range, those of the network if it is not given. Levels and gains leave the largest
    state and output but one in a thousand at 7/8 of the converters' range.
    """
    of_parts = model.bits if bits is None else (bits,) * 3
    top = 2 ** (CODE_BITS - 1)
    found, scales = [], []
    for level, reach, has, trained in zip(model.levels(), model.ranges(), of_parts, model.bits, strict=True):
        shared = float(reach.max())
        finer = largest_level(has) / largest_level(trained) * (reach / shared).numpy()
        found.append(np.rint(level.numpy() * finer).astype(np.int8)[None])
        scales.append(shared)
    levels_a, levels_b, c = found
    # A and B share the columns of the states, hence one range; those of B and C are in the input's level and the gain.
    a, b = (w * (scales[0] / largest_level(has)) for w, has in zip((levels_a, levels_b), of_parts[:2], strict=True))
    lengths = data.lengths.numpy()
    starts = np.concatenate([[0], np.cumsum(lengths)])
    u = np.concatenate([row[:n] for row, n in zip(data.samples.numpy(), lengths, strict=True)])[:, None].astype(float)

    def largest(values: np.ndarray) -> float:
        return max(float(np.quantile(np.abs(values), 0.999)), 1e-6)

    # The state itself, re and im, read out alone.
    reads = [np.array([[read]]) for read in ((1.0, 0.0), (0.0, -1.0))]
    states = [convolve(a[:, [n]], b[:, [n]], read, u, starts) for n in range(STATES) for read in reads]
    level = round(min(7 / 8 * top / max(map(largest, states)), top / 4), 2)
    output_gain = round(7 / 8 * top / largest(convolve(a, b, c.astype(float), level * u, starts)), 4)
    # y in codes over y of the trained network, whose B and C have ranges of their own.
    ratio = output_gain * level * (largest_level(of_parts[2]) / scales[2]) * (scales[0] / scales[1])
    weight = model.readout.weight.detach().numpy().T * float(torch.exp(model.gain.detach())) / ratio
    bias = model.readout.bias.detach().numpy()
    return Deployed(of_parts, scales[0], levels_a, levels_b, c, level, output_gain, weight.astype(np.float32), bias)


WORKLOAD = """\
# Written by train.py.
schema: accelsim/workload@1
name: {title}
description: >
  {what} from 2 kHz samples: one S4D kernel of 14 complex states, {weights_are} in a range of
  {scale:.4g}{free},
  the mean of |y| over four equal parts of an utterance and a linear readout.
weights: {weights}
reference_weights: float.safetensors
reference_unit: {level}
inputs:
  {{{heard}, trim_db: {trim_db:g}, longest_s: {longest_s},
   features: {{kind: waveform, rate_hz: {rate}, level: {level}}}}}
graph:
  - {{name: s4d, op: s4d, input: features, kernels: 1, states: {states}, weight_bits: {bits}, scale: {scale!r},
     weights: s4d, input_offset: 128, output_gain: {output_gain}}}
score: {{kind: utterance_class, decoder: {decoder}, readout: {name}, classes: [{words}],
        segments: {segments}, pool: magnitude}}
"""


@dataclass(frozen=True)
class Place:
    """Where a network is written, and what its workload file says of its words and its inputs."""

    folder: Path = HERE
    name: str = "s4d_digits"
    what: str = "Zero against one"
    heard: str = "source: speech, dataset: zero_one, split: test"
    words: Sequence[str] = WORDS
    trim_db: float = TRIM_DB
    longest_s: float = LONGEST_S


def write(name: str, network: Deployed, decoder: str, trained: int | None = None, place: Place | None = None) -> None:
    """Write the levels of a network and its workload file; ``trained``: bits of the ranges it was trained in."""
    to = place or Place()
    weights = "weights.safetensors" if name == "2bit" else f"{name}.safetensors"
    save_weights(to.folder / weights, {"s4d.a": network.a, "s4d.b": network.b, "s4d.c": network.c})
    title = to.name if name == "2bit" else f"{to.name}_{name}"
    a, b, c = network.bits
    alike = a == b == c
    text = WORKLOAD.format(
        title=title, name=name, bits=a if alike else f"{{a: {a}, b: {b}, c: {c}}}", scale=network.scale,
        weights_are=f"{a}-bit weights" if alike else f"A of {a} bits, B of {b} and C of {c}",
        free=f", trained with {trained} bits in ranges of their own" if trained else "", decoder=decoder,
        weights=weights, rate=RATE_HZ, level=network.level, states=STATES, output_gain=network.output_gain,
        segments=SEGMENTS, trim_db=to.trim_db, longest_s=to.longest_s, words=", ".join(to.words), heard=to.heard,
        what=to.what,
    )  # fmt: skip
    (to.folder / ("workload.yaml" if name == "2bit" else f"{name}.yaml")).write_text(text, encoding="utf-8")


def kept(
    work: Path, name: str, bits: int | PartBits, scale: float | None, data: Recordings, seed: int | None = None
) -> Kernel:
    """Return a finished network from the work folder, or train it, from one seed or from several, and keep it there."""
    path = work / f"{name}.pt"
    if path.exists():
        model = Kernel(bits, scale)
        model.load_state_dict(torch.load(path, weights_only=True))
        return model
    model = best_of(SEEDS, bits, scale, data, name) if seed is None else train(bits, scale, data, seed)[0]
    torch.save(model.state_dict(), path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    return model


def loss(model: Kernel, data: Recordings) -> float:
    """Return the cross-entropy on all of some data, infinite where it is not a number."""
    with torch.no_grad():
        found = float(nn.functional.cross_entropy(model(data), data.labels))
    return found if np.isfinite(found) else np.inf


def networks_of_bits() -> Iterator[tuple[str, PartBits, float]]:
    """Yield the name, the bits and the range of every network of `BITS`."""
    for bits in BITS:
        a, b, c = bits
        for suffix, scale in (("", NARROW), ("_wide", WIDE)) if bits in IN_WIDE_RANGE else (("", NARROW),):
            yield f"bits_a{a}_b{b}_c{c}{suffix}", bits, scale


def bits_of_each(work: Path, training: Recordings, held_out: Recordings) -> None:
    """Train and write the networks of `BITS`, each from several seeds, and their readouts for every number of bits.

    Those of the float network stay as `main` wrote them.
    """
    shipped = load_file(HERE / "readout.safetensors")
    reference = {key: value for key, value in shipped.items() if key.startswith("reference.")}
    readouts: dict[str, np.ndarray] = {}
    for name, bits, scale in networks_of_bits():
        found = [
            kept(work, f"{name}_{seed}", bits, scale, training, seed)
            for seed in tqdm(range(SEEDS), desc=name, mininterval=2)
        ]
        model = min(found, key=lambda one: loss(one, training))
        network = deploy(model, training)
        write(name, network, f"readout_bits{CODE_BITS}.safetensors")
        readouts |= {f"{name}.weight": network.readout, f"{name}.bias": network.bias}
        seen, unseen = accuracy(model, training), accuracy(model, held_out)
        print(
            f"{name}: loss {loss(model, training):.3f}, {100 * seen:.2f} % train, {100 * unseen:.2f} % test, by "
            "convolution",
            flush=True,
        )
    for code_bits in range(FEWEST_CODE_BITS, CODE_BITS + 1):
        coarser = np.float32(2 ** (CODE_BITS - code_bits))
        save_weights(
            HERE / f"readout_bits{code_bits}.safetensors",
            reference | {key: v * coarser if key.endswith(".weight") else v for key, v in readouts.items()},
        )


def error_on_cells(
    network: Deployed, codes: np.ndarray, starts: np.ndarray, data: Recordings, seed: int | None
) -> float:
    """Return the share of utterances taken for the other word on a crossbar of taox cells; no ``seed``: without noise.

    codes: of the input, less that of silence [samples, 1]; starts: offsets of the utterances.
    """
    device = load_device("taox").model_copy(update={"write_noise": 0.0 if seed is None else NOISE_S})
    bits = Bits(*network.bits)
    cell_bits = max(bits.cells())
    kernels = program_kernels(
        network.a, network.b, network.c,
        device.programmer(seed or 0, read_voltage=READ_VOLTAGE, cell_bits=cell_bits),
        device.curves(READ_VOLTAGE, cell_bits), weight_bits=bits,
    )  # fmt: skip
    outputs = recurrence(
        kernels, codes, starts, dac=DacTransfer(CODE_BITS, READ_VOLTAGE),
        state_gain=network.scale / bits.state_steps(), output_gain=network.output_gain,
    ).outputs[:, 0]  # fmt: skip
    found = []
    for y in np.split(np.abs(outputs.astype(np.float64)), starts[1:-1]):
        part = np.arange(len(y)) * SEGMENTS // len(y)
        found.append(
            np.argmax(np.array([y[part == k].mean() for k in range(SEGMENTS)]) @ network.readout + network.bias)
        )
    return float(np.mean(np.array(found) != data.labels.numpy()))


def table_of_seeds(work: Path, training: Recordings, held_out: Recordings) -> None:
    """Write bits_seeds.csv: what every seed of some networks comes to; which one is kept does not depend on it."""
    utterances = load("zero_one", "test")
    rows = ["network,seed,kept,loss,train_percent,error_percent,error_at_10_us_percent"]
    for bits in WITH_ALL_SEEDS:
        a, b, c = bits
        name, scale = f"bits_a{a}_b{b}_c{c}", NARROW
        models = [kept(work, f"{name}_{seed}", bits, scale, training, seed) for seed in range(SEEDS)]
        losses = [loss(model, training) for model in models]
        for seed, model in enumerate(models):
            network = deploy(model, training)
            waveform = Waveform(rate_hz=RATE_HZ, level=network.level)
            parts = [
                waveform.codes(trimmed(u.audio, TRIM_DB))[:LONGEST].astype(np.int16) - ZERO_CODE for u in utterances
            ]
            starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
            codes = np.concatenate(parts)
            quiet = error_on_cells(network, codes, starts, held_out, None)
            noisy = np.mean([error_on_cells(network, codes, starts, held_out, n) for n in range(PROGRAMMINGS)])
            rows.append(
                f"{name},{seed},{int(seed == int(np.argmin(losses)))},{losses[seed]:.4f},"
                f"{100 * accuracy(model, training):.2f},{100 * quiet:.2f},{100 * noisy:.2f}"
            )
            print(rows[-1], flush=True)
    (HERE / "bits_seeds.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def own_words(manifest: Path, out: Path) -> None:
    """Train on a manifest's training speakers, choose by its dev speakers, and measure on its test speakers."""
    spoken = own.read(manifest)

    def part_of(split: str, trim_db: float) -> Recordings:
        return prepared(getattr(spoken, split), spoken.words, trim_db, spoken.longest_s(trim_db))

    def judged(model: Kernel, data: Recordings) -> tuple[float, float]:
        return 1 - accuracy(model, data), loss(model, data)

    floats: dict[float, Kernel] = {}

    def of_trim(trim_db: float) -> tuple[float, float]:
        training = part_of("train", trim_db)
        floats[trim_db] = best_of(SEEDS, 0, 1.0, training, f"float, {trim_db:g} dB")
        return judged(floats[trim_db], part_of("dev", trim_db))

    trim_db = own.best(own.TRIMS_DB, of_trim, "trim_db")
    reference, longest_s = floats[trim_db], spoken.longest_s(trim_db)
    own.say_clips(spoken, trim_db, longest_s)
    training, dev, test = (part_of(split, trim_db) for split in ("train", "dev", "test"))
    models: dict[float, Kernel] = {}

    def of_seed(seed: float) -> tuple[float, float]:
        models[seed] = train(*NETWORKS["2bit"], training, int(seed))[0]
        return judged(models[seed], dev)

    model = models[own.best(tuple(map(float, range(SEEDS))), of_seed, "seed")]
    out.mkdir(parents=True, exist_ok=True)
    heard = f"source: recordings, manifest: {json.dumps(str(spoken.manifest))}, split: test, skip: [clipped, silent]"
    quoted = [json.dumps(word) for word in spoken.words]
    what = f"{len(quoted)} spoken words"
    network = deploy(model, training)
    place = Place(out, out.resolve().name, what, heard, quoted, trim_db, longest_s)
    write("2bit", network, "readout.safetensors", place=place)
    save_reference(out, reference, {"2bit.weight": network.readout, "2bit.bias": network.bias})
    wrong = {"float": errors(reference, test), "2bit": errors(model, test)}
    own.say_speakers(out / "speakers.csv", spoken.test, wrong)


def with_noise_around(utterance: Utterance) -> Utterance:
    """Return an utterance with white noise at both ends, 50 dB below its loudest 10 ms; its name decides the noise."""
    level = math.sqrt(powers(utterance.audio).max() * 10 ** (-NOISE_DB / 10))
    rng = np.random.default_rng(list(utterance.name.encode()))
    before, after = level * rng.standard_normal((2, round(NOISE_AROUND_S * SAMPLE_RATE_HZ)))
    return replace(utterance, audio=np.concatenate([before, utterance.audio, after]).astype(np.float32))


def every_speaker(work: Path) -> None:
    """Write folds.csv: what networks that never heard a speaker get wrong of him, by how training and run trim."""
    utterances = [u for split in ("train", "test") for u in load("zero_one", split)]
    noisy = [with_noise_around(u) for u in utterances]
    speakers = np.array([u.speaker for u in utterances])
    names, rows = sorted({*speakers.tolist()}), []
    for trim_db in own.TRIMS_DB:
        recorded, surrounded = (prepared(part, WORDS, trim_db, LONGEST_S) for part in (utterances, noisy))
        for fold in range(FOLDS):
            apart = np.isin(speakers, names[fold::FOLDS])
            for name, (bits, scale) in {"float": (0, 1.0), "2bit": NETWORKS["2bit"]}.items():
                model = kept(work, f"{name}_fold{fold}_{trim_db:g}dB", bits, scale, recorded.part(~apart))
                for speaker in names[fold::FOLDS]:
                    his = speakers == speaker
                    wrong = [sum(errors(model, part.part(his))) for part in (recorded, surrounded)]
                    rows.append((f"{trim_db:g}", name, speaker, int(his.sum()), *wrong))
    with (HERE / "folds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trim_db", "network", "speaker", "recordings", "wrong", "wrong_with_noise_around"])
        writer.writerows(rows)
    for trim_db in own.TRIMS_DB:
        for name in ("float", "2bit"):
            chosen = [row[3:] for row in rows if row[:2] == (f"{trim_db:g}", name)]
            said = []
            for at, what in ((1, "as recorded"), (2, "with noise around")):
                rates = [100 * row[at] / row[0] for row in chosen]
                said.append(f"{what} {mean(rates):.2f} (sd {stdev(rates):.2f}, {min(rates):.1f} to {max(rates):.1f})")
            print(f"{name} trimmed at {trim_db:g} dB, % wrong of {len(chosen)} speakers: {', '.join(said)}")


def errors(model: Kernel, data: Recordings) -> list[bool]:
    """Return which utterances a network gets wrong, by convolution."""
    with torch.no_grad():
        return [bool(one) for one in model(data).argmax(1) != data.labels]


def save_reference(folder: Path, reference: Kernel, readouts: dict[str, np.ndarray]) -> None:
    """Write the float network, and its readout beside those of the others."""
    a, b, c = (weight.detach().numpy()[None] for weight in reference.weights())
    save_weights(folder / "float.safetensors", {"s4d.a": a, "s4d.b": b, "s4d.c": c})
    gain = float(torch.exp(reference.gain.detach()))
    weight = reference.readout.weight.detach().numpy().T * np.float32(gain)
    bias = reference.readout.bias.detach().numpy()
    save_weights(folder / "readout.safetensors", {"reference.weight": weight, "reference.bias": bias} | readouts)


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", action="store_true", help="train the networks with bits for each of A, B and C")
    parser.add_argument(
        "--folds", action="store_true", help="train without each fourth of the speakers, and hear it with noise around"
    )
    arguments = own.arguments(parser)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if arguments.data is not None:
        own_words(arguments.data, arguments.out)
        return
    if arguments.folds:
        every_speaker(arguments.work)
        return
    data, test = recordings()
    training, held_out = data.part(~test), data.part(test)
    if arguments.bits:
        bits_of_each(arguments.work, training, held_out)
        table_of_seeds(arguments.work, training, held_out)
        return

    readouts = {}
    reference = kept(arguments.work, "float", 0, 1.0, training)
    print(f"float: {100 * accuracy(reference, training):.2f} % train, {100 * accuracy(reference, held_out):.2f} % test")
    for name, (bits, scale) in NETWORKS.items():
        model = kept(arguments.work, name, bits, scale, training)
        network = deploy(model, training, bits if scale else FINE_BITS)
        write(name, network, "readout.safetensors", None if scale else bits)
        readouts[f"{name}.weight"], readouts[f"{name}.bias"] = network.readout, network.bias
        seen, unseen = accuracy(model, training), accuracy(model, held_out)
        print(f"{name}: {100 * seen:.2f} % train, {100 * unseen:.2f} % test, by convolution")
    save_reference(HERE, reference, readouts)


if __name__ == "__main__":
    main()
