"""What else a folder of raw NSD holds: native surfaces, behaviour, and the functional volume.

Other people's readers ask for these. A simulated subject has no surface or volume of its own:
its native vertices are fsaverage's with others between them, and its voxels are its vertices,
set side by side.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cortune.data.nsd_tree import BETAS, VOLUME
from cortune.data.rois import HEMISPHERES
from cortune.seeds import rng
from cortune.simulate.brain import Brain
from cortune.simulate.layout import Layout
from cortune.simulate.spec import SimulationSpec, subject_design_ids, subject_number
from cortune.simulate.surface import N_FSAVERAGE
from cortune.simulate.trials import master_ordering, sessions

GENERAL = "nsdgeneral"
"""NSD's region of visual cortex in general."""

_GRID = (83, 104, 81)  # Z, Y, X of subj01
_WIDTH, _DEPTH = 30, 90  # of a hemisphere's block of voxels
_SCALE = 300  # integers per percent signal change
_RUNS = 12  # of a session


def write_map(path: Path, values: np.ndarray) -> None:
    """Write one number per vertex."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.MGHImage(values[:, None, None], np.eye(4)).to_filename(path)


def native_vertices(subject: str, hemisphere: str, seed: int) -> tuple[int, np.ndarray]:
    """Draw a subject's own surface.

    Returns
    -------
    int
        Its number of vertices.
    ndarray of int32, shape (163842,)
        The vertex, from 0, that stands for each of fsaverage.
    """
    draw = rng(seed, "simulate", "native surface", subject, hemisphere)
    n_vertices = N_FSAVERAGE + int(draw.integers(20_000, 60_000))
    chosen = draw.choice(n_vertices, N_FSAVERAGE, replace=False)
    return n_vertices, np.sort(chosen).astype(np.int32)


def write_native(
    labels: Path, transforms: Path, layouts: Mapping[str, Layout], subject: str, seed: int
) -> None:
    """Write a subject's labels on its own surface, and the way to fsaverage and back.

    ``<h>.white-to-fsaverage.mgz`` has for each vertex of fsaverage the native one, from 1;
    ``<h>.fsaverage-to-white.mgz`` the other way round.
    """
    for hemisphere, layout in layouts.items():
        n_vertices, native = native_vertices(subject, hemisphere, seed)
        families = {**layout.labels, GENERAL: np.ones(len(layout.vertices), np.int64)}
        for family, values in families.items():
            everywhere = np.zeros(n_vertices, np.int32)
            everywhere[native[layout.vertices]] = values
            write_map(labels / f"{hemisphere}.{family}.mgz", everywhere)
        back = np.searchsorted(native, np.arange(n_vertices), "right").astype(np.int32)
        write_map(transforms / f"{hemisphere}.white-to-fsaverage.mgz", native + 1)
        write_map(transforms / f"{hemisphere}.fsaverage-to-white.mgz", np.maximum(back, 1))
    write_names(labels, next(iter(layouts.values())))


def write_names(folder: Path, layout: Layout) -> None:
    """Write the names of each family's labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for family, names in {**layout.names, GENERAL: {0: "Unknown", 1: GENERAL}}.items():
        lines = [f"{label} {name}\n" for label, name in sorted(names.items())]
        (folder / f"{family}.mgz.ctab").write_text("".join(lines), encoding="utf-8")


