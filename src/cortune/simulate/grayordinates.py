"""The cortical grayordinates of CIFTI files: 32k_fs_LR meshes without the medial wall.

The true meshes are not free to ship. As many points are spread evenly over fsaverage's
sphere instead; counts, spacing and the order of structures are real, the place of a
numbered vertex is not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cortune.data.nod_files import N_AREAS, N_CORTEX, N_LEFT
from cortune.data.rois import FAMILIES, UNKNOWN, family_names
from cortune.seeds import rng
from cortune.simulate.layout import Layout, early_labels

if TYPE_CHECKING:
    from scipy.sparse import csr_array

N_MESH = 32_492
COUNTS = {"lh": N_LEFT, "rh": N_CORTEX - N_LEFT}
RADIUS_MM = 100.0
"""Of the sphere; its vertices are then about 2 mm apart, as on the real mid-cortex."""

# Vertices of V1 to V4 in the parcellation as distributed, by position: left, then right.
_EARLY = {"V1": (841, 787), "V2": (622, 607), "V3": (336, 358), "V4": (346, 296)}
_PARTS = {"V1": ("V1v", "V1d"), "V2": ("V2v", "V2d"), "V3": ("V3v", "V3d"), "V4": ("hV4",)}
_FAMILY = "prf-visualrois"
_FWHM = 2 * np.sqrt(2 * np.log(2))

# The areas of Glasser et al. 2016 in the order of their numbers, spelt as in the data set.
_AREAS = """
V1 MST V6 V2 V3 V4 V8 4 3b FEF PEF 55b V3A RSC POS2 V7 IPS1 FFC V3B LO1 LO2 PIT MT A1 PSL SFL
PCV STV 7Pm 7m POS1 23d v23ab d23ab 31pv 5m 5mv 23c 5L 24dd 24dv 7AL SCEF 6ma 7Am 7PL 7PC LIPv
VIP MIP 1 2 3a 6d 6mp 6v p24pr 33pr a24pr p32pr a24 d32 8BM p32 10r 47m 8Av 8Ad 9m 8BL 9p 10d
8C 44 45 47l a47r 6r IFJa IFJp IFSp IFSa p9-46v 46 a9-46v 9-46d 9a 10v a10p 10pp 11l 13l OFC
47s LIPd 6a i6-8 s6-8 43 OP4 OP1 OP2-3 52 RI PFcm PoI2 TA2 FOP4 MI Pir AVI AAIC FOP1 FOP3 FOP2
PFt AIP EC PreS H ProS PeEc STGa PBelt A5 PHA1 PHA3 STSda STSdp STSvp TGd TE1a TE1p TE2a TF
TE2p PHT PH TPOJ1 TPOJ2 TPOJ3 DVT PGp IP2 IP1 IP0 PFop PF PFm PGi PGs V6A VMV1 VMV3 PHA2 V4t
FST V3CD LO3 VMV2 31pd 31a VVC 25 s32 pOFC PoI1 Ig FOP5 p10p p47r TGv MBelt LBelt A4 STSva
TE1m PI a32pr p24
"""
AREAS = tuple(_AREAS.split())


@lru_cache(maxsize=2)
def mesh_vertices(hemisphere: str) -> np.ndarray:
    """Return the mesh vertices outside the medial wall, ascending: (n_grayordinates,).

    The wall is the part of the sphere that looks towards the other hemisphere.
    """
    inwards = 1 if hemisphere == "lh" else -1
    order = np.argsort(inwards * _mesh()[:, 0], kind="stable")
    return np.sort(order[: COUNTS[hemisphere]])


def cortex(hemisphere: str) -> np.ndarray:
    """Return the cortical grayordinates on the unit sphere: (n_grayordinates, 3)."""
    points: np.ndarray = _mesh()[mesh_vertices(hemisphere)]
    return points


@lru_cache(maxsize=1)
def brain_models() -> Any:
    """Return the columns' axis, a ``BrainModelAxis`` of left, then right cortex."""
    from nibabel.cifti2 import BrainModelAxis

    left, right = (
        BrainModelAxis.from_surface(mesh_vertices(h), N_MESH, name=f"cortex_{side}")
        for h, side in (("lh", "left"), ("rh", "right"))
    )
    return left + right


