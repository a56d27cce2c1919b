"""A state-space kernel in plain Python, to be checked by eye: once in whole numbers, once cell by cell.

Nothing here is shared with `accelsim.kernels.ssm`.
"""

from __future__ import annotations

import math


def clamp(value: int, top: int) -> tuple[int, int]:
    """The code that is kept, and 1 if it was clamped."""
    kept = max(-top, min(top, value))
    return kept, int(kept != value)


def integers(a, b, c, codes, *, top: int, state_gain: float, output_gain: float):
    """One kernel and utterance: y = clamp(round(gain Re(C x))), x <- clamp(round(gain (A x + B u))).

    a, b, c: lists of (re, im) levels; codes: list of u. Returns y per step, the last state, saturations per step.
    """
    x = [(0, 0)] * len(a)
    outputs, saturated = [], []
    for u in codes:
        total, clamped, after = 0, 0, []
        for (ar, ai), (br, bi), (cr, ci), (xr, xi) in zip(a, b, c, x, strict=True):
            total += cr * xr - ci * xi
            re, first = clamp(round((ar * xr - ai * xi + br * u) * state_gain), top)
            im, second = clamp(round((ai * xr + ar * xi + bi * u) * state_gain), top)
            after.append((re, im))
            clamped += first + second
        y, last = clamp(round(total * output_gain), top)
        outputs.append(y)
        saturated.append(clamped + last)
        x = after
    return outputs, x, saturated


def with_converters(a, b, c, codes, *, top: int, state_gain: float, output_gain: float, convert):
    """The same kernel, its codes made by ``convert(x, step, pair)``: pairs re, im of every state, then y."""
    x = [(0, 0)] * len(a)
    outputs, saturated = [], []
    for t, u in enumerate(codes):
        total, clamped, after = 0, 0, []
        for n, ((ar, ai), (br, bi), (cr, ci), (xr, xi)) in enumerate(zip(a, b, c, x, strict=True)):
            total += cr * xr - ci * xi
            re, first = convert((ar * xr - ai * xi + br * u) * state_gain, t, 2 * n)
            im, second = convert((ai * xr + ar * xi + bi * u) * state_gain, t, 2 * n + 1)
            after.append((re, im))
            clamped += first + second
        y, last = convert(total * output_gain, t, 2 * len(a))
        outputs.append(y)
        saturated.append(clamped + last)
        x = after
    return outputs, x, saturated


def cells(states, kernels: int, width: int, curves, codes, *, top, volts, state_gain, output_gain):
    """One crossbar, cell by cell: ``states`` r [rows][columns], ``kernels`` of ``width`` real inputs on its diagonal.

    The last real input of each kernel is u, its last real output y. Returns y [steps][kernels], the power per step (W).
    """

    def current(r: float, v: float) -> float:
        low = sum(k * v**n for n, k in enumerate(reversed(curves.low)))
        high = sum(k * v**n for n, k in enumerate(reversed(curves.high)))
        return low * (1 - r) + high * r

    n = kernels * width
    x = [0] * n
    outputs, watts = [], []
    for step in codes:
        for k in range(kernels):
            x[k * width + width - 1] = step[k]
        rows = [0.0] * len(states)  # each real number drives one of two rows, with a voltage of one sign
        for i, code in enumerate(x):
            rows[2 * i + (code < 0)] = abs(code) / top * volts
        column = [sum(current(r[j], v) for r, v in zip(states, rows, strict=True)) for j in range(len(states[0]))]
        watts.append(sum(v * sum(current(cell, v) for cell in r) for r, v in zip(states, rows, strict=True)))
        z = [(column[2 * j] - column[2 * j + 1]) / curves.unit * top for j in range(n)]
        is_y = [j % width == width - 1 for j in range(n)]
        code = [clamp(round(z[j] * (output_gain if is_y[j] else state_gain)), top)[0] for j in range(n)]
        outputs.append([code[j] for j in range(n) if is_y[j]])
        x = [0 if is_y[j] else code[j] for j in range(n)]
    return outputs, watts


def noisy_cells(
    states, kernels: int, width: int, curves, codes, *, top, volts, state_gain, output_gain, levels, steps, factors,
    own=None, largest_own=0.0, normals=None,
):  # fmt: skip
    """One crossbar as `cells`, with read noise in front of the converters, in whole numbers of the stated grids.

    levels: of a cell; steps: of a pair of columns, each; factors: thermal and shot, sigma^2 = thermal |I / V| + shot
    |I|; own(r): variance of a cell's own conductance, ``largest_own`` of a pair in any crossbar; normals(t): a draw
    for each pair of columns. Returns y [steps][kernels] and the last codes of all columns.
    """

    def chord(curve, v: float) -> float:
        return sum(k * v**n for n, k in enumerate(reversed(curve[:-1])))

    thermal, shot = factors
    voltage = [m / top * volts for m in range(top + 1)]
    low, high = ([chord(curve, v) for v in voltage] for curve in (curves.low, curves.high))
    amperes = curves.unit * levels
    signal = [round((a - b) * v / amperes * top * 2**12) for a, b, v in zip(low, high, voltage, strict=True)]
    factor = [thermal + shot * v for v in voltage]
    level = [2 * a * f for a, f in zip(low, factor, strict=True)]
    slope = [(b - a) * f for a, b, f in zip(low, high, factor, strict=True)]
    level_step = max(abs(x - level[0]) for x in level) / 2**30 or 1.0
    slope_step = max(abs(x - slope[0]) for x in slope) / 2**20 or 1.0
    level_whole = [round((x - level[0]) / level_step) for x in level]
    slope_whole = [round((x - slope[0]) / slope_step) for x in slope]

    n, rows = kernels * width, len(states)
    weight = [[round((r[2 * j + 1] - r[2 * j]) * steps[j] * 2**16) for j in range(n)] for r in states]
    total = [[round((r[2 * j] + r[2 * j + 1]) * 2**16) for j in range(n)] for r in states]
    rest = [rows * level[0] + slope[0] * (sum(row[j] for row in total) / 2**16) for j in range(n)]
    own_step = largest_own / 2**20
    of_own = [[0] * n for _ in states]
    if own is not None:
        of_own = [[round((own(r[2 * j]) + own(r[2 * j + 1])) / own_step) for j in range(n)] for r in states]

    x = [0] * n
    outputs = []
    for t, step in enumerate(codes):
        for k in range(kernels):
            x[k * width + width - 1] = step[k]
        driven = [(2 * i + (code < 0), abs(code)) for i, code in enumerate(x) if code]
        code, draws = [], normals(t)
        for j in range(n):
            z = sum(signal[m] * weight[row][j] for row, m in driven) / 2**28
            variance = (
                rest[j]
                + sum(level_whole[m] for _, m in driven) * level_step
                + sum(slope_whole[m] * total[row][j] for row, m in driven) / 2**16 * slope_step
                + sum(m * m * of_own[row][j] for row, m in driven) * (own_step * (volts / top) ** 2)
            )
            z += math.sqrt(max(variance, 0.0)) * (steps[j] * (top / amperes)) * float(draws[j])
            gain = output_gain if j % width == width - 1 else state_gain
            code.append(clamp(round(z * gain), top)[0])
        outputs.append([code[j] for j in range(n) if j % width == width - 1])
        x = code
    return outputs, x
