"""One run at a time in a folder of results.

The lock belongs to the process that holds it and vanishes with it, however it ends: a run
that was killed can be started again as it is. Snakemake's own lock outlives a kill and must
then be removed by hand, so the profiles switch it off.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from pathlib import Path
from typing import IO

from cortune.artifacts import PathLike
from cortune.disk import disk_problem, unwritable
from cortune.errors import ResourceError

logger = logging.getLogger(__name__)
_held: dict[Path, IO[str]] = {}


def hold(folder: PathLike) -> None:
    """Lock a folder until this process ends; it may be locked again.

    Parameters
    ----------
    folder : path
        Is made if it is missing.

    Raises
    ------
    ResourceError
        If another process holds it, or nothing can be written to it.
    """
    path = Path(folder) / ".lock"
    if path.resolve() in _held:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise disk_problem(path, error) or unwritable(Path(folder), error) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "another process"
        raise ResourceError(
            f"{folder}: found {holder} writing to it, expected one run at a time. Wait for it to "
            "end, or stop it; nothing needs to be unlocked."
        ) from None
    except OSError as error:  # a network file system without locks
        logger.warning("%s: cannot be locked (%s): start one run at a time", folder, error)
    try:
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
    except OSError as error:
        raise disk_problem(path, error) or unwritable(Path(folder), error) from None
    _held[path.resolve()] = handle


def release(folder: PathLike) -> None:
    """Give back the lock of a folder, and remove its file."""
    path = Path(folder) / ".lock"
    if handle := _held.pop(path.resolve(), None):
        with handle:
            path.unlink(missing_ok=True)
