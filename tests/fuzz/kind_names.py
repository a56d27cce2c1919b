"""Names and texts that a terminal, a page, a trace or a spreadsheet would take for something else."""

from __future__ import annotations

import csv
import json
import random
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

from harness import Case, Outcome
from small import smalls, text

HOSTILE = (
    "\x1b[31mred", "\x9b2J", "a\x07b", "\u202ecod", "a\u200bb", "\ufeffbom", "a\u2028b", "[bold]b[/]", "[/x]",
    ":smile:", "<script>alert(1)</script>", "</script>", "&amp;", "\"'>", "a|b", "`x`", "$\\frac{1}{0}$", "=1+1",
    "@SUM(A1)", "+cmd|x", "-1+1", "..", "../x", "a/b", "a\\b", "CON", "x" * 300, "x" * 70, "a b", " a", "a\nb", "a\tb",
    "\U0001f600", "%s", "{0}", "a->b", "a[3]", "a of b", "*", "?", "#", "~", "features", "\u0301" * 20, "a\x00b",
    "\u6f22", "1", "true", "",
)  # fmt: skip
CHIPS = ("rsnn28nm", "memristor_tile")


def renamed(data: Any, old: str, new: str) -> Any:
    """Return plain data with a name replaced, as a key and as a value."""
    if isinstance(data, dict):
        return {new if key == old else key: renamed(value, old, new) for key, value in data.items()}
    if isinstance(data, list):
        return [renamed(value, old, new) for value in data]
    return new if data == old else data


def names_of(chip: dict[str, Any], network: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what may be renamed: in which file, and which name."""
    sections = ("components", "clocks", "power", "engines", "operating_points")
    found = [("chip", str(name)) for section in sections for name in chip.get(section) or {}]
    found += [("chip", chip["name"]), ("network", network["name"])]
    return found + [("network", op["name"]) for op in network["graph"]]


class Names:
    name = "names"
    weight = 1.0

    @property
    def warm(self) -> list[Case]:
        """The chips with their own names, so that no case compiles kernels."""
        return [
            Case({"chip.yaml": text(small.chip).encode(), "net.yaml": text(small.network).encode(), **small.beside},
                 ["run", "chip.yaml", "-w", "net.yaml"])
            for small in (smalls()[name] for name in CHIPS)
        ]  # fmt: skip

    def case(self, rng: random.Random) -> Case:
        small = smalls()[rng.choice(CHIPS)]
        files = {"chip": deepcopy(dict(small.chip)), "network": deepcopy(dict(small.network))}
        for _ in range(rng.choice((1, 1, 2))):
            where, old = rng.choice(names_of(files["chip"], files["network"]))
            files[where] = renamed(files[where], old, rng.choice(HOSTILE))
            if where == "chip" and rng.random() < 0.5:
                key = rng.choice(("description", "assumptions"))
                files["chip"][key] = rng.choice(HOSTILE) if key == "description" else [rng.choice(HOSTILE)]
        laid = {"chip.yaml": text(files["chip"]).encode(), "net.yaml": text(files["network"]).encode(), **small.beside}
        argv = rng.choice(
            (
                ["run", "chip.yaml", "-w", "net.yaml"],
                ["run", "chip.yaml", "-w", "net.yaml", "--json"],
                ["run", "chip.yaml", "-w", "net.yaml", "--out", "out", "--trace", "vcd", "--trace", "perfetto"],
                ["schedule", "chip.yaml", "-w", "net.yaml", "--placement", "out/p.yaml"],
                ["compare", "chip.yaml", "chip.yaml", "-w", "net.yaml", "--out", "out/page.md", "--table", "out/t.csv"],
                ["validate", "chip.yaml", "net.yaml"],
            )
        )
        return Case(laid, argv)

    @staticmethod
    def check(folder: Path, outcome: Outcome) -> None:
        """Nothing that was shown or written holds what is obeyed."""
        for line in (outcome.out + outcome.err).split("\n"):
            assert line.isprintable(), f"printed raw: {line!r}"
        for path in sorted((folder / "out").rglob("*")) if (folder / "out").is_dir() else ():
            if path.suffix == ".vcd":
                path.read_text(encoding="ascii")
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".md":
                page = path.read_text(encoding="utf-8")
                assert all(line.isprintable() for line in page.split("\n"))
                assert not re.search(r"(?<!\\)<script", page), "HTML in Markdown that no backslash escapes"
            elif path.suffix == ".csv":
                for row in csv.reader(path.read_text(encoding="utf-8").splitlines()):
                    assert not any(re.match(r"[=@\t\r]|[-+](?![0-9.])", cell) for cell in row), row


KIND = Names()
