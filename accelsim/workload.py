"""The quantised network with its tensors and inputs, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from annotated_types import Len
from numpy.typing import NDArray

from accelsim.data import Featured, Utterance, feature_set, load, load_features
from accelsim.errors import InputError, did_you_mean
from accelsim.generated import generated_tensors
from accelsim.kernels.fixed_point import signed_range
from accelsim.library import find_workload
from accelsim.schema import Model, Source, check_schema_tag, load_yaml, parse
from accelsim.schema.graph import graph_problems
from accelsim.schema.score import Judge, Score
from accelsim.schema.ssm import S4dOp, s4d_problems
from accelsim.schema.workload import (
    FEATURES,
    Context,
    FeatureInputs,
    LifOp,
    RandomInputs,
    RecordedInputs,
    WorkloadSpec,
)

Tensors = Mapping[str, NDArray[Any]]
Spoken = TypeVar("Spoken", Featured, Utterance)


@dataclass(frozen=True)
class Workload:
    """A checked network: its grammar, integer tensors, float reference tensors, and where it came from."""

    spec: WorkloadSpec
    tensors: Tensors
    reference: Tensors | None
    decoder: Tensors | None
    folder: Path
    sha256: str

    def tensor(self, name: str | None) -> NDArray[np.int8]:
        """Return a weight matrix by the name that a layer gives, [inputs, neurons]; raises KeyError."""
        if name is None:
            raise KeyError(f"a layer of '{self.spec.name}' names no weights")
        return self.tensors[name]

    def scorer(self, *, reference: bool = False) -> Judge:
        """Return the judge of the outputs of the hardware, or of the float ``reference``.

        Raises InputError when its tensors do not fit, ValueError when the workload is not scored.
        """
        spec = self.spec.score
        if spec is None:
            raise ValueError(f"workload '{self.spec.name}' is not scored")
        try:
            return spec.judge(self.decoder or {}, reference=reference)
        except ValueError as error:
            raise InputError.of(str(error), file=self.folder / (spec.decoder_file() or "")) from None


@dataclass(frozen=True)
class Batch:
    """All frames of all utterances, end to end.

    features: [frames, width] unsigned; starts: frame offsets [utterances + 1]; references: what was said, per
    utterance, or None; audio_seconds: length of the audio that the frames stand for; speakers: how many, where known.
    """

    features: NDArray[np.uint8]
    starts: NDArray[np.int64]
    names: tuple[str, ...]
    source: str
    references: tuple[tuple[str, ...], ...] | None
    audio_seconds: float
    frame_period_s: float
    speakers: int | None = None


def load_workload(name: str | Path, overrides: Mapping[str, str] | None = None) -> Workload:
    """Read and check a workload by name, folder or path.

    ``overrides``: dotted key -> value text, as `--set workload.KEY=VALUE` gives them. Raises InputError with every
    problem of the file, and of its tensors: missing, truncated, wrong shape or type, out of the weight range.
    """
    path = find_workload(name)
    source, files = _read_source(path)
    for key, value in (overrides or {}).items():
        source = source.override(key, value, prefix="workload.")
    spec = parse(WorkloadSpec, source)
    said = b"".join(file.read_bytes() for file in files)
    digest = hashlib.sha256(said + repr(sorted((overrides or {}).items())).encode())
    tensors: Tensors = {}
    reference = None
    if spec.generated_weights is not None:
        tensors = generated_tensors(spec.graph_ops(), spec.graph_rows(), FEATURES, spec.generated_weights.seed)
    elif spec.weights is not None:
        tensors = _read_tensors(path.parent / spec.weights, digest)
        _check_tensors(spec, tensors, source, spec.weights, integers=True)
    if spec.reference_weights is not None:
        reference = _read_tensors(path.parent / spec.reference_weights, digest)
        _check_tensors(spec, reference, source, spec.reference_weights, integers=False)
    decoder = None
    decoder_file = None if spec.score is None else spec.score.decoder_file()
    if decoder_file is not None:
        decoder = _read_tensors(path.parent / decoder_file, digest)
    workload = Workload(spec, tensors, reference, decoder, path.parent, digest.hexdigest())
    if spec.score is not None:
        workload.scorer()
    return workload


class Variant(Model):
    """A workload file that changes a few keys of another one beside it: dotted key -> value, as --set gives them."""

    base: str
    set: Annotated[dict[str, Any], Len(1)]


def _read_source(path: Path) -> tuple[Source, list[Path]]:
    """Return a workload's data, and the files that it stands in: with a base it is that file's, changed."""
    source = load_yaml(path)
    check_schema_tag(source, "workload")
    if not isinstance(source.data, dict) or "base" not in source.data:
        return source, [path]
    variant = parse(Variant, source)
    path_of_base = path.parent / f"{variant.base}.yaml"
    if not path_of_base.is_file():
        near = did_you_mean(variant.base, [file.stem for file in path.parent.glob("*.yaml") if file != path])
        raise InputError([source.problem(f"no workload '{variant.base}' beside this one", ("base",), near)])
    base = load_yaml(path_of_base)
    check_schema_tag(base, "workload")
    if "base" in base.data:
        raise InputError([source.problem(f"'{variant.base}' has itself a base: name that one", ("base",))])
    return source.based_on(base, ("set",)), [path, path_of_base]


def load_batch(workload: Workload, progress: Callable[[str, int, int], None] | None = None) -> Batch:
    """Fetch the inputs of a workload and compute its features; raises InputError when the data is not there."""
    inputs, score = workload.spec.inputs, workload.spec.score
    if isinstance(inputs, RandomInputs):
        empty = np.zeros((inputs.frames, inputs.width()), np.uint8)
        starts = np.array([0, inputs.frames], np.int64)
        period = inputs.frame_period
        return Batch(empty, starts, ("random",), "random activity", None, inputs.frames * period, period)

    chosen: list[Featured | Utterance]
    if isinstance(inputs, FeatureInputs):
        ready = _chosen(load_features(inputs.dataset, inputs.split), inputs, score)
        chosen, made = [*ready], (one.codes for one in ready)
        period = feature_set(inputs.dataset, inputs.split).frame_period_s
    else:
        features, context = inputs.features, inputs.context
        heard = _chosen(load(inputs.dataset, inputs.split), inputs, score)
        chosen, made = [*heard], (stacked(features.codes(one.audio), context) for one in heard)
        period = features.hop_s
    most = None if inputs.seconds is None else max(1, round(inputs.seconds / period))
    codes: list[NDArray[np.uint8]] = []
    for one in made:
        codes.append(one)
        if progress is not None:
            progress(inputs.dataset, len(codes), len(chosen))
        if most is not None and sum(map(len, codes)) >= most:
            break
    utterances = chosen[: len(codes)]
    empty_ones = [u.name for u, c in zip(utterances, codes, strict=True) if not len(c)]
    if empty_ones or not codes:
        raise InputError.of(f"utterances shorter than one frame: {', '.join(empty_ones) or 'the set is empty'}")
    frames = np.concatenate(codes)[:most]
    ends = np.cumsum([len(c) for c in codes])
    said = [None if inputs.seconds is not None else _said(one, score) for one in utterances]
    return Batch(
        features=frames,
        starts=np.minimum([0, *ends], len(frames)).astype(np.int64),
        names=tuple(u.name for u in utterances),
        source=f"{inputs.dataset}/{inputs.split}",
        references=None if None in said else tuple(words for words in said if words is not None),
        audio_seconds=len(frames) * period,
        frame_period_s=period,
        speakers=len({u.speaker for u in utterances}),
    )


def _chosen(utterances: list[Spoken], inputs: RecordedInputs, score: Score | None) -> list[Spoken]:
    """Return the utterances that a workload reads: the first few, and where it is scored of those with a reference."""
    if score is not None:
        utterances = [one for one in utterances if _said(one, score)]
        if not utterances:
            source = f"{inputs.dataset}/{inputs.split}"
            raise InputError.of(f"no utterance of {source} has a reference for the score '{score.kind}'")
    return utterances[: inputs.utterances]


def _said(utterance: Featured | Utterance, score: Score | None) -> tuple[str, ...] | None:
    """Return what was said in the units of a score, its phones if there is none; None where that is not known."""
    return utterance.phones if score is None else score.said(utterance)


def stacked(codes: NDArray[np.uint8], context: Context) -> NDArray[np.uint8]:
    """Return every frame with its neighbours side by side, oldest first: [frames, bands] -> [frames, width]."""
    shifts = range(-context.before, context.after + 1)
    if len(shifts) == 1 or not len(codes):
        return codes
    places = np.arange(len(codes))[:, None] + np.array(shifts)
    return codes[np.clip(places, 0, len(codes) - 1)].reshape(len(codes), -1)


def _read_tensors(path: Path, digest: hashlib._Hash) -> Tensors:
    """Read a safetensors file; the format holds plain numbers only, so nothing in it can run."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.safetensors")])
        raise InputError.of(f"no weights at {path}", hint=near)
    raw = path.read_bytes()
    digest.update(raw)
    try:
        return load(raw)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError.of(f"not a whole safetensors file: {error}", file=str(path)) from None


