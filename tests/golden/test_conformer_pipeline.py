"""When frames of small graphs on tiles are finished, worked out by hand from service cycles and channel latencies.

All channels have a latency of one cycle, but the one from the converters to the sum: there it is three, so that a sum
does not ask for the vector unit at the same time as the next delivery. Every layer has a cluster of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import IDEAL, ON_TILES, chip, frames, graph, tile_keys, without

from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.pipeline import operate

PERIOD_PS = 10_000  # of the clock, 100 MHz


def ends(
    folder: Path,
    layers: Sequence[str],
    lengths: Sequence[int],
    keys: dict[str, Any],
    *,
    bands: int,
    clusters: int,
    engine: bool = True,
) -> np.ndarray:
    """Return the cycle in which each frame is finished; frames come as soon as there is room."""
    changed = {
        **tile_keys(planes=3, clusters=clusters), **IDEAL,
        "placement": f"{{{ON_TILES}}}", "pacing.mode": "back_to_back",
        "components.activations.banks": 4 * clusters, "channels.11.latency": 3, **keys,
    }  # fmt: skip
    architecture = chip(changed) if engine else without(chip(changed), "attention")
    assert architecture.spec.channels[11].name() == "adc->accumulator"
    workload = graph(folder, layers, bands=bands)
    deployment = deploy(workload, architecture)
    activity = execute(deployment, frames(workload, lengths)).activity
    timeline = operate(architecture, deployment.schedule, activity, sum(lengths)).timeline
    assert (timeline.finished_ps % PERIOD_PS == 0).all()
    return timeline.finished_ps // PERIOD_PS


CHAIN = [
    "{name: a, op: relu, input: features}",
    "{name: b, op: silu, input: a}",
    "{name: y, op: linear, input: b, outputs: 10, weight_bits: 4}",
]
"""32 features. Cycles of a frame, each the slowest of those at work:

load     32 features, 16 a cycle                                                              2
a        32 comparisons on 32 lanes: 1; 32 x 16 bits are 2 words for 4 banks: 1               1
b        32 sums on 32 lanes: 1, and 64 exponentials and quotients on 8: 8; 4 words: 1        9
deliver  32 codes, 32 a cycle: 1; 256 bits on the bus: 1; 64 operations: 2; 2 words: 1        2
read     one, and sampled                                                                     1
convert  10 outputs x 3 planes = 30 by one converter: 30; 30 sums by 6 adders: 5             30
collect  10 sums by 4 adders: 3; 240 bits: 1; 20 operations: 1; 1 word: 1                     3
"""


def chain(folder: Path, frames_: int, keys: dict[str, Any] | None = None) -> np.ndarray:
    return ends(folder, CHAIN, [frames_], keys or {}, bands=32, clusters=3)


def test_a_frame_alone(tmp_path: Path) -> None:
    """Service and latency, one after the other."""
    by_hand = (2 + 1) + (1 + 1) + (9 + 1) + (2 + 1) + (1 + 1) + (30 + 3) + 3
    assert chain(tmp_path, 1).tolist() == [by_hand]


@pytest.mark.parametrize(
    ("keys", "interval"),
    [
        # The next sums are held back until the converter has done with the last ones, and seen a cycle later.
        ({}, 30 + 1),
        ({"components.adc.cycles_per_conversion": 2}, 60 + 1),
        ({"components.adc.shared_by": 20, "components.adc.units": 10}, 20 + 1),
        ({"components.adc.shared_by": 19, "components.adc.units": 11}, 19 + 1),
        ({"components.shift_add.units": 1, "components.shift_add.adds_per_cycle": 1}, 30 + 1),
        ({"components.crossbar.cycles_per_read": 30}, 30 + 1),
        ({"components.crossbar.cycles_per_read": 33}, 33 + 1),
        # With room for two frames' sums they are there when the converter is free.
        ({"channels.9.capacity": 2}, 30),
        # Few conversions: then b is the slowest, whose next operands wait in its channel.
        ({"components.adc.shared_by": 8, "components.adc.units": 24}, 9),
        ({"components.adc.shared_by": 9, "components.adc.units": 22}, 9 + 1),
        ({"components.adc.shared_by": 4, "components.adc.units": 48}, 9),
        (
            {"components.adc.shared_by": 4, "components.adc.units": 48, "components.vector.cycles_per_special": 3},
            1 + 24,
        ),
    ],
)
def test_the_slowest_stage_sets_the_interval(tmp_path: Path, keys: dict[str, Any], interval: int) -> None:
    finished = chain(tmp_path, 80, keys)
    assert np.diff(finished)[40:70].tolist() == [interval] * 30


@pytest.mark.parametrize(("copies", "frames_", "cycles"), [(1, 2, 62), (2, 2, 31), (3, 3, 31), (4, 4, 4 * 9)])
def test_copies_divide_the_interval(tmp_path: Path, copies: int, frames_: int, cycles: int) -> None:
    """Each copy converts 30 cycles for its frames, so that as many frames as copies take 31: until b's 9 are more."""
    finished = chain(tmp_path, 80, {"placement": f"{{{ON_TILES}, y: {{copies: {copies}}}}}"})
    assert (finished[50 + frames_ : 70] - finished[50 : 70 - frames_]).tolist() == [cycles] * (20 - frames_)


