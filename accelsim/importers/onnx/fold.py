"""What constants of an ONNX graph come to: shapes and indices that a file computes, quantised weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.proto import DTYPES, Node, Tensor

MOST_FOLDED = 1 << 22
"""Values of the largest constant that is computed; larger ones are moved and quantised alone."""


class Refused(ValueError):
    """A node that cannot be taken, with the reason."""


@dataclass(frozen=True)
class Const:
    """A constant; ``four_bits``: of 4-bit integers, held in 8 bits."""

    array: NDArray[Any]
    four_bits: bool = False

    def real(self) -> NDArray[Any]:
        """Return the numbers that it stands for, its own."""
        return self.array


@dataclass(frozen=True)
class Quantised:
    """A constant of integers that stand for scale (code - zero point); several scales lie along ``axis``."""

    codes: NDArray[Any]
    scale: NDArray[np.float32]
    zero_point: NDArray[Any]
    axis: int
    four_bits: bool = False

    def real(self) -> NDArray[np.float32]:
        """Return the numbers that it stands for, float32, as DequantizeLinear gives them."""
        shape = [1] * self.codes.ndim
        if self.scale.size > 1:
            shape[self.axis] = -1
        scale, zero = self.scale.reshape(shape), self.zero_point.reshape(shape)
        return (self.codes.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale


def attribute(node: Node, name: str, default: Any, kind: type = int) -> Any:
    """Return an attribute of the right kind, or its default; raises `Refused`."""
    value = node.attributes.get(name, default)
    if value is default:
        return default
    if kind is list:
        if not isinstance(value, list) or not all(isinstance(item, int | float) for item in value):
            raise Refused(f"attribute '{name}' is not a list of numbers")
        return value
    if kind is str:
        if not isinstance(value, bytes):
            raise Refused(f"attribute '{name}' is not a text")
        return value.decode(errors="replace")
    if kind is float and isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    if not isinstance(value, kind):
        raise Refused(f"attribute '{name}' is not of the kind that it should be")
    return value


def whole(values: Any, what: str, most: int = 1 << 31) -> list[int]:
    """Return a constant of whole numbers as a list; raises `Refused`."""
    array = np.asarray(values).reshape(-1)
    if array.dtype.kind not in "iu" or array.size > 1024:
        raise Refused(f"{what} are not a few whole numbers")
    found: list[int] = array.tolist()
    return [max(min(value, most), -most) for value in found]


def quantised(node: Node, x: Const, scale: NDArray[Any], zero: NDArray[Any] | None, axis: int) -> Quantised:
    """Return the constant that DequantizeLinear reads, its parameters checked."""
    if scale.dtype.kind != "f" or not scale.size:
        raise Refused("its scale is not a floating-point number")
    scale = np.asarray(scale, np.float32)
    if scale.size > 1:
        axis = axis + x.array.ndim if axis < 0 else axis
        if scale.ndim != 1 or not 0 <= axis < x.array.ndim or x.array.shape[axis] != scale.size:
            raise Refused(f"scales of shape {list(scale.shape)} along axis {axis} of {list(x.array.shape)}")
    if not np.isfinite(scale).all() or not (scale > 0).all():
        raise Refused("a scale is not greater than 0")
    zero = np.zeros(scale.size, np.int32) if zero is None else zero
    if zero.dtype.kind not in "iu" or zero.size not in (1, scale.size):
        raise Refused("its zero point is not a whole number for each scale")
    zero = np.broadcast_to(zero.reshape(-1), scale.size).astype(np.int32)
    if x.array.dtype.kind not in "iu":
        raise Refused(f"it dequantises {x.array.dtype}")
    return Quantised(x.array, scale.reshape(-1), zero, axis, x.four_bits)


def quantise(x: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | None, axis: int, dtype: str) -> Const:
    """Return a constant quantised as QuantizeLinear does: saturate(round(x / scale) + zero), halves to even."""
    if dtype not in ("|i1", "|u1", "<i2", "<u2", "<i4"):
        raise Refused(f"it quantises a constant to {np.dtype(dtype)}")
    if x.dtype.kind != "f" or scale.dtype.kind != "f" or not (scale > 0).all():
        raise Refused("it quantises what is not floating-point, or by a scale that is not greater than 0")
    shape = [1] * x.ndim
    if scale.size > 1:
        axis = axis + x.ndim if axis < 0 else axis
        if not 0 <= axis < x.ndim or x.shape[axis] != scale.size:
            raise Refused(f"{scale.size} scales along axis {axis} of {list(x.shape)}")
        shape[axis] = -1
    if zero is not None and zero.size not in (1, scale.size):
        raise Refused("its zero point is not a whole number for each scale")
    offset = np.float32(0) if zero is None else zero.astype(np.float32).reshape(shape if zero.size > 1 else ())
    info = np.iinfo(np.dtype(dtype))
    with np.errstate(all="ignore"):
        codes = np.rint(np.asarray(x, np.float32) / np.asarray(scale, np.float32).reshape(shape)) + offset
    return Const(np.clip(np.nan_to_num(codes), info.min, info.max).astype(dtype))


def _slices(x: NDArray[Any], starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> NDArray[Any]:
    begin, end = whole(starts, "starts"), whole(ends, "ends")
    where = list(range(len(begin))) if axes is None else whole(axes, "axes")
    by = [1] * len(begin) if steps is None else whole(steps, "steps")
    if not len(begin) == len(end) == len(where) == len(by):
        raise Refused("starts, ends, axes and steps are not as many")
    index: list[Any] = [slice(None)] * x.ndim
    for b, e, axis, step in zip(begin, end, where, by, strict=True):
        if not -x.ndim <= axis < x.ndim or step == 0:
            raise Refused(f"it slices axis {axis} of {x.ndim} in steps of {step}")
        if step < 0 and e <= -(1 << 30):
            index[axis] = slice(b, None, step)
        else:
            index[axis] = slice(b, e, step)
    return x[tuple(index)]


def reshaped(x: NDArray[Any], shape: list[int], allow_zero: bool) -> NDArray[Any]:
    """Return a constant in another shape; 0 keeps a size, -1 is what is left."""
    new = [x.shape[i] if size == 0 and not allow_zero and i < x.ndim else size for i, size in enumerate(shape)]
    return x.reshape(new)


_TWO: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Equal": np.equal, "Greater": np.greater,
    "Less": np.less, "And": np.logical_and, "Or": np.logical_or, "Max": np.maximum, "Min": np.minimum, "Pow": np.power,
    "GreaterOrEqual": np.greater_equal, "LessOrEqual": np.less_equal,
}  # fmt: skip
_ONE: dict[str, Callable[..., Any]] = {
    "Neg": np.negative, "Sqrt": np.sqrt, "Not": np.logical_not, "Abs": np.abs, "Exp": np.exp, "Floor": np.floor,
    "Ceil": np.ceil, "Identity": np.asarray, "Reciprocal": np.reciprocal,
}  # fmt: skip
FOLDED = frozenset(
    {*_TWO, *_ONE, "Constant", "ConstantOfShape", "Gather", "Concat", "Cast", "Reshape", "Slice", "Transpose",
     "Unsqueeze", "Squeeze", "Range", "Where", "Expand", "Shape", "Size", "Flatten", "Split", "ReduceProd"}
)  # fmt: skip


def fold(node: Node, read: Sequence[NDArray[Any] | None], version: int) -> list[NDArray[Any]]:
    """Return what a node makes of constants alone; raises `Refused` for what it does not compute."""
    if node.op == "Constant":
        return [_constant(node)]
    if any(one is None for one in read[:1]) or (node.op not in FOLDED):
        raise Refused("it computes with constants alone, which is not done for this op")
    with np.errstate(all="ignore"):
        try:
            found = _fold(node, [*read], version)
        except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, MemoryError) as error:
            raise Refused(f"its constants do not fit: {error}") from None
    return found


def _constant(node: Node) -> NDArray[Any]:
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, Tensor):
            return value.array
        if name == "value_float":
            return np.array(value, np.float32)
        if name == "value_int":
            return np.array(value, np.int64)
        if name == "value_ints" and isinstance(value, list):
            return np.array(value, np.int64)
        if name == "value_floats" and isinstance(value, list):
            return np.array(value, np.float32)
    raise Refused("a constant without a value that is read")


def _fold(node: Node, read: list[Any], version: int) -> list[NDArray[Any]]:
    x = read[0]
    moves = ("Reshape", "Transpose", "Unsqueeze", "Squeeze", "Identity", "Flatten", "Slice", "Shape", "Size")
    if node.op not in moves and sum(np.size(one) for one in read if one is not None) > MOST_FOLDED:
        raise Refused(f"it computes with constants of more than {MOST_FOLDED:,} values")
    if node.op in _TWO:
        if math.prod(np.broadcast_shapes(x.shape, read[1].shape)) > MOST_FOLDED:
            raise Refused("its constants are too large")
        both = x.dtype.kind in "iu" and read[1].dtype.kind in "iu"
        if node.op == "Div" and both:
            if (read[1] == 0).any():
                raise Refused("it divides by 0")
            return [np.asarray(np.trunc(x / read[1]).astype(x.dtype))]
        found = np.asarray(_TWO[node.op](x, read[1]))
        return [found.astype(x.dtype) if found.dtype != bool else found]
    if node.op in _ONE:
        return [np.asarray(_ONE[node.op](x))]
    return [np.asarray(one) for one in _moved(node, x, read, version)]


def _moved(node: Node, x: NDArray[Any], read: list[Any], version: int) -> list[Any]:
    rest = [*read[1:], *[None] * 5]
    match node.op:
        case "Shape":
            return [np.array(x.shape, np.int64)]
        case "Size":
            return [np.array(x.size, np.int64)]
        case "ConstantOfShape":
            shape = whole(x, "sizes")
            if any(size < 0 for size in shape) or math.prod(shape) > MOST_FOLDED:
                raise Refused(f"a constant of shape {shape}")
            value = node.attributes.get("value")
            fill = value.array.reshape(-1)[:1] if isinstance(value, Tensor) else np.zeros(1, np.float32)
            return [np.broadcast_to(fill, shape)]
        case "Gather":
            return [np.take(x, np.asarray(rest[0], np.int64), axis=attribute(node, "axis", 0))]
        case "Concat":
            return [np.concatenate(read, axis=attribute(node, "axis", 0))]
        case "Cast":
            to = attribute(node, "to", 0)
            if to not in DTYPES:
                raise Refused(f"it casts to type {to} of TensorProto.DataType")
            return [x.astype(DTYPES[to])]
        case "Reshape":
            return [reshaped(x, whole(rest[0], "sizes"), bool(attribute(node, "allowzero", 0)))]
        case "Flatten":
            axis = attribute(node, "axis", 1)
            axis = axis + x.ndim if axis < 0 else axis
            return [x.reshape(math.prod(x.shape[:axis]), -1)]
        case "Slice":
            if "starts" in node.attributes:
                keys = [node.attributes.get(key) for key in ("starts", "ends", "axes")]
                return [_slices(x, *keys)]
            return [_slices(x, *read[1:])]
        case "Transpose":
            perm = attribute(node, "perm", None, list)
            return [x.transpose(perm)]
        case "Unsqueeze" | "Squeeze":
            axes = rest[0] if rest[0] is not None else attribute(node, "axes", None, list)
            if node.op == "Squeeze":
                return [np.squeeze(x, None if axes is None else tuple(whole(axes, "axes")))]
            return [np.expand_dims(x, tuple(whole(axes, "axes")))]
        case "Range":
            if np.abs((rest[0] - x) / rest[1]).max() > MOST_FOLDED:
                raise Refused("a range that is too long")
            return [np.arange(x.item(), rest[0].item(), rest[1].item(), dtype=x.dtype)]
        case "Where":
            return [np.where(x, rest[0], rest[1])]
        case "Expand":
            spread = np.broadcast_shapes(x.shape, tuple(whole(rest[0], "sizes")))
            if math.prod(spread) > MOST_FOLDED:
                raise Refused(f"a constant of shape {list(spread)}")
            return [np.broadcast_to(x, spread)]
        case "ReduceProd":
            return [np.prod(x, keepdims=bool(attribute(node, "keepdims", 1)), dtype=x.dtype)]
        case "Split":
            sizes = rest[0] if rest[0] is not None else attribute(node, "split", None, list)
            axis = attribute(node, "axis", 0)
            if sizes is None:
                return [*np.array_split(x, len(node.outputs), axis)]
            return [*np.split(x, np.cumsum(whole(sizes, "sizes"))[:-1], axis)]
    raise Refused("it computes with constants alone, which is not done for this op")
