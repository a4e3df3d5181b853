"""Raw NSD: the Algonauts preparation, identities, ceilings, and every bad input by name."""

from __future__ import annotations

import csv
import gzip
import hashlib
import logging
import os
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nsd_tree import (
    BETAS,
    N_FSAVERAGE,
    N_NSD,
    N_SESSION,
    NAMES,
    ORDERING,
    SUBJECTIM,
    Tree,
    write_brick,
    write_design,
    write_mgh,
    write_tree,
    write_volume,
)
from repeats import ncsnr_from_repeats
from scipy.io import savemat
from scipy.stats import zscore

from cortune.artifacts import read_provenance
from cortune.data import Images, open_dataset, prepare_images, prepare_responses, read_responses
from cortune.data import nsd_average as module
from cortune.data.images import Framing, build_cache, open_cache, read_index
from cortune.data.nsd import NsdReader
from cortune.data.nsd_average import MeanResponses
from cortune.data.records import BrickRow
from cortune.errors import InputError, ResourceError
from cortune.reliability import noise_ceiling
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare", "1-00000000", 0)
IDS = np.array(SUBJECTIM[0])[np.array(ORDERING) - 1] - 1  # 0-based, by trial


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return write_tree(tmp_path_factory.mktemp("nsd") / "data")


@pytest.fixture
def tree(written: Tree, tmp_path: Path) -> Tree:
    return written.copy(tmp_path / "data")


