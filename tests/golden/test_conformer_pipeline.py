"""Timing of graphs on tiles by hand: latency of one frame, interval between frames, copies, attention, utterances.

The chip of tests/graphs.py at a cycle of 10 ns: 16 features are written at a time, 32 inputs of a tile; 32 lanes; words
of 256 bits; 6 adders behind the converters of a tile and 4 behind the planes. Every channel takes a cycle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import chip, frames, graph, tile_keys

from accelsim.execute import execute
from accelsim.pipeline import operate
from accelsim.schedule import build_schedule
from accelsim.simulate import Timeline

CYCLE_PS = 10_000
STEADY = slice(4, 14)
"""Frames between the filling of the pipeline and its end, where nothing is delivered any more."""

LAYERS = [
    "{name: first, op: qlinear, input: features, outputs: 20, weight_bits: 4}",
    "{name: relu, op: relu, input: first}",
    "{name: second, op: qlinear, input: relu, outputs: 5, weight_bits: 4}",
]


def timeline(folder: Path, lengths: list[int], layers: list[str] = LAYERS, **keys: Any) -> Timeline:
    """Run utterances of so many frames back to back; ``keys``: of the chip, with __ for a dot."""
    workload = graph(folder, layers)
    changed = {key.replace("__", "."): value for key, value in keys.items()}
    small = tile_keys(planes=3, clusters=1, digital=())
    quiet = {"components.crossbar.device": "ideal", "components.crossbar.noise": "none", "pacing.mode": "back_to_back"}
    architecture = chip({**small, **quiet, **changed})
    schedule = build_schedule(workload, architecture)
    execution = execute(schedule, workload, architecture, frames(workload, lengths))
    assert execution.starts is not None
    return operate(architecture, schedule, execution.activity, int(execution.starts[-1])).timeline


def test_latency_of_one_frame(tmp_path: Path) -> None:
    """Ten jobs in a row, nine channels between them: 89 + 9 cycles.

    load      12 features, 16 at a time                                                        1
    first     deliver: 12 inputs in a cycle; 12 codes in a word; 24 operations on 32 lanes      1
              read                                                                             1
              convert: 3 planes of 20 columns, shared by 64: one converter does all 60         60
              collect: 20 sums by 4 adders 5; 20 sums of 24 bits are 2 words; 100 operations   5
    relu      20 comparisons                                                                   1
    second    deliver: 20 inputs; 40 operations                                                2
              read                                                                             1
              convert: 3 planes of 5 columns                                                   15
              collect: 5 sums by 4 adders                                                      2
    """
    found = timeline(tmp_path, [1])
    assert found.finished_ps[0] == (1 + 1 + 1 + 60 + 5 + 1 + 2 + 1 + 15 + 2 + 9) * CYCLE_PS


@pytest.mark.parametrize("slower", [1, 2, 7])
def test_the_slowest_stage_sets_the_interval(tmp_path: Path, slower: int) -> None:
    """Converters that take k cycles: 60 k, and one cycle in which the next read comes over; so 60 more for each k."""
    finished = timeline(tmp_path, [24], components__adc__cycles_per_conversion=slower).finished_ps
    assert set(np.diff(finished[STEADY]).tolist()) == {(60 * slower + 1) * CYCLE_PS}


def test_a_stage_that_is_not_the_slowest_changes_the_latency_alone(tmp_path: Path) -> None:
    """Reads of 21 cycles instead of 1: twice 20 cycles later, at the same interval of 61."""
    slower = {"components__crossbar__cycles_per_read": 21}
    plain, one, slow = timeline(tmp_path, [1]), timeline(tmp_path, [1], **slower), timeline(tmp_path, [24], **slower)
    assert one.finished_ps[0] - plain.finished_ps[0] == 2 * 20 * CYCLE_PS
    assert set(np.diff(slow.finished_ps[STEADY]).tolist()) == {61 * CYCLE_PS}


def test_copies_take_turns(tmp_path: Path) -> None:
    """Two copies of the slowest matrix: two frames in 61 cycles."""
    finished = timeline(tmp_path, [24], placement="{first: {copies: 2}}").finished_ps[STEADY]
    assert set((finished[2:] - finished[:-2]).tolist()) == {61 * CYCLE_PS}


CONFORMER = [
    "{name: first, op: qlinear, input: features, outputs: 20, weight_bits: 4}",
    "{name: blocks, op: conformer, input: first, blocks: 1, width: 20, heads: 2, feed_forward: 24, order: [attention], "
    "weight_bits: 4}",
    "{name: second, op: qlinear, input: blocks.0.norm, outputs: 5, weight_bits: 4}",
]


def test_attention_waits_for_its_utterance(tmp_path: Path) -> None:
    """The last of nine frames comes in before the first one goes out, and the next utterance overlaps with it."""
    found = timeline(tmp_path, [9, 9], CONFORMER)
    assert found.arrived_ps[8] < found.finished_ps[0]
    assert found.arrived_ps[9] < found.finished_ps[8], "the second utterance begins before the first one is done"
    assert found.duration_ps < 2 * timeline(tmp_path, [9], CONFORMER).duration_ps


def test_attention_by_hand(tmp_path: Path) -> None:
    """A query of n keys: 2 x 20 n products on 64 units and 2 n exponentials on 4, one after the other.

    Nine keys: ceil(360 / 64) + ceil(18 / 4) = 6 + 5 = 11 cycles; memory: the query 1 word, 9 keys and 9 values of one
    word each and the context of 2 words in 40 banks take 1.
    """
    found = timeline(tmp_path, [9], CONFORMER)
    assert found.job_cycles["blocks.0.attention.heads"] == 9 * 11