@lru_cache(maxsize=2)
def early_layout(hemisphere: str) -> Layout:
    """Return the vertices of V1 to V4, in the parts that a simulated brain knows.

    V1 is V1v and V1d, and so on; V4 is hV4. The layout's vertices are positions within the
    hemisphere's cortex.
    """
    sizes: dict[str, int] = {}
    for area, counts in _EARLY.items():
        n, parts = counts[("lh", "rh").index(hemisphere)], _PARTS[area]
        sizes |= {part: len(range(i, n, len(parts))) for i, part in enumerate(parts)}
    label = early_labels(cortex(hemisphere), hemisphere, sizes)
    vertices = np.flatnonzero(label)
    labels = {family: np.zeros(len(vertices), np.int64) for family in FAMILIES}
    labels[_FAMILY] = label[vertices]
    names = {family: {0: UNKNOWN} for family in FAMILIES} | {_FAMILY: family_names(_FAMILY)}
    return Layout(vertices, labels, names)


def early_areas(hemisphere: str) -> dict[str, np.ndarray]:
    """Return the positions of the vertices of V1 to V4 in :func:`early_layout`."""
    rois = early_layout(hemisphere).rois()
    return {
        area: np.sort(np.concatenate([rois[part] for part in parts]))
        for area, parts in _PARTS.items()
    }


def nod_roi_sizes(hemisphere: str, top_vertices: int | None) -> dict[str, int]:
    """Return the vertices of V1 to V4 that a reader keeps, before anything is written.

    Parameters
    ----------
    hemisphere : {"lh", "rh"}
    top_vertices : int or None
        As :class:`cortune.data.nod.NodReader` takes it.
    """
    counts = {area: pair[("lh", "rh").index(hemisphere)] for area, pair in _EARLY.items()}
    return {area: min(n, top_vertices or n) for area, n in counts.items()}


def parcellation(seed: int) -> np.ndarray:
    """Return the Glasser label of every grayordinate, (59412,) of float64 as distributed.

    V1 to V4 are where the simulated brains have them; the other 176 areas are compact
    patches around points drawn by the seed, the same in both hemispheres. As in the file
    of the data set, 181 to 360 are the left hemisphere's, which comes first.
    """
    from scipy.spatial import cKDTree

    early = [AREAS.index(area) for area in _EARLY]
    others = np.setdiff1d(np.arange(N_AREAS), early)
    draw = rng(seed, "simulate", "nod", "parcellation")
    labels = []
    for hemisphere in COUNTS:
        points, layout = cortex(hemisphere), early_layout(hemisphere)
        outside = np.setdiff1d(np.arange(len(points)), layout.vertices)
        centres = points[draw.choice(outside, len(others), replace=False)]
        label = others[cKDTree(centres).query(points)[1]]
        for area, where in early_areas(hemisphere).items():
            label[layout.vertices[where]] = AREAS.index(area)
        labels.append(label + 1 + (N_AREAS if hemisphere == "lh" else 0))
    return np.concatenate(labels).astype(np.float64)


@lru_cache(maxsize=4)
def smoothing(hemisphere: str, fwhm_mm: float) -> csr_array:
    """Return a Gaussian kernel along the sheet that keeps the variance of white noise.

    Parameters
    ----------
    hemisphere : {"lh", "rh"}
    fwhm_mm : float
        Full width at half maximum; 0 is no smoothing.

    Returns
    -------
    sparse array of float32, shape (n_grayordinates, n_grayordinates)
        Rows of unit length.
    """
    from scipy.sparse import coo_array
    from scipy.spatial import cKDTree

    points = RADIUS_MM * cortex(hemisphere)
    sigma = max(fwhm_mm / _FWHM, 1e-6)
    tree = cKDTree(points)
    distance = tree.sparse_distance_matrix(tree, 3 * sigma, output_type="ndarray")
    weight = np.exp(-0.5 * (distance["v"] / sigma) ** 2)
    rows, columns = distance["i"], distance["j"]
    length = np.sqrt(np.bincount(rows, weight**2, len(points)))
    kernel = coo_array((weight / length[rows], (rows, columns)), shape=(len(points),) * 2)
    return kernel.tocsr().astype(np.float32)


@lru_cache(maxsize=1)
def _mesh() -> np.ndarray:
    """Return a Fibonacci lattice on the unit sphere: (N_MESH, 3)."""
    index = np.arange(N_MESH)
    height = 1 - (2 * index + 1) / N_MESH
    turn = index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)