ATTENTION = [
    "{name: qkv, op: linear, input: features, outputs: 12, weight_bits: 4}",
    "{name: heads, op: attention, input: qkv, heads: 1}",
]
"""12 features. load, deliver and read take 1 cycle each, convert 12 x 3 = 36, collect 3: of 12 sums on 4 adders.

Frame n is converted from cycle 6 + 37 n until 42 + 37 n, and its sums are there 3 + 3 cycles later, at 48 + 37 n.

A query of width 4 over L frames: 8 L products on m units, L exponentials on 4, one after the other; and 1 + 2 L words
read and 1 written in 4 banks. Of 5 frames on 64 units: 1 + 2 = 3, and 12 / 4 = 3; of 3 frames 1 + 1 = 2, and 2.
On a single unit: 40 + 2 = 42, and 24 + 1 = 25.
"""


def attention(folder: Path, lengths: Sequence[int], keys: dict[str, Any] | None = None) -> list[int]:
    return ends(folder, ATTENTION, lengths, keys or {}, bands=12, clusters=2).tolist()


def test_attention_waits_for_the_last_frame_of_its_utterance(tmp_path: Path) -> None:
    for frames_, query in ((5, 3), (3, 2)):
        last_seen = 48 + 37 * (frames_ - 1) + 1
        assert attention(tmp_path, [frames_]) == [last_seen + query * (t + 1) for t in range(frames_)]


def test_two_utterances_overlap(tmp_path: Path) -> None:
    """While one is attended over, the frames of the next are multiplied.

    On 64 units the first one's queries end at 197 + 5 x 3, long before the second's last frame is seen, at 308. On a
    single unit they last until 197 + 5 x 42 = 407, and all of the second is there by then.
    """
    quick = [197 + 3 * (t + 1) for t in range(5)] + [48 + 37 * 7 + 1 + 2 * (t + 1) for t in range(3)]
    assert attention(tmp_path, [5, 3]) == quick
    slow = [197 + 42 * (t + 1) for t in range(5)] + [407 + 25 * (t + 1) for t in range(3)]
    assert attention(tmp_path, [5, 3], {"components.attention.macs": 1}) == slow


def test_without_room_for_a_second_utterance_it_waits(tmp_path: Path) -> None:
    """Five slots, all taken until 407. The first sums of the second utterance, there since 233, are let go then; the
    second ones are collected in 3 cycles, at 410; the third, held back in the converter until that slot is free, are
    seen by the sum at 413, collected at 416, and seen at 417.
    """
    keys = {"components.attention.macs": 1, "components.attention.frames": 5, "channels.4.capacity": 1}
    slow = [197 + 42 * (t + 1) for t in range(5)] + [417 + 25 * (t + 1) for t in range(3)]
    assert attention(tmp_path, [5, 3], keys) == slow


@pytest.mark.parametrize("engine", [True, False])
@pytest.mark.parametrize(("taps", "ahead"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2)])
def test_a_convolution_waits_for_the_frames_ahead(tmp_path: Path, taps: int, ahead: int, engine: bool) -> None:
    """y[t] reads x[t - taps // 2] .. x[t + (taps - 1) // 2], or what there is of it. A frame comes every 4,000 cycles.

    Of the last frame that it reads: load 1, deliver 1, read 1, convert 12 x 3, collect 3, and latencies 1, 1, 1, 3. The
    last few have all that they need at the same time, and follow each other by 37 cycles. No attention is needed.
    """
    layers = [f"{{name: y, op: depthwise, input: features, taps: {taps}, weight_bits: 4}}"]
    keys = {"pacing.mode": "real_time", "pacing.frame_period": "40 us"}
    finished = ends(tmp_path, layers, [6], keys, bands=12, clusters=1, engine=engine)
    by_hand = [4_000 * min(t + ahead, 5) + 48 + 37 * max(t + ahead - 5, 0) for t in range(6)]
    assert finished.tolist() == by_hand
