"""Print what CHANGELOG.md says of a release: python .github/release_notes.py v1.2.3

Exits 1 where the tag is not the version of pyproject.toml and CITATION.cff, or the changelog has no section for it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(tag: str, root: Path = ROOT) -> str:
    """Return the section of a tag; raises ValueError with all that does not fit it."""
    version = tag.removeprefix("v")
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = re.search(r"^version: *(\S+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    sections = re.split(r"^## \[(.+?)\].*$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    changes = dict(zip(sections[1::2], sections[2::2], strict=True))
    wrong = []
    if declared != version:
        wrong.append(f"pyproject.toml: version {declared}, the tag is {tag}")
    if cited is None or cited[1] != version:
        wrong.append(f"CITATION.cff: version {cited[1] if cited else 'missing'}, the tag is {tag}")
    if not changes.get(version, "").strip():
        wrong.append(f"CHANGELOG.md: nothing under '## [{version}]'")
    if wrong:
        raise ValueError("\n".join(wrong))
    return changes[version].strip()


if __name__ == "__main__":
    try:
        print(notes(sys.argv[1]))
    except ValueError as error:
        sys.exit(str(error))
