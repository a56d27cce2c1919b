"""Train the RSNN phoneme network: float first, then 4-bit weights; export.py then writes integers for the simulator.

    python align.py --lexicon cmudict.txt --work W                          # tied states and alignments, once
    python train.py phones --work W                                         # 120 monophone states: fast and coarse
    python train.py float --work W --start-from W/phones.pt                 # 1,920 tied states, float weights
    python train.py quantised-a --work W --start-from W/float.pt --teacher W/float.pt       # 4-bit weights
    python train.py quantised --work W --start-from W/quantised-a.pt --teacher W/float.pt   # once more, longer
    python train.py readout --work W --start-from W/quantised.pt --teacher W/float.pt       # the readout alone, again

Runs on a CPU, is seeded, and goes on from its last checkpoint when started again.
Neuron, in units of the threshold: V = beta R + I, S = [V >= 1], R = V - S, over two time steps per frame;
I[0][t][s] = x[t] Win + S0[t-1][s] Wrec, I[1][t][s] = S0[t][s] Win + S1[t-1][s] Wrec, x = codes / 256.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # a shared machine: waiting threads sleep

import torch
from align import NAMES, STATES
from torch import Tensor, nn
from tqdm import tqdm

CLASSES = 1920
NEURONS = 128
BANDS = 40
TIME_STEPS = 2
DELAY = 6
CHUNK = 150
WARM_UP = 4
SKIP = 3  # neighbouring frames are alike: the loss over 1,920 states looks at every third one, not always the same
INPUT_GAIN = 4.0
MEAN_CODE = 80  # the code of a band at its running mean
PRUNED = 0.4
LEVEL = 7
BETA_BITS = 8
REPORT = 500
MATRICES = ("l0_in", "l0_rec", "l1_in", "l1_rec")
TEACHING = 0.5  # share of the teacher's posteriors in the loss
SHRINK = np.linspace(0.35, 1.0, 27)  # readout scales tried, as shares of the one that clips nothing


@dataclass(frozen=True)
class Plan:
    """How long and how fast one stage trains; `rate` falls to `final_rate` along a half cosine."""

    updates: int
    rate: float
    final_rate: float = 1e-5
    batch: int = 32
    seed: int = 1


PLANS = {
    "phones": Plan(4500, 3e-3, 2e-4),
    "float": Plan(5500, 2e-3),
    "quantised": Plan(12000, 8e-4),
    "readout": Plan(1060, 4e-3),
}
READOUT_FRAMES = 4096
SCALE_RATE = 0.3  # of the weights' learning rate


class Lif(torch.autograd.Function):
    """One recurrent LIF layer over [frames, time steps, batch, neurons], with its backward pass through time.

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
        grad_recurrent = torch.mm(spikes[:-1].reshape(-1, neurons).t(), flat[1:].reshape(-1, neurons))
        line_grad = grad.view(frames * steps, -1)
        rest = (potential - spikes).view(frames * steps, -1)
        grad_beta = (line_grad[1:] * rest[:-1]).sum()
        return grad, grad_recurrent, grad_beta


