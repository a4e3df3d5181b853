from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score

from cortune.artifacts import hdf5_reader
from cortune.encoding import Settings, encode_unit, read_encoding, read_partition, write_encoding
from cortune.encoding.banded import ALL, ALL_LAYERS, encode_all_layers
from cortune.errors import InputError
from cortune.versions import Provenance

ALPHAS = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
SETTINGS = Settings(ALPHAS, n_components=10_000)
N = 80
SETS = {"test": np.arange(N)}


@pytest.fixture(scope="module")
def features():
    random = np.random.default_rng(0)
    return {f"layer{i}": random.standard_normal((N, d)) for i, d in enumerate((30, 60, 25))}


@pytest.fixture(scope="module")
def grams(features):
    return {name: (x - x.mean(0)) @ (x - x.mean(0)).T for name, x in features.items()}


def responses(x, n_targets, noise, seed=1):
    random = np.random.default_rng(seed)
    y = x @ random.standard_normal((x.shape[1], n_targets)) / x.shape[1] ** 0.5
    return (y + noise * random.standard_normal(y.shape)).astype(np.float32)


def test_one_layer_alone_is_ridge_with_that_layer(features, grams):
    Y = responses(features["layer0"], 7, 0.5)
    only = {"layer0": grams["layer0"]}
    joint = encode_all_layers(only, Y, SETS, SETTINGS, n_folds=4).encoding
    single = encode_unit(only, Y, SETS, SETTINGS, protocols=["heldout_cv"], n_folds=4)["heldout_cv"]
    # himalaya keeps the outer fold's centring in the inner folds: a near tie may go either way.
    difference = np.abs(joint.r - single.r)
    assert np.median(difference) < 1e-5 and difference.max() < 0.01
    # All of its variance counts twice, of the other's a share.
    assert 1 <= np.ptp(joint.interval) / np.ptp(single.interval) < 1.05 * 2**0.5
    assert joint.n_images_scored == single.n_images_scored
    assert joint.layers == (ALL,) and joint.layer == ALL


def test_the_layer_that_drives_a_voxel_gets_its_variance(features, grams):
    Y = np.concatenate([responses(features[f"layer{i}"], 5, 0.3, seed=i) for i in (0, 2)], axis=1)
    found = encode_all_layers(grams, Y, SETS, SETTINGS, n_folds=4, n_iter=12)
    assert found.layers == tuple(grams)
    assert (found.partition[:, :5].mean(1).argmax(), found.partition[:, 5:].mean(1).argmax()) == (
        0,
        2,
    )


def test_voxels_of_two_layers_are_predicted_better_than_by_either(features, grams):
    Y = responses(features["layer0"], 20, 0.1) + responses(features["layer2"], 20, 0.1, seed=5)
    joint = encode_all_layers(grams, Y, SETS, SETTINGS, n_folds=4, n_iter=20).encoding
    single = encode_unit(grams, Y, SETS, SETTINGS, protocols=["heldout_cv"], n_folds=4)
    assert joint.r.mean() > single["heldout_cv"].r_layers.mean(1).max() + 0.05


def test_parts_sum_to_the_joint_r2(features, grams, monkeypatch):
    from himalaya import scoring

    Y = responses(features["layer1"], 4, 0.3)
    seen = []
    original = scoring.r2_score_split

    def watch(truth, parts):
        seen.append((truth, parts.sum(0)))
        return original(truth, parts)

    monkeypatch.setattr(scoring, "r2_score_split", watch)
    found = encode_all_layers(grams, Y, SETS, SETTINGS, n_folds=4, n_iter=6)
    joint = np.mean([r2_score(t, p, multioutput="raw_values") for t, p in seen], axis=0)
    np.testing.assert_allclose(found.partition.sum(0), joint, atol=1e-4)


def test_noise_scores_nothing_and_a_constant_voxel_has_no_score(grams):
    Y = np.random.default_rng(3).standard_normal((N, 300)).astype(np.float32)
    Y[:, 7] = 2.0
    found = encode_all_layers(grams, Y, SETS, SETTINGS, n_folds=4, n_iter=6)
    assert np.flatnonzero(np.isnan(found.encoding.r)).tolist() == [7]
    assert np.isnan(found.partition[:, 7]).all()
    assert abs(np.nanmean(found.encoding.r)) < 0.03
    low, high = found.encoding.interval
    assert low <= np.nanmean(found.encoding.r) <= high


def test_the_artifact_holds_the_partition_beside_the_protocols(features, grams, tmp_path):
    Y = responses(features["layer0"], 3, 0.5)
    joint = encode_all_layers(grams, Y, SETS, SETTINGS, n_folds=4, n_iter=4)
    provenance = Provenance("encode_roi", "1-00000000", 0)
    write_encoding(tmp_path / "e.h5", {ALL_LAYERS: joint.encoding}, provenance, joint)
    assert list(read_encoding(tmp_path / "e.h5")) == [ALL_LAYERS]
    parts = read_partition(tmp_path / "e.h5")
    assert list(parts) == list(grams)
    np.testing.assert_array_equal(np.stack(list(parts.values())), joint.partition)
    with hdf5_reader(tmp_path / "e.h5") as file:
        assert len(file) == 2


def test_a_gram_of_other_images_is_refused(grams):
    with pytest.raises(InputError, match="layer0"):
        encode_all_layers({"layer0": np.eye(5)}, np.zeros((N, 2)), SETS, SETTINGS)
