"""How large what a user hands over may be, each limit with the option that raises it, and how much memory is free."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from accelsim.errors import InputError, Problem, did_you_mean

BYTES = "bytes"


def _limit(default: int | None, unit: str, help_: str, most: float = 1e18) -> Any:
    return field(default=default, metadata={"unit": unit, "help": help_, "most": most})


@dataclass(frozen=True)
class Limits:
    """What is refused before the work begins; ``--limit NAME=VALUE`` and `within` raise or lower each.

    ``memory``: bytes that a process may take; None: what is free on the machine, see `free_memory`.
    """

    yaml_bytes: int = _limit(10_000_000, BYTES, "size of a YAML file")
    yaml_values: int = _limit(1_000_000, "values once its aliases are expanded", "values of a YAML file")
    yaml_depth: int = _limit(100, "levels of nesting", "how deep a YAML file is nested", most=250)  # Python's stack
    recording_bytes: int = _limit(100_000_000, BYTES, "size of a recording, and of what it becomes in memory")
    data_bytes: int = _limit(500_000_000, BYTES, "size of any other data file, and of an array in it")
    text_bytes: int = _limit(20_000_000, BYTES, "size of a list or table of a data set")
    utterances: int = _limit(300_000, "utterances", "utterances of a data set")  # LibriSpeech has 281,241
    model_values: int = _limit(200_000_000, "values in all tensors", "values of an imported model")
    tensor_values: int = _limit(100_000_000, "values in a tensor", "values of a generated tensor")
    network_values: int = _limit(500_000_000, "values in all tensors", "values of all generated tensors of a network")
    ops: int = _limit(10_000, "ops", "ops of a graph, with those that short forms stand for")
    frames: int = _limit(10_000_000, "frames", "frames of the inputs")
    points: int = _limit(100_000, "points", "points of a sweep, its seeds included")
    memory: int | None = _limit(None, BYTES, "memory of a process")

    def memory_bytes(self) -> int | None:
        """Return how much memory a process may take, in bytes; None where nobody can say."""
        return free_memory() if self.memory is None else self.memory


_DEFAULT = Limits()
_CURRENT: ContextVar[Limits] = ContextVar("limits", default=_DEFAULT)
_UNITS = {field.name: str(field.metadata["unit"]) for field in fields(Limits)}
_MOST = {field.name: float(field.metadata["most"]) for field in fields(Limits)}


def current() -> Limits:
    """Return the limits that hold here."""
    return _CURRENT.get()


@contextmanager
def within(limits: Limits | None = None, /, **changes: float) -> Iterator[Limits]:
    """Make other limits hold: those given, or the current ones, with some changed: ``within(points=1e9)``.

    Raises InputError for a name that is none and for a value that is no whole number above 0.
    """
    problems = []
    for name, value in changes.items():
        if name not in _UNITS:
            problems.append(Problem(f"no limit '{name}'", hint=did_you_mean(name, _UNITS)))
        elif not (1 <= value < math.inf and value == int(value)):
            problems.append(Problem(f"limit '{name}' must be a whole number above 0, found {value}"))
        elif value > _MOST[name]:
            problems.append(Problem(f"limit '{name}' must be at most {_MOST[name]:,.0f}, found {value:,.0f}"))
    if problems:
        raise InputError(problems)
    token = _CURRENT.set(replace(limits or current(), **{name: int(value) for name, value in changes.items()}))
    try:
        yield current()
    finally:
        _CURRENT.reset(token)


def over(name: str, found: float | None = None, what: str | None = None) -> tuple[str, str | None]:
    """Return the message of something that is over a limit, and the hint how to raise it.

    ``found``: how large it is, where that is known; ``what``: more words on it.

    >>> over("points", 2e6, "2,000 x 1,000")
    ('more than 100,000 points: 2,000 x 1,000', 'raise it: --limit points=2e6')
    """
    limit, unit = getattr(current(), name), _UNITS[name]
    words = f"larger than {size_text(limit)}" if unit == BYTES else f"more than {limit:,} {unit}"
    enough = min(10.0 * limit, _MOST[name]) if found is None else found
    hint = f"raise it: --limit {name}={_enough(enough, unit)}" if limit < enough <= _MOST[name] else None
    return words + (f": {what}" if what else ""), hint


def check(
    name: str,
    found: float,
    what: str | None = None,
    *,
    file: str | PathLike[str] | None = None,
    line: int | None = None,
) -> None:
    """Raise InputError where something is larger than its limit."""
    if found > getattr(current(), name):
        message, hint = over(name, found, what)
        raise InputError.of(message, file=file, line=line, hint=hint)


def _enough(found: float, unit: str) -> str:
    """Return a round number that is enough, as `--limit` takes it: 2e6, or 20MB."""
    if unit == BYTES:
        return size_text(_round_up(found)).replace(" ", "")
    if found < 10_000:
        return f"{math.ceil(found)}"
    digits, _, power = f"{_round_up(found):.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def _round_up(number: float) -> float:
    """Return a number with two digits, not below another."""
    step = 10.0 ** (math.floor(math.log10(max(number, 1.0))) - 1)
    return math.ceil(number / step) * step if math.isfinite(number) else 1e300


_PREFIXES = "kMGTP"
_NUMBER = re.compile(
    r"([0-9]{1,30}(?:[_,][0-9]{3})*(?:\.[0-9]{0,30})?(?:e[-+]?[0-9]{1,3})?)\s*(?:([kmgtp])(i?))?b?", re.IGNORECASE
)


def size_text(size: float) -> str:
    """Return bytes as people say them: ``10 MB``, ``0.8 GB``."""
    for power, prefix in reversed([*enumerate(_PREFIXES, 1)]):
        if size >= 1000.0**power * (0.5 if prefix == "G" else 1):
            return f"{size / 1000.0**power:.3g} {prefix}B"
    return f"{size:.0f} bytes"


def read_size(text: str) -> int | None:
    """Return the whole number that a text means: ``1e9``, ``1_000_000``, ``4 GB``, ``512MiB``; None when it is none."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    number, prefix, binary = match.groups()
    power = _PREFIXES.lower().index(prefix.lower()) + 1 if prefix else 0
    found = float(number.replace("_", "").replace(",", "")) * (1024.0 if binary else 1000.0) ** power
    return int(found) if 1 <= found < math.inf else None


