from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cortune import probes
from cortune.artifacts import read_json, read_provenance
from cortune.data.images import Framing
from cortune.errors import CortuneError, InputError
from cortune.networks.backbones import build_backbone, normalise
from cortune.networks.device import choose_runtime
from cortune.networks.layers import captured_layers
from cortune.networks.store import save_network
from cortune.probes.linear import choose_penalty, penalty_folds
from cortune.probes.prepare import stratified_test
from cortune.probes.sources import ProbeSource, labelled, probe_source, sources
from cortune.simulate.scenes import labelled_scenes
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare_probe", "1-00000000", 3)


def picture(path, size=(40, 30), mode="RGB", seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        for index in range(4):
            picture(tmp_path / "root" / name / f"{index}.png", seed=10 * label + index)
    return tmp_path / "root"


def spec(root, kind="image_folder", **options):
    return probes.ProbeSpec(kind, str(root), **options)


def prepare(spec, tmp_path, size=16, **options):
    cache, index = tmp_path / "images.npy", tmp_path / "index.csv"
    framing = Framing(size, resize=round(size * 256 / 224))
    probes.prepare_probe(spec, framing, cache, index, PROVENANCE, **options)
    return probes.read_probe(cache, index)


def test_pictures_are_prepared_as_torchvision_does(folder, tmp_path):
    from torchvision import transforms

    images = prepare(spec(folder), tmp_path, size=28, workers=2)
    oracle = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(28)])
    for row, name in enumerate(images.names):
        expected = np.asarray(oracle(Image.open(folder / name).convert("RGB")))
        np.testing.assert_array_equal(images.cache[row], expected)
    assert images.classes == ("cat", "dog")
    assert [images.classes[label] for label in images.labels] == [
        name.split("/")[0] for name in images.names
    ]
    assert read_provenance(tmp_path / "images.npy")["raw"]["pictures"]


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(4, 64))
def test_central_square_equals_torchvision(width, height, size):
    from torchvision import transforms

    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    oracle = transforms.Compose(
        [transforms.Resize(round(size * 256 / 224)), transforms.CenterCrop(size)]
    )
    np.testing.assert_array_equal(
        Framing(size, resize=round(size * 256 / 224))(image, "it"), np.asarray(oracle(image))
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=6), st.integers(0, 99))
def test_every_class_is_split_by_the_same_share(counts, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    names = [f"class {label}" for label in range(len(counts))]
    test = stratified_test(labels, names, 0.15, seed)
    for label, n in enumerate(counts):
        share = max(1, int(0.15 * n + 0.5))
        assert test[labels == label].sum() == share < n
    np.testing.assert_array_equal(test, stratified_test(labels, names, 0.15, seed))


def test_a_new_class_does_not_move_the_others(folder, tmp_path):
    before = prepare(spec(folder), tmp_path)
    for index in range(3):
        picture(folder / "ant" / f"{index}.png")
    after = prepare(spec(folder), tmp_path)
    kept = dict(zip(after.names, after.test.tolist(), strict=True))
    assert all(kept[name] == test for name, test in zip(before.names, before.test, strict=True))


def test_a_limit_draws_so_many_of_each_class(folder, tmp_path):
    images = prepare(spec(folder, images_per_class=3), tmp_path)
    np.testing.assert_array_equal(np.bincount(images.labels), [3, 3])


def test_scenes_are_shown_nowhere_else(tmp_path):
    scenes = probes.ProbeSpec("scenes", n_images=300, n_classes=3)
    images = prepare(scenes, tmp_path, size=16)
    assert len(images) == 300
    assert len(np.unique(images.cache.reshape(300, -1), axis=0)) == 300
    pretraining, _ = labelled_scenes(300, size=16, n_classes=3, seed=PROVENANCE.seed)
    seen = {scene.tobytes() for scene in pretraining}
    assert not any(scene.tobytes() in seen for scene in np.asarray(images.cache))
    again, expected = labelled_scenes(
        44, size=16, n_classes=3, seed=PROVENANCE.seed, stream="probe 256"
    )
    np.testing.assert_array_equal(images.cache[256:], again)
    np.testing.assert_array_equal(images.labels[256:], expected)


def test_unusual_pictures_are_converted(folder, tmp_path):
    picture(folder / "cat" / "grey.png", mode="L")
    picture(folder / "cat" / "cmyk.jpg", mode="CMYK")
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "cat" / "moving.gif", save_all=True, append_images=frames[1:])
    assert probes.probe_problems(spec(folder)) == []
    images = prepare(spec(folder), tmp_path)
    grey = images.cache[images.names.index("cat/grey.png")]
    assert (grey == grey[..., :1]).all()
    first = images.cache[images.names.index("cat/moving.gif")]
    np.testing.assert_array_equal(np.unique(first.reshape(-1, 3), axis=0), [[255, 0, 0]])


