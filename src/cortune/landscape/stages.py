"""The stage that places all networks in one landscape of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cortune.artifacts import PathLike, write_csv
from cortune.errors import InputError
from cortune.landscape.dissimilarity import Floats, bhattacharyya_of_blocks
from cortune.landscape.embeddings import N_AXES, Space, embed
from cortune.landscape.inpca import InPCA, inpca
from cortune.landscape.predictions import REFERENCE_MODELS, Model, open_predictions
from cortune.landscape.statistics import closeness_by_factor
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd


class LandscapeTables(Protocol):
    """Paths of the landscape's tables."""

    dissimilarity: str
    landscape: str
    axes: str
    tests: str


@dataclass(frozen=True)
class Settings:
    """What the landscape is made of.

    Parameters
    ----------
    methods : tuple of str
        Spaces: ``inpca``, ``mds``, ``umap``.
    n_permutations : int
    memory_mb : float
        Bounds the predictions held at once; it does not change the result.
    """

    methods: tuple[str, ...] = ("inpca", "mds", "umap")
    n_permutations: int = 10_000
    memory_mb: float = 256


def embed_networks(
    predictions: Sequence[PathLike],
    outputs: LandscapeTables,
    provenance: Provenance,
    settings: Settings,
) -> None:
    """Compare the predictions of all networks and write the landscape's tables.

    ``dissimilarity.csv`` has a row per two models, truth and ignorance included;
    ``landscape.csv`` one per model and space; ``landscape_axes.csv`` one per inPCA axis, with
    its signed eigenvalue; ``landscape_tests.csv`` one per factor.

    Parameters
    ----------
    predictions : sequence of path
        One file per probe and network (:mod:`cortune.landscape.predictions`). Where there
        are several probes, their dissimilarities are averaged.
    outputs : LandscapeTables
    provenance : Provenance
        Its seed starts the embeddings and draws the permutations.
    settings : Settings

    Raises
    ------
    InputError
        If the files do not fit together, or hold no log-probabilities.
    """
    models, distance = compare_predictions(predictions, settings.memory_mb)
    spaces = embed(distance, settings.methods, provenance.seed)
    tests = closeness_by_factor(
        distance, models, n_permutations=settings.n_permutations, seed=provenance.seed
    )
    write_csv(outputs.dissimilarity, dissimilarity_table(models, distance), provenance)
    write_csv(outputs.landscape, landscape_table(models, spaces), provenance)
    write_csv(outputs.axes, axes_table(inpca(distance)), provenance)
    write_csv(outputs.tests, tests, provenance)


def compare_predictions(
    predictions: Sequence[PathLike], memory_mb: float = 256
) -> tuple[list[Model], Floats]:
    """Return all models, truth and ignorance last, and their mean dissimilarity over probes.

    Parameters
    ----------
    predictions : sequence of path
        One file per probe and network (:mod:`cortune.landscape.predictions`).
    memory_mb : float

    Returns
    -------
    models : list of Model, length n_models
    distance : array of shape (n_models, n_models)
        Nats.

    Raises
    ------
    InputError
        If the files do not fit together, or hold no log-probabilities.
    """
    probes = open_predictions(predictions)
    found: list[Floats] = []
    for probe in probes:
        try:
            blocks = probe.blocks(memory_mb)
            found.append(bhattacharyya_of_blocks(blocks, memory_mb=memory_mb))
        except InputError as error:
            where = f"{error.where} of probe {probe.probe}, in or beside {probe.paths[0]}"
            raise InputError(where, error.found, error.expected, error.cure) from error
    return [*probes[0].models, *REFERENCE_MODELS], np.mean(found, axis=0)


def dissimilarity_table(models: Sequence[Model], distance: Floats) -> pd.DataFrame:
    """Return ``dissimilarity.csv``: one row per two models."""
    import pandas as pd

    names = np.array([model.model for model in models])
    a, b = np.triu_indices(len(names), 1)
    return pd.DataFrame({"model_a": names[a], "model_b": names[b], "distance": distance[a, b]})


def landscape_table(models: Sequence[Model], spaces: Sequence[Space]) -> pd.DataFrame:
    """Return ``landscape.csv``: one row per model and space.

    ``imaginary_axes`` names the axes with a negative eigenvalue, separated by spaces.
    """
    import pandas as pd

    axes = [f"axis_{k}" for k in range(1, N_AXES + 1)]
    columns = [*asdict(REFERENCE_MODELS[0]), "space", *axes, "explained_stress", "imaginary_axes"]
    rows = []
    for space in spaces:
        imaginary = " ".join(f"axis_{k}" for k in space.imaginary)
        for model, point in zip(models, space.coordinates.tolist(), strict=True):
            values = [space.name, *point, space.explained_stress, imaginary]
            rows.append([*asdict(model).values(), *values])
    return pd.DataFrame(rows, columns=columns)


def axes_table(components: InPCA) -> pd.DataFrame:
    """Return ``landscape_axes.csv``: one row per inPCA axis that has an extent.

    ``explained_stress`` is that of the axis and all before it.
    """
    import pandas as pd

    signs = components.signs
    return pd.DataFrame(
        [
            {
                "axis": k + 1,
                "eigenvalue": components.eigenvalues[k],
                "kind": "real" if signs[k] > 0 else "imaginary",
                "explained_stress": components.explained_stress(k + 1),
            }
            for k in np.flatnonzero(signs).tolist()
        ],
        columns=["axis", "eigenvalue", "kind", "explained_stress"],
    )


def read_dissimilarity(path: PathLike) -> tuple[list[str], Floats]:
    """Read ``dissimilarity.csv``.

    Returns
    -------
    models : list of str, length n_models
    distance : array of shape (n_models, n_models)
    """
    import pandas as pd

    table = pd.read_csv(path, dtype={"model_a": str, "model_b": str}, keep_default_na=False)
    names = list(dict.fromkeys([*table["model_a"], *table["model_b"]]))
    position = {name: index for index, name in enumerate(names)}
    a, b = (table[column].map(position).to_numpy() for column in ("model_a", "model_b"))
    distance = np.zeros((len(names), len(names)))
    distance[a, b] = distance[b, a] = table["distance"].to_numpy(dtype=np.float64)
    return names, distance
