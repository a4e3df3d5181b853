from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortune.artifacts import hdf5_reader
from cortune.data.units import ImageSet
from cortune.errors import ResourceError
from cortune.networks.backbones import build_backbone, normalise
from cortune.networks.device import choose_runtime
from cortune.networks.layers import captured_layers
from cortune.networks.store import save_network
from cortune.versions import Provenance

features = importlib.import_module("cortune.features")  # the package's attribute is a function
LAYERS = ["features.2", "features.12", "classifier.5"]
PROVENANCE = Provenance("extract_features", "1-00000000", 0)


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime("cpu", "float32", threads=1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    return build_backbone("alexnet_small", seed=0).eval()


def centred(x):
    x = np.asarray(x, dtype=np.float64)
    return x - x.mean(0)


def test_grams_equal_inner_products_of_the_features(model, images, runtime):
    rows = np.array([3, 1, 30, 7, 39, 12, 5])
    found = features.extract_layers(model, LAYERS, images, rows, runtime, batch_size=3)
    with torch.no_grad(), captured_layers(model, LAYERS) as outputs:
        model(normalise(torch.from_numpy(images[rows]), model))
    for layer in LAYERS:
        expected = centred(outputs[layer].numpy())
        gram = features.gram_matrix(found[layer])
        np.testing.assert_allclose(gram, expected @ expected.T, atol=1e-4 * np.trace(gram) / 7)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 20), st.integers(1, 30_000), st.floats(-1e3, 1e3), st.integers(0, 99))
def test_gram_is_that_of_centred_features(n, d, offset, seed):
    x = (np.random.default_rng(seed).normal(size=(n, d)) + offset).astype(np.float32)
    expected = centred(x) @ centred(x).T
    np.testing.assert_allclose(features.gram_matrix(x), expected, atol=2e-5 * max(d, 1))


@pytest.mark.parametrize("n", [2, 511, 512, 513, 1100])
def test_gram_by_blocks_of_rows_is_whole(n):
    x = np.random.default_rng(n).normal(size=(n, 70)).astype(np.float32)
    found = features.gram_matrix(x)
    np.testing.assert_allclose(found, centred(x) @ centred(x).T, atol=1e-3)
    np.testing.assert_allclose(found, found.T, atol=1e-9)


def test_gram_of_a_memory_map_is_that_of_the_array(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 9000)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    np.testing.assert_array_equal(features.gram_matrix(mapped), features.gram_matrix(x))


def test_every_image_passes_the_network_exactly_once(model, images, runtime):
    passed = []
    handle = model.register_forward_hook(lambda _m, inputs, _o: passed.append(len(inputs[0])))
    try:
        features.extract_layers(model, LAYERS, images, np.arange(40), runtime, batch_size=16)
    finally:
        handle.remove()
    assert sum(passed) == 40


def test_batch_size_does_not_matter(model, images, runtime):
    rows = np.arange(20)
    one, other = (
        features.gram_matrix(
            features.extract_layers(model, LAYERS, images, rows, runtime, batch_size=b)[
                "features.12"
            ]
        )
        for b in (20, 7)
    )
    np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(one).max())


def products(model, images, runtime, space, layers=LAYERS, **options):
    """Products of 40 images by layer, and how many images passed the network for them."""
    passed = []
    handle = model.register_forward_hook(lambda _m, inputs, _o: passed.append(len(inputs[0])))
    try:
        found = dict(
            features.extract_products(
                model, layers, images, np.arange(40), runtime, batch_size=16, space=space, **options
            )
        )
    finally:
        handle.remove()
    return found, sum(passed)


# features.0 has 32768 features, four blocks; features.2 one, features.12 one, classifier.5 one.
WIDE = ["features.0", *LAYERS]
BLOCK = 4 * 40 * features.COLUMN_BLOCK


