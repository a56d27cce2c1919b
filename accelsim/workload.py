"""The quantised network: its grammar, its graph, tensors and inputs, checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le, Len
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PositiveInt, model_validator

from accelsim.data import DATASETS, DataSet
from accelsim.data.files import beside, is_file, read_whole
from accelsim.data.recordings import (
    Recording,
    digest_of,
    rows_of,
    rows_of_arrays,
    write_recordings,
)  # fmt: skip
from accelsim.errors import InputError, did_you_mean
from accelsim.generated import generated_tensors
from accelsim.kernels.requantise import Rounding
from accelsim.library import find_workload
from accelsim.limits import LARGEST_SEED
from accelsim.ops.graph import Graph, GraphError
from accelsim.ops.op import OPS, Edge, Op, ShortForm
from accelsim.result import written_whole
from accelsim.schema import (
    Model,
    Overrides,
    Registered,
    Source,
    check_schema_tag,
    given,
    load_yaml,
    override_texts,
    parse,
)
from accelsim.schema.given import plain
from accelsim.schema.names import Label
from accelsim.schema.source import Location
from accelsim.schema.workload import (
    ArrayInputs,
    FeatureInputs,
    FileInputs,
    FolderInputs,
    Heard,
    OwnInputs,
    RandomInputs,
    RecordingInputs,
    SpeechInputs,
)
from accelsim.schema.written import as_yaml
from accelsim.score.score import AnyScore, Judge, PacedJudge
from accelsim.weights import as_safetensors, contiguous, save_weights

Tensors = Mapping[str, NDArray[Any]]
Given = str | Path | Mapping[str, Any] | Sequence[Recording]
"""Inputs in the place of a workload's own: a manifest or a folder of recordings, some keys of `inputs`, or arrays."""


AnyOp = Annotated[Op | ShortForm, Registered(OPS, tag="op")]


class GeneratedWeights(Model):
    """Weights drawn from a seed, see `accelsim.generated`."""

    seed: Annotated[int, Ge(0), Le(LARGEST_SEED)] = 0


