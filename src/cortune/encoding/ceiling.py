"""Noise ceilings: the share of a voxel's variance that the stimulus can explain.

Nothing here makes a ceiling up: where none is known it is NaN, an empty cell in every
table, and noise-normalised scores are NaN, too.
"""

from __future__ import annotations

import numpy as np

from cortune.encoding.scores import Floats, Ints
from cortune.errors import InputError


def noise_ceiling(ncsnr: Floats, repeats: Ints) -> Floats:
    r"""Return the noise ceiling of responses averaged over repeats.

    .. math:: NC = \frac{\mathrm{ncsnr}^2}{\mathrm{ncsnr}^2 + \frac1n \sum_i 1/k_i}

    for images seen :math:`k_i` times (Allen et al. 2022, Natural Scenes Dataset).

    Parameters
    ----------
    ncsnr : array of shape (n_targets,)
        Standard deviation of the signal over that of a single trial's noise.
    repeats : array of shape (n_images,)
        Times each scored image was seen.

    Returns
    -------
    noise_ceiling : array of shape (n_targets,)
        Share of variance in [0, 1].

    Raises
    ------
    InputError
        If an image was seen less than once or an ncsnr is negative.
    """
    repeats = np.asarray(repeats)
    if repeats.size == 0 or (repeats < 1).any() or (ncsnr < 0).any():
        raise InputError(
            "noise ceiling",
            f"{repeats.size} repeat counts, {np.sum(repeats < 1)} of them below 1, "
            f"and {np.sum(ncsnr < 0)} negative values of ncsnr",
            "a repeat count of 1 or more for every image, and no negative ncsnr",
            "Pass the repeat counts of the scored images only.",
        )
    signal = np.square(ncsnr, dtype=np.float64)
    ceiling: Floats = signal / (signal + np.mean(1 / repeats))
    return ceiling


def ncsnr_from_repeats(trials: Floats, images: Ints) -> Floats:
    """Estimate the noise-ceiling SNR from single trials, as the data set's authors do.

    The variance of the noise is that of trials about their image's mean, pooled over
    images by degrees of freedom; the signal has what remains of the total variance.

    Parameters
    ----------
    trials : array of shape (n_trials, n_targets)
        Single-trial responses, z-scored per session.
    images : array of shape (n_trials,)
        Which image each trial showed.

    Returns
    -------
    ncsnr : array of shape (n_targets,)
        NaN where no image was repeated or a target is constant.
    """
    _, index, count = np.unique(images, return_inverse=True, return_counts=True)
    order = np.argsort(index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    trials = np.asarray(trials, dtype=np.float64)
    mean = np.add.reduceat(trials[order], starts, axis=0) / count[:, None]
    freedom = len(index) - len(count)
    if freedom == 0:
        return np.full(trials.shape[1], np.nan)
    noise = np.square(trials - mean[index]).sum(axis=0) / freedom
    signal = np.maximum(trials.var(axis=0, ddof=1) - noise, 0)
    ncsnr: Floats = np.sqrt(signal / np.where(noise > 0, noise, np.nan))
    return ncsnr


def ceiling_r(noise_ceiling: Floats) -> Floats:
    """Return the highest correlation a perfect model would reach, the ceiling's root."""
    root: Floats = np.sqrt(noise_ceiling)
    return root


def noise_normalised_r2(r: Floats, noise_ceiling: Floats, min_noise_ceiling: float) -> Floats:
    """Return sign(r) r^2 / NC; NaN where the ceiling is unknown or below the least one.

    A ceiling near zero divides one noise by another, and a few such voxels would decide
    the mean of a region.
    """
    known = (noise_ceiling >= min_noise_ceiling) & (noise_ceiling > 0)
    normalised: Floats = np.sign(r) * np.square(r) / np.where(known, noise_ceiling, np.nan)
    return normalised
