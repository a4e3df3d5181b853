"""Room on disk: asked for beforehand where the figure is known, and named where it was short."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import IO, Any

from cortune.errors import CortuneError, ResourceError

_FULL = 1 << 20  # bytes free below which a failed write is laid to a full disk
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CURE = "Free some space or point the results folder elsewhere, then run again."


def amount(n_bytes: float) -> str:
    """Return a number of bytes for people, such as ``2.2 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.4g} TB"


def free_space(path: Path) -> int:
    """Return the bytes free where `path` is, or would be."""
    existing = next((folder for folder in (path, *path.parents) if folder.is_dir()), Path())
    return shutil.disk_usage(existing).free


def require_space(path: Path, n_bytes: int, cure: str = _CURE) -> None:
    """Make sure, before any work, that the disk can hold a file.

    Raises
    ------
    ResourceError
        If it cannot; the message says how much the file needs and how much is free.
    """
    if free_space(path) < n_bytes:
        raise _too_full(path, n_bytes, cure)


def allocate(file: IO[Any], n_bytes: int, path: Path, cure: str = _CURE) -> None:
    """Set the space of an open file aside, so that a memory map of it cannot run out.

    On a full disk, writing to a memory map ends the process without a word.

    Parameters
    ----------
    file : file
        Open for writing; at least `n_bytes` long afterwards.
    n_bytes : int
    path : path
        Where the file is, for the message.
    cure : str
        What to do about a full disk.

    Raises
    ------
    ResourceError
        If the disk cannot hold so much.
    """
    if free_space(path) + 512 * os.fstat(file.fileno()).st_blocks < n_bytes:
        raise _too_full(path, n_bytes, cure)
    try:
        if n_bytes and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        if os.fstat(file.fileno()).st_size < n_bytes:
            file.truncate(n_bytes)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise _too_full(path, n_bytes, cure, f" ({error.strerror})") from error


def disk_problem(path: Path, error: Exception, written: int = 0) -> ResourceError | None:
    """Return what is wrong with the disk, or None if an error has another cause.

    Libraries wrap the system's error, or say only that too few bytes were written: the free
    space tells.

    Parameters
    ----------
    path : path
        What could not be written.
    error : Exception
    written : int
        Bytes that had been written, and still take space.
    """
    if isinstance(error, CortuneError):
        return None
    number, named = (getattr(error, name, None) for name in ("errno", "filename"))
    if named is not None and not Path(named).is_relative_to(path.parent):
        return None
    if number in _UNWRITABLE:
        return unwritable(path, error)
    free = free_space(path)
    if number in _NO_SPACE or (number is None and free < _FULL):
        return ResourceError(
            f"{path}: found no space left on the disk ({amount(free)} free) after "
            f"{amount(written)} of it; expected room for all of it, which is more. {_CURE}"
        )
    return None


def unwritable(path: Path, error: Exception) -> ResourceError:
    """Return the error of a folder that nothing can be written to."""
    reason = getattr(error, "strerror", None) or error
    return ResourceError(
        f"{path}: found a folder that cannot be written to ({reason}), expected a writable one. "
        "Change its permissions, or point the results folder elsewhere, then run again."
    )


def _too_full(path: Path, n_bytes: int, cure: str, reason: str = "") -> ResourceError:
    return ResourceError(
        f"{path}: found too little space left on the disk{reason}, {amount(free_space(path))}; "
        f"expected the {amount(n_bytes)} that it needs. {cure}"
    )
