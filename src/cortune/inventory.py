"""What versions lie under ``results/``, and which of them a configuration still uses."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortune.address import ENTITIES, Address
from cortune.artifacts import read_provenance
from cortune.errors import CortuneError
from cortune.project import Project
from cortune.settings import look_up
from cortune.stages import STAGES
from cortune.versions import VERSION

_CARRIERS = (".h5", ".safetensors", ".parquet", ".json")


@dataclass(frozen=True)
class StoredVersion:
    """One ``results/<stage>/<version>`` folder.

    Parameters
    ----------
    stage, version : str
    path : Path
    n_bytes : int
    current : bool
        Whether the configuration asked about uses it.
    about : str
        What it is of, if current; else what made another version of it.
    """

    stage: str
    version: str
    path: Path
    n_bytes: int
    current: bool
    about: str


def stored_versions(projects: Sequence[Project]) -> list[StoredVersion]:
    """List the versions on disk, by stage and name.

    Parameters
    ----------
    projects : sequence of Project
        Of the same results; a version that any of them uses is current. Differences are from
        the first.
    """
    used: dict[tuple[str, str], list[Address]] = {}
    for project in projects:
        for stage, addresses in project.jobs.items():
            for address in addresses:
                used.setdefault((stage, project.version(stage, address)), []).append(address)
    found = []
    for folder in sorted(Path(projects[0].results).glob("*/*")):
        stage, version = folder.parent.name, folder.name
        if stage in STAGES and folder.is_dir() and VERSION.fullmatch(version):
            of = used.get((stage, version))
            n_bytes = sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file())
            about = _difference(stage, folder, projects[0]) if of is None else _shared(of)
            found.append(StoredVersion(stage, version, folder, n_bytes, of is not None, about))
    return found


def _shared(addresses: Sequence[Address]) -> str:
    """Return what the files of a version are of: the entities that all share."""
    parts = []
    for name, key in ENTITIES.items():
        values = dict.fromkeys(getattr(address, name) for address in addresses)
        if len(values) == 1 and (value := next(iter(values))) and name != "replicate":
            parts.append(f"{key}-{value}")
    return " ".join(parts)


def _difference(stage: str, folder: Path, project: Project) -> str:
    stored = _stored_provenance(folder)
    if stored is None:
        return "no provenance found"
    number = int(folder.name.split("-")[0])
    if number != STAGES[stage].number:
        return f"made by algorithm {number}, now {STAGES[stage].number}"
    plain, told = project.config.as_dict(), []
    for key, value in stored["config"].items():
        told += _changes(key, value, look_up(plain, key))
    current = {name: set(versions) for name, versions in project.upstream_versions.items()}
    for name, version in stored["inputs"].items():
        versions = [version] if isinstance(version, str) else version
        told += [f"{name} {v} is not current" for v in versions if v not in current.get(name, ())]
    return "; ".join(told) or "other raw files, or a unit or method that is no longer configured"


def _changes(key: str, value: Any, now: Any) -> list[str]:
    if isinstance(value, dict) and isinstance(now, dict):
        parts = sorted({*value, *now})
        found = (_changes(f"{key}.{part}", value.get(part), now.get(part)) for part in parts)
        return [line for lines in found for line in lines]
    # Of places, versions cover whether they are given.
    given = isinstance(value, bool) and not isinstance(now, bool) and value == (now is not None)
    return [] if value == now or given else [f"{key}: {value}, now {now}"]


def _stored_provenance(folder: Path) -> dict[str, Any] | None:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _CARRIERS and path.is_file():
            try:
                return read_provenance(path)
            except (CortuneError, OSError, ValueError, KeyError, TypeError):
                continue
    return None


def remove(versions: Iterable[StoredVersion]) -> int:
    """Delete version folders; return the bytes freed."""
    freed = 0
    for version in versions:
        shutil.rmtree(version.path)
        # What training of it left behind.
        scratch = version.path.parents[1] / "scratch" / version.stage / version.version
        shutil.rmtree(scratch, ignore_errors=True)
        freed += version.n_bytes
        parent = version.path.parent
        if not any(parent.iterdir()):
            parent.rmdir()
    return freed
