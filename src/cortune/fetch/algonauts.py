"""The archives of the Algonauts 2023 challenge, from where the user has them."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from cortune.artifacts import atomic
from cortune.disk import amount, require_space
from cortune.errors import InputError
from cortune.fetch.web import AGAIN, Item

TERMS = (
    "The Algonauts 2023 data are made of the Natural Scenes Dataset, whose terms hold for them:\n"
    "https://cvnlab.slite.page/p/IB6BSeW_7o/Terms-and-Conditions. The challenge's form\n"
    "(http://algonauts.csail.mit.edu) says where its archives are; give the place by --from."
)
_NEEDED = re.compile(
    r"(?:.*/)?(?P<path>(?:training_split/training_fmri|training_split/training_images|roi_masks|"
    r"test_split/noise_ceiling|test_split/test_images)/[A-Za-z0-9][A-Za-z0-9_.-]*)"
)


def archives(source: str, subjects: Sequence[str]) -> list[Item]:
    """Return the archive of each subject.

    Parameters
    ----------
    source : str
        Address or folder of ``subj01.zip`` and so on, or with ``{subject}`` in its place.
    subjects : sequence of str
    """
    pattern = source if "{subject}" in source else f"{source.rstrip('/')}/{{subject}}.zip"
    return [
        Item("archives", f".{name}.zip", pattern.replace("{subject}", name)) for name in subjects
    ]


def unpack(archive: Path, folder: Path) -> int:
    """Unpack what the reader needs of a subject, and return the number of files.

    Every file is checked by the CRC-32 that the archive has of it; the folder appears when
    all of it is there.

    Raises
    ------
    InputError
        If the archive is damaged, or lacks responses, pictures or masks.
    ResourceError
        If the disk has too little room.
    """
    expected = "an archive with training_split and roi_masks of one subject"
    try:
        with zipfile.ZipFile(archive) as packed:
            found = {
                match["path"]: info
                for info in packed.infolist()
                if (match := _NEEDED.fullmatch(info.filename))
            }
            tops = {path.rsplit("/", 1)[0] for path in found}
            if sum(not top.startswith("test_split") for top in tops) < 3:
                raise InputError(
                    archive, f"only {', '.join(tops) or 'other files'}", expected, AGAIN
                )
            require_space(folder, sum(info.file_size for info in found.values()))
            with atomic(folder) as temporary:
                for path, info in found.items():
                    target = temporary / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(info) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)
            return len(found)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        found_ = f"a damaged archive of {amount(archive.stat().st_size)} ({error})"
        raise InputError(archive, found_, expected, f"Delete it. {AGAIN}") from None
    except FileNotFoundError:
        raise InputError(archive, "no file", expected, "Correct --from.") from None
