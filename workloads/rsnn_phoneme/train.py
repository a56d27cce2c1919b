"""Train the RSNN phoneme network: float first, then 4-bit weights, then export integers for the simulator.

    python align.py --lexicon cmudict.txt --work W          # tied states and alignments, once
    python train.py float --work W                          # float weights
    python train.py quantised --work W                      # 4-bit weights from the float ones
    python train.py export --work W                         # tensors and workload.yaml beside this file

Runs on a CPU, is seeded, and goes on from its last checkpoint when started again.
Neuron, in units of the threshold: V = beta R + I, S = [V >= 1], R = V - S, over two time steps per frame;
I[0][t][s] = x[t] Win + S0[t-1][s] Wrec, I[1][t][s] = S0[t][s] Win + S1[t-1][s] Wrec, x = codes / 256.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # a shared machine: waiting threads sleep

import torch
from torch import Tensor, nn
from tqdm import tqdm

CLASSES = 1920
NEURONS = 128
BANDS = 40
TIME_STEPS = 2
DELAY = 6
CHUNK = 300
WARM_UP = 4
SKIP = 3  # neighbouring frames are alike: the loss looks at every third one, a different one each time
PRUNED = 0.4
LEVEL = 7
BETA_BITS = 8
MATRICES = ("l0_in", "l0_rec", "l1_in", "l1_rec", "fc")


@dataclass(frozen=True)
class Plan:
    """How long and how fast one stage trains."""

    epochs: int
    rate: float
    final_rate: float
    batch: int = 64
    seed: int = 1


class Lif(torch.autograd.Function):
    """One recurrent LIF layer over [frames, time steps, batch, neurons], with a hand-written backward pass through time.

    The spike's derivative is taken as slope * max(0, 1 - |V - 1|), damped so that gradients over hundreds of frames
    stay bounded (Bellec et al. 2018); the reset is not differentiated.
    """

    slope = 0.3

    @staticmethod
    def forward(ctx: Any, drive: Tensor, recurrent: Tensor, beta: Tensor) -> Tensor:
        frames, steps, batch, neurons = drive.shape
        leak = float(beta)
        potential = torch.empty_like(drive)
        spikes = torch.empty_like(drive)
        rest = torch.zeros(batch, neurons)
        for t in range(frames):
            now, fired = potential[t], spikes[t]
            if t:
                torch.addmm(
                    drive[t].view(-1, neurons), spikes[t - 1].view(-1, neurons), recurrent, out=now.view(-1, neurons)
                )
            else:
                now.copy_(drive[t])
            for s in range(steps):
                now[s].add_(rest, alpha=leak)
                torch.ge(now[s], 1.0, out=fired[s])
                torch.sub(now[s], fired[s], out=rest)
        ctx.save_for_backward(potential, spikes, recurrent, beta)
        return spikes

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        potential, spikes, recurrent, beta = ctx.saved_tensors
        frames, steps, batch, neurons = potential.shape
        leak = float(beta)
        slope = (potential - 1.0).abs_().neg_().add_(1.0).clamp_(min=0.0).mul_(Lif.slope)
        grad = torch.mul(upstream, slope)
        back = recurrent.t().contiguous()
        carried = torch.zeros(batch, neurons)
        through = torch.empty(steps * batch, neurons)
        for t in range(frames - 1, -1, -1):
            now = grad[t]
            if t + 1 < frames:
                torch.mm(grad[t + 1].view(-1, neurons), back, out=through)
                now.view(-1, neurons).addcmul_(through, slope[t].view(-1, neurons))
            for s in range(steps - 1, -1, -1):
                now[s].add_(carried, alpha=leak)
                carried = now[s]
        flat = grad.view(frames, -1, neurons)
        grad_recurrent = torch.mm(
            spikes[:-1].reshape(-1, neurons).t(), flat[1:].reshape(-1, neurons)
        )
        line_grad = grad.view(frames * steps, -1)
        rest = (potential - spikes).view(frames * steps, -1)
        grad_beta = (line_grad[1:] * rest[:-1]).sum()
        return grad, grad_recurrent, grad_beta


class Rsnn(nn.Module):
    """The network of the 28 nm chip; with `scales` set, weights are 4-bit integers times a power of two."""

    def __init__(self) -> None:
        super().__init__()
        spread = {
            "l0_in": (BANDS, NEURONS, 0.5), "l0_rec": (NEURONS, NEURONS, 0.06),
            "l1_in": (NEURONS, NEURONS, 0.12), "l1_rec": (NEURONS, NEURONS, 0.06),
            "fc": (NEURONS, CLASSES, 0.1),
        }  # fmt: skip
        for name, (rows, columns, deviation) in spread.items():
            self.register_parameter(name, nn.Parameter(torch.randn(rows, columns) * deviation))
        self.bias = nn.Parameter(torch.zeros(CLASSES))
        self.leak = nn.Parameter(torch.tensor([2.0, 2.5]))
        self.register_buffer("exponents", torch.zeros(len(MATRICES)))
        self.register_buffer("mask", torch.ones(NEURONS, CLASSES))
        self.quantised = False

    def weight(self, name: str) -> Tensor:
        """A weight matrix [inputs, neurons] as the forward pass uses it."""
        weight: Tensor = getattr(self, name)
        if not self.quantised:
            return weight
        scale = float(2.0 ** self.exponents[MATRICES.index(name)])
        if name == "fc":
            weight = weight * self.mask
        clipped = weight.clamp(-LEVEL * scale, LEVEL * scale)
        return clipped + (torch.round(clipped / scale) * scale - clipped).detach()

    def betas(self) -> Tensor:
        """Leak of both layers per time step; on the 1/256 grid when quantised."""
        beta = torch.sigmoid(self.leak)
        if not self.quantised:
            return beta
        levels = 2.0**BETA_BITS
        return beta + (torch.round(beta * levels) / levels - beta).detach()

    def quantise(self) -> None:
        """Fix power-of-two scales (least squared error) and the pruning mask from the present weights, once."""
        with torch.no_grad():
            threshold = self.fc.abs().flatten().kthvalue(int(PRUNED * self.fc.numel())).values
            self.mask.copy_((self.fc.abs() > threshold).float())
            for position, name in enumerate(MATRICES):
                weight = getattr(self, name) * (self.mask if name == "fc" else 1.0)
                errors = {}
                for exponent in range(-12, 3):
                    scale = 2.0**exponent
                    errors[exponent] = float(((weight / scale).round().clamp(-LEVEL, LEVEL) * scale - weight).pow(2).sum())
                self.exponents[position] = min(errors, key=errors.__getitem__)
        self.quantised = True

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes uint8 [frames, batch, bands] -> spike counts of layer 1 [frames, batch, neurons], and both layers' spikes."""
        beta = self.betas()
        drive = (codes.float() / 256.0) @ self.weight("l0_in")
        drive = drive.unsqueeze(1).expand(-1, TIME_STEPS, -1, -1).contiguous()
        first = Lif.apply(drive, self.weight("l0_rec"), beta[0])
        second = Lif.apply(first @ self.weight("l1_in"), self.weight("l1_rec"), beta[1])
        return second.sum(1), first, second


