"""What a configuration asks for, one record each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from cortune.versions import entity_path

SHARED = "shared"
"""Record of the files of a simulated data set that belong to no subject."""


@dataclass(frozen=True)
class Unit:
    """One subject, hemisphere and ROI, with its number of voxels."""

    subject: str
    hemisphere: str
    roi: str
    n_voxels: int

    @property
    def entities(self) -> dict[str, str]:
        """What tells the unit's files from others', by the name of the entity."""
        return {"subject": self.subject, "hemisphere": self.hemisphere, "roi": self.roi}


@dataclass(frozen=True)
class Network:
    """A network, once however many units share it; empty where it has no such entity.

    A pooled network has no subject, the untuned one nothing but its method.
    """

    method: str
    subject: str
    hemisphere: str
    roi: str
    path: str

    @property
    def model(self) -> str:
        """Name in tables, such as ``contrastive subj01 lh V1v``."""
        return " ".join(filter(None, (self.method, self.subject, self.hemisphere, self.roi)))

    @property
    def owner(self) -> str:
        """Folder of all networks of a method and a subject, or of a method that has none."""
        return f"sub-{self.subject}" if self.subject else SHARED

    @property
    def folder(self) -> PurePosixPath:
        """Folder of its files within that of its owner and method."""
        return entity_path(hemisphere=self.hemisphere, roi=self.roi)


@dataclass(frozen=True)
class TransferredNetwork:
    """A network, the data set it is transferred to, and the file of its encodings there.

    `target` is None for the other subjects of the network's own data set; `subject` is None
    for a network that pools subjects, and `roi` as well for the untuned one.
    """

    target: str | None
    subject: str | None
    hemisphere: str
    roi: str | None
    method: str
    path: str


@dataclass(frozen=True)
class Skipped:
    """A unit that is not analysed, and why."""

    dataset: str
    subject: str
    hemisphere: str
    roi: str
    reason: str


def entities_of(folders: str) -> dict[str, str]:
    """Return the entities of a part of a path: ``sub-a/hemi-lh`` is {sub: a, hemi: lh}."""
    return dict(part.split("-", 1) for part in folders.split("/"))
