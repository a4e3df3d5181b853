"""Writer of the raw NSD layout: single trials, the design and the pictures.

The trials are those that the Algonauts writer averages. What concerns the data set as a
whole is written for all subjects at once, whoever's responses are simulated.
"""

from __future__ import annotations

import csv
import mmap
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from cortune.artifacts import PathLike, atomic
from cortune.data.nsd_tree import BETAS, BRICK, DESIGN, STIM_INFO, STIMULI, SURFACE
from cortune.data.readers import PHOTOGRAPHS
from cortune.data.rois import HEMISPHERES
from cortune.disk import require_space
from cortune.errors import InputError
from cortune.seeds import rng
from cortune.simulate.algonauts import fsaverage_truth, picture_of, scenes_of
from cortune.simulate.brain import Brain, make_brain
from cortune.simulate.files import write_mat
from cortune.simulate.layout import make_layout
from cortune.simulate.layouts import Simulator, simulator
from cortune.simulate.nsd_more import (
    GENERAL,
    write_behaviour,
    write_map,
    write_names,
    write_native,
    write_volume,
)
from cortune.simulate.photographs import write_photographs
from cortune.simulate.responses import noiseless_responses
from cortune.simulate.spec import (
    N_NSD_IMAGES,
    SimulationSpec,
    subject_design_ids,
    subject_image_ids,
)
from cortune.simulate.surface import N_FSAVERAGE
from cortune.simulate.trials import master_ordering, sessions

N_SUBJECTS = 8
FSAVERAGE = "nsddata/freesurfer/fsaverage"
_REPEATS = 3
_N_COCO = 581_929  # COCO's ids are up to this number


@simulator("nsd")
class NsdSimulator(Simulator):
    """Writer of the raw NSD layout, on fsaverage and, if asked for, in the volume."""

    spec = SimulationSpec
    shared = (DESIGN, STIM_INFO, STIMULI, FSAVERAGE)
    signed = DESIGN

    def folders(self, subject: str) -> list[str]:
        """Return the folders of labels, behaviour and betas."""
        return [
            *(f"{parent}/{subject}" for parent in ("nsddata/freesurfer", "nsddata/ppdata")),
            f"nsddata_betas/ppdata/{subject}",
        ]

    def check(self, spec: SimulationSpec, subject: str, seed: int) -> None:
        """Require one of NSD's subjects for whom there are enough images."""
        _check_subject(spec, subject, seed)

    def simulate_shared(self, spec: SimulationSpec, root: PathLike, seed: int) -> list[Path]:
        """Write pictures and design; as :func:`simulate_nsd_stimuli`."""
        return simulate_nsd_stimuli(spec, root, seed)

    def simulate_subject(
        self, spec: SimulationSpec, subject: str, root: PathLike, truth: PathLike, seed: int
    ) -> list[Path]:
        """Write one subject; as :func:`simulate_nsd_subject`."""
        simulate_nsd_subject(spec, subject, root, truth, seed)
        return [Path(root, folder) for folder in self.folders(subject)]


def simulate_nsd_stimuli(spec: SimulationSpec, root: PathLike, seed: int) -> list[Path]:
    """Write what all subjects share: the pictures, the design, and their COCO ids.

    Pictures that no subject sees stay empty; they take no space. Where there are too few
    identities for eight subjects, the design holds as many as fit.

    Parameters
    ----------
    spec : SimulationSpec
        `n_test_images` only decides which images are a subject's own.
    root : path
        Folder of the data set. Each file appears when it is whole.
    seed : int

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If a photograph cannot be read, or there are too few images for one subject.
    """
    design = _design(spec, seed)
    root = Path(root)
    with atomic(root / DESIGN) as path:
        _write_design(path, spec, design, seed)
    with atomic(root / STIM_INFO) as path:
        _write_stim_info(path, spec, design, seed)
    with atomic(root / STIMULI) as path:
        _write_pictures(path, spec, np.unique(design), seed)
    with atomic(root / FSAVERAGE) as path:
        for hemisphere in HEMISPHERES:
            layout = make_layout(spec, hemisphere)
            general = np.zeros(N_FSAVERAGE, np.int32)
            general[layout.vertices] = 1
            write_map(path / "label" / f"{hemisphere}.{GENERAL}.mgz", general)
        write_names(path / "label", layout)
    return [root / name for name in (DESIGN, STIM_INFO, STIMULI, FSAVERAGE)]


