"""Pictures that decode alike are one image, whatever they are called and wherever they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import algonauts_tree
import h5py
import nod_tree
import nsd_tree
import numpy as np
import pytest
from PIL import Image

from cortune.data import open_dataset, prepare_images, prepare_responses, split_images
from cortune.data.identity import identities_of
from cortune.data.images import Framing, read_index, read_index_lines, same_pictures
from cortune.data.splits import read_split
from cortune.data.units import UnitPaths, load_images, load_unit
from cortune.encoding.protocols import Settings, encode_unit
from cortune.probes.prepare import stratified_test
from cortune.simulate import simulate_layout
from cortune.simulate.spec import SimulationSpec
from cortune.transfer import untouched
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare_images", "1-00000000", 0)
SHARES = {"tune": 0.4, "validation": 0.1, "test": 0.5}


def prepared(layout: str, root: Path, out: Path, subject: str = "subj01") -> UnitPaths:
    """Prepare a subject's images, split and left hemisphere."""
    out.mkdir(exist_ok=True)
    paths = UnitPaths(*(str(out / name) for name in ("i.npy", "i.csv", "s.csv", "r.h5")))
    reader = open_dataset(layout, root)
    prepare_images(reader, subject, Framing(8), paths.images, paths.index, PROVENANCE)
    split_images(read_index(paths.index), 0, SHARES, paths.split, PROVENANCE, whole=False)
    if layout == "algonauts2023":
        prepare_responses(reader, subject, "lh", paths.responses, PROVENANCE)
    return paths


def test_ids_come_first_and_the_lowest_stands_for_twins() -> None:
    names = ["nsd:00100", "nsd:00020", "coco:7", "stim:a.jpg", "stim:b.png", "stim:c.png"]
    contents = ["x", "x", "y", "y", "z", "z"]
    assert identities_of(names, contents) == [
        "nsd:00020", "nsd:00020", "coco:7", "coco:7", "image:z", "image:z",
    ]  # fmt: skip
    assert identities_of(["nsd:00100"], ["x"], {"nsd:00100": "nsd:00003"}) == ["nsd:00003"]


def test_a_copy_under_another_id_is_its_twin_in_set_and_in_responses(tmp_path: Path) -> None:
    tree = algonauts_tree.write_tree(tmp_path / "data", n_images=40)
    before = prepared("algonauts2023", tree.root, tmp_path / "before")
    free = max(set(range(73_000)) - set(tree.nsd_ids))
    first = sorted(tree.pictures.iterdir())[0]
    shutil.copy(first, tree.pictures / f"train-0041_nsd-{free:05d}.png")
    for hemisphere, values in tree.values.items():
        np.save(tree.responses[hemisphere], np.concatenate([values, -values[:1]]))
    after = prepared("algonauts2023", tree.root, tmp_path / "after")
    lines = read_index_lines(after.index)
    assert lines[0]["identity"] == lines[40]["identity"] == f"nsd:{tree.nsd_ids[0]:05d}"
    assert read_split(after.split) == read_split(before.split), "no image moved"
    unit = load_unit(after, "V1v")
    assert len(unit.images) == len(set(unit.images.identities)) == 40
    np.testing.assert_array_equal(unit.responses[0], 0)  # the mean of both
    np.testing.assert_array_equal(unit.responses[1:], load_unit(before, "V1v").responses[1:])
    reader = open_dataset("algonauts2023", tree.root)
    assert reader.twins(["subj01"]) == [[f"nsd:{tree.nsd_ids[0]:05d}", f"nsd:{free:05d}"]]


def test_photographs_without_ids_go_by_content_alone(tmp_path: Path) -> None:
    """A simulated subject's photographs are numbered; other photographs number them anew."""
    ids = list(range(20))
    tree = algonauts_tree.write_tree(tmp_path / "a", n_images=20, nsd_ids=ids)
    (tree.root / "subj01" / "photographs.csv").touch()
    one = prepared("algonauts2023", tree.root, tmp_path / "one")
    for path in sorted(tree.pictures.iterdir(), reverse=True):
        number = int(path.name[6:10])
        path.rename(tree.pictures / f"train-{number + 1:04d}_nsd-{number:05d}.png")
    second = tree.pictures / "train-0002_nsd-00001.png"
    shutil.copy(second, tree.pictures / "train-0001_nsd-00000.png")
    for hemisphere, values in tree.values.items():
        np.save(tree.responses[hemisphere], np.concatenate([values[:1], values]))
    two = prepared("algonauts2023", tree.root, tmp_path / "two")
    assert read_split(two.split) == read_split(one.split)
    assert all(name.startswith("image:") for name in read_index(two.index))


def test_a_stimulus_in_another_folder_and_format_is_its_twin(tmp_path: Path) -> None:
    tree = nod_tree.write_tree(tmp_path / "data")
    before = prepared("nod", tree.root, tmp_path / "before", nod_tree.SUBJECT)
    stimuli = tree.root / "stimuli"
    old, new = tree.stimuli[0][0], "imagenet/n00000009/copy.bmp"
    (stimuli / new).parent.mkdir()
    Image.open(stimuli / old).save(stimuli / new)
    tree.stimuli[0][1] = new
    nod_tree.write_events(tree.events(1), tree.stimuli[0])
    short = [name.rsplit("/", 1)[-1] for name in tree.stimuli[0]]
    nod_tree.write_maps(tree.file(1), short, tree.values[0])
    tree.file(1, "label.txt").write_text("\n".join(short))
    after = prepared("nod", tree.root, tmp_path / "after", nod_tree.SUBJECT)
    found = {line["name"]: line["identity"] for line in read_index_lines(after.index)}
    assert found[f"stim:{old}"] == found[f"stim:{new}"]
    assert read_split(after.split).items() <= read_split(before.split).items()
    assert open_dataset("nod", tree.root).twins([nod_tree.SUBJECT]) == [
        [f"stim:{old}", f"stim:{new}"]
    ]


