"""Integer weights for float networks: post-training quantisation, with ranges taken from data.

Symmetric codes q = clamp(round(x / s), -(2^(b - 1) - 1), 2^(b - 1) - 1), see `accelsim.ops.op.WeightedOp`: weights of b
= 8 to 2 bits with one scale a matrix, inputs and outputs of matrices of 8 bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.data.digits import resampled
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.files import beside, cuts, file_size, read_arrays, read_recording
from accelsim.data.recordings import SUFFIXES
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.importers.importer import Imported, Note
from accelsim.ops.graph import Graph
from accelsim.ops.op import (
    FEATURES,
    LARGEST_INTEGER_BITS,
    OPS,
    Datapath,
    DatapathOp,
    Edge,
    Signal,
    WeightedOp,
    largest_weight,
)

Calibration = Literal["percentile", "max"]
PERCENTILE = 99.9
"""Of the magnitudes of what a matrix reads, and gives: what lies above is cut off."""
MOST_FRAMES = 200_000
LARGEST_FILE = 200_000_000
STEPS = 80
"""Scales that are tried for the weights of a matrix."""


@dataclass(frozen=True)
class Recordings:
    """What ranges are taken from: rows of features end to end, float or codes, and where each recording starts."""

    rows: NDArray[Any]
    starts: NDArray[np.int64]

    @property
    def codes(self) -> bool:
        """Whether the rows are codes 0 .. 255, as a workload reads them."""
        return self.rows.dtype == np.uint8


def read_recordings(
    folder: str | Path, width: int, features: Callable[[NDArray[np.float32]], NDArray[np.uint8]] | None
) -> Recordings:
    """Return the features of a folder: .npz and .safetensors files, and recordings, if ``features`` is given.

    Arrays: ``codes`` uint8, or ``features`` float, [frames, width], and maybe ``starts``. ``features``: makes codes of
    mono audio at 16 kHz. Raises InputError with all that cannot be read.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise InputError.of(f"no folder for calibration at {folder}", hint=did_you_mean(folder.name, beside(folder)))
    parts: list[NDArray[Any]] = []
    ends = [0]
    problems: list[Problem] = []
    for path in sorted(folder.rglob("*")):
        kind = path.suffix.lower()
        try:
            if kind in (".npz", ".safetensors"):
                if (size := file_size(path, "data_bytes")) > LARGEST_FILE:
                    raise InputError.of(f"{size / 1e6:.0f} MB of features, at most "
                                        f"{LARGEST_FILE / 1e6:.0f} are read", file=path)  # fmt: skip
                rows, starts = _arrays(path, width)
            elif kind in SUFFIXES:
                if features is None:
                    hint = "--recordings PATH --features KIND, or .npz files with 'features'"
                    raise InputError.of("a recording, and no option says its features", file=path, hint=hint)
                rows, starts = features(resampled(*read_recording(path), SAMPLE_RATE_HZ)), np.zeros(1, np.int64)
                if rows.shape[1:] != (width,):
                    raise InputError.of(f"{rows.shape[1]} features a frame, the network reads {width}", file=path)
            else:
                continue
        except InputError as error:
            problems += error.problems
            continue
        if parts and parts[0].dtype.kind != rows.dtype.kind:
            problems.append(Problem("codes in some files and real numbers in others", path))
            continue
        parts.append(rows)
        inner = [start for start in starts.tolist() if 0 < start < len(rows)]
        ends += [ends[-1] + start for start in [*inner]] + [ends[-1] + len(rows)]
        if ends[-1] >= MOST_FRAMES:
            break
    if problems:
        raise InputError(problems)
    if not parts or not ends[-1]:
        hint = f"{', '.join(SUFFIXES)}, .npz and .safetensors are read"
        raise InputError.of(f"no recordings or features in {folder}", hint=hint)
    return Recordings(np.concatenate(parts), np.array(ends, np.int64))


