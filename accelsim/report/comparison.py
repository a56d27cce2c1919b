"""The table of a comparison with a paper."""

from __future__ import annotations

from rich.table import Table

from accelsim.report.console import ROLE_STYLE
from accelsim.schema.paper import Figure


def comparison_table(title: str, rows: list[tuple[Figure, float | None, float | None, bool | None]]) -> Table:
    """Return figures as a table: stated value, ours, ratio, role, verdict.

    rows: (figure, ours, ratio, holds). Only predicted figures show a verdict; a calibrated one never counts as
    agreement.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("figure", "paper", "tag", "ours", "ratio", "role", "verdict"):
        table.add_column(column, justify="right" if column in ("paper", "ours", "ratio") else "left")
    for figure, ours, ratio, holds in rows:
        unit = "" if figure.unit == "1" else f" {figure.unit}"
        verdict = {None: "", True: "[green]holds[/]", False: "[red]fails[/]"}[holds]
        if figure.tolerance is not None:
            verdict += f" (within {figure.tolerance:.0%})"
        table.add_row(
            figure.name,
            f"{figure.value:g}{unit}",
            figure.tag,
            "-" if ours is None else f"{ours:.4g}{unit}",
            "-" if ratio is None else f"{ratio:.3f}",
            f"[{ROLE_STYLE[figure.role]}]{figure.role}[/]",
            verdict,
        )
    return table
