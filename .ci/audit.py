"""Known vulnerabilities of what an environment has, with pip-audit: python .ci/audit.py SITE_PACKAGES

Exit 1 where one is neither mended by an update nor explained in audit_exceptions.csv: advisory (its identifier or an
alias), package, date of the decision, reason. Exit 0 with a word where the service of advisories does not answer.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

EXCEPTIONS = Path(__file__).with_name("audit_exceptions.csv")


def exceptions() -> list[dict[str, str]]:
    with EXCEPTIONS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def unexplained(report: dict[str, Any], explained: list[dict[str, str]]) -> list[str]:
    """Return a line for each vulnerability of pip-audit's report (JSON) that no exception names."""
    accepted = {(row["package"], row["advisory"]) for row in explained}
    return [
        f"{found['name']} {found['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'no version'}"
        for found in report["dependencies"]
        for one in found.get("vulns", [])
        if not any((found["name"], name) in accepted for name in (one["id"], *one.get("aliases", [])))
    ]


def main() -> int:
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--path",
        sys.argv[1],
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    try:
        report = json.loads(done.stdout)
    except ValueError:  # nothing came: no network
        print(f"not audited: {(done.stderr.strip().splitlines() or ['pip-audit said nothing'])[-1]}")
        return 0
    audited = [found["name"] for found in report["dependencies"] if "skip_reason" not in found]
    if not audited:
        print(f"not audited: the service knows none of {len(report['dependencies'])} packages; a mirror, perhaps")
        return 0
    wrong = unexplained(report, exceptions())
    print(
        *wrong, f"{len(audited)} of {len(report['dependencies'])} packages audited, {len(wrong)} to look at", sep="\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
