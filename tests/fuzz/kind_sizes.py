"""Whatever is far too large: bombs and long files of YAML, sizes in chips and networks, ranges of sweeps, limits."""

from __future__ import annotations

import copy
import random
from typing import Any

from harness import Case
from kind_run import KIND as RUN
from kind_run import texts
from mutate import key_paths
from small import smalls, text

SIZES = (10**5, 10**6, 10**7, 10**9, 2**31 - 1, 2**31, 10**12, 10**18, 10**30)
MEMORY = "800MB"
"""What a run may take: the harness fails one that takes more than 1 GB."""


def bomb(rng: random.Random) -> bytes:
    """Return a YAML text that is large, or becomes so."""
    number = rng.choice((50, 300, 3_000, 40_000, 200_000))
    what = rng.randrange(9)
    if what == 0:  # every list names the one before it several times
        lines = ["a0: &a0 [x, x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
        return "\n".join(lines).encode()
    if what == 1:
        deep = rng.choice(("[", "{a: ", "- ", "? "))
        return (deep * number).encode()
    if what == 2:
        return ("\n".join("  " * min(i, 3_000) + f"k{i}:" for i in range(min(number, 3_000)))).encode()
    if what == 3:
        return b"schema: accelsim/arch@1\ncomponents:\n" + b"".join(b"  c%d: {kind: sram}\n" % i for i in range(number))
    if what == 4:
        return ("schema: accelsim/arch@1\nname: " + rng.choice(("x", "\\", "'", "a ", "é", "\t")) * number).encode()
    if what == 5:
        return b"schema: accelsim/workload@1\ngraph: [" + b"{name: y, op: linear}, " * number + b"]"
    if what == 6:
        return b"schema: accelsim/sweep@1\narchitecture: imssa\naxes: [" + b"{adc.bits: '1:9'}," * number + b"]"
    if what == 7:
        return ("a: " + rng.choice(("9", "0x", "1e", "1_", "-", ".")) * number).encode()
    return b"&a " * 3 + b"".join(b"- &b%d x\n- *b%d\n" % (i, i) for i in range(number))


def enlarged(rng: random.Random, data: Any) -> Any:
    """Return plain data with one to three of its whole numbers far larger, or a list of it far longer."""
    data = copy.deepcopy(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        whole = [(path, value) for path in key_paths(data) if isinstance(value := _at(data, path), int | list | str)]
        path, value = rng.choice([one for one in whole if not isinstance(one[1], bool)])
        if isinstance(value, list):
            value[:] = value * rng.choice((2, 100, 5_000) if len(value) < 20 else (2, 100))
        elif isinstance(value, int):
            _at(data, path[:-1])[path[-1]] = rng.choice(SIZES)
        elif value[:1].isdigit():
            _at(data, path[:-1])[path[-1]] = f"{rng.choice(SIZES)} {value.partition(' ')[2]}".strip()
    return data


def _at(data: Any, path: Any) -> Any:
    for key in path:
        data = data[key]
    return data


def axis(rng: random.Random) -> str:
    """Return what --set of a sweep takes: of very many values, or of long ones."""
    low, high, step = (rng.choice(("0", "1", "1e9", "1e300", "1e999999", "1e-300", "9" * 40, "0.1")) for _ in range(3))
    return rng.choice((
        f"seed_of_none=1:{rng.choice(SIZES)}", f"dac.units={low}:{high}:{step}",
        f"dac.units=1:{10**9};adc.units=1:{10**9}",
        "dac.units=" + ",".join(["1"] * rng.choice((10, 150_000))), "dac.units=" + "[" * 50_000,
        f"dac.units={low} V:{high} V",
    ))  # fmt: skip


class Sizes:
    name = "sizes"
    weight = 1.0
    warm = RUN.warm

    def case(self, rng: random.Random) -> Case:
        what = rng.random()
        if what < 0.25:
            return Case({"big.yaml": bomb(rng)}, ["validate", "big.yaml"], may_write=())
        if what < 0.4:
            options = [["--points", str(rng.choice(SIZES))], ["--seeds", str(rng.choice(SIZES))]]
            argv = ["sweep", "memristor_tile", "-s", axis(rng), "-s", axis(rng), "--out", "out"]
            argv += ["--method", rng.choice(("grid", "lhs", "random")), *rng.choice(options)]
            return Case({}, argv)
        name = rng.choice(tuple(smalls()))
        small, (chip, network) = smalls()[name], texts(name)
        laid = {"chip.yaml": chip.encode(), "net.yaml": network.encode(), **small.beside}
        if what < 0.9:
            if rng.random() < 0.5:
                laid["chip.yaml"] = text(enlarged(rng, small.chip)).encode()
            else:
                laid["net.yaml"] = text(enlarged(rng, small.network)).encode()
        argv = [rng.choice(("run", "run", "schedule")), "chip.yaml", "-w", "net.yaml"]
        if what >= 0.9:
            limit = rng.choice(
                ("points", "ops", "yaml_depth", "yaml_values", "frames", "memory", "state_values", "x", "")
            )
            argv += ["--limit", f"{limit}={rng.choice((*SIZES, 0, -1, 5, '4GB', '1e400', 'nan', ''))}"]
        return Case(
            laid,
            [*argv, "--memory", rng.choice((MEMORY, MEMORY, MEMORY, "1", "5MB", "0", "GB")) if what >= 0.9 else MEMORY],
        )


KIND = Sizes()