class Rsnn(nn.Module):
    """The network of the 28 nm chip; quantised, weights are 4-bit integers times a scale.

    A recurrent layer's matrix has one scale, a power of two (the chip shifts); the readout has one learned scale per
    class, which the decoder on the host multiplies by.
    """

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        spread = {
            "l0_in": (BANDS, NEURONS, 0.4), "l0_rec": (NEURONS, NEURONS, 0.06),
            "l1_in": (NEURONS, NEURONS, 0.12), "l1_rec": (NEURONS, NEURONS, 0.06),
            "fc": (NEURONS, classes, 0.1),
        }  # fmt: skip
        for name, (rows, columns, deviation) in spread.items():
            self.register_parameter(name, nn.Parameter(torch.randn(rows, columns) * deviation))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.l0_mean = nn.Parameter(torch.full((NEURONS,), 0.01))
        self.l1_mean = nn.Parameter(torch.full((NEURONS,), 0.005))
        self.leak = nn.Parameter(torch.tensor([2.0, 2.5]))
        self.log_scale = nn.Parameter(torch.zeros(classes))
        self.register_buffer("exponents", torch.zeros(len(MATRICES)))
        self.register_buffer("mask", torch.ones(NEURONS, classes))
        self.centred = False
        self.quantised = False

    def weight(self, name: str) -> Tensor:
        """A weight matrix [inputs, neurons] as the forward pass uses it."""
        weight: Tensor = getattr(self, name)
        if self.centred and name in ("l0_in", "l1_in"):
            # Inputs are never negative: their common mode learns apart from their differences.
            weight = weight - weight.mean(0) + getattr(self, f"{name[:2]}_mean")
            return weight * INPUT_GAIN if name == "l0_in" else weight
        if not self.quantised:
            return weight
        if name == "fc":
            scale, weight = self.log_scale.exp(), weight * self.mask
        else:
            scale = 2.0 ** self.exponents[MATRICES.index(name)]
        steps = (weight / scale).clamp(-LEVEL, LEVEL)
        return (steps + (torch.round(steps) - steps).detach()) * scale

    def betas(self) -> Tensor:
        """Leak of both layers per time step; on the 1/256 grid when quantised."""
        beta = torch.sigmoid(self.leak)
        if not self.quantised:
            return beta
        levels = 2.0**BETA_BITS
        return beta + (torch.round(beta * levels) / levels - beta).detach()

    def fold(self) -> None:
        """Write the means back into the matrices."""
        with torch.no_grad():
            for name in ("l0_in", "l1_in"):
                getattr(self, name).copy_(self.weight(name))
        self.centred = False

    def unfold(self) -> None:
        """Undo `fold`, to train on."""
        with torch.no_grad():
            self.l0_in.div_(INPUT_GAIN)
            self.l0_mean.copy_(self.l0_in.mean(0))
            self.l1_mean.copy_(self.l1_in.mean(0))
        self.centred = True

    def quantise(self, teacher: Rsnn) -> None:
        """Fix the recurrent layers' scales (least squared error), and start the readout from the teacher's."""
        with torch.no_grad():
            for position, name in enumerate(MATRICES):
                weight = getattr(self, name)
                errors = [rounding_error(weight, 2.0**exponent).sum() for exponent in range(-12, 3)]
                self.exponents[position] = int(torch.stack(errors).argmin()) - 12
        self.start_readout(teacher)
        self.quantised = True

    def start_readout(self, teacher: Rsnn) -> None:
        """Start the readout from the teacher's, pruned; a class has the scale of least squared error of those tried.

        A softmax ignores what a spike adds to all classes alike, so each row first loses its median: more weights are
        then near zero and cost nothing to prune.
        """
        with torch.no_grad():
            self.fc.copy_(teacher.fc - teacher.fc.median(1, keepdim=True).values)
            threshold = self.fc.abs().flatten().kthvalue(int(PRUNED * self.fc.numel())).values
            self.mask.copy_((self.fc.abs() > threshold).float())
            kept = self.fc * self.mask
            self.bias.copy_(teacher.bias)
            widest = kept.abs().amax(0) / LEVEL
            errors = [rounding_error(kept, widest * float(share)).sum(0) for share in SHRINK]
            best = torch.stack(errors).argmin(0)
            self.log_scale.copy_((widest * torch.from_numpy(SHRINK).float()[best]).log())

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes uint8 [frames, batch, bands] -> layer 1's spike counts [frames, batch, neurons]; all spikes."""
        beta = self.betas()
        drive = (codes.float() / 256.0) @ self.weight("l0_in")
        drive = drive.unsqueeze(1).expand(-1, TIME_STEPS, -1, -1).contiguous()
        first = Lif.apply(drive, self.weight("l0_rec"), beta[0])
        second = Lif.apply(first @ self.weight("l1_in"), self.weight("l1_rec"), beta[1])
        return second.sum(1), first, second


