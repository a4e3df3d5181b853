"""Z-scored single-trial responses averaged over repeats, in bounded memory."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cortune.data.npy import release_pages
from cortune.data.nsd_files import Betas
from cortune.disk import allocate
from cortune.errors import ResourceError

_COLUMNS = 2048  # vertices of one session in memory at a time
_BLOCK_VALUES = 1 << 19  # means in memory at a time

_CURE = "Free some space, or set TMPDIR to a larger disk, then run again."
_log = logging.getLogger(__name__)


class MeanResponses:
    """Z-scored responses averaged over repeats, collected session by session.

    Sums lie in an unnamed temporary file, (n_images, n_vertices) float32, so that they
    take disk and not memory; the average takes their place.

    Parameters
    ----------
    repeats : array (n_images,), int64
        Trials of each image.
    n_vertices : int

    Attributes
    ----------
    missing : array (n_vertices,), bool
        Vertices that had no data in some session.
    """

    def __init__(self, repeats: NDArray[np.int64], n_vertices: int) -> None:
        self.missing = np.zeros(n_vertices, bool)
        self._repeats = repeats
        self._squares = np.zeros(n_vertices)
        self._file = _scratch(4 * len(repeats) * n_vertices)
        self._sums = self._map(n_vertices)

    def add(self, betas: Betas, vertices: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Add one session.

        Parameters
        ----------
        betas : Betas
        vertices : array (n_vertices,), int64
            Which to read, ascending.
        rows : array (n_trials,), int64
            Image of each trial; -1 for images that are left out.
        """
        n_missing = 0
        for start in range(0, len(vertices), _COLUMNS):
            part = slice(start, start + _COLUMNS)
            trials = betas.read(vertices[part])
            missing = ~np.isfinite(trials).all(axis=0)
            n_missing += int(missing.sum())
            self.missing[part] |= missing
            trials[:, missing] = 0
            _standardise(trials)
            self._squares[part] += np.square(trials[rows >= 0], dtype=np.float64).sum(axis=0)
            for row, trial in zip(rows.tolist(), trials, strict=True):
                if row >= 0:
                    self._sums[row, part] += trial
            release_pages(self._sums)
        if n_missing:
            _log.warning(
                "%s: no data in %d of %d vertices of ROIs; they are left out",
                betas.path, n_missing, len(vertices),
            )  # fmt: skip

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Average, and leave vertices without data out.

        Returns
        -------
        values : array (n_images, n_kept), float32
            A read-only memory map.
        ncsnr : array (n_kept,)
            Noise-ceiling SNR: the noise has the variance of trials about their image's
            mean, pooled by degrees of freedom, the signal what remains of the total. NaN
            where no image was repeated or a vertex is constant.
        """
        kept = ~self.missing
        n_images, n_kept = len(self._repeats), int(kept.sum())
        total, between = np.zeros(n_kept), np.zeros(n_kept)
        flat = self._sums.reshape(-1)
        step = max(1, _BLOCK_VALUES // max(1, len(kept)))
        for start in range(0, n_images, step):
            sums = self._sums[start : start + step][:, kept]
            repeats = self._repeats[start : start + step, None]
            means = sums / repeats.astype(np.float32)
            total += sums.sum(axis=0, dtype=np.float64)
            between += np.square(means, dtype=np.float64).T @ repeats[:, 0]
            # The rows written end before the next ones to be read begin.
            flat[start * n_kept : start * n_kept + means.size] = means.reshape(-1)
            release_pages(self._sums)
        del flat
        n_trials = int(self._repeats.sum())
        squares = self._squares[kept]
        if n_trials == n_images:
            return self._map(n_kept, "r"), np.full(n_kept, np.nan)
        noise = np.maximum(squares - between, 0) / (n_trials - n_images)
        signal = np.maximum((squares - total**2 / n_trials) / (n_trials - 1) - noise, 0)
        ncsnr = np.sqrt(signal / np.where(noise > 0, noise, np.nan))
        return self._map(n_kept, "r"), ncsnr

    def _map(self, n_vertices: int, mode: str = "r+") -> NDArray[np.float32]:
        shape = (len(self._repeats), n_vertices)
        if n_vertices == 0:
            return np.zeros(shape, np.float32)
        values: NDArray[np.float32] = np.memmap(self._file, np.float32, mode, shape=shape)  # type: ignore[call-overload]
        return values


def _standardise(trials: NDArray[np.float32]) -> None:
    """Z-score each vertex over the trials of a session, in place; a constant one is 0."""
    constant = trials.min(axis=0) == trials.max(axis=0)
    trials -= trials.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = trials.std(axis=0, dtype=np.float64).astype(np.float32)
    trials /= np.where(constant | (spread == 0), 1, spread)
    trials[:, constant] = 0


def _scratch(n_bytes: int) -> IO[bytes]:
    """Return an unnamed temporary file whose space is set aside."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        allocate(file, n_bytes, Path(tempfile.gettempdir(), "responses"), _CURE)
    except ResourceError:
        file.close()
        raise
    return file