@dataclass(frozen=True)
class Frames:
    """Aligned utterances end to end: codes uint8 [frames, bands], tied-state labels int64 [frames], offsets."""

    codes: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    offsets: list[tuple[int, int]]


def read_alignment(work: Path, split: str) -> Frames:
    """The aligned frames of one split."""
    with np.load(work / "alignment.npz", allow_pickle=False) as data:
        left, phone, part = data["labels"].astype(np.int64).T
        labels = data["tied"][left, phone, part].astype(np.int64)
        offsets, chosen = data["offsets"], np.nonzero(data["splits"] == split)[0]
        return Frames(data["codes"], labels, [(int(offsets[i]), int(offsets[i + 1])) for i in chosen])


def chunks(data: Frames, generator: np.random.Generator) -> list[int]:
    """Shuffled chunk starts that cover every utterance once, at random places (utterances below a chunk are skipped)."""
    starts = []
    for begin, end in data.offsets:
        room = end - begin - CHUNK
        if room < 0:
            continue
        count = math.ceil((end - begin) / CHUNK)
        spots = np.linspace(0, room, count) + generator.uniform(-CHUNK / 2, CHUNK / 2, count)
        starts += [begin + int(s) for s in np.clip(spots, 0, room)]
    generator.shuffle(starts)
    return starts


def batch_of(data: Frames, starts: list[int], generator: np.random.Generator | None) -> tuple[Tensor, Tensor]:
    """Codes [frames, batch, bands] and the delayed labels [frames, batch], -100 where not to be learned."""
    index = np.array(starts)[None, :] + np.arange(CHUNK)[:, None]
    codes = data.codes[index]
    labels = np.full(index.shape, -100)
    labels[DELAY + WARM_UP :] = data.labels[index[WARM_UP : CHUNK - DELAY]]
    if generator is not None:
        middle = 80  # the code of a band at its running mean
        for column in range(len(starts)):
            for _ in range(2):
                low, width = generator.integers(0, BANDS), generator.integers(0, 6)
                codes[:, column, low : low + width] = middle
            for _ in range(2):
                begin, length = generator.integers(0, CHUNK), generator.integers(0, 13)
                codes[begin : begin + length, column] = middle
    return torch.from_numpy(codes), torch.from_numpy(labels)


