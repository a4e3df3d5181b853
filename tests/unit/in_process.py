"""Jobs of the workflow run in this process, and faults that strike them.

What Snakemake would put into a script is made from the project; a whole run of a small
configuration takes seconds this way.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from snakemake.iocontainers import InputFiles, OutputFiles, Params

from cortune import jobs
from cortune.address import Address
from cortune.project import Project
from cortune.stages import STAGES

KILLED = 137
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.utime", "os.truncate", "os.link")


class JobFailed(Exception):
    """A job ended with a message, as it would in the workflow."""


def snakemake_of(project: Project, name: str, address: Address) -> SimpleNamespace:
    """Return what Snakemake gives the script of a job, as the rules have it."""
    stage = STAGES[name]
    given = InputFiles()
    for key, paths in project.inputs(name, address).items():
        each, start = stage.inputs.get(key), len(given)
        given.extend(paths)
        one = each is not None and isinstance(each.addresses(project, address), Address)
        given._set_name(key, start, None if one else len(given))
    made = {key: project.path(name, key, address) for key in stage.outputs}
    facts = {} if stage.facts is None else {"facts": project.facts(name, address)}
    entities = address.path(stage.entities)
    log = Path(project.results, "logs", name, project.version(name, address), entities, "job.log")
    return SimpleNamespace(
        input=given,
        output=OutputFiles(fromdict=made),
        params=Params(fromdict=facts),
        config=project.config.as_dict(),
        threads=1,
        rule=name,
        log=[str(log)],
    )


def run_job(project: Project, name: str, address: Address) -> None:
    """Run one job in this process.

    Raises
    ------
    JobFailed
        With what the job's log says, if it ends with a message.
    """
    given = snakemake_of(project, name, address)
    with _restored():
        try:
            jobs.run(given)
        except SystemExit:
            raise JobFailed(Path(given.log[0]).read_text(encoding="utf-8")) from None


def run_all(project: Project) -> None:
    """Run every job of a complete run, in order."""
    for name, addresses in project.jobs.items():
        for address in addresses:
            run_job(project, name, address)


@contextmanager
def _restored() -> Iterator[None]:
    """Take back what a job does to its process."""
    streams = [(stream, os.dup(stream.fileno())) for stream in (sys.stdout, sys.stderr)]
    thresholds = gc.get_threshold()
    try:
        with mock.patch.dict(os.environ), warnings.catch_warnings():
            yield
    finally:
        gc.set_threshold(*thresholds)
        for stream, saved in streams:
            stream.flush()
            os.dup2(saved, stream.fileno())
            os.close(saved)


class _Watch:
    """Sees every change that Python makes to files below a folder, before it is made.

    The interpreter's own audit events: whatever function a module writes, renames, copies or
    removes with, it is seen here. What libraries of C write becomes visible when it is renamed.
    """

    def __init__(self) -> None:
        self.strike: Callable[[str, Path], None] | None = None
        self.folder = Path()
        self.installed = False

    def __call__(self, event: str, args: tuple) -> None:
        if self.strike is None:
            return
        if event == "open":
            path, _, flags = args
            if not isinstance(path, str | os.PathLike) or not flags & _WRITES:
                return
        elif event in _CHANGES:
            # The last path is the one that changes: of a rename, where to.
            path = args[1] if event in ("os.rename", "os.link") else args[0]
        else:
            return
        path = Path.cwd() / os.fspath(path)
        within = path.is_relative_to(self.folder) and "logs" not in path.parts
        if within or (event in _CHANGES and args[-1] not in (-1, None) and event != "os.utime"):
            strike, self.strike = self.strike, None
            try:
                strike(event, path)
            finally:
                self.strike = strike


_WATCH = _Watch()


@contextmanager
def watched(folder: Path, strike: Callable[[str, Path], None]) -> Iterator[None]:
    """Call `strike` with event and path before each change below a folder."""
    if not _WATCH.installed:
        sys.addaudithook(_WATCH)
        _WATCH.installed = True
    _WATCH.folder, _WATCH.strike = folder.resolve(), strike
    try:
        yield
    finally:
        _WATCH.strike = None


def changes(folder: Path, work: Callable[[], None]) -> list[tuple[str, Path]]:
    """Do some work; return every change that it made below a folder."""
    seen: list[tuple[str, Path]] = []
    with watched(folder, lambda event, path: seen.append((event, path))):
        work()
    return seen


def killed_at(n: int, folder: Path, work: Callable[[], None]) -> bool:
    """Do some work in a child that is killed before its n-th change; return whether it was.

    A file about to be opened for writing is left half-written. Nothing of the child's Python
    runs after the kill, no ``finally`` either.
    """
    child = os.fork()
    if child == 0:
        count = itertools.count()

        def strike(event: str, path: Path) -> None:
            if next(count) == n:
                if event == "open":
                    path.write_bytes(b"half of it")
                os._exit(KILLED)

        status = 1
        try:
            with watched(folder, strike):
                work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED), f"the child ended with {status}"
    return status == KILLED


def fails_at(n: int, folder: Path, work: Callable[[], None]) -> bool:
    """Do some work, whose n-th change fails as on a broken disk; return whether it came to it."""
    count, struck = itertools.count(), []

    def strike(event: str, path: Path) -> None:
        if next(count) == n:
            struck.append(path)
            raise OSError(5, "Input/output error", str(path))

    try:
        with watched(folder, strike):
            work()
    except (JobFailed, OSError):
        assert struck
    return bool(struck)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of the results but logs; of seals, what does not depend on the disk.

    What a reader that was killed leaves of the seal that it brings up to date harms nobody, and
    is passed over.
    """
    found = {}
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.is_file() and inside.parts[0] != "logs" and path.name != ".lock":
            if path.suffix == ".sha256" and ".part" in path.name:
                continue
            content = path.read_bytes()
            if path.suffix == ".sha256":
                lines = content.splitlines(keepends=True)
                content = b"".join(line for line in lines if not line.startswith(b"# "))
            found[inside.as_posix()] = content
    return found


def remove(project: Project, name: str, address: Address) -> None:
    """Remove what a job made: all of its folder."""
    first = Path(project.path(name, next(iter(STAGES[name].outputs)), address))
    shutil.rmtree(first.parent)
