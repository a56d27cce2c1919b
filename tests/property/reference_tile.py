"""A crossbar tile and a Synaptogen cell in plain Python, one cell at a time, to be checked by eye.

Nothing here is shared with the kernels but their names for settings. `product` draws its noise from a NumPy generator,
so that it agrees with the kernel in distribution; without noise it agrees in value.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

KB, T = 1.380649e-23, 300.0


def current(curves, r: float, volts: float) -> float:
    """I = LL(V) (1 - r) + HH(V) r."""
    low = sum(c * volts**n for n, c in enumerate(reversed(curves.low)))
    high = sum(c * volts**n for n, c in enumerate(reversed(curves.high)))
    return low * (1 - r) + high * r


def variance(curves, r: float, volts: float, noise: str) -> float:
    """sigma^2 = 4 kB T B |I / V| + 2 e |I| B; the slope of the curve where V = 0."""
    if noise == "off":
        return 0.0
    bandwidth, charge = (1e8, 1.602e-19) if noise == "physical" else (1e-8, 2.71828)
    amperes = current(curves, r, volts)
    siemens = abs(amperes / volts) if volts else abs(curves.low[-2] * (1 - r) + curves.high[-2] * r)
    return 4 * KB * T * bandwidth * siemens + 2 * charge * abs(amperes) * bandwidth


def convert(y: float, adc) -> tuple[float, int]:
    """clamp(round(y 2^P), -2^(P+R-1), 2^(P+R-1)) / 2^P, and whether it clipped; Python's round goes half to even."""
    if adc.ideal:
        return y, 0
    code, limit = round(y * 2**adc.precision_bits), 2 ** (adc.precision_bits + adc.range_bits - 1)
    return max(-limit, min(limit, code)) / 2**adc.precision_bits, int(abs(code) > limit)


def product(
    weights: np.ndarray,
    codes: np.ndarray,
    states: Callable[[int, int, int], np.ndarray],
    curves,
    *,
    weight_bits: int,
    cell_bits: int = 1,
    sign: str = "pair",
    rows: int = 128,
    columns: int = 128,
    dac,
    adc,
    noise: str = "off",
    generator: np.random.Generator | None = None,
) -> tuple[np.ndarray, int]:
    """The product of every frame, cell by cell; ``states(tile, plane, s)``: states [rows, columns] of one array.

    Returns values [frames, outputs] and the number of clipped conversions.
    """
    inputs, outputs = weights.shape
    planes = math.ceil((weight_bits - 1 if sign == "pair" else weight_bits) / cell_bits)
    column_tiles = math.ceil(outputs / columns)
    values, clipped = np.zeros((len(codes), outputs)), 0
    top = 2 ** (dac.bits - 1)
    for t in range(len(codes)):
        for phase in range(dac.phases):
            for k in range(math.ceil(inputs / rows)):
                for m in range(column_tiles):
                    for p in range(planes):
                        main, other = (states(k * column_tiles + m, p, s) for s in (0, 1))
                        shared = None  # one draw of noise for the column that all others are compared with
                        for j in range(min(columns, outputs - m * columns)):
                            total, spread, spread_shared = 0.0, 0.0, 0.0
                            for i in range(rows):
                                code = int(codes[t, k * rows + i]) if k * rows + i < inputs else 0
                                if dac.mode == "amplitude":
                                    volts = code / top * dac.full_scale_volts
                                else:
                                    bit = (abs(code) >> phase) & 1
                                    volts = math.copysign(bit, code) * dac.full_scale_volts if bit else 0.0
                                n = j if sign == "pair" else 0
                                total += current(curves, main[i, j], volts) - current(curves, other[i, n], volts)
                                spread += variance(curves, main[i, j], volts, noise)
                                spread_shared += variance(curves, other[i, n], volts, noise)
                            if generator is not None:
                                if sign == "pair" or shared is None:
                                    shared = generator.normal() * math.sqrt(spread_shared)
                                total += generator.normal() * math.sqrt(spread) - shared
                            value, clip = convert(total / curves.unit, adc)
                            clipped += clip
                            weight = 2 ** (cell_bits * p) * (1 if dac.mode == "amplitude" else 2**phase / top)
                            values[t, m * columns + j] += weight * value
    return values, clipped


def vectorised_product(codes, r_pos, r_neg, curves, dac, adc, noise, generator, frames):
    """One plane and tile in NumPy, noise per cell, as one would write it without the kernel: [frames, columns]."""
    out = np.empty((frames, r_pos.shape[1]))
    bandwidth, charge = (1e8, 1.602e-19) if noise == "physical" else (1e-8, 2.71828)
    for t in range(frames):
        volts = (codes[t] / 2 ** (dac.bits - 1) * dac.full_scale_volts)[:, None]
        total = np.zeros(r_pos.shape[1])
        for sign, r in ((1, r_pos), (-1, r_neg)):
            amperes = np.polyval(curves.low, volts) * (1 - r) + np.polyval(curves.high, volts) * r
            with np.errstate(invalid="ignore"):
                slope = curves.low[-2] * (1 - r) + curves.high[-2] * r
                siemens = np.abs(np.where(volts != 0, amperes / volts, slope))
            sigma = np.sqrt(4 * KB * T * bandwidth * siemens + 2 * charge * np.abs(amperes) * bandwidth)
            total += sign * (amperes + sigma * generator.standard_normal(r.shape)).sum(axis=0)
        limit = 2 ** (adc.precision_bits + adc.range_bits - 1)
        code = np.clip(np.rint(total / curves.unit * 2**adc.precision_bits), -limit, limit)
        out[t] = code / 2**adc.precision_bits
    return out