def empty_class(root):
    (root / "emu").mkdir()
    return "no picture of class 'emu'"


def one_image(root):
    picture(root / "fox" / "0.png")
    return "one picture of class 'fox'"


def same_names(root):
    for index in range(2):
        picture(root / "CAT" / f"{index}.png")
    return "'CAT', 'cat'"


def no_picture(root):
    (root / "cat" / "9.jpg").write_bytes(b"not a picture")
    return "9.jpg"


def truncated(root):
    whole = (root / "cat" / "0.png").read_bytes()
    (root / "cat" / "9.png").write_bytes(whole[: len(whole) // 2])
    return "9.png"


def bomb(root):
    picture(root / "cat" / "9.png", size=(8, 8))
    data = bytearray((root / "cat" / "9.png").read_bytes())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    (root / "cat" / "9.png").write_bytes(bytes(data))
    return "9.png: found 100000 x 100000 pixels"


BAD = (empty_class, one_image, same_names, no_picture, truncated, bomb)


@pytest.mark.parametrize("spoil", BAD)
def test_bad_input_gives_one_clear_message(spoil, folder, tmp_path):
    expected = spoil(folder)
    problems = probes.probe_problems(spec(folder))
    assert len(problems) == 1
    assert expected in problems[0] and "expected" in problems[0]
    with pytest.raises(InputError):
        prepare(spec(folder), tmp_path)
    assert not (tmp_path / "images.npy").exists()


def test_a_sliver_is_refused_by_name_and_size(folder, tmp_path):
    Image.new("RGB", (200_000, 1)).save(folder / "cat" / "9.png")
    with pytest.raises(InputError, match=r"9\.png: found 200000 x 1 pixels, 256 x 51200000"):
        prepare(spec(folder), tmp_path, size=224)
    (problem,) = probes.probe_problems(spec(folder))
    assert "9.png: found 200000 x 1 pixels" in problem


@pytest.mark.parametrize("kind", ["image_folder", "imagenet", "places365", "sun397"])
def test_a_missing_root_says_where_to_get_the_images(kind, tmp_path):
    for root in (tmp_path / "nowhere", tmp_path, ""):
        (problem,) = probes.probe_problems(spec(root, kind))
        assert "Get " in problem or "Set the probe's root" in problem or "holds the" in problem


def test_few_scenes_and_unknown_kinds_are_refused(tmp_path):
    assert (
        "n_classes: 5"
        in probes.probe_problems(probes.ProbeSpec("scenes", n_images=7, n_classes=5))[0]
    )
    with pytest.raises(CortuneError, match="n_images: 1 "):
        prepare(probes.ProbeSpec("scenes", n_images=1, n_classes=5), tmp_path)
    assert "'photos'" in probes.probe_problems(spec(tmp_path, "photos"))[0]


def test_imagenet_is_read_as_torchvision_lays_it_out(tmp_path):
    wnids = {"n01": ("crane", "bird"), "n02": ("crane",)}
    for wnid in wnids:
        for index in range(2):
            picture(tmp_path / "val" / wnid / f"{index}.JPEG")
    assert "meta.bin" in probes.probe_problems(spec(tmp_path, "imagenet"))[0]
    torch.save((wnids, []), tmp_path / "meta.bin")
    listed = probes.list_images(spec(tmp_path, "imagenet"))
    assert probes.probe_problems(spec(tmp_path, "imagenet")) == []
    assert listed.classes == ("n01 crane", "n02 crane")
    np.testing.assert_array_equal(listed.labels, [0, 0, 1, 1])
    assert listed.names()[3] == "val/n02/1.JPEG"
    assert "train" in probes.probe_problems(spec(tmp_path, "imagenet", split="train"))[0]
    pictures = [tmp_path / "val" / wnid / f"{index}.JPEG" for wnid in wnids for index in (0, 1)]
    found = probes.source_files(spec(tmp_path, "imagenet"))
    assert found == sorted([tmp_path / "meta.bin", *pictures])


def test_places_and_sun_are_read_as_torchvision_lays_them_out(tmp_path, monkeypatch):
    from hashlib import md5

    from torchvision.datasets import Places365

    places, sun = tmp_path / "places", tmp_path / "sun"
    names = [f"{index}.jpg" for index in range(4)]
    for index, name in enumerate(names):
        picture(places / "val_256" / name)
        picture(sun / "SUN397" / "a" / ("abbey", "alley")[index % 2] / f"sun_{name}")
    texts = {
        "categories_places365.txt": "/a/abbey 0\n/a/alley 1\n",
        "places365_val.txt": "".join(f"{n} {i % 2}\n" for i, n in enumerate(names)),
    }
    sums = {name: md5(text.encode()).hexdigest() for name, text in texts.items()}
    for name, text in texts.items():
        (places / name).write_text(text)
    assert "corrupted" in probes.probe_problems(spec(places, "places365"))[0]
    categories, files = texts
    monkeypatch.setattr(Places365, "_CATEGORIES_META", (categories, sums[categories]))
    monkeypatch.setattr(Places365, "_FILE_LIST_META", {"val": (files, sums[files])})
    listed = probes.list_images(spec(places, "places365"))
    assert probes.probe_problems(spec(places, "places365")) == []
    np.testing.assert_array_equal(listed.labels, [0, 1, 0, 1])
    assert listed.names()[2] == "val_256/2.jpg"
    read = [*texts, *(f"val_256/{name}" for name in names)]
    assert probes.source_files(spec(places, "places365")) == sorted(places / name for name in read)
    (sun / "SUN397" / "ClassName.txt").write_text("/a/abbey\n/a/alley\n")
    listed = probes.list_images(spec(sun, "sun397"))
    assert listed.classes == ("abbey", "alley")
    assert sorted(zip(listed.names(), listed.labels.tolist(), strict=True)) == [
        (f"SUN397/a/{('abbey', 'alley')[i]}/sun_{n}.jpg", i)
        for i, n in ((0, 0), (0, 2), (1, 1), (1, 3))
    ]
    assert probes.probe_problems(spec(sun, "sun397")) == []
    read = [sun / "SUN397" / "ClassName.txt", *listed.files]
    assert probes.source_files(spec(sun, "sun397")) == sorted(read)


def test_a_folders_files_are_its_pictures(folder):
    (folder / "cat" / "notes.txt").write_text("no picture")
    found = probes.source_files(spec(folder))
    assert found == sorted(folder / name / f"{i}.png" for name in ("cat", "dog") for i in range(4))
    assert probes.source_files(probes.ProbeSpec("scenes", n_images=9, n_classes=3)) == []
    with pytest.raises(InputError, match="no folder"):
        probes.source_files(spec(folder / "nowhere"))


def test_a_source_is_one_registration(tmp_path):
    @probe_source("two_files")
    class TwoFiles(ProbeSource):
        def listed(self, root, split):
            files = sorted(root.glob("*.png"))
            return labelled(root, [(f, i % 2) for i, f in enumerate(files)], ["even", "odd"])

    try:
        for index in range(4):
            picture(tmp_path / f"{index}.png")
        assert probes.probe_problems(spec(tmp_path, "two_files")) == []
        assert prepare(spec(tmp_path, "two_files"), tmp_path).classes == ("even", "odd")
    finally:
        del sources()["two_files"]


# The linear probe.


@pytest.mark.parametrize("n_classes", [2, 4])
def test_folded_weights_are_those_of_the_pipeline(n_classes):
    random = np.random.default_rng(0)
    labels = np.arange(120) % n_classes
    x = random.normal(5, 2, (120, 9)) + 3 * np.eye(9)[labels]
    x[:, 8] = 7.0  # a dead unit
    x = x.astype(np.float32)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, labels)
    found = probes.fit_probe(x, labels)
    assert found.converged and found.n_iter == oracle[-1].n_iter_[0]
    np.testing.assert_allclose(found.log_probabilities(x), oracle.predict_log_proba(x), atol=1e-5)
    logits = x.astype(np.float64) @ found.weights.T + found.bias
    raw = oracle.decision_function(x)
    expected = raw if n_classes > 2 else np.stack([-raw, raw], 1) / 2
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("noise", [1.0, 4.0, 30.0])
def test_the_penalty_is_that_of_scikit_learns_cross_validation(noise):
    random = np.random.default_rng(3)
    labels = np.arange(150) % 3
    x = 3 * np.eye(20)[labels] + noise * random.normal(size=(150, 20))
    penalties = [1000.0, 0.1, 1.0, 10.0, 100.0]
    folds = penalty_folds(labels, seed=5)
    assert all(np.ptp(np.bincount(folds[labels == c])) <= 1 for c in range(3))
    scaled = StandardScaler().fit_transform(x)
    oracle = LogisticRegressionCV(
        Cs=1 / np.sort(penalties)[::-1],
        cv=[(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in range(3)],
        scoring="neg_log_loss",
        max_iter=1000,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    ).fit(scaled, labels)
    found = choose_penalty(scaled, labels, penalties, seed=5)
    assert found == pytest.approx(1 / oracle.C_)
    fitted = probes.fit_probe(x.astype(np.float32), labels, penalties=penalties, seed=5)
    assert fitted.penalty == found
    ours = np.exp(fitted.log_probabilities(x))
    np.testing.assert_allclose(ours, oracle.predict_proba(scaled), atol=0.02)


def test_a_penalty_is_chosen_where_classes_have_an_image_or_two():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for labels in ([0, 0, 1, 1, 2], [0, 1, 2, 3, 4]):
        found = probes.fit_probe(x, np.array(labels), penalties=(1.0, 100.0))
        assert found.penalty in (1.0, 100.0)
        assert np.isfinite(found.log_probabilities(x)).all()


def test_the_sure_do_not_underflow():
    """Logits of thousands: p(true) is 0 in single precision, its logarithm is not."""
    linear = probes.LinearProbe(np.array([[2000.0], [-1000.0], [0.0]]), np.zeros(3), 1.0, 1, True)
    logs = linear.log_probabilities(np.array([[1.0]]))
    np.testing.assert_allclose(logs, [[0, -3000, -2000]])
    assert np.exp(logs.astype(np.float32))[0, 1] == 0


def test_what_has_not_converged_says_so():
    random = np.random.default_rng(0)
    found = probes.fit_probe(
        random.normal(size=(60, 20)).astype(np.float32), np.arange(60) % 3, max_iter=2
    )
    assert not found.converged and found.n_iter == 2


def test_features_that_are_not_finite_are_refused():
    x = np.ones((6, 2), np.float32)
    x[3, 1] = np.inf
    with pytest.raises(InputError, match="1 that are NaN or infinite"):
        probes.fit_probe(x, np.arange(6) % 2)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 400), st.integers(1, 400))
