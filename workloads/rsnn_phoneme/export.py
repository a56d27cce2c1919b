"""Export the trained networks as the integers and floats that accelsim reads, and tune the decoder.

    python export.py --work W           # after align.py and train.py, writes beside this file

The decoder's three numbers (acoustic scale, bigram weight, insertion penalty) are tuned on the development speakers
with the float network and used unchanged for the 4-bit one.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from align import NAMES, STATES
from train import BETA_BITS, CLASSES, DELAY, MATRICES, Rsnn

from accelsim.inputs import load_batch
from accelsim.ops.floating import float_outputs
from accelsim.ops.op import FEATURES
from accelsim.weights import save_weights
from accelsim.workload import load_workload

HERE = Path(__file__).parent
NAMED = ("l0.weight_in", "l0.weight_rec", "l1.weight_in", "l1.weight_rec", "fc.weight")
TENSORS = dict(zip((*MATRICES, "fc"), NAMED, strict=True))
SMOOTHING = 0.5
PLACES = 9  # fractional bits of a membrane: its floor must not matter, and 16 bits must hold deep inhibition
GRID = {
    "acoustic_scale": (0.3, 0.4, 0.5, 0.65, 0.8, 1.0),
    "lm_weight": (0.5, 1.0, 1.5, 2.0, 2.5),
    "insertion_penalty": (-2.0, -1.0, 0.0, 1.0, 2.0),
}


def network(path: Path, quantised: bool) -> Rsnn:
    """The trained network of one stage."""
    model = Rsnn()
    model.load_state_dict(torch.load(path, weights_only=True)["model"])
    model.quantised = quantised
    return model.eval()


def integers(model: Rsnn) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Integer weights, and the values of workload.yaml that belong to them.

    A membrane has F fractional bits, threshold 2^F, with F of at least PLACES and so large that no partial sum is
    shifted right: the input's is q x 2^e / 256, so its shift is F + e - 8; a spike's is q 2^e, shift F + e.
    """
    exponent = {name: int(model.exponents[i]) for i, name in enumerate(MATRICES)}
    scales = {name: 2.0**power for name, power in exponent.items()} | {"fc": class_scales(model)}
    tensors = {}
    for name, tensor in TENSORS.items():
        scaled = model.weight(name).detach().numpy() / scales[name]
        tensors[tensor] = np.rint(scaled).astype(np.int8)
        assert np.abs(scaled - tensors[tensor]).max() < 1e-4
    values = {}
    for layer, (beta, input_bits) in enumerate(zip(model.betas().tolist(), (8, 0), strict=True)):
        into, back = exponent[f"l{layer}_in"] - input_bits, exponent[f"l{layer}_rec"]
        places = max(-into, -back, PLACES)
        values |= {
            f"l{layer}.input_shift": str(places + into),
            f"l{layer}.recurrent_shift": str(places + back),
            f"l{layer}.beta": repr(round(beta * 2**BETA_BITS) / 2**BETA_BITS),
            f"l{layer}.threshold": str(1 << places),
        }
    return tensors, values


def class_scales(model: Rsnn) -> np.ndarray:
    """What one unit of the readout's integer outputs is worth, per class."""
    return model.log_scale.detach().exp().numpy()


def floats(model: Rsnn) -> dict[str, np.ndarray]:
    """The float network in the same names; features enter as x / 256, thresholds are 1."""
    tensors = {tensor: getattr(model, name).detach().numpy() for name, tensor in TENSORS.items()}
    for layer, beta in enumerate(model.betas().tolist()):
        tensors |= {f"l{layer}.beta": np.float32(beta)[None], f"l{layer}.threshold": np.float32(1)[None]}
    return tensors


