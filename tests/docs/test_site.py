"""The site of docs/: it builds offline without a warning, its links lead somewhere, and its reference lacks nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated

import prose
import pytest
from markdown_it import MarkdownIt
from pydantic import Field

from accelsim import library
from accelsim.explore.validate import SCHEMAS, schema_of
from accelsim.plugins import registries

DOCS = library.root() / "docs"
if not DOCS.is_dir():
    pytest.skip("the site comes with a source checkout", allow_module_level=True)

REPOSITORY = re.compile(r"https?://")


@cache
def reference() -> ModuleType:
    """Return docs/_ext/reference.py."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "_ext" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def made() -> dict[str, str]:
    return reference().pages()


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra docs brings Sphinx")
    for name in ("myst_parser", "furo", "sphinx_copybutton", "sphinx_design"):
        pytest.importorskip(name, reason="the extra docs brings it")
    # No proxy leads anywhere: a page that needed the network would fail.
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "tree"),
         str(DOCS), str(tmp_path / "html")],
        env={**os.environ, **offline, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert "<title>" in first
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', first)
    assert not loaded, "a page loads what is elsewhere"


@pytest.mark.parametrize("registry", registries(), ids=lambda registry: registry.group)
def test_all_that_is_registered_has_its_place(registry: object) -> None:
    pages = "\n".join(made().values())
    missing = [name for name in registry if f"## `{name}`" not in pages and f"| `{name}` |" not in pages]  # type: ignore[attr-defined]
    assert not missing, f"docs/_ext/reference.py says nothing of {missing}"


@pytest.mark.parametrize("name", [*SCHEMAS, "result"])
def test_every_key_of_every_file_is_named(name: str) -> None:
    schema = schema_of(name)
    pages = "\n".join(made().values())
    models = [schema, *schema.get("$defs", {}).values()]
    keys = {key for model in models for key in model.get("properties", {})} - {"schema"}
    assert keys, name
    # The tag of a mapping (`kind: adc`) is the heading of its section.
    missing = [key for key in sorted(keys - {"kind", "op", "clock"}) if f"| `{key}` |" not in pages]
    assert not missing, missing


def test_a_key_stands_with_its_limits_its_default_and_its_effect() -> None:
    from accelsim.components.kind import ComponentSpec
    from accelsim.schema import Effect, PositiveEnergy, json_schema

    class Dither(ComponentSpec):
        """Adds ``steps`` of a|b, see `accelsim.kernels`."""

        effects = {"steps": Effect(values="either", energy="more")}
        steps: Annotated[int, Field(ge=2, le=9)] = 3
        price: PositiveEnergy

    schema = json_schema(Dither)
    lines = reference().keys_table(schema, {}, {}, Dither, skip=("kind", "clock")).splitlines()
    assert lines[0] == "| key | value | default | when it grows |"
    assert lines[2] == "| `steps` | whole number at least 2 and at most 9 | `3` | values change, energy more |"
    assert lines[3].startswith("| `price` | an energy with its unit, greater than 0, such as `")
    assert "| required |" in lines[3]
    assert reference().text(Dither.__doc__) == r"Adds `steps` of a\|b, see `accelsim.kernels`."


@pytest.mark.parametrize("page", prose.pages())
def test_links_lead_somewhere(page: str) -> None:
    """Files and headings of this checkout, offline; `python -m sphinx -b linkcheck docs public` looks at the web."""
    wrong = []
    here = (library.root() / page).parent
    for token in MarkdownIt().enable("table").parse(prose.words_of(page)):
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if not isinstance(target, str) or REPOSITORY.match(target):
                continue
            path, _, anchor = target.partition("#")
            file = (here / path).resolve() if path else library.root() / page
            if "reference/" in target and file.name in made():
                words = made()[file.name]
            elif not file.exists():
                wrong.append(f"{page}:{(token.map or [0])[0] + 1}: nothing at {target}")
                continue
            else:
                words = file.read_text(encoding="utf-8") if file.suffix == ".md" else ""
            if anchor and anchor not in anchors(words):
                wrong.append(f"{page}:{(token.map or [0])[0] + 1}: no heading #{anchor} in {path or page}")
    assert not wrong, "\n".join(wrong)


def anchors(words: str) -> set[str]:
    """Return the anchors of a page's headings."""
    heads = re.findall(r"^#{1,6} (.+)$", words, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
