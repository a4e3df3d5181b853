"""Which pictures are one image: identity by content.

A reader names pictures by what the data set says of them (``coco:…``, ``nsd:…``,
``stim:<name>``). An image's identity is the COCO or NSD id where it is known, and otherwise
the digest of the decoded pixels, never a name: a copy under another name, format or folder is
its twin. Pictures that decode alike under several ids are one image, too.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

_KNOWN = re.compile(r"(coco|nsd):([0-9]+)")
_TABLE = Path(__file__).parent / "nsd_shared.csv"
COMMUNITY = {"shared1000": 0, "shared515": 1}
"""Sets of images that NSD's users report on, each with the least it takes in the table."""


def by_content(digest: str) -> str:
    """Return the identity of a picture of which nothing but the content is known."""
    return f"image:{digest}"


def n_images(marks: Iterable[str]) -> int:
    """Return how many images there are of which some marks are: each one's identity and content.

    Images without content are counted by identity.
    """
    marks = set(marks)
    return sum(mark.startswith(by_content("")) for mark in marks) or len(marks)


def has_id(identity: str) -> bool:
    """Return whether an identity is an id of COCO or NSD, which other data sets may show."""
    return _KNOWN.fullmatch(identity) is not None


def identities_of(
    names: Sequence[str], digests: Sequence[str], same: Mapping[str, str] | None = None
) -> list[str]:
    """Return the identity of every picture.

    Parameters
    ----------
    names : sequence of str
        As the reader has them.
    digests : sequence of str
        Of the decoded pixels.
    same : mapping of str to str, optional
        Names that the whole stimulus set has twice, with the one that stands for both.

    Returns
    -------
    list of str
        Of twins under several ids the lowest.
    """
    same = same or {}
    found = [
        same.get(name, name) if has_id(name) else by_content(digest)
        for name, digest in zip(names, digests, strict=True)
    ]
    lowest: dict[str, str] = {}
    for identity, digest in zip(found, digests, strict=True):
        lowest[digest] = min(lowest.get(digest, identity), identity, key=_rank)
    return [lowest[digest] for digest in digests]


def _rank(identity: str) -> tuple[bool, str, int]:
    match = _KNOWN.fullmatch(identity)
    return (True, identity, 0) if match is None else (False, match[1], int(match[2]))


def twins(names: Iterable[str], keys: Iterable[str]) -> list[list[str]]:
    """Return the names that share a key with others, a list for each key, in order."""
    groups: dict[str, list[str]] = {}
    for name, key in zip(names, keys, strict=True):
        groups.setdefault(key, []).append(name)
    return [group for group in groups.values() if len(set(group)) > 1]


@cache
def community_ids(name: str) -> frozenset[int]:
    """Return the NSD ids of a set of :data:`COMMUNITY`.

    ``shared1000``: the images meant for every subject of NSD. ``shared515``: those of them that
    all eight saw three times in the sessions released (40 40 32 30 40 32 40 30), which follows
    from the experiment's design (``benchmarks/nsd_shared.py``).

    Source: ``nsd_expdesign.mat`` of Allen et al. 2022.
    """
    with _TABLE.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return frozenset(
            int(row["nsdId"]) for row in rows if int(row["shared515"]) >= COMMUNITY[name]
        )
