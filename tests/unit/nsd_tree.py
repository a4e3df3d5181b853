"""A tiny raw NSD data set, written without any of Cortune's code."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
from algonauts_tree import EMPTY, NAMES
from scipy.io import savemat

N_FSAVERAGE = 163_842
N_NSD = 73_000
HEMISPHERES = ("lh", "rh")
BETAS = "betas_fithrf_GLMdenoise_RR"
N_SESSION = 7
# 1-based, as in the file. Session 1 repeats two images, session 2 the others.
ORDERING = (1, 3, 2, 5, 4, 1, 3, 2, 4, 5, 6, 6, 1, 2)
# The first and the last image of NSD are among those of subject 1.
SUBJECTIM = ((73_000, 1, 17, 4000, 36, 9), (73_000, 5, 18, 4001, 37, 10))


@dataclass
class Tree:
    """Where the files of subject 1 are, and what was written into them."""

    root: Path
    vertices: dict[str, np.ndarray] = field(default_factory=dict)
    labels: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    trials: dict[str, list[np.ndarray]] = field(default_factory=dict)
    ncsnr: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def betas(self) -> Path:
        return self.root / "nsddata_betas/ppdata/subj01/fsaverage" / BETAS

    @property
    def label(self) -> Path:
        return self.root / "nsddata/freesurfer/subj01/label"

    @property
    def design(self) -> Path:
        return self.root / "nsddata/experiments/nsd/nsd_expdesign.mat"

    @property
    def stim_info(self) -> Path:
        return self.design.with_name("nsd_stim_info_merged.csv")

    @property
    def stimuli(self) -> Path:
        return self.root / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"

    def session(self, number: int, hemisphere: str = "lh") -> Path:
        return self.betas / f"{hemisphere}.betas_session{number:02d}.mgh"

    def copy(self, root: Path) -> Tree:
        """Link every file into another folder; a file must be replaced, not changed."""
        shutil.copytree(self.root, root, copy_function=os.link)
        return Tree(root, self.vertices, self.labels, self.trials, self.ncsnr, self.pictures)


def write_mgh(path: Path, values: np.ndarray) -> None:
    """Write a map (n_vertices,), or trials (n_trials, n_vertices)."""
    path.unlink(missing_ok=True)
    data = values.T[:, None, None] if values.ndim == 2 else values[:, None, None]
    nibabel.MGHImage(np.asfortranarray(data), np.eye(4)).to_filename(path)


def write_design(path: Path, **variables: Any) -> None:
    path.unlink(missing_ok=True)
    good = {"masterordering": [ORDERING], "subjectim": SUBJECTIM}
    savemat(path, {name: np.array(value, float) for name, value in (good | variables).items()})


def write_brick(path: Path, pictures: dict[int, np.ndarray], n_rows: int = N_NSD) -> None:
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        shape = next(iter(pictures.values())).shape
        brick = file.create_dataset("imgBrick", (n_rows, *shape), np.uint8, chunks=(1, *shape))
        for row, pixels in pictures.items():
            brick[row] = pixels


def write_tree(root: Path) -> Tree:
    """Write subject 1: two sessions of 7 trials, 60 labelled vertices per hemisphere."""
    rng = np.random.default_rng(0)
    tree = Tree(root)
    for path in (tree.betas, tree.label, tree.design.parent, tree.stimuli.parent):
        path.mkdir(parents=True)
    ids = sorted(nsd_id - 1 for nsd_id in set(sum(SUBJECTIM, ())))
    tree.pictures = {i: rng.integers(0, 256, (12, 12, 3), dtype=np.uint8) for i in ids}
    write_brick(tree.stimuli, tree.pictures)
    write_design(tree.design)
    for hemisphere in HEMISPHERES:
        vertices = np.sort(rng.choice(N_FSAVERAGE, 60, replace=False))
        tree.vertices[hemisphere] = vertices
        tree.trials[hemisphere] = []
        for number in (1, 2):
            trials = rng.normal(0.5, 1.5, (N_SESSION, 60)).astype(np.float32)
            tree.trials[hemisphere].append(trials)
            everywhere = np.zeros((N_SESSION, N_FSAVERAGE), np.float32)
            everywhere[:, vertices] = trials
            write_mgh(tree.session(number, hemisphere), everywhere)
        tree.ncsnr[hemisphere] = rng.uniform(0, 1, 60).astype(np.float32)
        everywhere = np.zeros(N_FSAVERAGE, np.float32)
        everywhere[vertices] = tree.ncsnr[hemisphere]
        write_mgh(tree.betas / f"{hemisphere}.ncsnr.mgh", everywhere)
        for family, names in NAMES.items():
            present = [i for i, name in enumerate(names, 1) if name not in EMPTY]
            labels = np.zeros(N_FSAVERAGE, np.int32)
            labels[vertices[5:]] = rng.choice([0, *present], 55)
            labels[vertices[5]] = present[0]  # one vertex at least
            tree.labels[hemisphere, family] = labels
            write_mgh(tree.label / f"{hemisphere}.{family}.mgz", labels)
    for family, names in NAMES.items():
        lines = [f"{label} {name}" for label, name in enumerate(("Unknown", *names))]
        (tree.label / f"{family}.mgz.ctab").write_text("\n".join(lines) + "\n")
    return tree


def write_volume(tree: Tree) -> dict[str, np.ndarray]:
    """Add the same subject's volume of 5 x 4 x 3 voxels; return raw int16 trials and labels."""
    rng = np.random.default_rng(1)
    betas = tree.root / "nsddata_betas/ppdata/subj01/func1pt8mm" / BETAS
    roi = tree.root / "nsddata/ppdata/subj01/func1pt8mm/roi"
    betas.mkdir(parents=True)
    roi.mkdir(parents=True)
    written: dict[str, np.ndarray] = {}
    for number in (1, 2):
        raw = rng.integers(-3000, 3000, (5, 4, 3, N_SESSION)).astype(np.int16)  # X, Y, Z, trials
        written[f"session{number}"] = raw
        with h5py.File(betas / f"betas_session{number:02d}.hdf5", "w") as file:
            file.create_dataset("betas", data=raw.T, chunks=(N_SESSION, 1, 1, 1))
    for hemisphere in HEMISPHERES:
        for family, names in NAMES.items():
            volume = rng.integers(-1, len(names) + 1, (5, 4, 3)).astype(np.int16)
            written[f"{hemisphere}.{family}"] = volume
            image = nibabel.Nifti1Image(volume, np.eye(4))
            nibabel.save(image, roi / f"{hemisphere}.{family}.nii.gz")
    return written
