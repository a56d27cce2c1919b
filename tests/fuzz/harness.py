"""A fuzzer of the command line: damaged files and options go in, and whatever is no clean end is a fault.

A kind of input is a module ``kind_NAME.py`` of this folder with an object ``KIND`` (see `Kind`); it is found by being
there. `Fuzzer` runs a case in a child of a warm process (server.py), `faults` judges the outcome, `smaller` shrinks a
case that failed, and `keep` puts it into the corpus, which test_corpus.py replays.

    python -m pytest -m fuzz --count 10000 --seed 7 -k validate
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from accelsim.errors import show
from accelsim.text import printable

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"

EXIT_CODES = (0, 1, 2, 130, 143)
CPU_SECONDS = 10.0
PEAK_BYTES = 1_000_000_000
"""Of a child: what it took beyond the warm parent's memory, and what a process of its own has at the start."""
FOLDERS = ("ACCELSIM_DATA", "ACCELSIM_CACHE")
"""Variables that name a folder; those of a case are relative to its working folder."""
TRACEBACK = "Traceback (most recent call last)"
_PATH_IN_TRACEBACK = re.compile(r'File "([^"]+)", line \d+, in (\S+)')
_WARNING = re.compile(r"^\S+\.py:\d+: \w*Warning: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """How a command line ended: exit code or signal, what it printed, what it took, and what it changed elsewhere.

    ``cpu`` and ``wall`` in seconds, ``peak`` in bytes of memory; ``changes`` are paths that it may not write.
    """

    code: int | None
    signal: int | None
    out: str
    err: str
    cpu: float
    wall: float
    peak: int
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One input: files laid into an empty working folder, and the arguments of `accelsim`, run there.

    ``may_write``: names below the folder that the command may write; everything else is a fault. ``env``: variables; a
    relative ACCELSIM_DATA or ACCELSIM_CACHE is made absolute. ``check``: further assertions on what came out, given
    the working folder.
    """

    files: Mapping[str, bytes]
    argv: Sequence[str]
    may_write: Sequence[str] = ("out",)
    env: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Path, Outcome], None] | None = None


class Kind(Protocol):
    """One kind of input.

    ``weight`` is its share of ``--count``. It may have ``warm``, command lines (lists of arguments, or cases) that the
    parent runs once so that what they load is there in every child; and ``check(folder, outcome)``, assertions on every
    outcome, those of the corpus too.
    """

    name: str
    weight: float

    def case(self, rng: random.Random) -> Case:
        """Return an input; the same for the same state of the generator."""
        ...


def kinds() -> dict[str, Kind]:
    """Return all kinds by name."""
    found = [importlib.import_module(path.stem).KIND for path in sorted(HERE.glob("kind_*.py"))]
    return {kind.name: kind for kind in found}


def shares(count: int) -> dict[str, int]:
    """Return how many of so many inputs are of each kind, one at least."""
    every = kinds()
    whole = sum(kind.weight for kind in every.values())
    return {name: max(1, round(count * kind.weight / whole)) for name, kind in every.items()}


