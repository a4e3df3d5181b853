"""Features of every layer in one forward pass, kept as one Gram matrix per layer.

Encoding models need inner products of images, not features: PCA, ridge regression and
cross-validation all follow from the n×n Gram matrix of the images, whose size does not
depend on the layer. So each network sees each image exactly once, and a new ridge
penalty, protocol or target ROI costs no forward pass.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortune.arrays import to_array, to_numpy
from cortune.artifacts import PathLike, hdf5_writer
from cortune.data.npy import release_pages
from cortune.data.units import ImageSet
from cortune.disk import allocate, require_space
from cortune.versions import Provenance

if TYPE_CHECKING:
    import h5py
    from torch import Tensor, nn

    from cortune.networks.device import Runtime

_COLUMN_BLOCK = 8192
_ROW_BLOCK = 512


def extract_layers(
    model: nn.Module,
    layers: Sequence[str],
    images: np.ndarray,
    rows: np.ndarray,
    runtime: Runtime,
    *,
    batch_size: int = 128,
    memory: float = 4e9,
    scratch: PathLike | None = None,
    centred: bool = True,
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
    memory : float
        Bytes of features to hold in memory; more of them go to a scratch file.
    scratch : path, optional
        Folder for that file.
    centred : bool
        Whether to subtract the mean over the first batch, which no centred analysis can
        see and which keeps digits that a large common mean would cost.

    Returns
    -------
    dict of str to ndarray of shape (n_images, n_features), float32
    """
    import torch
    from tqdm import tqdm

    from cortune.networks.backbones import normalise
    from cortune.networks.layers import captured_layers, check_layers

    check_layers(model, layers)
    model = model.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    features: dict[str, np.ndarray] = {}
    offsets: dict[str, Tensor] = {}
    starts = range(0, len(rows), batch_size)
    with torch.no_grad(), captured_layers(model, layers) as outputs:
        for start in tqdm(starts, unit="batch", file=sys.stderr, mininterval=5):
            batch = np.asarray(images[rows[start : start + batch_size]])
            model(normalise(torch.from_numpy(batch).to(runtime.device)))
            if not features:
                offsets = {layer: outputs[layer].mean(0) * centred for layer in layers}
                widths = {layer: outputs[layer].shape[1] for layer in layers}
                features = _allocate(len(rows), widths, memory, scratch)
            for layer in layers:
                values = outputs[layer] - offsets[layer]
                features[layer][start : start + len(batch)] = values.float().cpu().numpy()
                release_pages(features[layer])
    return features


def _allocate(
    n_images: int, widths: Mapping[str, int], memory: float, scratch: PathLike | None
) -> dict[str, np.ndarray]:
    n_bytes = 4 * n_images * sum(widths.values())
    if n_bytes <= memory:
        return {layer: np.empty((n_images, width), np.float32) for layer, width in widths.items()}
    path = Path(scratch or tempfile.gettempdir()) / "features"
    require_space(path, n_bytes)
    stores: dict[str, np.ndarray] = {}
    for layer, width in widths.items():
        # An unnamed file: its space is freed when the job ends, however it ends.
        file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        allocate(file, 4 * n_images * width, path)
        stores[layer] = np.memmap(file, np.float32, "r+", shape=(n_images, width))
    return stores


def gram_matrix(features: np.ndarray, *, device: str | None = None) -> np.ndarray:
    """Return the centred Gram matrix of features.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features), float32
        May be a memory map: it is read once, by blocks of columns.
    device : str, optional
        None multiplies with NumPy; a torch device (``cpu``, ``cuda:0``) with torch.

    Returns
    -------
    ndarray of shape (n_images, n_images), float64
        ``X Xᵀ`` with X centred over the images. Products run in float32 over blocks of
        columns, are summed in float64, and the matrix is centred on both sides, which
        equals centring X. Only blocks of rows on or below the diagonal are multiplied.
    """
    n_images, n_features = features.shape
    gram = np.zeros((n_images, n_images))
    starts = range(0, n_images, _ROW_BLOCK)
    for start in range(0, n_features, _COLUMN_BLOCK):
        columns = np.ascontiguousarray(features[:, start : start + _COLUMN_BLOCK])
        release_pages(features)
        columns -= columns.mean(0)
        block = to_array(columns, device)
        for first in starts:
            rows = slice(first, first + _ROW_BLOCK)
            gram[rows, : first + _ROW_BLOCK] += to_numpy(
                block[rows, :] @ block[: first + _ROW_BLOCK, :].T
            )
    for first in starts:
        rows = slice(first, first + _ROW_BLOCK)
        gram[:first, rows] = gram[rows, :first].T
        # Some processors' matrix products do not give a symmetric matrix to the last bit.
        gram[rows, rows] = (gram[rows, rows] + gram[rows, rows].T) / 2
    gram -= gram.mean(0)
    gram -= gram.mean(1, keepdims=True)
    return gram


def extract_features(
    network: PathLike,
    layers: Sequence[str],
    images: ImageSet,
    path: PathLike,
    provenance: Provenance,
    runtime: Runtime,
    *,
    batch_size: int = 128,
    memory: float = 4e9,
) -> None:
    """Write the Gram matrices of all layers of a network over some images.

    Parameters
    ----------
    network : path
        Saved network.
    layers, runtime, batch_size, memory
        As for :func:`extract_layers`.
    images : ImageSet
    path : path
        HDF5 file: ``layers/<name>`` (n_images, n_images) float32 with attribute
        ``n_features``, ``identities``, ``sets``, and ``tuned_on``, the identities that the
        network was tuned on.
    provenance : Provenance
    """
    from cortune.networks.store import load_network

    saved = load_network(network)
    scratch = Path(path).parent
    scratch.mkdir(parents=True, exist_ok=True)
    features = extract_layers(
        saved.backbone,
        layers,
        images.cache,
        images.rows,
        runtime,
        batch_size=batch_size,
        memory=memory,
        scratch=scratch,
    )
    needs = 4 * len(layers) * len(images) ** 2
    with hdf5_writer(path, provenance, needs=needs) as file:
        file["identities"] = np.char.encode(np.array(images.identities), "utf-8")
        file["sets"] = np.char.encode(images.sets, "utf-8")
        file["tuned_on"] = np.char.encode(np.array(saved.tuned_on, dtype=np.str_), "utf-8")
        file.attrs["layers"] = list(layers)
        group = file.create_group("layers")
        for layer in layers:
            values = features.pop(layer)
            gram = gram_matrix(values, device=runtime.array_device).astype(np.float32)
            dataset = group.create_dataset(layer, data=gram)
            dataset.attrs["n_features"] = values.shape[1]


class Grams(Mapping[str, np.ndarray]):
    """Gram matrices of a network by layer, read from disk one at a time.

    Parameters
    ----------
    file : h5py.File
        Open artifact of :func:`extract_features`.
    """

    def __init__(self, file: h5py.File) -> None:
        self._layers = file["layers"]
        self._names: list[str] = list(file.attrs["layers"])
        self.identities, self.sets, self.tuned_on = (
            np.char.decode(file[name][:], "utf-8") if file[name].size else np.array([], np.str_)
            for name in ("identities", "sets", "tuned_on")
        )

    def __getitem__(self, layer: str) -> np.ndarray:
        return np.asarray(self._layers[layer][:])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
