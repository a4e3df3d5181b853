"""Files that others name: looked at before they are opened."""

from __future__ import annotations

import errno
import stat
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