def _check_tensors(spec: WorkloadSpec, tensors: Tensors, source: Source, file: str, *, integers: bool) -> None:
    problems = []
    if spec.graph:
        wrong = graph_problems(spec.graph_ops(), spec.graph_rows(), tensors)
        problems += [source.problem(f"{message} in {file}", ("graph",)) for message in wrong]
    for index, layer in enumerate(spec.layers):
        if isinstance(layer, S4dOp):
            found = [] if layer.weights is None else s4d_problems(layer, tensors, integers=integers)
            problems += [source.problem(f"{message} in {file}", ("layers", index, "weights")) for message in found]
            continue
        wanted = {"weights": (layer.weights, (spec.inputs_of(layer), layer.width()))}
        if isinstance(layer, LifOp):
            wanted["recurrent_weights"] = (layer.recurrent_weights, (layer.neurons, layer.neurons))
        for key, (name, shape) in wanted.items():
            if name is None:
                continue
            message, hint = f"no tensor '{name}'", did_you_mean(name, tensors)
            if name in tensors:
                message, hint = _tensor_problem(name, tensors[name], shape, layer.weight_bits, integers), None
            if message:
                problems.append(source.problem(f"{message} in {file}", ("layers", index, key), hint))
        if isinstance(layer, LifOp) and not integers:
            for scalar in (f"{layer.name}.beta", f"{layer.name}.threshold"):
                if scalar not in tensors:
                    problems.append(source.problem(f"no tensor '{scalar}' in {file}", ("layers", index)))
                elif tensors[scalar].size != 1 or not np.isfinite(tensors[scalar]).all():
                    message = f"tensor '{scalar}' in {file} is not one finite number"
                    problems.append(source.problem(message, ("layers", index)))
    if problems:
        raise InputError(problems)


def _tensor_problem(name: str, tensor: NDArray[Any], shape: tuple[int, int], bits: int, integers: bool) -> str:
    if tensor.shape != shape:
        return f"tensor '{name}' has shape {list(tensor.shape)}, expected {list(shape)}"
    if not integers:
        return "" if np.isfinite(tensor.astype(np.float32)).all() else f"tensor '{name}' holds NaN or infinity"
    low, high = signed_range(bits)
    if tensor.dtype != np.int8:
        return f"tensor '{name}' has type {tensor.dtype}, expected int8"
    if tensor.size and (tensor.min() < low or tensor.max() > high):
        return f"tensor '{name}' has values outside {low} .. {high} ({bits} bits)"
    return ""
