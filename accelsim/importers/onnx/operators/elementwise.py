"""Value by value: sums, differences, products and quotients, functions, clamps and powers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.codes import float32
from accelsim.importers.onnx.fold import Const, Quantised, Refused, attribute
from accelsim.importers.onnx.lowering import Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import State, Value, size_of


@onnx_op("Add", "Sub", "Mul", "Div", inputs=2)
def arithmetic(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Add, Sub, Mul, Div of two values, or of a value and a constant."""
    if len(read) != 2:
        raise Refused(f"it reads {len(read)} values, not two")
    a, b = read
    if isinstance(a, State) or isinstance(b, State):
        raise Refused("it computes with a state; states of LSTM, GRU and caches in front of new rows are read")
    if isinstance(a, Value) and isinstance(b, Value):
        return [_two_values(lowering, node, a, b)]
    if isinstance(a, Value) and isinstance(b, Const | Quantised):
        return [_with_constant(lowering, node, a, b, swapped=False)]
    if isinstance(b, Value) and isinstance(a, Const | Quantised):
        return [_with_constant(lowering, node, b, a, swapped=True)]
    raise Refused("it computes with constants that are quantised")


def _two_values(lowering: Lowering, node: Node, a: Value, b: Value) -> Value:
    """Return a + b, a - b or a b, the second in the order of the first; raises `Refused`."""
    a, b = a.readable(), b.readable()
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
        b = lowering.gathered(node, b, there[a.places()], a.dims, a.order, a.edge.bands)
    if node.op == "Sub":
        gain = {"gain": np.array(-1, np.float32)}
        b = lowering.emit(node, "affine", {"input": b}, {}, b.dims, b.order, tensors=gain, suffix=".negative")
    if node.op == "Mul":
        return lowering.emit_folding(node, "multiply", {"input": a, "by": b}, {}, first, a.order)
    return lowering.emit_folding(node, "add", {"residual": a, "input": b}, {}, first, a.order)


def _with_constant(lowering: Lowering, node: Node, x: Value, other: Const | Quantised, *, swapped: bool) -> Value:
    """Return gain x + bias, with a constant for one of them."""
    x = x.readable()
    array = other.real()
    if array.dtype.kind not in "fiu" or not np.isfinite(array.astype(np.float64)).all():
        raise Refused("its constant is not made of finite numbers")
    vector = spread(np.asarray(array, np.float32), x)
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
        lowering.approximate("a quotient as a product with the reciprocal")
    return affine(lowering, node, x, {key: np.asarray(one, np.float32) for key, one in tensors.items()})


def affine(lowering: Lowering, node: Node, x: Value, tensors: dict[str, NDArray[np.float32]]) -> Value:
    """Return gain x + bias, of the tensors of op ``affine``; raises `Refused` where they are not finite."""
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise Refused("its constants are not finite")
    return lowering.emit_folding(node, "affine", {"input": x}, {}, x.dims, x.order, tensors=tensors)


def spread(array: NDArray[np.float32], x: Value) -> NDArray[np.float32]:
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


def _read(read: Read) -> Value:
    """Return the value that a function reads; raises `Refused`."""
    if not isinstance(read[0], Value):
        raise Refused("it computes with what is no value")
    return read[0].readable()


_FUNCTIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Sqrt": "sqrt"}


@onnx_op(*_FUNCTIONS)
def function(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Functions of single values that have no attributes."""
    x = _read(read)
    return [lowering.emit_folding(node, _FUNCTIONS[node.op], {"input": x}, {}, x.dims, x.order)]


@onnx_op("Gelu")
def gelu(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """GELU by the error function."""
    x = _read(read)
    if attribute(node, "approximate", "none", str) != "none":
        raise Refused("GELU by tanh; the exact one is taken")
    return [lowering.emit_folding(node, "gelu", {"input": x}, {}, x.dims, x.order)]


@onnx_op("LeakyRelu")
def leaky_relu(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """LeakyRelu: alpha x below 0."""
    x = _read(read)
    keys = {"slope": float32(attribute(node, "alpha", 0.01, float))}
    return [lowering.emit_folding(node, "leaky_relu", {"input": x}, keys, x.dims, x.order)]


def limits(lowering: Lowering, node: Node) -> tuple[float, float]:
    """Return the least and the largest value that Relu and Clip let through; raises `Refused`."""
    if node.op == "Relu":
        return 0.0, math.inf
    if len(node.inputs) == 1:
        return attribute(node, "min", -math.inf, float), attribute(node, "max", math.inf, float)
    found = [-math.inf, math.inf]
    for place in (1, 2):
        if place < len(node.inputs) and node.inputs[place]:
            array = lowering.constant(node, place, "limit")
            if array.size != 1 or array.dtype.kind not in "fiu" or np.isnan(array.reshape(-1)[0]):
                raise Refused("its limits are not one number each")
            found[place - 1] = float(array.reshape(-1)[0])
    return found[0], found[1]


@onnx_op("Relu", "Clip", limits=limits)
def clamp(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Relu and Clip that nothing before them takes in: of codes a quantisation with narrower limits."""
    x = _read(read)
    low, high = limits(lowering, node)
    ends = {"low": low, "high": high} if node.op == "Clip" else {}
    keys = {key: float32(value) for key, value in ends.items() if math.isfinite(value)}
    if node.op == "Clip" and not keys:
        return [x]
    follow = lowering.after(node.outputs[0])
    if follow.codes is not None and x.quantised and x.edge.bits == follow.codes.bits:
        # A clamp of codes: Q is monotonous, so Q(clamp x) = clamp(Q(x), Q(low), Q(high)).
        output = follow.codes.clamped(low, high)
        made = lowering.emit(node, "quantise", {"input": x}, {}, x.dims, x.order, output=output)
        lowering.absorb(follow, made)
        return [made]
    return [lowering.emit_folding(node, node.op.lower(), {"input": x}, keys, x.dims, x.order)]


@onnx_op("Max", "Min")
def limit(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Max and Min of a value and one number."""
    x = next((one for one in read if isinstance(one, Value)), None)
    limits = [one.array for one in read if isinstance(one, Const)]
    if x is None or len(read) != 2 or len(limits) != 1 or limits[0].size != 1 or limits[0].dtype.kind not in "fiu":
        raise Refused("the largest, or least, of anything but a value and one number of the file")
    number = float32(limits[0].reshape(-1)[0])
    if not math.isfinite(number):
        raise Refused(f"a limit of {number}")
    x = x.readable()
    keys = {"low" if node.op == "Max" else "high": number}
    return [lowering.emit_folding(node, "clip", {"input": x}, keys, x.dims, x.order)]


@onnx_op("Pow", inputs=2)
def power(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Pow by 2, or by a half."""
    x, exponent = read[0], read[1]
    if not isinstance(x, Value) or not isinstance(exponent, Const) or exponent.array.size != 1:
        raise Refused("a power that is no constant")
    x = x.readable()
    value = float(exponent.array.reshape(-1)[0])
    if value == 2.0:
        return [lowering.emit(node, "multiply", {"input": x, "by": x}, {}, x.dims, x.order)]
    if value == 0.5:
        return [lowering.emit(node, "sqrt", {"input": x}, {}, x.dims, x.order)]
    raise Refused(f"a power of {value:g}; 2 and 0.5 are taken")
