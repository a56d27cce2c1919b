"""TFLite: int8 networks as TensorFlow Lite Micro and LiteRT run them, streaming ones with their state too.

A run of a TFLite network takes so many rows of features, T. Here a network is a graph over all rows of an utterance,
and a tensor of a run is a view of one of its edges: which rows it has, counted from the run's first new one. State
that is kept in variables is the end of a ring buffer, CONCATENATION(state, new rows): a view that begins before
the first new row, so that the op which reads it is a causal one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim import limits
from accelsim.errors import InputError, Problem
from accelsim.importers.flatbuffer import DamagedError
from accelsim.importers.importer import (
    IMPORTERS,
    LARGEST_FILE,
    Imported,
    Importer,
    Names,
    Note,
    Options,
    Refusals,
    mapped,
)
from accelsim.importers.tflite_file import Model, Node, Subgraph, Tensor
from accelsim.ops.op import FEATURES

LOW, HIGH = -128, 127
SAME, VALID = 0, 1
NO_ACTIVATION, RELU, RELU_N1_TO_1, RELU6, TANH = range(5)
ACTIVATIONS = {RELU: (0.0, None), RELU_N1_TO_1: (-1.0, 1.0), RELU6: (0.0, 6.0)}
ROUNDINGS = {
    "double_away": "as TensorFlow Lite Micro: product of 32 bits and shift each round halves away from 0",
    "double_up": "as LiteRT's own kernels (no delegate): product of 32 bits and shift each round halves up",
    "single": "as LiteRT with XNNPACK, its default: product and shift round once, halves up",
}
NONE = ((0, 0), (0, 0))


class TfliteOptions(Options):
    """``rounding``: how sums become codes, one of `ROUNDINGS`; runtimes differ, and so do their codes.

    ``reference``: write the network of the real numbers that its integers stand for as well, as the float one.
    """

    rounding: Literal["double_away", "double_up", "single"] = "double_away"
    reference: bool = False


class _RefusedError(ValueError):
    """A node cannot be taken; its text is the reason."""


@dataclass(frozen=True)
class View:
    """A tensor of a run as rows of an edge: rows ``low`` .. ``high`` - 1, counted from the first new one.

    ``rows``: new rows of the edge in a run. ``bands``, ``channels``: what the tensor's shape makes of a row;
    ``edge_bands``: what the edge makes of it. ``padding``: real zeros around it, (time, bands), each (before, after).
    ``variable``: the key of the state that it is, of which only a CONCATENATION finds out where it comes from.
    ``lying``: time is the third dimension of the tensor, [1, 1, T, C], as where a convolution of one dimension was made
    one of two.
    """

    edge: str
    rows: int
    low: int
    high: int
    bands: int
    channels: int
    edge_bands: int
    padding: tuple[tuple[int, int], tuple[int, int]] = NONE
    variable: str | None = None
    lying: bool = False

    @property
    def width(self) -> int:
        """The values of a row."""
        return self.bands * self.channels

    @property
    def count(self) -> int:
        """The rows of a run."""
        return self.high - self.low

    def whole(self) -> bool:
        """Return whether it has just the new rows."""
        return (self.low, self.high) == (0, self.rows) and self.padding == NONE and self.variable is None


@dataclass
class Ring:
    """A ring buffer: of which edge it keeps how many rows, and whether a run writes it."""

    view: View
    kept: int
    node: str
    written: bool = False


@dataclass
class Translation:
    """A subgraph on its way to a workload's graph: ops and their tensors, and a view for each tensor of a run."""

    model: Model
    main: Subgraph
    refused: Refusals
    rounding: str = "double_away"
    names: Names = field(default_factory=Names)
    ops: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    views: dict[int, View] = field(default_factory=dict)
    handles: dict[int, str] = field(default_factory=dict)
    started: dict[str, Tensor] = field(default_factory=dict)
    rings: dict[str, Ring] = field(default_factory=dict)
    flat: dict[tuple[str, int, int], View] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    remark: list[str] = field(default_factory=list)
    mixes: bool = False
    """Whether rows of a run are joined, so that a run must be a clip."""

    # What a workload needs beside its graph.
    features: Mapping[str, Any] = field(default_factory=dict)
    width: int = 0
    step: int = 0

    @property
    def streaming(self) -> bool:
        """Whether it keeps rows from one run to the next."""
        return any(node.op == "VAR_HANDLE" for node in self.main.nodes)

    def build(self) -> None:
        """Translate all nodes; what cannot be taken is collected in ``refused``."""
        try:
            self._read_features()
        except _RefusedError as error:
            self.refused.add(self._tensor_name(self.main.inputs, "inputs"), "input", str(error))
            self.refused.stop()
        for node in self.main.nodes:
            self._translate(node)
        for key, ring in self.rings.items():
            if not ring.written:
                self.refused.add(ring.node, "CONCATENATION", f"the state '{key}' is read and never written")
        self.refused.stop()
        self._finish()

    def _translate(self, node: Node) -> None:
        outputs = [self.main.tensor(index) for index in node.outputs]
        named = [t.name for t in outputs] or [self.main.tensor(i).name for i in node.inputs if i >= 0]
        name = named[0] if named else node.op
        self.made, self.remark = [], []
        translate = _OPS.get(node.op)
        if translate is None:
            self.unknown.update(node.outputs)
            self.refused.add(name, node.op, "no op of accelsim computes it")
            return
        if any(index in self.unknown for index in node.inputs):
            self.unknown.update(node.outputs)  # its input was refused, and said so
            return
        try:
            ours = translate(self, node)
        except _RefusedError as error:
            self.unknown.update(node.outputs)
            self.refused.add(name, node.op, str(error))
            return
        ops = tuple(dict.fromkeys([*self.made, *ours]))
        self.notes.append(Note(name, node.op, ops, remark="; ".join(self.remark)))

    unknown: set[int] = field(default_factory=set)
    """Tensors that refused nodes give."""

    # --- What goes in and comes out ---------------------------------------------------------------------------------

    def _tensor_name(self, indices: Sequence[int], otherwise: str) -> str:
        return self.main.tensor(indices[0]).name if indices else otherwise

    def _read_features(self) -> None:
        main = self.main
        for what, indices in (("inputs", main.inputs), ("outputs", main.outputs)):
            if len(indices) != 1:
                raise _RefusedError(f"the network has {len(indices)} {what}, a workload has one")
        index = main.inputs[0]
        tensor = main.tensor(index)
        rows, bands, channels = _layout(self._shape_of_features(index, tensor))
        quantised = self._quantised_features(index, tensor)
        scale, zero = _scale(quantised), int(quantised.zero_points[0])
        offset = zero if quantised.type == "uint8" else zero + 128
        if not 0 <= offset <= 255:
            raise _RefusedError(f"its zero point {zero} is no code of {quantised.type}")
        self.step, self.width = rows, bands * channels
        self.features = {"feature_offset": offset, "feature_scale": scale}
        self.views[index] = View(FEATURES, rows, 0, rows, bands, channels, self.width)

    def _shape_of_features(self, index: int, tensor: Tensor) -> tuple[int, ...]:
        """Return the shape of what goes in: where all of it is one row that is reshaped at once, the new shape."""
        if tensor.shape[:1] == (1,) and len(tensor.shape) == 2:
            readers = [node for node in self.main.nodes if index in node.inputs]
            shapes = {self.main.tensor(n.outputs[0]).shape for n in readers if n.op == "RESHAPE" and n.outputs}
            if readers and all(node.op == "RESHAPE" for node in readers) and len(shapes) == 1:
                return shapes.pop()
        return tensor.shape

    def _quantised_features(self, index: int, tensor: Tensor) -> Tensor:
        """Return the tensor whose codes are the features: what goes in, or what it is quantised to at once."""
        if tensor.type in ("int8", "uint8"):
            _check_codes(tensor, tensor.type)
            return tensor
        readers = [node for node in self.main.nodes if index in node.inputs]
        if tensor.type == "float32" and readers and all(node.op == "QUANTIZE" and node.outputs for node in readers):
            given = [self.main.tensor(node.outputs[0]) for node in readers]
            for one in given:
                _check_codes(one)
            if len({(_scale(one), int(one.zero_points[0])) for one in given}) == 1:
                return given[0]
        raise _RefusedError(f"features are {tensor.type}, expected int8 or uint8, or float32 that is quantised at once")

    def _finish(self) -> None:
        """Put what gives the outputs last, and drop what nothing reads."""
        index = self.main.outputs[0]
        tensor = self.main.tensor(index)
        view = self.views.get(index)
        if view is None:
            self.refused.add(tensor.name, "output", "no node gives it")
        else:
            self.made = []
            try:
                view = self._rows(view, tensor.name)
            except _RefusedError as error:
                self.refused.add(tensor.name, "output", str(error))
            if view.edge == FEATURES:
                self.refused.add(tensor.name, "output", "it is what goes in")
        self.refused.stop()
        assert view is not None
        wanted, kept = {view.edge}, []
        for op in reversed(self.ops):
            if op["name"] in wanted:
                kept.append(op)
                wanted.update(_reads(op))
        dropped = {op["name"] for op in self.ops} - wanted
        self.ops = kept[::-1]
        self.tensors = {name: t for name, t in self.tensors.items() if name.rpartition(".")[0] not in dropped}
        for i, note in enumerate(self.notes):
            if note.ours and set(note.ours) <= dropped:
                self.notes[i] = replace(note, ours=(), remark="nothing reads it, left out")

    # --- What nodes are made of -------------------------------------------------------------------------------------

    def emit(self, name: str, op: str, **keys: Any) -> str:
        """Add an op, and return its name: the first of those of its tensor, which has all that were merged into it."""
        limits.check("ops", len(self.ops) + 1, file=self.refused.file)
        name = self.names.new(name.partition(";")[0])
        self.ops.append({"name": name, "op": op, **{key: value for key, value in keys.items() if value is not None}})
        self.made.append(name)
        return name

    def tensor(self, node: Node, place: int) -> Tensor:
        """Return an input of a node; raises _RefusedError if it is left out."""
        if (found := self.maybe(node, place)) is None:
            raise _RefusedError(f"its input {place} is missing")
        return found

    def maybe(self, node: Node, place: int) -> Tensor | None:
        """Return an input of a node, None if it is left out."""
        index = node.inputs[place] if place < len(node.inputs) else -1
        return None if index < 0 else self.main.tensor(index)

    def view(self, node: Node, place: int) -> View:
        """Return what a node reads as a view; raises _RefusedError for constants and what is no int8 code."""
        tensor = self.tensor(node, place)
        view = self.views.get(node.inputs[place])
        if view is None:
            what = "a constant" if tensor.data is not None else "given by no node before it"
            raise _RefusedError(f"its input '{tensor.name}' is {what}")
        return view

    def codes(self, node: Node, place: int) -> Tensor:
        """Return an input that has int8 codes; raises _RefusedError for any other."""
        tensor = self.tensor(node, place)
        _check_codes(tensor)
        return tensor

    def given(self, node: Node, place: int = 0) -> Tensor:
        """Return an output of a node that has int8 codes."""
        if place >= len(node.outputs):
            raise _RefusedError(f"it has no output {place}")
        tensor = self.main.tensor(node.outputs[place])
        _check_codes(tensor)
        return tensor

    def give(self, node: Node, view: View, place: int = 0) -> list[str]:
        """Set what a node gives, whose shape must be that of the view, and return the name of its op."""
        tensor = self.main.tensor(node.outputs[place])
        found = _layout(tensor.shape, view.lying)
        if found != (view.count, view.bands, view.channels):
            raise _RefusedError(
                f"its output has the shape {list(tensor.shape)}, and it makes {view.count} rows of {view.bands} bands "
                f"of {view.channels} channels"
            )
        self.views[node.outputs[place]] = view
        return [] if view.edge == FEATURES else [view.edge]

    def new(self, name: str, like: View, channels: int, given: Tensor) -> View:
        """Return the view of an op that gives rows of one band for the rows of a whole view."""
        lying = like.lying and len(given.shape) == 4
        return View(name, like.rows, 0, like.rows, 1, channels, 1, lying=lying)

    def constant(self, node: Node, place: int) -> NDArray[Any]:
        """Return an input that must be a constant."""
        tensor = self.tensor(node, place)
        if tensor.data is None:
            raise _RefusedError(f"its input '{tensor.name}' is no constant")
        return tensor.values()

    def integers(self, node: Node, place: int) -> list[int]:
        """Return an input that must be constant integers."""
        values = self.constant(node, place)
        if values.dtype.kind != "i" or values.size > 64:
            raise _RefusedError(f"its input '{self.tensor(node, place).name}' is no list of integers")
        return [int(value) for value in values.reshape(-1)]

    def _rows(self, view: View, name: str) -> View:
        """Return a view that has just its edge's new rows; where it is one row of others, an op makes it."""
        if view.variable is not None:
            raise _RefusedError("it reads a state that no CONCATENATION joins with new rows")
        if view.whole():
            return view
        if view.padding != NONE:
            raise _RefusedError("zeros of a PAD are taken in front of a convolution only")
        if view.count != 1:
            raise _RefusedError(f"it works on {view.count} rows of a run that are not its {view.rows} new ones")
        return replace(self.flattened(view, name), bands=view.bands, channels=view.channels)

    def banded(self, view: View, name: str) -> View:
        """Return a view whose edge is divided into bands as the tensor's shape says; an op makes it where it is not."""
        if view.bands == view.edge_bands:
            return view
        edge = self.emit(f"{name}.bands", "gather", input=view.edge, ranges=[[0, view.width, 1]], bands=view.bands)
        return replace(view, edge=edge, edge_bands=view.bands)

    def flattened(self, view: View, name: str) -> View:
        """Return all rows of a run side by side as one."""
        if view.variable is not None or view.padding != NONE:
            return self._rows(view, name)
        if view.whole() and view.rows == 1:
            return replace(view, bands=1, channels=view.width)
        key = view.edge, view.low, view.high
        if key in self.flat:
            return self.flat[key]
        self.mixes = self.mixes or not self.streaming
        before = max(-view.low, 0)
        rows, edge_bands = view.rows + before, (view.rows + before) * view.edge_bands
        edge = view.edge
        if rows > 1:
            edge = self.emit(
                f"{name}.rows", "stack", input=edge, rows=rows, hop=view.rows, padding=before or None
            )  # fmt: skip
        begin, end = ((place + before) * view.width for place in (view.low, view.high))
        if (begin, end) != (0, rows * view.width):
            edge, edge_bands = self.emit(f"{name}.part", "slice", input=edge, begin=begin, end=end), 1
        made = View(edge, 1, 0, 1, 1, view.count * view.width, edge_bands)
        self.flat[key] = made
        return made

    def output(self, tensor: Tensor, activation: int = NO_ACTIVATION) -> dict[str, Any]:
        """Return the key ``output`` of an op that gives a tensor, with its fused activation as limits."""
        scale, zero = np.float32(tensor.scales[0]), int(tensor.zero_points[0])
        output: dict[str, Any] = {"scale": float(scale), "zero_point": zero, "bits": 8}
        if activation == NO_ACTIVATION:
            return output
        if activation not in ACTIVATIONS:
            raise _RefusedError(f"its fused activation {activation} is none of RELU, RELU_N1_TO_1 and RELU6")

        def code(real: float) -> int:
            with np.errstate(over="ignore"):
                quotient = float(np.float32(real) / scale)
            rounded = math.floor(abs(quotient) + 0.5) * (1 if quotient >= 0 else -1) if abs(quotient) < 1e9 else 10**9
            return min(max(zero + rounded, LOW), HIGH)

        low, high = ACTIVATIONS[activation]
        return output | {"low": LOW if low is None else code(low), "high": HIGH if high is None else code(high)}

    def weigh(
        self, name: str, weight: NDArray[Any], scales: NDArray[np.float32], bias: NDArray[Any] | None, read: Tensor
    ) -> None:
        """Keep the tensors of an op, which reads the codes of ``read``."""
        self.refused.count([weight, scales] if bias is None else [weight, scales, bias])
        self.scales[name] = _scale(read)
        self.tensors[f"{name}.weight"] = weight
        self.tensors[f"{name}.weight_scale"] = scales
        if bias is not None:
            self.tensors[f"{name}.bias"] = bias.astype(np.int32)

    def reference(self) -> dict[str, NDArray[np.float32]]:
        """Return the real numbers that weights and biases stand for; a scale is of one, of all, or of a gate."""
        found = {}
        for name, tensor in self.tensors.items():
            op, _, end = name.rpartition(".")
            if end.endswith("_scale"):
                continue
            of = self.tensors[f"{op}.{end}_scale" if end.endswith("weight") else f"{op}.weight_scale"]
            scales = np.repeat(of, tensor.shape[-1] // of.size) if of.size > 1 else of
            found[name] = tensor * (scales if end.endswith("weight") else scales * np.float32(self.scales[op]))
        with np.errstate(over="ignore"):
            found = {name: tensor.astype(np.float32) for name, tensor in found.items()}
        for name, tensor in found.items():
            if not np.isfinite(tensor).all():
                self.refused.add(name, "tensor", "its real numbers do not lie in the range of float32")
        self.refused.stop()
        return found

    def weights(self, node: Node, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Return constant int8 weights and their scales, one or one of each output, which lie along ``axis``."""
        tensor = self.tensor(node, 1)
        if tensor.type != "int8":
            raise _RefusedError(f"its weights are {tensor.type}, expected int8")
        if tensor.sparse:
            raise _RefusedError("its weights are sparse")
        if not len(tensor.scales) or tensor.zero_points.any():
            raise _RefusedError("its weights have no scale, or a zero point other than 0")
        weight = self.constant(node, 1)
        if len(tensor.scales) > 1 and (
            weight.ndim <= axis or tensor.axis != axis or len(tensor.scales) != weight.shape[axis]
        ):
            raise _RefusedError(f"{len(tensor.scales)} scales of its weights are not one of each output")
        return weight, tensor.scales

    def bias(self, node: Node, outputs: int) -> NDArray[np.int32] | None:
        """Return a constant int32 bias, or None."""
        tensor = self.maybe(node, 2)
        if tensor is None:
            return None
        if tensor.type != "int32" or tensor.shape != (outputs,):
            raise _RefusedError(f"its bias is {tensor.type} of shape {list(tensor.shape)}, expected int32 [{outputs}]")
        return self.constant(node, 2)

    # --- Ops with weights -------------------------------------------------------------------------------------------

    def convolution(self, node: Node) -> list[str]:
        """CONV_2D and DEPTHWISE_CONV_2D."""
        each = node.op == "DEPTHWISE_CONV_2D"
        view, tensor, given = self.view(node, 0), self.codes(node, 0), self.given(node)
        if view.variable is not None:
            self._rows(view, given.name)
        weight, scales = self.weights(node, 3 if each else 0)
        if weight.ndim != 4 or 0 in weight.shape:
            raise _RefusedError(f"its weights have the shape {list(weight.shape)}")
        weight = weight.transpose(1, 2, 0, 3) if each else weight.transpose(1, 2, 3, 0)
        taps, band_taps, inputs, channels = weight.shape
        if each and (inputs != 1 or channels % view.channels):
            raise _RefusedError(f"{channels} channels are no multiple of the {view.channels} that it reads")
        if not each and inputs != view.channels:
            raise _RefusedError(f"it multiplies {inputs} channels of the {view.channels} that it reads: in groups")
        stride = node.option(2, "i"), node.option(1, "i")
        dilation = (node.option(6, "i", 1), node.option(5, "i", 1)) if each else (
            node.option(5, "i", 1), node.option(4, "i", 1))  # fmt: skip
        if not all(0 < one <= 4096 for one in (*stride, *dilation)):
            raise _RefusedError(f"its stride {list(stride)} or dilation {list(dilation)} is out of range")
        if view.lying:
            if taps != 1:
                raise _RefusedError(f"its kernel has {taps} taps over a dimension of 1, and time lies along the next")
            taps, band_taps, weight = band_taps, taps, weight.transpose(1, 0, 2, 3)
            stride, dilation = stride[::-1], dilation[::-1]
        kind = node.option(0, "b")
        if kind not in (SAME, VALID):
            raise _RefusedError(f"its padding {kind} is neither SAME nor VALID")
        ends = []
        for there, k, s, d, (before, after) in zip(
            (view.count, view.bands), (taps, band_taps), stride, dilation, view.padding, strict=True
        ):
            more = _same(there + before + after, k, s, d) if kind == SAME else (0, 0)
            ends.append((before + more[0], after + more[1]))
        rows = _places(view.count + sum(ends[0]), taps, stride[0], dilation[0])
        bands = _places(view.bands + sum(ends[1]), band_taps, stride[1], dilation[1])
        if rows < 1 or bands < 1:
            raise _RefusedError("its kernel is larger than what it reads")
        ends[0] = self._over_time(view, ends[0], rows, taps, stride[0], dilation[0])
        fused = node.option(4 if each else 3, "b")
        name = self.emit(
            given.name, "conv", input=view.edge, channels=channels, kernel=[taps, band_taps],
            stride=None if stride == (1, 1) else list(stride),
            dilation=None if dilation == (1, 1) else list(dilation),
            padding=[list(end) for end in ends], bands=None if view.bands == view.edge_bands else view.bands,
            depthwise=each or None, output=self.output(given, fused),
        )  # fmt: skip
        # The runtimes take a scale of each channel here, also where all are one.
        self.weigh(name, weight, np.broadcast_to(scales, channels), self.bias(node, channels), tensor)
        return self.give(node, View(name, rows, 0, rows, bands, channels, bands, lying=view.lying))

    def _over_time(
        self, view: View, ends: tuple[int, int], made: int, taps: int, stride: int, dilation: int
    ) -> tuple[int, int]:
        """Return the padding over a whole utterance of a convolution that makes so many rows of a run's view."""
        if not self.streaming:
            self.mixes = self.mixes or (view.rows > 1 and (taps > 1 or stride > 1))
            if (view.low, view.high) != (0, view.rows):
                raise _RefusedError("it reads a part of the rows of a clip")
            return ends
        if ends != (0, 0):
            raise _RefusedError("it pads each step over time, where the rows of the steps before belong")
        if view.high != view.rows:
            raise _RefusedError(f"it does not read the newest {view.rows - view.high} rows")
        if view.rows % stride or made != view.rows // stride or view.low > 0:
            raise _RefusedError(
                f"it makes {made} rows of {view.count}, of which {view.rows} are new, with a stride of {stride}: "
                "not its share of a stream"
            )
        after = dilation * (taps - 1) + 1 - stride + view.low
        if after < 0:
            raise _RefusedError(f"its last row does not read the newest {-after} rows")
        return -view.low, after

    def fully_connected(self, node: Node) -> list[str]:
        """FULLY_CONNECTED: over each row, or over all rows of a run."""
        view, read, given = self.view(node, 0), self.codes(node, 0), self.given(node)
        if node.option(1, "b"):
            raise _RefusedError("its weights are shuffled")
        weight, scales = self.weights(node, 0)
        if weight.ndim != 2 or 0 in weight.shape:
            raise _RefusedError(f"its weights have the shape {list(weight.shape)}")
        outputs, inputs = weight.shape
        if inputs == view.width and (view.whole() or view.count == 1):
            view = self._rows(view, given.name)
        elif inputs == view.count * view.width:
            view = self.flattened(view, given.name)
        else:
            raise _RefusedError(f"it multiplies {inputs} values, and reads {view.count} rows of {view.width}")
        name = self.emit(
            given.name, "linear", input=view.edge, outputs=outputs, output=self.output(given, node.option(0, "b"))
        )  # fmt: skip
        self.weigh(name, weight.T, scales[0] if len(scales) == 1 else scales, self.bias(node, outputs), read)
        return self.give(node, self.new(name, view, outputs, given))

    def lstm(self, node: Node) -> list[str]:
        """UNIDIRECTIONAL_SEQUENCE_LSTM, its state kept from row to row."""
        view, given = self._rows(self.view(node, 0), "lstm"), self.given(node)
        self.codes(node, 0)
        tensors = [self.maybe(node, place) for place in range(24)]
        for places, what in (((9, 10, 11), "peepholes"), ((16, 17), "a projection"), ((20, 21, 22, 23), "layer norms")):
            if any(tensors[place] is not None for place in places):
                raise _RefusedError(f"it has {what}")
        if any(tensors[place] is None for place in (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 18, 19)):
            raise _RefusedError("it lacks weights, a bias or a state of one of its four gates")
        if (fused := node.option(0, "b")) != TANH:
            raise _RefusedError(f"its activation {fused} is not TANH")
        if node.option(3, "?") and view.count > 1:
            raise _RefusedError("its rows are those of a batch: time is its first dimension")
        state, cell_state = self.tensor(node, 18), self.tensor(node, 19)
        _check_codes(state)
        _check_codes(cell_state, "int16")
        if (_scale(state), state.zero_points[0]) != (_scale(given), given.zero_points[0]):
            raise _RefusedError("the codes of its state are not those of its output")
        units = given.shape[-1]
        exponent = math.log2(_scale(cell_state))
        if exponent != round(exponent) or cell_state.zero_points[0]:
            raise _RefusedError(f"the scale {_scale(cell_state):g} of its cell is no power of two")
        of_input, of_state = (self._gates(node, first, columns) for first, columns in ((1, view.width), (5, units)))
        if len(of_input[1]) != 4 or of_input[0].shape[1] != 4 * units or of_state[0].shape[1] != 4 * units:
            raise _RefusedError("its gates have weights of different shapes")
        if not (clip := node.option(1, "f", 0.0)) >= 0:
            raise _RefusedError(f"its cell is clipped at {clip:g}")
        if proj := node.option(2, "f", 0.0):
            raise _RefusedError(f"its projection is clipped at {proj:g}")
        biases = []
        for place in range(12, 16):
            tensor = self.tensor(node, place)
            if tensor.type != "int32" or tensor.shape != (units,):
                raise _RefusedError(f"its bias is {tensor.type} of shape {list(tensor.shape)}")
            biases.append(self.constant(node, place))
        cell: dict[str, Any] = {"scale": _scale(cell_state), **({"clip": clip} if clip else {})}
        micro = self.rounding == "double_away"
        name = self.emit(
            given.name, "lstm", input=view.edge, units=units, output=self.output(given), cell=cell,
            gates=None if micro else "fixed_point",
            rounding=None if micro else "double_away",  # of LiteRT's only kernel for an LSTM
        )  # fmt: skip
        self.weigh(name, of_input[0], of_input[1], np.concatenate(biases), self.codes(node, 0))
        self.refused.count(of_state)
        self.tensors[f"{name}.recurrent_weight"] = of_state[0]
        self.tensors[f"{name}.recurrent_weight_scale"] = of_state[1]
        return self.give(node, self.new(name, view, units, given))

    def _gates(self, node: Node, first: int, columns: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Return the matrices of the gates input, forget, cell, output side by side, and their scales."""
        matrices, scales = [], []
        for place in range(first, first + 4):
            tensor = self.tensor(node, place)
            if tensor.type != "int8" or len(tensor.scales) != 1 or tensor.zero_points.any() or tensor.sparse:
                raise _RefusedError(f"its weights '{tensor.name}' are not int8 of one scale and zero point 0")
            values = self.constant(node, place)
            if values.ndim != 2 or values.shape[1] != columns:
                raise _RefusedError(f"its weights '{tensor.name}' have the shape {list(values.shape)}")
            matrices.append(values.T)
            scales.append(tensor.scales[0])
        if len({matrix.shape for matrix in matrices}) > 1:
            raise _RefusedError("its gates have weights of different shapes")
        return np.concatenate(matrices, axis=1), np.array(scales, np.float32)

    # --- Ops on values ----------------------------------------------------------------------------------------------

    def pair(self, node: Node) -> list[str]:
        """ADD and MUL of two rows of the same shape."""
        given = self.given(node)
        self.codes(node, 0)
        self.codes(node, 1)
        a, b = (self._rows(self.view(node, place), given.name) for place in (0, 1))
        if (a.rows, a.bands, a.channels) != (b.rows, b.bands, b.channels):
            raise _RefusedError("it joins tensors of different shapes: one is repeated")
        output = self.output(given, node.option(0, "b"))
        if node.op == "ADD":
            name = self.emit(given.name, "add", residual=a.edge, input=b.edge, output=output)
        else:
            name = self.emit(given.name, "multiply", input=a.edge, by=b.edge, output=output)
        return self.give(node, replace(a, edge=name))

    def function(self, node: Node) -> list[str]:
        """LOGISTIC, TANH, RELU, RELU6."""
        given = self.given(node)
        self.codes(node, 0)
        view = self._rows(self.view(node, 0), given.name)
        op, scale, zero, activation = _FUNCTIONS[node.op]
        if scale is not None and (_scale(given), int(given.zero_points[0])) != (scale, zero):
            raise _RefusedError(f"its output has not the scale {scale:g} and zero point {zero}")
        if op == "relu":
            read = self.tensor(node, 0)
            other = (_scale(read), int(read.zero_points[0])) != (_scale(given), int(given.zero_points[0]))
            if other and self.rounding == "double_away" and node.op == "RELU6":
                raise _RefusedError(
                    "TensorFlow Lite Micro takes its output's codes for those of its input, whose scale is another"
                )
        name = self.emit(given.name, op, input=view.edge, output=self.output(given, activation))
        return self.give(node, replace(view, edge=name))

    def softmax(self, node: Node) -> list[str]:
        """SOFTMAX over the channels of each band."""
        given = self.given(node)
        self.codes(node, 0)
        view = self._rows(self.view(node, 0), given.name)
        if (beta := node.option(0, "f", 0.0)) != 1.0:
            raise _RefusedError(f"its beta is {beta:g}, expected 1")
        if (_scale(given), int(given.zero_points[0])) != (1 / 256, LOW):
            raise _RefusedError("its output has not the scale 1/256 and zero point -128")
        view = self.banded(view, given.name)
        name = self.emit(given.name, "softmax", input=view.edge, output=self.output(given))
        return self.give(node, replace(view, edge=name))

    def pool(self, node: Node) -> list[str]:
        """AVERAGE_POOL_2D and MAX_POOL_2D whose windows do not overlap."""
        view, given = self.view(node, 0), self.given(node)
        size = node.option(4, "i"), node.option(3, "i")
        stride = node.option(2, "i"), node.option(1, "i")
        if not all(0 < one <= 2**20 for one in (*size, *stride)):
            raise _RefusedError(f"its size {list(size)} or stride {list(stride)} is out of range")
        if view.lying:
            size, stride = size[::-1], stride[::-1]
        kind = node.option(0, "b")
        if kind not in (SAME, VALID):
            raise _RefusedError(f"its padding {kind} is neither SAME nor VALID")
        if kind == SAME:
            for there, k, s in zip((view.count, view.bands), size, stride, strict=True):
                if _same(there, k, s, 1) != (0, 0):
                    raise _RefusedError("it pads what it pools")
        op = "avg_pool" if node.op == "AVERAGE_POOL_2D" else "max_pool"
        return self._pooled(node, view, given, op, size, stride, node.option(5, "b"))

    def mean(self, node: Node) -> list[str]:
        """MEAN over time, over bands, or both."""
        view, given, tensor = self.view(node, 0), self.given(node), self.tensor(node, 0)
        rank = len(tensor.shape)
        axes = {axis % rank for axis in self.integers(node, 1) if -rank <= axis < rank}
        names = _axes(rank, view.lying)
        over = {names[axis] for axis in axes if axis in names}
        if len(over) != len(axes) or not over or "channels" in over:
            raise _RefusedError(f"it is taken over the axes {sorted(axes)}: means over time and bands are computed")
        size = view.count if "time" in over else 1, view.bands if "bands" in over else 1
        # LiteRT has a kernel of its own for maps whose dimensions are kept.
        kept = rank == 4 and over == {"time", "bands"} and node.option(0, "?")
        centred = False if kept and self.rounding == "double_up" else None
        return self._pooled(node, view, given, "mean", size, size, NO_ACTIVATION, centred=centred)

    def _pooled(
        self, node: Node, view: View, given: Tensor, op: str, size: tuple[int, int], stride: tuple[int, int],
        activation: int, **keys: Any,
    ) -> list[str]:  # fmt: skip
        read = self.codes(node, 0)
        if op != "mean" and (_scale(read), int(read.zero_points[0])) != (_scale(given), int(given.zero_points[0])):
            raise _RefusedError("its output has another scale or zero point than what it reads")
        made = [_places(there, k, s, 1) for there, k, s in zip((view.count, view.bands), size, stride, strict=True)]
        for there, k, s, new in zip((view.count, view.bands), size, stride, made, strict=True):
            if new < 1 or there // k != new or (new > 1 and k != s):
                raise _RefusedError(f"its windows of {k} at a distance of {s} overlap, or leave gaps")
        if view.variable is not None:
            self._rows(view, given.name)
        view = self.banded(view, given.name)
        if not view.whole() and made[0] == 1 and view.count > 1:  # the rows of a ring buffer side by side are bands
            if size != (view.count, view.bands):
                raise _RefusedError("it pools a part of a ring buffer")
            bands = view.count * view.bands
            channels = view.channels
            view = self.flattened(view, given.name)
            if view.edge_bands != bands:
                raise _RefusedError("it pools a part of a ring buffer")
            name = self.emit(
                given.name, op, input=view.edge, size=[1, bands], output=self.output(given, activation), **keys
            )
            return self.give(node, View(name, 1, 0, 1, 1, channels, 1))
        view = self._rows(view, given.name)
        if self.streaming and view.rows % size[0]:
            raise _RefusedError(f"it pools {size[0]} rows of {view.rows} new ones")
        self.mixes = self.mixes or (size[0] > 1 and not self.streaming)
        name = self.emit(
            given.name, op, input=view.edge, size=list(size), output=self.output(given, activation), **keys
        )
        lying = view.lying and len(given.shape) == 4
        return self.give(node, View(name, made[0], 0, made[0], made[1], view.channels, made[1], lying=lying))

    def quantize(self, node: Node) -> list[str]:
        """QUANTIZE: to int8 codes of another scale, or the same codes as uint8, which stand for the same numbers."""
        read = self.tensor(node, 0)
        view = self.view(node, 0)
        if not node.outputs:
            raise _RefusedError("it has no output")
        given = self.main.tensor(node.outputs[0])
        if read.type == "float32":
            if view.edge != FEATURES:
                raise _RefusedError("it makes codes of numbers that are not the inputs")
            self.remark.append("features are its codes + 128")
            return self.give(node, view)
        for one in (read, given):
            _check_codes(one, "uint8" if one.type == "uint8" else "int8")

        def meaning(tensor: Tensor) -> tuple[float, int]:
            return _scale(tensor), int(tensor.zero_points[0]) - (128 if tensor.type == "uint8" else 0)

        if meaning(read) == meaning(given):
            if read.type != given.type:
                self.remark.append(f"{read.type} codes as {given.type} ones: the same numbers")
            return self.give(node, view)
        if given.type == "uint8" or read.type == "uint8":
            raise _RefusedError(f"it makes {given.type} codes of another scale of {read.type} ones")
        view = self._rows(view, given.name)
        name = self.emit(given.name, "quantise", input=view.edge, output=self.output(given))
        return self.give(node, replace(view, edge=name))

    def dequantize(self, node: Node) -> list[str]:
        """DEQUANTIZE: codes to real numbers."""
        self.codes(node, 0)
        if not node.outputs:
            raise _RefusedError("it has no output")
        given = self.main.tensor(node.outputs[0])
        if given.type != "float32":
            raise _RefusedError(f"it gives {given.type}, expected float32")
        view = self._rows(self.view(node, 0), given.name)
        name = self.emit(given.name, "dequantise", input=view.edge)
        return self.give(node, replace(view, edge=name))

    # --- Ops that move values ---------------------------------------------------------------------------------------

    def reshape(self, node: Node) -> list[str]:
        """RESHAPE, SQUEEZE, EXPAND_DIMS: other bands of the same rows, or all rows of a run as one."""
        view = self.view(node, 0)
        if not node.outputs:
            raise _RefusedError("it has no output")
        given = self.main.tensor(node.outputs[0])
        rows, bands, channels = _layout(given.shape)
        if rows * bands * channels != view.count * view.width:
            raise _RefusedError(f"it makes {list(given.shape)} of {view.count} rows of {view.width} values")
        lying = view.count > 1 and given.shape == (1, 1, view.count, view.width)
        if rows == view.count or lying:
            self.remark.append("folded: the same rows")
            bands, channels = (1, view.width) if lying else (bands, channels)
            return self.give(node, replace(view, bands=bands, channels=channels, lying=lying))
        if rows != 1:
            raise _RefusedError(f"it makes {rows} rows of {view.count}")
        view = self.flattened(view, given.name)
        return self.give(node, replace(view, bands=bands, channels=channels))

    def concatenation(self, node: Node) -> list[str]:
        """CONCATENATION of channels or bands, and of a state with new rows: a ring buffer."""
        given = self.given(node)
        if node.option(1, "b") != NO_ACTIVATION:
            raise _RefusedError("it has a fused activation")
        views = [self.view(node, place) for place in range(len(node.inputs))]
        for place in range(len(views)):
            read = self.codes(node, place)
            if (_scale(read), int(read.zero_points[0])) != (_scale(given), int(given.zero_points[0])):
                raise _RefusedError(f"'{read.name}' has another scale or zero point than its output")
        if not views:
            raise _RefusedError("it joins nothing")
        if len({view.lying for view in views}) > 1:
            raise _RefusedError("time lies along different dimensions of what it joins")
        axis = self.axis(node.option(0, "i"), len(given.shape), views[0].lying)
        if len(views) == 1:
            return self.give(node, views[0])
        if axis == "time":
            return self._ring(node, views, given)
        views = [self._rows(view, given.name) for view in views]
        if len({view.rows for view in views}) > 1:
            raise _RefusedError("it joins tensors of different numbers of rows")
        if len({(view.channels if axis == "bands" else view.bands) for view in views}) > 1:
            raise _RefusedError(f"it joins {axis} of tensors of different shapes")
        if axis == "channels":  # within each band
            views = [self.banded(view, given.name) for view in views]
            bands, channels = views[0].bands, sum(view.channels for view in views)
        else:  # side by side: as channels of one band
            bands, channels = sum(view.bands for view in views), views[0].channels
            views = [self.banded(replace(view, bands=1, channels=view.width), given.name) for view in views]
        edge_bands = views[0].edge_bands
        name = self.emit(given.name, "concat", inputs=[view.edge for view in views])
        rows, lying = views[0].rows, views[0].lying
        return self.give(node, View(name, rows, 0, rows, bands, channels, edge_bands, lying=lying))

    def _ring(self, node: Node, views: Sequence[View], given: Tensor) -> list[str]:
        state, new = views[0], views[-1]
        if len(views) != 2 or state.variable is None or new.variable is not None:
            raise _RefusedError("it joins rows over time that are not a state and the new rows behind it")
        if not new.whole() or (state.bands, state.channels) != (new.bands, new.channels):
            raise _RefusedError("it joins a state with what is not its new rows")
        key = state.variable
        start, zero = self.started.get(key), int(given.zero_points[0])
        if start is None:
            raise _RefusedError(f"no CALL_ONCE says what the state '{key}' begins with")
        codes = start.values()
        if codes.dtype != np.int8 or (codes != zero).any() or codes.size != state.count * state.width:
            raise _RefusedError(f"the state '{key}' does not begin with real zeros, code {zero}")
        if key in self.rings:
            raise _RefusedError(f"the state '{key}' is read twice")
        self.rings[key] = Ring(new, state.count, given.name)
        self.remark.append(f"ring buffer of {state.count} rows: in the padding of what reads it")
        return self.give(node, replace(new, low=-state.count))

    def split(self, node: Node) -> list[str]:
        """SPLIT and SPLIT_V."""
        of_sizes = node.op == "SPLIT_V"
        value, axis_at = (0, 2) if of_sizes else (1, 0)
        view, tensor = self.view(node, value), self.codes(node, value)
        axes = self.integers(node, axis_at)
        if len(axes) != 1:
            raise _RefusedError("it has no axis")
        rank = len(tensor.shape)
        axis = self.axis(axes[0], rank, view.lying)
        there = tensor.shape[axes[0] % rank]
        count = len(node.outputs)
        sizes = self.integers(node, 1) if of_sizes else [there // count] * count if count else []
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = there - sum(sizes) - 1
        if len(sizes) != count or sum(sizes) != there or any(size <= 0 for size in sizes):
            raise _RefusedError(f"its parts {sizes} are not the {there} of what it splits")
        made, begin = [], 0
        for place, size in enumerate(sizes):
            given = self.given(node, place)
            part = self.part(view, axis, begin, begin + size, given.name)
            made += self.give(node, part, place)
            begin += size
        return made

    def strided_slice(self, node: Node) -> list[str]:
        """STRIDED_SLICE and SLICE without steps."""
        view, tensor, given = self.view(node, 0), self.codes(node, 0), self.given(node)
        rank = len(tensor.shape)
        begins, ends = self.integers(node, 1), self.integers(node, 2)
        shrunk = 0
        if node.op == "SLICE":
            ends = [size if end < 0 else begin + end for begin, end, size in zip(begins, ends, tensor.shape)]  # noqa: B905
            steps, begin_mask, end_mask = [1] * len(begins), 0, 0
        else:
            steps = self.integers(node, 3)
            begin_mask, end_mask, ellipsis, new_axes, shrunk = (node.option(i, "i") for i in range(5))
            if ellipsis or new_axes or node.option(5, "?"):
                raise _RefusedError("it has an ellipsis, new axes, or ends that are counted from its begins")
        if not (len(begins) == len(ends) == len(steps) == rank) or any(step != 1 for step in steps):
            raise _RefusedError(f"it takes every one of steps {steps}, expected 1 of each of {rank} axes")
        for axis, size in enumerate(tensor.shape):
            begin, end = (_from_end(place, size) for place in (begins[axis], ends[axis]))
            begin, end = 0 if begin_mask >> axis & 1 else begin, size if end_mask >> axis & 1 else end
            if shrunk >> axis & 1:
                end = begin + 1
            if not 0 <= begin < end <= size:
                raise _RefusedError(f"it takes {begin} .. {end} of {size} of axis {axis}")
            if (begin, end) != (0, size):
                view = self.part(view, self.axis(axis, rank, view.lying), begin, end, given.name)
        return self.give(node, view)

    def axis(self, axis: int, rank: int, lying: bool) -> str:
        """Return what an axis of a tensor stands for: time, bands or channels."""
        place = axis + rank if axis < 0 else axis
        found = _axes(rank, lying).get(place)
        if found is None:
            raise _RefusedError(f"axis {axis} of {rank} is neither time, bands nor channels")
        return found

    def part(self, view: View, axis: str, begin: int, end: int, name: str) -> View:
        """Return a part of a view: rows are counted, bands and channels taken by an op."""
        if axis == "time":
            if view.padding != NONE:
                raise _RefusedError("zeros of a PAD are taken in front of a convolution only")
            self.remark.append("folded: a part of the rows")
            return replace(view, low=view.low + begin, high=view.low + end)
        if view.variable is not None:
            raise _RefusedError("it takes a part of a state that no CONCATENATION joins with new rows")
        if axis == "bands" or view.bands == 1:
            per = view.channels if axis == "bands" else 1
            edge = self.emit(name, "slice", input=view.edge, begin=begin * per, end=end * per)
            bands, channels = (end - begin, view.channels) if axis == "bands" else (1, end - begin)
            return replace(view, edge=edge, bands=bands, channels=channels, edge_bands=1)
        view = self.banded(view, name)
        edge = self.emit(name, "slice", input=view.edge, begin=begin, end=end, of="channels")
        return replace(view, edge=edge, channels=end - begin)

    def pad(self, node: Node) -> list[str]:
        """PAD with real zeros, over time and bands: in the padding of the convolution behind it."""
        view, tensor, given = self.view(node, 0), self.codes(node, 0), self.given(node)
        if (_scale(tensor), int(tensor.zero_points[0])) != (_scale(given), int(given.zero_points[0])):
            raise _RefusedError("its output has another scale or zero point than what it reads")
        widths = np.array(self.integers(node, 1)).reshape(-1)
        rank = len(tensor.shape)
        if widths.size != 2 * rank or (widths < 0).any() or (widths > 2**16).any():
            raise _RefusedError(f"it pads by {widths.tolist()}")
        if view.variable is not None:
            raise _RefusedError("it pads a state that no CONCATENATION joins with new rows")
        found = {"time": (0, 0), "bands": (0, 0)}
        for axis, (before, after) in enumerate(widths.reshape(-1, 2).tolist()):
            if not before and not after:
                continue
            if (what := _axes(rank, view.lying).get(axis)) not in found:
                raise _RefusedError(f"it pads axis {axis}, neither time nor bands")
            found[what] = before, after
        padding = tuple(
            (old[0] + new[0], old[1] + new[1]) for old, new in zip(view.padding, found.values(), strict=True)
        )  # fmt: skip
        layout = _layout(given.shape, view.lying)
        if layout != (view.count + sum(padding[0]), view.bands + sum(padding[1]), view.channels):
            raise _RefusedError(f"its output has the shape {list(given.shape)}")
        self.views[node.outputs[0]] = replace(view, padding=padding)  # type: ignore[arg-type]
        self.remark.append("in the padding of the convolution that reads it")
        return [] if view.edge == FEATURES else [view.edge]

    # --- State ------------------------------------------------------------------------------------------------------

    def call_once(self, node: Node) -> list[str]:
        """CALL_ONCE of a subgraph that gives variables their first values."""
        handles: dict[int, str] = {}
        graph = self.model.subgraph(node.option(0, "i"))
        for inner in graph.nodes:
            if inner.op == "VAR_HANDLE" and inner.outputs:
                handles[inner.outputs[0]] = _variable(inner)
            elif inner.op == "ASSIGN_VARIABLE" and len(inner.inputs) == 2 and inner.inputs[0] in handles:
                value = graph.tensor(inner.inputs[1])
                if value.data is None:
                    raise _RefusedError(f"it gives '{handles[inner.inputs[0]]}' what is no constant")
                self.started[handles[inner.inputs[0]]] = value
            else:
                raise _RefusedError(f"it runs {inner.op}, more than to give variables their first values")
        self.remark.append("all states begin with real zeros, as an utterance does here")
        return []

    def var_handle(self, node: Node) -> list[str]:
        """VAR_HANDLE: a name of a state."""
        if not node.outputs:
            raise _RefusedError("it has no output")
        self.handles[node.outputs[0]] = _variable(node)
        self.remark.append("a state: folded into the padding of what reads its ring buffer")
        return []

    def read_variable(self, node: Node) -> list[str]:
        """READ_VARIABLE: the state that the run before wrote."""
        key = self.handles.get(node.inputs[0]) if node.inputs else None
        if key is None:
            raise _RefusedError("it reads no variable")
        given = self.given(node)
        rows, bands, channels = _layout(given.shape)
        self.views[node.outputs[0]] = View("", rows, -rows, 0, bands, channels, bands, variable=key)
        self.remark.append(f"folded: {rows} rows of the state '{key}'")
        return []

    def assign_variable(self, node: Node) -> list[str]:
        """ASSIGN_VARIABLE: the newest rows of the ring buffer become the state."""
        key = self.handles.get(node.inputs[0]) if node.inputs else None
        if key is None:
            raise _RefusedError("it writes no variable")
        view, ring = self.view(node, 1), self.rings.get(key)
        if ring is None:
            raise _RefusedError(f"the state '{key}' is written before a CONCATENATION joins it with new rows")
        if (view.edge, view.low, view.high) != (ring.view.edge, ring.view.rows - ring.kept, ring.view.rows) or (
            view.padding != NONE or view.variable is not None
        ):
            raise _RefusedError(f"the state '{key}' is not the newest {ring.kept} rows of its ring buffer")
        if ring.written:
            raise _RefusedError(f"the state '{key}' is written twice")
        ring.written = True
        self.remark.append(f"folded: the newest {ring.kept} rows are kept")
        return []


_AXES: Mapping[int, Mapping[int, str]] = {
    4: {1: "time", 2: "bands", 3: "channels"},
    3: {1: "time", 2: "channels"},
    2: {0: "time", 1: "channels"},
}
_FUNCTIONS: Mapping[str, tuple[str, float | None, int, int]] = {
    "LOGISTIC": ("sigmoid", 1 / 256, LOW, NO_ACTIVATION),
    "TANH": ("tanh", 1 / 128, 0, NO_ACTIVATION),
    "RELU": ("relu", None, 0, RELU),
    "RELU6": ("relu", None, 0, RELU6),
}
_OPS: Mapping[str, Callable[[Translation, Node], list[str]]] = {
    "CONV_2D": Translation.convolution,
    "DEPTHWISE_CONV_2D": Translation.convolution,
    "FULLY_CONNECTED": Translation.fully_connected,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Translation.lstm,
    "ADD": Translation.pair,
    "MUL": Translation.pair,
    "AVERAGE_POOL_2D": Translation.pool,
    "MAX_POOL_2D": Translation.pool,
    "MEAN": Translation.mean,
    "LOGISTIC": Translation.function,
    "TANH": Translation.function,
    "RELU": Translation.function,
    "RELU6": Translation.function,
    "SOFTMAX": Translation.softmax,
    "QUANTIZE": Translation.quantize,
    "DEQUANTIZE": Translation.dequantize,
    "RESHAPE": Translation.reshape,
    "SQUEEZE": Translation.reshape,
    "EXPAND_DIMS": Translation.reshape,
    "CONCATENATION": Translation.concatenation,
    "SPLIT": Translation.split,
    "SPLIT_V": Translation.split,
    "STRIDED_SLICE": Translation.strided_slice,
    "SLICE": Translation.strided_slice,
    "PAD": Translation.pad,
    "CALL_ONCE": Translation.call_once,
    "VAR_HANDLE": Translation.var_handle,
    "READ_VARIABLE": Translation.read_variable,
    "ASSIGN_VARIABLE": Translation.assign_variable,
}


def _axes(rank: int, lying: bool) -> Mapping[int, str]:
    """Return what the axes of a tensor stand for."""
    return {1: "bands", 2: "time", 3: "channels"} if lying and rank == 4 else _AXES.get(rank, {})


def _layout(shape: tuple[int, ...], lying: bool = False) -> tuple[int, int, int]:
    """Return rows, bands and channels of a shape: [1, T, W, C], [1, T, C], [T, C] or [C]; a batch has one example.

    Of a ``lying`` one, [1, W, T, C].
    """
    if len(shape) == 4 and shape[0] == 1:
        found = (shape[2], shape[1], shape[3]) if lying else (shape[1], shape[2], shape[3])
    elif len(shape) == 3 and shape[0] == 1:
        found = shape[1], 1, shape[2]
    elif len(shape) == 2:
        found = shape[0], 1, shape[1]
    elif len(shape) == 1:
        found = 1, 1, shape[0]
    else:
        raise _RefusedError(f"the shape {list(shape)} is none of [1, T, W, C], [1, T, C], [T, C] and [C]")
    if 0 in found:
        raise _RefusedError(f"the shape {list(shape)} holds nothing")
    return found


def _scale(tensor: Tensor) -> float:
    return float(np.float32(tensor.scales[0]))


def _check_codes(tensor: Tensor, kind: str = "int8") -> None:
    """Raise _RefusedError unless a tensor has codes of a type, of one scale and a zero point that is a code."""
    if tensor.type != kind:
        raise _RefusedError(f"'{tensor.name}' is {tensor.type}, expected {kind}")
    if len(tensor.scales) != 1 or len(tensor.zero_points) != 1:
        raise _RefusedError(f"'{tensor.name}' has {len(tensor.scales)} scales, expected one")
    low, high = {"int8": (-128, 127), "uint8": (0, 255), "int16": (0, 0)}[kind]
    if not low <= (zero := int(tensor.zero_points[0])) <= high:
        raise _RefusedError(f"the zero point {zero} of '{tensor.name}' is no code of {kind}")


def _same(there: int, taps: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return what SAME puts before and after: as many as ceil(size / stride) windows need, the odd one after."""
    total = max((-(-there // stride) - 1) * stride + (taps - 1) * dilation + 1 - there, 0)
    return total // 2, total - total // 2


def _places(there: int, taps: int, stride: int, dilation: int) -> int:
    """Return how many windows fit."""
    return (there - dilation * (taps - 1) - 1) // stride + 1


def _from_end(place: int, size: int) -> int:
    """Return a place that may be counted from the end, within 0 .. size."""
    return min(max(place + size if place < 0 else place, 0), size)


def _variable(node: Node) -> str:
    return "/".join(part for part in (node.text(0), node.text(1)) if part)


def _reads(op: Mapping[str, Any]) -> set[str]:
    return {op[key] for key in ("input", "residual", "by") if key in op} | set(op.get("inputs", ()))


class Tflite(Importer):
    """TensorFlow Lite, int8."""

    suffixes: ClassVar[tuple[str, ...]] = (".tflite", ".lite")
    what: ClassVar[str] = "TFLite"
    needs: ClassVar[tuple[str, str] | None] = ("tflite", "tflite")
    options: ClassVar[type[Options]] = TfliteOptions

    def read(self, path: Path, options: Any, largest: int = LARGEST_FILE) -> Imported:
        try:
            model = Model(mapped(path))
            graph = Translation(model, model.subgraph(0), Refusals(path), options.rounding)
            graph.build()
        except DamagedError as error:
            raise InputError([Problem(f"a damaged TFLite file: {error}", path)]) from None
        tensors = {name: np.array(tensor, order="C") for name, tensor in graph.tensors.items()}
        reference = graph.reference() if options.reference else None
        streams = graph.streaming
        remarks = [f"rounding: {options.rounding}, {ROUNDINGS[options.rounding]}."]
        if streams:
            remarks.append(f"A run takes {graph.step} rows and keeps state: here an utterance is a stream of rows.")
        elif graph.mixes:
            remarks.append(f"A run takes a clip of {graph.step} rows: each utterance must have just so many.")
        workload: dict[str, Any] = {
            "name": options.named(path),
            "description": f"Imported from {path.name} (TFLite, int8), see import.md.",
            "inputs": options.inputs(graph.width),
            **graph.features,
            "rounding": options.rounding,
            **({"clips": True} if graph.mixes and not streams else {}),
            "graph": graph.ops,
        }
        return Imported(workload, tensors, reference, graph.notes, remarks)


IMPORTERS.register("tflite", Tflite)
