"""A simulated hemisphere: pRFs, tuning and reliability of every vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortune.reliability import noise_ceiling
from cortune.seeds import rng
from cortune.simulate.energies import BLOCKS
from cortune.simulate.layout import Layout, make_layout
from cortune.simulate.regions import REGIONS, Region
from cortune.simulate.spec import SimulationSpec
from cortune.simulate.surface import foveal_coordinates, sphere
from cortune.simulate.tuning import Source, Tuning, channel_counts, draw_tuning, smooth_fields

MAX_ECCENTRICITY = 4.2
_LATENT_EXPONENT = 0.5
_FLOOR = 0.01
_SIZE_SCATTER = 0.15


@dataclass(frozen=True)
class Patch:
    """The vertices of one region.

    Attributes
    ----------
    region : Region
    vertices : ndarray of int64, shape (n_patch,)
        Positions in the hemisphere.
    sheet : ndarray of float, shape (n_patch, 2)
        Position along the eccentricity and polar-angle axes of the cortex, 0 to 1.
    x, y, size : ndarray of float, shape (n_patch,)
        pRF centre (right and up are positive) and standard deviation, degrees.
    tuning : dict of str to Tuning
        By block; only blocks that the region listens to.
    """

    region: Region
    vertices: np.ndarray
    sheet: np.ndarray
    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    tuning: dict[str, Tuning]

    def drive(self, maps: dict[str, np.ndarray], pooling: np.ndarray) -> dict[str, np.ndarray]:
        """Return each block's compressed drive: (n_images, n_patch).

        Parameters
        ----------
        maps : dict of str to ndarray, shape (n_images, n_channels, GRID * GRID)
        pooling : ndarray of float32, shape (GRID * GRID, n_patch)
        """
        drives = {}
        for block, tuning in self.tuning.items():
            projected = tuning.profiles @ maps[block]  # (n_images, n_profiles, n_cells)
            # One large product: stacks of small ones stall when BLAS threads share cores.
            pooled = projected.reshape(-1, projected.shape[-1]) @ pooling
            pooled = pooled.reshape(*projected.shape[:2], -1)  # (n_images, n_profiles, n_patch)
            total = np.einsum("ipv,vp->iv", pooled, tuning.mixture)
            exponent = _LATENT_EXPONENT if block == "latent" else self.region.exponent
            drives[block] = (np.maximum(total, 0) + np.float32(_FLOOR)) ** np.float32(exponent)
        return drives

    def share(self, block: str) -> float:
        """Return the share of the signal's variance that a block drives."""
        return self.region.shares[BLOCKS.index(block)]


@dataclass(frozen=True)
class Brain:
    """One hemisphere of one simulated subject.

    Attributes
    ----------
    hemisphere : {"lh", "rh"}
    layout : Layout
    patches : tuple of Patch
        Every vertex is in exactly one.
    null : ndarray of bool, shape (n_vertices,)
        Vertices that no stimulus drives.
    ncsnr : ndarray of float, shape (n_vertices,)
        Standard deviation of the signal over that of a single trial's noise.
    n_classes : int
    """

    hemisphere: str
    layout: Layout
    patches: tuple[Patch, ...]
    null: np.ndarray
    ncsnr: np.ndarray
    n_classes: int

    @property
    def n_vertices(self) -> int:
        """Number of vertices."""
        return len(self.layout.vertices)

    def noise_ceiling(self, n_repeats: int) -> np.ndarray:
        """Return the shares of variance that can be explained: (n_vertices,)."""
        return noise_ceiling(self.ncsnr, np.array([n_repeats]))

    def prf(self) -> dict[str, np.ndarray]:
        """Return pRF ``x``, ``y`` and ``size`` in degrees, each (n_vertices,)."""
        return {name: self._gather(name) for name in ("x", "y", "size")}

    def tuning(self) -> np.ndarray:
        """Return the weight of every channel: (n_vertices, n_channels) of float32.

        The blocks follow each other; each row's blocks sum to the square roots of their
        shares of variance.
        """
        counts = channel_counts(self.n_classes)
        starts = dict(zip(counts, np.cumsum([0, *counts.values()]), strict=False))
        weights = np.zeros((self.n_vertices, sum(counts.values())), np.float32)
        for patch in self.patches:
            for block, tuning in patch.tuning.items():
                columns = slice(starts[block], starts[block] + counts[block])
                scale = np.float32(np.sqrt(patch.share(block)))
                weights[patch.vertices, columns] = scale * tuning.mixture @ tuning.profiles
        return weights

    def _gather(self, name: str) -> np.ndarray:
        values = np.empty(self.n_vertices)
        for patch in self.patches:
            values[patch.vertices] = getattr(patch, name)
        return values


def make_brain(spec: SimulationSpec, subject: str, hemisphere: str, seed: int) -> Brain:
    """Draw one hemisphere of a subject.

    Raises
    ------
    InputError
        If a file of `spec.masks` is missing or malformed.
    """
    layout = make_layout(spec, hemisphere)
    points = sphere(hemisphere)[layout.vertices]
    return place_brain(spec, subject, hemisphere, seed, layout, points)


