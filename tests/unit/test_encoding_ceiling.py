"""Noise ceilings against their formulas and against simulated repeats."""

from __future__ import annotations

import numpy as np
import pytest
from repeats import ncsnr_from_repeats

from cortune.encoding.ceiling import ceiling_r, noise_normalised_r2
from cortune.errors import InputError
from cortune.reliability import noise_ceiling


def test_noise_ceiling_is_the_data_sets_formula():
    ncsnr = np.array([0.0, 0.43, 1.0, np.nan])
    a1, a2, a3 = 5, 7, 11  # images seen once, twice, three times
    repeats = np.repeat([1, 2, 3], [a1, a2, a3])
    noise = (a3 / 3 + a2 / 2 + a1) / (a3 + a2 + a1)
    np.testing.assert_allclose(noise_ceiling(ncsnr, repeats), ncsnr**2 / (ncsnr**2 + noise))


def test_noise_ceiling_of_three_repeats_by_hand():
    assert noise_ceiling(np.array([1.0]), np.array([3, 3])) == pytest.approx([0.75])


@pytest.mark.parametrize(("ncsnr", "repeats"), [([0.4], [0, 3]), ([0.4], []), ([-0.1], [3])])
def test_impossible_repeats_are_refused(ncsnr, repeats):
    with pytest.raises(InputError, match="repeat counts"):
        noise_ceiling(np.array(ncsnr), np.array(repeats, dtype=int))


def test_ncsnr_is_recovered_from_simulated_repeats():
    rng = np.random.default_rng(0)
    truth = np.array([0.0, 0.2, 0.5, 1.0, 2.0])
    images = rng.permutation(np.r_[np.repeat(np.arange(3000), 3), np.arange(3000, 4000)])
    signal = rng.standard_normal((4000, truth.size)) * truth
    trials = signal[images] + rng.standard_normal((images.size, truth.size))
    trials /= trials.std(0)
    np.testing.assert_allclose(ncsnr_from_repeats(trials, images), truth, rtol=0.04, atol=0.05)


def test_a_perfect_model_reaches_the_ceiling_and_no_more():
    rng = np.random.default_rng(1)
    ncsnr, n = 0.7, 20_000
    repeats = rng.integers(1, 4, n)
    signal = rng.standard_normal(n) * ncsnr
    mean = signal + rng.standard_normal(n) / np.sqrt(repeats)
    reached = np.corrcoef(signal, mean)[0, 1]
    assert ceiling_r(noise_ceiling(np.array([ncsnr]), repeats)) == pytest.approx(reached, abs=0.01)


def test_ncsnr_is_unknown_without_repeats_or_variance():
    trials = np.random.default_rng(0).standard_normal((6, 2))
    assert np.isnan(ncsnr_from_repeats(trials, np.arange(6))).all()
    trials[:, 1] = 0.0
    assert np.isnan(ncsnr_from_repeats(trials, np.array([0, 0, 1, 1, 2, 2]))).tolist()[1]


@pytest.mark.filterwarnings("error")
def test_normalised_r2_keeps_the_sign_and_is_empty_where_the_ceiling_is_unknown_or_small():
    r = np.array([0.3, -0.3, 0.3, 0.3, 0.3, np.nan])
    ceiling = np.array([0.36, 0.36, np.nan, 0.0, 0.04, 0.36])
    expected = [0.25, -0.25, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(noise_normalised_r2(r, ceiling, 0.05), expected)
    np.testing.assert_allclose(noise_normalised_r2(r, ceiling, 0.0)[3:5], [np.nan, 2.25])