class WorkloadSpec(Model):
    """A quantised network: a ``graph`` of ops in order, each reading ``features`` or ops before it.

    ``weights``: safetensors file with the integers; or ``generated_weights``, drawn from a seed: they recognise
    nothing, and serve for cycles, energy and speed. ``reference_weights``: the same network in float, or its integers
    of any width, which stand for themselves times their ``.weight_scale`` and are computed in float. Features are
    codes of ``input_bits``; ops that take real numbers read (code - feature_offset) * feature_scale. ``time_steps``:
    how often spiking ops run in each frame. ``reference_unit``: the float network of ops that take codes reads (code -
    input_offset) / unit; without it the words of the integers. ``chunk``: rows of the output in a step: a frame of
    the schedule on every engine, which arrives when the last frame of its input has; an NPU takes one row where neither
    this nor attention says how many. ``clips``: every utterance is one step that gives one row, and nothing goes from
    one to the next. ``rounding``: how ops with an ``output`` make codes of their sums, see
    `accelsim.kernels.requantise`; an int8 network reads features as codes - 128.
    """

    name: Label
    description: str = ""
    weights: str | None = None
    generated_weights: GeneratedWeights | None = None
    reference_weights: str | None = None
    reference_unit: Annotated[float, Gt(0)] | None = None
    time_steps: PositiveInt = 1
    input_bits: Annotated[int, Ge(1), Le(8)] = 8
    feature_offset: Annotated[int, Ge(0), Le(255)] = 0
    feature_scale: Annotated[float, Gt(0)] = 1.0
    chunk: PositiveInt | None = None
    clips: bool = False
    rounding: Rounding = "double_away"
    inputs: Annotated[
        SpeechInputs | RecordingInputs | FolderInputs | ArrayInputs | FeatureInputs | FileInputs | RandomInputs,
        Field(discriminator="source"),
    ]
    graph: Annotated[list[AnyOp], Len(1)]
    score: AnyScore | None = None

    @model_validator(mode="after")
    def _weights_given(self) -> WorkloadSpec:
        if isinstance(self.inputs, RandomInputs):
            if self.time_steps > 2:
                raise ValueError(f"random inputs are defined for 1 or 2 time steps, found {self.time_steps}")
            return self
        if self.input_bits != 8 and not isinstance(self.inputs, FileInputs):
            raise ValueError(f"features of speech are 8-bit codes, found 'input_bits: {self.input_bits}'")
        if (self.weights is None) == (self.generated_weights is None):
            raise ValueError("expected either 'weights', a safetensors file, or 'generated_weights'")
        if self.generated_weights is not None and self.score is not None:
            raise ValueError("generated weights recognise nothing: leave out 'score'")
        return self

    @model_validator(mode="after")
    def _one_kind_of_step(self) -> WorkloadSpec:
        if self.clips and self.chunk is not None:
            raise ValueError("a step of 'clips: true' is an utterance: leave out 'chunk'")
        return self

    @model_validator(mode="after")
    def _can_be_scored(self) -> WorkloadSpec:
        if self.score is not None and isinstance(self.inputs, Heard) and self.inputs.seconds is not None:
            raise ValueError("'seconds' cuts an utterance short, which cannot be scored: leave out 'score'")
        return self

    def rows(self) -> int | None:
        """Return the rows of the output in a step, where the file says how many."""
        return 1 if self.clips else self.chunk

    def features(self) -> Edge:
        """Return the edge of the inputs."""
        width = self.inputs.width()
        if isinstance(self.inputs, FileInputs) and self.inputs.spikes:
            return Edge(width, 1, 1, "spikes", bits=1, steps=self.time_steps)
        return Edge(
            width, width, 1, "codes", bits=self.input_bits, scale=self.feature_scale, zero_point=self.feature_offset,
            steps=self.time_steps, unsigned=True,
        )  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """A checked network: its grammar, its graph, integer tensors, float reference tensors, and where it came from."""

    spec: WorkloadSpec
    graph: Graph
    tensors: Tensors
    reference: Tensors | None
    decoder: Tensors | None
    folder: Path
    sha256: str
    source: Source | None = field(default=None, compare=False, repr=False)
    """The file that says all this, for the lines of what does not fit the data; None where there is none."""
    recordings: tuple[Recording, ...] = field(default=(), compare=False, repr=False)
    """What inputs with ``source: array`` hear."""
    as_given: _Given | None = field(default=None, compare=False, repr=False)
    """The file, or the mapping of Python, before ``settings``."""
    settings: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """What overrides set, as text."""

    def __repr__(self) -> str:
        values = sum(tensor.size for tensor in self.tensors.values())
        changed = f", {len(self.settings)} set" if self.settings else ""
        inputs = self.spec.inputs
        spoken = "random activity" if isinstance(inputs, RandomInputs) else inputs.origin()
        return f"<Workload {self.spec.name}: {len(self.graph.ops)} layers, {values:,} weights, {spoken}{changed}>"

    def with_(self, overrides: Overrides) -> Workload:
        """Return the workload with some keys set to other values, checked as a whole.

        ``overrides``: dotted key -> value, see `load_workload`; what was set before stays. Raises InputError.

        >>> accelsim.load_workload("s4d_digits").with_({"inputs.utterances": 4})
        <Workload s4d_digits: 1 layers, 84 weights, zero_one/test, 1 set>
        """
        assert self.as_given is not None  # every workload is loaded
        texts = override_texts(overrides)
        return _load(self.as_given, {k: v for k, v in self.settings.items() if k not in texts} | texts)

    def write(self, folder: str | Path) -> Path:
        """Write the workload into a folder, ``workload.yaml`` and its tensors, and return the path of the first.

        Comments of its own file are not taken over; inputs that lie beside it are named by their whole path, and
        recordings from Python are written as WAV, with a manifest. Raises InputError where the folder cannot be
        written.
        """
        assert self.source is not None
        folder, data = Path(folder), dict(self.source.data)
        tensors = {"weights": self.tensors, "reference_weights": self.reference, _DECODER: self.decoder}
        for key, found in tensors.items():
            first, _, last = key.partition(".")
            if found is None or first not in data:  # weights that are drawn are in no file
                continue
            file = f"{(last or first).replace('_', '-')}.safetensors"
            save_weights(folder / file, found)
            data[first] = {**data[first], last: file} if last else file
        inputs = data["inputs"]
        for key in FILES_OF_INPUTS:
            if isinstance(inputs.get(key), str):
                inputs = {**inputs, key: os.path.abspath(self.folder / inputs[key])}
        if self.recordings:
            manifest = write_recordings(self.recordings, folder / "recordings")
            inputs = {**inputs, "source": "recordings", "manifest": f"recordings/{manifest.name}"}
        with written_whole(folder / "workload.yaml") as file_:
            file_.write(as_yaml({"schema": "accelsim/workload@1", **data, "inputs": inputs}).encode())
        return folder / "workload.yaml"

    def hears_others(self) -> bool:
        """Return whether it hears other recordings than those that its file names."""
        return "inputs" in self.settings or (self.as_given is not None and self.as_given.inputs is not None)

    def at(self, location: Location) -> AbstractContextManager[None]:
        """Give the place of a key path of the workload's file to the problems that come up within and have none."""
        return nullcontext() if self.source is None else self.source.at(location)

    def scorer(self, *, reference: bool = False) -> Judge:
        """Return the judge of the outputs of the hardware, or of the float ``reference``.

        Raises InputError when its tensors do not fit, ValueError when the workload is not scored.
        """
        spec = self.spec.score
        if spec is None:
            raise ValueError(f"workload '{self.spec.name}' is not scored")
        try:
            judge = spec.judge(self.decoder or {}, reference=reference)
            row_s = self.spec.inputs.period() * self.graph.given.stride
            return judge.paced(row_s) if isinstance(judge, PacedJudge) else judge
        except ValueError as error:
            file = spec.decoder_file()
            with self.at(("score",) if file is None else ("score", "decoder")):
                raise InputError.of(str(error) if file is None else f"{error} in {file}") from None


