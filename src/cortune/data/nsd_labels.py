"""ROI labels and noise-ceiling SNRs of the raw Natural Scenes Dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortune.data.algonauts_files import N_FSAVERAGE
from cortune.data.nsd_files import as_integers, load_surface, load_volume
from cortune.data.nsd_tree import SURFACE, NsdTree
from cortune.data.problems import AGAIN
from cortune.errors import InputError


def load_labels(tree: NsdTree, subject: str, hemisphere: str, family: str) -> NDArray[np.int64]:
    """Return each vertex's label, 0 where it has none: the flattened grid of the betas.

    Raises
    ------
    InputError
        If the file is missing or damaged, or the labels are those of the subject's own
        surface and nothing says how to transform them.
    """
    path = tree.labels(subject, hemisphere, family)
    values = load_surface(path) if tree.space == SURFACE else load_volume(path)
    labels = np.maximum(as_integers(path, values, "whole numbers, one per vertex"), 0)
    if tree.space == SURFACE:
        return _on_fsaverage(tree, subject, hemisphere, path, labels)
    tree.check_grid(subject, hemisphere, path, labels.shape)
    return labels.reshape(-1)


def _on_fsaverage(
    tree: NsdTree, subject: str, hemisphere: str, path: Path, labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Take labels on the subject's own surface over to the nearest fsaverage vertex."""
    if len(labels) == N_FSAVERAGE:
        return labels
    transform = tree.transform(subject, hemisphere)
    if not transform.exists():
        raise InputError(
            path,
            f"{len(labels)} vertices, those of the subject's own surface",
            f"{N_FSAVERAGE} (fsaverage), or {transform} to transform them by",
            "Download that file of NSD; labels are then taken from the nearest vertex.",
        )
    native = as_integers(transform, load_surface(transform), "vertices of the native surface")
    if len(native) != N_FSAVERAGE:
        found = f"{len(native)} vertices"
        raise InputError(transform, found, f"{N_FSAVERAGE} (fsaverage)", AGAIN)
    if native.min() < 1 or native.max() > len(labels):
        found = f"vertices from {native.min()} to {native.max()}"
        expected = f"1 to {len(labels)}, the vertices of {path.name}"
        raise InputError(transform, found, expected, "Copy both files of the same subject.")
    return labels[native - 1]


def load_ncsnr(tree: NsdTree, subject: str, hemisphere: str) -> NDArray[Any] | None:
    """Return the noise-ceiling SNR of the flattened grid, or None if there is no file.

    Raises
    ------
    InputError
        If the file is damaged, has other vertices than the betas, or holds negative or
        infinite values.
    """
    path = tree.ncsnr(subject, hemisphere)
    if not path.exists():
        return None
    if tree.space == SURFACE:
        ncsnr = load_surface(path)
        if len(ncsnr) != N_FSAVERAGE:
            expected = f"{N_FSAVERAGE} (fsaverage)"
            raise InputError(path, f"{len(ncsnr)} vertices", expected, AGAIN)
    else:
        volume = load_volume(path)
        tree.check_grid(subject, hemisphere, path, volume.shape)
        ncsnr = volume.reshape(-1)
    if wrong := np.count_nonzero((ncsnr < 0) | np.isinf(ncsnr)):
        found = f"{wrong} values that are negative or infinite"
        raise InputError(path, found, "ratios of 0 or more, NaN where unknown", AGAIN)
    return ncsnr
