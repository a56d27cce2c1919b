"""What .ci/audit.py makes of pip-audit's report."""

from __future__ import annotations

import csv
import importlib.util
from datetime import date
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
if not CI.exists():
    pytest.skip("no .ci beside the tests: an unpacked source distribution", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("audit", CI / "audit.py")
audit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(audit)

FOUND = {"id": "PYSEC-2025-1", "aliases": ["CVE-2025-1"], "fix_versions": ["2.1"], "description": ""}
REPORT = {
    "dependencies": [
        {"name": "held", "version": "1.0", "vulns": []},
        {"name": "hit", "version": "2.0", "vulns": [FOUND]},
        {"name": "unknown", "skip_reason": "Dependency not found on PyPI"},
    ]
}


def test_a_vulnerability_is_told() -> None:
    assert audit.unexplained(REPORT, []) == ["hit 2.0: PYSEC-2025-1, mended in 2.1"]


@pytest.mark.parametrize("name", ["PYSEC-2025-1", "CVE-2025-1"])
def test_an_exception_holds_for_its_package_alone(name: str) -> None:
    assert audit.unexplained(REPORT, [{"package": "hit", "advisory": name}]) == []
    assert audit.unexplained(REPORT, [{"package": "held", "advisory": name}])


def test_exceptions_are_dated_and_explained() -> None:
    with audit.EXCEPTIONS.open(encoding="utf-8", newline="") as file:
        assert csv.DictReader(file).fieldnames == ["advisory", "package", "date", "reason"]
    for row in audit.exceptions():
        assert date.fromisoformat(row["date"]) and len(row["reason"]) > 20 and row["advisory"] and row["package"]
