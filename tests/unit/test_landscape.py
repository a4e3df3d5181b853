"""Distances, inPCA and permutation tests of the landscape against closed forms and libraries."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform
from scipy.special import log_softmax

from cortune.errors import InputError
from cortune.landscape.dissimilarity import (
    bhattacharyya,
    bhattacharyya_of_blocks,
    with_references,
)
from cortune.landscape.embeddings import embed, principal_axes
from cortune.landscape.inpca import inpca
from cortune.landscape.predictions import Model
from cortune.landscape.statistics import (
    average_linkage,
    closeness_by_factor,
    closeness_test,
    n_arrangements,
)

SEEDS = st.integers(0, 2**31)


def random_predictions(seed, n_models=5, n_images=17, n_classes=4, spread=2.0):
    random = np.random.default_rng(seed)
    return log_softmax(spread * random.standard_normal((n_models, n_images, n_classes)), axis=-1)


def random_distance(seed, n=8):
    """Return a dissimilarity that is not Euclidean."""
    values = np.random.default_rng(seed).random((n, n))
    distance = values + values.T
    np.fill_diagonal(distance, 0)
    return distance


# ---- dissimilarity


def test_bernoulli_distance_in_closed_form():
    p, q = np.array([0.1, 0.5, 0.9]), np.array([0.4, 0.5, 0.2])
    found = bhattacharyya(np.log(np.stack([np.stack([x, 1 - x], axis=1) for x in (p, q)])))
    expected = -np.log(np.sqrt(p * q) + np.sqrt((1 - p) * (1 - q))).mean()
    np.testing.assert_allclose(found, [[0, expected], [expected, 0]], rtol=1e-14)


def test_gaussian_distance_in_closed_form():
    """Finely binned normal densities: D = d² / 4(s² + t²) + ½ ln((s² + t²) / 2st)."""
    grid = np.linspace(-30, 30, 60_001)
    (mean, s), (other, t) = (0.3, 1.0), (2.0, 1.7)
    logs = np.stack([stats.norm.logpdf(grid, mean, s), stats.norm.logpdf(grid, other, t)])
    found = bhattacharyya(log_softmax(logs, axis=1)[:, None])
    pooled = s**2 + t**2
    expected = (mean - other) ** 2 / (4 * pooled) + np.log(pooled / (2 * s * t)) / 2
    assert found[0, 1] == pytest.approx(expected, rel=1e-9)


@given(seed=SEEDS)
def test_distance_is_the_definition(seed):
    logs = random_predictions(seed)
    p = np.exp(logs)
    direct = -np.log(np.sqrt(p[:, None] * p[None]).sum(-1)).mean(-1)
    found = bhattacharyya(logs)
    np.testing.assert_allclose(found, direct, atol=1e-13)
    assert np.array_equal(found, found.T)
    assert not np.diag(found).any() and (found >= 0).all()


@given(seed=SEEDS, spread=st.sampled_from([1.0, 100.0, 3000.0]))
def test_surer_than_there_are_numbers_is_exact(seed, spread):
    """Against 60 digits; single precision has no probability below e^-104, double below e^-745."""
    logs = random_predictions(seed, n_models=3, n_images=4, spread=spread)
    labels = np.random.default_rng(seed).integers(0, 4, 4)
    found = bhattacharyya(with_references(logs, labels))
    with mpmath.workdps(60):
        models = [[[mpmath.exp(x) for x in image] for image in model] for model in logs.tolist()]
        models.append([[mpmath.mpf(int(c == label)) for c in range(4)] for label in labels])
        models.append([[mpmath.mpf(1) / 4] * 4] * 4)

        def distance(u, v):
            # Rows are normalised, as the definition asks of distributions.
            total = mpmath.mpf(0)
            for p, q in zip(u, v, strict=True):
                affinity = sum(mpmath.sqrt(a * b) for a, b in zip(p, q, strict=True))
                total += mpmath.log(affinity / mpmath.sqrt(sum(p) * sum(q)))
            return float(-total / 4)

        expected = [[distance(u, v) for v in models] for u in models]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@given(seed=SEEDS, cut=st.integers(1, 16), memory_mb=st.sampled_from([1e-9, 1e-3, 100]))
def test_order_and_blocks_of_images_do_not_matter(seed, cut, memory_mb):
    p = random_predictions(seed, spread=[2.0, 2000.0][seed % 2])
    expected = bhattacharyya(p)
    close = {"atol": 1e-13, "rtol": 1e-13}
    order = np.random.default_rng(seed).permutation(p.shape[1])
    blocks = [p[:, order[cut:]], p[:, order[:cut]]]
    found = bhattacharyya_of_blocks(blocks, memory_mb=memory_mb)
    np.testing.assert_allclose(found, expected, **close)
    np.testing.assert_allclose(bhattacharyya(p, memory_mb=memory_mb), expected, **close)
    models = np.random.default_rng(seed).permutation(len(p))
    permuted = bhattacharyya(p[models])
    np.testing.assert_allclose(permuted, expected[np.ix_(models, models)], **close)


def test_single_precision_makes_no_distance():
    p = random_predictions(0, n_images=200, n_classes=50).astype(np.float32)
    twice = bhattacharyya(np.concatenate([p, p]))
    assert np.abs(np.diag(twice, len(p))).max() < 1e-15
    assert (bhattacharyya(np.repeat(p[:1], 3, axis=0)) < 1e-15).all()


def test_truth_and_ignorance_in_closed_form():
    logs, labels = random_predictions(1), np.random.default_rng(2).integers(0, 4, 17)
    distance = bhattacharyya(with_references(logs, labels))
    of_true = logs[:, np.arange(17), labels]
    np.testing.assert_allclose(distance[:-2, -2], -of_true.mean(1) / 2, rtol=1e-12)
    uniform = -np.log(np.sqrt(np.exp(logs) / 4).sum(-1)).mean(1)
    np.testing.assert_allclose(distance[:-2, -1], uniform, rtol=1e-12)
    assert distance[-2, -1] == pytest.approx(np.log(4) / 2)


def test_predictions_without_a_class_in_common_are_refused():
    with np.errstate(divide="ignore"):
        logs = np.log(np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]))
    with pytest.raises(InputError, match="no class in common"):
        bhattacharyya(logs)


@pytest.mark.parametrize(
    ("bad", "match"), [(np.nan, "infinite"), (np.inf, "infinite"), (0.1, "sum to 1")]
)
def test_what_is_no_distribution_is_refused(bad, match):
    p = random_predictions(0)
    p[1, 3, 2] = bad
    with pytest.raises(InputError, match=match):
        bhattacharyya(p)


def test_no_image_is_refused():
    with pytest.raises(InputError, match="none of them zero"):
        bhattacharyya(np.empty((3, 0, 4)))
    with pytest.raises(InputError, match="no block"):
        bhattacharyya_of_blocks([])


# ---- inPCA


def distances(found, n_axes=None):
    """Return the dissimilarities on the first axes, or exactly on all."""
    points, signs = found.coordinates[:, :n_axes], np.sign(found.eigenvalues[:n_axes])
    norms = np.square(points) @ signs
    return norms[:, None] + norms - 2 * (points * signs) @ points.T


def test_inpca_of_a_euclidean_matrix_is_classical_scaling():
    """Squared Euclidean distances: inPCA is PCA of the points."""
    points = np.random.default_rng(0).standard_normal((12, 4)) * [4, 3, 2, 1]
    found = inpca(squareform(pdist(points, "sqeuclidean")))
    centred = points - points.mean(0)
    u, scale, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.coordinates[:, :4]), np.abs(u * scale), atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues[:4], scale**2)
    assert (found.signs == [1] * 4 + [0] * 8).all()
    stress = 1 - np.sqrt(1 - (scale[:2] ** 4).sum() / (scale**4).sum())
    assert found.explained_stress(2) == pytest.approx(stress)
    assert found.explained_stress(4) == pytest.approx(1)


@given(seed=SEEDS, n=st.integers(2, 12))
def test_all_signed_axes_recover_the_distances(seed, n):
    distance = random_distance(seed, n)
    found = inpca(distance)
    np.testing.assert_allclose(distances(found), distance, atol=1e-12)
    assert (np.diff(np.abs(found.eigenvalues)) <= 1e-12).all()
    stress = [found.explained_stress(k) for k in range(n + 1)]
    assert (np.diff(stress) >= 0).all() and stress[-1] == pytest.approx(1)


def test_minkowski_space_has_an_imaginary_axis():
    """Points with planted squared distances x² + y² - t² come back on those axes."""
    random = np.random.default_rng(5)
    points = random.standard_normal((10, 3)) * [3, 2, 1]
    points -= points.mean(0)
    signature = np.array([1, -1, 1])
    distance = (np.square(points[:, None] - points[None]) * signature).sum(-1)
    found = inpca(distance)
    assert (found.signs != 0).sum() == 3 and (found.signs < 0).sum() == 1
    assert found.signs[1] == -1  # the second by extent
    np.testing.assert_allclose(distances(found, 3), distance, atol=1e-10)


def test_signs_do_not_depend_on_the_solver():
    distance = random_distance(4)
    coordinates = inpca(distance).coordinates
    largest = coordinates[np.abs(coordinates).argmax(0), np.arange(8)]
    assert (largest[np.abs(largest) > 1e-6] > 0).all()


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 1)), np.zeros((2, 3)), np.eye(3), np.triu(np.ones((3, 3)), 1)]
)
def test_what_is_no_dissimilarity_is_refused(bad):
    with pytest.raises(InputError, match="dissimilarities"):
        inpca(bad)


# ---- other spaces


def test_mds_recovers_a_plane():
    points = np.random.default_rng(2).standard_normal((15, 3)) * [3, 2, 1]
    (space,) = embed(squareform(pdist(points)), ["mds"], seed=0)
    assert space.explained_stress > 0.999
    np.testing.assert_allclose(np.abs(space.coordinates), np.abs(principal_axes(points)), atol=0.02)
    np.testing.assert_allclose(pdist(principal_axes(points)), pdist(points))


def test_mds_stress_is_that_of_its_distances():
    distance = random_distance(0, 10)
    (space,) = embed(distance, ["mds"], seed=0)
    left = distance - squareform(pdist(space.coordinates))
    expected = 1 - np.linalg.norm(left) / np.linalg.norm(distance)
    assert space.explained_stress == pytest.approx(expected)
    (again,) = embed(distance, ["mds"], seed=0)
    np.testing.assert_array_equal(space.coordinates, again.coordinates)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_models_leave_axes_or_spaces_out(n, caplog):
    spaces = embed(random_distance(n, n), ["inpca", "mds"], seed=0)
    assert [space.name for space in spaces] == (["inpca", "mds"] if n > 2 else ["inpca"])
    assert ("no mds space: 2 models" in caplog.text) == (n == 2)
    for space in spaces:
        assert np.isfinite(space.coordinates).any(0).sum() == min(3, n - 1)


def test_equal_models_are_one_point(caplog):
    (space,) = embed(np.zeros((5, 5)), ["inpca", "mds"], seed=0)
    assert space.name == "inpca" and not space.coordinates.any()
    assert np.isnan(space.explained_stress) and "predict the same" in caplog.text


def test_unknown_space_is_refused():
    with pytest.raises(InputError, match="tsne"):
        embed(random_distance(0), ["tsne"], seed=0)


# ---- permutation tests


def crossed(n_subjects=3, rois=("V1v", "hV4", "PPA"), methods=("contrastive",)):
    return [
        Model(f"{m}{s}{h}{r}", f"subj{s:02d}", h, r, m)
        for m in methods
        for s in range(n_subjects)
        for h in ("lh", "rh")
        for r in rois
    ]


def planted(models, random, **sizes):
    """Return distances of points with an effect of each factor and of each unit."""
    points = random.standard_normal((len(models), 12))
    for factor, size in sizes.items():
        effects: dict[object, np.ndarray] = {}
        for i, model in enumerate(models):
            unit = (model.subject, model.hemisphere, model.roi)
            value = unit if factor == "unit" else getattr(model, factor)
            if value not in effects:
                effects[value] = size * random.standard_normal(12)
            points[i] += effects[value]
    return squareform(pdist(points, "sqeuclidean"))


def test_closeness_by_hand():
    """Four points, two labels, one stratum: 3 partitions, of which the planted is the best."""
    distance = squareform(pdist(np.array([[0.0], [1.0], [10.0], [11.0]])))
    found = closeness_test(distance, list("aabb"), [0] * 4, range(4), n_permutations=3000, seed=0)
    assert found.statistic == pytest.approx(1 - 10)
    assert found.p_value == pytest.approx(1 / 3, abs=0.03)
    halves = [1 - 10.0, 10 - (1 + 1 + 11 + 9) / 4, 10 - (10 + 10 + 1 + 1) / 4]
    assert found.null_mean == pytest.approx(np.mean(halves), abs=0.3)


def test_a_label_without_a_pair_cannot_be_tested():
    distance = random_distance(0, 4)
    arguments = {"n_permutations": 9, "seed": 0}
    assert closeness_test(distance, list("abcd"), [0] * 4, range(4), **arguments) is None
    assert closeness_test(distance, list("aaaa"), [0] * 4, range(4), **arguments) is None


@pytest.mark.parametrize("methods", [("contrastive",), ("contrastive", "regression")])
def test_size_under_the_null(methods):
    """Subjects differ, and units too (methods share their data); nothing else does."""
    models = crossed(n_subjects=6, rois=("V1v", "hV4"), methods=methods)
    p = {"roi": [], "hemisphere": []}
    for seed in range(250):
        random = np.random.default_rng(seed)
        distance = planted(models, random, subject=2.0, unit=2.0)
        table = closeness_by_factor(distance, models, n_permutations=99, seed=seed)
        for factor in p:
            p[factor].append(table.set_index("factor").loc[factor, "p_value"])
    for values in p.values():
        rejected = int((np.array(values) <= 0.05).sum())
        assert stats.binomtest(rejected, 250, 0.05).pvalue > 0.0005
        assert np.mean(values) > 0.45


@pytest.mark.parametrize("factor", ["roi", "hemisphere", "subject", "method"])
def test_a_planted_factor_is_found_and_no_other(factor):
    models = crossed(n_subjects=10, rois=("V1v", "hV4"), methods=("contrastive", "regression"))
    distance = planted(models, np.random.default_rng(7), **{factor: 2.0})
    table = closeness_by_factor(distance, models, n_permutations=999, seed=0)
    p = table.set_index("factor")["p_value"]
    assert p[factor] <= 0.01  # exchanging both labels everywhere is a tie
    assert (p.drop(factor) > 0.01).all()
    row = table.set_index("factor").loc[factor]
    assert row["statistic"] < row["null_mean"]


def test_pooled_and_untuned_models_are_not_tested():
    models = crossed(methods=("contrastive",))
    extra = [Model("untuned", method="untuned"), Model("truth")]
    extra += [Model("pooled", "", "lh", "V1v", "pooled_mean")]
    extra += [Model("loso", "subj00", "lh", "V1v", "pooled_loso")]
    random = np.random.default_rng(0)
    distance = planted([*extra, *models], random)
    kept = closeness_by_factor(distance[4:, 4:], models, n_permutations=99, seed=0)
    found = closeness_by_factor(distance, [*extra, *models], n_permutations=99, seed=0)
    assert found.equals(kept) and (found["n_models"] == len(models)).all()
    assert found.set_index("factor").loc["method", "reason"].startswith("1 label")


def test_confounded_factors_say_what_is_not_held_fixed(caplog):
    models = [
        Model(f"{s}{i}", s, h, f"roi of {s}", "contrastive")
        for s in "ab"
        for i, h in enumerate(("lh", "rh"))
    ]
    table = closeness_by_factor(random_distance(1, 4), models, n_permutations=99, seed=0)
    table = table.set_index("factor")
    assert "no two subjects" in table.loc["roi", "reason"]
    assert table.loc["subject", "held_fixed"] == "hemisphere"
    hemisphere = table.loc["hemisphere"]
    assert (hemisphere["n_arrangements"], hemisphere["p_least"]) == (2, 0.5)
    assert np.isnan(hemisphere["p_value"]) and hemisphere["n_subjects"] == 2
    assert table.loc["method", "reason"] and "method" in caplog.text


def test_number_of_arrangements():
    assert n_arrangements(list("abab"), [0, 0, 1, 1]) == 2
    assert n_arrangements(list("aabb"), [0] * 4) == 3
    assert n_arrangements(list("aabb"), [0, 0, 1, 1]) == 1


@settings(deadline=None)
@given(seed=SEEDS)
def test_linkage_heights_are_mean_distances(seed):
    distance = random_distance(seed, 5)
    tree = average_linkage(distance)
    members = {i: [i] for i in range(5)}
    for step, (a, b, height, size) in enumerate(tree):
        left, right = members[int(a)], members[int(b)]
        members[5 + step] = left + right
        assert height == pytest.approx(distance[np.ix_(left, right)].mean())
        assert size == len(left + right)
