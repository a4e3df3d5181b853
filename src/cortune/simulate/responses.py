"""Responses of a simulated brain to pictures, without noise."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from cortune.data.npy import create_array
from cortune.simulate.brain import Brain
from cortune.simulate.energies import stimulus_maps
from cortune.simulate.scenes import GRID, Scene

PICTURE_DEGREES = 8.4
_CALIBRATION_IMAGES = 256
_BATCH = 32


def pooling_weights(
    x: np.ndarray, y: np.ndarray, size: np.ndarray, width: float = PICTURE_DEGREES
) -> np.ndarray:
    """Integrate Gaussian pRFs over the cells of the grid.

    Parameters
    ----------
    x, y, size : ndarray of float, shape (n,)
        Degrees from the picture's centre, right and up positive.
    width : float
        Of the picture, degrees.

    Returns
    -------
    ndarray of float32, shape (GRID * GRID, n)
        Rows of the grid run from top to bottom; a pRF wholly in the picture sums to one.
    """
    from scipy.special import erf

    edges = np.linspace(-width / 2, width / 2, GRID + 1)
    scale = np.sqrt(2) * size
    columns = np.diff(erf((edges[:, None] - x) / scale), axis=0) / 2
    rows = np.diff(erf((edges[:, None] + y) / scale), axis=0) / 2
    weights: np.ndarray = (rows[:, None] * columns[None]).reshape(GRID * GRID, -1)
    return weights.astype(np.float32)


def noiseless_responses(
    brains: dict[str, Brain],
    scenes: Iterable[Scene],
    n_images: int,
    folder: Path,
    width: float = PICTURE_DEGREES,
) -> dict[str, np.ndarray]:
    """Compute each hemisphere's responses without noise.

    Parameters
    ----------
    brains : dict of str to Brain
        By hemisphere.
    scenes : iterable of Scene
        Consumed once, a few at a time.
    n_images : int
        Number of scenes.
    folder : path
        Holds the memory maps that are returned.
    width : float
        Of the pictures, degrees.

    Returns
    -------
    dict of str to memmap of float32, shape (n_images, n_vertices)
        By hemisphere; every vertex has mean 0 and standard deviation 1 over images, null
        vertices are 0.
    """
    synthesisers = {
        name: _Synthesiser(brain, n_images, folder / f"{name}_noiseless.npy", width)
        for name, brain in brains.items()
    }
    remaining = iter(scenes)
    while batch := list(islice(remaining, _BATCH)):
        maps = stimulus_maps(batch)
        for synthesiser in synthesisers.values():
            synthesiser.add(maps)
    return {name: synthesiser.finish() for name, synthesiser in synthesisers.items()}


class _Synthesiser:
    """Responses of one hemisphere, image batch by image batch.

    The first images set the scale of every block, so that each drives its share of the
    variance; then batches are combined as they come.
    """

    def __init__(self, brain: Brain, n_images: int, path: Path, width: float) -> None:
        self._brain = brain
        shape = (n_images, brain.n_vertices)
        self._out = create_array(path, shape)
        self._pooling = [pooling_weights(p.x, p.y, p.size, width) for p in brain.patches]
        self._waiting: list[list[dict[str, np.ndarray]]] = []
        self._weights: list[dict[str, np.ndarray]] = []
        self._row = 0

    def add(self, maps: dict[str, np.ndarray]) -> None:
        drives = [
            patch.drive(maps, pooling)
            for patch, pooling in zip(self._brain.patches, self._pooling, strict=True)
        ]
        if self._weights:
            self._write(drives)
            return
        self._waiting.append(drives)
        if len(self._waiting) * _BATCH >= _CALIBRATION_IMAGES:
            self._calibrate()

    def finish(self) -> np.ndarray:
        if not self._weights:
            self._calibrate()
        out, null = self._out, self._brain.null
        columns = max(1, 20_000_000 // len(out))
        for start in range(0, out.shape[1], columns):
            part = slice(start, start + columns)
            values = out[:, part].astype(np.float64)
            values -= values.mean(0)
            spread = values.std(0)
            spread[(spread < 1e-9) | null[part]] = np.inf
            out[:, part] = values / spread
        return out

    def _calibrate(self) -> None:
        for index, patch in enumerate(self._brain.patches):
            weights = {}
            for block in patch.tuning:
                first = np.concatenate([drives[index][block] for drives in self._waiting])
                spread = first.std(0, dtype=np.float64)
                weight = np.sqrt(patch.share(block)) / np.maximum(spread, 1e-6)
                weights[block] = weight.astype(np.float32)
            self._weights.append(weights)
        for drives in self._waiting:
            self._write(drives)
        self._waiting = []

    def _write(self, drives: list[dict[str, np.ndarray]]) -> None:
        n = 0
        for patch, weights, drive in zip(self._brain.patches, self._weights, drives, strict=True):
            total = sum(weights[block] * values for block, values in drive.items())
            n = len(np.asarray(total))
            self._out[self._row : self._row + n, patch.vertices] = total
        self._row += n
