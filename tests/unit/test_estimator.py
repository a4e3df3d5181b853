"""The estimator of scikit-learn: its checks, its equals, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import cortune


@parametrize_with_checks(
    [cortune.Encoding(), cortune.Encoding(n_components=30, alphas=[1.0], folds=3)]
)
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def data(n=60, n_features=200, n_targets=7):
    draw = np.random.default_rng(0)
    X = draw.normal(size=(n + 20, n_features)) + draw.normal(size=n_features)
    Y = X[:, :10] @ draw.normal(size=(10, n_targets)) + draw.normal(size=(n + 20, n_targets))
    return X[:n], Y[:n], X[n:], Y[n:]


def test_predictions_are_those_of_pca_and_ridge():
    X, Y, new, _ = data()
    model = cortune.Encoding(n_components=15).fit(X, Y)
    pca = PCA(15, svd_solver="full").fit(X)
    wanted = np.stack(
        [
            Ridge(alpha).fit(pca.transform(X), y).predict(pca.transform(new))
            for alpha, y in zip(model.alpha_, Y.T, strict=True)
        ],
        axis=1,
    )
    np.testing.assert_allclose(model.predict(new), wanted, atol=1e-10)


def test_penalties_have_the_highest_cross_validated_r():
    X, Y, *_ = data()
    model = cortune.Encoding(alphas=[0.1, 10.0, 1e5], folds=4).fit(X, Y)
    each = [
        cortune.Encoding(alphas=[alpha, alpha], folds=4).fit(X, Y).r_ for alpha in (0.1, 10.0, 1e5)
    ]
    best = np.array([0.1, 10.0, 1e5])[np.argmax(each, axis=0)]
    np.testing.assert_array_equal(model.alpha_, best)
    np.testing.assert_allclose(model.r_, np.max(each, axis=0), atol=1e-6)
    assert len(set(best)) > 1 or best[0] != 0.1


def test_inner_products_serve_as_features_do():
    X, Y, new, wanted = data()
    by_features = cortune.Encoding(n_components=20).fit(X, Y)
    by_products = cortune.Encoding(n_components=20, kernel="precomputed").fit(X @ X.T, Y)
    np.testing.assert_array_equal(by_features.alpha_, by_products.alpha_)
    np.testing.assert_allclose(by_products.predict(new @ X.T), by_features.predict(new), atol=1e-8)
    assert by_features.score(new, wanted) == pytest.approx(by_products.score(new @ X.T, wanted))


def test_cross_validation_of_scikit_learn_cuts_inner_products_on_both_sides():
    X, Y, *_ = data()
    a = cross_val_score(cortune.Encoding(), X, Y, cv=3)
    b = cross_val_score(cortune.Encoding(kernel="precomputed"), X @ X.T, Y, cv=3)
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_wrong_kernels_are_refused():
    X, Y, *_ = data()
    with pytest.raises(ValueError, match="linear or precomputed"):
        cortune.Encoding(kernel="rbf").fit(X, Y)
    with pytest.raises(ValueError, match=r"inner products \(n, n\)"):
        cortune.Encoding(kernel="precomputed").fit(X, Y)
