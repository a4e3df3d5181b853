"""Batches of images and targets, in an order that depends on the seed and epoch only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cortune.disk import amount
from cortune.errors import ResourceError
from cortune.networks.heads import Tagged
from cortune.seeds import rng

_PATIENCE = 300
"""Seconds that a batch of a loading process may take; network file systems are slow."""
_SHARED_MEMORY = Path("/dev/shm")


class BatchSource(Protocol):
    """What the training loop draws its batches from."""

    def __len__(self) -> int:
        """Return the number of samples of an epoch."""

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of optimisation steps of an epoch."""

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Any]]:
        """Yield the shuffled batches of one epoch."""

    def in_order(self) -> Iterator[tuple[Tensor, Any]]:
        """Yield all samples once, in order."""


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
        A larger value than there are samples makes one batch of all.
    seed : int
    workers : int
        Processes that load batches ahead.
    drop_last : bool
        Whether the last batch of an epoch is left out where it is smaller than the
        others. One of a single sample, with which batch normalisation cannot be done, is
        always left out.
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
        drop_last: bool = False,
    ) -> None:
        self._rows = _Rows(
            images, np.asarray(rows), torch.from_numpy(np.ascontiguousarray(targets))
        )
        self._batch_size = min(batch_size, len(self._rows.rows))
        self._seed, self._workers = seed, workers
        self._least = self._batch_size if drop_last else 2

    def __len__(self) -> int:
        return len(self._rows.rows)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the shuffled batches of one epoch."""
        order = rng(self._seed, "epoch", epoch).permutation(len(self))
        return self._load([part for part in self._split(order) if len(part) >= self._least])

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all samples once, in order."""
        return self._load(self._split(np.arange(len(self))))

    def _split(self, order: np.ndarray) -> list[np.ndarray]:
        return [order[i : i + self._batch_size] for i in range(0, len(order), self._batch_size)]

    def _load(self, parts: list[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        if self._workers:
            self._check_shared_memory()
        loader = DataLoader(
            self._rows,
            batch_size=None,
            sampler=parts,
            num_workers=self._workers,
            pin_memory=torch.cuda.is_available(),
            timeout=_PATIENCE if self._workers else 0,
        )
        try:
            yield from loader
        except RuntimeError as error:
            if "DataLoader" not in str(error):
                raise
            raise ResourceError(
                f"tuning.workers: found no batch from {self._workers} processes within "
                f"{_PATIENCE} s, or one of them killed ({error}); expected batches. Free memory, "
                "or set tuning.workers to 0."
            ) from error

    def _check_shared_memory(self) -> None:
        """Refuse to wait for batches that shared memory has no room for."""
        if not _SHARED_MEMORY.is_dir():
            return
        # Each process loads two batches ahead, which is PyTorch's default.
        ahead = min(2 * self._workers, -(-len(self) // self._batch_size))
        needed = (
            ahead * self._batch_size * (self._rows.images[0].nbytes + self._rows.targets[0].nbytes)
        )
        if needed > (free := shutil.disk_usage(_SHARED_MEMORY).free):
            raise ResourceError(
                f"tuning.workers: found {amount(free)} of shared memory ({_SHARED_MEMORY}), "
                f"expected {amount(needed)} for the batches that {self._workers} processes load "
                "ahead. Set tuning.workers to 0, lower batch_size, or give the container more "
                "(docker run --shm-size)."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimisation steps in an epoch."""
        n_full, rest = divmod(len(self), self._batch_size)
        return n_full + (rest >= self._least)


class SubjectBatches:
    """Batches of several subjects, each batch of one.

    Parameters
    ----------
    subjects : mapping of str to Batches
    parts : mapping of str to mapping of str to int
        Number of voxels of each unit of each subject, in the order of the responses' columns.
    seed : int
    interleaved : bool
        Whether subjects take turns at random, or one comes after the other in every epoch.
    """

    def __init__(
        self,
        subjects: Mapping[str, Batches],
        parts: Mapping[str, Mapping[str, int]],
        seed: int,
        *,
        interleaved: bool = True,
    ) -> None:
        self._subjects, self._parts, self._seed = dict(subjects), parts, seed
        self._interleaved = interleaved

    def __len__(self) -> int:
        return sum(map(len, self._subjects.values()))

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimisation steps in an epoch."""
        return sum(batches.steps_per_epoch for batches in self._subjects.values())

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tagged]]:
        """Yield the shuffled batches of one epoch, tagged with their units."""
        names = list(self._subjects)
        turns = np.repeat(
            np.arange(len(names)), [b.steps_per_epoch for b in self._subjects.values()]
        )
        waiting = {name: batches.epoch(epoch) for name, batches in self._subjects.items()}
        if self._interleaved:
            turns = rng(self._seed, "subjects", epoch).permutation(turns)
        for turn in turns:
            images, responses = next(waiting[names[turn]])
            yield images, Tagged(self._parts[names[turn]], responses)

    def in_order(self) -> Iterator[tuple[Tensor, Tagged]]:
        """Yield all samples once, subject by subject."""
        for name, batches in self._subjects.items():
            for images, responses in batches.in_order():
                yield images, Tagged(self._parts[name], responses)
