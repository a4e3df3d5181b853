"""Transfer: encoding models of one subject on features of another subject's network.

A network tuned to one subject sees the test images of others of the same data set, or all
images of another that no network was tuned on, and new principal components and ridge
models are fitted to each target's responses under the protocol of its own encoding models. A
network runs once on each image, however many targets saw it. No image that the network was
tuned on scores it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, hdf5_reader, hdf5_writer
from cortune.data.identity import has_id
from cortune.data.prepare import read_responses
from cortune.data.splits import SETS, UNUSED, assert_disjoint
from cortune.data.units import ImageSet, PooledUnits, UnitPaths, load_images
from cortune.encoding.protocols import Settings, encode_unit
from cortune.encoding.results import UnitEncoding, read_group, write_group
from cortune.errors import InputError
from cortune.features import ByLayer, Space, extract_products
from cortune.versions import Provenance

if TYPE_CHECKING:
    from cortune.networks.device import Runtime

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """Whom a network is transferred to.

    Parameters
    ----------
    subject : str
    rois : tuple of str
        ROIs of the target that are encoded.
    paths : UnitPaths
        The target's prepared images, split and responses of one hemisphere.
    """

    subject: str
    rois: tuple[str, ...]
    paths: UnitPaths


def targets(units: Mapping[str, Sequence[str]], paths: PooledUnits) -> list[Target]:
    """Pair subjects and their ROIs with their prepared files.

    Parameters
    ----------
    units : mapping of str to sequence of str
        ROIs of each subject.
    paths : PooledUnits
        Lists of files in the order of `units`.
    """
    files = zip(paths.images, paths.index, paths.split, paths.responses, strict=True)
    return [
        Target(subject, tuple(rois), UnitPaths(*each))
        for (subject, rois), each in zip(units.items(), files, strict=True)
    ]


def transfer_network(
    network: PathLike,
    layers: Any,
    targets: Sequence[Target],
    path: PathLike,
    provenance: Provenance,
    runtime: Runtime,
    settings: Settings,
    *,
    protocol: str,
    n_folds: int,
    base: PathLike | None = None,
    batch_size: int = 128,
    tokens: str = "all",
    space: Space | None = None,
    within: bool = True,
) -> None:
    """Encode every target's ROIs from the features of one network.

    Parameters
    ----------
    network, base : path
        The network of the source, or the untuned one, and the one that it was tuned from.
    layers : list of str, ``auto``, or how many
    targets : sequence of Target
    path : path
        HDF5 file to write: a group per subject, in it one per ROI with the fields of
        :class:`cortune.encoding.results.UnitEncoding`.
    provenance : Provenance
    runtime : Runtime
    settings : Settings
    protocol : str
        A key of :data:`cortune.encoding.folds.PROTOCOLS` that scores test images alone.
    n_folds : int
    batch_size : int
        Images per forward pass.
    tokens : str
        What of a layer's tokens (:func:`cortune.networks.layers.features_of`).
    space : Space, optional
        Where features are kept; the scratch file lies beside `path`.
    within : bool
        Whether the targets are of the network's data set: their test images are encoded.
        Of another data set it is all images that no network saw (:func:`untouched`).

    Raises
    ------
    LeakageError
        If the network was tuned on a test image of a target.
    InputError
        If a target's files do not hold the same images, or lack an ROI.
    """
    import h5py

    from cortune.networks.layers import choose_layers
    from cortune.networks.store import load_network

    saved = load_network(network, base)
    layers = choose_layers(saved.backbone, layers)
    kept = ("test",) if within else (*SETS, UNUSED)
    images = [load_images(target.paths, *kept) for target in targets]
    if not within:
        images = [untouched(seen, saved.tuned_on) for seen in images]
    for target, seen in zip(targets, images, strict=True):
        assert_disjoint(
            saved.tuned_on, seen.marks(*kept), f"{network} and the test images of {target.subject}"
        )
    union = _Union(images)
    space = (space or Space()).beside(path)
    products = extract_products(
        saved.backbone,
        layers,
        union,
        np.arange(len(union)),
        runtime,
        batch_size=batch_size,
        tokens=tokens,
        space=space,
        groups=union.groups,
    )
    # All targets' Grams of all layers do not fit into memory either.
    with (
        hdf5_writer(path, provenance) as file,
        tempfile.TemporaryFile(dir=space.folder) as scratch,
        h5py.File(scratch, "w") as grams,
    ):
        for layer, found in products:
            for target, each in zip(targets, found, strict=True):
                grams[f"{target.subject}/{layer}"] = each.gram.astype(np.float32)
        for target, seen in zip(targets, images, strict=True):
            own = ByLayer(grams[target.subject], layers)
            for roi in target.rois:
                encoding = _encode(target, roi, seen, own, settings, protocol, n_folds)
                write_group(file.create_group(f"{target.subject}/{roi}"), encoding)
            logger.info("%s: %d ROIs encoded", target.subject, len(target.rois))


def untouched(images: ImageSet, tuned_on: Collection[str]) -> ImageSet:
    """Return the images of another data set that no network was tuned on.

    Images with an id of COCO or NSD may be in both data sets. Those that the split gives to
    tuning or validation are left out, whether this network saw them or not, so that all
    networks are tried on the same images; others only if it saw them.

    Parameters
    ----------
    images : ImageSet
    tuned_on : collection of str
        Identities, also by content.
    """
    seen = set(tuned_on)
    shared = np.array([has_id(identity) for identity in images.identities], bool)
    touched = shared & np.isin(images.sets, ("tune", "validation"))
    for names in filter(None, (images.identities, images.digests)):
        touched |= np.array([name in seen for name in names], bool)
    return images.where(~touched)


def read_transfer(path: PathLike) -> dict[tuple[str, str], UnitEncoding]:
    """Read the encodings of :func:`transfer_network`, by subject and ROI."""
    with hdf5_reader(path) as file:
        return {
            (subject, roi): read_group(group)
            for subject, rois in file.items()
            for roi, group in rois.items()
        }


class _Union:
    """Images of several subjects, each once, behind one index."""

    def __init__(self, sets: Sequence[ImageSet]) -> None:
        place: dict[str, int] = {}
        self._sources: list[tuple[NDArray[np.uint8], int]] = []
        for seen in sets:
            for identity, row in zip(seen.identities, seen.rows, strict=True):
                if identity not in place:
                    place[identity] = len(self._sources)
                    self._sources.append((seen.cache, int(row)))
        self.groups = [np.array([place[each] for each in seen.identities]) for seen in sets]

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([cache[row] for cache, row in (self._sources[at] for at in rows)])


def _encode(
    target: Target,
    roi: str,
    images: ImageSet,
    grams: ByLayer,
    settings: Settings,
    protocol: str,
    n_folds: int,
) -> UnitEncoding:
    responses = read_responses(target.paths.responses, roi, images.names)
    row = {identity: position for position, identity in enumerate(responses.identities)}
    missing = [identity for identity in images.identities if identity not in row]
    if missing:
        raise InputError(
            target.paths.responses,
            f"no response to image {missing[0]} ({len(missing)} such images)",
            "responses to every image of the subject",
            "Remove the file and run the workflow again: it will be rebuilt.",
        )
    rows = [row[identity] for identity in images.identities]
    return encode_unit(
        grams,
        np.asarray(responses.values)[rows],
        {"test": np.arange(len(rows))},
        settings,
        protocols=[protocol],
        n_folds=n_folds,
        noise_ceiling=responses.noise_ceiling,
        vertices=responses.vertices,
    )[protocol]
