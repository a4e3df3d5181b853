"""Which of several GPUs a job takes.

Concurrent jobs take different ones. A job locks a file that stands for a place on its GPU and
holds it until its process ends: the kernel then frees the place, however the process ended.
Where there are more jobs than GPUs, a job shares the one with the fewest jobs.

Without a scheduler's allocation, ``--resources gpu=N`` keeps Snakemake from starting more
jobs than GPUs; under SLURM a job sees the GPUs that it was given, and no other.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)
_taken: dict[tuple[str, ...], tuple[int, IO[str]]] = {}


def take_device(devices: Sequence[str], folder: Path | None = None) -> int:
    """Take the GPU with the fewest jobs, until this process ends.

    Parameters
    ----------
    devices : sequence of str
        What identifies each GPU, whichever of them a process sees.
    folder : Path, optional
        Of the lock files. Default: of this user on this host.

    Returns
    -------
    int
        Position in `devices`; the same at every call of a process.
    """
    key = tuple(devices)
    if key not in _taken:
        folder = lock_folder() if folder is None else folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(folder / "choosing"):
                places = [_free_place(folder, device) for device in devices]
                chosen = min(range(len(devices)), key=lambda index: places[index][0])
                for index, (_, place) in enumerate(places):
                    if index != chosen:
                        place.close()
        except OSError as error:
            logger.warning("%s: no locks there (%s); taking the first GPU", folder, error)
            return 0
        others, place = places[chosen]
        _taken[key] = chosen, place
        _tell(devices[chosen], others, len(devices))
    return _taken[key][0]


def identities(properties: Sequence[object], visible: str | None) -> list[str]:
    """Return what identifies the GPUs that this process sees, whichever others there are.

    Parameters
    ----------
    properties : sequence
        Of each GPU, as torch tells them; their ``uuid`` is taken where there is one.
    visible : str or None
        ``CUDA_VISIBLE_DEVICES``: numbers or UUIDs of the GPUs that this process sees.
    """
    names = [name.strip() for name in (visible or "").split(",") if name.strip()]
    if len(names) < len(properties):
        names = [str(index) for index in range(len(properties))]
    return [str(getattr(each, "uuid", name)) for name, each in zip(names, properties, strict=False)]


def lock_folder() -> Path:
    """Return where the locks of this user's jobs on this host lie."""
    return Path(tempfile.gettempdir()) / f"cortune-gpus-{os.getuid()}-{socket.gethostname()}"


def _free_place(folder: Path, device: str) -> tuple[int, IO[str]]:
    """Return the number of jobs on a GPU, and a place there that is free, locked."""
    name = hashlib.sha256(device.encode()).hexdigest()[:16]
    n_jobs, free = 0, None
    for number in range(_n_places(folder, name) + 1):
        place = (folder / f"{name}-{number}").open("a")
        if not _locked(place):
            n_jobs += 1
            place.close()
        elif free is None:
            free = place
        else:
            place.close()
    assert free is not None, "the last place is new"
    return n_jobs, free


def _n_places(folder: Path, name: str) -> int:
    return sum(1 for _ in folder.glob(f"{name}-*"))


def _locked(file: IO[str]) -> bool:
    """Lock a file if no other process holds it; return whether that was so."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process choose at a time."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tell(device: str, others: int, n_devices: int) -> None:
    if others:
        logger.warning(
            "all %d GPUs are taken: process %d shares %s with %d other(s); --resources gpu=%d "
            "starts no more jobs than GPUs",
            n_devices,
            os.getpid(),
            device,
            others,
            n_devices,
        )
    else:
        logger.info("process %d takes GPU %s", os.getpid(), device)
