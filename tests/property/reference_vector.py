"""The vector unit, the attention engine and the integer convolutions once more, one number at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

F = np.float32


def rounder(number):
    """Return R: nothing to do in float32, numpy's own conversion in float16."""
    return F if number == "float32" else lambda x: F(np.float16(x))


def exponential(x):
    x = min(max(F(x), F(-87)), F(87))
    n = F(np.rint(F(x * F(1.44269504))))
    r = F(F(x - F(n * F(0.693359375))) - F(n * F(-2.12194440e-4)))
    p = F(1 / 5040)
    for factorial in (720, 120, 24, 6, 2, 1, 1):
        p = F(F(p * r) + F(1 / factorial))
    return F(p * F(2.0 ** int(n)))


def total(terms):
    result = F(0)
    for term in terms:
        result = F(result + F(term))
    return result


def sigmoid_quotient(x, gate, number):
    R = rounder(number)
    return R(F(x) / R(F(1) + R(exponential(-F(gate)))))


def layer_norm(row, gain, bias, epsilon, number):
    R, n = rounder(number), F(len(row))
    mean = R(total(row) / n)
    d = [R(F(x) - mean) for x in row]
    variance = R(total(F(x * x) for x in d) / n)
    scale = R(F(1) / R(np.sqrt(R(variance + F(epsilon)))))
    return [R(R(R(x * scale) * R(g)) + R(b)) for x, g, b in zip(d, gain, bias, strict=True)]


def softmax(row, number):
    R = rounder(number)
    e = [R(exponential(R(F(x) - max(row)))) for x in row]
    scale = R(F(1) / R(total(e)))
    return [R(x * scale) for x in e]


def attention(qkv, starts, heads, number, vectors=None, u=None, v=None):
    R, width = rounder(number), qkv.shape[1] // 3
    size = width // heads
    factor = R(F(1 / np.sqrt(F(size))))
    out = np.zeros((len(qkv), width), F)
    for first, last in pairwise(starts):
        for head in range(heads):
            of = slice(head * size, (head + 1) * size)
            q, k, values = qkv[first:last, :width], qkv[first:last, width : 2 * width], qkv[first:last, 2 * width :]
            q, k, values = q[:, of], k[:, of], values[:, of]
            for i in range(last - first):
                scores = []
                for j in range(last - first):
                    if vectors is None:
                        score = R(total(F(a * b) for a, b in zip(q[i], k[j], strict=True)))
                    else:
                        p = vectors[len(vectors) // 2 - (i - j)][of]
                        content = total(F(R(a + R(c)) * b) for a, c, b in zip(q[i], u[head], k[j], strict=True))
                        place = total(F(R(a + R(c)) * R(b)) for a, c, b in zip(q[i], v[head], p, strict=True))
                        score = R(R(content) + R(place))
                    scores.append(R(factor * score))
                weights = softmax(scores, number)
                for d in range(size):
                    summed = total(F(w * values[j, d]) for j, w in enumerate(weights))
                    out[first + i, head * size + d] = R(summed)
    return out


def zeros_before(taps, dilation, causal):
    """How many rows of zeros lie before the first one: all of them, half of them, or half of an odd number and more."""
    if causal:
        return dilation * (taps - 1)
    if taps % 2:
        return dilation * (taps - 1) // 2
    return dilation * taps // 2


def depthwise(codes, weights, starts, dilation=1, causal=False):
    taps, channels = weights.shape
    out = np.zeros(codes.shape, int)
    before = zeros_before(taps, dilation, causal)
    for first, last in pairwise(starts):
        for t in range(first, last):
            for c in range(channels):
                for i in range(taps):
                    source = t + dilation * i - before
                    if first <= source < last:
                        out[t, c] += int(codes[source, c]) * int(weights[i, c])
    return out


def convolve(codes, weights, stride, dilation=(1, 1), causal=False):
    """One utterance: codes [frames, bands, channels]."""
    taps, band_taps, channels, outputs = weights.shape
    frames, bands = codes.shape[:2]
    before, below = zeros_before(taps, dilation[0], causal), zeros_before(band_taps, dilation[1], False)
    out = np.zeros((-(-frames // stride[0]), -(-bands // stride[1]), outputs), int)
    for t, b, o in np.ndindex(out.shape):
        for i, k, c in np.ndindex(taps, band_taps, channels):
            x, y = stride[0] * t + dilation[0] * i - before, stride[1] * b + dilation[1] * k - below
            if 0 <= x < frames and 0 <= y < bands:
                out[t, b, o] += int(codes[x, y, c]) * int(weights[i, k, c, o])
    return out
