"""Train the Conformer on CMU AN4: phones with CTC, float first, then with quantised weights.

    python train.py relative float --work W
    python train.py relative 4 --work W          # 4-bit weights, starts from W/relative_float.pt
    python train.py none float --work W          # variants: none, relative, relative_no_linear, learnable, ...

Reads an4_mfcc13.npz and an4.dic from the folder that ACCELSIM_DATA names. Seeded; started again it goes on from its
last checkpoint. Classes: 0 is CTC's blank; a phone that ends a word is a class of its own (``IY#``), so that words can
be told apart without a symbol between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from model import Conformer
from shape import POSITIONS, FrontConv, Shape
from training import Example, Plan, command_line, log_probabilities, stretched

from accelsim.data.an4 import CODES_PER_DEVIATION, Spoken, feature_codes, load_an4, load_dictionary
from accelsim.score.ctc import CtcClasses

SCALE = 1 / CODES_PER_DEVIATION
SPEEDS = (1.0, 0.9, 1.1)
DEV_SPEAKERS = ("fash", "fclc", "ffmm", "mblb", "mcen", "mdxs", "mjjs2")
"""Training speakers that are held out, to choose settings by: by name, from all over the alphabet."""

SHAPE = Shape(
    bands=1, planes=39, classes=0, front=(FrontConv(144, (3, 1), (2, 1)), FrontConv(144, (3, 1), (2, 1))),
    kernel=31, dropout=0.1,
)  # fmt: skip

SHAPES = {position: replace(SHAPE, position=position) for position in POSITIONS}

PLANS = {
    "float": Plan(epochs=24, rate=2e-3),
    "8": Plan(epochs=4, rate=4e-4, bits=8),
    "4": Plan(epochs=4, rate=5e-4, bits=4),
    "3": Plan(epochs=4, rate=6e-4, bits=3),
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


def data() -> tuple[int, list[Example], Callable[[Conformer], str]]:
    """Return the number of classes, what is learned from, and the report on the held-out speakers."""
    dictionary = load_dictionary()
    names = classes_of(dictionary)
    utterances = load_an4("train")
    learned = [example(u, names, dictionary) for u in utterances if u.speaker not in DEV_SPEAKERS]
    dev = [u for u in utterances if u.speaker in DEV_SPEAKERS]
    codes = [feature_codes(u.mfcc)[:, None, :] for u in dev]
    references = [[phone.rstrip("#") for phone in spoken_phones(u, dictionary)] for u in dev]
    decoder = CtcClasses(tuple(name.rstrip("#") for name in names))

    def report(model: Conformer) -> str:
        rate = decoder.score(log_probabilities(model, codes, SCALE), references)
        return f"dev phone error rate {rate.value:.2f} %"

    return len(names), learned, report


if __name__ == "__main__":
    command_line(__doc__, SHAPES, PLANS, SCALE, lambda work: data())
