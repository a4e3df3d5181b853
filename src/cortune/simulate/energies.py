"""What a picture offers to the simulated brain, on one coarse grid.

Three blocks of non-negative maps: normalised quadrature-Gabor energies, products of pairs
of them (texture), and latent variables of the scene. Frequencies are in cycles per picture,
so that a picture of any size gives the same maps up to what its pixels can carry.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cortune.seeds import rng
from cortune.simulate.scenes import GRID, Scene, category_likeness

FREQUENCIES = (5.0, 8.0, 12.0, 18.0, 26.0)
N_ORIENTATIONS = 8
N_ENERGIES = N_ORIENTATIONS * len(FREQUENCIES)
N_PRODUCTS = 96
BLOCKS = ("energy", "texture", "latent")

_WORKING_SIZE = 128
_BANDWIDTH = 0.45  # standard deviation of log frequency: about 1.5 octaves at half height
_ORIENTATION_WIDTH = np.deg2rad(15.0)
_SEMISATURATION = 0.3
_GAIN = 33.0  # brings the energies of scenes and photographs to about 0.3
_POOL = 3.0  # cells; about one degree
# Texture is the mix of energies at a place, whatever the contrast there.
_TEXTURE_SEMISATURATION = 0.03
_TEXTURE_POOL = 1.0


def n_latents(n_classes: int) -> int:
    """Return the number of latent maps: categories, classes, openness, clutter."""
    return 4 + n_classes + 2


def stimulus_maps(scenes: list[Scene]) -> dict[str, np.ndarray]:
    """Compute the maps of each block.

    Parameters
    ----------
    scenes : list of Scene
        All of one size.

    Returns
    -------
    dict of str to ndarray of float32, shape (n_scenes, n_channels, GRID * GRID)
        Keyed by :data:`BLOCKS`.
    """
    energies = gabor_energies(np.stack([luminance(scene.image) for scene in scenes]))
    first, second = _pairs()
    relative = normalise(energies, _TEXTURE_SEMISATURATION, _TEXTURE_POOL)
    products = relative[:, first] * relative[:, second]
    latents = np.stack([_latents(scene) for scene in scenes])
    blocks = zip(BLOCKS, (normalise(energies), products, latents), strict=True)
    return {name: maps.reshape(*maps.shape[:2], -1) for name, maps in blocks}


def luminance(image: np.ndarray) -> np.ndarray:
    """Return a picture's luminance at the working resolution, 0 to 1: (s, s), s <= 128."""
    from PIL import Image

    grey = Image.fromarray(image).convert("L")
    if len(image) > _WORKING_SIZE:
        grey = grey.resize((_WORKING_SIZE, _WORKING_SIZE), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32) / 255


def gabor_energies(pictures: np.ndarray) -> np.ndarray:
    """Compute quadrature-Gabor energies.

    Each filter keeps one half plane of the spectrum, so that the squared modulus of its
    output is the energy of a quadrature pair; demodulated by its centre frequency, the
    output is smooth enough for the coarse grid.

    Parameters
    ----------
    pictures : ndarray of float32, shape (n, size, size)

    Returns
    -------
    ndarray of float32, shape (n, N_ENERGIES, GRID, GRID)
        Channel index: scale * N_ORIENTATIONS + orientation.
    """
    size = pictures.shape[-1]
    rows, columns, weights = _filters(size)
    centred = (pictures - pictures.mean((1, 2), keepdims=True)) * _taper(size)
    spectrum = np.fft.fft2(centred)
    bands = spectrum[:, rows[:, :, None], columns[:, None, :]] * weights
    output = np.fft.ifft2(bands)
    energies: np.ndarray = output.real**2 + output.imag**2
    return energies


def normalise(
    energies: np.ndarray, semisaturation: float = _SEMISATURATION, pool: float = _POOL
) -> np.ndarray:
    """Divide energies by their neighbourhood: E_c / (s + G * mean_c E_c) (Heeger 1992).

    Parameters
    ----------
    energies : ndarray of float32, shape (n, n_channels, GRID, GRID)
    semisaturation : float
        The constant s.
    pool : float
        Standard deviation of the Gaussian G, cells of the grid.
    """
    blur = _blur(pool)
    normalised: np.ndarray = energies / (semisaturation + blur @ energies.mean(1) @ blur.T)[:, None]
    return normalised


