"""How an NPU goes through one chunk: groups of ops, how many pieces each takes, and what does not stay in L2.

A group is a chain of ops between two tensors that somebody else reads too: a module of a block with its residual sum.
Without splits every op takes the whole chunk, and a tensor that finds no room in L2 lives in LPDDR: it is streamed out
of the op that makes it and into those that read it. With splits a group goes through the chunk in pieces, one op after
the other for each, so that only a piece of what lies between them exists at a time; convolutions carry their last rows
from piece to piece as they do from chunk to chunk. That costs weights: they come from LPDDR anew for every piece, or
are held in L2 beside the tensors. The planner takes what moves the fewest bits over LPDDR, then the fewest pieces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelsim.schema.graph import (
    AttentionOp,
    GraphOp,
    QConvOp,
    QDepthwiseOp,
    Rows,
    WeightedOp,
    positional,
)


@dataclass(frozen=True)
class Chunk:
    """The sizes of everything that one chunk of a graph touches, in bits.

    ``frames``: rows of the output; ``tensors``: what each op gives, features included; ``weights``: of each op;
    ``state``: what each op carries from chunk to chunk (keys and values, last rows of a convolution).
    """

    frames: int
    ops: tuple[GraphOp, ...]
    tensors: Mapping[str, int]
    weights: Mapping[str, int]
    state: Mapping[str, int]

    def readers(self, name: str) -> list[int]:
        """Return the places of the ops that read a tensor."""
        return [place for place, op in enumerate(self.ops) if name in op.reads()]


@dataclass(frozen=True)
class Group:
    """Ops ``first`` .. ``last`` of a chunk, in so many ``pieces``; ``held``: their weights are loaded once, into L2."""

    first: int
    last: int
    pieces: int = 1
    held: bool = False


@dataclass(frozen=True)
class Plan:
    """What the planner decided; ``spilled``: tensors that live in LPDDR; ``state_in_l2``: whether all state does.

    ``peak_bits``: the most that L2 holds at a time beside the weights on their way, state included.
    """

    groups: tuple[Group, ...]
    spilled: frozenset[str]
    state_in_l2: bool
    peak_bits: int


def sizes(
    ops: Sequence[GraphOp], rows: Mapping[str, Rows], chunk: int, features: str, bits: Mapping[str, int],
) -> Chunk:  # fmt: skip
    """Return the sizes of a chunk of ``chunk`` output rows; ``bits``: of a number of each tensor, by op."""
    distances = positional(ops)
    made = tuple(op for op in ops if op.name not in distances)
    stride = rows[made[-1].name].stride

    def of_rows(name: str, count: int) -> int:
        return rows[name].width * bits[name] * count

    tensors = {name: of_rows(name, chunk * stride // rows[name].stride) for name in (features, *(o.name for o in made))}
    weights, state = {}, {}
    for op in made:
        read = [rows[name] for name in op.reads()]
        weights[op.name] = state[op.name] = 0
        if isinstance(op, WeightedOp):
            shapes = op.shapes(read)
            weights[op.name] = math.prod(shapes["weight"]) * op.weight_bits
        if isinstance(op, AttentionOp):
            state[op.name] = of_rows(op.input, op.left) * 2 // 3
            if op.positions is not None:
                weights[op.name] = of_rows(op.positions, seen_distances(op))
        elif isinstance(op, QDepthwiseOp):
            state[op.name] = of_rows(op.input, op.behind())
        elif isinstance(op, QConvOp):
            state[op.name] = of_rows(op.input, op.kernel[0] // 2)
    return Chunk(chunk, made, tensors, weights, state)


def seen_distances(op: AttentionOp) -> int:
    """Return between how many distances a frame sees others: -(chunk - 1) .. left + chunk - 1."""
    assert op.chunk is not None
    return op.left + 2 * op.chunk - 1


def plan(chunk: Chunk, l2_bits: int, *, split: bool, on_cpu: frozenset[str] = frozenset()) -> Plan:
    """Return the plan of a chunk for an L2 of so many bits for tensors and state; ops ``on_cpu`` take it whole."""
    state = sum(chunk.state.values())
    best: Plan | None = None
    for in_l2 in (True, False):
        room = l2_bits - (state if in_l2 else 0)
        if room <= 0:
            continue
        made = _with_room(chunk, room, split, on_cpu, in_l2, state)
        if best is None or _traffic(chunk, made) < _traffic(chunk, best):
            best = made
    assert best is not None
    return best


def lpddr_bits(chunk: Chunk, made: Plan) -> int:
    """Return the bits that a chunk moves over LPDDR: weights, spilled tensors, state that is not in L2."""
    return _traffic(chunk, made)


def _with_room(chunk: Chunk, room: int, split: bool, on_cpu: frozenset[str], state_in_l2: bool, state: int) -> Plan:
    spilled: set[str] = set()
    groups, peak = [], 0
    for first, last in _chains(chunk.ops):
        group, lost, used = _best_group(chunk, first, last, room, spilled, split, on_cpu)
        spilled |= lost
        groups.append(group)
        peak = max(peak, used)
    return Plan(tuple(groups), frozenset(spilled), state_in_l2, peak + (state if state_in_l2 else 0))


def _chains(ops: Sequence[GraphOp]) -> list[tuple[int, int]]:
    """Return (first, last) of every group: it ends where several read, and before attention, which reads all rows."""
    readers: dict[str, int] = {}
    for op in ops:
        for read in op.reads():
            readers[read] = readers.get(read, 0) + 1
    chains, first = [], 0
    for place, op in enumerate(ops):
        ends = place == len(ops) - 1 or readers.get(op.name, 0) > 1 or isinstance(ops[place + 1], AttentionOp)
        if ends:
            chains.append((first, place))
            first = place + 1
    return chains


def _best_group(
    chunk: Chunk, first: int, last: int, room: int, spilled: set[str], split: bool, on_cpu: frozenset[str]
) -> tuple[Group, set[str], int]:
    """Return the best way through a group, what it spills besides, and the bits of L2 that it takes."""
    weights = sum(chunk.weights[op.name] for op in chunk.ops[first : last + 1])
    whole = Group(first, last)
    lost, used = _spills(chunk, whole, room, spilled)
    options = [(weights + _moved(chunk, lost), 1, whole, lost, used)]
    if split and lost and not any(op.name in on_cpu for op in chunk.ops[first : last + 1]):
        for pieces in _divisors(chunk.frames):
            for held in (False, True):
                group = Group(first, last, pieces, held)
                need = _need(chunk, group, spilled)
                if need <= room:
                    options.append((weights if held else pieces * weights, pieces, group, set(), need))
    _, _, group, lost, used = min(options, key=lambda option: option[:2])
    return group, lost, used


def _divisors(frames: int) -> list[int]:
    return [n for n in range(2, frames + 1) if frames % n == 0]


def _live_around(chunk: Chunk, group: Group) -> set[str]:
    """Return the tensors made before a group and read in it or behind it."""
    before = {op.name for op in chunk.ops[: group.first]} | (set(chunk.tensors) - {op.name for op in chunk.ops})
    return {name for name in before if any(place >= group.first for place in chunk.readers(name))}


def _inside(chunk: Chunk, group: Group) -> set[str]:
    """Return the tensors that live within a group alone."""
    return {op.name for op in chunk.ops[group.first : group.last]}


def _need(chunk: Chunk, group: Group, spilled: set[str]) -> int:
    """Return the bits of L2 that a group takes in its pieces: all around it, its output, a piece of what is inside."""
    inside, output = _inside(chunk, group), chunk.ops[group.last].name
    around = sum(chunk.tensors[name] for name in _live_around(chunk, group) - spilled)
    most = max(
        sum(chunk.tensors[name] for name in {op.name, *op.reads()} & inside)
        for op in chunk.ops[group.first : group.last + 1]
    )
    held = sum(chunk.weights[op.name] for op in chunk.ops[group.first : group.last + 1]) if group.held else 0
    return around + chunk.tensors[output] * (output not in spilled) + -(-most // group.pieces) + held


def _spills(chunk: Chunk, group: Group, room: int, spilled: set[str]) -> tuple[set[str], int]:
    """Return what a group must spill when it takes the chunk whole, the largest operand first, and what it then takes.

    Tensors that the op at hand does not touch go before its own operands.
    """
    lost: set[str] = set()
    most = 0
    for place in range(group.first, group.last + 1):
        op = chunk.ops[place]
        own = {op.name, *(read for read in op.reads() if read in chunk.tensors)}
        earlier = set(chunk.tensors) - {later.name for later in chunk.ops[place:]}
        live = own | {name for name in earlier if any(reader >= place for reader in chunk.readers(name))}
        live -= spilled | lost
        while (used := sum(chunk.tensors[name] for name in live)) > room:
            victim = max(live, key=lambda name: (name not in own, chunk.tensors[name], name))
            live.remove(victim)
            lost.add(victim)
        most = max(most, used)
    return lost, most


def _moved(chunk: Chunk, spilled: set[str] | frozenset[str]) -> int:
    """Return the bits that spilled tensors move: out once, in for every reader."""
    return sum(chunk.tensors[name] * (1 + len(chunk.readers(name))) for name in spilled)


def _traffic(chunk: Chunk, made: Plan) -> int:
    bits = _moved(chunk, made.spilled)
    for group in made.groups:
        weights = sum(chunk.weights[op.name] for op in chunk.ops[group.first : group.last + 1])
        bits += weights if group.held else weights * group.pieces
    if not made.state_in_l2:
        bits += state_moved(chunk)
    return bits


def state_moved(chunk: Chunk) -> int:
    """Return the bits of state that a chunk reads from LPDDR and writes back when L2 has no room for it."""
    return sum(read + written for read, written in map(lambda op: state_access(chunk, op), chunk.ops))


def state_access(chunk: Chunk, op: GraphOp) -> tuple[int, int]:
    """Return the bits of an op's state that a chunk reads, and those that it writes: the rows that are new.

    Of keys and values a chunk writes its own rows, and no more than the cache holds.
    """
    held = chunk.state[op.name]
    fresh = chunk.tensors.get(op.reads()[0], 0) if held else 0
    return held, min(held, fresh * 2 // 3 if isinstance(op, AttentionOp) else fresh)
