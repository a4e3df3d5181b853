"""Noise ceilings: the share of a voxel's variance that the stimulus can explain.

Nothing here makes a ceiling up: where none is known it is NaN, an empty cell in every
table, and noise-normalised scores are NaN, too.
"""

from __future__ import annotations

import numpy as np

from cortune.encoding.scores import Floats


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
