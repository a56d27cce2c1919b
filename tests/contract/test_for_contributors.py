"""What is said to those who work on accelsim holds: CONTRIBUTING.md, the workflows and .ci/run name the same things."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def steps() -> set[str]:
    """Return the steps that .ci/run has."""
    found = re.search(r"^STEPS=\((.+)\)$", CI, re.MULTILINE)
    assert found is not None
    return set(found[1].split())


def pythons() -> set[str]:
    """Return the versions of Python that pyproject.toml names."""
    prefix = "Programming Language :: Python :: 3."
    return {"3." + one.removeprefix(prefix) for one in PROJECT["classifiers"] if one.startswith(prefix)}


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def test_every_supported_python_is_tried() -> None:
    entries = jobs(ROOT / ".github" / "workflows" / "ci.yml")["tests"]["strategy"]["matrix"]["include"]
    assert {entry["python"] for entry in entries} == pythons()
    assert PROJECT["requires-python"] == f">={min(pythons(), key=lambda one: int(one[2:]))}"
    newest = {entry["python"]: bool(entry["newest"]) for entry in entries}
    assert any(newest.values()) and not all(newest.values()), "the newest dependencies, and those that we pin"


def test_the_workflows_run_every_step_of_ci() -> None:
    named: set[str] = set()
    for path in WORKFLOWS:
        for job in jobs(path).values():
            chosen = job.get("strategy", {}).get("matrix", {}).get("steps", [])
            lines = [step["run"] for step in job["steps"] if "run" in step]
            for line in lines:
                if found := re.search(r"bash \.ci/run ([a-z ]+)$", line):
                    named |= set(found[1].split())
            named |= {word for entry in chosen for word in entry.split()}
    assert named == steps()


def test_ci_has_a_function_for_every_step_and_knows_no_other() -> None:
    assert all(re.search(rf"^{name}\(\) {{$", CI, re.MULTILINE) for name in steps())
    ran = subprocess.run(["bash", ROOT / ".ci" / "run", "nonsense"], capture_output=True, text=True)
    assert ran.returncode == 2 and "no step 'nonsense'" in ran.stdout
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"]).returncode == 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_asks_for_no_more_than_it_needs(path: Path) -> None:
    """Rights to read alone, a limit of time, and every action at a version."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        if "permissions" not in job:
            assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert "run" in step or re.fullmatch(r"[\w.-]+/[\w.-]+@[\w./]+", step["uses"])


def test_what_the_guide_names_is_there() -> None:
    """Paths in code spans and links; commands of blocks begin with a program that the guide installs."""
    spans = [one for line in re.findall(r"`([^`\n]+)`", GUIDE) for one in shlex.split(line)]
    roots = ("accelsim/", "arch/", "tests/", "workloads/", ".ci/", ".github/")
    paths = {one for one in spans if one.startswith(roots)} | set(re.findall(r"\]\(([^)#:]+)\)", GUIDE))
    assert len(paths) > 20
    missing = [one for one in sorted(paths) if not any(ROOT.glob(one.rstrip("/")))]
    assert not missing
    wanted = {word for line in re.findall(r"bash \.ci/run((?: [a-z]+)*)", GUIDE) for word in line.split()}
    assert wanted <= steps()
    extras = re.findall(r"\.\[([a-z,]+)\]", GUIDE)
    assert extras and {one for each in extras for one in each.split(",")} <= set(PROJECT["optional-dependencies"])


def test_dev_brings_every_extra() -> None:
    extras = PROJECT["optional-dependencies"]

    def reached(name: str) -> set[str]:
        inner = [re.match(r"accelsim-speech\[(.+)\]", one) for one in extras[name]]
        return {name}.union(*(reached(each) for one in inner if one for each in one[1].split(",")))

    assert reached("dev") == set(extras)


@pytest.mark.parametrize("module", ["accelsim", "accelsim.kernels.ssm"])
def test_a_warning_of_our_own_code_is_an_error(module: str) -> None:
    code = compile("import warnings; warnings.warn('old', DeprecationWarning)", "made_up.py", "exec")
    with pytest.raises(DeprecationWarning, match="old"):
        exec(code, {"__name__": module})
    with pytest.warns(DeprecationWarning, match="old"):
        exec(code, {"__name__": "accelsim_of_somebody_else"})


def test_notes_of_a_release(tmp_path: Path) -> None:
    """Tag, pyproject.toml, CITATION.cff and a section that says something; all that differs is told at once."""
    sys.path.insert(0, str(ROOT / ".github"))
    try:
        from release_notes import notes
    finally:
        sys.path.pop(0)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n', encoding="utf-8")
    (tmp_path / "CITATION.cff").write_text("version: 1.2.0\n", encoding="utf-8")
    log = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n- Faster.\n\n## [1.1.0]\n\n- First.\n"
    (tmp_path / "CHANGELOG.md").write_text(log, encoding="utf-8")
    assert notes("v1.2.0", tmp_path) == "- Faster."
    with pytest.raises(ValueError) as found:
        notes("v1.3.0", tmp_path)
    assert [line.split(":")[0] for line in str(found.value).splitlines()] == [
        "pyproject.toml", "CITATION.cff", "CHANGELOG.md",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_a_template_of_an_issue_is_whole(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    identities = [field["id"] for field in form["body"]]
    assert len(identities) == len(set(identities)) and all(field["attributes"]["label"] for field in form["body"])
    assert any(field.get("validations", {}).get("required") for field in form["body"])