def simulate_nsd_subject(
    spec: SimulationSpec, subject: str, root: PathLike, truth: PathLike, seed: int
) -> None:
    """Write one subject's betas and noise-ceiling SNR on fsaverage, and all that goes with them.

    The same arguments give the same bytes, whichever other subjects are simulated. The
    three folders appear when they are whole; former ones are replaced.

    Parameters
    ----------
    spec : SimulationSpec
    subject : str
        ``subj01`` to ``subj08``.
    root : path
        Folder of the data set; receives ``nsddata_betas/ppdata/<subject>`` (with
        `spec.volume` also in ``func1pt8mm``), ``nsddata/freesurfer/<subject>`` (ROI labels on
        the subject's own surface) and ``nsddata/ppdata/<subject>`` (the way to fsaverage,
        behaviour). Vertices of no ROI are zero and the files sparse there.
    truth : path
        Receives ``lh.h5`` and ``rh.h5`` as
        :func:`cortune.simulate.algonauts.simulate_subject` writes them.
    seed : int

    Raises
    ------
    InputError
        If the subject is none of NSD's, a mask or photograph cannot be read, or there are
        too few images.
    """
    _check_subject(spec, subject, seed)
    root = Path(root)
    image_ids = subject_image_ids(spec, subject, seed)
    brains = {h: make_brain(spec, subject, h, seed) for h in HEMISPHERES}
    with (
        atomic(truth) as truth_folder,
        atomic(root / "nsddata" / "freesurfer" / subject) as surfaces,
        atomic(root / "nsddata" / "ppdata" / subject) as own,
        atomic(root / "nsddata_betas" / "ppdata" / subject) as betas,
    ):
        scratch = truth_folder / "scratch"
        scratch.mkdir(parents=True)
        layouts = {h: brain.layout for h, brain in brains.items()}
        write_native(surfaces / "label", own / "transforms", layouts, subject, seed)
        write_behaviour(own / "behav" / "responses.tsv", spec, subject, seed)
        scenes = scenes_of(spec, image_ids, seed)
        signal = noiseless_responses(brains, scenes, len(image_ids), scratch)
        if spec.volume:
            write_volume(betas, own, spec, subject, brains, signal, seed)
        for hemisphere, brain in brains.items():
            responses = signal.pop(hemisphere)
            _write_betas(betas / SURFACE / BETAS, spec, subject, brain, responses, seed)
            path = truth_folder / f"{hemisphere}.h5"
            fsaverage_truth(path, spec, subject, brain, responses, image_ids, seed)
        if spec.images is not None:
            write_photographs(spec.images, betas / SURFACE / BETAS / PHOTOGRAPHS)
        shutil.rmtree(scratch)


def _check_subject(spec: SimulationSpec, subject: str, seed: int) -> None:
    names = [f"subj{number:02d}" for number in range(1, N_SUBJECTS + 1)]
    if subject not in names:
        cure = "Simulate the layout algonauts2023 for other subjects."
        raise InputError("simulate", f"the subject {subject!r}", f"one of {', '.join(names)}", cure)
    subject_design_ids(spec, subject, seed)


def _design(spec: SimulationSpec, seed: int) -> np.ndarray:
    """Return every subject's images as its design counts them: (n_subjects, n_images)."""
    rows = [subject_design_ids(spec, "subj01", seed)]
    for number in range(2, N_SUBJECTS + 1):
        try:
            rows.append(subject_design_ids(spec, f"subj{number:02d}", seed))
        except InputError:  # no identities are left
            break
    return np.stack(rows)


def _write_design(path: Path, spec: SimulationSpec, design: np.ndarray, seed: int) -> None:
    """Write the design as NSD does: everything counts from 1, in its types."""
    variables = {
        "masterordering": (master_ordering(spec, seed)[None] + 1).astype(np.uint16),
        "subjectim": (design + 1).astype(np.int32),
        "sharedix": (np.sort(design[0, : spec.n_shared])[None] + 1).astype(np.int32),
    }
    write_mat(path, variables, b"MATLAB 5.0 MAT-file, written by Cortune")