def read_limits(pairs: Mapping[str, str]) -> dict[str, int]:
    """Return the values of limits from texts; raises InputError with everything that is wrong with them."""
    found, problems = {}, []
    for name, text in pairs.items():
        value = read_size(text)
        if name not in _UNITS:
            problems.append(Problem(f"no limit '{name}'", "--limit", hint=did_you_mean(name, _UNITS)))
        elif value is None:
            example = "4GB" if _UNITS[name] == BYTES else "1e6"
            problems.append(Problem(f"'{text}' is not a number for '{name}'", "--limit", hint=f"for example {example}"))
        else:
            found[name] = value
    if problems:
        raise InputError(problems)
    return found


def read_memory(text: str) -> int:
    """Return the bytes that ``--memory`` names; raises InputError."""
    size = read_size(text)
    if size is None:
        raise InputError.of(f"'{text}' is not a size", file="--memory", hint="for example 4GB")
    return size


def free_memory() -> int | None:
    """Return how many bytes this process may still take: what is free, or less where its cgroup allows less.

    None where the system does not say.
    """
    found = [size for size in (_free_on_machine(), _free_in_cgroup()) if size is not None]
    return min(found) if found else None


def _free_on_machine() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:  # without /proc: all that there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_cgroup(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return what is left to the control group of this process, and to those around it; None without a limit."""
    found = []
    for line in (_text(own) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if not controllers:  # version 2
            top, limit, used, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, used, cache = (
                root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
            )  # fmt: skip
        else:
            continue
        folder = top / name.lstrip("/")
        # In a container the group's name is often one outside it, and its folder is the top.
        for group in dict.fromkeys([top, folder, *folder.parents]):
            if group != top and top not in group.parents:
                continue
            most, now = _text(group / limit), _text(group / used)
            if most is None or now is None or not most.strip().isdigit():
                continue  # no such group, or "max"
            given_back = re.search(rf"^{cache} ([0-9]+)$", _text(group / "memory.stat") or "", re.MULTILINE)
            found.append(max(int(most) - int(now) + (int(given_back[1]) if given_back else 0), 0))
    return min(found) if found else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
