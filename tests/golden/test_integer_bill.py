"""What an integer network costs on a digital array, counted by hand: products, requantisations, words in memory.

12 features a row. `a`: 12 bands of 2 channels from 3 x 3 taps; `d`: channels for themselves, each read by two, 2 bands
at a time: 6 bands of 4; `s`: their sum; `p`: a softmax of each band; `y`: 5 sigmoids of a matrix.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from graphs import chip, graph

from accelsim.testing import Ran, run_small

CODES, SHARE = "output: {scale: 0.05, zero_point: -3}", "output: {scale: 0.00390625, zero_point: -128}"
LAYERS = [
    f"{{name: a, op: conv, input: features, channels: 2, padding: [[2, 0], [1, 1]], {CODES}}}",
    f"{{name: d, op: conv, input: a, channels: 4, kernel: [1, 2], stride: [1, 2], depthwise: true, "
    f"padding: [[0, 0], [0, 0]], {CODES}}}",
    f"{{name: s, op: add, input: a, residual: d, {CODES}}}",
    f"{{name: p, op: softmax, input: s, {SHARE}}}",
    f"{{name: l, op: linear, input: p, outputs: 5, {CODES}}}",
    f"{{name: y, op: sigmoid, input: l, {SHARE}}}",
]
ROWS = 8


def counted(ran: Ran, component: str, name: str) -> dict[str, int]:
    """Return a count over all rows, by the op whose job it is."""
    found: dict[str, int] = {}
    for engine, job in ran.jobs("digital"):
        counts, _ = ran.runs[engine.name].count(job, ran.grid)
        if name in counts.get(component, {}):
            found[job.layer] = int(counts[component][name].sum())
    return found


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    return run_small(graph(tmp_path, LAYERS), chip({}, "conformer_digital28"), (ROWS - 3, 3))


def test_products(ran: Ran) -> None:
    """12 bands x 9 taps x 2; 6 bands x 2 taps x 4 channels; 24 x 5. The zero points are in the bias: no product."""
    assert counted(ran, "array", "mac") == {"a": ROWS * 216, "d": ROWS * 48, "l": ROWS * 120}


def test_operations(ran: Ran) -> None:
    """Of a sum 4: bias, product, rounding shift, zero point. What is read is a code already: none.

    Of an addition 12, of a softmax 38 and 1 / sum once a band (6), of a sigmoid 57: see the ops.
    """
    wanted = {"a": 4 * 24, "d": 4 * 24, "s": 12 * 24, "p": 38 * 24, "l": 4 * 5, "y": 57 * 5}
    assert counted(ran, "vector", "operation") == {name: ROWS * one for name, one in wanted.items()}
    assert counted(ran, "vector", "special") == {"a": 0, "d": 0, "s": 0, "p": ROWS * 6, "l": 0, "y": 0}


def test_a_table_is_one_special_function(tmp_path: Path) -> None:
    """As LiteRT has it: 6 operations of a share, one look-up, and 1 / sum once a band; of a sigmoid the look-up."""
    network = graph(tmp_path, [layer.replace("output:", "rounding: double_up, output:") for layer in LAYERS])
    ran = run_small(network, chip({}, "conformer_digital28"), (ROWS,))
    operations, special = counted(ran, "vector", "operation"), counted(ran, "vector", "special")
    assert (operations["p"], special["p"]) == (ROWS * 6 * 24, ROWS * (24 + 6))
    assert (operations["y"], special["y"]) == (0, ROWS * 5)


def test_words_in_memory(ran: Ran) -> None:
    """A code is 8 bits: 24 codes are 192 bits, and 5 are 40. Features come from registers of their own."""
    width = ran.deployment.chip.components()["activations"].width_bits  # type: ignore[attr-defined]
    row, last = -(-192 // width), -(-40 // width)
    read = {"a": 0, "d": row, "s": 2 * row, "p": row, "l": row, "y": last}
    written = {"a": row, "d": row, "s": row, "p": row, "l": last, "y": last}
    assert counted(ran, "activations", "read") == {name: ROWS * one for name, one in read.items()}
    assert counted(ran, "activations", "write") == {name: ROWS * one for name, one in written.items()}
