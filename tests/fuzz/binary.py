"""Damage to binary files: to any bytes, to arrays of .npz, to headers of safetensors, and networks to read them."""

from __future__ import annotations

import json
import random
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from claims import npy, npz, safetensors, safetensors_of, zipped
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

WORDS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 2**15, 2**16 - 1, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)
SIZES = (0, 1, 2, 3, 7, 100, 2**16, 2**31, 2**32, 10**12, 2**63 - 1, 2**63, 2**64, -1, -(2**40))
NAMES = (
    "",
    "x" * 300,
    "a\x1b[31mb",
    "[red]",
    "a\u202eb",
    "..",
    "../a",
    "\N{GREEK SMALL LETTER ALPHA}",
    "a#2",
    "a b",
    "0",
)
DESCRS = (
    "|u1", "|i1", "<i2", ">i2", "<u8", "<i8", "<f2", "<f4", ">f8", "<f16", "<c8", "|b1", "|O", "<U1", ">U7",
    "<U99999999", "|S4", "|V3", "<M8[s]", "<m8[us]", [("a", "<i4")], [("a", "|O")], ("<i4", (2, 2)), "nonsense", "",
    "<i4,<i4", None, 7,
)  # fmt: skip


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """Return bytes with a few changes: flipped, overwritten, cut off, cut out, doubled, at the head more often."""
    found = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        if not found:
            break
        end = min(len(found), 64) if rng.random() < 0.4 else len(found)
        at, kind = rng.randrange(end), rng.randrange(8)
        if kind == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            found[at : at + 4] = struct.pack(rng.choice(("<I", ">I")), rng.choice(WORDS))
        elif kind == 3:
            found[at : at + 8] = struct.pack(rng.choice(("<Q", ">Q")), rng.choice(SIZES) % 2**64)
        elif kind == 4:
            del found[at:]
        elif kind == 5:
            del found[at : at + rng.randrange(1, 64)]
        elif kind == 6:
            found[at:at] = found[at : at + rng.randrange(1, 64)]
        else:
            found[at : at + 2] = struct.pack("<H", rng.choice(WORDS) % 2**16)
    return bytes(found)


