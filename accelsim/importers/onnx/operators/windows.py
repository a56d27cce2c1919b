"""Windows of convolutions and pools: their taps along each dimension, which of those is time and which is bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.importers.onnx.fold import Refused, attribute
from accelsim.importers.onnx.lowering import MOST_TAPS
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Value


@dataclass(frozen=True)
class Taps:
    """A window along one dimension: so many taps ``dilation`` apart, in steps of ``stride``, over padded values."""

    count: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    @property
    def grown(self) -> int:
        """How many more windows than values there are in steps of one."""
        return self.before + self.after - self.dilation * (self.count - 1)

    def length(self, size: int) -> int:
        """Return how many windows so many values have: (L + before + after - d (K - 1) - 1) // s + 1."""
        return (size + self.grown - 1) // self.stride + 1


def window_of(node: Node, x: Value, kernel: Sequence[int]) -> list[Taps]:
    """Return the taps of the dimensions behind batch and channels; what Pad has padded is in their padding.

    Raises `Refused` for attributes that do not fit, and for padding that depends on an open dimension.
    """
    n = len(kernel)
    stride = attribute(node, "strides", [1] * n, list)
    dilation = attribute(node, "dilations", [1] * n, list)
    steps = [*stride, *dilation]
    if len(stride) != n or len(dilation) != n or not all(isinstance(v, int) and 1 <= v <= MOST_TAPS for v in steps):
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
    elif auto == "VALID":
        flat = [0] * 2 * n
    elif auto not in ("NOTSET", ""):
        raise Refused(f"auto_pad '{auto[:20]}' is not known")
    if len(flat) != 2 * n or not all(isinstance(v, int) and 0 <= v <= MOST_TAPS for v in flat):
        raise Refused(f"pads {flat[:8]} of {n} dimensions")
    if set(x.padding) - set(range(2, n + 2)):
        raise Refused("what it reads is padded over its channels or its batch")
    window = []
    for i in range(n):
        before, after = x.padding.get(i + 2, (0, 0))
        window.append(Taps(kernel[i], stride[i], dilation[i], flat[i] + before, flat[i + n] + after))
    return window


def places_of(x: Value, window: Sequence[Taps]) -> tuple[int | None, int | None]:
    """Return which dimension of a window is time and which is bands; the others are one value wide.

    Raises `Refused` where two dimensions are left for bands.
    """
    time = band = None
    for place, taps in enumerate(window, 2):
        trivial = not x.dims[place] and taps.count == 1 and not taps.before and not taps.after
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
