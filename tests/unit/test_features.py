from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortune import features
from cortune.artifacts import hdf5_reader
from cortune.data.units import ImageSet
from cortune.networks.backbones import build_backbone, normalise
from cortune.networks.device import choose_runtime
from cortune.networks.layers import captured_layers
from cortune.networks.store import save_network
from cortune.versions import Provenance

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
        model(normalise(torch.from_numpy(images[rows])))
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


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("n", [2, 511, 512, 513, 1100])
def test_gram_by_blocks_of_rows_is_whole_on_either_path(device, n):
    x = np.random.default_rng(n).normal(size=(n, 70)).astype(np.float32)
    found = features.gram_matrix(x, device=device)
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


def test_a_scratch_file_serves_when_memory_does_not(model, images, runtime, tmp_path):
    rows = np.arange(10)
    in_memory = features.extract_layers(model, LAYERS, images, rows, runtime)
    on_disk = features.extract_layers(
        model, LAYERS, images, rows, runtime, memory=1, scratch=tmp_path
    )
    for layer in LAYERS:
        assert isinstance(on_disk[layer], np.memmap)
        np.testing.assert_array_equal(on_disk[layer], in_memory[layer])
    assert list(tmp_path.iterdir()) == []


def test_artifact_holds_grams_images_and_what_was_tuned_on(model, images, runtime, tmp_path):
    save_network(
        tmp_path / "n.safetensors",
        model,
        PROVENANCE,
        name="alexnet_small",
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