def changed(rng: random.Random, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array with something else in it, of another type, shape or length."""
    kind = rng.randrange(8)
    with np.errstate(all="ignore"):
        if kind == 0 and array.size:
            return array.reshape(-1)[: rng.randrange(array.size)].copy()
        if kind == 1:
            return np.resize(array, rng.choice(((), (0,), (3, 3), (1, 9), (2, 2, 2), (7,), (0, 6))))
        if kind == 2 and array.dtype.kind in "biuf":
            return array.astype(rng.choice(("i1", "u1", "i2", "u8", "i8", "f2", "f4", "f8", "?", "c8", "U3", "S2")))
        if kind == 3 and array.dtype.kind in "biuf" and array.size:
            other = array.astype(np.float64)
            strange = (np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300, -1, 2**31, 2**63, 65_536, 65_537, 0.5)
            other.reshape(-1)[rng.randrange(array.size)] = rng.choice(strange)
            return other if rng.random() < 0.3 else other.astype(array.dtype)
        if kind == 4 and array.dtype.kind == "U" and array.size:
            other = array.astype(object)
            other.reshape(-1)[rng.randrange(array.size)] = rng.choice(NAMES)
            return other.astype(str)
        if kind == 5:
            return array[::-1] if array.ndim else array
        if kind == 6:
            return np.concatenate([np.atleast_1d(array)] * rng.choice((2, 50)))
    return np.array(rng.choice((1, 10**6, -5, 2**62)))


def damaged_npz(rng: random.Random, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an .npz file of arrays with something wrong with it."""
    arrays = dict(arrays)
    kind = rng.randrange(6)
    if kind == 0:
        return damaged(rng, npz(arrays))
    name = rng.choice(list(arrays))
    if kind == 1:
        del arrays[name]
        return npz(arrays)
    if kind in (2, 3):
        for one in {name, rng.choice(list(arrays))}:
            arrays[one] = changed(rng, arrays[one])
        return npz(arrays)
    shape = rng.choice((arrays[name].shape, (rng.choice(SIZES),), (rng.choice(SIZES), rng.choice(SIZES))))
    descr = rng.choice(DESCRS) if rng.random() < 0.7 else arrays[name].dtype.str
    raw = arrays[name].tobytes()
    if kind == 4:
        raw = bytes(rng.choice((0, 8, 10**5, 10**7)))
    entries = {f"{one}.npy": npy(array.shape, array.dtype.str, array.tobytes()) for one, array in arrays.items()}
    made = npy(shape, descr, raw, rng.choice((1, 1, 1, 2, 3, 9)))
    entries[f"{name}.npy"] = damaged(rng, made) if rng.random() < 0.3 else made
    if rng.random() < 0.1:
        entries[rng.choice(("../out.npy", "/tmp/x.npy", "a" * 5000, "x\0y.npy", ".npy"))] = raw[:100]
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return zipped(entries, rng.choice(ways))


def damaged_safetensors(rng: random.Random, tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a safetensors file with something wrong with it: its bytes, its header, its tensors."""
    tensors = dict(tensors)
    kind = rng.randrange(5)
    if kind < 2:
        for _ in range(rng.choice((1, 1, 2))):
            name = rng.choice(list(tensors))
            other = changed(rng, tensors[name])
            tensors[name] = other if other.dtype.name in _STORED else np.atleast_1d(tensors[name])[..., :1]
            if rng.random() < 0.3:
                tensors[rng.choice((*NAMES, name + "x"))] = tensors.pop(name)
    head, data = safetensors_of(tensors)
    if kind < 2:
        return safetensors(head, data)
    if kind == 2:
        return damaged(rng, safetensors(head, data))
    for _ in range(rng.choice((1, 1, 2))):
        _change_header(rng, head, len(data))
    text = json.dumps(head).encode()
    if rng.random() < 0.2:
        text = damaged(rng, text)
    if rng.random() < 0.05:
        text = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    claimed = rng.choice((*SIZES, len(text) - 1, len(text) + 1)) % 2**64 if rng.random() < 0.2 else None
    return safetensors(text, data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data, claimed)


_STORED = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


def _change_header(rng: random.Random, head: dict[str, Any], size: int) -> None:
    name = rng.choice(list(head))
    if not isinstance(head[name], dict):
        return
    kind = rng.randrange(7)
    if kind == 0:
        head[name]["dtype"] = rng.choice(
            ("F32", "BF16", "F8_E4M3", "F8_E5M2", "F4", "F6_E2M3", "C64", "U64", "BOOL", "I4", "", None, 3)
        )
    elif kind == 1:
        shape = rng.choice((head[name].get("shape"), [], [0], [rng.choice(SIZES)], [2**32, 2**32], [-1, 0], None, "x"))
        head[name]["shape"] = shape
    elif kind == 2:
        head[name]["shape"] = [rng.choice((0, 1, 2, 3)) for _ in range(rng.choice((1, 2, 70)))]
    elif kind == 3:
        head[name]["data_offsets"] = [rng.choice((*SIZES, 0, size, size // 2)), rng.choice((*SIZES, size, size + 8))]
    elif kind == 4:
        head[name] = rng.choice((None, [], "x", {}, 3, {"dtype": "F32"}))
    elif kind == 5:
        head["__metadata__"] = rng.choice(({"a": "b"}, {"a": 3}, [], None, {"a": "\x1b[31m" * 100}, {"": ""}))
    else:
        head[rng.choice(NAMES)] = head.pop(name)


def network(inputs: str, more: str = "", weights: str = "generated_weights: {seed: 1}") -> bytes:
    """Return the workload of a small spiking network with these inputs."""
    text = f"""schema: accelsim/workload@1
name: small
{weights}
{more}
inputs: {inputs}
graph:
  - {{name: l0, op: lif, input: features, neurons: 4, weight_bits: 4, input_shift: -3, recurrent_shift: 1, beta: 0.75,
     threshold: 40, reset: subtract}}
  - {{name: out, op: spike_sum, input: l0, neurons: 3, weight_bits: 4}}
"""
    return text.encode()
