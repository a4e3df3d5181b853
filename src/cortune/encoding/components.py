"""Principal components of a network that serves several ROIs, decomposed once for all of them.

Which images a model is fitted on, and so every eigenvector, depends on the images and the folds
but on no response. What ``decompose_features`` keeps is what ``encode_roi`` would make of the
Gram matrices itself, to the last bit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from cortune.arrays import to_array, to_numpy
from cortune.artifacts import PathLike, hdf5_reader, hdf5_writer
from cortune.data.splits import SETS
from cortune.encoding.folds import Images, Plan
from cortune.encoding.protocols import Model, checked_gram, decompose_gram, plans_of
from cortune.features import Grams
from cortune.versions import Provenance

_log = logging.getLogger(__name__)


def decompose_features(
    grams: PathLike,
    path: PathLike,
    provenance: Provenance,
    *,
    protocols: Sequence[str],
    n_folds: int,
    n_components: int,
    seed: int,
    device: str | None = None,
) -> None:
    """Write the components of every layer on every set of images that models are fitted on.

    Parameters
    ----------
    grams, provenance, protocols, n_folds
        As in :func:`cortune.encoding.stages.encode_roi`.
    path : path
        HDF5 file, read by :func:`read_components`.
    n_components, seed, device
        As in :class:`cortune.encoding.protocols.Settings`.
    """
    with hdf5_reader(grams) as source:
        network = Grams(source)
        sets = {name: network.sets == name for name in SETS}
        plans = plans_of(protocols, sets, n_folds, seed)
        needs = len(network) * n_bytes(plans, n_components)
        with hdf5_writer(path, provenance, needs=needs) as file:
            for layer, gram in network.items():
                gram = checked_gram(layer, gram, len(network.identities))
                models = decompose_gram(gram, plans.values(), n_components, device)
                for number, (fit, model) in enumerate(models.items()):
                    _write(file.create_group(f"layers/{layer}/{number}"), fit, model)
                _log.info("layer %s decomposed", layer)


def n_bytes(plans: Mapping[str, Plan], n_components: int) -> int:
    """Return how much the components of a layer take at most."""
    splits = set().union(*(plan.splits for plan in plans.values()))
    rows = {split.fit: len(split.fit) for split in splits}
    for split in splits:
        rows[split.fit] += len(split.score)
    return sum(4 * n * min(n_components, len(fit)) for fit, n in rows.items())


def _write(group: Any, fit: Images, model: Model) -> None:
    group["fit"], group["axes"] = fit, to_numpy(model.axes)
    group["eigenvalues"] = to_numpy(model.eigenvalues)
    for number, (score, values) in enumerate(model.scores.items()):
        group[f"score/{number}"], group[f"scores/{number}"] = score, to_numpy(values)


def read_components(file: Any, layer: str, device: str | None) -> dict[Images, Model]:
    """Return what :func:`decompose_features` wrote of a layer, by the images fitted.

    Parameters
    ----------
    file : h5py.File
        Open.
    layer : str
    device : str, optional
        Where the arrays go (:func:`cortune.arrays.to_array`).
    """
    return dict(_read(group, device) for group in file["layers"][layer].values())


def _read(group: Any, device: str | None) -> tuple[Images, Model]:
    axes, eigenvalues = (to_array(group[name][:], device) for name in ("axes", "eigenvalues"))
    scores = {
        tuple(score[:].tolist()): to_array(group["scores"][number][:], device)
        for number, score in group["score"].items()
    }
    return tuple(group["fit"][:].tolist()), Model(axes, eigenvalues, scores)