class Fuzzer:
    """A warm process that runs cases, each in a child of its own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="accelsim-fuzz-"))
        self._warmed: set[str] = set()
        settings = {
            "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")])),
        }  # fmt: skip
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("ACCELSIM_", "COV_CORE"))}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=plain | settings, text=True, cwd=self._folder, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Fuzzer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def warm(self, kind: Kind) -> None:
        """Run the command lines that a kind wants loaded, once."""
        for wanted in getattr(kind, "warm", ()):
            case = wanted if isinstance(wanted, Case) else Case({}, wanted)
            key = repr((case.argv, sorted(case.files.items())))
            if key not in self._warmed:
                self._warmed.add(key)
                folder = Path(tempfile.mkdtemp(dir=self._folder))
                lay(case, folder)
                code = self._ask({"warm": list(case.argv), "folder": str(folder)})["code"]
                assert code == 0, f"{' '.join(case.argv)} ended with {code}, and is to warm the fuzzer up"

    def run(self, case: Case) -> tuple[Outcome, list[str]]:
        """Run a case and return its outcome and faults; once more if its time went into compiling kernels."""
        for _ in range(2):
            base = Path(tempfile.mkdtemp(dir=self._folder))
            try:
                answer, outcome = self._run(case, base)
                if outcome.cpu > CPU_SECONDS and "compiled" in answer["changes"]:
                    continue
                return outcome, faults(case, outcome, base)
            finally:
                _remove(base)
        return outcome, [f"takes {outcome.cpu:.0f} s to compile its kernels"]

    def _run(self, case: Case, base: Path) -> tuple[dict[str, Any], Outcome]:
        for name in ("work", "tmp", "cache", "home"):
            (base / name).mkdir()
        lay(case, base / "work")
        env = {"TMPDIR": str(base / "tmp"), "HOME": str(base / "home"), "ACCELSIM_CACHE": str(base / "cache")}
        env["ACCELSIM_DATA"] = str(base / "data")
        for key, value in case.env.items():
            env[key] = os.path.join(base / "work", value) if key in FOLDERS else value
        answer = self._ask({"argv": list(case.argv), "base": str(base), "may_write": list(case.may_write), "env": env})
        texts = [(base / name).read_bytes().decode("utf-8", "surrogateescape") for name in ("out", "err")]
        changes = tuple(dict.fromkeys(line for line in answer["changes"] if line != "compiled"))
        return answer, Outcome(
            answer["code"], answer["signal"], *texts, answer["cpu"], answer["wall"], answer["peak"], changes
        )

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the warm process ended with {self._process.wait()}"
        return json.loads(answer)


def lay(case: Case, folder: Path) -> None:
    """Write the files of a case below a folder."""
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def faults(case: Case, outcome: Outcome, base: Path) -> list[str]:
    """Return what is wrong with how a case ended: the first line of each names it, without the case's own values."""
    found, work = [], base / "work"
    printed, said = outcome.out + outcome.err, outcome.err + outcome.err.replace(",", "")  # numbers as they were given
    if TRACEBACK in printed:
        found.append(f"{_where(printed)}\n{printed[printed.index(TRACEBACK) :][-6000:]}")
    elif outcome.code is not None and outcome.code not in EXIT_CODES:
        found.append(f"exit code {outcome.code}\n{outcome.err[-2000:]}")
    if "Exception ignored in" in printed:
        found.append(f"an exception that Python ignored\n{printed[printed.index('Exception ignored in') :][:2000]}")
    if warning := _WARNING.search(outcome.err):
        found.append(f"a warning of Python: {warning[1]}\n{outcome.err[:2000]}")
    if outcome.cpu > CPU_SECONDS:
        found.append(f"over {CPU_SECONDS:g} s of CPU\n{outcome.cpu:.1f} s")
    elif outcome.signal is not None:
        found.append(f"ended by signal {outcome.signal}\nafter {outcome.wall:.1f} s, {outcome.err[-2000:]}")
    if outcome.peak > PEAK_BYTES:
        found.append(f"over {PEAK_BYTES / 1e9:g} GB of memory\n{outcome.peak / 1e9:.2f} GB")
    elif "error: not enough memory" in outcome.err and not any("--memory" in text for text in case.argv):
        found.append(f"asks for more memory than there is\n{outcome.err[-2000:]}")
    if outcome.changes:
        found.append("writes where it may not\n" + "\n".join(outcome.changes[:20]))
    found += _left_over(case, base)
    if outcome.code not in (None, 0) and not outcome.err.strip():
        found.append(f"exit code {outcome.code} without a message")
    elif outcome.code == 2 and not any(name in said for name in _nameable(case)):
        found.append(f"a message that names neither file nor option\n{outcome.err[:2000]}")
    if case.check is not None:
        try:
            case.check(work, outcome)
        except Exception as error:  # also what a check trips over
            said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            found.append(f"check: {said}\n{outcome.err[:2000]}")
    return found


def _where(printed: str) -> str:
    """Return the type of an exception and the last place within accelsim that it passed."""
    text = printed[printed.index(TRACEBACK) :]
    places = [(file, name) for file, name in _PATH_IN_TRACEBACK.findall(text) if "/accelsim/" in file]
    file, name = places[-1] if places else ("?", "?")
    errors = re.findall(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Warning|Interrupt|Unwind)\w*)\b", text, re.MULTILINE)
    return f"traceback: {errors[-1] if errors else '?'} in {file.rpartition('/accelsim/')[2]}:{name}"


def _left_over(case: Case, base: Path) -> Iterator[str]:
    work = base / "work"
    writable = [Path(name).parts[0] for name in case.may_write]
    for name in os.listdir(work):
        if name not in writable and not any(Path(file).parts[0] == name for file in case.files):
            yield f"leaves a file behind\n{name!r}"
    for name, content in case.files.items():
        if Path(name).parts[0] not in writable and (
            not (work / name).is_file() or (work / name).read_bytes() != content
        ):
            yield f"changes what it was given\n{name}"
    if left := os.listdir(base / "tmp"):
        yield f"leaves temporary files behind\n{left[:5]}"


