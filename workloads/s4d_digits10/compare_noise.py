"""How far the networks of train_noise.py are apart, from the tables of their sweeps: noise_study.csv beside this file.

    python compare_noise.py

For each condition the network with fewer errors and the one with more, the mean of both over the programmings, and by
how many points they differ, with a 95 % interval. Utterances are drawn with replacement, the same ones for both
networks, and programmings apart (`accelsim.explore.intervals`). An interval that begins below 0 cannot tell the two
apart.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np

from accelsim.explore.intervals import error_rates
from accelsim.explore.studies import SHELF, StudyRow, read_table
from accelsim.library import root

TABLE = Path(__file__).parent / "noise_study.csv"
PAIRS = (("plain", "noise"), ("plain", "month"), ("noise", "month"))
STUDIES = {"noise_training": PAIRS, "noise_training_speakers": PAIRS, "noise_training_wires": PAIRS[:1]}
"""Tables, and which networks are compared in each."""


def compared(study: str, rows: Sequence[StudyRow]) -> Iterator[dict[str, str]]:
    """Yield the lines of a study: a condition and two networks each; errors in percent, differences in points."""
    alike: dict[str, dict[str, list[StudyRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        settings = {key.rpartition(".")[2]: value for key, value in row.settings.items()}
        network = settings.pop("workload").rpartition("/")[2]
        alike[", ".join(f"{key} {value}" for key, value in settings.items())][network].append(row)
    for condition, networks in alike.items():
        draws, means = {}, {}
        for name, some in networks.items():
            heard = [row.heard for row in some if row.heard is not None]
            together = replace(heard[0], errors=tuple(run for one in heard for run in one.errors))
            draws[name] = error_rates(together, "accuracy.value", f"{name} {condition}")
            means[name] = fmean(100 * sum(run) / together.n() for run in together.errors)
        for pair in STUDIES[study]:
            fewer, more = sorted(pair, key=lambda name: means[name])
            low, high = np.quantile(draws[more] - draws[fewer], [0.025, 0.975])
            figures = {
                "fewer_percent": means[fewer], "more_percent": means[more],
                "difference_points": means[more] - means[fewer], "low_points": low, "high_points": high,
            }  # fmt: skip
            yield {"study": study, "condition": condition, "fewer": fewer, "more": more} | {
                key: f"{value:.2f}" for key, value in figures.items()
            }


def table() -> str:
    """Return noise_study.csv as the tables of today make it."""
    lines = [line for study in STUDIES for line in compared(study, read_table(root() / SHELF / f"{study}.csv"))]
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
