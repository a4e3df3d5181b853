"""Writer of the Algonauts 2023 layout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cortune.artifacts import PathLike, atomic
from cortune.data.npy import create_array
from cortune.data.readers import PHOTOGRAPHS
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError
from cortune.simulate.brain import Brain, make_brain
from cortune.simulate.files import write_picture, write_truth
from cortune.simulate.layout import Layout
from cortune.simulate.layouts import Simulator, simulator
from cortune.simulate.photographs import write_photographs
from cortune.simulate.responses import noiseless_responses
from cortune.simulate.scenes import Scene, render_scene
from cortune.simulate.spec import SimulationSpec, subject_image_ids, subject_test_ids
from cortune.simulate.surface import N_FSAVERAGE
from cortune.simulate.trials import sessions, standardise


@simulator("algonauts2023")
class AlgonautsSimulator(Simulator):
    """Writer of the Algonauts 2023 layout."""

    spec = SimulationSpec

    def folders(self, subject: str) -> list[str]:
        """Return the subject's folder."""
        return [subject]

    def check(self, spec: SimulationSpec, subject: str, seed: int) -> None:
        """Require a subject for whom there are enough images."""
        subject_image_ids(spec, subject, seed)

    def simulate_subject(
        self, spec: SimulationSpec, subject: str, root: PathLike, truth: PathLike, seed: int
    ) -> list[Path]:
        """Write one subject; as :func:`simulate_subject`."""
        out = Path(root) / subject
        simulate_subject(spec, subject, out, truth, seed=seed)
        return [out]


def simulate_subject(
    spec: SimulationSpec, subject: str, out: PathLike, truth: PathLike, *, seed: int
) -> None:
    """Write one subject of a simulated data set in the Algonauts 2023 layout.

    The same arguments give the same bytes, whichever other subjects are simulated. Both
    folders appear when they are whole; former ones are replaced.

    Parameters
    ----------
    spec : SimulationSpec
    subject : str
        Name ending in the subject's number, such as ``subj01``.
    out : path
        The subject's folder, laid out as the challenge distributes it.
    truth : path
        Receives ``lh.h5`` and ``rh.h5`` as :func:`cortune.simulate.files.write_truth` writes
        them; ``images`` are NSD ids, ``vertices`` those of fsaverage.
    seed : int

    Raises
    ------
    InputError
        If a mask or photograph cannot be read, or there are too few images.
    """
    out, truth = Path(out), Path(truth)
    if out == truth:
        raise InputError(truth, "the subject's own folder", "another folder", "Separate them.")
    image_ids = subject_image_ids(spec, subject, seed)
    test_ids = subject_test_ids(spec, subject, seed)
    brains = {h: make_brain(spec, subject, h, seed) for h in HEMISPHERES}
    with atomic(truth) as truth_folder, atomic(out) as folder:
        truth_folder.mkdir(parents=True)
        folder.mkdir(parents=True)
        if spec.images is not None:
            write_photographs(spec.images, folder / PHOTOGRAPHS)
        _write_masks(folder / "roi_masks", {h: brain.layout for h, brain in brains.items()})
        scratch = truth_folder / "scratch"
        scratch.mkdir()
        pictures = folder / "training_split" / "training_images"
        scenes = _written(spec, seed, image_ids, pictures, "train")
        signal = noiseless_responses(brains, scenes, len(image_ids), scratch)
        pictures = folder / "test_split" / "test_images"
        for _ in _written(spec, seed, test_ids, pictures, "test"):
            pass
        for hemisphere, brain in brains.items():
            _write_responses(folder, spec, subject, brain, signal[hemisphere], seed)
            path = truth_folder / f"{hemisphere}.h5"
            fsaverage_truth(path, spec, subject, brain, signal.pop(hemisphere), image_ids, seed)
        shutil.rmtree(scratch)


def scenes_of(spec: SimulationSpec, identities: np.ndarray, seed: int) -> Iterator[Scene]:
    """Yield the scene, or the photograph, of each identity."""
    if spec.images is not None:
        from cortune.simulate.photographs import photograph_scenes

        yield from photograph_scenes(
            spec.images, identities, size=spec.image_size, n_classes=spec.n_classes
        )
    else:
        for identity in identities.tolist():
            yield render_scene(identity, size=spec.image_size, n_classes=spec.n_classes, seed=seed)


def picture_of(scene: Scene, spec: SimulationSpec) -> np.ndarray:
    """Return the picture to write: (s, s, 3) of uint8."""
    return np.ascontiguousarray(scene.image[:, ::-1]) if spec.mirrored else scene.image


def _written(
    spec: SimulationSpec, seed: int, identities: np.ndarray, folder: Path, split: str
) -> Iterator[Scene]:
    """Yield the scene of each identity after its picture was written."""
    folder.mkdir(parents=True)
    scenes = scenes_of(spec, identities, seed)
    for number, (identity, scene) in enumerate(zip(identities, scenes, strict=True), start=1):
        path = folder / f"{split}-{number:04d}_nsd-{identity:05d}.png"
        write_picture(path, picture_of(scene, spec))
        yield scene


def _write_masks(folder: Path, layouts: dict[str, Layout]) -> None:
    folder.mkdir()
    for hemisphere, layout in layouts.items():
        everything = np.zeros(N_FSAVERAGE, np.int64)
        everything[layout.vertices] = 1
        np.save(folder / f"{hemisphere}.all-vertices_fsaverage_space.npy", everything)
        for family, labels in layout.labels.items():
            np.save(folder / f"{hemisphere}.{family}_challenge_space.npy", labels)
            on_sphere = np.zeros(N_FSAVERAGE, np.int64)
            on_sphere[layout.vertices] = labels
            np.save(folder / f"{hemisphere}.{family}_fsaverage_space.npy", on_sphere)
    for family, names in next(iter(layouts.values())).names.items():
        # The real files are pickled; nothing else that Cortune writes is.
        np.save(folder / f"mapping_{family}.npy", np.array(names, dtype=object), allow_pickle=True)


def _write_responses(
    folder: Path, spec: SimulationSpec, subject: str, brain: Brain, signal: np.ndarray, seed: int
) -> None:
    """Write responses, z-scored per session and averaged over repeats, and ceilings."""
    path = folder / "training_split" / "training_fmri" / f"{brain.hemisphere}_training_fmri.npy"
    path.parent.mkdir(exist_ok=True)
    mean = create_array(path, signal.shape)
    for session in sessions(spec, subject, brain, signal, seed):
        betas = standardise(session.betas)
        betas /= np.float32(spec.n_repeats)
        for row, beta in zip(session.images.tolist(), betas, strict=True):
            mean[row] += beta
    mean.flush()  # type: ignore[attr-defined]
    path = folder / "test_split" / "noise_ceiling" / f"{brain.hemisphere}_noise_ceiling.npy"
    path.parent.mkdir(exist_ok=True)
    np.save(path, (100 * brain.noise_ceiling(spec.n_repeats)).astype(np.float32))


def fsaverage_truth(
    path: Path,
    spec: SimulationSpec,
    subject: str,
    brain: Brain,
    signal: np.ndarray,
    image_ids: np.ndarray,
    seed: int,
) -> None:
    """Write what is true of a hemisphere on fsaverage."""
    layout, n_repeats = brain.layout, spec.n_repeats
    write_truth(
        path, subject, brain, signal, image_ids, seed,
        n_repeats=n_repeats, vertices=layout.vertices, rois=layout.rois(),
    )  # fmt: skip
