"""What versions lie under ``results/``, and which of them a configuration still uses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortune.artifacts import read_json, read_provenance
from cortune.errors import CortuneError
from cortune.versions import STAGES, Versions, look_up

_VERSION = re.compile(r"\d+-[0-9a-f]{8}")
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
        Whether one of the configurations asked about uses it.
    difference : str
        What of the configuration made another version, empty if current.
    """

    stage: str
    version: str
    path: Path
    n_bytes: int
    current: bool
    difference: str


def used_versions(configs: Iterable[Versions]) -> set[tuple[str, str]]:
    """Return the (stage, version) pairs that some configurations use."""
    return {
        (stage, versions.of(stage, *scope))
        for versions in configs
        for stage, *scope in versions.scopes()
    }


def stored_versions(results: str | Path, configs: list[Versions]) -> list[StoredVersion]:
    """List the versions on disk, by stage and name.

    Parameters
    ----------
    results : path
    configs : list of Versions
        Configurations that decide what is current; differences are told to the first.
    """
    used = used_versions(configs)
    found = []
    for folder in sorted(Path(results).glob("*/*")):
        stage, version = folder.parent.name, folder.name
        if stage in STAGES and folder.is_dir() and _VERSION.fullmatch(version):
            current = (stage, version) in used
            n_bytes = sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file())
            difference = "" if current else _difference(stage, folder, configs[0])
            found.append(StoredVersion(stage, version, folder, n_bytes, current, difference))
    return found


def _difference(stage: str, folder: Path, versions: Versions) -> str:
    stored = _stored_provenance(folder)
    if stored is None:
        return "no provenance found"
    number = int(folder.name.split("-")[0])
    if number != STAGES[stage].number:
        return f"made by algorithm {number}, now {STAGES[stage].number}"
    told = []
    for key, value in stored["config"].items():
        now = look_up(versions.config, key)
        if now != value:
            told += _changes(key, value, now)
    now_inputs = {
        (name, version)
        for scope in versions.scopes()
        if scope[0] == stage
        for name, version in versions.inputs(*scope).items()
    }
    told += [
        f"{name} {version} is not current"
        for name, version in stored["inputs"].items()
        if (name, version) not in now_inputs
    ]
    return "; ".join(told) or "belongs to a unit or method that is no longer configured"


def _changes(key: str, value: Any, now: Any) -> list[str]:
    if isinstance(value, dict) and isinstance(now, dict):
        return [
            line
            for part in sorted({*value, *now})
            if value.get(part) != now.get(part)
            for line in _changes(f"{key}.{part}", value.get(part), now.get(part))
        ]
    return [f"{key}: {value}, now {now}"]


def _stored_provenance(folder: Path) -> dict[str, Any] | None:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _CARRIERS and path.is_file():
            try:
                return _provenance_in(path)
            except (CortuneError, OSError, ValueError, KeyError, TypeError):
                continue
    return None


def _provenance_in(path: Path) -> dict[str, Any]:
    """Return the provenance that a file carries, or is."""
    if path.suffix != ".json":
        return read_provenance(path)
    if path.with_suffix("").is_file():
        return read_provenance(path.with_suffix(""))
    value = read_json(path)
    provenance = value.get("provenance", value)
    return {key: provenance[key] for key in ("stage", "config", "inputs")}


def remove(versions: Iterable[StoredVersion]) -> int:
    """Delete version folders; return the bytes freed."""
    freed = 0
    for version in versions:
        shutil.rmtree(version.path)
        freed += version.n_bytes
        parent = version.path.parent
        if not any(parent.iterdir()):
            parent.rmdir()
    return freed