def test_wilson_interval_is_the_closed_form(k, n):
    k = min(k, n)
    z, p = 1.959963984540054, k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(
        probes.wilson_interval(k, n), [centre - half, centre + half], atol=1e-9
    )


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("probed")
    scenes = probes.ProbeSpec("scenes", n_images=120, n_classes=3)
    images = prepare(scenes, tmp_path, size=64)
    jobs = []
    for seed, name in enumerate(("untuned", "tuned")):
        network = tmp_path / f"{name}.safetensors"
        model = build_backbone("alexnet_small", seed=seed, num_classes=5)
        save_network(network, model, PROVENANCE, num_classes=5)
        label = probes.NetworkLabel(
            name, "nsd", *(("subj01", "lh", "V1v") if seed else ("",) * 3), name
        )
        jobs.append(probes.ProbeJob(label, network, tmp_path / f"{name}.h5"))
    runtime = choose_runtime("cpu", "float32", threads=1)
    probes.probe_networks(
        jobs, images, PROVENANCE, runtime, probe="scenes", layer="classifier.5", batch_size=50
    )
    return images, jobs, tmp_path


def test_probe_is_the_regression_of_the_raw_features(probed):
    images, jobs, _ = probed
    model = build_backbone("alexnet_small", seed=1, num_classes=5).eval()
    with torch.no_grad(), captured_layers(model, ["classifier.5"]) as outputs:
        model(normalise(torch.from_numpy(np.array(images.cache)), model))
    x = outputs["classifier.5"].numpy()
    oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    oracle.fit(x[~images.test], images.labels[~images.test])
    found = probes.read_probe_result(jobs[1].output)
    np.testing.assert_allclose(
        found.log_probabilities, oracle.predict_log_proba(x[images.test]), atol=1e-2
    )
    np.testing.assert_array_equal(found.test_rows, np.flatnonzero(images.test))
    np.testing.assert_array_equal(found.labels, images.labels[images.test])
    np.testing.assert_allclose(
        found.linear.log_probabilities(x[images.test]), found.log_probabilities, atol=1e-3
    )
    assert found.label.roi == "V1v" and found.classes == images.classes


