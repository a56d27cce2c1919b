"""Every block of README.md and docs/ is tried, in the order of its page and in one folder: commands run and print what
is shown, Python runs, files are valid. What is not tried says why, in a comment before it: tests/prose.py.

`python tests/docs/test_blocks.py docs/start.md` prints what the blocks of a page print, for whoever writes one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import prose
import pytest
import yaml

from accelsim import library

if not (library.root() / "docs").is_dir():
    pytest.skip("the pages come with a source checkout", allow_module_level=True)

SESSION = Path(__file__).with_name("session.py")
LANGUAGES = {"sh", "python", "output", "yaml", "toml"}


class Session:
    """A folder of a reader, and a Python process in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("arch", "workloads"):  # as in a checkout
            (folder / name).symlink_to(library.root() / name)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "COLUMNS": "100",
            "MPLBACKEND": "agg",
            "ACCELSIM_DATA": str(folder / "data"),  # a reader has what ships, and nothing else
        }
        self.process = subprocess.Popen(
            [sys.executable, str(SESSION)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def attempt(self, language: str, text: str, place: str) -> tuple[int, str]:
        """Return the exit code of a block and what it printed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"language": language, "text": text, "place": place}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline() or '{"code": -1, "printed": "the process ended"}')
        return answer["code"], answer["printed"]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def lacking(block: prose.Block) -> list[str]:
    """Return what a block needs and this machine has not."""
    names = [name.strip() for name in block.marks.get("needs", "").split(",") if name.strip()]
    return [name for name in names if not (shutil.which(name) or importlib.util.find_spec(name))]


def deeply(old: Any, new: Any) -> Any:
    """Return a mapping with the keys of another put into it."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: deeply(old.get(key), value) for key, value in new.items()}
    return new


def try_page(page: str, folder: Path, slow: bool, tell: Callable[[str], None] = lambda text: None) -> list[str]:
    """Try the blocks of a page and return what is wrong, each with its line; ``tell`` is told what every one prints."""
    wrong: list[str] = []
    printed: str | None = None
    session = Session(folder)
    try:
        for block in prose.blocks(prose.words_of(page)):
            place = f"{page}:{block.line}"
            if block.language == "output":
                if printed is not None:
                    wrong += [f"{place}: not printed: {line}" for line in prose.not_printed(block.text, printed)]
                    if wrong:
                        wrong.append(f"but\n{printed}")
                continue
            printed = None
            if "not run" in block.marks or ("slow" in block.marks and not slow) or lacking(block):
                continue
            if file := block.file():
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text + "\n", encoding="utf-8")
            elif block.language in ("sh", "python"):
                code, printed = session.attempt(block.language, block.text, place)
                tell(f"=== {place}: {code}\n{printed}")
                if code != int(block.marks.get("exit", 0)):
                    wrong.append(f"{place}: ended with {code}:\n{printed}")
            elif "part of" in block.marks:
                chip = library.find(block.marks["part of"], "arch")
                whole = deeply(yaml.safe_load(chip.read_text(encoding="utf-8")), yaml.safe_load(block.text))
                (folder / "part.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
                code, said = session.attempt("sh", "accelsim validate part.yaml", place)
                if code:
                    wrong.append(f"{place}: {said}")
            if wrong:  # what comes later stands on what came before
                break
    finally:
        session.end()
    return wrong


def pages_with_blocks(slow: bool) -> list[str]:
    found = {page: prose.blocks(prose.words_of(page)) for page in prose.pages()}
    return [page for page, blocks in found.items() if any(("slow" in one.marks) or not slow for one in blocks)]


@pytest.mark.parametrize("page", pages_with_blocks(slow=False))
def test_blocks_do_what_they_say(page: str, tmp_path: Path) -> None:
    wrong = try_page(page, tmp_path, slow=False)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with_blocks(slow=True))
def test_slow_blocks_do_what_they_say(page: str, tmp_path: Path) -> None:
    wrong = try_page(page, tmp_path, slow=True)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", prose.pages())
def test_every_block_is_tried_or_says_why_not(page: str) -> None:
    wrong = []
    blocks = prose.blocks(prose.words_of(page))
    for before, block in zip([None, *blocks], blocks, strict=False):
        place = f"{page}:{block.line}"
        if "not run" in block.marks:
            if len(block.marks["not run"]) < 12:
                wrong.append(f"{place}: no reason")
            continue
        if block.language not in LANGUAGES:
            wrong.append(f"{place}: a block of '{block.language}', expected one of {', '.join(sorted(LANGUAGES))}")
        elif block.language == "output" and (
            before is None or before.language not in ("sh", "python") or "not run" in before.marks
        ):
            wrong.append(f"{place}: the output of nothing: no block of sh or python before it that is run")
        elif block.language in ("yaml", "toml") and not block.file() and "part of" not in block.marks:
            wrong.append(f"{place}: say which file it is ('# NAME.yaml'), or of which chip it is a part")
        elif name := block.file():
            used = [one.text for one in blocks if one.line > block.line and one.language in ("sh", "python", "yaml")]
            stem = Path(name).stem
            folder = name.partition("/")[0] if "/" in name else name
            if not any(word in text for text in used for word in (name, folder, stem)):
                wrong.append(f"{place}: nothing after it uses {name}")
    assert not wrong, "\n".join(wrong)


def test_marks_and_outputs_by_hand() -> None:
    page = (
        "<!-- needs: nothing_of_that_name -->\n<!-- exit: 2 -->\n\n```sh\naccelsim run\n```\n\n"
        "- in a list:\n\n  ```yaml\n  # a/b.yaml\n  x: 1\n  ```\n\n```{toctree}\nindex\n```\n\n```python\n1\n```\n"
    )
    first, second, third = prose.blocks(page)
    assert (first.line, first.language, first.text) == (5, "sh", "accelsim run")
    assert first.marks == {"needs": "nothing_of_that_name", "exit": "2"} and lacking(first)
    assert (second.file(), second.text, second.marks) == ("a/b.yaml", "# a/b.yaml\nx: 1", {})
    assert third.language == "python" and third.file() is None
    assert not prose.not_printed("a  1\n...\nc", "a 1\nb\n c\n")
    assert prose.not_printed("c\na 1", "a 1\nb\n c\n") == ["a 1"], "in another order"
    assert deeply({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}) == {"a": {"b": 1, "c": 3}}


def test_what_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "prints": "```sh\naccelsim list\n```\n\n```output\nnothing of the kind\n```\n",
        "fails": "```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n",
        "part": "<!-- part of: memristor_tile -->\n```yaml\ncomponents: {adc: {units: -1}}\n```\n",
        "exits": "<!-- exit: 2 -->\n```sh\naccelsim list\n```\n",
        "right": "```sh\necho 1 | cat\naccelsim list\n```\n\n```output\n1\n```\n\n```python\nprint(2)\n```\n"
        "\n```output\n2\n```\n",
    }
    monkeypatch.setattr(prose, "words_of", said.__getitem__)
    for name in said:
        (tmp_path / name).mkdir()
    wrong = {name: " ".join(try_page(name, tmp_path / name, slow=False)) for name in said}
    assert "prints:6: not printed: nothing of the kind" in wrong["prints"]
    assert "fails:6: ended with 1" in wrong["fails"] and 'File "fails", line 6' in wrong["fails"]
    assert "must be greater than 0, found -1" in wrong["part"]
    assert "exits:3: ended with 0" in wrong["exits"]
    assert not wrong["right"]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            print("\n".join(try_page(name, Path(place), slow=True, tell=print)))
