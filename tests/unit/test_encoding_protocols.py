"""Protocols against plain loops over raw features, and what must never leak."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from cortune.encoding.folds import fit_test, heldout_cv, published, tune_test
from cortune.encoding.protocols import Settings, _most_chosen, encode_unit, size_curve
from cortune.errors import InputError

ALPHAS = np.logspace(-1, 5, 7)
SETTINGS = Settings(ALPHAS, n_components=25)
N = {"tune": 70, "validation": 30, "test": 63}
ENDS = np.cumsum(list(N.values()))
SETS = {name: np.arange(end - n, end) for (name, n), end in zip(N.items(), ENDS, strict=True)}


@pytest.fixture(scope="module")
def data():
    """Return raw features of three layers and responses to one of them, with noise."""
    rng = np.random.default_rng(0)
    X = {
        name: np.maximum(rng.standard_normal((ENDS[-1], d)), 0) * np.arange(1, d + 1) ** -0.5
        for name, d in {"conv1": 200, "conv2": 120, "fc": 20}.items()
    }
    Y = sum((x - x.mean(0)) @ rng.standard_normal((x.shape[1], 9)) * w
            for x, w in zip(X.values(), (0.4, 1.0, 0.9), strict=True))  # fmt: skip
    return X, Y + 1.5 * Y.std(0) * rng.standard_normal(Y.shape)


def grams(X):
    """Return the Grams as `extract_features` writes them: centred, float32."""
    return {
        layer: ((x - x.mean(0)) @ (x - x.mean(0)).T).astype(np.float32) for layer, x in X.items()
    }


def reference_scores(x, Y, split):
    """Return r (n_alphas, n_targets) of one model, by scikit-learn and scipy."""
    fit, score = list(split.fit), list(split.score)
    pca = PCA(min(25, len(fit), x.shape[1]), svd_solver="full").fit(x[fit])
    rows = []
    for alpha in ALPHAS:
        model = Ridge(alpha).fit(pca.transform(x[fit]), Y[fit])
        predicted = model.predict(pca.transform(x[score]))
        rows.append([pearsonr(Y[score, v], predicted[:, v])[0] for v in range(Y.shape[1])])
    return np.array(rows)


def test_published_is_the_published_loop(data):
    X, Y = data
    result = encode_unit(grams(X), Y, SETS, SETTINGS, protocols=["published"])["published"]
    order = published(SETS, 5, 0)
    best_mean, chosen = -1.0, None
    for index, (layer, x) in enumerate(X.items()):
        over_folds = sum(reference_scores(x, Y, split) for split in order.outer) / 5
        accuracy, alpha = over_folds.max(0), ALPHAS[over_folds.argmax(0)]
        assert np.abs(result.r_layers[index] - accuracy).max() < 1e-4
        np.testing.assert_allclose(result.alpha_layers[index], alpha)
        if accuracy.mean() > best_mean:
            best_mean, chosen = accuracy.mean(), (layer, accuracy, alpha)
    assert result.layer == chosen[0]
    assert np.abs(result.r - chosen[1]).max() < 1e-4
    np.testing.assert_allclose(result.alpha, chosen[2])
    assert (result.n_images_fit, result.n_images_scored) == (63 - 12, 60)


def test_heldout_cv_is_a_nested_loop(data):
    X, Y = data
    result = encode_unit(grams(X), Y, SETS, SETTINGS, protocols=["heldout_cv"])["heldout_cv"]
    plan = heldout_cv(SETS, 5, 0)
    voxels = np.arange(Y.shape[1])
    r, by_layer = np.zeros(Y.shape[1]), {layer: np.zeros(Y.shape[1]) for layer in X}
    for fold, (outer, inner) in enumerate(zip(plan.outer, plan.inner, strict=True)):
        selection = {}
        for layer, x in X.items():
            scores = np.mean([reference_scores(x, Y, split) for split in inner], axis=0)
            choice = scores.argmax(0)
            selection[layer] = scores.max(0).mean(), reference_scores(x, Y, outer)[choice, voxels]
            by_layer[layer] += selection[layer][1] / 5
        layer = max(selection, key=lambda name: selection[name][0])
        assert result.fold_layers[fold] == layer
        r += selection[layer][1] / 5
    assert np.abs(result.r - r).max() < 1e-4
    for ours, expected in zip(result.r_layers, by_layer.values(), strict=True):
        assert np.abs(ours - expected).max() < 1e-4


def test_tune_test_fits_chooses_and_scores_on_three_sets(data):
    X, Y = data
    result = encode_unit(grams(X), Y, SETS, SETTINGS, protocols=["tune_test"])["tune_test"]
    plan = tune_test(SETS, 5, 0)
    for index, x in enumerate(X.values()):
        choice = reference_scores(x, Y, plan.inner[0][0]).argmax(0)
        expected = reference_scores(x, Y, plan.outer[0])[choice, np.arange(Y.shape[1])]
        assert np.abs(result.r_layers[index] - expected).max() < 1e-4
        np.testing.assert_allclose(result.alpha_layers[index], ALPHAS[choice])
    assert result.n_images_fit == 70


def test_fit_test_chooses_by_folds_of_its_own_images_and_scores_the_test_images(data):
    X, Y = data
    sets = {"fit": SETS["tune"], "test": SETS["test"]}
    result = encode_unit(grams(X), Y, sets, SETTINGS, protocols=["fit_test"])["fit_test"]
    plan, chosen = fit_test(sets, 5, 0), {}
    for index, (layer, x) in enumerate(X.items()):
        selection = np.mean([reference_scores(x, Y, split) for split in plan.inner[0]], axis=0)
        choice = selection.argmax(0)
        expected = reference_scores(x, Y, plan.outer[0])[choice, np.arange(Y.shape[1])]
        assert np.abs(result.r_layers[index] - expected).max() < 1e-4
        np.testing.assert_allclose(result.alpha_layers[index], ALPHAS[choice])
        chosen[layer] = selection.max(0).mean(), expected
    layer = max(chosen, key=lambda name: chosen[name][0])
    assert result.layer == layer
    assert np.abs(result.r - chosen[layer][1]).max() < 1e-4
    assert (result.n_images_fit, result.n_images_scored) == (70, 63)


def test_the_size_curve_takes_images_that_no_network_saw_where_there_are_some(data):
    X, Y = data
    sets = {"tune": SETS["validation"], "fit": SETS["tune"], "test": SETS["test"]}
    curve = size_curve(grams(X), Y, sets, SETTINGS, sizes=[20, 1000])
    assert list(curve) == [20, len(SETS["tune"])]
    unseen = size_curve(grams(X), Y, {k: sets[k] for k in ("fit", "test")}, SETTINGS, sizes=[20])
    np.testing.assert_array_equal(curve[20].r, unseen[20].r)


def test_protocols_run_together_or_alone_say_the_same(data):
    X, Y = data
    together = encode_unit(
        grams(X), Y, SETS, SETTINGS, protocols=["heldout_cv", "published", "tune_test"]
    )
    for name, result in together.items():
        alone = encode_unit(grams(X), Y, SETS, SETTINGS, protocols=[name])[name]
        np.testing.assert_allclose(result.r, alone.r, atol=1e-6)
        np.testing.assert_allclose(result.interval_layers, alone.interval_layers, atol=1e-5)


@pytest.mark.parametrize("fold", range(5))
def test_canary_heldout_choices_ignore_the_fold_they_are_scored_on(data, fold):
    """Altering everything about a fold changes its scores and none of its choices."""
    X, Y = data
    rng = np.random.default_rng(1)
    images = list(heldout_cv(SETS, 5, 0).outer[fold].score)
    altered_Y = Y.copy()
    altered_Y[images] = 100 * rng.standard_normal((len(images), Y.shape[1]))
    altered_X = {layer: x.copy() for layer, x in X.items()}
    for x in altered_X.values():
        x[images] = rng.standard_normal((len(images), x.shape[1]))
    before = encode_unit(grams(X), Y, SETS, SETTINGS)
    # float64 Grams: centring all images together would move every entry by rounding.
    after = encode_unit({k: x @ x.T for k, x in altered_X.items()}, altered_Y, SETS, SETTINGS)
    ours, ours_after = before["heldout_cv"], after["heldout_cv"]
    assert ours.fold_layers[fold] == ours_after.fold_layers[fold]
    np.testing.assert_array_equal(ours.fold_alpha[fold], ours_after.fold_alpha[fold])
    assert np.abs(ours.r - ours_after.r).max() > 0.05
    # The canary can sing: the published protocol's choices do move.
    assert (before["published"].fold_alpha[fold] != after["published"].fold_alpha[fold]).any()


def test_noise_is_predicted_at_chance_by_the_default_and_above_it_by_the_published_protocol():
    rng = np.random.default_rng(0)
    decay = 10.0 / np.arange(1, 61)
    X = {layer: rng.standard_normal((100, 60)) * decay for layer in "abcd"}
    Y = rng.standard_normal((100, 400))  # standard error of a mean r: 0.005
    results = encode_unit(grams(X), Y, {"test": np.arange(100)}, SETTINGS)
    assert abs(results["heldout_cv"].r.mean()) < 0.02
    assert results["published"].r.mean() > 0.03


def test_torch_gives_the_numbers_of_numpy(data):
    X, Y = data
    protocols = ["heldout_cv", "published", "tune_test"]
    expected = encode_unit(grams(X), Y, SETS, SETTINGS, protocols=protocols)
    device = Settings(ALPHAS, n_components=25, device="cpu")
    found = encode_unit(grams(X), Y, SETS, device, protocols=protocols)
    for name, result in found.items():
        np.testing.assert_allclose(result.r_layers, expected[name].r_layers, atol=1e-5)
        np.testing.assert_array_equal(result.alpha_layers, expected[name].alpha_layers)
        np.testing.assert_allclose(
            result.interval_layers, expected[name].interval_layers, atol=1e-5
        )
        assert isinstance(result.r, np.ndarray)


def test_blocks_of_targets_do_not_change_the_result(data):
    X, Y = data
    whole = encode_unit(grams(X), Y, SETS, SETTINGS)
    little = Settings(ALPHAS, n_components=25, memory=1)
    for name, result in encode_unit(grams(X), Y, SETS, little).items():
        np.testing.assert_allclose(result.r, whole[name].r, atol=1e-6)
        np.testing.assert_allclose(result.interval, whole[name].interval, atol=1e-6)


def test_constant_and_null_voxels_are_kept_empty(data):
    X, Y = data
    Y = Y.copy()
    Y[:, 2] = 0.7  # constant everywhere
    first_fold = list(published(SETS, 5, 0).outer[0].score)
    Y[first_fold, 5] = -1.0  # constant in one fold
    for result in encode_unit(grams(X), Y, SETS, SETTINGS).values():
        assert np.isnan(result.r).tolist() == [v in (2, 5) for v in range(9)]
        assert np.isnan(result.r_layers[:, [2, 5]]).all()
        assert np.isnan(result.alpha[2])
    without = np.delete(Y, [2, 5], axis=1)
    expected = encode_unit(grams(X), without, SETS, SETTINGS)
    for name, result in encode_unit(grams(X), Y, SETS, SETTINGS).items():
        np.testing.assert_allclose(
            result.interval_layers, expected[name].interval_layers, atol=1e-6
        )


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_nothing_to_predict_gives_empty_scores_and_no_layer(data):
    X, _ = data
    for result in encode_unit(grams(X), np.ones((ENDS[-1], 2)), SETS, SETTINGS).values():
        assert result.layer == ""
        assert np.isnan(result.r).all()
        assert np.isnan(result.interval).all()


def test_a_dead_layer_never_wins(data):
    X, Y = data
    dead = {"dead": np.zeros((ENDS[-1],) * 2, dtype=np.float32), **grams(X)}
    for result in encode_unit(dead, Y, SETS, SETTINGS).values():
        assert np.isnan(result.r_layers[0]).all()
        assert np.isfinite(result.r).all()
        assert "dead" not in result.fold_layers


def test_the_reported_layer_is_the_most_chosen_and_of_equals_the_better():
    scores = {"a": 0.3, "b": 0.2, "c": 0.1}
    assert _most_chosen(["b", "c", "c", "a", "c"], scores) == "c"
    assert _most_chosen(["c", "b", "b", "c", "a"], scores) == "b"


def test_intervals_hold_the_mean(data):
    X, Y = data
    for result in encode_unit(grams(X), Y, SETS, SETTINGS).values():
        assert result.interval[0] < result.r.mean() < result.interval[1]
        means = result.r_layers.mean(1)
        assert (result.interval_layers[:, 0] <= means).all()
        assert (result.interval_layers[:, 1] >= means).all()


def test_layers_are_in_memory_one_at_a_time(data):
    X, Y = data
    arrays = grams(X)

    alive = []

    class Lazy(Mapping):
        def __getitem__(self, layer):
            gc.collect()
            assert all(reference() is None for reference in alive)
            gram = arrays[layer].copy()
            alive.append(weakref.ref(gram))
            return gram

        def __iter__(self):
            return iter(arrays)

        def __len__(self):
            return len(arrays)

    encode_unit(Lazy(), Y, SETS, SETTINGS)
    assert len(alive) == 3


def test_size_curve_grows_with_nested_subsets_of_the_tuning_images(data):
    X, Y = data
    curve = size_curve(grams(X), Y, SETS, SETTINGS, sizes=[70, 15, 40, 500], n_folds=5)
    assert list(curve) == [15, 40, 70]
    assert [result.n_images_fit for result in curve.values()] == [15, 40, 70]
    assert all(result.n_images_scored == 63 for result in curve.values())
    assert curve[15].r.mean() < curve[70].r.mean()
    again = size_curve(grams(X), Y, SETS, SETTINGS, sizes=[15], n_folds=5)[15]
    np.testing.assert_allclose(again.r, curve[15].r, atol=1e-6)


def test_size_curve_ignores_responses_outside_the_subset_and_the_test_images(data):
    X, Y = data
    altered = Y.copy()
    altered[SETS["validation"]] = 1e3
    before = size_curve(grams(X), Y, SETS, SETTINGS, sizes=[40])[40]
    after = size_curve(grams(X), altered, SETS, SETTINGS, sizes=[40])[40]
    np.testing.assert_array_equal(before.r, after.r)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n=st.integers(15, 40),
    d=st.integers(1, 60),
    n_targets=st.integers(1, 3),
    n_components=st.integers(1, 50),
    seed=st.integers(0, 2**31),
    wide=st.booleans(),
)
def test_any_small_unit_is_encoded(n, d, n_targets, n_components, seed, wide):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (n, d)).astype(np.float64 if wide else np.float32)
    Y = rng.integers(0, 3, (n, n_targets)).astype(x.dtype)
    settings = Settings([0.1, 10.0], n_components=n_components)
    for result in encode_unit({"a": x @ x.T}, Y, {"test": np.arange(n)}, settings).values():
        defined = np.isfinite(result.r)
        assert (np.abs(result.r[defined]) <= 1).all()
        if np.isfinite(result.interval).all():
            assert result.interval[0] <= result.r[defined].mean() + 1e-6
            assert result.interval[1] >= result.r[defined].mean() - 1e-6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Y": np.full((163, 2), np.nan)}, "2 of 2 voxels with a NaN"),
        ({"Y": np.zeros((163, 0))}, r"shape \(163, 0\)"),
        ({"Y": np.zeros((100, 2))}, "position 162"),
        ({"grams": {"a": np.zeros((163, 3))}}, "Gram of a"),
        ({"grams": {"a": np.full((163, 163), np.inf)}}, "NaN or infinite"),
        ({"protocols": ["heldout"]}, "'heldout'"),
    ],
)
def test_bad_input_is_refused_in_one_message(change, said):
    arguments = {"grams": {"a": np.eye(163)}, "Y": np.zeros((163, 2)), "sets": SETS, **change}
    with pytest.raises(InputError, match=said):
        encode_unit(**arguments, settings=SETTINGS)


@pytest.mark.parametrize("bad", [{"alphas": []}, {"alphas": [-1.0]}, {"alphas": [np.nan]}])
def test_bad_penalties_are_refused(bad):
    with pytest.raises(InputError, match="alphas"):
        Settings(**bad)
