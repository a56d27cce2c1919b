"""Exact IR drop: the effective conductances of arrays of ohmic cells behind the resistance of their wires.

With undriven rows at 0 V and ohmic cells an array is a linear network: the currents of its columns are I = G_eff^T V
for every input V, those of its drivers Y V. Rows are driven at column 0 and columns are sensed behind the last row:
row i has j + 1 lengths of row wire to cell j, column j has rows - i lengths from cell i to its amplifier.

**Method.** A block of cells is known by its hybrid parameters: the voltages at the near ends of its wires (towards
drivers and amplifiers) and the currents that leave its far ends go in, the currents at the near ends and the voltages
at the far ends come out, [I_n; V_f] = H [V_n; I_f] with the symmetric H = [[Y, T'], [T, -Z]]. Y is of the order of the
cells' conductances and Z of that of the wires' resistances: nothing cancels, and wires may have 0 ohm. Where the far
ends of block 1 meet the near ends of block 2, v = T_1 V_1 - Z_1 i and i = T_2' I_2 + Y_2 v, so that joining them takes
one solution with I + Z_1 Y_2. Single cells become leaves of 8 x 8, and leaves, two by two, the array: O(N^3) operations
for N x N cells, in place of the O(N^4) of a sweep over the rows.

**Bits.** An array is solved alone, by one thread, in an order that its shape decides, with additions, multiplications
and divisions alone and without BLAS: results do not depend on threads, on the other arrays or on the machine.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled

_EDGE = 8
_EDGE_BITS = 3
_ZERO = np.int64(0)
"""For helpers of which one version is enough, see `accelsim.kernels.compile`."""
_LANES = 32
"""Leaves are made so many at a time, one beside the other in memory: what is done to one is done to all."""


@dataclass(frozen=True)
class Wires:
    """Resistances in ohm: ``row`` and ``column`` of a wire's length per cell, of a ``driver`` and of an ``amplifier``.

    ``both_ends``: columns have amplifiers at both ends, the second in front of row 0, i + 1 lengths from cell i.
    Raises ValueError for a resistance that is negative or not finite.
    """

    row: float
    column: float
    driver: float = 0.0
    amplifier: float = 0.0
    both_ends: bool = False

    def __post_init__(self) -> None:
        for name in ("row", "column", "driver", "amplifier"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"the resistance of {name} must be finite and at least 0 ohm, found {value:g}")


class Effective(NamedTuple):
    """What an array is seen from outside as: I = conductances^T V of the columns, drivers V of the drivers, in A.

    ``conductances`` [arrays, rows, columns] in S: current of column j per volt on row i, all other rows and the
    amplifiers at 0 V, both ends summed. ``drivers`` [arrays, rows, rows] in S, symmetric: current of driver i per volt
    on row k; V^T drivers V is the power that the drivers give.
    """

    conductances: NDArray[np.float64]
    drivers: NDArray[np.float64]


def effective(conductances: NDArray[np.float64], wires: Wires, threads: int | None = None) -> Effective:
    """Return the effective conductances of arrays behind their wires, and the admittance that their drivers see.

    conductances: [arrays, rows, columns] in S, at least 0. ``threads`` changes speed only, default all. Raises
    ValueError for shapes and conductances that do not fit.
    """
    cells = np.ascontiguousarray(conductances, np.float64)
    if cells.ndim != 3 or 0 in cells.shape[1:]:
        raise ValueError(f"expected conductances [arrays, rows, columns], found shape {cells.shape}")
    if not (np.isfinite(cells).all() and cells.min(initial=0) >= 0):
        raise ValueError("conductances must be finite and at least 0 S")
    arrays, rows, columns = cells.shape
    end = wires.column + wires.amplifier
    # Amplifiers at both ends of wires without resistance are one.
    both = wires.both_ends and end > 0
    along_row = np.zeros(-(-columns // _EDGE) * _EDGE)
    along_row[:columns] = wires.row
    along_row[0] += wires.driver
    along_column = np.zeros(-(-rows // _EDGE) * _EDGE)
    along_column[:rows] = wires.column
    along_column[0] += wires.amplifier
    out = np.empty((arrays, rows, columns)), np.empty((arrays, rows, rows))

    far_end = float(end) if both else 0.0

    def solve(array: int) -> None:
        _solve(cells[array], along_row, along_column, far_end, out[0][array], out[1][array])

    with ThreadPoolExecutor(threads or numba.get_num_threads()) as pool:
        list(pool.map(solve, range(arrays)))
    return Effective(*out)


def _solve(
    cells: NDArray[np.float64],
    along_row: NDArray[np.float64],
    along_column: NDArray[np.float64],
    far_end: float,
    sensed: NDArray[np.float64],
    drivers: NDArray[np.float64],
) -> None:
    keep_top = far_end > 0
    heights, widths = _sizes(len(cells)), _sizes(cells.shape[1])
    joins = [(heights, widths, False)]
    while len(heights) * len(widths) > 1:
        # Along their shorter edge, so that they stay square.
        up = len(widths) == 1 or (len(heights) > 1 and heights[0] <= widths[0])
        heights, widths = (_paired(heights), widths) if up else (heights, _paired(widths))
        joins.append((heights, widths, up))
    space = max(
        sum(_ports(h, w, i, j, keep_top) ** 2 for i in range(len(h)) for j in range(len(w))) for h, w, _ in joins
    )
    blocks, others = np.empty(space), np.empty(space)
    where = _leaves(cells, along_row, along_column, *joins[0][:2], keep_top, blocks)
    for n, (new_heights, new_widths, up) in enumerate(joins[1:]):
        heights, widths, _ = joins[n]
        where = _merge_all(blocks, where, heights, widths, new_heights, new_widths, up, keep_top, others)
        blocks, others = others, blocks
    _read_off(blocks, *cells.shape, far_end, sensed, drivers)


def _sizes(cells: int) -> NDArray[np.int64]:
    """Edges of the leaves along a side of the array."""
    sizes = np.full(-(-cells // _EDGE), _EDGE)
    sizes[-1] = cells - _EDGE * (len(sizes) - 1)
    return sizes


def _paired(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.add.reduceat(sizes, np.arange(0, len(sizes), 2))


@compiled()
def _ports(heights, widths, i, j, keep_top):  # type: ignore[no-untyped-def]
    """Ports of block (i, j): left, bottom, right unless it is the last of its row, top unless nothing is there."""
    right, top = j < len(widths) - 1, keep_top or i < len(heights) - 1
    return heights[i] * (2 if right else 1) + widths[j] * (2 if top else 1)


_CELLS = _EDGE * _EDGE
# Ports of two leaf halves and their joint wires, squared, for each pair: the last merge takes the most.
_LANE_SPACE = max((4 * _EDGE + 2 * _EDGE) ** 2, 16 * _CELLS) * _LANES


@compiled(nogil=True)
def _leaves(cells, along_row, along_column, heights, widths, keep_top, out):  # type: ignore[no-untyped-def]
    """Write the hybrid parameters of the leaves, lower triangles, to ``out``, and return where each begins."""
    where = np.empty((len(heights), len(widths)), np.int64)
    blocks = len(heights) * len(widths)
    one, other = np.empty(_LANE_SPACE), np.empty(_LANE_SPACE)
    place = 0
    for first in range(0, blocks, _LANES):
        count = min(_LANES, blocks - first)
        _single_cells(cells, along_row, along_column, first, count, one)
        a, b = one, other
        side, lanes, height, width = _ZERO + 4, _CELLS * count, _ZERO + 1, _ZERO + 1
        for bit in range(2 * _EDGE_BITS):
            lanes //= 2
            side = _merge_lanes(a, side, b, lanes, height, width, bit % 2 == 1)
            if bit % 2:
                height *= 2
            else:
                width *= 2
            a, b = b, a
        for lane in range(count):
            i, j = (first + lane) // len(widths), (first + lane) % len(widths)
            where[i, j] = place
            n = _ports(heights, widths, i, j, keep_top)
            h, w = heights[i], widths[j]
            kept = np.empty(n, np.int64)
            filled = _run(kept, _ZERO, _ZERO, h)
            filled = _run(kept, filled, _ZERO + _EDGE, w)
            filled = _run(kept, filled, 2 * _EDGE, h if j < len(widths) - 1 else 0)
            _run(kept, filled, 3 * _EDGE, n - filled)
            for p in range(n):
                for q in range(p + 1):
                    out[place + p * n + q] = a[(kept[p] * side + kept[q]) * count + lane]
            place += n * n
    return where


@compiled()
def _single_cells(cells, along_row, along_column, first, count, out):  # type: ignore[no-untyped-def]
    """Hybrid parameters of single cells; pairs that `_merge_lanes` joins lie half the lanes apart."""
    rows, columns = cells.shape
    across = len(along_row) // _EDGE
    lanes = _CELLS * count
    for cell in range(_CELLS):
        i = j = 0
        for bit in range(_EDGE_BITS):
            j |= ((cell >> (2 * _EDGE_BITS - 1 - 2 * bit)) & 1) << bit
            i |= ((cell >> (2 * _EDGE_BITS - 2 - 2 * bit)) & 1) << bit
        for lane in range(count):
            row = (first + lane) // across * _EDGE + i
            column = (first + lane) % across * _EDGE + j
            # Rows count from the amplifier. What pads the array conducts nothing.
            g = cells[rows - 1 - row, column] if row < rows and column < columns else 0.0
            r, c = along_row[column], along_column[row]
            y = g / (1.0 + g * (r + c))
            at = cell * count + lane
            left, bottom, right, top = 0, 1, 2, 3
            out[(left * 4 + left) * lanes + at] = y
            out[(bottom * 4 + left) * lanes + at] = -y
            out[(bottom * 4 + bottom) * lanes + at] = y
            out[(right * 4 + left) * lanes + at] = 1.0 - r * y
            out[(right * 4 + bottom) * lanes + at] = r * y
            out[(right * 4 + right) * lanes + at] = r * (r * y) - r
            out[(top * 4 + left) * lanes + at] = c * y
            out[(top * 4 + bottom) * lanes + at] = 1.0 - c * y
            out[(top * 4 + right) * lanes + at] = -r * (c * y)
            out[(top * 4 + top) * lanes + at] = c * (c * y) - c


@compiled()
def _merge_lanes(src, side, dst, half, height, width, up):  # type: ignore[no-untyped-def]
    """Join the blocks of the first half of the lanes to those of the second, wire by wire; return their ``side``.

    The blocks of h x w cells have the ports left, bottom, right, top, in ``side`` rows, the rest without use; so
    have those that come out.
    For far port f of one and near port n of the other, whose mutual transfer is t, (1 - t) v + Z i = H_f x and
    (1 - t) i - Y v = H_n x give H + H_f i + H_n v for the rest.
    """
    h, w = height, width
    joints = w if up else h
    rest = 2 * (2 * h + w) if up else 2 * (h + 2 * w)
    total = rest + 2 * joints
    block, port = np.empty(total, np.int64), np.empty(total, np.int64)
    filled = 0
    for group in range(4):  # left, bottom, right, top of the block that comes out
        for which in range(2):
            if up and ((group == 1 and which == 1) or (group == 3 and which == 0)):
                continue
            if not up and ((group == 0 and which == 1) or (group == 2 and which == 0)):
                continue
            start = (0, h, h + w, 2 * h + w)[group]
            for q in range(h if group % 2 == 0 else w):
                block[filled], port[filled] = which, start + q
                filled += 1
    for q in range(joints):
        block[rest + q], port[rest + q] = 0, (2 * h + w if up else h + w) + q
        block[rest + joints + q], port[rest + joints + q] = 1, (h if up else 0) + q
    for p in range(total):
        for q in range(p + 1):
            to = (p * total + q) * half
            if block[p] == block[q]:
                high, low = max(port[p], port[q]), min(port[p], port[q])
                at = (high * side + low) * 2 * half + block[p] * half
                for lane in range(half):
                    dst[to + lane] = src[at + lane]
            else:
                for lane in range(half):
                    dst[to + lane] = 0.0
    at_far, at_near = np.empty((total, half)), np.empty((total, half))
    current, voltage = np.empty((total, half)), np.empty((total, half))
    for joint in range(joints):
        far, near = rest + joint, rest + joints + joint
        alive = np.empty(rest + 2 * (joints - joint - 1), np.int64)
        filled = _run(alive, _ZERO, _ZERO, rest)
        filled = _run(alive, filled, far + 1, joints - joint - 1)
        _run(alive, filled, near + 1, joints - joint - 1)
        ff, nf, nn = (far * total + far) * half, (near * total + far) * half, (near * total + near) * half
        for p in alive:
            f, n = (max(far, p) * total + min(far, p)) * half, (max(near, p) * total + min(near, p)) * half
            for lane in range(half):
                a, b = dst[f + lane], dst[n + lane]
                z, y, open_ = -dst[ff + lane], dst[nn + lane], 1.0 - dst[nf + lane]
                inverse = 1.0 / (open_ * open_ + z * y)
                at_far[p, lane], at_near[p, lane] = a, b
                current[p, lane] = (open_ * b + y * a) * inverse
                voltage[p, lane] = (open_ * a - z * b) * inverse
        for p in alive:
            for q in alive:
                if q > p:
                    break
                to = (p * total + q) * half
                for lane in range(half):
                    dst[to + lane] += at_far[p, lane] * current[q, lane] + at_near[p, lane] * voltage[q, lane]
    return total


@compiled(nogil=True)
def _merge_all(src, where, heights, widths, new_heights, new_widths, up, keep_top, dst):  # type: ignore[no-untyped-def]
    """Join blocks two by two, one above the other (``up``) or side by side; one without a partner moves on.

    Returns where each block begins in ``dst``.
    """
    where_to = np.empty((len(new_heights), len(new_widths)), np.int64)
    place = 0
    for i in range(len(new_heights)):
        for j in range(len(new_widths)):
            i_a, j_a = (2 * i, j) if up else (i, 2 * j)
            i_b, j_b = (i_a + 1, j) if up else (i, j_a + 1)
            size_a = _ports(heights, widths, i_a, j_a, keep_top)
            size = _ports(new_heights, new_widths, i, j, keep_top)
            a = src[where[i_a, j_a] : where[i_a, j_a] + size_a * size_a]
            to = dst[place : place + size * size]
            if i_b < len(heights) and j_b < len(widths):
                size_b = _ports(heights, widths, i_b, j_b, keep_top)
                b = src[where[i_b, j_b] : where[i_b, j_b] + size_b * size_b]
                sizes = heights[i_a], heights[i_b], widths[j_a], widths[j_b]
                right, top = j < len(new_widths) - 1, keep_top or i < len(new_heights) - 1
                _merge(
                    a.reshape(size_a, size_a), b.reshape(size_b, size_b), *sizes, up, right, top, to.reshape(size, size)
                )
            else:
                for n in range(size * size):
                    dst[place + n] = src[where[i_a, j_a] + n]
            where_to[i, j] = place
            place += size * size
    return where_to


@compiled()
def _merge(a, b, h_a, h_b, w_a, w_b, up, right, top, out):  # type: ignore[no-untyped-def]
    """Join block b to the far ends of block a: lower triangle of the joint block's hybrid parameters."""
    n_a, n_b = np.empty(len(a), np.int64), np.empty(len(b), np.int64)  # where ports that stay come from
    to = np.empty(len(out), np.int64)  # and go to: those of a, then those of b
    if up:
        joints, far, near = w_a, h_a + w_a + (h_a if right else 0), h_b
        height, width = h_a + h_b, w_a
        r_a = _run(n_a, _ZERO, _ZERO, h_a + w_a)
        r_a = _run(n_a, r_a, h_a + w_a, h_a) if right else r_a
        r_b = _run(n_b, _ZERO, _ZERO, h_b)
        r_b = _run(n_b, r_b, h_b + w_b, len(b) - h_b - w_b)
        t = _run(to, _ZERO, _ZERO, h_a)
        t = _run(to, t, height, width)
        t = _run(to, t, height + width, h_a) if right else t
        t = _run(to, t, h_a, h_b)
        t = _run(to, t, height + width + h_a, h_b) if right else t
        t = _run(to, t, len(out) - width, width) if top else t
    else:
        joints, far, near = h_a, h_a + w_a, 0
        height, width = h_a, w_a + w_b
        r_a = _run(n_a, _ZERO, _ZERO, h_a + w_a)
        r_a = _run(n_a, r_a, 2 * h_a + w_a, w_a) if top else r_a
        r_b = _run(n_b, _ZERO, h_b, len(b) - h_b)
        t = _run(to, _ZERO, _ZERO, height + w_a)
        t = _run(to, t, len(out) - width, w_a) if top else t
        t = _run(to, t, height + w_a, w_b)
        t = _run(to, t, height + width, height) if right else t
        t = _run(to, t, len(out) - w_b, w_b) if top else t
    rest = r_a + r_b
    # left = [H_1 Y; H_2] and right = W [H_1^T, -Z H_2^T], W = (I - (-Z) Y)^-1; the joint block is H + left right.
    wires_a, wires_b = _rows(a, n_a[:r_a], far, joints), _rows(b, n_b[:r_b], near, joints)
    minus_z, y = _square(a, far, joints), _square(b, near, joints)
    factors, pushed = np.zeros((rest, joints)), np.zeros((joints, r_b))
    _add_product(factors, np.ascontiguousarray(wires_a.T), y)
    _add_product(pushed, minus_z, wires_b)
    behind, seen = np.empty((joints, rest)), np.zeros((joints, joints))
    _add_product(seen, -minus_z, y)
    for k in range(joints):
        seen[k, k] += 1.0
        for p in range(r_a):
            behind[k, p] = wires_a[k, p]
        for p in range(r_b):
            factors[r_a + p, k] = wires_b[k, p]
            behind[k, r_a + p] = pushed[k, p]
    _solve_in_place(seen, behind)
    row = np.empty((1, rest))
    for p in range(rest):
        if p < r_a:
            for q in range(p + 1):
                row[0, q] = a[n_a[p], n_a[q]]
        else:
            for q in range(r_a):
                row[0, q] = 0.0
            for q in range(r_a, p + 1):
                row[0, q] = b[n_b[p - r_a], n_b[q - r_a]]
        _add_row(row, _ZERO, p + 1, factors, p, _ZERO, joints, behind)
        d = to[p]
        for q in range(p + 1):
            e = to[q]
            if e <= d:
                out[d, e] = row[0, q]
            else:
                out[e, d] = row[0, q]


