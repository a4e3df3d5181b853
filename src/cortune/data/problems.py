"""Problems of a data set, gathered into one list, and the words to report them in."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cortune.errors import InputError

_T = TypeVar("_T")

AGAIN = "Copy or download the file again."
CHECK_ROOT = "Check the data set's root."


class Problems:
    """Problems so far, each once.

    Attributes
    ----------
    messages : list of str
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    def add(self, problem: InputError) -> None:
        """Take up a problem unless it is known."""
        if str(problem) not in self.messages:
            self.messages.append(str(problem))

    def attempt(self, function: Callable[..., _T], *arguments: Any) -> _T | None:
        """Call `function`; on bad input log it and return None."""
        try:
            return function(*arguments)
        except InputError as problem:
            self.add(problem)
            return None


def reason(error: OSError) -> str:
    """Return what is wrong with a file that cannot be opened.

    Of a link of DataLad whose content is not there yet, with the command that gets it.
    """
    if not isinstance(error, FileNotFoundError):
        return error.strerror or str(error)
    name = error.filename
    is_link = isinstance(name, str | Path) and Path(name).is_symlink()
    return f"a link to content that is not here (`datalad get {name}`)" if is_link else "no file"


def datalad(paths: Iterable[Path], what: str, otherwise: str) -> str:
    """Return the cure for missing files: where links dangle, the command that gets `what`."""
    if any(path.is_symlink() for path in paths):
        return f"They are links to content that is not here: run `datalad get {what}`."
    return otherwise


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the question whether a similar known name was meant, or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"Did you mean {by_lower[close[0]]!r}?" if close else ""


def count(items: Sequence[object], noun: str) -> str:
    """Return the number of items with their noun."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def some(items: Sequence[object], n: int = 3) -> str:
    """Return the first items, and how many more there are."""
    shown = ", ".join(map(str, items[:n]))
    return shown if len(items) <= n else f"{shown} and {len(items) - n} more"
