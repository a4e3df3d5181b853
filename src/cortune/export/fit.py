"""Fitting the maps of an encoder: choices by cross-validation, then all images at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import cortune
from cortune.arrays import to_array, to_numpy
from cortune.artifacts import PathLike, write_json, write_safetensors
from cortune.data.prepare import read_responses
from cortune.data.records import Responses
from cortune.data.splits import assert_disjoint
from cortune.data.units import ImageSet
from cortune.encoding import Settings, ceiling_r, encode_unit, mean_over_targets
from cortune.encoding.ridge import Components, principal_components, rotate
from cortune.errors import InputError
from cortune.export.encoder import FORMAT, Unit, layer_outputs
from cortune.features import Space, extract_products
from cortune.networks.backbones import origin_of
from cortune.networks.device import Runtime
from cortune.networks.layers import ALL, choose_layers
from cortune.networks.store import SavedNetwork, load_network
from cortune.versions import Provenance

if TYPE_CHECKING:
    from torch import Tensor

_SEEN = ("tune", "validation")
_SAMPLE = 256  # images that the cost of a smaller type is measured on


@dataclass(frozen=True)
class Target:
    """Responses that an encoder predicts.

    Parameters
    ----------
    dataset, subject, hemisphere, roi : str
    responses : str
        Prepared responses of the hemisphere.
    """

    dataset: str
    subject: str
    hemisphere: str
    roi: str
    responses: str


def fit_encoder(
    network: PathLike,
    layers: Any,
    images: ImageSet,
    targets: Sequence[Target],
    maps: PathLike,
    config: PathLike,
    provenance: Provenance,
    runtime: Runtime,
    settings: Settings,
    *,
    fit: str,
    dtype: str,
    n_folds: int,
    batch_size: int = 128,
    tokens: str = ALL,
    base: PathLike | None = None,
    framing: Mapping[str, Any] | None = None,
    space: Space | None = None,
) -> None:
    """Write the encoder of one network and subject.

    Layer (of an ROI) and penalty (of a voxel) are chosen by cross-validation in the images of
    `fit`, all of which then fit the map. The score that is told is that of nested
    cross-validation (``heldout_cv``) in the same images. The network runs over them once for
    inner products, and once more up to the layers chosen, for components in their features.

    Parameters
    ----------
    network : path
    layers : list of str, ``auto``, or how many
        To choose from (:func:`cortune.networks.layers.choose_layers`).
    images : ImageSet
        All of the subject's.
    targets : sequence of Target
    maps, config : path
        Safetensors and JSON to write; see :mod:`cortune.export.encoder`.
    provenance : Provenance
    runtime : Runtime
    settings : Settings
    fit : {"untouched", "all"}
    dtype : {"float32", "float16"}
    n_folds : int
    batch_size : int
    tokens : str
        What of a layer's tokens (:func:`cortune.networks.layers.features_of`).
    base : path, optional
        The network that `network` was tuned from.
    framing : mapping, optional
        How `images` were made of pictures (:class:`cortune.data.images.Framing`).
    space : Space, optional
        Where features are kept; the scratch file lies beside `maps`.

    Raises
    ------
    LeakageError
        If the network was tuned on an image of `untouched`.
    InputError
        If there are too few images, or an image without responses.
    """
    saved = load_network(network, base)
    if fit == "untouched":
        images = images.where(~np.isin(images.sets, _SEEN))
        own = images.marks(*np.unique(images.sets))
        assert_disjoint(saved.tuned_on, own, f"{network} and the images of its map")
    layers = choose_layers(saved.backbone, layers)
    products = extract_products(
        saved.backbone,
        layers,
        images.cache,
        images.rows,
        runtime,
        batch_size=batch_size,
        tokens=tokens,
        space=(space or Space()).beside(maps),
    )
    # In the precision of the features' products, which tells components from rounding.
    grams = {layer: each.gram.astype(np.float32) for layer, (each,) in products}
    fitted: list[_Fitted] = []
    components: dict[str, Components] = {}
    for target in targets:
        responses = _matched(images, target)
        unit, alpha, r = _choose(grams, responses, target, settings, fit, n_folds)
        if unit.layer not in components:
            components[unit.layer] = principal_components(
                to_array(grams[unit.layer], settings.device), settings.n_components
            )
        fitted.append(_Fitted(unit, responses, alpha, r, components[unit.layer]))
    del grams
    arrays = _layer_arrays(saved, components, images, runtime, batch_size, tokens)
    for each in fitted:
        arrays |= each.arrays(arrays)
    # Scores' scales and responses' means are few, and keep their digits.
    kept = {key: value.astype(dtype) if _is_large(key) else value for key, value in arrays.items()}
    loss = 0.0
    if dtype != "float32":
        seen = next(layer_outputs(saved, [*components], _batches(images, _SAMPLE), runtime, tokens))
        loss = max(_loss(seen, arrays, kept, each.unit) for each in fitted)
    arrays = kept
    write_safetensors(maps, arrays, provenance)
    described: dict[str, Any] = {
        "format": FORMAT,
        "version": cortune.__version__,
        "network": {
            "file": os.path.relpath(network, Path(config).parent),
            "base": os.path.relpath(base, Path(config).parent) if base else None,
            "name": saved.name,
            "num_classes": saved.num_classes,
        },
        "preprocessing": asdict(origin_of(saved.backbone).preprocessing),
        "framing": dict(framing or {"size": images.cache.shape[1]}),
        "tokens": tokens,
        "fit": fit,
        "dtype": dtype,
        "dtype_loss": loss,
        "units": [asdict(each.unit) for each in fitted],
        "provenance": provenance.as_dict(),
    }
    write_json(config, {"cortune": described})


def _matched(images: ImageSet, target: Target) -> Responses:
    """Return responses with a row for each image, in order."""
    responses = read_responses(target.responses, target.roi, images.names)
    row = {identity: position for position, identity in enumerate(responses.identities)}
    missing = [identity for identity in images.identities if identity not in row]
    if missing:
        raise InputError(
            target.responses,
            f"no response to image {missing[0]} ({len(missing)} such images)",
            "responses to all images of the subject",
            "Remove the file and run the workflow again: it will be rebuilt.",
        )
    rows = np.array([row[identity] for identity in images.identities])
    return replace(responses, values=responses.values[rows], identities=images.identities)


def _choose(
    grams: Mapping[str, NDArray[np.float32]],
    responses: Responses,
    target: Target,
    settings: Settings,
    fit: str,
    n_folds: int,
) -> tuple[Unit, NDArray[Any], NDArray[Any]]:
    """Return the unit with its layer, its voxels' penalties, and how well nested choices do."""
    sets = {"test": np.arange(len(responses.values))}
    told = "heldout_cv" if fit == "untouched" else "published"
    # The published protocol chooses by plain cross-validation over all images.
    found = encode_unit(
        grams,
        responses.values,
        sets,
        settings,
        protocols=list(dict.fromkeys((told, "published"))),
        n_folds=n_folds,
        noise_ceiling=responses.noise_ceiling,
        vertices=responses.vertices,
    )
    choice, scored = found["published"], found[told]
    layer = choice.layer or choice.layers[0]
    alpha = np.where(np.isnan(choice.alpha), max(settings.alphas), choice.alpha)
    r = scored.r if fit == "untouched" else np.full_like(scored.r, np.nan)
    low, high = scored.interval if fit == "untouched" else (np.nan, np.nan)
    unit = Unit(
        target.dataset,
        target.subject,
        target.hemisphere,
        target.roi,
        layer,
        len(alpha),
        len(responses.values),
        _known(mean_over_targets(r)),
        _known(low),
        _known(high),
        _known(mean_over_targets(ceiling_r(responses.noise_ceiling))),
    )
    return unit, alpha, r


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A unit with what its map is made of."""

    unit: Unit
    responses: Responses
    alpha: NDArray[Any]
    r: NDArray[Any]
    components: Components

    def arrays(self, layers: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the unit's part of the map; ridge as in :mod:`cortune.encoding.ridge`."""
        eigenvalues = to_numpy(self.components.eigenvalues)[:, None]
        values = self.responses.values.astype(np.float64)
        weights = rotate(to_numpy(self.components.axes), values)
        weights = np.sqrt(eigenvalues) / (eigenvalues + self.alpha) * weights
        largest = np.abs(weights).max(axis=1, keepdims=True)
        root = layers[f"{self.unit.layer}/mean"].size ** 0.5
        made = {
            "scale": largest[:, 0] / root,
            "weights": weights / np.where(largest > 0, largest, 1),
            "intercept": values.mean(axis=0),
            "noise_ceiling": self.responses.noise_ceiling,
            "r": self.r,
            "alpha": self.alpha,
        }
        named: dict[str, NDArray[Any]] = {
            name: value.astype(np.float32) for name, value in made.items()
        }
        named["vertices"] = self.responses.vertices
        named["mesh_vertices"] = self.responses.mesh_vertices
        return {f"{self.unit.name}/{name}": value for name, value in named.items()}


