"""Reader of the Algonauts 2023 layout: NSD responses on the surface, as distributed.

Two trees hold the same files: the one the challenge distributes and the one that the
code of the contrastive-tuning paper expects; see :data:`DISTRIBUTED` and :data:`AUTHORS`.

Source: Gifford et al. 2023, *The Algonauts Project 2023 Challenge*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cortune.data.algonauts_files import (
    AS_DISTRIBUTED,
    N_FSAVERAGE,
    UNKNOWN,
    Picture,
    inspect_pictures,
    list_pictures,
    load_mapping,
    load_mask,
    read_coco_ids,
)
from cortune.data.npy import check_finite, load_array, map_array, sample_rows
from cortune.data.problems import Problems, count, nearest, some
from cortune.data.records import Images, Responses
from cortune.data.rois import FAMILIES, HEMISPHERES, select_rois
from cortune.errors import InputError

_SUBJECT = re.compile(r"subj(?P<number>[0-9]{2})")
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


DISTRIBUTED = Tree(
    folder="subj{n:02d}",
    responses="subj{n:02d}/training_split/training_fmri/{h}_training_fmri.npy",
    pictures="subj{n:02d}/training_split/training_images",
    masks="subj{n:02d}/roi_masks",
    noise_ceiling="subj{n:02d}/test_split/noise_ceiling/{h}_noise_ceiling.npy",
)
AUTHORS = Tree(
    folder="training_fmri/Subj{n}",
    responses="training_fmri/Subj{n}/subj{n}_{h}_training_fmri.npy",
    pictures="training_images/Subj{n}",
    masks="roi_masks/Subj{n}",
    noise_ceiling="noise_ceiling/Subj{n}/{h}_noise_ceiling.npy",
)


@dataclass(frozen=True)
class AlgonautsReader:
    """Reader of an Algonauts 2023 data set.

    Parameters
    ----------
    root : Path
        Folder that holds ``subj01`` and so on, or the authors' tree with
        ``training_fmri/Subj1`` and so on. Subjects are called ``subj01`` either way.
    stim_info : path, optional
        ``nsd_stim_info_merged.csv``; identities are then COCO ids.
    """

    root: Path
    stim_info: str | Path | None = None

    def subjects(self) -> list[str]:
        """Return the subjects on disk, sorted.

        Raises
        ------
        InputError
            If there is none.
        """
        present = [f"subj{n:02d}" for n in range(1, 100) if (self.root / self._folder(n)).is_dir()]
        if not present:
            raise InputError(
                self.root,
                "no subject" if self.root.is_dir() else "no folder",
                f"folders {DISTRIBUTED.folder.format(n=1)} or {AUTHORS.folder.format(n=1)}",
                "Set the data set's root to the folder that holds them.",
            )
        return present

    def roi_sizes(self, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of each ROI, empty ones included."""
        return {name: len(where) for name, where in self._rois(subject, hemisphere).items()}

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
        return Images(tuple(self._identities(pictures)), tuple(p.path for p in pictures))

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
            rois=self._rois(subject, hemisphere, n_vertices),
            noise_ceiling=self._noise_ceiling(subject, hemisphere, n_vertices),
        )

    def raw_files(self, subject: str, hemisphere: str) -> list[Path]:
        """Return the files that :meth:`responses` reads, apart from the pictures' names."""
        optional = [
            self._path("noise_ceiling", subject, hemisphere),
            self._mesh_mask(subject, hemisphere),
        ]
        if self.stim_info is not None:
            optional.append(Path(self.stim_info))
        return [
            *self._required_files(subject, hemisphere),
            *(path for path in optional if path.exists()),
        ]

    def problems(self, subjects: str | Sequence[str], rois: str | Sequence[str]) -> list[str]:
        """Return everything wrong with the data set, in seconds.

        Every header, mask, mapping, noise ceiling and picture name is read. Responses are
        searched for NaN and infinity whole up to 16 MB, in 64 evenly spaced rows beyond;
        of at most 2000 pictures per subject, header and end are read. What these samples
        miss is found when the data are prepared.

        Parameters
        ----------
        subjects : "all" or sequence of str
        rois : "all", "early", "higher" or sequence of str

        Returns
        -------
        list of str
            One message per problem; empty if the data set is fine.
        """
        log = Problems()
        present = log.attempt(self.subjects)
        if present is None:
            return log.messages
        known: set[str] = set()
        for subject in present if isinstance(subjects, str) else subjects:
            if subject in present:
                known |= self._inspect_subject(subject, log)
            else:
                log.add(self._no_subject(subject, present))
        log.attempt(lambda: self._coco_ids)
        for roi in select_rois(rois, known):
            if known and roi not in known:
                log.add(self._no_roi(roi, known))
        return log.messages

    # Where things are.

    @property
    def _tree(self) -> Tree:
        """The tree under the root; the distributed one unless the other is recognised."""
        folders = ("training_fmri", "training_images", "roi_masks")
        return AUTHORS if any((self.root / name).is_dir() for name in folders) else DISTRIBUTED

    def _folder(self, number: int) -> str:
        return self._tree.folder.format(n=number)

    def _path(self, kind: str, subject: str, hemisphere: str = "") -> Path:
        match = _SUBJECT.fullmatch(subject)
        if match is None:
            raise InputError(
                self.root,
                f"the subject name {subject!r}",
                "a name like subj01",
                "Change the data set's subjects in the configuration.",
            )
        pattern: str = getattr(self._tree, kind)
        return self.root / pattern.format(n=int(match["number"]), h=hemisphere)

    def _mask(self, subject: str, hemisphere: str, family: str) -> Path:
        return self._path("masks", subject) / f"{hemisphere}.{family}_challenge_space.npy"

    def _mapping(self, subject: str, family: str) -> Path:
        return self._path("masks", subject) / f"mapping_{family}.npy"

    def _mesh_mask(self, subject: str, hemisphere: str) -> Path:
        return self._path("masks", subject) / f"{hemisphere}.all-vertices_fsaverage_space.npy"

    def _required_files(self, subject: str, hemisphere: str) -> list[Path]:
        return [
            self._path("responses", subject, hemisphere),
            *(self._mask(subject, hemisphere, family) for family in FAMILIES),
            *(self._mapping(subject, family) for family in FAMILIES),
        ]

    # What is in them.

    @cached_property
    def _coco_ids(self) -> dict[int, int]:
        return {} if self.stim_info is None else read_coco_ids(self.stim_info)

    def _identities(self, pictures: Sequence[Picture]) -> list[str]:
        if self.stim_info is None:
            return [f"nsd:{picture.nsd_id:05d}" for picture in pictures]
        missing = [picture.nsd_id for picture in pictures if picture.nsd_id not in self._coco_ids]
        if missing:
            raise InputError(
                self.stim_info,
                f"no row for {count(missing, 'NSD id')}: {some(missing)}",
                "a row for every picture of the data set",
                "Give the whole nsd_stim_info_merged.csv of NSD.",
            )
        return [f"coco:{self._coco_ids[picture.nsd_id]}" for picture in pictures]

    def _values(self, subject: str, hemisphere: str) -> NDArray[np.float32]:
        path = self._path("responses", subject, hemisphere)
        return map_array(
            path, kind="float32", ndim=2, expected="float32 responses (n_images, n_vertices)"
        )

    def _check_rows(
        self, subject: str, hemisphere: str, values: NDArray[np.float32], n_images: int
    ) -> None:
        if len(values) != n_images:
            raise InputError(
                self._path("responses", subject, hemisphere),
                f"{len(values)} rows",
                f"{n_images}, one per picture in {self._path('pictures', subject)}",
                "Copy responses and pictures of the same subject and release.",
            )

    def _rois(
        self, subject: str, hemisphere: str, n_vertices: int | None = None
    ) -> dict[str, NDArray[np.int64]]:
        """Return the vertices of every ROI of every family."""
        rois: dict[str, NDArray[np.int64]] = {}
        for family in FAMILIES:
            found = self._family(subject, hemisphere, family, n_vertices)
            if repeated := set(found) & set(rois):
                raise InputError(
                    self._mapping(subject, family),
                    f"the ROI {min(repeated)!r}, which another family has too",
                    "each name in one family",
                    AS_DISTRIBUTED,
                )
            rois |= found
        return rois

    def _family(
        self, subject: str, hemisphere: str, family: str, n_vertices: int | None
    ) -> dict[str, NDArray[np.int64]]:
        path = self._mask(subject, hemisphere, family)
        mask, names = load_mask(path), load_mapping(self._mapping(subject, family))
        if n_vertices is not None:
            self._check_length(path, len(mask), subject, hemisphere, n_vertices)
        if unnamed := sorted(set(np.unique(mask).tolist()) - set(names) - {0}):
            raise InputError(
                path,
                f"{count(unnamed, 'label')} without a name: {some(unnamed)}",
                f"the labels of {self._mapping(subject, family).name}: {some(sorted(names), 9)}",
                AS_DISTRIBUTED,
            )
        return {name: np.flatnonzero(mask == label) for label, name in names.items() if label != 0}

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
        """Return the ceiling as a share of variance; the files hold percent."""
        path = self._path("noise_ceiling", subject, hemisphere)
        if not path.exists():
            return np.full(n_vertices, np.nan, np.float32)
        percent = load_array(path, kind="float", ndim=1)
        self._check_length(path, len(percent), subject, hemisphere, n_vertices)
        expected = "percent of the variance, 0 to 100, NaN where unknown"
        wrong = int(np.count_nonzero((percent < 0) | (percent > 100)))
        if wrong:
            low, high = np.nanmin(percent), np.nanmax(percent)
            found = f"{wrong} vertices out of range (from {low:.4g} to {high:.4g})"
            raise InputError(path, found, expected, AS_DISTRIBUTED)
        if 0 < np.nanmax(percent, initial=0) <= 1:
            found = f"nothing above {np.nanmax(percent):.4g}, which looks like shares"
            raise InputError(path, found, expected, "Multiply the ceilings by 100.")
        return (percent / 100).astype(np.float32)

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

    def _inspect_subject(self, subject: str, log: Problems) -> set[str]:
        """Log every problem of a subject and return the ROI names it knows."""
        pictures, problems = list_pictures(self._path("pictures", subject))
        for problem in problems:
            log.add(problem)
        if pictures and not problems and self.stim_info is not None:
            log.attempt(self._identities, pictures)
        inspect_pictures([picture.path for picture in pictures], log)
        known: set[str] = set()
        for family in FAMILIES:
            names = log.attempt(load_mapping, self._mapping(subject, family))
            known |= set(FAMILIES[family] if names is None else names.values()) - {UNKNOWN}
        for hemisphere in HEMISPHERES:
            self._inspect_hemisphere(subject, hemisphere, len(pictures), log)
        return known

    def _inspect_hemisphere(
        self, subject: str, hemisphere: str, n_images: int, log: Problems
    ) -> None:
        values = log.attempt(self._values, subject, hemisphere)
        n_vertices = None if values is None else values.shape[1]
        if values is not None:
            self._inspect_values(subject, hemisphere, values, n_images, log)
        n_logged = len(log.messages)
        for family in FAMILIES:
            log.attempt(self._family, subject, hemisphere, family, n_vertices)
        if len(log.messages) == n_logged:  # else the same again
            log.attempt(self._rois, subject, hemisphere)

    def _inspect_values(
        self,
        subject: str,
        hemisphere: str,
        values: NDArray[np.float32],
        n_images: int,
        log: Problems,
    ) -> None:
        if n_images:
            log.attempt(self._check_rows, subject, hemisphere, values, n_images)
        small = values.nbytes <= _WHOLE_BYTES
        searched = values if small else sample_rows(values, _SAMPLED_ROWS)
        log.attempt(check_finite, self._path("responses", subject, hemisphere), searched)
        log.attempt(self._mesh_vertices, subject, hemisphere, values.shape[1])
        log.attempt(self._noise_ceiling, subject, hemisphere, values.shape[1])

    def _no_subject(self, subject: str, present: Sequence[str]) -> InputError:
        return InputError(
            self.root,
            f"no subject {subject!r}",
            f"one of {', '.join(present)}",
            nearest(subject, present) or "Change the data set's subjects in the configuration.",
        )

    def _no_roi(self, roi: str, known: Iterable[str]) -> InputError:
        return InputError(
            self.root,
            f"no ROI {roi!r} in any mask family",
            f"one of {', '.join(sorted(known))}",
            nearest(roi, known) or "Change the data set's rois in the configuration.",
        )
