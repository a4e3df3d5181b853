"""A small NOD data set at full width, written by nibabel and without any of Cortune's code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis
from PIL import Image
from scipy.io import savemat

N_LEFT, N_RIGHT = 29_696, 29_716
N_CORTEX = N_LEFT + N_RIGHT
NAMES = ["V1", "MST", "V6", "V2", "V3", "V4", *(f"A{n:03d}" for n in range(7, 181))]
SUBJECT = "sub01"


@dataclass
class NodTree:
    """Where the files of one subject are, and what was written into them."""

    root: Path
    values: list[np.ndarray]
    stimuli: list[list[str]]
    r2: np.ndarray
    labels: np.ndarray

    @property
    def results(self) -> Path:
        return self.root / "derivatives/ciftify/sub-01/results"

    @property
    def support(self) -> Path:
        return self.root / "supportfiles"

    @property
    def fits(self) -> Path:
        return self.results / "ses-prf_task-prf/ses-prf_task-prf_params.dscalar.nii"

    def file(self, run: int, kind: str = "beta.dscalar.nii", session: int = 1) -> Path:
        name = f"ses-imagenet{session:02d}_task-imagenet_run-{run}"
        return self.results / name / f"{name}_{kind}"

    def events(self, run: int, session: int = 1) -> Path:
        label = f"ses-imagenet{session:02d}"
        name = f"sub-01_{label}_task-imagenet_run-{run:02d}_events.tsv"
        return self.root / "sub-01" / label / "func" / name


@lru_cache
def models(order: str = "LR") -> BrainModelAxis:
    """Structures in an order of L (left), R (right) and S (31870 subcortical voxels)."""
    voxels = np.zeros((40, 40, 20), bool)
    voxels.ravel()[:31_870] = True
    parts = {
        "L": BrainModelAxis.from_surface(np.arange(N_LEFT) + 9, 32_492, "cortex_left"),
        "R": BrainModelAxis.from_surface(np.arange(N_RIGHT) + 9, 32_492, "cortex_right"),
        "S": BrainModelAxis.from_mask(voxels, "thalamus_left", np.eye(4)),
    }
    axis = parts[order[0]]
    for name in order[1:]:
        axis += parts[name]
    return axis


def write_maps(path: Path, names: list[str], cortex: np.ndarray, order: str = "LR") -> None:
    """Write maps of the cortex, noise elsewhere."""
    split = {"L": cortex[:, :N_LEFT], "R": cortex[:, N_LEFT:]}
    split["S"] = np.random.default_rng(9).standard_normal((len(cortex), 31_870))
    values = np.concatenate([split[name] for name in order], axis=1).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(Cifti2Image(values, (ScalarAxis(names), models(order))), path)


def write_events(path: Path, stimuli: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{4 * i}\t0.5\t{i + 1}\t{name}" for i, name in enumerate(stimuli)]
    path.write_text("\n".join(["onset\tduration\ttrial_type\tstim_file", *rows]) + "\n")


def write_labels(path: Path, labels: np.ndarray) -> None:
    savemat(path, {"glasser_MMP": labels[None].astype(float)})


def write_tree(root: Path) -> NodTree:
    """Write two runs of six trials; run 2 repeats the last image of run 1."""
    rng = np.random.default_rng(0)
    names = [f"imagenet/n0000000{i % 3}/n0000000{i % 3}_{i}.png" for i in range(9)]
    names += ["coco/COCO_train2014_000000123456.png", "coco/nsd-00013.png"]
    stimuli = [names[:6], names[5:]]
    labels = np.concatenate([rng.integers(181, 361, N_LEFT), rng.integers(1, 181, N_RIGHT)])
    r2 = rng.uniform(0, 100, N_CORTEX).round()  # many ties
    r2[rng.random(N_CORTEX) < 0.4] = np.nan
    values = [3 * rng.standard_normal((6, N_CORTEX)).astype(np.float32) + 1 for _ in range(2)]
    tree = NodTree(root, values, stimuli, r2, labels)
    for run, (part, betas) in enumerate(zip(stimuli, values, strict=True), start=1):
        short = [name.rsplit("/", 1)[-1] for name in part]
        write_maps(tree.file(run), short, betas)
        tree.file(run, "label.txt").write_text("".join(short))
        write_events(tree.events(run), part)
    fits = np.concatenate([rng.uniform(0, 100, (3, N_CORTEX)), r2[None]])
    write_maps(tree.fits, ["angle", "eccentricity", "size", "R2"], fits)
    tree.support.mkdir()
    write_labels(tree.support / "MMP_mpmLR32k.mat", labels)
    lines = ["???,???", *(f"L_{name}_ROI,R_{name}_ROI" for name in NAMES)]
    (tree.support / "roilbl_mmp.csv").write_text("\n".join(lines) + "\n")
    for index, name in enumerate(names):
        path = root / "stimuli" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(path)
    return tree
