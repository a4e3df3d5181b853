"""Where the raw Natural Scenes Dataset keeps the files of a subject."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cortune.data.nsd_files import Betas, open_surface_betas, open_volume_betas
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError

SURFACE, VOLUME = "fsaverage", "func1pt8mm"
BETAS = "betas_fithrf_GLMdenoise_RR"
STIMULI = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
BRICK = "imgBrick"
DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIM_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
SESSIONS = {
    SURFACE: re.compile(r"(?P<hemisphere>[lr]h)\.betas_session(?P<number>[0-9]{2})\.mgh"),
    VOLUME: re.compile(r"betas_session(?P<number>[0-9]{2})\.hdf5"),
}


@dataclass(frozen=True)
class NsdTree:
    """Files by subject, hemisphere, session and family of ROIs, and the betas in them.

    Parameters
    ----------
    root : Path
    space : {"fsaverage", "func1pt8mm"}
    """

    root: Path
    space: str

    def betas_folder(self, subject: str) -> Path:
        """Return the folder of a subject's betas."""
        return self.root / "nsddata_betas" / "ppdata" / subject / self.space / BETAS

    def labels_folder(self, subject: str) -> Path:
        """Return the folder of a subject's maps on its surface."""
        return self.root / "nsddata" / "freesurfer" / subject / "label"

    def session(self, subject: str, hemisphere: str, number: int) -> Path:
        """Return the file of a session's betas."""
        name = f"betas_session{number:02d}"
        name = f"{hemisphere}.{name}.mgh" if self.space == SURFACE else f"{name}.hdf5"
        return self.betas_folder(subject) / name

    def ncsnr(self, subject: str, hemisphere: str) -> Path:
        """Return the file of noise-ceiling SNRs."""
        name = f"{hemisphere}.ncsnr.mgh" if self.space == SURFACE else "ncsnr.nii.gz"
        return self.betas_folder(subject) / name

    def labels(self, subject: str, hemisphere: str, family: str) -> Path:
        """Return the file of a family's labels."""
        if self.space == SURFACE:
            return self.labels_folder(subject) / f"{hemisphere}.{family}.mgz"
        folder = self.root / "nsddata" / "ppdata" / subject / self.space / "roi"
        return folder / f"{hemisphere}.{family}.nii.gz"

    def transform(self, subject: str, hemisphere: str) -> Path:
        """Return the file that maps fsaverage to the subject's own surface."""
        folder = self.root / "nsddata" / "ppdata" / subject / "transforms"
        return folder / f"{hemisphere}.white-to-fsaverage.mgz"

    def table(self, subject: str, family: str) -> Path:
        """Return the file of a family's label names, for both hemispheres and spaces."""
        return self.labels_folder(subject) / f"{family}.mgz.ctab"

    def on_disk(self, subject: str, hemisphere: str) -> set[int]:
        """Return the numbers of the sessions of a hemisphere that are on disk."""
        folder = self.betas_folder(subject)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        matches = filter(None, map(SESSIONS[self.space].fullmatch, names))
        return {
            int(match["number"])
            for match in matches
            if match.groupdict().get("hemisphere", hemisphere) == hemisphere
        }

    @property
    def sides(self) -> tuple[str, ...]:
        """The hemispheres whose betas lie in files of their own."""
        return HEMISPHERES if self.space == SURFACE else HEMISPHERES[:1]

    def open_sessions(self, subject: str, hemisphere: str) -> list[Betas]:
        """Read the headers of a hemisphere's sessions, in order."""
        numbers = sorted(self.on_disk(subject, hemisphere))
        return [self.open(subject, hemisphere, number) for number in numbers]

    def open(self, subject: str, hemisphere: str, number: int) -> Betas:
        """Read the header of a session's betas."""
        path = self.session(subject, hemisphere, number)
        return open_surface_betas(path) if self.space == SURFACE else open_volume_betas(path)

    def check_grid(self, subject: str, hemisphere: str, path: Path, shape: tuple[int, ...]) -> None:
        """Require the shape of the betas, as far as there are any."""
        for number in sorted(self.on_disk(subject, hemisphere))[:1]:
            betas = self.open(subject, hemisphere, number)
            if betas.grid != shape:
                found, expected = f"{shape[::-1]} voxels", f"{betas.grid[::-1]}, as {betas.path}"
                cure = "Copy both files of the same subject and resolution."
                raise InputError(path, found, expected, cure)
