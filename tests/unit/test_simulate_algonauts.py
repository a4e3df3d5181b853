"""The Algonauts layout as written: the reader accepts it, truth fits it, bytes repeat."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from cortune.data.algonauts import AlgonautsReader
from cortune.data.algonauts_files import load_mapping, load_mask
from cortune.data.rois import FAMILIES, HEMISPHERES
from cortune.errors import InputError
from cortune.simulate import (
    SimulationSpec,
    render_scene,
    roi_sizes,
    simulate_layout,
    simulate_subject,
    subject_image_ids,
)
from cortune.simulate.photographs import read_labels
from cortune.simulate.spec import list_photographs

VERTICES = {"V1v": 40, "V1d": 40, "hV4": 30, "FFA-1": 30, "EBA": 20, "FBA-1": 6, "mTL-faces": 0}
SPEC = SimulationSpec(
    n_images=60, n_shared=20, n_test_images=5, image_size=32, n_classes=6, vertices=VERTICES
)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate_layout("algonauts2023", folder / "data", ["subj01", "subj02"], SPEC, 0)
    return folder


def test_the_reader_finds_nothing_wrong(written: Path) -> None:
    reader = AlgonautsReader(written / "data")
    assert reader.problems("all", "all") == []
    assert reader.subjects() == ["subj01", "subj02"]
    for hemisphere in HEMISPHERES:
        assert reader.roi_sizes("subj01", hemisphere) == roi_sizes(SPEC, "subj01", hemisphere)
        responses = reader.responses("subj01", hemisphere)
        assert responses.values.shape[0] == 60
        assert np.all(np.diff(responses.mesh_vertices) > 0)
        assert 0.1 < np.nanmean(responses.noise_ceiling) < 0.6


def test_files_are_those_of_the_challenge(written: Path) -> None:
    names = set(digests(written / "data" / "subj01"))
    ids = subject_image_ids(SPEC, "subj01", 0)
    expected = {
        f"training_split/training_images/train-{n:04d}_nsd-{i:05d}.png"
        for n, i in enumerate(ids, 1)
    }
    for h in HEMISPHERES:
        expected.add(f"training_split/training_fmri/{h}_training_fmri.npy")
        expected.add(f"test_split/noise_ceiling/{h}_noise_ceiling.npy")
        expected.add(f"roi_masks/{h}.all-vertices_fsaverage_space.npy")
        for family in FAMILIES:
            expected |= {
                f"roi_masks/{h}.{family}_{s}_space.npy" for s in ("challenge", "fsaverage")
            }
    expected |= {f"roi_masks/mapping_{family}.npy" for family in FAMILIES}
    test = {name for name in names if name.startswith("test_split/test_images/test-")}
    assert names - test == expected
    assert len(test) == SPEC.n_test_images


def test_arrays_have_the_real_types(written: Path, shared: Path) -> None:
    ours, real = (
        written / "data" / "subj01" / "roi_masks",
        shared / "real/algonauts/subj01/roi_masks",
    )
    for path in sorted(real.glob("*_space.npy")):
        theirs, mine = np.load(path), np.load(ours / path.name)
        assert (mine.dtype, mine.ndim) == (theirs.dtype, theirs.ndim), path.name
        if "fsaverage" in path.name:
            assert mine.shape == theirs.shape
    for family in FAMILIES:
        name = f"mapping_{family}.npy"
        assert load_mapping(ours / name) == load_mapping(real / name)
        header = [(p / name).read_bytes()[:128].split(b"'descr'")[1][:40] for p in (ours, real)]
        assert header[0] == header[1]
    fmri = written / "data" / "subj01" / "training_split" / "training_fmri" / "lh_training_fmri.npy"
    values = np.load(fmri)
    assert (values.dtype, values.ndim) == (np.float32, 2)
    assert np.isfinite(values).all()


def test_both_spaces_agree(written: Path) -> None:
    masks = written / "data" / "subj01" / "roi_masks"
    for hemisphere in HEMISPHERES:
        inside = load_mask(masks / f"{hemisphere}.all-vertices_fsaverage_space.npy").astype(bool)
        for family in FAMILIES:
            challenge, fsaverage = (
                load_mask(masks / f"{hemisphere}.{family}_{space}_space.npy")
                for space in ("challenge", "fsaverage")
            )
            np.testing.assert_array_equal(fsaverage[inside], challenge)
            assert not fsaverage[~inside].any()


def test_pictures_are_their_scenes(written: Path) -> None:
    folder = written / "data" / "subj02" / "training_split" / "training_images"
    for path in sorted(folder.iterdir())[::13]:
        identity = int(path.stem.split("-")[-1])
        scene = render_scene(identity, size=32, n_classes=6, seed=0)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), scene.image)


def test_truth_fits_the_data(written: Path) -> None:
    for hemisphere in HEMISPHERES:
        data = written / "data" / "subj01"
        measured = np.load(
            data / "training_split/training_fmri" / f"{hemisphere}_training_fmri.npy"
        )
        percent = np.load(data / "test_split/noise_ceiling" / f"{hemisphere}_noise_ceiling.npy")
        with h5py.File(written / "truth" / "subj01" / f"{hemisphere}.h5") as truth:
            np.testing.assert_allclose(truth["noise_ceiling"][:], percent / 100, rtol=1e-6)
            np.testing.assert_array_equal(truth["images"][:], subject_image_ids(SPEC, "subj01", 0))
            np.testing.assert_array_equal(percent == 0, truth["null"][:])
            sizes = {name: len(where) for name, where in truth["rois"].items()}
            assert sizes == roi_sizes(SPEC, "subj01", hemisphere)
            clean, live = truth["responses"][:], ~truth["null"][:]
            assert len(truth["tuning"]) == len(truth["prf/x"]) == measured.shape[1]
        r = (clean * measured).mean(0)[live] / measured.std(0)[live]
        assert np.mean(r - np.sqrt(percent[live] / 100)) == pytest.approx(0, abs=0.03)


def test_the_same_call_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    """Whether or not another subject is simulated too."""
    simulate_subject(SPEC, "subj02", tmp_path / "out", tmp_path / "truth", seed=0)
    assert digests(tmp_path / "out") == digests(written / "data" / "subj02")
    assert digests(tmp_path / "truth") == digests(written / "truth" / "subj02")
    assert digests(tmp_path / "out") != digests(written / "data" / "subj01")


def test_subjects_see_the_shared_pictures_alike(written: Path) -> None:
    folders = [
        written / "data" / s / "training_split/training_images" for s in ("subj01", "subj02")
    ]
    pictures = [{p.name[-9:]: p.read_bytes() for p in f.iterdir()} for f in folders]
    both = set(pictures[0]) & set(pictures[1])
    assert len(both) == SPEC.n_shared
    assert all(pictures[0][name] == pictures[1][name] for name in both)


# Real masks and photographs.


def test_mirrored_pictures_keep_the_responses(written: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, mirrored=True)
    simulate_subject(spec, "subj01", tmp_path / "subj01", tmp_path / "truth", seed=0)
    plain, mirrored = digests(written / "data" / "subj01"), digests(tmp_path / "subj01")
    assert set(plain) == set(mirrored)
    pictures = [name for name in plain if name.endswith(".png")]
    assert [name for name in plain if plain[name] != mirrored[name]] == pictures
    for name in pictures[:5]:
        picture = np.asarray(Image.open(tmp_path / "subj01" / name))
        assert np.array_equal(
            picture[:, ::-1], np.asarray(Image.open(written / "data" / "subj01" / name))
        )


def test_masks_of_a_subject_are_taken_over(written: Path, tmp_path: Path) -> None:
    model = written / "data" / "subj01"
    spec = SimulationSpec.from_mapping(
        {"masks": str(model), "n_images": 12, "n_shared": 12, "n_test_images": 0, "image_size": 32}
    )
    simulate_subject(spec, "subj03", tmp_path / "out", tmp_path / "truth", seed=1)
    assert digests(tmp_path / "out" / "roi_masks") == digests(model / "roi_masks")
    sizes = AlgonautsReader(tmp_path).roi_sizes
    shutil.move(tmp_path / "out", tmp_path / "subj03")
    assert sizes("subj03", "lh") == roi_sizes(spec, "subj03", "lh")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for index in range(24):
        category = ("faces", "houses", "tools")[index % 3]
        path = tmp_path / "photographs" / category / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photographs"


def photo_spec(folder: Path) -> SimulationSpec:
    return SimulationSpec.from_mapping(
        {"images": folder, "image_size": 32, "n_classes": 20, "vertices": VERTICES}
    )


def test_photographs_replace_the_scenes(photographs: Path, tmp_path: Path) -> None:
    simulate_subject(photo_spec(photographs), "subj01", tmp_path / "o", tmp_path / "t", seed=0)
    pictures = sorted((tmp_path / "o" / "training_split" / "training_images").iterdir())
    assert [p.name[-9:-4] for p in pictures] == [f"{i:05d}" for i in range(24)]
    assert Image.open(pictures[0]).size == (32, 32)
    responses = np.load(tmp_path / "o" / "training_split/training_fmri/lh_training_fmri.npy")
    assert responses.shape[0] == 24
    assert np.isfinite(responses).all()


def flat(folder: Path) -> Path:
    target = folder.with_name("flat")
    target.mkdir()
    for path in folder.rglob("*.png"):
        shutil.copy(path, target / path.name)
    return target


@pytest.mark.parametrize("arrange", [lambda folder: folder, flat], ids=["labelled", "flat"])
def test_category_areas_respond_to_photographs(
    photographs: Path, tmp_path: Path, arrange: Callable[[Path], Path]
) -> None:
    spec = photo_spec(arrange(photographs))
    simulate_subject(spec, "subj01", tmp_path / "o", tmp_path / "t", seed=0)
    with h5py.File(tmp_path / "t" / "lh.h5") as truth:
        where = truth["rois/FFA-1"][:]
        clean, null = truth["responses"][:][:, where], truth["null"][:][where]
    np.testing.assert_allclose(clean[:, ~null].std(0), 1, atol=1e-3)


def test_labels_come_from_the_table_before_the_folder(photographs: Path) -> None:
    files = list_photographs(photographs)
    by_folder = read_labels(photographs, files, 20)
    assert len(set(by_folder)) == 3
    rows = [f"{path.relative_to(photographs).as_posix()},zebra" for path in files[:4]]
    (photographs / "labels.csv").write_text("\n".join(["file,category", *rows]))
    by_table = read_labels(photographs, files, 20)
    assert len(set(by_table[:4])) == 1
    assert set(by_table[4:]) == {-1}
    (photographs / "labels.csv").write_text("name,kind\na,b\n")
    with pytest.raises(InputError, match="category"):
        read_labels(photographs, files, 20)


def test_a_failure_leaves_nothing_behind(photographs: Path, tmp_path: Path) -> None:
    bad = photographs / "tools" / "05.png"
    bad.write_bytes(bad.read_bytes()[:300])
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"05\.png"):
        simulate_subject(photo_spec(photographs), "subj01", out / "s", out / "t", seed=0)
    assert list(out.iterdir()) == []


def test_a_wrong_subject_stops_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bob"):
        simulate_layout("algonauts2023", tmp_path / "data", ["subj01", "bob"], SPEC, 0)
    assert not (tmp_path / "data").exists()
