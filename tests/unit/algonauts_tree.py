"""A tiny Algonauts 2023 data set, written without any of Cortune's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": (
        *("early", "midventral", "midlateral", "midparietal"),
        *("ventral", "lateral", "parietal"),
    ),
}
EMPTY = ("mTL-faces", "aTL-faces")
N_FSAVERAGE = 163_842


@dataclass
class Tree:
    """Where the files of one subject are, and what was written into them."""

    root: Path
    subject: str
    pictures: Path
    masks: Path
    responses: Mapping[str, Path]
    ceilings: Mapping[str, Path]
    values: Mapping[str, np.ndarray]
    labels: Mapping[tuple[str, str], np.ndarray]
    nsd_ids: list[int]


def write_tree(
    root: Path,
    number: int = 1,
    *,
    authors: bool = False,
    n_images: int = 12,
    n_vertices: Mapping[str, int] | None = None,
    nsd_ids: list[int] | None = None,
    picture_size: tuple[int, int] = (20, 16),
) -> Tree:
    """Write one subject in the distributed tree, or in the one of the authors' code."""
    rng = np.random.default_rng(number)
    n_vertices = n_vertices or {"lh": 60, "rh": 75}
    if nsd_ids is None:
        nsd_ids = sorted(rng.choice(73_000, n_images, replace=False).tolist())
    if authors:
        pictures, masks = root / f"training_images/Subj{number}", root / f"roi_masks/Subj{number}"
        fmri, ceilings = root / f"training_fmri/Subj{number}", root / f"noise_ceiling/Subj{number}"
        prefix = f"subj{number}_"
    else:
        folder = root / f"subj{number:02d}"
        pictures, masks = folder / "training_split/training_images", folder / "roi_masks"
        fmri, ceilings = (
            folder / "training_split/training_fmri",
            folder / "test_split/noise_ceiling",
        )
        prefix = ""
    for path in (pictures, masks, fmri, ceilings):
        path.mkdir(parents=True)
    for row, nsd_id in enumerate(nsd_ids):
        pixels = rng.integers(0, 256, (picture_size[1], picture_size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"train-{row + 1:04d}_nsd-{nsd_id:05d}.png")
    for family, names in NAMES.items():
        mapping = {0: "Unknown", **dict(enumerate(names, 1))}
        np.save(masks / f"mapping_{family}.npy", mapping)  # type: ignore[arg-type]
    tree = Tree(
        root=root,
        subject=f"subj{number:02d}",
        pictures=pictures,
        masks=masks,
        responses={h: fmri / f"{prefix}{h}_training_fmri.npy" for h in n_vertices},
        ceilings={h: ceilings / f"{h}_noise_ceiling.npy" for h in n_vertices},
        values={
            h: rng.standard_normal((n_images, n)).astype(np.float32) for h, n in n_vertices.items()
        },
        labels={(h, f): _labels(rng, f, n) for h, n in n_vertices.items() for f in NAMES},
        nsd_ids=nsd_ids,
    )
    for hemisphere, values in tree.values.items():
        np.save(tree.responses[hemisphere], values)
        np.save(tree.ceilings[hemisphere], rng.uniform(5, 80, values.shape[1]).astype("float32"))
        challenge = np.zeros(N_FSAVERAGE, np.int64)
        challenge[rng.choice(N_FSAVERAGE, values.shape[1], replace=False)] = 1
        np.save(masks / f"{hemisphere}.all-vertices_fsaverage_space.npy", challenge)
    for (hemisphere, family), labels in tree.labels.items():
        np.save(masks / f"{hemisphere}.{family}_challenge_space.npy", labels)
    return tree


def _labels(rng: np.random.Generator, family: str, n_vertices: int) -> np.ndarray:
    """Label vertices at random; the first five belong to no ROI of any family."""
    present = [i for i, name in enumerate(NAMES[family], 1) if name not in EMPTY]
    labels = rng.choice([0, *present], n_vertices)
    labels[:5] = 0
    labels[5 : 5 + len(present)] = present
    return labels.astype(np.int64)
