"""Which vertices a simulated subject has, and which regions they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cortune.data.algonauts_files import load_mapping, load_mask
from cortune.data.rois import FAMILIES, STREAMS, UNKNOWN, family_names
from cortune.errors import InputError
from cortune.simulate.spec import STREAM_MEMBERS, SimulationSpec, synthetic_sizes
from cortune.simulate.surface import (
    LEVEL_SIZES,
    N_FSAVERAGE,
    distance_to_course,
    foveal_coordinates,
    sphere,
)

# A vertex in several families behaves as the first of them says.
_PRECEDENCE = (
    "prf-visualrois", "floc-faces", "floc-bodies", "floc-places", "floc-words", "streams",
)  # fmt: skip
_AROUND_THE_FOVEA = ("hV4", "V3v", "V2v", "V1v", "V1d", "V2d", "V3d")
_UNLABELLED_SHARE = 0.03


@dataclass(frozen=True)
class Layout:
    """The vertices of one hemisphere.

    Attributes
    ----------
    vertices : ndarray of int64, shape (n_vertices,)
        Index in fsaverage, ascending.
    labels : dict of str to ndarray of int64, shape (n_vertices,)
        Label of every vertex in each family of masks; 0 is none.
    names : dict of str to dict of int to str
        Name of each label in each family; 0 is 'Unknown'.
    """

    vertices: np.ndarray
    labels: dict[str, np.ndarray]
    names: dict[str, dict[int, str]]

    def rois(self) -> dict[str, np.ndarray]:
        """Return the positions of every named ROI's vertices, empty ROIs included."""
        return {
            name: np.flatnonzero(self.labels[family] == label)
            for family, names in self.names.items()
            for label, name in names.items()
            if label != 0
        }

    def regions(self) -> np.ndarray:
        """Return the name of the region that decides each vertex's behaviour; '' is none."""
        regions = np.full(len(self.vertices), "", dtype="U16")
        for family in reversed(_PRECEDENCE):
            for label, name in self.names[family].items():
                if label != 0:
                    regions[self.labels[family] == label] = name
        return regions


def roi_sizes(spec: SimulationSpec, subject: str, hemisphere: str) -> dict[str, int]:
    """Return the number of vertices of every ROI, before anything is written.

    Parameters
    ----------
    spec : SimulationSpec
    subject : str
        All subjects have the same sizes; their tuning and noise differ.
    hemisphere : {"lh", "rh"}

    Returns
    -------
    dict of str to int
        Empty ROIs and streams included.

    Raises
    ------
    InputError
        If a mask or mapping of `spec.masks` is missing or malformed.
    """
    if spec.masks is None:
        return synthetic_sizes(spec.vertices, hemisphere)
    rois = _real_layout(spec.masks, hemisphere).rois()
    return {name: len(where) for name, where in rois.items()}


def make_layout(spec: SimulationSpec, hemisphere: str) -> Layout:
    """Lay the ROIs out on the surface, or take them over from `spec.masks`.

    Raises
    ------
    InputError
        If a file of `spec.masks` is missing, malformed, or does not fit the others.
    """
    if spec.masks is not None:
        return _real_layout(spec.masks, hemisphere)
    return _synthetic_layout(synthetic_sizes(spec.vertices, hemisphere), hemisphere)


def _real_layout(folder: Path, hemisphere: str) -> Layout:
    masks = folder / "roi_masks"
    everything = masks / f"{hemisphere}.all-vertices_fsaverage_space.npy"
    mask = load_mask(everything)
    if len(mask) != N_FSAVERAGE:
        raise _unfit(everything, f"{len(mask)} vertices", f"{N_FSAVERAGE} vertices")
    vertices = np.flatnonzero(mask)
    labels, names = {}, {}
    for family in FAMILIES:
        path = masks / f"{hemisphere}.{family}_challenge_space.npy"
        labels[family] = load_mask(path)
        names[family] = load_mapping(masks / f"mapping_{family}.npy")
        if len(labels[family]) != len(vertices):
            expected = f"{len(vertices)}, as in {everything.name}"
            raise _unfit(path, f"{len(labels[family])} vertices", expected)
        unknown = set(np.unique(labels[family]).tolist()) - {0, *names[family]}
        if unknown:
            raise _unfit(path, f"labels without a name: {sorted(unknown)}", "named labels")
        unheard = set(names[family].values()) - {UNKNOWN, *FAMILIES[family]}
        if unheard:
            expected = ", ".join(FAMILIES[family])
            raise _unfit(path, f"the ROI {min(unheard)!r}", f"ROIs among {expected}")
    return Layout(vertices, labels, names)


