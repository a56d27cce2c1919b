"""TFLite files with something wrong in them: in the numbers of the format, and in the bytes."""

from __future__ import annotations

import struct

import numpy as np
from tflite_cases import NETWORKS
from tflite_networks import objects, written

INTERESTING = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    127,
    128,
    255,
    2**15,
    2**16 - 1,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 4,
    2**32 - 1,
)


def seeds() -> list[bytes]:
    """Return the files that are damaged: one of every network that tests make."""
    return [make() for make in NETWORKS.values()]


def damaged_bytes(random: np.random.Generator, data: bytes) -> bytes:
    """Return a file with bytes flipped, words overwritten, parts cut out, doubled or moved."""
    raw = bytearray(data)
    for _ in range(random.integers(1, 6)):
        kind, at = random.integers(6), int(random.integers(len(raw)))
        if kind == 0:
            raw[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            place = at // 4 * 4
            raw[place : place + 4] = struct.pack("<I", INTERESTING[random.integers(len(INTERESTING))])
        elif kind == 2:
            place = at // 4 * 4
            word = int.from_bytes(raw[place : place + 4], "little") + int(random.integers(-8, 9)) * 4
            raw[place : place + 4] = struct.pack("<I", word % 2**32)
        elif kind == 3:
            del raw[at:]
        elif kind == 4:
            del raw[at : at + int(random.integers(1, 64))]
        else:
            raw[at:at] = raw[at : at + int(random.integers(1, 64))]
        if len(raw) < 16:
            break
    return bytes(raw)


def damaged_structure(random: np.random.Generator, data: bytes) -> bytes:
    """Return a whole file of the format with wrong numbers in it: shapes, types, scales, indices, options."""
    model = objects(data)
    graph = model.subgraphs[random.integers(len(model.subgraphs))]
    for _ in range(random.integers(1, 4)):
        tensor = graph.tensors[random.integers(len(graph.tensors))]
        node = graph.operators[random.integers(len(graph.operators))]
        value = int(random.choice([-(2**31), -1000, -2, -1, 0, 1, 2, 3, 5, 8, 100, 2**16, 2**31 - 1]))
        kind = random.integers(12)
        if kind == 0 and tensor.shape is not None and len(tensor.shape):
            tensor.shape = np.array(tensor.shape, np.int32)
            tensor.shape[random.integers(len(tensor.shape))] = value
        elif kind == 1:
            tensor.shape = random.integers(-1, 70, random.integers(0, 7)).astype(np.int32)
        elif kind == 2:
            tensor.type = int(random.integers(-1, 22))
        elif kind == 3:
            tensor.buffer = int(random.integers(len(model.buffers) + 2))
        elif kind == 4 and tensor.quantization is not None:
            many = np.array([0.0, -1.0, 1e-38, 1e-30, 1e30, 3e38, np.inf, np.nan, 0.1, 1 / 256], np.float32)
            count = 1 if random.random() < 0.7 else int(random.integers(0, 9))
            tensor.quantization.scale = random.choice(many, count).astype(np.float32)
        elif kind == 5 and tensor.quantization is not None:
            count = 1 if random.random() < 0.7 else int(random.integers(0, 9))
            tensor.quantization.zeroPoint = random.choice([-(2**62), -129, -128, 0, 127, 128, 255, 2**62], count)
        elif kind == 6 and len(node.inputs):
            node.inputs = np.array(node.inputs, np.int32)
            node.inputs[random.integers(len(node.inputs))] = random.choice([value, random.integers(len(graph.tensors))])
        elif kind == 7 and len(node.outputs):
            node.outputs = np.array(node.outputs, np.int32)
            node.outputs[random.integers(len(node.outputs))] = random.choice(
                [value, random.integers(len(graph.tensors))]
            )
        elif kind == 8:
            node.opcodeIndex = int(random.integers(len(model.operatorCodes) + 1))
        elif kind == 9 and node.builtinOptions is not None:
            known = [k for k, v in vars(node.builtinOptions).items() if isinstance(v, int) and not isinstance(v, bool)]
            if known:
                small = int(np.clip(value, -128, 127))
                name = str(random.choice(known))
                wide = name.lower().startswith(("stride", "dilation", "filter", "axis", "begin", "end", "num", "init"))
                setattr(node.builtinOptions, name, value if wide else small)
        elif kind == 10:
            code = model.operatorCodes[random.integers(len(model.operatorCodes))]
            code.builtinCode = int(random.integers(-1, 210))
            code.deprecatedBuiltinCode = min(max(code.builtinCode, 0), 127)
        elif kind == 11:
            buffer = model.buffers[random.integers(len(model.buffers))]
            if buffer.data is not None and len(buffer.data):
                values = np.array(buffer.data, np.uint8)
                values[random.integers(len(values), size=4)] = random.integers(0, 256, 4)
                buffer.data = values if random.random() < 0.5 else values[: random.integers(len(values))]
    return written(model)
