"""Self-attention of the digital attention engine, without positions or with relative ones.

Its operands are made at run time, so no crossbar can hold them. R rounds to the format of its numbers, A to that of
its accumulator: S x_j stands for a sum in ascending order, acc = A(acc + A(x_j)) from 0 on, see
`accelsim.kernels.number`. Rows of all utterances lie end to end; spans tell which of them each row sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.norm import form_code, shift_bounds, softmax_row
from accelsim.kernels.number import (
    UNDERFLOW,
    FloatExceptions,
    Number,
    SoftmaxForm,
    Values,
    counts_for,
    in_number,
    is_half,
    overflows_of_sum,
    plus,
    rounded,
    row_of,
    times,
    underflows,
    values_of,
)

Spans = NDArray[np.int64]


@dataclass(frozen=True)
class RelativePositions:
    """What relative positions add to the scores (Dai et al. 2019, Transformer-XL).

    ``vectors``: p of the distances D .. -D, [2 D + 1, width], heads side by side, D at least the largest distance of a
    row from one that it sees; ``u`` and ``v``: biases of the content and of the position term, [heads, width / heads].
    """

    vectors: Values
    u: NDArray[np.float32]
    v: NDArray[np.float32]


def sinusoids(frames: int, width: int) -> Values:
    """Return the vectors of the distances frames - 1 .. -(frames - 1): [2 frames - 1, width], width even.

    r[d, 2 i] = sin(d w_i), r[d, 2 i + 1] = cos(d w_i), w_i = 10000^(-2 i / width), in float64, then float32.
    """
    if width % 2:
        raise ValueError(f"sinusoids need an even width, found {width}")
    distance = np.arange(frames - 1, -frames, -1, dtype=np.float64)
    angle = distance[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(len(distance), width).astype(np.float32)


def whole_utterances(starts: NDArray[np.int64]) -> Spans:
    """Return the spans [rows, 2] with which each row sees its whole utterance; starts: offsets [utterances + 1]."""
    starts = np.asarray(starts, np.int64)
    return np.repeat(np.stack([starts[:-1], starts[1:]], axis=1), np.diff(starts), axis=0)


def chunks(starts: NDArray[np.int64], chunk: int, left: int) -> Spans:
    """Return the spans with which each row sees its own chunk and ``left`` rows before that, within its utterance.

    A chunk has ``chunk`` rows, counted from the start of the utterance, the last one what is left over. Row t of an
    utterance sees max(0, k chunk - left) .. min(length, (k + 1) chunk) - 1, k = t // chunk.
    """
    if chunk < 1 or left < 0:
        raise ValueError(f"a chunk needs at least 1 row and no less than 0 before it, found {chunk} and {left}")
    whole = whole_utterances(starts)
    first, last = whole[:, 0], whole[:, 1]
    begin = first + (np.arange(len(whole)) - first) // chunk * chunk
    return np.stack([np.maximum(begin - left, first), np.minimum(begin + chunk, last)], axis=1)


def attention(
    qkv: Values,
    spans: Spans,
    heads: int,
    positions: RelativePositions | None = None,
    number: Number = "float32",
    *,
    accumulator: Number = "float32",
    softmax_form: SoftmaxForm = "shifted",
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return the context of every row: R(S_j a_ij v_j), a_i = softmax_j(score_ij), over the rows j that i sees.

    score_ij = R(c R(S_d q_id k_jd)), c = R(1 / sqrt(width / heads)); with relative positions
    score_ij = R(c R(R(S_d R(q_id + u_d) k_jd) + R(S_d R(q_id + v_d) p_(i - j)d))): the shift of Transformer-XL is a
    choice of rows. Softmax: see `accelsim.kernels.norm.softmax`, over as many values as row i sees.

    qkv: [rows, 3 width], all q, then k, then v, heads side by side; spans: [rows, 2], the first and one past the last
    row that each row sees, where there are none its context is 0. Returns [rows, width]. Raises ValueError for shapes
    that do not fit.
    """
    rows, triple = qkv.shape
    width = triple // 3
    if triple % 3 or width % heads:
        raise ValueError(f"{triple} columns are not q, k and v of {heads} heads")
    spans = np.ascontiguousarray(spans, np.int64)
    if spans.shape != (rows, 2):
        raise ValueError(f"spans of shape {spans.shape} do not fit {rows} rows")
    seen = spans[:, 0] < spans[:, 1]
    if (spans[seen] < 0).any() or (spans[seen] > rows).any():
        raise ValueError(f"a span reaches beyond the {rows} rows")
    if positions is None:
        vectors = np.zeros((1, width), np.float32)
        u = v = np.zeros((heads, width // heads), np.float32)
    else:
        vectors = values_of(positions.vectors, number)
        u, v = values_of(positions.u, number), values_of(positions.v, number)
        if vectors.shape[1] != width or u.shape != (heads, width // heads) or v.shape != u.shape:
            raise ValueError(
                f"positions {vectors.shape}, u {u.shape} and v {v.shape} do not fit {heads} heads of {width}"
            )
        distances = np.arange(rows)[:, None] - (spans - np.array([0, 1]))
        reach = int(np.abs(distances[seen]).max(initial=0))
        if len(vectors) % 2 == 0 or len(vectors) < 2 * reach + 1:
            raise ValueError(
                f"distances of up to {reach} rows need {2 * reach + 1} position vectors, found {len(vectors)}"
            )
    context = np.zeros((rows, width), np.float32)
    factor = values_of(1 / np.sqrt(np.array([width // heads], np.float32)), number)[0]
    groups = _groups(spans)
    bounds = np.array([shift_bounds(int(n), number) for n in np.diff(spans[groups[:-1]])[:, 0]], np.float32)
    counts = counts_for(exceptions, (len(groups) - 1) * heads)
    _attention(
        np.ascontiguousarray(qkv, np.float32), spans, groups, heads, np.ascontiguousarray(vectors.T), u, v,
        positions is not None, factor, is_half(number), is_half(accumulator), form_code(softmax_form),
        bounds.reshape(-1, 2), counts, context,
    )  # fmt: skip
    if exceptions is not None and counts is not None:
        exceptions.note(counts, context)
    return context


def _groups(spans: Spans) -> NDArray[np.int64]:
    """Return where runs of rows that see the same rows begin, and the number of rows: they share their keys."""
    changes = np.flatnonzero((spans[1:] != spans[:-1]).any(axis=1)) + 1
    return np.concatenate([[0] if len(spans) else [], changes, [len(spans)]]).astype(np.int64)


@compiled(parallel=True)
def _attention(  # type: ignore[no-untyped-def]
    qkv, spans, groups, heads, vectors, u, v, relative, factor, half, narrow, form, bounds, counts, context
):
    width = context.shape[1]
    size = width // heads
    middle = vectors.shape[1] // 2  # where distance 0 stands
    for item in numba.prange((len(groups) - 1) * heads):
        group, head = item // heads, item % heads
        count = row_of(counts, item)
        first, last = spans[groups[group], 0], spans[groups[group], 1]
        frames, column = max(last - first, 0), head * size
        keys = np.ascontiguousarray(qkv[first : first + frames, width + column : width + column + size].T)
        scores, places = np.empty(frames, np.float32), np.empty(frames, np.float32)
        query, total = np.empty(size, np.float32), np.empty(size, np.float32)
        for i in range(groups[group], groups[group + 1] if frames else groups[group]):
            for d in range(size):
                q = qkv[i, column + d]
                query[d] = plus(q, u[head, d], half, count) if relative else q
            _products(query, keys, np.int64(0), np.int64(0), narrow, count, scores)
            if relative:
                for d in range(size):
                    query[d] = plus(qkv[i, column + d], v[head, d], half, count)
                _products(query, vectors, column, middle - i + first, narrow, count, places)
            for j in range(frames):
                score = rounded(scores[j], half, np.isfinite(scores[j]), count)
                if relative:
                    place = rounded(places[j], half, np.isfinite(places[j]), count)
                    score = plus(score, place, half, count)
                scores[j] = times(factor, score, half, count)
            softmax_row(scores, half, narrow, form, bounds[group, 0], bounds[group, 1], count)
            _products(scores, qkv, first, 2 * width + column, narrow, count, total)
            for d in range(size):
                context[i, column + d] = rounded(total[d], half, np.isfinite(total[d]), count)


@numba.njit
def _products(x, matrix, row, column, narrow, count, sums):  # type: ignore[no-untyped-def]
    """Set sums_j = S_d x_d m_dj, m the part of the matrix that begins at (row, column)."""
    sums[:] = np.float32(0)
    if narrow:
        low = np.int32(0)
        for d in range(len(x)):
            part = matrix[row + d, column : column + len(sums)]
            for j in range(len(sums)):
                term = x[d] * part[j]
                held = in_number(term, True)
                total = sums[j] + held
                short = in_number(total, True)
                if count is not None:
                    low += np.int32(underflows(term, held)) + np.int32(underflows(total, short))
                sums[j] = short
        if count is not None:
            count[UNDERFLOW] += low
    else:
        for d in range(len(x)):
            factor, part = x[d], matrix[row + d, column : column + len(sums)]
            for j in range(len(sums)):
                sums[j] += factor * part[j]
    if count is not None:
        for j in range(len(sums)):
            if not np.isfinite(sums[j]):
                overflows_of_sum(x, matrix[row : row + len(x), column + j], narrow, count)
