"""Ridge from a Gram against scikit-learn, scipy and himalaya."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from himalaya.kernel_ridge import KernelRidge
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from cortune.encoding.ridge import (
    norm_factor,
    predict,
    principal_components,
    project,
    rotate,
    score_alphas,
)
from cortune.encoding.scores import best, mean_over_targets, pearson_r, standardise

ALPHAS = np.logspace(-1, 7, 9)


def features(n, d, rng, offset=2.0):
    """Return positive features with a decaying spectrum and a large common mean."""
    decay = np.arange(1, d + 1) ** -0.6
    return rng.standard_normal((n, d)) * decay + offset


def problem(seed=0, n_fit=90, n_score=40, d=200, n_targets=12):
    rng = np.random.default_rng(seed)
    X = features(n_fit + n_score, d, rng)
    Y = (X - X.mean(0)) @ rng.standard_normal((d, n_targets))
    Y += Y.std(0) * rng.standard_normal(Y.shape)
    return X, Y, np.arange(n_fit), np.arange(n_fit, n_fit + n_score)


def ours(gram, Y, fit, score, n_components, alphas=ALPHAS):
    """Return (r, predictions for every alpha) of the code under test, from a Gram."""
    components = principal_components(gram[fit][:, fit], n_components)
    scores = project(components, gram[score][:, fit])
    rotated = rotate(components.axes.astype(Y.dtype), Y[fit])
    centred = (scores - scores.mean(0)).astype(Y.dtype)
    truth, factor = standardise(Y[score]), norm_factor(centred)
    r = score_alphas(centred, components.eigenvalues, rotated, truth, alphas, factor)
    predictions = [
        predict(scores.astype(Y.dtype), components.eigenvalues, rotated, alphas[a : a + 1])
        for a in range(len(alphas))
    ]
    return r, np.array(predictions) + Y[fit].mean(0)


def theirs(X, Y, fit, score, n_components, alphas=ALPHAS):
    """Return the same of scikit-learn and scipy, from the features."""
    pca = PCA(min(n_components, len(fit), X.shape[1]), svd_solver="full").fit(X[fit])
    predictions = np.array(
        [
            Ridge(alpha).fit(pca.transform(X[fit]), Y[fit]).predict(pca.transform(X[score]))
            for alpha in alphas
        ]
    )
    predictions = predictions.reshape(len(alphas), len(score), Y.shape[1])  # one target: 1-d
    return np.array([columnwise_r(Y[score], each) for each in predictions]), predictions


def columnwise_r(Y, Y_hat):
    return np.array([pearsonr(y, p)[0] for y, p in zip(Y.T, Y_hat.T, strict=True)])


def float32_gram(X):
    """Return a Gram as `extract_features` writes it: of centred features, rounded."""
    X = X.astype(np.float64) - X.mean(0, dtype=np.float64)
    return (X @ X.T).astype(np.float32)


@pytest.mark.parametrize("d", [30, 200], ids=["n>d", "n<d"])
@pytest.mark.parametrize("n_components", [10, 1000])
def test_predictions_and_r_are_those_of_scikit_learn(d, n_components):
    X, Y, fit, score = problem(d=d)
    r, predictions = ours(X @ X.T, Y, fit, score, n_components)
    r_expected, expected = theirs(X, Y, fit, score, n_components)
    np.testing.assert_allclose(predictions, expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(r, r_expected, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_float32_inputs_agree_to_1e_5_in_r(seed):
    X, Y, fit, score = problem(seed, n_fit=400, n_score=100, d=900, n_targets=30)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    r, _ = ours(float32_gram(X), Y, fit, score, 200)
    assert r.dtype == np.float32
    expected, _ = theirs(X.astype(np.float64), Y.astype(np.float64), fit, score, 200)
    assert np.abs(r - expected).max() < 1e-5


def test_r_agrees_with_ridge_on_the_very_same_components_to_1e_5():
    X, Y, fit, score = problem(n_fit=300, n_score=80, d=500)
    gram = float32_gram(X)
    components = principal_components(gram[fit][:, fit], 100)
    P = components.axes * np.sqrt(components.eigenvalues)
    P_score = project(components, gram[score][:, fit])
    r, _ = ours(gram, Y.astype(np.float32), fit, score, 100)
    for alpha, ours_r in zip(ALPHAS, r, strict=True):
        predicted = Ridge(alpha).fit(P, Y[fit]).predict(P_score)
        assert np.abs(ours_r - columnwise_r(Y[score], predicted)).max() < 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_span_the_subspace_of_full_svd_pca(dtype):
    X, _, fit, score = problem(d=400)
    gram = (X @ X.T).astype(dtype)
    pca = PCA(20, svd_solver="full").fit(X[fit])
    components = principal_components(gram[fit][:, fit], 20)
    P = components.axes * np.sqrt(components.eigenvalues)
    tolerance = 1e-3 if dtype is np.float32 else 1e-6
    assert subspace_angles(P, pca.transform(X[fit])).max() < tolerance
    np.testing.assert_allclose(
        components.eigenvalues / (len(fit) - 1), pca.explained_variance_, rtol=tolerance
    )
    held_out = project(components, gram[score][:, fit])
    np.testing.assert_allclose(
        np.abs(held_out), np.abs(pca.transform(X[score])), atol=tolerance * np.abs(P).max()
    )


def test_predictions_are_those_of_himalaya():
    X, Y, fit, score = problem()
    centred = X - X[fit].mean(0)
    K, K_score = centred[fit] @ centred[fit].T, centred[score] @ centred[fit].T
    alpha = np.random.default_rng(1).choice(ALPHAS, Y.shape[1])
    model = KernelRidge(alpha=alpha, kernel="precomputed", solver="eigenvalues").fit(
        K, Y[fit] - Y[fit].mean(0)
    )
    components = principal_components(X[fit] @ X[fit].T, 1000)
    predicted = predict(
        project(components, X[score] @ X[fit].T),
        components.eigenvalues,
        rotate(components.axes, Y[fit]),
        alpha,
    )
    np.testing.assert_allclose(predicted, model.predict(K_score), atol=1e-7)


def test_numerically_zero_components_are_dropped():
    rng = np.random.default_rng(0)
    X = features(60, 8, rng, offset=30.0)
    for dtype in (np.float32, np.float64):
        components = principal_components((X @ X.T).astype(dtype), 1000)
        assert components.eigenvalues.shape == (8,)


def test_scale_of_features_and_responses_does_not_matter():
    X, Y, fit, score = problem()
    gram, Y = float32_gram(X), Y.astype(np.float32)
    reference, _ = ours(gram, Y, fit, score, 50)
    for scale in (2.0**-40, 2.0**40):
        r, _ = ours(gram * np.float32(scale), Y * np.float32(1e-9), fit, score, 50, ALPHAS * scale)
        np.testing.assert_allclose(r, reference, atol=1e-5)


@st.composite
def problems(draw):
    n_fit = draw(st.integers(6, 40))
    d = draw(st.integers(2, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_score, n_targets = draw(st.integers(5, 20)), draw(st.integers(1, 4))
    if draw(st.booleans()):  # repeated eigenvalues: orthonormal fit features
        X = np.vstack([np.linalg.qr(rng.standard_normal((n_fit, d)))[0] for _ in range(2)])
        X = np.vstack([X[:n_fit], rng.standard_normal((n_score, X.shape[1]))])
    else:
        X = features(n_fit + n_score, d, rng)
    Y = X @ rng.standard_normal((X.shape[1], n_targets)) + rng.standard_normal(
        (n_fit + n_score, n_targets)
    )
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    constant = draw(st.sampled_from([None, "fit", "score", "all"]))
    fit, score = np.arange(n_fit), np.arange(n_fit, n_fit + n_score)
    rows = {"fit": fit, "score": score, "all": slice(None)}
    if constant:
        Y[rows[constant], 0] = 0.3
    return X.astype(dtype), Y.astype(dtype), fit, score, constant, dtype


@settings(max_examples=60, deadline=None)
@given(problems())
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@pytest.mark.filterwarnings("ignore::scipy.stats.NearConstantInputWarning")
def test_any_problem_agrees_with_scikit_learn(drawn):
    X, Y, fit, score, constant, dtype = drawn
    wide = X.astype(np.float64)
    gram = float32_gram(X) if dtype == np.float32 else wide @ wide.T
    r, _ = ours(gram, Y, fit, score, 1000)
    expected, predictions = theirs(wide, Y.astype(np.float64), fit, score, 1000)
    if constant:
        assert np.isnan(r[:, 0]).all()
        expected[:, 0] = np.nan
    # r of a prediction that hardly varies depends on rounding, here and in the oracle.
    settled = predictions.std(1) > 1e-6 * Y[fit].std(0)
    tolerance = 1e-4 if dtype == np.float32 else 1e-7
    difference = np.where(settled, r - expected, 0)[:, 1 if constant else 0 :]
    assert np.abs(difference).max(initial=0) < tolerance


@pytest.mark.parametrize(("k", "starts"), [(70, [0, 64]), (120, [0, 0])])
def test_torch_gives_the_numbers_of_numpy(k, starts):
    X, Y, fit, score = problem(n_fit=150, n_score=100, d=300)
    gram, Y = float32_gram(X), Y.astype(np.float32)
    expected, _ = ours(gram, Y, fit, score, k)
    tensor, responses = torch.from_numpy(gram), torch.from_numpy(Y)
    components = principal_components(tensor[fit][:, fit], k)
    scores = project(components, tensor[score][:, fit])
    scores = (scores - scores.mean(0)).float()
    factor = norm_factor(scores)
    assert [zeros for zeros, _ in factor] == starts
    r = score_alphas(
        scores,
        components.eigenvalues,
        rotate(components.axes.float(), responses[fit]),
        standardise(responses[score]),
        torch.from_numpy(ALPHAS),
        factor,
    )
    assert isinstance(r, torch.Tensor)
    np.testing.assert_allclose(r.numpy(), expected, atol=2e-6)


@pytest.mark.filterwarnings("error")
def test_pearson_r_is_nan_where_undefined_and_never_warns():
    rng = np.random.default_rng(0)
    Y, Y_hat = rng.standard_normal((2, 30, 4)).astype(np.float32)
    Y[:, 1] = 0.1
    Y_hat[:, 2] = 0.0
    r = pearson_r(standardise(Y), Y_hat - Y_hat.mean(0))
    assert np.isnan(r[[1, 2]]).all()
    for target in (0, 3):
        assert r[target] == pytest.approx(pearsonr(Y[:, target], Y_hat[:, target])[0], abs=1e-6)


def test_r_of_a_perfect_prediction_does_not_exceed_one():
    Y = np.random.default_rng(0).standard_normal((50, 200)).astype(np.float32)
    r = pearson_r(standardise(Y), 3 * standardise(Y))
    assert (r <= 1).all()
    np.testing.assert_allclose(r, 1, atol=1e-6)


def test_nan_never_wins_and_does_not_count():
    r = np.array([[np.nan, -0.5, np.nan], [-0.2, -0.5, np.nan]])
    assert best(r).tolist() == [1, 0, 0]
    np.testing.assert_array_equal(mean_over_targets(r), [-0.5, -0.35])
    assert np.isnan(mean_over_targets(r[:, 2:])).all()


def test_no_components_predict_nothing():
    gram = np.ones((10, 10), dtype=np.float32)
    Y = np.random.default_rng(0).standard_normal((15, 3)).astype(np.float32)
    r, predictions = ours(np.ones((15, 15), np.float32), Y, np.arange(10), np.arange(10, 15), 5)
    assert principal_components(gram, 5).eigenvalues.size == 0
    assert r.shape == (9, 3)
    assert np.isnan(r).all()
    np.testing.assert_allclose(predictions, np.broadcast_to(Y[:10].mean(0), (9, 5, 3)), rtol=1e-6)
