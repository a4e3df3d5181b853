"""CKA and RSA against rsatoolbox, closed forms and brute force."""

from itertools import permutations

import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, compare

from cortune.features import LayerProducts
from cortune.similarity import (
    CKA,
    RSA,
    Relations,
    between,
    ceiling,
    intervals,
    repeat_ceiling,
    similarity,
)


def systems(n=24, p=40, q=7, seed=0):
    random = np.random.default_rng(seed)
    shared = random.normal(size=(n, 5))
    X = shared @ random.normal(size=(5, p)) + random.normal(size=(n, p)) + random.normal(size=p)
    Y = shared @ random.normal(size=(5, q)) + random.normal(size=(n, q)) + 3
    return X, Y


def products_of(X):
    centred = X - X.mean(0)
    return LayerProducts(centred @ centred.T, X.mean(1), X @ X.mean(0), X.shape[1])


def test_relations_follow_from_the_products_that_are_stored():
    X, _ = systems()
    direct, stored = Relations.of_values(X), Relations.of_layer(products_of(X))
    np.testing.assert_allclose(stored.gram, direct.gram, atol=1e-10)
    np.testing.assert_allclose(stored.distances, direct.distances, atol=1e-10)
    np.testing.assert_allclose(
        direct.distances, (1 - np.corrcoef(X))[np.triu_indices(len(X), 1)], atol=1e-12
    )


def test_rsa_is_rsatoolbox():
    X, Y = systems()
    rdms = [calc_rdm(Dataset(each), method="correlation") for each in (X, Y)]
    expected = compare(*rdms, method="spearman").item()
    found = similarity(Relations.of_layer(products_of(X)), Relations.of_values(Y), RSA)
    assert found == pytest.approx(expected, abs=1e-10)


def test_cka_with_its_bias_is_rsatoolbox():
    """Cosine of whitened squared distances is CKA (Diedrichsen et al. 2021): the same Gram."""
    X, Y = systems()
    rdms = [calc_rdm(Dataset(each), method="euclidean") for each in (X, Y)]
    expected = compare(*rdms, method="cosine_cov").item()
    K, L = (Relations.of_values(each).gram for each in (X, Y))
    assert (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum()) == pytest.approx(expected)


def test_debiased_cka_is_the_u_statistic():
    """HSIC over all quadruples of different images (Song et al. 2012, eq. 3), by brute force."""
    X, Y = systems(n=7)
    K, L = (Relations.of_values(each).gram for each in (X, Y))

    def hsic(a, b):
        terms = [
            a[i, j] * (b[i, j] + b[k, m] - 2 * b[i, k]) for i, j, k, m in permutations(range(7), 4)
        ]
        return np.mean(terms)

    expected = hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))
    found = similarity(Relations.of_values(X), Relations.of_values(Y), CKA)
    assert found == pytest.approx(expected, abs=1e-10)


def test_many_features_of_noise_are_alike_to_nothing():
    random = np.random.default_rng(1)
    found = [
        similarity(
            Relations.of_values(random.normal(size=(40, 2000))),
            Relations.of_values(random.normal(size=(40, 500))),
            CKA,
        )
        for _ in range(20)
    ]
    assert abs(np.mean(found)) < 0.02


@pytest.mark.parametrize("measure", [CKA, RSA])
def test_copies_of_images_and_weights_are_one_thing(measure):
    """An interval's sample is the similarity of the images drawn, without pairs of copies."""
    X, Y = systems(n=12)
    from cortune import similarity as module

    weights = np.array([2.0, 1, 0, 3, 1, 1, 1, 0, 1, 2, 0, 0])
    X, Y = Relations.of_values(X), Relations.of_values(Y)
    found = (module._cka if measure == CKA else module._rsa)([X], Y, np.array([weights]))[0, 0]
    copies = np.repeat(np.arange(12), weights.astype(int))
    if measure == RSA:
        full = [np.zeros((12, 12)) for _ in range(2)]
        for each, relations in zip(full, (X, Y), strict=True):
            each[np.triu_indices(12, 1)] = relations.distances
            each += each.T
        i, j = np.triu_indices(len(copies), 1)
        different = copies[i] != copies[j]
        pairs = [each[copies[i], copies[j]][different] for each in full]
        from scipy.stats import spearmanr

        expected = spearmanr(*pairs).statistic
    else:  # row effects by least squares over pairs of different images
        different = copies[:, None] != copies
        centred = []
        for relations in (X, Y):
            K = relations.gram[np.ix_(copies, copies)]
            a = np.zeros(len(copies))
            for _ in range(3000):
                a += ((K - a[:, None] - a) * different).sum(1) / different.sum(1) / 2
            centred.append((K - a[:, None] - a)[different])
        expected = centred[0] @ centred[1]
        expected /= np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("measure", [CKA, RSA])
