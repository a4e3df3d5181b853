"""Versions of artifacts: a folder name that says what made the files in it.

Every artifact of a stage lies under ``results/<stage>/<version>/``. A version is
``<n>-<8 hex>``: ``n`` is the stage's algorithm number; the hex is a SHA-256 over canonical
JSON of the stage, its number, exactly the configuration values that it reads, the content of
the raw files that it reads, and the versions of the stages that it consumes, for the address
of the job. So a changed setting, or other data, makes new folders for what it affects, leaves
the old ones alone, and costs nothing to undo; and a file at a path is right whatever
happened since.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cortune
from cortune.address import ENTITIES, Address

VERSION = re.compile(r"\d+-[0-9a-f]{8}")


@dataclass(frozen=True)
class Provenance:
    """What made an artifact: embedded in every file Cortune writes.

    Parameters
    ----------
    stage, version : str
    seed : int
    config : mapping
        The configuration values the stage reads, by dotted key.
    inputs : mapping
        Versions of the stages consumed: one, or a list of several.
    raw : mapping
        SHA-256 of the raw input files, by name.
    notes : mapping
        What else decides the bytes, such as the device.
    """

    stage: str
    version: str
    seed: int
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str | list[str]] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers, with the version of Cortune."""
        return {
            "stage": self.stage,
            "version": self.version,
            "cortune": cortune.__version__,
            "seed": self.seed,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
            "raw": dict(self.raw),
            "notes": dict(self.notes),
        }

    def to_json(self) -> str:
        """Return canonical JSON."""
        return canonical_json(self.as_dict())


def canonical_json(value: Any) -> str:
    """Serialise to JSON in one way only: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def version_of(
    stage: str,
    number: int,
    address: Address,
    *,
    config: Mapping[str, Any],
    inputs: Mapping[str, Iterable[str]],
    sources: str = "",
    facts: Any = None,
) -> str:
    """Return the version of a stage's files for an address, such as ``1-0a1b2c3d``.

    The process that plans and the job that runs both compute it, from what each of them
    sees: a job that sees anything else than was planned finds another version.

    Parameters
    ----------
    stage : str
    number : int
    address : Address
        Of the job. Entities that its inputs share with it do not count, so that equal work
        for several subjects has one version.
    config : mapping
        The values that the stage reads, by dotted key.
    inputs : mapping of str to iterable of str
        Paths, by the names of the rule.
    sources : str
        Fingerprint of the raw files.
    facts : object
        What else decides the result; JSON.
    """
    own = address.own
    content = {
        "stage": stage,
        "number": number,
        "config": dict(config),
        "inputs": {name: sorted(_relative(path, own) for path in inputs[name]) for name in inputs},
        "sources": sources,
        "facts": facts,
    }
    digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()
    return f"{number}-{digest[:8]}"


def _relative(path: str, own: Mapping[str, str]) -> str:
    """Return a path from its stage on, without the entities that the job shares."""
    parts = path.split("/")
    at = next(index for index, part in enumerate(parts) if VERSION.fullmatch(part))
    shared = {f"{ENTITIES[name]}-{value}" for name, value in own.items()}
    return "/".join(part for part in parts[at - 1 :] if part not in shared)


def versions_in(paths: Iterable[str]) -> dict[str, str | list[str]]:
    """Return the versions in some paths, by stage: one, or a list where there are several."""
    found: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for stage, version in pairwise(parts):
            if VERSION.fullmatch(version):
                found.setdefault(stage, set()).add(version)
    return {
        stage: min(versions) if len(versions) == 1 else sorted(versions)
        for stage, versions in sorted(found.items())
    }
