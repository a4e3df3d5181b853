"""Stable seeds: the same name gives the same random stream on every machine."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_words(*names: object) -> list[int]:
    """Hash names to 32-bit words for :func:`numpy.random.default_rng`.

    Python's own ``hash`` is salted per process; SHA-256 is not.
    """
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]


def rng(seed: int, *names: object) -> np.random.Generator:
    """Return the generator of `seed` for the stream called `names`."""
    return np.random.default_rng([seed, *seed_words(*names)])


def replicate_seed(seed: int, replicate: str) -> int:
    """Return the seed of one of a unit's networks; that of the first, 0, is `seed` itself."""
    return torch_seed(seed, "replicate", int(replicate)) if int(replicate) else seed


def torch_seed(seed: int, *names: object) -> int:
    """Return a 63-bit seed for :func:`torch.manual_seed`."""
    words = seed_words(seed, *names)
    return (words[0] << 31) ^ words[1]