@pytest.mark.parametrize(
    ("memory", "scratch", "n_passes"),
    [(1e9, 1e9, 1), (1, 1e9, 1), (1, 4 * BLOCK, 2), (1, 3 * BLOCK, 2), (1, BLOCK, 6), (1, 1, 7)],
)
def test_the_network_runs_as_often_as_scratch_space_asks(
    model, images, runtime, tmp_path, monkeypatch, memory, scratch, n_passes
):
    files = []
    allocate = features.allocate

    def watched(file, n_bytes, *more):
        files.append(n_bytes)
        allocate(file, n_bytes, *more)

    monkeypatch.setattr(features, "allocate", watched)
    whole, once = products(model, images, runtime, features.Space(), WIDE)
    space = features.Space(memory, scratch, tmp_path)
    found, passed = products(model, images, runtime, space, WIDE)
    assert (once, passed) == (40, 40 * n_passes)
    assert len(files) == (0 if memory > 1 else n_passes)
    assert all(n <= max(scratch, BLOCK) for n in files)
    for layer in WIDE:
        for name, value in vars(whole[layer][0]).items():
            np.testing.assert_array_equal(vars(found[layer][0])[name], value)
    assert list(tmp_path.iterdir()) == []


def test_products_are_those_of_features_in_memory(model, images, runtime):
    held = features.extract_layers(model, WIDE, images, np.arange(40), runtime, batch_size=16)
    some = np.array([4, 30, 2])
    found, _ = products(
        model, images, runtime, features.Space(1, 2e6), WIDE, groups=[np.arange(40), some]
    )
    for layer, raw in held.items():
        for group, each in zip((np.arange(40), some), found[layer], strict=True):
            x = raw[group].astype(np.float64)
            scale = (x**2).sum(1).max()
            expected = centred(x) @ centred(x).T
            np.testing.assert_allclose(each.gram, expected, atol=1e-6 * scale)
            np.testing.assert_allclose(each.means, x.mean(1), atol=1e-6 * np.abs(x).max())
            uncentred = each.gram + each.to_mean[:, None] + each.to_mean - each.to_mean.mean()
            np.testing.assert_allclose(uncentred, x @ x.T, atol=2e-6 * scale)
            assert each.n_features == x.shape[1]


def test_a_disk_too_full_for_the_scratch_file_is_named(model, images, runtime, tmp_path):
    space = features.Space(1, 1e18, tmp_path)
    with pytest.raises(ResourceError, match=r"features\.scratch_gb"):
        space.blocks(10**9, [(0, slice(0, 8192))])


def test_artifact_holds_grams_images_and_what_was_tuned_on(model, images, runtime, tmp_path):
    save_network(
        tmp_path / "n.safetensors",
        model,
        PROVENANCE,
        num_classes=20,
        tuned_on=["nsd:00099"],
    )
    identities = tuple(f"stim:ü{i}.png" for i in range(40))
    sets = np.array(["test"] * 30 + ["tune"] * 10)
    chosen = ImageSet(images, np.arange(40), identities, sets)
    features.extract_features(
        tmp_path / "n.safetensors", LAYERS, chosen, tmp_path / "g.h5", PROVENANCE, runtime
    )
    with hdf5_reader(tmp_path / "g.h5") as file:
        grams = features.Grams(file)
        assert list(grams) == LAYERS
        assert grams.identities.tolist() == list(identities)
        assert grams.sets.tolist() == sets.tolist()
        assert grams.tuned_on.tolist() == ["nsd:00099"]
        assert grams["classifier.5"].shape == (40, 40)
        np.testing.assert_allclose(grams["classifier.5"].sum(0), 0, atol=1e-2)
        assert file["layers/features.2"].attrs["n_features"] == 32 * 16 * 16
        raw = features.extract_layers(model, LAYERS, images, np.arange(40), runtime)
        for layer, values in raw.items():
            found = grams.products(layer)
            np.testing.assert_array_equal(found.gram, grams[layer])
            np.testing.assert_allclose(found.means, values.mean(1), atol=1e-5)