def test_the_whole_stimulus_set_says_which_id_stands_for_twins(tmp_path: Path) -> None:
    """Subject 1 sees 73000, whose twin among all stimuli, 4, it never sees."""
    tree = nsd_tree.write_tree(tmp_path / "data")
    with h5py.File(tree.stimuli, "r+") as file:
        file["imgBrick"][3] = file["imgBrick"][72_999]
    reader = open_dataset("nsd", tree.root)
    assert reader.same() == {"nsd:72999": "nsd:00003"}
    paths = prepared("nsd", tree.root, tmp_path / "out")
    found = {line["name"]: line["identity"] for line in read_index_lines(paths.index)}
    assert found["nsd:72999"] == "nsd:00003"


def test_few_pictures_are_compared_whole_and_many_by_their_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(path)
    copies = [tmp_path / "copy of 3.png", tmp_path / "4.bmp"]
    shutil.copy(paths[3], copies[0])
    Image.open(paths[4]).save(copies[1])
    (tmp_path / "broken.png").write_bytes(b"")
    paths += [*copies, tmp_path / "broken.png"]
    assert same_pictures(paths) == [[paths[3], copies[0]], [paths[4], copies[1]]]
    monkeypatch.setattr("cortune.data.images._DECODED", 3)
    assert same_pictures(paths) == [[paths[3], copies[0]]]


def test_copies_in_a_probe_are_on_one_side_and_move_no_other() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    contents = [f"{c:x}" for c in rng.choice(10**9, 80, replace=False)]
    alone = stratified_test(labels, ["a", "b"], 0.15, 0, contents)
    assert alone[:40].sum() == alone[40:].sum() == 6
    again = [0, *range(80), 50, 3]
    copied = stratified_test(labels[again], ["a", "b"], 0.15, 0, [contents[i] for i in again])
    np.testing.assert_array_equal(copied, alone[again])


def test_duplicated_noise_is_not_predicted(tmp_path: Path) -> None:
    """Measured before identity went by content: r = .41 under heldout_cv."""
    n, n_voxels = 60, 200
    rng = np.random.default_rng(0)
    ids = rng.choice(73_000, 2 * n, replace=False).tolist()
    tree = algonauts_tree.write_tree(
        tmp_path / "data", n_images=2 * n, nsd_ids=ids, n_vertices={"lh": n_voxels, "rh": 75}
    )
    pictures = sorted(tree.pictures.iterdir())
    noise = rng.standard_normal((n, n_voxels)).astype(np.float32)
    for row in range(n):
        shutil.copy(pictures[row], pictures[n + row])
    np.save(tree.responses["lh"], np.concatenate([noise, noise]))
    paths = prepared("algonauts2023", tree.root, tmp_path / "out")
    images = load_images(paths)
    unit = load_unit(paths, "V1v")
    assert len(images) == len(unit.images) == n
    assert set(unit.images.identities) == set(images.identities)
    pixels = images.cache[unit.images.rows].reshape(n, -1) - 127.5

    def mean_r(rows: np.ndarray) -> float:
        features = pixels[rows]
        result = encode_unit(
            {"pixels": (features @ features.T).astype(np.float32)},
            unit.responses[rows],
            {"test": np.arange(len(rows))},
            Settings(np.logspace(2, 8, 4)),
            protocols=["heldout_cv"],
            n_folds=3,
        )["heldout_cv"]
        return float(result.r.mean())

    error = 1 / np.sqrt((n - 3) * unit.responses.shape[1])
    assert abs(mean_r(np.arange(n))) < 3 * error
    assert mean_r(np.tile(np.arange(n), 2)) > 10 * error, "as two images, copies predict it"


def test_another_data_set_is_tried_on_all_images_that_no_network_saw(tmp_path: Path) -> None:
    """Pictures with ids follow the split, whichever network; others only what it saw."""
    tree = algonauts_tree.write_tree(tmp_path / "data", n_images=40)
    paths = prepared("algonauts2023", tree.root, tmp_path / "out")
    images = load_images(paths)
    kept = untouched(images, [])
    assert set(kept.sets) == {"test"}
    (tree.root / "subj01" / "photographs.csv").touch()
    paths = prepared("algonauts2023", tree.root, tmp_path / "content")
    images = load_images(paths)
    assert len(untouched(images, [])) == 40
    kept = untouched(images, images.identities[:3])
    assert kept.identities == images.identities[3:] and kept.digests == images.digests[3:]
    np.testing.assert_array_equal(kept.rows, images.rows[3:])


def test_photographs_and_their_copies_are_one_image_each(tmp_path: Path) -> None:
    """Through the simulator, whose numbers change with every picture that is added."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(12):
        picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
        picture.save(folder / f"img{index:02d}.jpg")
    splits = []
    for out in ("once", "twice"):
        spec = SimulationSpec.from_mapping(
            {"images": folder, "image_size": 32, "vertices": {"V1v": 20}}
        )
        simulate_layout("algonauts2023", tmp_path / out, ["subj01", "subj02"], spec, 0)
        for subject in ("subj01", "subj02"):
            paths = prepared("algonauts2023", tmp_path / out, tmp_path / subject, subject)
            splits.append(read_split(paths.split))
            assert len(load_unit(paths, "V1v").images) == 12
        for path in sorted(folder.glob("*.jpg")):
            shutil.copy(path, folder / f"copy of {path.name}")
        Image.open(folder / "img03.jpg").save(folder / "another.png")
    assert splits[0] == splits[1] == splits[2] == splits[3]
