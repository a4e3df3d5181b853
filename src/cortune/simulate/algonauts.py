"""Writer of the Algonauts 2023 layout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cortune.artifacts import PathLike, atomic
from cortune.data.npy import create_array
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError
from cortune.simulate.brain import Brain, make_brain
from cortune.simulate.energies import BLOCKS
from cortune.simulate.layout import Layout
from cortune.simulate.responses import noiseless_responses
from cortune.simulate.scenes import Scene, render_scene
from cortune.simulate.spec import SimulationSpec, subject_image_ids, subject_test_ids
from cortune.simulate.surface import N_FSAVERAGE
from cortune.simulate.trials import sessions, standardise
from cortune.simulate.tuning import channel_counts


def simulate_algonauts(
    out: PathLike,
    subjects: Sequence[str],
    spec: SimulationSpec,
    seed: int,
    truth: PathLike | None = None,
) -> None:
    """Write a simulated data set, one subject after the other.

    Parameters
    ----------
    out : path
        Receives a folder per subject.
    subjects : sequence of str
        Names ending in the subject's number, such as ``subj01``.
    spec : SimulationSpec
    seed : int
    truth : path, optional
        Receives a folder per subject with what is true of it; ``truth`` beside `out` if
        None.

    Raises
    ------
    InputError
        As :func:`simulate_subject`, before anything is written where it can be told.
    """
    out = Path(out)
    truth = out.parent / "truth" if truth is None else Path(truth)
    for subject in subjects:
        subject_image_ids(spec, subject, seed)
    for subject in subjects:
        simulate_subject(spec, subject, out / subject, truth / subject, seed=seed)


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
        Receives ``lh.h5`` and ``rh.h5``: ``prf/x``, ``prf/y``, ``prf/size`` (degrees of
        visual angle, right and up positive), ``tuning`` (n_vertices, n_channels), ``null``,
        ``noise_ceiling`` (share of variance), ``ncsnr``, noiseless ``responses`` (n_images,
        n_vertices), ``images`` (their identities), ``vertices`` (of fsaverage), and the
        positions of each ROI's vertices in ``rois/<name>``.
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
            write_truth(
                truth_folder / f"{hemisphere}.h5",
                spec,
                subject,
                brain,
                signal.pop(hemisphere),
                image_ids,
                seed,
            )
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
        Image.fromarray(picture_of(scene, spec)).save(path, compress_level=1)
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


def write_truth(
    path: Path,
    spec: SimulationSpec,
    subject: str,
    brain: Brain,
    signal: np.ndarray,
    image_ids: np.ndarray,
    seed: int,
) -> None:
    """Write what is true of a hemisphere; :func:`simulate_subject` lists it."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(subject=subject, hemisphere=brain.hemisphere, seed=seed)
        file["responses"] = signal
        for name, values in brain.prf().items():
            file[f"prf/{name}"] = values.astype(np.float32)
        file["tuning"] = brain.tuning()
        file["tuning"].attrs["blocks"] = list(BLOCKS)
        file["tuning"].attrs["n_channels"] = list(channel_counts(spec.n_classes).values())
        file["null"] = brain.null
        file["noise_ceiling"] = brain.noise_ceiling(spec.n_repeats).astype(np.float32)
        file["ncsnr"] = brain.ncsnr.astype(np.float32)
        file["images"] = image_ids
        file["vertices"] = brain.layout.vertices
        for name, where in brain.layout.rois().items():
            file[f"rois/{name}"] = where
