"""The bootstrap's GEMMs against a loop that draws images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from cortune.encoding import bootstrap
from cortune.encoding.bootstrap import bootstrap_sums, centred_interval, resample_counts
from cortune.encoding.scores import standardise


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((30, 6)).astype(np.float32)
    Y_hat = (0.5 * Y + rng.standard_normal(Y.shape)).astype(np.float32)
    return resample_counts(30, 40, 0, 0), Y, Y_hat


def looped(counts, Y, Y_hat):
    means = []
    for count in counts.astype(int):
        images = np.repeat(np.arange(len(count)), count)
        means.append([pearsonr(Y[images, v], Y_hat[images, v])[0] for v in range(Y.shape[1])])
    return np.array(means)


def test_resampled_correlations_are_those_of_a_loop(drawn):
    counts, Y, Y_hat = drawn
    total, defined = bootstrap_sums(counts, standardise(Y), standardise(Y_hat))
    np.testing.assert_allclose(total, looped(counts, Y, Y_hat).sum(1), atol=2e-5)
    assert (defined == 6).all()


def test_chunks_and_torch_change_nothing(drawn, monkeypatch):
    counts, Y, Y_hat = drawn
    total, _ = bootstrap_sums(counts, standardise(Y), standardise(Y_hat))
    tensors = [torch.from_numpy(a) for a in (counts, standardise(Y), standardise(Y_hat))]
    np.testing.assert_allclose(bootstrap_sums(*tensors)[0].numpy(), total, atol=1e-5)
    monkeypatch.setattr(bootstrap, "_CHUNK", 1)
    np.testing.assert_allclose(
        bootstrap_sums(counts, standardise(Y), standardise(Y_hat))[0], total, atol=1e-5
    )


@pytest.mark.filterwarnings("error")
def test_undefined_correlations_do_not_count(drawn):
    counts, Y, Y_hat = drawn
    Y[:, 0] = 3.0
    Y[:, 1] = np.arange(30) == 0  # constant in the resamples that miss image 0
    total, defined = bootstrap_sums(counts, standardise(Y), standardise(Y_hat))
    assert (defined == 4 + (counts[:, 0] > 0)).all()
    assert np.isfinite(total).all()


def test_counts_draw_as_many_images_as_there_are_and_the_same_each_time():
    counts = resample_counts(25, 100, seed=3, fold=1)
    assert counts.shape == (100, 25)
    assert (counts.sum(1) == 25).all()
    np.testing.assert_array_equal(counts, resample_counts(25, 100, 3, 1))
    assert (counts != resample_counts(25, 100, 3, 2)).any()


def test_interval_is_centred_on_the_score_whatever_the_bias():
    replicates = np.random.default_rng(0).normal(0.2, 0.05, 20_000)
    low, high = centred_interval(0.5, replicates)
    assert (low, high) == pytest.approx((0.5 - 0.098, 0.5 + 0.098), abs=3e-3)


def test_interval_holds_the_score_stays_in_range_and_skips_undefined():
    skewed = np.r_[np.zeros(999), -1000.0]  # mean outside the quantiles
    low, high = centred_interval(0.3, skewed)
    assert low <= 0.3 <= high
    assert centred_interval(0.99, np.random.default_rng(0).normal(0, 0.1, 500))[1] == 1.0
    assert centred_interval(0.1, np.array([np.nan, 0.1, 0.1])) == pytest.approx((0.1, 0.1))
    assert np.isnan(centred_interval(np.nan, np.full(5, np.nan))).all()


def test_interval_covers_the_true_mean_r():
    """Fits fixed: draw images and noise anew, 300 times, at a known correlation."""
    rng, covered, rho, n, n_targets = np.random.default_rng(0), 0, 0.4, 60, 5
    counts = resample_counts(n, 400, 0, 0)
    for _ in range(300):
        shared = rng.standard_normal((n, 1))  # noise that voxels share
        Y = (0.6 * shared + 0.8 * rng.standard_normal((n, n_targets))).astype(np.float32)
        noise = rng.standard_normal((n, n_targets))
        Y_hat = (rho * Y + np.sqrt(1 - rho**2) * noise).astype(np.float32)
        truth, predicted = standardise(Y), standardise(Y_hat)
        total, defined = bootstrap_sums(counts, truth, predicted)
        low, high = centred_interval(float((truth * predicted).sum(0).mean()), total / defined)
        covered += low <= rho <= high
    assert 0.90 < covered / 300 < 0.98
