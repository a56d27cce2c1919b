"""Decoding of CTC outputs: the best path, a beam over prefixes, and a search limited to the words of a lexicon.

A CTC network gives log probabilities per frame, [frames, classes]; class 0 is the blank. A sequence of classes is said
by every path of one class per frame that becomes it when repetitions are merged and blanks are dropped
(Graves et al. 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accelsim.data import Featured, Utterance
from accelsim.score.error_rate import Accuracy, folded, phoneme_error_rate, word_error_rate
from accelsim.score.score import LARGEST_WEIGHT, SCORES, DecoderScore, Score

BLANK = 0
_LOW = -1e30


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return ln(exp(x_c) / sum_c' exp(x_c')) over the last axis, same shape."""
    wide = np.asarray(logits, np.float64)
    wide = wide - wide.max(axis=-1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True)))


def best_path(logp: NDArray[Any]) -> tuple[int, ...]:
    """Return what the most likely path says (greedy decoding); [frames, classes] -> classes without blank."""
    path = np.asarray(logp).argmax(axis=1)
    starts = np.concatenate([[True], path[1:] != path[:-1]])[: len(path)]
    return tuple(int(c) for c in path[starts & (path != BLANK)])


def prefix_beam(
    logp: NDArray[Any], beam: int = 16, *, bigram: NDArray[Any] | None = None, lm_weight: float = 1.0
) -> tuple[tuple[int, ...], float]:
    """Return the sequence with the largest ln sum_paths P(path) + lm_weight ln P(sequence), and that sum.

    After every frame the ``beam`` best prefixes live on (Graves and Jaitly 2014; Hannun et al. 2014). Among equals the
    one found first stays. With a beam as wide as there are prefixes the result is exact.

    logp: [frames, classes]; bigram: ln P(class | class before), [classes, classes], row 0 for the first class; its
    column 0 is not read. Raises ValueError for a beam below 1.
    """
    if beam < 1:
        raise ValueError(f"the beam must hold at least 1 prefix, found {beam}")
    wide = np.ascontiguousarray(logp, np.float64)
    classes = wide.shape[1]
    language = np.zeros((classes, classes)) if bigram is None else lm_weight * np.asarray(bigram, np.float64)
    said, score = _prefix_beam(wide, beam, language)
    return tuple(int(c) for c in said), float(score)


@numba.njit(inline="always")
def _log_add(a, b):  # type: ignore[no-untyped-def]
    high, low = max(a, b), min(a, b)
    return high if low <= _LOW else high + np.log1p(np.exp(low - high))


@numba.njit(cache=True)
def _prefix_beam(logp, beam, language):  # type: ignore[no-untyped-def]
    frames, classes = logp.shape
    nodes = 1 + frames * beam
    parent, last = np.full(nodes, -1, np.int64), np.zeros(nodes, np.int64)
    child = np.full((nodes, classes), -1, np.int32)
    place = np.full(nodes, -1, np.int64)  # where a prefix stands among the active ones
    made = 1
    active = np.zeros(beam, np.int64)
    # ln P of the paths that end in the blank, or in the last class; and of the prefix as the language model has it
    blank, other, spoken = np.full(beam, _LOW), np.full(beam, _LOW), np.zeros(beam)
    blank[0] = 0.0
    count = 1
    new_blank, new_other = np.empty(beam * classes), np.empty(beam * classes)
    for t in range(frames):
        frame = logp[t]
        # Candidate k * classes: active prefix k stays; k * classes + c: it grows by c.
        new_blank[: count * classes] = _LOW
        new_other[: count * classes] = _LOW
        for k in range(count):
            place[active[k]] = k
        for k in range(count):
            node, total = active[k], _log_add(blank[k], other[k])
            stays = k * classes
            new_blank[stays] = total + frame[BLANK]
            if node:
                new_other[stays] = _log_add(new_other[stays], other[k] + frame[last[node]])
            for c in range(1, classes):
                grown = frame[c] + (blank[k] if node and c == last[node] else total)
                if grown <= _LOW:
                    continue
                next_node = child[node, c]
                if next_node >= 0 and place[next_node] >= 0:
                    known = place[next_node] * classes
                    new_other[known] = _log_add(new_other[known], grown)
                else:
                    new_other[stays + c] = grown
        score = np.full(count * classes, _LOW)
        for k in range(count):
            place[active[k]] = -1
            for c in range(classes):
                total = _log_add(new_blank[k * classes + c], new_other[k * classes + c])
                if total > _LOW:
                    score[k * classes + c] = total + spoken[k] + (language[last[active[k]], c] if c else 0.0)
        order = np.argsort(-score, kind="mergesort")[:beam]
        next_active, next_spoken = np.zeros(beam, np.int64), np.zeros(beam)
        next_blank, next_other = np.full(beam, _LOW), np.full(beam, _LOW)
        kept = 0
        for candidate in order:
            if score[candidate] <= _LOW:
                break
            k, c = candidate // classes, candidate % classes
            node = active[k]
            if c:
                if child[node, c] < 0:
                    child[node, c] = made
                    parent[made], last[made] = node, c
                    made += 1
                next_active[kept] = child[node, c]
                next_spoken[kept] = spoken[k] + language[last[node], c]
            else:
                next_active[kept] = node
                next_spoken[kept] = spoken[k]
            next_blank[kept], next_other[kept] = new_blank[candidate], new_other[candidate]
            kept += 1
        active, spoken, blank, other, count = next_active, next_spoken, next_blank, next_other, kept
    best, best_score = 0, _LOW
    for k in range(count):
        total = _log_add(blank[k], other[k]) + spoken[k]
        if total > best_score:
            best, best_score = active[k], total
    length = 0
    node = best
    while node > 0:
        length += 1
        node = parent[node]
    said = np.empty(length, np.int64)
    node = best
    while node > 0:
        length -= 1
        said[length] = last[node]
        node = parent[node]
    return said, best_score