def averaged(sessions: list[np.ndarray], ids: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
    """Z-score and average with scipy and pandas; return trials and means by image."""
    trials = np.concatenate([zscore(s.astype(float), axis=0) for s in sessions])
    return trials, pd.DataFrame(trials).groupby(ids).mean()


# Good data.


def test_nothing_is_wrong(tree: Tree) -> None:
    reader = open_dataset("nsd", tree.root)
    assert reader.problems("all", "all") == []
    assert reader.subjects() == ["subj01"]


@pytest.mark.parametrize("hemisphere", ["lh", "rh"])
def test_responses_are_standardised_and_averaged(tree: Tree, hemisphere: str) -> None:
    found = NsdReader(tree.root).responses("subj01", hemisphere)
    _, means = averaged(tree.trials[hemisphere], IDS)
    column = {vertex: i for i, vertex in enumerate(tree.vertices[hemisphere].tolist())}
    expected = means.to_numpy()[:, [column[v] for v in found.vertices.tolist()]]
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert found.values.dtype == np.float32 and isinstance(found.values, np.memmap)
    assert found.identities == tuple(f"nsd:{i:05d}" for i in means.index)
    np.testing.assert_array_equal(found.mesh_vertices, found.vertices)


def test_odd_and_even_repeats_are_averaged_apart(tree: Tree) -> None:
    reader = NsdReader(tree.root)
    trials, _ = averaged(tree.trials["lh"], IDS)
    turn = pd.Series(IDS).groupby(IDS).cumcount().to_numpy() % 2
    wanted = {f"nsd:{image:05d}" for image in np.unique(IDS)[1:]}
    found = reader.halves("subj01", "lh", wanted)
    responses = reader.responses("subj01", "lh")
    columns = np.isin(tree.vertices["lh"], responses.vertices)
    assert found.counts.shape == (2, 5) and found.counts.sum() == sum(IDS.min() != IDS)
    for parity, half in enumerate(found.values):
        here = (turn == parity) & (IDS.min() != IDS)
        expected = pd.DataFrame(trials[here]).groupby(IDS[here]).mean().to_numpy()[:, columns]
        np.testing.assert_allclose(half, expected, atol=1e-5)
    for name, where in responses.rois.items():
        np.testing.assert_array_equal(found.rois[name], where)
    assert reader.halves("subj01", "lh", set()).counts.shape == (2, 0)


def test_rois_are_the_labels(tree: Tree) -> None:
    reader = NsdReader(tree.root)
    found, sizes = reader.responses("subj01", "lh"), reader.roi_sizes("subj01", "lh")
    for family, names in NAMES.items():
        for label, name in enumerate(names, start=1):
            where = np.flatnonzero(tree.labels["lh", family] == label)
            np.testing.assert_array_equal(found.vertices[found.rois[name]], where)
            assert sizes[name] == len(where)
    assert sizes["mTL-faces"] == 0
    union = np.any([tree.labels["lh", family] > 0 for family in NAMES], axis=0)
    np.testing.assert_array_equal(found.vertices, np.flatnonzero(union))


def test_identities_count_from_zero_and_the_file_from_one(tree: Tree, tmp_path: Path) -> None:
    images = NsdReader(tree.root).images("subj01")
    assert images.identities[0] == "nsd:00000" and images.identities[-1] == "nsd:72999"
    assert images.identities == tuple(f"nsd:{i - 1:05d}" for i in sorted(SUBJECTIM[0]))
    assert images.files[0] == BrickRow(tree.stimuli, "imgBrick", 0)
    build_cache(images, Framing(12), tmp_path / "cache.npy")
    expected = np.stack([tree.pictures[i - 1] for i in sorted(SUBJECTIM[0])])
    np.testing.assert_array_equal(open_cache(tmp_path / "cache.npy"), expected)


def test_first_and_last_position_of_the_ordering(tree: Tree) -> None:
    """Position 1 is the first column of subjectim, position 6 the last."""
    write_design(tree.design, masterordering=[[1] * 7 + [6] * 7])
    reader = NsdReader(tree.root)
    assert reader.images("subj01").identities == ("nsd:00008", "nsd:72999")
    expected = averaged(tree.trials["lh"], np.repeat([72_999, 8], 7))[1].to_numpy()
    found = reader.responses("subj01", "lh")
    where = np.isin(tree.vertices["lh"], found.vertices)
    np.testing.assert_allclose(found.values, expected[:, where], atol=1e-5)


def test_every_subject_has_its_row_of_the_design(tree: Tree) -> None:
    folder = tree.betas.parents[1]
    folder.rename(folder.with_name("subj02"))
    images = NsdReader(tree.root).images("subj02")
    assert images.identities == tuple(f"nsd:{i - 1:05d}" for i in sorted(SUBJECTIM[1]))


def test_ceiling_from_the_distributed_ratio(tree: Tree) -> None:
    found = NsdReader(tree.root).responses("subj01", "lh")
    repeats = np.unique(IDS, return_counts=True)[1]
    assert len(set(repeats.tolist())) > 1
    ncsnr = tree.ncsnr["lh"][np.isin(tree.vertices["lh"], found.vertices)]
    np.testing.assert_allclose(found.noise_ceiling, noise_ceiling(ncsnr, repeats), rtol=1e-5)


def test_ceiling_from_repeats_without_the_ratio(tree: Tree) -> None:
    (tree.betas / "lh.ncsnr.mgh").unlink()
    found = NsdReader(tree.root).responses("subj01", "lh")
    trials, _ = averaged(tree.trials["lh"], IDS)
    ncsnr = ncsnr_from_repeats(trials, IDS)[np.isin(tree.vertices["lh"], found.vertices)]
    repeats = np.unique(IDS, return_counts=True)[1]
    np.testing.assert_allclose(found.noise_ceiling, noise_ceiling(ncsnr, repeats), atol=1e-5)
    assert 0 < found.noise_ceiling.max() < 1


def test_no_ceiling_where_nothing_is_repeated(tree: Tree) -> None:
    write_design(tree.design, masterordering=[range(1, 15)], subjectim=[range(1, 15)])
    (tree.betas / "lh.ncsnr.mgh").unlink()
    assert np.isnan(NsdReader(tree.root).responses("subj01", "lh").noise_ceiling).all()


def test_last_sessions_may_be_missing(tree: Tree) -> None:
    for hemisphere in ("lh", "rh"):
        tree.session(2, hemisphere).unlink()
    reader = NsdReader(tree.root)
    assert reader.problems("all", "all") == []
    found = reader.responses("subj01", "lh")
    _, means = averaged(tree.trials["lh"][:1], IDS[:N_SESSION])
    assert found.identities == tuple(f"nsd:{i:05d}" for i in means.index) and len(means) == 5
    where = np.isin(tree.vertices["lh"], found.vertices)
    np.testing.assert_allclose(found.values, means.to_numpy()[:, where], atol=1e-5)
    assert reader.images("subj01").identities == found.identities


def test_images_with_few_repeats_can_be_left_out(tree: Tree) -> None:
    found = NsdReader(tree.root, repeats=3).responses("subj01", "lh")
    _, means = averaged(tree.trials["lh"], IDS)
    assert found.identities == ("nsd:00000", "nsd:72999")
    where = np.isin(tree.vertices["lh"], found.vertices)
    np.testing.assert_allclose(found.values, means.loc[[0, 72_999]].to_numpy()[:, where], atol=1e-5)
    with pytest.raises(InputError, match="no image shown 4 times, 3 at most"):
        NsdReader(tree.root, repeats=4).images("subj01")


def test_vertices_without_data_are_left_out_and_said(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    whole = NsdReader(tree.root).responses("subj01", "lh")
    lost = whole.vertices[[0, 7]]
    everywhere = np.zeros((N_SESSION, N_FSAVERAGE), np.float32)
    everywhere[:, tree.vertices["lh"]] = tree.trials["lh"][1]
    everywhere[3, lost] = np.nan
    everywhere[0, tree.vertices["lh"][0]] = np.nan  # of no ROI
    write_mgh(tree.session(2), everywhere)
    with caplog.at_level(logging.WARNING):
        found = NsdReader(tree.root).responses("subj01", "lh")
    n = len(whole.vertices)
    (line,) = caplog.messages
    assert line == f"{tree.session(2)}: no data in 2 of {n} vertices of ROIs; they are left out"
    np.testing.assert_array_equal(found.vertices, np.setdiff1d(whole.vertices, lost))
    kept = np.isin(whole.vertices, found.vertices)
    np.testing.assert_array_equal(found.values, whole.values[:, kept])
    np.testing.assert_array_equal(found.noise_ceiling, whole.noise_ceiling[kept])
    for name, where in whole.rois.items():
        expected = np.setdiff1d(whole.vertices[where], lost)
        np.testing.assert_array_equal(found.vertices[found.rois[name]], expected)


def write_stim_info(path: Path, n_rows: int = N_NSD) -> None:
    rows = "".join(f"{i},{3 * i + 1},{i}\n" for i in range(n_rows))
    path.write_text(",cocoId,nsdId\n" + rows)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["given", "in the tree"])
def test_coco_ids(tree: Tree, tmp_path: Path, elsewhere: bool) -> None:
    path = tmp_path / "info.csv" if elsewhere else tree.stim_info
    write_stim_info(path)
    reader = NsdReader(tree.root, stim_info=path if elsewhere else None)
    expected = tuple(f"coco:{3 * (i - 1) + 1}" for i in sorted(SUBJECTIM[0]))
    assert reader.images("subj01").identities == expected
    assert reader.responses("subj01", "lh").identities == expected
    assert path in reader.sources("subj01", "lh")


def test_label_names_follow_the_table_else_the_field(tree: Tree) -> None:
    table = tree.label / "streams.mgz.ctab"
    names = NAMES["streams"]
    table.unlink()
    by_order = NsdReader(tree.root).roi_sizes("subj01", "lh")
    assert {n: by_order[n] for n in names} == {
        n: int((tree.labels["lh", "streams"] == i).sum()) for i, n in enumerate(names, 1)
    }
    # FreeSurfer's own tables have colours, and may name what is no region.
    lines = ["-1 NonCortical 0 0 0 0", "0 None 0 0 0 0"]
    lines += [f" {i}  {n}  {i} 0 0 0" for i, n in enumerate(reversed(names), 1)]
    table.write_text("\n".join(lines))
    reversed_names = NsdReader(tree.root).roi_sizes("subj01", "lh")
    assert reversed_names["early"] == by_order["parietal"]
    assert set(reversed_names) == set(by_order)


def native_labels(tree: Tree) -> np.ndarray:
    """Put labels of a surface of 1000 vertices, the last one labelled, in the place of one."""
    native = np.zeros(1000, np.int32)
    native[[0, 500, 999]] = 1, 2, 3
    write_mgh(tree.label / "lh.prf-visualrois.mgz", native)
    return native


def test_native_labels_are_transformed(tree: Tree) -> None:
    native = native_labels(tree)
    nearest = np.random.default_rng(0).integers(1, 1001, N_FSAVERAGE).astype(np.int32)
    folder = tree.root / "nsddata/ppdata/subj01/transforms"
    folder.mkdir(parents=True)
    transform = folder / "lh.white-to-fsaverage.mgz"
    write_mgh(transform, nearest)
    reader = NsdReader(tree.root)
    sizes = reader.roi_sizes("subj01", "lh")
    for label, vertex in enumerate((1, 501, 1000), start=1):  # 1-based
        assert sizes[NAMES["prf-visualrois"][label - 1]] == np.count_nonzero(nearest == vertex)
    assert transform in reader.sources("subj01", "lh")
    assert native[999] == 3
    write_mgh(transform, nearest + 1)
    with pytest.raises(InputError, match=r"vertices from 2 to 1001; expected 1 to 1000"):
        reader.roi_sizes("subj01", "lh")


def test_sources_are_those_read(tree: Tree) -> None:
    files = NsdReader(tree.root).sources("subj01", "lh")
    assert len(files) == len(set(files)) and all(path.exists() for path in files)
    expected = {tree.session(1), tree.session(2), tree.design, tree.betas / "lh.ncsnr.mgh"}
    expected |= {tree.label / f"lh.{family}.mgz" for family in NAMES}
    expected |= {tree.label / f"{family}.mgz.ctab" for family in NAMES}
    assert set(files) == expected


# The volume.


def test_volume(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    raw = write_volume(tree)
    path = tree.root / "nsddata_betas/ppdata/subj01/func1pt8mm" / BETAS / "betas_session02.hdf5"
    with h5py.File(path, "r+") as file:
        file["betas"][:, 2, 3, 4] = 0  # a voxel that the session does not cover
        file["betas"][5, 0, 0, 0] = np.iinfo(np.int16).max
    raw["session2"][0, 0, 0, 5] = np.iinfo(np.int16).max
    reader = NsdReader(tree.root, space="func1pt8mm")
    assert reader.problems("all", "all") == []
    with caplog.at_level(logging.WARNING):
        found = reader.responses("subj01", "lh")
    labels = [raw[f"lh.{family}"] for family in NAMES]
    union = np.any([volume > 0 for volume in labels], axis=0)
    assert union[4, 3, 2] and union[0, 0, 0], "the damaged voxels belong to ROIs"
    union[4, 3, 2] = False
    x, y, z = np.unravel_index(found.vertices, (5, 4, 3), order="F")
    assert sorted(zip(x, y, z, strict=True)) == sorted(zip(*np.nonzero(union), strict=True))
    sessions = [raw[f"session{n}"][x, y, z].T / 300 for n in (1, 2)]
    trials, means = averaged(sessions, IDS)
    np.testing.assert_allclose(found.values, means.to_numpy(), atol=1e-5)
    ceiling = noise_ceiling(ncsnr_from_repeats(trials, IDS), np.unique(IDS, return_counts=True)[1])
    np.testing.assert_allclose(found.noise_ceiling, ceiling, atol=1e-5)
    assert (found.mesh_vertices == -1).all()
    inside = {name: set(found.vertices[where].tolist()) for name, where in found.rois.items()}
    v1v = (raw["lh.prf-visualrois"] == 1) & union
    assert inside["V1v"] == set(np.ravel_multi_index(np.nonzero(v1v), (5, 4, 3), order="F"))
    assert [line.split(": ")[1] for line in caplog.messages] == [
        "1 betas at the limits of int16",
        f"no data in 1 of {union.sum() + 1} vertices of ROIs; they are left out",
    ]


def test_volume_of_another_shape(tree: Tree) -> None:
    write_volume(tree)
    path = tree.root / "nsddata/ppdata/subj01/func1pt8mm/roi/lh.streams.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 4), np.int16), np.eye(4)), path)
    (problem,) = NsdReader(tree.root, space="func1pt8mm").problems("all", "all")
    assert problem.startswith(f"{path}: found (5, 4, 4) voxels; expected (5, 4, 3), as ")
    with pytest.raises(InputError, match="'native'; expected one of fsaverage, func1pt8mm"):
        NsdReader(tree.root, space="native")


# Pictures that are rows.


def test_pictures_are_prepared_from_rows(tree: Tree, tmp_path: Path) -> None:
    cache, index = tmp_path / "images.npy", tmp_path / "images.csv"
    reader = open_dataset("nsd", tree.root)
    prepare_images(reader, "subj01", Framing(12), cache, index, PROVENANCE, workers=3)
    rows, pixels = read_index(index), open_cache(cache)
    for nsd_id in (i - 1 for i in SUBJECTIM[0]):
        np.testing.assert_array_equal(pixels[rows[f"nsd:{nsd_id:05d}"]], tree.pictures[nsd_id])
    with index.open() as file:
        places = [line["file"] for line in csv.DictReader(file)]
    assert places[-1] == "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5#72999"
    lines = [
        f"nsd:{i - 1:05d}\x1f{hashlib.sha256(tree.pictures[i - 1].tobytes()).hexdigest()}\n"
        for i in sorted(SUBJECTIM[0])
    ]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert read_provenance(cache)["raw"] == {"pictures": digest}


def test_a_row_out_of_range_is_named(tree: Tree, tmp_path: Path) -> None:
    images = Images(("a",), (BrickRow(tree.stimuli, "imgBrick", N_NSD),))
    with pytest.raises(InputError, match=r"73000 pictures in 'imgBrick'; expected a row 73000"):
        build_cache(images, Framing(8), tmp_path / "cache.npy")
    images = Images(("a",), (BrickRow(tree.stimuli, "other", 0),))
    with pytest.raises(InputError, match="no array 'other'"):
        build_cache(images, Framing(8), tmp_path / "cache.npy")
    assert not (tmp_path / "cache.npy").exists()


def test_responses_are_prepared(tree: Tree, tmp_path: Path) -> None:
    reader = open_dataset("nsd", tree.root)
    prepare_responses(reader, "subj01", "lh", tmp_path / "r.h5", PROVENANCE)
    raw, found = reader.responses("subj01", "lh"), read_responses(tmp_path / "r.h5", "EBA")
    np.testing.assert_array_equal(found.values, raw.values[:, raw.rois["EBA"]])
    names = {path.relative_to(tree.root).as_posix() for path in reader.sources("subj01", "lh")}
    assert set(read_provenance(tmp_path / "r.h5")["raw"]) == names


def test_every_vertex_is_read_where_the_whole_cortex_is_asked_for(tree: Tree) -> None:
    reader = open_dataset("nsd", tree.root)
    every = open_dataset("nsd", tree.root, whole=True).responses("subj01", "lh")
    some = reader.responses("subj01", "lh")
    assert len(some.vertices) < len(every.vertices) <= reader.n_vertices("subj01", "lh")
    where = np.searchsorted(every.vertices, some.vertices)
    np.testing.assert_array_equal(every.vertices[where], some.vertices)
    np.testing.assert_allclose(every.values[:, where], some.values, atol=1e-6)


# Averaging.


@dataclass
class FakeBetas:
    """Betas drawn when they are read."""

    n_trials: int
    seed: int = 0
    path: Path = Path("fake")
    grid: tuple[int, ...] = (10**6,)

    def read(self, columns: np.ndarray) -> np.ndarray:
        draw = np.random.default_rng([self.seed, int(columns[0])])
        return draw.standard_normal((self.n_trials, len(columns)), dtype=np.float32)


def test_memory_is_bounded_by_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    n_vertices, n_trials = 40_000, 300
    tracemalloc.start()
    mean = MeanResponses(np.full(100, 3), n_vertices)
    mean.add(FakeBetas(n_trials), np.arange(n_vertices), np.arange(n_trials) % 100)
    values, _ = mean.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.shape == (100, n_vertices)
    session = 4 * n_trials * n_vertices  # 48 MB
    assert peak < session / 2
    assert list(tmp_path.iterdir()) == [], "the file has no name"


def test_too_little_temporary_space_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match=r"\(No space .* the 4 MB that it needs. .*TMPDIR"):
        MeanResponses(np.full(1000, 3), 1000)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4))
