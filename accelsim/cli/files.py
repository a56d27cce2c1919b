"""`accelsim validate`, `schema` and `list`: the files of accelsim and of its user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import LimitOption, MemoryOption, PluginOption, QuietOption
from accelsim.cli.say import json_text, say, say_json, show
from accelsim.errors import InputError, Problem


@app.command(epilog="Example:\n\n  accelsim validate arch/*.yaml arch/cost/*.yaml workloads/*/workload.yaml")
def validate(
    files: Annotated[
        list[Path], typer.Argument(help="Architectures, cost tables, devices, workloads, papers or sweeps.")
    ],
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Check files of any accelsim schema and report all their problems at once."""
    from accelsim.explore.validate import validate_file

    problems: list[Problem] = []
    for file in files:
        try:
            say(f"{file}: {validate_file(file)}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


@app.command(epilog="Example:\n\n  accelsim schema arch > arch.schema.json")
def schema(
    name: Annotated[
        str,
        typer.Argument(
            help="arch, workload, cost, device, converters, wires, placement, sweep, paper or result.", metavar="NAME"
        ),
    ],
    plugin: PluginOption = [],  # noqa: B006
) -> None:
    """Print the JSON schema of a kind of file, for editors and other tools."""
    from accelsim.explore.validate import schema_of

    say_json(json_text(schema_of(name)))


@app.command("list", epilog="Example:\n\n  accelsim list --plugins")
def list_(
    plugins: Annotated[
        bool, typer.Option("--plugins", help="List ops, engines, components .., and where each comes from.")
    ] = False,
    plugin: PluginOption = [],  # noqa: B006
) -> None:
    """List the architectures, workloads, cost tables, devices and papers of accelsim and of installed plug-ins."""
    if plugins:
        from accelsim.plugins import listing
        from accelsim.report.console import plugin_table

        found = listing()
        show(plugin_table(found))
        for error in dict.fromkeys(one.error for one in found if one.error):
            say(f"broken: {error}")
        return
    from accelsim.library import names, workload_names

    shelves = {
        "architectures": names("arch"),
        "workloads": workload_names(),
        "cost tables": names("arch/cost"),
        "devices": names("arch/devices"),
        "wires": names("arch/wires"),
        "papers": names("arch/papers"),
    }
    for shelf, entries in shelves.items():
        show(f"{shelf}: {', '.join(entries)}")