def _nameable(case: Case) -> list[str]:
    """Return what a message may point at: files of the case, arguments, long ones as `show` cuts them, the usage."""
    names = [os.path.basename(name) for name in case.files]
    told = [printable(text.rstrip("/") or text) for text in case.argv]
    parts = [part for text in told for part in (text, *re.split(r"[=<>,;]+", text))]
    arguments = [part for part in parts if len(part) > 1 or not ((part.isascii() and part.isalnum()) or not part)]
    quoted = [*(text for part in parts for text in (f"'{part}'", f"error: {part}:")), *map(show, case.argv)]
    return [*names, *arguments, *quoted, "an empty text", "Usage:", "--"]


def _remove(base: Path) -> None:
    with suppress(OSError):
        for folder, _, _ in os.walk(base):
            os.chmod(folder, 0o700)
    shutil.rmtree(base, ignore_errors=True)


def case_of(kind: Kind, seed: int, index: int) -> Case:
    """Return one case of a kind, the same for the same seed and index; the kind's check goes with it."""
    return _checked(kind, kind.case(random.Random(f"{kind.name} {seed} {index}")))


def _checked(kind: Kind, case: Case) -> Case:
    always, own = getattr(kind, "check", None), case.check
    if always is None or own is always:
        return case
    if own is None:
        return replace(case, check=always)

    def both(folder: Path, outcome: Outcome) -> None:
        always(folder, outcome)
        own(folder, outcome)

    return replace(case, check=both)


def name_of(fault: str) -> str:
    """Return what tells a fault from others: its first line, without numbers."""
    return re.sub(r"\d+", "#", fault.splitlines()[0])


def smaller(fuzzer: Fuzzer, case: Case, fault: str, runs: int = 60, seconds: float = 60.0) -> Case:
    """Return a case with fewer files, arguments and lines that still has a fault of that name."""
    end, left = time.monotonic() + seconds, [runs]

    def fails(candidate: Case) -> bool:
        left[0] -= 1
        return any(name_of(one) == name_of(fault) for one in fuzzer.run(candidate)[1])

    def over() -> bool:
        return left[0] <= 0 or time.monotonic() > end

    for name in list(case.files):
        without = replace(case, files={key: value for key, value in case.files.items() if key != name})
        if not over() and fails(without):
            case = without
    for name in list(case.files):
        lines = case.files[name].splitlines(keepends=True)
        if len(lines) < 2 or b"\0" in case.files[name]:
            continue
        size = len(lines) // 2
        while size and not over():
            start = 0
            while start < len(lines) and not over():
                fewer = lines[:start] + lines[start + size :]
                candidate = replace(case, files={**case.files, name: b"".join(fewer)})
                if fails(candidate):
                    case, lines = candidate, fewer
                else:
                    start += size
            size //= 2
    return case


def keep(kind: str, case: Case, fault: str) -> Path:
    """Write a case into the corpus and return its folder."""
    what = {
        "argv": list(case.argv), "env": dict(case.env), "may_write": list(case.may_write), "fault": name_of(fault),
        "files": {name: f"{index}{_suffix(name)}" for index, name in enumerate(sorted(case.files))},
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for name in sorted(case.files):
        digest.update(case.files[name])
    folder = CORPUS / kind / digest.hexdigest()[:12]
    (folder / "files").mkdir(parents=True, exist_ok=True)
    for name, stored in what["files"].items():
        (folder / "files" / stored).write_bytes(case.files[name])
    (folder / "argv.json").write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")
    return folder


def _suffix(name: str) -> str:
    suffix = Path(name).suffix
    # Ruff would read a .md or a .py, and they are no text.
    return suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,12}", suffix) and suffix not in (".md", ".py") else ""


def kept() -> list[Path]:
    """Return the folders of all cases of the corpus."""
    return sorted(path.parent for path in CORPUS.glob("*/*/argv.json"))


def load(folder: Path) -> Case:
    """Return a case of the corpus, with the check of its kind if there is one."""
    what = json.loads((folder / "argv.json").read_text(encoding="utf-8"))
    files = {name: (folder / "files" / stored).read_bytes() for name, stored in what["files"].items()}
    case = Case(files, what["argv"], what["may_write"], what["env"])
    kind = kinds().get(folder.parent.name)
    return case if kind is None else _checked(kind, case)