@lru_cache(maxsize=4)
def _taper(size: int) -> np.ndarray:
    """Return a window that hides the wrap-around of the Fourier transform."""
    position = (np.arange(size) + 0.5) / size
    ramp = np.clip(np.minimum(position, 1 - position) / 0.06, 0, 1)
    edge = 0.5 - 0.5 * np.cos(np.pi * ramp)
    return np.outer(edge, edge).astype(np.float32)


@lru_cache(maxsize=4)
def _filters(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each filter's window of the spectrum: row and column indices, weights.

    Indices are (N_ENERGIES, GRID) each, weights complex64 (N_ENERGIES, GRID, GRID). A 1/f
    picture drives filters of constant relative bandwidth alike; the weights' phase moves
    the samples to the centres of the grid's cells.
    """
    offsets = np.fft.ifftshift(np.arange(GRID) - GRID // 2)
    rows = np.empty((N_ENERGIES, GRID), np.intp)
    columns = np.empty((N_ENERGIES, GRID), np.intp)
    weights = np.empty((N_ENERGIES, GRID, GRID), np.complex64)
    shift = 0.5 / GRID - 0.5 / size
    for channel in range(N_ENERGIES):
        scale, index = divmod(channel, N_ORIENTATIONS)
        frequency, angle = FREQUENCIES[scale], np.pi * index / N_ORIENTATIONS
        fy = offsets + round(frequency * np.sin(angle))
        fx = offsets + round(frequency * np.cos(angle))
        radius = np.hypot(fy[:, None], fx[None, :]).astype(float)
        radius[radius == 0] = 1e-6
        turn = np.angle(np.exp(1j * (np.arctan2(fy[:, None], fx[None, :]) - angle)))
        gain = np.exp(
            -0.5 * (np.log(radius / frequency) / _BANDWIDTH) ** 2
            - 0.5 * (turn / _ORIENTATION_WIDTH) ** 2
        )
        gain[np.abs(fy) >= size / 2] = 0
        gain[:, np.abs(fx) >= size / 2] = 0
        # The window's own Nyquist row and column have no counterpart in a mirrored picture.
        gain[GRID // 2] = gain[:, GRID // 2] = 0
        phase = np.exp(2j * np.pi * shift * (fy[:, None] + fx[None, :]))
        # ifft2 divides by GRID**2 and the spectrum has grown with size**2.
        weights[channel] = gain * phase * _GAIN * (frequency / 12) ** 0.3 * (GRID / size) ** 2
        rows[channel], columns[channel] = fy % size, fx % size
    return rows, columns, weights


@lru_cache(maxsize=4)
def _blur(pool: float) -> np.ndarray:
    """Return the matrix that pools along one axis of the grid; rows sum to one."""
    cells = np.arange(GRID)
    kernel = np.exp(-0.5 * ((cells[:, None] - cells[None, :]) / pool) ** 2)
    return np.asarray(kernel / kernel.sum(1, keepdims=True), np.float32)


@lru_cache(maxsize=1)
def _pairs() -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of energies that texture channels multiply; the same for all brains."""
    first, second = np.triu_indices(N_ENERGIES, 1)
    chosen = rng(0, "simulate", "texture pairs").permutation(len(first))[:N_PRODUCTS]
    return first[chosen], second[chosen]


def _latents(scene: Scene) -> np.ndarray:
    """Return categories, classes, openness and clutter: (n_latents, GRID, GRID)."""
    n_classes = len(scene.class_maps)
    categories = np.tensordot(category_likeness(n_classes).T, scene.class_maps, 1)
    # An open place looks like a place all over.
    categories[2] = np.maximum(categories[2], 0.6 * scene.openness * (1 - scene.class_maps.sum(0)))
    surroundings = np.ones((2, GRID, GRID), np.float32)
    surroundings[0] *= scene.openness
    surroundings[1] *= scene.clutter
    return np.concatenate([categories, scene.class_maps, surroundings]).astype(np.float32)