def bigram_log_probabilities(
    sentences: Sequence[Sequence[int]], words: int, discount: float = 0.7
) -> NDArray[np.float32]:
    """Return ln P(w | u) of a bigram with absolute discounting, [words + 1, words + 1].

    P(w | u) = max(n(u, w) - D, 0) / n(u) + D n1(u) / n(u) P(w), with n1(u) the number of different followers of u, and
    P(w) = (n(w) + 1) / (n + words + 1). Row ``words`` stands for the start of a sentence, column ``words`` for its end.
    """
    counts = np.zeros((words + 1, words + 1))
    for sentence in sentences:
        for before, after in zip([words, *sentence], [*sentence, words], strict=True):
            counts[before, after] += 1
    single = (counts.sum(axis=0) + 1) / (counts.sum() + words + 1)
    total = counts.sum(axis=1, keepdims=True)
    known = np.maximum(total, 1)
    left = np.where(total > 0, discount * (counts > 0).sum(axis=1, keepdims=True) / known, 1.0)
    return np.log(np.maximum(counts - discount, 0) / known + left * single).astype(np.float32)


def best_words(
    logp: NDArray[Any],
    lexicon: NDArray[np.integer[Any]],
    word_of: NDArray[np.integer[Any]],
    bigram: NDArray[Any],
    *,
    lm_weight: float = 1.0,
    insertion_penalty: float = 0.0,
) -> tuple[tuple[int, ...], float]:
    """Return the words of the best path through a lexicon, and its score.

    score = sum_t logp[t, path_t] + lm_weight ln P(words) + insertion_penalty * (number of words), the largest over all
    word sequences, pronunciations and paths that say them (Viterbi, exact). A class that follows itself needs a blank
    between, across words too. Among equals the path that stays is kept, then the pronunciation that comes first.

    logp: [frames, classes]; lexicon: classes of every pronunciation, [pronunciations, longest], padded with -1;
    word_of: word of each pronunciation; bigram: ln P(w | u) [words + 1, words + 1], start in the last row, end in the
    last column. Without frames, or where no words fit into them, the result is empty.
    """
    lengths = (np.asarray(lexicon) >= 0).sum(axis=1)
    between = lm_weight * np.asarray(bigram, np.float64)
    between[:, :-1] += insertion_penalty
    wide = np.ascontiguousarray(logp, np.float64)
    said, score = _best_words(wide, np.asarray(lexicon, np.int64), lengths, np.asarray(word_of, np.int64), between)
    return tuple(int(w) for w in said), float(score)


