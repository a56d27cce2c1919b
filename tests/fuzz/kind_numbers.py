"""Numbers at their edges, in every file that a run reads and on its command line: refused, or figures that are such."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from harness import Case, Outcome
from kind_validate import ROOT, beside, shelves

from accelsim.schema import load_yaml

UNIT = re.compile(r"([-+]?[0-9.][0-9._eE+-]*)\s*([A-Za-z°%/0-9^*]*[A-Za-z°%])")
"""A number with its unit, as files write them."""
EDGES = (
    "0", "-0.0", "1", "-1", "2", "3", "7", "8", "31", "32", "33", "63", "64", "65", "100", "1000", "65536", "1000000",
    "2147483647", "2147483648", "-2147483648", "4294967296", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "1" + "0" * 30, "1e-324", "5e-324", "2.3e-308", "1e-300", "1e-160",
    "1e-100", "1e-40", "1e-30", "1e-20", "1e-15", "1e-12", "1e-9", "1e-6", "1e-3", "0.1", "0.5", "0.999999", "1.5",
    "1e3", "1e6", "1e9", "1e12", "1e15", "1e18", "1e20", "1e30", "1e40", "1e100", "1e160", "1e300", "1.7e308", "1e309",
    "-1e-300", "-1e30", "-1e300", "0." + "0" * 80 + "1", "0.1" + "1" * 60, "1" + "0" * 80,
)  # fmt: skip
"""What a number becomes, its unit as it was."""
FACTORS = (0.5, 2.0, 0.1, 10.0, 1e-3, 1e3, 1e-6, 1e6, 1.0000001)
_LEAF = "number-at-its-edge"

_SEEDS = Path(__file__).parent / "seeds"
_TILES = {
    f"components.{part}.tiles": 24
    for part in ("tile_inputs", "dac", "crossbar", "sample_hold", "adc", "shift_add", "accumulator")
}
_PLACED = {"op:linear": {"engine": "crossbar_tiles"}, "op:conv": {"engine": "digital"}, "*": {"engine": "digital"}}
CHIPS: dict[str, tuple[Path, dict[str, Any]]] = {
    "rsnn28nm": (ROOT / "workloads/rsnn_paper_activity/workload.yaml", {"workload.inputs.frames": 8}),
    "memristor_tile": (_SEEDS / "workload_codes.yaml", {}),
    "neurram_core": (_SEEDS / "workload_codes.yaml", {}),
    "isaac_tile": (_SEEDS / "workload_codes.yaml", {}),
    "imssa": (
        ROOT / "workloads/s4d_digits/workload.yaml",
        {"workload.inputs.dataset": "librivox_sample", "workload.inputs.seconds": 0.2, "workload.score": None},
    ),
    "edge_npu": (_SEEDS / "workload_stream.yaml", {"pacing.frame_period": "10 ms"}),
    "memristor_conformer": (_SEEDS / "workload_stream.yaml", _TILES | {"placement": _PLACED}),
    "conformer_digital28": (_SEEDS / "workload_stream.yaml", {}),
    "wake_word_npu": (ROOT / "workloads/wake_word/workload.yaml", {"workload.inputs.seconds": 0.1}),
}
"""Chip -> a network, and the keys of both that make a run of it short and need no data but what ships."""
OPTIONS = {"--seed": (), "--trace-window": (":", "ms:", "s:", "s"), "--limit": ("frames=", "ops=", "memory=")}


@cache
def text_of(path: Path) -> str:
    return json.dumps(load_yaml(path).data)


@cache
def chip_files(name: str) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return all YAML files that a run of a chip reads, by their names beside it, and the others."""
    network, settings = CHIPS[name]
    found = {"chip.yaml": _library(f"arch/{name}.yaml"), "workload.yaml": json.loads(text_of(network))}
    for key, value in {"workload": "workload.yaml", **settings}.items():
        data, keys = found["chip.yaml"], key.split(".")
        if keys[0] == "workload" and len(keys) > 1:
            data, keys = found["workload.yaml"], keys[1:]
        for parent in keys[:-1]:
            data = data[parent]
        data[keys[-1]] = value
    cost = found["chip.yaml"]["technology"]["cost"]
    found[f"cost/{cost}.yaml"] = _library(f"arch/cost/{cost}.yaml")
    for base in _bases(found[f"cost/{cost}.yaml"]):
        found[f"cost/{base}.yaml"] = _library(f"arch/cost/{base}.yaml")
    for part in found["chip.yaml"]["components"].values():
        if "device" in part:
            found[f"devices/{part['device']}.yaml"] = _library(f"arch/devices/{part['device']}.yaml")
    tensors = [found["workload.yaml"].get(key) for key in ("weights", "reference_weights")]
    others = {file: (network.parent / file).read_bytes() for file in tensors if file}
    return {file: json.dumps(data, indent=1) for file, data in found.items()}, others


