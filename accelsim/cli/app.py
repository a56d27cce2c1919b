"""The command line's root: what all commands hang on."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from accelsim import __version__
from accelsim.cli.options import check_not_empty, spread
from accelsim.cli.say import say


class _Root(TyperGroup):
    """All commands take several settings after one option, see `spread`, and no empty text, see `check_not_empty`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        check_not_empty(args)
        return super().parse_args(ctx, spread(args))


app = typer.Typer(
    name="accelsim",
    cls=_Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Simulate accelerators for speech networks: what comes out, how well it recognises, how many cycles, "
    "how much power and area.",
    epilog="Exit codes: 0 done; 1 the run failed, nothing keeps the constraints, or a verdict is not that of compare "
    "--against; 2 bad input; "
    "130 interrupted; 143 terminated.",
)
data_app = typer.Typer(no_args_is_help=True, help="Speech data: list it, or download it once.")
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        say(f"accelsim {__version__}")
        raise typer.Exit
