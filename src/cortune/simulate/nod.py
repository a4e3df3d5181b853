"""Writer of the NOD layout: CIFTI-2 betas of a 3T scanner, one trial per image.

The observer is that of the NSD simulation: same energies, profiles and, by
`tuning_correlation`, tuning. Its pRFs are in degrees and reach as far as the pictures,
which are 16° wide; the channels are in cycles per picture.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cortune.artifacts import PathLike, atomic
from cortune.data.nod import NodReader
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError
from cortune.seeds import rng
from cortune.simulate.brain import Brain, place_brain
from cortune.simulate.files import write_jpeg, write_mat, write_truth
from cortune.simulate.grayordinates import (
    AREAS,
    COUNTS,
    brain_models,
    cortex,
    early_areas,
    early_layout,
    nod_roi_sizes,
    parcellation,
    smoothing,
)
from cortune.simulate.layouts import Simulator, simulator
from cortune.simulate.nod_spec import NodSpec
from cortune.simulate.responses import noiseless_responses
from cortune.simulate.scenes import Scene, render_scene
from cortune.simulate.spec import N_NSD_IMAGES, subject_number

PICTURE_DEGREES = 16.0
PIXELS_PER_DEGREE = 200 / PICTURE_DEGREES

_WHERE = "simulate"
_FIRST_IDENTITY = 1_000_000  # beyond those of the NSD simulation
_MAX_IMAGES = 100_000
_SECONDS = (4.0, 1.0)  # between onsets, and of a picture
_PERCENT = 0.8  # typical standard deviation of the signal, percent signal change
_FIT_TRIALS = 12  # a pRF fit is as reliable as the mean of so many trials
_UNFITTED = 0.02


@simulator("nod")
class NodSimulator(Simulator):
    """Writer of the NOD layout."""

    spec = NodSpec
    shared = ("supportfiles",)
    added_to = ("stimuli",)
    signed = "supportfiles/MMP_mpmLR32k.mat"

    def folders(self, subject: str) -> list[str]:
        """Return the folders of results and events."""
        folder = _subject_folder(subject)
        return [f"derivatives/ciftify/{folder}", folder]

    def roi_sizes(
        self, spec: NodSpec, subject: str, hemisphere: str, **options: Any
    ) -> dict[str, int]:
        """Return the vertices of each area that the reader keeps."""
        return nod_roi_sizes(hemisphere, options.get("top_vertices", NodReader.top_vertices))

    def n_vertices(self, spec: NodSpec, subject: str, hemisphere: str) -> int:
        """Return the number of a hemisphere's cortical grayordinates."""
        return COUNTS[hemisphere]

    def check(self, spec: NodSpec, subject: str, seed: int) -> None:
        """Require a name like sub01."""
        _subject_folder(subject)

    def simulate_shared(self, spec: NodSpec, root: PathLike, seed: int) -> list[Path]:
        """Write the parcellation; as :func:`simulate_nod_support`."""
        return simulate_nod_support(root, seed)

    def simulate_subject(
        self, spec: NodSpec, subject: str, root: PathLike, truth: PathLike, seed: int
    ) -> list[Path]:
        """Write one subject; as :func:`simulate_nod_subject`."""
        pictures = simulate_nod_subject(spec, subject, root, truth, seed)
        return [*(Path(root, folder) for folder in self.folders(subject)), *pictures]


