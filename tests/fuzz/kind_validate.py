"""Files of every schema, damaged, for `accelsim validate`."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from harness import Case, Outcome
from mutate import damaged

ROOT = Path(__file__).parents[2]
LARGEST = 200_000
"""Bytes of a file beside a workload (its weights) that a case takes along."""


@cache
def shelves() -> dict[str, tuple[Path, ...]]:
    """Return the library's files by schema."""
    found = {
        "arch": "arch/*.yaml", "cost": "arch/cost/*.yaml", "device": "arch/devices/*.yaml",
        "wires": "arch/wires/*.yaml", "paper": "arch/papers/*.yaml", "sweep": "arch/sweeps/*.yaml",
        "workload": "workloads/*/*.yaml",
    }  # fmt: skip
    return {name: tuple(sorted(ROOT.glob(pattern))) for name, pattern in found.items()} | {
        name: tuple(sorted((Path(__file__).parent / "seeds").glob(f"{name}*.yaml")))
        for name in ("converters", "placement")
    }


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def beside(path: Path) -> dict[str, bytes]:
    """Return the small files that a file may name by a path beside it."""
    if path.parent.parent.name != "workloads":
        return {}
    small = [one for one in sorted(path.parent.iterdir()) if one.is_file() and one.stat().st_size <= LARGEST]
    return {one.name: one.read_bytes() for one in small if one.suffix in (".yaml", ".safetensors")}


class Validate:
    name = "validate"
    weight = 3.0
    warm = (["validate", str(ROOT / "arch" / "imssa.yaml")],)

    def case(self, rng: random.Random) -> Case:
        shelf = rng.choice(tuple(shelves().values()))
        path = rng.choice(shelf)
        others = [text_of(rng.choice(shelf))] if rng.random() < 0.8 else [text_of(rng.choice(shelves()["arch"]))]
        files = {**beside(path), path.name: damaged(rng, text_of(path), others)}
        return Case(files, ["validate", path.name], may_write=())

    @staticmethod
    def check(folder: Path, outcome: Outcome) -> None:
        """Every problem begins with a file's name."""
        if outcome.code == 2:
            for line in outcome.err.splitlines():
                text = line.removeprefix("error: ")
                assert text.endswith(" errors:") or ".yaml" in text.partition(": ")[0], f"no file: {line}"


KIND = Validate()
