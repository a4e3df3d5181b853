"""Features of every layer in one forward pass, kept as one Gram matrix per layer.

Encoding models need inner products of images, not features: PCA, ridge regression and
cross-validation all follow from the n×n Gram matrix of the images, whose size does not
depend on the layer. So each network sees each image exactly once, and a new ridge
penalty, protocol or target ROI costs no forward pass. Features themselves never have to fit
into memory: they are kept as blocks of columns, in a scratch file where they are many.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cortune.artifacts import PathLike, hdf5_writer
from cortune.data.npy import release_pages
from cortune.data.splits import assert_disjoint
from cortune.data.units import ImageSet
from cortune.disk import allocate, require_space
from cortune.versions import Provenance

if TYPE_CHECKING:
    import h5py
    from torch import Tensor, nn

    from cortune.networks.device import Runtime

COLUMN_BLOCK = 8192
_ROW_BLOCK = 512
_log = logging.getLogger(__name__)


class Pictures(Protocol):
    """Decoded images (n_cached, s, s, 3), uint8: an array, or several behind one index."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Return the images of some rows."""


@dataclass(frozen=True, eq=False)
class Space:
    """Where features are kept between the forward pass and their products.

    Parameters
    ----------
    memory : float
        Bytes of features in memory at most; more of them go to a scratch file.
    scratch : float
        Bytes of that file at most. Where the features of all layers are more, the network
        runs again for the rest.
    folder : path, optional
        Where the file lies.
    """

    memory: float = 1e9
    scratch: float = 100e9
    folder: PathLike | None = None

    def beside(self, path: PathLike) -> Space:
        """Return the same beside a result, in whose folder, made here, the file will lie."""
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self, folder=folder)

    def passes(self, n_images: int, widths: Iterable[int]) -> list[int]:
        """Return the bytes of features that each pass over the images keeps."""
        return [sum(_size(n_images, each) for each in one) for one in self.parts(n_images, widths)]

    def parts(self, n_images: int, widths: Iterable[int]) -> list[list[tuple[int, slice]]]:
        """Return what each pass keeps: blocks of columns, by the number of their layer.

        A block is whole in one pass, so that sums run over the same blocks, and are the same
        to the last bit, in however many passes.
        """
        blocks = [
            (index, slice(start, min(start + COLUMN_BLOCK, width)))
            for index, width in enumerate(widths)
            for start in range(0, width, COLUMN_BLOCK)
        ]
        parts: list[list[tuple[int, slice]]] = []
        room = 0.0
        for block in blocks:
            size = _size(n_images, block)
            if not parts or size > room:
                parts.append([])
                room = max(self.memory, self.scratch)
            parts[-1].append(block)
            room -= size
        return parts

    def blocks(
        self, n_images: int, part: Sequence[tuple[int, slice]]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return where one pass keeps its features, whole and as blocks (n_images, n_columns)."""
        sizes = [_size(n_images, each) // 4 for each in part]
        if 4 * sum(sizes) <= self.memory:
            store = np.empty(sum(sizes), np.float32)
        else:
            path = Path(self.folder or tempfile.gettempdir()) / "features"
            cure = "Free some space, or lower features.scratch_gb: the network then runs again."
            require_space(path, 4 * sum(sizes), cure)
            # An unnamed file: its space is freed when the job ends, however it ends.
            with tempfile.TemporaryFile(dir=self.folder) as file:
                allocate(file, 4 * sum(sizes), path, cure)
                store = np.memmap(file, np.float32, "r+")
        ends = np.cumsum(sizes)[:-1]
        return store, [each.reshape(n_images, -1) for each in np.split(store, ends)]


def _size(n_images: int, block: tuple[int, slice]) -> int:
    """Return the bytes of a block of columns."""
    return 4 * n_images * int(block[1].stop - block[1].start)


@dataclass(frozen=True, eq=False)
class LayerProducts:
    """Inner products of images by one layer's features, all that similarity and encoding need.

    Parameters
    ----------
    gram : array (n_images, n_images), float64
        ``X Xᵀ`` with X centred over the images.
    means : array (n_images,), float64
        Mean of each image's features.
    to_mean : array (n_images,), float64
        Inner product of each image's features and those of the mean image, so that the
        products of uncentred features are ``gram + to_mean[:, None] + to_mean - mean(to_mean)``.
    n_features : int
    """

    gram: np.ndarray
    means: np.ndarray
    to_mean: np.ndarray
    n_features: int


class _Sums:
    """Adds up :class:`LayerProducts` block by block; products in float32, sums in float64."""

    def __init__(self, n_images: int, device: Any) -> None:
        import torch

        shapes = ((n_images, n_images), (n_images,), (n_images,))
        self._sums = [torch.zeros(each, dtype=torch.float64, device=device) for each in shapes]
        self._n_features = 0

    def add(self, block: np.ndarray) -> _Sums:
        import torch

        add_products(torch.from_numpy(block).to(self._sums[0].device), *self._sums)
        self._n_features += block.shape[1]
        return self

    def products(self) -> LayerProducts:
        whole(self._sums[0])
        gram, totals, to_mean = (each.cpu().numpy() for each in self._sums)
        return LayerProducts(gram, totals / self._n_features, to_mean, self._n_features)


def add_products(block: Tensor, gram: Tensor, totals: Tensor, to_mean: Tensor) -> None:
    """Add a block's part, (n_images, n_columns), to the sums of :class:`LayerProducts`, in place.

    Of `gram` only blocks of rows on or below the diagonal are multiplied.
    """
    totals += block.sum(1)
    mean = block.mean(0)
    starts = range(0, len(block), _ROW_BLOCK)
    for first in starts:
        rows = slice(first, first + _ROW_BLOCK)
        to_mean[rows] += block[rows].double() @ mean.double()
    block = block - mean
    for first in starts:
        rows = slice(first, first + _ROW_BLOCK)
        gram[rows, : rows.stop] += block[rows] @ block[: rows.stop].T


def whole(gram: Tensor) -> None:
    """Fill the upper half of a symmetric matrix, and centre it on both sides, which centres X."""
    for first in range(0, len(gram), _ROW_BLOCK):
        rows = slice(first, first + _ROW_BLOCK)
        gram[:first, rows] = gram[rows, :first].T
        # Some processors' matrix products do not give a symmetric matrix to the last bit.
        gram[rows, rows] = (gram[rows, rows] + gram[rows, rows].T) / 2
    gram -= gram.mean(0)
    gram -= gram.mean(1, keepdim=True)


def gram_matrix(features: np.ndarray, *, device: Any = "cpu") -> np.ndarray:
    """Return the centred Gram matrix (n_images, n_images), float64, of features.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features), float32
        May be a memory map: it is read once, by blocks of columns.
    device : torch.device or str
        Where products run.
    """
    sums = _Sums(len(features), device)
    for start in range(0, features.shape[1], COLUMN_BLOCK):
        sums.add(np.array(features[:, start : start + COLUMN_BLOCK]))
        release_pages(features)
    return sums.products().gram


def _batches(
    model: nn.Module,
    layers: Sequence[str],
    images: Pictures,
    rows: np.ndarray,
    runtime: Runtime,
    batch_size: int,
    tokens: str,
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Run a network over images; yield the positions of each batch and its layers' features."""
    import torch
    from tqdm import tqdm

    from cortune.networks.backbones import normalise
    from cortune.networks.layers import captured_layers, check_layers

    check_layers(model, layers)
    model = model.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    starts = range(0, len(rows), batch_size)
    with torch.no_grad(), captured_layers(model, layers, tokens) as outputs:
        for start in tqdm(starts, unit="batch", file=sys.stderr, mininterval=5):
            batch = np.asarray(images[rows[start : start + batch_size]])
            model(normalise(torch.from_numpy(batch).to(runtime.device), model))
            yield slice(start, start + len(batch)), outputs
            outputs.clear()


