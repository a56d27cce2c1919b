"""`accelsim new`: files to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import LimitOption, PluginOption, QuietOption
from accelsim.cli.say import say

new_app = typer.Typer(
    no_args_is_help=True, help="Write a chip or a network to begin with, commented, from one that is there."
)
app.add_typer(new_app, name="new")

_Name = Annotated[str, typer.Argument(help="Name of the new one.", metavar="NAME")]


@new_app.command("chip", epilog="Example:\n\n  accelsim new chip mine --from memristor_tile; accelsim run mine.yaml")
def new_chip(
    name: _Name,
    begin: Annotated[str | None, typer.Option("--from", metavar="CHIP", help="Name or path of the chip.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write instead of NAME.yaml.")] = None,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    quiet: QuietOption = False,
) -> None:
    """Write the file of a chip of your own: a copy of one that is there, with a comment on every key and part."""
    from accelsim.explore import new

    file = new.new_chip(name, begin, out)
    say(f"wrote {file}: change it, then accelsim validate {file}, and accelsim run {file}")


@new_app.command(
    "network", epilog="Example:\n\n  accelsim new network mynet --from s4d_digits; accelsim run imssa -w mynet"
)
def new_network(
    name: _Name,
    begin: Annotated[str | None, typer.Option("--from", metavar="NETWORK", help="Name or path of the network.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write instead of NAME.")] = None,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    quiet: QuietOption = False,
) -> None:
    """Write the folder of a network of your own: a copy of one that is there, with a comment on every key and layer."""
    from accelsim.explore import new

    folder = new.new_network(name, begin, out)
    file = folder / "workload.yaml"
    say(f"wrote {file} and its tensors: change it, then accelsim validate {file}, and accelsim run CHIP -w {folder}")