@numba.njit(cache=True)
def _best_words(logp, lexicon, lengths, word_of, between):  # type: ignore[no-untyped-def]
    frames = len(logp)
    variants, longest = lexicon.shape
    start = end = len(between) - 1
    # Best paths that end in class k of a pronunciation, or in the blank behind it; and the frame where it was entered.
    phone, blank = np.full((variants, longest), _LOW), np.full((variants, longest), _LOW)
    phone_since, blank_since = np.zeros((variants, longest), np.int64), np.zeros((variants, longest), np.int64)
    from_variant = np.full((frames, variants), -1, np.int64)
    from_since = np.zeros((frames, variants), np.int64)
    silent = 0.0
    for t in range(frames):
        frame = logp[t]
        new_phone, new_blank = np.full((variants, longest), _LOW), np.full((variants, longest), _LOW)
        new_phone_since, new_blank_since = phone_since.copy(), blank_since.copy()
        for v in range(variants):
            first = lexicon[v, 0]
            best, source, since = silent + between[start, word_of[v]], -1, 0
            for u in range(variants):
                n = lengths[u] - 1
                came, came_since = blank[u, n], blank_since[u, n]
                if lexicon[u, n] != first and phone[u, n] > came:
                    came, came_since = phone[u, n], phone_since[u, n]
                came += between[word_of[u], word_of[v]]
                if came > best:
                    best, source, since = came, u, came_since
            from_variant[t, v], from_since[t, v] = source, since
            for k in range(lengths[v]):
                kept, kept_since = phone[v, k], phone_since[v, k]
                if k == 0:
                    if best > kept:
                        kept, kept_since = best, t
                else:
                    if lexicon[v, k] != lexicon[v, k - 1] and phone[v, k - 1] > kept:
                        kept, kept_since = phone[v, k - 1], phone_since[v, k - 1]
                    if blank[v, k - 1] > kept:
                        kept, kept_since = blank[v, k - 1], blank_since[v, k - 1]
                new_phone[v, k], new_phone_since[v, k] = kept + frame[lexicon[v, k]], kept_since
                if phone[v, k] > blank[v, k]:
                    new_blank[v, k], new_blank_since[v, k] = phone[v, k] + frame[BLANK], phone_since[v, k]
                else:
                    new_blank[v, k] = blank[v, k] + frame[BLANK]
        silent += frame[BLANK]
        phone, blank, phone_since, blank_since = new_phone, new_blank, new_phone_since, new_blank_since
    best, variant, since = silent + between[start, end], -1, 0
    for v in range(variants):
        n = lengths[v] - 1
        leave = between[word_of[v], end]
        if blank[v, n] + leave > best:
            best, variant, since = blank[v, n] + leave, v, blank_since[v, n]
        if phone[v, n] + leave > best:
            best, variant, since = phone[v, n] + leave, v, phone_since[v, n]
    said = np.empty(frames, np.int64)
    count = 0
    while variant >= 0:
        said[count] = word_of[variant]
        count += 1
        variant, since = from_variant[since, variant], from_since[since, variant]
    return said[:count][::-1].copy(), best


class CtcWordScore(DecoderScore):
    """Word error rate of the best path through a lexicon, with a bigram, see `CtcWords`.

    ``decoder``: safetensors file with ``lexicon``, ``word_of`` and ``bigram``; ``words``: in the order of ``word_of``.
    """

    vocabulary = "words"
    kind: Literal["ctc_words"]
    words: Annotated[list[str], Field(min_length=1)]
    lm_weight: Annotated[float, Field(ge=0, le=LARGEST_WEIGHT)]
    insertion_penalty: Annotated[float, Field(ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT)] = 0.0

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> CtcWords:
        return CtcWords.from_tensors(
            tensors, self.words, lm_weight=self.lm_weight, insertion_penalty=self.insertion_penalty
        )

    def said(self, utterance: Featured | Utterance) -> tuple[str, ...] | None:
        return _words_of(utterance)

    def reads(self) -> str:
        return "text"

    def knows(self, unit: str) -> bool:
        return unit in self.words


SCORES.register("ctc_words", CtcWordScore)


