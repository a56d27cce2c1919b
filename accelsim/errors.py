"""Every error a user can meet, and the words that help to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Self

from accelsim.text import masked, printable, printable_lines

LONGEST_LIST = 12
LONGEST_TEXT = 60
LEAST_LIKENESS = 0.59


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: what, where, and how to mend it."""

    message: str
    file: str | PathLike[str] | None = None
    line: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.message} ({self.hint})" if self.hint else self.message
        if self.file is not None:
            line = "" if self.line is None else f":{self.line}"
            text = f"{masked(fspath(self.file))}{line}: {text}"
        return printable(text).strip()


class AccelsimError(Exception):
    """The base of every error that is shown to a user without a traceback; as text it holds no passwords."""

    exit_code = 1

    def __str__(self) -> str:
        return printable_lines(super().__str__())


class InputError(AccelsimError):
    """The input is wrong; `problems` lists everything wrong with it, by file and line."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(
            dict.fromkeys(problems),
            key=lambda p: (fspath(p.file) if p.file is not None else "", p.line or 0),
        )
        if not self.problems:
            raise ValueError("an InputError needs at least one Problem")
        # The list is the only argument, so that the error survives a trip between processes.
        super().__init__(self.problems)

    @classmethod
    def of(
        cls,
        message: str,
        *,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> Self:
        """An error of a single problem."""
        return cls([Problem(message, file, line, hint)])

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class DataError(InputError):
    """A data set that is known is not on this machine."""


class DeadlockError(AccelsimError):
    """The simulated machine stopped with work left; the message names who waits for what."""


class InvariantError(AccelsimError):
    """A sum that must hold does not: a bug in accelsim or in a component, not in the input."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice spelled most like `name`, whatever its case, the first of equals; None if none is close."""
    best, best_likeness = None, LEAST_LIKENESS
    # difflib keeps what it learns of its second sequence, so that one is the name.
    matcher = difflib.SequenceMatcher(b=name.lower())
    for choice in choices:
        if choice == name:
            return choice
        matcher.set_seq1(choice.lower())
        # The quick ratios bound the slow one from above.
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) > best_likeness:
            likeness = matcher.ratio()
            if likeness > best_likeness:
                best, best_likeness = choice, likeness
    return best


def did_you_mean(name: str, choices: Iterable[str]) -> str | None:
    """A hint that names the nearest choice, or else lists them; None without choices."""
    choices = list(choices)
    if not choices:
        return None
    if close := nearest(name, choices):
        return f"did you mean '{close}'?"
    more = len(choices) - LONGEST_LIST
    return f"one of: {', '.join(choices[:LONGEST_LIST])}" + (f" and {more} more" if more > 0 else "")


def show(value: object) -> str:
    """A value from an input file as its writer would know it again: `'a text'`, `true`, `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = f"'{value}'" if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 4]}...{text[-1]}"
