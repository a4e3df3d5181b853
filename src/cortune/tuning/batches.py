"""Batches of images and targets, in an order that depends on the seed and epoch only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cortune.seeds import rng


class _Rows(Dataset[tuple[Tensor, Tensor]]):
    """A whole batch per item: rows of a memory map, copied once."""

    def __init__(self, images: np.ndarray, rows: np.ndarray, targets: Tensor) -> None:
        self.images, self.rows, self.targets = images, rows, targets

    def __getitem__(self, batch: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.images[self.rows[batch]]), self.targets[batch]


class Batches:
    """Pairs of images and targets.

    Parameters
    ----------
    images : ndarray of shape (n_cached, s, s, 3), uint8
        May be a memory map; only the rows of a batch are read.
    rows : ndarray of shape (n_samples,)
        Row of each sample in `images`.
    targets : ndarray of shape (n_samples, …)
        Responses or labels.
    batch_size : int
        The last, smaller batch of an epoch is kept unless it has a single sample, with
        which batch normalisation cannot be done.
    seed : int
    workers : int
        Processes that load batches ahead.
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
    ) -> None:
        self._rows = _Rows(
            images, np.asarray(rows), torch.from_numpy(np.ascontiguousarray(targets))
        )
        self._batch_size, self._seed, self._workers = batch_size, seed, workers

    def __len__(self) -> int:
        return len(self._rows.rows)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the shuffled batches of one epoch."""
        order = rng(self._seed, "epoch", epoch).permutation(len(self))
        return self._load([part for part in self._split(order) if len(part) > 1])

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all samples once, in order."""
        return self._load(self._split(np.arange(len(self))))

    def _split(self, order: np.ndarray) -> list[np.ndarray]:
        return [order[i : i + self._batch_size] for i in range(0, len(order), self._batch_size)]

    def _load(self, parts: list[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        loader = DataLoader(
            self._rows,
            batch_size=None,
            sampler=parts,
            num_workers=self._workers,
            pin_memory=torch.cuda.is_available(),
        )
        return iter(loader)

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimisation steps in an epoch."""
        n_full, rest = divmod(len(self), self._batch_size)
        return n_full + (rest > 1)