@dataclass(frozen=True)
class _Given:
    """What a workload is loaded from: its keys, and what Python gives in the place of its own files.

    ``tensors``: by the keys that name their files; ``inputs``: in the place of the workload's.
    """

    source: Source
    tensors: Mapping[str, Tensors] = field(default_factory=dict)
    inputs: Given | None = None


AnyWorkload = str | Path | Mapping[str, Any] | Workload
"""A workload by name, folder or path, the keys of its file as a mapping, or one that is loaded."""

FILES_OF_INPUTS = ("path", "manifest")
"""Keys of ``inputs`` that name a file or folder beside the workload, or an absolute one."""
_TENSORS = ("weights", "reference_weights")
"""Keys that name a file of tensors, in whose place Python may give the tensors."""
_DECODER = "score.decoder"
"""Another one, within the score."""


def load_workload(
    workload: AnyWorkload, overrides: Overrides | None = None, inputs: Given | None = None
) -> Workload:  # fmt: skip
    """Read and check a workload.

    ``workload``: a name of the library, a folder or a path, a mapping with the keys of such a file, in which
    ``weights``, ``reference_weights`` and the ``decoder`` of its score may be mappings of arrays, name -> array,
    instead of the names of files; or a workload that is loaded. ``inputs``: what the network hears in the place of the
    workload's own: the path of a manifest or a folder of recordings, recordings as arrays, or keys of ``inputs``.
    Features, context and the treatment of silence and length stay the workload's, unless these keys say otherwise.
    ``overrides``: dotted key -> value, as `--set workload.KEY=VALUE` gives them, numbers, lists and mappings too; a
    path for the key ``inputs`` is what it is in ``inputs``. Raises InputError with every problem of the file, and of
    its tensors: missing, truncated, wrong shape or type, out of the weight range.

    >>> accelsim.load_workload("rsnn_paper_activity", {"inputs.frames": 20})
    <Workload rsnn_paper_activity: 3 layers, 0 weights, random activity, 1 set>
    """
    if isinstance(workload, Workload):
        if inputs is None:
            return workload.with_(overrides) if overrides else workload
        assert workload.as_given is not None
        what, settings = workload.as_given, {**workload.settings, **override_texts(overrides)}
    else:
        what, settings = _what(workload), override_texts(overrides)
    if inputs is not None:
        what = replace(what, source=_hearing(what.source, inputs, "inputs"), inputs=inputs)
    return _load(what, settings)


