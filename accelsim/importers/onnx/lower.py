"""From the nodes of an ONNX graph to ops: each node's meaning, what is folded into which, and why one is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from accelsim.importers.importer import How, Names, Note, Refusals
from accelsim.importers.onnx.fold import (
    FOLDED,
    Const,
    Quantised,
    Refused,
    attribute,
    fold,
    quantise,
    quantised,
    whole,
)
from accelsim.importers.onnx.proto import Graph, Node, ValueInfo
from accelsim.importers.onnx.values import (
    Axis,
    Cache,
    Dims,
    State,
    StateOut,
    Unknown,
    Value,
    axes_of,
    reshaped,
    size_of,
    width,
)
from accelsim.ops.op import FEATURES, OPS, Edge, Op

LARGEST_ROW = 1 << 22
"""Values of the widest row."""
MOST_TAPS = 1 << 16
MOST_RANGES = 4096
FLOAT16_LARGEST = 65504.0
MOVES = frozenset({"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
MOVING = frozenset({"gather", "slice", "concat", "stack", "quantise", "dequantise"})
"""Ops of ours that leave codes as they are, or read them as integers."""
INTEGERS = {2: ("|u1", 8), 3: ("|i1", 8), 4: ("<u2", 16), 5: ("<i2", 16), 6: ("<i4", 32)}
"""Types of quantised tensors by the numbers of TensorProto.DataType, and their bits."""

Anything = Value | Const | Quantised | State | StateOut | Unknown


@dataclass(frozen=True)
class Codes:
    """What a QuantizeLinear makes: codes of this scale and zero point, as here: signed; clamped to low .. high."""

    scale: float
    zero_point: int
    bits: int
    low: int
    high: int
    shift: int

    def keys(self) -> dict[str, Any]:
        """Return the ``output`` of an op."""
        least, most = -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        # Where the least code stands for 0, what lies below is cut off by a ReLU that the zero point takes in.
        low = {} if self.low == least != self.zero_point else {"low": self.low}
        high = {} if self.high == most else {"high": self.high}
        return {"scale": self.scale, "zero_point": self.zero_point, "bits": self.bits, **low, **high}

    def same(self, edge: Edge) -> bool:
        """Return whether an edge has such codes already."""
        return (edge.kind, edge.bits, np.float32(edge.scale), signed_zero(edge)) == (
            "codes", self.bits, np.float32(self.scale), self.zero_point
        )  # fmt: skip


@dataclass
class Follow:
    """The nodes behind a product that are folded into it, in order, and what they say."""

    nodes: list[Node] = field(default_factory=list)
    codes: Codes | None = None


def signed_zero(edge: Edge) -> int:
    """Return the zero point of an edge's codes as an integer op takes them."""
    return edge.zero_point - 128 if edge.unsigned and edge.bits == 8 else edge.zero_point


def float32(value: Any) -> float:
    """Return a number as float32 has it, in full."""
    return float(np.float32(value))


@dataclass(frozen=True)
class Lowered:
    """A network of ops: as a workload has them, their tensors, what became of each node, the features' codes."""

    ops: list[dict[str, Any]]
    tensors: dict[str, NDArray[Any]]
    reference: dict[str, NDArray[Any]]
    notes: list[Note]
    features: Edge
    given: Edge
    states: list[str]
    quantised: bool
    clips: bool
    """Whether a recording is one call that gives one row."""


