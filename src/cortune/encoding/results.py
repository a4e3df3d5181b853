"""The encoding of one unit: scores, choices, intervals; its file; its table rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cortune.artifacts import PathLike, hdf5_reader, hdf5_writer
from cortune.encoding.ceiling import ceiling_r, noise_normalised_r2
from cortune.encoding.scores import Floats, Ints, mean_over_targets
from cortune.errors import InputError

if TYPE_CHECKING:
    from cortune.versions import Provenance

NO_LAYER = ""
_PARTITION = "variance_partition"


@dataclass(frozen=True)
class UnitEncoding:
    """How well one network's layers predict the responses of one ROI.

    Parameters
    ----------
    layers : tuple of str
        Names of the L layers.
    layer : str
        The layer most folds chose; empty where no score is defined.
    fold_layers : tuple of str
        The layer each of the F folds chose.
    n_images_fit, n_images_scored : int
        Images a fold's model is fitted on; images scored over all folds.
    vertices : array of shape (V,)
        Positions of the voxels in the hemisphere's responses.
    noise_ceiling : array of shape (V,)
        Share of variance, NaN where unknown.
    r, alpha : array of shape (V,)
        Mean over folds of Pearson r, each with the layer and penalty its fold chose; the
        median of those penalties. NaN where a response is constant.
    fold_alpha : array of shape (F, V)
        The penalty each fold chose, in its chosen layer.
    r_layers, alpha_layers : array of shape (L, V)
        The same with the layer held fixed.
    interval : array of shape (2,)
        95 % interval of the mean of `r` over voxels (:mod:`cortune.encoding.intervals`).
    interval_layers : array of shape (L, 2)
    """

    layers: tuple[str, ...]
    layer: str
    fold_layers: tuple[str, ...]
    n_images_fit: int
    n_images_scored: int
    vertices: Ints
    noise_ceiling: Floats
    r: Floats
    alpha: Floats
    fold_alpha: Floats
    r_layers: Floats
    alpha_layers: Floats
    interval: Floats
    interval_layers: Floats


def summary(encoding: UnitEncoding, min_noise_ceiling: float) -> dict[str, Any]:
    """Return the unit's row of ``encoding.csv``, without the unit's own columns."""
    return _row(encoding, encoding.layer, encoding.r, tuple(encoding.interval), min_noise_ceiling)


def layer_summaries(encoding: UnitEncoding, min_noise_ceiling: float) -> list[dict[str, Any]]:
    """Return the unit's rows of ``encoding_layers.csv``, one per layer."""
    return [
        _row(encoding, layer, r, tuple(interval), min_noise_ceiling)
        for layer, r, interval in zip(
            encoding.layers, encoding.r_layers, encoding.interval_layers, strict=True
        )
    ]


def voxel_columns(encoding: UnitEncoding, min_noise_ceiling: float) -> dict[str, Any]:
    """Return the unit's columns of ``encoding_voxels.parquet``."""
    return {
        "vertex": encoding.vertices,
        "layer": encoding.layer,
        "alpha": encoding.alpha,
        "r": encoding.r,
        "ceiling_r": ceiling_r(encoding.noise_ceiling),
        "nnr2": noise_normalised_r2(encoding.r, encoding.noise_ceiling, min_noise_ceiling),
    }


def _row(
    encoding: UnitEncoding,
    layer: str,
    r: Floats,
    interval: tuple[float, ...],
    min_noise_ceiling: float,
) -> dict[str, Any]:
    defined = r[np.isfinite(r)]
    ceiling = ceiling_r(np.where(np.isfinite(r), encoding.noise_ceiling, np.nan))
    nnr2 = noise_normalised_r2(r, encoding.noise_ceiling, min_noise_ceiling)
    return {
        "layer": layer,
        "n_voxels": r.size,
        "n_images_fit": encoding.n_images_fit,
        "n_images_scored": encoding.n_images_scored,
        "r_mean": float(mean_over_targets(r)),
        "r_median": float(np.median(defined)) if defined.size else np.nan,
        "r2_mean": float(mean_over_targets(np.square(r))),
        "ceiling_r_mean": float(mean_over_targets(ceiling)),
        "nnr2_mean": float(mean_over_targets(nnr2)),
        "r_ci_low": interval[0],
        "r_ci_high": interval[1],
    }


class Partition(Protocol):
    """Each layer's part of the R² of a joint model."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers."""

    @property
    def partition(self) -> Floats:
        """Parts, of shape (n_layers, n_targets)."""


def write_encoding(
    path: PathLike,
    results: Mapping[str, UnitEncoding],
    provenance: Provenance,
    joint: Partition | None = None,
) -> None:
    """Write the encodings of one unit as HDF5.

    A group per protocol, and ``variance_partition`` with the parts of a joint model, if
    there is one: ``r2`` (n_layers, n_targets), attribute ``layers``.
    """
    with hdf5_writer(path, provenance) as file:
        for protocol, result in results.items():
            write_group(file.create_group(protocol), result)
        if joint is not None:
            file.create_group(_PARTITION).attrs["layers"] = list(joint.layers)
            file[_PARTITION]["r2"] = joint.partition


def write_group(group: Any, encoding: UnitEncoding) -> None:
    """Write an encoding into an open HDF5 group: arrays as datasets, the rest as attributes."""
    for field in fields(encoding):
        value = getattr(encoding, field.name)
        if isinstance(value, np.ndarray):
            group[field.name] = value
        elif isinstance(value, tuple):
            group.attrs[field.name] = list(value)
        else:
            group.attrs[field.name] = value


def read_partition(path: PathLike) -> dict[str, Floats]:
    """Return each layer's part of the joint model's R², of shape (n_targets,); {} if none."""
    with hdf5_reader(path) as file:
        if _PARTITION not in file:
            return {}
        group = file[_PARTITION]
        return dict(zip(group.attrs["layers"], group["r2"][()], strict=True))


def read_encoding(path: PathLike) -> dict[str, UnitEncoding]:
    """Read what :func:`write_encoding` wrote.

    Raises
    ------
    InputError
        If the file is not readable or lacks a field.
    """
    with hdf5_reader(path) as file:
        try:
            return {
                protocol: read_group(group)
                for protocol, group in file.items()
                if protocol != _PARTITION
            }
        except KeyError as error:
            raise InputError(
                path,
                f"no field {error}",
                f"the fields {', '.join(field.name for field in fields(UnitEncoding))}",
                "Remove it and run the workflow again: it will be rebuilt.",
            ) from error


def read_group(group: Any) -> UnitEncoding:
    """Read what :func:`write_group` wrote."""
    values: dict[str, Any] = {}
    for field in fields(UnitEncoding):
        if field.name in group:
            values[field.name] = group[field.name][()]
            continue
        value = group.attrs[field.name]
        values[field.name] = tuple(value) if isinstance(value, np.ndarray) else value
    values["n_images_fit"] = int(values["n_images_fit"])
    values["n_images_scored"] = int(values["n_images_scored"])
    return UnitEncoding(**values)
