"""One split of the images for every subject, data set and stage.

The set of an image follows from a hash of the seed and the image's identity alone, so
two subjects who saw the same image, in the same data set or in two, have it in the same
set, and adding images moves none.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from cortune.errors import InputError, LeakageError

SETS = ("tune", "validation", "test")


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Require a share in [0, 1] for each of :data:`SETS`, summing to 1.

    Raises
    ------
    InputError
        Naming the shares found.
    """
    shares = [fractions.get(name, math.nan) for name in SETS]
    fits = all(0 <= share <= 1 for share in shares) and math.isclose(sum(shares), 1, abs_tol=1e-9)
    if not fits or set(fractions) != set(SETS):
        raise InputError(
            "split",
            ", ".join(f"{name} {share}" for name, share in fractions.items()) or "nothing",
            f"shares in [0, 1] for {', '.join(SETS)} that sum to 1",
            "Change the shares in the configuration.",
        )


def split_of(identity: str, seed: int, fractions: Mapping[str, float]) -> str:
    """Return the set an image belongs to.

    Parameters
    ----------
    identity : str
        Such as ``coco:123`` or ``nsd:00013``.
    seed : int
    fractions : mapping
        Share of each of :data:`SETS`, summing to 1.

    Returns
    -------
    {"tune", "validation", "test"}
        SHA-256 of seed and identity, read as a number in [0, 1), falls in its share.
    """
    digest = hashlib.sha256(f"{seed}\x1f{identity}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    upper = 0.0
    for name in SETS[:-1]:
        upper += fractions[name]
        if position < upper:
            return name
    return SETS[-1]


def split_table(
    identities: Iterable[str], seed: int, fractions: Mapping[str, float]
) -> dict[str, str]:
    """Return the set of every identity, sorted by identity.

    Raises
    ------
    InputError
        If the shares do not sum to 1.
    """
    check_fractions(fractions)
    return {name: split_of(name, seed, fractions) for name in sorted(set(identities))}


def read_split(path: str | Path) -> dict[str, str]:
    """Read the set of every identity from a CSV with the columns ``identity,set``."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return {row["identity"]: row["set"] for row in csv.DictReader(file)}


def assert_disjoint(tuned: Iterable[str], scored: Iterable[str], what: str) -> None:
    """Require that no scored image was tuned on.

    Parameters
    ----------
    tuned, scored : iterable of str
        Identities.
    what : str
        What is being scored, for the message.

    Raises
    ------
    LeakageError
        Naming an example and the count.
    """
    scored = set(scored)
    shared = scored & set(tuned)
    if shared:
        raise LeakageError(
            f"{what}: {len(shared)} of {len(scored)} scored images were tuned on, such as "
            f"{min(shared)!r}. Score images of another set of the split, or tune again."
        )
