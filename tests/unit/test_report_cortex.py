from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import cKDTree

from cortune.artifacts import hdf5_writer, read_provenance, write_parquet
from cortune.errors import InputError
from cortune.report import cortex, interactive
from cortune.simulate.surface import N_FSAVERAGE, sphere
from cortune.versions import Provenance

PROVENANCE = Provenance("plot_cortex", "1-00000000", 0)
SMALL = 10_242


def test_vertices_of_the_coarse_mesh_keep_their_value():
    where = np.arange(0, SMALL, 7)
    found = cortex.on_mesh(where, where.astype(float), "lh", SMALL)
    np.testing.assert_array_equal(found[where], where)
    assert np.isnan(found).sum() == SMALL - len(where)


def test_a_fine_vertex_goes_to_the_nearest_coarse_one():
    points = sphere("rh")
    fine = np.random.default_rng(0).integers(SMALL, N_FSAVERAGE, 50)
    nearest = [int(((points[:SMALL] - points[v]) ** 2).sum(1).argmin()) for v in fine]
    values = np.arange(50.0)
    found = cortex.on_mesh(fine, values, "rh", SMALL)
    for vertex in set(nearest):
        expected = values[np.array(nearest) == vertex].mean()
        assert found[vertex] == pytest.approx(expected)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(-1, 99), st.floats(-5, 5) | st.just(np.nan)), max_size=40))
def test_the_full_mesh_averages_what_is_known(pairs):
    where = np.array([p[0] for p in pairs], dtype=np.int64)
    values = np.array([p[1] for p in pairs], dtype=float)
    found = cortex.on_mesh(where, values, "lh", N_FSAVERAGE)
    known = (
        pd.Series(values, index=where).drop(-1, errors="ignore").groupby(level=0).mean().dropna()
    )
    np.testing.assert_allclose(found[known.index], known, atol=1e-9)
    assert np.isfinite(found).sum() == len(known)


def patch():
    """Vertices of the coarse mesh side by side."""
    points = sphere("lh")[:SMALL]
    return np.argsort(((points - points[5000]) ** 2).sum(1))[:81]


@pytest.fixture
def run(tmp_path):
    """Two subjects with one ROI; subject b has it one vertex further on."""
    responses, rows = {}, []
    for shift, subject in enumerate("ab"):
        for side in ("lh", "rh"):
            mesh = patch()[shift : 80 + shift]
            path = tmp_path / f"{subject}{side}.h5"
            with hdf5_writer(path, PROVENANCE) as file:
                file["vertices"] = np.arange(80)[::-1].copy()
                file["mesh_vertices"] = mesh[::-1].copy()
                file.create_group("rois")["V1v"] = np.arange(80)
            responses[subject, side] = str(path)
            for method, r in (("untuned", 0.3), ("contrastive", 0.4 + shift / 5)):
                unit = (subject, side, "V1v", method, "heldout_cv")
                rows += [(*unit, vertex, r, r / 2, 0.8) for vertex in range(80)]
    names = ["subject", "hemisphere", "roi", "method", "protocol", "vertex"]
    names += ["r", "nnr2", "ceiling_r"]
    table = pd.DataFrame(rows, columns=names)
    write_parquet(tmp_path / "v.parquet", table.astype({"method": "category"}), PROVENANCE)
    return tmp_path / "v.parquet", responses, table


def test_maps_average_subjects_where_they_overlap(run):
    _, responses, table = run
    mesh = cortex.find_mesh("fsaverage5")
    places = {key: cortex._places(path) for key, path in responses.items()}
    maps = cortex._maps(cortex._values(table, "contrastive"), places, mesh)
    r = maps["r, contrastive"]["lh"]
    first, *both, last = patch()
    assert r[first] == pytest.approx(0.4) and r[last] == pytest.approx(0.6)
    np.testing.assert_allclose(r[both], 0.5)
    np.testing.assert_allclose(maps["r, contrastive − untuned"]["rh"][both], 0.2)
    assert np.isfinite(r).sum() == 81


def test_the_figure_is_drawn_offline_with_the_mesh_in_its_provenance(run, tmp_path):
    voxels, responses, _ = run
    path, page = tmp_path / "cortex.png", tmp_path / "cortex.html"
    cortex.plot_cortex(
        voxels, responses, path, page, PROVENANCE,
        protocol="heldout_cv", method="contrastive", surface="fsaverage5",
    )  # fmt: skip
    assert read_provenance(path)["notes"]["surface"] == "fsaverage5"
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    coloured = np.ptp(pixels, axis=2) > 60  # the surface itself is grey
    assert coloured[: pixels.shape[0], : int(0.85 * pixels.shape[1])].mean() > 1e-4
    text = page.read_text()
    assert read_provenance(page)["notes"]["surface"] == "fsaverage5"
    assert page.stat().st_size < 15e6
    assert not re.search(r"<(script|link)[^>]*(src|href)=.http", text)
    values = ("V1v", "r: 0.500", r"noise-normalised r\u00b2: 0.250")
    more = (r"r \u2212 untuned: 0.200", "noise ceiling (r): 0.800")
    assert r"\u003cbr\u003e".join((*values, *more)) in text


def test_an_outline_runs_between_vertices_inside_and_outside():
    points, triangles = interactive.surface("infl", "lh")
    inside = patch()
    lines = interactive.outline(points, triangles, inside).reshape(-1, 3, 3)
    assert np.isnan(lines[:, 2]).all() and len(lines) > 20
    nearest = cKDTree(points).query(lines[:, 0], k=2)[1]
    assert np.isin(nearest, inside).sum(axis=1).mean() == pytest.approx(1, abs=0.1)
    ends = {tuple(point) for point in np.round(lines[:, 0], 0)}
    assert len(ends) > 10 and len(interactive.outline(points, triangles, inside[:0])) == 0


def test_the_flat_map_lies_in_a_plane_with_every_vertex_inside():
    points, triangles = interactive.surface("flat", "rh")
    assert np.ptp(points[:, 2]) == 0 and np.ptp(points[:, 0]) < 400
    assert len(np.unique(triangles)) < len(points) == SMALL


def test_a_folder_of_surfaces_serves_and_one_without_is_refused(tmp_path):
    shipped = Path(cortex.find_mesh("fsaverage5").files["infl_left"]).parent
    for name in ("infl_left", "infl_right", "sulc_left", "sulc_right"):
        shutil.copy(shipped / f"{name}.gii.gz", tmp_path)
    assert cortex.find_mesh(str(tmp_path)).n_vertices == SMALL
    (tmp_path / "sulc_right.gii.gz").unlink()
    with pytest.raises(InputError, match="sulc_right"):
        cortex.find_mesh(str(tmp_path))


def test_a_download_that_fails_is_one_clear_message(monkeypatch):
    from nilearn import datasets

    def offline(mesh):
        raise OSError("no connection")

    monkeypatch.setattr(datasets, "fetch_surf_fsaverage", offline)
    with pytest.raises(InputError, match=r"cortex\.surface.*fsaverage5"):
        cortex.find_mesh("fsaverage")
