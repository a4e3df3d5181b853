"""Seals: the SHA-256 of each artifact, written when it is whole and compared when it is read.

A seal lies in ``.<name>.sha256`` beside the artifact, whatever its format, so that it costs
readers and contents nothing. Its lines are those of ``sha256sum``; ``sha256sum --check``
reads them. A file without a seal, such as a raw input, passes.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from cortune.artifacts import PathLike, sha256, write_bytes
from cortune.errors import InputError


def seal(path: PathLike, *parts: PathLike) -> None:
    """Seal an artifact, a file or a folder, when it is whole.

    Parameters
    ----------
    path : path
    *parts : path
        Files and folders that belong to it, beside it or below: who reads `path` reads them.
    """
    path = Path(path)
    files = dict.fromkeys(file for part in (path, *map(Path, parts)) for file in _files(part))
    lines = [f"{sha256(file)}  {file.relative_to(path.parent).as_posix()}\n" for file in files]
    write_bytes(seal_of(path), "".join(lines).encode())


def unseal(path: PathLike) -> None:
    """Remove the seal of an artifact that is about to be written again."""
    seal_of(path).unlink(missing_ok=True)


def verify(path: PathLike) -> None:
    """Compare an artifact with its seal, where it has one.

    Raises
    ------
    InputError
        Naming the first file that has changed since it was sealed, or is missing.
    """
    path = Path(path)
    for expected, file in _sealed(path):
        found = f"SHA-256 {sha256(file)}" if file.is_file() else "no file"
        if found != f"SHA-256 {expected}":
            raise _damaged(path, file, found, f"SHA-256 {expected}, as when it was written")


def sealed_files(path: PathLike) -> list[Path]:
    """Return the files that the seal of an artifact vouches for."""
    return [file for _, file in _sealed(Path(path))]


def seal_of(path: PathLike) -> Path:
    """Return where the seal of an artifact lies."""
    return Path(path).with_name(f".{Path(path).name}.sha256")


def _sealed(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the hash and the path of every file of a seal."""
    beside = seal_of(path)
    if not beside.is_file():
        return
    for line in beside.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64:
            raise _damaged(path, beside, f"the line {line!r}", "a SHA-256 and a file's name")
        yield digest, path.parent / name


def _damaged(path: Path, file: Path, found: str, expected: str) -> InputError:
    command = f"rm {'-r ' if path.is_dir() else ''}{shlex.quote(str(path))}"
    return InputError(
        file,
        found,
        expected,
        f"It was changed or damaged. Remove what it belongs to ({command}) and run the same "
        "command again: it will be rebuilt.",
    )


def _files(path: Path) -> list[Path]:
    """Return a file, or all files of a folder but hidden ones."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name[0] != ".")
