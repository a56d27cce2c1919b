"""Licences of what accelsim depends on, from installed metadata.

    python tests/licences.py            writes licences.csv anew; what a package is used for is kept
    python tests/licences.py --check    exit 1 where something installed has a licence that is not permitted

Both want all extras installed: pip install -e '.[test,plots,dev]'.
"""

from __future__ import annotations

import csv
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FILE = ROOT / "licences.csv"
COLUMNS = ["package", "versions", "extras", "licence", "used_for"]
_OWN = "accelsim-speech"

# SPDX identifiers that a dependency may have: permissive ones, and those whose terms end at the package's own files.
PERMITTED = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU",
    "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
# An exception of a licence that is not permitted by itself: the run-time libraries of GCC, in wheels of SciPy.
PERMITTED_WITH = {"Apache-2.0 WITH LLVM-exception", "GPL-3.0-or-later WITH GCC-exception-3.1"}
# Tests compare with it, accelsim does not import it, and nothing of it is shipped.
PERMITTED_IN_TESTS = {"LGPL-3.0"}

# Metadata has free text; "BSD" alone does not say which of its forms.
_SPDX = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License v2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "GNU LESSER GENERAL PUBLIC LICENSE": "LGPL-3.0",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSF": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages whose metadata names no licence: read in the package's repository.
_READ_IN_REPOSITORY = {"tflite-micro": "Apache-2.0", "namex": "Apache-2.0"}


def licence(found: Distribution) -> str:
    """Return the SPDX expression of an installed distribution, '' where its metadata names none that is known."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    named = [(metadata.get("License") or "").strip().partition("\n")[0].strip()]
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if "License ::" in line]
    known = [_SPDX.get(text, text) for text in named + classifiers]
    known = [text for text in known if _allowed(text, PERMITTED | PERMITTED_IN_TESTS)]
    exact = [text for text in known if text != "BSD"]
    return (exact or known or [_READ_IN_REPOSITORY.get(canonicalize_name(metadata["Name"]), "")])[0]


def permitted(expression: str, extras: set[str]) -> bool:
    """Return whether a dependency of these extras ('' for those of accelsim itself) may have this licence."""
    tests_alone = extras <= {"test", "test-import"}
    return _allowed(expression, PERMITTED | PERMITTED_IN_TESTS if tests_alone else PERMITTED)


def _allowed(expression: str, known: set[str]) -> bool:
    """Return whether an SPDX expression of AND and OR, without parentheses, leaves nothing but known licences."""
    ways = re.split(r"\s+OR\s+", expression)
    return any(all(part in known or part in PERMITTED_WITH for part in re.split(r"\s+AND\s+", way)) for way in ways)


def declared() -> dict[str, tuple[str, set[str]]]:
    """Return what pyproject.toml declares: {package: (versions, extras)}, '' for what accelsim itself needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, tuple[str, set[str]]] = {}
    for extra, lines in groups.items():
        for requirement in map(Requirement, lines):
            if requirement.name != _OWN:
                name = canonicalize_name(requirement.name)
                versions, extras = found.setdefault(name, (str(requirement.specifier), set()))
                assert versions == str(requirement.specifier), f"{name} is declared with two ranges"
                extras.add(extra)
    return found


def installed() -> Iterator[tuple[str, Distribution, set[str], set[str]]]:
    """Yield all that the declared packages need, themselves included: name, distribution, extras, packages that ask."""
    extras = {name: set(of) for name, (_, of) in declared().items()}
    asked: dict[str, set[str]] = {name: set() for name in extras}
    there: dict[str, Distribution] = {}
    waiting = [(name, "") for name in extras]
    seen = set()
    while waiting:
        name, option = waiting.pop()
        if (name, option, tuple(sorted(extras[name]))) in seen:
            continue
        seen.add((name, option, tuple(sorted(extras[name]))))
        try:
            there[name] = distribution(name)
        except PackageNotFoundError:  # for another platform, or an extra that is not installed
            continue
        for requirement in map(Requirement, there[name].requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": option}):
                needed = canonicalize_name(requirement.name)
                extras.setdefault(needed, set()).update(extras[name])
                asked.setdefault(needed, set()).add(name)
                waiting += [(needed, each) for each in ("", *requirement.extras)]
    for name, found in sorted(there.items()):
        yield name, found, extras[name], asked[name]


def rows() -> list[dict[str, str]]:
    """Return what licences.csv has."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _written() -> None:
    kept = {row["package"]: row["used_for"] for row in rows()} if FILE.exists() else {}
    direct = declared()
    lines = []
    for name, found, extras, asked in installed():
        versions = direct[name][0] if name in direct else ""
        use = kept.get(name, "") if name in direct else f"needed by {', '.join(sorted(asked))}"
        shown = direct[name][1] if name in direct else extras
        lines.append([name, versions, " ".join(sorted(each or "accelsim" for each in shown)), licence(found), use])
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(lines, key=lambda line: (not line[1], line[0])))


def _check() -> int:
    listed = {row["package"] for row in rows()}
    wrong = 0
    count = 0
    for name, found, extras, asked in installed():
        count += 1
        text = licence(found)
        by = f", needed by {', '.join(sorted(asked))}" if asked else ""
        if not permitted(text, extras):
            print(f"{name} {found.version}{by}: licence {text or 'unknown'!r} is not permitted")
            wrong += 1
        elif name not in listed:
            print(f"{name} {found.version}{by}: {text}, not in {FILE.name}; python tests/licences.py writes it anew")
    print(f"{count} packages, {wrong} with a licence that is not permitted")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(_check())
    _written()
