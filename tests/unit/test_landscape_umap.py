"""UMAP of the landscape, in a file of its own: it is slow to import and to compile."""

from __future__ import annotations

import numpy as np
import pytest

from cortune.landscape.embeddings import embed


@pytest.mark.long
def test_umap_keeps_neighbours_and_repeats():
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 12)
    points = 6 * np.eye(3)[group] + 0.3 * random.standard_normal((36, 3))
    distance = np.square(points[:, None] - points[None]).sum(-1)
    (space,) = embed(distance, ["umap"], seed=1)
    to_others = np.linalg.norm(space.coordinates[:, None] - space.coordinates[None], axis=-1)
    np.fill_diagonal(to_others, np.inf)
    assert (group[to_others.argmin(1)] == group).mean() > 0.95
    np.testing.assert_array_equal(space.coordinates, embed(distance, ["umap"], 1)[0].coordinates)
    assert np.isnan(space.explained_stress)


LARGER = (pytest.param(n, marks=pytest.mark.long) for n in (4, 5, 10))


@pytest.mark.parametrize("n", [3, *LARGER])
def test_umap_of_few_models(n, caplog):
    values = np.random.default_rng(n).random((n, n))
    distance = (values + values.T) * (1 - np.eye(n))
    spaces = embed(distance, ["umap"], seed=0)
    if n == 3:
        assert not spaces and "no umap space: 3 models, and it needs 4" in caplog.text
    else:
        assert np.isfinite(spaces[0].coordinates).all()