@compiled()
def _run(places, filled, first, count):  # type: ignore[no-untyped-def]
    for n in range(count):
        places[filled + n] = first + n
    return filled + count


@compiled()
def _rows(block, ports, first, count):  # type: ignore[no-untyped-def]
    """Rows first .. first + count of a symmetric matrix known by its lower triangle, at some columns."""
    rows = np.empty((count, len(ports)))
    for k in range(count):
        at = first + k
        for p in range(len(ports)):
            rows[k, p] = block[at, ports[p]] if ports[p] < at else block[ports[p], at]
    return rows


@compiled()
def _square(block, first, count):  # type: ignore[no-untyped-def]
    square = np.empty((count, count))
    for p in range(count):
        for q in range(p + 1):
            square[p, q] = square[q, p] = block[first + p, first + q]
    return square


@compiled()
def _add_product(out, left, right):  # type: ignore[no-untyped-def]
    """Add left right to the first rows of ``out``."""
    for i in range(len(left)):
        _add_row(out, i, right.shape[1], left, i, _ZERO, len(right), right)


@compiled()
def _add_row(out, at, count, left, i, first, stop, right):  # type: ignore[no-untyped-def]
    """out[at] += left[i, first:stop] right[first:stop] in the first ``count`` columns, eight terms at a time."""
    eights = stop - (stop - first) % 8
    for k in range(first, eights, 8):
        a, b, c, d = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
        e, f, g, h = left[i, k + 4], left[i, k + 5], left[i, k + 6], left[i, k + 7]
        for j in range(count):
            out[at, j] = (
                out[at, j]
                + a * right[k, j]
                + b * right[k + 1, j]
                + c * right[k + 2, j]
                + d * right[k + 3, j]
                + e * right[k + 4, j]
                + f * right[k + 5, j]
                + g * right[k + 6, j]
                + h * right[k + 7, j]
            )
    for k in range(eights, stop):
        a = left[i, k]
        for j in range(count):
            out[at, j] += a * right[k, j]


