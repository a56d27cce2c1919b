"""How an NPU goes through one chunk: groups of ops, how many pieces each takes, and what does not stay in L2.

A group is a chain of ops between two tensors that somebody else reads too: a module of a block with its residual sum.
Without splits every op takes the whole chunk, and a tensor that finds no room in L2 lives in LPDDR: it is streamed out
of the op that makes it and into those that read it. With splits a group goes through the chunk in pieces, one op after
the other for each, so that only a piece of what lies between them exists at a time; convolutions carry their last rows
from piece to piece as they do from chunk to chunk. That costs weights: they come from LPDDR anew for every piece, or
are held in L2 beside the tensors; weights that stay there for the whole run cost nothing more in pieces. Of all ways to
cut a chain the planner takes what moves the fewest bits over LPDDR, then the fewest pieces; what spills is not searched
for, it is the largest operand first, and chains go in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from accelsim.ops.attention import AttentionOp
from accelsim.ops.graph import Graph
from accelsim.ops.op import FLOAT_BITS, Op, WeightedOp
from accelsim.ops.recurrent import RecurrentOp

TENSORS = 2
"""The part of L2 that holds tensors and state, behind the two halves for weights."""


@dataclass(frozen=True)
class Chunk:
    """The sizes of everything that one chunk of a graph touches, in bits.

    ``frames``: rows of the output; ``tensors``: what each op gives, features included; ``weights``: of each op;
    ``state``: what each op carries from chunk to chunk (keys and values, last rows of a convolution), ``fresh``: what a
    chunk writes anew of it; ``scratch``: what lives during an op alone (scores of attention, sums of a recurrent
    layer); ``lasting``: of the weights, those that every step of a recurrent layer reads, and which lie among the
    tensors meanwhile. Where only a part of a graph is planned, ``arrivals``: of tensors that others make, the place of
    the op after which each is there, -1 where it comes first; ``ends``: ops after which others work, or whose results
    others read.
    """

    frames: int
    ops: tuple[Op, ...]
    tensors: Mapping[str, int]
    weights: Mapping[str, int]
    state: Mapping[str, int]
    fresh: Mapping[str, int]
    scratch: Mapping[str, int]
    lasting: Mapping[str, int]
    arrivals: Mapping[str, int]
    ends: frozenset[str]

    @cached_property
    def readers(self) -> Mapping[str, list[int]]:
        """The places of the ops that read each tensor."""
        found: dict[str, list[int]] = {name: [] for name in self.tensors}
        for place, op in enumerate(self.ops):
            for name in dict.fromkeys(op.reads()):
                found.get(name, []).append(place)
        return found

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each op, and of those after which tensors of others are there."""
        return {**self.arrivals, **{op.name: place for place, op in enumerate(self.ops)}}


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

    ``peak_bits``: the most that L2 holds at a time beside the weights on their way, state included. ``homes``: the part
    of L2 in which the weights of each op stay for the whole run, 0 and 1 the halves of the weight banks, 2 the banks of
    tensors; none where weights come anew for every chunk.
    """

    groups: tuple[Group, ...]
    spilled: frozenset[str]
    state_in_l2: bool
    peak_bits: int
    homes: Mapping[str, int] = field(default_factory=dict)


def sizes(graph: Graph, ops: Sequence[Op], chunk: int, bits: Mapping[str, int], *, carried: bool = True) -> Chunk:
    """Return the sizes of a chunk of ``chunk`` output rows for some ops of a graph, in order.

    ``bits``: of a number of each tensor. Ops that depend on distances alone are worked on before the first chunk.
    ``carried``: whether rows of one chunk are kept for the next.
    """
    computed = tuple(op for op in ops if not graph.distances(op.name))
    own = {op.name for op in computed}
    read = {name for op in computed for name in op.reads() if not graph.distances(name)}
    frame = chunk * graph.given.stride

    def of_rows(name: str, count: int) -> int:
        return graph.edges[name].width * bits[name] * count

    tensors = {
        name: of_rows(name, frame // graph.edges[name].stride) for name in graph.edges if name in own or name in read
    }
    weights, state, fresh, scratch, lasting = {}, {}, {}, {}, {}
    for op in computed:
        edges, first = graph.read(op), op.reads()[0]
        weights[op.name] = scratch[op.name] = lasting[op.name] = 0
        state[op.name] = of_rows(first, op.window(edges).behind) if carried else 0
        fresh[op.name] = tensors[first]
        if isinstance(op, WeightedOp):
            weights[op.name] = math.prod(op.shapes(edges)["weight"]) * op.weight_bits
        elif isinstance(op, AttentionOp):  # it keeps keys and values, not queries
            state[op.name] = state[op.name] * 2 // 3
            fresh[op.name] = fresh[op.name] * 2 // 3
            scores = 1 if op.positions is None else 2
            scratch[op.name] = scores * chunk * (op.left + chunk) * op.heads * FLOAT_BITS
            if op.positions is not None:
                weights[op.name] = of_rows(op.positions, seen_distances(op))
        elif isinstance(op, RecurrentOp):
            first_matrix, second_matrix = (math.prod(matrix) * op.weight_bits for matrix in op.matrices(edges))
            weights[op.name], lasting[op.name] = first_matrix + second_matrix, second_matrix
            state[op.name] = fresh[op.name] = op.state_bits(edges, bits[op.name])
            rows = frame // graph.edges[op.name].stride
            scratch[op.name] = (rows + 1) * op.columns() * op.sum_bits(bits[op.name])
        fresh[op.name] = min(state[op.name], fresh[op.name])
    arrivals, ends = _between(graph, own, {op.name for op in ops})
    arrivals = {name: place for name, place in arrivals.items() if name in tensors}
    return Chunk(chunk, computed, tensors, weights, state, fresh, scratch, lasting, arrivals, ends)


def _between(graph: Graph, worked: set[str], ours: set[str]) -> tuple[dict[str, int], frozenset[str]]:
    """Return when what others make is there, and the ops of ours after which others work or read: see `Chunk`."""
    arrivals: dict[str, int] = {}
    ends: set[str] = set()
    before: list[str] = []
    for op in graph.ops:
        if op.name in worked:
            before.append(op.name)
            if any(reader not in ours for reader in graph.readers[op.name]):
                ends.add(op.name)
        elif op.name not in ours:
            arrivals[op.name] = len(before) - 1
            ends.update(before[-1:])
    return arrivals, frozenset(ends)


def seen_distances(op: AttentionOp) -> int:
    """Return between how many distances a frame sees others: -(chunk - 1) .. left + chunk - 1."""
    assert op.chunk is not None
    return op.left + 2 * op.chunk - 1


def plan(chunk: Chunk, l2_bits: int, *, split: bool, on_cpu: frozenset[str] = frozenset()) -> Plan:
    """Return the plan of a chunk for an L2 of so many bits for tensors and state; ops ``on_cpu`` take it whole."""
    state = sum(chunk.state.values())
    plans = [
        _with_room(chunk, l2_bits - (state if in_l2 else 0), in_pieces, on_cpu, in_l2, state)
        for in_l2 in (True, False)
        for in_pieces in ((False, True) if split else (False,))
        if not in_l2 or state < l2_bits
    ]
    return min(plans, key=lambda plan: (max(plan.peak_bits - l2_bits, 0), lpddr_bits(chunk, plan)))


def plan_resident(
    chunk: Chunk, l2_bits: int, half_bits: int, *, split: bool, on_cpu: frozenset[str] = frozenset()
) -> Plan:
    """Return the plan of a chunk whose weights stay in L2, ``half_bits`` in each half of the weight banks.

    A layer's weights lie whole in the first half that has room for them, in order, else among the tensors, from whose
    room they are missing. Weights of ops ``on_cpu`` stay in LPDDR.
    """
    free = [half_bits, half_bits]
    homes: dict[str, int] = {}
    among = 0
    for name, bits in chunk.weights.items():
        if bits and name not in on_cpu:
            homes[name] = next((half for half, room in enumerate(free) if bits <= room), TENSORS)
            if homes[name] == TENSORS:
                among += bits
            else:
                free[homes[name]] -= bits
    made = plan(moving(chunk, homes), l2_bits - among, split=split, on_cpu=on_cpu)
    return replace(made, homes=homes, peak_bits=made.peak_bits + among)


def moving(chunk: Chunk, homes: Mapping[str, int]) -> Chunk:
    """Return a chunk without the weights that stay in L2."""
    weights, lasting = (
        {name: 0 if name in homes else bits for name, bits in of.items()} for of in (chunk.weights, chunk.lasting)
    )
    return replace(chunk, weights=weights, lasting=lasting)


def _with_room(chunk: Chunk, room: int, split: bool, on_cpu: frozenset[str], state_in_l2: bool, state: int) -> Plan:
    groups: list[Group] = []
    spilled: frozenset[str] = frozenset()
    peak = 0
    for first, last in _chains(chunk):
        options = [_whole(chunk, Group(first, last), room, spilled)]
        crowded = options[0].spilled != spilled or options[0].peak > room
        if split and crowded and not any(op.name in on_cpu for op in chunk.ops[first : last + 1]):
            options += _partitions(chunk, first, last, room, spilled, state_in_l2)
        best = min(options, key=lambda option: option.cost(room))
        groups += best.groups
        spilled = best.spilled
        peak = max(peak, best.peak)
    return Plan(tuple(groups), spilled, state_in_l2, peak + (state if state_in_l2 else 0))


@dataclass(frozen=True)
class _Option:
    """A way through some ops: ``bits`` that it moves over LPDDR, what is ``spilled`` then, the most that L2 holds."""

    groups: tuple[Group, ...]
    bits: int
    spilled: frozenset[str]
    peak: int

    def cost(self, room: int) -> tuple[int, int, int]:
        """Return by what the best of several is the least: what finds no room in L2 at all, then bits, then pieces."""
        return max(self.peak - room, 0), self.bits, sum(group.pieces for group in self.groups)


def _partitions(
    chunk: Chunk, first: int, last: int, room: int, spilled: frozenset[str], state_in_l2: bool
) -> Iterator[_Option]:
    """Yield every way to cut a chain into groups, each at its best.

    Attention reads all keys and values for every piece: it takes pieces only where those lie in L2.
    """
    for end in range(first, last + 1):
        options = [_whole(chunk, Group(first, end), room, spilled)]
        attending = [op for op in chunk.ops[first : end + 1] if isinstance(op, AttentionOp)]
        if (state_in_l2 and not any(op.input in spilled for op in attending)) or not attending:
            options += _in_pieces(chunk, first, end, room, spilled)
        one = min(options, key=lambda option: option.cost(room))
        if end == last:
            yield one
            continue
        for rest in _partitions(chunk, end + 1, last, room, one.spilled, state_in_l2):
            yield _Option(
                (*one.groups, *rest.groups), one.bits + rest.bits, rest.spilled, max(one.peak, rest.peak)
            )  # fmt: skip


def _whole(chunk: Chunk, group: Group, room: int, spilled: frozenset[str]) -> _Option:
    lost, used = _spills(chunk, group, room, spilled)
    return _Option((group,), _weights(chunk, group) + _moved(chunk, lost), spilled | lost, used)


def _in_pieces(chunk: Chunk, first: int, last: int, room: int, spilled: frozenset[str]) -> Iterator[_Option]:
    """Yield the ways to take a chunk through a group in pieces for which L2 has room."""
    for pieces in range(2, chunk.frames + 1):
        for held in (False, True):
            group = Group(first, last, pieces, held)
            if chunk.frames % pieces == 0 and (need := _need(chunk, group, spilled)) <= room:
                yield _Option((group,), _weights(chunk, group) * (1 if held else pieces), spilled, need)


def _weights(chunk: Chunk, group: Group) -> int:
    return sum(chunk.weights[op.name] for op in chunk.ops[group.first : group.last + 1])


def _chains(chunk: Chunk) -> list[tuple[int, int]]:
    """Return (first, last) of every chain.

    It ends where several read, before attention, which reads all rows, and where others work or read.
    """
    chains, first = [], 0
    for place, op in enumerate(chunk.ops):
        last = place == len(chunk.ops) - 1
        several = len(chunk.readers[op.name]) > 1 or op.name in chunk.ends
        if last or several or isinstance(chunk.ops[place + 1], AttentionOp):
            chains.append((first, place))
            first = place + 1
    return chains


def _live_around(chunk: Chunk, group: Group) -> set[str]:
    """Return the tensors made before a group and read in it or behind it."""
    return {
        name
        for name, readers in chunk.readers.items()
        if chunk.places.get(name, -1) < group.first and any(place >= group.first for place in readers)
    }


def _inside(chunk: Chunk, group: Group) -> set[str]:
    """Return the tensors that live within a group alone."""
    return {op.name for op in chunk.ops[group.first : group.last]}


def _need(chunk: Chunk, group: Group, spilled: frozenset[str]) -> int:
    """Return the bits of L2 that a group takes in its pieces: all around it, its output, a piece of what is inside."""
    inside, output = _inside(chunk, group), chunk.ops[group.last].name
    around = sum(chunk.tensors[name] for name in _live_around(chunk, group) - spilled)
    most = max(
        sum(chunk.tensors[name] for name in {op.name, *op.reads()} & inside) + chunk.scratch[op.name]
        for op in chunk.ops[group.first : group.last + 1]
    )
    lasting = max(chunk.lasting[op.name] for op in chunk.ops[group.first : group.last + 1])
    held = _weights(chunk, group) if group.held else lasting
    return around + chunk.tensors[output] * (output not in spilled) + -(-most // group.pieces) + held


def _spills(chunk: Chunk, group: Group, room: int, spilled: frozenset[str]) -> tuple[frozenset[str], int]:
    """Return what a group must spill when it takes the chunk whole, the largest operand first, and what it then takes.

    Tensors that the op at hand does not touch go before its own operands.
    """
    lost: set[str] = set()
    most = 0
    for place in range(group.first, group.last + 1):
        op = chunk.ops[place]
        own = {op.name, *(read for read in op.reads() if read in chunk.tensors)}
        live = own | {
            name
            for name, readers in chunk.readers.items()
            if chunk.places.get(name, -1) < place and any(reader >= place for reader in readers)
        }
        live -= spilled | lost
        beside = chunk.scratch[op.name] + chunk.lasting[op.name]
        while (used := sum(chunk.tensors[name] for name in live) + beside) > room and live:
            victim = max(live, key=lambda name: (name not in own, chunk.tensors[name], name))
            live.remove(victim)
            lost.add(victim)
        most = max(most, used)
    return frozenset(lost), most


def _moved(chunk: Chunk, spilled: frozenset[str]) -> int:
    """Return the bits that spilled tensors move: out once, but for features, which come there; in for every reader."""
    return sum(chunk.tensors[name] * ((name in chunk.places) + len(chunk.readers[name])) for name in spilled)


def lpddr_bits(chunk: Chunk, plan: Plan) -> int:
    """Return the bits that a chunk moves over LPDDR: weights, spilled tensors, state that is not in L2.

    Weights that stay in L2 came before.
    """
    chunk, bits = moving(chunk, plan.homes), _moved(chunk, plan.spilled)
    for group in plan.groups:
        bits += _weights(chunk, group) * (1 if group.held else group.pieces)
    if not plan.state_in_l2:
        bits += state_moved(chunk)
    return bits


def state_moved(chunk: Chunk) -> int:
    """Return the bits of state that a chunk reads from LPDDR and writes back when L2 has no room for it."""
    return sum(chunk.state.values()) + sum(chunk.fresh.values())
