"""Plans of a chunk: what finds room in L2, what moves over LPDDR and whether the schedule moves just that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from graphs import Streaming, chip, graph, streaming
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from accelsim.engines.deploy import deploy
from accelsim.engines.npu.planner import Chunk, Group, Plan, lpddr_bits, plan, sizes
from accelsim.errors import InputError
from accelsim.ops.activation import ReluOp
from accelsim.ops.attention import AttentionOp
from accelsim.ops.graph import Graph
from accelsim.ops.linear import LinearOp
from accelsim.ops.op import Edge, Op, WeightedOp
from accelsim.schedule import Schedule
from accelsim.workload import Workload

BITS = 16
"""Of every tensor but the features, which have 8."""


@st.composite
def streams(draw: st.DrawFn) -> Streaming:
    """Draw a network whose chunks have few divisors, or many."""
    shape = draw(streaming())
    chunk = draw(st.sampled_from([shape.chunk, 6, 12]))
    return replace(shape, chunk=chunk, left=max(shape.left, chunk))


def crowded(rows: int, **keys: Any) -> dict[str, Any]:
    """Return the keys of a chip with ``rows`` x 96 bits for tensors, and enough for weights (32 x that) unless said."""
    return {"components.l2.banks": 67, "components.l2.weight_banks": 64, "components.l2.width_bits": 32,
            "components.l2.rows": rows, **{f"compiler.{key}": value for key, value in keys.items()}}  # fmt: skip


def scheduled(workload: Workload, keys: dict[str, Any]) -> Schedule:
    """Return the schedule, and leave out the chips that are too small for any."""
    try:
        return deploy(workload, chip(keys, "edge_npu")).schedule
    except InputError as error:
        said = ("scores", "position vectors", "weights of one output")
        assert all(any(f"the {what} of layer" in str(problem) for what in said) for problem in error.problems)
        reject()


def moved(schedule: Schedule) -> int:
    """Return the bits that the jobs move over LPDDR: weights, of the CPU's layers too, and what streams."""
    bits = 0
    for job in schedule.jobs:
        if job.work.row()["stage"] in ("load", "fallback"):
            bits += int(job.work.row()["weight_bits"])
        bits += int(job.work.row().get("spill_in", 0)) + int(job.work.row().get("spill_out", 0))
    return bits


def multiplications(workload: Workload, chunk: int) -> dict[str, int]:
    """Return the multiplications of a chunk, layer by layer, from the shapes of the graph alone."""
    network, found = workload.graph, {}
    for op in network.ops:
        given = network.edges[op.name]
        made = chunk * network.given.stride // given.stride
        if given.distances:
            continue
        if isinstance(op, AttentionOp):  # queries by keys, by values, and by the vectors of all distances seen
            seen = op.left + chunk
            found[op.name] = made * given.width * (2 * seen + (0 if op.positions is None else seen + chunk - 1))
        elif isinstance(op, WeightedOp):
            per_row = math.prod(op.shapes(network.read(op))["weight"])
            found[op.name] = made * per_row * (given.bands if op.op == "conv" else 1)
    return found


KEYS = st.fixed_dictionaries(
    {
        "layout": st.sampled_from(["BC1S", "BSC"]),
        "attention": st.sampled_from(["einsum", "batched"]),
    }
)


@settings(max_examples=100, deadline=None)
@given(streams(), st.integers(1, 400), KEYS)
def test_laws_of_a_plan(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, rows: int, keys: dict[str, Any]
) -> None:
    """Room is kept; without splits nothing is in pieces; splits never move more; jobs move what the plan says."""
    workload = graph(tmp_path_factory.mktemp("plan"), shape.layers(), bands=shape.bands)
    split = scheduled(workload, crowded(rows, split=True, **keys))
    for schedule in (split, whole := scheduled(workload, crowded(rows, split=False, **keys))):
        made = schedule.plan
        assert made is not None
        assert made.room_bits == 96 * rows
        assert 0 < made.peak_bits <= made.room_bits
        assert moved(schedule) == made.lpddr_bits
        assert made.lpddr_bits >= made.weight_bits
        if not made.spilled and made.state_in_l2 and not made.pieces:
            assert made.lpddr_bits == made.weight_bits
        assert made.state_in_l2 or made.lpddr_bits > made.weight_bits
        assert all(2 <= pieces <= shape.chunk and shape.chunk % pieces == 0 for pieces in made.pieces.values())
    assert split.plan is not None and whole.plan is not None
    assert not whole.plan.pieces
    assert split.plan.lpddr_bits <= whole.plan.lpddr_bits