def _batches(images: ImageSet, batch_size: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), batch_size):
        yield np.asarray(images.cache[images.rows[start : start + batch_size]])


def _layer_arrays(
    saved: SavedNetwork,
    components: Mapping[str, Components],
    images: ImageSet,
    runtime: Runtime,
    batch_size: int,
    tokens: str,
) -> dict[str, NDArray[Any]]:
    r"""Return the mean of each layer's features, and the components in terms of features.

    :math:`C = X^\top U \Lambda^{-1/2} \sqrt d`, summed in float64 over batches; the root of the
    number of features brings entries near one.
    """
    import torch

    axes = {
        layer: torch.from_numpy(to_numpy(each.axes) / np.sqrt(to_numpy(each.eigenvalues))).to(
            runtime.device
        )
        for layer, each in components.items()
    }
    offsets: dict[str, Tensor] = {}
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    start = 0
    for outputs in layer_outputs(saved, [*axes], _batches(images, batch_size), runtime, tokens):
        for layer, rows in axes.items():
            values = outputs[layer].double()
            if layer not in sums:
                # What columns of the axes, which sum to zero, cannot see, costs them no digits.
                offsets[layer] = values.mean(0)
                total = torch.zeros_like(offsets[layer])
                sums[layer] = total, total.new_zeros(len(total), rows.shape[1])
            values = values - offsets[layer]
            total, product = sums[layer]
            total += values.sum(0)
            product.addmm_(values.T, rows[start : start + len(values)])
        start += len(values)
    found: dict[str, NDArray[Any]] = {}
    for layer, (total, product) in sums.items():
        mean = (offsets[layer] + total / len(images)).float()
        found[f"{layer}/mean"] = mean.cpu().numpy()
        found[f"{layer}/components"] = product.mul_(len(mean) ** 0.5).float().cpu().numpy()
    return found


def _is_large(key: str) -> bool:
    return key.endswith(("/components", "/weights"))


def _loss(
    features: Mapping[str, Tensor],
    exact: Mapping[str, NDArray[Any]],
    kept: Mapping[str, NDArray[Any]],
    unit: Unit,
) -> float:
    """Return what the type of the maps costs: RMS change of predictions over their RMS."""
    x = features[unit.layer].cpu().numpy() - exact[f"{unit.layer}/mean"]

    def predicted(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        components, weights = (
            arrays[key].astype(np.float32)
            for key in (f"{unit.layer}/components", f"{unit.name}/weights")
        )
        found: NDArray[np.float32] = (x @ components * exact[f"{unit.name}/scale"]) @ weights
        return found

    wanted = predicted(exact)
    size = np.sqrt(np.mean(wanted**2))
    return float(np.sqrt(np.mean((predicted(kept) - wanted) ** 2)) / size) if size > 0 else 0.0
