"""The Algonauts reader against real masks and an independently written tree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from algonauts_tree import EMPTY, NAMES, Tree, write_tree

from cortune.data import open_dataset
from cortune.data.algonauts_files import load_mapping, load_mask, read_coco_ids
from cortune.data.images import read_picture
from cortune.data.rois import FAMILIES
from cortune.errors import InputError


@pytest.fixture
def real(shared: Path) -> Path:
    return shared / "real" / "algonauts"


@pytest.fixture(params=[False, True], ids=["distributed", "authors"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    return write_tree(tmp_path / "data", authors=request.param)


@pytest.mark.parametrize(
    "subject, hemisphere, n_vertices",
    [
        ("subj01", "lh", 19004),
        ("subj01", "rh", 20544),
        ("subj06", "lh", 18978),
        ("subj06", "rh", 20220),
    ],
)
def test_real_vertex_counts(real: Path, subject: str, hemisphere: str, n_vertices: int) -> None:
    masks = real / subject / "roi_masks"
    for family in FAMILIES:
        assert load_mask(masks / f"{hemisphere}.{family}_challenge_space.npy").shape == (
            n_vertices,
        )


def test_real_roi_sizes(real: Path) -> None:
    reader = open_dataset("algonauts2023", real)
    assert reader.subjects() == ["subj01", "subj06"]
    sizes = {
        (subject, hemisphere): reader.roi_sizes(subject, hemisphere)
        for subject in reader.subjects()
        for hemisphere in ("lh", "rh")
    }
    assert sizes["subj01", "lh"]["V1v"] == 710
    assert sizes["subj01", "rh"]["V1v"] == 444
    assert sizes["subj06", "lh"]["mTL-words"] == 4
    everything = [name for names in FAMILIES.values() for name in names]
    for found in sizes.values():
        assert list(found) == everything
        assert found["mTL-faces"] == found["aTL-faces"] == 0


def test_real_challenge_masks_agree_with_fsaverage(real: Path) -> None:
    masks = real / "subj01" / "roi_masks"
    for hemisphere in ("lh", "rh"):
        challenge = np.flatnonzero(
            load_mask(masks / f"{hemisphere}.all-vertices_fsaverage_space.npy")
        )
        for family in FAMILIES:
            whole = load_mask(masks / f"{hemisphere}.{family}_fsaverage_space.npy")
            np.testing.assert_array_equal(
                whole[challenge], load_mask(masks / f"{hemisphere}.{family}_challenge_space.npy")
            )


def test_real_mappings(real: Path) -> None:
    for family, names in FAMILIES.items():
        mapping = load_mapping(real / "subj01" / "roi_masks" / f"mapping_{family}.npy")
        assert mapping == {0: "Unknown", **dict(enumerate(names, 1))}


def test_both_trees_give_what_was_written(tree: Tree) -> None:
    reader = open_dataset("algonauts2023", tree.root)
    assert reader.subjects() == ["subj01"]
    assert reader.problems("all", "all") == []
    for hemisphere, values in tree.values.items():
        responses = reader.responses("subj01", hemisphere)
        assert isinstance(responses.values, np.memmap)
        np.testing.assert_array_equal(responses.values, values)
        np.testing.assert_array_equal(responses.vertices, np.arange(values.shape[1]))
        percent = np.load(tree.ceilings[hemisphere])
        np.testing.assert_allclose(responses.noise_ceiling, percent / 100, rtol=1e-6)
        assert responses.noise_ceiling.dtype == np.float32
        assert responses.identities == tuple(f"nsd:{i:05d}" for i in tree.nsd_ids)
        challenge = np.load(tree.masks / f"{hemisphere}.all-vertices_fsaverage_space.npy")
        np.testing.assert_array_equal(responses.mesh_vertices, np.nonzero(challenge)[0])


def test_ceilings_may_be_shares(tree: Tree) -> None:
    percent = np.load(tree.ceilings["lh"])
    np.save(tree.ceilings["lh"], percent / 100)
    found = open_dataset("algonauts2023", tree.root).responses("subj01", "lh").noise_ceiling
    np.testing.assert_allclose(found, percent / 100, rtol=1e-6)


def test_rois_are_the_labels_of_every_family(tree: Tree) -> None:
    reader = open_dataset("algonauts2023", tree.root)
    for hemisphere in ("lh", "rh"):
        rois = reader.responses("subj01", hemisphere).rois
        assert {name: len(where) for name, where in rois.items()} == reader.roi_sizes(
            "subj01", hemisphere
        )
        for family, names in NAMES.items():
            for label, name in enumerate(names, 1):
                expected = np.nonzero(tree.labels[hemisphere, family] == label)[0]
                np.testing.assert_array_equal(rois[name], expected)
        assert all(len(rois[name]) == 0 for name in EMPTY)
        assert set(rois["V1v"]) & set(np.concatenate([rois[name] for name in NAMES["streams"]]))
        assert "Unknown" not in rois


def test_rows_follow_the_numbers_not_the_listing(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, nsd_ids=[500, 3, 72_999, 0], n_images=4)
    images = open_dataset("algonauts2023", tree.root).images("subj01")
    assert images.identities == ("nsd:00500", "nsd:00003", "nsd:72999", "nsd:00000")
    assert [file.name[:10] for file in images.files] == [f"train-000{i}" for i in (1, 2, 3, 4)]
    assert read_picture(images.files[0], 8).shape == (8, 8, 3)


def test_five_digit_numbers_come_after_four_digit_ones(tmp_path: Path) -> None:
    tree = write_tree(tmp_path)
    for file in tree.pictures.iterdir():
        file.unlink()
    names = [f"train-{i:04d}_nsd-{20_000 - i:05d}.png" for i in range(1, 10_011)]
    for name in names:
        (tree.pictures / name).touch()
    images = open_dataset("algonauts2023", tmp_path).images("subj01")
    assert [file.name for file in images.files] == names


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    tree = write_tree(tmp_path)
    (tree.pictures / ".DS_Store").touch()
    (tree.pictures / "._train-0001_nsd-00013.png").touch()
    reader = open_dataset("algonauts2023", tmp_path)
    assert reader.problems("all", "all") == []
    assert len(reader.images("subj01")) == 12


def test_optional_files_may_be_absent(tree: Tree) -> None:
    tree.ceilings["lh"].unlink()
    (tree.masks / "lh.all-vertices_fsaverage_space.npy").unlink()
    reader = open_dataset("algonauts2023", tree.root)
    assert reader.problems("all", "all") == []
    left, right = (reader.responses("subj01", hemisphere) for hemisphere in ("lh", "rh"))
    assert np.isnan(left.noise_ceiling).all() and not np.isnan(right.noise_ceiling).any()
    assert (left.mesh_vertices == -1).all() and (right.mesh_vertices >= 0).all()


def test_sources_are_those_read(tree: Tree) -> None:
    reader = open_dataset("algonauts2023", tree.root)
    files = reader.sources("subj01", "lh")
    masks = [tree.masks / f"lh.{family}_challenge_space.npy" for family in NAMES]
    mappings = [tree.masks / f"mapping_{family}.npy" for family in NAMES]
    challenge = tree.masks / "lh.all-vertices_fsaverage_space.npy"
    expected = [tree.responses["lh"], tree.ceilings["lh"], challenge, *masks, *mappings]
    assert set(files) == set(expected) and len(files) == len(expected)
    challenge.unlink()
    assert challenge not in reader.sources("subj01", "lh")


def test_coco_identities(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "data")
    table = tmp_path / "nsd_stim_info_merged.csv"
    lines = [",cocoId,cocoSplit,cropBox,nsdId"]
    lines += [f'{i},{i * 7 + 1},val2017,"(0, 0, 1, 2)",{i}' for i in tree.nsd_ids]
    table.write_text("\n".join(lines) + "\n")
    assert read_coco_ids(table) == {i: i * 7 + 1 for i in tree.nsd_ids}
    reader = open_dataset("algonauts2023", tree.root, stim_info=table)
    expected = tuple(f"coco:{i * 7 + 1}" for i in tree.nsd_ids)
    assert reader.images("subj01").identities == expected
    assert reader.responses("subj01", "lh").identities == expected
    assert table in reader.sources("subj01", "lh")
    assert reader.problems("all", "all") == []


def test_header_only_responses_are_mapped_not_read(tmp_path: Path) -> None:
    tree = write_tree(tmp_path)
    with tree.responses["lh"].open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (12, 60)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 12 * 60 * 4)
    reader = open_dataset("algonauts2023", tmp_path)
    assert reader.problems("all", "all") == []
    assert not reader.responses("subj01", "lh").values.any()


def test_unknown_layout() -> None:
    with pytest.raises(InputError, match="'algonauts23'; expected one of algonauts2023"):
        open_dataset("algonauts23", "somewhere")


def test_subjects_beyond_99_are_found(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "data")
    (tree.root / "subj01").rename(tree.root / "subj100")
    reader = open_dataset("algonauts2023", tree.root)
    assert reader.subjects() == ["subj100"]
    assert len(reader.images("subj100").identities) > 0
    with pytest.raises(InputError, match="a name like subj01"):
        reader.images("subj0100")
