"""Small chips, networks, prices and devices, slightly damaged, for `accelsim run`: what passes the checks is run."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness import Case, Outcome
from kind_validate import shelves, text_of
from mutate import damaged, key_paths, nudged, number_like
from small import Small, smalls, text


@cache
def texts(name: str) -> tuple[str, str]:
    """Return the texts of a chip and its network."""
    small = smalls()[name]
    return text(small.chip), text(small.network)


def files(rng: random.Random, name: str, times: Sequence[int] = (1, 1, 1, 2)) -> dict[str, bytes]:
    """Return a small chip and its network, one of them or the prices or devices of the chip changed."""
    small, (chip, network) = smalls()[name], texts(name)
    what = rng.choice(("chip", "chip", "network", "network", "cost", "device", "nothing"))
    found = {"chip.yaml": chip.encode(), "net.yaml": network.encode(), **small.beside}
    other = rng.choice([texts(one) for one in smalls()])
    if what == "chip":
        found["chip.yaml"] = _changed(rng, chip, other[0], times)
    elif what == "network":
        found["net.yaml"] = _changed(rng, network, other[1], times)
    elif what == "cost":
        table = str(small.chip["technology"]["cost"])
        by_name = {path.stem: path for path in shelves()["cost"]}
        changed = _changed(rng, text_of(by_name[table]), text_of(rng.choice(shelves()["cost"])), (1, 3, 10, 30))
        found |= {"cost.yaml": changed, "chip.yaml": chip.replace(f"cost: {table}", "cost: cost.yaml").encode()}
    elif what == "device" and "device: " in chip:
        path = rng.choice(shelves()["device"])
        device = next(c["device"] for c in small.chip["components"].values() if "device" in c)
        changed = _changed(rng, text_of(path), text_of(rng.choice(shelves()["device"])), times)
        found |= {"device.yaml": changed, "chip.yaml": _set_device(small, str(device)).encode()}
    return found


def overrides(rng: random.Random, name: str) -> list[str]:
    """Return settings of a few keys of a chip or network on the command line."""
    small, arguments = smalls()[name], []
    for _ in range(rng.choice((1, 1, 2, 4))):
        of_network = rng.random() < 0.4
        data: Any = small.network if of_network else small.chip
        path = rng.choice(list(key_paths(data)))
        value = data
        for key in path:
            value = value[key]
        if isinstance(value, dict | list) and rng.random() < 0.7:
            continue
        key = ".".join(map(str, path))
        new = number_like(rng, value) if rng.random() < 0.7 else json.dumps(value)
        arguments += ["-s", f"{'workload.' if of_network else ''}{key}={new}"]
    return arguments


def _changed(rng: random.Random, before: str, other: str, times: Sequence[int]) -> bytes:
    if rng.random() < 0.7:
        return nudged(rng, before, [other], rng.choice(times))
    return damaged(rng, before, [other], rng.choice(times))


def _set_device(small: Small, device: str) -> str:
    return text(small.chip).replace(f"device: {device}\n", "device: device.yaml\n")


def printed(folder: Path, outcome: Outcome) -> None:
    """What `--json` printed is JSON with finite numbers."""
    if outcome.code == 0:
        json.loads(outcome.out, parse_constant=refuse)


def refuse(word: str) -> None:
    """Refuse a number that JSON has not."""
    raise AssertionError(f"{word} in the result")


def finite(folder: Path, outcome: Outcome) -> None:
    """What lies in a result is JSON with finite numbers."""
    written = folder / "out" / "result.json"
    if written.is_file():
        json.loads(written.read_text(encoding="utf-8"), parse_constant=refuse)


class Run:
    name = "run"
    weight = 2.0
    check = staticmethod(finite)

    @property
    def warm(self) -> list[Case]:
        """Each small chip as it is: kernels for all engines, and the proof that damage alone breaks them."""
        return [
            Case({"chip.yaml": chip.encode(), "net.yaml": network.encode(), **smalls()[name].beside},
                 ["run", "chip.yaml", "-w", "net.yaml"])
            for name in smalls() for chip, network in [texts(name)]
        ]  # fmt: skip

    def case(self, rng: random.Random) -> Case:
        name = rng.choice(tuple(smalls()))
        argv = ["run", "chip.yaml", "-w", "net.yaml"]
        laid = files(rng, name)
        if rng.random() < 0.3:
            argv += overrides(rng, name)
        for options, likelihood in (
            (["--json"], 0.3), (["--out", "out"], 0.3), (["--power", rng.choice(("gated", "ungated"))], 0.1),
            (["--seed", str(rng.choice((1, 2**31, 2**63, 2**64)))], 0.1),
            (["--out", "out", "--trace", rng.choice(("perfetto", "vcd"))], 0.1),
        ):  # fmt: skip
            if rng.random() < likelihood and options[0] not in argv:
                argv += options
        return Case(laid, argv, check=printed if "--json" in argv else None)


KIND = Run()
