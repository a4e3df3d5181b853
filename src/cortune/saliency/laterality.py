"""How far to which side a map lies, and what images say about it.

LI = (S_right − S_left) / (S_right + S_left) over the halves of a map: +1 is all right of
the vertical meridian, −1 all left. A network tuned to the left hemisphere, which sees the
right visual field, is expected to look right: LI > 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cortune.encoding.comparison import sign_flip_p
from cortune.seeds import rng

Floats = NDArray[np.float64]
_BLOCK = 1000


def laterality_index(maps: Floats) -> Floats:
    """Return the laterality index of non-negative maps.

    Parameters
    ----------
    maps : array (..., h, w)
        The middle column of an odd width belongs to neither side.

    Returns
    -------
    array (...)
        From −1 (left) to 1 (right); NaN where both halves are empty.
    """
    half = maps.shape[-1] // 2
    left = maps[..., :half].sum((-2, -1))
    right = maps[..., -half:].sum((-2, -1))
    total = right + left
    index: Floats = (right - left) / np.where(total > 0, total, np.nan)
    return index


@dataclass(frozen=True, eq=False)
class ImageMeans:
    """Means over images, of several series at once.

    Parameters
    ----------
    mean, low, high : array (n_series,)
        The mean and its 95 % bootstrap interval.
    p : array (n_series,)
        Two-sided p of a mean of zero, by flipping signs of images.
    n_images : array (n_series,), int64
        Images that count.
    """

    mean: Floats
    low: Floats
    high: Floats
    p: Floats
    n_images: NDArray[np.int64]


def image_means(values: Floats, n_bootstrap: int, n_permutations: int, seed: int) -> ImageMeans:
    """Average over images, with a bootstrap interval and a sign-flip test.

    To flip the sign of an image's symmetrised LI is to exchange its two halves. All series
    share resamples and flips, so their differences are paired; an image without a value
    is resampled like the others and adds nothing.

    Parameters
    ----------
    values : array (n_series, n_images)
        NaN where an image says nothing.
    n_bootstrap, n_permutations : int
    seed : int

    Returns
    -------
    ImageMeans
        NaN for a series without images, its interval and p also for one of a single image.
    """
    counts = np.isfinite(values)
    n = counts.sum(1)
    filled = np.where(counts, values, 0.0)
    mean = filled.sum(1) / np.where(n > 0, n, np.nan)
    low, high, p = np.full((3, len(values)), np.nan)
    tested = n > 1
    if tested.any():
        resampled = _bootstrap_means(filled[tested], counts[tested], n_bootstrap, seed)
        low[tested], high[tested] = np.nanquantile(resampled, [0.025, 0.975], axis=0)
        p[tested] = sign_flip_p(filled[tested], n_permutations, seed)
    return ImageMeans(mean, low, high, p, n)


def _bootstrap_means(
    values: Floats, counts: NDArray[np.bool_], n_bootstrap: int, seed: int
) -> Floats:
    """Return means of resampled images, (n_bootstrap, n_series), a block at a time."""
    n = values.shape[1]
    draw = rng(seed, "laterality", "bootstrap", n)
    share = np.full(n, 1 / n)
    blocks = []
    for start in range(0, n_bootstrap, _BLOCK):
        times = draw.multinomial(n, share, size=min(_BLOCK, n_bootstrap - start)).astype(float)
        total, weight = times @ values.T, times @ counts.T
        blocks.append(total / np.where(weight > 0, weight, np.nan))
    return np.concatenate(blocks)
