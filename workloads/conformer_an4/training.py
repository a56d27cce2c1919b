"""The training loop of the Conformer recipes: CTC, SpecAugment, averaged weights, checkpoints; seeded and resumable.

A run that was stopped goes on from its last checkpoint and ends with the same weights as one that was not.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # a shared machine: waiting threads sleep

import torch
import torch.nn.functional as F
from model import Conformer, Observer
from shape import Shape
from torch import Tensor
from tqdm import tqdm

LENGTH_JITTER = 0.15
CLIP_NORM = 5.0
WARM_UP = 0.08
AVERAGE = 0.998
OBSERVED = 0.7
"""Share of a quantised training after which the scales of the activations stand still."""


@dataclass(frozen=True)
class Example:
    """Features [frames, bands, planes] as codes at several speeds, and the classes of what was said."""

    speeds: tuple[np.ndarray, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train: the rate rises over the first updates and falls along a half cosine."""

    epochs: int
    rate: float
    seed: int = 1
    bits: int | None = None
    time_masks: int = 2
    longest_time_mask: int = 24
    band_masks: int = 2
    widest_band_mask: int = 8
    weight_decay: float = 1e-2
    frames_per_batch: int = 4000
    shortest_first: bool = False
    """The first epoch goes from short utterances to long ones: CTC finds its first alignments sooner."""


@dataclass(frozen=True)
class Masks:
    """SpecAugment's random masks over time and over input features (Park et al. 2019)."""

    plan: Plan

    def __call__(self, x: np.ndarray, random: np.random.Generator) -> np.ndarray:
        frames, width = x.shape[0], x.shape[1] * x.shape[2]
        flat = x.reshape(frames, width).copy()
        for _ in range(self.plan.time_masks):
            length = min(int(random.integers(0, self.plan.longest_time_mask + 1)), frames // 5)
            start = int(random.integers(0, frames - length + 1))
            flat[start : start + length] = 0
        for _ in range(self.plan.band_masks):
            length = int(random.integers(0, self.plan.widest_band_mask + 1))
            start = int(random.integers(0, width - length + 1))
            flat[:, start : start + length] = 0
        return flat.reshape(x.shape)


def network(path: Path) -> Conformer:
    """Return the averaged network of a finished or running training, in evaluation mode."""
    saved = torch.load(path, weights_only=True, map_location="cpu")
    model = Conformer(Shape.from_json(saved["shape"]))
    if saved["plan"]["bits"] is not None:
        model.quantise(saved["plan"]["bits"], 1.0)  # all scales come with the weights
    model.load_state_dict(saved["average"])
    return model.eval()


def train(
    shape: Shape,
    plan: Plan,
    examples: Sequence[Example],
    checkpoint: Path,
    *,
    scale: float,
    start_from: Path | None = None,
    report: Callable[[Conformer], str] | None = None,
    device: str = "cpu",
) -> None:
    """Train a network, or go on with it, and leave it in ``checkpoint``.

    ``scale``: what a feature code is worth; ``start_from``: a checkpoint whose averaged weights to begin with;
    ``report``: what to say about the averaged network, after every fifth epoch and the last. A training may go on with
    another number of epochs: the rate then continues on the new curve. ``device``: as PyTorch names it; on another one
    the same seed gives another network.
    """
    torch.manual_seed(plan.seed)
    model = Conformer(shape)
    if start_from is not None:
        first = torch.load(start_from, weights_only=True, map_location="cpu")["average"]
        model.load_state_dict({**model.state_dict(), **{k: v for k, v in first.items() if k in model.state_dict()}})
    if plan.bits is not None:
        model.quantise(plan.bits, scale)
    model.to(device)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay)
    batches_per_epoch = len(_batches(examples, plan.frames_per_batch, np.random.default_rng(0)))
    updates = plan.epochs * batches_per_epoch
    epoch = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        if (saved["shape"], {**saved["plan"], "epochs": plan.epochs}) != (shape.to_json(), asdict(plan)):
            raise SystemExit(f"{checkpoint} is of another training: {saved['shape']}, {saved['plan']}")
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        torch.set_rng_state(saved["random"].cpu())
        epoch = saved["epoch"]
    began = time.monotonic()
    step = epoch * batches_per_epoch
    with tqdm(total=updates, initial=min(step, updates), desc=checkpoint.stem, mininterval=5.0) as bar:
        while epoch < plan.epochs:
            random = np.random.default_rng([plan.seed, epoch])
            model.train()
            if plan.bits is not None and epoch >= OBSERVED * plan.epochs:
                _freeze_scales(model)
            total, batches = 0.0, _batches(examples, plan.frames_per_batch, random)
            in_order = plan.shortest_first and epoch == 0
            for batch in batches if in_order else [batches[i] for i in random.permutation(len(batches))]:
                progress = min(step / updates, 1.0)
                for group in optimiser.param_groups:
                    group["lr"] = plan.rate * _schedule(progress)
                if shape.trained_chunks:
                    model.in_chunks(int(random.choice(shape.trained_chunks)))
                loss = _loss(model, [examples[i] for i in batch], Masks(plan), random, scale)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
                optimiser.step()
                step += 1
                _follow(average, model, min(AVERAGE, (1 + step) / (10 + step)))
                total += float(loss.detach())
                bar.update()
            epoch += 1
            _save(
                checkpoint,
                {
                    "shape": shape.to_json(), "plan": asdict(plan), "epoch": epoch, "model": model.state_dict(),
                    "average": average.state_dict(), "optimiser": optimiser.state_dict(),
                    "random": torch.get_rng_state(),
                },
            )  # fmt: skip
            said = f"epoch {epoch} loss {total / len(batches):.3f} {time.monotonic() - began:.0f} s"
            if report is not None and (epoch % 5 == 0 or epoch == plan.epochs):
                said += " " + report(average.eval())
            bar.write(said)


