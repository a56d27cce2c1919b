"""`accelsim compare`: figures beside those of papers, or chips side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    DryRunOption,
    JsonOption,
    LimitOption,
    MemoryOption,
    PluginOption,
    PowerOption,
    PowerRule,
    QuietOption,
    SeedOption,
    SetOption,
    StrictOption,
    WorkloadOption,
    overrides_of,
    power_rule,
)
from accelsim.cli.say import Runs, command_line, is_quiet, json_text, progress, say, say_estimate, say_json, show, warn
from accelsim.errors import InputError


@app.command(
    epilog="Examples:\n\n"
    "  accelsim compare --out reports/validation.md\n\n"
    "  accelsim compare rsnn28nm --out runs/paper\n\n"
    "  accelsim compare --against reports/validation.md\n\n"
    "  accelsim sweep arch/sweeps/conformer_adc.yaml -o studies/conformer_adc; accelsim compare --studies studies\n\n"
    "  accelsim compare arch/memristor_tile.yaml mychip.yaml -w tile_frames\n\n"
    "  accelsim compare edge_npu memristor_conformer_stream rsnn28nm -s workload.inputs.dataset=mini_librispeech "
    "-s workload.inputs.split=test -o chips.md"
)
def compare(
    what: Annotated[
        list[str],
        typer.Argument(help="Nothing: all papers. One paper, or two or more architectures.", metavar="[WHAT]"),
    ] = [],  # noqa: B006
    workload: WorkloadOption = None,
    set_: SetOption = [],  # noqa: B006
    seed: SeedOption = 0,
    power: PowerOption = PowerRule.AS_IS,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a Markdown page (*.md), or a result.json for every run.")
    ] = None,
    studies: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Take a paper's studies from DIR/NAME, where sweeps put them, or from DIR/NAME.csv."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a row a chip, as reports/studies has them.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="PAGE.md", help="Exit 1 if a verdict is not that of a page made before.")
    ] = None,
    as_json: JsonOption = False,
    strict: StrictOption = False,
    dry_run: DryRunOption = False,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Set our figures beside those of papers, or two or more chips side by side, with ratios over the first.

    Exit 1 if a verdict is another one than on the page that --against names.
    """
    overrides = overrides_of(set_) | power_rule(power)
    if len(what) < 2 and (workload or overrides):
        raise InputError.of(
            "--workload, --power and --set are for two or more architectures; a paper names its own runs"
        )
    if len(what) > 1 and studies is not None:
        raise InputError.of("--studies is for papers; architectures are run")
    if len(what) > 1 and against is not None:
        raise InputError.of("--against is for papers; architectures have no verdicts")
    if len(what) < 2 and strict:
        raise InputError.of("--strict is for two or more architectures; verdicts of papers have --against PAGE.md")
    if len(what) < 2 and dry_run:
        raise InputError.of("--dry-run is for two or more architectures; a paper names its own runs")
    if len(what) < 2 and table is not None:
        raise InputError.of("--table is for two or more architectures; figures of papers go to --out PAGE.md")
    if against is not None and not os.path.isfile(against):
        raise InputError.of(f"no such file: {against}", hint="--against PAGE.md, which --out PAGE.md made")
    from accelsim import limits

    before = None if against is None else limits.read_text(against, "text_bytes")  # --out may be the same file
    if studies is not None and not os.path.isdir(studies):
        raise InputError.of(f"no such folder: {studies}", hint="--studies DIR, with the folders of finished sweeps")
    from accelsim.result import check_writable

    if out is not None:
        check_writable(out.parent if out.suffix == ".md" else out)
    if table is not None:
        check_writable(table.parent)
    if dry_run:
        with progress() as tell:
            from accelsim.explore.comparison import settings_of_each
            from accelsim.explore.estimate import estimate_run

            each = zip(what, settings_of_each(what, overrides), strict=True)
            estimates = [estimate_run(chip, workload, overrides=its, seed=seed, progress=tell) for chip, its in each]
        say_estimate(estimates, as_json)
        return
    if len(what) > 1:
        warned = _compare_chips(what, workload, overrides, seed, out, as_json, table)
        if strict and warned:
            raise typer.Exit(1)
        return
    with progress() as tell:
        from accelsim.explore import compare as run_comparison
        from accelsim.explore import compare_all

        told = Runs(tell)
        if what:
            comparisons = [run_comparison(what[0], studies=studies, seed=seed, progress=told.stage, on_run=told.begin)]
        else:
            comparisons = list(compare_all(studies=studies, seed=seed, progress=told.stage, on_run=told.begin))
    from accelsim.report.comparison import changed, comparison_table, markdown, tally

    if out is not None and out.suffix == ".md":
        from accelsim.result import written_whole

        with written_whole(out) as page:
            page.write(markdown(comparisons).encode())
        say(f"wrote {out}", err=True)
    elif out is not None:
        for comparison in comparisons:
            folder = out if what else out / comparison.paper.name
            for name, result in comparison.results.items():
                say(f"wrote {result.write(folder / name)}", err=True)
    if as_json:
        pages = [
            {
                "paper": comparison.paper.name,
                "holds": comparison.holds(),
                "figures": [
                    {**row.figure.model_dump(), "ours": row.ours, "ratio": row.ratio, "holds": row.holds}
                    | {"runs": row.runs, "sd": row.sd, "verdict": row.verdict, "needed": row.needed}
                    | {"interval": None if row.spread is None else [row.spread.low, row.spread.high]}
                    for row in comparison.rows
                ],
            }
            for comparison in comparisons
        ]
        say_json(json_text(pages[0] if what else pages))
    else:
        for comparison in comparisons:
            show(comparison_table(comparison))
            for row in comparison.rows:
                if row.figure.note:
                    show(f"{row.figure.name}: {row.figure.note}", "dim")
            for reason in dict.fromkeys(comparison.missing.values()):
                show(f"not run: {reason}", "yellow")
        show(tally(comparisons))
    if before is not None and (other := changed(comparisons, before)):
        warn("\n".join([f"verdicts that are not those of {against}:", *other]))
        raise typer.Exit(1)


