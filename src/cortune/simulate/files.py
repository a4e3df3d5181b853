"""Files that the simulators of several layouts write."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cortune.simulate.brain import Brain
from cortune.simulate.energies import BLOCKS
from cortune.simulate.tuning import channel_counts

_MAT_HEADER = 116


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG."""
    from PIL import Image

    Image.fromarray(pixels).save(path, "PNG", compress_level=1)


def write_jpeg(path: Path, pixels: np.ndarray) -> None:
    """Write a JPEG that loses next to nothing."""
    from PIL import Image

    Image.fromarray(pixels).save(path, "JPEG", quality=100, subsampling=0)


def write_mat(path: Path, variables: Mapping[str, Any], text: bytes) -> None:
    """Write a MATLAB file that begins with `text`, where scipy writes the time of day."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, dict(variables), do_compression=True)
    path.write_bytes(text.ljust(_MAT_HEADER) + buffer.getvalue()[_MAT_HEADER:])


def write_truth(
    path: Path,
    subject: str,
    brain: Brain,
    signal: np.ndarray,
    images: np.ndarray,
    seed: int,
    *,
    n_repeats: int,
    vertices: np.ndarray,
    rois: Mapping[str, np.ndarray],
) -> None:
    """Write what is true of a hemisphere.

    The HDF5 file holds ``prf/x``, ``prf/y``, ``prf/size`` (degrees of visual angle, right
    and up positive), ``tuning`` (n_vertices, n_channels), ``null``, ``noise_ceiling``
    (share of variance), ``ncsnr``, noiseless ``responses`` (n_images, n_vertices),
    ``images`` (what the layout calls them), ``vertices`` (in the layout's space), and the
    positions of each ROI's vertices in ``rois/<name>``.
    """
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(subject=subject, hemisphere=brain.hemisphere, seed=seed)
        file["responses"] = signal
        for name, values in brain.prf().items():
            file[f"prf/{name}"] = values.astype(np.float32)
        file["tuning"] = brain.tuning()
        file["tuning"].attrs["blocks"] = list(BLOCKS)
        file["tuning"].attrs["n_channels"] = list(channel_counts(brain.n_classes).values())
        file["null"] = brain.null
        file["noise_ceiling"] = brain.noise_ceiling(n_repeats).astype(np.float32)
        file["ncsnr"] = brain.ncsnr.astype(np.float32)
        file["images"] = images
        file["vertices"] = vertices
        for name, where in rois.items():
            file[f"rois/{name}"] = where
