"""Whether everything on disk is as it was written: every byte, of results and of raw files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cortune.artifacts import read_provenance, sha256
from cortune.errors import CortuneError, InputError
from cortune.project import Project
from cortune.seals import verify
from cortune.settings import settings_of
from cortune.stages import STAGES


def damaged(project: Project, *, raw: bool = False) -> Iterator[str]:
    """Yield what is not as it was written, of the versions that a configuration uses.

    Parameters
    ----------
    project : Project
    raw : bool
        Hash the raw files as well, and compare them with what was read.
    """
    for name, addresses in project.jobs.items():
        stage = STAGES[name]
        for address in addresses:
            paths = [project.path(name, output, address) for output in stage.outputs]
            for path in filter(_is_there, paths):
                try:
                    verify(path, whole=True)
                except CortuneError as error:
                    yield str(error)
            if raw and stage.sources is not None and _is_there(paths[0]):
                sources = stage.sources(settings_of(project.config, stage, address), address)
                yield from _changed(paths[0], dict(sources.files))


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _changed(path: str, files: dict[str, Path]) -> Iterator[str]:
    """Yield the raw files that are not those that an artifact was made of."""
    for name, digest in read_provenance(path)["raw"].items():
        if name in files and (found := sha256(files[name])) != digest:
            yield str(
                InputError(
                    files[name],
                    f"SHA-256 {found}",
                    f"{digest}, as when {path} was made of it",
                    "Remove results/.fingerprints.json and run the workflow again.",
                )
            )
