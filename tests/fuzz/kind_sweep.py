"""Sweeps of a few points over small chips: the files damaged, the axes and options drawn."""

from __future__ import annotations

import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from harness import Case, Outcome
from kind_run import KIND as RUN
from kind_run import files, texts
from kind_validate import shelves, text_of
from mutate import damaged, key_paths, nudged, number_like
from small import smalls, text

QUICK = ("rsnn28nm", "imssa28", "s4d_digital28", "edge_npu")
OURS = re.compile(r"\w*(Error|Exception|Interrupt|Exit): ")
"""How `accelsim.explore.workers.evaluate` tells a mistake of our own."""


def no_mistakes(folder: Path, outcome: Outcome) -> None:
    """No point failed by a mistake of our own, and what is in the store is finite."""
    store = folder / "out" / "results.sqlite"
    if not store.is_file():
        return
    with closing(sqlite3.connect(store)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'points'").fetchone():
            return
        names = [column[1] for column in connection.execute("PRAGMA table_info(points)")]
        for row in connection.execute("SELECT * FROM points"):
            point = dict(zip(names, row, strict=True))
            assert not OURS.match(str(point.get("error") or "")), f"a point failed: {point['error']}"


class Sweeps:
    name = "sweep"
    weight = 0.5
    warm = RUN.warm
    check = staticmethod(no_mistakes)

    def case(self, rng: random.Random) -> Case:
        name = rng.choice(QUICK)
        small, (chip, network) = smalls()[name], texts(name)
        laid = {"chip.yaml": chip.encode(), "net.yaml": network.encode(), **small.beside}
        axes = [axis(rng, name) for _ in range(rng.choice((1, 1, 2, 3)))]
        argv = ["sweep"]
        if rng.random() < 0.6:
            spec: dict[str, Any] = {
                "schema": "accelsim/sweep@1", "architecture": "chip.yaml", "workload": "net.yaml",
                "axes": [{key: values for key, values in axes}],
                "method": rng.choice(("grid", "random", "lhs")), "points": 3, "seeds": 2,
                "objectives": ["energy", "area"], "constraints": ["area<=1 m2"],
            }  # fmt: skip
            if spec["method"] == "grid":
                del spec["points"]
            others = [text_of(rng.choice(shelves()["sweep"]))]
            change = nudged if rng.random() < 0.6 else damaged
            laid["study.yaml"] = change(rng, text(spec), others, rng.choice((1, 1, 2)))
            argv += ["study.yaml"]
        else:
            if rng.random() < 0.5:
                laid = files(rng, name)
            argv += ["chip.yaml", "-w", "net.yaml"]
            for key, values in axes:
                argv += ["-s", f"{key}={values if isinstance(values, str) else ','.join(map(str, values))}"]
        argv += ["--out", "out", "--limit", "points=100"]  # a thousand small points are honest work of over 10 s
        for options, likelihood in (
            (["--method", rng.choice(("grid", "random", "lhs", "x"))], 0.15),
            (["--points", str(rng.choice((1, 2, 3, 0, -1, 10**12)))], 0.15),
            (["--seeds", str(rng.choice((1, 2, 0, 10**12)))], 0.15), (["--seed", str(rng.choice((5, 2**63)))], 0.1),
            (["--objectives", rng.choice(("energy", "error,area", "", ",", "x", "energy,energy"))], 0.2),
            (["--constraint", rng.choice(("area<=1 mm2", "power>=0 W", "x<=1", "area<=", "area<=nan"))], 0.2),
            (["--export", rng.choice(("csv", "parquet", "x"))], 0.15), (["--table", "out/t.csv"], 0.1),
            (["--resume"], 0.1),
        ):  # fmt: skip
            if rng.random() < likelihood:
                argv += options
        return Case(laid, argv)


def axis(rng: random.Random, name: str) -> tuple[str, Any]:
    """Return a key and its values, or a range of them; some are none."""
    data: Any = smalls()[name].chip
    prefix = ""
    if rng.random() < 0.3:
        data, prefix = smalls()[name].network, "workload."
    numeric = []
    for path in key_paths(data):
        value = data
        for key in path:
            value = value[key]
        if not isinstance(value, dict | list | bool) and re.match(r"[0-9.]", str(value)):
            numeric.append((".".join(map(str, path)), value))
    key, value = rng.choice(numeric)
    if rng.random() < 0.3:
        number, _, unit = str(value).partition(" ")
        low, high, step = (str(rng.choice((number, 0, 1, 2, -1, "1e9", 0.5, "1e-9", ".nan"))) for _ in range(3))
        ends = [low, high, step][: rng.choice((2, 3, 3))]
        return prefix + key, ":".join(f"{end} {unit}".strip() for end in ends)
    values = [value, *(number_like(rng, value) for _ in range(rng.choice((0, 1, 1, 2))))]
    return prefix + key, values


KIND = Sweeps()