class Lowering:
    """One graph on its way: what every value is by now, and the ops so far."""

    def __init__(
        self, graph: Graph, opsets: Mapping[str, int], refusals: Refusals, *, time_axis: int | str | None,
        scale: float, offset: int, constants: Mapping[str, float], output: str | None, rounding: str,
    ) -> None:  # fmt: skip
        self.graph, self.opsets, self.refusals = graph, opsets, refusals
        self.time_axis, self.scale, self.offset, self.constants = time_axis, scale, offset, constants
        self.chosen, self.rounding = output, rounding
        self.values: dict[str, Anything] = {}
        self.names = Names()
        self.ops: list[Op] = []
        self.items: list[dict[str, Any]] = []
        self.edges: dict[str, Edge] = {}
        self.tensors: dict[str, NDArray[Any]] = {}
        self.reference: dict[str, NDArray[Any]] = {}
        self.notes: dict[int, Note] = {}
        self.absorbed: dict[int, tuple[str, str]] = {}
        self.states: list[str] = []
        self.dequantised: dict[str, Value] = {}
        self.made: list[str] = []
        self.remarks: list[str] = []
        self.how: How = "exact"
        self.quantised = self.sums = self.timed = False
        self.input: ValueInfo | None = None

    # ---------------------------------------------------------------- the whole graph

    def run(self) -> Lowered | None:
        """Return the network; None where nodes were refused, which `refusals` then has."""
        version = self.opsets.get("", 0)
        if not 7 <= version <= 30:
            self.refusals.add("graph", "ONNX", f"operator set {version} of ONNX, 7 to 30 are read")
            return None
        self._constants()
        nodes = self._desugared(self.graph.nodes)
        self.consumers: dict[str, list[Node]] = {}
        self._count_readers(nodes)
        self.results = [output.name for output in self.graph.outputs]
        if self.refusals.found:
            return None
        try:
            self._inputs()
        except Refused as error:
            self.refusals.add(self.input.name if self.input else "graph", "input", str(error))
            return None
        for node in nodes:
            self._node(node)
        if self.refusals.found:
            return None
        try:
            return self._finished()
        except Refused as error:
            self.refusals.add(self.chosen or (self.results or [""])[0], "output", str(error))
            return None

    def _count_readers(self, nodes: Sequence[Node]) -> None:
        """Note who reads what; an If reads what its branches do."""
        for node in nodes:
            for name in dict.fromkeys([*node.inputs, *_read_inside(node)]):
                self.consumers.setdefault(name, []).append(node)

    def _constants(self) -> None:
        """Make values of the constants of the file, and of inputs that options make constant."""
        for name, tensor in self.graph.initializers.items():
            self.values[name] = Const(tensor.array, tensor.four_bits)
        for name, value in self.constants.items():
            info = next((one for one in self.graph.inputs if one.name == name), None)
            kind = {7: np.int64, 6: np.int32}.get(info.type if info else 0, np.float32)
            shape = [size if isinstance(size, int) and size > 0 else 1 for size in (info.shape or [])] if info else []
            if math.prod(shape) > MOST_TAPS:
                self.refusals.add(name, "input", f"a constant of shape {shape}")
                continue
            self.values[name] = Const(np.full(shape, value, kind))

    def _desugared(self, nodes: list[Node]) -> list[Node]:
        """Return the nodes with operators on integers written as DequantizeLinear, the operator, QuantizeLinear."""
        found: list[Node] = []
        self.parts: dict[int, Node] = {}
        for node in nodes:
            try:
                parts = _spelt_out(node)
            except Refused as error:
                self.refusals.add(node.name, node.op, str(error))
                continue
            for part in parts:
                self.parts[id(part)] = node
            found += parts
        return found

    def _inputs(self) -> None:
        """Make values of the inputs: the features, and states."""
        given = [one for one in self.graph.inputs if one.name not in self.values]
        used = [one for one in given if one.name in self.consumers]
        if not used:
            raise Refused("the graph reads no input")
        first, *others = sorted(used, key=lambda one: self._looks_like_state(one))
        for info in others:
            sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in info.shape or [])
            self.values[info.name] = State(info.name, sizes)
        self.input = first
        if first.shape is None:
            raise Refused("its shape is not said")
        features = self._features(first)
        self.timed = features.time is not None
        self.values[first.name] = features

    def _looks_like_state(self, info: ValueInfo) -> bool:
        """Return whether all that reads an input takes it as a state: of a recurrence, or in front of new rows."""
        seen, names, done = False, [info.name], set[str]()
        while names:
            name = names.pop()
            if name in done:
                continue
            done.add(name)
            for node in self.consumers.get(name, []):
                place = node.inputs.index(name) if name in node.inputs else 0
                if node.op in ("QuantizeLinear", "DequantizeLinear", "Identity"):
                    names += node.outputs[:1]
                elif (node.op in ("LSTM", "GRU") and place >= 5) or (node.op == "Concat" and len(node.inputs) == 2):
                    seen = seen or node.op != "Concat" or place == 0
                else:
                    return False
        return seen

    def _features(self, info: ValueInfo) -> Value:
        """Return the features: which dimension is time, which of them lie in a row, and their codes."""
        sizes = [size if isinstance(size, int) and size > 0 else None for size in info.shape or []]
        axis = self.time_axis
        if axis is None:
            opened = [place for place, size in enumerate(sizes) if size is None]
            axis = opened[-1] if opened and (opened[-1] != 0 or len(opened) == 1) else "none"
            if len([place for place in opened if place]) > 1:
                raise Refused(f"sizes {sizes} leave more than one dimension open: say which is time, -O time_axis=..")
        if isinstance(axis, int) and not -len(sizes) <= axis < len(sizes):
            raise Refused(f"time_axis {axis} of {len(sizes)} dimensions")
        place = None if isinstance(axis, str) else axis % max(len(sizes), 1)
        dims: list[tuple[Axis, ...]] = []
        for at, size in enumerate(sizes):
            if at == place:
                dims.append((Axis(size, time=True),))
            elif size is None and at == 0:
                dims.append(())  # a batch of one
            elif size is None:
                raise Refused(f"dimension {at} is open, and time is dimension {place}: only a batch can be as well")
            else:
                dims.append(axes_of(size))
        order = tuple(one for dim in dims for one in dim if not one.time)
        wide = width(order)
        if wide > 65_536:
            raise Refused(f"{wide:,} values in a row of its own, at most 65,536 are read")
        shift, real = 0, info.type not in INTEGERS
        bits = 8 if real else INTEGERS[info.type][1]
        if info.type not in (0, 1, 10, 11, 2, 3) or bits != 8:
            raise Refused(f"type {info.type} of TensorProto.DataType; floating-point numbers and 8-bit codes are read")
        scale, zero = self.scale, self.offset
        found = self._input_codes(info.name)
        if found is not None:
            scale, zero, shift = found.scale, found.zero_point + 128, found.shift
        elif not real:
            raise Refused("no node says the scale of its codes")
        edge = Edge(wide, wide, 1, "codes", bits=8, scale=scale, zero_point=zero, unsigned=True)
        self.edges[FEATURES] = edge
        return Value(FEATURES, edge, tuple(dims), order, shift=shift, real=real, raw=real)

    def _input_codes(self, name: str) -> Codes | None:
        """Return the codes of the input, from the node that quantises it, or reads its codes."""
        names, seen = [name], set[str]()
        while names:
            name = names.pop(0)
            for node in self.consumers.get(name, []) if name not in seen else []:
                if node.op in ("QuantizeLinear", "DequantizeLinear"):
                    try:
                        return self._codes(node)
                    except Refused:
                        return None
                if node.op in MOVES:
                    names += node.outputs[:1]
            seen.add(name)
        return None

    def _node(self, node: Node) -> None:
        """Make ops of a node; one that is refused is noted, and what reads it is not looked at."""
        self.made, self.remarks, self.how = [], [], "exact"
        origin = self.parts[id(node)]
        read = [self.values.get(name) if name else None for name in node.inputs]
        try:
            if any(isinstance(value, _Last) for value in read):
                raise Refused("it reads the last state of a recurrence, not its rows")
            unknown = any(isinstance(value, Unknown) for value in read)
            if id(node) in self.absorbed and not unknown:
                into, remark = self.absorbed[id(node)]
                self.values[node.outputs[0]] = self._passed(node, read)
                self._note(origin, (into,), "exact", remark)
                return
            for name, value in zip(node.inputs, read, strict=True):
                if name and value is None:
                    raise Refused(f"it reads '{name}', which nothing before it gives")
            if unknown:
                given: list[Anything] = [Unknown() for _ in node.outputs]
            else:
                given = self._given(node, read)
        except Refused as error:
            self.refusals.add(origin.name, origin.op, str(error))
            given = [Unknown() for _ in node.outputs]
        except (ValueError, ArithmeticError) as error:  # whatever NumPy says of constants that do not fit
            self.refusals.add(origin.name, origin.op, f"its constants do not fit: {error}")
            given = [Unknown() for _ in node.outputs]
        for name, value in zip(node.outputs, given, strict=False):
            if name:
                if name in self.values and not isinstance(self.values[name], Unknown):
                    self.refusals.add(origin.name, origin.op, f"'{name}' is given twice")
                self.values[name] = value
        if not isinstance(next(iter(given), None), Unknown):
            ours = tuple(self.made)
            if ours or (given and not isinstance(given[0], Const)):
                self._note(origin, ours, self.how, "; ".join(dict.fromkeys(self.remarks)))

    def _note(self, node: Node, ours: tuple[str, ...], how: How, remark: str) -> None:
        """Note what became of a node, or of another part of one."""
        if (old := self.notes.get(id(node))) is not None:
            ours = tuple(dict.fromkeys((*old.ours, *ours)))
            how = "approximate" if "approximate" in (old.how, how) else "exact"
            remark = "; ".join(dict.fromkeys(filter(None, (old.remark, remark))))
        self.notes[id(node)] = Note(node.name, node.op, ours, how, remark)

    def _passed(self, node: Node, read: Sequence[Anything | None]) -> Anything:
        """Return what a node gives that was folded into one before it."""
        value = next(one for one in read if isinstance(one, Value))
        return replace(value, real=False) if node.op == "QuantizeLinear" else value

    def _given(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Return what a node gives."""
        if node.domain not in ("", "com.microsoft"):
            raise Refused(f"operators of '{node.domain}' are not known")
        if node.op != "Constant" and (node.op in FOLDED or ("", node.op) in _RULES):
            _check_inputs(node)
        constant = all(isinstance(one, Const) or one is None for one in read)
        quantising = node.op in ("QuantizeLinear", "DequantizeLinear")
        if node.op == "If":
            return self._if(node, read)
        if node.op == "Shape" and isinstance(read[0], Value):
            begin, end = attribute(node, "start", 0), attribute(node, "end", None)
            return [Const(read[0].shape()[begin:end])]
        if constant and not quantising and node.op in FOLDED:
            arrays = [one.array if isinstance(one, Const) else None for one in read]
            return [Const(array) for array in fold(node, arrays, self.opsets.get("", 0))]
        if any(isinstance(one, State) for one in read) and node.op in (*MOVES, "QuantizeLinear", "DequantizeLinear"):
            if node.op in ("Identity", "QuantizeLinear", "DequantizeLinear"):
                return [read[0]]  # type: ignore[list-item]
            raise Refused("it changes the shape of a state")
        rule = _RULES.get((node.domain, node.op)) or _RULES.get(("", node.op))
        if rule is None or (("", node.op) in _ONNX_ONLY and node.domain):
            raise Refused("this op is not supported")
        return rule(self, node, read)

    def _if(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Run the branch that a constant condition chooses."""
        _check_inputs(node)
        condition = read[0]
        if not isinstance(condition, Const) or condition.array.size != 1:
            raise Refused("its condition depends on the data; a constant one is read (-O constants.NAME=VALUE)")
        branch = node.attributes.get("then_branch" if condition.array.item() else "else_branch")
        if not isinstance(branch, Graph):
            raise Refused("it has no branch to take")
        for name, tensor in branch.initializers.items():
            self.values[name] = Const(tensor.array, tensor.four_bits)
        inner = self._desugared(branch.nodes)
        given = [output.name for output in branch.outputs]
        # What the branch gives is what the node gives: who reads it is known only now.
        for inside, outside in zip(given, node.outputs, strict=False):
            self.consumers[inside] = [*self.consumers.get(inside, []), *self.consumers.get(outside, [])]
            if outside in self.results:
                self.results.append(inside)
        self._count_readers(inner)
        made, remarks = [], list(self.remarks)
        for one in inner:
            self._node(one)
            made += self.made
        self.made, self.remarks, self.how = made, [*remarks, "the branch that its condition takes"], "exact"
        missing = [name for name in given if name not in self.values]
        if missing or len(given) < len(node.outputs):
            raise Refused("its branch does not give what it should")
        return [self.values[name] for name in given]

    def _finished(self) -> Lowered:
        """Return the network that the outputs need, and nothing else."""
        states = [name for name in self.results if isinstance(self.values.get(name), StateOut)]
        rest = [output.name for output in self.graph.outputs if output.name not in states]
        if self.chosen is not None and self.chosen not in rest:
            raise Refused(f"no output has this name; there are {', '.join(rest)}")
        if self.chosen is None and len(rest) != 1:
            raise Refused(f"{len(rest)} outputs, {', '.join(rest)}: say which one is read, -O output=NAME")
        name = self.chosen or rest[0]
        value = self.values.get(name)
        if not isinstance(value, Value):
            raise Refused("it does not depend on the features")
        self.made, self.remarks = [], []
        value = self.unpadded(value)
        # The axes of one time as the file has them, so that a row reads as a tensor of it does.
        value = self.arranged(None, value, [axis for dim in value.dims for axis in dim if not axis.time], name=name)
        if value.op == FEATURES:
            raise Refused("it gives the features as they are")
        unread = {one.name for one in self._states()} - {self.values[s].name for s in states}  # type: ignore[union-attr]
        if unread:
            raise Refused(f"state '{', '.join(sorted(unread))}' is read, and no output gives its next one")
        kept: set[str] = {value.op}
        for op in reversed(self.ops):
            if op.name in kept:
                kept.update(op.reads())
        ops = [(op, item) for op, item in zip(self.ops, self.items, strict=True) if op.name in kept]
        ops.sort(key=lambda pair: pair[0].name == value.op)
        names = {op.tensor_name(end) for op, _ in ops for end in op.shapes([self.edges[n] for n in op.reads()])}
        return Lowered(
            [item for _, item in ops],
            {name: tensor for name, tensor in self.tensors.items() if name in names},
            {name: tensor for name, tensor in self.reference.items() if name in names},
            [
                note if note.ours else replace(note, remark=note.remark or "nothing moves")
                for note in self.notes.values()
            ],
            self.edges[FEATURES],
            value.edge,
            self.states,
            self.quantised,
            self.timed and value.time is None,
        )

    def _states(self) -> list[State]:
        return [one for one in self.values.values() if isinstance(one, State)]

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
        if kind not in OPS:
            raise Refused(f"there is no op '{kind}' here")
        found = dict(item)
        if output is not None and self.rounding != "double_away" and "rounding" in OPS[kind].model_fields:
            found["rounding"] = self.rounding
        edges = [value.edge for value in reads.values()]
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
        self.ops.append(op)
        self.items.append(item)
        self.edges[taken] = given
        self.made.append(taken)
        for end, tensor in (tensors or {}).items():
            self.tensors[f"{taken}.{end}"] = tensor
        for end, tensor in ({**(tensors or {}), **(reference or {})} if reference is not None else {}).items():
            if not end.endswith("_scale"):
                self.reference[f"{taken}.{end}"] = tensor
        if reference is None and tensors:
            for end, tensor in tensors.items():
                self.reference[f"{taken}.{end}"] = tensor
        shift = 0 if output is None else output.shift
        return Value(taken, given, dims, tuple(order), shift=shift, real=True)

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

    def gathered(
        self, node: Node | None, value: Value, index: NDArray[np.int64], dims: Dims, order: Sequence[Axis],
        bands: int = 1, *, name: str = "",
    ) -> Value:  # fmt: skip
        """Return the values of a row at these places."""
        ranges = _ranges(index)
        if len(ranges) > MOST_RANGES:
            raise Refused(f"it moves the values of a row in {len(ranges):,} pieces, at most {MOST_RANGES:,} are taken")
        keys: dict[str, Any] = {"ranges": ranges}
        if bands != 1:
            keys["bands"] = bands
        moved = self.emit(node, "gather", {"input": value}, keys, dims, order, suffix=".order", name=name)
        return replace(moved, shift=value.shift, real=value.real)

    def unpadded(self, value: Value) -> Value:
        """Return a value that is not padded; raises `Refused` for one that is."""
        if value.padding:
            raise Refused("Pad pads it, and only a convolution takes padding in")
        return value

    def collapsed(self, node: Node, value: Value) -> Value:
        """Return all steps of time side by side as one row, oldest first."""
        time = value.time
        if time is None:
            return value
        if time.size is None:
            raise Refused(
                "it joins all steps of time, of which there are as many as the input has: say how many in the file, or "
                f"choose another time axis than {self._time_said()}"
            )
        if time.size > MOST_TAPS:
            raise Refused(f"it joins {time.size:,} steps of time")
        axis = Axis(time.size)
        dims = tuple(tuple(axis if one is time else one for one in dim) for dim in value.dims)
        order = (axis, *value.order)
        if time.size == 1:
            return replace(value, dims=tuple(tuple(one for one in dim if one is not time) for dim in value.dims))
        keys = {"rows": time.size, "hop": time.size}
        moved = self.emit(node, "stack", {"input": self.unpadded(value)}, keys, dims, order, suffix=".stack")
        return replace(moved, shift=value.shift, real=value.real)

    def _time_said(self) -> str:
        return "the open one" if self.time_axis is None else str(self.time_axis)

    # ---------------------------------------------------------------- quantisation

    def _codes(self, node: Node) -> Codes:
        """Return what a QuantizeLinear or DequantizeLinear says of its codes."""
        scale = self._constant(node, 1, "scale")
        zero = self._constant(node, 2, "zero point") if len(node.inputs) > 2 and node.inputs[2] else None
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
        top = 1 << (bits - 1)
        shift = top if dtype.kind == "u" else 0
        point = 0 if zero is None else int(zero.reshape(-1)[0])
        return Codes(value, point - shift, bits, -top, top - 1, shift)

    def _constant(self, node: Node, place: int, what: str) -> NDArray[Any]:
        """Return a constant that a node reads; raises `Refused` where it depends on the data."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        value = self.values.get(name)
        if not isinstance(value, Const):
            raise Refused(f"its {what} is not a constant of the file" if name else f"it has no {what}")
        return value.array

    def _numbers(self, node: Node, place: int, what: str) -> NDArray[Any]:
        """Return a constant that a node reads, as real numbers if it is quantised."""
        value = self.optional(node, place)
        return value.real() if isinstance(value, Quantised) else self._constant(node, place, what)

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
        seen: set[str] = set()
        while name not in seen:  # a damaged file may go round in circles
            seen.add(name)
            readers = self.consumers.get(name, [])
            if name in self.results or len(readers) != 1 or list(readers[0].inputs).count(name) != 1:
                break
            node = readers[0]
            if not node.outputs:
                break
            if node.op in MOVES:
                if node.inputs[0] != name:
                    break
                moved = True
            elif node.op in ("Relu", "Clip"):
                try:
                    one_low, one_high = self._limits(node)
                except Refused:
                    break
                low, high = min(max(low, one_low), one_high), max(min(high, one_high), one_low)
                clamps.append(node)
            elif node.op == "QuantizeLinear":
                try:
                    codes = self._codes(node)
                except Refused:
                    break
                found.codes = _clamped(codes, low, high)
                found.nodes = [*folded, *clamps, node]
                return found
            elif fold is not None and not clamps and not moved and fold(node):
                folded.append(node)
            else:
                break
            name = node.outputs[0]
        found.nodes = folded
        return found

    def _limits(self, node: Node) -> tuple[float, float]:
        """Return the least and the largest value that Relu and Clip let through."""
        if node.op == "Relu":
            return 0.0, math.inf
        if len(node.inputs) == 1:
            return attribute(node, "min", -math.inf, float), attribute(node, "max", math.inf, float)
        limits = [-math.inf, math.inf]
        for place in (1, 2):
            if place < len(node.inputs) and node.inputs[place]:
                array = self._constant(node, place, "limit")
                if array.size != 1 or array.dtype.kind not in "fiu" or np.isnan(array.reshape(-1)[0]):
                    raise Refused("its limits are not one number each")
                limits[place - 1] = float(array.reshape(-1)[0])
        return limits[0], limits[1]

    def absorb(self, follow: Follow, into: Value, remark: str = "") -> None:
        """Note that nodes were folded into an op."""
        for node in follow.nodes:
            self.absorbed[id(node)] = (into.op, remark or f"in {into.op}")

    def quantise_node(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """QuantizeLinear: codes of a constant, what it read as codes already, or an op of its own."""
        x = read[0]
        if isinstance(x, Const):
            zero = read[2].array if len(read) > 2 and isinstance(read[2], Const) else None
            kind = attribute(node, "output_dtype", 0)
            dtype = zero.dtype.str if zero is not None else (INTEGERS[kind][0] if kind in INTEGERS else "|u1")
            scale = self._constant(node, 1, "scale")
            return [quantise(x.array, scale, zero, attribute(node, "axis", 1), dtype)]
        if not isinstance(x, Value) or not x.real:
            raise Refused("it quantises what is no real number")
        codes = self._codes(node)
        if codes.same(x.edge) and x.quantised:
            return [replace(x, real=False, raw=False, shift=codes.shift)]
        if x.raw:
            self.how = "approximate"
            self.remarks.append("quantises codes of the features, not the features")
        made = self.emit(node, "quantise", {"input": x}, {}, x.dims, x.order, output=codes)
        return [replace(made, real=False)]

    def dequantise_node(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """DequantizeLinear: the same codes, read as real numbers from here on."""
        x = read[0]
        if isinstance(x, Const):
            if attribute(node, "block_size", 0):
                raise Refused("it has scales for blocks of values; one a tensor, or one an output, is read")
            scale = self._constant(node, 1, "scale")
            zero = self.optional(node, 2)
            array = zero.array if isinstance(zero, Const) else None
            return [quantised(node, x, scale, array, attribute(node, "axis", 1))]
        if not isinstance(x, Value) or x.real:
            raise Refused("it dequantises what is no code")
        codes = self._codes(node)
        if not codes.same(x.edge) or codes.shift != x.shift:
            raise Refused("it reads codes with another scale or zero point than they were made with")
        return [replace(x, real=True)]

    # ---------------------------------------------------------------- products

    def _weight(self, value: Anything | None, axis: int) -> tuple[NDArray[Any], NDArray[np.float32] | None, int]:
        """Return a matrix of weights: int8 with scales, one or one an output along ``axis``, or float32 without."""
        if isinstance(value, Quantised):
            codes = value.codes
            if value.scale.size > 1 and value.axis != axis:
                raise Refused(f"weight scales along axis {value.axis}; one a tensor, or one an output, is read")
            shape = [1] * codes.ndim
            if value.zero_point.size > 1:
                shape[value.axis] = -1
            if value.zero_point.any() or codes.dtype != np.int8:
                wide = codes.astype(np.int32) - value.zero_point.reshape(shape)
                if wide.size and (wide.min() < -128 or wide.max() > 127):
                    raise Refused("weights less their zero point do not lie in -128 .. 127")
                codes = wide.astype(np.int8)
            return codes, value.scale, 8
        if isinstance(value, Const):
            if value.array.dtype.kind != "f":
                raise Refused(f"weights of type {value.array.dtype}; floating-point or quantised ones are read")
            return np.asarray(value.array, np.float32), None, 16
        raise Refused("its weights are not constants of the file")

    def weighted(
        self, node: Node, kind: str, x: Value, keys: dict[str, Any], weight: NDArray[Any],
        scale: NDArray[np.float32] | None, bias: Anything | None, dims: Dims, order: Sequence[Axis],
    ) -> Value:  # fmt: skip
        """Add a product; weight [.., outputs] as the op has it, int8 with ``scale`` or float32.

        In integers where what it reads and its weights are codes and QuantizeLinear follows; in float16 else.
        """
        outputs = weight.shape[-1]
        if self.sums:
            offset = 128 if x.edge.unsigned else 0
            how = {"gives": "codes", "weight_bits": 8, "input_bits": 8, "input_offset": offset}
            weights = {"weight": np.ascontiguousarray(weight)}
            return self.emit(node, kind, {"input": x}, {**keys, **how}, dims, order, tensors=weights)
        integers = scale is not None and x.quantised and x.edge.bits == 8
        folded: list[Node] = []

        def fold(after: Node) -> bool:
            if after.op == "BatchNormalization":
                return scale is None
            if after.op not in ("Add", "Mul", "Sub", "Div") or (after.op != "Add" and scale is not None):
                return False
            other = [self.values.get(one) for one in after.inputs]
            found = [one for one in other if isinstance(one, Const | Quantised)]
            return len(found) == 1 and (after.op != "Div" or isinstance(other[-1], Const)) and after.op != "Sub"

        follow = self.after(node.outputs[0], fold=fold)
        place = _channel_dim(dims, order, outputs)
        terms: list[tuple[str, NDArray[Any], Anything]] = []
        for one in follow.nodes:
            if one.op in ("Add", "Mul", "Div"):
                operand = next(v for v in (self.values.get(n) for n in one.inputs) if isinstance(v, Const | Quantised))
                constant = operand.real() if isinstance(operand, Quantised) else np.asarray(operand.array)
                vector = _per_channel(constant, dims, place, outputs)
                if vector is None or (scale is not None and (bias is not None or terms)):
                    follow = self.after(node.outputs[0])
                    terms = []
                    break
                terms.append((one.op, vector, operand))
            elif one.op == "BatchNormalization":
                if place not in (1, -1) or len(dims) < 2:
                    follow, terms = self.after(node.outputs[0]), []
                    break
                terms.append(("BatchNormalization", np.zeros(0), None))  # type: ignore[arg-type]
            if one.op in ("Add", "Mul", "Div", "BatchNormalization"):
                folded.append(one)
        if not terms:
            folded = []
        if integers and follow.codes is not None:
            return self._integers(node, kind, x, keys, weight, scale, bias, terms, follow, dims, order)  # type: ignore[arg-type]
        if scale is not None:
            shape = [1] * (weight.ndim - 1) + [-1]
            weight = weight.astype(np.float32) * (scale if scale.size == 1 else scale.reshape(shape))
            self.how = "approximate"
            self.remarks.append("no QuantizeLinear follows: float16 weights instead of integers")
        follow = Follow(nodes=folded)
        wide: NDArray[Any] = weight.astype(np.float64) if terms else weight
        added: NDArray[Any] | None = None
        if bias is not None:
            array: NDArray[Any] | None = None
            if isinstance(bias, Quantised | Const):
                array = bias.real() if isinstance(bias, Quantised) else bias.array
            if array is None or array.dtype.kind != "f" or array.size != outputs:
                raise Refused(f"its bias is not a constant of {outputs} numbers")
            added = np.asarray(array, np.float32).reshape(-1)
        if terms:
            wide, added = self._folded(folded, terms, wide, added, outputs)
        reference = np.ascontiguousarray(wide, np.float32)
        if not np.isfinite(reference).all() or np.abs(reference).max(initial=0) > FLOAT16_LARGEST:
            raise Refused("its weights do not lie in the range of float16")
        tensors = {"weight": reference.astype(np.float16)}
        plain: dict[str, NDArray[Any]] = {"weight": reference}
        if added is not None:
            if not np.isfinite(added).all():
                raise Refused("its bias holds NaN or infinity")
            tensors["bias"] = plain["bias"] = np.asarray(added, np.float32)
        if not np.array_equal(tensors["weight"].astype(np.float32), reference):
            self.how = "approximate"
            self.remarks.append("weights rounded to float16")
        made = self.emit(
            node, kind, {"input": x}, {**keys, "weight_bits": 16}, dims, order, tensors=tensors, reference=plain
        )
        self.absorb(follow, made)
        return made

    def _folded(
        self, nodes: Sequence[Node], terms: Sequence[tuple[str, NDArray[Any], Anything]], weight: NDArray[Any],
        bias: NDArray[Any] | None, outputs: int,
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:  # fmt: skip
        """Return weight and bias with additions, products and batch norms behind them folded in, in float64."""
        for after, (what, vector, _) in zip(nodes, terms, strict=True):
            offset = np.zeros(outputs) if bias is None else bias.astype(np.float64)
            if what == "BatchNormalization":
                gain, shift = self._batch_norm(after, outputs)
                weight, bias = weight * gain, offset * gain + shift
            elif what == "Add":
                bias = offset + vector
            else:
                with np.errstate(all="ignore"):
                    factor = vector if what == "Mul" else 1.0 / vector
                weight = weight * factor
                bias = None if bias is None else offset * factor
        return weight, bias

    def _batch_norm(self, node: Node, outputs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gain and offset of a batch norm whose statistics are constants."""
        if attribute(node, "training_mode", 0):
            raise Refused("it computes statistics of its batch (training_mode)")
        arrays = [self._numbers(node, place, what) for place, what in
                  enumerate(("scale", "bias", "mean", "variance"), 1)]  # fmt: skip
        if any(one.size != outputs or one.dtype.kind != "f" for one in arrays):
            raise Refused(f"its statistics are not {outputs} numbers each")
        scale, shift, mean, variance = (one.reshape(-1).astype(np.float64) for one in arrays)
        with np.errstate(all="ignore"):
            gain = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5, float))
            offset = shift - mean * gain
        if not (np.isfinite(gain).all() and np.isfinite(offset).all()):
            raise Refused("its variance is negative, or its statistics are not finite")
        return gain, offset

    def _integers(
        self, node: Node, kind: str, x: Value, keys: dict[str, Any], weight: NDArray[np.int8],
        scale: NDArray[np.float32], bias: Anything | None, terms: Sequence[tuple[str, NDArray[Any], Anything]],
        follow: Follow, dims: Dims, order: Sequence[Axis],
    ) -> Value:  # fmt: skip
        """Add a product of integers, whose sums become codes."""
        outputs = weight.shape[-1]
        product = (np.float32(x.edge.scale) * scale).astype(np.float32)
        if terms:
            bias = terms[0][2]
        tensors: dict[str, NDArray[Any]] = {
            "weight": np.ascontiguousarray(weight),
            "weight_scale": scale.reshape(()) if scale.size == 1 else scale,
        }
        if bias is not None:
            tensors["bias"] = self._integer_bias(bias, product, outputs)
        made = self.emit(node, kind, {"input": x}, keys, dims, order, tensors=tensors, output=follow.codes)
        self.absorb(follow, made)
        return made

    def _integer_bias(self, bias: Anything, product: NDArray[np.float32], outputs: int) -> NDArray[np.int32]:
        """Return a bias in units of s_in s_w: as the file has it, or rounded."""
        if isinstance(bias, Quantised) and bias.codes.dtype == np.int32 and not bias.zero_point.any():
            same = np.allclose(np.broadcast_to(bias.scale, product.shape), product, rtol=3e-7, atol=0) if (
                bias.scale.size in (1, product.size)) else False  # fmt: skip
            if same and bias.codes.size == outputs:
                return np.ascontiguousarray(bias.codes.reshape(-1))
        array = bias.real() if isinstance(bias, Quantised) else bias.array if isinstance(bias, Const) else None
        if array is None or array.dtype.kind != "f" or array.size not in (1, outputs):
            raise Refused(f"its bias is not a constant of {outputs} numbers")
        wide = np.broadcast_to(array.reshape(-1).astype(np.float64), outputs) / product.astype(np.float64)
        if not np.isfinite(wide).all() or np.abs(wide).max(initial=0) >= 2**31 - 1:
            raise Refused("its bias does not fit 32 bits of its scale")
        codes = np.rint(wide).astype(np.int32)
        if not np.array_equal(codes, wide):
            self.how = "approximate"
            self.remarks.append("bias rounded to 32-bit integers of the scale of the sums")
        return codes

    # ---------------------------------------------------------------- rules

    def conv(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Conv: over time and one dimension more, or over one of them; other dimensions are one."""
        x, bias = read[0], read[2] if len(read) > 2 else None
        if not isinstance(x, Value):
            raise Refused("it convolves a constant")
        weight, scale, _ = self._weight(read[1], 0)
        if not x.real:
            raise Refused("it convolves codes without their scale")
        spatial = len(x.dims) - 2
        if spatial < 1 or weight.ndim != len(x.dims):
            raise Refused(f"{len(x.dims)} dimensions and weights of {weight.ndim}; it needs as many, 3 or 4")
        kernel = list(weight.shape[2:])
        if attribute(node, "kernel_shape", kernel, list) != kernel or not all(kernel) or math.prod(kernel) > MOST_TAPS:
            raise Refused(f"a kernel of {kernel[:8]}, not that of its attribute, or of more than {MOST_TAPS:,} taps")
        stride, dilation, pads = self._window(node, x, kernel)
        group = attribute(node, "group", 1)
        channels = size_of(x.dims[1])
        if channels is None or x.timed(1):
            raise Refused("its channels are time: choose another time axis")
        if group < 1 or weight.shape[1] * group != channels or weight.shape[0] % group:
            raise Refused(f"{channels} channels in {group} groups and weights of shape {list(weight.shape)}")
        if group not in (1, channels):
            raise Refused(f"{channels} channels in {group} groups: all in one, or every channel for itself, are taken")
        if x.dims[0] and not x.timed(0):
            raise Refused("a batch of more than one")
        time, band = self._places(x, kernel, pads, stride)
        lengths = {}
        for one in (time, band):
            if one is not None:
                size = x.size(one)
                taps, d, s = kernel[one - 2], dilation[one - 2], stride[one - 2]
                before, after = pads[one - 2]
                new = None if size is None else (size + before + after - d * (taps - 1) - 1) // s + 1
                if new is not None and new < 1:
                    raise Refused(f"{size} values of dimension {one} are fewer than a kernel of {taps} needs")
                lengths[one] = new

        def of(values: Sequence[Any], place: int | None, default: Any) -> Any:
            return default if place is None else values[place - 2]

        bands = 1 if band is None else x.size(band) or 1
        band_axes = () if band is None else x.dims[band]
        x = self.arranged_for(node, x, [*band_axes, *x.dims[1]])
        outputs = weight.shape[0]
        # [out, in, ..] -> [time taps, band taps, in, out]
        moved = np.moveaxis(weight, (0, 1), (-1, -2))
        taps = (of(kernel, time, 1), of(kernel, band, 1))
        matrix: NDArray[Any] = _two_taps(moved, time, band).reshape(*taps, weight.shape[1], outputs)
        new_channels = axes_of(outputs)
        new_band = () if band is None else axes_of(lengths[band] or 1)
        dims = list(x.dims)
        dims[1] = new_channels
        if band is not None:
            dims[band] = new_band
        if time is not None:
            axis = x.dims[time][0]
            grown = sum(pads[time - 2]) - dilation[time - 2] * (kernel[time - 2] - 1)
            same = grown == 0 and stride[time - 2] == 1
            rule = (*axis.rule, (grown, stride[time - 2]))
            dims[time] = (axis if same else Axis(lengths[time], time=True, rule=rule),)
        for place in range(2, len(dims)):
            if place not in (time, band):
                dims[place] = ()
        order = (*new_band, *new_channels)
        padding = [list(of(pads, time, (0, 0))), list(of(pads, band, (0, 0)))]
        keys: dict[str, Any]
        plain = taps == (1, 1) and not any(map(sum, padding)) and of(stride, time, 1) == of(stride, band, 1) == 1
        if plain and bands == 1 and group == 1:
            kind, keys, matrix = "linear", {"outputs": outputs}, matrix.reshape(-1, outputs)
        else:
            kind = "conv"
            keys = {
                "channels": outputs, "kernel": list(taps),
                "stride": [of(stride, time, 1), of(stride, band, 1)],
                "dilation": [of(dilation, time, 1), of(dilation, band, 1)], "padding": padding, "bands": bands,
            }  # fmt: skip
            if group != 1:
                keys["depthwise"] = True
        x = replace(x, padding={}, cache=None)
        return [self.weighted(node, kind, x, keys, matrix, scale, bias, tuple(dims), order)]

    def arranged_for(self, node: Node, x: Value, order: Sequence[Axis]) -> Value:
        """Return `arranged` of a value whose padding its reader takes in."""
        return replace(self.arranged(node, replace(x, padding={}), order), padding=x.padding)

    def _places(
        self, x: Value, kernel: list[int], pads: list[tuple[int, int]], stride: list[int]
    ) -> tuple[int | None, int | None]:
        """Return which dimension of a window is time and which is bands; the others are one value wide."""
        time = band = None
        for place in range(2, len(x.dims)):
            trivial = not x.dims[place] and kernel[place - 2] == 1 and not any(pads[place - 2])
            if x.timed(place):
                if len(x.dims[place]) > 1:
                    raise Refused(f"dimension {place} joins time with others")
                time = place
            elif not trivial:
                if band is not None:
                    raise Refused(
                        "it works over two dimensions of which neither is time: say which dimension of the input is, "
                        "-O time_axis=.."
                    )
                band = place
        return time, band

    def _window(self, node: Node, x: Value, kernel: list[int]) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Return strides, dilations and padding of the spatial dimensions, that of Pad before it added."""
        n = len(kernel)
        stride = attribute(node, "strides", [1] * n, list)
        dilation = attribute(node, "dilations", [1] * n, list)
        if len(stride) != n or len(dilation) != n or not all(isinstance(v, int) and 1 <= v <= MOST_TAPS
                                                             for v in [*stride, *dilation]):  # fmt: skip
            raise Refused(f"strides {stride[:8]} and dilations {dilation[:8]} of {n} dimensions")
        auto = attribute(node, "auto_pad", "NOTSET", str)
        flat = attribute(node, "pads", [0] * 2 * n, list)
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            flat = [0] * 2 * n
            for i in range(n):
                size = x.size(i + 2)
                reach = dilation[i] * (kernel[i] - 1) + 1
                if size is None and stride[i] != 1:
                    raise Refused("auto_pad depends on the size of the open dimension")
                total = reach - 1 if size is None else max((-(-size // stride[i]) - 1) * stride[i] + reach - size, 0)
                small, large = total // 2, total - total // 2
                flat[i], flat[i + n] = (small, large) if auto == "SAME_UPPER" else (large, small)
        elif auto not in ("NOTSET", "VALID", ""):
            raise Refused(f"auto_pad '{auto[:20]}' is not known")
        elif auto == "VALID":
            flat = [0] * 2 * n
        if len(flat) != 2 * n or not all(isinstance(v, int) and 0 <= v <= MOST_TAPS for v in flat):
            raise Refused(f"pads {flat[:8]} of {n} dimensions")
        pads = []
        for i in range(n):
            before, after = x.padding.get(i + 2, (0, 0))
            pads.append((flat[i] + before, flat[i + n] + after))
        if set(x.padding) - set(range(2, n + 2)):
            raise Refused("what it reads is padded over its channels or its batch")
        return stride, dilation, pads

    def product(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """MatMul of a value and a matrix of the file."""
        x, w = read[0], read[1]
        if isinstance(x, Value) and isinstance(w, Value):
            raise Refused("a product of two values that depend on the input (attention); --format conformer reads the "
                          "state dict of a Conformer's layer")  # fmt: skip
        if not isinstance(x, Value):
            raise Refused("a matrix of the file times the data: transpose both")
        axis = (w.codes.ndim if isinstance(w, Quantised) else 2) - 1
        weight, scale, _ = self._weight(w, axis)
        return [self._dense(node, x, weight, scale, None)]

    def gemm(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Gemm of a value and a matrix of the file."""
        x, w, bias = read[0], read[1], read[2] if len(read) > 2 else None
        if attribute(node, "transA", 0) or not isinstance(x, Value):
            raise Refused("it transposes what it reads, or reads no value")
        turned = bool(attribute(node, "transB", 0))
        weight, scale, _ = self._weight(w, 0 if turned else 1)
        alpha, beta = attribute(node, "alpha", 1.0, float), attribute(node, "beta", 1.0, float)
        if (alpha, beta) != (1.0, 1.0):
            if scale is not None:
                raise Refused(f"alpha {alpha:g} and beta {beta:g} with quantised weights")
            weight = (weight.astype(np.float64) * alpha).astype(np.float32)
            if isinstance(bias, Const):
                bias = Const(np.asarray(bias.array * beta, np.float32))
        return [self._dense(node, x, weight.T if turned else weight, scale, bias)]

    def _dense(
        self, node: Node, x: Value, weight: NDArray[Any], scale: NDArray[np.float32] | None, bias: Anything | None
    ) -> Value:
        """Return rows, or each band of them, times a matrix [inputs, outputs]."""
        if weight.ndim != 2 or not x.dims:
            raise Refused(f"weights of {weight.ndim} dimensions; a matrix is read")
        if not x.real:
            raise Refused("it multiplies codes without their scale")
        if x.timed(-1):
            x = self.collapsed(node, x)
        inner = [*x.dims[-1]]
        if width(inner) != weight.shape[0]:
            raise Refused(f"{width(inner)} values times a matrix of {list(weight.shape)}")
        others = [axis for axis in x.order if axis not in inner]
        outputs = weight.shape[1]
        new = axes_of(outputs)
        dims = (*x.dims[:-1], new)
        lying = [axis for axis in x.order if axis in inner]
        index = np.arange(width(inner)).reshape([axis.size or 1 for axis in inner])
        index = index.transpose([inner.index(axis) for axis in lying]).reshape(-1)
        matrix = weight if np.array_equal(index, np.arange(len(index))) else weight[index]
        if not others:
            return self.weighted(node, "linear", x, {"outputs": outputs}, matrix, scale, bias, dims, new)
        x = self.arranged_for(node, self.unpadded(x), [*others, *lying])
        keys = {
            "channels": outputs, "kernel": [1, 1], "bands": width(others), "padding": [[0, 0], [0, 0]],
        }  # fmt: skip
        matrix = matrix.reshape(1, 1, -1, outputs)
        return self.weighted(node, "conv", x, keys, matrix, scale, bias, dims, (*others, *new))

    def two(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Add, Sub, Mul, Div of two values, or of a value and a constant."""
        if len(read) != 2:
            raise Refused(f"it reads {len(read)} values, not two")
        a, b = read
        if isinstance(a, State) or isinstance(b, State):
            raise Refused("it computes with a state; states of LSTM, GRU and caches in front of new rows are read")
        if isinstance(a, Value) and isinstance(b, Value):
            return [self._two_values(node, a, b)]
        if isinstance(a, Value) and isinstance(b, Const | Quantised):
            return [self._with_constant(node, a, b, swapped=False)]
        if isinstance(b, Value) and isinstance(a, Const | Quantised):
            return [self._with_constant(node, b, a, swapped=True)]
        raise Refused("it computes with constants that are quantised")

    def _two_values(self, node: Node, a: Value, b: Value) -> Value:
        a, b = self._readable(a), self._readable(b)
        if node.op == "Div":
            raise Refused("a quotient of two values that depend on the input")
        n = max(len(a.dims), len(b.dims))
        first = ((),) * (n - len(a.dims)) + a.dims
        second = ((),) * (n - len(b.dims)) + b.dims
        sizes = [[size_of(dim) for dim in dims] for dims in (first, second)]
        times = [[[axis.rule if axis.size is None else () for axis in dim if axis.time] for dim in dims]
                 for dims in (first, second)]  # fmt: skip
        if sizes[0] != sizes[1] or times[0] != times[1]:
            raise Refused(f"values of shapes {a.sizes()} and {b.sizes()}: they are not spread over each other")
        b = replace(b, dims=second)
        a = replace(a, dims=first)
        if not np.array_equal(a.places(), b.places()):
            # The order of the first: its places say where each value of its rows lies in the second's.
            there = np.empty(b.edge.width, np.int64)
            there[b.places()] = np.arange(b.edge.width)
            b = self.gathered(node, b, there[a.places()], a.dims, a.order, a.edge.bands)
        follow = self.after(node.outputs[0])
        codes = follow.codes if a.quantised and b.quantised else None
        if node.op == "Sub":
            gain = {"gain": np.array(-1, np.float32)}
            b = self.emit(node, "affine", {"input": b}, {}, b.dims, b.order, tensors=gain, suffix=".negative")
            codes = None
        if node.op == "Mul":
            made = self.emit(node, "multiply", {"input": a, "by": b}, {}, first, a.order, output=codes)
        else:
            made = self.emit(node, "add", {"residual": a, "input": b}, {}, first, a.order, output=codes)
        if codes is not None:
            self.absorb(follow, made)
        return made

    def _readable(self, value: Value) -> Value:
        if not value.real and value.quantised:
            raise Refused("it computes with codes without their scale")
        return self.unpadded(value)

    def _with_constant(self, node: Node, x: Value, other: Const | Quantised, *, swapped: bool) -> Value:
        """Return gain x + bias, with a constant for one of them."""
        x = self._readable(x)
        array = other.real() if isinstance(other, Quantised) else other.array
        if array.dtype.kind not in "fiu" or not np.isfinite(array.astype(np.float64)).all():
            raise Refused("its constant is not made of finite numbers")
        vector = self._spread(np.asarray(array, np.float32), x)
        if not np.any(vector) and node.op in ("Add", "Sub") and not (node.op == "Sub" and swapped):
            return x
        if node.op == "Div" and (swapped or not np.all(vector)):
            raise Refused("it divides by what depends on the input, or by 0")
        with np.errstate(all="ignore"):
            tensors = {
                "Add": {"bias": vector}, "Mul": {"gain": vector}, "Div": {"gain": np.float32(1) / vector},
                "Sub": {"gain": np.array(-1, np.float32), "bias": vector} if swapped else {"bias": -vector},
            }[node.op]  # fmt: skip
        if node.op == "Div" and not np.array_equal(np.frexp(vector)[0], np.sign(vector) * np.float32(0.5)):
            self.how = "approximate"
            self.remarks.append("a quotient as a product with the reciprocal")
        return self._affine(node, x, {key: np.asarray(one, np.float32) for key, one in tensors.items()})

    def _affine(self, node: Node, x: Value, tensors: dict[str, NDArray[np.float32]]) -> Value:
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise Refused("its constants are not finite")
        follow = self.after(node.outputs[0])
        codes = follow.codes if x.quantised else None
        made = self.emit(node, "affine", {"input": x}, {}, x.dims, x.order, tensors=tensors, output=codes)
        if codes is not None:
            self.absorb(follow, made)
        return made

    def _spread(self, array: NDArray[np.float32], x: Value) -> NDArray[np.float32]:
        """Return a constant for each value of a row, in the row's order; one number stays one."""
        if array.size == 1 and array.ndim <= len(x.dims):
            return array.reshape(())
        sizes = [1 if any(axis.time for axis in dim) else size_of(dim) or 1 for dim in x.dims]
        if any(any(axis.time for axis in dim) and len(dim) > 1 for dim in x.dims):
            raise Refused("a constant for a dimension that joins time with others")
        shape = [1] * (len(sizes) - array.ndim) + [*array.shape]
        if len(shape) != len(sizes) or any(one not in (1, size) for one, size in zip(shape, sizes, strict=True)):
            raise Refused(f"a constant of shape {list(array.shape)} for a value of {x.sizes()}, time one")
        flat = np.broadcast_to(array.reshape(shape), sizes).reshape(-1)
        return np.ascontiguousarray(flat[x.places()])

    def batch_norm(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """BatchNormalization that no product takes in: gain x + offset of each channel."""
        x = read[0]
        if not isinstance(x, Value) or len(x.dims) < 2:
            raise Refused("it normalises no value of at least two dimensions")
        x = self._readable(x)
        gain, offset = self._batch_norm(node, size_of(x.dims[1]) or 0)
        shape = [1] * len(x.dims)
        shape[1] = -1
        tensors = {
            "gain": self._spread(gain.astype(np.float32).reshape(shape), x),
            "bias": self._spread(offset.astype(np.float32).reshape(shape), x),
        }
        if x.quantised:
            self.how = "approximate"
            self.remarks.append("gain and offset are computed beforehand, a rounding of float32 apart")
        return [self._affine(node, x, tensors)]

    def function(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Functions of single values."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it computes with what is no value")
        x = self._readable(x)
        kind, keys = _FUNCTIONS[node.op], dict[str, Any]()
        if node.op == "Gelu" and attribute(node, "approximate", "none", str) != "none":
            raise Refused("GELU by tanh; the exact one is taken")
        if node.op == "LeakyRelu":
            keys = {"slope": float32(attribute(node, "alpha", 0.01, float))}
        if node.op in ("Relu", "Clip"):
            low, high = self._limits(node)
            if node.op == "Clip":
                keys = {"low": float32(low)} if math.isfinite(low) else {}
                keys |= {"high": float32(high)} if math.isfinite(high) else {}
                if not keys:
                    return [x]
            follow = self.after(node.outputs[0])
            if follow.codes is not None and x.quantised and x.edge.bits == follow.codes.bits:
                # A clamp of codes: Q is monotonous, so Q(clamp x) = clamp(Q(x), Q(low), Q(high)).
                output = _clamped(follow.codes, low, high)
                made = self.emit(node, "quantise", {"input": x}, {}, x.dims, x.order, output=output)
                self.absorb(follow, made)
                return [made]
        follow = self.after(node.outputs[0])
        codes = follow.codes if x.quantised and "output" in OPS[kind].model_fields else None
        made = self.emit(node, kind, {"input": x}, keys, x.dims, x.order, output=codes)
        if codes is not None:
            self.absorb(follow, made)
        return [made]

    def limit(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Max and Min of a value and one number."""
        x = next((one for one in read if isinstance(one, Value)), None)
        limits = [one.array for one in read if isinstance(one, Const)]
        if x is None or len(read) != 2 or len(limits) != 1 or limits[0].size != 1 or limits[0].dtype.kind not in "fiu":
            raise Refused("the largest, or least, of anything but a value and one number of the file")
        number = float32(limits[0].reshape(-1)[0])
        if not math.isfinite(number):
            raise Refused(f"a limit of {number}")
        x = self._readable(x)
        keys = {"low" if node.op == "Max" else "high": number}
        follow = self.after(node.outputs[0])
        codes = follow.codes if x.quantised else None
        made = self.emit(node, "clip", {"input": x}, keys, x.dims, x.order, output=codes)
        if codes is not None:
            self.absorb(follow, made)
        return [made]

    def power(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Pow by 2, or by a half."""
        x, exponent = read[0], read[1]
        if not isinstance(x, Value) or not isinstance(exponent, Const) or exponent.array.size != 1:
            raise Refused("a power that is no constant")
        x = self._readable(x)
        value = float(exponent.array.reshape(-1)[0])
        if value == 2.0:
            return [self.emit(node, "multiply", {"input": x, "by": x}, {}, x.dims, x.order)]
        if value == 0.5:
            return [self.emit(node, "sqrt", {"input": x}, {}, x.dims, x.order)]
        raise Refused(f"a power of {value:g}; 2 and 0.5 are taken")

    def softmax(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Softmax over a row, or over each band."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it computes with what is no value")
        x = self._readable(x)
        version = self.opsets.get("", 0)
        axis = attribute(node, "axis", -1 if version >= 13 else 1)
        if not -len(x.dims) <= axis < len(x.dims):
            raise Refused(f"axis {axis} of {len(x.dims)} dimensions")
        axis %= len(x.dims)
        dims = x.dims[axis:] if version < 13 else (x.dims[axis],)
        inner = [one for dim in dims for one in dim]
        if any(one.time for one in inner):
            raise Refused("a softmax over time")
        others = [one for one in x.order if one not in inner]
        bands = width(others)
        x = self.arranged(node, x, [*others, *inner], bands if others or x.edge.bands != 1 else None)
        follow = self.after(node.outputs[0])
        codes = follow.codes if x.quantised else None
        made = self.emit(node, "softmax", {"input": x}, {}, x.dims, x.order, output=codes)
        if codes is not None:
            self.absorb(follow, made)
        return [made]

    def layer_norm(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """LayerNormalization over all values of a row."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it normalises what is no value")
        x = self._readable(x)
        epsilon = attribute(node, "epsilon", 1e-5, float)
        if not math.isclose(epsilon, 1e-5, rel_tol=1e-3):
            raise Refused(f"epsilon {epsilon:g}; 1e-5 is taken")
        axis = attribute(node, "axis", -1)
        if not -len(x.dims) <= axis < len(x.dims):
            raise Refused(f"axis {axis} of {len(x.dims)} dimensions")
        axis %= len(x.dims)
        inner = [one for dim in x.dims[axis:] for one in dim]
        if any(one.time for one in inner) or set(map(id, inner)) != set(map(id, x.order)):
            raise Refused("it normalises over time, or over a part of a row alone")
        if len(node.outputs) > 1 and any(node.outputs[1:]):
            raise Refused("it gives mean and deviation as well")
        shape = [size_of(dim) or 1 for dim in x.dims[axis:]]
        gain, bias = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        if len(read) > 1 and isinstance(read[1], Const | Quantised):
            gain = np.asarray(read[1].array if isinstance(read[1], Const) else read[1].real(), np.float32)
        if len(read) > 2 and isinstance(read[2], Const | Quantised):
            bias = np.asarray(read[2].array if isinstance(read[2], Const) else read[2].real(), np.float32)
        if any(isinstance(one, Value) for one in read[1:]):
            raise Refused("its gain or bias depends on the input")
        places = x.places()
        tensors = {}
        for end, array in (("gain", gain), ("bias", bias)):
            if array.dtype.kind != "f" or not np.isfinite(array).all() or array.ndim > len(shape):
                raise Refused(f"its {end} is not made of finite numbers")
            try:
                flat = np.broadcast_to(array, shape).reshape(-1)
            except ValueError:
                raise Refused(f"its {end} has the shape {list(array.shape)}") from None
            tensors[end] = np.ascontiguousarray(flat[places])
        return [self.emit(node, "layer_norm", {"input": x}, {}, x.dims, x.order, tensors=tensors)]

    def pool(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """AveragePool and MaxPool whose windows touch; GlobalAveragePool, ReduceMean over what they take."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it pools what is no value")
        codes_read = not x.real
        x = self.unpadded(x)
        if node.op in ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"):
            return [self._global(node, x, codes_read)]
        kernel = attribute(node, "kernel_shape", [], list)
        if len(kernel) != len(x.dims) - 2 or not all(isinstance(k, int) and 1 <= k <= MOST_TAPS for k in kernel):
            raise Refused(f"a kernel of {kernel[:8]} over {len(x.dims) - 2} dimensions")
        stride, dilation, pads = self._window(node, x, kernel)
        spread = stride != kernel or any(d != 1 for d, k in zip(dilation, kernel, strict=True) if k > 1)
        if spread and any(k > 1 or s > 1 for k, s in zip(kernel, stride, strict=True)):
            raise Refused(f"a window of {kernel} in steps of {stride}: windows that touch are taken")
        if any(map(any, pads)):
            raise Refused("it pads; windows within the value are taken")
        time, band = self._places(x, kernel, pads, stride)
        for place in (time, band):
            size = None if place is None else x.size(place)
            if size is not None and place is not None and size % kernel[place - 2] and attribute(node, "ceil_mode", 0):
                raise Refused("ceil_mode keeps a window that is not whole")
            if size is not None and place is not None and size < kernel[place - 2]:
                raise Refused(f"a window of {kernel[place - 2]} over {size} values")
        if time is not None and x.size(time) is None and attribute(node, "ceil_mode", 0):
            raise Refused("ceil_mode keeps a window that is not whole")
        pooled = [1 if place is None else kernel[place - 2] for place in (time, band)]
        if pooled == [1, 1]:
            return [x]
        dims = list(x.dims)
        new_band: tuple[Axis, ...] = ()
        if band is not None:
            new_band = x.dims[band] if pooled[1] == 1 else axes_of((x.size(band) or 1) // pooled[1])
            rest = [axis for axis in x.order if axis not in x.dims[band]]
            x = self.arranged(node, x, [*x.dims[band], *rest], x.size(band) or 1)
            dims[band] = new_band
            order = (*new_band, *rest)
        else:
            order = x.order
        if time is not None and pooled[0] > 1:
            old = x.dims[time][0].size
            rule = (*x.dims[time][0].rule, (0, -pooled[0]))
            dims[time] = (Axis(None if old is None else old // pooled[0], time=True, rule=rule),)
        return [self._pooled(node, x, pooled, tuple(dims), order, codes_read)]

    def _global(self, node: Node, x: Value, codes_read: bool) -> Value:
        n = len(x.dims)
        if node.op.startswith("Global"):
            axes, keep = list(range(2, n)), True
        else:
            said = self.optional(node, 1)
            found = whole(said.array, "axes") if isinstance(said, Const) else attribute(node, "axes", None, list)
            axes = list(range(n)) if found is None else [int(axis) for axis in found]
            keep = bool(attribute(node, "keepdims", 1))
            if any(not -n <= axis < n for axis in axes):
                raise Refused(f"axes {axes[:8]} of {n} dimensions")
            axes = sorted({axis % n for axis in axes})
        taken = [axis for place in axes for axis in x.dims[place]]
        time = next((axis for axis in taken if axis.time), None)
        if time is not None and time.size is None:
            raise Refused("it takes the mean of all steps of time, of which there are as many as the input has")
        if time is not None and time.size is not None and time.size > MOST_TAPS:
            raise Refused(f"it pools {time.size:,} steps of time")
        inner = [axis for axis in x.order if axis in taken]
        rest = [axis for axis in x.order if axis not in taken]
        count = width(inner)
        bands = count if count > 1 else None
        x = self.arranged(node, x, [*inner, *rest], bands)
        size = [1 if time is None else time.size or 1, count]
        # One row is left of all steps of time, if time is taken.
        shape = tuple(() if place in axes else dim for place, dim in enumerate(x.dims) if keep or place not in axes)
        if size == [1, 1]:
            return replace(x, dims=shape)
        return self._pooled(node, x, size, shape, rest, codes_read)

    def _pooled(
        self, node: Node, x: Value, size: list[int], dims: Dims, order: Sequence[Axis], codes_read: bool
    ) -> Value:
        kind = "max_pool" if "Max" in node.op else "avg_pool"
        follow = self.after(node.outputs[0])
        codes = follow.codes if x.quantised else None
        if codes_read:
            edge = x.edge
            top = 1 << (edge.bits - 1)
            codes, follow = Codes(edge.scale, signed_zero(edge), edge.bits, -top, top - 1, x.shift), Follow()
        made = self.emit(node, kind, {"input": x}, {"size": size}, dims, order, output=codes)
        if codes is not None:
            self.absorb(follow, made)
        return replace(made, real=not codes_read)

    # ---------------------------------------------------------------- moves

    def move(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Reshape, Flatten, Transpose, Squeeze, Unsqueeze, Identity: other dimensions of the same values."""
        x = read[0]
        if isinstance(x, Quantised):
            return [self._moved_constant(node, x, read)]
        if not isinstance(x, Value):
            raise Refused("it moves what is no value")
        if node.op == "Cast" and attribute(node, "to", 0) not in (1, 10, 11):
            raise Refused("it casts to what is no floating-point number")
        if node.op == "Dropout" and len(read) > 2 and not isinstance(read[2], Const):
            raise Refused("training_mode is not a constant")
        n = len(x.dims)
        if node.op in ("Identity", "Dropout", "Cast"):
            return [replace(x, real=True) if node.op == "Cast" else x]
        if node.op == "Transpose":
            perm = attribute(node, "perm", list(range(n))[::-1], list)
            if sorted(perm) != list(range(n)):
                raise Refused(f"perm {perm[:8]} of {n} dimensions")
            if x.padding:
                moved = replace(x, padding={})
                turned = {perm.index(place): value for place, value in x.padding.items()}
                return [replace(moved.moved(tuple(x.dims[axis] for axis in perm)), padding=turned)]
            return [x.moved(tuple(x.dims[axis] for axis in perm))]
        if node.op == "Flatten":
            axis = attribute(node, "axis", 1)
            axis = axis + n if axis < 0 else axis
            if not 0 <= axis <= n:
                raise Refused(f"axis {axis} of {n} dimensions")
            joined = [tuple(one for dim in part for one in dim) for part in (x.dims[:axis], x.dims[axis:])]
            return [x.moved(tuple(joined))]
        if node.op == "Reshape":
            shape = whole(self._constant(node, 1, "shape"), "sizes", 1 << 41)
            return [reshaped(x, shape, allow_zero=bool(attribute(node, "allowzero", 0)))]
        said = self.optional(node, 1)
        axes = whole(said.array, "axes") if isinstance(said, Const) else attribute(node, "axes", None, list)
        if said is not None and not isinstance(said, Const):
            raise Refused("its axes are not constants")
        if node.op == "Unsqueeze":
            total = n + len(axes or [])
            if not axes or any(not -total <= axis < total for axis in axes) or total > 8:
                raise Refused(f"axes {(axes or [])[:8]} of {total} dimensions")
            new = {axis % total for axis in axes}
            rest = iter(x.dims)
            if len(new) != len(axes):
                raise Refused("an axis twice")
            return [x.moved(tuple(() if place in new else next(rest) for place in range(total)))]
        one = [place for place in range(n) if x.size(place) == 1]
        gone = {axis % n for axis in axes if -n <= axis < n} if axes else set(one)
        if not gone <= set(one) or (axes and any(not -n <= axis < n for axis in axes)):
            raise Refused(f"it squeezes axes {axes} of {x.sizes()}")
        if any(x.timed(place) for place in gone):
            x = replace(x, dims=tuple(() if place in gone else dim for place, dim in enumerate(x.dims)))
        return [x.moved(tuple(dim for place, dim in enumerate(x.dims) if place not in gone))]

    def _moved_constant(self, node: Node, x: Quantised, read: list[Anything | None]) -> Quantised:
        """Return quantised weights turned: a scale goes with its axis."""
        arrays: list[NDArray[Any] | None] = [x.codes]
        arrays += [one.array if isinstance(one, Const) else None for one in read[1:]]
        moved = fold(node, arrays, self.opsets.get("", 0))[0]
        axis = x.axis
        if x.scale.size > 1:
            if node.op == "Transpose":
                n = x.codes.ndim
                axis = attribute(node, "perm", list(range(n))[::-1], list).index(x.axis)
            elif node.op != "Identity":
                places = [place for place, size in enumerate(moved.shape) if size == x.scale.size]
                if len(places) != 1:
                    raise Refused("it reshapes weights with a scale an output")
                axis = places[0]
        return Quantised(moved, x.scale, x.zero_point, axis, x.four_bits)

    def concat(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Concat of rows side by side; of a state and new rows, what a streaming convolution reads."""
        axis = attribute(node, "axis", 0)
        values = [one for one in read if isinstance(one, Value)]
        if any(isinstance(one, State) for one in read):
            if len(read) != 2 or not isinstance(read[0], State) or not values:
                raise Refused("a state that is not in front of new rows, and alone")
            return [self._cached(node, read[0], values[0], axis)]
        if len(values) != len(read) or not values:
            raise Refused("it joins constants and values")
        if len(values) == 1:
            return [values[0]]
        n = len(values[0].dims)
        if not -n <= axis < n or any(len(value.dims) != n for value in values):
            raise Refused(f"axis {axis} of values of different dimensions")
        axis %= n
        values = [self.unpadded(value) for value in values]
        for value in values[1:]:
            for place in range(n):
                if place != axis and (
                    value.size(place) != values[0].size(place) or value.timed(place) != values[0].timed(place)
                ):
                    raise Refused(f"shapes {values[0].sizes()} and {value.sizes()} are not alike but for axis {axis}")
        if any(value.timed(axis) for value in values):
            raise Refused("it joins values one after the other in time")
        if len({value.real for value in values}) > 1:
            raise Refused("it joins codes and real numbers")
        follow = self.after(node.outputs[0])
        if follow.codes is not None and any(value.quantised for value in values):
            clamp = follow.codes
            values = [
                value if clamp.same(value.edge) and _all_codes(clamp)
                else self.emit(node, "quantise", {"input": value}, {}, value.dims, value.order, output=clamp,
                               suffix=f".input{place}")
                for place, value in enumerate(values)
            ]  # fmt: skip
        kinds = {(v.edge.kind, v.edge.bits, v.edge.scale, signed_zero(v.edge), v.edge.unsigned) for v in values}
        if not values[0].real and len(kinds) > 1:
            raise Refused("it joins codes of different scales")
        first = values[0]
        rest = [one for place, dim in enumerate(first.dims) if place != axis for one in dim if not one.time]
        bands = width(rest)
        joined: list[Value] = []
        for value in values:
            mine = [one for place, dim in enumerate(value.dims) if place != axis for one in dim if not one.time]
            joined.append(self.arranged(node, value, [*mine, *value.dims[axis]], bands))
        new = axes_of(sum(value.size(axis) or 1 for value in values))
        dims = tuple(new if place == axis else dim for place, dim in enumerate(joined[0].dims))
        order = [*rest_of(joined[0], axis), *new]
        made = self._concat(node, joined, dims, order)
        if follow.codes is not None and follow.codes.same(made.edge):
            self.absorb(follow, made)
        return [replace(made, real=first.real, shift=first.shift if follow.codes is None else follow.codes.shift)]

    def _concat(self, node: Node, values: list[Value], dims: Dims, order: Sequence[Axis]) -> Value:
        reads = {f"inputs{place}": value for place, value in enumerate(values)}
        keys = {"inputs": [value.op for value in values]}
        made = self.emit_many(node, "concat", reads, keys, dims, order)
        return made

    def emit_many(
        self, node: Node, kind: str, reads: Mapping[str, Value], keys: Mapping[str, Any], dims: Dims,
        order: Sequence[Axis],
    ) -> Value:  # fmt: skip
        """Add an op that reads a list."""
        for value in reads.values():
            self.unpadded(value)
        return self.emit(node, kind, {}, keys, dims, order)

    def _cached(self, node: Node, state: State, x: Value, axis: int) -> Value:
        """Return new rows with those before them in front: along time a padding, along a row rows side by side."""
        n = len(x.dims)
        if len(state.sizes) != n or not -n <= axis < n:
            raise Refused(f"a state of {list(state.sizes)} in front of {x.sizes()}")
        axis %= n
        kept = state.sizes[axis]
        if kept is None or not 0 < kept <= MOST_TAPS:
            raise Refused("how many rows the state keeps is not said")
        for place in range(n):
            if place != axis and (state.sizes[place] or 1) != (x.size(place) or 1):
                raise Refused(f"a state of {list(state.sizes)} in front of {x.sizes()}")
        self.remarks.append(f"state '{state.name}': {kept} rows, real 0 at the start")
        if x.timed(axis):
            return replace(x, padding={axis: (kept, 0)}, cache=Cache(state.name, axis, kept))
        if x.time is not None:
            raise Refused("a state along another dimension than time")
        new = width(x.dims[axis])
        rows = -(-kept // new) + 1
        rest = rest_of(x, axis)
        x = self.arranged(node, x, [*x.dims[axis], *rest])
        both = Axis(rows * new)
        dims = tuple((both,) if place == axis else dim for place, dim in enumerate(x.dims))
        keys = {"rows": rows, "hop": 1, "padding": rows - 1}
        made = self.emit(node, "stack", {"input": x}, keys, dims, [both, *rest])
        if rows * new > kept + new:
            part = axes_of(kept + new)
            dims = tuple(part if place == axis else dim for place, dim in enumerate(dims))
            begin = (rows * new - kept - new) * width(rest)
            made = self.emit(node, "slice", {"input": made}, {"begin": begin}, dims, [*part, *rest], suffix=".slice")
        return replace(made, cache=Cache(state.name, axis, kept), real=x.real, shift=x.shift)

    def slice(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Slice of a row, or the new state of a cache."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it slices what is no value")
        n = len(x.dims)
        if "starts" in node.attributes:
            lists = [attribute(node, key, None, list) for key in ("starts", "ends", "axes")]
            lists.append(None)
        else:
            lists = []
            for place, what in enumerate(("starts", "ends", "axes", "steps"), 1):
                there = place < len(node.inputs) and node.inputs[place]
                lists.append(whole(self._constant(node, place, what), what) if there else None)
        begins, ends, axes, steps = lists
        if begins is None or ends is None:
            raise Refused("it has no starts or no ends")
        axes = list(range(len(begins))) if axes is None else axes
        steps = [1] * len(begins) if steps is None else steps
        if not len(begins) == len(ends) == len(axes) == len(steps):
            raise Refused("starts, ends, axes and steps are not as many")
        for begin, end, axis, step in zip(begins, ends, axes, steps, strict=True):
            if not -n <= axis < n or step == 0:
                raise Refused(f"axis {axis} of {n} dimensions, or a step of 0")
            axis %= n
            if (state := self._next_state(node, x, begin, end, axis, step)) is not None:
                return [state]
            size = x.size(axis)
            if size is None:
                if begin == 0 and step == 1 and end >= 1 << 30:
                    continue
                raise Refused("it takes a part of time, of which there is as much as the input has")
            taken = range(size)[slice(begin, None if step < 0 and end <= -(1 << 30) else end, step)]
            if len(taken) == size and step == 1:
                continue
            if not len(taken):
                raise Refused("it takes nothing")
            x = self._part(node, self.unpadded(x), axis, taken)
        return [x]

    def _next_state(self, node: Node, x: Value, begin: int, end: int, axis: int, step: int) -> StateOut | None:
        """Return the new state, where a slice is the end of a cache and an output of the graph."""
        if x.cache is None or not self._is_result(node.outputs[0]):
            return None
        size = x.size(axis)
        total = None if size is None or x.padding else size
        ends = end >= 1 << 30 or (total is not None and end >= total)
        begins = begin == -x.cache.kept or (total is not None and begin == total - x.cache.kept)
        if axis == x.cache.dim and begins and ends and step == 1:
            self.states.append(x.cache.state)
            return StateOut(x.cache.state)
        return None

    def _is_result(self, name: str) -> bool:
        """Return whether a value is an output of the graph, maybe after it is quantised or dequantised."""
        seen: set[str] = set()
        while name not in self.results:
            if name in seen:
                return False
            seen.add(name)
            readers = self.consumers.get(name, [])
            through = ("QuantizeLinear", "DequantizeLinear", "Identity")
            if len(readers) != 1 or readers[0].op not in through or not readers[0].outputs:
                return False
            name = readers[0].outputs[0]
        return True

    def _part(self, node: Node, x: Value, axis: int, taken: range) -> Value:
        """Return a part of a dimension of a row."""
        if x.timed(axis):
            x = self.collapsed(node, x)
        inner = [*x.dims[axis]]
        new = axes_of(len(taken))
        dims = tuple(new if place == axis else dim for place, dim in enumerate(x.dims))
        rest = [one for one in x.order if one not in inner]
        k = len(inner)
        if list(x.order) == [*inner, *rest] and taken.step == 1:
            one = width(rest)
            keys: dict[str, Any] = {"begin": taken.start * one, "end": (taken.start + len(taken)) * one}
            order = [*new, *rest]
        elif list(x.order) == [*rest, *inner] and taken.step == 1 and x.edge.bands == width(rest):
            keys = {"begin": taken.start, "end": taken.start + len(taken), "of": "channels"}
            order = [*rest, *new]
        else:
            index = np.arange(x.edge.width).reshape([one.size or 1 for one in x.order])
            index = np.moveaxis(index, [x.order.index(one) for one in inner], range(k))
            index = index.reshape(width(inner), -1)[np.arange(taken.start, taken.stop, taken.step)]
            return self.gathered(node, x, index.reshape(-1), dims, [*new, *rest])
        made = self.emit(node, "slice", {"input": x}, keys, dims, order)
        return replace(made, real=x.real, shift=x.shift)

    def split(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Split of a row."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it splits what is no value")
        n, axis = len(x.dims), attribute(node, "axis", 0)
        if not -n <= axis < n:
            raise Refused(f"axis {axis} of {n} dimensions")
        axis %= n
        size = x.size(axis)
        if size is None:
            raise Refused("it splits time, of which there is as much as the input has")
        said = self.optional(node, 1)
        sizes = whole(said.array, "sizes") if isinstance(said, Const) else attribute(node, "split", None, list)
        if sizes is None:
            parts = len(node.outputs)
            each = -(-size // max(parts, 1))
            sizes = [min(each, size - each * i) for i in range(parts)]
        if sum(sizes) != size or len(sizes) != len(node.outputs) or any(one < 1 for one in sizes):
            raise Refused(f"parts of {sizes[:8]} of {size} values")
        ends = np.cumsum(sizes).tolist()
        x = self.unpadded(x)
        return [self._part(node, x, axis, range(end - one, end)) for one, end in zip(sizes, ends, strict=True)]

    def gather(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Gather of constant places of a row."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it reads places of what is no value")
        index = self._constant(node, 1, "index")
        n, axis = len(x.dims), attribute(node, "axis", 0)
        if not -n <= axis < n or index.ndim > 1 or index.dtype.kind not in "iu" or not index.size:
            raise Refused(f"axis {axis} of {n} dimensions, or an index of {index.ndim}")
        axis %= n
        size = x.size(axis)
        if size is None:
            raise Refused("it takes places of time, of which there is as much as the input has")
        places = np.where(index < 0, index + size, index).reshape(-1)
        if len(places) > LARGEST_ROW or places.min() < 0 or places.max() >= size:
            raise Refused(f"places beyond {size} values")
        x = self.unpadded(x)
        if x.timed(axis):
            x = self.collapsed(node, x)
        if len(places) == 1:
            found = self._part(node, x, axis, range(int(places[0]), int(places[0]) + 1)) if size > 1 else x
        else:
            found = self._at(node, x, axis, places)
        if index.ndim == 0:
            found = found.moved(tuple(dim for place, dim in enumerate(found.dims) if place != axis))
        return [found]

    def _at(self, node: Node, x: Value, axis: int, places: NDArray[np.int64]) -> Value:
        """Return values at places of a dimension, in any order, also more than once."""
        inner = [*x.dims[axis]]
        rest = [one for one in x.order if one not in inner]
        index = np.arange(x.edge.width).reshape([one.size or 1 for one in x.order])
        # The dimension's own order first, then the rest of the row as it lies.
        index = index.transpose([x.order.index(one) for one in [*inner, *rest]]).reshape(width(inner), -1)
        new = axes_of(len(places))
        if len(places) * index.shape[1] > LARGEST_ROW:
            raise Refused(f"a row of {len(places) * index.shape[1]:,} values")
        dims = tuple(new if place == axis else dim for place, dim in enumerate(x.dims))
        return self.gathered(node, x, index[places].reshape(-1), dims, [*new, *rest])

    def pad(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """Pad with zeros in front of a convolution; by reflection or repetition within a row."""
        x = read[0]
        if not isinstance(x, Value):
            raise Refused("it pads what is no value")
        mode, n = attribute(node, "mode", "constant", str), len(x.dims)
        pads = attribute(node, "pads", None, list) if "pads" in node.attributes else whole(
            self._constant(node, 1, "pads"), "pads")  # fmt: skip
        said = self.optional(node, 3)
        axes = whole(said.array, "axes") if isinstance(said, Const) else list(range(n))
        if pads is None or len(pads) != 2 * len(axes) or any(not -n <= axis < n for axis in axes):
            raise Refused(f"pads of {n} dimensions that are not twice as many")
        if any(not 0 <= one <= MOST_TAPS for one in pads):
            raise Refused(f"pads {pads[:8]}")
        fill = self.optional(node, 2)
        value = 0.0
        if isinstance(fill, Const) and fill.array.size == 1 and fill.array.dtype.kind in "fiu":
            value = float(fill.array.reshape(-1)[0])
        elif fill is not None:
            raise Refused("its value is not a constant")
        value = attribute(node, "value", value, float)
        for place, axis in enumerate(axes):
            before, after = pads[place], pads[place + len(axes)]
            if not before and not after:
                continue
            axis %= n
            if mode == "constant":
                if value != 0 or not x.real:
                    raise Refused(f"it pads with {value:g}; real zeros are taken")
                old = x.padding.get(axis, (0, 0))
                x = replace(x, padding={**x.padding, axis: (old[0] + before, old[1] + after)}, cache=None)
                self.remarks.append("in the padding of the convolution behind it")
                continue
            size = x.size(axis)
            if mode not in ("reflect", "edge", "wrap") or size is None or x.timed(axis):
                raise Refused(f"mode '{mode[:20]}' over time, or not known")
            if mode == "reflect" and max(before, after) >= size:
                raise Refused(f"it reflects {max(before, after)} of {size} values")
            numpy_mode: Any = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode]
            x = self._at(node, self.unpadded(x), axis, np.pad(np.arange(size), (before, after), mode=numpy_mode))
        return [x]

    # ---------------------------------------------------------------- recurrence

    def recurrent(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """LSTM and GRU over time, or from call to call where a state goes in and out."""
        x = read[0]
        lstm = node.op == "LSTM"
        gates = 4 if lstm else 3
        if not isinstance(x, Value) or len(x.dims) != 3:
            raise Refused("it reads no value of three dimensions")
        x = self._readable(x)
        if attribute(node, "direction", "forward", str) != "forward":
            raise Refused("it goes backwards in time, or in both directions")
        for key in ("clip", "activations", "activation_alpha", "activation_beta"):
            if key in node.attributes:
                names = node.attributes[key]
                usual = [b"Sigmoid", b"Tanh", b"Tanh"] if lstm else [b"Sigmoid", b"Tanh"]
                if key == "activations" and names == usual:
                    continue
                raise Refused(f"attribute '{key}': the usual activations, not clipped, are taken")
        if attribute(node, "input_forget", 0):
            raise Refused("input_forget couples its gates")
        layout = attribute(node, "layout", 0)
        sequence, batch = (1, 0) if layout else (0, 1)
        w, r = self._constant(node, 1, "W"), self._constant(node, 2, "R")
        if w.ndim != 3 or r.ndim != 3 or w.shape[0] != 1 or r.shape[0] != 1 or w.dtype.kind != "f" or (
                r.dtype.kind != "f"):  # fmt: skip
            raise Refused(f"weights of shapes {list(w.shape)} and {list(r.shape)}")
        units = r.shape[2]
        inputs = width(x.dims[2]) if not x.timed(2) else 0
        if w.shape[1:] != (gates * units, inputs) or r.shape[1] != gates * units or not units:
            raise Refused(f"weights of {list(w.shape)} and {list(r.shape)} for {inputs} inputs")
        if attribute(node, "hidden_size", units) != units:
            raise Refused("hidden_size is not that of its weights")
        if len(node.inputs) > 4 and node.inputs[4]:
            raise Refused("sequence_lens: utterances of a batch; one is read")
        if lstm and len(node.inputs) > 7 and node.inputs[7]:
            raise Refused("peephole weights")
        if (x.dims[batch] and not x.timed(batch)) or (x.dims[sequence] and not x.timed(sequence)):
            raise Refused("a batch of more than one, or steps that are no time")
        states = [self.optional(node, 5), self.optional(node, 6) if lstm else None]
        steps = x.timed(sequence)
        self._initial(node, states, steps)
        if list(x.order) != list(x.dims[2]):
            x = self.arranged(node, x, list(x.dims[2]))
        tensors, reference = self._recurrent_tensors(node, w[0], r[0], units, lstm)
        keys: dict[str, Any] = {"units": units, "weight_bits": 16}
        if not lstm:
            keys["reset_after"] = bool(attribute(node, "linear_before_reset", 0))
        new = axes_of(units)
        seq_dim, batch_dim = x.dims[sequence], x.dims[batch]
        dims = [batch_dim, seq_dim, (), new] if layout else [seq_dim, (), batch_dim, new]
        made = self.emit(
            node, "lstm" if lstm else "gru", {"input": x}, keys, tuple(dims), new, tensors=tensors, reference=reference
        )
        given: list[Anything] = [made]
        for place, state in enumerate(states[: 2 if lstm else 1]):
            name = node.outputs[place + 1] if place + 1 < len(node.outputs) else ""
            if isinstance(state, State):
                if not name or not self._is_result(name):
                    raise Refused(f"state '{state.name}' is read, and no output of the graph gives the next one")
                self.states.append(state.name)
                self.remarks.append(f"state '{state.name}' goes on from row to row")
                given.append(StateOut(state.name))
            elif place == 0 and not steps and name:
                given.append(replace(made, dims=((), batch_dim, new)))
            else:
                given.append(Unknown() if not self.consumers.get(name) and name not in self.results else _Last())
        return given

    def _initial(self, node: Node, states: Sequence[Anything | None], steps: bool) -> None:
        """Check that a recurrence starts at 0, and goes on from row to row."""
        for state in states:
            if isinstance(state, Const) and np.any(state.array):
                raise Refused("a first state other than 0")
            if state is not None and not isinstance(state, Const | State):
                raise Refused("a first state that depends on the input")
        if not steps and not any(isinstance(state, State) for state in states):
            raise Refused("every call starts anew, since no input of the graph carries its state: choose the time axis")

    def _recurrent_tensors(
        self, node: Node, w: NDArray[Any], r: NDArray[Any], units: int, lstm: bool
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return the matrices with the gates in our order: i, o, f, c -> i, f, c, o; z, r, h -> r, z, n."""
        gates = [0, 2, 3, 1] if lstm else [1, 0, 2]
        bias = np.zeros((2, len(gates) * units), np.float32)
        if len(node.inputs) > 3 and node.inputs[3]:
            found = self._constant(node, 3, "B")
            if found.size != bias.size or found.dtype.kind != "f":
                raise Refused(f"a bias of shape {list(found.shape)}")
            bias = np.asarray(found, np.float32).reshape(2, -1)

        def turned(array: NDArray[Any]) -> NDArray[np.float32]:
            parts = np.asarray(array, np.float32).reshape(len(gates), units, -1)[gates]
            return parts.reshape(len(gates) * units, -1)

        plain: dict[str, NDArray[Any]] = {
            "weight": np.ascontiguousarray(turned(w).T), "recurrent_weight": np.ascontiguousarray(turned(r).T),
        }  # fmt: skip
        if lstm:
            plain["bias"] = turned(bias.sum(axis=0, dtype=np.float32)).reshape(-1)
        else:
            plain["bias"], plain["recurrent_bias"] = turned(bias[0]).reshape(-1), turned(bias[1]).reshape(-1)
        if any(not np.isfinite(one).all() or np.abs(one).max(initial=0) > FLOAT16_LARGEST for one in plain.values()):
            raise Refused("its weights do not lie in the range of float16")
        tensors = {
            end: one.astype(np.float16) if end.endswith("weight") else one for end, one in plain.items()
        }  # fmt: skip
        self.how = "approximate"
        self.remarks.append("weights rounded to float16")
        return tensors, plain

    # ---------------------------------------------------------------- integers without scales

    def integer_product(self, node: Node, read: list[Anything | None]) -> list[Anything]:
        """ConvInteger and MatMulInteger: sums of products of codes as they are, where no zero point is in the way."""
        x, w = read[0], read[1]
        zeros = [self.optional(node, 2), self.optional(node, 3)]
        if not isinstance(x, Value) or x.real or not isinstance(w, Const):
            raise Refused("it multiplies what are not codes by constants; scales that are computed from the data are "
                          "not taken")  # fmt: skip
        if any(zero is not None and not isinstance(zero, Const) for zero in zeros):
            raise Refused("its zero points are not constants")
        point = int(zeros[0].array.reshape(-1)[0]) if isinstance(zeros[0], Const) and zeros[0].array.size == 1 else 0
        if isinstance(zeros[0], Const) and zeros[0].array.size != 1:
            raise Refused("more than one zero point of what it reads")
        if point != x.shift:
            raise Refused(
                f"zero point {point} of what it reads: sums of codes less {x.shift} are exact here; QLinearConv, or "
                "QuantizeLinear around Conv, takes any"
            )
        zero = zeros[1].array.astype(np.int32) if isinstance(zeros[1], Const) else np.zeros(1, np.int32)
        if zero.size > 1:
            raise Refused("a zero point for every output of its weights")
        wide = w.array.astype(np.int32) - zero.reshape(-1)[0]
        if w.array.dtype.kind not in "iu" or wide.min(initial=0) < -128 or wide.max(initial=0) > 127:
            raise Refused("weights less their zero point do not lie in -128 .. 127")
        unit = Quantised(wide.astype(np.int8), np.ones(1, np.float32), np.zeros(1, np.int32), 0)
        real = replace(x, real=True)
        self.sums = True
        try:
            return self.conv(node, [real, unit]) if node.op == "ConvInteger" else self.product(node, [real, unit])
        finally:
            self.sums = False


def _check_inputs(node: Node) -> None:
    """Raise `Refused` unless a node has the inputs and outputs that its op cannot be without."""
    least = _INPUTS.get(node.op, 1)
    if len(node.inputs) < least or not all(node.inputs[:least]):
        raise Refused(f"it has {sum(map(bool, node.inputs))} inputs, and needs {least}")
    if not node.outputs or not node.outputs[0]:
        raise Refused("it gives nothing")


def _read_inside(node: Node) -> list[str]:
    """Return what the graphs in a node's attributes read, their own values too."""
    names: list[str] = []
    for value in node.attributes.values():
        for graph in value if isinstance(value, list) else [value]:
            if isinstance(graph, Graph):
                for inner in graph.nodes:
                    names += [*inner.inputs, *_read_inside(inner)]
                names += [output.name for output in graph.outputs]
    return names


class _Last(Unknown):
    """A last state that no row of ours is."""


def rest_of(value: Value, axis: int) -> list[Axis]:
    """Return the axes of a row but for those of one dimension, dimension after dimension."""
    return [one for place, dim in enumerate(value.dims) if place != axis for one in dim if not one.time]


def _clamped(codes: Codes, low: float, high: float) -> Codes:
    """Return codes whose range is that of clamped real numbers: Q(low) .. Q(high)."""

    def code(value: float) -> int:
        place = np.rint(np.float32(value) / np.float32(codes.scale)) + codes.zero_point
        return int(np.clip(place, codes.low, codes.high))

    bottom = codes.low if low == -math.inf else code(low)
    top = codes.high if high == math.inf else code(high)
    return replace(codes, low=bottom, high=max(top, bottom))


def _all_codes(codes: Codes) -> bool:
    """Return whether nothing is clamped."""
    return codes.low == -(1 << (codes.bits - 1)) and codes.high == (1 << (codes.bits - 1)) - 1


def _channel_dim(dims: Dims, order: Sequence[Axis], outputs: int) -> int:
    """Return in which dimension the outputs of a product lie: the last axis of a row; -1 where there is one output."""
    if outputs == 1 or not order:
        return -1
    return next(place for place, dim in enumerate(dims) if order[-1] in dim)


def _per_channel(array: NDArray[Any], dims: Dims, place: int, outputs: int) -> NDArray[np.float64] | None:
    """Return a constant as one number for each output; None where it is anything else."""
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        return None
    if array.size == 1 and array.ndim <= len(dims):
        return np.full(outputs, float(array.reshape(-1)[0]))
    shape = [1] * (len(dims) - array.ndim) + [*array.shape]
    wanted = [outputs if at == place else 1 for at in range(len(dims))]
    return array.reshape(-1).astype(np.float64) if shape == wanted else None


def _two_taps(moved: NDArray[Any], time: int | None, band: int | None) -> NDArray[Any]:
    """Return weights [spatial .., in, out] with the taps over time first."""
    if time is not None and band is not None and band < time:
        return moved.swapaxes(0, 1)
    return moved


def _ranges(index: NDArray[np.int64]) -> list[list[int]]:
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


def _spelt_out(node: Node) -> list[Node]:
    """Return an operator on integers as DequantizeLinear of what it reads, the operator, QuantizeLinear."""
    form = _INTEGER_FORMS.get((node.domain, node.op))
    if form is None:
        return [node]
    op, reads, given, rest = form
    names = [*node.inputs, *[""] * 24]
    if given == ():  # as many inputs as there are
        given = (0, 1)
        reads = tuple((place, place + 1, place + 2) for place in range(2, len(node.inputs), 3))
    nodes: list[Node] = []
    inputs: list[str] = []
    for place, scale, zero in reads:
        if not names[place]:
            inputs.append("")
            continue
        one = f"{node.outputs[0] if node.outputs else node.name}/{place}/dequantised"
        attributes = {"axis": 0 if op == "Conv" or node.attributes.get("transB") else 1}
        nodes.append(Node(node.name, "DequantizeLinear", "", [names[place], names[scale], names[zero]], [one],
                          attributes))  # fmt: skip
        inputs.append(one)
    if not node.outputs:
        raise Refused("it gives nothing")
    bias = rest.get("bias")
    if bias is not None and names[bias]:
        inputs.append(f"{node.outputs[0]}/bias")
        nodes.append(
            Node(node.name, _BIAS, "", [names[bias], names[reads[0][1]], names[reads[1][1]]], [inputs[-1]], {})
        )
    real = f"{node.outputs[0]}/real"
    nodes.append(Node(node.name, op, "", inputs, [real], dict(node.attributes)))
    nodes.append(Node(node.name, "QuantizeLinear", "", [real, names[given[0]], names[given[1]]], node.outputs[:1], {}))
    return nodes


_BIAS = "bias of integers"
"""Not an operator of ONNX: an int32 bias, and the scales whose product is its own."""


def _bias(lowering: Lowering, node: Node, read: list[Anything | None]) -> list[Anything]:
    bias, a, b = (lowering._constant(node, place, "bias or scale") for place in range(3))
    if bias.dtype != np.int32:
        raise Refused(f"a bias of type {bias.dtype}")
    scale = (np.asarray(a, np.float32).reshape(-1) * np.asarray(b, np.float32).reshape(-1)).astype(np.float32)
    if scale.size not in (1, bias.size) or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise Refused("scales that do not fit its bias")
    return [Quantised(bias, scale, np.zeros(1, np.int32), 0)]


_Form = tuple[str, tuple[tuple[int, int, int], ...], tuple[int, ...], dict[str, int]]
_INTEGER_FORMS: dict[tuple[str, str], _Form] = {
    ("", "QLinearConv"): ("Conv", ((0, 1, 2), (3, 4, 5)), (6, 7), {"bias": 8}),
    ("", "QLinearMatMul"): ("MatMul", ((0, 1, 2), (3, 4, 5)), (6, 7), {}),
    ("com.microsoft", "QGemm"): ("Gemm", ((0, 1, 2), (3, 4, 5)), (7, 8), {"bias": 6}),
    ("com.microsoft", "QLinearAdd"): ("Add", ((0, 1, 2), (3, 4, 5)), (6, 7), {}),
    ("com.microsoft", "QLinearMul"): ("Mul", ((0, 1, 2), (3, 4, 5)), (6, 7), {}),
    ("com.microsoft", "QLinearSigmoid"): ("Sigmoid", ((0, 1, 2),), (3, 4), {}),
    ("com.microsoft", "QLinearLeakyRelu"): ("LeakyRelu", ((0, 1, 2),), (3, 4), {}),
    ("com.microsoft", "QLinearSoftmax"): ("Softmax", ((0, 1, 2),), (3, 4), {}),
    ("com.microsoft", "QLinearGlobalAveragePool"): ("GlobalAveragePool", ((0, 1, 2),), (3, 4), {}),
    ("com.microsoft", "QLinearAveragePool"): ("AveragePool", ((0, 1, 2),), (3, 4), {}),
    ("com.microsoft", "QLinearConcat"): ("Concat", (), (), {}),
}
"""Operator on integers: the operator, (code, scale, zero point) of what it reads, scale and zero point of its own."""

_INPUTS = {
    "Conv": 2, "MatMul": 2, "Gemm": 2, "Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Pow": 2, "Reshape": 2, "Gather": 2,
    "LSTM": 3, "GRU": 3, "BatchNormalization": 5, "QuantizeLinear": 2, "DequantizeLinear": 2, "ConvInteger": 2,
    "MatMulInteger": 2,
}  # fmt: skip
"""How many inputs an op cannot be without; one where nothing is said."""

_FUNCTIONS = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Gelu": "gelu", "Sqrt": "sqrt", "Clip": "clip",
    "LeakyRelu": "leaky_relu",
}  # fmt: skip

Rule = Callable[[Lowering, Node, list[Anything | None]], list[Anything]]
_RULES: dict[tuple[str, str], Rule] = {
    ("", "QuantizeLinear"): Lowering.quantise_node,
    ("", "DequantizeLinear"): Lowering.dequantise_node,
    ("", "Conv"): Lowering.conv,
    ("", "MatMul"): Lowering.product,
    ("", "Gemm"): Lowering.gemm,
    ("", "BatchNormalization"): Lowering.batch_norm,
    ("", "Pow"): Lowering.power,
    ("", "Max"): Lowering.limit,
    ("", "Min"): Lowering.limit,
    ("", "Softmax"): Lowering.softmax,
    ("", "LayerNormalization"): Lowering.layer_norm,
    ("", "Concat"): Lowering.concat,
    ("", "Slice"): Lowering.slice,
    ("", "Split"): Lowering.split,
    ("", "Gather"): Lowering.gather,
    ("", "Pad"): Lowering.pad,
    ("", "LSTM"): Lowering.recurrent,
    ("", "GRU"): Lowering.recurrent,
    ("", "ConvInteger"): Lowering.integer_product,
    ("", "MatMulInteger"): Lowering.integer_product,
    ("", _BIAS): _bias,
    **{("", op): Lowering.two for op in ("Add", "Sub", "Mul", "Div")},
    **{("", op): Lowering.function for op in _FUNCTIONS},
    **{("", op): Lowering.move for op in (*MOVES, "Cast")},
    **{
        ("", op): Lowering.pool
        for op in ("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax")
    },
}
_ONNX_ONLY = frozenset(key for key in _RULES if key[1] not in ("QuantizeLinear", "DequantizeLinear"))
"""Operators that other domains may not redefine; com.microsoft has ONNX's own quantisation under the same name."""
