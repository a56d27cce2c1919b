"""Train the Conformer on CMU AN4: phones with CTC, float first, then with quantised weights.

    python train.py relative float --work W
    python train.py relative 4 --work W          # 4-bit weights, starts from W/relative_float.pt
    python train.py none float --work W          # variants: none, relative, relative_no_linear, learnable, ...

Reads an4_mfcc13.npz and an4.dic from the folder that ACCELSIM_DATA names. Seeded; started again it goes on from its
last checkpoint. Classes: 0 is CTC's blank; a phone that ends a word is a class of its own (``IY#``), so that words can
be told apart without a symbol between them.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # a shared machine: waiting threads sleep

import torch
from model import POSITIONS, Conformer, FrontConv, Shape
from training import Example, Plan, log_probabilities, stretched, train

from accelsim.data.an4 import CODES_PER_DEVIATION, Spoken, feature_codes, load_an4, load_dictionary
from accelsim.score.ctc import best_path
from accelsim.score.error_rate import phoneme_error_rate

SCALE = 1 / CODES_PER_DEVIATION
SPEEDS = (1.0, 0.9, 1.1)
DEV_SPEAKERS = ("fash", "fclc", "ffmm", "mblb", "mcen", "mdxs", "mjjs2")
"""Training speakers that are held out, to choose settings by: by name, from all over the alphabet."""

SHAPE = Shape(
    bands=1, planes=39, classes=0, front=(FrontConv(144, (3, 1), (2, 1)), FrontConv(144, (3, 1), (2, 1))),
    kernel=31, dropout=0.1,
)  # fmt: skip

PLANS = {
    "float": Plan(epochs=60, rate=2e-3),
    "8": Plan(epochs=6, rate=2e-4, bits=8),
    "4": Plan(epochs=15, rate=5e-4, bits=4),
    "3": Plan(epochs=20, rate=6e-4, bits=3),
}


def classes_of(dictionary: dict[str, list[tuple[str, ...]]]) -> list[str]:
    """Return the names of the network's classes: blank, then phones, sorted; ``#`` marks the last one of a word."""
    return ["", *sorted({phone for variants in dictionary.values() for v in variants for phone in marked(v)})]


def marked(phones: tuple[str, ...]) -> tuple[str, ...]:
    """Return a pronunciation with its last phone marked."""
    return (*phones[:-1], phones[-1] + "#")


def pronunciation(word: str, dictionary: dict[str, list[tuple[str, ...]]]) -> tuple[str, ...]:
    """Return the phones that training aims at: the first variant, but the letter A spelled out."""
    return marked(("EY",) if word == "A" else dictionary[word][0])


def spoken_phones(utterance: Spoken, dictionary: dict[str, list[tuple[str, ...]]]) -> list[str]:
    """Return what the network should say."""
    return [phone for word in utterance.words for phone in pronunciation(word, dictionary)]


def example(utterance: Spoken, names: list[str], dictionary: dict[str, list[tuple[str, ...]]]) -> Example:
    """Return one utterance as the training loop takes it, at all speeds at which the network has frames enough."""
    classes = tuple(names.index(phone) for phone in spoken_phones(utterance, dictionary))
    needed = len(classes) + sum(a == b for a, b in pairwise(classes))
    speeds = []
    for speed in SPEEDS:
        mfcc = utterance.mfcc if speed == 1 else stretched(utterance.mfcc, speed)
        if speed == 1 or -(-len(mfcc) // 4) > needed:
            speeds.append(feature_codes(mfcc)[:, None, :])
    return Example(tuple(speeds), classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("position", choices=POSITIONS)
    parser.add_argument("stage", choices=PLANS)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-from", type=Path, help="a checkpoint; quantised stages take the float one of --work")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dictionary = load_dictionary()
    names = classes_of(dictionary)
    utterances = load_an4("train")
    learned = [example(u, names, dictionary) for u in utterances if u.speaker not in DEV_SPEAKERS]
    dev = [u for u in utterances if u.speaker in DEV_SPEAKERS]
    dev_codes = [feature_codes(u.mfcc)[:, None, :] for u in dev]
    references = [[phone.rstrip("#") for phone in spoken_phones(u, dictionary)] for u in dev]

    def report(model: Conformer) -> str:
        heard = [best_path(logp) for logp in log_probabilities(model, dev_codes, SCALE)]
        phones = [[names[c].rstrip("#") for c in classes] for classes in heard]
        return f"dev phone error rate {phoneme_error_rate(phones, references).value:.2f} %"

    plan = PLANS[options.stage]
    plan = replace(plan, seed=options.seed, epochs=options.epochs or plan.epochs)
    start = options.start_from
    if plan.bits is not None and start is None:
        start = options.work / f"{options.position}_float.pt"
    train(
        replace(SHAPE, classes=len(names), position=options.position),
        plan,
        learned,
        options.work / f"{options.position}_{options.stage}.pt",
        scale=SCALE,
        start_from=start,
        report=report,
    )


if __name__ == "__main__":
    main()
