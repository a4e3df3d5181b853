"""Seals: the SHA-256 of each artifact, written when it is whole and compared when it is read.

A seal lies in ``.<name>.sha256`` beside the artifact, whatever its format, so that it costs
readers and contents nothing. Its lines are those of ``sha256sum``; ``sha256sum --check``
reads them. A file without a seal, such as a raw input, passes.

Reading a file does not hash it each time: a comment in the seal says how the file system
knew it when it was last found whole (:func:`cortune.fingerprints.key_of`). The whole hash is
compared where that differs: at the first reading, since Snakemake touches what a job made,
after a copy, or when a file was changed; and wherever ``cortune verify`` asks.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from cortune.artifacts import PathLike, atomic, remove_leftovers, sha256
from cortune.errors import CortuneError, InputError
from cortune.fingerprints import key_of


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
    _write(path, {file: (sha256(file), key_of(file)) for file in files})


def unseal(path: PathLike) -> None:
    """Remove the seal of an artifact that is about to be written again.

    And what a killed process left of it.
    """
    seal_of(path).unlink(missing_ok=True)
    remove_leftovers(seal_of(path))


def verify(path: PathLike, *, whole: bool = False) -> None:
    """Compare an artifact with its seal, where it has one.

    Parameters
    ----------
    path : path
    whole : bool
        Hash every file, also those that the file system knows to be unchanged.

    Raises
    ------
    InputError
        Naming the first file that has changed since it was sealed, or is missing.
    """
    path = Path(path)
    sealed = _sealed(path)
    found = {}
    for file, (expected, known) in sealed.items():
        key = key_of(file) if file.is_file() else ""
        if whole or key != known:
            digest = f"SHA-256 {sha256(file)}" if key else "no file"
            if digest != f"SHA-256 {expected}":
                raise _damaged(path, file, digest, f"SHA-256 {expected}, as when it was written")
        found[file] = (expected, key)
    if found != sealed:
        # Results that cannot be written to are hashed again by each reader.
        with contextlib.suppress(OSError, CortuneError):
            _write(path, found)


def sealed_files(path: PathLike) -> list[Path]:
    """Return the files that the seal of an artifact vouches for."""
    return list(_sealed(Path(path)))


def digest_of(path: PathLike) -> str:
    """Return the SHA-256 of a file, from its seal where the file is as it was when sealed."""
    path = Path(os.path.normpath(path))
    expected, known = _sealed(path).get(path, ("", ""))
    return expected if known and known == key_of(path) else sha256(path)


def seal_of(path: PathLike) -> Path:
    """Return where the seal of an artifact lies."""
    return Path(path).with_name(f".{Path(path).name}.sha256")


def _write(path: Path, files: Mapping[Path, tuple[str, str]]) -> None:
    """Write a seal: hash, key and name of every file. Readers may do so at the same time."""
    names = {file: Path(os.path.relpath(file, path.parent)).as_posix() for file in files}
    lines = [f"{digest}  {names[file]}\n" for file, (digest, _) in files.items()]
    lines += [f"# {key}  {names[file]}\n" for file, (_, key) in files.items()]
    with atomic(seal_of(path), alone=False) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def _sealed(path: Path) -> dict[Path, tuple[str, str]]:
    """Return the hash of every file of a seal, and how the file system knew it."""
    beside = seal_of(path)
    if not beside.is_file():
        return {}
    digests: dict[str, str] = {}
    keys: dict[str, str] = {}
    for line in beside.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, separator, name = line.partition("  ")
        if digest.startswith("# "):
            keys[name] = digest[2:]
        elif not separator or len(digest) != 64:
            raise _damaged(path, beside, f"the line {line!r}", "a SHA-256 and a file's name")
        else:
            digests[name] = digest
    return {
        Path(os.path.normpath(path.parent / name)): (digest, keys.get(name, ""))
        for name, digest in digests.items()
    }


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
