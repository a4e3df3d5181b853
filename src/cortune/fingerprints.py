"""Fingerprints of raw files: what is in them, not where they lie or when they were copied.

A fingerprint is a SHA-256 over a file's size and content; of a file of more than
:data:`WHOLE` bytes, over :data:`BLOCKS` blocks of :data:`BLOCK` bytes spread evenly, the
first and the last among them. Every replacement by other data changes it; a few values edited
inside a large file may not (``cortune verify --raw`` reads all of it).

Fingerprints are kept under what the file system says of a file when it has changed: a file
that is known costs one ``stat``, wherever it was moved to in the meantime.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cortune.errors import InputError

WHOLE = 16 << 20
BLOCKS = 64
BLOCK = 64 << 10
_SOME = 2000  # files; reading more is worth a progress bar

Key = str
"""What tells an unchanged file at a glance; see :func:`key_of`."""


def key_of(path: str | Path) -> Key:
    """Return size, times of modification and change in nanoseconds, and inode of a file.

    An object store would give size and ETag. Links are followed.
    """
    found = Path(path).stat()
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"


def digest_of(path: str | Path) -> str:
    """Return the fingerprint of a file, which is read for it."""
    with Path(path).open("rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        content = hashlib.sha256(f"{size}:".encode())
        if size <= WHOLE:
            content.update(handle.read())
        else:
            for index in range(BLOCKS):
                handle.seek((size - BLOCK) * index // (BLOCKS - 1))
                content.update(handle.read(BLOCK))
    return content.hexdigest()[:32]


@dataclass(frozen=True)
class Sources:
    """The raw files that a job reads.

    Parameters
    ----------
    files : sequence of (str, path)
        Each with a name that does not say where it is.
    names : tuple of str
        Names that are read without the files' content, in their order.
    """

    files: Sequence[tuple[str, Path]] = ()
    names: tuple[str, ...] = ()


class Fingerprints:
    """Fingerprints of files that were seen before.

    Parameters
    ----------
    path : path, optional
        File that keeps them. One that cannot be read or written is done without.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._known: dict[Key, str] = {}
        self._new = False
        if self.path is not None:
            try:
                known = json.loads(self.path.read_text(encoding="utf-8"))
                self._known = {str(key): str(value) for key, value in known.items()}
            except (OSError, ValueError, AttributeError):
                self._known = {}

    def of(self, sources: Sources) -> str:
        """Return the fingerprint of some files together.

        Raises
        ------
        InputError
            If one is missing or cannot be read.
        """
        digests = [(name, self._digest(path)) for name, path in _shown(sources.files)]
        return combined(digests, sources.names)

    def _digest(self, path: Path) -> str:
        with _readable(path):
            key = key_of(path)
            if key not in self._known:
                self._known[key] = digest_of(path)
                self._new = True
                if key_of(path) != key:
                    raise InputError(
                        path,
                        "a file that changes while it is read",
                        "files that stay as they are during a run",
                        "Run again when it is whole.",
                    )
        return self._known[key]

    def save(self) -> None:
        """Keep what was found, where that can be written."""
        if self.path is None or not self._new:
            return
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._known, separators=(",", ":")), encoding="utf-8")
            temporary.replace(self.path)
            self._new = False
        except OSError:
            with suppress(OSError):
                temporary.unlink()


def combined(digests: Iterable[tuple[str, str]], names: Iterable[str] = ()) -> str:
    """Return one fingerprint over those of several files and over names."""
    text = json.dumps([sorted(digests), list(names)], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_now(sources: Sources) -> str:
    """Return the fingerprint of some files, all of which are read for it.

    Raises
    ------
    InputError
        If one is missing or cannot be read.
    """
    return combined(_of_each(sources, digest_of), sources.names)


def keys_of(sources: Sources) -> list[tuple[str, Key]]:
    """Return the key of every file: two that are equal saw the same files.

    Raises
    ------
    InputError
        If one is missing or cannot be read.
    """
    return _of_each(sources, key_of)


def _of_each(sources: Sources, look: Callable[[Path], str]) -> list[tuple[str, str]]:
    found = []
    for name, path in sources.files:
        with _readable(path):
            found.append((name, look(path)))
    return found


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            path,
            str(error.strerror or error),
            "a file that can be read",
            "Restore it, or correct its permissions.",
        ) from None


def _shown(files: Sequence[tuple[str, Path]]) -> Iterable[tuple[str, Path]]:
    """Show progress where there are many files; those known take no time worth showing."""
    if len(files) < _SOME:
        return files
    from tqdm import tqdm

    bar: Iterable[tuple[str, Path]] = tqdm(
        files, desc="fingerprints", unit="file", delay=5, mininterval=2
    )
    return bar