def place_brain(
    spec: SimulationSpec,
    subject: str,
    hemisphere: str,
    seed: int,
    layout: Layout,
    points: np.ndarray,
    max_eccentricity: float = MAX_ECCENTRICITY,
) -> Brain:
    """Draw one hemisphere of a subject on any mesh.

    Tuning is a function of the place on the cortical sheet, so that subjects on different
    meshes share it as those on one mesh do.

    Parameters
    ----------
    spec : SimulationSpec
    subject, hemisphere : str
    seed : int
    layout : Layout
    points : ndarray of float, shape (n_vertices, 3)
        The layout's vertices on fsaverage's unit sphere.
    max_eccentricity : float
        Of pRF centres, degrees.
    """
    distance, azimuth = foveal_coordinates(points, hemisphere)
    names = layout.regions()
    source = Source(seed, subject, spec.tuning_correlation)
    draw = rng(seed, "simulate", "brain", subject, hemisphere)
    null = np.zeros(len(names), bool)
    ncsnr = np.zeros(len(names))
    patches = []
    for name in REGIONS:
        vertices = np.flatnonzero(names == name)
        if not len(vertices):
            continue
        sheet = _sheet(REGIONS[name], distance[vertices], azimuth[vertices])
        eccentricity = _eccentricity(sheet[:, 0], max_eccentricity)
        scatter = draw.normal(size=len(sheet))
        patch = _make_patch(
            name, vertices, sheet, hemisphere, source, spec.n_classes, eccentricity, scatter
        )
        patches.append(patch)
        ncsnr[vertices] = _draw_ncsnr(draw, sheet, spec, patch.region)
        null[vertices] = _draw_null(draw, len(vertices), spec.null_fraction)
    ncsnr[null] = 0
    return Brain(hemisphere, layout, tuple(patches), null, ncsnr, spec.n_classes)


def _make_patch(
    name: str,
    vertices: np.ndarray,
    sheet: np.ndarray,
    hemisphere: str,
    source: Source,
    n_classes: int,
    eccentricity: np.ndarray,
    scatter: np.ndarray,
) -> Patch:
    region = REGIONS[name]
    angle = _polar_angle(region, sheet[:, 1])
    side = 1 if hemisphere == "lh" else -1  # each hemisphere sees the other side
    size = region.intercept + region.slope * eccentricity
    tuning = {
        block: draw_tuning(source, region, f"{hemisphere} {name}", block, sheet, n_classes)
        for block, share in zip(BLOCKS, region.shares, strict=True)
        if share > 0
    }
    return Patch(
        region=region,
        vertices=vertices,
        sheet=sheet,
        x=side * eccentricity * np.cos(angle),
        y=eccentricity * np.sin(angle),
        size=size * np.exp(_SIZE_SCATTER * scatter),
        tuning=tuning,
    )


def _sheet(region: Region, distance: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Return positions away from the fovea and away from V1, as ranks in 0 to 1: (n, 2)."""
    centre = np.angle(np.exp(1j * azimuth).mean())
    outwards = np.angle(np.exp(1j * (azimuth - centre)))
    # Ventral of the calcarine sulcus azimuth is negative, so outwards is down.
    ventral = region.field == "upper" or (region.field == "both" and centre < 0)
    return np.stack([_ranks(distance), _ranks(-outwards if ventral else outwards)], axis=1)


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
    return ranks


def _eccentricity(fraction: np.ndarray, largest: float) -> np.ndarray:
    """Return the eccentricity below which a fraction of the cortex lies, degrees.

    Cortex per degree of eccentricity is e * M(e)^2 with M = 17.3 / (0.75 + e) mm/deg
    (Horton & Hoyt 1991); its integral is ln(1 + e / 0.75) + 0.75 / (0.75 + e) - 1.
    """
    degrees = np.linspace(0, largest, 1000)
    cortex = np.log1p(degrees / 0.75) + 0.75 / (0.75 + degrees) - 1
    return np.asarray(np.interp(fraction, cortex / cortex[-1], degrees))


def _polar_angle(region: Region, fraction: np.ndarray) -> np.ndarray:
    """Return the angle from the horizontal meridian, up positive, radians.

    Where the region covers half the field, `fraction` runs from the upper to the lower
    vertical meridian.
    """
    if region.field == "both":
        return (0.5 - fraction) * np.pi
    angle = (1 - fraction if region.meridian_first else fraction) * np.pi / 2
    return angle if region.field == "upper" else -angle


def _draw_ncsnr(
    draw: np.random.Generator, sheet: np.ndarray, spec: SimulationSpec, region: Region
) -> np.ndarray:
    """Draw log-normal ncsnr, half its log variance smooth over the sheet."""
    smooth = smooth_fields(draw, sheet, n_fields=1)[:, 0]
    z = np.sqrt(0.5) * (smooth - smooth.mean() + draw.normal(size=len(sheet)))
    return np.asarray(spec.ncsnr * region.snr * np.exp(spec.ncsnr_sigma * z))


def _draw_null(draw: np.random.Generator, n: int, fraction: float) -> np.ndarray:
    null = np.zeros(n, bool)
    null[draw.permutation(n)[: round(fraction * n)]] = True
    return null
