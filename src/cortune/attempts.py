"""Functions of rules, and resources of jobs that grow when a job is tried again.

A cluster kills a job that exceeds its memory or time, and cannot say what it needed; each
further attempt therefore asks for more.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def signed(function: Function) -> Function:
    """Return a function that knows its signature.

    Snakemake asks for it twice at each of its many calls of a function, and to find it takes
    longer than most of them.
    """
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return function


def growing(amount: int) -> Callable[[Any, int], int]:
    """Return a resource of a rule: `amount` at the first attempt, twice that at the second.

    Parameters
    ----------
    amount : int
        Megabytes or minutes.
    """

    @signed
    def resource(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return resource
