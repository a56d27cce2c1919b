"""The float16 NPU once more, one number at a time: `Unit` rounds with numpy's own types and counts what that did.

Numbers are numpy float32 scalars. `R(x, *operands)` rounds x, already computed in float32, to the unit's format, `A` to
that of its accumulator; the operands are named so that an overflow can be told from an infinity that was there before.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from reference_vector import exponential, zeros_before

from accelsim.kernels.number import FloatExceptions

F = np.float32

# Cephes, ndtrf.c and tanhf.c: erf(z) / z in z^2, erfc(z) e^(z^2) z in 1 / z^2 from 1 and from 2 on, tanh in x^2.
ERF = """7.853861353153693E-5 -8.010193625184903E-4 5.188327685732524E-3 -2.685381193529856E-2 1.128358514861418E-1
         -3.761262582423300E-1 1.128379165726710"""
FROM_1 = """2.326819970068386E-2 -1.387039388740657E-1 3.687424674597105E-1 -5.824733027278666E-1 6.210004621745983E-1
            -4.944515323274145E-1 3.404879937665872E-1 -2.741127028184656E-1 5.638259427386472E-1"""
FROM_2 = """-1.047766399936249E1 1.297719955372516E1 -7.495518717768503 2.921019019210786 -1.015265279202700
            4.218463358204948E-1 -2.820767439740514E-1 5.641895067754075E-1"""
TANH = "-5.70498872745E-3 2.06390887954E-2 -5.37397155531E-2 1.33314422036E-1 -3.33332819422E-1"


def polynomial(x, coefficients):
    result = F(0)
    for c in coefficients.split():
        result = F(F(result * x) + F(float(c)))
    return result


def hyperbolic_tangent(x):
    if abs(x) < F(0.625):
        return F(x + F(x * F(F(x * x) * polynomial(F(x * x), TANH))))
    power = exponential(F(2) * abs(x)) if x == x else x
    return F(np.sign(x) * F(F(1) - F(F(2) / F(power + F(1)))))


def normal_distribution(x):
    z = F(abs(x) * F(0.70710678))
    if z < 1:
        return F(F(0.5) + F(F(np.sign(x)) * F(F(0.5) * F(z * polynomial(F(z * z), ERF)))))
    y = F(F(1) / z)
    fraction = F(y * polynomial(F(y * y), FROM_1 if z < 2 else FROM_2))
    below = F(F(0.5) * F((exponential(-F(z * z)) if x == x else x) * fraction))
    return below if x < 0 else F(F(1) - below)


TYPES = {"float32": np.float32, "float16": np.float16}


class Unit:
    def __init__(self, number="float32", accumulator="float32"):
        self.number, self.accumulator, self.exceptions = number, accumulator, FloatExceptions()

    def R(self, x, *operands):
        return self._round(x, TYPES[self.number], operands)

    def A(self, x, *operands):
        return self._round(x, TYPES[self.accumulator], operands)

    def quotient(self, a, b):
        """A division by zero is no overflow, whatever is divided."""
        return self.R(F(a / b), a, b, *([np.inf] if b == 0 else []))

    def _round(self, x, to, operands):
        assert type(x) is F
        y = F(to(x)) + F(0 if to is np.float16 else -0.0)  # of float16 zeros there is only one, +0
        self.exceptions.overflow += bool(np.isinf(y) and np.isfinite(operands).all())
        self.exceptions.underflow += bool(to is np.float16 and y != x and abs(y) < 2.0**-14)
        return y

    def held(self, terms):
        """S: the sum of terms that are rounded already."""
        total = F(0)
        for term in terms:
            total = self.A(total + term, total, term)
        return total

    def dot(self, x, w):
        """S of products."""
        total = F(0)
        for a, b in zip(x, w, strict=True):
            term = self.A(a * b, a, b)
            total = self.A(total + term, total, term)
        return total

    def gives(self, out):
        """Note what is given out, and return it."""
        out = np.asarray(out, F)
        self.exceptions.infinity += int(np.isinf(out).sum())
        self.exceptions.nan += int(np.isnan(out).sum())
        return out

    # -- norms ---------------------------------------------------------------------------------------------------------

    def layer_norm(self, row, gain, bias, epsilon):
        R, n = self.R, F(len(row))
        mean = self.quotient(self.held(row), n)
        d = [R(x - mean, x, mean) for x in row]
        squares = F(0)
        for x in d:
            square = self.A(x * x, x)
            squares = self.A(squares + square, squares, square)
        return self._scaled(d, self.quotient(squares, n), gain, bias, epsilon)

    def pre_normalised(self, row, gain, bias, epsilon):
        R, n = self.R, F(len(row))
        to = TYPES[self.number]
        c, r, floor = F(to(F(1) / n)), F(to(F(1) / np.sqrt(n))), F(to(n * F(2**-24)))
        first = R(row[0] * F(0.25), row[0])
        g = [R(h - first, h, first) for h in (R(x * F(0.25), x) for x in row)]
        m = self.dot(g, [c] * len(g))
        m = R(m, m)
        d = [R(x - m, x, m) for x in g]
        mad = self.dot([abs(x) for x in d], [c] * len(d))
        mad = max(R(mad, mad), floor)
        z = [self.quotient(x, mad) for x in d]
        mean = self.dot(z, [c] * len(z))
        mean = R(mean, mean)
        e = [R(x - mean, x, mean) for x in z]
        w = [R(x * r, x, r) for x in e]
        variance = self.dot(w, w)
        return self._scaled(e, R(variance, variance), gain, bias, epsilon)

    def _scaled(self, d, variance, gain, bias, epsilon):
        R, to, epsilon = self.R, TYPES[self.number], F(epsilon)
        root = np.sqrt(R(variance + epsilon, variance, epsilon))
        s = self.quotient(F(1), R(root, root))
        y = []
        for x, g, b in zip(d, gain, bias, strict=True):
            g, b = F(to(g)), F(to(b))
            scaled = R(x * s, x, s)
            gained = R(scaled * g, scaled, g)
            y.append(R(gained + b, gained, b))
        return y

    # -- softmax, SiLU, GLU, addition ----------------------------------------------------------------------------------

    def exp(self, x):
        return self.R(exponential(x) if x == x else x, x)

    def softmax(self, row, form):
        largest = F(-np.inf)
        for x in row:
            largest = max(largest, x)
        n = max(len(row), 1)
        if self.number == "float16":
            low, high = F(np.float16(-9.7)), F(np.float16(F(np.log(32000 / n))))
        else:
            low, high = F(-86), F(min(np.log(1.6e38 / n), 86))
        shift = form == "shifted" or (form == "rescaled" and not low <= largest <= high)
        self.exceptions.rescaled += shift and form == "rescaled"
        e = [self.exp(self.R(x - largest, x, largest) if shift else x) for x in row]
        total = self.held(e)
        s = self.quotient(F(1), self.R(total, total))
        return [self.R(x * s, x, s) for x in e]

    def gated(self, x, gate):
        power = self.exp(-gate)
        return self.quotient(x, self.R(F(1) + power, power))

    def sigmoid(self, x):
        power = self.exp(-x)
        return self.quotient(F(1), self.R(F(1) + power, power))

    def tanh(self, x):
        return self.R(hyperbolic_tangent(x), x)

    def gelu(self, x):
        share = self.R(normal_distribution(x), x)
        return self.R(x * share, x, share)

    def multiply(self, a, b):
        return self.R(a * b, a, b)

    def add(self, a, b, factor):
        scaled = self.R(F(factor) * b, F(factor), b)
        return self.R(a + scaled, a, scaled)

    # -- attention and products ----------------------------------------------------------------------------------------

    def attention(self, qkv, spans, heads, form, vectors=None, u=None, v=None):
        R, to, width = self.R, TYPES[self.number], qkv.shape[1] // 3
        size = width // heads
        factor = F(to(1 / np.sqrt(F(size))))
        out = np.zeros((len(qkv), width), F)
        for head in range(heads):
            of = slice(head * size, (head + 1) * size)
            q, k, value = qkv[:, :width][:, of], qkv[:, width : 2 * width][:, of], qkv[:, 2 * width :][:, of]
            for i, (first, last) in enumerate(spans):
                scores, seen = [], range(first, last)
                if not seen:
                    continue
                if vectors is None:
                    content = place = q[i]
                else:
                    content = [R(a + F(to(b)), a, F(to(b))) for a, b in zip(q[i], u[head], strict=True)]
                    place = [R(a + F(to(b)), a, F(to(b))) for a, b in zip(q[i], v[head], strict=True)]
                for j in seen:
                    score = self.dot(content, k[j])
                    score = R(score, score)
                    if vectors is not None:
                        p = vectors[len(vectors) // 2 - (i - j)][of]
                        near = self.dot(place, [F(to(x)) for x in p])
                        near = R(near, near)
                        score = R(score + near, score, near)
                    scores.append(R(factor * score, factor, score))
                shares = self.softmax(scores, form)
                for d in range(size):
                    total = self.dot(shares, [value[j, d] for j in seen])
                    out[i, head * size + d] = R(total, total)
        return out

    def with_bias(self, total, bias):
        if bias is not None:
            b = F(TYPES[self.number](bias))
            total = self.A(total + b, total, b)
        return self.R(total, total)

    def product(self, x, weights, bias):
        to = TYPES[self.number]
        out = np.empty((len(x), weights.shape[1]), F)
        for t, j in np.ndindex(out.shape):
            total = self.dot(x[t], [F(to(w)) for w in weights[:, j]])
            out[t, j] = self.with_bias(total, None if bias is None else bias[j])
        return out

    def average(self, x, starts, size):
        """The sum in float32, whatever the accumulator; one quotient."""
        single = Unit("float32")
        made = []
        for first, last in pairwise(starts):
            for t, b, c in np.ndindex((last - first) // size[0], x.shape[1] // size[1], x.shape[2]):
                total = F(0)
                for i, k in np.ndindex(size):
                    term = x[first + t * size[0] + i, b * size[1] + k, c]
                    total = single.R(total + term, total, term)
                made.append(self.quotient(total, F(size[0] * size[1])))
        self.exceptions.overflow += single.exceptions.overflow
        frames = sum((last - first) // size[0] for first, last in pairwise(starts))
        return np.array(made, F).reshape(frames, x.shape[1] // size[1], x.shape[2])

    def convolve(self, x, weights, bias, starts, stride, each=False, dilation=(1, 1), causal=False):
        """Every output reads its window, zeros beyond the ends; with ``each``, weights [I, K, 1, channels]."""
        to = TYPES[self.number]
        taps, band_taps, channels, outputs = weights.shape
        before, below = zeros_before(taps, dilation[0], causal), zeros_before(band_taps, dilation[1], False)
        made = []
        for first, last in pairwise(starts):
            for t, b in np.ndindex(-(-(last - first) // stride[0]), -(-x.shape[1] // stride[1])):
                for o in range(outputs):
                    window, of = [], []
                    for i, k, c in np.ndindex(taps, band_taps, channels):
                        row = first + stride[0] * t + dilation[0] * i - before
                        band = stride[1] * b + dilation[1] * k - below
                        inside = first <= row < last and 0 <= band < x.shape[1]
                        window.append(x[row, band, o if each else c] if inside else F(0))
                        of.append(F(to(weights[i, k, c, o])))
                    made.append(self.with_bias(self.dot(window, of), None if bias is None else bias[o]))
        return np.array(made, F).reshape(-1, -(-x.shape[1] // stride[1]), outputs)

    def depthwise(self, x, weights, bias, starts, dilation, causal):
        to = TYPES[self.number]
        out, taps = np.empty(x.shape, F), len(weights)
        before = zeros_before(taps, dilation, causal)
        for first, last in pairwise(starts):
            for t, c in np.ndindex(last - first, x.shape[1]):
                rows = [first + t + dilation * i - before for i in range(taps)]
                window = [x[row, c] if first <= row < last else F(0) for row in rows]
                total = self.dot(window, [F(to(w)) for w in weights[:, c]])
                out[first + t, c] = self.with_bias(total, None if bias is None else bias[c])
        return out