def _what(workload: str | Path | Mapping[str, Any]) -> _Given:
    return _given(workload) if isinstance(workload, Mapping) else _Given(_read_source(find_workload(workload)))


def _given(keys: Mapping[str, Any]) -> _Given:
    """Return the keys of a workload in Python, without the tensors among them, in whose place names of files stand."""
    named: dict[str, Any] = {key: f"{key}.safetensors" for key in _TENSORS if isinstance(keys.get(key), Mapping)}
    found = {key: contiguous(keys[key], f"workload: {key}") for key in named}
    score = keys.get("score")
    if isinstance(score, Mapping) and isinstance(decoder := score.get("decoder"), Mapping):
        named["score"] = {**score, "decoder": "decoder.safetensors"}
        found[_DECODER] = contiguous(decoder, f"workload: {_DECODER}")
    return _Given(given({"schema": "accelsim/workload@1", **keys, **named}, "workload"), found)


def save_weights_of(
    workload: AnyWorkload, path: str | Path, tensors: Mapping[str, ArrayLike], *, reference: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write tensors as a workload reads them, see `accelsim.save_weights`; its own files need not be there yet."""
    if isinstance(workload, Workload):
        assert workload.source is not None
        source, graph = workload.source, workload.graph
    else:
        source = _what(workload).source
        graph = _graph(parse(WorkloadSpec, source), source)
    found = graph.laid_out(contiguous(tensors, path), reference=reference)
    _check_tensors(graph, found, source, str(path), reference=reference, cut_short=False)
    return save_weights(path, found, metadata)


def _load(what: _Given, settings: Mapping[str, str]) -> Workload:
    source, folder = what.source, Path(what.source.path).parent
    for key, value in sorted(settings.items(), key=lambda item: item[0] != "inputs"):  # whole first, its keys after
        said = source.override(key, value, prefix="workload.")
        if key == "inputs" and (isinstance(new := said.data["inputs"], str) or _is_own(new)):
            said = _hearing(source, new, "--set workload.inputs")
        source = said
    spec = parse(WorkloadSpec, source)
    digest = hashlib.sha256(source.content + repr(sorted(settings.items())).encode())
    graph = _graph(spec, source)
    cut_short = any(key.split(".")[0] == "graph" for key in settings)  # fewer blocks, for example
    tensors: Tensors = {}
    reference = None

    def read(key: str, file: str) -> Tensors:
        found = what.tensors.get(key)
        if found is None or file != f"{key.rpartition('.')[2]}.safetensors":  # another file was set
            return _read_tensors(folder / file, digest, source, tuple(key.split(".")))
        found = found if key == _DECODER else graph.laid_out(found, reference=key == "reference_weights")
        digest.update(as_safetensors(found, f"workload: {key}"))
        return found

    if spec.generated_weights is not None:
        tensors = generated_tensors(graph, spec.generated_weights.seed)
        _check_generated(graph, tensors, spec, source)
    elif spec.weights is not None:
        tensors = read("weights", spec.weights)
        _check_tensors(graph, tensors, source, spec.weights, reference=False, cut_short=cut_short)
    if spec.reference_weights is not None:
        reference = in_float(read("reference_weights", spec.reference_weights))
        _check_tensors(graph, reference, source, spec.reference_weights, reference=True, cut_short=cut_short)
    if isinstance(spec.inputs, FileInputs) and is_file(features := folder / spec.inputs.path):
        digest.update(hashlib.sha256(read_whole(features, "data_bytes")).digest())
    inputs = what.inputs
    if inputs is not None:
        digest.update(spec.inputs.model_dump_json(exclude={"manifest", "path"}).encode())
    recordings = () if inputs is None or isinstance(inputs, str | Path | Mapping) else tuple(inputs)
    if isinstance(spec.inputs, OwnInputs):
        place = spec.inputs.place()
        if place is None:
            digest.update(digest_of(rows_of_arrays(recordings)) if recordings else b"")
        elif os.path.exists(folder / place):
            with source.at(("inputs",)):
                digest.update(digest_of(rows_of(folder / place)))
    decoder = None
    decoder_file = None if spec.score is None else spec.score.decoder_file()
    if decoder_file is not None:
        decoder = read(_DECODER, decoder_file)
    workload = Workload(
        spec, graph, tensors, reference, decoder, folder, digest.hexdigest(), source, recordings, what, settings
    )  # fmt: skip
    if spec.score is not None:
        workload.scorer()
    return workload


def _graph(spec: WorkloadSpec, source: Source) -> Graph:
    """Return the graph of a workload; raises InputError at the line of the op that does not fit."""
    try:
        graph = Graph.of(spec.graph, spec.features(), spec.rounding)
        if spec.generated_weights is not None:
            graph.check_sizes()
    except GraphError as error:
        raise InputError([source.problem(str(error), ("graph", error.place), error.hint)]) from None
    problems = []
    if isinstance(spec.inputs, RandomInputs):
        wrong = {graph.places[op.name] for op in graph.ops if not op.spiking}
        problems += [
            source.problem(
                f"random activity drives spiking ops alone, found '{item.name}' ({item.op})", ("graph", place)
            )
            for place, item in enumerate(spec.graph)
            if place in wrong
        ]
    if spec.score is not None:
        try:
            spec.score.check(graph.given.width)
        except ValueError as error:
            problems.append(source.problem(str(error), ("score",)))
    if problems:
        raise InputError(problems)
    return graph


class Variant(Model):
    """A workload file that changes a few keys of another one beside it: dotted key -> value, as --set gives them."""

    base: str
    set: Annotated[dict[str, Any], Len(1)]


def _read_source(path: Path) -> Source:
    """Return a workload's data; with a base it is that file's, changed, and its content that of both files."""
    source = load_yaml(path)
    check_schema_tag(source, "workload")
    if not isinstance(source.data, dict) or "base" not in source.data:
        return source
    variant = parse(Variant, source)
    path_of_base = path.parent / f"{variant.base}.yaml"
    if not os.path.isfile(path_of_base):
        near = did_you_mean(variant.base, [file.stem for file in path.parent.glob("*.yaml") if file != path])
        raise InputError([source.problem(f"no workload '{variant.base}' beside this one", ("base",), near)])
    base = load_yaml(path_of_base)
    check_schema_tag(base, "workload")
    if "base" in base.data:
        raise InputError([source.problem(f"'{variant.base}' has itself a base: name that one", ("base",))])
    return replace(source.based_on(base, ("set",)), content=source.content + base.content)


def workload_name(workload: AnyWorkload) -> str | None:
    """Return the ``name`` in a workload's file, found by name, folder or path, without its tensors."""
    if isinstance(workload, Workload):
        return workload.spec.name
    data = workload if isinstance(workload, Mapping) else _read_source(find_workload(workload)).data
    return data.get("name") if isinstance(data, Mapping) else None


_OF_AUDIO = ("features", "context", "loudness", "trim_db", "longest_s", "length_s")


def _is_own(inputs: Any) -> bool:
    return isinstance(inputs, dict) and inputs.get("source") in ("recordings", "folder", "array")


def _hearing(source: Source, given: Given, file: str) -> Source:
    """Return a workload's data with other inputs, see `load_workload`; ``file``: what messages say of them."""
    said = source.data.get("inputs") if isinstance(source.data, dict) else None
    before: dict[str, Any] = said if isinstance(said, dict) else {}
    if isinstance(given, Mapping):
        new = plain(given, "inputs")
        if "source" not in new:
            return source.with_value(("inputs",), {**before, **new}, file)
    elif isinstance(given, str | Path):
        folder = os.path.isdir(given)
        new = {"source": "folder" if folder else "recordings", "path" if folder else "manifest": os.path.abspath(given)}
    else:
        new = {"source": "array"}
    if new["source"] in ("speech", "recordings", "folder", "array"):
        if before.get("source") not in ("speech", "recordings", "folder", "array") and "features" not in new:
            message = f"recordings need features, which 'source: {before.get('source')}' has not"
            hint = "give 'features' beside them, as the network was trained with"
            raise InputError([source.problem(message, ("inputs",), hint)])
        stays = {key: before[key] for key in _OF_AUDIO if key in before}
        known = DATASETS[before["dataset"]] if before.get("dataset") in DATASETS else None
        if isinstance(known, DataSet) and known.loudness is not None and new["source"] != "speech":
            stays.setdefault("loudness", known.loudness)
        new = {**stays, **new}
    return source.with_value(("inputs",), new, file)


def _read_tensors(path: Path, digest: hashlib._Hash, source: Source, where: tuple[str, ...]) -> Tensors:
    """Read the safetensors file that a key of a workload names; it holds plain numbers only, so nothing can run."""
    from safetensors.numpy import load

    if not is_file(path):
        near = did_you_mean(path.name, [name for name in beside(path) if name.endswith(".safetensors")])
        raise InputError([source.problem(f"no weights at {path}", where, near)])
    raw = read_whole(path, "data_bytes")
    digest.update(raw)
    try:
        return load(raw)
    except Exception as error:  # whatever the library makes of a damaged file
        reason = f"type {error} is not read" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise InputError.of(f"not a whole safetensors file: {reason}", file=path) from None


def in_float(tensors: Tensors) -> Tensors:
    """Return the float network that integers stand for: w = s_w q where there is an s_w, and no scales of codes."""
    scaled = {
        name: tensors[name].astype(np.float32) * tensors[f"{name}_scale"].astype(np.float32)
        for name in tensors
        if f"{name}_scale" in tensors and tensors[name].dtype.kind == "i"
    }
    if not scaled:
        return tensors
    return {name: scaled.get(name, tensor) for name, tensor in tensors.items() if not name.endswith("_scale")}


def _check_generated(graph: Graph, tensors: Tensors, spec: WorkloadSpec, source: Source) -> None:
    """Raise InputError for ops whose weights cannot be drawn, each at its line."""
    places = dict.fromkeys(place for place, _, _ in graph.tensor_problems(tensors))
    if places:
        raise InputError(
            source.problem(
                f"no weights are drawn for '{spec.graph[place].name}' ({spec.graph[place].op})",
                ("graph", place),
                "give them in a file, 'weights'",
            )
            for place in places
        )


def _check_tensors(
    graph: Graph, tensors: Tensors, source: Source, file: str, *, reference: bool, cut_short: bool
) -> None:
    """Raise InputError with everything that is wrong with the tensors of a file, at the lines of their ops."""
    problems = [
        source.problem(f"{message} in {file}", ("graph", place), hint)
        for place, message, hint in graph.tensor_problems(tensors, reference=reference, cut_short=cut_short)
    ]
    if problems:
        raise InputError(problems)
