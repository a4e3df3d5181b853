"""What a data set consists of, whatever its layout on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BrickRow:
    """A picture that is one row of an HDF5 array of pictures.

    Parameters
    ----------
    path : Path
    array : str
        The array inside the file, (n_pictures, height, width, 3) uint8.
    row : int
    """

    path: Path
    array: str
    row: int


PictureSource = Path | BrickRow


@dataclass(frozen=True)
class Images:
    """The images a subject saw, in the order of the response rows.

    Parameters
    ----------
    identities : tuple of str
        ``coco:<id>`` where known, else ``nsd:<5 digits, 0-based>``, else ``stim:<name>``.
        Under these names responses are matched with pictures. What stands for an image
        everywhere else is decided by content (:mod:`cortune.data.identity`).
    files : tuple of Path or BrickRow
        One file, or row of a file, per identity.
    nsd_ids : tuple of int, optional
        Of pictures of NSD, 0-based.
    """

    identities: tuple[str, ...]
    files: tuple[PictureSource, ...]
    nsd_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.identities) != len(self.files):
            raise ValueError(f"{len(self.identities)} identities, {len(self.files)} files")

    def __len__(self) -> int:
        return len(self.files)

    def unique(self) -> Images:
        """Return every identity once, in order of first appearance."""
        first: dict[str, int] = {}
        for row, identity in enumerate(self.identities):
            first.setdefault(identity, row)
        ids = self.nsd_ids
        return Images(
            tuple(first),
            tuple(self.files[row] for row in first.values()),
            None if ids is None else tuple(ids[row] for row in first.values()),
        )


@dataclass(frozen=True, eq=False)
class Halves:
    """Responses of a hemisphere to images shown repeatedly, from odd and even repeats apart.

    Parameters
    ----------
    values : list of two arrays (n_images, n_vertices)
        Mean of each half of the repeats.
    counts : array (2, n_images), int64
        Repeats in each half.
    rois : dict of str to array of int64
        Columns of each ROI.
    """

    values: list[NDArray[np.float32]]
    counts: NDArray[np.int64]
    rois: dict[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses of one hemisphere of one subject.

    Parameters
    ----------
    values : array (n_images, n_vertices) of numbers
        One row per image; a memory map in the file's own type where the layout allows it,
        float32 otherwise.
    vertices : array (n_vertices,), int64
        Index of each column in the layout's own space. For Algonauts, the challenge
        space: the column of the distributed response file.
    mesh_vertices : array (n_vertices,), int64
        Vertex of the surface mesh (fsaverage for Algonauts) that each column belongs to;
        -1 where the data set does not say.
    identities : tuple of str
        Identity of each row's image.
    rois : dict of str to array of int64
        Columns of each ROI, ordered by vertex. ROIs may overlap and may be empty.
    noise_ceiling : array (n_vertices,), float32
        Explainable share of the variance in [0, 1]; NaN where unknown.
    """

    values: NDArray[Any]
    vertices: NDArray[np.int64]
    mesh_vertices: NDArray[np.int64]
    identities: tuple[str, ...]
    rois: dict[str, NDArray[np.int64]]
    noise_ceiling: NDArray[np.float32]

    def __post_init__(self) -> None:
        n_images, n_vertices = self.values.shape
        if len(self.identities) != n_images:
            raise ValueError(f"{len(self.identities)} identities, {n_images} rows")
        for name in ("vertices", "mesh_vertices", "noise_ceiling"):
            if getattr(self, name).shape != (n_vertices,):
                raise ValueError(f"{name} {getattr(self, name).shape}, {n_vertices} columns")
