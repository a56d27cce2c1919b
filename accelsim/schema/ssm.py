"""The grammar of diagonal state-space layers (S4D), and what is wrong with their tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from accelsim.kernels.ssm import LARGEST_WEIGHT_BITS, largest_level, radius
from accelsim.schema.parse import Model

PARTS = ("a", "b", "c")


class S4dOp(Model):
    """A layer of ``kernels`` state-space kernels of ``states`` complex states; `accelsim.kernels.ssm` has its maths.

    ``weights``: name of three tensors, ``<weights>.a``, ``.b`` and ``.c`` [kernels, states, 2], (re, im), whose levels
    stand for scale / q * level. u = clamp(round(input_scale source) - input_offset) are signed codes of ``code_bits``,
    as states and outputs are; ``output_gain``: from columns of level steps to codes of y. The source has one value for
    every kernel, or one for all.
    """

    op: Literal["s4d"]
    name: str
    input: str
    kernels: PositiveInt
    states: PositiveInt
    weight_bits: Annotated[int, Field(ge=1, le=LARGEST_WEIGHT_BITS)]
    weights: str | None = None
    scale: Annotated[float, Field(gt=0)]
    code_bits: Annotated[int, Field(ge=2, le=12)] = 8
    input_scale: Annotated[float, Field(gt=0)] = 1.0
    input_offset: int = 0
    output_gain: Annotated[float, Field(gt=0)]

    def width(self) -> int:
        """Return the number of outputs: one per kernel."""
        return self.kernels

    def state_gain(self) -> float:
        """Return what one level step adds to a state: scale / q."""
        return self.scale / largest_level(self.weight_bits)


def s4d_problems(op: S4dOp, tensors: Mapping[str, NDArray[Any]], *, integers: bool) -> Iterator[str]:
    """Yield everything that is wrong with the tensors of a layer, integer levels or the float network's.

    Missing, of a wrong shape, not a number, out of the levels' range, and states that do not decay, |a| >= 1.
    """
    shape, q = (op.kernels, op.states, 2), largest_level(op.weight_bits)
    sound = True
    for part in PARTS:
        name = f"{op.weights}.{part}"
        tensor = tensors.get(name)
        if tensor is None:
            yield f"layer '{op.name}': no tensor '{name}'"
        elif tensor.shape != shape:
            yield f"layer '{op.name}': tensor '{name}' has shape {tensor.shape}, expected {shape}"
        elif not np.isfinite(tensor).all():
            count = int((~np.isfinite(tensor)).sum())
            yield f"layer '{op.name}': {count} values of tensor '{name}' are not finite numbers"
        elif integers and (np.abs(tensor.astype(np.int64)).max() > q or (op.weight_bits == 1 and (tensor == 0).any())):
            allowed = "-1 or 1" if op.weight_bits == 1 else f"from {-q} to {q}"
            yield f"layer '{op.name}': the levels of '{name}' must be {allowed} with {op.weight_bits}-bit weights"
        else:
            continue
        sound = False
    if sound:
        found = radius(tensors[f"{op.weights}.a"], op.state_gain() if integers else 1.0)
        worst = np.unravel_index(int(found.argmax()), found.shape)
        if found[worst] >= 1:
            count = int((found >= 1).sum())
            yield (
                f"layer '{op.name}': {count} of {found.size} states are unstable: |a| = {found[worst]:.4g} in state "
                f"{worst[1]} of kernel {worst[0]}, expected less than 1"
            )
