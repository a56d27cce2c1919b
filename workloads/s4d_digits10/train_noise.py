"""Train s4d_digits10 on noisy cells, and without noise from the same start, to see what training with noise buys.

    ACCELSIM_DATA=... python train_noise.py --work W

Both go on from float.safetensors with the steps, seeds and straight-through rounding of train.py. In the forward pass
the kernels run step by step as on their crossbars: every batch hears another chip, whose cells the device model of
accelsim itself has programmed from the levels of the moment, so that the noise of training is the noise of a run. Rows
for inputs of either sign have cells of their own, states and outputs are clamped where the converters clamp them. What
the cells add is scaled by ``share``, which grows over the first epochs; gradients pass it by, as they do the rounding.

A checkpoint per epoch lies in the work folder, so that a run which was stopped goes on where it was. With --choose, the
settings are compared on the development speakers, each of whom is left out of the training in turn; the test speaker is
heard in runs of the exported networks alone. Writes a workload file and the weights of every network beside this file.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import torch
from torch import nn
from train import (
    CHANNELS,
    CROSSBARS,
    FEATURES,
    FULL_SCALE,
    KERNEL_BITS,
    LAYERS,
    LONGEST_S,
    MIXING_BITS,
    OFFSET,
    RATE,
    READ_VOLTAGE,
    SCALE,
    SEGMENTS,
    STATES,
    TRIM_DB,
    Cells,
    Integers,
    Kernels,
    Network,
    Recordings,
    accuracy,
    ideal_cells,
    integer_accuracy,
    integers,
    recordings,
    tensors,
    train,
)

from accelsim.data.digits import WORDS
from accelsim.devices import Device, Gaussian, load_device
from accelsim.devices.measured import Measured
from accelsim.kernels.ssm import largest_level, program_kernels
from accelsim.weights import open_weights, save_weights

HERE = Path(__file__).parent
PER_CROSSBAR = CHANNELS // CROSSBARS
WIDTH = 2 * STATES + 1  # real rows and columns of a kernel: states and input, states and output
STEP = SCALE / largest_level(KERNEL_BITS)
DEVICE = "pcm_hermes"
DEVELOPMENT = ("jackson", "theo")
FRESH, DAY, MONTH = 200.0, 86_400.0, 30 * 86_400.0  # s; the model of the cells begins at FRESH
EPOCHS, GROWTH = 12, 4  # after GROWTH epochs all of the share is there
LARGEST_GRADIENT = 1.0
CHIPS = 10  # on which a setting is tried


@dataclass(frozen=True)
class Noise:
    """How a network is trained: ``share`` of the error of its cells is heard, 0 for none.

    ``ages``: shortest and longest time since programming, s; each batch draws one, evenly in its logarithm.
    """

    share: float
    ages: tuple[float, float] = (FRESH, FRESH)
    epochs: int = EPOCHS
    seed: int = 1

    def drawn(self, device: Device, call: int) -> Cells:
        """Return the cells of the chip that a batch hears."""
        seed = (self.seed << 32) + call  # far from the seeds of runs
        early, late = self.ages
        age = early * (late / early) ** np.random.default_rng(seed).random()
        return cells_of(device, seed, age)


SETTINGS = {
    "plain": Noise(0.0),
    "once": Noise(1.0),
    "noise": Noise(2.0),
    "three": Noise(3.0),
    "month": Noise(2.0, (FRESH, MONTH)),
}
NETWORKS = {
    "plain": "trained on without noise for as long as the others",
    "noise": "trained with twice the programming noise of its cells",
    "month": "trained with twice the error of its cells, from programming noise and up to a month of drift",
}
"""Settings that are shipped, and what their workload files say of them."""


def with_stuck(device: Device, share: float) -> Device:
    """Return a device with a share of cells that stay at high conductance, whatever is written."""
    if not 0 <= share <= 1:
        raise SystemExit(f"the share of stuck cells is from 0 to 1, found {share:g}")
    if not share:
        return device
    if isinstance(device, Gaussian):
        return device.model_copy(update={"stuck_at_low_resistance": share})
    if isinstance(device, Measured):
        return device.model_copy(update={"stuck": device.stuck.model_copy(update={"at_low_resistance": share})})
    raise SystemExit(f"device '{device.name}' (kind '{device.kind}') has no stuck cells")


def cells_of(device: Device, seed: int, age: float) -> Cells:
    """Return the cells of a chip as a run with this seed programs them, ``age`` seconds later."""
    bits = KERNEL_BITS - 1
    if device.current_terms(READ_VOLTAGE) is not None:
        raise SystemExit(f"device '{device.name}': currents with further terms are not heard in training")
    program = device.programmer(seed, read_voltage=READ_VOLTAGE, cell_bits=bits, age=age)
    return Cells(program, device.curves(READ_VOLTAGE, bits))


def on_rows(kernels: Kernels) -> torch.Tensor:
    """Return the weights of ideal cells as `accelsim.kernels.ssm` has them.

    [CROSSBARS, 2n, n], n = PER_CROSSBAR WIDTH: rows in pairs for inputs of either sign.
    """
    a, b, c = kernels.weights()
    real = torch.zeros(CHANNELS, WIDTH, WIDTH)
    re, im, last = torch.arange(0, WIDTH - 1, 2), torch.arange(1, WIDTH - 1, 2), WIDTH - 1
    for i, j, weight in (
        (re, re, a[..., 0]), (im, re, -a[..., 1]), (re, im, a[..., 1]), (im, im, a[..., 0]),
        (last, re, b[..., 0]), (last, im, b[..., 1]), (re, last, c[..., 0]), (im, last, -c[..., 1]),
    ):  # fmt: skip
        real[:, i, j] = weight
    blocks = torch.stack([real, -real], dim=2).flatten(1, 2)
    return torch.stack([torch.block_diag(*some) for some in blocks.split(PER_CROSSBAR)])


def error(kernels: Kernels, cells: Cells, first_array: int) -> torch.Tensor:
    """Return what programmed cells add to the weights of ideal ones, [CROSSBARS, 2n, n]."""
    a, b, c = (level.numpy().astype(np.int8) for level in kernels.levels())
    found = [
        program_kernels(a, b, c, one.program, one.curves, weight_bits=KERNEL_BITS, first_array=first_array).weights[0]
        for one in (cells, ideal_cells())
    ]
    return torch.from_numpy((STEP * (found[0] - found[1])).astype(np.float32))


def on_crossbars(weights: torch.Tensor, u: torch.Tensor, limits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Run kernels step by step: u [utterances, steps, CHANNELS] -> outputs, the same shape, and states at all steps.

    weights: [CROSSBARS, 2n, n], see `on_rows`; limits: of u and states, and of outputs. A pair of rows gives
    max(v, 0) w+ + max(-v, 0) w- = v (w+ - w-) / 2 + |v| (w+ + w-) / 2.
    """
    utterances, steps, _ = u.shape
    states = PER_CROSSBAR * (WIDTH - 1)
    # States of all kernels first, then inputs or outputs.
    order = torch.arange(PER_CROSSBAR * WIDTH).view(PER_CROSSBAR, WIDTH)
    order = torch.cat([order[:, :-1].flatten(), order[:, -1]])
    positive, negative = weights[:, 0::2][:, order][..., order], weights[:, 1::2][:, order][..., order]
    weights = torch.cat([positive - negative, positive + negative], dim=1) / 2
    drive = u.clamp(-limits[0], limits[0]).view(utterances, steps, CROSSBARS, PER_CROSSBAR).permute(1, 2, 0, 3)
    drive, size = drive.unbind(), drive.abs().unbind()
    top = limits.repeat_interleave(torch.tensor([states, PER_CROSSBAR]))
    columns, found = u.new_zeros(CROSSBARS, utterances, PER_CROSSBAR * WIDTH), []
    for t in range(steps):
        state = columns[..., :states]
        columns = torch.bmm(torch.cat([state, drive[t], state.abs(), size[t]], dim=-1), weights).clamp(-top, top)
        found.append(columns)
    steps_first = torch.stack(found)  # [steps, CROSSBARS, utterances, n]
    outputs = steps_first[..., states:].permute(2, 0, 1, 3).reshape(utterances, steps, CHANNELS)
    return outputs, steps_first[..., :states].detach()


