"""Parameters of PyTorch modules as safetensors files, and what importers of them share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.importers.importer import Imported, Names, Note, Options, Refusals
from accelsim.ops.op import FEATURES, Edge
from accelsim.weights import open_weights

FLOAT16_LARGEST = 65504.0


class StateDictOptions(Options):
    """What parameters alone do not say.

    ``feature_scale``, ``feature_offset``: real = scale (code - offset), the codes of the features; ``prefix``: only
    parameters whose names begin so.
    """

    feature_scale: Annotated[float, Gt(0)] = 1.0
    feature_offset: Annotated[int, Ge(0), Le(255)] = 128
    prefix: str = ""


class State:
    """The parameters of a file by name: each is read when it is asked for, and noted as taken."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path, self.taken = path, set[str]()
        self.file = open_weights(path)
        self.names = dict.fromkeys(sorted(self.file.keys(), key=_numbered))
        if not any(name.startswith(prefix) for name in self.names):
            raise InputError.of(f"no parameter begins with '{prefix}'", file=path)
        self.prefix = prefix

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a shape without reading the numbers."""
        return tuple(self.file.get_slice(name).get_shape())

    def get(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """Return a parameter as float32; raises ValueError where it is missing, or not of this shape (None: any)."""
        if name not in self:
            raise ValueError(f"there is no parameter '{name}'")
        found = self.shape(name)
        if len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True)):
            wanted = [size if size is not None else "any" for size in shape]
            raise ValueError(f"'{name}' has the shape {list(found)}, expected {wanted}".replace("'any'", "any"))
        try:
            array = self.file.get_tensor(name)
        except Exception as error:  # types that NumPy does not have, bfloat16 for example
            raise ValueError(f"'{name}' cannot be read: {error}") from None
        if array.dtype.kind != "f":
            raise ValueError(f"'{name}' has the type {array.dtype}, expected floating-point numbers")
        wide = np.asarray(array, np.float32)
        if not np.isfinite(wide).all():
            raise ValueError(f"'{name}' holds NaN or infinity")
        self.taken.add(name)
        return wide

    def maybe(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32] | None:
        """Return a parameter that may be missing."""
        return self.get(name, shape) if name in self else None

    def under(self, prefix: str) -> Iterator[str]:
        """Yield the names that begin so."""
        return (name for name in self.names if name.startswith(prefix))


@dataclass
class Network:
    """A network as it grows: ops in order, tensors, those of the float network, and what became of each module."""

    edge: Edge
    ops: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    reference: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    def add(self, name: str, op: str, keys: dict[str, Any], tensors: dict[str, NDArray[Any]] | None = None) -> str:
        """Add an op; weights of matrices become float16, and stay float32 in the float network."""
        taken = self.names.new(name)
        self.ops.append({"name": taken, "op": op, **keys})
        for end, tensor in (tensors or {}).items():
            self.reference[f"{taken}.{end}"] = tensor
            half = end == "weight" and keys.get("weight_bits") == 16
            if half and np.abs(tensor).max(initial=0) > FLOAT16_LARGEST:
                raise ValueError(f"the weights of '{name}' do not lie in the range of float16")
            self.tensors[f"{taken}.{end}"] = tensor.astype(np.float16) if half else tensor
        return taken

    def real_features(self) -> str:
        """Add what makes real numbers of the features' codes, all of them; return its name."""
        return self.add("features.real", "dequantise", {"input": FEATURES})

    def linear(self, name: str, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> str:
        """Add a dense layer; weight [outputs, inputs] as PyTorch has it."""
        tensors = {"weight": np.ascontiguousarray(weight.T)} | ({} if bias is None else {"bias": bias})
        return self.add(name, "linear", {"input": x, "outputs": len(weight), "weight_bits": 16}, tensors)

    def note(self, node: str, module: str, ours: list[str], remark: str = "", *, exact: bool = False) -> None:
        """Say what became of a module."""
        self.notes.append(Note(node, module, tuple(ours), "exact" if exact else "approximate", remark))

    def imported(
        self, name: str, description: str, options: StateDictOptions, remarks: list[str], **keys: Any
    ) -> Imported:
        """Return the network as `Imported` has it."""
        workload = {
            "name": name, "description": description, "feature_scale": self.edge.scale,
            "feature_offset": self.edge.zero_point, **keys, "inputs": options.inputs(self.edge.width),
            "graph": self.ops,
        }  # fmt: skip
        said = f"Features are codes 0 .. 255: real = {self.edge.scale:.9g} (code - {self.edge.zero_point})."
        return Imported(workload, self.tensors, self.reference, self.notes, [said, *remarks])


def features(width: int, options: StateDictOptions) -> Edge:
    """Return the edge of the features."""
    if not 0 < width <= 65_536:
        raise ValueError(f"{width:,} features a row, at most 65,536 are read")
    return Edge(width, width, 1, "codes", bits=8, scale=options.feature_scale, zero_point=options.feature_offset,
                unsigned=True)  # fmt: skip


def not_read(state: State, refusals: Refusals, inside: list[str]) -> list[str]:
    """Note parameters of modules that were read of which nothing was made; return a remark on those of others."""
    left = [name for name in state.names if name not in state.taken]
    for name in left:
        if name.rpartition(".")[2] == "num_batches_tracked":
            continue
        if any(name.startswith(prefix) for prefix in inside):
            refusals.add(name, "parameter", "nothing here is made of it: the module is of another kind than was taken")
    others = [name for name in left if not any(name.startswith(prefix) for prefix in inside)]
    if not others:
        return []
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    return [f"Not taken, since they belong to other modules: {', '.join(others[:5])}{more}."]


def _numbered(name: str) -> tuple[Any, ...]:
    """Return a key that sorts numbers in names as numbers."""
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 9 else (1, 0, part)
                 for part in name.split("."))  # fmt: skip


def heads_problem(width: int, heads: int) -> str | None:
    """Return why an attention of so many heads does not fit a width."""
    return None if heads >= 1 and width % heads == 0 and math.isfinite(width) else (
        f"{heads} heads do not divide a width of {width}: say how many there are, -O heads=N")  # fmt: skip


__all__ = ["FEATURES", "Network", "State", "StateDictOptions", "features", "heads_problem", "not_read"]
