"""Small chips and networks, slightly damaged, for `accelsim schedule`."""

from __future__ import annotations

import random

from harness import Case
from kind_run import KIND as RUN
from kind_run import files, overrides
from small import smalls


class Schedule:
    name = "schedule"
    weight = 1.0
    warm = RUN.warm

    def case(self, rng: random.Random) -> Case:
        name = rng.choice(tuple(smalls()))
        argv = ["schedule", "chip.yaml", "-w", "net.yaml"]
        laid = files(rng, name)
        if rng.random() < 0.3:
            argv += overrides(rng, name)
        if rng.random() < 0.3:
            argv += ["--placement", "out/placement.yaml"]
        return Case(laid, argv)


KIND = Schedule()