def rate_penalty(first: Tensor, second: Tensor, target: float = 0.28) -> Tensor:
    """Mild pull of every neuron's mean firing rate towards the chip's spike density."""
    return sum((((spikes.mean((0, 1, 2)) - target) ** 2).mean() for spikes in (first, second)), torch.zeros(()))


def evaluate(model: Rsnn, data: Frames) -> dict[str, float]:
    """Frame cross-entropy, accuracy and spike density on chunks cut at fixed places."""
    starts = [b for begin, end in data.offsets for b in range(begin, end - CHUNK + 1, CHUNK)]
    loss, right, count, fired = 0.0, 0, 0, [0.0, 0.0]
    batches = [starts[i : i + 128] for i in range(0, len(starts), 128)]
    with torch.no_grad():
        for batch in batches:
            codes, labels = batch_of(data, batch, None)
            counts, first, second = model(codes)
            fired = [f + float(s.mean()) / len(batches) for f, s in zip(fired, (first, second), strict=True)]
            keep = labels >= 0
            logits = counts[keep] @ model.weight("fc") + model.bias
            loss += float(nn.functional.cross_entropy(logits, labels[keep], reduction="sum"))
            right += int((logits.argmax(1) == labels[keep]).sum())
            count += int(keep.sum())
    return {"loss": loss / count, "accuracy": right / count, "density0": fired[0], "density1": fired[1]}


def train(stage: str, plan: Plan, work: Path, start_from: Path | None) -> None:
    """Train one stage to `<work>/<stage>.pt`, from its own checkpoint if there is one."""
    torch.manual_seed(plan.seed)
    data, held_out = read_alignment(work, "train"), read_alignment(work, "dev")
    model = Rsnn()
    checkpoint = work / f"{stage}.checkpoint.pt"
    if start_from is not None:
        model.load_state_dict(torch.load(start_from, weights_only=True)["model"])
    model.quantised = False
    if stage.startswith("quantised"):
        model.quantise()
    optimiser = torch.optim.Adam(model.parameters(), lr=plan.rate, betas=(0.9, 0.98))
    first_epoch = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        first_epoch = saved["epoch"]
    per_epoch = len(chunks(data, np.random.default_rng(0))) // plan.batch
    total = plan.epochs * per_epoch
    for epoch in range(first_epoch, plan.epochs):
        generator = np.random.default_rng([plan.seed, epoch])
        starts = chunks(data, generator)[: per_epoch * plan.batch]
        began, running = time.time(), 0.0
        progress = tqdm(range(per_epoch), desc=f"{stage} {epoch + 1}/{plan.epochs}", mininterval=5)
        for step in progress:
            done = epoch * per_epoch + step
            warm = min(1.0, (done + 1) / 100)
            rate = plan.final_rate + (plan.rate - plan.final_rate) * 0.5 * (1 + math.cos(math.pi * done / total))
            for group in optimiser.param_groups:
                group["lr"] = rate * warm
            codes, labels = batch_of(data, starts[step * plan.batch : (step + 1) * plan.batch], generator)
            counts, first, second = model(codes)
            phase = DELAY + WARM_UP + int(generator.integers(SKIP))
            logits = torch.addmm(model.bias, counts[phase::SKIP].reshape(-1, NEURONS), model.weight("fc"))
            loss = nn.functional.cross_entropy(logits, labels[phase::SKIP].reshape(-1))
            (loss + 2.0 * rate_penalty(first, second)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            running += loss.item()
            progress.set_postfix(loss=f"{running / (step + 1):.3f}")
        report = {k: round(v, 4) for k, v in evaluate(model, held_out).items()}
        beta = [round(float(b), 4) for b in model.betas()]
        print(f"{stage} epoch {epoch + 1}: train {running / per_epoch:.4f} dev {report} beta {beta}"
              f" {time.time() - began:.0f} s", flush=True)  # fmt: skip
        torch.save(
            {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch + 1}, checkpoint
        )
    torch.save({"model": model.state_dict()}, work / f"{stage}.pt")


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", help="float..., quantised... or export")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--final-rate", type=float, default=1e-5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-from", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    plan = Plan(arguments.epochs, arguments.rate, arguments.final_rate, arguments.batch, arguments.seed)
    train(arguments.stage, plan, arguments.work, arguments.start_from)


if __name__ == "__main__":
    main()