def decoder(work: Path, quantised: Rsnn, reference: Rsnn) -> dict[str, np.ndarray]:
    """The decoder's tensors, counted on the training alignments."""
    with np.load(work / "alignment.npz", allow_pickle=False) as data:
        labels, tied, offsets = data["labels"].astype(np.int64), data["tied"], data["offsets"]
        training = data["splits"] == "train"
        phones, ends = data["phones"].astype(np.int64), data["phone_offsets"]
    count = np.full(CLASSES, SMOOTHING)
    stayed, seen = np.full((len(NAMES), STATES), 1.0), np.full((len(NAMES), STATES), 2.0)
    pairs = np.full((len(NAMES), len(NAMES)), SMOOTHING)
    for u in np.nonzero(training)[0]:
        left, phone, part = labels[offsets[u] : offsets[u + 1]].T
        np.add.at(count, tied[left, phone, part], 1)
        np.add.at(seen, (phone[:-1], part[:-1]), 1)
        same = (phone[1:] == phone[:-1]) & (part[1:] == part[:-1]) & (left[1:] == left[:-1])
        np.add.at(stayed, (phone[:-1][same], part[:-1][same]), 1)
        said = phones[ends[u] : ends[u + 1]]
        np.add.at(pairs, (said[:-1], said[1:]), 1)
    return {
        "tied": tied.astype(np.int16),
        "log_prior": np.log(count / count.sum()).astype(np.float32),
        "bias": quantised.bias.detach().numpy(),
        "output_scale": class_scales(quantised),
        "reference_bias": reference.bias.detach().numpy(),
        "stay": np.clip(stayed / seen, 0.01, 0.99).astype(np.float32),
        "bigram": np.log(pairs / pairs.sum(axis=1, keepdims=True)).astype(np.float32),
    }


def write_values(values: dict[str, str]) -> None:
    """Put the values into workload.yaml, keeping everything else as it stands."""
    path = HERE / "workload.yaml"
    text = path.read_text()
    for key, value in values.items():
        layer, _, name = key.rpartition(".")
        before = rf"(name: {layer},[^}}]*?" if layer else "("
        text, found = re.subn(rf"{before}\b{name}: )[-0-9.e]+", rf"\g<1>{value}", text, count=1)
        assert found == 1, key
    path.write_text(text)


def tune() -> dict[str, str]:
    """The decoder settings with the lowest phoneme error rate of the float network on the development speakers.

    One setting at a time is moved along its grid until none improves.
    """
    workload = load_workload(HERE, {"inputs.dataset": "mini_librispeech", "inputs.split": "dev"})
    batch = load_batch(workload)
    assert workload.reference is not None
    features = batch.signal(workload.graph.edges[FEATURES])
    outputs = list(float_outputs(workload.graph, workload.reference, features, workload.spec.reference_unit))
    judge = workload.scorer(reference=True)
    rates: dict[tuple[float, ...], float] = {}

    def rate(settings: tuple[float, ...]) -> float:
        if settings not in rates:
            tried = replace(judge, **dict(zip(GRID, settings, strict=True)))
            rates[settings] = tried.score(outputs, batch.references or ()).value
        return rates[settings]

    best = (0.5, 1.0, 0.0)
    improving = True
    while improving:
        before = best
        for place, values in enumerate(GRID.values()):
            best = min(((*best[:place], v, *best[place + 1 :]) for v in values), key=rate)
        improving = best != before
    print(f"development speakers, float: {rates[best]:.2f} % with {dict(zip(GRID, best, strict=True))}")
    return {key: repr(value) for key, value in zip(GRID, best, strict=True)}


def main() -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--float-stage", default="float")
    parser.add_argument("--quantised-stage", default="quantised")
    arguments = parser.parse_args()
    reference = network(arguments.work / f"{arguments.float_stage}.pt", quantised=False)
    quantised = network(arguments.work / f"{arguments.quantised_stage}.pt", quantised=True)
    tensors, values = integers(quantised)
    save_weights(HERE / "weights.safetensors", tensors)
    save_weights(HERE / "float.safetensors", floats(reference), {"inputs": "features / 256"})
    save_weights(HERE / "decoder.safetensors", decoder(arguments.work, quantised, reference))
    write_values(values | {"output_delay": str(DELAY)})
    write_values(tune())


if __name__ == "__main__":
    main()