class Cell:
    """One Synaptogen cell; ``draw(block)`` gives the four random words of a counter."""

    def __init__(self, parameters, draw: Callable[[int], list[int]]) -> None:
        self.p, self.draw, self.cycle = parameters, draw, 0
        self.history = [[0.0] * 4 for _ in range(10)]  # the oldest first
        u, k = (draw(0)[0] + 0.5) / 2**32, 0
        while k < len(parameters.weights) - 1 and u >= sum(parameters.weights[: k + 1]) / sum(parameters.weights):
            k += 1
        z = normals(draw(1)) + normals(draw(2))
        drawn = [parameters.mean[k][n] + sum(parameters.factor[k][n][i] * z[i] for i in range(8)) for n in range(8)]
        self.mu, self.sigma = drawn[:4], drawn[4:]
        self.next_cycle()
        self.r, self.in_hrs, self.in_lrs = self.r_hrs, True, False
        self.reset_volts = self.features[3]

    def next_cycle(self) -> None:
        inputs = normals(self.draw(3 + self.cycle)) + [x for vector in self.history for x in vector]
        x = [sum(a * b for a, b in zip(row, inputs, strict=True)) for row in self.p.feedback]
        self.history = [*self.history[1:], x]
        self.features = [self.mu[n] + self.sigma[n] * np.polyval(self.p.gamma[n], x[n]) for n in range(4)]
        self.r_hrs, self.r_lrs = self.state(10 ** self.features[0]), self.state(self.features[2])
        self.cycle += 1

    def state(self, ohm: float) -> float:
        volts = self.p.reference_volts
        low, high = np.polyval(self.p.low, volts) / volts, np.polyval(self.p.high, volts) / volts
        return (low - 1 / ohm) / (low - high)

    def i(self, r: float, volts: float) -> float:
        return np.polyval(self.p.low, volts) * (1 - r) + np.polyval(self.p.high, volts) * r

    def pulse(self, volts: float) -> None:
        if not self.in_lrs and volts <= self.features[1]:
            self.r, self.in_lrs, self.in_hrs, self.reset_volts = self.r_lrs, True, False, self.features[3]
        elif not self.in_hrs and volts > self.reset_volts:
            if self.in_lrs:
                self.next_cycle()
            self.in_lrs, top = False, self.p.full_reset_volts
            if volts >= top:
                self.r, self.in_hrs = self.r_hrs, True
            else:
                x1 = self.reset_volts
                y1, y2 = self.i(self.r, x1), self.i(self.r_hrs, top)
                amperes = (y1 - y2) / abs(top - x1) ** self.p.eta * abs(top - volts) ** self.p.eta + y2
                low, high = np.polyval(self.p.low, volts), np.polyval(self.p.high, volts)
                self.r, self.reset_volts = (low - amperes) / (low - high), volts


def normals(words: list[int]) -> list[float]:
    """Four normals from four words by Box-Muller; the second word of a pair holds two signs and the angle."""
    out = []
    for first, second in (words[:2], words[2:]):
        radius = math.sqrt(-2 * math.log(((first >> 1) + 0.5) / 2**31))
        place = second & (2**30 - 1)
        angle = math.pi / 4 * (1 + ((place if place < 2**29 else place - 2**30) + 0.5) / 2**29)
        out += [
            radius * (1 - 2 * (second >> 30 & 1)) * math.cos(angle),
            radius * (1 - 2 * (second >> 31)) * math.sin(angle),
        ]
    return out


def in_words(
    weights: np.ndarray,
    codes: np.ndarray,
    *,
    weight_bits: int,
    cell_bits: int,
    rows: int,
    dac_bits: int,
    serial: bool,
    precision_bits: int,
    range_bits: int,
    adder: int,
    output: int,
    total: int,
) -> tuple[np.ndarray, int]:
    """The product on ideal differential pairs, in whole numbers, every word behind the converters a signed one of so
    many bits: a tile's codes are added phase by phase and plane by plane, put into its output register, and the
    registers of tiles below each other are added; whatever does not fit is clamped and counted.

    Returns values [frames, outputs] and the number of clamped words.
    """
    clamped = 0

    def kept(x: int, bits: int) -> int:
        nonlocal clamped
        y = max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, x))
        clamped += x != y
        return y

    inputs, outputs = weights.shape
    top, limit = 2 ** (dac_bits - 1), 2 ** (precision_bits + range_bits - 1)
    values = np.zeros((len(codes), outputs))
    for t in range(len(codes)):
        for j in range(outputs):
            whole = 0
            for first in range(0, inputs, rows):
                held = 0
                for phase in range(dac_bits if serial else 1):
                    for p in range(math.ceil((weight_bits - 1) / cell_bits)):
                        current = 0.0
                        for i in range(first, min(first + rows, inputs)):
                            w, x = int(weights[i, j]), int(codes[t, i])
                            digit = (abs(w) >> (p * cell_bits)) % 2**cell_bits * (1 if w > 0 else -1)
                            volts = (abs(x) >> phase & 1) * (1 if x > 0 else -1) if serial else x / top
                            current += digit * volts
                        code = max(-limit, min(limit, round(current * 2**precision_bits)))
                        held = kept(held + code * 2 ** (cell_bits * p + phase), adder)
                whole = kept(whole + kept(held, output), total)
            values[t, j] = whole / 2**precision_bits / (top if serial else 1)
    return values, clamped