@settings(max_examples=100, deadline=None)
@given(streams(), st.integers(1, 400), st.integers(1, 32), KEYS)
def test_pieces_and_blocks_do_all_the_work(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, rows: int, banks: int, keys: dict[str, Any]
) -> None:
    """Multiplications are those of the whole graph, however it is cut, and every block of weights fits its half."""
    workload = graph(tmp_path_factory.mktemp("work"), shape.layers(), bands=shape.bands)
    few = {"components.l2.banks": 2 * banks + 3, "components.l2.weight_banks": 2 * banks}
    schedule = scheduled(workload, {**crowded(rows, split=True, **keys), **few})
    found: dict[str, int] = {}
    loaded: dict[str, int] = {}
    for job in schedule.jobs:
        if "m" in job.work.row():
            m, k, n, times = (int(job.work.row()[key]) for key in ("m", "k", "n", "times"))
            found[job.layer] = found.get(job.layer, 0) + m * k * n * times
        elif job.work.row()["stage"] == "load":
            loaded[job.layer] = loaded.get(job.layer, 0) + int(job.work.row()["weight_bits"])
            if "l2[2]" not in job.members():
                assert int(job.work.row()["weight_bits"]) <= banks * rows * 32, job.name
    assert schedule.plan is not None
    on_cpu = set(schedule.plan.on_cpu)
    expected = multiplications(workload, shape.chunk)
    assert found == {name: macs for name, macs in expected.items() if name not in on_cpu}
    for op in workload.graph.ops:  # a layer's weights come whole, as often as its group says
        if isinstance(op, WeightedOp) and op.name in loaded:
            bits = op.weight_bits * math.prod(op.shapes(workload.graph.read(op))["weight"])
            assert loaded[op.name] % bits == 0 and loaded[op.name] > 0


# A planner of one's own

Sizes = tuple[list[int], list[int]]
"""Bits of the tensors between the ops of a chain, features first, and of the ops' weights."""


@st.composite
def chains(draw: st.DrawFn) -> tuple[Chunk, Sizes, int, int]:
    """Draw a chain of two to four ops: chunk, sizes, rows of a chunk, room for tensors."""
    frames = draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
    width = features = draw(st.integers(1, 12))
    tensors, weights, ops, before = [8 * width * frames], [], [], "features"
    for place in range(draw(st.integers(2, 4))):
        name = f"o{place}"
        if draw(st.integers(0, 2)):
            outputs = draw(st.integers(1, 12))
            ops.append(linear(name, before, outputs))
            weights.append(width * outputs * 16)
            width = outputs
        else:
            ops.append(ReluOp(op="relu", name=name, input=before))
            weights.append(0)
        tensors.append(BITS * width * frames)
        before = name
    chunk = of_chain(ops, features, frames)
    assert [*chunk.tensors.values()] == tensors and [*chunk.weights.values()] == weights
    return chunk, (tensors, weights), frames, draw(st.integers(1, sum(tensors)))


def linear(name: str, before: str, outputs: int) -> LinearOp:
    return LinearOp(op="linear", name=name, input=before, outputs=outputs, weight_bits=16)


def of_chain(ops: Sequence[Op], features: int, frames: int) -> Chunk:
    network = Graph.of(ops, Edge(features, kind="codes", bits=8))
    return sizes(network, ops, frames, {"features": 8, **{op.name: BITS for op in ops}})


