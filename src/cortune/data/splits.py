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

SETS = ("tune", "validation", "fit", "test")
"""In their order on the line of hashes: a larger `fit` moves no test image."""
UNUSED = "unused"
"""Set of the images that belong to none of :data:`SETS`."""


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Require a share in [0, 1] for each of :data:`SETS` (`fit` may be left out), summing to 1.

    Raises
    ------
    InputError
        Naming the shares found.
    """
    fractions = {"fit": 0.0, **fractions}
    shares = [fractions.get(name, math.nan) for name in SETS]
    fits = all(0 <= share <= 1 for share in shares) and math.isclose(sum(shares), 1, abs_tol=1e-9)
    if not fits or set(fractions) != set(SETS):
        raise InputError(
            "split",
            ", ".join(f"{name} {share}" for name, share in fractions.items()) or "nothing",
            f"shares in [0, 1] for {', '.join(SETS)} that sum to 1",
            "Change the shares in the configuration.",
        )


def position_of(seed: int, *names: str) -> float:
    """Return a number in [0, 1): the SHA-256 of seed and names."""
    digest = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(
    identity: str,
    seed: int,
    fractions: Mapping[str, float],
    given: Mapping[str, str] | None = None,
) -> str:
    """Return the set an image belongs to.

    Parameters
    ----------
    identity : str
        Such as ``coco:123`` or ``nsd:00013``.
    seed : int
    fractions : mapping
        Share of each of :data:`SETS`, summing to 1.
    given : mapping of str to str, optional
        Sets that are given, by identity, the test set among them. Other images share the
        sets but `test` in proportion; where these have no share, they are `UNUSED`.

    Returns
    -------
    str
        :func:`position_of` seed and identity falls in its share.
    """
    last = SETS[-1]
    if given is not None:
        if identity in given:
            return given[identity]
        rest = 1 - fractions[last]
        if rest <= 0:
            return UNUSED
        fractions = {name: fractions.get(name, 0) / rest for name in SETS[:-1]}
        last = next(name for name in reversed(SETS[:-1]) if fractions[name])
    position, upper = position_of(seed, identity), 0.0
    for name in SETS[:-1]:
        upper += fractions.get(name, 0)
        if position < upper:
            return name
    return last


def split_table(
    identities: Iterable[str],
    seed: int,
    fractions: Mapping[str, float],
    given: Mapping[str, str] | None = None,
    *,
    covered: bool = False,
) -> dict[str, str]:
    """Return the set of every identity, sorted by identity; parameters as :func:`split_of`.

    Parameters
    ----------
    covered : bool
        Whether every set that has a share must have an image.

    Raises
    ------
    InputError
        If the shares do not sum to 1, or naming the sets that have no image.
    """
    check_fractions(fractions)
    table = {name: split_of(name, seed, fractions, given) for name in sorted(set(identities))}
    filled = set(table.values())
    missing = [name for name in SETS if fractions.get(name, 0) > 0 and name not in filled]
    if covered and missing:
        raise InputError(
            "split",
            f"no image for {', '.join(missing)} among {len(table)}",
            "at least one image in every set with a share",
            "Use more images, another seed, or a share of 0 for that set.",
        )
    return table


def read_split(path: str | Path) -> dict[str, str]:
    """Read the set of every identity from a CSV with the columns ``identity,set``.

    Raises
    ------
    InputError
        If it is no such table, a set has another name, or an identity has two.
    """
    expected = f"a CSV with the columns identity and set ({', '.join(SETS)} or {UNUSED})"
    found: dict[str, str] = {}
    problem = ""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                name, part = row["identity"].strip(), row["set"].strip()
                if part not in (*SETS, UNUSED):
                    problem = f"the set {part!r} of {name!r}"
                elif found.setdefault(name, part) != part:
                    problem = f"{name!r} in {found[name]!r} and in {part!r}"
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        problem = f"no such table ({error})"
    if problem:
        raise InputError(path, problem, expected, "Correct `split.file` or the table.")
    return found


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
            f"{min(shared)!r}. Score images of another set of the split, or tune again; pictures "
            "that decode alike under two ids get one set by `split.by: file`."
        )