def _compare_chips(
    chips: list[str],
    workload: str | None,
    overrides: dict[str, str],
    seed: int,
    out: Path | None,
    as_json: bool,
    table: Path | None,
) -> list[str]:
    """Run chips and show them side by side; return what nobody may miss of them."""
    with progress() as tell:
        from accelsim.explore import compare_chips

        told = Runs(tell)
        results, rows = compare_chips(
            chips, workload, overrides=overrides, seed=seed, progress=told.stage, on_run=told.begin
        )
    from accelsim.report.comparison import chips_markdown, chips_table, place, power_rules
    from accelsim.report.headline import warnings

    if out is not None and out.suffix == ".md":
        from accelsim.result import written_whole

        with written_whole(out) as page:
            page.write(chips_markdown(results, rows, command_line()).encode())
        say(f"wrote {out}", err=True)
    elif out is not None:
        for index, result in enumerate(results):
            say(f"wrote {result.write(out / place(index))}", err=True)
    if table is not None:
        from accelsim.explore.comparison import settings_of_each
        from accelsim.explore.studies import rows_of_results, write_table

        each = zip(chips, settings_of_each(chips, overrides), results, strict=True)
        write_table(table, rows_of_results((chip, workload, its, one) for chip, its, one in each))
        say(f"wrote {table}", err=True)
    warned = [f"{result.arch.name}: {text}" for result in results for text in warnings(result)]
    if as_json or is_quiet():
        for text in warned:
            warn(f"warning {text}")
    if as_json:
        figures: list[dict[str, Any]] = [
            {"name": r.metric.name, "unit": r.metric.unit, "values": r.values, "ratios": r.ratios}
            | {"intervals": r.intervals, "ratio_intervals": r.ratio_intervals, "best": sorted(r.best)}
            for r in rows
        ]
        if len(chips) == 2:
            for figure, row in zip(figures, rows, strict=True):
                figure |= {"first": row.values[0], "second": row.values[1], "ratio": row.ratios[0]}
        names = [result.arch.name for result in results]
        say_json(json_text({"chips": names, "figures": figures}))
        return warned
    for text in warned:
        show(f"warning {text}", "red")
    show(chips_table(results, rows))
    show(power_rules(results))
    return warned
