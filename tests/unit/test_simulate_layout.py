"""Where simulated vertices lie: the sphere, the patches, real masks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cortune.data.rois import FAMILIES, HEMISPHERES
from cortune.errors import InputError
from cortune.simulate import SimulationSpec, roi_sizes
from cortune.simulate.layout import make_layout
from cortune.simulate.surface import LEVEL_SIZES, foveal_coordinates, sphere

VERTICES = {
    "V1v": 60, "V1d": 60, "V2v": 50, "V2d": 50, "V3v": 40, "V3d": 40, "hV4": 60,
    "EBA": 60, "FFA-1": 50, "FBA-1": 6, "PPA": 40, "mTL-faces": 0,
}  # fmt: skip


def same_neighbour_share(points: np.ndarray, members: np.ndarray) -> float:
    """Return the share of members whose nearest other vertex is a member too."""
    nearest = cKDTree(points).query(points[members], k=2)[1][:, 1]
    return float(np.isin(nearest, members).mean())


def test_levels_nest_and_cover_the_sphere_evenly() -> None:
    fine = sphere("lh")
    for level, size in enumerate(LEVEL_SIZES):
        points = sphere("lh", level)
        assert len(points) == size
        np.testing.assert_array_equal(points, fine[:size])
        gap = cKDTree(points).query(points, k=2)[0][:, 1]
        assert gap.max() < 1.6 * gap.min()


def test_numbering_is_freesurfers(shared: Path) -> None:
    """Real ROIs are compact on the sphere only if every vertex has its right number."""
    for hemisphere in HEMISPHERES:
        spec = SimulationSpec(masks=shared / "real" / "algonauts" / "subj01")
        layout = make_layout(spec, hemisphere)
        points = sphere(hemisphere)
        for name, where in layout.rois().items():
            if len(where) > 100:
                share = same_neighbour_share(points, layout.vertices[where])
                assert share > 0.75, (hemisphere, name, share)


def test_real_sizes_are_known_beforehand(shared: Path) -> None:
    spec = SimulationSpec(masks=shared / "real" / "algonauts" / "subj01")
    for hemisphere, n_vertices, v1v in (("lh", 19004, 710), ("rh", 20544, 444)):
        sizes = roi_sizes(spec, "subj01", hemisphere)
        layout = make_layout(spec, hemisphere)
        assert len(layout.vertices) == n_vertices
        assert sizes["V1v"] == v1v
        assert {name: len(where) for name, where in layout.rois().items()} == sizes


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_sizes_are_those_asked_for(hemisphere: str) -> None:
    spec = SimulationSpec(vertices=VERTICES)
    layout = make_layout(spec, hemisphere)
    found = {name: len(where) for name, where in layout.rois().items()}
    assert found == roi_sizes(spec, "subj01", hemisphere)
    assert {name: found[name] for name in VERTICES} == VERTICES
    assert found["early"] == 300
    assert set(found) == {roi for rois in FAMILIES.values() for roi in rois}
    assert np.all(np.diff(layout.vertices) > 0)
    assert layout.vertices[-1] < LEVEL_SIZES[0], "a small brain fits fsaverage5"
    assert 0 < (layout.regions() == "").sum() < 0.1 * len(layout.vertices)


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_patches_are_compact_and_in_anatomical_order(hemisphere: str) -> None:
    layout = make_layout(SimulationSpec(vertices=VERTICES), hemisphere)
    points = sphere(hemisphere, 0)
    azimuth = foveal_coordinates(sphere(hemisphere)[layout.vertices], hemisphere)[1]
    rois = layout.rois()
    for name in ("V1v", "V3d", "hV4", "EBA", "FFA-1", "PPA"):
        assert same_neighbour_share(points, layout.vertices[rois[name]]) > 0.6, name
    order = ["hV4", "V3v", "V2v", "V1v", "V1d", "V2d", "V3d"]
    assert np.all(np.diff([np.median(azimuth[rois[name]]) for name in order]) > 0)
    retinotopic = np.concatenate([rois[name] for name in order])
    assert not np.isin(
        np.concatenate([rois[n] for n in ("EBA", "FFA-1", "PPA")]), retinotopic
    ).any()


def test_a_missing_or_unfit_mask_is_named(shared: Path, tmp_path: Path) -> None:
    real = shared / "real" / "algonauts" / "subj01" / "roi_masks"
    shutil.copytree(real, tmp_path / "roi_masks")
    victim = tmp_path / "roi_masks" / "lh.floc-faces_challenge_space.npy"
    np.save(victim, np.zeros(7, np.int64))
    with pytest.raises(InputError, match=r"floc-faces_challenge_space.*7 vertices.*19004"):
        make_layout(SimulationSpec(masks=tmp_path), "lh")
    victim.unlink()
    with pytest.raises(InputError, match="floc-faces_challenge_space"):
        roi_sizes(SimulationSpec(masks=tmp_path), "subj01", "lh")
