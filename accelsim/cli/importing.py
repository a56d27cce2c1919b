"""`accelsim import`: workloads of trained networks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from accelsim.cli.app import app
from accelsim.cli.options import JsonOption, LimitOption, MemoryOption, PluginOption, QuietOption
from accelsim.cli.say import json_text, say, say_json
from accelsim.errors import InputError, Problem


@app.command(
    "import",
    epilog="Examples:\n\n"
    "  accelsim import okay_nabu.tflite --out mynet\n\n"
    "  accelsim import okay_nabu.tflite --out mynet --rounding double_up --frame-period '10 ms'\n\n"
    "  accelsim import kws.onnx --out kws --dataset mini_librispeech --split test\n\n"
    "  accelsim import kws.onnx --out kws --recordings my.tsv --features mfcc\n\n"
    "  accelsim import braille.nir --out braille --dt '0.1 ms' --reset subtract --order new --bits 4\n\n"
    "  accelsim import vad.onnx --out vad --calibrate recordings --bits 8 --bits output=4\n\n"
    "  accelsim run edge_npu -w mynet",
)
def import_(
    model: Annotated[Path, typer.Argument(help="File of a trained network.", metavar="MODEL")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for workload.yaml, weights.safetensors, import.md.")],
    format_: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="tflite, onnx, nir ..; by default by the suffix.")
    ] = None,
    max_size: Annotated[int, typer.Option("--max-size", metavar="MB", help="Largest file that is read.", min=1)] = 100,
    name: Annotated[str | None, typer.Option(help="Name of the workload; by default that of the file.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="SET", help="Recorded speech as inputs (accelsim data list), instead of a features file."),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(metavar="RECORDINGS", help="Recordings of your own as inputs: a manifest (.tsv ..) or a folder."),
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="SPLIT", help="Part of the data set; test by default.")] = None,
    features: Annotated[
        str | None, typer.Option(metavar="KIND", help="Features made of the speech; log_mel by default.")
    ] = None,
    frame_period: Annotated[
        str | None, typer.Option(metavar="TIME", help="From a row of a features file to the next; 10 ms by default.")
    ] = None,
    rounding: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="tflite: how sums become codes: double_away as TensorFlow Lite Micro, the default; double_up as "
            "LiteRT's own kernels; single as LiteRT with XNNPACK, what it does unless told.",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="onnx: integer weights for a float network, ranges from recordings or .npz features."
        ),
    ] = None,
    bits: Annotated[
        list[str],
        typer.Option("--bits", metavar="N|OP=N", help="nir, or with --calibrate: 8 to 2 bits of weights; repeat."),
    ] = [],  # noqa: B006
    calibration: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="With --calibrate: percentile, the default, or max: how far ranges reach."),
    ] = None,
    dt: Annotated[
        str | None, typer.Option("--dt", metavar="TIME", help="nir: the time step, which no file says: '1 ms'.")
    ] = None,
    reset: Annotated[
        str | None, typer.Option(metavar="RULE", help="nir: subtract (the threshold) or zero (to v_reset).")
    ] = None,
    order: Annotated[
        str | None, typer.Option(metavar="RULE", help="nir: new or old: which synaptic current a membrane takes.")
    ] = None,
    option: Annotated[
        list[str], typer.Option("--option", "-O", metavar="KEY=VALUE ..", help="Any options of the format.")
    ] = [],  # noqa: B006
    as_json: JsonOption = False,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make a workload of a trained network: TFLite, ONNX, NIR, or the format of a plug-in.

    All nodes that cannot be taken are named at once, with the reason; then nothing is written, exit 2.
    """
    from accelsim.importers.importer import import_model, size_of, write
    from accelsim.schema import parse_yaml

    given = {
        "name": name, "dataset": dataset, "split": split, "features": features, "frame_period": frame_period,
        "recordings": None if recordings is None else str(recordings), "rounding": rounding,
        "calibrate": None if calibrate is None else str(calibrate), "calibration": calibration,
        "dt": dt, "reset": reset, "order": order,
    }  # fmt: skip
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    problems = []
    for pair in bits:
        op, equals, width = pair.rpartition("=")
        if not re.fullmatch(r"\s*[0-9]{1,9}\s*", width) or (equals and not op.strip()):
            problems.append(
                Problem(f"'--bits {pair}' is not a number of bits, or OP=BITS", hint="--bits 4, --bits fc=8")
            )
        else:
            settings.setdefault("bits", {})[op.strip() or "all"] = int(width)
    for pair in option:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            problems.append(Problem(f"'--option {pair}' is not KEY=VALUE", hint="for example --option dt=0.001"))
        else:
            settings[key.strip().replace("-", "_")] = parse_yaml(value, f"--option {key}").data
    if problems:
        raise InputError(problems)
    imported = import_model(model, settings, format=format_, largest=max_size * 1_000_000)
    made = write(imported, out)
    size = size_of(made.graph, made.tensors)
    exact = sum(note.how == "exact" for note in imported.notes)
    if as_json:
        figures = {
            "name": made.spec.name, "folder": str(out), "nodes": len(imported.notes), "exact": exact,
            "ops": len(made.graph.ops), "macs": size.macs, "parameters": size.parameters,
            "state_values": size.state_values,
        }  # fmt: skip
        say_json(json_text(figures))
        return
    for file in ("workload.yaml", "weights.safetensors", "import.md"):
        say(f"wrote {out / file}", err=True)
    say(
        f"{made.spec.name}: {len(imported.notes)} nodes, {exact} of them exact, became {len(made.graph.ops)} ops; "
        f"{size.macs:,.0f} multiply-accumulates a row of the outputs, {size.parameters:,} parameters, "
        f"{size.state_values:,} values of state"
    )
    for remark in imported.remarks:
        say(remark)
