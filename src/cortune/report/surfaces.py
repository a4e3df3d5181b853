"""Which cortical surface is drawn on, told without loading nilearn."""

from __future__ import annotations

import os
from pathlib import Path

from cortune.errors import InputError

SIDES = {"lh": "left", "rh": "right"}
FSAVERAGE, FSAVERAGE5, AUTO = "fsaverage", "fsaverage5", "auto"
KINDS = ("infl", "sulc")
_FREESURFER = {"infl": "inflated", "sulc": "sulc"}


def named_surface(surface: str) -> str:
    """Return the name of one of nilearn's surfaces, or nothing for a folder.

    Parameters
    ----------
    surface : str
        ``cortex.surface`` of the configuration; ``auto`` is ``fsaverage`` where nilearn has
        downloaded it already, ``fsaverage5``, which it ships, elsewhere.
    """
    if surface != AUTO:
        return surface if surface in (FSAVERAGE, FSAVERAGE5) else ""
    given = (os.environ.get(name, "") for name in ("NILEARN_SHARED_DATA", "NILEARN_DATA"))
    folders = [folder for each in given for folder in each.split(os.pathsep) if folder]
    kept = (Path(folder).expanduser() / FSAVERAGE for folder in (*folders, "~/nilearn_data"))
    return FSAVERAGE if any((k / "infl_left.gii.gz").exists() for k in kept) else FSAVERAGE5


def local_files(folder: Path) -> dict[str, Path]:
    """Return the files of a surface in a folder, such as ``infl_left``.

    They have nilearn's names (``infl_left.gii.gz``) or FreeSurfer's (``surf/lh.inflated``).

    Raises
    ------
    InputError
        If one is missing.
    """
    return {
        f"{kind}_{side}": _local(folder, kind, hemisphere)
        for kind in KINDS
        for hemisphere, side in SIDES.items()
    }


def _local(folder: Path, kind: str, hemisphere: str) -> Path:
    freesurfer = _FREESURFER[kind]
    candidates = [
        folder / f"{kind}_{SIDES[hemisphere]}.gii.gz",
        folder / f"{hemisphere}.{freesurfer}",
        folder / "surf" / f"{hemisphere}.{freesurfer}",
    ]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(
        folder,
        "no " + " and no ".join(path.relative_to(folder).as_posix() for path in candidates),
        "the inflated surface and sulcal depth of fsaverage",
        "Point cortex.surface at such a folder, or set it to fsaverage5.",
    )
