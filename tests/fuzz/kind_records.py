"""`accelsim report` of a result.json that somebody else wrote."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import damaged_json
from harness import Case, Outcome
from pages import full_run


def check_page(folder: Path, outcome: Outcome) -> None:
    """Assert that a page that was made is UTF-8, and that the data in it is JSON, as every parser reads it."""
    page = folder / "out" / "report.html"
    if page.exists():
        assert outcome.code == 0, "a page of a record that was refused"
        _, _, rest = page.read_bytes().decode().partition('<script type="application/json" id="data">')
        try:
            json.loads(rest.partition("</script>")[0], parse_constant=_refuse)
        except ValueError as error:
            raise AssertionError(f"the data of a page is not JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


@cache
def record() -> Mapping[str, Any]:
    return json.loads(full_run().to_json())


class Records:
    name = "records"
    weight = 1.0
    check = staticmethod(check_page)

    @property
    def warm(self) -> tuple[Case, ...]:
        files = {"run/result.json": json.dumps(record()).encode()}
        report = ["report", "run", "--out", "out", "--format"]
        return Case(files, [*report, "html"]), Case(files, [*report, "svg"]), Case(files, [*report, "png,pdf"])

    def case(self, rng: random.Random) -> Case:
        content = damaged_json.spoilt_text(rng, damaged_json.damaged(rng, record()))
        if rng.random() < 0.1:
            formats = rng.choice(("svg", "png", "pdf"))
            return Case({"run/result.json": content}, ["report", "run", "--out", "out", "--format", formats])
        return Case({"run/result.json": content}, ["report", "run", "--out", "out"])


KIND = Records()
