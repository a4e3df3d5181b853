"""A folder of class folders, such as Caltech-256."""

from __future__ import annotations

from pathlib import Path

from cortune.errors import InputError
from cortune.probes.sources import LabelledFiles, ProbeSource, labelled, probe_source

_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
)


@probe_source("image_folder")
class ImageFolder(ProbeSource):
    """``<root>/<class>/<picture>``; other files and hidden ones do not count."""

    get = (
        "Set the probe's root to a folder of class folders, such as "
        "256_ObjectCategories of Caltech-256 (data.caltech.edu/records/nyy15-4j048)."
    )

    def listed(self, root: Path, split: str) -> LabelledFiles:
        """List the pictures; `split` does not count."""
        for entry in root.iterdir():
            if entry.is_symlink() and not _leads_somewhere(entry):
                raise InputError(
                    entry, "a link that leads nowhere", "a folder of one class", "Remove the link."
                )
        folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
        pairs = [
            (file, label)
            for label, folder in enumerate(folders)
            for file in sorted(folder.iterdir())
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
        ]
        return labelled(root, pairs, [folder.name for folder in folders])


def _leads_somewhere(link: Path) -> bool:
    try:
        link.stat()
    except OSError:
        return False
    return True