@dataclass(frozen=True)
class CtcWords:
    """Words of a lexicon from a CTC network's logits, and their word error rate.

    ``words``: their names; ``lexicon``, ``word_of``, ``bigram``: as `best_words` takes them.
    """

    words: tuple[str, ...]
    lexicon: NDArray[np.int16]
    word_of: NDArray[np.int16]
    bigram: NDArray[np.float32]
    lm_weight: float
    insertion_penalty: float

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], words: Sequence[str], **options: Any) -> CtcWords:
        """Build the decoder from the tensors ``lexicon``, ``word_of``, ``bigram``; ValueError when they do not fit."""
        missing = [name for name in ("lexicon", "word_of", "bigram") if name not in tensors]
        if missing:
            raise ValueError(f"the decoder lacks the tensors {', '.join(missing)}")
        lexicon, word_of, bigram = (tensors[name] for name in ("lexicon", "word_of", "bigram"))
        fits = [
            lexicon.ndim == 2 and word_of.shape == lexicon.shape[:1] and (lexicon[:, 0] > BLANK).all(),
            sorted(set(word_of.tolist())) == list(range(len(words))),
            bigram.shape == (len(words) + 1, len(words) + 1),
        ]
        if not all(fits):
            raise ValueError(f"the decoder's tensors do not fit {len(words)} words")
        return cls(tuple(words), lexicon, word_of, bigram, **options)

    def decode(self, outputs: NDArray[Any]) -> tuple[str, ...]:
        """Return the words of one utterance, logits [frames, classes] -> names; ValueError for too few classes."""
        if outputs.shape[1] <= self.lexicon.max():
            raise ValueError(f"the lexicon names class {self.lexicon.max()}, found {outputs.shape[1]} outputs")
        said, _ = best_words(
            log_softmax(outputs), self.lexicon, self.word_of, self.bigram,
            lm_weight=self.lm_weight, insertion_penalty=self.insertion_penalty,
        )  # fmt: skip
        return tuple(self.words[w] for w in said)

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the word error rate over utterances; ``progress`` is called with (done, total)."""
        return word_error_rate(_decoded(self.decode, outputs, references, progress), references)


class CtcClassScore(Score):
    """Error rate of phones, or of words spelled in characters, without a lexicon, see `CtcClasses`.

    ``names``: of the network's outputs, that of the blank first, which is not read; outputs may share a name.
    ``beam``: prefixes that live on, 0 takes the best path. ``unit``: ``phone`` compares with the phones of the data
    set, ``character`` with its words.
    """

    vocabulary = "names"
    kind: Literal["ctc_classes"]
    names: Annotated[list[str], Field(min_length=2)]
    beam: Annotated[int, Field(ge=0, le=1024)] = 0
    unit: Literal["phone", "character"] = "phone"

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> CtcClasses:
        return CtcClasses(tuple(self.names), self.beam, self.unit)

    def said(self, utterance: Featured | Utterance) -> tuple[str, ...] | None:
        return _words_of(utterance) if self.unit == "character" else utterance.phones

    def reads(self) -> str:
        return "text" if self.unit == "character" else "phones"

    def knows(self, unit: str) -> bool:
        said = self.names[1:]
        return set(unit) <= set("".join(said)) if self.unit == "character" else folded(unit) in map(folded, said)

    def check(self, outputs: int) -> None:
        if len(self.names) != outputs:
            raise ValueError(f"the score names {len(self.names)} classes, the network has {outputs}")


SCORES.register("ctc_classes", CtcClassScore)


@dataclass(frozen=True)
class CtcClasses:
    """Phones, or words spelled in characters, from a CTC network's logits, and their error rate.

    ``names``: of the classes, that of the blank unused; classes may share a name. ``beam``: prefixes that live on, 0
    takes the best path. ``unit``: ``phone`` gives the phoneme error rate; ``character`` joins the names, cuts them at
    spaces and gives the word error rate.
    """

    names: tuple[str, ...]
    beam: int = 0
    unit: Literal["phone", "character"] = "phone"

    def decode(self, outputs: NDArray[Any]) -> tuple[str, ...]:
        """Return the phones or words of one utterance, logits [frames, classes] -> names."""
        logp = log_softmax(outputs)
        said = prefix_beam(logp, self.beam)[0] if self.beam else best_path(logp)
        heard = [self.names[c] for c in said]
        return tuple("".join(heard).split()) if self.unit == "character" else tuple(heard)

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the error rate over utterances; ``progress`` is called with (done, total)."""
        heard = _decoded(self.decode, outputs, references, progress)
        rate = word_error_rate if self.unit == "character" else phoneme_error_rate
        return rate(heard, references)


def _words_of(utterance: Featured | Utterance) -> tuple[str, ...] | None:
    return None if utterance.text is None else tuple(utterance.text.split())


def _decoded(
    decode: Callable[[NDArray[Any]], tuple[str, ...]],
    outputs: Iterable[NDArray[Any]],
    references: Sequence[Sequence[str]],
    progress: Callable[[int, int], None] | None,
) -> list[tuple[str, ...]]:
    heard = []
    for utterance in outputs:
        heard.append(decode(utterance))
        if progress is not None:
            progress(len(heard), len(references))
    return heard
