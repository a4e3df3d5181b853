"""What may be asked of the simulator, and which images a subject gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cortune.errors import InputError
from cortune.simulate import SimulationSpec, roi_sizes, subject_image_ids
from cortune.simulate.spec import subject_test_ids, synthetic_sizes


@pytest.mark.parametrize(
    "mapping, words",
    [
        ({"n_image": 10}, ["simulate.n_image", "n_images"]),
        ({"vertices": {"V1V": 10}}, ["simulate.vertices", "V1v"]),
        ({"vertices": {"V1v": -1}}, ["simulate.vertices.V1v", "-1"]),
        ({"vertices": {"V1v": 0}}, ["simulate.vertices"]),
        ({"n_images": 100, "n_shared": 101}, ["simulate.n_shared", "101", "100"]),
        ({"ncsnr": 0.0}, ["simulate.ncsnr"]),
        ({"tuning_correlation": 1.1}, ["simulate.tuning_correlation", "1.1"]),
        ({"images": "/no/such/folder"}, ["/no/such/folder", "no such folder"]),
    ],
)
def test_a_bad_value_is_named(mapping: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        SimulationSpec.from_mapping(mapping)
    for word in words:
        assert word in str(error.value)


def test_defaults_use_nsd_up_exactly() -> None:
    """Eight subjects of 10000 images, 1000 of them shared, are NSD's 73000."""
    spec = SimulationSpec()
    seen = [
        np.concatenate(
            [get(spec, f"subj{k:02d}", 0) for get in (subject_image_ids, subject_test_ids)]
        )
        for k in range(1, 9)
    ]
    assert np.array_equal(np.unique(np.concatenate(seen)), np.arange(73_000))
    with pytest.raises(InputError, match=r"82000 images needed.*73000"):
        subject_image_ids(spec, "subj09", 0)


@given(
    n_images=st.integers(4, 60),
    n_shared=st.integers(0, 60),
    n_test=st.integers(0, 10),
    seed=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_subjects_share_what_is_shared_and_nothing_else(
    n_images: int, n_shared: int, n_test: int, seed: int
) -> None:
    n_shared = min(n_shared, n_images)
    spec = SimulationSpec(n_images=n_images, n_shared=n_shared, n_test_images=n_test)
    train = [subject_image_ids(spec, name, seed) for name in ("subj01", "subj02", "subj05")]
    everything = [
        np.concatenate([ids, subject_test_ids(spec, name, seed)])
        for ids, name in zip(train, ("subj01", "subj02", "subj05"), strict=True)
    ]
    for ids in train:
        assert len(ids) == n_images
        assert np.all(np.diff(ids) > 0)
    for ids in everything:
        assert len(np.unique(ids)) == n_images + n_test
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = np.intersect1d(everything[first], everything[second])
        assert len(both) == n_shared
        assert np.isin(both, train[0]).all()


@pytest.mark.parametrize("name", ["alice", "subj", "subj00"])
def test_a_subject_needs_a_number(name: str) -> None:
    with pytest.raises(InputError, match="subj01"):
        subject_image_ids(SimulationSpec(), name, 0)


def test_every_photograph_is_shown_to_everybody(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.jpg", "a/3.PNG", "c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    spec = SimulationSpec.from_mapping(
        {"images": str(tmp_path), "n_images": 9841, "n_shared": 1000, "n_test_images": 159}
    )
    assert subject_image_ids(spec, "subj07", 0).tolist() == [0, 1, 2, 3]
    assert len(subject_test_ids(spec, "subj07", 0)) == 0


def test_an_empty_folder_of_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture"):
        SimulationSpec.from_mapping({"images": tmp_path})


def test_streams_are_as_large_as_their_members_unless_given() -> None:
    sizes = synthetic_sizes({"V1v": 10, "V2d": 5, "EBA": 7, "lateral": 30}, "lh")
    assert (sizes["early"], sizes["lateral"], sizes["parietal"]) == (15, 30, 0)
    assert sizes["FFA-1"] == 0


def test_hemispheres_may_differ():
    vertices = {"V1v": 10, "PPA": {"lh": 0, "rh": 7}}
    sizes = {side: synthetic_sizes(vertices, side) for side in ("lh", "rh")}
    assert (sizes["lh"]["V1v"], sizes["rh"]["V1v"]) == (10, 10)
    assert (sizes["lh"]["PPA"], sizes["rh"]["PPA"]) == (0, 7)
    assert sizes["rh"]["ventral"] == sizes["lh"]["ventral"] + 7
    assert roi_sizes(SimulationSpec(vertices=vertices), "subj01", "rh")["PPA"] == 7


@pytest.mark.parametrize("count", [{"lh": 3}, {"left": 3, "right": 4}, {"lh": 3, "rh": -1}, -2])
def test_counts_that_are_none_are_refused(count):
    with pytest.raises(InputError, match=r"simulate\.vertices\.PPA"):
        SimulationSpec(vertices={"V1v": 10, "PPA": count})


def test_a_hemisphere_without_vertices_is_refused():
    with pytest.raises(InputError, match="0 vertices in lh"):
        SimulationSpec(vertices={"PPA": {"lh": 0, "rh": 9}})
