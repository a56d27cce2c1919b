"""`accelsim data`: the data sets of speech."""

from __future__ import annotations

from typing import Annotated

import typer

from accelsim.cli.app import data_app
from accelsim.cli.options import LimitOption, PluginOption, QuietOption
from accelsim.cli.say import DownloadBar, say


@data_app.command("list")
def data_list(plugin: PluginOption = []) -> None:  # noqa: B006
    """List the data sets that accelsim knows, and where each would come from."""
    from accelsim.data import DATASETS, DataSet

    for name, known in DATASETS.items():
        if known.download is not None:
            say(f"{name}: {known.download.url} ({known.download.licence})")
        elif isinstance(known, DataSet) and known.parts:
            say(f"{name}: made of {', '.join(known.parts)}")
        else:
            say(f"{name}: ships with {DATASETS.origin(name)}")


@data_app.command("get", epilog="Example:\n\n  accelsim data get mini_librispeech")
def data_get(
    name: Annotated[str, typer.Argument(help="Name of a data set.", metavar="NAME")],
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    quiet: QuietOption = False,
) -> None:
    """Fetch a data set once; the folder named by ACCELSIM_DATA serves instead where it holds the set."""
    from accelsim.data import get

    folder = get(name, progress=lambda line: say(line, err=True), bar=DownloadBar())
    say(f"{name}: {folder}")
