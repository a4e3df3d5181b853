"""The stage that maps where networks look, and how far to which side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, hdf5_writer
from cortune.networks.device import Runtime
from cortune.probes.linear import (
    NetworkLabel,
    ProbeResult,
    network_artifact,
    read_probe_result,
)
from cortune.probes.prepare import ProbeImages
from cortune.saliency.laterality import laterality_index
from cortune.seeds import rng, torch_seed
from cortune.versions import Provenance

if TYPE_CHECKING:
    from torch import nn

    from cortune.networks.store import SavedNetwork
    from cortune.saliency.attribution import Mapper

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SaliencyJob:
    """A probed network and where its saliency goes."""

    network: PathLike
    probe: PathLike
    output: PathLike


@dataclass(frozen=True)
class SaliencySettings:
    """What is mapped.

    Parameters
    ----------
    layer : str
        Layer that Grad-CAM or HiResCAM looks at.
    attribution : str
        ``grad_cam``, ``hires_cam`` or ``integrated_gradients``.
    n_images : int
        Images of the probe, its test images first; all if there are fewer.
    n_examples : int
        Images whose maps are kept.
    n_randomised : int
        Images whose maps are compared with those of a network of random weights.
    batch_size : int
    """

    layer: str
    attribution: str = "grad_cam"
    n_images: int = 500
    n_examples: int = 8
    n_randomised: int = 32
    batch_size: int = 64


@dataclass(frozen=True, eq=False)
class SaliencyResult:
    """Saliency of one network, as :func:`map_saliency` wrote it.

    Parameters
    ----------
    label : NetworkLabel
    probe, layer, attribution : str
    rows : array (n_images,), int64
        Rows of the probe's cache.
    li_image, li_mirror : array (n_images,), float64
        Laterality indices of the image and of its mirror image, each in its own
        coordinates; NaN where the map is all zero.
    n_empty : int
        Images with such a map, of themselves or of their mirror image.
    mean_map : array (s, s), float32
        Mean over images and mirror images of maps that sum to 1.
    examples : array (n_examples, s, s), float32
        Maps of the first images of `rows`, sum 1 or all zero.
    r_randomised : array (n_randomised,), float64
        Rank correlation of each map with that of a network of random weights.
    """

    label: NetworkLabel
    probe: str
    layer: str
    attribution: str
    rows: NDArray[np.int64]
    li_image: Floats
    li_mirror: Floats
    n_empty: int
    mean_map: NDArray[np.float32]
    examples: NDArray[np.float32]
    r_randomised: Floats

    @property
    def li(self) -> Floats:
        """The network's own laterality by image, (n_images,).

        The mean over image and mirror image: what the image shows on one side, it shows on
        the other in the mirror, and cancels; positive is right.
        """
        return np.asarray((self.li_image + self.li_mirror) / 2)


def saliency_rows(images: ProbeImages, n_images: int, seed: int) -> NDArray[np.int64]:
    """Return the images to map: test images in random order, then the others.

    They are the same for every network, so that networks are compared image by image.
    """
    shuffled = rng(seed, "saliency", "images").permutation(len(images))
    return shuffled[np.argsort(~images.test[shuffled], kind="stable")][:n_images]


def map_saliency(
    jobs: Sequence[SaliencyJob],
    images: ProbeImages,
    provenance: Provenance,
    runtime: Runtime,
    settings: SaliencySettings,
    base: PathLike | None = None,
) -> None:
    """Map the evidence for the true class over images and their mirror images.

    Parameters
    ----------
    jobs : sequence of SaliencyJob
        Each output is an HDF5 file; see :class:`SaliencyResult` for its data sets.
    images : ProbeImages
        Those of the probe that the networks were given.
    provenance : Provenance
        Its seed draws the images and the random weights.
    runtime : Runtime
        Maps are computed in float32 whatever its precision.
    settings : SaliencySettings
    base : path, optional
        The network that they were tuned from.

    Raises
    ------
    InputError
        If the layer has no maps or comes after the probed one, or the attribution is
        unknown.
    """
    from cortune.networks.store import load_network

    rows = saliency_rows(images, settings.n_images, provenance.seed)
    for job in jobs:
        saved = load_network(job.network, base)
        result = read_probe_result(job.probe)
        mapper = _mapper(saved.backbone, result, images, runtime, settings)
        li, mean_map, examples = _summarise(mapper, images, rows, settings)
        random = _random_network(saved, provenance.seed)
        control = _mapper(random, result, images, runtime, settings)
        few = rows[: settings.n_randomised]
        r_randomised = _rank_correlations(mapper, control, images, few, settings.batch_size)
        with hdf5_writer(job.output, provenance) as file:
            file["rows"] = rows
            file["li_image"], file["li_mirror"] = li
            file["mean_map"] = mean_map.astype(np.float32)
            file["examples"] = examples.astype(np.float32)
            file["r_randomised"] = r_randomised
            file.attrs.update(asdict(result.label))
            file.attrs.update(
                probe=result.probe,
                layer=settings.layer,
                attribution=settings.attribution,
                n_empty=int(np.isnan(li).any(0).sum()),
            )


def read_saliency(path: PathLike) -> SaliencyResult:
    """Read an artifact of :func:`map_saliency`.

    Raises
    ------
    InputError
        If the file is missing, truncated or no such artifact.
    """
    with network_artifact(path, "saliency", "map_saliency") as (file, label):
        attrs = file.attrs
        return SaliencyResult(
            label,
            str(attrs["probe"]),
            str(attrs["layer"]),
            str(attrs["attribution"]),
            file["rows"][:],
            file["li_image"][:],
            file["li_mirror"][:],
            int(attrs["n_empty"]),
            file["mean_map"][:],
            file["examples"][:],
            file["r_randomised"][:],
        )


def _mapper(
    backbone: nn.Module,
    result: ProbeResult,
    images: ProbeImages,
    runtime: Runtime,
    settings: SaliencySettings,
) -> Mapper:
    from cortune.saliency.attribution import Mapper, ProbedNetwork

    network = ProbedNetwork(backbone, result.layer, result.linear)
    return Mapper(
        network,
        images.labels,
        layer=settings.layer,
        attribution=settings.attribution,
        device=runtime.device,
        example=images.cache[:1],
    )


def _random_network(saved: SavedNetwork, seed: int) -> nn.Module:
    """Build the network with random weights that it was not trained from."""
    from cortune.networks.backbones import origin_of

    return origin_of(saved.backbone).build(torch_seed(seed, "saliency", "random weights"))


def _summarise(
    mapper: Mapper, images: ProbeImages, rows: NDArray[np.int64], settings: SaliencySettings
) -> tuple[Floats, Floats, Floats]:
    """Return LI of images and mirror images (2, n), the mean map, and the first maps."""
    from tqdm import tqdm

    size = images.cache.shape[1]
    li = np.empty((2, len(rows)))
    total, n_whole = np.zeros((size, size)), 0
    examples: list[Floats] = []
    for start in tqdm(
        range(0, len(rows), settings.batch_size), unit="batch", file=sys.stderr, mininterval=5
    ):
        block = rows[start : start + settings.batch_size]
        pictures = np.asarray(images.cache[block])
        maps = np.stack(
            [mapper.upsampled(view, block) for view in (pictures, pictures[:, :, ::-1])]
        )
        li[:, start : start + len(block)] = laterality_index(maps)
        sums = maps.sum((-2, -1), keepdims=True)
        maps /= np.where(sums > 0, sums, 1)
        whole = (sums[..., 0, 0] > 0).all(0)
        total += maps[:, whole].sum((0, 1)) / 2
        n_whole += int(whole.sum())
        examples.extend(maps[0, : max(0, settings.n_examples - len(examples))])
    return li, total / max(n_whole, 1), np.reshape(examples, (-1, size, size))


def _rank_correlations(
    mapper: Mapper, control: Mapper, images: ProbeImages, rows: NDArray[np.int64], batch_size: int
) -> Floats:
    """Return Spearman's correlation of two networks' maps, image by image.

    A map that hardly changes when the weights are randomised says little about the network
    (Adebayo et al. 2018). NaN where either map is constant.
    """
    import pandas as pd  # loaded already; scipy.stats takes as long as many networks

    correlations: list[Floats] = []
    for start in range(0, len(rows), batch_size):
        block = rows[start : start + batch_size]
        pictures = np.asarray(images.cache[block])
        both = [maps(pictures, block).reshape(len(block), -1) for maps in (mapper, control)]
        x, y = (pd.DataFrame(maps).rank(axis=1).to_numpy() for maps in both)
        x, y = (ranks - ranks.mean(1, keepdims=True) for ranks in (x, y))
        norm = np.sqrt((x**2).sum(1) * (y**2).sum(1))
        correlations.append((x * y).sum(1) / np.where(norm > 0, norm, np.nan))
    return np.concatenate(correlations) if correlations else np.empty(0)
