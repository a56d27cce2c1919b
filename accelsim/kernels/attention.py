"""Self-attention of the digital attention engine, without positions or with relative ones.

Its operands are made at run time, so no crossbar can hold them. It computes in the number format of the vector unit,
see `accelsim.kernels.number`: R rounds to it, sums are taken in float32, ascending.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.norm import softmax_row
from accelsim.kernels.number import Number, Values, in_number, is_half, values_of


@dataclass(frozen=True)
class RelativePositions:
    """What relative positions add to the scores (Dai et al. 2019, Transformer-XL).

    ``vectors``: p of the distances L - 1 .. -(L - 1), [2 L - 1, width], heads side by side, L frames at the least of
    the longest utterance; ``u`` and ``v``: biases of the content and of the position term, [heads, width / heads].
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


def attention(
    qkv: Values,
    starts: NDArray[np.int64],
    heads: int,
    positions: RelativePositions | None = None,
    number: Number = "float32",
) -> Values:
    """Return the context of every frame: sum_j a_ij v_j, a_i = softmax_j(score_ij), over all frames j of its utterance.

    score_ij = R(c R(q_i . k_j)), c = R(1 / sqrt(width / heads)); with relative positions
    score_ij = R(c R(R(R(q_i + u) . k_j) + R(R(q_i + v) . p_(i - j)))): the shift of Transformer-XL is a choice of rows.

    qkv: [frames, 3 width], all q, then k, then v, heads side by side; starts: frame offsets of the utterances
    [utterances + 1]. Returns [frames, width]. Raises ValueError for shapes that do not fit.
    """
    frames, triple = qkv.shape
    width = triple // 3
    if triple % 3 or width % heads:
        raise ValueError(f"{triple} columns are not q, k and v of {heads} heads")
    if starts[0] != 0 or starts[-1] != frames:
        raise ValueError(f"the utterances end at frame {starts[-1]}, found {frames} frames")
    longest = int(np.diff(starts).max(initial=0))
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
        if len(vectors) % 2 == 0 or len(vectors) < 2 * longest - 1:
            raise ValueError(f"{longest} frames need {2 * longest - 1} position vectors, found {len(vectors)}")
    context = np.empty((frames, width), np.float32)
    factor = values_of(1 / np.sqrt(np.array([width // heads], np.float32)), number)[0]
    _attention(
        np.ascontiguousarray(qkv, np.float32), np.asarray(starts, np.int64), heads,
        np.ascontiguousarray(vectors.T), u, v, positions is not None, factor, is_half(number), context,
    )  # fmt: skip
    return context


@numba.njit(parallel=True, cache=True)
def _attention(qkv, starts, heads, vectors, u, v, relative, factor, half, context):  # type: ignore[no-untyped-def]
    width = context.shape[1]
    size = width // heads
    middle = vectors.shape[1] // 2  # where distance 0 stands
    for item in numba.prange((len(starts) - 1) * heads):
        utterance, head = item // heads, item % heads
        first, last = starts[utterance], starts[utterance + 1]
        frames, column = last - first, head * size
        keys = np.ascontiguousarray(qkv[first:last, width + column : width + column + size].T)
        scores, places = np.empty(frames, np.float32), np.empty(frames, np.float32)
        total = np.empty(size, np.float32)
        for i in range(frames):
            query = qkv[first + i, column : column + size]
            scores[:] = np.float32(0)
            for d in range(size):
                q = in_number(query[d] + u[head, d], half) if relative else query[d]
                for j in range(frames):
                    scores[j] += q * keys[d, j]
            if relative:
                places[:] = np.float32(0)
                for d in range(size):
                    q = in_number(query[d] + v[head, d], half)
                    near = vectors[column + d, middle - i : middle - i + frames]
                    for j in range(frames):
                        places[j] += q * near[j]
            for j in range(frames):
                score = in_number(scores[j], half)
                if relative:
                    score = in_number(score + in_number(places[j], half), half)
                scores[j] = in_number(factor * score, half)
            softmax_row(scores, half)
            total[:] = np.float32(0)
            for j in range(frames):
                share = scores[j]
                for d in range(size):
                    total[d] += share * qkv[first + j, 2 * width + column + d]
            for d in range(size):
                context[first + i, column + d] = in_number(total[d], half)
