"""The contract suite of ops tells an author what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from accelsim.ops import plain
from accelsim.ops.op import OPS, Edge, RowWindow, VectorOp, Work
from accelsim.testing import OpCase, OpContract


@pytest.fixture(autouse=True)
def forgotten(distribution: Callable[..., None]) -> None:
    """What a test registers is forgotten after it."""


class Square(VectorOp):
    """y = x^2."""

    op: Literal["square"]
    input: str

    def work(self, read: Any, unit: Any) -> Work:
        return Work(1)

    def compute(self, read: Any, unit: Any) -> Any:
        x = unit.real(read[0])
        return plain.rounded(x * x, unit.vector.number), read[0].starts

    def reference(self, read: Any, tensors: Any, number: Any = "float32") -> Any:
        x = plain.real(read[0], number)
        return plain.rounded(x * x, number)


CASE = OpCase({"input": "x"}, {"x": Edge(4)})
TESTS = [name.removeprefix("test_") for name in dir(OpContract) if name.startswith("test_")]


def told(test: str, op: type[VectorOp]) -> str:
    """Register an op and return what a test of the contract says of it; "" where it passes."""
    OPS.register("square", op)
    contract = type("Contract", (OpContract,), {"cases": {"square": [CASE]}})()
    alone = test in ("says_what_it_is", "refuses_an_unknown_key_and_names_the_nearest")
    try:
        getattr(contract, f"test_{test}")("square", *(() if alone else (CASE,)))
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("test", TESTS)
def test_a_sound_op_passes(test: str) -> None:
    assert told(test, Square) == ""


class Mute(Square):
    pass


class Unsaid(Square):
    """y = x^2, and more."""

    exponent: int = 2


class Nameless(Square):
    """y = x^2."""

    op: str  # type: ignore[assignment]


class Unrounded(Square):
    """y = x^2."""

    def compute(self, read: Any, unit: Any) -> Any:
        return unit.real(read[0]) ** 2, read[0].starts


class Narrow(Square):
    """y = x^2."""

    def infer(self, read: Sequence[Edge]) -> Edge:
        return Edge(3)


class Backwards(Square):
    """y[t] = x[t - 1]^2."""

    over_frames: ClassVar[bool] = True

    def reference(self, read: Any, tensors: Any, number: Any = "float32") -> Any:
        return np.roll(super().reference(read, tensors, number), 1, axis=0)


class Ahead(Square):
    """y[t] = x[t + 1]^2."""

    def window(self, read: Sequence[Edge]) -> RowWindow:
        return RowWindow(behind=1)

    def reference(self, read: Any, tensors: Any, number: Any = "float32") -> Any:
        return np.roll(super().reference(read, tensors, number), -1, axis=0)


class Halves(Square):
    """y = x^2."""

    def work(self, read: Any, unit: Any) -> Work:
        return Work(0.5)  # type: ignore[arg-type]


class Undrawn(Square):
    """y = x^2, and a tensor."""

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {"gain": (4,)}

    def generated(self, read: Any, spread: float, random: Any, *, last: bool) -> dict[str, Any]:
        return {}


class Unfit(Undrawn):
    """y = x^2, and a tensor of another shape."""

    def generated(self, read: Any, spread: float, random: Any, *, last: bool) -> dict[str, Any]:
        return {"tested.gain": np.zeros(5, np.float32)}


@pytest.mark.parametrize(
    ("op", "test", "message"),
    [
        (Mute, "says_what_it_is", "its class has no docstring"),
        (Unsaid, "says_what_it_is", r"does not say what these keys are: \['exponent'\]"),
        (Nameless, "says_what_it_is", r'its class needs the key op: Literal\["square"\]'),
        (Unrounded, "computes_its_reference", "values are not those of its reference in float16"),
        (Narrow, "gives_what_it_infers", r"gives \(4,\), inferred \(3,\)"),
        (Backwards, "utterances_do_not_meet", "utterance 0 is another alone"),
        (Backwards, "window_is_all_that_it_reads", "row 0 depends on rows outside 0 .. 0 of its input"),
        (Ahead, "window_is_all_that_it_reads", "row 0 depends on rows outside -1 .. 0 of its input"),
        (Halves, "counts_its_work", "operations is 0.5"),
        (Undrawn, "tensors_fit", r"drew no \['gain'\]"),
        (Unfit, "tensors_fit", r"'tested.gain' has shape \[5\], expected \[4\]"),
    ],
)
def test_a_faulty_op_is_told_what_is_wrong(op: type[VectorOp], test: str, message: str) -> None:
    assert re.search(message, told(test, op)), "no word of it"
