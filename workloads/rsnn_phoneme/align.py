"""Phone alignments and 1,920 tied acoustic states for training the RSNN phoneme network.

A flat-started monophone GMM-HMM is trained on the data set's training split, its Gaussians are split and realigned,
every utterance is aligned, and left-biphone states are tied by a decision tree over single-Gaussian statistics.
Everything is deterministic. Run it with `python align.py --lexicon cmudict.txt --work <folder>`; it writes
`<folder>/alignment.npz`, which train.py reads, and `<folder>/mini_librispeech.tsv`, the scoring references.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.fft import dct
from tqdm import tqdm

from accelsim.data import LogMel, load

SIL = "SIL"
PHONES = [
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K",
    "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
]  # fmt: skip
NAMES = [SIL, *PHONES]
STATES = 3
LEAVES = 1920
MIXTURES = (1, 2, 4, 8, 16)
REALIGNMENTS = {1: 14, 2: 4, 4: 4, 8: 4, 16: 4}

# Sets of left phones that a tree node may ask for; every single phone is a question too.
QUESTIONS = [
    "SIL", "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW", "IY IH EY EH AE", "UW UH OW AO AA", "IY UW IH UH",
    "AA AE AO AW AY", "AH ER", "AW OW UW", "AY EY OY IY", "EY AY OY AW OW", "ER R", "L R", "L R W Y", "W Y", "M N NG",
    "M N", "P B T D K G", "P T K", "B D G", "P B", "T D", "K G", "CH JH", "CH JH SH ZH", "S Z", "S Z SH ZH",
    "F V TH DH", "F V", "TH DH", "F TH S SH HH", "V DH Z ZH", "T D S Z N", "T D S Z N L TH DH", "P B M", "P B M F V W",
    "K G NG", "P T K CH F TH S SH HH", "B D G JH V DH Z ZH", "B D G JH V DH Z ZH M N NG L R W Y", "HH", "SIL HH",
    "P T K CH F TH S SH HH SIL", "M N NG L R W Y",
]  # fmt: skip


def read_lexicon(path: Path) -> dict[str, list[tuple[int, ...]]]:
    """CMUdict lines `word variant phones...` -> word: distinct pronunciations as phone indices, stress stripped."""
    index = {name: i for i, name in enumerate(NAMES)}
    lexicon: dict[str, list[tuple[int, ...]]] = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        word, _, *phones = line.split()
        said = tuple(index[re.sub(r"\d", "", phone)] for phone in phones)
        known = lexicon.setdefault(word.lower(), [])
        if said not in known:
            known.append(said)
    return lexicon


VOICELESS = frozenset(["P", "T", "K", "F", "TH"])
SIBILANT = frozenset(["S", "Z", "SH", "ZH", "CH", "JH"])
SUFFIXES = {
    "ing": "IH NG", "ly": "L IY", "ness": "N AH S", "less": "L AH S", "ful": "F AH L", "er": "ER", "est": "IH S T",
    "ish": "IH SH", "able": "AH B AH L", "ment": "M AH N T", "ship": "SH IH P", "hood": "HH UH D", "like": "L AY K",
}  # fmt: skip
PREFIXES = {"un": "AH N", "re": "R IY", "mis": "M IH S", "dis": "D IH S", "over": "OW V ER", "out": "AW T"}


def pronounce(word: str, lexicon: dict[str, list[tuple[int, ...]]]) -> list[tuple[int, ...]]:
    """Pronunciations of a word: the dictionary's, else derived from its parts, else none.

    English spelling rules only: plural, possessive and past endings by the voicing of the stem, common suffixes and
    prefixes, British -our, and compounds of two dictionary words.
    """
    if word in lexicon:
        return lexicon[word]
    index = {name: i for i, name in enumerate(NAMES)}

    def ended(stem: str, ending: str) -> list[tuple[int, ...]]:
        found = []
        for said in pronounce(stem, lexicon) if len(stem) > 2 else []:
            last = NAMES[said[-1]]
            if ending == "s":
                phones = "IH Z" if last in SIBILANT else "S" if last in VOICELESS else "Z"
            elif ending == "ed":
                phones = "IH D" if last in "TD" else "T" if last in VOICELESS | {"S", "SH", "CH"} else "D"
            else:
                phones = SUFFIXES[ending]
            found.append((*said, *(index[p] for p in phones.split())))
        return found

    endings = {"'s": "s", "s'": "s", "es": "s", "s": "s", "ed": "ed", **{suffix: suffix for suffix in SUFFIXES}}
    for spelling, ending in endings.items():
        if word.endswith(spelling):
            stem = word[: -len(spelling)]
            doubled = stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
            in_y = stem[:-1] + "y" if stem.endswith("i") else stem
            for candidate in dict.fromkeys((stem, stem + "e", doubled, in_y)):
                if found := ended(candidate, ending):
                    return found
    if "our" in word and word.replace("our", "or") in lexicon:
        return lexicon[word.replace("our", "or")]
    for prefix, phones in PREFIXES.items():
        if word.startswith(prefix) and len(word) > len(prefix) + 2:
            rest = pronounce(word[len(prefix) :], lexicon)
            if rest:
                return [(*(index[p] for p in phones.split()), *said) for said in rest]
    for cut in range(len(word) - 3, 2, -1):
        if word[:cut] in lexicon and word[cut:] in lexicon:
            return [(*a, *b) for a in lexicon[word[:cut]] for b in lexicon[word[cut:]]]
    return []


def aligner_features(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """13 MFCC with first and second differences, mean and variance normalised over the utterance: [frames, 39]."""
    energies = dataclasses.replace(LogMel(), floor=1e-7).log_energies(audio)
    static = dct(energies, axis=1, norm="ortho")[:, :13]

    def slope(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
        return (padded[3:-1] - padded[1:-3] + 2.0 * (padded[4:] - padded[:-4])) / 10.0

    first = slope(static)
    features = np.concatenate([static, first, slope(first)], axis=1)
    return ((features - features.mean(0)) / (features.std(0) + 1e-3)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Graph:
    """All readings of one transcript: nodes are phone states, arcs in CSR form, plus which nodes may start and end."""

    state: npt.NDArray[np.int32]
    arc_start: npt.NDArray[np.int32]
    arc_from: npt.NDArray[np.int32]
    first: npt.NDArray[np.bool_]
    last: npt.NDArray[np.bool_]


def build_graph(words: list[list[tuple[int, ...]]]) -> Graph:
    """Words in order, pronunciations as parallel branches, optional silence before, between and after words."""
    state: list[int] = []
    arcs: list[list[int]] = []
    starts: list[int] = []

    def chain(phones: tuple[int, ...], entries: list[int], at_start: bool) -> int:
        for position, phone in enumerate(phones):
            for part in range(STATES):
                node = len(state)
                state.append(phone * STATES + part)
                opening = position == 0 and part == 0
                arcs.append(list(entries) if opening else [node - 1])
                if opening and at_start:
                    starts.append(node)
        return len(state) - 1

    silence = chain((0,), [], True)
    exits = [silence]
    at_start = True
    for pronunciations in words:
        ends = [chain(phones, exits, at_start) for phones in pronunciations]
        silence = chain((0,), ends, False)
        exits = [*ends, silence]
        at_start = False
    first = np.zeros(len(state), np.bool_)
    last = np.zeros(len(state), np.bool_)
    first[starts], last[exits] = True, True
    offsets = np.cumsum([0, *(len(entries) for entries in arcs)]).astype(np.int32)
    return Graph(
        np.array(state, np.int32),
        offsets,
        np.array([node for entries in arcs for node in entries], np.int32),
        first,
        last,
    )


@njit(cache=True)
def best_path(
    scores: Any, state: Any, arc_start: Any, arc_from: Any, first: Any, last: Any
) -> Any:  # pragma: no cover - compiled
    """Viterbi through a Graph: node of every frame [frames], or an empty array when no path fits."""
    frames, nodes = scores.shape[0], state.shape[0]
    low = np.float32(-1e30)
    old = np.full(nodes, low, np.float32)
    back = np.empty((frames, nodes), np.int32)
    for n in range(nodes):
        if first[n]:
            old[n] = scores[0, state[n]]
    new = np.empty(nodes, np.float32)
    for t in range(1, frames):
        for n in range(nodes):
            best, where = old[n], n
            for a in range(arc_start[n], arc_start[n + 1]):
                if old[arc_from[a]] > best:
                    best, where = old[arc_from[a]], arc_from[a]
            new[n] = best + scores[t, state[n]] if best > low else low
            back[t, n] = where
        old, new = new, old
    path = np.empty(frames, np.int32)
    best, where = low, -1
    for n in range(nodes):
        if last[n] and old[n] > best:
            best, where = old[n], n
    if where < 0:
        return path[:0]
    for t in range(frames - 1, -1, -1):
        path[t] = where
        if t:
            where = back[t, where]
    return path


class Mixtures:
    """Diagonal Gaussian mixtures per state: weights [states, size], means and variances [states, size, dims]."""

    def __init__(self, states: int, dims: int) -> None:
        self.weights = np.ones((states, 1))
        self.means = np.zeros((states, 1, dims))
        self.variances = np.ones((states, 1, dims))

    def components(
        self, features: npt.NDArray[np.float32], states: slice | int = slice(None)
    ) -> npt.NDArray[np.float32]:
        """Log weight times density of every mixture component: [frames, states * size]."""
        dims = features.shape[1]
        means = self.means[states].reshape(-1, dims)
        precisions = 1.0 / self.variances[states].reshape(-1, dims)
        constant = np.log(self.weights[states]).ravel() - 0.5 * (
            dims * np.log(2.0 * np.pi) - np.log(precisions).sum(1) + (means**2 * precisions).sum(1)
        )
        projected = features @ (means * precisions).T.astype(np.float32)
        projected -= 0.5 * (features**2) @ precisions.T.astype(np.float32)
        return projected + constant.astype(np.float32)

    def log_likelihood(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Log density of every state: [frames, states]."""
        values = self.components(features).reshape(len(features), *self.weights.shape)
        peak = values.max(2)
        return peak + np.log(np.exp(values - peak[:, :, None]).sum(2))

    def split(self) -> None:
        """Double the mixtures: every Gaussian becomes two, 0.2 standard deviations to either side."""
        step = 0.2 * np.sqrt(self.variances)
        self.means = np.concatenate([self.means - step, self.means + step], axis=1)
        self.variances = np.concatenate([self.variances] * 2, axis=1)
        self.weights = np.concatenate([self.weights] * 2, axis=1) / 2.0

    def update(self, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], floor: float = 0.02) -> float:
        """One EM step on frames labelled with states; returns the mean log likelihood per frame before the step."""
        order = np.argsort(labels, kind="stable")
        bounds = np.searchsorted(labels[order], np.arange(len(self.weights) + 1))
        total = 0.0
        for state in range(len(self.weights)):
            mine = features[order[bounds[state] : bounds[state + 1]]]
            if len(mine) < 20:
                continue
            values = self.components(mine, state)
            peak = values.max(1, keepdims=True)
            share = np.exp(values - peak)
            total += float((peak[:, 0] + np.log(share.sum(1))).sum())
            share /= share.sum(1, keepdims=True)
            count = share.sum(0)[:, None] + 1e-6
            mean = share.T @ mine / count
            self.variances[state] = np.maximum(share.T @ mine**2 / count - mean**2, floor)
            self.means[state] = mean
            self.weights[state] = count[:, 0] / count.sum()
        return total / len(features)