def log_probabilities(model: Conformer, codes: Sequence[np.ndarray], scale: float) -> list[np.ndarray]:
    """Return log softmax of the outputs of every utterance, [frames', classes] each."""
    out = []
    with torch.inference_mode():
        device = model.output.weight.device
        for x in codes:
            values = torch.from_numpy(x.astype(np.float32))[None].to(device) * scale
            logits, _ = model(values, torch.tensor([len(x)], device=device))
            out.append(logits[0].log_softmax(dim=-1).cpu().numpy())
    return out


def stretched(x: np.ndarray, speed: float) -> np.ndarray:
    """Return features [frames, n] at another speed, by linear interpolation between frames."""
    frames = round(len(x) / speed)
    place = np.linspace(0, len(x) - 1, frames)
    low = np.minimum(place.astype(int), len(x) - 2)
    part = (place - low)[:, None].astype(x.dtype)
    return x[low] * (1 - part) + x[low + 1] * part


def command_line(
    description: str | None,
    shapes: Mapping[str, Shape],
    plans: Mapping[str, Plan],
    scale: float,
    data: Callable[[Path], tuple[int, list[Example], Callable[[Conformer], str]]],
) -> None:
    """Train one variant in one stage, as a recipe's command line says; ``shapes``: of the variants by name.

    ``data`` gets the work folder and returns the number of classes, the examples and the report; it is called when the
    arguments are in order.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=shapes)
    parser.add_argument("stage", choices=plans)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="as PyTorch names it, for example cuda (default: cpu)")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--rate", type=float, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-from", type=Path, help="a checkpoint; quantised stages take the float one of --work")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    plan = replace(plans[options.stage], seed=options.seed)
    plan = replace(plan, epochs=options.epochs or plan.epochs, rate=options.rate or plan.rate)
    start = options.start_from
    if plan.bits is not None and start is None:
        start = options.work / f"{options.variant}_float.pt"
    classes, examples, report = data(options.work)
    train(
        replace(shapes[options.variant], classes=classes),
        plan,
        examples,
        options.work / f"{options.variant}_{options.stage}.pt",
        scale=scale,
        start_from=start,
        report=report,
        device=options.device,
    )


def _schedule(progress: float) -> float:
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) + 1e-3


def _batches(examples: Sequence[Example], frames_per_batch: int, random: np.random.Generator) -> list[list[int]]:
    """Utterances of similar lengths together, from short to long."""
    lengths = np.array([len(example.speeds[0]) for example in examples])
    order = np.argsort(lengths * random.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(lengths)))
    sorted_lengths = np.sort(lengths)
    # Cut by the lengths in order, so that every epoch has the same number of batches.
    batches, start = [], 0
    while start < len(order):
        count = 1
        while start + count < len(order) and sorted_lengths[start + count] * (count + 1) <= frames_per_batch:
            count += 1
        batches.append([int(i) for i in order[start : start + count]])
        start += count
    return batches


def _loss(model: Conformer, examples: list[Example], masks: Masks, random: np.random.Generator, scale: float) -> Tensor:
    chosen = [masks(e.speeds[int(random.integers(len(e.speeds)))], random) for e in examples]
    lengths = torch.tensor([len(x) for x in chosen])
    x = torch.zeros(len(chosen), int(lengths.max()), *chosen[0].shape[1:])
    for row, one in zip(x, chosen, strict=True):
        row[: len(one)] = torch.from_numpy(one.astype(np.float32)) * scale
    device = model.output.weight.device
    logits, lengths = model(x.to(device), lengths.to(device))
    wanted = torch.tensor([c for e in examples for c in e.classes], device=device)
    wanted_lengths = torch.tensor([len(e.classes) for e in examples], device=device)
    logp = logits.log_softmax(dim=-1).transpose(0, 1)
    return F.ctc_loss(logp, wanted, lengths, wanted_lengths, zero_infinity=True)


def _follow(average: Conformer, model: Conformer, memory: float) -> None:
    """Move the averaged weights on, and copy what is no weight: the observers' scales."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - memory)
        for a, b in zip(average.buffers(), model.buffers(), strict=True):
            a.copy_(b)


def _freeze_scales(model: Conformer) -> None:
    for module in model.modules():
        if isinstance(module, Observer):
            module.frozen = True


def _save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)
