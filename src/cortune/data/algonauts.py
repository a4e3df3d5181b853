"""Reader of the Algonauts 2023 layout: NSD responses on the surface, as distributed.

Two trees hold the same files: the one the challenge distributes and the one that the
code of the contrastive-tuning paper expects; see :data:`DISTRIBUTED` and :data:`AUTHORS`.

Source: Gifford et al. 2023, *The Algonauts Project 2023 Challenge*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cortune.data.algonauts_files import (
    AS_DISTRIBUTED,
    N_FSAVERAGE,
    inspect_pictures,
    list_pictures,
    load_mapping,
    load_mask,
)
from cortune.data.families import FamilyReader
from cortune.data.npy import check_finite, load_array, map_array, sample_rows
from cortune.data.problems import Problems
from cortune.data.readers import layout
from cortune.data.records import Images, Responses
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError

# How much of a data set `problems` looks into beyond headers.
_WHOLE_BYTES = 1 << 24
_SAMPLED_ROWS = 64


@dataclass(frozen=True)
class Tree:
    """Where a tree keeps the files of subject number `n` and hemisphere `h`."""

    folder: str
    responses: str
    pictures: str
    masks: str
    noise_ceiling: str
    test_pictures: str


DISTRIBUTED = Tree(
    folder="subj{n:02d}",
    responses="subj{n:02d}/training_split/training_fmri/{h}_training_fmri.npy",
    pictures="subj{n:02d}/training_split/training_images",
    masks="subj{n:02d}/roi_masks",
    noise_ceiling="subj{n:02d}/test_split/noise_ceiling/{h}_noise_ceiling.npy",
    test_pictures="subj{n:02d}/test_split/test_images",
)
AUTHORS = Tree(
    folder="training_fmri/Subj{n}",
    responses="training_fmri/Subj{n}/subj{n}_{h}_training_fmri.npy",
    pictures="training_images/Subj{n}",
    masks="roi_masks/Subj{n}",
    noise_ceiling="noise_ceiling/Subj{n}/{h}_noise_ceiling.npy",
    test_pictures="test_images/Subj{n}",
)


@layout("algonauts2023")
@dataclass(frozen=True)
class AlgonautsReader(FamilyReader):
    """Reader of an Algonauts 2023 data set.

    The root is the folder that holds ``subj01`` and so on, or the authors' tree with
    ``training_fmri/Subj1`` and so on. Subjects are called ``subj01`` either way.
    """

    fetched: ClassVar[str] = "algonauts2023"

    def images(self, subject: str) -> Images:
        """Return the images of a subject in the order of the response rows.

        Raises
        ------
        InputError
            If a picture's name is malformed, missing or there twice.
        """
        pictures, problems = list_pictures(self._path("pictures", subject))
        for problem in problems:
            raise problem
        identities = self.identities([picture.nsd_id for picture in pictures])
        nsd_ids = tuple(picture.nsd_id for picture in pictures)
        return Images(identities, tuple(picture.path for picture in pictures), nsd_ids)

    def test_pictures(self, subject: str) -> list[Path]:
        """Return the pictures of the challenge's test split, in the order of a submission's rows.

        Raises
        ------
        InputError
            If there are none, or one's name is malformed, missing or there twice.
        """
        pictures, problems = list_pictures(self._path("test_pictures", subject), "test")
        for problem in problems:
            raise problem
        return [picture.path for picture in pictures]

    def responses(self, subject: str, hemisphere: str) -> Responses:
        """Return the responses of one hemisphere, memory-mapped.

        Raises
        ------
        InputError
            If responses, pictures, masks and noise ceiling do not fit together.
        """
        values = self._values(subject, hemisphere)
        images = self.images(subject)
        self._check_rows(subject, hemisphere, values, len(images))
        n_vertices = values.shape[1]
        return Responses(
            values=values,
            vertices=np.arange(n_vertices),
            mesh_vertices=self._mesh_vertices(subject, hemisphere, n_vertices),
            identities=images.identities,
            rois=self._rois(subject, hemisphere),
            noise_ceiling=self._noise_ceiling(subject, hemisphere, n_vertices),
        )

    def listing(self, subject: str) -> list[str]:
        """Return the names of the pictures, in the order of the response rows."""
        pictures, _ = list_pictures(self._path("pictures", subject))
        return [self.name_of(picture.path) for picture in pictures]

    # Where things are.

    @property
    def _tree(self) -> Tree:
        """The tree under the root; the distributed one unless the other is recognised."""
        folders = ("training_fmri", "training_images", "roi_masks")
        return AUTHORS if any((self.root / name).is_dir() for name in folders) else DISTRIBUTED

    @property
    def _folders(self) -> str:
        return f"{DISTRIBUTED.folder.format(n=1)} or {AUTHORS.folder.format(n=1)}"

    def _fetch_command(self, subjects: Sequence[str]) -> str:
        named = [self.example] if list(subjects) == ["all"] else subjects
        return f"{super()._fetch_command(named)} --from PLACE"

    def _home(self, subject: str) -> Path:
        return self._path("folder", subject)

    def _path(self, kind: str, subject: str, hemisphere: str = "") -> Path:
        pattern: str = getattr(self._tree, kind)
        return self.root / pattern.format(n=self._number(subject), h=hemisphere)

    def _labels_file(self, subject: str, hemisphere: str, family: str) -> Path:
        return self._path("masks", subject) / f"{hemisphere}.{family}_challenge_space.npy"

    def _names_file(self, subject: str, family: str) -> Path:
        return self._path("masks", subject) / f"mapping_{family}.npy"

    def _mesh_mask(self, subject: str, hemisphere: str) -> Path:
        return self._path("masks", subject) / f"{hemisphere}.all-vertices_fsaverage_space.npy"

    def _files(self, subject: str, hemisphere: str | None) -> Iterable[Path]:
        if hemisphere is None:
            pictures, _ = list_pictures(self._path("pictures", subject))
            yield from (picture.path for picture in pictures)
        else:
            yield self._path("responses", subject, hemisphere)
            yield from self._family_files(subject, hemisphere)
            yield self._path("noise_ceiling", subject, hemisphere)
            yield self._mesh_mask(subject, hemisphere)
        if self._table is not None:
            yield self._table

    # What is in them.

    def _values(self, subject: str, hemisphere: str) -> NDArray[Any]:
        path = self._path("responses", subject, hemisphere)
        return map_array(path, kind="number", ndim=2, expected="responses (n_images, n_vertices)")

    def _check_rows(
        self, subject: str, hemisphere: str, values: NDArray[Any], n_images: int
    ) -> None:
        if len(values) != n_images:
            raise InputError(
                self._path("responses", subject, hemisphere),
                f"{len(values)} rows",
                f"{n_images}, one per picture in {self._path('pictures', subject)}",
                "Copy responses and pictures of the same subject and release.",
            )

    def _names(self, subject: str, family: str) -> dict[int, str]:
        return load_mapping(self._names_file(subject, family))

    def _labels(self, subject: str, hemisphere: str, family: str) -> NDArray[np.int64]:
        path = self._labels_file(subject, hemisphere, family)
        mask = load_mask(path)
        try:
            n_vertices = self._values(subject, hemisphere).shape[1]
        except InputError:  # for who reads the responses to say
            return mask
        self._check_length(path, len(mask), subject, hemisphere, n_vertices)
        return mask

    def _mesh_vertices(self, subject: str, hemisphere: str, n_vertices: int) -> NDArray[np.int64]:
        path = self._mesh_mask(subject, hemisphere)
        if not path.exists():
            return np.full(n_vertices, -1, np.int64)
        mask = load_mask(path)
        if len(mask) != N_FSAVERAGE:
            found = f"{len(mask)} vertices"
            raise InputError(path, found, f"{N_FSAVERAGE} (fsaverage)", AS_DISTRIBUTED)
        vertices = np.flatnonzero(mask)
        self._check_length(path, len(vertices), subject, hemisphere, n_vertices)
        return vertices

    def _noise_ceiling(self, subject: str, hemisphere: str, n_vertices: int) -> NDArray[np.float32]:
        """Return the ceiling as a share of variance.

        Files hold percent, or shares as the organisers' own code writes them: these have
        nothing above 1.
        """
        path = self._path("noise_ceiling", subject, hemisphere)
        if not path.exists():
            return np.full(n_vertices, np.nan, np.float32)
        ceiling = load_array(path, kind="float", ndim=1)
        self._check_length(path, len(ceiling), subject, hemisphere, n_vertices)
        if wrong := int(np.count_nonzero((ceiling < 0) | (ceiling > 100))):
            low, high = np.nanmin(ceiling), np.nanmax(ceiling)
            found = f"{wrong} vertices out of range (from {low:.4g} to {high:.4g})"
            expected = "percent (0 to 100) or shares (0 to 1) of the variance, NaN where unknown"
            raise InputError(path, found, expected, AS_DISTRIBUTED)
        scale = 100 if np.nanmax(ceiling, initial=0) > 1 else 1
        return (ceiling / scale).astype(np.float32)

    def _ceiling(self, subject: str, hemisphere: str) -> NDArray[np.float32]:
        n_vertices = self._values(subject, hemisphere).shape[1]
        return self._noise_ceiling(subject, hemisphere, n_vertices)

    def _check_length(
        self, path: Path, n_found: int, subject: str, hemisphere: str, n_vertices: int
    ) -> None:
        if n_found != n_vertices:
            raise InputError(
                path,
                f"{n_found} vertices",
                f"{n_vertices}, as in {self._path('responses', subject, hemisphere)}",
                "Copy both files of the same subject, hemisphere and release.",
            )

    # All problems at once.

    def _inspect(self, subject: str, rois: str | Sequence[str], log: Problems) -> set[str]:
        """Log every problem of a subject and return the ROI names it knows.

        Responses are searched for NaN and infinity whole up to 16 MB, in 64 evenly spaced
        rows beyond; of at most 2000 pictures, header and end are read.
        """
        pictures, problems = list_pictures(self._path("pictures", subject))
        for problem in problems:
            log.add(problem)
        if not problems:
            log.attempt(self.identities, [picture.nsd_id for picture in pictures])
        inspect_pictures([picture.path for picture in pictures], log)
        for hemisphere in HEMISPHERES:
            values = log.attempt(self._values, subject, hemisphere)
            if values is not None:
                self._inspect_values(subject, hemisphere, values, len(pictures), log)
        return self._inspect_rois(subject, log)

    def _inspect_values(
        self, subject: str, hemisphere: str, values: NDArray[Any], n_images: int, log: Problems
    ) -> None:
        if n_images:
            log.attempt(self._check_rows, subject, hemisphere, values, n_images)
        small = values.nbytes <= _WHOLE_BYTES
        searched = values if small else sample_rows(values, _SAMPLED_ROWS)
        log.attempt(check_finite, self._path("responses", subject, hemisphere), searched)
        log.attempt(self._mesh_vertices, subject, hemisphere, values.shape[1])
        log.attempt(self._noise_ceiling, subject, hemisphere, values.shape[1])