def train_aligner(
    features: list[npt.NDArray[np.float32]], graphs: list[Graph], readings: list[tuple[int, ...]]
) -> Mixtures:
    """Flat start from equal cuts of each transcript's first reading, then realign and split."""
    model = Mixtures(len(NAMES) * STATES, features[0].shape[1])
    frames = np.concatenate(features)
    cuts = []
    for matrix, phones in zip(features, readings, strict=True):
        chain = (np.array(phones)[:, None] * STATES + np.arange(STATES)).ravel()
        cuts.append(chain[np.arange(len(matrix)) * len(chain) // len(matrix)])
    labels = np.concatenate(cuts).astype(np.int32)
    model.update(frames, labels)
    progress = tqdm(total=sum(REALIGNMENTS.values()), desc="aligner")
    for size in MIXTURES:
        if size > 1:
            model.split()
        for _ in range(REALIGNMENTS[size]):
            paths = [align(model, f, g) for f, g in zip(features, graphs, strict=True)]
            labels = np.concatenate(
                [g.state[p] if len(p) else c for g, p, c in zip(graphs, paths, cuts, strict=True)]
            ).astype(np.int32)
            likelihood = model.update(frames, labels)
            progress.set_postfix(mixtures=size, log_likelihood=f"{likelihood:.3f}")
            progress.update()
    return model


def align(model: Mixtures, features: npt.NDArray[np.float32], graph: Graph) -> npt.NDArray[np.int32]:
    """Best node of the graph for every frame (empty when the utterance is too short for its transcript)."""
    scores = model.log_likelihood(features)
    return best_path(scores, graph.state, graph.arc_start, graph.arc_from, graph.first, graph.last)


def biphones(path: npt.NDArray[np.int32], graph: Graph) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Frame labels (left phone, phone, part) [frames, 3] of an aligned utterance, and its phone sequence."""
    state = graph.state[path]
    phone, part = state // STATES, state % STATES
    entered = np.concatenate([[True], (path[1:] != path[:-1]) & (part[1:] == 0)])
    sequence = phone[entered]
    left = np.concatenate([[0], sequence[:-1]])
    return np.stack([left[np.cumsum(entered) - 1], phone, part], axis=1).astype(np.int32), sequence.tolist()


def tie_states(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], leaves: int = LEAVES, least: int = 60
) -> npt.NDArray[np.int16]:
    """Tie (left, phone, part) states to exactly `leaves` tied states: map int16 [40, 40, 3].

    Silence keeps one leaf per part. Every other (phone, part) starts as one leaf; the split with the largest gain in
    single-Gaussian log likelihood, over phonetic questions about the left phone and with at least `least` frames on
    either side, is taken until there are enough leaves. Raises ValueError when the data cannot carry that many.
    """
    phones, dims = len(NAMES), features.shape[1]
    flat = (labels[:, 1] * STATES + labels[:, 2]) * phones + labels[:, 0]
    order = np.argsort(flat, kind="stable")
    bounds = np.searchsorted(flat[order], np.arange(phones * STATES * phones + 1))
    count = np.diff(bounds).astype(float)
    total = np.zeros((len(count), dims))
    square = np.zeros((len(count), dims))
    for cell in np.nonzero(count)[0]:
        mine = features[order[bounds[cell] : bounds[cell + 1]]].astype(np.float64)
        total[cell], square[cell] = mine.sum(0), (mine**2).sum(0)
    shape = (phones, STATES, phones)
    count, total, square = count.reshape(shape), total.reshape(*shape, dims), square.reshape(*shape, dims)

    def likelihood(n: Any, s: Any, q: Any) -> Any:
        safe = np.maximum(n, 1.0)[..., None]
        variance = np.maximum(q / safe - (s / safe) ** 2, 1e-3)
        return -0.5 * n * np.log(variance).sum(-1)

    index = {name: i for i, name in enumerate(NAMES)}
    sets = {frozenset([i]) for i in range(phones)} | {frozenset(index[p] for p in q.split()) for q in QUESTIONS}
    questions = np.zeros((len(sets), phones))
    for row, members in enumerate(sorted(sets, key=sorted)):
        questions[row, sorted(members)] = 1.0

    def best_split(phone: int, part: int, members: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        n, s, q = count[phone, part] * members, total[phone, part], square[phone, part]
        s, q = s * members[:, None], q * members[:, None]
        yes = (questions @ n, questions @ s, questions @ q)
        no = (n.sum() - yes[0], s.sum(0) - yes[1], q.sum(0) - yes[2])
        gain = likelihood(*yes) + likelihood(*no) - likelihood(n.sum(), s.sum(0), q.sum(0))
        gain[(yes[0] < least) | (no[0] < least)] = -1.0
        best = int(np.argmax(gain))
        return float(gain[best]), questions[best] * members

    everything = np.ones(phones)
    tree = [[*best_split(p, k, everything), p, k, everything] for p in range(1, phones) for k in range(STATES)]
    while len(tree) + STATES < leaves:
        chosen = max(range(len(tree)), key=lambda i: tree[i][0])
        gain, yes, phone, part, members = tree[chosen]
        if gain <= 0.0:
            raise ValueError(f"the data carries only {len(tree) + STATES} tied states, not {leaves}")
        tree[chosen] = [*best_split(phone, part, yes), phone, part, yes]
        tree.append([*best_split(phone, part, members - yes), phone, part, members - yes])
    tied = np.full((phones, phones, STATES), -1, np.int16)
    tied[:, 0, :] = np.arange(STATES)
    for leaf, (_, _, phone, part, members) in enumerate(sorted(tree, key=lambda n: (n[2], n[3], -n[4].sum()))):
        tied[members > 0, phone, part] = leaf + STATES
    assert (tied >= 0).all()
    return tied


def main() -> None:
    """Align every split of mini LibriSpeech and write the tied-state labels and the reference phones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lexicon", type=Path, required=True, help="CMUdict 0.7a, lines 'WORD variant PHONES'")
    parser.add_argument("--work", type=Path, required=True, help="folder for the results, outside the repository")
    arguments = parser.parse_args()
    started = time.time()
    lexicon = read_lexicon(arguments.lexicon)
    arguments.work.mkdir(parents=True, exist_ok=True)

    features, graphs, readings, split_of, names, codes, rows = [], [], [], [], [], [], []
    left_out = dict.fromkeys(("train", "dev", "test"), 0)
    derived = 0
    front_end = LogMel()
    for split in left_out:
        for utterance in tqdm(load("mini_librispeech", split), desc=f"features {split}"):
            words = (utterance.text or "").split()
            said = [pronounce(word, lexicon) for word in words]
            derived += sum(word not in lexicon and bool(ways) for word, ways in zip(words, said, strict=True))
            if not all(said):
                left_out[split] += 1
                rows.append((utterance.name, split, ""))
                continue
            names.append(utterance.name)
            split_of.append(split)
            features.append(aligner_features(utterance.audio))
            codes.append(front_end.codes(utterance.audio))
            graphs.append(build_graph(said))
            readings.append((0, *(phone for ways in said for phone in ways[0]), 0))
    print(f"utterances left out for a word without a pronunciation: {left_out}; {derived} words derived", flush=True)

    training = [i for i, split in enumerate(split_of) if split == "train"]
    model = train_aligner(
        [features[i] for i in training], [graphs[i] for i in training], [readings[i] for i in training]
    )
    labels, phones_said, kept = [], [], []
    for index in tqdm(range(len(names)), desc="align"):
        path = align(model, features[index], graphs[index])
        if len(path) == 0:
            left_out[split_of[index]] += 1
            rows.append((names[index], split_of[index], ""))
            continue
        frame_labels, sequence = biphones(path, graphs[index])
        labels.append(frame_labels)
        phones_said.append(sequence)
        kept.append(index)
    in_training = [k for k, i in enumerate(kept) if split_of[i] == "train"]
    tied = tie_states(
        np.concatenate([features[kept[k]] for k in in_training]), np.concatenate([labels[k] for k in in_training])
    )
    for k, i in enumerate(kept):
        said = " ".join(NAMES[p] for p in phones_said[k] if p) if split_of[i] != "train" else ""
        rows.append((names[i], split_of[i], said))
    lengths = np.array([len(labels[k]) for k in range(len(kept))])
    np.savez(
        arguments.work / "alignment.npz",
        names=np.array([names[i] for i in kept]),
        splits=np.array([split_of[i] for i in kept]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        codes=np.concatenate([codes[i] for i in kept]),
        labels=np.concatenate(labels).astype(np.int8),
        phones=np.concatenate([np.array(s) for s in phones_said]).astype(np.int8),
        phone_offsets=np.concatenate([[0], np.cumsum([len(s) for s in phones_said])]),
        tied=tied,
    )
    np.savez(arguments.work / "aligner.npz", weights=model.weights, means=model.means, variances=model.variances)
    table = ["utt\tsplit\tphones", *("\t".join(row) for row in sorted(rows))]
    (arguments.work / "mini_librispeech.tsv").write_text("\n".join(table) + "\n")
    print(f"{len(kept)} utterances aligned, {lengths.sum()} frames, {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