def test_average_whatever_the_blocks(
    data: st.DataObject, n_vertices: int, n_sessions: int, columns: int
) -> None:
    lengths = data.draw(st.lists(st.integers(3, 8), min_size=n_sessions, max_size=n_sessions))
    shown = data.draw(st.lists(st.integers(0, 4), min_size=sum(lengths), max_size=sum(lengths)))
    lost = data.draw(st.sets(st.integers(0, n_vertices - 1), max_size=n_vertices - 1))
    draw = np.random.default_rng(0)
    sessions = [draw.normal(size=(n, n_vertices)).astype(np.float32) for n in lengths]
    for vertex in lost:
        sessions[-1][0, vertex] = np.nan
    ids, row, repeats = np.unique(shown, return_inverse=True, return_counts=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_COLUMNS", columns)
        patch.setattr(module, "_BLOCK_VALUES", columns * n_vertices)
        mean = MeanResponses(repeats, n_vertices)
        for trials, rows in zip(sessions, np.split(row, np.cumsum(lengths)[:-1]), strict=True):
            betas = FakeBetas(len(trials))
            betas.read = lambda where, trials=trials: trials[:, where]
            mean.add(betas, np.arange(n_vertices), rows)
        values, ncsnr = mean.finish()
    kept = sorted(set(range(n_vertices)) - lost)
    trials, means = averaged([s[:, kept] for s in sessions], np.array(shown))
    np.testing.assert_allclose(values, means.to_numpy(), atol=1e-5)
    if len(ids) < len(shown):
        expected = ncsnr_from_repeats(trials, np.array(shown))
        np.testing.assert_allclose(np.square(ncsnr), np.square(expected), rtol=1e-3, atol=1e-4)
    else:
        assert np.isnan(ncsnr).all()


def test_a_constant_vertex_is_zero_and_has_no_ceiling() -> None:
    betas = FakeBetas(6)
    trials = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    trials[:, 1] = 0.1
    betas.read = lambda where: trials[:, where].copy()
    mean = MeanResponses(np.array([2, 2, 2]), 2)
    mean.add(betas, np.arange(2), np.array([0, 1, 2, 0, 1, 2]))
    values, ncsnr = mean.finish()
    assert (values[:, 1] == 0).all() and (values[:, 0] != 0).all()
    assert np.isnan(ncsnr[1])


# Bad data: exactly one message, and the same error where it is met.


def replace(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def truncate(path: Path, n_bytes: int) -> None:
    replace(path, path.read_bytes()[:n_bytes])


def reshape(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    values = np.asarray(nibabel.load(path).dataobj)[:, 0, 0]
    write_mgh(path, change(values).T)


def relabel(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    write_mgh(path, change(np.asarray(nibabel.load(path).dataobj).reshape(-1)))


def put(values: np.ndarray, where: object, value: float) -> np.ndarray:
    values = values.copy()
    values[where] = value
    return values


def rebrick(tree: Tree, write: Callable[[h5py.File], object]) -> None:
    tree.stimuli.unlink()
    with h5py.File(tree.stimuli, "w") as file:
        write(file)


def claim(path: Path, n_vertices: int) -> None:
    """Write a surface map of a few bytes that says it has many vertices."""
    header = struct.pack(">7i", 1, n_vertices, 1, 1, 1, 0, 0).ljust(284, b"\0")
    replace(path, gzip.compress(header + bytes(1000)))


@dataclass(frozen=True)
class Case:
    """Damage to a data set, and what must be said of it."""

    damage: Callable[[Tree], object]
    where: str
    found: str
    expected: str
    stage: str = "responses"


STREAMS = "lh.streams.mgz"
TABLE = "streams.mgz.ctab"
CASES = {
    "a session in the middle missing": Case(
        lambda t: t.session(1).unlink(), "lh.betas_session01.mgh", "no file",
        "every session from 1 to 2",
    ),
    "a session of one hemisphere missing": Case(
        lambda t: t.session(2, "rh").unlink(), "rh.betas_session02.mgh", "no file",
        "every session from 1 to 2",
    ),
    "betas truncated": Case(
        lambda t: truncate(t.session(2), 1_000_000), "lh.betas_session02.mgh",
        "1000000 bytes (truncated)", "at least 4587860 bytes",
    ),
    "betas cut in the header": Case(
        lambda t: truncate(t.session(2), 20), "lh.betas_session02.mgh", "no readable file",
        "an MGH file",
    ),
    "betas are text": Case(
        lambda t: replace(t.session(2), b"<html>"), "lh.betas_session02.mgh",
        "no readable file", "an MGH file",
    ),
    "betas on the native surface": Case(
        lambda t: reshape(t.session(2), lambda a: a[:227_021 // 2]), "lh.betas_session02.mgh",
        "113510 vertices", "(163842, 1, 1, n_trials)",
    ),
    "betas of another type": Case(
        lambda t: reshape(t.session(1, "rh"), lambda a: a.astype(np.int16)),
        "rh.betas_session01.mgh", "numbers of type int16", "float32 betas",
    ),
    "a session one trial short": Case(
        lambda t: reshape(t.session(2), lambda a: a[:, :-1]), "lh.betas_session02.mgh",
        "6 trials", "7, as masterordering of 14 trials",
    ),
    "masterordering too short": Case(
        lambda t: write_design(t.design, masterordering=[ORDERING[:13]]), "nsd_expdesign.mat",
        "13 trials in masterordering", "14 or more, as in the 2 sessions of subj01",
    ),
    "masterordering from 0": Case(
        lambda t: write_design(t.design, masterordering=[np.array(ORDERING) - 1]),
        "nsd_expdesign.mat", "3 values of masterordering out of range (0 to 5)",
        "from 1 to 6",
    ),
    "masterordering beyond the images": Case(
        lambda t: write_design(t.design, masterordering=[put(np.array(ORDERING), 3, 7)]),
        "nsd_expdesign.mat", "1 values of masterordering out of range (1 to 7)", "from 1 to 6",
    ),
    "an image id out of range": Case(
        lambda t: write_design(t.design, subjectim=[(73_001, 1, 17, 4000, 36, 9)]),
        "nsd_expdesign.mat", "1 values of subjectim out of range (1 to 73001)",
        "from 1 to 73000",
    ),
    "an image id that is no number": Case(
        lambda t: write_design(t.design, subjectim=[(1.5, 1, 17, 4000, 36, 9)]),
        "nsd_expdesign.mat", "1 values that are not whole", "subjectim of whole numbers",
    ),
    "a design without subjects": Case(
        lambda t: write_design(t.design, subjectim=np.zeros((0, 6))),
        "nsd_expdesign.mat", "0 rows of subjectim", "one for subj01",
    ),
    "a design of words": Case(
        lambda t: (t.design.unlink(), savemat(t.design, {"masterordering": "a", "subjectim": 1})),
        "nsd_expdesign.mat", "masterordering of another kind", "a matrix of numbers",
    ),
    "a design without trials": Case(
        lambda t: (t.design.unlink(), savemat(t.design, {"subjectim": SUBJECTIM})),
        "nsd_expdesign.mat", "no variable 'masterordering'", "masterordering and subjectim",
    ),
    "labels that claim a huge surface": Case(
        lambda t: claim(t.label / STREAMS, 2**30), STREAMS, "shape (1073741824, 1, 1)",
        "at most 268435456 values",
    ),
    "no design": Case(
        lambda t: t.design.unlink(), "nsd_expdesign.mat", "no file", "masterordering",
    ),
    "a design that is text": Case(
        lambda t: replace(t.design, b"404: not found" * 20), "nsd_expdesign.mat",
        "no MATLAB file", "a MATLAB file",
    ),
    "a design truncated": Case(
        lambda t: truncate(t.design, 250), "nsd_expdesign.mat", "no MATLAB file",
        "a MATLAB file",
    ),
    "labels missing": Case(lambda t: (t.label / STREAMS).unlink(), STREAMS, "no file", "MGH"),
    "labels truncated": Case(
        lambda t: truncate(t.label / STREAMS, 400), STREAMS, "(truncated)", "MGH",
    ),
    "labels of the native surface": Case(
        native_labels, "lh.prf-visualrois.mgz", "1000 vertices, those of the subject's own",
        "lh.white-to-fsaverage.mgz to transform them by",
    ),
    "a label without a name": Case(
        lambda t: relabel(t.label / STREAMS, lambda a: put(a, 9, 8)), STREAMS,
        "1 label without a name: 8", "the labels of streams",
    ),
    "a label that is no whole number": Case(
        lambda t: relabel(t.label / STREAMS, lambda a: put(a.astype(np.float32), 9, 0.5)),
        STREAMS, "1 values that are not whole numbers", "one per vertex",
    ),
    "a table with a path as name": Case(
        lambda t: replace(t.label / TABLE, b"1 ../../etc\n"), TABLE,
        "the ROI name '../../etc'", "letters, digits",
    ),
    "a table without names": Case(
        lambda t: replace(t.label / TABLE, b"early\n"), TABLE, "the line 'early'",
        "a label and a name",
    ),
    "a table with a name of another family": Case(
        lambda t: replace(
            t.label / TABLE, (t.label / TABLE).read_bytes().replace(b"parietal", b"V1v", 1)
            .replace(b"midV1v", b"V1v"),
        ),
        TABLE, "the ROI 'V1v', which another family has too", "one family",
    ),
    "ratios of another length": Case(
        lambda t: relabel(t.betas / "lh.ncsnr.mgh", lambda a: a[1:]), "lh.ncsnr.mgh",
        "163841 vertices", "163842 (fsaverage)",
    ),
    "negative ratios": Case(
        lambda t: relabel(t.betas / "lh.ncsnr.mgh", lambda a: put(a, [1, 2], -1)),
        "lh.ncsnr.mgh", "2 values that are negative", "NaN where unknown",
    ),
    "no pictures": Case(
        lambda t: t.stimuli.unlink(), "nsd_stimuli.hdf5", "no file", "an HDF5 file", "pictures",
    ),
    "pictures truncated": Case(
        lambda t: truncate(t.stimuli, 3000), "nsd_stimuli.hdf5", "truncated", "'imgBrick'",
        "pictures",
    ),
    "pictures under another name": Case(
        lambda t: rebrick(t, lambda file: file.create_dataset("images", data=[1])),
        "nsd_stimuli.hdf5", "no array 'imgBrick'", "4-d uint8", "pictures",
    ),
    "pictures of another type": Case(
        lambda t: rebrick(t, lambda f: f.create_dataset("imgBrick", (2, 4, 4, 3), "f4")),
        "nsd_stimuli.hdf5", "numbers of type float32", "uint8", "pictures",
    ),
    "pictures with channels first": Case(
        lambda t: rebrick(t, lambda f: f.create_dataset("imgBrick", (N_NSD, 3, 4, 4), "u1")),
        "nsd_stimuli.hdf5", "shape (73000, 3, 4, 4)", "(n_pictures, height, width, 3)",
        "pictures",
    ),
    "pictures too few": Case(
        lambda t: write_brick(t.stimuli, {0: np.zeros((4, 4, 3), np.uint8)}, n_rows=10),
        "nsd_stimuli.hdf5", "10 pictures", "73000", "pictures",
    ),
    "a COCO table without a picture": Case(
        lambda t: write_stim_info(t.stim_info, 72_999), "nsd_stim_info_merged.csv",
        "no row for 1 NSD id: 72999", "a row for every picture",
    ),
    "a COCO table without the column": Case(
        lambda t: t.stim_info.write_text("nsdId\n1\n"), "nsd_stim_info_merged.csv",
        "no column 'cocoId'", "nsdId (from 0) and cocoId",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_is_reported_and_refused(tree: Tree, case: Case, tmp_path: Path) -> None:
    case.damage(tree)
    problems = NsdReader(tree.root).problems("all", "all")
    assert len(problems) == 1, problems
    where, rest = problems[0].split(": found ", 1)
    found, expected = rest.split("; expected ", 1)
    assert case.where in where and case.found in found and case.expected in expected
    reader = NsdReader(tree.root)
    out = tmp_path / "out"
    with pytest.raises(InputError) as caught:
        if case.stage == "pictures":
            prepare_images(reader, "subj01", Framing(8), out / "i.npy", out / "i.csv", PROVENANCE)
        else:
            hemisphere = "rh" if case.where.startswith("rh") else "lh"
            prepare_responses(reader, "subj01", hemisphere, out / "r.h5", PROVENANCE)
    assert case.where in caught.value.where
    if case.found != "10 pictures":  # decoding names the row it misses
        assert str(caught.value) == problems[0]


def test_all_problems_at_once(tree: Tree) -> None:
    tree.session(1).unlink()
    (tree.label / "rh.floc-words.mgz").unlink()
    tree.stimuli.unlink()
    problems = NsdReader(tree.root).problems(["subj01", "subj1"], ["V1v", "ffa1"])
    wanted = ["nsd_stimuli.hdf5", "lh.betas_session01", "rh.floc-words", "'subj1'", "'ffa1'"]
    assert len(problems) == len(wanted), problems
    for text, problem in zip(wanted, problems, strict=True):
        assert text in problem
    assert "Did you mean 'subj01'?" in problems[3] and "Did you mean 'FFA-1'?" in problems[4]


@pytest.mark.parametrize("make", [True, False], ids=["empty", "absent"])
def test_no_data_at_all(tmp_path: Path, make: bool) -> None:
    if make:
        (tmp_path / "data").mkdir()
    (problem,) = NsdReader(tmp_path / "data").problems("all", "all")
    assert ("no subject" if make else "no folder") in problem and "nsddata_betas" in problem


def test_nsd_sessions_have_750_trials() -> None:
    """However many sessions are short: the whole design has 30000 trials in 40 sessions."""
    from cortune.data.nsd import _equal_parts

    assert _equal_parts(30_000, 40) == [750] * 40
    assert _equal_parts(303, 8) == [len(part) for part in np.array_split(np.zeros(303), 8)]
