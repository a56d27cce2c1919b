"""ONNX: quantised networks (QuantizeLinear and DequantizeLinear, operators on integers) and float ones.

What is read of a file is in `proto`, what constants come to in `fold`, how tensors lie in rows in `values`. `lower`
makes ops of a graph: of its inputs by `inputs`, of its nodes by `nodes`, each by a rule of `operators`; `lowering` is
what rules share. How a float network gets integer weights is in `accelsim.importers.calibrate`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from accelsim.errors import InputError, did_you_mean
from accelsim.importers.calibrate import Calibration, calibrated, feature_codes, read_recordings
from accelsim.importers.importer import IMPORTERS, LARGEST_FILE, Imported, Importer, Options, Refusals
from accelsim.importers.onnx.lower import Lowered, lower
from accelsim.importers.onnx.lowering import Lowering
from accelsim.importers.onnx.proto import Malformed, OnnxModel, read_model
from accelsim.schema import parse, parse_yaml
from accelsim.schema.workload import AudioInputs, FolderInputs, RecordingInputs, SpeechInputs
from accelsim.schema.written import as_yaml

__all__ = ["OnnxImporter", "OnnxOptions"]


class OnnxOptions(Options):
    """What ONNX files do not say.

    ``time_axis``: the dimension of the input whose steps are rows, counted from 0; ``none``: every call of the network
    is a row. Without it the open dimension of the input, and where none is open every call. ``feature_scale``,
    ``feature_offset``: real = scale (code - offset), the codes of the features of a float network; a quantised one says
    them. ``calibrate``: a folder of recordings or features that a float network gets ranges from, see
    `accelsim.importers.calibrate`; ``bits``: of all weights then, or by name of the op; ``calibration``: whether ranges
    reach to the largest value, or to nearly all. ``constants``: values of inputs that choose a branch, by name.
    ``output``: which output is read, where there are several.
    """

    time_axis: Annotated[int, Ge(-8), Le(7)] | Literal["none"] | None = None
    feature_scale: Annotated[float, Gt(0)] | None = None
    feature_offset: Annotated[int, Ge(0), Le(255)] | None = None
    calibrate: str | None = None
    bits: int | dict[str, int] = 8
    calibration: Calibration = "percentile"
    constants: dict[str, float] = {}
    output: str | None = None


class OnnxImporter(Importer):
    """Reads ONNX files of operator sets 7 to 30."""

    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    what: ClassVar[str] = "ONNX files"
    options: ClassVar[type[Options]] = OnnxOptions

    def read(self, path: Path, options: OnnxOptions, largest: int = LARGEST_FILE) -> Imported:
        try:
            model = read_model(path, largest=largest)
        except Malformed as error:
            raise InputError.of(f"not a whole ONNX file: {error}", file=path) from None
        except OSError as error:
            raise InputError.of(f"cannot be read: {error.strerror}", file=path) from None
        if options.calibrate is None and {"bits", "calibration"} & options.model_fields_set:
            raise InputError.of("--bits and --calibration need --calibrate FOLDER, which ranges are taken from")
        lowered, found = lowered_model(model, path, options)
        name = options.named(path)
        if options.calibrate is None:
            return imported(lowered, model, name, options, found)
        if lowered.quantised:
            raise InputError.of("a quantised network has its ranges: leave out --calibrate", file=path)
        recordings = read_recordings(options.calibrate, lowered.features.width, _features(options, lowered))
        if not recordings.codes and options.feature_scale is None and options.feature_offset is None:
            scale, offset = feature_codes(recordings.rows)
            said = options.model_copy(update={"feature_scale": scale, "feature_offset": offset})
            lowered, found = lowered_model(model, path, said)
        whole = imported(lowered, model, name, options, found)
        return calibrated(whole, recordings, lowered.features, options.bits, options.calibration)


_HEARD: dict[str, type[AudioInputs]] = {"speech": SpeechInputs, "recordings": RecordingInputs, "folder": FolderInputs}


def _features(options: OnnxOptions, lowered: Lowered) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """Return what makes codes of a recording, as the inputs of the workload do; None where no speech is named."""
    if not options.hears():
        return None
    keys = options.inputs(lowered.features.width)
    return parse(_HEARD[keys["source"]], parse_yaml(as_yaml(keys))).features.codes


def lowered_model(model: OnnxModel, path: Path, options: OnnxOptions) -> tuple[Lowered, list[str]]:
    """Return a model's ops and remarks about the whole; raises InputError with all nodes that cannot be taken."""
    refusals = Refusals(path)
    unknown = set(options.constants) - {one.name for one in model.graph.inputs}
    for name in sorted(unknown):
        hint = did_you_mean(name, [one.name for one in model.graph.inputs])
        refusals.add(name, "option constants", "the graph has no such input", hint)
    refusals.stop()
    remarks = []
    scale, offset = options.feature_scale, options.feature_offset
    lowering = Lowering(
        model.graph, model.opsets, refusals, time_axis=options.time_axis, scale=1.0 if scale is None else scale,
        offset=0 if offset is None else offset, constants=options.constants, output=options.output,
        rounding="half_even",
    )  # fmt: skip
    lowered = lower(lowering)
    refusals.stop()
    assert lowered is not None
    edge = lowered.features
    said = "as the file says" if lowered.quantised else "as the options say"
    if not lowered.quantised and scale is None and offset is None:
        said = "since no option says it (feature_scale, feature_offset)"
    remarks.append(f"Features are codes 0 .. 255: real = {edge.scale:.9g} (code - {edge.zero_point}), {said}.")
    if lowered.states:
        remarks.append(f"States that go from row to row: {', '.join(dict.fromkeys(lowered.states))}.")
    return lowered, remarks


def imported(lowered: Lowered, model: OnnxModel, name: str, options: Options, remarks: list[str]) -> Imported:
    """Return a network as `Imported` has it."""
    edge, version = lowered.features, model.opsets.get("", 0)
    if lowered.given.kind == "codes" and lowered.given.bits <= 16:
        remarks = [
            *remarks,
            f"Outputs are codes: real = {lowered.given.scale:.9g} (code - {lowered.given.zero_point}).",
        ]
    workload: dict[str, Any] = {
        "name": name,
        "description": f"From ONNX, operator set {version}"
        + (f", made by {model.producer}." if model.producer else "."),
    }
    if lowered.quantised:
        workload["rounding"] = "half_even"
        remarks = [*remarks, "Sums are whole numbers. onnxruntime computes nodes between QuantizeLinear and "
                             "DequantizeLinear in float32, so a code beside a tie may be one more or less there; its "
                             "operators on integers (QLinearConv ..) are exact."]  # fmt: skip
    if lowered.clips:
        workload["clips"] = True
    workload |= {
        "feature_scale": float(edge.scale), "feature_offset": edge.zero_point, "inputs": options.inputs(edge.width),
        "graph": lowered.ops,
    }  # fmt: skip
    reference = None if lowered.quantised else lowered.reference
    return Imported(workload, lowered.tensors, reference, lowered.notes, remarks)


IMPORTERS.register("onnx", OnnxImporter)
