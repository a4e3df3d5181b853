"""How much of a response is signal: the one formula of the noise ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortune.errors import InputError

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]


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
