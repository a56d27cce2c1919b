"""Options and arguments that several commands share, and what their texts become."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.say import quietly
from accelsim.errors import InputError, Problem, show
from accelsim.limits import LARGEST_SEED

Architecture = Annotated[str, typer.Argument(help="Name (rsnn28nm) or path (arch/rsnn28nm.yaml).", metavar="ARCH")]
WorkloadOption = Annotated[
    str | None, typer.Option("--workload", "-w", help="Workload name or folder instead of the architecture's own.")
]
InputsOption = Annotated[
    Path | None,
    typer.Option(
        "--inputs",
        "-i",
        metavar="RECORDINGS",
        help="Recordings of your own in the place of the workload's: a manifest (.tsv, .csv, .parquet) or a folder.",
    ),
]
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE ..",
        help="Override keys: -s adc.precision_bits=4 workload.time_steps=1; those of the workload start with "
        "'workload.', and components.adc.precision_bits is adc.precision_bits for short.",
    ),
]


def _load_plugins(files: list[Path]) -> list[Path]:
    """Run the plug-ins of a command line before anything that it names is read."""
    if files:
        from accelsim.plugins import load_plugin

        for file in files:
            load_plugin(file)
    return files


def _limits(context: typer.Context, pairs: list[str]) -> list[str]:
    """Make the limits of a command line hold until its command is done."""
    if pairs:
        from accelsim import limits

        wrong = [pair for pair in pairs if "=" not in pair]
        if wrong:
            raise InputError(
                Problem(f"'--limit {pair}' is not NAME=VALUE", hint="for example --limit points=1e6") for pair in wrong
            )
        texts = {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}
        context.with_resource(limits.within(**limits.read_limits(texts)))
    return pairs


def _memory(context: typer.Context, size: str | None) -> str | None:
    if size is not None:
        from accelsim import limits

        context.with_resource(limits.within(memory=limits.read_memory(size)))
    return size


LimitOption = Annotated[
    list[str],
    typer.Option(
        "--limit",
        metavar="NAME=VALUE ..",
        callback=_limits,
        is_eager=True,
        help="Raise or lower how large an input may be: points=1e6 yaml_bytes=50MB ..",
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        callback=_memory,
        is_eager=True,
        help="Memory that a process may take: 4GB. By default what is free; a run that needs more is refused.",
    ),
]
PluginOption = Annotated[
    list[Path],
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        callback=_load_plugins,
        help="Run a Python file that registers ops, components, devices ..; repeat.",
    ),
]


def _hush(context: typer.Context, quiet: bool) -> bool:
    if quiet:
        context.with_resource(quietly())
    return quiet


QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=_hush, is_eager=True, help="Print nothing but warnings, errors and JSON."),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say how much time and memory it would take, and how many points, and write nothing: features are made, "
        "and a short beginning is run.",
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit 1 where there is a warning: late frames, constraints that none keeps, points that failed, figures "
        "outside what the prices hold for.",
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random draw.", min=0, max=LARGEST_SEED)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output instead of tables.")]


class PowerRule(StrEnum):
    AS_IS = "as_is"
    GATED = "gated"
    UNGATED = "ungated"


PowerOption = Annotated[
    PowerRule,
    typer.Option(
        "--power",
        help="How parts wait: as_is, as the chip says; gated, clock stopped, none switched off; ungated, clocked.",
    ),
]


class TraceFormat(StrEnum):
    PERFETTO = "perfetto"
    VCD = "vcd"


TraceOption = Annotated[
    list[TraceFormat],
    typer.Option(
        "--trace",
        help="Write what every component did when into the --out folder: perfetto as trace.json.gz for "
        "ui.perfetto.dev, vcd as trace.vcd for GTKWave or Surfer. May be given twice.",
    ),
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        metavar="BEGIN:END",
        help="Trace only from a time up to another (0ms:5ms, 2s:), or from the arrival of a frame until the last one "
        "before another is finished (10:12, the frames 10 and 11).",
    ),
]
PlacementOption = Annotated[
    Path | None,
    typer.Option(
        "--placement",
        metavar="FILE.yaml",
        help="Read which engine runs which op from a file that 'accelsim schedule CHIP --placement FILE.yaml' wrote.",
    ),
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write result.json into this folder.")]

AxisOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUES ..",
        help="Values of keys: -s adc.precision_bits=1:8 crossbar.rows=64,128 or '0.6 V:0.9 V:0.1 V'.",
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")]
ConstraintOption = Annotated[
    list[str],
    typer.Option(help="'area<=2 mm2', 'accuracy>=0.9' ..; repeat. Exit 1 if no configuration keeps them all."),
]
ObjectivesOption = Annotated[
    str | None, typer.Option(help="Metrics of the Pareto front: energy,error,area,latency,power .., by comma.")
]


SEVERAL = ("--set", "-s", "--limit", "--option", "-O")
"""Options of KEY=VALUE after which several may stand."""


def check_not_empty(arguments: list[str]) -> None:
    """Raise InputError for an empty text: as a path it is the current folder, in a script it is an unset variable."""
    for place, one in enumerate(arguments):
        name, equals, value = one.partition("=")
        if one == "" or (one.startswith("--") and equals and not value):
            behind = name or (arguments[place - 1] if place else "accelsim")
            raise InputError.of(f"found an empty text after {show(behind)}", hint="is a variable of the shell not set?")


def spread(arguments: list[str]) -> list[str]:
    """Return arguments with an option of its own before each of several settings: ``-s a=1 b=2`` is ``-s a=1 -s b=2``.

    Settings end where something has no ``=``, begins with ``-``, or ``--`` says so.
    """
    made: list[str] = []
    option, needed = "", False
    for place, one in enumerate(arguments):
        if one == "--":
            return [*made, *arguments[place:]]
        if needed:
            needed = False
        elif one in SEVERAL:
            option, needed = one, True
        elif one.startswith(tuple(f"{name}=" for name in SEVERAL if name.startswith("--"))):
            option = one.partition("=")[0]
        elif one.startswith("-"):
            option = one[:2] if one[:2] in SEVERAL else ""
        elif option and "=" in one:
            made.append(option)
        else:
            option = ""
        made.append(one)
    return made


def names_of(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def power_rule(rule: PowerRule) -> dict[str, str]:
    """Return the override that makes all chips wait by one rule."""
    from accelsim.architecture import POWER_RULES

    return {"power": POWER_RULES[rule]} if rule in POWER_RULES else {}


def own_inputs(path: Path | None) -> dict[str, str]:
    """Return the override that makes a workload hear recordings of one's own."""
    import json

    return {} if path is None else {"workload.inputs": json.dumps(str(path))}  # a text in YAML, whatever its letters


def overrides_of(pairs: list[str]) -> dict[str, str]:
    overrides, problems = {}, []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            problems.append(Problem(f"'--set {pair}' is not KEY=VALUE", hint="for example --set components.pe.sets=4"))
        overrides[key.strip()] = value.strip()
    if problems:
        raise InputError(problems)
    return overrides