def write_behaviour(path: Path, spec: SimulationSpec, subject: str, seed: int) -> None:
    """Write ``responses.tsv``: what was shown in each trial, and whether it was recognised."""
    design = subject_design_ids(spec, subject, seed)
    order = master_ordering(spec, seed)
    draw = rng(seed, "simulate", "behaviour", subject)
    columns = (
        "SUBJECT SESSION RUN TRIAL 73KID 10KID TIME ISOLD ISCORRECT RT CHANGEMIND MEMORYRECENT "
        "MEMORYFIRST ISOLDCURRENT ISCORRECTCURRENT TOTAL1 TOTAL2 BUTTON MISSINGDATA"
    )
    lines = ["\t".join(columns.split())]
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    trial = 0
    for session, shown in enumerate(np.array_split(order, -(-len(order) // spec.session_trials))):
        seen: set[int] = set()
        for run, part in enumerate(np.array_split(shown, _RUNS), start=1):
            for number, image in enumerate(part.tolist(), start=1):
                old, here = image in first, image in seen
                right = draw.random() < 0.85
                button = 1 + (old == right)
                since = [trial - when[image] - 1 if old else "NaN" for when in (last, first)]
                row = [
                    *(subject_number(subject), session + 1, run, number),
                    *(design[image] + 1, image + 1, f"{0.5 + 7 * session + trial * 4.6e-5:.10f}"),
                    *(int(old), int(right), f"{draw.normal(800, 120):.6f}", 0, *since),
                    *(int(here), int((button == 2) == here), 1, 0, button, 0),
                ]
                lines.append("\t".join(map(str, row)))
                first.setdefault(image, trial)
                last[image] = trial
                seen.add(image)
                trial += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_volume(
    betas: Path,
    subject_folder: Path,
    spec: SimulationSpec,
    subject: str,
    brains: Mapping[str, Brain],
    signal: Mapping[str, np.ndarray],
    seed: int,
) -> None:
    """Write the tree ``func1pt8mm``: betas of both kinds of files, ncsnr, masks and ROIs.

    Parameters
    ----------
    betas, subject_folder : Path
        ``nsddata_betas/ppdata/<subject>`` and ``nsddata/ppdata/<subject>``.
    """
    betas, masks = betas / VOLUME / BETAS, subject_folder / VOLUME
    betas.mkdir(parents=True)
    (masks / "roi").mkdir(parents=True)
    voxels = {side: _voxels(brain.n_vertices, side) for side, brain in brains.items()}
    ncsnr = np.zeros(_GRID, np.float32)
    families = [*next(iter(brains.values())).layout.labels, GENERAL]
    for family in families:
        both = np.full(_GRID, -1, np.int16)
        for side, brain in brains.items():
            labels = brain.layout.labels.get(family, np.ones(brain.n_vertices, np.int64))
            own = np.full(_GRID, -1, np.int16)
            for volume in (own, both):
                volume[voxels[side]] = labels
            _write_volume(masks / "roi" / f"{side}.{family}.nii.gz", own)
            ncsnr[voxels[side]] = brain.ncsnr
        _write_volume(masks / "roi" / f"{family}.nii.gz", both)
    _write_volume(masks / "brainmask.nii.gz", (both >= 0).astype(np.int16))
    _write_volume(betas / "ncsnr.nii.gz", ncsnr)
    sides = [sessions(spec, subject, brains[side], signal[side], seed) for side in HEMISPHERES]
    for number, parts in enumerate(zip(*sides, strict=True), start=1):
        values = [np.round(_SCALE * part.betas).clip(-32767, 32767) for part in parts]
        _write_session(betas, number, dict(zip(HEMISPHERES, values, strict=True)), voxels)


def _voxels(n: int, hemisphere: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (z, y, x) of a hemisphere's vertices: a block in its half of the grid."""
    index = np.arange(n)
    x = index % _WIDTH + (5 if hemisphere == "lh" else 45)
    return 5 + index // (_WIDTH * _DEPTH), 5 + index // _WIDTH % _DEPTH, x


def _write_session(
    folder: Path, number: int, values: Mapping[str, np.ndarray], voxels: Mapping[str, Any]
) -> None:
    import h5py

    n_trials = len(next(iter(values.values())))
    trials = np.zeros((n_trials, *_GRID), np.int16)
    for side, (z, y, x) in voxels.items():
        trials[:, z, y, x] = values[side]
    with h5py.File(folder / f"betas_session{number:02d}.hdf5", "w") as file:
        chunks = (n_trials, 1, *_GRID[1:])
        file.create_dataset("betas", data=trials, chunks=chunks, compression=1)
    _write_volume(folder / f"betas_session{number:02d}.nii.gz", trials)


def _write_volume(path: Path, values: np.ndarray) -> None:
    """Write a volume (Z, Y, X), or several (n, Z, Y, X), as NIfTI, where X comes first."""
    from nibabel.nifti1 import Nifti1Header

    header: Any = Nifti1Header()
    header.set_data_dtype(values.dtype)
    header.set_data_shape(values.shape[::-1])
    header.set_zooms((1.8,) * 3 + (1.0,) * (values.ndim - 3))
    header["vox_offset"] = 352
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as file:
        file.write(header.binaryblock + b"\0" * 4)
        file.write(np.ascontiguousarray(values).data)