def test_intervals_hold_the_estimate_and_narrow_with_images(measure):
    widths = []
    for n in (30, 120):
        X, Y = (Relations.of_values(each) for each in systems(n=n))
        (low, high) = intervals([X], Y, measure, 200, 0)[0]
        assert low < similarity(X, Y, measure) < high
        widths.append(high - low)
    assert widths[1] < 0.7 * widths[0]
    np.testing.assert_array_equal(
        intervals([X, X], Y, measure, 50, 3)[0], intervals([X], Y, measure, 50, 3)[0]
    )


def test_the_ceiling_is_the_likeness_of_subjects():
    X, Y = (Relations.of_values(each) for each in systems())
    for measure in (CKA, RSA):
        assert ceiling(X, [X, X], measure) == pytest.approx(1)
        assert ceiling(X, [Y], measure) == pytest.approx(similarity(X, Y, measure))
        assert np.isnan(ceiling(X, [], measure))


@pytest.mark.parametrize(("noise", "n_voxels"), [(0.7, 30), (1.5, 200), (3.0, 200)])
def test_repeats_say_how_alike_noiseless_responses_are(noise, n_voxels):
    """Which are at hand here: CKA is met on average, RSA from below."""
    random = np.random.default_rng(0)
    found = {CKA: [], RSA: []}
    for _ in range(10):
        true = random.normal(size=(100, 8)) @ random.normal(size=(8, n_voxels)) / 3
        trials = true + noise * random.normal(size=(3, 100, n_voxels))
        halves = [Relations.of_values(each) for each in (trials[[0, 2]].mean(0), trials[1])]
        mean = Relations.of_values(trials.mean(0))
        for measure, each in found.items():
            known = similarity(Relations.of_values(true), mean, measure)
            each.append((repeat_ceiling(halves, mean, measure), known))
    for measure, each in found.items():
        estimated, known = np.mean(each, 0)
        assert known - 0.12 < estimated < known + 0.01
        if measure == CKA:
            assert estimated == pytest.approx(known, abs=0.01)


def test_noise_alone_has_no_ceiling():
    random = np.random.default_rng(0)
    first, second = (Relations.of_values(random.normal(size=(60, 40))) for _ in range(2))
    for measure in (CKA, RSA):
        assert 0 <= repeat_ceiling([first, second], first, measure) < 0.3
        assert repeat_ceiling([first, first], first, measure) == pytest.approx(1)


def test_networks_are_compared_in_pairs():
    X, Y = (Relations.of_values(each) for each in systems())
    vectors = np.array([each.vector(CKA) for each in (X, Y, X)])
    found = {(a, b): value for a, b, value in between("xyz", vectors)}
    assert list(found) == [("x", "y"), ("x", "z"), ("y", "z")]
    assert found["x", "z"] == pytest.approx(1)
    assert found["x", "y"] == pytest.approx(similarity(X, Y, CKA))


def test_some_of_the_images():
    X, _ = systems()
    rows = np.array([3, 1, 8, 20, 5])
    part, direct = Relations.of_values(X).only(rows), Relations.of_values(X[rows])
    np.testing.assert_allclose(part.distances, direct.distances, atol=1e-12)
    np.testing.assert_allclose(part.off_diagonal, direct.off_diagonal, atol=1e-12)


def test_gains_are_over_the_untuned_network_of_the_unit():
    import pandas as pd

    from cortune.report.similarity import by_layer, gains, rank_correlation

    unit = ("nsd", "subj01", "lh")
    rows = [
        (*unit, f"roi{number}", method, layer, "cka", value + 0.1 * number * (method != "untuned"))
        for number in range(6)
        for method in ("untuned", "contrastive")
        for layer, value in (("a", 0.1), ("b", 0.2))
    ]
    table = pd.DataFrame(rows, columns=[*_NAMES, "layer", "measure", "value"])
    scores = [
        (*unit, f"roi{number}", method, "heldout_cv", 0.3 + 0.01 * number * (method != "untuned"))
        for number in range(6)
        for method in ("untuned", "contrastive")
    ]
    units = pd.DataFrame(scores, columns=[*_NAMES, "protocol", "r_mean"])
    found = gains(table, units)
    np.testing.assert_allclose(found["similarity"], 0.1 * np.arange(6), atol=1e-12)
    np.testing.assert_allclose(found["r"], 0.01 * np.arange(6), atol=1e-12)
    assert rank_correlation(found) == pytest.approx(1)
    assert by_layer(pd.concat([table, table.assign(measure="rsa")])) is not None


_NAMES = ["dataset", "subject", "hemisphere", "roi", "method"]
