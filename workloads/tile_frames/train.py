"""Train the one dense layer of tile_frames: phone classes of single frames from nine frames of log-mel codes.

    python ../rsnn_phoneme/align.py --lexicon cmudict.txt --work W    # phone alignments, once
    python train.py --lexicon cmudict.txt --work W

Softmax regression on training speakers of mini LibriSpeech, first in float, then with 4-bit weights (straight-through
rounding). Writes the integers, the float layer, both biases and the sample's labels beside this file. Seeded.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "rsnn_phoneme"))

from align import NAMES, STATES, Mixtures, align, aligner_features, build_graph, pronounce, read_lexicon  # noqa: E402

from accelsim.data import load  # noqa: E402
from accelsim.inputs import stacked  # noqa: E402
from accelsim.schema.workload import Context  # noqa: E402
from accelsim.weights import save_weights  # noqa: E402

CONTEXT = Context(before=4, after=4)
OFFSET, FULL_SCALE = 80, 128
LEVEL = 7
UTTERANCES, EPOCHS, BATCH = 5, 8, 1024  # every fifth training utterance is plenty for one layer


def centred(codes: np.ndarray) -> torch.Tensor:
    """Stacked codes as the DACs see them: clamp(code - offset) / 128."""
    return torch.from_numpy(np.clip(codes.astype(np.float32) - OFFSET, -FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE)


class Layer(nn.Module):
    """y = x W + b, with W on 15 levels once ``quantised``."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, classes))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.quantised = False
        self.scale = 1.0

    def integers(self) -> torch.Tensor:
        return torch.round(self.weight / self.scale).clamp(-LEVEL, LEVEL)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if self.quantised:
            weight = weight + (self.integers() * self.scale - weight).detach()
        return x @ weight + self.bias


def train(layer: Layer, codes: np.ndarray, labels: np.ndarray, rate: float, name: str) -> None:
    """Minimise the cross-entropy with Adam and a linear schedule."""
    optimiser = torch.optim.Adam(layer.parameters(), lr=rate)
    generator, steps = np.random.default_rng(1), EPOCHS * (len(codes) // BATCH)
    for step in tqdm(range(steps), desc=name, mininterval=2):
        pick = generator.integers(0, len(codes), BATCH)
        loss = nn.functional.cross_entropy(layer(centred(codes[pick])), torch.from_numpy(labels[pick]))
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def sample_labels(work: Path, lexicon: Path) -> list[np.ndarray]:
    """Phone of every frame of the shipped sample's utterances, by the aligner that made the training labels."""
    words = read_lexicon(lexicon)
    with np.load(work / "aligner.npz", allow_pickle=False) as data:
        weights, means, variances = data["weights"], data["means"], data["variances"]
    model = Mixtures(weights.shape[0], means.shape[-1])
    model.weights, model.means, model.variances = weights, means, variances
    labels = []
    for utterance in load("librivox_sample", "test"):
        graph = build_graph([pronounce(word, words) for word in (utterance.text or "").split()])
        path = align(model, aligner_features(utterance.audio), graph)
        labels.append(graph.state[path] // STATES)
    return labels


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lexicon", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    with np.load(arguments.work / "alignment.npz", allow_pickle=False) as data:
        offsets, phones = data["offsets"], data["labels"][:, 1].astype(np.int64)
        training = np.nonzero(data["splits"] == "train")[0][::UTTERANCES]
        everything = data["codes"]
        codes = np.concatenate([stacked(everything[offsets[u] : offsets[u + 1]], CONTEXT) for u in training])
    labels = np.concatenate([phones[offsets[u] : offsets[u + 1]] for u in training])

    layer = Layer(codes.shape[1], len(NAMES))
    train(layer, codes, labels, 2e-3, "float")
    float_weight, float_bias = layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()
    layer.scale = float(layer.weight.abs().flatten().quantile(0.995)) / LEVEL
    layer.quantised = True
    train(layer, codes, labels, 5e-4, "4 bit")

    save_weights(HERE / "weights.safetensors", {"weight": layer.integers().detach().numpy().astype(np.int8)})
    save_weights(HERE / "float.safetensors", {"weight": float_weight / FULL_SCALE})
    sample = sample_labels(arguments.work, arguments.lexicon)
    tensors = {
        "bias": layer.bias.detach().numpy(),
        "reference_bias": float_bias,
        "labels": np.concatenate(sample).astype(np.int8),
        "starts": np.cumsum([0, *map(len, sample)]),
    }
    save_weights(HERE / "labels.safetensors", tensors)
    print(f"output_scale: {layer.scale / FULL_SCALE!r}")


if __name__ == "__main__":
    main()