def extract_layers(
    model: nn.Module,
    layers: Sequence[str],
    images: Pictures,
    rows: np.ndarray,
    runtime: Runtime,
    *,
    batch_size: int = 128,
    tokens: str = "all",
) -> dict[str, np.ndarray]:
    """Run a network once over images and return the features of all named layers.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode.
    layers : sequence of str
    images : ndarray of shape (n_cached, s, s, 3), uint8
    rows : ndarray of shape (n_images,)
        Rows of `images` to run, in order.
    runtime : Runtime
        Features are computed in float32 whatever its precision.
    batch_size : int
        Images per forward pass.
    tokens : str
        What of a layer's tokens (:func:`cortune.networks.layers.features_of`).

    Returns
    -------
    dict of str to ndarray of shape (n_images, n_features), float32
    """
    found: dict[str, np.ndarray] = {}
    for at, outputs in _batches(model, layers, images, rows, runtime, batch_size, tokens):
        for layer in layers:
            values = outputs[layer].float().cpu().numpy()
            if layer not in found:
                found[layer] = np.empty((len(rows), values.shape[1]), np.float32)
            found[layer][at] = values
    return found


def extract_products(
    model: nn.Module,
    layers: Sequence[str],
    images: Pictures,
    rows: np.ndarray,
    runtime: Runtime,
    *,
    batch_size: int = 128,
    tokens: str = "all",
    space: Space | None = None,
    groups: Sequence[np.ndarray] | None = None,
) -> Iterator[tuple[str, list[LayerProducts]]]:
    """Run a network over images and yield the inner products of each layer's features.

    Memory is bounded by `space`, one batch, and the products of one layer, however wide.

    Parameters
    ----------
    model, layers, images, rows, runtime, batch_size, tokens
        As for :func:`extract_layers`.
    space : Space, optional
        Where features are kept. The network runs once where they fit.
    groups : sequence of ndarray, optional
        Positions in `rows` of images whose products are wanted among themselves; by default
        one group of all.
    """
    space = space or Space()
    groups = [np.arange(len(rows))] if groups is None else groups
    parts: list[list[tuple[int, slice]]] = []
    current, sums, number = 0, [_Sums(len(group), runtime.device) for group in groups], 0
    while not number or number < len(parts):
        for at, outputs in _batches(model, layers, images, rows, runtime, batch_size, tokens):
            if not parts:
                parts = space.parts(len(rows), [outputs[layer].shape[1] for layer in layers])
                _log.info("%d images, in %d pass(es)", len(rows), len(parts))
            if not at.start:
                store, blocks = space.blocks(len(rows), parts[number])
            for block, (index, columns) in zip(blocks, parts[number], strict=True):
                block[at] = outputs[layers[index]][:, columns].float().cpu().numpy()
            release_pages(store)
        for block, (index, _) in zip(blocks, parts[number], strict=True):
            if index != current:
                yield layers[current], [each.products() for each in sums]
                current, sums = index, [_Sums(len(group), runtime.device) for group in groups]
            for group, each in zip(groups, sums, strict=True):
                each.add(block[group])
            release_pages(store)
        number += 1
    yield layers[current], [each.products() for each in sums]


