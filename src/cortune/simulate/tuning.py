"""Tuning that subjects share by degrees.

A region's vertices are tuned to mixtures of a few sparse non-negative profiles over the
channels; the mixture changes smoothly over the cortical sheet. Both the profiles and the
mixture are functions of Gaussian variables z = rho * common + sqrt(1 - rho^2) * own, with
`common` drawn for the population and `own` for the subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cortune.seeds import rng
from cortune.simulate.energies import BLOCKS, N_ENERGIES, N_PRODUCTS, n_latents
from cortune.simulate.regions import Region
from cortune.simulate.scenes import CATEGORIES, category_likeness

N_PROFILES = 4
_ACTIVE = {"energy": 3, "texture": 4, "latent": 3}
_SMOOTHNESS = 0.3  # of the mixture, in units of the region's extent
_CONTRAST = 2.5  # how much the strongest profile dominates a vertex
_PREFERENCE = 4.0
_N_WAVES = 64


@dataclass(frozen=True)
class Source:
    """Where a subject's Gaussian variables come from."""

    seed: int
    subject: str
    correlation: float

    def gaussian(self, name: str, draw: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        """Return rho * common + sqrt(1 - rho^2) * own."""
        common = draw(rng(self.seed, "simulate", "tuning", "population", name))
        own = draw(rng(self.seed, "simulate", "tuning", "subject", self.subject, name))
        return np.asarray(self.correlation * common + np.sqrt(1 - self.correlation**2) * own)


@dataclass(frozen=True)
class Tuning:
    """Tuning of a region's vertices to the channels of one block.

    Attributes
    ----------
    mixture : ndarray of float32, shape (n_vertices, N_PROFILES)
        Rows sum to one.
    profiles : ndarray of float32, shape (N_PROFILES, n_channels)
        Rows sum to one and have a few entries that are not zero.
    """

    mixture: np.ndarray
    profiles: np.ndarray


def channel_counts(n_classes: int) -> dict[str, int]:
    """Return the number of channels of each block."""
    return dict(zip(BLOCKS, (N_ENERGIES, N_PRODUCTS, n_latents(n_classes)), strict=True))


def draw_tuning(
    source: Source, region: Region, name: str, block: str, sheet: np.ndarray, n_classes: int
) -> Tuning:
    """Draw the tuning of one region to one block of channels.

    Parameters
    ----------
    source : Source
    region : Region
        Profiles belong to its area, in both hemispheres.
    name : str
        Of the region in its hemisphere, to which the mixture belongs.
    block : str
    sheet : ndarray of float, shape (n_vertices, 2)
        Position on the cortical sheet, 0 to 1 on either axis.
    n_classes : int
    """
    n_channels = channel_counts(n_classes)[block]
    z = source.gaussian(
        f"{region.area} {block} profiles", lambda draw: draw.normal(size=(N_PROFILES, n_channels))
    )
    if block == "latent":
        z = z + source.correlation * _preference(region, n_classes)
    field = source.gaussian(
        f"{name} {block} mixture", lambda draw: smooth_fields(draw, sheet, N_PROFILES)
    )
    weights = np.exp(_CONTRAST * field)
    mixture = weights / weights.sum(1, keepdims=True)
    return Tuning(mixture.astype(np.float32), _sparse(z, _ACTIVE[block]).astype(np.float32))


def smooth_fields(draw: np.random.Generator, sheet: np.ndarray, n_fields: int) -> np.ndarray:
    """Draw smooth Gaussian fields of unit variance on the sheet: (n_vertices, n_fields)."""
    waves = draw.normal(0, 1 / _SMOOTHNESS, (2, _N_WAVES, n_fields))
    phase = draw.uniform(0, 2 * np.pi, (_N_WAVES, n_fields))
    fields = np.empty((len(sheet), n_fields))
    for index in range(n_fields):
        angle = sheet @ waves[:, :, index] + phase[:, index]
        fields[:, index] = np.sqrt(2 / _N_WAVES) * np.cos(angle).sum(1)
    return fields


def _sparse(z: np.ndarray, n_active: int) -> np.ndarray:
    """Keep what exceeds the (n_active + 1)-th largest value of each row; rows sum to one."""
    threshold = np.sort(z, axis=1)[:, -n_active - 1, None]
    excess = np.maximum(z - threshold, 0)
    normalised: np.ndarray = excess / excess.sum(1, keepdims=True)
    return normalised


def _preference(region: Region, n_classes: int) -> np.ndarray:
    """Return how much the population favours each latent channel: (n_latents,)."""
    preference = np.zeros(n_latents(n_classes))
    for category in region.prefers:
        index = CATEGORIES.index(category)
        preference[index] = _PREFERENCE
        preference[4 : 4 + n_classes] += category_likeness(n_classes)[:, index]
    return preference