class OnCells(Network):
    """The quantised network on crossbars; in training each call programs another chip.

    ``calls`` counts them, so that a training which goes on draws the same chips; ``limits`` [LAYERS, 2]: where the
    converters of a layer clamp its states and its outputs.
    """

    def __init__(self, noise: Noise, device: Device) -> None:
        super().__init__()
        self.quantise()
        self.noise, self.device = noise, device
        self.share = 0.0
        self.calls: torch.Tensor
        self.limits: torch.Tensor
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("limits", torch.full((LAYERS, 2), torch.inf))

    def forward(self, x: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        steps = int((segments.sum(1) != 0).sum(1).max())  # what comes behind is read by nobody
        h, cells = self.encoder(x[:, :steps]), None
        if self.training and self.share:
            cells = self.noise.drawn(self.device, int(self.calls))
        for n, (kernels, mixing) in enumerate(zip(self.kernels, self.mixing, strict=True)):
            weights = on_rows(kernels)
            if cells:
                weights = weights + self.share * error(kernels, cells, n * CROSSBARS)
            h = h + mixing(torch.relu(on_crossbars(weights, h, self.limits[n])[0]))
        self.calls += self.training
        pooled = torch.einsum("utc,ukt->ukc", h, segments[..., :steps]).flatten(1)
        return self.readout(nn.functional.dropout(pooled, 0.2, self.training))

    def settle(self, data: Recordings) -> None:
        """Set the limits as `train.integers` sets the gains: by what is exceeded once in a thousand on ideal cells."""
        with torch.no_grad():
            h = self.encoder(data.inputs)
            for n, (kernels, mixing) in enumerate(zip(self.kernels, self.mixing, strict=True)):
                y, states = on_crossbars(on_rows(kernels), h, torch.full((2,), torch.inf))
                each = np.quantile(states.abs().transpose(1, 2).flatten(0, 1).numpy(), 0.999, axis=0)
                largest = max(float(each.max()), float(h.abs().max()))
                self.limits[n] = 8 / 7 * torch.tensor([largest, float(np.quantile(y.abs().numpy(), 0.999))])
                h = h + mixing(torch.relu(y))


def trained(start: Network, noise: Noise, device: Device, data: Recordings, name: str, work: Path | None) -> OnCells:
    """Return the network that goes on from a start, with the seed of train.py's quantised one or with another."""
    model = OnCells(noise, device)
    model.load_state_dict(start.state_dict(), strict=False)
    few = data.part(np.arange(len(data.labels)) % 8 == 0)

    def before_epoch(epoch: int) -> None:
        model.share = noise.share * min(1.0, (epoch + 1) / GROWTH)
        model.settle(few)

    train(
        model, data, RATE / 3, noise.seed, name, work, epochs=noise.epochs, before_epoch=before_epoch,
        largest_gradient=LARGEST_GRADIENT,
    )  # fmt: skip
    return model.eval()


def shipped() -> Network:
    """Return the float network of float.safetensors."""
    model = Network()
    with torch.no_grad(), open_weights(HERE / "float.safetensors") as found:
        model.encoder.weight.copy_(torch.from_numpy(found.get_tensor("encoder")))
        for n, (kernels, mixing) in enumerate(zip(model.kernels, model.mixing, strict=True), 1):
            for part in "abc":
                getattr(kernels, part).copy_(torch.from_numpy(found.get_tensor(f"s4d{n}.{part}")))
            mixing.weight.copy_(torch.from_numpy(found.get_tensor(f"mix{n}")))
    with torch.no_grad(), open_weights(HERE / "readout.safetensors") as found:
        model.readout.weight.copy_(torch.from_numpy(found.get_tensor("reference.weight").T))
        model.readout.bias.copy_(torch.from_numpy(found.get_tensor("reference.bias")))
    return model


def choose(device: Device, data: Recordings, work: Path) -> None:
    """Compare settings on each development speaker, by networks that have not heard him, and write choices.csv."""
    rows = []
    for speaker in DEVELOPMENT:
        apart = data.speakers == speaker
        seen, unseen = data.part(~apart), data.part(apart)
        torch.manual_seed(0)
        start = Network()
        train(start, seen, RATE, 0, f"float_without_{speaker}", work)
        for name, noise in SETTINGS.items():
            network = integers(trained(start, noise, device, seen, f"{name}_without_{speaker}", work), seen)
            row = {"speaker": speaker, "setting": name, "ideal": 100 * integer_accuracy(network, unseen, ideal_cells())}
            for when, age in (("fresh", FRESH), ("day", DAY), ("month", MONTH)):
                found = [100 * integer_accuracy(network, unseen, cells_of(device, chip, age)) for chip in range(CHIPS)]
                row |= {when: float(np.mean(found)), f"{when}_sd": float(np.std(found, ddof=1))}
            rows.append(row)
            print("  ".join(f"{x:.2f}" if isinstance(x, float) else x for x in row.values()), flush=True)
            with (work / "choices.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, row.keys())
                writer.writeheader()
                writer.writerows(rows)


WORKLOAD = """\
# Written by train_noise.py.
schema: accelsim/workload@1
name: s4d_digits10_{name}
description: >
  The network of workload.yaml,
  {told}.
weights: {name}.safetensors
reference_weights: float.safetensors
reference_unit: {unit}
inputs:
  source: speech
  dataset: fsdd
  split: test
  trim_db: {trim_db}
  longest_s: {longest_s}
  features:
    {{bands: {bands}, low_hz: {low_hz}, high_hz: {high_hz}, floor: 1e-3, mean_prior: {prior}, initial_mean: {mean}}}
graph:
  - {{name: encoder, op: linear, gives: codes, input: features, outputs: {channels}, weight_bits: {mixing_bits},
     weights: encoder, input_offset: {offset}}}
{layers}score: {{kind: utterance_class, decoder: cells.safetensors, readout: {name},
        classes: [{words}], segments: {segments}}}
"""

LAYER = """\
  - {{name: s4d{n}, op: s4d, input: {source}, kernels: {channels}, states: {states}, weight_bits: {bits},
     scale: {scale}, weights: s4d{n}, input_scale: {input_scale}, output_gain: {output_gain}}}
  - {{name: mix{n}, op: linear, gives: codes, input: s4d{n}, input_activation: relu, outputs: {channels},
     weight_bits: {mixing_bits}, weights: mix{n}, residual: {source}, output_scale: {residual_scale}}}
"""


def write(name: str, told: str, network: Integers) -> dict[str, np.ndarray]:
    """Write the tensors of a network and its workload file beside this file; returns its readout."""
    save_weights(HERE / f"{name}.safetensors", tensors(network))
    sizes = {"channels": CHANNELS, "mixing_bits": MIXING_BITS}
    sources = ["encoder", *(f"mix{n}" for n in range(1, LAYERS))]
    layers = "".join(
        LAYER.format(
            n=n, source=source, states=STATES, bits=KERNEL_BITS, scale=SCALE, input_scale=layer.input_scale,
            output_gain=layer.output_gain, residual_scale=layer.residual_scale, **sizes,
        )
        for n, (source, layer) in enumerate(zip(sources, network.layers, strict=True), 1)
    )  # fmt: skip
    text = WORKLOAD.format(
        name=name, told=told, unit=FULL_SCALE, trim_db=TRIM_DB, longest_s=LONGEST_S, bands=FEATURES.bands,
        low_hz=FEATURES.low_hz, high_hz=FEATURES.high_hz, prior=FEATURES.mean_prior, mean=FEATURES.initial_mean,
        offset=OFFSET, layers=layers, words=", ".join(WORDS), segments=SEGMENTS, **sizes,
    )  # fmt: skip
    (HERE / f"{name}.yaml").write_text(text, encoding="utf-8")
    return {f"{name}.weight": network.readout, f"{name}.bias": network.bias}


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--device", default=DEVICE, help="the cells of training: a name or a file")
    parser.add_argument("--stuck", type=float, default=0.0, help="share of the cells stuck at high conductance, too")
    parser.add_argument("--choose", action="store_true", help="compare the settings on the development speakers")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    torch.set_flush_denormal(True)
    device = with_stuck(load_device(arguments.device), arguments.stuck)
    data, test = recordings()
    training = data.part(~test)
    if arguments.choose:
        choose(device, training, arguments.work)
        return
    start = shipped()
    with open_weights(HERE / "readout.safetensors") as found:
        readouts = {key: found.get_tensor(key) for key in ("reference.weight", "reference.bias")}
    for name, told in NETWORKS.items():
        model = trained(start, SETTINGS[name], device, training, name, arguments.work)
        print(f"{name}: {100 * accuracy(model, training):.2f} % of the training utterances on ideal cells")
        readouts |= write(name, told, integers(model, training))
    save_weights(HERE / "cells.safetensors", readouts)


if __name__ == "__main__":
    main()
