"""Values of a row in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Len
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic, Number
from accelsim.ops.op import OPS, Datapath, Edge, Signal, Tensors, VectorOp, Work

LARGEST_ROW = 1 << 24
Range = Annotated[list[int], Len(3, 3)]


class GatherOp(VectorOp):
    """y = x[i] for the places i of ``ranges`` in order, each [first, end, step] as Python's: transposed, reflected.

    A place may come more than once. y has so many ``bands``. What is moved stays what it is.
    """

    op: Literal["gather"]
    input: str
    ranges: Annotated[list[Range], Len(1)]
    bands: PositiveInt = 1

    @model_validator(mode="after")
    def _hold_something(self) -> GatherOp:
        for first, end, step in self.ranges:
            if first < 0 or step == 0 or not len(range(first, end, step)):
                found = [first, end, step]
                raise ValueError(f"expected ranges of at least one place, [first, end, step], found {found}")
        if sum(len(range(*one)) for one in self.ranges) > LARGEST_ROW:
            raise ValueError(f"more than {LARGEST_ROW:,} places")
        return self

    def places(self) -> NDArray[np.int64]:
        """Return the places."""
        return np.concatenate([np.arange(*one) for one in self.ranges])

    def infer(self, read: Sequence[Edge]) -> Edge:
        ends = [max(one[0], range(*one)[-1]) for one in self.ranges]
        least = min(range(*one)[-1] for one in self.ranges)
        if max(ends) >= read[0].width or least < 0:
            wrong = least if least < 0 else max(ends)
            raise ValueError(f"it takes place {wrong} of '{self.input}', which has {read[0].width} values")
        width = sum(len(range(*one)) for one in self.ranges)
        if width % self.bands:
            raise ValueError(f"{width} values are not channels of {self.bands} bands")
        return replace(read[0], width=width, bands=self.bands)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(0)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        return np.ascontiguousarray(read[0].values[:, self.places()]), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return the columns, one after the other."""
        columns = [read[0].values[:, place] for place in chain.from_iterable(range(*one) for one in self.ranges)]
        return np.stack(columns, axis=1)


OPS.register("gather", GatherOp)
