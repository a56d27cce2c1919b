"""Binary files by hand, which can claim in their headers what they do not have."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np


def npy(shape: Any, descr: Any = "|u1", data: bytes = b"", version: int = 1) -> bytes:
    """Return an array as NumPy writes it, with any claims in its header."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    head = b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text))
    return head + text + data


def zipped(entries: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive, which an .npz file is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, raw in entries.items():
            archive.writestr(zipfile.ZipInfo(name), raw, kind)
    return buffer.getvalue()


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return arrays as np.savez_compressed writes them, always with the same bytes."""
    entries = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        entries[f"{name}.npy"] = buffer.getvalue()
    return zipped(entries)


def wav(rate: int, samples: int, claimed: int | None = None, channels: int = 1) -> bytes:
    """Return a WAV file of 16-bit samples, which claims any rate and any number of samples."""
    raw = b"\1\0" * samples * channels
    size = 2 * channels * (samples if claimed is None else claimed)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate & 0xFFFFFFFF, 2 * rate & 0xFFFFFFFF, 2, 16)
    data = b"data" + struct.pack("<I", size & 0xFFFFFFFF) + raw
    return b"RIFF" + struct.pack("<I", (len(head) + len(data) + 4) & 0xFFFFFFFF) + b"WAVE" + head + data


def flac(samples: int, claimed: int | None = None, rate: int = 16_000) -> bytes:
    """Return a FLAC file of silence, which claims any number of samples, up to 2^36."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(samples, np.int16), rate, format="FLAC")
    raw = bytearray(buffer.getvalue())
    if claimed is not None:  # STREAMINFO: the last 36 bits of 8 bytes at 18, behind rate, channels, bits
        word = int.from_bytes(raw[18:26], "big") >> 36 << 36 | claimed
        raw[18:26] = word.to_bytes(8, "big")
    return bytes(raw)


def safetensors(head: Any, data: bytes, claimed: int | None = None) -> bytes:
    """Return a safetensors file of any header, JSON or bytes, which claims any length of it."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + data


def safetensors_of(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], bytes]:
    """Return the header of tensors, and their bytes."""
    kinds = {"float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "int16": "I16", "int32": "I32",
             "int64": "I64", "uint8": "U8", "bool": "BOOL"}  # fmt: skip
    head: dict[str, Any] = {}
    data = b""
    for name, tensor in tensors.items():
        raw = tensor.tobytes()
        place = [len(data), len(data) + len(raw)]
        head[name] = {"dtype": kinds[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": place}
        data += raw
    return head, data
