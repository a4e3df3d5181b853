"""What one job needs of the prepared data: images, their sets, and one ROI's responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cortune.address import Address
from cortune.data.identity import by_content
from cortune.data.images import open_cache, read_index, read_index_lines
from cortune.data.prepare import read_responses
from cortune.data.splits import SETS, position_of, read_split
from cortune.errors import InputError
from cortune.seeds import rng


class PreparedImages(Protocol):
    """Paths of a subject's prepared images (a Snakemake job's inputs)."""

    images: str
    index: str
    split: str


class PreparedUnit(PreparedImages, Protocol):
    """Paths of a unit's prepared images and responses."""

    responses: str


class PooledUnits(Protocol):
    """Lists of such paths, one per subject."""

    images: Sequence[str]
    index: Sequence[str]
    split: Sequence[str]
    responses: Sequence[str]


@dataclass
class UnitPaths:
    """Paths of one unit's prepared files."""

    images: str
    index: str
    split: str
    responses: str


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Some images of a subject.

    Parameters
    ----------
    cache : array (n_cached, s, s, 3), uint8
        Memory map of all the subject's images.
    rows : array (n_images,)
        Rows of `cache`.
    identities : tuple of str
    sets : array of str (n_images,)
        One of :data:`cortune.data.splits.SETS` each.
    names : mapping of str to str
        Identity of every name of a picture of the subject that differs from it.
    digests : tuple of str
        What the pictures show, as identities by content; empty where it is not known.
    """

    cache: NDArray[np.uint8]
    rows: NDArray[np.int64]
    identities: tuple[str, ...]
    sets: NDArray[np.str_]
    names: Mapping[str, str] = field(default_factory=dict)
    digests: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def marks(self, *sets: str) -> set[str]:
        """Return all by which the images of some sets can be recognised: identity and content.

        Subjects may have the same picture under different ids.
        """
        kept = np.isin(self.sets, sets)
        return {name for each in (self.identities, self.digests) for name in compress(each, kept)}

    def where(self, kept: NDArray[np.bool_]) -> ImageSet:
        """Return some of the images."""
        return replace(
            self,
            rows=self.rows[kept],
            sets=self.sets[kept],
            identities=tuple(compress(self.identities, kept)),
            digests=tuple(compress(self.digests, kept)),
        )


@dataclass(frozen=True, eq=False)
class UnitData:
    """Images and responses of one ROI.

    Parameters
    ----------
    images : ImageSet
        In the order of the response rows.
    responses : array (n_images, n_voxels), float32
    vertices : array (n_voxels,)
    parts : mapping of str to int
        Number of voxels of each ROI, where there are several side by side.
    """

    images: ImageSet
    responses: NDArray[np.float32]
    vertices: NDArray[np.int64]
    parts: Mapping[str, int] = field(default_factory=dict)

    def holding_back(self, share: float, seed: int) -> UnitData:
        """Return the unit with a share of its tuning images in the validation set.

        Unless there is an image in it. Which are drawn by seed and identity, so that it does
        not depend on the other images.
        """
        images = self.images
        if not share or "validation" in images.sets:
            return self
        drawn = [position_of(seed, "validation", i) < share for i in images.identities]
        sets = np.where((images.sets == "tune") & drawn, "validation", images.sets)
        return replace(self, images=replace(images, sets=sets))

    def rows(self, name: str) -> NDArray[np.int64]:
        """Return the positions of one set's samples.

        Raises
        ------
        InputError
            If fewer than two images are in the set.
        """
        rows = np.flatnonzero(self.images.sets == name)
        if len(rows) < 2:
            raise InputError(
                f"split.{name}",
                f"{len(rows)} of {len(self.images)} images",
                "at least 2",
                "Raise that share of the split, or use more images.",
            )
        return rows


def load_images(paths: PreparedImages, *sets: str, n_tune: int = 0, seed: int = 0) -> ImageSet:
    """Load a subject's images, each identity once.

    Parameters
    ----------
    paths : PreparedImages
    *sets : str
        Names of the sets that are loaded; none is all.
    n_tune : int
        Images of set ``tune`` to add, drawn by `seed`; none where there are images of `fit`.
    seed : int
    """
    identities = tuple(read_index(paths.index))
    split = read_split(paths.split)
    added: set[str] = set()
    if "fit" not in split.values():
        tune = sorted(i for i in identities if split[i] == "tune")
        added = set(rng(seed, "tune images to keep").permutation(tune)[:n_tune].tolist())
    return _select(paths, [i for i in identities if split[i] in (sets or SETS) or i in added])


def load_unit(paths: PreparedUnit, roi: str) -> UnitData:
    """Load the images and responses of one ROI, rows in the responses' order.

    Raises
    ------
    InputError
        If the ROI or an image is missing from the prepared files.
    """
    responses = read_responses(paths.responses, roi, names_of(paths.index))
    images = _select(paths, responses.identities)
    return UnitData(images, np.asarray(responses.values), responses.vertices)


def load_units(paths: PooledUnits, units: Sequence[Address]) -> dict[str, UnitData]:
    """Load units, those of a subject side by side.

    Parameters
    ----------
    paths : PooledUnits
        Files that hold the units, in any order.
    units : sequence of Address

    Returns
    -------
    dict of str to UnitData
        By subject; the parts of each have the names of units (:attr:`Address.unit`).
    """
    responses = {
        (place.subject, place.hemisphere): path
        for path in paths.responses
        for place in [Address.parse(path)]
    }
    of_subject = [
        {Address.parse(path).subject: path for path in files}
        for files in (paths.images, paths.index, paths.split)
    ]
    found: dict[str, dict[str, UnitData]] = {}
    for unit in units:
        images, index, split = (each[unit.subject] for each in of_subject)
        path = responses[unit.subject, unit.hemisphere]
        loaded = load_unit(UnitPaths(images, index, split, path), unit.roi)
        found.setdefault(unit.subject, {})[unit.unit] = loaded
    return {subject: side_by_side(each) for subject, each in found.items()}


def side_by_side(units: Mapping[str, UnitData]) -> UnitData:
    """Return several ROIs of a subject as one, which knows its parts.

    Raises
    ------
    InputError
        If they have responses to different images.
    """
    first, *others = units.values()
    for name, unit in units.items():
        if unit.images.identities != first.images.identities:
            raise InputError(
                f"responses of {name}",
                f"other images than those of {next(iter(units))}",
                "the same images for every ROI of a subject",
                "Remove the prepared responses and run the workflow again.",
            )
    responses, vertices = first.responses, first.vertices
    if others:
        responses = np.concatenate([unit.responses for unit in units.values()], axis=1)
        vertices = np.concatenate([unit.vertices for unit in units.values()])
    parts = {name: unit.responses.shape[1] for name, unit in units.items()}
    return UnitData(first.images, responses, vertices, parts)


def names_of(index: str) -> dict[str, str]:
    """Return the identity of every picture's name that differs from it."""
    lines = read_index_lines(index)
    return {line["name"]: line["identity"] for line in lines if line["name"] != line["identity"]}


def _select(paths: PreparedImages, identities: Sequence[str]) -> ImageSet:
    index, lines = read_index(paths.index), read_index_lines(paths.index)
    split = read_split(paths.split)
    missing = [
        identity for identity in identities if identity not in index or identity not in split
    ]
    if missing:
        raise InputError(
            paths.index,
            f"no image {missing[0]} ({len(missing)} missing)",
            "every image that has responses",
            "Remove the prepared images and run the workflow again.",
        )
    sets = np.array([split[i] for i in identities], dtype=np.str_)
    rows = np.array([index[i] for i in identities], dtype=np.int64)
    digests = tuple(by_content(lines[row]["digest"]) for row in rows)
    names = names_of(paths.index)
    return ImageSet(open_cache(paths.images), rows, tuple(identities), sets, names, digests)
