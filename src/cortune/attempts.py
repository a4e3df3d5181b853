"""Resources of jobs that grow when a job is tried again.

A cluster kills a job that exceeds its memory or time, and cannot say what it needed; each
further attempt therefore asks for more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def growing(amount: int) -> Callable[[Any, int], int]:
    """Return a resource of a rule: `amount` at the first attempt, twice that at the second.

    Parameters
    ----------
    amount : int
        Megabytes or minutes.
    """

    def resource(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return resource