def _arrays(path: Path, width: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    found, there = read_arrays(path, ("codes", "features", "starts"))
    name = next((one for one in ("codes", "features") if one in found), None)
    if name is None:
        raise InputError.of("no array 'codes' or 'features'", file=path, hint=did_you_mean("features", there))
    rows = found[name]
    right = rows.dtype == np.uint8 if name == "codes" else rows.dtype.kind == "f" and _in_float32(rows)
    if rows.ndim != 2 or rows.shape[1] != width or not right:
        wanted = f"uint8 [frames, {width}]" if name == "codes" else f"finite floats [frames, {width}]"
        raise InputError.of(f"'{name}': expected {wanted}, found {list(rows.shape)} of {rows.dtype}", file=path)
    try:
        starts = cuts("starts", found.get("starts", np.zeros(1, np.int64)), len(rows))
    except ValueError as error:
        raise InputError.of(f"{error}", file=path) from None
    return rows, starts


def _in_float32(rows: NDArray[np.floating[Any]]) -> bool:
    """Return whether the values, and the span from the least to the largest, are finite in float32."""
    return bool((np.abs(rows) <= np.float64(np.finfo(np.float32).max / 2)).all())


def feature_codes(rows: NDArray[np.floating[Any]]) -> tuple[float, int]:
    """Return scale and offset of the codes 0 .. 255 that reach from the least to the largest value, 0 among them."""
    low, high = min(float(rows.min(initial=0)), 0.0), max(float(rows.max(initial=0)), 0.0)
    scale = float(np.float32((high - low) / 255)) if high > low else 1.0
    return scale, int(np.clip(round(-low / scale), 0, 255))


def checked_bits(bits: int | Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """Return the bits of every matrix; ``bits``: of all, or by name, ``all`` being the others."""
    given = {"all": bits} if isinstance(bits, int) else dict(bits)
    problems = []
    for name, width in given.items():
        if name != "all" and name not in names:
            problems.append(Problem(f"--bits {name}={width}: no matrix of this name", hint=did_you_mean(name, names)))
        if not 2 <= width <= LARGEST_INTEGER_BITS:
            problems.append(Problem(f"--bits {name}={width}: weights have 2 to {LARGEST_INTEGER_BITS} bits"))
    if problems:
        raise InputError(problems)
    other = given.get("all", LARGEST_INTEGER_BITS)
    return {name: given.get(name, other) for name in names}


def calibrated(
    imported: Imported, recordings: Recordings, features: Edge, bits: int | Mapping[str, int], how: Calibration
) -> Imported:
    """Return a float network with integer weights; ``features``: the edge of its inputs.

    The float network beside it stays as it is. Ops that are no matrices stay real; recurrences keep float16 weights.
    """
    items: list[dict[str, Any]] = [dict(item) for item in imported.workload["graph"]]
    graph = Graph.of([OPS[item["op"]].model_validate(item) for item in items], features)
    matrices = [op for op in graph.ops if isinstance(op, WeightedOp) and op.in_float()]
    of_each = checked_bits(bits, [op.name for op in matrices])
    reference = imported.reference
    assert reference is not None
    codes = recordings.rows
    if not recordings.codes:
        scaled = np.rint(codes.astype(np.float64) / features.scale) + features.zero_point
        codes = np.clip(scaled, 0, 255).astype(np.uint8)
    ranges = _ranges(graph, reference, Signal(codes, recordings.starts, features), how)
    tensors = dict(imported.tensors)
    places = {item["name"]: item for item in items}
    for op in matrices:
        width = of_each[op.name]
        weight = reference[op.tensor_name("weight")]
        scale = weight_scale(weight, width, how)
        top = largest_weight(width)
        tensors[op.tensor_name("weight")] = np.clip(np.rint(weight / scale), -top, top).astype(np.int8)
        tensors[f"{op.name}.weight_scale"] = np.array(scale, np.float32)
        read, given = ranges[op.name]
        tensors[f"{op.name}.input_scale"] = np.array(_scale(read), np.float32)
        if op.name != graph.last.name:
            tensors[f"{op.name}.output_scale"] = np.array(_scale(given), np.float32)
        places[op.name]["weight_bits"] = width
    remark = f"weights of {{}} bits, ranges from {len(codes):,} frames ({how})"
    notes = [
        replace(note, how="approximate", remark=_remark(note, remark, of_each))
        if any(name in of_each for name in note.ours)
        else note
        for note in imported.notes
    ]
    whole = ", ".join(f"{count} of {width} bits" for width, count in _counted(of_each.values()))
    return Imported(
        {**imported.workload, "graph": items}, tensors, reference, notes,
        [*imported.remarks, f"Matrices quantised after training: {whole}; ranges from {len(codes):,} frames in "
                            f"{len(recordings.starts) - 1} recordings ({how})."],
    )  # fmt: skip


def _counted(widths: Any) -> list[tuple[int, int]]:
    found = list(widths)
    return [(width, found.count(width)) for width in sorted(set(found), reverse=True)]


def _remark(note: Note, remark: str, of_each: Mapping[str, int]) -> str:
    width = next(of_each[name] for name in note.ours if name in of_each)
    kept = [part for part in note.remark.split("; ") if part and part != "weights rounded to float16"]
    return "; ".join([*kept, remark.format(width)])


def _ranges(
    graph: Graph, reference: Mapping[str, NDArray[Any]], features: Signal, how: Calibration
) -> dict[str, tuple[float, float]]:
    """Return the largest magnitude that every matrix reads and gives, in the float network."""
    signals = {FEATURES: features}
    exact = Datapath(reference, longest=features.longest())
    found: dict[str, tuple[float, float]] = {}
    for op in graph.ops:
        read = [signals[name] for name in op.reads()]
        values, starts = op.float_values(read, exact, None)
        if isinstance(op, WeightedOp) and op.in_float():
            found[op.name] = _range(read[0].reals(), how), _range(values, how)
        edge = graph.edges[op.name]
        if edge.kind == "codes" and isinstance(op, DatapathOp) and values.dtype.kind == "f":
            edge = replace(edge, kind="real")
        signals[op.name] = Signal(values, starts, edge)
        for name in op.reads():
            if graph.last_reader[name] == op.name:
                signals.pop(name, None)
    return found


def _range(values: NDArray[Any], how: Calibration) -> float:
    """Return the largest magnitude, or the one that all but a few do not reach."""
    size = np.abs(values, dtype=np.float32)
    return float(size.max(initial=0)) if how == "max" or not size.size else float(np.percentile(size, PERCENTILE))


def _scale(largest: float) -> float:
    """Return the scale of 8-bit codes that reach so far; 1 of what is always 0."""
    scale = float(np.float32(largest / 127))
    return scale if scale > 0 and math.isfinite(scale) else 1.0


def weight_scale(weight: NDArray[Any], bits: int, how: Calibration) -> float:
    """Return the scale of a matrix of symmetric codes.

    ``max``: the largest weight is the largest code. ``percentile``: the one of `STEPS` scales below that whose codes
    have the least squared error; what lies above is cut off.
    """
    top = largest_weight(bits)
    wide = np.asarray(weight, np.float64).reshape(-1)
    largest = float(np.abs(wide).max(initial=0)) / top
    if not largest > 0:
        return 1.0
    if how == "max":
        return float(np.float32(largest))

    def error(scale: float) -> float:
        codes = np.clip(np.rint(wide / scale), -top, top)
        return float(np.square(codes * scale - wide).sum())

    return float(np.float32(min((largest * (step + 1) / STEPS for step in range(STEPS)), key=error)))