def _library(name: str) -> Any:
    return json.loads(text_of(ROOT / name))


def _bases(table: dict[str, Any]) -> Iterator[str]:
    bases = table.get("base", [])
    for base in [bases] if isinstance(bases, str) else bases:
        yield base if isinstance(base, str) else base["table"]


def is_number(data: Any) -> bool:
    return isinstance(data, int | float) and not isinstance(data, bool)


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every number and quantity in plain data."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(value, (*path, key))
    elif is_number(data) or (isinstance(data, str) and UNIT.fullmatch(data)):
        yield path


def at_its_edge(rng: random.Random, value: Any) -> str:
    """Return another number in the place of one, as it is written in a file, with the same unit."""
    number, unit = UNIT.fullmatch(value).groups() if isinstance(value, str) else (str(value), "")
    if rng.random() < 0.25 and math.isfinite(float(number)):
        found = float(number) * rng.choice(FACTORS)
        new = str(int(found)) if isinstance(value, int) and found.is_integer() else repr(found)
    else:
        new = rng.choice(EDGES)
    return f"{new} {unit}" if unit else new


def changed(rng: random.Random, text: str, times: int = 1) -> str:
    """Return a YAML text in JSON with a few numbers at their edges."""
    data = json.loads(text)
    written = {}
    for turn in range(times):
        if not (paths := list(leaves(data))):
            break
        path = rng.choice(paths)
        part = data
        for key in path[:-1]:
            part = part[key]
        new = at_its_edge(rng, part[path[-1]])
        part[path[-1]] = f"{_LEAF}{turn}"
        written[f'"{_LEAF}{turn}"'] = json.dumps(new) if " " in new else new
    text = json.dumps(data, indent=1, ensure_ascii=False)
    for mark, new in written.items():
        text = text.replace(mark, new)
    return text


def figures(data: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a result with the path to it."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from figures(value, f"{path}.{key}")
    elif is_number(data):
        yield path, data


SIGNED = ("accuracy", "residue")
"""Figures that may be below 0: an accuracy that is lost, what a read is off by."""


class Numbers:
    name = "numbers"
    weight = 3.0

    warm = tuple(
        ["run", name, "-w", str(network), *(f"--set={key}={json.dumps(value)}" for key, value in settings.items())]
        for name, (network, settings) in CHIPS.items()
    )

    def case(self, rng: random.Random) -> Case:
        if rng.random() < 0.15:
            return self.other_file(rng)
        whole, others = chip_files(rng.choice(list(CHIPS)))
        files = dict(whole)
        # The chip and its network more often than a table, which is long and whose rows are alike.
        names = [name for name in files for _ in range(1 if "/" in name else 3)]
        argv = ["run", "chip.yaml", "--out", "out"]
        for _ in range(rng.choice((1, 1, 1, 2))):
            name = rng.choice(names)
            files[name] = changed(rng, whole[name], rng.choice((1, 1, 2)))
        if rng.random() < 0.1:
            option, forms = rng.choice(list(OPTIONS.items()))
            number = rng.choice(EDGES)
            form = rng.choice(forms or ("",))
            argv += [option, form + number if form.endswith("=") else number + form]
            argv += ["--trace", "perfetto"] if option == "--trace-window" else []
        return Case({name: text.encode() for name, text in files.items()} | others, argv)

    @staticmethod
    def other_file(rng: random.Random) -> Case:
        """Return a case of a file that `validate` reads alone."""
        path = rng.choice(rng.choice(tuple(shelves().values())))
        text = changed(rng, text_of(path), rng.choice((1, 2, 3)))
        return Case({**beside(path), path.name: text.encode()}, ["validate", path.name], may_write=())

    @staticmethod
    def check(folder: Path, outcome: Outcome) -> None:
        """Every figure of a result is finite, and none is negative that cannot be."""
        path = folder / "out" / "result.json"
        if not path.is_file():
            return
        for name, value in figures(json.loads(path.read_text(encoding="utf-8"))):
            assert math.isfinite(value), f"not a number: {name}"
            assert value >= 0 or any(word in name for word in SIGNED), f"a negative figure: {name}"
            assert not isinstance(value, int) or value < 2**63, f"more than 64 bits: {name}"


KIND = Numbers()