def _unfit(path: Path, found: str, expected: str) -> InputError:
    return InputError(path, found, expected, "Point simulate.masks at a subject as distributed.")


def _synthetic_layout(sizes: dict[str, int], hemisphere: str) -> Layout:
    """Grow every ROI around its course, families apart, then the streams around them."""
    names = {family: family_names(family) for family in FAMILIES}
    wanted = sum(sizes[roi] for roi in STREAMS)
    level = next((i for i, size in enumerate(LEVEL_SIZES) if wanted <= 0.18 * size), 2)
    points = sphere(hemisphere, level)
    labels = {"prf-visualrois": early_labels(points, hemisphere, sizes)}
    for family, rois in FAMILIES.items():
        if family not in labels:
            distance = np.stack([distance_to_course(points, hemisphere, roi) for roi in rois])
            if family == "streams":
                distance -= 10 * _membership(labels, rois)
            else:  # category areas overlap each other, not the retinotopic ones
                distance += 10 * (labels["prf-visualrois"] > 0)
            labels[family] = _allocate(distance, [sizes[roi] for roi in rois])
    labelled = np.any([label > 0 for label in labels.values()], axis=0)
    vertices = np.flatnonzero(labelled | _neighbours(points, labelled))
    return Layout(vertices, {family: label[vertices] for family, label in labels.items()}, names)


def _neighbours(points: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Mark the unlabelled vertices next to the labelled ones, a few per cent as many."""
    from scipy.spatial import cKDTree

    n_more = max(1, round(_UNLABELLED_SHARE * np.count_nonzero(labelled)))
    free = np.flatnonzero(~labelled)
    gap = cKDTree(points[labelled]).query(points[free], distance_upper_bound=0.2)[0]
    chosen = np.zeros(len(points), bool)
    chosen[free[np.argsort(gap, kind="stable")[:n_more]]] = True
    return chosen


def early_labels(points: np.ndarray, hemisphere: str, sizes: dict[str, int]) -> np.ndarray:
    """Cut the early visual cortex into wedges about the foveal confluence.

    However many vertices are asked for, the areas follow each other as on the cortex.
    """
    rois = FAMILIES["prf-visualrois"]
    distance = np.min([distance_to_course(points, hemisphere, roi) for roi in rois], axis=0)
    patch = np.argsort(distance, kind="stable")[: sum(sizes[roi] for roi in rois)]
    _, azimuth = foveal_coordinates(points[patch], hemisphere)
    order = patch[np.argsort(azimuth, kind="stable")]
    labels = np.zeros(len(points), np.int64)
    start = 0
    for roi in _AROUND_THE_FOVEA:
        labels[order[start : start + sizes[roi]]] = rois.index(roi) + 1
        start += sizes[roi]
    return labels


def _membership(labels: dict[str, np.ndarray], streams: Sequence[str]) -> np.ndarray:
    """Return which vertices belong to an ROI of each stream: (n_streams, n_vertices)."""
    members = np.zeros((len(streams), len(labels["prf-visualrois"])), bool)
    for family, label in labels.items():
        for index, roi in enumerate(FAMILIES[family], start=1):
            for row, stream in enumerate(streams):
                if roi in STREAM_MEMBERS[stream]:
                    members[row] |= label == index
    return members


def _allocate(distance: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Give each region its number of vertices, nearest pairs first.

    Parameters
    ----------
    distance : ndarray of float, shape (n_regions, n_vertices)
    sizes : sequence of int

    Returns
    -------
    ndarray of int64, shape (n_vertices,)
        1 + index of the region, or 0.
    """
    labels = np.zeros(distance.shape[1], np.int64)
    # No region can be pushed further out than the vertices of all regions reach.
    reach = min(distance.shape[1], sum(sizes))
    near = np.argsort(distance, axis=1, kind="stable")[:, :reach]
    order = np.argsort(np.take_along_axis(distance, near, 1), axis=None, kind="stable")
    left = list(sizes)
    for pair, vertex in zip(order.tolist(), near.ravel()[order].tolist(), strict=True):
        region = pair // reach
        if left[region] and not labels[vertex]:
            labels[vertex] = region + 1
            left[region] -= 1
    return labels