def traffic(tensors: Sequence[int], spilled: Sequence[int] | frozenset[int]) -> int:
    """Return what spilled tensors of a chain move: features come once, all others go, and come but for the last."""
    return sum(tensors[i] * ((i > 0) + (i < len(tensors) - 1)) for i in spilled)


def in_pieces(chain: Sizes, first: int, last: int, pieces: int, away: frozenset[int], room: int) -> Iterator[int]:
    """Yield the bits of weights that a group moves in so many pieces, where L2 has room: loaded anew, or held."""
    tensors, weights = chain
    around = sum(tensors[i] for i in (first, last + 1) if i not in away)
    inside = max(sum(tensors[i] for i in (op, op + 1) if first < i <= last) for op in range(first, last + 1))
    own = sum(weights[first : last + 1])
    need = around + -(-inside // pieces)
    if need <= room:
        yield own * pieces
    if need + own <= room:
        yield own


def least_by_the_rule(chain: Sizes, frames: int, room: int, *, split: bool) -> int:
    """Return the fewest bits over all cuts and all pieces; an op that finds no room spills its largest operand."""
    tensors, weights = chain

    def ways(first: int, last: int, away: frozenset[int]) -> Iterator[tuple[int, frozenset[int]]]:
        gone = set(away)
        for op in range(first, last + 1):
            live = [i for i in (op, op + 1) if i not in gone]
            while sum(tensors[i] for i in live) > room:
                largest = max(live, key=lambda i: (tensors[i], "features" if i == 0 else f"o{i - 1}"))
                live.remove(largest)
                gone.add(largest)
        yield sum(weights[first : last + 1]), frozenset(gone)
        for pieces in range(2, frames + 1 if split else 2):
            if frames % pieces == 0:
                yield from ((bits, away) for bits in in_pieces(chain, first, last, pieces, away, room))

    def from_op(first: int, away: frozenset[int]) -> Iterator[int]:
        if first == len(weights):
            yield traffic(tensors, away)
        for last in range(first, len(weights)):
            for bits, gone in ways(first, last, away):
                yield from (bits + rest for rest in from_op(last + 1, gone))

    return min(from_op(0, frozenset()))


def least_of_all(chain: Sizes, frames: int, room: int) -> int:
    """Return the fewest bits over all cuts, all pieces, and all sets of tensors that could be spilled."""
    tensors, weights = chain
    found = []
    for chosen in range(1 << len(tensors)):
        away = frozenset(i for i in range(len(tensors)) if chosen >> i & 1)

        def from_op(first: int, away: frozenset[int] = away) -> Iterator[int]:
            if first == len(weights):
                yield traffic(tensors, away)
            for last in range(first, len(weights)):
                options = []
                if first == last and sum(tensors[i] for i in (first, first + 1) if i not in away) <= room:
                    options.append(weights[first])
                if not away & set(range(first + 1, last + 1)):
                    for pieces in range(2, frames + 1):
                        if frames % pieces == 0:
                            options += in_pieces(chain, first, last, pieces, away, room)
                if options:
                    yield from (min(options) + rest for rest in from_op(last + 1))

        found += from_op(0)
    return min(found)


@settings(max_examples=400, deadline=None)
@given(chains(), st.booleans())
def test_traffic_is_the_least(drawn: tuple[Chunk, Sizes, int, int], split: bool) -> None:
    """As one who tries every cut finds it; and never below what one finds who may spill whatever he likes."""
    chunk, chain, frames, room = drawn
    made = plan(chunk, room, split=split)
    assert lpddr_bits(chunk, made) == least_by_the_rule(chain, frames, room, split=split)
    assert lpddr_bits(chunk, made) >= least_of_all(chain, frames, room)
    assert made.peak_bits <= room
    assert [group.first for group in made.groups] == [0, *(group.last + 1 for group in made.groups[:-1])]
    assert made.groups[-1].last == len(chunk.ops) - 1


# By hand. Features of 2 bytes a row, then 16, 16 and 2 values of 16 bits; 4 rows a chunk:
# tensors 64, 1024, 1024, 128 bits; weights 2 x 16, 16 x 16 and 16 x 2 values: 512, 4096, 512 bits.


def by_hand() -> Chunk:
    ops = [linear("a", "features", 16), linear("b", "a", 16), linear("c", "b", 2)]
    chunk = of_chain(ops, 2, 4)
    assert chunk.tensors == {"features": 64, "a": 1024, "b": 1024, "c": 128}
    assert chunk.weights == {"a": 512, "b": 4096, "c": 512}
    return chunk


def test_a_chain_that_fits_by_hand() -> None:
    """b reads 1024 bits and makes 1024: 2048 are needed, and one bit less is too few."""
    chunk = by_hand()
    assert plan(chunk, 2048, split=True) == Plan((Group(0, 2),), frozenset(), True, 2048)
    assert lpddr_bits(chunk, plan(chunk, 2048, split=True)) == 5120
    assert plan(chunk, 2047, split=False).spilled == {"b"}


def test_a_chain_that_spills_by_hand() -> None:
    """Of a and b, alike, the one whose name is last goes: b, out once and in once, 2 x 1024 bits.

    In less than 1088 bits a goes when it is made, and b for c, 1152 bits, or when it is made. In less than 64 nothing
    stays: features are read where they come from, and what c gives is written where it is read.
    """
    chunk = by_hand()
    made = plan(chunk, 1100, split=False)
    assert made == Plan((Group(0, 2),), frozenset({"b"}), True, 1152 - 64)  # features and a
    assert lpddr_bits(chunk, made) == 5120 + 2048
    made = plan(chunk, 1087, split=False)
    assert made.spilled == {"a", "b"} and made.peak_bits == 1024 and lpddr_bits(chunk, made) == 5120 + 4096
    made = plan(chunk, 1000, split=False)
    assert made.spilled == {"a", "b"} and made.peak_bits == 128 and lpddr_bits(chunk, made) == 5120 + 4096
    made = plan(chunk, 63, split=False)
    assert made == Plan((Group(0, 2),), frozenset({"features", "a", "b", "c"}), True, 0)
    assert lpddr_bits(chunk, made) == 5120 + 4096 + 64 + 128


def test_a_chain_in_pieces_by_hand() -> None:
    """The same chain with 64 rows a chunk: tensors 1024, 16384, 16384 and 2048 bits, whole it takes 32768.

    Features and what c gives stay whole, 3072 bits, of a and b there is a piece at a time, and weights, if they are
    held, take 5120.
    """
    ops = [linear("a", "features", 16), linear("b", "a", 16), linear("c", "b", 2)]
    chunk = of_chain(ops, 2, 64)
    assert plan(chunk, 32768, split=True).groups == (Group(0, 2),)
    # Two pieces, held: 3072 + 32768 / 2 + 5120 = 24576 bits, and no bit moves that did not before.
    two = Plan((Group(0, 2, 2, held=True),), frozenset(), True, 24576)
    assert plan(chunk, 32767, split=True) == plan(chunk, 24576, split=True) == two
    assert lpddr_bits(chunk, two) == 5120
    # A bit less: four pieces, 3072 + 8192 + 5120 = 16384. In 64 pieces 3072 + 512 + 5120 = 8704.
    assert plan(chunk, 24575, split=True) == Plan((Group(0, 2, 4, held=True),), frozenset(), True, 16384)
    assert plan(chunk, 8704, split=True) == Plan((Group(0, 2, 64, held=True),), frozenset(), True, 8704)
    # Less: all weights for each of eight pieces are 8 x 5120 = 40960 bits. With a spilled, out and in, and the rest in
    # 16 pieces, held, 2048 + 16384 / 16 + 4608 = 7680 bits of L2, it is 2 x 16384 + 5120 = 37888.
    made = plan(chunk, 8703, split=True)
    assert made == Plan((Group(0, 0), Group(1, 2, 16, held=True)), frozenset({"a"}), True, 7680)
    assert lpddr_bits(chunk, made) == 37888
    # 64 pieces, held, take 2048 + 256 + 4608 = 6912. Less: four pieces, 2048 + 4096 = 6144, whose weights come each
    # time, 32768 + 512 + 4 x 4608 = 51712; the whole chain in 16 pieces would be 16 x 5120 = 81920, all spilled 70656.
    made = plan(chunk, 6911, split=True)
    assert made == Plan((Group(0, 0), Group(1, 2, 4)), frozenset({"a"}), True, 6144)
    assert lpddr_bits(chunk, made) == 51712
    # Without splits b goes; the features and a are 17408 bits.
    assert plan(chunk, 24575, split=False) == Plan((Group(0, 2),), frozenset({"b"}), True, 17408)


def test_steps_of_pieces_by_hand(tmp_path: Path) -> None:
    """All ops of a piece, then of the next; weights that are held come once, into the banks of tensors.

    4 rows of 8 bands: features 4 x 8 x 8 = 256 bits, c and r 4 x 8 x 16 x 16 = 8192 each, d 512, qkv 4 x 6 x 16 = 384;
    weights of c and d 16 x 16 = 256 bits, of qkv 8 x 6 x 16 = 768; the cache has 4 x 4 x 16 = 256. Whole that takes
    2 x 8192 + 256; in two pieces 256 + 384 + 8192, 1280 of weights and 256 of the cache are 10368.
    """
    layers = [
        "{name: c, op: conv, input: features, channels: 16, kernel: [1, 1], weight_bits: 16}",
        "{name: r, op: relu, input: c}",
        "{name: d, op: conv, input: r, channels: 1, kernel: [1, 1], weight_bits: 16}",
        "{name: qkv, op: linear, input: d, outputs: 6, weight_bits: 16}",
        "{name: heads, op: attention, input: qkv, heads: 1, chunk: 4, left: 4}",
        "{name: y, op: linear, input: heads, outputs: 2, weight_bits: 16}",
    ]
    workload = graph(tmp_path, layers, bands=8)
    room = {"components.l2.banks": 3, "components.l2.weight_banks": 2, "components.l2.width_bits": 1}
    behind = ["heads.scores", "heads.softmax", "heads.context", "y"]

    whole = deploy(workload, chip({**room, "components.l2.rows": 16640}, "edge_npu")).schedule
    assert whole.plan is not None and whole.plan.peak_bits == whole.plan.room_bits == 16640
    assert not whole.plan.pieces and not whole.plan.spilled and whole.plan.lpddr_bits == 1280 + 64
    assert [job.name for job in whole.of("sequencer")] == ["c", "r", "d", "qkv", *behind]

    split = deploy(workload, chip({**room, "components.l2.rows": 16639}, "edge_npu")).schedule
    assert split.plan is not None and split.plan.pieces == {"c .. qkv": 2} and not split.plan.spilled
    assert split.plan.peak_bits == 10368 and split.plan.lpddr_bits == 1280 + 64
    steps = [f"{op}/{piece}" for piece in range(2) for op in ("c", "r", "d", "qkv")]
    assert [job.name for job in split.of("sequencer")] == [*steps, *behind]
    assert {job.name: (job.work.row()["weight_bits"], job.lockstep[-1]) for job in split.of("dma[0]")} == {
        "c/0.weights": (256, "l2[2]"), "d/0.weights": (256, "l2[2]"), "qkv/0.weights": (768, "l2[2]"),
        "y.weights": (64, "l2[0]"),
    }  # fmt: skip
    assert [job.work.row()["m"] for job in split.jobs if job.layer == "c" and "m" in job.work.row()] == [16, 16]

    # Without splits: first the cache goes, read and written anew in each chunk, then r.
    for rows, cache, spilled in ((16639, True, {}), (16383, False, {"r": 8192})):
        keys = {**room, "components.l2.rows": rows, "compiler.split": False}
        alone = deploy(workload, chip(keys, "edge_npu")).schedule
        assert alone.plan is not None and alone.plan.spilled == spilled and alone.plan.state_in_l2 is not cache
        assert alone.plan.lpddr_bits == 1280 + 64 + (512 if cache else 2 * 8192)
        streamed = {
            job.name: (job.work.row()["spill_in"], job.work.row()["spill_out"]) for job in alone.of("sequencer")
        }
        expected = {"heads.scores": (256, 0), "heads.context": (0, 256)} if cache else {"r": (0, 8192), "d": (8192, 0)}
        assert {name: bits for name, bits in streamed.items() if any(bits)} == expected


def test_blocks_of_weights_by_hand(tmp_path: Path) -> None:
    """Five columns of 64 bits, a half of the weight banks for two and a half: blocks of 1, 2 and 2, none of 3."""
    layers = [
        "{name: qkv, op: linear, input: features, outputs: 3, weight_bits: 16}",
        "{name: heads, op: attention, input: qkv, heads: 1, chunk: 4, left: 4}",
        "{name: n, op: linear, input: heads, outputs: 4, weight_bits: 16}",
        "{name: y, op: linear, input: n, outputs: 5, weight_bits: 16}",
    ]
    room = {"components.l2.banks": 12, "components.l2.weight_banks": 2, "components.l2.width_bits": 160}
    made = deploy(graph(tmp_path, layers, bands=2), chip({**room, "components.l2.rows": 1}, "edge_npu")).schedule
    blocks = {job.name: job.work.row()["n"] for job in made.of("sequencer") if job.layer == "y"}
    assert blocks == {"y#0": 1, "y#1": 2, "y#2": 2}
    loads = {
        job.name: (job.work.row()["weight_bits"], job.lockstep[-1]) for job in made.of("dma[0]") if job.layer == "y"
    }
    assert [*loads.values()] == [(64, "l2[0]"), (128, "l2[1]"), (128, "l2[0]")]


def test_bits_are_shared_out_whole(tmp_path: Path) -> None:
    """State in LPDDR, read and written in pieces of which it is no multiple: no bit is lost.

    Two rows of 20 numbers behind the convolution are 640 bits, which neither three nor six pieces divide.
    """
    shape = Streaming(front="none", chunk=6, left=7, width=20, feed_forward=2, kernel=3, positions="none")
    workload = graph(tmp_path, shape.layers(), bands=shape.bands)
    seen = set()
    for rows in range(30, 400, 3):
        try:
            schedule = deploy(workload, chip(crowded(rows), "edge_npu")).schedule
        except InputError:
            continue
        assert schedule.plan is not None and moved(schedule) == schedule.plan.lpddr_bits
        if not schedule.plan.state_in_l2:
            seen |= {pieces for name, pieces in schedule.plan.pieces.items() if "glu .. blocks.0.conv.d" in name}
    assert seen & {3, 6}, "the sizes reach the case"


def test_splits_never_move_more(tmp_path: Path) -> None:
    """A module cut into pieces keeps a residual in L2 that a later one would rather miss: then it is not cut."""
    shape = Streaming(front="none", bands=7, width=10, heads=1, feed_forward=5, kernel=5, chunk=6, weight_bits=8)
    workload = graph(tmp_path, replace(shape, positions="learnable").layers(), bands=7)
    ops = workload.graph.ops
    chunk = sizes(workload.graph, ops, 6, {"features": 8, **{op.name: BITS for op in ops}})
    for room in range(4200, 4500, 20):
        split, whole = (plan(chunk, room, split=each) for each in (True, False))
        if whole.peak_bits <= room:
            assert lpddr_bits(chunk, split) <= lpddr_bits(chunk, whole), room