def simulate_nod_support(root: PathLike, seed: int) -> list[Path]:
    """Write ``supportfiles``: the parcellation and the names of its areas.

    Parameters
    ----------
    root : path
        Of the data set.
    seed : int

    Returns
    -------
    list of Path
        The folder.
    """
    lines = ["???,???", *(f"L_{area}_ROI,R_{area}_ROI" for area in AREAS)]
    labels = {"glasser_MMP": parcellation(seed)[None]}
    path = Path(root) / "supportfiles"
    with atomic(path) as folder:
        folder.mkdir()
        header = b"MATLAB 5.0 MAT-file, simulated by Cortune"
        write_mat(folder / "MMP_mpmLR32k.mat", labels, header)
        (folder / "roilbl_mmp.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [path]


def make_nod_brain(spec: NodSpec, subject: str, hemisphere: str, seed: int) -> Brain:
    """Draw V1 to V4 of one hemisphere of a subject.

    The layout's vertices are positions within the hemisphere's cortex.
    """
    layout = early_layout(hemisphere)
    points = cortex(hemisphere)[layout.vertices]
    return place_brain(
        spec.observer(), subject, hemisphere, seed, layout, points, PICTURE_DEGREES / 2
    )


def simulate_nod_subject(
    spec: NodSpec, subject: str, root: PathLike, truth: PathLike, seed: int
) -> list[Path]:
    """Write one subject of a simulated data set in the NOD layout.

    The same arguments give the same bytes, whichever other subjects are simulated; the
    parcellation is written by :func:`simulate_nod_support`. Each folder appears when it is
    whole, the subject's results last; former ones are replaced.

    Parameters
    ----------
    spec : NodSpec
    subject : str
        ``sub01`` and so on.
    root : path
        Of the data set; receives ``sub-01``, ``derivatives/ciftify/sub-01`` and pictures
        under ``stimuli``.
    truth : path
        Receives ``lh.h5`` and ``rh.h5`` as :func:`cortune.simulate.files.write_truth` writes
        them, for V1 to V4; ``images`` are stimulus paths, ``vertices`` grayordinates.
    seed : int

    Returns
    -------
    list of Path
        The pictures, some of which other subjects see too.

    Raises
    ------
    InputError
        If the subject's name is not like sub01.
    """
    root, truth = Path(root), Path(truth)
    folder = _subject_folder(subject)
    brains = {h: make_nod_brain(spec, subject, h, seed) for h in HEMISPHERES}
    results = root / "derivatives" / "ciftify" / folder
    with atomic(results) as out, atomic(root / folder) as raw, atomic(truth) as truth_folder:
        scratch = truth_folder / "scratch"
        scratch.mkdir(parents=True)
        stimuli: list[tuple[str, int]] = []
        scenes = _written(spec, subject, root / "stimuli", stimuli, seed)
        signal = noiseless_responses(brains, scenes, spec.n_images, scratch, PICTURE_DEGREES)
        for run, betas in zip(
            spec.runs(), _betas(spec, subject, brains, signal, seed), strict=True
        ):
            session, number, rows = run
            _write_events(raw, folder, session, number, stimuli[rows])
            _write_run(out / "results", session, number, stimuli[rows], betas)
        _write_fits(out / "results", subject, brains, seed)
        names = [name for name, _ in stimuli]
        images = np.array([name.encode() for name in names])
        for h, brain in brains.items():
            write_truth(
                truth_folder / f"{h}.h5", subject, brain, signal.pop(h), images, seed,
                n_repeats=1,
                vertices=brain.layout.vertices + (COUNTS["lh"] if h == "rh" else 0),
                rois=brain.layout.rois() | early_areas(h),
            )  # fmt: skip
        shutil.rmtree(scratch)
    return [root / "stimuli" / name for name in names]


def _subject_folder(subject: str) -> str:
    number = subject_number(subject)
    if subject != f"sub{number:02d}" or number > 99:
        expected = "a name from sub01 to sub99"
        raise InputError(f"{_WHERE}: subject {subject!r}", "another name", expected, "Rename it.")
    return f"sub-{number:02d}"


# Pictures.


def _written(
    spec: NodSpec, subject: str, folder: Path, stimuli: list[tuple[str, int]], seed: int
) -> Iterator[Scene]:
    """Yield the scene of each trial after its picture was written and noted in `stimuli`."""
    for identity, is_coco in _identities(spec, subject, seed):
        scene = render_scene(identity, size=spec.image_size, n_classes=spec.n_classes, seed=seed)
        synset = f"n{scene.label + 1:08d}"
        name = f"imagenet/{synset}/{synset}_{identity}.JPEG"
        if is_coco:
            name = f"coco/{identity + 1:012d}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # Another subject's job may write the same picture.
        with atomic(folder / name, alone=False) as path:
            write_jpeg(path, scene.image)
        stimuli.append((name, scene.label + 1))
        yield scene


def _identities(spec: NodSpec, subject: str, seed: int) -> list[tuple[int, bool]]:
    """Return the scene of each trial and whether it is one of the NSD simulation.

    The latter are the same for every subject; all are shuffled over the trials.
    """
    shared = rng(seed, "simulate", "nod", "coco").permutation(N_NSD_IMAGES)[: spec.n_coco]
    first = _FIRST_IDENTITY + _MAX_IMAGES * subject_number(subject)
    own = range(first, first + spec.n_images - spec.n_coco)
    scenes = [*((int(i), True) for i in shared), *((i, False) for i in own)]
    order = rng(seed, "simulate", "nod", "trials", subject).permutation(len(scenes))
    return [scenes[index] for index in order]


# Betas.


def _betas(
    spec: NodSpec, subject: str, brains: dict[str, Brain], signal: dict[str, np.ndarray], seed: int
) -> Iterator[np.ndarray]:
    """Yield the betas of each run, (n_trials, 59412), percent signal change.

    As in the NSD simulation a beta is a vertex's baseline plus its gain times signal and
    noise, and baselines and gain drift from run to run. The noise is smooth along the
    sheet and, within a region, has a part in common; beyond V1 to V4 it is all there is.
    """
    draw = rng(seed, "simulate", "nod", "vertices", subject)
    n = sum(COUNTS.values())
    baseline = draw.normal(0.5, 0.5, n).astype(np.float32)
    gain = (_PERCENT * np.exp(draw.normal(0, 0.4, n))).astype(np.float32)
    for index, (_, _, rows) in enumerate(spec.runs()):
        draw = rng(seed, "simulate", "nod", "run", subject, index)
        parts = [_signal_and_noise(spec, brains[h], signal[h][rows], draw) for h in HEMISPHERES]
        betas = np.concatenate(parts, axis=1)
        betas *= gain * np.float32(np.exp(draw.normal(0, 0.1)))
        betas += baseline + draw.normal(0, 0.3, n).astype(np.float32)
        yield betas


def _signal_and_noise(
    spec: NodSpec, brain: Brain, signal: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """Return one hemisphere's trials in units of the signal's standard deviation."""
    n_trials, n_vertices = len(signal), COUNTS[brain.hemisphere]
    white = draw.standard_normal((n_vertices, n_trials), dtype=np.float32)
    smooth = (smoothing(brain.hemisphere, spec.smoothing_mm) @ white).T
    where = brain.layout.vertices
    noise = smooth[:, where] * np.float32(np.sqrt(1 - spec.noise_correlation))
    for patch in brain.patches:
        common = draw.standard_normal((n_trials, 1), dtype=np.float32)
        noise[:, patch.vertices] += np.float32(np.sqrt(spec.noise_correlation)) * common
    live = ~brain.null
    noise[:, live] /= brain.ncsnr[live].astype(np.float32)
    trials = np.array(smooth)
    trials[:, where] = noise + signal
    return trials


def _write_run(
    results: Path, session: int, run: int, stimuli: list[tuple[str, int]], betas: np.ndarray
) -> None:
    name = f"ses-imagenet{session:02d}_task-imagenet_run-{run}"
    names = [stimulus.rsplit("/", 1)[-1] for stimulus, _ in stimuli]
    folder = results / name
    folder.mkdir(parents=True)
    _write_maps(folder / f"{name}_beta.dscalar.nii", names, betas)
    (folder / f"{name}_label.txt").write_text("\n".join(names) + "\n", encoding="utf-8")


def _write_maps(path: Path, names: list[str], values: np.ndarray) -> None:
    """Write maps by cortical grayordinate as CIFTI-2, in the type that they have."""
    from nibabel.cifti2 import Cifti2Image, ScalarAxis

    image = Cifti2Image(values, (ScalarAxis(names), brain_models()))
    image.nifti_header.set_intent("ConnDenseScalar")
    image.set_data_dtype(values.dtype)
    image.to_filename(path)


def _write_events(
    raw: Path, subject: str, session: int, run: int, stimuli: list[tuple[str, int]]
) -> None:
    label = f"ses-imagenet{session:02d}"
    path = raw / label / "func" / f"{subject}_{label}_task-imagenet_run-{run:02d}_events.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    step, duration = _SECONDS
    columns = "onset duration trial_type response response_time stim_file"
    rows = ["\t".join(columns.split())]
    for index, (stimulus, class_id) in enumerate(stimuli):
        response, seconds = (1.0 if class_id % 2 else -1.0), 0.6 + class_id % 7 / 10
        cells = (0.0144 + step * index, duration, float(class_id), response, seconds, stimulus)
        rows.append("\t".join(map(str, cells)))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _write_fits(results: Path, subject: str, brains: dict[str, Brain], seed: int) -> None:
    """Write pRF fits: angle (degrees), eccentricity and size (pixels), R² (percent).

    A fit explains what a few trials' mean would, give or take; a few failed (NaN).
    """
    draw = rng(seed, "simulate", "nod", "fits", subject)
    parts = []
    for hemisphere, brain in brains.items():
        n = COUNTS[hemisphere]
        maps = np.stack(
            [
                draw.uniform(0, 360, n),
                draw.uniform(0, 100, n),
                draw.uniform(5, 50, n),
                np.abs(draw.normal(0, 2, n)),
            ]
        )
        prf, where = brain.prf(), brain.layout.vertices
        live = np.flatnonzero(~brain.null)
        true = np.stack(
            [
                np.degrees(np.arctan2(prf["y"], prf["x"])) % 360,
                np.hypot(prf["x"], prf["y"]) * PIXELS_PER_DEGREE,
                prf["size"] * PIXELS_PER_DEGREE,
                100 * brain.noise_ceiling(_FIT_TRIALS) * draw.uniform(0.8, 1, len(where)),
            ]
        )
        maps[:, where[live]] = true[:, live]
        maps[:, draw.random(n) < _UNFITTED] = np.nan
        parts.append(maps)
    folder = results / "ses-prf_task-prf"
    folder.mkdir(parents=True)
    names = ["ang", "ecc", "rfsize", "R2"]
    _write_maps(folder / f"{folder.name}_params.dscalar.nii", names, np.concatenate(parts, axis=1))
