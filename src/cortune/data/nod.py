"""Reader of the Natural Object Dataset (OpenNeuro ds004496) in its ciftify derivatives.

Source: Gong et al. 2023, *A large-scale fMRI dataset for the visual processing of
naturalistic scenes*.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cortune.data.algonauts_files import inspect_pictures
from cortune.data.cifti import map_cifti, read_cifti_header
from cortune.data.nod_files import (
    N_CORTEX,
    N_LEFT,
    best_fitted,
    check_cortex,
    cortex_part,
    load_areas,
    load_fit,
    load_parcels,
)
from cortune.data.nod_trials import Run, coco_id, list_runs, locate, read_coco_table, trial_stimuli
from cortune.data.npy import check_finite
from cortune.data.problems import Problems, count, datalad, some
from cortune.data.readers import Reader, layout
from cortune.data.records import Images, Responses
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError

RUN_TRIALS = 100
LEFT_OUT = "imagenet05"
"""A session that the data set's own analyses leave out."""

_log = logging.getLogger(__name__)
_NSD = re.compile(r"(?:.*[^A-Za-z0-9])?nsd-?(?P<id>[0-9]{5})\.[A-Za-z]+")
_SEARCHED_COLUMNS = 256
_SHOWN = 5


@layout("nod")
@dataclass(frozen=True)
class NodReader(Reader):
    """Reader of a NOD data set.

    Subjects are called ``sub01`` and so on. ROIs are the 180 areas of the Glasser atlas by
    their plain names: V1, V2, V3, V4, FFC and so on. ``lh`` is the left cortex of the
    CIFTI files. Responses are z-scored per run and vertex; repeats of an image, if any, are
    averaged. There is no noise ceiling, because an image is shown once (those of the COCO
    session, `sessions: [coco]`, in every run; their pictures are COCO's own). The root is the
    folder that holds ``sub-01``, ``stimuli``, ``supportfiles`` and ``derivatives``;
    `stim_info` is for stimuli that are named after an NSD id, such as ``nsd-00013.png``.

    Parameters
    ----------
    top_vertices : int, optional
        Vertices of each ROI and hemisphere to keep, by R² of the pRF fits; None keeps all
        and needs no fits.
    coco_of : path, optional
        CSV with the columns ``stim_file`` and ``cocoId``, for stimuli from COCO whose names
        do not carry the id.
    sessions : sequence of str, optional
        Such as ``imagenet01``; all ImageNet sessions but `LEFT_OUT` if None.
    """

    options: ClassVar[tuple[str, ...]] = ("stim_info", "top_vertices", "sessions", "coco_of")
    example: ClassVar[str] = "sub01"
    fetched: ClassVar[str] = "nod"

    top_vertices: int | None = 50
    coco_of: str | Path | None = None
    sessions: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.top_vertices is not None and self.top_vertices < 1:
            raise InputError(
                "top_vertices",
                str(self.top_vertices),
                "1 or more vertices, or null for all",
                "Change the data set's top_vertices in the configuration.",
            )

    def usable(self) -> list[str]:
        """Return the subjects on disk; with `top_vertices`, those that have pRF fits.

        Raises
        ------
        InputError
            If none has.
        """
        present = self.subjects()
        if self.top_vertices is None:
            return present
        having = [subject for subject in present if self._fit_file(subject).exists()]
        if not having:
            raise self._no_fits(present[0])
        if left := [subject for subject in present if subject not in having]:
            _log.warning(
                "%s without pRF fits, left out: %s", count(left, "subject"), some(left, 30)
            )
        return having

    def roi_sizes(self, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of each ROI, from the parcellation alone.

        Raises
        ------
        InputError
            If a support file is missing or malformed.
        """
        most = self.top_vertices
        return {
            area: len(where) if most is None else min(len(where), most)
            for area, where in self._areas_of(hemisphere).items()
        }

    def n_vertices(self, subject: str, hemisphere: str) -> int:
        """Return the number of a hemisphere's cortical grayordinates."""
        return N_LEFT if hemisphere == "lh" else N_CORTEX - N_LEFT

    def images(self, subject: str) -> Images:
        """Return the images of a subject, each once, in the order of the response rows.

        Raises
        ------
        InputError
            If runs and events disagree, a name leaves ``stimuli``, or pictures are missing.
        """
        images = self._stimuli(subject)
        if problem := self._missing_pictures(images):
            raise problem
        return images

    def responses(self, subject: str, hemisphere: str) -> Responses:
        """Return the responses of the ROIs' vertices of one hemisphere, or all, in memory.

        ``vertices`` are cortical grayordinates, 0 to 59411, left cortex first.
        ``mesh_vertices`` are -1: they mean fsaverage vertices elsewhere, and those of the
        32k_fs_LR mesh that the files give would be taken for such.

        Raises
        ------
        InputError
            If a run is unreadable, of other grayordinates, or not finite.
        """
        runs = self._present_runs(subject)
        rois = self._rois(subject, hemisphere)
        local = np.unique(np.concatenate(list(rois.values())))
        if self.whole:
            local = np.arange(self.n_vertices(subject, hemisphere))
        images = self._stimuli(subject)
        row_of = {identity: row for row, identity in enumerate(images.identities)}
        total = np.zeros((len(images), len(local)), np.float32)
        count = np.zeros((len(images), 1), np.float32)
        for run in runs:
            rows = [row_of[identity] for identity, _ in self._trials(run)]
            for row, values in zip(rows, standardised(run.betas, hemisphere, local), strict=True):
                total[row] += values
                count[row] += 1
        total /= count
        return Responses(
            values=total,
            vertices=local + (N_LEFT if hemisphere == "rh" else 0),
            mesh_vertices=np.full(len(local), -1, np.int64),
            identities=images.identities,
            rois={roi: np.searchsorted(local, where) for roi, where in rois.items()},
            noise_ceiling=np.full(len(local), np.nan, np.float32),
        )

    def facts(self, subject: str) -> dict[str, str]:
        """Return sessions, runs and images, and whether there are pRF fits."""
        runs = self._present_runs(subject)
        return {
            "sessions": f"{len({run.session for run in runs})} ({count(runs, 'run')})",
            **super().facts(subject),
            "noise ceiling": "none",
            "pRF fits": "yes" if self._fit_file(subject).exists() else "no",
        }

    def listing(self, subject: str) -> list[str]:
        """Return the place of every trial's picture, where bare names are found.

        Raises
        ------
        InputError
            If the names of a run's trials are unreadable.
        """
        return [self.name_of(path) for path in self._pictures(subject)]

    # Where things are.

    def _folder(self, subject: str) -> str:
        return f"sub-{self._number(subject):02d}"

    def _fetch_command(self, subjects: Sequence[str]) -> str:
        sessions = f" --sessions {' '.join(self.sessions)}" if self.sessions else ""
        fits = " --no-fits" if self.top_vertices is None else ""
        return f"{super()._fetch_command(subjects)}{sessions}{fits}"

    def _home(self, subject: str) -> Path:
        return self.root / "derivatives" / "ciftify" / self._folder(subject) / "results"

    def _fit_file(self, subject: str) -> Path:
        name = "ses-prf_task-prf"
        return self._home(subject) / name / f"{name}_params.dscalar.nii"

    @property
    def _support_files(self) -> tuple[Path, Path]:
        folder = self.root / "supportfiles"
        return folder / "roilbl_mmp.csv", folder / "MMP_mpmLR32k.mat"

    def _files(self, subject: str, hemisphere: str | None) -> Iterable[Path]:
        for run in self._runs(subject):
            if run.betas.exists():
                yield from (run.betas, run.events, run.labels)
        yield from (Path(path) for path in (self._table, self.coco_of) if path is not None)
        if hemisphere is None:
            yield from self._pictures(subject)
            return
        yield from self._support_files
        if self.top_vertices is not None:
            yield self._fit_file(subject)

    # Runs.

    def _runs(self, subject: str) -> list[Run]:
        """Return every run of the chosen sessions that anything on disk speaks of."""
        raw = self.root / self._folder(subject)
        return list_runs(raw, self._home(subject), self._is_chosen)

    def _is_chosen(self, session: str) -> bool:
        if self.sessions is not None:
            return session in self.sessions
        return session.startswith("imagenet") and session != LEFT_OUT

    def _present_runs(self, subject: str) -> list[Run]:
        """Return the runs that have betas, and log the others."""
        runs = self._runs(subject)
        present = [run for run in runs if run.betas.exists()]
        missing = [run.name for run in runs if run not in present]
        betas = f"{self._home(subject)}/ses-*/*_beta.dscalar.nii"
        cure = datalad([run.betas for run in runs if run not in present], betas, "")
        if not present:
            raise InputError(
                self._home(subject),
                f"no betas of {count(missing, 'run')}" if missing else "no run",
                "ses-imagenet01_task-imagenet_run-1/…_beta.dscalar.nii and so on",
                cure or "Copy the runs' betas, or change the data set's sessions.",
            )
        if missing:
            what = count(missing, "run")
            _log.warning("%s: %s without betas: %s. %s", subject, what, some(missing), cure)
        return present

    def _trials(self, run: Run) -> list[tuple[str, Path]]:
        """Return identity and picture of every trial of a run."""
        folder = self.root / "stimuli"
        trials = []
        for stimulus in trial_stimuli(run):
            path = locate(folder, stimulus)
            trials.append((self._identity(path.relative_to(folder).as_posix()), path))
        return trials

    def _identity(self, stimulus: str) -> str:
        coco = self._coco_table.get(stimulus, coco_id(stimulus))
        if coco is not None:
            return f"coco:{coco}"
        match = _NSD.fullmatch(stimulus)
        if match is None:
            return f"stim:{stimulus}"
        coco = self._coco_ids.get(int(match["id"]))
        return f"nsd:{match['id']}" if coco is None else f"coco:{coco}"

    def _stimuli(self, subject: str) -> Images:
        """Return the images of a subject, each once, whether the pictures exist or not."""
        runs = self._present_runs(subject)
        partial = [run.name for run in runs if read_cifti_header(run.betas).shape[0] < RUN_TRIALS]
        if partial:
            what = f"{count(partial, 'partial run')} (fewer than {RUN_TRIALS} trials)"
            _log.warning("%s: %s: %s", subject, what, some(partial))
        trials = [trial for run in runs for trial in self._trials(run)]
        identities, files = zip(*trials, strict=True)
        return Images(identities, files).unique()

    def _pictures(self, subject: str) -> list[Path]:
        """Return the picture of every trial."""
        runs = [run for run in self._runs(subject) if run.betas.exists()]
        return [path for run in runs for _, path in self._trials(run)]

    def _missing_pictures(self, images: Images) -> InputError | None:
        missing = [file for file in _paths(images) if not file.is_file()]
        if not missing:
            return None
        folder = self.root / "stimuli"
        names = [file.relative_to(folder).as_posix() for file in missing]
        cure = "Copy the missing pictures."
        if all(name.startswith("coco/") for name in names):
            cure = "Copy them from COCO: ds004496 does not have them."
        return InputError(
            folder,
            f"{count(names, 'missing picture')} of {len(images)}: {some(names, _SHOWN)}",
            "every stimulus of the runs",
            datalad(missing, str(folder), cure),
        )

    @cached_property
    def _coco_table(self) -> dict[str, int]:
        return {} if self.coco_of is None else read_coco_table(self.coco_of)

    # Regions.

    @cached_property
    def _areas(self) -> list[str]:
        return load_areas(self._support_files[0])

    @cached_property
    def _parcels(self) -> NDArray[np.int64]:
        return load_parcels(self._support_files[1])

    def _areas_of(self, hemisphere: str) -> dict[str, NDArray[np.int64]]:
        """Return the positions of each area's vertices within the hemisphere's cortex."""
        parcels = self._parcels[:N_LEFT] if hemisphere == "lh" else self._parcels[N_LEFT:]
        order = np.argsort(parcels, kind="stable")
        bounds = np.searchsorted(parcels[order], np.arange(len(self._areas) + 1))
        return {
            area: order[start:stop]
            for area, start, stop in zip(self._areas, bounds, bounds[1:], strict=False)
        }

    def _rois(self, subject: str, hemisphere: str) -> dict[str, NDArray[np.int64]]:
        """Return the positions of the vertices that each ROI keeps."""
        areas = self._areas_of(hemisphere)
        if self.top_vertices is None:
            return areas
        path = self._fit_file(subject)
        if not path.exists():
            raise self._no_fits(subject)
        r2 = load_fit(path, hemisphere)
        return {area: best_fitted(where, r2, self.top_vertices) for area, where in areas.items()}

    def _no_fits(self, subject: str) -> InputError:
        path = self._fit_file(subject)
        cure = datalad([path], str(path), "Copy the file: the data set has it of sub-01 to sub-09.")
        return InputError(
            path,
            "no file",
            f"the pRF fits that choose the top {self.top_vertices} vertices of each ROI",
            f"{cure} Or set the data set's `top_vertices: null` to keep all vertices.",
        )

    # All problems at once.

    def _inspect_shared(self, log: Problems) -> None:
        log.attempt(lambda: self._areas)
        log.attempt(lambda: self._parcels)
        log.attempt(lambda: self._coco_table)
        super()._inspect_shared(log)

    def _inspect(self, subject: str, rois: str | Sequence[str], log: Problems) -> Iterable[str]:
        """Log every problem of a subject and return the areas.

        Responses are searched for NaN and infinity in at most 256 vertices per hemisphere,
        spread over the ROIs asked for; of at most 2000 pictures, header and end are read.
        Missing and partial runs are logged as warnings.
        """
        areas = log.attempt(lambda: self._areas) or []
        wanted = [area for area in areas if isinstance(rois, str) or area in rois]
        columns: dict[str, NDArray[np.int64]] = {}
        for hemisphere in HEMISPHERES if wanted else ():
            found = log.attempt(self._rois, subject, hemisphere)
            if found is not None:
                union = np.unique(np.concatenate([found[area] for area in wanted]))
                columns[hemisphere] = union[:: -(-len(union) // _SEARCHED_COLUMNS) or 1]
        trials: dict[str, Path] = {}
        for run in log.attempt(self._present_runs, subject) or ():
            log.attempt(_check_run, run, columns)
            trials |= dict(log.attempt(self._trials, run) or ())
        images = Images(tuple(trials), tuple(trials.values()))
        if problem := self._missing_pictures(images):
            log.add(problem)
        inspect_pictures([file for file in _paths(images) if file.is_file()], log)
        return areas


def standardised(
    path: str | Path, hemisphere: str, vertices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Read some vertices of a run, z-scored over its trials; constant ones become 0.

    Parameters
    ----------
    path : path
        Betas of one run.
    hemisphere : {"lh", "rh"}
    vertices : array of int64
        Positions within the hemisphere's cortex.

    Returns
    -------
    array (n_trials, n_vertices), float32

    Raises
    ------
    InputError
        If the file is damaged, of other grayordinates, not finite, or has a single trial.
    """
    values = _columns(path, hemisphere, vertices)
    check_finite(path, values)
    constant = values.min(axis=0) == values.max(axis=0)
    values -= values.mean(axis=0)
    values /= np.where(constant, np.inf, values.std(axis=0))
    return values.astype(np.float32)


def _columns(path: str | Path, hemisphere: str, vertices: NDArray[np.int64]) -> NDArray[Any]:
    header = read_cifti_header(path)
    check_cortex(path, header)
    if header.shape[0] < 2:
        cure = "Copy the whole run, or remove its results folder."
        raise InputError(path, "1 trial", "two trials or more to z-score", cure)
    return map_cifti(path)[:, cortex_part(header, hemisphere)][:, vertices].astype(np.float64)


def _check_run(run: Run, columns: dict[str, NDArray[np.int64]]) -> None:
    for hemisphere in HEMISPHERES:
        vertices = columns.get(hemisphere, np.empty(0, np.int64))
        check_finite(run.betas, _columns(run.betas, hemisphere, vertices))


def _paths(images: Images) -> list[Path]:
    return [file for file in images.files if isinstance(file, Path)]
