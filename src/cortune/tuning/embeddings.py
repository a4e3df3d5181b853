"""Embeddings of held-out images and responses, kept beside each tuned network.

They are what a contrastive head knows of images it never saw, and all that the
information bound needs, so the bound can be computed again without a forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, hdf5_reader, hdf5_writer
from cortune.errors import InputError
from cortune.versions import Provenance

Floats = NDArray[np.floating]
ONE = "one"
"""Stands for the unit of a network that is tuned to one alone."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Held-out images and their responses in the space that a network was tuned in.

    Parameters
    ----------
    identities : tuple of str
    image_z, response_z : array (n_images, z)
        Row i of both belongs to image i.
    tuned_on : tuple of str
        Identities that the network was tuned on or watched.
    """

    identities: tuple[str, ...]
    image_z: Floats
    response_z: Floats
    tuned_on: tuple[str, ...]


def write_embeddings(
    path: PathLike, embeddings: Mapping[str, Embedding], provenance: Provenance
) -> None:
    """Write embeddings by unit as HDF5; none for a method without an embedding."""
    with hdf5_writer(path, provenance) as file:
        for unit, embedding in embeddings.items():
            group = file.create_group(unit)
            group["image_z"] = embedding.image_z
            group["response_z"] = embedding.response_z
            for name in ("identities", "tuned_on"):
                texts = np.array(getattr(embedding, name), dtype=np.str_)
                group[name] = np.char.encode(texts, "utf-8")


def embedded_units(path: PathLike) -> list[str]:
    """Return the units that a file has embeddings of."""
    with hdf5_reader(path) as file:
        return list(file)


def read_embedding(path: PathLike, unit: str) -> Embedding:
    """Read the embedding of a unit, or the only one of a network that is one unit's.

    Raises
    ------
    InputError
        If the file has none for the unit.
    """
    with hdf5_reader(path) as file:
        names = list(file)
        if unit not in names and names != [ONE]:
            raise InputError(
                path,
                f"embeddings for {', '.join(names) or 'nobody'}",
                f"one for {unit}",
                "Only contrastive methods have embeddings; tune the network again.",
            )
        group = file[unit if unit in names else ONE]
        identities, tuned_on = (
            tuple(text.decode() for text in group[name][:]) for name in ("identities", "tuned_on")
        )
        return Embedding(identities, group["image_z"][:], group["response_z"][:], tuned_on)