def rounding_error(weight: Tensor, scale: Tensor | float) -> Tensor:
    """Squared error of every weight when rounded to 4 bits at a scale."""
    return ((weight / scale).round().clamp(-LEVEL, LEVEL) * scale - weight).pow(2)


@dataclass(frozen=True)
class Frames:
    """Aligned utterances end to end: codes uint8 [frames, bands], labels int64 [frames], utterance bounds."""

    codes: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]


def read_alignment(work: Path, split: str, monophones: bool = False) -> Frames:
    """The aligned frames of one split, with tied states or (phone, part) states as labels."""
    with np.load(work / "alignment.npz", allow_pickle=False) as data:
        left, phone, part = data["labels"].astype(np.int64).T
        labels = phone * STATES + part if monophones else data["tied"][left, phone, part].astype(np.int64)
        offsets, chosen = data["offsets"], np.nonzero(data["splits"] == split)[0]
        bounds = np.stack([offsets[chosen], offsets[chosen + 1]], axis=1)
        return Frames(data["codes"], labels, bounds[bounds[:, 1] - bounds[:, 0] >= CHUNK])


def batch_of(data: Frames, starts: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Codes [frames, batch, bands] and the delayed labels [frames, batch], -100 where not to be learned."""
    index = starts[None, :] + np.arange(CHUNK)[:, None]
    labels = np.full(index.shape, -100)
    labels[DELAY + WARM_UP :] = data.labels[index[WARM_UP : CHUNK - DELAY]]
    return torch.from_numpy(data.codes[index]), torch.from_numpy(labels)


def random_starts(data: Frames, batch: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Chunk starts at random places of random utterances, long ones more often."""
    room = data.bounds[:, 1] - data.bounds[:, 0]
    chosen = generator.choice(len(room), batch, p=room / room.sum())
    return data.bounds[chosen, 0] + generator.integers(0, room[chosen] - CHUNK + 1)


def augment(codes: Tensor, generator: np.random.Generator) -> Tensor:
    """Other voices: each chunk's spectrum is stretched along the mel bands by up to an eighth; a few bands go blank."""
    bands = np.arange(BANDS)
    plain = codes.numpy()
    changed = np.empty_like(plain)
    for column in range(plain.shape[1]):
        place = np.clip(bands * generator.uniform(7 / 8, 9 / 8), 0, BANDS - 1.001)
        below = place.astype(np.int64)
        share = (place - below).astype(np.float32)
        chunk = plain[:, column].astype(np.float32)
        changed[:, column] = np.rint(chunk[:, below] * (1 - share) + chunk[:, below + 1] * share)
        first, width = generator.integers(0, BANDS), generator.integers(0, 7)
        changed[:, column, first : first + width] = MEAN_CODE
    return torch.from_numpy(changed)


def rate_penalty(first: Tensor, second: Tensor, target: float = 0.28) -> Tensor:
    """Mild pull of every neuron's mean firing rate towards the chip's spike density."""
    return ((first.mean((0, 1, 2)) - target) ** 2).mean() + ((second.mean((0, 1, 2)) - target) ** 2).mean()


def evaluate(model: Rsnn, data: Frames) -> dict[str, float]:
    """Frame cross-entropy, accuracy and spike density on chunks cut at fixed places."""
    starts = np.concatenate([np.arange(begin, end - CHUNK + 1, CHUNK) for begin, end in data.bounds])
    batches = np.array_split(starts, max(1, len(starts) // 128))
    loss, right, count, fired = 0.0, 0, 0, np.zeros(2)
    with torch.no_grad():
        for batch in batches:
            codes, labels = batch_of(data, batch)
            counts, first, second = model(codes)
            fired += np.array([float(first.mean()), float(second.mean())]) / len(batches)
            keep = labels >= 0
            logits = counts[keep] @ model.weight("fc") + model.bias
            loss += float(nn.functional.cross_entropy(logits, labels[keep], reduction="sum"))
            right += int((logits.argmax(1) == labels[keep]).sum())
            count += int(keep.sum())
    return {"loss": loss / count, "accuracy": right / count, "density0": float(fired[0]), "density1": float(fired[1])}


def widen(model: Rsnn, coarse: dict[str, Tensor], work: Path) -> None:
    """Start the tied states from the monophone states that they refine: same weights, bias less the share's log."""
    tied, mono = read_alignment(work, "train").labels, read_alignment(work, "train", monophones=True).labels
    parent = np.zeros(CLASSES, np.int64)
    parent[tied] = mono
    share = np.log(np.maximum(np.bincount(tied, minlength=CLASSES), 1) / np.bincount(mono)[parent])
    state = {**coarse, "mask": model.mask, "fc": coarse["fc"][:, parent]}
    state["bias"] = coarse["bias"][parent] + torch.from_numpy(share).float()
    model.load_state_dict(state)


def train(stage: str, plan: Plan, work: Path, start_from: Path | None, teacher: Rsnn | None) -> None:
    """Train one stage to `<work>/<stage>.pt`, from its own checkpoint if there is one.

    With a teacher the loss is (1 - TEACHING) of the labels' cross-entropy and TEACHING of the teacher's posteriors'.
    """
    torch.manual_seed(plan.seed)
    coarse = stage.startswith("phones")
    data, held_out = read_alignment(work, "train", coarse), read_alignment(work, "dev", coarse)
    model = Rsnn(len(NAMES) * STATES if coarse else CLASSES)
    checkpoint = work / f"{stage}.checkpoint.pt"
    if start_from is not None:
        state = torch.load(start_from, weights_only=True)["model"]
        if state["fc"].shape == model.fc.shape:
            model.load_state_dict(state)
        else:
            widen(model, state, work)
    if stage.startswith("quantised"):
        assert teacher is not None
        model.quantise(teacher)
    elif start_from is not None:
        model.unfold()
    else:
        model.centred = True
    optimiser = torch.optim.Adam(model.parameters(), lr=plan.rate, betas=(0.9, 0.98))
    first_update = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        first_update = saved["update"]
    skip = 1 if coarse else SKIP
    running, began = 0.0, time.time()
    progress = tqdm(
        range(first_update, plan.updates), desc=stage, initial=first_update, total=plan.updates, mininterval=10
    )
    for update in progress:
        generator = np.random.default_rng([plan.seed, update])
        rate = plan.final_rate + (plan.rate - plan.final_rate) * 0.5 * (1 + math.cos(math.pi * update / plan.updates))
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (update + 1) / 100)
        codes, labels = batch_of(data, random_starts(data, plan.batch, generator))
        codes = augment(codes, generator)
        counts, first, second = model(codes)
        phase = DELAY + WARM_UP + int(generator.integers(skip))
        logits = torch.addmm(model.bias, counts[phase::skip].reshape(-1, NEURONS), model.weight("fc"))
        loss = nn.functional.cross_entropy(logits, labels[phase::skip].reshape(-1))
        if teacher is not None:
            with torch.no_grad():
                taught = teacher(codes)[0][phase::skip].reshape(-1, NEURONS)
                posterior = torch.addmm(teacher.bias, taught, teacher.fc).softmax(1)
            loss = (1 - TEACHING) * loss + TEACHING * nn.functional.cross_entropy(logits, posterior)
        (loss + 2.0 * rate_penalty(first, second)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        running += loss.item()
        if (update + 1) % REPORT == 0 or update + 1 == plan.updates:
            report = {k: round(v, 4) for k, v in evaluate(model, held_out).items()}
            beta = [round(float(b), 4) for b in model.betas()]
            line = f"{stage} update {update + 1}: train {running / REPORT:.4f} dev {report} beta {beta}"
            progress.write(f"{line} {time.time() - began:.0f} s")
            running = 0.0
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "update": update + 1}
            torch.save(state, checkpoint)
    if model.centred:
        model.fold()
    torch.save({"model": model.state_dict()}, work / f"{stage}.pt")


def spike_counts(model: Rsnn, data: Frames, together: int = 48) -> tuple[Tensor, Tensor]:
    """Layer 1's spike counts uint8 [frames, neurons] of whole utterances, and the labels of those frames."""
    counts, labels = [], []
    by_length = data.bounds[np.argsort(data.bounds[:, 1] - data.bounds[:, 0])]
    for group in tqdm(np.array_split(by_length, math.ceil(len(by_length) / together)), desc="spike counts"):
        codes = np.full((int((group[:, 1] - group[:, 0]).max()), len(group), BANDS), MEAN_CODE, np.uint8)
        for column, (begin, end) in enumerate(group):
            codes[: end - begin, column] = data.codes[begin:end]
        with torch.no_grad():
            made = model(torch.from_numpy(codes))[0].to(torch.uint8)
        for column, (begin, end) in enumerate(group):
            counts.append(made[DELAY : end - begin, column])
            labels.append(torch.from_numpy(data.labels[begin : end - DELAY]))
    return torch.cat(counts), torch.cat(labels)


def train_readout(stage: str, plan: Plan, work: Path, start_from: Path, teacher: Rsnn) -> None:
    """Train the readout alone, from the teacher's, on the fixed 4-bit recurrent layers and whole plain utterances.

    The bias first takes over what the pruned weights added on average.
    """
    torch.manual_seed(plan.seed)
    model = Rsnn()
    model.load_state_dict(torch.load(start_from, weights_only=True)["model"])
    model.quantised = True
    data = read_alignment(work, "train")
    taught, labels = spike_counts(teacher, data)
    counts, _ = spike_counts(model, data)
    model.start_readout(teacher)
    with torch.no_grad():
        model.bias.add_(counts[::20].float().mean(0) @ (model.fc * (1 - model.mask)))
    slow = {"params": [model.log_scale], "speed": SCALE_RATE}
    optimiser = torch.optim.Adam([{"params": [model.fc, model.bias], "speed": 1.0}, slow], betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(plan.seed)
    progress = tqdm(range(plan.updates), desc=stage, mininterval=10)
    for update in progress:
        rate = plan.rate * 0.5 * (1 + math.cos(math.pi * update / plan.updates)) * min(1.0, (update + 1) / 20)
        for group in optimiser.param_groups:
            group["lr"] = group["speed"] * rate
        chosen = torch.randint(len(counts), (READOUT_FRAMES,), generator=generator)
        logits = torch.addmm(model.bias, counts[chosen].float(), model.weight("fc"))
        with torch.no_grad():
            posterior = torch.addmm(teacher.bias, taught[chosen].float(), teacher.fc).softmax(1)
        loss = (1 - TEACHING) * nn.functional.cross_entropy(logits, labels[chosen])
        loss = loss + TEACHING * nn.functional.cross_entropy(logits, posterior)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        progress.set_postfix(loss=f"{loss.item():.3f}")
    print(f"{stage}: dev {evaluate(model, read_alignment(work, 'dev'))}")
    torch.save({"model": model.state_dict()}, work / f"{stage}.pt")


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "stage", help="phones, float, quantised or readout; a suffix such as float-b keeps results apart"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder with alignment.npz; results go there")
    parser.add_argument("--start-from", type=Path, help="weights of the stage before")
    parser.add_argument("--teacher", type=Path, help="float weights, for the stages quantised and readout")
    parser.add_argument("--updates", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--final-rate", type=float)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    plan = PLANS[arguments.stage.split("-")[0]]
    given = {k: v for k, v in vars(arguments).items() if k in vars(plan) and v is not None}
    plan = replace(plan, **given)
    teacher = None
    if arguments.teacher is not None:
        teacher = Rsnn()
        teacher.load_state_dict(torch.load(arguments.teacher, weights_only=True)["model"])
    elif arguments.stage.startswith(("quantised", "readout")):
        parser.error(f"{arguments.stage} needs --teacher")
    if arguments.stage.startswith("readout"):
        if arguments.start_from is None or teacher is None:
            parser.error("readout needs --start-from")
        train_readout(arguments.stage, plan, arguments.work, arguments.start_from, teacher)
    else:
        train(arguments.stage, plan, arguments.work, arguments.start_from, teacher)


if __name__ == "__main__":
    main()
