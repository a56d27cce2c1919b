"""Every error a user can meet, and the words that help to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import Self

from accelsim.text import masked, printable, printable_lines

LONGEST_LIST = 12
LONGEST_TEXT = 60
LONGEST_MESSAGE = 2000
MOST_PROBLEMS = 1000
"""So many are shown; nobody reads on, and a file may have a million."""
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
        shown = printable(text).strip()
        if len(shown) <= LONGEST_MESSAGE:
            return shown
        half = LONGEST_MESSAGE // 2
        return f"{shown[:half]}...{shown[3 - half :]}"  # what it says may be at the end, behind a long name


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

    def at(self, file: str | PathLike[str], line: int | None) -> Self:
        """The same error, with a place for those of its problems that have none."""
        return type(self)(p if p.file is not None else replace(p, file=file, line=line) for p in self.problems)

    def said_at(self, places: Mapping[str, tuple[str, int | None]]) -> Self:
        """The same error, where a file sets what ``--set KEY`` would: with the file and line of each key, by key."""
        moved = {f"--set {key}": place for key, place in places.items()}
        found = [(p, *moved.get(str(p.file), (p.file, p.line))) for p in self.problems]
        return type(self)(replace(p, file=file, line=line) for p, file, line in found)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        more = len(self.problems) - len(lines)
        return "\n".join([*lines, f"and {more:,} more"] if more else lines)


class DataError(InputError):
    """A data set that is known is not on this machine: no fault of the file that names it."""

    def at(self, file: str | PathLike[str], line: int | None) -> Self:
        return self


class DeadlockError(AccelsimError):
    """The simulated machine stopped with work left; the message names who waits for what."""


class InvariantError(AccelsimError):
    """A sum that must hold does not: a bug in accelsim or in a component, not in the input."""


def interruption(error: BaseException) -> KeyboardInterrupt | SystemExit | None:
    """The end of the program that an error stands for, None where there is none.

    C code that calls Python, such as numba's, makes a SystemError of what a signal's handler raises meanwhile; and a
    file that cannot be removed on the way out is an error of its own.
    """
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, KeyboardInterrupt | SystemExit):
            return below
        below = below.__cause__ or below.__context__
    return None


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
