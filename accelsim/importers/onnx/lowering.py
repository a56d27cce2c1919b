"""A graph on its way to ops: what every value is by now, the ops so far, and the table of what nodes come to.

Nodes of ONNX come to ops by rules, functions in `accelsim.importers.onnx.operators` that `onnx_op` enters in `RULES`.
A rule gets the graph, a node and the values that it reads, adds ops (`Lowering.emit`) and returns what the node gives;
it raises `Refused`, with the reason, for a node that cannot be taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from accelsim import limits
from accelsim.importers.importer import How, Names, Note, Refusals
from accelsim.importers.onnx.codes import INTEGERS, Codes, float32
from accelsim.importers.onnx.fold import Const, Quantised, Refused, attribute
from accelsim.importers.onnx.proto import Graph, Node
from accelsim.importers.onnx.values import Axis, Dims, State, StateOut, Unknown, Value, width
from accelsim.ops.op import OPS, Edge, Op

LARGEST_ROW = 1 << 22
"""Values of the widest row."""
MOST_TAPS = 1 << 16
"""Steps of the longest window, state or padding."""
MOST_FOLLOWED = 64
"""Nodes behind an op that are looked at for what can be folded into it."""
MOST_RANGES = 4096
"""Pieces that the values of a row are moved in."""
FLOAT16_LARGEST = 65504.0
MOVING = frozenset({"gather", "slice", "concat", "stack", "quantise", "dequantise"})
"""Ops of ours that leave codes as they are, or read them as integers."""
QUANTISING = ("QuantizeLinear", "DequantizeLinear")
STATES_PASS = (*QUANTISING, "Identity")
"""What may lie between an input or output of the graph and the node that takes or gives a state."""

Anything = Value | Const | Quantised | State | StateOut | Unknown
Read = Sequence[Anything | None]
Function = Callable[["Lowering", Node, Read], list[Anything]]
Limits = Callable[["Lowering", Node], tuple[float, float]]


@dataclass(frozen=True)
class Rule:
    """What nodes of an operator come to.

    ``inputs``: how many the node cannot be without; ``moves``: it gives the same values in other dimensions, and what
    is behind it may be folded into what is before it; ``limits``: of a clamp, the least and the largest value that a
    node lets through; ``state``: whether a node reads a state at this place of its inputs, None: it cannot be one.
    """

    function: Function
    inputs: int = 1
    moves: bool = False
    limits: Limits | None = None
    state: Callable[[Node, int], bool | None] | None = None


RULES: dict[tuple[str, str], Rule] = {}
"""What becomes of nodes, by domain and name of their operator."""
SPELLINGS: dict[tuple[str, str], Callable[[Node], list[Node]]] = {}
"""Operators that are written as several others first, by domain and name: the nodes that one stands for."""


def onnx_op(
    *names: str, domains: Sequence[str] = ("",), inputs: int = 1, moves: bool = False, limits: Limits | None = None,
    state: Callable[[Node, int], bool | None] | None = None,
) -> Callable[[Function], Function]:  # fmt: skip
    """Enter a function in `RULES` as the rule of these operators, see `Rule`."""

    def entered(function: Function) -> Function:
        for domain in domains:
            for name in names:
                assert (domain, name) not in RULES, f"two rules for {name}"
                RULES[domain, name] = Rule(function, inputs, moves, limits, state)
        return function

    return entered


def rule_of(node: Node) -> Rule | None:
    """Return the rule of a node, None where there is none."""
    return RULES.get((node.domain, node.op))


@dataclass
class Follow:
    """The nodes behind an op that are folded into it, in order, and the codes that they make of what it gives."""

    nodes: list[Node] = field(default_factory=list)
    codes: Codes | None = None


@dataclass
class Lowering:
    """One graph on its way: what every value is by now, and the ops so far.

    ``time_axis``, ``scale``, ``offset``, ``constants``, ``output``: the options of `OnnxOptions` of these names, scale
    and offset those of the features; ``rounding``: that of the workload. Nodes that are refused are in ``refusals``.
    """

    graph: Graph
    opsets: Mapping[str, int]
    refusals: Refusals
    time_axis: int | str | None
    scale: float
    offset: int
    constants: Mapping[str, float]
    output: str | None
    rounding: str

    values: dict[str, Anything] = field(default_factory=dict)
    consumers: dict[str, list[Node]] = field(default_factory=dict)
    """The nodes that read a value."""
    results: list[str] = field(default_factory=list)
    """Values that the graph gives."""
    parts: dict[int, Node] = field(default_factory=dict)
    """The node of the file that a node stands for, by `id`."""
    absorbed: dict[int, str] = field(default_factory=dict)
    """The ops that nodes are folded into, by the node's `id`."""
    notes: dict[int, Note] = field(default_factory=dict)

    ops: list[Op] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    """The ops as a workload has them."""
    edges: dict[str, Edge] = field(default_factory=dict)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    reference: dict[str, NDArray[Any]] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    quantised: bool = False
    timed: bool = False
    """Whether time is a dimension of the features."""

    made: list[str] = field(default_factory=list)
    """The ops of the node that is looked at, what is said of it, and whether it is taken exactly."""
    remarks: list[str] = field(default_factory=list)
    how: How = "exact"
    names: Names = field(default_factory=Names)
    dequantised: dict[str, Value] = field(default_factory=dict)
    """Codes of ops and of the features as real numbers, see `real_codes`."""

    @property
    def version(self) -> int:
        """The version of ONNX's own operator set, 0 where the file has none."""
        return self.opsets.get("", 0)

    # ---------------------------------------------------------------- nodes

    def approximate(self, remark: str) -> None:
        """Note that the node that is looked at is not taken exactly, and why."""
        self.how = "approximate"
        self.remarks.append(remark)

    def note(self, node: Node, ours: tuple[str, ...], how: How, remark: str) -> None:
        """Note what became of a node, or of another part of one."""
        if (old := self.notes.get(id(node))) is not None:
            ours = tuple(dict.fromkeys((*old.ours, *ours)))
            how = "approximate" if "approximate" in (old.how, how) else "exact"
            remark = "; ".join(dict.fromkeys(filter(None, (old.remark, remark))))
        self.notes[id(node)] = Note(node.name, node.op, ours, how, remark)

    # ---------------------------------------------------------------- ops

    def emit(
        self, node: Node | None, kind: str, reads: Mapping[str, Value], keys: Mapping[str, Any], dims: Dims,
        order: Sequence[Axis], *, tensors: Mapping[str, NDArray[Any]] | None = None,
        reference: Mapping[str, NDArray[Any]] | None = None, suffix: str = "", name: str = "",
        output: Codes | None = None,
    ) -> Value:  # fmt: skip
        """Add an op and return what it gives; raises `Refused` for what the op does not take."""
        for value in reads.values():
            if value.padding:
                raise Refused("it reads what Pad has padded; only a convolution takes padding in")
        if width(order) > LARGEST_ROW:
            raise Refused(f"a row of {width(order):,} values, at most {LARGEST_ROW:,} are taken")
        if output is None and kind not in MOVING and keys.get("gives") != "codes":
            reads = {key: self.real_codes(value) for key, value in reads.items()}
        base = (self.parts[id(node)].name if node is not None else name) + suffix
        taken = self.names.new(base)
        item: dict[str, Any] = {"name": taken, "op": kind, **{key: value.op for key, value in reads.items()}, **keys}
        if output is not None:
            item["output"] = output.keys()
            self.quantised = True
        found = dict(item)
        if output is not None and self.rounding != "double_away" and "rounding" in OPS[kind].model_fields:
            found["rounding"] = self.rounding
        try:
            op = OPS[kind].model_validate(found)
            assert isinstance(op, Op)
            edges = [self.edges[one] for one in op.reads()]
            for edge, one in zip(edges, op.reads(), strict=True):
                if edge.kind not in op.takes:
                    raise ValueError(f"it takes {' or '.join(sorted(op.takes))}, and '{one}' gives {edge.kind}")
            given = op.infer(edges)
        except ValidationError as error:
            raise Refused("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from None
        except (ValueError, ArithmeticError) as error:
            raise Refused(str(error)) from None
        if given.width != width(order):
            raise Refused(f"it gives rows of {width(order)} values, and op '{kind}' rows of {given.width}")
        self.refusals.count({**(reference or {}), **(tensors or {})}.values())
        limits.check("ops", len(self.ops) + 1, file=self.refusals.file)
        self.ops.append(op)
        self.items.append(item)
        self.edges[taken] = given
        self.made.append(taken)
        for end, tensor in (tensors or {}).items():
            self.tensors[f"{taken}.{end}"] = tensor
        for end, tensor in {**(tensors or {}), **(reference or {})}.items():
            self.reference[f"{taken}.{end}"] = tensor
        shift = 0 if output is None else output.shift
        return Value(taken, given, dims, tuple(order), shift=shift, real=True)

    def emit_folding(
        self, node: Node, kind: str, reads: Mapping[str, Value], keys: Mapping[str, Any], dims: Dims,
        order: Sequence[Axis], *, tensors: Mapping[str, NDArray[Any]] | None = None,
    ) -> Value:  # fmt: skip
        """Add an op as `emit`; clamps and QuantizeLinear behind it are folded in where it reads codes alone."""
        follow = self.after(node.outputs[0])
        integers = all(value.quantised for value in reads.values()) and "output" in OPS[kind].model_fields
        codes = follow.codes if integers else None
        made = self.emit(node, kind, reads, keys, dims, order, tensors=tensors, output=codes)
        if codes is not None:
            self.absorb(follow, made)
        return made

    def real_codes(self, value: Value) -> Value:
        """Return codes of features as real numbers, all of them: an op that reads them as they are clamps them."""
        if value.edge.kind != "codes" or value.edge.full_range or value.edge.bits != 8:
            return value
        if value.op not in self.dequantised:
            made, self.made = self.made, []
            given = self.emit(
                None, "dequantise", {"input": value}, {}, value.dims, value.order, name=f"{value.op}.real"
            )
            self.dequantised[value.op] = given
            self.made = [*made, given.op]
        given = self.dequantised[value.op]
        return replace(value, op=given.op, edge=given.edge)

    def arranged(
        self, node: Node | None, value: Value, order: Sequence[Axis], bands: int | None = None, *, name: str = ""
    ) -> Value:
        """Return a value whose axes lie in this order in a row, divided into so many bands if that is given."""
        order = list(order)
        same = list(value.order) == order
        if same and (bands is None or bands == value.edge.bands):
            return value
        if value.padding:
            raise Refused("it moves what Pad has padded; only a convolution takes padding in")
        there = {axis: place for place, axis in enumerate(value.order)}
        index = np.arange(value.edge.width).reshape([axis.size or 1 for axis in value.order])
        index = index.transpose([there[axis] for axis in order]).reshape(-1)
        return self.gathered(node, value, index, value.dims, order, bands or 1, name=name)

    def arranged_for(self, node: Node, x: Value, order: Sequence[Axis]) -> Value:
        """Return `arranged` of a value whose padding its reader takes in."""
        return replace(self.arranged(node, replace(x, padding={}), order), padding=x.padding)

    def gathered(
        self, node: Node | None, value: Value, index: NDArray[np.int64], dims: Dims, order: Sequence[Axis],
        bands: int = 1, *, name: str = "",
    ) -> Value:  # fmt: skip
        """Return the values of a row at these places."""
        ranges = ranges_of(index)
        if len(ranges) > MOST_RANGES:
            raise Refused(f"it moves the values of a row in {len(ranges):,} pieces, at most {MOST_RANGES:,} are taken")
        keys: dict[str, Any] = {"ranges": ranges}
        if bands != 1:
            keys["bands"] = bands
        moved = self.emit(node, "gather", {"input": value}, keys, dims, order, suffix=".order", name=name)
        return replace(moved, shift=value.shift, real=value.real)

    def collapsed(self, node: Node, value: Value) -> Value:
        """Return all steps of time side by side as one row, oldest first."""
        time = value.time
        if time is None:
            return value
        if time.size is None:
            chosen = "the open one" if self.time_axis is None else str(self.time_axis)
            raise Refused(
                "it joins all steps of time, of which there are as many as the input has: say how many in the file, or "
                f"choose another time axis than {chosen}"
            )
        if time.size > MOST_TAPS:
            raise Refused(f"it joins {time.size:,} steps of time")
        axis = Axis(time.size)
        dims = tuple(tuple(axis if one is time else one for one in dim) for dim in value.dims)
        order = (axis, *value.order)
        if time.size == 1:
            return replace(value, dims=tuple(tuple(one for one in dim if one is not time) for dim in value.dims))
        keys = {"rows": time.size, "hop": time.size}
        moved = self.emit(node, "stack", {"input": value.unpadded()}, keys, dims, order, suffix=".stack")
        return replace(moved, shift=value.shift, real=value.real)

    # ---------------------------------------------------------------- what nodes read, and what follows them

    def codes_of(self, node: Node) -> Codes:
        """Return what a QuantizeLinear or DequantizeLinear says of its codes."""
        scale = self.constant(node, 1, "scale")
        zero = self.constant(node, 2, "zero point") if len(node.inputs) > 2 and node.inputs[2] else None
        if attribute(node, "block_size", 0):
            raise Refused("it quantises block by block")
        if scale.size != 1 or (zero is not None and zero.size != 1):
            raise Refused(f"{scale.size} scales along an axis of activations; one is read")
        if zero is None:
            kind = attribute(node, "output_dtype", 0) or 2
            if node.op == "DequantizeLinear":
                kind = 2
            if kind not in INTEGERS:
                raise Refused(f"type {kind} of TensorProto.DataType; 8- and 16-bit integers are read")
            dtype = np.dtype(INTEGERS[kind][0])
        else:
            dtype = zero.dtype
        if dtype not in (np.uint8, np.int8, np.uint16, np.int16):
            raise Refused(f"codes of type {dtype}; 8- and 16-bit integers are read")
        value = float32(scale.reshape(-1)[0]) if scale.dtype.kind == "f" else 0.0
        if not (math.isfinite(value) and value > 0):
            raise Refused("its scale is not a number greater than 0")
        bits = dtype.itemsize * 8
        shift = 1 << (bits - 1) if dtype.kind == "u" else 0
        point = 0 if zero is None else int(zero.reshape(-1)[0])
        return Codes.all(value, point - shift, bits, shift)

    def constant(self, node: Node, place: int, what: str) -> NDArray[Any]:
        """Return a constant that a node reads; raises `Refused` where it depends on the data."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        value = self.values.get(name)
        if not isinstance(value, Const):
            raise Refused(f"its {what} is not a constant of the file" if name else f"it has no {what}")
        return value.array

    def numbers(self, node: Node, place: int, what: str) -> NDArray[Any]:
        """Return a constant that a node reads, as real numbers if it is quantised."""
        value = self.optional(node, place)
        return value.real() if isinstance(value, Quantised) else self.constant(node, place, what)

    def optional(self, node: Node, place: int) -> Anything | None:
        """Return an input that may be left out."""
        return self.values.get(node.inputs[place]) if place < len(node.inputs) and node.inputs[place] else None

    def after(self, name: str, *, fold: Callable[[Node], bool] | None = None) -> Follow:
        """Return what follows a value that nothing else reads: nodes that ``fold`` takes, clamps, QuantizeLinear.

        Nodes are absorbed only up to QuantizeLinear, or where there is none those that ``fold`` takes.
        """
        found = Follow()
        folded: list[Node] = []
        clamps: list[Node] = []
        low, high, moved = -math.inf, math.inf, False
        for _ in range(MOST_FOLLOWED):  # a damaged file may go round in circles
            readers = self.consumers.get(name, [])
            if name in self.results or len(readers) != 1 or list(readers[0].inputs).count(name) != 1:
                break
            node = readers[0]
            if not node.outputs:
                break
            rule = rule_of(node)
            if rule is not None and rule.moves:
                if node.inputs[0] != name:
                    break
                moved = True
            elif rule is not None and rule.limits is not None:
                try:
                    one_low, one_high = rule.limits(self, node)
                except Refused:
                    break
                low, high = min(max(low, one_low), one_high), max(min(high, one_high), one_low)
                clamps.append(node)
            elif node.op == "QuantizeLinear":
                try:
                    codes = self.codes_of(node)
                except Refused:
                    break
                found.codes = codes.clamped(low, high)
                found.nodes = [*folded, *clamps, node]
                return found
            elif fold is not None and not clamps and not moved and fold(node):
                folded.append(node)
            else:
                break
            name = node.outputs[0]
        found.nodes = folded
        return found

    def absorb(self, follow: Follow, into: Value) -> None:
        """Note that nodes were folded into an op."""
        for node in follow.nodes:
            self.absorbed[id(node)] = into.op

    def is_result(self, name: str) -> bool:
        """Return whether a value is an output of the graph, maybe after it is quantised or dequantised."""
        for _ in range(MOST_FOLLOWED):
            if name in self.results:
                return True
            readers = self.consumers.get(name, [])
            if len(readers) != 1 or readers[0].op not in STATES_PASS or not readers[0].outputs:
                return False
            name = readers[0].outputs[0]
        return False


def ranges_of(index: NDArray[np.int64]) -> list[list[int]]:
    """Return places as ranges [first, behind the last, step], as few as come of going along."""
    ranges: list[list[int]] = []
    at, places = 0, index.tolist()
    steps = np.diff(index)
    while at < len(places):
        if at + 1 == len(places) or steps[at] == 0:
            ranges.append([places[at], places[at] + 1, 1])
            at += 1
            continue
        step = int(steps[at])
        others = np.flatnonzero(steps[at:] != step)
        last = at + (int(others[0]) if others.size else len(steps) - at)
        ranges.append([places[at], places[last] + (1 if step > 0 else -1), step])
        at = last + 1
        if len(ranges) > MOST_RANGES:
            break
    return ranges