@compiled()
def _solve_in_place(matrix, right):  # type: ignore[no-untyped-def]
    """right <- matrix^-1 right, by elimination with the largest element of a column as pivot."""
    n = len(matrix)
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(n):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
            for j in range(right.shape[1]):
                right[k, j], right[pivot, j] = right[pivot, j], right[k, j]
        for i in range(k + 1, n):
            factor = matrix[i, k] / matrix[k, k]
            matrix[i, k] = -factor
            for j in range(k + 1, n):
                matrix[i, j] -= factor * matrix[k, j]
    count = right.shape[1]
    for i in range(1, n):
        _add_row(right, i, count, matrix, i, _ZERO, i, right)
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            matrix[i, k] = -matrix[i, k]
        _add_row(right, i, count, matrix, i, i + 1, n, right)
        inverse = 1.0 / matrix[i, i]
        for j in range(count):
            right[i, j] *= inverse


@compiled(nogil=True)
def _read_off(block, rows, columns, far_end, sensed, drivers):  # type: ignore[no-untyped-def]
    """Write the sensed currents and the drivers' currents per volt of a driver."""
    ports = rows + columns * (2 if far_end > 0 else 1)
    h = block[: ports * ports].reshape(ports, ports)
    far = np.zeros((columns, rows))
    if far_end > 0:
        # The far amplifiers: V = H_f x - Z i = far_end i.
        top = rows + columns
        seen = -_square(h, top, columns)
        for j in range(columns):
            seen[j, j] += far_end
            for i in range(rows):
                far[j, i] = h[top + j, i]
        _solve_in_place(seen, far)
    for i in range(rows):
        for j in range(columns):
            current = far[j, i] - h[rows + j, i]
            if far_end > 0:
                for k in range(columns):
                    current -= h[rows + columns + k, rows + j] * far[k, i]
            sensed[rows - 1 - i, j] = current
        for k in range(i + 1):
            current = h[i, k]
            if far_end > 0:
                for j in range(columns):
                    current += h[rows + columns + j, i] * far[j, k]
            drivers[rows - 1 - i, rows - 1 - k] = drivers[rows - 1 - k, rows - 1 - i] = current
