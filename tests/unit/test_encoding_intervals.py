"""Intervals of r: the influences' closed form, what counts twice, and how often they hold."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cortune.encoding.folds import heldout_cv
from cortune.encoding.intervals import doubled_share, influences, r_interval
from cortune.encoding.protocols import Settings, encode_unit
from cortune.encoding.scores import standardise

_PATH = Path(__file__).parents[2] / "benchmarks" / "interval_coverage.py"
_SPEC = importlib.util.spec_from_file_location("interval_coverage", _PATH)
coverage = importlib.util.module_from_spec(_SPEC)
sys.modules["interval_coverage"] = coverage  # its dataclasses look themselves up
_SPEC.loader.exec_module(coverage)


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((400, 6))
    return Y, 0.5 * Y + rng.standard_normal(Y.shape)


def test_an_image_moves_r_as_its_influence_says(scored):
    Y, Y_hat = scored
    each = influences(standardise(Y[:, :1]), standardise(Y_hat[:, :1]))
    whole = np.corrcoef(Y[:, 0], Y_hat[:, 0])[0, 1]
    for image in range(20):
        rest = np.arange(len(Y)) != image
        moved = whole - np.corrcoef(Y[rest, 0], Y_hat[rest, 0])[0, 1]
        assert each[image] / len(Y) == pytest.approx(moved, abs=2e-4)


def test_undefined_targets_and_torch_change_nothing(scored):
    Y, Y_hat = map(standardise, scored)
    whole = influences(Y, Y_hat)
    assert whole.sum() == pytest.approx(0, abs=1e-9)
    constant = np.c_[np.full(400, np.nan), Y], np.c_[Y_hat[:, :1], Y_hat]
    np.testing.assert_allclose(influences(*constant), whole)
    np.testing.assert_allclose(influences(*map(torch.from_numpy, (Y, Y_hat))).numpy(), whole)


def test_interval_of_a_given_model_is_the_closed_form():
    """Many images, one model and voxel: r ± 1.96 (1 - r²) / sqrt(n), and its small bias."""
    rng, n = np.random.default_rng(1), 100_000
    Y = rng.standard_normal((n, 1))
    Y_hat = 0.6 * Y + 0.8 * rng.standard_normal(Y.shape)
    truth, predicted = standardise(Y), standardise(Y_hat)
    r = float((truth * predicted).sum())
    low, high = r_interval(np.array([[r]]), influences(truth, predicted)[None], 0.0)
    half = 1.96 * (1 - r**2) / n**0.5
    assert (low, high) == pytest.approx((r - half, r + half), abs=0.03 * half)
    twice = r_interval(np.array([[r]]), influences(truth, predicted)[None], 1.0)
    assert np.ptp(twice) == pytest.approx(2**0.5 * (high - low))


@pytest.mark.parametrize("signal", [0.0, 1.0, 3.0])
def test_share_that_counts_twice_is_that_of_the_models_noise(signal):
    """Predictions are a signal and a mean of noise over the folds that a model is fitted on."""
    rng, n_folds, m = np.random.default_rng(2), 5, 20_000
    moved = np.zeros((n_folds, n_folds - 1, m))
    for fold in range(n_folds):
        noise = rng.standard_normal((n_folds, m))
        y, clean = rng.standard_normal((2, m))
        others = [k for k in range(n_folds) if k != fold]
        for at, other in enumerate(others):
            fitted = [k for k in others if k != other]
            predicted = signal * clean + noise[fitted].mean(0)
            moved[fold, at] = y * predicted / predicted.std()
    of_fit = 1 / (n_folds - 1)  # variance of the noise of a fold's own model
    assert doubled_share(moved) == pytest.approx(of_fit / (of_fit + signal**2), rel=0.05, abs=0.01)


def test_interval_holds_r_stays_in_range_and_is_nan_of_nothing():
    low, high = r_interval(np.array([[0.9]]), np.zeros((1, 4)), 0.0)
    assert low <= 0.9 <= high
    assert r_interval(np.ones((1, 2)), np.full((1, 5), 9.0), 0.0) == (pytest.approx(-1, abs=2), 1.0)
    assert np.isnan(r_interval(np.full((3, 2), np.nan), np.zeros((3, 4)), 0.0)).all()
    assert doubled_share(np.zeros((1, 0, 7))) == doubled_share(np.zeros((3, 2, 7))) == 0.0


def test_encode_unit_gives_the_interval_of_the_simulation(monkeypatch):
    """The benchmark's sums of products stand for Gram matrices: the same images, interval, r."""
    n, n_folds = 60, 3
    brain = coverage.Brain.draw(0.45, 0.2, 7)
    X, Y = brain.images(np.random.default_rng(3), n)
    sets = {"tune": np.zeros(n, bool), "validation": np.zeros(n, bool), "test": np.ones(n, bool)}
    plan = heldout_cv(sets, n_folds, 0)
    order = np.concatenate([split.score for split in plan.outer])
    monkeypatch.setattr(coverage.Brain, "images", lambda *_: (X[order], Y[order]))
    folds = coverage.heldout_cv(brain, np.random.default_rng(3), n, n_folds)
    X = X.astype(float)
    found = encode_unit({"layer": X @ X.T}, Y, sets, Settings(coverage.ALPHAS), n_folds=n_folds)[
        "heldout_cv"
    ]
    assert coverage.intervals(folds, (7,))[7] == pytest.approx(tuple(found.interval), abs=1e-4)
    low, high = found.interval
    assert low < found.r.mean() < high
    np.testing.assert_allclose(found.interval, found.interval_layers[0])


@pytest.mark.long
@pytest.mark.parametrize(
    ("protocol", "n", "n_folds", "r", "shared"),
    [
        ("heldout_cv", 60, 3, 0.45, 0.2),
        ("heldout_cv", 60, 5, 0.0, 0.0),
        ("heldout_cv", 150, 3, 0.0, 0.2),
        ("heldout_cv", 150, 5, 0.45, 0.0),
        ("tune_test", 60, 5, 0.45, 0.2),
        ("fit_test", 150, 3, 0.15, 0.2),
    ],
)
def test_intervals_hold_the_population_accuracy(protocol, n, n_folds, r, shared):
    """Within .93 to .97, give or take three standard errors of 600 repeats."""
    brain = coverage.Brain.draw(r, shared, 60)
    for share in coverage.coverage(protocol, n, n_folds, brain, 600, voxels=(1, 60)).values():
        assert 0.93 - 0.027 < share < 0.97 + 0.021
