"""Reader of the raw Natural Scenes Dataset: single-trial betas, one session at a time.

Responses are prepared as the Algonauts challenge prepared them: every vertex is z-scored
over the trials of a session, the trials of an image are averaged, and vertices without
data in some session are left out. Rows are in ascending order of NSD id.

Checked against the NSD Data Manual and public code that reads the data: all paths, the
1-based design, the integer scale and chunks of volume betas, colour tables beside the
labels without a hemisphere, and that ``white-to-fsaverage`` holds for each fsaverage
vertex the 1-based native vertex. Remembered, not checked against a file: that volume
labels are negative outside the cortex, and that voxels a session does not cover are zero.

Source: Allen et al. 2022, *A massive 7T fMRI dataset to bridge cognitive neuroscience and
artificial intelligence*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cortune.data.algonauts_files import N_NSD, UNKNOWN, read_coco_ids
from cortune.data.hdf5 import hdf5_array
from cortune.data.images import check_brick
from cortune.data.nsd_average import MeanResponses
from cortune.data.nsd_files import Betas, Design, read_design
from cortune.data.nsd_labels import family_rois, load_ncsnr, load_rois, roi_names
from cortune.data.nsd_tree import BRICK, DESIGN, SESSIONS, STIM_INFO, STIMULI, SURFACE, NsdTree
from cortune.data.problems import Problems, count, nearest, some
from cortune.data.records import BrickRow, Images, Responses
from cortune.data.rois import FAMILIES, HEMISPHERES, select_rois
from cortune.errors import InputError

_SUBJECT = re.compile(r"subj[0-9]{2}")
_NSD_TRIALS, _NSD_SESSION = 30_000, 750
_AGAIN = "Copy or download the file again."


@dataclass(frozen=True)
class NsdReader:
    """Reader of the raw Natural Scenes Dataset.

    Parameters
    ----------
    root : Path
        Folder that holds ``nsddata``, ``nsddata_betas`` and ``nsddata_stimuli``.
    stim_info : path, optional
        ``nsd_stim_info_merged.csv``, from which images are identified by their COCO ids;
        by default the one under `root`, if there is one.
    space : {"fsaverage", "func1pt8mm"}
        Surface or volume. Vertices of a volume are positions in its flattened (Z, Y, X)
        (MATLAB's linear index, from 0).
    repeats : int
        Images shown less often in the sessions on disk are left out.
    """

    root: Path
    stim_info: str | Path | None = None
    space: str = SURFACE
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.space not in SESSIONS:
            cure = "Change the data set's space in the configuration."
            raise InputError("space", repr(self.space), f"one of {', '.join(SESSIONS)}", cure)

    def subjects(self) -> list[str]:
        """Return the subjects whose betas are on disk, sorted.

        Raises
        ------
        InputError
            If there is none.
        """
        folders = self.root.glob(f"nsddata_betas/ppdata/subj*/{self.space}")
        names = (folder.parent.name for folder in folders if folder.is_dir())
        present = sorted(name for name in names if _SUBJECT.fullmatch(name))
        if not present:
            raise InputError(
                self.root,
                "no subject" if self.root.is_dir() else "no folder",
                f"folders {self._tree.betas_folder('subj01').relative_to(self.root)}",
                "Set the data set's root to the folder that holds nsddata_betas.",
            )
        return present

    def roi_sizes(self, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of each ROI, empty ones included.

        Vertices that turn out to have no data are among them.
        """
        return {
            name: len(where) for name, where in load_rois(self._tree, subject, hemisphere).items()
        }

    def images(self, subject: str) -> Images:
        """Return the images shown in the sessions on disk, by NSD id.

        Raises
        ------
        InputError
            If sessions and design do not fit together.
        """
        ids, _ = self._seen(subject)
        pictures = self.root / STIMULI
        return Images(
            tuple(self._identities(ids)),
            tuple(BrickRow(pictures, BRICK, nsd_id) for nsd_id in ids.tolist()),
        )

    def responses(self, subject: str, hemisphere: str) -> Responses:
        """Return the mean z-scored responses of every vertex that belongs to an ROI.

        Memory is bounded by a block of vertices of one session; the means are collected in
        an unnamed temporary file, which the result maps.

        Raises
        ------
        InputError
            If betas, design and labels do not fit together.
        ResourceError
            If the folder for temporary files is too small.
        """
        rois = load_rois(self._tree, subject, hemisphere)
        ids, repeats = self._seen(subject)
        vertices = np.unique(np.concatenate(list(rois.values())))
        mean = MeanResponses(repeats, len(vertices))
        shown = self._shown(subject)
        for betas, images in zip(self._tree.open_sessions(subject, hemisphere), shown, strict=True):
            row = np.searchsorted(ids, images)
            known = np.take(ids, row, mode="clip") == images
            mean.add(betas, vertices, np.where(known, row, -1))
        values, ncsnr = mean.finish()
        kept = vertices[~mean.missing]
        return Responses(
            values=values,
            vertices=kept,
            mesh_vertices=kept if self.space == SURFACE else np.full(len(kept), -1),
            identities=tuple(self._identities(ids)),
            rois={
                name: np.searchsorted(kept, np.intersect1d(where, kept))
                for name, where in rois.items()
            },
            noise_ceiling=self._noise_ceiling(subject, hemisphere, kept, ncsnr, repeats),
        )

    def raw_files(self, subject: str, hemisphere: str) -> list[Path]:
        """Return the files that :meth:`responses` reads."""
        numbers = sorted(self._tree.on_disk(subject, hemisphere)) or [1]
        optional = [
            self._tree.ncsnr(subject, hemisphere),
            self._tree.transform(subject, hemisphere),
            *(self._tree.table(subject, family) for family in FAMILIES),
            Path(self._stim_info or self.root / STIM_INFO),
        ]
        return [
            *(self._tree.session(subject, hemisphere, number) for number in numbers),
            *(self._tree.labels(subject, hemisphere, family) for family in FAMILIES),
            self.root / DESIGN,
            *(path for path in optional if path.exists()),
        ]

    def problems(self, subjects: str | Sequence[str], rois: str | Sequence[str]) -> list[str]:
        """Return everything wrong with the data set, in seconds.

        Headers of pictures and betas, the design, labels and noise ceilings are read.
        Vertices without data are found when the responses are prepared.

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
        log.attempt(self._check_pictures)
        log.attempt(lambda: self._design)
        log.attempt(lambda: self._coco_ids)
        known: set[str] = set()
        for subject in present if isinstance(subjects, str) else subjects:
            if subject in present:
                known |= self._inspect_subject(subject, log)
            else:
                log.add(self._no_subject(subject, present))
        for roi in select_rois(rois, known):
            if known and roi not in known:
                cure = nearest(roi, known) or "Change the data set's rois in the configuration."
                expected = f"one of {', '.join(sorted(known))}"
                log.add(InputError(self.root, f"no ROI {roi!r} in any label file", expected, cure))
        return log.messages

    @property
    def _tree(self) -> NsdTree:
        return NsdTree(self.root, self.space)

    # The design.

    @cached_property
    def _design(self) -> Design:
        return read_design(self.root / DESIGN)

    @property
    def _stim_info(self) -> str | Path | None:
        if self.stim_info is None and (self.root / STIM_INFO).exists():
            return self.root / STIM_INFO
        return self.stim_info

    @cached_property
    def _coco_ids(self) -> dict[int, int] | None:
        return None if self._stim_info is None else read_coco_ids(self._stim_info)

    def _identities(self, ids: NDArray[np.int64]) -> list[str]:
        coco = self._coco_ids
        if coco is None:
            return [f"nsd:{nsd_id:05d}" for nsd_id in ids.tolist()]
        if missing := [nsd_id for nsd_id in ids.tolist() if nsd_id not in coco]:
            raise InputError(
                self._stim_info,
                f"no row for {count(missing, 'NSD id')}: {some(missing)}",
                "a row for every picture of the data set",
                "Give the whole nsd_stim_info_merged.csv of NSD.",
            )
        return [f"coco:{coco[nsd_id]}" for nsd_id in ids.tolist()]

    def _shown(self, subject: str) -> list[NDArray[np.int64]]:
        """Return the NSD ids that the trials of each session on disk show."""
        for problem in self._session_problems(subject):
            raise problem
        for problem in self._design_problems(subject):
            raise problem
        lengths = [betas.n_trials for betas in self._tree.open_sessions(subject, HEMISPHERES[0])]
        order = self._design.ordering[: sum(lengths)]
        shown = self._design.images[int(subject.removeprefix("subj")) - 1, order]
        return np.split(shown, np.cumsum(lengths)[:-1])

    def _seen(self, subject: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the NSD ids shown often enough, ascending, and how often each was."""
        ids, repeats = np.unique(np.concatenate(self._shown(subject)), return_counts=True)
        enough = repeats >= self.repeats
        if not enough.any():
            raise InputError(
                self._tree.betas_folder(subject),
                f"no image shown {self.repeats} times, {repeats.max()} at most",
                f"images shown {self.repeats} times or more",
                "Copy more sessions, or ask for fewer repeats.",
            )
        return ids[enough], repeats[enough]

    def _session_problems(self, subject: str) -> Iterator[InputError]:
        """Find sessions that are missing or damaged, up to the last of either hemisphere."""
        present = {
            hemisphere: self._tree.on_disk(subject, hemisphere) for hemisphere in self._tree.sides
        }
        last = max(max(numbers, default=1) for numbers in present.values())
        first: Betas | None = None
        for hemisphere, numbers in present.items():
            for number in range(1, last + 1):
                path = self._tree.session(subject, hemisphere, number)
                if number not in numbers:
                    expected = f"every session from 1 to {last}, the last on disk"
                    yield InputError(path, "no file", expected, "Copy or download the file.")
                    continue
                try:
                    betas = self._tree.open(subject, hemisphere, number)
                except InputError as problem:
                    yield problem
                    continue
                first = first or betas
                if betas.grid != first.grid:
                    found = f"{betas.grid[::-1]} voxels"
                    yield InputError(path, found, f"{first.grid[::-1]}, as {first.path}", _AGAIN)

    def _design_problems(self, subject: str) -> Iterator[InputError]:
        """Find what of the design does not fit the sessions on disk."""
        path, design = self.root / DESIGN, self._design
        if not 1 <= int(subject.removeprefix("subj")) <= len(design.images):
            found = f"{len(design.images)} rows of subjectim"
            cure = "Change the data set's subjects in the configuration."
            yield InputError(path, found, f"one for {subject}", cure)
        sessions = [
            self._tree.open_sessions(subject, hemisphere) for hemisphere in self._tree.sides
        ]
        n_trials = len(design.ordering)
        longest = max(betas.n_trials for side in sessions for betas in side)
        if n_trials == _NSD_TRIALS:
            longest = _NSD_SESSION
        total = max(sum(betas.n_trials for betas in side) for side in sessions)
        if n_trials < total:
            found = f"{n_trials} trials in masterordering"
            wanted = f"{total} or more, as in the {len(sessions[0])} sessions of {subject}"
            yield InputError(path, found, wanted, "Copy design and betas of the same release.")
            return
        # Sessions share the trials of the design equally, to one trial.
        expected = _equal_parts(n_trials, -(-n_trials // longest))
        for side in sessions:
            for betas, n_expected in zip(side, expected, strict=False):
                if betas.n_trials != n_expected:
                    found = f"{betas.n_trials} trials"
                    wanted = f"{n_expected}, as masterordering of {n_trials} trials has it"
                    yield InputError(betas.path, found, wanted, _AGAIN)

    def _noise_ceiling(
        self,
        subject: str,
        hemisphere: str,
        vertices: NDArray[np.int64],
        estimated: NDArray[np.float64],
        repeats: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return ncsnr^2 / (ncsnr^2 + mean of 1 / repeats); estimate ncsnr where no file is."""
        distributed = load_ncsnr(self._tree, subject, hemisphere)
        ncsnr = estimated if distributed is None else distributed[vertices]
        signal = np.square(ncsnr, dtype=np.float64)
        share: NDArray[np.float64] = signal / (signal + np.mean(1 / repeats))
        return share.astype(np.float32)

    # All problems at once.

    def _check_pictures(self) -> None:
        path = self.root / STIMULI
        with hdf5_array(path, BRICK, kind="uint8", ndim=4) as brick:
            check_brick(path, brick.shape)
            if len(brick) != N_NSD:
                raise InputError(path, f"{len(brick)} pictures", f"{N_NSD}", _AGAIN)

    def _inspect_subject(self, subject: str, log: Problems) -> set[str]:
        """Log every problem of a subject and return the ROI names it knows."""
        sessions = list(self._session_problems(subject))
        for problem in sessions:
            log.add(problem)
        if not sessions:
            log.attempt(self._inspect_design, subject, log)
        known: set[str] = set()
        for family in FAMILIES:
            names = log.attempt(roi_names, self._tree, subject, family)
            known |= set(FAMILIES[family] if names is None else names.values()) - {UNKNOWN}
        for hemisphere in HEMISPHERES:
            n_logged = len(log.messages)
            for family in FAMILIES:
                log.attempt(family_rois, self._tree, subject, hemisphere, family)
            if len(log.messages) == n_logged:  # else the same again
                log.attempt(load_rois, self._tree, subject, hemisphere)
            log.attempt(load_ncsnr, self._tree, subject, hemisphere)
        return known

    def _inspect_design(self, subject: str, log: Problems) -> None:
        problems = list(self._design_problems(subject))
        for problem in problems:
            log.add(problem)
        if not problems:
            self._identities(self._seen(subject)[0])

    def _no_subject(self, subject: str, present: Sequence[str]) -> InputError:
        return InputError(
            self.root,
            f"no subject {subject!r}",
            f"one of {', '.join(present)}",
            nearest(subject, present) or "Change the data set's subjects in the configuration.",
        )


def _equal_parts(total: int, n_parts: int) -> list[int]:
    """Share `total` out equally to one, the larger parts first."""
    share, more = divmod(total, n_parts)
    return [share + 1] * more + [share] * (n_parts - more)
