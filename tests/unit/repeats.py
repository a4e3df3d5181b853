"""The noise-ceiling SNR by its definition, all trials at once: an oracle for readers."""

from __future__ import annotations

import numpy as np


def ncsnr_from_repeats(trials, images):
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
    return np.sqrt(signal / np.where(noise > 0, noise, np.nan))
