"""NIR files with something wrong in them: mutations of their groups and arrays, and of their bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

nir, h5py = pytest.importorskip("nir"), pytest.importorskip("h5py")

STRANGE = (0, 1, -1, 0.5, 1e-30, 1e30, -1e300, np.nan, np.inf, 2**31, 2**62, -(2**63), 255)
TYPES = ("LIF", "CubaLIF", "CubaLI", "IF", "LI", "I", "Linear", "Affine", "Scale", "Flatten", "Delay", "Threshold",
         "Input", "Output", "NIRGraph", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Nonsense", "")  # fmt: skip


def models() -> list[bytes]:
    """Return small files with nodes of every kind that is taken, recurrent ones and graphs within graphs among them."""
    one, six = np.ones(4), np.ones(6)
    cell = {"r": one, "v_leak": 0 * one, "v_threshold": one}
    cuba = nir.CubaLIF(tau_syn=one * 0.004, tau_mem=one * 0.008, w_in=one * 3, **{**cell, "r": one * 5})
    grid = np.arange(24, dtype=np.float32).reshape(4, 6) / 16 - 0.6
    square = np.arange(16, dtype=np.float32).reshape(4, 4) / 16 - 0.4
    chains = [
        [nir.Affine(grid, one / 8), cuba, nir.Linear(square), nir.LIF(tau=one * 0.01, **cell)],
        [nir.Delay(six * 0.001), nir.Linear(grid), nir.IF(r=one * 900, v_threshold=one), nir.Scale(one / 2),
         nir.LI(tau=one * 0.01, r=one, v_leak=0 * one)],
        [nir.Flatten({"input": np.array([2, 3])}, 0, -1), nir.Linear(grid), nir.Threshold(one / 2), nir.Linear(square)],
    ]  # fmt: skip
    graphs = [nir.NIRGraph.from_list(*nodes) for nodes in chains]
    nodes = {"input": nir.Input(np.array([6])), "a": nir.Linear(grid), "b": cuba, "b.rec": nir.Affine(square, one / 9),
             "output": nir.Output(np.array([4]))}  # fmt: skip
    edges = [("input", "a"), ("a", "b"), ("b", "b.rec"), ("b.rec", "b"), ("b", "output")]
    graphs.append(nir.NIRGraph(nodes, edges))
    files = []
    for place, graph in enumerate(graphs):
        buffer = io.BytesIO()
        nir.write(buffer, graph, compression="gzip" if place % 2 else None)
        files.append(buffer.getvalue())
    return files


def mutated(raw: bytes, random: np.random.Generator) -> bytes:
    """Return a file with a few of its bytes changed, or a few of its groups and arrays."""
    if random.random() < 0.5:
        return bytes(_bytes(bytearray(raw), random))
    buffer = io.BytesIO(raw)
    with h5py.File(buffer, "r+") as file:
        for _ in range(random.integers(1, 4)):
            found: list[str] = []
            file.visit(found.append)
            _structure(file, found[random.integers(len(found))], found, random)
    return buffer.getvalue()


def _bytes(raw: bytearray, random: np.random.Generator) -> bytearray:
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        place = int(random.integers(len(raw)))
        value = [0, 255, int(random.integers(256)), raw[place] ^ (1 << int(random.integers(8)))]
        raw[place] = value[int(random.integers(4))]
    return raw[: int(random.integers(len(raw)))] if random.random() < 0.1 else raw


def _structure(file: Any, name: str, names: list[str], random: np.random.Generator) -> None:
    if name not in file or name == "node":
        return
    item, other = file[name], names[random.integers(len(names))]
    how = int(random.integers(9))
    if how == 0:
        del file[name]
    elif how == 1 and other in file and not other.startswith(name) and not name.startswith(other):
        del file[other]
        file[other] = item  # the same object twice
    elif how == 2:
        parent, _, last = name.rpartition("/")
        file.move(name, f"{parent}/{last[:-1] or 'x'}")
    elif how == 3:
        (item if isinstance(item, h5py.Group) else item.parent)[f"loop{random.integers(1 << 30)}"] = h5py.SoftLink(
            "/node"
        )
    elif isinstance(item, h5py.Dataset):
        value = item[()]
        del file[name]
        if isinstance(value, bytes):
            file[name] = TYPES[random.integers(len(TYPES))] if how < 8 else float(random.integers(9))
        elif value.dtype == object:  # edges
            words = sorted({one.decode() for one in value.reshape(-1)} | {"input", "nobody", ""})
            value.reshape(-1)[random.integers(value.size)] = words[random.integers(len(words))].encode()
            file.create_dataset(name, data=np.repeat(value, random.integers(1, 3), axis=0), dtype=h5py.string_dtype())
        elif how == 4:
            file[name] = value.astype([np.int8, np.uint64, np.float16, bool, np.complex64][random.integers(5)])
        elif how == 5:
            file[name] = value.reshape(-1)[: random.integers(value.size + 1)]
        elif how == 6:
            file[name] = np.resize(value, [(3, 3), (), (1,), (4, 1), (100,), (2, 2, 2)][random.integers(6)])
        else:
            with np.errstate(all="ignore"):
                strange = np.asarray(STRANGE[random.integers(len(STRANGE))], np.float64).astype(value.dtype)
            changed = np.array(value)
            changed.reshape(-1)[random.integers(max(value.size, 1)) if value.size else slice(0)] = strange
            file[name] = changed
