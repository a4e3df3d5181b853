"""Prepared artifacts equal the raw files they come from."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pytest
from algonauts_tree import Tree, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from cortune.artifacts import read_provenance
from cortune.data import (
    open_dataset,
    prepare_images,
    prepare_responses,
    read_responses,
)
from cortune.data import prepare as module
from cortune.data.images import Framing, open_cache, read_index, read_picture
from cortune.data.prepare import roi_order
from cortune.errors import InputError
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare", "1-00000000", 0, {"key": 1}, {"earlier": "1-11111111"})


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return write_tree(tmp_path / "data", n_images=30, n_vertices={"lh": 200, "rh": 90})


@pytest.fixture(params=[(512, 64), (7, 3)], ids=["one block", "many blocks"])
def prepared(
    request: pytest.FixtureRequest, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setattr(module, "_CHUNK", request.param)
    path = tmp_path / "out" / "responses.h5"
    reader = open_dataset("algonauts2023", tree.root)
    prepare_responses(reader, "subj01", "lh", path, PROVENANCE)
    return path


def test_every_roi_reads_back(tree: Tree, prepared: Path) -> None:
    reader = open_dataset("algonauts2023", tree.root)
    raw = reader.responses("subj01", "lh")
    for roi, where in raw.rois.items():
        found = read_responses(prepared, roi)
        np.testing.assert_array_equal(found.vertices, where)
        np.testing.assert_array_equal(found.values, tree.values["lh"][:, where])
        np.testing.assert_array_equal(found.noise_ceiling, raw.noise_ceiling[where])
        np.testing.assert_array_equal(found.mesh_vertices, raw.mesh_vertices[where])
        np.testing.assert_array_equal(found.rois[roi], np.arange(len(where)))
        assert found.values.dtype == np.float32
        assert found.identities == raw.identities


def test_columns_are_the_vertices_of_any_roi(tree: Tree, prepared: Path) -> None:
    labels = np.array([tree.labels["lh", family] for family in module_families(tree)])
    expected = np.nonzero(labels.any(axis=0))[0]
    with h5py.File(prepared) as file:
        vertices = file["vertices"][()]
        np.testing.assert_array_equal(np.sort(vertices), expected)
        assert len(expected) < 200
        np.testing.assert_array_equal(file["responses"][()], tree.values["lh"][:, vertices])
        columns = file["rois/V1v"][()]
        assert columns.max() - columns.min() == len(columns) - 1  # side by side
        assert not file["constant"][()].any()
        assert file["identities"][0] == f"nsd:{tree.nsd_ids[0]:05d}".encode()


def module_families(tree: Tree) -> list[str]:
    return [family for hemisphere, family in tree.labels if hemisphere == "lh"]


def test_constant_vertices_are_kept_and_recorded(tree: Tree, tmp_path: Path) -> None:
    values = tree.values["lh"]
    vertex = int(np.nonzero(tree.labels["lh", "streams"])[0][0])
    values[:, vertex] = 0.25
    np.save(tree.responses["lh"], values)
    path = tmp_path / "responses.h5"
    prepare_responses(open_dataset("algonauts2023", tree.root), "subj01", "lh", path, PROVENANCE)
    with h5py.File(path) as file:
        assert file["vertices"][file["constant"][()]].tolist() == [vertex]


def test_provenance_names_every_raw_file(tree: Tree, prepared: Path) -> None:
    found = read_provenance(prepared)
    assert found["config"] == {"key": 1} and found["inputs"] == {"earlier": "1-11111111"}
    reader = open_dataset("algonauts2023", tree.root)
    assert found["raw"] == {
        str(file.relative_to(tree.root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in reader.sources("subj01", "lh")
    }


def test_same_input_same_bytes(tree: Tree, prepared: Path, tmp_path: Path) -> None:
    time.sleep(1.1)  # HDF5 time stamps count seconds
    again = tmp_path / "again.h5"
    reader = open_dataset("algonauts2023", tree.root)
    prepare_responses(reader, "subj01", "lh", again, PROVENANCE)
    assert again.read_bytes() == prepared.read_bytes()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i2", ">i4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_type_are_read(
    tree: Tree, tmp_path: Path, dtype: str, order: Literal["C", "F"]
) -> None:
    values = np.asarray(100 * np.abs(tree.values["lh"]) % 100, dtype, order=order)
    np.save(tree.responses["lh"], values)
    reader = open_dataset("algonauts2023", tree.root)
    assert reader.problems("all", "all") == []
    assert isinstance(reader.responses("subj01", "lh").values, np.memmap)
    prepare_responses(reader, "subj01", "lh", tmp_path / "r.h5", PROVENANCE)
    found = read_responses(tmp_path / "r.h5", "V1v")
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, values[:, found.vertices].astype(np.float32))


def test_numbers_beyond_float32_are_refused(tree: Tree, tmp_path: Path) -> None:
    values = tree.values["lh"].astype(float)
    values[3, 4] = 1e300
    np.save(tree.responses["lh"], values)
    reader = open_dataset("algonauts2023", tree.root)
    with pytest.raises(InputError, match="NaN or infinity in 1 of 200 vertices"):
        prepare_responses(reader, "subj01", "lh", tmp_path / "r.h5", PROVENANCE)


def test_unknown_roi_and_damaged_file_are_named(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"responses.h5: found no ROI 'V9'; expected one of .*V1v"):
        read_responses(prepared, "V9")
    prepared.write_bytes(prepared.read_bytes()[:1000])
    with pytest.raises(InputError, match="HDF5"):
        read_responses(prepared, "V1v")


def test_nothing_in_any_roi(tree: Tree, tmp_path: Path) -> None:
    for mask in tree.masks.glob("lh.*_challenge_space.npy"):
        np.save(mask, np.zeros(200, np.int64))
    reader = open_dataset("algonauts2023", tree.root)
    assert set(reader.roi_sizes("subj01", "lh").values()) == {0}
    with pytest.raises(InputError, match="no vertex in any of 31 ROIs"):
        prepare_responses(reader, "subj01", "lh", tmp_path / "r.h5", PROVENANCE)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sets(st.integers(0, 39), max_size=20), max_size=6)
)
def test_roi_order_is_a_permutation_of_the_union(rois: dict[str, set[int]]) -> None:
    order = roi_order({name: np.array(sorted(v), int) for name, v in rois.items()}, 40)
    assert sorted(order.tolist()) == sorted(set().union(*rois.values()))
    if rois:
        first = next(iter(rois.values()))
        assert set(order[: len(first)].tolist()) == first


def test_images_are_cached_and_indexed(tree: Tree, tmp_path: Path) -> None:
    cache, index = tmp_path / "out" / "images.npy", tmp_path / "out" / "images.csv"
    reader = open_dataset("algonauts2023", tree.root)
    prepare_images(reader, "subj01", Framing(24), cache, index, PROVENANCE, workers=2)
    images = reader.images("subj01")
    rows = read_index(index)
    assert list(rows) == list(images.identities) and list(rows.values()) == list(range(30))
    pixels = open_cache(cache)
    for identity, file in zip(images.identities[::7], images.files[::7], strict=True):
        np.testing.assert_array_equal(pixels[rows[identity]], read_picture(file, 24))
    assert read_provenance(cache) == read_provenance(index)
    assert set(read_provenance(cache)["raw"]) == {"pictures"}
    assert str(tmp_path) not in index.read_text() + Path(f"{index}.json").read_text()


def test_a_changed_picture_changes_the_provenance(tree: Tree, tmp_path: Path) -> None:
    reader = open_dataset("algonauts2023", tree.root)
    found = []
    for name in ("before", "after"):
        cache = tmp_path / f"{name}.npy"
        prepare_images(reader, "subj01", Framing(8), cache, tmp_path / f"{name}.csv", PROVENANCE)
        found.append(read_provenance(cache)["raw"])
        files = reader.images("subj01").files
        files[4].write_bytes(files[5].read_bytes())
    assert found[0] != found[1]
