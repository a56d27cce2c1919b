"""Small TFLite networks made for tests, the runtimes that they are compared with, and the comparison, tensor by tensor.

Nothing here is taken from the importer but which rows of which edge a tensor is (`Translation.views`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.importer import Refusals
from accelsim.importers.tflite import NONE, TfliteOptions, Translation
from accelsim.importers.tflite_file import Model
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Datapath, Signal, evaluate
from accelsim.schema import parse, parse_yaml
from accelsim.schema.written import as_yaml
from accelsim.workload import WorkloadSpec

Steps = dict[int, NDArray[Any]]
"""The values of tensors by their number, [runs, ..]."""


def schema() -> Any:
    """Return the module with the format's objects, which writes files."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


@dataclass
class Network:
    """A TFLite file that is put together op by op."""

    seed: int = 0
    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    ops: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.buffers.append(schema().BufferT())

    def tensor(
        self, shape: Sequence[int], kind: str = "int8", scale: Any = None, zero: int = 0, data: Any = None,
        axis: int = 0, variable: bool = False, name: str | None = None,
    ) -> int:  # fmt: skip
        """Add a tensor and return its number; ``data`` makes it a constant."""
        s = schema()
        one = s.TensorT()
        one.shape = list(shape)
        one.type = getattr(s.TensorType, kind.upper())
        one.name = name or f"t{len(self.tensors)}"
        one.isVariable = variable
        one.buffer = 0
        if data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.buffers.append(buffer)
            one.buffer = len(self.buffers) - 1
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            one.quantization = s.QuantizationParametersT()
            one.quantization.scale = scales
            one.quantization.zeroPoint = np.full(len(scales), zero, np.int64)
            one.quantization.quantizedDimension = axis
        self.tensors.append(one)
        return len(self.tensors) - 1

    def integers(self, values: Any) -> int:
        """Add a constant of int32."""
        array = np.asarray(values, np.int32)
        return self.tensor(array.shape, "int32", data=array)

    def op(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: str | None = None, **keys: Any
    ) -> int:
        """Add an op and return its first output."""
        s = schema()
        code = getattr(s.BuiltinOperator, name)
        if code not in self.codes:
            self.codes.append(code)
        one = s.OperatorT()
        one.opcodeIndex = self.codes.index(code)
        one.inputs, one.outputs = list(inputs), list(outputs)
        if options is not None:
            one.builtinOptionsType = getattr(s.BuiltinOptions, options)
            one.builtinOptions = getattr(s, f"{options}T")()
            for key, value in keys.items():
                assert hasattr(one.builtinOptions, key), f"{options} has no {key}"
                setattr(one.builtinOptions, key, value)
        self.ops.append(one)
        return outputs[0] if outputs else -1

    def input(self, shape: Sequence[int], scale: float = 0.05, zero: int = -3, kind: str = "int8") -> int:
        """Add the tensor that goes in."""
        index = self.tensor(shape, kind, scale, zero, name="input")
        self.inputs.append(index)
        return index

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(self.tensors[index].shape)

    def scale(self, index: int) -> float:
        """Return the scale of a tensor."""
        return float(self.tensors[index].quantization.scale[0])

    def zero(self, index: int) -> int:
        """Return the zero point of a tensor."""
        return int(self.tensors[index].quantization.zeroPoint[0])

    def weights(self, shape: Sequence[int], outputs: int, axis: int, x: int, *, one_scale: bool = False) -> list[int]:
        """Add random weights, and a bias, whose sums have a deviation of about 1 where codes have one of 40."""
        fan_in = int(np.prod(shape)) // outputs
        low, high = (1.0, 1.0) if one_scale else (0.6, 1.4)
        scales = self.random.uniform(low, high, 1 if one_scale else outputs)
        scales = (scales / (40 * self.scale(x) * 40 * np.sqrt(fan_in))).astype(np.float32)
        codes = np.clip(np.rint(self.random.standard_normal(shape) * 40), -127, 127).astype(np.int8)
        weight = self.tensor(shape, "int8", scales, 0, codes, axis)
        bias = np.rint(self.random.standard_normal(outputs) * 0.3 / (scales * self.scale(x))).astype(np.int32)
        return [weight, self.tensor([outputs], "int32", scales * np.float32(self.scale(x)), 0, bias)]

    def conv(
        self, x: int, channels: int, kernel: tuple[int, int], *, stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1), padding: str = "SAME", activation: str = "NONE", depthwise: int = 0,
        scale: float = 0.03, zero: int = 5, bias: bool = True, one_scale: bool = False,
    ) -> int:  # fmt: skip
        """Add a convolution; ``depthwise``: how many channels are made of each, then ``channels`` does not count."""
        s = schema()
        _, rows, bands, inputs = self.shape(x)
        made = []
        for there, k, step, apart in zip((rows, bands), kernel, stride, dilation, strict=True):
            made.append(-(-there // step) if padding == "SAME" else (there - apart * (k - 1) - 1) // step + 1)
        keys = {
            "padding": getattr(s.Padding, padding), "strideH": stride[0], "strideW": stride[1],
            "dilationHFactor": dilation[0], "dilationWFactor": dilation[1],
            "fusedActivationFunction": getattr(s.ActivationFunctionType, activation),
        }  # fmt: skip
        if depthwise:
            channels = inputs * depthwise
            held = self.weights([1, *kernel, channels], channels, 3, x, one_scale=one_scale)
        else:
            held = self.weights([channels, *kernel, inputs], channels, 0, x, one_scale=one_scale)
        y = self.tensor([1, *made, channels], "int8", scale, zero)
        inputs_of = [x, *held[: 1 + bias]]
        if depthwise:
            return self.op(
                "DEPTHWISE_CONV_2D", inputs_of, [y], "DepthwiseConv2DOptions", depthMultiplier=depthwise, **keys
            )
        return self.op("CONV_2D", inputs_of, [y], "Conv2DOptions", **keys)

    def dense(
        self, x: int, outputs: int, *, activation: str = "NONE", scale: float = 0.03, zero: int = -7,
        one_scale: bool = True, rows: bool = False, bias: bool = True,
    ) -> int:  # fmt: skip
        """Add a dense layer over all of a run, or with ``rows`` over each row."""
        shape = self.shape(x)
        inputs = shape[-1] if rows else int(np.prod(shape))
        held = self.weights([outputs, inputs], outputs, 0, x, one_scale=one_scale)
        y = self.tensor([*shape[:-1], outputs] if rows else [1, outputs], "int8", scale, zero)
        fused = getattr(schema().ActivationFunctionType, activation)
        return self.op(
            "FULLY_CONNECTED", [x, held[0], held[1] if bias else -1], [y], "FullyConnectedOptions",
            fusedActivationFunction=fused, keepNumDims=rows,
        )  # fmt: skip

    def same(self, name: str, x: int, scale: float, zero: int, options: str | None = None, **keys: Any) -> int:
        """Add an op that gives a tensor of the shape of what it reads."""
        return self.op(name, [x], [self.tensor(self.shape(x), "int8", scale, zero)], options, **keys)

    def like(self, x: int, shape: Sequence[int]) -> int:
        """Add a tensor with the codes of another."""
        return self.tensor(shape, "int8", self.scale(x), self.zero(x))

    def pool(
        self, x: int, size: tuple[int, int], average: bool, padding: str = "VALID", activation: str = "NONE"
    ) -> int:
        """Add a pooling whose windows do not overlap."""
        s = schema()
        _, rows, bands, channels = self.shape(x)
        y = self.like(x, [1, rows // size[0], bands // size[1], channels])
        return self.op(
            "AVERAGE_POOL_2D" if average else "MAX_POOL_2D", [x], [y], "Pool2DOptions",
            padding=getattr(s.Padding, padding), strideH=size[0], strideW=size[1], filterHeight=size[0],
            filterWidth=size[1], fusedActivationFunction=getattr(s.ActivationFunctionType, activation),
        )  # fmt: skip

    def reshape(self, x: int, shape: Sequence[int], name: str = "RESHAPE") -> int:
        """Add a reshape."""
        return self.op(name, [x, self.integers(list(shape))], [self.like(x, shape)], "ReshapeOptions")

    def concat(self, parts: Sequence[int], axis: int) -> int:
        """Add a concatenation."""
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        return self.op("CONCATENATION", parts, [self.like(parts[0], shape)], "ConcatenationOptions", axis=axis)

    def slice(self, x: int, begin: Sequence[int], end: Sequence[int], begin_mask: int = 0, end_mask: int = 0) -> int:
        """Add a strided slice with steps of 1."""
        there = self.shape(x)
        size = []
        for axis, n in enumerate(there):
            a = 0 if begin_mask >> axis & 1 else begin[axis] + (n if begin[axis] < 0 else 0)
            b = n if end_mask >> axis & 1 else end[axis] + (n if end[axis] < 0 else 0)
            size.append(b - a)
        steps = self.integers([1] * len(there))
        inputs = [x, self.integers(list(begin)), self.integers(list(end)), steps]
        return self.op(
            "STRIDED_SLICE", inputs, [self.like(x, size)], "StridedSliceOptions", beginMask=begin_mask,
            endMask=end_mask,
        )  # fmt: skip

    def split(self, x: int, axis: int, sizes: Sequence[int], *, by_size: bool) -> list[int]:
        """Add a SPLIT_V, or a SPLIT of equal parts."""
        shapes = [[size if i == axis else n for i, n in enumerate(self.shape(x))] for size in sizes]
        parts = [self.like(x, shape) for shape in shapes]
        place = self.integers(axis)
        if by_size:
            self.op("SPLIT_V", [x, self.integers(list(sizes)), place], parts, "SplitVOptions", numSplits=len(sizes))
        else:
            self.op("SPLIT", [place, x], parts, "SplitOptions", numSplits=len(sizes))
        return parts

    def ring(self, x: int, kept: int, name: str) -> int:
        """Add a ring buffer: the last rows that were kept and the new ones; its newest rows are kept."""
        _, rows, bands, channels = self.shape(x)
        handle = self.tensor([], "resource")
        self.op("VAR_HANDLE", [], [handle], "VarHandleOptions", container=b"", sharedName=name.encode())
        state = self.like(x, [1, kept, bands, channels])
        self.op("READ_VARIABLE", [handle], [state], "ReadVariableOptions")
        both = self.concat([state, x], 1)
        newest = self.slice(both, [0, rows, 0, 0], [0] * 4, 0, 0b1111)
        self.op("ASSIGN_VARIABLE", [handle, newest], [], "AssignVariableOptions")
        self.starts.append((name, state))
        return both

    def lstm(self, x: int, units: int, *, cell: float = 2.0**-12, clip: float = 0.0, zero: int = 3) -> int:
        """Add an LSTM of 16-bit gates."""
        s = schema()
        inputs, scale = self.shape(x)[-1], 1 / 128
        gates = []
        for columns, spread, of in ((inputs, 1.0, self.scale(x)), (units, 0.8, scale)):
            for _ in range(4):
                gain = np.float32(spread * self.random.uniform(0.8, 1.2) / (40 * 40 * of * np.sqrt(columns)))
                codes = np.clip(np.rint(self.random.standard_normal((units, columns)) * 40), -127, 127)
                gates.append(self.tensor([units, columns], "int8", gain, 0, codes.astype(np.int8)))
        biases = []
        for gate in range(4):
            of_gate = np.float32(self.scale(gates[gate])) * np.float32(self.scale(x))
            codes = np.rint(self.random.standard_normal(units) / of_gate).astype(np.int32)
            biases.append(self.tensor([units], "int32", of_gate, 0, codes))
        state = self.tensor([1, units], "int8", scale, zero, variable=True)
        memory = self.tensor([1, units], "int16", cell, 0, variable=True)
        y = self.tensor([*self.shape(x)[:-1], units], "int8", scale, zero)
        index = self.op(
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            [x, *gates, -1, -1, -1, *biases, -1, -1, state, memory, -1, -1, -1, -1], [y],
            "UnidirectionalSequenceLSTMOptions", fusedActivationFunction=s.ActivationFunctionType.TANH, cellClip=clip,
        )  # fmt: skip
        # The kernel asks for the scales of its sums, which it then makes of its own.
        of_gates = [self.tensor([0], "int16", 2.0**-12, 0) for _ in range(4)]
        self.ops[-1].intermediates = [*of_gates, self.tensor([0], "int8", scale, zero)]
        return index

    def file(self, output: int) -> bytes:
        """Return the file of a network with one output."""
        s = schema()
        main = self._graph(self.tensors, self.ops, self.inputs, [output])
        graphs = [main]
        if self.starts:
            code = s.BuiltinOperator.CALL_ONCE
            once = s.OperatorT()
            self.codes.append(code)
            once.opcodeIndex = len(self.codes) - 1
            once.inputs, once.outputs = [], []
            once.builtinOptionsType = s.BuiltinOptions.CallOnceOptions
            once.builtinOptions = s.CallOnceOptionsT()
            once.builtinOptions.initSubgraphIndex = 1
            main.operators = [once, *self.ops]
            graphs.append(self._starts())
        model = s.ModelT()
        model.version = 3
        model.description = b"made for a test"
        model.buffers = self.buffers
        model.operatorCodes = []
        for code in self.codes:
            one = s.OperatorCodeT()
            one.builtinCode, one.deprecatedBuiltinCode, one.version = code, min(code, 127), 1
            model.operatorCodes.append(one)
        model.subgraphs = graphs
        return written(model)

    def _graph(self, tensors: Any, ops: Any, inputs: Any, outputs: Any) -> Any:
        one = schema().SubGraphT()
        one.tensors, one.operators, one.inputs, one.outputs = tensors, ops, inputs, outputs
        one.name = b"main"
        return one

    def _starts(self) -> Any:
        """Return the subgraph that sets every state to real zeros."""
        other = Network()
        other.buffers, other.codes = self.buffers, self.codes
        for name, state in self.starts:
            handle = other.tensor([], "resource")
            other.op("VAR_HANDLE", [], [handle], "VarHandleOptions", container=b"", sharedName=name.encode())
            zeros = np.full(self.shape(state), self.zero(state), np.int8)
            value = other.tensor(self.shape(state), "int8", self.scale(state), self.zero(state), zeros)
            other.op("ASSIGN_VARIABLE", [handle, value], [], "AssignVariableOptions")
        return self._graph(other.tensors, other.ops, [], [])


def written(model: Any) -> bytes:
    """Return the bytes of a model of objects."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def objects(data: bytes) -> Any:
    """Return a file as objects."""
    s = schema()
    return s.ModelT.InitFromObj(s.Model.GetRootAsModel(data, 0))


# --- The runtimes -----------------------------------------------------------------------------------------------------


def watched(data: bytes) -> list[int]:
    """Return the tensors of a file's network whose values are looked at: what nodes give and hold, no resources."""
    s, graph = schema(), objects(data).subgraphs[0]
    given = {int(i) for op in graph.operators for i in op.outputs}
    return sorted(i for i in given if graph.tensors[i].type != s.TensorType.RESOURCE)


def in_micro(data: bytes, inputs: NDArray[Any], tensors: Sequence[int]) -> Steps:
    """Return the values of tensors in TensorFlow Lite Micro, inputs [runs, ..]."""
    from tflite_micro.python.tflite_micro import runtime

    preserve = runtime.InterpreterConfig.kPreserveAllTensors
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=1 << 24, intrepreter_config=preserve)
    found: dict[int, list[NDArray[Any]]] = {i: [] for i in tensors}
    for one in inputs:
        interpreter.set_input(one, 0)
        interpreter.invoke()
        for i in tensors:
            found[i].append(np.array(interpreter.GetTensor(i, 0)["tensor_data"]))
    return {i: np.array(values) for i, values in found.items()}


def in_litert(data: bytes, inputs: NDArray[Any], tensors: Sequence[int], *, delegate: bool) -> Steps:
    """Return the values of tensors in LiteRT: its optimised kernels, or with a delegate XNNPACK, as it comes.

    With the delegate every tensor is made an output, since others are not kept.
    """
    from ai_edge_litert import interpreter as litert

    kinds = litert.OpResolverType
    if delegate:
        model = objects(data)
        first = [int(i) for i in model.subgraphs[0].outputs]
        model.subgraphs[0].outputs = [*first, *(i for i in tensors if i not in first)]
        interpreter = litert.Interpreter(model_content=written(model), num_threads=1)
    else:
        interpreter = litert.Interpreter(
            model_content=data, num_threads=1, experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )  # fmt: skip
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]
    found: dict[int, list[NDArray[Any]]] = {i: [] for i in tensors}
    for one in inputs:
        interpreter.set_tensor(place, one)
        interpreter.invoke()
        for i in tensors:
            found[i].append(interpreter.get_tensor(i))
    return {i: np.array(values) for i, values in found.items()}


# --- The comparison ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """What a network gave here: by tensor, its name, ours [runs, ..], and what a runtime gave."""

    names: dict[int, str]
    ours: Steps
    theirs: Steps

    def wrong(self) -> dict[str, tuple[int, int, int]]:
        """Return for each tensor that differs how many codes do, of how many, and by how much at most."""
        found = {}
        for index, values in self.ours.items():
            difference = np.abs(values.astype(np.int64) - self.theirs[index].astype(np.int64))
            if difference.any():
                name = f"{index} {self.names[index]}"
                found[name] = int(np.count_nonzero(difference)), difference.size, int(difference.max())
        return found

    def elements(self) -> int:
        """Return how many codes were compared."""
        return sum(values.size for values in self.ours.values())


def translated(data: bytes, rounding: str) -> tuple[Translation, Graph, dict[str, NDArray[Any]], Any]:
    """Return how the importer understands a file, and the graph and tensors of its workload."""
    model = Model(np.frombuffer(data, np.uint8))
    translation = Translation(model, model.subgraph(0), Refusals(Path("made.tflite")), rounding)
    translation.build()
    keys = {
        "name": "made", "weights": "weights.safetensors", "inputs": TfliteOptions().inputs(translation.width),
        **translation.features, "rounding": rounding, "graph": translation.ops,
    }  # fmt: skip
    spec = parse(WorkloadSpec, parse_yaml(as_yaml(keys)))
    graph = Graph.of(spec.graph, spec.features(), spec.rounding)
    problems = list(graph.tensor_problems(translation.tensors))
    assert not problems, problems
    return translation, graph, translation.tensors, spec


def here(data: bytes, features: NDArray[np.uint8], rounding: str) -> tuple[dict[int, str], Steps, Signal]:
    """Return the names and the values of all tensors of a network, and its outputs, computed as one utterance.

    Where a run is a clip, each run is an utterance. features: [runs x rows of a run, width].
    """
    translation, graph, tensors, _ = translated(data, rounding)
    step = translation.step
    ends = [0, len(features)] if translation.streaming or not translation.mixes else range(0, len(features) + 1, step)
    signals = {FEATURES: Signal(features, np.array(ends, np.int64), graph.edges[FEATURES])}
    evaluate(graph.ops, signals, graph.edges, Datapath(tensors))  # type: ignore[arg-type]
    runs = len(features) // step
    names, found = {}, {}
    for index, view in translation.views.items():
        tensor = translation.main.tensor(index)
        if view.padding != NONE or (view.edge and view.edge not in signals):
            continue
        if view.variable is not None:
            ring = translation.rings[view.variable].view
            edge, low, high, rows = ring.edge, view.low, view.high, ring.rows
        else:
            edge, low, high, rows = view.edge, view.low, view.high, view.rows
        signal = signals[edge]
        values = signal.values.reshape(runs * rows, -1)
        before = max(-low, 0)
        zero = signal.edge.zero_point if signal.edge.kind == "codes" else 0
        padded = np.concatenate([np.full((before, values.shape[1]), zero, values.dtype), values])
        places = rows * np.arange(runs)[:, None] + np.arange(low, high) + before
        codes = padded[places].astype(np.int64 if signal.edge.kind == "codes" else np.float32)
        if signal.edge.unsigned:
            codes = codes - 128
        if tensor.type == "uint8":
            codes = codes + 128
        names[index], found[index] = tensor.name, codes.reshape(runs, *tensor.shape)
    return names, found, signals[graph.last.name]


def compared(data: bytes, features: NDArray[np.uint8], rounding: str, runtime: str, *, kind: str = "int8") -> Compared:
    """Compute a network here and in a runtime: micro, optimised or default."""
    names, ours, _ = here(data, features, rounding)
    graph = objects(data).subgraphs[0]
    shape = tuple(int(n) for n in graph.tensors[graph.inputs[0]].shape)
    inputs = features.reshape(-1, *shape)
    if kind == "int8":
        inputs = (inputs.astype(np.int16) - 128).astype(np.int8)
    elif kind == "float32":  # numbers whose codes are the features
        *_, spec = translated(data, rounding)
        inputs = (inputs.astype(np.float32) - spec.feature_offset) * np.float32(spec.feature_scale)
    seen = [i for i in watched(data) if i in ours]
    if runtime == "micro":
        theirs = in_micro(data, inputs, seen)
    else:
        theirs = in_litert(data, inputs, seen, delegate=runtime == "default")
    return Compared(names, {i: ours[i] for i in seen}, theirs)
