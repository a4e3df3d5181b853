"""The fsaverage sphere and where the visual regions lie on it.

fsaverage is an icosahedron subdivided seven times; its first 10242 vertices are fsaverage5
and its first 40962 fsaverage6. nilearn ships fsaverage5; the two finer levels follow from
it by FreeSurfer's rule of subdivision, vertex for vertex.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

LEVEL_SIZES = (10_242, 40_962, 163_842)
N_FSAVERAGE = LEVEL_SIZES[-1]

# Approximate course of each region on the left pial surface, fsaverage RAS in mm; the right
# hemisphere mirrors it. Early areas run from the fovea to the periphery.
COURSES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "V1v": ((-22, -101, -11), (-5, -90, -5)),
    "V1d": ((-21, -102, -1), (-9, -92, 4)),
    "V2v": ((-27, -98, -13), (-7, -86, -13)),
    "V2d": ((-28, -97, -2), (-7, -95, 13)),
    "V3v": ((-33, -93, -12), (-17, -79, -12)),
    "V3d": ((-33, -92, -4), (-14, -96, 19)),
    "hV4": ((-39, -87, -15), (-24, -77, -10)),
    "EBA": ((-44, -71, 16), (-46, -68, -4)),
    "FBA-1": ((-42, -65, -12), (-36, -60, -20)),
    "FBA-2": ((-45, -50, -17), (-39, -46, -22)),
    "mTL-bodies": ((-46, -32, -22), (-42, -26, -24)),
    "OFA": ((-45, -82, -3), (-38, -82, -16)),
    "FFA-1": ((-42, -68, -14), (-32, -66, -18)),
    "FFA-2": ((-44, -48, -18), (-37, -45, -23)),
    "mTL-faces": ((-40, -24, -26), (-36, -18, -28)),
    "aTL-faces": ((-38, -10, -34), (-34, -4, -36)),
    "OPA": ((-24, -82, 21), (-44, -78, 18)),
    "PPA": ((-30, -52, -10), (-20, -42, -13)),
    "RSC": ((-20, -62, 20), (-15, -60, 7)),
    "OWFA": ((-43, -86, -3), (-37, -86, -17)),
    "VWFA-1": ((-47, -67, -6), (-43, -66, -15)),
    "VWFA-2": ((-47, -53, -16), (-43, -47, -21)),
    "mfs-words": ((-35, -60, -20), (-31, -46, -23)),
    "mTL-words": ((-50, -34, -22), (-46, -30, -24)),
    "early": ((-22, -101, -5), (-7, -86, -2)),
    "midventral": ((-42, -86, -12), (-25, -79, -10)),
    "midlateral": ((-34, -87, 9), (-40, -89, -6)),
    "midparietal": ((-35, -87, 15), (-16, -89, 25)),
    "ventral": ((-46, -62, -12), (-27, -45, -12)),
    "lateral": ((-44, -76, 21), (-48, -68, -3)),
    "parietal": ((-36, -85, 23), (-21, -70, 41)),
}
_FOVEA = (-30, -97, -8)
_CALCARINE_END = (-7, -90, 0)


@lru_cache(maxsize=2)
def sphere(hemisphere: str, level: int = 2) -> np.ndarray:
    """Return the vertices of fsaverage on the unit sphere.

    Parameters
    ----------
    hemisphere : {"lh", "rh"}
    level : {0, 1, 2}
        fsaverage5, fsaverage6 or fsaverage.

    Returns
    -------
    ndarray of float64, shape (LEVEL_SIZES[level], 3)
    """
    vertices, faces = _read(hemisphere, "sphere")
    points = _unit(vertices.astype(float))
    for _ in range(level):
        points, faces = _subdivide(points, faces.astype(np.int64))
    return points


def course(hemisphere: str, region: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the two ends of a region's course on the unit sphere."""
    start, stop = COURSES[region]
    return _on_sphere(hemisphere, start), _on_sphere(hemisphere, stop)


def distance_to_course(points: np.ndarray, hemisphere: str, region: str) -> np.ndarray:
    """Return the chord distance of each point to a region's course: (n_points,)."""
    start, stop = course(hemisphere, region)
    axis = stop - start
    along = np.clip((points - start) @ axis / max(float(axis @ axis), 1e-12), 0, 1)
    distance: np.ndarray = np.linalg.norm(points - _unit(start + along[:, None] * axis), axis=1)
    return distance


def foveal_coordinates(points: np.ndarray, hemisphere: str) -> tuple[np.ndarray, np.ndarray]:
    """Return polar coordinates of the sphere about the foveal confluence.

    Returns
    -------
    distance : ndarray of float, shape (n_points,)
        Angle from the confluence, radians; grows with eccentricity in early areas.
    azimuth : ndarray of float, shape (n_points,)
        Angle from the calcarine sulcus, radians: negative on the ventral side.
    """
    fovea = _on_sphere(hemisphere, _FOVEA)
    ahead = _tangent(_on_sphere(hemisphere, _CALCARINE_END), fovea)
    dorsal = _tangent(_on_sphere(hemisphere, COURSES["V3d"][1]), fovea)
    side = dorsal - (dorsal @ ahead) * ahead
    side /= np.linalg.norm(side)
    azimuth = np.arctan2(points @ side, points @ ahead)
    return np.arccos(np.clip(points @ fovea, -1, 1)), azimuth


def _tangent(point: np.ndarray, origin: np.ndarray) -> np.ndarray:
    return _unit(point - (point @ origin) * origin)


def _unit(points: np.ndarray) -> np.ndarray:
    return np.asarray(points / np.linalg.norm(points, axis=-1, keepdims=True))


@lru_cache(maxsize=256)
def _on_sphere(hemisphere: str, ras: tuple[int, int, int]) -> np.ndarray:
    """Return the place on the sphere of the pial vertex nearest to left-hemisphere `ras`."""
    side = -1 if hemisphere == "rh" else 1
    pial, _ = _read(hemisphere, "pial")
    nearest = int(np.argmin(((pial - np.array(ras) * (side, 1, 1)) ** 2).sum(1)))
    return _unit(_read(hemisphere, "sphere")[0][nearest].astype(float))


@lru_cache(maxsize=4)
def _read(hemisphere: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a mesh of fsaverage5 from nilearn's files, without importing nilearn."""
    import nibabel

    package = importlib.util.find_spec("nilearn")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("nilearn, which ships the fsaverage5 surface, is not installed")
    folder = Path(package.submodule_search_locations[0], "datasets", "data", "fsaverage5")
    side = {"lh": "left", "rh": "right"}[hemisphere]
    image = nibabel.load(folder / f"{kind}_{side}.gii.gz")
    points, faces = (array.data for array in image.darrays[:2])
    return points, faces


def _subdivide(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Halve every edge, numbering new vertices and faces as FreeSurfer's icosahedra do."""
    edges = np.sort(faces[:, [[0, 2], [2, 1], [1, 0]]], axis=-1).reshape(-1, 2)
    code = edges[:, 0] * len(points) + edges[:, 1]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    ac, cb, ba = (rank[inverse].reshape(-1, 3) + len(points)).T
    middle = _unit(points[edges[np.sort(first)]].sum(1))
    a, b, c = faces.T
    corners = np.stack([a, ba, ac], 1)
    others = np.stack([ac, cb, c, ba, cb, ac, ba, b, cb], 1).reshape(-1, 3)
    return np.concatenate([points, middle]), np.concatenate([corners, others])
