"""The InfoNCE bound against Gaussian pairs of known mutual information."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortune.errors import InputError
from cortune.information import cross_fitted_bound, fit_temperature, infonce_bound


def gaussian_pairs(information, n, seed, dimensions=4):
    """Return the optimal critic's scores of n pairs with so many nats in common.

    For unit normal pairs of correlation rho, the log ratio of joint to product density is
    quadratic, and I = -d/2 log(1 - rho^2).
    """
    rho = np.sqrt(1 - np.exp(-2 * information / dimensions))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dimensions))
    y = rho * x + np.sqrt(1 - rho**2) * rng.standard_normal((n, dimensions))
    cross = x @ y.T
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)
    return (rho * cross - rho**2 * squares / 2) / (1 - rho**2)


def test_bound_by_hand():
    s = np.array([[2.0, 0.0], [1.0, 1.0]])
    rows = [2 / 0.5 - np.log((np.exp(4) + 1) / 2), 0.0]
    assert infonce_bound(s, 0.5) == pytest.approx(np.mean(rows))


@given(
    k=st.integers(2, 30),
    scale=st.floats(1e-3, 1e3),
    temperature=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**31),
)
def test_bound_never_exceeds_log_k(k, scale, temperature, seed):
    s = scale * np.random.default_rng(seed).standard_normal((k, k))
    assert infonce_bound(s, temperature) <= np.log(k) + 1e-9
    assert infonce_bound(s + 1e6 * np.eye(k), temperature) == pytest.approx(np.log(k))


def test_independent_pairs_share_nothing():
    bounds = [
        cross_fitted_bound(np.random.default_rng(seed).standard_normal((400, 400))).nats
        for seed in range(20)
    ]
    assert -0.05 < np.mean(bounds) < 0.01


def test_bound_stays_below_the_truth_and_rises_with_it():
    truths = [0.2, 0.5, 1.0, 2.0, 3.0]
    bounds = []
    for truth in truths:
        found = [cross_fitted_bound(gaussian_pairs(truth, 600, seed)) for seed in range(8)]
        values = np.array([each.nats for each in found])
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert values.mean() < truth + 3 * error
        assert all(each.nats <= each.log_k for each in found)
        bounds.append(values.mean())
    assert (np.diff(bounds) > 0.1).all()
    assert bounds[0] == pytest.approx(0.2, abs=0.05)  # tight where log K is far away
    assert bounds[2] == pytest.approx(1.0, abs=0.1)


def test_much_information_saturates_at_log_k():
    found = cross_fitted_bound(gaussian_pairs(20.0, 100, 0, dimensions=16))
    assert found.log_k == pytest.approx(np.log(50))
    assert 0.8 * found.log_k < found.nats <= found.log_k


def test_the_best_temperature_of_the_optimal_critic_is_one():
    assert fit_temperature(gaussian_pairs(1.0, 1500, 0)) == pytest.approx(1.0, rel=0.15)


@given(scale=st.floats(1e-6, 1e6))
def test_scale_of_the_similarities_does_not_matter(scale):
    s = gaussian_pairs(1.0, 80, 0)
    reference, scaled = cross_fitted_bound(s), cross_fitted_bound(scale * s)
    assert scaled.nats == pytest.approx(reference.nats, abs=1e-4)
    assert scaled.temperature == pytest.approx(scale * reference.temperature, rel=0.02)


def test_fitted_temperature_is_the_best_of_a_grid():
    s = gaussian_pairs(0.7, 200, 1)
    best = infonce_bound(s, fit_temperature(s))
    grid = fit_temperature(s) * np.logspace(-3, 3, 601)
    assert best >= max(infonce_bound(s, temperature) for temperature in grid) - 1e-6


def test_cross_fitting_does_not_flatter():
    """Fitted and evaluated on the same images, pure noise would look informative."""
    noise = [np.random.default_rng(seed).standard_normal((60, 60)) for seed in range(40)]
    flattered = np.mean([infonce_bound(s, fit_temperature(s)) for s in noise])
    assert flattered > 0
    assert np.mean([cross_fitted_bound(s).nats for s in noise]) < flattered


def test_halves_depend_on_the_seed_alone():
    s = gaussian_pairs(1.0, 100, 0)
    assert cross_fitted_bound(s, 1) == cross_fitted_bound(s, 1)
    assert cross_fitted_bound(s, 1) != cross_fitted_bound(s, 2)


def test_constant_similarities_say_nothing():
    assert cross_fitted_bound(np.ones((10, 10))).nats == pytest.approx(0.0)


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.zeros((5, 4)), np.full((5, 5), np.nan)])
def test_bad_similarities_are_refused(bad):
    with pytest.raises(InputError, match="square"):
        cross_fitted_bound(bad)
