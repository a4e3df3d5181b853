r"""Intervals of a unit's mean r by a bootstrap over images.

The images of each fold are resampled with replacement; fitted models, penalties and
layers stay as they are, so an interval says how far the images drawn for scoring move
the mean, not how far other fit images would. All targets are resampled together (block
= image): noise that voxels share widens the interval, as it should.

A resample is a vector of counts, and a correlation of counted images needs sums of
:math:`y, \hat y, y^2, \hat y^2, y\hat y` only: resamples x images x targets is a GEMM.
"""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from cortune.arrays import Array
from cortune.encoding.scores import Floats
from cortune.seeds import rng

_CHUNK = 1 << 16  # resamples x targets at once: five float32 blocks that stay in cache
_ROUNDING = 1e-5  # no smaller variance of a unit-variance column is told from zero in float32


def resample_counts(n_images: int, n_bootstrap: int, seed: int, fold: int) -> Floats:
    """Return how often each image is drawn, of shape (n_bootstrap, n_images), float32.

    The draws depend on nothing but the arguments: units and methods scored on the same
    images are resampled alike.
    """
    random = rng(seed, "encoding", "bootstrap", fold)
    shares = np.full(n_images, 1 / n_images)
    return random.multinomial(n_images, shares, size=n_bootstrap).astype(np.float32)


def bootstrap_sums(counts: Array, Y: Array, Y_hat: Array) -> tuple[Array, Array]:
    """Sum the resampled correlations over targets.

    Parameters
    ----------
    counts : array of shape (n_bootstrap, n_images)
    Y, Y_hat : array of shape (n_images, n_targets)
        Standardised targets and predictions; NaN columns do not count.

    Returns
    -------
    total : array of shape (n_bootstrap,)
        Sum of r over the targets where a resample's r is defined.
    defined : array of shape (n_bootstrap,)
        Number of those targets.
    """
    xp = array_namespace(counts)
    n_images, n_targets = Y.shape
    # Columns of unit variance, and counts that average: sums below are moments.
    Y, Y_hat = Y * n_images**0.5, Y_hat * n_images**0.5
    counts = counts / n_images
    moments = (Y, Y_hat, Y * Y, Y_hat * Y_hat, Y * Y_hat)
    step = max(16, _CHUNK // max(n_targets, 1))
    parts = [
        _correlate(*(counts[start : start + step, :] @ moment for moment in moments))
        for start in range(0, counts.shape[0], step)
    ]
    return xp.concat([part[0] for part in parts]), xp.concat([part[1] for part in parts])


def _correlate(y: Array, p: Array, yy: Array, pp: Array, yp: Array) -> tuple[Array, Array]:
    xp = array_namespace(y)
    y_variance, p_variance = yy - y * y, pp - p * p
    defined = (y_variance > _ROUNDING) & (p_variance > _ROUNDING)
    r = (yp - y * p) / xp.sqrt(xp.where(defined, y_variance * p_variance, 1.0))
    r = xp.where(defined, xp.clip(r, -1.0, 1.0), 0.0)
    return xp.sum(r, axis=1), xp.sum(xp.astype(defined, r.dtype), axis=1)


def centred_interval(r: float, replicates: Floats) -> tuple[float, float]:
    """Return the 95 % centred percentile interval, r + quantiles of (r* - mean r*).

    A mean of bootstrapped correlations is biased by its sparse resamples; centring
    removes that bias, and the interval holds `r` by construction.

    Parameters
    ----------
    r : float
    replicates : array of shape (n_bootstrap,)
        NaN where a resample has no defined correlation: left out.

    Returns
    -------
    low, high : float
        Clipped to [-1, 1]; NaN where nothing is defined.
    """
    replicates = replicates[np.isfinite(replicates)]
    if not replicates.size:
        return np.nan, np.nan
    low, high = np.quantile(replicates - replicates.mean(), [0.025, 0.975])
    return max(-1.0, r + min(float(low), 0.0)), min(1.0, r + max(float(high), 0.0))
