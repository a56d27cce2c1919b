"""A systolic array register by register: every cycle each PE sees what its neighbours held in the cycle before.

It computes the product, counts what moves, and ends when the last sum has come out. A word of the padding is None: a
zero whose registers are gated.
"""

from __future__ import annotations

from collections import Counter
from itertools import product


class Line:
    """Registers in a row: a word comes out so many cycles after it went in."""

    def __init__(self, length):
        self.held = [None] * length

    def step(self, word):
        self.held.append(word)
        return self.held.pop(0)


def weight_stationary(x, w, rows, columns, keep, double_buffered):
    """Return the product, and a Counter of cycles and actions. ``keep``: accumulators below each column."""
    m, k, n = len(x), len(w), len(w[0])
    down, across = -(-k // rows), -(-n // columns)
    height = keep if down > 1 else m
    tiles = [
        (range(j, min(j + height, m)), a, b) for j in range(0, m, height) for b in range(across) for a in range(down)
    ]
    out, counts = [[None] * n for _ in range(m)], Counter()
    accumulators = [[None] * columns for _ in range(height)]

    active = [[None] * columns for _ in range(rows)]
    spare = active if not double_buffered else [[None] * columns for _ in range(rows)]
    inputs = [[None] * columns for _ in range(rows)]
    sums = [[None] * columns for _ in range(rows)]
    left = [Line(i) for i in range(rows)]  # row i of the inputs is i cycles late
    top = [Line(c if double_buffered else 0) for c in range(columns)]
    arrived = [[0, 0] for _ in range(columns)]  # tile and row of the next sum at the bottom of each column

    def weight(tile, i, c):
        _, a, b = tiles[tile]
        row, column = a * rows + i, b * columns + c
        return w[row][column] if row < k and column < n else None

    def used(tile, i, c):
        return weight(tile, i, c) is not None

    loading = streaming = 0  # tiles: the one whose weights are on their way, the one whose inputs are
    loaded = streamed = 0  # rows of them that went in
    started = -1  # the last tile whose inputs began
    cycle = 0
    while any(tile < len(tiles) for tile, _ in arrived):
        emptied = min(tile for tile, _ in arrived)
        # The sequencer: one row of weights at the top, one row of inputs at the left.
        stream = (
            streaming < len(tiles)
            and (streamed > 0 or (loading > streaming and started == streaming - 1))
        )  # fmt: skip
        if stream and streamed == 0:
            started = streaming
        may_load = started >= loading - 1 if double_buffered else emptied >= loading
        load = loading < len(tiles) and (loaded > 0 or may_load)
        row_of_weights = None
        if load:
            row_of_weights = [(loaded, weight(loading, rows - 1 - loaded, c)) for c in range(columns)]
            counts["stream"] += sum(word is not None for _, word in row_of_weights)
        row_of_inputs = None
        if stream:
            rows_of, a, _ = tiles[streaming]
            at = [a * rows + i for i in range(rows)]
            row_of_inputs = [x[rows_of[streamed]][q] if q < k else None for q in at]
            counts["stream"] += sum(word is not None for word in row_of_inputs)

        # What is at the edges in this cycle.
        enters_left = [
            left[i].step(None if row_of_inputs is None else (row_of_inputs[i], streamed == 0, streaming))
            for i in range(rows)
        ]
        enters_top = [top[c].step(None if row_of_weights is None else row_of_weights[c]) for c in range(columns)]

        new_active = [list(r) for r in active]
        new_spare = new_active if not double_buffered else [list(r) for r in spare]
        new_inputs, new_sums = [list(r) for r in inputs], [list(r) for r in sums]
        for i, c in product(range(rows), range(columns)):
            signal = enters_left[i] if c == 0 else inputs[i][c - 1]
            new_inputs[i][c] = signal
            above = None if i == 0 else sums[i - 1][c]
            if signal is None:
                new_sums[i][c] = None
            else:
                word, first, tile = signal
                if first and double_buffered:
                    new_active[i][c] = spare[i][c]
                held = new_active[i][c] if double_buffered else active[i][c]
                column_used = used(tile, 0, c)
                if word is not None and held is not None:
                    counts["mac"] += 1
                    new_sums[i][c] = (above or 0) + word * held
                else:
                    new_sums[i][c] = above
                    counts["drain"] += column_used
                if i == rows - 1:  # out at the bottom, into the accumulators in the same cycle
                    tile, j = arrived[c]
                    rows_of, a, b = tiles[tile]
                    if column_used:
                        total = new_sums[i][c]
                        if a > 0:
                            total += accumulators[j][c]
                        if a < down - 1:
                            accumulators[j][c] = total
                            counts["accumulate"] += 1
                        else:
                            out[rows_of[j]][b * columns + c] = total
                    arrived[c] = [tile, j + 1] if j + 1 < len(rows_of) else [tile + 1, 0]
            # Weights: in step s of a load, the rows 0 .. s take over from above.
            if enters_top[c] is not None and i <= enters_top[c][0]:
                new_spare[i][c] = enters_top[c][1] if i == 0 else spare[i - 1][c]
                counts["load"] += new_spare[i][c] is not None
        active, inputs, sums = new_active, new_inputs, new_sums
        spare = active if not double_buffered else new_spare

        if load:
            loaded += 1
            if loaded == rows:
                loading, loaded = loading + 1, 0
        if stream:
            streamed += 1
            if streamed == len(tiles[streaming][0]):
                streaming, streamed = streaming + 1, 0
        cycle += 1
    counts["cycles"] = cycle
    return out, counts


def output_stationary(x, w, rows, columns, double_buffered, every=None):
    """Return the product, and a Counter of cycles and actions. ``every``: cycles from one tile to the next."""
    m, k, n = len(x), len(w), len(w[0])
    tiles = list(product(range(-(-m // rows)), range(-(-n // columns))))
    every = every or max(k, rows)
    out, counts = [[None] * n for _ in range(m)], Counter()

    inputs = [[None] * columns for _ in range(rows)]
    weights = [[None] * columns for _ in range(rows)]
    sums = [[None] * columns for _ in range(rows)]
    second = [[None] * columns for _ in range(rows)]
    left, top = [Line(i) for i in range(rows)], [Line(c) for c in range(columns)]
    shifting = [None] * columns  # the step of a column's shift out
    finished = [0] * columns  # tiles that have been shifted out of a column
    finished_pes = Counter()

    streaming = streamed = 0
    begun = -every
    cycle = 0
    while any(tile < len(tiles) for tile in finished):
        empty = min(finished) == streaming
        ready = cycle >= begun + every if double_buffered else empty
        stream = streaming < len(tiles) and (streamed > 0 or ready)
        row_of_inputs = row_of_weights = None
        if stream:
            if streamed == 0:
                begun = cycle
            a, b = tiles[streaming]
            at_left = [a * rows + i for i in range(rows)]
            at_top = [b * columns + c for c in range(columns)]
            row_of_inputs = [(x[i][streamed] if i < m else None, streamed, streaming) for i in at_left]
            row_of_weights = [w[streamed][c] if c < n else None for c in at_top]
            counts["stream"] += sum(word is not None for word, *_ in row_of_inputs)
            counts["stream"] += sum(word is not None for word in row_of_weights)
        enters_left = [left[i].step(row_of_inputs and row_of_inputs[i]) for i in range(rows)]
        enters_top = [top[c].step(row_of_weights and row_of_weights[c]) for c in range(columns)]

        new_inputs, new_weights = [list(r) for r in inputs], [list(r) for r in weights]
        new_sums, new_second = [list(r) for r in sums], [list(r) for r in second]
        # Columns that are shifted out: in step s the rows after s take over from above, and the bottom leaves.
        chain, new_chain = (second, new_second) if double_buffered else (sums, new_sums)
        for c in range(columns):
            step = shifting[c]
            if step is None:
                continue
            a, b = tiles[finished[c]]
            for i in range(step + 1, rows):
                new_chain[i][c] = chain[i - 1][c]
            for i in range(step, rows):
                counts["drain"] += chain[i][c] is not None
            row, column = a * rows + rows - 1 - step, b * columns + c
            if row < m and column < n:
                out[row][column] = chain[rows - 1][c]
            shifting[c] = step + 1 if step + 1 < rows else None
            finished[c] += step + 1 == rows
        for i, c in product(range(rows), range(columns)):
            signal = enters_left[i] if c == 0 else inputs[i][c - 1]
            weight = enters_top[c] if i == 0 else weights[i - 1][c]
            new_inputs[i][c], new_weights[i][c] = signal, weight
            if signal is None:
                continue
            word, q, tile = signal
            total = None
            if word is not None and weight is not None:
                counts["mac"] += 1
                counts["load"] += 1
                total = (0 if q == 0 else sums[i][c]) + word * weight
            new_sums[i][c] = total
            if q == k - 1:
                if double_buffered:
                    new_second[i][c] = total
                finished_pes[tile] += 1
                if double_buffered and i == rows - 1:
                    assert shifting[c] is None, "a column is still being shifted out"
                    shifting[c] = 0
        if not double_buffered and finished_pes[finished[0]] == rows * columns:
            finished_pes[finished[0]] = 0
            shifting = [0] * columns
        inputs, weights, sums, second = new_inputs, new_weights, new_sums, new_second

        if stream:
            streamed += 1
            if streamed == k:
                streaming, streamed = streaming + 1, 0
        cycle += 1
    counts["cycles"] = cycle
    return out, counts