def test_probes_are_tabulated(probed):
    images, jobs, tmp_path = probed
    probes.tabulate_probes([job.output for job in jobs], tmp_path / "probes.csv", PROVENANCE)
    table = pd.read_csv(tmp_path / "probes.csv", keep_default_na=False)
    assert list(table["model"]) == ["untuned", "tuned"]
    assert list(table["subject"]) == ["", "subj01"]
    for job, row in zip(jobs, table.itertuples(), strict=True):
        found = probes.read_probe_result(job.output)
        share = (found.log_probabilities.argmax(1) == images.labels[images.test]).mean()
        assert row.accuracy == pytest.approx(share)
        assert row.ci_low < share < row.ci_high
        assert (row.n_classes, row.n_test, row.n_train) == (
            3,
            images.test.sum(),
            (~images.test).sum(),
        )
        assert row.converged and row.n_iter > 1
    assert read_json(tmp_path / "probes.csv.json")["seed"] == 3


def test_a_foreign_file_is_no_probe(probed, tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["labels"] = [1]
    with pytest.raises(InputError, match="no probe of a network"):
        probes.read_probe_result(tmp_path / "other.h5")
    with pytest.raises(InputError, match="did you mean|Did you mean"):
        images, jobs, _ = probed
        runtime = choose_runtime("cpu", "float32", threads=1)
        probes.probe_networks(
            jobs[:1], images, PROVENANCE, runtime, probe="p", layer="classifier.55"
        )
