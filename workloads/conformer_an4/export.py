"""Export the trained networks as the integers and scales that accelsim reads, tune the decoder, and measure.

    python export.py --work W           # after train.py; writes beside this file, prints the README's table

Writes ``POSITION_BITS.safetensors`` for every quantised network found in W, and ``decoder.safetensors``: the lexicon of
AN4's dictionary and a bigram of the training speakers' sentences. The weight of the bigram and the cost of a word are
tuned on the held-out training speakers with the float network of ``--tune-on``, and used for all.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from integer import run
from safetensors.numpy import load_file
from train import DEV_SPEAKERS, SCALE, classes_of, marked, spoken_phones
from training import log_probabilities, network

from accelsim.data.an4 import Spoken, feature_codes, load_an4, load_dictionary
from accelsim.score.ctc import CtcClasses, CtcWords, bigram_log_probabilities
from accelsim.weights import save_weights

HERE = Path(__file__).parent
LM_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
INSERTION_PENALTIES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0)


def decoder_tensors(
    dictionary: dict[str, list[tuple[str, ...]]], names: list[str], learned: Sequence[Spoken]
) -> dict[str, np.ndarray]:
    """Return lexicon, word_of and bigram as `CtcWords` takes them; words in the dictionary's order."""
    words = list(dictionary)
    variants = [(word, marked(phones)) for word in words for phones in dictionary[word]]
    lexicon = np.full((len(variants), max(len(phones) for _, phones in variants)), -1, np.int16)
    for row, (_, phones) in zip(lexicon, variants, strict=True):
        row[: len(phones)] = [names.index(phone) for phone in phones]
    sentences = [[words.index(word) for word in u.words] for u in learned]
    return {
        "lexicon": lexicon,
        "word_of": np.array([words.index(word) for word, _ in variants], np.int16),
        "bigram": bigram_log_probabilities(sentences, len(words)),
    }


def tune(
    tables: dict[str, np.ndarray], words: Sequence[str], logits: list[np.ndarray], spoken: Sequence[Spoken]
) -> CtcWords:
    """Return the decoder with the fewest errors; among equals the one nearest to weight 1 and penalty 0."""
    best: tuple[float, float, CtcWords] | None = None
    for weight, penalty in itertools.product(LM_WEIGHTS, INSERTION_PENALTIES):
        decoder = CtcWords.from_tensors(tables, words, lm_weight=weight, insertion_penalty=penalty)
        errors = decoder.score(logits, [u.words for u in spoken]).value
        distance = abs(weight - 1) + abs(penalty)
        if best is None or (errors, distance) < best[:2]:
            best = errors, distance, decoder
    assert best is not None
    return best[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--tune-on", default="relative_float")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dictionary = load_dictionary()
    names, words = classes_of(dictionary), list(dictionary)
    utterances = load_an4("train")
    learned = [u for u in utterances if u.speaker not in DEV_SPEAKERS]
    parts = {"dev": [u for u in utterances if u.speaker in DEV_SPEAKERS], "test": load_an4("test")}
    codes = {part: [feature_codes(u.mfcc) for u in spoken] for part, spoken in parts.items()}

    def logits_of(path: Path, part: str) -> list[np.ndarray]:
        if path.suffix == ".pt":
            return log_probabilities(network(path), [x[:, None, :] for x in codes[part]], SCALE)
        shape = network(options.work / f"{path.stem}.pt").shape
        return run(shape, load_file(path), codes[part], SCALE)[0]

    tables = decoder_tensors(dictionary, names, learned)
    save_weights(HERE / "decoder.safetensors", tables)
    decoder = tune(tables, words, logits_of(options.work / f"{options.tune_on}.pt", "dev"), parts["dev"])
    print(f"lm_weight {decoder.lm_weight}, insertion_penalty {decoder.insertion_penalty}; phones {names}")
    phones = CtcClasses(tuple(name.rstrip("#") for name in names))
    print("| network | part | WER, % | 95 % interval | subst. / del. / ins. | PER of the best path, % |")
    print("|---|---|---|---|---|---|")
    for path in sorted(options.work.glob("*_*.pt")):
        if not path.stem.endswith("_float"):
            exported = HERE / f"{path.stem}.safetensors"
            model = network(path)
            save_weights(exported, model.tensors(), {"shape": model.shape.to_json()})
            path = exported
        for part, spoken in parts.items():
            logits = logits_of(path, part)
            wer = decoder.score(logits, [u.words for u in spoken])
            said = [[phone.rstrip("#") for phone in spoken_phones(u, dictionary)] for u in spoken]
            per = phones.score(logits, said)
            edits = " / ".join(str(wer.detail[key]) for key in ("substitutions", "deletions", "insertions"))
            interval = f"{wer.low:.1f} to {wer.high:.1f}"
            print(f"| {path.stem} | {part} | {wer.value:.2f} | {interval} | {edits} | {per.value:.2f} |", flush=True)


if __name__ == "__main__":
    main()
