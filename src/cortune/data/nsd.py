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

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cortune.data.algonauts_files import N_NSD
from cortune.data.families import FamilyReader
from cortune.data.hdf5 import hdf5_array
from cortune.data.images import check_brick, content_digest
from cortune.data.nsd_average import MeanResponses
from cortune.data.nsd_files import Betas, Design, read_colour_table, read_design
from cortune.data.nsd_labels import load_labels, load_ncsnr
from cortune.data.nsd_tree import BRICK, DESIGN, SESSIONS, STIM_INFO, STIMULI, SURFACE, NsdTree
from cortune.data.problems import AGAIN, Problems
from cortune.data.readers import layout
from cortune.data.records import BrickRow, Halves, Images, Responses
from cortune.data.rois import FAMILIES, HEMISPHERES, family_names
from cortune.errors import InputError
from cortune.reliability import noise_ceiling

_NSD_TRIALS, _NSD_SESSION = 30_000, 750
_SOON = 1 << 30  # bytes
_LINES = 512  # of pixels in memory at a time


@layout("nsd")
@dataclass(frozen=True)
class NsdReader(FamilyReader):
    """Reader of the raw Natural Scenes Dataset.

    The root is the folder that holds ``nsddata``, ``nsddata_betas`` and
    ``nsddata_stimuli``; where `stim_info` is not given, the one under it is taken. Vertices
    that turn out to have no data are left out of the responses, not of the sizes of ROIs.

    Parameters
    ----------
    space : {"fsaverage", "func1pt8mm"}
        Surface or volume. Vertices of a volume are positions in its flattened (Z, Y, X)
        (MATLAB's linear index, from 0).
    repeats : int
        Images shown less often in the sessions on disk are left out.
    """

    options: ClassVar[tuple[str, ...]] = ("stim_info", "space", "repeats")

    keeps_repeats: ClassVar[bool] = True
    fetched: ClassVar[str] = "nsd"

    space: str = SURFACE
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.space not in SESSIONS:
            cure = "Change the data set's space in the configuration."
            raise InputError("space", repr(self.space), f"one of {', '.join(SESSIONS)}", cure)

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
            self.identities(ids.tolist()),
            tuple(BrickRow(pictures, BRICK, nsd_id) for nsd_id in ids.tolist()),
            tuple(ids.tolist()),
        )

    def twins(self, subjects: Sequence[str]) -> list[list[str]]:
        """Return the names under which the same picture is in a file that is read in seconds."""
        small = (self.root / STIMULI).stat().st_blocks * 512 < _SOON
        return [[first, twin] for twin, first in self.same().items()] if small else []

    def same(self) -> dict[str, str]:
        """Return the names of pictures that are twice among the 73 000, with the first one's.

        One line of pixels of each is read; where several have it in common, all of them.
        """
        path, lines = self.root / STIMULI, dict[str, list[int]]()
        found: dict[int, int] = {}
        with hdf5_array(path, BRICK, kind="uint8", ndim=4) as brick:
            for start in range(0, len(brick), _LINES):
                block = brick[start : start + _LINES, brick.shape[1] // 2]
                for nsd_id, line in enumerate(block, start):
                    if line.any():
                        lines.setdefault(content_digest(line), []).append(nsd_id)
            for group in lines.values():
                first: dict[str, int] = {}
                for nsd_id in group if len(group) > 1 else ():
                    same = first.setdefault(content_digest(brick[nsd_id]), nsd_id)
                    if same != nsd_id:
                        found[nsd_id] = same
        twins = [*found, *found.values()]
        named = dict(zip(twins, self.identities(twins), strict=True))
        return {named[twin]: named[first] for twin, first in found.items()}

    def responses(self, subject: str, hemisphere: str) -> Responses:
        """Return the mean z-scored responses of every vertex that belongs to an ROI, or all.

        Memory is bounded by a block of vertices of one session; the means are collected in
        an unnamed temporary file, which the result maps.

        Raises
        ------
        InputError
            If betas, design and labels do not fit together.
        ResourceError
            If the folder for temporary files is too small.
        """
        rois = self._rois(subject, hemisphere)
        ids, repeats = self._seen(subject, hemisphere)
        vertices = np.unique(np.concatenate(list(rois.values())))
        if self.whole:
            vertices = self._cortex(subject, hemisphere)
        mean = MeanResponses(repeats, len(vertices))
        shown = self._shown(subject, hemisphere)
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
            identities=self.identities(ids.tolist()),
            rois=_columns(rois, kept),
            noise_ceiling=self._noise_ceiling(subject, hemisphere, kept, ncsnr, repeats),
        )

    def halves(self, subject: str, hemisphere: str, wanted: Container[str]) -> Halves:
        """Return responses to odd and to even repeats; memory and errors as of responses."""
        rois = self._rois(subject, hemisphere)
        ids, repeats = self._seen(subject, hemisphere)
        names = self.identities(ids.tolist())
        which = np.array([name in wanted for name in names]) & (repeats > 1)
        if not which.any():
            empty = np.zeros((0, 0), np.float32)
            return Halves([empty, empty], np.zeros((2, 0), np.int64), {})
        ids, repeats = ids[which], repeats[which]
        vertices = np.unique(np.concatenate(list(rois.values())))
        counts = np.stack([(repeats + 1) // 2, repeats // 2])
        halves = [MeanResponses(count, len(vertices)) for count in counts]
        row_of = {image: row for row, image in enumerate(ids.tolist())}
        times = np.zeros(len(ids), np.int64)
        shown = self._shown(subject, hemisphere)
        for betas, images in zip(self._tree.open_sessions(subject, hemisphere), shown, strict=True):
            rows = np.full((2, len(images)), -1)
            for trial, image in enumerate(images.tolist()):
                if (row := row_of.get(image)) is not None:
                    rows[times[row] % 2, trial] = row
                    times[row] += 1
            for half, own in zip(halves, rows, strict=True):
                half.add(betas, vertices, own)
        kept = vertices[~halves[0].missing]
        return Halves([half.finish()[0] for half in halves], counts, _columns(rois, kept))

    def n_vertices(self, subject: str, hemisphere: str) -> int:
        """Return the number of vertices of the cortex; sessions may not cover all."""
        return len(self._cortex(subject, hemisphere))

    def _cortex(self, subject: str, hemisphere: str) -> NDArray[np.int64]:
        """Return the vertices that have a label; it is negative outside the cortex."""
        return np.flatnonzero(self._labels(subject, hemisphere, next(iter(FAMILIES))) >= 0)

    # Where things are.

    @property
    def _tree(self) -> NsdTree:
        return NsdTree(self.root, self.space)

    def _fetch_command(self, subjects: Sequence[str]) -> str:
        space = "" if self.space == SURFACE else f" --space {self.space}"
        return f"{super()._fetch_command(subjects)}{space}"

    def _home(self, subject: str) -> Path:
        return self._tree.betas_folder(subject)

    def _names_file(self, subject: str, family: str) -> Path:
        return self._tree.table(subject, family)

    def _labels_file(self, subject: str, hemisphere: str, family: str) -> Path:
        return self._tree.labels(subject, hemisphere, family)

    def _files(self, subject: str, hemisphere: str | None) -> Iterable[Path]:
        tree, side = self._tree, hemisphere or HEMISPHERES[0]
        for number in sorted(tree.on_disk(subject, side)):
            yield tree.session(subject, side, number)
        yield self.root / DESIGN
        if self._table is not None:
            yield self._table
        if hemisphere is None:
            yield self.root / STIMULI
        else:
            yield from self._family_files(subject, hemisphere)
            yield tree.ncsnr(subject, hemisphere)
            yield tree.transform(subject, hemisphere)

    # The regions.

    def _names(self, subject: str, family: str) -> dict[int, str]:
        """Return the colour table's names, or else those of the field's order."""
        table = self._names_file(subject, family)
        return read_colour_table(table) if table.exists() else family_names(family)

    def _labels(self, subject: str, hemisphere: str, family: str) -> NDArray[np.int64]:
        return load_labels(self._tree, subject, hemisphere, family)

    # The design.

    @cached_property
    def _design(self) -> Design:
        return read_design(self.root / DESIGN)

    @property
    def _table(self) -> Path | None:
        default = self.root / STIM_INFO
        return default if self.stim_info is None and default.exists() else super()._table

    def _shown(self, subject: str, hemisphere: str) -> list[NDArray[np.int64]]:
        """Return the NSD ids that the trials of each session on disk show."""
        for problem in self._session_problems(subject, [hemisphere]):
            raise problem
        for problem in self._design_problems(subject, [hemisphere]):
            raise problem
        lengths = [betas.n_trials for betas in self._tree.open_sessions(subject, hemisphere)]
        order = self._design.ordering[: sum(lengths)]
        shown = self._design.images[self._number(subject) - 1, order]
        return np.split(shown, np.cumsum(lengths)[:-1])

    def _seen(
        self, subject: str, hemisphere: str = HEMISPHERES[0]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the NSD ids shown often enough, ascending, and how often each was."""
        shown = np.concatenate(self._shown(subject, hemisphere))
        ids, repeats = np.unique(shown, return_counts=True)
        enough = repeats >= self.repeats
        if not enough.any():
            raise InputError(
                self._tree.betas_folder(subject),
                f"no image shown {self.repeats} times, {repeats.max()} at most",
                f"images shown {self.repeats} times or more",
                "Copy more sessions, or ask for fewer repeats.",
            )
        return ids[enough], repeats[enough]

    def _session_problems(self, subject: str, sides: Iterable[str]) -> Iterator[InputError]:
        """Find sessions that are missing or damaged, up to the last of either hemisphere."""
        present = {side: self._tree.on_disk(subject, side) for side in HEMISPHERES}
        last = max(max(numbers, default=1) for numbers in present.values())
        first: Betas | None = None
        for hemisphere in sides:
            numbers = present[hemisphere]
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
                    yield InputError(path, found, f"{first.grid[::-1]}, as {first.path}", AGAIN)

    def _design_problems(self, subject: str, sides: Iterable[str]) -> Iterator[InputError]:
        """Find what of the design does not fit the sessions on disk."""
        path, design = self.root / DESIGN, self._design
        if not 1 <= self._number(subject) <= len(design.images):
            found = f"{len(design.images)} rows of subjectim"
            cure = "Change the data set's subjects in the configuration."
            yield InputError(path, found, f"one for {subject}", cure)
        sessions = [self._tree.open_sessions(subject, hemisphere) for hemisphere in sides]
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
                    yield InputError(betas.path, found, wanted, AGAIN)

    def _noise_ceiling(
        self,
        subject: str,
        hemisphere: str,
        vertices: NDArray[np.int64],
        estimated: NDArray[np.float64],
        repeats: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return the share of variance that can be explained; estimate ncsnr where no file is."""
        distributed = load_ncsnr(self._tree, subject, hemisphere)
        ncsnr = estimated if distributed is None else distributed[vertices]
        return noise_ceiling(ncsnr, repeats).astype(np.float32)

    def facts(self, subject: str) -> dict[str, str]:
        """Return the number of sessions beside the rest."""
        sessions = len(self._tree.on_disk(subject, HEMISPHERES[0]))
        return {"sessions": str(sessions), **super().facts(subject)}

    def _ceiling(self, subject: str, hemisphere: str) -> NDArray[np.float32] | None:
        ncsnr = load_ncsnr(self._tree, subject, hemisphere)
        if ncsnr is None:
            return None
        vertices = np.unique(np.concatenate(list(self._rois(subject, hemisphere).values())))
        return noise_ceiling(ncsnr[vertices], self._seen(subject)[1]).astype(np.float32)

    # All problems at once.

    def _inspect_shared(self, log: Problems) -> None:
        log.attempt(self._check_pictures)
        log.attempt(lambda: self._design)
        super()._inspect_shared(log)

    def _check_pictures(self) -> None:
        path = self.root / STIMULI
        with hdf5_array(path, BRICK, kind="uint8", ndim=4) as brick:
            check_brick(path, brick.shape)
            if len(brick) != N_NSD:
                raise InputError(path, f"{len(brick)} pictures", f"{N_NSD}", AGAIN)

    def _inspect(self, subject: str, rois: str | Sequence[str], log: Problems) -> set[str]:
        """Log every problem of a subject and return the ROI names it knows.

        Vertices without data are found when the responses are prepared.
        """
        sessions = list(self._session_problems(subject, self._tree.sides))
        for problem in sessions:
            log.add(problem)
        if not sessions:
            log.attempt(self._inspect_design, subject, log)
        known = self._inspect_rois(subject, log)
        for hemisphere in HEMISPHERES:
            log.attempt(load_ncsnr, self._tree, subject, hemisphere)
        return known

    def _inspect_design(self, subject: str, log: Problems) -> None:
        problems = list(self._design_problems(subject, self._tree.sides))
        for problem in problems:
            log.add(problem)
        if not problems:
            self.identities(self._seen(subject)[0].tolist())


def _equal_parts(total: int, n_parts: int) -> list[int]:
    """Share `total` out equally to one, the larger parts first."""
    share, more = divmod(total, n_parts)
    return [share + 1] * more + [share] * (n_parts - more)


def _columns(
    rois: Mapping[str, NDArray[np.int64]], kept: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Return the columns of each ROI where vertices without data are left out."""
    return {
        name: np.searchsorted(kept, np.intersect1d(where, kept)) for name, where in rois.items()
    }
