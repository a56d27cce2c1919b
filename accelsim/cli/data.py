"""`accelsim data`: the data sets of speech."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.app import data_app
from accelsim.cli.options import LimitOption, PluginOption, QuietOption, SetOption, WorkloadOption, overrides_of
from accelsim.cli.say import DownloadBar, progress, say

if TYPE_CHECKING:
    from accelsim.data.recordings import Found

_MANY_LABELS = 20


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


@data_app.command(
    "check",
    epilog="Examples:\n\n  accelsim data check my.tsv\n\n  accelsim data check recordings/ --workload s4d_digits\n\n"
    "A manifest is a table (.tsv, .csv, .parquet) with a column path, and where they are known start, end, text, "
    "class, phones, speaker and split. A folder holds recordings.tsv, Parquet files, or a folder for each class.",
)
def data_check(
    recordings: Annotated[Path, typer.Argument(help="A manifest or a folder of recordings.", metavar="RECORDINGS")],
    workload: WorkloadOption = None,
    set_: SetOption = [],  # noqa: B006
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    quiet: QuietOption = False,
) -> None:
    """List every recording that something is wrong with; exit 2 where a run would refuse one.

    With a workload also those that are too short for its features, and labels that are none of its classes.
    """
    from accelsim.data.recordings import hear, labelled, rows_of
    from accelsim.errors import InputError
    from accelsim.inputs import listen
    from accelsim.workload import load_workload

    with progress() as tell:
        if workload is None:
            if set_:
                raise InputError.of("--set changes a workload", hint="add --workload NAME")
            rows = rows_of(recordings)
            found = hear(rows, look=labelled, progress=lambda done, total: tell(str(recordings), done, total))
        else:
            changes = overrides_of([pair.removeprefix("workload.") for pair in set_])
            found = listen(load_workload(workload, changes, recordings), tell)
    for one in found.findings:
        say(str(one.problem))
    for line in _summary(found):
        say(line)
    if refused := found.refused():
        message = f"a run refuses {len(refused):,} of {found.given:,} recordings"
        raise InputError.of(message, file=recordings, hint="mend them, or leave them out with 'skip: bad'")


def _summary(found: Found) -> list[str]:
    """Return what there is, and how much of it is bad, in a few lines."""
    good = found.utterances
    speakers = {one.speaker for one in good if one.speaker}
    rates = ", ".join(f"{rate:,} Hz ({count:,})" for rate, count in found.rates_hz.items())
    lines = [
        f"{len(good):,} of {found.given:,} recordings can be used: {found.seconds:,.1f} s"
        + (f", {len(speakers):,} speakers" if speakers else "")
    ]
    if rates:
        lines.append(f"sample rates: {rates}")
    labels = Counter(one.label or one.text or "" for one in good)
    if 0 < len(labels) <= _MANY_LABELS:
        lines.append("labels: " + ", ".join(f"{label or 'none'} ({count:,})" for label, count in labels.most_common()))
    elif labels:
        lines.append(f"labels: {len(labels):,} different ones")
    kinds = Counter(one.kind for one in found.findings)
    bad = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in kinds.items())
    lines.append(f"wrong: {bad}" if bad else "nothing is wrong with them")
    return lines
