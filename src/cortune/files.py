"""Files that others name: looked at before they are opened."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def regular_file(path: str | Path) -> Path:
    """Return `path` if it is a regular file, or a link to one.

    A pipe would be waited for without end, and a device such as ``/dev/zero`` never ends.

    Raises
    ------
    OSError
        If it is anything else, or cannot be reached: FileNotFoundError if there is none.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path


def visible_files(folder: str | Path) -> Iterator[Path]:
    """Yield the files below a folder, in no order; hidden ones and hidden folders are left out.

    Links are followed, each folder once, so that a link to a folder above does no harm.
    """
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in sorted(folders)
            if name[0] != "." and os.path.realpath(Path(parent, name)) not in seen
        ]
        for name in files:
            path = Path(parent, name)
            if name[0] != "." and path.is_file():
                yield path
