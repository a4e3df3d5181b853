"""Maps of the models in three axes, by inPCA, metric MDS and UMAP, from one matrix."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cortune.errors import InputError
from cortune.landscape.dissimilarity import Floats
from cortune.landscape.inpca import InPCA, inpca, signed_by_largest
from cortune.seeds import rng

N_AXES = 3
N_STARTS = 4
N_NEIGHBOURS = 15
MIN_MODELS = {"inpca": 2, "mds": 3, "umap": 4}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Space:
    """Models in one space.

    Parameters
    ----------
    name : str
        ``inpca``, ``mds`` or ``umap``.
    coordinates : array of shape (n_models, 3)
        NaN on axes that so few models do not have.
    explained_stress : float
        For inPCA :meth:`cortune.landscape.inpca.InPCA.explained_stress`; for MDS one minus
        the stress ||D - d|| / ||D||; NaN for UMAP, which does not keep distances.
    imaginary : tuple of int
        Axes, from 1, with a negative eigenvalue.
    """

    name: str
    coordinates: Floats
    explained_stress: float
    imaginary: tuple[int, ...] = ()


def embed(distance: Floats, names: Sequence[str], seed: int) -> list[Space]:
    """Embed models in the spaces asked for.

    A space that the models cannot be embedded in is left out, with a warning.

    Parameters
    ----------
    distance : array of shape (n_models, n_models)
    names : sequence of str
        ``inpca``, ``mds``, ``umap``.
    seed : int

    Raises
    ------
    InputError
        If a space is not known.
    """
    unknown = [name for name in names if name not in _SPACES]
    if unknown:
        raise InputError(
            "landscape.methods",
            ", ".join(unknown),
            " or ".join(_SPACES),
            "Correct the spelling, or remove it.",
        )
    components = inpca(distance)
    spaces = []
    for name in names:
        reason = _obstacle(distance, name)
        if reason:
            _log.warning("The landscape has no %s space: %s.", name, reason)
        else:
            spaces.append(_SPACES[name](distance, components, seed))
    return spaces


def _obstacle(distance: Floats, name: str) -> str | None:
    if len(distance) < MIN_MODELS[name]:
        return f"{len(distance)} models, and it needs {MIN_MODELS[name]}"
    if name != "inpca" and not distance.any():
        return "all models predict the same"
    return None


def _inpca_space(distance: Floats, components: InPCA, seed: int) -> Space:
    signs = components.signs[:N_AXES]
    return Space(
        "inpca",
        _padded(components.coordinates[:, : _n_axes(distance)]),
        components.explained_stress(N_AXES),
        tuple(int(axis) + 1 for axis in np.flatnonzero(signs < 0)),
    )


def _mds_space(distance: Floats, components: InPCA, seed: int) -> Space:
    """Minimise sum (D - d)² by SMACOF from inPCA and random starts; the best one is kept."""
    from scipy.spatial.distance import pdist, squareform
    from sklearn.manifold import smacof

    n_axes = _n_axes(distance)
    random = rng(seed, "landscape", "mds")
    spread = np.abs(components.coordinates[:, :n_axes]).max()
    starts = [components.coordinates[:, :n_axes]]
    starts += [spread * random.standard_normal(starts[0].shape) for _ in range(N_STARTS - 1)]
    found = [
        smacof(
            distance,
            n_components=n_axes,
            init=start,
            n_init=1,
            max_iter=1000,
            eps=1e-9,
            normalized_stress=False,
        )
        for start in starts
    ]
    points = principal_axes(min(found, key=lambda one: one[1])[0])
    left = np.square(distance - squareform(pdist(points))).sum() / np.square(distance).sum()
    return Space("mds", _padded(points), float(1 - np.sqrt(left)))


def _umap_space(distance: Floats, components: InPCA, seed: int) -> Space:
    """Embed the neighbour graph, from inPCA: a start that keeps what is far apart apart."""
    from umap import UMAP

    random = rng(seed, "landscape", "umap")
    start = components.coordinates[:, : _n_axes(distance)]
    # UMAP scales every axis of its start; one without extent would divide by zero.
    start = start + 1e-4 * np.abs(start).max() * random.standard_normal(start.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "using precomputed metric", UserWarning)
        model = UMAP(
            n_components=start.shape[1],
            n_neighbors=min(N_NEIGHBOURS, len(distance) - 1),
            metric="precomputed",
            init=start,
            random_state=int(random.integers(2**31)),
            n_jobs=1,
        )
        points = np.asarray(model.fit_transform(distance), dtype=np.float64)
    return Space("umap", _padded(principal_axes(points)), float("nan"))


_SPACES: dict[str, Callable[[Floats, InPCA, int], Space]] = {
    "inpca": _inpca_space,
    "mds": _mds_space,
    "umap": _umap_space,
}


def principal_axes(points: Floats) -> Floats:
    """Centre points and rotate them to their principal axes; distances stay.

    Parameters
    ----------
    points : array of shape (n_models, n_axes)
    """
    centred = points - points.mean(axis=0)
    u, scale, _ = np.linalg.svd(centred, full_matrices=False)
    return signed_by_largest(u * scale)


def _n_axes(distance: Floats) -> int:
    """Return the axes that so many models can span, at most three."""
    return min(N_AXES, len(distance) - 1)


def _padded(points: Floats) -> Floats:
    padded = np.full((len(points), N_AXES), np.nan)
    padded[:, : points.shape[1]] = points
    return padded