def _write_stim_info(path: Path, spec: SimulationSpec, design: np.ndarray, seed: int) -> None:
    """Write a row per NSD id: COCO ids and what else is drawn; the trials, from 1, that show it."""
    draw = rng(seed, "simulate", "coco")
    coco_ids = 1 + draw.choice(_N_COCO, N_NSD_IMAGES, replace=False)
    draw = rng(seed, "simulate", "stimulus table")
    crops, losses = draw.choice([0.0, 0.125, 0.1671875], N_NSD_IMAGES), draw.random(N_NSD_IMAGES)
    splits = np.where(draw.random(N_NSD_IMAGES) < 0.04, "val2017", "train2017").tolist()
    shared = np.isin(np.arange(N_NSD_IMAGES), design[0, : spec.n_shared])
    seen = np.zeros((N_NSD_IMAGES, N_SUBJECTS), int)
    trials = np.zeros((N_NSD_IMAGES, N_SUBJECTS, _REPEATS), int)
    shown = np.argsort(master_ordering(spec, seed), kind="stable")
    shown = shown.reshape(spec.n_images, spec.n_repeats)[:, :_REPEATS] + 1
    for subject, images in enumerate(design):
        seen[images, subject] = 1
        trials[images, subject, : shown.shape[1]] = shown
    subjects = [f"subject{number}" for number in range(1, N_SUBJECTS + 1)]
    repeats = [f"{subject}_rep{repeat}" for subject in subjects for repeat in range(_REPEATS)]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        first = ["", "cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000"]
        table.writerow([*first, "shared1000", *subjects, *repeats])
        rows = zip(coco_ids.tolist(), splits, crops.tolist(), losses.tolist(), strict=True)
        for nsd_id, (coco_id, split, crop, loss) in enumerate(rows):
            box = f"(0, 0, {crop}, {crop})"
            row = [nsd_id, coco_id, split, box, f"{loss:.10f}", nsd_id, False, False]
            marks = [*seen[nsd_id].tolist(), *trials[nsd_id].ravel().tolist()]
            table.writerow([*row, bool(shared[nsd_id]), *marks])


def _write_pictures(path: Path, spec: SimulationSpec, ids: np.ndarray, seed: int) -> None:
    import h5py
    from tqdm import tqdm

    size = spec.image_size
    shape = (N_NSD_IMAGES, size, size, 3)
    with h5py.File(path, "w") as file:
        brick = file.create_dataset(
            BRICK, shape, np.uint8, chunks=(1, *shape[1:]), compression="gzip", compression_opts=1
        )
        scenes = scenes_of(spec, ids, seed)
        progress = tqdm(scenes, "pictures", len(ids), unit="image", mininterval=5)
        for nsd_id, scene in zip(ids.tolist(), progress, strict=True):
            brick[nsd_id] = picture_of(scene, spec)


def _write_betas(
    folder: Path, spec: SimulationSpec, subject: str, brain: Brain, signal: np.ndarray, seed: int
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    vertices = brain.layout.vertices
    for number, session in enumerate(sessions(spec, subject, brain, signal, seed), start=1):
        path = folder / f"{brain.hemisphere}.betas_session{number:02d}.mgh"
        _write_trials(path, vertices, session.betas)
    ncsnr = np.zeros(N_FSAVERAGE, np.float32)
    ncsnr[vertices] = brain.ncsnr
    write_map(folder / f"{brain.hemisphere}.ncsnr.mgh", ncsnr)


def _write_trials(path: Path, vertices: np.ndarray, betas: np.ndarray) -> None:
    """Write (163842, 1, 1, n_trials) float32; where no vertex is, the file has holes."""
    from nibabel.freesurfer.mghformat import MGHHeader

    header: Any = MGHHeader()
    header.set_data_shape((N_FSAVERAGE, 1, 1, len(betas)))
    header.set_data_dtype(np.float32)
    with path.open("wb") as file:
        header.writehdr_to(file)
        file.truncate(header.get_footer_offset())
    # A memory map on a full disk would end the process without a word.
    pages = np.unique((header.get_data_offset() + 4 * vertices) // mmap.PAGESIZE)
    require_space(path, len(betas) * (len(pages) + 1) * mmap.PAGESIZE)
    shape = (len(betas), N_FSAVERAGE)
    trials = np.memmap(path, ">f4", "r+", header.get_data_offset(), shape)
    trials[:, vertices] = betas
    trials.flush()
    with path.open("r+b") as file:
        header.writeftr_to(file)