def extract_features(
    network: PathLike,
    layers: Any,
    images: ImageSet,
    path: PathLike,
    provenance: Provenance,
    runtime: Runtime,
    *,
    base: PathLike | None = None,
    batch_size: int = 128,
    tokens: str = "all",
    space: Space | None = None,
) -> None:
    """Write the inner products of images by all layers of a network.

    Parameters
    ----------
    network, base : path
        Saved network, and the one it was tuned from.
    layers : list of str, ``auto``, or how many
        See :func:`cortune.networks.layers.choose_layers`.
    runtime, batch_size, tokens, space
        As for :func:`extract_products`.
    images : ImageSet
    path : path
        HDF5 file: ``layers/<name>`` (n_images, n_images) float32 with attribute
        ``n_features``, ``means/<name>`` and ``to_mean/<name>`` (n_images,) float64 of
        :class:`LayerProducts`, ``identities``, ``sets``, ``names`` (n, 2), names of pictures
        with the identities that they are of, and ``tuned_on``, the identities that the network
        was tuned on.
    provenance : Provenance

    Raises
    ------
    LeakageError
        If the network was tuned on an image that is kept for encoding models.
    """
    from cortune.networks.layers import choose_layers
    from cortune.networks.store import load_network

    saved = load_network(network, base)
    layers = choose_layers(saved.backbone, layers)
    assert_disjoint(saved.tuned_on, images.marks("test", "fit"), f"{network} and the test images")
    found = extract_products(
        saved.backbone,
        layers,
        images.cache,
        images.rows,
        runtime,
        batch_size=batch_size,
        tokens=tokens,
        space=(space or Space()).beside(path),
    )
    needs = 4 * len(layers) * len(images) ** 2
    with hdf5_writer(path, provenance, needs=needs) as file:
        file["identities"] = np.char.encode(np.array(images.identities), "utf-8")
        file["sets"] = np.char.encode(images.sets, "utf-8")
        file["tuned_on"] = np.char.encode(np.array(saved.tuned_on, dtype=np.str_), "utf-8")
        names = np.array([*images.names.items()], dtype=np.str_).reshape(-1, 2)
        file["names"] = np.char.encode(names, "utf-8")
        file.attrs["layers"] = list(layers)
        for layer, (products,) in found:
            gram = file.create_dataset(f"layers/{layer}", data=products.gram.astype(np.float32))
            gram.attrs["n_features"] = products.n_features
            file[f"means/{layer}"], file[f"to_mean/{layer}"] = products.means, products.to_mean


class ByLayer(Mapping[str, np.ndarray]):
    """Gram matrices by layer, read from disk one at a time.

    Parameters
    ----------
    group : h5py.Group
        Has a matrix of each layer.
    layers : sequence of str
        In their order.
    """

    def __init__(self, group: h5py.Group, layers: Sequence[str]) -> None:
        self._group, self._names = group, list(layers)

    def __getitem__(self, layer: str) -> np.ndarray:
        return np.asarray(self._group[layer][:])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Grams(ByLayer):
    """What :func:`extract_features` wrote of a network.

    Parameters
    ----------
    file : h5py.File
        Open.
    """

    def __init__(self, file: h5py.File) -> None:
        super().__init__(file["layers"], file.attrs["layers"])
        self._file = file
        self.identities, self.sets, self.tuned_on, names = (
            np.char.decode(file[name][:], "utf-8")
            if name in file and file[name].size
            else np.array([], np.str_)
            for name in ("identities", "sets", "tuned_on", "names")
        )
        self.names: dict[str, str] = dict(names.tolist())

    def products(self, layer: str) -> LayerProducts:
        """Return all that is known of a layer."""
        means, to_mean = (self._file[name][layer][:] for name in ("means", "to_mean"))
        n_features = int(self._group[layer].attrs["n_features"])
        return LayerProducts(self[layer], means, to_mean, n_features)
